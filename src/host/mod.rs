//! What the machine is: a rooted, read-only view of it that answers absent (`Ok(None)`), present (`Ok(Some)`) or unreadable.
//!
//! Knows no vendor and decides nothing. The root is `/` in production and another folder where the driver lives elsewhere, or
//! in tests; no link below it leads out of it. Paths are absolute, as the machine itself names things.

#![allow(clippy::disallowed_methods, reason = "reads the machine for everybody else")]

pub mod drm;
pub mod folder;
pub mod libraries;
pub mod local;
pub mod node;
pub mod numbers;
pub mod pattern;
pub mod pci;
pub mod shelter;
pub mod source;

use std::borrow::Cow;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, lstat, stat};

use crate::error::{Error, Result};

use folder::Names;

/// The most that is read of one file. What the kernel and `ldconfig` write is far below it.
const LARGEST: usize = 8 << 20;

/// The machine, or a part of it with files of its own such as a driver container's, seen from a root.
#[derive(Debug)]
pub struct Host {
    /// Where this process finds the root.
    root: PathBuf,
    /// What the machine calls the root: `/`, but for a part of it.
    name: PathBuf,
    /// What links are kept below; `None` where the root is `/`, out of which nothing leads.
    handle: Option<OwnedFd>,
}

/// What a path leads to, links followed.
#[derive(Debug)]
pub struct Found {
    /// Its path below the root, without links to elsewhere in it.
    pub path: PathBuf,
    /// Type, owner, numbers.
    pub stat: FileStat,
}

impl Host {
    /// The machine whose `/` is the folder `root`, which must be there.
    pub fn open(root: &Path) -> Result<Self> {
        let name = PathBuf::from("/");
        if root == name {
            return Ok(Host { root: root.to_owned(), name, handle: None });
        }
        let failed = |cause: Errno| Error::io("open the host's root", root, cause.into());
        let handle = nix::fcntl::open(root, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty());
        let handle = handle.map_err(failed)?;
        Ok(Host { root: real_path(&handle).map_err(failed)?, name, handle: Some(handle) })
    }

    /// The part of the machine that has its own root at `folder`.
    pub fn below(&self, folder: &Path) -> Result<Option<Self>> {
        if folder == Path::new("/") {
            let handle = self.handle.as_ref().map(OwnedFd::try_clone).transpose();
            let handle = handle.map_err(|cause| Error::io("open", folder, cause))?;
            return Ok(Some(Host { root: self.root.clone(), name: self.name.clone(), handle }));
        }
        let opened = answer(self.open_at(folder, OFlag::O_PATH | OFlag::O_DIRECTORY));
        let opened = opened.and_then(|handle| handle.map(|handle| Ok((real_path(&handle)?, handle))).transpose());
        let Some((root, handle)) = opened.map_err(|cause| self.failed("open", folder, cause))? else { return Ok(None) };
        let inside = root.strip_prefix(&self.root).unwrap_or(&root);
        let name = self.name.join(inside);
        Ok(Some(Host { root, name, handle: Some(handle) }))
    }

