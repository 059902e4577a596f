//! AMD's row, and the spellings of its unique ids.

use std::borrow::Cow;

use super::recipe::{DRI, Find, Functions, Hardware, Number, Recipe, Shared};
use super::{PLAIN, Swarm, Variable, Vendor, kfd};

const PCI: u16 = 0x1002;

pub(super) static AMD: Vendor = Vendor {
    name: "amd",
    kinds: &["amd.com/gpu", "k8s.gpu.amd.com/gpu"],
    visible: &[Variable::ids("AMD_VISIBLE_DEVICES")],
    swarm: Swarm { words: &["AMD"], ids: &["0x", "0X"] },
    canonical: unique_id,
    recipes: &[&COMPUTING, &DRAWING],
    ..PLAIN
};

/// Images bring all of ROCm: nodes are all that they lack, and the groups that may open them, whose numbers differ between
/// distributions.
static COMPUTING: Recipe = Recipe {
    shared: &[Shared { number: Some(Number { drivers: &["kfd"], minor: 0, mode: 0o666 }), ..Shared::at("/dev/kfd") }],
    joins_groups: true,
    ..Recipe::new(Find::Custom(|host, wanted| kfd::devices(PCI, host, wanted)))
};

/// Without the compute driver a GPU still draws, decodes and encodes.
static DRAWING: Recipe = Recipe {
    joins_groups: true,
    ..Recipe::new(Find::Pci(Functions {
        hardware: Hardware::of(PCI),
        drivers: &["amdgpu"],
        leaves_out_split: false,
        nodes: DRI,
        names: &["{index}", "0x{unique_id}", "{address}"],
    }))
};

/// The kernel's `unique_id` of a GPU, a u64: people write it with and without `0x`, zeros in front and capitals, and AMD's own
/// tools with `GPU-`. Bare digits are
/// an index as long as they could be one, which ROCm's toolkit takes to be 8 digits.
fn unique_id(id: &str) -> Cow<'_, str> {
    let hex = match ["0x", "0X", "GPU-"].iter().find_map(|prefix| id.strip_prefix(prefix)) {
        Some(hex) => hex,
        None if id.len() > 8 => id,
        None => return Cow::Borrowed(id),
    };
    match u64::from_str_radix(hex, 16) {
        Ok(number) if !hex.starts_with('+') => Cow::Owned(format!("{number:#x}")),
        _ => Cow::Borrowed(id),
    }
}
