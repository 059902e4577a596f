//! Links that `ldconfig` would make: a library that is mounted under its own name alone is looked for by the name that is in it.
//!
//! Reads the libraries on the machine, and decides.

use std::path::Path;

use super::work::Link;
use crate::cdi::Mount;
use crate::elf;
use crate::error::Result;
use crate::host::Host;
use crate::ldcache::names;

/// Links for those of `mounts` in `folders` that neither a mount nor one of `links` shows under a name with one number, as programs are
/// linked to.
pub fn unlinked(mounts: &[Mount], links: &[Link], folders: &[String], host: &Host) -> Result<Vec<Link>> {
    // Whoever wrote such a link of a library to itself has looked for all: where `ldconfig` has been, each has one.
    let is_of_ldconfig = |link: &Link| is_numbered(&link.place) && stem(&link.place) == stem(&link.target);
    if folders.is_empty() || links.iter().any(is_of_ldconfig) {
        return Ok(Vec::new());
    }
    let is_mounted = |folder: &str, name: &str| {
        let mut others = mounts.iter().map(|mount| mount.container_path.as_str()).filter(|place| is_numbered(place));
        others.any(|place| names::folder(place) == Some(folder) && stem(place) == stem(name))
    };
    let mut found = Vec::new();
    for Mount { host_path, container_path, .. } in mounts {
        let (Some(folder), Some(name)) = (names::folder(container_path), names::library(container_path)) else {
            continue;
        };
        if !folders.iter().any(|known| known == folder) || is_mounted(folder, name) {
            continue;
        }
        let file = host.pieces(Path::new(host_path))?;
        let own = file.and_then(|file| elf::soname(&|offset, length| file.read(offset, length)));
        let link = |own| Link { place: format!("{folder}/{own}"), target: name.to_owned() };
        found.extend(own.filter(|own| own != name).map(link));
    }
    Ok(found)
}

/// `libx` of `/usr/lib/libx.so.1`.
fn stem(path: &str) -> Option<&str> {
    names::library(path)?.split_once(".so").map(|(stem, _)| stem)
}

/// Whether its name is one such as `libx.so.1`.
fn is_numbered(path: &str) -> bool {
    names::library(path).is_some_and(|name| names::is_linked(name) && !name.ends_with(".so"))
}
