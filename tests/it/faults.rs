//! Faults while a container is created: whatever dies, fails or changes, config.json is the old one or the new one, whole, and
//! the next call does all that the first one would have done.
//!
//! Each system call of a `create` is met with every fault, one at a time.

mod dev;
mod inherited;
pub(crate) mod scene;
pub(crate) mod strace;
mod surroundings;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

use scene::{CONFIG_JSON, Scene, Snapshot, config_json, has_gpu, is_left_over, said, snapshot};
use strace::{Call, Fault};

use crate::scratch::skip;

/// The calls that are made to fail: all that touch files and memory.
const REFUSABLE: &str = "chmod close connect execve fchmod fchmodat fchown fchownat fstat getdents64 lseek mkdir mkdirat mmap \
                         newfstatat open openat openat2 pread64 read readlink readlinkat rename renameat renameat2 sendto socket stat \
                         statx symlink symlinkat unlink unlinkat write writev";
/// What they say then; of mappings only the last can be.
const REFUSALS: &[&str] = &["error=ENOSPC", "error=EROFS", "error=EIO", "error=EMFILE", "error=ENOMEM"];

/// A third less than the calls that a `create` makes itself, which tells a run in which nothing was broken.
const LEAST_CALLS: usize = 110;

/// What a `create` does with nothing in its way, and the bundle after it.
struct Undisturbed {
    calls: Vec<Call>,
    bundle: Snapshot,
    config_json: String,
}

/// The scenes, and what happens in them. Nothing where strace cannot be used. The last has the most calls.
fn scenes(test: &str) -> Vec<(Scene, Undisturbed)> {
    if !strace::is_usable() {
        skip(test, "needs strace, and to be allowed to trace");
        return Vec::new();
    }
    let of_another = with_everything();
    if of_another.is_none() {
        skip(&format!("{test} in a root of another owner, with a system log"), "needs root, for a /dev of its own");
    }
    let scenes = [Some(Scene::new(None)), of_another].into_iter().flatten();
    scenes.map(|scene| (undisturbed(&scene), scene)).map(|(calm, scene)| (scene, calm)).collect()
}

/// A root and a configuration of another owner, and a system log that listens.
fn with_everything() -> Option<Scene> {
    nix::unistd::geteuid().is_root().then(|| Scene::new(Some(1000)).with_system_log())?
}

fn undisturbed(scene: &Scene) -> Undisturbed {
    // What is made once for all containers is there.
    scene.create(&[], &scene.bundle("first")).output().unwrap();
    let bundle = scene.bundle("undisturbed");
    let trace = scene.scratch.text("trace");
    let output = scene.create(&strace::watching(&trace), &bundle).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", said(&output));
    let calls = strace::calls(Path::new(&trace));
    let config_json = config_json(&bundle);
    let own = calls.iter().filter(|call| call.is_own).count();
    assert!(has_gpu(&config_json) && own > LEAST_CALLS, "{own} calls: {config_json}: {calls:?}");
    assert!(
        scene.has_told_grant_of(&bundle) && !scene.has_warned_of(&bundle),
        "{:?}",
        scene.scratch.read("gpu-runc.log")
    );
    Undisturbed { calls, bundle: snapshot(&bundle), config_json }
}

/// Runs a `create` in a new bundle with `fault` in its way.
fn meet(scene: &Scene, index: usize, fault: &Fault) -> (PathBuf, Output) {
    let bundle = scene.bundle(&format!("bundle-{index}"));
    let prefix = fault.prefix();
    let prefix: Vec<&str> = prefix.iter().map(String::as_str).collect();
    let output = scene.create(&prefix, &bundle).output().unwrap();
    (bundle, output)
}

#[test]
fn a_kill_before_any_system_call_leaves_the_old_configuration_or_the_new_and_the_next_call_does_the_rest() {
    for (scene, calm) in scenes("faults: kills") {
        let faults: Vec<Fault> = calm.calls.iter().map(|call| Fault::once(call, "signal=SIGKILL")).collect();
        let wrong = strace::each(&faults, |index, fault| {
            let (bundle, output) = meet(&scene, index, fault);
            let wrong = after_kill(&scene, &calm, &bundle, &output);
            fs::remove_dir_all(bundle).unwrap();
            wrong.err().map(|wrong| format!("killed before {}: {wrong}", fault.call.text))
        });
        let wrong: Vec<String> = wrong.into_iter().flatten().collect();
        println!("{} kills, {} with something wrong", faults.len(), wrong.len());
        assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), faults.len(), wrong.join("\n"));
    }
}

fn after_kill(scene: &Scene, calm: &Undisturbed, bundle: &Path, output: &Output) -> Result<(), String> {
    if output.status.signal() != Some(libc::SIGKILL) {
        return Err(format!("it lives: {}", said(output)));
    }
    let there = config_json(bundle);
    if there != CONFIG_JSON && there != calm.config_json {
        return Err(format!("config.json is neither the old nor the new: {there:?}"));
    }
    if let Some(open) = opened_to_others(scene, bundle) {
        return Err(open);
    }
    difference(&scene.once_more(bundle)?, &calm.bundle).map_or(Ok(()), Err)
}

