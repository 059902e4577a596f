//! Which devices a container holds, told by names and device nodes.
//!
//! Pure. A partition is a device of its own: NVIDIA's MIG devices have the node of their GPU and two more, AMD's partitions have
//! some of the nodes of theirs. So a device whose nodes include another's, or are included, is held in part with it; two that
//! only share a node are not.

use std::collections::BTreeSet;

use super::record::{Held, Number};

/// How a container holds a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holding {
    /// Not at all.
    None,
    /// A part of it, or what it is a part of.
    Part,
    /// The device itself.
    Whole,
}

/// The devices of one kind, as far as it matters who holds them.
#[derive(Debug, Default)]
pub struct Known {
    devices: Vec<Held>,
    /// The nodes that tell each from the others.
    own: Vec<BTreeSet<Number>>,
    /// Whether some of them have a node in common, as partitions have.
    has_parts: bool,
}

impl Known {
    /// All devices of a kind. The first name of each is qualified.
    pub fn new(devices: Vec<Held>) -> Self {
        let all: Vec<BTreeSet<Number>> = devices.iter().map(|device| device.nodes.iter().copied().collect()).collect();
        let mut common = all.first().cloned().unwrap_or_default();
        all.iter().for_each(|nodes| common.retain(|node| nodes.contains(node)));
        let keeps_one = |nodes: &BTreeSet<Number>| nodes.iter().any(|node| !common.contains(node));
        // A node that goes with every device says nothing of any, unless it is all that one of them has.
        let own: Vec<BTreeSet<Number>> = match all.iter().all(keeps_one) {
            true => all.iter().map(|nodes| nodes.difference(&common).copied().collect()).collect(),
            false => all,
        };
        let count = own.iter().map(BTreeSet::len).sum::<usize>();
        let has_parts = own.iter().flatten().collect::<BTreeSet<_>>().len() < count;
        Known { devices, own, has_parts }
    }

    /// The devices.
    pub fn devices(&self) -> &[Held] {
        &self.devices
    }

    /// How a container that was given `held` and has `nodes` holds each device.
    pub fn held_by(&self, held: &[Held], nodes: &BTreeSet<Number>) -> Vec<Holding> {
        let named = |device: &Held| held.iter().any(|held| held.is(device));
        let mut whole: Vec<bool> = self.devices.iter().map(named).collect();
        // What the names explain need not be explained by nodes again: several devices can have the same.
        let mut rest = nodes.clone();
        let mut unknown: Vec<Number> = Vec::new();
        for held in held {
            match self.devices.iter().any(|device| held.is(device)) {
                true => rest.retain(|node| !held.nodes.contains(node)),
                false => unknown.extend(&held.nodes),
            }
        }
        rest.extend(unknown);
        for index in self.covering(&rest) {
            whole.iter_mut().skip(index).take(1).for_each(|whole| *whole = true);
        }
        let is_related = |nodes: &BTreeSet<Number>| {
            let holders = self.own.iter().zip(&whole).filter(|(_, whole)| **whole).map(|(own, _)| own);
            holders.into_iter().any(|own| own != nodes && (own.is_subset(nodes) || nodes.is_subset(own)))
        };
        let holding = |(nodes, whole): (&BTreeSet<Number>, &bool)| match whole {
            true => Holding::Whole,
            false if self.has_parts && !nodes.is_empty() && is_related(nodes) => Holding::Part,
            false => Holding::None,
        };
        self.own.iter().zip(&whole).map(holding).collect()
    }

    /// The devices that `nodes` come to: those all of whose nodes are among them, the largest of several that include each other;
    /// and for a node that is left over, the smallest devices that have it.
    fn covering(&self, nodes: &BTreeSet<Number>) -> Vec<usize> {
        if nodes.is_empty() {
            return Vec::new();
        }
        let mut indexed: Vec<(usize, &BTreeSet<Number>)> =
            self.own.iter().enumerate().filter(|(_, own)| !own.is_empty() && !own.is_disjoint(nodes)).collect();
        let inside: Vec<_> = indexed.iter().copied().filter(|(_, own)| own.is_subset(nodes)).collect();
        let is_largest =
            |own: &BTreeSet<Number>| !inside.iter().any(|(_, other)| own != *other && own.is_subset(other));
        let mut found: Vec<usize> = inside.iter().filter(|(_, own)| is_largest(own)).map(|(index, _)| *index).collect();
        let covered: BTreeSet<Number> = inside.iter().flat_map(|(_, own)| own.iter().copied()).collect();
        let left: BTreeSet<Number> = nodes.difference(&covered).copied().collect();
        indexed.retain(|(_, own)| !own.is_disjoint(&left));
        let smallest = indexed.iter().map(|(_, own)| own.len()).min();
        found.extend(indexed.iter().filter(|(_, own)| Some(own.len()) == smallest).map(|(index, _)| *index));
        found
    }
}

