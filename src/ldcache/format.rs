//! The bytes of a cache: glibc's format, read and written. Believes no number in a file.
//!
//! Source: glibc sysdeps/generic/dl-cache.h.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ffi::CStr;

use super::{Cache, Library, Processors};

const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
const OLD_MAGIC: &[u8] = b"ld.so-1.7.0\0";
const HEADER: usize = 48;
const ENTRY: usize = 24;
const EXTENSION_MAGIC: u32 = 0xeaa4_2174;
/// The section that names the subfolders for processors with more capabilities.
const HWCAPS: u32 = 1;
/// In the capabilities of an entry: the rest is the place of a name in that section.
const NAMED: u64 = 1 << 62;
/// More entries than any system has. A file that promises more is not read.
const MOST: usize = 1 << 20;

impl<'a> Cache<'a> {
    /// Reads a cache. `None` for what is none, is cut off, says the same bytes over and over, or is of a machine of the other byte
    /// order.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let bytes = current_format(bytes)?;
        const BIG_ENDIAN: u8 = 3;
        if bytes.get(28)? & 3 == BIG_ENDIAN {
            return None;
        }
        let count = number(bytes, 20)?;
        let extension = number(bytes, 32)?;
        if count > MOST {
            return None;
        }
        let (mut names, mut sections) = (Vec::new(), Vec::new());
        if extension != 0 {
            for (tag, content) in extension_of(bytes, extension)? {
                match tag {
                    HWCAPS => {
                        let mut left = bytes.len();
                        for at in content.chunks_exact(4) {
                            let name = text(bytes, number(at, 0)?)?;
                            left = left.checked_sub(name.len())?;
                            names.push(name);
                        }
                    }
                    _ => sections.push((tag, content.into())),
                }
            }
        }
        let library = |index: usize| {
            let entry = bytes.get(HEADER + index * ENTRY..)?;
            let capabilities = u64::from_le_bytes(entry.get(16..24)?.try_into().ok()?);
            let processors = match capabilities & NAMED {
                0 => Processors::Bits(capabilities),
                _ => Processors::Named(Cow::Borrowed(*names.get(usize::try_from(capabilities & 0xffff_ffff).ok()?)?)),
            };
            Some(Library {
                flags: u32::try_from(number(entry, 0)?).ok()?,
                name: text(bytes, number(entry, 4)?)?.into(),
                path: text(bytes, number(entry, 8)?)?.into(),
                processors,
            })
        };
        // Entries may share a text, but a file in which they come to much more than it holds is made to be multiplied.
        let (mut libraries, mut left) = (Vec::new(), bytes.len().checked_mul(4)?);
        for index in 0..count {
            let library = library(index)?;
            left = left.checked_sub(library.name.len() + library.path.len())?;
            libraries.push(library);
        }
        // Their order has no meaning.
        sections.sort_by_key(|(tag, _)| *tag);
        Some(Cache { libraries, sections })
    }

    /// The file's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let names = self.libraries.iter().filter_map(|library| match &library.processors {
            Processors::Named(name) => Some(&**name),
            Processors::Bits(_) => None,
        });
        // A set, since an image's cache may name as many as it likes.
        let hwcaps: Vec<&str> = names.collect::<BTreeSet<_>>().into_iter().collect();
        // Everything has its place before anything is written: entries, then the texts that they name, then the sections.
        let count = self.libraries.len();
        let texts = HEADER + count * ENTRY;
        let length = |library: &Library<'_>| library.path.len() + library.name.len() + 2;
        let mut bytes = Vec::with_capacity(texts + self.libraries.iter().map(length).sum::<usize>() + 4096);
        bytes.resize(HEADER, 0);
        let mut end = texts;
        for library in &self.libraries {
            let path = end;
            end += library.path.len() + 1;
            // A library's name is mostly the end of its path.
            let name = match before_name(library) {
                Some(before) => path + before,
                None => {
                    let name = end;
                    end += library.name.len() + 1;
                    name
                }
            };
            let capabilities = match &library.processors {
                Processors::Bits(bits) => *bits,
                Processors::Named(name) => {
                    let place = hwcaps.binary_search(&&**name);
                    NAMED | place.ok().and_then(|at| u64::try_from(at).ok()).unwrap_or(0)
                }
            };
            bytes.extend(library.flags.to_le_bytes());
            bytes.extend([word(name), word(path), word(0)].as_flattened());
            bytes.extend(capabilities.to_le_bytes());
        }
        for library in &self.libraries {
            let name = before_name(library).is_none().then_some(&library.name);
            for text in std::iter::once(&library.path).chain(name) {
                bytes.extend(text.as_bytes());
                bytes.push(0);
            }
        }
        let mut named = Vec::with_capacity(hwcaps.len() * 4);
        for name in hwcaps {
            named.extend(word(bytes.len()));
            bytes.extend(name.as_bytes());
            bytes.push(0);
        }
        let texts_length = bytes.len() - texts;
        let mut sections = self.sections.clone();
        if !named.is_empty() {
            sections.push((HWCAPS, named.into()));
            sections.sort_by_key(|(tag, _)| *tag);
        }
        let end = bytes.len().next_multiple_of(4);
        let extension = if sections.is_empty() { 0 } else { end };
        if !sections.is_empty() {
            bytes.resize(end, 0);
            bytes.extend(extension_bytes(end, &sections));
        }
        const LITTLE_ENDIAN: usize = 2;
        let header = [word(count), word(texts_length), word(LITTLE_ENDIAN), word(extension)];
        let header = MAGIC.iter().chain(header.as_flattened());
        bytes.iter_mut().zip(header).for_each(|(byte, value)| *byte = *value);
        bytes
    }
}

