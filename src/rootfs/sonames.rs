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
    if folders.is_empty() {
        return Ok(Vec::new());
    }
    // Who wrote such a link of a library to itself has looked at all libraries of this version: nvidia-ctk makes links for those
    // of the driver's own version, and none for the platform libraries of EGL.
    let is_of_ldconfig = |link: &&Link| is_numbered(&link.place) && stem(&link.place) == stem(&link.target);
    let linked: Vec<&Link> = links.iter().filter(is_of_ldconfig).collect();
    let is_done = |folder: &str, name: &str| {
        let is_beside = |link: &&&Link| names::folder(&link.place) == Some(folder);
        let mut beside = linked.iter().filter(is_beside);
        beside.any(|link| stem(&link.place) == stem(name) || version(&link.target) == version(name))
    };
    let is_mounted = |folder: &str, name: &str| {
        let mut others = mounts.iter().map(|mount| mount.container_path.as_str()).filter(|place| is_numbered(place));
        others.any(|place| names::folder(place) == Some(folder) && stem(place) == stem(name))
    };
    let mut found = Vec::new();
    for Mount { host_path, container_path, .. } in mounts {
        let (Some(folder), Some(name)) = (names::folder(container_path), names::library(container_path)) else {
            continue;
        };
        if !folders.iter().any(|known| known == folder) || is_done(folder, name) || is_mounted(folder, name) {
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

/// `1.2` of `/usr/lib/libx.so.1.2`.
fn version(path: &str) -> Option<&str> {
    names::library(path)?.split_once(".so.").map(|(_, version)| version)
}

/// Whether its name is one such as `libx.so.1`.
fn is_numbered(path: &str) -> bool {
    names::library(path).is_some_and(|name| names::is_linked(name) && !name.ends_with(".so"))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests make their own files")]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// A mount of a library that says that its name is `soname`.
    fn mount(host: &tempfile::TempDir, name: &str, soname: &str) -> Mount {
        std::fs::write(host.path().join(name), elf::tests::library(true, soname)).unwrap();
        Mount { host_path: format!("/{name}"), container_path: format!("/usr/lib/{name}"), ..Mount::default() }
    }

    #[test]
    fn a_library_is_linked_unless_it_or_all_of_its_version_are() {
        let root = tempfile::tempdir().unwrap();
        let mounts = [
            mount(&root, "libcuda.so.9.9", "libcuda.so.1"),
            mount(&root, "libcore.so.9.9", "libcore.so.9.9"),
            mount(&root, "libegl-gbm.so.1.1.2", "libegl-gbm.so.1"),
        ];
        let host = Host::open(root.path()).unwrap();
        let link = |place: &str, target: &str| Link { place: format!("/usr/lib/{place}"), target: target.to_owned() };
        let (cuda, gbm) = (link("libcuda.so.1", "libcuda.so.9.9"), link("libegl-gbm.so.1", "libegl-gbm.so.1.1.2"));
        let elsewhere = Link { place: PathBuf::from("/opt/libcuda.so.1").display().to_string(), ..cuda.clone() };
        for (links, expected) in [
            (vec![], vec![cuda.clone(), gbm.clone()]),
            (vec![link("libcuda.so", "libcuda.so.1")], vec![cuda.clone(), gbm.clone()]),
            (vec![cuda.clone()], vec![gbm.clone()]),
            (vec![cuda.clone(), gbm.clone()], vec![]),
            (vec![elsewhere], vec![cuda, gbm]),
        ] {
            let found = unlinked(&mounts, &links, &["/usr/lib".to_owned()], &host).unwrap();
            assert_eq!(found, expected, "{links:?}");
        }
        assert_eq!(unlinked(&mounts, &[], &[], &host).unwrap(), []);
    }
}