impl Held {
    /// Whether both are one device: they share a UUID or a PCI address; where one has neither, they have the same first name. An
    /// index can be another device's after the driver was loaded again.
    fn is(&self, other: &Held) -> bool {
        let (mut ours, mut theirs) = (self.lasting(), other.lasting().peekable());
        match (ours.next(), theirs.peek()) {
            (Some(first), Some(_)) => other.lasting().any(|name| name == first || ours.clone().any(|own| own == name)),
            _ => self.names.first().is_some_and(|name| other.names.first() == Some(name)),
        }
    }

    /// The names that are no index.
    fn lasting(&self) -> impl Iterator<Item = &String> + Clone {
        const SHORTEST: usize = 8;
        self.names.iter().skip(1).filter(|name| name.len() >= SHORTEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Devices in shorthand: `0=GPU-a:1,2` has the nodes 9:1 and 9:2.
    fn devices(text: &str) -> Vec<Held> {
        let device = |word: &str| {
            let (names, nodes) = word.rsplit_once(':').unwrap();
            let mut names = names.split('=');
            let first = format!("a.example/gpu={}", names.next().unwrap());
            Held {
                names: [first].into_iter().chain(names.map(str::to_owned)).collect(),
                nodes: nodes.split(',').filter(|n| !n.is_empty()).map(|n| (9, n.parse().unwrap())).collect(),
            }
        };
        text.split(' ').filter(|word| !word.is_empty()).map(device).collect()
    }

    #[test]
    fn a_device_is_held_by_its_names_or_by_its_nodes() {
        let gpus = "0=GPU-aaaa:0 1=GPU-bbbb:1";
        // A node of a whole GPU, and two more for each MIG device.
        let mig = "0=GPU-aaaa:0 0.0:0,20,21 0.1:0,30,31 1=GPU-bbbb:1";
        let only_mig = "0.0:0,20,21 0.1:0,30,31";
        let partitions = "0.0:128,1 0.1:129,2 0=0xabcdef:1,2,128,129";
        let with_kfd = "0:50,128 1:50,129";
        let wsl = "0=GPU-aaaa:7 1=GPU-bbbb:7";
        for (what, known, held, nodes, expected) in [
            ("nothing", gpus, "", "", "--"),
            ("by name", gpus, "0:0", "", "W-"),
            ("by name and node", gpus, "0:0", "0", "W-"),
            ("by UUID, the index has changed", gpus, "1=GPU-aaaa:0", "", "W-"),
            ("by node", gpus, "", "1", "-W"),
            ("the name of another kind, by its node", gpus, "x:1", "1", "-W"),
            ("more nodes than were granted", gpus, "0:0", "0,1", "WW"),
            ("other nodes", gpus, "", "40,41", "--"),
            ("a MIG device and its GPU in part", mig, "0.0:0,20,21", "", "PW--"),
            ("by the nodes of a MIG device", mig, "", "0,20,21", "PW--"),
            ("a whole GPU and its MIG devices in part", mig, "0:0", "", "WPP-"),
            ("two MIG devices", mig, "", "0,20,21,30,31", "PWW-"),
            ("one of two MIG devices", only_mig, "", "0,20,21", "W-"),
            ("a partition", partitions, "", "128,1", "W-P"),
            ("a whole GPU", partitions, "0=0xabcdef:1,2,128,129", "", "PPW"),
            ("all nodes of a GPU", partitions, "", "1,2,128,129", "PPW"),
            ("only the render node", partitions, "", "128", "W-P"),
            ("a node that goes with all", with_kfd, "", "50", "--"),
            ("the render node is enough", with_kfd, "", "129", "-W"),
            ("devices without a node of their own, by name", wsl, "1=GPU-bbbb:7", "7", "-W"),
            ("devices without a node of their own, by node", wsl, "", "7", "WW"),
            ("devices without nodes", "0: 1:", "1:", "3", "-W"),
        ] {
            let nodes = nodes.split(',').filter(|n| !n.is_empty()).map(|n| (9, n.parse().unwrap())).collect();
            let holdings = Known::new(devices(known)).held_by(&devices(held), &nodes);
            let shown: String = holdings
                .iter()
                .map(|holding| match holding {
                    Holding::None => '-',
                    Holding::Part => 'P',
                    Holding::Whole => 'W',
                })
                .collect();
            assert_eq!(shown, expected, "{what}");
        }
    }
}
