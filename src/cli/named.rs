//! Files that a person names, read within bounds.
//!
//! Knows nothing of what they hold.

#![allow(clippy::disallowed_methods, reason = "the files that a person names")]

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::error::{Error, Result};

/// As much as is read of a CDI file while a container starts. An endless file would be read for ever.
const LARGEST: usize = 8 << 20;

/// The text of the file at `path`. An absent one is an error: it was named.
pub(super) fn read(path: &Path) -> Result<String> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST as u64 + 1).read_to_string(&mut text));
    match read.map_err(|cause| Error::io("read", path, cause))? {
        0..=LARGEST => Ok(text),
        _ => Err(Error::io("read", path, io::Error::other("it is larger than 8 MiB"))),
    }
}
