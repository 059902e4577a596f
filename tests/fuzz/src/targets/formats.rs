//! Formats of others: the linker's cache, libraries, hooks' arguments, patterns of names.

use std::cell::Cell;

use gpu_runc::elf;
use gpu_runc::host::numbers;
use gpu_runc::host::pattern::Pattern;
use gpu_runc::ldcache::{Cache, Library, names};
use gpu_runc::rootfs::arguments::{self, Meaning};

use super::text;

/// A cache of the dynamic linker: what is read is written and read back, and new libraries go in once.
pub(super) fn ldcache(data: &[u8]) {
    let Some(mut cache) = Cache::parse(data) else { return };
    assert_eq!(Cache::parse(&cache.to_bytes()).as_ref(), Some(&cache));
    let new: Vec<_> = ["/opt/libcuda.so.1", "/opt/libx.so.10", "/opt/libx.so.9"]
        .map(|path| Library::new(0x0303, names::library(path).unwrap_or_default(), path))
        .to_vec();
    let was_sorted = is_sorted(&cache);
    cache.merge(new.clone());
    assert_eq!(Cache::parse(&cache.to_bytes()).as_ref(), Some(&cache));
    for library in &new {
        assert!(cache.libraries.contains(library));
    }
    if was_sorted {
        assert!(is_sorted(&cache) && !cache.merge(new), "once more changes nothing");
    }
}

/// Whether a cache has the order in which it is searched; no linker finds much in one that has not. Told of small ones only.
fn is_sorted(cache: &Cache<'_>) -> bool {
    let mut anew = Cache::default();
    cache.libraries.len() < 256
        && (anew.merge(cache.libraries.clone()) || anew == *cache)
        && anew.libraries == cache.libraries
}

/// A library: whatever its headers say, little of it is read, and names stay names.
pub(super) fn elf(data: &[u8]) {
    let asked = Cell::new(0);
    let read = |offset: u64, length: usize| {
        asked.set(asked.get() + length);
        let offset = usize::try_from(offset).ok()?;
        data.get(offset..offset.checked_add(length)?).map(<[u8]>::to_vec)
    };
    elf::is_64_bit(&read);
    if let Some(name) = elf::soname(&read) {
        assert!(!name.is_empty() && !name.contains('/') && name.len() < 256, "{name:?}");
    }
    for (section, owner) in [(".note.cuda.fatbin_info", "NVIDIA"), (".note.x", "Acme")] {
        let note = elf::note(&read, section, owner);
        assert!(note.is_none_or(|note| note.len() <= data.len()));
    }
    assert!(asked.get() < 1 << 20, "{} bytes were asked for", asked.get());
}

/// Arguments of a hook between newlines: every place that they come to is absolute.
pub(super) fn hook(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let args: Vec<&str> = text.split('\n').collect();
    let Ok(Meaning::Work(work, _)) = arguments::parse(&args) else { return };
    let paths = work.folders.iter().chain(work.modes.iter().map(|(_, path)| path));
    for path in paths.chain(work.links.iter().map(|link| &link.place)) {
        assert!(path.starts_with('/'), "{path:?}");
    }
}

/// A pattern, and on the lines below it names, which it matches as it is defined; the kernel's table of numbers.
pub(super) fn pattern(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let mut lines = text.lines();
    let pattern = lines.next().unwrap_or_default();
    for name in lines.filter(|name| name.len() * pattern.len() < 1 << 16) {
        assert_eq!(
            Pattern::new(pattern).matches(name),
            is_match(pattern.as_bytes(), name.as_bytes()),
            "{pattern:?} {name:?}"
        );
    }
    let major = numbers::major(text, pattern);
    assert!(major.is_none_or(|major| numbers::is_given(text, major)), "{major:?}");
}

/// What a pattern means, by its definition and without thought of time: the row of a table per byte of the pattern.
fn is_match(pattern: &[u8], name: &[u8]) -> bool {
    let mut reached = vec![false; name.len() + 1];
    reached[0] = true;
    for byte in pattern {
        let mut next = vec![false; name.len() + 1];
        for at in 0..=name.len() {
            next[at] = match byte {
                b'*' => reached[at] || (at > 0 && next[at - 1]),
                byte => at > 0 && reached[at - 1] && name[at - 1] == *byte,
            };
        }
        reached = next;
    }
    reached[name.len()]
}
