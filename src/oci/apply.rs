//! CDI edits made to config.json: which members change, and to what.
//!
//! Follows the Go CDI library where a container can see it, and differs where that is a defect: applying twice equals applying
//! once, an edited variable is there once, and the user's own mounts keep their order. Source: CDI pkg/cdi/container-edits.go.

use std::borrow::Cow;
use std::collections::HashSet;

use serde_json::Value;

use super::entries::{self, Owner, Rule};
use super::json::{Object, Patch, array, elements, quoted, string};
use super::spec::Spec;
use crate::cdi::{ContainerEdits, DeviceNode, Mount};
use crate::error::{Error, Result};

/// What is to happen to a document.
#[derive(Debug, Clone, Copy)]
pub struct Changes<'a> {
    /// Edits whose device nodes are complete: type and numbers known.
    pub edits: &'a ContainerEdits,
    /// Hooks to take out: (stage, index in its list).
    pub replaced_hooks: &'a [(String, usize)],
    /// Whether bind mounts into a user namespace get the option that maps their owners.
    pub idmap: bool,
}

impl Spec<'_> {
    /// The document's text after `changes`, or `None` if there is nothing to change. Errors name the member that cannot be
    /// edited safely; nothing has happened then.
    pub fn apply(&self, changes: &Changes<'_>) -> Result<Option<String>> {
        let refused =
            |why| Error::Spec { path: self.path.to_owned(), message: format!("cannot be edited safely: {why}") };
        let patch = self.patch(changes).map_err(refused)?;
        if patch.is_nothing() {
            return Ok(None);
        }
        if self.has_more_text() {
            return Err(refused("there is text after the end of the document".to_owned()));
        }
        let mut out = String::with_capacity(self.text.len() + 16 * 1024);
        patch.splice(Some(self.text), &mut out).map_err(refused)?;
        Ok(Some(out))
    }

    fn patch(&self, changes: &Changes<'_>) -> std::result::Result<Patch, String> {
        let edits = changes.edits;
        let mut patch = Patch::nothing();
        let mut set = |path: &[&str], change: Option<String>| {
            if let Some(text) = change {
                patch.set(path, text);
            }
        };
        set(&["process", "env"], env(self.array(&["process", "env"])?, &edits.env));
        let nodes = last_of_each(&edits.device_nodes, |node| &node.path);
        let user = if nodes.is_empty() { Owner::default() } else { self.user()? };
        set(&["linux", "devices"], devices(self.array(&["linux", "devices"])?, &nodes, user));
        let rules = &["linux", "resources", "devices"];
        set(rules, device_rules(self.array(rules)?, &nodes));
        for device in &edits.net_devices {
            let path = ["linux", "netDevices", device.host_interface_name.as_str()];
            set(&path, unless_equal(self.get(&path), entries::net_device(device)?));
        }
        set(&["mounts"], mounts(self.array(&["mounts"])?, &edits.mounts, changes.idmap && self.has_user_namespace()));
        for stage in STAGES {
            let path = ["hooks", stage];
            set(&path, hooks(&self.array(&path)?, stage, changes)?);
        }
        if let Some(rdt) = &edits.intel_rdt {
            let path = ["linux", "intelRdt"];
            set(&path, unless_equal(self.get(&path), entries::intel_rdt(rdt)?));
        }
        let gids = &["process", "user", "additionalGids"];
        set(gids, additional_gids(self.array(gids)?, &edits.additional_gids));
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
    let mut entries: Vec<(Cow<'_, str>, Cow<'_, str>)> =
        old.into_iter().map(|raw| (Cow::Borrowed(raw), string(raw).unwrap_or_default())).collect();
    let mut changed = false;
    for edit in edits {
        let name = variable(edit);
        let Some(last) = entries.iter().rposition(|(_, entry)| variable(entry) == name) else {
            entries.push((quoted(edit).into(), edit.into()));
            changed = true;
            continue;
        };
        if let Some(entry) = entries.get_mut(last).filter(|(_, entry)| entry != edit) {
            *entry = (quoted(edit).into(), edit.into());
            changed = true;
        }
        // runc lets the last of several win, other programs the first: only one may stay.
        let mut place = 0..entries.len();
        let before = entries.len();
        entries.retain(|(_, entry)| place.next() == Some(last) || variable(entry) != name);
        changed |= entries.len() != before;
    }
    changed.then(|| array(&entries.into_iter().map(|(raw, _)| raw).collect::<Vec<_>>()))
}

/// The name of an environment entry; one without `=` is its own.
fn variable(entry: &str) -> &str {
    entry.split_once('=').map_or(entry, |(name, _)| name)
}

fn devices(old: Vec<&str>, nodes: &[&DeviceNode], user: Owner) -> Option<String> {
    let mut list: Vec<(Cow<'_, str>, Cow<'_, str>)> =
        old.into_iter().map(|raw| (text_of(raw, "path").unwrap_or_default(), raw.into())).collect();
    let mut changed = false;
    for node in nodes {
        let owner = user.of(node);
        if only(&list, &node.path).is_some_and(|raw| is_same_device(raw, node, owner)) {
            continue;
        }
        list.retain(|(path, _)| *path != node.path);
        list.push((node.path.as_str().into(), entries::device(node, owner).into()));
        changed = true;
    }
    changed.then(|| array(&list.into_iter().map(|(_, raw)| raw).collect::<Vec<_>>()))
}

/// Of several edits at one place the last counts.
fn last_of_each<T>(edits: &[T], place: impl Fn(&T) -> &str) -> Vec<&T> {
    let mut places = HashSet::with_capacity(edits.len());
    let mut last: Vec<&T> = edits.iter().rev().filter(|edit| places.insert(place(edit))).collect();
    last.reverse();
    last
}

