//! Rows of what goes beside NVIDIA's GPUs: storage and network that reach their memory, switches between them, and what manages
//! them. Each is switched on by a variable of its own.

use std::borrow::Cow;

use crate::vendor::recipe::{Access, Driver, Files, Find, Numbered, Recipe, Shared};
use crate::vendor::{Means, PLAIN, Role, Variable, Vendor};

use super::{hooks, mig};

const fn switched_on(name: &'static str) -> Variable {
    Variable { name, means: Means::Switch }
}

const COMPANION: Vendor = Vendor { role: Role::Companion, beside: Some(&super::NVIDIA), ..PLAIN };
const MANAGER: Vendor = Vendor { role: Role::Management, ..PLAIN };

const fn nodes(path: &'static str) -> Find {
    Find::Nodes(Numbered { path, more: &[], names: &["{}"], hardware: None })
}

/// GPUDirect Storage.
pub(in crate::vendor) static GDS: Vendor = Vendor {
    name: "nvidia-gds",
    kinds: &["nvidia.com/gds"],
    visible: &[switched_on("NVIDIA_GDS")],
    recipes: &[&Recipe {
        driver: Some(&Driver {
            version: None,
            roots: &[],
            libraries: None,
            files: &[Files {
                search: &["/"],
                at: None,
                names: &["run/udev", "etc/cufile.json"],
                access: Access::Tree,
                classes: &[],
            }],
            lists: None,
            hooks: &[],
        }),
        ..Recipe::new(nodes("/dev/nvidia-fs{}"))
    }],
    ..COMPANION
};

/// Network cards of Mellanox, whose verbs reach a GPU's memory.
pub(in crate::vendor) static MOFED: Vendor = Vendor {
    name: "nvidia-mofed",
    kinds: &["nvidia.com/mofed"],
    visible: &[switched_on("NVIDIA_MOFED")],
    recipes: &[&Recipe {
        shared: &[Shared::at("/dev/infiniband/rdma_cm")],
        ..Recipe::new(nodes("/dev/infiniband/uverbs{}"))
    }],
    ..COMPANION
};

pub(in crate::vendor) static GDRCOPY: Vendor = Vendor {
    name: "nvidia-gdrcopy",
    kinds: &["nvidia.com/gdrcopy"],
    visible: &[switched_on("NVIDIA_GDRCOPY")],
    recipes: &[&Recipe::new(nodes("/dev/gdrdrv"))],
    ..COMPANION
};

pub(in crate::vendor) static NVSWITCH: Vendor = Vendor {
    name: "nvidia-nvswitch",
    kinds: &["nvidia.com/nvswitch"],
    visible: &[switched_on("NVIDIA_NVSWITCH")],
    recipes: &[&Recipe::new(nodes("/dev/nvidia-nvswitch{}"))],
    ..COMPANION
};

/// The node that configures the fabric of all GPUs. Privileged containers get it together with the switches.
pub(in crate::vendor) static NVSWITCH_CONTROL: Vendor = Vendor {
    name: "nvidia-nvswitch-control",
    kinds: &["management.nvidia.com/nvswitch"],
    visible: NVSWITCH.visible,
    beside: NVSWITCH.beside,
    recipes: &[&Recipe::new(nodes("/dev/nvidia-nvswitchctl"))],
    ..MANAGER
};

/// Channels to the memory of GPUs in other machines.
pub(in crate::vendor) static IMEX: Vendor = Vendor {
    name: "nvidia-imex",
    kinds: &["nvidia.com/imex-channel"],
    visible: &[Variable::ids("NVIDIA_IMEX_CHANNELS")],
    device_mounts: Some("/var/run/nvidia-container-devices/imex"),
    canonical: |id| Cow::Borrowed(id.strip_prefix("channel").unwrap_or(id)),
    recipes: &[&Recipe::new(nodes("/dev/nvidia-caps-imex-channels/channel{}"))],
    ..MANAGER
};

/// What lets a container split GPUs into MIG devices.
pub(in crate::vendor) static MIG_CONFIG: Vendor = Vendor {
    name: "nvidia-mig-config",
    kinds: &["management.nvidia.com/mig-config"],
    visible: &[Variable { name: "NVIDIA_MIG_CONFIG_DEVICES", means: Means::Whole }],
    recipes: &[&Recipe::new(Find::Custom(mig::config))],
    ..MANAGER
};

/// What lets a container watch all MIG devices.
pub(in crate::vendor) static MIG_MONITOR: Vendor = Vendor {
    name: "nvidia-mig-monitor",
    kinds: &["management.nvidia.com/mig-monitor"],
    visible: &[Variable { name: "NVIDIA_MIG_MONITOR_DEVICES", means: Means::Whole }],
    recipes: &[&Recipe::new(Find::Custom(mig::monitor))],
    ..MANAGER
};

/// All nodes of the driver, for programs that manage GPUs.
pub(in crate::vendor) static MANAGEMENT: Vendor = Vendor {
    name: "nvidia-management",
    kinds: &["management.nvidia.com/gpu"],
    recipes: &[&Recipe {
        shared: super::RECIPE.shared,
        driver: Some(&Driver { hooks: hooks::OF_MANAGER, ..super::DRIVER }),
        ..Recipe::new(Find::Custom(mig::everything))
    }],
    ..MANAGER
};
