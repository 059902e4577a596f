//! What the kernel offers: openat2, cgroups.
//!
//! Decides by what it reads through [`Host`](crate::host::Host).

use std::path::Path;

use super::{Finding, Subject};
use crate::error::{Escaped, Result};

/// openat2, which Linux has since 5.6.
pub(super) fn openat2(subject: &Subject<'_>) -> Result<Vec<Finding>> {
    const WHY: &str = "gpu-runc touches a container's files through openat2 only, so that no link leads it elsewhere; without \
                       it, the driver's libraries are not entered into the container's library cache";
    let release = subject.host.read(Path::new("/proc/sys/kernel/osrelease"))?.unwrap_or_default();
    let kernel = match release.trim() {
        "" => "the kernel".to_owned(),
        release => format!("Linux {}", Escaped::name(release)),
    };
    Ok(vec![match subject.environment.has_openat2 {
        true => Finding::pass(format!("{kernel} has openat2"), WHY),
        false => Finding::warn(
            format!("{kernel} does not let this process call openat2"),
            WHY,
            "run Linux 5.6 or newer, and outside of containers whose seccomp profile does not know the call",
        ),
    }])
}

/// The version of cgroups, and who can drive them.
pub(super) fn cgroups(subject: &Subject<'_>) -> Result<Vec<Finding>> {
    let is_first = subject.host.find(Path::new("/sys/fs/cgroup/devices"))?.is_some();
    Ok(vec![of_cgroups(is_first, has_second(subject)?, subject.has_systemd()?)])
}

/// Whether cgroups are of version 2.
pub(super) fn has_second(subject: &Subject<'_>) -> Result<bool> {
    Ok(subject.host.find(Path::new("/sys/fs/cgroup/cgroup.controllers"))?.is_some())
}

fn of_cgroups(is_first: bool, is_second: bool, has_systemd: bool) -> Finding {
    const WHY: &str = "cgroups are what keeps a container from devices that it was not given, and lets it open its own";
    let driver =
        if has_systemd { "systemd can drive them" } else { "engines drive them, as systemd does not run here" };
    match (is_second, is_first) {
        (true, _) => Finding::pass(format!("version 2; {driver}"), WHY),
        (false, true) if has_systemd => Finding::warn(
            format!("version 1; {driver}"),
            "systemd 258 and newer have only version 2, and with version 1 rootless containers cannot be limited",
            "boot with systemd.unified_cgroup_hierarchy=1",
        ),
        (false, true) => Finding::pass(format!("version 1; {driver}"), WHY),
        (false, false) => Finding::skip("none are mounted", WHY, "mount -t cgroup2 none /sys/fs/cgroup"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn the_old_cgroups_matter_to_systemd() {
        for (is_first, is_second, has_systemd, level) in [
            (false, true, true, Level::Pass),
            (true, true, true, Level::Pass),
            (true, false, true, Level::Warn),
            (true, false, false, Level::Pass),
            (false, false, true, Level::Skip),
        ] {
            assert_eq!(
                of_cgroups(is_first, is_second, has_systemd).level,
                level,
                "{is_first} {is_second} {has_systemd}"
            );
        }
    }
}
