//! Where the parts of an installation are, below one prefix.
//!
//! Names only; looks at nothing.

use std::path::{Path, PathBuf};

use super::Program;

/// What Node Feature Discovery's local source reads. It leaves out names that begin with a dot.
pub(super) const FEATURES: &str = "/etc/kubernetes/node-feature-discovery/features.d/gpu-runc";
/// What keeps two installers apart. In a folder that no reboot keeps, so that nothing of it stays.
pub(super) const LOCK: &str = "/run/gpu-runc-node.lock";
/// The program that engines are told of.
const PROGRAM: &str = "gpu-runc";

/// The folder of builds, and the links to the one in use and to the one before it.
#[derive(Debug, Clone)]
pub struct Layout {
    home: PathBuf,
}

/// One of the two links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    /// The build that engines start.
    Current,
    /// The build that they started before. What began then may still name it.
    Previous,
}

impl Layout {
    /// The one below `prefix`.
    pub fn new(prefix: &Path) -> Self {
        Layout { home: prefix.join("gpu-runc") }
    }

    /// The folder of all of it.
    pub(super) fn home(&self) -> &Path {
        &self.home
    }

    /// The folder of the build `name`.
    pub(super) fn build(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }

    pub(super) fn link(&self, link: Link) -> PathBuf {
        self.home.join(match link {
            Link::Current => "current",
            Link::Previous => "previous",
        })
    }

    /// The path that engines are told of, and that every shim, conmon and checkpoint keeps: it never changes.
    pub fn program(&self) -> PathBuf {
        self.link(Link::Current).join(PROGRAM)
    }

    /// What the engine's files were before a change that is not finished.
    pub(super) fn journal(&self) -> PathBuf {
        self.home.join("unfinished.json")
    }
}

/// Whether `name` is that of a build's folder, and not a link or a stranger's.
pub(super) fn is_build(name: &str) -> bool {
    let hex = |text: &str| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    name.rsplit_once('-').is_some_and(|(version, sum)| version.starts_with(|c: char| c.is_ascii_digit()) && hex(sum))
}

/// The name of a build: its version, and a sum of its bytes. Two builds of one version are two folders, so that none is ever
/// written to while it is in use. The sum (FNV-1a) tells builds apart; it proves nothing.
pub(super) fn build_name(version: &str, programs: &[Program]) -> String {
    let bytes = programs.iter().flat_map(|program| program.name.bytes().chain(program.bytes.iter().copied()));
    let sum = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{version}-{sum:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_bytes_are_another_build() {
        let named = |bytes: &[u8]| build_name("1.2.3", &[Program { name: "gpu-runc", bytes: bytes.to_vec() }]);
        assert_eq!(named(b"a"), named(b"a"));
        assert_ne!(named(b"a"), named(b"b"));
        assert!(is_build(&named(b"a")) && named(b"a").starts_with("1.2.3-"));
    }

    #[test]
    fn what_a_person_keeps_in_the_folder_is_no_build() {
        for name in ["current", "previous", "unfinished.json", "notes", "1.2.3", "old-0123456789abcdef", ".current.new"]
        {
            assert!(!is_build(name), "{name}");
        }
    }
}
