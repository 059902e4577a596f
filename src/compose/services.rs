//! The services that reserve devices, over one or several compose files, and what each asks of gpu-runc.
//!
//! Pure. Follows what decides which reservations count: merges and aliases, `extends` within a file, later files over earlier
//! ones with `!reset` and `!override`. What is in files that were not given is noted, not read.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use super::named::{self, Entry};
use super::reservation::{self, Reservation, Wrong};
use super::yaml::{Key, Node, Tag, Value};
use super::{Document, value};
use crate::config::Policy;
use crate::error::{Error, Escaped, Result};
use crate::oci::view::View;
use crate::request::{ANNOTATION, Request};
use crate::vendor::Vendors;

/// The way to the list of reserved devices.
pub(super) const DEVICES: [&str; 4] = ["deploy", "resources", "reservations", "devices"];

/// The most services of a file that extend one another.
const MOST_LEVELS: usize = 64;
/// The most reservations of all services. Thousands of services can extend one that reserves thousands of devices: a small file would
/// be more than memory holds.
const MOST_RESERVATIONS: usize = 200_000;

/// The services that reserve devices, in the order of the files.
#[derive(Debug)]
pub struct Plan<'a> {
    pub(super) services: Vec<Service<'a>>,
    /// The name of gpu-runc, as the engine knows it.
    pub(super) runtime: &'a str,
    /// What a person should know: files that were not looked into, runtimes that are replaced.
    pub notes: Vec<String>,
}

/// One service that reserves devices.
#[derive(Debug)]
pub(super) struct Service<'a> {
    pub name: &'a str,
    pub devices: Vec<Found<'a>>,
    pub gpus: Vec<Found<'a>>,
    /// The CDI names of its own list of devices, and what else is in that list.
    pub names: Vec<Found<'a>>,
    pub nodes: Vec<Json>,
    /// The runtime that the files name.
    pub runtime: Option<String>,
    /// How many containers it has, where the files say so.
    pub replicas: Option<u64>,
    /// Whether its annotations are a list of `KEY=VALUE`.
    pub lists_annotations: bool,
    /// Where it has the annotation already.
    request: Option<(&'a Document, usize)>,
}

/// A reservation and its file.
#[derive(Debug)]
pub(super) struct Found<'a> {
    pub document: &'a Document,
    pub reservation: Reservation,
}

