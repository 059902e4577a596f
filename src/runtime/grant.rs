//! What a request gets on this machine: the CDI files, completed by descriptions made from the machine, resolved, and looked at
//! whether they still hold.
//!
//! Reads CDI files and the machine, writes nothing.

use std::borrow::Cow;
use std::path::Path;

use super::sharing::Sharing;
use super::stale::{self, Describer, Stale};
use crate::cdi::registry::FileId;
use crate::cdi::{ContainerEdits, DeviceNode, Kind, Part, Registry};
use crate::config::{Config, Generate, Hooks};
use crate::error::{Error, Escaped, Result};
use crate::generate::{self, By, Chosen, Machine, Wish};
use crate::holders::Held;
use crate::host::Host;
use crate::request::{Ask, Lease, Request, Source, Want};
use crate::resolve::{self, Grant, Resolution, Undescribed, Wanted};
use crate::rootfs::{self, Work};
use crate::vendor::{Vendor, Vendors};

/// What a request gets.
#[derive(Debug, Default)]
pub struct Granted {
    /// What is to change in the container: nodes are complete, mounts are where the low-level runtime finds them.
    pub edits: ContainerEdits,
    /// What is to be done in the container's root beside that.
    pub work: Work,
    /// What was granted, per wish.
    pub grants: Vec<Grant>,
    /// The devices of each grant, and how they are leased.
    pub held: Vec<(Lease, Vec<Held>)>,
    /// Files of the container's cgroup and lines to add to them.
    pub unified: Vec<(&'static str, String)>,
    /// What the person who runs the machine may want to know.
    pub notes: Vec<String>,
}

/// Whether a device of a kind is wanted.
type Wants<'a> = &'a dyn Fn(&Kind, &str) -> bool;

/// What `request` gets, in view of what `sharing` knows of other containers. Errors are [`crate::error::Error::Unresolvable`], a description that is out of date and cannot be
/// made anew, and a machine that cannot be read.
pub fn grant(
    request: &Request,
    config: &Config,
    vendors: Vendors,
    host: &Host,
    sharing: &mut Sharing<'_>,
) -> Result<Granted> {
    let granted = attempt(request, config, vendors, host, sharing);
    match for_own_vendor(request, granted.as_ref().ok(), config, vendors, host)? {
        Some(request) => {
            sharing.reasons.clear();
            attempt(&request, config, vendors, host, sharing)
        }
        None => granted,
    }
}

/// `request` in which Docker's `--gpus` is for the first vendor of which the machine has devices, and no other. `None` where it ended
/// there, as it does on most machines, which is then not looked at again; and where the machine has none.
fn for_own_vendor(
    request: &Request,
    granted: Option<&Granted>,
    config: &Config,
    vendors: Vendors,
    host: &Host,
) -> Result<Option<Request>> {
    let of_hook = |ask: &Ask| match (&ask.source, &ask.want) {
        (Source::LegacyHook(_), Want::Devices { vendors, .. }) if vendors.len() > 1 => Some(vendors.clone()),
        _ => None,
    };
    let Some((place, candidates)) =
        request.asks.iter().enumerate().find_map(|(place, ask)| Some((place, of_hook(ask)?)))
    else {
        return Ok(None);
    };
    let is_hooks = |grant: &&Grant| request.asks.get(place).is_some_and(|ask| ask.source == grant.source);
    let found = granted.and_then(|granted| granted.grants.iter().find(is_hooks)?.devices.first());
    let found = found.and_then(|device| vendors.by_kind(device.kind()));
    if found.is_some() && found == candidates.first().copied() {
        return Ok(None);
    }
    let machine = Machine { host, roots: &config.host };
    // One that cannot be read is there.
    let has = |vendor: &&'static Vendor| generate::inventory(vendor, machine).map_or(true, |items| !items.is_empty());
    let own = candidates.into_iter().take_while(|vendor| found != Some(*vendor)).find(has);
    Ok(own.map(|own| {
        let mut request = request.clone();
        if let Some(Ask { want: Want::Devices { vendors, .. }, .. }) = request.asks.get_mut(place) {
            *vendors = vec![own];
        }
        request
    }))
}

fn attempt(
    request: &Request,
    config: &Config,
    vendors: Vendors,
    host: &Host,
    sharing: &mut Sharing<'_>,
) -> Result<Granted> {
    let machine = Machine { host, roots: &config.host };
    let can_generate = config.inject.generate != Generate::Never;
    let describer = |kind: &Kind| vendors.by_kind(kind).filter(|vendor| can_generate && !vendor.recipes.is_empty());
    let wanted = Wanted::of(request);
    let wants = |kind: &Kind, device: &str| wanted.has(kind, device);
    let mut registry = files(config, &describer, &wants, wanted.names().as_deref());
    let mut generated: Vec<Undescribed> = Vec::new();
    let mut stale: Vec<Stale> = Vec::new();
    let mut renumbered: Vec<(FileId, String)> = Vec::new();
    // A vendor that is not well is an error only where no other can answer.
    let mut unwell: Vec<Error> = Vec::new();
    let mut resolution = loop {
        while can_generate && let Some((vendor, kind)) = resolve::lacking(request, &registry, &generated, vendors) {
            unwell.extend(describe(vendor, &kind, &mut registry, machine, &wants, request).err());
            generated.push((vendor, kind));
        }
        let resolution = match resolve::resolve(request, &registry, &mut |choosable| sharing.choose(choosable)) {
            Ok(resolution) => resolution,
            Err(missing) => {
                if let Some(error) = missing.held() {
                    return Err(error);
                }
                if !unwell.is_empty() {
                    return Err(unwell.swap_remove(0));
                }
                let mut everything = files(config, &describer, &|_, _| true, None);
                stale.iter().for_each(|stale| everything.forget(&stale.file));
                for (vendor, kind) in generated {
                    describe(vendor, &kind, &mut everything, machine, &|_, _| true, request)?;
                }
                return Err(missing.explained(&everything, &config.cdi.spec_dirs, told(&stale), vendors));
            }
        };
        let promise = |vendor: &Vendor, kind: &Kind, node: &DeviceNode| generate::promise(vendor, kind, node, machine);
        let parts = &resolution.parts;
        match stale::complete(parts, &mut registry, host, &describer, &promise, &mut renumbered)? {
            None => break resolution,
            Some(found) => {
                renumbered.retain(|(file, _)| registry.path(*file) != found.file);
                registry.forget(&found.file);
                stale.push(found);
            }
        }
    };
    let held = sharing.devices(&resolution.grants, &registry);
    let unified = sharing.memory(&resolution.grants, &held)?;
    let mut notes = told(&stale);
    notes.extend(unwell.iter().map(Error::to_string));
    notes.extend(checked(request, &resolution, &registry, vendors, host)?);
    notes.append(&mut resolution.notes);
    notes.extend(renumbered.into_iter().map(|(_, note)| note));
    let granted = granted(resolution, notes, &mut registry, host, config.inject.hooks);
    // The next thing is another program: to free what was read piece by piece would be work for nobody.
    std::mem::forget(registry);
    Ok(Granted { held, unified, ..granted })
}

/// Checks what the image requires of the drivers whose devices, or files, the container gets. Returns notes.
fn checked(
    request: &Request,
    resolution: &Resolution,
    registry: &Registry,
    vendors: Vendors,
    host: &Host,
) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    for requirements in &request.requirements {
        let is_of_it = |part: &Part| {
            let kind = registry.spec(part.file).map(|spec| &spec.kind);
            kind.and_then(|kind| vendors.by_kind(kind)) == Some(requirements.vendor)
        };
        if let Some(rule) = requirements.vendor.requirements.filter(|_| resolution.parts.iter().any(is_of_it)) {
            notes.extend(requirements.check(&(rule.properties)(host)?)?);
        }
    }
    Ok(notes)
}

