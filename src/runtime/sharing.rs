//! What one start needs to know of other containers: who holds which device, and where devices are. Read when a request needs it
//! and no earlier: a request that names its devices reads one file, a count lists the runtimes' containers too.
//!
//! Nothing here stops a start that takes no part in an exclusive lease: what cannot be read is a note.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use super::grant::Granted;
use super::memory;
use crate::cdi::registry::NamedDevice;
use crate::cdi::{DeviceNode, Kind, Part, Registry};
use crate::choose::link::Place;
use crate::choose::{Candidate, Link, Rules, Shortage, choose};
use crate::config::{Config, Picked};
use crate::error::{Error, Escaped, Result};
use crate::generate::{self, Machine};
use crate::holders::{Container, Grant, Held, Holder, Holders, Holding, Known, Number, Process, Records, Who};
use crate::host::{Host, pci};
use crate::log;
use crate::oci::Spec;
use crate::request::{Lease, Near, Options, Pick, Request};
use crate::resolve::{self, Choosable};
use crate::vendor::Vendor;

/// A decision takes about a millisecond, but hundreds can be made at once, on few processors. A start without a lease then goes on
/// without the lock.
const PATIENCE: Duration = Duration::from_secs(5);
/// Many starts can ask at once, and a lease is nothing without the lock.
const PATIENCE_OF_A_LEASE: Duration = Duration::from_secs(20);
/// The most holders that an error names.
const NAMED: usize = 8;

/// What one start knows of other containers.
#[derive(Debug)]
pub struct Sharing<'a> {
    config: &'a Config,
    host: &'a Host,
    /// How long the lock of the records is waited for, once they are needed. `None`: they have been read, or are not to be.
    patience: Option<Duration>,
    /// Whether the request asks for an exclusive lease.
    is_lease: bool,
    /// `None`: nothing was read.
    records: Option<Records>,
    /// Who holds what, once a count had to know.
    holders: Option<Rc<Holders>>,
    /// The container itself: what it held before it is made again does not count.
    container: Container,
    /// The CPUs that the container can run on, as the kernel lists them. Empty for all.
    cpus: String,
    /// Whether people want to know why, which takes a look at each holder.
    explains: bool,
    /// Why each device of a count was chosen or not.
    pub reasons: Vec<String>,
}

impl<'a> Sharing<'a> {
    /// For a start of `container` with `request`: reads the records once they are needed, and locks them from then on until
    /// [`Sharing::record`]. A request that names its devices needs them last of all.
    pub fn lock(config: &'a Config, host: &'a Host, request: &Request, spec: &Spec<'_>, container: Container) -> Self {
        let is_lease = request.asks.iter().any(|ask| ask.options.lease == Lease::Exclusive);
        let patience = if is_lease { PATIENCE_OF_A_LEASE } else { PATIENCE };
        let patience = (!request.asks.is_empty()).then_some(patience);
        Sharing { patience, is_lease, container, ..Sharing::look(config, host, Some(spec)) }
    }

    /// Reads and locks the records, if that is still to be done. The error says why an exclusive lease cannot do without.
    fn open(&mut self) -> std::result::Result<(), String> {
        let Some(patience) = self.patience.take() else { return Ok(()) };
        let records = Records::lock(self.host, runtime_dir().as_deref(), patience);
        if let Some(why) = records.fault().filter(|_| self.is_lease) {
            let what = "lease=exclusive needs the records of who holds which device, which cannot be used";
            return Err(format!("{what}: {why}"));
        }
        self.records = Some(records);
        Ok(())
    }

    /// For people who want to know what a start would get: reads without a lock, and writes nothing.
    pub fn look(config: &'a Config, host: &'a Host, spec: Option<&Spec<'_>>) -> Self {
        let cpus = spec.and_then(|spec| spec.get(&["linux", "resources", "cpu", "cpus"]));
        let cpus = cpus.and_then(|raw| serde_json::from_str(raw).ok()).unwrap_or_default();
        let (container, reasons) = (Container::default(), Vec::new());
        let (patience, is_lease, records, holders, explains) = (None, false, None, None, false);
        Sharing { config, host, patience, is_lease, records, holders, container, cpus, explains, reasons }
    }

    /// The same, with the records read, and reasons for each choice.
    #[must_use]
    pub fn read(self) -> Self {
        Sharing { records: Some(Records::read(self.host, runtime_dir().as_deref())), explains: true, ..self }
    }

