//! `gpu-ctk cdi generate`: what gpu-runc would describe in memory, as files for every engine.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ValueEnum;
use nix::sys::stat::SFlag;

use super::naming::{self, Naming};
use super::output::{self, answer, document};
use super::{identify, kind_at, vendors};
use crate::cdi::{Kind, Registry, Spec, write};
use crate::config::Config;
use crate::error::{Error, Escaped, Result};
use crate::generate::{self, By, Chosen, Machine, Wish};
use crate::host::Host;
use crate::vendor::recipe::Device;
use crate::vendor::{Vendor, Vendors};

/// What to describe, and where to.
#[derive(Debug, clap::Args)]
pub(super) struct Generate {
    /// Whose devices; without it, those of every vendor that this machine has, a file for each
    #[arg(long = "vendor", value_name = "NAME")]
    vendors: Vec<String>,
    /// The class in the kind of the devices, in place of the vendor's own
    #[arg(long)]
    class: Option<String>,
    /// Only these devices, by any of their names
    #[arg(long = "device", visible_alias = "device-id", value_name = "ID", value_delimiter = ',')]
    devices: Vec<String>,
    /// Which names the devices get; without it, all that containers can ask for
    #[arg(
        long = "name-strategy",
        visible_alias = "device-name-strategy",
        value_name = "STRATEGY",
        value_enum,
        value_delimiter = ','
    )]
    naming: Vec<Naming>,
    /// Do not add the device "all"
    #[arg(long)]
    no_all_device: bool,
    /// The root of the driver's files, in place of the configured one
    #[arg(long, value_name = "DIR")]
    driver_root: Option<PathBuf>,
    /// The root of the device nodes, in place of the configured one
    #[arg(long, value_name = "DIR")]
    dev_root: Option<PathBuf>,
    /// Write to this file, which is replaced in one step, or to stdout (-); a name without a suffix gets one, and in a folder the
    /// file is <vendor>-<class>.json; without it, to that file in the last of the configured spec directories
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// What to write; without it, what the name of the file says, else json for files and yaml for stdout
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// The program on this machine that does in containers what files cannot say (the linker's cache, forward compatibility); without
    /// it, the installed gpu-runc, if any
    #[arg(long, alias = "nvidia-cdi-hook-path", value_name = "FILE")]
    hook_path: Option<String>,
    /// Name no such program: programs in containers find the libraries where their image looks anyway
    #[arg(long, conflicts_with = "hook_path")]
    no_hooks: bool,
    /// Write nothing; print what would be written, and where on stderr
    #[arg(long)]
    dry_run: bool,
    /// Remove the file that was written before for a vendor whose devices are gone
    #[arg(long, conflicts_with_all = ["output", "dry_run"])]
    prune: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Json,
    Yaml,
}

/// Where a spec goes.
enum Target {
    Stdout,
    File { dir: PathBuf, name: String },
}

impl Generate {
    /// Prints or writes the specs. Exit status 1 if this machine has no such device.
    pub(super) fn run(&self, config: &Config) -> Result<ExitCode> {
        if let Some(path) = self.hook_path.as_ref().filter(|path| !path.starts_with('/')) {
            let why = "expected an absolute path, engines start it from other folders";
            return Err(Error::Usage(format!("--hook-path {}: {why}", Escaped::quoted(path))));
        }
        let mut config = config.clone();
        config.host.driver_root = self.driver_root.clone().unwrap_or(config.host.driver_root);
        config.host.dev_root = self.dev_root.clone().unwrap_or(config.host.dev_root);
        let vendors = self.chosen(Vendors::with(&config.vendor)?)?;
        let host = Host::open(&config.host.root)?;
        let machine = Machine { host: &host, roots: &config.host };
        let mut specs = Vec::new();
        // What is wrong with one vendor keeps no other's files from being written.
        let mut wrong = None;
        for &vendor in &vendors {
            let kind = self.kind(vendor)?;
            match self.spec(vendor, &kind, machine) {
                Ok(Some(spec)) => specs.push(spec),
                Ok(None) if self.prune => self.remove(&kind, &config)?,
                Ok(None) => {}
                Err(error) => wrong = wrong.or(Some(error)),
            }
        }
        if specs.is_empty() && wrong.is_none() {
            let names: Vec<_> = vendors.iter().map(|vendor| vendor.name).collect();
            let names = if self.vendors.is_empty() { "any vendor".to_owned() } else { names.join(" or ") };
            return match self.prune {
                true => Ok(ExitCode::SUCCESS),
                false => Err(Error::Usage(format!("this host has no device of {names}; is the driver loaded?"))),
            };
        }
        if specs.len() > 1 && self.output.as_deref().is_some_and(|output| !is_folder(output)) {
            let several = "this host has several vendors' devices, which do not go into one file; choose with --vendor";
            return Err(Error::Usage(several.to_owned()));
        }
        for spec in &specs {
            let target = self.target(&spec.kind, &config)?;
            match refuse_conflict(spec, &target, &config) {
                Ok(()) => self.put(spec, &target)?,
                Err(conflict) => wrong = wrong.or(Some(conflict)),
            }
        }
        wrong.map_or(Ok(ExitCode::SUCCESS), Err)
    }

