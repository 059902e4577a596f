//! Descriptions of devices where no CDI file has them: what the machine has and what a vendor's row says, put into a CDI spec.
//!
//! Reads the machine through [`Host`] and writes nothing. The same machine gives the same spec: lists are sorted, the version is
//! the lowest that holds it. Paths in it are the machine's own, so that the spec can be written down for it.

mod files;
mod nodes;

use crate::cdi::{ContainerEdits, Device, Kind, Spec, write};
use crate::config;
use crate::error::Result;
use crate::host::Host;
use crate::vendor::Vendor;

use files::Installed;
use nodes::Nodes;

/// The name that stands for all devices of a kind.
const ALL: &str = "all";

/// Describes those devices of `vendor` that `wants` names, as devices of `kind`. `None`: it has no recipe, or the machine has no
/// such device. Errors are parts of the machine that cannot be read, and a driver without its files.
pub fn spec(
    vendor: &Vendor,
    kind: &Kind,
    host: &Host,
    roots: &config::Host,
    wants: &dyn Fn(&Kind, &str) -> bool,
) -> Result<Option<Spec>> {
    let Some(recipe) = vendor.recipe else { return Ok(None) };
    let wants_all = wants(kind, ALL);
    let found = (recipe.find)(host, &|name| wants_all || wants(kind, name))?;
    if found.is_empty() {
        return Ok(None);
    }
    let driver = recipe.driver.map(|driver| Installed::locate(driver, vendor.name, host, &roots.driver_root));
    let driver = driver.transpose()?;
    let nodes = Nodes::new(host, driver.as_ref().map(Installed::root), &roots.dev_root, recipe.joins_groups)?;
    let mut spec = Spec::new(String::new(), kind.clone());
    let mut all = ContainerEdits::default();
    for device in found {
        let edits = nodes.of_device(&device.nodes)?;
        all.append(edits.clone());
        let names = device.names.into_iter().filter(|name| wants(kind, name));
        spec.devices.extend(names.map(|name| described(name, edits.clone())));
    }
    if wants_all {
        spec.devices.push(described(ALL.to_owned(), all));
    }
    spec.devices.sort_by(|a, b| a.name.cmp(&b.name));
    spec.container_edits = in_order(nodes.shared(recipe.shared)?);
    spec.container_edits.env.extend(recipe.env.iter().map(|&variable| variable.to_owned()));
    if let Some(driver) = driver {
        spec.container_edits.mounts = driver.mounts(host)?;
    }
    Ok(Some(write::at_minimum_version(spec)))
}

fn described(name: String, edits: ContainerEdits) -> Device {
    Device { name, annotations: Default::default(), container_edits: in_order(edits) }
}

/// `edits` with each node and each group once, in order.
fn in_order(mut edits: ContainerEdits) -> ContainerEdits {
    edits.device_nodes.sort_by(|a, b| a.path.cmp(&b.path));
    edits.device_nodes.dedup();
    edits.additional_gids.sort_unstable();
    edits.additional_gids.dedup();
    edits
}
