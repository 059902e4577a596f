//! Which of the vendors' own container toolkits are too old to keep.
//!
//! Walks the vendors' rows. gpu-runc needs none of them.

use super::{Finding, Subject, versions};
use crate::error::{Escaped, Result};
use crate::vendor::upkeep::Toolkit;

const WHY: &str = "gpu-runc needs none; one that is there goes on writing CDI files and starting hooks of its own";

/// A finding for each toolkit that is installed.
pub(super) fn look(subject: &Subject<'_>) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for toolkit in subject.vendors.iter().filter_map(|vendor| vendor.upkeep.toolkit.as_ref()) {
        if let Some(path) = subject.program(toolkit.program)? {
            let version = subject.version(&path, toolkit.args);
            findings.push(judged(&Escaped::path(&path).to_string(), toolkit, version));
        }
    }
    if findings.is_empty() {
        findings.push(Finding::idle("none is installed, and none is needed", WHY));
    }
    Ok(findings)
}

fn judged(path: &str, toolkit: &Toolkit, version: Option<versions::Version>) -> Finding {
    let lowest = versions::dotted(toolkit.lowest);
    let fix = format!("update it to {lowest} or newer, or remove it");
    match version {
        Some(version) if version.is_below(toolkit.lowest) => {
            Finding::warn(format!("{path}, version {version}, is older than {lowest}"), toolkit.why, fix)
        }
        Some(version) => Finding::pass(format!("{path}, version {version}"), WHY),
        None => Finding::warn(format!("{path} does not say its version"), toolkit.why, fix),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;
    use crate::vendor::Vendors;

    #[test]
    fn a_toolkit_is_judged_by_the_lowest_version_of_its_row() {
        for (vendor, version, level) in [
            ("nvidia", "1.17.8", Level::Warn),
            ("nvidia", "1.18.0", Level::Pass),
            ("amd", "1.1.0", Level::Warn),
            ("amd", "1.2.0", Level::Pass),
            ("amd", "none", Level::Warn),
        ] {
            let toolkit = Vendors::known().by_name(vendor).unwrap().upkeep.toolkit.as_ref().unwrap();
            assert_eq!(judged("/x", toolkit, versions::parse(version)).level, level, "{vendor} {version}");
        }
    }
}
