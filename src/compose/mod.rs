//! Compose files made to work with gpu-runc: an override that turns reservations of devices into the annotation that gpu-runc
//! reads, or the whole file with them turned.
//!
//! Pure: texts in, text out. What a reservation comes to is decided by `request`, which is asked whether it understands the
//! annotation before it is written.
//!
//! Compose appends lists when it merges files, so an override takes a reservation out only by compose's tag `!reset`. compose-go
//! 2 (Docker Compose, nerdctl) and podman-compose from 1.4 know that tag. compose-go checks every file against its schema before
//! the next one is merged: a reservation without capabilities fails there, whatever an override says, and so does `gpus` where
//! the schema is older than that key. For those there is the whole file, in which the reservations stay under the keys
//! `x-devices` and `x-gpus`, that every compose reads over: anchors in them go on to work, and nothing is lost.
//!
//! CDI names in a service's own list of `devices` are turned alike: Docker Compose and podman-compose hand them to their engine,
//! nerdctl takes them for paths and fails.
//!
//! The annotation reaches gpu-runc from nerdctl 2.0, Docker Compose 2.26 and podman-compose 1.1 on; older ones drop it.

mod named;
mod overriding;
mod reservation;
mod services;
mod value;
mod whole;
mod yaml;

use std::path::{Path, PathBuf};

pub use services::{Plan, plan};

use crate::error::{Error, Escaped, Result};

/// A compose file, read.
#[derive(Debug)]
pub struct Document {
    path: PathBuf,
    text: String,
    root: yaml::Node,
}

impl Document {
    /// Reads the text of a compose file; `path` is for messages.
    ///
    /// # Errors
    ///
    /// [`Error::Compose`] with the line for what is no YAML.
    pub fn parse(path: &Path, text: String) -> Result<Self> {
        match yaml::read(&text) {
            Ok(root) => Ok(Document { path: path.to_owned(), text, root }),
            Err((line, message)) => Err(Error::Compose { path: path.to_owned(), line, message }),
        }
    }

    fn wrong(&self, line: usize, service: &str, message: &str) -> Error {
        let message = format!("service {}: {message}", Escaped::name(service));
        Error::Compose { path: self.path.clone(), line: Some(line), message }
    }
}

/// A scalar in single quotes, which YAML reads as it stands.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A name as YAML reads it back: bare where nothing but a name can be read in it.
fn scalar(name: &str) -> String {
    let is_word = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    let has_meaning = ["true", "false", "yes", "no", "on", "off", "y", "n", "null"];
    match is_word && !has_meaning.contains(&name.to_ascii_lowercase().as_str()) {
        true => name.to_owned(),
        // JSON's strings are YAML's, escapes included.
        false => serde_json::Value::from(name).to_string(),
    }
}

#[cfg(test)]
mod tests;
