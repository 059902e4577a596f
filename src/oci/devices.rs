//! Device nodes in config.json: as entries of `linux.devices`, as bind mounts, and the cgroup rules that go with either.
//!
//! Pure. Which form a device node takes is decided by the caller, who knows the machine.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use serde_json::Value;

use super::apply::{canonical, placed, value, with_places};
use super::entries::{self, Owner};
use super::json::{Object, array, elements, string};
use super::path::parts;
use super::spec::Spec;
use crate::cdi::{DeviceNode, Mount};

/// How a device node reaches the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// As an entry of `linux.devices`, by which the low-level runtime makes the device node.
    Entry,
    /// As a bind mount of this file of the host.
    Bind(String),
    /// By what the engine has written already.
    Kept,
    /// Not at all.
    Omitted,
}

/// The routes of device nodes by their paths in the container. One that is not listed is an [`Route::Entry`].
pub type Routes = BTreeMap<String, Route>;

/// The route of `node`.
pub(super) fn route<'r>(routes: &'r Routes, node: &DeviceNode) -> &'r Route {
    routes.get(&node.path).unwrap_or(&Route::Entry)
}

/// What the document says already of a place in the container.
impl Spec<'_> {
    /// Whether what `linux.devices` has at the path of `node` is one entry, and this device. `None`: it has nothing there.
    pub fn has_device(&self, node: &DeviceNode) -> Option<bool> {
        let entries = with_places(self.list(&["linux", "devices"]), "path");
        let mut there = entries.iter().filter(|(path, _)| *path == node.path);
        let (_, raw) = there.next()?;
        Some(there.next().is_none() && is_numbered(raw, node))
    }

    /// The file of the host that the container's own mounts show at `path`. `None` where they show none, and where it is not a bind
    /// mount or one without devices.
    pub fn bound_at(&self, path: &str) -> Option<String> {
        let place = parts(path);
        let mounts = with_places(self.list(&["mounts"]), "destination");
        let (at, raw) = mounts.iter().rev().find(|(at, _)| place.starts_with(&parts(at)))?;
        let mount = Object::parse(raw).ok()?;
        let options = mount.get("options").and_then(elements).unwrap_or_default();
        let options: Vec<Cow<'_, str>> = options.into_iter().filter_map(string).collect();
        let has = |name: &str| options.iter().any(|option| option == name);
        let is_bind = has("bind") || has("rbind") || mount.get("type").and_then(string).as_deref() == Some("bind");
        let is_bind = is_bind && !has("nodev") && !has("rnodev");
        let source = mount.get("source").and_then(string).filter(|source| is_bind && source.starts_with('/'))?;
        let inside = place.get(parts(at).len()..).unwrap_or_default();
        Some(inside.iter().fold(source.trim_end_matches('/').to_owned(), |path, part| path + "/" + part))
    }

    /// The ids of the host that `linux.uidMappings` or `linux.gidMappings` map, as (in the container, on the host, how many).
    pub fn id_mappings(&self, member: &str) -> Vec<(u64, u64, u64)> {
        let read = |raw: &str| {
            let mapping = Object::parse(raw).ok()?;
            let number = |name| mapping.get(name).map_or(Some(0), |raw| raw.parse::<u64>().ok());
            Some((number("containerID")?, number("hostID")?, number("size")?))
        };
        self.list(&["linux", member]).into_iter().filter_map(read).collect()
    }
}

/// The new `linux.devices`. Where a device node is a bind mount, an entry of the same path goes: the low-level runtime would put
/// what the host has at that path over the mount.
pub(super) fn devices(old: Vec<&str>, nodes: &[&DeviceNode], user: Owner, routes: &Routes) -> Option<String> {
    let old = with_places(old, "path");
    let made: Vec<&DeviceNode> = nodes.iter().copied().filter(|node| *route(routes, node) == Route::Entry).collect();
    let (mut kept, added) = placed(
        &old,
        &made,
        |node| &node.path,
        |node, there| {
            let owner = user.of(node);
            let is_there = there.is_some_and(|raw| is_same_device(raw, node, owner));
            (!is_there).then(|| entries::device(node, owner))
        },
    );
    let is_replaced = |at: &str, raw: &str| {
        nodes.iter().filter(|node| node.path == at).any(|node| match route(routes, node) {
            Route::Entry | Route::Kept => false,
            Route::Bind(_) => true,
            Route::Omitted => is_numbered(raw, node),
        })
    };
    if !routes.is_empty() {
        kept.retain(|(at, raw)| !is_replaced(at, raw));
    }
    if added.is_empty() && kept.len() == old.len() {
        return None;
    }
    let kept = kept.into_iter().map(|(_, raw)| Cow::Borrowed(*raw));
    Some(array(&kept.chain(added.into_iter().map(|(_, text)| Cow::Owned(text))).collect::<Vec<_>>()))
}

