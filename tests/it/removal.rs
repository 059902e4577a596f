//! Who can keep gpu-runc from being removed: the package's script before a removal, and processes that only look like an engine's.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

use crate::node::host::Host;
use crate::scratch::{Scratch, program_on_path, skip, succeed};

const NOBODY: u32 = 65534;

/// The program that is removed: another one in each test, because they see each other's processes.
fn gpu_runc(scratch: &Scratch) -> String {
    scratch.text("gpu-runc")
}

/// Processes that end with the test.
struct Forged(Vec<Child>);

impl Drop for Forged {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A program called `name` that only waits.
fn program(scratch: &Scratch, name: &str) -> PathBuf {
    let path = scratch.path(name);
    if !path.exists() {
        fs::copy(program_on_path("busybox").unwrap(), &path).unwrap();
    }
    path
}

/// A process of user `uid` that is called conmon and has the arguments of one.
fn conmon(scratch: &Scratch, uid: u32, id: &str) -> Child {
    // Started under a name that it then gives itself: a shell sleeps, with what conmon has as its arguments.
    let script = "printf conmon >/proc/self/comm; while :; do read -r line; done";
    let mut command = Command::new(program(scratch, "conmon"));
    command.arg0("sh").args(["-c", script, "conmon", "-r", &gpu_runc(scratch), "-c", id, "-n", "x"]);
    command.uid(uid).gid(uid).stdin(Stdio::piped()).spawn().unwrap()
}

/// A process of user `uid` that is called containerd-shim-x, with a FIFO and `files` beside its bundle.
fn shim(scratch: &Scratch, uid: u32, name: &str, files: &[(&str, &str)]) -> Child {
    let bundle = scratch.path(name).join("a");
    fs::create_dir_all(&bundle).unwrap();
    for file in ["runtime", "options.json"] {
        succeed(Command::new("mkfifo").arg(bundle.join(file)));
    }
    for (file, text) in files {
        let path = scratch.path(name).join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let script = "printf containerd-shim-x >/proc/self/comm; while :; do read -r line; done";
    let mut command = Command::new(program(scratch, "containerd-shim-x"));
    command.arg0("sh").args(["-c", script]).current_dir(&bundle);
    command.uid(uid).gid(uid).stdin(Stdio::piped()).spawn().unwrap()
}

/// Runs the package's script, with folders of its own in place of those that it changes, for at most twenty seconds.
fn before_removal(scratch: &Scratch) -> Output {
    let script = include_str!("../../packaging/before-removal")
        .replace("/usr/bin/gpu-runc", &gpu_runc(scratch))
        .replace("/run/cdi", &scratch.text("cdi"))
        .replace("/etc/", "/absent/");
    let script = scratch.write("before-removal", &script.replace("command -v systemctl", "false"));
    Command::new("timeout").args(["-k", "1", "20", "sh"]).arg(script).arg("remove").output().unwrap()
}

fn scratch(test: &str) -> Option<Scratch> {
    if !nix::unistd::geteuid().is_root() {
        skip(test, "needs root, to start processes of others");
        return None;
    }
    if program_on_path("busybox").is_none() {
        skip(test, "busybox not on PATH (apt-get install busybox-static)");
        return None;
    }
    let scratch = Scratch::new();
    succeed(Command::new("chmod").arg("755").arg(scratch.path("")));
    Some(scratch)
}

/// Whether the process calls itself what an engine's monitor is called; if not, after a moment.
fn is_named(name: &dyn Fn() -> String) -> bool {
    let is_named = name().starts_with("con");
    if !is_named {
        sleep(Duration::from_millis(20));
    }
    is_named
}

/// Waits until the processes call themselves what they are to be called.
fn settled(children: Vec<Child>) -> Forged {
    for child in &children {
        let name = || fs::read_to_string(format!("/proc/{}/comm", child.id())).unwrap_or_default();
        assert!((0..250).any(|_| is_named(&name)), "{}", name());
    }
    Forged(children)
}

#[test]
fn nobody_but_root_keeps_the_package_from_being_removed() {
    let Some(scratch) = scratch("removal::forged") else { return };
    let hostile = "c\u{1b}]0;x\u{7}\u{202e}\nb";
    let options = format!("{{\"binary_name\":{:?}}}", gpu_runc(&scratch));
    let forged = settled(vec![
        conmon(&scratch, NOBODY, hostile),
        shim(
            &scratch,
            NOBODY,
            "theirs",
            &[("b\u{1b}[2J/options.json", &options), ("c\n/proc/1/d/runtime", &gpu_runc(&scratch))],
        ),
    ]);
    let output = before_removal(&scratch);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{output:?}");
    assert!(said.contains("although 2 processes of user nobody name it"), "{said:?}");
    assert!(!said.trim_end().contains(|c: char| c.is_control() && c != '\n' || c == '\u{202e}'), "{said:?}");
    drop(forged);
    assert_eq!(String::from_utf8_lossy(&before_removal(&scratch).stderr), "");
}

#[test]
fn roots_containers_keep_it_with_their_names_escaped_and_a_fifo_holds_nothing_up() {
    let Some(scratch) = scratch("removal::root") else { return };
    let hostile = "c\u{1b}]0;x\u{7}\u{202e}";
    let options = format!("{{\"binary_name\":{:?}}}", gpu_runc(&scratch));
    let forged = settled(vec![
        conmon(&scratch, 0, hostile),
        shim(&scratch, 0, "ours", &[("b\u{1b}[2J\n/options.json", &options), ("runc/runtime", "/usr/bin/runc")]),
    ]);
    let output = before_removal(&scratch);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(said.contains("stop and delete them: b??2J? c??0?x???? \n"), "{said:?}");
    drop(forged);
    assert!(before_removal(&scratch).status.success());
}

#[test]
fn a_monitor_in_a_container_keeps_nothing() {
    let Some(scratch) = scratch("removal::container") else { return };
    let mut command = Command::new(program_on_path("unshare").unwrap());
    let script = "printf conmon >/proc/self/comm; while :; do read -r line; done";
    command.args(["--pid", "--fork", "--kill-child", program(&scratch, "sh").to_str().unwrap(), "-c", script]);
    let child =
        command.args(["conmon", "-r", &gpu_runc(&scratch), "-c", "c", "x"]).stdin(Stdio::piped()).spawn().unwrap();
    let children = format!("/proc/{0}/task/{0}/children", child.id());
    let _forged = Forged(vec![child]);
    let name = || {
        let inner = fs::read_to_string(&children).unwrap_or_default();
        fs::read_to_string(format!("/proc/{}/comm", inner.trim())).unwrap_or_default()
    };
    assert!((0..250).any(|_| is_named(&name)), "{}", name());
    let output = before_removal(&scratch);
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn nobody_but_root_keeps_a_node_from_being_freed() {
    let Some(host) = Host::new("removal::node") else { return };
    host.node("install --source a");
    let process = |pid: u32, uids: &str| {
        let folder = host.path(&format!("proc/{pid}"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("status"), format!("Name:\tconmon\nUid:\t{uids}\n")).unwrap();
        fs::write(folder.join("cmdline"), "conmon\0-r\0/opt/gpu-runc/current/gpu-runc\0").unwrap();
    };
    process(77, "1000\t1000\t1000\t1000");
    process(78, "0\t1000\t1000\t1000");
    let bundle =
        host.path("run/containerd/io.containerd.runtime.v2.task/k8s.io").join(std::ffi::OsStr::from_bytes(b"c\x1b[2J"));
    fs::create_dir_all(&bundle).unwrap();
    succeed(Command::new("mkfifo").arg(bundle.join("runtime")));
    fs::write(bundle.join("options.json"), "/opt/gpu-runc/current/gpu-runc").unwrap();
    let patiently = ["timeout", "20"];
    let run = |args: &str| crate::node::host::said(&host.command(&patiently, args).output().unwrap());
    let status = run("status");
    assert!(
        status.out.ends_with("in use by   1; 2 processes of user 1000 do not keep it from being removed\n"),
        "{status:?}"
    );
    let held = run("uninstall --wait-for-containers 0");
    assert!(held.code == Some(1) && held.err.contains("still in use by container k8s.io/c\\u{1b}[2J; "), "{held:?}");
    fs::remove_dir_all(&bundle).unwrap();
    let gone = run("uninstall --wait-for-containers 0");
    assert!(gone.code == Some(0) && gone.err.contains("2 processes of user 1000 name it"), "{gone:?}");
    assert!(!Path::new(&host.path("opt/gpu-runc")).exists());
    for pid in [77, 78] {
        fs::remove_dir_all(host.path(&format!("proc/{pid}"))).unwrap();
    }
}
