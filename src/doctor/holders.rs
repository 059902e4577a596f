//! Whether the records of who holds which GPU can be relied on.

use super::{Finding, Subject, counted};
use crate::error::Result;
use crate::holders::Records;

/// Looks at the records and at the states of low-level runtimes.
pub(super) fn look(subject: &Subject<'_>) -> Result<Vec<Finding>> {
    const WHY: &str =
        "a count takes the GPUs that fewest containers hold, and an exclusive lease needs to know them all";
    let runtime_dir = subject.environment.runtime_dir.as_deref();
    let found = Records::read(subject.host, runtime_dir).survey();
    let mut findings: Vec<Finding> = found
        .unread
        .iter()
        .map(|why| {
            let fix = "run it as root; or, as root, remove /run/gpu-runc/holders: the next start makes it again";
            Finding::warn(format!("some containers cannot be seen: {why}"), WHY, fix)
        })
        .collect();
    if findings.is_empty() {
        let (held, stale) = (counted(found.containers.len(), "container"), counted(found.stale, "stale record"));
        findings.push(Finding::pass(format!("{held} with GPUs, {stale}, which the next start removes"), WHY));
    }
    Ok(findings)
}
