//! The command line of an OCI runtime, understood as far as a wrapper needs: which verb, which bundle, which log.
//!
//! Reads the arguments by reference and never changes them. runc, crun and youki differ in how flags are written, so the
//! grammar is chosen by the low-level runtime that will read the same arguments next. Whatever is not understood here is left
//! for that runtime to complain of.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What one command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub struct Invocation<'a> {
    /// The verb.
    pub verb: Verb<'a>,
    /// Where the runtime keeps the states of its containers: `--root`.
    pub root: Option<&'a OsStr>,
    /// The runtime's own log file: `--log`.
    pub log: Option<&'a OsStr>,
    /// Whether that log is JSON: `--log-format json`.
    pub log_is_json: bool,
}

/// The verb of a command line, of which only those that read a bundle matter.
#[derive(Debug, PartialEq, Eq)]
pub enum Verb<'a> {
    /// `create`, `run`, `restore`.
    Start(Start<'a>),
    /// Every other verb, or none.
    Other,
}

/// What `create`, `run` and `restore` say.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Start<'a> {
    /// `--bundle`; the current folder when absent or empty.
    pub bundle: Option<&'a OsStr>,
    /// crun's `--config`: another file than the bundle's config.json, relative to the current directory. The very word `config.json`
    /// names the bundle's, and is `None` here.
    pub config: Option<&'a OsStr>,
    /// The container's id, for messages.
    pub id: Option<&'a OsStr>,
}

/// Whose flag syntax is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Go's flags: `-bundle X`, `-b=X`, flags also after the id. Also taken for runtimes that nobody here knows.
    Runc,
    /// GNU argp, in order: `-bX`, `--bun X`; nothing after the id is a flag.
    Crun,
    /// clap: `-bX`, `-b=X`, flags also after the id.
    Youki,
}

impl Dialect {
    /// The dialect of the runtime at `path`, by its file name: `crun`, `crun-wasm`, `krun`, `youki`; all others speak runc's.
    pub fn of(path: &Path) -> Self {
        match path.file_name().map(OsStr::as_bytes) {
            Some(b"krun") => Dialect::Crun,
            Some(name) if name == b"crun" || name.starts_with(b"crun-") => Dialect::Crun,
            Some(name) if name.starts_with(b"youki") => Dialect::Youki,
            _ => Dialect::Runc,
        }
    }
}

/// A flag that takes a value: its long name, and its letter with the dialects that have the letter.
struct ValueFlag(&'static str, Option<(u8, &'static [Dialect])>);

use Dialect::{Crun, Runc, Youki};

const GLOBAL: &[ValueFlag] = &[
    ValueFlag("log", Some((b'l', &[Youki]))),
    ValueFlag("log-format", None),
    ValueFlag("log-level", None),
    ValueFlag("root", Some((b'r', &[Youki]))),
    ValueFlag("rootless", None),
    ValueFlag("criu", None),
    ValueFlag("cgroup-manager", None),
];

const START: &[ValueFlag] = &[
    ValueFlag("bundle", Some((b'b', &[Runc, Crun, Youki]))),
    ValueFlag("config", Some((b'f', &[Crun]))),
    ValueFlag("console-socket", Some((b'c', &[Youki]))),
    ValueFlag("pid-file", Some((b'p', &[Youki]))),
    ValueFlag("preserve-fds", None),
    ValueFlag("image-path", None),
    ValueFlag("work-path", None),
    ValueFlag("manage-cgroups-mode", None),
    ValueFlag("lsm-profile", None),
    ValueFlag("lsm-mount-context", None),
    ValueFlag("network-lock", None),
];

/// Flags that crun does not have: `--pid` is short for `--pid-file` there.
const NOT_OF_CRUN: &[ValueFlag] = &[
    ValueFlag("pidfd-socket", None),
    ValueFlag("parent-path", None),
    ValueFlag("empty-ns", None),
    ValueFlag("status-fd", None),
];

/// Boolean long flags, which a crun abbreviation may mean instead.
const SWITCHES: &[&str] = &[
    "debug",
    "systemd-cgroup",
    "help",
    "usage",
    "version",
    "no-pivot",
    "no-new-keyring",
    "detach",
    "keep",
    "no-subreaper",
    "tcp-established",
    "tcp-close",
    "ext-unix-sk",
    "shell-job",
    "file-locks",
];

/// One argument in the grammar of its dialect.
enum Word<'a> {
    /// A flag with its value.
    Flag(&'static str, &'a OsStr),
    /// A flag without one, or one that is not known.
    Switch,
    /// A flag that makes the program tell of itself, and start nothing.
    Tell,
    /// `--`: no flags after it.
    End,
    /// Anything else.
    Operand(&'a OsStr),
}

