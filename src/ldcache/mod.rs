//! `ld.so.cache`, the dynamic linker's index of libraries: what it says, and how libraries are added to it.
//!
//! Pure. Source: glibc elf/cache.c and elf/dl-cache.c.

mod format;
pub mod names;

pub use format::is_cache;

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

/// What a cache says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cache<'a> {
    /// Its libraries, in the order in which the linker searches.
    pub libraries: Vec<Library<'a>>,
    /// Sections that are kept as they are: their tags and bytes.
    sections: Vec<(u32, Cow<'a, [u8]>)>,
}

/// One library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Library<'a> {
    /// What kind of programs it is for: of which machine, 32 or 64 bits.
    pub flags: u32,
    /// The name that programs are linked to.
    pub name: Cow<'a, str>,
    /// Where it is.
    pub path: Cow<'a, str>,
    /// Which processors it is for.
    pub processors: Processors<'a>,
}

/// Which processors a library is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Processors<'a> {
    /// Those with these capabilities; 0 for all.
    Bits(u64),
    /// Those of a subfolder of `glibc-hwcaps`, such as `x86-64-v3`.
    Named(Cow<'a, str>),
}

impl<'a> Library<'a> {
    /// One for all processors.
    pub fn new(flags: u32, name: impl Into<Cow<'a, str>>, path: impl Into<Cow<'a, str>>) -> Self {
        Library { flags, name: name.into(), path: path.into(), processors: Processors::Bits(0) }
    }

    /// Whether both are for the same programs, by name, machine and processor.
    fn is_alike(&self, other: &Library<'_>) -> bool {
        self.programs() == other.programs()
    }

    /// What the programs that it is for have in common.
    fn programs(&self) -> (&str, u32, &Processors<'a>) {
        (&self.name, self.flags, &self.processors)
    }

    /// Whether it is for 64-bit programs of x86 or ARM.
    pub fn is_64_bit(&self) -> bool {
        matches!(self.flags & 0xff00, 0x0300 | 0x0a00)
    }
}

/// The flags of libraries for programs of this machine, of 64 or of 32 bits.
pub fn native_flags(is_64_bit: bool) -> u32 {
    const LIBC6: u32 = 3;
    match (is_64_bit, cfg!(target_arch = "aarch64")) {
        (true, true) => LIBC6 | 0x0a00,
        (true, false) => LIBC6 | 0x0300,
        (false, true) => LIBC6 | 0x0900,
        (false, false) => LIBC6,
    }
}

impl<'a> Cache<'a> {
    /// Adds libraries in front of those of the same name that are there, in the order in which the linker searches. Whether
    /// anything is new.
    pub fn merge(&mut self, new: Vec<Library<'a>>) -> bool {
        // Both may have as many libraries as an image likes: none is held against all others.
        let mut alike: BTreeMap<_, usize> = BTreeMap::new();
        let mut with_count = new.iter().map(|library| {
            let count = alike.entry(library.programs()).or_default();
            *count += 1;
            (library, *count - 1)
        });
        if with_count.all(|(library, before)| self.finds(library, before)) {
            return false;
        }
        // Those that are there already get another place.
        let is_there = |library: &Library<'a>| {
            let same_name = self.place(library);
            let mut neighbours = self.libraries.iter().skip(same_name).take_while(|other| other.name == library.name);
            neighbours.position(|other| other == library).map(|at| same_name + at)
        };
        let moved: BTreeSet<usize> = new.iter().filter_map(is_there).collect();
        let place =
            |library: &Library<'a>| self.libraries.partition_point(|other| in_search_order(other, library).is_lt());
        let mut placed: Vec<(usize, Library<'a>)> = new.into_iter().map(|library| (place(&library), library)).collect();
        // Of several for one place, the first stays first.
        placed.sort_by(|(a, x), (b, y)| a.cmp(b).then_with(|| in_search_order(x, y)));
        let mut placed = placed.into_iter().peekable();
        let known = std::mem::take(&mut self.libraries);
        self.libraries.reserve(known.len() + placed.len());
        for (at, library) in known.into_iter().enumerate() {
            while let Some((_, new)) = placed.next_if(|(place, _)| *place <= at) {
                self.libraries.push(new);
            }
            if !moved.contains(&at) {
                self.libraries.push(library);
            }
        }
        self.libraries.extend(placed.map(|(_, library)| library));
        true
    }

    /// Where the libraries of the same name begin.
    fn place(&self, library: &Library<'_>) -> usize {
        self.libraries.partition_point(|other| compare_names(&other.name, &library.name).is_gt())
    }

