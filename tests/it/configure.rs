//! `gpu-ctk runtime configure` on files of scratch folders, and with real engines that read what it wrote.

mod daemons;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::engines::place::Place;
use crate::fixtures::fixtures;
use crate::scratch::{Scratch, skip, succeed};

const CTK: &str = env!("CARGO_BIN_EXE_gpu-ctk");
const GPU_RUNC: &str = env!("CARGO_BIN_EXE_gpu-runc");
const RUNTIMES: &str = "plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes";

/// Runs `gpu-ctk runtime configure` on the files of `scratch`, whose folder `bin` comes first on PATH.
fn configure(scratch: &Scratch, args: &[&str]) -> Output {
    configure_at(&Place::default(), scratch, args)
}

/// The same with the engines of `place`.
fn configure_at(place: &Place, scratch: &Scratch, args: &[&str]) -> Output {
    let path = format!("{}:{}", scratch.text("bin"), place.path());
    let mut command = Command::new(CTK);
    command.env("PATH", path).env("GPU_RUNC_CONFIG", "/absent").current_dir(scratch.path(""));
    command.args(["runtime", "configure"]).args(args).output().unwrap()
}

/// Whose engines these tests configure.
fn scope() -> &'static str {
    if nix::unistd::geteuid().is_root() { "system" } else { "user" }
}

fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_second_run_writes_nothing_and_restarts_nothing() {
    let scratch = Scratch::new();
    let before = "{\n  \"log-level\": \"warn\"\n}\n";
    let file = scratch.write("daemon.json", before);
    scratch.program("bin/systemctl", "#!/bin/sh\necho \"$@\" >> systemctl.log\n");
    let docker = ["--engine", "docker", "--config", "daemon.json", "--runtime-path", "/opt/gpu-runc"];
    let restarting = [&docker[..], &["--restart", "systemd"]].concat();

    let (code, out, _) = said(&configure(&scratch, &[&docker[..], &["--dry-run"]].concat()));
    assert_eq!(code, Some(0));
    let path = file.display();
    assert!(out.starts_with(&format!("--- {path}\n+++ {path}\n@@ ")), "{out}");
    assert!(out.contains("+  \"runtimes\": {\"gpu-runc\": {\"path\": \"/opt/gpu-runc\"}}\n"), "{out}");
    assert_eq!(scratch.read("daemon.json"), before, "a dry run writes nothing");

    let (code, out, _) = said(&configure(&scratch, &restarting));
    assert_eq!((code, out), (Some(0), format!("wrote {path} ({})\n", scope())));
    let (inode, text) = (fs::metadata(&file).unwrap().ino(), scratch.read("daemon.json"));
    let (code, out, _) = said(&configure(&scratch, &restarting));
    assert_eq!((code, out.as_str()), (Some(0), &*format!("docker ({}): nothing to change\n", scope())));
    assert_eq!((fs::metadata(&file).unwrap().ino(), scratch.read("daemon.json")), (inode, text));
    let user = if nix::unistd::geteuid().is_root() { "" } else { "--user " };
    assert_eq!(
        scratch.read("systemctl.log"),
        if user.is_empty() { "reload docker\n" } else { "--user restart docker\n" }
    );

    let (_, out, _) = said(&configure(&scratch, &["--engine", "docker", "--config", "daemon.json", "--unconfigure"]));
    assert_eq!(out, format!("wrote {path} ({0})\nto apply ({0}): systemctl {user}restart docker\n", scope()));
    assert_eq!(scratch.read("daemon.json"), before);

    scratch.program("bin/systemctl", "#!/bin/sh\nexit 5\n");
    let (code, _, err) = said(&configure(&scratch, &restarting));
    assert!(code == Some(1) && err.contains("the files are written, but systemctl"), "{err}");
}

