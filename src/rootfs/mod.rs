//! What must exist inside a container's root for the driver to work there: links, entries in the dynamic linker's cache, a file or
//! two. It is written from outside before the container starts. Where the container's own mounts cover the place, or the root cannot
//! be written, a file is prepared for the bundle's directory, to be mounted over the place.
//!
//! Never fails a start, runs nothing and maps nothing of the root, takes no source of a mount from it, writes through no mount.
//!
//! ```text
//! hooks of a CDI file ─absorb→ Work ┐
//! mounts of one library ─links→ Work ┴→ prepare ─→ done in the root │ mounts instead │ files to be mounted │ a note
//! ```

mod absorb;
pub mod arguments;
mod compat;
mod folder;
mod inside;
mod linker;
mod links;
pub mod root;
mod sight;
mod sonames;
pub mod tree;
mod work;

pub use absorb::{absorb, as_edits};
pub use inside::{Need, perform};
pub use links::in_place_of;
pub use sonames::unlinked;
pub use work::{Link, Versions, Work};

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::stat::Mode;

use crate::cdi::{ContainerEdits, DeviceNode, Mount};
use crate::error::{Error, Result};
use crate::ldcache::{Library, names};
use crate::oci::view::MountView;
use crate::vendor::hooks::Profile;

use folder::Over;
use linker::{Libraries, Listed, Merged};
use root::ContainerRoot;
use sight::{Seen, Sight};

/// What became of the work.
#[derive(Debug, Default)]
pub struct Prepared {
    /// What the person who runs the machine may want to know.
    pub notes: Vec<String>,
    /// Mounts in place of links that could not be made.
    pub mounts: Vec<Mount>,
    /// Files to be mounted over their places.
    pub files: Vec<File>,
    /// Those places of the edits' mounts that the low-level runtime would have to make in a mount of the container's own. The edits
    /// must not mount there.
    pub left_out: Vec<String>,
}

/// A file that is to be made in the bundle's directory and mounted, read-only.
#[derive(Debug, PartialEq, Eq)]
pub struct File {
    /// Its name there.
    pub name: &'static str,
    /// Where the container sees it.
    pub place: &'static str,
    /// What it holds.
    pub bytes: Vec<u8>,
}

impl File {
    const CACHE: &str = "gpu-runc-ld.so.cache";
    const DROP_IN: &str = "gpu-runc-ld.so.conf";
    const PROFILE: &str = "gpu-runc-application-profile";
}

/// Reasons, and the places that each of them is about.
type Reasons<'a> = BTreeMap<String, Vec<Cow<'a, str>>>;

/// Does `work` in the root at `rootfs` of the container with the id `container`, and lets its programs find the libraries that
/// `edits` mount. `own` are the mounts that the container has of its own: nothing is written in them.
pub fn prepare(rootfs: &Path, container: &str, work: &Work, edits: &ContainerEdits, own: &[MountView<'_>]) -> Prepared {
    let mut prepared = Prepared::default();
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
    let mut sight = Sight::new(&root, own);
    let mut reasons = Reasons::new();
    let mounts = mountable(&sight, edits, &mut prepared, &mut reasons);
    sight.cover(edits.mounts.iter().filter(|mount| !prepared.left_out.contains(&mount.container_path)));
    make_links(&root, work, &mounts, &sight, &mut prepared, &mut reasons);
    prepared.notes.extend(reasons.iter().map(|(why, places)| format!("{} left out: {why}", some_of(places))));
    find_libraries(&root, work, edits, &mounts, &sight, &mut prepared);
    for (mode, path) in &work.modes {
        let error = match sight.at(path) {
            Seen::Root(real) => match root.set_mode(Path::new(&real), mode_of(*mode)) {
                // What is not there has no mode: vendors' hooks say nothing of it either.
                Err(Error::Io { cause, .. }) if cause.kind() == std::io::ErrorKind::NotFound => None,
                set => set.err().map(|error| error.to_string()),
            },
            _ => Some(format!("{path} is in a mount, and keeps its mode")),
        };
        prepared.notes.extend(error);
    }
    if let Some(profile) = work.driver.map(|driver| &driver.profile).filter(|_| work.has_profile)
        && let Some(bytes) = told(profile, &edits.device_nodes)
    {
        put_or_mount(&root, &sight, File { name: File::PROFILE, place: profile.path, bytes }, 0o444, &mut prepared);
    }
    prepared
}

/// The mounts of `edits` that can be mounted without that anything is made in the container's own mounts. The others are left out.
fn mountable<'e>(
    sight: &Sight<'_>,
    edits: &'e ContainerEdits,
    prepared: &mut Prepared,
    reasons: &mut Reasons<'e>,
) -> Cow<'e, [Mount]> {
    if !sight.has_volumes() {
        return edits.mounts.as_slice().into();
    }
    for Mount { container_path, .. } in &edits.mounts {
        if let Err(why) = sight.takes_mount(container_path) {
            prepared.left_out.push(container_path.clone());
            reasons.entry(why).or_default().push(container_path.into());
        }
    }
    match prepared.left_out.is_empty() {
        true => edits.mounts.as_slice().into(),
        false => {
            let is_kept = |mount: &&Mount| !prepared.left_out.contains(&mount.container_path);
            edits.mounts.iter().filter(is_kept).cloned().collect()
        }
    }
}

