//! The entries of a service's `devices` that are CDI names, told apart from the nodes beside them.
//!
//! Pure. Docker Compose hands such names to Docker's own CDI, podman-compose to podman's; nerdctl takes them for paths.

use serde_json::{Value as Json, json};

use super::reservation::Reservation;
use super::yaml::{Node, Value};
use crate::cdi::QualifiedName;

/// An entry of `devices`: a reservation, or what stands there for anything else.
pub(super) enum Entry {
    Name(Reservation),
    Node(Json),
}

/// Reads the list. What is no list is left to compose.
pub(super) fn entries(node: &Node) -> Vec<Entry> {
    let Value::List(items) = &node.value else { return Vec::new() };
    let read = |item: &Node| match name(item) {
        Some(name) => Entry::Name(Reservation {
            line: item.place.line,
            entry: json!({"driver": "cdi", "device_ids": [name]}),
            is_complete: true,
        }),
        None => Entry::Node(item.json()),
    };
    items.iter().map(read).collect()
}

/// The name, as Docker Compose sees it: one that is mapped to nothing but itself.
fn name(item: &Node) -> Option<&str> {
    let (source, target) = match &item.value {
        Value::Map(_) => (item.get("source")?.text()?, item.get("target").map(Node::text)),
        _ => (item.text()?, None),
    };
    let is_own = target.is_none_or(|target| target == Some(source));
    (is_own && source.parse::<QualifiedName>().is_ok()).then_some(source)
}

#[cfg(test)]
mod tests {
    use super::super::yaml;
    use super::*;

    #[test]
    fn names_are_told_from_nodes() {
        for (item, expected) in [
            ("nvidia.com/gpu=0", Some("nvidia.com/gpu=0")),
            ("acme.example/npu=all", Some("acme.example/npu=all")),
            ("{source: nvidia.com/gpu=0}", Some("nvidia.com/gpu=0")),
            ("{source: nvidia.com/gpu=0, target: nvidia.com/gpu=0, permissions: rw}", Some("nvidia.com/gpu=0")),
            ("{source: nvidia.com/gpu=0, target: /dev/x}", None),
            ("nvidia.com/gpu=0:/dev/x", None),
            ("/dev/nvidia0", None),
            ("/dev/a/b=c", None),
            ("'${GPU}'", None),
            ("0", None),
        ] {
            let list = yaml::read(&format!("[{item}]")).unwrap();
            let [entry] = &entries(&list)[..] else { panic!("{item}") };
            match (entry, expected) {
                (Entry::Name(found), Some(name)) => assert_eq!(found.entry["device_ids"], json!([name])),
                (Entry::Node(kept), None) => assert_eq!(json!([kept]), list.json()),
                _ => panic!("{item}"),
            }
        }
        assert!(entries(&yaml::read("all").unwrap()).is_empty());
    }
}