fn told(stale: &[Stale]) -> Vec<String> {
    let told = |stale: &Stale| {
        format!("{} is out of date and not used: {} is not there", Escaped::path(&stale.file), stale.missing)
    };
    stale.iter().map(told).collect()
}

/// Takes what `resolution` comes to out of `registry`. `hooks` says whether those of files are taken for what they do.
fn granted(
    resolution: Resolution,
    mut notes: Vec<String>,
    registry: &mut Registry,
    host: &Host,
    hooks: Hooks,
) -> Granted {
    let mut work = Work::default();
    for part in &resolution.parts {
        let is_done_natively = hooks == Hooks::Native || registry.is_made_in_memory(part.file);
        let Some(edits) = registry.edits_mut(*part).filter(|_| is_done_natively) else { continue };
        let mut absorbed = rootfs::absorb(edits, Vendors::known());
        match rootfs::unlinked(&edits.mounts, &absorbed.links, &absorbed.folders, host) {
            Ok(links) => absorbed.links.extend(links),
            Err(error) => notes.push(error.to_string()),
        }
        absorbed.links.extend(rootfs::in_place_of(&mut edits.mounts));
        work.append(absorbed);
    }
    let mut edits = resolution.edits(registry);
    rootfs::as_edits(&mut work, &mut edits);
    for mount in &mut edits.mounts {
        if let Cow::Owned(real) = host.real(Path::new(&mount.host_path)) {
            mount.host_path = real.to_string_lossy().into_owned();
        }
    }
    Granted { edits, work, grants: resolution.grants, notes, ..Granted::default() }
}

/// What the CDI files say, but for what is to be generated in any case. Only devices with `names` are wanted, if there are some.
fn files(config: &Config, describer: Describer<'_>, wants: Wants<'_>, names: Option<&[Cow<'_, str>]>) -> Registry {
    let is_generated = |kind: &Kind| config.inject.generate == Generate::Always && describer(kind).is_some();
    let wants = |kind: &Kind, device: &str| wants(kind, device) && !is_generated(kind);
    match names {
        Some(names) => Registry::load_named(&config.cdi.spec_dirs, &wants, names),
        None => Registry::load(&config.cdi.spec_dirs, &wants),
    }
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
    // Whatever it is called, what it would do is done before any container starts.
    let hooks = Some("gpu-runc");
    let wish = Wish { wants, names: &|device| device.names.clone(), chosen: &chosen, nodes: By::Number, hooks };
    if let Some(spec) = generate::spec(vendor, kind, machine, wish)?.filter(|spec| !spec.devices.is_empty()) {
        registry.add(spec, &format!("generated:{}", vendor.name));
    }
    Ok(())
}
