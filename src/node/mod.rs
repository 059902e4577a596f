//! Puts gpu-runc on a machine that runs pods, keeps it there through upgrades, and takes it away again.
//!
//! What is to be done is a list of steps, decided from what was found, so that a list that was cut off anywhere is decided anew to
//! the same end. What engines' files become is for `configure`; nothing here knows what a container asks for.
//!
//! ```text
//! PREFIX/gpu-runc/
//!   1.2.3-0123456789abcdef/   a build: gpu-runc and gpu-ctk, never written to once it is whole
//!   current -> 1.2.3-…        what engines start: PREFIX/gpu-runc/current/gpu-runc, switched by one rename
//!   previous -> 1.2.2-…       kept, because a container that is being created may name a hook of it
//!   unfinished.json           what the engine's files were, while a change of them is not known to be good
//! ```
//!
//! A shim or conmon knows the path through `current` alone, so that kill and delete of an old container start the new build. A
//! build by its own path is named for as long as one `create` takes, in the one hook of its config.json: two builds would have to
//! be installed within that time, and even then one that a process or a bundle names is not removed.

mod act;
mod cri;
mod disk;
pub mod engine;
mod frames;
pub mod layout;
mod prefix;
pub mod status;
pub mod steps;
mod usage;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::configure::{self, Change, Engine, Plan, Runtime};
use crate::error::{Error, Escaped, Result};
use layout::{FEATURES, LOCK, Layout, Link};
use steps::{Found, Step};

/// The program that installs, and is installed beside gpu-runc.
const OWN: &str = "gpu-ctk";
/// What is installed.
const PROGRAMS: [&str; 2] = ["gpu-runc", OWN];

/// The mode of the program at `path`. Only root needs to read gpu-runc, and what cannot be read cannot be traced in a container.
fn mode(path: &Path) -> u32 {
    if path.ends_with(OWN) { 0o755 } else { 0o711 }
}

/// A program that is to be installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Its file's name.
    pub name: &'static str,
    /// What it holds.
    pub bytes: Vec<u8>,
}

/// The programs that are to be installed, under the name of their version and bytes.
#[derive(Debug, Clone)]
pub struct Build {
    /// The name of its folder.
    pub name: String,
    /// What is in it.
    pub programs: Vec<Program>,
}

/// What the engine's files were, and what they became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journal {
    /// In the order in which they were made.
    pub changes: Vec<Change>,
}

/// How an engine is made to read its files anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// By systemd.
    Systemd,
    /// By SIGHUP; something else must start a containerd that ends.
    Signal,
    /// Not at all: a person does it.
    Never,
}

/// One machine, and what is wished for on it.
#[derive(Debug, Clone)]
pub struct Node {
    /// Where things are.
    pub layout: Layout,
    /// The engine that runs pods.
    pub engine: Engine,
    /// Its main file.
    pub config: PathBuf,
    /// What pods call the runtime.
    pub name: String,
    /// Whether pods that name no runtime get it.
    pub is_default: bool,
    /// Whether pods may ask by annotation.
    pub takes_annotations: bool,
    /// How the engine is made to read its files anew.
    pub restart: How,
    /// Variables for the programs that are asked to do so.
    pub env: &'static [(&'static str, &'static str)],
    /// How long to wait for the engine, and for another installer.
    pub patience: Duration,
}

impl Build {
    /// Reads the programs of `folder`, which are of `version`.
    pub fn read(folder: &Path, version: &str) -> Result<Self> {
        let read = |name: &'static str| {
            let path = folder.join(name);
            let bytes = disk::read(&path)?;
            let absent = || {
                Error::Usage(format!(
                    "{}: not found; name the folder of both programs by --source",
                    Escaped::path(&path)
                ))
            };
            Ok(Program { name, bytes: bytes.ok_or_else(absent)? })
        };
        let programs = PROGRAMS.into_iter().map(read).collect::<Result<Vec<_>>>()?;
        Ok(Build { name: layout::build_name(version, &programs), programs })
    }
}

/// Makes `root` the root of this process: from then on every path is the machine's own, and its links lead where they do there.
/// What is read before is read from where this process came.
pub fn enter(root: &Path) -> Result<()> {
    std::os::unix::fs::chroot(root)
        .and_then(|()| std::env::set_current_dir("/"))
        .map_err(|cause| Error::io("enter", root, cause))
}

