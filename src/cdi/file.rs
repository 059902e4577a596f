//! Reading spec directories and the files in them, with few system calls and without being held up or deceived.
//!
//! Knows nothing of what the files say.

use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::dir::{Dir, Type};
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fstat};

use crate::error::reason;
use crate::trust::Reader;

/// The largest file that is read, in bytes. The largest that are known have a few hundred KiB.
const LARGEST: usize = 8 << 20;
/// `O_NONBLOCK` because opening a FIFO would otherwise wait for its writer.
const READ: OFlag = OFlag::O_RDONLY.union(OFlag::O_CLOEXEC).union(OFlag::O_NONBLOCK).union(OFlag::O_NOCTTY);

/// A spec directory that is open and believed.
pub(super) struct SpecDir<'a> {
    path: &'a Path,
    dir: Dir,
    reader: Reader,
}

/// A directory entry that is called as spec files are.
pub(super) struct Entry {
    name: CString,
    is_link: bool,
}

impl<'a> SpecDir<'a> {
    /// Opens the directory. `None` if it is absent; the error says why it is not used.
    pub(super) fn open(path: &'a Path, reader: Reader) -> Result<Option<Self>, String> {
        let dir = match Dir::open(path, READ | OFlag::O_DIRECTORY, Mode::empty()) {
            Ok(dir) => dir,
            Err(nix::Error::ENOENT) => return Ok(None),
            Err(cause) => return Err(format!("cannot open the spec directory: {}", words(cause))),
        };
        let stat = fstat(&dir).map_err(|cause| format!("cannot look at the spec directory: {}", words(cause)))?;
        match reader.distrusts(path, &stat) {
            None => Ok(Some(SpecDir { path, dir, reader })),
            Some(fault) => Err(format!("the spec directory is not used: {fault}")),
        }
    }

    /// Its spec files in the order of their names: what ends in `.json` or `.yaml` and is no directory.
    pub(super) fn entries(&mut self) -> Result<Vec<Entry>, String> {
        let mut entries = Vec::new();
        for entry in self.dir.iter() {
            let entry = entry.map_err(|cause| format!("cannot list the spec directory: {}", words(cause)))?;
            if is_spec_name(entry.file_name()) && entry.file_type() != Some(Type::Directory) {
                let is_link = entry.file_type() == Some(Type::Symlink);
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

    /// Reads an entry's text into `buffer`. `None` if it turns out to be a directory; the error says why it is not used.
    pub(super) fn read<'b>(&self, entry: &Entry, buffer: &'b mut Vec<u8>) -> Result<Option<&'b str>, String> {
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
        if let Some(fault) = self.reader.distrusts(&self.path_of(entry), &stat) {
            return Err(fault);
        }
        let size = usize::try_from(stat.st_size).ok().filter(|size| *size <= LARGEST);
        let size = size.ok_or_else(|| format!("it has {} bytes, expected at most {LARGEST}", stat.st_size))?;
        buffer.clear();
        buffer.resize(size, 0);
        File::from(file).read_exact(buffer).map_err(|cause| format!("cannot read it: {}", reason(&cause)))?;
        let text = std::str::from_utf8(buffer);
        text.map(Some).map_err(|cause| format!("it is not UTF-8 after byte {}", cause.valid_up_to()))
    }
}

fn is_spec_name(name: &CStr) -> bool {
    [".json", ".yaml"].iter().any(|suffix| name.to_bytes().ends_with(suffix.as_bytes()))
}

fn words(cause: nix::Error) -> String {
    reason(&cause.into())
}
