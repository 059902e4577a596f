//! CDI edits made to config.json: which members change, and to what.
//!
//! Follows the Go CDI library where a container can see it, and differs where that is a defect: applying twice equals applying
//! once, an edited variable is there once, and the user's own mounts keep their order. Source: CDI pkg/cdi/container-edits.go.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::devices::{self, Route, Routes};
use super::entries::{self, Owner};
use super::json::{Object, Patch, array, elements, quoted, string};
use super::path::parts;
use super::spec::Spec;
use crate::cdi::{ContainerEdits, DeviceNode, Mount};
use crate::error::Result;

/// What is to happen to a document.
#[derive(Debug, Clone, Copy)]
pub struct Changes<'a> {
    /// Edits whose device nodes are complete: type and numbers known.
    pub edits: &'a ContainerEdits,
    /// How their device nodes reach the container.
    pub routes: &'a Routes,
    /// Hooks to take out: (stage, index in its list).
    pub replaced_hooks: &'a [(String, usize)],
    /// Files of the container's cgroup and lines to add to them.
    pub unified: &'a [(&'static str, String)],
}

impl Spec<'_> {
    /// The document's text after `changes`, or `None` if there is nothing to change. Errors name the member that cannot be
    /// edited safely; nothing has happened then.
    pub fn apply(&self, changes: &Changes<'_>) -> Result<Option<String>> {
        let patch = self.patch(changes).map_err(|why| self.refused(&why))?;
        if patch.is_nothing() {
            return Ok(None);
        }
        if self.has_more_text() {
            return Err(self.refused("there is text after the end of the document"));
        }
        let mut out = String::with_capacity(self.text.len() + 16 * 1024);
        patch.splice(Some(self.text), &mut out).map_err(|why| self.refused(&why))?;
        Ok(Some(out))
    }

    fn patch(&self, changes: &Changes<'_>) -> std::result::Result<Patch, String> {
        // Destructured, so that the compiler reports a new field that nothing applies.
        let ContainerEdits {
            env: variables,
            device_nodes,
            net_devices,
            hooks: _,
            mounts: added,
            intel_rdt,
            additional_gids: gids,
        } = changes.edits;
        let mut patch = Patch::nothing();
        let mut set = |path: &[&str], change: Option<String>| {
            if let Some(text) = change {
                patch.set(path, text);
            }
        };
        set(&["process", "env"], env(self.array(&["process", "env"])?, variables));
        let nodes = last_of_each(device_nodes, |node| &node.path);
        let user = if nodes.is_empty() { Owner::default() } else { self.user()? };
        let routes = changes.routes;
        set(&["linux", "devices"], devices::devices(self.array(&["linux", "devices"])?, &nodes, user, routes));
        let rules = &["linux", "resources", "devices"];
        let given: Vec<&DeviceNode> =
            nodes.iter().copied().filter(|node| *devices::route(routes, node) != Route::Omitted).collect();
        set(rules, devices::rules(self.array(rules)?, &given));
        let bound = devices::mounts(&nodes, routes);
        let all: Vec<&Mount> = added.iter().chain(&bound).collect();
        set(&["mounts"], mounts(self.array(&["mounts"])?, &all));
        for stage in STAGES {
            let path = ["hooks", stage];
            set(&path, hooks(&self.array(&path)?, stage, changes)?);
        }
        if let Some(rdt) = intel_rdt {
            let path = ["linux", "intelRdt"];
            set(&path, unless_equal(self.get(&path), entries::intel_rdt(rdt)?));
        }
        let groups = &["process", "user", "additionalGids"];
        set(groups, self::additional_gids(self.array(groups)?, gids));
        let interfaces = &["linux", "netDevices"];
        let there = self.get(interfaces).and_then(|raw| Object::parse(raw).ok());
        for device in net_devices {
            let name = device.host_interface_name.as_str();
            let old = there.as_ref().and_then(|there| there.entry(name));
            if let Some(text) = unless_equal(old, entries::net_device(device)?) {
                patch.set_entry(interfaces, name, text);
            }
        }
        let files = &["linux", "resources", "unified"];
        let there = self.get(files).and_then(|raw| Object::parse(raw).ok());
        for (file, lines) in changes.unified {
            let old = there.as_ref().and_then(|there| there.entry(file)).and_then(string).unwrap_or_default();
            let missing: Vec<&str> = lines.lines().filter(|line| !old.lines().any(|there| there == *line)).collect();
            if !missing.is_empty() {
                // Of two lines for one region the later one counts.
                let before = if old.is_empty() || old.ends_with('\n') { "" } else { "\n" };
                patch.set_entry(files, file, quoted(&format!("{old}{before}{}", missing.join("\n"))));
            }
        }
        Ok(patch)
    }

    /// The elements of the array at `path`; a value of another shape is refused.
    fn array(&self, path: &[&str]) -> std::result::Result<Vec<&str>, String> {
        self.get(path).map_or_else(
            || Ok(Vec::new()),
            |raw| elements(raw).ok_or_else(|| format!("{} is no array", path.join("."))),
        )
    }

    /// The user of the container's process, to whom nodes belong that name no owner, as the reference library has it.
    fn user(&self) -> std::result::Result<Owner, String> {
        let uid = self.number(&["process", "user", "uid"])?.filter(|uid| *uid > 0);
        let gid = self.number(&["process", "user", "gid"])?.filter(|gid| *gid > 0);
        Ok(Owner { uid, gid })
    }

    /// Whether the container has a user namespace.
    pub fn has_user_namespace(&self) -> bool {
        let is_user =
            |raw: &&str| Object::parse(raw).is_ok_and(|o| o.get("type").and_then(string).as_deref() == Some("user"));
        self.list(&["linux", "namespaces"]).iter().any(is_user)
    }
}

