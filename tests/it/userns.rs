//! User namespaces: device nodes reach containers of the real low-level runtimes there, started by root and by a user, and what
//! arrives is the granted device.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::engines::place::Place;
use crate::hosts;
use crate::scratch::{Scratch, program_on_path, skip, succeed};

const GPU_RUNC: &str = env!("CARGO_BIN_EXE_gpu-runc");
/// Root of the containers that root starts.
const MAPPED: u32 = 100_000;
/// A user of every Debian, `www-data`: newuidmap, which crun asks, serves only users who have a name.
const USER: u32 = 33;
/// crun refuses a machine with both versions of cgroups, so the second view is taken away from it.
const CRUN: &str = "if mountpoint -q /sys/fs/cgroup/unified; then umount /sys/fs/cgroup/unified; fi; exec \"$@\"";

/// Who starts a container in a user namespace.
#[derive(Debug, Clone, Copy, PartialEq)]
enum By {
    Root,
    User,
}

/// A low-level runtime, a bundle, and a host below `host`.
struct Scene {
    scratch: Scratch,
    runtime: PathBuf,
    by: By,
}

/// Every runtime that is found, and each way to start it in a user namespace. What cannot run here is recorded as skipped.
fn scenes(test: &str) -> Vec<Scene> {
    let Some(busybox) = program_on_path("busybox").filter(|_| nix::unistd::geteuid().is_root()) else {
        skip(test, "needs root and busybox-static");
        return Vec::new();
    };
    if ["setpriv", "unshare"].iter().any(|name| program_on_path(name).is_none()) {
        skip(test, "needs setpriv and unshare of util-linux");
        return Vec::new();
    }
    let mut scenes = Vec::new();
    for name in ["runc", "crun"] {
        for place in Place::all(name) {
            let test = place.named(&format!("{test} with {name}"));
            let Some(runtime) = place.program(name) else {
                skip(&test, &format!("{name} not on PATH (apt-get install {name})"));
                continue;
            };
            for by in [By::Root, By::User] {
                let scene = Scene::new(&busybox, &runtime, by);
                let plain = scene.run(&json!({}), &[], "true");
                match plain.status.success() {
                    true => scenes.push(scene),
                    false => skip(
                        &format!("{test} by {by:?}"),
                        &format!("it cannot run a container here without us either: {}", stderr(&plain).trim()),
                    ),
                }
            }
        }
    }
    scenes
}

