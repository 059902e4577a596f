//! Compose files as trees of nodes that know where in the text they stand, read by serde-saphyr within limits.
//!
//! Knows that crate, and nothing of what compose means by the nodes.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value as Json;
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::options::DuplicateKeyPolicy;
use serde_saphyr::{DefaultMessageFormatter, Error, Location, MessageFormatter, Spanned, Tagged, budget, options};

/// A part of the text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Its line, counted from 1.
    pub line: usize,
    /// Its first byte; for a mapping in block style that of its first key, in flow style that of the brace.
    pub start: usize,
    /// Its bytes, where it is a scalar.
    pub length: usize,
    /// Whether it is used elsewhere than it stands, by an alias or a merge.
    pub is_borrowed: bool,
}

/// A value, and where it is defined.
#[derive(Debug)]
pub(super) struct Node {
    pub value: Value,
    /// What compose's own tags say of it.
    pub tag: Option<Tag>,
    pub place: Place,
}

/// What compose's own tags say of a value in one of several files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tag {
    /// `!reset`: neither it nor what earlier files say counts.
    Reset,
    /// `!override`: it counts in place of what earlier files say.
    Override,
}

/// The key of an entry.
#[derive(Debug)]
pub(super) struct Key {
    pub name: String,
    pub place: Place,
}

/// What a node holds. Aliases and merges are followed.
#[derive(Debug)]
pub(super) enum Value {
    Scalar(Json),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

impl Node {
    /// The entries of a mapping; none of anything else.
    pub(super) fn entries(&self) -> &[(Key, Node)] {
        if let Value::Map(entries) = &self.value { entries } else { &[] }
    }

    /// The entry of that name.
    pub(super) fn entry(&self, name: &str) -> Option<&(Key, Node)> {
        self.entries().iter().find(|(key, _)| key.name == name)
    }

    /// The value of that name.
    pub(super) fn get(&self, name: &str) -> Option<&Node> {
        self.entry(name).map(|(_, node)| node)
    }

    /// The entries of a mapping by their names, for a mapping of which many entries are looked up.
    pub(super) fn index(&self) -> BTreeMap<&str, &(Key, Node)> {
        self.entries().iter().map(|entry| (entry.0.name.as_str(), entry)).collect()
    }

    /// A string's text.
    pub(super) fn text(&self) -> Option<&str> {
        if let Value::Scalar(scalar) = &self.value { scalar.as_str() } else { None }
    }

    /// Whether there is nothing, as in `key:`.
    pub(super) fn is_null(&self) -> bool {
        matches!(self.value, Value::Scalar(Json::Null))
    }

    /// The value without its places.
    pub(super) fn json(&self) -> Json {
        match &self.value {
            Value::Scalar(scalar) => scalar.clone(),
            Value::List(items) => items.iter().map(Node::json).collect(),
            Value::Map(entries) => entries.iter().map(|(key, node)| (key.name.clone(), node.json())).collect(),
        }
    }
}

/// Reads one document. Anchors and aliases may not multiply the text beyond bounds.
///
/// # Errors
///
/// The line, where one can be named, and what is wrong.
pub(super) fn read(text: &str) -> Result<Node, (Option<usize>, String)> {
    let options = options! {
        budget: budget! { max_depth: 32, max_nodes: 500_000, max_aliases: 1000, max_documents: 1 },
        duplicate_keys: DuplicateKeyPolicy::Error,
        strict_booleans: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let message = match error.without_snippet() {
            Error::Budget { breach: BudgetBreach::Documents { .. }, .. } => {
                "more than one document; give each a file of its own".to_owned()
            }
            error => DefaultMessageFormatter.format_message(error).replace('`', "\""),
        };
        let line = error.location().and_then(|location| usize::try_from(location.line()).ok());
        (line, message.chars().take(400).map(|c| if c.is_control() { ' ' } else { c }).collect())
    })
}

fn place(referenced: Location, defined: Location) -> Place {
    let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let span = defined.span();
    Place {
        line: number(defined.line()),
        start: number(span.byte_offset().unwrap_or(u64::MAX)),
        length: number(span.byte_len().unwrap_or_default()),
        is_borrowed: referenced != defined,
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Spanned { value: Tagged(value, tag), referenced, defined } = Spanned::deserialize(deserializer)?;
        let tag = match tag.as_deref() {
            Some("!reset") => Some(Tag::Reset),
            Some("!override") => Some(Tag::Override),
            _ => None,
        };
        Ok(Node { value, tag, place: place(referenced, defined) })
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Spanned { value, referenced, defined } = Spanned::deserialize(deserializer)?;
        Ok(Key { name: value, place: place(referenced, defined) })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Scalar(Json::Null))
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Scalar(Json::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Scalar(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Scalar(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Scalar(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Value::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_know_where_they_are_defined_through_aliases_and_merges() {
        let text = "a: &a\n  \"k\": v # ü\nb: *a\nc:\n  <<: *a\n  k: own\n";
        let root = read(text).unwrap();
        for (name, line, is_borrowed) in [("a", 2, false), ("b", 2, true), ("c", 6, false)] {
            let (key, node) = root.get(name).unwrap().entry("k").unwrap();
            assert_eq!((key.place.line, key.place.is_borrowed), (line, is_borrowed), "{name}");
            assert_eq!(node.place.is_borrowed, is_borrowed);
            let written = |place: Place| text.get(place.start..place.start + place.length).unwrap();
            assert!(matches!(written(key.place), "\"k\"" | "k"), "{name}");
            assert_eq!(written(node.place), node.text().unwrap(), "{name}");
        }
        assert_eq!(root.get("c").unwrap().entries().len(), 1, "an own key wins over a merged one");
    }

    #[test]
    fn values_are_those_of_yaml_1_2_and_compose_tags_are_seen() {
        let root = read("{a: y, b: true, c: '1', d: 1, e: , f: !reset x, g: !override [z], 80: !x 0.5}").unwrap();
        let json =
            serde_json::json!({"a": "y", "b": true, "c": "1", "d": 1, "e": null, "f": "x", "g": ["z"], "80": 0.5});
        assert_eq!(root.json(), json);
        let tag = |name: &str| root.get(name).unwrap().tag;
        assert_eq!((tag("f"), tag("g"), tag("80")), (Some(Tag::Reset), Some(Tag::Override), None));
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_line() {
        for (text, line, message) in [
            ("a:\n  - b\n - c", Some(3), ""),
            ("a: 1\na: 2", Some(2), "duplicate"),
            ("a: *b", Some(1), ""),
            ("c: 1\n---\nd: 1", None, "more than one document; give each a file of its own"),
        ] {
            let (at, wrong) = read(text).unwrap_err();
            assert!((line.is_none() || at == line) && wrong.contains(message), "{text:?}: {at:?} {wrong}");
        }
        let mut bomb = "a0: &a0 [x, x]\n".to_owned();
        for level in 1..40 {
            let below = level - 1;
            bomb.push_str(&format!("a{level}: &a{level} [*a{below}, *a{below}, *a{below}, *a{below}]\n"));
        }
        assert!(read(&bomb).is_err(), "aliases may not multiply without bounds");
        for deep in ["[".repeat(60_000), "- ".repeat(60) + "a: b"] {
            assert!(read(&deep).is_err(), "deep nesting is refused, not followed");
        }
    }
}
