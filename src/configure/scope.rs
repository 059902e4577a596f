//! Whose engine is meant: the system's, which root's daemon runs, or that of the user who asks, which is rootless.
//!
//! The one notion of it for `runtime configure`, doctor and explain. Looks which files an engine of a user leaves; changes nothing.

#![allow(clippy::disallowed_methods, reason = "where a user's own files are is said by the environment")]

use std::env;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Engine, detect};
use crate::error::{Error, Result};

/// Whose engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The system's: its daemon is root's, and so are its files.
    System,
    /// The rootless one of the user who asks.
    User,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Scope::System => "system",
            Scope::User => "user",
        })
    }
}

impl Scope {
    /// The scope that a command without `--system` and `--user` speaks of: root has no rootless engine.
    pub fn of_caller() -> Self {
        if nix::unistd::geteuid().is_root() { Scope::System } else { Scope::User }
    }

    /// The scope for `engine`, as `asked`, or the one that this user has. An error where there is none such, with what to do.
    pub fn choose(engine: Engine, asked: Option<Scope>) -> Result<Self> {
        chosen(engine, asked, nix::unistd::geteuid().is_root(), &|| has_own(engine))
    }

    /// What a command begins with that this user copies from a message: `sudo ` where it takes root.
    pub fn sudo(self) -> &'static str {
        if self == Scope::System && !nix::unistd::geteuid().is_root() { "sudo " } else { "" }
    }

    /// The command that registers gpu-runc with `engine` in this scope, for this user.
    pub fn advice(self, engine: &str) -> String {
        let flag = if self == Scope::User { " --user" } else { "" };
        format!("{}gpu-ctk runtime configure --engine {engine}{flag}", self.sudo())
    }
}

fn chosen(engine: Engine, asked: Option<Scope>, is_root: bool, has_own: &dyn Fn() -> bool) -> Result<Scope> {
    let name = detect::name(engine);
    let can = detect::can_be_rootless(engine);
    let wrong = |message: String| Err(Error::Usage(message));
    match asked {
        Some(Scope::User) if is_root => {
            wrong("--user is for the rootless engine of a user: run it as that user, without sudo".to_owned())
        }
        Some(Scope::User) if !can => {
            wrong(format!("--user: {name} has no rootless engine that reads a file of the user's"))
        }
        Some(scope) => Ok(scope),
        None if is_root || !can => Ok(Scope::System),
        None if has_own() => Ok(Scope::User),
        None => wrong(format!(
            "the {name} of this host is root's, and this user has no rootless one: run {}, or add --user to set up a rootless one that \
             is yet to come",
            Scope::System.advice(name)
        )),
    }
}

/// The user's home. `None` where the environment names none.
pub(super) fn home() -> Option<PathBuf> {
    env::var_os("HOME").filter(|folder| !folder.is_empty()).map(PathBuf::from)
}

/// The folder of the user's configuration files. `None` where the environment names none.
pub fn config_home() -> Option<PathBuf> {
    let named = env::var_os("XDG_CONFIG_HOME").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    named.or_else(|| Some(Path::new(&env::var_os("HOME")?).join(".config")))
}

/// The folder of the user's sockets and process ids. `None` where the environment names none and the usual one is not there.
pub fn runtime_dir() -> Option<PathBuf> {
    let named = env::var_os("XDG_RUNTIME_DIR").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    named.or_else(|| {
        Some(format!("/run/user/{}", nix::unistd::geteuid()).into()).filter(|folder: &PathBuf| folder.is_dir())
    })
}

/// Whether this user has an engine of their own: podman's always is. What cannot be looked at may be one.
pub fn has_own(engine: Engine) -> bool {
    let marks: &[(Option<PathBuf>, &str)] = &match engine {
        Engine::Podman => return true,
        Engine::Docker => [
            (runtime_dir(), "docker.pid"),
            (runtime_dir(), "docker.sock"),
            (config_home(), "docker/daemon.json"),
            (config_home(), "systemd/user/docker.service"),
        ],
        Engine::Containerd => [
            (runtime_dir(), "containerd-rootless"),
            (runtime_dir(), "containerd-rootless/child_pid"),
            (config_home(), "containerd/config.toml"),
            (config_home(), "systemd/user/containerd.service"),
        ],
        Engine::Crio | Engine::K3s | Engine::Rke2 => return false,
    };
    let may_be = |path: PathBuf| match fs::symlink_metadata(path) {
        Ok(_) => true,
        Err(cause) => !matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
    };
    marks.iter().any(|(folder, mark)| folder.as_ref().is_some_and(|folder| may_be(folder.join(mark))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_without_a_rootless_engine_is_sent_to_root() {
        use Engine::{Crio, Docker, Podman};
        let (system, user) = (Scope::System, Scope::User);
        for (engine, asked, is_root, has_own, expected) in [
            (Docker, None, true, false, Ok(system)),
            (Docker, None, true, true, Ok(system)),
            (Docker, Some(user), true, true, Err("run it as that user, without sudo")),
            (Docker, None, false, true, Ok(user)),
            (Docker, None, false, false, Err("is root's, and this user has no rootless one: run ")),
            (Docker, Some(user), false, false, Ok(user)),
            (Docker, Some(system), false, true, Ok(system)),
            (Podman, None, false, true, Ok(user)),
            (Crio, None, false, false, Ok(system)),
            (Crio, Some(user), false, false, Err("crio has no rootless engine")),
        ] {
            let given = chosen(engine, asked, is_root, &|| has_own).map_err(|error| error.to_string());
            match (given, expected) {
                (Ok(given), Ok(expected)) => assert_eq!(given, expected, "{engine:?} {asked:?} {is_root}"),
                (Err(error), Err(part)) => assert!(error.contains(part), "{error}"),
                (given, expected) => panic!("{engine:?} {asked:?} {is_root}: {given:?}, not {expected:?}"),
            }
        }
    }
}
