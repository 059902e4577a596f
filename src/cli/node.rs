//! `gpu-ctk node`: gpu-runc on a machine that runs pods.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Subcommand, ValueEnum};
use nix::sys::signal::{SigSet, Signal};
use serde_json::json;

use super::output::{self, answer, print};
use crate::configure::{Engine, Scope, detect, restart};
use crate::error::{Error, Escaped, Result};
use crate::node::layout::Layout;
use crate::node::status::{Known, Status};
use crate::node::{self, Build, How, Node};

/// What to do on the machine.
#[derive(Debug, Subcommand)]
pub(super) enum NodeCommand {
    /// Install both programs, register gpu-runc with the engine, and restart it if it has to read anything anew
    #[command(
        after_help = "May be killed at any moment and started again. An engine that does not come back with the runtime \
                            gets its files back and is restarted once more."
    )]
    Install(Install),
    /// Wait for the last container that uses it, and take all of it away
    Uninstall(Uninstall),
    /// Say how it stands. Exit status 0 if pods can have it
    Status {
        #[command(flatten)]
        machine: Machine,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Exit status 0 if nothing of it is left
        #[arg(long)]
        gone: bool,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct Install {
    #[command(flatten)]
    machine: Machine,
    #[command(flatten)]
    effort: Effort,
    /// The folder of gpu-runc and gpu-ctk; without it, that of this program
    #[arg(long, value_name = "DIR")]
    source: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Uninstall {
    #[command(flatten)]
    machine: Machine,
    #[command(flatten)]
    effort: Effort,
    /// How many seconds to wait for the last container that uses it
    #[arg(long, value_name = "SECONDS", default_value = "300")]
    wait_for_containers: u64,
}

/// Where.
#[derive(Debug, clap::Args)]
pub(super) struct Machine {
    /// The machine's root, where this runs in a container that has it mounted
    #[arg(long, value_name = "DIR")]
    host_root: Option<PathBuf>,
    /// The folder of the machine in which there is, or will be, gpu-runc/current/gpu-runc
    #[arg(long, value_name = "DIR", default_value = "/opt")]
    prefix: PathBuf,
    /// The engine that runs pods; without it, the one that runs here
    #[arg(long, value_enum)]
    engine: Option<Named>,
    /// The engine's main file, in place of the usual one
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What pods call the runtime: the handler of the RuntimeClass
    #[arg(long, value_name = "NAME", default_value = "gpu-runc")]
    runtime_name: String,
    /// Pods that name no runtime are expected to have it
    #[arg(long)]
    set_as_default: bool,
    /// Pods are expected to ask by annotations gpu-runc/…, which containerd hands on only then. CRI-O always does
    #[arg(long)]
    pod_annotations: bool,
}

/// How hard to try.
#[derive(Debug, clap::Args)]
pub(super) struct Effort {
    /// How the engine is made to read its files anew
    #[arg(long, value_name = "HOW", value_enum, default_value = "systemd")]
    restart: Restart,
    /// How many seconds to wait for the engine, and for another installer
    #[arg(long, value_name = "SECONDS", default_value = "120")]
    wait: u64,
    /// Stay until SIGTERM when it is done, or has failed: for a DaemonSet, whose readiness is what status says
    #[arg(long)]
    stay: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Named {
    Containerd,
    Crio,
    K3s,
    Rke2,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Restart {
    /// Not; the command that does it is printed
    None,
    /// Send SIGHUP, for containerd without systemd
    Signal,
    /// Ask systemd
    Systemd,
}

impl NodeCommand {
    /// Does it. Reads no configuration of ours: what is installed may be newer than the file.
    pub(super) fn run(self) -> Result<ExitCode> {
        match self {
            NodeCommand::Install(install) => {
                let signals = ending(install.effort.stay)?;
                let folder = install.source.clone().map_or_else(own_folder, Ok)?;
                // From here, not from the machine's root.
                let build = Build::read(&folder, env!("CARGO_PKG_VERSION"))?;
                let act = || {
                    let node = install.machine.node(Some(&install.effort))?.ok_or_else(no_engine)?;
                    let plan = node::install(&node, &build, &mut say)?;
                    plan.notes.iter().for_each(|note| output::note(note));
                    told(&node, !plan.changes.is_empty(), false);
                    print(&format!("{}: installed as {}\n", build.name, Escaped::path(&node.layout.program())));
                    Ok(())
                };
                stay(act(), signals)
            }
            NodeCommand::Uninstall(uninstall) => {
                let signals = ending(uninstall.effort.stay)?;
                let act = || {
                    match uninstall.machine.node(Some(&uninstall.effort))? {
                        Some(node) => {
                            let longest = Duration::from_secs(uninstall.wait_for_containers);
                            let plan = node::uninstall(&node, longest, &mut say)?;
                            plan.notes.iter().for_each(|note| output::note(note));
                            told(&node, !plan.changes.is_empty(), true);
                        }
                        None if uninstall.machine.is_gone(uninstall.effort.wait)? => {}
                        None => return Err(no_engine()),
                    }
                    print("nothing of it is left\n");
                    Ok(())
                };
                stay(act(), signals)
            }
            NodeCommand::Status { machine, json, gone } => {
                let status = match machine.node(None)? {
                    Some(node) => node::status::status(&node)?,
                    None if gone && machine.is_gone(0)? => node::status::gone(&Layout::new(&machine.prefix))?,
                    None => return Err(no_engine()),
                };
                // The exit status is the answer to a script, also where stdout is closed.
                let _ = if json { output::json(&as_json(&status)) } else { answer(&as_text(&status)) };
                let is_so = if gone { status.is_gone } else { status.is_ready() };
                Ok(if is_so { ExitCode::SUCCESS } else { ExitCode::FAILURE })
            }
        }
    }
}

impl Machine {
    /// Whether nothing of it is left where no engine runs.
    fn is_gone(&self, wait: u64) -> Result<bool> {
        // Of a file that is named, it cannot be told whose it is.
        Ok(self.config.is_none()
            && node::is_gone(&Layout::new(&self.prefix), &self.runtime_name, Duration::from_secs(wait))?)
    }

    /// The machine as it is to be, or none where no engine runs or is named. Enters its root, which is why everything of this process's
    /// own is read before.
    fn node(&self, effort: Option<&Effort>) -> Result<Option<Node>> {
        if !self.prefix.is_absolute() {
            return Err(Error::Usage(format!("--prefix {}: expected an absolute path", Escaped::path(&self.prefix))));
        }
        // systemctl asks whether it is in a chroot, and then does nothing: here it is, and is meant.
        let env: &[_] = if self.host_root.is_some() { &[("SYSTEMD_IGNORE_CHROOT", "1")] } else { &[] };
        if let Some(root) = &self.host_root {
            node::enter(root)?;
        }
        let named = self.engine.map(|named| Ok(Some(named.into())));
        let Some(engine) = named.unwrap_or_else(node::engine::detect)? else { return Ok(None) };
        let restart = effort.map_or(How::Never, |effort| effort.restart.into());
        if restart == How::Signal && engine != Engine::Containerd {
            let name = detect::name(engine);
            return Err(Error::Usage(format!("--restart signal: {name} has none for it; use systemd, or none")));
        }
        let config = self.config.clone().unwrap_or_else(|| detect::machine_config(engine));
        Ok(Some(Node {
            layout: Layout::new(&self.prefix),
            engine,
            config: std::path::absolute(&config).map_err(|cause| Error::io("find", &config, cause))?,
            name: self.runtime_name.clone(),
            is_default: self.set_as_default,
            takes_annotations: self.pod_annotations,
            restart,
            env,
            patience: Duration::from_secs(effort.map_or(0, |effort| effort.wait)),
        }))
    }
}

fn no_engine() -> Error {
    Error::Usage("no engine runs here that runs pods; start it, or name it by --engine".to_owned())
}

impl From<Named> for Engine {
    fn from(named: Named) -> Self {
        match named {
            Named::Containerd => Engine::Containerd,
            Named::Crio => Engine::Crio,
            Named::K3s => Engine::K3s,
            Named::Rke2 => Engine::Rke2,
        }
    }
}

impl From<Restart> for How {
    fn from(restart: Restart) -> Self {
        match restart {
            Restart::None => How::Never,
            Restart::Signal => How::Signal,
            Restart::Systemd => How::Systemd,
        }
    }
}

fn own_folder() -> Result<PathBuf> {
    let own = std::env::current_exe().map_err(|cause| Error::io("find", Path::new("gpu-ctk"), cause))?;
    Ok(own.parent().map(Path::to_owned).unwrap_or_default())
}

/// Before each step, so that the last line is what a run that hangs, or was killed, was at.
fn say(step: &str) {
    print(&format!("{step}\n"));
}

fn told(node: &Node, is_changed: bool, is_gone: bool) {
    if let Some(command) =
        restart::systemctl(node.engine, Scope::System, is_gone).filter(|_| is_changed && node.restart == How::Never)
    {
        print(&format!("to apply: systemctl {}\n", command.join(" ")));
    }
}

/// The signals that end a run that stays. Held back from the start: the first process of a container gets no other, and what is being
/// done is finished first.
fn ending(stays: bool) -> Result<Option<SigSet>> {
    let block = || {
        let signals = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT]);
        signals.thread_block().map(|()| signals)
    };
    let failed = |errno: nix::Error| Error::Io { doing: "hold signals back".to_owned(), cause: errno.into() };
    stays.then(block).transpose().map_err(failed)
}

/// Waits to be ended where that was wished for. A failure is said before, and not tried again by itself: each try may restart the
/// engine twice.
fn stay(done: Result<()>, signals: Option<SigSet>) -> Result<ExitCode> {
    let Some(signals) = signals else { return done.map(|()| ExitCode::SUCCESS) };
    if let Err(error) = &done {
        output::note(&error);
    }
    let ended = signals.wait();
    ended.map_err(|errno| Error::Io { doing: "wait for a signal".to_owned(), cause: errno.into() })?;
    Ok(if done.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn as_json(status: &Status) -> serde_json::Value {
    let unknown = |known: &Known<bool>| known.as_ref().map_or_else(|why| json!(why), |known| json!(known));
    let loaded = status.is_loaded.as_ref().map_or_else(|why| json!(why), |known| json!(known));
    json!({
        "ready": status.is_ready(),
        "gone": status.is_gone,
        "build": status.current,
        "previous": status.previous,
        "others": status.others,
        "engine": status.engine,
        "registered": unknown(&status.is_registered),
        "unfinished": status.is_unfinished,
        "loaded": loaded,
        "labelled": status.is_labelled,
        "users": status.users,
        "unseen": status.unseen,
        "otherProcesses": status.others_processes.iter().map(|(uid, count)| json!({"uid": uid, "count": count})).collect::<Vec<_>>(),
    })
}

fn as_text(status: &Status) -> String {
    let named = |name: &Option<String>| name.clone().unwrap_or_else(|| "none".to_owned());
    let known = |known: &Known<bool>| match known {
        Ok(true) => "yes".to_owned(),
        Ok(false) => "no".to_owned(),
        Err(why) => why.clone(),
    };
    let loaded = match &status.is_loaded {
        Ok(Some(loaded)) => known(&Ok(*loaded)),
        Ok(None) => "this engine does not say".to_owned(),
        Err(why) => why.clone(),
    };
    let unseen = match status.unseen.as_slice() {
        [] => String::new(),
        [first] => format!(", as far as the arguments of {first} tell"),
        [first, rest @ ..] => format!(", as far as the arguments of {first} and {} more tell", rest.len()),
    };
    let others: Vec<_> = status
        .others_processes
        .iter()
        .map(|(uid, count)| format!("; {count} processes of user {uid} do not keep it from being removed"))
        .collect();
    let others = others.concat();
    let registered = known(&status.is_registered) + if status.is_unfinished { ", unfinished" } else { "" };
    let lines = [
        ("ready", known(&Ok(status.is_ready()))),
        ("build", named(&status.current)),
        ("previous", named(&status.previous)),
        ("engine", status.engine.to_owned()),
        ("registered", registered),
        ("loaded", loaded),
        ("labelled", known(&Ok(status.is_labelled))),
        ("in use by", status.users.len().to_string() + &unseen + &others),
    ];
    lines.iter().map(|(key, value)| format!("{key:<12}{value}\n")).collect()
}
