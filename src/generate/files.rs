//! A driver's files on the machine, and the mounts that bring them into a container: where they are on the machine, unless the
//! row says another place.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nix::sys::stat::SFlag;

use super::Chosen;
use super::libraries;
use crate::cdi::{Hook, Mount};
use crate::error::{Error, Escaped, Result};
use crate::host::shelter::Sheltered;
use crate::host::{Found, Host};
use crate::ldcache::names;
use crate::vendor::recipe::{Access, Driver, Files, HookRule};

/// A driver whose files were found.
pub(super) struct Installed {
    driver: &'static Driver,
    root: Host,
    version: String,
    /// Where its libraries are, below its root.
    folders: Vec<PathBuf>,
}

/// Mounts by their places in the container: one for each.
#[derive(Default)]
pub(super) struct Mounts(BTreeMap<PathBuf, Mount>);

impl Installed {
    /// Finds the files of the driver that is loaded: below `driver_root`; where that is empty, below the machine's root, else
    /// one of the driver's known other roots.
    pub(super) fn locate(driver: &'static Driver, vendor: &str, host: &Host, driver_root: &Path) -> Result<Self> {
        let version = driver.version.map(|version| {
            version(host)?.ok_or_else(|| {
                Error::Inject(format!("the version of the {vendor} driver that is loaded cannot be told"))
            })
        });
        let version = version.transpose()?.unwrap_or_default();
        let known = std::iter::once("/").chain(driver.roots.iter().copied()).map(Path::new);
        let candidates = match driver_root.as_os_str().is_empty() {
            true => known.collect(),
            false => vec![driver_root],
        };
        for candidate in &candidates {
            if let Some(why) = host.refusal(candidate)? {
                let candidate = Escaped::path(candidate);
                return Err(Error::Inject(format!("the root {candidate} of the {vendor} driver is not used: {why}")));
            }
            let Some(root) = host.below(candidate)? else { continue };
            let folders = match driver.libraries {
                Some(rule) => libraries::folders(rule, &root, &version)?,
                None => Vec::new(),
            };
            if driver.libraries.is_none() || !folders.is_empty() {
                return Ok(Installed { driver, root, version, folders });
            }
        }
        let looked: Vec<_> = candidates.iter().map(|root| Escaped::path(root).to_string()).collect();
        let marks = driver.libraries.map(|rule| libraries::marks(rule, &version)).unwrap_or_default();
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

    /// The mounts of those of its files that were `chosen`, ordered by their places in the container.
    pub(super) fn mounts(&self, host: &Host, chosen: &Chosen<'_>) -> Result<Vec<Mount>> {
        let mut mounts = Mounts::default();
        if chosen.is_nothing() {
            return Ok(Vec::new());
        }
        if let Some(rule) = self.driver.libraries {
            libraries::add(rule, &self.root, &self.folders, &self.version, chosen, &mut mounts)?;
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
            let Some(text) = self.root.read(&path)? else {
                if self.driver.files.iter().any(|files| files.classes.contains(&class)) {
                    continue;
                }
                let path = self.root.named(&path);
                return Err(Error::Inject(format!("there is no list of files {}", Escaped::quoted(&path))));
            };
            for line in text.lines().map(str::trim).filter(|line| line.starts_with('/')) {
                self.file(&[PathBuf::from("/")], line.trim_matches('/'), &LINES, mounts)?;
            }
            listed.push(class);
        }
        Ok(listed)
    }

    /// Adds the file, or the files where `name` ends in a pattern, of the first folder that has it.
    fn file(&self, search: &[PathBuf], name: &str, files: &Files, mounts: &mut Mounts) -> Result<()> {
        for folder in search {
            let mut is_found = false;
            for path in self.matching(&folder.join(name))? {
                let found = match taken(&self.root, &path, files.access) {
                    // A user who may not see it could not mount it either.
                    Err(error) if error.is_denied() => continue,
                    found => found?,
                };
                let Some(found) = found else { continue };
                let inside = path.strip_prefix(folder).unwrap_or(&path);
                let place = files.at.map_or_else(|| path.clone(), |at| Path::new(at).join(inside));
                mounts.insert(&self.root, &found.path, place, files.access);
                is_found = true;
            }
            if is_found {
                break;
            }
        }
        Ok(())
    }

    /// The paths that `path` stands for. In a folder that others than root can replace, a pattern stands for none: it is not listed.
    fn matching(&self, path: &Path) -> Result<Vec<PathBuf>> {
        let is_pattern = path.as_os_str().as_encoded_bytes().contains(&b'*');
        if let Some(folder) = path.parent().filter(|_| is_pattern)
            && is_left_out(&self.root, folder)?
        {
            return Ok(Vec::new());
        }
        self.root.matching(path)
    }

    /// The folders to look in, those left out whose placeholder stands for nothing on this machine.
    fn folders_of(&self, files: &Files, host: &Host) -> Result<Vec<PathBuf>> {
        const RELEASE: (&str, &str) = ("{release}", "/proc/sys/kernel/osrelease");
        const FIRMWARE: (&str, &str) = ("{firmware}", "/sys/module/firmware_class/parameters/path");
        const LIBRARIES: &str = "{libraries}";
        let mut folders: Vec<String> = Vec::new();
        for &folder in files.search {
            match folder.strip_prefix(LIBRARIES) {
                None => folders.push(folder.to_owned()),
                Some(inner) => folders.extend(self.folders.iter().map(|at| format!("{}{inner}", at.to_string_lossy()))),
            }
        }
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
}

impl Mounts {
    /// Adds `path` below `root`, which is there, at its `place` in the container, unless others than root can replace it.
    pub(super) fn add(&mut self, root: &Host, path: &Path, place: PathBuf, access: Access) -> Result<()> {
        if !is_left_out(root, path)? {
            self.insert(root, path, place, access);
        }
        Ok(())
    }

    fn insert(&mut self, root: &Host, path: &Path, place: PathBuf, access: Access) {
        let mount = mount(&root.named(path).to_string_lossy(), &place.to_string_lossy(), access);
        self.0.insert(place, mount);
    }
}

/// What a mount takes from `path` below `root`: of the type that `access` is for, and nobody's but root's to replace. `None` where it is
/// absent or left out, for a reason that is logged.
pub(super) fn taken(root: &Host, path: &Path, access: Access) -> Result<Option<Found>> {
    let found = match root.find_sheltered(path)? {
        Sheltered::Absent => return Ok(None),
        Sheltered::Found(found) => found,
        Sheltered::Refused(why) => {
            log_left_out(root, path, &why);
            return Ok(None);
        }
    };
    if !access.is_for(&found) {
        return Ok(None);
    }
    if let Access::Daemon(name) = access
        && !root.is_served(path, name)?
    {
        log_left_out(root, path, &format!("no daemon serves {name} in it"));
        return Ok(None);
    }
    Ok(Some(found))
}

/// Whether `path` below `root` is not mounted because others than root can replace it, which is logged.
pub(super) fn is_left_out(root: &Host, path: &Path) -> Result<bool> {
    let refusal = root.refusal(path)?;
    refusal.iter().for_each(|why| log_left_out(root, path, why));
    Ok(refusal.is_some())
}

fn log_left_out(root: &Host, path: &Path, why: &str) {
    log::debug!("{} is not mounted: {why}", Escaped::path(&root.named(path)));
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
            Access::Talk | Access::Daemon(_) => &["nosuid", "nodev", "rbind", "rprivate", "noexec"],
        }
    }

    /// Engines that were asked to mount an absent file have left folders of its name on many a machine.
    fn is_for(self, found: &Found) -> bool {
        match self {
            Access::Read => found.is(&[SFlag::S_IFREG]),
            Access::Tree => found.is(&[SFlag::S_IFREG, SFlag::S_IFDIR]),
            Access::Talk => found.is(&[SFlag::S_IFSOCK, SFlag::S_IFDIR]),
            Access::Daemon(_) => found.is(&[SFlag::S_IFDIR]),
        }
    }
}