    /// The vendors that are named, else all whose devices containers are started for.
    fn chosen(&self, known: Vendors) -> Result<Vec<&'static Vendor>> {
        if self.vendors.is_empty() {
            return Ok(known.accelerators().into_iter().filter(|vendor| !vendor.recipes.is_empty()).collect());
        }
        self.vendors.iter().map(|name| vendors::named(name, known)).collect()
    }

    fn kind(&self, vendor: &Vendor) -> Result<Kind> {
        let own = vendor.kinds.first().copied().unwrap_or_default();
        let kind = match (&self.class, own.split_once('/')) {
            (Some(class), Some((domain, _))) => format!("{domain}/{class}"),
            _ => own.to_owned(),
        };
        kind.parse().map_err(|why| Error::Usage(format!("--class: {why}")))
    }

    fn spec(&self, vendor: &Vendor, kind: &Kind, machine: Machine<'_>) -> Result<Option<Spec>> {
        let asked: Vec<String> = self.devices.iter().map(|id| (vendor.canonical)(id).into_owned()).collect();
        let identified = identify::parts(vendor, machine);
        let more = |device: &Device| identified.names(device);
        let is_selected = |device: &Device| {
            let names = device.names.iter().map(|name| (vendor.canonical)(name));
            asked.is_empty()
                || asked == ["all"]
                || names.chain(more(device).iter().map(Into::into)).any(|name| asked.contains(&name.into_owned()))
        };
        self.refuse_unknown(vendor, machine, &asked, &more)?;
        let names = |device: &Device| match is_selected(device) {
            true => naming::names(device, &more(device), &self.naming),
            false => Vec::new(),
        };
        let wants = |_: &Kind, name: &str| name != "all" || !self.no_all_device;
        let hooks = self.hook_program(machine.host)?;
        // Every device has to be looked at for its names.
        let spec = generate::spec(
            vendor,
            kind,
            machine,
            Wish {
                wants: &wants,
                names: &names,
                chosen: &Chosen::new(vendor, None),
                nodes: By::Path,
                hooks: hooks.as_deref(),
            },
        );
        Ok(spec?.filter(|spec| !spec.devices.is_empty()))
    }

    /// The program for the hooks of a file, as engines on this machine find it.
    fn hook_program(&self, host: &Host) -> Result<Option<String>> {
        const INSTALLED: [&str; 2] = ["/usr/local/bin/gpu-runc", "/usr/bin/gpu-runc"];
        if self.no_hooks || self.hook_path.is_some() {
            return Ok(self.hook_path.clone());
        }
        for path in INSTALLED {
            if host.find(Path::new(path))?.is_some() {
                return Ok(Some(path.to_owned()));
            }
        }
        Ok(None)
    }

    /// An id that no device has is most likely a mistake.
    fn refuse_unknown(
        &self,
        vendor: &Vendor,
        machine: Machine<'_>,
        asked: &[String],
        more: &dyn Fn(&Device) -> Vec<String>,
    ) -> Result<()> {
        if asked.is_empty() || asked == ["all"] || (self.vendors.is_empty() && asked.iter().any(|id| id == "all")) {
            return Ok(());
        }
        let Some((_, found)) = generate::devices(vendor, machine, &|_| true)? else { return Ok(()) };
        let names: Vec<String> =
            found.iter().flat_map(|device| device.names.iter().cloned().chain(more(device))).collect();
        let known = |id: &&String| !names.iter().any(|name| (vendor.canonical)(name) == id.as_str());
        match asked.iter().find(known) {
            None => Ok(()),
            Some(id) => Err(Error::Usage(format!(
                "--device {}: {} has no such device here; it has {}",
                Escaped::quoted(id),
                vendor.name,
                names.join(", ")
            ))),
        }
    }

    fn target(&self, kind: &Kind, config: &Config) -> Result<Target> {
        match &self.output {
            Some(path) if path == Path::new("-") => Ok(Target::Stdout),
            Some(path) if is_folder(path) => Ok(self.own_file(path, kind)),
            Some(path) => self.file(path),
            None => {
                let dir = config.cdi.spec_dirs.last();
                let none = || Error::Usage("cdi.spec-dirs names no directory; say --output".to_owned());
                Ok(self.own_file(dir.ok_or_else(none)?, kind))
            }
        }
    }

    /// The file for `kind` in `dir`.
    fn own_file(&self, dir: &Path, kind: &Kind) -> Target {
        let suffix = if self.format == Some(Format::Yaml) { "yaml" } else { "json" };
        Target::File { dir: dir.to_owned(), name: format!("{}.{suffix}", write::spec_name(kind)) }
    }

    /// The folder and the name of the file, whose suffix says what is written.
    fn file(&self, path: &Path) -> Result<Target> {
        let fault = |why: &str| Error::Usage(format!("--output {}: {why}", Escaped::path(path)));
        if kind_at(path).is_some_and(|kind| kind != SFlag::S_IFREG) {
            return Err(fault("it is no regular file"));
        }
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(|| fault("no file's name"))?;
        let suffix = match (path.extension().and_then(|suffix| suffix.to_str()), self.format) {
            (Some("json"), Some(Format::Yaml)) | (Some("yaml"), Some(Format::Json)) => {
                return Err(fault("its suffix is not that of --format"));
            }
            (Some("json" | "yaml"), _) => "",
            (Some("yml"), _) => return Err(fault("engines do not read .yml files; call it .yaml")),
            (_, Some(Format::Yaml)) => ".yaml",
            (_, _) => ".json",
        };
        Ok(Target::File { dir: dir.to_owned(), name: format!("{name}{suffix}") })
    }

    fn put(&self, spec: &Spec, target: &Target) -> Result<()> {
        let is_json = match target {
            Target::Stdout => self.format == Some(Format::Json),
            Target::File { name, .. } => name.ends_with(".json"),
        };
        let text = if is_json { format!("{}\n", write::to_json(spec)) } else { write::to_yaml(spec) };
        match target {
            Target::Stdout => document(&text),
            Target::File { dir, name } if self.dry_run => {
                output::note(&format_args!("would write {}", Escaped::path(&dir.join(name))));
                document(&text)
            }
            Target::File { dir, name } => answer(&format!("{}\n", Escaped::path(&write::write_spec(dir, name, spec)?))),
        }
    }

    /// Removes the file that was written for `kind`, and no other: what is there in its place stays.
    fn remove(&self, kind: &Kind, config: &Config) -> Result<()> {
        let Target::File { dir, name } = self.target(kind, config)? else { return Ok(()) };
        let registry = Registry::load_all(std::slice::from_ref(&dir));
        let own = dir.join(&name);
        let is_own = registry.files_of(kind).into_iter().any(|file| registry.path(file) == own);
        if is_own && write::remove_spec(&dir, &name)? {
            answer(&format!("removed {}\n", Escaped::path(&own)))?;
        }
        Ok(())
    }
}

