//! Registers gpu-runc with the engines of this machine, and takes it out again.
//!
//! Plans are pure: the texts of an engine's files in, the texts that they become out. What is added can be told from what was
//! there, so that taking it out gives the old bytes back, and no state is kept beside the engine's own files. Only `place` and
//! `names` write, only `ask`, `loaded` and `restart` talk to engines.

pub mod ask;
mod containerd;
mod crio;
pub mod detect;
mod docker;
mod document;
pub mod gpus;
mod inherited;
mod k3s;
pub mod loaded;
mod members;
pub mod names;
mod only;
pub mod place;
mod podman;
pub mod restart;
pub mod scope;
mod shared;

use std::path::{Path, PathBuf};

use ask::Said;
pub use scope::Scope;

use crate::error::{Error, Escaped, Result};

/// The first line of a file that is all ours.
const OURS: &str = "# Written by gpu-ctk runtime configure; --unconfigure removes it.\n";

/// The second line of one whose folder was not there.
const FOLDER_TOO: &str = "# Its folder was made for it, and goes with it if it is empty then.\n";

/// An engine that can be told of gpu-runc.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Engine {
    Containerd,
    Docker,
    Crio,
    Podman,
    K3s,
    Rke2,
}

/// The runtime that engines are told of.
#[derive(Debug, Clone)]
pub struct Runtime {
    /// What people and pods call it.
    pub name: String,
    /// The absolute path of gpu-runc.
    pub path: String,
    /// Whether containers that name no runtime get it. What is the default already stays so.
    pub is_default: bool,
    /// Whether containerd hands it what pods ask by annotation. CRI-O does so for every runtime.
    pub takes_annotations: bool,
}

/// A file of an engine as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Where.
    pub path: PathBuf,
    /// What it holds; `None` if there is no such file.
    pub text: Option<String>,
}

/// What one file becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Where.
    pub path: PathBuf,
    /// What it holds; `None` if there is no such file.
    pub before: Option<String>,
    /// What it will hold; `None` if it goes.
    pub after: Option<String>,
}

/// Everything that is to be done for one engine, in this order.
#[derive(Debug, Default)]
pub struct Plan {
    /// The files that change; none if all is as it should be.
    pub changes: Vec<Change>,
    /// What a person should know besides.
    pub notes: Vec<String>,
    /// The names for Docker's `--gpus` that come or go.
    pub links: Vec<names::Link>,
}

impl File {
    /// The text, empty where there is no file.
    fn text(&self) -> &str {
        self.text.as_deref().unwrap_or_default()
    }

    fn becomes(&self, after: Option<String>) -> Change {
        Change { path: self.path.clone(), before: self.text.clone(), after }
    }
}

impl Plan {
    fn of(changes: impl IntoIterator<Item = Change>) -> Self {
        Plan {
            changes: changes.into_iter().filter(|change| change.before != change.after).collect(),
            ..Plan::default()
        }
    }

    /// Whether there is nothing to do.
    pub fn is_nothing(&self) -> bool {
        self.changes.is_empty() && self.links.is_empty()
    }

    /// The same, but that a new file of ours says where its folder is made for it, and goes with it. For one who is not killed and
    /// started again between the folder and the file: then the folder is there.
    #[must_use]
    pub fn with_folders(mut self) -> Self {
        for change in self.changes.iter_mut().filter(|change| change.before.is_none()) {
            let is_made = change.path.parent().is_some_and(place::is_absent);
            if let Some(rest) = change.after.as_ref().and_then(|after| after.strip_prefix(OURS)).filter(|_| is_made) {
                change.after = Some(format!("{OURS}{FOLDER_TOO}{rest}"));
            }
        }
        self
    }

    /// Does all of it, or none: what is done is undone where a later part fails.
    ///
    /// # Errors
    ///
    /// Those of [`names::apply`] and [`place::apply`]; the first of them.
    pub fn apply(&self) -> Result<()> {
        let mut linked: Vec<&names::Link> = Vec::new();
        let mut changed: Vec<&Change> = Vec::new();
        let links = self.links.iter().try_for_each(|link| names::apply(link).map(|()| linked.push(link)));
        let done = links.and_then(|()| {
            self.changes.iter().try_for_each(|change| place::apply(change).map(|()| changed.push(change)))
        });
        done.inspect_err(|_| {
            // The error that is told is the first one.
            for change in changed.into_iter().rev() {
                let Change { path, before, after } = change.clone();
                let _ = place::apply(&Change { path, before: after, after: before });
            }
            for link in linked.into_iter().rev() {
                let _ = names::apply(&names::undone(link));
            }
        })
    }

    fn with(mut self, notes: impl IntoIterator<Item = String>) -> Self {
        self.notes.extend(notes);
        self
    }
}

