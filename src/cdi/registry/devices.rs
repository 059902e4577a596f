//! Devices, as opposed to their names: a CDI spec can list one device several times, under its index, its UUID and its PCI address.
//!
//! Two names are the same device where their edits are equal. The names `all` and `none` are not devices.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};

use super::{Kind, Lookup, Registry, is_pci_address, natural, split_number};
use crate::cdi::{ContainerEdits, Part};

/// Names that stand for every device of a kind, or for none.
const NOT_DEVICES: [&str; 2] = ["all", "none"];

/// One device of a kind and every name under which it can be requested.
#[derive(Debug, PartialEq, Eq)]
pub struct NamedDevice<'r> {
    /// At least one: the index first where it has one, the PCI address last.
    pub names: Vec<&'r str>,
    /// Where its edits are.
    pub part: Part,
}

impl NamedDevice<'_> {
    /// The name to call it by.
    pub fn name(&self) -> &str {
        self.names.first().copied().unwrap_or_default()
    }

    /// Devices with an index first, in the order of the indices, then those with a PCI address, in the order of these.
    fn in_order(&self, other: &Self) -> Ordering {
        match (self.first(is_index), other.first(is_index)) {
            (Some(a), Some(b)) => return natural(a, b),
            (Some(_), None) => return Ordering::Less,
            (None, Some(_)) => return Ordering::Greater,
            (None, None) => {}
        }
        match (self.first(is_pci_address), other.first(is_pci_address)) {
            (Some(a), Some(b)) => natural(a, b),
            _ => natural(self.name(), other.name()),
        }
    }

    fn first(&self, is_wanted: fn(&str) -> bool) -> Option<&str> {
        self.names.iter().copied().find(|name| is_wanted(name))
    }
}

impl Registry {
    /// The available devices of `kind`, each once, in the order in which a request by count takes them.
    pub fn devices(&self, kind: &Kind) -> Vec<NamedDevice<'_>> {
        let mut devices: Vec<NamedDevice<'_>> = Vec::new();
        let mut by_edits: HashMap<&ContainerEdits, usize> = HashMap::new();
        for name in self.names(kind).into_iter().filter(|name| !NOT_DEVICES.contains(name)) {
            let found = kind.device(name).map(|name| self.find(&name));
            let Ok(Lookup::Found(part)) = found else { continue };
            let Some(edits) = self.edits(part) else { continue };
            match by_edits.get(edits).and_then(|at| devices.get_mut(*at)) {
                Some(device) => device.names.push(name),
                None => {
                    by_edits.insert(edits, devices.len());
                    devices.push(NamedDevice { names: vec![name], part });
                }
            }
        }
        devices.iter_mut().for_each(|device| device.names.sort_by_key(|name| !is_index(name)));
        devices.sort_by(NamedDevice::in_order);
        devices
    }

    /// Those of [`Registry::devices`] that a request by count chooses among: a partition counts only where the device that it is a
    /// part of is not available as a whole.
    pub fn countable(&self, kind: &Kind) -> Vec<NamedDevice<'_>> {
        let mut devices = self.devices(kind);
        let indices = devices.iter().flat_map(|device| device.names.iter().copied());
        let wholes: BTreeSet<&str> = indices.filter(|name| is_index(name) && !name.contains(':')).collect();
        let is_partition =
            |name: &&str| is_index(name) && name.split_once(':').is_some_and(|(whole, _)| wholes.contains(whole));
        devices.retain(|device| !device.names.iter().any(is_partition));
        devices
    }
}

/// Whether `name` is a number, with letters before it at most (`2`, `gpu2`), or such a number of a partition (`0:1`).
fn is_index(name: &str) -> bool {
    let (whole, part) = name.split_once(':').map_or((name, None), |(whole, part)| (whole, Some(part)));
    let (before, number, rest) = split_number(whole);
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    before.bytes().all(|byte| byte.is_ascii_alphabetic())
        && !number.is_empty()
        && rest.is_empty()
        && part.is_none_or(is_number)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::cdi::{Device, DeviceNode, Spec};

    fn registry(devices: &[(&str, &str)]) -> (Registry, Kind) {
        let kind: Kind = "acme.example/gpu".parse().unwrap();
        let mut spec = Spec::new("0.5.0".to_owned(), kind.clone());
        let device = |(name, nodes): &(&str, &str)| {
            let nodes =
                nodes.split(' ').map(|path| DeviceNode { path: format!("/dev/{path}"), ..DeviceNode::default() });
            let container_edits = ContainerEdits { device_nodes: nodes.collect(), ..ContainerEdits::default() };
            Device { name: (*name).to_owned(), annotations: BTreeMap::default(), container_edits }
        };
        spec.devices = devices.iter().map(device).collect();
        let mut registry = Registry::default();
        registry.add(spec, "generated:acme");
        assert_eq!(registry.problems(), []);
        (registry, kind)
    }

    #[test]
    fn names_with_equal_edits_are_one_device() {
        for (what, devices, expected) in [
            ("an index and a UUID", &[("0", "a"), ("GPU-1", "a"), ("GPU-0", "b"), ("1", "b")][..], "0=GPU-1 1=GPU-0"),
            ("a type with an index", &[("gpu10", "c"), ("gpu2", "b"), ("GPU-x", "b")], "gpu2=GPU-x gpu10"),
            ("`all` is not a device", &[("0", "a"), ("all", "a"), ("none", "b")], "0"),
            ("`all` of one device alone", &[("all", "a")], ""),
            ("gaps stay", &[("npu0", "a"), ("npu3", "d"), ("npu2", "c")], "npu0 npu2 npu3"),
            (
                "without an index by the PCI address",
                &[("GPU-a", "b"), ("0000:65:00.0", "b"), ("GPU-b", "a"), ("0000:3b:00.0", "a")],
                "GPU-b=0000:3b:00.0 GPU-a=0000:65:00.0",
            ),
            (
                "partitions in place of the whole",
                &[("0:0", "a b"), ("0:1", "a c"), ("1", "d"), ("0000:0f:00.0", "d")],
                "0:0 0:1 1=0000:0f:00.0",
            ),
            ("partitions beside the whole", &[("0", "a b"), ("0:0", "a"), ("0:1", "b"), ("1", "c")], "0 1"),
        ] {
            let (registry, kind) = registry(devices);
            let devices = registry.countable(&kind);
            let devices: Vec<String> = devices.iter().map(|device| device.names.join("=")).collect();
            assert_eq!(devices.join(" "), expected, "{what}");
        }
    }

    #[test]
    fn an_index_is_a_number_of_a_device_or_a_partition() {
        for (name, expected) in [
            ("0", true),
            ("gpu12", true),
            ("0:1", true),
            ("GPU-0", false),
            ("0000:0f:00.0", false),
            ("a1b", false),
            ("0x12", false),
            ("0:", false),
            ("all", false),
            ("", false),
        ] {
            assert_eq!(is_index(name), expected, "{name}");
        }
    }
}
