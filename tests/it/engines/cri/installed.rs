//! `gpu-ctk node` with a real CRI-O, and a pod that needs what it installed.

use std::fs;

use super::super::engine::{CTK, GPU_RUNC};
use super::super::place::Place;
use super::super::session::{Outcome, wait_until};
use super::super::{engine_for_test, installation};
use super::{FIRST, Node, SEE, WAIT, connected};
use crate::scratch::{program_on_path, skip};

const DROP_IN: &str = "crio.conf.d/99-gpu-runc.conf";

#[test]
fn cri_o_has_the_runtime_also_when_the_installer_was_killed_and_pods_end_before_it_goes() {
    for place in Place::all("crio") {
        let test = place.named("node::cri-o");
        let Some(engine) = engine_for_test(&test, &place, &installation::CRIO) else { continue };
        let node = connected(engine, true);
        for (name, program) in [("gpu-runc", GPU_RUNC), ("gpu-ctk", CTK)] {
            fs::create_dir_all(node.engine.session.scratch.path("build")).unwrap();
            fs::copy(program, node.engine.session.scratch.path("build").join(name)).unwrap();
        }
        node.engine.session.scratch.program("bin/systemctl", &systemctl(&node));
        removed_after_the_last_container(&node);
        refused_by_the_engine(&node);
        installed_although_killed(&node, &test);
    }
}

/// What systemd does, as far as it is asked to.
fn systemctl(node: &Node) -> String {
    let at = |name: &str| node.engine.session.scratch.text(name);
    let crio = format!("crio --config {} --config-dir {}", at("crio.conf"), at("crio.conf.d"));
    format!(
        "#!/bin/sh\n[ \"$*\" = 'restart crio' ] || exit 1\nkill $(pgrep -x crio)\nwhile pgrep -x crio >/dev/null; do sleep 0.1; done\n\
         setsid {crio} </dev/null >>{} 2>&1 &\n",
        at("daemon.log")
    )
}

/// The command line of `gpu-ctk node`.
fn line(node: &Node, args: &str) -> String {
    let at = |name: &str| node.engine.session.scratch.text(name);
    let source = args.replace("--source", &format!("--source {}", at("build")));
    format!("{CTK} node {source} --prefix {} --engine crio --config {}", at("opt"), at("crio.conf"))
}

fn shell(node: &Node, script: &str) -> Outcome {
    node.engine.session.run(&["sh", "-c", script].map(str::to_owned))
}

fn done(node: &Node, args: &str) -> String {
    let outcome = shell(node, &line(node, args));
    assert_eq!(outcome.code, 0, "{args}: {outcome:?}\n{}", node.engine.session.scratch.read("daemon.log"));
    outcome.stdout
}

fn removed_after_the_last_container(node: &Node) {
    let said = done(node, "install --source");
    assert!(said.contains("restart the engine\nwait for the engine\n"), "{said}");
    let drop_in = node.engine.session.scratch.read(DROP_IN);
    assert!(drop_in.contains("/opt/gpu-runc/current/gpu-runc\""), "{drop_in}");
    assert_eq!(done(node, "install --source").lines().count(), 1, "a second run does nothing");
    let status = done(node, "status");
    assert!(status.contains("ready       yes\n") && status.contains("loaded      yes\n"), "{status}");

    let pod = node.client.pod("team-a", &[]).unwrap();
    let container = pod.start("main", FIRST, WAIT).unwrap();
    let held = shell(node, &line(node, "uninstall --wait-for-containers 1"));
    assert!(held.code == 1 && held.stderr.contains("still in use by process "), "{held:?}");
    assert_eq!(pod.exec(&container, SEE), (0, "nvidia0 nvidiactl\n".to_owned()));
    pod.stop(&container, 20);
    drop(pod);
    done(node, "uninstall");
    done(node, "status --gone");
    assert!(!node.engine.session.scratch.path("opt/gpu-runc").exists());
    let refusal = wait_until(|| node.client.pod("team-a", &[]).err());
    assert!(refusal.clone().is_some_and(|why| why.contains("gpu-runc")), "it has the runtime still: {refusal:?}");
}

/// CRI-O does not start with a file that it cannot use, and does with what it had.
fn refused_by_the_engine(node: &Node) {
    let bad = node.engine.session.scratch.write("crio.conf.d/50-bad.conf", "[crio.runtime]\nlog_size_max = 1\n");
    let refused = shell(node, &line(node, "install --wait 3 --source"));
    assert!(refused.code == 1 && refused.stderr.contains("crio does not answer: "), "{refused:?}");
    assert!(!node.engine.session.scratch.path(DROP_IN).exists(), "{refused:?}");
    fs::remove_file(bad).unwrap();
    assert_eq!(shell(node, "setsid systemctl restart crio").code, 0);
}

fn installed_although_killed(node: &Node, test: &str) {
    if program_on_path("strace").is_none() {
        return skip(&format!("{test}, killed"), "strace not on PATH (apt-get install strace)");
    }
    let install = line(node, "install --source");
    done(node, "install --source");
    let written = node.engine.session.scratch.read(DROP_IN);
    // Before the journal, the drop-in and the label are in place, systemd is asked, the journal is removed.
    let spawn = "vfork,clone,clone3:when=2";
    for inject in ["rename:when=4", "rename:when=5", "rename:when=6", spawn, "unlink:when=5"] {
        done(node, "uninstall");
        let killed = shell(node, &format!("strace -o /dev/null -e inject={inject}:signal=KILL {install}"));
        assert_eq!(killed.code, 128 + 9, "{inject}: {killed:?}");
        done(node, "install --source");
        assert_eq!(node.engine.session.scratch.read(DROP_IN), written, "{inject}: {killed:?}");
        let status = done(node, "status");
        assert!(status.contains("loaded      yes\n"), "{inject}: {status}");
    }
}
