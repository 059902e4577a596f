//! What makes the peer's document ours, one function for each difference of the list.

use std::os::unix::fs::{FileTypeExt, MetadataExt};

use nix::sys::stat::{major, minor};
use serde_json::{Map, Value, json};

use crate::peer::difference::Sight;
use crate::peer::written::bare;

pub(super) fn sandbox(theirs: &mut Value, sight: &Sight<'_>) -> bool {
    let is = |key: &str| sight.before["annotations"][key] == "sandbox";
    let is_sandbox = is("io.kubernetes.cri.container-type") || is("io.kubernetes.cri-o.ContainerType");
    if is_sandbox {
        *theirs = sight.before.clone();
    }
    is_sandbox
}

pub(super) fn old_images(theirs: &mut Value, sight: &Sight<'_>) -> bool {
    let has = |name: &str| {
        let env = sight.before.pointer("/process/env").and_then(Value::as_array);
        env.is_some_and(|env| env.iter().any(|entry| variable(entry) == name))
    };
    let is_one = has("CUDA_VERSION") && !has("NVIDIA_REQUIRE_CUDA") && !has("NVIDIA_VISIBLE_DEVICES");
    let is_silent = is_one && sight.ours == sight.before;
    if is_silent {
        *theirs = sight.before.clone();
    }
    is_silent
}

pub(super) fn hooks_of_nothing(theirs: &mut Value, sight: &Sight<'_>) -> bool {
    let programs = ["nvidia-container-runtime-hook", "nvidia-container-toolkit"];
    let is_old =
        |hook: &Value| programs.iter().any(|name| hook["path"].as_str().is_some_and(|path| path.ends_with(name)));
    let was = sight.before.pointer("/hooks/prestart").and_then(Value::as_array);
    let Some(was) = was.filter(|_| sight.ours == sight.before) else { return false };
    let others: Vec<Value> = was.iter().filter(|hook| !is_old(hook)).cloned().collect();
    let left = theirs["hooks"]["prestart"].as_array().cloned().unwrap_or_default();
    let took_them_out = others.len() != was.len() && left == others;
    if took_them_out {
        theirs["hooks"]["prestart"] = Value::Array(was.clone());
    }
    took_them_out
}

pub(super) fn hooks_taken_out(theirs: &mut Value, _: &Sight<'_>) -> bool {
    let Some(hooks) = theirs.pointer_mut("/hooks/createRuntime").and_then(Value::as_array_mut) else { return false };
    let there = hooks.len();
    let is_old = |hook: &Value| {
        let args: Vec<&str> = hook["args"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        args.contains(&"oci-hook") && args.contains(&"/usr/bin/nvidia-container-cli")
    };
    hooks.retain(|hook| !is_old(hook));
    hooks.len() != there
}

/// Nodes that are in the document before, as they are given, go where they were; the others follow.
pub(super) fn nodes_that_are_there(theirs: &mut Value, sight: &Sight<'_>) -> bool {
    let was = sight.before.pointer("/linux/devices").and_then(Value::as_array).cloned().unwrap_or_default();
    let Some(nodes) = theirs.pointer_mut("/linux/devices").and_then(Value::as_array_mut) else { return false };
    let (there, new): (Vec<Value>, Vec<Value>) = nodes.iter().cloned().partition(|node| was.contains(node));
    let in_order = was.into_iter().filter(|node| there.contains(node)).chain(new).collect();
    let changed = *nodes != in_order;
    *nodes = in_order;
    changed
}

fn variable(entry: &Value) -> &str {
    let entry = entry.as_str().unwrap();
    entry.split_once('=').map_or(entry, |(name, _)| name)
}

/// Of a variable that is edited the last value stays, at the last place that it had before.
pub(super) fn variables_once(theirs: &mut Value, sight: &Sight<'_>) -> bool {
    let edited: Vec<&str> = sight.edited("env").map(variable).collect();
    let Some(env) = theirs.pointer_mut("/process/env").and_then(Value::as_array_mut) else { return false };
    let was = sight.before.pointer("/process/env").and_then(Value::as_array).map_or(0, Vec::len);
    let before = env.clone();
    for name in edited {
        let places: Vec<usize> = (0..env.len()).filter(|&place| variable(&env[place]) == name).collect();
        let Some(&last) = places.last().filter(|_| places.len() > 1) else { continue };
        let place = places.iter().copied().rfind(|&place| place < was).unwrap_or(places[0]);
        env[place] = env[last].clone();
        let mut index = 0..env.len();
        env.retain(|entry| index.next() == Some(place) || variable(entry) != name);
    }
    *env != before
}

/// The numbers that a node of a CDI file has on this machine, where the file says others.
pub(super) fn numbers(theirs: &mut Value, sight: &Sight<'_>) -> bool {
    let mut changed = false;
    for node in sight.edited("deviceNodes").filter(|node| node["major"].as_u64().unwrap_or_default() != 0) {
        let on_host = node["hostPath"].as_str().or(node["path"].as_str()).unwrap();
        let Ok(metadata) = std::fs::symlink_metadata(on_host) else { continue };
        if !metadata.file_type().is_char_device() {
            continue;
        }
        let was = (node["major"].as_u64(), node["minor"].as_u64().or(Some(0)));
        let is = (Some(major(metadata.rdev())), Some(minor(metadata.rdev())));
        for list in ["/linux/devices", "/linux/resources/devices"] {
            for entry in theirs.pointer_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                let is_its = entry["path"] == node["path"] || entry.get("path").is_none();
                if was != is && is_its && (entry["major"].as_u64(), entry["minor"].as_u64()) == was {
                    (entry["major"], entry["minor"]) = (json!(is.0), json!(is.1));
                    changed = true;
                }
            }
        }
    }
    changed
}

