//! Which low-level runtime runs a container, and which one already has it.
//!
//! An engine calls gpu-runc again to start, stop and delete a container, and says nothing but its id then. So the runtime that created a
//! container is found by its state directory, and nothing is remembered here. Decides; only looks whether a state directory is there.

#![allow(clippy::disallowed_methods, reason = "the state directories of the low-level runtimes")]

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::exec;
use crate::error::Result;
use crate::oci::View;

/// The order in which runtimes are looked for where the configuration lists none.
const USUAL: [&str; 2] = ["runc", "crun"];

/// The annotation by which podman says that it made a container (libpod, pkg/annotations).
const MANAGER: (&str, &str) = ("io.container.manager", "libpod");
/// The annotation of podman's `--group-add keep-groups`. crun keeps the groups of its caller, runc passes over it (crun(1)).
const KEEP_GROUPS: &str = "run.oci.keep_original_groups";

/// The verbs that name a container which exists.
const VERBS: [&str; 11] =
    ["start", "kill", "delete", "state", "exec", "pause", "resume", "update", "checkpoint", "ps", "events"];

/// What [`fitting`] found for one container.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Fitting {
    /// The runtime that fits better than the first; `None` if the first one fits.
    pub runtime: Option<PathBuf>,
    /// What the container lacks with the runtime that it gets.
    pub note: Option<String>,
    /// Whether the container's processes keep the groups of the user who started it.
    pub keeps_groups: bool,
}

/// The first low-level runtime of the `configured` ones, or of the usual ones. Error: none is installed.
pub fn first(configured: &[String]) -> Result<PathBuf> {
    exec::find(&listed(configured))
}

/// The low-level runtime of podman's containers. Error: none is installed.
pub fn for_podman(configured: &[String]) -> Result<PathBuf> {
    match configured.is_empty() {
        true => exec::find(&crun_first(&listed(configured))),
        false => first(configured),
    }
}

/// The runtime for the container of `view`, which `argv` creates and for which `first` was found. A container that gets another than
/// the first must be found again by its state directory, so a call that names one with `--root` gets the first.
pub(super) fn fitting(configured: &[String], first: &Path, argv: &[OsString], view: &View<'_>) -> Fitting {
    let keeps_groups = keeps_groups(view);
    let is_podmans = configured.is_empty() && view.annotation(MANAGER.0) == Some(MANAGER.1);
    if !(keeps_groups || is_podmans) {
        return Fitting::default();
    }
    if is_crun(first) {
        return Fitting { keeps_groups, ..Fitting::default() };
    }
    let names = listed(configured);
    let crun = names.iter().filter(|name| is_crun(Path::new(name))).cloned().collect::<Vec<_>>();
    let found = if crun.is_empty() || names_root(argv) { None } else { exec::find(&crun).ok() };
    let lacks_groups = keeps_groups && found.is_none();
    let note = lacks_groups.then(|| {
        "groups are kept by crun only, and gpu-runc starts runc here: install crun, and let \"runtimes\" list it"
            .to_owned()
    });
    Fitting { keeps_groups: keeps_groups && found.is_some(), runtime: found, note }
}

/// Whether the container of `view` is to keep the groups of the user who starts it.
pub fn keeps_groups(view: &View<'_>) -> bool {
    view.annotation(KEEP_GROUPS).is_some_and(|value| value != "0")
}

/// The runtime that has the container which `argv` names, if that is not `first`.
pub(super) fn owner(configured: &[String], first: &Path, argv: &[OsString]) -> Option<PathBuf> {
    let other = match first.file_name()?.as_bytes() {
        b"runc" => "crun",
        b"crun" => "runc",
        _ => return None,
    };
    if names_root(argv) {
        return None;
    }
    let is_verb = |arg: &&OsString| VERBS.iter().any(|verb| *arg == verb);
    let ids = argv.iter().skip(1).skip_while(|arg| !is_verb(arg)).skip(1).filter(|arg| is_id(arg));
    let roots: Vec<PathBuf> = roots(other).collect();
    let has = |id: &OsString| roots.iter().any(|root| fs::symlink_metadata(root.join(id)).is_ok());
    if !ids.take(MOST_OPERANDS).any(has) {
        return None;
    }
    // Its container must be stopped also when the configuration does not list it any more.
    let listed = configured.iter().filter(|name| Path::new(name).file_name() == Some(OsStr::new(other))).cloned();
    exec::find(&listed.chain([other.to_owned()]).collect::<Vec<_>>()).ok()
}

/// The arguments of `exec` can be many.
const MOST_OPERANDS: usize = 4;

fn is_id(arg: &OsString) -> bool {
    let bytes = arg.as_bytes();
    !bytes.is_empty() && !bytes.starts_with(b"-") && !bytes.contains(&b'/') && arg != "." && arg != ".."
}

/// Where the runtime `name` keeps what it knows of containers, of a user and of the system.
fn roots(name: &str) -> impl Iterator<Item = PathBuf> {
    let own = env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    own.into_iter().chain([PathBuf::from("/run")]).map(move |dir| dir.join(name))
}

/// Whether the caller chooses the directory of the state: containerd, Docker and CRI-O do, podman does not.
fn names_root(argv: &[OsString]) -> bool {
    let is_root = |arg: &OsString| {
        let bytes = arg.as_bytes();
        [&b"--root"[..], b"-root"].iter().any(|flag| bytes == *flag || bytes.starts_with(&[flag, &b"="[..]].concat()))
    };
    argv.iter().skip(1).any(is_root)
}

fn listed(configured: &[String]) -> Vec<String> {
    if configured.is_empty() { USUAL.map(str::to_owned).to_vec() } else { configured.to_vec() }
}

fn crun_first(names: &[String]) -> Vec<String> {
    let (crun, others): (Vec<_>, Vec<_>) = names.iter().cloned().partition(|name| is_crun(Path::new(name)));
    [crun, others].concat()
}

fn is_crun(runtime: &Path) -> bool {
    runtime.file_name().is_some_and(|name| name == "crun")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argv(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn a_call_that_names_a_root_is_told_from_one_that_does_not() {
        for (line, expected) in [
            ("gpu-runc create --bundle /b id", false),
            ("gpu-runc --root /r create id", true),
            ("gpu-runc --root=/r create id", true),
            ("gpu-runc -root=/r create id", true),
            ("gpu-runc --rootless=true create id", false),
            ("--root create id", false),
        ] {
            assert_eq!(names_root(&argv(line)), expected, "{line}");
        }
    }

    #[test]
    fn only_a_plain_name_is_looked_up_as_a_container() {
        for (arg, expected) in
            [("abc", true), ("", false), ("-f", false), ("/run/x", false), ("..", false), ("../x", false), (".", false)]
        {
            assert_eq!(is_id(&OsString::from(arg)), expected, "{arg}");
        }
    }

    #[test]
    fn crun_comes_first_for_podman_and_the_others_keep_their_order() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        for (given, expected) in [
            (&["runc", "crun"][..], &["crun", "runc"][..]),
            (&["runc", "/opt/crun", "youki"], &["/opt/crun", "runc", "youki"]),
            (&["runc"], &["runc"]),
        ] {
            assert_eq!(crun_first(&names(given)), names(expected));
        }
    }
}
