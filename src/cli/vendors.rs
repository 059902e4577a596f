//! Vendors as a person names them with `--vendor`.
//!
//! Knows the words, and nothing of devices.

use crate::error::{Error, Escaped, Result, nearest};
use crate::vendor::{Vendor, Vendors};

/// The vendor called `name`, of those whose devices can be described. The error says which there are.
pub(super) fn named(name: &str, known: Vendors) -> Result<&'static Vendor> {
    let can_be_described = |vendor: &&Vendor| !vendor.recipes.is_empty();
    known.by_name(name).filter(can_be_described).ok_or_else(|| {
        let names: Vec<_> = known.iter().filter(can_be_described).map(|vendor| vendor.name).collect();
        let meant = nearest(&name.to_ascii_lowercase(), names.iter().copied());
        let meant = meant.map_or(String::new(), |name| format!("did you mean {name}? "));
        Error::Usage(format!(
            "--vendor {}: not known; {meant}expected one of {}",
            Escaped::quoted(name),
            names.join(", ")
        ))
    })
}
