//! Injection: CDI devices applied to a config.json, as conformance cases of our own.
//!
//! Expectations are those of the Go CDI library, except where a case says how and why we differ.

use std::fs;
use std::path::Path;

use gpu_runc::cdi::{ContainerEdits, Device, Kind, QualifiedName, Registry, Spec};
use gpu_runc::host::Host;
use gpu_runc::host::node::{self, Completed};
use gpu_runc::oci;
use gpu_runc::oci::apply::Changes;
use gpu_runc::oci::devices::Routes;
use gpu_runc::request::{Ask, Options, Request, Source, Want};
use gpu_runc::resolve;
use gpu_runc::vendor::Vendors;
use serde_json::{Value, json};

/// Injects the devices `asked` of the given spec files (each an object with `devices` and perhaps `containerEdits`) into
/// `config`, which is laid over a minimal one.
fn inject(specs: &[Value], asked: &[&str], config: &Value) -> Result<Value, String> {
    let dir = tempfile::tempdir().unwrap();
    for (number, spec) in specs.iter().enumerate() {
        let mut whole = json!({"cdiVersion": "1.1.0", "kind": "acme.example/npu"});
        whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        fs::write(dir.path().join(format!("{number}.json")), whole.to_string()).unwrap();
    }
    let mut base = json!({"ociVersion": "1.2.0", "process": {"user": {"uid": 0, "gid": 0}, "args": ["x"], "cwd": "/"},
                          "root": {"path": "rootfs"}, "linux": {}});
    base.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    inject_into(&base.to_string(), dir.path(), asked).map(|text| serde_json::from_str(&text).unwrap())
}

fn inject_into(text: &str, dir: &Path, asked: &[&str]) -> Result<String, String> {
    let names: Vec<QualifiedName> = asked.iter().map(|name| name.parse().unwrap()).collect();
    let asks = if names.is_empty() {
        vec![]
    } else {
        let want = Want::Names(names);
        vec![Ask { source: Source::CommandLine, want, options: Options::default(), beside: None }]
    };
    let request = Request { asks, ..Request::default() };
    let dirs = [dir.to_owned()];
    let wanted = resolve::Wanted::of(&request);
    let mut registry = Registry::load(&dirs, &|kind, device| wanted.has(kind, device));
    let resolution = resolve::resolve(&request, &registry, &mut resolve::first).map_err(|missing| {
        missing.explained(&Registry::load_all(&dirs), &dirs, Vec::new(), Vendors::known()).to_string()
    })?;
    let mut edits = resolution.edits(&mut registry);
    for device_node in &mut edits.device_nodes {
        let completed = node::complete(device_node, &Host::open(Path::new("/")).unwrap());
        if completed.map_err(|error| error.to_string())? == Completed::Absent && !device_node.is_whole() {
            return Err(format!("{} is not found", device_node.on_host()));
        }
    }
    let apply = |text: &str| {
        let spec = oci::Spec::parse(text, Path::new("config.json")).unwrap();
        let changes = Changes { edits: &edits, routes: &Routes::new(), replaced_hooks: &[], unified: &[] };
        spec.apply(&changes).map_err(|error| error.to_string()).map(|after| after.unwrap_or_else(|| text.to_owned()))
    };
    let once = apply(text)?;
    assert_eq!(apply(&once)?, once, "applying twice equals applying once");
    Ok(once)
}

fn one(edits: Value) -> Vec<Value> {
    vec![json!({"devices": [{"name": "n0", "containerEdits": edits}]})]
}

const N0: &[&str] = &["acme.example/npu=n0"];

