//! Who holds which device: found at each decision, not kept alone.
//!
//! ```text
//! a table of records   who gpu-runc gave devices to ─┐
//!                                                    ├─→ containers that are alive ─→ Holder { devices, nodes, lease }
//! states of runtimes   what runc and crun started ───┘
//! ```
//!
//! A record is written between the decision and exec, under one lock; nothing is written when a container ends. A record is alive
//! as long as its own process runs, or the runtime's state names an init that runs and was started after it. Everything in a
//! table and in a state is parsed as an attacker's, and costs at most a warning where no lease is asked for.

mod directory;
mod held;
mod line;
mod open;
mod process;
mod record;
mod roots;
mod state;
mod table;
mod who;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::Escaped;
use crate::host::Host;
use crate::request::Lease;

pub use held::{Holding, Known};
pub use open::{group_of, open_nodes, user_of};
pub use process::{Process, namespace};
pub use record::{Container, Grant, Held, Number, Seen};
pub use who::Who;

use directory::Directory;
use record::Record;
use roots::Roots;
use table::{Places, Table};

/// Processes whose start time is read at one decision: a stat takes 5 µs, asking for a PID a tenth of it. Beyond, a PID that is
/// used again makes a device seem held, unless the lease is exclusive.
const MOST_EXACT: usize = 16;
/// Records of ended containers that a table may have before it is written again, beside as many as there are others.
const MOST_STALE: usize = 16;
/// Lines that a table may have beyond twice those of its last survey before the next one is due.
const MOST_UNSWEPT: usize = 128;
/// How the first line of a table begins that was written by a survey; the number of its lines follows.
const SWEPT: &str = "swept\t";

/// A container that holds devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Which container.
    pub container: Container,
    /// Whether others can get its devices.
    pub lease: Lease,
    /// The devices that gpu-runc gave it.
    pub devices: Vec<Held>,
    /// All device nodes that it has, whoever gave it these.
    pub nodes: BTreeSet<Number>,
    /// When gpu-runc gave it devices, in seconds since 1970.
    pub since: Option<u64>,
    /// Who requested the devices, of those that gpu-runc gave.
    pub source: Option<String>,
    /// Its bundle, where known.
    pub bundle: Option<String>,
    /// Its init, once it has one.
    pub init: Option<Process>,
}

/// Who holds what, as far as this process can see.
#[derive(Debug, Default)]
pub struct Holders {
    /// The containers, in the order of their records.
    pub containers: Vec<Holder>,
    /// Records of containers that have ended, and lines that are no records.
    pub stale: usize,
    /// What could not be read, and why.
    pub unread: Vec<String>,
}

/// The records of the machine, read once, and locked where this process is going to decide.
#[derive(Debug)]
pub struct Records {
    run: PathBuf,
    /// The PID namespace of this process.
    namespace: Option<u64>,
    grants: Vec<Grant>,
    /// How many of these are in the table that this process writes: the first ones.
    ours: usize,
    seen: BTreeMap<Container, Seen>,
    /// Lines that are no records.
    damaged: usize,
    /// Texts of tables that other processes write, and whether all texts have been parsed.
    others: Vec<String>,
    is_parsed: bool,
    table: Option<Table>,
    /// What could not be read or locked, and why.
    unread: Vec<String>,
}

impl Records {
    /// Reads the records of `host` without locking them.
    pub fn read(host: &Host, runtime_dir: Option<&OsStr>) -> Self {
        let mut records = Records::none(host);
        let places = Places::new(&records.run, runtime_dir);
        records.others = places.read(None, &mut records.unread);
        records
    }

    /// Reads the records of `host` and locks the table that this process writes, for at most `patience`. Where that fails, the
    /// records cannot be relied on, which [`Records::fault`] says.
    pub fn lock(host: &Host, runtime_dir: Option<&OsStr>, patience: Duration) -> Self {
        let mut records = Records::none(host);
        let places = Places::new(&records.run, runtime_dir);
        match places.lock(patience) {
            Ok(table) => {
                if !table.is_locked() {
                    records
                        .unread
                        .push(format!("{}: the lock is held by another process", Escaped::path(table.path())));
                }
                records.table = Some(table);
            }
            Err(why) => records.unread.push(why),
        }
        let ours = records.table.as_ref().map(|table| table.path().to_owned());
        if ours.as_deref() != Some(places.system.as_path()) {
            records.others = places.read(ours.as_deref(), &mut records.unread);
        }
        records
    }

