//! Docker's `--gpus`, made to work by one plan: gpu-runc as the default runtime, the names that Docker looks for, and, where it is asked
//! for, a policy under which environment variables give nothing.
//!
//! Decides what is to be done, from the files, the links and what the daemon says; changes nothing.

use std::path::{Path, PathBuf};

use super::{Plan, Runtime, Scope, docker, loaded, names, only, place};
use crate::error::{Escaped, Result};
use crate::vendor::{Vendor, Vendors};

/// What is to be set up, for which machine.
#[derive(Debug)]
pub struct Setup<'a> {
    /// The directory for the names; `None` for the best one on the daemon's PATH.
    pub names_dir: Option<&'a Path>,
    /// Whether environment variables are to give nothing.
    pub only: bool,
    /// The vendors of which the machine has devices.
    pub here: &'a [&'static Vendor],
    /// All vendors.
    pub vendors: Vendors,
    /// gpu-runc's own configuration file.
    pub own_config: &'a Path,
    /// What the daemon's program says is its version, for a daemon that does not run.
    pub version: Option<Vec<u32>>,
}

/// `plan`, which registers `runtime` with the Docker whose file is at `config`, with all that its `--gpus` needs. Errors: no directory
/// for the names, links or files that cannot be read, and those of the file.
pub fn with(mut plan: Plan, config: &Path, scope: Scope, runtime: &Runtime, setup: &Setup<'_>) -> Result<Plan> {
    let file = place::read(config)?;
    let path = names::daemon_path(scope, config);
    let before = docker::names_directory(&file, &runtime.name)?;
    // What was chosen once stays, as long as it is good.
    let asked = setup.names_dir.or(before.as_deref());
    let folder = names::directory(asked, &path, scope)?;
    let info = loaded::socket(scope, config).and_then(|socket| loaded::docker_info(&socket)).ok();
    let version = info.as_ref().and_then(loaded::docker_version).or_else(|| setup.version.clone());
    let fitting = names::fitting(setup.here, version.as_deref(), setup.only, setup.vendors);
    let all = names::all(setup.vendors);
    let program = Path::new(&runtime.path);
    let (mut links, notes) = names::plan(&folder, &fitting, &all, program, &path)?;
    if let Some(old) = before.filter(|before| *before != folder) {
        links.extend(gone(&old, &all)?);
    }
    plan = docker::recorded(plan, &file, &runtime.name, &folder)?;
    plan.links = links;
    plan.notes.extend(notes);
    if setup.only {
        let own = only::plan(&place::read(setup.own_config)?, true)?;
        plan.changes.extend(Plan::of([own]).changes);
        plan.notes.push(format!(
            "{}: environment variables give no GPU any more, to podman and other engines neither; --gpus, annotations and CDI names do",
            Escaped::path(setup.own_config)
        ));
    } else {
        plan.notes.push(
            "gpu-runc is the default runtime now, so that images that set NVIDIA_VISIBLE_DEVICES, as CUDA's set \"all\", get GPUs without \
             --gpus, as with NVIDIA's toolkit; --gpus-only keeps them from it"
                .to_owned(),
        );
    }
    if setup.here.is_empty() {
        plan.notes.push("no GPU is found on this host yet; run this again when its driver is loaded".to_owned());
    }
    Ok(plan)
}

/// `plan`, which takes the runtime `name` out of the Docker whose file is at `config`, with what `--gpus` had added.
pub fn without(mut plan: Plan, config: &Path, name: &str, own_config: &Path, vendors: Vendors) -> Result<Plan> {
    let Some(folder) = docker::names_directory(&place::read(config)?, name)? else { return Ok(plan) };
    plan.links = gone(&folder, &names::all(vendors))?;
    let own = only::plan(&place::read(own_config)?, false)?;
    plan.changes.extend(Plan::of([own]).changes);
    Ok(plan)
}

/// Whether the daemon must be started again for the names that are there already.
pub fn needs_restart(config: &Path, scope: Scope, name: &str, vendors: Vendors) -> Result<bool> {
    let folder = docker::names_directory(&place::read(config)?, name)?;
    Ok(folder.is_some_and(|folder| loaded::has_newer_names(scope, config, &folder, &names::all(vendors))))
}

fn gone(folder: &Path, all: &[&str]) -> Result<Vec<names::Link>> {
    let mut links = Vec::new();
    for path in all.iter().map(|name| folder.join(name)) {
        if let names::Standing::Ours(target) = names::standing(&path)? {
            links.push(names::Link { path, before: Some(target), after: None });
        }
    }
    Ok(links)
}

/// The directory of the names that are recorded for the runtime `name` in the file at `config`.
pub fn directory(config: &Path, name: &str) -> Result<Option<PathBuf>> {
    docker::names_directory(&place::read(config)?, name)
}
