//! The rows of vendors whose devices need no code of their own.

use super::recipe::{Access, DRI, Driver, Files, Find, Functions, Hardware, Numbered, Recipe, Shared, SysfsNodes};
use super::{Classes, PLAIN, Variable, Vendor};

/// Devices that are numbered nodes.
const fn nodes(path: &'static str, more: &'static [&'static str], hardware: Option<Hardware>) -> Recipe {
    let names = &["{}"];
    Recipe { joins_groups: true, ..Recipe::new(Find::Nodes(Numbered { path, more, names, hardware })) }
}

/// Files that come from the machine.
const fn files(names: &'static [&'static str]) -> Files {
    Files { search: &["/"], at: None, names, access: Access::Tree, classes: &[] }
}

const fn driver(files: &'static [Files]) -> Driver {
    Driver { version: None, layouts: None, libraries: None, files, lists: None, hooks: &[] }
}

pub(super) static ILUVATAR: Vendor = Vendor {
    name: "iluvatar",
    kinds: &["iluvatar.com/gpu"],
    visible: &[Variable::ids("IX_VISIBLE_DEVICES"), Variable::ids("ILUVATAR_COREX_VISIBLE_DEVICES")],
    recipes: &[&Recipe {
        shared: &[Shared::at("/dev/itrctl")],
        ..nodes("/dev/iluvatar{}", &[], Some(Hardware::of(0x1e3e)))
    }],
    ..PLAIN
};

/// Moore Threads.
pub(super) static MTHREADS: Vendor = Vendor {
    name: "mthreads",
    kinds: &["mthreads.com/gpu"],
    visible: &[Variable::ids("MTHREADS_VISIBLE_DEVICES")],
    classes: Some(&Classes {
        variable: "MTHREADS_DRIVER_CAPABILITIES",
        known: &["compute", "utility", "graphics", "video", "display"],
        default: &["compute", "utility", "graphics", "video", "display"],
        none: None,
    }),
    recipes: &[&Recipe {
        driver: Some(&driver(&[
            Files {
                search: &["/usr/bin", "/usr/local/bin"],
                names: &["mthreads-gmi"],
                access: Access::Read,
                classes: &["utility"],
                ..files(&[])
            },
            Files {
                search: &[
                    "/usr/lib/x86_64-linux-gnu/musa",
                    "/usr/lib/aarch64-linux-gnu/musa",
                    "/usr/lib64/musa",
                    "/usr/lib/x86_64-linux-gnu",
                    "/usr/lib/aarch64-linux-gnu",
                    "/usr/lib64",
                ],
                names: &["libmusa.so*", "libmtml.so*", "libmublas*.so*"],
                access: Access::Read,
                ..files(&[])
            },
        ])),
        ..nodes("/dev/mtgpu.{}", &[], Some(Hardware::of(0x1ed5)))
    }],
    ..PLAIN
};

pub(super) static METAX: Vendor = Vendor {
    name: "metax",
    kinds: &["metax-tech.com/gpu"],
    visible: &[Variable::ids("METAX_VISIBLE_DEVICES")],
    recipes: &[&Recipe {
        shared: &[Shared::at("/dev/mxcd"), Shared::at("/dev/mxnd"), Shared::at("/dev/mxgd")],
        joins_groups: true,
        driver: Some(&driver(&[files(&["opt/mxdriver"])])),
        ..Recipe::new(Find::Pci(Functions {
            hardware: Hardware::of(0x9999),
            drivers: &["METAX", "metax"],
            leaves_out_split: false,
            nodes: DRI,
            names: &["{index}", "{address}"],
        }))
    }],
    ..PLAIN
};

pub(super) static CAMBRICON: Vendor = Vendor {
    name: "cambricon",
    kinds: &["cambricon.com/mlu"],
    visible: &[Variable::ids("CAMBRICON_VISIBLE_DEVICES")],
    recipes: &[&Recipe {
        shared: &[Shared::at("/dev/cambricon_ctl"), Shared::at("/dev/cambricon_gdr")],
        driver: Some(&driver(&[Files { access: Access::Read, ..files(&["usr/bin/cnmon"]) }])),
        ..nodes(
            "/dev/cambricon_dev{}",
            &[
                "/dev/cambricon_ipcm{}",
                "/dev/cmsg_ctrl{}",
                "/dev/commu{}",
                "/dev/cambr-msgq:{}",
                "/dev/cambr-rpc:{}",
                "/dev/ttyMS{}",
            ],
            Some(Hardware::of(0xcabc)),
        )
    }],
    ..PLAIN
};

/// Alibaba's PPU, which runs images made for NVIDIA's.
pub(super) static T_HEAD: Vendor = Vendor {
    name: "t-head",
    kinds: &["alibabacloud.com/ppu"],
    borrowed: &["NVIDIA_VISIBLE_DEVICES"],
    recipes: &[&Recipe {
        shared: &[Shared::at("/dev/alixpu"), Shared::at("/dev/alixpu_ctl")],
        ..nodes("/dev/alixpu_ppu{}", &[], Some(Hardware::of(0x1ded)))
    }],
    ..PLAIN
};

