//! Generation: a host with a driver and nothing else gives containers its GPUs, and describes them to other engines.
//!
//! The specs that each host of tests/hosts comes to, one for each vendor, are in its `expected.yaml`; a host without one has no
//! device. `BLESS=1`
//! writes it anew.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use gpu_runc::cdi;
use serde_json::{Value, json};

use crate::hosts::{self, configure, create, ctk, paths};
use crate::scratch::{skip, this_test};

const SEVERAL: &str = "several vendors' devices, which do not go into one file; choose with --vendor";

fn check(name: &str) -> Result<(), String> {
    let Some(host) = hosts::make(&[name]) else { return Ok(()) };
    configure(host.path(), "");
    // What would be written, which for a host of one vendor is a file, and for several is printed only by a dry run.
    let output = ctk(host.path(), &["cdi", "generate", "--dry-run", "--format", "yaml"]);
    let (text, error) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    let expected = hosts::folder().join(name).join("expected.yaml");
    if std::env::var_os("BLESS").is_some() && output.status.success() {
        fs::write(&expected, &text).unwrap();
    }
    match (fs::read_to_string(&expected), output.status.success()) {
        (Ok(expected), true) if expected != text => return Err(format!("gave\n{text}")),
        (Ok(_), true) => {
            for spec in text.split("---\n").filter(|spec| !spec.is_empty()) {
                cdi::parse(spec).map_err(|faults| format!("is no valid spec: {faults:?}\n{spec}"))?;
            }
        }
        (Ok(_), false) => return Err(error),
        (Err(_), true) => return Err(format!("has devices, but no expected.yaml\n{text}")),
        (Err(_), false) if error.contains("this host has no device of") => return Ok(()),
        (Err(_), false) => return Err(error),
    };
    Ok(())
}

#[test]
fn every_host_is_described_as_expected() {
    let mut names: Vec<_> = fs::read_dir(hosts::folder()).unwrap().map(|host| host.unwrap().file_name()).collect();
    names.sort();
    let failures: Vec<_> =
        names.iter().filter_map(|name| Some(format!("{}: {}", name.display(), check(name.to_str()?).err()?))).collect();
    assert!(failures.is_empty(), "{} of {} hosts:\n{}", failures.len(), names.len(), failures.join("\n"));
}

#[test]
fn a_container_gets_its_gpu_from_a_host_without_cdi_files() {
    let Some(host) = hosts::make(&["nvidia-h100-8"]) else { return };
    configure(host.path(), "");
    let lib = "/usr/lib/x86_64-linux-gnu";
    for id in ["4", "GPU-a1000004-0000-4000-8000-000000000004", "0000:9d:00.0"] {
        let container = create(host.path(), &[&format!("NVIDIA_VISIBLE_DEVICES={id}")]).unwrap();
        let nodes = paths(&container, "/linux/devices", "path");
        for node in ["/dev/nvidia7", "/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-modeset", "/dev/dri/renderD132"]
        {
            assert!(nodes.contains(&node), "{id}: {node} is not in {nodes:?}");
        }
        assert!(!nodes.contains(&"/dev/nvidia4"), "{id}: the other numbering: {nodes:?}");
        let places = paths(&container, "/mounts", "destination");
        for file in ["libcuda.so.550.54.15", "libcuda.so.1", "libnvidia-ml.so.1"] {
            assert!(places.contains(&format!("{lib}/{file}").as_str()), "{id}: {file} is not in {places:?}");
        }
        assert!(places.contains(&"/tmp/nvidia-mps"), "{id}: {places:?}");
        for source in paths(&container, "/mounts", "source") {
            assert!(Path::new(source).starts_with(host.path()) && Path::new(source).exists(), "{source}");
        }
        assert_eq!(container["process"]["env"], json!(["NVIDIA_VISIBLE_DEVICES=void"]));
    }
    let all = create(host.path(), &["GPU_VISIBLE_DEVICES=all"]).unwrap();
    assert_eq!(paths(&all, "/linux/devices", "path").iter().filter(|path| path.contains("renderD")).count(), 8);
    let only_driver = create(host.path(), &["NVIDIA_VISIBLE_DEVICES=none"]).unwrap();
    let nodes = paths(&only_driver, "/linux/devices", "path");
    assert!(nodes.contains(&"/dev/nvidiactl") && !nodes.contains(&"/dev/nvidia0"), "{nodes:?}");
}

