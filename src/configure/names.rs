//! The names that Docker looks for on its PATH before it takes `--gpus`: links to gpu-runc, in a directory of root's.
//!
//! dockerd looks once, when it starts (moby, daemon/devices_*). Which names fit depends on the GPUs and on Docker's version; that is
//! decided here without looking at anything. A link is ours if it leads to a gpu-runc, so nothing else has to be remembered of it.

#![allow(clippy::disallowed_methods, reason = "the links in directories of programs, and the PATH of a daemon")]

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, fstat};

use super::scope::Scope;
use super::{restart, scope};
use crate::error::{Error, Escaped, Result};
use crate::trust::Reader;
use crate::vendor::{Role, Vendor, Vendors};

/// Docker finds AMD's own name from here on for certain; before, the legacy hook's does the same.
pub const KNOWS_OTHERS: [u32; 2] = [29, 4];
/// What systemd gives a service that says nothing (systemd.exec(5)).
const USUAL_PATH: [&str; 4] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"];
/// Where an administrator's programs belong, as far as they are on the PATH.
const PREFERRED: &str = "/usr/local/bin";

/// A link that comes, changes or goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Where.
    pub path: PathBuf,
    /// Where it leads now; `None` if it is not there.
    pub before: Option<PathBuf>,
    /// Where it will lead; `None` if it goes.
    pub after: Option<PathBuf>,
}

/// What stands under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Nothing.
    Free,
    /// A link to a gpu-runc, which is at this path.
    Ours(PathBuf),
    /// Something else.
    Foreign,
}

/// Every name by which Docker finds a vendor, of all vendors, each once.
pub fn all(vendors: Vendors) -> Vec<&'static str> {
    let mut names: Vec<&'static str> = Vec::new();
    for name in vendors.iter().flat_map(|vendor| vendor.docker).copied().chain(hook(vendors)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// The names for a machine that has devices of the vendors `here`, with a Docker of `version`, where that is known. Those of the first
/// vendor that Docker knows, else the legacy hook's, with which gpu-runc answers for any vendor. Where environment variables give
/// nothing (`gpus_only`), a name by which Docker only sets one would be of no use.
pub fn fitting(
    here: &[&'static Vendor],
    version: Option<&[u32]>,
    gpus_only: bool,
    vendors: Vendors,
) -> Vec<&'static str> {
    let hook = hook(vendors);
    let first = here.iter().find(|vendor| vendor.role == Role::Accelerator);
    let own = first.map(|vendor| vendor.docker).unwrap_or_default();
    let has_hook = own.iter().any(|name| Some(*name) == hook);
    let knows = version.is_some_and(|version| version >= KNOWS_OTHERS.as_slice()) && !gpus_only;
    if !own.is_empty() && (has_hook || knows) { own.to_vec() } else { hook.into_iter().collect() }
}

/// The name of the legacy hook, which every Docker since 19.03 looks for.
pub fn hook(vendors: Vendors) -> Option<&'static str> {
    vendors.iter().find_map(|vendor| vendor.legacy.as_ref()?.programs.first().copied())
}

/// The directories in which the Docker daemon of `scope`, whose file is at `config`, looks for programs; those of a usual service where
/// no daemon runs, or its environment is kept from this user.
pub fn daemon_path(scope: Scope, config: &Path) -> Vec<PathBuf> {
    running_path(scope, config).unwrap_or_else(|| USUAL_PATH.map(PathBuf::from).to_vec())
}

/// Those of the daemon that runs; `None` if none does, or its environment is kept from this user.
pub fn running_path(scope: Scope, config: &Path) -> Option<Vec<PathBuf>> {
    let pid = restart::dockerd(scope, config).ok()?;
    let environ = fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())).ok()?;
    let text = String::from_utf8_lossy(&environ).into_owned();
    let path = text.split('\0').find_map(|entry| entry.strip_prefix("PATH="))?;
    Some(std::env::split_paths(path).filter(|folder| folder.is_absolute()).collect())
}

