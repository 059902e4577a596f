//! Drivers, hardware, nodes, and who may open them.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::{Report, ctk, examine, host, link_nodes};
use crate::hosts::put;
use crate::scratch;

#[test]
fn a_driver_without_nodes_is_told_what_gpu_runc_can_make_of_it() {
    let Some(host) = host("nvidia-h100-8") else { return };
    fs::remove_dir_all(host.path().join("dev")).unwrap();
    let report = examine(host.path());
    let (level, what, fix) = report.one("nodes");
    assert_eq!((level, report.code), ("WARN", Some(0)));
    assert!(what.contains("/dev/nvidia-uvm (511:0) and 10 more not there"), "{what}");
    assert_eq!(fix, "nvidia-modprobe -u && nvidia-smi -L");

    put(host.path(), "proc/devices", "Character devices:\n  1 mem\n");
    let report = examine(host.path());
    let (level, what, _) = report.one("driver");
    assert_eq!((level, report.code), ("FAIL", Some(1)));
    assert!(what.contains("/dev/nvidia0 is not there, and /proc/devices has no nvidia"), "{what}");
}

#[test]
fn a_device_without_any_node_is_out_of_reach() {
    let Some(host) = host("amd-mi300x-8") else { return };
    fs::remove_dir_all(host.path().join("dev/dri")).unwrap();
    let report = examine(host.path());
    let (level, what, fix) = report.one("nodes");
    assert_eq!((level, report.code), ("FAIL", Some(1)));
    assert!(
        what.starts_with("amd: /dev/dri/") && what.ends_with(" and 7 more not there, and of no known number"),
        "{what}"
    );
    assert_eq!(fix, "udevadm trigger && udevadm settle");
}

#[test]
fn a_node_with_a_number_of_another_boot_is_told() {
    let Some(host) = host("nvidia-h100-8") else { return };
    let devices = fs::read_to_string(host.path().join("proc/devices")).unwrap();
    put(host.path(), "proc/devices", &devices.replace("511 nvidia-uvm", "509 nvidia-uvm"));
    let report = examine(host.path());
    let (level, what, fix) = report.one("nodes");
    assert_eq!(level, "WARN");
    assert!(what.contains("/dev/nvidia-uvm is 511:0 and should be 509:0 and 1 more"), "{what}");
    assert!(fix.starts_with("rm /dev/nvidia-uvm /dev/nvidia-uvm-tools && nvidia-modprobe"), "{fix}");
}

#[test]
fn hardware_without_its_driver_is_told_apart_from_hardware_of_virtual_machines() {
    let Some(host) = host("none") else { return };
    let function = "sys/bus/pci/devices/0000:41:00.0";
    put(host.path(), &format!("{function}/vendor"), "0x10de\n");
    put(host.path(), &format!("{function}/class"), "0x030200\n");
    let report = examine(host.path());
    let (level, what, fix) = report.one("driver");
    assert_eq!((level, what, report.code), ("FAIL", "nvidia: 0000:41:00.0 has no driver", Some(1)));
    assert_eq!(fix, "install the driver of nvidia; where it is installed: modprobe nvidia");

    fs::create_dir_all(host.path().join("sys/bus/pci/drivers/vfio-pci")).unwrap();
    symlink("../../drivers/vfio-pci", host.path().join(function).join("driver")).unwrap();
    let report = examine(host.path());
    let (level, what, _) = report.one("driver");
    assert_eq!((level, what, report.code), ("WARN", "nvidia: 0000:41:00.0 is bound to vfio-pci", Some(0)));

    put(host.path(), &format!("{function}/class"), "0x040300\n");
    assert_eq!(examine(host.path()).one("driver").0, "SKIP", "its sound is no GPU");
}

#[test]
fn a_driver_whose_libraries_are_another_versions_is_told() {
    let Some(host) = host("nvidia-h100-8") else { return };
    let version = host.path().join("proc/driver/nvidia/version");
    fs::write(&version, fs::read_to_string(&version).unwrap().replace("550.54.15", "560.35.03")).unwrap();
    let report = examine(host.path());
    let (level, what, fix) = report.one("driver");
    assert_eq!((level, report.code), ("FAIL", Some(1)));
    assert!(what.contains("version 560.35.03 of the nvidia driver is loaded, but libcuda.so.560.35.03"), "{what}");
    assert!(fix.contains("restart the machine"), "{fix}");
}

#[test]
fn systemd_needs_a_link_for_every_node() {
    let Some(host) = host("nvidia-h100-8") else { return };
    fs::create_dir_all(host.path().join("run/systemd/system")).unwrap();
    link_nodes(host.path(), "nvidia-h100-8");
    fs::remove_file(host.path().join("dev/char/195:3")).unwrap();
    let stale = host.path().join("dev/char/195:4");
    fs::remove_file(&stale).unwrap();
    symlink("../nvidia5", &stale).unwrap();
    let report = examine(host.path());
    let (level, what, fix) = report.one("dev-char");
    assert_eq!((level, what), ("WARN", "none for /dev/nvidia3 (195:3) and 1 more"));
    let dev = host.path().join("dev").to_str().unwrap().to_owned();
    scratch::succeed(Command::new("sh").arg("-c").arg(fix.replace("/dev/", &format!("{dev}/"))));
    for minor in [3, 4] {
        let link = fs::read_link(host.path().join(format!("dev/char/195:{minor}"))).unwrap();
        assert_eq!(link.to_str().unwrap(), format!("{dev}/nvidia{minor}"));
    }
}

#[test]
fn a_user_is_told_which_nodes_are_not_for_her() {
    let Some(host) = host("amd-mi300x-8") else { return };
    fs::set_permissions(host.path(), fs::Permissions::from_mode(0o755)).unwrap();
    put(host.path(), "etc/passwd", "ann:x:1234:1234::/home/ann:/bin/sh\n");
    put(host.path(), "etc/group", "video:x:44:\nrender:x:105:\n");
    put(host.path(), "etc/subuid", "ann:100000:65536\n");
    let mut command = ctk(host.path());
    command.uid(1234).gid(1234);
    if command.arg("--version").output().is_err() {
        scratch::skip("a_user_is_told_which_nodes_are_not_for_her", "another user cannot start the program (optional)");
        return;
    }
    let mut command = ctk(host.path());
    let report = Report::of(command.uid(1234).gid(1234));
    let (level, what, fix) = report.one("node-access");
    assert!(level == "WARN" && what.contains(" is not for user ann"), "{what}");
    assert!(fix.starts_with("sudo usermod -aG ") && fix.contains(" ann, log in again"), "{fix}");
    let (level, what, _) = report.one("user-namespaces");
    assert_eq!((level, what), ("WARN", "/etc/subgid has no range for ann"));
    assert_eq!(examine(host.path()).one("node-access").0, "SKIP", "root may open all");
}
