//! The rows of vendors whose devices need no code of their own.

use super::{PLAIN, Variable, Vendor};

pub(super) static ILUVATAR: Vendor = Vendor {
    name: "iluvatar",
    kinds: &["iluvatar.com/gpu"],
    visible: &[Variable::ids("IX_VISIBLE_DEVICES"), Variable::ids("ILUVATAR_COREX_VISIBLE_DEVICES")],
    ..PLAIN
};

/// Moore Threads.
pub(super) static MTHREADS: Vendor = Vendor {
    name: "mthreads",
    kinds: &["mthreads.com/gpu"],
    visible: &[Variable::ids("MTHREADS_VISIBLE_DEVICES")],
    ..PLAIN
};

pub(super) static METAX: Vendor = Vendor {
    name: "metax",
    kinds: &["metax-tech.com/gpu"],
    visible: &[Variable::ids("METAX_VISIBLE_DEVICES")],
    ..PLAIN
};

pub(super) static CAMBRICON: Vendor = Vendor {
    name: "cambricon",
    kinds: &["cambricon.com/mlu"],
    visible: &[Variable::ids("CAMBRICON_VISIBLE_DEVICES")],
    ..PLAIN
};

/// Alibaba's PPU, which runs images made for NVIDIA's.
pub(super) static T_HEAD: Vendor =
    Vendor { name: "t-head", kinds: &["alibabacloud.com/ppu"], borrowed: &["NVIDIA_VISIBLE_DEVICES"], ..PLAIN };

pub(super) static KUNLUNXIN: Vendor = Vendor {
    name: "kunlunxin",
    kinds: &["kunlunxin.com/xpu"],
    visible: &[Variable::ids("CXPU_VISIBLE_DEVICES")],
    ..PLAIN
};

pub(super) static ENFLAME: Vendor = Vendor {
    name: "enflame",
    kinds: &["enflame.com/gcu"],
    visible: &[Variable::ids("ENFLAME_VISIBLE_DEVICES")],
    ..PLAIN
};

pub(super) static BIREN: Vendor =
    Vendor { name: "biren", kinds: &["birentech.com/gpu"], visible: &[Variable::ids("BR_PHY_CARDS")], ..PLAIN };

pub(super) static REBELLIONS: Vendor = Vendor { name: "rebellions", kinds: &["rebellions.ai/npu"], ..PLAIN };

pub(super) static FURIOSA: Vendor = Vendor { name: "furiosa", kinds: &["furiosa.ai/npu"], ..PLAIN };

/// AWS Trainium and Inferentia.
pub(super) static NEURON: Vendor = Vendor {
    name: "neuron",
    kinds: &["aws.amazon.com/neuron"],
    visible: &[Variable::ids("AWS_NEURON_VISIBLE_DEVICES")],
    ..PLAIN
};
