//! What can go wrong, as one enum whose texts a person can act on.
//!
//! A message is: what was being done, the thing's name, the cause, and what to do where we know it. Lower case, no final stop.
//! Engines look for certain phrases of the C library's errors in a runtime's message and turn them into exit codes of their
//! own (126, 127), so no message here uses them: [`reason`] has our words for the usual causes.
//!
//! An [`Error`] escapes all that it displays, whoever composed it, so no message of ours carries a raw control character. Names,
//! values and paths in a message are [`Escaped`] where it is composed, which also quotes and cuts them.

mod escaped;

use std::fmt::{self, Write};
use std::io;
use std::path::{Path, PathBuf};

use escaped::Escaping;
pub use escaped::{Escaped, is_unfit};

/// Result of everything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// An error that is reported once, at the top: on stderr, in the engine's log and in ours.
#[derive(Debug)]
pub enum Error {
    /// The machine refused: opening, reading, writing, renaming, starting.
    Io {
        /// What was being done, with the thing's name: `read /etc/gpu-runc/config.toml`.
        doing: String,
        /// The cause.
        cause: io::Error,
    },
    /// A configuration file cannot be used: ours, or an engine's.
    Config {
        /// The file.
        path: PathBuf,
        /// Its line, where one can be named.
        line: Option<usize>,
        /// What is wrong and what would be right.
        message: String,
    },
    /// A configuration file of an engine that the user has to change. The only message of more than one line.
    ByHand {
        /// The file.
        path: PathBuf,
        /// The line that cannot be changed, if known.
        line: Option<usize>,
        /// Why gpu-ctk does not change it.
        message: String,
        /// The lines to add to it.
        lines: String,
    },
    /// The bundle's config.json cannot be understood or safely edited.
    Spec {
        /// The file.
        path: PathBuf,
        /// What is wrong and what would be right.
        message: String,
    },
    /// A CDI file cannot be used.
    Cdi {
        /// The file.
        path: PathBuf,
        /// Its line, where the format gives one.
        line: Option<usize>,
        /// The field, what is wrong with it and what would be right.
        message: String,
    },
    /// A compose file cannot be turned into one that works with gpu-runc.
    Compose {
        /// The file.
        path: PathBuf,
        /// Its line, where one can be named.
        line: Option<usize>,
        /// The service, what is wrong with it and what would be right.
        message: String,
    },
    /// The container asks in a way that cannot be understood.
    Request {
        /// Who asked: `environment variable NVIDIA_VISIBLE_DEVICES`.
        source: String,
        /// What is wrong and what would be right.
        message: String,
    },
    /// The container asks for what the policy does not give.
    Refused {
        /// Who asked.
        source: String,
        /// Which rule refused and how to change it.
        message: String,
    },
    /// The container asks for devices that cannot be had. Keeps the words that users search for.
    Unresolvable {
        /// The names, in the order of the request.
        devices: Vec<String>,
        /// Who asked, what exists, what to do.
        because: String,
    },
    /// Edits that were resolved cannot be made: a missing host device, an impossible combination.
    Inject(String),
    /// No low-level runtime, or one that cannot be started.
    Runtime(String),
    /// A command line that makes no sense.
    Usage(String),
}

impl Error {
    /// An [`Error::Io`] about one path: `doing` is a verb, `path` its object.
    pub fn io(doing: &str, path: &Path, cause: io::Error) -> Self {
        Error::Io { doing: format!("{doing} {}", Escaped::path(path)), cause }
    }

    /// Whether the machine keeps the thing from this process, which may well do without it.
    pub fn is_denied(&self) -> bool {
        matches!(self, Error::Io { cause, .. } if cause.kind() == io::ErrorKind::PermissionDenied)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.compose(&mut Escaping::new(f))?;
        let Error::ByHand { lines, .. } = self else { return Ok(()) };
        f.write_str(":")?;
        lines.lines().try_for_each(|line| write!(f, "\n{}", Escaped::message(&line)))
    }
}

