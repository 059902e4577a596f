//! MIG devices: the parts of a GPU, and the capability nodes that open and manage them, in `/proc/driver/nvidia/capabilities`.
//!
//! A part is a compute instance (`ci`) of a GPU instance (`gi`). Its index is its place in the order of these two numbers; its
//! UUID only NVML knows.

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::host::Host;
use crate::vendor::recipe::{Device, Node, Number, Wanted};

use super::procfs;

/// A MIG device.
pub(super) struct Instance {
    /// Of its GPU instance and its compute instance.
    pub numbers: (u32, u32),
    /// The capability nodes that open it.
    pub access: [Node; 2],
}

/// The MIG devices of the GPU with this minor number, in the order of their indices.
pub(super) fn devices(host: &Host, minor: i64) -> Result<Vec<Instance>> {
    let gpu = PathBuf::from(format!("/proc/driver/nvidia/capabilities/gpu{minor}/mig"));
    let mut devices = Vec::new();
    for (gi, of_gi) in numbered(host, &gpu, "gi")? {
        for (ci, of_ci) in numbered(host, &of_gi, "ci")? {
            if let (Some(of_gi), Some(of_ci)) = (access(host, &of_gi)?, access(host, &of_ci)?) {
                devices.push(Instance { numbers: (gi, ci), access: [of_gi, of_ci] });
            }
        }
    }
    Ok(devices)
}

/// The device that lets GPUs be split.
pub(super) fn config(host: &Host, _: Wanted<'_>) -> Result<Vec<Device>> {
    manager(host, &["config"])
}

/// The device that lets all parts be watched.
pub(super) fn monitor(host: &Host, _: Wanted<'_>) -> Result<Vec<Device>> {
    manager(host, &["monitor"])
}

/// The device that is all nodes of the driver there are, for programs that manage GPUs.
pub(super) fn everything(host: &Host, wanted: Wanted<'_>) -> Result<Vec<Device>> {
    let gpus = procfs::devices(host, wanted)?;
    if gpus.is_empty() {
        return Ok(Vec::new());
    }
    let is_drm = |node: &Node| node.path.starts_with("/dev/dri/") || node.place.starts_with("/dev/dri/");
    let mut nodes: Vec<Node> = gpus.into_iter().flat_map(|gpu| gpu.nodes).filter(|node| !is_drm(node)).collect();
    nodes.extend(manager(host, &["config", "monitor"])?.into_iter().flat_map(|device| device.nodes));
    for (folder, prefix) in [("/dev/nvidia-caps", "nvidia-cap"), ("/dev/nvidia-caps-imex-channels", "channel")] {
        let entries = host.list(Path::new(folder), |name| name.starts_with(prefix))?.unwrap_or_default();
        nodes.extend(entries.into_iter().map(|entry| Node::at(format!("{folder}/{entry}"))));
    }
    Ok(vec![Device { names: vec!["all".to_owned()], nodes, ..Device::default() }])
}

fn manager(host: &Host, what: &[&str]) -> Result<Vec<Device>> {
    let mut nodes = Vec::new();
    for name in what {
        let path = Path::new("/proc/driver/nvidia/capabilities/mig").join(name);
        nodes.extend(host.read(&path)?.as_deref().and_then(node));
    }
    let device = Device { names: vec!["all".to_owned()], nodes, ..Device::default() };
    Ok(Some(device).filter(|device| !device.nodes.is_empty()).into_iter().collect())
}

/// The subfolders called `prefix` and a number, in the order of their numbers.
fn numbered(host: &Host, folder: &Path, prefix: &str) -> Result<Vec<(u32, PathBuf)>> {
    let number = |name: &str| name.strip_prefix(prefix).and_then(|number| number.parse::<u32>().ok());
    let names = host.list(folder, |name| number(name).is_some())?.unwrap_or_default();
    let mut found: Vec<_> = names.iter().filter_map(|name| Some((number(name)?, folder.join(name)))).collect();
    found.sort_unstable();
    Ok(found)
}

/// The node that the `access` file of an instance tells of.
fn access(host: &Host, instance: &Path) -> Result<Option<Node>> {
    Ok(host.read(&instance.join("access"))?.as_deref().and_then(node))
}

fn node(text: &str) -> Option<Node> {
    let field = |name| {
        let mut pairs = text.lines().filter_map(|line| line.split_once(':'));
        pairs.find(|(key, _)| *key == name)?.1.trim().parse::<u32>().ok()
    };
    let minor = field("DeviceFileMinor")?;
    let number = Number { drivers: &["nvidia-caps"], minor: minor.into(), mode: field("DeviceFileMode")? };
    Some(Node { number: Some(number), ..Node::at(format!("/dev/nvidia-caps/nvidia-cap{minor}")) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_file_tells_the_minor_number_and_the_mode() {
        let number = Number { drivers: &["nvidia-caps"], minor: 12, mode: 0o444 };
        let cap12 = Node { number: Some(number), ..Node::at("/dev/nvidia-caps/nvidia-cap12".to_owned()) };
        for (text, expected) in [
            ("DeviceFileMinor: 12\nDeviceFileMode: 292\nDeviceFileModify: 1\n", Some(cap12)),
            ("DeviceFileMinor: -1\nDeviceFileMode: 292\n", None),
            ("", None),
        ] {
            assert_eq!(node(text), expected, "{text}");
        }
    }
}