/// A file of `bundle` that more people may read or write than are to. What is not yet whole is ours alone, or as it will be.
fn opened_to_others(scene: &Scene, bundle: &Path) -> Option<String> {
    let owner = scene.owner();
    let is_one_of =
        |modes: &[&str], there: &str| modes.iter().any(|mode| there.starts_with(&format!("100{mode} {owner} ")));
    snapshot(bundle).into_iter().find_map(|(name, there)| {
        let is_config = name.starts_with("/config.json");
        let is_right = match (is_left_over(&name), is_config) {
            (true, _) if !there.starts_with("100") || there.starts_with("100600 ") => true,
            (true, false) => is_one_of(&["644", "444"], &there),
            (_, true) => is_one_of(&["640"], &there),
            (false, false) => true,
        };
        (!is_right).then(|| format!("{name} is {there:?}"))
    })
}

/// A file in which two bundles differ.
fn difference(one: &Snapshot, calm: &Snapshot) -> Option<String> {
    let mut names = one.keys().chain(calm.keys());
    let name = names.find(|name| one.get(*name) != calm.get(*name))?;
    Some(format!("{name} is {:?}, undisturbed it is {:?}", one.get(name), calm.get(name)))
}

/// How a call with a fault in its way ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    /// The container starts, with its GPU.
    GoesOn,
    /// One sentence.
    Said,
    /// No sentence, for nothing can be written any more.
    Mute,
    /// No memory is left to say more than that.
    OutOfMemory,
}

#[test]
fn a_call_that_fails_is_got_over_or_told_in_one_sentence_and_the_configuration_is_whole() {
    // One is enough: the last has the most calls.
    if let Some((scene, calm)) = scenes("faults: refusals").into_iter().next_back() {
        refuse(&scene, &calm, false);
    }
}

#[test]
fn calls_that_fail_from_some_moment_on_are_got_over_or_told_and_the_configuration_is_whole() {
    let test = "faults: refusals that stay";
    if !strace::is_usable() {
        return skip(test, "needs strace, and to be allowed to trace");
    }
    let Some(scene) = with_everything() else { return skip(test, "needs root, for a /dev of its own") };
    refuse(&scene, &undisturbed(&scene), true);
}

/// Refuses each call in every way, alone or with all later ones of its name.
fn refuse(scene: &Scene, calm: &Undisturbed, stays: bool) {
    let mut ends: BTreeMap<(&str, End), usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    let refusable = calm.calls.iter().filter(|call| call.is_own && REFUSABLE.split(' ').any(|name| name == call.name));
    let faults: Vec<Fault> = refusable
        .flat_map(|call| {
            let can_be = |what: &&&str| call.name != "mmap" || **what == "error=ENOMEM";
            REFUSALS.iter().filter(can_be).map(|what| Fault { stays, ..Fault::once(call, what) })
        })
        .collect();
    let said = strace::each(&faults, |index, fault| {
        let (bundle, output) = meet(scene, index, fault);
        let end = after_refusal(scene, calm, fault, &bundle, &output);
        fs::remove_dir_all(bundle).unwrap();
        (fault.what, end.map_err(|wrong| format!("{} at {}: {wrong}", fault.what, fault.call.text)))
    });
    for (what, end) in said {
        match end {
            Ok(end) => *ends.entry((what, end)).or_default() += 1,
            Err(fault) => wrong.push(fault),
        }
    }
    println!("{} refusals{}: {ends:?}", faults.len(), if stays { " that stay" } else { "" });
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(faults.len() > REFUSALS.len() * LEAST_CALLS, "{}", faults.len());
}

fn after_refusal(
    scene: &Scene,
    calm: &Undisturbed,
    fault: &Fault,
    bundle: &Path,
    output: &Output,
) -> Result<End, String> {
    let there = config_json(bundle);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let log = fs::read_to_string(format!("{}.log", bundle.display())).unwrap_or_default();
    let is_told = log.lines().count() == 1 && log.contains("\"level\":\"error\"");
    // What cannot be opened or written any more cannot be told there either.
    let stays = |names: &[&str]| fault.stays && names.contains(&fault.call.name.as_str());
    let is_whole = there == CONFIG_JSON || there == calm.config_json;
    let end = match (output.status.code(), stderr.lines().count()) {
        (Some(0), 0) if has_gpu(&there) && log.is_empty() => End::GoesOn,
        (Some(1), 1) if is_whole && is_told => End::Said,
        (Some(1), 1) if is_whole && stays(&["open", "openat"]) && log.is_empty() => End::Said,
        (Some(1), 0) if is_whole && stays(&["write", "writev"]) && log.is_empty() => End::Mute,
        (None, _) if fault.what == "error=ENOMEM" && there == CONFIG_JSON && stderr.contains("memory") => {
            End::OutOfMemory
        }
        _ => return Err(format!("{}; the engine's log: {log:?}; config.json: {there}", said(output))),
    };
    let after = snapshot(bundle);
    let left: Vec<_> = after.keys().filter(|name| is_left_over(name)).collect();
    if !left.is_empty() {
        return Err(format!("left over: {left:?}"));
    }
    if let Some(open) = opened_to_others(scene, bundle) {
        return Err(open);
    }
    if end == End::GoesOn && !scene.has_told_grant_of(bundle) && !stays(&["write", "writev"]) {
        return Err("the grant is in no log".to_owned());
    }
    let Done { in_configuration, in_root } = Done::of(&after, calm);
    if end == End::GoesOn && !(in_configuration && (in_root || scene.has_warned_of(bundle))) {
        return Err(format!("it goes on without a word: {}", difference(&after, &calm.bundle).unwrap_or_default()));
    }
    scene.once_more(bundle)?;
    Ok(end)
}

