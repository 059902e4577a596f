//! The row of Huawei's Ascend, and the names that its device plugin gives to indices.
//!
//! Images bring CANN; the driver's libraries come from the machine, as the lists of the vendor's runtime have them.

use std::borrow::Cow;

use super::recipe::{Access, Driver, Files, Find, Hardware, Numbered, Recipe, Shared};
use super::{Classes, PLAIN, Variable, Vendor};

pub(super) static ASCEND: Vendor = Vendor {
    name: "ascend",
    kinds: &["ascend.com/npu", "huawei.com/npu"],
    visible: &[Variable::ids("ASCEND_VISIBLE_DEVICES")],
    canonical: index_of_name,
    classes: Some(&Classes {
        variable: "ASCEND_RUNTIME_MOUNTS",
        known: &[],
        default: &["base"],
        none: Some(("ASCEND_RUNTIME_OPTIONS", "NODRV")),
    }),
    recipes: &[&RECIPE],
    ..PLAIN
};

/// Which nodes there are tells of the chip, which the vendor's own runtime asks the driver for.
static RECIPE: Recipe = Recipe {
    shared: &[
        Shared::at("/dev/davinci_manager"),
        Shared { place: "/dev/davinci_manager", ..Shared::at("/dev/davinci_manager_docker") },
        Shared::at("/dev/devmm_svm"),
        Shared::at("/dev/hisi_hdc"),
        Shared::at("/dev/dvpp_cmdlist"),
        // Of the chips on small boards.
        Shared::at("/dev/svm0"),
        Shared::at("/dev/ts_aisle"),
        Shared::at("/dev/upgrade"),
        Shared::at("/dev/sys"),
        Shared::at("/dev/vdec"),
        Shared::at("/dev/vpc"),
        Shared::at("/dev/pngd"),
        Shared::at("/dev/venc"),
        Shared::at("/dev/log_drv"),
        Shared::at("/dev/acodec"),
        Shared::at("/dev/ai"),
        Shared::at("/dev/ao"),
        Shared::at("/dev/vo"),
        Shared::at("/dev/hdmi"),
    ],
    env: &["ASCEND_DOCKER_RUNTIME=True"],
    joins_groups: true,
    driver: Some(&DRIVER),
    ..Recipe::new(Find::Nodes(Numbered {
        path: "/dev/davinci{}",
        more: &[],
        names: &["{}"],
        hardware: Some(Hardware::of(0x19e5)),
    }))
};

static DRIVER: Driver = Driver {
    version: None,
    layouts: None,
    libraries: None,
    files: &[Files {
        search: &["/"],
        at: None,
        names: &[
            "usr/local/Ascend/driver/lib64",
            "usr/local/Ascend/driver/include",
            "usr/local/Ascend/driver/version.info",
            "usr/local/Ascend/driver/topo",
            "usr/local/dcmi",
            "usr/local/bin/npu-smi",
            "usr/local/sbin/npu-smi",
            "etc/ascend_install.info",
            "etc/hccl_rootinfo.json",
            "var/queue_schedule",
        ],
        access: Access::Tree,
        classes: &["base"],
    }],
    lists: Some("/etc/ascend-docker-runtime.d"),
    hooks: &[],
};

/// `Ascend910-3`, `Ascend310P-3` and `npu-3` all are the device of index 3.
fn index_of_name(name: &str) -> Cow<'_, str> {
    match name.rsplit_once('-') {
        Some((chip, index))
            if (chip.starts_with("Ascend") || chip == "npu")
                && !index.is_empty()
                && index.bytes().all(|b| b.is_ascii_digit()) =>
        {
            Cow::Borrowed(index)
        }
        _ => Cow::Borrowed(name),
    }
}