/// Installs `build` and registers it. `tell` is called before each step. A second run does nothing.
///
/// # Errors
///
/// A step that cannot be done. Where it is one of the engine's, its files are given back as they were, and it is restarted if it
/// was before.
pub fn install(node: &Node, build: &Build, tell: &mut dyn FnMut(&str)) -> Result<Plan> {
    prefix::check(node.layout.home())?;
    let _lock = disk::lock(Path::new(LOCK), node.patience)?;
    recover(node, tell)?;
    let found = found(node, build)?;
    let plan = node.plan(true)?;
    run(node, &steps::install(&found, &node.layout, build, &plan, node.restart != How::Never), tell)?;
    Ok(plan)
}

/// Takes it away, once no container is left that uses it, for which it waits at most as long as `longest`. The rest as [`install`].
pub fn uninstall(node: &Node, longest: Duration, tell: &mut dyn FnMut(&str)) -> Result<Plan> {
    let _lock = disk::lock(Path::new(LOCK), node.patience)?;
    recover(node, tell)?;
    let found = found(node, &Build { name: String::new(), programs: Vec::new() })?;
    let mut plan = node.plan(false)?;
    run(node, &steps::uninstall(&found, &node.layout, &plan, longest, node.restart != How::Never), tell)?;
    let usage::Usage { unseen, others, .. } =
        usage::of(node.layout.home(), &engine::states(node.engine, &node.config)?)?;
    plan.notes.extend(others.iter().map(|(uid, count)| {
        format!("{count} processes of user {uid} name it: rootless containers of theirs have lost their runtime")
    }));
    plan.notes.extend(
        unseen
            .iter()
            .map(|process| format!("{process}: its program may not be looked at, its arguments name nothing of it")),
    );
    plan.notes.extend(empty_folder()?);
    disk::remove(Path::new(LOCK))?;
    Ok(plan)
}

/// Whether nothing of it is left on a machine of which no engine runs, so that none has to be asked; then not even the lock is.
pub fn is_gone(layout: &Layout, name: &str, patience: Duration) -> Result<bool> {
    for engine in engine::all() {
        let config = configure::detect::machine_config(engine);
        if !configure::plan(engine, &config, name, None)?.changes.is_empty() {
            return Ok(false);
        }
    }
    if disk::is_there(layout.home())? || disk::is_there(Path::new(FEATURES))? {
        return Ok(false);
    }
    if disk::is_there(Path::new(LOCK))? {
        let _lock = disk::lock(Path::new(LOCK), patience)?;
        disk::remove(Path::new(LOCK))?;
    }
    Ok(true)
}

/// What to say of the folder of the label where nothing else is in it. Node Feature Discovery has it mounted where it runs: a new
/// one in its place would be out of its sight.
fn empty_folder() -> Result<Option<String>> {
    let folder = Path::new(FEATURES).parent().unwrap_or(Path::new("/"));
    let is_empty = disk::names(folder)?.is_some_and(|names| names.is_empty());
    let note = || format!("{} is empty and stays: Node Feature Discovery may have it mounted", Escaped::path(folder));
    Ok(is_empty.then(note))
}

/// Gives the engine its files back where a change of them was not finished. It is made anew after that, and the restart is owed.
fn recover(node: &Node, tell: &mut dyn FnMut(&str)) -> Result<()> {
    let Some(journal) = node.journal()? else { return Ok(()) };
    for step in take_back(&journal)? {
        tell(&step.to_string());
        act::take(&step, node)?;
    }
    Ok(())
}

