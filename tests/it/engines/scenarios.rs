//! What every engine must do alike, as a table of sentences and checks.

use std::fs;

use serde_json::{Value, json};

use super::engine::{Ask, Engine, Grammar, Through, Verb};
use super::session::{Outcome, wait_until};
use super::{host, removal};
use crate::hosts;

/// Fails by panicking.
pub(crate) type Check = fn(&Engine);

pub(crate) const SCENARIOS: &[(&str, Check)] = &[
    ("a container that asks for nothing is as without gpu-runc", asks_for_nothing),
    ("a container that asks for nothing keeps its config.json", config_json),
    ("start, exec, pause, resume, kill, delete are as without gpu-runc", lives_as_without),
    ("exit codes and signals are as without gpu-runc", ends_as_without),
    ("devices have the host's numbers and the right permissions", devices),
    ("devices can be used under the device cgroup, and no others", device_cgroup),
    ("the driver's environment and mounts are there", environment_and_mounts),
    ("hooks run when they should", hooks),
    ("what vendors leave to hooks is done without them", vendors_hooks),
    ("every way of asking is understood", ways_of_asking),
    ("a container on a terminal stays on it and sees its devices", terminal),
    ("a process added later sees the devices too", exec_sees_devices),
    ("a change of its resources does not take a container's devices", update_keeps_devices),
    ("a container that is started again gets what the machine has by then", started_again),
    ("what the policy refuses is explained to the engine's user", refused),
    ("a device that does not exist is named to the engine's user", unresolvable),
    ("a broken CDI file does not hide a good one", broken_cdi_file),
    ("a broken configuration stops only who asks", broken_configuration),
    ("a grant is logged", grant_is_logged),
    ("a machine with a driver and nothing else is enough", described_from_the_machine),
    ("an engine's own CDI finds what was generated", generated_for_the_engine),
    ("gpu-runc is not removed while an engine needs it for a container", removal::is_refused),
];

const FIRST: &[Ask] = &[Ask::Env("NVIDIA_VISIBLE_DEVICES=0")];
pub(super) const NOTHING: &[Ask] = &[];

/// Everything that the runtime decides and that two containers of one image have in common. It waits at the end, because ctr may lose
/// what a container writes just before it is gone.
const DESCRIBE_YOURSELF: &str = "
    env | grep -v HOSTNAME | sort
    id
    find /dev -type c | sort | xargs stat -c '%n %t:%T %a %u:%g'
    cut -d' ' -f2,3 /proc/mounts | sort
    grep -E '^(Cap|Sig[^Q]|NoNewPrivs|Seccomp|Umask)' /proc/self/status
    cat /proc/self/oom_score_adj /proc/self/limits
    ls /proc/self/fd
    pwd
    sleep 0.2
";
/// Until it is told to end.
pub(super) const WAIT: &str = "trap 'exit 5' TERM; echo ready; while :; do sleep 0.1; done";

fn asks_for_nothing(engine: &Engine) {
    let asks = [NOTHING, &[Ask::Env("NVIDIA_VISIBLE_DEVICES=void")], &[Ask::Env("NVIDIA_VISIBLE_DEVICES=")]];
    for asks in asks {
        as_without(|through| vec![engine.run(through, asks, DESCRIBE_YOURSELF)]);
    }
}

fn config_json(engine: &Engine) {
    if engine.grammar != Grammar::Oci {
        return; // engines keep theirs to themselves; what is in it shows in the container
    }
    for (asks, is_replaced) in [(NOTHING, false), (FIRST, true)] {
        let container = engine.container(Through::GpuRunc);
        let outcome = container.spawn(asks, "true").wait();
        assert_eq!(outcome.code, 0, "{asks:?}: {outcome:?}");
        assert_eq!(container.config_json_was_replaced(), is_replaced, "{asks:?}");
    }
}

fn lives_as_without(engine: &Engine) {
    as_without(|through| {
        let container = engine.container(through);
        let status = |wanted| {
            let reached = wait_until(|| (container.status() == wanted).then_some(()));
            assert!(reached.is_some(), "{through:?}: never {wanted}: {:?}", container.tell(Verb::Status));
        };
        let mut outcomes = vec![container.start(NOTHING, WAIT)];
        status("running");
        outcomes.push(container.exec("echo inside; exit 7"));
        outcomes.push(container.tell(Verb::Pause));
        status("paused");
        outcomes.push(container.tell(Verb::Resume));
        status("running");
        outcomes.push(container.tell(Verb::Kill("TERM")));
        status("stopped");
        outcomes.extend([container.exec("true"), container.tell(Verb::Delete)]);
        outcomes.extend([container.tell(Verb::Kill("TERM")), container.tell(Verb::Delete)]);
        outcomes
    });
}

