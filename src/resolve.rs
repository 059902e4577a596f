//! What a request gets: qualified names chosen from what the registry has, and their edits put together.
//!
//! Pure: the registry is a value, read before. All or nothing: one name that cannot be had, and nothing is granted.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use crate::cdi::registry::{FileId, NamedDevice};
use crate::cdi::{ContainerEdits, Kind, Lookup, Part, QualifiedName, Registry};
use crate::error::{Error, Escaped, nearest};
use crate::request::{Ask, Lease, Options, Request, Selection, Source, Want};
use crate::vendor::{Vendor, Vendors};

/// What a request gets.
#[derive(Debug, Default)]
pub struct Resolution {
    /// What says what is to change in the container, file by file and device by device. Device nodes may still be incomplete.
    pub parts: Vec<Part>,
    /// What was granted, per wish.
    pub grants: Vec<Grant>,
    /// What the person who runs the machine may want to know.
    pub notes: Vec<String>,
}

impl Resolution {
    /// Whether a device of `vendor` is granted.
    fn has_device_of(&self, vendor: &Vendor) -> bool {
        let devices = self.grants.iter().flat_map(|grant| &grant.devices);
        devices.map(QualifiedName::kind).any(|kind| is_of(vendor, kind))
    }

    /// All of its edits, in the order in which they are made, taken out of the `registry` that it was found in.
    pub fn edits(&self, registry: &mut Registry) -> ContainerEdits {
        let mut edits = ContainerEdits::default();
        let taken = self.parts.iter().filter_map(|part| Some(std::mem::take(registry.edits_mut(*part)?)));
        taken.for_each(|taken| edits.append(taken));
        edits
    }
}

/// Devices given for one wish.
#[derive(Debug, PartialEq)]
pub struct Grant {
    /// Their names.
    pub devices: Vec<QualifiedName>,
    /// Who asked.
    pub source: Source,
    /// The files (or generators) that describe them.
    pub files: Vec<PathBuf>,
    /// Where their edits are, in the order of the names.
    pub parts: Vec<Part>,
    /// How they are leased and limited.
    pub options: Options,
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let devices: Vec<_> = self.devices.iter().map(QualifiedName::to_string).collect();
        let files: Vec<_> = self.files.iter().map(|file| Escaped::path(file).to_string()).collect();
        write!(f, "devices={} files={}", devices.join(","), files.join(","))?;
        if self.options.lease == Lease::Exclusive {
            f.write_str(" lease=exclusive")?;
        }
        write!(f, " asked by {}", self.source)
    }
}

/// Names that were asked for and are not to be had.
#[derive(Debug, PartialEq)]
pub struct Missing<'a> {
    names: Vec<(String, &'a Source)>,
    /// Why devices that exist cannot be allocated: others hold them. Said in place of names.
    held: Option<(String, &'a Source)>,
}

/// The devices of a kind that a request chooses among.
#[derive(Debug)]
pub struct Choosable<'r> {
    /// Whose.
    pub vendor: &'static Vendor,
    /// What kind of devices they are.
    pub kind: &'r Kind,
    /// The devices, in the order in which a count takes them.
    pub devices: &'r [NamedDevice<'r>],
    /// For each, whether the same request has it already.
    pub is_taken: &'r [bool],
    /// Where their edits are.
    pub registry: &'r Registry,
    /// How many are requested. `None`: all that fit the options.
    pub count: Option<usize>,
    /// How they are leased and chosen.
    pub options: &'r Options,
}

/// Chooses among devices, as indices of these; or says why they cannot be allocated.
pub type Choose<'a> = &'a mut dyn FnMut(&Choosable<'_>) -> Result<Vec<usize>, String>;

/// The devices with the lowest indices, whoever holds them.
pub fn first(choosable: &Choosable<'_>) -> Result<Vec<usize>, String> {
    let free = choosable.is_taken.iter().enumerate().filter(|(_, is_taken)| choosable.count.is_none() || !**is_taken);
    Ok(free.map(|(index, _)| index).take(choosable.count.unwrap_or(usize::MAX)).collect())
}

/// Why devices cannot be allocated.
enum Lack<'s> {
    /// The registry has none of these names.
    Names(Vec<Cow<'s, str>>),
    /// Others hold them, in words.
    Held(String),
}

/// What a request may want of CDI files: what the registry has to keep.
#[derive(Debug, Default)]
pub struct Wanted<'r> {
    names: BTreeSet<(&'r Kind, &'r str)>,
    /// Of the kinds of a vendor: the devices that are called so, or all.
    of_vendors: Vec<(&'static Vendor, Option<BTreeSet<Cow<'r, str>>>)>,
}

