//! Intel's rows: GPUs, and the NPUs of client processors. Gaudi has its own file.
//!
//! Intel has no request variable; its devices are asked for by CDI name, `driver=` or a variable that is open to every vendor.

use super::{PLAIN, Vendor};

pub(super) static GPU: Vendor = Vendor { name: "intel", kinds: &["intel.com/gpu"], ..PLAIN };

pub(super) static NPU: Vendor = Vendor { name: "intel-npu", kinds: &["intel.com/npu"], ..PLAIN };
