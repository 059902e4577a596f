//! Whether a container could make nodes of devices that it was not given, through the driver's own libraries.
//!
//! Only looks. What is done about it is for the one hook, which takes a millisecond that most containers need not pay.

use std::path::Path;

use crate::cdi::ContainerEdits;
use crate::error::Result;
use crate::host::Host;
use crate::vendor::hooks::DriverHooks;

/// Whether the driver of this machine has its libraries make nodes, and a container with `edits` has not got all devices anyway.
pub(super) fn matter(driver: &DriverHooks, edits: &ContainerEdits, host: &Host) -> Result<bool> {
    let params = &driver.params;
    let is_number =
        |path: &str| path.strip_prefix(driver.profile.nodes).is_some_and(|rest| rest.parse::<u32>().is_ok());
    let given = edits.device_nodes.iter().filter(|node| is_number(&node.path)).count();
    let all = host.list(Path::new(params.devices), |_| true)?.unwrap_or_default().len();
    if given >= all {
        return Ok(false);
    }
    let text = host.read(Path::new(params.path))?.unwrap_or_default();
    Ok(text.lines().any(|line| line.trim() == params.line))
}
