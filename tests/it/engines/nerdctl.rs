//! What only nerdctl does: its own `--gpus` beside ours, and compose files.
//!
//! Walked after the scenarios of every engine, where nerdctl is on PATH.

use serde_json::Value;

use super::engine::{Ask, Container, Engine, GPU_RUNC, IMAGE, Through, Verb};
use super::scenarios::{Check, WAIT, fails, succeeds};
use super::session::wait_until;
use super::version::Trait;

pub(super) const SCENARIOS: &[(&str, Check)] = &[
    ("its own --gpus and our annotation mean the same", same_meaning),
    ("what it injects by itself is left alone, and what is asked beside it comes once", once),
    ("the examples of its GPU document, by UUID and by name", document),
    ("a container of a committed image has no GPU unless it asks", committed),
    ("a container that is restarted by containerd has its GPU again", restarted),
    ("compose files give what they reserve", compose),
    ("compose files without gpu-ctk end as its documents say", plain_compose),
];

const BOTH: &str = "nvidia0 nvidia1 nvidiactl";
const GPUS: &str = "gpu-runc/gpus";

fn same_meaning(engine: &Engine) {
    if !engine.version.has(Trait::InjectsGpus) {
        return; // its words then become arguments of a vendor's program
    }
    for (value, devices) in [
        ("all", BOTH),
        ("count=all", BOTH),
        ("-1", BOTH),
        ("1", "nvidia0 nvidiactl"),
        ("2", BOTH),
        ("0", "nvidia*"),
        ("1,2", BOTH),
        ("device=1", "nvidia1 nvidiactl"),
        ("device=all", BOTH),
        ("\"device=0,1\"", BOTH),
        ("\"device=0,1\",count=0", BOTH),
        ("driver=nvidia", "nvidia0 nvidiactl"),
        ("driver=nvidia,count=2", BOTH),
        ("capabilities=utility", "nvidia0 nvidiactl"),
        ("\"capabilities=gpu,utility\",count=all", BOTH),
    ] {
        for ask in [Ask::Gpus(value), Ask::Annotation(GPUS, value)] {
            assert_eq!(succeeds(engine, &[ask], "cd /dev; echo nvidia*").trim(), devices, "{ask:?}");
        }
    }
    for (value, word) in [
        ("3", "unresolvable CDI devices nvidia.com/gpu=2"),
        ("device=9", "unresolvable CDI devices nvidia.com/gpu=9"),
        ("device=0,1", "cannot set both Count and DeviceIDs on device request"),
        ("count=1,count=2", "gpu request key 'count' can be specified only once"),
        ("gpus=1", "unexpected key 'gpus' in 'gpus=1'"),
        ("ALL", "ALL"),
        ("driver=amd", "amd"),
    ] {
        fails(engine, &[Ask::Gpus(value)], &[word]);
        fails(engine, &[Ask::Annotation(GPUS, value)], &[word]);
    }
}

/// A UUID of the document's example.
const UUID: &str = "GPU-3a23c669-1f69-c64e-cf85-44e9b07e7a2a";

fn document(engine: &Engine) {
    if !engine.version.has(Trait::InjectsGpus) {
        return; // the document is of those that do
    }
    let scratch = &engine.session.scratch;
    let mut spec: Value = serde_json::from_str(&scratch.read("cdi/nvidia.json")).unwrap();
    let devices = spec["devices"].as_array_mut().unwrap();
    let mut second = devices[1].clone();
    second["name"] = UUID.into();
    devices.push(second);
    scratch.write("cdi/nvidia.json", &spec.to_string());
    let by_uuid = format!("device={UUID}");
    let both = format!("\"device=0,{UUID}\"");
    for (value, devices) in [("all", BOTH), ("count=2", BOTH), (&by_uuid, "nvidia1 nvidiactl"), (&both, BOTH)] {
        for ask in ["--gpus", "--annotation"] {
            let value = if ask == "--gpus" { value.to_owned() } else { format!("{GPUS}={value}") };
            let container = engine.container(Through::GpuRunc);
            let started = container.start_with(&[ask, &value], WAIT);
            assert_eq!(started.code, 0, "{ask} {value}: {started:?}");
            let seen = container.exec("cd /dev; echo nvidia*");
            assert_eq!((seen.code, seen.stdout.trim()), (0, devices), "{ask} {value}: {seen:?}");
            container.tell(Verb::Kill("KILL"));
        }
    }
    assert_eq!(succeeds(engine, &[Ask::Device("nvidia.com/gpu=all")], "cd /dev; echo nvidia*").trim(), BOTH);
    // The document's error, in its words, for the flag, for a device and for what gpu-runc resolves.
    scratch.write("cdi/nvidia.json", &spec.to_string().replace("\"all\"", "\"every\""));
    let words = ["CDI device injection failed: unresolvable CDI devices nvidia.com/gpu=all"];
    for ask in
        [Ask::Gpus("all"), Ask::Device("nvidia.com/gpu=all"), Ask::Annotation("cdi.k8s.io/a", "nvidia.com/gpu=all")]
    {
        fails(engine, &[ask], &words);
    }
}

