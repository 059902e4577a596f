//! What is meant to differ from NVIDIA's runtime, and why. Versions: nvidia-container-toolkit 1.20, CDI library 1.1.0.

use std::os::unix::fs::{FileTypeExt, MetadataExt};

use nix::sys::stat::{major, minor};
use serde_json::{Map, Value, json};

use crate::peer::bundle::Outcome;
use crate::peer::difference::{Intended, Kind, Sight, gives_no_node};
use crate::peer::written::{bare, untouched};

/// In the order in which they are made.
pub(crate) const INTENDED: &[Intended] = &[
    Intended {
        name: "a device twice",
        why: "a device that is named twice is one device; the peer makes a device \"none\" of the second",
        kind: Kind::Asking(|theirs, _| is_refused(theirs, "unresolvable CDI devices nvidia.com/gpu=none")),
    },
    Intended {
        name: "ranges",
        why: "\"0-1\" is short for \"0,1\", as it is for other vendors",
        kind: Kind::Asking(|theirs, _| is_refused(theirs, "unresolvable CDI devices nvidia.com/gpu=0-1")),
    },
    Intended {
        name: "other variables",
        why: "each vendor has its variable, and there is one for all; the peer knows NVIDIA's, or those that it is told of",
        kind: Kind::Asking(gives_no_node),
    },
    Intended {
        name: "vendors add up",
        why: "what an annotation asks of one vendor does not undo what a variable asks of another",
        kind: Kind::Asking(gives_no_node),
    },
    Intended {
        name: "our annotation",
        why: "it is for engines that hand on no other wish",
        kind: Kind::Asking(gives_no_node),
    },
    Intended {
        name: "run",
        why: "BuildKit starts containers with it",
        kind: Kind::Asking(|theirs, before| theirs.as_ref() == Ok(before)),
    },
    Intended {
        name: "names that are not qualified",
        why: "annotations of CDI hold qualified names and nothing else (CDI pkg/cdi/annotations.go)",
        kind: Kind::OursRefuses("invalid CDI device name \"0\""),
    },
    Intended {
        name: "mounts that name nothing",
        why: "a container does not start without a device that it was meant to have",
        kind: Kind::OursRefuses("names no CDI device"),
    },
    Intended {
        name: "files that are out of date",
        why: "the low-level runtime would fail at the mount, with words that name no file",
        kind: Kind::OursRefuses("is out of date"),
    },
    Intended {
        name: "none without a device of that name",
        why: "a container that wants the driver and no device gets what the files have for all devices",
        kind: Kind::PeerRefuses("unresolvable CDI devices nvidia.com/gpu=none"),
    },
    Intended {
        name: "mounts that are not there",
        why: "the variable of a device plugin says that mounts count; where there are none, nothing is asked",
        kind: Kind::PeerRefuses("unresolvable CDI devices nvidia.com/gpu=/var/run/nvidia-container-devices"),
    },
    Intended {
        name: "classes of one letter",
        why: "CDI's grammar has them; the library of the peer stops at them (CDI pkg/parser, before 1.1.1)",
        kind: Kind::PeerRefuses("slice bounds out of range"),
    },
    Intended {
        name: "devices without access",
        why: "CDI has them since 1.1.1",
        kind: Kind::PeerRefuses("unresolvable CDI devices"),
    },
    Intended {
        name: "unknown members",
        why: "a document of a later specification is for the low-level runtime to judge",
        kind: Kind::PeerRefuses("json: unknown field"),
    },
    Intended {
        name: "variables without a value",
        why: "the low-level runtime takes them",
        kind: Kind::PeerRefuses("invalid environment variable: LONELY"),
    },
    Intended {
        name: "a sandbox",
        why: "a pod's pause container runs no program that could use a device",
        kind: Kind::Rewrite(sandbox),
    },
    Intended {
        name: "images of an old CUDA",
        why: "an image that says which CUDA it has asks for nothing by that; engines give it no GPU either",
        kind: Kind::Rewrite(old_images),
    },
    Intended {
        name: "hooks that give nothing",
        why: "CRI-O and podman put the old toolkit's hook on every container; where nothing is asked it is none of our business",
        kind: Kind::Rewrite(hooks_of_nothing),
    },
    Intended {
        name: "untouched members",
        why: "what nobody asked to change stays as it was written: empty members, zeros, and members that are not known",
        kind: Kind::Rewrite(untouched),
    },
    Intended {
        name: "variables once",
        why: "of a variable that is there twice runc takes the last and other programs the first",
        kind: Kind::Rewrite(variables_once),
    },
    Intended {
        name: "numbers looked at",
        why: "a file that was written before the driver was loaded again has numbers that are another driver's by now",
        kind: Kind::Rewrite(numbers),
    },
    Intended {
        name: "places once",
        why: "of several entries at one place the low-level runtime would not take ours",
        kind: Kind::Rewrite(places_once),
    },
    Intended {
        name: "links to nodes",
        why: "nothing can be made in /dev from outside; a link to a device node is another node",
        kind: Kind::Rewrite(links_to_nodes),
    },
    Intended {
        name: "hooks done before",
        why: "what the driver's hooks do is in the root before the container starts, and no process of ours is in it",
        kind: Kind::Rewrite(hooks_done),
    },
    Intended {
        name: "hooks once",
        why: "two devices that bring the same hook do not want it run twice",
        kind: Kind::Rewrite(hooks_once),
    },
    Intended {
        name: "rules once",
        why: "a rule that is in force already, or of a node that is not there in the end, says nothing",
        kind: Kind::Rewrite(rules_once),
    },
    Intended {
        name: "owners mapped",
        why: "files of root that are mounted into a user namespace would be nobody's; as later CDI libraries have it",
        kind: Kind::Rewrite(owners_mapped),
    },
    Intended {
        name: "mounts in their order",
        why: "a person's mounts stay in the order in which they were written, and none hides another that it did not",
        kind: Kind::Rewrite(mounts_in_order),
    },
];