#[test]
fn runc_starts_a_container_with_what_was_found() {
    let (Some(runc), Some(busybox)) = (program("runc"), program("busybox")) else {
        return skip(&this_test(), "needs runc and busybox (apt-get install runc busybox-static)");
    };
    let Some(host) = hosts::make(&["nvidia-h100-8"]) else { return };
    configure(host.path(), "");
    let bundle = host.path().join("bundle");
    fs::create_dir_all(bundle.join("rootfs/bin")).unwrap();
    fs::copy(busybox, bundle.join("rootfs/bin/busybox")).unwrap();
    assert!(Command::new(&runc).args(["spec", "--bundle"]).arg(&bundle).status().unwrap().success());
    let mut config: Value = serde_json::from_slice(&fs::read(bundle.join("config.json")).unwrap()).unwrap();
    let mut run = |program: &Path, env: &[&str], args: &[&str]| {
        config["process"]["terminal"] = json!(false);
        config["process"]["env"] = json!(env);
        config["process"]["args"] = json!([&["/bin/busybox"], args].concat());
        config["root"]["readonly"] = json!(false);
        fs::write(bundle.join("config.json"), config.to_string()).unwrap();
        let mut command = Command::new(program);
        command.env("GPU_RUNC_CONFIG", host.path().join("gpu-runc.toml")).current_dir(&bundle);
        let name = format!("generate-{}", std::process::id());
        command.arg("--root").arg(host.path().join("state")).args(["run", &name]).output().unwrap()
    };
    if !run(&runc, &[], &["true"]).status.success() {
        return skip(&this_test(), "runc cannot start a container here");
    }
    let text = fs::read_to_string(host.path().join("gpu-runc.toml")).unwrap();
    fs::write(host.path().join("gpu-runc.toml"), text.replace("\"/bin/true\"", &format!("{runc:?}"))).unwrap();
    let folders = ["ls", "/dev", "/dev/dri", "/usr/lib/x86_64-linux-gnu", "/tmp/nvidia-mps"];
    let output = run(Path::new(env!("CARGO_BIN_EXE_gpu-runc")), &["NVIDIA_VISIBLE_DEVICES=4"], &folders);
    let (seen, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{error}");
    let seen: Vec<_> = seen.lines().collect();
    for name in ["nvidia7", "nvidiactl", "nvidia-uvm", "renderD132", "libcuda.so.1", "libcuda.so.550.54.15", "control"]
    {
        assert!(seen.contains(&name), "{name} is not in {seen:?}");
    }
    assert!(!seen.contains(&"nvidia4"), "{seen:?}");
}

/// Where a program is, if it is installed.
fn program(name: &str) -> Option<PathBuf> {
    let folders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    folders.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.exists())
}

