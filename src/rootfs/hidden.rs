//! What of a container's root is not seen in the container, because something is mounted over it.

use std::borrow::Cow;
use std::path::Path;

use super::root::ContainerRoot;
use crate::cdi::ContainerEdits;
use crate::host::Host;
use crate::oci::path::clean;
use crate::oci::view::MountView;

/// What is mounted over places in a root.
pub(super) struct Hidden<'a> {
    root: &'a ContainerRoot,
    covers: Vec<Cover<'a>>,
}

/// A mount over a place.
struct Cover<'a> {
    /// Where it is: clean, and without any link of the root.
    place: Cow<'a, str>,
    /// What is seen instead, where it is the machine's and cannot be written.
    read_only: Option<&'a Path>,
}

impl<'a> Hidden<'a> {
    /// The container's `own` mounts, and the folders that `edits` mount.
    pub(super) fn new(root: &'a ContainerRoot, own: &'a [MountView<'_>], edits: &'a ContainerEdits) -> Self {
        let mut covers = Vec::with_capacity(own.len() + edits.mounts.len());
        for mount in own {
            let source = Path::new(&*mount.source);
            let read_only = (mount.is_read_only && source.is_absolute()).then_some(source);
            let written = &*mount.destination;
            let place = clean(written);
            // Some low-level runtimes go up from where a link leads.
            let other = written.contains("..").then(|| root.real(Path::new("/").join(written).as_path())).flatten();
            if &*place != "/" {
                covers.push(Cover { place: without_links(root, place), read_only });
            }
            covers.extend(other.map(|other| Cover { place: text(&other).into_owned().into(), read_only }));
        }
        let ours = edits.mounts.iter().map(|mount| Cover { place: clean(&mount.container_path), read_only: None });
        covers.extend(ours);
        Hidden { root, covers }
    }

    /// Whether what is at `path` in the root, its last part no link, is not what the container sees there.
    pub(super) fn hides(&self, path: &Path) -> bool {
        self.cover(&text(path)).is_some()
    }

    /// The same of the folder at `path`, or of what is to be made there, wherever links of the root lead.
    pub(super) fn hides_folder(&self, path: &str) -> bool {
        self.cover(&without_links(self.root, clean(path))).is_some()
    }

    /// The same of what is to be put at `path`, in place of what is there.
    pub(super) fn hides_file(&self, path: &str) -> bool {
        self.cover(&self.place(path)).is_some()
    }

    /// Whether something can be mounted at `path`: a place that is to be made for it cannot be made in what is read-only.
    pub(super) fn takes_mounts(&self, path: &str) -> bool {
        let path = self.place(path);
        let Some((Cover { read_only: Some(source), .. }, inside)) = self.cover(&path) else { return true };
        let seen = source.join(inside.trim_start_matches('/'));
        let found = Host::open(Path::new("/")).and_then(|machine| machine.find(&seen));
        found.is_ok_and(|found| found.is_some())
    }

    /// Where `path` is in the root, its last part whatever it is: of what lies below a mount no link leads anywhere.
    fn place(&self, path: &str) -> String {
        let path = clean(path);
        let (folder, name) = path.rsplit_once('/').unwrap_or_default();
        [without_links(self.root, clean(folder)).trim_end_matches('/'), name].join("/")
    }

    /// The mount that is seen at `path`, which is clean: the last of them. And the rest of the path below it.
    fn cover<'p>(&self, path: &'p str) -> Option<(&Cover<'a>, &'p str)> {
        self.covers.iter().rev().find_map(|cover| {
            // By their bytes: a start asks this for every link and all mounts, and components cost it more than all its calls.
            let inside = path.strip_prefix(&*cover.place)?;
            (inside.is_empty() || inside.starts_with('/')).then_some((cover, inside))
        })
    }
}

/// Where the clean `path` is in the root, once what is there of it has been followed through its links.
fn without_links<'p>(root: &ContainerRoot, path: Cow<'p, str>) -> Cow<'p, str> {
    // Images do not have links there, and nothing is done there.
    const OF_THE_KERNEL: [&str; 3] = ["/proc", "/sys", "/dev"];
    /// Longer paths are no places.
    const LONGEST: usize = 4096;
    let own = Path::new(&*path);
    if path.len() > LONGEST || OF_THE_KERNEL.iter().any(|folder| own.starts_with(folder)) {
        return path;
    }
    let Some((there, real)) = own.ancestors().find_map(|there| Some((there, root.real(there)?))) else { return path };
    match own.strip_prefix(there) {
        Ok(_) if real == there => path,
        Ok(rest) if rest.as_os_str().is_empty() => text(&real).into_owned().into(),
        rest => text(&real.join(rest.unwrap_or(own))).into_owned().into(),
    }
}

/// The text of a path; what is no text is the place of nothing that is asked for.
fn text(path: &Path) -> Cow<'_, str> {
    path.to_string_lossy()
}