fn make_links<'w>(
    root: &ContainerRoot,
    work: &'w Work,
    mounts: &[Mount],
    sight: &Sight<'_>,
    prepared: &mut Prepared,
    reasons: &mut Reasons<'w>,
) {
    let mut by_folder: BTreeMap<&str, Vec<&Link>> = BTreeMap::new();
    // A mount at the same place does more.
    let is_mounted = |link: &&Link| mounts.iter().any(|mount| mount.container_path == link.place);
    for link in work.links.iter().filter(|link| !is_mounted(link)) {
        by_folder.entry(names::folder(&link.place).unwrap_or("/")).or_default().push(link);
    }
    for (path, links) in by_folder {
        let folder = matches!(sight.folder(path), Seen::Root(_)).then(|| root.folder(Path::new(path)));
        for link in links {
            let instead = links::mount_instead(link, &work.links, mounts);
            let made = match &folder {
                None => Err("no link is made in a mount of the container's own".to_owned()),
                Some(Err(error)) => Err(error.to_string()),
                Some(Ok(folder)) => {
                    let over = if instead.is_some() { Over::Nothing } else { Over::Files };
                    make(root, folder, link, over).map_err(|error| error.to_string())
                }
            };
            let Err(why) = made else { continue };
            let why = match instead.map(|mount| sight.takes_file(&mount.container_path).map(|()| mount)) {
                Some(Ok(mount)) => {
                    prepared.mounts.push(mount);
                    continue;
                }
                Some(Err(why)) => why,
                None => why,
            };
            reasons.entry(why).or_default().push(link.place.as_str().into());
        }
    }
}

fn make(root: &ContainerRoot, folder: &folder::Folder<'_>, link: &Link, over: Over) -> Result<()> {
    let name = root::split(Path::new(&link.place)).map(|(_, name)| name);
    let made = name.ok_or(Errno::EINVAL).and_then(|name| folder.link(name, &link.target, over));
    made.map_err(|cause| root.tree().failed("make the link", Path::new(&link.place), cause))
}

