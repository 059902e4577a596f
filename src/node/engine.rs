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

/// The engine that runs this machine's pods. An error where that cannot be told.
pub fn detect() -> Result<Engine> {
    let rows = [
        (Engine::Rke2, detect::machine_config(Engine::Rke2)),
        (Engine::K3s, detect::machine_config(Engine::K3s)),
        (Engine::Crio, restart::CRIO_SOCKET.into()),
        (Engine::Containerd, PathBuf::from("/run/containerd/containerd.sock")),
    ];
    let mut here = Vec::new();
    for (engine, sign) in rows {
        if disk::is_there(&sign)? {
            here.push(engine);
        }
    }
    chosen(&here)
}

/// k3s and rke2 have the kubelet in them, so that a containerd beside them is for something else.
fn chosen(here: &[Engine]) -> Result<Engine> {
    match here {
        [engine] | [engine @ (Engine::K3s | Engine::Rke2), Engine::Containerd] => Ok(*engine),
        [] => Err(Error::Usage("no engine runs here that runs pods; start it, or name it by --engine".to_owned())),
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
            ([].as_slice(), None),
            (&[Containerd], Some(Containerd)),
            (&[Crio], Some(Crio)),
            (&[K3s, Containerd], Some(K3s)),
            (&[Rke2], Some(Rke2)),
            (&[Crio, Containerd], None),
            (&[Rke2, K3s], None),
        ] {
            assert_eq!(chosen(here).ok(), expected, "{here:?}");
        }
    }
}