fn ends_as_without(engine: &Engine) {
    for script in ["exit 0", "exit 3", "exit 255", "kill -KILL $$; exit 4", "no-such-program"] {
        as_without(|through| vec![engine.run(through, NOTHING, script)]);
    }
    for (signal, code) in [("TERM", 5), ("KILL", 137)] {
        as_without(|through| {
            let container = engine.container(through);
            let mut running = container.spawn(NOTHING, WAIT);
            assert!(running.prints("ready"), "{:?}", running.wait());
            let told = container.tell(Verb::Kill(signal));
            let ended = running.wait();
            assert_eq!(ended.code, code, "{through:?} {signal}: {ended:?}");
            vec![told, ended]
        });
    }
}

/// Compares exit codes and output of the same steps through gpu-runc and through the low-level runtime itself.
fn as_without(steps: impl Fn(Through) -> Vec<Outcome>) {
    let seen = |through| steps(through).into_iter().map(|said| (said.code, said.stdout)).collect::<Vec<_>>();
    assert_eq!(seen(Through::GpuRunc), seen(Through::Plain), "left: through gpu-runc, right: without it");
}

fn devices(engine: &Engine) {
    let script = "cd /dev; stat -c '%n %t:%T %a %u:%g' nvidia*";
    let (first, second, control) = ("nvidia0 1:5 666 0:0", "nvidia1 1:5 600 0:44", "nvidiactl 1:b 640 0:0");
    for (ask, seen) in [
        ("NVIDIA_VISIBLE_DEVICES=0", vec![first, control]),
        ("NVIDIA_VISIBLE_DEVICES=1", vec![second, control]),
        ("NVIDIA_VISIBLE_DEVICES=0,1", vec![first, second, control]),
        ("NVIDIA_VISIBLE_DEVICES=all", vec![first, second, control]),
    ] {
        assert_eq!(succeeds(engine, &[Ask::Env(ask)], script).lines().collect::<Vec<_>>(), seen, "{ask}");
    }
}

fn device_cgroup(engine: &Engine) {
    let script = "set -e; head -c 2 /dev/nvidia0 | od -An -tx1; : > /dev/nvidiactl; echo opened";
    assert_eq!(succeeds(engine, FIRST, script).trim(), "00 00\nopened");
    let (major, minor) = host::KMSG;
    let script = format!("cd /tmp; rm -f made; mknod made c {major} {minor} && echo made; : > made && echo opened");
    assert_eq!(engine.run(Through::GpuRunc, NOTHING, &script).stdout.trim(), "made");
}

fn environment_and_mounts(engine: &Engine) {
    let script =
        "echo $GPU_DRIVER; cd /usr/lib; cat libcuda.so.1; grep libcuda /proc/mounts | cut -d' ' -f2,4 | cut -d, -f1-3";
    let seen = succeeds(engine, FIRST, script);
    assert_eq!(seen.trim(), format!("made-up\n{}/usr/lib/libcuda.so.1 ro,nosuid,nodev", host::LIBRARY));
    let writes = engine.run(Through::GpuRunc, FIRST, "echo changed > /usr/lib/libcuda.so.1");
    assert_ne!(writes.code, 0);
    assert_eq!(engine.session.scratch.read("host/lib/libcuda.so.1"), host::LIBRARY);
}

fn hooks(engine: &Engine) {
    let mark = |name: &str| engine.session.scratch.path("hooks").join(name);
    for name in ["createContainer", "poststop"] {
        let _ = fs::remove_file(mark(name));
    }
    succeeds(engine, NOTHING, "true");
    assert!(!mark("createContainer").exists(), "a hook ran for a container that asked for nothing");
    let container = engine.container(Through::GpuRunc);
    let mut running = container.spawn(FIRST, WAIT);
    assert!(running.prints("ready"), "{:?}", running.wait());
    assert!(mark("createContainer").exists(), "no createContainer hook ran");
    assert!(!mark("poststop").exists(), "the poststop hook ran before the end");
    container.tell(Verb::Kill("KILL"));
    running.wait();
    wait_until(|| mark("poststop").exists().then_some(())).expect("no poststop hook ran");
}

