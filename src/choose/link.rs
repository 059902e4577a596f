//! How closely two devices are connected, from what sysfs tells of each.
//!
//! Pure. The weights are those of NVIDIA's go-gpuallocator, which sums them over a group.

/// Where a device is: what sysfs tells of it. Fields that sysfs does not have are empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The PCI functions from the host bridge down to the device: `pci0000:00`, `0000:00:01.0`, `0000:01:00.0`.
    pub path: Vec<String>,
    /// The NUMA node.
    pub numa: Option<u64>,
    /// The group of devices that the vendor's own links connect, all with all.
    pub hive: Option<u64>,
}

/// How closely two devices are connected, the closest last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Link {
    /// Only through the interconnect of the CPUs, or not known.
    System,
    /// They are on one NUMA node.
    Node,
    /// They are below one PCI host bridge.
    HostBridge,
    /// Several PCI switches are between them.
    Switches,
    /// One PCI switch is between them.
    Switch,
    /// The vendor's own links connect them.
    Direct,
    /// They are parts of one device.
    Same,
}

impl Link {
    /// How much the link counts in a group.
    pub fn weight(self) -> u32 {
        match self {
            Link::System => 10,
            Link::Node => 20,
            Link::HostBridge => 30,
            Link::Switches => 40,
            Link::Switch => 50,
            Link::Direct => 100,
            Link::Same => 200,
        }
    }

    /// What connects the devices, for the text of an explanation.
    pub fn name(self) -> &'static str {
        match self {
            Link::System => "the system",
            Link::Node => "one NUMA node",
            Link::HostBridge => "one PCI host bridge",
            Link::Switches => "PCI switches",
            Link::Switch => "one PCI switch",
            Link::Direct => "direct links",
            Link::Same => "one device",
        }
    }

    /// The link between devices at `a` and `b`.
    pub fn between(a: &Place, b: &Place) -> Self {
        /// From one port of a switch down to the device, on both sides.
        const ONE_SWITCH: usize = 4;
        let is_known = !a.path.is_empty();
        if is_known && a.path == b.path {
            return Link::Same;
        }
        if a.hive.is_some() && a.hive == b.hive {
            return Link::Direct;
        }
        let shared = a.path.iter().zip(&b.path).take_while(|(a, b)| a == b).count();
        let apart = (a.path.len() - shared) + (b.path.len() - shared);
        match shared {
            0 if a.numa.is_some() && a.numa == b.numa => Link::Node,
            0 => Link::System,
            1 => Link::HostBridge,
            _ if apart <= ONE_SWITCH => Link::Switch,
            _ => Link::Switches,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_told_from_where_two_devices_are() {
        let place = |path: &str, numa: Option<u64>, hive: Option<u64>| Place {
            path: path.split(' ').filter(|part| !part.is_empty()).map(str::to_owned).collect(),
            numa,
            hive,
        };
        for (what, a, b, link) in [
            ("nothing is known", ("", None, None), ("", None, None), Link::System),
            ("two nodes", ("p0 a", Some(0), None), ("p1 b", Some(1), None), Link::System),
            ("one node", ("p0 a", Some(0), None), ("p1 b", Some(0), None), Link::Node),
            ("unknown nodes are not one node", ("p0 a", None, None), ("p1 b", None, None), Link::System),
            ("a host bridge", ("p0 r1 a", Some(0), None), ("p0 r2 b", Some(0), None), Link::HostBridge),
            ("a switch", ("p0 r u d1 a", None, None), ("p0 r u d2 b", None, None), Link::Switch),
            ("two switches", ("p0 r u d1 v e a", None, None), ("p0 r u d2 b", None, None), Link::Switches),
            ("a hive", ("p0 a", Some(0), Some(7)), ("p1 b", Some(1), Some(7)), Link::Direct),
            ("two hives", ("p0 a", Some(0), Some(7)), ("p1 b", Some(1), Some(8)), Link::System),
            ("partitions", ("p0 a", Some(0), None), ("p0 a", Some(0), None), Link::Same),
        ] {
            let (a, b) = (place(a.0, a.1, a.2), place(b.0, b.1, b.2));
            assert_eq!((Link::between(&a, &b), Link::between(&b, &a)), (link, link), "{what}");
        }
    }
}
