//! Devices that draw or compute, of vendors that nobody here knows: their ids, and a row for the configuration.
//!
//! A render node is the sign: the display chips of servers and of virtual machines' consoles have none.

use super::{Finding, Subject};
use crate::config::Config;
use crate::error::{Escaped, Result};
use crate::host::{drm, pci};

/// A finding for every PCI function with a render node whose vendor is not known and that no device has.
pub(super) fn look(subject: &Subject<'_>) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for address in pci::all(subject.host)? {
        let folder = pci::folder(&address);
        let nodes = drm::nodes(subject.host, &folder)?;
        let Some(node) = nodes.iter().find(|node| node.contains("renderD")) else { continue };
        let number = |file: &str| pci::number(subject.host, &folder, file);
        let (Some(vendor), device) = (number("vendor")?, number("device")?.unwrap_or_default()) else { continue };
        let mut hardware = subject.vendors.iter().flat_map(|known| known.hardware());
        let is_known = hardware.any(|hardware| u64::from(hardware.vendor) == vendor);
        if !is_known && !has(subject, node) {
            let driver = subject.host.find(&folder.join("driver"))?;
            let driver = driver.and_then(|driver| driver.path.file_name()?.to_str().map(str::to_owned));
            findings.push(finding(&address, (vendor, device), driver.as_deref(), &row(vendor, node, subject)));
        }
    }
    Ok(findings)
}

/// Whether a device of a vendor, such as one that the configuration describes, has this node.
fn has(subject: &Subject<'_>, node: &str) -> bool {
    let mut items = subject.devices.iter().flat_map(|devices| devices.items.iter().flatten());
    items.any(|item| item.nodes.iter().any(|own| own == node))
}

fn finding(address: &str, (vendor, device): (u64, u64), driver: Option<&str>, row: &str) -> Finding {
    let driver = driver.map(|driver| format!(", driver {}", Escaped::name(driver))).unwrap_or_default();
    Finding::warn(
        format!("{address} ({vendor:04x}:{device:04x}{driver}) is a GPU of a vendor that gpu-runc does not know"),
        "containers get devices of vendors that are known, or that a CDI spec or the configuration describes",
        format!("add this to {}, with names of your choice:\n{row}", Escaped::path(&Config::path())),
    )
}

/// The row that describes the device. Where other vendors have render nodes, it names this one only.
fn row(vendor: u64, node: &str, subject: &Subject<'_>) -> String {
    let mut others = subject.devices.iter().flat_map(|devices| devices.items.iter().flatten());
    let is_shared = others.any(|item| item.nodes.iter().any(|node| node.contains("/renderD")));
    let devices = if is_shared { node } else { "/dev/dri/renderD*" };
    let name = format!("pci-{vendor:04x}");
    let variable = name.replace('-', "_").to_uppercase();
    format!(
        "[[vendor]]\nname = \"{name}\"\nkind = \"{name}.example/gpu\"\ndevices = \"{devices}\"\nvisible = \
         \"{variable}_VISIBLE_DEVICES\""
    )
}
