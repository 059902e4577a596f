//! Directories of records and of runtimes' states: opened once, read below, and never further than they promise.
//!
//! A directory of a user is hostile: no link and no mount below it is followed, no pipe is waited for, and sizes are bounded.

use std::ffi::CString;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, RawDir, ResolveFlags, fstat, openat, openat2};
use rustix::io::Errno;

/// The most entries that are read of one directory.
const MOST: usize = 1 << 14;

/// An open directory.
#[derive(Debug)]
pub(super) struct Directory {
    handle: OwnedFd,
    /// Whether others than root and this user write in it.
    is_hostile: bool,
}

impl Directory {
    /// The directory at `path`; `None` if there is none.
    pub(super) fn open(path: &Path) -> io::Result<Option<Self>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(absent(openat(CWD, path, flags, Mode::empty()))?.map(|handle| Directory { handle, is_hostile: false }))
    }

    /// The same directory, as one that others write in.
    pub(super) fn hostile(self) -> Self {
        Directory { is_hostile: true, ..self }
    }

    /// The directory `name` in it.
    pub(super) fn below(&self, name: &str) -> io::Result<Option<Self>> {
        let opened = self.open_in(name, OFlags::RDONLY | OFlags::DIRECTORY);
        Ok(absent(opened)?.map(|handle| Directory { handle, is_hostile: self.is_hostile }))
    }

    /// Names and inodes of the directories in it.
    pub(super) fn directories(&self) -> io::Result<Vec<(String, u64)>> {
        const PIECE: usize = 1 << 14;
        let mut found = Vec::new();
        let mut buffer = Vec::with_capacity(PIECE);
        let mut entries = RawDir::new(&self.handle, buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let is_directory = matches!(entry.file_type(), FileType::Directory | FileType::Unknown);
            if let Ok(name) = entry.file_name().to_str()
                && is_directory
                && !matches!(name, "." | "..")
            {
                if found.len() == MOST {
                    return Err(io::Error::other(format!("it has more than {MOST} entries")));
                }
                found.push((name.to_owned(), entry.ino()));
            }
        }
        Ok(found)
    }

    /// The text of the regular file `name`, if there is one. More than `most` bytes is an error.
    pub(super) fn read(&self, name: &str, most: usize) -> io::Result<Option<String>> {
        let opened = absent(self.open_in(name, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY))?;
        opened.map(|file| text(file, most)).transpose()
    }

    /// Whether it is in memory, where no inode is used again.
    pub(super) fn is_in_memory(&self) -> bool {
        nix::sys::statfs::fstatfs(&self.handle)
            .is_ok_and(|found| found.filesystem_type() == nix::sys::statfs::TMPFS_MAGIC)
    }

    fn open_in(&self, name: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let name = CString::new(name).map_err(|_| Errno::NOENT)?;
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        if !self.is_hostile {
            return openat(&self.handle, &name, flags, Mode::empty());
        }
        let guarded = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        openat2(&self.handle, &name, flags, Mode::empty(), guarded)
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

/// The text of an open regular file, of at most `most` bytes.
fn text(file: OwnedFd, most: usize) -> io::Result<String> {
    let found = fstat(&file)?;
    if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
        return Err(io::Error::other("not a regular file"));
    }
    let size = usize::try_from(found.st_size).unwrap_or(usize::MAX);
    if size > most {
        return Err(io::Error::other(format!("it is larger than {} KiB", most / 1024)));
    }
    let mut bytes = Vec::with_capacity(size + 1);
    std::fs::File::from(file).take(most as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > most {
        return Err(io::Error::other(format!("it is larger than {} KiB", most / 1024)));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8 text"))
}

/// Absent is an answer; so is a link where a file or directory of ours would be.
fn absent<T>(opened: rustix::io::Result<T>) -> io::Result<Option<T>> {
    match opened {
        Ok(opened) => Ok(Some(opened)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(cause) => Err(cause.into()),
    }
}
