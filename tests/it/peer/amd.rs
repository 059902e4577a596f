//! AMD's runtime on the fake hosts with its GPUs: the same containers through both.
//!
//! It looks at the machine's own `/sys` and `/dev` only, so it runs in a root that is the host; ours looks at the host from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use gpu_runc::cdi::{self, ContainerEdits, Device, Spec};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::bundle::{Outcome, config, with};
use super::difference::{Intended, Kind, Sight, compare, gives_no_node};
use super::written::untouched;
use super::{inside, peer};
use crate::hosts;
use crate::scratch::{program_on_path, skip, succeed};

/// Versions: AMD Container Toolkit 1.3.
const INTENDED: &[Intended] = &[
    Intended {
        name: "devices that are not there",
        why: "a container does not start without a device that it was meant to have",
        kind: Kind::OursRefuses("unresolvable CDI devices amd.com/gpu="),
    },
    Intended {
        name: "kernels that name no domain",
        why: "a topology without domains is one of an old kernel, whose GPUs are in domain 0",
        kind: Kind::Asking(gives_no_node),
    },
    Intended {
        name: "partitions by their other name",
        why: "kernels have called partitions amdgpu_xcp_0 and amdgpu_xcp.1; the peer looks for the first only",
        kind: Kind::Asking(|theirs, _| {
            let has = |document: &Value, path: &str| document["linux"]["devices"].to_string().contains(path);
            theirs.as_ref().is_ok_and(|theirs| !has(theirs, "/dev/dri/renderD131"))
        }),
    },
    Intended {
        name: "the tracker",
        why: "gpu-runc counts no containers, so there is nothing to be told when one ends",
        kind: Kind::Rewrite(tracker),
    },
    Intended {
        name: "untouched members",
        why: "what nobody asked to change stays as it was written",
        kind: Kind::Rewrite(untouched),
    },
    Intended {
        name: "owners",
        why: "a node belongs to the container's user, as CDI has it, and to root only where that is root",
        kind: Kind::Rewrite(owners),
    },
    Intended { name: "nodes once", why: "a device that is named twice is one device", kind: Kind::Rewrite(nodes_once) },
    Intended {
        name: "the order of nodes",
        why: "no runtime minds it, nor that of rules that allow",
        kind: Kind::Rewrite(order),
    },
    Intended {
        name: "groups",
        why: "a program that is not root can open a node of a group only as a member of the group",
        kind: Kind::Rewrite(groups),
    },
];

fn tracker(theirs: &mut Value, _: &Sight<'_>) -> bool {
    let release =
        json!({"poststop": [{"path": "/usr/local/bin/amd-ctk", "args": ["amd-ctk", "gpu-tracker", "release", "c"]}]});
    let is_there = theirs["hooks"] == release;
    if is_there {
        theirs.as_object_mut().unwrap().remove("hooks");
    }
    is_there
}

fn list<'a>(document: &'a mut Value, path: &str) -> Option<&'a mut Vec<Value>> {
    document.pointer_mut(path).and_then(Value::as_array_mut)
}

fn owners(theirs: &mut Value, sight: &Sight<'_>) -> bool {
    let user = sight.before["process"]["user"].clone();
    let Some(nodes) = list(theirs, "/linux/devices") else { return false };
    for node in nodes.iter_mut().filter(|node| node["uid"] == 0) {
        match user["uid"].as_u64() {
            Some(0) => drop(node.as_object_mut().unwrap().remove("uid")),
            _ => node["uid"] = user["uid"].clone(),
        }
    }
    true
}

fn nodes_once(theirs: &mut Value, _: &Sight<'_>) -> bool {
    let mut changed = false;
    for list in ["/linux/devices", "/linux/resources/devices"] {
        let Some(list) = self::list(theirs, list) else { continue };
        let mut kept: Vec<Value> = Vec::new();
        for entry in list.iter() {
            if !kept.contains(entry) {
                kept.push(entry.clone());
            }
        }
        changed |= kept.len() != list.len();
        *list = kept;
    }
    changed
}

/// The same entries in our order; of the rules, the one that denies stays first.
fn order(theirs: &mut Value, sight: &Sight<'_>) -> bool {
    let mut changed = false;
    for list in ["/linux/devices", "/linux/resources/devices"] {
        let Some(ours) = sight.ours.pointer(list).and_then(Value::as_array) else { continue };
        let Some(list) = self::list(theirs, list) else { continue };
        let is_same = list.len() == ours.len() && ours.iter().all(|entry| list.contains(entry));
        if is_same && list != ours && (ours[0] == list[0] || ours[0].get("path").is_some()) {
            list.clone_from(ours);
            changed = true;
        }
    }
    changed
}

