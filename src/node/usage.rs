//! Who uses the installation: containers whose shim or monitor will start it again, and processes that run from it.
//!
//! Reads only. containerd's shim writes into each bundle which program it calls (containerd, runtime/v2/runc: `runtime`,
//! `options.json`); conmon, of CRI-O and podman, has it among its arguments for as long as the container lives.
//!
//! The engines of a node are root's processes in our own PID namespace, and only they count as users. Any user, and any container, can
//! start a process that looks like a monitor: such processes are counted and reported, and keep nothing from being removed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::disk;
use crate::error::{Escaped, Result};

/// The folder of bundles in the state of containerd, of all versions.
const BUNDLES: &str = "io.containerd.runtime.v2.task";
/// What of a bundle may name a program: what the shim calls, and hooks.
const FILES: [&str; 3] = ["runtime", "options.json", "config.json"];
const PROC: &str = "/proc";
/// The longest that the processes of users are read for. A user can make each of these files block: the kernel reads the arguments
/// from the process's memory, which can be a file on FUSE.
const PATIENCE: Duration = Duration::from_secs(2);

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Usage {
    /// Containers and processes of root that name a path below the folder, in words. A process of which nothing can be read is one:
    /// that it is none cannot be known.
    pub(super) users: Vec<String>,
    /// Processes of root that name none by their arguments, which is how monitors name it and engines start it, and whose program is
    /// kept from us: a sandbox does so, of its first process even from root.
    pub(super) unseen: Vec<String>,
    /// How many processes of other users, and of containers, name a path below the folder, by user id.
    pub(super) others: BTreeMap<u32, usize>,
}

/// Who names a path below `home`. `states` are the state folders of engines.
pub(super) fn of(home: &Path, states: &[PathBuf]) -> Result<Usage> {
    let home = format!("{}/", home.to_string_lossy());
    let mut usage = Usage::default();
    for state in states {
        containers(&state.join(BUNDLES), &home, &mut usage.users)?;
    }
    processes(&home, &mut usage)?;
    Ok(usage)
}

/// Those of `folder`, which has a folder for each namespace and in that one for each container.
fn containers(folder: &Path, home: &str, users: &mut Vec<String>) -> Result<()> {
    for namespace in disk::names(folder)?.unwrap_or_default() {
        for id in disk::names(&folder.join(&namespace))?.unwrap_or_default() {
            let bundle = folder.join(&namespace).join(&id);
            for file in FILES {
                // It may end while we look.
                if names(&disk::read_plain(&bundle.join(file))?.unwrap_or_default(), home) {
                    users.push(format!("container {}/{}", Escaped::name(&namespace), Escaped::name(&id)));
                    break;
                }
            }
        }
    }
    Ok(())
}

fn processes(home: &str, usage: &mut Usage) -> Result<()> {
    let own = std::process::id().to_string();
    let own_namespace = disk::link(&Path::new(PROC).join("self/ns/pid"))?;
    let is_number = |name: &String| name.bytes().all(|byte| byte.is_ascii_digit());
    let mut others = Vec::new();
    for pid in disk::names(Path::new(PROC))?.unwrap_or_default().iter().filter(|name| is_number(name) && **name != own)
    {
        let folder = Path::new(PROC).join(pid);
        let status = shown(disk::read_of_process(&folder.join("status")))?.unwrap_or_default();
        let namespace = shown(disk::link(&folder.join("ns/pid")))?.flatten();
        let is_elsewhere = matches!((&namespace, &own_namespace), (Some(its), Some(own)) if its != own);
        match uid(&String::from_utf8_lossy(&status)) {
            Some(uid) if uid != 0 || is_elsewhere => others.push((uid, folder)),
            _ => of_root(pid, &folder, home, usage)?,
        }
    }
    usage.others = of_others(others, home.to_owned());
    Ok(())
}

