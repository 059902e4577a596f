//! What is wrong with a configuration file, and where.
//!
//! Pure. Knows TOML and none of the keys.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use crate::error::{Error, Escaped, nearest};

/// The line in `text` of a dotted key; of a table that comes several times, in that of this number.
pub fn line_of(text: &str, key: &str, number: usize) -> Option<usize> {
    let root = DeTable::parse(text).ok()?;
    let (mut table, mut start) = (root.get_ref(), None);
    for name in key.split('.') {
        let (key, value) = table.iter().find(|(key, _)| key.get_ref() == name)?;
        start = Some(key.span().start);
        match value.get_ref() {
            DeValue::Table(inner) => table = inner,
            DeValue::Array(items) => {
                if let Some(DeValue::Table(inner)) = items.get(number).map(|item| item.get_ref()) {
                    start = items.get(number).map(|item| item.span().start);
                    table = inner;
                }
            }
            _ => {}
        }
    }
    start.map(|start| line_at(text, start))
}

/// The line, counted from 1, of the byte at `start`.
pub(super) fn line_at(text: &str, start: usize) -> usize {
    1 + text.bytes().take(start).filter(|byte| *byte == b'\n').count()
}

/// What the TOML reader says of `text`.
pub(super) fn syntax(text: &str, path: &Path, cause: &toml::de::Error) -> Error {
    let line = cause.span().map(|span| line_at(text, span.start));
    Error::Config { path: path.to_owned(), line, message: explained(cause.message()) }
}

/// A message of the TOML reader; for an unknown key with a suggestion.
fn explained(message: &str) -> String {
    let message = message.trim_end();
    let mut words = message.split('`').skip(1).step_by(2);
    match (message.starts_with("unknown field"), words.next()) {
        (true, Some(wrong)) => match nearest(wrong, words) {
            Some(meant) => format!("unknown key {}, did you mean \"{meant}\"?", Escaped::quoted(wrong)),
            None => message.replace("field", "key").replace('\n', " "),
        },
        _ => message.replace('\n', " "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_where_they_stand() {
        let text = "a.b = 1\n[c]\nd = [\n1]\n[[e]]\nf = 1\n\n[[e]]\nf = 2\n";
        for (key, number, line) in [
            ("a.b", 0, Some(1)),
            ("c", 0, Some(2)),
            ("c.d", 0, Some(3)),
            ("e", 0, Some(5)),
            ("e.f", 0, Some(6)),
            ("e", 1, Some(8)),
            ("e.f", 1, Some(9)),
            ("c.x", 0, None),
        ] {
            assert_eq!(line_of(text, key, number), line, "{key} {number}");
        }
        assert_eq!(line_of("a = ", "a", 0), None);
    }
}