/// What `command` says, which reads nothing. Its input is a pipe: crun gives it to the container's user, /dev/null included.
fn finished(command: &mut Command) -> Output {
    command.stdin(Stdio::piped()).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

impl Scene {
    fn new(busybox: &Path, runtime: &Path, by: By) -> Self {
        let scratch = Scratch::new();
        fs::set_permissions(scratch.path(""), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir_all(scratch.path("state")).unwrap();
        fs::create_dir_all(scratch.path("cdi")).unwrap();
        scratch.rootfs("bundle/rootfs", busybox);
        let scene = Scene { scratch, runtime: runtime.to_owned(), by };
        scene.configure(Path::new("/"), "");
        scene
    }

    /// A machine that is all of the host `name`; `None` where its nodes cannot be made.
    fn host(&self, name: &str) -> Option<PathBuf> {
        let root = self.scratch.path(&format!("hosts/{name}"));
        fs::create_dir_all(&root).unwrap();
        let is_made = hosts::add(name, &root);
        if !is_made {
            skip(&format!("user namespaces on {name}"), "needs CAP_MKNOD");
        }
        self.configure(&root, "");
        is_made.then_some(root)
    }

    fn configure(&self, root: &Path, more: &str) {
        let text = format!(
            "runtimes = [{:?}]\n[log]\nlevel = \"debug\"\nsyslog = false\nfile = {:?}\n[cdi]\nspec-dirs = [{:?}]\n[host]\nroot = {root:?}\n{more}",
            self.runtime,
            self.scratch.path("bundle/log"),
            self.scratch.path("cdi"),
        );
        self.scratch.write("gpu-runc.toml", &text);
    }

    /// Describes `npu.example/npu=0` by these device nodes.
    fn describe(&self, nodes: &Value) {
        let devices = json!([{"name": "0", "containerEdits": {"deviceNodes": nodes}}]);
        let spec = json!({"cdiVersion": "0.7.0", "kind": "npu.example/npu", "devices": devices});
        self.scratch.write("cdi/npu.json", &spec.to_string());
    }

    /// Runs `script` in a container in a user namespace with `more` in its linux member, further `mounts` and this request.
    fn run(&self, more: &Value, env: &[&str], script: &str) -> Output {
        self.run_with(more, &[], env, script)
    }

    fn run_with(&self, more: &Value, mounts: &[Value], env: &[&str], script: &str) -> Output {
        let first = if self.by == By::Root { MAPPED } else { USER };
        let count = if self.by == By::Root { 65_536 } else { 1 };
        let mapping = json!([{"containerID": 0, "hostID": first, "size": count}]);
        let namespaces: Vec<Value> = ["user", "mount", "pid"].iter().map(|name| json!({"type": name})).collect();
        let mut linux = json!({"namespaces": namespaces, "uidMappings": mapping, "gidMappings": mapping});
        linux.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let own = [
            json!({"destination": "/proc", "type": "proc", "source": "proc"}),
            json!({"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]}),
        ];
        let env: Vec<&str> = [&["PATH=/bin"], env].concat();
        let config = json!({
            "ociVersion": "1.0.2",
            "process": {"user": {"uid": 0, "gid": 0}, "args": ["/bin/sh", "-c", script], "cwd": "/", "env": env},
            "root": {"path": "rootfs"},
            "mounts": ([&own, mounts].concat()),
            "linux": linux,
        });
        self.scratch.write("bundle/config.json", &config.to_string());
        owned_by(&self.scratch.path("bundle"), first);
        owned_by(&self.scratch.path("state"), if self.by == By::Root { 0 } else { USER });
        let mut argv: Vec<&str> = Vec::new();
        let (is_crun, user) = (self.runtime.ends_with("crun"), USER.to_string());
        if is_crun {
            argv.extend(["unshare", "--mount", "--propagation", "private", "sh", "-c", CRUN, "sh"]);
        }
        if self.by == By::User {
            argv.extend(["setpriv", "--reuid", &user, "--regid", &user, "--clear-groups"]);
        }
        argv.push(GPU_RUNC);
        if is_crun {
            argv.push("--cgroup-manager=disabled");
        }
        let mut command = Command::new(argv[0]);
        command.args(&argv[1..]).args(["--root", &self.scratch.text("state")]);
        // Of its own: rootless runc names the cgroup by it. The scratch folder's name is as random as it gets.
        let id = self.scratch.path("").file_name().unwrap().to_str().unwrap().replace('.', "");
        command.args(["run", &id]).current_dir(self.scratch.path("bundle"));
        command
            .env("GPU_RUNC_CONFIG", self.scratch.path("gpu-runc.toml"))
            .env("XDG_RUNTIME_DIR", self.scratch.path("state"));
        finished(&mut command)
    }

    /// The major:minor of every one of `paths` in a container with this request, `-` for what is not there.
    fn devices(&self, env: &[&str], paths: &[&str]) -> BTreeMap<String, String> {
        let output = self.run(&json!({}), env, &asks(paths));
        answers(self, &output)
    }

    fn log(&self) -> String {
        self.scratch.read("bundle/log")
    }

    fn config(&self) -> Value {
        serde_json::from_str(&self.scratch.read("bundle/config.json")).unwrap()
    }
}

/// What a udev rule does: opens every device node below `folder` to all users.
fn open_to_all(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            open_to_all(&entry.path());
        } else if kind.is_char_device() {
            fs::set_permissions(entry.path(), fs::Permissions::from_mode(0o666)).unwrap();
        }
    }
}

/// A script that prints what is at `paths`.
fn asks(paths: &[&str]) -> String {
    let ask = |path: &&str| format!("echo \"{path} $(stat -c %t:%T {path} 2>/dev/null || echo -)\";");
    paths.iter().map(ask).collect()
}

/// What such a script prints, in decimal.
fn answers(scene: &Scene, output: &Output) -> BTreeMap<String, String> {
    assert!(output.status.success(), "{:?} {:?}: {}\n{}", scene.runtime, scene.by, stderr(output), scene.log());
    let decimal = |half: &str| i64::from_str_radix(half, 16).unwrap().to_string();
    let line = |line: &str| {
        let (path, number) = line.split_once(' ').unwrap();
        let number = number.split_once(':').map_or("-".to_owned(), |(a, b)| format!("{}:{}", decimal(a), decimal(b)));
        (path.to_owned(), number)
    };
    String::from_utf8_lossy(&output.stdout).lines().map(line).collect()
}

fn owned_by(path: &Path, owner: u32) {
    lchown(path, Some(owner), Some(owner)).unwrap();
    let kind = fs::symlink_metadata(path).unwrap().file_type();
    if kind.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            owned_by(&entry.unwrap().path(), owner);
        }
    }
}

