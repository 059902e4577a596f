//! A driver's files on the machine, and the mounts that bring them into a container: where they are on the machine, unless the
//! row says another place.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nix::sys::stat::SFlag;

use super::Chosen;
use super::libraries;
use super::location::Location;
use crate::cdi::{Hook, Mount};
use crate::error::{Error, Escaped, Result};
use crate::host::libraries::Directory;
use crate::host::{Found, Host};
use crate::ldcache::names;
use crate::vendor::recipe::{Access, Driver, Files, HookRule};

/// A driver whose files were found.
pub(super) struct Installed {
    driver: &'static Driver,
    version: String,
    location: Location,
}

/// Mounts by their places in the container: one for each.
#[derive(Default)]
pub(super) struct Mounts(BTreeMap<PathBuf, Mount>);

/// A directory to look in, and the one in the container that its files go to.
struct Search {
    directory: PathBuf,
    place: PathBuf,
}

impl Installed {
    /// Finds the files of the driver that is loaded: below `driver_root`; where that is empty, in one of its known layouts.
    pub(super) fn locate(driver: &'static Driver, vendor: &str, host: &Host, driver_root: &Path) -> Result<Self> {
        let version = driver.version.map(|version| {
            version(host)?.ok_or_else(|| {
                Error::Inject(format!("the version of the {vendor} driver that is loaded cannot be told"))
            })
        });
        let version = version.transpose()?.unwrap_or_default();
        let location = match (driver.layouts, driver.libraries) {
            (Some(layouts), Some(rule)) => Location::find(vendor, (layouts, rule), &version, host, driver_root)?,
            _ => Location::fixed(host, driver_root)?,
        };
        Ok(Installed { driver, version, location })
    }

    /// The root that the driver's files are below.
    pub(super) fn root(&self) -> &Host {
        &self.location.root
    }

    /// The mounts of those of its files that were `chosen`, ordered by their places in the container.
    pub(super) fn mounts(&self, host: &Host, chosen: &Chosen<'_>) -> Result<Vec<Mount>> {
        let mut mounts = Mounts::default();
        if chosen.is_nothing() {
            return Ok(Vec::new());
        }
        if let Some(rule) = self.driver.libraries {
            libraries::add(rule, &self.location, &self.version, chosen, &mut mounts)?;
        }
        let listed = self.listed(chosen, &mut mounts)?;
        let is_listed = |files: &Files| files.classes.iter().any(|class| listed.contains(class));
        for files in self.driver.files.iter().filter(|files| chosen.needs(files.classes) && !is_listed(files)) {
            let search = self.folders_of(files, host)?;
            for name in files.names {
                self.file(&search, &name.replace("{version}", &self.version), files, &mut mounts)?;
            }
        }
        Ok(mounts.0.into_values().collect())
    }

    /// The hooks that go with its `mounts`, for `program` to do; those for files only where they are.
    pub(super) fn hooks(&self, program: &str, chosen: &Chosen<'_>, is_for_files: bool, mounts: &[Mount]) -> Vec<Hook> {
        let rules = self.driver.hooks.iter();
        let rules = rules.filter(|rule| chosen.needs(rule.classes) && (is_for_files || !rule.is_for_files));
        let hook = |rule: &HookRule| {
            let mut args = Vec::new();
            for arg in rule.args {
                match *arg {
                    "{folders}" => {
                        let places = mounts.iter().map(|mount| mount.container_path.as_str());
                        args.extend(names::folders(places).flat_map(|folder| ["--folder", folder]).map(str::to_owned));
                    }
                    arg => args.push(arg.replace("{version}", &self.version)),
                }
            }
            Hook::in_container(program, args)
        };
        rules.map(hook).collect()
    }

    /// Adds what the administrator's lists name. Returns the classes that have a list.
    fn listed<'c>(&self, chosen: &'c Chosen<'_>, mounts: &mut Mounts) -> Result<Vec<&'c str>> {
        let Some(folder) = self.driver.lists else { return Ok(Vec::new()) };
        const LINES: Files = Files { search: &["/"], at: None, names: &[], access: Access::Tree, classes: &[] };
        let mut listed = Vec::new();
        for class in chosen.names() {
            let path = Path::new(folder).join(format!("{class}.list"));
            let Some(text) = self.location.root.read(&path)? else {
                if self.driver.files.iter().any(|files| files.classes.contains(&class)) {
                    continue;
                }
                let path = self.location.root.named(&path);
                return Err(Error::Inject(format!("there is no list of files {}", Escaped::quoted(&path))));
            };
            for line in text.lines().map(str::trim).filter(|line| line.starts_with('/')) {
                self.file(&[Search::of("/")], line.trim_matches('/'), &LINES, mounts)?;
            }
            listed.push(class);
        }
        Ok(listed)
    }