fn vendors_hooks(engine: &Engine) {
    let scratch = &engine.session.scratch;
    let mark = scratch.text("hooks/vendor");
    let program = scratch.program("bin/a-vendors-hook", &format!("#!/bin/sh\ncat >/dev/null\ntouch {mark}\n"));
    let hook = |args: &[&str]| json!({ "hookName": "createContainer", "path": program, "args": ([&["nvidia-cdi-hook"], args].concat()) });
    let mut document: Value = serde_json::from_str(&scratch.read("cdi/nvidia.json")).unwrap();
    document["containerEdits"]["hooks"] = json!([
        hook(&[
            "create-symlinks",
            "--link",
            "libcuda.so.1::/usr/lib/libcuda.so",
            "--link",
            "../nvidia0::/dev/gpus/first"
        ]),
        hook(&["update-ldcache", "--folder", "/usr/lib"]),
        hook(&["update-application-profile"]),
    ]);
    scratch.write("cdi/nvidia.json", &document.to_string());
    let script =
        "readlink /usr/lib/libcuda.so; cat /usr/lib/libcuda.so; stat -c %t:%T /dev/gpus/first; ls /etc/nvidia/*";
    let seen = succeeds(engine, FIRST, script);
    let expected = format!("libcuda.so.1 {} 1:5 10-container.conf", host::LIBRARY);
    assert_eq!(seen.split_whitespace().collect::<Vec<_>>(), expected.split_whitespace().collect::<Vec<_>>());
    assert!(!scratch.path("hooks/vendor").exists(), "a hook was run");
}

fn ways_of_asking(engine: &Engine) {
    let ways = [Ask::Env("NVIDIA_VISIBLE_DEVICES=1"), Ask::Env("GPU_VISIBLE_DEVICES=nvidia.com/gpu=1")];
    let annotations =
        [Ask::Annotation("gpu-runc/gpus", "device=1"), Ask::Annotation("cdi.k8s.io/test", "nvidia.com/gpu=1")];
    let annotations = annotations.into_iter().filter(|_| engine.annotations);
    for ask in ways.into_iter().chain(annotations).chain(engine.gpus_flag.map(Ask::Gpus)) {
        assert_eq!(succeeds(engine, &[ask], "cd /dev; echo nvidia*").trim(), "nvidia1 nvidiactl", "{ask:?}");
    }
    for program in ["nvidia-container-runtime-hook", "nvidia-container-cli"] {
        assert!(!engine.session.scratch.path("hooks").join(program).exists(), "{program} was run");
    }
}

fn terminal(engine: &Engine) {
    let script = "test -t 0 && test -t 1 && echo on a terminal; cd /dev; echo nvidia*; exit 3";
    let plain = &[Ask::Terminal][..];
    let asking = &[Ask::Terminal, FIRST[0]][..];
    for (through, asks, devices) in [
        (Through::Plain, plain, "nvidia*"),
        (Through::GpuRunc, plain, "nvidia*"),
        (Through::GpuRunc, asking, "nvidia0 nvidiactl"),
    ] {
        let seen = engine.run(through, asks, script);
        // A part is compared: terminals echo, and crun now and then adds colours.
        let is_complete = ["on a terminal", devices].iter().all(|part| seen.stdout.contains(part));
        assert!(seen.code == 3 && is_complete, "{through:?} {asks:?}: {seen:?}");
    }
}

fn exec_sees_devices(engine: &Engine) {
    let container = engine.container(Through::GpuRunc);
    let started = container.start(FIRST, WAIT);
    assert_eq!(started.code, 0, "{started:?}");
    let seen = container.exec("head -c 1 /dev/nvidia0 | od -An -tx1; : > /dev/nvidiactl && echo opened");
    assert_eq!((seen.code, seen.stdout.trim()), (0, "00\nopened"), "{seen:?}");
    container.tell(Verb::Kill("KILL"));
}

