//! How hooks say what is to be done in a container's root: the names and arguments of NVIDIA's toolkit, which other vendors' tools
//! follow, and one more name for the one hook that gpu-runc adds itself.
//!
//! Pure. Source: nvidia-container-toolkit, cmd/nvidia-cdi-hook.

use super::work::{Link, Versions, Work};
use crate::cdi::Hook;
use crate::error::Escaped;
use crate::vendor::hooks::DriverHooks;

/// What the one hook is called where the work is no vendor's.
pub const PROGRAM: &str = "gpu-runc-hook";

/// The name of the hook that gpu-runc adds: it covers the driver's parameters. No vendor's tool has it.
pub const PARAMS: &str = "params";

/// The seconds after which a hook is ended. It takes a few milliseconds; what is mounted in a container may keep it waiting for ever.
pub const TIMEOUT: u32 = 10;

/// What the arguments of a hook come to.
#[derive(Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Something to do, in the root that this file's `root` names where one is given.
    Work(Work, Option<String>),
    /// A hook of a later version, or of another tool.
    Unknown(String),
}

/// What every hook takes.
const OF_ALL: &[&str] = &["container-spec"];
/// Hooks and the flags of each that take a value.
const HOOKS: &[(&str, &[&str])] = &[
    ("create-symlinks", &["link"]),
    ("update-ldcache", &["folder", "ldconfig-path"]),
    ("enable-cuda-compat", &["host-driver-version", "host-cuda-version", "cuda-compat-container-root"]),
    ("chmod", &["mode", "path"]),
    ("disable-device-node-modification", &[]),
    ("update-application-profile", &[]),
    (PARAMS, &[]),
];

/// Reads the arguments of a hook, its name first; flags of the whole program may stand before. The error says what is wrong with
/// those of a known hook.
pub fn parse<S: AsRef<str>>(args: &[S]) -> Result<Meaning, String> {
    const OF_PROGRAM: [&str; 4] = ["-d", "--debug", "--quiet", "-q"];
    let mut args = args.iter().map(AsRef::as_ref).skip_while(|arg| OF_PROGRAM.contains(arg));
    let name = args.next().unwrap_or_default();
    let Some((_, flags)) = HOOKS.iter().find(|(known, _)| *known == name) else {
        return Ok(Meaning::Unknown(name.to_owned()));
    };
    let mut work = Work {
        has_profile: name == "update-application-profile",
        has_params: matches!(name, PARAMS | "disable-device-node-modification"),
        ..Work::default()
    };
    let (mut container_spec, mut mode) = (None, None);
    while let Some(arg) = args.next() {
        let flag = arg.strip_prefix("--").or_else(|| arg.strip_prefix('-')).filter(|_| !OF_PROGRAM.contains(&arg));
        let Some(flag) = flag else {
            match OF_PROGRAM.contains(&arg) {
                true => continue,
                false => return Err(format!("{name}: {} is no flag", Escaped::quoted(arg))),
            }
        };
        let (flag, inline) = flag.split_once('=').map_or((flag, None), |(flag, value)| (flag, Some(value)));
        if !flags.contains(&flag) && !OF_ALL.contains(&flag) {
            return Err(format!("{name}: there is no flag --{}", Escaped::quoted(flag)));
        }
        let value = inline.or_else(|| args.next()).ok_or_else(|| format!("{name}: --{flag} needs a value"))?;
        let versions = || work.compat.clone().unwrap_or_default();
        match flag {
            "link" => work.links.push(link(value)?),
            "folder" => work.folders.push(absolute(flag, value)?),
            "path" => work.modes.push((mode.unwrap_or_default(), absolute(flag, value)?)),
            "mode" => {
                let given = u32::from_str_radix(value, 8).ok().filter(|mode| *mode <= 0o7777).ok_or_else(|| {
                    format!("{name}: --mode {} is no mode, expected one such as 755", Escaped::quoted(value))
                })?;
                if mode.replace(given).is_none() {
                    work.modes.iter_mut().for_each(|(is, _)| *is = given);
                }
            }
            "host-driver-version" => work.compat = Some(Versions { driver: value.to_owned(), ..versions() }),
            "host-cuda-version" => work.compat = Some(Versions { cuda: value.to_owned(), ..versions() }),
            "cuda-compat-container-root" => {
                work.compat = Some(Versions { folder: absolute(flag, value)?, ..versions() });
            }
            "container-spec" => container_spec = Some(value.to_owned()),
            // Which ldconfig to run: none is.
            _ => {}
        }
    }
    if mode.is_none() && (name == "chmod" || !work.modes.is_empty()) {
        return Err(format!("{name}: it needs --mode"));
    }
    Ok(Meaning::Work(work, container_spec))
}

/// The one hook that gpu-runc adds, by the program at `path`: it shows `driver`'s parameters in other words.
pub fn params(driver: &DriverHooks, path: &str) -> Hook {
    let program = driver.programs.first().map_or(PROGRAM, |(program, _)| program);
    let hook = Hook::in_container(path, vec![program.to_owned(), PARAMS.to_owned()]);
    Hook { timeout: Some(TIMEOUT.into()), ..hook }
}

