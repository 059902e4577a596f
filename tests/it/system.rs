//! `gpu-ctk system`, and the links in `/dev/char` that a start makes: what a machine may lack in `/dev`.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use crate::hosts::{self, configure, create, ctk};

fn printed(host: &Path, args: &[&str]) -> Vec<String> {
    let output = ctk(host, args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn missing_links_to_nodes_are_made_once() {
    let Some(host) = hosts::make(&["nvidia-h100-8"]) else { return };
    configure(host.path(), "");
    let links = || fs::read_dir(host.path().join("dev/char")).map_or(0, Iterator::count);
    create(host.path(), &["NVIDIA_VISIBLE_DEVICES=4"]).unwrap();
    assert_eq!(links(), 0, "a machine without the folder is left alone");
    let trial = printed(host.path(), &["system", "create-dev-char-symlinks", "--dry-run"]);
    assert!(links() == 0 && trial.contains(&"/dev/char/195:7 -> ../nvidia7".to_owned()), "{trial:?}");

    fs::create_dir(host.path().join("dev/char")).unwrap();
    fs::write(host.path().join("dev/char/195:255"), "somebody's").unwrap();
    create(host.path(), &["NVIDIA_VISIBLE_DEVICES=4"]).unwrap();
    let target = |name: &str| fs::read_link(host.path().join("dev/char").join(name));
    assert_eq!(target("195:7").unwrap(), Path::new("../nvidia7"));
    assert_eq!(target("226:132").unwrap(), Path::new("../dri/renderD132"));
    assert!(target("195:4").is_err(), "only those of the container");
    assert_eq!(fs::read_to_string(host.path().join("dev/char/195:255")).unwrap(), "somebody's");

    let made = printed(host.path(), &["system", "create-dev-char-symlinks"]);
    assert_eq!(made.len() + 7, trial.len(), "six of the container and somebody's were there: {made:?}");
    assert_eq!(printed(host.path(), &["system", "create-dev-char-symlinks"]), [""; 0]);
    fs::remove_dir_all(host.path().join("dev/char")).unwrap();
    assert_eq!(printed(host.path(), &["system", "create-dev-char-symlinks"]), trial);
}

#[test]
fn missing_nodes_of_a_loaded_driver_are_made_once() {
    let Some(host) = hosts::make(&["nvidia-h100-8"]) else { return };
    configure(host.path(), "");
    let args = ["system", "create-device-nodes"];
    assert_eq!(printed(host.path(), &args), ["/dev/nvidia-modeset c 195 254"]);
    assert_eq!(printed(host.path(), &args), [""; 0]);
    for name in ["nvidia3", "nvidia-uvm"] {
        fs::remove_file(host.path().join("dev").join(name)).unwrap();
    }
    let trial = printed(host.path(), &[&args[..], &["--dry-run"]].concat());
    assert!(trial.len() == 2 && trial[1] == "/dev/nvidia3 c 195 3", "{trial:?}");
    assert!(!host.path().join("dev/nvidia3").exists());
    assert_eq!(printed(host.path(), &args), trial);
    let node = fs::symlink_metadata(host.path().join("dev/nvidia3")).unwrap();
    assert!(node.file_type().is_char_device());
    assert_eq!((node.mode() & 0o777, node.rdev()), (0o666, nix::sys::stat::makedev(195, 3)));
    assert_eq!(printed(host.path(), &args), [""; 0]);
    for name in ["create-device-nodes", "create-dev-char-symlinks"] {
        let output = ctk(host.path(), &["system", name, "--dev-root", "/nope"]);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(error, "gpu-ctk: --dev-root /nope: this host has no such folder\n", "{name}");
    }

    let Some(none) = hosts::make(&["none"]) else { return };
    configure(none.path(), "");
    assert_eq!(printed(none.path(), &args), [""; 0]);
    assert_eq!(printed(none.path(), &["system", "create-dev-char-symlinks", "--dry-run"]), [""; 0]);
}