fn update_keeps_devices(engine: &Engine) {
    let container = engine.container(Through::GpuRunc);
    let started = container.start(FIRST, WAIT);
    assert_eq!(started.code, 0, "{started:?}");
    let updated = container.tell(Verb::Update);
    assert_eq!(updated.code, 0, "{updated:?}");
    let seen = container.exec("head -c 1 /dev/nvidia0 | od -An -tx1; : > /dev/nvidiactl && echo opened");
    assert_eq!((seen.code, seen.stdout.trim()), (0, "00\nopened"), "{seen:?}");
    container.tell(Verb::Kill("KILL"));
}

fn started_again(engine: &Engine) {
    if engine.grammar != Grammar::Docker {
        return; // the others make a new container
    }
    let container = engine.container(Through::GpuRunc);
    let has = |expected: &str| {
        let seen = container.exec("cd /dev; echo nvidia*");
        assert_eq!((seen.code, seen.stdout.trim()), (0, expected), "{seen:?}");
    };
    let started = container.start(FIRST, WAIT);
    assert_eq!(started.code, 0, "{started:?}");
    has("nvidia0 nvidiactl");
    let stopped = || {
        container.tell(Verb::Kill("KILL"));
        wait_until(|| (container.status() == "stopped").then_some(())).expect("it does not stop");
    };
    stopped();
    let scratch = &engine.session.scratch;
    scratch.write("cdi/nvidia.json", &scratch.read("cdi/nvidia.json").replace("nvidia0", "nvidia1"));
    let again = container.tell(Verb::Start);
    assert_eq!(again.code, 0, "{again:?}");
    has("nvidia1 nvidiactl");
    stopped();
    container.tell(Verb::Delete);
}

fn refused(engine: &Engine) {
    engine.configure("[policy]\nenv = \"never\"\nrefused = \"error\"\n");
    fails(engine, FIRST, &["NVIDIA_VISIBLE_DEVICES", "may not ask for GPUs"]);
    succeeds(engine, NOTHING, "true");
    engine.configure("[policy]\nenv = \"never\"\nrefused = \"warn\"\n");
    assert_eq!(succeeds(engine, FIRST, "cd /dev; echo nvidia*").trim(), "nvidia*");
}

fn unresolvable(engine: &Engine) {
    let words = ["CDI device injection failed: unresolvable CDI devices nvidia.com/gpu=9", "NVIDIA_VISIBLE_DEVICES"];
    fails(engine, &[Ask::Env("NVIDIA_VISIBLE_DEVICES=9")], &words);
    fails(engine, &[Ask::Env("NVIDIA_VISIBLE_DEVICES=0,9")], &words);
}

