//! gpu-ctk as a person meets it: what it prints, where, and how it exits.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

/// A host with two GPUs in one file, a broken file beside it, and a configuration that looks there.
fn host() -> tempfile::TempDir {
    let host = tempfile::tempdir().unwrap();
    let cdi = host.path().join("cdi");
    fs::create_dir(&cdi).unwrap();
    let device = |name: &str| json!({"name": name, "containerEdits": {"deviceNodes": [{"path": format!("/dev/nvidia{name}"), "hostPath": "/dev/null"}]}});
    let spec = json!({"cdiVersion": "0.5.0", "kind": "nvidia.com/gpu", "devices": [device("0"), device("10"), device("2")],
                      "containerEdits": {"env": ["NVIDIA_VISIBLE_DEVICES=void"]}});
    fs::write(cdi.join("nvidia.json"), spec.to_string()).unwrap();
    fs::write(cdi.join("bad.yaml"), "cdiVersion: 0.5.0\nkind: nvidia.com/gpu\ndevices:\n- name: x\n  containerEdits:\n    mounts:\n    - hostPath: /h\n").unwrap();
    fs::write(host.path().join("config.toml"), format!("[cdi]\nspec-dirs = [{cdi:?}]\n")).unwrap();
    host
}

fn ctk(host: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-ctk"));
    command.env("GPU_RUNC_CONFIG", host.join("config.toml")).current_dir(host).args(args).output().unwrap()
}

fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn devices_are_listed_by_number_and_problems_are_told_apart_from_them() {
    let host = host();
    let (code, out, err) = said(&ctk(host.path(), &["cdi", "list"]));
    assert_eq!(
        (code, out.as_str()),
        (Some(0), "Found 3 CDI devices\nnvidia.com/gpu=0\nnvidia.com/gpu=2\nnvidia.com/gpu=10\n")
    );
    assert!(err.contains("cdi/bad.yaml:7: ") && err.contains("containerPath"), "{err}");

    let (_, out, _) = said(&ctk(host.path(), &["cdi", "list", "-v"]));
    let line = format!("nvidia.com/gpu=10  {}  0.5.0\n", host.path().join("cdi/nvidia.json").display());
    assert!(out.contains(&line), "{out}");

    let (_, out, err) = said(&ctk(host.path(), &["cdi", "list", "--json"]));
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["devices"][2]["name"], "nvidia.com/gpu=10");
    assert_eq!((report["problems"][0]["line"].as_u64(), err.as_str()), (Some(7), ""));

    for command in ["list", "validate"] {
        let (code, out, err) = said(&ctk(host.path(), &["cdi", command, "--spec-dir", "cdi", "--spec-dir", "/absent"]));
        assert_eq!(
            (code, out.as_str(), err.as_str()),
            (Some(1), "", "gpu-ctk: --spec-dir /absent: not found\n"),
            "{command}"
        );
    }
}

#[test]
fn files_that_are_out_of_date_are_told_where_they_are_listed_and_checked() {
    let host = host();
    let device = json!({"name": "0", "containerEdits": {
        "deviceNodes": [{"path": "/dev/absent-npu"}], "mounts": [{"hostPath": "/absent.so", "containerPath": "/a"}],
        "hooks": [{"hookName": "createContainer", "path": "/absent-hook"}]}});
    let spec = json!({"cdiVersion": "0.5.0", "kind": "acme.example/npu", "devices": [device]});
    fs::write(host.path().join("cdi/acme.json"), spec.to_string()).unwrap();
    fs::remove_file(host.path().join("cdi/bad.yaml")).unwrap();
    let told = format!(
        "{}: out of date: \"/absent.so\" is not there, the hook \"/absent-hook\" is not there, \"/dev/absent-npu\" is not there",
        host.path().join("cdi/acme.json").display()
    );
    let (code, out, err) = said(&ctk(host.path(), &["cdi", "list"]));
    assert!(code == Some(0) && out.contains("acme.example/npu=0\n"), "{out}");
    assert_eq!(err, format!("gpu-ctk: {told}\n"));
    let (_, out, _) = said(&ctk(host.path(), &["cdi", "list", "--json"]));
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["problems"].as_array().map(Vec::len), Some(1), "{out}");
    let (code, out, _) = said(&ctk(host.path(), &["cdi", "validate"]));
    assert!(code == Some(0) && out.contains(&told.replace(": out", ": warning: out")), "{out}");
    let (code, out, _) = said(&ctk(host.path(), &["cdi", "validate", "cdi/acme.json"]));
    assert!(code == Some(0) && !out.contains("out of date"), "a file may be for another machine: {out}");
    let (code, out, _) = said(&ctk(host.path(), &["explain", "--annotation", "cdi.k8s.io/x=acme.example/npu=0"]));
    assert!(code == Some(1) && out.contains("is out of date: "), "{out}");
}

