//! The root of a container, reached through one handle. Paths in it belong to an attacker: the kernel keeps every one of them
//! inside (`openat2` with `RESOLVE_IN_ROOT`), and links of procfs are not followed.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, OpenHow, ResolveFlag, open, openat, openat2, readlink, renameat};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, SFlag, fchmodat, fstat, mkdirat, stat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, getegid, geteuid, unlinkat};

use super::folder::Folder;
use crate::error::{Error, Result};
use crate::host::Pieces;
use crate::host::folder::Names;

/// The mode of folders.
const FOLDER: Mode = Mode::from_bits_truncate(0o755);

/// The root of a container.
#[derive(Debug)]
pub struct ContainerRoot {
    path: PathBuf,
    handle: OwnedFd,
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
        Ok(ContainerRoot { path: path.to_owned(), handle, user, owner, unfinished })
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

    /// Whether something is at `path`, links followed inside.
    pub(super) fn has(&self, path: &Path) -> bool {
        self.open_in(path, OFlag::O_PATH).is_ok()
    }

    /// The bytes of the plain file at `path`, at most so many.
    pub(super) fn read(&self, path: &Path, most: u64) -> Result<Option<Vec<u8>>> {
        let Some((file, length)) = self.plain_file(path)? else { return Ok(None) };
        let too_large = || self.failed("read", path, Errno::EFBIG);
        let length = usize::try_from(length).ok().filter(|_| length <= most).ok_or_else(too_large)?;
        let mut bytes = Vec::with_capacity(length + 1);
        if let Some(file) = file {
            let read = File::from(file).take(most + 1).read_to_end(&mut bytes);
            read.map_err(|cause| Error::io("read", &self.shown(path), cause))?;
        }
        match u64::try_from(bytes.len()).is_ok_and(|length| length <= most) {
            true => Ok(Some(bytes)),
            false => Err(too_large()),
        }
    }

    /// The plain file at `path`, to be read in pieces. None of an empty one.
    pub(super) fn pieces(&self, path: &Path) -> Result<Option<Pieces>> {
        Ok(self.plain_file(path)?.and_then(|(file, _)| file).map(Pieces::from))
    }

    /// The plain file at `path`, and its length. One that is said to be empty is not opened, as are those of procfs.
    fn plain_file(&self, path: &Path) -> Result<Option<(Option<OwnedFd>, u64)>> {
        let failed = |cause: Errno| self.failed("read", path, cause);
        // Not for reading: what is opened so reaches its driver, whose node may be any that an image's author likes, and one is
        // enough to arm a watchdog.
        let place = match self.open_in(path, OFlag::O_PATH) {
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(None),
            place => place.map_err(failed)?,
        };
        let stat = fstat(&place).map_err(failed)?;
        if kind(&stat) != SFlag::S_IFREG {
            return Err(Error::io("read", &self.shown(path), std::io::Error::other("it is no plain file")));
        }
        let length = u64::try_from(stat.st_size).unwrap_or_default();
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let open = || openat2(AT_FDCWD, link_of(&place).as_str(), OpenHow::new().flags(flags)).map_err(failed);
        let file = (length > 0).then(open).transpose()?;
        Ok(Some((file, length)))
    }

    /// Those names in the folder at `path` that `keep` wants. An error where these are more than `most`.
    pub(super) fn names(&self, path: &Path, most: usize, keep: impl Fn(&str) -> bool) -> Result<Option<Names>> {
        let failed = |cause: Errno| match cause {
            Errno::EFBIG => {
                let cause = std::io::Error::other(format!("it has more than {most} entries of the kind"));
                Error::io("list", &self.shown(path), cause)
            }
            cause => self.failed("list", path, cause),
        };
        match self.open_in(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY) {
            Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
            folder => {
                folder.and_then(|folder| Names::read(&folder, most, |name, _| keep(name))).map(Some).map_err(failed)
            }
        }
    }