impl<'r> Wanted<'r> {
    /// What `request` may want.
    pub fn of(request: &'r Request) -> Self {
        let mut wanted = Wanted::default();
        for ask in &request.asks {
            match &ask.want {
                Want::Names(names) => wanted.names.extend(names.iter().map(|name| (name.kind(), name.device()))),
                Want::Devices { vendors, selection, .. } => {
                    wanted.of_vendors.extend(vendors.iter().map(|vendor| match selection {
                        Selection::Ids(ids) => (*vendor, Some(ids.iter().map(|id| (vendor.canonical)(id)).collect())),
                        Selection::All | Selection::Count(_) | Selection::DriverOnly => (*vendor, None),
                    }));
                }
            }
        }
        wanted
    }

    /// Whether `device` of `kind` is among it.
    pub fn has(&self, kind: &Kind, device: &str) -> bool {
        self.names.contains(&(kind, device))
            || self.of_vendors.iter().any(|(vendor, devices)| {
                is_of(vendor, kind) && devices.as_ref().is_none_or(|devices| devices.contains(device))
            })
    }

    /// The names that the devices may have, if all of it is named, and not so many that looking for them in texts costs more than
    /// reading these.
    pub fn names(&self) -> Option<Vec<Cow<'_, str>>> {
        const MOST: usize = 16;
        let mut names: BTreeSet<Cow<'_, str>> = self.names.iter().map(|(_, device)| Cow::Borrowed(*device)).collect();
        for (_, devices) in &self.of_vendors {
            names.extend(devices.as_ref()?.iter().map(|device| Cow::Borrowed(&**device)));
        }
        (names.len() <= MOST).then(|| names.into_iter().collect())
    }
}

/// A kind that is not described as a request needs it, and its vendor.
pub type Undescribed = (&'static Vendor, Kind);

/// The first kind, of those that can be generated and were not `tried`, that `request` needs and `registry` does not describe.
pub fn lacking(request: &Request, registry: &Registry, tried: &[Undescribed], vendors: Vendors) -> Option<Undescribed> {
    let can_be_tried = |found: &Undescribed| !found.0.recipes.is_empty() && !tried.contains(found);
    let of_ask = |want: &Want| match want {
        Want::Names(names) => {
            let absent = names.iter().filter(|name| !registry.describes(name)).map(QualifiedName::kind);
            absent.filter_map(|kind| Some((vendors.by_kind(kind)?, kind.clone()))).find(can_be_tried)
        }
        Want::Devices { vendors, selection, .. } => {
            // Who holds them does not matter to whether they are described.
            let options = Options::default();
            let is_described = |vendor: &'static Vendor| {
                let taken = Taken::default();
                let wish = Wish { vendor, selection, options: &options, taken: &taken };
                kinds(vendor).any(|kind| of_kind(&kind, wish, registry, &mut |_| Ok(Vec::new())).is_ok())
            };
            let undescribed = vendors.iter().take_while(|vendor| !is_described(vendor));
            undescribed.filter_map(|vendor| Some((*vendor, kinds(vendor).next()?))).find(can_be_tried)
        }
    };
    request.asks.iter().find_map(|ask| of_ask(&ask.want))
}

