//! Names in which `*` is any text, and the files that they stand for.

use std::path::{Path, PathBuf};

use super::Host;
use crate::error::Result;

/// A name in which `*` is any text.
#[derive(Debug)]
pub struct Pattern(Vec<String>);

impl Pattern {
    /// The pattern that this text is.
    pub fn new(pattern: &str) -> Self {
        Pattern(pattern.split('*').map(str::to_owned).collect())
    }

    /// Whether `name` is what this stands for.
    pub fn matches(&self, name: &str) -> bool {
        let (Some((first, rest)), Some(last)) = (self.0.split_first(), self.0.last()) else { return false };
        if rest.is_empty() {
            return name == first;
        }
        // Almost every name of a large folder is told apart by its last letter.
        if !last.is_empty() && name.as_bytes().last() != last.as_bytes().last() {
            return false;
        }
        let Some(mut name) = name.strip_prefix(first.as_str()).and_then(|name| name.strip_suffix(last.as_str())) else {
            return false;
        };
        for piece in rest.iter().take(rest.len() - 1) {
            let Some((_, after)) = name.split_once(piece.as_str()) else { return false };
            name = after;
        }
        true
    }
}

impl Host {
    /// The paths that `path` stands for, in whose last part `*` is any text: those that are there. A path without one stands for
    /// itself, there or not.
    pub fn matching(&self, path: &Path) -> Result<Vec<PathBuf>> {
        let name = path.file_name().and_then(|name| name.to_str()).filter(|name| name.contains('*'));
        let (Some(name), Some(folder)) = (name, path.parent()) else { return Ok(vec![path.to_owned()]) };
        let pattern = Pattern::new(name);
        let entries = self.list(folder, |name| pattern.matches(name))?.unwrap_or_default();
        Ok(entries.into_iter().map(|entry| folder.join(entry)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_text() {
        for (pattern, name, expected) in [
            ("lib*.so.550.54.15", "libcuda.so.550.54.15", true),
            ("lib*.so.550.54.15", "libcuda.so.550.54.150", false),
            ("lib*.so.550.54.15", "libcuda.so.1", false),
            ("libe.so.*.*", "libe.so.1.2", true),
            ("libe.so.*.*", "libe.so.1", false),
            ("gsp*.bin", "gsp.bin", true),
            ("gsp*.bin", "gsp_é.bin", true),
            ("a*b*b", "ab", false),
            ("*", "", true),
            ("a", "a", true),
            ("a", "ab", false),
        ] {
            assert_eq!(Pattern::new(pattern).matches(name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_path_with_a_star_is_what_is_there() {
        let root = tempfile::tempdir().unwrap();
        for name in ["card0", "card1", "renderD128"] {
            std::fs::write(root.path().join(name), "").unwrap();
        }
        let host = Host::open(root.path()).unwrap();
        for (path, found) in [("/card*", ["/card0", "/card1"].as_slice()), ("/x*", &[]), ("/x", &["/x"]), ("/y/*", &[])]
        {
            let paths: Vec<PathBuf> = found.iter().map(PathBuf::from).collect();
            assert_eq!(host.matching(Path::new(path)).unwrap(), paths, "{path}");
        }
    }
}
