//! Who uses the installation: containers whose shim or monitor will start it again, and processes that run from it.
//!
//! Only looks. containerd's shim writes into each bundle which program it calls (containerd, runtime/v2/runc: `runtime`,
//! `options.json`); conmon, of CRI-O and podman, has it among its arguments for as long as the container lives.

use std::path::{Path, PathBuf};

use super::disk;
use crate::error::Result;

/// The folder of bundles in the state of containerd, of all versions.
const BUNDLES: &str = "io.containerd.runtime.v2.task";
/// What of a bundle may name a program: what the shim calls, and hooks.
const FILES: [&str; 3] = ["runtime", "options.json", "config.json"];
const PROC: &str = "/proc";

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Usage {
    /// Containers and processes that name a path below the folder, in words. A process of which nothing can be read is one: that it
    /// is none cannot be known.
    pub(super) users: Vec<String>,
    /// Processes that name none by their arguments, which is how monitors name it and engines start it, and whose program is kept
    /// from us: a sandbox does so, of its first process even from root.
    pub(super) unseen: Vec<String>,
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
                if names(&disk::read(&bundle.join(file))?.unwrap_or_default(), home) {
                    users.push(format!("container {namespace}/{id}"));
                    break;
                }
            }
        }
    }
    Ok(())
}

fn processes(home: &str, usage: &mut Usage) -> Result<()> {
    let own = std::process::id().to_string();
    let is_number = |name: &String| name.bytes().all(|byte| byte.is_ascii_digit());
    for pid in disk::names(Path::new(PROC))?.unwrap_or_default().iter().filter(|name| is_number(name) && **name != own)
    {
        let folder = Path::new(PROC).join(pid);
        let program = shown(disk::link(&folder.join("exe")))?.map(Option::unwrap_or_default);
        let arguments = shown(disk::read_of_process(&folder.join("cmdline")))?;
        let Some(arguments) = arguments else {
            usage.users.push(format!("process {pid}, which may not be looked at"));
            continue;
        };
        if is_user(program.as_deref().unwrap_or_default(), &arguments, home) {
            usage.users.push(format!("process {pid}"));
        } else if program.is_none() {
            usage.unseen.push(format!("process {pid}"));
        }
    }
    Ok(())
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
