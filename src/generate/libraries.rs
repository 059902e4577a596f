//! A driver's libraries: which of a folder are its own and needed, and the names under which programs look for them.
//!
//! They go to the folder that they have on the machine, under their own name, under the name that programs are linked to, and
//! under the further names of the vendor's row, so that an image that searches this folder needs no links made.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Chosen;
use super::files::Mounts;
use crate::elf;
use crate::error::Result;
use crate::host::pattern::Pattern;
use crate::host::{Host, libraries};
use crate::vendor::recipe::{Access, Libraries};

/// The folders below `root` that hold the 64-bit libraries of this `version`.
pub(super) fn folders(rule: &Libraries, root: &Host, version: &str) -> Result<Vec<PathBuf>> {
    libraries::folders(root, rule.inside, &marks(rule, version))
}

/// The libraries that tell the driver's folders from others.
pub(super) fn marks(rule: &Libraries, version: &str) -> Vec<String> {
    rule.marks.iter().map(|mark| mark.replace("{version}", version)).collect()
}

/// Adds the libraries in `folders` and, where they were `chosen`, the 32-bit ones.
pub(super) fn add(
    rule: &Libraries,
    root: &Host,
    folders: &[PathBuf],
    version: &str,
    chosen: &Chosen<'_>,
    mounts: &mut Mounts,
) -> Result<()> {
    let patterns: Vec<Pattern> =
        rule.names.iter().map(|name| Pattern::new(&name.replace("{version}", version))).collect();
    let narrow = match rule.narrow {
        Some(class) if chosen.names().any(|name| name == class) => {
            libraries::narrow_folders(root, &marks(rule, version))?
        }
        _ => Vec::new(),
    };
    for folder in folders.iter().chain(&narrow) {
        add_folder(rule, root, folder, &patterns, chosen, mounts)?;
        for inner in rule.subfolders {
            add_folder(rule, root, &folder.join(inner), &patterns, chosen, mounts)?;
        }
    }
    Ok(())
}

fn add_folder(
    rule: &Libraries,
    root: &Host,
    folder: &Path,
    patterns: &[Pattern],
    chosen: &Chosen<'_>,
    mounts: &mut Mounts,
) -> Result<()> {
    let is_library = |name: &str| patterns.iter().any(|pattern| pattern.matches(name));
    // A library folder has thousands of names; only these can be the driver's, or links to them.
    let may_be = |name: &str, is_link: bool| (is_link && linked_name(name).is_some()) || is_library(name);
    let Some(names) = root.names(folder, may_be)? else { return Ok(()) };
    let mut libraries: Vec<(&str, bool)> =
        names.iter().filter(|(name, _)| is_library(name) && is_needed(rule, name, chosen)).collect();
    libraries.sort_unstable();
    let mut targets = BTreeMap::new();
    for (name, is_link) in libraries {
        let path = folder.join(name);
        let target = match is_link {
            true => root.find(&path)?.map(|found| found.path),
            false => Some(path.clone()),
        };
        if let Some(target) = target {
            mounts.add(root, &target, path, Access::Read)?;
            targets.insert(stem(name), target);
        }
    }
    let mut unlinked: BTreeMap<&str, &PathBuf> = targets.iter().map(|(stem, target)| (*stem, target)).collect();
    for (name, _) in names.iter().filter(|(_, is_link)| *is_link) {
        if let Some((stem, target)) = linked_name(name).and_then(|stem| targets.get_key_value(stem)) {
            mounts.add(root, target, folder.join(name), Access::Read)?;
            unlinked.remove(stem);
        }
    }
    for (stem, target) in unlinked {
        // A driver's root need not have been set up by ldconfig: then the library itself says its name.
        let own = target.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let file = root.pieces(target)?;
        let name = file.and_then(|file| elf::soname(&|offset, length| file.read(offset, length)));
        if let Some(name) = name.filter(|name| name != own && self::stem(name) == stem) {
            mounts.add(root, target, folder.join(name), Access::Read)?;
        }
    }
    for (stem, name) in rule.links {
        if let Some(target) = targets.get(stem) {
            mounts.add(root, target, folder.join(name), Access::Read)?;
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
fn stem(name: &str) -> &str {
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
            inside: &[],
            subfolders: &[],
            names: &[],
            classes: &[("compute", &["libc"]), ("video", &["libv", "libc"])],
            narrow: None,
            links: &[],
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
