//! What a valid spec had better not say: what the Go library lets pass and then fails, or surprises, when a container starts.
//!
//! Pure, and never an error. `gpu-ctk cdi validate` shows it. Source: CDI SPEC.md, and runc for what becomes of it.

use std::collections::{BTreeMap, BTreeSet};

use super::spec::{ContainerEdits, Device, Spec};
use super::version::{Version, minimum_version};
use crate::error::Escaped;

/// Everything about `spec` that is allowed and doubtful, each beginning with the field.
pub fn warnings(spec: &Spec) -> Vec<String> {
    let mut warnings = Vec::new();
    of_header(spec, &mut warnings);
    of_annotations("annotations", &spec.annotations, &mut warnings);
    of_edits("containerEdits", &spec.container_edits, &mut warnings);
    for (index, Device { name, annotations, container_edits }) in spec.devices.iter().enumerate() {
        let field = format!("devices[{index}] {}", Escaped::quoted(name));
        of_annotations(&format!("{field}: annotations"), annotations, &mut warnings);
        of_edits(&field, container_edits, &mut warnings);
    }
    warnings
}

fn of_header(spec: &Spec, warnings: &mut Vec<String>) {
    const LONGEST_DNS_NAME: usize = 253;
    const LONGEST_LABEL: usize = 63;
    let minimum = minimum_version(spec);
    if Version::parse(&spec.cdi_version).is_some_and(|declared| declared > minimum) {
        let declared = Escaped::quoted(&spec.cdi_version);
        warnings.push(format!("cdiVersion: {declared} shuts out older engines, which could read this as {minimum}"));
    }
    if spec.kind.vendor().len() > LONGEST_DNS_NAME || spec.kind.vendor().contains('_') {
        warnings.push(format!("kind: the vendor {} is no DNS name", Escaped::quoted(spec.kind.vendor())));
    }
    if spec.kind.class().len() > LONGEST_LABEL {
        warnings.push(format!("kind: the class has more than {LONGEST_LABEL} characters"));
    }
}

/// Kubernetes' rule for annotations, which the CDI specification refers to.
fn of_annotations(field: &str, annotations: &BTreeMap<String, String>, warnings: &mut Vec<String>) {
    const LARGEST: usize = 256 << 10;
    for key in annotations.keys().filter(|key| !is_annotation_key(&key.to_ascii_lowercase())) {
        warnings.push(format!("{field}: the key {} is not of the form [DNS name/]name", Escaped::quoted(key)));
    }
    let size: usize = annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
    if size > LARGEST {
        warnings.push(format!("{field}: they have {size} bytes, expected at most {LARGEST}"));
    }
}

fn is_annotation_key(key: &str) -> bool {
    let is_label = |label: &str, inside: &str| {
        let ends_well = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        ends_well(label.chars().next())
            && ends_well(label.chars().next_back())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || inside.contains(c))
    };
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let is_dns_name = |prefix: &str| prefix.len() <= 253 && prefix.split('.').all(|label| is_label(label, "-"));
    prefix.is_none_or(is_dns_name) && name.len() <= 63 && is_label(name, "-_.")
}

fn of_edits(field: &str, edits: &ContainerEdits, warnings: &mut Vec<String>) {
    let mut warn = |part: String, what: String| warnings.push(format!("{field}: {part}: {what}"));

    for (index, entry) in edits.env.iter().enumerate() {
        let name = entry.split('=').next().unwrap_or_default();
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            warn(format!("env[{index}]"), format!("the name {} has unusual characters", Escaped::quoted(name)));
        }
    }
    for (index, node) in edits.device_nodes.iter().enumerate() {
        let part = || format!("deviceNodes[{index}]");
        for path in [&node.path, &node.host_path].into_iter().filter(|path| !path.is_empty()) {
            odd_path(path).into_iter().for_each(|what| warn(part(), what));
        }
        if node.major < 0 || node.minor < 0 {
            warn(part(), "a device number is negative".to_owned());
        }
        if node.file_mode.is_some_and(|mode| mode > 0o7777) {
            warn(part(), "fileMode has more than permission bits".to_owned());
        }
        if node.permissions == "none" {
            warn(part(), "permissions \"none\" is not known to engines with CDI 1.1.0 or older".to_owned());
        }
    }
    for (index, mount) in edits.mounts.iter().enumerate() {
        for path in [&mount.host_path, &mount.container_path] {
            odd_path(path).into_iter().for_each(|what| warn(format!("mounts[{index}]"), what));
        }
    }
    for (index, hook) in edits.hooks.iter().enumerate() {
        odd_path(&hook.path).into_iter().for_each(|what| warn(format!("hooks[{index}]"), what));
        if hook.timeout.is_some_and(|timeout| timeout <= 0) {
            warn(format!("hooks[{index}]"), "the timeout is not greater than 0, and runtimes refuse it".to_owned());
        }
    }
    for (index, net) in edits.net_devices.iter().enumerate() {
        // IFNAMSIZ, less the NUL.
        const LONGEST: usize = 15;
        for name in [&net.host_interface_name, &net.name].into_iter().filter(|name| name.len() > LONGEST) {
            let what =
                format!("the kernel has no interface called {}, which is longer than {LONGEST}", Escaped::quoted(name));
            warn(format!("netDevices[{index}]"), what);
        }
    }
    if edits.additional_gids.contains(&0) {
        warn("additionalGids".to_owned(), "group 0 is left out when the edits are made".to_owned());
    }
    for path in repeated(edits.device_nodes.iter().map(|node| &node.path)) {
        warn("deviceNodes".to_owned(), format!("{} is there twice, and the last one counts", Escaped::quoted(path)));
    }
    for path in repeated(edits.mounts.iter().map(|mount| &mount.container_path)) {
        warn("mounts".to_owned(), format!("{} is there twice, and the last one counts", Escaped::quoted(path)));
    }
}

