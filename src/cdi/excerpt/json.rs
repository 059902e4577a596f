//! A CDI file in JSON, followed from one member and device to the next.
//!
//! What can follow what is looked at, though not which bracket closes which: that is enough to know where texts begin, also in
//! YAML that looks like JSON.

use super::Kept;
use crate::cdi::bytes::{equal, find};

/// How far a text was followed.
#[derive(Debug)]
pub(super) struct Reader {
    place: Place,
    before: Class,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Start,
    /// In the outermost object.
    Members,
    /// In a list that is the value of one of its members: only `devices` is one.
    Devices,
    End,
}

/// What a byte is that stands in no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Space,
    Quote,
    Colon,
    Comma,
    Open,
    Close,
    /// Of a number or a constant.
    Word,
    Other,
}

/// An object or a list.
struct Collection<'a> {
    /// Past its last byte.
    end: usize,
    /// Its member `name`, if that is clear.
    name: Option<&'a str>,
}

/// What stands at a place of a text.
enum Part<T> {
    Whole(T),
    /// It goes on behind the text.
    Begun,
}

impl Default for Reader {
    fn default() -> Self {
        Reader { place: Place::Start, before: Class::Colon }
    }
}

impl Reader {
    /// See [`super::Reader::take`].
    pub(super) fn take(&mut self, text: &str, kept: &mut Kept<'_>) -> Option<usize> {
        let bytes = text.as_bytes();
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            let class = *CLASSES.get(usize::from(*byte))?;
            if class == Class::Space {
                at += 1;
                continue;
            }
            if !class.may_follow(self.before) {
                return None;
            }
            let (mut end, mut before, mut is_kept) = (at + 1, class, true);
            match (self.place, byte) {
                (Place::Start, b'{') => self.place = Place::Members,
                (Place::Members, b'[') => self.place = Place::Devices,
                (Place::Devices, b']') => self.place = Place::Members,
                (Place::Members, b'}') => self.place = Place::End,
                (Place::Members, b'"') => match end_of_text(bytes, end) {
                    Some(past) => end = past,
                    None => return Some(at),
                },
                (Place::Members | Place::Devices, b'{') => match collection(text, at)? {
                    Part::Whole(collection) => {
                        (end, before) = (collection.end, Class::Close);
                        if self.place == Place::Devices {
                            is_kept = kept.device(collection.name);
                            if is_kept && kept.devices > 1 {
                                kept.text.push(',');
                            }
                        }
                    }
                    Part::Begun => return Some(at),
                },
                (Place::Devices, b',') => is_kept = false,
                (Place::Members, _) => {}
                _ => return None,
            }
            if is_kept {
                kept.text.push_str(text.get(at..end)?);
            }
            (at, self.before) = (end, before);
        }
        Some(at)
    }

    /// Whether the text was over.
    pub(super) fn is_at_the_end(&self) -> bool {
        self.place == Place::End
    }
}

/// The class of each byte. No text in UTF-8 has the last one.
#[expect(clippy::indexing_slicing, reason = "the compiler does it")]
static CLASSES: [Class; 256] = {
    let mut classes = [Class::Other; 256];
    let mut byte = 0;
    while byte < u8::MAX {
        classes[byte as usize] = Class::of(byte);
        byte += 1;
    }
    classes
};

/// Which classes can follow each, with nothing but spaces between them: a bit for each, in the order of [`Class`].
static FOLLOWERS: [u8; 8] = [
    any(&[]),
    any(&[Class::Colon, Class::Comma, Class::Close]),
    any(&[Class::Quote, Class::Open, Class::Word]),
    any(&[Class::Quote, Class::Open, Class::Word]),
    any(&[Class::Quote, Class::Open, Class::Close, Class::Word]),
    any(&[Class::Comma, Class::Close]),
    any(&[Class::Word, Class::Comma, Class::Close]),
    any(&[]),
];

const fn any(classes: &[Class]) -> u8 {
    match classes {
        [] => 0,
        [first, others @ ..] => 1 << *first as u8 | any(others),
    }
}

impl Class {
    const fn of(byte: u8) -> Self {
        match byte {
            b' ' | b'\n' | b'\r' | b'\t' => Class::Space,
            b'"' => Class::Quote,
            b':' => Class::Colon,
            b',' => Class::Comma,
            b'{' | b'[' => Class::Open,
            b'}' | b']' => Class::Close,
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'+' | b'-' | b'.' => Class::Word,
            _ => Class::Other,
        }
    }

    #[inline]
    fn may_follow(self, before: Class) -> bool {
        FOLLOWERS.get(before as usize).is_some_and(|followers| followers >> self as u8 & 1 == 1)
    }
}

/// The object or list that begins at `start`. `None` if it is no JSON.
fn collection(text: &str, start: usize) -> Option<Part<Collection<'_>>> {
    let bytes = text.as_bytes();
    let (mut at, mut depth, mut before) = (start, 0_usize, Class::Colon);
    // The last text in the object itself, whether what is next is its member `name`, and what that is.
    let (mut last, mut is_name, mut names, mut name) = ("", false, 0, None);
    while let Some(byte) = bytes.get(at) {
        at += 1;
        let class = *CLASSES.get(usize::from(*byte))?;
        if class == Class::Space {
            continue;
        }
        if !class.may_follow(before) {
            return None;
        }
        before = class;
        let was_name = std::mem::take(&mut is_name);
        match class {
            Class::Quote => {
                let from = at;
                let Some(end) = end_of_text(bytes, from) else { return Some(Part::Begun) };
                at = end;
                if depth == 1 {
                    last = text.get(from..end - 1)?;
                    if was_name {
                        name = Some(last);
                    }
                }
            }
            Class::Colon if depth == 1 && last == "name" => {
                is_name = true;
                names += 1;
            }
            Class::Open => depth += 1,
            Class::Close => {
                depth -= 1;
                if depth == 0 {
                    let name = name.filter(|name| names == 1 && !name.contains('\\'));
                    return Some(Part::Whole(Collection { end: at, name }));
                }
            }
            _ => {}
        }
    }
    Some(Part::Begun)
}

/// Past the closing quote of the text that goes on at `at`.
#[inline]
fn end_of_text(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let mark = find(bytes, at, |word| equal(word, b'"') | equal(word, b'\\'))?;
        match bytes.get(mark)? {
            b'"' => return Some(mark + 1),
            _ => at = mark + 2,
        }
    }
}