/// Of several entries at a place that is edited the last one stays.
pub(super) fn places_once(theirs: &mut Value, sight: &Sight<'_>) -> bool {
    let mut changed = false;
    for (list, edited, at, member) in
        [("/linux/devices", "deviceNodes", "path", "path"), ("/mounts", "mounts", "containerPath", "destination")]
    {
        let Some(entries) = theirs.pointer_mut(list).and_then(Value::as_array_mut) else { continue };
        for place in sight.edited(edited).map(|edit| &edit[at]) {
            let Some(last) = entries.iter().rposition(|entry| entry[member] == *place) else { continue };
            let there = entries.len();
            let mut index = 0..there;
            entries.retain(|entry| index.next() == Some(last) || entry[member] != *place);
            changed |= entries.len() != there;
        }
    }
    changed
}

/// The arguments of `hook`, if it is one that gpu-runc takes for what it does.
fn known<'a>(hook: &'a Value, edits: &Sight<'_>) -> Option<Vec<&'a str>> {
    let args: Vec<&str> = hook["args"].as_array()?.iter().filter_map(Value::as_str).collect();
    let is_theirs = hook["path"].as_str()?.ends_with("/nvidia-cdi-hook")
        && edits.edited("hooks").any(|edit| edit["path"] == hook["path"] && edit["args"] == hook["args"]);
    let rest = args.get(1..)?;
    let is_known = ["create-symlinks", "update-ldcache", "chmod", "enable-cuda-compat"].contains(rest.first()?);
    (is_theirs && is_known).then(|| rest.to_vec())
}

fn links<'a>(args: &[&'a str]) -> Vec<(&'a str, &'a str)> {
    args.windows(2).filter(|pair| pair[0] == "--link").filter_map(|pair| pair[1].split_once("::")).collect()
}

pub(super) fn links_to_nodes(theirs: &mut Value, sight: &Sight<'_>) -> bool {
    let hooks = theirs.pointer("/hooks/createContainer").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut changed = false;
    for (target, place) in hooks.iter().filter_map(|hook| known(hook, sight)).flat_map(|args| links(&args)) {
        let Some(name) = target.strip_prefix("../").filter(|_| place.starts_with("/dev/dri/by-path/")) else {
            continue;
        };
        let Some(devices) = theirs.pointer_mut("/linux/devices").and_then(Value::as_array_mut) else { continue };
        let Some(node) = devices.iter().find(|node| node["path"] == format!("/dev/dri/{name}")) else { continue };
        let mut node = node.clone();
        node["path"] = json!(place);
        devices.push(node);
        changed = true;
    }
    changed
}

