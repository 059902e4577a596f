//! What is to be done in a container's root beside mounts, as a value: what vendors leave to hooks.
//!
//! Pure. Where it comes from is in `absorb` and `links`, how hooks say it in `arguments`.

use crate::oci::path::clean;
use crate::vendor::hooks::DriverHooks;

/// What is to be done in a container's root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Work {
    /// What is known of the driver whose work it is.
    pub driver: Option<&'static DriverHooks>,
    /// Links to be made.
    pub links: Vec<Link>,
    /// Folders whose libraries programs are to find.
    pub folders: Vec<String>,
    /// Whether an image's own libraries of a newer driver come first.
    pub compat: Option<Versions>,
    /// Modes that files or folders are to have.
    pub modes: Vec<(u32, String)>,
    /// Whether the driver's libraries are told which devices there are.
    pub has_profile: bool,
    /// Whether the driver's parameters are shown in other words.
    pub has_params: bool,
}

/// A link in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its text: absolute, or from its folder on.
    pub target: String,
    /// Where it is.
    pub place: String,
}

/// What decides whether an image's own libraries come first. Empty texts are not known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Versions {
    /// The machine's driver.
    pub driver: String,
    /// The CUDA that it supports.
    pub cuda: String,
    /// The folder of the image's libraries, where it is not the usual one.
    pub folder: String,
}

impl Work {
    /// Adds `other`.
    pub fn append(&mut self, other: Work) {
        let is_new = |link: &Link, links: &[Link]| !links.contains(link);
        for link in other.links {
            if is_new(&link, &self.links) {
                self.links.push(link);
            }
        }
        self.folders.extend(other.folders);
        self.modes.extend(other.modes);
        self.driver = self.driver.or(other.driver);
        self.compat = self.compat.take().or(other.compat);
        self.has_profile |= other.has_profile;
        self.has_params |= other.has_params;
    }

    /// What is to be done, a line for each, for people.
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> =
            self.links.iter().map(|Link { target, place }| format!("link {place} to {target}")).collect();
        lines.extend(self.folders.iter().map(|folder| format!("let programs find the libraries in {folder}")));
        lines.extend(self.compat.as_ref().map(|versions| {
            format!(
                "prefer the image's own libraries if they are of a newer driver than {}{}",
                versions.driver, versions.cuda
            )
        }));
        lines.extend(self.modes.iter().map(|(mode, path)| format!("set the mode of {path} to {mode:o}")));
        lines.extend(self.has_profile.then(|| "tell the driver's libraries which devices there are".to_owned()));
        lines.extend(
            self.has_params.then(|| "keep the driver's libraries from making other nodes, by a hook".to_owned()),
        );
        lines
    }

    /// Whether there is nothing to do.
    pub fn is_nothing(&self) -> bool {
        *self == Work { driver: self.driver, ..Work::default() }
    }
}

impl Link {
    /// The place that it leads to, told by its text.
    pub fn leads_to(&self) -> String {
        let (folder, _) = self.place.rsplit_once('/').unwrap_or_default();
        let whole =
            if self.target.starts_with('/') { self.target.clone() } else { format!("{folder}/{}", self.target) };
        clean(&whole).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_where_its_text_says() {
        for (target, place, expected) in [
            ("libx.so.1", "/usr/lib/libx.so", "/usr/lib/libx.so.1"),
            ("../liby.so.1", "/usr/lib/gbm/y.so", "/usr/lib/liby.so.1"),
            ("../card1", "/dev/dri/by-path/pci-0000:01:00.0-card", "/dev/dri/card1"),
            ("/a/./b//c", "/x/y", "/a/b/c"),
            ("../../../../etc", "/a/b", "/etc"),
        ] {
            assert_eq!(Link { target: target.to_owned(), place: place.to_owned() }.leads_to(), expected);
        }
    }
}