fn expected(devices: &[(&str, &str)]) -> BTreeMap<String, String> {
    devices.iter().map(|(path, number)| ((*path).to_owned(), (*number).to_owned())).collect()
}

/// Paths and numbers, with how the container is asked for.
fn assert_devices(scene: &Scene, env: &[&str], wanted: &[(&str, &str)]) {
    let paths: Vec<&str> = wanted.iter().map(|(path, _)| *path).collect();
    assert_eq!(scene.devices(env, &paths), expected(wanted), "{:?} {:?} {env:?}", scene.runtime, scene.by);
}

#[test]
fn device_nodes_that_the_driver_has_not_made_are_made_by_root_and_missed_by_users() {
    for scene in scenes("missing device nodes in a user namespace") {
        let Some(host) = scene.host("nvidia-h100-8") else { return };
        let uvm = host.join("dev/nvidia-uvm");
        let major = nix::sys::stat::major(fs::symlink_metadata(&uvm).unwrap().rdev());
        let number = format!("{major}:0");
        for name in ["nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset"] {
            let _ = fs::remove_file(host.join("dev").join(name));
        }
        let (one, all) = ("NVIDIA_VISIBLE_DEVICES=4", "NVIDIA_DRIVER_CAPABILITIES=all");
        let tools = format!("{major}:1");
        match scene.by {
            By::Root => {
                let wanted = [
                    ("/dev/nvidia7", "195:7"),
                    ("/dev/nvidia-uvm", number.as_str()),
                    ("/dev/nvidia-uvm-tools", tools.as_str()),
                    ("/dev/nvidia-modeset", "195:254"),
                ];
                assert_devices(&scene, &[one, all], &wanted);
                let made = fs::symlink_metadata(&uvm).unwrap();
                assert!(made.file_type().is_char_device() && made.mode() & 0o777 == 0o666, "{made:?}");
                // One of a number that the driver had before.
                let name = "hosts/nvidia-h100-8/dev/nvidia-uvm-tools";
                fs::remove_file(scene.scratch.path(name)).unwrap();
                scene.scratch.device_node(name, (240, 7), 0o666);
                assert_devices(&scene, &[one], &[("/dev/nvidia-uvm-tools", "-"), ("/dev/nvidia-uvm", number.as_str())]);
                let log = scene.log();
                let helps = "run \"rm /dev/nvidia-uvm-tools && gpu-ctk system create-device-nodes\" as root";
                assert!(log.contains("is 240:7 on the host, not") && log.contains(helps), "{log}");
            }
            By::User => {
                let refused = scene.run(&json!({}), &[one], "true");
                let said = stderr(&refused);
                assert!(!refused.status.success(), "{said}");
                assert_eq!(
                    said,
                    format!(
                        "failed to inject devices: /dev/nvidia-uvm ({number}) is missing on the host, and in a user namespace a \
                         container gets device nodes only by mounts of the host's; run \"gpu-ctk system create-device-nodes\" as \
                         root\n"
                    )
                );
                assert_devices(
                    &scene,
                    &[one, "NVIDIA_DRIVER_CAPABILITIES=utility,graphics"],
                    &[("/dev/nvidia7", "195:7"), ("/dev/nvidia-uvm", "-"), ("/dev/nvidia-modeset", "-")],
                );
                let log = scene.log();
                for name in ["uvm", "modeset"] {
                    let left = format!("starts without /dev/nvidia-{name}: /dev/nvidia-{name} (");
                    assert!(log.contains(&left) && !uvm.exists(), "{log}");
                }
            }
        }
    }
}

