//! `gpu-ctk node` with each real containerd that is found, which something starts again when it ends.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::thread::sleep;
use std::time::Duration;

use crate::engines::place::Place;
use crate::engines::session::{Outcome, Session, wait_until};
use crate::scratch::{program_on_path, skip};

const CTK: &str = env!("CARGO_BIN_EXE_gpu-ctk");
const GPU_RUNC: &str = env!("CARGO_BIN_EXE_gpu-runc");
/// Containers that come and go while builds are switched.
const CHURN: u32 = 60;

#[derive(Debug)]
struct Node {
    session: Session,
    config: String,
}

impl Node {
    /// Nothing where there can be no containerd.
    fn new(test: &str, place: &Place) -> Option<Self> {
        for (program, package) in
            [("containerd", "containerd"), ("ctr", "containerd"), ("runc", "runc"), ("busybox", "busybox-static")]
        {
            if place.program(program).is_none() {
                skip(test, &format!("{program} not on PATH (apt-get install {package})"));
                return None;
            }
        }
        let session = Some(()).filter(|()| nix::unistd::geteuid().is_root()).and_then(|()| Session::new(place));
        let Some(session) = session else {
            skip(test, "needs root, and mounts and processes of its own");
            return None;
        };
        let scratch = &session.scratch;
        let (root, state, address) = (scratch.text("root"), scratch.text("state"), scratch.text("containerd.sock"));
        let config = format!(
            "version = 2\nroot = {root:?}\nstate = {state:?}\n[grpc]\naddress = {address:?}\n\
             [plugins.\"io.containerd.grpc.v1.cri\".containerd]\nsnapshotter = \"native\"\n"
        );
        scratch.write("config.toml", &config);
        scratch.rootfs("rootfs", &program_on_path("busybox").unwrap());
        scratch.write("gpu-runc/config.toml", "[log]\nsyslog = false\n");
        for build in ["a", "b"] {
            for (name, program) in [("gpu-runc", GPU_RUNC), ("gpu-ctk", CTK)] {
                fs::create_dir_all(scratch.path(build)).unwrap();
                fs::copy(program, scratch.path(build).join(name)).unwrap();
            }
        }
        // What follows the last section of a program is nobody's.
        fs::OpenOptions::new().append(true).open(scratch.path("b/gpu-runc")).unwrap().write_all(b"b").unwrap();
        let (log, file) = (scratch.text("daemon.log"), scratch.text("config.toml"));
        let forever = format!("while :; do containerd --config {file} >>{log} 2>&1; echo again >>{log}; done");
        session.spawn(&["sh", "-c", &forever].map(str::to_owned));
        let node = Node { session, config };
        let answers = || Some(node.shell(&format!("{} version", node.ctr()))).filter(|outcome| outcome.code == 0);
        wait_until(answers).unwrap_or_else(|| panic!("{}", node.session.scratch.read("daemon.log")));
        Some(node)
    }

    /// Each containerd's turn.
    fn each(test: &str, check: fn(&Node)) {
        for place in Place::all("containerd") {
            let test = place.named(test);
            eprintln!("{test}");
            if let Some(node) = Node::new(&test, &place) {
                check(&node);
            }
        }
    }

    /// containerd's file, and our drop-in of one that merges them.
    fn files(&self) -> [String; 2] {
        ["config.toml", "conf.d/99-gpu-runc.toml"].map(|name| self.session.scratch.read(name))
    }

    fn ctr(&self) -> String {
        format!("ctr --address {}", self.session.scratch.text("containerd.sock"))
    }

    fn shell(&self, script: &str) -> Outcome {
        self.session.run(&["sh", "-c", script].map(str::to_owned))
    }

    fn done(&self, script: &str) -> String {
        let outcome = self.shell(script);
        assert_eq!(outcome.code, 0, "{script}: {outcome:?}\n{}", self.session.scratch.read("daemon.log"));
        outcome.stdout
    }