/// The groups of all nodes that not everybody may use, in any order.
fn groups(theirs: &mut Value, sight: &Sight<'_>) -> bool {
    let is_closed = |node: &&Value| node["fileMode"].as_u64().unwrap() & 0o006 != 0o006;
    let Some(nodes) = list(theirs, "/linux/devices") else { return false };
    let wanted: BTreeSet<u64> = nodes.iter().filter(is_closed).filter_map(|node| node["gid"].as_u64()).collect();
    let ours = &sight.ours["process"]["user"]["additionalGids"];
    let given: BTreeSet<u64> = ours.as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
    let is_so = wanted == given && !given.is_empty();
    if is_so {
        theirs["process"]["user"]["additionalGids"] = ours.clone();
    }
    is_so
}

/// The folders of PCI devices that have DRM nodes, at `folder` or one below.
fn devices_below(folder: &Path) -> Vec<PathBuf> {
    let list = |folder: &Path| {
        fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect::<Vec<_>>()
    };
    let is_gpu =
        |path: &PathBuf| path.join("drm").is_dir() && path.file_name().unwrap().to_str().unwrap().contains(':');
    let here = list(folder);
    here.iter().flat_map(|path| list(path)).chain(here.clone()).filter(is_gpu).collect()
}

/// The host `name`, in which AMD's `program` can run: its driver's folder, a shell, and a low-level runtime that does nothing.
fn host(name: &str, program: &Path, busybox: &Path) -> Option<TempDir> {
    let host = hosts::make(&[name])?;
    let root = host.path();
    let driver = root.join("sys/module/amdgpu/drivers/pci:amdgpu");
    fs::create_dir_all(&driver).unwrap();
    for bus in ["sys/bus/pci/devices", "sys/devices"].map(|bus| root.join(bus)) {
        for device in devices_below(&bus) {
            let name = device.file_name().unwrap();
            symlink(Path::new("/").join(device.strip_prefix(root).unwrap()), driver.join(name)).unwrap();
        }
    }
    inside::put(root, program, busybox);
    hosts::configure(root, "");
    Some(host)
}

/// What AMD's runtime makes of `config` in the root that is the host.
fn theirs(root: &Path, config: &Value) -> Outcome {
    hosts::put(root, "bundle/config.json", &config.to_string());
    let _ = fs::remove_file(root.join("var/log/gpu-tracker.json"));
    let output =
        inside::command(root, &["amd-container-runtime", "create", "--bundle", "/bundle", "c"]).output().unwrap();
    match output.status.success() {
        true => Ok(serde_json::from_str(&fs::read_to_string(root.join("bundle/config.json")).unwrap()).unwrap()),
        false => Err(fs::read_to_string(root.join("var/log/amd-container-runtime.log")).unwrap_or_default()),
    }
}

