//! Security modules that can keep a container from a device that it was given.
//!
//! Reads what the kernel says of them; sets nothing.

use std::path::Path;

use super::{Finding, Subject};
use crate::error::Result;

/// SELinux: whether its policy lets containers use devices.
pub(super) fn selinux(subject: &Subject<'_>) -> Result<Vec<Finding>> {
    let read = |path: &str| subject.host.read(Path::new(path));
    let enforce = read("/sys/fs/selinux/enforce")?;
    let devices = read("/sys/fs/selinux/booleans/container_use_devices")?;
    Ok(vec![of_selinux(enforce.as_deref(), devices.as_deref())])
}

fn of_selinux(enforce: Option<&str>, devices: Option<&str>) -> Finding {
    const WHY: &str =
        "an enforcing policy refuses containers the devices that they were given, which looks as if there were none";
    let is_on = |text: &str| text.trim_start().starts_with('1');
    match (enforce, devices) {
        (None, _) => Finding::idle("it is not in use", WHY),
        (Some(enforce), _) if !is_on(enforce) => Finding::pass("it does not enforce its policy", WHY),
        (_, Some(devices)) if is_on(devices) => Finding::pass("its policy lets containers use devices", WHY),
        (_, Some(_)) => Finding::warn(
            "it enforces a policy that refuses containers all devices",
            WHY,
            "setsebool -P container_use_devices on; for one container: --security-opt label=disable",
        ),
        (_, None) => Finding::warn(
            "it enforces a policy that does not know container_use_devices",
            WHY,
            "install container-selinux; for one container: --security-opt label=disable",
        ),
    }
}

/// AppArmor: whether it is on.
pub(super) fn apparmor(subject: &Subject<'_>) -> Result<Vec<Finding>> {
    let enabled = subject.host.read(Path::new("/sys/module/apparmor/parameters/enabled"))?;
    Ok(vec![of_apparmor(enabled.as_deref())])
}

fn of_apparmor(enabled: Option<&str>) -> Finding {
    const WHY: &str =
        "engines' own profiles leave devices alone; one of your own must let the container open /dev/** of its GPU";
    match enabled.map(str::trim) {
        Some("Y") => Finding::pass("it is on; the profiles that engines load leave devices alone", WHY),
        _ => Finding::idle("it is not in use", WHY),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn a_policy_counts_where_it_is_enforced() {
        for (enforce, devices, level) in [
            (None, None, Level::Skip),
            (Some("0"), Some("0 0"), Level::Pass),
            (Some("1"), Some("1 1"), Level::Pass),
            (Some("1"), Some("0 0"), Level::Warn),
            (Some("1"), None, Level::Warn),
        ] {
            assert_eq!(of_selinux(enforce, devices).level, level, "{enforce:?} {devices:?}");
        }
        for (enabled, level) in [(Some("Y\n"), Level::Pass), (Some("N\n"), Level::Skip), (None, Level::Skip)] {
            assert_eq!(of_apparmor(enabled).level, level, "{enabled:?}");
        }
    }
}
