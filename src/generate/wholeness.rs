//! Which classes of a driver's libraries are installed, and which of these lack a library, for users.
//!
//! Reads what libraries say that they need; loads none.

use std::collections::BTreeMap;
use std::path::Path;

use super::libraries::stem;
use crate::cdi::Spec;
use crate::elf;
use crate::error::Result;
use crate::host::Host;
use crate::host::pattern::Pattern;
use crate::ldcache::names;
use crate::vendor::Vendor;
use crate::vendor::recipe::Libraries;

/// What is installed of a driver.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wholeness {
    /// Classes of which no library is installed.
    pub absent: Vec<&'static str>,
    /// Libraries that others need, in order.
    pub missing: Vec<Missing>,
}

/// A library of the driver that is not installed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Missing {
    /// The classes that do not work without it; none if all need it.
    pub classes: Vec<&'static str>,
    /// Its name.
    pub library: String,
    /// The library that needs it; empty for one that every driver has.
    pub needed_by: String,
}

/// Judges the libraries that `spec` gives to containers. `None` for a vendor whose driver has none.
pub fn wholeness(vendor: &Vendor, spec: &Spec, host: &Host) -> Result<Option<Wholeness>> {
    let mut drivers = vendor.recipes.iter().filter_map(|recipe| recipe.driver);
    let Some((rule, read)) = drivers.find_map(|driver| driver.libraries.zip(driver.version)) else { return Ok(None) };
    let version = read(host)?.unwrap_or_default();
    let mut installed: BTreeMap<&str, &str> = BTreeMap::new();
    for mount in &spec.container_edits.mounts {
        if let Some(name) = names::library(&mount.container_path) {
            installed.insert(name, &mount.host_path);
        }
    }
    // Without a library the recipe that found the devices has none: an integrated GPU, or one under Windows.
    if installed.is_empty() {
        return Ok(None);
    }
    let mut missing: Vec<Missing> = Vec::new();
    for (name, file) in &installed {
        // Names that are linked to, and further ones, lead to files that have the version in their own name.
        if names::library(file) == Some(name) {
            missing.extend(missing_of(rule, &version, (name, file), &installed, host)?);
        }
    }
    if let Some((first, _)) = rule.marks.first() {
        let library = first.replace("{version}", &version);
        if !installed.contains_key(library.as_str()) {
            missing.push(Missing { classes: classes(rule, &library), library, needed_by: String::new() });
        }
    }
    missing.sort();
    missing.dedup_by(|a, b| a.library == b.library);
    Ok(Some(Wholeness { absent: absent(rule, &installed), missing }))
}

/// What a library needs, or loads, and the host does not have.
fn missing_of(
    rule: &Libraries,
    version: &str,
    (name, file): (&str, &str),
    installed: &BTreeMap<&str, &str>,
    host: &Host,
) -> Result<Vec<Missing>> {
    let Some(pieces) = host.pieces(Path::new(file))? else { return Ok(Vec::new()) };
    let read = |offset, length| pieces.read(offset, length);
    if elf::is_64_bit(&read).is_none() {
        return Ok(Vec::new());
    }
    let loads = rule.loads.iter().filter(|(loader, _)| *loader == stem(name));
    let loads = loads.map(|(_, loaded)| format!("{loaded}.so.{version}"));
    let of_driver = elf::needed(&read).into_iter().filter(|needed| is_of_driver(rule, version, needed)).chain(loads);
    let missing = of_driver.filter(|library| !installed.contains_key(library.as_str()));
    let missing = missing.map(|library| Missing { classes: classes(rule, name), library, needed_by: name.to_owned() });
    Ok(missing.collect())
}

fn is_of_driver(rule: &Libraries, version: &str, name: &str) -> bool {
    let is_named =
        || rule.names.iter().any(|pattern| Pattern::new(&pattern.replace("{version}", version)).matches(name));
    !classes(rule, name).is_empty() || is_named()
}

fn classes(rule: &Libraries, name: &str) -> Vec<&'static str> {
    rule.classes.iter().filter(|(_, stems)| stems.contains(&stem(name))).map(|(class, _)| *class).collect()
}

/// Classes none of whose own libraries is installed; a library that an earlier class has too tells nothing of a later one.
fn absent(rule: &Libraries, installed: &BTreeMap<&str, &str>) -> Vec<&'static str> {
    let mut absent = Vec::new();
    for (place, (class, stems)) in rule.classes.iter().enumerate() {
        let is_earlier = |stem: &str| rule.classes.iter().take(place).any(|(_, earlier)| earlier.contains(&stem));
        let mut own = stems.iter().filter(|stem| !is_earlier(stem)).peekable();
        if own.peek().is_some() && !own.any(|own| installed.keys().any(|name| stem(name) == *own)) {
            absent.push(*class);
        }
    }
    absent
}
