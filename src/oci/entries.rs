//! The entries that are added to config.json, as JSON text.
//!
//! Our own shapes of them, borrowed from the CDI edits: the OCI crate's own builders cost a fifth of a start in copies, and
//! its types write `null` where an access or a name is absent. A test holds every entry against the crate's types. Devices,
//! rules and mounts, of which a container gets many, are written piece by piece: derived writers take three times as long.

use serde::Serialize;

use super::json::quoted;
use crate::cdi::{DeviceNode, Hook, IntelRdt, Mount, NetDevice};

type Text = Result<String, String>;

/// Writes `text` as a JSON string.
fn push_quoted(to: &mut String, text: &str) {
    if text.bytes().all(|byte| !matches!(byte, 0..b' ' | b'"' | b'\\')) {
        to.push('"');
        to.push_str(text);
        to.push('"');
    } else {
        to.push_str(&quoted(text));
    }
}

/// Writes `name` as it is, and `number`.
fn push_number(to: &mut String, name: &str, number: i64) {
    to.push_str(name);
    to.push_str(&number.to_string());
}

/// `entry` as JSON text.
fn text<T: Serialize>(entry: &T) -> Text {
    serde_json::to_string(entry).map_err(|cause| cause.to_string())
}

/// Whose a device is, where its node does not say so.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Owner {
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
}

impl Owner {
    /// The owner of `node`.
    pub(super) fn of(self, node: &DeviceNode) -> Self {
        Owner { uid: node.uid.or(self.uid), gid: node.gid.or(self.gid) }
    }
}

