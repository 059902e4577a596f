//! What an engine hands over: the command line and config.json.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use gpu_runc::cdi::ContainerEdits;
use gpu_runc::config::Policy;
use gpu_runc::oci::Spec;
use gpu_runc::oci::apply::Changes;
use gpu_runc::oci::devices::Routes;
use gpu_runc::oci::json::{Object, elements, string};
use gpu_runc::oci::state::State;
use gpu_runc::oci::view::View;
use gpu_runc::request::Request;
use gpu_runc::runtime::invocation::{Dialect, Invocation, Verb};
use gpu_runc::vendor::Vendors;

use super::text;

const PATH: &str = "/b/config.json";

/// Arguments between newlines: none is invented, and only the three verbs start anything.
pub(super) fn argv(data: &[u8]) {
    let argv: Vec<OsString> = data.split(|byte| *byte == b'\n').map(|arg| OsString::from_vec(arg.to_vec())).collect();
    for dialect in [Dialect::Runc, Dialect::Crun, Dialect::Youki] {
        let invocation = Invocation::parse(&argv, dialect);
        let is_said = |value: Option<&OsStr>| {
            value.is_none_or(|value| {
                value.is_empty() || argv.iter().any(|arg| arg.as_bytes().ends_with(value.as_bytes()))
            })
        };
        assert!(is_said(invocation.log));
        if let Verb::Start(start) = &invocation.verb {
            assert!(argv.iter().skip(1).any(|arg| ["create", "run", "restore"].iter().any(|verb| arg == verb)));
            assert!(is_said(start.bundle) && is_said(start.config) && is_said(start.id));
        }
    }
}

/// A config.json, read for what it asks: what is read is in it, and is what Go reads.
pub(super) fn document(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let _ = State::parse(text);
    string_is_read_as_by_go(text);
    let plain = without_halves(text);
    let without = Spec::parse(&plain, Path::new(PATH));
    let Ok(spec) = Spec::parse(text, Path::new(PATH)) else {
        assert!(without.is_err(), "half a character is what is wrong with it");
        return;
    };
    let without = without.expect("half a character is nothing wrong");
    let view = spec.view();
    assert_eq!(format!("{view:?}"), format!("{:?}", without.view()));
    let said = |result: gpu_runc::error::Result<()>| result.map_err(|error| error.to_string());
    assert_eq!(said(spec.check()), said(without.check()));
    if spec.check().is_ok() {
        agrees_with_a_tree(&view, &plain);
    }
    let _ = (spec.root(), spec.has_user_namespace(), view.is_sandbox());
    for hook in &view.hooks {
        assert!(
            spec.list(&["hooks", &hook.stage]).len() > hook.index
                || Object::parse(text).is_err()
                || is_twice(text, "hooks")
        );
    }
    let once = Request::from_spec(&view, &Policy::default(), Vendors::known());
    let again = Request::from_spec(&spec.view(), &Policy::default(), Vendors::known());
    assert_eq!(once.map_err(|error| error.to_string()), again.map_err(|error| error.to_string()));
}

/// `text` between quotes, as a member's name and as its value. The reference is Go's rule (encoding/json, `unquoteBytes`): an
/// escape of half a surrogate pair is U+FFFD. For the rest it is serde_json, which refuses those.
fn string_is_read_as_by_go(text: &str) {
    let raw = format!("\"{text}\"");
    if elements(&format!("[{raw}]")).is_none_or(|elements| elements != [raw.as_str()]) {
        return;
    }
    let expected: String = serde_json::from_str(&without_halves(&raw)).expect("nothing is left to refuse");
    assert_eq!(string(&raw).as_deref(), Some(&*expected), "{raw}");
    let object = format!("{{{raw}:{raw}}}");
    let object = Object::parse(&object).expect("a string is a member's name");
    assert!(object.members().all(|(key, value)| *key == expected && value == raw), "{raw}");
}

/// `text` in which every escape of half a surrogate pair is the escape of U+FFFD: what Go reads in its place, and as long.
fn without_halves(text: &str) -> String {
    let unit = |at: usize| {
        let digits = text.get(at..)?.strip_prefix("\\u")?.get(..4)?;
        if digits.bytes().all(|digit| digit.is_ascii_hexdigit()) { u32::from_str_radix(digits, 16).ok() } else { None }
    };
    let (mut out, mut at) = (String::new(), 0);
    while let Some(c) = text.get(at..).and_then(|rest| rest.chars().next()) {
        let (length, is_half) = match (unit(at), unit(at + 6)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => (12, false),
            (Some(0xd800..=0xdfff), _) => (6, true),
            (Some(_), _) => (6, false),
            // The character behind a backslash begins nothing.
            (None, _) if c == '\\' => {
                (1 + text.get(at + 1..).and_then(|t| t.chars().next()).map_or(0, char::len_utf8), false)
            }
            (None, _) => (c.len_utf8(), false),
        };
        out.push_str(if is_half { "\\ufffd" } else { &text[at..at + length] });
        at += length;
    }
    out
}

/// Holds what is read of a document against the whole tree of it, which nobody reads differently: the document is certain.
fn agrees_with_a_tree(view: &View<'_>, text: &str) {
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<serde_json::Value>();
    let Some(Ok(tree)) = stream.next() else { return };
    let env = tree.pointer("/process/env").and_then(serde_json::Value::as_array).into_iter().flatten();
    assert_eq!(view.env, env.filter_map(|entry| entry.as_str()).collect::<Vec<_>>());
    let annotations = tree.get("annotations").and_then(serde_json::Value::as_object);
    for (key, value) in annotations.into_iter().flatten() {
        assert_eq!(view.annotation(key), value.as_str(), "{key}");
    }
    let named = |key: &str| annotations.is_some_and(|annotations| annotations.contains_key(key));
    assert!(view.annotations.iter().all(|(key, _)| named(key)), "{:?}", view.annotations);
}

