//! CDI files as they are written: their names, their text in JSON and YAML, and putting one in place.
//!
//! Decides nothing about what a spec says. Texts are laid out as the Go library's are, so that a file looks the same whoever
//! wrote it. Source: CDI pkg/cdi, spec and cache.

use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, openat, renameat};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::layout;
use super::name::Kind;
use super::spec::Spec;
use super::validate::validate;
use super::version::minimum_version;
use crate::error::{Error, Escaped, Result};

/// The name, without a suffix, of the file for all devices of a kind.
pub fn spec_name(kind: &Kind) -> String {
    format!("{}-{}", kind.vendor(), kind.class())
}

/// The name, without a suffix, of a file that lives as long as what `id` names, such as a container.
pub fn transient_name(kind: &Kind, id: &str) -> String {
    format!("{}_{}", spec_name(kind), id.replace('/', "_"))
}

/// `spec` at the lowest version that holds it, which the most engines read.
#[must_use]
pub fn at_minimum_version(spec: Spec) -> Spec {
    Spec { cdi_version: minimum_version(&spec).to_string(), ..spec }
}

/// The text of `spec` as compact JSON.
pub fn to_json(spec: &Spec) -> String {
    // Maps with keys of text and plain values: nothing that JSON could not hold.
    serde_json::to_string(spec).unwrap_or_default()
}

/// The text of `spec` as block YAML.
pub fn to_yaml(spec: &Spec) -> String {
    layout::to_yaml(&to_json(spec))
}

/// Writes `spec` to the file `name` of `dir`, making the directory if need be, and returns its path. The suffix decides what is
/// written; a name without `.json` or `.yaml` gets `.yaml`. Readers see the file that was there before or the whole new one.
/// Refuses a spec that is not valid and a name that is not plainly one of a file.
pub fn write_spec(dir: &Path, name: &str, spec: &Spec) -> Result<PathBuf> {
    let name = file_name(name).map_err(|message| Error::Cdi { path: dir.join("?"), line: None, message })?;
    let path = dir.join(&name);
    let problems = validate(spec);
    if !problems.is_empty() {
        let message = format!("invalid CDI Spec, not written: {}", problems.join("; "));
        return Err(Error::Cdi { path, line: None, message });
    }
    let text = if name.ends_with(".json") { to_json(spec) } else { to_yaml(spec) };
    put(dir, &name, text.as_bytes()).map_err(|cause| Error::io("write", &path, cause))?;
    Ok(path)
}

/// Removes the file `name` of `dir`. Whether there was one.
pub fn remove_spec(dir: &Path, name: &str) -> Result<bool> {
    let path = dir.join(name);
    match nix::unistd::unlink(&path) {
        Ok(()) => Ok(true),
        Err(nix::Error::ENOENT | nix::Error::ENOTDIR) => Ok(false),
        Err(cause) => Err(Error::io("remove", &path, cause.into())),
    }
}

/// `name` with a suffix. Unlike the Go library's, it cannot lead to another directory.
fn file_name(name: &str) -> std::result::Result<String, String> {
    const LONGEST: usize = 255;
    let is_spec = [".json", ".yaml"].iter().any(|suffix| name.ends_with(suffix));
    let full = if is_spec { name.to_owned() } else { format!("{name}.yaml") };
    if name.is_empty() || name.contains(['/', '\0']) || [".", ".."].contains(&name) || full.len() > LONGEST {
        return Err(format!("invalid spec file name {}, expected a plain file name", Escaped::quoted(name)));
    }
    Ok(full)
}

