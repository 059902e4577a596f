//! The configuration file, `/etc/gpu-runc/config.toml`: every key optional, an unknown key an error.
//!
//! Only reads that one file; decides nothing.

mod fault;
pub mod nvidia;
mod policy;
mod text;

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::sys::stat::{FileStat, SFlag, fstat};
use serde::{Deserialize, Serialize};

pub use fault::line_of;
pub use policy::{Exclusive, Pods, Policy, Refused, Who};

use crate::error::{Error, Escaped, Result};
use crate::trust::Reader;
use fault::syntax;

/// Where the configuration is unless [`VARIABLE`] names another file.
pub const PATH: &str = "/etc/gpu-runc/config.toml";
/// Names no file, and so the defaults. Everybody may write to it, which changes nothing.
const NO_FILE: &str = "/dev/null";
/// Nobody's configuration has this many bytes; an endless file would be read for ever.
const LARGEST: usize = 1 << 20;
/// The environment variable that names another configuration file.
pub const VARIABLE: &str = "GPU_RUNC_CONFIG";

/// All of the configuration; [`Default`] is what an absent file means.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Low-level runtimes, names or absolute paths; the first that is found runs the container. Empty: runc, else crun; crun comes
    /// first for podman, as it does in podman itself.
    pub runtimes: Vec<String>,
    /// Diagnostics.
    pub log: Log,
    /// Container Device Interface.
    pub cdi: Cdi,
    /// The machine as gpu-runc sees it.
    pub host: Host,
    /// Who may ask.
    pub policy: Policy,
    /// What is done for those who ask.
    pub inject: Inject,
    /// Vendors that gpu-runc does not know of itself.
    pub vendor: Vec<Vendor>,
}

/// `[log]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Log {
    /// The least severe level that is written.
    pub level: Level,
    /// Whether to write to the system log.
    pub syslog: bool,
    /// A file of our own to append to; empty for none.
    pub file: PathBuf,
}

/// Severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the words say it")]
pub enum Level {
    Off,
    Error,
    Warn,
    Info,
    Debug,
}

/// `[cdi]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Cdi {
    /// Spec directories, the last one with the highest priority.
    pub spec_dirs: Vec<PathBuf>,
}

/// `[host]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Host {
    /// The root of the machine to look at.
    pub root: PathBuf,
    /// The root of the driver's files; empty for `root`, then the known driver containers' roots.
    pub driver_root: PathBuf,
    /// The root of the device nodes; empty for the driver root.
    pub dev_root: PathBuf,
}

/// `[inject]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Inject {
    /// When descriptions are generated in memory.
    pub generate: Generate,
    /// What becomes of the known hooks of vendors' CDI files.
    pub hooks: Hooks,
    /// Whether the one hook may keep containers from making nodes of devices that they were not given.
    pub params: bool,
    /// Whose devices Docker's `--gpus` is for.
    pub docker_gpus: DockerGpus,
    /// Which devices a request by count takes.
    pub pick: Picked,
}

/// Whose devices Docker's `--gpus` is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DockerGpus {
    /// NVIDIA's where the host has any, else those of the first vendor that it has.
    #[default]
    Any,
    /// NVIDIA's, whatever else the host has.
    Nvidia,
}

/// When descriptions are generated in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Generate {
    /// For what no valid, fresh CDI file provides.
    Missing,
    /// Never.
    Never,
    /// Always, in place of the files of known vendors.
    Always,
}

/// Which devices a request by count takes, where it does not say so itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Picked {
    /// Those that the fewest containers hold.
    Least,
    /// Those with the lowest indices.
    First,
}

/// What becomes of the known hooks of vendors' CDI files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Hooks {
    /// Their work is done from outside and they are dropped.
    Native,
    /// They stay as written.
    Keep,
}

/// `[[vendor]]`: one whose devices are numbered nodes.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Vendor {
    /// The word that names it in `driver=`.
    pub name: String,
    /// The CDI kind of its devices.
    pub kind: String,
    /// The path of a device's node, in which `*` stands for its number.
    pub devices: String,
    /// Nodes that go with any of its devices, as far as they are there.
    pub nodes: Vec<String>,
    /// Variables that go with any of its devices.
    pub env: Vec<String>,
    /// Files and folders that go with any of its devices, as far as they are there; read-only.
    pub mounts: Vec<String>,
    /// The environment variable that asks for its devices; empty for none.
    pub visible: String,
}

impl Default for Log {
    fn default() -> Self {
        Log { level: Level::Info, syslog: true, file: PathBuf::new() }
    }
}

impl Default for Cdi {
    fn default() -> Self {
        Cdi { spec_dirs: vec!["/etc/cdi".into(), "/var/run/cdi".into()] }
    }
}

impl Default for Host {
    fn default() -> Self {
        Host { root: "/".into(), driver_root: PathBuf::new(), dev_root: PathBuf::new() }
    }
}