/// Whether a member comes more than once, or in another letter case, on any level that is looked at.
fn is_twice(text: &str, name: &str) -> bool {
    let Ok(top) = Object::parse(text) else { return true };
    let inner = || top.all(name).filter_map(|raw| Object::parse(raw).ok());
    let names: Vec<String> =
        inner().flat_map(|o| o.members().map(|(k, _)| k.to_lowercase()).collect::<Vec<_>>()).collect();
    top.all(name).count() > 1
        || names.iter().enumerate().any(|(at, name)| names.iter().skip(at + 1).any(|other| other == name))
}

/// The members that edits may change.
const CHANGED: &[&[&str]] = &[
    &["process", "env"],
    &["process", "user", "additionalGids"],
    &["linux", "devices"],
    &["linux", "resources", "devices"],
    &["linux", "netDevices"],
    &["linux", "intelRdt"],
    &["mounts"],
    &["hooks"],
];

/// A line of edits in JSON, and below it a config.json, which loses nothing and changes once.
pub(super) fn apply(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let (line, rest) = text.split_once('\n').unwrap_or_default();
    let (edits, document): (ContainerEdits, &str) = match serde_json::from_str(line) {
        Ok(edits) => (edits, rest),
        Err(_) => (every_edit(), text),
    };
    let Ok(spec) = Spec::parse(document, Path::new(PATH)) else { return };
    for replaces in [false, true] {
        let replaced_hooks: Vec<(String, usize)> = match replaces {
            true => {
                spec.view().hooks.iter().map(|hook| (hook.stage.clone().into_owned(), hook.index)).take(1).collect()
            }
            false => Vec::new(),
        };
        let changes = Changes { edits: &edits, routes: &Routes::new(), replaced_hooks: &replaced_hooks, unified: &[] };
        let Ok(Some(once)) = spec.apply(&changes) else { continue };
        // What holds U+FFFD itself may be there already.
        if !line.contains(['\\', '\u{fffd}']) {
            let plain = without_halves(document);
            let without = Spec::parse(&plain, Path::new(PATH)).expect("as long, and of the same members");
            let same = without.apply(&changes).expect("as safe").unwrap_or_else(|| plain.clone());
            assert_eq!(without_halves(&once), same, "half a character changes what is edited");
        }
        let after = Spec::parse(&once, Path::new(PATH)).expect("what is written is read back");
        let again = after.apply(&Changes { replaced_hooks: &[], ..changes });
        let twice = again.expect("what is written can be edited");
        assert_eq!(twice.as_deref().unwrap_or(&once), once, "applying twice differs from applying once");
        loses_nothing(document, &once, CHANGED);
        has(&after, &edits);
    }
}

/// Every edit that was asked for is there, once.
fn has(spec: &Spec<'_>, edits: &ContainerEdits) {
    let view = spec.view();
    let name = |entry: &str| entry.split_once('=').map(|(name, _)| name.to_owned());
    for (at, entry) in edits.env.iter().enumerate() {
        let Some((key, value)) = entry.split_once('=') else { continue };
        if edits.env.iter().skip(at + 1).all(|later| name(later).as_deref().unwrap_or(later) != key) {
            assert_eq!(view.env(key), Some(value), "{entry}");
        }
    }
    let count = |list: &[&str], member: &str, place: &str| {
        let of = |raw: &&str| Object::parse(raw).ok().and_then(|o| o.get(member).and_then(string).map(|s| s == place));
        list.iter().filter(|raw| of(raw) == Some(true)).count()
    };
    let (devices, mounts) = (spec.list(&["linux", "devices"]), spec.list(&["mounts"]));
    for node in &edits.device_nodes {
        assert_eq!(count(&devices, "path", &node.path), 1, "{}", node.path);
    }
    for mount in &edits.mounts {
        assert_eq!(count(&mounts, "destination", &mount.container_path), 1, "{}", mount.container_path);
    }
}

/// Holds two objects against each other: all members but those at `changed` have their bytes and their order.
fn loses_nothing(before: &str, after: &str, changed: &[&[&str]]) {
    if before == after {
        return;
    }
    let before = if before == "null" { "{}" } else { before };
    let (Ok(old), Ok(new)) = (Object::parse(before), Object::parse(after)) else {
        panic!("no object any more: {before} {after}");
    };
    let mut kept = new.members();
    for (name, value) in old.members() {
        let (place, now) = kept.next().expect("a member is gone");
        assert_eq!(name, place, "the order of members changed");
        let below: Vec<&[&str]> = changed
            .iter()
            .filter_map(|path| path.split_first())
            .filter(|(first, _)| **first == name)
            .map(|(_, rest)| rest)
            .collect();
        match below.is_empty() {
            true => assert_eq!(value, now, "{name}"),
            false if below.iter().any(|rest| rest.is_empty()) => {}
            false => loses_nothing(value, now, &below),
        }
    }
    assert!(
        kept.all(|(name, _)| changed.iter().any(|path| path.first().is_some_and(|first| **first == **name))),
        "a member came from nowhere"
    );
    assert_eq!(elements(before), None);
}

/// Edits of every kind, for documents that come without.
fn every_edit() -> ContainerEdits {
    serde_json::from_str(super::seeds::EDITS).expect("the edits are edits")
}
