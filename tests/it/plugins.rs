//! Device plugins: what each leaves in a pod's config.json, by every strategy of its own, and what must come out.
//!
//! Whether the engine can start what comes out is shown in `cri`. Machines are those of tests/hosts.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::hosts;

mod hostile;
mod nvidia;

const GPU0: &str = "GPU-a1000000-0000-4000-8000-000000000000";
const GPU3: &str = "GPU-a1000003-0000-4000-8000-000000000003";
const FOLDER: &str = "/var/run/nvidia-container-devices";

/// What containerd's CRI says of a container, and CRI-O's of one in the same namespace.
const CONTAINERD: &[(&str, &str)] = &[
    ("io.kubernetes.cri.container-type", "container"),
    ("io.kubernetes.cri.sandbox-namespace", "team-a"),
    ("io.kubernetes.cri.sandbox-name", "train"),
];
const CRIO: &[(&str, &str)] = &[
    ("io.kubernetes.cri-o.ContainerType", "container"),
    ("io.container.manager", "cri-o"),
    ("io.kubernetes.pod.namespace", "team-a"),
];
const PAUSE: &[(&str, &str)] =
    &[("io.kubernetes.cri.container-type", "sandbox"), ("io.kubernetes.cri.sandbox-namespace", "team-a")];
const CRIO_PAUSE: &[(&str, &str)] =
    &[("io.kubernetes.cri-o.ContainerType", "sandbox"), ("io.kubernetes.pod.namespace", "team-a")];

/// For a cluster of several tenants.
const SAFE: &str = "[policy.pods]\nnamespaces = []\n";
/// The policy as it comes, for a cluster of one tenant.
const OPEN: &str = "";
/// For containerd without CDI, whose handler lets only the kubelet's annotations through.
const ANNOTATIONS: &str = "[policy.pods]\nnamespaces = []\nannotations = true\n";

/// A container as a plugin, the image and the pod's author made it.
#[derive(Clone, Copy)]
struct Made {
    by: &'static [(&'static str, &'static str)],
    env: &'static [&'static str],
    annotations: &'static [(&'static str, &'static str)],
    /// Source and destination.
    mounts: &'static [(&'static str, &'static str)],
    /// Nodes that are there already, with a rule that has no `m`.
    nodes: &'static [(&'static str, u32, u32)],
}

const POD: Made = Made { by: CONTAINERD, env: &[], annotations: &[], mounts: &[], nodes: &[] };

