//! Where shared libraries are: the folders of the usual distributions, else those that the dynamic linker's cache knows.
//!
//! Reads names, never a library. Source of the cache's format: glibc sysdeps/generic/dl-cache.h.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::Host;
use crate::error::Result;

/// Folders of 64-bit libraries, as distributions have them.
const USUAL: [&str; 4] = if cfg!(target_arch = "aarch64") {
    ["/usr/lib64", "/usr/lib/aarch64-linux-gnu", "/lib64", "/lib/aarch64-linux-gnu"]
} else {
    ["/usr/lib64", "/usr/lib/x86_64-linux-gnu", "/lib64", "/lib/x86_64-linux-gnu"]
};
/// Folders of 32-bit libraries. `/usr/lib` is one where distributions have `lib64` beside it.
const NARROW: [&str; 4] = ["/usr/lib32", "/usr/lib/i386-linux-gnu", "/usr/lib", "/lib/i386-linux-gnu"];
const CACHE: &str = "/etc/ld.so.cache";

/// The folders that hold the first of the libraries `marks` that is anywhere, each once: the usual ones and their subfolders
/// `inside`; where none of these does, those of `/etc/ld.so.cache`.
pub fn folders(host: &Host, inside: &[&str], marks: &[String]) -> Result<Vec<PathBuf>> {
    let usual = || {
        USUAL.iter().flat_map(|folder| {
            std::iter::once(PathBuf::from(folder)).chain(inside.iter().map(move |inner| Path::new(folder).join(inner)))
        })
    };
    for mark in marks {
        let found = holding(host, usual(), mark)?;
        if !found.is_empty() {
            return Ok(found);
        }
    }
    let cache = host.read_bytes(Path::new(CACHE))?.unwrap_or_default();
    for mark in marks {
        let cached: BTreeSet<&Path> = cached(&cache)
            .filter(|path| path.file_name().is_some_and(|name| is_version_of(mark, name)))
            .filter_map(Path::parent)
            .collect();
        let found = holding(host, cached.into_iter().map(Path::to_owned), mark)?;
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Ok(Vec::new())
}

/// The usual folders that hold the first of the libraries `marks` that is in any, for 32-bit programs.
pub fn narrow_folders(host: &Host, marks: &[String]) -> Result<Vec<PathBuf>> {
    for mark in marks {
        let mut found = holding(host, NARROW.iter().map(PathBuf::from), mark)?;
        let wide = holding(host, USUAL.iter().map(PathBuf::from), mark)?;
        found.retain(|folder| !wide.contains(folder));
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Ok(Vec::new())
}

fn holding(host: &Host, folders: impl Iterator<Item = PathBuf>, mark: &str) -> Result<Vec<PathBuf>> {
    let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
    for folder in folders {
        if host.find(&folder.join(mark))?.is_some()
            && let Some(at) = host.find(&folder)?
            && seen.insert((at.stat.st_dev, at.stat.st_ino))
        {
            found.push(at.path);
        }
    }
    Ok(found)
}

/// Whether both are versions of one library: the cache has the name of the link, `libx.so.1`.
fn is_version_of(mark: &str, name: &std::ffi::OsStr) -> bool {
    let stem = |name: &str| name.split_once(".so").map(|(stem, _)| stem.to_owned());
    name.to_str().and_then(stem).is_some_and(|name| stem(mark) == Some(name))
}

/// The paths of 64-bit libraries in the cache, in its order. A cache that is cut off or of another kind holds none.
fn cached(cache: &[u8]) -> impl Iterator<Item = &Path> {
    const HEADER: usize = 48;
    const ENTRY: usize = 24;
    let cache = current_format(cache).unwrap_or_default();
    let count = number(cache, 20).unwrap_or_default();
    (0..count).map_while(move |index| cache.get(HEADER + index * ENTRY..)).filter_map(move |entry| {
        let path = cache.get(number(entry, 8)?..)?.split(|byte| *byte == 0).next()?;
        (is_64_bit(number(entry, 0)?)).then_some(Path::new(std::str::from_utf8(path).ok()?))
    })
}

/// What begins with the header of today's format. Older files have it behind one of 12-byte entries.
fn current_format(cache: &[u8]) -> Option<&[u8]> {
    const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
    let at = match cache.starts_with(b"ld.so-1.7.0\0") {
        true => (16 + number(cache, 12)?.checked_mul(12)?).next_multiple_of(8),
        false => 0,
    };
    cache.get(at..).filter(|rest| rest.starts_with(MAGIC))
}

/// Of x86-64 and aarch64, by the second byte of the flags.
fn is_64_bit(flags: usize) -> bool {
    matches!(flags & 0xff00, 0x0300 | 0x0a00)
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
    usize::try_from(u32::from_le_bytes(bytes)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cache as `ldconfig` writes it, of (flags, path).
    fn cache(libraries: &[(u32, &str)]) -> Vec<u8> {
        let mut strings = Vec::new();
        let mut bytes = b"glibc-ld.so.cache1.1".to_vec();
        bytes.extend(u32::try_from(libraries.len()).unwrap().to_le_bytes());
        bytes.resize(48, 0);
        for (flags, path) in libraries {
            let value = u32::try_from(48 + libraries.len() * 24 + strings.len()).unwrap();
            strings.extend(path.bytes().chain([0]));
            bytes.extend([*flags, value, value, 0, 0, 0].iter().flat_map(|word| word.to_le_bytes()));
        }
        bytes.extend(strings);
        bytes
    }

    #[test]
    fn the_cache_is_read_in_both_layouts_and_never_trusted() {
        let new = cache(&[(0x0303, "/opt/a/libx.so.1"), (0x0003, "/opt/32/libx.so.1"), (0x0a03, "/opt/arm/libx.so.1")]);
        let expected = ["/opt/a/libx.so.1", "/opt/arm/libx.so.1"].map(Path::new);
        assert_eq!(cached(&new).collect::<Vec<_>>(), expected);

        let mut old = b"ld.so-1.7.0\0".to_vec();
        old.extend(1_u32.to_le_bytes());
        old.resize(32, 0);
        old.extend(&new);
        assert_eq!(cached(&old).collect::<Vec<_>>(), expected);

        for cut in 0..new.len() {
            assert!(cached(&new[..cut]).count() <= 2);
        }
        assert_eq!(cached(b"ld.so-1.7.0\0\xff\xff\xff\xff").count(), 0);
    }

    #[test]
    fn the_cache_is_asked_only_where_the_usual_folders_hold_nothing_and_each_folder_counts_once() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, bytes: &[u8]| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        };
        put("opt/acme/libx.so.7", b"");
        put("etc/ld.so.cache", &cache(&[(0x0303, "/opt/acme/libx.so.1"), (0x0303, "/opt/other/liby.so.1")]));
        let host = Host::open(root.path()).unwrap();
        let folders = || folders(&host, &["acme/current"], &["libw.so.7".to_owned(), "libx.so.7".to_owned()]).unwrap();
        assert_eq!(folders(), ["/opt/acme"].map(PathBuf::from));
        put("usr/lib64/acme/current/libx.so.7", b"");
        put("usr/lib64/libx.so.7", b"");
        std::os::unix::fs::symlink("usr/lib64", root.path().join("lib64")).unwrap();
        assert_eq!(folders(), ["/usr/lib64", "/usr/lib64/acme/current"].map(PathBuf::from));
    }
}
