//! Block YAML laid out as Go's writer does: four columns a step, members in their order, quotes where they are needed.
//!
//! Knows JSON text and nothing of CDI.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

const STEP: usize = 4;

/// The document that `json` is, with its members in their order.
enum Node {
    /// A scalar as YAML has it.
    Scalar(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

/// The YAML document that says what `json` says.
pub(super) fn to_yaml(json: &str) -> String {
    let mut yaml = "---\n".to_owned();
    if let Ok(node) = serde_json::from_str::<Node>(json) {
        node.write(&mut yaml, 0);
    }
    yaml
}

impl Node {
    /// Writes the lines of a node whose first column is already reached; the following lines are indented by `column`.
    fn write(&self, yaml: &mut String, column: usize) {
        match self {
            Node::Scalar(text) => {
                yaml.push_str(text);
                yaml.push('\n');
            }
            Node::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    indent(yaml, index, column);
                    yaml.push_str("- ");
                    item.write(yaml, column + 2);
                }
            }
            Node::Map(members) => {
                for (index, (name, value)) in members.iter().enumerate() {
                    indent(yaml, index, column);
                    yaml.push_str(&scalar(name));
                    value.write_below(yaml, column);
                }
            }
        }
    }

    /// Writes the value of a member of a mapping at `column`.
    fn write_below(&self, yaml: &mut String, column: usize) {
        // The next stop, also below a list's item, which stands between two of them.
        let below = (column / STEP + 1) * STEP;
        match self {
            Node::List(items) if items.is_empty() => yaml.push_str(": []\n"),
            Node::Map(members) if members.is_empty() => yaml.push_str(": {}\n"),
            Node::Scalar(_) => {
                yaml.push_str(": ");
                self.write(yaml, column);
            }
            Node::List(_) | Node::Map(_) => {
                yaml.push_str(":\n");
                indent(yaml, 1, below);
                self.write(yaml, below);
            }
        }
    }
}

/// Indents every entry but the first, whose place is reached already.
fn indent(yaml: &mut String, index: usize, column: usize) {
    if index > 0 {
        yaml.extend(std::iter::repeat_n(' ', column));
    }
}

/// A text as YAML has it: bare where no reader of any version takes it for something else, in JSON's quotes otherwise.
fn scalar(text: &str) -> String {
    if is_bare(text) {
        return text.to_owned();
    }
    // JSON's quotes let through what some reader of YAML refuses, or takes for the end of a line.
    let is_refused =
        |c| matches!(c, '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}');
    let mut scalar = String::new();
    for c in serde_json::Value::from(text).to_string().chars() {
        match is_refused(c) {
            true => scalar.push_str(&format!("\\u{:04x}", u32::from(c))),
            false => scalar.push(c),
        }
    }
    scalar
}

fn is_bare(text: &str) -> bool {
    const WORDS: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    let begins_well = text.starts_with(|c: char| c.is_ascii_alphabetic() || "/_".contains(c)) || is_version(text);
    begins_well
        && text.bytes().all(|byte| matches!(byte, b'!'..=b'~' | b' ') && !b"\"'\\`".contains(&byte))
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.ends_with([':', ' '])
        && !WORDS.iter().any(|word| word.eq_ignore_ascii_case(text))
}

/// Digits with two dots: no number in any version of YAML.
fn is_version(text: &str) -> bool {
    text.split('.').count() == 3
        && text.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(InOrder)
    }
}

struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Scalar(scalar(text)))
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Node, E> {
        Ok(Node::Scalar(flag.to_string()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Node, E> {
        Ok(Node::Scalar(number.to_string()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Node, E> {
        Ok(Node::Scalar(number.to_string()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = from.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Node, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = from.next_entry()? {
            members.push(member);
        }
        Ok(Node::Map(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_empty_stands_on_its_line() {
        let json = r#"{"a":[],"b":{},"c":[{"d":[],"e":true}],"f":[],"g":-1}"#;
        assert_eq!(to_yaml(json), "---\na: []\nb: {}\nc:\n    - d: []\n      e: true\nf: []\ng: -1\n");
    }

    #[test]
    fn only_texts_that_can_mean_one_thing_are_bare() {
        for bare in ["a", "/dev/npu0", "A=1", "1.1.0", "acme.example/npu", "a b", "a#b", "a:b", "NPU-1f:2"] {
            assert_eq!(scalar(bare), bare);
        }
        for quoted in [
            "", "0", "010", "1.5", "1e3", "on", "Yes", "n", "NULL", "~", "-x", "a: b", "a #b", "a:", " a", "a ", "é",
            "*a", "a\nb", "*a.b.c", "1..2",
        ] {
            assert_eq!(scalar(quoted), serde_json::Value::from(quoted).to_string());
        }
        for c in [
            '\u{7f}', '\u{80}', '\u{85}', '\u{9f}', '\u{a0}', '\u{2028}', '\u{2029}', '\u{feff}', '\u{fffe}',
            '\u{ffff}',
        ] {
            let name = format!("/dev/{c}");
            let text = format!(
                "cdiVersion: 0.3.0\nkind: a.b/c\ndevices:\n- name: a\n  containerEdits:\n    deviceNodes:\n    - path: {}\n",
                scalar(&name)
            );
            let read =
                crate::cdi::parse(&text).map(|spec| spec.devices[0].container_edits.device_nodes[0].path.clone());
            assert_eq!(read, Ok(name), "{text}");
        }
    }
}
