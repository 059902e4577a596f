//! What is to be done, as a list of steps, decided from what was found.
//!
//! Pure. Each step is whole or not done, and what was found after any part of a list leads to the rest of it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::layout::{FEATURES, Layout, Link};
use super::{Build, Journal};
use crate::configure::{Change, Plan};
use crate::error::Escaped;

/// One thing that is done at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step<'a> {
    /// Put a program where nothing names it yet.
    Place {
        /// Where.
        path: PathBuf,
        /// What it holds.
        bytes: &'a [u8],
    },
    /// Start a program to see that it starts from there: the file system may forbid it.
    Try(PathBuf),
    /// Make a link lead to a build, by one rename.
    Point {
        /// The link.
        link: PathBuf,
        /// The build's name.
        to: String,
    },
    /// Write down what the engine's files are, before any of them changes.
    Note(Journal),
    /// Change one of the engine's files.
    Change(Change),
    /// Let the engine's own program read its files, before the engine has to.
    Check,
    /// Have the engine read its files; `is_gone` if the runtime is no longer in them.
    Restart {
        /// Whether the runtime is taken out.
        is_gone: bool,
    },
    /// Wait until the engine answers the kubelet's calls, and knows the runtime if `knows`.
    Await {
        /// Whether the runtime must be among those that it has.
        knows: bool,
    },
    /// The change is finished.
    Forget,
    /// Say to Node Feature Discovery what pods can have here.
    Label(String),
    /// Say it no more.
    Unlabel,
    /// Wait until no container is left that was started through the runtime, for so long at most.
    AwaitUnused(Duration),
    /// Remove a build, or the folder of all of it.
    Remove(PathBuf),
}

/// What there is of an installation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// The build that the link leads to.
    pub(super) current: Option<String>,
    /// The build that the other link leads to.
    pub(super) previous: Option<String>,
    /// All builds.
    pub(super) builds: Vec<String>,
    /// The programs of the build in question that are not in place, by name.
    pub(super) lacking: Vec<&'static str>,
    /// What Node Feature Discovery is told.
    pub(super) label: Option<String>,
    /// Builds that a process runs from, or that a container names.
    pub(super) in_use: Vec<String>,
    /// Whether the engine's files changed and the engine was not seen well since.
    pub(super) is_unfinished: bool,
    /// Whether the engine answers, and has not the runtime.
    pub(super) is_unloaded: bool,
    /// Whether there is a folder of all of it.
    pub(super) is_here: bool,
}

/// What Node Feature Discovery is told of `build`. The prefix is written out: later versions add none.
pub(super) fn label(build: &str) -> String {
    let prefix = "feature.node.kubernetes.io/gpu-runc";
    format!("# Written by gpu-ctk node install.\n{prefix}.ready=true\n{prefix}.build={build}\n")
}

/// What makes `build` the one that engines start. `restarts` is false where a person restarts the engine.
pub(super) fn install<'a>(
    found: &Found,
    layout: &Layout,
    build: &'a Build,
    plan: &Plan,
    restarts: bool,
) -> Vec<Step<'a>> {
    let folder = layout.build(&build.name);
    let lacking = build.programs.iter().filter(|program| found.lacking.contains(&program.name));
    let mut steps: Vec<Step<'a>> =
        lacking.map(|program| Step::Place { path: folder.join(program.name), bytes: &program.bytes }).collect();
    let is_current = found.current.as_ref() == Some(&build.name);
    let mut previous = found.previous.clone();
    if !is_current {
        steps.push(Step::Try(folder.join(super::OWN)));
        if let Some(current) = &found.current {
            // Before the switch: after it, nobody would know which one it was.
            steps.push(Step::Point { link: layout.link(Link::Previous), to: current.clone() });
            previous = Some(current.clone());
        }
        steps.push(Step::Point { link: layout.link(Link::Current), to: build.name.clone() });
    }
    let is_owed = found.is_unfinished || found.is_unloaded && restarts;
    steps.extend(engine(plan, is_owed, restarts, false));
    let label = label(&build.name);
    if found.label.as_ref() != Some(&label) {
        steps.push(Step::Label(label));
    }
    let kept = [Some(&build.name), previous.as_ref()];
    let old = found.builds.iter().filter(|name| !kept.contains(&Some(*name)) && !found.in_use.contains(*name));
    steps.extend(old.map(|name| Step::Remove(layout.build(name))));
    steps
}

