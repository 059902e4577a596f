//! Links in place of mounts: a library that is mounted under several names needs one mount, and a mount costs a start more than
//! a hundred links.
//!
//! Pure.

use std::collections::HashMap;

use super::work::Link;
use crate::cdi::Mount;
use crate::ldcache::names;

/// Takes those mounts out of `mounts` that show a library once more under another name, and returns the links that do the same.
pub fn in_place_of(mounts: &mut Vec<Mount>) -> Vec<Link> {
    // By hash: the paths of a driver's libraries are alike for fifty letters, which an order would compare again and again.
    let mut shown: HashMap<&str, &Mount> = HashMap::with_capacity(mounts.len());
    for mount in mounts.iter().filter(|mount| is_library(mount)) {
        let own = |mount: &Mount| name(&mount.container_path) == name(&mount.host_path);
        let first = shown.entry(&mount.host_path).or_insert(mount);
        if own(mount) && !own(first) {
            *first = mount;
        }
    }
    let mut links = Vec::new();
    let is_link: Vec<bool> = mounts
        .iter()
        .map(|mount| {
            let first = shown.get(mount.host_path.as_str()).copied().filter(|first| {
                is_library(mount) && first.container_path != mount.container_path && first.options == mount.options
            });
            links.extend(first.map(|first| Link {
                target: match names::folder(&first.container_path) == names::folder(&mount.container_path) {
                    true => name(&first.container_path).to_owned(),
                    false => first.container_path.clone(),
                },
                place: mount.container_path.clone(),
            }));
            first.is_some()
        })
        .collect();
    let mut is_link = is_link.into_iter();
    mounts.retain(|_| !is_link.next().unwrap_or_default());
    links
}

/// The mount that does what `link` does: where it can be told from the text of `links` which of `mounts` it leads to.
pub(super) fn mount_instead(link: &Link, links: &[Link], mounts: &[Mount]) -> Option<Mount> {
    const LONGEST: usize = 8;
    let mut place = link.leads_to();
    for _ in 0..LONGEST {
        if let Some(mount) = mounts.iter().find(|mount| mount.container_path == place) {
            return Some(Mount { container_path: link.place.clone(), ..mount.clone() });
        }
        place = links.iter().find(|link| link.place == place)?.leads_to();
    }
    None
}

/// Whether it is one that is only read, by programs that look for its name.
fn is_library(mount: &Mount) -> bool {
    let file = name(&mount.container_path);
    (names::library(file).is_some() || file.ends_with(".so"))
        && mount.options.iter().any(|option| option == "ro")
        && matches!(mount.mount_type.as_str(), "" | "none" | "bind")
}

fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(from: &str, to: &str, option: &str) -> Mount {
        let options = vec![option.to_owned(), "rbind".to_owned()];
        Mount { host_path: from.to_owned(), container_path: to.to_owned(), options, ..Mount::default() }
    }

    fn link(target: &str, place: &str) -> Link {
        Link { target: target.to_owned(), place: place.to_owned() }
    }

    #[test]
    fn a_library_is_mounted_under_its_own_name_and_linked_under_others() {
        let mut mounts = vec![
            mount("/d/libx.so.1.2", "/lib/libx.so", "ro"),
            mount("/d/libx.so.1.2", "/lib/libx.so.1", "ro"),
            mount("/d/libx.so.1.2", "/lib/libx.so.1.2", "ro"),
            mount("/d/libx.so.1.2", "/lib/gbm/x-drm_gbm.so", "ro"),
            mount("/d/liby.so.1", "/lib/liby.so.1", "ro"),
            mount("/d/liby.so.1", "/opt/liby.so.1", "rw"),
            mount("/d/data", "/lib/data", "ro"),
            mount("/d/data", "/lib/more-data", "ro"),
        ];
        let before = mounts.clone();
        let links = in_place_of(&mut mounts);
        let expected = [
            link("libx.so.1.2", "/lib/libx.so"),
            link("libx.so.1.2", "/lib/libx.so.1"),
            link("/lib/libx.so.1.2", "/lib/gbm/x-drm_gbm.so"),
        ];
        assert_eq!(links, expected);
        let places: Vec<_> = mounts.iter().map(|mount| mount.container_path.as_str()).collect();
        assert_eq!(places, ["/lib/libx.so.1.2", "/lib/liby.so.1", "/opt/liby.so.1", "/lib/data", "/lib/more-data"]);
        for link in &links {
            let instead = mount_instead(link, &links, &mounts).unwrap();
            assert!(before.contains(&instead), "{instead:?}");
        }
    }

    #[test]
    fn a_link_to_a_link_leads_to_the_mount_and_one_to_nowhere_does_not() {
        let mounts = [mount("/d/libx.so.1.2", "/lib/libx.so.1.2", "ro")];
        let links = [
            link("libx.so.1.2", "/lib/libx.so.1"),
            link("libx.so.1", "/lib/libx.so"),
            link("b", "/lib/a"),
            link("a", "/lib/b"),
        ];
        let of = |index: usize| mount_instead(&links[index], &links, &mounts).map(|mount| mount.container_path);
        assert_eq!(of(1).as_deref(), Some("/lib/libx.so"));
        assert_eq!(of(2), None, "a circle");
        assert_eq!(mount_instead(&link("x", "/lib/y"), &links, &mounts), None);
    }
}
