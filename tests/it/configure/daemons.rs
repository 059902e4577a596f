//! `gpu-ctk runtime configure` with daemons that run, each in a corner of the machine with an /etc of its own.

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{CTK, GPU_RUNC};
use crate::engines::place::Place;
use crate::engines::session::Session;
use crate::scratch::{program_on_path, skip};

/// A corner of the machine with /etc of its own; nothing where there can be none.
fn session(test: &str, place: &Place, programs: &[(&str, &str)]) -> Option<Session> {
    let absent = programs.iter().find(|(program, _)| place.program(program).is_none());
    if let Some((program, package)) = absent {
        skip(test, &format!("{program} not on PATH (apt-get install {package})"));
        return None;
    }
    if !nix::unistd::geteuid().is_root() {
        skip(test, "needs root");
        return None;
    }
    let session = Session::new(place);
    if session.is_none() {
        skip(test, "needs CAP_SYS_ADMIN, for mounts and processes of its own");
    }
    session
}

fn shell(session: &Session, script: &str) -> String {
    let outcome = session.run(&["sh", "-c", script].map(str::to_owned));
    assert_eq!(outcome.code, 0, "{script}: {outcome:?}");
    outcome.stdout
}

/// What the first run of `script` that succeeds and prints `word` prints.
fn shows(session: &Session, script: &str, word: &str) -> String {
    let end = Instant::now() + Duration::from_secs(40);
    loop {
        let outcome = session.run(&["sh", "-c", script].map(str::to_owned));
        if outcome.code == 0 && outcome.stdout.contains(word) {
            return outcome.stdout;
        }
        assert!(Instant::now() < end, "{script}: {outcome:?}\n{}", session.scratch.read("daemon.log"));
        sleep(Duration::from_millis(100));
    }
}

fn daemon(session: &Session, command: &str) {
    let log = session.scratch.text("daemon.log");
    session.spawn(&["sh", "-c", &format!("exec {command} >{log} 2>&1")].map(str::to_owned));
}

#[test]
fn a_running_containerd_is_signalled_and_comes_back_with_the_runtime() {
    Place::all("containerd").iter().for_each(is_signalled);
}

fn is_signalled(place: &Place) {
    let needs = [("containerd", "containerd"), ("ctr", "containerd")];
    let Some(session) = session(&place.named("configure::containerd::daemon"), place, &needs) else { return };
    let [root, state] = ["root", "state"].map(|name| session.scratch.text(name));
    let address = session.scratch.text("containerd.sock");
    let text = format!(
        "version = 2\nroot = {root:?}\nstate = {state:?}\n[grpc]\naddress = {address:?}\n\
         [plugins.\"io.containerd.grpc.v1.cri\".containerd]\nsnapshotter = \"native\"\n"
    );
    let saved = session.scratch.write("config.toml", &text);
    shell(&session, &format!("cp {} /etc/containerd/config.toml", saved.display()));
    let plugins = format!("ctr --address {address} plugins list | grep 'io.containerd.grpc.v1 *cri'");
    daemon(&session, "containerd");
    shows(&session, &plugins, "cri");
    let configure = format!("{CTK} runtime configure --engine containerd --restart signal");
    shell(&session, &format!("{configure} --set-as-default"));
    // No unit is here to start it anew.
    shows(&session, "pgrep -x containerd || echo ended", "ended");
    daemon(&session, "containerd");
    let shown = shows(&session, &plugins, "ok");
    assert!(shown.contains("ok"), "{shown}");
    // It tells its log which configuration it has, 1.x as Go has it and 2.x as JSON.
    let log = session.scratch.read("daemon.log").replace("\\\"", "").to_lowercase();
    let says = |words: &str| log.contains(&words.to_lowercase());
    assert!(says("DefaultRuntimeName:gpu-runc") && says(&format!("BinaryName:{GPU_RUNC}")), "{log}");
    shell(&session, &format!("{configure} --unconfigure"));
    assert_eq!(shell(&session, "cat /etc/containerd/config.toml"), text);
}

#[test]
fn a_running_docker_is_signalled_and_has_the_runtime() {
    Place::all("dockerd").iter().for_each(docker_is_signalled);
}

