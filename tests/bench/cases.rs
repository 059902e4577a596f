//! The calls that are measured, and the bundles and CDI files that they find.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::hosts;
use crate::measure::Program;
use gpu_runc::ldcache::{Cache, Library, native_flags};

/// One row of the table.
pub(crate) struct Case {
    /// What is called, for people.
    pub(crate) name: &'static str,
    /// The arguments; `BUNDLE` stands for the bundle.
    pub(crate) args: &'static [&'static str],
    env: &'static [&'static str],
    cdi: fn(&Path),
    /// Whether the bundle is the root of a machine in which the call is made: nothing else has a driver to be found.
    pub(crate) is_root: bool,
}

const CREATE: &[&str] =
    &["--root", "/run/runc", "--log", "BUNDLE/log.json", "--log-format", "json", "create", "--bundle", "BUNDLE", "c"];

/// All rows.
pub(crate) fn all() -> Vec<Case> {
    vec![
        Case { args: &["--root", "/run/runc", "state", "c"], cdi: |_| {}, ..Case::named("state") },
        Case::named("create, no GPU asked"),
        Case { env: &[ALL], ..Case::named("create, 8 GPUs and 60 mounts, JSON") },
        Case { env: &[ALL], cdi: eight_gpus_yaml, ..Case::named("create, 8 GPUs and 60 mounts, YAML") },
        Case {
            env: &["NVIDIA_VISIBLE_DEVICES=5050"],
            cdi: ten_thousand,
            ..Case::named("create, 1 of 10,000 devices in 100 files")
        },
        Case {
            env: &["NVIDIA_VISIBLE_DEVICES=4", "NVIDIA_DRIVER_CAPABILITIES=compute,utility"],
            cdi: |_| {},
            is_root: true,
            ..Case::named("create, 1 of 8 GPUs, described in memory")
        },
        Case {
            env: &[ALL, "NVIDIA_DRIVER_CAPABILITIES=all"],
            cdi: |_| {},
            is_root: true,
            ..Case::named("create, 8 GPUs with all files, described in memory")
        },
    ]
}

const ALL: &str = "NVIDIA_VISIBLE_DEVICES=0,1,2,3,4,5,6,7";

impl Case {
    fn named(name: &'static str) -> Self {
        Case { name, args: CREATE, env: &["A=b"], cdi: eight_gpus_json, is_root: false }
    }

    /// Whether `program` can be asked this: AMD's runtime does not know what the variables of another vendor mean, and NVIDIA's
    /// describes devices in memory by asking its driver's library, which no made-up machine has.
    pub(crate) fn is_for(&self, program: &Program) -> bool {
        let Program::Peer(_) = program else { return true };
        let asks_nvidia = self.env.iter().any(|variable| variable.starts_with("NVIDIA"));
        !(self.is_root || asks_nvidia && program.name().starts_with("amd"))
    }

    /// Writes what is there before every call.
    pub(crate) fn prepare(&self, bundle: &Path, stand_in: &Path) {
        let cdi = if self.is_root { PathBuf::from("/cdi") } else { bundle.join("cdi") };
        fs::create_dir_all(bundle.join("cdi")).expect("the bundle");
        (self.cdi)(&bundle.join("cdi"));
        fs::create_dir(bundle.join("path")).expect("a folder of programs");
        fs::copy(stand_in, bundle.join("path/runc")).expect("a runtime that is found by its name");
        let stand_in = match self.is_root {
            true => Path::new("/").join(stand_in.file_name().expect("a program")),
            false => stand_in.to_owned(),
        };
        if self.is_root {
            machine(bundle);
        }
        let gpu_runc = format!("runtimes = [{stand_in:?}]\n[log]\nsyslog = false\n[cdi]\nspec-dirs = [{cdi:?}]\n");
        fs::write(bundle.join("gpu-runc.toml"), gpu_runc).expect("our configuration");
        let peer = format!(
            "[nvidia-container-runtime]\nruntimes = [{stand_in:?}]\nmode = \"cdi\"\n[nvidia-container-runtime.modes.cdi]\nspec-dirs = [{cdi:?}]\n"
        );
        fs::write(bundle.join("peer.toml"), peer).expect("the peer's configuration");
        fs::write(bundle.join("pristine.json"), config_json(self.env).to_string()).expect("config.json");
        self.reset(bundle);
    }