#[test]
fn a_file_keeps_its_mode_and_owner_and_a_link_stays_a_link() {
    let scratch = Scratch::new();
    let target = scratch.write("real/daemon.json", "{}");
    fs::set_permissions(&target, fs::Permissions::from_mode(0o640)).unwrap();
    let owner = if nix::unistd::geteuid().is_root() { 12345 } else { nix::unistd::geteuid().as_raw() };
    chown(&target, Some(owner), None).unwrap();
    symlink("real/daemon.json", scratch.path("daemon.json")).unwrap();
    let args = ["--engine", "docker", "--config", "daemon.json", "--runtime-path", "/opt/gpu-runc"];
    assert_eq!(said(&configure(&scratch, &args)).0, Some(0));
    let found = fs::metadata(&target).unwrap();
    assert_eq!((found.mode() & 0o7777, found.uid()), (0o640, owner));
    assert!(fs::symlink_metadata(scratch.path("daemon.json")).unwrap().is_symlink());
    assert!(scratch.read("real/daemon.json").contains("/opt/gpu-runc"));
    let left: Vec<_> = fs::read_dir(scratch.path("real")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["daemon.json"]);
}

#[test]
fn a_file_that_does_not_parse_is_told_with_its_line_and_stays() {
    let scratch = Scratch::new();
    for (engine, text, message) in [
        ("docker", "{\n \"a\": 1,\n}\n", ":3: trailing comma"),
        ("containerd", "version = 2\n[plugins\n", ":2: "),
        ("crio", "[crio]\n[crio]\n", ":2: "),
        ("podman", "[engine]\nruntime = \n", ":2: "),
        ("k3s", "version = 3\nimports = 3\n", ":2: imports is no list of strings"),
    ] {
        scratch.write("file", text);
        let args = ["--engine", engine, "--config", "file", "--runtime-path", "/opt/gpu-runc"];
        let (code, out, err) = said(&configure(&scratch, &args));
        let start = format!("gpu-ctk: {}{message}", scratch.path("file").display());
        assert!(code == Some(1) && out.is_empty() && err.starts_with(&start), "{engine}: {err}");
        assert!(err.ends_with("; nothing was changed\n"), "{err}");
        assert_eq!(fs::read_dir(scratch.path("")).unwrap().count(), 1, "{engine} has written something");
        assert_eq!(scratch.read("file"), text);
    }
}

#[test]
fn an_engine_that_ignores_the_signal_is_told_and_nothing_is_changed() {
    let Some(busybox) = crate::scratch::program_on_path("busybox") else {
        return crate::scratch::skip("configure::ignored", "busybox not on PATH (apt-get install busybox-static)");
    };
    let scratch = Scratch::new();
    fs::copy(busybox, scratch.path("dockerd")).unwrap();
    let mut command = Command::new(scratch.path("dockerd"));
    let script = "trap '' HUP; echo ready; while :; do read -r line; done";
    std::os::unix::process::CommandExt::arg0(&mut command, "sh").args(["-c", script]);
    let mut dockerd = command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut line = [0; 6];
    std::io::Read::read_exact(dockerd.stdout.as_mut().unwrap(), &mut line).unwrap();
    scratch.write("docker.pid", &dockerd.id().to_string());
    let file = format!("{{\"pidfile\": {:?}}}", scratch.path("docker.pid"));
    scratch.write("daemon.json", &file);
    let config = scratch.text("daemon.json");
    let output = Command::new("timeout")
        .args(["20", env!("CARGO_BIN_EXE_gpu-ctk"), "runtime", "configure", "--engine", "docker", "--config", &config])
        .args(["--runtime-path", "/bin/true", "--restart", "signal"])
        .output();
    dockerd.kill().unwrap();
    dockerd.wait().unwrap();
    let (code, _, err) = said(&output.unwrap());
    assert!(
        code == Some(1) && err.contains("ignores SIGHUP, because it was started with the signal ignored"),
        "{code:?} {err}"
    );
    assert!(err.contains("nothing was changed; use --restart systemd, or --restart none"), "{err}");
    assert_eq!(scratch.read("daemon.json"), file);
}

