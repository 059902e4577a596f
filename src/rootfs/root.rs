//! The root of a container, written through one handle. Paths in it belong to an attacker: the kernel keeps every one of them
//! inside (`openat2` with `RESOLVE_IN_ROOT`), links of procfs are not followed, and no path leads through a mount: what is mounted in
//! a root is somebody else's, such as a directory of the host that only root can write.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::fd::OwnedFd;
use std::path::{Component, Path};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, open, openat, renameat};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, SFlag, fchmodat, fstat, mkdirat, stat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, getegid, geteuid, unlinkat};

use super::folder::Folder;
use super::tree::{Tree, kind, link_of};
use crate::error::{Error, Result};

/// The mode of folders.
const FOLDER: Mode = Mode::from_bits_truncate(0o755);

/// The root of a container.
#[derive(Debug)]
pub struct ContainerRoot {
    tree: Tree,
    /// Whose it is what this process makes.
    user: Uid,
    owner: Option<(Uid, Gid)>,
    unfinished: String,
}

impl ContainerRoot {
    /// Opens the root at `path`. The machine's own root is none. `container` is the id of the container whose it is: roots may
    /// be shared.
    pub fn open(path: &Path, container: &str) -> Result<Self> {
        let failed = |cause: Errno| Error::io("open the container's root", path, cause.into());
        let handle =
            open(path, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()).map_err(failed)?;
        let (own, machine) = (fstat(&handle).map_err(failed)?, stat("/").map_err(failed)?);
        if (own.st_dev, own.st_ino) == (machine.st_dev, machine.st_ino) {
            let cause = std::io::Error::other("it is the machine's own root");
            return Err(Error::io("open the container's root", path, cause));
        }
        let owner = (Uid::from_raw(own.st_uid), Gid::from_raw(own.st_gid));
        let user = geteuid();
        let owner = Some(owner).filter(|owner| *owner != (user, getegid()));
        let mut id = DefaultHasher::new();
        container.hash(&mut id);
        let unfinished = format!(".gpu-runc-{:016x}", id.finish());
        Ok(ContainerRoot { tree: Tree::root(path, handle), user, owner, unfinished })
    }

    /// The same, of which readers see what is mounted in it. Writers never do.
    #[must_use]
    pub fn with_mounts(mut self) -> Self {
        self.tree.see_mounts();
        self
    }

    /// The root, to be read.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Whose what is made in it must be, where it would be somebody else's: the root's own owner, which under a user namespace
    /// is the container's root.
    pub(super) fn owner(&self) -> Option<(Uid, Gid)> {
        self.owner
    }

    /// The name of what is not yet whole. The next start of this container finds by it what one that was killed has left.
    pub(super) fn unfinished(&self) -> &str {
        &self.unfinished
    }

    /// Puts a file with these bytes and this mode at `path`, in place of what was there. Folders are made as need be.
    pub(super) fn put(&self, path: &Path, bytes: &[u8], mode: Mode) -> Result<()> {
        let (parent, name) = split(path).ok_or_else(|| self.tree.failed("write", path, Errno::EINVAL))?;
        self.folder(parent)?.put(name, bytes, mode).map_err(|cause| self.tree.failed("write", path, cause))
    }

    /// Gives the plain file, or the folder, at `path` this mode.
    pub(super) fn set_mode(&self, path: &Path, mode: Mode) -> Result<()> {
        let set = || {
            let handle = self.tree.open_to_change(path, OFlag::O_PATH)?;
            match kind(&fstat(&handle)?) {
                // What it was opened for does not allow a change through the handle itself.
                SFlag::S_IFREG | SFlag::S_IFDIR => {
                    fchmodat(AT_FDCWD, link_of(&handle).as_str(), mode, FchmodatFlags::FollowSymlink)
                }
                _ => Err(Errno::EINVAL),
            }
        };
        set().map_err(|cause| self.tree.failed("set the mode of", path, cause))
    }

