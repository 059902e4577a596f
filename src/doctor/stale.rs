//! Whether what a CDI file says still holds on this machine.
//!
//! Only looks: how bad it is, is decided by the caller. A container's start looks at what it needs of a file; this looks at all.

use std::path::Path;

use super::Devices;
use crate::cdi::{ContainerEdits, DeviceNode, Spec};
use crate::error::{Escaped, Result};
use crate::generate::{self, Machine};
use crate::host::node::{self, Completed};
use crate::host::{numbers, source};
use crate::vendor::Vendor;

/// What of `spec` does not hold on `machine`, each once, in the order of the file; `vendor` is that of its kind, if it is known, and
/// `devices` are those that should be in it.
pub fn faults(spec: &Spec, vendor: Option<&Vendor>, machine: Machine<'_>, devices: &[Devices]) -> Result<Vec<String>> {
    let mut faults: Vec<String> = Vec::new();
    let of_devices = spec.devices.iter().map(|device| &device.container_edits);
    for edits in std::iter::once(&spec.container_edits).chain(of_devices) {
        for fault in of_edits(edits, spec, vendor, machine)? {
            if !faults.contains(&fault) {
                faults.push(fault);
            }
        }
    }
    faults.extend(missing_devices(spec, vendor, devices));
    Ok(faults)
}

fn of_edits(edits: &ContainerEdits, spec: &Spec, vendor: Option<&Vendor>, machine: Machine<'_>) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    for mount in &edits.mounts {
        if source::is_missing(mount, machine.host)? {
            faults.push(format!("{} is not there", Escaped::quoted(&mount.host_path)));
        }
    }
    for hook in edits.hooks.iter().filter(|hook| hook.path.starts_with('/')) {
        let found = machine.host.find(Path::new(&hook.path));
        if !matches!(&found, Err(error) if error.is_denied()) && found?.is_none() {
            faults.push(format!("the hook {} is not there", Escaped::quoted(&hook.path)));
        }
    }
    for node in &edits.device_nodes {
        match node::complete(&mut node.clone(), machine.host) {
            Ok(Completed::Whole(note)) => faults.extend(note),
            Ok(Completed::Absent) if is_promised(node, spec, vendor, machine)? => {}
            Ok(Completed::Absent) => faults.push(format!("{} is not there", Escaped::quoted(node.on_host()))),
            Err(error) => faults.push(error.to_string()),
        }
    }
    Ok(faults)
}

/// Whether a node that nobody has made can be made by its description: the driver of a known vendor says so itself, that of
/// another must at least have the number.
fn is_promised(node: &DeviceNode, spec: &Spec, vendor: Option<&Vendor>, machine: Machine<'_>) -> Result<bool> {
    if !node.is_whole() {
        return Ok(false);
    }
    match vendor.filter(|vendor| !vendor.recipes.is_empty()) {
        // A driver that is not whole makes nothing, and has a finding of its own.
        Some(vendor) => Ok(generate::promise(vendor, &spec.kind, node, machine).is_ok_and(|promise| promise.is_some())),
        None => Ok(numbers::is_given(&numbers::read(machine.host)?, node.major)),
    }
}

/// Devices of the machine that `spec` has under none of their names. Names of parts are often known only to the driver's tool.
fn missing_devices(spec: &Spec, vendor: Option<&Vendor>, devices: &[Devices]) -> Vec<String> {
    let is_described = |name: &String| spec.devices.iter().any(|device| device.name == *name);
    let of_vendor = devices.iter().filter(|Devices { vendor: known, .. }| vendor == Some(*known));
    let items = of_vendor.flat_map(|devices| devices.items.iter().flatten());
    items
        .filter(|item| item.identity.instance.is_none() && !item.names.iter().any(is_described))
        .map(|item| format!("the device {} is not in it", Escaped::name(&item.identity.index)))
        .collect()
}
