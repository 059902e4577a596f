//! The names in a folder, read in large pieces: library folders have thousands.
//!
//! Only reads; what a name means is for others.

use std::fmt;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use rustix::fs::{FileType, RawDir};

/// The names in a folder, in the order in which the kernel gives them.
#[derive(Default)]
pub struct Names {
    text: String,
    entries: Vec<(usize, bool)>,
}

impl Names {
    /// Reads those names of `folder`, which is open for reading, that `keep` wants; it is told whether each is a link. An error where
    /// these are more than `most`. Names that are not UTF-8 are left out: nothing that is looked for has one.
    pub fn read(folder: &OwnedFd, most: usize, keep: impl Fn(&str, bool) -> bool) -> nix::Result<Self> {
        const PIECE: usize = 1 << 15;
        let mut names = Names::default();
        let mut buffer = Vec::with_capacity(PIECE);
        let mut entries = RawDir::new(folder, buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(|cause| Errno::from_raw(cause.raw_os_error()))?;
            let is_link = entry.file_type() == FileType::Symlink;
            if let Ok(name) = entry.file_name().to_str()
                && !matches!(name, "." | "..")
                && keep(name, is_link)
            {
                if names.entries.len() == most {
                    return Err(Errno::EFBIG);
                }
                names.push(name, is_link);
            }
        }
        Ok(names)
    }

    /// Adds a name.
    pub(super) fn push(&mut self, name: &str, is_link: bool) {
        self.text.push_str(name);
        self.entries.push((self.text.len(), is_link));
    }

    /// Each name, and whether it is a symbolic link.
    pub fn iter(&self) -> impl Iterator<Item = (&str, bool)> {
        let starts = std::iter::once(0).chain(self.entries.iter().map(|(end, _)| *end));
        let pairs = starts.zip(&self.entries);
        pairs.filter_map(|(start, (end, is_link))| Some((self.text.get(start..*end)?, *is_link)))
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
