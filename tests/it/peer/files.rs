//! CDI files that gpu-ctk writes for the hosts of tests/hosts, read by the vendors' tools.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use gpu_runc::cdi::{self, Spec};
use tempfile::TempDir;

use super::peer;
use crate::hosts::{self, configure, ctk};
use crate::scratch::succeed;

/// Every host that can be made, with the file in `format` that describes it.
fn described(format: &str) -> Vec<(String, TempDir, Vec<Spec>)> {
    let mut names: Vec<String> =
        fs::read_dir(hosts::folder()).unwrap().map(|host| host.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let mut all = Vec::new();
    for name in names.into_iter().filter(|name| name != "none") {
        let Some(host) = hosts::make(&[&name]) else { return Vec::new() };
        configure(host.path(), "");
        let output = ctk(host.path(), &["cdi", "generate", "--format", format]);
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        let files = fs::read_dir(host.path().join("cdi")).unwrap();
        let texts = files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
        let specs: Vec<Spec> = texts.map(|text| cdi::parse(&text).unwrap()).collect();
        assert!(!specs.is_empty(), "{name}");
        all.push((name, host, specs));
    }
    all
}

fn names(specs: &[Spec]) -> BTreeSet<String> {
    let of =
        |spec: &Spec| spec.devices.iter().map(|device| format!("{}={}", spec.kind, device.name)).collect::<Vec<_>>();
    specs.iter().flat_map(of).collect()
}

#[test]
fn nvidias_tool_reads_every_file_that_ours_writes() {
    let Some(program) = peer("nvidia-ctk", "files of ours read by NVIDIA's tool") else { return };
    for format in ["json", "yaml"] {
        for (name, host, specs) in described(format) {
            let mut list = Command::new(&program);
            let listed = succeed(list.args(["--quiet", "cdi", "list", "--spec-dir"]).arg(host.path().join("cdi")));
            let listed: BTreeSet<String> =
                listed.lines().filter(|line| line.contains('=')).map(str::to_owned).collect();
            assert_eq!(listed, names(&specs), "{name} in {format}");
        }
    }
}

/// Whether `text` is the file `spec` in which the driver's root is another.
fn is_moved(spec: &Spec, moved: &Spec) -> bool {
    let paths =
        |spec: &Spec| spec.container_edits.mounts.iter().map(|mount| mount.host_path.clone()).collect::<Vec<_>>();
    paths(spec)
        .iter()
        .zip(paths(moved))
        .all(|(is, moved)| Path::new("/moved").join(is.trim_start_matches('/')) == Path::new(&moved))
        && spec.devices.len() == moved.devices.len()
        && spec.container_edits.hooks == moved.container_edits.hooks
        && spec.container_edits.env == moved.container_edits.env
}

#[test]
fn nvidias_tool_gives_files_of_ours_another_root_and_loses_nothing() {
    let Some(program) = peer("nvidia-ctk", "files of ours changed by NVIDIA's tool") else { return };
    for (name, host, _) in described("yaml") {
        for file in fs::read_dir(host.path().join("cdi")).unwrap().map(|file| file.unwrap().path()) {
            let mut transform = Command::new(&program);
            transform
                .args(["--quiet", "cdi", "transform", "root", "--from", "/", "--to", "/moved", "--input"])
                .arg(&file);
            let moved = cdi::parse(&succeed(&mut transform)).unwrap();
            let spec = cdi::parse(&fs::read_to_string(&file).unwrap()).unwrap();
            assert!(is_moved(&spec, &moved), "{name}: {spec:?}\nbecame {moved:?}");
        }
    }
}
