//! NVIDIA's config.toml as a configuration of ours, and what of it could not be carried over, key by key.
//!
//! Pure. Source: the configuration of the NVIDIA Container Toolkit 1.20, which has these keys and reads over all others.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::fault::{line_at, syntax};
use super::{Config, Generate, Level, Who};
use crate::error::{Error, Escaped, Result};

/// What a file comes to.
#[derive(Debug, PartialEq)]
pub struct Imported {
    /// The configuration.
    pub config: Config,
    /// What was not carried over, and why: a line for each key.
    pub notes: Vec<String>,
}

/// What becomes of a key.
enum Rule {
    /// It has a counterpart. The answer is a note where the value has none.
    Carried(fn(&mut Config, &Value) -> Carried),
    /// It has none, for this reason; values for which nothing is lost are told by the function.
    Left(fn(&Value) -> bool, &'static str),
}

/// A note, or `None` for all is well; an error says what was expected.
type Carried = std::result::Result<Option<&'static str>, &'static str>;

#[derive(Debug)]
enum Value {
    Bool(bool),
    Text(String),
    Texts(Vec<String>),
}

use Rule::{Carried as Carry, Left};

const ENV: &str = "accept-nvidia-visible-devices-envvar-when-unprivileged";
const MOUNTS: &str = "accept-nvidia-visible-devices-as-volume-mounts";
const CLI: &str = "nvidia-container-cli is not used";
const TOOLKIT: &str = "no program of the toolkit is used";
const COMPATIBILITY: &str = "CUDA's forward compatibility is decided by the versions alone, and cannot be switched off";

const KEYS: &[(&str, Rule)] = &[
    (ENV, Carry(env)),
    (MOUNTS, Carry(mounts)),
    (
        "disable-require",
        Left(
            is_false,
            "what images require is checked; a container says NVIDIA_DISABLE_REQUIRE=true where it must not be",
        ),
    ),
    (
        "supported-driver-capabilities",
        Left(is_every_class, "classes of files are not limited; a container gets those that its variables name"),
    ),
    (
        "swarm-resource",
        Left(
            is_void,
            "variables of Swarm need no key: those count that begin with DOCKER_RESOURCE_ and whose name says NVIDIA or whose \
             values are UUIDs of its GPUs",
        ),
    ),
    ("nvidia-container-cli.root", Carry(driver_root)),
    ("nvidia-container-cli.path", Left(is_void, CLI)),
    ("nvidia-container-cli.environment", Left(is_void, CLI)),
    (
        "nvidia-container-cli.debug",
        Left(is_void, "nvidia-container-cli is not used; what gpu-runc does goes to log.file"),
    ),
    (
        "nvidia-container-cli.ldcache",
        Left(is_void, "libraries are found in the folders of the driver root, else in its own cache"),
    ),
    (
        "nvidia-container-cli.load-kmods",
        Left(is_false, "no kernel modules are loaded: have nvidia and nvidia-uvm loaded when the machine starts"),
    ),
    ("nvidia-container-cli.no-cgroups", Left(is_false, "cgroups are the low-level runtime's work, also without root")),
    ("nvidia-container-cli.no-pivot", Left(is_false, CLI)),
    ("nvidia-container-cli.user", Left(is_void, CLI)),
    (
        "nvidia-container-cli.ldconfig",
        Left(is_usual_ldconfig, "no ldconfig is run: the cache of libraries is written without it"),
    ),
    ("nvidia-container-runtime.debug", Carry(log_file)),
    ("nvidia-container-runtime.log-level", Carry(log_level)),
    ("nvidia-container-runtime.runtimes", Carry(runtimes)),
    ("nvidia-container-runtime.mode", Carry(mode)),
    ("nvidia-container-runtime.modes.cdi.spec-dirs", Carry(spec_dirs)),
    (
        "nvidia-container-runtime.modes.cdi.default-kind",
        Left(
            |value| matches!(value, Value::Text(kind) if kind == "nvidia.com/gpu"),
            "a name that is not qualified is always one of nvidia.com/gpu; qualified names are taken for every kind",
        ),
    ),
    ("nvidia-container-runtime.modes.cdi.annotation-prefixes", Carry(annotation_prefixes)),
    (
        "nvidia-container-runtime.modes.csv.mount-spec-path",
        Left(
            |value| matches!(value, Value::Text(path) if path == "/etc/nvidia-container-runtime/host-files-for-container.d"),
            "a Jetson's lists are read where JetPack puts them",
        ),
    ),
    ("nvidia-container-runtime.modes.csv.compat-container-root", Left(is_void, COMPATIBILITY)),
    (
        "nvidia-container-runtime.modes.jit-cdi.nvcdi-feature-flags",
        Left(is_void, "there are no switches for how devices are described"),
    ),
    (
        "nvidia-container-runtime.modes.jit-cdi.nvcdi-disable-hooks",
        Left(is_void, "their work is done without them, but for one that inject.params switches off"),
    ),
    (
        "nvidia-container-runtime.modes.legacy.cuda-compat-mode",
        Left(|value| !matches!(value, Value::Text(mode) if mode == "disabled"), COMPATIBILITY),
    ),
    ("nvidia-container-runtime-hook.path", Left(never, TOOLKIT)),
    ("nvidia-container-runtime-hook.skip-mode-detection", Left(never, TOOLKIT)),
    ("nvidia-ctk.path", Left(never, TOOLKIT)),
    (
        "features.allow-cuda-compat-libs-from-container",
        Left(is_false, "nothing is mounted from a container's own files"),
    ),
    ("features.allow-ldconfig-from-container", Left(is_false, "no program of a container is run")),
    ("features.allow-unknown-oci-spec-fields", Left(is_true, "fields that nobody knows are always taken, and kept")),
    ("features.disable-cuda-compat-lib-hook", Left(is_false, COMPATIBILITY)),
    ("features.disable-imex-channel-creation", Left(is_false, "IMEX channels are handed on and never created")),
    (
        "features.ignore-imex-channel-requests",
        Left(is_false, "policy.management = \"never\" does so, and for MIG's configuration and monitor as well"),
    ),
    (
        "features.no-additional-gids-for-device-nodes",
        Left(is_false, "there is no switch for the groups that own device nodes"),
    ),
];

fn env(config: &mut Config, value: &Value) -> Carried {
    let may = bool(value)?;
    config.policy.env = if may { Who::Always } else { Who::Privileged };
    // The toolkit makes no difference between pods and other containers, and who writes the key means both.
    config.policy.pods.env = config.policy.env;
    Ok(None)
}

fn mounts(config: &mut Config, value: &Value) -> Carried {
    config.policy.mounts = bool(value)?;
    Ok(None)
}

fn driver_root(config: &mut Config, value: &Value) -> Carried {
    let root = text(value)?;
    if root.is_empty() || root.starts_with('/') {
        config.host.driver_root = root.into();
        return Ok(None);
    }
    Ok(Some("host.driver-root must be an absolute path"))
}

fn log_file(config: &mut Config, value: &Value) -> Carried {
    match text(value)? {
        "" | "/dev/null" => {}
        file if file.starts_with('/') => config.log.file = file.into(),
        _ => return Ok(Some("log.file must be an absolute path")),
    }
    Ok(None)
}

fn log_level(config: &mut Config, value: &Value) -> Carried {
    config.log.level = match text(value)?.to_lowercase().as_str() {
        "trace" | "debug" => Level::Debug,
        "info" => Level::Info,
        "warn" | "warning" => Level::Warn,
        "error" | "fatal" | "panic" => Level::Error,
        _ => return Ok(Some("there is no such level")),
    };
    Ok(None)
}

fn runtimes(config: &mut Config, value: &Value) -> Carried {
    let names = texts(value)?;
    if names.is_empty() {
        return Ok(Some("at least one runtime must be named"));
    }
    // NVIDIA's default, which is no choice of anybody's.
    config.runtimes = if names == ["runc", "crun"] { Vec::new() } else { names.to_vec() };
    Ok(None)
}

fn mode(config: &mut Config, value: &Value) -> Carried {
    match text(value)? {
        "auto" => {}
        "cdi" => config.inject.generate = Generate::Never,
        "jit-cdi" => config.inject.generate = Generate::Always,
        "legacy" => {
            return Ok(Some(
                "there is no such mode, nor need for one: devices are injected without nvidia-container-cli",
            ));
        }
        "csv" => return Ok(Some("there is no such mode, nor need for one: a Jetson is known by what it is")),
        _ => return Ok(Some("there is no such mode")),
    }
    Ok(None)
}

fn spec_dirs(config: &mut Config, value: &Value) -> Carried {
    config.cdi.spec_dirs = texts(value)?.iter().map(Into::into).collect();
    Ok(None)
}

fn annotation_prefixes(config: &mut Config, value: &Value) -> Carried {
    let prefixes = texts(value)?;
    config.policy.annotation_prefixes = prefixes.iter().filter(|prefix| !prefix.is_empty()).cloned().collect();
    Ok(prefixes
        .iter()
        .any(String::is_empty)
        .then_some("the prefix \"\" would take every annotation for a list of devices"))
}

fn bool(value: &Value) -> std::result::Result<bool, &'static str> {
    if let Value::Bool(value) = value { Ok(*value) } else { Err("true or false") }
}

