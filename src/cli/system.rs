//! `gpu-ctk system`: what a machine may lack in `/dev`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use super::output::{self, answer};
use crate::cdi::DeviceNode;
use crate::config::Config;
use crate::devfs::{char_links, nodes};
use crate::error::{Error, Escaped, Result};
use crate::generate::{self, By, Machine};
use crate::host::Host;
use crate::vendor::Vendors;

/// What is to be made.
#[derive(Debug, Subcommand)]
pub(super) enum System {
    /// Make the links in /dev/char by which systemd finds devices, so that a reload does not take them from containers
    CreateDevCharSymlinks(Roots),
    /// Make the nodes of loaded drivers that nobody has made yet, as the vendors' own tools would
    CreateDeviceNodes(Roots),
}

#[derive(Debug, clap::Args)]
pub(super) struct Roots {
    /// The root of the driver's files, in place of the configured one
    #[arg(long, value_name = "DIR")]
    driver_root: Option<PathBuf>,
    /// The root of the device nodes, in place of the configured one
    #[arg(long, value_name = "DIR")]
    dev_root: Option<PathBuf>,
    /// Make nothing; print what would be made
    #[arg(long)]
    dry_run: bool,
}

impl System {
    /// Makes it, and prints a line for each. Exit status 1 if some vendor's devices could not be read.
    pub(super) fn run(self, mut config: Config) -> Result<ExitCode> {
        let (System::CreateDevCharSymlinks(roots) | System::CreateDeviceNodes(roots)) = &self;
        config.host.driver_root = roots.driver_root.clone().unwrap_or(config.host.driver_root);
        config.host.dev_root = roots.dev_root.clone().unwrap_or(config.host.dev_root);
        let host = Host::open(&config.host.root)?;
        let root = &config.host.dev_root;
        let absent = || {
            let key = if roots.dev_root.is_some() { "--dev-root" } else { "host.dev-root" };
            Error::Usage(format!("{key} {}: this host has no such folder", Escaped::path(root)))
        };
        let place = nodes::place(&host, root)?.ok_or_else(absent)?;
        let (known, is_whole) = described(&config, &host)?;
        match &self {
            System::CreateDevCharSymlinks(roots) => {
                let numbered = known.iter().map(|node| (node.on_host(), (node.major, node.minor)));
                let links = match roots.dry_run {
                    true => char_links::missing(&host, numbered)?,
                    false => {
                        char_links::make_folder(&host)?;
                        char_links::make(&host, numbered)?
                    }
                };
                let line = |(name, target): &_| format!("{}/{name} -> {target}\n", char_links::FOLDER);
                answer(&links.iter().map(line).collect::<String>())?;
            }
            System::CreateDeviceNodes(roots) => {
                let absent = known.into_iter().filter(|node| node.missing.is_some()).collect();
                for node in nodes::missing(&place, absent)? {
                    if node.missing.is_some_and(|missing| missing.owner.is_none()) {
                        output::note(&format!(
                            "{} is left out: the driver is set up to make no device nodes",
                            node.on_host()
                        ));
                        continue;
                    }
                    if !roots.dry_run {
                        nodes::make(&place, &node)?;
                    }
                    answer(&format!("{} c {} {}\n", node.on_host(), node.major, node.minor))?;
                }
            }
        }
        Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// The nodes of all devices that this machine has, and whether all vendors' could be read.
fn described(config: &Config, host: &Host) -> Result<(Vec<DeviceNode>, bool)> {
    let machine = Machine { host, roots: &config.host };
    let (mut nodes, mut is_whole) = (Vec::new(), true);
    for vendor in Vendors::with(&config.vendor)?.iter() {
        let Some(kind) = vendor.kinds.first().and_then(|kind| kind.parse().ok()) else { continue };
        match generate::everything(vendor, &kind, machine, By::Number) {
            Ok(Some(spec)) => {
                let of_devices = spec.devices.into_iter().flat_map(|device| device.container_edits.device_nodes);
                nodes.extend(spec.container_edits.device_nodes.into_iter().chain(of_devices));
            }
            Ok(None) => {}
            Err(error) => {
                is_whole = false;
                output::note(&format_args!("{}: {error}", vendor.name));
            }
        }
    }
    nodes.sort_by(|a, b| a.on_host().cmp(b.on_host()));
    Ok((nodes, is_whole))
}
