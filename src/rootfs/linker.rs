//! The dynamic linker's cache in a container's root, and the folders for whoever runs `ldconfig` later.
//!
//! Runs nothing and maps nothing of the root. What libraries are called is told by the mounts that show them, or by the files
//! themselves where they are in the root.

use std::collections::BTreeMap;
use std::path::Path;

use nix::sys::stat::Mode;

use super::links;
use super::root::ContainerRoot;
use super::tree::Tree;
use super::work::Link;
use crate::cdi::Mount;
use crate::elf;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::ldcache::{Cache, Library, is_cache, names, native_flags};

pub(super) const CACHE: &str = "/etc/ld.so.cache";
/// Read before the image's own, as the driver's libraries come before.
pub(super) const DROP_IN: &str = "/etc/ld.so.conf.d/00-gpu-runc.conf";
const CONFIGURATION: &str = "/etc/ld.so.conf";
const INCLUDE: &[u8] = b"include /etc/ld.so.conf.d/*.conf\n";
/// The most that is read of one of these. The caches of large desktops have 400 KB.
pub(super) const LARGEST: u64 = 16 << 20;
const FOR_ALL: Mode = Mode::from_bits_truncate(0o644);
const GLIBC: [&str; 4] =
    ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1", "/lib/ld-linux.so.2", "/lib64/ld-linux-aarch64.so.1"];
const MUSL: [&str; 2] = ["/lib/ld-musl-x86_64.so.1", "/lib/ld-musl-aarch64.so.1"];

/// The most libraries that are taken of a folder that an image's author chooses, where real ones have ten.
pub(super) const MOST_LIBRARIES: usize = 256;
/// The most libraries of a folder in which the driver's are beside a system's.
pub(super) const MOST_OF_A_SYSTEM: usize = 1 << 16;

/// Stands in the drop-in before each folder of [`Libraries::newer`].
const NEWER: &str = "# of the image, and newer than the machine's";

/// What the linker is to find before what it finds already, in this order.
#[derive(Debug, Default)]
pub(super) struct Libraries<'a> {
    /// Those of the image that come before the machine's.
    pub newer: Vec<Library<'a>>,
    /// The machine's.
    pub driver: Vec<Library<'a>>,
}

