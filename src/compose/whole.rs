//! The whole compose file, with its reservations turned into the annotation that gpu-runc reads: the same text but for a few
//! insertions.
//!
//! Pure. The reservations stay, under keys that compose reads over. The result is read again and compared, so that a text that
//! cannot be edited in this way is an error and never a wrong file.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json, json};

use super::services::{DEVICES, Plan, Service};
use super::yaml::{self, Node, Value};
use super::{Document, quoted, scalar};
use crate::error::Result;
use crate::request::ANNOTATION;

const KEPT: &str = "x-";
/// The list in which CDI names can stand.
const LISTED: &str = "devices";

/// Text in place of a part of the file, which may be empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Edit {
    start: usize,
    length: usize,
    text: String,
}

impl Plan<'_> {
    /// The text of `document`, which must be the only file of the plan, with its services edited.
    ///
    /// # Errors
    ///
    /// [`crate::error::Error::Compose`] with the service for a text that cannot be edited without changing more than that.
    pub fn whole(&self, document: &Document) -> Result<String> {
        let (runtime, mut edits, mut made) = (self.runtime, Vec::new(), BTreeSet::new());
        let index = document.root.get("services").map(Node::index).unwrap_or_default();
        let end = if document.text.contains("\r\n") { "\r\n" } else { "\n" };
        for service in &self.services {
            let Some((key, node)) = index.get(service.name) else { continue };
            let cannot = |why: &str| document.wrong(key.place.line, service.name, &format!("{why}; {INSTEAD}"));
            // Services that share their text by an alias need each edit once.
            for edit in edits_of((&document.text, end), node, service, runtime).map_err(cannot)? {
                if made.insert(edit.clone()) {
                    edits.push(edit);
                }
            }
        }
        let text = applied(&document.text, edits).unwrap_or_default();
        let after = yaml::read(&text).ok();
        let section = |root: &Node| root.get("services").map(Node::json).unwrap_or_default();
        let (before, after) = (section(&document.root), after.as_ref().map(section).unwrap_or_default());
        let planned: BTreeMap<&str, &Service<'_>> =
            self.services.iter().map(|service| (service.name, service)).collect();
        for (key, _) in document.root.get("services").map(Node::entries).unwrap_or_default() {
            let expected = before.get(&key.name).map(|old| match planned.get(key.name.as_str()) {
                Some(service) => turned(old.clone(), service, runtime),
                None => old.clone(),
            });
            if expected.as_ref() != after.get(&key.name) {
                let why = "what it shares with other services keeps it from being edited as text";
                return Err(document.wrong(key.place.line, &key.name, &format!("{why}; {INSTEAD}")));
            }
        }
        Ok(text)
    }
}

const INSTEAD: &str = "write an override file, without --whole";

/// A text, and how its lines end.
type Lines<'t> = (&'t str, &'t str);

/// The edits that turn one service's text. Insertions before renamings, since both can be at its first key.
fn edits_of(
    lines: Lines<'_>,
    node: &Node,
    service: &Service<'_>,
    runtime: &str,
) -> std::result::Result<Vec<Edit>, &'static str> {
    let mut edits = Vec::new();
    let mut missing = Vec::new();
    match node.entry("runtime") {
        Some((key, value)) if !key.place.is_borrowed => {
            if value.place.is_borrowed || value.place.length == 0 {
                return Err("its runtime is an alias, or empty");
            }
            edits.push(Edit { start: value.place.start, length: value.place.length, text: scalar(runtime) });
        }
        _ => missing.push((format!("runtime: {}", scalar(runtime)), None)),
    }
    let entry = format!("{ANNOTATION}: {}", quoted(&service.value()));
    match node.get("annotations") {
        None => missing.push(("annotations:".to_owned(), Some(entry))),
        Some(annotations) => {
            let item = quoted(&format!("{ANNOTATION}={}", service.value()));
            edits.push(match &annotations.value {
                Value::Map(_) => inserted(lines, annotations, &[(entry, None)])?,
                Value::List(_) => inserted(lines, annotations, &[(item, None)])?,
                Value::Scalar(_) => return Err("its annotations are empty"),
            });
        }
    }
    if !missing.is_empty() {
        edits.insert(0, inserted(lines, node, &missing)?);
    }
    let devices =
        DEVICES.iter().try_fold((None, node), |(_, node), name| node.entry(name).map(|(key, node)| (Some(key), node)));
    let listed = node.entry(LISTED).filter(|_| !service.names.is_empty());
    if listed.is_some() && !service.nodes.is_empty() {
        return Err("its devices are CDI names and nodes in one list");
    }
    let keys = [node.entry("gpus"), listed].map(|entry| entry.map(|(key, _)| key));
    for key in keys.into_iter().chain([devices.and_then(|(key, _)| key)]).flatten() {
        let is_quoted = lines.0.get(key.place.start..).is_some_and(|rest| rest.starts_with(['"', '\'']));
        edits.push(Edit { start: key.place.start + usize::from(is_quoted), length: 0, text: KEPT.to_owned() });
    }
    Ok(edits)
}