    /// Puts the untouched config.json back.
    pub(crate) fn reset(&self, bundle: &Path) {
        fs::copy(bundle.join("pristine.json"), bundle.join("config.json")).expect("config.json");
        if self.is_root {
            fs::copy(bundle.join("pristine.cache"), bundle.join("rootfs/etc/ld.so.cache")).expect("an image's cache");
            let _ = fs::remove_dir_all(bundle.join("rootfs/etc/ld.so.conf.d"));
        }
    }
}

/// About what Docker writes: 10 KB with its seccomp profile.
fn config_json(env: &[&str]) -> Value {
    let calls: Vec<String> = (0..400).map(|i| format!("syscall_{i:03}")).collect();
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin";
    let env: Vec<&str> = [path, "HOSTNAME=c", "HOME=/root"].iter().chain(env).copied().collect();
    let mounts: Vec<Value> = ["/proc", "/dev", "/dev/pts", "/sys", "/sys/fs/cgroup", "/dev/mqueue", "/dev/shm", "/etc/hosts"]
        .iter()
        .map(|to| json!({"destination": to, "type": "bind", "source": "/some/where", "options": ["nosuid", "noexec", "nodev"]}))
        .collect();
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0}, "args": ["sleep", "1"], "cwd": "/",
            "env": env,
            "capabilities": {"bounding": ["CAP_CHOWN", "CAP_KILL"], "effective": ["CAP_CHOWN", "CAP_KILL"]},
        },
        "root": {"path": "rootfs"}, "hostname": "c", "mounts": mounts,
        "linux": {
            "resources": {"devices": [{"allow": false, "access": "rwm"}]},
            "namespaces": [{"type": "mount"}, {"type": "pid"}],
            "seccomp": {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": calls, "action": "SCMP_ACT_ALLOW"}]},
        },
    })
}

