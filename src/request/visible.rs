//! Lists of devices as people write them in environment variables: `0,2-3`, `GPU-1f…`, `all`, `acme.example/npu=0`.
//!
//! Pure, and vendor-neutral: what is no word, range or qualified name of this grammar is an id for the vendor to know.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use crate::cdi::QualifiedName;
use crate::error::Escaped;

use super::{Options, Selection};

/// The longest value that is read. A list of every device of the largest machines is far below it.
pub(super) const LONGEST: usize = 64 * 1024;
/// The most devices that one list may name, or count.
pub(super) const MOST: usize = 1024;

/// What a list names. Qualified names and the rest are wishes of their own.
#[derive(Debug, Default, PartialEq)]
pub(super) struct List {
    /// Qualified names, in order.
    pub names: Vec<QualifiedName>,
    /// The rest. `none` is [`Selection::DriverOnly`].
    pub selection: Option<Selection>,
    /// How the devices are leased, chosen and limited.
    pub options: Options,
}

impl List {
    /// Whether nothing is asked for.
    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty() && self.selection.is_none()
    }

    /// Whether devices are named, as no image does that is to run anywhere.
    pub(super) fn names_devices(&self) -> bool {
        !self.names.is_empty() || matches!(self.selection, Some(Selection::Ids(_)))
    }

    /// The list, unless it names more devices than any machine has.
    pub(super) fn of_bounded_size(self) -> Result<Self, String> {
        let ids = if let Some(Selection::Ids(ids)) = &self.selection { ids.len() } else { 0 };
        if self.names.len() + ids > MOST { Err(format!("more than {MOST} devices")) } else { Ok(self) }
    }
}

/// Reads a variable's value: items between commas.
pub(super) fn parse(value: &str) -> Result<List, String> {
    check_length(value)?;
    from_items(value.split(','))
}

/// Refuses what nobody writes on purpose.
pub(super) fn check_length(value: &str) -> Result<(), String> {
    if value.len() > LONGEST { Err(format!("the value is longer than {} KiB", LONGEST / 1024)) } else { Ok(()) }
}

/// Reads a list's items. Blank ones do not count, and the second of two equal ones does not either. `void` makes the whole list
/// ask for nothing; of `all` and `none`, the one that comes first makes the ids beside it moot.
pub(super) fn from_items<'a>(items: impl IntoIterator<Item = &'a str>) -> Result<List, String> {
    let (mut names, mut ids, mut word) = (Vec::new(), Vec::new(), None);
    let mut seen = BTreeSet::new();
    for item in items.into_iter().map(str::trim).filter(|item| !item.is_empty()) {
        match item {
            "void" => return Ok(List::default()),
            "all" | "All" | "ALL" => word = word.or(Some(Selection::All)),
            "none" => word = word.or(Some(Selection::DriverOnly)),
            // Too many as they are; what follows may still make them moot.
            _ if names.len() + ids.len() > MOST => {}
            _ => match (qualified(item), range(item)?) {
                (Some(name), _) if seen.insert(item.to_owned()) => names.push(name),
                (Some(_), _) => {}
                (None, Some(range)) => {
                    ids.extend(range.map(|index| index.to_string()).filter(|id| seen.insert(id.clone())));
                }
                (None, None) if seen.insert(item.to_owned()) => ids.push(item.to_owned()),
                (None, None) => {}
            },
        }
    }
    let selection = word.or_else(|| (!ids.is_empty()).then_some(Selection::Ids(ids)));
    List { names, selection, ..List::default() }.of_bounded_size()
}

fn qualified(item: &str) -> Option<QualifiedName> {
    if item.contains('=') { item.parse().ok() } else { None }
}