    fn none(host: &Host) -> Self {
        let run = host.real(Path::new("/run")).into_owned();
        let (grants, seen, unread) = (Vec::new(), BTreeMap::new(), Vec::new());
        Records {
            run,
            namespace: namespace().ok(),
            grants,
            ours: 0,
            seen,
            damaged: 0,
            others: Vec::new(),
            is_parsed: false,
            table: None,
            unread,
        }
    }

    /// Parses what was read: most starts need not.
    fn parse_all(&mut self) {
        if std::mem::replace(&mut self.is_parsed, true) {
            return;
        }
        if let Some(text) = self.table.as_mut().map(|table| std::mem::take(&mut table.text)) {
            self.parse(&text);
            self.ours = self.grants.len();
            if let Some(table) = &mut self.table {
                table.text = text;
            }
        }
        let others = std::mem::take(&mut self.others);
        others.iter().for_each(|text| self.parse(text));
    }

    fn parse(&mut self, text: &str) {
        // The end of a line that is still being written is not there.
        let lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        for line in lines.filter(|line| !line.is_empty() && !line.starts_with(SWEPT)) {
            match Record::parse(line).filter(|_| line.len() <= record::LONGEST) {
                Some(Record::Grant(grant)) => self.grants.push(grant),
                Some(Record::Seen(seen)) => drop(self.seen.insert(seen.container.clone(), seen)),
                None => self.damaged += 1,
            }
        }
    }

    /// Why the records cannot be relied on: they cannot be read, or another process has locked them.
    pub fn fault(&self) -> Option<&str> {
        self.unread.first().map(String::as_str)
    }

    /// Whether some container may have an exclusive lease. Where none has, there is nothing to check.
    pub fn has_exclusive(&self) -> bool {
        let has = |text: &str| text.contains("\texclusive\t");
        self.table.as_ref().is_some_and(|table| has(&table.text)) || self.others.iter().any(|text| has(text))
    }

    /// Whether so many records were added since the last survey that one is due, so that no table grows for ever.
    pub fn is_due(&self) -> bool {
        let Some(table) = self.table.as_ref().filter(|table| table.is_locked()) else { return false };
        let lines = table.text.bytes().filter(|byte| *byte == b'\n').count();
        let swept = table.text.strip_prefix(SWEPT).and_then(|rest| rest.split('\n').next()?.parse().ok());
        lines > 2 * swept.unwrap_or(0_usize).min(lines) + MOST_UNSWEPT
    }

    /// The containers with an exclusive lease that are alive. Reads the states of these alone.
    pub fn exclusive(&mut self) -> Vec<Holder> {
        self.parse_all();
        let mut budget = usize::MAX;
        let state_of = |container: &Container| match Directory::open(Path::new(&container.root)) {
            Ok(None) => State::Absent,
            Ok(Some(root)) => match root.below(&container.id) {
                Ok(None) => State::Absent,
                Ok(Some(found)) => {
                    State::Present(state::read(&found).map(|state| Cow::Owned(Seen::of(container.clone(), 0, &state))))
                }
                Err(_) => State::Hidden(self.seen.get(container).map(Cow::Borrowed)),
            },
            Err(_) => State::Hidden(self.seen.get(container).map(Cow::Borrowed)),
        };
        let latest = Latest::of(&self.grants);
        let exclusive = self.grants.iter().filter(|grant| grant.lease == Lease::Exclusive);
        let alive = exclusive.filter_map(|grant| {
            let was_running = is_alive(grant.by, grant.lease, &mut budget);
            self.holder(grant, was_running, &state_of(&grant.container), &latest, &mut budget)
        });
        alive.collect()
    }