#[test]
fn a_device_node_is_mounted_from_where_the_host_has_it() {
    let dri = "/dev/dri/by-path/pci-0000:03:00.0";
    let (card, render) = (format!("{dri}-card"), format!("{dri}-render"));
    for scene in scenes("device nodes of another path in a user namespace") {
        for (host, env, wanted) in [
            (
                "nvidia-l4-driver-container-1",
                "NVIDIA_VISIBLE_DEVICES=all",
                &[("/dev/nvidia0", "195:0"), ("/dev/nvidiactl", "195:255"), ("/dev/nvidia-uvm", "511:0")][..],
            ),
            (
                "amd-radeon-without-kfd-2",
                "AMD_VISIBLE_DEVICES=0",
                &[
                    ("/dev/dri/card0", "226:0"),
                    ("/dev/dri/renderD128", "226:128"),
                    (&card, "226:0"),
                    (&render, "226:128"),
                ],
            ),
            (
                "ascend-310b-lists-1",
                "ASCEND_VISIBLE_DEVICES=0",
                &[("/dev/davinci0", "236:0"), ("/dev/davinci_manager", "238:0"), ("/dev/svm0", "239:0")],
            ),
        ] {
            let Some(machine) = scene.host(host) else { return };
            if scene.by == By::User && !host.starts_with("nvidia") {
                let output = scene.run(&json!({}), &[env], "true");
                let said = stderr(&output);
                assert!(!output.status.success() && said.contains("only a group can open \"/dev/"), "{said}");
                open_to_all(&machine.join("dev"));
            }
            assert_devices(&scene, &[env], wanted);
            let mounts = scene.config()["mounts"].as_array().unwrap().clone();
            let nodes = mounts.iter().filter(|mount| mount["destination"].as_str().unwrap().starts_with("/dev/"));
            for mount in nodes {
                assert_eq!(mount["options"], json!(["bind", "nosuid", "noexec"]), "{mount}");
            }
        }
        let log = scene.log();
        let is_told = log.contains("/dev/dri/renderD128: only the owner and the group may open it");
        assert!(is_told == (scene.by == By::Root), "{log}");
    }
}

#[test]
fn never_another_device() {
    for scene in scenes("another device in a user namespace") {
        let ask = "GPU_VISIBLE_DEVICES=npu.example/npu=0";
        for (nodes, given) in [
            (json!([{"path": "/dev/npu0", "hostPath": "/dev/zero"}]), Ok(("/dev/npu0", "1:5"))),
            (json!([{"path": "/dev/deep/er/npu0", "hostPath": "/dev/zero"}]), Ok(("/dev/deep/er/npu0", "1:5"))),
            (json!([{"path": "/dev/kmsg", "hostPath": "/dev/zero"}]), Ok(("/dev/kmsg", "1:5"))),
            (json!([{"path": "/dev/full"}]), Ok(("/dev/full", "1:7"))),
            (
                json!([{"path": "/dev/full", "hostPath": "/dev/zero"}]),
                Err(
                    "/dev/full cannot be /dev/zero (1:5) in a user namespace, where the low-level runtime mounts the host's own /dev/full; change",
                ),
            ),
            (
                json!([{"path": "/dev/npu0", "type": "c", "major": 240, "minor": 9}]),
                Err(
                    "/dev/npu0 (240:9) is missing on the host, and in a user namespace a container gets device nodes only by mounts \
                     of the host's; run \"mknod /dev/npu0 c 240 9\" as root",
                ),
            ),
            (
                json!([{"path": "/dev/npu0", "hostPath": "/dev/fd", "type": "c", "major": 1, "minor": 5}]),
                Err("/dev/fd is not a device node on the host, not 1:5"),
            ),
        ] {
            scene.describe(&nodes);
            match given {
                Ok(wanted) => assert_devices(&scene, &[ask], &[wanted]),
                Err(part) => {
                    let output = scene.run(&json!({}), &[ask], "true");
                    let said = stderr(&output);
                    assert!(!output.status.success() && said.contains(part) && said.lines().count() == 1, "{said}");
                }
            }
        }
    }
}

