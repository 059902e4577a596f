//! hack/capture-host: what it writes of a machine describes the same devices as the machine, under other ids.

use std::fs;
use std::path::Path;
use std::process::Command;

use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use crate::hosts::{self, configure, ctk};

/// What `gpu-ctk cdi generate` says of the machine at `root`, ids left out.
fn described(root: &Path) -> String {
    configure(root, "");
    let listed: serde_json::Value = serde_json::from_slice(&ctk(root, &["list", "--json"]).stdout).unwrap();
    let vendors = listed.as_array().unwrap().iter().map(|item| item["vendor"].as_str().unwrap());
    let of_vendor = |vendor: &str| {
        let args = ["cdi", "generate", "--output", "-", "--name-strategy", "index,pci", "--vendor", vendor];
        let output = ctk(root, &args);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    vendors.collect::<std::collections::BTreeSet<_>>().into_iter().map(of_vendor).collect()
}

#[test]
fn a_captured_machine_is_described_as_the_machine_was() {
    for name in [
        "nvidia-h100-8",
        "nvidia-a100-mig-2",
        "amd-mi300x-8",
        "amd-mi300x-cpx-4",
        "intel-igpu-arc-npu-3",
        "habana-gaudi2-3",
    ] {
        let Some(host) = hosts::make(&[name]) else { return };
        let captured = tempfile::tempdir().unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("hack/capture-host");
        let mut command = Command::new(script);
        let output = command.arg(captured.path()).arg("--root").arg(host.path()).output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        let nodes = fs::read_to_string(captured.path().join("dev.nodes")).unwrap();
        for line in nodes.lines().filter(|line| line.starts_with("c ")) {
            let [_, major, minor, mode, _, gid, path] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
            let path = captured.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let number = makedev(major.parse().unwrap(), minor.parse().unwrap());
            mknod(&path, SFlag::S_IFCHR, Mode::empty(), number).unwrap();
            let mode = u32::from_str_radix(mode, 8).unwrap();
            fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
            std::os::unix::fs::chown(&path, None, Some(gid.parse().unwrap())).unwrap();
        }
        // Sockets and pipes are not made here.
        let without_sockets = |text: String| {
            let blocks =
                text.split("- hostPath: ").filter(|block| !block.starts_with("/run/") && !block.starts_with("/tmp/"));
            blocks.collect::<Vec<_>>().concat()
        };
        let (is, was) = (without_sockets(described(captured.path())), without_sockets(described(host.path())));
        let only = |a: &str, b: &str| a.lines().filter(|line| !b.contains(line)).map(str::to_owned).collect::<Vec<_>>();
        assert!(is == was, "{name}: more {:?}, less {:?}", only(&is, &was), only(&was, &is));

        let ids = |root: &Path| {
            let output = ctk(root, &["list", "--json"]);
            let listed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            let ids = listed.as_array().unwrap().iter().filter_map(|item| item["uniqueId"].as_str().map(str::to_owned));
            ids.filter(|id| !id.contains('?')).collect::<std::collections::BTreeSet<_>>()
        };
        let (before, after) = (ids(host.path()), ids(captured.path()));
        assert_eq!(before.len(), after.len(), "{name}");
        assert!(before.is_disjoint(&after), "{name}: {before:?} {after:?}");
    }
}