/// What the linker's files are to be, so that it finds some libraries.
#[derive(Debug)]
pub(super) enum Merged {
    /// The linker cannot be told, for this reason.
    Not(&'static str),
    /// Nothing in the root would read a cache, such as a static program.
    NoLinker,
    /// These are to be written.
    Files {
        /// The cache; `None` where it has the libraries already.
        cache: Option<Vec<u8>>,
        /// The drop-in.
        drop_in: Vec<u8>,
    },
}

/// Merges `libraries` with `bytes`, the cache that programs of `root` see, if there is one.
pub(super) fn merged(root: &Tree, bytes: Option<&[u8]>, libraries: Libraries<'_>) -> Merged {
    let has = |loaders: &[&str]| loaders.iter().any(|loader| root.has(Path::new(loader)));
    // One that is empty, or of zeros, is what a loss of power leaves of one that was just written.
    let mut cache = match bytes.filter(|bytes| is_cache(bytes)) {
        Some(bytes) => match Cache::parse(bytes) {
            Some(cache) => cache,
            None => return Merged::Not("the image's /etc/ld.so.cache is of no known format, and stays as it is"),
        },
        None if has(&GLIBC) => Cache::default(),
        None if has(&MUSL) => {
            return Merged::Not(
                "the image's C library is musl; the driver's libraries need glibc, and its programs cannot load them",
            );
        }
        None => return Merged::NoLinker,
    };
    let drop_in = drop_in(&libraries).into_bytes();
    let Libraries { mut newer, driver } = libraries;
    newer.extend(driver);
    Merged::Files { cache: cache.merge(newer).then(|| cache.to_bytes()), drop_in }
}

/// Has the linker of programs in `root` find `libraries`, with the cache there. Returns a note where it will not.
pub(super) fn add(root: &ContainerRoot, libraries: Libraries<'_>) -> Result<Option<String>> {
    let bytes = root.tree().read(Path::new(CACHE), LARGEST)?;
    match merged(root.tree(), bytes.as_deref(), libraries) {
        Merged::Not(note) => Ok(Some(note.to_owned())),
        Merged::NoLinker => Ok(None),
        Merged::Files { cache, drop_in } => {
            if let Some(cache) = cache {
                root.put(Path::new(CACHE), &cache, FOR_ALL)?;
            }
            put_drop_in(root, &drop_in).map(|()| None)
        }
    }
}

/// Puts the drop-in where it is, and has it read.
pub(super) fn put_drop_in(root: &ContainerRoot, text: &[u8]) -> Result<()> {
    if root.tree().read(Path::new(DROP_IN), LARGEST)?.as_deref() == Some(text) {
        return Ok(());
    }
    // First, because with the drop-in all is done.
    if !root.tree().has(Path::new(CONFIGURATION)) {
        root.put(Path::new(CONFIGURATION), INCLUDE, FOR_ALL)?;
    }
    root.put(Path::new(DROP_IN), text, FOR_ALL)
}

/// The folders of `libraries`, for whoever runs `ldconfig` later.
fn drop_in(libraries: &Libraries<'_>) -> String {
    let mut text = String::new();
    let mut known: Vec<&str> = Vec::new();
    for (is_newer, list) in [(true, &libraries.newer), (false, &libraries.driver)] {
        for folder in list.iter().filter_map(|library| names::folder(&library.path)) {
            if !known.contains(&folder) {
                known.push(folder);
                text.push_str(&if is_newer { format!("{NEWER}\n{folder}\n") } else { format!("{folder}\n") });
            }
        }
    }
    text
}

/// The folder that a hook before this one put before the machine's: each of a vendor's hooks is a program of its own.
/// One folder, as [`drop_in`] writes it: the file is the image's to write, and a thousand would keep this busy.
pub(super) fn kept(root: &Tree) -> Result<Option<String>> {
    let text = root.read(Path::new(DROP_IN), LARGEST)?.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    Ok(text.lines().skip_while(|line| *line != NEWER).nth(1).map(str::to_owned))
}

/// The libraries that `mounts` and `links` to them show, under the names that programs look for: those that are linked to, else
/// their own. Their mounts' sources are on the machine.
pub(super) fn shown<'a>(mounts: &'a [Mount], links: &'a [Link]) -> Result<Vec<Library<'a>>> {
    let machine = Host::open(Path::new("/"))?;
    let linked: Vec<(&Link, Mount)> = links
        .iter()
        .filter(|link| names::library(&link.place).is_some())
        .filter_map(|link| Some((link, links::mount_instead(link, links, mounts)?)))
        .collect();
    let places = mounts.iter().map(|mount| (mount.container_path.as_str(), mount.host_path.as_str()));
    let places = places.chain(linked.iter().map(|(link, mount)| (link.place.as_str(), mount.host_path.as_str())));
    let mut files: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for (place, file) in places {
        if let (Some(folder), Some(name)) = (names::folder(place), names::library(place)) {
            files.entry((folder, file)).or_default().push(name);
        }
    }
    let mut flags: BTreeMap<&str, u32> = BTreeMap::new();
    let mut libraries = Vec::new();
    for ((folder, file), of_file) in files {
        let flags = match flags.get(folder) {
            Some(flags) => *flags,
            None => {
                let file = machine.pieces(Path::new(file))?;
                let is_64_bit = file.and_then(|file| elf::is_64_bit(&|offset, length| file.read(offset, length)));
                *flags.entry(folder).or_insert(native_flags(is_64_bit.unwrap_or(true)))
            }
        };
        let has_linked = of_file.iter().any(|name| names::is_linked(name));
        for name in of_file.into_iter().filter(|name| !has_linked || names::is_linked(name)) {
            libraries.push(Library::new(flags, name, joined(folder, name)));
        }
    }
    Ok(libraries)
}

/// A folder whose libraries programs are to find.
#[derive(Debug, Clone, Copy)]
pub(super) struct Listed<'a> {
    /// Where it is in its tree.
    pub folder: &'a Path,
    /// Where the container sees its tree: empty for its root.
    pub place: &'a str,
    /// The most libraries that are taken of it.
    pub most: usize,
    /// Where links are made under the names that libraries have in themselves, if the tree is a root.
    pub root: Option<&'a ContainerRoot>,
}

