//! The system's engines and a user's own: one command registers each, and doctor sees what that command wrote.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};
use std::thread;

use serde_json::Value;

use crate::scratch::{Scratch, program_on_path, skip};

const CTK: &str = env!("CARGO_BIN_EXE_gpu-ctk");

fn said(output: &Output) -> (Option<i32>, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout) + &text(&output.stderr))
}

/// A user with a home, and programs that she can start.
struct User(Scratch);

impl User {
    fn new(test: &str) -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            skip(test, "needs root, to be another user");
            return None;
        }
        let scratch = Scratch::new();
        for folder in ["home/.config", "run", "bin"] {
            fs::create_dir_all(scratch.path(folder)).unwrap();
        }
        for (from, name) in [(CTK, "gpu-ctk"), (env!("CARGO_BIN_EXE_gpu-runc"), "gpu-runc")] {
            fs::copy(from, scratch.path("bin").join(name)).unwrap();
        }
        for folder in ["", "bin", "home"] {
            fs::set_permissions(scratch.path(folder), fs::Permissions::from_mode(0o755)).unwrap();
        }
        for folder in ["home", "home/.config", "run"] {
            std::os::unix::fs::chown(scratch.path(folder), Some(1234), Some(1234)).unwrap();
        }
        Some(User(scratch))
    }

    fn ctk(&self, args: &str) -> (Option<i32>, String) {
        let mut command = Command::new(self.0.path("bin/gpu-ctk"));
        command
            .uid(1234)
            .gid(1234)
            .env_clear()
            .env("HOME", self.0.path("home"))
            .env("XDG_RUNTIME_DIR", self.0.path("run"));
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("GPU_RUNC_CONFIG", "/dev/null").current_dir("/");
        said(&command.args(args.split(' ')).output().unwrap())
    }

    /// What doctor finds of the user's own `engine`: level and fix.
    fn doctor(&self, engine: &str) -> Vec<(String, String)> {
        let report: Vec<Value> = serde_json::from_str(&self.ctk("doctor --json").1).unwrap();
        let of_engine = report.iter().filter(|finding| finding["id"] == "engine");
        let own = of_engine.filter(|finding| {
            let what = finding["what"].as_str().unwrap();
            what.starts_with(engine) && what.contains("(user)")
        });
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        own.map(|finding| (word(&finding["level"]), word(&finding["fix"]))).collect()
    }
}

#[test]
fn a_users_engines_are_registered_by_one_command_each_and_pass_afterwards() {
    let test = "scope::user";
    let Some(user) = User::new(test) else { return };
    for (engine, program, mark, written) in [
        ("podman", "podman", "", "containers/containers.conf.d/99-gpu-runc.conf"),
        ("docker", "dockerd", "run/docker.pid", "docker/daemon.json"),
        ("containerd", "containerd", "run/containerd-rootless", "containerd/config.toml"),
    ] {
        if program_on_path(program).is_none() {
            skip(test, &format!("{program} not on PATH (apt-get install {engine})"));
            continue;
        }
        let configure = format!("runtime configure --engine {engine}");
        if !mark.is_empty() {
            let (code, out) = user.ctk(&configure);
            let advice = format!(
                "the {engine} of this host is root's, and this user has no rootless one: run sudo gpu-ctk {configure}"
            );
            assert!(code == Some(1) && out.contains(&advice), "{out}");
            assert!(
                !user.0.path("home/.config").join(written).exists(),
                "nothing is written for an engine that is not there"
            );
            assert_eq!(user.doctor(engine), [], "and doctor does not speak of one");
            fs::write(user.0.path(mark), "").unwrap();
        }
        let [(level, fix)] = &user.doctor(engine)[..] else { panic!("{engine}") };
        assert_eq!((level.as_str(), fix.as_str()), ("WARN", &*format!("gpu-ctk {configure} --user")));
        // The command as doctor prints it.
        let (code, out) = user.ctk(fix.strip_prefix("gpu-ctk ").unwrap());
        let path = user.0.path("home/.config").join(written);
        assert!(code == Some(0) && out.contains(&format!("wrote {} (user)\n", path.display())), "{out}");
        assert!(out.contains("to apply (user): systemctl --user restart ") || engine == "podman", "{out}");
        assert_eq!(user.doctor(engine)[0].0, "PASS", "{engine}");
        let (code, out) = user.ctk(&configure);
        assert_eq!((code, out), (Some(0), format!("{engine} (user): nothing to change\n")));
        let (code, out) = user.ctk(&format!("{configure} --unconfigure"));
        assert!(code == Some(0) && out.contains("removed "), "{out}");
        assert!(!path.exists());
    }
    let (code, out) =
        user.ctk("runtime configure --engine docker --system --unconfigure --config /etc/docker/daemon.json");
    assert!(code == Some(0), "it only reads: {out}");
    let (code, out) = user.ctk("runtime configure --engine crio --user");
    assert!(code == Some(1) && out.contains("crio has no rootless engine"), "{out}");
    let (code, out) = user.ctk("runtime configure --engine podman --gpus");
    assert!(code == Some(1) && out.contains("--gpus is for Docker"), "{out}");
    let (_, out) = user.ctk("explain --env NVIDIA_VISIBLE_DEVICES=void");
    assert!(out.starts_with("scope\n  user: a rootless engine of this user starts it\n"), "{out}");
}