fn link(value: &str) -> Result<Link, String> {
    let wrong = || format!("--link {} is no link, expected target::/place", Escaped::quoted(value));
    let (target, place) = value.split_once("::").ok_or_else(wrong)?;
    if target.is_empty() || !place.starts_with('/') {
        return Err(wrong());
    }
    Ok(Link { target: target.to_owned(), place: place.to_owned() })
}

fn absolute(flag: &str, value: &str) -> Result<String, String> {
    let is_path = value.starts_with('/') && !value.chars().any(char::is_control);
    if is_path { Ok(value.to_owned()) } else { Err(format!("--{flag} {} is no absolute path", Escaped::quoted(value))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vendor::Vendors;

    fn work(args: &[&str]) -> Work {
        match parse(args) {
            Ok(Meaning::Work(work, _)) => work,
            other => panic!("{args:?}: {other:?}"),
        }
    }

    #[test]
    fn the_hooks_of_nvidias_toolkit_are_understood() {
        let links = work(&["create-symlinks", "--link", "libx.so.1::/usr/lib/libx.so", "--link=../y::/usr/lib/gbm/y"]);
        assert_eq!(links.links[0], Link { target: "libx.so.1".into(), place: "/usr/lib/libx.so".into() });
        assert_eq!(links.links[1].leads_to(), "/usr/lib/y");
        let folders =
            work(&["--debug", "update-ldcache", "--ldconfig-path", "/sbin/ldconfig", "--folder", "/a", "--folder=/b"]);
        assert_eq!(folders.folders, ["/a", "/b"]);
        let versions = Versions { driver: "550.54.15".into(), folder: "/compat".into(), ..Versions::default() };
        let flags = ["--host-driver-version=550.54.15", "--cuda-compat-container-root", "/compat"];
        assert_eq!(work(&[&["enable-cuda-compat"], &flags[..]].concat()).compat, Some(versions));
        for args in
            [&["chmod", "--mode", "755", "--path", "/dev/dri"], &["chmod", "--path", "/dev/dri", "--mode=755"][..]]
        {
            assert_eq!(work(args).modes, [(0o755, "/dev/dri".to_owned())]);
        }
        assert_eq!(work(&["chmod", "--mode", "0", "--path", "/dev/dri"]).modes, [(0, "/dev/dri".to_owned())]);
        assert!(work(&["disable-device-node-modification"]).has_params);
        assert!(work(&["update-application-profile"]).has_profile);
        assert!(
            work(&["disable-device-node-modification", "--debug", "-q"]).has_params,
            "the program's flags stand anywhere"
        );
        let with_spec = parse(&["update-ldcache", "--container-spec", "/b/config.json"]);
        assert_eq!(with_spec, Ok(Meaning::Work(Work::default(), Some("/b/config.json".to_owned()))));
        for (args, name) in [(&["future-hook", "--x"][..], "future-hook"), (&[], ""), (&["--debug"], "")] {
            assert_eq!(parse(args), Ok(Meaning::Unknown(name.to_owned())));
        }
    }

    #[test]
    fn a_known_hook_with_arguments_that_make_no_sense_is_an_error() {
        for (args, part) in [
            (&["create-symlinks", "--link", "a"][..], "expected target::/place"),
            (&["create-symlinks", "--link", "a::b"], "expected target::/place"),
            (&["create-symlinks", "--link"], "needs a value"),
            (&["create-symlinks", "--folder", "/x"], "there is no flag"),
            (&["create-symlinks", "x"], "is no flag"),
            (&["update-ldcache", "--folder", "x"], "is no absolute path"),
            (&["update-ldcache", "--folder", "/x\n/y"], "is no absolute path"),
            (&["chmod", "--mode", "9", "--path", "/x"], "is no mode"),
            (&["chmod", "--mode", "77777", "--path", "/x"], "is no mode"),
            (&["chmod", "--path", "/x"], "it needs --mode"),
            (&["params", "--path", "/x"], "there is no flag"),
            (&["update-application-profile", "--x=y"], "there is no flag"),
        ] {
            let error = parse(args).unwrap_err();
            assert!(error.contains(part), "{args:?}: {error}");
        }
    }

    #[test]
    fn the_one_hook_is_read_back_and_ends() {
        let driver = Vendors::known().iter().find_map(|vendor| vendor.hooks).unwrap();
        let hook = params(driver, "/usr/bin/gpu-runc");
        let (known, args) = DriverHooks::of(&hook.args, Vendors::known()).unwrap();
        assert_eq!(parse(args), Ok(Meaning::Work(Work { has_params: true, ..Work::default() }, None)));
        assert!(std::ptr::eq(known, driver) && hook.timeout == Some(10) && hook.env.len() == 1, "{hook:?}");
        assert_eq!(parse(&["prepare", "--link", "a::/b"]), Ok(Meaning::Unknown("prepare".to_owned())));
    }
}
