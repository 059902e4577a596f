//! The CRI of containerd and CRI-O: pods with the handler gpu-runc, started as a kubelet starts them.
//!
//! The pods are on the host's network, the image is imported, and the pause container is of the same image.

mod client;
mod critest;
mod installed;
mod message;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::{Duration, Instant};

use client::{Client, Wish};
use serde_json::Value;

use super::engine::Engine;
use super::installation::Installation;
use super::place::Place;
use super::session::wait_until;
use super::{engine_for_test, host, installation, removal};
use crate::scratch::skip;

/// What a check needs. It fails by panicking.
struct Node {
    engine: Engine,
    client: Client,
    is_crio: bool,
}

type Check = fn(&Node);

const SCENARIOS: &[(&str, Check)] = &[
    ("a device plugin's mount gives a device, and nothing more", mount),
    ("a device plugin's bare nodes stay as they are", bare_nodes),
    ("a device plugin's CDI annotation counts, and a pod author's does not", cdi_annotation),
    ("what the engine's own CDI has given is not given twice", nothing_twice),
    ("an image that wants every GPU gets none, and the log says so", image),
    ("what is refused is the text of the pod's event", refused),
    ("our annotation counts in the namespaces that are listed", namespaces),
    ("a device that does not exist is the text of the pod's event", unresolvable),
    ("the sandbox is not touched, whatever the pod says", sandbox),
    ("an init container gets what the plugin gives it, and the next one its own", init),
    ("exec, stop, remove", lives),
    ("gpu-runc is not removed while a container of a pod needs it", needed),
    ("many pods, one after another and at the same time", many),
];

const FIRST: Wish<'_> = Wish { nulls: &["/var/run/nvidia-container-devices/0"], ..NOTHING };
const NOTHING: Wish<'_> = Wish { env: &[], annotations: &[], cdi: &[], nulls: &[], nodes: &[] };
/// Until it is told to end.
const WAIT: &str = "trap 'exit 5' TERM; while :; do sleep 0.1; done";
const SEE: &str = "ls /dev | grep nvidia | xargs";
/// How many pods, and how many of them at the same time; and of a further version.
const MANY: (usize, usize) = (100, 20);
const SOME: (usize, usize) = (10, 10);
/// How long pods are started one after another.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn kubernetes_pods_get_their_gpus() {
    let places = Place::all("containerd");
    if places.len() == 1 {
        skip(
            "engines::cri of other versions",
            "GPU_RUNC_ENGINES names no folder with another containerd (hack/engines)",
        );
    }
    places.iter().for_each(|place| walk(place, &installation::CRI));
}

#[test]
fn kubernetes_pods_get_their_gpus_from_cri_o() {
    Place::all("crio").iter().for_each(|place| walk(place, &installation::CRIO));
}

fn walk(place: &Place, installation: &Installation) {
    let test = place.named(&format!("engines::{}", installation.name));
    let Some(engine) = engine_for_test(&test, place, installation) else { return };
    let node = connected(engine, installation.program == "crio");
    eprintln!("{test}: {}", node.engine.version);
    let fails = |(name, check): &(&'static str, Check)| {
        host::describe(&node.engine.session.scratch);
        node.engine.configure("[policy.pods]\nnamespaces = []\n");
        let _ = fs::remove_file(node.engine.session.scratch.path("gpu-runc.log"));
        let failed = catch_unwind(AssertUnwindSafe(|| check(&node))).is_err();
        eprintln!("{test}: {name}: {}", if failed { "FAILED" } else { "ok" });
        failed.then_some(*name)
    };
    let failed: Vec<_> = SCENARIOS.iter().filter_map(fails).collect();
    let logs = || ["daemon.log", "gpu-runc.log"].map(|log| node.engine.session.scratch.read(log)).join("\n");
    assert!(failed.is_empty(), "{test}: {failed:#?}\n{}", logs());
}