/// An entry of `linux.devices`. The node is complete: its type and numbers are known.
pub(super) fn device(node: &DeviceNode, Owner { uid, gid }: Owner) -> String {
    let DeviceNode { path, node_type, major, minor, file_mode, .. } = node;
    let mut text = String::with_capacity(path.len() + 100);
    text.push_str(r#"{"path":"#);
    push_quoted(&mut text, path);
    text.push_str(r#","type":"#);
    push_quoted(&mut text, node_type);
    let numbers = [
        (r#","major":"#, Some(*major)),
        (r#","minor":"#, Some(*minor)),
        (r#","fileMode":"#, file_mode.map(i64::from)),
        (r#","uid":"#, uid.map(i64::from)),
        (r#","gid":"#, gid.map(i64::from)),
    ];
    for (name, number) in numbers {
        if let Some(number) = number {
            push_number(&mut text, name, number);
        }
    }
    text.push('}');
    text
}

/// An entry of `linux.resources.devices` that allows a device.
#[derive(Debug)]
pub(super) struct Rule<'a> {
    r#type: &'a str,
    major: i64,
    minor: i64,
    access: Option<&'a str>,
}

impl Rule<'_> {
    pub(super) fn text(&self) -> String {
        let mut text = String::with_capacity(80);
        text.push_str(r#"{"allow":true,"type":"#);
        push_quoted(&mut text, self.r#type);
        push_number(&mut text, r#","major":"#, self.major);
        push_number(&mut text, r#","minor":"#, self.minor);
        if let Some(access) = self.access {
            text.push_str(r#","access":"#);
            push_quoted(&mut text, access);
        }
        text.push('}');
        text
    }
}

/// The cgroup rule that a node needs: block and character devices only; `none` grants no access.
pub(super) fn rule(node: &DeviceNode) -> Option<Rule<'_>> {
    let access = match node.permissions.as_str() {
        "none" => None,
        "" => Some("rwm"),
        given => Some(given),
    };
    let rule = Rule { r#type: &node.node_type, major: node.major, minor: node.minor, access };
    matches!(node.node_type.as_str(), "b" | "c").then_some(rule)
}

/// An entry of `mounts`.
pub(super) fn mount(mount: &Mount) -> String {
    let Mount { container_path: destination, mount_type: r#type, host_path: source, options } = mount;
    let mut text = String::with_capacity(destination.len() + source.len() + 120);
    text.push_str(r#"{"destination":"#);
    push_quoted(&mut text, destination);
    if !r#type.is_empty() {
        text.push_str(r#","type":"#);
        push_quoted(&mut text, r#type);
    }
    text.push_str(r#","source":"#);
    push_quoted(&mut text, source);
    for (i, option) in options.iter().enumerate() {
        text.push_str(if i == 0 { r#","options":["# } else { "," });
        push_quoted(&mut text, option);
    }
    text.push_str(if options.is_empty() { "}" } else { "]}" });
    text
}

/// An entry of one of the lists in `hooks`.
pub(super) fn hook(hook: &Hook) -> Text {
    #[derive(Serialize)]
    struct Entry<'a> {
        path: &'a str,
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        args: &'a [String],
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        env: &'a [String],
        #[serde(skip_serializing_if = "Option::is_none")]
        timeout: Option<i64>,
    }
    let Hook { path, args, env, timeout, .. } = hook;
    text(&Entry { path, args, env, timeout: *timeout })
}

/// A value of `linux.netDevices`.
pub(super) fn net_device(device: &NetDevice) -> Text {
    #[derive(Serialize)]
    struct Entry<'a> {
        name: &'a str,
    }
    text(&Entry { name: &device.name })
}

/// The value of `linux.intelRdt`, whose members CDI and OCI call the same.
pub(super) fn intel_rdt(rdt: &IntelRdt) -> Text {
    text(rdt)
}

#[cfg(test)]
mod tests {
    use oci_spec::runtime;
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    use super::*;

    /// Whether the OCI's type reads `entry` and writes all of it back.
    fn assert_oci<T: Serialize + DeserializeOwned>(entry: Text) {
        let entry: Value = serde_json::from_str(&entry.unwrap()).unwrap();
        let typed: T = serde_json::from_value(entry.clone()).unwrap();
        assert_eq!(serde_json::to_value(typed).unwrap(), entry);
    }

    fn from<T: DeserializeOwned>(edit: Value) -> T {
        serde_json::from_value(edit).unwrap()
    }

    #[test]
    fn a_device_belongs_to_whom_its_node_says_else_to_the_user() {
        let user = Owner { uid: Some(7), gid: Some(8) };
        for (node, owner) in [
            (json!({"path": "/a"}), json!({"uid": 7, "gid": 8})),
            (json!({"path": "/a", "uid": 0}), json!({"uid": 0, "gid": 8})),
            (json!({"path": "/a", "gid": 0}), json!({"uid": 7, "gid": 0})),
        ] {
            let node: DeviceNode = from(node);
            let entry: Value = serde_json::from_str(&device(&node, user.of(&node))).unwrap();
            assert_eq!((&entry["uid"], &entry["gid"]), (&owner["uid"], &owner["gid"]));
        }
    }

    #[test]
    fn rules_say_what_the_nodes_say() {
        for (node_type, permissions, access) in [
            ("c", "", Some(json!({"access": "rwm"}))),
            ("b", "\"", Some(json!({"access": "\""}))),
            ("c", "none", Some(json!({}))),
            ("p", "rw", None),
            ("", "rw", None),
        ] {
            let node =
                from(json!({"path": "/n", "type": node_type, "major": 9, "minor": -1, "permissions": permissions}));
            let text = rule(&node).map(|rule| serde_json::from_str::<Value>(&rule.text()).unwrap());
            let expected = access.map(|mut access| {
                access["allow"] = true.into();
                access["type"] = node_type.into();
                access["major"] = 9.into();
                access["minor"] = (-1).into();
                access
            });
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn devices_and_mounts_say_what_the_edits_say() {
        let odd = "/\"\\\u{1}\u{1f}\n\u{7f}ä";
        for node in [
            json!({"path": odd, "type": odd, "major": i64::MIN, "minor": i64::MAX, "fileMode": u32::MAX, "uid": 0, "gid": u32::MAX}),
            json!({"path": "/dev/n", "type": "c", "major": 0, "minor": 0, "gid": 5}),
        ] {
            let edit: DeviceNode = from(node.clone());
            let text = device(&edit, Owner { uid: edit.uid, gid: edit.gid });
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), node);
        }
        for options in [vec![], vec!["ro", odd], vec!["", "bind"]] {
            for r#type in ["", "bind", odd] {
                let edit = json!({"hostPath": odd, "containerPath": "/c", "type": r#type, "options": options});
                let mut expected = json!({"destination": "/c", "source": odd});
                if !r#type.is_empty() {
                    expected["type"] = r#type.into();
                }
                if !options.is_empty() {
                    expected["options"] = json!(options);
                }
                let entry: Value = serde_json::from_str(&mount(&from(edit))).unwrap();
                assert_eq!(entry, expected);
            }
        }
    }

    #[test]
    fn every_entry_is_what_the_oci_types_write() {
        for node in [
            json!({"path": "/dev/n", "type": "c", "major": 9, "minor": 1, "fileMode": 438, "uid": 1, "gid": 0, "permissions": "rw"}),
            json!({"path": "/dev/n", "type": "b", "major": 9}),
            json!({"path": "/dev/n", "type": "p"}),
        ] {
            let node: DeviceNode = from(node);
            assert_oci::<runtime::LinuxDevice>(Ok(device(&node, Owner::default().of(&node))));
            if let Some(rule) = rule(&node) {
                assert_oci::<runtime::LinuxDeviceCgroup>(Ok(rule.text()));
            }
        }
        for edit in [
            json!({"hostPath": "/h", "containerPath": "/c"}),
            json!({"hostPath": "/h", "containerPath": "/c", "type": "bind", "options": ["ro"]}),
        ] {
            let edit: Mount = from(edit);
            assert_oci::<runtime::Mount>(Ok(mount(&edit)));
        }
        for edit in [
            json!({"hookName": "poststop", "path": "/h"}),
            json!({"hookName": "poststop", "path": "/h", "args": ["h"], "env": ["A=b"], "timeout": 7}),
        ] {
            assert_oci::<runtime::Hook>(hook(&from(edit)));
        }
        assert_oci::<runtime::LinuxNetDevice>(net_device(&from(json!({"hostInterfaceName": "ib0", "name": "x"}))));
        let rdt = json!({"closID": "c", "l3CacheSchema": "L3", "memBwSchema": "MB", "schemata": ["L3:0=f"], "enableMonitoring": true});
        assert_oci::<runtime::LinuxIntelRdt>(intel_rdt(&from(rdt)));
    }
}
