//! CUDA's forward compatibility: whether an image's own libraries of a newer driver are to be found before the machine's.
//!
//! Decides by the versions and the note in the image's library, as NVIDIA's toolkit does; what follows from it is for the linker's
//! cache. Source: nvidia-container-toolkit, cmd/nvidia-cdi-hook/cudacompat.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::linker::MOST_LIBRARIES;
use super::tree::Tree;
use super::work::Versions;
use crate::elf;
use crate::error::Result;
use crate::ldcache::names;
use crate::vendor::hooks::Compat;

/// What an image's library says of itself.
#[derive(Debug, Default, PartialEq, Eq)]
struct Note {
    cuda: String,
    /// The branches of the driver that it works with.
    branches: Vec<u64>,
}

/// The folder of the image's libraries, if they are to come first: where it is in `tree` without any link. `at` is where it is looked
/// for. `None` where it has none, or several.
pub(super) fn folder(tree: &Tree, at: &str, rule: &Compat, versions: &Versions) -> Result<Option<PathBuf>> {
    let Some(folder) = tree.real(Path::new(at)) else { return Ok(None) };
    let is_it = |name: &str| name.starts_with(rule.library);
    let Some(names) = tree.names(&folder, MOST_LIBRARIES, is_it)? else { return Ok(None) };
    let version =
        |name: &str| name.strip_prefix(rule.library).filter(|version| version.contains('.')).map(str::to_owned);
    let found: Vec<String> = names.iter().filter_map(|(name, _)| version(name)).collect();
    let [version] = found.as_slice() else { return Ok(None) };
    let library = tree.pieces(&folder.join(format!("{}{version}", rule.library)))?;
    let note =
        library.and_then(|file| elf::note(&|offset, length| file.read(offset, length), rule.section, rule.owner));
    let wins = match note.as_deref().map(read) {
        // A note that cannot be read was not made for this.
        Some(None) => false,
        Some(Some(note)) => is_newer(versions, version, Some(&note)),
        None => is_newer(versions, version, None),
    };
    Ok(Some(folder).filter(|_| wins))
}

/// Where an image has such libraries.
pub(super) fn place<'a>(rule: &'a Compat, versions: &'a Versions) -> &'a str {
    if versions.folder.is_empty() { rule.folder } else { &versions.folder }
}

/// Whether a library of that name is one of the driver: an image's author could have any other put before the system's own.
pub(super) fn is_of_driver(rule: &Compat, name: &str) -> bool {
    names::library(name).is_some() && rule.names.iter().any(|known| name.starts_with(known))
}

/// Whether a library of `version` is to come before that of the machine.
fn is_newer(host: &Versions, version: &str, note: Option<&Note>) -> bool {
    let (of_image, of_host) = (numbers(version), numbers(&host.driver));
    let branch = of_host.as_deref().and_then(<[u64]>::first);
    match (note, branch) {
        (Some(note), Some(branch)) => of_image.is_some() && note.branches.contains(branch) && of_image > of_host,
        (Some(note), None) => {
            matches!((numbers(&note.cuda), numbers(&host.cuda)), (Some(image), Some(host)) if image > host)
        }
        (None, _) if !host.cuda.is_empty() => false,
        (None, branch) => match (branch, of_image.as_deref().and_then(<[u64]>::first)) {
            (Some(host), Some(image)) => host < image,
            _ => false,
        },
    }
}

/// Reads a note. Its writers differ in the case of its members, and in what they end it with.
fn read(note: &[u8]) -> Option<Note> {
    let text = note.split(|byte| *byte == 0).next()?.trim_ascii();
    let Value::Object(members) = serde_json::from_slice(text).ok()? else { return None };
    let member = |name: &str| members.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    Some(Note {
        cuda: member("CUDA version").and_then(Value::as_str).unwrap_or_default().to_owned(),
        branches: member("driver").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_u64).collect(),
    })
}

/// A version as its numbers.
fn numbers(version: &str) -> Option<Vec<u64>> {
    version.split('.').map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vendor::Vendors;

    fn host(driver: &str, cuda: &str) -> Versions {
        Versions { driver: driver.to_owned(), cuda: cuda.to_owned(), folder: String::new() }
    }

    #[test]
    fn the_newer_driver_comes_first_where_it_says_that_it_can() {
        let note = Note { cuda: "12.9".into(), branches: vec![535, 550, 560, 565, 570, 575] };
        for (driver, cuda, version, note, expected) in [
            ("570.211.01", "", "575.57.08", Some(&note), true),
            ("575.10.10", "", "575.57.08", Some(&note), true),
            ("575.57.08", "", "575.57.08", Some(&note), false),
            ("575.57.9", "", "575.57.08", Some(&note), false),
            ("590.44.01", "", "575.57.08", Some(&note), false),
            ("545.23", "", "575.57.08", Some(&note), false),
            ("", "12.8", "575.57.08", Some(&note), true),
            ("", "12.10", "575.57.08", Some(&note), false),
            ("", "12.9", "575.57.08", Some(&note), false),
            ("", "", "575.57.08", Some(&note), false),
            ("550.1", "", "575.x", Some(&note), false),
            ("550.1", "", "575.57.08", None, true),
            ("575.1", "", "575.57.08", None, false),
            ("590.1", "", "575.57.08", None, false),
            ("550.1", "12.4", "575.57.08", None, false),
            ("", "12.4", "575.57.08", None, false),
            ("", "", "575.57.08", None, false),
        ] {
            assert_eq!(is_newer(&host(driver, cuda), version, note), expected, "{driver} {cuda} {version}");
        }
    }

    #[test]
    fn a_library_of_the_driver_is_known_by_its_name() {
        let rule = Vendors::known().iter().find_map(|vendor| vendor.hooks).map(|hooks| &hooks.compat).unwrap();
        for (name, is_known) in [
            ("libcuda.so.575.57.08", true),
            ("libcuda.so", true),
            ("libcudadebugger.so.1", true),
            ("libnvidia-nvvm.so.4", true),
            ("libnvidia-ptxjitcompiler.so.1", true),
            ("libnvcudla.so", true),
            ("libcudart.so.12", false),
            ("libselinux.so.1", false),
            ("libc.so.6", false),
            ("libnvidia-x", false),
            ("xlibcuda.so.1", false),
        ] {
            assert_eq!(is_of_driver(rule, name), is_known, "{name}");
        }
    }

    #[test]
    fn notes_are_read_in_either_spelling() {
        let note = Note { cuda: "12.9".into(), branches: vec![535, 575] };
        for text in [
            &br#"{"format":1,"CUDA version":"12.9","driver":[535,575],"device":[1]}"#[..],
            br#"{"Format":1,"CUDA Version":"12.9","Driver":[535,575]}"#,
            b"{\"Driver\":[535,575,-1,\"x\"],\"CUDA Version\":\"12.9\"}\n\0\0",
        ] {
            assert_eq!(read(text).as_ref(), Some(&note));
        }
        assert_eq!(read(br#"{"CUDA version":"13.2",}"#), None);
        assert_eq!(read(b"[]"), None);
        assert_eq!(read(b""), None);
    }
}