/// The engine with a client of its CRI, as soon as it answers.
fn connected(engine: Engine, is_crio: bool) -> Node {
    let socket =
        if is_crio { "/run/crio/crio.sock".to_owned() } else { engine.session.scratch.text("containerd.sock") };
    let client = Client { socket: engine.session.outside(&socket), cgroup: engine.session.cgroup(), calls: 0.into() };
    let answers = wait_until(|| client.version().ok());
    assert!(answers.is_some(), "{:?}\n{}", client.version(), engine.session.scratch.read("daemon.log"));
    host::describe(&engine.session.scratch);
    engine.configure("[policy.pods]\nnamespaces = []\n");
    Node { engine, client, is_crio }
}

impl Node {
    fn log(&self) -> String {
        self.engine.session.scratch.read("gpu-runc.log")
    }

    /// The bundle's file of a container or a sandbox.
    fn config_json(&self, id: &str) -> Value {
        let path = match self.is_crio {
            true => format!("crio-run/vfs-containers/{id}/userdata/config.json"),
            false => format!("containerd-state/io.containerd.runtime.v2.task/k8s.io/{id}/config.json"),
        };
        serde_json::from_str(&self.engine.session.scratch.read(&path)).unwrap()
    }

    /// What the engine says before the words of a runtime that refuses.
    fn refusal(&self) -> &'static str {
        if self.is_crio { "container create failed" } else { "OCI runtime create failed" }
    }

    /// What a container of a new pod in this namespace sees; the error is the text of the pod's event.
    fn sees(&self, namespace: &str, annotations: &[(&str, &str)], wish: Wish<'_>) -> Result<String, String> {
        let pod = self.client.pod(namespace, annotations).unwrap();
        let container = pod.start("main", wish, WAIT)?;
        let (code, seen) = pod.exec(&container, SEE);
        assert_eq!(code, 0, "{seen}");
        Ok(seen.trim().to_owned())
    }
}

fn mount(node: &Node) {
    let pod = node.client.pod("team-a", &[]).unwrap();
    let wish = Wish { env: &[("NVIDIA_VISIBLE_DEVICES", "all")], ..FIRST };
    let container = pod.start("main", wish, WAIT).unwrap();
    assert_eq!(pod.exec(&container, SEE), (0, "nvidia0 nvidiactl\n".to_owned()));
    assert_eq!(pod.exec(&container, "head -c 1 /dev/nvidia0 | wc -c; : > /dev/nvidiactl"), (0, "1\n".to_owned()));
    assert_eq!(pod.exec(&container, "cat /usr/lib/libcuda.so.1; mount | grep -c nvidia-container-devices").0, 0);
    let log = node.log();
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(log.contains("grant") && log.contains(&container) && log.contains("nvidia.com/gpu=0"), "{log}");
}

fn bare_nodes(node: &Node) {
    let host = node.engine.session.scratch.text("host/dev/nvidia1");
    let nodes = [(&*host, "/dev/nvidia1")];
    assert_eq!(node.sees("team-a", &[], Wish { nodes: &nodes, ..NOTHING }).as_deref(), Ok("nvidia1"));
    assert_eq!(node.log(), "");
}

fn cdi_annotation(node: &Node) {
    node.engine.configure("[policy.pods]\nnamespaces = []\nannotations = true\n");
    let wish = Wish { annotations: &[("cdi.k8s.io/plugin_1", "nvidia.com/gpu=1")], ..NOTHING };
    assert_eq!(node.sees("team-a", &[], wish).as_deref(), Ok("nvidia1 nvidiactl"));
    let of_author = [("cdi.k8s.io/mine", "nvidia.com/gpu=0")];
    if node.engine.has_cdi {
        // The engine has resolved it before gpu-runc starts, so that gpu-runc's policy has nothing left to refuse.
        node.engine.configure("[policy.pods]\nnamespaces = []\n");
        assert_eq!(node.sees("team-a", &[], wish).as_deref(), Ok("nvidia1 nvidiactl"), "by the engine itself");
    }
    assert_eq!(node.sees("team-a", &of_author, NOTHING).as_deref(), Ok(""), "the author's does not come through");
}