#[test]
fn what_the_engine_has_injected_stays_as_it_is() {
    let entry = |minor: u32| json!({"devices": [{"path": "/dev/kmsg", "type": "c", "major": 1, "minor": minor}]});
    let bind = |source: &str| json!({"destination": "/dev/kmsg", "source": source, "options": ["slave", "nosuid", "noexec", "rw", "rbind"]});
    let ask = &["GPU_VISIBLE_DEVICES=npu.example/npu=0"];
    for scene in scenes("an engine's own injection in a user namespace") {
        scene.describe(&json!([{"path": "/dev/kmsg"}]));
        for (what, linux, mounts, is_kept) in [
            ("an entry", entry(11), vec![], true),
            ("an entry of another device", entry(5), vec![], false),
            ("a mount", json!({}), vec![bind("/dev/kmsg")], true),
            ("a mount of another device", json!({}), vec![bind("/dev/zero")], false),
            ("neither", json!({}), vec![], false),
        ] {
            // crun 1.8 cannot start such a container for a user, with or without us.
            let plain = scene.run_with(&linux, &mounts, &[], "true");
            if !plain.status.success() {
                let test = format!("{what} in a user namespace, {} by {:?}", scene.runtime.display(), scene.by);
                skip(&test, &format!("(optional) it cannot run without us either: {}", stderr(&plain).trim()));
                continue;
            }
            let output = scene.run_with(&linux, &mounts, ask, &asks(&["/dev/kmsg"]));
            assert_eq!(answers(&scene, &output), expected(&[("/dev/kmsg", "1:11")]), "{what}");
            let config = scene.config();
            let ours =
                json!({"destination": "/dev/kmsg", "source": "/dev/kmsg", "options": ["bind", "nosuid", "noexec"]});
            let is_ours = config["mounts"].as_array().unwrap().contains(&ours);
            assert_eq!(is_ours, !is_kept, "{what}: {config}");
            assert_eq!(
                config["linux"]["devices"].as_array().is_some_and(|list| !list.is_empty()),
                what == "an entry",
                "{what}"
            );
            // Applying twice equals applying once.
            let before = scene.scratch.read("bundle/config.json");
            let mut again = Command::new(GPU_RUNC);
            scene.scratch.write(
                "gpu-runc.toml",
                &scene.scratch.read("gpu-runc.toml").replace(scene.runtime.to_str().unwrap(), "/bin/true"),
            );
            again.args(["create", "c"]).env("GPU_RUNC_CONFIG", scene.scratch.path("gpu-runc.toml"));
            assert!(again.current_dir(scene.scratch.path("bundle")).status().unwrap().success());
            assert_eq!(scene.scratch.read("bundle/config.json"), before, "{what}");
            scene.configure(Path::new("/"), "");
        }
    }
}