/// Finds the services that reserve devices, and makes sure that gpu-runc will understand each. `runtime` is its name, as the
/// engine knows it.
///
/// # Errors
///
/// [`Error::Compose`] with file, line and service for a reservation that makes no sense or that gpu-runc would not understand,
/// and for files without any.
pub fn plan<'a>(documents: &'a [Document], runtime: &'a str, vendors: Vendors) -> Result<Plan<'a>> {
    let (mut services, mut notes): (Vec<Service<'_>>, Notes) = (Vec::new(), Notes::default());
    let (mut known, mut reserved) = (BTreeMap::new(), 0);
    for document in documents {
        if document.root.get("include").is_some() {
            notes.add(format!("{}: include: what other files reserve is not looked at", Escaped::path(&document.path)));
        }
        let (clears, section) = walk(&document.root, &["services"]);
        if clears {
            (services, known, reserved) = (Vec::new(), BTreeMap::new(), 0);
        }
        let Some(section) = section.filter(|section| !section.is_null()) else { continue };
        if !matches!(section.value, Value::Map(_)) {
            return Err(Error::Compose {
                path: document.path.clone(),
                line: Some(section.place.line),
                message: "services: expected a mapping of names to services".to_owned(),
            });
        }
        let index = section.index();
        for (key, _) in section.entries() {
            let at = *known.entry(key.name.as_str()).or_insert_with(|| {
                services.push(Service::new(&key.name));
                services.len() - 1
            });
            let Some(service) = services.get_mut(at) else { continue };
            let wrong = |(line, message): Wrong| document.wrong(line, &key.name, &message);
            reserved -= service.size();
            for part in chain(document, &index, &key.name, &mut notes).map_err(|why| wrong((key.place.line, why)))? {
                service.lay_over(document, part).map_err(wrong)?;
                if reserved + service.size() > MOST_RESERVATIONS {
                    let message = format!("with it, the services reserve more than {MOST_RESERVATIONS} devices");
                    return Err(wrong((key.place.line, message)));
                }
            }
            reserved += service.size();
        }
    }
    services.retain(|service| service.reservations().next().is_some());
    for service in &services {
        service.check(vendors)?;
        service.collision().into_iter().for_each(|note| notes.add(note));
        if let Some(other) = service.runtime.as_ref().filter(|other| *other != runtime) {
            let name = Escaped::name(service.name);
            notes.add(format!("service {name}: runtime {} is replaced", Escaped::quoted(other)));
        }
    }
    match (services.is_empty(), documents.first()) {
        (true, Some(first)) => {
            let message =
                "no service reserves devices, by deploy.resources.reservations.devices, gpus or a CDI name in devices";
            Err(Error::Compose { path: first.path.clone(), line: None, message: message.to_owned() })
        }
        _ => Ok(Plan { services, runtime, notes: notes.in_order }),
    }
}

/// A service and those of the same file that it extends, first the one that extends none.
///
/// # Errors
///
/// More services than [`MOST_LEVELS`] that extend each other: nobody writes that, and every one of them would read all the others.
fn chain<'a>(
    document: &Document,
    section: &BTreeMap<&'a str, &'a (Key, Node)>,
    name: &'a str,
    notes: &mut Notes,
) -> std::result::Result<Vec<&'a Node>, String> {
    let (mut parts, mut next, mut seen) = (Vec::new(), Some(name), Vec::new());
    while let Some(name) = next.filter(|name| !seen.contains(name)) {
        let Some((_, node)) = section.get(name) else { break };
        if seen.len() == MOST_LEVELS {
            return Err(format!("more than {MOST_LEVELS} services extend one another; expected fewer"));
        }
        seen.push(name);
        parts.push(node);
        next = match node.get("extends") {
            Some(extends) if extends.get("file").is_some() => {
                let (path, line, file) = (Escaped::path(&document.path), extends.place.line, extends.get("file"));
                let file = Escaped::quoted(file.and_then(Node::text).unwrap_or_default()).to_string();
                let name = Escaped::name(name);
                notes.add(format!("{path}:{line}: service {name}: what {file} reserves is not looked at"));
                None
            }
            Some(extends) => extends.get("service").unwrap_or(extends).text(),
            None => None,
        };
    }
    parts.reverse();
    Ok(parts)
}

/// Notes in the order in which they come up, each once.
#[derive(Default)]
struct Notes {
    in_order: Vec<String>,
    seen: BTreeSet<String>,
}

impl Notes {
    fn add(&mut self, note: String) {
        if self.seen.insert(note.clone()) {
            self.in_order.push(note);
        }
    }
}

impl<'a> Service<'a> {
    fn new(name: &'a str) -> Self {
        let (devices, gpus, names, nodes) = (vec![], vec![], vec![], vec![]);
        Service {
            name,
            devices,
            gpus,
            names,
            nodes,
            runtime: None,
            replicas: None,
            lists_annotations: false,
            request: None,
        }
    }

    /// Takes in what a file, or a service that this one extends, says, over what was said before.
    fn lay_over(&mut self, document: &'a Document, node: &'a Node) -> std::result::Result<(), Wrong> {
        let found = |reservation| Found { document, reservation };
        let (clears, devices) = walk(node, &DEVICES);
        if clears {
            self.devices.clear();
        }
        if let Some(devices) = devices {
            self.devices.extend(reservation::devices(devices)?.into_iter().map(found));
        }
        let (clears, gpus) = walk(node, &["gpus"]);
        if clears {
            self.gpus.clear();
        }
        if let Some(gpus) = gpus {
            self.gpus.extend(reservation::gpus(gpus)?.into_iter().map(found));
        }
        let (clears, listed) = walk(node, &["devices"]);
        if clears {
            self.names.clear();
            self.nodes.clear();
        }
        for entry in listed.map(named::entries).unwrap_or_default() {
            match entry {
                Entry::Name(reservation) => self.names.push(found(reservation)),
                Entry::Node(node) => self.nodes.push(node),
            }
        }
        let (clears, runtime) = walk(node, &["runtime"]);
        if clears || runtime.is_some() {
            self.runtime = runtime.and_then(Node::text).map(str::to_owned);
        }
        for path in [&["deploy", "replicas"][..], &["scale"]] {
            let replicas = walk(node, path).1.and_then(|node| node.json().as_u64());
            self.replicas = replicas.or(self.replicas);
        }
        let (clears, annotations) = walk(node, &["annotations"]);
        if clears {
            (self.request, self.lists_annotations) = (None, false);
        }
        if let Some(annotations) = annotations.filter(|node| !node.is_null()) {
            self.lists_annotations = matches!(annotations.value, Value::List(_));
            self.request = request_line(annotations).map(|line| (document, line)).or(self.request);
        }
        Ok(())
    }