/// What takes it away: first no pod is sent here, then the last container goes, then the engine forgets, then the files go.
pub(super) fn uninstall(
    found: &Found,
    layout: &Layout,
    plan: &Plan,
    longest: Duration,
    restarts: bool,
) -> Vec<Step<'static>> {
    let mut steps = Vec::new();
    if found.label.is_some() {
        steps.push(Step::Unlabel);
    }
    if found.is_here || !plan.changes.is_empty() {
        steps.push(Step::AwaitUnused(longest));
    }
    steps.extend(engine(plan, found.is_unfinished, restarts, true));
    if found.is_here {
        steps.push(Step::Remove(layout.home().to_owned()));
    }
    steps
}

/// What is done to the engine; nothing if it has nothing to read anew. `is_owed` says that it has not read what is there.
fn engine(plan: &Plan, is_owed: bool, restarts: bool, is_gone: bool) -> Vec<Step<'static>> {
    if plan.changes.is_empty() && !is_owed {
        return Vec::new();
    }
    let mut steps = Vec::new();
    if !plan.changes.is_empty() {
        steps.push(Step::Note(Journal { changes: plan.changes.clone() }));
        steps.extend(plan.changes.iter().cloned().map(Step::Change));
        steps.push(Step::Check);
    }
    if restarts {
        steps.extend([Step::Restart { is_gone }, Step::Await { knows: !is_gone }]);
    }
    steps.push(Step::Forget);
    steps
}

/// What gives the engine back the files that it had before `journal`, the last change first. `now` says what each file holds; one that
/// somebody else changed since is left to them.
pub(super) fn take_back(journal: &Journal, now: &dyn Fn(&Change) -> Option<String>) -> Vec<Step<'static>> {
    let back = journal.changes.iter().rev().filter(|change| now(change) == change.after);
    back.map(|change| {
        let (before, after) = (change.after.clone(), change.before.clone());
        Step::Change(Change { path: change.path.clone(), before, after })
    })
    .collect()
}

