//! A root of a machine with an engine that is a script and a socket, for `gpu-ctk node --host-root`.
//!
//! The engine has what its files said when it was last restarted, and says so to whoever asks as the kubelet does.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;

use crate::scratch::{Scratch, program_on_path, skip};

const CTK: &str = env!("CARGO_BIN_EXE_gpu-ctk");
/// What the engine's file is before anything happens.
pub(crate) const CONFIG: &str = "version = 3\n\n[plugins.\"io.containerd.cri.v1.runtime\".containerd.runtimes.runc]\n  \
                                 runtime_type = \"io.containerd.runc.v2\"\n";
/// Reads its files; `deaf` says that it does not. Of k3s's units it has the agent's.
const SYSTEMCTL: &str = "#!/bin/sh\n[ \"$1\" = is-active ] && { [ \"$3\" = k3s-agent ]; exit; }\necho \"$@\" $SYSTEMD_IGNORE_CHROOT >>/systemctl.log\n[ -e /deaf ] && exit 0\n\
                         cd /etc; k3s=/var/lib/rancher/k3s/agent/etc/containerd\n\
                         cat containerd/config.toml containerd/conf.d/*.toml crio/crio.conf.d/*.conf $k3s/config.toml \\\n\
                         $k3s/config-v3.toml.d/*.toml >/loaded.new 2>/dev/null\n\
                         mv /loaded.new /loaded\n";
/// `refuse` says that it cannot read its files.
const CONTAINERD: &str = "#!/bin/sh\n[ \"$1\" = --version ] && echo containerd c v2.1.0 && exit\n\
                          [ -e /refuse ] && echo 'containerd: what is this?' >&2 && exit 1\ncat /etc/containerd/config.toml\n";

/// What the machine says was done, and how that ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) scratch: Scratch,
}

impl Host {
    /// Nothing where a process may not change its root, or there is no shell to put into the root.
    pub(crate) fn new(test: &str) -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            skip(test, "needs root, for chroot");
            return None;
        }
        let Some(busybox) = program_on_path("busybox") else {
            skip(test, "busybox not on PATH (apt-get install busybox-static)");
            return None;
        };
        let scratch = Scratch::new();
        scratch.rootfs("host", &busybox);
        scratch.program("host/bin/systemctl", SYSTEMCTL);
        scratch.program("host/bin/containerd", CONTAINERD);
        for build in ["a", "b", "c"] {
            scratch.program(&format!("{build}/gpu-runc"), &format!("#!/bin/sh\n# {build}\n"));
            scratch.program(&format!("{build}/gpu-ctk"), "#!/bin/sh\n");
        }
        fs::create_dir_all(scratch.path("host/opt")).unwrap();
        scratch.device_node("host/dev/null", (1, 3), 0o666);
        let host = Host { scratch };
        host.listen("run/containerd/containerd.sock");
        host.reset();
        Some(host)
    }

    /// Answers at one more socket.
    pub(crate) fn listen(&self, socket: &str) {
        fs::create_dir_all(self.path(socket).parent().unwrap()).unwrap();
        let (listener, loaded) = (UnixListener::bind(self.path(socket)).unwrap(), self.path("loaded"));
        thread::spawn(move || listener.incoming().for_each(|stream| answer(stream.unwrap(), &loaded)));
    }

    /// As it was before anything happened. The engine's file is behind an absolute link, which leads elsewhere outside.
    pub(crate) fn reset(&self) {
        for name in ["etc/containerd", "etc/kubernetes", "var/containerd", "opt/gpu-runc"] {
            let _ = fs::remove_dir_all(self.path(name));
        }
        for name in ["systemctl.log", "loaded", "refuse", "deaf"] {
            let _ = fs::remove_file(self.path(name));
        }
        self.scratch.write("host/var/containerd/config.toml", CONFIG);
        fs::create_dir_all(self.path("etc/containerd")).unwrap();
        symlink("/var/containerd/config.toml", self.path("etc/containerd/config.toml")).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.scratch.path("host").join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        self.scratch.read(&format!("host/{name}"))
    }

    /// `gpu-ctk node` with these arguments, behind `before`.
    pub(crate) fn command(&self, before: &[&str], args: &str) -> Command {
        let words = before.iter().copied().chain([CTK, "node"]).chain(args.split(' ')).collect::<Vec<_>>();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).arg("--host-root").arg(self.scratch.path("host")).current_dir(self.scratch.path(""));
        command.env("PATH", "/bin:/usr/bin:/sbin:/usr/sbin");
        command
    }

    pub(crate) fn node(&self, args: &str) -> Said {
        said(&self.command(&[], args).output().unwrap())
    }

    /// All that is in the folders that an installation touches.
    pub(crate) fn snapshot(&self) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        for name in ["etc/containerd", "etc/kubernetes", "var/containerd", "opt"] {
            list(&self.path(""), &self.path(name), &mut found);
        }
        found
    }
}

pub(crate) fn said(output: &Output) -> Said {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

fn list(root: &Path, path: &Path, found: &mut BTreeMap<String, String>) {
    let name = || path.strip_prefix(root).unwrap().display().to_string();
    if path.is_symlink() {
        found.insert(name(), format!("-> {}", fs::read_link(path).unwrap().display()));
    } else if path.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| list(root, &entry.unwrap().path(), found));
    } else if path.exists() {
        found.insert(name(), fs::read_to_string(path).unwrap());
    }
}

/// A gRPC answer to any call: headers, data, trailers.
fn answer(mut stream: UnixStream, loaded: &Path) {
    let mut call = [0; 24];
    if stream.read_exact(&mut call).is_err() {
        return;
    }
    let has = fs::read_to_string(loaded).unwrap_or_default().contains("runtimes.gpu-runc]");
    let text = match has {
        true => r#"{"runtimes":{"gpu-runc":{"BinaryName":"/opt/gpu-runc/current/gpu-runc"}}}"#,
        false => r#"{"runtimes":{"runc":{}}}"#,
    };
    let frame =
        |kind: u8, flags: u8, payload: &[u8]| [&[0, 0, payload.len() as u8, kind, flags, 0, 0, 0, 1], payload].concat();
    let message = [&[0, 0, 0, 0, text.len() as u8], text.as_bytes()].concat();
    let frames = [frame(1, 4, &[0x88]), frame(0, 0, &message), frame(1, 5, &[])].concat();
    let _ = stream.write_all(&frames);
    // Until the other side has read it: what is unread when a socket closes is lost.
    let _ = stream.read_to_end(&mut Vec::new());
}
