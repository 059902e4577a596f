//! `gpu-ctk cdi generate`: what gpu-runc would describe in memory, as a file for every engine.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ValueEnum;

use super::print;
use crate::cdi::{Kind, Spec, write};
use crate::config::Config;
use crate::error::{Error, Quoted, Result};
use crate::generate::{self, Chosen, Machine};
use crate::host::Host;
use crate::vendor::{Vendor, Vendors};

/// What to describe, and where to.
#[derive(Debug, clap::Args)]
pub(super) struct Generate {
    /// Whose devices; without it, those of the one vendor that this machine has
    #[arg(long, value_name = "NAME")]
    vendor: Option<String>,
    /// Write here instead of to stdout; the file that was there is replaced in one step
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// What to write; without it, what the name of the file says, else yaml
    #[arg(long, value_enum)]
    format: Option<Format>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Json,
    Yaml,
}

impl Generate {
    /// Prints the spec, or writes it. Exit status 1 if this machine has no such device.
    pub(super) fn run(&self, config: &Config) -> Result<ExitCode> {
        let spec = self.spec(config)?;
        match &self.output {
            Some(path) => {
                let (dir, name) = self.file(path)?;
                print(&format!("{}\n", write::write_spec(dir, &name, &spec)?.display()));
            }
            None if self.format == Some(Format::Json) => print(&format!("{}\n", write::to_json(&spec))),
            None => print(&write::to_yaml(&spec)),
        }
        Ok(ExitCode::SUCCESS)
    }

    fn spec(&self, config: &Config) -> Result<Spec> {
        let host = Host::open(&config.host.root)?;
        let describe = |vendor: &'static Vendor| -> Result<Option<Spec>> {
            let Some(kind) = vendor.kinds.first().and_then(|kind| kind.parse::<Kind>().ok()) else { return Ok(None) };
            let machine = Machine { host: &host, roots: &config.host };
            generate::spec(vendor, &kind, machine, &|_, _| true, &Chosen::new(vendor, None))
        };
        let vendors = Vendors::with(&config.vendor)?;
        let known = || vendors.iter().filter(|vendor| !vendor.recipes.is_empty());
        let names = || known().map(|vendor| vendor.name).collect::<Vec<_>>().join(" or ");
        if let Some(name) = &self.vendor {
            let vendor = vendors.by_name(name).filter(|vendor| !vendor.recipes.is_empty());
            let unknown = || Error::Usage(format!("--vendor {}: not known; expected {}", Quoted(name), names()));
            let absent = || Error::Usage(format!("this host has no device of {name}; is the driver loaded?"));
            return describe(vendor.ok_or_else(unknown)?)?.ok_or_else(absent);
        }
        let accelerators = vendors.accelerators().into_iter();
        let mut specs = accelerators.map(describe).filter_map(Result::transpose).collect::<Result<Vec<_>>>()?;
        match (specs.pop(), specs.is_empty()) {
            (Some(spec), true) => Ok(spec),
            (Some(_), false) => {
                Err(Error::Usage(format!("this host has several vendors' devices; --vendor {}", names())))
            }
            (None, _) => Err(Error::Usage(format!("this host has no device of {}; is the driver loaded?", names()))),
        }
    }

    /// The folder and the name of the file, whose suffix says what is written.
    fn file<'a>(&self, path: &'a Path) -> Result<(&'a Path, String)> {
        let fault = |why: &str| Error::Usage(format!("--output {}: {why}", path.display()));
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(|| fault("no file's name"))?;
        let suffix = match (path.extension().and_then(|suffix| suffix.to_str()), self.format) {
            (Some("json"), Some(Format::Yaml)) | (Some("yaml"), Some(Format::Json)) => {
                return Err(fault("its suffix is not that of --format"));
            }
            (Some("json" | "yaml"), _) => "",
            (Some("yml"), _) => return Err(fault("engines do not read .yml files; call it .yaml")),
            (_, Some(Format::Json)) => ".json",
            (_, _) => ".yaml",
        };
        Ok((dir, format!("{name}{suffix}")))
    }
}