    /// The command line of `gpu-ctk node`.
    fn node(&self, args: &str) -> String {
        let at = |name: &str| self.session.scratch.text(name);
        let source = args.replace("--source ", &format!("--source {}", at("")));
        format!("{CTK} node {source} --prefix {} --engine containerd --config {}", at("opt"), at("config.toml"))
    }

    fn program(&self) -> String {
        self.session.scratch.text("opt/gpu-runc/current/gpu-runc")
    }

    /// A container's command line, up to its own.
    fn run(&self, mode: &str, id: &str, program: &str) -> String {
        let (cgroup, rootfs) = (self.session.cgroup(), self.session.scratch.text("rootfs"));
        let options = format!("--runc-binary {program} --cgroup {cgroup}/{id} --env PATH=/bin --rootfs");
        format!("{} run {mode} {options} {rootfs} {id}", self.ctr())
    }

    /// Removes what was killed, as soon as it is dead.
    fn delete(&self, id: &str) {
        let ctr = self.ctr();
        let gone = format!("{ctr} task delete {id}; ! {ctr} task list -q | grep -qx {id}");
        wait_until(|| Some(()).filter(|()| self.shell(&gone).code == 0)).unwrap();
    }

    fn restarts(&self) -> usize {
        self.session.scratch.read("daemon.log").lines().filter(|line| *line == "again").count()
    }
}

#[test]
fn a_real_containerd_has_the_runtime_also_when_the_installer_was_killed() {
    Node::each("node::containerd", installed_although_killed);
}

fn installed_although_killed(node: &Node) {
    let install = node.node("install --restart signal --source a");
    let said = node.done(&install);
    assert!(said.contains("restart the engine\nwait for the engine\n"), "{said}");
    let written = node.files();
    let [_, drop_in] = &written;
    let is_said = written.iter().any(|text| text.contains(&format!("BinaryName = \"{}\"", node.program())));
    assert!(is_said, "{written:?}");
    assert_eq!((node.done(&install).lines().count(), node.restarts()), (1, 1), "a second run restarts nothing");
    let status = node.done(&node.node("status"));
    assert!(status.contains("ready       yes\n") && status.contains("loaded      yes\n"), "{status}");

    let uninstall = node.node("uninstall --restart signal");
    if program_on_path("strace").is_none() {
        return skip("node::containerd::killed", "strace not on PATH (apt-get install strace)");
    }
    // Before the journal, the engine's files and the label are in place, the engine is signalled, the journal is removed.
    let label = if drop_in.is_empty() { 6 } else { 7 };
    let renames = (4..=label).map(|count| format!("rename:when={count}"));
    for inject in renames.chain(["kill:when=1", "unlink:when=5"].map(str::to_owned)) {
        node.done(&uninstall);
        assert_eq!(node.files(), [node.config.clone(), String::new()], "before {inject}");
        let killed = node.shell(&format!("strace -o /dev/null -e inject={inject}:signal=KILL {install}"));
        assert_eq!(killed.code, 128 + 9, "{inject}: {killed:?}");
        node.done(&install);
        assert_eq!(node.files(), written, "{inject}: {killed:?}");
        node.done(&node.node("status"));
    }
}

#[test]
fn a_configuration_that_containerd_refuses_never_reaches_it() {
    Node::each("node::refused", refused);
}

fn refused(node: &Node) {
    // Good TOML, and no configuration of containerd's.
    let bad = format!("{}oom_score = \"high\"\n", node.config.split("[grpc]").next().unwrap());
    let rest = node.config.split("[grpc]").nth(1).unwrap();
    let bad = format!("{bad}[grpc]{rest}");
    node.session.scratch.write("config.toml", &bad);
    let refused = node.shell(&node.node("install --restart signal --source a --wait 5"));
    assert!(refused.code == 1 && refused.stderr.contains("containerd refuses it: "), "{refused:?}");
    assert_eq!((node.session.scratch.read("config.toml"), node.restarts()), (bad, 0));
}