#[test]
fn vendors_of_one_machine_are_told_apart_and_add_up() {
    let Some(host) = hosts::make(&["nvidia-a100-mig-2", "amd-mi300x-cpx-4"]) else { return };
    configure(host.path(), "");
    let error = create(host.path(), &["NVIDIA_VISIBLE_DEVICES=0:2"]).unwrap_err();
    assert!(error.contains("/proc/devices has no nvidia-caps"), "a part without its capabilities is none: {error}");
    fs::write(host.path().join("proc/devices"), "Character devices:\n195 nvidia\n235 nvidia-caps\n").unwrap();
    for (env, expected) in [
        (
            ["NVIDIA_VISIBLE_DEVICES=0:2"].as_slice(),
            ["nvidia-caps/nvidia-cap21", "nvidia-caps/nvidia-cap23", "nvidia0"].as_slice(),
        ),
        (&["AMD_VISIBLE_DEVICES=3"], &["dri/card3", "dri/renderD131", "kfd"]),
        (
            &["AMD_VISIBLE_DEVICES=0X9A00000000000001"],
            &["dri/card0", "dri/card1", "dri/renderD128", "dri/renderD129", "kfd"],
        ),
        (&["AMD_VISIBLE_DEVICES=0", "NVIDIA_VISIBLE_DEVICES=1"], &["dri/card0", "dri/renderD128", "kfd", "nvidia1"]),
        (&["GPU_VISIBLE_DEVICES=amd.com/gpu=2"], &["dri/card2", "dri/renderD130", "kfd"]),
        (&["GPU_VISIBLE_DEVICES=1"], &["nvidia1"]),
    ] {
        let container = create(host.path(), env).unwrap();
        let shared = ["nvidiactl", "nvidia-modeset", "nvidia-uvm", "nvidia-uvm-tools"];
        let mut nodes = paths(&container, "/linux/devices", "path");
        nodes.iter_mut().for_each(|path| *path = path.strip_prefix("/dev/").unwrap());
        nodes.retain(|path| !shared.contains(path));
        nodes.sort_unstable();
        assert_eq!(nodes, expected, "{env:?}");
        let groups = container.pointer("/process/user/additionalGids");
        assert_eq!(groups.is_some(), nodes.contains(&"kfd"), "{env:?}: {groups:?}");
    }
    for file in ["cdi/both.json", "-"] {
        let output = ctk(host.path(), &["cdi", "generate", "--output", file]);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.stdout.is_empty() && error.contains(SEVERAL), "{file}: {error}");
    }
    let output = ctk(host.path(), &["cdi", "generate", "--output", "out/"]);
    assert!(output.status.success() && host.path().join("out/nvidia.com-gpu.json").exists(), "{output:?}");
    assert!(host.path().join("out/amd.com-gpu.json").exists(), "in a folder each has a file");
}

#[test]
fn what_a_machine_has_not_is_told_with_what_it_has() {
    let Some(gpus) = hosts::make(&["nvidia-h100-8"]) else { return };
    configure(gpus.path(), "");
    let error = create(gpus.path(), &["NVIDIA_VISIBLE_DEVICES=7,8"]).unwrap_err();
    assert!(error.starts_with("CDI device injection failed: unresolvable CDI devices nvidia.com/gpu=8 ("), "{error}");
    assert!(error.contains("this host has nvidia.com/gpu=0, 1, 2, 3, 4, 5, 6, 7, all, 0000:1b:00.0, "), "{error}");

    let none = hosts::make(&["none"]).unwrap();
    configure(none.path(), "");
    let error = create(none.path(), &["NVIDIA_VISIBLE_DEVICES=1"]).unwrap_err();
    assert!(error.starts_with("CDI device injection failed: unresolvable CDI devices nvidia.com/gpu=1 ("), "{error}");
    assert!(error.contains("no driver is loaded from which"), "{error}");
}

