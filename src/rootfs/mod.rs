//! What must exist inside a container's root for the driver's libraries to be found, written from outside before the container
//! starts: entries in the dynamic linker's cache, and the folders for whoever runs `ldconfig` later.
//!
//! Never fails a start, runs nothing and maps nothing of the root, takes no source from it.

mod root;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::cdi::{ContainerEdits, Mount};
use crate::elf;
use crate::error::Result;
use crate::host::Host;
use crate::ldcache::{Cache, Library, native_flags};

use root::ContainerRoot;

const CACHE: &str = "/etc/ld.so.cache";
/// The most that is read of a cache. Those of large desktops have 400 KB.
const LARGEST_CACHE: u64 = 16 << 20;
const CONFIGURATION: &str = "/etc/ld.so.conf";
const INCLUDE: &[u8] = b"include /etc/ld.so.conf.d/*.conf\n";
/// Read before the image's own, as the driver's libraries come before.
const DROP_IN: &str = "/etc/ld.so.conf.d/00-gpu-runc.conf";
const GLIBC: [&str; 4] =
    ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1", "/lib/ld-linux.so.2", "/lib64/ld-linux-aarch64.so.1"];

/// Lets programs in the container whose root is at `rootfs` find the libraries that `edits` mount. `taken` are the places where
/// the container has mounts of its own: what they hide is not written. Returns notes.
pub fn prepare(rootfs: &Path, edits: &ContainerEdits, taken: &[&str]) -> Vec<String> {
    let libraries = match injected(edits) {
        Ok(libraries) => libraries,
        Err(error) => return vec![error.to_string()],
    };
    // The file's own hook does the same, with what else it knows.
    let is_done_by_hook = edits.hooks.iter().any(|hook| hook.args.iter().any(|arg| arg == "update-ldcache"));
    if libraries.is_empty() || is_done_by_hook {
        return Vec::new();
    }
    let is_hidden = |path: &str| taken.iter().any(|place| Path::new(path).starts_with(place) && *place != "/");
    if [CACHE, DROP_IN].into_iter().any(is_hidden) {
        let note =
            "the container mounts something of its own over /etc; its programs may not find the driver's libraries";
        return vec![note.to_owned()];
    }
    match written(rootfs, libraries) {
        Ok(note) => note.into_iter().collect(),
        Err(error) => vec![format!("programs of the container may not find the driver's libraries: {error}")],
    }
}

fn written(rootfs: &Path, libraries: Vec<Library<'_>>) -> Result<Option<String>> {
    let root = ContainerRoot::open(rootfs)?;
    let bytes = root.read(Path::new(CACHE), LARGEST_CACHE)?;
    let mut cache = match &bytes {
        Some(bytes) => match Cache::parse(bytes) {
            Some(cache) => cache,
            None => return Ok(Some(format!("the image's {CACHE} is of no known format, and stays as it is"))),
        },
        None if GLIBC.iter().any(|loader| root.has(Path::new(loader))) => Cache::default(),
        // Nothing in it would read a cache: a static program, or musl's linker, for which the driver is not made.
        None => return Ok(None),
    };
    let mut folders: Vec<String> = libraries.iter().filter_map(|library| folder(&library.path)).collect();
    folders.dedup();
    if cache.merge(libraries) {
        root.put(Path::new(CACHE), &cache.to_bytes())?;
    }
    let drop_in = folders.iter().map(|folder| format!("{folder}\n")).collect::<String>().into_bytes();
    if root.read(Path::new(DROP_IN), LARGEST_CACHE)?.as_ref() != Some(&drop_in) {
        root.put(Path::new(DROP_IN), &drop_in)?;
        if !root.has(Path::new(CONFIGURATION)) {
            root.put(Path::new(CONFIGURATION), INCLUDE)?;
        }
    }
    Ok(None)
}

/// The libraries among the mounts of `edits`, under the names that programs look for: those that are linked to, else their own.
fn injected(edits: &ContainerEdits) -> Result<Vec<Library<'_>>> {
    let machine = Host::open(Path::new("/"))?;
    let mut files: BTreeMap<(String, &str), Vec<&str>> = BTreeMap::new();
    for Mount { host_path, container_path, .. } in &edits.mounts {
        if let (Some(folder), Some(name)) = (folder(container_path), library_name(container_path)) {
            files.entry((folder, host_path)).or_default().push(name);
        }
    }
    let mut flags: BTreeMap<String, u32> = BTreeMap::new();
    let mut libraries = Vec::new();
    for ((folder, file), names) in files {
        let flags = match flags.get(&folder) {
            Some(flags) => *flags,
            None => {
                let file = machine.pieces(Path::new(file))?;
                let is_64_bit = file.and_then(|file| elf::is_64_bit(&|offset, length| file.read(offset, length)));
                let is_64_bit = is_64_bit.unwrap_or(true);
                *flags.entry(folder.clone()).or_insert(native_flags(is_64_bit))
            }
        };
        let is_linked = |name: &&str| is_linked_name(name);
        let has_linked = names.iter().any(is_linked);
        for name in names.iter().filter(|name| !has_linked || is_linked(name)) {
            libraries.push(Library::new(flags, *name, format!("{folder}/{name}")));
        }
    }
    Ok(libraries)
}

fn folder(path: &str) -> Option<String> {
    PathBuf::from(path).parent().map(|folder| folder.to_string_lossy().into_owned())
}

/// The file's name, if it is one of a library: `libx.so`, `libx.so.1`.
fn library_name(path: &str) -> Option<&str> {
    let name = path.rsplit('/').next()?;
    (name.starts_with("lib") && (name.ends_with(".so") || name.contains(".so."))).then_some(name)
}

/// Whether programs are linked to such a name: `libx.so`, `libx.so.1`, but not `libx.so.1.2`.
fn is_linked_name(name: &str) -> bool {
    name.ends_with(".so")
        || name.split_once(".so.").is_some_and(|(_, version)| version.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(from: &str, to: &str) -> Mount {
        Mount { host_path: from.to_owned(), container_path: to.to_owned(), ..Mount::default() }
    }

    #[test]
    fn libraries_are_known_by_the_names_that_programs_look_for() {
        let mounts = vec![
            mount("/d/libcuda.so.9.9", "/usr/lib/libcuda.so.9.9"),
            mount("/d/libcuda.so.9.9", "/usr/lib/libcuda.so.1"),
            mount("/d/libcuda.so.9.9", "/usr/lib/libcuda.so"),
            mount("/d/libcore.so.9.9", "/usr/lib/libcore.so.9.9"),
            mount("/d/gsp.bin", "/lib/firmware/gsp.bin"),
            mount("/d/libexec", "/usr/libexec"),
        ];
        let edits = ContainerEdits { mounts, ..ContainerEdits::default() };
        let names: Vec<_> = injected(&edits).unwrap().into_iter().map(|library| library.path).collect();
        assert_eq!(names, ["/usr/lib/libcore.so.9.9", "/usr/lib/libcuda.so.1", "/usr/lib/libcuda.so"]);
    }
}
