//! What the faults are done to: a machine with one GPU whose driver leaves work to hooks, and bundles whose containers ask for it.
//!
//! Knows nothing of what is done to them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use gpu_runc::ldcache::{Cache, Library, native_flags};
use serde_json::{Value, json};

use super::dev::{Dev, Listener};
use crate::hosts;
use crate::scratch::Scratch;

/// A bundle asks for the GPU in these words.
pub(crate) const CONFIG_JSON: &str = r#"{"ociVersion":"1.2.0","process":{"env":["PATH=/bin","NVIDIA_VISIBLE_DEVICES=0"],"user":{"uid":0,"gid":0}},"root":{"path":"rootfs"},"linux":{}}"#;
const BINARY: &str = "GPU_RUNC_BINARY";
const LIBRARIES: &str = "/usr/lib/x86_64-linux-gnu";

/// The machine: its CDI file, its driver's libraries, the configuration of gpu-runc.
pub(crate) struct Scene {
    pub(crate) scratch: Scratch,
    /// The `/run` of its calls.
    run: Scratch,
    /// Whose the containers' roots are, and the bundles' configurations.
    owner: Option<u32>,
    /// Where its calls are made, when that is not the machine's own `/dev`.
    dev: Option<Dev>,
    /// Who listens at the system log there.
    listener: Option<Arc<Listener>>,
}

/// Every file below a folder, as `MODE UID:GID CONTENT`.
pub(crate) type Snapshot = BTreeMap<String, String>;

impl Scene {
    /// Containers' roots and configurations belong to `owner`, where that is somebody else than this process.
    pub(crate) fn new(owner: Option<u32>) -> Self {
        let run = Scratch::in_memory();
        let scene = Scene { scratch: Scratch::in_memory(), run, owner, dev: None, listener: None };
        let scratch = &scene.scratch;
        let libraries = ["libcuda.so.9.9", "libnvidia-ml.so.9.9"].map(|name| {
            let there = scratch.write(&format!("driver/{name}"), "");
            json!({"hostPath": there, "containerPath": format!("{LIBRARIES}/{name}"), "options": ["ro", "bind"]})
        });
        let hook = |args: &[&str]| {
            let args: Vec<&str> = std::iter::once("nvidia-cdi-hook").chain(args.iter().copied()).collect();
            json!({"hookName": "createContainer", "path": "/usr/bin/nvidia-cdi-hook", "args": args})
        };
        let [own, linked] =
            ["libcuda.so.9.9::", "libcuda.so.1::"].map(|target| format!("{target}{LIBRARIES}/libcuda.so"));
        let links =
            ["create-symlinks", "--link", &format!("{own}.1"), "--link", &linked, "--link", "x::/opt/deep/er/y"];
        let document = json!({
            "cdiVersion": "0.5.0",
            "kind": "nvidia.com/gpu",
            "devices": [{"name": "0", "containerEdits": {"deviceNodes": [{"path": "/dev/nvidia0", "hostPath": "/dev/zero"}]}}],
            "containerEdits": {
                "env": ["GPU_DRIVER=made-up"],
                "mounts": libraries,
                "hooks": [
                    hook(&links),
                    hook(&["update-ldcache", "--folder", LIBRARIES]),
                    hook(&["chmod", "--mode", "750", "--path", "/opt/deep"]),
                    hook(&["update-application-profile"]),
                ],
            },
        });
        scratch.write("cdi/nvidia.json", &document.to_string());
        fs::write(scratch.program("ends", ""), program_that_ends()).unwrap();
        scene.configure("");
        scene
    }

    /// A machine with eight GPUs and no CDI file. Nothing where device nodes cannot be made.
    pub(crate) fn of_machine() -> Option<Self> {
        let scene = Scene::new(None);
        let (scratch, root) = (&scene.scratch, scene.scratch.text("machine"));
        if !hosts::add("nvidia-h100-8", &scratch.path("machine")) {
            return None;
        }
        fs::remove_file(scratch.path("cdi/nvidia.json")).unwrap();
        scene.configure(&format!("[host]\nroot = {root:?}\n"));
        Some(scene)
    }

    /// The same with a system log that listens, beside the log file. Nothing where it cannot have a `/dev` of its own.
    pub(crate) fn with_system_log(self) -> Option<Self> {
        let socket = self.scratch.path("log");
        let listener = Listener::at(&socket);
        self.with_dev(Some(&socket)).map(|scene| Scene { listener: Some(listener), ..scene })
    }

    /// The same with `log` as the system log, or none.
    pub(crate) fn with_dev(self, log: Option<&Path>) -> Option<Self> {
        let dev = Some(Dev::new(&self.scratch.path("dev"), log)?);
        self.scratch
            .write("gpu-runc.toml", &self.scratch.read("gpu-runc.toml").replace("syslog = false", "syslog = true"));
        Some(Scene { dev, ..self })
    }