/// Puts `bytes` in place of the file `name`: first under a name that readers of spec directories pass over, then one rename.
fn put(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(dir)?;
    let dir = nix::fcntl::open(dir, OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    let new = format!("spec.{}.tmp", std::process::id());
    let result = fill(&dir, &new, bytes).and_then(|()| Ok(renameat(&dir, new.as_str(), &dir, name)?));
    if result.is_err() {
        // The first error is the one to tell.
        let _ = unlinkat(&dir, new.as_str(), UnlinkatFlags::NoRemoveDir);
    }
    result.and_then(|()| Ok(nix::unistd::fsync(&dir)?))
}

fn fill(dir: &std::os::fd::OwnedFd, name: &str, bytes: &[u8]) -> io::Result<()> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let readable_by_all = Mode::from_bits_truncate(0o644);
    let create = || openat(dir, name, flags, readable_by_all);
    let file = create().or_else(|cause| match cause {
        // What a process of the same number left behind when it was killed.
        nix::Error::EEXIST => unlinkat(dir, name, UnlinkatFlags::NoRemoveDir).and_then(|()| create()),
        cause => Err(cause),
    })?;
    // Engines that run as other users read it too, whatever the umask is here.
    fchmod(&file, readable_by_all)?;
    let mut file = File::from(file);
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(json: &str) -> Spec {
        super::super::parse(json).unwrap()
    }

    const DEVICES: &str = r#""devices":[{"name":"n0","containerEdits":{"env":["NPU=0"]}}]"#;

    #[test]
    fn texts_are_laid_out_as_other_writers_do() {
        let spec = spec(&format!(
            r#"{{"containerEdits":{{"deviceNodes":[{{"minor":3,"path":"/dev/n"}}],"mounts":[{{"containerPath":"/c","hostPath":"/h","options":["ro"]}}]}},{DEVICES},"kind":"acme.example/npu","cdiVersion":"0.3.0"}}"#
        ));
        assert_eq!(
            to_json(&spec),
            format!(
                r#"{{"cdiVersion":"0.3.0","kind":"acme.example/npu",{DEVICES},"containerEdits":{{"deviceNodes":[{{"path":"/dev/n","minor":3}}],"mounts":[{{"hostPath":"/h","containerPath":"/c","options":["ro"]}}]}}}}"#
            )
        );
        let yaml = "---\ncdiVersion: 0.3.0\nkind: acme.example/npu\ndevices:\n    - name: n0\n      containerEdits:\n        env:\n            - NPU=0\ncontainerEdits:\n    deviceNodes:\n        - path: /dev/n\n          minor: 3\n    mounts:\n        - hostPath: /h\n          containerPath: /c\n          options:\n            - ro\n";
        assert_eq!(to_yaml(&spec), yaml);
    }

    #[test]
    fn a_spec_is_written_at_the_version_that_it_needs() {
        let spec =
            spec(&format!(r#"{{"cdiVersion":"1.1.0","kind":"acme.example/npu","annotations":{{"a":"b"}},{DEVICES}}}"#));
        assert_eq!(at_minimum_version(spec).cdi_version, "0.6.0");
    }

    #[test]
    fn a_file_name_leads_nowhere_else() {
        for (name, expected) in [
            ("acme.example-npu", Some("acme.example-npu.yaml")),
            ("x.json", Some("x.json")),
            ("x.yml", Some("x.yml.yaml")),
            ("..x", Some("..x.yaml")),
            ("", None),
            ("..", None),
            ("../x.json", None),
            ("sub/x", None),
            ("x\0", None),
        ] {
            assert_eq!(file_name(name).ok().as_deref(), expected, "{name:?}");
        }
        assert!(file_name(&"x".repeat(251)).is_err());
        assert_eq!(file_name(&"x".repeat(250)).map(|name| name.len()), Ok(255));
    }

    #[test]
    fn a_flag_that_is_not_set_is_not_written() {
        let text = r#"{"cdiVersion":"0.7.0","kind":"a.b/c","devices":[{"name":"d","containerEdits":{"intelRdt":{"closID":"x"}}}]}"#;
        let written = to_json(&crate::cdi::parse(text).unwrap());
        assert!(written.contains("closID") && !written.contains("enable"), "{written}");
    }
}
