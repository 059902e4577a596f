//! The entries that are added to config.json, made from CDI edits with the OCI's own types and rendered as JSON text.

use oci_spec::OciSpecError;
use oci_spec::runtime::{
    HookBuilder, LinuxDeviceBuilder, LinuxDeviceType, LinuxIntelRdtBuilder, LinuxNetDevice, MountBuilder,
};
use serde::Serialize;

use crate::cdi::{DeviceNode, Hook, IntelRdt, Mount, NetDevice};

type Text = Result<String, String>;

/// An entry of `linux.devices`. The node is complete: its type and numbers are known.
pub(super) fn device(node: &DeviceNode) -> Text {
    let mut entry = LinuxDeviceBuilder::default()
        .path(&node.path)
        .typ(device_type(&node.node_type)?)
        .major(node.major)
        .minor(node.minor);
    if let Some(mode) = node.file_mode {
        entry = entry.file_mode(mode);
    }
    if let Some(uid) = node.uid {
        entry = entry.uid(uid);
    }
    if let Some(gid) = node.gid {
        entry = entry.gid(gid);
    }
    render(entry.build())
}

fn device_type(letter: &str) -> Result<LinuxDeviceType, String> {
    match letter {
        "b" => Ok(LinuxDeviceType::B),
        "c" => Ok(LinuxDeviceType::C),
        "u" => Ok(LinuxDeviceType::U),
        "p" => Ok(LinuxDeviceType::P),
        other => Err(format!("device type {other:?} is none of b, c, u, p")),
    }
}

/// An entry of `linux.resources.devices`. Our own shape, because the OCI crate's writes `"access":null` where none is given.
#[derive(Debug, Serialize, PartialEq)]
pub(super) struct Rule<'a> {
    pub(super) allow: bool,
    #[serde(rename = "type")]
    pub(super) node_type: &'a str,
    pub(super) major: i64,
    pub(super) minor: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) access: Option<&'a str>,
}

/// The cgroup rule that a node needs: block and character devices only; `none` grants no access.
pub(super) fn rule(node: &DeviceNode) -> Option<Rule<'_>> {
    matches!(node.node_type.as_str(), "b" | "c").then(|| Rule {
        allow: true,
        node_type: &node.node_type,
        major: node.major,
        minor: node.minor,
        access: match node.permissions.as_str() {
            "none" => None,
            "" => Some("rwm"),
            given => Some(given),
        },
    })
}

/// `entry` as JSON text.
pub(super) fn text<T: Serialize>(entry: &T) -> Text {
    serde_json::to_string(entry).map_err(|cause| cause.to_string())
}

/// An entry of `mounts`, with `option` beside the mount's own options if given.
pub(super) fn mount(mount: &Mount, option: Option<&str>) -> Text {
    let mut entry = MountBuilder::default().destination(&mount.container_path).source(&mount.host_path);
    if !mount.mount_type.is_empty() {
        entry = entry.typ(&*mount.mount_type);
    }
    let mut options = mount.options.clone();
    options.extend(option.map(str::to_owned));
    if !options.is_empty() {
        entry = entry.options(options);
    }
    render(entry.build())
}

/// An entry of one of the lists in `hooks`.
pub(super) fn hook(hook: &Hook) -> Text {
    let mut entry = HookBuilder::default().path(&hook.path);
    if !hook.args.is_empty() {
        entry = entry.args(hook.args.clone());
    }
    if !hook.env.is_empty() {
        entry = entry.env(hook.env.clone());
    }
    if let Some(seconds) = hook.timeout {
        entry = entry.timeout(seconds);
    }
    render(entry.build())
}

/// A value of `linux.netDevices`.
pub(super) fn net_device(device: &NetDevice) -> Text {
    let mut entry = LinuxNetDevice::default();
    entry.set_name(Some(device.name.clone()));
    text(&entry)
}

/// The value of `linux.intelRdt`.
pub(super) fn intel_rdt(rdt: &IntelRdt) -> Text {
    let mut entry = LinuxIntelRdtBuilder::default();
    if !rdt.clos_id.is_empty() {
        entry = entry.clos_id(&*rdt.clos_id);
    }
    if !rdt.l3_cache_schema.is_empty() {
        entry = entry.l3_cache_schema(&*rdt.l3_cache_schema);
    }
    if !rdt.mem_bw_schema.is_empty() {
        entry = entry.mem_bw_schema(&*rdt.mem_bw_schema);
    }
    if let Some(schemata) = &rdt.schemata {
        entry = entry.schemata(schemata.clone());
    }
    if rdt.enable_monitoring {
        entry = entry.enable_monitoring(true);
    }
    render(entry.build())
}

fn render<T: Serialize>(built: Result<T, OciSpecError>) -> Text {
    text(&built.map_err(|cause| cause.to_string())?)
}
