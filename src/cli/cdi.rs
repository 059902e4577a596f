//! `gpu-ctk cdi`: the devices that containers can ask for, and the files that describe them.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;

use super::named;
use super::output::{self, answer};
use crate::cdi::{self, Fault, Kind, Lookup, Part, Problem, QualifiedName, Registry, Spec};
use crate::config::{Config, Generate};
use crate::doctor::stale;
use crate::error::{Error, Escaped, Result};
use crate::generate::{self, By, Machine};
use crate::host::Host;
use crate::request::{Ask, Options, Request, Source, Want};
use crate::runtime::grant;
use crate::runtime::sharing::Sharing;
use crate::vendor::Vendors;

/// Prints every device that can be asked for; what is wrong with the files goes to stderr.
pub(super) fn list(config: &Config, verbose: bool, as_json: bool) -> Result<ExitCode> {
    let mut registry = Registry::load_all(&config.cdi.spec_dirs);
    let (host, vendors) = (Host::open(&config.host.root)?, Vendors::with(&config.vendor)?);
    let machine = Machine { host: &host, roots: &config.host };
    let stale = outdated(&registry, machine, vendors);
    if config.inject.generate != Generate::Never {
        add_generated(&mut registry, machine, vendors);
    }
    let devices = devices(&registry);
    let problems: Vec<&Problem> = registry.problems().iter().chain(&stale).collect();
    if as_json {
        let device = |(name, path, version): &Listed<'_>| json!({"name": name.to_string(), "file": path.to_string_lossy(), "cdiVersion": version});
        let problem = |problem: &Problem| json!({"file": problem.path.to_string_lossy(), "line": problem.line, "message": problem.message});
        let report = json!({
            "devices": devices.iter().map(device).collect::<Vec<_>>(),
            "problems": problems.iter().map(|found| problem(found)).collect::<Vec<_>>(),
            "specDirs": config.cdi.spec_dirs,
        });
        output::json(&report)?;
        return Ok(ExitCode::SUCCESS);
    }
    let width = devices.iter().map(|(name, ..)| name.to_string().len()).max().unwrap_or_default();
    let line = |(name, path, version): &Listed<'_>| match verbose {
        true => format!("{:width$}  {}  {version}\n", name.to_string(), Escaped::path(path)),
        false => format!("{name}\n"),
    };
    answer(&format!("Found {} CDI devices\n{}", devices.len(), devices.iter().map(line).collect::<String>()))?;
    for problem in problems {
        output::note(&Error::from(problem.clone()));
    }
    Ok(ExitCode::SUCCESS)
}

/// What files name and the machine has not: who asks for a device of such a file does not get it from there.
fn outdated(registry: &Registry, machine: Machine<'_>, vendors: Vendors) -> Vec<Problem> {
    let of_file = |file| {
        let spec = registry.spec(file)?;
        let faults = stale::faults(spec, vendors.by_kind(&spec.kind), machine, &[]);
        let faults = faults.unwrap_or_else(|error| vec![error.to_string()]);
        let message = format!("out of date: {}", faults.join(", "));
        (!faults.is_empty()).then(|| Problem { path: registry.path(file).to_owned(), line: None, message })
    };
    registry.files().filter_map(of_file).collect()
}

/// Adds what would be described in memory; a vendor whose devices cannot be described is told on stderr.
fn add_generated(registry: &mut Registry, machine: Machine<'_>, vendors: Vendors) {
    for vendor in vendors.accelerators() {
        let Some(kind) = vendor.kinds.first().and_then(|kind| kind.parse::<Kind>().ok()) else { continue };
        match generate::everything(vendor, &kind, machine, By::Path) {
            Ok(Some(spec)) => registry.add(spec, &format!("generated:{}", vendor.name)),
            Ok(None) => {}
            Err(error) => output::note(&format_args!("{}: {error}", vendor.name)),
        }
    }
}

/// A device, its file, and the CDI version that the file declares.
type Listed<'a> = (QualifiedName, &'a Path, &'a str);

fn devices(registry: &Registry) -> Vec<Listed<'_>> {
    let of_kind = |kind: &Kind| {
        let names = registry.names(kind).into_iter().filter_map(|name| kind.device(name).ok());
        names
            .filter_map(|name| match registry.find(&name) {
                Lookup::Found(Part { file, .. }) => {
                    Some((name, registry.path(file), registry.spec(file)?.cdi_version.as_str()))
                }
                _ => None,
            })
            .collect::<Vec<_>>()
    };
    registry.kinds().into_iter().flat_map(of_kind).collect()
}

/// What is to be said of a file.
struct Verdict {
    file: PathBuf,
    /// Kind, number of devices and version of a good one.
    good: Option<(String, usize, String)>,
    faults: Vec<(Option<usize>, String)>,
    warnings: Vec<String>,
}

