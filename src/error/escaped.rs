//! Text from outside (a request, a file, an image, another program), fit for one line of a log or a terminal.
//!
//! Control characters can move a terminal's cursor and forge log lines; bidirectional and invisible characters make a line
//! read as another (CVE-2021-42574). [`Escaped`] shows both, and bytes that are not UTF-8, as escapes.

use std::ffi::OsStr;
use std::fmt::{self, Write};
use std::os::unix::ffi::OsStrExt;

/// The longest text, in characters. The text of a request can be as long as its author likes.
const LONGEST_TEXT: usize = 120;
/// The longest path, in characters: a path is shown whole, because it is part of commands. The kernel's PATH_MAX.
const LONGEST_PATH: usize = 4096;

/// The longest message, in characters: a request can name thousands of devices.
const LONGEST_MESSAGE: usize = 16 << 10;

/// Text that is fit for logs: control characters, characters that reorder or hide text, and invalid bytes are escaped.
#[derive(Clone, Copy)]
pub struct Escaped<'a>(Source<'a>);

#[derive(Clone, Copy)]
enum Source<'a> {
    Text { bytes: &'a [u8], is_quoted: bool, longest: usize },
    Message(&'a dyn fmt::Display),
}

impl<'a> Escaped<'a> {
    /// A name that users search for, without quotes. It is cut at 120 characters.
    pub fn name(name: &'a (impl AsRef<OsStr> + ?Sized)) -> Self {
        Escaped(Source::Text { bytes: name.as_ref().as_bytes(), is_quoted: false, longest: LONGEST_TEXT })
    }

    /// A value between quotes; quotes and backslashes in it are escaped too. It is cut at 120 characters.
    pub fn quoted(value: &'a (impl AsRef<OsStr> + ?Sized)) -> Self {
        Escaped(Source::Text { bytes: value.as_ref().as_bytes(), is_quoted: true, longest: LONGEST_TEXT })
    }

    /// A path, whole and without quotes.
    pub fn path(path: &'a (impl AsRef<OsStr> + ?Sized)) -> Self {
        Escaped(Source::Text { bytes: path.as_ref().as_bytes(), is_quoted: false, longest: LONGEST_PATH })
    }

    /// A whole message, whoever composed it. What is escaped in it already stays as it is. It is cut at 16384 characters.
    pub fn message(message: &'a dyn fmt::Display) -> Self {
        Escaped(Source::Message(message))
    }
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Source::Message(message) => {
                let mut out = Escaping { f, left: LONGEST_MESSAGE };
                match write!(out, "{message}") {
                    Err(_) if out.left == 0 => f.write_str("…"),
                    written => written,
                }
            }
            Source::Text { bytes, is_quoted: true, longest } => {
                f.write_str("\"")?;
                write_text(f, bytes, &['"', '\\'], longest)?;
                f.write_str("\"")
            }
            Source::Text { bytes, is_quoted: false, longest } => write_text(f, bytes, &[], longest),
        }
    }
}

impl fmt::Debug for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Escaped({self})")
    }
}

/// A writer that escapes all that is written through it, and fails after so many characters.
pub(super) struct Escaping<'f, 'b> {
    f: &'f mut fmt::Formatter<'b>,
    left: usize,
}

impl<'f, 'b> Escaping<'f, 'b> {
    /// Without a limit.
    pub(super) fn new(f: &'f mut fmt::Formatter<'b>) -> Self {
        Escaping { f, left: usize::MAX }
    }
}

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.len() <= self.left && text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            self.left -= text.len();
            return self.f.write_str(text);
        }
        for c in text.chars() {
            if self.left == 0 {
                return Err(fmt::Error);
            }
            self.left -= 1;
            write_char(self.f, c, &[])?;
        }
        Ok(())
    }
}

