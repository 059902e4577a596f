//! A driver's files on the machine, and the mounts that bring them into a container.
//!
//! Libraries go to the folder that they have on the machine, under their own name and under the name that programs are linked
//! to, so that an image that searches this folder needs no links made.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nix::sys::stat::SFlag;

use crate::cdi::Mount;
use crate::error::{Error, Result};
use crate::host::{Found, Host, libraries};
use crate::vendor::recipe::{Access, Driver, Files};

/// A driver whose files were found.
pub(super) struct Installed {
    driver: &'static Driver,
    root: Host,
    version: String,
    /// Where its libraries are, below its root.
    folders: Vec<PathBuf>,
}

/// Mounts by their places in the container: one for each.
type Mounts = BTreeMap<PathBuf, Mount>;

impl Installed {
    /// Finds the files of the driver that is loaded: below `driver_root`; where that is empty, below the machine's root, else
    /// one of the driver's known other roots.
    pub(super) fn locate(driver: &'static Driver, vendor: &str, host: &Host, driver_root: &Path) -> Result<Self> {
        let version = (driver.version)(host)?.ok_or_else(|| {
            Error::Inject(format!("the version of the {vendor} driver that is loaded cannot be told"))
        })?;
        let marks: Vec<String> = driver.marks.iter().map(|mark| mark.replace("{version}", &version)).collect();
        let known = std::iter::once("/").chain(driver.roots.iter().copied()).map(Path::new);
        let candidates = match driver_root.as_os_str().is_empty() {
            true => known.collect(),
            false => vec![driver_root],
        };
        for candidate in &candidates {
            let Some(root) = host.below(candidate)? else { continue };
            let folders = libraries::folders(&root, driver.inside, &marks)?;
            if !folders.is_empty() {
                return Ok(Installed { driver, root, version, folders });
            }
        }
        let looked: Vec<_> = candidates.iter().map(|root| root.display().to_string()).collect();
        Err(Error::Inject(format!(
            "version {version} of the {vendor} driver is loaded, but {} is in no library folder below {}; restart after an \
             update of the driver, or name its root as host.driver-root",
            marks.join(" or "),
            looked.join(" or ")
        )))
    }

    /// The root that the driver's files are below.
    pub(super) fn root(&self) -> &Host {
        &self.root
    }

    /// The mounts of all its files, ordered by their places in the container.
    pub(super) fn mounts(&self, host: &Host) -> Result<Vec<Mount>> {
        let mut mounts = Mounts::new();
        let patterns: Vec<String> = self.driver.libraries.iter().map(|name| self.versioned(name)).collect();
        for folder in &self.folders {
            self.libraries_of(folder, &patterns, &mut mounts)?;
            for inner in self.driver.subfolders {
                self.libraries_of(&folder.join(inner), &patterns, &mut mounts)?;
            }
        }
        for files in self.driver.files {
            let search = self.folders_of(files, host)?;
            for name in files.names {
                self.file(&search, &self.versioned(name), files, &mut mounts)?;
            }
        }
        Ok(mounts.into_values().collect())
    }

    fn libraries_of(&self, folder: &Path, patterns: &[String], mounts: &mut Mounts) -> Result<()> {
        let is_library = |name: &str| patterns.iter().any(|pattern| matches(pattern, name));
        let entries = self.root.list(folder, |name| is_library(name) || linked_name(name).is_some())?;
        let entries = entries.unwrap_or_default();
        let mut targets = BTreeMap::new();
        for library in entries.iter().filter(|entry| is_library(&entry.name)) {
            let path = folder.join(&library.name);
            let target = match library.is_link {
                true => self.root.find(&path)?.map(|found| found.path),
                false => Some(path.clone()),
            };
            if let Some(target) = target {
                mounts.insert(path.clone(), self.mount(&target, &path, Access::Read));
                targets.insert(library.name.split_once(".so").map(|(stem, _)| stem), target);
            }
        }
        for link in entries.iter().filter(|entry| entry.is_link && !is_library(&entry.name)) {
            if let Some(target) = targets.get(&linked_name(&link.name)) {
                let place = folder.join(&link.name);
                mounts.insert(place.clone(), self.mount(target, &place, Access::Read));
            }
        }
        Ok(())
    }

