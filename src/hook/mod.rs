//! The one hook: it covers the driver's parameters, which cannot be done from outside, when the low-level runtime calls it while it
//! makes the container. By the names of vendors' tools the same program does what their hooks do.
//!
//! Every path is hostile here, and nothing is believed but the arguments: no configuration, no environment, no cwd. The hook runs as
//! root of the host in the container's namespaces: it cannot be traced, and it ends.

#![allow(clippy::disallowed_methods, reason = "reads the state and the bundle that the low-level runtime names")]
#![allow(clippy::print_stderr, reason = "the low-level runtime shows what a hook that fails has said")]

mod params;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nix::sys::prctl::set_dumpable;
use nix::unistd::alarm;

use crate::error::{Error, Escaped, Result};
use crate::oci::state::State;
use crate::oci::{LARGEST, Spec, TOO_LARGE};
use crate::rootfs::arguments::{self, Meaning, PARAMS, PROGRAM, TIMEOUT};
use crate::rootfs::root::ContainerRoot;
use crate::rootfs::{self, Need, Work};
use crate::vendor::Vendors;
use crate::vendor::hooks::DriverHooks;

/// Whether a program that is called so is to be a hook.
pub fn is_called(program: &OsStr) -> bool {
    let name = Path::new(program).file_name().and_then(OsStr::to_str).unwrap_or_default();
    name == PROGRAM || DriverHooks::programs(Vendors::known()).any(|known| known == name) || is_legacy(program)
}

/// Whether `program` is the hook that Docker's `--gpus` leaves, which gpu-runc takes out before a container starts.
fn is_legacy(program: &OsStr) -> bool {
    let name = Path::new(program).file_name().and_then(OsStr::to_str).unwrap_or_default();
    Vendors::known().iter().filter_map(|vendor| vendor.legacy.as_ref()).any(|legacy| legacy.programs.contains(&name))
}

/// Runs the hook that `argv` names, program name first. Exit status 0 if all is done that somebody cannot do without, or if the
/// hook is not known: files for later versions must go on to work.
pub fn main(argv: &[OsString]) -> ExitCode {
    match run(argv) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gpu-runc: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(argv: &[OsString]) -> Result<()> {
    // Before anything is opened: with the container's other processes in the same PID namespace, /proc/PID/root would be the host's
    // tree, and /proc/PID/exe this program.
    set_dumpable(false).map_err(|cause| Error::io("shut off", Path::new("/proc/self"), cause.into()))?;
    if argv.first().is_some_and(|program| is_legacy(program)) {
        return Err(Error::Usage(
            "Docker's --gpus works only where gpu-runc starts the container, and another runtime started this one: add --runtime gpu-runc, \
             or make it the default: sudo gpu-ctk runtime configure --engine docker --gpus --restart systemd"
                .to_owned(),
        ));
    }
    let argv: Vec<&str> = argv.iter().map(|arg| arg.to_str().unwrap_or("\u{fffd}")).collect();
    let own = argv.split_first().filter(|(program, _)| program.rsplit('/').next() == Some(PROGRAM));
    let (driver, args) = match own {
        Some((_, args)) => (None, args),
        None => {
            let usage = || {
                Error::Usage(
                    "this is gpu-runc's stand-in for the hooks of a vendor's tool, and knows no other command"
                        .to_owned(),
                )
            };
            DriverHooks::of(&argv, Vendors::known()).map(|(driver, args)| (Some(driver), args)).ok_or_else(usage)?
        }
    };
    let (work, state_file) = match arguments::parse(args).map_err(Error::Usage)? {
        Meaning::Work(work, state_file) => (Work { driver, ..work }, state_file),
        Meaning::Unknown(name) => {
            eprintln!("gpu-runc: warning: there is no hook {}; nothing is done", Escaped::quoted(&name));
            // Some runtimes fail a container whose hook does not take its state.
            if !io::stdin().is_terminal() {
                read(&mut io::stdin(), Path::new("the state on standard input"))?;
            }
            return Ok(());
        }
    };
    match done(&work, state_file.as_deref()) {
        // What gpu-runc asks for by itself, a container can do without.
        Err(error) if args.first() == Some(&PARAMS) => eprintln!("gpu-runc: warning: {error}"),
        done => done?,
    }
    Ok(())
}

/// Does `work` in the container whose state is in `state_file`, or on standard input. The error is the first thing that somebody
/// cannot do without who asked for it.
fn done(work: &Work, state_file: Option<&str>) -> Result<()> {
    let (root, container) = root(state_file)?;
    // The low-level runtime starts hooks in the container's root.
    let machine = Path::new("/");
    std::env::set_current_dir(machine).map_err(|cause| Error::io("change to", machine, cause))?;
    // From here on file systems may be the container's. CDI specs of other tools name no timeout for their hooks; the signal ends this
    // process wherever it waits.
    alarm::set(TIMEOUT);
    let root = ContainerRoot::open(&root, &container)?.with_mounts();
    let mut wrong = rootfs::perform(&root, work);
    if let Some(driver) = work.driver.filter(|_| work.has_params) {
        wrong.extend(params::cover(&root, &driver.params).err().map(|error| (error.to_string(), Need::Asked)));
    }
    let mut first = Ok(());
    for (message, need) in wrong {
        match need {
            Need::Asked if first.is_ok() => first = Err(Error::Inject(message)),
            _ => eprintln!("gpu-runc: warning: {}", Escaped::message(&message)),
        }
    }
    first
}

/// The container's root, as the state or the configuration in its bundle names it, and its id.
fn root(state_file: Option<&str>) -> Result<(PathBuf, String)> {
    let (text, source) = match state_file {
        Some(file) => (read_file(Path::new(file))?, PathBuf::from(file)),
        None => {
            let source = Path::new("the state on standard input");
            (read(&mut io::stdin(), source)?, source.to_owned())
        }
    };
    let wrong = |message| Error::Spec { path: source.clone(), message };
    let state = State::parse(&text).map_err(wrong)?;
    let bundle = Path::new(&state.bundle);
    if !state.root.is_empty() {
        return Ok((bundle.join(&state.root), state.id));
    }
    let config = bundle.join("config.json");
    let text = read_file(&config)?;
    let spec = Spec::parse(&text, &config)?;
    let root = spec.root()?.filter(|root| !root.is_empty());
    let absent = || Error::Spec { path: config.clone(), message: "it names no root".to_owned() };
    root.map(|root| (bundle.join(&*root), state.id.clone())).ok_or_else(absent)
}

fn read_file(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(|cause| Error::io("read", path, cause))?;
    read(&mut file, path)
}

fn read(from: &mut dyn Read, path: &Path) -> Result<String> {
    let mut bytes = Vec::new();
    from.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|cause| Error::io("read", path, cause))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > LARGEST) {
        return Err(Error::Spec { path: path.to_owned(), message: TOO_LARGE.to_owned() });
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