fn committed(engine: &Engine) {
    let container = engine.container(Through::GpuRunc);
    let started = container.start(&[Ask::Env("NVIDIA_VISIBLE_DEVICES=0")], WAIT);
    assert_eq!(started.code, 0, "{started:?}");
    let image = format!("committed-{}:1", container.name);
    let committed = engine.session.run(&container.client(&format!("commit {} {image}", container.name)));
    assert_eq!(committed.code, 0, "{committed:?}");
    container.tell(Verb::Kill("KILL"));
    // The image's configuration has the variable, as Docker's commit leaves it there: it is turned off, and then on.
    for (variable, expected) in
        [("NVIDIA_VISIBLE_DEVICES=void", "nvidia*\n0"), ("NVIDIA_VISIBLE_DEVICES=1", "nvidia1 nvidiactl\n1")]
    {
        let script = "cd /dev; echo nvidia*; grep -c libcuda /proc/mounts; true";
        let rest = ["--rm", "--env", variable];
        let seen = engine.session.run(&container.line(&rest, &image, script));
        assert_eq!((seen.code, seen.stdout.trim()), (0, expected), "{variable}: {seen:?}");
    }
}

fn restarted(engine: &Engine) {
    let container = engine.container(Through::GpuRunc);
    let started = container.start_with(&["--restart", "always", "--env", "NVIDIA_VISIBLE_DEVICES=0"], WAIT);
    assert_eq!(started.code, 0, "{started:?}");
    let pid = || {
        let said =
            engine.session.run(&container.client(&format!("inspect --format {{{{.State.Pid}}}} {}", container.name)));
        Some(said.stdout.trim().to_owned()).filter(|pid| pid != "0" && !pid.is_empty())
    };
    let first = pid().unwrap();
    let killed = engine.session.run(&["kill", "-KILL", &first].map(str::to_owned));
    assert_eq!(killed.code, 0, "{killed:?}");
    let again = wait_until(|| pid().filter(|pid| *pid != first && container.status() == "running"));
    assert!(again.is_some(), "containerd does not start it again: {:?}", container.tell(Verb::Status));
    let seen = container.exec("head -c 1 /dev/nvidia0 | od -An -tx1; cd /dev; echo nvidia*");
    assert_eq!((seen.code, seen.stdout.trim()), (0, "00\nnvidia0 nvidiactl"), "{seen:?}");
    let removed = engine.session.run(&container.client(&format!("rm --force {}", container.name)));
    assert_eq!(removed.code, 0, "{removed:?}");
}

/// What nerdctl's own `compose` makes of files: its document's example has no `capabilities`, which it requires, and it does not know
/// `gpus:`. Both work through `gpu-ctk compose`, above.
fn plain_compose(engine: &Engine) {
    if !engine.version.has(Trait::InjectsGpus) {
        return;
    }
    let scratch = &engine.session.scratch;
    let shell = |script: String| engine.session.run(&["sh", "-c", &script].map(str::to_owned));
    assert_eq!(shell(format!("mkdir -p /etc/cdi && cp {}/nvidia.json /etc/cdi/", scratch.text("cdi"))).code, 0);
    let reserved = |entry: &str| format!("    deploy: {{resources: {{reservations: {{devices: [{entry}]}}}}}}\n");
    for (asks, expected) in [
        (reserved("{driver: nvidia, count: all}"), Err("capabilities")),
        (reserved("{driver: nvidia, count: all, capabilities: [gpu]}"), Ok(BOTH)),
        (reserved("{device_ids: ['1'], capabilities: [nvidia]}"), Ok("nvidia1 nvidiactl")),
        ("    gpus: all\n".to_owned(), Ok("nvidia*")),
        (format!("    runtime: {GPU_RUNC}\n    environment: [NVIDIA_VISIBLE_DEVICES=1]\n"), Ok("nvidia1 nvidiactl")),
        (format!("    runtime: {GPU_RUNC}\n    annotations: {{gpu-runc/gpus: all}}\n"), Ok(BOTH)),
    ] {
        let command = "command: ['sh', '-c', 'cd /dev; echo seen: `echo nvidia*`']";
        let file = scratch.write(
            "plain.yaml",
            &format!("services:\n  a:\n    image: {IMAGE}\n    network_mode: none\n    {command}\n{asks}"),
        );
        let file = format!("-f {}", file.display());
        match expected {
            Ok(devices) => assert_eq!(composed(engine, &file), devices, "{asks}"),
            Err(word) => {
                let container = engine.container(Through::GpuRunc);
                let up = engine.session.run(&compose_line(&container, &format!("{file} up -d")));
                assert!(up.code != 0 && up.stderr.contains(word), "{asks}: {up:?}");
            }
        }
    }
    assert_eq!(shell("rm /etc/cdi/nvidia.json".to_owned()).code, 0);
}