fn text(value: &Value) -> std::result::Result<&str, &'static str> {
    if let Value::Text(value) = value { Ok(value) } else { Err("a string") }
}

fn texts(value: &Value) -> std::result::Result<&[String], &'static str> {
    if let Value::Texts(value) = value { Ok(value) } else { Err("a list of strings") }
}

fn never(_: &Value) -> bool {
    false
}

fn is_true(value: &Value) -> bool {
    matches!(value, Value::Bool(true))
}

fn is_false(value: &Value) -> bool {
    matches!(value, Value::Bool(false))
}

fn is_void(value: &Value) -> bool {
    match value {
        Value::Bool(_) => false,
        Value::Text(text) => text.is_empty() || text == "/dev/null",
        Value::Texts(texts) => texts.is_empty(),
    }
}

fn is_every_class(value: &Value) -> bool {
    const CLASSES: [&str; 7] = ["compat32", "compute", "display", "graphics", "ngx", "utility", "video"];
    let Value::Text(text) = value else { return false };
    let has = |class: &str| text.split(',').any(|word| word.trim() == class);
    has("all") || CLASSES.into_iter().all(has)
}

fn is_usual_ldconfig(value: &Value) -> bool {
    matches!(value, Value::Text(text) if ["", "@/sbin/ldconfig", "@/sbin/ldconfig.real"].contains(&text.as_str()))
}

