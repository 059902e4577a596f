//! Which low-level runtime gets a call: by its engine at the start, by its state afterwards; and what a rootless container is told of
//! device nodes that it could not open.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::scratch::{Scratch, program_on_path, skip};

const GPU_RUNC: &str = env!("CARGO_BIN_EXE_gpu-runc");

/// A folder with a runc and a crun that print their names, a bundle, and a configuration.
fn machine(config: &str) -> Scratch {
    let scratch = Scratch::new();
    for name in ["runc", "crun"] {
        scratch.program(&format!("bin/{name}"), &format!("#!/bin/sh\necho {name}\n"));
    }
    let cdi = scratch.text("cdi");
    let rest = format!(
        "[log]\nsyslog = false\nfile = {:?}\n[cdi]\nspec-dirs = [{cdi:?}]\n[inject]\ngenerate = \"never\"\n",
        scratch.text("log")
    );
    scratch.write("config.toml", &format!("{config}{rest}"));
    fs::create_dir(scratch.path("run")).unwrap();
    scratch
}

fn bundle(scratch: &Scratch, annotations: &[(&str, &str)]) {
    let annotations: serde_json::Map<String, Value> =
        annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())).collect();
    let config = json!({"ociVersion": "1.0.2", "annotations": annotations, "linux": {}, "root": {"path": "rootfs"},
                        "process": {"args": ["sh"], "cwd": "/", "user": {"uid": 0, "gid": 0}}});
    scratch.write("bundle/config.json", &config.to_string());
    fs::create_dir_all(scratch.path("bundle/rootfs")).unwrap();
}

fn command(scratch: &Scratch, args: &str) -> Command {
    let mut command = Command::new(GPU_RUNC);
    command.env_clear().env("PATH", scratch.path("bin")).env("XDG_RUNTIME_DIR", scratch.path("run"));
    command.env("GPU_RUNC_CONFIG", scratch.path("config.toml")).current_dir(scratch.path("bundle"));
    command.args(args.split(' '));
    command
}

fn runtime(scratch: &Scratch, args: &str) -> String {
    let Output { stdout, stderr, .. } = command(scratch, args).output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&stdout).trim(), String::from_utf8_lossy(&stderr).trim())
}

const PODMAN: (&str, &str) = ("io.container.manager", "libpod");
const KEEP: (&str, &str) = ("run.oci.keep_original_groups", "1");

#[test]
fn podmans_containers_get_what_podman_would_have_run() {
    let both = "runtimes = [\"runc\", \"crun\"]\n";
    for (what, config, annotations, args, expected) in [
        ("any other engine", "", &[][..], "create ID", "runc"),
        ("CRI-O", "", &[("io.container.manager", "cri-o")], "create ID", "runc"),
        ("podman", "", &[PODMAN], "--log l --log-format json create --bundle . --pid-file p ID", "crun"),
        ("podman, with a state directory of the caller's", "", &[PODMAN], "--root /r create ID", "runc"),
        ("podman, and a configured order", both, &[PODMAN], "create ID", "runc"),
        ("keep-groups", "", &[PODMAN, KEEP], "create ID", "crun"),
        ("keep-groups, and a configured order", both, &[KEEP], "create ID", "crun"),
        ("keep-groups without crun", "runtimes = [\"runc\"]\n", &[KEEP], "create ID", "runc"),
        ("crun first", "runtimes = [\"crun\", \"runc\"]\n", &[], "run ID", "crun"),
    ] {
        let scratch = machine(config);
        bundle(&scratch, annotations);
        let before = scratch.read("bundle/config.json");
        assert_eq!(runtime(&scratch, args), expected, "{what}");
        assert_eq!(scratch.read("bundle/config.json"), before, "{what}: no GPU is requested");
    }
    let scratch = machine("");
    bundle(&scratch, &[PODMAN]);
    fs::remove_file(scratch.path("bin/crun")).unwrap();
    // The machine's own crun may be in a usual folder.
    assert_ne!(runtime(&scratch, "create ID"), "");
}

