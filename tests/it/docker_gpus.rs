//! Docker's `--gpus` on daemons that run: one command, and `docker run --gpus` works for GPUs of any vendor, without a CDI spec.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::engines::place::Place;
use crate::engines::session::{Outcome, Session};
use crate::hosts;
use crate::scratch::{program_on_path, skip};

const CTK: &str = env!("CARGO_BIN_EXE_gpu-ctk");
const GPU_RUNC: &str = env!("CARGO_BIN_EXE_gpu-runc");
const IMAGE: &str = "gpu-runc-test:1";

/// A corner of the machine with a Docker daemon and the devices of a made-up host.
struct Corner {
    session: Session,
    data: String,
}

impl Corner {
    /// `None`, said out loud, where Docker cannot run a container here.
    fn new(test: &str, place: &Place, names: &[&str]) -> Option<Self> {
        for (program, package) in [
            ("dockerd", "docker.io"),
            ("docker", "docker.io"),
            ("containerd", "containerd"),
            ("runc", "runc"),
            ("busybox", "busybox-static"),
        ] {
            if place.program(program).is_none() {
                skip(test, &format!("{program} not on PATH (apt-get install {package})"));
                return None;
            }
        }
        if !nix::unistd::geteuid().is_root() {
            skip(test, "needs root");
            return None;
        }
        let Some(session) = Session::new(place) else {
            skip(test, "needs CAP_SYS_ADMIN, for mounts and processes of its own");
            return None;
        };
        let scratch = &session.scratch;
        for name in names {
            assert!(hosts::add(name, &scratch.path("machine")), "root can make device nodes");
        }
        scratch.write("gpu-runc/config.toml", &config(scratch.path("machine").as_path(), ""));
        fs::create_dir_all(scratch.path("bin")).unwrap();
        scratch.image(IMAGE, &scratch.rootfs("rootfs", &program_on_path("busybox").unwrap()));
        let data = scratch.text("docker");
        let corner = Corner { session, data };
        let daemon = format!(
            "{{\"data-root\": {:?}, \"exec-root\": {:?}, \"iptables\": false, \"bridge\": \"none\", \"storage-driver\": \"vfs\", \
             \"features\": {{\"containerd-snapshotter\": false}}, \"exec-opts\": [\"native.cgroupdriver=cgroupfs\"], \
             \"cgroup-parent\": {:?}}}\n",
            corner.data,
            corner.session.scratch.text("docker-exec"),
            corner.session.cgroup()
        );
        let saved = corner.session.scratch.write("daemon.json", &daemon);
        corner.shell(&format!("mkdir -p /etc/docker && cp {} /etc/docker/daemon.json", saved.display()));
        corner.start();
        corner.shell(&format!("docker load -i {}", corner.session.scratch.text("image.tar")));
        let plain = corner.docker("--runtime runc", "true");
        if plain.code != 0 {
            let why = plain.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
            skip(test, &format!("Docker cannot run a container here without us either: {why}"));
            return None;
        }
        Some(corner)
    }

    fn run(&self, script: &str) -> Outcome {
        self.session.run(&["sh", "-c", script].map(str::to_owned))
    }

    fn shell(&self, script: &str) -> String {
        let outcome = self.run(script);
        assert_eq!(outcome.code, 0, "{script}: {outcome:?}\n{}", self.session.scratch.read("daemon.log"));
        outcome.stdout
    }

    fn start(&self) {
        let log = self.session.scratch.text("daemon.log");
        // Debian's client is older than what today's daemon takes by itself.
        let daemon = format!("DOCKER_MIN_API_VERSION=1.24 exec dockerd >>{log} 2>&1");
        self.session.spawn(&["sh", "-c", &daemon].map(str::to_owned));
        let end = Instant::now() + Duration::from_secs(60);
        while self.run("docker info").code != 0 {
            assert!(Instant::now() < end, "{}", self.session.scratch.read("daemon.log"));
            sleep(Duration::from_millis(200));
        }
    }

