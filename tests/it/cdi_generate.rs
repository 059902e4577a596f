//! `gpu-ctk cdi generate` and `gpu-ctk list`: every flag, what is written where, and what stops them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use gpu_runc::cdi;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::hosts::{self, configure, create, ctk, paths, start};

fn machine(names: &[&str]) -> Option<TempDir> {
    let host = hosts::make(names)?;
    configure(host.path(), "");
    Some(host)
}

/// What is printed, or what stderr says.
fn generate(root: &Path, args: &[&str]) -> Result<String, String> {
    let output = ctk(root, &[&["cdi", "generate"], args].concat());
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

fn names(text: &str) -> Vec<String> {
    cdi::parse(text).unwrap().devices.into_iter().map(|device| device.name).collect()
}

#[test]
fn a_file_is_written_whole_and_read_back() {
    let Some(host) = machine(&["nvidia-h100-8"]) else { return };
    for (args, file) in [
        (&["--vendor", "nvidia", "--output", "cdi/nvidia.json"][..], Ok("cdi/nvidia.json")),
        (&["--output", "cdi/nvidia", "--format", "json"], Ok("cdi/nvidia.json")),
        (&["--output", "cdi/nvidia"], Ok("cdi/nvidia.json")),
        (&["--output", "cdi/nvidia", "--format", "yaml"], Ok("cdi/nvidia.yaml")),
        (&[], Ok("cdi/nvidia.com-gpu.json")),
        (&["--format", "yaml"], Ok("cdi/nvidia.com-gpu.yaml")),
        (&["--output", "cdi/"], Ok("cdi/nvidia.com-gpu.json")),
        (&["--output", "etc"], Ok("etc/nvidia.com-gpu.json")),
        (&["--output", "etc/", "--format", "yaml"], Ok("etc/nvidia.com-gpu.yaml")),
        (&["--output", "/dev/full"], Err("--output /dev/full: it is no regular file")),
        (&["--class", "card"], Ok("cdi/nvidia.com-card.json")),
        (&["--output", "cdi/nvidia.yaml", "--format", "json"], Err("its suffix is not that of --format")),
        (&["--output", "cdi/nvidia.yml"], Err("engines do not read .yml files")),
        (&["--vendor", "acme"], Err("--vendor \"acme\": not known; ")),
        (&["--vendor", "nvidea"], Err("did you mean nvidia? ")),
        (
            &["--vendor", "NVIDIA"],
            Err("--vendor \"NVIDIA\": not known; did you mean nvidia? expected one of nvidia, amd"),
        ),
        (&["--vendor", "amd"], Err("this host has no device of amd")),
        (&["--class", "no class"], Err("--class: ")),
        (
            &["--device", "8", "--vendor", "nvidia"],
            Err("--device \"8\": nvidia has no such device here; it has 0, GPU-"),
        ),
        (&["--driver-root", "/absent", "--vendor", "nvidia"], Err("is in no library folder below /absent")),
        (&["--dev-root", "/absent", "--vendor", "nvidia"], Err("host.dev-root is /absent, which this host has not")),
    ] {
        match (generate(host.path(), args), file) {
            (Ok(told), Ok(file)) => {
                assert!(told.trim().ends_with(file), "{args:?}: {told}");
                let spec = cdi::parse(&fs::read_to_string(host.path().join(file)).unwrap()).unwrap();
                assert_eq!((spec.cdi_version.as_str(), spec.devices.len()), ("0.5.0", 25), "{args:?}");
                fs::remove_file(host.path().join(file)).unwrap();
            }
            (Err(error), Err(expected)) => assert!(error.contains(expected), "{args:?}: {error}"),
            (outcome, _) => panic!("{args:?}: {outcome:?}"),
        }
    }
}

#[test]
fn devices_and_their_names_are_chosen() {
    let Some(host) = machine(&["nvidia-h100-8"]) else { return };
    let uuid = "GPU-a1000004-0000-4000-8000-000000000004";
    for (args, expected) in [
        (&["--name-strategy", "index"][..], "0 1 2 3 4 5 6 7 all"),
        (&["--name-strategy", "index", "--no-all-device"], "0 1 2 3 4 5 6 7"),
        (&["--name-strategy", "uuid,type-index", "--device", "4"], &format!("{uuid} all gpu4")),
        (&["--name-strategy", "pci", "--device", "00000000:9D:00.0"], "0000:9d:00.0 all"),
        (&["--device", &format!("{uuid},0"), "--name-strategy", "index"], "0 4 all"),
        (
            &["--device", "all", "--name-strategy", "type-index", "--no-all-device"],
            "gpu0 gpu1 gpu2 gpu3 gpu4 gpu5 gpu6 gpu7",
        ),
    ] {
        let text = generate(host.path(), &[args, &["--output", "-"]].concat()).unwrap();
        assert_eq!(names(&text).join(" "), expected, "{args:?}");
    }
    let text = generate(host.path(), &["--device", "4", "--name-strategy", "index", "--output", "-"]).unwrap();
    let all = cdi::parse(&text).unwrap().devices.into_iter().find(|device| device.name == "all").unwrap();
    let nodes: Vec<_> = all.container_edits.device_nodes.iter().map(|node| node.path.as_str()).collect();
    assert!(nodes.contains(&"/dev/nvidia7") && !nodes.contains(&"/dev/nvidia0"), "all is all of these: {nodes:?}");
}

#[test]
fn a_number_of_devices_is_the_first_ones_also_where_they_have_addresses_for_names() {
    let Some(host) = machine(&["nvidia-h100-8"]) else { return };
    generate(host.path(), &["--name-strategy", "pci", "--no-all-device"]).unwrap();
    let container = start(
        host.path(),
        &json!({"ociVersion": "1.2.0", "annotations": {"gpu-runc/gpus": "2"}, "process": {"env": [], "user": {"uid": 0, "gid": 0}},
                "linux": {}}),
    );
    let container = container.unwrap();
    let mut nodes = paths(&container, "/linux/devices", "path");
    nodes.retain(|node| node.starts_with("/dev/dri/render"));
    let second = fs::read_dir(host.path().join("sys/bus/pci/devices/0000:43:00.0/drm")).unwrap();
    let second = second.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let second =
        second.filter(|name| name.starts_with("render")).map(|name| format!("/dev/dri/{name}")).next().unwrap();
    assert!(nodes.len() == 2 && nodes.contains(&second.as_str()), "{second} is not in {nodes:?}");
    let listed = String::from_utf8(ctk(host.path(), &["cdi", "list"]).stdout).unwrap();
    assert!(listed.contains("gpu=0000:1b:00.0\nnvidia.com/gpu=0000:43:00.0\n"), "{listed}");
}

#[test]
fn a_file_names_the_program_that_does_what_it_cannot_say() {
    let Some(host) = machine(&["nvidia-h100-8"]) else { return };
    let hooks = |args: &[&str]| {
        let text = generate(host.path(), &[&["--output", "-", "--format", "json"], args].concat()).unwrap();
        let spec: Value = serde_json::from_str(&text).unwrap();
        spec["containerEdits"]["hooks"].as_array().cloned().unwrap_or_default()
    };
    let named = |hooks: &[Value]| hooks.iter().map(|hook| hook["args"][1].clone()).collect::<Vec<_>>();
    assert_eq!(hooks(&[]), [json!(null); 0], "nothing is installed");
    let names =
        ["update-ldcache", "enable-cuda-compat", "disable-device-node-modification", "update-application-profile"];
    let given = hooks(&["--hook-path", "/opt/nvidia-cdi-hook"]);
    assert_eq!(hooks(&["--nvidia-cdi-hook-path", "/opt/nvidia-cdi-hook"]), given, "the other toolkit's spelling");
    let error = generate(host.path(), &["--output", "-", "--hook-path", "bin/hook"]).unwrap_err();
    assert!(error.contains("--hook-path \"bin/hook\": expected an absolute path"), "{error}");
    assert_eq!((named(&given), &given[0]["path"]), (names.map(Value::from).to_vec(), &json!("/opt/nvidia-cdi-hook")));
    assert!(given.iter().all(|hook| hook["env"].as_array().is_some_and(|env| !env.is_empty())), "{given:?}");
    let folders = ["nvidia-cdi-hook", "update-ldcache", "--folder", "/usr/lib/x86_64-linux-gnu", "--folder"];
    assert!(given[0]["args"].as_array().unwrap().starts_with(&folders.map(Value::from)), "{}", given[0]);

    fs::write(host.path().join("usr/bin/gpu-runc"), "").unwrap();
    assert_eq!(
        hooks(&[])[1]["args"],
        json!(["nvidia-cdi-hook", "enable-cuda-compat", "--host-driver-version=550.54.15"])
    );
    assert_eq!(hooks(&[])[1]["path"], "/usr/bin/gpu-runc");
    assert_eq!(hooks(&["--no-hooks"]), [json!(null); 0]);
    // What gpu-runc itself reads there it does from outside.
    generate(host.path(), &[]).unwrap();
    let container = create(host.path(), &["NVIDIA_VISIBLE_DEVICES=1"]).unwrap();
    assert!(container.get("hooks").is_none(), "{container}");

    let Some(amd) = machine(&["amd-mi300x-8"]) else { return };
    let text = generate(amd.path(), &["--output", "-", "--hook-path", "/opt/hook"]).unwrap();
    assert!(!text.contains("hooks"), "what needs none has none");
}

#[test]
fn nothing_is_written_that_would_clash_or_when_only_asked_what_would_be() {
    let Some(host) = machine(&["nvidia-h100-8"]) else { return };
    let output = ctk(host.path(), &["cdi", "generate", "--dry-run"]);
    assert!(String::from_utf8(output.stderr).unwrap().contains("would write "));
    assert!(output.stdout.starts_with(b"{") && !host.path().join("cdi").exists());

    fs::create_dir(host.path().join("cdi")).unwrap();
    let theirs = json!({"cdiVersion": "0.5.0", "kind": "nvidia.com/gpu", "devices": [{"name": "0", "containerEdits": {"env": ["A=b"]}}]});
    fs::write(host.path().join("cdi/nvidia.yaml"), theirs.to_string()).unwrap();
    std::os::unix::fs::symlink("cdi", host.path().join("link")).unwrap();
    for args in [&[][..], &["--output", "cdi/other.json"], &["--output", "./link/nvidia.json"]] {
        let error = generate(host.path(), args).unwrap_err();
        assert!(
            error.contains("cdi/nvidia.yaml describes nvidia.com/gpu already, no other file is written; "),
            "{error}"
        );
    }
    assert_eq!(fs::read_dir(host.path().join("cdi")).unwrap().count(), 1);
    for args in [["--output", "here.yaml"], ["--output", "elsewhere/nvidia.json"]] {
        generate(host.path(), &args).expect("no engine reads it there");
        assert!(host.path().join(args[1]).exists());
    }
    let Some(both) = machine(&["nvidia-h100-8", "amd-mi300x-8"]) else { return };
    fs::create_dir(both.path().join("cdi")).unwrap();
    fs::write(both.path().join("cdi/nvidia.yaml"), theirs.to_string()).unwrap();
    assert!(generate(both.path(), &[]).unwrap_err().contains("no other file is written"));
    assert!(both.path().join("cdi/amd.com-gpu.json").exists(), "the other vendor's is");
    generate(host.path(), &["--class", "other"]).unwrap();
    generate(host.path(), &["--output", "cdi/nvidia.yaml"]).unwrap();
    generate(host.path(), &["--output", "cdi/nvidia.yaml"]).unwrap();
}

#[test]
fn a_file_goes_with_its_devices_where_that_is_wanted() {
    let Some(host) = machine(&["nvidia-h100-8", "amd-mi300x-8"]) else { return };
    let told = generate(host.path(), &[]).unwrap();
    assert_eq!(told.lines().count(), 2, "a file for each vendor: {told}");
    fs::remove_dir_all(host.path().join("proc/driver/nvidia")).unwrap();
    let told = generate(host.path(), &["--prune"]).unwrap();
    assert!(
        told.contains("removed ") && told.contains("nvidia.com-gpu.json") && told.contains("amd.com-gpu.json"),
        "{told}"
    );
    assert!(!host.path().join("cdi/nvidia.com-gpu.json").exists());
    fs::write(host.path().join("cdi/nvidia.com-gpu.json"), "another's").unwrap();
    assert!(!generate(host.path(), &["--prune"]).unwrap().contains("removed"), "what nobody can read is not ours");
    fs::remove_file(host.path().join("cdi/nvidia.com-gpu.json")).unwrap();
    fs::remove_dir_all(host.path().join("sys/class/kfd")).unwrap();
    generate(host.path(), &["--prune"]).unwrap();
    assert_eq!(fs::read_dir(host.path().join("cdi")).unwrap().count(), 0);
    assert!(generate(host.path(), &[]).unwrap_err().contains("this host has no device of any vendor"));
}

#[test]
fn mig_devices_are_named_by_uuid_where_the_drivers_tool_answers() {
    let Some(host) = machine(&["nvidia-a100-mig-2"]) else { return };
    let tool = |script: &str| {
        let path = host.path().join("usr/bin/nvidia-smi");
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    let args = &["--vendor", "nvidia", "--output", "-"];
    let devices = "Character devices:\n195 nvidia\n235 nvidia-caps\n511 nvidia-uvm\n";
    fs::write(host.path().join("proc/devices"), devices).unwrap();
    tool("#!/bin/sh\nexit 9\n");
    let without = ctk(host.path(), &[&["cdi", "generate"][..], args].concat());
    assert!(String::from_utf8(without.stderr).unwrap().contains("parts of nvidia devices get no names of their own: "));
    assert!(!names(&String::from_utf8(without.stdout).unwrap()).iter().any(|name| name.starts_with("MIG-")));

    let gpu = fs::read_to_string(host.path().join("proc/driver/nvidia/gpus/0000:07:00.0/information")).unwrap();
    let gpu = gpu.lines().find_map(|line| line.strip_prefix("GPU UUID:")).unwrap().trim();
    let part = |index, gi, ci| {
        format!(
            "<mig_device><index>{index}</index><gpu_instance_id>{gi}</gpu_instance_id><compute_instance_id>{ci}</compute_instance_id></mig_device>"
        )
    };
    let xml = format!("<log><gpu id='0'><uuid>{gpu}</uuid>{}{}</gpu></log>", part(0, 2, 1), part(1, 10, 0));
    let list = format!(
        "GPU 0: A100 (UUID: {gpu})\n  MIG 1g Device  0: (UUID: MIG-aaaa)\n  MIG 1g Device  1: (UUID: MIG-bbbb)\n"
    );
    tool(&format!("#!/bin/sh\n[ \"$1\" = -L ] && printf '%s' '{list}' || printf '%s' \"{xml}\"\n"));
    let output = ctk(host.path(), &[&["cdi", "generate"][..], args].concat());
    let (text, told) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(told, "");
    let spec = cdi::parse(&text).unwrap();
    let nodes = |name: &str| {
        spec.devices.iter().find(|device| device.name == name).unwrap().container_edits.device_nodes.clone()
    };
    assert_eq!(nodes("MIG-aaaa"), nodes("0:2"));
    assert_eq!(nodes("MIG-bbbb"), nodes("0:3"));
    let strategy =
        generate(host.path(), &[args, &["--name-strategy", "uuid", "--no-all-device"][..]].concat()).unwrap();
    assert!(names(&strategy).iter().all(|name| name.starts_with("MIG-") || name.starts_with("GPU-")), "{strategy}");

    let before = create(host.path(), &["NVIDIA_VISIBLE_DEVICES=MIG-bbbb"]).unwrap_err();
    assert!(before.contains("\"gpu-ctk cdi generate\" writes a file that has the names MIG-…"), "{before}");
    generate(host.path(), &["--vendor", "nvidia"]).unwrap();
    create(host.path(), &["NVIDIA_VISIBLE_DEVICES=MIG-bbbb"]).unwrap();
    let error = create(host.path(), &["NVIDIA_VISIBLE_DEVICES=MIG-cccc"]).unwrap_err();
    assert!(error.contains("unresolvable CDI devices nvidia.com/gpu=MIG-cccc"), "{error}");
}

#[test]
fn devices_are_listed_for_people_and_for_programs() {
    let Some(host) = machine(&["nvidia-a100-mig-2", "amd-mi300x-cpx-4"]) else { return };
    let output = ctk(host.path(), &["list"]);
    let table = String::from_utf8(output.stdout).unwrap();
    let expected =
        fs::read_to_string(hosts::folder().join("nvidia-a100-mig-2/expected-list-with-amd.txt")).unwrap_or_default();
    if std::env::var_os("BLESS").is_some() {
        fs::write(hosts::folder().join("nvidia-a100-mig-2/expected-list-with-amd.txt"), &table).unwrap();
    }
    assert_eq!(table, expected);
    let output = ctk(host.path(), &["list", "--json", "--vendor", "amd"]);
    let listed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(listed.as_array().unwrap().iter().all(|device| device["vendor"] == "amd" && device["nodes"].is_array()));
    assert_eq!(listed[0]["names"][0], "0");

    let none = machine(&["none"]).unwrap();
    let output = ctk(none.path(), &["list"]);
    assert!(output.status.success() && output.stdout.starts_with(b"this host has no device of any vendor;"));
    let output = ctk(host.path(), &["list", "--vendor", "intel"]);
    assert!(output.status.success() && output.stdout.starts_with(b"this host has no device of intel;"), "{output:?}");
    let output = ctk(host.path(), &["list", "--vendor", "nvidi"]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("\"nvidi\": not known; did you mean nvidia? expected one of nvidia, amd, "), "{error}");
}

#[test]
fn what_files_do_not_have_is_listed_as_generated() {
    let Some(host) = machine(&["nvidia-a100-mig-2"]) else { return };
    fs::create_dir(host.path().join("cdi")).unwrap();
    let file = json!({"cdiVersion": "0.5.0", "kind": "nvidia.com/gpu", "devices": [{"name": "1", "containerEdits": {"env": ["A=b"]}}]});
    fs::write(host.path().join("cdi/nvidia.json"), file.to_string()).unwrap();
    let listed = |more: &str| {
        configure(host.path(), more);
        String::from_utf8(ctk(host.path(), &["cdi", "list", "--verbose"]).stdout).unwrap()
    };
    let all = listed("");
    assert!(
        all.contains("nvidia.com/gpu=1 ")
            && all.lines().any(|line| line.contains("=1 ") && line.contains("cdi/nvidia.json")),
        "{all}"
    );
    assert!(
        all.lines().any(|line| line.starts_with("nvidia.com/gpu=0:2 ") && line.contains("generated:nvidia")),
        "{all}"
    );
    assert!(listed("[inject]\ngenerate = \"never\"\n").starts_with("Found 1 CDI devices"));
}

#[test]
fn the_units_of_the_packages_start_what_there_is() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging");
    let service = fs::read_to_string(folder.join("systemd/gpu-runc-cdi-refresh.service")).unwrap();
    let started = service.lines().find_map(|line| line.strip_prefix("ExecStart=gpu-ctk ")).unwrap();
    let Some(host) = machine(&["amd-mi300x-8"]) else { return };
    let output = ctk(host.path(), &started.split(' ').collect::<Vec<_>>());
    assert!(output.status.success() && host.path().join("cdi/amd.com-gpu.json").exists(), "{output:?}");
    let rules = fs::read_to_string(folder.join("udev/60-gpu-runc.rules")).unwrap();
    assert!(rules.contains("systemctl --no-block start gpu-runc-cdi-refresh.service"), "{rules}");
}
