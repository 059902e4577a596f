//! The entries that are added to config.json, as JSON text.
//!
//! Our own shapes of them, borrowed from the CDI edits: the OCI crate's own builders cost a fifth of a start in copies, and
//! its types write `null` where an access or a name is absent. A test holds every entry against the crate's types.

use serde::Serialize;

use crate::cdi::{DeviceNode, Hook, IntelRdt, Mount, NetDevice};

type Text = Result<String, String>;

/// `entry` as JSON text.
pub(super) fn text<T: Serialize>(entry: &T) -> Text {
    serde_json::to_string(entry).map_err(|cause| cause.to_string())
}

/// An entry of `linux.devices`. The node is complete: its type and numbers are known.
pub(super) fn device(node: &DeviceNode) -> Text {
    #[derive(Serialize)]
    struct Entry<'a> {
        path: &'a str,
        r#type: &'a str,
        major: i64,
        minor: i64,
        #[serde(rename = "fileMode", skip_serializing_if = "Option::is_none")]
        file_mode: Option<u32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        uid: Option<u32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        gid: Option<u32>,
    }
    let DeviceNode { path, node_type, major, minor, file_mode, uid, gid, .. } = node;
    text(&Entry { path, r#type: node_type, major: *major, minor: *minor, file_mode: *file_mode, uid: *uid, gid: *gid })
}

/// An entry of `linux.resources.devices`.
#[derive(Debug, Serialize, PartialEq)]
pub(super) struct Rule<'a> {
    allow: bool,
    r#type: &'a str,
    major: i64,
    minor: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    access: Option<&'a str>,
}

/// The cgroup rule that a node needs: block and character devices only; `none` grants no access.
pub(super) fn rule(node: &DeviceNode) -> Option<Rule<'_>> {
    let access = match node.permissions.as_str() {
        "none" => None,
        "" => Some("rwm"),
        given => Some(given),
    };
    let rule = Rule { allow: true, r#type: &node.node_type, major: node.major, minor: node.minor, access };
    matches!(node.node_type.as_str(), "b" | "c").then_some(rule)
}

/// An entry of `mounts`, with `option` beside the mount's own options if given.
pub(super) fn mount(mount: &Mount, option: Option<&str>) -> Text {
    #[derive(Serialize)]
    struct Entry<'a> {
        destination: &'a str,
        #[serde(skip_serializing_if = "str::is_empty")]
        r#type: &'a str,
        source: &'a str,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        options: Vec<&'a str>,
    }
    let Mount { container_path: destination, mount_type: r#type, host_path: source, options } = mount;
    let options = options.iter().map(String::as_str).chain(option).collect();
    text(&Entry { destination, r#type, source, options })
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
    fn every_entry_is_what_the_oci_types_write() {
        for node in [
            json!({"path": "/dev/n", "type": "c", "major": 9, "minor": 1, "fileMode": 438, "uid": 1, "gid": 0, "permissions": "rw"}),
            json!({"path": "/dev/n", "type": "b", "major": 9}),
            json!({"path": "/dev/n", "type": "p"}),
        ] {
            let node: DeviceNode = from(node);
            assert_oci::<runtime::LinuxDevice>(device(&node));
            if let Some(rule) = rule(&node) {
                assert_oci::<runtime::LinuxDeviceCgroup>(text(&rule));
            }
        }
        for edit in [
            json!({"hostPath": "/h", "containerPath": "/c"}),
            json!({"hostPath": "/h", "containerPath": "/c", "type": "bind", "options": ["ro"]}),
        ] {
            let edit: Mount = from(edit);
            assert_oci::<runtime::Mount>(mount(&edit, None));
            assert_oci::<runtime::Mount>(mount(&edit, Some("idmap")));
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
