//! Makes an engine read its files again, or says how a person can.
//!
//! Running containers survive all of it, but for what a person's own unit files say.

#![allow(clippy::disallowed_methods, reason = "systemctl is started, and the process of an engine looked up")]

use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::document::Document;
use super::scope::Scope;
use super::{Engine, detect, place};
use crate::error::{Error, Escaped, Result};
use crate::oci::json::{Object, string};

/// Where CRI-O listens.
pub const CRIO_SOCKET: &str = "/run/crio/crio.sock";

/// The arguments of systemctl that apply a change which registers the runtime. `anew`: the engine must be started again, because it takes
/// a runtime out, or looks for programs, only then. `None` if the engine reads its files each time.
pub fn systemctl(engine: Engine, scope: Scope, anew: bool) -> Option<Vec<&'static str>> {
    let arguments: &[&str] = match engine {
        // SIGHUP ends containerd; it has no way to reload.
        Engine::Containerd => &["restart", "containerd"],
        // What is no longer in its file, Docker keeps at a reload (moby, daemon/reload_unix). The main process of a rootless one is
        // rootlesskit, which hands no signal on.
        Engine::Docker if anew || scope == Scope::User => &["restart", "docker"],
        Engine::Docker => &["reload", "docker"],
        // A reload changes what it says of itself, and pods go on to get the runtimes that it started with (1.36.3: the server
        // reloads a copy of what its runtimes are looked up in).
        Engine::Crio => &["restart", "crio"],
        Engine::Podman => return None,
        // Only those units that run, an agent's or a server's.
        Engine::K3s => &["try-restart", "k3s", "k3s-agent"],
        Engine::Rke2 => &["try-restart", "rke2-server", "rke2-agent"],
    };
    let user = (scope == Scope::User).then_some("--user");
    Some(user.into_iter().chain(arguments.iter().copied()).collect())
}

/// Asks systemd to restart the engine, or to reload it where that is enough. `env` is for systemctl, beside this process's.
pub fn by_systemd(engine: Engine, scope: Scope, anew: bool, env: &[(&str, &str)]) -> Result<()> {
    let Some(arguments) = systemctl(engine, scope, anew) else { return Ok(()) };
    let arguments = without_absent(arguments, env);
    let doing = format!("systemctl {}", arguments.join(" "));
    let status = Command::new("systemctl").args(&arguments).envs(env.iter().copied()).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Error::Usage(format!("the files are written, but {doing} failed: {status}"))),
        Err(cause) => Err(Error::Io { doing: format!("start {doing}; the files are written"), cause }),
    }
}

/// systemctl takes a unit of several that this machine has not for a failure of all.
fn without_absent(arguments: Vec<&'static str>, env: &[(&str, &str)]) -> Vec<&'static str> {
    if !arguments.contains(&"try-restart") {
        return arguments;
    }
    let runs = |unit: &str| {
        let status = Command::new("systemctl").args(["is-active", "--quiet", unit]).envs(env.iter().copied()).status();
        status.is_ok_and(|status| status.success())
    };
    let is_unit = |word: &str| word != "try-restart" && !word.starts_with('-');
    let (units, verb): (Vec<_>, Vec<_>) = arguments.iter().copied().partition(|word| is_unit(word));
    let running: Vec<_> = units.into_iter().filter(|unit| runs(unit)).collect();
    // None that runs: systemctl's own words for it are the best.
    if running.is_empty() { arguments } else { [verb, running].concat() }
}

/// Refuses an engine that runs and ignores SIGHUP, as each program does that was started with the signal ignored (by nohup, or by
/// some scripts): it would never answer. Called before anything is changed.
pub fn check_signal(engine: Engine, scope: Scope, config: &Path) -> Result<()> {
    let pid = match engine {
        Engine::Docker => dockerd(scope, config),
        Engine::Containerd => containerd(config),
        Engine::Podman | Engine::Crio | Engine::K3s | Engine::Rke2 => return Ok(()),
    };
    // by_signal reports an engine that does not run.
    let Ok(pid) = pid.map(Pid::as_raw_nonzero) else { return Ok(()) };
    let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { return Ok(()) };
    if !ignores_hangup(&status) {
        return Ok(());
    }
    Err(Error::Usage(format!(
        "{} (process {pid}) ignores SIGHUP, because it was started with the signal ignored, and nothing was changed; use --restart \
         systemd, or --restart none and restart it as it was started",
        detect::name(engine)
    )))
}

/// Whether the process with this status ignores SIGHUP. Source: proc_pid_status(5), SigIgn; the lowest bit is signal 1.
fn ignores_hangup(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 != 0)
}

