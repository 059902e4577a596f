//! ELF files: what a shared library says its name is, which programs it is for, and its notes.
//!
//! Pure: reads headers and strings through a function, never code, and believes no number in the file. Source: the System V ABI,
//! chapters 4 and 5.

mod note;

pub use note::note;

/// Reads a piece of a file: offset, length. `None` where the file has no such piece.
pub type Read<'a> = &'a dyn Fn(u64, usize) -> Option<Vec<u8>>;

/// Whether the file is for 64-bit programs. `None` for what is no ELF file.
pub fn is_64_bit(read: Read<'_>) -> Option<bool> {
    match read(0, 5)?.as_slice() {
        [0x7f, b'E', b'L', b'F', class] => Some(*class == 2),
        _ => None,
    }
}

/// The name that programs are linked to, `DT_SONAME`. `None` for what is no library, or one without a name.
pub fn soname(read: Read<'_>) -> Option<String> {
    names(read, SONAME)?.into_iter().next()
}

/// The libraries that the file needs, `DT_NEEDED`. None for what is no ELF file.
pub fn needed(read: Read<'_>) -> Vec<String> {
    names(read, NEEDED).unwrap_or_default()
}

/// The names that the dynamic section has under `tag`.
fn names(read: Read<'_>, tag: u64) -> Option<Vec<String>> {
    let (class, header) = header(read)?;
    let segments = class.segments(&header, read)?;
    let dynamic = segments.iter().find(|segment| segment.kind == DYNAMIC)?;
    let entries = class.dynamic(dynamic, read)?;
    let values = |tag| entries.iter().filter(move |(is, _)| *is == tag).map(|(_, value)| *value);
    let strings = values(STRTAB).next()?;
    let name = |value| {
        let address = strings.checked_add(value)?;
        let offset = segments.iter().filter(|segment| segment.kind == LOAD).find_map(|segment| {
            let inside = address.checked_sub(segment.address).filter(|inside| *inside < segment.size)?;
            segment.offset.checked_add(inside)
        })?;
        text(read, offset).filter(|name| !name.is_empty() && !name.contains('/'))
    };
    Some(values(tag).filter_map(name).collect())
}

/// The class and the header of a file of this byte order.
fn header(read: Read<'_>) -> Option<(Class, Vec<u8>)> {
    const LITTLE_ENDIAN: u8 = 1;
    let header = read(0, 64).or_else(|| read(0, 52))?;
    let class = match header.get(..6)? {
        [0x7f, b'E', b'L', b'F', 1, LITTLE_ENDIAN] => Class { is_64: false },
        [0x7f, b'E', b'L', b'F', 2, LITTLE_ENDIAN] => Class { is_64: true },
        _ => return None,
    };
    Some((class, header))
}

/// The text at an offset, up to its NUL. `None` for what is longer than any name.
fn text(read: Read<'_>, offset: u64) -> Option<String> {
    // The file may end behind the text.
    let bytes = (0..=8).rev().find_map(|bits| read(offset, 1 << bits))?;
    let end = bytes.iter().position(|byte| *byte == 0)?;
    std::str::from_utf8(bytes.get(..end)?).ok().map(str::to_owned)
}

/// Numbers of a file of one class, all in little-endian as on every machine that this runs on.
#[derive(Clone, Copy)]
struct Class {
    is_64: bool,
}

const LOAD: u64 = 1;
const DYNAMIC: u64 = 2;
const NEEDED: u64 = 1;
const STRTAB: u64 = 5;
const SONAME: u64 = 14;

/// A program header.
struct Segment {
    kind: u64,
    offset: u64,
    address: u64,
    size: u64,
}

impl Class {
    /// The number of this width at `at`.
    fn number(bytes: &[u8], at: usize, width: usize) -> Option<u64> {
        let mut value = [0; 8];
        value.get_mut(..width)?.copy_from_slice(bytes.get(at..at.checked_add(width)?)?);
        Some(u64::from_le_bytes(value))
    }

