//! Where shared libraries are: directories that hold a known one, links to it, and what the dynamic linker's cache knows.
//!
//! Reads names, never a library.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::Host;
use super::memory::State;
use crate::error::Result;
use crate::ldcache::Cache;

/// Directories of 64-bit libraries, as distributions have them.
pub const USUAL: [&str; 4] = if cfg!(target_arch = "aarch64") {
    ["/usr/lib64", "/usr/lib/aarch64-linux-gnu", "/lib64", "/lib/aarch64-linux-gnu"]
} else {
    ["/usr/lib64", "/usr/lib/x86_64-linux-gnu", "/lib64", "/lib/x86_64-linux-gnu"]
};
/// Directories of 32-bit libraries. `/usr/lib` is one where distributions have `lib64` beside it.
pub const NARROW: [&str; 4] = ["/usr/lib32", "/usr/lib/i386-linux-gnu", "/usr/lib", "/lib/i386-linux-gnu"];
const CACHE: &str = "/etc/ld.so.cache";

/// A library by which the directories of a driver are told from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The name of its file.
    pub file: String,
    /// The name of the link by which programs find it.
    pub link: String,
}

/// A directory that holds libraries of a driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// The directory, as it is called on the host.
    pub path: PathBuf,
    /// The same without links, where the host is seen from a root of its own.
    pub real: PathBuf,
    /// What it was like when it was found.
    pub state: State,
    /// The distribution's own directory, below which loaders look for modules. The same where the driver is installed in it.
    pub loader: PathBuf,
}

/// The first of `directories` that holds `mark`.
pub fn holding<'d>(
    host: &Host,
    directories: impl IntoIterator<Item = &'d Path>,
    mark: &Mark,
) -> Result<Vec<Directory>> {
    let mut found = Found::default();
    for directory in directories {
        if visible(host.find(&directory.join(&mark.file)))?.is_some() {
            found.add(host, directory, directory)?;
            break;
        }
    }
    Ok(found.directories)
}

/// Where the driver is in a directory of its own: what the links in `directories` lead to, together with the directory of the
/// link, which holds the rest of the driver; else the subdirectories of `versions`. Debian's alternatives are such links.
pub fn split(host: &Host, directories: &[&str], versions: &str, mark: &Mark) -> Result<Vec<Directory>> {
    let mut found = Found::default();
    for directory in directories.iter().map(Path::new) {
        let target = visible(host.target(&directory.join(&mark.link)))?.map(|target| target.path);
        if let Some(own) = target.filter(|path| path.file_name() == Some(OsStr::new(&mark.file))) {
            found.add(host, own.parent().unwrap_or(&own), directory)?;
            found.add(host, directory, directory)?;
        }
    }
    if !found.directories.is_empty() {
        return Ok(found.directories);
    }
    // The selected driver is another one than the loaded one, or no driver is selected.
    for directory in directories.iter().map(Path::new) {
        let versions = directory.join(versions);
        for name in host.list(&versions, |_| true)?.unwrap_or_default() {
            let own = versions.join(name);
            if host.find(&own.join(&mark.file))?.is_some() {
                found.add(host, &own, directory)?;
                found.add(host, directory, directory)?;
            }
        }
    }
    Ok(found.directories)
}