#[test]
fn what_cannot_be_done_by_a_signal_is_told_with_what_does_it() {
    for (engine, command) in [("crio", "restart crio"), ("k3s", "try-restart k3s k3s-agent")] {
        let scratch = Scratch::new();
        let args = ["--engine", engine, "--config", "file", "--runtime-path", "/opt/gpu-runc", "--restart"];
        let (code, _, err) = said(&configure(&scratch, &[&args[..], &["signal"]].concat()));
        assert!(
            code == Some(1) && err.contains("has no signal for it, the files are written; use --restart systemd"),
            "{err}"
        );
        let unconfigured = ["--engine", engine, "--config", "file", "--unconfigure"];
        let (_, out, _) = said(&configure(&scratch, &unconfigured));
        assert!(out.ends_with(&format!("to apply (system): systemctl {command}\n")), "{out}");
    }
}

#[test]
fn every_engines_files_come_and_go() {
    for (engine, config, made) in [
        ("docker", "docker/daemon.json", "docker/daemon.json"),
        ("crio", "crio/crio.conf", "crio/crio.conf.d/99-gpu-runc.conf"),
        ("podman", "containers/containers.conf", "containers/containers.conf.d/99-gpu-runc.conf"),
        ("k3s", "k3s/config.toml", "k3s/config-v3.toml.tmpl"),
        ("rke2", "rke2/config.toml", "rke2/config-v3.toml.tmpl"),
        ("containerd", "containerd/config.toml", "containerd/config.toml"),
    ] {
        let scratch = Scratch::new();
        scratch.program("bin/containerd", "#!/bin/sh\nexit 1\n");
        let (code, out, err) = said(&configure(&scratch, &["--engine", engine, "--config", config]));
        assert_eq!((code, err.as_str()), (Some(0), ""), "{engine}");
        assert!(out.starts_with(&format!("wrote {} (", scratch.path(made).display())), "{engine}: {out}");
        assert!(scratch.read(made).contains(GPU_RUNC), "the gpu-runc beside gpu-ctk: {}", scratch.read(made));
        let (code, out, _) = said(&configure(&scratch, &["--engine", engine, "--config", config, "--unconfigure"]));
        assert!(code == Some(0) && out.starts_with("removed "), "{engine}: {out}");
        assert!(!scratch.path(made).exists());
        if made.contains(".conf.d/") {
            assert!(!scratch.path(made).parent().unwrap().exists(), "{engine}: a folder that we made is left");
        }
    }
}

#[test]
fn the_one_engine_on_the_path_is_found_and_several_are_asked_about() {
    let scratch = Scratch::new();
    let found = |programs: &[&str]| {
        let _ = fs::remove_dir_all(scratch.path("bin"));
        for program in programs {
            scratch.program(&format!("bin/{program}"), "#!/bin/sh\nexit 1\n");
        }
        said(&configure(&scratch, &["--config", "file", "--runtime-path", "/opt/gpu-runc", "--dry-run"]))
    };
    let (code, out, err) = found(&["containerd", "dockerd", "podman", "crio"]);
    assert!(code == Some(1) && out.is_empty(), "{out}");
    assert!(
        err.starts_with("gpu-ctk: this host has containerd, docker, crio, podman; name one"),
        "all of them, as doctor has them: {err}"
    );
}

#[test]
fn a_wrong_command_line_says_what_would_be_right() {
    let scratch = Scratch::new();
    for (args, code, message) in [
        (["--engine", "docker", "--runtime-name", "runc"].as_slice(), 1, "not the name of the low-level runtime"),
        (&["--engine", "docker", "--runtime-name", "A b"], 1, "expected small letters, digits and hyphens"),
        (&["--engine", "docker", "--runtime-path", "gpu-runc"], 1, "expected an absolute path"),
        (
            &["--engine", "docker", "--runtime-path", "/nonexistent"],
            1,
            "there is no such program; to write files for another",
        ),
        (
            &["--engine", "docker", "--config", "file", "--runtime-path", "/tmp"],
            1,
            "that is no program that can be started",
        ),
        (&["--engine", "docker", "--config", "file", "--runtime-path", "/etc/passwd"], 1, "that is no program"),
        (&["--runtime=dokcer"], 2, "possible values: containerd, docker"),
        (&["--engine", "dokcer"], 2, "possible values: containerd, docker, crio, podman, k3s, rke2"),
        (&["--unconfigure", "--set-as-default"], 2, "cannot be used with"),
    ] {
        let args = [args, &["--dry-run"]].concat();
        let (found, _, err) = said(&configure(&scratch, &args));
        assert!(found == Some(code) && err.contains(message), "{args:?}: {err}");
    }
}

