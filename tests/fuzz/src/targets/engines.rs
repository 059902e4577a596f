//! Engines' configuration files: what is added is there at the second look, and goes without a trace.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gpu_runc::configure::ask::Said;
use gpu_runc::configure::{File, Found, Plan, Runtime, decide};

use super::text;

const NAME: &str = "gpu-runc";

/// The files of a machine.
type Files = BTreeMap<PathBuf, String>;

/// A daemon.json.
pub(super) fn docker(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let path = "/etc/docker/daemon.json";
    let found = |files: &Files| Found::Docker(file(files, path));
    for after in holds(found, &[(path, text)]) {
        let after = after.get(Path::new(path)).map_or("{}", String::as_str);
        gpu_runc::oci::json::Object::parse(after).expect("what is written is read back");
    }
}

/// containerd's root file, before 2.0 and after, and with something to inherit.
pub(super) fn containerd(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let (root, drop_in) = ("/etc/containerd/config.toml", "/etc/containerd/conf.d/99-gpu-runc.toml");
    for said in [(Some(1), None), (Some(2), None), (None, Some(text))] {
        let said = Said { major: said.0, effective: said.1.map(str::to_owned) };
        let found = |files: &Files| Found::Containerd(file(files, root), file(files, drop_in), said.clone());
        for after in holds(found, &[(root, text)]) {
            all_parse(&after);
        }
    }
}

/// The files that only drop-ins or templates stand beside: of CRI-O, podman, k3s.
pub(super) fn drop_ins(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let (main, drop_in) = ("/etc/crio/crio.conf", "/etc/crio/crio.conf.d/99-gpu-runc.conf");
    let files = |files: &Files| {
        [main, drop_in].map(|path| file(files, path)).into_iter().filter(|f| f.text.is_some()).collect()
    };
    for after in holds(|found| Found::Crio(file(found, drop_in), files(found)), &[(main, text)]) {
        all_parse(&after);
    }
    for after in holds(|found| Found::Podman(file(found, drop_in), files(found), true), &[(main, text)]) {
        all_parse(&after);
    }
    let rendered = "/k3s/config.toml";
    let (three, two) = ("/k3s/config-v3.toml.tmpl", "/k3s/config.toml.tmpl");
    let templates = |files: &Files| [file(files, three), file(files, two)];
    let without = |files: &Files| Found::Rendered(file(files, rendered), None, templates(files));
    holds(without, &[(rendered, text)]);
    holds(without, &[(rendered, "version = 3\n"), (three, text)]);
    holds(without, &[(rendered, "version = 2\n"), (two, text)]);
    let with = |files: &Files| {
        Found::Rendered(
            file(files, rendered),
            Some(file(files, "/k3s/config-v3.toml.d/99-gpu-runc.toml")),
            templates(files),
        )
    };
    holds(with, &[(rendered, text)]);
}

fn all_parse(files: &Files) {
    for (path, text) in files {
        assert!(toml::de::DeTable::parse(text).is_ok(), "{}:\n{text}", path.display());
    }
}

fn file(files: &Files, path: &str) -> File {
    File { path: path.into(), text: files.get(Path::new(path)).cloned() }
}

/// Registers, once more, as the default, and takes it out again. Returns what the files were in between.
fn holds(found: impl Fn(&Files) -> Found, before: &[(&str, &str)]) -> Vec<Files> {
    let before: Files = before.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect();
    // A file that tells of an earlier run is another one without what that left.
    let is_clean = matches!(decide(&found(&before), NAME, None), Ok(plan) if plan.changes.is_empty());
    let mut between = Vec::new();
    for is_default in [false, true] {
        let (name, path) = (NAME.to_owned(), "/usr/bin/gpu-runc".to_owned());
        let runtime = Runtime { name, path, is_default, takes_annotations: is_default };
        let Ok(plan) = decide(&found(&before), NAME, Some(&runtime)) else { continue };
        let after = made(&before, &plan);
        let again = decide(&found(&after), NAME, Some(&runtime)).expect("what is written is read back");
        assert!(again.changes.is_empty(), "twice differs from once:\n{:#?}\n{again:#?}", plan.changes);
        let undone = decide(&found(&after), NAME, None).expect("what was put in can be taken out");
        if is_clean {
            assert_eq!(made(&after, &undone), before, "taken out of\n{after:#?}");
        }
        between.push(after);
    }
    between
}

fn made(files: &Files, plan: &Plan) -> Files {
    let mut files = files.clone();
    for change in &plan.changes {
        match &change.after {
            Some(text) => drop(files.insert(change.path.clone(), text.clone())),
            None => drop(files.remove(&change.path)),
        }
    }
    files
}