    /// Adds the file, or the files where `name` ends in a pattern, of the first directory that has it. A link in a circle
    /// is left out: half a driver is no reason to start no container.
    fn file(&self, search: &[Search], name: &str, files: &Files, mounts: &mut Mounts) -> Result<()> {
        let root = &self.location.root;
        for Search { directory, place } in search {
            let mut is_found = false;
            for path in root.matching(&directory.join(name))? {
                let found = match root.find(&path) {
                    // A user who may not see it could not mount it either.
                    Err(error) if error.is_denied() => continue,
                    // A link in a circle is the only thing that is neither there nor absent, and that no reading would change.
                    Err(error) => match root.target(&path)? {
                        Some(_) => return Err(error),
                        None => {
                            log::warn!(
                                "{error}: containers start without this file of the driver; install the driver again"
                            );
                            continue;
                        }
                    },
                    Ok(found) => found,
                };
                let Some(found) = found.filter(|found| files.access.is_for(found)) else { continue };
                let inside = path.strip_prefix(directory).unwrap_or(&path);
                let place = files.at.map_or(place.as_path(), Path::new).join(inside);
                mounts.add(root, &found.path, place, files.access);
                is_found = true;
            }
            if is_found {
                break;
            }
        }
        Ok(())
    }

    /// The directories to look in, those left out whose placeholder stands for nothing on this host.
    fn folders_of(&self, files: &Files, host: &Host) -> Result<Vec<Search>> {
        const RELEASE: (&str, &str) = ("{release}", "/proc/sys/kernel/osrelease");
        const FIRMWARE: (&str, &str) = ("{firmware}", "/sys/module/firmware_class/parameters/path");
        const LIBRARIES: &str = "{libraries}";
        let Location { layout, root, directories } = &self.location;
        let mut folders: Vec<Search> = Vec::new();
        for &folder in files.search {
            match (folder, layout) {
                ("{programs}", Some(layout)) => {
                    folders.extend(layout.programs.iter().map(|(from, to)| Search::at(from, to)));
                }
                ("{shared}", Some(layout)) => folders.extend(layout.shared.iter().map(|folder| Search::of(folder))),
                _ => match folder.strip_prefix(LIBRARIES) {
                    None => folders.push(Search::of(folder)),
                    Some(inner) => {
                        let inside = |at: &Directory| Search::of(&format!("{}{inner}", at.path.to_string_lossy()));
                        folders.extend(directories.iter().map(inside));
                    }
                },
            }
        }
        for (placeholder, source) in [RELEASE, FIRMWARE] {
            let has_it = |search: &Search| search.directory.to_string_lossy().contains(placeholder);
            if folders.iter().any(has_it) {
                let text = host.read(Path::new(source))?.unwrap_or_default();
                // The kernel has the host's name of a directory that may be below the driver's own root.
                let own = root.named(Path::new("/"));
                let value = Path::new(text.trim()).strip_prefix(&own).map_or_else(
                    |_| text.trim().to_owned(),
                    |inside| Path::new("/").join(inside).to_string_lossy().into_owned(),
                );
                folders.retain(|search| !(text.trim().is_empty() && has_it(search)));
                for search in folders.iter_mut().filter(|search| has_it(search)) {
                    *search = Search::of(&search.directory.to_string_lossy().replace(placeholder, &value));
                }
            }
        }
        folders.retain(|search| search.directory.is_absolute());
        Ok(folders)
    }
}

impl Search {
    fn of(directory: &str) -> Self {
        Search::at(directory, directory)
    }

    fn at(directory: &str, place: &str) -> Self {
        Search { directory: PathBuf::from(directory), place: PathBuf::from(place) }
    }
}

impl Mounts {
    /// Adds `path` below `root` at its `place` in the container.
    pub(super) fn add(&mut self, root: &Host, path: &Path, place: PathBuf, access: Access) {
        let mount = mount(&root.named(path).to_string_lossy(), &place.to_string_lossy(), access);
        self.0.insert(place, mount);
    }
}

/// The mount of `path` at `place`.
pub(super) fn mount(path: &str, place: &str, access: Access) -> Mount {
    Mount {
        host_path: path.to_owned(),
        container_path: place.to_owned(),
        options: access.options().iter().map(|&option| option.to_owned()).collect(),
        ..Mount::default()
    }
}

impl Access {
    fn options(self) -> &'static [&'static str] {
        match self {
            Access::Read | Access::Tree => &["ro", "nosuid", "nodev", "rbind", "rprivate"],
            Access::Talk => &["nosuid", "nodev", "rbind", "rprivate", "noexec"],
        }
    }

    /// Engines that were asked to mount an absent file have left folders of its name on many a machine.
    fn is_for(self, found: &Found) -> bool {
        match self {
            Access::Read => found.is(&[SFlag::S_IFREG]),
            Access::Tree => found.is(&[SFlag::S_IFREG, SFlag::S_IFDIR]),
            Access::Talk => found.is(&[SFlag::S_IFSOCK, SFlag::S_IFDIR]),
        }
    }
}