/// A folder is what is one, and what is spelt as one.
fn is_folder(path: &Path) -> bool {
    path.as_os_str().as_bytes().ends_with(b"/") || kind_at(path) == Some(SFlag::S_IFDIR)
}

/// One directory may go by several names, as `/var/run` and `/run` do.
#[allow(clippy::disallowed_methods, reason = "the directory that a person names")]
fn real(path: &Path) -> PathBuf {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    dir.canonicalize().unwrap_or_else(|_| dir.to_owned()).join(path.file_name().unwrap_or_default())
}

/// Two files that describe a device of one name make it unusable: somebody else's file stays as it is, and ours is not written.
fn refuse_conflict(spec: &Spec, target: &Target, config: &Config) -> Result<()> {
    let Target::File { dir, name } = target else { return Ok(()) };
    let own = real(&dir.join(name));
    // Elsewhere no engine looks, and nothing clashes.
    if !config.cdi.spec_dirs.iter().any(|known| own.parent() == real(&known.join("x")).parent()) {
        return Ok(());
    }
    let registry = Registry::load_all(&config.cdi.spec_dirs);
    let other =
        registry.files_of(&spec.kind).into_iter().map(|file| registry.path(file)).find(|path| real(path) != own);
    match other {
        None => Ok(()),
        Some(other) => Err(Error::Usage(format!(
            "{} describes {} already, no other file is written; remove it, or give these devices another --class",
            Escaped::path(other),
            spec.kind
        ))),
    }
}
