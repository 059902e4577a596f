//! What a bundle's config.json says that matters to a GPU request, read once and borrowed from the document.

use std::borrow::Cow;

/// The annotations by which containerd and CRI-O tell a pod's containers from its sandbox.
const CONTAINER_TYPES: [&str; 2] = ["io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType"];
/// Those in which containerd and the kubelet (through CRI-O) say which namespace the pod is in.
const NAMESPACES: [&str; 2] = ["io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace"];

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
    /// Whether `process.capabilities.bounding` holds `CAP_SYS_ADMIN`, and the container has no user namespace of its own. NVIDIA's toolkit
    /// checks only the capability; in a user namespace it gives no power over the host.
    pub privileged: bool,
    /// Whether it holds `CAP_MKNOD`: whether the container's programs may make device nodes.
    pub makes_nodes: bool,
    /// Whether `linux.cgroupsPath` is below the cgroup that the kubelet makes for pods.
    pub has_kubepods_cgroup: bool,
}

/// One entry of `mounts`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MountView<'a> {
    /// Where it is mounted.
    pub destination: Cow<'a, str>,
    /// What is mounted; empty when absent.
    pub source: Cow<'a, str>,
    /// Where the files come from that are seen there.
    pub backing: Backing,
}

/// Where the files come from that a mount shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Backing {
    /// The host: what is written there stays, and others may see it. The source of the mount is an absolute path.
    Host,
    /// A new file system in memory, which can be written.
    Memory,
    /// The same, into which the low-level runtime copies what the rootfs has there (runc's `tmpcopyup`).
    Copy,
    /// Nothing that is known from outside.
    #[default]
    Other,
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

    /// Whether this is a pod's pause container, which never gets a device.
    pub fn is_sandbox(&self) -> bool {
        CONTAINER_TYPES.iter().any(|key| self.annotation(key) == Some("sandbox"))
    }

    /// The namespaces that a container of a Kubernetes pod is said to be in. `None`: it is in no such pod.
    ///
    /// cri-dockerd hands on no annotation of its own, so a container in the kubelet's cgroup is in a pod, of a namespace that nothing
    /// tells: annotations that name one are not the engine's word then.
    ///
    /// Engines hand on annotations that the pod's author wrote, CRI-O all of them, and so one engine's annotation may be
    /// somebody's invention on the other. The engine's own word is always among them: what is to hold for the pod must hold for
    /// every one of these.
    pub fn pod_namespaces(&self) -> Option<Vec<&str>> {
        let [containerd, crio] = CONTAINER_TYPES.map(|key| self.annotation(key).is_some());
        // podman's pods have CRI-O's annotation; CRI-O writes its own name over what a pod says here.
        let is_crio = crio && self.annotation("io.container.manager") != Some("libpod");
        let of_namespace = |(key, _): &&(Cow<'_, str>, Cow<'_, str>)| NAMESPACES.contains(&&**key);
        let named = || self.annotations.iter().filter(of_namespace).map(|(_, namespace)| &**namespace).collect();
        match containerd || is_crio {
            true => Some(named()),
            false => self.has_kubepods_cgroup.then(Vec::new),
        }
    }
}

/// Whether `linux.cgroupsPath` holds `kubepods`, the kubelet's cgroup for pods: `/kubepods/burstable/pod…/ID` with the driver cgroupfs,
/// `kubepods-burstable-pod….slice:cri-dockerd:ID` with systemd. The kubelet puts its `--cgroup-root` before it in both.
pub(super) fn is_of_kubepods(cgroups_path: &str) -> bool {
    let (parent, _) = cgroups_path.split_once(':').unwrap_or((cgroups_path, ""));
    let mut parts = parent.split('/').flat_map(|part| part.strip_suffix(".slice").unwrap_or(part).split('-'));
    parts.any(|part| part == "kubepods")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cgroup_of_a_pod_is_told_by_the_kubelets_name_for_it() {
        for (path, expected) in [
            ("kubepods-besteffort-pod1f2e.slice:cri-dockerd:0a1b", true),
            ("kubepods-pod1f2e.slice:cri-containerd:0a1b", true),
            ("kubelet-kubepods-burstable-pod1f2e.slice:docker:0a1b", true),
            ("/kubepods/burstable/pod1f2e/0a1b", true),
            ("/kubelet/kubepods/pod1f2e/0a1b", true),
            ("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1f2e.slice/0a1b", true),
            ("kubepods", true),
            ("", false),
            ("/docker/0a1b", false),
            ("system.slice:docker:kubepods", false),
            ("machine.slice:libpod:0a1b", false),
            ("/notkubepods/x", false),
        ] {
            assert_eq!(is_of_kubepods(path), expected, "{path}");
        }
    }

    #[test]
    fn a_container_is_a_pods_where_its_engine_says_so() {
        let crio = ("io.kubernetes.cri-o.ContainerType", "container");
        let containerd = ("io.kubernetes.cri.container-type", "container");
        let (ml, theirs) = (("io.kubernetes.pod.namespace", "ml"), ("io.kubernetes.cri.sandbox-namespace", "team-a"));
        let (libpod, named_crio) = (("io.container.manager", "libpod"), ("io.container.manager", "cri-o"));
        for (annotations, expected) in [
            (vec![], None),
            (vec![ml, theirs], None),
            (vec![containerd], Some(vec![])),
            (vec![containerd, theirs], Some(vec!["team-a"])),
            (vec![ml, containerd, theirs], Some(vec!["ml", "team-a"])),
            (vec![theirs, crio, named_crio, ml], Some(vec!["team-a", "ml"])),
            (vec![crio, ml], Some(vec!["ml"])),
            (vec![crio, libpod], None),
            (vec![crio, libpod, containerd, theirs], Some(vec!["team-a"])),
        ] {
            let view = View {
                annotations: annotations.iter().map(|(key, value)| (Cow::from(*key), Cow::from(*value))).collect(),
                ..View::default()
            };
            assert_eq!(view.pod_namespaces(), expected, "{annotations:?}");
            let in_cgroup = View { has_kubepods_cgroup: true, ..view };
            let expected = expected.or(Some(vec![]));
            assert_eq!(in_cgroup.pod_namespaces(), expected, "in the kubelet's cgroup: {annotations:?}");
        }
    }
}