impl<'a> Invocation<'a> {
    /// Reads `argv` (program name first) in `dialect`.
    pub fn parse(argv: &'a [OsString], dialect: Dialect) -> Self {
        let mut args = argv.iter().skip(1).map(OsString::as_os_str);
        let mut invocation = Invocation { verb: Verb::Other, root: None, log: None, log_is_json: false };
        let mut flags_ended = false;
        let verb = loop {
            let Some(arg) = args.next() else { return invocation };
            match if flags_ended { Word::Operand(arg) } else { word(arg, &mut args, &[GLOBAL], dialect, &GLOBAL_TELLS) }
            {
                Word::Flag(name, value) => invocation.global(name, value),
                Word::Switch => {}
                Word::Tell => return invocation,
                Word::End => flags_ended = true,
                Word::Operand(verb) => break verb,
            }
        };
        if ["create", "run", "restore"].iter().any(|start| verb == *start) {
            invocation.verb = Verb::Start(Start::default());
            invocation.operands(&mut args, dialect);
        }
        invocation
    }

    fn operands(&mut self, args: &mut impl Iterator<Item = &'a OsStr>, dialect: Dialect) {
        let mut start = Start::default();
        let mut flags_ended = false;
        // Newer runc takes global flags after the verb too; nobody gives them another meaning there.
        let known: &[&[ValueFlag]] = if dialect == Crun { &[START, GLOBAL] } else { &[START, NOT_OF_CRUN, GLOBAL] };
        while let Some(arg) = args.next() {
            match if flags_ended { Word::Operand(arg) } else { word(arg, args, known, dialect, &TELLS) } {
                Word::Flag("bundle", value) => start.bundle = Some(value),
                // Source: crun src/run_create.c, which looks for every other word in the current directory.
                Word::Flag("config", value) if dialect == Crun => {
                    start.config = Some(value).filter(|file| *file != "config.json");
                }
                Word::Flag(name, value) => self.global(name, value),
                Word::Switch => {}
                Word::Tell => return self.verb = Verb::Other,
                Word::End => flags_ended = true,
                Word::Operand(id) => {
                    start.id = start.id.or(Some(id));
                    flags_ended |= dialect == Crun;
                }
            }
        }
        self.verb = Verb::Start(start);
    }

    fn global(&mut self, name: &str, value: &'a OsStr) {
        match name {
            "root" => self.root = Some(value),
            "log" => self.log = Some(value),
            "log-format" => self.log_is_json = value == "json",
            _ => {}
        }
    }
}

/// Words that make a program tell of itself instead of what it is asked.
const TELLS: [&str; 2] = ["help", "h"];
/// The same before the verb. Source: urfave/cli, which runc is built with, and crun's `argp`.
const GLOBAL_TELLS: [&str; 5] = ["help", "h", "version", "v", "V"];

fn word<'a>(
    arg: &'a OsStr,
    rest: &mut impl Iterator<Item = &'a OsStr>,
    known: &[&'static [ValueFlag]],
    dialect: Dialect,
    tells: &[&str],
) -> Word<'a> {
    let bytes = arg.as_bytes();
    let empty = OsStr::new("");
    let flags = || known.iter().copied().flatten();
    match bytes {
        b"--" => return Word::End,
        b"-?" => return Word::Tell,
        [b'-', _, ..] => {}
        _ => return Word::Operand(arg),
    }
    let (dashes, body) =
        if let Some(body) = bytes.strip_prefix(b"--") { (2, body) } else { (1, bytes.get(1..).unwrap_or_default()) };
    let (name, value) = match body.iter().position(|b| *b == b'=') {
        Some(at) => (body.get(..at).unwrap_or_default(), body.get(at + 1..).map(OsStr::from_bytes)),
        None => (body, None),
    };
    // One dash and a whole word is Go's way, or a group of letters.
    if tells.iter().any(|tell| tell.as_bytes() == name) && (dashes == 2 || name.len() == 1 || dialect == Runc) {
        let is_denied = dialect == Runc && value.is_some_and(is_false);
        return if is_denied { Word::Switch } else { Word::Tell };
    }
    if dashes == 2 || dialect == Runc {
        let exact = flags().find(|flag| flag.0.as_bytes() == name);
        // Go takes one dash for two, and two for one.
        let by_letter = || flags().find(|flag| dialect == Runc && flag.has_letter(name, dialect));
        let in_short = || if dialect == Crun { abbreviated(name, known) } else { None };
        if let Some(flag) = exact.or_else(by_letter).or_else(in_short) {
            return Word::Flag(flag.0, value.or_else(|| rest.next()).unwrap_or(empty));
        }
        return Word::Switch;
    }
    // A single dash: `-b X`, `-b=X`, `-bX`, and switches before it where they may be grouped.
    let mut letters = body;
    while let Some((letter, after)) = letters.split_first() {
        let flag = flags().find(|flag| flag.has_letter(&[*letter], dialect));
        match (flag, after, dialect) {
            (Some(flag), [], _) => return Word::Flag(flag.0, rest.next().unwrap_or(empty)),
            (Some(flag), [b'=', value @ ..], Youki) => return Word::Flag(flag.0, OsStr::from_bytes(value)),
            (Some(flag), attached, _) => return Word::Flag(flag.0, OsStr::from_bytes(attached)),
            (None, after, _) => letters = after,
        }
    }
    Word::Switch
}