    /// All containers that hold devices: those of the records, and those that a runtime's state gives device nodes. What is
    /// out of date is taken out of the table, and what was read is noted in it, if this process has locked it.
    pub fn survey(&mut self) -> Holders {
        self.parse_all();
        let mut budget = MOST_EXACT;
        // Before any state is read: a `create` that ends meanwhile has written the state that is read then. The other way round,
        // it would be neither running nor have a state.
        let was_running: Vec<bool> =
            self.grants.iter().map(|grant| is_alive(grant.by, grant.lease, &mut budget)).collect();
        let roots: BTreeSet<&str> = self.grants.iter().map(|grant| grant.container.root.as_str()).collect();
        let Roots { found: roots, mut hidden, mut unread } =
            roots::find(&self.run, &roots.into_iter().collect::<Vec<_>>());
        let (mut seen, mut fresh) = (BTreeMap::new(), Vec::new());
        // Directories without a state that makes sense.
        let mut bare = BTreeSet::new();
        for root in &roots {
            let entries = match root.directory.directories() {
                Ok(entries) => entries,
                Err(cause) => {
                    unread.push(format!("{}: {}", root.path, crate::error::reason(&cause)));
                    hidden.insert(root.path.clone());
                    continue;
                }
            };
            let mut is_in_memory = None;
            for (id, inode) in entries {
                let container = Container { root: root.path.clone(), id };
                if let Some(known) = self.seen.remove(&container).filter(|known| known.inode == inode) {
                    seen.insert(container, known);
                    continue;
                }
                let state = root.directory.below(&container.id).ok().flatten().and_then(|found| state::read(&found));
                if let Some(state) = state {
                    let found = Seen::of(container.clone(), inode, &state);
                    if *is_in_memory.get_or_insert_with(|| root.directory.is_in_memory()) {
                        fresh.push(found.line());
                    }
                    seen.insert(container, found);
                } else {
                    bare.insert(container);
                }
            }
        }
        let forgotten = self.seen.len();
        let mut containers = Vec::new();
        let latest = Latest::of(&self.grants);
        let (mut recorded, mut kept) = (BTreeSet::new(), Vec::new());
        for (index, (grant, was_running)) in self.grants.iter().zip(was_running).enumerate() {
            let container = &grant.container;
            let state = match seen.get(container) {
                Some(seen) => State::Present(Some(Cow::Borrowed(seen))),
                None if bare.contains(container) => State::Present(None),
                None if hidden.contains(&container.root) => State::Hidden(self.seen.get(container).map(Cow::Borrowed)),
                None => State::Absent,
            };
            if let Some(holder) = self.holder(grant, was_running, &state, &latest, &mut budget) {
                recorded.insert(&grant.container);
                // Records of the machine are not copied to a user's table.
                kept.extend((index < self.ours).then_some(grant));
                containers.push(holder);
            }
        }
        let stale = self.grants.len() - containers.len() + self.damaged;
        let is_other =
            |seen: &&Seen| !seen.is_privileged && !seen.nodes.is_empty() && !recorded.contains(&seen.container);
        for other in seen.values().filter(is_other).filter(|seen| is_alive(seen.init, Lease::Shared, &mut budget)) {
            containers.push(Holder::seen(other));
        }
        if let Some(table) = self.table.as_mut().filter(|table| table.is_locked()) {
            let out_of_date = self.ours - kept.len() + self.damaged + forgotten;
            let written = if out_of_date > MOST_STALE || out_of_date * 2 > kept.len() + seen.len() {
                let noted = seen.values().map(Seen::line);
                let swept = format!("{SWEPT}{}", kept.len() + seen.len());
                let kept = kept.into_iter().map(Grant::line);
                table.replace(&std::iter::once(swept).chain(kept).chain(noted).collect::<Vec<_>>())
            } else {
                table.append(&fresh)
            };
            if let Err(cause) = written {
                unread.push(format!("{}: {}", Escaped::path(table.path()), crate::error::reason(&cause)));
            }
        }
        unread.extend(self.unread.iter().cloned());
        Holders { containers, stale, unread }
    }

    /// Writes the record of a container that is given devices, and lets the next process decide.
    ///
    /// # Errors
    ///
    /// Why it cannot be written.
    pub fn write(self, grant: &Grant) -> Result<(), String> {
        let Some(table) = &self.table else {
            return Err(self.fault().unwrap_or("there is no table of records").to_owned());
        };
        let line = grant.line();
        if line.len() > record::LONGEST {
            return Err("the record is longer than 256 KiB".to_owned());
        }
        let written = table.append(std::slice::from_ref(&line));
        written.map_err(|cause| format!("{}: {}", Escaped::path(table.path()), crate::error::reason(&cause)))
    }