impl Default for Inject {
    fn default() -> Self {
        let (docker_gpus, pick) = (DockerGpus::Any, Picked::Least);
        Inject { generate: Generate::Missing, hooks: Hooks::Native, params: true, docker_gpus, pick }
    }
}

impl Config {
    /// The file that the environment names, else [`PATH`].
    #[allow(clippy::disallowed_methods, reason = "the one variable that names this file")]
    pub fn path() -> PathBuf {
        std::env::var_os(VARIABLE).filter(|name| !name.is_empty()).map_or_else(|| PATH.into(), PathBuf::from)
    }

    /// Reads the file at `path`. An unreadable one is an error, and one that others than root, or than who reads, could have written.
    pub fn load(path: &Path) -> Result<Self> {
        match believed(path)? {
            Some(text) => {
                let mut config = Config::parse(&text, path)?;
                path.clone_into(&mut config.policy.file);
                Ok(config)
            }
            None => Config::of_no_file(path),
        }
    }

    /// What it means that there is no file at `path`: the defaults, but an error where somebody named it. A misspelt name would switch a
    /// policy off.
    pub fn of_no_file(path: &Path) -> Result<Self> {
        if path == Path::new(PATH) {
            return Ok(Config::default());
        }
        let message = format!("not found, though {VARIABLE} names it; without that variable the file is {PATH}");
        Err(Error::Config { path: path.to_owned(), line: None, message })
    }

    /// Reads `text`; `path` is for messages. Errors name the line, and for an unknown key the nearest known one.
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        let mut config: Config = toml::from_str(text).map_err(|cause| syntax(text, path, &cause))?;
        config.policy.docker_gpus = config.inject.docker_gpus;
        let fault =
            |key: &str, message| Err(Error::Config { path: path.to_owned(), line: line_of(text, key, 0), message });
        if let Some(name) = config.runtimes.iter().find(|name| name.is_empty() || is_relative(name)) {
            let message = format!("runtimes holds {}; expected names and absolute paths", Escaped::quoted(name));
            return fault("runtimes", message);
        }
        if let Some(dir) = config.cdi.spec_dirs.iter().find(|dir| !dir.is_absolute()) {
            let message = format!("cdi.spec-dirs holds \"{}\"; expected absolute paths", Escaped::path(dir));
            return fault("cdi.spec-dirs", message);
        }
        let (host, log) = (&config.host, &config.log);
        let paths = [
            ("host.root", &host.root, true),
            ("host.driver-root", &host.driver_root, false),
            ("host.dev-root", &host.dev_root, false),
            ("log.file", &log.file, false),
        ];
        for (key, path, is_needed) in paths {
            if !path.is_absolute() && (is_needed || !path.as_os_str().is_empty()) {
                return fault(key, format!("{key} is \"{}\"; it must be an absolute path", Escaped::path(path)));
            }
        }
        if let Some((key, message)) = config.policy.fault() {
            return fault(key, message);
        }
        Ok(config)
    }
}

/// A path that would lead elsewhere from every bundle.
fn is_relative(runtime: &str) -> bool {
    runtime.contains('/') && !runtime.starts_with('/')
}

/// The text of our configuration file at `path`, as far as it may be believed. `None`: there is none.
///
/// # Errors
///
/// [`Error::Io`] for a file that cannot be read, or is not plain, or not text; [`Error::Config`] for one that others could have written.
pub fn believed(path: &Path) -> Result<Option<String>> {
    if path == Path::new(NO_FILE) {
        return Ok(Some(String::new()));
    }
    let wrong = |message| Err(Error::Config { path: path.to_owned(), line: None, message });
    let Some(file) = open(path)? else { return Ok(None) };
    let reader = Reader::current();
    let stat = fstat(&file).map_err(|cause| Error::io("read", path, cause.into()))?;
    check_plain(path, &stat)?;
    if let Some(why) = reader.distrusts(path, &stat, &file) {
        return wrong(format!("not believed: {why}"));
    }
    // Who may put another file in its place.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let stat = nix::sys::stat::stat(folder).map_err(|cause| Error::io("look at", folder, cause.into()))?;
    if let Some(why) = reader.distrusts_folder(folder, &stat) {
        return wrong(format!("not believed, because of its folder: {why}"));
    }
    text_of(file, path).map(Some)
}

/// The text of another tool's configuration file at `path`. `None`: there is none.
///
/// # Errors
///
/// [`Error::Io`] for a file that cannot be read, or is not plain, or not text.
pub fn read(path: &Path) -> Result<Option<String>> {
    let Some(file) = open(path)? else { return Ok(None) };
    check_plain(path, &fstat(&file).map_err(|cause| Error::io("read", path, cause.into()))?)?;
    text_of(file, path).map(Some)
}

/// Whether `path` names a file that this process has open already, as `/dev/stdin` does, and a shell's `<(command)`. It can be a pipe;
/// whoever started the process writes to it.
pub fn is_open_already(path: &Path) -> bool {
    ["/dev/stdin", "/dev/fd", "/proc/self/fd"].iter().any(|own| path.starts_with(own))
}