/// Puts lines, each with what is nested in it, before the first entry of a mapping or list.
fn inserted(
    (text, end): Lines<'_>,
    node: &Node,
    lines: &[(String, Option<String>)],
) -> std::result::Result<Edit, &'static str> {
    let mut start = node.place.start;
    let (before, after) = text.split_at_checked(start).ok_or("its place in the text is not known")?;
    let flow = after.strip_prefix(['{', '[']);
    let text = if let Some(inside) = flow {
        let written = lines.iter().map(|(line, nested)| match nested {
            Some(nested) => format!("{line} {{{nested}}}"),
            None => line.clone(),
        });
        let written = written.collect::<Vec<_>>().join(", ");
        let is_empty = inside.trim_start().starts_with(['}', ']']);
        let space = if inside.starts_with(char::is_whitespace) { "" } else { " " };
        if is_empty { written } else { format!("{written},{space}") }
    } else {
        // A list that is indented no deeper than its key is said to begin after its first dash.
        let is_list = matches!(node.value, Value::List(_));
        let before = if is_list { before.trim_end_matches(' ').strip_suffix('-').unwrap_or(before) } else { before };
        start = before.len();
        let indent = before.rsplit('\n').next().unwrap_or_default();
        if !indent.bytes().all(|byte| byte == b' ') {
            return Err("it does not begin on a line of its own");
        }
        let dash = if is_list { "- " } else { "" };
        let written = lines.iter().map(|(line, nested)| match nested {
            Some(nested) => format!("{dash}{line}{end}{indent}  {nested}{end}{indent}"),
            None => format!("{dash}{line}{end}{indent}"),
        });
        written.collect()
    };
    Ok(Edit { start: start + usize::from(flow.is_some()), length: 0, text })
}

/// The text with all edits made. `None` where they overlap.
fn applied(text: &str, mut edits: Vec<Edit>) -> Option<String> {
    edits.sort_by_key(|edit| edit.start);
    let (mut result, mut at) = (String::with_capacity(text.len() + 1024), 0);
    for edit in edits {
        result.push_str(text.get(at..edit.start)?);
        result.push_str(&edit.text);
        at = edit.start + edit.length;
    }
    result.push_str(text.get(at..)?);
    Some(result)
}

/// What the service must read as afterwards.
fn turned(mut service: Json, planned: &Service<'_>, runtime: &str) -> Json {
    let rename = |map: Option<&mut Map<String, Json>>, key: &str| {
        if let Some(map) = map
            && let Some(value) = map.remove(key)
        {
            map.insert(format!("{KEPT}{key}"), value);
        }
    };
    rename(service.as_object_mut(), "gpus");
    if !planned.names.is_empty() {
        rename(service.as_object_mut(), LISTED);
    }
    let [way @ .., devices] = DEVICES;
    let reservations = way.iter().try_fold(&mut service, |node, name| node.get_mut(*name));
    rename(reservations.and_then(Json::as_object_mut), devices);
    if let Some(service) = service.as_object_mut() {
        service.insert("runtime".to_owned(), runtime.into());
        match service.entry("annotations").or_insert_with(|| json!({})) {
            Json::Object(annotations) => drop(annotations.insert(ANNOTATION.to_owned(), planned.value().into())),
            Json::Array(annotations) => annotations.insert(0, format!("{ANNOTATION}={}", planned.value()).into()),
            _ => {}
        }
    }
    service
}