    fn segments(self, header: &[u8], read: Read<'_>) -> Option<Vec<Segment>> {
        const MOST: u64 = 64;
        let (table, width, count, size) = if self.is_64 { (32, 8, 56, 56) } else { (28, 4, 44, 32) };
        let offset = Self::number(header, table, width)?;
        let count = Self::number(header, count, 2)?.min(MOST);
        let bytes = read(offset, usize::try_from(count).ok()?.checked_mul(size)?)?;
        let segment = |bytes: &[u8]| {
            // Their members are in another order in the two classes.
            let (offset, address, filled) = if self.is_64 { (8, 16, 32) } else { (4, 8, 16) };
            Some(Segment {
                kind: Self::number(bytes, 0, 4)?,
                offset: Self::number(bytes, offset, width)?,
                address: Self::number(bytes, address, width)?,
                size: Self::number(bytes, filled, width)?,
            })
        };
        bytes.chunks_exact(size).map(segment).collect()
    }

    fn dynamic(self, segment: &Segment, read: Read<'_>) -> Option<Vec<(u64, u64)>> {
        const LARGEST: u64 = 1 << 14;
        let width = if self.is_64 { 8 } else { 4 };
        let bytes = read(segment.offset, usize::try_from(segment.size.min(LARGEST)).ok()?)?;
        let entry = |bytes: &[u8]| Some((Self::number(bytes, 0, width)?, Self::number(bytes, width, width)?));
        bytes.chunks_exact(2 * width).map(entry).collect()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The smallest library called `name`: a header, two segments, a dynamic section of two entries, the name.
    pub(crate) fn library(is_64: bool, name: &str) -> Vec<u8> {
        let (width, header, size) = if is_64 { (8, 64, 56) } else { (4, 52, 32) };
        let mut bytes = vec![0; header];
        bytes[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', if is_64 { 2 } else { 1 }, 1]);
        let put = |bytes: &mut [u8], at: usize, width: usize, value: u64| {
            bytes[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
        };
        put(&mut bytes, if is_64 { 32 } else { 28 }, width, header as u64);
        put(&mut bytes, if is_64 { 56 } else { 44 }, 2, 2);
        let dynamic = (header + 2 * size) as u64;
        let strings = dynamic + 6 * width as u64;
        const MOVED: u64 = 0x1000;
        for (kind, offset, address, filled) in
            [(LOAD, 0, MOVED, 4096), (DYNAMIC, dynamic, MOVED + dynamic, 6 * width as u64)]
        {
            let mut segment = vec![0; size];
            let places = if is_64 { [8, 16, 32] } else { [4, 8, 16] };
            put(&mut segment, 0, 4, kind);
            for (at, value) in places.into_iter().zip([offset, address, filled]) {
                put(&mut segment, at, width, value);
            }
            bytes.extend(segment);
        }
        for value in [STRTAB, MOVED + strings, SONAME, 1, 0, 0_u64] {
            bytes.extend(&value.to_le_bytes()[..width]);
        }
        bytes.extend([&[0], name.as_bytes(), &[0; 300]].concat());
        bytes
    }

    fn soname_of(bytes: &[u8]) -> Option<String> {
        soname(&|offset, length| {
            let offset = usize::try_from(offset).ok()?;
            bytes.get(offset..offset.checked_add(length)?).map(<[u8]>::to_vec)
        })
    }

    #[test]
    fn both_classes_are_read_and_nothing_in_them_is_believed() {
        for is_64 in [true, false] {
            let bytes = library(is_64, "libx.so.1");
            assert_eq!(soname_of(&bytes).as_deref(), Some("libx.so.1"));
            for cut in 0..bytes.len() {
                soname_of(&bytes[..cut]);
            }
            for at in 0..bytes.len() {
                let mut broken = bytes.clone();
                broken[at] = 0xff;
                soname_of(&broken);
            }
        }
        for name in ["", "../../etc/passwd", &"x".repeat(400)] {
            assert_eq!(soname_of(&library(true, name)), None, "{name}");
        }
        assert_eq!(soname_of(b""), None);
        assert_eq!(soname_of(b"#!/bin/sh\n"), None);
    }
}
