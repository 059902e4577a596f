//! `gpu-ctk node` with a real containerd.