/// What of a bundle is as in the undisturbed one, or left to others who do it as well: mounts in place of links, and of the cache.
struct Done {
    in_configuration: bool,
    /// What is not can only be told in a warning.
    in_root: bool,
}

impl Done {
    fn of(after: &Snapshot, calm: &Undisturbed) -> Self {
        let document = |bundle: &Snapshot| -> Value {
            let text = &bundle["/config.json"];
            serde_json::from_str(&text[text.find('{').unwrap()..]).unwrap()
        };
        let (mut now, then) = (document(after), document(&calm.bundle));
        let mut by_others = BTreeSet::new();
        if let Some(mounts) = now["mounts"].as_array_mut() {
            mounts.retain(|mount| {
                let name = format!("/rootfs{}", mount["destination"].as_str().unwrap());
                let link = calm.bundle.get(&name).filter(|there| there.contains(" -> "));
                link.is_none_or(|link| after.get(&name) == Some(link) || !by_others.insert(name))
            });
        }
        // A cache that cannot be written is mounted, from the bundle's directory.
        if let Some(mounts) = now["mounts"].as_array_mut() {
            let is_prepared = |mount: &Value| {
                let source = mount["source"].as_str().unwrap();
                mount["destination"] == "/etc/ld.so.cache" && source.ends_with("/gpu-runc-ld.so.cache")
            };
            let bytes = |text: &String| {
                text.split_once(' ').and_then(|(_, rest)| rest.split_once(' ')).map(|(_, text)| text.to_owned())
            };
            let cache = after.get("/gpu-runc-ld.so.cache").and_then(bytes);
            if cache.is_some() && cache == calm.bundle.get("/rootfs/etc/ld.so.cache").and_then(bytes) {
                mounts.retain(|mount| !is_prepared(mount));
            }
        }
        let of_root = |name: &&String| *name != "/config.json" && !by_others.contains(*name);
        let mut names = after.keys().chain(calm.bundle.keys()).filter(of_root);
        Done { in_configuration: now == then, in_root: names.all(|name| after.get(name) == calm.bundle.get(name)) }
    }
}

#[test]
fn what_cannot_be_read_of_the_machine_is_not_taken_for_absent() {
    let test = "faults: an unreadable machine";
    if !strace::is_usable() {
        return skip(test, "needs strace, and to be allowed to trace");
    }
    let Some(scene) = Scene::of_machine() else { return skip(test, "needs CAP_MKNOD") };
    let calm = undisturbed(&scene);
    // What follows is done in the container's root, and is got over in other ways.
    let reads = calm.calls.iter().take_while(|call| !call.text.contains("/rootfs\""));
    let reads =
        reads.filter(|call| call.is_own && call.name != "mmap" && REFUSABLE.split(' ').any(|name| name == call.name));
    let faults: Vec<Fault> = reads.map(|call| Fault::once(call, "error=EIO")).collect();
    let ends = strace::each(&faults, |index, fault| {
        let (bundle, output) = meet(&scene, index, fault);
        let (there, is_warned) = (config_json(&bundle), scene.has_warned_of(&bundle));
        fs::remove_dir_all(bundle).unwrap();
        match output.status.code() {
            Some(0) if there == calm.config_json => Ok("the same"),
            Some(0) if has_gpu(&there) && is_warned => Ok("less, and a warning"),
            Some(1) if there == CONFIG_JSON && output.stderr.iter().filter(|byte| **byte == b'\n').count() == 1 => {
                Ok("said")
            }
            _ => Err(format!("{}: {}, {there}", fault.call.text, said(&output))),
        }
    });
    let wrong: Vec<&String> = ends.iter().filter_map(|end| end.as_ref().err()).collect();
    let count = |kind| ends.iter().filter(|end| **end == Ok(kind)).count();
    let kinds = ["the same", "less, and a warning", "said"].map(|kind| format!("{kind}: {}", count(kind)));
    println!("{} readings refused, {}", faults.len(), kinds.join(", "));
    assert!(wrong.is_empty() && faults.len() > 150, "{} of {}: {wrong:#?}", wrong.len(), faults.len());
}
