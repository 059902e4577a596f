//! What is wrong with a machine that containers should get GPUs from.
//!
//! Each check looks at values (the machine as a [`Host`], the configuration, what is known of this process) and answers with
//! findings; nothing is changed, nothing is printed. A thing that is absent, one that is wrong, and one that cannot be read are
//! three answers.

mod access;
mod cdi;
mod drivers;
mod engines;
pub mod environment;
mod gpus;
mod holders;
mod kernel;
mod links;
mod nodes;
mod persistence;
mod registration;
mod runc;
mod runtime;
mod security;
pub mod stale;
mod toolkits;
mod versions;

use std::path::{Path, PathBuf};

use crate::cdi::Spec;
use crate::config::Config;
use crate::configure::Scope;
use crate::error::{Error, Result};
use crate::generate::{self, By, Item, Machine};
use crate::host::Host;
use crate::vendor::{Vendor, Vendors};

pub use environment::Environment;

/// One thing that is looked at.
#[derive(Debug)]
pub struct Check {
    /// A word for programs, which stays.
    pub id: &'static str,
    /// The same for people.
    pub title: &'static str,
    look: fn(&Subject<'_>) -> Result<Vec<Finding>>,
}

/// What a check found.
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What is so.
    pub what: String,
    /// Why it matters.
    pub why: &'static str,
    /// The command that mends it, or what to do first.
    pub fix: Option<String>,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// It is as it should be.
    Pass,
    /// There is nothing to look at yet.
    Skip,
    /// Some containers, or other programs than gpu-runc, will not do well.
    Warn,
    /// Containers that ask for this will not start.
    Fail,
}

/// What is examined.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The machine.
    pub host: &'a Host,
    /// The configuration.
    pub config: &'a Config,
    /// The vendors that are known.
    pub vendors: Vendors,
    /// What is known of this process and its user.
    pub environment: &'a Environment,
    /// The devices of the machine, from [`devices`].
    pub devices: &'a [Devices],
    /// Asks a program that was found: what it prints, or why it does not.
    pub ask: Ask<'a>,
    /// Asks the Docker daemon of a scope.
    pub docker: AskDocker<'a>,
}

/// What the Docker daemon of a scope says of itself. `None` where it does not answer, or the machine is not this one.
pub type AskDocker<'a> = &'a dyn Fn(Scope) -> Option<Docker>;

/// What is known of a Docker daemon that runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Docker {
    /// Its answer to `GET /info`.
    pub info: serde_json::Value,
    /// The directories in which it looks for programs; `None` where they are kept from this user.
    pub path: Option<Vec<PathBuf>>,
    /// Whether a name that it looks for was put there after it was started.
    pub has_newer_names: bool,
}

/// Starts a program, with these arguments.
pub type Ask<'a> = &'a dyn Fn(&Path, &[&str]) -> std::result::Result<String, String>;

impl std::fmt::Debug for Subject<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subject").field("host", self.host).finish_non_exhaustive()
    }
}

/// The devices of a vendor, and how they would be described to a container.
#[derive(Debug)]
pub struct Devices {
    /// Whose.
    pub vendor: &'static Vendor,
    /// What the machine has. An error where it cannot be read.
    pub items: std::result::Result<Vec<Item>, String>,
    /// All of it as a spec, each node with its number. An error where the driver is not whole.
    pub spec: std::result::Result<Option<Spec>, String>,
}

/// All checks, in the order in which they are shown.
pub static CHECKS: &[Check] = &[
    Check { id: "config", title: "configuration", look: runtime::configuration },
    Check { id: "gpu-runc", title: "gpu-runc", look: runtime::wrapper },
    Check { id: "low-level-runtime", title: "low-level runtime", look: runtime::low_level },
    Check { id: "openat2", title: "openat2", look: kernel::openat2 },
    Check { id: "cgroup", title: "cgroups", look: kernel::cgroups },
    Check { id: "driver", title: "driver", look: drivers::look },
    Check { id: "nodes", title: "device nodes", look: nodes::look },
    Check { id: "dev-char", title: "/dev/char links", look: links::look },
    Check { id: "persistence", title: "persistence", look: persistence::look },
    Check { id: "toolkit", title: "vendor toolkit", look: toolkits::look },
    Check { id: "cdi-dir", title: "CDI directory", look: cdi::directories },
    Check { id: "cdi-file", title: "CDI file", look: cdi::files },
    Check { id: "holders", title: "holders", look: holders::look },
    Check { id: "engine", title: "engine", look: engines::look },
    Check { id: "gpus", title: "--gpus", look: gpus::look },
    Check { id: "user-namespaces", title: "user namespaces", look: access::namespaces },
    Check { id: "node-access", title: "rootless access", look: access::look },
    Check { id: "selinux", title: "SELinux", look: security::selinux },
    Check { id: "apparmor", title: "AppArmor", look: security::apparmor },
];

