//! The story of one start: what an engine's call for runc becomes.
//!
//! ```text
//! argv ─→ Invocation ──(no bundle is read)───────────────────────────→ exec
//!           └ Bundle ─→ Spec ─→ Request ──(nothing asked)────────────→ exec
//!                                 └ grant: Registry ─→ Resolution ─→ rootfs ─→ Spec::apply ─→ Bundle::replace ─→ exec
//! ```
//!
//! Whatever is not a container that asks for a GPU leaves as early as it can; a broken configuration stops nobody else.

pub mod access;
pub mod bundle;
mod devices;
pub mod exec;
mod grant;
pub mod invocation;
mod journal;
pub mod low_level;
mod memory;
mod params;
mod report;
pub mod sharing;
mod stale;

pub use devices::deliver;
pub use grant::{Granted, grant};

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use self::bundle::Bundle;
use self::invocation::{Dialect, Invocation, Start, Verb};
use self::journal::Journal;
use self::sharing::Sharing;
use crate::cdi::{ContainerEdits, Mount};
use crate::config::Config;
use crate::devfs::char_links;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::oci::apply::Changes;
use crate::oci::devices::Routes;
use crate::oci::{Spec, View};
use crate::request::Request;
use crate::rootfs::{self, File, Prepared, Work, arguments};
use crate::vendor::Vendors;

/// Runs gpu-runc with the arguments of an engine, program name first. Comes back only to report an error.
pub fn main(argv: &[OsString]) -> ExitCode {
    let (config, config_fault) = match Config::load(&Config::path()) {
        Ok(config) => (config, None),
        Err(fault) => (Config::default(), Some(fault)),
    };
    let runtime = low_level::first(&config.runtimes);
    let invocation = Invocation::parse(argv, runtime.as_ref().map_or(Dialect::Runc, |path| Dialect::of(path)));
    let Err(error) = start(argv, runtime, &invocation, &config, config_fault);
    crate::log::start("gpu-runc", &config.log);
    Journal::of(container(&invocation)).error(&error);
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
    let first = runtime?;
    let fitting = match &invocation.verb {
        Verb::Start(start) => prepare(start, invocation, config, config_fault, (argv, &first))?,
        Verb::Other => low_level::owner(&config.runtimes, &first, argv),
    };
    Err(exec::exec(&fitting.unwrap_or(first), argv))
}

/// Gives the container of `start` the GPUs that it asks for, in its config.json. `call` is the arguments and the first low-level
/// runtime; returns one that fits the container better.
fn prepare(
    start: &Start<'_>,
    invocation: &Invocation<'_>,
    config: &Config,
    config_fault: Option<Error>,
    (argv, first): (&[OsString], &Path),
) -> Result<Option<PathBuf>> {
    const PIPE: &str = "config.json is a pipe: it is left to the low-level runtime, with any GPU request in it";
    let path = config_json(start);
    let container = container(invocation);
    let bundle = match Bundle::read(&path) {
        Err(_) if Bundle::is_pipe(&path) => {
            crate::log::start("gpu-runc", &config.log);
            Journal::of(container).warnings(&[PIPE.to_owned()]);
            return Ok(None);
        }
        bundle => bundle?,
    };
    let Some(bundle) = bundle else { return Ok(None) };
    let spec = Spec::parse(bundle.text(), bundle.path())?;
    let vendors = Vendors::with(&config.vendor);
    let known = *vendors.as_ref().unwrap_or(&Vendors::known());
    let view = spec.view();
    let fitting = low_level::fitting(&config.runtimes, first, argv, &view);
    let request = Request::from_spec(&view, &config.policy, known);
    if let Ok(None) = request {
        return Ok(fitting.runtime);
    }
    if let Some(fault) = config_fault.or(vendors.err()) {
        return Err(fault);
    }
    crate::log::start("gpu-runc", &config.log);
    let Some(request) = request? else { return Ok(fitting.runtime) };
    let journal = Journal::of(container);
    journal.refusals(&request.refusals);
    let host = Host::open(&config.host.root)?;
    let place = sharing::container(fitting.runtime.as_deref().unwrap_or(first), invocation.root, start.id);
    let mut sharing = Sharing::lock(config, &host, &request, &spec, place);
    let mut granted = decide(&spec, &view, &request, config, known, &host, &mut sharing)?;
    let bundle_dir = Path::new(start.bundle.filter(|bundle| !bundle.is_empty()).unwrap_or(OsStr::new(".")));
    granted.notes.extend(sharing.record(&granted, bundle_dir)?);
    // Where the low-level runtime makes the device nodes, the container gets them all the same.
    for error in devices::make_missing(&mut granted.edits, &config.host) {
        journal.debug(&error);
    }
    let routes = deliver(&spec, &view, &mut granted, &host, false)?;
    granted.notes.extend(access::check(
        &granted.edits.device_nodes,
        fitting.keeps_groups,
        fitting.note.as_deref(),
        &host,
    )?);
    granted.notes.extend(fitting.note);
    // A document that names no root is for the low-level runtime to refuse; nothing can be done in it meanwhile.
    let rootfs = spec.root()?.map(|root| Path::new(start.bundle.unwrap_or_default()).join(&*root)).unwrap_or_default();
    let notes = in_root(&rootfs, container, &view, &bundle, start, &mut granted.edits, &granted.work);
    granted.notes.extend(notes);
    journal.warnings(&granted.notes);
    if let Some(text) = edited(&spec, &request, &granted, &routes)? {
        bundle.replace(&text)?;
    }
    let nodes = granted.edits.device_nodes.iter().filter(|node| node.node_type == "c");
    let nodes = nodes.map(|node| (node.on_host(), (node.major, node.minor)));
    // Where that cannot be, as for a user who is not root, there is no systemd either that needs them from here.
    if let Err(error) = char_links::make(&host, nodes) {
        journal.debug(&error);
    }
    journal.grants(&granted.grants);
    // The next thing is another program: to free this piece by piece would be work for nobody.
    std::mem::forget(granted);
    Ok(fitting.runtime)
}