fn broken_cdi_file(engine: &Engine) {
    engine.session.scratch.write("cdi/broken.json", "{ \"cdiVersion\": ");
    engine.session.scratch.write("cdi/broken.yaml", "cdiVersion: [");
    engine
        .session
        .scratch
        .write("cdi/wrong.json", r#"{ "cdiVersion": "0.5.0", "kind": "acme.example", "devices": [] }"#);
    devices(engine);
}

fn broken_configuration(engine: &Engine) {
    engine
        .session
        .scratch
        .write("gpu-runc/config.toml", &format!("runtimes = [{:?}]\nruntime = 1\n", engine.low_level));
    succeeds(engine, NOTHING, "true");
    fails(engine, FIRST, &["/etc/gpu-runc/config.toml:2"]);
}

fn grant_is_logged(engine: &Engine) {
    let _ = fs::remove_file(engine.session.scratch.path("gpu-runc.log"));
    succeeds(engine, NOTHING, "true");
    assert_eq!(engine.session.scratch.read("gpu-runc.log"), "");
    succeeds(engine, FIRST, "true");
    let log = engine.session.scratch.read("gpu-runc.log");
    assert_eq!(log.lines().count(), 1, "{log}");
    for word in ["grant", "nvidia.com/gpu=0", "NVIDIA_VISIBLE_DEVICES"] {
        assert!(log.contains(word), "{log}");
    }
}

/// Makes the machine `name` of tests/hosts in the scratch folder of the same name.
fn machine(engine: &Engine, name: &str) {
    let scratch = &engine.session.scratch;
    if !scratch.path(name).exists() {
        assert!(hosts::add(name, &scratch.path(name)), "root makes device nodes");
    }
    engine.configure_machine(name);
}

fn described_from_the_machine(engine: &Engine) {
    machine(engine, "nvidia-h100-8");
    let script = "cd /dev; ls nvidia* dri/render*; cd /usr/lib/x86_64-linux-gnu; ls libcuda.so*; ls /tmp/nvidia-mps";
    let seen = succeeds(engine, &[Ask::Env("NVIDIA_VISIBLE_DEVICES=4")], script);
    let expected = "dri/renderD132 nvidia-modeset nvidia-uvm nvidia-uvm-tools nvidia7 nvidiactl libcuda.so libcuda.so.1 \
                    libcuda.so.550.54.15 control";
    assert_eq!(seen.split_whitespace().collect::<Vec<_>>(), expected.split_whitespace().collect::<Vec<_>>());

    machine(engine, "amd-mi300x-8");
    let script = "cd /dev; ls kfd dri/*; id -G | tr ' ' '\\n' | grep -cE '^(44|105)$'";
    let seen = succeeds(engine, &[Ask::Env("AMD_VISIBLE_DEVICES=hip-1")], script);
    assert_eq!(seen.split_whitespace().collect::<Vec<_>>(), ["dri/card9", "dri/renderD136", "kfd", "2"]);
}

fn generated_for_the_engine(engine: &Engine) {
    if !engine.has_cdi {
        return;
    }
    machine(engine, "nvidia-h100-8");
    let scratch = &engine.session.scratch;
    let generate =
        [env!("CARGO_BIN_EXE_gpu-ctk"), "cdi", "generate", "--vendor", "nvidia", "--output", "-", "--format", "json"];
    let printed = engine.session.run(&generate.map(str::to_owned));
    assert_eq!(printed.code, 0, "{printed:?}");
    // The file is for the machine that it describes; here that machine is a folder of another.
    let root = scratch.text("nvidia-h100-8");
    let mut spec: Value = serde_json::from_str(&printed.stdout).unwrap();
    let devices = spec["devices"].as_array_mut().unwrap().iter_mut().map(|device| &mut device["containerEdits"]);
    for edits in devices.collect::<Vec<_>>() {
        move_below(&root, edits);
    }
    move_below(&root, &mut spec["containerEdits"]);
    let file = scratch.write("generated.json", &spec.to_string());
    let install = format!("mkdir -p /etc/cdi && cp {} /etc/cdi/nvidia.json", file.display());
    assert_eq!(engine.session.run(&["sh", "-c", &install].map(str::to_owned)).code, 0);
    let seen = engine.run(
        Through::Plain,
        &[Ask::Device("nvidia.com/gpu=4")],
        "cd /dev; ls nvidia[0-9]; ls /usr/lib/x86_64-linux-gnu/libcuda.so.1",
    );
    assert_eq!(
        seen.stdout.split_whitespace().collect::<Vec<_>>(),
        ["nvidia7", "/usr/lib/x86_64-linux-gnu/libcuda.so.1"],
        "{seen:?}"
    );
    assert_eq!(engine.session.run(&["rm", "/etc/cdi/nvidia.json"].map(str::to_owned)).code, 0);
}

/// Puts the host paths of container edits below `root`.
fn move_below(root: &str, edits: &mut Value) {
    for member in ["deviceNodes", "mounts"] {
        for entry in edits[member].as_array_mut().into_iter().flatten() {
            let known = entry["hostPath"].as_str().or(entry["path"].as_str()).unwrap();
            entry["hostPath"] = Value::from(format!("{root}{known}"));
        }
    }
}

pub(super) fn succeeds(engine: &Engine, asks: &[Ask], script: &str) -> String {
    let outcome = engine.run(Through::GpuRunc, asks, script);
    assert_eq!(outcome.code, 0, "{asks:?} {script}: {outcome:?}");
    outcome.stdout
}

/// The container is not created, and `words` are in what the engine's client prints.
pub(super) fn fails(engine: &Engine, asks: &[Ask], words: &[&str]) {
    let outcome = engine.run(Through::GpuRunc, asks, "echo started");
    assert_eq!((outcome.code, outcome.stdout.as_str()), (engine.refusal, ""), "{asks:?}: {outcome:?}");
    for word in words {
        assert!(outcome.stderr.contains(word), "no {word:?} for {asks:?}: {outcome:?}");
    }
}
