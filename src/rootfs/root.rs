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
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, OpenOptionsExt, symlink};

    use super::super::folder::Over;
    use super::*;

    const FOR_ALL: Mode = Mode::from_bits_truncate(0o644);

    fn attacked() -> (tempfile::TempDir, ContainerRoot) {
        let scratch = tempfile::tempdir().unwrap();
        fs::create_dir_all(scratch.path().join("root/etc")).unwrap();
        fs::create_dir(scratch.path().join("outside")).unwrap();
        fs::write(scratch.path().join("outside/secret"), "s").unwrap();
        let root = ContainerRoot::open(&scratch.path().join("root"), "c").unwrap();
        (scratch, root)
    }

    #[test]
    fn files_are_put_in_place_with_their_folders() {
        let (scratch, root) = attacked();
        let at = |path: &str| scratch.path().join("root").join(path);
        root.put(Path::new("/a/b/c.conf"), b"1", FOR_ALL).unwrap();
        root.put(Path::new("/a/b/c.conf"), b"2", FOR_ALL).unwrap();
        assert_eq!(fs::read(at("a/b/c.conf")).unwrap(), b"2");
        assert_eq!(fs::metadata(at("a/b/c.conf")).unwrap().mode() & 0o777, 0o644);
        assert_eq!(root.read(Path::new("/a/b/c.conf"), 1).unwrap().unwrap(), b"2");
        assert_eq!(fs::read_dir(at("a/b")).unwrap().count(), 1, "nothing is left over");
        assert!(
            root.put(Path::new("/a/b"), b"", FOR_ALL).is_err() && at("a/b/c.conf").exists(),
            "a folder is no file's place"
        );
        assert_eq!(root.read(Path::new("/absent"), 1).unwrap(), None);
        assert!(root.read(Path::new("/a"), 1).is_err() && root.read(Path::new("/a/b/c.conf"), 0).is_err());
    }

    #[test]
    fn nothing_but_a_plain_file_is_opened_for_reading() {
        let (scratch, root) = attacked();
        let at = |name: &str| scratch.path().join("root").join(name);
        nix::unistd::mkfifo(&at("fifo"), FOR_ALL).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        fs::create_dir(at("folder")).unwrap();
        let mut kinds = vec!["fifo", "socket", "folder"];
        // Numbers that no driver has: an attempt to open one is another error.
        for (name, kind) in [("characters", SFlag::S_IFCHR), ("blocks", SFlag::S_IFBLK)] {
            let made = nix::sys::stat::mknod(&at(name), kind, FOR_ALL, nix::sys::stat::makedev(240, 0xfffff));
            kinds.extend(made.is_ok().then_some(name));
        }
        // Whoever opens the fifo for writing waits for a reader, be it there for a moment only.
        let (waits, is_over) = (std::sync::Barrier::new(2), std::sync::atomic::AtomicBool::new(false));
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                waits.wait();
                let _fifo = fs::OpenOptions::new().write(true).open(at("fifo")).unwrap();
                is_over.load(std::sync::atomic::Ordering::SeqCst)
            });
            waits.wait();
            std::thread::sleep(std::time::Duration::from_millis(200));
            for name in kinds {
                let path = Path::new("/").join(name);
                for error in [root.read(&path, 9).map(drop), root.pieces(&path).map(drop)].map(Result::unwrap_err) {
                    let expected = format!("cannot read {}: it is no plain file", at(name).display());
                    assert_eq!(error.to_string(), expected);
                }
            }
            is_over.store(true, std::sync::atomic::Ordering::SeqCst);
            let _reader = fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(at("fifo")).unwrap();
            assert!(writer.join().unwrap(), "the fifo was opened");
        });
    }

    #[test]
    fn what_is_said_to_be_empty_is_not_opened() {
        let root = ContainerRoot::open(Path::new("/proc"), "c").unwrap();
        // Of procfs is every file: a reader of this one would take the kernel's messages from the system's log.
        assert_eq!(root.read(Path::new("/kmsg"), 9).unwrap(), Some(Vec::new()));
        assert!(root.pieces(Path::new("/kmsg")).unwrap().is_none());
    }

    #[test]
    fn what_is_not_there_is_an_answer_and_what_is_no_file_keeps_its_mode() {
        let (scratch, root) = attacked();
        let fifo = scratch.path().join("root/etc/fifo");
        nix::unistd::mkfifo(&fifo, Mode::from_bits_truncate(0o600)).unwrap();
        for (path, is_place) in [("/absent", false), ("/etc/fifo/below", false), ("/etc/fifo", true), ("/etc", true)] {
            assert_eq!(root.place(Path::new(path)).unwrap().is_some(), is_place, "{path}");
        }
        for (path, count) in [("/absent", None), ("/etc/fifo", None), ("/etc", Some(1))] {
            let names = root.names(Path::new(path), 9, |_| true).unwrap();
            assert_eq!(names.map(|names| names.iter().count()), count, "{path}");
        }
        let error = root.set_mode(Path::new("/etc/fifo"), FOR_ALL).unwrap_err().to_string();
        assert!(error.contains("set the mode of") && error.contains("root/etc/fifo: "), "{error}");
        assert_eq!(fs::metadata(&fifo).unwrap().mode() & 0o777, 0o600);
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
            let _ = root.put(&path, b"x", FOR_ALL);
            let _ = root
                .read(&Path::new("/").join(folder).join("secret"), 9)
                .map(|seen| assert_eq!(seen, None, "{folder}"));
        }
        assert_eq!(root.read(Path::new("/etc/ld.so.cache"), 9).unwrap(), None, "its target is not inside");
        root.put(Path::new("/etc/ld.so.cache"), b"new", FOR_ALL).unwrap();
        assert_eq!(fs::read(outside.join("secret")).unwrap(), b"s", "the link was replaced, not followed");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
        assert!(ContainerRoot::open(Path::new("/"), "c").is_err(), "the machine itself is no container's root");
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
            let mut done = [0; 3];
            for round in 0..10_000 {
                let put = root.put(Path::new("/swapped/deep/made"), b"x", FOR_ALL).is_ok();
                let linked = root.folder(Path::new("/swapped/deep"));
                let link = |folder: Folder<'_>| folder.link("link", &round.to_string(), Over::Files).is_ok();
                let linked = linked.is_ok_and(link);
                let is_set = root.set_mode(Path::new("/swapped/deep/made"), Mode::from_bits_truncate(0o600)).is_ok();
                done.iter_mut().zip([put, linked, is_set]).for_each(|(count, done)| *count += usize::from(done));
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(done.iter().all(|count| *count > 100), "the folder was hardly ever there: {done:?}");
        });
        let left: Vec<_> = fs::read_dir(&outside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["secret"]);
        assert_ne!(fs::metadata(outside.join("secret")).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn what_was_put_in_the_place_of_what_was_made_is_not_given_away() {
        if !geteuid().is_root() {
            return eprintln!("SKIP what is given away: needs root");
        }
        let (scratch, root) = attacked();
        let inside = scratch.path().join("root");
        for path in ["root", "root/etc"] {
            std::os::unix::fs::chown(scratch.path().join(path), Some(4242), Some(4242)).unwrap();
        }
        drop(root);
        let root = ContainerRoot::open(&inside, "c").unwrap();
        // Of root, as what this process makes.
        let victim = inside.join("victim");
        fs::write(&victim, "v").unwrap();
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (new, other) = (inside.join("etc").join(root.unfinished()), inside.join("other"));
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    // Only where something is that can be given away: what is renamed over it is the file itself.
                    if new.is_symlink() {
                        let _ = fs::hard_link(&victim, &other);
                        let _ = fs::rename(&other, &new);
                    }
                }
            });
            let folder = root.folder(Path::new("/etc")).unwrap();
            let made = (0..20_000).filter(|round| folder.link("link", &round.to_string(), Over::Files).is_ok()).count();
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(made > 100, "{made}");
        });
        let (file, link) = (fs::metadata(&victim).unwrap(), fs::symlink_metadata(inside.join("etc/link")).unwrap());
        assert_eq!((file.uid(), file.gid()), (0, 0), "the file was given to the container");
        assert!([0, 4242].contains(&link.uid()));
        root.put(Path::new("/new/deep/file"), b"", FOR_ALL).unwrap();
        for made in ["new", "new/deep", "new/deep/file"] {
            assert_eq!(fs::metadata(inside.join(made)).unwrap().uid(), 4242, "{made}");
        }
    }
}