/// What an engine's files were found to be, and what it says of itself.
#[derive(Debug, Clone)]
pub enum Found {
    /// daemon.json.
    Docker(File),
    /// Our drop-in, and every file that the engine reads, in its order.
    Crio(File, Vec<File>),
    /// The same of podman, and whether crun is installed.
    Podman(File, Vec<File>, bool),
    /// The root file, our drop-in, and what containerd says.
    Containerd(File, File, Said),
    /// The rendered file of k3s or rke2, our drop-in where one would be read, and the templates of versions 3 and 2.
    Rendered(File, Option<File>, [File; 2]),
}

/// Reads the files of `engine`, whose main one is `config`, and decides what they become: with `runtime` registered under its
/// name, or with nothing of `name` where there is none. Writes nothing. Errors: a file that cannot be read, and those of
/// [`decide`].
pub fn plan(engine: Engine, config: &Path, name: &str, runtime: Option<&Runtime>) -> Result<Plan> {
    check(name)?;
    decide(&find(engine, config, name, runtime)?, name, runtime)
}

/// What the files in `found` become. Pure. Errors: a file that does not parse (with the line), or holds by hand what we would
/// have to change.
pub fn decide(found: &Found, name: &str, runtime: Option<&Runtime>) -> Result<Plan> {
    match found {
        Found::Docker(file) => docker::plan(file, name, runtime),
        Found::Crio(drop_in, files) => crio::plan(drop_in, files, name, runtime),
        Found::Podman(drop_in, files, has_crun) => podman::plan(drop_in, files, *has_crun, name, runtime),
        Found::Containerd(root, drop_in, said) => containerd::plan(root, drop_in, said, name, runtime),
        Found::Rendered(rendered, drop_in, templates) => {
            k3s::plan(rendered, drop_in.as_ref(), templates, name, runtime)
        }
    }
}

fn find(engine: Engine, config: &Path, name: &str, runtime: Option<&Runtime>) -> Result<Found> {
    match engine {
        Engine::Docker => Ok(Found::Docker(place::read(config)?)),
        Engine::Crio => {
            let (folder, others) = crio::sources(config);
            let files = [vec![place::read(config)?], place::read_all(&folder, others)?].concat();
            Ok(Found::Crio(place::read(&folder.join(crio::drop_in(name)))?, files))
        }
        Engine::Podman => {
            let (system, folder) = (Path::new(podman::SYSTEM), podman::folder(config));
            let mut files = vec![place::read(Path::new(podman::SHARED))?];
            if config != system {
                files.push(place::read(system)?);
                files.extend(place::read_all(&podman::folder(system), "conf")?);
            }
            files.push(place::read(config)?);
            files.extend(place::read_all(&folder, "conf")?);
            let drop_in = place::read(&folder.join(podman::drop_in(name)))?;
            Ok(Found::Podman(drop_in, files, detect::is_program("crun")))
        }
        Engine::Containerd => {
            let root = place::read(config)?;
            let drop_in = place::read(&containerd::drop_in(&root, name)?)?;
            let said = runtime.map(|_| ask::containerd(config, &root)).unwrap_or_default();
            Ok(Found::Containerd(root, drop_in, said))
        }
        Engine::K3s | Engine::Rke2 => {
            let rendered = place::read(config)?;
            let drop_in = k3s::drop_in(&rendered, name)?.map(|path| place::read(&path)).transpose()?;
            let templates = [place::read(&k3s::template(config, 3))?, place::read(&k3s::template(config, 2))?];
            Ok(Found::Rendered(rendered, drop_in, templates))
        }
    }
}

/// A name that every engine and Kubernetes (RFC 1123 label) take, and that no engine keeps for itself.
fn check(name: &str) -> Result<()> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let good = name.len() <= 63 && name.chars().all(is_plain) && !name.starts_with('-') && !name.ends_with('-');
    match good && !name.is_empty() && !["runc", "crun"].contains(&name) {
        true => Ok(()),
        false => Err(Error::Usage(format!(
            "--runtime-name {}: expected small letters, digits and hyphens, and not the name of the low-level runtime",
            Escaped::quoted(name)
        ))),
    }
}

/// What becomes of a file that is all ours. An existing one that is not is an error.
fn own(file: &File, after: Option<String>) -> Result<Change> {
    match &file.text {
        Some(text) if !text.starts_with(OURS) => {
            let message = "somebody else wrote this file; remove it, or choose another --runtime-name".to_owned();
            Err(Error::Config { path: file.path.clone(), line: None, message })
        }
        Some(text) if text.starts_with(&format!("{OURS}{FOLDER_TOO}")) => {
            Ok(file.becomes(after.map(|after| after.replacen(OURS, &format!("{OURS}{FOLDER_TOO}"), 1))))
        }
        _ => Ok(file.becomes(after)),
    }
}