fn run(node: &Node, steps: &[Step<'_>], tell: &mut dyn FnMut(&str)) -> Result<()> {
    if node.restart == How::Signal && steps.iter().any(|step| matches!(step, Step::Restart { .. })) {
        configure::restart::check_signal(node.engine, configure::Scope::System, &node.config)?;
    }
    let mut was_restarted = false;
    for step in steps {
        tell(&step.to_string());
        was_restarted |= matches!(step, Step::Restart { .. });
        if let Err(error) = act::take(step, node) {
            let is_engines = matches!(step, Step::Change(_) | Step::Check | Step::Restart { .. } | Step::Await { .. });
            // Without a journal nothing was changed.
            let is_changed = is_engines && node.journal()?.is_some();
            return Err(if is_changed { roll_back(node, &error, was_restarted, tell) } else { error });
        }
    }
    Ok(())
}

/// What to say of `error`, once the engine has its files back.
fn roll_back(node: &Node, error: &Error, was_restarted: bool, tell: &mut dyn FnMut(&str)) -> Error {
    let mut back = || -> Result<&str> {
        recover(node, tell)?;
        let again = [Step::Restart { is_gone: true }, Step::Await { knows: false }];
        for step in again.iter().filter(|_| was_restarted).chain([&Step::Forget]) {
            tell(&step.to_string());
            act::take(step, node)?;
        }
        Ok(if was_restarted {
            "the engine has its files back and is well again"
        } else {
            "the engine's files are as they were"
        })
    };
    Error::Usage(match back() {
        Ok(done) => format!("{error}; {done}"),
        Err(second) => {
            let journal = node.layout.journal();
            format!(
                "{error}; giving the engine its files back was no better, {} has them: {second}",
                Escaped::path(&journal)
            )
        }
    })
}

/// What there is, seen from `build`.
fn found(node: &Node, build: &Build) -> Result<Found> {
    let layout = &node.layout;
    let mut lacking = Vec::new();
    for program in &build.programs {
        if disk::read(&layout.build(&build.name).join(program.name))?.as_ref() != Some(&program.bytes) {
            lacking.push(program.name);
        }
    }
    let names = disk::names(layout.home())?;
    let is_here = names.is_some();
    let builds: Vec<String> = names.unwrap_or_default().into_iter().filter(|name| layout::is_build(name)).collect();
    let states = engine::states(node.engine, &node.config)?;
    let mut in_use = Vec::new();
    for name in &builds {
        if !usage::of(&layout.build(name), &states)?.users.is_empty() {
            in_use.push(name.clone());
        }
    }
    // What somebody wrote without a restart, or an engine that started with other files.
    let lacks = |said: Vec<u8>| cri::has(&said, &node.name, &layout.program()) == Some(false);
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Found {
        current: disk::link(&layout.link(Link::Current))?,
        previous: disk::link(&layout.link(Link::Previous))?,
        builds,
        lacking,
        label: disk::read(Path::new(FEATURES))?.map(text),
        in_use,
        is_unfinished: node.journal()?.is_some(),
        is_unloaded: cri::status(&engine::socket(node.engine, &node.config)?).is_ok_and(lacks),
        is_here,
    })
}

impl Node {
    /// What the engine's files become.
    fn plan(&self, is_wanted: bool) -> Result<Plan> {
        let path = self.layout.program();
        let path = path.to_str().ok_or_else(|| Error::Usage("--prefix: its name is not UTF-8 text".to_owned()))?;
        let runtime = Runtime {
            name: self.name.clone(),
            path: path.to_owned(),
            is_default: self.is_default,
            takes_annotations: self.takes_annotations,
        };
        configure::plan(self.engine, &self.config, &self.name, is_wanted.then_some(&runtime))
    }

    fn journal(&self) -> Result<Option<Journal>> {
        let path = self.layout.journal();
        let Some(bytes) = disk::read(&path)? else { return Ok(None) };
        let damaged = || {
            Error::Usage(format!(
                "{}: cannot be understood; compare the engine's files, and remove it",
                Escaped::path(&path)
            ))
        };
        Journal::parse(&bytes).ok_or_else(damaged).map(Some)
    }
}

/// The steps that put back what `journal` says was there.
fn take_back(journal: &Journal) -> Result<Vec<Step<'static>>> {
    let mut now = Vec::new();
    for change in &journal.changes {
        now.push(configure::place::read(&change.path)?);
    }
    let text = |change: &Change| now.iter().find(|file| file.path == change.path).and_then(|file| file.text.clone());
    Ok(steps::take_back(journal, &text))
}

impl Journal {
    fn to_text(&self) -> String {
        let change = |change: &Change| json!({"path": change.path, "before": change.before, "after": change.after});
        format!("{:#}\n", Value::from(self.changes.iter().map(change).collect::<Vec<_>>()))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let entries: Vec<Value> = serde_json::from_slice(bytes).ok()?;
        let text = |entry: &Value, key: &str| entry.get(key)?.as_str().map(str::to_owned);
        let change = |entry: &Value| {
            Some(Change {
                path: text(entry, "path")?.into(),
                before: text(entry, "before"),
                after: text(entry, "after"),
            })
        };
        Some(Journal { changes: entries.iter().map(change).collect::<Option<_>>()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_says_what_was_and_what_is_and_absence_too() {
        let change = |before: Option<&str>, after: Option<&str>| Change {
            path: "/etc/a \"b\"".into(),
            before: before.map(str::to_owned),
            after: after.map(str::to_owned),
        };
        let journal = Journal { changes: vec![change(None, Some("é\n")), change(Some(""), None)] };
        assert_eq!(Journal::parse(journal.to_text().as_bytes()), Some(journal));
        assert_eq!(Journal::parse(b"{}"), None);
    }
}
