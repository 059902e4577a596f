//! What the spec directories hold: whether each file is read, is true of this machine, clashes with none.
//!
//! Judges what the registry says, whole, as the engines that read these files do.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Finding, Level, Subject, counted, first_of, stale};
use crate::cdi::{Lookup, Problem, Registry, Spec};
use crate::config::Generate;
use crate::error::{Error, Escaped, Result};
use crate::host::Host;
use crate::vendor::Vendor;

const READERS: &str = "containers that ask for a device by its CDI name get what these files say; so do Docker's and podman's \
                       --device";

/// A finding for each directory.
pub(super) fn directories(subject: &Subject<'_>) -> Result<Vec<Finding>> {
    let registry = Registry::load_all(&subject.config.cdi.spec_dirs);
    // Directories are where this process finds them, whatever the machine is that it speaks of.
    let here = Host::open(Path::new("/"))?;
    let mut findings = Vec::new();
    for dir in &subject.config.cdi.spec_dirs {
        let problem = registry.problems().iter().find(|problem| problem.path == *dir);
        findings.push(match problem {
            Some(problem) => unread(problem),
            None => of_directory(dir, here.find(dir)?.is_some(), &registry, subject),
        });
    }
    Ok(findings)
}

fn unread(problem: &Problem) -> Finding {
    let path = Escaped::path(&problem.path);
    // What is to be done is at the end of the reason, where the reason has an answer.
    let fix = problem.message.rsplit_once(": ").map(|(_, fix)| fix).filter(|fix| fix.starts_with("ch"));
    let fix = fix.map_or_else(|| format!("ls -ld {path}"), str::to_owned);
    Finding::fail(Error::from(problem.clone()).to_string(), "nothing in it can be asked for", fix)
}

fn of_directory(dir: &Path, is_there: bool, registry: &Registry, subject: &Subject<'_>) -> Finding {
    let path = Escaped::path(dir);
    if is_there {
        let files = registry.files().filter(|file| registry.path(*file).parent() == Some(dir));
        let files: Vec<&Spec> = files.filter_map(|file| registry.spec(file)).collect();
        let devices = counted(files.iter().map(|spec| spec.devices.len()).sum(), "device");
        let files = counted(files.len(), "file");
        return Finding::pass(format!("{path}: {devices} in {files} that can be used"), READERS);
    }
    match subject.config.inject.generate {
        Generate::Never if !subject.devices.is_empty() => Finding::idle(
            format!("{path} is not there, and the configuration lets gpu-runc describe nothing itself"),
            READERS,
        ),
        _ => Finding::idle(
            format!("{path} is not there, and gpu-runc describes the devices of this machine itself"),
            READERS,
        ),
    }
}

/// A finding for each file.
pub(super) fn files(subject: &Subject<'_>) -> Result<Vec<Finding>> {
    let dirs = &subject.config.cdi.spec_dirs;
    let registry = Registry::load_all(dirs);
    let mut findings: BTreeMap<PathBuf, Finding> = BTreeMap::new();
    for file in registry.files() {
        let Some(spec) = registry.spec(file) else { continue };
        let path = registry.path(file);
        let vendor = subject.vendors.by_kind(&spec.kind);
        let finding = match clash(path, spec, &registry) {
            Some(clash) => clash,
            None => {
                let faults = stale::faults(spec, vendor, subject.machine(), subject.devices)?;
                judged(path, spec, vendor, &faults, subject.config.inject.generate)
            }
        };
        findings.insert(path.to_owned(), finding);
    }
    let mut broken: BTreeMap<&Path, Vec<String>> = BTreeMap::new();
    for problem in registry.problems().iter().filter(|problem| !dirs.contains(&problem.path)) {
        if !findings.contains_key(&problem.path) {
            broken.entry(&problem.path).or_default().push(Error::from(problem.clone()).to_string());
        }
    }
    for (path, faults) in broken {
        let fix = format!("gpu-ctk cdi validate {}", Escaped::path(path));
        let finding = Finding::fail(first_of(&faults), "no device of the file can be asked for", fix);
        findings.insert(path.to_owned(), finding);
    }
    if findings.is_empty() {
        findings.insert(PathBuf::new(), none(subject));
    }
    Ok(findings.into_values().collect())
}

