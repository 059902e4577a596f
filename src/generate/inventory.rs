//! The devices of a machine, for people: what each is, where it is plugged in, which nodes it has.
//!
//! Reads the machine and decides nothing.

use std::path::Path;

use super::{Machine, devices};
use crate::error::Result;
use crate::host::{Host, pci};
use crate::vendor::Vendor;
use crate::vendor::recipe::{Device, Identity, Recipe};

/// A device, or a part of one.
#[derive(Debug)]
pub struct Item {
    /// Whose.
    pub vendor: &'static Vendor,
    /// What the driver says of it.
    pub identity: Identity,
    /// The names by which containers ask for it.
    pub names: Vec<String>,
    /// Its nodes.
    pub nodes: Vec<String>,
    /// The NUMA node that it is next to.
    pub numa: Option<u64>,
    /// How it is partitioned, in the driver's words.
    pub partition: Option<String>,
    /// The version of its driver.
    pub driver: Option<String>,
}

/// All devices of `vendor` that the machine has, in the order of their indices.
pub fn inventory(vendor: &'static Vendor, machine: Machine<'_>) -> Result<Vec<Item>> {
    let Some((recipe, found)) = devices(vendor, machine, &|_| true)? else { return Ok(Vec::new()) };
    found.into_iter().map(|device| item(vendor, recipe, device, machine.host)).collect()
}

fn item(vendor: &'static Vendor, recipe: &Recipe, device: Device, host: &Host) -> Result<Item> {
    let Device { names, nodes, mut identity, .. } = device;
    let function = identity.address.as_deref().map(pci::folder);
    let text = |file: &str| -> Result<Option<String>> {
        let Some(folder) = &function else { return Ok(None) };
        Ok(host.read(&folder.join(file))?.map(|text| text.trim().to_ascii_lowercase()))
    };
    if let (None, Some(folder)) = (&identity.model, &function) {
        // The kernel's word for the product, which some drivers have.
        let product = host.read(&folder.join("product_name"))?;
        identity.model = product.map(|product| product.trim().to_owned()).filter(|product| !product.is_empty());
    }
    let numa = match &function {
        Some(folder) => pci::number(host, folder, "numa_node")?,
        None => None,
    };
    let partition = match (text("current_compute_partition")?, text("current_memory_partition")?) {
        (Some(compute), Some(memory)) => Some(format!("{compute}_{memory}")),
        (compute, _) => compute,
    };
    let driver = match (recipe.driver.and_then(|driver| driver.version), &function) {
        (Some(version), _) => version(host)?,
        (None, Some(folder)) => module_version(host, folder)?,
        (None, None) => None,
    };
    let nodes = nodes.into_iter().filter(|node| node.place.is_empty()).map(|node| node.path).collect();
    Ok(Item { vendor, identity, names, nodes, numa, partition, driver })
}

/// The version of the module that drives the function; for modules of the kernel's own, which have none, the kernel's.
fn module_version(host: &Host, function: &Path) -> Result<Option<String>> {
    let driver = host.find(&function.join("driver"))?;
    let Some(name) = driver.as_ref().and_then(|driver| driver.path.file_name()) else { return Ok(None) };
    let own = host.read(&Path::new("/sys/module").join(name).join("version"))?;
    let version = match own {
        Some(own) => Some(own),
        None => host.read(Path::new("/proc/sys/kernel/osrelease"))?,
    };
    Ok(version.map(|version| version.trim().to_owned()))
}