    /// gpu-runc's configuration from now on, with `more` at its end.
    pub(crate) fn configure(&self, more: &str) {
        let (log, ends) = (self.scratch.text("gpu-runc.log"), self.scratch.text("ends"));
        self.configure_runtime(&ends, &format!("[log]\nsyslog = false\nfile = {log:?}\n{more}"));
    }

    /// The same with this low-level runtime and the rest as it is given.
    pub(crate) fn configure_runtime(&self, runtime: &str, rest: &str) {
        let cdi = self.scratch.text("cdi");
        let text = format!("runtimes = [{runtime:?}]\n[cdi]\nspec-dirs = [{cdi:?}]\n{rest}");
        self.scratch.write("gpu-runc.toml", &text);
    }

    /// A new bundle, with an image's cache in its root and an empty file in the place of a link.
    pub(crate) fn bundle(&self, name: &str) -> PathBuf {
        let bundle = self.scratch.path(name);
        let at = |path: &str| bundle.join("rootfs").join(path.trim_start_matches('/'));
        for folder in ["/etc", "/lib64", LIBRARIES] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        let mut cache = Cache::default();
        cache.merge(vec![Library::new(native_flags(true), "libc.so.6", "/lib/libc.so.6")]);
        fs::write(at("/etc/ld.so.cache"), cache.to_bytes()).unwrap();
        fs::write(at(&format!("{LIBRARIES}/libcuda.so.1")), "").unwrap();
        symlink("elsewhere", at(&format!("{LIBRARIES}/libcuda.so"))).unwrap();
        let config_json = bundle.join("config.json");
        fs::write(&config_json, CONFIG_JSON).unwrap();
        // Not what a new file has of itself.
        fs::set_permissions(&config_json, fs::Permissions::from_mode(0o640)).unwrap();
        if let Some(owner) = self.owner {
            own(&bundle.join("rootfs"), owner);
            own(&config_json, owner);
        }
        bundle
    }

    /// `UID:GID` of what belongs to a container.
    pub(crate) fn owner(&self) -> String {
        let ours = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
        let (uid, gid) = self.owner.map_or(ours, |owner| (owner, owner));
        format!("{uid}:{gid}")
    }

    /// The call of an engine for `bundle`, behind the words of `prefix`.
    pub(crate) fn create(&self, prefix: &[&str], bundle: &Path) -> Command {
        let mut command = self.command(prefix, &gpu_runc());
        command
            .args(["--log", &format!("{}.log", bundle.display()), "--log-format", "json", "create", "--bundle"])
            .args([bundle, Path::new(id(bundle))])
            .env("GPU_RUNC_CONFIG", self.scratch.path("gpu-runc.toml"))
            .current_dir(self.scratch.path(""));
        command
    }

    /// Any program in the place of an engine's call.
    pub(crate) fn command(&self, prefix: &[&str], program: &Path) -> Command {
        let dev = self.dev.iter().flat_map(Dev::prefix).map(PathBuf::from);
        let words = dev.chain(self.own_run().into_iter().map(PathBuf::from)).chain(prefix.iter().map(PathBuf::from));
        let mut words = words.chain([program.to_owned()]);
        let mut command = Command::new(words.next().unwrap());
        command.args(words);
        command
    }

    /// What gives a call a `/run` of this scene: records there are locked by whoever decides, and other scenes hold their calls up.
    fn own_run(&self) -> Vec<String> {
        if !nix::unistd::geteuid().is_root() {
            return Vec::new();
        }
        let script = "/bin/mount --bind \"$0\" /run && exec \"$@\"";
        ["/usr/bin/unshare", "--mount", "/bin/sh", "-c", script, &self.run.text("")].map(str::to_owned).to_vec()
    }

    /// Whether one of our logs has a warning for the container of `bundle`.
    pub(crate) fn has_warned_of(&self, bundle: &Path) -> bool {
        // 3 is the facility of daemons and 4 a warning: 8 × 3 + 4.
        let is_warning = |line: &&str| line.contains(" WARN ") || line.starts_with("<28>");
        self.logged_of(bundle, |line| is_warning(&line))
    }

    /// Whether one of our logs has a grant for the container of `bundle`.
    pub(crate) fn has_told_grant_of(&self, bundle: &Path) -> bool {
        self.logged_of(bundle, |line| line.contains(": grant "))
    }

    fn logged_of(&self, bundle: &Path, is_it: impl Fn(&str) -> bool) -> bool {
        let container = format!(" container={} ", id(bundle));
        let heard = self.listener.as_ref().map(|listener| listener.heard()).unwrap_or_default();
        let written = self.scratch.read("gpu-runc.log");
        let mut lines = written.lines().chain(heard.iter().map(String::as_str));
        lines.any(|line| line.contains(&container) && is_it(line))
    }

