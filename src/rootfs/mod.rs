//! What must exist inside a container's root for the driver to work there: links, entries in the dynamic linker's cache, a file or
//! two. It is written from outside before the container starts, or by the one hook where the container's own mounts hide the place.
//!
//! Never fails a start, runs nothing and maps nothing of the root, takes no source from it.
//!
//! ```text
//! hooks of a CDI file ─absorb→ Work ┐
//! mounts of one library ─links→ Work ┴→ prepare ─→ done in the root │ mounts instead │ Work for the hook
//! ```

mod absorb;
pub mod arguments;
mod compat;
mod folder;
mod hidden;
mod linker;
mod links;
pub mod root;
mod sonames;
mod work;

pub use absorb::{absorb, as_edits};
pub use links::in_place_of;
pub use sonames::unlinked;
pub use work::{Link, Versions, Work};

use std::collections::BTreeMap;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::stat::Mode;

use crate::cdi::{ContainerEdits, DeviceNode, Mount};
use crate::error::Result;
use crate::ldcache::{Library, names};
use crate::oci::view::MountView;
use crate::vendor::hooks::Profile;

use folder::Over;
use hidden::Hidden;
use linker::Libraries;
use root::ContainerRoot;

/// What became of the work.
#[derive(Debug, Default)]
pub struct Prepared {
    /// What the person who runs the machine may want to know.
    pub notes: Vec<String>,
    /// Mounts in place of links that could not be made.
    pub mounts: Vec<Mount>,
    /// What only the hook can do.
    pub hook: Work,
}

/// Does `work` in the root at `rootfs` of the container with the id `container`, and lets its programs find the libraries that
/// `edits` mount. `own` are the mounts that the container has of its own: what they hide cannot be done from here.
pub fn prepare(rootfs: &Path, container: &str, work: &Work, edits: &ContainerEdits, own: &[MountView<'_>]) -> Prepared {
    let mut prepared = Prepared::default();
    prepared.hook.driver = work.driver;
    prepared.hook.has_params = work.has_params;
    let root = match ContainerRoot::open(rootfs, container) {
        Ok(root) => root,
        Err(error) => {
            let missing = work.links.iter().map(|link| links::mount_instead(link, &work.links, &edits.mounts));
            prepared.mounts = missing.flatten().collect();
            if names::folders(edits.mounts.iter().map(|mount| mount.container_path.as_str())).next().is_some() {
                prepared.notes.push(unfound(&error));
            }
            return prepared;
        }
    };
    let hidden = Hidden::new(&root, own, edits);
    make_links(&root, work, edits, &hidden, &mut prepared);
    find_libraries(&root, work, edits, &hidden, &mut prepared);
    for (mode, path) in &work.modes {
        match root.real(Path::new(path)).filter(|real| !hidden.hides(real)) {
            Some(real) => {
                prepared.notes.extend(root.set_mode(&real, mode_of(*mode)).err().map(|error| error.to_string()));
            }
            None => prepared.hook.modes.push((*mode, path.clone())),
        }
    }
    if let Some(profile) = work.driver.map(|driver| &driver.profile).filter(|_| work.has_profile) {
        match hidden.hides_file(profile.path) {
            true => prepared.hook.has_profile = true,
            false => {
                prepared.notes.extend(tell(&root, profile, &edits.device_nodes).err().map(|error| error.to_string()));
            }
        }
    }
    prepared
}

/// Does `work` as a hook: in the mount namespace of the container whose root is `root`, where nothing is hidden. Returns what went
/// wrong, and whether the driver can be used without it.
pub fn perform(root: &ContainerRoot, work: &Work) -> Vec<(String, Need)> {
    let mut wrong = Vec::new();
    let mut note = |result: Result<()>, need| wrong.extend(result.err().map(|error| (error.to_string(), need)));
    for link in &work.links {
        note(link_in(root, link), Need::Asked);
    }
    if !work.folders.is_empty() || work.compat.is_some() {
        // Those of the hook that was to look for them, where this one is not.
        let found = if work.compat.is_some() { newer(root, work) } else { linker::kept(root) };
        let (newer, error) = found.map_or_else(|error| (Vec::new(), Err(error)), |newer| (newer, Ok(())));
        // An image that has too many of them is used as if it had none.
        note(error, Need::Spared);
        note(add_folders(root, work, newer), Need::Asked);
    }
    for (mode, path) in &work.modes {
        // A folder that is not there, or is a mount of somebody else's, is used as it is: so have the vendor's hooks it.
        note(root.set_mode(Path::new(path), mode_of(*mode)), Need::Spared);
    }
    if let Some(profile) = work.driver.map(|driver| &driver.profile).filter(|_| work.has_profile) {
        let told = nodes_in(root, profile).and_then(|nodes| tell(root, profile, &nodes));
        note(told, Need::Spared);
    }
    wrong
}

/// Has the linker find the libraries in the folders of `work`, after the image's newer ones.
fn add_folders(root: &ContainerRoot, work: &Work, newer: Vec<Library<'_>>) -> Result<()> {
    let mut driver = Vec::new();
    for folder in &work.folders {
        driver.extend(linker::in_folder(root, Path::new(folder), linker::MOST_OF_A_SYSTEM)?);
    }
    linker::add(root, Libraries { newer, driver }).map(drop)
}

/// Whether the driver can be used without something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Somebody asked for just this.
    Asked,
    /// A container is better off with it, and that is all.
    Spared,
}

