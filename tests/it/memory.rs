//! What a start remembers of large directories in `/run/gpu-runc`: later starts give the same, whatever became of the record, of
//! the directory, or of the start that wrote it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::hosts::put;
use crate::layouts::loaded;
use crate::scratch::skip;

const LIBRARIES: &str = "usr/lib64";
const VERSION: &str = "550.163.01";

/// A host with three thousand libraries, unchanged for long enough to be remembered.
fn host(test: &str) -> Option<TempDir> {
    if !nix::unistd::geteuid().is_root() {
        skip(test, "needs root, who alone remembers");
        return None;
    }
    let host = loaded(VERSION);
    for name in ["libcuda", "libnvidia-ml", "libnvidia-opencl"] {
        put(host.path(), &format!("{LIBRARIES}/{name}.so.{VERSION}"), "");
    }
    for number in 0..3000 {
        put(host.path(), &format!("{LIBRARIES}/libof-the-system-{number}.so.{number}"), "");
    }
    std::thread::sleep(Duration::from_millis(2100));
    Some(host)
}

fn records(host: &Path) -> Vec<PathBuf> {
    let directory = fs::read_dir(host.join("run/gpu-runc/directories"));
    directory.into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
}

/// The command that creates a container, after `words` that watch or disturb it.
fn command(host: &Path, bundle: &str, words: &[&str]) -> Command {
    let env = ["NVIDIA_VISIBLE_DEVICES=0"];
    let config = json!({"ociVersion": "1.2.0", "process": {"env": env, "user": {"uid": 0, "gid": 0}}, "linux": {}});
    put(host, &format!("{bundle}/config.json"), &config.to_string());
    let words = [words, &[env!("CARGO_BIN_EXE_gpu-runc"), "create", "c"]].concat();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).env("GPU_RUNC_CONFIG", host.join("gpu-runc.toml")).current_dir(host.join(bundle));
    command
}

/// What a container mounts.
fn mounts(host: &Path, bundle: &str) -> Vec<String> {
    let output = command(host, bundle, &[]).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let config: Value = serde_json::from_slice(&fs::read(host.join(bundle).join("config.json")).unwrap()).unwrap();
    let mounts = config["mounts"].as_array().unwrap().iter();
    mounts.map(|mount| mount["destination"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_large_directory_is_read_once_and_again_when_it_changed() {
    let Some(host) = host("a remembered directory") else { return };
    let host = host.path();
    let cold = mounts(host, "bundle");
    assert!(cold.iter().any(|place| place.ends_with(&format!("libnvidia-opencl.so.{VERSION}"))), "{cold:?}");
    let [record] = records(host).try_into().unwrap();
    let before = fs::metadata(&record).unwrap().modified().unwrap();
    assert_eq!(mounts(host, "bundle"), cold);
    assert_eq!(fs::metadata(&record).unwrap().modified().unwrap(), before, "nothing is written again");

    // What came, and what went, is seen at once, though it is too new to be recorded.
    put(host, &format!("{LIBRARIES}/libnvidia-nvvm.so.{VERSION}"), "");
    fs::remove_file(host.join(format!("{LIBRARIES}/libnvidia-opencl.so.{VERSION}"))).unwrap();
    let changed = mounts(host, "bundle");
    assert!(changed.iter().any(|place| place.contains("libnvidia-nvvm")), "{changed:?}");
    assert!(!changed.iter().any(|place| place.contains("libnvidia-opencl")), "{changed:?}");
}

#[test]
fn nothing_that_is_wrong_with_the_record_stops_a_start() {
    let Some(host) = host("a record that is wrong") else { return };
    let host = host.path();
    let cold = mounts(host, "bundle");
    let [record] = records(host).try_into().unwrap();
    let whole = fs::read(&record).unwrap();
    let directory = record.parent().unwrap().to_owned();
    let disturbances: [(&str, &dyn Fn()); 5] = [
        ("empty", &|| fs::write(&record, "").unwrap()),
        ("cut", &|| fs::write(&record, &whole[..whole.len() / 2]).unwrap()),
        ("no text", &|| fs::write(&record, [0xff; 4096]).unwrap()),
        ("a directory", &|| {
            fs::remove_file(&record).unwrap();
            fs::create_dir(&record).unwrap();
        }),
        ("a file in place of its directory", &|| {
            fs::remove_dir_all(&directory).unwrap();
            fs::write(&directory, "").unwrap();
        }),
    ];
    for (what, disturb) in disturbances {
        disturb();
        assert_eq!(mounts(host, "bundle"), cold, "{what}");
    }
    fs::remove_file(&directory).unwrap();
    // Eight at once: one record, and all have the same.
    let starts: Vec<_> = (0..8).map(|number| format!("bundle-{number}")).collect();
    std::thread::scope(|scope| {
        let all: Vec<_> = starts.iter().map(|bundle| scope.spawn(|| mounts(host, bundle))).collect();
        for one in all {
            assert_eq!(one.join().unwrap(), cold);
        }
    });
    assert_eq!(records(host), [record]);
}

#[test]
fn a_start_that_is_killed_or_finds_no_room_while_it_records_leaves_nothing_that_matters() {
    let test = "faults while a directory is recorded";
    let Some(host) = host(test) else { return };
    if !crate::faults::strace::is_usable() {
        return skip(test, "needs strace, and to be allowed to trace");
    }
    let host = host.path();
    let cold = mounts(host, "bundle");
    for call in ["mkdir", "openat", "write", "rename"] {
        for fault in ["signal=KILL", "error=ENOSPC"] {
            for number in 1..=8 {
                let _ = fs::remove_dir_all(host.join("run/gpu-runc"));
                let (trace, inject) = (format!("trace={call}"), format!("inject={call}:{fault}:when={number}"));
                let words = ["strace", "-o", "/dev/null", "-e", &trace, "-e", &inject];
                let _ = command(host, "bundle", &words).output().unwrap();
                assert_eq!(mounts(host, "bundle"), cold, "{call} {fault} {number}");
                let wrong: Vec<_> =
                    records(host).into_iter().filter(|file| fs::read(file).unwrap().is_empty()).collect();
                assert!(wrong.iter().all(|file| file.extension().is_some_and(|new| new == "new")), "{wrong:?}");
            }
        }
    }
}