/// Whether the entry `raw` is the device `node` already. What the node leaves open may be as the engine wrote it.
fn is_same_device(raw: &str, node: &DeviceNode, Owner { uid, gid }: Owner) -> bool {
    let Ok(entry) = Object::parse(raw) else { return false };
    let number = |name| entry.get(name).map_or(Some(0), |raw| raw.parse::<i64>().ok());
    let fits = |name, wanted: Option<u32>| wanted.is_none_or(|wanted| number(name) == Some(i64::from(wanted)));
    is_numbered(raw, node) && fits("fileMode", node.file_mode) && fits("uid", uid) && fits("gid", gid)
}

/// Whether the entry `raw` is of the type and the major:minor of `node`.
fn is_numbered(raw: &str, node: &DeviceNode) -> bool {
    let Ok(entry) = Object::parse(raw) else { return false };
    let number = |name| entry.get(name).map_or(Some(0), |raw| raw.parse::<i64>().ok());
    entry.get("type").and_then(string).as_deref() == Some(&node.node_type)
        && number("major") == Some(node.major)
        && number("minor") == Some(node.minor)
}

/// The bind mounts of those `nodes` that reach the container so. Owner, group and mode stay the host's.
pub(super) fn mounts(nodes: &[&DeviceNode], routes: &Routes) -> Vec<Mount> {
    let mount = |node: &&DeviceNode| match route(routes, node) {
        Route::Bind(source) => Some(Mount {
            host_path: source.clone(),
            container_path: node.path.clone(),
            options: ["bind", "nosuid", "noexec"].map(str::to_owned).to_vec(),
            ..Mount::default()
        }),
        Route::Entry | Route::Kept | Route::Omitted => None,
    };
    nodes.iter().filter_map(mount).collect()
}

/// The new `linux.resources.devices`: a rule for every one of `nodes`.
pub(super) fn rules(old: Vec<&str>, nodes: &[&DeviceNode]) -> Option<String> {
    // A rule counts only if nothing after it takes away again: later rules win.
    let mut valid: HashSet<String> = HashSet::new();
    for raw in &old {
        match value(raw) {
            Some(rule) if allows(&rule) => drop(valid.insert(rule.to_string())),
            // It holds what only others read, and is none of those that are looked for.
            None if Object::parse(raw).is_ok_and(|rule| rule.get("allow") == Some("true")) => {}
            _ => valid.clear(),
        }
    }
    let rules: Vec<String> = nodes.iter().copied().filter_map(entries::rule).map(|rule| rule.text()).collect();
    let mut given: HashSet<&str> = HashSet::with_capacity(rules.len());
    let is_valid = |rule: &str| !valid.is_empty() && canonical(rule).is_some_and(|rule| valid.contains(&rule));
    let mut list: Vec<Cow<'_, str>> = old.into_iter().map(Cow::Borrowed).collect();
    let before = list.len();
    list.extend(rules.iter().filter(|rule| given.insert(rule) && !is_valid(rule)).map(Cow::from));
    (list.len() != before).then(|| array(&list))
}

