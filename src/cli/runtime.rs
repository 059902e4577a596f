//! `gpu-ctk runtime`: telling the engines of this machine of gpu-runc.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;

use super::output::{self, print};
use super::patch;
use crate::configure::{self, Change, Engine, Plan, Runtime, detect, place, restart};
use crate::error::{Error, Escaped, Result};

/// What to tell which engine.
#[derive(Debug, clap::Args)]
pub(super) struct Configure {
    /// The engine; without it, the one that this machine has
    // The aliases are what nvidia-ctk calls the same.
    #[arg(long, value_enum, alias = "runtime")]
    engine: Option<Named>,
    /// The engine's main file, in place of the usual one; drop-ins are looked for beside it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What the engine calls the runtime
    #[arg(long, value_name = "NAME", default_value = "gpu-runc")]
    runtime_name: String,
    /// The gpu-runc to start; without it, the one beside gpu-ctk, in /usr/local/bin or in /usr/bin. It has to be there, but for a
    /// --config that is not this machine's
    #[arg(long, value_name = "FILE", conflicts_with = "unconfigure")]
    runtime_path: Option<PathBuf>,
    /// Give it also to containers that name no runtime; without this, the default stays what it is
    #[arg(long, conflicts_with = "unconfigure", alias = "nvidia-set-as-default")]
    set_as_default: bool,
    /// Let pods ask by annotations gpu-runc/…, which containerd, k3s and rke2 hand on only then. CRI-O always does
    #[arg(long, conflicts_with = "unconfigure")]
    pod_annotations: bool,
    /// Take out what was put in before, and nothing else
    #[arg(long)]
    unconfigure: bool,
    /// Write nothing; print what would change
    #[arg(long)]
    dry_run: bool,
    /// How the engine is made to read its files again, if any changed
    #[arg(long, value_name = "HOW", value_enum, default_value = "none")]
    restart: How,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Named {
    Containerd,
    Docker,
    Crio,
    Podman,
    K3s,
    Rke2,
}

/// The longest that an engine that was sent SIGHUP is waited for.
const PATIENCE: Duration = Duration::from_mins(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum How {
    /// Not; the command that does it is printed
    None,
    /// Send SIGHUP
    Signal,
    /// Ask systemd
    Systemd,
}

impl From<Named> for Engine {
    fn from(named: Named) -> Self {
        match named {
            Named::Containerd => Engine::Containerd,
            Named::Docker => Engine::Docker,
            Named::Crio => Engine::Crio,
            Named::Podman => Engine::Podman,
            Named::K3s => Engine::K3s,
            Named::Rke2 => Engine::Rke2,
        }
    }
}

impl Configure {
    /// Changes the engine's files, or prints how they would change.
    pub(super) fn run(&self) -> Result<ExitCode> {
        let engine = self.engine.map_or_else(detect::engine, |named| Ok(named.into()))?;
        let usual = detect::config(engine);
        let config = self.config.as_ref().unwrap_or(&usual);
        let config = std::path::absolute(config).map_err(|cause| Error::io("find", config, cause))?;
        let runtime = if self.unconfigure { None } else { Some(self.runtime()?) };
        let is_there = self.runtime_path.as_deref().map_or(Ok(true), detect::is_startable)?;
        if !is_there && config == usual {
            let elsewhere = "to write files for another machine or an image, name them by --config";
            return Err(self.wrong_path(&format!("there is no such program; {elsewhere}")));
        }
        let plan = configure::plan(engine, &config, &self.runtime_name, runtime.as_ref());
        let mut plan = plan.map_err(|error| self.with_advice(error))?.with_folders();
        if let Some(path) = self.runtime_path.as_ref().filter(|_| !is_there) {
            let until = "no container of this runtime starts until it is";
            plan.notes.push(format!("{} is not there yet: {until}", Escaped::path(path)));
        }
        for note in &plan.notes {
            output::note(note);
        }
        if self.dry_run {
            print(&plan.changes.iter().map(diff).collect::<String>());
            return Ok(ExitCode::SUCCESS);
        }
        if plan.changes.is_empty() {
            print(&format!("{}: nothing to change\n", detect::name(engine)));
            return Ok(ExitCode::SUCCESS);
        }
        if self.restart == How::Signal {
            restart::check_signal(engine, &config)?;
        }
        apply(&plan)?;
        match self.restart {
            How::None => {
                if let Some(command) = restart::systemctl(engine, self.unconfigure) {
                    print(&format!("to apply: systemctl {}\n", command.join(" ")));
                }
            }
            How::Signal => restart::by_signal(engine, &config, self.unconfigure, PATIENCE)?,
            How::Systemd => restart::by_systemd(engine, self.unconfigure, &[])?,
        }
        Ok(ExitCode::SUCCESS)
    }

    fn wrong_path(&self, why: &str) -> Error {
        let path = self.runtime_path.clone().unwrap_or_default();
        Error::Usage(format!("--runtime-path {}: {why}", Escaped::path(&path)))
    }

    /// A user whose environment is another's is told where the file's name is from.
    fn with_advice(&self, error: Error) -> Error {
        match error.is_denied() && self.config.is_none() && !nix::unistd::geteuid().is_root() {
            true => Error::Usage(format!(
                "{error}; the engine of this user is meant, whose files are below HOME or XDG_CONFIG_HOME: set it to this user's, or \
                 run this as root for the engine of the machine"
            )),
            false => error,
        }
    }

    fn runtime(&self) -> Result<Runtime> {
        let path = self.runtime_path.clone().map_or_else(detect::gpu_runc, Ok)?;
        if !path.is_absolute() {
            return Err(self.wrong_path("expected an absolute path, engines start it from other folders"));
        }
        let path = path.to_str().ok_or_else(|| self.wrong_path("its name is not UTF-8 text"))?.to_owned();
        Ok(Runtime {
            name: self.runtime_name.clone(),
            path,
            is_default: self.set_as_default,
            takes_annotations: self.pod_annotations,
        })
    }
}

fn apply(plan: &Plan) -> Result<()> {
    for change in &plan.changes {
        place::apply(change)?;
        let done = if change.after.is_some() { "wrote" } else { "removed" };
        print(&format!("{done} {}\n", Escaped::path(&change.path)));
    }
    Ok(())
}

/// The change as a patch.
fn diff(change: &Change) -> String {
    let path = Escaped::path(&change.path).to_string();
    let side = |text: &Option<String>| if text.is_some() { path.clone() } else { "/dev/null".to_owned() };
    let (before, after) = (change.before.as_deref().unwrap_or_default(), change.after.as_deref().unwrap_or_default());
    let (old, new) = (side(&change.before), side(&change.after));
    patch::unified(before, after, (&old, &new))
}
