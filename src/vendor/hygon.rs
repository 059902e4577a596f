//! Hygon's rows: whole devices (DCU, by its newer name HCU), and the virtual ones cut from them.
//!
//! `MIG_VISIBLE_DEVICES`, which Hygon's toolkit reads too, is left alone: other vendors' users have it for their own programs.

use super::{PLAIN, Swarm, Variable, Vendor};

pub(super) static HCU: Vendor = Vendor {
    name: "hygon",
    kinds: &["hygon.com/hcu", "hygon.com/dcu"],
    visible: &[Variable::ids("HCU_VISIBLE_DEVICES"), Variable::ids("HYGON_VISIBLE_DEVICES")],
    borrowed: &["NVIDIA_VISIBLE_DEVICES"],
    swarm: Swarm { words: &["HYGON", "HCU", "DCU"], ids: &[] },
    device_mounts: Some("/var/run/hcu-container-devices"),
    ..PLAIN
};

pub(super) static VHCU: Vendor = Vendor {
    name: "hygon-vhcu",
    kinds: &["hygon.com/vhcu"],
    visible: &[Variable::ids("VHCU_VISIBLE_DEVICES")],
    ..PLAIN
};
