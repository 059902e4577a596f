//! A config.json that parsers read differently, or that cannot be read where it decides something: nobody gets more by it, a
//! container that asks for nothing is none the worse for it.

use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};

use crate::scratch::Scratch;

const GPU_RUNC: &str = env!("CARGO_BIN_EXE_gpu-runc");
const CTK: &str = env!("CARGO_BIN_EXE_gpu-ctk");

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

fn call(scratch: &Scratch, program: &str, args: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(args).env("GPU_RUNC_CONFIG", scratch.path("gpu-runc.toml")).current_dir(scratch.path(""));
    command.output().unwrap()
}

/// What the document becomes, or the one line that is said instead; then it is as it was.
fn start(scratch: &Scratch, document: &str) -> Result<String, String> {
    scratch.write("config.json", document);
    let output = call(scratch, GPU_RUNC, &["create", "c"]);
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

#[test]
fn a_member_that_decides_is_read_for_certain_or_nothing_is_given() {
    let scratch = machine("");
    for (members, why) in [
        (r#""annotations":["x"]"#, "annotations is no object"),
        (r#""annotations":{"b":"","a":1}"#, "\"a\" in annotations is no string"),
        (r#""annotations":{},"annotations":{"a":"b"}"#, "member \"annotations\" is there more than once"),
        (r#""process":"x""#, "process is no object"),
        (r#""process":{"env":{"A":"b"}}"#, "process.env is no array"),
        (r#""process":{"capabilities":[]}"#, "process.capabilities is no object"),
        (r#""process":{"capabilities":{"bounding":"CAP_MKNOD"}}"#, "process.capabilities.bounding is no array"),
        (
            r#""process":{"capabilities":{"bounding":[]},"Capabilities":{"bounding":["CAP_SYS_ADMIN"]}}"#,
            "process: members \"capabilities\" and \"Capabilities\" differ only in letter case",
        ),
        (r#""mounts":{"destination":"/x"}"#, "mounts is no array"),
        (r#""hooks":[]"#, "hooks is no object"),
        (r#""linux":["x"]"#, "linux is no object"),
        (r#""linux":{"namespaces":{"type":"user"}}"#, "linux.namespaces is no array"),
        (
            r#""linux":{"namespaces":[],"name\u017fpaces":[]}"#,
            "linux: members \"namespaces\" and \"name\u{17f}paces\" differ only in letter case",
        ),
        (r#""linux":{"namespaces":[],"namespaces":[]}"#, "linux: member \"namespaces\" is there more than once"),
        (r#""root":"rootfs""#, "root is no object"),
        (r#""root":{"path":["rootfs"]}"#, "root.path is no string"),
        (r#""root":{"path":"rootfs","path":"victim"}"#, "root: member \"path\" is there more than once"),
        (r#""root":{"Path":"victim"}"#, "root: member \"Path\" is spelled differently from \"path\""),
        (r#""root":{"path":"rootfs"},"root":{"path":"victim"}"#, "member \"root\" is there more than once"),
        (
            r#""root":{"path":"rootfs"},"ROOT":{"path":"victim"}"#,
            "members \"root\" and \"ROOT\" differ only in letter case",
        ),
    ] {
        let asks = match members.starts_with("\"process") {
            true => r#""annotations":{"gpu-runc/gpus":"all"}"#,
            false => r#""process":{"env":["NVIDIA_VISIBLE_DEVICES=all"]}"#,
        };
        let asking = format!("{{{asks},{members}}}");
        let said = start(&scratch, &asking).expect_err(&asking);
        assert!(said.contains(&format!("config.json: cannot be edited safely: {why}")), "{asking}: {said}");
        let told = call(&scratch, CTK, &["explain", "--bundle", "."]);
        assert!(String::from_utf8(told.stdout).unwrap().contains(why), "gpu-ctk explain says so too: {asking}");
        let nothing = asking.replace("NVIDIA_VISIBLE_DEVICES", "A").replace("gpu-runc/gpus", "a");
        assert_eq!(start(&scratch, &nothing).as_ref(), Ok(&nothing), "what asks for nothing is not looked at");
    }
    for root in ["rootfs", "victim"] {
        assert_eq!(fs::read_dir(scratch.path(root)).unwrap().count(), 0, "{root}: nothing was done in any root");
    }
    let certain = r#"{"process":{"env":["NVIDIA_VISIBLE_DEVICES=all"]},"root":{"path":"rootfs"}}"#;
    assert!(start(&scratch, certain).unwrap().contains("GOT=it"));
    assert!(scratch.path("rootfs/link").is_symlink(), "there is work in the root of one that is certain");
}

#[test]
fn a_hook_does_its_work_in_no_root_of_two() {
    let scratch = machine("");
    let hook = |root: &str| {
        scratch.write("config.json", &format!("{{{root}}}"));
        let mut command = Command::new(GPU_RUNC);
        command.arg0("nvidia-cdi-hook").args(["create-symlinks", "--link", "t::/link"]);
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let state = format!(r#"{{"id":"c","bundle":{:?}}}"#, scratch.text(""));
        child.stdin.take().unwrap().write_all(state.as_bytes()).unwrap();
        String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap()
    };
    let said = hook(r#""root":{"path":"rootfs"},"ROOT":{"path":"victim"}"#);
    assert!(said.contains("members \"root\" and \"ROOT\" differ only in letter case"), "{said}");
    assert!(!scratch.path("rootfs/link").is_symlink() && !scratch.path("victim/link").is_symlink());
    assert_eq!(hook(r#""root":{"path":"rootfs"}"#), "");
    assert!(scratch.path("rootfs/link").is_symlink() && !scratch.path("victim/link").is_symlink());
}
