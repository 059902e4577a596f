//! CDI files and names.

use std::collections::BTreeMap;

use gpu_runc::cdi::version::{Version, minimum_version};
use gpu_runc::cdi::write::{at_minimum_version, to_json, to_yaml};
use gpu_runc::cdi::{self, Kind, QualifiedName, Registry, Spec, advice, annotations, validate};
use gpu_runc::rootfs;
use gpu_runc::vendor::Vendors;

use super::text;

/// A CDI file in any form: its faults are told in one line each, or what is read is valid and is written and read back.
pub(super) fn file(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let spec = match cdi::parse(text) {
        Ok(spec) => spec,
        Err(faults) => {
            assert!(!faults.is_empty());
            for fault in faults {
                assert!(!fault.message.is_empty() && !fault.message.contains(['\n', '\u{1b}']), "{fault:?}");
                assert!(fault.message.len() < 16 * 1024, "{} bytes", fault.message.len());
                // A carriage return ends a line of YAML too.
                let lines = 1 + text.matches(['\n', '\r']).count();
                assert!(fault.line.is_none_or(|line| (1..=lines).contains(&line)), "{fault:?}");
            }
            return;
        }
    };
    assert_eq!(validate::validate(&spec), [] as [String; 0]);
    named(text, &spec);
    assert!(Version::parse(&spec.cdi_version).is_some_and(|version| minimum_version(&spec) <= version));
    advice::warnings(&spec);
    for spec in [spec.clone(), at_minimum_version(spec.clone())] {
        for written in [to_json(&spec), to_yaml(&spec)] {
            assert_eq!(cdi::parse(&written).as_ref(), Ok(&spec), "{written}");
        }
    }
    for mut edits in spec.devices.into_iter().map(|device| device.container_edits).chain([spec.container_edits]) {
        rootfs::absorb(&mut edits, Vendors::known());
        let once = edits.clone();
        assert!(rootfs::absorb(&mut edits, Vendors::known()).is_nothing());
        assert_eq!(once, edits, "what is taken out is taken out at once");
    }
}

/// Of the file `text`, which says `spec`, each device is found by its name as it is without, and no other.
fn named(text: &str, spec: &Spec) {
    let dir = tempfile::tempdir().expect("a spec directory");
    let extension = if text.trim_start().starts_with('{') { "json" } else { "yaml" };
    std::fs::write(dir.path().join("a").with_extension(extension), text).expect("a CDI file");
    let dirs = [dir.path().to_owned()];
    let absent = spec.devices.iter().map(|device| device.name.as_str()).collect::<String>();
    for name in spec.devices.iter().map(|device| &device.name).take(3).chain([&absent]) {
        let registry = Registry::load_named(&dirs, &|_, device| device == name, &[name.into()]);
        let found: Vec<_> = registry.files().filter_map(|file| registry.spec(file)).collect();
        let expected = Spec {
            devices: spec.devices.iter().filter(|device| device.name == *name).cloned().collect(),
            ..spec.clone()
        };
        assert_eq!(registry.problems(), []);
        assert_eq!(found, if expected.devices.is_empty() { vec![] } else { vec![&expected] }, "{name}");
    }
}

/// A name per line: what is read is written the same, in annotations too.
pub(super) fn names(data: &[u8]) {
    let Some(text) = text(data) else { return };
    for line in text.lines() {
        if let Ok(name) = line.parse::<QualifiedName>() {
            assert_eq!(name.to_string(), line);
            assert_eq!(name.kind().device(name.device()).as_ref(), Ok(&name));
        }
        if let Ok(kind) = line.parse::<Kind>() {
            assert_eq!(kind.to_string(), line);
        }
        if let Some(version) = Version::parse(line) {
            assert_eq!(Version::parse(&version.to_string()), Some(version));
        }
        let devices: Vec<&str> = line.split(',').collect();
        let (plugin, id) = line.split_once('/').unwrap_or((line, "0"));
        let mut annotated = BTreeMap::new();
        match annotations::update(&mut annotated, plugin, id, &devices) {
            Ok(()) => {
                let asked = annotations::parse(&annotated, annotations::PREFIX).expect("what is written is read back");
                assert_eq!(asked.devices.iter().map(ToString::to_string).collect::<Vec<_>>(), devices);
            }
            Err(_) => assert!(annotated.is_empty()),
        }
    }
}
