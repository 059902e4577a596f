//! How each engine is brought up: what it needs, its daemon's configuration, its client's options.

use std::sync::atomic::AtomicU32;

use serde_json::json;

use super::engine::{CTK, Engine, GPU_RUNC, Grammar, IMAGE};
use super::session::{Session, wait_until};
use super::version::{Trait, Version};

/// An engine that may be on this machine.
#[derive(Debug)]
pub(crate) struct Installation {
    pub(crate) name: &'static str,
    /// The program by which it is found.
    pub(crate) program: &'static str,
    /// The programs that it takes and how to get them.
    pub(crate) needs: &'static [(&'static str, &'static str)],
    /// The runtime that gpu-runc becomes.
    low_level: &'static str,
    bring_up: fn(Engine) -> Engine,
}

const BUSYBOX: (&str, &str) = ("busybox", "apt-get install busybox-static");
const RUNC_ITSELF: (&str, &str) = ("runc", "apt-get install runc");
const CONTAINERD_ITSELF: (&str, &str) = ("containerd", "apt-get install containerd");
/// A network plugin: pods that are not on the host's network have one of their own with nothing in it.
const NO_NETWORK: &str = r#"#!/bin/sh
case $CNI_COMMAND in
    ADD) echo "{\"cniVersion\":\"0.4.0\",\"interfaces\":[{\"name\":\"$CNI_IFNAME\",\"sandbox\":\"$CNI_NETNS\"}],
               \"ips\":[{\"version\":\"4\",\"address\":\"10.0.1.1/32\",\"interface\":0}]}" ;;
    VERSION) echo '{"cniVersion":"0.4.0","supportedVersions":["0.3.1","0.4.0"]}' ;;
esac
"#;
const WITHOUT_CRI: &str = "disabled_plugins = [\"io.containerd.grpc.v1.cri\"]";

pub(crate) const RUNC: Installation = Installation {
    name: "runc",
    program: "runc",
    needs: &[BUSYBOX, RUNC_ITSELF],
    low_level: "runc",
    bring_up: |engine| engine,
};

pub(crate) const CRUN: Installation = Installation {
    name: "crun",
    program: "crun",
    needs: &[BUSYBOX, ("crun", "apt-get install crun")],
    low_level: "crun",
    bring_up: |engine| engine,
};

pub(crate) const CONTAINERD: Installation = Installation {
    name: "containerd",
    program: "containerd",
    needs: &[BUSYBOX, RUNC_ITSELF, CONTAINERD_ITSELF, ("ctr", "apt-get install containerd")],
    low_level: "runc",
    bring_up: containerd,
};

/// containerd with its CRI, and gpu-runc as a handler of it.
pub(crate) const CRI: Installation = Installation {
    name: "cri",
    program: "containerd",
    needs: &[
        BUSYBOX,
        RUNC_ITSELF,
        CONTAINERD_ITSELF,
        ("ctr", "apt-get install containerd"),
        ("curl", "apt-get install curl"),
    ],
    low_level: "runc",
    bring_up: cri,
};

/// CRI-O, to which gpu-runc is told by gpu-ctk.
pub(crate) const CRIO: Installation = Installation {
    name: "cri-o",
    program: "crio",
    needs: &[
        ("crio", "(optional) Debian 12 has no package of it"),
        ("pinns", "(optional) Debian 12 has no package of it"),
        BUSYBOX,
        RUNC_ITSELF,
        ("conmon", "apt-get install conmon"),
        ("podman", "apt-get install podman"),
        ("curl", "apt-get install curl"),
    ],
    low_level: "runc",
    bring_up: crio,
};

pub(crate) const DOCKER: Installation = Installation {
    name: "docker",
    program: "dockerd",
    needs: &[
        BUSYBOX,
        RUNC_ITSELF,
        CONTAINERD_ITSELF,
        ("dockerd", "apt-get install docker.io"),
        ("docker", "apt-get install docker.io"),
    ],
    low_level: "runc",
    bring_up: docker,
};

pub(crate) const PODMAN: Installation = Installation {
    name: "podman",
    program: "podman",
    needs: &[BUSYBOX, RUNC_ITSELF, ("podman", "apt-get install podman"), ("conmon", "apt-get install conmon")],
    low_level: "runc",
    bring_up: podman,
};

pub(crate) const NERDCTL: Installation = Installation {
    name: "nerdctl",
    program: "nerdctl",
    needs: &[BUSYBOX, RUNC_ITSELF, CONTAINERD_ITSELF, ("nerdctl", "(optional) Debian 12 has no package of it")],
    low_level: "runc",
    bring_up: nerdctl,
};

