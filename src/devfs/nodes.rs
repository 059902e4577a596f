//! Device nodes that a loaded driver would have its own tool make.

use std::path::Path;

use nix::errno::Errno;
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, fchmodat, makedev, mknod};

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

/// Makes `node` on the host, with the mode that it is described with, and the folder that it is in. One that is there by now is as
/// good.
pub fn make(host: &Host, node: &DeviceNode) -> Result<()> {
    let path = host.real(Path::new(node.on_host()));
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
        // Whatever the umask is here.
        Ok(()) => fchmodat(nix::fcntl::AT_FDCWD, &*path, mode, FchmodatFlags::NoFollowSymlink)
            .or_else(|cause| if cause == Errno::ENOTSUP { Ok(()) } else { Err(cause) })
            .map_err(failed),
        Err(Errno::EEXIST) => Ok(()),
        Err(cause) => Err(failed(cause)),
    }
}
