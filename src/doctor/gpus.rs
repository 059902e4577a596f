//! Whether each engine's own `--gpus` works now.
//!
//! Asks the Docker daemon that runs, and checks for CDI specs, which the `--gpus` of other engines needs.

use std::path::Path;

use serde_json::Value;

use super::engines::scopes;
use super::{Docker, Finding, Subject};
use crate::cdi::Registry;
use crate::configure::{Engine, Scope, loaded, names};
use crate::error::{Escaped, Result};
use crate::vendor::Vendor;

const WHY: &str = "the --gpus of an engine is taken by the engine, before any runtime is started";
/// What `systemctl enable` makes of the unit that keeps CDI specs fresh.
const UNIT: &str = "/etc/systemd/system/multi-user.target.wants/gpu-runc-cdi-refresh.service";
const GENERATE: &str =
    "gpu-ctk cdi generate && systemctl enable --now gpu-runc-cdi-refresh.path gpu-runc-cdi-refresh.service";

/// A finding for each engine that has a `--gpus`.
pub(super) fn look(subject: &Subject<'_>) -> Result<Vec<Finding>> {
    let Some(vendor) = subject.devices.first().map(|devices| devices.vendor) else {
        return Ok(vec![Finding::idle("this host has no device to give", WHY)]);
    };
    let mut findings = Vec::new();
    if subject.program("dockerd")?.is_some() {
        for scope in scopes(Engine::Docker, subject) {
            findings.push(of_docker(scope, vendor, subject)?);
        }
    }
    let has_spec = has_spec(vendor, subject);
    let is_kept = subject.host.find(Path::new(UNIT))?.is_some();
    if let Some(program) = subject.program("podman")? {
        let version = subject.version(&program, &["--version"]).map(|version| version.to_string());
        let version = version.as_deref().and_then(loaded::version);
        let takes = vendor.docker.iter().any(|name| names::hook(subject.vendors) == Some(name));
        findings.push(of_podman(version.as_deref(), takes, has_spec, is_kept));
    }
    for (program, note) in
        [("nerdctl", "; nerdctl compose ignores \"gpus:\", which gpu-ctk compose turns"), ("ctr", "")]
    {
        if subject.program(program)?.is_some() {
            findings.push(by_spec(program, note, has_spec, is_kept));
        }
    }
    if findings.is_empty() {
        findings.push(Finding::idle("no engine here has one", WHY));
    }
    Ok(findings)
}

/// Whether a spec directory describes devices of the vendor.
fn has_spec(vendor: &Vendor, subject: &Subject<'_>) -> bool {
    let kinds: Vec<_> = vendor.kinds.iter().filter_map(|kind| kind.parse().ok()).collect();
    let registry = Registry::load(&subject.config.cdi.spec_dirs, &|kind, _| kinds.contains(kind));
    kinds.first().is_some_and(|kind| !registry.names(kind).is_empty())
}

fn of_docker(scope: Scope, vendor: &'static Vendor, subject: &Subject<'_>) -> Result<Finding> {
    let Some(docker) = (subject.docker)(scope) else {
        let first = format!("start Docker, and ask as {}", if scope == Scope::System { "root" } else { "its user" });
        return Ok(Finding::skip(format!("docker ({scope}): the daemon does not answer"), WHY, first));
    };
    let Some(path) = &docker.path else {
        return Ok(Finding::skip(
            format!("docker ({scope}): this user may not see the daemon's PATH"),
            WHY,
            "run it as root",
        ));
    };
    let all = names::all(subject.vendors);
    let is_there = |name: &&str| path.iter().any(|folder| is_file(&folder.join(name), subject));
    let found: Vec<&str> = all.iter().copied().filter(is_there).collect();
    let hook = names::hook(subject.vendors).unwrap_or_default();
    let facts = Facts { found: &found, hook, own: vendor.docker, has_spec: has_spec(vendor, subject) };
    Ok(judged(scope, &docker, &facts))
}

fn is_file(path: &Path, subject: &Subject<'_>) -> bool {
    matches!(subject.host.find(path), Ok(Some(_)))
}

/// What Docker's `--gpus` depends on, beside the daemon.
struct Facts<'a> {
    /// The names that it would find.
    found: &'a [&'a str],
    /// That of the legacy hook.
    hook: &'a str,
    /// Those by which it knows the vendor.
    own: &'a [&'a str],
    /// Whether a CDI spec describes the vendor's devices.
    has_spec: bool,
}

