//! `gpu-ctk runtime`: registers gpu-runc with the engines of this machine.

use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;

use super::output::{self, print};
use super::patch;
use crate::config::{Config, Who};
use crate::configure::loaded::{self, Loaded};
use crate::configure::names::Link;
use crate::configure::{self, Change, Engine, Plan, Runtime, Scope, detect, gpus, restart};
use crate::error::{Error, Escaped, Result};
use crate::generate::{self, Machine};
use crate::host::Host;
use crate::vendor::{Vendor, Vendors};

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
    /// Docker: make `docker run --gpus` work, for GPUs of any vendor. Makes gpu-runc the default runtime, and links the names that Docker
    /// looks for to it
    #[arg(long, conflicts_with = "unconfigure")]
    gpus: bool,
    /// The same, and environment variables give no GPU: images that set NVIDIA_VISIBLE_DEVICES get one by --gpus only. Holds for all engines
    #[arg(long, conflicts_with = "unconfigure")]
    gpus_only: bool,
    /// Where to link the names; without it, /usr/local/bin, or the first directory on the daemon's PATH that is root's alone
    #[arg(long, value_name = "DIR", conflicts_with = "unconfigure")]
    names_dir: Option<PathBuf>,
    /// Where --gpus was given before: fit the names to the GPUs that this host has now. Elsewhere, do nothing
    #[arg(long, conflicts_with_all = ["unconfigure", "gpus", "gpus_only", "names_dir", "set_as_default", "pod_annotations"])]
    refresh: bool,
    /// The system's engine, which is root's
    #[arg(long, conflicts_with = "user")]
    system: bool,
    /// The rootless engine of this user
    #[arg(long)]
    user: bool,
    /// Take out what was put in before, and nothing else
    #[arg(long)]
    unconfigure: bool,
    /// Write nothing; print what would change
    #[arg(long)]
    dry_run: bool,
    /// How the engine is made to read its files again, if any changed or the daemon that runs has not loaded them
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

/// One engine, as it is to be configured.
struct Target {
    engine: Engine,
    scope: Scope,
    config: PathBuf,
    own_config: PathBuf,
    vendors: Vendors,
}

impl Configure {
    /// Changes the engine's files, or prints how they would change.
    pub(super) fn run(&self, loaded: Result<Config>) -> Result<ExitCode> {
        let engine = self.engine.map_or_else(detect::engine, |named| Ok(named.into()))?;
        let has_gpus = self.gpus || self.gpus_only || self.refresh || self.names_dir.is_some();
        if has_gpus && engine != Engine::Docker {
            return Err(Error::Usage(format!(
                "--gpus is for Docker; {} asks by CDI names, for which \"gpu-ctk cdi generate\" writes a spec, or by environment variables",
                detect::name(engine)
            )));
        }
        let asked =
            [(self.system, Scope::System), (self.user, Scope::User)].into_iter().find(|(is_asked, _)| *is_asked);
        let asked = asked.map(|(_, scope)| scope).or_else(|| self.config.as_ref().map(|_| Scope::of_caller()));
        let scope = Scope::choose(engine, asked)?;
        let usual = detect::config(engine, scope);
        let config = self.config.as_ref().unwrap_or(&usual);
        let config = std::path::absolute(config).map_err(|cause| Error::io("find", config, cause))?;
        let described = if has_gpus { loaded? } else { loaded.unwrap_or_default() };
        let vendors = Vendors::with(&described.vendor)?;
        let target = Target { engine, scope, config, own_config: Config::path(), vendors };
        let runtime = if self.unconfigure { None } else { Some(self.runtime(has_gpus)?) };
        let is_there = self.runtime_path.as_deref().map_or(Ok(true), detect::is_startable)?;
        if !is_there && target.config == usual {
            let elsewhere = "to write files for another machine or an image, name them by --config";
            return Err(self.wrong_path(&format!("there is no such program; {elsewhere}")));
        }
        if self.refresh && gpus::directory(&target.config, &self.runtime_name)?.is_none() {
            print(&format!("{target}: --gpus was not set up, nothing to refresh\n"));
            return Ok(ExitCode::SUCCESS);
        }
        let plan = self.plan(&target, runtime.as_ref(), has_gpus, &described);
        let mut plan = plan.map_err(|error| self.with_advice(error, &target))?.with_folders();
        if let Some(path) = self.runtime_path.as_ref().filter(|_| !is_there) {
            let until = "no container of this runtime starts until it is";
            plan.notes.push(format!("{} is not there yet: {until}", Escaped::path(path)));
        }
        for note in plan.notes.iter().filter(|_| !(self.refresh && plan.is_nothing())) {
            output::note(note);
        }
        if self.dry_run {
            print(&plan.changes.iter().map(diff).chain(plan.links.iter().map(link_diff)).collect::<String>());
            return Ok(ExitCode::SUCCESS);
        }
        self.act(&plan, &target, runtime.as_ref()).map(|()| ExitCode::SUCCESS)
    }