#[test]
fn later_calls_reach_the_runtime_that_has_the_container() {
    for (what, config, has, args, expected) in [
        ("crun has it", "", "crun/ID", "start ID", "crun"),
        ("with flags", "", "crun/ID", "delete --force ID", "crun"),
        ("a signal", "", "crun/ID", "kill --all ID 9", "crun"),
        ("more flags", "", "crun/ID", "exec --pid-file /p --process /p --detach ID", "crun"),
        ("an update", "", "crun/ID", "update --resources=/r ID", "crun"),
        ("runc has it", "", "runc/ID", "kill ID 9", "runc"),
        ("nobody has it", "", "crun/OTHER", "delete ID", "runc"),
        ("the signal is called as a container", "", "crun/9", "list", "runc"),
        ("the caller's state directory", "", "crun/ID", "--root /r delete ID", "runc"),
        ("created before the list was changed", "runtimes = [\"runc\"]\n", "crun/ID", "delete ID", "crun"),
        ("and the other way round", "runtimes = [\"crun\"]\n", "runc/ID", "delete ID", "runc"),
        ("a broken configuration", "runtimes = 1\n", "crun/ID", "delete ID", "crun"),
        ("a way out of the directory", "", "crun/ID", "delete ../crun/ID", "runc"),
        ("no operand", "", "crun/ID", "--version", "runc"),
    ] {
        let scratch = machine(config);
        bundle(&scratch, &[]);
        fs::create_dir_all(scratch.path("run").join(has)).unwrap();
        assert_eq!(runtime(&scratch, args), expected, "{what}");
    }
}

/// What a user in a user namespace gets who is in group 4321, of two nodes of these modes in that group.
fn rootless(modes: [u32; 2], groups: &str, annotations: &[(&str, &str)]) -> (String, String) {
    let scratch = machine("");
    let nodes = [("dev/kfd", modes[0]), ("dev/renderD128", modes[1])];
    let nodes = nodes.map(|(name, mode)| {
        let node = scratch.device_node(name, (1, 3), mode);
        std::os::unix::fs::chown(&node, Some(0), Some(4321)).unwrap();
        json!({"path": format!("/{name}"), "hostPath": node, "type": "c", "major": 1, "minor": 3, "fileMode": mode})
    });
    let spec = json!({"cdiVersion": "0.6.0", "kind": "acme.example/gpu", "devices": [{"name": "0", "containerEdits": {"deviceNodes": nodes}}]});
    scratch.write("cdi/acme.json", &spec.to_string());
    bundle(&scratch, &[annotations, &[("cdi.k8s.io/a", "acme.example/gpu=0")]].concat());
    let open = |path: &Path, mode: u32| {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    };
    // The spec directory may not be written by others; the bundle is the user's.
    for folder in ["", "bin", "cdi", "dev"] {
        open(&scratch.path(folder), 0o755);
    }
    fs::write(scratch.path("log"), "").unwrap();
    open(&scratch.path("log"), 0o666);
    for path in ["bundle", "bundle/config.json", "bundle/rootfs", "run"] {
        std::os::unix::fs::chown(scratch.path(path), Some(1234), Some(1234)).unwrap();
    }
    // A copy, because the build's folder can be closed to others.
    fs::copy(GPU_RUNC, scratch.path("gpu-runc")).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "1234", "--regid", "1234", "--groups", groups, "unshare", "--user", "--map-root-user"]);
    command.arg(scratch.path("gpu-runc")).args(["create", "ID"]).env_clear();
    command
        .env("PATH", format!("{}:/usr/bin:/bin", scratch.text("bin")))
        .env("GPU_RUNC_CONFIG", scratch.path("config.toml"));
    let output = command.current_dir(scratch.path("bundle")).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    (format!("{}{}", text(&output.stdout), text(&output.stderr)), scratch.read("log"))
}

#[test]
fn a_rootless_container_learns_at_its_start_which_nodes_it_could_not_open() {
    let test = "low_level::rootless";
    if !nix::unistd::geteuid().is_root() {
        return skip(test, "needs root, to make device nodes and be another user");
    }
    let can = Command::new("setpriv").args(["--reuid", "1234", "--clear-groups", "unshare", "--user", "true"]).output();
    if program_on_path("setpriv").is_none() || !can.is_ok_and(|output| output.status.success()) {
        return skip(test, "a user cannot make user namespaces here (optional)");
    }
    let keeps = &[PODMAN, KEEP][..];
    let advice = "start the container with --group-add keep-groups (podman, by crun), or add a udev rule such as KERNEL==\"kfd\"";
    for (what, modes, groups, annotations, said, logged) in [
        ("open to all", [0o666, 0o666], "4321", &[PODMAN][..], "crun", ""),
        ("groups dropped", [0o660, 0o660], "4321", &[PODMAN], advice, ""),
        ("groups kept", [0o660, 0o660], "4321", keeps, "crun", ""),
        ("one of two", [0o660, 0o666], "4321", &[PODMAN], "crun", "only a group can open \""),
        ("not in the group", [0o660, 0o660], "99", keeps, "add the user to that group, log in again", ""),
    ] {
        let (output, log) = rootless(modes, groups, annotations);
        assert!(output.contains(said), "{what}: {output}\n{log}");
        assert!(
            !output.to_lowercase().contains("permission denied"),
            "{what}: an engine would make another error of it"
        );
        assert_eq!(log.contains("only a group can open"), !logged.is_empty() || said != "crun", "{what}: {log}");
        assert!(log.contains(logged), "{what}: {log}");
    }
}
