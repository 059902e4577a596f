//! Where shared libraries are: the folders of the usual distributions, else those that the dynamic linker's cache knows.
//!
//! Reads names, never a library.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::Host;
use crate::error::Result;
use crate::ldcache::Cache;

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
    let bytes = host.read_bytes(Path::new(CACHE))?.unwrap_or_default();
    let cache = Cache::parse(&bytes).unwrap_or_default();
    let cached =
        || cache.libraries.iter().filter(|library| library.is_64_bit()).map(|library| Path::new(&*library.path));
    for mark in marks {
        let cached: BTreeSet<&Path> = cached()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ldcache::Library;

    #[test]
    fn the_cache_is_asked_only_where_the_usual_folders_hold_nothing_and_each_folder_counts_once() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, bytes: &[u8]| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        };
        put("opt/acme/libx.so.7", b"");
        let cached = |flags, path: &'static str| Library::new(flags, path, path);
        let mut cache = Cache::default();
        cache.merge(vec![
            cached(0x0303, "/opt/acme/libx.so.1"),
            cached(0x0303, "/opt/other/liby.so.1"),
            cached(3, "/opt/32/libx.so.1"),
        ]);
        put("opt/32/libx.so.7", b"");
        put("etc/ld.so.cache", &cache.to_bytes());
        let host = Host::open(root.path()).unwrap();
        let folders = || folders(&host, &["acme/current"], &["libw.so.7".to_owned(), "libx.so.7".to_owned()]).unwrap();
        assert_eq!(folders(), ["/opt/acme"].map(PathBuf::from));
        put("usr/lib64/acme/current/libx.so.7", b"");
        put("usr/lib64/libx.so.7", b"");
        std::os::unix::fs::symlink("usr/lib64", root.path().join("lib64")).unwrap();
        assert_eq!(folders(), ["/usr/lib64", "/usr/lib64/acme/current"].map(PathBuf::from));
    }
}