    fn plan(&self, target: &Target, runtime: Option<&Runtime>, has_gpus: bool, described: &Config) -> Result<Plan> {
        let Target { engine, scope, config, own_config, vendors } = target;
        let plan = configure::plan(*engine, config, &self.runtime_name, runtime)?;
        match runtime {
            Some(runtime) if has_gpus => {
                let host = Host::open(&described.host.root)?;
                let machine = Machine { host: &host, roots: &described.host };
                // One that cannot be read is there.
                let has = |vendor: &&'static Vendor| {
                    generate::inventory(vendor, machine).map_or(true, |items| !items.is_empty())
                };
                let setup = gpus::Setup {
                    names_dir: self.names_dir.as_deref(),
                    only: self.gpus_only || self.refresh && described.policy.env == Who::Never,
                    here: &vendors.accelerators().into_iter().filter(has).collect::<Vec<_>>(),
                    vendors: *vendors,
                    own_config,
                    version: configure::ask::dockerd_version(),
                };
                gpus::with(plan, config, *scope, runtime, &setup)
            }
            None if *engine == Engine::Docker => gpus::without(plan, config, &self.runtime_name, own_config, *vendors),
            _ => Ok(plan),
        }
    }

    fn act(&self, plan: &Plan, target: &Target, runtime: Option<&Runtime>) -> Result<()> {
        let Target { engine, scope, config, vendors, .. } = target;
        let is_docker = *engine == Engine::Docker;
        let mut anew = self.unconfigure || !plan.links.is_empty();
        if plan.is_nothing() {
            anew |= is_docker && gpus::needs_restart(config, *scope, &self.runtime_name, *vendors)?;
            let has = loaded::check(*engine, *scope, config, &self.runtime_name, runtime);
            let is_stale = has == Loaded::No || anew && !self.unconfigure;
            if !is_stale {
                print(&format!("{target}: nothing to change\n"));
                return Ok(());
            }
            print(&format!("{target}: nothing to change in its files, which the running daemon has not loaded\n"));
        }
        if self.restart == How::Signal {
            restart::check_signal(*engine, *scope, config)?;
        }
        plan.apply().map_err(|error| self.with_advice(error, target))?;
        for change in &plan.changes {
            let done = if change.after.is_some() { "wrote" } else { "removed" };
            print(&format!("{done} {} ({scope})\n", Escaped::path(&change.path)));
        }
        for link in &plan.links {
            let done = if link.after.is_some() { "linked" } else { "removed" };
            print(&format!("{done} {} ({scope})\n", Escaped::path(&link.path)));
        }
        match self.restart {
            How::None => {
                if let Some(command) = restart::systemctl(*engine, *scope, anew) {
                    print(&format!("to apply ({scope}): {}systemctl {}\n", scope.sudo(), command.join(" ")));
                }
                Ok(())
            }
            How::Signal => restart::by_signal(*engine, *scope, config, anew, PATIENCE),
            How::Systemd => restart::by_systemd(*engine, *scope, anew, &[]),
        }
    }

    fn wrong_path(&self, why: &str) -> Error {
        let path = self.runtime_path.clone().unwrap_or_default();
        Error::Usage(format!("--runtime-path {}: {why}", Escaped::path(&path)))
    }

    /// A user whose environment is another's is told where the file's name is from.
    fn with_advice(&self, error: Error, target: &Target) -> Error {
        match target.scope {
            _ if !error.is_denied() || nix::unistd::geteuid().is_root() => error,
            Scope::User if self.config.is_none() => Error::Usage(format!(
                "{error}; the engine of this user is meant, whose files are below HOME or XDG_CONFIG_HOME: set it to this user's, or \
                 run {} for the engine of the system",
                Scope::System.advice(detect::name(target.engine))
            )),
            Scope::User => error,
            Scope::System => Error::Usage(format!("{error}; {target} is root's: run this by sudo")),
        }
    }

    fn runtime(&self, has_gpus: bool) -> Result<Runtime> {
        let path = self.runtime_path.clone().map_or_else(detect::gpu_runc, Ok)?;
        if !path.is_absolute() {
            return Err(self.wrong_path("expected an absolute path, engines start it from other folders"));
        }
        let path = path.to_str().ok_or_else(|| self.wrong_path("its name is not UTF-8 text"))?.to_owned();
        Ok(Runtime {
            name: self.runtime_name.clone(),
            path,
            is_default: self.set_as_default || has_gpus,
            takes_annotations: self.pod_annotations,
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", detect::name(self.engine), self.scope)
    }
}

/// The change as a patch.
fn diff(change: &Change) -> String {
    let path = Escaped::path(&change.path).to_string();
    let side = |text: &Option<String>| if text.is_some() { path.clone() } else { "/dev/null".to_owned() };
    let (before, after) = (change.before.as_deref().unwrap_or_default(), change.after.as_deref().unwrap_or_default());
    let (old, new) = (side(&change.before), side(&change.after));
    patch::unified(before, after, (&old, &new))
}

/// The link in words, which `patch` passes over.
fn link_diff(link: &Link) -> String {
    let path = Escaped::path(&link.path);
    match &link.after {
        Some(target) => format!("link {path} -> {}\n", Escaped::path(target)),
        None => format!("remove {path}\n"),
    }
}