#[test]
fn root_has_no_rootless_engine() {
    if !nix::unistd::geteuid().is_root() {
        return skip("scope::root", "needs root");
    }
    let output = Command::new(CTK).args(["runtime", "configure", "--engine", "docker", "--user"]).output().unwrap();
    let (code, out) = said(&output);
    assert!(code == Some(1) && out.contains("run it as that user, without sudo"), "{out}");
}

/// Answers one request on `socket` as the Docker daemon would that has `runtimes`.
fn daemon(scratch: &Scratch, runtimes: &str) -> thread::JoinHandle<String> {
    let _ = fs::remove_file(scratch.path("docker.sock"));
    let listener = UnixListener::bind(scratch.path("docker.sock")).unwrap();
    let body = format!("{{\"ServerVersion\":\"29.7.0\",\"DefaultRuntime\":\"runc\",\"Runtimes\":{runtimes}}}");
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0_u8; 512];
        let length = stream.read(&mut request).unwrap();
        stream
            .write_all(format!("HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{body}").as_bytes())
            .unwrap();
        String::from_utf8_lossy(&request[..length]).into_owned()
    })
}

#[test]
fn a_daemon_that_has_not_loaded_a_file_that_is_right_is_restarted() {
    let scratch = Scratch::new();
    scratch.program("bin/systemctl", "#!/bin/sh\necho \"$@\" >> systemctl.log\n");
    let entry = "{\"gpu-runc\": {\"path\": \"/opt/gpu-runc\"}}";
    let text = format!("{{\"hosts\": [\"unix://{}\"], \"runtimes\": {entry}}}", scratch.text("docker.sock"));
    scratch.write("daemon.json", &text);
    let configure = |more: &[&str]| {
        let mut command = Command::new(CTK);
        command
            .env("PATH", format!("{}:/usr/bin:/bin", scratch.text("bin")))
            .env("GPU_RUNC_CONFIG", "/dev/null")
            .current_dir(scratch.path(""));
        let args = [
            "runtime",
            "configure",
            "--engine",
            "docker",
            "--config",
            "daemon.json",
            "--runtime-path",
            "/opt/gpu-runc",
        ];
        said(&command.args(args).args(more).output().unwrap())
    };
    let stale = "nothing to change in its files, which the running daemon has not loaded\n";
    let asked = daemon(&scratch, "{\"runc\":{\"path\":\"runc\"}}");
    let (code, out) = configure(&[]);
    assert!(code == Some(0) && out.contains(stale) && out.contains("to apply ("), "{out}");
    assert!(asked.join().unwrap().starts_with("GET /info HTTP/1.0\r\n"));
    let asked = daemon(&scratch, "{\"runc\":{\"path\":\"runc\"}}");
    let (code, out) = configure(&["--restart", "systemd"]);
    assert!(code == Some(0) && out.contains(stale), "{out}");
    asked.join().unwrap();
    let log = scratch.read("systemctl.log");
    assert!(log.ends_with("reload docker\n") || log.ends_with("--user restart docker\n"), "{log}");
    let asked = daemon(&scratch, &entry.replace(": ", ":"));
    let (code, out) = configure(&["--restart", "systemd"]);
    assert!(code == Some(0) && out.contains("): nothing to change\n"), "{out}");
    asked.join().unwrap();
    assert_eq!(scratch.read("systemctl.log"), log, "it has all");
    fs::remove_file(scratch.path("docker.sock")).unwrap();
    let (code, out) = configure(&["--restart", "systemd"]);
    assert!(
        code == Some(0) && out.contains("): nothing to change\n"),
        "a daemon that does not run reads it when it starts: {out}"
    );
    assert_eq!(scratch.read("daemon.json"), text);
}