#[test]
fn an_upgrade_under_load_fails_no_container_and_old_ones_end_well() {
    Node::each("node::churn", upgraded_under_load);
}

fn upgraded_under_load(node: &Node) {
    node.done(&node.node("install --restart signal --source a"));
    node.done(&format!("{} sleep 1000", node.run("--detach", "old", &node.program())));
    let enough = node.session.scratch.text("enough");
    // By its exit status: ctr may close the pipes of a container that has ended before it has read all of its output.
    let churn = format!(
        "i=0; while [ $i -lt {CHURN} ] || ! [ -e {enough} ]; do i=$((i + 1)); {} sh -c 'exit 42'; [ $? = 42 ] && echo started$i || echo failed $i; done",
        node.run("--rm", "c$i", &node.program())
    );
    let running = node.session.spawn(&["sh", "-c", &churn].map(str::to_owned));
    let mut switches = 0;
    let mut is_over = false;
    let mut running = running;
    while !is_over {
        for build in ["b", "a"] {
            let said = node.done(&node.node(&format!("install --restart signal --source {build}")));
            assert!(said.contains("point ") && !said.contains("restart"), "{said}");
            switches += 1;
            if switches == 6 {
                node.session.scratch.write("enough", "");
            }
            sleep(Duration::from_millis(100));
        }
        is_over = running.has_ended();
    }
    let outcome = running.wait();
    let started = outcome.stdout.lines().filter(|line| line.starts_with("started")).count();
    assert!(started >= CHURN as usize && !outcome.stdout.contains("failed"), "{switches} switches: {outcome:?}");

    let held = node.shell(&node.node("uninstall --restart signal --wait-for-containers 1"));
    assert!(held.code == 1 && held.stderr.contains("still in use by container default/old"), "{held:?}");
    node.done(&format!("{} task kill --signal KILL old", node.ctr()));
    node.delete("old");
    node.done(&node.node("uninstall --restart signal"));
    assert_eq!(node.files(), [node.config.clone(), String::new()]);
    assert!(!node.session.scratch.path("opt/gpu-runc").exists());
}

#[test]
fn a_container_costs_as_many_calls_as_the_documentation_counts() {
    Node::each("node::calls", counted);
}

fn counted(node: &Node) {
    let calls = node.session.scratch.text("calls");
    let counting = format!("#!/bin/sh\nprintf '%s\\n' \"$*\" >>{calls}\nexec runc \"$@\"\n");
    let program = node.session.scratch.program("counting", &counting).display().to_string();
    node.done(&format!("{} sleep 1000", node.run("--detach", "c", &program)));
    node.done(&format!("{} task exec --exec-id e c true", node.ctr()));
    node.done(&format!("{} task kill --signal KILL c", node.ctr()));
    node.delete("c");
    let verbs = ["create", "start", "exec", "kill", "delete"];
    let count = || {
        let mut counted = BTreeMap::new();
        for line in node.session.scratch.read("calls").lines() {
            let verb = verbs.iter().find(|verb| line.split(' ').any(|word| word == **verb)).unwrap_or(&"another");
            *counted.entry(*verb).or_insert(0) += 1;
        }
        counted
    };
    // The second delete is that of the shim's last act, after ours has been answered.
    let is_whole = |counted: &BTreeMap<&str, u32>| counted.get("delete") == Some(&2);
    let counted = wait_until(|| Some(count()).filter(is_whole)).unwrap_or_else(count);
    let documented = include_str!("../../../packaging/kubernetes/README.md");
    for (verb, times) in &counted {
        assert!(documented.contains(&format!("| `{verb}` | {times} |")), "the shim called {counted:?}");
    }
    assert_eq!(counted.values().sum::<u32>(), 6, "{counted:?}");
}
