//! AMD's row.

use super::recipe::{DRI, Find, Functions, Hardware, Number, Recipe, Shared};
use super::upkeep::{Toolkit, Upkeep};
use super::{PLAIN, Swarm, Variable, Vendor, kfd};

const PCI: u16 = 0x1002;

pub(super) static AMD: Vendor = Vendor {
    name: "amd",
    kinds: &["amd.com/gpu", "k8s.gpu.amd.com/gpu"],
    docker: &["amd-container-runtime"],
    visible: &[Variable::ids("AMD_VISIBLE_DEVICES")],
    swarm: Swarm { words: &["AMD"], ids: &["0x", "0X"] },
    canonical: kfd::unique_id,
    recipes: &[&COMPUTING, &DRAWING],
    upkeep: Upkeep {
        toolkit: Some(Toolkit {
            program: "amd-ctk",
            args: &["version"],
            lowest: &[1, 2, 0],
            why: "older ones are not what gpu-runc was compared with",
        }),
        ..Upkeep::NOTHING
    },
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
