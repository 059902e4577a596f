//! DRM: which nodes below `/dev/dri` the kernel made for a device.
//!
//! Reads sysfs only; whether the nodes are there is for others to see. Source: the kernel's drivers/gpu/drm/drm_sysfs.c.

use std::path::Path;

use super::Host;
use crate::error::Result;

/// Paths of the card and render nodes of the device whose folder in sysfs is `device`. None where it has no DRM driver.
pub fn nodes(host: &Host, device: &Path) -> Result<Vec<String>> {
    let is_node = |name: &str| number(name, "card").or_else(|| number(name, "renderD")).is_some();
    let entries = host.list(&device.join("drm"), is_node)?.unwrap_or_default();
    Ok(entries.into_iter().map(|entry| format!("/dev/dri/{entry}")).collect())
}

/// The name, in the folder of names that tell where a device is plugged in, of the node at `path` of the PCI function at
/// `address`. Source: udev's rules for persistent names.
pub fn by_path(address: &str, path: &str) -> String {
    let kind = if path.contains("renderD") { "render" } else { "card" };
    format!("/dev/dri/by-path/pci-{address}-{kind}")
}

/// The number in `name` after `prefix`: connectors (`card0-DP-1`) have none.
fn number(name: &str, prefix: &str) -> Option<u32> {
    name.strip_prefix(prefix)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connectors_and_control_files_are_no_nodes() {
        let root = tempfile::tempdir().unwrap();
        for name in ["card1", "card1-DP-1", "renderD128", "controlD64", "version"] {
            std::fs::create_dir_all(root.path().join("sys/x/drm").join(name)).unwrap();
        }
        let host = Host::open(root.path()).unwrap();
        assert_eq!(nodes(&host, Path::new("/sys/x")).unwrap(), ["/dev/dri/card1", "/dev/dri/renderD128"]);
        assert_eq!(nodes(&host, Path::new("/sys/y")).unwrap(), Vec::<String>::new());
    }
}