    /// Chooses among devices. The error says who holds them.
    pub fn choose(&mut self, choosable: &Choosable<'_>) -> std::result::Result<Vec<usize>, String> {
        let Choosable { devices, options, count, .. } = *choosable;
        let fits = self.fitting(choosable)?;
        let Some(count) = count else {
            let fitting = fits.iter().enumerate().filter(|(_, fits)| **fits).map(|(index, _)| index);
            return Ok(fitting.collect());
        };
        let default = if self.config.inject.pick == Picked::First { Pick::First } else { Pick::Least };
        let rules = Rules::of(options, count, default);
        self.open()?;
        if self.records.is_none() {
            return resolve::first(choosable);
        }
        let known = Known::new(devices.iter().map(|device| self.held(choosable, device)).collect());
        let surveyed = self.surveyed();
        let mut candidates: Vec<Candidate> = choosable.is_taken.iter().zip(&fits).map(candidate).collect();
        let mut holding: Vec<Vec<&Holder>> = vec![Vec::new(); devices.len()];
        for holder in surveyed.containers.iter().filter(|holder| holder.container != self.container) {
            let holdings = known.held_by(&holder.devices, &holder.nodes);
            for ((candidate, holding), how) in candidates.iter_mut().zip(&mut holding).zip(holdings) {
                if how > Holding::None {
                    candidate.holders += 1;
                    candidate.is_leased |= holder.lease == Lease::Exclusive;
                    holding.push(holder);
                }
            }
        }
        let addresses = Addresses { host: self.host, known: &known, found: OnceCell::new() };
        if rules.pick == Pick::Idle {
            let open =
                crate::holders::open_nodes(known.devices().iter().flat_map(|device| device.nodes.iter().copied()));
            for (candidate, device) in candidates.iter_mut().zip(known.devices()) {
                candidate.is_open = device.nodes.iter().any(|node| open.contains_key(node));
            }
        }
        if rules.near == Near::Cpus && !self.cpus.is_empty() {
            for (index, candidate) in candidates.iter_mut().enumerate() {
                candidate.is_near_cpus = addresses.is_near(index, &self.cpus);
            }
        }
        let chosen = choose(&candidates, count, rules, &|a, b| addresses.link(a, b));
        let name =
            |index: usize| devices.get(index).map(|device| qualified(choosable.kind, device)).unwrap_or_default();
        for (index, candidate) in candidates.iter().enumerate().filter(|_| self.explains) {
            let is_chosen = chosen.as_ref().is_ok_and(|chosen| chosen.contains(&index));
            let holders = holding.get(index).map(Vec::as_slice).unwrap_or_default();
            self.reasons.push(reason(&name(index), candidate, rules, is_chosen, holders));
        }
        chosen.map_err(|shortage| {
            let held = holding.iter().enumerate().map(|(index, holders)| (name(index), holders.as_slice()));
            let blocking = |holder: &&Holder| rules.lease == Lease::Exclusive || holder.lease == Lease::Exclusive;
            let held = held.map(|(name, holders)| (name, holders.iter().copied().filter(|h| blocking(h)).collect()));
            short(choosable.kind, count, options, shortage, &held.collect::<Vec<_>>())
        })
    }

    /// Makes sure that no device of `granted` is another container's by an exclusive lease, and that those that are leased exclusively here are
    /// nobody's. Counts have seen to it themselves.
    ///
    /// # Errors
    ///
    /// [`Error::Request`] that names the holder.
    pub fn check(&mut self, granted: &Granted) -> Result<()> {
        if granted.held.iter().all(|(_, devices)| devices.is_empty()) {
            return Ok(());
        }
        self.open().map_err(Error::Inject)?;
        let Some(records) = &mut self.records else { return Ok(()) };
        let is_lease = granted.held.iter().any(|(lease, _)| *lease == Lease::Exclusive);
        let holders = match (is_lease, records.has_exclusive()) {
            (true, _) => self.surveyed().containers.clone(),
            (false, true) => records.exclusive(),
            (false, false) => {
                if self.holders.is_none() && records.is_due() {
                    self.holders = Some(Rc::new(records.survey()));
                }
                return Ok(());
            }
        };
        let is_other = |holder: &&Holder| holder.container != self.container;
        for (grant, (lease, devices)) in granted.grants.iter().zip(&granted.held) {
            let known = Known::new(devices.clone());
            let is_exclusive = *lease == Lease::Exclusive;
            for holder in holders.iter().filter(is_other) {
                if !is_exclusive && holder.lease == Lease::Shared {
                    continue;
                }
                let held = known.held_by(&holder.devices, &holder.nodes);
                let device = known.devices().iter().zip(held).find(|(_, how)| *how > Holding::None);
                let Some((device, _)) = device else { continue };
                // Of several devices under one name, such as `all`, the message names the one that the other container has.
                let is_inside = |theirs: &&Held| {
                    theirs.nodes.len() < device.nodes.len()
                        && theirs.nodes.iter().any(|node| device.nodes.contains(node))
                };
                let named = holder.devices.iter().find(is_inside).unwrap_or(device);
                let Some(name) = named.names.first() else { continue };
                let asked = if is_exclusive { "requested exclusively, but it " } else { "" };
                let how = if holder.lease == Lease::Exclusive { "leased exclusively" } else { "held" };
                let message = format!("{name} is {asked}{}", held_by(how, holder, is_exclusive));
                return Err(Error::Request { source: grant.source.to_string(), message });
            }
        }
        Ok(())
    }

