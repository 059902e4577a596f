//! The row of Habana, Intel's Gaudi.
//!
//! Network interfaces of a card are given by the vendor's own hook, which a CDI file can name; what is found here is the card.

use super::recipe::{Find, Functions, Hardware, Numbered, Recipe, SysfsNodes};
use super::{Means, PLAIN, Variable, Vendor};

const HARDWARE: Hardware = Hardware::of(0x1da3);

pub(super) static HABANA: Vendor = Vendor {
    name: "habana",
    kinds: &["intel.com/gaudi"],
    visible: &[
        Variable::ids("HABANA_VISIBLE_DEVICES"),
        // A module is the socket that a card sits in, which need not be its index.
        Variable { name: "HABANA_VISIBLE_MODULES", means: Means::Prefixed("module-") },
        Variable::ids("HABANA_VISIBLE_PCI_BUS_IDS"),
    ],
    recipes: &[&ACCEL, &LEGACY],
    ..PLAIN
};

/// The index of a card is the number of its node, as its variable counts.
static ACCEL: Recipe = Recipe {
    joins_groups: true,
    ..Recipe::new(Find::Pci(Functions {
        hardware: HARDWARE,
        drivers: &["habanalabs"],
        leaves_out_split: false,
        nodes: &[
            SysfsNodes {
                folder: "accel",
                prefix: "accel",
                paths: &["/dev/accel/accel{}", "/dev/accel/accel_controlD{}"],
            },
            SysfsNodes { folder: "infiniband_verbs", prefix: "uverbs", paths: &["/dev/infiniband/uverbs{}"] },
        ],
        names: &["{accel}", "accel{accel}", "module-{module_id}", "{address}", "{dashed}-{device}"],
    }))
};

/// Drivers from before the kernel had a class for accelerators.
static LEGACY: Recipe = Recipe {
    joins_groups: true,
    ..Recipe::new(Find::Nodes(Numbered {
        path: "/dev/hl{}",
        more: &["/dev/hl_controlD{}"],
        names: &["{}"],
        hardware: Some(HARDWARE),
    }))
};
