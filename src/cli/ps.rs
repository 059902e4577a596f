//! `gpu-ctk ps`: one row for each GPU and container that holds it; free GPUs are shown as free.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};

use super::output::{self, answer};
use crate::config::Config;
use crate::error::{Error, Escaped, Result, is_unfit};
use crate::generate::{self, Item, Machine};
use crate::holders::{self, Held, Holder, Holders, Holding, Known, Number, Records, Who};
use crate::host::Host;
use crate::log;
use crate::runtime::sharing::runtime_dir;
use crate::vendor::Vendors;

/// What to show, and how.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A container holds a GPU if gpu-runc gave it the GPU, or if its low-level runtime's state has the GPU's device nodes.\n\
                        Containers of other users are shown as far as their states can be read: as root, all.\n\
                        Privileged containers can use every device and are shown where gpu-runc gave them GPUs."
)]
pub(super) struct Ps {
    /// Only this GPU (any of its names), or the GPUs of this container (its name, or the start of its id)
    #[arg(value_name = "GPU|CONTAINER")]
    only: Option<String>,
    /// Print JSON
    #[arg(long, conflicts_with_all = ["prometheus", "watch"])]
    json: bool,
    /// Print the text format of Prometheus, for the textfile directory of a node exporter
    #[arg(long, conflicts_with = "watch")]
    prometheus: bool,
    /// Show it again every two seconds
    #[arg(short, long)]
    watch: bool,
}

/// A GPU, or a part of one.
struct Gpu {
    item: Item,
    /// Its qualified name.
    name: String,
    held_by: Vec<Row>,
    /// Processes outside the containers above that have its device nodes open.
    others: BTreeSet<u32>,
}

/// A container that holds a GPU.
struct Row {
    who: Who,
    user: Option<String>,
    lease: &'static str,
    is_part: bool,
    since: Option<u64>,
    source: Option<String>,
    pids: BTreeSet<u32>,
    /// The version of the driver whose files it has, where another one is loaded.
    outdated: Option<String>,
}

impl Ps {
    /// Prints the table. Exit status 1 if some vendor's devices cannot be read, which is said on stderr.
    pub(super) fn run(&self, config: &Config) -> Result<ExitCode> {
        loop {
            let host = Host::open(&config.host.root)?;
            let (mut gpus, mut is_whole) = (Vec::new(), true);
            let holders = survey(&host);
            for vendor in Vendors::with(&config.vendor)?.accelerators() {
                match generate::inventory(vendor, Machine { host: &host, roots: &config.host }) {
                    Ok(items) => gpus.extend(joined(items, &holders, &host)),
                    Err(error) => {
                        is_whole = false;
                        output::note(&format_args!("{}: {error}", vendor.name));
                    }
                }
            }
            if let Some(only) = &self.only {
                gpus = narrowed(gpus, only)?;
            }
            for why in &holders.unread {
                output::note(&format_args!("some containers cannot be seen: {why}"));
            }
            if self.watch {
                output::clear()?;
            }
            match (self.json, self.prometheus) {
                (true, _) => output::json(&json!(gpus.iter().map(Gpu::to_json).collect::<Vec<_>>()))?,
                (_, true) => answer(&prometheus(&gpus, &holders))?,
                _ => answer(&table(&gpus))?,
            }
            if !self.watch {
                return Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE });
            }
            sleep(Duration::from_secs(2));
        }
    }
}

/// Who holds what on this machine.
fn survey(host: &Host) -> Holders {
    Records::read(host, runtime_dir().as_deref()).survey()
}

/// How many containers hold each of `items`.
pub(super) fn counts(items: &[Item], host: &Host) -> Vec<usize> {
    let holders = survey(host);
    let known = known(items, host);
    let mut counts = vec![0; items.len()];
    for holder in &holders.containers {
        let holdings = known.held_by(&holder.devices, &holder.nodes);
        let held = counts.iter_mut().zip(holdings).filter(|(_, how)| *how > Holding::None);
        held.for_each(|(count, _)| *count += 1);
    }
    counts
}

