//! What of a container's root is not seen in the container, because something is mounted over it.

use std::path::{Path, PathBuf};

use super::root::ContainerRoot;
use crate::cdi::ContainerEdits;
use crate::host::Host;
use crate::oci::view::MountView;

/// What is mounted over places in a root.
pub(super) struct Hidden(Vec<Cover>);

/// A mount over a place.
struct Cover {
    place: PathBuf,
    /// What is seen instead, where it is the machine's and cannot be written.
    read_only: Option<PathBuf>,
}

impl Hidden {
    /// The container's `own` mounts, and the folders that `edits` mount.
    pub(super) fn new(root: &ContainerRoot, own: &[MountView<'_>], edits: &ContainerEdits) -> Self {
        // Images do not have links there, and nothing is done there.
        const OF_THE_KERNEL: [&str; 3] = ["/proc", "/sys", "/dev"];
        let of_the_kernel = |path: &Path| OF_THE_KERNEL.iter().any(|folder| path.starts_with(folder));
        let own = own.iter().filter(|mount| mount.destination != "/").map(|mount| {
            let place = Path::new(&*mount.destination);
            let real = if of_the_kernel(place) { None } else { root.real(place) };
            let source = Path::new(&*mount.source);
            Cover {
                place: real.unwrap_or_else(|| place.to_owned()),
                read_only: (mount.is_read_only && source.is_absolute()).then(|| source.to_owned()),
            }
        });
        let ours = edits.mounts.iter().map(|mount| Cover { place: (&mount.container_path).into(), read_only: None });
        Hidden(own.chain(ours).collect())
    }

    /// Whether what is at `path` in the root is not what the container sees there.
    pub(super) fn hides(&self, path: &Path) -> bool {
        self.cover(path).is_some()
    }

    /// Whether something can be mounted at `path`: a place that is to be made for it cannot be made in what is read-only.
    pub(super) fn takes_mounts(&self, path: &Path) -> bool {
        let Some(Cover { place, read_only: Some(source) }) = self.cover(path) else { return true };
        let seen = path.strip_prefix(place).map(|inside| source.join(inside)).unwrap_or_default();
        let found = Host::open(Path::new("/")).and_then(|machine| machine.find(&seen));
        found.is_ok_and(|found| found.is_some())
    }

    /// The mount that is seen at `path`: the last of them.
    fn cover(&self, path: &Path) -> Option<&Cover> {
        self.0.iter().rev().find(|cover| path.starts_with(&cover.place))
    }
}
