//! A folder in a container's root that is held open: what is made in it cannot go elsewhere, and gets its name last, by one
//! rename, where something was there before.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat, renameat};
use nix::sys::stat::{Mode, SFlag, fchmod, fstatat};
use nix::unistd::{UnlinkatFlags, fchown, symlinkat, unlinkat};

use super::root::{ContainerRoot, held};

/// A folder in a container's root.
#[derive(Debug)]
pub(super) struct Folder<'r> {
    root: &'r ContainerRoot,
    handle: OwnedFd,
}

/// What a new link may take the place of, beside another link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// An empty file, as low-level runtimes leave where they have mounted one.
    Nothing,
    /// Any file.
    Files,
}

impl<'r> Folder<'r> {
    pub(super) fn new(root: &'r ContainerRoot, handle: OwnedFd) -> Self {
        Folder { root, handle }
    }

    /// Puts a file with these bytes and this mode in it, in place of what was there.
    pub(super) fn put(&self, name: &str, bytes: &[u8], mode: Mode) -> nix::Result<()> {
        self.replace(name, |new| {
            let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let file = openat(&self.handle, new, flags, Mode::from_bits_truncate(0o600))?;
            if let Some((uid, gid)) = self.root.owner() {
                fchown(&file, Some(uid), Some(gid))?;
            }
            fchmod(&file, mode)?;
            let written = File::from(file).write_all(bytes);
            written.map_err(|cause| cause.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
        })
    }

    /// Makes the link `name` to `target`, whose text is not looked at. `EEXIST` where something is there that is not to be
    /// replaced.
    pub(super) fn link(&self, name: &str, target: &str, over: Over) -> nix::Result<()> {
        match self.new_link(name, target) {
            Err(Errno::EEXIST) => {}
            made => return made,
        }
        match readlinkat(&self.handle, name) {
            // One that was left half done is still to have its owner; one that was there before keeps its own.
            Ok(there) if there == target => {
                return self.own_link(name).or_else(|cause| if cause == Errno::EBUSY { Ok(()) } else { Err(cause) });
            }
            Ok(_) => {}
            Err(_) => {
                let there = fstatat(&self.handle, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
                let is_file = SFlag::from_bits_truncate(there.st_mode & SFlag::S_IFMT.bits()) == SFlag::S_IFREG;
                if !is_file || (there.st_size > 0 && over == Over::Nothing) {
                    return Err(Errno::EEXIST);
                }
            }
        }
        self.replace(name, |new| self.new_link(new, target))
    }

    fn new_link(&self, name: &str, target: &str) -> nix::Result<()> {
        symlinkat(target, &self.handle, name)?;
        self.own_link(name)
    }

    fn own_link(&self, name: &str) -> nix::Result<()> {
        if self.root.owner().is_none() {
            return Ok(());
        }
        let (link, stat) = held(&self.handle, name)?;
        self.root.give(&link, &stat, SFlag::S_IFLNK)
    }

    /// Has `make` make something under a name of our own, and gives it the name by one rename.
    fn replace(&self, name: &str, make: impl Fn(&str) -> nix::Result<()>) -> nix::Result<()> {
        let new = self.root.unfinished();
        // What a call for this container left behind that was killed.
        let _ = unlinkat(&self.handle, new, UnlinkatFlags::NoRemoveDir);
        let result = make(new).and_then(|()| renameat(&self.handle, new, &self.handle, name));
        if result.is_err() {
            // The first error is the one to tell.
            let _ = unlinkat(&self.handle, new, UnlinkatFlags::NoRemoveDir);
        }
        result
    }
}