#[test]
fn files_count_before_the_machine_unless_told_otherwise() {
    let Some(host) = hosts::make(&["nvidia-h100-8"]) else { return };
    let file = json!({"cdiVersion": "0.5.0", "kind": "nvidia.com/gpu", "devices": [{"name": "0", "containerEdits": {"env": ["FROM=file"]}}]});
    let from_file = |container: &Value| container["process"]["env"].as_array().unwrap().contains(&json!("FROM=file"));
    fs::create_dir(host.path().join("cdi")).unwrap();
    fs::write(host.path().join("cdi/nvidia.json"), file.to_string()).unwrap();
    for (generate, id, expected) in [
        ("missing", "0", Ok((true, false))),
        ("missing", "1", Ok((false, true))),
        ("missing", "0,1", Ok((true, true))),
        ("never", "0", Ok((true, false))),
        ("never", "1", Err("unresolvable CDI devices nvidia.com/gpu=1")),
        ("always", "0", Ok((false, true))),
    ] {
        configure(host.path(), &format!("[inject]\ngenerate = \"{generate}\"\n"));
        let container = create(host.path(), &[&format!("NVIDIA_VISIBLE_DEVICES={id}")]);
        match (container, expected) {
            (Ok(container), Ok((file, machine))) => {
                let has_mounts = container.pointer("/mounts").is_some();
                assert_eq!((from_file(&container), has_mounts), (file, machine), "{generate} {id}");
            }
            (Err(error), Err(expected)) => assert!(error.contains(expected), "{generate} {id}: {error}"),
            (outcome, _) => panic!("{generate} {id}: {outcome:?}"),
        }
    }
}

#[test]
fn a_driver_without_its_files_is_told_from_one_that_is_absent() {
    let Some(host) = hosts::make(&["nvidia-h100-8"]) else { return };
    configure(host.path(), "");
    fs::write(
        host.path().join("proc/driver/nvidia/version"),
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  560.1.2  x\n",
    )
    .unwrap();
    let error = create(host.path(), &["NVIDIA_VISIBLE_DEVICES=0"]).unwrap_err();
    assert!(error.contains("version 560.1.2 of the nvidia driver is loaded, but libcuda.so.560.1.2"), "{error}");
    assert!(hosts::add("amd-mi300x-8", host.path()));
    let other = create(host.path(), &["GPU_VISIBLE_DEVICES=0"]).expect("another vendor can answer");
    assert!(paths(&other, "/linux/devices", "path").contains(&"/dev/kfd"));
}

#[test]
fn what_an_image_requires_of_the_driver_is_checked_in_every_mode() {
    let Some(host) = hosts::make(&["nvidia-h100-8"]) else { return };
    let file = json!({"cdiVersion": "0.5.0", "kind": "nvidia.com/gpu", "devices": [{"name": "0", "containerEdits": {"env": ["FROM=file"]}}]});
    for mode in ["missing", "never"] {
        configure(host.path(), &format!("[inject]\ngenerate = \"{mode}\"\n"));
        let gpu = "NVIDIA_VISIBLE_DEVICES=0";
        for (env, unmet) in [
            (&[gpu, "NVIDIA_REQUIRE_CUDA=cuda>=12.4"][..], ""),
            (&[gpu, "NVIDIA_REQUIRE_CUDA=cuda>=12.6 brand=tesla,driver>=550,driver<551"], ""),
            (
                &[gpu, "NVIDIA_REQUIRE_CUDA=cuda>=12.6"],
                "unsatisfied condition: cuda>=12.6, which the container's NVIDIA_REQUIRE_CUDA asks for; this host has cuda 12.4, driver 550.54.15; ",
            ),
            (&[gpu, "NVIDIA_REQUIRE_CUDA=cuda>=12.6", "NVIDIA_DISABLE_REQUIRE=1"], ""),
            (&[gpu, "CUDA_VERSION=13.0.1"], "unsatisfied condition: cuda>=13.0"),
            (&["NVIDIA_REQUIRE_CUDA=cuda>=99"], ""),
        ] {
            match create(host.path(), env) {
                Ok(_) => assert_eq!(unmet, "", "{mode} {env:?}"),
                Err(error) => assert!(!unmet.is_empty() && error.contains(unmet), "{mode} {env:?}: {error}"),
            }
        }
        fs::create_dir_all(host.path().join("cdi")).unwrap();
        fs::write(host.path().join("cdi/nvidia.json"), file.to_string()).unwrap();
    }
    configure(host.path(), "");
    assert!(hosts::add("amd-mi300x-8", host.path()));
    create(host.path(), &["AMD_VISIBLE_DEVICES=0", "NVIDIA_REQUIRE_CUDA=cuda>=99"]).expect("another vendor's driver");
}
