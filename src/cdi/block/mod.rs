//! Block YAML as Go's writers emit it, rewritten as JSON text line by line: several times faster than a YAML reader.
//!
//! Takes only what can mean one thing: the members of CDI in block style, on one line each, plain or simply quoted. On the first
//! sign of anything else (an anchor, a tag, a flow collection, a scalar of several lines, a number that is not plainly decimal, a
//! comment beside a value, a member it does not know) it gives up, and [`super::yaml`] reads the text. Judges nothing. Line `n`
//! of the JSON text is line `n` of the YAML text, so that errors name the right one.

mod scalar;

#[cfg(test)]
pub(super) mod agreement;

use super::bytes::{find, unusual};

/// What a member holds.
#[derive(Debug, Clone, Copy)]
enum Shape {
    Text,
    Number,
    Flag,
    /// A map of texts with any keys.
    Annotations,
    One(Members),
    Many(&'static Shape),
}

impl Shape {
    /// The name and the shape of the member that is written `key`.
    fn member(self, key: &str) -> Option<(&str, Shape)> {
        match self {
            Shape::One(members) => members.iter().find(|(name, _)| *name == key).copied(),
            Shape::Annotations => Some((scalar::annotation_key(key)?, Shape::Text)),
            _ => None,
        }
    }
}

/// The members of a mapping.
type Members = &'static [(&'static str, Shape)];

static SPEC: Members = &[
    ("cdiVersion", Shape::Text),
    ("kind", Shape::Text),
    ("annotations", Shape::Annotations),
    ("devices", Shape::Many(&Shape::One(DEVICE))),
    ("containerEdits", Shape::One(EDITS)),
];
static DEVICE: Members =
    &[("name", Shape::Text), ("annotations", Shape::Annotations), ("containerEdits", Shape::One(EDITS))];
static EDITS: Members = &[
    ("env", TEXTS),
    ("deviceNodes", Shape::Many(&Shape::One(NODE))),
    ("netDevices", Shape::Many(&Shape::One(NET_DEVICE))),
    ("hooks", Shape::Many(&Shape::One(HOOK))),
    ("mounts", Shape::Many(&Shape::One(MOUNT))),
    ("intelRdt", Shape::One(RDT)),
    ("additionalGids", Shape::Many(&Shape::Number)),
];
static NODE: Members = &[
    ("path", Shape::Text),
    ("hostPath", Shape::Text),
    ("type", Shape::Text),
    ("major", Shape::Number),
    ("minor", Shape::Number),
    ("fileMode", Shape::Number),
    ("permissions", Shape::Text),
    ("uid", Shape::Number),
    ("gid", Shape::Number),
];
static NET_DEVICE: Members = &[("hostInterfaceName", Shape::Text), ("name", Shape::Text)];
static HOOK: Members =
    &[("hookName", Shape::Text), ("path", Shape::Text), ("args", TEXTS), ("env", TEXTS), ("timeout", Shape::Number)];
static MOUNT: Members =
    &[("hostPath", Shape::Text), ("containerPath", Shape::Text), ("options", TEXTS), ("type", Shape::Text)];
static RDT: Members = &[
    ("closID", Shape::Text),
    ("l3CacheSchema", Shape::Text),
    ("memBwSchema", Shape::Text),
    ("schemata", TEXTS),
    ("enableMonitoring", Shape::Flag),
];
const TEXTS: Shape = Shape::Many(&Shape::Text);

/// The JSON text that says what `text` says, or `None` if that takes a real YAML reader.
pub(super) fn to_json(text: &str) -> Option<String> {
    if !is_plain(text) {
        return None;
    }
    let mut reader = Reader { rest: text, line: None, json: String::with_capacity(text.len() + text.len() / 4) };
    reader.advance(true);
    if reader.line.is_some_and(|line| line.indent == 0 && line.text == "---") {
        reader.advance(false);
    }
    reader.mapping(0, Shape::One(SPEC))?;
    reader.line.is_none().then_some(reader.json)
}

/// Whether `text` has no letters but ASCII's and no control characters but line feeds.
pub(super) fn is_plain(text: &str) -> bool {
    find(text.as_bytes(), 0, unusual).is_none()
}

/// A line that says something.
#[derive(Debug, Clone, Copy)]
struct Line<'a> {
    indent: usize,
    text: &'a str,
}

struct Reader<'a> {
    /// What follows it.
    rest: &'a str,
    /// The line that is next to be read, or what is left of it.
    line: Option<Line<'a>>,
    json: String,
}

