//! Roots of containers that mean harm, or cannot be written: a start goes on, and nothing outside changes.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::scratch::{Scratch, program_on_path, skip};

const LIBRARY: &str = "libcuda.so.550.54.15";
const FOLDER: &str = "/usr/lib64";

/// A machine with a driver of one library, whose container's root has a linker, and a folder outside that must not change.
fn machine() -> Scratch {
    let scratch = Scratch::new();
    scratch.write(&format!("driver/{LIBRARY}"), "a library");
    scratch.write("outside/secret", "s");
    for folder in ["etc", "lib64", "usr"] {
        fs::create_dir_all(scratch.path("rootfs").join(folder)).unwrap();
    }
    scratch.write("rootfs/lib64/ld-linux-x86-64.so.2", "");
    let hook = |args: &[&str]| json!({"hookName": "createContainer", "path": "/usr/bin/nvidia-cdi-hook", "args": ([&["nvidia-cdi-hook"], args].concat())});
    let spec = json!({
        "cdiVersion": "0.5.0", "kind": "nvidia.com/gpu",
        "devices": [{"name": "0", "containerEdits": {"env": ["A=b"]}}],
        "containerEdits": {
            "mounts": [{"hostPath": scratch.path("driver").join(LIBRARY), "containerPath": format!("{FOLDER}/{LIBRARY}"), "options": ["ro", "rbind"]}],
            "hooks": [
                hook(&["create-symlinks", "--link", &format!("{LIBRARY}::{FOLDER}/libcuda.so.1"), "--link", "t::/opt/of/the/file"]),
                hook(&["update-ldcache", "--folder", FOLDER]),
                hook(&["enable-cuda-compat", "--host-driver-version=550.54.15"]),
                hook(&["update-application-profile"]),
                hook(&["chmod", "--mode", "700", "--path", "/usr"]),
            ],
        },
    });
    scratch.write("cdi/nvidia.json", &spec.to_string());
    scratch.write(
        "gpu-runc.toml",
        &format!(
            "runtimes = [\"/bin/true\"]\n[log]\nsyslog = false\nfile = {:?}\n[cdi]\nspec-dirs = [{:?}]\n",
            scratch.path("log"),
            scratch.path("cdi")
        ),
    );
    scratch
}

/// Starts a container in the root, in a mount namespace that `setup` has made. Returns the places of its mounts, or what was said.
fn start(scratch: &Scratch, setup: &str) -> Result<Vec<String>, String> {
    let config = json!({"ociVersion": "1.0.2", "process": {"env": ["NVIDIA_VISIBLE_DEVICES=0"]}, "root": {"path": "rootfs"}, "linux": {}});
    scratch.write("config.json", &config.to_string());
    let script = format!("set -e\n{setup}\nexec {} create c", env!("CARGO_BIN_EXE_gpu-runc"));
    let mut command = Command::new(program_on_path("unshare").unwrap());
    command.args(["--mount", "--propagation", "private", "timeout", "60", "sh", "-c", &script]);
    let output =
        command.env("GPU_RUNC_CONFIG", scratch.path("gpu-runc.toml")).current_dir(scratch.path("")).output().unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let config: Value = serde_json::from_str(&scratch.read("config.json")).unwrap();
    let mounts = config["mounts"].as_array().cloned().unwrap_or_default();
    for mount in &mounts {
        let source = Path::new(mount["source"].as_str().unwrap());
        assert!(source.starts_with(scratch.path("driver")), "{mount} is of something else than the driver");
    }
    Ok(mounts.iter().map(|mount| mount["destination"].as_str().unwrap().to_owned()).collect())
}

fn is_able(test: &str) -> bool {
    let able = nix::unistd::geteuid().is_root() && program_on_path("unshare").is_some();
    if !able {
        skip(test, "needs root and unshare");
    }
    able
}

#[test]
fn a_root_that_cannot_be_written_starts_all_the_same() {
    if !is_able("roots that cannot be written") {
        return;
    }
    let (library, link) = (format!("{FOLDER}/{LIBRARY}"), format!("{FOLDER}/libcuda.so.1"));
    let with_chattr = program_on_path("chattr").is_some();
    for (what, setup, places) in [
        ("as usual", "", vec![&library]),
        ("read-only", "mount --bind rootfs rootfs && mount -o remount,bind,ro rootfs", vec![&library, &link]),
        (
            "full",
            "mkdir copy && cp -a rootfs/. copy && mount -t tmpfs -o size=64k tmpfs rootfs && cp -a copy/. rootfs && \
             (dd if=/dev/zero of=rootfs/filler bs=1k 2>/dev/null || true)",
            vec![&library],
        ),
        (
            "without names left",
            "mkdir copy && cp -a rootfs/. copy && mount -t tmpfs -o nr_inodes=6 tmpfs rootfs && cp -a copy/. rootfs",
            vec![&library, &link],
        ),
        ("immutable", "chattr +i rootfs/etc rootfs/usr 2>/dev/null || exit 77", vec![&library, &link]),
    ] {
        if what == "immutable" && !with_chattr {
            continue;
        }
        let scratch = machine();
        let started = start(&scratch, setup);
        if with_chattr {
            let all = ["etc", "usr"].map(|folder| scratch.path("rootfs").join(folder));
            let _ = Command::new("chattr").arg("-i").args(all).stderr(std::process::Stdio::null()).status();
        }
        if what == "immutable" && started.is_err() {
            skip("an immutable root", "(optional) this file system knows no such flag");
            continue;
        }
        assert_eq!(started.unwrap().iter().collect::<Vec<_>>(), places, "{what}");
        let log = scratch.read("log");
        assert_eq!(log.contains("WARN"), what != "as usual", "{what}: {log}");
        assert!(log.contains("grant container=c"), "{what}: {log}");
    }
}