/// A host with eight GPUs as NVIDIA's toolkit describes one: 20 KB.
fn eight_gpus(folder: &Path) -> Value {
    let node = |path: String| json!({"path": path, "hostPath": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 438, "permissions": "rwm"});
    let gpu = |i: usize| {
        let nodes = [format!("/dev/nvidia{i}"), format!("/dev/dri/card{i}"), format!("/dev/dri/renderD{}", 128 + i)];
        json!({"name": i.to_string(), "containerEdits": {"deviceNodes": nodes.map(node)}})
    };
    let mount = |i: usize| {
        let name = format!("libnvidia-some-library-{i:02}.so.590.44.01");
        let (there, place) = (folder.join(&name), format!("/usr/lib/x86_64-linux-gnu/{name}"));
        fs::write(&there, "").expect("a library");
        json!({"hostPath": there, "containerPath": place, "options": ["ro", "nosuid", "nodev", "rbind", "rprivate"]})
    };
    let hook = |args: &[&str]| json!({"hookName": "createContainer", "path": "/usr/bin/nvidia-cdi-hook", "args": args, "env": ["NVIDIA_CTK_DEBUG=false"]});
    let control =
        ["/dev/nvidia-modeset", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools", "/dev/nvidiactl"].map(str::to_owned);
    json!({
        "cdiVersion": "0.5.0",
        "kind": "nvidia.com/gpu",
        "devices": (0..8).map(gpu).collect::<Vec<_>>(),
        "containerEdits": {
            "env": ["NVIDIA_CTK_LIBCUDA_DIR=/usr/lib/x86_64-linux-gnu", "NVIDIA_VISIBLE_DEVICES=void"],
            "deviceNodes": control.map(node),
            "mounts": (0..60).map(mount).collect::<Vec<_>>(),
            "hooks": [
                hook(&["nvidia-cdi-hook", "create-symlinks", "--link", "libcuda.so.1::/usr/lib/x86_64-linux-gnu/libcuda.so",
                       "--link", "libnvidia-some-library-00.so.590.44.01::/usr/lib/x86_64-linux-gnu/libnvidia-some-library-00.so.1"]),
                hook(&["nvidia-cdi-hook", "update-ldcache", "--folder", "/usr/lib/x86_64-linux-gnu"]),
            ],
        },
    })
}

/// A machine with eight GPUs, the libraries of a whole driver, and the 3000 names that a desktop has beside them.
fn machine(root: &Path) {
    assert!(hosts::add("nvidia-h100-8", root), "device nodes can be made: run this as root");
    let folder = root.join("usr/lib/x86_64-linux-gnu");
    for library in DRIVER {
        let own = format!("libnvidia-{library}.so.550.54.15");
        fs::write(folder.join(&own), "").expect("a library");
        symlink(own, folder.join(format!("libnvidia-{library}.so.1"))).ok();
    }
    image(root);
    for number in 0..1500 {
        let own = format!("libof-the-distribution-{number:04}.so.1.2.{number}");
        fs::write(folder.join(&own), "").expect("a library");
        symlink(own, folder.join(format!("libof-the-distribution-{number:04}.so.1"))).expect("its link");
    }
}

/// The root of an image with five hundred libraries, to whose cache those of the driver are to be added.
fn image(root: &Path) {
    let library = |number: u32| {
        let name = format!("libof-the-image-{number:03}.so.1");
        {
            let path = format!("/lib/x86_64-linux-gnu/{name}");
            Library::new(native_flags(true), name, path)
        }
    };
    let mut cache = Cache::default();
    cache.merge((0..500).map(library).collect());
    fs::create_dir_all(root.join("rootfs/etc")).expect("a root");
    fs::create_dir_all(root.join("rootfs/lib64")).expect("a root");
    fs::write(root.join("rootfs/lib64/ld-linux-x86-64.so.2"), "").expect("a linker");
    fs::write(root.join("pristine.cache"), cache.to_bytes()).expect("an image's cache");
}

const DRIVER: [&str; 24] = [
    "allocator",
    "api",
    "cfg",
    "compiler",
    "eglcore",
    "encode",
    "fbc",
    "glcore",
    "glsi",
    "glvkspirv",
    "gpucomp",
    "ngx",
    "nvvm",
    "opencl",
    "opticalflow",
    "pkcs11",
    "pkcs11-openssl3",
    "present",
    "ptxjitcompiler",
    "rtcore",
    "sandboxutils",
    "tls",
    "vksc-core",
    "wayland-client",
];

fn eight_gpus_json(folder: &Path) {
    fs::write(folder.join("nvidia.json"), eight_gpus(folder).to_string()).expect("a CDI file");
}

fn eight_gpus_yaml(folder: &Path) {
    let spec: gpu_runc::cdi::Spec = serde_json::from_value(eight_gpus(folder)).expect("a spec");
    fs::write(folder.join("nvidia.yaml"), gpu_runc::cdi::write::to_yaml(&spec)).expect("a CDI file");
}

/// A hundred files of a hundred devices: 2.4 MB.
fn ten_thousand(folder: &Path) {
    for file in 0..100 {
        let device = |i: usize| {
            let number = file * 100 + i;
            let path = format!("/dev/some-folder-of-accelerators/accelerator-{number:05}");
            json!({"name": number.to_string(), "containerEdits": {"deviceNodes": [
                {"path": path, "hostPath": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 438, "permissions": "rw"}], "env": [format!("ACCELERATOR_{number}=yes")]}})
        };
        let devices: Vec<Value> = (0..100).map(device).collect();
        let spec = json!({"cdiVersion": "0.5.0", "kind": "nvidia.com/gpu", "devices": devices});
        fs::write(folder.join(format!("{file:03}.json")), spec.to_string()).expect("a CDI file");
    }
}
