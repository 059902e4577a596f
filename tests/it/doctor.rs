//! `gpu-ctk doctor` on fake hosts: what is well, what is wrong, and what is done about it.

mod devices;
mod software;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::hosts::{self, configure, put};
use crate::scratch;

/// What was found, and the exit status.
struct Report {
    code: Option<i32>,
    findings: Vec<Value>,
}

impl Report {
    fn of(command: &mut Command) -> Self {
        let output = command.args(["doctor", "--json"]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{text}");
        Report { code: output.status.code(), findings: serde_json::from_str(&text).unwrap() }
    }

    /// Each finding of a check: its level, what is so, and the command that mends it.
    fn of_check(&self, id: &str) -> Vec<(&str, &str, &str)> {
        let found = self.findings.iter().filter(|finding| finding["id"] == id);
        found
            .map(|finding| {
                let member = |name: &str| finding[name].as_str().unwrap_or_default();
                (member("level"), member("what"), member("fix"))
            })
            .collect()
    }

    fn one(&self, id: &str) -> (&str, &str, &str) {
        match self.of_check(id)[..] {
            [one] => one,
            ref several => panic!("{id}: {several:?}"),
        }
    }

    fn levels(&self) -> Vec<(&str, &str)> {
        self.findings
            .iter()
            .map(|finding| (finding["id"].as_str().unwrap(), finding["level"].as_str().unwrap()))
            .collect()
    }
}

/// The tool for the machine below `root`, on which programs are looked for in /opt/tools first.
fn ctk(root: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-ctk"));
    command.env_clear().env("PATH", "/opt/tools").env("GPU_RUNC_CONFIG", root.join("gpu-runc.toml"));
    command
}

fn examine(root: &Path) -> Report {
    Report::of(&mut ctk(root))
}

/// A program of the machine that prints `answer`.
fn program(root: &Path, path: &str, answer: &str) {
    put(root, path, &format!("#!/bin/sh\necho '{answer}'\n"));
    fs::set_permissions(root.join(path), fs::Permissions::from_mode(0o755)).unwrap();
}

/// The host `name` with a configuration and a low-level runtime that answers.
fn host(name: &str) -> Option<tempfile::TempDir> {
    let host = hosts::make(&[name])?;
    program(host.path(), "usr/sbin/runc", "runc version 1.5.0");
    set_up(host.path(), "");
    Some(host)
}

fn set_up(root: &Path, more: &str) {
    configure(root, more);
    let config = fs::read_to_string(root.join("gpu-runc.toml")).unwrap();
    let runc = root.join("usr/sbin/runc");
    fs::write(root.join("gpu-runc.toml"), config.replace("\"/bin/true\"", &format!("{runc:?}"))).unwrap();
}

fn describe(root: &Path, file: &str) {
    let output = hosts::ctk(root, &["cdi", "generate", "--vendor", "nvidia", "--output", file]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The links that udev and the driver's tools make.
fn link_nodes(root: &Path, name: &str) {
    fs::create_dir_all(root.join("dev/char")).unwrap();
    for line in fs::read_to_string(hosts::folder().join(name).join("dev.nodes")).unwrap().lines() {
        if let ["c", major, minor, _, _, _, path] = line.split(' ').collect::<Vec<_>>()[..] {
            symlink(Path::new("/").join(path), root.join(format!("dev/char/{major}:{minor}"))).unwrap();
        }
    }
}

#[test]
fn a_machine_with_nothing_installed_is_told_where_to_begin() {
    let Some(host) = hosts::make(&["none"]) else { return };
    configure(host.path(), "");
    let config = fs::read_to_string(host.path().join("gpu-runc.toml")).unwrap();
    fs::write(host.path().join("gpu-runc.toml"), config.replace("/bin/true", "/absent/runc")).unwrap();
    let report = examine(host.path());
    assert_eq!(report.code, Some(0));
    let is_calm = |(_, level): &(&str, &str)| matches!(*level, "PASS" | "SKIP");
    assert!(report.levels().iter().all(is_calm), "{:?}", report.levels());
    for (id, what, first) in [
        ("low-level-runtime", "there is none", "install runc or crun"),
        ("driver", "no GPU or other accelerator", "plug one in and install its driver"),
        ("engine", "there is none", "install containerd"),
    ] {
        let (level, is, fix) = report.one(id);
        assert!(level == "SKIP" && is.contains(what) && fix.starts_with(first), "{id}: {is}: {fix}");
    }
}

#[test]
fn a_healthy_machine_passes_everything() {
    let Some(host) = host("nvidia-h100-8") else { return };
    let root = host.path();
    for folder in ["run/systemd/system", "sys/fs/cgroup"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    put(root, "sys/fs/cgroup/cgroup.controllers", "cpu\n");
    link_nodes(root, "nvidia-h100-8");
    program(root, "usr/bin/gpu-runc", "");
    program(root, "usr/bin/dockerd", "Docker version 29.0.1, build x");
    put(root, "etc/docker/daemon.json", r#"{"runtimes": {"gpu-runc": {"path": "/usr/bin/gpu-runc"}}}"#);
    program(root, "usr/bin/nvidia-ctk", "NVIDIA Container Toolkit CLI version 1.18.0");
    describe(root, "cdi/nvidia.json");
    let report = examine(root);
    assert_eq!(report.code, Some(0));
    let wrong: Vec<_> = report.levels().into_iter().filter(|(_, level)| !matches!(*level, "PASS" | "SKIP")).collect();
    assert_eq!(wrong, [], "{:#?}", report.findings);
    for (id, what) in [
        ("low-level-runtime", "version 1.5.0"),
        ("cgroup", "version 2; systemd"),
        ("driver", "nvidia: 8 devices, driver 550.54.15"),
        ("nodes", "27 nodes, 9 of major 195, 16 of major 226, 2 of major 511"),
        ("dev-char", "all 27 nodes have one"),
        ("persistence", "its daemon runs"),
        ("toolkit", "/usr/bin/nvidia-ctk, version 1.18.0"),
        ("cdi-file", "nvidia.com/gpu with 25 devices"),
        ("engine", "docker 29.0.1 (system), cgroups by systemd: gpu-runc is registered as \"gpu-runc\""),
    ] {
        let (level, is, _) = report.one(id);
        assert!(level == "PASS" && is.contains(what), "{id}: {is}");
    }
}

#[test]
fn no_fake_host_of_a_working_machine_raises_a_false_alarm() {
    for name in fs::read_dir(hosts::folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()) {
        let Some(host) = host(&name) else { return };
        let report = examine(host.path());
        let wrong: Vec<_> =
            report.of_check("nodes").into_iter().filter(|found| !matches!(found.0, "PASS" | "SKIP")).collect();
        let lacks_nodes = ["nvidia-l4-driver-container-1", "nvidia-a100-mig-2"].contains(&name.as_str());
        assert_eq!(!wrong.is_empty(), lacks_nodes, "{name}: {wrong:?}");
        let is_passed = report.of_check("driver").iter().all(|found| found.0 == "PASS");
        assert_eq!(is_passed, name != "none", "{name}: {:?}", report.of_check("driver"));
    }
}

#[test]
fn a_configuration_that_cannot_be_used_is_the_first_finding() {
    let scratch = scratch::Scratch::new();
    let config = scratch.write("gpu-runc.toml", "runtime = 1\n");
    let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-ctk"));
    let report = Report::of(command.env("GPU_RUNC_CONFIG", config));
    let (level, what, _) = report.one("config");
    assert_eq!((level, report.code), ("FAIL", Some(1)));
    assert!(what.contains("gpu-runc.toml:1: unknown key \"runtime\", did you mean \"runtimes\"?"), "{what}");
    assert!(report.findings.len() > 10, "the other checks go by the defaults");
    let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-ctk"));
    let report = Report::of(command.env("GPU_RUNC_CONFIG", "/absent"));
    let (level, what, fix) = report.one("config");
    assert!((level, report.code) == ("FAIL", Some(1)) && what.contains("/absent: not found, though"), "{what}");
    assert!(fix.starts_with("write /absent, or unset GPU_RUNC_CONFIG;"), "{fix}");
}

#[test]
fn people_read_aligned_lines_without_colour_in_a_pipe() {
    let Some(host) = host("nvidia-h100-8") else { return };
    fs::remove_file(host.path().join("run/nvidia-persistenced/socket")).unwrap();
    program(host.path(), "opt/tools/nvidia-smi", "Disabled");
    let output = ctk(host.path()).arg("doctor").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for line in [
        "PASS  driver             nvidia: 8 devices, driver 550.54.15\n",
        "WARN  persistence        nvidia: it is off\n                           why: a driver that lets go",
        "\n                           fix: systemctl enable --now nvidia-persistenced\n",
        " 0 FAIL, ",
    ] {
        assert!(text.contains(line), "{line:?} is missing from\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "{text:?}");
    assert_eq!(
        String::from_utf8(ctk(host.path()).arg("doctor").output().unwrap().stdout).unwrap(),
        text,
        "the same again"
    );
}
