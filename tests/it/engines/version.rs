//! How the versions of an engine differ, as rows: what some of them do and others do not, and why the scenarios need to know.
//!
//! Scenarios ask for a trait, never for a version.

use std::fmt;

use super::session::Session;

/// What some versions of an engine do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trait {
    /// Its `--gpus` injects CDI devices itself, in place of leaving a vendor's hook to the runtime.
    InjectsGpus,
    /// `run` knows `--annotation`.
    Annotates,
    /// It reads CDI specs.
    ReadsCdi,
}

/// From this version on an engine has the trait.
struct Row {
    engine: &'static str,
    has: Trait,
    from: [u32; 2],
    /// What changed in the engine.
    reason: &'static str,
}

const ROWS: &[Row] = &[
    Row { engine: "containerd", has: Trait::InjectsGpus, from: [2, 3], reason: "ctr resolves --gpus in its CDI specs" },
    Row { engine: "nerdctl", has: Trait::InjectsGpus, from: [2, 3], reason: "--gpus became CDI device names" },
    Row { engine: "nerdctl", has: Trait::ReadsCdi, from: [2, 1], reason: "--device takes CDI names, --cdi-spec-dirs" },
    Row { engine: "nerdctl", has: Trait::Annotates, from: [1, 6], reason: "run --annotation" },
    Row { engine: "docker", has: Trait::Annotates, from: [24, 0], reason: "API 1.43 has annotations" },
    Row {
        engine: "docker",
        has: Trait::ReadsCdi,
        from: [28, 2],
        reason: "the feature cdi is on unless it is turned off",
    },
    Row { engine: "podman", has: Trait::ReadsCdi, from: [4, 1], reason: "--device takes CDI names" },
    Row { engine: "podman", has: Trait::Annotates, from: [1, 0], reason: "always" },
    Row { engine: "cri", has: Trait::ReadsCdi, from: [1, 7], reason: "enable_cdi, also for cdi.k8s.io/ annotations" },
    Row {
        engine: "cri-o",
        has: Trait::ReadsCdi,
        from: [1, 23],
        reason: "cdi_spec_dirs, also for cdi.k8s.io/ annotations",
    },
    Row { engine: "containerd", has: Trait::Annotates, from: [1, 0], reason: "ctr run --annotation" },
    Row { engine: "runc", has: Trait::Annotates, from: [1, 0], reason: "a bundle has annotations" },
    Row { engine: "crun", has: Trait::Annotates, from: [1, 0], reason: "a bundle has annotations" },
];

/// An engine's version: its first two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version {
    engine: &'static str,
    numbers: [u32; 2],
}

impl Version {
    /// What `program --version` says, for the engine `engine` of the table.
    pub(crate) fn of(session: &Session, engine: &'static str, program: &str) -> Self {
        let said = session.run(&[program, "--version"].map(str::to_owned));
        let numbers = said.stdout.split_whitespace().find_map(numbers);
        Version { engine, numbers: numbers.unwrap_or_else(|| panic!("{program} says no version: {said:?}")) }
    }

    pub(crate) fn has(self, wanted: Trait) -> bool {
        ROWS.iter().any(|row| row.engine == self.engine && row.has == wanted && self.numbers >= row.from)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}.{}", self.engine, self.numbers[0], self.numbers[1])?;
        let traits = ROWS.iter().filter(|row| row.engine == self.engine && self.numbers >= row.from);
        traits.into_iter().try_for_each(|row| write!(f, "; {}", row.reason))
    }
}

/// The first two numbers of a word like `v1.6.20~ds1`.
fn numbers(word: &str) -> Option<[u32; 2]> {
    let mut parts = word.trim_start_matches('v').split('.');
    Some([parts.next()?.parse().ok()?, parts.next()?.parse().ok()?])
}

#[test]
fn versions_are_read_from_what_engines_say() {
    for (word, expected) in [
        ("v2.3.5", Some([2, 3])),
        ("2.4.2+unknown", Some([2, 4])),
        ("1.6.20~ds1", Some([1, 6])),
        ("20.10.24+dfsg1,", Some([20, 10])),
        ("github.com/containerd/containerd", None),
        ("runc", None),
    ] {
        assert_eq!(numbers(word), expected, "{word}");
    }
}
