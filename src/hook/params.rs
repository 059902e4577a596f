//! A file of the kernel that is shown to a container in other words: it is covered by another that cannot be written.
//!
//! The low-level runtime refuses mounts below `/proc`, and nobody can make one before the container's own `/proc` is there: this
//! is why there is a hook at all. Nothing that is mounted here reaches another mount namespace, and nothing stays of it but the
//! cover.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{Mode, fchmod};

use crate::error::{Error, Result};
use crate::host::Host;
use crate::rootfs::root::ContainerRoot;
use crate::rootfs::tree::link_of;
use crate::vendor::hooks::Params;

/// Covers the container's own file that `params` names. Nothing to do where the machine has none, or where it says so already.
pub(super) fn cover(root: &ContainerRoot, params: &Params) -> Result<()> {
    let path = Path::new(params.path);
    let Some(text) = Host::open(Path::new("/"))?.read(path)? else { return Ok(()) };
    let Some(text) = instead(&text, params) else { return Ok(()) };
    let (Some(file), Some(folder)) = (root.tree().place(path)?, path.parent()) else { return Ok(()) };
    // Below a real procfs nothing leads elsewhere; what is mounted in its place might.
    if root.tree().real_of(&file).as_deref() != Some(path) {
        return Err(Error::io("cover", path, Errno::ELOOP.into()));
    }
    let failed = |cause: Errno| Error::io("cover", path, cause.into());
    alone(root).map_err(failed)?;
    let covered = with_memory(root, folder, |memory| {
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
        let new = openat(memory, "params", flags, Mode::from_bits_truncate(0o444))?;
        fchmod(&new, Mode::from_bits_truncate(0o444))?;
        let new_name = link_of(&new);
        let mut new = File::from(new);
        new.write_all(text.as_bytes()).map_err(|cause| cause.raw_os_error().map_or(Errno::EIO, Errno::from_raw))?;
        mount(Some(new_name.as_str()), link_of(&file).as_str(), NOTHING, MsFlags::MS_BIND, NOTHING)
    });
    covered.map_err(failed)?;
    // Of a bind mount the kernel takes the flags only when it is there: without this second call it could be written.
    let cover = root.tree().place(path)?.ok_or_else(|| failed(Errno::ENOENT))?;
    let read_only = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    let flags = read_only | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(NOTHING, link_of(&cover).as_str(), NOTHING, flags, NOTHING).map_err(failed)
}

const NOTHING: Option<&str> = None;

/// `text` with the line in other words; `None` where it has no such line.
fn instead(text: &str, params: &Params) -> Option<String> {
    let has_line = text.lines().any(|line| line.trim() == params.line);
    let line = |line: &str| if line.trim() == params.line { params.instead.to_owned() } else { line.to_owned() };
    has_line.then(|| text.lines().map(|text| line(text) + "\n").collect())
}

/// Lets nothing that is mounted below the container's `/proc` show up anywhere else.
fn alone(root: &ContainerRoot) -> nix::Result<()> {
    let proc = root.tree().place(Path::new("/proc")).ok().flatten().ok_or(Errno::ENOENT)?;
    mount(NOTHING, link_of(&proc).as_str(), NOTHING, MsFlags::MS_PRIVATE | MsFlags::MS_REC, NOTHING)
}

/// Has `work` work in a new file system in memory, which is over `folder` meanwhile.
fn with_memory(root: &ContainerRoot, folder: &Path, work: impl FnOnce(&OwnedFd) -> nix::Result<()>) -> nix::Result<()> {
    let place = || root.tree().place(folder).ok().flatten().ok_or(Errno::ENOENT);
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("tmpfs"), link_of(&place()?).as_str(), Some("tmpfs"), flags, Some("size=64k,mode=0755"))?;
    // A handle from before is of what lies below.
    let memory = place()?;
    let result = work(&memory);
    let gone = umount2(link_of(&memory).as_str(), MntFlags::MNT_DETACH);
    result.and(gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_is_in_other_words_and_the_rest_stays() {
        let params = Params { path: "/p", line: "Modify: 1", instead: "Modify: 0", devices: "/d" };
        assert_eq!(
            instead("Mode: 438\nModify: 1\nUid: 0\n", &params).as_deref(),
            Some("Mode: 438\nModify: 0\nUid: 0\n")
        );
        for text in ["Mode: 438\nModify: 0\n", "Modify: 10\n", ""] {
            assert_eq!(instead(text, &params), None, "{text}");
        }
    }
}