pub(super) static KUNLUNXIN: Vendor = Vendor {
    name: "kunlunxin",
    kinds: &["kunlunxin.com/xpu"],
    visible: &[Variable::ids("CXPU_VISIBLE_DEVICES")],
    recipes: &[&Recipe { shared: &[Shared::at("/dev/xpuctrl")], ..nodes("/dev/xpu{}", &[], None) }],
    ..PLAIN
};

pub(super) static ENFLAME: Vendor = Vendor {
    name: "enflame",
    kinds: &["enflame.com/gcu"],
    visible: &[Variable::ids("ENFLAME_VISIBLE_DEVICES")],
    recipes: &[&Recipe {
        shared: &[Shared::at("/dev/gcuctl")],
        driver: Some(&driver(&[Files { access: Access::Read, ..files(&["usr/sbin/efsmi"]) }])),
        ..nodes("/dev/gcu{}", &[], None)
    }],
    ..PLAIN
};

pub(super) static BIREN: Vendor = Vendor {
    name: "biren",
    kinds: &["birentech.com/gpu"],
    visible: &[Variable::ids("BR_PHY_CARDS")],
    recipes: &[&nodes("/dev/biren/card_{}", &[], None)],
    ..PLAIN
};

pub(super) static REBELLIONS: Vendor = Vendor {
    name: "rebellions",
    kinds: &["rebellions.ai/npu"],
    recipes: &[&Recipe {
        driver: Some(&driver(&[
            Files {
                search: &["/usr/bin", "/usr/local/bin"],
                access: Access::Read,
                ..files(&["rbln-smi", "rbln-stat"])
            },
            Files {
                search: &[
                    "/usr/lib64",
                    "/usr/lib/x86_64-linux-gnu",
                    "/usr/lib/aarch64-linux-gnu",
                    "/usr/lib",
                    "/usr/local/lib",
                ],
                access: Access::Read,
                ..files(&["librbln-*.so*"])
            },
        ])),
        ..nodes("/dev/rbln{}", &[], None)
    }],
    ..PLAIN
};

pub(super) static FURIOSA: Vendor = Vendor {
    name: "furiosa",
    kinds: &["furiosa.ai/npu"],
    recipes: &[&Recipe {
        joins_groups: true,
        ..Recipe::new(Find::Nodes(Numbered {
            path: "/dev/rngd/npu{}mgmt",
            more: &["/dev/rngd/npu{}pe*", "/dev/rngd/npu{}ch*", "/dev/rngd/npu{}dmar", "/dev/rngd/npu{}bar*"],
            names: &["{}", "npu{}"],
            hardware: None,
        }))
    }],
    ..PLAIN
};

/// AWS Trainium and Inferentia.
pub(super) static NEURON: Vendor = Vendor {
    name: "neuron",
    kinds: &["aws.amazon.com/neuron"],
    visible: &[Variable::ids("AWS_NEURON_VISIBLE_DEVICES")],
    recipes: &[&nodes(
        "/dev/neuron{}",
        &[],
        Some(Hardware { vendor: 0x1d0f, devices: &[0x7064, 0x7065, 0x7066, 0x7067, 0x7164, 0x7264, 0x7364] }),
    )],
    ..PLAIN
};

pub(super) static TENSTORRENT: Vendor = Vendor {
    name: "tenstorrent",
    kinds: &["tenstorrent.com/npu"],
    recipes: &[&Recipe {
        driver: Some(&driver(&[Files { access: Access::Talk, ..files(&["dev/hugepages", "dev/hugepages-1G"]) }])),
        ..nodes("/dev/tenstorrent/{}", &[], Some(Hardware::of(0x1e52)))
    }],
    ..PLAIN
};

/// Google's TPUs. Newer ones are given through VFIO, older ones have a driver of their own. Google's network cards are PCI
/// functions of the same vendor.
pub(super) static TPU: Vendor = Vendor {
    name: "tpu",
    kinds: &["tpu.google.com/tpu"],
    recipes: &[
        &Recipe {
            shared: &[Shared::at("/dev/vfio/vfio")],
            ..Recipe::new(Find::Pci(Functions {
                hardware: TPU_HARDWARE,
                drivers: &["vfio-pci"],
                leaves_out_split: false,
                nodes: &[SysfsNodes { folder: "iommu_group", prefix: "", paths: &["/dev/vfio/{}"] }],
                names: &["{index}", "{address}"],
            }))
        },
        &nodes("/dev/accel{}", &[], Some(TPU_HARDWARE)),
    ],
    ..PLAIN
};

const TPU_HARDWARE: Hardware = Hardware { vendor: 0x1ae0, devices: &[0x0027, 0x005e, 0x0062, 0x0063, 0x006f, 0x0076] };

/// Qualcomm's Cloud AI.
pub(super) static QUALCOMM: Vendor = Vendor {
    name: "qualcomm",
    kinds: &["qualcomm.com/qaic"],
    recipes: &[&Recipe {
        joins_groups: true,
        ..Recipe::new(Find::Pci(Functions {
            hardware: Hardware::of(0x17cb),
            drivers: &["qaic"],
            leaves_out_split: false,
            nodes: &[SysfsNodes { folder: "accel", prefix: "accel", paths: &["/dev/accel/accel{}"] }],
            names: &["{index}", "accel{accel}", "{address}"],
        }))
    }],
    ..PLAIN
};
