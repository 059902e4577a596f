//! Intel's rows: GPUs, their firmware interface, and the NPUs of client processors. Gaudi has its own file.
//!
//! Intel has no request variable; its devices are asked for by CDI name, `driver=` or a variable that is open to every vendor.

use super::recipe::{DRI, Find, Functions, Hardware, Recipe, SysfsNodes};
use super::{PLAIN, Role, Vendor};

const PCI: u16 = 0x8086;

/// Names as people count, as Intel's generator and its documentation have them, and by the place in the machine.
pub(super) static GPU: Vendor = Vendor {
    name: "intel",
    kinds: &["intel.com/gpu"],
    recipes: &[&Recipe {
        joins_groups: true,
        ..Recipe::new(Find::Pci(Functions {
            hardware: Hardware::of(PCI),
            drivers: &["i915", "xe"],
            // SR-IOV: the virtual functions are what can be given away then.
            leaves_out_split: true,
            nodes: DRI,
            names: &["{index}", "gpu{index}", "card{card}", "{dashed}-{device}", "{address}"],
        }))
    }],
    ..PLAIN
};

/// What programs talk to the GPU's firmware through: telemetry, updates.
pub(super) static GPU_MEI: Vendor = Vendor {
    name: "intel-gpu-mei",
    kinds: &["intel.com/gpu-mei"],
    role: Role::Management,
    recipes: &[&Recipe::new(Find::Pci(Functions {
        hardware: Hardware::of(PCI),
        drivers: &["i915", "xe"],
        leaves_out_split: false,
        nodes: &[
            SysfsNodes { folder: "i915.mei-gscfi.2304/mei", prefix: "mei", paths: &["/dev/mei{}"] },
            SysfsNodes { folder: "xe.mei-gscfi.768/mei", prefix: "mei", paths: &["/dev/mei{}"] },
        ],
        names: &["{index}", "mei{mei}", "{dashed}-{device}", "{address}"],
    }))],
    ..PLAIN
};

pub(super) static NPU: Vendor = Vendor {
    name: "intel-npu",
    kinds: &["intel.com/npu"],
    recipes: &[&Recipe {
        joins_groups: true,
        ..Recipe::new(Find::Pci(Functions {
            hardware: Hardware::of(PCI),
            drivers: &["intel_vpu"],
            leaves_out_split: false,
            nodes: &[SysfsNodes { folder: "accel", prefix: "accel", paths: &["/dev/accel/accel{}"] }],
            names: &["{index}", "accel{accel}", "{dashed}-{device}", "{address}"],
        }))
    }],
    ..PLAIN
};
