//! Ranks 4 and 5: environment variables that list devices.
//!
//! Finds and chooses between variables; the grammar of their values is in [`super::visible`].

use std::collections::BTreeMap;

use crate::error::Result;
use crate::vendor::{Means, Variable, Vendor};

use super::gathering::{Gathering, Wish};
use super::visible::{self, List};
use super::{Selection, Source};

/// Our own variable, for devices of any vendor.
const ANY: &str = "GPU_VISIBLE_DEVICES";
/// How Docker Swarm calls the variables of its generic resources.
const SWARM: &str = "DOCKER_RESOURCE_";

/// Takes in vendors' variables. For each vendor Swarm's variables go before its own.
pub(super) fn gather_vendors(gathering: &mut Gathering<'_>) -> Result<()> {
    let set = device_variables(gathering);
    if set.is_empty() {
        return Ok(());
    }
    let vendors = gathering.vendors;
    let owner = |name: &str, value: &str| vendors.by_swarm_resource(name.strip_prefix(SWARM)?, value);
    let resources: Vec<_> = set.iter().filter_map(|(name, value)| Some((owner(name, value)?, *name, *value))).collect();
    for vendor in vendors.iter() {
        let its = || resources.iter().filter(|(owner, ..)| *owner == vendor);
        let names: Vec<_> = its().map(|(_, name, _)| *name).collect();
        let values: Vec<_> = its().map(|(.., value)| *value).collect();
        let (name, value) = (names.join(", "), values.join(","));
        if gathering.ask(wish(gathering, &name, &value, vendor, visible::parse(&value)))? {
            continue;
        }
        if let Some((variable, value)) = vendor.visible.iter().find_map(|own| Some((own, *set.get(own.name)?))) {
            gathering.ask(wish(gathering, variable.name, value, vendor, list(vendor, variable, value)))?;
        }
    }
    Ok(())
}

/// Takes in our own variable.
pub(super) fn gather_any(gathering: &mut Gathering<'_>) -> Result<()> {
    if let Some(value) = gathering.view.env(ANY) {
        let source = Source::Env(ANY.to_owned(), value.to_owned());
        let list = visible::parse(value);
        gathering.ask(Wish { source, vendors: gathering.vendors.accelerators(), stand_ins: Vec::new(), list })?;
    }
    Ok(())
}

/// The variables that may ask, each with its last value. Almost every container has none, so this allocates nothing then.
fn device_variables<'a>(gathering: &Gathering<'a>) -> BTreeMap<&'a str, &'a str> {
    let entries = gathering.view.env.iter().filter_map(|entry| entry.split_once('='));
    entries.filter(|(name, _)| name.starts_with(SWARM) || gathering.vendors.names_variable(name)).collect()
}

/// What the value of a vendor's own variable lists.
pub(super) fn list(vendor: &Vendor, variable: &Variable, value: &str) -> std::result::Result<List, String> {
    // The device plugin's way to say that the mounts count, which have been looked at before: a container that was to have a device
    // does not start without one.
    if vendor.device_mounts == Some(value) {
        let what = "no mount in that folder asks for a device, as this value promises";
        return Err(format!(
            "{what}: a device plugin that sets it makes them, and policy.mounts = false passes over them"
        ));
    }
    if variable.means == Means::Switch {
        let selection = (value == "enabled").then_some(Selection::All);
        return Ok(List { selection, ..List::default() });
    }
    let mut list = visible::parse(value)?;
    match (&mut list.selection, variable.means) {
        (Some(Selection::Ids(ids)), Means::Prefixed(prefix)) => ids.iter_mut().for_each(|id| id.insert_str(0, prefix)),
        (Some(selection @ Selection::Ids(_)), Means::Whole) => *selection = Selection::All,
        _ => {}
    }
    Ok(list)
}

fn wish(
    gathering: &Gathering<'_>,
    name: &str,
    value: &str,
    vendor: &'static Vendor,
    list: std::result::Result<List, String>,
) -> Wish {
    let source = Source::Env(name.to_owned(), value.to_owned());
    Wish { source, vendors: vec![vendor], stand_ins: gathering.vendors.borrowers(name), list }
}