fn nothing_twice(node: &Node) {
    if !node.engine.has_cdi {
        return;
    }
    node.engine.configure("[policy.pods]\nnamespaces = []\nannotations = true\n");
    let pod = node.client.pod("team-a", &[]).unwrap();
    let by_annotation = Wish { annotations: &[("cdi.k8s.io/plugin_1", "nvidia.com/gpu=1")], ..NOTHING };
    let by_name = Wish { cdi: &["nvidia.com/gpu=1"], ..NOTHING };
    for (name, wish) in [("annotated", by_annotation), ("named", by_name)] {
        let container = pod.start(name, wish, WAIT).unwrap();
        assert_eq!(pod.exec(&container, SEE), (0, "nvidia1 nvidiactl\n".to_owned()), "{name}");
        let config = node.config_json(&container);
        let hooks = config["hooks"].as_object().unwrap().keys().map(|stage| format!("/hooks/{stage}"));
        let lists = ["/mounts", "/process/env", "/linux/devices", "/linux/resources/devices"].map(str::to_owned);
        for list in hooks.chain(lists) {
            let entries = config.pointer(&list).unwrap().as_array().unwrap();
            let is_twice = |entry: &&Value| entries.iter().filter(|other| other == entry).count() > 1;
            assert_eq!(entries.iter().find(is_twice), None, "{name}: {list}");
        }
        let nodes = config["linux"]["devices"].as_array().unwrap().iter();
        assert_eq!(nodes.filter(|node| node["path"] == "/dev/nvidia1").count(), 1, "{name}: {config}");
    }
    assert_eq!(
        node.log().lines().count(),
        1,
        "what only the engine was told, gpu-runc does not know of: {}",
        node.log()
    );
}

fn image(node: &Node) {
    let wish = Wish { env: &[("NVIDIA_VISIBLE_DEVICES", "all")], ..NOTHING };
    assert_eq!(node.sees("team-a", &[], wish).as_deref(), Ok(""));
    let log = node.log();
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(log.contains("refused environment variable \"NVIDIA_VISIBLE_DEVICES=all\": policy.pods.env"), "{log}");
}

fn refused(node: &Node) {
    let named = Wish { env: &[("NVIDIA_VISIBLE_DEVICES", "0")], ..NOTHING };
    let error = node.sees("team-a", &[], named).unwrap_err();
    let sentence = "environment variable \"NVIDIA_VISIBLE_DEVICES=0\" may not ask for GPUs: policy.pods.env is \"never\" \
                    in /etc/gpu-runc/config.toml, and policy.pods.namespaces does not list \"team-a\"";
    assert!(error.contains(&format!("{}: {sentence}", node.refusal())), "{error}");
    assert!(node.log().contains(sentence), "{}", node.log());
    let error = node.sees("team-a", &[("gpu-runc/gpus", "all")], NOTHING).unwrap_err();
    assert!(error.contains("annotation \"gpu-runc/gpus=all\" may not ask for GPUs"), "{error}");
}

fn namespaces(node: &Node) {
    node.engine.configure("[policy.pods]\nnamespaces = [\"ml\"]\n");
    let second = [("gpu-runc/gpus", "\"device=1\"")];
    assert_eq!(node.sees("ml", &second, NOTHING).as_deref(), Ok("nvidia1 nvidiactl"));
    let all = Wish { env: &[("NVIDIA_VISIBLE_DEVICES", "all")], ..NOTHING };
    assert_eq!(node.sees("ml", &[], all).as_deref(), Ok("nvidia0 nvidia1 nvidiactl"));
    let error = node.sees("team-a", &second, NOTHING).unwrap_err();
    assert!(error.contains("policy.pods.namespaces does not list \"team-a\""), "{error}");
}

