//! What is wrong with a text: the line where one can be named, the field, and what would be right.
//!
//! Turns the JSON reader's errors into such faults; the reader itself knows lines but no fields. Knows nothing of files.

use super::version::Version;
use crate::error::Escaped;

/// One thing that is wrong with a CDI text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The line, counted from 1, where one can be named.
    pub line: Option<usize>,
    /// The field, what is wrong with it and what would be right.
    pub message: String,
}

impl Fault {
    /// A fault of the text as a whole.
    pub fn of_the_whole(message: impl Into<String>) -> Self {
        Fault { line: None, message: message.into() }
    }

    /// What the JSON reader found in the part of `text` that begins at `start`.
    pub(super) fn in_json(text: &str, start: usize, error: &serde_json::Error) -> Self {
        let part = text.get(start..).unwrap_or_default();
        let before_line: usize = part.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
        // Columns are told in bytes, and one may be in the midst of a character.
        let end = text.floor_char_boundary(start + before_line + error.column());
        let before = text.get(..end).unwrap_or(text);
        let full = error.to_string();
        let cause = full.rsplit_once(" at line ").map_or(full.as_str(), |(cause, _)| cause);
        let field = field_at(before);
        let separator = if field.is_empty() { "" } else { ": " };
        Fault {
            line: Some(line_at(text, before.len())),
            message: format!("{}{separator}{}", Escaped::name(&field), in_our_words(cause)),
        }
    }
}

/// The line, counted from 1, of the byte at `offset`.
pub(super) fn line_at(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

/// Serde's message in the words that people find when they search for a CDI error.
pub(super) fn in_our_words(cause: &str) -> String {
    const LONGEST: usize = 400;
    let one_line: String = cause.chars().take(LONGEST).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if let Some(key) = one_line.strip_prefix("duplicate field `").and_then(|rest| rest.strip_suffix('`')) {
        return already_set(key);
    }
    let is_unknown = one_line.starts_with("unknown field");
    let version = if is_unknown { format!(" in CDI {}", Version::HIGHEST) } else { String::new() };
    one_line.replace('`', "\"") + &version
}

/// A member that is there twice.
pub(super) fn already_set(key: &str) -> String {
    format!("key {} already set", Escaped::quoted(key))
}

/// The field that is being read where a JSON text ends that was cut off: `devices[2].containerEdits.mounts[0]`.
fn field_at(before: &str) -> String {
    enum Step<'a> {
        Member(&'a str),
        Item(usize),
    }
    let mut steps = Vec::new();
    let mut string = "";
    let mut bytes = before.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => {
                let mut escaped = false;
                let end = bytes.find(|(_, byte)| {
                    let closes = *byte == b'"' && !escaped;
                    escaped = *byte == b'\\' && !escaped;
                    closes
                });
                string = end.and_then(|(end, _)| before.get(at + 1..end)).unwrap_or_default();
            }
            b'{' => steps.push(Step::Member("")),
            b'[' => steps.push(Step::Item(0)),
            b'}' | b']' => drop(steps.pop()),
            b':' => {
                if let Some(Step::Member(name)) = steps.last_mut() {
                    *name = string;
                }
            }
            b',' => match steps.last_mut() {
                Some(Step::Member(name)) => *name = "",
                Some(Step::Item(index)) => *index += 1,
                None => {}
            },
            _ => {}
        }
    }
    let mut field = String::new();
    for step in steps {
        match step {
            Step::Member("") => {}
            Step::Member(name) if field.is_empty() => field.push_str(name),
            Step::Member(name) => field = format!("{field}.{name}"),
            Step::Item(index) => field = format!("{field}[{index}]"),
        }
    }
    field
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cdi::Spec;

    #[test]
    fn a_fault_names_the_line_the_field_and_the_cause() {
        for (text, line, message) in [
            ("{\n\"kind\": 7", 2, "kind: invalid type: integer \"7\", expected a string"),
            ("{\"kind\":\"acme.example/npu\",\"zz\":1}", 1, "unknown field \"zz\", expected one of"),
            ("{\"kind\":\"acme.example/npu\",\n\"kind\":\"b\"}", 2, "key \"kind\" already set"),
            ("{\"devices\":[{\"name\":\"a,]\\\"}\"},\n{\"name\":null}]}", 2, "devices[1].name: invalid type: null"),
            (
                "{\"devices\":[{\"name\":\"a\",\"containerEdits\":{\"mounts\":[{\"hostPath\":\"/h\",\"ro\":1}]}}]}",
                1,
                "devices[0].containerEdits.mounts[0]: unknown field \"ro\", expected one of \"hostPath\"",
            ),
            (
                "{\"containerEdits\":{\"deviceNodes\":[{\"path\":\"/a\"},\n{\"major\":1}]}}",
                2,
                "containerEdits.deviceNodes[1]: missing field \"path\"",
            ),
            ("{\"containerEdits\":{\"hooks\":[null]}}", 1, "containerEdits.hooks[0]: invalid type: null"),
            ("{\"containerEdits\":{\"additionalGids\":[1,-4]}}", 1, "containerEdits.additionalGids[1]: invalid value"),
            ("{\"annotations\":7}", 1, "annotations: invalid type: integer \"7\", expected a map of strings"),
            ("{\"kind\":\n\u{3a5}\n}\n\n", 2, "kind: expected value"),
        ] {
            let fault = Fault::in_json(text, 0, &serde_json::from_str::<Spec>(text).unwrap_err());
            assert_eq!(fault.line, Some(line), "{text}");
            assert!(fault.message.starts_with(message), "{text}: {}", fault.message);
        }
    }

    #[test]
    fn a_field_is_named_on_one_line_and_in_few_words() {
        let long = "y".repeat(1000);
        for (name, shown) in [("\u{7f}", "containerEdits.\\u{7f}: "), (long.as_str(), "yyy…: ")] {
            let text = format!("{{\"cdiVersion\":\"0.5.0\",\"devices\":[{{\"containerEdits\":{{\"{name}\":x");
            let faults = crate::cdi::parse(&text).unwrap_err();
            assert!(faults.iter().any(|fault| fault.message.contains(shown)), "{faults:?}");
        }
    }
}