fn known(items: &[Item], host: &Host) -> Known {
    let device = |item: &Item| Held {
        names: [qualified(item)]
            .into_iter()
            .chain(item.names.iter().filter(|name| **name != item.identity.index).cloned())
            .collect(),
        nodes: item.nodes.iter().filter_map(|path| number(host, path)).collect(),
    };
    Known::new(items.iter().map(device).collect())
}

fn qualified(item: &Item) -> String {
    format!("{}={}", item.vendor.kinds.first().copied().unwrap_or_default(), item.identity.index)
}

fn number(host: &Host, path: &str) -> Option<Number> {
    let found = host.lstat(Path::new(path)).ok().flatten()?;
    let is_character = found.st_mode & libc::S_IFMT == libc::S_IFCHR;
    let half = |half: u64| u32::try_from(half).ok();
    let number = (half(nix::sys::stat::major(found.st_rdev))?, half(nix::sys::stat::minor(found.st_rdev))?);
    is_character.then_some(number)
}

/// The devices of one vendor with those who hold them.
fn joined(items: Vec<Item>, holders: &Holders, host: &Host) -> Vec<Gpu> {
    let known = known(&items, host);
    let open = holders::open_nodes(known.devices().iter().flat_map(|device| device.nodes.iter().copied()));
    let holdings: Vec<(&Holder, Vec<Holding>)> = holders
        .containers
        .iter()
        .map(|holder| (holder, known.held_by(&holder.devices, &holder.nodes)))
        .filter(|(_, holdings)| holdings.iter().any(|how| *how > Holding::None))
        .collect();
    let whos: Vec<Who> = holdings.iter().map(|(holder, _)| Who::of(holder)).collect();
    let mut groups: BTreeMap<u32, Option<String>> = BTreeMap::new();
    let gpu = |(index, item): (usize, Item)| {
        let nodes = known.devices().get(index).map(|device| device.nodes.as_slice()).unwrap_or_default();
        let pids: BTreeSet<u32> = nodes.iter().filter_map(|node| open.get(node)).flatten().copied().collect();
        let mut others = pids.clone();
        let mut held_by = Vec::new();
        for ((holder, holdings), who) in holdings.iter().zip(&whos) {
            let Some(how) = holdings.get(index).filter(|how| **how > Holding::None) else { continue };
            let init = holder.init.map(|init| init.pid);
            let group = init.and_then(|pid| groups.entry(pid).or_insert_with(|| holders::group_of(pid)).clone());
            let mut is_its = |pid: &u32| {
                Some(*pid) == init
                    || group.is_some() && *groups.entry(*pid).or_insert_with(|| holders::group_of(*pid)) == group
            };
            let its: BTreeSet<u32> = pids.iter().copied().filter(|pid| is_its(pid)).collect();
            others.retain(|pid| !its.contains(pid));
            held_by.push(Row {
                who: who.clone(),
                user: init.and_then(holders::user_of).map(user),
                lease: holder.lease.word(),
                is_part: *how == Holding::Part,
                since: holder.since,
                source: holder.source.clone(),
                pids: its,
                outdated: outdated(&item, who),
            });
        }
        Gpu { name: qualified(&item), item, held_by, others }
    };
    items.into_iter().enumerate().map(gpu).collect()
}

fn user(uid: u32) -> String {
    let found = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid)).ok().flatten();
    found.map_or_else(|| uid.to_string(), |user| user.name)
}

/// The version of the driver whose libraries are mounted into a container, where it is not the one that is loaded.
fn outdated(item: &Item, who: &Who) -> Option<String> {
    let loaded = item.driver.as_deref()?;
    let libraries = item.vendor.recipes.iter().filter_map(|recipe| recipe.driver?.libraries);
    let marks: Vec<&str> =
        libraries.flat_map(|libraries| libraries.marks).filter_map(|mark| mark.strip_suffix("{version}")).collect();
    let names = who.mounted.iter().filter_map(|source| source.rsplit('/').next());
    let versions: Vec<&str> = names.filter_map(|name| marks.iter().find_map(|mark| name.strip_prefix(mark))).collect();
    let is_loaded = versions.contains(&loaded);
    versions.first().filter(|_| !is_loaded).map(|version| (*version).to_owned())
}