impl fmt::Display for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Place { path, .. } => write!(f, "place {}", Escaped::path(path)),
            Step::Try(path) => write!(f, "try {}", Escaped::path(path)),
            Step::Point { link, to } => write!(f, "point {} to {to}", Escaped::path(link)),
            Step::Note(_) => f.write_str("note what the engine's files are"),
            Step::Change(Change { path, after: Some(_), .. }) => write!(f, "write {}", Escaped::path(path)),
            Step::Change(Change { path, .. }) | Step::Remove(path) => write!(f, "remove {}", Escaped::path(path)),
            Step::Check => f.write_str("check the engine's files"),
            Step::Restart { .. } => f.write_str("restart the engine"),
            Step::Await { .. } => f.write_str("wait for the engine"),
            Step::Forget => f.write_str("note that the engine is well"),
            Step::Label(_) => write!(f, "label by {FEATURES}"),
            Step::Unlabel => write!(f, "unlabel by {FEATURES}"),
            Step::AwaitUnused(_) => f.write_str("wait for the last container"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Program;
    use super::*;

    fn build(name: &str) -> Build {
        let program = |name| Program { name, bytes: Vec::new() };
        Build { name: name.to_owned(), programs: vec![program("gpu-runc"), program("gpu-ctk")] }
    }

    fn change(after: &str) -> Plan {
        let change = Change { path: "/e".into(), before: None, after: Some(after.to_owned()) };
        Plan { changes: vec![change], ..Plan::default() }
    }

    fn listed(steps: &[Step<'_>]) -> Vec<String> {
        steps.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_first_installation_names_nothing_that_is_not_there() {
        let (layout, build) = (Layout::new(Path::new("/opt")), build("1-a"));
        let found = Found { lacking: vec!["gpu-runc", "gpu-ctk"], ..Found::default() };
        assert_eq!(
            listed(&install(&found, &layout, &build, &change("x"), true)),
            [
                "place /opt/gpu-runc/1-a/gpu-runc",
                "place /opt/gpu-runc/1-a/gpu-ctk",
                "try /opt/gpu-runc/1-a/gpu-ctk",
                "point /opt/gpu-runc/current to 1-a",
                "note what the engine's files are",
                "write /e",
                "check the engine's files",
                "restart the engine",
                "wait for the engine",
                "note that the engine is well",
                "label by /etc/kubernetes/node-feature-discovery/features.d/gpu-runc",
            ]
        );
    }

    #[test]
    fn an_upgrade_restarts_nothing_and_keeps_the_build_before() {
        let (layout, build) = (Layout::new(Path::new("/opt")), build("3-c"));
        let found = Found {
            current: Some("2-b".to_owned()),
            previous: Some("1-a".to_owned()),
            builds: ["0-z", "1-a", "2-b", "3-c"].map(str::to_owned).to_vec(),
            in_use: vec!["0-z".to_owned()],
            ..Found::default()
        };
        assert_eq!(
            listed(&install(&found, &layout, &build, &Plan::default(), true)),
            [
                "try /opt/gpu-runc/3-c/gpu-ctk",
                "point /opt/gpu-runc/previous to 2-b",
                "point /opt/gpu-runc/current to 3-c",
                "label by /etc/kubernetes/node-feature-discovery/features.d/gpu-runc",
                "remove /opt/gpu-runc/1-a",
            ]
        );
        let after = Found {
            current: Some("3-c".to_owned()),
            previous: Some("2-b".to_owned()),
            builds: ["2-b", "3-c"].map(str::to_owned).to_vec(),
            label: Some(label("3-c")),
            ..Found::default()
        };
        assert_eq!(install(&after, &layout, &build, &Plan::default(), true), []);
    }

    #[test]
    fn a_restart_that_is_owed_is_made_and_one_that_a_person_makes_is_not() {
        let (layout, build) = (Layout::new(Path::new("/opt")), build("1-a"));
        let found = Found {
            current: Some("1-a".to_owned()),
            label: Some(label("1-a")),
            is_unfinished: true,
            ..Found::default()
        };
        let owed = ["restart the engine", "wait for the engine", "note that the engine is well"];
        assert_eq!(listed(&install(&found, &layout, &build, &Plan::default(), true)), owed);
        assert_eq!(listed(&install(&found, &layout, &build, &Plan::default(), false)), [owed[2]]);
        let unloaded = Found { is_unfinished: false, is_unloaded: true, ..found };
        assert_eq!(listed(&install(&unloaded, &layout, &build, &Plan::default(), true)), owed);
        assert_eq!(install(&unloaded, &layout, &build, &Plan::default(), false), []);
    }

    #[test]
    fn taking_it_away_sends_no_pod_here_before_anything_else_and_removes_files_last() {
        let layout = Layout::new(Path::new("/opt"));
        let found =
            Found { current: Some("1-a".to_owned()), is_here: true, label: Some(label("1-a")), ..Found::default() };
        let steps = listed(&uninstall(&found, &layout, &change("x"), Duration::ZERO, true));
        assert_eq!(steps[0], "unlabel by /etc/kubernetes/node-feature-discovery/features.d/gpu-runc");
        assert_eq!(steps[1], "wait for the last container");
        assert_eq!(steps[steps.len() - 1], "remove /opt/gpu-runc");
        assert_eq!(uninstall(&Found::default(), &layout, &Plan::default(), Duration::ZERO, true), []);
    }

    #[test]
    fn taking_back_leaves_alone_what_somebody_else_wrote_since() {
        let made =
            |path: &str| Change { path: path.into(), before: Some("old".to_owned()), after: Some("new".to_owned()) };
        let journal = Journal { changes: vec![made("/a"), made("/b"), made("/c")] };
        let now = |change: &Change| match change.path.to_str() {
            Some("/a") => Some("new".to_owned()),
            Some("/b") => Some("old".to_owned()),
            _ => Some("theirs".to_owned()),
        };
        let steps = take_back(&journal, &now);
        let [Step::Change(back)] = steps.as_slice() else { panic!("{steps:?}") };
        assert_eq!((back.path.to_str(), back.after.as_deref()), (Some("/a"), Some("old")));
    }
}
