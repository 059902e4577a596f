//! What a bundle's config.json says that matters to a GPU request, read once and borrowed from the document.

use std::borrow::Cow;

/// The parts of config.json that can ask for a GPU, or decide whether asking is allowed. Absent members read as empty; entries
/// that are not of the shape that OCI gives them are left out here (the low-level runtime will complain of them).
#[derive(Debug, Default)]
pub struct View<'a> {
    /// `process.env`, entry by entry as written; an entry may lack `=`, a name may come twice (the last one counts).
    pub env: Vec<Cow<'a, str>>,
    /// `annotations`, in the order of the document.
    pub annotations: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// `mounts`.
    pub mounts: Vec<MountView<'a>>,
    /// `hooks`, all stages.
    pub hooks: Vec<HookView<'a>>,
    /// Whether `process.capabilities.bounding` holds `CAP_SYS_ADMIN`: what NVIDIA's toolkit calls privileged.
    pub privileged: bool,
    /// Whether it holds `CAP_MKNOD`: whether the container's programs may make device nodes.
    pub makes_nodes: bool,
}

/// One entry of `mounts`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MountView<'a> {
    /// Where it is mounted.
    pub destination: Cow<'a, str>,
    /// What is mounted; empty when absent.
    pub source: Cow<'a, str>,
    /// Whether nothing can be written there.
    pub is_read_only: bool,
}

/// One entry of one of the lists in `hooks`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HookView<'a> {
    /// The list: `prestart`, `createRuntime`, …
    pub stage: Cow<'a, str>,
    /// Its place in that list, from 0.
    pub index: usize,
    /// The program.
    pub path: Cow<'a, str>,
    /// Its arguments, the program name first.
    pub args: Vec<Cow<'a, str>>,
}

impl View<'_> {
    /// The value of an environment variable as the container's program will see it: the last occurrence counts.
    pub fn env(&self, name: &str) -> Option<&str> {
        self.env.iter().rev().find_map(|entry| entry.strip_prefix(name)?.strip_prefix('='))
    }

    /// The value of an annotation.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.iter().rev().find(|(k, _)| k == key).map(|(_, value)| &**value)
    }

    /// Whether this is a pod's pause container, which never gets a device. containerd and CRI-O each have their annotation.
    pub fn is_sandbox(&self) -> bool {
        ["io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType"]
            .iter()
            .any(|key| self.annotation(key) == Some("sandbox"))
    }
}
