//! What a pod's author may write in the hope of a GPU that nobody gave it.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::Becomes::{Refused, Untouched};
use super::{CRIO, Made, POD, SAFE, check};
use crate::scratch::{Scratch, skip};

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
                "what belongs to a GPU, without one",
                SAFE,
                Made { env: &["NVIDIA_GDS=enabled", "NVIDIA_MOFED=enabled", "NVIDIA_NVSWITCH=enabled"], ..POD },
                Untouched(""),
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
                "[policy]\nmounts = false\n[policy.pods]\nnamespaces = []\n",
                Made { mounts: &[("/dev/null", "/var/run/nvidia-container-devices/0")], ..POD },
                Refused("policy.mounts is false"),
            ),
        ],
    );
}

#[test]
fn what_is_refused_is_in_the_system_log() {
    if !nix::unistd::geteuid().is_root() {
        return skip("plugins::hostile::system_log", "needs root, for a /dev of its own");
    }
    let scratch = Scratch::new();
    scratch
        .write("gpu-runc.toml", "runtimes = [\"/bin/true\"]\n[cdi]\nspec-dirs = []\n[policy.pods]\nnamespaces = []\n");
    let log = UnixDatagram::bind(scratch.path("log")).unwrap();
    log.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    // 3 is the facility of daemons: 8 × 3 and the severity.
    for (value, priority, becomes) in [("all", "<28>", 0), ("0", "<27>", 1)] {
        let env: &[&str] = &[&format!("NVIDIA_VISIBLE_DEVICES={value}")];
        let mut document = POD.config_json();
        document["process"]["env"] = env.into();
        scratch.write("config.json", &document.to_string());
        let script = "mount -t tmpfs tmpfs /dev && ln -s \"$PWD/log\" /dev/log && exec \"$0\" create c";
        let output = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", script, env!("CARGO_BIN_EXE_gpu-runc")])
            .env("GPU_RUNC_CONFIG", scratch.path("gpu-runc.toml"))
            .current_dir(scratch.path(""))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        if said.starts_with("unshare:") {
            return skip("plugins::hostile::system_log", &format!("no mounts of its own: {said}"));
        }
        assert_eq!(output.status.code(), Some(becomes), "{said}");
        let mut line = [0; 4096];
        let length = log.recv(&mut line).unwrap();
        let line = String::from_utf8_lossy(&line[..length]);
        let words = format!("environment variable \"NVIDIA_VISIBLE_DEVICES={value}\"");
        assert!(line.starts_with(priority) && line.contains(&words) && line.contains("\"team-a\""), "{line}");
    }
    assert_eq!(fs::read_to_string(scratch.path("config.json")).unwrap().matches("nvidia").count(), 0);
}
