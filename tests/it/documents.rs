//! A config.json that parsers read differently, or that cannot be read where it decides something: nobody gets more by it, a
//! container that asks for nothing is none the worse for it.

use std::fs;
use std::process::Command;

use crate::scratch::Scratch;

const GPU_RUNC: &str = env!("CARGO_BIN_EXE_gpu-runc");

/// A device whose edits are a variable, and a link in the container's root.
const DEVICE: &str = r#"{"cdiVersion":"0.5.0","kind":"nvidia.com/gpu","devices":[{"name":"0","containerEdits":{"env":["GOT=it"],
    "hooks":[{"hookName":"createContainer","path":"/usr/bin/nvidia-cdi-hook","args":["nvidia-cdi-hook","create-symlinks","--link","t::/link"]}]}}]}"#;

fn machine(policy: &str) -> Scratch {
    let scratch = Scratch::new();
    let dirs = scratch.text("cdi");
    let config = format!(
        "runtimes = [\"/bin/true\"]\n[log]\nsyslog = false\n[cdi]\nspec-dirs = [{dirs:?}]\n[inject]\ngenerate = \"never\"\n{policy}"
    );
    scratch.write("gpu-runc.toml", &config);
    scratch.write("cdi/nvidia.json", DEVICE);
    for root in ["rootfs", "victim"] {
        fs::create_dir(scratch.path(root)).unwrap();
    }
    scratch
}

/// What the document becomes, or the one line that is said instead; then it is as it was.
fn start(scratch: &Scratch, document: &str) -> Result<String, String> {
    scratch.write("config.json", document);
    let mut command = Command::new(GPU_RUNC);
    command.args(["create", "c"]).env("GPU_RUNC_CONFIG", scratch.path("gpu-runc.toml"));
    let output = command.current_dir(scratch.path("")).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    if output.status.success() {
        assert_eq!(said, "", "{document}");
        return Ok(scratch.read("config.json"));
    }
    assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{document}: {said}");
    assert_eq!(scratch.read("config.json"), document, "{said}");
    Err(said)
}

#[test]
fn half_a_character_hides_nothing_and_is_nobodys_harm() {
    const PODS: &str = "[policy.pods]\nenv = \"never\"\nnamespaces = []\n";
    const ASKS: &str = r#""process":{"env":["NVIDIA_VISIBLE_DEVICES=0"]}"#;
    let pod = |kind: &str| {
        let engine =
            format!(r#""io.kubernetes.cri.container-type":"{kind}","io.kubernetes.cri.sandbox-namespace":"evil""#);
        [
            format!(r#"{{"annotations":{{{engine}}},{ASKS}}}"#),
            format!(r#"{{"annotations":{{"\ud800":"",{engine}}},{ASKS}}}"#),
        ]
    };
    for document in pod("container") {
        let said = start(&machine(PODS), &document).unwrap_err();
        assert!(said.contains("may not ask for GPUs") && said.contains("does not list \"evil\""), "{said}");
    }
    let scratch = machine("");
    for document in pod("sandbox") {
        assert_eq!(start(&scratch, &document).unwrap(), document, "a pause container is known by its annotation");
    }
    for nothing in [
        r#"{"\ud800":1,"process":{"env":["A=\udc00","\ud800"]},"annotations":{"\udbff\ud800":"\udfff"}}"#,
        r#"{"hooks":{"\ud800":[{"path":"\ud800"}]},"mounts":[{"destination":"\ud800","\udc00":1}]}"#,
    ] {
        assert_eq!(start(&scratch, nothing).as_deref(), Ok(nothing));
    }
    for (given, becomes) in [
        (
            r#"{"\ud800":"\udc00","process":{"env":["NVIDIA_VISIBLE_DEVICES=0","A=\ud800"],"\ud800":1}}"#,
            r#"{"\ud800":"\udc00","process":{"env":["NVIDIA_VISIBLE_DEVICES=0","A=\ud800","GOT=it"],"\ud800":1}}"#,
        ),
        (
            r#"{"annotations":{"gpu-runc/gpus":"device=0","\ud800":"\ud800"},"process":{"env":["GOT=\ud800"]}}"#,
            r#"{"annotations":{"gpu-runc/gpus":"device=0","\ud800":"\ud800"},"process":{"env":["GOT=it"]}}"#,
        ),
    ] {
        assert_eq!(start(&scratch, given).as_deref(), Ok(becomes));
    }
    let said = start(&scratch, r#"{"process":{"env":["NVIDIA_VISIBLE_DEVICES=0\ud800"]}}"#).unwrap_err();
    assert!(said.contains("unresolvable CDI devices nvidia.com/gpu=0\u{fffd} "), "{said}");
}