#[test]
fn edits_land_where_the_go_library_puts_them() {
    let two = json!({"devices": [{"name": "n0", "containerEdits": {"env": ["A=0"]}}, {"name": "n1", "containerEdits": {"env": ["B=1"]}}],
                     "containerEdits": {"hooks": [{"hookName": "createContainer", "path": "/opt/g"}]}});
    let all_hooks: Vec<Value> =
        STAGES.iter().map(|stage| json!({"hookName": stage, "path": format!("/h/{stage}")})).collect();
    let in_all_stages: serde_json::Map<String, Value> =
        STAGES.iter().map(|stage| ((*stage).to_owned(), json!([{"path": format!("/h/{stage}")}]))).collect();
    let both = &["acme.example/npu=n0", "acme.example/npu=n1"];
    let from_host = json!({"path": "/dev/npu0", "hostPath": "/dev/null"});
    for (what, specs, asked, config, expected) in [
        ("env is added to none", one(json!({"env": ["NPU=3"]})), N0, json!({}), json!({"/process/env": ["NPU=3"]})),
        (
            "env is replaced where it stands",
            one(json!({"env": ["NPU=3", "LIB=/x"]})),
            N0,
            json!({"process": {"env": ["NPU=1", "HOME=/"]}}),
            json!({"/process/env": ["NPU=3", "HOME=/", "LIB=/x"]}),
        ),
        (
            "an edited variable is there once (Go leaves the earlier ones)",
            one(json!({"env": ["NPU=3"]})),
            N0,
            json!({"process": {"env": ["NPU=1", "A", "NPU=2"]}}),
            json!({"/process/env": ["A", "NPU=3"]}),
        ),
        (
            "the file's edits come before the device's",
            vec![
                json!({"devices": [{"name": "n0", "containerEdits": {"env": ["A=dev"]}}], "containerEdits": {"env": ["A=glob", "B=glob"]}}),
            ],
            N0,
            json!({}),
            json!({"/process/env": ["A=dev", "B=glob"]}),
        ),
        (
            "the file's edits count once for two devices",
            vec![two],
            both,
            json!({}),
            json!({"/hooks/createContainer": [{"path": "/opt/g"}], "/process/env": ["A=0", "B=1"]}),
        ),
        (
            "a device asked for twice is given once",
            one(json!({"hooks": [{"hookName": "poststop", "path": "/p"}]})),
            &["acme.example/npu=n0", "acme.example/npu=n0"],
            json!({}),
            json!({"/hooks/poststop": [{"path": "/p"}]}),
        ),
        (
            "a node is completed from the host",
            one(json!({"deviceNodes": [from_host]})),
            N0,
            json!({}),
            json!({"/linux/devices": [{"path": "/dev/npu0", "type": "c", "major": 1, "minor": 3, "fileMode": 438}],
                "/linux/resources/devices": [{"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwm"}]}),
        ),
        (
            "what is at a place several times is there once",
            one(
                json!({"deviceNodes": [{"path": "/dev/a", "type": "c", "major": 9, "minor": 1}], "mounts": [{"hostPath": "/h", "containerPath": "/c"}]}),
            ),
            N0,
            json!({"linux": {"devices": [{"path": "/dev/a", "type": "b"}, {"path": "/dev/a", "type": "p"}]},
                   "mounts": [{"destination": "/c", "source": "/1"}, {"destination": "/c", "source": "/2"}, {"destination": "/c/d"}]}),
            json!({"/linux/devices": [{"path": "/dev/a", "type": "c", "major": 9, "minor": 1}],
                   "/mounts": [{"destination": "/c", "source": "/h"}, {"destination": "/c/d"}]}),
        ),
        (
            "of several edits at one place the last counts",
            one(
                json!({"deviceNodes": [{"path": "/dev/a", "type": "c", "major": 9, "minor": 1}, {"path": "/dev/a", "type": "c", "major": 9, "minor": 2},
                                       {"path": "/dev/b", "type": "c", "major": 9, "minor": 3}]}),
            ),
            N0,
            json!({}),
            json!({"/linux/devices": [{"path": "/dev/a", "type": "c", "major": 9, "minor": 2}, {"path": "/dev/b", "type": "c", "major": 9, "minor": 3}],
                   "/linux/resources/devices": [{"allow": true, "type": "c", "major": 9, "minor": 2, "access": "rwm"},
                                                {"allow": true, "type": "c", "major": 9, "minor": 3, "access": "rwm"}]}),
        ),
        (
            "a complete node needs none on the host",
            one(
                json!({"deviceNodes": [{"path": "/dev/absent-npu", "type": "c", "major": 240, "minor": 5, "permissions": "rw"}]}),
            ),
            N0,
            json!({}),
            json!({"/linux/devices": [{"path": "/dev/absent-npu", "type": "c", "major": 240, "minor": 5}],
                "/linux/resources/devices": [{"allow": true, "type": "c", "major": 240, "minor": 5, "access": "rw"}]}),
        ),
        (
            "an owner is the process's user unless given",
            one(json!({"deviceNodes": [{"path": "/dev/n", "hostPath": "/dev/full", "gid": 0}]})),
            N0,
            json!({"process": {"user": {"uid": 1200, "gid": 1300}}}),
            json!({"/linux/devices": [{"path": "/dev/n", "type": "c", "major": 1, "minor": 7, "fileMode": 438, "uid": 1200, "gid": 0}]}),
        ),
        (
            "permissions none is a rule without access",
            one(
                json!({"deviceNodes": [{"path": "/dev/n", "type": "c", "major": 9, "minor": 9, "permissions": "none"}]}),
            ),
            N0,
            json!({}),
            json!({"/linux/resources/devices": [{"allow": true, "type": "c", "major": 9, "minor": 9}]}),
        ),
        (
            "a pipe has no rule",
            one(json!({"deviceNodes": [{"path": "/dev/n", "type": "p"}]})),
            N0,
            json!({}),
            json!({"/linux/devices": [{"path": "/dev/n", "type": "p", "major": 0, "minor": 0}], "/linux/resources": null}),
        ),
        (
            "another device at the path is replaced and comes last",
            one(json!({"deviceNodes": [{"path": "/dev/k", "type": "c", "major": 9, "minor": 1}]})),
            N0,
            json!({"linux": {"devices": [{"path": "/dev/k", "type": "c", "major": 1, "minor": 1}, {"path": "/dev/m", "type": "c", "major": 2, "minor": 2}]}}),
            json!({"/linux/devices": [{"path": "/dev/m", "type": "c", "major": 2, "minor": 2}, {"path": "/dev/k", "type": "c", "major": 9, "minor": 1}]}),
        ),
        (
            "a rule that a later one takes away is given again",
            one(json!({"deviceNodes": [{"path": "/dev/k", "type": "c", "major": 9, "minor": 1}]})),
            N0,
            json!({"linux": {"resources": {"devices": [{"allow": true, "type": "c", "major": 9, "minor": 1, "access": "rwm"}, {"allow": false, "access": "rwm"}]}}}),
            json!({"/linux/resources/devices/2": {"allow": true, "type": "c", "major": 9, "minor": 1, "access": "rwm"}}),
        ),
        (
            "mounts come after the user's, by depth (Go sorts the user's too)",
            one(
                json!({"mounts": [{"hostPath": "/h/1", "containerPath": "/x/y/z", "options": ["ro", "bind"]}, {"hostPath": "/h/2", "containerPath": "/w"}]}),
            ),
            N0,
            json!({"mounts": [{"destination": "/p/q"}, {"destination": "/proc"}, {"destination": "/a/b"}]}),
            json!({"/mounts": [{"destination": "/p/q"}, {"destination": "/proc"}, {"destination": "/a/b"}, {"destination": "/w", "source": "/h/2"},
                            {"destination": "/x/y/z", "source": "/h/1", "options": ["ro", "bind"]}]}),
        ),
        (
            "a mount goes in front of what it would hide",
            one(json!({"mounts": [{"hostPath": "/h", "containerPath": "/data/"}]})),
            N0,
            json!({"mounts": [{"destination": "/proc"}, {"destination": "/data/mine"}, {"destination": "/database"}]}),
            json!({"/mounts/1/source": "/h", "/mounts/2/destination": "/data/mine"}),
        ),
        (
            "a mount at the same place is replaced",
            one(json!({"mounts": [{"hostPath": "/h", "containerPath": "/etc/npu", "options": ["rbind"]}]})),
            N0,
            json!({"mounts": [{"destination": "/etc/npu", "source": "/old"}, {"destination": "/sys"}]}),
            json!({"/mounts": [{"destination": "/sys"}, {"destination": "/etc/npu", "source": "/h", "options": ["rbind"]}]}),
        ),
        (
            "a mount at the same place, written otherwise, lies upon the user's",
            one(json!({"mounts": [{"hostPath": "/h", "containerPath": "/etc/npu"}]})),
            N0,
            json!({"mounts": [{"destination": "/etc/./npu/", "source": "/old"}, {"destination": "/etc/npu/x"}]}),
            json!({"/mounts/0/source": "/old", "/mounts/1": {"destination": "/etc/npu", "source": "/h"}, "/mounts/2/destination": "/etc/npu/x"}),
        ),
        (
            "hooks land in their own lists",
            one(json!({"hooks": all_hooks})),
            N0,
            json!({}),
            json!({"/hooks": in_all_stages}),
        ),
        (
            "a hook follows those that are there, with all its fields",
            one(
                json!({"hooks": [{"hookName": "poststop", "path": "/n", "args": ["n", "-q"], "env": ["K=V"], "timeout": 7}]}),
            ),
            N0,
            json!({"hooks": {"poststop": [{"path": "/o"}]}}),
            json!({"/hooks/poststop": [{"path": "/o"}, {"path": "/n", "args": ["n", "-q"], "env": ["K=V"], "timeout": 7}]}),
        ),
        (
            "a hook that is there already is not doubled (Go doubles it)",
            one(json!({"hooks": [{"hookName": "poststop", "path": "/n"}]})),
            N0,
            json!({"hooks": {"poststop": [{"path": "/n"}]}}),
            json!({"/hooks/poststop": [{"path": "/n"}]}),
        ),
        (
            "gids: no zero, no doubles, in order",
            one(json!({"additionalGids": [0, 44, 9, 44, 5]})),
            N0,
            json!({"process": {"user": {"uid": 0, "gid": 0, "additionalGids": [5]}}}),
            json!({"/process/user/additionalGids": [5, 44, 9]}),
        ),
        ("nothing asked changes nothing", one(json!({"env": ["A=1"]})), &[], json!({}), json!({"/process/env": null})),
        (
            "a net device is keyed by its name on the host",
            one(json!({"netDevices": [{"hostInterfaceName": "ib3", "name": "rdma0"}]})),
            N0,
            json!({"linux": {"netDevices": {"ib1": {"name": "keep"}}}}),
            json!({"/linux/netDevices": {"ib1": {"name": "keep"}, "ib3": {"name": "rdma0"}}}),
        ),
        (
            "a resource class replaces the one there",
            one(json!({"intelRdt": {"closID": "new", "schemata": ["L3:0=f"], "enableMonitoring": true}})),
            N0,
            json!({"linux": {"intelRdt": {"closID": "old", "memBwSchema": "MB"}}}),
            json!({"/linux/intelRdt": {"closID": "new", "schemata": ["L3:0=f"], "enableMonitoring": true}}),
        ),
        (
            "no mount into a user namespace maps ids unless its CDI spec says so",
            one(
                json!({"mounts": [{"hostPath": "/h", "containerPath": "/c", "options": ["ro", "bind"]}, {"hostPath": "/i", "containerPath": "/d", "options": ["rbind"]},
                               {"hostPath": "/j", "containerPath": "/e"}, {"hostPath": "/k", "containerPath": "/f", "options": ["bind", "ridmap"]}]}),
            ),
            N0,
            json!({"linux": {"namespaces": [{"type": "user"}]}}),
            json!({"/mounts": [{"destination": "/c", "source": "/h", "options": ["ro", "bind"]}, {"destination": "/d", "source": "/i", "options": ["rbind"]},
                            {"destination": "/e", "source": "/j"}, {"destination": "/f", "source": "/k", "options": ["bind", "ridmap"]}]}),
        ),
    ] {
        let after = inject(&specs, asked, &config).unwrap_or_else(|error| panic!("{what}: {error}"));
        for (pointer, wanted) in expected.as_object().unwrap() {
            assert_eq!(after.pointer(pointer).unwrap_or(&Value::Null), wanted, "{what}: {pointer}");
        }
    }
}