/// Judges a process of root, or one that says nothing of its user: it counts, lest a container lose its runtime.
fn of_root(pid: &str, folder: &Path, home: &str, usage: &mut Usage) -> Result<()> {
    let program = shown(disk::link(&folder.join("exe")))?.map(Option::unwrap_or_default);
    let Some(arguments) = shown(disk::read_of_process(&folder.join("cmdline")))? else {
        usage.users.push(format!("process {pid}, which may not be looked at"));
        return Ok(());
    };
    if is_user(program.as_deref().unwrap_or_default(), &arguments, home) {
        usage.users.push(format!("process {pid}"));
    } else if program.is_none() {
        usage.unseen.push(format!("process {pid}"));
    }
    Ok(())
}

/// How many of `processes` name a path below `home`, by user id. What cannot be read in time is left out.
fn of_others(processes: Vec<(u32, PathBuf)>, home: String) -> BTreeMap<u32, usize> {
    let (found, receive) = mpsc::channel();
    // It is left behind where a process holds it up.
    std::thread::spawn(move || {
        for (uid, folder) in processes {
            let program = disk::link(&folder.join("exe")).ok().flatten().unwrap_or_default();
            let arguments = disk::read_of_process(&folder.join("cmdline")).unwrap_or_default();
            if is_user(&program, &arguments, &home) && found.send(uid).is_err() {
                return;
            }
        }
    });
    let end = Instant::now() + PATIENCE;
    let mut counts = BTreeMap::new();
    while let Ok(uid) = receive.recv_timeout(end.saturating_duration_since(Instant::now())) {
        *counts.entry(uid).or_default() += 1;
    }
    counts
}

/// The user of the process with this `status`: root only if its real, effective, saved and file system ids all are. The owner of
/// /proc/PID would not do: it is root for every process that is not dumpable. `None` for a status that does not say.
fn uid(status: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    let ids: Vec<u32> = line.split_whitespace().map(|id| id.parse().ok()).collect::<Option<_>>()?;
    ids.iter().copied().find(|id| *id != 0).or_else(|| ids.first().copied())
}

/// `None` where it is kept from us.
fn shown<T>(read: Result<T>) -> Result<Option<T>> {
    match read {
        Err(error) if error.is_denied() => Ok(None),
        read => read.map(Some),
    }
}

/// A person's gpu-ctk is none: it may be what waits for the last one.
fn is_user(program: &str, arguments: &[u8], home: &str) -> bool {
    let is_ours = |path: &[u8]| path.starts_with(home.as_bytes()) && path.ends_with(b"/gpu-runc");
    is_ours(program.trim_end_matches(" (deleted)").as_bytes()) || arguments.split(|byte| *byte == 0).any(is_ours)
}

fn names(text: &[u8], home: &str) -> bool {
    text.windows(home.len()).any(|bytes| bytes == home.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_roots_only_by_all_its_ids() {
        for (status, expected) in [
            ("Name:\tconmon\nUid:\t0\t0\t0\t0\n", Some(0)),
            ("Name:\tconmon\nUid:\t1000\t1000\t1000\t1000\n", Some(1000)),
            ("Name:\tx\nUid:\t0\t1000\t0\t1000\n", Some(1000)),
            ("Name:\tx\nUid:\t1000\t0\t0\t0\n", Some(1000)),
            ("Name:\tUid:\\t0\nUid:\t7\t7\t7\t7\n", Some(7)),
            ("Name:\tx\nUid:\n", None),
            ("Name:\tx\nUid:\tx\n", None),
            ("", None),
        ] {
            assert_eq!(uid(status), expected, "{status:?}");
        }
    }

    #[test]
    fn a_monitor_is_a_user_and_an_editor_is_not() {
        for (program, arguments, expected) in [
            ("/usr/bin/conmon", "/usr/bin/conmon\0-r\0/opt/gpu-runc/current/gpu-runc\0-b\0/b\0", true),
            ("/opt/gpu-runc/1.2.3-0/gpu-runc (deleted)", "gpu-runc\0create\0", true),
            ("/opt/gpu-runc/1.2.3-0/gpu-ctk", "gpu-ctk\0node\0uninstall\0", false),
            ("/usr/bin/vi", "vi\0/opt/gpu-runc/notes\0", false),
            ("/usr/bin/runc", "runc\0--root\0/run/gpu-runc\0", false),
        ] {
            assert_eq!(is_user(program, arguments.as_bytes(), "/opt/gpu-runc/"), expected, "{program}");
        }
    }
}
