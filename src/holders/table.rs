//! The table: one file of records, and the lock that makes a decision and its record one step.
//!
//! The file is appended to, and replaced as a whole when much of it is out of date. A reader needs no lock: a line that is half
//! written has no end yet, and a replaced file is whole.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FlockOperation, Mode, OFlags, fchmod, flock, fstat, mkdir, openat, renameat, unlinkat};
use rustix::io::Errno;

use super::directory::Directory;
use crate::error::{Escaped, reason};
use crate::trust::Reader;

/// Ten thousand records take 3 MiB.
const LARGEST: usize = 16 << 20;
const TABLE: &str = "table";
const LOCK: &str = "lock";
const FRESH: &str = "table.new";

/// Where the tables of a machine are.
#[derive(Debug, Clone)]
pub(super) struct Places {
    /// The machine's own, which root writes and everybody reads.
    pub system: PathBuf,
    /// That of this user, where the machine's cannot be written. `None` if the user has no directory for such things.
    pub user: Option<PathBuf>,
}

/// A table that this process has read.
#[derive(Debug)]
pub(super) struct Table {
    path: PathBuf,
    directory: Directory,
    /// Held until it is dropped. `None` where it was not to be had in time.
    lock: Option<OwnedFd>,
    /// What the file held.
    pub text: String,
}

impl Places {
    /// Those of the machine whose `/run` is `run`.
    pub(super) fn new(run: &Path, runtime_dir: Option<&OsStr>) -> Self {
        let below = |place: &Path| place.join("gpu-runc/holders");
        let user = runtime_dir.map(Path::new).filter(|place| place.is_absolute());
        Places { system: below(run), user: user.map(below) }
    }

    /// Opens the table that this process can write, made if need be, and locks it. Waits at most for `patience`.
    pub(super) fn lock(&self, patience: Duration) -> Result<Table, String> {
        let denied = |cause: &io::Error| matches!(cause.raw_os_error(), Some(libc::EACCES | libc::EPERM | libc::EROFS));
        match (Table::lock(&self.system, patience), &self.user) {
            (Err(cause), Some(user)) if denied(&cause) => {
                Table::lock(user, patience).map_err(|cause| told(user, &cause))
            }
            (locked, _) => locked.map_err(|cause| told(&self.system, &cause)),
        }
    }

    /// The texts of all tables that this process can read but the one at `except`, and why others cannot be read.
    pub(super) fn read(&self, except: Option<&Path>, unread: &mut Vec<String>) -> Vec<String> {
        let mut texts = Vec::new();
        for place in [Some(&self.system), self.user.as_ref()].into_iter().flatten() {
            if except == Some(place.as_path()) {
                continue;
            }
            match Directory::open(place).and_then(|found| found.map(|found| contents(&found, place)).transpose()) {
                Ok(found) => texts.extend(found),
                Err(cause) => unread.push(told(place, &cause)),
            }
        }
        texts
    }
}

fn told(place: &Path, cause: &io::Error) -> String {
    format!("{}: {}", Escaped::path(place), reason(cause))
}

/// The text of the table in a directory that nobody else can write.
fn contents(directory: &Directory, path: &Path) -> io::Result<String> {
    let found = fstat(directory)?;
    if let Some(why) = Reader::current().distrusts_owner(path, (found.st_uid, found.st_gid, found.st_mode), directory) {
        return Err(io::Error::other(format!("ignored: {why}")));
    }
    Ok(directory.read(TABLE, LARGEST)?.unwrap_or_default())
}

impl Table {
    fn lock(path: &Path, patience: Duration) -> io::Result<Self> {
        let directory = made(path)?;
        // Nobody else can open it, or they could hold it for ever.
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let lock = openat(&directory, LOCK, flags, Mode::from_raw_mode(0o600))?;
        let is_locked = wait_for(&lock, patience)?;
        let text = contents(&directory, path)?;
        Ok(Table { path: path.to_owned(), directory, lock: is_locked.then_some(lock), text })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether no other process decides meanwhile.
    pub(super) fn is_locked(&self) -> bool {
        self.lock.is_some()
    }

    /// Adds `lines`, each without its end.
    pub(super) fn append(&self, lines: &[String]) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let flags =
            OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = openat(&self.directory, TABLE, flags, Mode::from_raw_mode(0o644))?;
        // A writer that was killed, or a full disk, leaves half a line.
        let start = if self.text.is_empty() || self.text.ends_with('\n') { "" } else { "\n" };
        write(&file, &format!("{start}{}\n", lines.join("\n")))
    }

    /// Puts `lines` in the place of all that it held. Only under the lock.
    pub(super) fn replace(&mut self, lines: &[String]) -> io::Result<()> {
        let mut text = lines.join("\n");
        if !text.is_empty() {
            text.push('\n');
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let written = openat(&self.directory, FRESH, flags, Mode::from_raw_mode(0o644)).map_err(io::Error::from);
        let written = written.and_then(|file| write(&file, &text));
        let renamed = written.and_then(|()| Ok(renameat(&self.directory, FRESH, &self.directory, TABLE)?));
        if renamed.is_err() {
            // What is left of a try must not stay.
            let _ = unlinkat(&self.directory, FRESH, rustix::fs::AtFlags::empty());
        }
        renamed.map(|()| self.text = text)
    }
}

/// The directory at `path`, made with its parent if they are absent.
fn made(path: &Path) -> io::Result<Directory> {
    if let Some(found) = Directory::open(path)? {
        return Ok(found);
    }
    let mode = Mode::from_raw_mode(0o755);
    for place in [path.parent(), Some(path)].into_iter().flatten() {
        match mkdir(place, mode) {
            // As the umask of an engine may not have it.
            Ok(()) => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
                fchmod(openat(CWD, place, flags, Mode::empty())?, mode)?;
            }
            Err(Errno::EXIST) => {}
            Err(cause) => return Err(cause.into()),
        }
    }
    Directory::open(path)?.ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))
}

/// Whether the lock was to be had in time. Its holder takes about a millisecond, or is stopped.
fn wait_for(lock: &OwnedFd, patience: Duration) -> io::Result<bool> {
    let started = Instant::now();
    let mut pause = Duration::from_micros(50);
    loop {
        match flock(lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(true),
            Err(Errno::AGAIN | Errno::INTR) if started.elapsed() < patience => {}
            Err(Errno::AGAIN | Errno::INTR) => return Ok(false),
            Err(cause) => return Err(cause.into()),
        }
        sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(5));
    }
}

fn write(file: &OwnedFd, text: &str) -> io::Result<()> {
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        match rustix::io::write(file, rest) {
            Ok(0) => return Err(io::Error::from_raw_os_error(libc::ENOSPC)),
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(cause) => return Err(cause.into()),
        }
    }
    Ok(())
}