/// The GPU that is called so, or what the container that is called so holds.
fn narrowed(mut gpus: Vec<Gpu>, only: &str) -> Result<Vec<Gpu>> {
    let is_named = |gpu: &Gpu| gpu.name == only || gpu.item.names.iter().any(|name| name == only);
    if gpus.iter().any(is_named) {
        gpus.retain(is_named);
        return Ok(gpus);
    }
    let is_it = |row: &Row| row.who.name.as_deref() == Some(only) || row.who.id.starts_with(only);
    gpus.iter_mut().for_each(|gpu| gpu.held_by.retain(is_it));
    gpus.retain(|gpu| !gpu.held_by.is_empty());
    match gpus.is_empty() {
        true => {
            Err(Error::Usage(format!("no GPU, and no container that holds one, is called {}", Escaped::name(only))))
        }
        false => Ok(gpus),
    }
}

const TITLES: [&str; 9] = ["GPU", "MODEL", "CONTAINER", "ENGINE", "USER", "LEASE", "SINCE", "SOURCE", "PIDS"];

fn table(gpus: &[Gpu]) -> String {
    if gpus.is_empty() {
        return "this host has no GPU; is the driver loaded?\n".to_owned();
    }
    let mut rows = vec![TITLES.map(str::to_owned)];
    let mut notes = BTreeSet::new();
    for gpu in gpus {
        let model = || Escaped::name(gpu.item.identity.model.as_deref().unwrap_or("-")).to_string();
        let row = |container: String,
                   engine: &str,
                   user: String,
                   lease: String,
                   since: String,
                   source: String,
                   pids: String| {
            [gpu.name.clone(), model(), container, engine.to_owned(), user, lease, since, source, pids]
        };
        let dash = || "-".to_owned();
        for held in &gpu.held_by {
            let Row { who, user, lease, is_part, since, source, pids, outdated } = held;
            let id = Escaped::name(who.short_id()).to_string();
            let mark = if outdated.is_some() { "!" } else { "" };
            let container = match &who.name {
                Some(name) => format!("{} ({id}){mark}", Escaped::name(name)),
                None => format!("{id}{mark}"),
            };
            if let (Some(version), Some(loaded)) = (outdated, &gpu.item.driver) {
                let version = Escaped::name(version);
                notes.insert(format!("! {who} has the files of driver {version}, but {loaded} is loaded: restart it"));
            }
            let lease = if *is_part { format!("{lease}, in part") } else { (*lease).to_owned() };
            let source = source.as_deref().map_or_else(dash, |source| Escaped::name(source).to_string());
            let since = since.map_or_else(dash, log::clock);
            rows.push(row(
                container,
                who.engine,
                user.clone().unwrap_or_else(dash),
                lease,
                since,
                source,
                listed(pids),
            ));
        }
        match (gpu.held_by.is_empty(), gpu.others.is_empty()) {
            (true, true) => rows.push(row(dash(), "-", dash(), "free".to_owned(), dash(), dash(), dash())),
            (_, false) => {
                let container = "(no container)".to_owned();
                rows.push(row(container, "-", dash(), dash(), dash(), dash(), listed(&gpu.others)));
            }
            (false, true) => {}
        }
    }
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..TITLES.len()).filter_map(width).collect();
    let line = |row: &[String; 9]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    let table: String = rows.iter().map(line).collect();
    table + &notes.into_iter().map(|note| note + "\n").collect::<String>()
}

