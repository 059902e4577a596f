//! CDI files and directories, vendors' toolkits, engines.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use serde_json::Value;

use super::{Report, ctk, describe, examine, host, program, set_up};
use crate::hosts::put;
use crate::scratch;
use crate::stale::update_driver;

#[test]
fn a_cdi_file_of_an_older_driver_is_told_with_the_command_that_renews_it() {
    let Some(host) = host("nvidia-h100-8") else { return };
    describe(host.path(), "cdi/nvidia.json");
    update_driver(host.path());
    let report = examine(host.path());
    let (level, what, fix) = report.one("cdi-file");
    assert_eq!((level, report.code), ("WARN", Some(0)));
    assert!(what.contains("cdi/nvidia.json: out of date: ") && what.contains("550.54.15"), "{what}");
    let file = host.path().join("cdi/nvidia.json");
    assert_eq!(fix, format!("gpu-ctk cdi generate --vendor nvidia --output {}", file.display()));

    set_up(host.path(), "[inject]\ngenerate = \"never\"\n");
    let report = examine(host.path());
    assert_eq!((report.one("cdi-file").0, report.code), ("FAIL", Some(1)));

    assert!(ctk(host.path()).args(fix.split(' ').skip(1)).output().unwrap().status.success());
    assert_eq!(examine(host.path()).one("cdi-file").0, "PASS");
}

#[test]
fn a_runc_without_the_fixes_of_published_vulnerabilities_is_told() {
    let Some(host) = host("nvidia-h100-8") else { return };
    for (version, names) in [
        ("1.1.5+ds1-1+deb12u1", &["CVE-2025-31133, CVE-2025-52565 and CVE-2025-52881", "CVE-2026-41579"][..]),
        ("1.4.0-rc.3", &["CVE-2026-41579"]),
        ("1.5.0", &[]),
    ] {
        program(host.path(), "usr/sbin/runc", &format!("runc version {version}"));
        let report = examine(host.path());
        let findings = report.of_check("low-level-runtime");
        let [first, flaws @ ..] = &findings[..] else { panic!("{version}: nothing") };
        assert!(first.1.contains(", version 1."), "{version}: {first:?}");
        assert_eq!(flaws.len(), names.len(), "{version}: {flaws:?}");
        for ((level, what, fix), names) in flaws.iter().zip(names) {
            assert!(*level == "WARN" && what.ends_with(names), "{version}: {what}");
            assert!(
                fix.contains("a distribution's package can hold the fix under an older number"),
                "{version}: {fix}"
            );
        }
        assert_eq!(report.code, Some(0));
    }
}

#[test]
fn a_device_that_no_file_describes_makes_the_file_out_of_date() {
    let Some(host) = host("nvidia-h100-8") else { return };
    describe(host.path(), "cdi/nvidia.json");
    let mut file: Value = serde_json::from_slice(&fs::read(host.path().join("cdi/nvidia.json")).unwrap()).unwrap();
    let devices = file["devices"].as_array_mut().unwrap();
    devices.retain(|device| matches!(device["name"].as_str(), Some("0" | "1")));
    put(host.path(), "cdi/nvidia.json", &file.to_string());
    let report = examine(host.path());
    let (level, what, _) = report.one("cdi-file");
    assert!(level == "WARN" && what.contains("the device 2 is not in it and 5 more"), "{what}");
}

#[test]
fn files_that_clash_and_files_that_are_broken_are_told_one_by_one() {
    let Some(host) = host("nvidia-h100-8") else { return };
    describe(host.path(), "cdi/a.json");
    fs::copy(host.path().join("cdi/a.json"), host.path().join("cdi/b.json")).unwrap();
    put(host.path(), "cdi/c.json", "{");
    let report = examine(host.path());
    assert_eq!(report.code, Some(1));
    let found = report.of_check("cdi-file");
    let [a, b, c] = found[..] else { panic!("{found:?}") };
    assert!(
        a.0 == "FAIL" && a.1.contains("a.json: conflicts with ") && a.1.contains("b.json about nvidia.com/gpu=0"),
        "{a:?}"
    );
    assert!(b.0 == "FAIL" && b.1.contains("b.json: conflicts with ") && b.1.contains("/cdi/a.json about"), "{b:?}");
    assert!(a.1.ends_with(" and 24 more"), "{a:?}");
    assert!(c.0 == "FAIL" && c.1.contains("c.json") && c.2.starts_with("gpu-ctk cdi validate "), "{c:?}");
}

#[test]
fn a_directory_that_is_not_read_is_told_apart_from_one_that_is_absent() {
    let Some(host) = host("none") else { return };
    let dir = host.path().join("cdi");
    assert_eq!(examine(host.path()).one("cdi-dir").0, "SKIP");
    fs::create_dir(&dir).unwrap();
    assert_eq!(examine(host.path()).one("cdi-dir").0, "PASS");
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).unwrap();
    let report = examine(host.path());
    let (level, what, fix) = report.one("cdi-dir");
    assert_eq!((level, report.code), ("FAIL", Some(1)));
    assert!(what.contains("the spec directory is not used"), "{what}");
    assert_eq!(fix, format!("chmod go-w {}", dir.display()));
    fs::remove_dir(&dir).unwrap();
    symlink("cdi", &dir).unwrap();
    let report = examine(host.path());
    let (level, what, _) = report.one("cdi-dir");
    assert!(level == "FAIL" && what.contains("cannot open the spec directory"), "{what}");
}