/// The new text of a member, or nothing if it stays as it is. The error says why it cannot be edited.
type Change = std::result::Result<Option<String>, String>;

/// The lists that `hooks` can hold, in the order in which they run.
const STAGES: [&str; 6] = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

fn env(old: Vec<&str>, edits: &[String]) -> Option<String> {
    if edits.is_empty() {
        return None;
    }
    let old: Vec<(&str, Cow<'_, str>)> = old.into_iter().map(|raw| (raw, string(raw).unwrap_or_default())).collect();
    // runc lets the last of several win, other programs the first: only one may stay, where the last was.
    // What each variable is to be, until it has its place.
    let mut wanted: HashMap<&str, Option<&str>> =
        edits.iter().map(|edit| (variable(edit), Some(edit.as_str()))).collect();
    let mut changed = false;
    let mut list: Vec<Cow<'_, str>> = Vec::with_capacity(old.len() + edits.len());
    for (raw, entry) in old.iter().rev() {
        match wanted.get_mut(variable(entry)).map(Option::take) {
            None => list.push(Cow::Borrowed(raw)),
            Some(Some(edit)) if edit == entry => list.push(Cow::Borrowed(raw)),
            Some(edit) => {
                list.extend(edit.map(|edit| Cow::Owned(quoted(edit))));
                changed = true;
            }
        }
    }
    list.reverse();
    for edit in edits {
        if let Some(edit) = wanted.get_mut(variable(edit)).and_then(Option::take) {
            list.push(quoted(edit).into());
            changed = true;
        }
    }
    changed.then(|| array(&list))
}

/// The name of an environment entry; one without `=` is its own.
fn variable(entry: &str) -> &str {
    entry.split_once('=').map_or(entry, |(name, _)| name)
}

/// An entry's place in the container, and its text.
type Entry<'a> = (Cow<'a, str>, &'a str);

/// The entries of `list`, which have their places in `member`.
pub(super) fn with_places<'a>(list: Vec<&'a str>, member: &str) -> Vec<Entry<'a>> {
    list.into_iter().map(|raw| (text_of(raw, member).unwrap_or_default(), raw)).collect()
}