/// Sends SIGHUP to the engine that `config` is the file of. Docker reloads; containerd ends, for which this waits at most `patience`,
/// and its unit starts it again. Others have no signal that does it, and Docker none where it has to be started `anew`.
pub fn by_signal(engine: Engine, scope: Scope, config: &Path, anew: bool, patience: Duration) -> Result<()> {
    let pid = match engine {
        Engine::Podman => return Ok(()),
        Engine::Docker if anew => {
            let message = "Docker forgets a runtime only when it is restarted, and looks for the programs of --gpus only then; the files are written";
            let arguments = systemctl(engine, scope, anew).unwrap_or_default().join(" ");
            return Err(Error::Usage(format!("{message}; use {}systemctl {arguments}", scope.sudo())));
        }
        Engine::Docker => dockerd(scope, config)?,
        Engine::Containerd if scope == Scope::User => {
            let message = "a rootless containerd listens where only its own processes see it, the files are written";
            return Err(Error::Usage(format!("{message}; use --restart systemd")));
        }
        Engine::Containerd => containerd(config)?,
        Engine::Crio | Engine::K3s | Engine::Rke2 => {
            let message = "has no signal for it, the files are written; use --restart systemd";
            return Err(Error::Usage(format!("{} {message}", detect::name(engine))));
        }
    };
    kill_process(pid, Signal::HUP)
        .map_err(|cause| Error::Io { doing: format!("signal {}", detect::name(engine)), cause: cause.into() })?;
    let end = Instant::now() + patience;
    while engine == Engine::Containerd && is_alive(pid) {
        if Instant::now() >= end {
            return Err(Error::Usage(format!(
                "containerd (process {}) was sent SIGHUP and did not end within {} s; the files are written: restart it as it was \
                 started",
                pid.as_raw_nonzero(),
                patience.as_secs()
            )));
        }
        sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Whether the process runs. One that has ended and whose parent has not noticed does not.
fn is_alive(pid: Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero()));
    status.is_ok_and(|status| !status.lines().any(|line| line.starts_with("State:") && line.contains('Z')))
}

/// The dockerd of this scope, whose file is at `config`. [`Error::Io`] if none runs.
pub fn dockerd(scope: Scope, config: &Path) -> Result<Pid> {
    written(&pid_file(scope, config)?, "dockerd")
}

/// Where dockerd writes its process id.
fn pid_file(scope: Scope, config: &Path) -> Result<PathBuf> {
    let file = place::read(config)?;
    let said = Object::parse(file.text()).ok().and_then(|object| object.get("pidfile")).and_then(string);
    let usual = match scope {
        Scope::System => PathBuf::from("/var/run/docker.pid"),
        Scope::User => super::scope::runtime_dir().unwrap_or_default().join("docker.pid"),
    };
    Ok(said.map_or(usual, |path| PathBuf::from(path.into_owned())))
}

/// The containerd that listens where its file at `config` says. [`Error::Io`] if nobody does.
pub fn containerd(config: &Path) -> Result<Pid> {
    listening(&socket(config)?, "containerd")
}

/// Where containerd, whose file is at `config`, keeps what runs.
pub fn state(config: &Path) -> Result<PathBuf> {
    let file = place::read(config)?;
    let document = Document::parse(&file.path, file.text())?;
    Ok(document.string(&["state"]).filter(|said| !said.is_empty()).unwrap_or("/run/containerd").into())
}

/// Where containerd, whose file is at `config`, listens.
pub fn socket(config: &Path) -> Result<PathBuf> {
    let file = place::read(config)?;
    let document = Document::parse(&file.path, file.text())?;
    let said = document
        .string(&["grpc", "address"])
        .or_else(|| document.string(&["plugins", "io.containerd.server.v1.grpc", "address"]));
    Ok(said.filter(|said| !said.is_empty()).unwrap_or("/run/containerd/containerd.sock").into())
}

fn written(file: &Path, program: &str) -> Result<Pid> {
    let not_running = |cause| Error::io(&format!("find {program} by"), file, cause);
    let text = fs::read_to_string(file).map_err(not_running)?;
    let pid = text.trim().parse().ok().and_then(Pid::from_raw);
    check(pid.ok_or_else(|| not_running(io::Error::other("it holds no process id")))?, file, program)
}

fn listening(socket: &Path, program: &str) -> Result<Pid> {
    let peer = UnixStream::connect(socket).and_then(|stream| Ok(rustix::net::sockopt::socket_peercred(stream)?));
    check(peer.map_err(|cause| Error::io(&format!("find {program} by"), socket, cause))?.pid, socket, program)
}

/// A number may by now be another process's, and a socket that systemd made is answered for by systemd.
fn check(pid: Pid, by: &Path, program: &str) -> Result<Pid> {
    let name = fs::read_to_string(format!("/proc/{}/comm", pid.as_raw_nonzero()));
    match name.map_err(|cause| Error::io(&format!("find {program} by"), by, cause))?.trim() {
        found if found == program => Ok(pid),
        found => Err(Error::Usage(format!(
            "{} leads to a process called {found}, not to {program}; use --restart systemd",
            Escaped::path(by)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_ignores_the_signal_is_known_by_its_status() {
        for (status, expected) in [
            ("Name:\tdockerd\nSigBlk:\t0000000000000001\nSigIgn:\t0000000000000001\n", true),
            ("SigIgn:\t0000000000001001\n", true),
            ("SigIgn:\t0000000000001000\n", false),
            ("SigBlk:\t0000000000000001\nSigIgn:\t0000000000000000\n", false),
            ("SigIgn:\tx\n", false),
            ("", false),
        ] {
            assert_eq!(ignores_hangup(status), expected, "{status:?}");
        }
    }
}
