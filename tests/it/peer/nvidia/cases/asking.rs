//! Every way to ask.

use serde_json::{Value, json};

use super::Expect::{OursRefuses, PeerRefuses, Refusal, Told};
use super::{Case, UUID};
use crate::peer::bundle::{Container, config, with};

/// A file of NVIDIA's may say what a container gets that wants the driver and no device.
const NONE: &str = r#"{"cdiVersion":"0.5.0","kind":"nvidia.com/gpu","devices":[{"name":"none","containerEdits":{"env":["NVCT_EMPTY_DEVICE="]}}]}"#;

/// By environment variables.
pub(super) fn by_env() -> Vec<Case> {
    let case = |value: &str| {
        let variable = format!("NVIDIA_VISIBLE_DEVICES={value}");
        Case::new(variable.clone(), config(&[&variable]))
    };
    let alike = [
        "0",
        "1",
        "0,1",
        "1,0",
        " 0 , 1 ",
        ",0,",
        "all",
        "0,all",
        "all,none",
        "void",
        "0,void",
        "",
        UUID,
        "nvidia.com/gpu=0",
        "nvidia.com/gpu=1,nvidia.com/gpu=0",
        "acme.example/npu=n0",
        "amd.com/gpu=0,nvidia.com/gpu=0",
        "nvidia.com/gpu=all",
    ];
    let mut cases: Vec<Case> = alike.into_iter().map(case).collect();
    for unknown in
        ["7", "0,7", "x", "nvidia.com/gpu=7", "acme.example/npu=zzz", "nobody.example/npu=1", "0=1", "GPU-ffff"]
    {
        cases.push(case(unknown).expecting(Refusal));
    }
    let twice = &["NVIDIA_VISIBLE_DEVICES=0", "A=b", "NVIDIA_VISIBLE_DEVICES=1"];
    let denied = Case::new("env of a container without privileges", config(&["NVIDIA_VISIBLE_DEVICES=0"]));
    let privileged = with(
        config(&["NVIDIA_VISIBLE_DEVICES=0"]),
        &json!({"process": {"capabilities": {"bounding": ["CAP_CHOWN", "CAP_SYS_ADMIN"]}}}),
    );
    let privileged = Case::new("env of a privileged container", privileged);
    let swarm = &["NVIDIA_VISIBLE_DEVICES=0", "DOCKER_RESOURCE_NVIDIA-GPU=1"];
    cases.extend([
        Case::new("nothing asked", config(&["A=b"])),
        Case::new("the last of two counts", config(twice)),
        Case { container: Container { may_ask_by_env: false, ..denied.container }, ..denied },
        Case { container: Container { may_ask_by_env: false, ..privileged.container }, ..privileged },
        case("0,0").expecting(Told("a device twice", "nvidia.com/gpu=0")),
        case("nvidia.com/gpu=0,nvidia.com/gpu=0").expecting(Told("a device twice", "nvidia.com/gpu=0")),
        case("/var/run/nvidia-container-devices").expecting(Refusal),
        case("acme.example/x=0")
            .having("one.json", r#"{"cdiVersion":"0.5.0","kind":"acme.example/x","devices":[{"name":"0","containerEdits":{"env":["X=0"]}}]}"#)
            .expecting(PeerRefuses("classes of one letter")),
        case("none").expecting(PeerRefuses("none without a device of that name")),
        case("0,none").expecting(PeerRefuses("none without a device of that name")),
        case("none").having("none.json", NONE),
        case("0-1").expecting(Told("ranges", "nvidia.com/gpu=0,nvidia.com/gpu=1")),
        case("nvidia.com/gpu=0,1"),
        Case::new("a variable for every vendor", config(&["GPU_VISIBLE_DEVICES=0"]))
            .expecting(Told("other variables", "nvidia.com/gpu=0")),
        Case::new("AMD's variable", config(&["AMD_VISIBLE_DEVICES=0"])).expecting(Told("other variables", "amd.com/gpu=0")),
        Case::new("a resource of a swarm", config(swarm)),
        Case::new("an image of an old CUDA", config(&["CUDA_VERSION=8.0"])),
        Case::new("an old image with a request", config(&["CUDA_VERSION=8.0", "NVIDIA_VISIBLE_DEVICES=0"])),
    ]);
    cases
}

/// By annotations, by mounts, and by another command.
pub(super) fn otherwise() -> Vec<Case> {
    let annotated = |annotations: Value, env: &[&str]| {
        Case::new(
            format!("annotations {annotations} and {env:?}"),
            with(config(env), &json!({"annotations": annotations})),
        )
    };
    let volumes = |places: &[&str], env: &[&str]| {
        let mut document = config(env);
        let volume = |place: &&str| json!({"destination": format!("/var/run/nvidia-container-devices/{place}"), "source": "/dev/null", "type": "bind", "options": ["bind"]});
        document["mounts"].as_array_mut().unwrap().extend(places.iter().map(volume));
        Case::new(format!("mounts {places:?} and {env:?}"), document)
    };
    const SANDBOX: &str = "io.kubernetes.cri.container-type";
    vec![
        annotated(json!({"cdi.k8s.io/x": "nvidia.com/gpu=0"}), &[]),
        annotated(json!({"cdi.k8s.io/x": "acme.example/npu=n1,nvidia.com/gpu=1,amd.com/gpu=0"}), &[]),
        annotated(
            json!({"cdi.k8s.io/b": "acme.example/npu=n0", "cdi.k8s.io/a": "nvidia.com/gpu=1", "other": "x"}),
            &[],
        ),
        annotated(json!({"cdi.k8s.io/b": "acme.example/npu=n0", "cdi.k8s.io/a": "acme.example/npu=n0"}), &[]),
        annotated(json!({"cdi.k8s.io/x": "nvidia.com/gpu=0"}), &["NVIDIA_VISIBLE_DEVICES=1"]),
        annotated(json!({"cdi.k8s.io/x": "acme.example/npu=n0"}), &["NVIDIA_VISIBLE_DEVICES=1"])
            .expecting(Told("vendors add up", "acme.example/npu=n0,nvidia.com/gpu=1")),
        annotated(json!({"cdi.k8s.io/x": "acme.example/npu=n0"}), &["NVIDIA_VISIBLE_DEVICES=void"]),
        annotated(json!({"cdi.k8s.io/x": "nvidia.com/gpu=9"}), &[]).expecting(Refusal),
        annotated(json!({"cdi.k8s.io/x": "nvidia.com/gpu=0,"}), &[]).expecting(Refusal),
        annotated(json!({"cdi.k8s.io/x": ""}), &[]).expecting(Refusal),
        annotated(json!({"cdi.k8s.io/x": "0"}), &[]).expecting(OursRefuses("names that are not qualified")),
        annotated(json!({"CDI.k8s.io/x": "nvidia.com/gpu=0", "cdi.k8s.iox": "nvidia.com/gpu=0"}), &[]),
        annotated(json!({"gpu-runc/gpus": "device=1"}), &[]).expecting(Told("our annotation", "nvidia.com/gpu=1")),
        annotated(json!({SANDBOX: "sandbox"}), &["NVIDIA_VISIBLE_DEVICES=0"]),
        annotated(json!({SANDBOX: "sandbox", "cdi.k8s.io/x": "nvidia.com/gpu=0"}), &[]),
        annotated(json!({"io.kubernetes.cri-o.ContainerType": "sandbox"}), &["NVIDIA_VISIBLE_DEVICES=0"]),
        volumes(&["0"], &[]),
        volumes(&["1", "0"], &["NVIDIA_VISIBLE_DEVICES=/var/run/nvidia-container-devices"]),
        volumes(&["1"], &["NVIDIA_VISIBLE_DEVICES=all"]),
        volumes(&["all"], &[]),
        volumes(&[UUID], &[]),
        volumes(&["cdi/nvidia.com/gpu/0"], &[]),
        volumes(&["cdi/nvidia.com/gpu=1"], &[]),
        volumes(&["cdi/acme.example/npu/n0", "cdi/acme.example/npu=n1"], &[]),
        volumes(&["9"], &[]).expecting(Refusal),
        volumes(&["cdi/nvidia.com/gpu"], &[]).expecting(OursRefuses("mounts that name nothing")),
        volumes(&["1"], &["CUDA_VERSION=8.0"]),
        Case {
            container: Container { verb: "run", ..Case::new("", config(&["NVIDIA_VISIBLE_DEVICES=0"])).container },
            ..Case::new("run, as BuildKit does it", json!({}))
        }
        .expecting(Told("run", "nvidia.com/gpu=0")),
    ]
}
