//! Links in `/dev/char`, by which systemd finds a device node of a number: where one is missing, a `systemctl daemon-reload` takes the
//! device from running containers, because the rule for it cannot be made again.
//!
//! Source: systemd, src/core/bpf-devices.c and src/shared/dev-setup.c; opencontainers/runc issue 3708.

use std::collections::BTreeSet;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open};
use nix::sys::stat::{Mode, SFlag, fstatat, major, minor};
use nix::unistd::symlinkat;

use crate::error::{Error, Result};
use crate::host::Host;

/// The folder of the links.
pub const FOLDER: &str = "/dev/char";

/// Makes those links that are missing for character devices, by their `paths` on the host and their numbers. Nodes that are not
/// there get none. Returns the links that were made; with `is_trial`, those that would be.
pub fn make<'a>(
    host: &Host,
    nodes: impl Iterator<Item = (&'a str, (i64, i64))>,
    is_trial: bool,
) -> Result<Vec<(String, String)>> {
    let folder = host.real(Path::new(FOLDER));
    let failed = |cause: Errno| Error::io("make links in", &folder, cause.into());
    let handle = match open(&folder, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()) {
        // Nobody has set this machine up so that links could matter.
        Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(Vec::new()),
        opened => opened.map_err(failed)?,
    };
    let (mut known, mut made) = (BTreeSet::new(), Vec::new());
    for (path, number) in nodes.filter(|(_, (major, _))| *major > 0) {
        let name = format!("{}:{}", number.0, number.1);
        if !known.insert(number) || fstatat(&handle, name.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW).is_ok() {
            continue;
        }
        if !is_there(host, path, number)? {
            continue;
        }
        let target = path.strip_prefix("/dev/").map_or_else(|| path.to_owned(), |inside| format!("../{inside}"));
        match if is_trial { Ok(()) } else { symlinkat(target.as_str(), &handle, name.as_str()) } {
            Ok(()) => made.push((name, target)),
            // Somebody else was faster.
            Err(Errno::EEXIST) => {}
            Err(cause) => return Err(failed(cause)),
        }
    }
    Ok(made)
}

/// Whether the host has this very node.
fn is_there(host: &Host, path: &str, number: (i64, i64)) -> Result<bool> {
    let stat = host.lstat(Path::new(path)).map_err(|cause| Error::io("look at", Path::new(path), cause))?;
    let half = |half: u64| i64::try_from(half).unwrap_or_default();
    Ok(stat.is_some_and(|stat| {
        SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) == SFlag::S_IFCHR
            && (half(major(stat.st_rdev)), half(minor(stat.st_rdev))) == number
    }))
}
