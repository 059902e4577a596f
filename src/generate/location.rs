//! Where a driver is installed on this host: the layouts of its row, probed in their order, else what `/etc/ld.so.cache` says.
//!
//! Reads names and a few bytes; what becomes of the files there is for `files` and `libraries`.

use std::path::{Path, PathBuf};

use crate::elf;
use crate::error::{Error, Escaped, Result};
use crate::host::Host;
use crate::host::libraries::{self, Directory, Mark};
use crate::trust::Reader;
use crate::vendor::recipe::{Layout, Layouts, Libraries};

/// A place where the driver is installed.
#[derive(Debug)]
pub(super) struct Location {
    /// How it is laid out. `None` for a driver whose files are at fixed paths.
    pub layout: Option<&'static Layout>,
    /// The root that its paths are below.
    pub root: Host,
    /// The directories of its 64-bit libraries, below that root.
    pub directories: Vec<Directory>,
}

/// A layout, and the root below which it is probed. `None` where this host does not have that root.
struct Candidate {
    layout: &'static Layout,
    root: Option<Host>,
}

impl Location {
    /// Finds the driver of this `version`: below `driver_root`; where that is empty, in the first layout that has it.
    pub(super) fn find(
        vendor: &str,
        (layouts, rule): (&'static Layouts, &Libraries),
        version: &str,
        host: &Host,
        driver_root: &Path,
    ) -> Result<Self> {
        let marks = marks(rule.marks, version);
        let mut candidates: Vec<Candidate> = Vec::new();
        for (number, mark) in marks.iter().enumerate() {
            // A root is opened when its turn comes: most hosts have the driver in the first layout.
            for (place, (layout, root)) in rows(layouts, driver_root).enumerate() {
                if number == 0 {
                    let is_known = driver_root.as_os_str().is_empty();
                    let is_used = !is_known || is_roots(host, root)?;
                    let root = if is_used { host.below(root)? } else { None };
                    candidates.push(Candidate { layout, root });
                }
                let Some(root) = candidates.get(place).and_then(|candidate| candidate.root.as_ref()) else { continue };
                let directories = wide(root, layout, mark)?;
                if !directories.is_empty() {
                    return candidates.swap_remove(place).located(directories);
                }
            }
        }
        let mut asked: Vec<PathBuf> = Vec::new();
        for place in 0..candidates.len() {
            let Some(root) = candidates.get(place).and_then(|candidate| candidate.root.as_ref()) else { continue };
            let name = root.named(Path::new("/"));
            if asked.contains(&name) {
                continue;
            }
            let directories = libraries::cached(root, &marks)?;
            if !directories.is_empty() {
                return candidates.swap_remove(place).located(directories);
            }
            asked.push(name);
        }
        Err(missing(vendor, version, &marks, &candidates, driver_root))
    }

    /// The place of a driver whose files are at fixed paths below `driver_root`, or the host's own root.
    pub(super) fn fixed(host: &Host, driver_root: &Path) -> Result<Self> {
        let path = if driver_root.as_os_str().is_empty() { Path::new("/") } else { driver_root };
        let root = host.below(path)?.ok_or_else(|| {
            Error::Inject(format!("host.driver-root is {}, and this host has no such directory", Escaped::path(path)))
        })?;
        Ok(Location { layout: None, root, directories: Vec::new() })
    }

    /// The directories of its 32-bit libraries.
    pub(super) fn narrow(&self, marks: &[(&str, &str)], version: &str) -> Result<Vec<Directory>> {
        let Some(Layout { narrow, versions, .. }) = self.layout else { return Ok(Vec::new()) };
        // A distribution that gives the driver directories of its own does so for both kinds of libraries.
        let is_split = self.directories.iter().any(|directory| directory.path != directory.loader);
        let versions = versions.filter(|_| is_split);
        for mark in self::marks(marks, version) {
            let mut found = probed(&self.root, narrow, versions, &mark)?;
            // Where a distribution has no lib64, a directory of this name has the 64-bit ones.
            found.retain(|directory| !self.directories.iter().any(|wide| wide.state.id == directory.state.id));
            if !found.is_empty() {
                return Ok(found);
            }
        }
        Ok(Vec::new())
    }
}

impl Candidate {
    fn located(self, directories: Vec<Directory>) -> Result<Location> {
        let root = self.root.ok_or_else(|| Error::Inject("the root of the driver is gone".to_owned()))?;
        Ok(Location { layout: Some(self.layout), root, directories })
    }
}

/// The layouts to probe, in order, each with its root.
fn rows<'a>(layouts: &'static Layouts, driver_root: &'a Path) -> impl Iterator<Item = (&'static Layout, &'a Path)> {
    let is_configured = !driver_root.as_os_str().is_empty();
    let has_own_root = |layout: &&Layout| layout.root != "/" || layout.libraries == layouts.configured.libraries;
    let configured = Some(layouts.configured).filter(|_| is_configured).into_iter();
    let known = layouts.known.iter().filter(move |layout| !is_configured || !has_own_root(layout));
    let root = move |layout: &'static Layout| if is_configured { driver_root } else { Path::new(layout.root) };
    configured.chain(known).map(move |layout| (layout, root(layout)))
}

