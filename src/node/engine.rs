//! What is known of the engines that run pods: where they listen, where they keep what runs, how to tell which one is here.
//!
//! Reads an engine's file at most; changes nothing.

use std::path::{Path, PathBuf};

use super::disk;
use crate::configure::{Engine, detect, restart};
use crate::error::{Error, Result};

/// Where k3s and rke2 have their containerd.
const RANCHER: &str = "/run/k3s/containerd";

/// Where the engine, whose main file is `config`, answers the kubelet.
pub(super) fn socket(engine: Engine, config: &Path) -> Result<PathBuf> {
    match engine {
        Engine::K3s | Engine::Rke2 => Ok(Path::new(RANCHER).join("containerd.sock")),
        Engine::Containerd => restart::socket(config),
        _ => Ok(restart::CRIO_SOCKET.into()),
    }
}

/// The state folders in which containers of this machine may have bundles. A second engine's count too: the paths that their
/// shims keep are the same.
pub(super) fn states(engine: Engine, config: &Path) -> Result<Vec<PathBuf>> {
    let mut states: Vec<PathBuf> =
        ["/run/containerd", RANCHER, "/run/docker/containerd/daemon"].map(PathBuf::from).to_vec();
    if engine == Engine::Containerd {
        let own = restart::state(config)?;
        if !states.contains(&own) {
            states.push(own);
        }
    }
    Ok(states)
}

/// The engines that run pods, and where each listens or writes while it runs.
fn rows() -> [(Engine, PathBuf); 4] {
    [
        (Engine::Rke2, detect::machine_config(Engine::Rke2)),
        (Engine::K3s, detect::machine_config(Engine::K3s)),
        (Engine::Crio, restart::CRIO_SOCKET.into()),
        (Engine::Containerd, PathBuf::from("/run/containerd/containerd.sock")),
    ]
}

/// Those whose files may name the runtime, whether they run or not.
pub(super) fn all() -> impl Iterator<Item = Engine> {
    rows().into_iter().map(|(engine, _)| engine)
}

/// The engine that runs this machine's pods, or none. An error where that cannot be told.
pub fn detect() -> Result<Option<Engine>> {
    let mut here = Vec::new();
    for (engine, sign) in rows() {
        if disk::is_there(&sign)? {
            here.push(engine);
        }
    }
    chosen(&here)
}

/// k3s and rke2 have the kubelet in them, so that a containerd beside them is for something else.
fn chosen(here: &[Engine]) -> Result<Option<Engine>> {
    match here {
        [engine] | [engine @ (Engine::K3s | Engine::Rke2), Engine::Containerd] => Ok(Some(*engine)),
        [] => Ok(None),
        several => {
            let names: Vec<_> = several.iter().map(|engine| detect::name(*engine)).collect();
            Err(Error::Usage(format!("this host has {}; say which one runs pods by --engine", names.join(", "))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_of_the_kubelet_is_chosen_and_doubt_is_asked_about() {
        use Engine::{Containerd, Crio, K3s, Rke2};
        for (here, expected) in [
            ([].as_slice(), Some(None)),
            (&[Containerd], Some(Some(Containerd))),
            (&[Crio], Some(Some(Crio))),
            (&[K3s, Containerd], Some(Some(K3s))),
            (&[Rke2], Some(Some(Rke2))),
            (&[Crio, Containerd], None),
            (&[Rke2, K3s], None),
        ] {
            assert_eq!(chosen(here).ok(), expected, "{here:?}");
        }
    }
}
