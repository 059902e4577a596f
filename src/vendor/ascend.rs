//! The row of Huawei's Ascend, and the names that its device plugin gives to indices.

use std::borrow::Cow;

use super::{PLAIN, Variable, Vendor};

pub(super) static ASCEND: Vendor = Vendor {
    name: "ascend",
    kinds: &["ascend.com/npu", "huawei.com/npu"],
    visible: &[Variable::ids("ASCEND_VISIBLE_DEVICES")],
    canonical: index_of_name,
    ..PLAIN
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
