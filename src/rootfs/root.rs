//! The root of a container, reached through one handle. Paths in it belong to an attacker: the kernel keeps every one of them
//! inside (`openat2` with `RESOLVE_IN_ROOT`), links of procfs are not followed, and what is written gets its name last, by one
//! rename, in a folder that is held open.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, open, openat, openat2, renameat};
use nix::sys::stat::{Mode, SFlag, fchmod, fstat, mkdirat, stat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, unlinkat};

use crate::error::{Error, Result};

/// The root of a container.
#[derive(Debug)]
pub(super) struct ContainerRoot {
    path: PathBuf,
    handle: OwnedFd,
    /// Whose the root is; what is made in it is theirs too, which under a user namespace is the container's root.
    uid: Uid,
    gid: Gid,
}

impl ContainerRoot {
    /// Opens the root at `path`. The machine's own root is none.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let failed = |cause: Errno| Error::io("open the container's root", path, cause.into());
        let handle =
            open(path, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()).map_err(failed)?;
        let (own, machine) = (fstat(&handle).map_err(failed)?, stat("/").map_err(failed)?);
        if (own.st_dev, own.st_ino) == (machine.st_dev, machine.st_ino) {
            return Err(failed(Errno::EXDEV));
        }
        Ok(ContainerRoot { path: path.to_owned(), handle, uid: own.st_uid.into(), gid: own.st_gid.into() })
    }

    /// Whether something is at `path`, links followed inside.
    pub(super) fn has(&self, path: &Path) -> bool {
        self.open_in(path, OFlag::O_PATH).is_ok()
    }

    /// The bytes of the plain file at `path`, at most so many.
    pub(super) fn read(&self, path: &Path, most: u64) -> Result<Option<Vec<u8>>> {
        let failed = |cause: Errno| self.failed("read", path, cause);
        // A fifo would be waited for.
        let file = match self.open_in(path, OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY) {
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(None),
            file => file.map_err(failed)?,
        };
        let stat = fstat(&file).map_err(failed)?;
        if SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) != SFlag::S_IFREG {
            return Err(failed(Errno::EINVAL));
        }
        let mut bytes = Vec::new();
        let read = File::from(file).take(most + 1).read_to_end(&mut bytes);
        read.map_err(|cause| Error::io("read", &self.shown(path), cause))?;
        match u64::try_from(bytes.len()).is_ok_and(|length| length <= most) {
            true => Ok(Some(bytes)),
            false => Err(failed(Errno::EFBIG)),
        }
    }

    /// Puts a file with these bytes at `path`, readable by all, in place of what was there. Folders are made as need be.
    pub(super) fn put(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let failed = |cause: Errno| self.failed("write", path, cause);
        self.replace(path, |folder, name| {
            let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let file = openat(folder, name, flags, Mode::from_bits_truncate(0o600))?;
            nix::unistd::fchown(&file, Some(self.uid), Some(self.gid))?;
            fchmod(&file, Mode::from_bits_truncate(0o644))?;
            let written = File::from(file).write_all(bytes);
            written.map_err(|cause| cause.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
        })
        .map_err(failed)
    }

    /// Has `make` make something under a name of our own beside `path`, and gives it the name by one rename.
    fn replace(&self, path: &Path, make: impl Fn(&OwnedFd, &str) -> nix::Result<()>) -> nix::Result<()> {
        let (parent, name) = split(path).ok_or(Errno::EINVAL)?;
        let folder = self.folder(parent)?;
        let new = format!(".gpu-runc-{}", std::process::id());
        // What a process of the same number left behind when it was killed.
        let _ = unlinkat(&folder, new.as_str(), UnlinkatFlags::NoRemoveDir);
        let result = make(&folder, &new).and_then(|()| renameat(&folder, new.as_str(), &folder, name));
        if result.is_err() {
            // The first error is the one to tell.
            let _ = unlinkat(&folder, new.as_str(), UnlinkatFlags::NoRemoveDir);
        }
        result
    }

    /// The folder at `path`, made as need be. Links that are there are followed inside.
    fn folder(&self, path: &Path) -> nix::Result<OwnedFd> {
        let opened = self.open_in(path, OFlag::O_PATH | OFlag::O_DIRECTORY);
        let (Err(Errno::ENOENT), Some((parent, name))) = (&opened, split(path)) else { return opened };
        let parent = self.folder(parent)?;
        match mkdirat(&parent, name, Mode::from_bits_truncate(0o755)) {
            Ok(()) => fchownat(&parent, name, Some(self.uid), Some(self.gid), AtFlags::AT_SYMLINK_NOFOLLOW)?,
            Err(Errno::EEXIST) => {}
            Err(cause) => return Err(cause),
        }
        self.open_in(path, OFlag::O_PATH | OFlag::O_DIRECTORY)
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

    fn failed(&self, doing: &str, path: &Path, cause: Errno) -> Error {
        Error::io(doing, &self.shown(path), cause.into())
    }

    fn shown(&self, path: &Path) -> PathBuf {
        self.path.join(path.strip_prefix("/").unwrap_or(path))
    }
}

/// The folder of `path` and the last part, which must be a plain name.
fn split(path: &Path) -> Option<(&Path, &str)> {
    match path.components().next_back()? {
        Component::Normal(name) => Some((path.parent()?, name.to_str()?)),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "makes the roots that are attacked")]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    fn attacked() -> (tempfile::TempDir, ContainerRoot) {
        let scratch = tempfile::tempdir().unwrap();
        fs::create_dir_all(scratch.path().join("root/etc")).unwrap();
        fs::create_dir(scratch.path().join("outside")).unwrap();
        fs::write(scratch.path().join("outside/secret"), "s").unwrap();
        let root = ContainerRoot::open(&scratch.path().join("root")).unwrap();
        (scratch, root)
    }

    #[test]
    fn files_are_put_in_place_with_their_folders() {
        let (scratch, root) = attacked();
        let at = |path: &str| scratch.path().join("root").join(path);
        root.put(Path::new("/a/b/c.conf"), b"1").unwrap();
        root.put(Path::new("/a/b/c.conf"), b"2").unwrap();
        assert_eq!(fs::read(at("a/b/c.conf")).unwrap(), b"2");
        assert_eq!(fs::metadata(at("a/b/c.conf")).unwrap().mode() & 0o777, 0o644);
        assert_eq!(root.read(Path::new("/a/b/c.conf"), 1).unwrap().unwrap(), b"2");
        assert_eq!(fs::read_dir(at("a/b")).unwrap().count(), 1, "nothing is left over");
        assert!(root.put(Path::new("/a/b"), b"").is_err() && at("a/b/c.conf").exists(), "a folder is no file's place");
        assert_eq!(root.read(Path::new("/absent"), 1).unwrap(), None);
        assert!(root.read(Path::new("/a"), 1).is_err() && root.read(Path::new("/a/b/c.conf"), 0).is_err());
    }

    #[test]
    fn no_link_and_no_path_leads_outside() {
        let (scratch, root) = attacked();
        let (inside, outside) = (scratch.path().join("root"), scratch.path().join("outside"));
        symlink(&outside, inside.join("absolute")).unwrap();
        symlink("../../outside", inside.join("relative")).unwrap();
        symlink("/proc/self/root", inside.join("magic")).unwrap();
        symlink("loop", inside.join("loop")).unwrap();
        symlink(outside.join("secret"), inside.join("etc/ld.so.cache")).unwrap();
        for folder in ["absolute", "relative", "magic", "../outside", "etc/../../outside", "loop"] {
            let path = Path::new("/").join(folder).join("made");
            let _ = root.put(&path, b"x");
            let _ = root
                .read(&Path::new("/").join(folder).join("secret"), 9)
                .map(|seen| assert_eq!(seen, None, "{folder}"));
        }
        assert_eq!(root.read(Path::new("/etc/ld.so.cache"), 9).unwrap(), None, "its target is not inside");
        root.put(Path::new("/etc/ld.so.cache"), b"new").unwrap();
        assert_eq!(fs::read(outside.join("secret")).unwrap(), b"s", "the link was replaced, not followed");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
        assert!(ContainerRoot::open(Path::new("/")).is_err(), "the machine itself is no container's root");
    }

    #[test]
    fn a_folder_that_becomes_a_link_meanwhile_leads_nowhere() {
        let (scratch, root) = attacked();
        let (inside, outside) = (scratch.path().join("root"), scratch.path().join("outside"));
        fs::create_dir(inside.join("real")).unwrap();
        symlink(&outside, inside.join("link")).unwrap();
        fs::create_dir(inside.join("swapped")).unwrap();
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    for other in ["link", "real"] {
                        let _ = fs::rename(inside.join("swapped"), inside.join("aside"));
                        let _ = fs::rename(inside.join(other), inside.join("swapped"));
                        let _ = fs::rename(inside.join("swapped"), inside.join(other));
                        let _ = fs::rename(inside.join("aside"), inside.join("swapped"));
                    }
                }
            });
            for _ in 0..10_000 {
                let _ = root.put(Path::new("/swapped/deep/made"), b"x");
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        let left: Vec<_> = fs::read_dir(&outside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["secret"]);
    }
}
