//! What the machine is: a rooted, read-only view of it that answers absent, present or unreadable.
//!
//! Knows no vendor and decides nothing. The root is `/` in production and another folder where the driver lives elsewhere, or
//! in tests.

#![allow(clippy::disallowed_methods, reason = "reads the machine for everybody else")]

pub mod node;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::stat::{FileStat, lstat};

use crate::error::{Error, Result};

/// The machine, seen from a root.
#[derive(Debug, Clone)]
pub struct Host {
    root: PathBuf,
}

impl Host {
    /// The machine whose `/` is the folder `root`.
    pub fn new(root: &Path) -> Self {
        Host { root: root.to_owned() }
    }

    /// What is at `path` (absolute, as the machine itself would name it), links not followed. `None` if nothing is.
    pub fn lstat(&self, path: &Path) -> io::Result<Option<FileStat>> {
        match lstat(&self.below_root(path)) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
            Err(cause) => Err(cause.into()),
        }
    }

    /// Whether this process is in the user namespace that the kernel started with: all ids map to themselves.
    pub fn is_initial_user_namespace() -> Result<bool> {
        let path = Path::new("/proc/self/uid_map");
        let map = fs::read_to_string(path).map_err(|cause| Error::io("read", path, cause))?;
        Ok(map.split_whitespace().eq(["0", "0", "4294967295"]))
    }

    fn below_root(&self, path: &Path) -> PathBuf {
        if self.root == Path::new("/") {
            path.to_owned()
        } else {
            self.root.join(path.strip_prefix("/").unwrap_or(path))
        }
    }
}