#[test]
fn the_same_container_becomes_what_amds_runtime_makes_of_it_but_for_what_is_meant_to_differ() {
    let test = "AMD's runtime beside ours";
    let Some(program) = peer("amd-container-runtime", test) else { return };
    let Some(busybox) = program_on_path("busybox").filter(|_| nix::unistd::geteuid().is_root()) else {
        return skip(test, "needs root and busybox");
    };
    let (mut failures, mut used) = (Vec::new(), BTreeSet::new());
    for (name, variables) in CASES {
        let Some(host) = host(name, &program, &busybox) else { return };
        for (variable, expect) in *variables {
            for uid in [0, 1200] {
                let config = with(
                    config(&[variable]),
                    &json!({"process": {"user": {"uid": uid}}, "domainname": "", "futureMember": 1}),
                );
                let (ours, theirs) = (hosts::start(host.path(), &config), theirs(host.path(), &config));
                if let Err(why) = check(&config, ours, theirs, expect, &mut used) {
                    failures.push(format!("{name}: {variable} as {uid}:\n  {why}"));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{} differ:\n{}", failures.len(), failures.join("\n"));
    let unused: Vec<_> = INTENDED.iter().map(|entry| entry.name).filter(|name| !used.contains(name)).collect();
    assert!(unused.is_empty(), "no case needs {unused:?}: these are no differences");
}

/// How the two answers stand to each other. Names are those of the list.
enum Expect {
    Alike,
    OursRefuses(&'static str),
    OnlyOurs(&'static str),
}

use Expect::{Alike, OnlyOurs, OursRefuses};

const ABSENT: Expect = OursRefuses("devices that are not there");
const PARTITION: Expect = OnlyOurs("partitions by their other name");
const OLD: Expect = OnlyOurs("kernels that name no domain");

/// Hosts, variables, and what is expected.
const CASES: &[(&str, &[(&str, Expect)])] = &[
    (
        "amd-mi300x-8",
        &[
            ("AMD_VISIBLE_DEVICES=0", Alike),
            ("AMD_VISIBLE_DEVICES=7", Alike),
            ("AMD_VISIBLE_DEVICES=all", Alike),
            ("AMD_VISIBLE_DEVICES=ALL", Alike),
            ("AMD_VISIBLE_DEVICES=0,1", Alike),
            ("AMD_VISIBLE_DEVICES=1-2", Alike),
            ("AMD_VISIBLE_DEVICES=3,0", Alike),
            ("AMD_VISIBLE_DEVICES=0-2,1", Alike),
            ("AMD_VISIBLE_DEVICES=0,0", Alike),
            ("AMD_VISIBLE_DEVICES=0x9a00000000000000", Alike),
            ("AMD_VISIBLE_DEVICES=9A00000000000001,3", Alike),
            ("DOCKER_RESOURCE_AMD-GPU=1", Alike),
            ("AMD_VISIBLE_DEVICES=", Alike),
            ("AMD_VISIBLE_DEVICES=none", Alike),
            ("A=b", Alike),
            ("AMD_VISIBLE_DEVICES=9", ABSENT),
            ("AMD_VISIBLE_DEVICES=0,9", ABSENT),
            ("AMD_VISIBLE_DEVICES=x", ABSENT),
        ],
    ),
    (
        "amd-mi300x-cpx-4",
        &[
            ("AMD_VISIBLE_DEVICES=0", Alike),
            ("AMD_VISIBLE_DEVICES=0,1", Alike),
            ("AMD_VISIBLE_DEVICES=1-2", Alike),
            ("AMD_VISIBLE_DEVICES=all", PARTITION),
            ("AMD_VISIBLE_DEVICES=3", PARTITION),
            ("AMD_VISIBLE_DEVICES=9", ABSENT),
        ],
    ),
    (
        "amd-vega-old-kernel-1",
        &[("AMD_VISIBLE_DEVICES=0", OLD), ("AMD_VISIBLE_DEVICES=all", OLD), ("AMD_VISIBLE_DEVICES=1", ABSENT)],
    ),
];

fn check(
    before: &Value,
    ours: Outcome,
    theirs: Outcome,
    expect: &Expect,
    used: &mut BTreeSet<&'static str>,
) -> Result<(), String> {
    let kind = |name: &str| INTENDED.iter().find(|entry| entry.name == name).map(|entry| &entry.kind).unwrap();
    match (expect, ours, theirs) {
        (Alike, Ok(ours), Ok(theirs)) => {
            let sight = Sight { before, ours: &ours, edits: &[], links: &[] };
            let found = compare(theirs, &sight, INTENDED, used);
            if found.is_empty() { Ok(()) } else { Err(found.join("\n  ")) }
        }
        (OursRefuses(name), Err(ours), Ok(_)) => {
            used.insert(name);
            let is_so = matches!(kind(name), Kind::OursRefuses(part) if ours.contains(part));
            if is_so { Ok(()) } else { Err(format!("gpu-runc says {ours}")) }
        }
        (OnlyOurs(name), Ok(ours), theirs) => {
            used.insert(name);
            let is_so = matches!(kind(name), Kind::Asking(holds) if holds(&theirs, before)) && ours != *before;
            if is_so { Ok(()) } else { Err(format!("ours {ours}\n  theirs {theirs:?}")) }
        }
        (_, ours, theirs) => Err(format!("ours {ours:?}\n  theirs {theirs:?}")),
    }
}

/// Each device that `spec` describes, and the paths of the nodes that it brings.
fn described(spec: &Spec) -> BTreeMap<String, BTreeSet<String>> {
    let paths =
        |edits: &ContainerEdits| edits.device_nodes.iter().map(|node| node.path.clone()).collect::<BTreeSet<_>>();
    let of_all = paths(&spec.container_edits);
    let nodes = |device: &Device| paths(&device.container_edits).union(&of_all).cloned().collect();
    spec.devices.iter().map(|device| (device.name.clone(), nodes(device))).collect()
}

#[test]
fn amds_tool_describes_the_same_devices_by_the_same_names() {
    let test = "AMD's tool beside ours";
    let Some(program) = peer("amd-ctk", test) else { return };
    let Some(busybox) = program_on_path("busybox").filter(|_| nix::unistd::geteuid().is_root()) else {
        return skip(test, "needs root and busybox");
    };
    // On the others it does not see all GPUs, as the list above has it.
    let Some(host) = host("amd-mi300x-8", &program, &busybox) else { return };
    succeed(&mut inside::command(host.path(), &["amd-ctk", "cdi", "generate", "--output", "/cdi/theirs.json"]));
    let theirs = cdi::parse(&fs::read_to_string(host.path().join("cdi/theirs.json")).unwrap()).unwrap();
    fs::remove_file(host.path().join("cdi/theirs.json")).unwrap();
    let output = hosts::ctk(host.path(), &["cdi", "generate"]);
    assert!(output.status.success(), "{output:?}");
    let ours = cdi::parse(&fs::read_to_string(host.path().join("cdi/amd.com-gpu.json")).unwrap()).unwrap();
    assert_eq!(ours.kind, theirs.kind);
    let (ours, theirs) = (described(&ours), described(&theirs));
    assert_eq!(theirs.len(), 9, "eight and all: {theirs:?}");
    for (name, nodes) in theirs {
        assert_eq!(ours.get(&name), Some(&nodes), "{name}");
    }
}
