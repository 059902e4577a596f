//! The calls that are measured, and the bundles and CDI files that they find.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

/// One row of the table.
pub(crate) struct Case {
    /// What is called, for people.
    pub(crate) name: &'static str,
    /// The arguments; `BUNDLE` stands for the bundle.
    pub(crate) args: &'static [&'static str],
    env: &'static str,
    cdi: fn(&Path),
}

const CREATE: &[&str] =
    &["--root", "/run/runc", "--log", "BUNDLE/log.json", "--log-format", "json", "create", "--bundle", "BUNDLE", "c"];

/// All rows.
pub(crate) fn all() -> Vec<Case> {
    vec![
        Case { name: "state", args: &["--root", "/run/runc", "state", "c"], env: "A=b", cdi: |_| {} },
        Case { name: "create, no GPU asked", args: CREATE, env: "A=b", cdi: eight_gpus_json },
        Case { name: "create, 8 GPUs and 60 mounts, JSON", args: CREATE, env: ALL, cdi: eight_gpus_json },
        Case { name: "create, 8 GPUs and 60 mounts, YAML", args: CREATE, env: ALL, cdi: eight_gpus_yaml },
        Case {
            name: "create, 1 of 10,000 devices in 100 files",
            args: CREATE,
            env: "NVIDIA_VISIBLE_DEVICES=5050",
            cdi: ten_thousand,
        },
    ]
}

const ALL: &str = "NVIDIA_VISIBLE_DEVICES=0,1,2,3,4,5,6,7";

impl Case {
    /// Writes what is there before every call.
    pub(crate) fn prepare(&self, bundle: &Path, stand_in: &Path) {
        let cdi = bundle.join("cdi");
        fs::create_dir_all(&cdi).expect("the bundle");
        (self.cdi)(&cdi);
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
    }
}

/// About what Docker writes: 10 KB with its seccomp profile.
fn config_json(env: &str) -> Value {
    let calls: Vec<String> = (0..400).map(|i| format!("syscall_{i:03}")).collect();
    let mounts: Vec<Value> = ["/proc", "/dev", "/dev/pts", "/sys", "/sys/fs/cgroup", "/dev/mqueue", "/dev/shm", "/etc/hosts"]
        .iter()
        .map(|to| json!({"destination": to, "type": "bind", "source": "/some/where", "options": ["nosuid", "noexec", "nodev"]}))
        .collect();
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0}, "args": ["sleep", "1"], "cwd": "/",
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", "HOSTNAME=c", "HOME=/root", env],
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
fn eight_gpus() -> Value {
    let node = |path: String| json!({"path": path, "hostPath": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 438, "permissions": "rwm"});
    let gpu = |i: usize| {
        let nodes = [format!("/dev/nvidia{i}"), format!("/dev/dri/card{i}"), format!("/dev/dri/renderD{}", 128 + i)];
        json!({"name": i.to_string(), "containerEdits": {"deviceNodes": nodes.map(node)}})
    };
    let mount = |i: usize| {
        let path = format!("/usr/lib/x86_64-linux-gnu/libnvidia-some-library-{i:02}.so.590.44.01");
        json!({"hostPath": path, "containerPath": path, "options": ["ro", "nosuid", "nodev", "rbind", "rprivate"]})
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
                hook(&["nvidia-cdi-hook", "create-symlinks", "--link", "libcuda.so.1::/usr/lib/x86_64-linux-gnu/libcuda.so"]),
                hook(&["nvidia-cdi-hook", "update-ldcache", "--folder", "/usr/lib/x86_64-linux-gnu"]),
            ],
        },
    })
}

fn eight_gpus_json(folder: &Path) {
    fs::write(folder.join("nvidia.json"), eight_gpus().to_string()).expect("a CDI file");
}

fn eight_gpus_yaml(folder: &Path) {
    let spec: gpu_runc::cdi::Spec = serde_json::from_value(eight_gpus()).expect("a spec");
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