#[allow(clippy::disallowed_methods, reason = "the files that this module reads")]
fn open(path: &Path) -> Result<Option<File>> {
    // O_NONBLOCK: a FIFO may never have a writer.
    let flags = if is_open_already(path) { 0 } else { libc::O_NONBLOCK | libc::O_NOCTTY };
    match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => opened.map(Some).map_err(|cause| Error::io("read", path, cause)),
    }
}

/// Refuses what is neither a plain file nor open already: it may never come to an end.
fn check_plain(path: &Path, stat: &FileStat) -> Result<()> {
    let is_plain = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG;
    match is_plain || is_open_already(path) {
        true => Ok(()),
        false => Err(Error::io("read", path, io::Error::other("it is not a plain file"))),
    }
}

fn text_of(file: File, path: &Path) -> Result<String> {
    let failed = |cause| Error::io("read", path, cause);
    let mut bytes = Vec::with_capacity(4096);
    file.take(LARGEST as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > LARGEST {
        return Err(failed(io::Error::other("it is larger than 1 MiB")));
    }
    String::from_utf8(bytes).map_err(|_| failed(io::Error::other("it is not UTF-8 text")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> std::result::Result<Config, String> {
        Config::parse(text, Path::new("/etc/gpu-runc/config.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn every_key_is_optional_and_the_documented_defaults_hold() {
        assert_eq!(parse(""), Ok(Config::default()));
        let documented = r#"
            runtimes = []
            [log]
            level = "info"
            syslog = true
            file = ""
            [cdi]
            spec-dirs = ["/etc/cdi", "/var/run/cdi"]
            [host]
            root = "/"
            driver-root = ""
            dev-root = ""
            [policy]
            env = "always"
            management = "privileged"
            annotations = true
            annotation-prefixes = ["cdi.k8s.io/"]
            mounts = true
            refused = "warn"
            exclusive = "annotations"
            [policy.pods]
            env = "never"
            annotations = false
            refused = "explicit"
            namespaces = ["*"]
            [inject]
            generate = "missing"
            hooks = "native"
            params = true
            docker-gpus = "any"
            pick = "least"
        "#;
        assert_eq!(parse(documented), Ok(Config::default()));
    }

    #[test]
    fn the_policy_knows_its_file_which_is_no_key_of_that_file() {
        let path = Path::new(NO_FILE);
        assert_eq!(Config::load(path).unwrap().policy.file, path);
        assert!(parse("[policy]\nfile = \"/x\"").unwrap_err().contains("unknown key"));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line_and_what_would_be_right() {
        for (text, message) in [
            (
                "runtime = [\"runc\"]",
                "/etc/gpu-runc/config.toml:1: unknown key \"runtime\", did you mean \"runtimes\"?",
            ),
            (
                "\n[policy]\nenvs = \"never\"",
                "/etc/gpu-runc/config.toml:3: unknown key \"envs\", did you mean \"env\"?",
            ),
            ("[cdi]\nspec_dirs = []", "config.toml:2: unknown key \"spec_dirs\", did you mean \"spec-dirs\"?"),
            ("[policy]\nenv = \"sometimes\"", "config.toml:2: unknown variant `sometimes`, expected one of `always`"),
            ("[log]\nsyslog = \"yes\"", "config.toml:2: invalid type: string \"yes\", expected a boolean"),
            ("runtimes = [", "config.toml:1: "),
            (
                "\nruntimes = [\"runc\", \"./runc\"]",
                "config.toml:2: runtimes holds \"./runc\"; expected names and absolute",
            ),
            ("runtimes = [\"\"]", "config.toml:1: runtimes holds \"\"; expected names and absolute paths"),
            (
                "[cdi]\nspec-dirs = [\"/etc/cdi\", \"rel\"]",
                "config.toml:2: cdi.spec-dirs holds \"rel\"; expected absolute",
            ),
            ("[host]\nroot = \"here\"", "config.toml:2: host.root is \"here\"; it must be an absolute path"),
            ("[policy]\nannotation-prefixes = [\"\"]", "config.toml:2: policy.annotation-prefixes holds \"\""),
            (
                "[policy.pods]\nnamespaces = [\"ml\", \"Team A\"]",
                "config.toml:2: policy.pods.namespaces holds \"Team A\", which no namespace is called; write whole names",
            ),
            ("[policy.pods]\nnamespaces = [\"ml-*\"]", "config.toml:2: policy.pods.namespaces holds \"ml-*\""),
            ("[policy.pods]\nmounts = true", "config.toml:2: unknown key `mounts`, expected one of `env`"),
            ("[host]\nroot = \"\"", "host.root is \"\"; it must be an absolute path"),
            ("log.file = \"x\"", "config.toml:1: log.file is \"x\"; it must be an absolute path"),
            ("zzz = 1", "config.toml:1: unknown key `zzz`, expected one of `runtimes`"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(message), "{text:?}: {error}");
        }
    }
}
