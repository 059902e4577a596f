//! Files that a person names, read within bounds.
//!
//! Knows nothing of what they hold.

#![allow(clippy::disallowed_methods, reason = "the files that a person names")]

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::config::is_open_already;
use crate::error::{Error, Result};

/// As much as is read of a CDI file while a container starts. An endless file would be read for ever.
const LARGEST: usize = 8 << 20;

/// The text of the file at `path`. An absent one is an error: it was named. So is what is not a plain file: a FIFO may never have a
/// writer. What this process has open already can be a pipe: `/dev/stdin`, and a shell's `<(command)`, which is `/dev/fd/63`.
pub(super) fn read(path: &Path) -> Result<String> {
    let mut text = String::new();
    let read = open(path).and_then(|file| file.take(LARGEST as u64 + 1).read_to_string(&mut text));
    match read.map_err(|cause| Error::io("read", path, cause))? {
        0..=LARGEST => Ok(text),
        _ => Err(Error::io("read", path, io::Error::other("it is larger than 8 MiB"))),
    }
}

fn open(path: &Path) -> io::Result<File> {
    if is_open_already(path) {
        return File::open(path);
    }
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is not a plain file")),
    }
}