fn once(engine: &Engine) {
    let scratch = &engine.session.scratch;
    let own = Ask::Gpus("device=1");
    if engine.version.has(Trait::InjectsGpus) {
        let _ = std::fs::remove_file(scratch.path("gpu-runc.log"));
        succeeds(engine, &[own], "true");
        assert_eq!(scratch.read("gpu-runc.log"), "", "nothing was left to grant");
    }
    let container = engine.container(Through::GpuRunc);
    let started =
        container.start(&[own, Ask::Annotation(GPUS, "device=1"), Ask::Env("NVIDIA_VISIBLE_DEVICES=1")], WAIT);
    assert_eq!(started.code, 0, "{started:?}");
    let inspect = container.client(&format!("inspect --format {{{{.Id}}}} {}", container.name));
    let id = engine.session.run(&inspect).stdout;
    let bundle = format!("containerd-state/io.containerd.runtime.v2.task{}/{}", engine.session.cgroup(), id.trim());
    let config: Value = serde_json::from_str(&scratch.read(&format!("{bundle}/config.json"))).unwrap();
    for (list, member) in [("/linux/devices", "path"), ("/mounts", "destination"), ("/hooks/createContainer", "path")] {
        let entries = config.pointer(list).unwrap().as_array().unwrap();
        let mut names: Vec<_> = entries.iter().map(|entry| entry[member].as_str().unwrap()).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all, "{list}: {config:#}");
    }
    let seen = container.exec("cd /dev; echo nvidia*; grep -c libcuda /proc/mounts");
    assert_eq!((seen.code, seen.stdout.as_str()), (0, "nvidia1 nvidiactl\n1\n"), "{seen:?}");
    container.tell(Verb::Kill("KILL"));
}

fn compose(engine: &Engine) {
    let reserved = |entry: &str| format!("    deploy: {{resources: {{reservations: {{devices: [{entry}]}}}}}}\n");
    for (asks, devices, takes_override) in [
        (reserved("{driver: nvidia, count: 1, capabilities: [gpu]}"), "nvidia0 nvidiactl", true),
        (reserved("{device_ids: ['1'], capabilities: [gpu]}"), "nvidia1 nvidiactl", true),
        (reserved("{driver: nvidia, count: all}"), BOTH, false),
        ("    gpus: all\n".to_owned(), BOTH, true),
        ("    devices: [nvidia.com/gpu=1]\n".to_owned(), "nvidia1 nvidiactl", true),
    ] {
        let command = "command: ['sh', '-c', 'cd /dev; echo seen: `echo nvidia*`']";
        let service = format!("services:\n  a:\n    image: {IMAGE}\n    network_mode: none\n    {command}\n");
        let scratch = &engine.session.scratch;
        let [file, over, whole] = ["compose.yaml", "override.yaml", "whole.yaml"].map(|name| scratch.text(name));
        scratch.write("compose.yaml", &format!("{service}{asks}"));
        let written = |whole: &[&str], output: &str| {
            let ctk = [env!("CARGO_BIN_EXE_gpu-ctk"), "compose", &file, "--runtime", GPU_RUNC, "--output", output];
            let said =
                engine.session.run(&[&ctk, whole].concat().iter().map(|&word| word.to_owned()).collect::<Vec<_>>());
            assert_eq!(said.code, 0, "{said:?}");
        };
        written(&["--whole"], &whole);
        assert_eq!(composed(engine, &format!("-f {whole}")), devices, "{asks}");
        if takes_override {
            written(&[], &over);
            assert_eq!(composed(engine, &format!("-f {file} -f {over}")), devices, "{asks}");
        }
    }
}

/// nerdctl's `compose` with these words. It calls itself, with a list of CDI directories that it cannot read then: it has the usual ones.
fn compose_line(container: &Container<'_>, words: &str) -> Vec<String> {
    let mut line = container.client(&format!("compose -p {} {words}", container.name));
    while let Some(at) = line.iter().position(|word| word == "--cdi-spec-dirs") {
        line.drain(at..at + 2);
    }
    line
}

/// What the container of the files says that it sees.
fn composed(engine: &Engine, files: &str) -> String {
    let container = engine.container(Through::GpuRunc);
    let call = |words: &str| engine.session.run(&compose_line(&container, &format!("{files} {words}")));
    let up = call("up -d");
    assert_eq!(up.code, 0, "{up:?}");
    let seen = wait_until(|| Some(call("logs").stdout.split_once("seen: ")?.1.trim().to_owned()));
    let down = call("down");
    assert_eq!(down.code, 0, "{down:?}");
    seen.unwrap_or_default()
}
