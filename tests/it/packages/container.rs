//! A host with packages of the driver, the same Debian without them as a container's image, and what runs in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::hosts::{ctk, put, start};
use crate::layouts::load;
use crate::scratch::{program_on_path, skip, succeed};

const GPU_RUNC: &str = env!("CARGO_BIN_EXE_gpu-runc");

/// A root of hack/driver-roots: copies of it, of which the host has the kernel side too and the image no driver.
pub(super) struct Image {
    /// The name of the root.
    pub name: String,
    host: TempDir,
    root: PathBuf,
    mounts: Vec<(String, String)>,
}

impl Image {
    /// Makes the host. `None`, recorded as skipped, where this test may not.
    pub(super) fn of(test: &str, root: &Path) -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            skip(test, "needs root");
            return None;
        }
        // Links to the files of the root: nothing is written to these, only beside them.
        let host = tempfile::Builder::new().prefix(".host-").tempdir_in(root.parent().unwrap()).unwrap();
        link_all(root, host.path());
        let mut image = Image {
            name: root.file_name().unwrap().to_str().unwrap().to_owned(),
            host,
            root: root.to_owned(),
            mounts: Vec::new(),
        };
        load(image.host.path(), &image.version());
        let env = ["NVIDIA_VISIBLE_DEVICES=0", "NVIDIA_DRIVER_CAPABILITIES=all"];
        let config = json!({"ociVersion": "1.2.0", "process": {"env": env, "user": {"uid": 0, "gid": 0}}, "linux": {}});
        let container = start(image.host.path(), &config).unwrap_or_else(|error| panic!("{}: {error}", image.name));
        let prefix = image.host.path().to_str().unwrap().to_owned();
        let pair = |mount: &Value| {
            let source = mount["source"].as_str().unwrap().strip_prefix(&prefix).unwrap().to_owned();
            (mount["destination"].as_str().unwrap().to_owned(), source)
        };
        image.mounts = container["mounts"].as_array().unwrap().iter().map(pair).collect();
        Some(image)
    }

    /// Places in the container and the paths of the host that are there.
    pub(super) fn mounts(&self) -> Vec<(String, PathBuf)> {
        self.mounts.iter().map(|(place, source)| (place.clone(), PathBuf::from(source))).collect()
    }

    /// The path without links, all below the root. `None` for one that leads nowhere, and for a directory.
    pub(super) fn real(&self, path: &Path) -> Option<PathBuf> {
        let host = gpu_runc::host::Host::open(&self.root).unwrap();
        host.target(path).unwrap().map(|found| found.path)
    }

    /// What the doctor says of the host's driver.
    pub(super) fn diagnosis(&self) -> (String, String) {
        let output = ctk(self.host.path(), &["doctor", "--json"]);
        let findings: Value = serde_json::from_slice(&output.stdout).unwrap();
        let driver = findings.as_array().unwrap().iter().find(|finding| finding["id"] == "driver").unwrap();
        let member = |name: &str| driver[name].as_str().unwrap().to_owned();
        (member("level"), member("what"))
    }

    /// Takes files away from the host.
    pub(super) fn remove(&self, pattern: &str) {
        let host = gpu_runc::host::Host::open(self.host.path()).unwrap();
        let files = host.matching(Path::new(pattern)).unwrap();
        assert!(!files.is_empty(), "{pattern}");
        files.iter().for_each(|file| fs::remove_file(self.host.path().join(file.strip_prefix("/").unwrap())).unwrap());
    }

    /// The libraries below this directory, as programs look for them.
    pub(super) fn libraries(&self, folder: &str) -> Vec<String> {
        let folder = format!("/usr/lib/{folder}/");
        let places = self.mounts.iter().map(|(place, _)| place.as_str()).filter(|place| place.starts_with(&folder));
        // What ldconfig lists, by its name; modules and names with the whole version by their paths.
        let is_listed = |place: &str| {
            let name = place.rsplit('/').next().unwrap();
            let version = name.split_once(".so").unwrap().1;
            !version.contains(&self.version()) && !place.contains("/gbm/") && !place.contains("/vdpau/")
        };
        let name = |place: &str| if is_listed(place) { place.rsplit('/').next().unwrap() } else { place }.to_owned();
        places.filter(|place| place.contains(".so")).map(name).collect()
    }

    /// The files and links of the packages, as the package manager lists them.
    pub(super) fn files_of_packages(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for list in fs::read_dir(self.root.join("var/lib/dpkg/info")).unwrap().map(|entry| entry.unwrap().path()) {
            let name = list.file_name().unwrap().to_str().unwrap().to_owned();
            let is_driver = ["nvidia", "libcuda1", "libnvcuvid1", "libnvoptix1"].iter().any(|part| name.contains(part));
            if name.ends_with(".list") && is_driver {
                let text = fs::read_to_string(&list).unwrap();
                files.extend(text.lines().map(PathBuf::from).filter(|path| self.is_file(path)));
            }
        }
        files.sort();
        files.dedup();
        files
    }

    fn is_file(&self, path: &Path) -> bool {
        let path = self.root.join(path.strip_prefix("/").unwrap());
        // Some links to directories, such as /lib, belong to every package that has a file there.
        fs::symlink_metadata(&path).is_ok_and(|found| !found.is_dir()) && !path.is_dir()
    }

    /// The version of the driver of the packages.
    fn version(&self) -> String {
        let installed = self.root.join("usr/lib/x86_64-linux-gnu/libcuda.so.1");
        assert!(fs::symlink_metadata(installed).is_ok(), "{}: update-alternatives has not run", self.name);
        let real = self.real(Path::new("/usr/lib/x86_64-linux-gnu/libcuda.so.1")).unwrap();
        real.to_str().unwrap().rsplit_once(".so.").unwrap().1.to_owned()
    }
}

