//! What only nerdctl does: its own `--gpus` beside ours, and compose files.
//!
//! Walked after the scenarios of every engine, where nerdctl is on PATH.

use serde_json::Value;

use super::engine::{Ask, Engine, GPU_RUNC, IMAGE, Through, Verb};
use super::scenarios::{Check, WAIT, fails, succeeds};
use super::session::wait_until;

pub(super) const SCENARIOS: &[(&str, Check)] = &[
    ("its own --gpus and our annotation mean the same", same_meaning),
    ("what it injects by itself is left alone, and what is asked beside it comes once", once),
    ("compose files give what they reserve", compose),
];

const BOTH: &str = "nvidia0 nvidia1 nvidiactl";
const GPUS: &str = "gpu-runc/gpus";

/// Whether it injects what `--gpus` names by itself. Before 2.3 it leaves a hook, as ctr does.
fn injects(engine: &Engine) -> bool {
    let said = engine.session.run(&["nerdctl", "--version"].map(str::to_owned)).stdout;
    let version = said.split_whitespace().last().unwrap_or_default().trim_start_matches('v');
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or_default());
    (numbers.next(), numbers.next()) >= (Some(2), Some(3))
}

fn same_meaning(engine: &Engine) {
    if !injects(engine) {
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

fn once(engine: &Engine) {
    let scratch = &engine.session.scratch;
    let own = Ask::Gpus("device=1");
    if injects(engine) {
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

/// What the container of the files says that it sees.
fn composed(engine: &Engine, files: &str) -> String {
    let container = engine.container(Through::GpuRunc);
    let call =
        |words: &str| engine.session.run(&container.client(&format!("compose -p {} {files} {words}", container.name)));
    let up = call("up -d");
    assert_eq!(up.code, 0, "{up:?}");
    let seen = wait_until(|| Some(call("logs").stdout.split_once("seen: ")?.1.trim().to_owned()));
    let down = call("down");
    assert_eq!(down.code, 0, "{down:?}");
    seen.unwrap_or_default()
}