/// What is odd about a path that ends up in config.json.
fn odd_path(path: &str) -> Option<String> {
    let what = if path.contains('\0') {
        "holds a NUL, which no path can"
    } else if !path.starts_with('/') {
        "is not absolute"
    } else if path.split('/').any(|part| part == "..") {
        "has a \"..\""
    } else {
        return None;
    };
    Some(format!("{} {what}", Escaped::quoted(path)))
}

fn repeated<'a>(texts: impl Iterator<Item = &'a String>) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    texts.filter(|text| !seen.insert(*text)).map(String::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_allowed_and_doubtful_is_said() {
        for (edits, expected) in [
            (r#""env":["A-B=1"]"#, "env[0]: the name \"A-B\""),
            (r#""deviceNodes":[{"path":"dev/n"}]"#, "deviceNodes[0]: \"dev/n\" is not absolute"),
            (r#""deviceNodes":[{"path":"/n","hostPath":"/a/../n"}]"#, "deviceNodes[0]: \"/a/../n\" has a \"..\""),
            (r#""deviceNodes":[{"path":"/n","minor":-1}]"#, "is negative"),
            (r#""deviceNodes":[{"path":"/n","major":-1,"minor":1}]"#, "is negative"),
            (r#""deviceNodes":[{"path":"/n","fileMode":8630}]"#, "more than permission bits"),
            (r#""deviceNodes":[{"path":"/n","permissions":"none"}]"#, "not known to engines"),
            (r#""deviceNodes":[{"path":"/n"},{"path":"/n"}]"#, "deviceNodes: \"/n\" is there twice"),
            (r#""mounts":[{"hostPath":"/a\u0000b","containerPath":"/c"}]"#, "holds a NUL"),
            (r#""mounts":[{"hostPath":"/a","containerPath":"/c"},{"hostPath":"/b","containerPath":"/c"}]"#, "twice"),
            (r#""hooks":[{"hookName":"poststop","path":"/p","timeout":0}]"#, "timeout"),
            (r#""netDevices":[{"hostInterfaceName":"a","name":"abcdefghijklmnop"}]"#, "longer than 15"),
            (r#""additionalGids":[0]"#, "group 0 is left out"),
        ] {
            let edits = serde_json::from_str(&format!("{{{edits}}}")).unwrap();
            let mut told = Vec::new();
            of_edits("containerEdits", &edits, &mut told);
            assert_eq!(told.len(), 1, "{told:?}");
            assert!(told[0].contains(expected), "{told:?}");
        }
    }

    #[test]
    fn what_is_just_allowed_is_not_warned_of() {
        let (vendor, class) =
            (["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61)].join("."), "x".repeat(63));
        let edits = r#""env":["A_B2=1"],"deviceNodes":[{"path":"/n","type":"c","major":0,"minor":0,"fileMode":4095}],
            "hooks":[{"hookName":"poststop","path":"/p","timeout":1}],"netDevices":[{"hostInterfaceName":"abcdefghijklmno","name":"b"}]"#;
        let spec = |version: &str, vendor: &str, class: &str, size: usize| {
            let text = format!(
                r#"{{"cdiVersion":"{version}","kind":"{vendor}/{class}","annotations":{{"a":"{}"}},"devices":[{{"name":"n","containerEdits":{{{edits}}}}}]}}"#,
                "y".repeat(size - 1)
            );
            super::super::parse(&text).unwrap()
        };
        assert_eq!(warnings(&spec("1.1.0", &vendor, &class, 256 << 10)), [] as [&str; 0]);
        for (spec, expected) in [
            (spec("1.1.0", &format!("{vendor}e"), &class, 1), "is no DNS name"),
            (spec("1.1.0", &vendor, &format!("{class}x"), 1), "more than 63 characters"),
            (spec("1.1.0", &vendor, &class, 257 << 10), "annotations: they have 263168 bytes, expected at most 262144"),
        ] {
            let told = warnings(&spec);
            assert!(told.len() == 1 && told[0].contains(expected), "{told:?}");
        }
    }

    #[test]
    fn annotation_keys_follow_kubernetes() {
        let (longest, too_long) = ("a".repeat(63), "a".repeat(64));
        for key in ["a", "a.b/c-d", "a-b.c/x_y.z", &longest] {
            assert!(is_annotation_key(key), "{key}");
        }
        for key in ["", "/a", "a/", "a/b/c", "-a", "a.", "a_b/c", "a..b/c", "a b", &too_long] {
            assert!(!is_annotation_key(key), "{key}");
        }
    }

    #[test]
    fn a_version_higher_than_needed_is_said() {
        let text =
            r#"{"cdiVersion":"1.1.0","kind":"acme_x/npu","devices":[{"name":"n0","containerEdits":{"env":["A=1"]}}]}"#;
        let told = warnings(&super::super::parse(text).unwrap());
        assert!(told[0].contains("could read this as 0.3.0") && told[1].contains("no DNS name"), "{told:?}");
    }
}
