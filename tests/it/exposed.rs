//! What anybody can make below a directory that all can write, before or beside root: none of it is mounted, waited for, or followed.
//!
//! The path that is tried is that of NVIDIA's MPS control daemon, which every CUDA program looks for.

use std::fs::{self, File, Permissions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::hosts::{self, configure, create, ctk, paths, start};
use crate::scratch::skip;

const MPS: &str = "tmp/nvidia-mps";
const GPU: &[&str] = &["NVIDIA_VISIBLE_DEVICES=0"];

/// A machine with a GPU, a `/tmp` that all can write, and nothing in it.
fn machine() -> Option<TempDir> {
    let host = hosts::make(&["nvidia-h100-8"])?;
    configure(host.path(), "");
    let tmp = host.path().join("tmp");
    fs::remove_dir_all(&tmp).unwrap();
    fs::create_dir(&tmp).unwrap();
    fs::set_permissions(&tmp, Permissions::from_mode(0o1777)).unwrap();
    Some(host)
}

fn folder(root: &Path, mode: u32, user: u32) {
    let path = root.join(MPS);
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    chown(&path, Some(user), Some(user)).unwrap();
}

fn listener(root: &Path) -> UnixListener {
    UnixListener::bind(root.join(MPS).join("control")).unwrap()
}

fn has_mps(container: &Value) -> bool {
    paths(container, "/mounts", "destination").contains(&"/tmp/nvidia-mps")
}

fn is_written(root: &Path) -> bool {
    let output = ctk(root, &["cdi", "generate", "--vendor", "nvidia", "--output", "-"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().contains("nvidia-mps")
}

#[test]
fn the_folder_of_a_daemon_is_mounted_only_if_it_is_roots_and_served() {
    type Make = fn(&Path) -> Option<UnixListener>;
    let cases: [(&str, Make, bool); 8] = [
        (
            "root's, with a daemon",
            |root| {
                folder(root, 0o755, 0);
                Some(listener(root))
            },
            true,
        ),
        (
            "root's, after the daemon",
            |root| {
                folder(root, 0o755, 0);
                drop(listener(root));
                None
            },
            false,
        ),
        (
            "root's and empty",
            |root| {
                folder(root, 0o755, 0);
                None
            },
            false,
        ),
        (
            "a user's, with a daemon",
            |root| {
                folder(root, 0o755, 1000);
                Some(listener(root))
            },
            false,
        ),
        (
            "root's, in which all can replace the socket",
            |root| {
                folder(root, 0o777, 0);
                Some(listener(root))
            },
            false,
        ),
        (
            "root's, with a user's socket",
            |root| {
                folder(root, 0o1777, 0);
                let listener = listener(root);
                chown(root.join(MPS).join("control"), Some(1000), None).unwrap();
                Some(listener)
            },
            false,
        ),
        (
            "a link to root's files",
            |root| {
                let listener = UnixListener::bind(root.join("etc/control")).unwrap();
                symlink("/etc", root.join(MPS)).unwrap();
                Some(listener)
            },
            false,
        ),
        (
            "a link to itself",
            |root| {
                symlink("nvidia-mps", root.join(MPS)).unwrap();
                None
            },
            false,
        ),
    ];
    for (what, make, expected) in cases {
        let Some(host) = machine() else { return };
        fs::create_dir_all(host.path().join("etc")).unwrap();
        let _daemon = make(host.path());
        assert_eq!(has_mps(&create(host.path(), GPU).unwrap()), expected, "{what}");
        assert_eq!(is_written(host.path()), expected, "cdi generate: {what}");
    }
}

#[test]
fn a_written_spec_mounts_nothing_that_a_user_made_either() {
    let Some(host) = machine() else { return };
    for folder in ["cdi", "etc"] {
        fs::create_dir_all(host.path().join(folder)).unwrap();
    }
    let spec = json!({"cdiVersion": "0.6.0", "kind": "acme.example/npu", "devices": [{"name": "0", "containerEdits": {"mounts": [
        {"hostPath": "/tmp/nvidia-mps", "containerPath": "/tmp/nvidia-mps"}, {"hostPath": "/etc", "containerPath": "/x"}]}}]});
    fs::write(host.path().join("cdi/acme.json"), spec.to_string()).unwrap();
    symlink("/etc", host.path().join(MPS)).unwrap();
    let asks = &["GPU_VISIBLE_DEVICES=acme.example/npu=0"];
    let container = create(host.path(), asks).unwrap();
    assert_eq!(paths(&container, "/mounts", "destination"), ["/x"]);
    let told = ctk(host.path(), &["explain", "--env", asks[0]]);
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("is left out: /tmp/nvidia-mps is a link"), "{told}");
    fs::remove_file(host.path().join(MPS)).unwrap();
    folder(host.path(), 0o755, 0);
    assert!(has_mps(&create(host.path(), asks).unwrap()), "root's own is mounted");
}

#[test]
fn a_folder_that_comes_and_goes_fails_no_start() {
    let Some(host) = machine() else { return };
    let (path, is_over) = (host.path().join(MPS), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let _ = fs::create_dir(&path).and_then(|()| fs::remove_dir(&path));
            }
        });
        let config = json!({"ociVersion": "1.2.0", "process": {"env": GPU, "user": {"uid": 0, "gid": 0}}, "linux": {}});
        let failed: Vec<String> = (0..40).filter_map(|_| start(host.path(), &config).err()).collect();
        is_over.store(true, Ordering::Relaxed);
        assert!(failed.is_empty(), "{failed:?}");
    });
}