/// Finds every wish of `request` in `registry`; `choose` chooses among the devices of a count.
pub fn resolve<'a>(request: &'a Request, registry: &Registry, choose: Choose<'_>) -> Result<Resolution, Missing<'a>> {
    let mut resolution = Resolution::default();
    let mut missing = Vec::new();
    let mut held = None;
    let mut taken = Taken::default();
    for ask in &request.asks {
        if let Some(owner) = ask.beside.filter(|owner| !resolution.has_device_of(owner)) {
            let note = format!("{} adds to devices of {}, and none is granted", ask.source, owner.name);
            resolution.notes.push(note);
            continue;
        }
        match chosen(ask, registry, &taken, choose) {
            Ok(Choice::Devices(names)) => {
                let (grant, absent) = taken.take(names, ask, registry, &mut resolution.parts);
                missing.extend(absent.into_iter().map(|name| (name, &ask.source)));
                resolution.grants.extend(Some(grant).filter(|grant| !grant.devices.is_empty()));
            }
            Ok(Choice::DriverOnly(kind)) => {
                let files = registry.files_of(&kind);
                if files.is_empty() {
                    resolution.notes.push(format!(
                        "{} asks for the driver's files, which no CDI file of {kind} describes",
                        ask.source
                    ));
                }
                for file in files {
                    taken.take_part(file.of_all_devices(), &mut resolution.parts);
                }
            }
            Err(Shortfall::Held(why)) => held = held.or(Some((why, &ask.source))),
            Err(Shortfall::Names(names)) if is_companion(&ask.want) => {
                let names = names.join(", ");
                resolution.notes.push(format!("{} asks for {names}, which this host has not", ask.source));
            }
            Err(Shortfall::Names(names)) => missing.extend(names.into_iter().map(|name| (name, &ask.source))),
        }
    }
    if missing.is_empty() && held.is_none() { Ok(resolution) } else { Err(Missing { names: missing, held }) }
}

/// Why a wish is not satisfied: qualified names that are missing, or devices that others hold.
enum Shortfall {
    Names(Vec<String>),
    Held(String),
}

fn is_of(vendor: &Vendor, kind: &Kind) -> bool {
    vendor.kinds.iter().any(|known| known.split_once('/') == Some((kind.vendor(), kind.class())))
}

/// Whether the container can do without.
fn is_companion(want: &Want) -> bool {
    match want {
        Want::Names(_) => false,
        Want::Devices { vendors, .. } => vendors.iter().all(|vendor| vendor.beside.is_some()),
    }
}

/// What was already taken: devices and the files' own edits count once.
#[derive(Default)]
struct Taken(BTreeSet<Part>);

impl Taken {
    fn take(
        &mut self,
        names: Vec<QualifiedName>,
        ask: &Ask,
        registry: &Registry,
        parts: &mut Vec<Part>,
    ) -> (Grant, Vec<String>) {
        let (source, options) = (ask.source.clone(), ask.options.clone());
        let mut grant = Grant { devices: Vec::new(), source, files: Vec::new(), parts: Vec::new(), options };
        let mut absent = Vec::new();
        let mut files: BTreeSet<FileId> = BTreeSet::new();
        for name in names {
            let Lookup::Found(part) = registry.find(&name) else {
                absent.push(name.to_string());
                continue;
            };
            if files.insert(part.file) {
                grant.files.push(registry.path(part.file).to_owned());
            }
            self.take_part(part.file.of_all_devices(), parts);
            // What is granted already is logged already, whoever asks for it again; unless this ask leases or limits it.
            if self.take_part(part, parts) || ask.options != Options::default() {
                grant.parts.push(part);
                grant.devices.push(name);
            }
        }
        (grant, absent)
    }

    fn take_part(&mut self, part: Part, parts: &mut Vec<Part>) -> bool {
        let is_new = self.0.insert(part);
        if is_new {
            parts.push(part);
        }
        is_new
    }
}

enum Choice {
    Devices(Vec<QualifiedName>),
    DriverOnly(Kind),
}

/// One vendor's part in a wish.
#[derive(Clone, Copy)]
struct Wish<'s> {
    vendor: &'static Vendor,
    selection: &'s Selection,
    options: &'s Options,
    taken: &'s Taken,
}