/// The libraries in a folder of `tree` whose names `is_wanted`, under the names that they themselves say, as `ldconfig` lists them.
/// Links under these names are made where there are none. An error where they are too many, or where the folder's name cannot be
/// written to a list of folders.
pub(super) fn in_folder(
    tree: &Tree,
    Listed { folder, place, most, root }: Listed<'_>,
    is_wanted: &dyn Fn(&str) -> bool,
) -> Result<Vec<Library<'static>>> {
    let Some(folder) = tree.real(folder) else { return Ok(Vec::new()) };
    let at = format!("{place}{}", folder.to_string_lossy());
    // A line break in it would make more lines of the drop-in, which the image's author could choose.
    if is_odd(&at) {
        return Err(Error::io("use", Path::new(&at), std::io::Error::other("its name has control characters")));
    }
    let is_library = |name: &str| names::library(name).is_some() && is_wanted(name) && !is_odd(name);
    let Some(found) = tree.names(&folder, most, is_library)? else { return Ok(Vec::new()) };
    let mut own: Vec<&str> = found.iter().map(|(name, _)| name).collect();
    // Of two files of one name the later counts, where no link tells.
    own.sort_unstable();
    let mut by_name: BTreeMap<String, (&str, u32)> = BTreeMap::new();
    for file in own.iter().rev() {
        // What is no plain file is no library.
        let Ok(Some(pieces)) = tree.pieces(&folder.join(file)) else { continue };
        let read = |offset, length| pieces.read(offset, length);
        let Some(is_64_bit) = elf::is_64_bit(&read) else { continue };
        let name = elf::soname(&read).unwrap_or_else(|| (*file).to_owned());
        // The name in the file decides what it is found as.
        if is_wanted(&name) && !is_odd(&name) {
            by_name.entry(name).or_insert((file, native_flags(is_64_bit)));
        }
    }
    // A folder in a mount is not written.
    let held = root.and_then(|root| root.folder(&folder).ok());
    let mut libraries = Vec::new();
    for (name, (file, flags)) in by_name {
        let link = |held: &super::folder::Folder<'_>| held.link(&name, file, super::folder::Over::Nothing).is_ok();
        let is_there = own.binary_search(&name.as_str()).is_ok() || held.as_ref().is_some_and(link);
        let file = if is_there { name.as_str() } else { file };
        let path = joined(&at, file);
        libraries.push(Library::new(flags, name, path));
    }
    Ok(libraries)
}

/// Whether a name has characters that end a line, or move a cursor.
fn is_odd(name: &str) -> bool {
    name.chars().any(char::is_control)
}

fn joined(folder: &str, name: &str) -> String {
    [folder.trim_end_matches('/'), "/", name].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(from: &str, to: &str) -> Mount {
        Mount { host_path: from.to_owned(), container_path: to.to_owned(), ..Mount::default() }
    }

    #[test]
    fn libraries_are_known_by_the_names_that_programs_look_for() {
        let mounts = [
            mount("/d/libcuda.so.9.9", "/usr/lib/libcuda.so.9.9"),
            mount("/d/libcuda.so.9.9", "/usr/lib/libcuda.so.1"),
            mount("/d/libcore.so.9.9", "/usr/lib/libcore.so.9.9"),
            mount("/d/gsp.bin", "/lib/firmware/gsp.bin"),
            mount("/d/libexec", "/usr/libexec"),
        ];
        let link = |target: &str, place: &str| Link { target: target.to_owned(), place: place.to_owned() };
        let links = [link("libcuda.so.1", "/usr/lib/libcuda.so"), link("nowhere", "/usr/lib/libnone.so.1")];
        let shown = shown(&mounts, &links).unwrap();
        let paths: Vec<_> = shown.into_iter().map(|library| library.path).collect();
        assert_eq!(paths, ["/usr/lib/libcore.so.9.9", "/usr/lib/libcuda.so.1", "/usr/lib/libcuda.so"]);
    }
}
