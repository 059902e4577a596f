//! Device nodes of a generated spec: which of the machine's roots has each, or the number it will have once it is made.
//!
//! What is written down names a node that is there by its path alone: its number is read when it is injected, so that the
//! description cannot go out of date.

use std::cell::OnceCell;
use std::path::Path;

use nix::sys::stat::{SFlag, major, minor};

use super::{By, Chosen, Machine};
use crate::cdi::{ContainerEdits, DeviceNode, Missing};
use crate::error::{Error, Escaped, Result};
use crate::host::{Host, numbers};
use crate::vendor::recipe::{Node, Number, ReadRules, Recipe, Shared};

/// Where nodes are looked for.
pub(super) struct Nodes<'a> {
    host: &'a Host,
    /// The driver's root, where it is another.
    driver: Option<&'a Host>,
    /// The root that the configuration names, in place of both.
    configured: Option<Host>,
    joins_groups: bool,
    rules: Option<ReadRules>,
    chosen: &'a Chosen<'a>,
    by: By,
    /// The text of `/proc/devices`, read for nodes with a number.
    numbers: OnceCell<String>,
}

impl<'a> Nodes<'a> {
    /// Nodes below the configured root; where there is none, below the driver's root, else the machine's.
    pub(super) fn new(
        machine: Machine<'a>,
        driver: Option<&'a Host>,
        recipe: &Recipe,
        chosen: &'a Chosen<'a>,
        by: By,
    ) -> Result<Self> {
        let Recipe { joins_groups, rules, .. } = *recipe;
        let Machine { host, roots } = machine;
        let dev_root = &roots.dev_root;
        let configured = match dev_root.as_os_str().is_empty() {
            true => None,
            false => Some(host.below(dev_root)?.ok_or_else(|| {
                Error::Inject(format!("host.dev-root is {}, which this host has not", Escaped::path(dev_root)))
            })?),
        };
        let driver = driver.filter(|driver| driver.named(Path::new("/")) != Path::new("/"));
        Ok(Nodes { host, driver, configured, joins_groups, rules, chosen, by, numbers: OnceCell::new() })
    }

    /// The edits for a device. An error if a node that it cannot be used without is not there and not to be made.
    pub(super) fn of_device(&self, nodes: &[Node]) -> Result<ContainerEdits> {
        let mut edits = ContainerEdits::default();
        for Node { path, place, number, .. } in nodes.iter().filter(|node| self.chosen.needs(node.classes)) {
            let node = self.node(path, place, *number, true)?;
            if let (None, Some(number)) = (&node, number) {
                return Err(Error::Inject(format!(
                    "{path} is not there, and /proc/devices has no {}; is all of the driver loaded?",
                    number.drivers.join(" or ")
                )));
            }
            add(node, &mut edits);
        }
        Ok(edits)
    }

    /// The edits for nodes that go with any device, those left out that the machine has not.
    pub(super) fn shared(&self, nodes: &[Shared]) -> Result<ContainerEdits> {
        let mut edits = ContainerEdits::default();
        for Shared { path, place, number, required_by, .. } in
            nodes.iter().filter(|node| self.chosen.needs(node.classes))
        {
            let is_required = required_by.is_none_or(|classes| self.chosen.requests(classes));
            add(self.node(path, place, *number, is_required)?, &mut edits);
        }
        Ok(edits)
    }

    /// The node at `path`, or one that is to be made, at its `place` in the container.
    fn node(&self, path: &str, place: &str, number: Option<Number>, is_required: bool) -> Result<Option<DeviceNode>> {
        let node = match (self.present(path)?, number) {
            (None, Some(number)) => self.promised(path, number, is_required)?,
            // A node that somebody made once and for all outlives the driver's number.
            (Some((_, major)), Some(number)) if self.major(number)?.is_some_and(|is| is != major) => {
                self.promised(path, number, is_required)?
            }
            (node, _) => node.map(|(node, _)| node),
        };
        Ok(node.map(|node| match place {
            "" => node,
            place => DeviceNode { host_path: node.on_host().to_owned(), path: place.to_owned(), ..node },
        }))
    }

    fn places(&self) -> impl Iterator<Item = &Host> {
        let found = [self.driver, Some(self.host)].into_iter().flatten();
        self.configured.iter().chain(found.filter(|_| self.configured.is_none()))
    }

    /// The node at `path`, and its major number.
    fn present(&self, path: &str) -> Result<Option<(DeviceNode, i64)>> {
        const FOR_EVERYBODY: u32 = 0o006;
        for place in self.places() {
            let on_host = place.named(Path::new(path));
            let stat = place.lstat(Path::new(path)).map_err(|cause| Error::io("look at", &on_host, cause))?;
            let is_device = |mode: u32| SFlag::from_bits_truncate(mode & SFlag::S_IFMT.bits()) == SFlag::S_IFCHR;
            let Some(stat) = stat.filter(|stat| is_device(stat.st_mode)) else { continue };
            let is_for_a_group = self.joins_groups && stat.st_mode & FOR_EVERYBODY != FOR_EVERYBODY;
            let host_path = on_host.to_string_lossy();
            // The kernel's numbers have 12 and 20 bits.
            let number = |half: u64| i64::try_from(half).unwrap_or_default();
            let mut node = DeviceNode {
                path: path.to_owned(),
                host_path: if host_path == path { String::new() } else { host_path.into_owned() },
                gid: Some(stat.st_gid).filter(|gid| is_for_a_group && *gid != 0),
                ..DeviceNode::default()
            };
            if self.by == By::Number {
                node.node_type = "c".to_owned();
                (node.major, node.minor) = (number(major(stat.st_rdev)), number(minor(stat.st_rdev)));
                node.file_mode = Some(stat.st_mode & !SFlag::S_IFMT.bits());
            }
            return Ok(Some((node, number(major(stat.st_rdev)))));
        }
        Ok(None)
    }

    /// A node that nobody has made yet, of a driver that is loaded.
    fn promised(&self, path: &str, number: Number, is_required: bool) -> Result<Option<DeviceNode>> {
        let Some(major) = self.major(number)? else { return Ok(None) };
        let rules = self.rules.map(|read| read(self.host)).transpose()?.unwrap_or_default();
        Ok(Some(DeviceNode {
            path: path.to_owned(),
            node_type: "c".to_owned(),
            major,
            minor: number.minor,
            file_mode: Some(number.mode & rules.mode),
            missing: Some(Missing { is_required, owner: rules.makes_nodes.then_some((rules.uid, rules.gid)) }),
            ..DeviceNode::default()
        }))
    }

    /// The major number that the driver has, if it is loaded.
    fn major(&self, number: Number) -> Result<Option<i64>> {
        let text = match self.numbers.get() {
            Some(text) => text,
            None => {
                let text = numbers::read(self.host)?;
                self.numbers.get_or_init(|| text)
            }
        };
        Ok(number.drivers.iter().find_map(|driver| numbers::major(text, driver)))
    }
}

fn add(node: Option<DeviceNode>, edits: &mut ContainerEdits) {
    edits.additional_gids.extend(node.as_ref().and_then(|node| node.gid));
    edits.device_nodes.extend(node);
}
