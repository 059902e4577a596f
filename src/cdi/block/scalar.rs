//! Scalars on one line that can mean one thing, rewritten as JSON.

use super::Shape;

/// Writes `"name":`. The name holds nothing that JSON escapes.
pub(super) fn push_name(json: &mut String, name: &str) {
    json.push('"');
    json.push_str(name);
    json.push_str("\":");
}

/// Writes the scalar `text` as `shape` has it.
pub(super) fn push(json: &mut String, text: &str, shape: Shape) -> Option<()> {
    let is_verbatim = match shape {
        Shape::Text => return push_text(json, text),
        Shape::Number => is_number(text),
        Shape::Flag => ["true", "false"].contains(&text),
        Shape::Annotations | Shape::One(_) | Shape::Many(_) => false,
    };
    is_verbatim.then(|| json.push_str(text))
}

/// An annotation's key, where it is a plain one.
pub(super) fn annotation_key(key: &str) -> Option<&str> {
    let is_plain = key.starts_with(|c: char| c.is_ascii_alphabetic())
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte))
        && !is_null(key);
    is_plain.then_some(key)
}

fn push_text(json: &mut String, text: &str) -> Option<()> {
    json.push('"');
    if let Some(quoted) = text.strip_prefix('"') {
        push_double_quoted(json, quoted.strip_suffix('"')?)?;
    } else if let Some(quoted) = text.strip_prefix('\'') {
        push_single_quoted(json, quoted.strip_suffix('\'')?)?;
    } else if is_plain(text) {
        push_escaped(json, text);
    } else {
        return None;
    }
    json.push('"');
    Some(())
}

/// Whether an unquoted scalar is a text and nothing else: no indicator, no comment, no mapping, no null.
fn is_plain(text: &str) -> bool {
    let begins_well = match text.strip_prefix('-') {
        Some(rest) => rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '-'),
        None => text.starts_with(|c: char| c.is_ascii_alphanumeric() || "/._".contains(c)),
    };
    let breaks_off = || text.as_bytes().windows(2).any(|pair| pair == b": " || pair == b" #");
    begins_well && !text.ends_with(':') && !is_null(text) && !breaks_off()
}

fn is_null(text: &str) -> bool {
    text.eq_ignore_ascii_case("null")
}

/// Whether `text` is a decimal number that no reader takes for an octal one.
fn is_number(text: &str) -> bool {
    const LONGEST: usize = 18;
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_decimal = !digits.is_empty() && digits.len() <= LONGEST && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_decimal && (text == "0" || !digits.starts_with('0'))
}

/// JSON and YAML share these escapes; others are left to a YAML reader.
fn push_double_quoted(json: &mut String, inner: &str) -> Option<()> {
    let mut bytes = inner.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return None,
            b'\\' if !matches!(bytes.next(), Some(b'"' | b'\\' | b'/' | b'n' | b'r' | b't')) => return None,
            _ => {}
        }
    }
    json.push_str(inner);
    Some(())
}

/// A quote is written twice here, and that is the only escape.
fn push_single_quoted(json: &mut String, inner: &str) -> Option<()> {
    if inner.replace("''", "").contains('\'') {
        return None;
    }
    push_escaped(json, &inner.replace("''", "'"));
    Some(())
}

fn push_escaped(json: &mut String, text: &str) {
    if !text.bytes().any(|byte| matches!(byte, b'"' | b'\\')) {
        json.push_str(text);
        return;
    }
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            json.push('\\');
        }
        json.push(c);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_one_thing_is_read_and_all_other_is_left_alone() {
        for (text, shape, read) in [
            ("--link", Shape::Text, Some("\"--link\"")),
            ("-1.5", Shape::Text, Some("\"-1.5\"")),
            ("-", Shape::Text, None),
            ("Null", Shape::Text, None),
            ("\"a\" b\"", Shape::Text, None),
            ("\"a\\tb\"", Shape::Text, Some("\"a\\tb\"")),
            ("999999999999999999", Shape::Number, Some("999999999999999999")),
            ("1999999999999999999", Shape::Number, None),
            ("010", Shape::Number, None),
            ("yes", Shape::Flag, None),
        ] {
            let mut json = String::new();
            assert_eq!(push(&mut json, text, shape).map(|()| json.as_str()), read, "{text}");
        }
    }
}
