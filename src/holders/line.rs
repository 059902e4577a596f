//! Lines of a table: fields between tabs, each without a tab, a line feed or a control character in it.
//!
//! Pure. What is read here is trusted for nothing: a line that is not of this form is no record.

use std::borrow::Cow;
use std::fmt::Write;

/// The fields of a line.
pub(super) struct Fields<'a>(std::str::Split<'a, char>);

impl<'a> Fields<'a> {
    pub(super) fn of(line: &'a str) -> Self {
        Fields(line.split('\t'))
    }

    /// The next field as it stands.
    pub(super) fn word(&mut self) -> Option<&'a str> {
        self.0.next()
    }

    /// The next field as a number.
    pub(super) fn number<T: std::str::FromStr>(&mut self) -> Option<T> {
        // Not `+1`, which parses too: a number has one spelling.
        self.word().filter(|word| word.starts_with(|c: char| c.is_ascii_digit()))?.parse().ok()
    }

    /// The next field as a text.
    pub(super) fn text(&mut self) -> Option<Cow<'a, str>> {
        unescaped(self.word()?)
    }

    /// Whether no field is left.
    pub(super) fn is_at_end(&mut self) -> bool {
        self.0.next().is_none()
    }
}

/// Adds `text` as a field after what is in `line`.
pub(super) fn push_text(line: &mut String, text: &str) {
    line.push('\t');
    for c in text.chars() {
        match c {
            '\\' => line.push_str("\\\\"),
            // Line and paragraph separators are no control characters to Rust, but end lines elsewhere.
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
                // Writing to a String cannot fail.
                let _ = write!(line, "\\u{:04x}", u32::from(c));
            }
            c => line.push(c),
        }
    }
}

/// Adds a number as a field after what is in `line`.
pub(super) fn push_number(line: &mut String, number: u64) {
    let _ = write!(line, "\t{number}");
}

fn unescaped(field: &str) -> Option<Cow<'_, str>> {
    if field.chars().any(char::is_control) {
        return None;
    }
    if !field.contains('\\') {
        return Some(Cow::Borrowed(field));
    }
    let mut text = String::with_capacity(field.len());
    let mut rest = field;
    while let Some((before, after)) = rest.split_once('\\') {
        text.push_str(before);
        rest = match after.strip_prefix('\\') {
            Some(after) => {
                text.push('\\');
                after
            }
            None => {
                let digits = after.strip_prefix('u')?.get(..4)?;
                // Not `+041`, which parses too.
                let number = digits.chars().try_fold(0, |number, c| Some(number * 16 + c.to_digit(16)?))?;
                text.push(char::from_u32(number)?);
                after.get(5..)?
            }
        };
    }
    text.push_str(rest);
    Some(Cow::Owned(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_comes_back_as_it_was_and_stays_on_its_line() {
        for text in ["", "a", "a b", "a\tb\nc", "\\", "\\u0041", "\u{1b}[31m", "ü\u{2028}", "\u{85}", "\\\\n"] {
            let mut line = String::from("x");
            push_text(&mut line, text);
            assert_eq!(line.lines().count(), 1, "{text:?}");
            assert!(!line.chars().skip(2).any(char::is_control), "{line:?}");
            let mut fields = Fields::of(&line);
            assert_eq!(fields.word(), Some("x"));
            assert_eq!(fields.text().as_deref(), Some(text), "{line:?}");
            assert!(fields.is_at_end());
        }
    }

    #[test]
    fn what_is_no_field_is_refused() {
        for field in ["\\", "\\x", "\\u", "\\u12", "\\u12g4", "\\ud800", "a\u{7}", "\\u+041"] {
            assert_eq!(unescaped(field), None, "{field:?}");
        }
        for (field, number) in
            [("1", Some(1)), ("", None), ("-1", None), ("+1", None), ("1x", None), ("4294967296", None)]
        {
            assert_eq!(Fields::of(field).number::<u32>(), number, "{field:?}");
        }
    }
}
