//! Who can put something else where a path leads: what is mounted must be root's.
//!
//! Only looks, and never where a user's file system could keep it waiting: below a directory that all can write, no link is followed
//! and no mount is entered. What becomes of a path that is refused is for others.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2, readlinkat};
use nix::sys::stat::{FileStat, SFlag, fstat};

use super::{Found, Host, answer, real_path};
use crate::error::{Error, Escaped, Result};
use crate::trust::Reader;

/// Directories of the operating system. Whoever can write below one of these owns the machine, so nothing in them is checked.
const SYSTEM: [&str; 11] =
    ["/usr", "/lib", "/lib32", "/lib64", "/libx32", "/bin", "/sbin", "/etc", "/boot", "/proc", "/sys"];
/// Directories of which the same is true, but not of all that is in them: `/run/lock`, `/var/tmp`, `/dev/shm`. `/var/run` is root's link.
const CLOSED: [&str; 4] = ["/run", "/var", "/var/run", "/dev"];
/// How many links are followed on the way to a path; the kernel allows as many.
const MOST_LINKS: usize = 40;

/// What a mount takes from a path.
#[derive(Debug)]
pub enum Sheltered {
    /// There is nothing.
    Absent,
    /// What is there, and only root can replace.
    Found(Found),
    /// Others can replace what is there: why.
    Refused(String),
}

/// Where a path is.
enum Place {
    Absent,
    /// No directory above it can be written by all.
    Closed,
    /// Below a directory that all can write, but root's, real and in the same file system all the way down.
    Kept(Found, OwnedFd),
    Refused(String),
}

impl Host {
    /// What `path` leads to, unless others than root can replace it: below a directory that all can write, such as `/tmp`, everything
    /// on the way must be root's or this user's, a real directory, and closed to others. Errors are paths that cannot be read.
    pub fn find_sheltered(&self, path: &Path) -> Result<Sheltered> {
        Ok(match self.place(path)? {
            Place::Absent => Sheltered::Absent,
            Place::Kept(found, _) => Sheltered::Found(found),
            Place::Refused(why) => Sheltered::Refused(why),
            Place::Closed => self.find(path)?.map_or(Sheltered::Absent, Sheltered::Found),
        })
    }

    /// Why others than root can replace what is at `path`, if so; as [`Host::find_sheltered`], for what is known to be there.
    pub fn refusal(&self, path: &Path) -> Result<Option<String>> {
        Ok(match self.place(path)? {
            Place::Refused(why) => Some(why),
            Place::Absent | Place::Closed | Place::Kept(..) => None,
        })
    }

    /// Whether a process listens at the socket, or reads from the pipe, `name` in `folder`. Does not wait, and says nothing to it.
    pub fn is_served(&self, folder: &Path, name: &str) -> Result<bool> {
        let opened = match self.place(folder)? {
            Place::Absent | Place::Refused(_) => return Ok(false),
            Place::Closed => self.open_at(&folder.join(name), OFlag::O_PATH | OFlag::O_NOFOLLOW),
            Place::Kept(_, handle) => beneath(&handle, Path::new(name)),
        };
        let opened = answer(opened).and_then(|file| file.map(|file| Ok((fstat(&file)?, file))).transpose());
        match opened {
            Ok(None) | Err(Errno::EXDEV) => Ok(false),
            Ok(Some((stat, file))) if Reader::current().owns(&stat) => {
                is_served(&file, &stat).map_err(|cause| Error::io("look at", &self.named(&folder.join(name)), cause))
            }
            Ok(Some(_)) => Ok(false),
            Err(cause) => Err(self.failed("look at", &folder.join(name), cause)),
        }
    }

    fn place(&self, path: &Path) -> Result<Place> {
        let goes_up = path.components().any(|part| part == Component::ParentDir);
        let mut rest = if goes_up { cleaned(path) } else { path.to_owned() };
        for _ in 0..MOST_LINKS {
            match self.step(&rest)? {
                // Where it ends for others depends on links that are not root's.
                Step::To(Place::Kept(..)) if goes_up => {
                    return Ok(Place::Refused(format!("{} goes up from where all can write", Escaped::path(path))));
                }
                Step::To(place) => return Ok(place),
                Step::Link(target) => rest = target,
            }
        }
        Err(self.failed("look at", path, Errno::ELOOP))
    }