/// The length of a library's path before its name, where the one ends in the other.
fn before_name(library: &Library<'_>) -> Option<usize> {
    library.path.strip_suffix(&*library.name).map(str::len)
}

/// Whether a file says that it is a cache, of whatever format. The linker goes on without one that does not.
pub fn is_cache(bytes: &[u8]) -> bool {
    [MAGIC, OLD_MAGIC].iter().any(|magic| bytes.starts_with(magic))
}

/// What begins with the header of today's format. Older files have it behind one of 12-byte entries.
fn current_format(bytes: &[u8]) -> Option<&[u8]> {
    let at = match bytes.starts_with(OLD_MAGIC) {
        true => 16_usize.checked_add(number(bytes, 12)?.checked_mul(12)?)?.checked_next_multiple_of(8)?,
        false => 0,
    };
    bytes.get(at..).filter(|rest| rest.starts_with(MAGIC))
}

fn extension_of(bytes: &[u8], at: usize) -> Option<Vec<(u32, &[u8])>> {
    const SECTION: usize = 16;
    const MOST_SECTIONS: usize = 64;
    let extension = bytes.get(at..)?;
    if number(extension, 0)? != usize::try_from(EXTENSION_MAGIC).ok()? || number(extension, 4)? > MOST_SECTIONS {
        return None;
    }
    let section = |index: usize| {
        let section = extension.get(8 + index * SECTION..)?;
        let start = number(section, 8)?;
        let content = bytes.get(start..start.checked_add(number(section, 12)?)?)?;
        Some((u32::try_from(number(section, 0)?).ok()?, content))
    };
    let sections: Vec<(u32, &[u8])> = (0..number(extension, 4)?).map(section).collect::<Option<_>>()?;
    let length: usize = sections.iter().map(|(_, content)| content.len()).sum();
    (length <= bytes.len()).then_some(sections)
}

