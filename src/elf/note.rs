//! The notes of an ELF file: sections of data that its maker left for tools.

use super::{Class, Read, header, text};

/// A section header.
struct Section {
    name: u64,
    kind: u64,
    offset: u64,
    size: u64,
    alignment: u64,
}

/// What the note of `owner` in the section called `section` holds. `None` where there is none that is whole.
pub fn note(read: Read<'_>, section: &str, owner: &str) -> Option<Vec<u8>> {
    const LARGEST: u64 = 1 << 16;
    const NOTE: u64 = 7;
    let (class, header) = header(read)?;
    let (sections, names) = class.sections(&header, read)?;
    let is_it = |candidate: &&Section| {
        let name = names.offset.checked_add(candidate.name).and_then(|at| text(read, at));
        candidate.kind == NOTE && candidate.size <= LARGEST && name.as_deref() == Some(section)
    };
    let found = sections.iter().find(is_it)?;
    let bytes = read(found.offset, usize::try_from(found.size).ok()?)?;
    let word = |at| usize::try_from(Class::number(&bytes, at, 4)?).ok();
    const HEADER: usize = 12;
    let (name_size, size) = (word(0)?, word(4)?);
    let name = bytes.get(HEADER..HEADER.checked_add(name_size)?)?;
    let alignment = usize::try_from(found.alignment).ok()?.max(4);
    let start = name_size.checked_next_multiple_of(alignment)?.checked_add(HEADER)?;
    // Real ones have been seen to promise a little more than there is.
    let content = bytes.get(start..bytes.len().min(start.checked_add(size)?))?;
    (name.strip_suffix(&[0]).unwrap_or(name) == owner.as_bytes()).then(|| content.to_vec())
}

impl Class {
    /// The sections, and the one that holds their names.
    fn sections(self, header: &[u8], read: Read<'_>) -> Option<(Vec<Section>, Section)> {
        const MOST: u64 = 256;
        let (table, width, count, size) = if self.is_64 { (40, 8, 60, 64) } else { (32, 4, 48, 40) };
        let offset = Self::number(header, table, width)?;
        let number = Self::number(header, count, 2).filter(|count| *count <= MOST)?;
        let bytes = read(offset, usize::try_from(number).ok()?.checked_mul(size)?)?;
        let section = |bytes: &[u8]| {
            let (offset, size, alignment) = if self.is_64 { (24, 32, 48) } else { (16, 20, 32) };
            Some(Section {
                name: Self::number(bytes, 0, 4)?,
                kind: Self::number(bytes, 4, 4)?,
                offset: Self::number(bytes, offset, width)?,
                size: Self::number(bytes, size, width)?,
                alignment: Self::number(bytes, alignment, width)?,
            })
        };
        let sections: Vec<Section> = bytes.chunks_exact(size).map(section).collect::<Option<_>>()?;
        let names = usize::try_from(Self::number(header, count + 2, 2)?).ok()?;
        let names = bytes.chunks_exact(size).nth(names).and_then(section)?;
        Some((sections, names))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The smallest file with a note: a header, the note, the names of the sections, their headers.
    fn file(is_64: bool, section: &str, owner: &str, content: &[u8]) -> Vec<u8> {
        let (width, header, size) = if is_64 { (8, 64, 64) } else { (4, 52, 40) };
        let put = |bytes: &mut [u8], at: usize, width: usize, value: usize| {
            bytes[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
        };
        let mut bytes = vec![0; header];
        bytes[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', if is_64 { 2 } else { 1 }, 1]);
        let mut note = Vec::new();
        for word in [owner.len() + 1, content.len(), 1] {
            note.extend(&word.to_le_bytes()[..4]);
        }
        note.extend(owner.as_bytes());
        note.push(0);
        note.resize(note.len().next_multiple_of(4), 0);
        note.extend(content);
        let names = header + note.len();
        bytes.extend(&note);
        bytes.extend([&[0], section.as_bytes(), &[0]].concat());
        let table = bytes.len();
        for (name, kind, offset, length) in [(0, 0, 0, 0), (1, 7, header, note.len()), (0, 3, names, section.len() + 2)]
        {
            let mut entry = vec![0; size];
            put(&mut entry, 0, 4, name);
            put(&mut entry, 4, 4, kind);
            let (at_offset, at_size, at_alignment) = if is_64 { (24, 32, 48) } else { (16, 20, 32) };
            put(&mut entry, at_offset, width, offset);
            put(&mut entry, at_size, width, length);
            put(&mut entry, at_alignment, width, 4);
            bytes.extend(entry);
        }
        put(&mut bytes, if is_64 { 40 } else { 32 }, width, table);
        put(&mut bytes, if is_64 { 60 } else { 48 }, 2, 3);
        put(&mut bytes, if is_64 { 62 } else { 50 }, 2, 2);
        bytes
    }

    fn note_of(bytes: &[u8], section: &str, owner: &str) -> Option<Vec<u8>> {
        let read = |offset, length| {
            let offset = usize::try_from(offset).ok()?;
            bytes.get(offset..offset.checked_add(length)?).map(<[u8]>::to_vec)
        };
        note(&read, section, owner)
    }

    #[test]
    fn the_note_is_found_in_both_classes_and_nothing_in_the_file_is_believed() {
        for is_64 in [true, false] {
            let bytes = file(is_64, ".note.x", "Acme", b"content");
            assert_eq!(note_of(&bytes, ".note.x", "Acme").as_deref(), Some(&b"content"[..]));
            assert_eq!(note_of(&bytes, ".note", "Acme"), None);
            assert_eq!(note_of(&bytes, ".note.x", "Acm"), None);
            for cut in 0..bytes.len() {
                note_of(&bytes[..cut], ".note.x", "Acme");
            }
            for at in 0..bytes.len() {
                for value in [0, 0x7f, 0xff] {
                    let mut broken = bytes.clone();
                    broken[at] = value;
                    note_of(&broken, ".note.x", "Acme");
                }
            }
            for at in 0..bytes.len() - 8 {
                let mut broken = bytes.clone();
                broken[at..at + 8].fill(0xff);
                note_of(&broken, ".note.x", "Acme");
            }
        }
        assert_eq!(note_of(b"", ".note.x", "Acme"), None);
    }
}
