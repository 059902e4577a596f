//! Descriptions of devices where no CDI file has them: what the machine has and what a vendor's row says, put into a CDI spec.
//!
//! Reads the machine through [`Host`] and writes nothing. The same machine gives the same spec: lists are sorted, the version is
//! the lowest that holds it. Paths in it are the machine's own, so that the spec can be written down for it.

mod classes;
mod files;
mod found;
mod inventory;
mod libraries;
mod nodes;

pub use classes::Chosen;
pub use inventory::{Item, inventory};

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use crate::cdi::{ContainerEdits, DeviceNode, Kind, Missing, Mount, Spec, write};
use crate::config;
use crate::error::Result;
use crate::host::Host;
use crate::vendor::Vendor;
use crate::vendor::recipe::{Device, Find, Recipe, Wanted};

use files::Installed;
use nodes::Nodes;

/// The name that stands for all devices of a kind.
const ALL: &str = "all";

/// The machine, and where on it the configuration says that drivers and nodes are.
#[derive(Debug, Clone, Copy)]
pub struct Machine<'a> {
    /// The machine.
    pub host: &'a Host,
    /// Its roots.
    pub roots: &'a config::Host,
}

/// What is to be described.
#[derive(Clone, Copy)]
pub struct Wish<'a> {
    /// Whether a device of a kind is wanted under a name. `all` stands for all that are described.
    pub wants: &'a dyn Fn(&Kind, &str) -> bool,
    /// The names of a device.
    pub names: &'a dyn Fn(&Device) -> Vec<String>,
    /// The classes of the driver's files.
    pub chosen: &'a Chosen<'a>,
    /// How nodes that are there are described.
    pub nodes: By,
    /// The program that does in a container's root what edits cannot say; `None` leaves that out.
    pub hooks: Option<&'a str>,
}

/// How a node that is there is described.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// By its path: the number is read when it is injected, so that what is written down cannot go out of date.
    Path,
    /// By its number too, for what is injected at once.
    Number,
}

impl fmt::Debug for Wish<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wish").field("chosen", &self.chosen).finish_non_exhaustive()
    }
}

/// Describes those devices of `vendor` that are wished for, as devices of `kind`. `None`: it has no recipe, or the machine has
/// no such device. Errors are parts of the machine that cannot be read, and a driver without its files.
pub fn spec(vendor: &Vendor, kind: &Kind, machine: Machine<'_>, wish: Wish<'_>) -> Result<Option<Spec>> {
    let Wish { wants, names, chosen, nodes: by, hooks } = wish;
    let wants_all = wants(kind, ALL);
    let is_wanted = |name: &str| wants_all || wants(kind, &(vendor.canonical)(name));
    let Some((recipe, found)) = devices(vendor, machine, &is_wanted)? else { return Ok(None) };
    let Machine { host, roots } = machine;
    let driver = recipe.driver.map(|driver| Installed::locate(driver, vendor.name, host, &roots.driver_root));
    let driver = driver.transpose()?;
    let nodes = Nodes::new(machine, driver.as_ref().map(Installed::root), recipe, chosen, by)?;
    let mut spec = Spec::new(String::new(), kind.clone());
    let mut all = ContainerEdits::default();
    for device in found {
        let names = names(&device);
        if names.is_empty() {
            continue;
        }
        let mut edits = nodes.of_device(&device.nodes)?;
        for file in &device.files {
            if !files::is_left_out(host, Path::new(&file.path))? {
                edits.mounts.push(files::mount(&file.path, &file.place, file.access));
            }
        }
        if wants_all {
            all.append(edits.clone());
        }
        let names = names.iter().map(|name| (vendor.canonical)(name)).filter(|name| wants(kind, name));
        spec.devices.extend(names.map(|name| described(name.into_owned(), edits.clone())));
    }
    if wants_all {
        spec.devices.push(described(ALL.to_owned(), all));
    }
    spec.devices.retain(|device| !device.container_edits.is_empty());
    spec.devices.sort_by(|a, b| a.name.cmp(&b.name));
    spec.devices.dedup_by(|a, b| a.name == b.name);
    spec.container_edits = in_order(nodes.shared(recipe.shared)?);
    spec.container_edits.env.extend(recipe.env.iter().map(|&variable| variable.to_owned()));
    if let Some(driver) = driver {
        spec.container_edits.mounts = driver.mounts(host, chosen)?;
        let program = hooks.filter(|_| !chosen.is_nothing());
        let hooks = program.map(|program| driver.hooks(program, chosen, by == By::Path, &spec.container_edits.mounts));
        spec.container_edits.hooks = hooks.unwrap_or_default();
    }
    Ok(Some(write::at_minimum_version(spec)))
}

/// All that the machine has of `vendor`, as devices of `kind` under every name that they go by; as [`spec`] otherwise.
pub fn everything(vendor: &Vendor, kind: &Kind, machine: Machine<'_>, nodes: By) -> Result<Option<Spec>> {
    let chosen = &Chosen::new(vendor, None);
    let names = &|device: &Device| device.names.clone();
    spec(vendor, kind, machine, Wish { wants: &|_, _| true, names, chosen, nodes, hooks: None })
}

/// What is known of this very device node, which nobody has made yet, where the driver of `vendor` would make it; else `None`.
pub fn promise(vendor: &Vendor, kind: &Kind, node: &DeviceNode, machine: Machine<'_>) -> Result<Option<Missing>> {
    let Some(spec) = everything(vendor, kind, machine, By::Path)? else { return Ok(None) };
    let of_devices = spec.devices.iter().flat_map(|device| &device.container_edits.device_nodes);
    let is_it = |made: &DeviceNode| {
        (&made.path, &made.node_type, made.major, made.minor) == (&node.path, &node.node_type, node.major, node.minor)
    };
    let mut made = spec.container_edits.device_nodes.iter().chain(of_devices);
    Ok(made.find(|made| is_it(made)).and_then(|made| made.missing))
}

/// Those devices of `vendor` that the machine has and one of whose names `wanted` wants, with the recipe that found them. `None`
/// where there is none.
pub fn devices(
    vendor: &Vendor,
    machine: Machine<'_>,
    wanted: Wanted<'_>,
) -> Result<Option<(&'static Recipe, Vec<Device>)>> {
    for &recipe in vendor.recipes {
        let mut found = match &recipe.find {
            Find::Pci(functions) => found::functions(functions, machine.host)?,
            Find::Nodes(numbered) => found::numbered(numbered, machine)?,
            Find::Custom(find) => find(machine.host, wanted)?,
        };
        if !found.is_empty() {
            found.retain(|device| device.names.iter().any(|name| wanted(name)));
            return Ok(Some((recipe, found)));
        }
    }
    Ok(None)
}

fn described(name: String, edits: ContainerEdits) -> crate::cdi::Device {
    crate::cdi::Device { name, annotations: BTreeMap::new(), container_edits: in_order(edits) }
}

/// `edits` with each node, each mount and each group once, in order.
fn in_order(mut edits: ContainerEdits) -> ContainerEdits {
    // Of two nodes for one place the later one counts.
    edits.device_nodes.reverse();
    edits.device_nodes.sort_by(|a, b| a.path.cmp(&b.path));
    edits.device_nodes.dedup_by(|later, first| later.path == first.path);
    edits.mounts.sort_by(|a: &Mount, b| a.container_path.cmp(&b.container_path));
    edits.mounts.dedup();
    edits.additional_gids.sort_unstable();
    edits.additional_gids.dedup();
    edits
}
