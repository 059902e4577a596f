//! The excerpt of a CDI file: its text without the devices that nobody asks for, taken piece by piece.
//!
//! Finds where each device begins and ends and what it is called, and judges nothing: the readers of [`super::text`] read the
//! excerpt as they would read the file, and on the first sign of anything unusual the file itself. Ten thousand devices cost
//! little more than their reading this way, and no memory.

mod json;
mod lines;

#[cfg(test)]
mod agreement;

use std::borrow::Cow;

use super::file::{Piece, SpecFile};

/// A language, and how far a text in it was followed.
#[derive(Debug)]
enum Reader {
    Json(json::Reader),
    Lines(lines::Reader),
}

/// What is kept of a text.
#[derive(Debug)]
pub(super) struct Kept<'a> {
    names: &'a [Cow<'a, str>],
    /// Everything but the other devices.
    pub(super) text: String,
    /// How many devices are in it.
    pub(super) devices: usize,
}

impl Kept<'_> {
    /// Whether a device that is called so is kept. One whose name is not clear is.
    fn device(&mut self, name: Option<&str>) -> bool {
        let is_kept = name.is_none_or(|name| self.names.iter().any(|wanted| wanted == name));
        self.devices += usize::from(is_kept);
        is_kept
    }
}

/// The excerpt of `file` for devices with `names`. `None` if only a reader of the whole can tell what it is; the error says why it
/// cannot be read.
pub(super) fn of<'a>(file: &mut SpecFile<'_>, names: &'a [Cow<'a, str>]) -> Result<Option<Kept<'a>>, String> {
    let mut kept = Kept { names, text: String::new(), devices: 0 };
    let mut reader: Option<Reader> = None;
    let (mut from, mut least) = (0, 0);
    loop {
        let Piece { text, is_last } = file.piece(from, least)?;
        let reader = reader.get_or_insert_with(|| Reader::of(text));
        let Some(taken) = reader.take(text, is_last, &mut kept) else { return Ok(None) };
        if is_last {
            let is_whole = taken == text.len() && reader.end(&mut kept);
            return Ok(is_whole.then_some(kept));
        }
        from += taken;
        // What is longer than a piece needs a longer one.
        least = if taken == 0 { 2 * text.len() } else { 0 };
    }
}

impl Reader {
    /// The one for a text that begins so. What [`super::text`] takes for JSON is JSON here.
    fn of(text: &str) -> Self {
        match text.trim_start().starts_with('{') {
            true => Reader::Json(json::Reader::default()),
            false => Reader::Lines(lines::Reader::default()),
        }
    }

    /// Takes in what `text`, where the last call stopped, has of whole parts, and says how many bytes these are. `None` if it
    /// is not clear what they mean.
    fn take(&mut self, text: &str, is_last: bool, kept: &mut Kept<'_>) -> Option<usize> {
        match self {
            Reader::Json(reader) => reader.take(text, kept),
            Reader::Lines(reader) => reader.take(text, is_last, kept),
        }
    }

