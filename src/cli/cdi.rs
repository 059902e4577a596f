//! `gpu-ctk cdi`: the devices that containers can ask for, and the files that describe them.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;

use super::{named, print};
use crate::cdi::{self, Fault, Kind, Lookup, Problem, QualifiedName, Registry, Spec};
use crate::config::{Config, Generate};
use crate::error::{Error, Result};
use crate::generate::{self, By, Machine};
use crate::host::Host;
use crate::request::{Ask, Request, Source, Want};
use crate::runtime::grant;
use crate::vendor::Vendors;

/// Prints every device that can be asked for; what is wrong with the files goes to stderr.
pub(super) fn list(config: &Config, verbose: bool, as_json: bool) -> Result<ExitCode> {
    let mut registry = Registry::load_all(&config.cdi.spec_dirs);
    add_generated(&mut registry, config)?;
    let devices = devices(&registry);
    if as_json {
        let device =
            |(name, path, version): &Listed<'_>| json!({"name": name.to_string(), "file": path, "cdiVersion": version});
        let problem =
            |problem: &Problem| json!({"file": problem.path, "line": problem.line, "message": problem.message});
        let report = json!({
            "devices": devices.iter().map(device).collect::<Vec<_>>(),
            "problems": registry.problems().iter().map(problem).collect::<Vec<_>>(),
            "specDirs": config.cdi.spec_dirs,
        });
        print(&format!("{report:#}\n"));
        return Ok(ExitCode::SUCCESS);
    }
    print(&format!("Found {} CDI devices\n", devices.len()));
    let width = devices.iter().map(|(name, ..)| name.to_string().len()).max().unwrap_or_default();
    for (name, path, version) in &devices {
        match verbose {
            true => print(&format!("{:width$}  {}  {version}\n", name.to_string(), path.display())),
            false => print(&format!("{name}\n")),
        }
    }
    for problem in registry.problems() {
        eprintln!("gpu-ctk: {}", Error::from(problem.clone()));
    }
    Ok(ExitCode::SUCCESS)
}

/// Adds what would be described in memory; a vendor whose devices cannot be described is told on stderr.
fn add_generated(registry: &mut Registry, config: &Config) -> Result<()> {
    if config.inject.generate == Generate::Never {
        return Ok(());
    }
    let host = Host::open(&config.host.root)?;
    let machine = Machine { host: &host, roots: &config.host };
    for vendor in Vendors::with(&config.vendor)?.accelerators() {
        let Some(kind) = vendor.kinds.first().and_then(|kind| kind.parse::<Kind>().ok()) else { continue };
        match generate::everything(vendor, &kind, machine, By::Path) {
            Ok(Some(spec)) => registry.add(spec, &format!("generated:{}", vendor.name)),
            Ok(None) => {}
            Err(error) => eprintln!("gpu-ctk: {}: {error}", vendor.name),
        }
    }
    Ok(())
}

/// A device, its file, and the CDI version that the file declares.
type Listed<'a> = (QualifiedName, &'a Path, &'a str);

fn devices(registry: &Registry) -> Vec<Listed<'_>> {
    let of_kind = |kind: &Kind| {
        let names = registry.names(kind).into_iter().filter_map(|name| kind.device(name).ok());
        names
            .filter_map(|name| match registry.find(&name) {
                Lookup::Found { file, .. } => {
                    Some((name, registry.path(file), registry.spec(file)?.cdi_version.as_str()))
                }
                _ => None,
            })
            .collect::<Vec<_>>()
    };
    registry.kinds().into_iter().flat_map(of_kind).collect()
}

/// Prints what is wrong with each file, all of it. Exit status 1 if anything is.
pub(super) fn validate(config: &Config, files: &[PathBuf]) -> Result<ExitCode> {
    let mut is_good = true;
    for file in files {
        is_good &= verdict(file);
    }
    if files.is_empty() {
        let registry = Registry::load_all(&config.cdi.spec_dirs);
        for spec in registry.files().filter_map(|file| Some((registry.path(file), registry.spec(file)?))) {
            praise(spec.0, spec.1);
        }
        for problem in registry.problems() {
            is_good = false;
            print(&format!("{}\n", Error::from(problem.clone())));
        }
    }
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints whether the text of `file` is good.
fn verdict(file: &Path) -> bool {
    let judged = named::read(file).map_err(|error| error.to_string()).and_then(|text| {
        let fault = |Fault { line, message }| Error::Cdi { path: file.to_owned(), line, message }.to_string();
        cdi::parse(&text).map_err(|faults| faults.into_iter().map(fault).collect::<Vec<_>>().join("\n"))
    });
    match &judged {
        Ok(spec) => praise(file, spec),
        Err(faults) => print(&format!("{faults}\n")),
    }
    judged.is_ok()
}

fn praise(file: &Path, spec: &Spec) {
    let count = spec.devices.len();
    print(&format!("{}: valid: {} with {count} devices, CDI {}\n", file.display(), spec.kind, spec.cdi_version));
    for warning in cdi::advice::warnings(spec) {
        print(&format!("{}: warning: {warning}\n", file.display()));
    }
}

/// Prints the edits that `names` come to, complete as they would be injected.
pub(super) fn resolve(config: &Config, names: &[String]) -> Result<ExitCode> {
    let parsed: std::result::Result<Vec<QualifiedName>, String> = names.iter().map(|name| name.parse()).collect();
    let names =
        parsed.map_err(|why| Error::Usage(format!("{why}; expected vendor/class=name, such as nvidia.com/gpu=0")))?;
    let ask = Ask { source: Source::CommandLine, want: Want::Names(names) };
    let request = Request { asks: vec![ask], ..Request::default() };
    let granted = grant(&request, config, Vendors::with(&config.vendor)?)?;
    for note in &granted.notes {
        eprintln!("gpu-ctk: {note}");
    }
    print(&format!("{:#}\n", json!(granted.edits)));
    Ok(ExitCode::SUCCESS)
}