const STAGES: [&str; 6] = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

#[test]
fn what_cannot_be_injected_is_an_error_and_changes_nothing() {
    for (what, edits, asked, message) in [
        (
            "a missing host node",
            json!({"deviceNodes": [{"path": "/dev/absent-npu"}]}),
            N0,
            "/dev/absent-npu is not found",
        ),
        (
            "another type on the host",
            json!({"deviceNodes": [{"path": "/dev/n", "hostPath": "/dev/zero", "type": "b"}]}),
            N0,
            "CDI device (\"/dev/n\", \"/dev/zero\"), host type mismatch (b, c)",
        ),
        (
            "names that nobody has, in the order of the request",
            json!({"env": ["A=1"]}),
            &["acme.example/npu=zz", "acme.example/npu=n0", "other.example/x=y"],
            "unresolvable CDI devices acme.example/npu=zz, other.example/x=y (asked for by",
        ),
    ] {
        let error = inject(&one(edits), asked, &json!({})).unwrap_err();
        assert!(error.contains(message), "{what}: {error}");
    }
}

#[test]
fn a_device_linked_to_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("npu");
    std::os::unix::fs::symlink("/dev/null", &link).unwrap();
    let error =
        inject(&one(json!({"deviceNodes": [{"path": "/dev/n", "hostPath": link}]})), N0, &json!({})).unwrap_err();
    assert!(error.contains("a symbolic link"), "{error}");
}