/// The directory for the names: `asked`, or the best one on `path`. An error where others than root, or than the user whose engine it is,
/// could put programs there, or where Docker would not look.
pub fn directory(asked: Option<&Path>, path: &[PathBuf], scope: Scope) -> Result<PathBuf> {
    if let Some(asked) = asked {
        if !path.iter().any(|folder| folder == asked) {
            return Err(Error::Usage(format!(
                "--names-dir {}: the Docker daemon does not look there; its PATH is {}",
                Escaped::path(asked),
                listed(path)
            )));
        }
        return distrust(asked, scope).map_or_else(
            || Ok(asked.to_owned()),
            |why| Err(Error::Usage(format!("--names-dir {}: {why}", Escaped::path(asked)))),
        );
    }
    let home = match scope {
        Scope::System => None,
        Scope::User => scope::home(),
    };
    let is_fit = |folder: &&PathBuf| {
        home.as_ref().is_none_or(|home| folder.starts_with(home)) && distrust(folder, scope).is_none()
    };
    let preferred = path.iter().filter(|folder| *folder == Path::new(PREFERRED));
    preferred.chain(path).find(is_fit).cloned().ok_or_else(|| {
        let whose = if scope == Scope::System { "root's alone" } else { "below this user's home" };
        Error::Usage(format!(
            "no directory on the PATH of the Docker daemon is {whose}: {}; start Docker with one that is, and name it by --names-dir",
            listed(path)
        ))
    })
}

/// Why nothing should be put into the directory at `path`.
fn distrust(path: &Path, scope: Scope) -> Option<String> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let opened = open(path, flags, Mode::empty()).and_then(|folder| Ok((fstat(&folder)?, folder)));
    let (stat, folder) = match opened {
        Ok(opened) => opened,
        Err(cause) => return Some(io::Error::from(cause).to_string().to_lowercase()),
    };
    let owner = if scope == Scope::System { 0 } else { nix::unistd::geteuid().as_raw() };
    if stat.st_uid != owner && stat.st_uid != 0 {
        return Some(format!("it belongs to user {}, who could put another program there", stat.st_uid));
    }
    Reader::current().distrusts(path, &stat, &folder)
}

fn listed(path: &[PathBuf]) -> String {
    path.iter().map(|folder| Escaped::path(folder).to_string()).collect::<Vec<_>>().join(":")
}

/// What stands at `path`.
pub fn standing(path: &Path) -> Result<Standing> {
    match fs::read_link(path) {
        Ok(target) if target.file_name().is_some_and(|name| name == "gpu-runc") => Ok(Standing::Ours(target)),
        Ok(_) => Ok(Standing::Foreign),
        Err(cause) if matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(Standing::Free)
        }
        // What is no link.
        Err(cause) if cause.kind() == io::ErrorKind::InvalidInput => Ok(Standing::Foreign),
        Err(cause) => Err(Error::io("look at", path, cause)),
    }
}

/// The links that have to change so that `names` in `folder` lead to `program`, and no other name of `all` that is ours does; and what to
/// say of names that are somebody else's. Reads links on `path`, which the daemon goes through in this order.
pub fn plan(
    folder: &Path,
    names: &[&str],
    all: &[&str],
    program: &Path,
    path: &[PathBuf],
) -> Result<(Vec<Link>, Vec<String>)> {
    let (mut links, mut notes) = (Vec::new(), Vec::new());
    for name in all {
        let at = folder.join(name);
        let found = standing(&at)?;
        let before = if let Standing::Ours(target) = &found { Some(target.clone()) } else { None };
        let foreign = match found {
            Standing::Foreign => Some(at.clone()),
            _ => first_foreign(name, path, folder)?,
        };
        let after = match foreign {
            Some(foreign) if names.contains(name) => {
                notes.push(format!(
                    "{} is another program's and stays; Docker takes --gpus with it too",
                    Escaped::path(&foreign)
                ));
                None
            }
            _ => names.contains(name).then(|| program.to_owned()),
        };
        if before != after {
            links.push(Link { path: at, before, after });
        }
    }
    Ok((links, notes))
}

/// The first program called `name` in a directory of `path`, if that is neither ours nor in `folder`.
fn first_foreign(name: &str, path: &[PathBuf], folder: &Path) -> Result<Option<PathBuf>> {
    for other in path.iter().filter(|other| *other != folder) {
        let at = other.join(name);
        match standing(&at) {
            Ok(Standing::Foreign) if fs::metadata(&at).is_ok_and(|found| found.is_file()) => return Ok(Some(at)),
            Err(error) if !error.is_denied() => return Err(error),
            _ => {}
        }
    }
    Ok(None)
}

/// Makes the link what `link` says. What others put in its place since it was looked at stays, and is an error.
pub fn apply(link: &Link) -> Result<()> {
    let failed = |cause| Error::io("link", &link.path, cause);
    let now = match standing(&link.path)? {
        Standing::Ours(target) => Some(target),
        Standing::Free => None,
        Standing::Foreign => return Err(failed(io::Error::other("somebody else changed it at the same time"))),
    };
    if now != link.before {
        return Err(failed(io::Error::other("somebody else changed it at the same time")));
    }
    let Some(target) = &link.after else { return fs::remove_file(&link.path).map_err(failed) };
    if link.before.is_none() {
        return symlink(target, &link.path).map_err(failed);
    }
    let mut fresh = link.path.clone().into_os_string();
    fresh.push(format!(".gpu-ctk-{}", std::process::id()));
    let fresh = PathBuf::from(fresh);
    symlink(target, &fresh).and_then(|()| fs::rename(&fresh, &link.path)).map_err(|cause| {
        let _ = fs::remove_file(&fresh);
        failed(cause)
    })
}