/// Prints what is wrong with each file, all of it. Exit status 1 if anything is.
pub(super) fn validate(config: &Config, files: &[PathBuf], json: bool) -> Result<ExitCode> {
    let verdicts: Vec<Verdict> = if files.is_empty() {
        let registry = Registry::load_all(&config.cdi.spec_dirs);
        // Those are this machine's own.
        let host = Host::open(&config.host.root)?;
        let machine = Machine { host: &host, roots: &config.host };
        let stale = outdated(&registry, machine, Vendors::with(&config.vendor)?);
        let verdict = |file| {
            let mut verdict = Verdict::of(registry.path(file), registry.spec(file)?);
            verdict.warnings.extend(
                stale.iter().filter(|problem| problem.path == verdict.file).map(|problem| problem.message.clone()),
            );
            Some(verdict)
        };
        let good = registry.files().filter_map(verdict);
        good.chain(registry.problems().iter().cloned().map(|problem| Verdict::from(Error::from(problem)))).collect()
    } else {
        files.iter().map(|file| judged(file)).collect()
    };
    let is_good = verdicts.iter().all(|verdict| verdict.faults.is_empty());
    match json {
        true => output::json(&json!(verdicts.iter().map(Verdict::to_json).collect::<Vec<_>>()))?,
        false => answer(&verdicts.iter().map(Verdict::to_text).collect::<String>())?,
    }
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What is to be said of the text of `file`.
fn judged(file: &Path) -> Verdict {
    let wrong = |faults| Verdict { file: file.to_owned(), good: None, faults, warnings: Vec::new() };
    match named::read(file).map(|text| cdi::parse(&text)) {
        Ok(Ok(spec)) => Verdict::of(file, &spec),
        Ok(Err(faults)) => wrong(faults.into_iter().map(|Fault { line, message }| (line, message)).collect()),
        Err(error) => wrong(vec![(None, error.to_string())]),
    }
}

impl Verdict {
    fn of(file: &Path, spec: &Spec) -> Self {
        let good = Some((spec.kind.to_string(), spec.devices.len(), spec.cdi_version.clone()));
        let warnings = cdi::advice::warnings(spec).iter().map(ToString::to_string).collect();
        Verdict { file: file.to_owned(), good, faults: Vec::new(), warnings }
    }

    fn to_text(&self) -> String {
        let file = Escaped::path(&self.file);
        let good = self
            .good
            .iter()
            .map(|(kind, count, version)| format!("{file}: valid: {kind} with {count} devices, CDI {version}\n"));
        let faults = self.faults.iter().map(|(line, message)| {
            // What cannot be read names its file itself.
            let is_named = message.contains(&*self.file.to_string_lossy());
            match line {
                Some(line) => format!("{file}:{line}: {message}\n"),
                None if is_named => format!("{message}\n"),
                None => format!("{file}: {message}\n"),
            }
        });
        let warnings = self.warnings.iter().map(|warning| format!("{file}: warning: {warning}\n"));
        good.chain(faults).chain(warnings).collect()
    }

    fn to_json(&self) -> serde_json::Value {
        let fault = |(line, message): &(Option<usize>, String)| json!({"line": line, "message": message});
        let (kind, devices, version) = self
            .good
            .clone()
            .map_or((None, None, None), |(kind, devices, version)| (Some(kind), Some(devices), Some(version)));
        json!({
            "file": self.file.to_string_lossy(), "valid": self.faults.is_empty(), "kind": kind, "devices": devices, "cdiVersion": version,
            "faults": self.faults.iter().map(fault).collect::<Vec<_>>(), "warnings": self.warnings,
        })
    }
}

impl From<Error> for Verdict {
    fn from(error: Error) -> Self {
        let (file, fault) = match error {
            Error::Cdi { path, line, message } => (path, (line, message)),
            error => (PathBuf::new(), (None, error.to_string())),
        };
        Verdict { file, good: None, faults: vec![fault], warnings: Vec::new() }
    }
}

/// Prints the edits that `names` come to, complete as they would be injected.
pub(super) fn resolve(config: &Config, names: &[String]) -> Result<ExitCode> {
    let parsed: std::result::Result<Vec<QualifiedName>, String> = names.iter().map(|name| name.parse()).collect();
    let names =
        parsed.map_err(|why| Error::Usage(format!("{why}; expected vendor/class=name, such as nvidia.com/gpu=0")))?;
    let options = Options::default();
    let ask = Ask { source: Source::CommandLine, want: Want::Names(names), options, beside: None };
    let request = Request { asks: vec![ask], ..Request::default() };
    let host = Host::open(&config.host.root)?;
    let mut sharing = Sharing::look(config, &host, None);
    let granted = grant(&request, config, Vendors::with(&config.vendor)?, &host, &mut sharing)?;
    for note in &granted.notes {
        output::note(&note);
    }
    for line in granted.work.lines() {
        output::note(&format_args!("beside that, in the container's root: {line}"));
    }
    output::json(&json!(granted.edits))?;
    Ok(ExitCode::SUCCESS)
}
