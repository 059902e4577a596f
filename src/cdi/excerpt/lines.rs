//! A CDI file in block YAML, followed line by line from one device to the next.
//!
//! What is kept has to satisfy [`block`], which takes only what can mean one thing. Of a device that is left out it must be
//! certain that it ends where its lines do: it has no text in quotes and no collection in brackets, which could go on over lines
//! that look like another device.

use super::Kept;
use crate::cdi::block;
use crate::cdi::bytes::{equal, find, other, splat, unprintable};

/// How far a text was followed.
#[derive(Debug, Default)]
pub(super) struct Reader {
    place: Place,
}

#[derive(Debug, Default, Clone, Copy)]
enum Place {
    #[default]
    Members,
    /// Below the line `devices:`. Their dashes stand where the first one does.
    Devices(Option<usize>),
}

/// One line.
#[derive(Debug, Clone, Copy)]
struct Line<'a> {
    /// With its line feed.
    whole: &'a str,
    indent: usize,
    /// Without what is around it.
    text: &'a str,
}

/// The lines of a device.
struct Device<'a> {
    whole: &'a str,
    /// What its member `name` has on its line, if it has one such line.
    name: Option<&'a str>,
    /// How many bytes it has that are not plain, or quotes, opening brackets or like them.
    marks: usize,
}

impl Reader {
    /// See [`super::Reader::take`].
    pub(super) fn take(&mut self, text: &str, is_last: bool, kept: &mut Kept<'_>) -> Option<usize> {
        let mut at = 0;
        while let Some(line) = Line::first(text.get(at..)?, is_last) {
            match self.place {
                Place::Members if line.indent == 0 && line.text == "devices:" => {
                    kept.text.push_str(line.text);
                    self.place = Place::Devices(None);
                    at += line.whole.len();
                }
                Place::Members => {
                    kept.text.push_str(line.whole);
                    at += line.whole.len();
                }
                Place::Devices(_) if line.says_nothing() => {
                    if !block::is_plain(line.whole) {
                        return None;
                    }
                    at += line.whole.len();
                }
                Place::Devices(dashes) => {
                    if dashes.is_some_and(|dashes| line.indent != dashes) || !block::is_item(line.text) {
                        self.end(kept);
                        continue;
                    }
                    let Some(device) = Device::first(text.get(at..)?, line, is_last) else { break };
                    if kept.device(device.name()) {
                        kept.text.push_str(if kept.devices == 1 { "\n" } else { "" });
                        kept.text.push_str(device.whole);
                    }
                    self.place = Place::Devices(Some(line.indent));
                    at += device.whole.len();
                }
            }
        }
        Some(at)
    }

    /// Ends the devices, if it is among them.
    pub(super) fn end(&mut self, kept: &mut Kept<'_>) {
        if matches!(self.place, Place::Devices(_)) && kept.devices == 0 {
            kept.text.push_str(" []\n");
        }
        self.place = Place::Members;
    }
}

impl<'a> Line<'a> {
    /// The first of `text`. `None` if there is none, or if it may go on behind the text.
    fn first(text: &'a str, is_last: bool) -> Option<Self> {
        let whole = match find(text.as_bytes(), 0, |word| equal(word, b'\n')) {
            Some(end) => text.get(..=end)?,
            None if is_last && !text.is_empty() => text,
            None => return None,
        };
        let text = whole.trim_start_matches(' ');
        Some(Line { whole, indent: whole.len() - text.len(), text: text.trim_end_matches(['\n', ' ']) })
    }

    fn says_nothing(self) -> bool {
        self.text.is_empty() || self.text.starts_with('#')
    }
}

impl<'a> Device<'a> {
    /// The one that `text` begins with, in the line `first`. `None` if it may go on behind the text.
    fn first(text: &'a str, first: Line<'a>, is_last: bool) -> Option<Self> {
        let bytes = text.as_bytes();
        let members = first.text.get(1..)?.trim_start_matches(' ');
        let inner = first.indent + first.text.len() - members.len();
        let (mut name, mut names) = (None, 0);
        let mut look_at = |member: &'a str| {
            if let Some(value) = member.strip_prefix("name:") {
                (name, names) = (Some(value), names + 1);
            }
        };
        look_at(members);
        let mut marks = 0;
        let mut at = past_line(bytes, 0, &mut marks);
        let mut end = is_last.then_some(text.len());
        while let Some(begin) = find(bytes, at, |word| other(word, b' ')) {
            let length = begin - at;
            if !matches!(bytes.get(begin), Some(b'\n' | b'#')) {
                if length <= first.indent {
                    end = Some(at);
                    break;
                }
                if length == inner {
                    look_at(Line::first(text.get(begin..)?, true)?.text);
                }
            }
            at = past_line(bytes, begin, &mut marks);
        }
        Some(Device { whole: text.get(..end?)?, name: name.filter(|_| names == 1), marks })
    }

    /// What it is called, if that is clear, and if it is clear too where it ends.
    fn name(&self) -> Option<&'a str> {
        let value = self.name?.strip_prefix(' ')?.trim_start_matches(' ');
        let quoted = ['"', '\''].into_iter().find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote));
        let (name, marks) = quoted.map_or((value, 0), |name| (name, 2));
        let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte));
        (is_plain && self.marks == marks).then_some(name)
    }
}

/// Past the line feed that is next from `at` on, or past all. Counts the marks before it.
fn past_line(bytes: &[u8], mut at: usize, marks: &mut usize) -> usize {
    // One look at each byte for all: quotes and what has most of their bits, brackets and braces, line feeds and what is not plain.
    let hits = |word| equal(word & splat(0xfa), 0x22) | equal(word | splat(0x20), b'{') | unprintable(word);
    while let Some(hit) = find(bytes, at, hits) {
        at = hit + 1;
        if bytes.get(hit) == Some(&b'\n') {
            return at;
        }
        *marks += 1;
    }
    bytes.len()
}