    /// The container of `grant`, if it is alive: its own process `was_running`, or its `state` names an init that runs.
    fn holder(
        &self,
        grant: &Grant,
        was_running: bool,
        state: &State<'_>,
        latest: &Latest<'_>,
        budget: &mut usize,
    ) -> Option<Holder> {
        // PIDs of another PID namespace mean nothing here: the runtime deletes its directory when the container is deleted.
        let is_foreign = self.namespace.is_some_and(|ours| ours != grant.namespace);
        let seen = match state {
            State::Present(seen) | State::Hidden(seen) => seen.as_deref(),
            State::Absent => None,
        };
        let its = seen.filter(|seen| is_foreign || latest.is(grant, seen.init));
        let is_alive = match (is_foreign, state) {
            (true, state) => !matches!(state, State::Absent),
            // Whether it lives is for others to know; the record stands until one of them sweeps it.
            (false, State::Hidden(None)) => true,
            (false, _) => was_running || its.is_some_and(|seen| is_alive(seen.init, grant.lease, budget)),
        };
        is_alive.then(|| Holder::granted(grant, its))
    }
}

/// The grants of each container, in their order.
struct Latest<'a>(BTreeMap<&'a Container, Vec<&'a Grant>>);

impl<'a> Latest<'a> {
    fn of(grants: &'a [Grant]) -> Self {
        let mut of_container: BTreeMap<&Container, Vec<&Grant>> = BTreeMap::new();
        grants.iter().for_each(|grant| of_container.entry(&grant.container).or_default().push(grant));
        Latest(of_container)
    }

    /// Whether `init` is that of the container that `grant` was made for: no later grant of the same id was made before it started.
    /// A `create` that fails because the id is taken leaves a later grant.
    fn is(&self, grant: &Grant, init: Process) -> bool {
        let is_before = |grant: &&&Grant| init.start == 0 || grant.by.start <= init.start;
        let last = self.0.get(&grant.container).and_then(|grants| grants.iter().rev().find(is_before));
        last.is_some_and(|last| std::ptr::eq(*last, grant))
    }
}

/// What is known of a container from where its runtime keeps its state.
enum State<'a> {
    /// The runtime has a directory for it, and wrote this there.
    Present(Option<Cow<'a, Seen>>),
    /// The runtime has none.
    Absent,
    /// This process cannot read it; another one noted this.
    Hidden(Option<Cow<'a, Seen>>),
}

fn is_alive(process: Process, lease: Lease, budget: &mut usize) -> bool {
    if !process.may_be_alive() {
        return false;
    }
    if lease == Lease::Shared && *budget == 0 {
        return true;
    }
    *budget = budget.saturating_sub(1);
    process.is_alive()
}

impl Seen {
    fn of(container: Container, inode: u64, state: &state::State) -> Self {
        let mut nodes = state.nodes.clone();
        let mounted = state.mounted.iter().filter(|path| path.starts_with("/dev/"));
        nodes.extend(mounted.filter_map(|path| number_of(path)));
        Seen { container, inode, init: state.init, nodes, is_privileged: state.is_privileged }
    }
}

/// The number of the character device at `path`, which is below `/dev`.
fn number_of(path: &str) -> Option<Number> {
    number(&nix::sys::stat::lstat(path).ok()?)
}

/// The number of the character device that a descriptor in `/proc` leads to.
fn number_of_open(descriptor: &Path) -> Option<Number> {
    number(&nix::sys::stat::stat(descriptor).ok()?)
}

fn number(found: &nix::sys::stat::FileStat) -> Option<Number> {
    let is_character = found.st_mode & libc::S_IFMT == libc::S_IFCHR;
    let number = |half: u64| u32::try_from(half).ok();
    let (major, minor) = (nix::sys::stat::major(found.st_rdev), nix::sys::stat::minor(found.st_rdev));
    if is_character { Some((number(major)?, number(minor)?)) } else { None }
}

impl Holder {
    fn granted(grant: &Grant, seen: Option<&Seen>) -> Self {
        let mut nodes: BTreeSet<Number> =
            grant.devices.iter().flat_map(|device| device.nodes.iter().copied()).collect();
        nodes.extend(seen.into_iter().filter(|seen| !seen.is_privileged).flat_map(|seen| seen.nodes.iter().copied()));
        Holder {
            container: grant.container.clone(),
            lease: grant.lease,
            devices: grant.devices.clone(),
            nodes,
            since: Some(grant.since),
            source: Some(grant.source.clone()),
            bundle: Some(grant.bundle.clone()),
            init: seen.map(|seen| seen.init),
        }
    }

    fn seen(seen: &Seen) -> Self {
        Holder {
            container: seen.container.clone(),
            lease: Lease::Shared,
            devices: Vec::new(),
            nodes: seen.nodes.clone(),
            since: None,
            source: None,
            bundle: None,
            init: Some(seen.init),
        }
    }
}

#[cfg(test)]
mod tests;
