//! Whether gpu-runc may be removed, by the script that both kinds of packages run before they go: it reads what engines remember of
//! the runtime that started a container.

use super::engine::{Engine, GPU_RUNC, Grammar, Through, Verb};
use super::scenarios::{NOTHING, WAIT};
use super::session::{Outcome, wait_until};

/// Runs the script, about the program under test, as dpkg does.
fn before(engine: &Engine, what: &str) -> Outcome {
    let script = include_str!("../../../packaging/before-removal").replace("/usr/bin/gpu-runc", GPU_RUNC);
    let script = engine.session.scratch.write("before-removal", &script).into_os_string().into_string().unwrap();
    engine.session.run(&["sh", &script, what].map(str::to_owned))
}

/// The containers for which it refuses.
pub(super) fn needed_by(engine: &Engine) -> Vec<String> {
    let said = before(engine, "remove");
    let (_, list) = said.stderr.split_once("stop and delete them: ").unwrap_or_default();
    let ids: Vec<_> = list.lines().next().unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    assert_eq!(said.code != 0, !ids.is_empty(), "{said:?}");
    ids
}

pub(super) fn is_refused(engine: &Engine) {
    let others = needed_by(engine);
    let plain = engine.container(Through::Plain);
    assert_eq!(plain.start(NOTHING, WAIT).code, 0);
    assert_eq!(needed_by(engine), others, "a container that it did not start");
    let container = engine.container(Through::GpuRunc);
    assert_eq!(container.start(NOTHING, WAIT).code, 0);
    // Who calls the runtime by hand may call another one from now on.
    let needed = usize::from(engine.grammar != Grammar::Oci);
    assert_eq!(needed_by(engine).len(), others.len() + needed, "a container that it started");
    assert_eq!(before(engine, "upgrade").code, 0);
    for container in [plain, container] {
        container.tell(Verb::Kill("KILL"));
        wait_until(|| (container.status() == "stopped").then_some(())).expect("it does not stop");
        container.tell(Verb::Delete);
    }
    assert!(wait_until(|| (needed_by(engine) == others).then_some(())).is_some(), "a container that is gone");
}