fn make_links(root: &ContainerRoot, work: &Work, edits: &ContainerEdits, hidden: &Hidden<'_>, prepared: &mut Prepared) {
    let mut by_folder: BTreeMap<&str, Vec<&Link>> = BTreeMap::new();
    // A mount at the same place does more.
    let is_mounted = |link: &&Link| edits.mounts.iter().any(|mount| mount.container_path == link.place);
    for link in work.links.iter().filter(|link| !is_mounted(link)) {
        by_folder.entry(names::folder(&link.place).unwrap_or("/")).or_default().push(link);
    }
    for (path, links) in by_folder {
        let folder = (!hidden.hides_folder(path)).then(|| root.folder(Path::new(path)));
        for link in links {
            let instead = links::mount_instead(link, &work.links, &edits.mounts);
            let made = match &folder {
                None if instead.is_none() => {
                    prepared.hook.links.push(link.clone());
                    continue;
                }
                None => Err(format!("{} is in a mount of the container's own, and left out", link.place)),
                Some(Err(error)) => Err(error.to_string()),
                Some(Ok(folder)) => {
                    let over = if instead.is_some() { Over::Nothing } else { Over::Files };
                    make(root, folder, link, over).map_err(|error| error.to_string())
                }
            };
            if let Err(why) = made {
                match instead.filter(|mount| hidden.takes_mounts(&mount.container_path)) {
                    Some(mount) => prepared.mounts.push(mount),
                    None => prepared.notes.push(why),
                }
            }
        }
    }
}

fn make(root: &ContainerRoot, folder: &folder::Folder<'_>, link: &Link, over: Over) -> Result<()> {
    let name = root::split(Path::new(&link.place)).map(|(_, name)| name);
    let made = name.ok_or(Errno::EINVAL).and_then(|name| folder.link(name, &link.target, over));
    made.map_err(|cause| root.failed("make the link", Path::new(&link.place), cause))
}

fn link_in(root: &ContainerRoot, link: &Link) -> Result<()> {
    let folder = root.folder(Path::new(names::folder(&link.place).unwrap_or("/")))?;
    make(root, &folder, link, Over::Files)
}

fn find_libraries(
    root: &ContainerRoot,
    work: &Work,
    edits: &ContainerEdits,
    hidden: &Hidden<'_>,
    prepared: &mut Prepared,
) {
    let shown = match linker::shown(&edits.mounts, &work.links) {
        Ok(shown) => shown,
        Err(error) => return prepared.notes.push(unfound(&error)),
    };
    // A hook that stays as it is written does the same, with what else it knows.
    let is_done_by_hook = edits.hooks.iter().any(|hook| hook.args.iter().any(|arg| arg == "update-ldcache"));
    if shown.is_empty() || is_done_by_hook {
        return;
    }
    if [linker::CACHE, linker::DROP_IN].into_iter().any(|path| hidden.hides_file(path)) {
        let folders = names::folders(edits.mounts.iter().map(|mount| mount.container_path.as_str()));
        prepared.hook.folders = folders.map(str::to_owned).collect();
        prepared.hook.compat.clone_from(&work.compat);
        return;
    }
    let newer = newer(root, work).unwrap_or_else(|error| {
        prepared.notes.push(format!("the image's own libraries are left out: {error}"));
        Vec::new()
    });
    match linker::add(root, Libraries { newer, driver: shown }) {
        Ok(note) => prepared.notes.extend(note),
        Err(error) => prepared.notes.push(unfound(&error)),
    }
}

/// The image's own libraries, where they come before the machine's.
fn newer(root: &ContainerRoot, work: &Work) -> Result<Vec<Library<'static>>> {
    let (Some(driver), Some(versions)) = (work.driver, &work.compat) else { return Ok(Vec::new()) };
    match compat::folder(root, &driver.compat, versions)? {
        Some(folder) => linker::in_folder(root, &folder, linker::MOST_LIBRARIES),
        None => Ok(Vec::new()),
    }
}

/// Tells the driver's libraries which devices there are, if there are any.
fn tell(root: &ContainerRoot, profile: &Profile, nodes: &[DeviceNode]) -> Result<()> {
    const FOR_ALL: Mode = Mode::from_bits_truncate(0o444);
    let number = |node: &DeviceNode| node.path.strip_prefix(profile.nodes)?.parse::<u32>().ok();
    let numbers: Vec<u32> = nodes.iter().filter_map(number).collect();
    // Devices that are no such nodes, as on WSL, would all be hidden by what counts none.
    if numbers.is_empty() {
        return Ok(());
    }
    let bits = numbers.into_iter().filter_map(|number| 1_u64.checked_shl(number));
    let text = (profile.text)(bits.fold(0, |all, bit| all | bit));
    root.put(Path::new(profile.path), text.as_bytes(), FOR_ALL)
}

/// The nodes that `profile` counts, as they are in the root.
fn nodes_in(root: &ContainerRoot, profile: &Profile) -> Result<Vec<DeviceNode>> {
    let Some((folder, _)) = profile.nodes.rsplit_once('/') else { return Ok(Vec::new()) };
    // More than any machine has.
    const MOST: usize = 1 << 16;
    let names = root.names(Path::new(folder), MOST, |_| true)?.unwrap_or_default();
    let node = |name: &str| DeviceNode { path: format!("{folder}/{name}"), ..DeviceNode::default() };
    Ok(names.iter().map(|(name, _)| node(name)).collect())
}

fn mode_of(bits: u32) -> Mode {
    Mode::from_bits_truncate(bits)
}

fn unfound(error: &crate::error::Error) -> String {
    format!("programs of the container may not find the driver's libraries: {error}")
}
