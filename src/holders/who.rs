//! What people call a container: its engine and its name there.
//!
//! Reads only where a message or a table names the container, never for a decision.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::Deserialize;

use super::directory::Directory;
use super::record::Container;
use super::{Holder, state};

/// A container in its engine's words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Who {
    /// The engine: `docker`, `podman`, `kubernetes`, …
    pub engine: &'static str,
    /// The name, where the engine gives it one.
    pub name: Option<String>,
    /// The id.
    pub id: String,
    /// The bundle, where known.
    pub bundle: Option<String>,
    /// What is mounted into it.
    pub mounted: Vec<String>,
}

/// Annotations in which engines name containers.
const NAMES: [&str; 4] = [
    "nerdctl/name",
    "io.kubernetes.cri.container-name",
    "io.kubernetes.cri-o.ContainerName",
    "io.kubernetes.container.name",
];
/// A container's settings are some 10 KiB.
const LARGEST: usize = 1 << 20;

impl Who {
    /// What is known of `holder`.
    pub fn of(holder: &Holder) -> Self {
        let Container { root, id } = &holder.container;
        let directory = Directory::open(Path::new(root)).ok().flatten();
        let state = directory.and_then(|root| state::read(&root.below(id).ok().flatten()?)).unwrap_or_default();
        let engine = engine(root, &state.annotations);
        let name = NAMES.iter().find_map(|key| state.annotations.get(*key)).cloned();
        let name = name.or_else(|| if engine == "docker" { name_in_docker(id) } else { None });
        let bundle = holder.bundle.clone().or(state.bundle);
        Who { engine, name, id: id.clone(), bundle, mounted: state.mounted }
    }
}

fn engine(root: &str, annotations: &BTreeMap<String, String>) -> &'static str {
    let has = |key: &str| annotations.contains_key(key);
    let parts: Vec<&str> = root.split('/').collect();
    match annotations.get("io.container.manager").map(String::as_str) {
        Some("libpod") => "podman",
        Some("cri-o") => "cri-o",
        _ if has("nerdctl/name") || has("nerdctl/namespace") => "nerdctl",
        _ if has("io.kubernetes.cri.container-type") || root.ends_with("/k8s.io") => "kubernetes",
        _ if parts.contains(&"docker") || root.ends_with("/moby") => "docker",
        _ if parts.contains(&"containerd") => "containerd",
        _ if root.ends_with("/crun") => "crun",
        _ if root.ends_with("/youki") => "youki",
        _ => "runc",
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerSettings {
    name: String,
}

/// dockerd tells no runtime what a container is called.
fn name_in_docker(id: &str) -> Option<String> {
    let containers = Directory::open(Path::new("/var/lib/docker/containers")).ok().flatten()?;
    let text = containers.below(id).ok().flatten()?.read("config.v2.json", LARGEST).ok().flatten()?;
    let DockerSettings { name } = serde_json::from_str(&text).ok()?;
    Some(name.trim_start_matches('/').to_owned())
}

impl Who {
    /// The id, short where it is the hash that engines make.
    pub fn short_id(&self) -> &str {
        const SHORT: usize = 12;
        let is_hash = self.id.len() == 64 && self.id.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_hash { self.id.get(..SHORT).unwrap_or(&self.id) } else { &self.id }
    }
}

impl fmt::Display for Who {
    /// `docker container web (3f2a9c1e0b7d)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = crate::error::Escaped::name(self.short_id());
        match &self.name {
            Some(name) => write!(f, "{} container {} ({id})", self.engine, crate::error::Escaped::name(name)),
            None => write!(f, "{} container {id}", self.engine),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_is_told_from_annotations_and_from_where_its_states_are() {
        for (root, annotation, expected) in [
            ("/run/docker/runtime-runc/moby", "", "docker"),
            ("/run/containerd/runc/default", "", "containerd"),
            ("/run/containerd/runc/default", "nerdctl/name", "nerdctl"),
            ("/run/containerd/runc/k8s.io", "io.kubernetes.cri.container-type", "kubernetes"),
            ("/run/containerd/runc/moby", "", "docker"),
            ("/run/runc", "", "runc"),
            ("/run/user/1000/crun", "", "crun"),
            ("/somewhere", "", "runc"),
        ] {
            let annotations = [(annotation.to_owned(), "x".to_owned())].into();
            assert_eq!(engine(root, &annotations), expected, "{root} {annotation}");
        }
        let libpod = [("io.container.manager".to_owned(), "libpod".to_owned())].into();
        assert_eq!(engine("/run/crun", &libpod), "podman");
    }

    #[test]
    fn a_container_is_named_by_its_name_and_a_short_id() {
        let who = |name: Option<&str>, id: &str| {
            Who { engine: "docker", name: name.map(str::to_owned), id: id.to_owned(), ..Who::default() }.to_string()
        };
        assert_eq!(who(Some("web"), &"3f2a".repeat(16)), "docker container web (3f2a3f2a3f2a)");
        assert_eq!(who(None, "c1"), "docker container c1");
        assert_eq!(who(Some("a\n"), "\u{1b}"), "docker container a\\n (\\u{1b})");
    }
}