/// What Go reads as a false flag. Source: strconv.ParseBool.
fn is_false(value: &OsStr) -> bool {
    ["0", "f", "F", "false", "FALSE", "False"].iter().any(|word| value == *word)
}

impl ValueFlag {
    fn has_letter(&self, name: &[u8], dialect: Dialect) -> bool {
        self.1.is_some_and(|(letter, dialects)| name == [letter] && dialects.contains(&dialect))
    }
}

/// The one flag, of the first of `known`, that `prefix` is short for. A switch that it could mean as well makes it none.
fn abbreviated(prefix: &[u8], known: &[&'static [ValueFlag]]) -> Option<&'static ValueFlag> {
    if prefix.is_empty() || SWITCHES.iter().any(|switch| switch.as_bytes().starts_with(prefix)) {
        return None;
    }
    let mut meant = known.iter().take(1).copied().flatten().filter(|flag| flag.0.as_bytes().starts_with(prefix));
    meant.next().filter(|_| meant.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argv(line: &str) -> Vec<OsString> {
        line.split(' ').map(|word| if word == "''" { OsString::new() } else { word.into() }).collect()
    }

    /// The bundle as `-`, when the verb is one that starts a container.
    fn bundle(line: &str, dialect: Dialect) -> Option<String> {
        let argv = argv(line);
        match Invocation::parse(&argv, dialect).verb {
            Verb::Start(start) => Some(start.bundle.map_or("-".to_owned(), |b| b.to_string_lossy().into_owned())),
            Verb::Other => None,
        }
    }

    #[test]
    fn the_bundle_is_found_in_every_spelling_of_the_runtime_at_hand() {
        for (line, runc, crun, youki) in [
            ("r create --bundle /b c", "/b", "/b", "/b"),
            ("r create --bundle=/b c", "/b", "/b", "/b"),
            ("r create -b /b c", "/b", "/b", "/b"),
            ("r create -b=/b c", "/b", "=/b", "/b"),
            ("r create --b /b c", "/b", "/b", "-"),
            ("r create --b=/b c", "/b", "/b", "-"),
            ("r create --pid /p c", "-", "-", "-"),
            ("r create --pid /p --bundle /b c", "/b", "/b", "/b"),
            ("r create --pid=/p --console /s --preserve 3 -b /b c", "/b", "/b", "/b"),
            ("r create --p=/p -b /b c", "/b", "/b", "/b"),
            ("r create -b=/foo/=bar c", "/foo/=bar", "=/foo/=bar", "/foo/=bar"),
            ("r create -b/b c", "-", "/b", "/b"),
            ("r create -bundle /b c", "/b", "undle", "undle"),
            ("r create -bundle=/b c", "/b", "undle=/b", "undle=/b"),
            ("r create --bun /b c", "-", "/b", "-"),
            ("r create --bun=/b c", "-", "/b", "-"),
            ("r create c --bundle /b", "/b", "-", "/b"),
            ("r create -- c --bundle /b", "-", "-", "-"),
            ("r create --bundle /a --bundle /b c", "/b", "/b", "/b"),
            ("r create --not-bundle /b c", "-", "-", "-"),
            ("r create --pid-file --bundle c", "-", "-", "-"),
            ("r create --no-pivot --bundle /b c", "/b", "/b", "/b"),
            ("r create --no-pivot=false -b /b c", "/b", "/b", "/b"),
            ("r create --bundle '' c", "", "", ""),
            ("r create --bundle", "", "", ""),
            ("r create c", "-", "-", "-"),
            ("r run -d --bundle /b c", "/b", "/b", "/b"),
            ("r run -d -b /b c", "/b", "/b", "/b"),
            ("r run -db /b c", "-", "/b", "/b"),
            ("r restore --detach -no-subreaper --bundle /b c", "/b", "/b", "/b"),
            ("r create --log /l --bundle /b c", "/b", "/b", "/b"),
        ] {
            for (dialect, expected) in [(Runc, runc), (Crun, crun), (Youki, youki)] {
                assert_eq!(bundle(line, dialect).as_deref(), Some(expected), "{line} ({dialect:?})");
            }
        }
    }

    #[test]
    fn only_the_verb_decides() {
        for line in [
            "r",
            "r create",
            "r --debug create c",
            "r --systemd-cgroup --root /r create c",
            "r --root=/r --log /l --log-format json create --bundle /b c",
            "r --rootless true run c",
            "r -- create c",
            "r --root create create create",
            "r create --version c",
        ] {
            let expected = line != "r";
            for dialect in [Runc, Crun, Youki] {
                assert_eq!(bundle(line, dialect).is_some(), expected, "{line} ({dialect:?})");
            }
        }
        for line in [
            "r state create",
            "r delete create",
            "r exec c create",
            "r --root create delete c",
            "r --root create kill run 9",
            "r --log create --log-format json state c",
            "r --version",
            "r --version run c",
            "r -v create c",
            "r --help create c",
            "r --root /r --help=true create c",
            "r --help",
            "r features",
            "r kill version 9",
            "r --criu create state c",
            "r --cgroup-manager create state c",
            "r update --resources=- create",
            "r checkpoint --work-path run create",
            "r exec -d c run",
            "r create --help",
            "r run -h",
        ] {
            for dialect in [Runc, Crun, Youki] {
                assert_eq!(bundle(line, dialect), None, "{line} ({dialect:?})");
            }
        }
    }

    #[test]
    fn the_log_and_the_id_are_found() {
        let line = argv("r --root /r --log /b/log.json --log-format json create --bundle /b --pid-file /p create");
        for dialect in [Runc, Crun, Youki] {
            let invocation = Invocation::parse(&line, dialect);
            assert_eq!(invocation.log, Some(OsStr::new("/b/log.json")));
            assert!(invocation.log_is_json);
            assert_eq!(invocation.root, Some(OsStr::new("/r")));
            let Verb::Start(start) = invocation.verb else { panic!("{dialect:?} missed the verb") };
            assert_eq!(start.id, Some(OsStr::new("create")));
        }
    }

    #[test]
    fn cruns_other_configuration_file_is_found() {
        for (line, config) in [
            ("r run -f x.json c", Some("x.json")),
            ("r create --config=x.json c", Some("x.json")),
            ("r run -fx c", Some("x")),
            ("r run --bundle /b -f config.json c", None),
            ("r run -f ./config.json c", Some("./config.json")),
            ("r run --conf x c", Some("x")),
        ] {
            let line = argv(line);
            let Verb::Start(start) = Invocation::parse(&line, Crun).verb else { panic!("no verb") };
            assert_eq!(start.config, config.map(OsStr::new));
        }
        let line = argv("r create -f x.json c");
        let Verb::Start(start) = Invocation::parse(&line, Runc).verb else { panic!("no verb") };
        assert_eq!(start.config, None, "runc has no such flag");
    }

    #[test]
    fn a_pid_file_in_short_is_not_the_id() {
        for line in ["r run --pid /p c", "r run --pid=/p c", "r run --pid-f /p c"] {
            let line = argv(line);
            let Verb::Start(start) = Invocation::parse(&line, Crun).verb else { panic!("no verb") };
            assert_eq!(start.id, Some(OsStr::new("c")), "{line:?}");
        }
    }

    #[test]
    fn a_flag_that_go_reads_as_false_tells_nothing() {
        for (line, starts) in [
            ("r --version=false run c", true),
            ("r --help=0 run c", true),
            ("r -version=F run c", true),
            ("r --version=true run c", false),
            ("r -version run c", false),
            ("r --v run c", false),
            ("r run --help=false c", true),
        ] {
            assert_eq!(bundle(line, Runc).is_some(), starts, "{line}");
        }
    }

    #[test]
    fn arguments_that_are_no_text_pass() {
        let line = ["r", "create", "--bundle"].map(OsString::from);
        let line: Vec<_> = line.into_iter().chain([OsStr::from_bytes(b"/b\xff").to_owned(), "c".into()]).collect();
        let Verb::Start(start) = Invocation::parse(&line, Runc).verb else { panic!("no verb") };
        assert_eq!(start.bundle, Some(OsStr::from_bytes(b"/b\xff")));
    }

    #[test]
    fn the_dialect_follows_the_runtimes_name() {
        for (path, dialect) in [
            ("/usr/bin/runc", Runc),
            ("/usr/bin/crun", Crun),
            ("/usr/bin/crun-wasm", Crun),
            ("/usr/bin/krun", Crun),
            ("/usr/bin/youki", Youki),
            ("/opt/kata", Runc),
        ] {
            assert_eq!(Dialect::of(Path::new(path)), dialect);
        }
    }
}