    /// Notes in the records what the container is given, and unlocks them. Returns notes.
    ///
    /// # Errors
    ///
    /// [`Error::Inject`] where an exclusive lease cannot be recorded.
    pub fn record(&mut self, granted: &Granted, bundle: &Path) -> Result<Vec<String>> {
        let Some(records) = self.records.take() else { return Ok(Vec::new()) };
        let devices: Vec<Held> = granted.held.iter().flat_map(|(_, devices)| devices.iter().cloned()).collect();
        if devices.is_empty() {
            return Ok(Vec::new());
        }
        let mut notes: Vec<String> = records.fault().map(str::to_owned).into_iter().collect();
        let lease = granted.grants.iter().map(|grant| grant.options.lease).max().unwrap_or_default();
        let sources: BTreeSet<String> = granted.grants.iter().map(|grant| grant.source.to_string()).collect();
        let ids = Process::current().and_then(|by| Ok((by, crate::holders::namespace()?)));
        let written = ids.map_err(|cause| crate::error::reason(&cause)).and_then(|(by, namespace)| {
            records.write(&Grant {
                since: log::seconds(),
                by,
                namespace,
                container: self.container.clone(),
                bundle: std::path::absolute(bundle).unwrap_or_default().to_string_lossy().into_owned(),
                lease,
                source: sources.into_iter().collect::<Vec<_>>().join(" and "),
                devices,
            })
        });
        match written {
            Ok(()) => {}
            Err(why) if lease == Lease::Exclusive => {
                return Err(Error::Inject(format!("the exclusive lease cannot be recorded: {why}")));
            }
            Err(why) => notes.push(why),
        }
        notes.dedup();
        Ok(notes.into_iter().map(|why| format!("who holds which device is not known for certain: {why}")).collect())
    }

    /// The lines of `dmem.max` for what `grants` limit.
    pub fn memory(
        &self,
        grants: &[resolve::Grant],
        held: &[(Lease, Vec<Held>)],
    ) -> Result<Vec<(&'static str, String)>> {
        let limited =
            grants.iter().zip(held).filter_map(|(grant, (_, devices))| Some((grant.options.memory?, devices, grant)));
        let mut lines = Vec::new();
        for (bytes, devices, grant) in limited {
            let known = Known::new(devices.clone());
            let addresses = Addresses { host: self.host, known: &known, found: OnceCell::new() };
            let devices: Vec<(&str, Option<String>)> = (0..devices.len())
                .filter_map(|index| Some((known.devices().get(index)?.names.first()?.as_str(), addresses.of(index))))
                .collect();
            let limits = memory::limits(self.host, &devices, bytes);
            lines.extend(limits.map_err(|message| Error::Request { source: grant.source.to_string(), message })?);
        }
        Ok(if lines.is_empty() { Vec::new() } else { vec![(memory::FILE, lines.join("\n"))] })
    }

    /// The devices of each grant, for records.
    pub fn devices(&self, grants: &[resolve::Grant], registry: &Registry) -> Vec<(Lease, Vec<Held>)> {
        let held = |grant: &resolve::Grant| {
            let devices = grant.devices.iter().zip(&grant.parts);
            devices.map(|(name, part)| self.held_part(name.to_string(), registry, *part)).collect()
        };
        grants.iter().map(|grant| (grant.options.lease, held(grant))).collect()
    }

