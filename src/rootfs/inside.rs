//! The work that vendors' tools leave to hooks, done as such a hook: in the mount namespace of the container, where readers see what
//! is mounted. Writers never do: what a mount covers is left as it is, with a warning.

use std::path::Path;

use super::root::ContainerRoot;
use super::work::{Link, Work};
use super::{Over, compat, linker, make, mode_of, names, told, tree};
use crate::cdi::DeviceNode;
use crate::error::Result;
use crate::ldcache::Library;
use crate::vendor::hooks::Profile;
use linker::{Libraries, Listed};

/// Whether the driver can be used without something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Somebody asked for just this.
    Asked,
    /// A container is better off with it, and that is all.
    Spared,
}

/// Does `work` as a hook, in the container whose root is `root`. Returns what went wrong, and whether the driver can be used without
/// it.
pub fn perform(root: &ContainerRoot, work: &Work) -> Vec<(String, Need)> {
    let mut wrong = Vec::new();
    let mut note = |result: Result<()>, need| {
        // Where a mount is in the way, the container starts without.
        let need = |error: &_| if tree::is_in_a_mount(error) { Need::Spared } else { need };
        wrong.extend(result.err().map(|error| (error.to_string(), need(&error))));
    };
    for link in &work.links {
        note(link_in(root, link), Need::Asked);
    }
    if !work.folders.is_empty() || work.compat.is_some() {
        let (newer, error) = newer(root, work).map_or_else(|error| (Vec::new(), Err(error)), |newer| (newer, Ok(())));
        // An image that has too many of them is used as if it had none.
        note(error, Need::Spared);
        note(add_folders(root, work, newer), Need::Asked);
    }
    for (mode, path) in &work.modes {
        // A folder that is not there, or is a mount of somebody else's, is used as it is: so have the vendor's hooks it.
        note(root.set_mode(Path::new(path), mode_of(*mode)), Need::Spared);
    }
    if let Some(profile) = work.driver.map(|driver| &driver.profile).filter(|_| work.has_profile) {
        let put = |text: Option<Vec<u8>>| {
            text.map_or(Ok(()), |text| root.put(Path::new(profile.path), &text, mode_of(0o444)))
        };
        note(nodes_in(root, profile).and_then(|nodes| put(told(profile, &nodes))), Need::Spared);
    }
    wrong
}

fn link_in(root: &ContainerRoot, link: &Link) -> Result<()> {
    let folder = root.folder(Path::new(names::folder(&link.place).unwrap_or("/")))?;
    make(root, &folder, link, Over::Files)
}

/// The image's own libraries, where they come before the machine's: those that the hook of that name finds, or that it found before
/// this one, which is another program.
fn newer(root: &ContainerRoot, work: &Work) -> Result<Vec<Library<'static>>> {
    let Some(driver) = work.driver else { return Ok(Vec::new()) };
    let rule = &driver.compat;
    let folder = match &work.compat {
        Some(versions) => compat::folder(root.tree(), compat::place(rule, versions), rule, versions)?,
        None => linker::kept(root.tree())?.map(Into::into),
    };
    let Some(folder) = folder else { return Ok(Vec::new()) };
    let listed = Listed { folder: &folder, place: "", most: linker::MOST_LIBRARIES, root: Some(root) };
    linker::in_folder(root.tree(), listed, &|name| compat::is_of_driver(rule, name))
}

/// Has the linker find the libraries in the folders of `work`, after the image's newer ones.
fn add_folders(root: &ContainerRoot, work: &Work, newer: Vec<Library<'_>>) -> Result<()> {
    let mut driver = Vec::new();
    for folder in &work.folders {
        let listed = Listed { folder: Path::new(folder), place: "", most: linker::MOST_OF_A_SYSTEM, root: Some(root) };
        driver.extend(linker::in_folder(root.tree(), listed, &|_| true)?);
    }
    linker::add(root, Libraries { newer, driver }).map(drop)
}

/// The nodes that `profile` counts, as they are in the root.
fn nodes_in(root: &ContainerRoot, profile: &Profile) -> Result<Vec<DeviceNode>> {
    let Some((folder, _)) = profile.nodes.rsplit_once('/') else { return Ok(Vec::new()) };
    // More than any machine has.
    const MOST: usize = 1 << 16;
    let names = root.tree().names(Path::new(folder), MOST, |_| true)?.unwrap_or_default();
    let node = |name: &str| DeviceNode { path: format!("{folder}/{name}"), ..DeviceNode::default() };
    Ok(names.iter().map(|(name, _)| node(name)).collect())
}
