//! What is known of this process, gathered once so that checks need not ask.
//!
//! The one file of the doctor that looks at the process; judges nothing.

#![allow(clippy::disallowed_methods, reason = "reads the PATH of the person who asks")]

use std::ffi::OsString;
use std::path::PathBuf;

use crate::config::Config;
use crate::configure::{Engine, scope};
use crate::host::Host;
use crate::runtime::{exec, low_level, sharing};

/// This process and its user.
#[derive(Debug, Clone)]
pub struct Environment {
    /// The folders of the PATH.
    pub path: Vec<PathBuf>,
    /// The user.
    pub uid: u32,
    /// All groups of the user.
    pub gids: Vec<u32>,
    /// Whether the kernel lets this process call openat2.
    pub has_openat2: bool,
    /// Where this user's programs keep what is gone with the session.
    pub runtime_dir: Option<OsString>,
    /// The configuration file, and whether it is there.
    pub config: PathBuf,
    /// What is wrong with the configuration, in whose place the defaults stand.
    pub config_fault: Option<String>,
    /// The low-level runtime that gpu-runc would become, or why there is none.
    pub runtime: std::result::Result<PathBuf, String>,
    /// The one that it would become for podman.
    pub podmans_runtime: std::result::Result<PathBuf, String>,
    /// The user's folder of configuration files.
    pub config_home: Option<PathBuf>,
    /// The engines that this user has without root.
    pub own_engines: Vec<Engine>,
}

impl Environment {
    /// That of this process. `config` is read from [`Config::path`], and `config_fault` what was wrong with it.
    pub fn current(config: &Config, config_fault: Option<String>) -> Self {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut gids: Vec<u32> =
            nix::unistd::getgroups().unwrap_or_default().into_iter().map(|gid| gid.as_raw()).collect();
        gids.push(nix::unistd::getegid().as_raw());
        Environment {
            path: std::env::split_paths(&path).filter(|folder| folder.is_absolute()).collect(),
            uid: nix::unistd::geteuid().as_raw(),
            gids,
            has_openat2: Host::has_openat2(),
            runtime_dir: sharing::runtime_dir(),
            config: Config::path(),
            config_fault,
            runtime: low_level::first(&config.runtimes).map_err(|error| error.to_string()),
            podmans_runtime: low_level::for_podman(&config.runtimes).map_err(|error| error.to_string()),
            config_home: scope::config_home(),
            own_engines: [Engine::Docker, Engine::Podman, Engine::Containerd]
                .into_iter()
                .filter(|engine| scope::has_own(*engine))
                .collect(),
        }
    }

    /// One of which nothing is known.
    #[cfg(test)]
    pub(super) fn unknown() -> Self {
        Environment {
            path: Vec::new(),
            uid: 0,
            gids: Vec::new(),
            has_openat2: true,
            runtime_dir: None,
            config: PathBuf::new(),
            config_fault: None,
            runtime: Err(String::new()),
            podmans_runtime: Err(String::new()),
            config_home: None,
            own_engines: Vec::new(),
        }
    }

    /// Where programs are looked for.
    pub(super) fn folders(&self) -> impl Iterator<Item = PathBuf> {
        self.path.iter().cloned().chain(exec::USUAL_FOLDERS.map(PathBuf::from))
    }
}
