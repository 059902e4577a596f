//! Device nodes: whether each is there, with the number that its driver has.
//!
//! What a vendor's devices need is what would be described to a container; here it is held against the machine.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use nix::sys::stat::{FileStat, SFlag, major, minor};

use super::{Devices, Finding, Subject, counted, first_of};
use crate::cdi::{DeviceNode, Spec};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::vendor::Vendor;

const WHY: &str = "programs reach a device through its nodes";

/// A node's number.
pub(super) type Number = (i64, i64);

/// A node that the machine has.
pub(super) struct Present {
    pub path: String,
    pub stat: FileStat,
}

impl Present {
    pub(super) fn number(&self) -> Number {
        let half = |half: u64| i64::try_from(half).unwrap_or_default();
        (half(major(self.stat.st_rdev)), half(minor(self.stat.st_rdev)))
    }
}

/// A finding for each vendor.
pub(super) fn look(subject: &Subject<'_>) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for devices in subject.devices {
        if let (Ok(items), Ok(spec)) = (&devices.items, &devices.spec) {
            let nodes = described(spec.as_ref());
            let needed = nodes.values().copied().filter(|node| !is_optional(node, devices.vendor, subject.host));
            let sorted = sorted(needed, subject.host)?;
            let bare = items.iter().filter(|item| !item.nodes.iter().any(|path| is_described(path, &nodes)));
            let unmade = bare.filter_map(|item| item.nodes.first().cloned()).collect();
            findings.push(judged(devices, &Sorted { unmade, ..sorted }));
        }
    }
    if findings.is_empty() {
        findings.push(Finding::idle("there is no device to look at", WHY));
    }
    Ok(findings)
}

/// The nodes of `spec` by their paths on the machine.
fn described(spec: Option<&Spec>) -> BTreeMap<&str, &DeviceNode> {
    let shared = spec.into_iter().map(|spec| &spec.container_edits);
    let all = shared.chain(spec.into_iter().flat_map(|spec| &spec.devices).map(|device| &device.container_edits));
    all.flat_map(|edits| &edits.device_nodes).map(|node| (node.on_host(), node)).collect()
}

/// Whether the machine has not the node and need not have it: it goes with some of the driver's files only, such as those that
/// draw.
fn is_optional(node: &DeviceNode, vendor: &Vendor, host: &Host) -> bool {
    let mut shared = vendor.recipes.iter().flat_map(|recipe| recipe.shared);
    shared.any(|shared| shared.path == node.path && !shared.classes.is_empty())
        && matches!(stat(node.on_host(), host), Ok(None))
}

/// Whether the machine has the node at `path`, here or below another root, or its driver promises it.
fn is_described(path: &str, nodes: &BTreeMap<&str, &DeviceNode>) -> bool {
    nodes.contains_key(path) || nodes.values().any(|node| node.path == path)
}

/// All nodes of all devices that the machine has, each once, in order.
pub(super) fn present(subject: &Subject<'_>) -> Result<Vec<Present>> {
    let specs = subject.devices.iter().filter_map(|devices| devices.spec.as_ref().ok()?.as_ref());
    let nodes: BTreeMap<&str, &DeviceNode> = specs.flat_map(|spec| described(Some(spec))).collect();
    let mut found = Vec::new();
    for path in nodes.into_keys() {
        found.extend(stat(path, subject.host)?.map(|stat| Present { path: path.to_owned(), stat }));
    }
    Ok(found)
}

/// The device nodes that a driver would make and has not.
pub(super) fn unmade(subject: &Subject<'_>) -> Result<Vec<String>> {
    let mut unmade = Vec::new();
    for devices in subject.devices {
        let Ok(spec) = &devices.spec else { continue };
        for (path, node) in described(spec.as_ref()) {
            if stat(path, subject.host)?.is_none() && !is_optional(node, devices.vendor, subject.host) {
                unmade.push(path.to_owned());
            }
        }
    }
    Ok(unmade)
}

/// The character device at `path`.
fn stat(path: &str, host: &Host) -> Result<Option<FileStat>> {
    let stat = host.lstat(Path::new(path)).map_err(|cause| Error::io("look at", Path::new(path), cause))?;
    let is_device = |stat: &FileStat| SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) == SFlag::S_IFCHR;
    Ok(stat.filter(is_device))
}