    fn restart(&self) {
        self.shell("kill $(cat /var/run/docker.pid)");
        let end = Instant::now() + Duration::from_secs(60);
        while self.run("pgrep -x dockerd").code == 0 {
            assert!(Instant::now() < end, "dockerd does not end");
            sleep(Duration::from_millis(100));
        }
        // Its start is told in whole seconds.
        sleep(Duration::from_millis(1100));
        self.start();
    }

    fn docker(&self, options: &str, command: &str) -> Outcome {
        self.run(&format!("docker run --rm --network none {options} {IMAGE} {command}"))
    }

    /// The device nodes below /dev that a container with these options has beyond those of one without.
    fn nodes(&self, options: &str) -> Vec<String> {
        let found = |options: &str| {
            let outcome = self.docker(options, "find /dev -type c -not -path '/dev/pts/*'");
            assert_eq!(outcome.code, 0, "{options}: {outcome:?}");
            outcome.stdout.lines().map(str::to_owned).collect::<Vec<_>>()
        };
        let plain = found("--runtime runc");
        let mut nodes = found(options);
        nodes.retain(|node| !plain.contains(node));
        nodes.sort();
        nodes
    }
}

fn config(machine: &Path, more: &str) -> String {
    format!("[log]\nsyslog = false\n[cdi]\nspec-dirs = [\"/absent\"]\n[host]\nroot = {machine:?}\n{more}")
}

/// What a container of `machine` gets that Docker gave its hook, and `value` for its variable; or the error.
fn hooked(machine: &Path, value: &str) -> Result<serde_json::Value, String> {
    let hook = serde_json::json!({"path": "/usr/bin/nvidia-container-runtime-hook", "args": ["nvidia-container-runtime-hook", "prestart"]});
    let config = serde_json::json!({"ociVersion": "1.2.0", "linux": {}, "hooks": {"prestart": [hook]},
        "process": {"env": ["NVIDIA_VISIBLE_DEVICES=all", format!("NVIDIA_VISIBLE_DEVICES={value}")], "user": {"uid": 0, "gid": 0}}});
    hosts::start(machine, &config)
}

#[test]
fn dockers_hook_is_for_the_hosts_own_vendor_and_no_other() {
    let gpus = |names: &[&str], more: &str, value: &str, start: &str| {
        let host = hosts::make(names)?;
        hosts::configure(host.path(), more);
        Some(hooked(host.path(), value).map(|container| {
            let paths = hosts::paths(&container, "/linux/devices", "path");
            paths.iter().filter(|path| is_gpu(path, start)).count()
        }))
    };
    let (render, nvidia) = ("/dev/dri/renderD", "/dev/nvidia");
    let mixed = &["nvidia-l40s-companions-1", "amd-mi300x-8"][..];
    let only = "[inject]\ndocker-gpus = \"nvidia\"\n";
    for (names, more, value, start, expected) in [
        (&["amd-mi300x-8"][..], "", "0,3", render, Ok(2)),
        (&["intel-flex-sriov-2"], "", "1", render, Ok(1)),
        (&["habana-gaudi2-3"], "", "all", "/dev/accel/accel", Ok(3)),
        (mixed, "", "0", nvidia, Ok(1)),
        (mixed, "", "3", nvidia, Err("nvidia.com/gpu=3")),
        (&["amd-mi300x-8"], "", "99", render, Err("amd.com/gpu=99")),
        (&["amd-mi300x-8"], only, "0", render, Err("nvidia.com/gpu=0")),
        (&["none"], "", "all", nvidia, Err("nvidia.com/gpu=all")),
    ] {
        let Some(given) = gpus(names, more, value, start) else { return };
        match (given, expected) {
            (Ok(given), Ok(expected)) => assert_eq!(given, expected, "{names:?} {value}"),
            (Err(error), Err(part)) => assert!(error.contains(&format!("unresolvable CDI devices {part}")), "{error}"),
            (given, expected) => panic!("{names:?} {more} {value}: {given:?}, not {expected:?}"),
        }
    }
}

