//! A directory tree that belongs to an attacker, read through one handle: a container's root, or what one of its mounts shows. The
//! kernel keeps every path inside (`openat2`).
//!
//! Only reads, and only plain files; nothing here writes.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2, readlink, readlinkat};
use nix::sys::stat::{FileStat, SFlag, fstat};

use crate::error::{Error, Result};
use crate::host::Pieces;
use crate::host::folder::Names;

/// A directory tree, or a single file, and what may be followed in it.
#[derive(Debug)]
pub struct Tree {
    path: PathBuf,
    handle: OwnedFd,
    /// What keeps readers inside.
    bounds: ResolveFlag,
}

/// No link of procfs, and no mount: what is mounted below belongs to somebody else, and may be a FUSE server's.
const ALONE: ResolveFlag = ResolveFlag::RESOLVE_NO_MAGICLINKS.union(ResolveFlag::RESOLVE_NO_XDEV);

impl Tree {
    /// The root of a container, which this process finds at `path`. Its links are followed inside.
    pub(super) fn root(path: &Path, handle: OwnedFd) -> Self {
        Tree { path: path.to_owned(), handle, bounds: ALONE | ResolveFlag::RESOLVE_IN_ROOT }
    }

    /// What a mount shows whose source is at `path`. No link is followed: where it leads in the container is not to be seen here.
    pub(super) fn volume(path: &Path, handle: OwnedFd) -> Self {
        let bounds = ALONE | ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS;
        Tree { path: path.to_owned(), handle, bounds }
    }

    /// Lets readers see what is mounted in the tree, as a program in the container does.
    pub(super) fn see_mounts(&mut self) {
        self.bounds = self.bounds.difference(ResolveFlag::RESOLVE_NO_XDEV);
    }

    /// Whether something is at `path`.
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

    /// What kind of file is at `path`. `None` where there is nothing, or nothing that can be reached.
    pub(super) fn kind_of(&self, path: &Path) -> Option<SFlag> {
        let handle = self.open_in(path, OFlag::O_PATH).ok()?;
        fstat(&handle).ok().map(|stat| kind(&stat))
    }

    /// A handle for what is at `path`, mounts included; it can be mounted on, and tells where it is, and no more.
    pub fn place(&self, path: &Path) -> Result<Option<OwnedFd>> {
        match opened(&self.handle, path, OFlag::O_PATH, self.bounds.difference(ResolveFlag::RESOLVE_NO_XDEV)) {
            Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
            handle => handle.map(Some).map_err(|cause| self.failed("look at", path, cause)),
        }
    }

    /// Where the folder at `path` is in the tree without any link. `None` for what is not there.
    pub(super) fn real(&self, path: &Path) -> Option<PathBuf> {
        match self.open_without_links(path) {
            Ok(_) => Some(path.to_owned()),
            Err(Errno::ELOOP) => self.real_of(&self.open_in(path, OFlag::O_PATH).ok()?),
            Err(_) => None,
        }
    }

    /// Opens what is at `path` if no link is on the way to it, nor there. `ELOOP` if one is.
    pub(super) fn open_without_links(&self, path: &Path) -> nix::Result<OwnedFd> {
        opened(&self.handle, path, OFlag::O_PATH, self.bounds | ResolveFlag::RESOLVE_NO_SYMLINKS)
    }

    /// The text of the link at `path`, to which no link leads. `None` where something else is there.
    pub(super) fn link(&self, path: &Path) -> nix::Result<Option<String>> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW;
        let handle = opened(&self.handle, path, flags, self.bounds | ResolveFlag::RESOLVE_NO_SYMLINKS)?;
        match readlinkat(&handle, "") {
            Ok(target) => target.into_string().map(Some).map_err(|_| Errno::EILSEQ),
            // What is no link has no text.
            Err(_) => Ok(None),
        }
    }

    /// Where what is open is in the tree, without any link.
    pub fn real_of(&self, handle: &OwnedFd) -> Option<PathBuf> {
        let root = readlink(link_of(&self.handle).as_str()).ok()?;
        let real = readlink(link_of(handle).as_str()).ok()?;
        Some(Path::new("/").join(Path::new(&real).strip_prefix(root).ok()?))
    }

    fn open_in(&self, path: &Path, flags: OFlag) -> nix::Result<OwnedFd> {
        opened(&self.handle, path, flags, self.bounds)
    }

    /// Opens what is at `path` to change it, or something in it: never in what is mounted there. `EXDEV` where a mount is on the way.
    pub(super) fn open_to_change(&self, path: &Path, flags: OFlag) -> nix::Result<OwnedFd> {
        opened(&self.handle, path, flags, self.bounds | ResolveFlag::RESOLVE_NO_XDEV)
    }

    /// An error about `path`, named as the machine sees it.
    pub(super) fn failed(&self, doing: &str, path: &Path, cause: Errno) -> Error {
        let cause = match cause {
            Errno::EXDEV => std::io::Error::new(std::io::ErrorKind::CrossesDevices, IN_A_MOUNT),
            cause => cause.into(),
        };
        Error::io(doing, &self.shown(path), cause)
    }

    fn shown(&self, path: &Path) -> PathBuf {
        self.path.join(path.strip_prefix("/").unwrap_or(path))
    }
}

/// What is said where a mount is on the way.
const IN_A_MOUNT: &str = "it is in a mount, and nothing is written through one";

/// Whether `error` is that a mount was on the way.
pub(super) fn is_in_a_mount(error: &Error) -> bool {
    matches!(error, Error::Io { cause, .. } if cause.kind() == std::io::ErrorKind::CrossesDevices)
}

/// Opens `path` below `folder`, kept inside by `bounds`.
fn opened(folder: &OwnedFd, path: &Path, flags: OFlag, bounds: ResolveFlag) -> nix::Result<OwnedFd> {
    // An absolute path is none below a folder.
    let path = match bounds.contains(ResolveFlag::RESOLVE_BENEATH) {
        true => path.strip_prefix("/").unwrap_or(path),
        false => path,
    };
    let is_whole = path.as_os_str().is_empty();
    let path = if is_whole { Path::new(".") } else { path };
    if is_whole && !flags.contains(OFlag::O_DIRECTORY) {
        // A file that is mounted by itself is the whole tree.
        return folder.try_clone().map_err(|cause| cause.raw_os_error().map_or(Errno::EIO, Errno::from_raw));
    }
    let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(bounds);
    // The kernel gives up where something else renames folders meanwhile.
    const TRIES: usize = 32;
    let mut opened = Err(Errno::EAGAIN);
    for _ in 0..TRIES {
        opened = openat2(folder.as_fd(), path, how);
        if !matches!(opened, Err(Errno::EAGAIN)) {
            break;
        }
    }
    opened
}

/// The name by which the kernel gives out what is open in this process.
pub fn link_of(handle: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", handle.as_raw_fd())
}

pub(super) fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits())
}
