//! POSIX access control lists, as the kernel gives them in an extended attribute.
//!
//! Pure. Format: `include/uapi/linux/posix_acl_xattr.h`.

/// The attribute.
pub(super) const NAME: &str = "system.posix_acl_access";
/// The largest list that is read, in bytes. A longer one is an error of the call, and so is not trusted.
pub(super) const LARGEST: usize = 4 << 10;

const VERSION: u32 = 2;
const USER: u16 = 0x02;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const WRITE: u16 = 0x02;

/// Who else than root and user `reader` may write by the list in `text`: `user 1000`. The owner and the group of the file are in its
/// mode, and so is everybody.
pub(super) fn other_writer(text: &[u8], reader: u32) -> Option<String> {
    let Some((version, entries)) = text.split_first_chunk() else { return Some("which is none".to_owned()) };
    let entries = entries.as_chunks();
    if u32::from_le_bytes(*version) != VERSION || !entries.1.is_empty() {
        return Some("of a format that is not known".to_owned());
    }
    let entries = entries.0.iter().map(|[t0, t1, p0, p1, id @ ..]: &[u8; 8]| {
        (u16::from_le_bytes([*t0, *t1]), u16::from_le_bytes([*p0, *p1]), u32::from_le_bytes(*id))
    });
    let mask = entries.clone().find(|(tag, ..)| *tag == MASK).map_or(WRITE, |(_, mask, _)| mask);
    let mut writers = entries.filter(|(_, may, _)| may & mask & WRITE != 0);
    writers.find_map(|(tag, _, id)| match tag {
        USER if id != 0 && id != reader => Some(format!("user {id}")),
        GROUP if id != 0 => Some(format!("group {id}")),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: (u16, u16, u32) = (0x01, 6, u32::MAX);
    const OWN_GROUP: (u16, u16, u32) = (0x04, 6, u32::MAX);
    const OTHERS: (u16, u16, u32) = (0x20, 4, u32::MAX);

    fn list(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let entry =
            |(tag, may, id): &(u16, u16, u32)| [&tag.to_le_bytes()[..], &may.to_le_bytes(), &id.to_le_bytes()].concat();
        [VERSION.to_le_bytes().to_vec(), entries.iter().flat_map(entry).collect()].concat()
    }

    #[test]
    fn whoever_else_may_write_is_named() {
        for (what, entries, reader, expected) in [
            ("a user", vec![OWNER, (USER, 6, 1000), OWN_GROUP, (MASK, 6, u32::MAX), OTHERS], 0, Some("user 1000")),
            ("a group", vec![OWNER, OWN_GROUP, (GROUP, 2, 44), (MASK, 7, u32::MAX), OTHERS], 0, Some("group 44")),
            ("a user who reads", vec![OWNER, (USER, 4, 1000), OWN_GROUP, (MASK, 6, u32::MAX), OTHERS], 0, None),
            ("a masked user", vec![OWNER, (USER, 6, 1000), OWN_GROUP, (MASK, 4, u32::MAX), OTHERS], 0, None),
            ("the reader", vec![OWNER, (USER, 6, 1000), OWN_GROUP, (MASK, 6, u32::MAX), OTHERS], 1000, None),
            ("root", vec![OWNER, (USER, 6, 0), (GROUP, 6, 0), (MASK, 6, u32::MAX), OTHERS], 1000, None),
            ("no mask", vec![OWNER, (USER, 6, 1000), OWN_GROUP, OTHERS], 0, Some("user 1000")),
            ("nobody else", vec![OWNER, OWN_GROUP, OTHERS], 0, None),
        ] {
            assert_eq!(other_writer(&list(&entries), reader).as_deref(), expected, "{what}");
        }
    }

    #[test]
    fn what_is_no_list_lets_somebody_write() {
        for text in [&[][..], &[2, 0, 0], &[3, 0, 0, 0], &[2, 0, 0, 0, 1], &[2, 0, 0, 0, 1, 0, 6, 0, 0, 0, 0]] {
            assert!(other_writer(text, 0).is_some(), "{text:?}");
        }
    }
}