/// What all checks find, in their order. A check that cannot read what it looks at says so as a finding.
pub fn examine(subject: &Subject<'_>) -> Vec<(&'static Check, Finding)> {
    let findings = |check: &'static Check| {
        let found = (check.look)(subject).unwrap_or_else(|error| vec![Finding::unreadable(&error)]);
        found.into_iter().map(move |finding| (check, finding))
    };
    CHECKS.iter().flat_map(findings).collect()
}

/// The devices of the machine by vendor; vendors of which it has none are left out.
pub fn devices(machine: Machine<'_>, vendors: Vendors) -> Vec<Devices> {
    let of_vendor = |vendor: &'static Vendor| {
        let items = generate::inventory(vendor, machine).map_err(|error| error.to_string());
        if items.as_ref().is_ok_and(Vec::is_empty) {
            return None;
        }
        let kind = vendor.kinds.first().and_then(|kind| kind.parse().ok())?;
        let spec = generate::everything(vendor, &kind, machine, By::Number).map_err(|error| error.to_string());
        Some(Devices { vendor, items, spec })
    };
    vendors.accelerators().into_iter().filter_map(of_vendor).collect()
}

impl Subject<'_> {
    fn machine(&self) -> Machine<'_> {
        Machine { host: self.host, roots: &self.config.host }
    }

    /// Where the machine has the program `name`: on the PATH, else in the usual folders.
    fn program(&self, name: &str) -> Result<Option<PathBuf>> {
        for folder in self.environment.folders() {
            let path = folder.join(name);
            match self.host.find(&path) {
                // Somebody else's folder in the PATH.
                Err(error) if error.is_denied() => {}
                found => {
                    if found?.is_some_and(|found| is_program(&found)) {
                        return Ok(Some(path));
                    }
                }
            }
        }
        Ok(None)
    }

    /// What the program at `path` of the machine says its version is. `None` where it does not answer, or with no version.
    fn version(&self, path: &Path, args: &[&str]) -> Option<versions::Version> {
        versions::parse(&(self.ask)(&self.host.real(path), args).ok()?)
    }

    /// Whether systemd runs this machine.
    fn has_systemd(&self) -> Result<bool> {
        Ok(self.host.find(Path::new("/run/systemd/system"))?.is_some())
    }
}

fn is_program(found: &crate::host::Found) -> bool {
    found.is(&[nix::sys::stat::SFlag::S_IFREG]) && found.stat.st_mode & 0o111 != 0
}

impl Finding {
    fn pass(what: impl Into<String>, why: &'static str) -> Self {
        Finding { level: Level::Pass, what: what.into(), why, fix: None }
    }

    /// `first` is what to do before there is something to look at.
    fn skip(what: impl Into<String>, why: &'static str, first: impl Into<String>) -> Self {
        Finding { level: Level::Skip, what: what.into(), why, fix: Some(first.into()) }
    }

    /// There is nothing to look at, and there need not be.
    fn idle(what: impl Into<String>, why: &'static str) -> Self {
        Finding { level: Level::Skip, what: what.into(), why, fix: None }
    }

    /// What is kept from this user may be well; what nobody can read is not.
    fn unreadable(error: &Error) -> Self {
        const WHY: &str = "what cannot be read cannot be judged";
        match error.is_denied() {
            true => Finding::skip(error.to_string(), WHY, "run it as root"),
            false => Finding { level: Level::Fail, what: error.to_string(), why: WHY, fix: None },
        }
    }

    fn warn(what: impl Into<String>, why: &'static str, fix: impl Into<String>) -> Self {
        Finding { level: Level::Warn, what: what.into(), why, fix: Some(fix.into()) }
    }

    fn fail(what: impl Into<String>, why: &'static str, fix: impl Into<String>) -> Self {
        Finding { level: Level::Fail, what: what.into(), why, fix: Some(fix.into()) }
    }
}

/// How many of them: `1 file`, `2 files`.
fn counted(count: usize, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

/// The first of `names`, and how many more there are.
fn first_of(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [only] => only.clone(),
        [first, rest @ ..] => format!("{first} and {} more", rest.len()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_check_has_a_word_of_its_own() {
        let ids: BTreeSet<_> = CHECKS.iter().map(|check| check.id).collect();
        assert_eq!(ids.len(), CHECKS.len());
        let is_word =
            |id: &str| id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        assert!(ids.iter().all(|id| is_word(id)), "{ids:?}");
    }

    #[test]
    fn what_is_kept_from_a_user_is_no_failure() {
        for (errno, level) in [(libc::EACCES, Level::Skip), (libc::EIO, Level::Fail)] {
            let error = Error::io("read", Path::new("/x"), std::io::Error::from_raw_os_error(errno));
            assert_eq!(Finding::unreadable(&error).level, level, "{error}");
        }
    }

    #[test]
    fn many_names_are_one_and_a_number() {
        let names = ["a", "b", "c"].map(str::to_owned);
        for (count, expected, things) in [(0, "", "0 files"), (1, "a", "1 file"), (3, "a and 2 more", "3 files")] {
            assert_eq!((first_of(&names[..count]).as_str(), counted(count, "file").as_str()), (expected, things));
        }
    }
}
