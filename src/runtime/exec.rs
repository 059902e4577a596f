//! Finding the low-level runtime, and becoming it.
//!
//! The only place that starts a program, by replacing this process: pid, parent, descriptors, environment and cwd stay.

#![allow(clippy::disallowed_methods, reason = "finds and starts the low-level runtime")]

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::config::Config;
use crate::error::{Error, Escaped, Result, reason};

/// Where to look for a program that PATH does not lead to. podman kills and deletes with no PATH at all; CRI-O's packages have their
/// runtimes in a folder of their own.
pub const USUAL_FOLDERS: [&str; 7] =
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/libexec/crio"];

/// The first of `candidates` (names, or absolute paths) that can be executed and is not this program.
pub fn find(candidates: &[String]) -> Result<PathBuf> {
    find_in(candidates, env::var_os("PATH").as_deref(), fs::metadata("/proc/self/exe").ok().as_ref())
}

fn find_in(candidates: &[String], path: Option<&OsStr>, ourselves: Option<&Metadata>) -> Result<PathBuf> {
    let mut passed_over = Vec::new();
    for candidate in candidates {
        let places: Vec<PathBuf> = if candidate.contains('/') {
            vec![candidate.into()]
        } else {
            // An engine's cwd is the bundle: a relative folder in PATH would take the runtime from there.
            let on_path = path.map(env::split_paths).into_iter().flatten().filter(|folder| folder.is_absolute());
            on_path.chain(USUAL_FOLDERS.map(PathBuf::from)).map(|folder| folder.join(candidate)).collect()
        };
        for place in places.into_iter().filter(|place| place.is_absolute()) {
            match fs::metadata(&place) {
                Ok(found) if !found.is_file() || found.mode() & 0o111 == 0 => {
                    passed_over.push(format!("{} is no executable file", Escaped::path(&place)));
                }
                Ok(found) if ourselves.is_some_and(|us| is_same_program(us, &found, &place)) => {
                    passed_over.push(format!("{} is gpu-runc itself", Escaped::path(&place)));
                }
                Ok(_) => return Ok(place),
                Err(cause) if matches!(cause.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) => {}
                Err(cause) => passed_over.push(format!("{}: {}", Escaped::path(&place), reason(&cause))),
            }
        }
    }
    passed_over.dedup();
    let why = if passed_over.is_empty() { String::new() } else { format!(" ({})", passed_over.join("; ")) };
    Err(Error::Runtime(format!(
        "no low-level runtime found{why}: looked for {} on PATH and in the usual folders; install one, or name it under \
         \"runtimes\" in {}",
        candidates.join(", "),
        Escaped::path(&Config::path())
    )))
}

/// Whether the file at `place` is this program: the same file, or a copy of it. Another program of the same size is a rare
/// chance, so the files are hardly ever read. Installed with mode 0711, a user cannot read either: then the size decides.
fn is_same_program(us: &Metadata, other: &Metadata, place: &Path) -> bool {
    (us.dev(), us.ino()) == (other.dev(), other.ino())
        || (us.len() == other.len()
            && match (read("/proc/self/exe".as_ref()), read(place)) {
                (Ok(ours), Ok(theirs)) => ours == theirs,
                _ => true,
            })
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Where this program is, for a hook that is to start it. One that was replaced meanwhile has its successor there.
pub fn own_path() -> Result<String> {
    let link = Path::new("/proc/self/exe");
    let path = fs::read_link(link).map_err(|cause| Error::io("read", link, cause))?;
    let text = path.to_string_lossy();
    Ok(text.strip_suffix(" (deleted)").unwrap_or(&text).to_owned())
}

/// Becomes `runtime`, with the arguments after `argv`'s first. Comes back only with an error.
pub fn exec(runtime: &Path, argv: &[OsString]) -> Error {
    // std's exec gives the program SIGPIPE back, which Rust ignores for itself.
    let cause = Command::new(runtime).args(argv.iter().skip(1)).exec();
    Error::Runtime(format!("cannot start the low-level runtime {}: {}", Escaped::path(runtime), reason(&cause)))
}