    fn surveyed(&mut self) -> Rc<Holders> {
        let survey = || Rc::new(self.records.as_mut().map(Records::survey).unwrap_or_default());
        Rc::clone(self.holders.get_or_insert_with(survey))
    }

    fn held(&self, choosable: &Choosable<'_>, device: &NamedDevice<'_>) -> Held {
        let first = qualified(choosable.kind, device);
        let mut held = self.held_part(first, choosable.registry, device.part);
        held.names.extend(device.names.iter().skip(1).map(|name| (*name).to_owned()));
        held
    }

    fn held_part(&self, name: String, registry: &Registry, part: Part) -> Held {
        let nodes = registry.edits(part).map(|edits| edits.device_nodes.as_slice()).unwrap_or_default();
        let mut names = vec![name];
        let edits = registry.edits(part);
        let spec = registry.spec(part.file);
        // Other names of the same device have equal edits; only those that were read are known.
        let others =
            spec.into_iter().flat_map(|spec| &spec.devices).filter(|device| Some(&device.container_edits) == edits);
        let own = |other: &str| names.first().is_some_and(|name| name.ends_with(&format!("={other}")));
        let others: Vec<String> = others.map(|device| device.name.clone()).filter(|name| !own(name)).collect();
        names.extend(others);
        Held { names, nodes: nodes.iter().filter_map(|node| self.number(node)).collect() }
    }

    /// The number of a character device: the host's node counts, as when it is injected.
    fn number(&self, node: &DeviceNode) -> Option<Number> {
        if !matches!(node.node_type.as_str(), "" | "c" | "u") {
            return None;
        }
        let number = |major: i64, minor: i64| Some((u32::try_from(major).ok()?, u32::try_from(minor).ok()?));
        if node.is_whole() {
            return number(node.major, node.minor);
        }
        let found = self.host.lstat(Path::new(node.on_host())).ok().flatten()?;
        let is_character = found.st_mode & libc::S_IFMT == libc::S_IFCHR;
        let half = |half: u64| i64::try_from(half).ok();
        let (major, minor) = (nix::sys::stat::major(found.st_rdev), nix::sys::stat::minor(found.st_rdev));
        if is_character { number(half(major)?, half(minor)?) } else { None }
    }

    /// For each device, whether its model is the requested one.
    fn fitting(&self, choosable: &Choosable<'_>) -> std::result::Result<Vec<bool>, String> {
        let Some(wanted) = &choosable.options.model else { return Ok(vec![true; choosable.devices.len()]) };
        let models = models(choosable.vendor, Machine { host: self.host, roots: &self.config.host })?;
        let model_of = |device: &NamedDevice<'_>| {
            models.iter().find(|(names, _)| device.names.iter().any(|name| names.iter().any(|other| other == name)))
        };
        let found: Vec<Option<&str>> =
            choosable.devices.iter().map(|device| model_of(device).map(|(_, model)| model.as_str())).collect();
        let wanted_text = wanted.to_lowercase();
        let fits = |model: Option<&str>| model.is_some_and(|model| model.to_lowercase().contains(&wanted_text));
        let fits: Vec<bool> = found.iter().copied().map(fits).collect();
        if fits.contains(&true) {
            return Ok(fits);
        }
        let known: BTreeSet<&str> = found.into_iter().flatten().collect();
        let known = match known.is_empty() {
            true => "which models its devices are is not known".to_owned(),
            false => format!("its models are {}", known.into_iter().collect::<Vec<_>>().join(", ")),
        };
        Err(format!("no device of {} is a model {}; {known}", choosable.kind, Escaped::quoted(wanted)))
    }
}

fn candidate((is_taken, fits): (&bool, &bool)) -> Candidate {
    Candidate { is_taken: *is_taken, fits: *fits, ..Candidate::default() }
}

/// The names and the model of each device of `vendor`.
fn models(vendor: &'static Vendor, machine: Machine<'_>) -> std::result::Result<Vec<(Vec<String>, String)>, String> {
    let items = generate::inventory(vendor, machine).map_err(|error| error.to_string())?;
    Ok(items.into_iter().filter_map(|item| Some((item.names, item.identity.model?))).collect())
}

fn qualified(kind: &Kind, device: &NamedDevice<'_>) -> String {
    format!("{kind}={}", device.name())
}

/// Where devices are, read at most once.
struct Addresses<'a> {
    host: &'a Host,
    known: &'a Known,
    found: OnceCell<Vec<Place>>,
}