    /// Where this process finds `path`.
    pub fn real<'p>(&self, path: &'p Path) -> Cow<'p, Path> {
        rebased(path, &self.root)
    }

    /// What the machine calls `path` of this part of it.
    pub fn named(&self, path: &Path) -> PathBuf {
        rebased(path, &self.name).into_owned()
    }

    /// What is at `path`, a link at its end not followed.
    pub fn lstat(&self, path: &Path) -> io::Result<Option<FileStat>> {
        let stat = match &self.handle {
            None => lstat(path),
            Some(_) => self.open_at(path, OFlag::O_PATH | OFlag::O_NOFOLLOW).and_then(fstat),
        };
        Ok(answer(stat)?)
    }

    /// What `path` leads to.
    pub fn find(&self, path: &Path) -> Result<Option<Found>> {
        let found = match &self.handle {
            None => stat(path).map(|stat| Found { path: path.to_owned(), stat }),
            Some(_) => self.open_at(path, OFlag::O_PATH).and_then(|file| {
                let real = real_path(&file)?;
                let inside = real.strip_prefix(&self.root).map_err(|_| Errno::EXDEV)?;
                Ok(Found { path: Path::new("/").join(inside), stat: fstat(&file)? })
            }),
        };
        answer(found).map_err(|cause| self.failed("look at", path, cause))
    }

    /// The text of the file at `path`; bytes that are no UTF-8 are replaced.
    pub fn read(&self, path: &Path) -> Result<Option<String>> {
        Ok(self.read_bytes(path)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// The bytes of the file at `path`. More than `LARGEST` is an error.
    pub fn read_bytes(&self, path: &Path) -> Result<Option<Vec<u8>>> {
        // A fifo would be waited for, and a terminal taken.
        let file = answer(self.open_at(path, OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY));
        let bytes = file.and_then(|file| file.map(|file| read_all(&file)).transpose());
        bytes.map_err(|cause| self.failed("read", path, cause))
    }

    /// The file at `path`, to be read in pieces.
    pub fn pieces(&self, path: &Path) -> Result<Option<Pieces>> {
        let file = answer(self.open_at(path, OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY));
        Ok(file.map_err(|cause| self.failed("open", path, cause))?.map(Pieces::from))
    }

    /// The names of those entries of the folder at `path` that `keep` wants, in order.
    pub fn list(&self, path: &Path, keep: impl Fn(&str) -> bool) -> Result<Option<Vec<String>>> {
        Ok(self.names(path, |name, _| keep(name))?.map(|names| {
            let mut kept: Vec<String> = names.iter().map(|(name, _)| name.to_owned()).collect();
            kept.sort_unstable();
            kept
        }))
    }

    /// The names of those entries of the folder at `path` that `keep` wants, which is told whether each is a link.
    pub fn names(&self, path: &Path, keep: impl Fn(&str, bool) -> bool) -> Result<Option<Names>> {
        let folder = answer(self.open_at(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY));
        let names = folder.and_then(|folder| folder.map(|folder| Names::read(&folder, usize::MAX, keep)).transpose());
        names.map_err(|cause| self.failed("list", path, cause))
    }

    /// Whether this process is in the user namespace that the kernel started with. That all ids map to themselves does not tell:
    /// systemd's `PrivateUsers=full` has it so too, where making device nodes is refused.
    ///
    /// Without procfs nothing tells: then it counts as the initial one, and no start fails for the question.
    ///
    /// Source: the kernel's include/linux/proc_ns.h, `PROC_USER_INIT_INO`.
    pub fn is_initial_user_namespace() -> Result<bool> {
        const INITIAL: u64 = 0xEFFF_FFFD;
        let path = Path::new("/proc/self/ns/user");
        match stat(path) {
            Ok(found) => Ok(found.st_ino == INITIAL),
            Err(Errno::ENOENT) => Ok(true),
            Err(cause) => Err(Error::io("look at", path, cause.into())),
        }
    }

    /// Whether this process, and so the low-level runtime that it becomes, has the right to make device nodes.
    pub fn can_make_nodes() -> Result<bool> {
        const CAP_MKNOD: u64 = 1 << 27;
        let path = Path::new("/proc/self/status");
        // All of it comes at once: the standard library would ask several times.
        let file = nix::fcntl::open(path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty());
        let status = file.and_then(|file| read_all(&file)).map_err(|cause| Error::io("read", path, cause.into()))?;
        let status = String::from_utf8_lossy(&status);
        let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
        Ok(effective.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).is_some_and(|set| set & CAP_MKNOD != 0))
    }

    /// Whether the kernel lets this process call openat2, which is what keeps links below a root.
    pub fn has_openat2() -> bool {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        openat2(AT_FDCWD, "/", OpenHow::new().flags(flags)).is_ok()
    }

    fn open_at(&self, path: &Path, flags: OFlag) -> nix::Result<OwnedFd> {
        let flags = flags | OFlag::O_CLOEXEC;
        let Some(handle) = &self.handle else {
            // libc's open() needs a second call where it does not trust old kernels with O_CLOEXEC.
            return match openat2(AT_FDCWD, path, OpenHow::new().flags(flags)) {
                Err(Errno::ENOSYS | Errno::EPERM) => nix::fcntl::open(path, flags, Mode::empty()),
                opened => opened,
            };
        };
        let inside = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        let how = OpenHow::new().flags(flags).resolve(inside);
        // The kernel gives up where something else renames files meanwhile.
        const TRIES: usize = 16;
        let mut opened = Err(Errno::EAGAIN);
        for _ in 0..TRIES {
            opened = openat2(handle.as_fd(), path, how);
            if !matches!(opened, Err(Errno::EAGAIN)) {
                break;
            }
        }
        opened
    }

    fn failed(&self, doing: &str, path: &Path, cause: Errno) -> Error {
        Error::io(doing, &self.named(path), cause.into())
    }
}

/// A file that is read in pieces.
#[derive(Debug)]
pub struct Pieces(fs::File);

impl From<OwnedFd> for Pieces {
    fn from(file: OwnedFd) -> Self {
        Pieces(file.into())
    }
}

impl Pieces {
    /// `length` bytes from `offset` on. `None` where the file has not so many.
    pub fn read(&self, offset: u64, length: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.0.read_exact_at(&mut bytes, offset).ok().map(|()| bytes)
    }
}

