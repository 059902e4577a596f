//! Asks containerd which version it is and what it makes of its files.
//!
//! An answer only helps: where there is no program, or it fails, there is none.

#![allow(clippy::disallowed_methods, reason = "the engine's own program is what is asked")]

use std::path::Path;
use std::process::{Command, Stdio};

use super::File;
pub use super::containerd::Said;

/// What the containerd of this machine says, of the file at `config` if `root` says that there is one.
pub(super) fn containerd(config: &Path, root: &File) -> Said {
    let version = output(Command::new("containerd").arg("--version"));
    let effective = root
        .text
        .as_ref()
        .and_then(|_| output(Command::new("containerd").arg("--config").arg(config).args(["config", "dump"])));
    Said { major: version.as_deref().and_then(major), effective }
}

/// Why the containerd of this machine cannot read its files, of which `config` is the main one; `None` if it can, or if there is no
/// such program to ask.
pub fn refusal(config: &Path) -> Option<String> {
    let mut command = Command::new("containerd");
    let output = command.arg("--config").arg(config).args(["config", "dump"]).stdin(Stdio::null()).output().ok()?;
    let said = String::from_utf8_lossy(&output.stderr);
    (!output.status.success()).then(|| said.trim().lines().last().unwrap_or("it does not say why").to_owned())
}

/// The version of the dockerd of this machine; `None` if there is none, or it does not say.
pub fn dockerd_version() -> Option<Vec<u32>> {
    // `Docker version 20.10.24+dfsg1, build 297e128`
    let said = output(Command::new("dockerd").arg("--version"))?;
    super::loaded::version(said.split_whitespace().nth(2)?)
}

fn output(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The first number of the version in `containerd github.com/containerd/containerd/v2 v2.1.0 <commit>`.
fn major(said: &str) -> Option<u64> {
    let version = said.split_whitespace().nth(2)?.trim_start_matches('v');
    version.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_found_in_what_builds_of_all_ages_print() {
        for (said, expected) in [
            ("containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u3\n", Some(1)),
            ("containerd containerd.io 1.7.27 05044ec0a9a75232cad458027ca83437aae3f4da\n", Some(1)),
            (
                "containerd github.com/containerd/containerd/v2 v2.1.0 061792f0ecf3684fb30a3a0eb006799b8c6638a7\n",
                Some(2),
            ),
            ("containerd github.com/containerd/containerd dev\n", None),
            ("", None),
        ] {
            assert_eq!(major(said), expected, "{said}");
        }
    }
}
