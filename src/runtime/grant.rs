//! What a request gets on this machine: the CDI files, completed by descriptions made from the machine, resolved.
//!
//! Reads CDI files and the machine, writes nothing.

use std::path::Path;

use crate::cdi::{Kind, Registry};
use crate::config::{Config, Generate};
use crate::error::Result;
use crate::generate::{self, Chosen, Machine};
use crate::host::{Host, node};
use crate::request::Request;
use crate::resolve::{self, Resolution};
use crate::vendor::{Vendor, Vendors};

/// Whether a device of a kind is wanted.
type Wants<'a> = &'a dyn Fn(&Kind, &str) -> bool;

/// What `request` gets: edits whose nodes are complete and whose mounts are where the low-level runtime finds them. Errors are
/// [`crate::error::Error::Unresolvable`], and a machine that cannot be read.
pub fn grant(request: &Request, config: &Config, vendors: Vendors) -> Result<Resolution> {
    let host = Host::open(&config.host.root)?;
    let machine = Machine { host: &host, roots: &config.host };
    let wants = |kind: &Kind, device: &str| resolve::wants(request, kind, device);
    let mut registry = files(config, vendors, &wants);
    let mut generated = Vec::new();
    while config.inject.generate != Generate::Never
        && let Some((vendor, kind)) = resolve::lacking(request, &registry, &generated, vendors)
    {
        describe(vendor, &kind, &mut registry, machine, &wants, request)?;
        generated.push((vendor, kind));
    }
    let mut resolution = match resolve::resolve(request, &registry) {
        Ok(resolution) => resolution,
        Err(missing) => {
            let mut everything = files(config, vendors, &|_, _| true);
            for (vendor, kind) in generated {
                describe(vendor, &kind, &mut everything, machine, &|_, _| true, request)?;
            }
            return Err(missing.explained(&everything, &config.cdi.spec_dirs));
        }
    };
    resolution.notes.extend(node::complete(&mut resolution.edits, &host)?);
    for mount in &mut resolution.edits.mounts {
        mount.host_path = host.real(Path::new(&mount.host_path)).to_string_lossy().into_owned();
    }
    Ok(resolution)
}

/// What the CDI files say, but for what is to be generated in any case.
fn files(config: &Config, vendors: Vendors, wants: Wants<'_>) -> Registry {
    let is_generated = |kind: &Kind| {
        config.inject.generate == Generate::Always
            && vendors.by_kind(kind).is_some_and(|known| !known.recipes.is_empty())
    };
    Registry::load(&config.cdi.spec_dirs, &|kind, device| wants(kind, device) && !is_generated(kind))
}

/// Adds what the machine has of `kind` to `registry`.
fn describe(
    vendor: &Vendor,
    kind: &Kind,
    registry: &mut Registry,
    machine: Machine<'_>,
    wants: Wants<'_>,
    request: &Request,
) -> Result<()> {
    let chosen = Chosen::new(vendor, request.classes_of(vendor));
    if let Some(spec) = generate::spec(vendor, kind, machine, wants, &chosen)?.filter(|spec| !spec.devices.is_empty()) {
        registry.add(spec, &format!("generated:{}", vendor.name));
    }
    Ok(())
}