fn docker_is_signalled(place: &Place) {
    let needs = [("dockerd", "docker.io"), ("docker", "docker.io"), ("containerd", "containerd"), ("runc", "runc")];
    let Some(session) = session(&place.named("configure::docker"), place, &needs) else { return };
    let [data, exec] = ["docker", "docker-exec"].map(|name| session.scratch.text(name));
    let text = format!(
        "{{\n    \"data-root\": {data:?},\n    \"exec-root\": {exec:?},\n    \"iptables\": false,\n    \"bridge\": \"none\",\n    \
         \"max-concurrent-downloads\": 5\n}}\n"
    );
    let saved = session.scratch.write("daemon.json", &text);
    shell(&session, &format!("mkdir -p /etc/docker && cp {} /etc/docker/daemon.json", saved.display()));
    daemon(&session, "dockerd");
    let info = "docker info --format '{{json .Runtimes}} default {{.DefaultRuntime}}'";
    shows(&session, info, "default runc");
    let configure = format!("{CTK} runtime configure --engine docker --restart signal");
    shell(&session, &format!("{configure} --set-as-default"));
    let shown = shows(&session, info, "default gpu-runc");
    let runtimes: Value = serde_json::from_str(shown.split(" default ").next().unwrap()).unwrap();
    assert_eq!(runtimes["gpu-runc"]["path"], GPU_RUNC);
    if shell(&session, "dockerd --help").contains("--validate") {
        shell(&session, "dockerd --validate");
    }
    let gone = session.run(&["sh", "-c", &format!("{configure} --unconfigure")].map(str::to_owned));
    assert!(gone.code == 1 && gone.stderr.contains("forgets a runtime only when it is restarted"), "{gone:?}");
    assert_eq!(shell(&session, "cat /etc/docker/daemon.json"), text);
    shell(&session, "kill $(cat /var/run/docker.pid)");
    shows(&session, "pgrep -x dockerd || echo ended", "ended");
    daemon(&session, "dockerd");
    let shown = shows(&session, info, "default runc");
    assert!(!shown.contains("gpu-runc"), "{shown}");
}

#[test]
fn podman_starts_containers_through_the_runtime() {
    let needs = [("podman", "podman"), ("conmon", "conmon"), ("runc", "runc"), ("busybox", "busybox-static")];
    let Some(session) = session("configure::podman", &Place::default(), &needs) else { return };
    let configure = format!("{CTK} runtime configure --engine podman --set-as-default");
    let said = shell(&session, &configure);
    assert!(said.ends_with("wrote /etc/containers/containers.conf.d/99-gpu-runc.conf (system)\n"), "{said}");
    let at = |name: &str| session.scratch.text(name);
    let podman = format!(
        "podman --root {} --runroot {} --tmpdir {} --cgroup-manager cgroupfs --events-backend file",
        at("podman"),
        at("podman-run"),
        at("podman-tmp")
    );
    let runtime = "info --format '{{.Host.OCIRuntime.Name}} {{.Host.OCIRuntime.Path}}'";
    assert_eq!(shell(&session, &format!("{podman} {runtime}")), format!("gpu-runc {GPU_RUNC}\n"));
    // Nothing but the named file is read then.
    shell(&session, "cp /etc/containers/containers.conf.d/99-gpu-runc.conf /etc/alone.conf");
    let alone = shell(&session, &format!("CONTAINERS_CONF=/etc/alone.conf {podman} {runtime}"));
    assert_eq!(alone, format!("gpu-runc {GPU_RUNC}\n"));
    let root = session.scratch.rootfs("rootfs", &program_on_path("busybox").unwrap());
    let run = format!("{podman} run --rm --network none --ulimit host --rootfs {} echo started", root.display());
    let started = session.run(&["sh", "-c", &run].map(str::to_owned));
    assert!(started.stdout.contains("started"), "{started:?}");
    shell(&session, &format!("{CTK} runtime configure --engine podman --unconfigure"));
    shell(&session, "[ ! -e /etc/containers/containers.conf.d ]");
    let shown = shell(&session, &format!("{podman} info --format '{{{{.Host.OCIRuntime.Name}}}}'"));
    assert_ne!(shown, "gpu-runc\n");
}