#[test]
fn a_root_that_means_harm_reaches_nothing_outside() {
    if !is_able("roots that mean harm") {
        return;
    }
    type Attack = (&'static str, fn(&Path, &Path));
    let attacks: [Attack; 13] = [
        ("links to the outside in place of folders", |root, outside| {
            for name in ["etc", "usr"] {
                fs::remove_dir(root.join(name)).unwrap();
                symlink(outside, root.join(name)).unwrap();
            }
        }),
        ("links that climb", |root, _| symlink("../../../../../outside", root.join("usr/lib64")).unwrap()),
        ("links to the machine", |root, _| symlink("/", root.join("usr/lib64")).unwrap()),
        ("magic links", |root, _| symlink("/proc/self/root/tmp", root.join("usr/lib64")).unwrap()),
        ("a circle", |root, _| symlink("lib64", root.join("usr/lib64")).unwrap()),
        ("a file in place of a folder", |root, _| fs::write(root.join("usr/lib64"), "").unwrap()),
        ("a pipe in place of a folder", |root, _| {
            nix::unistd::mkfifo(&root.join("usr/lib64"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        }),
        ("a pipe in place of the cache", |root, _| {
            nix::unistd::mkfifo(&root.join("etc/ld.so.cache"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        }),
        ("a terminal's device in place of the cache", |root, _| {
            let kind = nix::sys::stat::SFlag::S_IFCHR;
            let number = nix::sys::stat::makedev(5, 0);
            nix::sys::stat::mknod(&root.join("etc/ld.so.cache"), kind, nix::sys::stat::Mode::S_IRWXU, number).unwrap();
        }),
        ("disks that no driver has in place of the cache and of the image's library", |root, _| {
            fs::create_dir_all(root.join("usr/local/cuda/compat")).unwrap();
            for name in ["etc/ld.so.cache", "usr/local/cuda/compat/libcuda.so.575.57.08"] {
                let (kind, mode) = (nix::sys::stat::SFlag::S_IFBLK, nix::sys::stat::Mode::S_IRWXU);
                nix::sys::stat::mknod(&root.join(name), kind, mode, nix::sys::stat::makedev(240, 0xfffff)).unwrap();
            }
        }),
        ("a gigabyte of nothing as the image's library", |root, _| {
            fs::create_dir_all(root.join("usr/local/cuda/compat")).unwrap();
            let file = fs::File::create(root.join("usr/local/cuda/compat/libcuda.so.575.57.08")).unwrap();
            file.set_len(1 << 30).unwrap();
        }),
        ("a library that lies", |root, outside| {
            fs::create_dir_all(root.join("usr/local/cuda")).unwrap();
            symlink(outside, root.join("usr/local/cuda/compat")).unwrap();
            let header = [&b"\x7fELF\x02\x01"[..], &[0xff; 58]].concat();
            fs::write(outside.join("libcuda.so.575.57.08"), header).unwrap();
        }),
        ("a folder in place of what is written", |root, _| {
            fs::create_dir_all(root.join("etc/ld.so.conf.d/00-gpu-runc.conf/x")).unwrap();
            fs::create_dir_all(root.join("usr/lib64/libcuda.so.1")).unwrap();
        }),
    ];
    let state = |folder: &Path| {
        let names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        (names, fs::read_to_string(folder.join("secret")).unwrap(), fs::metadata(folder).unwrap().permissions())
    };
    for (what, attack) in attacks {
        let scratch = machine();
        let outside = scratch.path("outside");
        attack(&scratch.path("rootfs"), &outside);
        let before = state(&outside);
        let places = start(&scratch, "").unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(places[0], format!("{FOLDER}/{LIBRARY}"), "{what}");
        assert_eq!(state(&outside), before, "{what}");
        assert!(!Path::new("/libcuda.so.1").exists() && !Path::new("/tmp/libcuda.so.1").exists(), "{what}");
    }
}
