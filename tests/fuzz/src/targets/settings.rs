//! Our configuration file, and NVIDIA's as one of ours.

use std::path::Path;

use gpu_runc::config::{Config, nvidia};

use super::text;

/// Our own: what is read is printed and read back.
pub(super) fn ours(data: &[u8]) {
    let Some(text) = text(data) else { return };
    match Config::parse(text, Path::new("config.toml")) {
        Ok(config) => is_printed(&config),
        Err(error) => assert!(!error.to_string().contains('\n'), "{error}"),
    }
}

/// NVIDIA's: what it comes to is a configuration.
pub(super) fn nvidias(data: &[u8]) {
    let Some(text) = text(data) else { return };
    match nvidia::import(text, Path::new("config.toml")) {
        Ok(imported) => {
            assert!(imported.notes.iter().all(|note| !note.contains('\n')), "{:?}", imported.notes);
            is_printed(&imported.config);
        }
        Err(error) => assert!(!error.to_string().contains('\n'), "{error}"),
    }
}

fn is_printed(config: &Config) {
    let text = config.to_text();
    match Config::parse(&text, Path::new("config.toml")) {
        Ok(read) => assert_eq!(read, *config, "{text}"),
        Err(error) => panic!("{error}:\n{text}"),
    }
}
