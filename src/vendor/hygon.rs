//! Hygon's rows: whole devices (DCU, by its newer name HCU), and the virtual ones cut from them.
//!
//! `MIG_VISIBLE_DEVICES`, which Hygon's toolkit reads too, is left alone: other vendors' users have it for their own programs.

use super::recipe::{Access, Driver, Files, Find, Hardware, Recipe, Shared};
use super::upkeep::Upkeep;
use super::{PLAIN, Swarm, Variable, Vendor, kfd};

const PCI: u16 = 0x1d94;

pub(super) static HCU: Vendor = Vendor {
    name: "hygon",
    kinds: &["hygon.com/hcu", "hygon.com/dcu"],
    visible: &[Variable::ids("HCU_VISIBLE_DEVICES"), Variable::ids("HYGON_VISIBLE_DEVICES")],
    borrowed: &["NVIDIA_VISIBLE_DEVICES"],
    swarm: Swarm { words: &["HYGON", "HCU", "DCU"], ids: &[] },
    device_mounts: Some("/var/run/hcu-container-devices"),
    canonical: kfd::unique_id,
    recipes: &[&RECIPE],
    upkeep: Upkeep { hardware: Some(&Hardware::of(PCI)), drivers: &["hydcu"], ..Upkeep::NOTHING },
    ..PLAIN
};

/// The vendor's runtime also gives `/dev/mem` and takes the container's seccomp and AppArmor profiles away: whoever needs that
/// has to say so.
static RECIPE: Recipe = Recipe {
    shared: &[Shared::at("/dev/kfd"), Shared::at("/dev/mkfd")],
    joins_groups: true,
    driver: Some(&Driver {
        version: None,
        layouts: None,
        libraries: None,
        files: &[Files {
            search: &["/opt", "/usr/local"],
            at: None,
            names: &["hyhal"],
            access: Access::Tree,
            classes: &[],
        }],
        lists: None,
        hooks: &[],
    }),
    ..Recipe::new(Find::Custom(|host, wanted| kfd::devices(PCI, host, wanted)))
};

pub(super) static VHCU: Vendor = Vendor {
    name: "hygon-vhcu",
    kinds: &["hygon.com/vhcu"],
    visible: &[Variable::ids("VHCU_VISIBLE_DEVICES")],
    ..PLAIN
};
