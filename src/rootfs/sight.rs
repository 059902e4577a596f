//! What a container sees at a path of its root, where mounts cover parts of it: told from outside, before anything is mounted.
//!
//! Only reads. What a mount shows is read from its source on the machine, and only where that cannot keep this process waiting.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::stat::SFlag;

use super::root::ContainerRoot;
use super::tree::Tree;
use crate::cdi::Mount;
use crate::error::{Error, Result};
use crate::host::local;
use crate::oci::path::{clean, parts};
use crate::oci::view::{Backing, MountView};

/// Links that are followed on one path: as many as the kernel follows.
const MOST_LINKS: usize = 40;
/// Longer paths are no places.
const LONGEST: usize = 4096;
/// Images have no links there, and nothing is done there.
const OF_THE_KERNEL: [&str; 3] = ["/proc", "/sys", "/dev"];

/// A root, and what is mounted over places in it.
pub(super) struct Sight<'a> {
    root: &'a ContainerRoot,
    covers: Vec<Cover<'a>>,
    /// Whether one of the container's own shows files of the host.
    has_volume: bool,
    /// What is seen of folders, and whether the root has them.
    folders: RefCell<HashMap<String, (Seen<'a>, bool)>>,
}

/// A mount over a place.
#[derive(Debug, Clone)]
struct Cover<'a> {
    /// Where it is: clean, and without any link of the root.
    place: Cow<'a, str>,
    backing: Backing,
    source: &'a Path,
}

/// What is at a path, its links followed.
#[derive(Debug, Clone)]
pub(super) enum Seen<'a> {
    /// What the root has at this path, which no link leads away from.
    Root(String),
    /// What a mount shows.
    Mount {
        /// Where it is mounted.
        place: String,
        /// Where its files come from.
        backing: Backing,
        /// Its source, a path of the host where its files come from there.
        source: &'a Path,
        /// The rest of the path, below it.
        inside: String,
    },
    /// Links lead through a mount and out of it, or in a circle.
    Lost,
}

impl<'a> Sight<'a> {
    /// What is seen of `root` below the container's `own` mounts.
    pub(super) fn new(root: &'a ContainerRoot, own: &'a [MountView<'_>]) -> Self {
        let mut sight = Sight { root, covers: Vec::new(), has_volume: false, folders: RefCell::default() };
        for mount in own {
            let written = &*mount.destination;
            let (backing, source) = (mount.backing, Path::new(&*mount.source));
            let place = clean(written);
            sight.has_volume |= match backing {
                Backing::Host => true,
                Backing::Memory | Backing::Copy => false,
                Backing::Other => !is_of_the_kernel(&place),
            };
            // Some low-level runtimes go up from where a link leads.
            let other = written.contains("..").then(|| root.tree().real(&Path::new("/").join(written))).flatten();
            if &*place != "/" {
                let place = sight.place_of(place);
                sight.covers.push(Cover { place, backing, source });
            }
            if let Some(other) = other {
                let place = other.to_string_lossy().into_owned().into();
                sight.covers.push(Cover { place, backing, source });
            }
        }
        sight
    }

    /// Puts `mounts` of container edits over what is seen.
    pub(super) fn cover(&mut self, mounts: impl Iterator<Item = &'a Mount>) {
        // Most of these are files, below which there is nothing.
        self.covers.extend(mounts.map(|mount| Cover {
            place: clean(&mount.container_path),
            backing: Backing::Host,
            source: Path::new(&mount.host_path),
        }));
        self.folders.borrow_mut().clear();
    }

    /// Whether the container has mounts of its own that show files of the machine.
    pub(super) fn has_volumes(&self) -> bool {
        self.has_volume
    }

    /// What is seen at `path`, which may be absent there.
    pub(super) fn at(&self, path: &str) -> Seen<'a> {
        self.found(path).0
    }

