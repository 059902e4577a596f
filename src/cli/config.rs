//! `gpu-ctk config`: the configuration file, printed, checked, and made from NVIDIA's.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;

use super::output::{self, answer};
use crate::config::{self, Config, nvidia};
use crate::error::{Error, Escaped, Result};
use crate::vendor::Vendors;

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Print the default file, with what each key means
    Default,
    /// Print the configuration in force, and where it is from
    Show,
    /// Say what is wrong with the file, and what would be right
    Check {
        /// Another file than the one in force
        file: Option<PathBuf>,
    },
    /// Print what NVIDIA's config.toml comes to; what of it is not carried over is said on stderr, key by key
    Import {
        /// The file, usually /etc/nvidia-container-runtime/config.toml
        file: PathBuf,
    },
}

impl ConfigCommand {
    /// Does it. Reads no configuration but the one that it is about, which may be wrong.
    pub(super) fn run(self) -> Result<ExitCode> {
        match self {
            ConfigCommand::Default => {
                answer(&Config::default_text())?;
                Ok(ExitCode::SUCCESS)
            }
            ConfigCommand::Show => show(&Config::path()),
            ConfigCommand::Check { file } => check(file.as_deref()),
            ConfigCommand::Import { file } => import(&file),
        }
    }
}

fn show(path: &Path) -> Result<ExitCode> {
    let (name, text) = (Escaped::path(path), config::believed(path)?);
    let (origin, config) = match &text {
        Some(text) => (format!("# {name}"), checked(text, path)?),
        None => (format!("# the defaults: there is no {name}"), Config::of_no_file(path)?),
    };
    answer(&format!("{origin}\n\n{}", config.to_text()))?;
    Ok(ExitCode::SUCCESS)
}

/// What gpu-runc would say of the file. One that is named must be there; the one in force need not, unless the environment names it.
fn check(file: Option<&Path>) -> Result<ExitCode> {
    let in_force = Config::path();
    let path = file.unwrap_or(&in_force);
    match config::believed(path)? {
        Some(text) => {
            checked(&text, path)?;
            answer(&format!("{}: valid\n", Escaped::path(path)))?;
        }
        None if file.is_some() => return Err(absent(path)),
        None => {
            Config::of_no_file(path)?;
            answer(&format!("{}: not there; the defaults are in force\n", Escaped::path(path)))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn import(path: &Path) -> Result<ExitCode> {
    let text = config::read(path)?.ok_or_else(|| absent(path))?;
    let imported = nvidia::import(&text, path)?;
    for note in &imported.notes {
        output::note(&note);
    }
    answer(&format!("# from {}\n\n{}", Escaped::path(path), imported.config.to_text()))?;
    Ok(ExitCode::SUCCESS)
}

/// The configuration that `text` holds, with the vendors that it describes looked at as gpu-runc would.
fn checked(text: &str, path: &Path) -> Result<Config> {
    let config = Config::parse(text, path)?;
    for count in 1..=config.vendor.len() {
        let rows = config.vendor.get(..count).unwrap_or_default();
        Vendors::with(rows).map_err(|error| match error {
            Error::Config { message, .. } => {
                Error::Config { path: path.to_owned(), line: config::line_of(text, "vendor", count - 1), message }
            }
            other => other,
        })?;
    }
    Ok(config)
}

fn absent(path: &Path) -> Error {
    Error::io("read", path, std::io::Error::from_raw_os_error(libc::ENOENT))
}
