//! Volumes that mean harm, and images that lead into them: the container starts, and no volume changes. Every kind of mount over every
//! place that gpu-runc touches, by real low-level runtimes, as root and in a user namespace.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::{Value, json};

use crate::scratch::{Scratch, program_on_path, skip, succeed};

const GPU_RUNC: &str = env!("CARGO_BIN_EXE_gpu-runc");
const LIBRARY: &str = "libcuda.so.550.54.15";
const FOLDER: &str = "/usr/lib64";
/// The first id of the host that a container has in its user namespace.
const FIRST: u32 = 100_000;

/// Everything below `folder`: type, mode, owner, and what it holds.
pub(crate) fn contents(folder: &Path) -> BTreeMap<PathBuf, (u32, u32, u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut todo = vec![folder.to_owned()];
    while let Some(path) = todo.pop() {
        let stat = fs::symlink_metadata(&path).unwrap();
        let holds = match stat.file_type() {
            kind if kind.is_symlink() => fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec(),
            kind if kind.is_file() => fs::read(&path).unwrap(),
            _ => Vec::new(),
        };
        if stat.is_dir() {
            todo.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        found.insert(path, (stat.mode(), stat.uid(), stat.gid(), holds));
    }
    found
}

/// A machine with a driver of one library, a container's root with a linker, and a volume.
struct Machine {
    scratch: Scratch,
    runtime: PathBuf,
    has_user_namespace: bool,
}

/// A library that says nothing but what machine it is for.
fn elf() -> Vec<u8> {
    [&b"\x7fELF\x02\x01"[..], &[0; 58]].concat()
}

impl Machine {
    fn new(busybox: &Path, runtime: &Path, has_user_namespace: bool) -> Self {
        let scratch = Scratch::new();
        fs::set_permissions(scratch.path(""), fs::Permissions::from_mode(0o755)).unwrap();
        scratch.write(&format!("driver/{LIBRARY}"), "a library");
        let root = scratch.rootfs("bundle/rootfs", busybox);
        for folder in ["lib64", "vol", "usr/lib64"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        for file in ["lib64/ld-linux-x86-64.so.2", "etc/ld.so.cache"] {
            fs::write(root.join(file), "").unwrap();
        }
        // A directory of the host that root alone can write.
        for file in ["vol/modprobe.d/host.conf", "vol/etc/ld.so.cache", "vol/etc/ld.so.conf", "vol/lib/libc.so.6"] {
            scratch.write(file, if file.ends_with("conf") { "of the host\n" } else { "" });
        }
        scratch.device_node("dev/nvidia0", (1, 5), 0o666);
        Machine { scratch, runtime: runtime.to_owned(), has_user_namespace }
    }

    fn root(&self, path: &str) -> PathBuf {
        self.scratch.path("bundle/rootfs").join(path)
    }

    /// Describes the driver. A node cannot be made in a user namespace.
    fn describe(&self) {
        let (scratch, hook) = (&self.scratch, "/usr/bin/nvidia-cdi-hook");
        let hook = |args: &[&str]| json!({"hookName": "createContainer", "path": hook, "args": ([&["nvidia-cdi-hook"], args].concat())});
        let nodes = match self.has_user_namespace {
            true => json!([]),
            false => json!([{"path": "/dev/nvidia0", "hostPath": scratch.path("dev/nvidia0")}]),
        };
        let file = scratch.path("driver").join(LIBRARY);
        let spec = json!({
            "cdiVersion": "0.5.0", "kind": "nvidia.com/gpu",
            "devices": [{"name": "0", "containerEdits": {"env": ["A=b"], "deviceNodes": nodes}}],
            "containerEdits": {
                "mounts": [{"hostPath": file, "containerPath": format!("{FOLDER}/{LIBRARY}"), "options": ["ro", "nosuid", "nodev", "rbind", "rprivate"]}],
                "hooks": [
                    hook(&["create-symlinks", "--link", &format!("{LIBRARY}::{FOLDER}/libcuda.so.1"), "--link", "t::/opt/of/the/file"]),
                    hook(&["enable-cuda-compat", "--host-driver-version=550.54.15"]),
                    hook(&["update-ldcache", "--folder", FOLDER]),
                    hook(&["update-application-profile"]),
                    hook(&["chmod", "--mode", "700", "--path", "/usr/lib64"]),
                ],
            },
        });
        scratch.write("cdi/nvidia.json", &spec.to_string());
        let config = format!(
            "runtimes = [{:?}]\n[log]\nsyslog = false\nfile = {:?}\n[cdi]\nspec-dirs = [{:?}]\n",
            self.runtime,
            scratch.path("log"),
            scratch.path("cdi")
        );
        scratch.write("gpu-runc.toml", &config);
    }

    /// Runs `script` in a container that asks for the GPU, with further `mounts`, as the user 1000 without a capability.
    fn run(&self, script: &str, mounts: &[Value]) -> Output {
        self.describe();
        let own = [
            json!({"destination": "/proc", "type": "proc", "source": "proc"}),
            json!({"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]}),
        ];
        let mut namespaces = vec!["mount", "pid", "ipc", "uts"];
        let mut linux = json!({});
        if self.has_user_namespace {
            namespaces.push("user");
            let map = json!([{"containerID": 0, "hostID": FIRST, "size": 65536}]);
            linux = json!({"uidMappings": map, "gidMappings": map});
            let owner = format!("{FIRST}:{FIRST}");
            succeed(Command::new("chown").args(["-hR", &owner]).arg(self.root("")));
        }
        let namespaces = namespaces.into_iter().map(|kind| json!({"type": kind}));
        linux["namespaces"] = namespaces.collect();
        let config = json!({
            "ociVersion": "1.0.2",
            "process": {"user": {"uid": 1000, "gid": 1000}, "args": ["/bin/sh", "-c", script], "cwd": "/",
                "env": ["PATH=/bin", "NVIDIA_VISIBLE_DEVICES=0"], "noNewPrivileges": true},
            "root": {"path": "rootfs"},
            "mounts": ([&own[..], mounts].concat()),
            "linux": linux,
        });
        self.scratch.write("bundle/config.json", &config.to_string());
        self.start()
    }

    /// Starts the container of the bundle's config.json.
    fn start(&self) -> Output {
        // crun refuses a machine with both versions of cgroups.
        let one = "if mountpoint -q /sys/fs/cgroup/unified; then umount /sys/fs/cgroup/unified; fi; exec \"$@\"";
        let mut command = Command::new(program_on_path("unshare").unwrap());
        command.args(["--mount", "--propagation", "private", "timeout", "60", "sh", "-c", one, "sh", GPU_RUNC]);
        command.env("GPU_RUNC_CONFIG", self.scratch.path("gpu-runc.toml")).current_dir(self.scratch.path("bundle"));
        // The scratch folder's own name is as random as it gets.
        let name = self.scratch.path("").file_name().unwrap().to_str().unwrap().replace('.', "");
        command
            .arg("--root")
            .arg(self.scratch.path("state"))
            .args(["run", &name])
            .stdin(Stdio::piped())
            .output()
            .unwrap()
    }

    fn volume(&self, destination: &str, folder: &str, option: &str) -> Value {
        json!({"destination": destination, "type": "bind", "source": self.scratch.path(folder), "options": ["rbind", option]})
    }
}

/// Runs `test` for every low-level runtime, as root and in a user namespace.
fn everywhere(name: &str, test: impl Fn(&dyn Fn() -> Machine, &str)) {
    let Some(busybox) = program_on_path("busybox") else { return skip(name, "busybox not on PATH") };
    if !nix::unistd::geteuid().is_root() || program_on_path("unshare").is_none() {
        return skip(name, "needs root and unshare");
    }
    for runtime in ["runc", "crun"] {
        let Some(program) = program_on_path(runtime) else {
            skip(name, &format!("{runtime} not on PATH"));
            continue;
        };
        for has_user_namespace in [false, true] {
            let what = format!("{runtime}{}", if has_user_namespace { " in a user namespace" } else { "" });
            test(&|| Machine::new(&busybox, &program, has_user_namespace), &what);
        }
    }
}

type Image = fn(&Machine);
type Mounts = fn(&Machine) -> Vec<Value>;

const PLAIN: Image = |_| {};

/// What covers what, and whether programs of the container find the driver's library after all.
const CASES: &[(&str, Image, Mounts, bool)] = &[
    ("no volume", PLAIN, |_| vec![], true),
    ("a volume elsewhere", PLAIN, |machine| vec![machine.volume("/vol", "vol", "rw")], true),
    ("the cache in a volume", PLAIN, |machine| vec![machine.volume("/etc", "vol/etc", "rw")], true),
    ("the cache in a read-only volume", PLAIN, |machine| vec![machine.volume("/etc", "vol/etc", "ro")], true),
    ("no cache in a volume", PLAIN, |machine| vec![machine.volume("/etc", "vol/modprobe.d", "rw")], false),
    ("no cache in a read-only volume", PLAIN, |machine| vec![machine.volume("/etc", "vol/modprobe.d", "ro")], false),
    (
        "the cache itself a volume",
        PLAIN,
        |machine| vec![machine.volume("/etc/ld.so.cache", "vol/etc/ld.so.cache", "rw")],
        true,
    ),
    (
        "the drop-in in a volume",
        PLAIN,
        |machine| vec![machine.volume("/etc/ld.so.conf.d", "vol/modprobe.d", "rw")],
        true,
    ),
    (
        "memory over the place of the cache",
        PLAIN,
        |_| vec![json!({"destination": "/etc", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]})],
        true,
    ),
    (
        "a volume in a volume",
        |machine| fs::create_dir(machine.scratch.path("vol/etc/ld.so.conf.d")).unwrap(),
        |machine| {
            vec![machine.volume("/etc", "vol/etc", "rw"), machine.volume("/etc/ld.so.conf.d", "vol/modprobe.d", "rw")]
        },
        true,
    ),
    (
        "a volume in memory",
        PLAIN,
        |machine| {
            vec![
                json!({"destination": "/etc", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]}),
                machine.volume("/etc/ld.so.conf.d", "vol/modprobe.d", "rw"),
            ]
        },
        true,
    ),
    (
        "a link of the image from /etc into a volume",
        |machine| {
            fs::remove_dir_all(machine.root("etc")).unwrap();
            symlink("/vol/etc", machine.root("etc")).unwrap();
        },
        |machine| vec![machine.volume("/vol", "vol", "rw")],
        true,
    ),
    (
        "a link that the root itself would lead elsewhere",
        |machine| {
            fs::create_dir(machine.root("harmless")).unwrap();
            symlink("/harmless", machine.root("vol/lib")).unwrap();
            fs::remove_dir_all(machine.root("usr/lib64")).unwrap();
            symlink("../vol/lib", machine.root("usr/lib64")).unwrap();
        },
        |machine| vec![machine.volume("/vol", "vol", "rw")],
        false,
    ),
    (
        "a link of the image from the cache into a volume",
        |machine| {
            fs::remove_file(machine.root("etc/ld.so.cache")).unwrap();
            symlink("../vol/made", machine.root("etc/ld.so.cache")).unwrap();
        },
        |machine| vec![machine.volume("/vol", "vol", "rw")],
        true,
    ),
    (
        "a link of the image from the drop-in into a volume",
        |machine| symlink("/vol/modprobe.d", machine.root("etc/ld.so.conf.d")).unwrap(),
        |machine| vec![machine.volume("/vol", "vol", "rw")],
        true,
    ),
    (
        "a link of the image from the profile into a volume",
        |machine| symlink("/vol/modprobe.d", machine.root("etc/nvidia")).unwrap(),
        |machine| vec![machine.volume("/vol", "vol", "rw")],
        true,
    ),
    (
        "a link of the image from the driver's folder into a volume",
        |machine| {
            fs::remove_dir_all(machine.root("usr/lib64")).unwrap();
            symlink("/vol/lib", machine.root("usr/lib64")).unwrap();
        },
        |machine| vec![machine.volume("/vol", "vol", "rw")],
        false,
    ),
    (
        "a link of the image from the library into a volume",
        |machine| symlink("/vol/lib/made", machine.root("usr/lib64").join(LIBRARY)).unwrap(),
        |machine| vec![machine.volume("/vol", "vol", "rw")],
        false,
    ),
    ("the driver's folder a volume", PLAIN, |machine| vec![machine.volume(FOLDER, "vol/lib", "rw")], false),
    ("the driver's folder a read-only volume", PLAIN, |machine| vec![machine.volume(FOLDER, "vol/lib", "ro")], false),
    (
        "a volume that has the driver's files",
        |machine| {
            for name in [LIBRARY, "libcuda.so.1"] {
                machine.scratch.write(&format!("vol/lib/{name}"), "");
            }
        },
        |machine| vec![machine.volume(FOLDER, "vol/lib", "rw")],
        true,
    ),
    (
        "a volume whose own links lead to another",
        |machine| symlink("/vol/made", machine.scratch.path("vol/lib").join(LIBRARY)).unwrap(),
        |machine| vec![machine.volume("/vol", "vol", "rw"), machine.volume(FOLDER, "vol/lib", "rw")],
        false,
    ),
    (
        "folders in the places of files",
        |machine| {
            fs::remove_file(machine.scratch.path("vol/etc/ld.so.cache")).unwrap();
            fs::create_dir(machine.scratch.path("vol/etc/ld.so.cache")).unwrap();
        },
        |machine| vec![machine.volume("/etc", "vol/etc", "rw")],
        false,
    ),
    ("all of /usr a volume", PLAIN, |machine| vec![machine.volume("/usr", "vol", "rw")], false),
];

#[test]
fn no_volume_changes_whatever_it_covers_and_wherever_links_lead() {
    everywhere("volumes over every place", |machine, runtime| {
        for (what, image, mounts, finds) in CASES {
            let machine = machine();
            image(&machine);
            let before = contents(&machine.scratch.path("vol"));
            let mounts = mounts(&machine);
            let script = "grep -q libcuda.so.1 /etc/ld.so.cache && echo found || echo lost";
            let output = machine.run(script, &mounts);
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
            let (seen, said) = (text(&output.stdout), text(&output.stderr));
            assert!(output.status.success(), "{runtime}: {what}: {said}");
            assert_eq!(contents(&machine.scratch.path("vol")), before, "{runtime}: {what}");
            assert_eq!(
                seen,
                if *finds { "found" } else { "lost" },
                "{runtime}: {what}: {}",
                machine.scratch.read("log")
            );
            let config: Value = serde_json::from_str(&machine.scratch.read("bundle/config.json")).unwrap();
            assert_eq!(config.pointer("/hooks/createContainer"), None, "{runtime}: {what}");
        }
    });
}

#[test]
fn an_overlay_of_the_containers_own_keeps_its_layers() {
    everywhere("an overlay as a volume", |machine, runtime| {
        let machine = machine();
        if machine.has_user_namespace {
            return;
        }
        fs::create_dir_all(machine.scratch.path("vol/upper")).unwrap();
        fs::create_dir_all(machine.scratch.path("work")).unwrap();
        let before = contents(&machine.scratch.path("vol"));
        let path = |name: &str| machine.scratch.text(name);
        let layers = [
            format!("lowerdir={}", path("vol/etc")),
            format!("upperdir={}", path("vol/upper")),
            format!("workdir={}", path("work")),
        ];
        let mount = json!({"destination": "/etc", "type": "overlay", "source": "overlay", "options": layers});
        let output = machine.run("true", &[mount]);
        let said = String::from_utf8_lossy(&output.stderr);
        if said.contains("invalid argument") || said.contains("Invalid argument") {
            return skip("an overlay as a volume", "(optional) this file system holds no upper layer");
        }
        assert!(output.status.success(), "{runtime}: {said}");
        assert_eq!(contents(&machine.scratch.path("vol")), before, "{runtime}");
        assert!(machine.scratch.read("log").contains("cannot be read from outside"), "{runtime}");
    });
}

#[test]
fn an_image_writes_nothing_of_its_choice_into_a_directory_of_root() {
    const LINE: &str = "x\ninstall x /usr/bin/touch /pwned\n";
    everywhere("an image that writes as root", |machine, runtime| {
        let is_odd = |text: &str| text.contains("install x") || text.contains("libselinux");
        // A line of modprobe's by the name of a directory; the host's linker by a library of the system's.
        for link in [("etc/ld.so.conf.d", "/vol/modprobe.d"), ("etc", "/vol/etc")] {
            for folder in [LINE, "compat"] {
                let machine = machine();
                let compat = machine.root("opt").join(folder);
                fs::create_dir_all(&compat).unwrap();
                for name in ["libcuda.so.999.1", "libselinux.so.1"] {
                    fs::write(compat.join(name), elf()).unwrap();
                }
                fs::create_dir_all(machine.root("usr/local/cuda")).unwrap();
                symlink(Path::new("/opt").join(folder), machine.root("usr/local/cuda/compat")).unwrap();
                let _ = fs::remove_dir_all(machine.root(link.0));
                symlink(link.1, machine.root(link.0)).unwrap();
                let before = contents(&machine.scratch.path("vol"));
                let output = machine.run("cat /etc/ld.so.cache", &[machine.volume("/vol", "vol", "rw")]);
                let said = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{runtime}: {link:?}: {said}");
                assert_eq!(contents(&machine.scratch.path("vol")), before, "{runtime}: {link:?} {folder:?}");
                let cache = String::from_utf8_lossy(&output.stdout);
                assert!(cache.contains("libcuda.so.1"), "{runtime}: {link:?} {folder:?}: {said}");
                assert!(!is_odd(&cache), "{runtime}: {link:?} {folder:?}: {cache}");
                // The image's newer library is there where nothing is wrong with its directory.
                assert_eq!(cache.contains("libcuda.so.999.1"), folder == "compat", "{runtime}: {link:?}: {cache}");
                for file in ["etc/ld.so.conf.d/00-gpu-runc.conf", "etc/ld.so.cache"] {
                    let written = fs::read(machine.root(file)).unwrap_or_default();
                    assert!(!is_odd(&String::from_utf8_lossy(&written)), "{runtime}: {file}");
                }
            }
        }
    });
}

#[test]
fn root_of_a_user_namespace_leaves_no_file_of_the_hosts_root() {
    everywhere("setuid files out of a user namespace", |machine, runtime| {
        let machine = machine();
        if !machine.has_user_namespace {
            return;
        }
        machine.describe();
        // Not below a directory that all can write: gpu-runc mounts nothing of others from there.
        let outside = tempfile::tempdir_in("/run").unwrap();
        let shared = outside.path().join("shared");
        fs::set_permissions(outside.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(&shared).unwrap();
        fs::set_permissions(&shared, fs::Permissions::from_mode(0o777)).unwrap();
        let mount = json!({"hostPath": shared, "containerPath": "/shared", "options": ["rw", "rbind"]});
        let spec = json!({"cdiVersion": "0.5.0", "kind": "acme.com/x", "devices": [{"name": "0", "containerEdits": {"mounts": [mount]}}]});
        machine.scratch.write("cdi/acme.json", &spec.to_string());
        let output = machine.run("true", &[]);
        assert!(output.status.success(), "{runtime}: {output:?}");
        // The container's own root, with the capabilities that engines give.
        let config = machine.scratch.read("bundle/config.json");
        let mut config: Value = serde_json::from_str(&config).unwrap();
        let capabilities = json!(["CAP_FSETID", "CAP_FOWNER", "CAP_CHOWN"]);
        config["process"]["user"] = json!({"uid": 0, "gid": 0});
        config["process"]["args"] = json!(["/bin/sh", "-c", "cp /bin/busybox /shared/sh && chmod u+s /shared/sh"]);
        config["process"]["env"] = json!(["PATH=/bin"]);
        config["process"]["capabilities"] =
            json!({"bounding": capabilities, "effective": capabilities, "permitted": capabilities});
        config["annotations"] = json!({"cdi.k8s.io/x": "acme.com/x=0"});
        machine.scratch.write("bundle/config.json", &config.to_string());
        let output = machine.start();
        assert!(output.status.success(), "{runtime}: {output:?}");
        let left = fs::metadata(shared.join("sh")).unwrap();
        assert_eq!((left.uid(), left.mode() & 0o4000), (FIRST, 0o4000), "{runtime}");
    });
}

/// A FUSE file system at `place` whose server never answers, for as long as it is held.
struct Silent {
    _server: fs::File,
    place: PathBuf,
}

impl Silent {
    fn at(place: &Path) -> Option<Self> {
        let server = fs::OpenOptions::new().read(true).write(true).open("/dev/fuse").ok()?;
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", server.as_raw_fd());
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        mount(Some("silent"), place, Some("fuse"), flags, Some(options.as_str())).ok()?;
        Some(Silent { _server: server, place: place.to_owned() })
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        let _ = umount2(&self.place, MntFlags::MNT_DETACH);
    }
}

#[test]
fn a_volume_that_never_answers_is_not_waited_for() {
    let test = "a volume that never answers";
    let Some(busybox) = program_on_path("busybox").filter(|_| nix::unistd::geteuid().is_root()) else {
        return skip(test, "needs root and busybox");
    };
    let machine = Machine::new(&busybox, Path::new("/bin/true"), false);
    fs::create_dir_all(machine.scratch.path("vol/silent")).unwrap();
    let Some(_silent) = Silent::at(&machine.scratch.path("vol/silent")) else {
        return skip(test, "(optional) this kernel has no FUSE, or does not let it be mounted here");
    };
    fs::create_dir_all(machine.scratch.path("bundle/rootfs/mnt")).unwrap();
    for (destination, folder) in [("/etc", "vol/silent"), ("/etc", "vol/silent/deeper"), (FOLDER, "vol/silent")] {
        let output = machine.run("true", &[machine.volume(destination, folder, "rw")]);
        assert!(output.status.success(), "{destination} {folder}: {output:?}");
        assert!(machine.scratch.read("log").contains("is on a fuse file system"), "{}", machine.scratch.read("log"));
    }
    // The hook sees mounts, as it must; the kernel ends it.
    fs::create_dir_all(machine.root("silent")).unwrap();
    let Some(_inside) = Silent::at(&machine.root("silent")) else {
        return skip(test, "a second FUSE mount was refused");
    };
    let hook = machine.scratch.path("nvidia-cdi-hook");
    symlink(GPU_RUNC, &hook).unwrap();
    let state = machine.scratch.write("state.json", &json!({"bundle": machine.scratch.path("bundle")}).to_string());
    let started = std::time::Instant::now();
    let mut command = Command::new(&hook);
    command.args(["update-ldcache", "--folder", "/silent/lib"]).stdin(fs::File::open(state).unwrap());
    assert!(!command.output().unwrap().status.success());
    assert!(started.elapsed() < std::time::Duration::from_secs(30), "the hook waited for {:?}", started.elapsed());
}

#[test]
fn a_program_that_only_root_can_read_serves_other_users_too() {
    if !nix::unistd::geteuid().is_root() {
        return skip("a program that only root can read", "needs root");
    }
    let scratch = Scratch::new();
    fs::set_permissions(scratch.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    let device = json!({"name": "0", "containerEdits": {"env": ["GIVEN=1"]}});
    let spec = json!({"cdiVersion": "0.5.0", "kind": "nvidia.com/gpu", "devices": [device]});
    scratch.write("cdi/nvidia.json", &spec.to_string());
    let program = scratch.path("gpu-runc");
    fs::copy(GPU_RUNC, &program).unwrap();
    // The same bytes under a low-level runtime's name are no low-level runtime, although they cannot be compared.
    fs::copy(GPU_RUNC, scratch.path("runc")).unwrap();
    for file in ["gpu-runc", "runc"] {
        fs::set_permissions(scratch.path(file), fs::Permissions::from_mode(0o711)).unwrap();
    }
    let config = format!(
        "runtimes = [{:?}, \"/bin/true\"]\n[log]\nsyslog = false\n[cdi]\nspec-dirs = [{:?}]\n",
        scratch.path("runc"),
        scratch.path("cdi")
    );
    scratch.write("gpu-runc.toml", &config);
    scratch.write("bundle/config.json", r#"{"process":{"env":["NVIDIA_VISIBLE_DEVICES=0"]},"root":{"path":"rootfs"}}"#);
    fs::create_dir(scratch.path("bundle/rootfs")).unwrap();
    succeed(Command::new("chown").args(["-R", "1000:1000"]).arg(scratch.path("bundle")));
    let mut command = Command::new(&program);
    command.args(["create", "c"]).uid(1000).gid(1000).current_dir(scratch.path("bundle"));
    succeed(command.env("GPU_RUNC_CONFIG", scratch.path("gpu-runc.toml")));
    assert!(scratch.read("bundle/config.json").contains("GIVEN=1"));
}