/// The directories of 64-bit libraries that `/etc/ld.so.cache` names and that hold the first of `marks` that is in any.
pub fn cached(host: &Host, marks: &[Mark]) -> Result<Vec<Directory>> {
    let bytes = host.read_bytes(Path::new(CACHE))?.unwrap_or_default();
    let cache = Cache::parse(&bytes).unwrap_or_default();
    let wide = || cache.libraries.iter().filter(|library| library.is_64_bit()).map(|library| Path::new(&*library.path));
    for mark in marks {
        let named: BTreeSet<&Path> = wide()
            .filter(|path| path.file_name().is_some_and(|name| is_version_of(&mark.file, name)))
            .filter_map(Path::parent)
            .collect();
        let found = holding(host, named, mark)?;
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Ok(Vec::new())
}

/// What the links to `mark` in `directories` lead to: other versions of the driver than the one that is looked for.
pub fn others(host: &Host, directories: &[&str], mark: &Mark) -> Result<Vec<PathBuf>> {
    let mut others = BTreeSet::new();
    for directory in directories {
        let target = host.target(&Path::new(directory).join(&mark.link))?.map(|target| target.path);
        others.extend(target.filter(|path| path.file_name() != Some(OsStr::new(&mark.file))));
    }
    Ok(others.into_iter().collect())
}

/// What is kept from this user is nothing that could be mounted for a container of theirs.
fn visible(found: Result<Option<super::Found>>) -> Result<Option<super::Found>> {
    match found {
        Err(error) if error.is_denied() => Ok(None),
        found => found,
    }
}

/// Directories that were found, each once however many names it has.
#[derive(Default)]
struct Found {
    directories: Vec<Directory>,
}

impl Found {
    fn add(&mut self, host: &Host, path: &Path, loader: &Path) -> Result<()> {
        let Some(at) = host.find(path)? else { return Ok(()) };
        let state = State::of(&at.stat);
        if !self.directories.iter().any(|known| known.state.id == state.id) {
            self.directories.push(Directory { path: path.to_owned(), real: at.path, state, loader: loader.to_owned() });
        }
        Ok(())
    }
}

/// Whether both are versions of one library: the cache has the name of the link, `libx.so.1`.
fn is_version_of(mark: &str, name: &OsStr) -> bool {
    let stem = |name: &str| name.split_once(".so").map(|(stem, _)| stem.to_owned());
    name.to_str().and_then(stem).is_some_and(|name| stem(mark) == Some(name))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;
    use crate::ldcache::Library;

    fn put(root: &TempDir, path: &str, bytes: &[u8]) {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    fn link(root: &TempDir, target: &str, path: &str) {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
    }

    fn mark(version: &str) -> Mark {
        Mark { file: format!("libx.so.{version}"), link: "libx.so.1".to_owned() }
    }

    fn paths(found: &[Directory]) -> Vec<(&str, &str)> {
        let text = |path: &'_ PathBuf| -> &'static str { String::leak(path.to_str().unwrap().to_owned()) };
        found.iter().map(|found| (text(&found.path), text(&found.loader))).collect()
    }

    #[test]
    fn the_first_directory_that_holds_the_driver_is_taken() {
        let root = tempfile::tempdir().unwrap();
        put(&root, "usr/lib64/libx.so.6", b"");
        put(&root, "usr/lib/libx.so.7", b"");
        link(&root, "usr/lib", "lib");
        let host = Host::open(root.path()).unwrap();
        let found = holding(&host, ["/usr/lib64", "/usr/lib", "/lib"].map(Path::new), &mark("7")).unwrap();
        assert_eq!(paths(&found), [("/usr/lib", "/usr/lib")]);
    }

    #[test]
    fn the_cache_names_directories_that_no_layout_has() {
        let root = tempfile::tempdir().unwrap();
        let cached_at = |flags, path: &'static str| Library::new(flags, path, path);
        let mut cache = Cache::default();
        cache.merge(vec![
            cached_at(0x0303, "/opt/acme/libx.so.1"),
            cached_at(0x0303, "/opt/other/liby.so.1"),
            cached_at(3, "/opt/32/libx.so.1"),
        ]);
        for path in ["opt/acme/libx.so.7", "opt/32/libx.so.7"] {
            put(&root, path, b"");
        }
        put(&root, "etc/ld.so.cache", &cache.to_bytes());
        let host = Host::open(root.path()).unwrap();
        let missing = Mark { file: "libw.so.7".to_owned(), link: "libw.so.1".to_owned() };
        assert_eq!(paths(&cached(&host, &[missing, mark("7")]).unwrap()), [("/opt/acme", "/opt/acme")]);
    }

    #[test]
    fn a_driver_in_a_directory_of_its_own_is_found_by_links_to_it_or_by_its_name() {
        let root = tempfile::tempdir().unwrap();
        put(&root, "usr/lib/nvidia/current/libx.so.7", b"");
        put(&root, "usr/lib/nvidia/tesla/libx.so.6", b"");
        put(&root, "usr/lib/nvidia/README", b"");
        link(&root, "/etc/alternatives/x", "usr/lib/libx.so.1");
        link(&root, "/usr/lib/nvidia/current/libx.so.1", "etc/alternatives/x");
        link(&root, "libx.so.7", "usr/lib/nvidia/current/libx.so.1");
        let host = Host::open(root.path()).unwrap();
        let whole = |own: &'static str| vec![(own, "/usr/lib"), ("/usr/lib", "/usr/lib")];
        for (version, expected, others) in [
            ("7", whole("/usr/lib/nvidia/current"), vec![]),
            ("6", whole("/usr/lib/nvidia/tesla"), vec![PathBuf::from("/usr/lib/nvidia/current/libx.so.7")]),
            ("5", vec![], vec![PathBuf::from("/usr/lib/nvidia/current/libx.so.7")]),
        ] {
            let mark = mark(version);
            assert_eq!(paths(&split(&host, &["/usr/lib"], "nvidia", &mark).unwrap()), expected, "{version}");
            assert_eq!(super::others(&host, &["/usr/lib"], &mark).unwrap(), others, "{version}");
        }
    }

    #[test]
    fn links_that_lead_nowhere_or_in_a_circle_hold_nothing() {
        for target in ["/etc/alternatives/none", "libx.so.1", "../../../../../etc"] {
            let root = tempfile::tempdir().unwrap();
            link(&root, target, "usr/lib/libx.so.1");
            let host = Host::open(root.path()).unwrap();
            assert_eq!(split(&host, &["/usr/lib"], "nvidia", &mark("7")).unwrap(), [], "{target}");
        }
    }
}
