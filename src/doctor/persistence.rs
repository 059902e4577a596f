//! Whether drivers stay loaded while nothing uses them.
//!
//! Walks the vendors' rows; most drivers never let go of their devices.

use std::path::Path;

use super::{Devices, Finding, Subject};
use crate::error::Result;
use crate::vendor::upkeep::Persistence;

const WHY: &str = "a driver that lets go of idle devices takes seconds to wake them at the start of the next container";

/// A finding for each vendor whose driver lets go.
pub(super) fn look(subject: &Subject<'_>) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    // A device that is no PCI function is a part of the machine, and never let go of.
    let is_plugged = |devices: &&Devices| devices.items.iter().flatten().any(|item| item.identity.address.is_some());
    for vendor in subject.devices.iter().filter(is_plugged).map(|devices| devices.vendor) {
        if let Some(rule) = &vendor.upkeep.persistence {
            findings.push(of_driver(vendor.name, rule, subject)?);
        }
    }
    if findings.is_empty() {
        findings.push(Finding::idle("no driver here lets go of idle devices", WHY));
    }
    Ok(findings)
}

fn of_driver(name: &str, rule: &Persistence, subject: &Subject<'_>) -> Result<Finding> {
    for socket in rule.sockets {
        if subject.host.find(Path::new(socket))?.is_some() {
            return Ok(Finding::pass(format!("{name}: its daemon runs ({socket})"), WHY));
        }
    }
    let Some(program) = subject.program(rule.program)? else {
        return Ok(Finding::warn(format!("{name}: its daemon does not run"), WHY, rule.start));
    };
    Ok(judged(name, rule, (subject.ask)(&subject.host.real(&program), rule.args)))
}

fn judged(name: &str, rule: &Persistence, said: std::result::Result<String, String>) -> Finding {
    match said {
        Ok(said) if !said.trim().is_empty() && said.lines().all(|line| line.trim() == rule.on) => {
            Finding::pass(format!("{name}: it is on for all devices"), WHY)
        }
        Ok(_) => Finding::warn(format!("{name}: it is off"), WHY, rule.start),
        Err(why) => Finding::warn(format!("{name}: its daemon does not run, and {why}"), WHY, rule.start),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;
    use crate::vendor::Vendors;

    #[test]
    fn every_device_must_be_kept_awake() {
        let rule = Vendors::known().by_name("nvidia").unwrap().upkeep.persistence.as_ref().unwrap();
        for (said, level) in [
            (Ok("Enabled\nEnabled\n"), Level::Pass),
            (Ok("Enabled\nDisabled\n"), Level::Warn),
            (Ok(""), Level::Warn),
            (Err("it failed"), Level::Warn),
        ] {
            assert_eq!(judged("x", rule, said.map(str::to_owned).map_err(str::to_owned)).level, level, "{said:?}");
        }
    }
}
