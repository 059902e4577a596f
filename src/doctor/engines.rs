//! Which container engines know gpu-runc, of those that are installed.
//!
//! Rows of data, and one walk over them; what a file says is read in [`registration`](super::registration).

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::registration::{Cgroups, Format, Layout, Registered};
use super::{Finding, Subject, kernel};
use crate::configure::{self, Scope};
use crate::error::{Error, Escaped, Result};

/// What is known of an engine.
#[derive(Debug)]
pub(super) struct Engine {
    /// What people call it, and `gpu-ctk runtime configure --engine`.
    pub name: &'static str,
    /// The program that tells that it is installed.
    program: &'static str,
    /// The arguments by which that says its version.
    version: &'static [&'static str],
    /// Its configuration files, in the order in which it reads them; in the last part, `*` is any text.
    files: &'static [&'static str],
    /// Those of a rootless one, below the user's folder of configuration files. podman reads them after the others.
    own_files: &'static [&'static str],
    /// The engine as `gpu-ctk runtime configure` knows it.
    kind: configure::Engine,
    /// How they name runtimes.
    pub layout: Layout,
    /// Whether a runtime that no file names can be named by its program's path. By its program's name it cannot: podman looks on the
    /// PATH only for what a file names (libpod/runtime.go, read of 1.5 to 6.0-dev; tried with 4.3.1).
    takes_paths: bool,
}

const CONTAINERD: Layout = Layout {
    format: Format::Toml,
    runtimes: &[
        &["plugins", "cri", "containerd", "runtimes"],
        &["plugins", "io.containerd.grpc.v1.cri", "containerd", "runtimes"],
        &["plugins", "io.containerd.cri.v1.runtime", "containerd", "runtimes"],
    ],
    program: &["options", "BinaryName"],
    default: &[
        &["plugins", "cri", "containerd", "default_runtime_name"],
        &["plugins", "io.containerd.grpc.v1.cri", "containerd", "default_runtime_name"],
        &["plugins", "io.containerd.cri.v1.runtime", "containerd", "default_runtime_name"],
    ],
    cgroups: Cgroups::Switch(&["options", "SystemdCgroup"]),
    off: Some(("disabled_plugins", &["cri", "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime"])),
    imports: Some("imports"),
};

/// All that are known, in the order in which they are shown.
pub(super) static ENGINES: &[Engine] = &[
    Engine {
        name: "containerd",
        program: "containerd",
        version: &["--version"],
        files: &["/etc/containerd/config.toml"],
        own_files: &["containerd/config.toml"],
        kind: configure::Engine::Containerd,
        layout: CONTAINERD,
        takes_paths: false,
    },
    Engine {
        name: "docker",
        program: "dockerd",
        version: &["--version"],
        files: &["/etc/docker/daemon.json"],
        own_files: &["docker/daemon.json"],
        kind: configure::Engine::Docker,
        layout: Layout {
            format: Format::Json,
            runtimes: &[&["runtimes"]],
            program: &["path"],
            default: &[&["default-runtime"]],
            cgroups: Cgroups::Listed("exec-opts", "native.cgroupdriver="),
            off: None,
            imports: None,
        },
        takes_paths: false,
    },
    Engine {
        name: "podman",
        program: "podman",
        version: &["--version"],
        files: &[
            "/usr/share/containers/containers.conf",
            "/etc/containers/containers.conf",
            "/etc/containers/containers.conf.d/*.conf",
        ],
        own_files: &["containers/containers.conf", "containers/containers.conf.d/*.conf"],
        kind: configure::Engine::Podman,
        layout: Layout {
            format: Format::Toml,
            runtimes: &[&["engine", "runtimes"]],
            program: &[],
            default: &[&["engine", "runtime"]],
            cgroups: Cgroups::Word(&["engine", "cgroup_manager"]),
            off: None,
            imports: None,
        },
        takes_paths: true,
    },
    Engine {
        name: "cri-o",
        program: "crio",
        version: &["--version"],
        files: &["/etc/crio/crio.conf", "/etc/crio/crio.conf.d/*"],
        own_files: &[],
        kind: configure::Engine::Crio,
        layout: Layout {
            format: Format::Toml,
            runtimes: &[&["crio", "runtime", "runtimes"]],
            program: &["runtime_path"],
            default: &[&["crio", "runtime", "default_runtime"]],
            cgroups: Cgroups::Word(&["crio", "runtime", "cgroup_manager"]),
            off: None,
            imports: None,
        },
        takes_paths: false,
    },
    Engine {
        name: "k3s",
        program: "k3s",
        version: &["--version"],
        files: &["/var/lib/rancher/k3s/agent/etc/containerd/config.toml"],
        own_files: &[],
        kind: configure::Engine::K3s,
        layout: CONTAINERD,
        takes_paths: false,
    },
    Engine {
        name: "rke2",
        program: "rke2",
        version: &["--version"],
        files: &["/var/lib/rancher/rke2/agent/etc/containerd/config.toml"],
        own_files: &[],
        kind: configure::Engine::Rke2,
        layout: CONTAINERD,
        takes_paths: false,
    },
];