/// What becomes of a container without a user namespace that gets a device node from another path, started by `argv` and gpu-runc.
fn mounts_of_plain(argv: &[&str]) -> Result<Value, String> {
    let scratch = Scratch::new();
    let nodes = json!([{"path": "/dev/npu0", "hostPath": "/dev/zero"}, {"path": "/dev/kmsg"}]);
    let devices = json!([{"name": "0", "containerEdits": {"deviceNodes": nodes}}]);
    let spec = json!({"cdiVersion": "0.7.0", "kind": "npu.example/npu", "devices": devices});
    scratch.write("cdi/npu.json", &spec.to_string());
    let text =
        format!("runtimes = [\"/bin/true\"]\n[log]\nsyslog = false\n[cdi]\nspec-dirs = [{:?}]\n", scratch.path("cdi"));
    scratch.write("gpu-runc.toml", &text);
    let env = json!(["GPU_VISIBLE_DEVICES=npu.example/npu=0"]);
    scratch.write("config.json", &json!({"ociVersion": "1.0.2", "process": {"env": env}, "linux": {}}).to_string());
    let mut command = Command::new(argv[0]);
    command.args(&argv[1..]).args([GPU_RUNC, "create", "c"]).env("GPU_RUNC_CONFIG", scratch.path("gpu-runc.toml"));
    let output = command.current_dir(scratch.path("")).output().unwrap();
    match output.status.success() {
        true => Ok(serde_json::from_str(&scratch.read("config.json")).unwrap()),
        false => Err(stderr(&output)),
    }
}

#[test]
fn who_cannot_make_device_nodes_mounts_them() {
    if !nix::unistd::geteuid().is_root() || program_on_path("setpriv").is_none() || program_on_path("unshare").is_none()
    {
        return skip("device nodes without CAP_MKNOD", "needs root, setpriv and unshare");
    }
    let bind = |place: &str, source: &str| json!({"destination": place, "source": source, "options": ["bind", "nosuid", "noexec"]});
    let both = [bind("/dev/npu0", "/dev/zero"), bind("/dev/kmsg", "/dev/kmsg")];
    for (what, argv, mounts) in [
        ("root", &["env"][..], None),
        ("without CAP_MKNOD", &["setpriv", "--bounding-set", "-mknod"], Some(&both)),
        ("in a user namespace of its own", &["unshare", "--user", "--map-root-user"], Some(&both)),
    ] {
        let config = match mounts_of_plain(argv) {
            Err(said) if said.starts_with("unshare:") => {
                skip(what, said.trim());
                continue;
            }
            config => config.unwrap(),
        };
        assert_eq!(config["mounts"].as_array().map(Vec::as_slice), mounts.map(<[Value; 2]>::as_slice), "{what}");
        assert_eq!(
            config["linux"]["devices"].as_array().map_or(0, Vec::len),
            if mounts.is_some() { 0 } else { 2 },
            "{what}"
        );
        assert_eq!(config["linux"]["resources"]["devices"].as_array().unwrap().len(), 2, "{what}: a rule for each");
    }
}

#[test]
fn nodes_on_the_host_follow_the_drivers_rules() {
    let Some(host) = hosts::make(&["nvidia-h100-8"]) else { return };
    hosts::configure(host.path(), "");
    let uvm = host.path().join("dev/nvidia-uvm");
    for (params, mode) in [
        ("ModifyDeviceFiles: 1\nDeviceFileUID: 0\nDeviceFileGID: 44\nDeviceFileMode: 432\n", Some((0o660, 44))),
        ("ModifyDeviceFiles: 0\n", None),
        ("", Some((0o666, 0))),
    ] {
        hosts::put(host.path(), "proc/driver/nvidia/params", params);
        let _ = fs::remove_file(&uvm);
        let config = hosts::create(host.path(), &["NVIDIA_VISIBLE_DEVICES=4"]).unwrap();
        let made = fs::symlink_metadata(&uvm).ok().map(|made| (made.mode() & 0o777, made.gid()));
        assert_eq!(made, mode, "{params}");
        assert!(hosts::paths(&config, "/linux/devices", "path").contains(&"/dev/nvidia-uvm"), "{params}");
    }
}

/// podman as a user, with everything that it makes in `scratch` and no process left behind.
fn podman(scratch: &Scratch, args: &[&str]) -> Output {
    let user = USER.to_string();
    let mut command = Command::new("unshare");
    command.args([
        "--mount",
        "--propagation",
        "private",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "sh",
        "-c",
        CRUN,
        "sh",
    ]);
    command.args(["setpriv", "--reuid", &user, "--regid", &user, "--clear-groups", "podman"]);
    command.args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "file"]).args(args);
    command.env("HOME", scratch.path("home")).env("XDG_RUNTIME_DIR", scratch.path("run")).env_remove("XDG_CONFIG_HOME");
    finished(command.current_dir(scratch.path("home")))
}

