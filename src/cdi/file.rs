//! Reading spec directories and the files in them, with few system calls and without being held up or deceived.
//!
//! Knows nothing of what the files say.

use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::{Mode, SFlag, fstat};
use rustix::fs::{FileType, RawDir};

use crate::error::reason;
use crate::trust::Reader;

/// The largest file that is read, in bytes. The largest that are known have a few hundred KiB.
const LARGEST: usize = 8 << 20;
/// What is read of a file at once, in bytes: usual ones are read whole, and of larger ones few pages are touched.
const AT_ONCE: usize = 64 << 10;
/// What is listed of a directory at once, in bytes: some hundred names.
const LISTED_AT_ONCE: usize = 16 << 10;
/// `O_NONBLOCK` because opening a FIFO would otherwise wait for its writer.
const READ: OFlag = OFlag::O_RDONLY.union(OFlag::O_CLOEXEC).union(OFlag::O_NONBLOCK).union(OFlag::O_NOCTTY);

/// A spec directory that is open and believed.
pub(super) struct SpecDir<'a> {
    path: &'a Path,
    dir: OwnedFd,
    reader: Reader,
}

/// A directory entry that is called as spec files are.
pub(super) struct Entry {
    name: CString,
    is_link: bool,
}

/// A spec file that is open and believed.
pub(super) struct SpecFile<'b> {
    file: File,
    /// In bytes, when it was opened.
    size: usize,
    /// What is read at once, in bytes.
    at_once: usize,
    /// What was read last, from byte `from` on.
    buffer: &'b mut Vec<u8>,
    from: usize,
}

/// A piece of a text.
pub(super) struct Piece<'a> {
    pub(super) text: &'a str,
    /// Whether the text ends with it.
    pub(super) is_last: bool,
}

impl<'a> SpecDir<'a> {
    /// Opens the directory. `None` if it is absent; the error says why it is not used.
    pub(super) fn open(path: &'a Path, reader: Reader) -> Result<Option<Self>, String> {
        let dir = match open(path, READ | OFlag::O_DIRECTORY, Mode::empty()) {
            Ok(dir) => dir,
            Err(nix::Error::ENOENT) => return Ok(None),
            Err(cause) => return Err(format!("cannot open the spec directory: {}", words(cause))),
        };
        let stat = fstat(&dir).map_err(|cause| format!("cannot look at the spec directory: {}", words(cause)))?;
        match reader.distrusts(path, &stat, &dir) {
            None => Ok(Some(SpecDir { path, dir, reader })),
            Some(fault) => Err(format!("the spec directory is not used: {fault}")),
        }
    }

    /// Its spec files in the order of their names: what ends in `.json` or `.yaml` and is no directory. Lists them through `buffer`.
    pub(super) fn entries(&self, buffer: &mut Vec<u8>) -> Result<Vec<Entry>, String> {
        buffer.clear();
        buffer.reserve(LISTED_AT_ONCE);
        let mut listing = RawDir::new(&self.dir, buffer.spare_capacity_mut());
        let mut entries = Vec::new();
        while let Some(entry) = listing.next() {
            let entry = entry.map_err(|cause| format!("cannot list the spec directory: {}", reason(&cause.into())))?;
            if is_spec_name(entry.file_name()) && entry.file_type() != FileType::Directory {
                let is_link = entry.file_type() == FileType::Symlink;
                entries.push(Entry { name: entry.file_name().to_owned(), is_link });
            }
        }
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// Where an entry is.
    pub(super) fn path_of(&self, entry: &Entry) -> PathBuf {
        self.path.join(OsStr::from_bytes(entry.name.to_bytes()))
    }

    /// Opens an entry. `None` if it turns out to be a directory; the error says why it is not used.
    pub(super) fn file<'b>(&self, entry: &Entry, buffer: &'b mut Vec<u8>) -> Result<Option<SpecFile<'b>>, String> {
        let file = openat(&self.dir, &*entry.name, READ, Mode::empty()).map_err(|cause| match cause {
            nix::Error::ENOENT if entry.is_link => "it is a link to nothing".to_owned(),
            cause => format!("cannot open it: {}", words(cause)),
        })?;
        let stat = fstat(&file).map_err(|cause| format!("cannot look at it: {}", words(cause)))?;
        match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
            SFlag::S_IFREG => {}
            SFlag::S_IFDIR if !entry.is_link => return Ok(None),
            _ => return Err("it is no regular file".to_owned()),
        }
        if let Some(fault) = self.reader.distrusts(&self.path_of(entry), &stat, &file) {
            return Err(fault);
        }
        let size = usize::try_from(stat.st_size).ok().filter(|size| *size <= LARGEST);
        let size = size.ok_or_else(|| format!("it has {} bytes, expected at most {LARGEST}", stat.st_size))?;
        buffer.clear();
        Ok(Some(SpecFile { file: file.into(), size, at_once: AT_ONCE, buffer, from: 0 }))
    }
}

impl SpecFile<'_> {
    /// One that holds `text`.
    #[cfg(test)]
    pub(super) fn with<'b>(text: &str, at_once: usize, buffer: &'b mut Vec<u8>) -> SpecFile<'b> {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(text.as_bytes(), 0).unwrap();
        buffer.clear();
        SpecFile { file, size: text.len(), at_once, buffer, from: 0 }
    }

    /// The whole text.
    pub(super) fn whole(&mut self) -> Result<&str, String> {
        self.piece(0, self.size).map(|piece| piece.text)
    }

    /// The text from byte `from` on: as much as is read at once, at least `least` bytes, or all there is. What is at hand already is
    /// not read again.
    pub(super) fn piece(&mut self, from: usize, least: usize) -> Result<Piece<'_>, String> {
        let rest = self.size.saturating_sub(from);
        let length = least.max(self.at_once).min(rest);
        if self.from != from || self.buffer.len() < length {
            self.buffer.resize(length, 0);
            let offset = u64::try_from(from).map_err(|cause| cause.to_string())?;
            let read = self.file.read_exact_at(self.buffer, offset);
            read.map_err(|cause| format!("cannot read it: {}", reason(&cause)))?;
            self.from = from;
        }
        let is_last = self.buffer.len() == rest;
        match std::str::from_utf8(self.buffer) {
            Ok(text) => Ok(Piece { text, is_last }),
            // The rest of the last letter is in the next piece.
            Err(cause) if !is_last && cause.error_len().is_none() => {
                let text = self.buffer.get(..cause.valid_up_to()).and_then(|valid| std::str::from_utf8(valid).ok());
                Ok(Piece { text: text.unwrap_or_default(), is_last })
            }
            Err(cause) => Err(format!("it is not UTF-8 after byte {}", from + cause.valid_up_to())),
        }
    }
}

fn is_spec_name(name: &CStr) -> bool {
    [".json", ".yaml"].iter().any(|suffix| name.to_bytes().ends_with(suffix.as_bytes()))
}

fn words(cause: nix::Error) -> String {
    reason(&cause.into())
}