impl Error {
    fn compose(&self, f: &mut Escaping<'_, '_>) -> fmt::Result {
        match self {
            Error::Io { doing, cause } => write!(f, "cannot {doing}: {}", reason(cause)),
            Error::Config { path, line, message }
            | Error::Cdi { path, line, message }
            | Error::Compose { path, line, message }
            | Error::ByHand { path, line, message, .. } => {
                write!(f, "{}", Escaped::path(path))?;
                if let Some(line) = line {
                    write!(f, ":{line}")?;
                }
                write!(f, ": {message}")
            }
            Error::Spec { path, message } => write!(f, "{}: {message}", Escaped::path(path)),
            Error::Request { source, message } => write!(f, "{source}: {message}"),
            Error::Refused { source, message } => write!(f, "{source} may not ask for GPUs: {message}"),
            Error::Unresolvable { devices, because } => {
                const SHOWN: usize = 64;
                let names: Vec<_> = devices.iter().take(SHOWN).map(|name| Escaped::name(name).to_string()).collect();
                write!(f, "CDI device injection failed: unresolvable CDI devices {}", names.join(", "))?;
                if let Some(more @ 1..) = devices.len().checked_sub(SHOWN) {
                    write!(f, " and {more} more")?;
                }
                if because.is_empty() { Ok(()) } else { write!(f, " ({because})") }
            }
            Error::Inject(message) => write!(f, "failed to inject devices: {message}"),
            Error::Runtime(message) | Error::Usage(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { cause, .. } => Some(cause),
            _ => None,
        }
    }
}

/// The cause of an I/O error in words that no engine takes for a message about the container's own program.
pub fn reason(cause: &io::Error) -> String {
    let known = match cause.raw_os_error() {
        Some(libc::ENOENT) => "not found",
        Some(libc::EACCES) => "access denied",
        Some(libc::EPERM) => "not allowed",
        Some(libc::ENOTDIR) => "a part of the path is no folder",
        Some(libc::EISDIR) => "it is a folder",
        Some(libc::ENXIO) => "no such device or address",
        Some(libc::ESRCH) => "no process of that id",
        _ => return cause.to_string(),
    };
    known.to_owned()
}

/// The candidate nearest to `wrong`, if one is near enough to be what was meant.
pub fn nearest<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(wrong, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn no_cause_is_worded_as_engines_word_the_containers_own_failures() {
        let phrases = [
            "no such file or directory",
            "permission denied",
            "operation not permitted",
            "executable file not found",
            "not a directory",
            "is a directory",
            "does not exist",
            "container not running",
            "no such process",
        ];
        for errno in 1..134 {
            let text = reason(&io::Error::from_raw_os_error(errno)).to_lowercase();
            for phrase in phrases {
                assert!(!text.contains(phrase), "errno {errno} reads {text:?}");
            }
        }
    }

    #[test]
    fn no_message_carries_what_it_was_given_raw() {
        const HOSTILE: &str = "a\u{1b}]0;x\u{7}\r\n\u{9b}\u{202e}\u{2066}\u{2028}b";
        let text = || HOSTILE.to_owned();
        let path = || PathBuf::from(OsStr::from_bytes(&[HOSTILE.as_bytes(), b"\xff"].concat()));
        let cause = || io::Error::other(HOSTILE);
        for error in [
            Error::io("read", &path(), cause()),
            Error::Io { doing: text(), cause: cause() },
            Error::Config { path: path(), line: Some(1), message: text() },
            Error::ByHand { path: path(), line: None, message: text(), lines: String::new() },
            Error::Spec { path: path(), message: text() },
            Error::Cdi { path: path(), line: None, message: text() },
            Error::Compose { path: path(), line: None, message: text() },
            Error::Request { source: text(), message: text() },
            Error::Refused { source: text(), message: text() },
            Error::Unresolvable { devices: vec![text(), text()], because: text() },
            Error::Inject(text()),
            Error::Runtime(text()),
            Error::Usage(text()),
        ] {
            let shown = error.to_string();
            let raw = |c: char| c.is_control() || HOSTILE.contains(c) && !c.is_ascii();
            assert!(!shown.contains(raw), "{error:?}: {shown:?}");
            assert!(shown.contains("\\u{1b}]0;x\\u{7}\\r\\n\\u{9b}\\u{202e}\\u{2066}\\u{2028}b"), "{shown}");
        }
    }

    #[test]
    fn lines_to_add_by_hand_stay_lines() {
        let lines = "[a]\nb = \"\u{1b}\u{202e}\"\n".to_owned();
        let error = Error::ByHand { path: "f".into(), line: Some(2), message: "add this".to_owned(), lines };
        assert_eq!(error.to_string(), "f:2: add this:\n[a]\nb = \"\\u{1b}\\u{202e}\"");
    }

    #[test]
    fn names_that_are_searched_for_are_shown_without_quotes() {
        let asked = Error::Unresolvable { devices: vec!["a/b=\u{1b}[31m\n\"".to_owned()], because: String::new() };
        assert!(asked.to_string().ends_with("CDI devices a/b=\\u{1b}[31m\\n\""), "{asked}");
    }

    #[test]
    fn the_nearest_name_is_offered_only_when_it_is_near() {
        let keys = ["runtimes", "log", "policy"];
        assert_eq!(nearest("runtime", keys), Some("runtimes"));
        assert_eq!(nearest("polcy", keys), Some("policy"));
        assert_eq!(nearest("zzz", keys), None);
    }
}
