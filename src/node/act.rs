//! Does one step.
//!
//! Decides nothing but whether an engine's answer is the one that was waited for.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::layout::FEATURES;
use super::steps::Step;
use super::{How, Node, cri, disk, engine, usage};
use crate::configure::{Engine, Scope, ask, detect, place, restart};
use crate::error::{Error, Result};
use crate::program;

/// How long between two questions.
const PAUSE: Duration = Duration::from_millis(200);
/// How many of those that are waited for are named.
const NAMED: usize = 5;

/// Does `step`.
pub(super) fn take(step: &Step<'_>, node: &Node) -> Result<()> {
    match step {
        Step::Place { path, bytes } => disk::write(path, bytes, super::mode(path)),
        Step::Try(path) => match program::answer(path, &["--version"], Duration::from_secs(30)) {
            Ok(_) => Ok(()),
            Err(why) => Err(Error::Usage(format!("{why}; choose a --prefix from which programs may be started"))),
        },
        Step::Point { link, to } => disk::point(link, to),
        Step::Note(journal) => disk::write(&node.layout.journal(), journal.to_text().as_bytes(), 0o600),
        Step::Change(change) => place::forget_tries(&change.path).and_then(|()| place::apply(change)),
        Step::Check => check(node),
        Step::Restart { is_gone } => match node.restart {
            How::Systemd => restart::by_systemd(node.engine, Scope::System, *is_gone, node.env),
            How::Signal => signal(node, *is_gone),
            How::Never => Ok(()),
        },
        Step::Await { knows } => wait(node, *knows),
        Step::Forget => disk::remove(&node.layout.journal()),
        Step::Label(text) => disk::write(Path::new(FEATURES), text.as_bytes(), 0o644),
        Step::Unlabel => disk::remove(Path::new(FEATURES)),
        Step::AwaitUnused(longest) => wait_for_containers(node, *longest),
        Step::Remove(path) => disk::remove(path),
    }
}

/// A containerd that cannot read its file does not come back, and takes the node with it.
fn check(node: &Node) -> Result<()> {
    if node.engine != Engine::Containerd {
        return Ok(());
    }
    ask::refusal(&node.config).map_or(Ok(()), |why| {
        let message = format!("containerd refuses it: {why}");
        Err(Error::Config { path: node.config.clone(), line: None, message })
    })
}

/// SIGHUP ends containerd, but not at once: until then it answers as if nothing had been said.
fn signal(node: &Node, is_gone: bool) -> Result<()> {
    if node.engine != Engine::Containerd {
        return restart::by_signal(node.engine, Scope::System, &node.config, is_gone, node.patience);
    }
    let pid = match restart::containerd(&node.config) {
        Ok(pid) => pid,
        // One that is not running reads its files when it is started.
        Err(Error::Io { .. }) => return Ok(()),
        Err(error) => return Err(error),
    };
    restart::by_signal(node.engine, Scope::System, &node.config, is_gone, node.patience)?;
    until(node.patience, || match restart::containerd(&node.config) {
        Ok(now) if now == pid => {
            Err(Error::Usage("containerd was sent SIGHUP and did not end; restart it as it was started".to_owned()))
        }
        _ => Ok(()),
    })
}

fn wait(node: &Node, knows: bool) -> Result<()> {
    let socket = engine::socket(node.engine, &node.config)?;
    let (name, program) = (detect::name(node.engine), node.layout.program());
    until(node.patience, || match cri::status(&socket) {
        Ok(said) if knows && cri::has(&said, &node.name, &program) == Some(false) => {
            Err(Error::Usage(format!("{name} answers, but has no runtime {}", node.name)))
        }
        Ok(_) => Ok(()),
        Err(why) => Err(Error::Usage(format!("{name} does not answer: {why}"))),
    })
}

fn wait_for_containers(node: &Node, longest: Duration) -> Result<()> {
    let states = engine::states(node.engine, &node.config)?;
    until(longest, || {
        let users = usage::of(node.layout.home(), &states)?.users;
        if users.is_empty() {
            return Ok(());
        }
        let named = users.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = if users.len() > NAMED { format!(" and {} more", users.len() - NAMED) } else { String::new() };
        Err(Error::Usage(format!(
            "still in use by {named}{more}; nothing but the label is gone: drain the node, or wait longer by --wait-for-containers"
        )))
    })
}

/// Asks again until all is well, or `patience` is over; then the last error counts.
fn until(patience: Duration, mut ask: impl FnMut() -> Result<()>) -> Result<()> {
    let end = Instant::now() + patience;
    loop {
        match ask() {
            Err(_) if Instant::now() < end => sleep(PAUSE),
            last => return last,
        }
    }
}
