//! Versions in what programs print.
//!
//! Pure.

use std::fmt;

/// Numbers with dots between, in the order of their values.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(Vec<u32>);

impl Version {
    /// Whether this is lower than `other`.
    pub(super) fn is_below(&self, other: &[u32]) -> bool {
        self.0.as_slice() < other
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&dotted(&self.0))
    }
}

/// `1.18.0`
pub(super) fn dotted(numbers: &[u32]) -> String {
    numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(".")
}

/// The first word of `text` that begins with two numbers and a dot between them, a `v` before them or not: those and the
/// numbers that follow.
pub(super) fn parse(text: &str) -> Option<Version> {
    text.split_whitespace().find_map(|word| {
        let word = word.trim_start_matches('v');
        let end = word.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(word.len());
        let numbers: Option<Vec<u32>> =
            word.split_at(end).0.trim_end_matches('.').split('.').map(|number| number.parse().ok()).collect();
        numbers.filter(|numbers| numbers.len() > 1).map(Version)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_found_in_what_programs_print() {
        for (text, expected) in [
            ("NVIDIA Container Toolkit CLI version 1.17.8\ncommit: 2d9b3f0c.1\n", Some("1.17.8")),
            ("runc version 1.1.5+ds1\ncommit: 1.1.5+ds1-1+deb12u1\nspec: 1.0.2-dev\n", Some("1.1.5")),
            ("crun version 1.8.1\n", Some("1.8.1")),
            ("Docker version 20.10.24+dfsg1, build 297e128\n", Some("20.10.24")),
            ("containerd github.com/containerd/containerd/v2 v2.1.4 abc\n", Some("2.1.4")),
            ("podman version 4.3.1\n", Some("4.3.1")),
            ("version: 1.18.0-rc.1\n", Some("1.18.0")),
            ("k3s version v1.33.4+k3s1 (148243c4)\n", Some("1.33.4")),
            ("no version 3\n", None),
            ("99999999999.1 x\n", None),
            ("", None),
        ] {
            assert_eq!(parse(text).map(|version| version.to_string()).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn versions_are_ordered_by_their_numbers() {
        for (text, other, expected) in [
            ("1.17.8", &[1, 18, 0][..], true),
            ("1.18.0", &[1, 18, 0], false),
            ("1.9.0", &[1, 18], true),
            ("2.0", &[1, 18, 0], false),
            ("1.18", &[1, 18, 0], true),
        ] {
            assert_eq!(parse(text).unwrap().is_below(other), expected, "{text}");
        }
    }
}