/// The entry at `place`, if it is the only one: of several there the low-level runtime would not take ours.
fn only<'a>(entries: &'a [(Cow<'_, str>, Cow<'_, str>)], place: &str) -> Option<&'a str> {
    let mut there = entries.iter().filter(|(at, _)| at == place);
    there.next().filter(|_| there.next().is_none()).map(|(_, raw)| &**raw)
}

/// Whether the entry `raw` is the device `node` already. What the node leaves open may be as the engine wrote it.
fn is_same_device(raw: &str, node: &DeviceNode, Owner { uid, gid }: Owner) -> bool {
    let Ok(entry) = Object::parse(raw) else { return false };
    let number = |name| entry.get(name).map_or(Some(0), |raw| raw.parse::<i64>().ok());
    let fits = |name, wanted: Option<u32>| wanted.is_none_or(|wanted| number(name) == Some(i64::from(wanted)));
    entry.get("type").and_then(string).as_deref() == Some(&node.node_type)
        && number("major") == Some(node.major)
        && number("minor") == Some(node.minor)
        && fits("fileMode", node.file_mode)
        && fits("uid", uid)
        && fits("gid", gid)
}

fn device_rules(old: Vec<&str>, nodes: &[&DeviceNode]) -> Option<String> {
    // A rule counts only if nothing after it takes away again: later rules win.
    let mut valid: Vec<Value> = Vec::new();
    for rule in old.iter().copied().map(value) {
        match rule {
            Some(rule) if allows(&rule) => valid.push(rule),
            _ => valid.clear(),
        }
    }
    let mut added: Vec<Rule<'_>> = Vec::new();
    for rule in nodes.iter().copied().filter_map(entries::rule) {
        let is_there = || !valid.is_empty() && value(&rule.text()).is_some_and(|rule| valid.contains(&rule));
        if !added.contains(&rule) && !is_there() {
            added.push(rule);
        }
    }
    if added.is_empty() {
        return None;
    }
    let added = added.iter().map(|rule| Cow::Owned(rule.text()));
    Some(array(&old.into_iter().map(Cow::Borrowed).chain(added).collect::<Vec<_>>()))
}

fn allows(rule: &Value) -> bool {
    rule.get("allow").and_then(Value::as_bool).unwrap_or(false)
}

fn mounts(old: Vec<&str>, edits: &[Mount], idmap: bool) -> Option<String> {
    let mut kept: Vec<(Cow<'_, str>, Cow<'_, str>)> =
        old.into_iter().map(|raw| (text_of(raw, "destination").unwrap_or_default(), raw.into())).collect();
    let mut added: Vec<(&str, String)> = Vec::new();
    for mount in last_of_each(edits, |mount| &mount.container_path) {
        let text = entries::mount(mount, mapping(mount).filter(|_| idmap));
        if only(&kept, &mount.container_path).is_some_and(|raw| value(raw) == value(&text)) {
            continue;
        }
        kept.retain(|(place, _)| *place != mount.container_path);
        added.push((&mount.container_path, text));
    }
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

/// The components of a path in the container, `.` and `..` resolved by their text.
fn parts(path: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts
}

/// The option that maps the owners of a bind mount into a user namespace, unless the mount says itself.
fn mapping(mount: &Mount) -> Option<&'static str> {
    if mount.options.iter().any(|option| option == "idmap" || option == "ridmap") {
        return None;
    }
    let by_type = if mount.mount_type == "bind" { Some("idmap") } else { None };
    mount.options.iter().fold(by_type, |found, option| match option.as_str() {
        "bind" => Some("idmap"),
        "rbind" => Some("ridmap"),
        _ => found,
    })
}

fn hooks(old: &[&str], stage: &str, changes: &Changes<'_>) -> Change {
    let is_replaced = |index| changes.replaced_hooks.iter().any(|(list, place)| list == stage && *place == index);
    let kept = old.iter().enumerate().filter(|(index, _)| !is_replaced(*index));
    let mut list: Vec<(Cow<'_, str>, Option<Value>)> = kept.map(|(_, raw)| (Cow::Borrowed(*raw), value(raw))).collect();
    let mut changed = list.len() != old.len();
    for hook in changes.edits.hooks.iter().filter(|hook| hook.hook_name == stage) {
        let text = entries::hook(hook)?;
        let wanted = value(&text);
        if !list.iter().any(|(_, hook)| *hook == wanted) {
            list.push((text.into(), wanted));
            changed = true;
        }
    }
    Ok(changed.then(|| array(&list.into_iter().map(|(raw, _)| raw).collect::<Vec<_>>())))
}

fn additional_gids(old: Vec<&str>, edits: &[u32]) -> Option<String> {
    let before = old.len();
    let mut list: Vec<Cow<'_, str>> = old.into_iter().map(Cow::Borrowed).collect();
    for gid in edits.iter().filter(|gid| **gid != 0).map(u32::to_string) {
        if !list.iter().any(|there| **there == gid) {
            list.push(gid.into());
        }
    }
    (list.len() != before).then(|| array(&list))
}

fn unless_equal(old: Option<&str>, new: String) -> Option<String> {
    (old.and_then(value) != value(&new)).then_some(new)
}

fn value(raw: &str) -> Option<Value> {
    serde_json::from_str(raw).ok()
}

fn text_of<'a>(raw: &'a str, member: &str) -> Option<Cow<'a, str>> {
    Object::parse(raw).ok()?.get(member).and_then(string)
}