    /// How many entries of lists it holds.
    fn size(&self) -> usize {
        self.devices.len() + self.gpus.len() + self.names.len() + self.nodes.len()
    }

    pub(super) fn reservations(&self) -> impl Iterator<Item = &Found<'a>> {
        self.devices.iter().chain(&self.gpus).chain(&self.names)
    }

    /// The annotation's value.
    pub(super) fn value(&self) -> String {
        value::of(&self.reservations().map(|found| &found.reservation.entry).collect::<Vec<_>>())
    }

    /// A note where all replicas reserve the same devices by name, which a count would spread.
    fn collision(&self) -> Option<String> {
        let replicas = self.replicas.filter(|replicas| *replicas > 1)?;
        let ids = self.reservations().filter_map(|found| found.reservation.entry.get("device_ids")?.as_array());
        let ids: Vec<&str> = ids.flatten().filter_map(Json::as_str).filter(|id| *id != "all").collect();
        (!ids.is_empty()).then(|| {
            let (name, ids) = (Escaped::name(self.name), ids.join(", "));
            let ids = Escaped::name(&ids);
            format!(
                "service {name}: its {replicas} replicas share {ids}; with a count each replica gets the devices that fewest \
                 containers hold"
            )
        })
    }

    /// Whether gpu-runc will understand each reservation, and that nothing else asks for the service already.
    fn check(&self, vendors: Vendors) -> Result<()> {
        if let Some((document, line)) = self.request {
            let message = format!("it has the annotation {ANNOTATION} beside its reservations; keep one of the two");
            return Err(document.wrong(line, self.name, &message));
        }
        for Found { document, reservation } in self.reservations().filter(|found| !found.reservation.has_variables()) {
            let value = value::of(&[&reservation.entry]);
            understood(&value, vendors).map_err(|message| document.wrong(reservation.line, self.name, &message))?;
        }
        // Each alone is understood; together they may be too many.
        let first =
            self.reservations().next().filter(|_| !self.reservations().any(|found| found.reservation.has_variables()));
        first.map_or(Ok(()), |first| {
            let wrong = |message: String| first.document.wrong(first.reservation.line, self.name, &message);
            understood(&self.value(), vendors).map_err(wrong)
        })
    }
}

/// Whether a container with the annotation would be understood; if not, why.
fn understood(value: &str, vendors: Vendors) -> std::result::Result<(), String> {
    let view = View { annotations: vec![(ANNOTATION.into(), value.into())], ..View::default() };
    match Request::from_spec(&view, &Policy::default(), vendors) {
        Ok(_) => Ok(()),
        Err(Error::Request { message, .. }) => Err(message),
        Err(error) => Err(error.to_string()),
    }
}

/// What is at the end of `path`, unless it is reset; and whether what earlier files say there no longer counts.
fn walk<'a>(node: &'a Node, path: &[&str]) -> (bool, Option<&'a Node>) {
    let (mut node, mut clears) = (node, false);
    for name in [None].into_iter().chain(path.iter().map(Some)) {
        if let Some(name) = name {
            let Some(next) = node.get(name) else { return (clears, None) };
            node = next;
        }
        clears |= node.tag.is_some();
        if node.tag == Some(Tag::Reset) {
            return (true, None);
        }
    }
    (clears, Some(node))
}

/// The line of the annotation that gpu-runc reads.
fn request_line(annotations: &Node) -> Option<usize> {
    match &annotations.value {
        Value::List(items) => {
            let asks = |item: &&Node| {
                item.text().and_then(|text| text.split_once('=')).is_some_and(|(key, _)| key == ANNOTATION)
            };
            items.iter().find(asks).map(|item| item.place.line)
        }
        _ => annotations.entry(ANNOTATION).map(|(key, _)| key.place.line),
    }
}