/// What stays of `old`, and what is added to it with its places, where each of `edits` is to be the only entry at its `place`. `text`
/// has an edit's text, unless the entry that is there says the same; it is told that one where it is the only one: of several the
/// low-level runtime would not take ours.
pub(super) fn placed<'a, 'e, T>(
    old: &'a [Entry<'a>],
    edits: &[&'e T],
    place: impl Fn(&'e T) -> &'e str,
    text: impl Fn(&T, Option<&str>) -> Option<String>,
) -> (Vec<&'a Entry<'a>>, Vec<(&'e str, String)>) {
    let mut there: HashMap<&str, Option<&str>> = HashMap::with_capacity(old.len());
    for (at, raw) in old {
        there.entry(at).and_modify(|only| *only = None).or_insert(Some(raw));
    }
    let added = edits.iter().map(|edit| (place(edit), *edit));
    let added = added.filter_map(|(at, edit)| Some((at, text(edit, there.get(at).copied().flatten())?)));
    let added: Vec<(&str, String)> = added.collect();
    let replaced: HashSet<&str> = added.iter().map(|(at, _)| *at).collect();
    (old.iter().filter(|(at, _)| !replaced.contains(&**at)).collect(), added)
}

/// Of several edits at one place the last counts.
fn last_of_each<T>(edits: &[T], place: impl Fn(&T) -> &str) -> Vec<&T> {
    let mut places = HashSet::with_capacity(edits.len());
    let mut last: Vec<&T> = edits.iter().rev().filter(|edit| places.insert(place(edit))).collect();
    last.reverse();
    last
}

/// No option is added to a mount. In particular no `idmap`: on a writable mount it lets root of a user namespace leave files of the
/// host's root, rootless runc refuses it, overlayfs and older kernels do not have it, and files that all can read do not need it.
fn mounts(old: Vec<&str>, edits: &[&Mount]) -> Option<String> {
    let old = with_places(old, "destination");
    let edits = last_of_each(edits, |mount| &mount.container_path);
    let (kept, added) = placed(
        &old,
        &edits,
        |mount| &mount.container_path,
        |mount, there| {
            let text = entries::mount(mount);
            let is_there = there.is_some_and(|raw| value(raw) == value(&text));
            (!is_there).then_some(text)
        },
    );
    if added.is_empty() {
        return None;
    }
    // A mount hides what was mounted below it before, so it goes in front of the first of the user's that it would hide, and
    // in front of ours that are deeper.
    let kept_parts: Vec<Vec<&str>> = kept.iter().map(|(place, _)| parts(place)).collect();
    let mut placed: Vec<(usize, usize, String)> = Vec::new();
    for (place, text) in added {
        let place = parts(place);
        let hidden = kept_parts.iter().position(|user| user.len() > place.len() && user.starts_with(&place));
        placed.push((hidden.unwrap_or(kept.len()), place.len(), text));
    }
    placed.sort_by_key(|(at, depth, _)| (*at, *depth));
    let mut placed = placed.into_iter().peekable();
    let mut list: Vec<Cow<'_, str>> = Vec::new();
    for (index, (_, raw)) in kept.iter().enumerate() {
        while let Some((.., text)) = placed.next_if(|(at, ..)| *at == index) {
            list.push(text.into());
        }
        list.push(Cow::Borrowed(raw));
    }
    list.extend(placed.map(|(.., text)| Cow::Owned(text)));
    Some(array(&list))
}

fn hooks(old: &[&str], stage: &str, changes: &Changes<'_>) -> Change {
    let is_replaced = |index| changes.replaced_hooks.iter().any(|(list, place)| list == stage && *place == index);
    let kept = old.iter().enumerate().filter(|(index, _)| !is_replaced(*index));
    let mut list: Vec<Cow<'_, str>> = kept.map(|(_, raw)| Cow::Borrowed(*raw)).collect();
    let mut changed = list.len() != old.len();
    let mut edits = changes.edits.hooks.iter().filter(|hook| hook.hook_name == stage).peekable();
    if edits.peek().is_some() {
        let mut there: HashSet<String> = list.iter().filter_map(|raw| canonical(raw)).collect();
        for hook in edits {
            let text = entries::hook(hook)?;
            if canonical(&text).is_some_and(|hook| there.insert(hook)) {
                list.push(text.into());
                changed = true;
            }
        }
    }
    Ok(changed.then(|| array(&list)))
}

fn additional_gids(old: Vec<&str>, edits: &[u32]) -> Option<String> {
    let gids: Vec<String> = edits.iter().filter(|gid| **gid != 0).map(u32::to_string).collect();
    let mut there: HashSet<&str> = old.iter().copied().collect();
    let mut list: Vec<Cow<'_, str>> = old.into_iter().map(Cow::Borrowed).collect();
    let before = list.len();
    list.extend(gids.iter().filter(|gid| there.insert(gid)).map(Cow::from));
    (list.len() != before).then(|| array(&list))
}

fn unless_equal(old: Option<&str>, new: String) -> Option<String> {
    (old.and_then(value) != value(&new)).then_some(new)
}

pub(super) fn value(raw: &str) -> Option<Value> {
    serde_json::from_str(raw).ok()
}

/// The text that all spellings of a value share.
pub(super) fn canonical(raw: &str) -> Option<String> {
    value(raw).map(|value| value.to_string())
}

fn text_of<'a>(raw: &'a str, member: &str) -> Option<Cow<'a, str>> {
    Object::parse(raw).ok()?.get(member).and_then(string)
}