fn is_refused(theirs: &Outcome, part: &str) -> bool {
    theirs.as_ref().is_err_and(|message| message.contains(part))
}

fn sandbox(theirs: &mut Value, sight: &Sight<'_>) -> bool {
    let is = |key: &str| sight.before["annotations"][key] == "sandbox";
    let is_sandbox = is("io.kubernetes.cri.container-type") || is("io.kubernetes.cri-o.ContainerType");
    if is_sandbox {
        *theirs = sight.before.clone();
    }
    is_sandbox
}

fn old_images(theirs: &mut Value, sight: &Sight<'_>) -> bool {
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

fn hooks_of_nothing(theirs: &mut Value, sight: &Sight<'_>) -> bool {
    let is_old =
        |hook: &Value| hook["path"].as_str().is_some_and(|path| path.ends_with("/nvidia-container-runtime-hook"));
    let was = sight.before.pointer("/hooks/prestart").and_then(Value::as_array);
    let Some(was) = was.filter(|_| sight.ours == sight.before) else { return false };
    let others: Vec<Value> = was.iter().filter(|hook| !is_old(hook)).cloned().collect();
    let took_them_out = others.len() != was.len() && theirs["hooks"]["prestart"] == Value::Array(others);
    if took_them_out {
        theirs["hooks"]["prestart"] = Value::Array(was.clone());
    }
    took_them_out
}

fn variable(entry: &Value) -> &str {
    let entry = entry.as_str().unwrap();
    entry.split_once('=').map_or(entry, |(name, _)| name)
}

/// Of a variable that is edited the last value stays, at the last place that it had before.
fn variables_once(theirs: &mut Value, sight: &Sight<'_>) -> bool {
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
fn numbers(theirs: &mut Value, sight: &Sight<'_>) -> bool {
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
fn places_once(theirs: &mut Value, sight: &Sight<'_>) -> bool {
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

fn links_to_nodes(theirs: &mut Value, sight: &Sight<'_>) -> bool {
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
fn hooks_done(theirs: &mut Value, sight: &Sight<'_>) -> bool {
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

fn hooks_once(theirs: &mut Value, sight: &Sight<'_>) -> bool {
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
fn rules_once(theirs: &mut Value, sight: &Sight<'_>) -> bool {
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

fn owners_mapped(theirs: &mut Value, sight: &Sight<'_>) -> bool {
    let spaces = sight.before.pointer("/linux/namespaces").and_then(Value::as_array);
    if !spaces.is_some_and(|spaces| spaces.iter().any(|space| space["type"] == "user")) {
        return false;
    }
    let edited: Vec<&Value> = sight.edited("mounts").collect();
    let mut changed = false;
    for mount in theirs["mounts"].as_array_mut().into_iter().flatten() {
        let is_edited = edited.iter().any(|edit| edit["containerPath"] == mount["destination"]);
        let Some(options) = mount.get_mut("options").filter(|_| is_edited).and_then(Value::as_array_mut) else {
            continue;
        };
        let mapping = if options.contains(&json!("rbind")) { "ridmap" } else { "idmap" };
        options.push(json!(mapping));
        changed = true;
    }
    changed
}

/// Ours has the same mounts, those of before in their order, and none after one that would hide it and did not before.
fn mounts_in_order(theirs: &mut Value, sight: &Sight<'_>) -> bool {
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