impl Addresses<'_> {
    /// The PCI address of a device: one of its names, or what sysfs says of its node.
    fn of(&self, index: usize) -> Option<String> {
        let device = self.known.devices().get(index)?;
        let named = device.names.iter().find(|name| pci::is_address(name));
        named.cloned().or_else(|| device.nodes.iter().find_map(|node| pci::address_of_node(self.host, *node)))
    }

    fn link(&self, a: usize, b: usize) -> Link {
        let places =
            self.found.get_or_init(|| (0..self.known.devices().len()).map(|index| self.place(index)).collect());
        places.get(a).zip(places.get(b)).map_or(Link::System, |(a, b)| Link::between(a, b))
    }

    /// What cannot be read is not known.
    fn place(&self, index: usize) -> Place {
        let Some(address) = self.of(index) else { return Place::default() };
        let folder = pci::folder(&address);
        let number = |file: &str| pci::number(self.host, &folder, file).ok().flatten();
        let path = pci::ancestry(self.host, &address);
        Place { numa: number("numa_node"), hive: number("xgmi_hive_info/xgmi_hive_id").filter(|hive| *hive > 0), path }
    }

    /// Whether some of `cpus` are local to a device.
    fn is_near(&self, index: usize, cpus: &str) -> bool {
        let local = self
            .of(index)
            .and_then(|address| self.host.read(&pci::folder(&address).join("local_cpulist")).ok().flatten());
        local.is_some_and(|local| {
            let wanted: Vec<_> = ranges(cpus).collect();
            ranges(&local).any(|(first, last)| wanted.iter().any(|(from, to)| first <= *to && *from <= last))
        })
    }
}

/// The ranges of a list of CPUs, `0-3,8`.
fn ranges(list: &str) -> impl Iterator<Item = (u32, u32)> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some((first.trim().parse().ok()?, last.trim().parse().ok()?))
    };
    list.trim().split(',').filter_map(range)
}

/// `docker container web (3f2a9c1e0b7d), since 14:02 UTC`.
fn held_by(how: &str, holder: &Holder, needs_verb: bool) -> String {
    let verb = if needs_verb { "is " } else { "" };
    let since = holder.since.map_or_else(String::new, |since| format!(", since {}", log::clock(since)));
    format!("{verb}{how} by {}{since}", Who::of(holder))
}

/// Why fewer devices are available than requested, in one sentence.
fn short(kind: &Kind, count: usize, options: &Options, shortage: Shortage, held: &[(String, Vec<&Holder>)]) -> String {
    let is_gpu = kind.class() == "gpu";
    let things = |count: usize| match (is_gpu, count) {
        (true, 1) => "1 GPU".to_owned(),
        (true, count) => format!("{count} GPUs"),
        (false, 1) => format!("1 device of {kind}"),
        (false, count) => format!("{count} devices of {kind}"),
    };
    let model =
        options.model.as_ref().map_or_else(String::new, |model| format!(" of model {}", Escaped::quoted(model)));
    let asked = format!("{}{model} requested", things(count));
    if shortage.existing < count {
        return format!("{asked}, this host has {}", shortage.existing);
    }
    let asked = match options.lease {
        Lease::Exclusive => format!("{asked} exclusively, {} free", shortage.available),
        Lease::Shared => format!("{asked}, {} available", shortage.available),
    };
    let how = |holder: &Holder| if holder.lease == Lease::Exclusive { "leased exclusively" } else { "held" };
    let holders = held.iter().filter_map(|(name, holders)| {
        let first = holders.first()?;
        let more = if holders.len() > 1 { format!(" and {} more", holders.len() - 1) } else { String::new() };
        Some(format!("{name} is {}{more}", held_by(how(first), first, false)))
    });
    let holders: Vec<String> = holders.collect();
    let more = holders.len().saturating_sub(NAMED);
    let more = if more > 0 { format!("; and {more} more devices") } else { String::new() };
    let holders = holders.into_iter().take(NAMED).map(|holder| format!("; {holder}")).collect::<String>();
    format!("{asked}{holders}{more}")
}

