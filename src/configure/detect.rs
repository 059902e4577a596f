//! Which engines this machine has, where their files are, and which gpu-runc it is that they should be told of.

#![allow(clippy::disallowed_methods, reason = "where programs are is said by the environment")]

use std::env;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::scope::Scope;
use super::{Engine, scope};
use crate::error::{Error, Escaped, Result};

/// An engine as a person names it, the program that tells that it is here, and its file for root and for other users.
struct Row {
    engine: Engine,
    name: &'static str,
    program: &'static str,
    file: &'static str,
    own_file: Option<&'static str>,
}

const ROWS: [Row; 6] = [
    Row {
        engine: Engine::Containerd,
        name: "containerd",
        program: "containerd",
        file: "/etc/containerd/config.toml",
        own_file: Some("containerd/config.toml"),
    },
    Row {
        engine: Engine::Docker,
        name: "docker",
        program: "dockerd",
        file: "/etc/docker/daemon.json",
        own_file: Some("docker/daemon.json"),
    },
    Row { engine: Engine::Crio, name: "crio", program: "crio", file: "/etc/crio/crio.conf", own_file: None },
    Row {
        engine: Engine::Podman,
        name: "podman",
        program: "podman",
        file: "/etc/containers/containers.conf",
        own_file: Some("containers/containers.conf"),
    },
    Row {
        engine: Engine::K3s,
        name: "k3s",
        program: "k3s",
        file: "/var/lib/rancher/k3s/agent/etc/containerd/config.toml",
        own_file: None,
    },
    Row {
        engine: Engine::Rke2,
        name: "rke2",
        program: "rke2",
        file: "/var/lib/rancher/rke2/agent/etc/containerd/config.toml",
        own_file: None,
    },
];

/// The engine's name, as a person types it.
pub fn name(engine: Engine) -> &'static str {
    row(engine).map_or("", |row| row.name)
}

/// The engine's main file in this scope. Where the environment does not say whose the user's files are, the system's.
pub fn config(engine: Engine, scope: Scope) -> PathBuf {
    let own = row(engine).and_then(|row| row.own_file).filter(|_| scope == Scope::User);
    match (own, scope::config_home()) {
        (Some(own), Some(folder)) => folder.join(own),
        _ => machine_config(engine),
    }
}

/// Whether a user can have this engine without root, with a file of their own.
pub fn can_be_rootless(engine: Engine) -> bool {
    row(engine).is_some_and(|row| row.own_file.is_some())
}

/// The engine's main file as the machine's own daemon reads it, whoever asks.
pub fn machine_config(engine: Engine) -> PathBuf {
    row(engine).map_or_else(PathBuf::new, |row| row.file.into())
}

fn row(engine: Engine) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.engine == engine)
}

/// The one engine of this machine. An error if there is none, or several that are each somebody's choice.
pub fn engine() -> Result<Engine> {
    let here: Vec<Engine> = ROWS.iter().filter(|row| is_program(row.program)).map(|row| row.engine).collect();
    match chosen(&here) {
        [] => Err(Error::Usage("this host has no engine that can be found on PATH; name one with --engine".to_owned())),
        [engine] => Ok(*engine),
        // All that are here: a containerd of Docker's can be named too.
        _ => {
            let names: Vec<_> = here.iter().map(|engine| name(*engine)).collect();
            Err(Error::Usage(format!("this host has {}; name one with --engine", names.join(", "))))
        }
    }
}

/// A containerd that came with Docker is Docker's, and needs to be told nothing.
fn chosen(here: &[Engine]) -> &[Engine] {
    match here {
        [Engine::Containerd, rest @ ..] if rest.contains(&Engine::Docker) => rest,
        here => here,
    }
}

/// Whether a program called `name` is on the PATH, or in a usual directory.
pub(super) fn is_program(name: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/local/bin", "/usr/local/sbin", "/usr/bin", "/usr/sbin"].map(PathBuf::from);
    env::split_paths(&path).chain(usual).any(|folder| folder.join(name).is_file())
}

/// The gpu-runc beside this program, else the one of the usual folders.
pub fn gpu_runc() -> Result<PathBuf> {
    let beside = env::current_exe().ok().map(|program| program.with_file_name("gpu-runc"));
    let usual = ["/usr/local/bin/gpu-runc", "/usr/bin/gpu-runc"].map(PathBuf::from);
    let found = beside.into_iter().chain(usual).find(|file| file.is_file());
    found.ok_or_else(|| Error::Usage("gpu-runc is not beside gpu-ctk and not installed; say --runtime-path".to_owned()))
}

/// Whether there is a program at `path`. An error where there is something that cannot be started.
pub fn is_startable(path: &Path) -> Result<bool> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_file() && found.mode() & 0o111 != 0 => Ok(true),
        Ok(_) => {
            Err(Error::Usage(format!("--runtime-path {}: that is no program that can be started", Escaped::path(path))))
        }
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(cause) => Err(Error::io("look at", path, cause)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_containerd_beside_docker_is_dockers() {
        use Engine::{Containerd, Docker, K3s, Podman};
        for (here, expected) in [
            ([].as_slice(), [].as_slice()),
            (&[Containerd], &[Containerd]),
            (&[Containerd, Docker], &[Docker]),
            (&[Containerd, Podman], &[Containerd, Podman]),
            (&[K3s], &[K3s]),
        ] {
            assert_eq!(chosen(here), expected);
        }
    }
}