/// The next number of a fixed sequence (xorshift64*), so that a failing case can be had again.
fn next(state: &mut u64) -> u64 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    state.wrapping_mul(0x2545_F491_4F6C_DD1D)
}

/// A JSON text of every shape, with spellings that a parser would not give back.
fn odd_json(state: &mut u64, depth: usize, out: &mut String) {
    let blanks = ["", "", " ", "\n\t"];
    out.push_str(blanks[next(state) as usize % 4]);
    match next(state) % if depth == 0 { 8 } else { 11 } {
        0 => out.push_str("null"),
        1 => out.push_str("true"),
        2 => out.push_str("-0"),
        3 => out.push_str("1E400"),
        4 => out.push_str("18446744073709551616.50"),
        5 => out.push_str(r#""\ud800\u0000\/""#),
        6 => out.push_str("\"é\u{2028}\""),
        7 => out.push_str("[]"),
        8 => {
            out.push('[');
            for i in 0..next(state) % 4 {
                out.push_str(if i == 0 { "" } else { " ," });
                odd_json(state, depth - 1, out);
            }
            out.push(']');
        }
        _ => {
            out.push('{');
            for i in 0..next(state) % 4 {
                out.push_str(if i == 0 { "" } else { "," });
                out.push_str(&format!("\"m\\u006{}\" :", next(state) % 10));
                odd_json(state, depth - 1, out);
            }
            out.push('}');
        }
    }
    out.push_str(blanks[next(state) as usize % 4]);
}

#[test]
fn whatever_is_not_edited_keeps_its_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let edits = json!({"env": ["NPU=3"], "deviceNodes": [{"path": "/dev/n", "hostPath": "/dev/null"}], "hooks": [{"hookName": "poststop", "path": "/p"}],
                       "mounts": [{"hostPath": "/h", "containerPath": "/c"}], "additionalGids": [7], "netDevices": [{"hostInterfaceName": "ib0", "name": "x"}]});
    let spec = json!({"cdiVersion": "1.1.0", "kind": "acme.example/npu", "devices": [{"name": "n0", "containerEdits": edits}]});
    fs::write(dir.path().join("0.json"), spec.to_string()).unwrap();
    let mut state = 42;
    for round in 0..300 {
        let mut odd = || {
            let mut text = String::new();
            odd_json(&mut state, 4, &mut text);
            text
        };
        let unknown: Vec<String> = (0..8).map(|_| odd()).collect();
        let text = format!(
            "{{ \"a\":{},\"process\" : {{\"b\":{},\"env\":[\"\\u0041=1\" , \"X\"],\"user\":{{\"c\":{},\"uid\":0}},\"d\":{}}},\"mounts\":[{{\"e\":{}}}],\"linux\":{{\"f\":{}}},\"hooks\":{{\"g\":{}}},\"h\":{}}}\n",
            unknown[0], unknown[1], unknown[2], unknown[3], unknown[4], unknown[5], unknown[6], unknown[7]
        );
        let after = inject_into(&text, dir.path(), N0).unwrap_or_else(|error| panic!("round {round}: {error}\n{text}"));
        let mut rest = after.as_str();
        for part in &unknown {
            let (_, found) =
                rest.split_once(part.trim()).unwrap_or_else(|| panic!("round {round}: {part} is gone from\n{after}"));
            rest = found;
        }
        assert!(after.contains("\"\\u0041=1\"") && after.contains("\"NPU=3\""), "round {round}: {after}");
    }
}