impl Installation {
    /// The engine, with its daemon running and the image loaded.
    pub(crate) fn start(&self, session: Session) -> Engine {
        let low_level = session.place.program(self.low_level).unwrap().into_os_string().into_string().unwrap();
        let version = Version::of(&session, self.name, self.program);
        (self.bring_up)(Engine {
            version,
            session,
            grammar: Grammar::Oci,
            client: Vec::new(),
            run_options: Vec::new(),
            runtimes: (low_level.clone(), GPU_RUNC.to_owned()),
            low_level,
            annotations: version.has(Trait::Annotates),
            gpus_flag: None,
            has_cdi: version.has(Trait::ReadsCdi),
            refusal: 1,
            containers: AtomicU32::default(),
        })
    }
}

fn containerd(engine: Engine) -> Engine {
    let gpus_flag = Some("1").filter(|_| !engine.version.has(Trait::InjectsGpus));
    let engine = with_containerd(Engine { grammar: Grammar::Ctr, gpus_flag, ..engine }, WITHOUT_CRI, "");
    let address = engine.session.scratch.text("containerd.sock");
    with_image(Engine { client: words(&format!("ctr --address {address}")), ..engine }, "images import")
}

/// Its `load` takes a containerd that is newer than itself; what ctr imports, it finds. Compose files cannot say in which cgroup
/// containers are: it is called after their namespace.
fn nerdctl(engine: Engine) -> Engine {
    let engine = with_containerd(Engine { grammar: Grammar::Docker, ..engine }, WITHOUT_CRI, "");
    let at = |name: &str| engine.session.scratch.text(name);
    let namespace = engine.session.cgroup().trim_start_matches('/').to_owned();
    let there = format!("--address {} --namespace {namespace}", at("containerd.sock"));
    let cdi =
        if engine.has_cdi { format!(" --cdi-spec-dirs {} --cdi-spec-dirs /etc/cdi", at("cdi")) } else { String::new() };
    let client = format!("nerdctl {there} --data-root {} --cgroup-manager cgroupfs{cdi}", at("nerdctl"));
    let run_options = words("--runtime {runtime} --network none --cap-add MKNOD");
    let engine = with_image(Engine { client: words(&format!("ctr {there}")), ..engine }, "images import");
    Engine { client: words(&client), run_options, gpus_flag: Some("device=1"), ..engine }
}

fn docker(engine: Engine) -> Engine {
    let scratch = &engine.session.scratch;
    let host = format!("unix://{}", scratch.text("docker.sock"));
    let daemon = json!({
        "data-root": scratch.path("docker"),
        "exec-root": scratch.path("docker-exec"),
        "pidfile": scratch.path("docker.pid"),
        "hosts": [host],
        "iptables": false,
        "bridge": "none",
        "exec-opts": ["native.cgroupdriver=cgroupfs"],
        "runtimes": { "plain": { "path": engine.runtimes.0 }, "gpu-runc": { "path": engine.runtimes.1 } },
    });
    let config = scratch.write("daemon.json", &daemon.to_string());
    let config = config.display();
    let client = words(&format!("docker --host {host}"));
    let ask = [client.clone(), words("version")].concat();
    with_daemon(&engine.session, &words(&format!("dockerd --config-file {config}")), &ask);
    let engine = Engine {
        grammar: Grammar::Docker,
        client,
        run_options: words("--runtime {runtime} --network none --cap-add MKNOD"),
        runtimes: ("plain".to_owned(), "gpu-runc".to_owned()),
        gpus_flag: Some("device=1"),
        refusal: 125,
        ..engine
    };
    with_image(engine, "load --input")
}

fn podman(engine: Engine) -> Engine {
    let at = |name: &str| engine.session.scratch.text(name);
    let folders = format!("--root {} --runroot {} --tmpdir {}", at("podman"), at("podman-run"), at("podman-tmp"));
    let client = format!("podman {folders} --cgroup-manager cgroupfs --events-backend file --runtime {{runtime}}");
    // `--ulimit host`: raising limits takes a capability that the root of a build machine may lack.
    let run_options = words("--network none --cap-add MKNOD --ulimit host");
    let engine = Engine { grammar: Grammar::Docker, client: words(&client), run_options, refusal: 126, ..engine };
    with_image(engine, "load --input")
}

/// What may ask is what the kubelet writes by itself, and one annotation of the pod's author.
fn cri(engine: Engine) -> Engine {
    const CRI: &str = "plugins.\"io.containerd.grpc.v1.cri\"";
    let [cni, cdi] = ["cni", "cdi"].map(|name| engine.session.scratch.text(name));
    let network = json!({ "cniVersion": "0.4.0", "name": "nothing", "plugins": [{ "type": "loopback" }] });
    engine.session.scratch.write("cni/nothing.conflist", &network.to_string());
    engine.session.scratch.program("cni/loopback", NO_NETWORK);
    // Before 2.0 it has to be told to use them.
    let its_cdi =
        if engine.has_cdi { format!("enable_cdi = true\ncdi_spec_dirs = [{cdi:?}]\n") } else { String::new() };
    let tables = format!(
        "[{CRI}]\nsandbox_image = {IMAGE:?}\nrestrict_oom_score_adj = true\n{its_cdi}\
         [{CRI}.cni]\nbin_dir = {cni:?}\nconf_dir = {cni:?}\n\
         [{CRI}.containerd.runtimes.runc]\nruntime_type = \"io.containerd.runc.v2\"\n\
         [{CRI}.containerd.runtimes.gpu-runc]\nruntime_type = \"io.containerd.runc.v2\"\n\
         pod_annotations = [\"gpu-runc/*\"]\ncontainer_annotations = [\"cdi.k8s.io/*\"]\n\
         [{CRI}.containerd.runtimes.gpu-runc.options]\nBinaryName = {GPU_RUNC:?}\n"
    );
    let engine = with_containerd(Engine { grammar: Grammar::Ctr, ..engine }, "", &tables);
    let client = format!("ctr --address {} --namespace k8s.io", engine.session.scratch.text("containerd.sock"));
    with_image(Engine { client: words(&client), ..engine }, "images import")
}

