//! What gpu-ctk writes to stdout and stderr. The only file of gpu-ctk that writes to either.
//!
//! Text for a user is escaped: names of devices, containers, files and processes come from outside.

#![allow(clippy::print_stderr, reason = "gpu-ctk prints here and nowhere else")]

use std::fmt::{Display, Write as _};
use std::io::{self, Write};

use serde_json::Value;

use crate::error::{Error, Escaped, Result, is_unfit};

/// Writes one line to stderr: a warning, or what is about to happen.
pub(super) fn note(message: &dyn Display) {
    eprintln!("gpu-ctk: {}", Escaped::message(message));
}

/// Writes `error` to stderr. An error escapes itself, and one kind of error has several lines.
pub(super) fn failure(error: &Error) {
    eprintln!("gpu-ctk: {error}");
}

/// Reports on stdout what has been done. If stdout cannot be written, the work goes on.
pub(super) fn print(text: &str) {
    let _ = answer(text);
}

/// Writes lines of text to stdout. Errors are those of [`document`].
pub(super) fn answer(text: &str) -> Result<()> {
    document(&lines(text))
}

/// Writes `value` to stdout, with characters that are unfit for a terminal as JSON's own escapes.
pub(super) fn json(value: &Value) -> Result<()> {
    document(&json_text(value))
}

/// Writes a file's text, or text that is escaped already, to stdout as it is. A reader that has gone away is not an error. A full
/// disk is: half an answer must not pass for a whole one.
pub(super) fn document(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    or_gone(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// Success if `written` failed only because the reader has gone away.
pub(super) fn or_gone(written: io::Result<()>) -> Result<()> {
    match written {
        Err(cause) if cause.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::Io { doing: "write to the standard output".to_owned(), cause })
        }
        _ => Ok(()),
    }
}

/// Clears the terminal, for text that is shown again and again.
pub(super) fn clear() -> Result<()> {
    document("\u{1b}[H\u{1b}[J")
}

/// `text` with all but its line ends and tabs escaped.
fn lines(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if is_unfit(c) && !['\n', '\t'].contains(&c) => escaped.extend(c.escape_default()),
            c => escaped.push(c),
        }
    }
    escaped
}

fn json_text(value: &Value) -> String {
    let mut text = String::new();
    for c in format!("{value:#}\n").chars() {
        match c {
            '\n' => text.push(c),
            c if is_unfit(c) => {
                let mut units = [0; 2];
                c.encode_utf16(&mut units).iter().for_each(|unit| {
                    let _ = write!(text, "\\u{unit:04x}");
                });
            }
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_for_a_terminal_keeps_its_lines_and_nothing_else_that_moves_the_cursor() {
        assert_eq!(lines("a\tb\n\n\u{1b}[2J\r\u{202e}\nend"), "a\tb\n\n\\u{1b}[2J\\r\\u{202e}\nend");
        let long = "x".repeat(100_000) + "\n";
        assert_eq!(lines(&long), long);
    }

    #[test]
    fn json_for_a_terminal_is_the_same_json() {
        let value = serde_json::json!({"a\u{9b}": ["\u{1b}\u{202e}\u{7f}\"\\", "\u{e0041}é"]});
        let text = json_text(&value);
        assert!(!text.trim_end().contains(|c| c != '\n' && is_unfit(c)), "{text:?}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }
}