fn extension_bytes(at: usize, sections: &[(u32, Cow<'_, [u8]>)]) -> Vec<u8> {
    let mut bytes = EXTENSION_MAGIC.to_le_bytes().to_vec();
    bytes.extend(word(sections.len()));
    let mut start = at + 8 + sections.len() * 16;
    let mut contents = Vec::new();
    // Those with words in them first: they must lie on whole words.
    for (tag, content) in sections {
        let padding = start.next_multiple_of(4) - start;
        contents.resize(contents.len() + padding, 0);
        start += padding;
        bytes.extend(tag.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(word(start));
        bytes.extend(word(content.len()));
        contents.extend_from_slice(content);
        start += content.len();
    }
    bytes.extend(contents);
    bytes
}

fn word(number: usize) -> [u8; 4] {
    u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes()
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
    usize::try_from(u32::from_le_bytes(bytes)).ok()
}

/// The text at an offset, up to its NUL.
fn text(bytes: &[u8], at: usize) -> Option<&str> {
    const LONGEST: usize = 4096;
    let rest = bytes.get(at..)?;
    let rest = rest.get(..LONGEST.min(rest.len()))?;
    CStr::from_bytes_until_nul(rest).ok()?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::super::tests::cache;
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        assert_eq!(Cache::parse(&cache().to_bytes()), Some(cache()));
        let empty = Cache::default();
        assert_eq!(Cache::parse(&empty.to_bytes()), Some(empty));
        let mut behind_the_old_one = b"ld.so-1.7.0\0".to_vec();
        behind_the_old_one.extend(1_u32.to_le_bytes());
        behind_the_old_one.resize(32, 0);
        behind_the_old_one.extend(cache().to_bytes());
        assert_eq!(Cache::parse(&behind_the_old_one), Some(cache()));
    }

    #[test]
    fn a_file_whose_parts_lie_upon_each_other_is_no_cache() {
        let path = format!("/{}", "x".repeat(4000));
        let library = |name: &'static str| super::super::Library::new(0x0303, name, path.clone());
        let few = Cache { libraries: vec![library("liba.so.1")], sections: vec![(7, b"abc"[..].into())] };
        let mut bytes = few.to_bytes();
        assert_eq!(Cache::parse(&bytes), Some(few));
        // The same entry again and again, in place of the texts between it and the last of them.
        let first = bytes[HEADER..HEADER + ENTRY].to_vec();
        let moved = 1000 * ENTRY;
        let mut entry = first.clone();
        for at in [4, 8] {
            let place = u32::from_le_bytes(first[at..at + 4].try_into().unwrap()) + u32::try_from(moved).unwrap();
            entry[at..at + 4].copy_from_slice(&place.to_le_bytes());
        }
        bytes.splice(HEADER..HEADER + ENTRY, entry.repeat(1001));
        bytes[32..36].fill(0);
        bytes[20..24].copy_from_slice(&2_u32.to_le_bytes());
        assert_eq!(Cache::parse(&bytes).map(|cache| cache.libraries.len()), Some(2));
        bytes[20..24].copy_from_slice(&1001_u32.to_le_bytes());
        assert_eq!(Cache::parse(&bytes), None);

        // One name of a processor again and again.
        let named = format!("x86-64-{}", "v".repeat(4000));
        let processors = || Processors::Named(Cow::Owned(named.clone()));
        let libraries = vec![super::super::Library { processors: processors(), ..library("liba.so.1") }];
        let few = Cache { libraries, sections: vec![] }.to_bytes();
        for (times, is_cache) in [(2, true), (1000, false)] {
            let mut bytes = few.clone();
            let (extension, place) = (few.len() - 28, few[few.len() - 4..].repeat(times - 1));
            bytes[extension + 20..][..4].copy_from_slice(&u32::try_from(times * 4).unwrap().to_le_bytes());
            bytes.extend(place);
            assert_eq!(Cache::parse(&bytes).is_some(), is_cache, "{times}");
        }

        let section = (7, Cow::Owned(vec![0; 1000]));
        let bytes = Cache { libraries: vec![], sections: vec![section; 3] }.to_bytes();
        assert!(Cache::parse(&bytes).is_some());
        let mut upon = bytes.clone();
        let at = bytes.len() - 3000 - 48;
        for section in 0..3 {
            upon[at + section * 16 + 8..][..4].copy_from_slice(&0_u32.to_le_bytes());
            upon[at + section * 16 + 12..][..4].copy_from_slice(&u32::try_from(bytes.len()).unwrap().to_le_bytes());
        }
        assert_eq!(Cache::parse(&upon), None);
    }

    #[test]
    fn a_file_that_lies_is_no_cache() {
        let bytes = cache().to_bytes();
        for cut in 0..bytes.len() {
            let _ = Cache::parse(&bytes[..cut]);
        }
        for at in 0..bytes.len() {
            for value in [0, 0x7f, 0xff] {
                let mut broken = bytes.clone();
                broken[at] = value;
                let _ = Cache::parse(&broken);
            }
        }
        for text in [&b""[..], b"glibc-ld.so.cache1.1", b"ld.so-1.7.0\0\xff\xff\xff\xff", b"\x7fELF"] {
            assert_eq!(Cache::parse(text), None);
        }
    }
}