    /// The folder at `path`, made as need be. Links that are there are followed inside.
    pub(super) fn folder(&self, path: &Path) -> Result<Folder<'_>> {
        let handle = self.made(path).map_err(|cause| self.tree.failed("open", path, cause))?;
        Ok(Folder::new(self, handle))
    }

    fn made(&self, path: &Path) -> nix::Result<OwnedFd> {
        let opened = self.tree.open_to_change(path, OFlag::O_PATH | OFlag::O_DIRECTORY);
        let (Err(Errno::ENOENT), Some((parent, name))) = (&opened, split(path)) else { return opened };
        let parent = self.made(parent)?;
        match self.make_folder(&parent, name) {
            // A folder with something in it does not give way to another.
            Err(Errno::EEXIST | Errno::ENOTEMPTY) => self.tree.open_to_change(path, OFlag::O_PATH | OFlag::O_DIRECTORY),
            made => made,
        }
    }

    /// A new folder has its owner before it has its name.
    fn make_folder(&self, parent: &OwnedFd, name: &str) -> nix::Result<OwnedFd> {
        if self.owner.is_none() {
            mkdirat(parent, name, FOLDER)?;
            let (made, stat) = held(parent, name)?;
            return open_to_all(&made, &stat).map(|()| made);
        }
        let new = format!("{}.d", self.unfinished);
        let remove = || unlinkat(parent, new.as_str(), UnlinkatFlags::RemoveDir);
        // What a call for this container left behind that was killed.
        let _ = remove();
        let made = mkdirat(parent, new.as_str(), FOLDER).and_then(|()| {
            let (made, stat) = held(parent, &new)?;
            self.give(&made, &stat, SFlag::S_IFDIR)?;
            open_to_all(&made, &stat)?;
            renameat(parent, new.as_str(), parent, name).map(|()| made)
        });
        if made.is_err() {
            // The first error is the one to tell.
            let _ = remove();
        }
        made
    }

    /// Gives what is held to the root's owner. A container that shares the root can put something else in the place of what was
    /// just made: that is not given away.
    pub(super) fn give(&self, made: &OwnedFd, stat: &FileStat, wanted: SFlag) -> nix::Result<()> {
        let Some((uid, gid)) = self.owner else { return Ok(()) };
        if (stat.st_uid, stat.st_gid) == (uid.as_raw(), gid.as_raw()) {
            return Ok(());
        }
        let is_alone = stat.st_nlink == 1 || wanted == SFlag::S_IFDIR;
        if kind(stat) != wanted || stat.st_uid != self.user.as_raw() || !is_alone {
            return Err(Errno::EBUSY);
        }
        fchownat(made, "", Some(uid), Some(gid), AtFlags::AT_EMPTY_PATH)
    }
}

/// A handle for what is called `name` in `folder`, a link not followed, and what it is.
pub(super) fn held(folder: &OwnedFd, name: &str) -> nix::Result<(OwnedFd, FileStat)> {
    let handle = openat(folder, name, OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())?;
    let stat = fstat(&handle)?;
    Ok((handle, stat))
}

/// Lets everybody into a folder that was made under a stricter umask: programs of every user look for libraries.
fn open_to_all(made: &OwnedFd, stat: &FileStat) -> nix::Result<()> {
    let mode = Mode::from_bits_truncate(stat.st_mode);
    if kind(stat) != SFlag::S_IFDIR {
        return Err(Errno::ENOTDIR);
    }
    match mode.contains(FOLDER) {
        true => Ok(()),
        false => fchmodat(AT_FDCWD, link_of(made).as_str(), mode | FOLDER, FchmodatFlags::FollowSymlink),
    }
}

/// The folder of `path` and the last part, which must be a plain name.
pub(super) fn split(path: &Path) -> Option<(&Path, &str)> {
    match path.components().next_back()? {
        Component::Normal(name) => Some((path.parent()?, name.to_str()?)),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "makes the roots that are attacked")]
mod tests;
