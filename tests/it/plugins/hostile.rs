//! What a pod's author may write in the hope of a GPU that nobody gave it.

use super::Becomes::{Refused, Untouched};
use super::{CRIO, Made, POD, SAFE, check};

#[test]
fn what_a_hostile_pod_says_gives_it_nothing() {
    const ML: &str = "[policy.pods]\nnamespaces = [\"ml\"]\n";
    const WANTS: &[(&str, &str)] = &[("gpu-runc/gpus", "all")];
    check(
        "nvidia-h100-8",
        &[
            (
                "a variable with every GPU",
                SAFE,
                Made { env: &["NVIDIA_VISIBLE_DEVICES=all"], ..POD },
                Untouched("refused"),
            ),
            (
                "our variable",
                SAFE,
                Made { env: &["GPU_VISIBLE_DEVICES=nvidia.com/gpu=0"], ..POD },
                Refused("may not ask"),
            ),
            (
                "what belongs to other features",
                SAFE,
                Made { env: &["NVIDIA_GDS=enabled", "NVIDIA_MOFED=enabled", "NVIDIA_NVSWITCH=enabled"], ..POD },
                Untouched("refused environment variable \"NVIDIA_NVSWITCH=enabled\""),
            ),
            ("our annotation on CRI-O", SAFE, Made { by: CRIO, annotations: WANTS, ..POD }, Refused("may not ask")),
            (
                "a CDI annotation on CRI-O",
                SAFE,
                Made { by: CRIO, annotations: &[("cdi.k8s.io/x", "nvidia.com/gpu=all")], ..POD },
                Untouched("refused annotation"),
            ),
            (
                "an annotation that says containerd has put it in another namespace",
                ML,
                Made {
                    by: CRIO,
                    annotations: &[("gpu-runc/gpus", "all"), ("io.kubernetes.cri.sandbox-namespace", "ml")],
                    ..POD
                },
                Refused("does not list \"team-a\""),
            ),
            (
                "annotations that say the same through a handler of containerd's that lets all of them in",
                ML,
                Made {
                    annotations: &[
                        ("gpu-runc/gpus", "all"),
                        ("io.kubernetes.cri-o.ContainerType", "container"),
                        ("io.kubernetes.pod.namespace", "ml"),
                        ("io.container.manager", "libpod"),
                    ],
                    ..POD
                },
                Refused("does not list"),
            ),
            (
                "an annotation that makes it look like a pause container",
                SAFE,
                Made {
                    by: CRIO,
                    annotations: &[("gpu-runc/gpus", "all"), ("io.kubernetes.cri.container-type", "sandbox")],
                    ..POD
                },
                Untouched(""),
            ),
            (
                "a volume below the plugin's folder that is no /dev/null, as in a cluster without hostPath",
                SAFE,
                Made {
                    mounts: &[("/var/lib/kubelet/pods/8e7d/volumes/empty", "/var/run/nvidia-container-devices/0")],
                    ..POD
                },
                Untouched(""),
            ),
            (
                "a hostPath volume of /dev/null, where mounts may not ask",
                "[policy]\nmounts = false\n",
                Made { mounts: &[("/dev/null", "/var/run/nvidia-container-devices/0")], ..POD },
                Refused("policy.mounts is false"),
            ),
        ],
    );
}