    /// The call made once more with nothing in its way. What is wrong then.
    pub(crate) fn once_more(&self, bundle: &Path) -> Result<Snapshot, String> {
        let output = self.create(&[], bundle).output().unwrap();
        let there = snapshot(bundle);
        let left: Vec<&String> = there.keys().filter(|name| is_left_over(name)).collect();
        match output.status.success() && output.stderr.is_empty() && left.is_empty() && has_gpu(&config_json(bundle)) {
            true => Ok(there),
            false => Err(format!("a second call: {}; left over: {left:?}", said(&output))),
        }
    }
}

/// The container of a bundle.
fn id(bundle: &Path) -> &str {
    bundle.file_name().unwrap().to_str().unwrap()
}

/// The program under test: the one that was just built, or the one that `GPU_RUNC_BINARY` names, such as that of a release.
pub(crate) fn gpu_runc() -> PathBuf {
    std::env::var_os(BINARY).map_or_else(|| env!("CARGO_BIN_EXE_gpu-runc").into(), PathBuf::from)
}

/// Whether the program under test is not the one that was just built.
pub(crate) fn is_another_build() -> bool {
    std::env::var_os(BINARY).is_some()
}

/// How a call ended, for people.
pub(crate) fn said(output: &Output) -> String {
    format!("{}, {:?}", output.status, String::from_utf8_lossy(&output.stderr))
}

/// The bytes of a bundle's configuration, which is always there.
pub(crate) fn config_json(bundle: &Path) -> String {
    fs::read_to_string(bundle.join("config.json")).unwrap()
}

/// Whether a configuration is whole and gives the container its GPU.
pub(crate) fn has_gpu(config_json: &str) -> bool {
    let document: Value = serde_json::from_str(config_json).unwrap_or_default();
    let nodes = document["linux"]["devices"].as_array();
    nodes.is_some_and(|nodes| nodes.iter().any(|node| node["path"] == "/dev/nvidia0"))
}

/// Whether a name is one that gpu-runc gives to what is not yet whole.
pub(crate) fn is_left_over(name: &str) -> bool {
    name.rsplit('/').next().unwrap().contains(".gpu-runc")
}

/// Everything in `folder`.
pub(crate) fn snapshot(folder: &Path) -> Snapshot {
    let mut found = Snapshot::new();
    look(folder, "", &mut found);
    found
}

fn look(folder: &Path, name: &str, found: &mut Snapshot) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), format!("{name}/{}", entry.file_name().to_str().unwrap()));
        let stat = fs::symlink_metadata(&path).unwrap();
        let content = match stat.file_type() {
            kind if kind.is_symlink() => format!("-> {}", fs::read_link(&path).unwrap().display()),
            kind if kind.is_dir() => String::new(),
            _ => String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned(),
        };
        found.insert(name.clone(), format!("{:o} {}:{} {content}", stat.mode(), stat.uid(), stat.gid()));
        if stat.is_dir() {
            look(&path, &name, found);
        }
    }
}

fn own(path: &Path, owner: u32) {
    lchown(path, Some(owner), Some(owner)).unwrap();
    if path.is_dir() && !path.is_symlink() {
        fs::read_dir(path).unwrap().for_each(|entry| own(&entry.unwrap().path(), owner));
    }
}

/// An executable that ends well and makes no other system call, so that no fault reaches it.
fn program_that_ends() -> Vec<u8> {
    const HEADERS: usize = 64 + 56;
    const START: u64 = 0x40_0000;
    let (machine, code): (u16, &[u8]) = match cfg!(target_arch = "aarch64") {
        // mov x0, 0; mov x8, 93; svc 0
        true => (183, b"\x00\x00\x80\xd2\xa8\x0b\x80\xd2\x01\x00\x00\xd4"),
        // xor edi, edi; mov eax, 60; syscall
        false => (62, b"\x31\xff\xb8\x3c\x00\x00\x00\x0f\x05"),
    };
    let length = (HEADERS + code.len()) as u64;
    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0".to_vec();
    bytes.extend(machine.to_le_bytes());
    bytes.extend(1_u32.to_le_bytes());
    [START + HEADERS as u64, 64, 0].iter().for_each(|number| bytes.extend(number.to_le_bytes()));
    bytes.extend(0_u32.to_le_bytes());
    [64_u16, 56, 1, 0, 0, 0].iter().for_each(|number| bytes.extend(number.to_le_bytes()));
    // One segment, read and executed.
    [1_u32, 5].iter().for_each(|number| bytes.extend(number.to_le_bytes()));
    [0, START, START, length, length, 0x1_0000].iter().for_each(|number| bytes.extend(number.to_le_bytes()));
    bytes.extend(code);
    bytes
}
