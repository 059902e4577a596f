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

/// A link that is made: its name in the folder, and its text.
pub type CharLink = (String, String);

/// Makes those links that are missing for character devices, by their `paths` on the host and their numbers. Nodes that the host
/// has not get none. A machine without the folder is left alone: nothing there looks for links. Returns the links that were made.
pub fn make<'a>(host: &Host, nodes: impl Iterator<Item = (&'a str, (i64, i64))>) -> Result<Vec<CharLink>> {
    let failed = |cause: Errno| Error::io("make links in", &host.real(Path::new(FOLDER)), cause.into());
    let folder =
        open(&*host.real(Path::new(FOLDER)), OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty());
    let folder = match folder {
        Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(Vec::new()),
        opened => opened.map_err(failed)?,
    };
    let mut made = Vec::new();
    for (path, number) in first_of_each(nodes) {
        let name = format!("{}:{}", number.0, number.1);
        if fstatat(&folder, name.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW).is_ok() || !is_there(host, path, number)? {
            continue;
        }
        match symlinkat(target(path).as_str(), &folder, name.as_str()) {
            Ok(()) => made.push((name, target(path))),
            // Somebody else was faster.
            Err(Errno::EEXIST) => {}
            Err(cause) => return Err(failed(cause)),
        }
    }
    Ok(made)
}

/// Makes the folder where there is none.
pub fn make_folder(host: &Host) -> Result<()> {
    let folder = host.real(Path::new(FOLDER));
    match nix::unistd::mkdir(&*folder, Mode::from_bits_truncate(0o755)) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(cause) => Err(Error::io("make", &folder, cause.into())),
    }
}

/// The links that [`make`] would make, also where there is no folder yet.
pub fn missing<'a>(host: &Host, nodes: impl Iterator<Item = (&'a str, (i64, i64))>) -> Result<Vec<CharLink>> {
    let mut missing = Vec::new();
    for (path, number) in first_of_each(nodes) {
        let name = format!("{}:{}", number.0, number.1);
        let place = Path::new(FOLDER).join(&name);
        let link = host.lstat(&place).map_err(|cause| Error::io("look at", &place, cause))?;
        if link.is_none() && is_there(host, path, number)? {
            missing.push((name, target(path)));
        }
    }
    Ok(missing)
}

/// Of several nodes with one number the first; those without a number are left out.
fn first_of_each<'a>(
    nodes: impl Iterator<Item = (&'a str, (i64, i64))>,
) -> impl Iterator<Item = (&'a str, (i64, i64))> {
    let mut known = BTreeSet::new();
    nodes.filter(move |(_, number)| number.0 > 0 && known.insert(*number))
}

/// The text of the link to a node.
fn target(path: &str) -> String {
    path.strip_prefix("/dev/").map_or_else(|| path.to_owned(), |inside| format!("../{inside}"))
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
