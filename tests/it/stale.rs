//! Staleness: no container gets what a CDI file says and the machine has no more.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::hosts::{self, configure, create, ctk, paths};

const LIB: &str = "usr/lib/x86_64-linux-gnu";

/// A machine with a file that describes its GPUs, as of now.
fn described() -> Option<tempfile::TempDir> {
    let host = hosts::make(&["nvidia-h100-8"])?;
    configure(host.path(), "");
    let output = ctk(host.path(), &["cdi", "generate", "--vendor", "nvidia", "--output", "cdi/nvidia.json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(host)
}

/// What an update of the driver does: other libraries, another version.
pub(crate) fn update_driver(root: &Path) {
    for name in fs::read_dir(root.join(LIB)).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()) {
        let new = name.replace("550.54.15", "560.35.03");
        if new != name {
            fs::rename(root.join(LIB).join(&name), root.join(LIB).join(new)).unwrap();
        }
    }
    let libraries = fs::read_dir(root.join(LIB)).unwrap().map(Result::unwrap);
    for link in libraries.filter(|entry| entry.file_type().unwrap().is_symlink()) {
        let target = fs::read_link(link.path()).unwrap().to_str().unwrap().replace("550.54.15", "560.35.03");
        fs::remove_file(link.path()).unwrap();
        std::os::unix::fs::symlink(target, link.path()).unwrap();
    }
    let version = root.join("proc/driver/nvidia/version");
    fs::write(&version, fs::read_to_string(&version).unwrap().replace("550.54.15", "560.35.03")).unwrap();
}

fn sources_are_there(container: &Value) -> bool {
    paths(container, "/mounts", "source").into_iter().all(|source| Path::new(source).exists())
}

#[test]
fn after_an_update_of_the_driver_the_file_gives_way_to_the_machine() {
    let Some(host) = described() else { return };
    let env = &["NVIDIA_VISIBLE_DEVICES=4"];
    let before = create(host.path(), env).unwrap();
    assert!(paths(&before, "/mounts", "destination").iter().any(|place| place.ends_with("libcuda.so.550.54.15")));
    update_driver(host.path());
    let after = create(host.path(), env).unwrap();
    let places = paths(&after, "/mounts", "destination");
    assert!(places.iter().any(|place| place.ends_with("libcuda.so.560.35.03")), "{places:?}");
    assert!(!places.iter().any(|place| place.contains("550.54.15")) && sources_are_there(&after), "{places:?}");

    let told = ctk(host.path(), &["explain", "--env", env[0]]);
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(
        told.contains("nvidia.json is out of date and not used: ") && told.contains("from generated:nvidia"),
        "{told}"
    );

    configure(host.path(), "[inject]\ngenerate = \"never\"\n");
    let error = create(host.path(), env).unwrap_err();
    assert!(error.contains("nvidia.json is out of date: ") && error.contains("gpu-ctk cdi generate"), "{error}");
}

#[test]
fn what_is_told_of_a_file_stays_told_where_another_is_out_of_date() {
    let Some(host) = described() else { return };
    let node = json!({"path": "/dev/npu", "hostPath": "/dev/nvidia0", "type": "c", "major": 9, "minor": 9});
    let device = json!({"name": "0", "containerEdits": {"deviceNodes": [node]}});
    let file = json!({"cdiVersion": "0.5.0", "kind": "acme.example/npu", "devices": [device]});
    fs::write(host.path().join("cdi/acme.json"), file.to_string()).unwrap();
    update_driver(host.path());
    let asked = "GPU_VISIBLE_DEVICES=acme.example/npu=0,nvidia.com/gpu=4";
    let told = String::from_utf8(ctk(host.path(), &["explain", "--env", asked]).stdout).unwrap();
    assert!(told.contains("nvidia.json is out of date and not used: "), "{told}");
    assert_eq!(told.matches("/dev/nvidia0 is 195:0").count(), 1, "{told}");
    let container = create(host.path(), &[asked]).unwrap();
    let nodes = container["linux"]["devices"].as_array().unwrap();
    let npu = nodes.iter().find(|node| node["path"] == "/dev/npu").unwrap();
    assert_eq!((&npu["major"], &npu["minor"]), (&json!(195), &json!(0)));
}

#[test]
fn a_device_that_is_gone_is_told_with_the_file_that_had_it() {
    let Some(host) = described() else { return };
    fs::remove_dir_all(host.path().join("proc/driver/nvidia/gpus/0000:9d:00.0")).unwrap();
    fs::remove_file(host.path().join("dev/nvidia7")).unwrap();
    for id in ["GPU-a1000004-0000-4000-8000-000000000004", "0000:9d:00.0"] {
        let error = create(host.path(), &[&format!("NVIDIA_VISIBLE_DEVICES={id}")]).unwrap_err();
        assert!(error.contains(&format!("unresolvable CDI devices nvidia.com/gpu={id}")), "{error}");
        assert!(error.contains("nvidia.json is out of date and not used: \"/dev/nvidia7\" is not there"), "{error}");
    }
    let pinned = json!({"path": "/dev/nvidia7", "type": "c", "major": 195, "minor": 7});
    let file = json!({"cdiVersion": "0.5.0", "kind": "nvidia.com/gpu", "devices": [{"name": "7", "containerEdits": {"deviceNodes": [pinned]}}]});
    fs::write(host.path().join("cdi/nvidia.json"), file.to_string()).unwrap();
    let error = create(host.path(), &["NVIDIA_VISIBLE_DEVICES=7"]).unwrap_err();
    assert!(error.contains("\"/dev/nvidia7\" is not there"), "its driver is there, the GPU is not: {error}");
    fs::remove_file(host.path().join("cdi/nvidia.json")).unwrap();
    let neighbour = create(host.path(), &["NVIDIA_VISIBLE_DEVICES=0"]).unwrap();
    assert!(paths(&neighbour, "/linux/devices", "path").contains(&"/dev/nvidia0"));
}

#[test]
fn a_number_that_the_driver_has_no_more_is_not_given() {
    let Some(host) = hosts::make(&["nvidia-h100-8"]) else { return };
    configure(host.path(), "");
    let devices = fs::read_to_string(host.path().join("proc/devices")).unwrap();
    assert!(devices.contains("511 nvidia-uvm"), "{devices}");
    fs::write(host.path().join("proc/devices"), devices.replace("511 nvidia-uvm", "509 nvidia-uvm")).unwrap();
    let uvm = |container: &Value| {
        let nodes = container["linux"]["devices"].as_array().unwrap();
        nodes.iter().find(|node| node["path"] == "/dev/nvidia-uvm").unwrap()["major"].as_i64().unwrap()
    };
    let generated = create(host.path(), &["NVIDIA_VISIBLE_DEVICES=0"]).unwrap();
    assert_eq!(uvm(&generated), 509, "the node on the machine still has 511");

    let old = json!({"path": "/dev/nvidia-uvm", "type": "c", "major": 511});
    let file = json!({"cdiVersion": "0.5.0", "kind": "nvidia.com/gpu", "devices": [{"name": "0", "containerEdits": {"deviceNodes": [old]}}]});
    fs::create_dir(host.path().join("cdi")).unwrap();
    fs::write(host.path().join("cdi/nvidia.json"), file.to_string()).unwrap();
    fs::remove_file(host.path().join("dev/nvidia-uvm")).unwrap();
    let renewed = create(host.path(), &["NVIDIA_VISIBLE_DEVICES=0"]).unwrap();
    assert_eq!(uvm(&renewed), 509, "the file says 511 and the node is gone");
    let devices = fs::read_to_string(host.path().join("proc/devices")).unwrap();
    fs::write(host.path().join("proc/devices"), devices.replace("509 nvidia-uvm", "509 nvidia-uvm\n511 another"))
        .unwrap();
    let renewed = create(host.path(), &["NVIDIA_VISIBLE_DEVICES=0"]).unwrap();
    assert_eq!(uvm(&renewed), 509, "the number is another driver's by now");
}

#[test]
fn an_unknown_vendors_file_that_does_not_hold_is_an_error_that_says_what_to_do() {
    let Some(host) = hosts::make(&["none"]) else { return };
    configure(host.path(), "");
    let device = |name: &str, path: &str| json!({"name": name, "containerEdits": {"mounts": [{"hostPath": path, "containerPath": "/x"}]}});
    let file = json!({"cdiVersion": "0.5.0", "kind": "acme.example/npu", "devices": [device("0", "/usr/lib64/libc.so.6"), device("1", "/opt/acme")]});
    fs::create_dir(host.path().join("cdi")).unwrap();
    fs::write(host.path().join("cdi/acme.json"), file.to_string()).unwrap();
    let error = create(host.path(), &["GPU_VISIBLE_DEVICES=acme.example/npu=1"]).unwrap_err();
    assert!(error.contains("cdi/acme.json is out of date: \"/opt/acme\", which it mounts, is not there"), "{error}");
    assert!(error.contains("with the vendor's tool, or install the driver again"), "we know no such device: {error}");
    let other = create(host.path(), &["GPU_VISIBLE_DEVICES=acme.example/npu=0"]).unwrap();
    assert!(sources_are_there(&other), "a neighbour that nobody asked for changes nothing");
}

#[test]
fn a_library_whose_own_name_cannot_be_read_is_told_and_given_all_the_same() {
    let Some(host) = hosts::make(&["none"]) else { return };
    configure(host.path(), "");
    let library = "/usr/lib64/libacme.so.9.9";
    let hook = json!({"hookName": "createContainer", "path": "nvidia-cdi-hook", "args": ["nvidia-cdi-hook", "update-ldcache", "--folder", "/usr/lib64"]});
    let edits = json!({"mounts": [{"hostPath": library, "containerPath": library}], "hooks": [hook]});
    let file =
        json!({"cdiVersion": "0.5.0", "kind": "acme.example/npu", "devices": [{"name": "0", "containerEdits": edits}]});
    hosts::put(host.path(), "cdi/acme.json", &file.to_string());
    fs::create_dir_all(host.path().join("usr/lib64")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(host.path().join(&library[1..])).unwrap();
    let asked = "GPU_VISIBLE_DEVICES=acme.example/npu=0";
    let container = create(host.path(), &[asked]).unwrap();
    assert!(paths(&container, "/mounts", "destination").contains(&library), "{container}");
    assert_eq!(container.get("hooks"), None, "what the hook would do is done without it");
    let told = String::from_utf8(ctk(host.path(), &["explain", "--env", asked]).stdout).unwrap();
    assert!(told.contains(&format!("open {library}: ")), "{told}");
}