fn write_text(f: &mut fmt::Formatter<'_>, bytes: &[u8], also: &[char], longest: usize) -> fmt::Result {
    let mut left = longest;
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if left == 0 {
                return f.write_str("…");
            }
            left -= 1;
            write_char(f, c, also)?;
        }
        for byte in chunk.invalid() {
            if left == 0 {
                return f.write_str("…");
            }
            left -= 1;
            write!(f, "\\x{byte:02x}")?;
        }
    }
    Ok(())
}

fn write_char(f: &mut fmt::Formatter<'_>, c: char, also: &[char]) -> fmt::Result {
    match c {
        c if also.contains(&c) => write!(f, "\\{c}"),
        c if is_unfit(c) => write!(f, "{}", c.escape_default()),
        c => f.write_char(c),
    }
}

/// Whether `c` can do more to a line than stand in it: C0, DEL and C1; line and paragraph separators; marks, embeddings, overrides
/// and isolates of direction; characters that are invisible. Source: Unicode's general categories Cc, Zl, Zp and Cf.
pub fn is_unfit(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_stays_on_one_line() {
        for (given, quoted, name) in [
            ("a", "\"a\"", "a"),
            ("a\nb\"c\\", "\"a\\nb\\\"c\\\\\"", "a\\nb\"c\\"),
            ("\u{1b}[31m", "\"\\u{1b}[31m\"", "\\u{1b}[31m"),
            ("", "\"\"", ""),
            ("größe 显卡", "\"größe 显卡\"", "größe 显卡"),
        ] {
            assert_eq!(Escaped::quoted(given).to_string(), quoted);
            assert_eq!(Escaped::name(given).to_string(), name);
            assert_eq!(Escaped::path(given).to_string(), name);
            assert_eq!(Escaped::message(&given).to_string(), name);
        }
    }

    #[test]
    fn no_character_that_moves_reorders_or_hides_text_is_shown() {
        let ranges =
            [(0, 0x1f), (0x7f, 0x9f), (0x200b, 0x200f), (0x2028, 0x202e), (0x2060, 0x206f), (0xe0000, 0xe007f)];
        let single = [0xad, 0x61c, 0x180e, 0xfeff, 0xfff9, 0xfffb];
        let all = ranges.into_iter().flat_map(|(first, last)| first..=last).chain(single);
        for c in all.map(|number| char::from_u32(number).unwrap()) {
            let text = format!("a{c}b");
            for shown in [Escaped::quoted(&text), Escaped::name(&text), Escaped::path(&text), Escaped::message(&text)] {
                let shown = shown.to_string();
                assert!(!shown.contains(c) && shown.contains('\\'), "U+{:04X}: {shown:?}", u32::from(c));
            }
        }
    }

    #[test]
    fn bytes_that_are_not_text_are_shown_as_numbers() {
        let bytes = OsStr::from_bytes(b"/a\xff\x9b31m\xc3/\xe2\x80z");
        assert_eq!(Escaped::path(bytes).to_string(), "/a\\xff\\x9b31m\\xc3/\\xe2\\x80z");
    }

    #[test]
    fn texts_are_cut_and_paths_are_not() {
        let long = "x".repeat(1000);
        assert_eq!(Escaped::quoted(&long).to_string().chars().count(), 123);
        assert_eq!(Escaped::name(&long).to_string().chars().count(), 121);
        assert_eq!(Escaped::path(&long).to_string(), long);
        assert_eq!(Escaped::message(&long).to_string(), long);
        for long in ["x".repeat(100_000), "é".repeat(100_000)] {
            let shown = Escaped::message(&long).to_string();
            assert!(shown.chars().count() == LONGEST_MESSAGE + 1 && shown.ends_with('…'), "{}", shown.len());
        }
        assert_eq!(Escaped::name(OsStr::from_bytes(&[0xff; 1000])).to_string().len(), 4 * 120 + "…".len());
    }

    #[test]
    fn what_is_escaped_stays_as_it_is() {
        let once = Escaped::quoted("a\n\u{202e}\"\\").to_string();
        assert_eq!(Escaped::message(&once).to_string(), once);
    }
}