impl<'a> Reader<'a> {
    /// Goes on to the next line that is neither empty nor a comment. Every line but the first begins a line of the JSON text.
    fn advance(&mut self, mut is_first: bool) {
        while !self.rest.is_empty() {
            let (line, rest) = split_at_byte(self.rest, b'\n');
            self.rest = rest;
            if !is_first {
                self.json.push('\n');
            }
            is_first = false;
            let text = line.trim_start_matches(' ');
            if !text.is_empty() && !text.starts_with('#') {
                self.line = Some(Line { indent: line.len() - text.len(), text: text.trim_end_matches(' ') });
                return;
            }
        }
        self.line = None;
    }

    /// The line that is next, if it stands at `indent`.
    fn at(&self, indent: usize) -> Option<Line<'a>> {
        self.line.filter(|line| line.indent == indent)
    }

    /// A mapping of `shape` whose keys stand at `indent`.
    fn mapping(&mut self, indent: usize, shape: Shape) -> Option<()> {
        self.json.push('{');
        let mut is_first = true;
        while let Some(line) = self.at(indent).filter(|line| !is_item(line.text)) {
            let (key, value) = split_key(line.text)?;
            let (name, shape) = shape.member(key)?;
            self.separate(&mut is_first);
            scalar::push_name(&mut self.json, name);
            self.value(indent, value, shape)?;
        }
        self.json.push('}');
        self.is_over(indent, is_first)
    }

    /// The value of a member of a mapping at `indent`: `inline`, or on the lines that follow.
    fn value(&mut self, indent: usize, inline: &str, shape: Shape) -> Option<()> {
        match (shape, inline) {
            (Shape::Many(_), "[]") => self.json.push_str("[]"),
            (Shape::One(_) | Shape::Annotations, "{}") => self.json.push_str("{}"),
            (Shape::Many(item), "") => {
                self.advance(false);
                // The items of a list may stand right below its name.
                let below = self.line.filter(|line| line.indent >= indent)?.indent;
                return self.list(below, *item);
            }
            (Shape::One(_) | Shape::Annotations, "") => {
                self.advance(false);
                let below = self.line.filter(|line| line.indent > indent)?.indent;
                return self.mapping(below, shape);
            }
            _ => scalar::push(&mut self.json, inline, shape)?,
        }
        self.advance(false);
        Some(())
    }

    /// A list whose dashes stand at `indent`.
    fn list(&mut self, indent: usize, item: Shape) -> Option<()> {
        self.json.push('[');
        let mut is_first = true;
        while let Some(line) = self.at(indent).filter(|line| is_item(line.text)) {
            let rest = line.text.strip_prefix('-')?.trim_start_matches(' ');
            self.separate(&mut is_first);
            if matches!(item, Shape::One(_)) {
                // What follows the dash is the first line of a mapping that stands where it begins.
                let inner = indent + line.text.len() - rest.len();
                self.line = Some(Line { indent: inner, text: rest });
                self.mapping(inner, item)?;
            } else {
                scalar::push(&mut self.json, rest, item)?;
                self.advance(false);
            }
        }
        self.json.push(']');
        self.is_over(indent, is_first)
    }

    /// Whether a collection at `indent` ended as one does: it has an entry, and no deeper line follows, which would belong to
    /// its last value.
    fn is_over(&self, indent: usize, is_empty: bool) -> Option<()> {
        (!is_empty && self.line.is_none_or(|line| line.indent <= indent)).then_some(())
    }

    fn separate(&mut self, is_first: &mut bool) {
        if !*is_first {
            self.json.push(',');
        }
        *is_first = false;
    }
}

/// Whether a line is an item of a list.
pub(super) fn is_item(line: &str) -> bool {
    line.starts_with("- ")
}

/// Splits `key: value` and `key:`.
fn split_key(line: &str) -> Option<(&str, &str)> {
    let (key, value) = split_at_byte(line, b':');
    let is_key = key.len() < line.len() && (value.is_empty() || value.starts_with(' '));
    is_key.then(|| (key, value.trim_start_matches(' ')))
}

/// What is before and after the first `byte`; all and nothing if there is none. The standard library's search is made for longer
/// texts: on these lines it takes a third of the time of the whole reader.
fn split_at_byte(text: &str, byte: u8) -> (&str, &str) {
    let end = text.bytes().position(|candidate| candidate == byte).unwrap_or(text.len());
    (text.get(..end).unwrap_or_default(), text.get(end + 1..).unwrap_or_default())
}