fn judged(scope: Scope, docker: &Docker, facts: &Facts<'_>) -> Finding {
    let info = &docker.info;
    let default = info.get("DefaultRuntime").and_then(Value::as_str).unwrap_or("runc");
    let program = info.pointer(&format!("/Runtimes/{default}/path")).and_then(Value::as_str).unwrap_or(default);
    let is_ours = program.rsplit('/').next() == Some("gpu-runc");
    let knows_own =
        loaded::docker_version(info).is_some_and(|version| version.as_slice() >= names::KNOWS_OTHERS.as_slice());
    let has_hook = facts.found.contains(&facts.hook);
    let has_own = facts.own.iter().any(|name| facts.found.contains(name));
    let name = format!("docker ({scope})");
    let set_up = format!("{} --gpus --restart systemd", scope.advice("docker"));
    let by_spec = || format!("{name}: docker run --gpus works, by a CDI spec");
    if docker.has_newer_names {
        return Finding::warn(
            format!("{name}: its --gpus is set up, and the daemon was started before that"),
            "Docker looks for the programs that it takes --gpus with only when it starts",
            set_up,
        );
    }
    match (has_hook, has_own && knows_own, is_ours) {
        (true, _, true) | (false, true, true) => {
            Finding::pass(format!("{name}: docker run --gpus works, and compose's gpus:"), WHY)
        }
        (_, true, false) if facts.has_spec => Finding::pass(by_spec(), WHY),
        (true, ..) | (_, true, _) => Finding::warn(
            format!(
                "{name}: docker run --gpus works with --runtime gpu-runc only; the default runtime is {}",
                Escaped::quoted(default)
            ),
            WHY,
            set_up,
        ),
        (false, false, _) => Finding::warn(
            format!(
                "{name}: docker run --gpus does not work, because Docker finds none of the programs that it takes it with"
            ),
            WHY,
            set_up,
        ),
    }
}

fn of_podman(version: Option<&[u32]>, takes_vendor: bool, has_spec: bool, is_kept: bool) -> Finding {
    match version.and_then(|version| version.first()) {
        Some(..=4) => Finding::warn(
            "podman: before 5, it accepts --gpus and gives nothing",
            WHY,
            "use an environment variable or --device with --runtime gpu-runc",
        ),
        Some(5) if !takes_vendor => Finding::warn(
            "podman: in 5, --gpus knows one vendor only, of which this host has no device",
            WHY,
            "use an environment variable or --device with --runtime gpu-runc",
        ),
        _ => by_spec("podman", "; --gpus 2 is the device with the index 2, not two devices", has_spec, is_kept),
    }
}

fn by_spec(engine: &str, note: &str, has_spec: bool, is_kept: bool) -> Finding {
    match (has_spec, is_kept) {
        (false, _) => Finding::warn(format!("{engine}: its --gpus needs a CDI spec, and there is none"), WHY, GENERATE),
        (true, true) => {
            Finding::pass(format!("{engine}: its --gpus works, by a CDI spec that a unit keeps fresh{note}"), WHY)
        }
        (true, false) => Finding::pass(
            format!(
                "{engine}: its --gpus works, as long as the CDI spec is true; gpu-runc-cdi-refresh.service would keep it so{note}"
            ),
            WHY,
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Level;
    use super::*;

    #[test]
    fn dockers_gpus_is_judged_by_its_names_its_default_runtime_and_its_version() {
        let (hook, own, other) = ("legacy-hook", "own-hook", "other");
        for (what, found, vendors, default, version, has_spec, newer, level, part) in [
            ("nothing", &[][..], &[own, hook][..], "runc", "29.7.0", false, false, Level::Warn, "does not work"),
            ("all set up", &[own, hook], &[own, hook], "gpu-runc", "29.7.0", false, false, Level::Pass, "works, and"),
            ("old Docker", &[hook], &[own, hook], "gpu-runc", "20.10.24", false, false, Level::Pass, "works, and"),
            (
                "a vendor that Docker does not know",
                &[hook],
                &[],
                "gpu-runc",
                "29.7.0",
                false,
                false,
                Level::Pass,
                "works",
            ),
            ("its own name", &[other], &[other], "gpu-runc", "29.7.0", false, false, Level::Pass, "works"),
            ("before Docker knew it", &[other], &[other], "gpu-runc", "28.1.0", false, false, Level::Warn, "does not"),
            ("another default", &[hook], &[own, hook], "runc", "29.7.0", false, false, Level::Warn, "with --runtime"),
            ("by a spec", &[own], &[own, hook], "runc", "29.7.0", true, false, Level::Pass, "by a CDI spec"),
            (
                "started before",
                &[own, hook],
                &[own, hook],
                "gpu-runc",
                "29.7.0",
                false,
                true,
                Level::Warn,
                "started before",
            ),
        ] {
            let info = json!({"DefaultRuntime": default, "ServerVersion": version,
                              "Runtimes": {"gpu-runc": {"path": "/usr/bin/gpu-runc"}, "runc": {"path": "runc"}}});
            let docker = Docker { info, path: None, has_newer_names: newer };
            let finding = judged(Scope::System, &docker, &Facts { found, hook, own: vendors, has_spec });
            assert_eq!(finding.level, level, "{what}: {finding:?}");
            assert!(finding.what.contains(part), "{what}: {finding:?}");
            assert!(level == Level::Pass || finding.fix.unwrap().contains("--engine docker --gpus --restart systemd"));
        }
    }

    #[test]
    fn podmans_gpus_is_judged_by_its_version() {
        for (version, takes_vendor, has_spec, level, part) in [
            (&[4, 3][..], true, true, Level::Warn, "gives nothing"),
            (&[5, 2], true, true, Level::Pass, "works"),
            (&[5, 2], false, true, Level::Warn, "one vendor only"),
            (&[6, 0], false, true, Level::Pass, "index 2"),
            (&[6, 0], false, false, Level::Warn, "there is none"),
        ] {
            let finding = of_podman(Some(version), takes_vendor, has_spec, false);
            assert!(finding.level == level && finding.what.contains(part), "{version:?}: {finding:?}");
        }
    }
}
