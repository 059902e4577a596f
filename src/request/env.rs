//! Ranks 4 to 6: environment variables that list devices.
//!
//! Finds and chooses between variables; the grammar of their values is in [`super::visible`].

use std::collections::BTreeMap;

use crate::error::Result;
use crate::vendor::{Means, Variable, Vendor, Vendors};

use super::gathering::{Gathering, Wish};
use super::visible::{self, List};
use super::{Selection, Source, annotations, gpus};

/// Our own variable, for devices of any vendor.
const ANY: &str = "GPU_VISIBLE_DEVICES";
/// How Docker Swarm calls the variables of its generic resources.
const SWARM: &str = "DOCKER_RESOURCE_";

/// Variables and their values.
type Set<'a> = BTreeMap<&'a str, &'a str>;
/// One of Swarm's: its vendor, its name, its value.
type Resource<'a> = (&'static Vendor, &'a str, &'a str);

/// Takes in vendors' variables. For each vendor Swarm's variables go before its own.
pub(super) fn gather_vendors(gathering: &mut Gathering<'_>) -> Result<()> {
    let set = device_variables(gathering);
    if set.is_empty() {
        return Ok(());
    }
    let vendors = gathering.vendors;
    let resources = swarm_resources(&set, vendors);
    let claimed = owners(&set, &resources, vendors);
    let borrows = |vendor: &&'static Vendor| vendor.borrowed.iter().any(|name| set.contains_key(name));
    let stands_alone = |vendor: &&'static Vendor| vendor.beside.is_none();
    let answered: Vec<_> = claimed.iter().copied().chain(vendors.iter().filter(borrows)).filter(stands_alone).collect();
    gathering.claim(claimed);
    gathering.speak_for(&answered);
    for vendor in vendors.iter().filter(stands_alone) {
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

/// Has the variables that are set answer for their vendors before a hook is read, whose devices an image can name in one.
pub(super) fn claim(gathering: &mut Gathering<'_>) {
    let set = device_variables(gathering);
    let resources = swarm_resources(&set, gathering.vendors);
    gathering.claim(owners(&set, &resources, gathering.vendors));
}

/// The vendors one of whose own variables is set, or one of Swarm's for them.
fn owners(set: &Set<'_>, resources: &[Resource<'_>], vendors: Vendors) -> Vec<&'static Vendor> {
    let is_set = |vendor: &Vendor| vendor.visible.iter().any(|own| set.contains_key(own.name));
    vendors.iter().filter(|vendor| is_set(vendor) || resources.iter().any(|(owner, ..)| owner == vendor)).collect()
}

/// Swarm's variables, with the vendor that each is for.
fn swarm_resources<'a>(set: &Set<'a>, vendors: Vendors) -> Vec<Resource<'a>> {
    let owner = |name: &str, value: &str| vendors.by_swarm_resource(name.strip_prefix(SWARM)?, value);
    set.iter().filter_map(|(name, value)| Some((owner(name, value)?, *name, *value))).collect()
}

/// Takes in the variables that switch on what belongs to devices that something asks for.
pub(super) fn gather_companions(gathering: &mut Gathering<'_>) -> Result<()> {
    for vendor in gathering.vendors.iter() {
        if !vendor.beside.is_some_and(|owner| gathering.has_asked_for(owner)) {
            continue;
        }
        let view = gathering.view;
        if let Some((variable, value)) = vendor.visible.iter().find_map(|own| Some((own, view.env(own.name)?))) {
            gathering.ask(wish(gathering, variable.name, value, vendor, list(vendor, variable, value)))?;
        }
    }
    Ok(())
}

/// Takes in our own variable.
pub(super) fn gather_any(gathering: &mut Gathering<'_>) -> Result<()> {
    if let Some(value) = gathering.view.env(ANY) {
        let source = Source::Env(ANY.to_owned(), value.to_owned());
        let (vendors, list) = match counts(value) {
            false => (gathering.vendors.accelerators(), visible::parse(value)),
            true => match counted(value, gathering.vendors) {
                Ok((vendors, list)) => (vendors, list),
                Err(message) => (gathering.vendors.accelerators(), Err(message)),
            },
        };
        gathering.ask(Wish { source, vendors, stand_ins: Vec::new(), list })?;
    }
    Ok(())
}

/// Whether a value of our own variable is one of `--gpus`: one of its fields is a count.
fn counts(value: &str) -> bool {
    value.split(',').any(|field| field.trim_start_matches(['"', ' ']).starts_with("count="))
}

fn counted(
    value: &str,
    vendors: Vendors,
) -> std::result::Result<(Vec<&'static Vendor>, std::result::Result<List, String>), String> {
    visible::check_length(value)?;
    annotations::of_driver(&gpus::parse(value.trim())?, vendors)
}

/// The variables that may ask, each with its last value. Almost every container has none, so this allocates nothing then.
fn device_variables<'a>(gathering: &Gathering<'a>) -> Set<'a> {
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