/// It has no client that runs a container, so that the low-level runtime is what is tried without us. Its pods have no pause
/// container where a pod's processes do not see each other's: that of others cannot be started by the root of a build machine,
/// because nothing keeps CRI-O from lowering its score of the out-of-memory killer.
fn crio(engine: Engine) -> Engine {
    let scratch = &engine.session.scratch;
    let at = |name: &str| scratch.text(name);
    let policy = json!({ "default": [{ "type": "insecureAcceptAnything" }] });
    let policy = scratch.write("policy.json", &policy.to_string()).display().to_string();
    let config = scratch.write(
        "crio.conf",
        &format!(
            "[crio]\nroot = {:?}\nrunroot = {:?}\nstorage_driver = \"vfs\"\nlog_dir = {:?}\nversion_file = {:?}\n\
             clean_shutdown_file = {:?}\n\
             [crio.runtime]\ncgroup_manager = \"cgroupfs\"\nconmon_cgroup = \"pod\"\ncdi_spec_dirs = [{:?}]\n\
             [crio.image]\npause_image = {IMAGE:?}\nsignature_policy = {policy:?}\n\
             [crio.network]\nnetwork_dir = {no_network:?}\nplugin_dirs = [{no_network:?}]\n",
            at("crio"),
            at("crio-run"),
            at("crio-logs"),
            at("crio-version"),
            at("crio-clean"),
            at("cdi"),
            no_network = at("no-cni"),
        ),
    );
    let (config, drop_ins) = (config.display(), at("crio.conf.d"));
    let told = engine.session.run(&words(&format!("{CTK} runtime configure --engine crio --config {config}")));
    assert_eq!(told.code, 0, "{told:?}");
    let (images, running) = (at("crio"), at("crio-run"));
    let podman = format!("podman --root {images} --runroot {running} --storage-driver vfs --cgroup-manager cgroupfs");
    let engine = Engine { client: words(&format!("{podman} --events-backend file")), ..engine };
    let engine = with_image(engine, "load --input");
    let daemon = words(&format!("crio --config {config} --config-dir {drop_ins}"));
    with_daemon(&engine.session, &daemon, &words("test -S /run/crio/crio.sock"));
    engine
}

/// `settings` are of containerd's configuration before its first table, `tables` after the last.
fn with_containerd(engine: Engine, settings: &str, tables: &str) -> Engine {
    let scratch = &engine.session.scratch;
    let (root, state, address) =
        (scratch.text("containerd"), scratch.text("containerd-state"), scratch.text("containerd.sock"));
    let config = scratch.write(
        "containerd.toml",
        &format!(
            "version = 2\nroot = {root:?}\nstate = {state:?}\n{settings}\n[grpc]\naddress = {address:?}\n{tables}"
        ),
    );
    let daemon = words(&format!("containerd --config {}", config.display()));
    with_daemon(&engine.session, &daemon, &words(&format!("ctr --address {address} version")));
    engine
}

/// Starts a daemon, which ends with the session, and returns what it answers to the first question that it does answer.
fn with_daemon(session: &Session, daemon: &[String], question: &[String]) -> String {
    let log = session.scratch.text("daemon.log");
    session.spawn(&[words("sh -c"), vec![format!("exec {} >{log} 2>&1", daemon.join(" "))]].concat());
    let answer = || Some(session.run(question)).filter(|outcome| outcome.code == 0).map(|outcome| outcome.stdout);
    wait_until(answer).unwrap_or_else(|| panic!("{daemon:?} does not answer:\n{}", session.scratch.read("daemon.log")))
}

fn with_image(engine: Engine, load: &str) -> Engine {
    let scratch = &engine.session.scratch;
    let archive = scratch.image(IMAGE, &scratch.path("rootfs"));
    let client = engine.client.iter().map(|word| word.replace("{runtime}", &engine.runtimes.0));
    let loaded = engine.session.run(&client.chain(words(&format!("{load} {}", archive.display()))).collect::<Vec<_>>());
    assert_eq!(loaded.code, 0, "{loaded:?}");
    engine
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}