#[test]
fn rootless_podman_gives_the_granted_device() {
    let test = "rootless podman";
    let Some(busybox) = program_on_path("busybox").filter(|_| nix::unistd::geteuid().is_root()) else {
        return skip(test, "needs root and busybox-static");
    };
    for (program, package) in
        [("podman", "podman"), ("conmon", "conmon"), ("newuidmap", "uidmap"), ("setpriv", "util-linux")]
    {
        if program_on_path(program).is_none() {
            return skip(test, &format!("{program} not on PATH (apt-get install {package})"));
        }
    }
    let scratch = Scratch::new();
    fs::set_permissions(scratch.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    let nodes = [
        json!([{"path": "/dev/npu0", "hostPath": "/dev/zero"}]),
        json!([{"path": "/dev/npu0", "type": "c", "major": 240, "minor": 1}]),
    ];
    let device =
        |(name, nodes): (usize, &Value)| json!({"name": name.to_string(), "containerEdits": {"deviceNodes": nodes}});
    let devices: Vec<Value> = nodes.iter().enumerate().map(device).collect();
    scratch.write(
        "cdi/npu.json",
        &json!({"cdiVersion": "0.7.0", "kind": "npu.example/npu", "devices": devices}).to_string(),
    );
    let rootfs = scratch.rootfs("rootfs", &busybox);
    fs::create_dir_all(scratch.path("home")).unwrap();
    fs::create_dir_all(scratch.path("run")).unwrap();
    succeed(Command::new("tar").arg("-C").arg(rootfs).arg("-cf").arg(scratch.path("home/image.tar")).arg("."));
    owned_by(&scratch.path("home"), USER);
    owned_by(&scratch.path("run"), USER);
    let imported = podman(&scratch, &["import", "--quiet", &scratch.text("home/image.tar"), "npu"]);
    if !imported.status.success() {
        return skip(test, &format!("it cannot import an image here: {}", stderr(&imported).trim()));
    }
    let run = |runtime: &str, device: &str| {
        let ask = format!("GPU_VISIBLE_DEVICES={device}");
        podman(
            &scratch,
            &[
                "--runtime",
                runtime,
                "run",
                "--rm",
                "--net=none",
                "-e",
                &ask,
                "npu",
                "/bin/sh",
                "-c",
                &asks(&["/dev/npu0"]),
            ],
        )
    };
    for low_level in ["runc", "crun"] {
        let Some(program) = program_on_path(low_level) else {
            skip(test, &format!("{low_level} not on PATH (apt-get install {low_level})"));
            continue;
        };
        let plain = run(program.to_str().unwrap(), "");
        if !plain.status.success() {
            skip(test, &format!("it cannot run a container with {low_level} here: {}", stderr(&plain).trim()));
            continue;
        }
        let config = format!(
            "runtimes = [{program:?}]\n[log]\nsyslog = false\n[cdi]\nspec-dirs = [{:?}]\n",
            scratch.path("cdi")
        );
        let config = scratch.write("gpu-runc.toml", &config);
        // podman gives a runtime no environment of its own choosing.
        let script = format!("#!/bin/sh\nexport GPU_RUNC_CONFIG={}\nexec {GPU_RUNC} \"$@\"\n", config.display());
        let runtime = scratch.program("gpu-runc", &script);
        let given = run(runtime.to_str().unwrap(), "npu.example/npu=0");
        assert!(given.status.success(), "{low_level}: {}", stderr(&given));
        assert_eq!(String::from_utf8_lossy(&given.stdout).trim(), "/dev/npu0 1:5", "{low_level}");
        let refused = run(runtime.to_str().unwrap(), "npu.example/npu=1");
        let said = stderr(&refused);
        assert!(said.contains("/dev/npu0 (240:1) is missing on the host"), "{low_level}: {said}");
        // 127 would say that the container's own program was not found.
        assert_eq!(refused.status.code(), Some(126), "{low_level}: {said}");
    }
}
