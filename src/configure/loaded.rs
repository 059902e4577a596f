//! Whether a running engine has loaded what its files say.
//!
//! Asks Docker's daemon on its socket; of other daemons, compares when they were started with when their files were changed.

#![allow(clippy::disallowed_methods, reason = "the times of engines' files and processes")]

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::scope::{Scope, runtime_dir};
use super::{Engine, Runtime, place, restart};
use crate::error::{Error, Result};
use crate::oci::json::{Object, elements, string};

/// What the daemon that runs has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loaded {
    /// What its files say.
    Yes,
    /// Something older.
    No,
    /// There is no daemon, or it cannot be asked: why.
    Unknown(String),
}

/// The longest that a daemon is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// No daemon says more of itself.
const LARGEST: u64 = 4 << 20;

/// Whether the daemon of `engine`, whose main file is at `config`, has loaded `runtime`, or has none of `name` where there is none.
pub fn check(engine: Engine, scope: Scope, config: &Path, name: &str, runtime: Option<&Runtime>) -> Loaded {
    let checked = match engine {
        Engine::Docker => socket(scope, config).and_then(|socket| Ok(has(&docker_info(&socket)?, name, runtime))),
        Engine::Containerd if scope == Scope::System && runtime.is_some() => {
            restart::containerd(config).and_then(|pid| is_older(pid.as_raw_nonzero().get(), config))
        }
        // Its files are read by each command.
        Engine::Podman => return Loaded::Yes,
        _ => return Loaded::Unknown("it does not say what it has loaded".to_owned()),
    };
    match checked {
        Ok(true) => Loaded::Yes,
        Ok(false) => Loaded::No,
        Err(why) => Loaded::Unknown(why.to_string()),
    }
}

/// Where the Docker daemon listens whose file is at `config`: on the first Unix socket of `hosts`, else at the usual place. An error
/// where the file is not the one of the scope: that daemon is somewhere else.
pub fn socket(scope: Scope, config: &Path) -> Result<PathBuf> {
    let file = place::read(config)?;
    let hosts = Object::parse(file.text()).ok().and_then(|object| elements(object.get("hosts")?)).unwrap_or_default();
    let named =
        hosts.iter().filter_map(|host| string(host)).find_map(|host| host.strip_prefix("unix://").map(PathBuf::from));
    if let Some(named) = named {
        return Ok(named);
    }
    if config != super::detect::config(Engine::Docker, scope) {
        return Err(Error::Usage("it is not known where the daemon of this file listens".to_owned()));
    }
    match scope {
        Scope::System => Ok("/var/run/docker.sock".into()),
        Scope::User => runtime_dir()
            .map(|folder| folder.join("docker.sock"))
            .ok_or_else(|| Error::Usage("XDG_RUNTIME_DIR is not set".to_owned())),
    }
}

/// What the Docker daemon at `socket` says of itself: the answer to `GET /info`, which every version has. An error where nobody
/// answers, or with something else.
pub fn docker_info(socket: &Path) -> Result<Value> {
    let failed = |cause| Error::io("ask the Docker daemon at", socket, cause);
    let asked = || -> io::Result<Vec<u8>> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        // To 1.0 a server answers in one piece, and closes.
        stream.write_all(b"GET /info HTTP/1.0\r\nHost: docker\r\n\r\n")?;
        let mut bytes = Vec::new();
        stream.take(LARGEST).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    body(&asked().map_err(failed)?).ok_or_else(|| failed(io::Error::other("it does not answer as Docker does")))
}

fn body(answer: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(answer).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.lines().next()?.split(' ').nth(1)?;
    if status == "200" { serde_json::from_str(body).ok().filter(Value::is_object) } else { None }
}

/// Whether the daemon that says `info` has `runtime`, and as the default if it is to be; or nothing of `name`.
fn has(info: &Value, name: &str, runtime: Option<&Runtime>) -> bool {
    let path = info.pointer(&format!("/Runtimes/{name}/path")).and_then(Value::as_str);
    match runtime {
        Some(runtime) => {
            path == Some(&runtime.path)
                && (!runtime.is_default || info.get("DefaultRuntime").and_then(Value::as_str) == Some(name))
        }
        None => path.is_none(),
    }
}

/// Whether the file at `config` was last changed before the process `pid` was started. The clock of processes has steps of a second.
fn is_older(pid: i32, config: &Path) -> Result<bool> {
    let changed = fs::metadata(config).map_err(|cause| Error::io("look at", config, cause))?.mtime();
    Ok(changed <= start_of(pid)?)
}