fn listed(pids: &BTreeSet<u32>) -> String {
    const SHOWN: usize = 4;
    let shown: Vec<String> = pids.iter().take(SHOWN).map(ToString::to_string).collect();
    match pids.len() {
        0 => "-".to_owned(),
        count if count > SHOWN => format!("{},… ({count})", shown.join(",")),
        _ => shown.join(","),
    }
}

impl Gpu {
    fn to_json(&self) -> Value {
        let holder = |row: &Row| {
            json!({
                "engine": row.who.engine, "name": row.who.name, "id": row.who.id, "bundle": row.who.bundle,
                "user": row.user, "lease": row.lease, "inPart": row.is_part, "since": row.since, "source": row.source,
                "pids": row.pids, "outdatedDriver": row.outdated,
            })
        };
        json!({
            "gpu": self.name, "vendor": self.item.vendor.name, "model": self.item.identity.model,
            "uniqueId": self.item.identity.unique_id, "pciAddress": self.item.identity.address,
            "driver": self.item.driver, "holders": self.held_by.iter().map(holder).collect::<Vec<_>>(),
            "otherPids": self.others,
        })
    }

    /// Labels that tell the GPU from all others.
    fn labels(&self) -> String {
        let identity = &self.item.identity;
        let text = |text: &Option<String>| label(text.as_deref().unwrap_or_default());
        format!(
            "gpu={},uuid={},pci={},model={}",
            label(&self.name),
            text(&identity.unique_id),
            text(&identity.address),
            text(&identity.model)
        )
    }
}

/// The text format of Prometheus, version 0.0.4.
fn prometheus(gpus: &[Gpu], holders: &Holders) -> String {
    let mut text = String::new();
    let mut family = |name: &str, help: &str, lines: Vec<String>| {
        // Writing to a String cannot fail.
        let _ = write!(text, "# HELP gpu_runc_{name} {help}\n# TYPE gpu_runc_{name} gauge\n");
        lines.iter().for_each(|line| text.push_str(&format!("gpu_runc_{name}{line}\n")));
    };
    let count = |gpu: &Gpu| format!("{{{}}} {}", gpu.labels(), gpu.held_by.len());
    family("gpu_holders", "Containers that hold the GPU.", gpus.iter().map(count).collect());
    let held = |gpu: &Gpu| {
        let row = |row: &Row| {
            let (name, id) = (label(row.who.name.as_deref().unwrap_or_default()), label(&row.who.id));
            let part = if row.is_part { "1" } else { "0" };
            format!(
                "{{{},container={name},id={id},engine={},lease={},part=\"{part}\"}} 1",
                gpu.labels(),
                label(row.who.engine),
                label(row.lease)
            )
        };
        gpu.held_by.iter().map(row).collect::<Vec<_>>()
    };
    family("gpu_held", "A container that holds the GPU.", gpus.iter().flat_map(held).collect());
    family("stale_records", "Records of containers that have ended.", vec![format!(" {}", holders.stale)]);
    text
}