/// Nodes by how they stand to the machine.
#[derive(Debug, Default)]
struct Sorted {
    /// How many have the right number, by major.
    right: BTreeMap<i64, usize>,
    /// There with another number.
    wrong: Vec<String>,
    /// Not there, and gpu-runc knows their number.
    absent: Vec<String>,
    /// The first nodes of devices that have none at all: not there, and nobody knows their number.
    unmade: BTreeSet<String>,
}

fn sorted<'a>(nodes: impl Iterator<Item = &'a DeviceNode>, host: &Host) -> Result<Sorted> {
    let mut sorted = Sorted::default();
    for node in nodes {
        let path = node.on_host();
        let Some(stat) = stat(path, host)? else {
            sorted.absent.push(format!("{path} ({}:{})", node.major, node.minor));
            continue;
        };
        let is = Present { path: path.to_owned(), stat }.number();
        if is == (node.major, node.minor) {
            *sorted.right.entry(is.0).or_default() += 1;
        } else {
            let should = (node.major, node.minor);
            sorted.wrong.push(format!("{path} is {}:{} and should be {}:{}", is.0, is.1, should.0, should.1));
        }
    }
    Ok(sorted)
}

fn judged(devices: &Devices, sorted: &Sorted) -> Finding {
    const BY_GPU_RUNC: &str = "gpu-runc makes device nodes whose major:minor it knows in containers of root; containers in a user \
                               namespace, other programs, and engines that read CDI specs need those of the host";
    let (name, make) = (devices.vendor.name, devices.vendor.upkeep.make_nodes);
    let make = if make.is_empty() { "udevadm trigger && udevadm settle" } else { make };
    let right: usize = sorted.right.values().sum();
    let unmade: Vec<String> = sorted.unmade.iter().cloned().collect();
    let parts = [
        (first_of(&sorted.wrong), ""),
        (first_of(&sorted.absent), " not there"),
        (first_of(&unmade), " not there, and of no known number"),
    ];
    let parts: Vec<String> =
        parts.iter().filter(|(nodes, _)| !nodes.is_empty()).map(|(nodes, how)| format!("{nodes}{how}")).collect();
    if parts.is_empty() {
        let majors: Vec<String> =
            sorted.right.iter().map(|(major, count)| format!("{count} of major {major}")).collect();
        return Finding::pass(format!("{name}: {}, {}", counted(right, "node"), majors.join(", ")), WHY);
    }
    let what = format!("{name}: {}", parts.join("; "));
    if !unmade.is_empty() {
        return Finding::fail(what, "a device without any node cannot be had by a container", make);
    }
    let stale: Vec<&str> = sorted.wrong.iter().filter_map(|node| node.split(' ').next()).collect();
    let remove = if stale.is_empty() { String::new() } else { format!("rm {} && ", stale.join(" ")) };
    Finding::warn(what, BY_GPU_RUNC, format!("{remove}{make}"))
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;
    use crate::vendor::Vendors;

    #[test]
    fn nodes_are_judged_by_the_worst_of_them() {
        let vendor = Vendors::known().by_name("nvidia").unwrap();
        let devices = Devices { vendor, items: Ok(Vec::new()), spec: Ok(None) };
        let text = |text: &str| text.to_owned();
        let right = BTreeMap::from([(195, 2), (511, 1)]);
        for (what, sorted, level, part) in [
            (
                "all right",
                Sorted { right: right.clone(), ..Sorted::default() },
                Level::Pass,
                "3 nodes, 2 of major 195, 1 of",
            ),
            (
                "one absent",
                Sorted { right: right.clone(), absent: vec![text("/dev/n (195:0)")], ..Sorted::default() },
                Level::Warn,
                "nvidia: /dev/n (195:0) not there",
            ),
            (
                "one stale",
                Sorted { wrong: vec![text("/dev/n is 9:0 and should be 195:0")], ..Sorted::default() },
                Level::Warn,
                "/dev/n is 9:0 and should be 195:0",
            ),
            (
                "devices without any",
                Sorted { right, unmade: BTreeSet::from([text("/dev/n"), text("/dev/o")]), ..Sorted::default() },
                Level::Fail,
                "/dev/n and 1 more not there, and of no",
            ),
        ] {
            let finding = judged(&devices, &sorted);
            assert_eq!(finding.level, level, "{what}");
            assert!(finding.what.contains(part), "{what}: {}", finding.what);
        }
    }
}
