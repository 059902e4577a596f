//! Real engines that start real containers through gpu-runc, on a host with made-up GPUs.
//!
//! One table of scenarios, walked by every engine that is installed. Needs root; what is left out is said out loud.

mod built;
mod cri;
mod engine;
mod host;
mod installation;
mod load;
mod nerdctl;
pub(crate) mod place;
mod removal;
mod rootless;
mod scenarios;
pub(crate) mod session;
mod version;

use std::panic::{AssertUnwindSafe, catch_unwind};

use engine::{Engine, Through};
use installation::Installation;
use place::Place;
use scenarios::SCENARIOS;
use session::Session;

use crate::scratch::skip;

#[test]
fn runc_gives_containers_their_gpus() {
    walk(&installation::RUNC, SCENARIOS);
}

#[test]
fn crun_gives_containers_their_gpus() {
    walk(&installation::CRUN, SCENARIOS);
}

#[test]
fn containerd_gives_containers_their_gpus() {
    walk(&installation::CONTAINERD, SCENARIOS);
}

#[test]
fn docker_gives_containers_their_gpus() {
    walk(&installation::DOCKER, SCENARIOS);
}

#[test]
fn podman_gives_containers_their_gpus() {
    walk(&installation::PODMAN, SCENARIOS);
}

#[test]
fn nerdctl_gives_containers_their_gpus() {
    walk(&installation::NERDCTL, &[SCENARIOS, nerdctl::SCENARIOS].concat());
}

/// Walks each version of the engine that is found.
fn walk(installation: &Installation, scenarios: &[(&'static str, scenarios::Check)]) {
    Place::all(installation.program).iter().for_each(|place| walk_at(place, installation, scenarios));
}

/// Brings the engine up once, goes through every scenario, and names all that fail.
fn walk_at(place: &Place, installation: &Installation, scenarios: &[(&'static str, scenarios::Check)]) {
    let test = place.named(&format!("engines::{}", installation.name));
    let Some(engine) = engine_for_test(&test, place, installation) else { return };
    eprintln!("{test}: {}", engine.version);
    let fails = |(name, check): &(&'static str, scenarios::Check)| {
        host::describe(&engine.session.scratch);
        engine.configure("");
        let failed = catch_unwind(AssertUnwindSafe(|| check(&engine))).is_err();
        eprintln!("{test}: {name}: {}", if failed { "FAILED" } else { "ok" });
        failed.then_some(*name)
    };
    let failed: Vec<_> = scenarios.iter().filter_map(fails).collect();
    let logs = || ["daemon.log", "gpu-runc.log"].map(|log| engine.session.scratch.read(log)).join("\n");
    assert!(failed.is_empty(), "{test}: {failed:#?}\n{}", logs());
}

/// The engine on a host with made-up GPUs. `None`, said out loud, where it is not to be had or cannot run a container.
fn engine_for_test(test: &str, place: &Place, installation: &Installation) -> Option<Engine> {
    let skip = |reason: &str| {
        skip(test, reason);
        None
    };
    if !nix::unistd::geteuid().is_root() {
        return skip("needs root");
    }
    for (program, package) in installation.needs {
        if place.program(program).is_none() {
            return skip(&format!("{program} not on PATH ({package})"));
        }
    }
    let Some(session) = Session::new(place) else {
        return skip("needs CAP_SYS_ADMIN, for mounts and processes of its own");
    };
    host::make(&session.scratch);
    let engine = installation.start(session);
    let plain = engine.run(Through::Plain, &[], "true");
    if plain.code != 0 {
        let why = plain.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        return skip(&format!("it cannot run a container here without us either: {why}"));
    }
    Some(engine)
}