/// Why a device was chosen or not.
fn reason(name: &str, candidate: &Candidate, rules: Rules, is_chosen: bool, holders: &[&Holder]) -> String {
    let held = match holders {
        [] => "no container holds it".to_owned(),
        [one] => format!("held by {}", Who::of(one)),
        [one, rest @ ..] => format!("held by {} and {} more", Who::of(one), rest.len()),
    };
    let mut facts = vec![held];
    let mut add = |is_so: bool, fact: &str| facts.extend(is_so.then(|| fact.to_owned()));
    add(candidate.is_leased, "leased exclusively");
    add(candidate.is_taken, "already in this request");
    add(!candidate.fits, "of another model");
    add(rules.pick == Pick::Idle && candidate.is_open, "a process has it open");
    add(rules.near == Near::Cpus && candidate.is_near_cpus, "near the container's CPUs");
    let chosen = if is_chosen { "chosen" } else { "not chosen" };
    format!("{name} {chosen}: {}", facts.join(", "))
}

/// Where a user's own records are.
#[allow(clippy::disallowed_methods, reason = "where a user's own records are")]
pub fn runtime_dir() -> Option<std::ffi::OsString> {
    std::env::var_os("XDG_RUNTIME_DIR")
}

/// The container that a low-level runtime starts: where it keeps its state, and its id. `root` is its `--root`.
#[allow(clippy::disallowed_methods, reason = "where runtimes keep their states without --root")]
pub fn container(runtime: &Path, root: Option<&OsStr>, id: Option<&OsStr>) -> Container {
    let program = runtime.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let name = ["crun", "youki"].into_iter().find(|name| program.starts_with(name)).unwrap_or("runc");
    let root = match root.filter(|root| !root.is_empty()) {
        Some(root) => std::path::absolute(Path::new(root)).unwrap_or_else(|_| root.into()),
        None if nix::unistd::geteuid().is_root() => Path::new("/run").join(name),
        None => Path::new(&runtime_dir().unwrap_or_else(|| "/run".into())).join(name),
    };
    let id = id.unwrap_or_default().to_string_lossy().into_owned();
    Container { root: root.to_string_lossy().into_owned(), id }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_are_lists_of_ranges() {
        for (list, expected) in
            [("0-3,8", vec![(0, 3), (8, 8)]), ("0\n", vec![(0, 0)]), ("", vec![]), ("x,1-y,2", vec![(2, 2)])]
        {
            assert_eq!(ranges(list).collect::<Vec<_>>(), expected, "{list:?}");
        }
    }

    #[test]
    fn a_shortage_says_who_holds_what() {
        let holder = |id: &str, lease| Holder {
            container: Container { root: "/absent/docker/x".into(), id: id.into() },
            lease,
            devices: Vec::new(),
            nodes: BTreeSet::new(),
            since: None,
            source: None,
            bundle: None,
            init: None,
        };
        let (one, two) = (holder("a", Lease::Exclusive), holder("b", Lease::Shared));
        let held = [
            ("a.b/gpu=0".to_owned(), vec![&one]),
            ("a.b/gpu=1".to_owned(), vec![&two, &one]),
            ("a.b/gpu=2".to_owned(), vec![]),
        ];
        let (exclusive, plain) = (Options { lease: Lease::Exclusive, ..Options::default() }, Options::default());
        let model = Options { model: Some("H100".into()), ..Options::default() };
        let shortage = |available, existing| Shortage { available, existing };
        for (kind, count, options, shortage, held, expected) in [
            (
                "a.b/gpu",
                2,
                &exclusive,
                shortage(1, 3),
                held.as_slice(),
                "2 GPUs requested exclusively, 1 free; a.b/gpu=0 is leased exclusively by docker container a; a.b/gpu=1 is held by \
                 docker container b and 1 more",
            ),
            (
                "a.b/npu",
                1,
                &plain,
                shortage(0, 1),
                &held[..1],
                "1 device of a.b/npu requested, 0 available; a.b/gpu=0 is leased",
            ),
            ("a.b/gpu", 4, &model, shortage(1, 2), &[], "4 GPUs of model \"H100\" requested, this host has 2"),
        ] {
            let told = short(&kind.parse().unwrap(), count, options, shortage, held);
            assert!(told.starts_with(expected), "{told}");
        }
    }

    #[test]
    fn a_container_is_known_by_where_its_runtime_keeps_its_state() {
        let of = |runtime: &str, root: Option<&str>| {
            container(Path::new(runtime), root.map(OsStr::new), Some(OsStr::new("c"))).root
        };
        assert_eq!(of("/usr/bin/runc", Some("/run/docker/runtime-runc/moby")), "/run/docker/runtime-runc/moby");
        assert!(of("/usr/bin/crun", None).ends_with("/crun"));
        assert!(of("/opt/kata", Some("")).ends_with("/runc"));
        assert!(of("/usr/bin/runc", Some("x")).starts_with('/'));
    }
}
