//! Which published vulnerabilities of runc a version has: a table of data.
//!
//! Pure. Distributions fix a vulnerability without raising runc's number, so an old number is a reason to look, not a verdict.

use std::fmt;

/// Vulnerabilities that are fixed in the same releases.
struct Flaw {
    names: &'static str,
    /// The first release with the fix, of each minor series that got one, in order. Later series have it.
    fixed: &'static [Release],
    /// What they allow.
    effect: &'static str,
}

/// Sources: runc's security advisories GHSA-9493-h29p-rfm2, GHSA-qw9x-cqr3-wc7r and GHSA-cgrx-mc8f-2prm, and its release notes.
const FLAWS: &[Flaw] = &[
    Flaw {
        names: "CVE-2025-31133, CVE-2025-52565 and CVE-2025-52881",
        fixed: &[Release::of(1, 2, 8), Release::of(1, 3, 3), Release { candidate: 3, ..Release::of(1, 4, 0) }],
        effect: "a container can write to the host's /proc and leave its confinement",
    },
    Flaw {
        names: "CVE-2026-41579",
        fixed: &[Release::of(1, 3, 6), Release::of(1, 4, 3), Release::of(1, 5, 0)],
        effect: "an image's links can make runc create files and directories outside of the container's rootfs",
    },
];

/// A release of runc. The order of the fields is the order of releases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Release {
    major: u32,
    minor: u32,
    patch: u32,
    /// The number of a release candidate; the release itself is after all of them.
    candidate: u32,
}

impl Release {
    const fn of(major: u32, minor: u32, patch: u32) -> Self {
        Release { major, minor, patch, candidate: u32::MAX }
    }

    /// The release in what `runc --version` prints.
    fn parse(text: &str) -> Option<Self> {
        let version = text.lines().next()?.strip_prefix("runc version ")?.split_whitespace().next()?;
        let (numbers, suffix) = version.split_at(version.find(['-', '+', '~']).unwrap_or(version.len()));
        let mut numbers = numbers.split('.').map(|number| number.parse().ok());
        let (major, minor, patch) = (numbers.next()??, numbers.next()??, numbers.next()??);
        let candidate = suffix.strip_prefix("-rc").map(|rest| rest.trim_start_matches('.'));
        let digits = |rest: &str| rest.split(|c: char| !c.is_ascii_digit()).next().and_then(|n| n.parse().ok());
        Some(Release { candidate: candidate.and_then(digits).unwrap_or(u32::MAX), ..Release::of(major, minor, patch) })
    }

    fn is_of_series(self, other: Release) -> bool {
        (self.major, self.minor) == (other.major, other.minor)
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)?;
        if self.candidate == u32::MAX { Ok(()) } else { write!(f, "-rc.{}", self.candidate) }
    }
}

impl Flaw {
    fn is_in(&self, release: Release) -> bool {
        match self.fixed.iter().find(|fixed| fixed.is_of_series(release)) {
            Some(fixed) => release < *fixed,
            None => self.fixed.iter().all(|fixed| release < *fixed),
        }
    }
}

/// For each vulnerability that a runc which prints `text` can have: what it is, what it allows, and what to do. Nothing for a text
/// that is not runc's.
pub(super) fn vulnerabilities(text: &str) -> Vec<(String, &'static str, String)> {
    let Some(release) = Release::parse(text) else { return Vec::new() };
    let said = |flaw: &Flaw| {
        let fixed: Vec<_> = flaw.fixed.iter().map(Release::to_string).collect();
        (
            format!("runc {release} is older than the fix of {}", flaw.names),
            flaw.effect,
            format!(
                "install runc {} or newer; a distribution's package can hold the fix under an older number, which its changelog \
                 says (apt changelog runc, rpm -q --changelog runc)",
                fixed.join(", ")
            ),
        )
    };
    FLAWS.iter().filter(|flaw| flaw.is_in(release)).map(said).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_series_has_its_own_first_release_with_a_fix() {
        for (version, flaws) in [
            ("1.0.3", 2),
            ("1.1.15", 2),
            ("1.1.5+ds1", 2),
            ("1.1.5+ds1-1+deb12u1", 2),
            ("1.2.7", 2),
            ("1.2.8", 1),
            ("1.2.9", 1),
            ("1.3.2", 2),
            ("1.3.3", 1),
            ("1.3.3-0ubuntu1~24.04.2", 1),
            ("1.3.5", 1),
            ("1.3.6", 0),
            ("1.4.0-rc.2", 2),
            ("1.4.0-rc2+dev", 2),
            ("1.4.0-rc.3", 1),
            ("1.4.0", 1),
            ("1.4.3", 0),
            ("1.5.0-rc.1", 1),
            ("1.5.0", 0),
            ("1.6.0", 0),
            ("2.0.0", 0),
        ] {
            let found = vulnerabilities(&format!("runc version {version}\ncommit: v1.0.0-1\nspec: 1.2.1\n"));
            assert_eq!(found.len(), flaws, "{version}: {found:?}");
        }
        for other in ["crun version 1.8.1\n", "runc version unknown\n", "runc version 1.1\n", ""] {
            assert_eq!(vulnerabilities(other).len(), 0, "{other}");
        }
    }

    #[test]
    fn the_sentence_names_every_fix_and_the_packages_of_distributions() {
        let [(what, _, fix), _] = &vulnerabilities("runc version 1.1.5+ds1\n")[..] else { panic!("two flaws") };
        assert_eq!(what, "runc 1.1.5 is older than the fix of CVE-2025-31133, CVE-2025-52565 and CVE-2025-52881");
        assert!(fix.starts_with("install runc 1.2.8, 1.3.3, 1.4.0-rc.3 or newer; a distribution's package"), "{fix}");
    }
}