/// Reads NVIDIA's `text`; `path` is for messages. What the file leaves out means NVIDIA's default.
///
/// # Errors
///
/// [`Error::Config`] with the line for what is no TOML, and for a value of the wrong type.
pub fn import(text: &str, path: &Path) -> Result<Imported> {
    let table = DeTable::parse(text).map_err(|cause| syntax(text, path, &cause))?;
    let mut settings = Vec::new();
    flatten("", table.get_ref(), &mut settings);
    settings.sort_by_key(|(_, start, _)| *start);
    let (mut config, mut notes) = (Config::default(), Vec::new());
    config.policy.mounts = false;
    for (key, start, value) in &settings {
        let line = line_at(text, *start);
        let mut note =
            |why: &str| notes.push(format!("{}:{line}: {key} is not carried over: {why}", Escaped::path(path)));
        let Some((_, rule)) = KEYS.iter().find(|(known, _)| known == key) else {
            note("NVIDIA's toolkit has no such key");
            continue;
        };
        let expected = |expected| {
            let message = format!("{key} must be {expected}");
            Error::Config { path: path.to_owned(), line: Some(line), message }
        };
        let value = read(value).ok_or_else(|| expected("true or false, a string, or a list of strings"))?;
        match rule {
            Carry(carry) => {
                if let Some(why) = carry(&mut config, &value).map_err(expected)? {
                    note(&format!("it is {}; {why}", Escaped::quoted(&value.to_string())));
                }
            }
            Left(loses_nothing, why) if !loses_nothing(&value) => note(why),
            Left(..) => {}
        }
    }
    let is_unset = |name: &str| !settings.iter().any(|(key, ..)| key == name);
    if is_unset(MOUNTS) {
        notes.push(format!(
            "{}: {MOUNTS} is not set, which means false, and becomes policy.mounts",
            Escaped::path(path)
        ));
    }
    if is_unset(ENV) {
        let path = Escaped::path(path);
        notes.push(format!(
            "{path}: {ENV} is not set, which means true; for pods policy.pods.env stays what it is here"
        ));
    }
    Ok(Imported { config, notes })
}

/// All values that are no tables, by their dotted keys, with the place of the key.
fn flatten<'a>(prefix: &str, table: &'a DeTable<'_>, settings: &mut Vec<(String, usize, &'a DeValue<'a>)>) {
    for (key, value) in table {
        let name = match prefix {
            "" => key.get_ref().to_string(),
            prefix => format!("{prefix}.{}", key.get_ref()),
        };
        match value.get_ref() {
            DeValue::Table(table) => flatten(&name, table, settings),
            value => settings.push((name, key.span().start, value)),
        }
    }
}

fn read(value: &DeValue<'_>) -> Option<Value> {
    match value {
        DeValue::Boolean(value) => Some(Value::Bool(*value)),
        DeValue::String(text) => Some(Value::Text(text.to_string())),
        DeValue::Array(items) => {
            let texts = items.iter().map(|item| item.get_ref().as_str().map(str::to_owned));
            texts.collect::<Option<_>>().map(Value::Texts)
        }
        _ => None,
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::Bool(value) => write!(f, "{value}"),
            Value::Text(text) => f.write_str(text),
            Value::Texts(texts) => f.write_str(&texts.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests;