/// A container of the image, with the driver of the host.
pub(super) struct Container<'a> {
    image: &'a Image,
    bundle: TempDir,
    runc: PathBuf,
}

impl<'a> Container<'a> {
    /// Takes the driver out of a copy of the root. `None`, recorded as skipped, where no container can be started.
    pub(super) fn new(image: &'a Image) -> Option<Self> {
        let test = format!("containers with the driver of {}", image.name);
        let needs = ["runc", "cc", "unshare", "chroot"];
        if let Some(missing) = needs.iter().find(|name| program_on_path(name).is_none()) {
            skip(&test, &format!("{missing} not on PATH"));
            return None;
        }
        let directory = image.root.parent().unwrap();
        let bundle = tempfile::Builder::new().prefix(".bundle-").tempdir_in(directory).unwrap();
        let rootfs = bundle.path().join("rootfs");
        link_all(&image.root, &rootfs);
        for file in image.files_of_packages() {
            let _ = fs::remove_file(rootfs.join(file.strip_prefix("/").unwrap()));
        }
        let alternatives =
            succeed(Command::new("find").arg(&rootfs).args(["-type", "l", "-lname", "/etc/alternatives/*nvidia*"]));
        for link in alternatives.lines() {
            fs::remove_file(link).unwrap();
        }
        succeed(Command::new(program_on_path("chroot").unwrap()).arg(&rootfs).arg("/sbin/ldconfig"));
        Some(Container { image, bundle, runc: program_on_path("runc").unwrap() })
    }

    /// Compiles `source` for this image; returns its path there.
    pub(super) fn compile(&self, source: &str, name: &str, bits: u32, folder: &str, loader: &str) -> String {
        let (program, text) = (format!("/{name}-{bits}"), self.bundle.path().join(format!("{name}.c")));
        fs::write(&text, source).unwrap();
        let root = self.bundle.path().join("rootfs");
        let mut command = Command::new("cc");
        command.arg(format!("-m{bits}")).args([
            "-w",
            "-nostdlib",
            "-fno-stack-protector",
            "-fno-pie",
            "-no-pie",
            "-Wl,--allow-shlib-undefined",
            "-o",
        ]);
        command.arg(root.join(program.trim_start_matches('/'))).arg(&text);
        command.arg(root.join("usr/lib").join(folder).join("libc.so.6"));
        // Before glibc 2.34 this was a library of its own.
        let old = root.join("usr/lib").join(folder).join("libdl.so.2");
        command.args(old.is_file().then_some(old));
        succeed(command.arg(format!("-Wl,--dynamic-linker=/{loader}")));
        program
    }

    /// What the program prints in a container that asks for the GPU, through gpu-runc and runc.
    pub(super) fn run(&self, program: &str, args: &[String], env: &[&str]) -> String {
        let args: Vec<&str> = std::iter::once(program).chain(args.iter().map(String::as_str)).collect();
        let own = ["PATH=/usr/bin:/bin", "NVIDIA_VISIBLE_DEVICES=0", "NVIDIA_DRIVER_CAPABILITIES=all"];
        let config = json!({
            "ociVersion": "1.0.2",
            "process": {"user": {"uid": 0, "gid": 0}, "args": args, "cwd": "/", "env": ([&own[..], env].concat())},
            "root": {"path": "rootfs"},
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            ],
            "linux": {"namespaces": [{"type": "mount"}, {"type": "pid"}, {"type": "ipc"}, {"type": "uts"}]},
        });
        put(self.bundle.path(), "config.json", &config.to_string());
        let config = fs::read_to_string(self.image.host.path().join("gpu-runc.toml")).unwrap();
        put(self.bundle.path(), "gpu-runc.toml", &config.replace("\"/bin/true\"", &format!("{:?}", self.runc)));
        let one = "if mountpoint -q /sys/fs/cgroup/unified; then umount /sys/fs/cgroup/unified; fi; exec \"$@\"";
        let mut command = Command::new(program_on_path("unshare").unwrap());
        command.args(["--mount", "--propagation", "private", "sh", "-c", one, "sh", GPU_RUNC]);
        command.env("GPU_RUNC_CONFIG", self.bundle.path().join("gpu-runc.toml")).current_dir(self.bundle.path());
        let name = self.bundle.path().file_name().unwrap().to_str().unwrap().replace('.', "");
        let output = command.arg("--root").arg(self.bundle.path().join("state")).args(["run", &name]).output().unwrap();
        [output.stdout, output.stderr].iter().map(|bytes| String::from_utf8_lossy(bytes)).collect::<Vec<_>>().join("\n")
    }
}

/// Makes `to` a copy of the directory `from` whose files are the same ones.
fn link_all(from: &Path, to: &Path) {
    let mut inside = from.as_os_str().to_owned();
    inside.push("/.");
    fs::create_dir_all(to).unwrap();
    succeed(Command::new("cp").args(["-al"]).arg(inside).arg(to));
}
