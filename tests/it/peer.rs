//! gpu-runc beside the vendors' own runtimes and tools, where these are installed: the same bundles and files through both.
//!
//! What comes out may differ only as the peer's list of intended differences says, each as narrowly as can be: a difference that is
//! not listed fails, and so does an entry of the list that no case needs. Peers are found by what `GPU_RUNC_REFERENCE` names
//! (programs, separated as in PATH; as for tests/bench), else on PATH. Without them there is nothing to compare: `(optional)`.

mod amd;
mod bundle;
mod difference;
mod files;
mod hooks;
mod inside;
mod nvidia;
mod written;

use std::path::PathBuf;

use crate::scratch::{program_on_path, skip};

/// The peer's program `name`. Where there is none, says so for `test`.
fn peer(name: &str, test: &str) -> Option<PathBuf> {
    let named = std::env::var_os("GPU_RUNC_REFERENCE").unwrap_or_default();
    let named = std::env::split_paths(&named).find(|path| path.ends_with(name));
    let found = named.or_else(|| program_on_path(name));
    if found.is_none() {
        skip(test, &format!("(optional) {name} is not installed"));
    }
    found
}
