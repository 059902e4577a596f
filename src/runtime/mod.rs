//! The story of one start: what an engine's call for runc becomes.
//!
//! ```text
//! argv ─→ Invocation ──(no bundle is read)───────────────────────────→ exec
//!           └ Bundle ─→ Spec ─→ Request ──(nothing asked)────────────→ exec
//!                                 └ grant: Registry ─→ Resolution ─→ Spec::apply ─→ Bundle::replace ─→ exec
//! ```
//!
//! Whatever is not a container that asks for a GPU leaves as early as it can; a broken configuration stops nobody else.

pub mod bundle;
pub mod exec;
mod grant;
pub mod invocation;
mod report;
mod stale;

pub use grant::{Granted, grant};

use std::convert::Infallible;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use self::bundle::Bundle;
use self::invocation::{Dialect, Invocation, Start, Verb};
use crate::config::Config;
use crate::error::{Error, Plain, Result};
use crate::host::Host;
use crate::oci::Spec;
use crate::oci::apply::Changes;
use crate::request::Request;
use crate::rootfs;
use crate::vendor::Vendors;

/// Runs gpu-runc with the arguments of an engine, program name first. Comes back only to report an error.
pub fn main(argv: &[OsString]) -> ExitCode {
    let (config, config_fault) = match Config::load(&Config::path()) {
        Ok(config) => (config, None),
        Err(fault) => (Config::default(), Some(fault)),
    };
    let runtime = exec::find(&config.runtimes);
    let invocation = Invocation::parse(argv, runtime.as_ref().map_or(Dialect::Runc, |path| Dialect::of(path)));
    let Err(error) = start(argv, runtime, &invocation, &config, config_fault);
    crate::log::start("gpu-runc", &config.log);
    log::error!("container={} error={error}", container(&invocation));
    report::report(&error.to_string(), &invocation);
    ExitCode::FAILURE
}

fn start(
    argv: &[OsString],
    runtime: Result<PathBuf>,
    invocation: &Invocation<'_>,
    config: &Config,
    config_fault: Option<Error>,
) -> Result<Infallible> {
    let runtime = runtime?;
    if let Verb::Start(start) = &invocation.verb {
        prepare(start, container(invocation), config, config_fault)?;
    }
    Err(exec::exec(&runtime, argv))
}

/// Gives the container of `start` the GPUs that it asks for, in its config.json.
fn prepare(start: &Start<'_>, container: Plain<'_>, config: &Config, config_fault: Option<Error>) -> Result<()> {
    let Some(bundle) = Bundle::read(&config_json(start))? else { return Ok(()) };
    let spec = Spec::parse(bundle.text(), bundle.path())?;
    let vendors = Vendors::with(&config.vendor);
    let known = *vendors.as_ref().unwrap_or(&Vendors::known());
    let request = Request::from_spec(&spec.view(), &config.policy, known);
    if let Ok(None) = request {
        return Ok(());
    }
    if let Some(fault) = config_fault.or(vendors.err()) {
        return Err(fault);
    }
    crate::log::start("gpu-runc", &config.log);
    let Some(request) = request? else { return Ok(()) };
    for refusal in &request.refusals {
        log::warn!("container={container} refused {}: {}", refusal.source, refusal.rule);
    }
    let (granted, text) = decide(&spec, &request, config, known)?;
    for note in &granted.notes {
        log::warn!("container={container} {note}");
    }
    if let Some(text) = text {
        bundle.replace(&text)?;
    }
    let view = spec.view();
    let taken: Vec<&str> = view.mounts.iter().map(|mount| &*mount.destination).collect();
    if let Some(root) = spec.root() {
        let rootfs = Path::new(start.bundle.unwrap_or_default()).join(&*root);
        for note in rootfs::prepare(&rootfs, &granted.edits, &taken) {
            log::warn!("container={container} {note}");
        }
    }
    for grant in granted.grants {
        log::info!("grant container={container} {grant}");
    }
    Ok(())
}

/// What `request` gets on this machine, and the text of the edited document (`None` if nothing in it changes). Reads CDI
/// files and the machine, writes nothing: `gpu-ctk explain` asks the same.
pub fn decide(
    spec: &Spec<'_>,
    request: &Request,
    config: &Config,
    vendors: Vendors,
) -> Result<(Granted, Option<String>)> {
    let granted = grant(request, config, vendors)?;
    let text = spec.apply(&Changes {
        edits: &granted.edits,
        replaced_hooks: &request.replaced_hooks,
        idmap: spec.has_user_namespace() && Host::is_initial_user_namespace()?,
    })?;
    Ok((granted, text))
}

/// The configuration that the low-level runtime will read.
fn config_json(start: &Start<'_>) -> PathBuf {
    match start.config {
        Some(file) => file.into(),
        None => Path::new(start.bundle.unwrap_or_default()).join("config.json"),
    }
}

/// The container's id, fit for a line of the log.
fn container<'a>(invocation: &Invocation<'a>) -> Plain<'a> {
    match &invocation.verb {
        Verb::Start(Start { id: Some(id), .. }) => Plain(id.to_str().unwrap_or("(not text)")),
        _ => Plain("-"),
    }
}