/// A label's value in quotes.
fn label(value: &str) -> String {
    let mut text = String::from("\"");
    for c in value.chars() {
        match c {
            '\\' | '"' => text.extend(['\\', c]),
            '\n' => text.push_str("\\n"),
            // The format knows no other escapes, so this one is part of the value.
            c if is_unfit(c) => text.extend(std::iter::once('\\').chain(c.escape_default())),
            c => text.push(c),
        }
    }
    text + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpu(names: &[&str], held_by: Vec<Row>) -> Gpu {
        let vendor = Vendors::known().accelerators()[0];
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let identity = crate::vendor::recipe::Identity {
            index: names[0].clone(),
            model: Some("H100 \"x\"\\".into()),
            ..Default::default()
        };
        let item =
            Item { vendor, identity, names, nodes: vec![], numa: None, partition: None, driver: Some("550.1".into()) };
        Gpu { name: qualified(&item), item, held_by, others: BTreeSet::new() }
    }

    fn row(name: Option<&str>, id: &str) -> Row {
        let who = Who { engine: "docker", name: name.map(str::to_owned), id: id.into(), ..Who::default() };
        Row {
            who,
            user: Some("root".into()),
            lease: "shared",
            is_part: false,
            since: None,
            source: Some("a\nb".into()),
            pids: [7, 8].into(),
            outdated: None,
        }
    }

    #[test]
    fn a_row_is_for_a_gpu_and_a_container() {
        let outdated = Row { outdated: Some("535.2".into()), ..row(Some("web"), &"3f".repeat(32)) };
        let part = Row { is_part: true, ..row(None, "c1") };
        let host = Gpu { others: [1, 2, 3, 4, 5].into(), ..gpu(&["2"], vec![]) };
        let shown = table(&[gpu(&["0"], vec![outdated, part]), gpu(&["1"], vec![]), host]);
        let lines: Vec<String> =
            shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        let kind = "nvidia.com/gpu";
        assert_eq!(
            lines,
            [
                "GPU MODEL CONTAINER ENGINE USER LEASE SINCE SOURCE PIDS".to_owned(),
                format!(r#"{kind}=0 H100 "x"\ web (3f3f3f3f3f3f)! docker root shared - a\nb 7,8"#),
                format!(r#"{kind}=0 H100 "x"\ c1 docker root shared, in part - a\nb 7,8"#),
                format!(r#"{kind}=1 H100 "x"\ - - - free - - -"#),
                format!(r#"{kind}=2 H100 "x"\ (no container) - - - - - 1,2,3,4,… (5)"#),
                "! docker container web (3f3f3f3f3f3f) has the files of driver 535.2, but 550.1 is loaded: restart it"
                    .to_owned(),
            ]
        );
    }

    #[test]
    fn a_gpu_or_a_container_is_found_by_its_names() {
        let all = || vec![gpu(&["0", "GPU-1f"], vec![row(Some("web"), "3f2a"), row(None, "77")]), gpu(&["1"], vec![])];
        for (only, gpus, rows) in
            [("0", 1, 2), ("GPU-1f", 1, 2), ("nvidia.com/gpu=1", 1, 0), ("web", 1, 1), ("3f", 1, 1)]
        {
            let found = narrowed(all(), only).unwrap();
            assert_eq!((found.len(), found.iter().map(|gpu| gpu.held_by.len()).sum::<usize>()), (gpus, rows), "{only}");
        }
        assert!(narrowed(all(), "absent").is_err());
    }

    #[test]
    fn prometheus_reads_every_line() {
        let holders = Holders { stale: 3, ..Holders::default() };
        let text = prometheus(&[gpu(&["0"], vec![row(Some("a\"\n"), "c1")]), gpu(&["1"], vec![])], &holders);
        let labels = |index| format!(r#"gpu="nvidia.com/gpu={index}",uuid="",pci="",model="H100 \"x\"\\""#);
        for line in [
            format!("gpu_runc_gpu_holders{{{}}} 1", labels(0)),
            format!("gpu_runc_gpu_holders{{{}}} 0", labels(1)),
            format!(
                r#"gpu_runc_gpu_held{{{},container="a\"\n",id="c1",engine="docker",lease="shared",part="0"}} 1"#,
                labels(0)
            ),
            "gpu_runc_stale_records 3".to_owned(),
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(text.lines().all(|line| line.starts_with("# ") || line.starts_with("gpu_runc_")));
    }

    #[test]
    fn a_container_with_the_files_of_another_driver_is_told() {
        let gpu = gpu(&["0"], vec![]);
        let with = |mounted: &[&str]| {
            let mounted = mounted.iter().map(|source| (*source).to_owned()).collect();
            outdated(&gpu.item, &Who { mounted, ..Who::default() })
        };
        assert_eq!(with(&["/usr/lib/libcuda.so.535.2", "/etc/hosts"]).as_deref(), Some("535.2"));
        assert_eq!(with(&["/usr/lib/libcuda.so.550.1"]), None);
        assert_eq!(with(&["/usr/lib/libz.so.1"]), None);
    }
}
