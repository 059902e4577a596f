//! What vendors leave to hooks: done from outside, or by gpu-runc as the one hook, or by gpu-runc under the names of their tools;
//! with real programs that look for real libraries, in containers of the real runc.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::scratch::{Scratch, program_on_path, skip, succeed};

const GPU_RUNC: &str = env!("CARGO_BIN_EXE_gpu-runc");
/// Where the machine's driver is. Debian's linker does not look there.
const DRIVER_FOLDER: &str = "/usr/lib64";

/// Runs the hook of this name on the bundle `bundle` of `scratch`.
fn hook(scratch: &Scratch, program: &str, args: &[&str]) -> Output {
    hook_of(scratch, program, args, &json!({}))
}

/// The same for a container with `annotations`.
fn hook_of(scratch: &Scratch, program: &str, args: &[&str], annotations: &Value) -> Output {
    let link = scratch.path("bin").join(program);
    fs::create_dir_all(scratch.path("bin")).unwrap();
    let _ = symlink(GPU_RUNC, &link);
    let mut command = Command::new(link);
    command.args(args).env_clear().current_dir(scratch.path("bundle"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let state = json!({"ociVersion": "1.0.2", "id": "c", "status": "creating", "pid": 1,
                       "annotations": annotations, "bundle": scratch.path("bundle")});
    // One that fails early does not read it.
    let _ = child.stdin.take().unwrap().write_all(state.to_string().as_bytes());
    child.wait_with_output().unwrap()
}

fn bundle() -> Scratch {
    let scratch = Scratch::new();
    fs::create_dir_all(scratch.path("bundle/rootfs/dev")).unwrap();
    scratch.write("bundle/config.json", r#"{"ociVersion":"1.0.2","root":{"path":"rootfs"}}"#);
    scratch
}

#[test]
fn the_names_of_vendors_hooks_are_answered_as_theirs() {
    let scratch = bundle();
    for (program, args, code, said) in [
        ("nvidia-cdi-hook", &["create-symlinks", "--link", "a::/usr/lib/b"][..], 0, ""),
        ("nvidia-ctk", &["hook", "create-symlinks", "--link", "a::/usr/lib/b"], 0, ""),
        ("nvidia-cdi-hook", &["--quiet", "update-ldcache", "--folder", "/usr/lib"], 0, ""),
        ("nvidia-cdi-hook", &["hook-of-the-future", "--x", "y"], 0, "warning: there is no hook \"hook-of-the-future\""),
        ("nvidia-cdi-hook", &["create-symlinks", "--new", "y"], 1, "there is no flag"),
        ("nvidia-cdi-hook", &["create-symlinks", "--link", "a"], 1, "expected target::/place"),
        ("nvidia-ctk", &["cdi", "generate"], 1, "knows no other command"),
        ("nvidia-cdi-hook", &[], 0, "warning"),
        ("nvidia-cdi-hook", &["chmod", "--mode", "755", "--path", "/absent"], 0, "rootfs/absent: not found"),
        ("nvidia-cdi-hook", &["chmod", "--path", "/usr/lib"], 1, "it needs --mode"),
        ("gpu-runc-hook", &["params"], 0, ""),
        ("nvidia-cdi-hook", &["params"], 0, ""),
        ("gpu-runc-hook", &["prepare", "--link", "a::/x"], 0, "warning: there is no hook \"prepare\""),
    ] {
        let output = hook(&scratch, program, args);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{program} {args:?}: {stderr}");
        assert!(stderr.contains(said) && stderr.is_empty() == said.is_empty(), "{program} {args:?}: {stderr}");
        assert!(output.stdout.is_empty());
    }
    assert_eq!(fs::read_link(scratch.path("bundle/rootfs/usr/lib/b")).unwrap(), Path::new("a"));
}

#[test]
fn a_state_may_be_as_large_as_the_configuration_that_its_annotations_are_from() {
    let scratch = bundle();
    let args = ["create-symlinks", "--link", "a::/usr/lib/b"];
    let large = hook_of(&scratch, "nvidia-cdi-hook", &args, &json!({ "a": "x".repeat(65 << 20) }));
    assert!(large.status.success(), "{}", String::from_utf8_lossy(&large.stderr));
    let larger = scratch.write("state.json", "");
    fs::OpenOptions::new().write(true).open(&larger).unwrap().set_len((256 << 20) + 1).unwrap();
    let args = [&args[..], &["--container-spec", larger.to_str().unwrap()]].concat();
    let larger = hook(&scratch, "nvidia-cdi-hook", &args);
    let stderr = String::from_utf8(larger.stderr).unwrap();
    assert!(larger.status.code() == Some(1) && stderr.contains("larger than 256 MiB"), "{stderr}");
}

#[test]
fn only_a_vendors_hook_fails_where_the_containers_root_is_not_found() {
    let scratch = bundle();
    for config in [None, Some("{"), Some(r#"{"root":{}}"#), Some(r#"{"root":{"path":"absent"}}"#)] {
        match config {
            None => fs::remove_file(scratch.path("bundle/config.json")).unwrap(),
            Some(text) => drop(scratch.write("bundle/config.json", text)),
        }
        let rows: [(&str, &[&str], i32); 3] = [
            ("gpu-runc-hook", &["params"], 0),
            ("nvidia-cdi-hook", &["params"], 0),
            ("nvidia-cdi-hook", &["update-ldcache", "--folder", "/usr/lib"], 1),
        ];
        for (program, args, code) in rows {
            let output = hook(&scratch, program, args);
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert_eq!(
                (output.status.code(), stderr.lines().count()),
                (Some(code), 1),
                "{program} {config:?}: {stderr}"
            );
            assert!(stderr.contains("bundle"), "{program} {config:?}: {stderr}");
        }
    }
}

#[test]
fn each_hook_does_its_work_inside_the_root_and_nowhere_else() {
    let scratch = bundle();
    let root = scratch.path("bundle/rootfs");
    let outside = scratch.path("outside");
    fs::create_dir(&outside).unwrap();
    symlink(&outside, root.join("leads-out")).unwrap();
    symlink("../../../outside", root.join("climbs-out")).unwrap();
    fs::create_dir_all(root.join("usr/lib/folder")).unwrap();
    scratch.write("bundle/rootfs/usr/lib/file", "of the image");
    let succeeds = |args: &[&str]| {
        let output = hook(&scratch, "nvidia-cdi-hook", args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let links =
        ["t::/usr/lib/a", "../t::/usr/lib/deep/er/b", "t::/usr/lib/file", "/t::/leads-out/c", "t::/climbs-out/d"];
    let args: Vec<&str> = links.iter().flat_map(|link| ["--link", link]).collect();
    // Once more changes nothing, and is no error.
    for _ in 0..2 {
        let output = hook(&scratch, "nvidia-cdi-hook", &[&["create-symlinks"], &args[..6]].concat());
        assert!(output.status.success(), "{output:?}");
        for (place, target) in [("a", "t"), ("deep/er/b", "../t"), ("file", "t")] {
            assert_eq!(fs::read_link(root.join("usr/lib").join(place)).unwrap(), Path::new(target));
        }
    }
    for link in &links[3..] {
        hook(&scratch, "nvidia-cdi-hook", &["create-symlinks", "--link", link]);
    }
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "nothing leads out");
    let output = hook(&scratch, "nvidia-cdi-hook", &["create-symlinks", "--link", "t::/usr/lib/folder"]);
    assert_eq!(output.status.code(), Some(1), "a folder is not replaced");

    succeeds(&["chmod", "--mode", "700", "--path", "/usr/lib/folder"]);
    assert_eq!(fs::metadata(root.join("usr/lib/folder")).unwrap().mode() & 0o777, 0o700);
    fs::set_permissions(&outside, fs::Permissions::from_mode(0o750)).unwrap();
    hook(&scratch, "nvidia-cdi-hook", &["chmod", "--mode", "777", "--path", "/leads-out"]);
    assert_eq!(fs::metadata(&outside).unwrap().mode() & 0o777, 0o750);

    let profile = root.join("etc/nvidia/nvidia-application-profiles-rc.d/10-container.conf");
    succeeds(&["update-application-profile"]);
    assert!(!profile.exists(), "where no node is counted, none is hidden");
    for name in ["nvidia0", "nvidia3", "nvidiactl", "nvidia-uvm", "nvidia70"] {
        scratch.write(&format!("bundle/rootfs/dev/{name}"), "");
    }
    succeeds(&["update-application-profile"]);
    assert!(fs::read_to_string(&profile).unwrap().contains("EGLVisibleDGPUDevices\",0x9]"));
    assert_eq!(fs::metadata(&profile).unwrap().mode() & 0o777, 0o444);
    // A place that cannot be written is no reason not to start.
    fs::remove_dir_all(root.join("etc/nvidia")).unwrap();
    scratch.write("bundle/rootfs/etc/nvidia", "a file");
    succeeds(&["update-application-profile"]);
    // Without the driver there is nothing to keep.
    succeeds(&["disable-device-node-modification"]);
}

#[test]
fn the_drivers_parameters_are_covered_by_a_file_that_cannot_be_written() {
    let test = "the cover of the driver's parameters";
    let Some(unshare) = program_on_path("unshare").filter(|_| nix::unistd::geteuid().is_root()) else {
        return skip(test, "needs root and unshare");
    };
    let scratch = bundle();
    hook(&scratch, "nvidia-cdi-hook", &[""]);
    // A folder of procfs stands for the driver's.
    let script = "set -e
        mount -t tmpfs none /proc/driver && mkdir /proc/driver/nvidia
        printf 'Mode: 1\\nModifyDeviceFiles: 1\\nUid: 0\\n' > /proc/driver/nvidia/params
        mkdir bundle/rootfs/proc && mount --rbind --make-rshared /proc bundle/rootfs/proc
        cd bundle/rootfs
        echo '{\"bundle\":\"'\"$PWD\"'/..\"}' | env -i ../../bin/nvidia-cdi-hook disable-device-node-modification
        cat proc/driver/nvidia/params
        grep -c . /proc/driver/nvidia/params
        grep Modify /proc/driver/nvidia/params
        ls -A proc/driver/nvidia
        (echo x > proc/driver/nvidia/params) 2>/dev/null || echo refused
        mount -o remount,bind,rw proc/driver/nvidia/params && grep -c driver/nvidia /proc/self/mountinfo";
    let mut command = Command::new(unshare);
    command.args(["--mount", "--propagation", "private", "sh", "-c", script]).current_dir(scratch.path(""));
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() && !Path::new("/proc/driver").is_dir() {
        return skip(test, "(optional) this kernel's procfs has no folder to stand in for the driver's");
    }
    assert!(output.status.success(), "{stderr}");
    let seen = String::from_utf8(output.stdout).unwrap();
    let expected = "Mode: 1 ModifyDeviceFiles: 0 Uid: 0 3 ModifyDeviceFiles: 1 params refused 1";
    assert_eq!(seen.split_whitespace().collect::<Vec<_>>().join(" "), expected, "{stderr}");
}

/// A library of a made-up driver, which says its version; and the program that asks it.
fn library(version: u32, note: Option<&str>) -> String {
    let note = note.map_or(String::new(), |json| {
        let json = json.replace('"', "\\\\\\\"");
        format!(
            "__asm__(\".pushsection .note.cuda.fwd_compatibility,\\\"a\\\",@note\\n.balign 4\\n.long 19\\n.long 2f - 1f\\n.long 1\\n\
             .asciz \\\"NVIDIA Corporation\\\"\\n.balign 4\\n1: .ascii \\\"{json}\\\"\\n2:\\n.popsection\\n\");\n"
        )
    });
    format!("{note}int version(void) {{ return {version}; }}\n")
}

const ASKS: &str = "#include <dlfcn.h>\n#include <stdio.h>\nint main(void) {\n\
    void *library = dlopen(\"libcuda.so.1\", RTLD_NOW);\n\
    if (!library) { puts(dlerror()); return 1; }\n\
    printf(\"%d\\n\", ((int (*)(void))dlsym(library, \"version\"))());\n\
    return 0;\n}\n";

fn compile(scratch: &Scratch, source: &str, to: &str, flags: &[&str]) {
    let from = scratch.write("source.c", source);
    fs::create_dir_all(scratch.path(to).parent().unwrap()).unwrap();
    succeed(Command::new("cc").arg("-o").arg(scratch.path(to)).arg(from).args(flags));
}

/// A machine with a driver of version 550, described as NVIDIA's tool does it, and a bundle of a small Debian in which a program
/// looks for the driver's library.
struct Machine {
    scratch: Scratch,
    runc: PathBuf,
}

fn machine(test: &str) -> Option<Machine> {
    let needs = ["runc", "cc", "ldconfig", "ldd", "busybox", "unshare"];
    if let Some(missing) = needs.iter().find(|name| program_on_path(name).is_none()) {
        skip(test, &format!("{missing} not on PATH"));
        return None;
    }
    if !nix::unistd::geteuid().is_root() {
        skip(test, "needs root");
        return None;
    }
    let scratch = Scratch::new();
    let shared = ["-shared", "-Wl,-soname,libcuda.so.1"];
    compile(&scratch, &library(550, None), "driver/libcuda.so.550.54.15", &shared);
    compile(&scratch, ASKS, "bundle/rootfs/bin/asks", &["-ldl"]);
    let root = scratch.path("bundle/rootfs");
    for folder in ["dev", "proc", "sys", "etc", "lib64", "lib/x86_64-linux-gnu", "sbin", "tmp"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    let needed = succeed(Command::new("ldd").arg(root.join("bin/asks")));
    for file in needed.split_whitespace().filter(|word| word.starts_with('/')) {
        let name = Path::new(file).file_name().unwrap();
        let folder = if name.to_str().unwrap().starts_with("ld-") { "lib64" } else { "lib/x86_64-linux-gnu" };
        fs::copy(file, root.join(folder).join(name)).unwrap();
    }
    fs::copy(program_on_path("busybox").unwrap(), root.join("bin/busybox")).unwrap();
    symlink("busybox", root.join("bin/sh")).unwrap();
    fs::copy(program_on_path("ldconfig").unwrap(), root.join("sbin/ldconfig")).unwrap();
    scratch.write("bundle/rootfs/etc/ld.so.conf", "/lib/x86_64-linux-gnu\ninclude /etc/ld.so.conf.d/*.conf\n");
    succeed(Command::new(program_on_path("chroot").unwrap()).arg(&root).arg("/sbin/ldconfig"));
    scratch.device_node("dev/nvidia0", (1, 5), 0o666);
    let runc = program_on_path("runc").unwrap();
    Some(Machine { scratch, runc })
}

impl Machine {
    /// Describes the driver, with the hooks of NVIDIA's tool, which the program at `hook` is to do.
    fn describe(&self, hook: &Path, config: &str) {
        let (scratch, path) = (&self.scratch, hook);
        let hook = |args: &[&str]| json!({"hookName": "createContainer", "path": path, "args": ([&["nvidia-cdi-hook"], args].concat()), "env": ["NVIDIA_CTK_DEBUG=false"]});
        let file = |name: &str| json!({"hostPath": scratch.path("driver").join(name), "containerPath": format!("{DRIVER_FOLDER}/{name}"), "options": ["ro", "nosuid", "nodev", "rbind", "rprivate"]});
        let spec = json!({
            "cdiVersion": "0.5.0", "kind": "nvidia.com/gpu",
            "devices": [{"name": "0", "containerEdits": {"deviceNodes": [{"path": "/dev/nvidia0", "hostPath": scratch.path("dev/nvidia0")}]}}],
            "containerEdits": {
                "mounts": [file("libcuda.so.550.54.15")],
                "hooks": [
                    hook(&["create-symlinks", "--link", &format!("libcuda.so.1::{DRIVER_FOLDER}/libcuda.so")]),
                    hook(&["enable-cuda-compat", "--host-driver-version=550.54.15"]),
                    hook(&["update-ldcache", "--folder", DRIVER_FOLDER]),
                    hook(&["disable-device-node-modification"]),
                    hook(&["update-application-profile"]),
                ],
            },
        });
        scratch.write("cdi/nvidia.json", &spec.to_string());
        scratch.write(
            "gpu-runc.toml",
            &format!(
                "runtimes = [{:?}]\n[log]\nsyslog = false\nfile = {:?}\n[cdi]\nspec-dirs = [{:?}]\n{config}",
                self.runc,
                scratch.path("log"),
                scratch.path("cdi")
            ),
        );
    }

    /// Runs `script` in a container that asks for the GPU, with further `mounts`, through gpu-runc.
    fn run(&self, script: &str, mounts: &[Value]) -> Output {
        let own = [
            json!({"destination": "/proc", "type": "proc", "source": "proc"}),
            json!({"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]}),
        ];
        let capabilities = json!(["CAP_MKNOD"]);
        let config = json!({
            "ociVersion": "1.0.2",
            "process": {"user": {"uid": 0, "gid": 0}, "args": ["/bin/sh", "-c", script], "cwd": "/",
                "env": ["PATH=/bin:/sbin", "NVIDIA_VISIBLE_DEVICES=0", "LD_PRELOAD=/lib/evil.so", "LD_LIBRARY_PATH=/lib/evil"],
                "capabilities": {"bounding": capabilities, "effective": capabilities, "permitted": capabilities}},
            "root": {"path": "rootfs"},
            "mounts": ([&own[..], mounts].concat()),
            "linux": {"namespaces": [{"type": "mount"}, {"type": "pid"}, {"type": "ipc"}, {"type": "uts"}]},
        });
        self.scratch.write("bundle/config.json", &config.to_string());
        // crun refuses a machine with both versions of cgroups.
        let one = "if mountpoint -q /sys/fs/cgroup/unified; then umount /sys/fs/cgroup/unified; fi; exec \"$@\"";
        let mut command = Command::new(program_on_path("unshare").unwrap());
        command.args(["--mount", "--propagation", "private", "sh", "-c", one, "sh", GPU_RUNC]);
        command.env("GPU_RUNC_CONFIG", self.scratch.path("gpu-runc.toml")).current_dir(self.scratch.path("bundle"));
        // The scratch folder's own name is as random as it gets.
        let name = self.scratch.path("").file_name().unwrap().to_str().unwrap().replace('.', "");
        command.arg("--root").arg(self.scratch.path("state")).args(["run", &name]).output().unwrap()
    }

    fn prints(&self, script: &str, mounts: &[Value]) -> String {
        let output = self.run(script, mounts);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{script}: {}{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    }

    fn hooks(&self) -> Vec<Value> {
        let config: Value = serde_json::from_str(&self.scratch.read("bundle/config.json")).unwrap();
        config.pointer("/hooks/createContainer").and_then(Value::as_array).cloned().unwrap_or_default()
    }

    /// A hook that leaves a mark.
    fn marking(&self) -> PathBuf {
        self.scratch.program("bin/marks", &format!("#!/bin/sh\ncat >/dev/null\ntouch {}\n", self.scratch.text("mark")))
    }

    fn preload(&self) -> PathBuf {
        let mark = self.scratch.path("preloaded");
        let source = format!(
            "#include <fcntl.h>\n__attribute__((constructor)) void f(void) {{ open({mark:?}, O_CREAT, 0600); }}\n"
        );
        compile(&self.scratch, &source, "bundle/rootfs/lib/evil.so", &["-shared"]);
        mark
    }
}

#[test]
fn the_hooks_of_a_vendors_file_are_done_without_them() {
    let Some(machine) = machine("hooks done without them") else { return };
    machine.describe(&machine.marking(), "");
    let seen = machine
        .prints("LD_PRELOAD= asks; LD_PRELOAD= ldconfig && LD_PRELOAD= asks; ldconfig -p | busybox grep cuda", &[]);
    let lines: Vec<&str> = seen.lines().map(str::trim).collect();
    assert_eq!(lines[..2], ["550", "550"]);
    assert!(
        lines[2..].iter().any(|line| line.ends_with("libcuda.so.1 (libc6,x86-64) => /usr/lib64/libcuda.so.1")),
        "{seen}"
    );
    assert_eq!(machine.hooks(), Vec::<Value>::new());
    assert!(!machine.scratch.path("mark").exists(), "a hook was run");
    let root = machine.scratch.path("bundle/rootfs");
    for (link, target) in [("libcuda.so", "libcuda.so.1"), ("libcuda.so.1", "libcuda.so.550.54.15")] {
        assert_eq!(fs::read_link(root.join("usr/lib64").join(link)).unwrap(), Path::new(target), "{link}");
    }
    let profile = "etc/nvidia/nvidia-application-profiles-rc.d/10-container.conf";
    assert!(fs::read_to_string(root.join(profile)).unwrap().contains("0x1]"));

    machine.describe(&machine.marking(), "[inject]\nhooks = \"keep\"\n");
    machine.run("true", &[]);
    assert_eq!(machine.hooks().len(), 5, "as they are written");
    assert!(machine.scratch.path("mark").exists());
}

#[test]
fn where_a_mount_hides_the_place_a_file_is_mounted_over_it() {
    let Some(machine) = machine("files mounted over hidden places") else { return };
    machine.describe(&machine.marking(), "");
    let preloaded = machine.preload();
    let etc = machine.scratch.path("etc");
    succeed(Command::new("cp").arg("-a").arg(machine.scratch.path("bundle/rootfs/etc")).arg(&etc));
    let before = crate::volumes::contents(&etc);
    let mount =
        |option: &str| json!({"destination": "/etc", "type": "bind", "source": etc, "options": ["rbind", option]});
    for option in ["rw", "ro"] {
        assert_eq!(machine.prints("LD_PRELOAD= asks", &[mount(option)]).trim(), "550", "{option}");
        assert_eq!(crate::volumes::contents(&etc), before, "{option}: nothing is written through a mount");
        assert_eq!(machine.hooks(), Vec::<Value>::new());
        let prepared = machine.scratch.path("bundle/gpu-runc-ld.so.cache");
        assert_eq!(fs::metadata(&prepared).unwrap().mode() & 0o777, 0o644);
        let config: Value = serde_json::from_str(&machine.scratch.read("bundle/config.json")).unwrap();
        let over = config["mounts"].as_array().unwrap().iter().find(|mount| mount["destination"] == "/etc/ld.so.cache");
        let options = json!(["bind", "ro", "nosuid", "nodev", "noexec", "rprivate"]);
        let expected =
            json!({"destination": "/etc/ld.so.cache", "type": "bind", "source": prepared, "options": options});
        assert_eq!(over, Some(&expected), "{option}");
    }
    assert!(!machine.scratch.path("bundle/rootfs/etc/ld.so.conf.d").exists(), "what is hidden is not written");
    assert!(!machine.scratch.path("mark").exists(), "a hook was run");
    assert!(!preloaded.exists(), "a library of the image was loaded on the machine");

    // A directory of libraries that is hidden is no place for links: they are mounts then, where the directory has files for these.
    let libraries = machine.scratch.path("libraries");
    fs::create_dir(&libraries).unwrap();
    for name in ["libcuda.so.1", "libcuda.so.550.54.15"] {
        fs::write(libraries.join(name), "").unwrap();
    }
    let before = crate::volumes::contents(&libraries);
    let mount = |option: &str| json!({"destination": DRIVER_FOLDER, "type": "bind", "source": libraries, "options": ["rbind", option]});
    for option in ["rw", "ro"] {
        let seen = machine.prints("LD_PRELOAD= asks; ls /usr/lib64", &[mount(option)]);
        let expected = ["550", "libcuda.so.1", "libcuda.so.550.54.15"];
        assert_eq!(seen.split_whitespace().collect::<Vec<_>>(), expected, "{option}");
        assert_eq!(crate::volumes::contents(&libraries), before, "{option}");
    }
    let config: Value = serde_json::from_str(&machine.scratch.read("bundle/config.json")).unwrap();
    let places: Vec<_> =
        config["mounts"].as_array().unwrap().iter().map(|mount| mount["destination"].as_str().unwrap()).collect();
    for (name, is_mounted) in [("libcuda.so", false), ("libcuda.so.1", true), ("libcuda.so.550.54.15", true)] {
        assert_eq!(places.contains(&format!("{DRIVER_FOLDER}/{name}").as_str()), is_mounted, "{name}: {places:?}");
    }
}

#[test]
fn a_hook_cannot_be_traced_by_the_containers_processes() {
    if !nix::unistd::geteuid().is_root() {
        return skip("a hook that cannot be traced", "needs root");
    }
    let scratch = bundle();
    fs::set_permissions(scratch.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    // Not by its mode: everybody can read this one.
    let program = scratch.path("nvidia-cdi-hook");
    fs::copy(GPU_RUNC, &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(&program);
    command.arg("params").uid(1000).gid(1000).stdin(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // The kernel gives the files of a process that cannot be traced to root.
    let owner = || fs::metadata(format!("/proc/{}/environ", child.id())).unwrap().uid();
    let is_root = (0..100).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        owner() == 0
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(is_root, "it waits for its state, and others of its user can trace it");
}

#[test]
fn an_images_newer_libraries_come_first_where_they_say_that_they_can() {
    let Some(machine) = machine("forward compatibility") else { return };
    machine.describe(&machine.marking(), "");
    let root = machine.scratch.path("bundle/rootfs");
    fs::create_dir_all(root.join("usr/local/cuda-12.9/compat")).unwrap();
    symlink("cuda-12.9", root.join("usr/local/cuda")).unwrap();
    let library_of_image = "bundle/rootfs/usr/local/cuda-12.9/compat/libcuda.so.575.57.08";
    let shared = ["-shared", "-Wl,-soname,libcuda.so.1"];
    let (works, does_not) =
        (r#"{"CUDA Version":"12.9","Driver":[535,550,575]}"#, r#"{"CUDA Version":"12.9","Driver":[535,575]}"#);
    for (note, expected) in [(Some(does_not), "550"), (None, "575"), (Some("{"), "550"), (Some(works), "575")] {
        compile(&machine.scratch, &library(575, note), library_of_image, &shared);
        let drop_in = || fs::read_to_string(root.join("etc/ld.so.conf.d/00-gpu-runc.conf")).unwrap();
        let script = "LD_PRELOAD= asks; LD_PRELOAD= ldconfig; LD_PRELOAD= asks";
        assert_eq!(
            machine.prints(script, &[]).split_whitespace().collect::<Vec<_>>(),
            [expected, expected],
            "{note:?}"
        );
        let compat = "/usr/local/cuda-12.9/compat\n";
        assert_eq!(drop_in().contains(compat), expected == "575", "{note:?}");
        assert!(drop_in().ends_with("/usr/lib64\n"));
        // As for another start, from the image's own cache.
        succeed(Command::new("rm").arg("-r").arg(root.join("etc/ld.so.conf.d")));
        succeed(Command::new(program_on_path("chroot").unwrap()).arg(&root).arg("/sbin/ldconfig"));
    }
}

#[test]
fn hooks_that_run_one_after_the_other_do_what_they_do_at_once() {
    if program_on_path("cc").is_none() {
        return skip("one hook after the other", "cc not on PATH");
    }
    let scratch = bundle();
    let root = scratch.path("bundle/rootfs");
    scratch.write("bundle/rootfs/lib64/ld-linux-x86-64.so.2", "");
    let shared = ["-shared", "-Wl,-soname,libcuda.so.1"];
    compile(&scratch, &library(550, None), "bundle/rootfs/usr/lib64/libcuda.so.550.54.15", &shared);
    compile(&scratch, &library(570, None), "bundle/rootfs/usr/local/cuda/compat/libcuda.so.570.1.1", &shared);
    let found_after = |hooks: &[&[&str]]| {
        for args in hooks {
            let output = hook(&scratch, "nvidia-cdi-hook", args);
            assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        let cache = fs::read(root.join("etc/ld.so.cache")).unwrap();
        let libraries = gpu_runc::ldcache::Cache::parse(&cache).unwrap().libraries;
        libraries.iter().find(|library| library.name == "libcuda.so.1").map(|library| library.path.to_string())
    };
    const FOLDER: &[&str] = &["update-ldcache", "--folder", DRIVER_FOLDER];
    let compat = |version: &'static str| ["enable-cuda-compat", "--host-driver-version", version];
    let (of_image, of_machine) = ("/usr/local/cuda/compat/libcuda.so.1", "/usr/lib64/libcuda.so.1");
    for (hooks, found) in [
        (&[FOLDER][..], of_machine),
        (&[&compat("550.54.15"), FOLDER], of_image),
        // Once more changes nothing.
        (&[FOLDER], of_image),
        // The same root on a machine with a later driver.
        (&[&compat("580.1.1"), FOLDER], of_machine),
        (&[FOLDER], of_machine),
    ] {
        assert_eq!(found_after(hooks).as_deref(), Some(found), "{hooks:?}");
    }
}

#[test]
fn the_low_level_runtimes_start_gpu_runc_under_a_vendors_name() {
    let Some(mut machine) = machine("a vendor's name") else { return };
    for runtime in ["runc", "crun"] {
        let Some(program) = program_on_path(runtime) else {
            return skip("a vendor's name", &format!("{runtime} not on PATH"));
        };
        machine.runc = program;
        let cdi_hook = machine.scratch.path("bin/nvidia-cdi-hook");
        fs::create_dir_all(machine.scratch.path("bin")).unwrap();
        let _ = symlink(GPU_RUNC, &cdi_hook);
        machine.describe(&cdi_hook, "[inject]\nhooks = \"keep\"\n");
        let preloaded = machine.preload();
        assert_eq!(machine.prints("LD_PRELOAD= asks", &[]).trim(), "550", "{runtime}");
        assert_eq!(machine.hooks().len(), 5, "{runtime}");
        assert!(!preloaded.exists(), "{runtime}: a library of the image was loaded on the machine");
        let root = machine.scratch.path("bundle/rootfs");
        assert_eq!(fs::read_link(root.join("usr/lib64/libcuda.so.1")).unwrap(), Path::new("libcuda.so.550.54.15"));
        fs::remove_dir_all(root.join("usr/lib64")).unwrap();
        fs::remove_dir_all(root.join("etc/nvidia")).unwrap();
    }
}

#[test]
fn real_notes_of_cudas_libraries_are_judged_as_by_nvidias_toolkit() {
    let Some(fixtures) = crate::fixtures::fixtures("nvidia/compat") else { return };
    let of = |version: &str| format!("{version}/libcuda.so.{version}");
    let (old, new) = (of("575.57.08"), of("590.44.01"));
    let orin = "libcuda.orin.13.2.1.so.1.1".to_owned();
    for (file, version, flag, comes_first) in [
        (&old, "575.57.08", "--host-driver-version=570.211.01", true),
        (&old, "575.57.08", "--host-driver-version=575.10.10", true),
        (&old, "575.57.08", "--host-driver-version=575.57.08", false),
        (&old, "575.57.08", "--host-driver-version=590.44.01", false),
        (&old, "575.57.08", "--host-driver-version=545.23.08", false),
        (&old, "575.57.08", "--host-cuda-version=12.8", true),
        (&old, "575.57.08", "--host-cuda-version=12.9", false),
        (&new, "590.44.01", "--host-driver-version=580.65.06", true),
        (&new, "590.44.01", "--host-driver-version=560.35.03", false),
        (&orin, "1.1", "--host-cuda-version=13.1", true),
        (&orin, "1.1", "--host-cuda-version=13.2", false),
        (&"libcuda.invalid.json.so.99.88".to_owned(), "99.88", "--host-cuda-version=13.1", false),
    ] {
        let scratch = bundle();
        let root = scratch.path("bundle/rootfs");
        scratch.write("bundle/rootfs/lib64/ld-linux-x86-64.so.2", "");
        fs::create_dir_all(root.join("usr/local/cuda/compat")).unwrap();
        fs::copy(fixtures.join(file), root.join("usr/local/cuda/compat").join(format!("libcuda.so.{version}")))
            .unwrap();
        let output = hook(&scratch, "nvidia-cdi-hook", &["enable-cuda-compat", flag]);
        assert!(output.status.success(), "{output:?}");
        let drop_in = scratch.read("bundle/rootfs/etc/ld.so.conf.d/00-gpu-runc.conf");
        assert_eq!(drop_in.contains("/usr/local/cuda/compat\n"), comes_first, "{file} {flag}: {drop_in}");
    }
}
