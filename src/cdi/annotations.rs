//! Container annotations that ask for CDI devices: `cdi.k8s.io/…: vendor/class=device,…`.
//!
//! Pure; says nothing about who may ask. Source: CDI pkg/cdi, annotations.

use std::collections::BTreeMap;

use super::name::QualifiedName;
use crate::error::Escaped;

/// What the keys of such annotations begin with.
pub const PREFIX: &str = "cdi.k8s.io/";

/// What a container's annotations ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// The keys that ask, in their order.
    pub keys: Vec<String>,
    /// The devices, in the order of the keys and of each value; asked twice is there twice.
    pub devices: Vec<QualifiedName>,
}

/// The key under which `plugin` asks for what it calls `device_id`. The error says which of the two cannot be part of a key.
pub fn key(plugin: &str, device_id: &str) -> Result<String, String> {
    const LONGEST: usize = 63;
    if plugin.is_empty() {
        return Err("invalid plugin name, empty".to_owned());
    }
    if device_id.is_empty() {
        return Err("invalid deviceID, empty".to_owned());
    }
    let name = format!("{plugin}_{}", device_id.replace('/', "_"));
    if name.len() > LONGEST {
        return Err(format!(
            "invalid plugin+deviceID {}, too long: expected at most {LONGEST} bytes",
            Escaped::quoted(&name)
        ));
    }
    for (which, end) in [("first", name.chars().next()), ("last", name.chars().next_back())] {
        if let Some(end) = end.filter(|c| !c.is_ascii_alphanumeric()) {
            return Err(format!("invalid name {}, {which} {end:?} should be alphanumeric", Escaped::quoted(&name)));
        }
    }
    match name.chars().find(|c| !c.is_ascii_alphanumeric() && !"_-.".contains(*c)) {
        Some(wrong) => Err(format!("invalid name {}, invalid character {wrong:?}", Escaped::quoted(&name))),
        None => Ok(format!("{PREFIX}{name}")),
    }
}

/// The value that asks for `devices`. The error names the first that is not a qualified name.
pub fn value(devices: &[&str]) -> Result<String, String> {
    devices.iter().try_for_each(|device| device.parse::<QualifiedName>().map(drop))?;
    Ok(devices.join(","))
}

/// Adds the annotation with which `plugin` asks for `devices`; `annotations` stays as it is if there is an error.
pub fn update(
    annotations: &mut BTreeMap<String, String>,
    plugin: &str,
    device_id: &str,
    devices: &[&str],
) -> Result<(), String> {
    let failed = |reason: String| format!("CDI annotation failed: {reason}");
    let key = key(plugin, device_id).map_err(failed)?;
    if annotations.contains_key(&key) {
        return Err(format!("CDI annotation failed, key {} used", Escaped::quoted(&key)));
    }
    annotations.insert(key, value(devices).map_err(failed)?);
    Ok(())
}

/// What `annotations` ask for with keys that begin with `prefix`. One name that is none, and nothing is asked.
pub fn parse(annotations: &BTreeMap<String, String>, prefix: &str) -> Result<Asked, String> {
    let mut asked = Asked::default();
    for (key, value) in annotations.iter().filter(|(key, _)| key.starts_with(prefix)) {
        for name in value.split(',') {
            let because = |reason| format!("invalid CDI device name {}: {reason}", Escaped::quoted(name));
            asked.devices.push(name.parse().map_err(because)?);
        }
        asked.keys.push(key.clone());
    }
    Ok(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_of_the_plugin_and_the_device() {
        let (fits, too_long) = ("p".repeat(61), "p".repeat(62));
        for (plugin, device, expected) in [
            ("acme.npu", "slot3", Ok("cdi.k8s.io/acme.npu_slot3".to_owned())),
            ("acme.npu", "rack1/slot3", Ok("cdi.k8s.io/acme.npu_rack1_slot3".to_owned())),
            (&fits, "x", Ok(format!("cdi.k8s.io/{fits}_x"))),
            (&too_long, "x", Err("too long")),
            ("", "x", Err("invalid plugin name, empty")),
            ("acme", "", Err("invalid deviceID, empty")),
            ("acme", "s+1", Err("invalid character '+'")),
            ("a/b", "s", Err("invalid character '/'")),
            ("-acme", "s", Err("first '-' should be alphanumeric")),
            ("acme", "s/", Err("last '_' should be alphanumeric")),
        ] {
            match (key(plugin, device), expected) {
                (Ok(key), Ok(expected)) => assert_eq!(key, expected),
                (Err(error), Err(expected)) => assert!(error.contains(expected), "{plugin} {device}: {error}"),
                (key, _) => panic!("{plugin} {device}: {key:?}"),
            }
        }
    }

    #[test]
    fn an_annotation_is_added_whole_or_not_at_all() {
        let mut annotations = BTreeMap::new();
        update(&mut annotations, "acme", "0", &["acme.example/npu=0", "acme.example/npu=1"]).unwrap();
        let before = annotations.clone();
        assert_eq!(before["cdi.k8s.io/acme_0"], "acme.example/npu=0,acme.example/npu=1");
        for (device_id, devices, reason) in [
            ("0", ["acme.example/npu=2"], "CDI annotation failed, key \"cdi.k8s.io/acme_0\" used"),
            ("1", ["npu=2"], "CDI annotation failed: unqualified device \"npu=2\""),
            ("", ["acme.example/npu=2"], "CDI annotation failed: invalid deviceID"),
        ] {
            assert!(update(&mut annotations, "acme", device_id, &devices).unwrap_err().starts_with(reason));
            assert_eq!(annotations, before);
        }
    }
}
