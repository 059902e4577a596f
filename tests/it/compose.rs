//! `gpu-ctk compose` as a person meets it, and what podman-compose makes of its files where it is there.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::scratch::{Scratch, program_on_path, skip, succeed};

const FILE: &str = "\
services:
  web:
    image: x
    deploy:
      resources:
        reservations:
          devices:
            - driver: nvidia
              count: all
              capabilities: [gpu]
  db:
    image: y
";

fn ctk(scratch: &Scratch, args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-ctk"));
    let config = scratch.path("config.toml");
    let config = if config.exists() { config } else { "/dev/null".into() };
    let output = command.env("GPU_RUNC_CONFIG", config).current_dir(scratch.path("")).args(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn an_override_goes_to_stdout_or_to_a_file_and_never_over_what_is_read() {
    let scratch = Scratch::new();
    scratch.write("compose.yaml", FILE);
    let (code, out, err) = ctk(&scratch, &["compose", "compose.yaml"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    for part in ["  web:\n    runtime: gpu-runc\n", "      gpu-runc/gpus: '[{", "devices: !reset null"] {
        assert!(out.contains(part), "{part} is missing from\n{out}");
    }
    assert!(!out.contains("db:"), "{out}");
    let written = ctk(&scratch, &["compose", "compose.yaml", "-o", "gpu.yaml", "--runtime", "other"]);
    assert_eq!(written, (Some(0), String::new(), String::new()));
    assert_eq!(scratch.read("gpu.yaml"), out.replace("of gpu-runc.", "of other.").replace(": gpu-runc\n", ": other\n"));
    let stdout = ctk(&scratch, &["compose", "compose.yaml", "-o", "-"]);
    assert!(stdout == (Some(0), out.clone(), String::new()) && !scratch.path("-").exists(), "{stdout:?}");
    std::os::unix::fs::symlink("compose.yaml", scratch.path("link.yaml")).unwrap();
    fs::hard_link(scratch.path("compose.yaml"), scratch.path("hard.yaml")).unwrap();
    scratch.write("scalar.yaml", "services: 3\n");
    for (args, message) in [
        (&["compose.yaml", "-o", "compose.yaml"][..], "compose.yaml is read; write to another file"),
        (&["compose.yaml", "-o", "./compose.yaml", "--whole"], "./compose.yaml is read; write to another file"),
        (&["compose.yaml", "-o", "link.yaml"], "link.yaml is read; write to another file"),
        (&["compose.yaml", "-o", "hard.yaml"], "hard.yaml is read; write to another file"),
        (&["compose.yaml", "--runtime", ""], "--runtime is empty"),
        (&["scalar.yaml"], "scalar.yaml:1: services: expected a mapping of names"),
        (&["compose.yaml", "compose.yaml", "--whole"], "--whole takes one file"),
        (&["absent.yaml"], "cannot read absent.yaml: not found"),
        (&["config.toml"], "config.toml: no service reserves devices"),
    ] {
        scratch.write("config.toml", "");
        let (code, out, err) = ctk(&scratch, &[&["compose"], args].concat());
        assert!(code == Some(1) && out.is_empty() && err.contains(message), "{args:?}: {err}");
    }
    assert_eq!(scratch.read("compose.yaml"), FILE);
}

#[test]
fn a_disk_that_is_full_leaves_the_file_that_was_there() {
    const TEST: &str = "compose::a_disk_that_is_full_leaves_the_file_that_was_there";
    let scratch = Scratch::new();
    scratch.write("compose.yaml", FILE);
    let (folder, ctk) = (scratch.text("small"), env!("CARGO_BIN_EXE_gpu-ctk"));
    fs::create_dir(&folder).unwrap();
    let script = format!(
        "mount -t tmpfs -o size=8k none {folder} || exit 9; cd {folder}; echo old >gpu.yaml; cat /dev/zero >full 2>/dev/null\n\
         GPU_RUNC_CONFIG=../config.toml {ctk} compose ../compose.yaml -o gpu.yaml; echo $?; cat gpu.yaml; ls"
    );
    scratch.write("config.toml", "");
    let output = Command::new("unshare").args(["--mount", "--propagation", "private", "sh", "-c", &script]).output();
    let Some(output) = output.ok().filter(|output| output.status.success()) else {
        return skip(TEST, "no file system can be mounted here");
    };
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1\nold\nfull\ngpu.yaml\n", "{output:?}");
    // What is no file is written to as it comes.
    assert_eq!(self::ctk(&scratch, &["compose", "compose.yaml", "-o", "/dev/null"]).0, Some(0));
    assert!(ctk_says(&scratch, &["compose", "compose.yaml", "-o", "/dev/full"]).contains("cannot write /dev/full"));
}

fn ctk_says(scratch: &Scratch, args: &[&str]) -> String {
    let (code, _, err) = ctk(scratch, args);
    assert_eq!(code, Some(1), "{err}");
    err
}

#[test]
fn a_vendor_of_the_configuration_is_a_driver() {
    let scratch = Scratch::new();
    scratch.write("compose.yaml", &FILE.replace("nvidia", "acme"));
    let (code, _, err) = ctk(&scratch, &["compose", "compose.yaml"]);
    assert!(code == Some(1) && err.contains("compose.yaml:8: service web: unknown driver \"acme\""), "{err}");
    scratch
        .write("config.toml", "[[vendor]]\nname = \"acme\"\nkind = \"acme.example/npu\"\ndevices = \"/dev/acme*\"\n");
    assert_eq!(ctk(&scratch, &["compose", "compose.yaml"]).0, Some(0));
}

#[test]
fn podman_compose_sees_the_request_and_no_reservation() {
    const TEST: &str = "podman_compose_sees_the_request_and_no_reservation";
    let Some(program) = program_on_path("podman-compose") else {
        return skip(TEST, "(optional) no podman-compose; Debian 12 has one that knows no \"config\"");
    };
    let scratch = Scratch::new();
    scratch.write("compose.yaml", FILE);
    assert_eq!(ctk(&scratch, &["compose", "compose.yaml", "-o", "gpu.yaml"]).0, Some(0));
    assert_eq!(ctk(&scratch, &["compose", "compose.yaml", "--whole", "-o", "whole.yaml"]).0, Some(0));
    for files in [&["-f", "compose.yaml", "-f", "gpu.yaml"][..], &["-f", "whole.yaml"]] {
        let output = Command::new(&program).current_dir(scratch.path("")).args(files).arg("config").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        if files.len() == 4 && error.contains("could not determine a constructor for the tag '!reset'") {
            skip(TEST, "this podman-compose is older than !reset (optional)");
            continue;
        }
        if error.contains("invalid choice: 'config'") {
            return skip(TEST, "this podman-compose knows no \"config\" (optional)");
        }
        assert!(output.status.success(), "{error}");
        assert!(text.contains("runtime: gpu-runc") && text.contains("gpu-runc/gpus: '[{"), "{text}");
        assert!(!text.lines().any(|line| line.trim_start().starts_with("devices:")), "{text}");
    }
}

/// The value reaches config.json through podman, whose flags split at commas before 5.0.
#[test]
fn podman_hands_the_annotation_to_the_runtime() {
    const TEST: &str = "podman_hands_the_annotation_to_the_runtime";
    let Some(podman) = program_on_path("podman") else { return skip(TEST, "no podman") };
    let scratch = Scratch::new();
    fs::create_dir_all(scratch.path("root/bin")).unwrap();
    scratch.write("compose.yaml", "services: {web: {image: x, gpus: [{count: 2}]}}");
    let (_, out, _) = ctk(&scratch, &["compose", "compose.yaml"]);
    let value = out.lines().find_map(|line| line.trim().strip_prefix("gpu-runc/gpus: '")?.strip_suffix('\'')).unwrap();
    let store = [scratch.text("store"), scratch.text("run")];
    let run = |args: &[&str]| {
        let mut command = Command::new(&podman);
        command.args(["--root", &store[0], "--runroot", &store[1], "--storage-driver", "vfs"]).args(args);
        succeed(&mut command)
    };
    let (root, pair) = (scratch.text("root"), format!("gpu-runc/gpus={value}"));
    let id = run(&["create", "--network", "none", "--annotation", &pair, "--rootfs", &root, "/bin/true"]);
    let inspected: Value = serde_json::from_str(&run(&["inspect", id.trim()])).unwrap();
    run(&["rm", id.trim()]);
    assert_eq!(inspected[0]["Config"]["Annotations"]["gpu-runc/gpus"], json!("2"));
}