#[test]
fn called_by_dockers_names_it_says_what_to_do_or_is_the_runtime() {
    let scratch = crate::scratch::Scratch::new();
    scratch.program("runc", "#!/bin/sh\necho runc \"$@\"\n");
    scratch.write("config.toml", &format!("runtimes = [{:?}]\n[log]\nsyslog = false\n", scratch.text("runc")));
    let call = |name: &str, arg: &str| {
        std::os::unix::fs::symlink(GPU_RUNC, scratch.path(name)).unwrap();
        let mut command = std::process::Command::new(scratch.path(name));
        let output = command.arg(arg).env("GPU_RUNC_CONFIG", scratch.path("config.toml")).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    for name in ["nvidia-container-runtime-hook", "nvidia-container-toolkit"] {
        let (code, out, err) = call(name, "prestart");
        assert_eq!((code, out.as_str()), (Some(1), ""));
        assert!(err.starts_with("gpu-runc: Docker's --gpus works only where gpu-runc starts the container"), "{err}");
        assert!(err.contains("--runtime gpu-runc") && err.lines().count() == 1, "{err}");
    }
    assert_eq!(call("amd-container-runtime", "--version"), (Some(0), "runc --version\n".to_owned(), String::new()));
}

const FORMS: [(&str, &[usize]); 6] = [
    ("--gpus 2", &[0, 1]),
    ("--gpus device=1", &[1]),
    ("--gpus '\"device=1,0\"'", &[0, 1]),
    ("--gpus all,capabilities=compute", &[]),
    ("--gpus all", &[]),
    ("--gpus 1", &[0]),
];

#[test]
fn one_command_makes_dockers_gpus_work_for_every_vendor() {
    for place in Place::all("dockerd") {
        for (hosts, name, kind, gpu) in [
            (&["nvidia-h100-8"][..], "nvidia-container-runtime-hook", "nvidia.com/gpu", "/dev/nvidia"),
            (&["amd-mi300x-8"], "", "amd.com/gpu", "/dev/dri/renderD"),
            (&["intel-flex-sriov-2"], "nvidia-container-runtime-hook", "intel.com/gpu", "/dev/dri/renderD"),
        ] {
            let test = place.named(&format!("docker_gpus::{}", hosts[0]));
            let Some(corner) = Corner::new(&test, &place, hosts) else { return };
            gives_gpus(&corner, name, kind, gpu);
        }
    }
}

fn gives_gpus(corner: &Corner, name: &str, kind: &str, gpu: &str) {
    let before = corner.shell("cat /etc/docker/daemon.json");
    let bin = corner.session.scratch.text("bin");
    let refused = corner.docker("--gpus all", "true");
    assert_ne!(refused.code, 0, "without the names Docker refuses it: {refused:?}");
    let known = corner.run(
        &format!("{CTK} explain --error \"$0\" 2>&1").replace("$0", &refused.stderr.replace('"', "'").replace('`', "")),
    );
    assert!(known.stdout.contains("--engine docker --gpus"), "{refused:?} {known:?}");

    let configure = format!("{CTK} runtime configure --engine docker");
    let elsewhere = corner.run(&format!("{configure} --gpus --names-dir /opt"));
    assert!(elsewhere.code == 1 && elsewhere.stderr.contains("does not look there; its PATH is "), "{elsewhere:?}");
    assert_eq!(corner.shell("cat /etc/docker/daemon.json"), before, "nothing is half done");
    let said = corner.shell(&format!("{configure} --gpus --names-dir {bin} 2>&1"));
    assert!(
        said.contains("to apply (system): systemctl restart docker") && said.contains("--gpus-only keeps them from it"),
        "{said}"
    );
    let names = corner.shell(&format!("ls {bin}"));
    assert!(name.is_empty() || names.lines().any(|found| found == name), "{names}");
    let again = corner.shell(&format!("{configure} --gpus 2>&1"));
    assert!(again.contains("nothing to change in its files, which the running daemon has not loaded"), "{again}");
    corner.restart();
    let again = corner.shell(&format!("{configure} --gpus 2>/dev/null"));
    assert_eq!(again, "docker (system): nothing to change\n");

    let all = corner.nodes("--gpus all").into_iter().filter(|node| is_gpu(node, gpu)).collect::<Vec<_>>();
    assert!(all.len() > 1, "{all:?}");
    for (options, indices) in FORMS {
        // Docker's own driver for AMD knows no other capability than gpu.
        if options.contains("capabilities") && names.lines().any(|found| found == "amd-container-runtime") {
            continue;
        }
        let found: Vec<_> = corner.nodes(options).into_iter().filter(|node| is_gpu(node, gpu)).collect();
        let expected = if indices.is_empty() { all.len() } else { indices.len() };
        assert_eq!(found.len(), expected, "{options}: {found:?} of {all:?}");
    }
    let unknown = corner.docker("--gpus device=99", "true");
    assert!(unknown.stderr.contains(&format!("unresolvable CDI devices {kind}=99")), "{unknown:?}");
    assert_eq!(corner.nodes(""), Vec::<String>::new(), "no --gpus, no device");
    let image = corner.nodes("-e NVIDIA_VISIBLE_DEVICES=void");
    assert_eq!(image, Vec::<String>::new());

    if name == "nvidia-container-runtime-hook" {
        let plain = corner.docker("--runtime runc --gpus all", "true");
        let sentence = "Docker's --gpus works only where gpu-runc starts the container";
        assert!(plain.code != 0 && plain.stderr.contains(sentence), "{plain:?}");
    }
    let refreshed = corner.shell(&format!("{configure} --refresh"));
    assert_eq!(refreshed, "docker (system): nothing to change\n");

    let gone = corner.shell(&format!("{configure} --unconfigure"));
    assert!(gone.contains("to apply (system): systemctl restart docker"), "{gone}");
    assert_eq!(corner.shell("cat /etc/docker/daemon.json"), before);
    assert_eq!(corner.shell(&format!("ls {bin}")), "", "our names are gone");
}

/// Whether `node` is a GPU's own: its path begins so, and a number follows.
fn is_gpu(node: &str, start: &str) -> bool {
    node.strip_prefix(start).is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
}

#[test]
fn with_gpus_only_an_images_variable_gives_nothing() {
    let place = Place::default();
    let Some(corner) = Corner::new("docker_gpus::only", &place, &["amd-mi300x-8"]) else { return };
    let bin = corner.session.scratch.text("bin");
    let own = corner.session.scratch.read("gpu-runc/config.toml");
    // Two of one name: theirs stays.
    corner.session.scratch.program("bin/nvidia-cdi-hook", "#!/bin/sh\nexit 1\n");
    let configure = format!("{CTK} runtime configure --engine docker");
    let said = corner.shell(&format!("{configure} --gpus-only --names-dir {bin} 2>&1"));
    assert!(said.contains("environment variables give no GPU any more"), "{said}");
    assert!(corner.session.scratch.read("gpu-runc/config.toml").contains("env = \"never\""));
    corner.restart();
    let gpus =
        |options: &str| corner.nodes(options).into_iter().filter(|node| is_gpu(node, "/dev/dri/renderD")).count();
    assert_eq!(gpus("--gpus 2"), 2);
    for variable in ["NVIDIA_VISIBLE_DEVICES=all", "AMD_VISIBLE_DEVICES=all", "GPU_VISIBLE_DEVICES=all"] {
        assert_eq!(gpus(&format!("-e {variable}")), 0, "{variable}");
    }
    corner.shell(&format!("{configure} --unconfigure"));
    assert_eq!(corner.session.scratch.read("gpu-runc/config.toml"), own);
    assert_eq!(corner.shell(&format!("ls {bin}")), "nvidia-cdi-hook\n", "somebody else's stays");
    assert!(Path::new(GPU_RUNC).is_file());
}
