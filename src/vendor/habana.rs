//! The row of Habana, Intel's Gaudi.

use super::{PLAIN, Variable, Vendor};

pub(super) static HABANA: Vendor = Vendor {
    name: "habana",
    kinds: &["intel.com/gaudi"],
    visible: &[
        Variable::ids("HABANA_VISIBLE_DEVICES"),
        // A module is the socket that a card sits in, which need not be its index.
        Variable { name: "HABANA_VISIBLE_MODULES", prefix: "module-" },
        Variable::ids("HABANA_VISIBLE_PCI_BUS_IDS"),
    ],
    ..PLAIN
};