#[test]
fn validation_tells_every_fault_of_every_file() {
    let host = host();
    let faulty = json!({"cdiVersion": "0.3.0", "kind": "nvidia.com/gpu", "devices": [
        {"name": "0", "containerEdits": {"env": ["NOVALUE"], "deviceNodes": [{"path": "/dev/x", "permissions": "rwx"}]}},
        {"name": "-", "containerEdits": {}}]});
    fs::write(host.path().join("faulty.json"), faulty.to_string()).unwrap();
    let (code, out, _) = said(&ctk(host.path(), &["cdi", "validate", "cdi/nvidia.json", "faulty.json", "absent.json"]));
    assert_eq!(code, Some(1));
    for part in [
        "cdi/nvidia.json: valid: nvidia.com/gpu with 3 devices, CDI 0.5.0",
        "invalid environment variable \"NOVALUE\"",
        "invalid permissions \"rwx\"",
        "should start with a letter or digit",
        "empty device edits",
        "cannot read absent.json: not found",
    ] {
        assert!(out.contains(part), "{part} is missing from\n{out}");
    }
    assert_eq!(said(&ctk(host.path(), &["cdi", "validate", "cdi/nvidia.json"])).0, Some(0));
    let (code, out, _) = said(&ctk(host.path(), &["cdi", "validate", "--json"]));
    let report: Value = serde_json::from_str(&out).unwrap();
    let verdicts: Vec<_> = report.as_array().unwrap().iter().map(|verdict| verdict["valid"].as_bool()).collect();
    assert_eq!((code, verdicts), (Some(1), vec![Some(true), Some(false)]), "{out}");
    assert_eq!((&report[0]["devices"], &report[1]["faults"][0]["line"]), (&json!(3), &json!(7)), "{out}");
    let (code, out, _) = said(&ctk(host.path(), &["cdi", "validate"]));
    assert!(code == Some(1) && out.contains("nvidia.json: valid") && out.contains("bad.yaml:7: "), "{out}");
}

#[test]
fn names_are_resolved_to_the_edits_that_would_be_made() {
    let host = host();
    let (code, out, _) = said(&ctk(host.path(), &["cdi", "resolve", "nvidia.com/gpu=0", "nvidia.com/gpu=2"]));
    let edits: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &edits["env"]), (Some(0), &json!(["NVIDIA_VISIBLE_DEVICES=void"])));
    assert_eq!(
        edits["deviceNodes"][1],
        json!({"path": "/dev/nvidia2", "hostPath": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 438})
    );
    for (name, message) in [
        (
            "nvidia.com/gpu=9",
            "unresolvable CDI devices nvidia.com/gpu=9 (asked for by the command line; this host has nvidia.com/gpu=0, 2, 10",
        ),
        ("amd.com/gpu=0", "describes amd.com/gpu, only nvidia.com/gpu"),
        ("0", "unqualified device \"0\", missing vendor; expected vendor/class=name"),
    ] {
        let (code, out, err) = said(&ctk(host.path(), &["cdi", "resolve", name]));
        assert!(code == Some(1) && out.is_empty() && err.contains(message), "{err}");
    }
}

#[test]
fn a_machine_without_spec_directories_is_told_that_it_has_none() {
    let host = host();
    fs::write(host.path().join("config.toml"), "[cdi]\nspec-dirs = []\n[inject]\ngenerate = \"never\"\n").unwrap();
    let (_, _, err) = said(&ctk(host.path(), &["cdi", "resolve", "nvidia.com/gpu=0"]));
    assert!(err.contains("no CDI file in any folder (cdi.spec-dirs is empty) describes nvidia.com/gpu"), "{err}");
}