/// The names that `ask` comes to.
fn chosen(ask: &Ask, registry: &Registry, taken: &Taken, choose: Choose<'_>) -> Result<Choice, Shortfall> {
    let (vendors, answered, selection) = match &ask.want {
        Want::Names(names) => return Ok(Choice::Devices(names.clone())),
        Want::Devices { vendors, answered, selection } => (vendors, answered, selection),
    };
    let mut failure: Option<(bool, Kind, Lack<'_>)> = None;
    for (vendor, kind) in vendors.iter().flat_map(|vendor| kinds(vendor).map(move |kind| (vendor, kind))) {
        let wish = Wish { vendor, selection, options: &ask.options, taken };
        match of_kind(&kind, wish, registry, choose) {
            Ok(_) if answered.contains(vendor) => return Ok(Choice::Devices(Vec::new())),
            Ok(choice) => return Ok(choice),
            // The error is about the first vendor that is on this machine at all, else about the first.
            Err(missing) => {
                let is_present = !registry.names(&kind).is_empty();
                if failure.as_ref().is_none_or(|(is_other_present, ..)| !is_other_present && is_present) {
                    failure = Some((is_present, kind, missing));
                }
            }
        }
    }
    match (selection, vendors.first().and_then(|vendor| kinds(vendor).next())) {
        (Selection::DriverOnly, Some(kind)) => Ok(Choice::DriverOnly(kind)),
        _ => Err(match failure {
            Some((_, _, Lack::Held(why))) => Shortfall::Held(why),
            Some((_, kind, Lack::Names(missing))) => {
                Shortfall::Names(missing.iter().map(|device| format!("{kind}={device}")).collect())
            }
            None => Shortfall::Names(Vec::new()),
        }),
    }
}

fn kinds(vendor: &Vendor) -> impl Iterator<Item = Kind> + use<> {
    vendor.kinds.iter().filter_map(|kind| kind.parse().ok())
}

/// The devices of `kind` that `wish` selects.
fn of_kind<'s>(kind: &Kind, wish: Wish<'s>, registry: &Registry, choose: Choose<'_>) -> Result<Choice, Lack<'s>> {
    let Wish { vendor, selection, options, taken } = wish;
    let names: BTreeSet<&str> = registry.names(kind).into_iter().collect();
    let named = |devices: &mut dyn Iterator<Item = Cow<'s, str>>| -> Result<Choice, Lack<'s>> {
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for device in devices {
            match names.contains(&*device).then(|| kind.device(&device)) {
                Some(Ok(name)) => found.push(name),
                _ => missing.push(device),
            }
        }
        if missing.is_empty() { Ok(Choice::Devices(found)) } else { Err(Lack::Names(missing)) }
    };
    let mut choose_among = |devices: &[NamedDevice<'_>], count: Option<usize>| -> Result<Choice, Lack<'s>> {
        let is_taken: Vec<bool> = devices.iter().map(|device| taken.0.contains(&device.part)).collect();
        let choosable = Choosable { vendor, kind, devices, is_taken: &is_taken, registry, count, options };
        let chosen = choose(&choosable).map_err(Lack::Held)?;
        let chosen = chosen.into_iter().filter_map(|index| kind.device(devices.get(index)?.name()).ok());
        Ok(Choice::Devices(chosen.collect()))
    };
    match selection {
        Selection::Ids(ids) => named(&mut ids.iter().map(|id| (vendor.canonical)(id))),
        Selection::All if names.contains("all") && options.model.is_none() => named(&mut ["all".into()].into_iter()),
        Selection::All => match registry.devices(kind).as_slice() {
            [] => named(&mut ["all".into()].into_iter()),
            devices => choose_among(devices, None),
        },
        Selection::Count(count) => {
            let devices = registry.countable(kind);
            let missing = (devices.len()..*count).map(|index| index.to_string().into()).collect::<Vec<_>>();
            if missing.is_empty() { choose_among(&devices, Some(*count)) } else { Err(Lack::Names(missing)) }
        }
        Selection::DriverOnly if names.contains("none") => named(&mut ["none".into()].into_iter()),
        Selection::DriverOnly if names.is_empty() => Err(Lack::Names(Vec::new())),
        Selection::DriverOnly => Ok(Choice::DriverOnly(kind.clone())),
    }
}

/// How many devices an error names.
const MOST_NAMES: usize = 1024;
/// How many kinds an error explains. A container can ask for any number.
const MOST_KINDS: usize = 8;

impl Missing<'_> {
    /// The error, where nothing is missing but others hold what is there.
    pub fn held(&self) -> Option<Error> {
        let (message, source) = self.held.as_ref().filter(|_| self.names.is_empty())?;
        Some(Error::Request { source: source.to_string(), message: message.clone() })
    }

    /// The error that says who asked, which files are out of date (`stale`), what `everything` on this machine has in place of
    /// it, and what to do.
    pub fn explained(
        self,
        everything: &Registry,
        spec_dirs: &[PathBuf],
        stale: Vec<String>,
        vendors: Vendors,
    ) -> Error {
        let mut parts = Vec::new();
        let mut sources: Vec<&Source> = Vec::new();
        // Names that one source asks for follow each other.
        for (_, source) in &self.names {
            if sources.last() != Some(source) {
                sources.push(source);
            }
        }
        parts.push(format!("asked for by {}", listed(sources.iter().map(ToString::to_string), " and ")));
        parts.extend(stale);
        let mut seen = BTreeSet::new();
        let kinds = self.names.iter().filter_map(|(name, _)| name.split_once('=')).map(|(kind, _)| kind);
        for kind in kinds.filter(|kind| seen.insert(*kind)).take(MOST_KINDS) {
            parts.push(self.what_exists(kind, everything, spec_dirs));
            parts.extend(self.what_a_file_would_have(kind, vendors));
        }
        let problems = everything.problems();
        parts.extend(problems.iter().take(3).map(|problem| Error::from(problem.clone()).to_string()));
        if problems.len() > 3 {
            parts.push(format!("and {} more, see \"gpu-ctk cdi list\"", problems.len() - 3));
        }
        let more = self.names.len().saturating_sub(MOST_NAMES);
        parts.extend((more > 0).then(|| format!("{more} more devices are unavailable")));
        let devices = self.names.into_iter().map(|(name, _)| name).take(MOST_NAMES).collect();
        Error::Unresolvable { devices, because: parts.join("; ") }
    }

    /// What to do about names that are not looked for while a container starts.
    fn what_a_file_would_have(&self, kind: &str, vendors: Vendors) -> Option<String> {
        let prefix = vendors.by_kind(&kind.parse().ok()?)?.identify?.prefix;
        let start = format!("{kind}={prefix}");
        let is_one = self.names.iter().any(|(name, _)| name.starts_with(&start));
        is_one.then(|| format!("\"gpu-ctk cdi generate\" writes a file that has the names {prefix}…"))
    }

    fn what_exists(&self, kind: &str, everything: &Registry, spec_dirs: &[PathBuf]) -> String {
        let dirs = || match spec_dirs {
            [] => "any folder (cdi.spec-dirs is empty)".to_owned(),
            dirs => listed(dirs.iter().map(|dir| Escaped::path(dir).to_string()), " and "),
        };
        let mut names = kind.parse().map(|kind| everything.names(&kind)).unwrap_or_default();
        // Indices before the other names of the same devices.
        names.sort_by_key(|name| name.len());
        if names.is_empty() {
            // A file of the kind itself that is out of date counts as none.
            let others = everything.kinds().into_iter().map(ToString::to_string).filter(|other| other != kind);
            let others = others.collect::<Vec<_>>();
            let others =
                if others.is_empty() { String::new() } else { format!(", only {}", listed(others.into_iter(), ", ")) };
            return format!(
                "no CDI file in {} describes {kind}{others}, and no driver is loaded from which gpu-runc may describe it; \
                 load the driver or put a file there, \"gpu-ctk cdi list\" shows what is found",
                dirs()
            );
        }
        let wrong = self.names.iter().find_map(|(name, _)| name.strip_prefix(kind)?.strip_prefix('='));
        let meant = wrong.and_then(|wrong| nearest(wrong, names.iter().copied()));
        let meant = meant.map_or_else(String::new, |name| format!(", did you mean {name}?"));
        format!("this host has {kind}={}{meant}", listed(names.into_iter().map(str::to_owned), ", "))
    }
}

/// The first few of `items` in a row.
fn listed(items: impl Iterator<Item = String>, between: &str) -> String {
    const SHOWN: usize = 16;
    let mut items: Vec<String> = items.collect();
    let more = items.len().saturating_sub(SHOWN);
    items.truncate(SHOWN);
    let row = items.join(between);
    if more > 0 { format!("{row} and {more} more") } else { row }
}
