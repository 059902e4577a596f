//! `gpu-ctk compose`: compose files that reserve devices, made to work with gpu-runc.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nix::sys::stat::{SFlag, stat};

use super::output::{self, document};
use super::{kind_at, named};
use crate::compose::{Document, plan};
use crate::config::Config;
use crate::configure::{Change, place};
use crate::error::{Error, Escaped, Result};
use crate::vendor::Vendors;

/// What to read, and what to write.
#[derive(Debug, clap::Args)]
#[command(after_help = "An override is named after the files that it overrides:\n\n    \
                        gpu-ctk compose compose.yaml -o gpu.yaml\n    \
                        nerdctl compose -f compose.yaml -f gpu.yaml up\n\n\
                        It takes nerdctl 2.0, Docker Compose 2.26 or podman-compose 1.4, or later ones. A whole file takes the place\n\
                        of its own: for reservations without capabilities, for gpus: before Docker Compose 2.30, and for\n\
                        podman-compose from 1.1. It belongs beside that file, for the sake of relative paths; its reservations stay\n\
                        in it as x-devices and x-gpus. podman must be 5.0 or later, unless all that a service reserves is a count or\n\
                        one device. CDI names in a service's list of devices count as reservations; nodes beside them stay, which\n\
                        takes an override.")]
pub(super) struct Compose {
    /// The compose files, in the order in which compose is given them
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Write the complete file with its reservations turned into requests to gpu-runc, in place of an override
    #[arg(long)]
    whole: bool,
    /// The name of the runtime, as the engine knows it
    #[arg(long, value_name = "NAME", default_value = "gpu-runc")]
    runtime: String,
    /// Write to this file, which is replaced in one step, in place of stdout (-)
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Compose {
    /// Prints or writes the file. What a person should know of it goes to stderr.
    pub(super) fn run(self, config: &Config) -> Result<ExitCode> {
        if self.whole && self.files.len() > 1 {
            return Err(Error::Usage("--whole takes one file; several are overridden together, without it".to_owned()));
        }
        if self.runtime.trim().is_empty() {
            return Err(Error::Usage(
                "--runtime is empty; expected the name that the engine has for gpu-runc".to_owned(),
            ));
        }
        let output = self.output.as_deref().filter(|output| *output != Path::new("-"));
        if let Some(output) = output {
            refuse_input(output, &self.files)?;
        }
        let documents =
            self.files.iter().map(|path| Document::parse(path, named::read(path)?)).collect::<Result<Vec<_>>>()?;
        let plan = plan(&documents, &self.runtime, Vendors::with(&config.vendor)?)?;
        let text = match documents.first().filter(|_| self.whole) {
            Some(document) => plan.whole(document)?,
            None => plan.overriding()?,
        };
        for note in &plan.notes {
            output::note(&note);
        }
        match output {
            Some(path) => put(path, text)?,
            None => document(&text)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What is read is not written over, by whatever name.
fn refuse_input(output: &Path, files: &[PathBuf]) -> Result<()> {
    let identity = |path: &Path| stat(path).ok().map(|found| (found.st_dev, found.st_ino));
    let written = identity(output);
    match files.iter().find(|file| *file == output || (written.is_some() && identity(file) == written)) {
        Some(_) => Err(Error::Usage(format!("{} is read; write to another file", Escaped::path(output)))),
        None => Ok(()),
    }
}

/// Puts `text` in the file at `path`, whole or not at all. What is there and no regular file, such as a pipe, takes it as it comes.
#[allow(clippy::disallowed_methods, reason = "the file that a person names")]
fn put(path: &Path, text: String) -> Result<()> {
    if kind_at(path).is_some_and(|kind| kind != SFlag::S_IFREG) {
        return std::fs::write(path, text).map_err(|cause| Error::io("write", path, cause));
    }
    let path = std::path::absolute(path).map_err(|cause| Error::io("find", path, cause))?;
    let before = place::read(&path)?.text;
    place::apply(&Change { path, before, after: Some(text) })
}
