//! Searching for bytes eight at a time.
//!
//! The standard library's searches are made for long texts, and a CDI file has very many short ones.

/// Eight bytes, the first of them in the lowest bits.
pub(super) type Word = u64;

const HIGHEST: Word = splat(0x80);

/// Where the first byte is, from `at` on, of which `hits` sets a bit and, but for bytes behind it, of no other.
#[inline]
pub(super) fn find(bytes: &[u8], mut at: usize, hits: impl Fn(Word) -> Word) -> Option<usize> {
    while let Some(word) = bytes.get(at..)?.first_chunk() {
        let hits = hits(Word::from_le_bytes(*word));
        if hits != 0 {
            return Some(at + hits.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    let rest = bytes.get(at..)?;
    let hits = hits(rest.iter().rev().fold(0, |word, byte| word << 8 | Word::from(*byte)));
    let place = hits.trailing_zeros() as usize / 8;
    (place < rest.len()).then_some(at + place)
}

/// The highest bit of the first byte of `word` that is `byte`, and perhaps of some behind it.
#[inline]
pub(super) fn equal(word: Word, byte: u8) -> Word {
    let word = word ^ splat(byte);
    word.wrapping_sub(splat(1)) & !word & HIGHEST
}

/// Bits of each byte of `word` that is not `byte`.
#[inline]
pub(super) fn other(word: Word, byte: u8) -> Word {
    word ^ splat(byte)
}

/// The highest bit of each byte of `word` that is not printable ASCII.
#[inline]
pub(super) fn unprintable(word: Word) -> Word {
    let ascii = word & !HIGHEST;
    // No sum of two bytes below 0x80 reaches the next byte.
    let is_control = !(ascii + splat(0x60));
    let is_delete = ascii + splat(1);
    (word | is_control | is_delete) & HIGHEST
}

/// The highest bit of each byte of `word` that is neither printable ASCII nor a line feed.
#[inline]
pub(super) fn unusual(word: Word) -> Word {
    let without_line_feed = (word & !HIGHEST) ^ splat(b'\n');
    unprintable(word) & (word | (without_line_feed + splat(0x7f)))
}

/// `byte` eight times.
#[inline]
pub(super) const fn splat(byte: u8) -> Word {
    Word::from_le_bytes([byte; 8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_found_at_every_place_and_no_other_is() {
        for byte in 0..=255_u8 {
            let is_usual = byte == b'\n' || (b' '..=b'~').contains(&byte);
            for length in 0..20 {
                for place in 0..length {
                    let mut bytes = vec![b'x'; length];
                    bytes[place] = byte;
                    assert_eq!(find(&bytes, 0, unusual), (!is_usual).then_some(place), "{byte} at {place} of {length}");
                    let unprintable = find(&bytes, 0, unprintable);
                    assert_eq!(unprintable, (!is_usual || byte == b'\n').then_some(place), "{byte} at {place}");
                    let other = find(&bytes, 0, |word| other(word, b'x'));
                    assert_eq!(other, (byte != b'x').then_some(place), "{byte} at {place} of {length}");
                    let first = if byte == b'x' { 0 } else { place };
                    assert_eq!(find(&bytes, 0, |word| equal(word, byte)), Some(first), "{byte} at {place} of {length}");
                    // A byte that differs in the lowest bit alone follows, as for `zeros` it does worst.
                    bytes[place..].fill(byte ^ 1);
                    bytes[place] = byte;
                    assert_eq!(
                        find(&bytes, place, |word| equal(word, byte ^ 1)),
                        (place + 1 < length).then_some(place + 1)
                    );
                }
                assert_eq!(find(&vec![b'x'; length], 0, |word| equal(word, b'y')), None);
            }
        }
    }
}