/// A hook goes if its links are in the root that gpu-runc prepared, or are nodes.
pub(super) fn hooks_done(theirs: &mut Value, sight: &Sight<'_>) -> bool {
    let nodes = sight.ours.pointer("/linux/devices").and_then(Value::as_array).cloned().unwrap_or_default();
    let is_there = |target: &str, place: &str| {
        sight.links.iter().any(|(at, to)| at == place && to == target) || nodes.iter().any(|node| node["path"] == place)
    };
    let is_done = |hook: &Value| {
        known(hook, sight).is_some_and(|args| links(&args).into_iter().all(|(target, place)| is_there(target, place)))
    };
    let Some(hooks) = theirs.pointer_mut("/hooks/createContainer").and_then(Value::as_array_mut) else { return false };
    let there = hooks.len();
    hooks.retain(|hook| !is_done(hook));
    let (left, changed) = (hooks.len(), hooks.len() != there);
    if let Some(stages) = theirs["hooks"].as_object_mut().filter(|_| left == 0) {
        stages.remove("createContainer");
    }
    if theirs["hooks"].as_object().is_some_and(Map::is_empty) && sight.before.get("hooks").is_none() {
        theirs.as_object_mut().unwrap().remove("hooks");
    }
    changed
}

pub(super) fn hooks_once(theirs: &mut Value, sight: &Sight<'_>) -> bool {
    let mut changed = false;
    for (stage, hooks) in theirs.get_mut("hooks").and_then(Value::as_object_mut).into_iter().flatten() {
        let was = sight.before["hooks"][stage].as_array().map_or(0, Vec::len);
        let Some(hooks) = hooks.as_array_mut() else { continue };
        let mut kept: Vec<Value> = Vec::new();
        for (place, hook) in hooks.iter().enumerate() {
            if place < was || !kept.contains(hook) {
                kept.push(hook.clone());
            }
        }
        changed |= kept.len() != hooks.len();
        *hooks = kept;
    }
    changed
}

/// Of the rules that were added, those that are the same as one in force go, and those of no node that is there.
pub(super) fn rules_once(theirs: &mut Value, sight: &Sight<'_>) -> bool {
    let was = sight.before.pointer("/linux/resources/devices").and_then(Value::as_array).cloned().unwrap_or_default();
    let nodes = theirs.pointer("/linux/devices").and_then(Value::as_array).cloned().unwrap_or_default();
    let Some(rules) = theirs.pointer_mut("/linux/resources/devices").and_then(Value::as_array_mut) else {
        return false;
    };
    let mut in_force: Vec<Value> =
        was.rsplit(|rule| rule["allow"] != true).next().unwrap_or_default().iter().map(bare).collect();
    let mut place = 0..rules.len();
    let there = rules.len();
    rules.retain(|rule| {
        if place.next().unwrap() < was.len() {
            return true;
        }
        let is_of_a_node =
            nodes.iter().any(|node| ["type", "major", "minor"].iter().all(|&name| node[name] == rule[name]));
        let is_new = is_of_a_node && !in_force.contains(&bare(rule));
        in_force.push(bare(rule));
        is_new
    });
    rules.len() != there
}

/// Ours has the same mounts, those of before in their order, and none after one that would hide it and did not before.
pub(super) fn mounts_in_order(theirs: &mut Value, sight: &Sight<'_>) -> bool {
    let list = |document: &Value| document["mounts"].as_array().cloned().unwrap_or_default();
    let (before, ours, their) = (list(sight.before), list(sight.ours), list(theirs));
    let is_same = ours.len() == their.len() && ours.iter().all(|mount| their.contains(mount));
    let kept = |list: &[Value]| list.iter().filter(|mount| before.contains(mount)).cloned().collect::<Vec<_>>();
    let are_in_order = kept(&ours) == before.iter().filter(|mount| ours.contains(mount)).cloned().collect::<Vec<_>>();
    let place = |mount: &Value| format!("{}/", mount["destination"].as_str().unwrap().trim_end_matches('/'));
    let hides = |later: &Value, earlier: &Value| place(earlier).starts_with(&place(later));
    let is_hidden = |index: usize| {
        let hiding = ours[index + 1..].iter().filter(|later| hides(later, &ours[index]));
        hiding.filter(|later| !(before.contains(&ours[index]) && before.contains(later))).count() > 0
    };
    if ours == their || !is_same || !are_in_order || (0..ours.len()).any(is_hidden) {
        return false;
    }
    theirs["mounts"] = Value::Array(ours);
    true
}
