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
    let stem =
        |path: &str| names::library(path).and_then(|name| name.split_once(".so")).map(|(stem, _)| stem.to_owned());
    let is_linked = |mount: &Mount| {
        let of_it = |place: &str| {
            stem(place) == stem(&mount.container_path) && names::folder(place) == names::folder(&mount.container_path)
        };
        let places = mounts
            .iter()
            .map(|mount| mount.container_path.as_str())
            .chain(links.iter().map(|link| link.place.as_str()));
        places
            .filter(|place| of_it(place))
            .filter_map(names::library)
            .any(|name| names::is_linked(name) && !name.ends_with(".so"))
    };
    let mut found = Vec::new();
    for mount in mounts {
        let (Some(folder), Some(name)) = (names::folder(&mount.container_path), names::library(&mount.container_path))
        else {
            continue;
        };
        if !folders.iter().any(|known| known == folder) || is_linked(mount) {
            continue;
        }
        let file = host.pieces(Path::new(&mount.host_path))?;
        let own = file.and_then(|file| elf::soname(&|offset, length| file.read(offset, length)));
        found.extend(
            own.filter(|own| own != name).map(|own| Link { place: format!("{folder}/{own}"), target: name.to_owned() }),
        );
    }
    Ok(found)
}