#[test]
fn a_request_is_explained_from_wish_to_difference() {
    let host = host();
    let (code, out, _) = said(&ctk(host.path(), &["explain", "--env", "NVIDIA_VISIBLE_DEVICES=0"]));
    assert_eq!(code, Some(0));
    let file = host.path().join("cdi/nvidia.json").display().to_string();
    for part in [
        "by environment variable \"NVIDIA_VISIBLE_DEVICES=0\"",
        "allows it",
        &format!("nvidia.com/gpu=0 from {file}"),
        "-      \"NVIDIA_VISIBLE_DEVICES=0\"",
        "+      \"NVIDIA_VISIBLE_DEVICES=void\"",
        "+        \"path\": \"/dev/nvidia0\",",
    ] {
        assert!(out.contains(part), "{part} is missing from\n{out}");
    }
    let (code, out, _) = said(&ctk(host.path(), &["explain", "--annotation", "gpu-runc/gpus=4"]));
    assert!(code == Some(1) && out.contains("would not start") && out.contains("unresolvable CDI devices"), "{out}");
    let (code, out, _) = said(&ctk(host.path(), &["explain", "--env", "A=b"]));
    assert!(code == Some(0) && out.contains("config.json is not touched"), "{out}");

    let (_, out, _) = said(&ctk(host.path(), &["explain", "--json", "--annotation", "cdi.k8s.io/x=nvidia.com/gpu=2"]));
    let story: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(story["granted"][0]["devices"], json!(["nvidia.com/gpu=2"]));
    assert!(story["diff"].as_str().unwrap().starts_with("--- config.json\n+++ config.json, edited\n"));

    let bundle = host.path().join("bundle");
    fs::create_dir(&bundle).unwrap();
    let text = r#"{"process":{"env":["NVIDIA_VISIBLE_DEVICES=2"]},"future":1e3}"#;
    fs::write(bundle.join("config.json"), text).unwrap();
    for path in ["bundle", "bundle/config.json"] {
        let (code, out, _) = said(&ctk(host.path(), &["explain", "--bundle", path]));
        assert!(code == Some(0) && out.contains("nvidia.com/gpu=2 from"), "{out}");
    }
    assert_eq!(fs::read_to_string(bundle.join("config.json")).unwrap(), text, "explaining changes nothing");
    fs::write(host.path().join("config.toml"), "[policy]\nenv = \"never\"\n").unwrap();
    let (code, out, _) = said(&ctk(host.path(), &["explain", "--bundle", "bundle"]));
    assert!(
        code == Some(0) && out.contains("refuses environment variable") && out.contains("policy.env is \"never\""),
        "{out}"
    );
}

#[test]
fn a_wrong_command_line_exits_with_2_and_says_what_would_be_right() {
    let host = host();
    for (args, message) in [
        (["cdi", "lst"].as_slice(), "a similar subcommand exists: 'list'"),
        (&["cdi", "resolve"], "required arguments were not provided"),
        (&["explain"], "--bundle <DIR>|--env <NAME=VALUE>|--annotation <KEY=VALUE>"),
        (&["explain", "--env", "A"], "expected NAME=VALUE"),
        (&["explain", "--bundle", "b", "--env", "A=b"], "cannot be used with"),
        (&["cdi", "validate", "x.json", "--spec-dir", "cdi"], "cannot be used with"),
    ] {
        let (code, out, err) = said(&ctk(host.path(), args));
        assert!(code == Some(2) && out.is_empty() && err.contains(message), "{args:?}: {err}");
    }
    assert_eq!(
        said(&ctk(host.path(), &["--version"])),
        (Some(0), format!("gpu-ctk {}\n", env!("CARGO_PKG_VERSION")), String::new())
    );
    let (code, _, err) = said(&ctk(host.path(), &["explain", "--bundle", "absent"]));
    assert!(code == Some(1) && err.contains("absent/config.json: not found"), "{err}");
}

#[test]
fn an_answer_that_cannot_be_written_is_an_error_and_a_reader_that_has_gone_is_none() {
    let host = host();
    fs::write(host.path().join("compose.yaml"), "services: {web: {image: x, gpus: all}}").unwrap();
    for args in [
        ["cdi", "list"].as_slice(),
        &["cdi", "validate", "cdi/nvidia.json"],
        &["cdi", "resolve", "nvidia.com/gpu=0"],
        &["list"],
        &["doctor"],
        &["explain", "--env", "A=b"],
        &["config", "default"],
        &["compose", "compose.yaml"],
        &["--help"],
    ] {
        let run = |out: Stdio| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-ctk"));
            command.env("GPU_RUNC_CONFIG", host.path().join("config.toml")).current_dir(host.path()).args(args);
            said(&command.stdout(out).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap())
        };
        const TOLD: &str = "gpu-ctk: cannot write to the standard output: ";
        let (code, _, err) = run(fs::File::options().write(true).open("/dev/full").unwrap().into());
        assert!(code == Some(1) && err.contains(TOLD), "{args:?}: {code:?} {err}");
        let (reader, gone) = std::io::pipe().unwrap();
        drop(reader);
        let (_, _, err) = run(gone.into());
        assert!(!err.contains(TOLD), "{args:?}: {err}");
    }
}