    /// Whether the linker would find this very library under its name, after `before` others.
    fn finds(&self, library: &Library<'_>, before: usize) -> bool {
        let of_its_name =
            self.libraries.iter().skip(self.place(library)).take_while(|other| other.name == library.name);
        of_its_name.filter(|other| library.is_alike(other)).nth(before) == Some(library)
    }
}

/// The order of a cache: names descend, as the linker's binary search needs; among libraries of one name those for more capable
/// processors come first.
fn in_search_order(a: &Library<'_>, b: &Library<'_>) -> Ordering {
    let is_plain = |library: &Library<'_>| matches!(library.processors, Processors::Bits(_));
    let bits = |library: &Library<'_>| if let Processors::Bits(bits) = library.processors { bits } else { 0 };
    compare_names(&b.name, &a.name)
        .then_with(|| b.flags.cmp(&a.flags))
        .then_with(|| is_plain(a).cmp(&is_plain(b)))
        .then_with(|| bits(b).cmp(&bits(a)))
}

/// glibc's `_dl_cache_libcmp`: digits by their value, and after everything that is no digit.
fn compare_names(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        match (a.split_first(), b.split_first()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some((x, rest_a)), Some((y, rest_b))) => match (x.is_ascii_digit(), y.is_ascii_digit()) {
                (true, false) => return Ordering::Greater,
                (false, true) => return Ordering::Less,
                (false, false) if x != y => return x.cmp(y),
                (false, false) => (a, b) = (rest_a, rest_b),
                (true, true) => {
                    let ((value_a, after_a), (value_b, after_b)) = (digits(a), digits(b));
                    let order = value_a.cmp(&value_b);
                    if order.is_ne() {
                        return order;
                    }
                    (a, b) = (after_a, after_b);
                }
            },
        }
    }
}

/// The value of the digits at the beginning, and what follows.
fn digits(bytes: &[u8]) -> (u64, &[u8]) {
    let end = bytes.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(bytes.len());
    let (digits, rest) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
    let value = digits.iter().fold(0_u64, |value, digit| value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0')));
    (value, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn found_as(name: &'static str, path: &'static str) -> Library<'static> {
        Library::new(0x0303, name, path)
    }

    pub(super) fn cache() -> Cache<'static> {
        let fast = Library {
            processors: Processors::Named("x86-64-v3".into()),
            ..found_as("libx.so.1", "/usr/lib/glibc-hwcaps/x86-64-v3/libx.so.1")
        };
        let old = Library { processors: Processors::Bits(1 << 53), ..found_as("libo.so.6", "/lib/tls/libo.so.6") };
        let libraries =
            vec![found_as("libz.so.1", "/lib/libz.so.1"), fast, found_as("libx.so.1", "/usr/lib/libx.so.1"), old];
        Cache { libraries, sections: vec![(0, b"ldconfig (made up) 2.36"[..].into())] }
    }

    #[test]
    fn new_libraries_come_before_their_like_and_once() {
        let mut merged = cache();
        let new = vec![
            found_as("libx.so.1", "/opt/libx.so.1"),
            found_as("liba.so.10", "/opt/liba.so.10"),
            found_as("liba.so.9", "/opt/liba.so.9"),
        ];
        assert!(merged.merge(new.clone()));
        let paths: Vec<_> = merged.libraries.iter().map(|library| &*library.path).collect();
        let expected = [
            "/lib/libz.so.1",
            "/usr/lib/glibc-hwcaps/x86-64-v3/libx.so.1",
            "/opt/libx.so.1",
            "/usr/lib/libx.so.1",
            "/lib/tls/libo.so.6",
            "/opt/liba.so.10",
            "/opt/liba.so.9",
        ];
        assert_eq!(paths, expected);
        let before = merged.clone();
        assert!(!merged.merge(new), "once more changes nothing");
        assert_eq!(merged, before);
        assert_eq!(Cache::parse(&merged.to_bytes()), Some(merged));
    }

    #[test]
    fn names_are_compared_as_the_linker_does() {
        for (a, b, order) in [
            ("libx.so.10", "libx.so.9", Ordering::Greater),
            ("libx.so.1", "libx.so.01", Ordering::Equal),
            ("libx.so.1", "libx.so", Ordering::Greater),
            ("lib1.so", "liba.so", Ordering::Greater),
            ("liba.so", "libb.so", Ordering::Less),
            ("", "", Ordering::Equal),
        ] {
            assert_eq!(compare_names(a, b), order, "{a} {b}");
            assert_eq!(compare_names(b, a), order.reverse(), "{b} {a}");
        }
    }
}