    /// Looks at the directories above `path`, the topmost first, as far as the first link or the first that all can write.
    fn step(&self, path: &Path) -> Result<Step> {
        let mut parts = path.components().filter(|part| !matches!(part, Component::RootDir | Component::CurDir));
        let mut folder = PathBuf::from("/");
        while let Some(part) = parts.next() {
            folder.push(part);
            let below: PathBuf = parts.clone().collect();
            if below.as_os_str().is_empty() || SYSTEM.iter().any(|system| folder == Path::new(system)) {
                break;
            }
            if CLOSED.iter().any(|closed| folder == Path::new(closed)) {
                continue;
            }
            let stat =
                self.lstat(&folder).map_err(|cause| crate::error::Error::io("look at", &self.named(&folder), cause))?;
            let Some(stat) = stat else { return Ok(Step::To(Place::Absent)) };
            match kind(&stat) {
                SFlag::S_IFDIR if stat.st_mode & 0o002 == 0 => {}
                SFlag::S_IFDIR => return self.kept(&folder, &stat, &below).map(Step::To),
                SFlag::S_IFLNK => return self.followed(&folder, &below),
                _ => return Ok(Step::To(Place::Absent)),
            }
        }
        Ok(Step::To(Place::Closed))
    }

    /// Where `path` below the link at `link`, which is root's, leads.
    fn followed(&self, link: &Path, path: &Path) -> Result<Step> {
        let read = || {
            let target = readlinkat(self.open_at(link, OFlag::O_PATH | OFlag::O_NOFOLLOW)?, "")?;
            let folder = self.open_at(link.parent().unwrap_or(link), OFlag::O_PATH | OFlag::O_DIRECTORY)?;
            Ok((PathBuf::from(target), real_path(&folder)?))
        };
        let (target, folder) = read().map_err(|cause| self.failed("read the link", link, cause))?;
        let mut parts = target.components().skip_while(|part| !matches!(part, Component::Normal(_)));
        if parts.any(|part| part == Component::ParentDir) {
            return Ok(Step::To(Place::Refused(format!("{} goes down and up", Escaped::path(link)))));
        }
        let folder = Path::new("/").join(folder.strip_prefix(&self.root).unwrap_or(&folder));
        Ok(Step::Link(cleaned(&folder.join(target).join(path))))
    }

    /// What is at `path` below `folder`, which all can write.
    fn kept(&self, folder: &Path, stat: &FileStat, path: &Path) -> Result<Place> {
        let reader = Reader::current();
        if !reader.trusts_sticky(stat) {
            return Ok(Place::Refused(format!("everybody can replace it in {}", Escaped::path(&self.named(folder)))));
        }
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
        let mut handle = self.open_at(folder, flags).map_err(|cause| self.failed("open", folder, cause))?;
        let mut at = folder.to_owned();
        let mut found = None;
        for part in path.components() {
            at.push(part);
            let opened = beneath(&handle, Path::new(part.as_os_str())).and_then(|file| Ok((fstat(&file)?, file)));
            let shown = Escaped::path(&at);
            match opened {
                Ok((stat, file)) => {
                    if let Some(why) = reader.exposes(&stat) {
                        return Ok(Place::Refused(format!("{shown} {why}")));
                    }
                    (handle, found) = (file, Some(stat));
                }
                Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(Place::Absent),
                Err(Errno::EXDEV) => return Ok(Place::Refused(format!("{shown} is a mount, or leads elsewhere"))),
                // Kernels before 5.6, and filters of system calls.
                Err(Errno::ENOSYS | Errno::EPERM) => {
                    return Ok(Place::Refused(format!("{shown} cannot be checked without openat2")));
                }
                // The machine's own faults, which no user can bring about here.
                Err(
                    cause @ (Errno::EIO | Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM | Errno::ENOSPC | Errno::EROFS),
                ) => return Err(self.failed("look at", &at, cause)),
                // Whatever a user can bring about here must not stop a start.
                Err(cause) => return Ok(Place::Refused(format!("{shown} cannot be checked: {}", cause.desc()))),
            }
        }
        Ok(found.map_or(Place::Absent, |stat| Place::Kept(Found { path: at, stat }, handle)))
    }
}