/// What must come out.
enum Becomes {
    /// The file is not touched, and the log has these words; nothing for no line at all.
    Untouched(&'static str),
    /// These are its nodes below /dev, and nothing is there twice.
    Given(&'static [&'static str]),
    /// It does not start, and these words say why.
    Refused(&'static str),
}
use Becomes::{Given, Refused, Untouched};

impl Made {
    fn config_json(&self) -> Value {
        let annotations: serde_json::Map<_, _> =
            self.by.iter().chain(self.annotations).map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
        let mounts: Vec<_> = self
            .mounts
            .iter()
            .map(
                |(source, at)| json!({"destination": at, "type": "bind", "source": source, "options": ["rbind", "rw"]}),
            )
            .collect();
        let node = |(path, major, minor): &(&str, u32, u32)| json!({"path": path, "type": "c", "major": major, "minor": minor, "fileMode": 438, "uid": 0, "gid": 0});
        let rule = |(_, major, minor): &(&str, u32, u32)| json!({"allow": true, "type": "c", "major": major, "minor": minor, "access": "rw"});
        let rules: Vec<_> =
            [json!({"allow": false, "access": "rwm"})].into_iter().chain(self.nodes.iter().map(rule)).collect();
        json!({
            "ociVersion": "1.0.2",
            "process": {"env": self.env, "user": {"uid": 0, "gid": 0}, "args": ["sh"], "cwd": "/"},
            "annotations": annotations,
            "mounts": mounts,
            "linux": {"devices": self.nodes.iter().map(node).collect::<Vec<_>>(), "resources": {"devices": rules}},
        })
    }
}

#[test]
fn amds_plugin_gives_bare_nodes_and_nothing_is_added_to_them() {
    const NODES: &[(&str, u32, u32)] =
        &[("/dev/kfd", 511, 0), ("/dev/dri/card17", 226, 17), ("/dev/dri/renderD144", 226, 144)];
    check(
        "amd-mi300x-8",
        &[
            ("as the plugin makes it", SAFE, Made { nodes: NODES, ..POD }, Untouched("")),
            (
                "an image that wants all",
                SAFE,
                Made { env: &["AMD_VISIBLE_DEVICES=all"], nodes: NODES, ..POD },
                Untouched("refused environment variable \"AMD_VISIBLE_DEVICES=all\""),
            ),
            (
                "an image for another vendor",
                SAFE,
                Made { env: &["NVIDIA_VISIBLE_DEVICES=all"], nodes: NODES, ..POD },
                Untouched("refused"),
            ),
            (
                "a variable that names the same device, one tenant",
                OPEN,
                Made { env: &["AMD_VISIBLE_DEVICES=0"], nodes: NODES, ..POD },
                Given(&["dri/card17", "dri/renderD144", "kfd"]),
            ),
        ],
    );
}

#[test]
fn what_an_engine_has_injected_by_cdi_is_not_injected_again() {
    let Some(host) = hosts::make(&["nvidia-h100-8"]) else { return };
    let root = host.path();
    for annotation in [("cdi.k8s.io/a", GPU0), ("cdi.k8s.io/b", GPU3)] {
        configure(root, OPEN);
        let name = format!("k8s.device-plugin.nvidia.com/gpu={}", annotation.1);
        let mut document = POD.config_json();
        document["annotations"][annotation.0] = json!(name);
        let injected = hosts::start(root, &document).unwrap();
        assert_ne!(injected, document);
        for policy in [SAFE, OPEN, ANNOTATIONS] {
            configure(root, policy);
            assert_eq!(hosts::start(root, &injected).unwrap(), injected, "{policy}");
        }
        let mut mounted = injected.clone();
        let mounts = mounted["mounts"].as_array_mut().unwrap();
        mounts
            .push(json!({"destination": format!("{FOLDER}/{}", annotation.1), "type": "bind", "source": "/dev/null"}));
        configure(root, SAFE);
        assert_eq!(hosts::start(root, &mounted).unwrap(), mounted, "all strategies at once");
    }
}

fn configure(root: &Path, policy: &str) {
    let text = format!(
        "runtimes = [\"/bin/true\"]\n[log]\nsyslog = false\nfile = {:?}\n[cdi]\nspec-dirs = []\n[host]\nroot = {root:?}\n{policy}",
        root.join("log")
    );
    fs::write(root.join("gpu-runc.toml"), text).unwrap();
}

fn check(machine: &str, rows: &[(&str, &str, Made, Becomes)]) {
    let Some(host) = hosts::make(&[machine]) else { return };
    let failures: Vec<_> = rows
        .iter()
        .filter_map(|(name, policy, made, becomes)| {
            configure(host.path(), policy);
            Some(format!("{name}: {}", row(host.path(), &made.config_json(), becomes).err()?))
        })
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn row(root: &Path, before: &Value, becomes: &Becomes) -> Result<(), String> {
    let log = root.join("log");
    let _ = fs::remove_file(&log);
    let after = hosts::start(root, before);
    let said = fs::read_to_string(&log).unwrap_or_default();
    match (becomes, after) {
        (Refused(words), Err(error)) if error.contains(words) && said.contains(words) => Ok(()),
        (Refused(_), other) => Err(format!("became {other:?}, and the log says {said}")),
        (_, Err(error)) => Err(error),
        (Untouched(words), Ok(after))
            if after == *before && said.contains(words) && words.is_empty() == said.is_empty() =>
        {
            Ok(())
        }
        (Untouched(_), Ok(after)) => Err(format!("became {after}, and the log says {said}")),
        (Given(nodes), Ok(after)) => given(nodes, &after).and_then(|()| {
            let inode = || fs::metadata(root.join("config.json")).unwrap().ino();
            let again = hosts::start(root, &after);
            let untouched = inode();
            if again.as_ref() == Ok(&after) && inode() == untouched { Ok(()) } else { Err(format!("again: {again:?}")) }
        }),
    }
}

/// Whether `after` has these nodes, and nothing twice.
fn given(nodes: &[&str], after: &Value) -> Result<(), String> {
    let has = hosts::paths(after, "/linux/devices", "path");
    let mut has: Vec<_> = has.iter().filter_map(|path| path.strip_prefix("/dev/")).collect();
    has.retain(|node| !node.contains("by-path"));
    has.sort_unstable();
    if has != nodes {
        return Err(format!("has {has:?}"));
    }
    for (list, key) in [
        ("/linux/devices", "/path"),
        ("/linux/resources/devices", ""),
        ("/mounts", "/destination"),
        ("/process/env", ""),
    ] {
        let entries: Vec<String> = after
            .pointer(list)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.pointer(key).map(Value::to_string))
            .collect();
        if entries.iter().collect::<BTreeSet<_>>().len() != entries.len() {
            return Err(format!("has something twice in {list}: {entries:?}"));
        }
    }
    Ok(())
}