fn unresolvable(node: &Node) {
    let wish = Wish { nulls: &["/var/run/nvidia-container-devices/9"], ..NOTHING };
    let error = node.sees("team-a", &[], wish).unwrap_err();
    let words = "CDI device injection failed: unresolvable CDI devices nvidia.com/gpu=9";
    assert!(
        error.contains(&format!("{}: {words}", node.refusal()))
            && error.contains("this host has nvidia.com/gpu=0, 1, all"),
        "{error}"
    );
}

fn sandbox(node: &Node) {
    let pod = node.client.pod("team-a", &[("gpu-runc/gpus", "all")]).unwrap();
    let config = node.config_json(&pod.id);
    assert_eq!(config["annotations"]["gpu-runc/gpus"], "all", "the handler lets it through");
    assert!(!config.to_string().contains("nvidia"), "{config}");
    assert_eq!(node.log(), "");
}

fn init(node: &Node) {
    let pod = node.client.pod("team-a", &[]).unwrap();
    let init = pod.start("init", FIRST, "test -c /dev/nvidia0 && exit 7").unwrap();
    assert_eq!(wait_until(|| pod.exit_code(&init).unwrap()), Some(7));
    let main = pod.start("main", Wish { nulls: &["/var/run/nvidia-container-devices/1"], ..NOTHING }, WAIT).unwrap();
    let sidecar = pod.start("sidecar", NOTHING, WAIT).unwrap();
    assert_eq!(pod.exec(&main, SEE).1, "nvidia1 nvidiactl\n");
    assert_eq!(pod.exec(&sidecar, SEE).1.trim(), "");
}

fn lives(node: &Node) {
    let pod = node.client.pod("team-a", &[]).unwrap();
    let container = pod.start("main", FIRST, WAIT).unwrap();
    assert_eq!(pod.exec(&container, "exit 3").0, 3);
    assert_eq!(pod.exit_code(&container), Ok(None));
    pod.stop(&container, 20);
    assert_eq!(pod.exit_code(&container), Ok(Some(5)), "it was asked, not made");
    pod.remove(&container);
    assert!(pod.exit_code(&container).is_err());
}

fn needed(node: &Node) {
    let pod = node.client.pod("team-a", &[]).unwrap();
    // One shim has all containers of a pod, and the sandbox's folder for its own; CRI-O has a monitor for each, and no sandbox.
    let containers = ["main", "sidecar"].map(|name| pod.start(name, NOTHING, WAIT).unwrap());
    let needed_by = removal::needed_by(&node.engine);
    let sandbox = Some(&pod.id).filter(|_| !node.is_crio);
    assert!(containers.iter().chain(sandbox).all(|id| needed_by.contains(id)), "{needed_by:?}");
}

fn many(node: &Node) {
    let (most, at_once) = if node.engine.session.place.is_path() { MANY } else { SOME };
    let begin = Instant::now();
    let one = || {
        let pod = node.client.pod("team-a", &[]).unwrap();
        // CRI-O asks before it makes, and waits ten seconds in between.
        let container = pod.start("main", FIRST, "trap exit TERM; sleep 600 & wait").unwrap();
        assert_eq!(pod.exit_code(&container), Ok(None));
    };
    // A machine that is busy with other things starts fewer, and says how many.
    let pods = (0..most).take_while(|_| begin.elapsed() < PATIENCE).map(|_| one()).count();
    let in_a_row = begin.elapsed();
    thread::scope(|scope| {
        let started: Vec<_> = (0..at_once).map(|_| scope.spawn(one)).collect();
        started.into_iter().for_each(|pod| pod.join().unwrap());
    });
    let together = begin.elapsed() - in_a_row;
    eprintln!("{pods} pods in a row: {in_a_row:.1?}; {at_once} at the same time: {together:.1?}");
    assert_eq!(node.log().lines().filter(|line| line.contains("grant")).count(), pods + at_once);
    assert!(pods >= most / 4, "only {pods} pods of {most} in {in_a_row:.1?}");
}