/// A file system whose server never answers, as any user can mount over a directory of theirs.
struct Silent<'a>(&'a Path, #[expect(dead_code, reason = "closing it would answer for the server")] File);

impl<'a> Silent<'a> {
    fn mount(path: &'a Path) -> Option<Self> {
        let server = File::options().read(true).write(true).open("/dev/fuse").ok()?;
        let options = format!("fd={},rootmode=40000,user_id=1000,group_id=1000,allow_other", server.as_raw_fd());
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        mount(Some("fuse"), path, Some("fuse"), flags, Some(options.as_str())).ok()?;
        Some(Silent(path, server))
    }
}

impl Drop for Silent<'_> {
    fn drop(&mut self) {
        let _ = umount2(self.0, MntFlags::MNT_DETACH);
    }
}

#[test]
fn a_file_system_that_never_answers_is_not_waited_for() {
    let Some(host) = machine() else { return };
    let path = host.path().join(MPS);
    folder(host.path(), 0o755, 1000);
    let Some(_silent) = Silent::mount(&path) else {
        return skip("a file system that never answers", "needs /dev/fuse and CAP_SYS_ADMIN");
    };
    let config = json!({"ociVersion": "1.2.0", "process": {"env": GPU, "user": {"uid": 0, "gid": 0}}, "linux": {}});
    fs::write(host.path().join("config.json"), config.to_string()).unwrap();
    for (program, args) in [
        (env!("CARGO_BIN_EXE_gpu-runc"), &["create", "c"][..]),
        (env!("CARGO_BIN_EXE_gpu-ctk"), &["cdi", "generate", "--vendor", "nvidia", "--output", "-"]),
    ] {
        let mut command = Command::new(program);
        command.env("GPU_RUNC_CONFIG", host.path().join("gpu-runc.toml")).current_dir(host.path()).args(args);
        let mut child = command.stdout(Stdio::null()).spawn().unwrap();
        let begun = Instant::now();
        let status = loop {
            match child.try_wait().unwrap() {
                Some(status) => break Some(status),
                None if begun.elapsed() > Duration::from_secs(20) => break None,
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        if status.is_none() {
            // It wakes up with an error when the server is gone.
            let _ = child.kill();
        }
        assert!(status.is_some_and(|status| status.success()), "{program} {args:?}: {status:?}");
    }
    let started: Value = serde_json::from_slice(&fs::read(host.path().join("config.json")).unwrap()).unwrap();
    assert!(!has_mps(&started));
}