    /// Puts a file with these bytes and this mode at `path`, in place of what was there. Folders are made as need be.
    pub(super) fn put(&self, path: &Path, bytes: &[u8], mode: Mode) -> Result<()> {
        let (parent, name) = split(path).ok_or_else(|| self.failed("write", path, Errno::EINVAL))?;
        self.folder(parent)?.put(name, bytes, mode).map_err(|cause| self.failed("write", path, cause))
    }

    /// Gives the plain file, or the folder, at `path` this mode.
    pub(super) fn set_mode(&self, path: &Path, mode: Mode) -> Result<()> {
        let set = || {
            let handle = self.open_in(path, OFlag::O_PATH)?;
            match kind(&fstat(&handle)?) {
                // What it was opened for does not allow a change through the handle itself.
                SFlag::S_IFREG | SFlag::S_IFDIR => {
                    fchmodat(AT_FDCWD, link_of(&handle).as_str(), mode, FchmodatFlags::FollowSymlink)
                }
                _ => Err(Errno::EINVAL),
            }
        };
        set().map_err(|cause| self.failed("set the mode of", path, cause))
    }

    /// The folder at `path`, made as need be. Links that are there are followed inside.
    pub(super) fn folder(&self, path: &Path) -> Result<Folder<'_>> {
        let handle = self.made(path).map_err(|cause| self.failed("open", path, cause))?;
        Ok(Folder::new(self, handle))
    }

    /// A handle for what is at `path`, links followed inside; it can be mounted on, and tells where it is, and no more.
    pub fn place(&self, path: &Path) -> Result<Option<OwnedFd>> {
        match self.open_in(path, OFlag::O_PATH) {
            Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
            handle => handle.map(Some).map_err(|cause| self.failed("look at", path, cause)),
        }
    }

    /// Where the folder at `path` is in the root without any link. `None` for what is not there.
    pub(super) fn real(&self, path: &Path) -> Option<PathBuf> {
        let without_links = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_SYMLINKS);
        match openat2(self.handle.as_fd(), path, without_links) {
            Ok(_) => Some(path.to_owned()),
            Err(Errno::ELOOP) => self.real_of(&self.open_in(path, OFlag::O_PATH).ok()?),
            Err(_) => None,
        }
    }

    /// Where what is open is in the root, without any link.
    pub fn real_of(&self, handle: &OwnedFd) -> Option<PathBuf> {
        let root = readlink(link_of(&self.handle).as_str()).ok()?;
        let real = readlink(link_of(handle).as_str()).ok()?;
        Some(Path::new("/").join(Path::new(&real).strip_prefix(root).ok()?))
    }

    fn made(&self, path: &Path) -> nix::Result<OwnedFd> {
        let opened = self.open_in(path, OFlag::O_PATH | OFlag::O_DIRECTORY);
        let (Err(Errno::ENOENT), Some((parent, name))) = (&opened, split(path)) else { return opened };
        let parent = self.made(parent)?;
        match self.make_folder(&parent, name) {
            // A folder with something in it does not give way to another.
            Err(Errno::EEXIST | Errno::ENOTEMPTY) => self.open_in(path, OFlag::O_PATH | OFlag::O_DIRECTORY),
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

    fn open_in(&self, path: &Path, flags: OFlag) -> nix::Result<OwnedFd> {
        let inside = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(inside);
        // The kernel gives up where something else renames folders meanwhile.
        const TRIES: usize = 32;
        let mut opened = Err(Errno::EAGAIN);
        for _ in 0..TRIES {
            opened = openat2(self.handle.as_fd(), path, how);
            if !matches!(opened, Err(Errno::EAGAIN)) {
                break;
            }
        }
        opened
    }

    /// An error about `path`, named as the machine sees it.
    pub(super) fn failed(&self, doing: &str, path: &Path, cause: Errno) -> Error {
        Error::io(doing, &self.shown(path), cause.into())
    }

    fn shown(&self, path: &Path) -> PathBuf {
        self.path.join(path.strip_prefix("/").unwrap_or(path))
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

/// The name by which the kernel gives out what is open in this process.
pub fn link_of(handle: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", handle.as_raw_fd())
}

fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits())
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