fn allows(rule: &Value) -> bool {
    rule.get("allow").and_then(Value::as_bool).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::cdi::ContainerEdits;
    use crate::oci::apply::Changes;

    fn node(path: &str, minor: i64) -> DeviceNode {
        DeviceNode { path: path.to_owned(), node_type: "c".to_owned(), major: 1, minor, ..DeviceNode::default() }
    }

    #[test]
    fn what_shows_at_a_place_is_the_last_mount_over_it() {
        for (mounts, path, shown) in [
            (json!([]), "/dev/n", None),
            (json!([{"destination": "/dev", "type": "tmpfs", "source": "/dev"}]), "/dev/n", None),
            (json!([{"destination": "/dev", "type": "bind", "source": "/dev"}]), "/dev/n", Some("/dev/n")),
            (
                json!([{"destination": "/dev/", "source": "/host//", "options": ["rbind"]}]),
                "/dev/a/n",
                Some("/host/a/n"),
            ),
            (json!([{"destination": "/dev/n", "source": "/x", "options": ["ro", "bind"]}]), "/dev/./n", Some("/x")),
            (json!([{"destination": "/dev/n", "source": "/x", "options": ["bind", "nodev"]}]), "/dev/n", None),
            (json!([{"destination": "/dev/n", "source": "x", "options": ["bind"]}]), "/dev/n", None),
            (json!([{"destination": "/dev/nn", "source": "/x", "options": ["bind"]}]), "/dev/n", None),
            (
                json!([{"destination": "/dev/n", "source": "/x", "options": ["bind"]}, {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"}]),
                "/dev/n",
                None,
            ),
        ] {
            let text = json!({ "mounts": mounts }).to_string();
            let spec = Spec::parse(&text, Path::new("config.json")).unwrap();
            assert_eq!(spec.bound_at(path).as_deref(), shown, "{text} {path}");
        }
    }

    #[test]
    fn an_entry_is_a_device_if_it_is_the_only_one_and_of_its_number() {
        let of = |minor: u32| json!({"path": "/dev/n", "type": "c", "major": 1, "minor": minor});
        for (devices, expected) in [
            (json!([]), None),
            (json!([of(3)]), Some(true)),
            (json!([of(5)]), Some(false)),
            (json!([of(3), of(3)]), Some(false)),
            (json!([{"path": "/dev/n", "type": "b", "major": 1, "minor": 3}]), Some(false)),
        ] {
            let text = json!({"linux": {"devices": devices}}).to_string();
            let spec = Spec::parse(&text, Path::new("config.json")).unwrap();
            assert_eq!(spec.has_device(&node("/dev/n", 3)), expected, "{text}");
        }
    }

    #[test]
    fn each_route_leaves_what_it_says() {
        let edits = ContainerEdits { device_nodes: vec![node("/dev/n", 3)], ..ContainerEdits::default() };
        let entry = |minor: u32| json!({"path": "/dev/n", "type": "c", "major": 1, "minor": minor});
        let rule = json!([{"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwm"}]);
        let mount = json!([{"destination": "/dev/n", "source": "/x", "options": ["bind", "nosuid", "noexec"]}]);
        let (none, other) = (json!([]), json!([entry(5)]));
        for (route, there, devices, mounts, rules) in [
            (Route::Entry, &none, json!([entry(3)]), json!(null), &rule),
            (Route::Entry, &other, json!([entry(3)]), json!(null), &rule),
            (Route::Bind("/x".to_owned()), &none, json!([]), mount.clone(), &rule),
            (Route::Bind("/x".to_owned()), &other, json!([]), mount, &rule),
            (Route::Kept, &json!([entry(3)]), json!([entry(3)]), json!(null), &rule),
            (Route::Omitted, &json!([entry(3)]), json!([]), json!(null), &json!(null)),
            (Route::Omitted, &other, other.clone(), json!(null), &json!(null)),
        ] {
            let text = json!({"linux": {"devices": there}}).to_string();
            let routes = Routes::from([("/dev/n".to_owned(), route.clone())]);
            let apply = |text: &str| {
                let changes = Changes { edits: &edits, routes: &routes, replaced_hooks: &[], unified: &[] };
                let after = Spec::parse(text, Path::new("config.json")).unwrap().apply(&changes).unwrap();
                after.unwrap_or_else(|| text.to_owned())
            };
            let once = apply(&text);
            let after: Value = serde_json::from_str(&once).unwrap();
            assert_eq!(after["linux"]["devices"], devices, "{route:?} {text}");
            assert_eq!(
                (&after["mounts"], &after["linux"]["resources"]["devices"]),
                (&mounts, rules),
                "{route:?} {text}"
            );
            assert_eq!(apply(&once), once, "{route:?} {text}");
        }
    }
}
