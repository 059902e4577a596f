//! AMD's row, and the spellings of its unique ids.

use std::borrow::Cow;

use super::recipe::{Number, Recipe, Shared};
use super::{PLAIN, Swarm, Variable, Vendor};

mod kfd;

pub(super) static AMD: Vendor = Vendor {
    name: "amd",
    kinds: &["amd.com/gpu", "k8s.gpu.amd.com/gpu"],
    visible: &[Variable::ids("AMD_VISIBLE_DEVICES")],
    swarm: Swarm { words: &["AMD"], ids: &["0x", "0X"] },
    canonical: unique_id,
    recipe: Some(&RECIPE),
    ..PLAIN
};

/// Images bring all of ROCm: nodes are all that they lack, and the groups that may open them, whose numbers differ between
/// distributions.
static RECIPE: Recipe = Recipe {
    find: kfd::devices,
    shared: &[Shared { path: "/dev/kfd", number: Some(Number { drivers: &["kfd"], minor: 0, mode: 0o666 }) }],
    env: &[],
    joins_groups: true,
    driver: None,
};

/// The kernel's `unique_id` of a GPU, a u64: people write it with and without `0x`, zeros in front and capitals. Bare digits are
/// an index as long as they could be one, which ROCm's toolkit takes to be 8 digits.
fn unique_id(id: &str) -> Cow<'_, str> {
    let hex = match id.strip_prefix("0x").or_else(|| id.strip_prefix("0X")) {
        Some(hex) => hex,
        None if id.len() > 8 => id,
        None => return Cow::Borrowed(id),
    };
    match u64::from_str_radix(hex, 16) {
        Ok(number) if !hex.starts_with('+') => Cow::Owned(format!("{number:#x}")),
        _ => Cow::Borrowed(id),
    }
}