fn none(subject: &Subject<'_>) -> Finding {
    const NOBODY: &str = "gpu-runc needs none; Docker's --gpus and podman's --device read them";
    match subject.devices.is_empty() {
        true => Finding::idle("there is none", NOBODY),
        false => Finding::skip("there is none", NOBODY, "for those: gpu-ctk cdi generate --output /etc/cdi/"),
    }
}

/// What is wrong with a file that other files of its directory contradict.
fn clash(path: &Path, spec: &Spec, registry: &Registry) -> Option<Finding> {
    let (mut names, mut others) = (Vec::new(), Vec::new());
    for name in spec.devices.iter().filter_map(|device| spec.kind.device(&device.name).ok()) {
        if let Lookup::Conflict(paths) = registry.find(&name)
            && paths.iter().any(|other| other == path)
        {
            names.push(name.to_string());
            others.extend(paths.into_iter().filter(|other| other != path));
        }
    }
    others.sort();
    others.dedup();
    let other = others.first()?;
    let others: Vec<String> = others.iter().map(|other| Escaped::path(other).to_string()).collect();
    Some(Finding::fail(
        format!("{}: conflicts with {} about {}", Escaped::path(path), others.join(", "), first_of(&names)),
        "of two files that describe one device in one directory, neither can be used",
        format!("remove the one that is not yours: rm {} or rm {}", Escaped::path(path), Escaped::path(other)),
    ))
}

fn judged(path: &Path, spec: &Spec, vendor: Option<&Vendor>, faults: &[String], generate: Generate) -> Finding {
    let Spec { kind, cdi_version, devices, .. } = spec;
    if faults.is_empty() {
        let what =
            format!("{}: {kind} with {}, CDI {cdi_version}", Escaped::path(path), counted(devices.len(), "device"));
        return Finding::pass(what, READERS);
    }
    let what = format!("{}: out of date: {}", Escaped::path(path), first_of(faults));
    match vendor.filter(|vendor| !vendor.recipes.is_empty()) {
        Some(vendor) => {
            let fix = format!("gpu-ctk cdi generate --vendor {} --output {}", vendor.name, Escaped::path(path));
            let level = if generate == Generate::Never { Level::Fail } else { Level::Warn };
            const WHY: &str = "gpu-runc describes these devices anew unless its configuration forbids it; Docker and podman \
                               believe the file";
            Finding { level, what, why: WHY, fix: Some(fix) }
        }
        None => Finding::fail(
            what,
            "gpu-runc knows no other description of these devices, and does not give what is not there",
            "write the file anew with the vendor's tool",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vendor::Vendors;

    #[test]
    fn a_file_that_can_be_renewed_is_less_of_a_fault() {
        let text = |kind: &str| {
            format!(
                "{{\"cdiVersion\":\"0.5.0\",\"kind\":\"{kind}\",\"devices\":[{{\"name\":\"0\",\"containerEdits\":{{\"env\":[\"A=1\"]}}}}]}}"
            )
        };
        let faults = ["\"/x\" is not there".to_owned()];
        for (kind, faults, generate, level) in [
            ("nvidia.com/gpu", &[][..], Generate::Missing, Level::Pass),
            ("nvidia.com/gpu", &faults, Generate::Missing, Level::Warn),
            ("nvidia.com/gpu", &faults, Generate::Never, Level::Fail),
            ("acme.example/npu", &faults, Generate::Missing, Level::Fail),
        ] {
            let spec = crate::cdi::parse(&text(kind)).unwrap();
            let vendor = Vendors::known().by_kind(&spec.kind);
            let finding = judged(Path::new("/etc/cdi/x.json"), &spec, vendor, faults, generate);
            assert_eq!(finding.level, level, "{kind} {faults:?} {generate:?}");
        }
    }

    #[test]
    fn a_directory_that_is_not_believed_has_the_command_of_its_reason() {
        for (message, fix) in [
            (
                "the spec directory is not used: others may write to it (mode 0777, group 0): chmod go-w /c",
                "chmod go-w /c",
            ),
            ("cannot open the spec directory: access denied", "ls -ld /c"),
        ] {
            let problem = Problem { path: "/c".into(), line: None, message: message.to_owned() };
            assert_eq!(unread(&problem).fix.as_deref(), Some(fix));
        }
    }
}