#[test]
fn files_of_an_image_may_name_a_program_that_is_not_there_yet() {
    let scratch = Scratch::new();
    let args = ["--engine", "docker", "--config", "image/daemon.json", "--runtime-path", "/absent/gpu-runc"];
    let (code, _, err) = said(&configure(&scratch, &args));
    assert_eq!(code, Some(0));
    let note = "gpu-ctk: /absent/gpu-runc is not there yet: no container of this runtime starts until it is\n";
    assert_eq!(err, note);
    assert!(scratch.read("image/daemon.json").contains("/absent/gpu-runc"));
}

#[test]
fn what_people_type_who_know_nvidia_ctk_means_the_same() {
    let scratch = Scratch::new();
    let args = ["--runtime=docker", "--config=daemon.json", "--nvidia-set-as-default"];
    assert_eq!(said(&configure(&scratch, &args)).0, Some(0));
    assert!(scratch.read("daemon.json").contains("\"default-runtime\": \"gpu-runc\""));
    let (_, help, _) = said(&configure(&scratch, &["--help"]));
    assert!(!help.contains("--nvidia") && !help.contains("--runtime "), "{help}");
}

#[test]
fn a_user_with_the_environment_of_root_is_told_what_to_do() {
    let test = "configure::a_user_with_the_environment_of_root";
    if !nix::unistd::geteuid().is_root() {
        return skip(test, "needs root, to be another user");
    }
    let scratch = Scratch::new();
    fs::create_dir(scratch.path("root")).unwrap();
    fs::set_permissions(scratch.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(scratch.path("root"), fs::Permissions::from_mode(0o700)).unwrap();
    let mut command = Command::new(CTK);
    command.uid(1234).gid(1234).env_remove("XDG_CONFIG_HOME").env("HOME", scratch.path("root")).current_dir("/");
    let Ok(output) = command.args(["runtime", "configure", "--engine", "docker", "--unconfigure"]).output() else {
        return skip(test, "another user cannot start the program (optional)");
    };
    let (code, _, err) = said(&output);
    let advice = ": access denied; the engine of this user is meant, whose files are below HOME or XDG_CONFIG_HOME: set it to this \
                  user's, or run sudo gpu-ctk runtime configure --engine docker for the engine of the system\n";
    assert!(code == Some(1) && err.ends_with(advice), "{err}");
}

#[test]
fn another_projects_daemon_json_comes_back_as_it_was() {
    let Some(file) = fixtures("nvidia/engine-configs/etc/docker/daemon.json") else { return };
    let (scratch, text) = (Scratch::new(), fs::read_to_string(file).unwrap());
    scratch.write("daemon.json", &text);
    let args = ["--engine", "docker", "--config", "daemon.json"];
    assert_eq!(said(&configure(&scratch, &[&args[..], &["--set-as-default"]].concat())).0, Some(0));
    let mut with: Value = serde_json::from_str(&scratch.read("daemon.json")).unwrap();
    assert_eq!(with["runtimes"]["gpu-runc"]["path"], GPU_RUNC);
    with.as_object_mut().unwrap().retain(|key, _| !["runtimes", "default-runtime"].contains(&key.as_str()));
    assert_eq!(with, serde_json::from_str::<Value>(&text).unwrap());
    assert_eq!(said(&configure(&scratch, &[&args[..], &["--unconfigure"]].concat())).0, Some(0));
    assert_eq!(scratch.read("daemon.json"), text);
}

/// What containerd makes of the file.
fn dump(place: &Place, config: &Path) -> toml::Table {
    let containerd = place.program("containerd").unwrap();
    succeed(Command::new(containerd).arg("--config").arg(config).args(["config", "dump"])).parse().unwrap()
}

/// The part of `dump` that says which runtimes pods can have.
fn of_pods(dump: &mut toml::Table) -> &mut toml::Table {
    let plugins = dump["plugins"].as_table_mut().unwrap();
    let is_second = plugins.contains_key("io.containerd.cri.v1.runtime");
    let plugin = if is_second { "io.containerd.cri.v1.runtime" } else { "io.containerd.grpc.v1.cri" };
    plugins[plugin]["containerd"].as_table_mut().unwrap()
}

/// A dump spells out what a runtime of containerd's own has by default, and of one that is written only what is written.
fn without_nothings(runtime: &mut toml::Value) {
    let is_nothing = |value: &toml::Value| match value {
        toml::Value::String(text) => ["", "podsandbox"].contains(&text.as_str()),
        toml::Value::Array(array) => array.is_empty(),
        value => value.as_bool() == Some(false) || value.as_integer() == Some(0),
    };
    let runtime = runtime.as_table_mut().unwrap();
    runtime.retain(|_, value| !is_nothing(value));
    if let Some(options) = runtime.get_mut("options").and_then(toml::Value::as_table_mut) {
        options.retain(|_, value| !is_nothing(value));
    }
}

#[test]
fn containerd_sees_one_more_runtime_and_nothing_else() {
    for place in Place::all("containerd") {
        if place.program("containerd").is_none() {
            skip("configure::containerd", "containerd not on PATH (apt-get install containerd)");
            continue;
        }
        sees_one_more_runtime(&place);
    }
}

fn sees_one_more_runtime(place: &Place) {
    let debian = "version = 2\n\n[plugins]\n  [plugins.\"io.containerd.grpc.v1.cri\"]\n    \
                  [plugins.\"io.containerd.grpc.v1.cri\".cni]\n      bin_dir = \"/usr/lib/cni\"\n";
    let cluster = format!(
        "{debian}[{RUNTIMES}.runc]\nruntime_type = 'io.containerd.runc.v2'\n[{RUNTIMES}.runc.options]\nSystemdCgroup = true\n"
    );
    let mut samples = vec![(debian.to_owned(), false), (cluster, true), ("oom_score = 0\n".to_owned(), false)];
    let default = Command::new(place.program("containerd").unwrap()).args(["config", "default"]).output().unwrap();
    samples.push((String::from_utf8(default.stdout).unwrap(), false));
    let folder = fixtures("nvidia/engine-configs/etc/containerd").into_iter();
    let files = folder.flat_map(|folder| fs::read_dir(folder).unwrap()).map(|entry| entry.unwrap().path());
    samples.extend(files.map(|file| (fs::read_to_string(file).unwrap(), false)));
    for (text, is_systemd) in samples {
        let scratch = Scratch::new();
        // The machine's own drop-ins are no part of this.
        let text = text.replace("/etc/containerd/conf.d", &scratch.text("conf.d"));
        let config = scratch.write("config.toml", &text);
        let mut before = dump(place, &config);
        let args = ["--engine", "containerd", "--config", "config.toml"];
        let (code, _, err) = said(&configure_at(place, &scratch, &[&args[..], &["--set-as-default"]].concat()));
        assert_eq!((code, err.as_str()), (Some(0), ""), "{text}");
        let mut after = dump(place, &config);
        assert_eq!(of_pods(&mut after)["default_runtime_name"].as_str(), Some("gpu-runc"), "{text}");
        let ours = of_pods(&mut after)["runtimes"].as_table_mut().unwrap().remove("gpu-runc").unwrap();
        assert_eq!(ours["runtime_type"].as_str(), Some("io.containerd.runc.v2"));
        assert_eq!(ours["options"]["BinaryName"].as_str(), Some(GPU_RUNC));
        let systemd = ours["options"].get("SystemdCgroup").and_then(toml::Value::as_bool).unwrap_or_default();
        assert_eq!(systemd, is_systemd, "{text}");
        for dump in [&mut before, &mut after] {
            // One more file is read.
            dump.remove("imports");
            let containerd = of_pods(dump);
            containerd.insert("default_runtime_name".to_owned(), "any".into());
            if let Some(runc) = containerd["runtimes"].get_mut("runc") {
                without_nothings(runc);
            }
        }
        assert_eq!(after, before, "{text}");
        let unconfigured = configure_at(place, &scratch, &[&args[..], &["--unconfigure"]].concat());
        assert_eq!((said(&unconfigured).0, scratch.read("config.toml")), (Some(0), text));
    }
}
