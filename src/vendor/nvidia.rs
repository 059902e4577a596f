//! NVIDIA's row, and nothing else.

use super::{LegacyHooks, NoneMeans, PLAIN, Swarm, Variable, Vendor};

pub(super) static NVIDIA: Vendor = Vendor {
    name: "nvidia",
    kinds: &["nvidia.com/gpu", "k8s.device-plugin.nvidia.com/gpu", "runtime.nvidia.com/gpu"],
    visible: &[Variable::ids("NVIDIA_VISIBLE_DEVICES")],
    none: NoneMeans::DriverOnly,
    swarm: Swarm { words: &["NVIDIA"], ids: &["GPU-", "MIG-"] },
    device_mounts: Some("/var/run/nvidia-container-devices"),
    legacy: Some(LegacyHooks {
        programs: &["nvidia-container-runtime-hook", "nvidia-container-toolkit"],
        cli: "nvidia-container-cli",
    }),
    ..PLAIN
};