#[test]
fn a_configuration_of_ten_megabytes_is_edited() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("0.json"), json!({"cdiVersion": "1.1.0", "kind": "acme.example/npu", "devices": one(json!({"env": ["NPU=3"]}))[0]["devices"]}).to_string()).unwrap();
    let entries: Vec<String> = (0..100_000).map(|i| format!("VARIABLE_{i}={}", "x".repeat(80))).collect();
    let text = json!({"process": {"env": entries}, "zz": "y".repeat(1 << 20)}).to_string();
    assert!(text.len() > 10_000_000);
    let after = inject_into(&text, dir.path(), N0).unwrap();
    assert_eq!(after.len(), text.len() + ",\"NPU=3\"".len());
}

#[test]
fn specs_made_in_memory_resolve_like_files() {
    let kind: Kind = "acme.example/npu".parse().unwrap();
    let edits = ContainerEdits { env: vec!["A=b".to_owned()], ..ContainerEdits::default() };
    let device = Device { name: "n0".to_owned(), annotations: Default::default(), container_edits: edits.clone() };
    let spec = Spec {
        cdi_version: "0.5.0".to_owned(),
        kind: kind.clone(),
        annotations: Default::default(),
        devices: vec![device],
        container_edits: ContainerEdits::default(),
    };
    let mut registry = Registry::default();
    registry.add(spec, "made in memory");
    let want = Want::Names(vec![kind.device("n0").unwrap()]);
    let ask = Ask { source: Source::CommandLine, want, options: Options::default(), beside: None };
    let resolution =
        resolve::resolve(&Request { asks: vec![ask], ..Request::default() }, &registry, &mut resolve::first).unwrap();
    assert_eq!(resolution.edits(&mut registry), edits);
}
