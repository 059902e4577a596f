//! The dynamic linker's cache in a container's root, and the folders for whoever runs `ldconfig` later.
//!
//! Runs nothing and maps nothing of the root. What libraries are called is told by the mounts that show them, or by the files
//! themselves where they are in the root.

use std::collections::BTreeMap;
use std::path::Path;

use nix::sys::stat::Mode;

use super::links;
use super::root::ContainerRoot;
use super::work::Link;
use crate::cdi::Mount;
use crate::elf;
use crate::error::Result;
use crate::host::Host;
use crate::ldcache::{Cache, Library, is_cache, names, native_flags};

pub(super) const CACHE: &str = "/etc/ld.so.cache";
/// Read before the image's own, as the driver's libraries come before.
pub(super) const DROP_IN: &str = "/etc/ld.so.conf.d/00-gpu-runc.conf";
const CONFIGURATION: &str = "/etc/ld.so.conf";
const INCLUDE: &[u8] = b"include /etc/ld.so.conf.d/*.conf\n";
/// The most that is read of one of these. The caches of large desktops have 400 KB.
const LARGEST: u64 = 16 << 20;
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

/// Has the linker of programs in `root` find `libraries`. Returns a note where it will not.
pub(super) fn add(root: &ContainerRoot, libraries: Libraries<'_>) -> Result<Option<String>> {
    let bytes = root.read(Path::new(CACHE), LARGEST)?;
    let has = |loaders: &[&str]| loaders.iter().any(|loader| root.has(Path::new(loader)));
    // One that is empty, or of zeros, is what a loss of power leaves of one that was just written.
    let mut cache = match bytes.as_ref().filter(|bytes| is_cache(bytes)) {
        Some(bytes) => match Cache::parse(bytes) {
            Some(cache) => cache,
            None => return Ok(Some(format!("the image's {CACHE} is of no known format, and stays as it is"))),
        },
        None if has(&GLIBC) => Cache::default(),
        None if has(&MUSL) => {
            let note =
                "the image's C library is musl; the driver's libraries need glibc, and its programs cannot load them";
            return Ok(Some(note.to_owned()));
        }
        // Nothing in it would read a cache, such as a static program.
        None => return Ok(None),
    };
    let drop_in = drop_in(&libraries).into_bytes();
    let Libraries { mut newer, driver } = libraries;
    newer.extend(driver);
    if cache.merge(newer) {
        root.put(Path::new(CACHE), &cache.to_bytes(), FOR_ALL)?;
    }
    if root.read(Path::new(DROP_IN), LARGEST)?.as_ref() != Some(&drop_in) {
        // First, because with the drop-in all is done.
        if !root.has(Path::new(CONFIGURATION)) {
            root.put(Path::new(CONFIGURATION), INCLUDE, FOR_ALL)?;
        }
        root.put(Path::new(DROP_IN), &drop_in, FOR_ALL)?;
    }
    Ok(None)
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

/// The image's libraries that a hook before this one put before the machine's: each of a vendor's hooks is a program of its own.
/// One folder, as [`drop_in`] writes it: the file is the image's to write, and a thousand would keep this busy.
pub(super) fn kept(root: &ContainerRoot) -> Result<Vec<Library<'static>>> {
    let text = root.read(Path::new(DROP_IN), LARGEST)?.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    match text.lines().skip_while(|line| *line != NEWER).nth(1) {
        Some(folder) => in_folder(root, Path::new(folder), MOST_LIBRARIES),
        None => Ok(Vec::new()),
    }
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

/// The libraries in the folder `folder` of the root, under the names that they themselves say, as `ldconfig` lists them. Links
/// under these names are made where there are none. An error where they are more than `most`.
pub(super) fn in_folder(root: &ContainerRoot, folder: &Path, most: usize) -> Result<Vec<Library<'static>>> {
    let Some(folder) = root.real(folder) else { return Ok(Vec::new()) };
    let is_library = |name: &str| names::library(name).is_some();
    let Some(found) = root.names(&folder, most, is_library)? else { return Ok(Vec::new()) };
    let mut own: Vec<&str> = found.iter().map(|(name, _)| name).collect();
    // Of two files of one name the later counts, where no link tells.
    own.sort_unstable();
    let mut by_name: BTreeMap<String, (&str, u32)> = BTreeMap::new();
    for file in own.iter().rev() {
        // What is no plain file is no library.
        let Ok(Some(pieces)) = root.pieces(&folder.join(file)) else { continue };
        let read = |offset, length| pieces.read(offset, length);
        let Some(is_64_bit) = elf::is_64_bit(&read) else { continue };
        let name = elf::soname(&read).unwrap_or_else(|| (*file).to_owned());
        by_name.entry(name).or_insert((file, native_flags(is_64_bit)));
    }
    let held = root.folder(&folder)?;
    let at = folder.to_string_lossy();
    let mut libraries = Vec::new();
    for (name, (file, flags)) in by_name {
        let is_there =
            own.binary_search(&name.as_str()).is_ok() || held.link(&name, file, super::folder::Over::Nothing).is_ok();
        let file = if is_there { name.as_str() } else { file };
        let path = joined(&at, file);
        libraries.push(Library::new(flags, name, path));
    }
    Ok(libraries)
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