impl Found {
    /// Whether it is of one of these types.
    pub fn is(&self, kinds: &[SFlag]) -> bool {
        kinds.contains(&SFlag::from_bits_truncate(self.stat.st_mode & SFlag::S_IFMT.bits()))
    }
}

/// `path` below another root than `/`.
fn rebased<'p>(path: &'p Path, root: &Path) -> Cow<'p, Path> {
    if root == Path::new("/") { path.into() } else { root.join(path.strip_prefix("/").unwrap_or(path)).into() }
}

/// Absent is an answer; every other error is none.
fn answer<T>(result: nix::Result<T>) -> nix::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
        Err(cause) => Err(cause),
    }
}

fn real_path(file: &OwnedFd) -> nix::Result<PathBuf> {
    use std::os::fd::AsRawFd;
    nix::fcntl::readlink(format!("/proc/self/fd/{}", file.as_raw_fd()).as_str()).map(PathBuf::from)
}

fn read_all(file: &OwnedFd) -> nix::Result<Vec<u8>> {
    let (mut bytes, mut length) = (vec![0; 4096], 0);
    loop {
        if length == bytes.len() {
            bytes.resize(length * 2, 0);
        }
        match nix::unistd::read(file, bytes.get_mut(length..).unwrap_or_default()) {
            Ok(0) => break,
            Ok(_) if length > LARGEST => return Err(Errno::EFBIG),
            Ok(read) => length += read,
            Err(Errno::EINTR) => {}
            Err(cause) => return Err(cause),
        }
    }
    bytes.truncate(length);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_stay_below_the_root() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().join("root");
        fs::create_dir_all(root.join("usr/lib")).unwrap();
        fs::write(scratch.path().join("secret"), "outside").unwrap();
        fs::write(root.join("usr/lib/a.so.1"), "inside").unwrap();
        symlink("/usr/lib", root.join("lib")).unwrap();
        symlink("../../../../usr/lib/a.so.1", root.join("usr/lib/a.so")).unwrap();
        symlink("../secret", root.join("escape")).unwrap();
        symlink(scratch.path().join("secret"), root.join("absolute")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        let host = Host::open(&root).unwrap();
        for (path, text) in [
            ("/usr/lib/a.so.1", Some("inside")),
            ("/lib/a.so", Some("inside")),
            ("/escape", None),
            ("/absolute", None),
            ("/../secret", None),
            ("/usr/lib/a.so.1/x", None),
            ("/absent/x", None),
        ] {
            assert_eq!(host.read(Path::new(path)).unwrap().as_deref(), text, "{path}");
        }
        assert_eq!(host.find(Path::new("/lib/a.so")).unwrap().unwrap().path, Path::new("/usr/lib/a.so.1"));
        let error = host.read(Path::new("/loop")).unwrap_err().to_string();
        assert!(error.starts_with("cannot read /loop: "), "unreadable is not absent: {error}");
        let error = host.read(Path::new("/usr")).unwrap_err().to_string();
        assert_eq!(error, "cannot read /usr: it is a folder");

        let part = host.below(Path::new("/lib")).unwrap().unwrap();
        assert_eq!(part.named(Path::new("/a.so.1")), Path::new("/usr/lib/a.so.1"));
        assert_eq!(part.real(Path::new("/a.so.1")), root.canonicalize().unwrap().join("usr/lib/a.so.1"));
        assert_eq!(part.read(Path::new("/../../usr/lib/a.so.1")).unwrap(), None);
        assert!(host.below(Path::new("/absent")).unwrap().is_none());
        assert!(Host::open(&root.join("absent")).is_err());
    }

    #[test]
    fn a_folder_is_listed_by_name() {
        let root = tempfile::tempdir().unwrap();
        symlink("b", root.path().join("a")).unwrap();
        fs::write(root.path().join("b"), "").unwrap();
        let host = Host::open(root.path()).unwrap();
        let list = |path: &str, keep: fn(&str) -> bool| host.list(Path::new(path), keep).unwrap();
        assert_eq!(list("/", |_| true), Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(list("/", |name| name == "b"), Some(vec!["b".to_owned()]));
        assert_eq!(list("/absent", |_| true), None);
        let names = host.names(Path::new("/"), |_, _| true).unwrap().unwrap();
        let links: Vec<_> = names.iter().filter(|(_, is_link)| *is_link).collect();
        assert_eq!(links, [("a", true)]);
        for number in 0..3000 {
            fs::write(root.path().join(format!("{number:04}-with-a-name-of-some-length")), "").unwrap();
        }
        assert_eq!(list("/", |_| true).unwrap().len(), 3002, "a folder of several pieces");
    }
}
