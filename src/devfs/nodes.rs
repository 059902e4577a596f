//! Device nodes that a loaded driver would have its own tool make.

use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, fchmodat, makedev, mknod};
use nix::unistd::{Gid, Uid, fchownat};

use crate::cdi::DeviceNode;
use crate::error::{Error, Result};
use crate::host::Host;

/// Those of `nodes` that the host has not, each once.
pub fn missing(host: &Host, nodes: Vec<DeviceNode>) -> Result<Vec<DeviceNode>> {
    let mut missing: Vec<DeviceNode> = Vec::new();
    for node in nodes.into_iter().filter(DeviceNode::is_whole) {
        let path = Path::new(node.on_host());
        let there = host.lstat(path).map_err(|cause| Error::io("look at", path, cause))?;
        if there.is_none() && !missing.iter().any(|known| known.on_host() == node.on_host()) {
            missing.push(node);
        }
    }
    Ok(missing)
}

/// The root below which nodes are made: `dev_root` of the configuration, the machine's where that is empty. `None`: the machine
/// does not have the directory.
pub fn place(host: &Host, dev_root: &Path) -> Result<Option<Host>> {
    host.below(if dev_root.as_os_str().is_empty() { Path::new("/") } else { dev_root })
}

/// Makes `node` below `place`, with the mode that it is described with and the owner that its driver wants, and the directory that
/// it is in. One that is there by now is as good.
pub fn make(place: &Host, node: &DeviceNode) -> Result<()> {
    let path = place.real(Path::new(node.on_host()));
    let failed = |cause: Errno| Error::io("make the device node", &path, cause.into());
    let mode = Mode::from_bits_truncate(node.file_mode.unwrap_or(0o666));
    let half = |half: i64| u64::try_from(half).map_err(|_| failed(Errno::EINVAL));
    let number = makedev(half(node.major)?, half(node.minor)?);
    if let Some(folder) = path.parent() {
        match nix::unistd::mkdir(folder, Mode::from_bits_truncate(0o755)) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(cause) => return Err(failed(cause)),
        }
    }
    match mknod(&*path, SFlag::S_IFCHR, mode, number) {
        Ok(()) => {}
        Err(Errno::EEXIST) => return Ok(()),
        Err(cause) => return Err(failed(cause)),
    }
    if let Some((uid, gid)) = node.missing.and_then(|missing| missing.owner).filter(|owner| *owner != (0, 0)) {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        fchownat(AT_FDCWD, &*path, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW).map_err(failed)?;
    }
    // Whatever the umask is here.
    match fchmodat(AT_FDCWD, &*path, mode, FchmodatFlags::NoFollowSymlink) {
        Ok(()) | Err(Errno::ENOTSUP) => Ok(()),
        Err(cause) => Err(failed(cause)),
    }
}
