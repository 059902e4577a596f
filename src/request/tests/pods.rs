//! Containers of Kubernetes pods: whose words count, and what becomes of those who are refused.

use super::{DOCKER, PLUGIN, asked};
use crate::config::{Pods, Policy, Refused};

#[test]
fn of_a_pod_only_the_device_plugins_words_count() {
    const POD: &str = "@io.kubernetes.cri.container-type=container";
    let of = |refused| {
        let pods = Pods { namespaces: Vec::new(), refused, ..Pods::default() };
        Policy { pods, ..Policy::default() }
    };
    const TEAM: &str = "@io.kubernetes.cri.sandbox-namespace=team-a";
    let mount = format!("{PLUGIN}/GPU-1f");
    let not = |what: &str, rule: &str| {
        format!(
            "error: {what} may not ask for GPUs: {rule} in /etc/gpu-runc/config.toml, and policy.pods.namespaces does not \
             list \"team-a\""
        )
    };
    let no_env = |variable: &str| not(&format!("environment variable \"{variable}\""), r#"policy.pods.env is "never""#);
    let gpus = "gpu-runc/gpus=1";
    let (refused_all, refused_mofed) = (
        r#"refused environment variable "NVIDIA_VISIBLE_DEVICES=all""#,
        r#"refused environment variable "NVIDIA_MOFED=enabled""#,
    );
    let table: &[(&[&str], &str)] = &[
        (&["NVIDIA_VISIBLE_DEVICES=all"], refused_all),
        (
            &["NVIDIA_VISIBLE_DEVICES=all", DOCKER],
            &format!(r#"-hook 0 refused hook "nvidia-container-runtime-hook" {refused_all}"#),
        ),
        (&["NVIDIA_VISIBLE_DEVICES=void", "AMD_VISIBLE_DEVICES="], "nothing"),
        (&["NVIDIA_VISIBLE_DEVICES=9-1"], r#"refused environment variable "NVIDIA_VISIBLE_DEVICES=9-1""#),
        (&["GPU_VISIBLE_DEVICES=all"], r#"refused environment variable "GPU_VISIBLE_DEVICES=all""#),
        (&["NVIDIA_VISIBLE_DEVICES=GPU-1f"], &no_env("NVIDIA_VISIBLE_DEVICES=GPU-1f")),
        (&["AMD_VISIBLE_DEVICES=0-1"], &no_env("AMD_VISIBLE_DEVICES=0-1")),
        (&["GPU_VISIBLE_DEVICES=acme.example/npu=0"], &no_env("GPU_VISIBLE_DEVICES=acme.example/npu=0")),
        (&["@gpu-runc/gpus=1"], &not(&format!("annotation \"{gpus}\""), "policy.pods.annotations is false")),
        (&["@cdi.k8s.io/a=nvidia.com/gpu=0"], "refused annotation \"cdi.k8s.io/a=nvidia.com/gpu=0\""),
        (&[&mount], "nvidia:GPU-1f"),
        (&[&mount, "NVIDIA_VISIBLE_DEVICES=/var/run/nvidia-container-devices"], "nvidia:GPU-1f"),
        (&[&mount, "NVIDIA_VISIBLE_DEVICES=all", "NVIDIA_MOFED=enabled"], &format!("nvidia:GPU-1f {refused_mofed}")),
        (&[&mount, "NVIDIA_VISIBLE_DEVICES=0,1,2"], "nvidia:GPU-1f"),
    ];
    for (container, expected) in table {
        let container = [&[POD, TEAM], *container].concat();
        assert_eq!(asked(&container, &of(Refused::Explicit)), *expected, "{container:?}");
    }
    let one_tenant = [POD, TEAM, "NVIDIA_VISIBLE_DEVICES=GPU-1f"];
    assert_eq!(
        asked(&one_tenant, &Policy::default()),
        "nvidia|hygon|t-head:GPU-1f",
        "as long as nobody says otherwise"
    );
    let listed = |refused| {
        let pods = Pods { namespaces: vec!["team-a".to_owned()], refused, ..Pods::default() };
        Policy { pods, ..Policy::default() }
    };
    let ask = [POD, TEAM, "NVIDIA_VISIBLE_DEVICES=all", "@gpu-runc/gpus=driver=amd,count=1"];
    assert_eq!(asked(&ask, &listed(Refused::Error)), "amd:x1 nvidia|hygon|t-head:all");
    let named = [POD, TEAM, "NVIDIA_VISIBLE_DEVICES=0"];
    assert_eq!(asked(&named, &of(Refused::Warn)), r#"refused environment variable "NVIDIA_VISIBLE_DEVICES=0""#);
    assert_eq!(asked(&ask[..3], &of(Refused::Error)), no_env("NVIDIA_VISIBLE_DEVICES=all"));
}