const WHY: &str = "an engine starts gpu-runc only for containers of a runtime that is registered as it";

/// Whether any engine is installed.
pub(super) fn is_any_there(subject: &Subject<'_>) -> Result<bool> {
    for engine in ENGINES {
        if subject.program(engine.program)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A finding for each engine that is installed, of the system's and of the user's own.
pub(super) fn look(subject: &Subject<'_>) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for engine in ENGINES {
        if let Some(program) = subject.program(engine.program)? {
            for scope in scopes(engine.kind, subject) {
                let finding = of_engine(engine, scope, &program, subject);
                findings.push(finding.unwrap_or_else(|error| Finding::unreadable(&error)));
            }
        }
    }
    if findings.is_empty() {
        findings.push(Finding::skip("there is none", WHY, "install containerd, Docker, podman or CRI-O"));
    }
    Ok(findings)
}

/// Whose engines there are: the system's, and that of the user who asks. podman without root is always the user's.
pub(super) fn scopes(engine: configure::Engine, subject: &Subject<'_>) -> Vec<Scope> {
    let has_own = subject.environment.uid != 0 && subject.environment.own_engines.contains(&engine);
    match (engine, has_own) {
        (configure::Engine::Podman, true) => vec![Scope::User],
        (_, true) => vec![Scope::System, Scope::User],
        (_, false) => vec![Scope::System],
    }
}

fn of_engine(engine: &Engine, scope: Scope, program: &Path, subject: &Subject<'_>) -> Result<Finding> {
    let name = match subject.version(program, engine.version) {
        Some(version) => format!("{} {version} ({scope})", engine.name),
        None => format!("{} ({scope})", engine.name),
    };
    let documents = match documents(engine, scope, subject) {
        Err(fault @ Error::Config { .. }) => {
            const WHY: &str = "an engine does not start with such a file";
            return Ok(Finding::fail(format!("{name}: {fault}"), WHY, "mend the file"));
        }
        documents => documents?,
    };
    let driver = engine.layout.cgroup_driver(&documents, subject.has_systemd()?, kernel::has_second(subject)?);
    let name = format!("{name}, cgroups by {}", Escaped::name(driver));
    let mut registered = engine.layout.registered(&documents);
    registered.sort_by_key(|registered| !registered.is_default);
    let on_path = if engine.takes_paths { subject.program("gpu-runc")? } else { None };
    let Some(first) = registered.first() else {
        return Ok(unregistered(engine, scope, &name, on_path.as_deref(), engine.layout.is_off(&documents)));
    };
    let is_there = match first.program.starts_with('/') {
        true => subject.host.find(Path::new(&first.program))?.is_some(),
        false => subject.program(&first.program)?.is_some(),
    };
    let daemon = if engine.kind == configure::Engine::Docker { (subject.docker)(scope) } else { None };
    let has_loaded = daemon.is_none_or(|docker| has(&docker.info, first));
    Ok(judged(&name, engine, scope, first, is_there, has_loaded))
}

/// Whether the Docker daemon that says `info` has the runtime that its file has.
fn has(info: &Value, registered: &Registered) -> bool {
    let path = info.pointer(&format!("/Runtimes/{}/path", registered.name)).and_then(Value::as_str);
    let is_default = info.get("DefaultRuntime").and_then(Value::as_str) == Some(&registered.name);
    path == Some(&registered.program) && (is_default || !registered.is_default)
}

fn unregistered(engine: &Engine, scope: Scope, name: &str, on_path: Option<&Path>, is_off: bool) -> Finding {
    if is_off {
        const OFF: &str = "only Kubernetes reads what would be registered; ctr and nerdctl find gpu-runc on the PATH";
        return Finding::idle(format!("{name}: its part for Kubernetes is off"), OFF);
    }
    let path = on_path.map(|path| format!(": --runtime {} works, --runtime gpu-runc does not", Escaped::path(path)));
    let fix = scope.advice(&engine.name.replace('-', ""));
    Finding::warn(format!("{name}: gpu-runc is not registered{}", path.unwrap_or_default()), WHY, fix)
}

fn judged(
    name: &str,
    engine: &Engine,
    scope: Scope,
    registered: &Registered,
    is_there: bool,
    has_loaded: bool,
) -> Finding {
    let advice = scope.advice(&engine.name.replace('-', ""));
    let Registered { name: runtime, program, is_default, differs_in_cgroups } = registered;
    let default = if *is_default { ", the default" } else { "" };
    let what = format!("{name}: gpu-runc is registered as {}{default}", Escaped::quoted(runtime));
    if !is_there {
        return Finding::fail(
            format!("{what}, but {} is not there", Escaped::quoted(program)),
            "no container of this runtime starts",
            format!("install gpu-runc there, or: {advice}"),
        );
    }
    if !has_loaded {
        return Finding::warn(
            format!("{what}, but the daemon that runs has not loaded that"),
            "it answers \"unknown or invalid runtime name\" until it does",
            format!("{advice} --restart systemd"),
        );
    }
    if *differs_in_cgroups {
        return Finding::warn(
            format!("{what}, without SystemdCgroup, which another runtime has"),
            "two drivers of one cgroup tree undo each other's limits",
            "set SystemdCgroup = true in its options, as the other runtime has it",
        );
    }
    Finding::pass(what, WHY)
}

/// What the engine's files say, with those that they name. An [`Error::Config`] is a file that cannot be understood.
fn documents(engine: &Engine, scope: Scope, subject: &Subject<'_>) -> Result<Vec<Value>> {
    let mut documents = Vec::new();
    let shared = engine.files.iter().map(PathBuf::from);
    let reads_shared = scope == Scope::System || engine.kind == configure::Engine::Podman;
    let home = subject.environment.config_home.iter().filter(|_| scope == Scope::User);
    let own = home.flat_map(|home| engine.own_files.iter().map(move |file| home.join(file)));
    for pattern in shared.filter(|_| reads_shared).chain(own) {
        for path in subject.host.matching(&pattern)? {
            let Some(document) = document(engine, &path, subject)? else { continue };
            let folder = path.parent().unwrap_or(Path::new("/"));
            let imports: Vec<PathBuf> =
                engine.layout.imports(&document).into_iter().map(|import| folder.join(import)).collect();
            documents.push(document);
            // Files that are named by files that are named are as rare as they are hard to follow.
            for import in imports {
                for path in subject.host.matching(&import)? {
                    documents.extend(self::document(engine, &path, subject)?);
                }
            }
        }
    }
    Ok(documents)
}

fn document(engine: &Engine, path: &Path, subject: &Subject<'_>) -> Result<Option<Value>> {
    let text = subject.host.read(path)?;
    text.map(|text| engine.layout.format.read(&text, path)).transpose()
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn an_engine_is_judged_by_how_it_would_find_gpu_runc() {
        let engine = |name: &str| ENGINES.iter().find(|engine| engine.name == name).unwrap();
        let path = Some(Path::new("/usr/bin/gpu-runc"));
        for (name, path, is_off, level) in [
            ("docker", None, false, Level::Warn),
            ("podman", path, false, Level::Warn),
            ("podman", None, false, Level::Warn),
            ("containerd", None, true, Level::Skip),
        ] {
            assert_eq!(unregistered(engine(name), Scope::System, name, path, is_off).level, level, "{name}");
        }
        for (differs_in_cgroups, is_there, has_loaded, level) in [
            (false, true, true, Level::Pass),
            (true, true, true, Level::Warn),
            (false, true, false, Level::Warn),
            (false, false, true, Level::Fail),
        ] {
            let text = |text: &str| text.to_owned();
            let registered =
                Registered { name: text("g"), program: text("/b/gpu-runc"), is_default: true, differs_in_cgroups };
            assert_eq!(judged("x", engine("docker"), Scope::System, &registered, is_there, has_loaded).level, level);
        }
    }
}