/// Whether nobody but root can put something else at `root`, which no configuration has named: on a host that is not of GKE,
/// `/home/kubernetes` is some user's. What is not there is nobody's.
fn is_roots(host: &Host, root: &Path) -> Result<bool> {
    if root == Path::new("/") {
        return Ok(true);
    }
    let is_absent = match host.find(root) {
        // The user of a rootless engine cannot mount what is kept from them.
        Err(error) if error.is_denied() => return Ok(false),
        found => found?.is_none(),
    };
    if is_absent {
        return Ok(true);
    }
    for directory in root.ancestors() {
        let Some(found) = host.find(directory)? else { return Ok(true) };
        if let Some(why) = Reader::current().distrusts(directory, &found.stat) {
            log::warn!("no driver is looked for below {}: {why}", Escaped::path(root));
            return Ok(false);
        }
    }
    Ok(true)
}

/// The libraries by which directories are known.
fn marks(marks: &[(&str, &str)], version: &str) -> Vec<Mark> {
    let mark = |&(file, link): &(&str, &str)| Mark { file: file.replace("{version}", version), link: link.to_owned() };
    marks.iter().map(mark).collect()
}

/// The directories of this layout that hold the 64-bit driver.
fn wide(root: &Host, layout: &Layout, mark: &Mark) -> Result<Vec<Directory>> {
    let mut found = Vec::new();
    for directory in probed(root, layout.libraries, layout.versions, mark)? {
        // Distributions differ in what they have in /usr/lib.
        let may_be_narrow = |narrow: &[&str]| narrow.iter().any(|narrow| directory.path == Path::new(narrow));
        let is_in_doubt = may_be_narrow(layout.narrow) || may_be_narrow(&libraries::NARROW);
        if !is_in_doubt || !is_narrow(root, &directory.path.join(&mark.file))? {
            found.push(directory);
        }
    }
    Ok(found)
}

fn probed(root: &Host, directories: &[&str], versions: Option<&str>, mark: &Mark) -> Result<Vec<Directory>> {
    let found = libraries::holding(root, directories.iter().map(Path::new), mark)?;
    match versions {
        Some(versions) if found.is_empty() => libraries::split(root, directories, versions, mark),
        _ => Ok(found),
    }
}

fn is_narrow(root: &Host, library: &Path) -> Result<bool> {
    let file = root.pieces(library)?;
    let is_64_bit = file.and_then(|file| elf::is_64_bit(&|offset, length| file.read(offset, length)));
    Ok(is_64_bit == Some(false))
}

/// The driver is nowhere. Where another version of it is selected, that is what an update leaves until the host restarts.
fn missing(vendor: &str, version: &str, marks: &[Mark], candidates: &[Candidate], driver_root: &Path) -> Error {
    let mut others: Vec<String> = Vec::new();
    for Candidate { layout, root } in candidates {
        let Some(root) = root else { continue };
        for mark in marks {
            let paths = libraries::others(root, layout.libraries, mark).unwrap_or_default();
            others.extend(paths.iter().map(|path| Escaped::path(&root.named(path)).to_string()));
        }
    }
    let files: Vec<&str> = marks.iter().map(|mark| mark.file.as_str()).collect();
    let installed = match others.first() {
        Some(other) => format!(", but {other} is; restart the host to load the driver that is installed"),
        None => "; restart the host after an update of the driver, install its user-space libraries".to_owned(),
    };
    Error::Inject(format!(
        "version {version} of the {vendor} driver is loaded, but {} is in no library folder below {}{installed}, or name its \
         root as host.driver-root",
        files.join(" or "),
        Escaped::path(if driver_root.as_os_str().is_empty() { Path::new("/") } else { driver_root })
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vendor::Vendors;

    fn layouts() -> &'static Layouts {
        let nvidia = Vendors::known().by_name("nvidia").unwrap();
        nvidia.recipes.iter().find_map(|recipe| recipe.driver?.layouts).unwrap()
    }

    #[test]
    fn the_layout_of_distributions_is_probed_first_and_once() {
        let names = |root: &str| {
            let rows = rows(layouts(), Path::new(root)).map(|(layout, root)| (layout.name, root.to_owned()));
            rows.collect::<Vec<_>>()
        };
        let known = names("");
        assert_eq!(known.first(), Some(&("distribution", PathBuf::from("/"))));
        assert!(known.contains(&("driver container", PathBuf::from("/run/nvidia/driver"))), "{known:?}");
        let configured = names("/driver");
        assert_eq!(configured.first(), Some(&("host.driver-root", PathBuf::from("/driver"))));
        assert!(configured.iter().all(|(_, root)| root == Path::new("/driver")), "{configured:?}");
        assert!(!configured.iter().any(|(name, _)| *name == "distribution"), "{configured:?}");
        assert!(configured.iter().any(|(name, _)| *name == "Talos"), "{configured:?}");
    }

    #[test]
    fn every_layout_has_directories_below_its_root() {
        for layout in layouts().known.iter().chain([layouts().configured]) {
            let programs = layout.programs.iter().flat_map(|(from, to)| [*from, *to]);
            let directories = layout.libraries.iter().chain(layout.narrow).chain(layout.shared).copied();
            for directory in directories.chain(programs).chain([layout.root]) {
                assert!(directory.starts_with('/'), "{}: {directory}", layout.name);
            }
            assert!(!layout.libraries.is_empty() && !layout.programs.is_empty(), "{}", layout.name);
        }
    }
}