enum Step {
    To(Place),
    Link(PathBuf),
}

fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
}

/// `path` without `..`, as if no directory before one were a link.
fn cleaned(path: &Path) -> PathBuf {
    let mut cleaned = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => cleaned.push(name),
            Component::ParentDir => drop(cleaned.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    cleaned
}

/// Opens the entry `name` of `folder` without reading it. A mount there is refused before its file system is asked anything.
fn beneath(folder: &OwnedFd, name: &Path) -> nix::Result<OwnedFd> {
    let resolve = ResolveFlag::RESOLVE_BENEATH
        | ResolveFlag::RESOLVE_NO_XDEV
        | ResolveFlag::RESOLVE_NO_SYMLINKS
        | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat2(folder.as_fd(), name, OpenHow::new().flags(flags).resolve(resolve))
}

/// Whether the socket or pipe that `file` is a handle of has somebody at its other end.
fn is_served(file: &OwnedFd, stat: &FileStat) -> io::Result<bool> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let answered = match kind(stat) {
        // A socket that listens for connections is of another type than this one: the kernel says so, and the listener hears nothing.
        SFlag::S_IFSOCK => UnixDatagram::unbound().and_then(|socket| socket.connect(path)),
        // A pipe that nobody reads cannot be opened so.
        SFlag::S_IFIFO => {
            let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
            std::fs::OpenOptions::new().write(true).custom_flags(flags).open(path).map(drop)
        }
        _ => return Ok(false),
    };
    match answered {
        Ok(()) => Ok(true),
        Err(cause) => match cause.raw_os_error() {
            Some(libc::EPROTOTYPE) => Ok(true),
            Some(libc::EIO | libc::EMFILE | libc::ENFILE | libc::ENOMEM) => Err(cause),
            _ => Ok(false),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, chown, symlink};
    use std::os::unix::net::UnixListener;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;

    /// A host with `/tmp` as every machine has it, and what `make` makes there.
    fn host(make: impl FnOnce(&Path)) -> (tempfile::TempDir, Host) {
        let scratch = tempfile::tempdir().unwrap();
        for (folder, mode) in [("tmp", 0o1777), ("open", 0o777), ("run/d", 0o755), ("usr/lib", 0o755)] {
            fs::create_dir_all(scratch.path().join(folder)).unwrap();
            fs::set_permissions(scratch.path().join(folder), Permissions::from_mode(mode)).unwrap();
        }
        make(scratch.path());
        let host = Host::open(scratch.path()).unwrap();
        (scratch, host)
    }

    fn folder(path: &Path, mode: u32, user: Option<u32>) {
        fs::create_dir(path).unwrap();
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        chown(path, user, None).unwrap();
    }

    fn told(host: &Host, path: &str) -> String {
        match host.find_sheltered(Path::new(path)).unwrap() {
            Sheltered::Absent => "absent".to_owned(),
            Sheltered::Found(found) => found.path.to_str().unwrap().to_owned(),
            Sheltered::Refused(why) => why,
        }
    }

    #[test]
    fn below_a_directory_that_all_can_write_only_roots_own_is_found() {
        let is_root = nix::unistd::geteuid().is_root();
        let (scratch, host) = host(|root| {
            let tmp = root.join("tmp");
            folder(&tmp.join("own"), 0o755, None);
            folder(&tmp.join("own/inner"), 0o755, None);
            folder(&tmp.join("own/all"), 0o777, None);
            folder(&tmp.join("own/all/inner"), 0o755, None);
            folder(&tmp.join("all"), 0o777, None);
            folder(&tmp.join("sticky"), 0o1777, None);
            folder(&root.join("open/own"), 0o755, None);
            if is_root {
                folder(&tmp.join("user"), 0o755, Some(1000));
                folder(&tmp.join("user/own"), 0o755, None);
            }
            fs::write(tmp.join("file"), "").unwrap();
            fs::write(tmp.join("all-can-write"), "").unwrap();
            fs::set_permissions(tmp.join("all-can-write"), Permissions::from_mode(0o666)).unwrap();
            symlink("/tmp/own", tmp.join("link")).unwrap();
            symlink("/usr", tmp.join("away")).unwrap();
            symlink("../tmp", root.join("run/tmp")).unwrap();
            symlink("tmp", root.join("run/again")).unwrap();
            fs::create_dir_all(root.join("var")).unwrap();
            symlink("../run", root.join("var/run")).unwrap();
            folder(&root.join("run/lock"), 0o1777, None);
            symlink("/tmp/own", root.join("run/lock/link")).unwrap();
            fs::write(root.join("run/d/socket"), "").unwrap();
        });
        for (path, expected) in [
            ("/tmp/own", "/tmp/own"),
            ("/tmp/own/inner", "/tmp/own/inner"),
            ("/tmp/sticky", "/tmp/sticky"),
            ("/tmp/file", "/tmp/file"),
            ("/run/tmp/own", "/tmp/own"),
            ("/run/again/own", "/tmp/own"),
            ("/var/run/again/own", "/tmp/own"),
            ("/var/run/d/socket", "/run/d/socket"),
            ("/var/run/lock/link", "/var/run/lock/link is a link"),
            ("/run/lock/link", "/run/lock/link is a link"),
            ("/run/d/socket", "/run/d/socket"),
            ("/tmp", "/tmp"),
            ("/usr/lib", "/usr/lib"),
            ("/tmp/absent", "absent"),
            ("/tmp/file/x", "absent"),
            ("/absent/x", "absent"),
            ("/tmp/link", "/tmp/link is a link"),
            ("/tmp/link/inner", "/tmp/link is a link"),
            ("/tmp/away/lib", "/tmp/away is a link"),
            ("/run/tmp/link", "/tmp/link is a link"),
            ("/tmp/all", "/tmp/all can be written by others (mode 0777)"),
            ("/tmp/all-can-write", "/tmp/all-can-write can be written by others (mode 0666)"),
            ("/tmp/own/all/inner", "/tmp/own/all can be written by others (mode 0777)"),
            ("/open/own", "everybody can replace it in /open"),
            ("/run/../tmp/own", "/run/../tmp/own goes up from where all can write"),
            ("/usr/../tmp/link", "/tmp/link is a link"),
            ("/usr/lib/../lib", "/usr/lib"),
            ("/usr/./../tmp/user-made", "absent"),
        ] {
            assert_eq!(told(&host, path), expected, "{path}");
        }
        if is_root {
            assert_eq!(told(&host, "/tmp/user"), "/tmp/user belongs to user 1000");
            assert_eq!(told(&host, "/tmp/user/own"), "/tmp/user belongs to user 1000");
            chown(scratch.path().join("tmp"), Some(1000), None).unwrap();
            assert_eq!(told(&host, "/tmp/own"), "everybody can replace it in /tmp", "its owner can, sticky or not");
        }
    }

    #[test]
    fn a_daemon_serves_what_has_somebody_at_its_other_end() {
        let (scratch, host) = host(|root| {
            folder(&root.join("tmp/d"), 0o755, None);
            let at = |name: &str| root.join("tmp/d").join(name);
            drop(UnixListener::bind(at("dead")).unwrap());
            mkfifo(&at("unread"), Mode::from_bits_truncate(0o666)).unwrap();
            mkfifo(&at("read"), Mode::from_bits_truncate(0o666)).unwrap();
            fs::write(at("file"), "").unwrap();
            symlink("socket", at("link")).unwrap();
        });
        let at = |name: &str| scratch.path().join("tmp/d").join(name);
        let listener = UnixListener::bind(at("socket")).unwrap();
        let _datagrams = UnixDatagram::bind(at("datagrams")).unwrap();
        let _reader = fs::OpenOptions::new().read(true).write(true).open(at("read")).unwrap();
        for (name, expected) in [
            ("socket", true),
            ("datagrams", true),
            ("read", true),
            ("unread", false),
            ("dead", false),
            ("file", false),
            ("link", false),
            ("absent", false),
        ] {
            assert_eq!(host.is_served(Path::new("/tmp/d"), name).unwrap(), expected, "{name}");
        }
        listener.set_nonblocking(true).unwrap();
        assert!(listener.accept().is_err(), "the daemon hears nothing of it");
        if nix::unistd::geteuid().is_root() {
            chown(at("socket"), Some(1000), None).unwrap();
            assert!(!host.is_served(Path::new("/tmp/d"), "socket").unwrap());
        }
    }
}