/// `2-5`. Other texts with a hyphen are ids.
fn range(item: &str) -> Result<Option<RangeInclusive<u32>>, String> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let Some((first, last)) = item.split_once('-').filter(|(first, last)| is_number(first) && is_number(last)) else {
        return Ok(None);
    };
    let (Ok(first), Ok(last)) = (first.parse::<u32>(), last.parse::<u32>()) else {
        return Err(format!("the range {} is of numbers that no device has", Escaped::quoted(item)));
    };
    if first > last {
        return Err(format!("the range {} ends before it begins; write \"{last}-{first}\"", Escaped::quoted(item)));
    }
    if usize::try_from(last - first).is_ok_and(|steps| steps < MOST) {
        Ok(Some(first..=last))
    } else {
        Err(format!("the range {} is of more than {MOST} devices", Escaped::quoted(item)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[&str]) -> Option<Selection> {
        Some(Selection::Ids(ids.iter().map(|&id| id.to_owned()).collect()))
    }

    #[test]
    fn a_list_names_devices_in_its_order_and_each_once() {
        for (value, selection) in [
            ("0", ids(&["0"])),
            ("0,0", ids(&["0"])),
            ("1,0,1", ids(&["1", "0"])),
            (" 0 ,\t1\n", ids(&["0", "1"])),
            (",0,,1,", ids(&["0", "1"])),
            ("0-2", ids(&["0", "1", "2"])),
            ("2-2", ids(&["2"])),
            ("2000-2001", ids(&["2000", "2001"])),
            ("1,0-2,2", ids(&["1", "0", "2"])),
            ("007-8", ids(&["7", "8"])),
            ("0:1,GPU-1f-2e", ids(&["0:1", "GPU-1f-2e"])),
            ("MIG-GPU-1f/3/0", ids(&["MIG-GPU-1f/3/0"])),
            ("0000:03:00.0,0x8C1F", ids(&["0000:03:00.0", "0x8C1F"])),
            ("-1,1-,1-2-3,a-b,0x1-0x2", ids(&["-1", "1-", "1-2-3", "a-b", "0x1-0x2"])),
            ("aLL,None", ids(&["aLL", "None"])),
            ("acme.example/npu", ids(&["acme.example/npu"])),
            ("npu=0", ids(&["npu=0"])),
        ] {
            assert_eq!(parse(value), Ok(List { selection, ..List::default() }), "{value:?}");
        }
    }

    #[test]
    fn words_decide_for_the_whole_list() {
        for (value, selection) in [
            ("all", Some(Selection::All)),
            ("All", Some(Selection::All)),
            ("ALL", Some(Selection::All)),
            ("0,all", Some(Selection::All)),
            ("all,none", Some(Selection::All)),
            ("none", Some(Selection::DriverOnly)),
            ("0,none,all", Some(Selection::DriverOnly)),
            ("void", None),
            ("0,void", None),
            ("all, void", None),
            ("acme.example/npu=0,void", None),
            ("", None),
            (" , ,", None),
        ] {
            assert_eq!(parse(value), Ok(List { selection, ..List::default() }), "{value:?}");
        }
    }

    #[test]
    fn qualified_names_may_stand_beside_anything_else() {
        for (value, names, selection) in [
            ("acme.example/npu=0", vec!["acme.example/npu=0"], None),
            (
                "acme.example/npu=b,0,acme.example/npu=a,acme.example/npu=b",
                vec!["acme.example/npu=b", "acme.example/npu=a"],
                ids(&["0"]),
            ),
            ("all,acme.example/npu=0", vec!["acme.example/npu=0"], Some(Selection::All)),
            ("acme.example/npu=0-3", vec!["acme.example/npu=0-3"], None),
        ] {
            let list = parse(value).unwrap();
            assert_eq!(list.names.iter().map(ToString::to_string).collect::<Vec<_>>(), names, "{value:?}");
            assert_eq!(list.selection, selection, "{value:?}");
        }
    }

    #[test]
    fn senseless_and_boundless_lists_are_refused() {
        let many: Vec<_> = (0..1025).map(|i| format!("GPU-{i}")).collect();
        for (value, reason) in [
            ("3-1", r#"the range "3-1" ends before it begins; write "1-3""#),
            ("0,9-0", r#"the range "9-0" ends before it begins; write "0-9""#),
            ("0-1024", r#"the range "0-1024" is of more than 1024 devices"#),
            ("0-4294967295", r#"the range "0-4294967295" is of more than 1024 devices"#),
            ("0-4294967296", r#"the range "0-4294967296" is of numbers that no device has"#),
            ("0-1023,1024", "more than 1024 devices"),
            (&many.join(","), "more than 1024 devices"),
            (&" ".repeat(LONGEST + 1), "the value is longer than 64 KiB"),
        ] {
            assert_eq!(parse(value).unwrap_err(), reason);
        }
        assert!(parse("0-1023").is_ok());
        assert_eq!(parse(&" ".repeat(LONGEST)), Ok(List::default()));
    }
}