    /// What is seen of a folder, which is asked for again and again.
    pub(super) fn folder(&self, path: &str) -> Seen<'a> {
        self.found_folder(path).0
    }

    fn found_folder(&self, path: &str) -> (Seen<'a>, bool) {
        if let Some(found) = self.folders.borrow().get(path) {
            return found.clone();
        }
        let found = self.found(path);
        self.folders.borrow_mut().insert(path.to_owned(), found.clone());
        found
    }

    /// What is seen at `path`; not whether it is there, unless the root is known to have nothing there.
    fn found(&self, path: &str) -> (Seen<'a>, bool) {
        let path = clean(path);
        if let Some(seen) = self.covered(&path) {
            return (seen, true);
        }
        if path.len() > LONGEST || is_of_the_kernel(&path) {
            return (Seen::Root(path.into_owned()), true);
        }
        let own = Path::new(&*path);
        for there in own.ancestors() {
            match self.root.tree().open_without_links(there) {
                Ok(_) => return (Seen::Root(path.clone().into_owned()), there == own),
                Err(Errno::ENOENT) => {}
                Err(_) => break,
            }
        }
        (self.walked(&path), true)
    }

    /// What is seen of the name at `path`, in whichever folder links lead to; itself it may be a link, which is not followed.
    pub(super) fn name(&self, path: &str) -> Seen<'a> {
        let path = clean(path);
        let (folder, name) = parent(&path);
        match self.folder(folder) {
            Seen::Root(real) => {
                let path = [real.trim_end_matches('/'), name].join("/");
                self.covered(&path).unwrap_or(Seen::Root(path))
            }
            Seen::Mount { place, inside, .. } => self.covered(&format!("{place}{inside}/{name}")).unwrap_or(Seen::Lost),
            Seen::Lost => Seen::Lost,
        }
    }

    /// Whether something can be mounted at `path` without the low-level runtime making a place for it in one of the container's own
    /// mounts: it would do so as root, in a directory of the host. The error says why not.
    pub(super) fn takes_mount(&self, path: &str) -> std::result::Result<(), String> {
        self.takes(path, false)
    }

    /// The same of a file, which cannot be mounted on a folder.
    pub(super) fn takes_file(&self, path: &str) -> std::result::Result<(), String> {
        self.takes(path, true)
    }

    fn takes(&self, path: &str, is_file: bool) -> std::result::Result<(), String> {
        let judged = |kind: SFlag| match kind == SFlag::S_IFREG || !is_file {
            true => Ok(()),
            false => Err(format!("what is at {path} is no plain file")),
        };
        let seen = match self.name(path) {
            // Nothing is in a folder that the root does not have.
            Seen::Root(_) if !self.found_folder(parent(&clean(path)).0).1 => return Ok(()),
            Seen::Root(real) => match self.root.tree().link(Path::new(&real)) {
                // The low-level runtime makes it in the root. Nearly every mount of every start ends here, after one call.
                Err(Errno::ENOENT) => return Ok(()),
                Ok(None) if !is_file => return Ok(()),
                Ok(None) => Seen::Root(real),
                _ => self.at(path),
            },
            seen => seen,
        };
        match seen {
            Seen::Root(real) => self.root.tree().kind_of(Path::new(&real)).map_or(Ok(()), judged),
            Seen::Mount { backing: Backing::Memory | Backing::Copy, .. } => Ok(()),
            Seen::Mount { backing: Backing::Host, source, inside, place } => match volume(source) {
                Err(error) => Err(error.to_string()),
                Ok(volume) => volume.and_then(|volume| volume.kind_of(Path::new(&inside))).map_or_else(
                    || Err(format!("the container's mount at {place} has no such file, and none is made in it")),
                    judged,
                ),
            },
            Seen::Mount { place, .. } => Err(format!("the container's mount at {place} cannot be read from outside")),
            Seen::Lost => Err("the links that lead there cannot be followed".to_owned()),
        }
    }

    /// What is seen at `path`, to be read. `None` where it is made only when the container starts.
    pub(super) fn reader(&self, path: &str) -> Result<Option<Reader<'a>>> {
        let of_root = |path| Some(Reader { tree: Held::Root(self.root.tree()), path, place: String::new() });
        match self.at(path) {
            Seen::Root(real) => Ok(of_root(real)),
            Seen::Mount { backing: Backing::Copy, place, inside, .. } => Ok(of_root(place + &inside)),
            Seen::Mount { backing: Backing::Memory, .. } => Ok(None),
            Seen::Mount { backing: Backing::Host, source, inside, place } => {
                Ok(volume(source)?.map(|volume| Reader { tree: Held::Volume(volume), path: inside, place }))
            }
            Seen::Mount { place, .. } => {
                Err(Error::Inject(format!("the mount at {place} cannot be read from outside")))
            }
            Seen::Lost => Err(Error::Inject(format!("the links at {path} cannot be followed"))),
        }
    }

    /// Where `path` is in the root: what other mounts show is not looked at, as nothing is known of the links in it.
    fn place_of(&self, path: Cow<'a, str>) -> Cow<'a, str> {
        match self.at(&path) {
            Seen::Root(real) if real == path => path,
            Seen::Root(real) => real.into(),
            Seen::Mount { place, inside, .. } => format!("{place}{inside}").into(),
            Seen::Lost => path,
        }
    }

    /// The mount that is seen at `path`, which is clean and without links: the last of them.
    fn covered(&self, path: &str) -> Option<Seen<'a>> {
        self.covers.iter().rev().find_map(|cover| {
            // By their bytes: a start asks this for every link and all mounts, and components cost it more than all its calls.
            let inside = path.strip_prefix(&*cover.place)?;
            (inside.is_empty() || inside.starts_with('/')).then(|| Seen::Mount {
                place: cover.place.clone().into_owned(),
                backing: cover.backing,
                source: cover.source,
                inside: inside.to_owned(),
            })
        })
    }

    /// Follows `path` link by link. A mount on the way covers what the root has there.
    fn walked(&self, path: &str) -> Seen<'a> {
        let mut todo: Vec<String> = path.split('/').rev().filter(|part| !part.is_empty()).map(str::to_owned).collect();
        let mut at = String::new();
        let mut links = 0;
        while let Some(part) = todo.pop() {
            if part == ".." {
                at.truncate(at.rfind('/').unwrap_or_default());
                continue;
            }
            let next = format!("{at}/{part}");
            let rest = |todo: &[String]| todo.iter().rev().map(|part| format!("/{part}")).collect::<String>();
            if self.covers.iter().any(|cover| *cover.place == next) {
                // What goes up again passes links that only the mount has.
                return match todo.iter().any(|part| part == "..") {
                    true => Seen::Lost,
                    false => self.covered(&(next + &rest(&todo))).unwrap_or(Seen::Lost),
                };
            }
            match self.root.tree().link(Path::new(&next)) {
                Ok(None) => at = next,
                Ok(Some(_)) if links == MOST_LINKS => return Seen::Lost,
                Ok(Some(target)) => {
                    links += 1;
                    if target.starts_with('/') {
                        at.clear();
                    }
                    todo.extend(target.split('/').rev().filter(|part| !matches!(*part, "" | ".")).map(str::to_owned));
                }
                Err(_) => {
                    let path = format!("/{}", parts(&(next + &rest(&todo))).join("/"));
                    return self.covered(&path).unwrap_or(Seen::Root(path));
                }
            }
        }
        Seen::Root(if at.is_empty() { "/".to_owned() } else { at })
    }
}

