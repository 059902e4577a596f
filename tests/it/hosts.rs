//! Fake hosts: every folder of tests/hosts, made whole in a scratch folder.
//!
//! What cannot be checked in is in `dev.nodes`, one node a line: type (`c`, `p` for a fifo, `s` for a socket), major, minor,
//! mode, user, group, path. Making them needs `CAP_MKNOD`: without it, the test that asked for the host is recorded as skipped.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::scratch::{self, skip};

/// Where the hosts are.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hosts")
}

/// Makes the host that is all of `names`. `None`, and a recorded skip, where device nodes cannot be made.
pub(crate) fn make(names: &[&str]) -> Option<TempDir> {
    let scratch = tempfile::tempdir().unwrap();
    names.iter().all(|name| add(name, scratch.path())).then_some(scratch)
}

/// Adds the host `name` to `root`. False, and a recorded skip, where device nodes cannot be made.
pub(crate) fn add(name: &str, root: &Path) -> bool {
    let from = folder().join(name);
    for entry in fs::read_dir(&from).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_dir()) {
        copy(&entry.path(), &root.join(entry.file_name()));
    }
    let nodes = fs::read_to_string(from.join("dev.nodes")).unwrap();
    let refused = nodes.lines().filter(|line| !line.starts_with('#')).find(|line| !make_node(line, root));
    if let Some(line) = refused {
        skip(&scratch::this_test(), &format!("host {name}: {line}: making device nodes needs CAP_MKNOD"));
    }
    refused.is_none()
}

fn make_node(line: &str, root: &Path) -> bool {
    let [kind, major, minor, mode, uid, gid, path] = line.split(' ').collect::<Vec<_>>().try_into().expect(line);
    let kind = match kind {
        "c" => SFlag::S_IFCHR,
        "p" => SFlag::S_IFIFO,
        "s" => SFlag::S_IFSOCK,
        _ => panic!("{line}"),
    };
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    // Of two hosts that are one machine, the later one has the node.
    let _ = fs::remove_file(&path);
    match mknod(&path, kind, Mode::empty(), makedev(major.parse().unwrap(), minor.parse().unwrap())) {
        Ok(()) => {}
        Err(nix::Error::EPERM) => return false,
        Err(cause) => panic!("{line}: {cause}"),
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(u32::from_str_radix(mode, 8).unwrap())).unwrap();
    if kind == SFlag::S_IFIFO {
        // A pipe counts only while its daemon reads it: here that is the test, to its end.
        std::mem::forget(fs::OpenOptions::new().read(true).write(true).open(&path).unwrap());
    }
    std::os::unix::fs::chown(&path, Some(uid.parse().unwrap()), Some(gid.parse().unwrap())).is_ok()
}

fn copy(from: &Path, to: &Path) {
    let kind = fs::symlink_metadata(from).unwrap().file_type();
    if kind.is_symlink() {
        symlink(fs::read_link(from).unwrap(), to).unwrap();
    } else if kind.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::copy(from, to).unwrap();
    }
}

/// Writes the file at `path` below `root`.
pub(crate) fn put(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A configuration for the host at `root`, with no CDI file but those in `root`/cdi.
pub(crate) fn configure(root: &Path, more: &str) {
    let base = format!(
        "runtimes = [\"/bin/true\"]\n[log]\nsyslog = false\n[cdi]\nspec-dirs = [{:?}]\n[host]\nroot = {root:?}\n",
        root.join("cdi")
    );
    fs::write(root.join("gpu-runc.toml"), base + more).unwrap();
}

pub(crate) fn ctk(root: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-ctk"));
    command.env("GPU_RUNC_CONFIG", root.join("gpu-runc.toml")).current_dir(root).args(args).output().unwrap()
}

/// What becomes of the config.json of a container with this environment; the error is what stderr says.
pub(crate) fn create(root: &Path, env: &[&str]) -> Result<Value, String> {
    start(root, &json!({"ociVersion": "1.2.0", "process": {"env": env, "user": {"uid": 0, "gid": 0}}, "linux": {}}))
}

/// What becomes of this config.json; the error is what stderr says.
pub(crate) fn start(root: &Path, config: &Value) -> Result<Value, String> {
    fs::write(root.join("config.json"), config.to_string()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-runc"));
    let command = command.env("GPU_RUNC_CONFIG", root.join("gpu-runc.toml")).current_dir(root);
    let output = command.args(["create", "c"]).output().unwrap();
    match output.status.success() {
        true => Ok(serde_json::from_slice(&fs::read(root.join("config.json")).unwrap()).unwrap()),
        false => Err(String::from_utf8(output.stderr).unwrap()),
    }
}

pub(crate) fn paths<'a>(container: &'a Value, pointer: &str, member: &str) -> Vec<&'a str> {
    let entries = container.pointer(pointer).and_then(Value::as_array);
    entries.into_iter().flatten().map(|entry| entry[member].as_str().unwrap()).collect()
}