/// When the process `pid` was started, in seconds since 1970.
pub fn start_of(pid: i32) -> Result<i64> {
    let path = PathBuf::from(format!("/proc/{pid}/stat"));
    let read = |path: &Path| fs::read_to_string(path).map_err(|cause| Error::io("read", path, cause));
    let (stat, boot) = (read(&path)?, read(Path::new("/proc/stat"))?);
    started(&stat, &boot).ok_or_else(|| Error::io("understand", &path, io::Error::other("no start time")))
}

/// Whether the Docker daemon of `scope` was started before one of `names` was put into `folder`, and so does not know it. Where no daemon
/// runs, none has to be started again.
pub fn has_newer_names(scope: Scope, config: &Path, folder: &Path, names: &[&str]) -> bool {
    let started = restart::dockerd(scope, config).and_then(|pid| start_of(pid.as_raw_nonzero().get()));
    let is_newer = |name: &&str| {
        let made = fs::symlink_metadata(folder.join(name)).map(|found| found.ctime());
        matches!((&started, made), (Ok(started), Ok(made)) if made > *started)
    };
    names.iter().any(is_newer)
}

/// The version of the Docker daemon that says `info`.
pub fn docker_version(info: &Value) -> Option<Vec<u32>> {
    version(info.get("ServerVersion")?.as_str()?)
}

/// The numbers at the start of `text`: `29.7.0-beta.1` is 29.7.0.
pub fn version(text: &str) -> Option<Vec<u32>> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    text.get(..end)?.trim_end_matches('.').split('.').map(|number| number.parse().ok()).collect()
}

/// When a process was started, in seconds since 1970: field 22 of its `stat`, in hundredths of a second since the boot (proc(5)).
pub(super) fn started(stat: &str, boot: &str) -> Option<i64> {
    // The name, in parentheses, can hold spaces and parentheses.
    let ticks: i64 = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
    let boot: i64 = boot.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(boot + ticks / 100)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_daemon_has_the_runtime_only_with_this_program_and_as_the_default_where_it_is_to_be() {
        let info = json!({"Runtimes": {"runc": {"path": "runc"}, "gpu-runc": {"path": "/usr/bin/gpu-runc"}}, "DefaultRuntime": "runc"});
        let runtime = |path: &str, is_default| Runtime {
            name: "gpu-runc".to_owned(),
            path: path.to_owned(),
            is_default,
            takes_annotations: false,
        };
        for (name, runtime, expected) in [
            ("gpu-runc", Some(runtime("/usr/bin/gpu-runc", false)), true),
            ("gpu-runc", Some(runtime("/usr/bin/gpu-runc", true)), false),
            ("gpu-runc", Some(runtime("/opt/gpu-runc", false)), false),
            ("other", Some(runtime("/usr/bin/gpu-runc", false)), false),
            ("gpu-runc", None, false),
            ("other", None, true),
        ] {
            assert_eq!(has(&info, name, runtime.as_ref()), expected, "{name} {runtime:?}");
        }
    }

    #[test]
    fn only_a_whole_answer_is_one() {
        for (answer, expected) in [
            ("HTTP/1.0 200 OK\r\nA: b\r\n\r\n{\"Runtimes\":{}}", true),
            ("HTTP/1.0 500 Oops\r\n\r\n{}", false),
            ("HTTP/1.0 200 OK\r\n\r\n[]", false),
            ("HTTP/1.0 200 OK\r\n\r\n{\"Runt", false),
            ("{}", false),
            ("", false),
        ] {
            assert_eq!(body(answer.as_bytes()).is_some(), expected, "{answer}");
        }
    }

    #[test]
    fn versions_are_the_numbers_at_the_start() {
        for (text, expected) in [
            ("20.10.24+dfsg1", Some(vec![20, 10, 24])),
            ("29.7.0-beta.21", Some(vec![29, 7, 0])),
            ("library-import", None),
            ("", None),
        ] {
            assert_eq!(version(text), expected, "{text}");
        }
    }

    #[test]
    fn a_process_was_started_when_the_kernel_says() {
        let stat = "7 (a) b)) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 1 1 1";
        assert_eq!(started(stat, "cpu 1\nbtime 1000\n"), Some(1123));
        assert_eq!(started("7 (a) S", "btime 1000\n"), None);
        assert_eq!(started(stat, ""), None);
    }
}