/// What `request`, read from the `view` of `spec`, gets on this machine. Reads CDI files and the machine, writes nothing:
/// `gpu-ctk explain` asks the same.
pub fn decide(
    spec: &Spec<'_>,
    view: &View<'_>,
    request: &Request,
    config: &Config,
    vendors: Vendors,
    host: &Host,
    sharing: &mut Sharing<'_>,
) -> Result<Granted> {
    spec.check()?;
    let mut granted = grant(request, config, vendors, host, sharing)?;
    granted.work.has_params &= config.inject.params && view.makes_nodes;
    if let Some(driver) = granted.work.driver.filter(|_| granted.work.has_params) {
        granted.work.has_params = params::matter(driver, &granted.edits, host)?;
    }
    // Last, because the records are locked from here on.
    sharing.check(&granted)?;
    Ok(granted)
}

/// The text of the document with the edits of `granted` made to it, their device nodes by `routes`; `None` if nothing in it changes.
pub fn edited(spec: &Spec<'_>, request: &Request, granted: &Granted, routes: &Routes) -> Result<Option<String>> {
    let Granted { edits, unified, .. } = granted;
    spec.apply(&Changes { edits, routes, replaced_hooks: &request.replaced_hooks, unified })
}

/// Does `work` in the container's root, and changes `edits` for what could not be done there. Returns notes.
fn in_root(
    rootfs: &Path,
    container: &str,
    view: &View<'_>,
    bundle: &Bundle,
    start: &Start<'_>,
    edits: &mut ContainerEdits,
    work: &Work,
) -> Vec<String> {
    let Prepared { mut notes, mounts, files, left_out } = rootfs::prepare(rootfs, container, work, edits, &view.mounts);
    if !left_out.is_empty() {
        edits.mounts.retain(|mount| !left_out.contains(&mount.container_path));
    }
    edits.mounts.extend(mounts);
    for File { name, place, bytes } in &files {
        match bundle.put(Path::new(start.bundle.unwrap_or_default()), name, bytes) {
            Ok(source) => edits.mounts.push(prepared_mount(source, place)),
            Err(error) => notes.push(error.to_string()),
        }
    }
    if let Some(driver) = work.driver.filter(|_| work.has_params) {
        match exec::own_path() {
            Ok(program) => edits.hooks.push(arguments::params(driver, &program)),
            Err(error) => notes.push(error.to_string()),
        }
    }
    notes
}

/// The mount of a file that was prepared in the bundle's directory.
fn prepared_mount(source: String, place: &str) -> Mount {
    const OPTIONS: [&str; 6] = ["bind", "ro", "nosuid", "nodev", "noexec", "rprivate"];
    Mount {
        host_path: source,
        container_path: place.to_owned(),
        mount_type: "bind".to_owned(),
        options: OPTIONS.map(str::to_owned).to_vec(),
    }
}

/// The configuration that the low-level runtime will read.
fn config_json(start: &Start<'_>) -> PathBuf {
    match start.config {
        Some(file) => file.into(),
        None => Path::new(start.bundle.unwrap_or_default()).join("config.json"),
    }
}

/// The container's id.
fn container<'a>(invocation: &Invocation<'a>) -> &'a str {
    match &invocation.verb {
        Verb::Start(Start { id: Some(id), .. }) => id.to_str().unwrap_or("(not text)"),
        _ => "-",
    }
}