    /// Takes in that there is no more. Whether the text may end there.
    fn end(&mut self, kept: &mut Kept<'_>) -> bool {
        match self {
            Reader::Json(reader) => reader.is_at_the_end(),
            Reader::Lines(reader) => {
                reader.end(kept);
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = "cdiVersion: 0.6.0\nkind: a.b/c\ndevices:\n";

    /// The text of the excerpt for the device `5`.
    fn excerpt(text: &str) -> Option<String> {
        let (mut buffer, names) = (Vec::new(), ["5".into()]);
        of(&mut SpecFile::with(text, 32, &mut buffer), &names).unwrap().map(|kept| kept.text)
    }

    #[test]
    fn of_json_nothing_is_left_out_but_whole_devices_with_other_names() {
        for (devices, kept) in [
            (r#"{"name": "4"}, {"name": "5"}, {"name": "6"}"#, Some(r#"{"name": "5"}"#)),
            (r#"{"name":"5"},{"name":"4"},{"name":"5"}"#, Some(r#"{"name":"5"},{"name":"5"}"#)),
            (r#"{"name":"4"}"#, Some("")),
            ("", Some("")),
            // A name that is not clear.
            (r#"{"name":"\u0034"}"#, Some(r#"{"name":"\u0034"}"#)),
            (r#"{"name":"4","name":"5"}"#, Some(r#"{"name":"4","name":"5"}"#)),
            (r#"{"name":5}"#, Some(r#"{"name":5}"#)),
            (r#"{"name":five,"x":[]}"#, Some(r#"{"name":five,"x":[]}"#)),
            (r#"{"nam":"4"}"#, Some(r#"{"nam":"4"}"#)),
            // Names of other things.
            (r#"{"name":"4","x":{"name":"5"},"y":["name","5"]}"#, Some("")),
            (r#"{"x":"name","name":"4","y":"name"}"#, Some("")),
            // Texts that look like more.
            (r#"{"name":"4","x":"}, {\"name\":\"5\"}"}"#, Some("")),
            (r#"{"name":"4","x":"\\"},{"name":"5"}"#, Some(r#"{"name":"5"}"#)),
            // No JSON, though what is kept would be.
            (r#"{"name":"4"} {"name":"5"}"#, None),
            (r#"{"name":"4"},"#, None),
            (r#",{"name":"4"}"#, None),
            (r#"{"name":"4",x:y},{"name":"5"}"#, None),
            (r#"{"name":"4","x":'}',"y":1},{"name":"5"}"#, None),
            (r#"{"name":"4","x":a "b},{"name":"5","y":c "d}"#, None),
            (r#"{"name":"4","x":["a" "b"]}"#, None),
            (
                r#"{"name":"4" # }
            },{"name":"5"}"#,
                None,
            ),
            (r#"{"name":"4""#, None),
            (r#"{"name":"4"#, None),
            (r#"{"name":"4"},5"#, None),
        ] {
            let text =
                |devices: &str| format!(r#"{{"kind":"a.b/c","devices":[{devices}],"x":{{"y":[true,-1.5e+3]}}}}"#);
            let expected = kept.map(text);
            let without_spaces = expected.as_ref().map(|text| text.replace(' ', ""));
            let read = excerpt(&text(devices));
            assert!(read == expected || read.is_some() && read == without_spaces, "{devices}: {read:?}");
        }
        for text in ["", " ", "{", "{}}", "{} {}", "{]", "{\"a\":[}", "[]", "{\"a\"", "\u{feff}{}"] {
            assert_eq!(excerpt(text).filter(|read| read.starts_with('{')), None, "{text}");
        }
    }

    #[test]
    fn of_lines_nothing_is_left_out_but_whole_devices_with_other_names() {
        for (devices, kept) in [
            ("- name: \"4\"\n- name: \"5\"\n- name: '6'\n", Some("- name: \"5\"\n")),
            (
                "  - x: y\n    name: 5\n  -   name: 5\n      x:\n      - name: 5\n  - name: 4",
                Some("  - x: y\n    name: 5\n  -   name: 5\n      x:\n      - name: 5\n"),
            ),
            ("# x\n\n- name: 4\n\n- name: 5\n# it's\nx: y\n", Some("- name: 5\n# it's\nx: y\n")),
            ("- name: 4\n  x:\n    name: 5\n   name: 5\n- name: 4\n  x: - name: 5\nx: y\n", Some(" []\nx: y\n")),
            ("x: y\n", Some(" []\nx: y\n")),
            // Two lists are none.
            ("- name: 5\ndevices:\nx: y\n", Some("- name: 5\ndevices:x: y\n")),
            ("- name: 5\ndevices:\n- name: 5\n", Some("- name: 5\ndevices:- name: 5\n")),
            ("", Some(" []\n")),
            // A name that is not clear.
            ("- name: *a\n", Some("- name: *a\n")),
            ("- name: 4 # 5\n", Some("- name: 4 # 5\n")),
            ("- name:5\n", Some("- name:5\n")),
            ("- name:\n    4\n", Some("- name:\n    4\n")),
            ("- name: \"4\n", Some("- name: \"4\n")),
            ("- \"name\": 4\n", Some("- \"name\": 4\n")),
            ("- name: 4\n  name: 4\n", Some("- name: 4\n  name: 4\n")),
            // It could go on over the next lines, or have what is like a quote.
            ("- name: 4\n  # it's\n- name: 5\n", Some("- name: 4\n  # it's\n- name: 5\n")),
            ("- name: 4\n  x: \"\n- name: 5\n", Some("- name: 4\n  x: \"\n- name: 5\n")),
            ("- name: 4\n  x: '\n", Some("- name: 4\n  x: '\n")),
            ("- name: 4\n  x: [\n", Some("- name: 4\n  x: [\n")),
            ("- name: 4\n  x: {\n", Some("- name: 4\n  x: {\n")),
            // No list, or not this one.
            ("  - name: 4\n    - name: 4\n - name: 4\nx:\n- name: 4\n", Some(" []\n - name: 4\nx:\n- name: 4\n")),
            ("-\n  name: 4\n", Some(" []\n-\n  name: 4\n")),
            // Of what is not plain the reader of the excerpt has to know.
            ("- name: 4\r- name: 5\n", Some("- name: 4\r- name: 5\n")),
            ("- name: 4\n  x: \u{0}\n", Some("- name: 4\n  x: \u{0}\n")),
            ("- name: 4\n  x: \u{e4}\n", Some("- name: 4\n  x: \u{e4}\n")),
            ("- name: 4\n# \u{85}- name: 5\n", Some("- name: 4\n# \u{85}- name: 5\n")),
            ("# \r- name: 5\n", None),
        ] {
            let (text, kept) = (
                format!("{LINES}{devices}"),
                kept.map(|kept| match kept.strip_prefix(" []\n") {
                    Some(rest) => format!("{} []\n{rest}", LINES.trim_end()),
                    None => format!("{LINES}{kept}"),
                }),
            );
            assert_eq!(excerpt(&text), kept, "{devices}");
        }
    }
}
