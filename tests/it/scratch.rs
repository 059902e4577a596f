//! Scratch folders of the tests: files, device nodes, a root file system, an image; and saying out loud what was skipped.
//!
//! Touches nothing outside the folder that it makes, which goes when the value goes.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use serde_json::json;
use tempfile::TempDir;

/// A folder that is removed when the test ends, also when it fails.
#[derive(Debug)]
pub(crate) struct Scratch(TempDir);

impl Scratch {
    pub(crate) fn new() -> Self {
        Scratch(tempfile::tempdir().unwrap())
    }

    /// One in memory, as `/run` is, where there is such a place.
    pub(crate) fn in_memory() -> Self {
        let memory = Path::new("/dev/shm");
        Scratch(if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The same as text, for command lines and configuration files.
    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).into_os_string().into_string().unwrap()
    }

    pub(crate) fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn program(&self, name: &str, script: &str) -> PathBuf {
        let path = self.write(name, script);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// What the file holds; nothing when it is not there.
    pub(crate) fn read(&self, name: &str) -> String {
        fs::read(self.path(name)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// A character device of these numbers and this mode. Needs `CAP_MKNOD`.
    pub(crate) fn device_node(&self, name: &str, (major, minor): (u64, u64), mode: u32) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        mknod(&path, SFlag::S_IFCHR, Mode::empty(), makedev(major, minor)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    /// A root file system of one static busybox and a link for each of its programs.
    pub(crate) fn rootfs(&self, name: &str, busybox: &Path) -> PathBuf {
        let root = self.path(name);
        for folder in ["bin", "dev", "etc", "proc", "root", "run", "sys", "tmp", "usr/lib", "var/run"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        fs::copy(busybox, root.join("bin/busybox")).unwrap();
        let programs = succeed(Command::new(busybox).arg("--list"));
        for program in programs.lines().filter(|program| *program != "busybox") {
            symlink("busybox", root.join("bin").join(program)).unwrap();
        }
        root
    }

    /// `rootfs` as an archive that `docker load`, `podman load` and `ctr images import` understand, called `image`. What it runs of itself only
    /// waits, as a pod's pause container does.
    pub(crate) fn image(&self, image: &str, rootfs: &Path) -> PathBuf {
        let (folder, archive) = (self.path("image"), self.path("image.tar"));
        fs::create_dir(&folder).unwrap();
        succeed(Command::new("tar").arg("-C").arg(rootfs).arg("-cf").arg(folder.join("layer.tar")).arg("."));
        let sum = succeed(Command::new("sha256sum").arg(folder.join("layer.tar")));
        let layer = format!("sha256:{}", sum.split(' ').next().unwrap());
        let config = json!({
            "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
            "os": "linux",
            "config": { "Env": ["PATH=/bin"], "Cmd": ["sleep", "86400"] },
            "rootfs": { "type": "layers", "diff_ids": [layer] },
        });
        let manifest = json!([{ "Config": "config.json", "RepoTags": [image], "Layers": ["layer.tar"] }]);
        self.write("image/config.json", &config.to_string());
        self.write("image/manifest.json", &manifest.to_string());
        succeed(Command::new("tar").arg("-C").arg(&folder).arg("-cf").arg(&archive).args([
            "manifest.json",
            "config.json",
            "layer.tar",
        ]));
        archive
    }
}

/// Runs to the end and returns what was printed; a failure of such a tool is a failure of the test.
pub(crate) fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The absolute path of a program, as a shell of root would find it.
pub(crate) fn program_on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    path.split(':').map(|folder| Path::new(folder).join(name)).find(|file| file.is_file())
}

/// The name of the test that this thread runs.
pub(crate) fn this_test() -> String {
    std::thread::current().name().unwrap_or("a thread of a test").to_owned()
}

/// Says that `test` was left out and why: on stderr, and in the file that `GPU_RUNC_SKIPS` names. `(optional)` in the reason
/// marks what no package of the distribution would change.
pub(crate) fn skip(test: &str, reason: &str) {
    let line = format!("SKIP {test}: {reason}");
    eprintln!("{line}");
    if let Some(file) = std::env::var_os("GPU_RUNC_SKIPS") {
        writeln!(fs::OpenOptions::new().append(true).create(true).open(file).unwrap(), "{line}").unwrap();
    }
}
