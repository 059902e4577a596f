//! A driver's libraries: which of a folder are its own and needed, and the names under which programs look for them.
//!
//! They go to the folder that they have on the machine, under their own name, under the name that programs are linked to, and
//! under the further names of the vendor's row, so that an image that searches this folder needs no links made.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Chosen;
use super::files::Mounts;
use super::location::Location;
use crate::elf;
use crate::error::{Escaped, Result};
use crate::host::Host;
use crate::host::libraries::Directory;
use crate::host::memory::State;
use crate::host::pattern::Pattern;
use crate::vendor::recipe::{Access, Libraries};

/// Adds the libraries of the driver at `location` and, where they were `chosen`, the 32-bit ones.
pub(super) fn add(
    rule: &Libraries,
    location: &Location,
    version: &str,
    chosen: &Chosen<'_>,
    mounts: &mut Mounts,
) -> Result<()> {
    let patterns: Vec<Pattern> =
        rule.names.iter().map(|name| Pattern::new(&name.replace("{version}", version))).collect();
    let narrow = match &rule.narrow {
        Some(narrow) if chosen.names().any(|name| name == narrow.class) => location.narrow(narrow.marks, version)?,
        _ => Vec::new(),
    };
    for directory in location.directories.iter().chain(&narrow) {
        let root = &location.root;
        add_folder(rule, root, &Folder::of(directory), (&patterns, version), chosen, mounts)?;
        for inner in rule.subfolders {
            add_folder(rule, root, &Folder::inside(directory, inner), (&patterns, version), chosen, mounts)?;
        }
    }
    Ok(())
}

/// A directory that is listed.
struct Folder<'a> {
    path: PathBuf,
    real: PathBuf,
    loader: &'a Path,
    /// `None` for a small one, which nobody has looked at yet.
    state: Option<State>,
}

impl<'a> Folder<'a> {
    fn of(directory: &'a Directory) -> Self {
        let Directory { path, real, loader, state } = directory;
        Folder { path: path.clone(), real: real.clone(), loader, state: Some(*state) }
    }

    fn inside(directory: &'a Directory, name: &str) -> Self {
        let (path, real) = (directory.path.join(name), directory.real.join(name));
        Folder { path, real, loader: &directory.loader, state: None }
    }
}

fn add_folder(
    rule: &Libraries,
    root: &Host,
    directory: &Folder<'_>,
    (patterns, version): (&[Pattern], &str),
    chosen: &Chosen<'_>,
    mounts: &mut Mounts,
) -> Result<()> {
    let folder = &directory.path;
    let is_library = |name: &str| patterns.iter().any(|pattern| pattern.matches(name));
    let is_link_of_host = |name: &str| rule.links_of_host.contains(&name);
    // A library folder has thousands of names; only these can be the driver's, or links to them.
    let may_be = |name: &str, is_link: bool| {
        (is_link && (linked_name(name).is_some() || is_link_of_host(name))) || is_library(name)
    };
    let names = match directory.state {
        Some(state) => root.names_of((folder, state), version, may_be)?,
        None => root.names(folder, may_be)?,
    };
    let Some(names) = names else { return Ok(()) };
    let mut libraries: Vec<(&str, bool)> =
        names.iter().filter(|(name, _)| is_library(name) && is_needed(rule, name, chosen)).collect();
    libraries.sort_unstable();
    let mut targets = BTreeMap::new();
    for (name, is_link) in libraries {
        let path = folder.join(name);
        let target = match is_link {
            true => root.target(&path)?.map(|found| found.path),
            false => Some(directory.real.join(name)),
        };
        match target {
            Some(target) => {
                mounts.add(root, &target, path, Access::Read);
                targets.insert(stem(name), target);
            }
            None => log::warn!(
                "{} is a link that leads nowhere: containers start without this library of the driver; install the driver again",
                Escaped::path(&root.named(&path))
            ),
        }
    }
    let mut unlinked: BTreeMap<&str, &PathBuf> = targets.iter().map(|(stem, target)| (*stem, target)).collect();
    for (name, _) in names.iter().filter(|(_, is_link)| *is_link) {
        if let Some(stem) = linked_name(name)
            && let Some((stem, target)) = targets.get_key_value(stem)
        {
            mounts.add(root, target, folder.join(name), Access::Read);
            unlinked.remove(stem);
        } else if is_link_of_host(name)
            && let Some(target) = targets.get(stem(name))
        {
            mounts.add(root, target, folder.join(name), Access::Read);
        }
    }
    for (stem, target) in unlinked {
        // A driver's root need not have been set up by ldconfig: then the library itself says its name.
        let own = target.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let file = root.pieces(target)?;
        let name = file.and_then(|file| elf::soname(&|offset, length| file.read(offset, length)));
        if let Some(name) = name.filter(|name| name != own && self::stem(name) == stem) {
            mounts.add(root, target, folder.join(name), Access::Read);
        }
    }
    for (stem, name) in rule.links {
        if let Some(target) = targets.get(stem) {
            // Loaders of modules look below the distribution's directory only.
            let beside = if name.contains('/') { directory.loader } else { folder };
            mounts.add(root, target, beside.join(name), Access::Read);
        }
    }
    Ok(())
}

fn is_needed(rule: &Libraries, name: &str, chosen: &Chosen<'_>) -> bool {
    let of: Vec<&str> =
        rule.classes.iter().filter(|(_, stems)| stems.contains(&stem(name))).map(|(class, _)| *class).collect();
    chosen.needs(&of)
}

/// `libx` of `libx.so.1.2`.
pub(super) fn stem(name: &str) -> &str {
    name.split_once(".so").map_or(name, |(stem, _)| stem)
}

/// `libx` for `libx.so.1`, a name as programs are linked to.
fn linked_name(name: &str) -> Option<&str> {
    let (stem, version) = name.rsplit_once('.')?;
    let is_number = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit());
    stem.strip_suffix(".so").filter(|_| is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_that_programs_are_linked_to_ends_in_one_number() {
        for (name, stem) in [("libx.so.1", Some("libx")), ("libx.so", None), ("libx.so.1.2", None), ("x.1", None)] {
            assert_eq!(linked_name(name), stem, "{name}");
        }
    }

    #[test]
    fn a_library_that_nobody_has_classified_goes_with_every_class() {
        let rule = Libraries {
            marks: &[],
            subfolders: &[],
            names: &[],
            classes: &[("compute", &["libc"]), ("video", &["libv", "libc"])],
            narrow: None,
            links: &[],
            links_of_host: &[],
            loads: &[],
        };
        let video = ["video".to_owned()];
        for (chosen, name, needed) in [
            (Chosen::These(&video), "libv.so.1", true),
            (Chosen::These(&video), "libc.so.1", true),
            (Chosen::These(&video), "libnew.so.1", true),
            (Chosen::Default(&["compute"]), "libv.so.1", false),
            (Chosen::All, "libv.so.1", true),
        ] {
            assert_eq!(is_needed(&rule, name, &chosen), needed, "{chosen:?} {name}");
        }
    }
}