#[test]
fn an_old_toolkit_on_the_path_is_told() {
    let Some(host) = host("none") else { return };
    program(host.path(), "opt/tools/nvidia-ctk", "NVIDIA Container Toolkit CLI version 1.17.8");
    program(host.path(), "usr/bin/amd-ctk", "version: 1.3.0");
    let report = examine(host.path());
    let found = report.of_check("toolkit");
    let [nvidia, amd] = found[..] else { panic!("{found:?}") };
    assert_eq!((nvidia.0, nvidia.1), ("WARN", "/opt/tools/nvidia-ctk, version 1.17.8, is older than 1.18.0"));
    assert_eq!((amd.0, amd.1), ("PASS", "/usr/bin/amd-ctk, version 1.3.0"));
}

#[test]
fn each_engine_is_told_whether_it_knows_gpu_runc() {
    let Some(host) = host("none") else { return };
    let root = host.path();
    program(root, "usr/bin/gpu-runc", "");
    program(root, "usr/bin/dockerd", "Docker version 24.0.5, build x");
    program(root, "usr/bin/containerd", "containerd github.com/containerd/containerd v2.1.4 x");
    program(root, "usr/bin/podman", "podman version 5.0.0");
    put(
        root,
        "etc/docker/daemon.json",
        r#"{"runtimes": {"gpus": {"path": "/usr/bin/gpu-runc"}}, "default-runtime": "gpus"}"#,
    );
    put(root, "etc/containerd/config.toml", "version = 2\nimports = [\"conf.d/*.toml\"]\n");
    let report = examine(root);
    let found = report.of_check("engine");
    let [containerd, docker, podman] = found[..] else { panic!("{found:?}") };
    assert_eq!((containerd.0, containerd.2), ("WARN", "gpu-ctk runtime configure --engine containerd"));
    assert!(docker.0 == "PASS" && docker.1.ends_with("registered as \"gpus\", the default"), "{docker:?}");
    assert!(
        podman.0 == "WARN" && podman.1.ends_with(": --runtime /usr/bin/gpu-runc works, --runtime gpu-runc does not"),
        "{podman:?}"
    );
    assert_eq!(podman.2, "gpu-ctk runtime configure --engine podman");

    let runtime = "[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.gpu-runc.options]\nBinaryName = \"/usr/local/bin/gpu-runc\"\n";
    put(root, "etc/containerd/conf.d/50-gpu-runc.toml", runtime);
    put(root, "etc/docker/daemon.json", "{\n\"runtimes\": ");
    let report = examine(root);
    let found = report.of_check("engine");
    let [containerd, docker, _] = found[..] else { panic!("{found:?}") };
    assert!(
        containerd.0 == "FAIL" && containerd.1.contains("\"/usr/local/bin/gpu-runc\" is not there"),
        "{containerd:?}"
    );
    assert!(docker.0 == "FAIL" && docker.1.contains("/etc/docker/daemon.json:2: "), "{docker:?}");
}

#[test]
fn the_engines_of_this_very_machine_are_found_with_their_versions() {
    let test = "the_engines_of_this_very_machine_are_found_with_their_versions";
    let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-ctk"));
    let report = Report::of(command.env("GPU_RUNC_CONFIG", "/absent"));
    let found = report.of_check("engine");
    for (program, name) in [("containerd", "containerd"), ("dockerd", "docker"), ("podman", "podman")] {
        if scratch::program_on_path(program).is_none() {
            scratch::skip(test, &format!("there is no {program}"));
            continue;
        }
        let is_it = |(_, what, _): &&(&str, &str, &str)| {
            what.strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with(|c: char| c.is_ascii_digit()))
        };
        assert!(found.iter().any(|found| is_it(&found)), "{program}: {found:?}");
    }
    if let Some(podman) = scratch::program_on_path("podman") {
        let place = scratch::Scratch::new();
        place.program("bin/gpu-runc", "#!/bin/sh\nexec runc \"$@\"\n");
        let path = format!("{}:{}", place.text("bin"), std::env::var("PATH").unwrap_or_default());
        let takes = |runtime: &str| {
            let mut command = Command::new(&podman);
            command.env("PATH", &path).env("CONTAINERS_CONF", "/dev/null").args(["--runtime", runtime, "info"]);
            command.output().unwrap().status.success()
        };
        if takes("runc") {
            let given = (takes("gpu-runc"), takes(&place.text("bin/gpu-runc")));
            assert_eq!(
                given,
                (false, true),
                "podman finds a runtime by its path, and on the PATH none that no file names"
            );
        } else {
            scratch::skip(test, "podman does not work here");
        }
    }
    match scratch::program_on_path("runc") {
        Some(_) => {
            let found = report.of_check("low-level-runtime");
            assert!(
                found.first().is_some_and(|(_, what, _)| what.contains("/runc, version ")),
                "{:?}",
                report.findings
            );
            // podman's containers get crun where it is installed. Others report vulnerabilities that this machine's may have.
            let podmans = found.iter().filter(|(_, what, _)| what.contains("/crun"));
            assert!(podmans.clone().all(|(_, what, _)| what.ends_with(", for podman")), "{found:?}");
        }
        None => scratch::skip(test, "there is no runc"),
    }
}