fn find_libraries(
    root: &ContainerRoot,
    work: &Work,
    edits: &ContainerEdits,
    mounts: &[Mount],
    sight: &Sight<'_>,
    prepared: &mut Prepared,
) {
    let shown = match linker::shown(mounts, &work.links) {
        Ok(shown) => shown,
        Err(error) => return prepared.notes.push(unfound(&error)),
    };
    // A hook that stays as it is written does the same, with what else it knows.
    let is_done_by_hook = edits.hooks.iter().any(|hook| hook.args.iter().any(|arg| arg == "update-ldcache"));
    if shown.is_empty() || is_done_by_hook {
        return;
    }
    let newer = newer(root, work, sight).unwrap_or_else(|error| {
        prepared.notes.push(format!("the image's own libraries are left out: {error}"));
        Vec::new()
    });
    let is_in_root = matches!(sight.name(linker::CACHE), Seen::Root(_));
    let bytes = match is_in_root {
        true => root.tree().read(Path::new(linker::CACHE), linker::LARGEST),
        false => sight.reader(linker::CACHE).and_then(|reader| {
            let read = reader.map(|reader| reader.tree().read(Path::new(&reader.path), linker::LARGEST));
            Ok(read.transpose()?.flatten())
        }),
    };
    let bytes = match bytes {
        Ok(bytes) => bytes,
        Err(error) => return prepared.notes.push(unfound(&error)),
    };
    match linker::merged(root.tree(), bytes.as_deref(), Libraries { newer, driver: shown }) {
        Merged::Not(note) => prepared.notes.push(note.to_owned()),
        Merged::NoLinker => {}
        Merged::Files { cache, drop_in } => {
            let is_written = match cache {
                Some(bytes) => {
                    let file = File { name: File::CACHE, place: linker::CACHE, bytes };
                    put_or_mount(root, sight, file, 0o644, prepared)
                }
                None => is_in_root,
            };
            // Over a file that is mounted no ldconfig can put another, so that nobody reads the drop-in.
            if !is_written {
                return;
            }
            if matches!(sight.name(linker::DROP_IN), Seen::Root(_)) {
                prepared.notes.extend(linker::put_drop_in(root, &drop_in).err().map(|error| unfound(&error)));
            } else {
                let file = File { name: File::DROP_IN, place: linker::DROP_IN, bytes: drop_in };
                put_or_mount(root, sight, file, 0o644, prepared);
            }
        }
    }
}

/// Puts `file` in the root with this mode, or has it mounted where that cannot be. Whether it is in the root.
fn put_or_mount(root: &ContainerRoot, sight: &Sight<'_>, file: File, mode: u32, prepared: &mut Prepared) -> bool {
    let why = match sight.name(file.place) {
        Seen::Root(_) => match root.put(Path::new(file.place), &file.bytes, mode_of(mode)) {
            Ok(()) => return true,
            // The low-level runtime could not make a place for it either.
            Err(error) if !root.tree().has(Path::new(file.place)) => Err(error.to_string()),
            Err(error) => {
                prepared.notes.push(format!("{error}; a file is mounted there"));
                sight.takes_file(file.place)
            }
        },
        _ => sight.takes_file(file.place),
    };
    match why {
        Ok(()) => prepared.files.push(file),
        Err(why) => prepared.notes.push(format!("{} is left as it is: {why}", file.place)),
    }
    false
}

/// The image's own libraries, where they come before the machine's.
fn newer(root: &ContainerRoot, work: &Work, sight: &Sight<'_>) -> Result<Vec<Library<'static>>> {
    let (Some(driver), Some(versions)) = (work.driver, &work.compat) else { return Ok(Vec::new()) };
    let rule = &driver.compat;
    let Some(reader) = sight.reader(compat::place(rule, versions))? else { return Ok(Vec::new()) };
    let Some(folder) = compat::folder(reader.tree(), &reader.path, rule, versions)? else { return Ok(Vec::new()) };
    let listed = Listed {
        folder: &folder,
        place: &reader.place,
        most: linker::MOST_LIBRARIES,
        root: reader.is_root().then_some(root),
    };
    linker::in_folder(reader.tree(), listed, &|name| compat::is_of_driver(rule, name))
}

/// What tells the driver's libraries which devices there are, if there are any.
fn told(profile: &Profile, nodes: &[DeviceNode]) -> Option<Vec<u8>> {
    let number = |node: &DeviceNode| node.path.strip_prefix(profile.nodes)?.parse::<u32>().ok();
    let numbers: Vec<u32> = nodes.iter().filter_map(number).collect();
    // Devices that are no such nodes, as on WSL, would all be hidden by what counts none.
    if numbers.is_empty() {
        return None;
    }
    let bits = numbers.into_iter().filter_map(|number| 1_u64.checked_shl(number));
    Some((profile.text)(bits.fold(0, |all, bit| all | bit)).into_bytes())
}

/// The first of `places`, and how many more there are.
fn some_of(places: &[Cow<'_, str>]) -> String {
    const NAMED: usize = 3;
    let named = places.iter().take(NAMED).map(|place| &**place).collect::<Vec<_>>().join(", ");
    match places.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

fn mode_of(bits: u32) -> Mode {
    Mode::from_bits_truncate(bits)
}

fn unfound(error: &Error) -> String {
    format!("programs of the container may not find the driver's libraries: {error}")
}