    /// Adds the file, or the files where `name` ends in a pattern, of the first folder that has it.
    fn file(&self, search: &[PathBuf], name: &str, files: &Files, mounts: &mut Mounts) -> Result<()> {
        for folder in search {
            let mut is_found = false;
            for name in self.expanded(folder, name)? {
                let path = folder.join(&name);
                let found = match self.root.find(&path) {
                    // A user who may not see it could not mount it either.
                    Err(error) if error.is_denied() => continue,
                    found => found?,
                };
                let Some(found) = found.filter(|found| files.access.is_for(found)) else { continue };
                let place = files.at.map_or(path, |at| Path::new(at).join(&name));
                mounts.insert(place.clone(), self.mount(&found.path, &place, files.access));
                is_found = true;
            }
            if is_found {
                break;
            }
        }
        Ok(())
    }

    /// The names below `folder` that the pattern `name` stands for.
    fn expanded(&self, folder: &Path, name: &str) -> Result<Vec<String>> {
        let Some((inner, pattern)) = name.rsplit_once('/').filter(|(_, pattern)| pattern.contains('*')) else {
            return Ok(vec![name.to_owned()]);
        };
        let entries = self.root.list(&folder.join(inner), |name| matches(pattern, name))?.unwrap_or_default();
        Ok(entries.into_iter().map(|entry| format!("{inner}/{}", entry.name)).collect())
    }

    /// The folders to look in, those left out whose placeholder stands for nothing on this machine.
    fn folders_of(&self, files: &Files, host: &Host) -> Result<Vec<PathBuf>> {
        const RELEASE: (&str, &str) = ("{release}", "/proc/sys/kernel/osrelease");
        const FIRMWARE: (&str, &str) = ("{firmware}", "/sys/module/firmware_class/parameters/path");
        let mut folders: Vec<String> = files.search.iter().map(|&folder| folder.to_owned()).collect();
        for (placeholder, source) in [RELEASE, FIRMWARE] {
            if folders.iter().any(|folder| folder.contains(placeholder)) {
                let text = host.read(Path::new(source))?.unwrap_or_default();
                let value = text.trim();
                folders.retain(|folder| !(value.is_empty() && folder.contains(placeholder)));
                folders.iter_mut().for_each(|folder| *folder = folder.replace(placeholder, value));
            }
        }
        Ok(folders.into_iter().map(PathBuf::from).filter(|folder| folder.is_absolute()).collect())
    }

    fn versioned(&self, name: &str) -> String {
        name.replace("{version}", &self.version)
    }

    fn mount(&self, path: &Path, place: &Path, access: Access) -> Mount {
        Mount {
            host_path: self.root.named(path).to_string_lossy().into_owned(),
            container_path: place.to_string_lossy().into_owned(),
            options: access.options().iter().map(|&option| option.to_owned()).collect(),
            ..Mount::default()
        }
    }
}

impl Access {
    fn options(self) -> &'static [&'static str] {
        match self {
            Access::Read => &["ro", "nosuid", "nodev", "rbind", "rprivate"],
            Access::Talk => &["nosuid", "nodev", "rbind", "rprivate", "noexec"],
        }
    }

    /// Engines that were asked to mount an absent file have left folders of its name on many a machine.
    fn is_for(self, found: &Found) -> bool {
        match self {
            Access::Read => found.is(&[SFlag::S_IFREG]),
            Access::Talk => found.is(&[SFlag::S_IFSOCK, SFlag::S_IFDIR]),
        }
    }
}

/// `libx` for `libx.so.1`, a name as programs are linked to.
fn linked_name(name: &str) -> Option<&str> {
    let (stem, version) = name.split_once(".so.")?;
    version.bytes().all(|b| b.is_ascii_digit()).then_some(stem)
}

/// Whether `name` is what `pattern` stands for, in which `*` is any text.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((before, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(name) = name.strip_prefix(before) else { return false };
    if !rest.contains('*') {
        return name.ends_with(rest);
    }
    name.char_indices()
        .map(|(at, _)| at)
        .chain([name.len()])
        .any(|at| name.get(at..).is_some_and(|name| matches(rest, name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_text() {
        for (pattern, name, expected) in [
            ("lib*.so.550.54.15", "libcuda.so.550.54.15", true),
            ("lib*.so.550.54.15", "libcuda.so.550.54.150", false),
            ("lib*.so.550.54.15", "libcuda.so.1", false),
            ("libe.so.*.*", "libe.so.1.2", true),
            ("libe.so.*.*", "libe.so.1", false),
            ("gsp*.bin", "gsp.bin", true),
            ("gsp*.bin", "gsp_é.bin", true),
            ("*", "", true),
            ("a", "a", true),
            ("a", "ab", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn the_name_that_programs_are_linked_to_ends_in_one_number() {
        for (name, stem) in [("libx.so.1", Some("libx")), ("libx.so", None), ("libx.so.1.2", None), ("x.1", None)] {
            assert_eq!(linked_name(name), stem, "{name}");
        }
    }
}