/// A part of what a container sees, in the tree that has it.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    tree: Held<'a>,
    /// Where in the tree.
    pub(super) path: String,
    /// Where the container sees the tree: empty for its root.
    pub(super) place: String,
}

#[derive(Debug)]
enum Held<'a> {
    Root(&'a Tree),
    Volume(Tree),
}

impl Reader<'_> {
    /// The tree to read in.
    pub(super) fn tree(&self) -> &Tree {
        match &self.tree {
            Held::Root(tree) => tree,
            Held::Volume(tree) => tree,
        }
    }

    /// Whether it is the root's, in which more can be made.
    pub(super) fn is_root(&self) -> bool {
        matches!(self.tree, Held::Root(_))
    }
}

/// The folder of a clean path, and its name in it.
fn parent(path: &str) -> (&str, &str) {
    match path.rsplit_once('/').unwrap_or_default() {
        ("", name) => ("/", name),
        parts => parts,
    }
}

fn is_of_the_kernel(path: &str) -> bool {
    OF_THE_KERNEL.iter().any(|folder| Path::new(path).starts_with(folder))
}

/// What a mount shows whose source is `source`. `None` where there is nothing.
fn volume(source: &Path) -> Result<Option<Tree>> {
    Ok(local::open(source)?.map(|handle| Tree::volume(source, handle)))
}
