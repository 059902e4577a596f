//! What CDI files mount, looked for on the machine.
//!
//! Only looks; what becomes of a file that names what is not there is for others.

use std::path::Path;

use super::Host;
use super::shelter::Sheltered;
use crate::cdi::Mount;
use crate::error::Result;

/// What there is of the source of a mount.
#[derive(Debug, PartialEq, Eq)]
pub enum Source {
    /// It is there, is no path of the machine, or is kept from this user.
    Usable,
    /// It is a path of the machine at which there is nothing.
    Missing,
    /// It is a path of the machine at which others than root can put what they like: why.
    Exposed(String),
}

/// Whether `mount` brings a path of the machine that is not there.
pub fn is_missing(mount: &Mount, host: &Host) -> Result<bool> {
    Ok(check(mount, host)? == Source::Missing)
}

/// What there is of the source of `mount`. Errors are paths that cannot be read.
pub fn check(mount: &Mount, host: &Host) -> Result<Source> {
    if !is_bind(mount) {
        return Ok(Source::Usable);
    }
    match host.find_sheltered(Path::new(&mount.host_path)) {
        // What is kept from this user, the low-level runtime may have its own means to mount.
        Err(error) if error.is_denied() => Ok(Source::Usable),
        found => Ok(match found? {
            Sheltered::Found(_) => Source::Usable,
            Sheltered::Absent => Source::Missing,
            Sheltered::Refused(why) => Source::Exposed(why),
        }),
    }
}

/// Whether the source is a path of the machine; other file systems have a name of their own there.
fn is_bind(mount: &Mount) -> bool {
    matches!(mount.mount_type.as_str(), "" | "none" | "bind") && mount.host_path.starts_with('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_the_machine_are_looked_at() {
        for (source, mount_type, expected) in [
            ("/usr/lib/libx.so", "", true),
            ("/usr/lib/libx.so", "bind", true),
            ("/usr/lib/libx.so", "none", true),
            ("tmpfs", "tmpfs", false),
            ("/dev/sda1", "ext4", false),
            ("libx.so", "", false),
        ] {
            let mount = Mount { host_path: source.into(), mount_type: mount_type.into(), ..Mount::default() };
            assert_eq!(is_bind(&mount), expected, "{source} {mount_type}");
        }
    }
}