/// The link as it was.
#[must_use]
pub fn undone(link: &Link) -> Link {
    Link { path: link.path.clone(), before: link.after.clone(), after: link.before.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_fit_the_gpus_of_the_machine() {
        let vendors = Vendors::known();
        let nvidia = &["nvidia-cdi-hook", "nvidia-container-runtime-hook"][..];
        let (hook, amd) = (&["nvidia-container-runtime-hook"][..], &["amd-container-runtime"][..]);
        for (here, version, gpus_only, expected) in [
            (&["nvidia"][..], Some(&[29, 7][..]), false, nvidia),
            (&["nvidia"], Some(&[20, 10, 24]), false, nvidia),
            (&["nvidia", "amd"], None, true, nvidia),
            (&["amd"], Some(&[29, 7, 0]), false, amd),
            (&["amd"], Some(&[29, 7, 0]), true, hook),
            (&["amd"], Some(&[20, 10]), false, hook),
            (&["amd"], None, false, hook),
            (&["amd", "intel"], Some(&[30, 0]), false, amd),
            (&["intel"], Some(&[29, 7]), false, hook),
            (&["ascend", "habana"], Some(&[29, 7]), false, hook),
            (&[], Some(&[29, 7]), false, hook),
        ] {
            let here: Vec<_> = here.iter().map(|name| vendors.by_name(name).unwrap()).collect();
            assert_eq!(fitting(&here, version, gpus_only, vendors), expected, "{version:?} {gpus_only}");
        }
        assert_eq!(all(vendors), ["nvidia-cdi-hook", "nvidia-container-runtime-hook", "amd-container-runtime"]);
    }

    #[test]
    fn only_our_links_change_and_what_changed_can_be_undone() {
        let folder = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let program = Path::new("/usr/bin/gpu-runc");
        let all = ["a", "b", "c", "d"];
        let path = [other.path().to_owned(), folder.path().to_owned()];
        fs::write(at("b"), "theirs").unwrap();
        symlink("/old/gpu-runc", at("c")).unwrap();
        fs::write(other.path().join("d"), "theirs").unwrap();
        let (links, notes) = plan(folder.path(), &["a", "b", "d"], &all, program, &path).unwrap();
        let shown: Vec<_> =
            links.iter().map(|link| (link.path.file_name().unwrap().to_str().unwrap(), link.after.is_some())).collect();
        assert_eq!(shown, [("a", true), ("c", false)]);
        assert!(notes.len() == 2 && notes.iter().all(|note| note.contains("another program's and stays")), "{notes:?}");
        links.iter().for_each(|link| apply(link).unwrap());
        assert_eq!(standing(&at("a")).unwrap(), Standing::Ours(program.to_owned()));
        assert_eq!(standing(&at("c")).unwrap(), Standing::Free);
        assert_eq!(plan(folder.path(), &["a"], &all, program, &path).unwrap().0, []);
        assert!(apply(&links[0]).unwrap_err().to_string().contains("somebody else changed it"), "it is there already");
        links.iter().for_each(|link| apply(&undone(link)).unwrap());
        assert_eq!(standing(&at("a")).unwrap(), Standing::Free);
        assert_eq!(standing(&at("c")).unwrap(), Standing::Ours("/old/gpu-runc".into()));
        let (links, _) = plan(folder.path(), &["c"], &all, program, &path).unwrap();
        links.iter().for_each(|link| apply(link).unwrap());
        assert_eq!(standing(&at("c")).unwrap(), Standing::Ours(program.to_owned()));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing of a try is left");
    }

    #[test]
    fn a_directory_that_others_can_write_to_is_none() {
        use std::os::unix::fs::PermissionsExt;
        let (good, open) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::set_permissions(good.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(open.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let path = [open.path().to_owned(), "/absent".into(), good.path().to_owned()];
        if nix::unistd::geteuid().is_root() {
            assert_eq!(directory(None, &path, Scope::System).unwrap(), good.path());
        }
        for (asked, part) in [(Some("/elsewhere"), "does not look there; its PATH is "), (open.path().to_str(), "writ")]
        {
            let error = directory(asked.map(Path::new), &path, Scope::System).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
