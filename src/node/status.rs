//! How an installation stands.
//!
//! Only looks, waits for nothing, and takes no lock.

use std::collections::BTreeMap;
use std::path::Path;

use super::layout::{self, FEATURES, Layout, Link};
use super::{Node, cri, disk, engine, usage};
use crate::configure::{Engine, detect};
use crate::error::Result;

/// Something about the machine, or a sentence that says why it is not known.
pub type Known<T> = std::result::Result<T, String>;

/// How an installation stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The build that engines start.
    pub current: Option<String>,
    /// The one before it.
    pub previous: Option<String>,
    /// Other builds that are still there.
    pub others: Vec<String>,
    /// The engine's name.
    pub engine: &'static str,
    /// Whether the engine's files are as they should be.
    pub is_registered: Known<bool>,
    /// Whether a change of them was not finished.
    pub is_unfinished: bool,
    /// Whether the running engine has the runtime; `None` where it does not say.
    pub is_loaded: Known<Option<bool>>,
    /// Whether Node Feature Discovery is told of it.
    pub is_labelled: bool,
    /// Who uses it.
    pub users: Vec<String>,
    /// Processes of which only the arguments say that they do not.
    pub unseen: Vec<String>,
    /// How many processes of other users, and of containers, name it, by user id. They keep nothing from being removed.
    pub others_processes: BTreeMap<u32, usize>,
    /// Whether nothing of it is left, on disk and in the engine's files.
    pub is_gone: bool,
}

impl Status {
    /// Whether pods can have it.
    pub fn is_ready(&self) -> bool {
        let is_loaded = matches!(self.is_loaded, Ok(Some(true) | None));
        self.current.is_some() && self.is_registered == Ok(true) && !self.is_unfinished && is_loaded
    }
}

/// Looks at `node`. Errors: the installation itself cannot be read.
pub fn status(node: &Node) -> Result<Status> {
    let layout = &node.layout;
    let (current, previous) = (disk::link(&layout.link(Link::Current))?, disk::link(&layout.link(Link::Previous))?);
    let is_other = |name: &String| layout::is_build(name) && ![&current, &previous].contains(&&Some(name.clone()));
    let others = disk::names(layout.home())?.unwrap_or_default().into_iter().filter(is_other).collect();
    let is_registered = node.plan(true).map(|plan| plan.changes.is_empty()).map_err(|error| error.to_string());
    let said = engine::socket(node.engine, &node.config).map_err(|error| error.to_string());
    let is_loaded =
        said.and_then(|socket| cri::status(&socket)).map(|said| cri::has(&said, &node.name, &layout.program()));
    let is_labelled = disk::is_there(Path::new(FEATURES))?;
    let is_unregistered = node.plan(false)?.changes.is_empty();
    let usage = usage::of(layout.home(), &engine::states(node.engine, &node.config)?)?;
    Ok(Status {
        others,
        engine: detect::name(node.engine),
        is_registered,
        is_unfinished: node.journal()?.is_some(),
        is_loaded,
        is_labelled,
        is_gone: is_unregistered && !is_labelled && !disk::is_there(layout.home())?,
        users: usage.users,
        unseen: usage.unseen,
        others_processes: usage.others,
        current,
        previous,
    })
}

/// How a machine stands on which nothing of it is left, and no engine runs that could be asked.
pub fn gone(layout: &Layout) -> Result<Status> {
    let usage = usage::of(layout.home(), &engine::states(Engine::Crio, Path::new(""))?)?;
    Ok(Status {
        current: None,
        previous: None,
        others: Vec::new(),
        engine: "none",
        is_registered: Ok(false),
        is_unfinished: false,
        is_loaded: Err("no engine runs here that runs pods".to_owned()),
        is_labelled: false,
        users: usage.users,
        unseen: usage.unseen,
        others_processes: usage.others,
        is_gone: true,
    })
}
