//! Every kind of edit, in every form of file.

use serde_json::{Value, json};

use super::Expect::{OursRefuses, PeerRefuses, Refusal};
use super::{Case, asking_both};
use crate::peer::bundle::{config, with};

const HOOKS: [&str; 6] = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// Edits of one device, of its file, and of both.
pub(super) fn edits() -> Vec<Case> {
    let of_device = |edits: Value| asking_both(edits, json!({}), config(&["N1=no", "OLD=1"]), "1.1.0");
    let node = |more: Value| {
        of_device(json!({"deviceNodes": [with(json!({"path": "/dev/npu0", "hostPath": "/dev/null"}), &more)]}))
    };
    let mount = |more: Value| {
        of_device(json!({"mounts": [with(json!({"hostPath": "HERE/driver/a", "containerPath": "/a"}), &more)]}))
    };
    let whole = json!({"type": "c", "major": 1, "minor": 3});
    let hooks: Vec<Value> = HOOKS
        .iter()
        .map(|stage| json!({"hookName": stage, "path": format!("/h/{stage}"), "args": [stage, "--x"], "env": ["A=b"], "timeout": 7}))
        .collect();
    let hook = json!({"hookName": "poststop", "path": "/h/x"});
    let mut user = config(&[]);
    user["process"]["user"] = json!({"uid": 1200, "gid": 1300, "additionalGids": [5, 44]});
    vec![
        of_device(json!({"env": ["OLD=2", "NEW=a=b", "EMPTY=", "ÜNÏ=\u{1f980}\"\\"]})),
        of_device(json!({"env": ["N=1", "N=2"]})),
        asking_both(
            json!({"env": ["A=device"]}),
            json!({"env": ["A=file", "B=file"]}),
            config(&["A=user", "A=image"]),
            "0.3.0",
        ),
        node(json!({})),
        node(whole.clone()),
        node(json!({"type": "c"})),
        node(json!({"permissions": "r"})),
        node(json!({"permissions": "rwm", "fileMode": 384, "uid": 7, "gid": 8})),
        node(json!({"uid": 0, "gid": 0})),
        node(json!({"fileMode": 0})),
        node(json!({"type": "c", "major": 240, "minor": 5})),
        node(json!({"type": "c", "major": 240, "minor": 5, "hostPath": "/dev/absent-npu"})),
        node(json!({"type": "b", "major": 7, "minor": 1, "hostPath": "/dev/absent-npu"})),
        node(json!({"major": 240, "minor": 5})),
        node(json!({"minor": 5})),
        node(json!({"type": "p", "hostPath": "/dev/absent-npu"})),
        node(json!({"type": "u", "major": 5, "minor": 1, "hostPath": "/dev/absent-npu"})),
        node(json!({"hostPath": "/dev/absent-npu"})).expecting(Refusal),
        node(json!({"hostPath": "/etc/hostname"})).expecting(Refusal),
        node(json!({"type": "b"})).expecting(Refusal),
        node(json!({"permissions": "none"})).expecting(PeerRefuses("devices without access")),
        asking_both(json!({"deviceNodes": [{"path": "/dev/null"}]}), json!({}), user.clone(), "0.3.0"),
        asking_both(json!({"deviceNodes": [{"path": "/dev/null", "gid": 0}]}), json!({}), user.clone(), "0.3.0"),
        of_device(
            json!({"deviceNodes": [{"path": "/dev/a", "hostPath": "/dev/null"}, {"path": "/dev/a", "hostPath": "/dev/zero"}]}),
        ),
        of_device(
            json!({"deviceNodes": [{"path": "/dev/a", "hostPath": "/dev/null"}, {"path": "/dev/b", "hostPath": "/dev/null"}]}),
        ),
        mount(json!({})),
        mount(json!({"type": "bind", "options": ["ro", "rbind"]})),
        mount(json!({"type": "tmpfs", "hostPath": "tmpfs", "options": ["size=64k"]})),
        mount(json!({"containerPath": "/a/./b/../c/"})),
        mount(json!({"options": []})),
        mount(json!({"hostPath": "HERE/driver/absent"})).expecting(OursRefuses("files that are out of date")),
        of_device(
            json!({"mounts": [{"hostPath": "HERE/driver/a", "containerPath": "/z/y/x"}, {"hostPath": "HERE/driver/b", "containerPath": "/z"}, {"hostPath": "HERE/driver/b", "containerPath": "/z/y"}]}),
        ),
        of_device(
            json!({"mounts": [{"hostPath": "HERE/driver/a", "containerPath": "/z"}, {"hostPath": "HERE/driver/b", "containerPath": "/z"}]}),
        ),
        of_device(json!({"hooks": hooks})),
        of_device(json!({"hooks": [hook, hook]})),
        of_device(json!({"intelRdt": {"closID": "c", "l3CacheSchema": "L3:0=f", "memBwSchema": "MB:0=20"}})),
        of_device(json!({"intelRdt": {"schemata": ["L3:0=f"], "enableMonitoring": true}})),
        asking_both(
            json!({"intelRdt": {"closID": "device"}}),
            json!({"intelRdt": {"l3CacheSchema": "L3:0=f"}}),
            config(&[]),
            "0.7.0",
        ),
        of_device(json!({"additionalGids": [0, 44, 5, 44]})),
        asking_both(json!({"additionalGids": [5, 109]}), json!({"additionalGids": [109, 7]}), user, "0.7.0"),
        of_device(
            json!({"netDevices": [{"hostInterfaceName": "ib0", "name": "rdma0"}, {"hostInterfaceName": "ib1", "name": "rdma1"}]}),
        ),
    ]
}

/// Hooks of the driver, which gpu-runc does itself, and those that it does not.
pub(super) fn hooks() -> Vec<Case> {
    let hook = |args: &[&str]| {
        let args = [&["nvidia-cdi-hook"], args].concat();
        json!({"hookName": "createContainer", "path": "/usr/bin/nvidia-cdi-hook", "args": args, "env": ["NVIDIA_CTK_DEBUG=false"]})
    };
    let with_hooks = |hooks: &[Value]| {
        let library = json!([{"hostPath": "HERE/driver/libcuda.so.1.1", "containerPath": "/usr/lib/libcuda.so.1.1", "options": ["ro", "rbind"]}]);
        let nodes = json!([{"path": "/dev/dri/card1", "hostPath": "/dev/null"}]);
        asking_both(
            json!({"env": ["A=b"]}),
            json!({"mounts": library, "deviceNodes": nodes, "hooks": hooks}),
            config(&[]),
            "0.5.0",
        )
    };
    let links = hook(&[
        "create-symlinks",
        "--link",
        "libcuda.so.1.1::/usr/lib/libcuda.so.1",
        "--link",
        "libcuda.so.1::/usr/lib/libcuda.so",
    ]);
    vec![
        with_hooks(std::slice::from_ref(&links)),
        with_hooks(&[links, hook(&["update-ldcache", "--folder", "/usr/lib"])]),
        with_hooks(&[hook(&["create-symlinks", "--link", "../card1::/dev/dri/by-path/pci-0000:01:00.0-card"])]),
        with_hooks(&[hook(&["chmod", "--mode", "755", "--path", "/dev/dri"])]),
        with_hooks(&[hook(&["enable-cuda-compat", "--host-driver-version", "550.54.15"])]),
        with_hooks(&[hook(&["hook-of-the-future", "--x", "y"])]),
        with_hooks(&[
            json!({"hookName": "createRuntime", "path": "/usr/bin/nvidia-cdi-hook", "args": ["nvidia-cdi-hook", "update-ldcache"]}),
        ]),
    ]
}

/// Files of every version, in JSON and YAML, sound and not.
pub(super) fn versions() -> Vec<Case> {
    let document = |_: ()| with(config(&[]), &json!({"annotations": {"cdi.k8s.io/x": "acme.example/npu=n0"}}));
    let in_file = |name: &str, text: &str| {
        let mut case = Case::new(format!("{name}: {text}"), document(()));
        case.container.cdi = vec![(name.to_owned(), text.to_owned())];
        case
    };
    let of_version = |version: &str, more: &str| {
        in_file(
            "a.json",
            &format!(
                r#"{{"cdiVersion":"{version}","kind":"acme.example/npu",{more}"devices":[{{"name":"n0","containerEdits":{{"env":["N=0"]}}}}]}}"#
            ),
        )
    };
    let yaml = |edits: &str| {
        in_file(
            "a.yaml",
            &format!("cdiVersion: \"0.5.0\"\nkind: acme.example/npu\ndevices:\n- name: n0\n  containerEdits:\n{edits}"),
        )
    };
    let mut cases: Vec<Case> = ["0.3.0", "0.4.0", "0.5.0", "0.6.0", "0.7.0", "0.8.0", "1.0.0", "1.1.0", "v1.0.0"]
        .iter()
        .map(|version| of_version(version, ""))
        .collect();
    for refused in ["0.2.0", "1.2.0", "0.6", ""] {
        cases.push(of_version(refused, "").expecting(Refusal));
    }
    let good = r#"{"cdiVersion":"0.3.0","kind":"acme.example/npu","devices":[{"name":"n0","containerEdits":{"env":["N=good"]}}]}"#;
    cases.extend([
        of_version("0.6.0", r#""annotations":{"site":"lab"},"#),
        of_version("0.5.0", r#""annotations":{"site":"lab"},"#).expecting(Refusal),
        of_version("1.0.0", r#""unknown":1,"#).expecting(Refusal),
        of_version("1.0.0", r#""containerEdits":{"env":["NO"]},"#).expecting(Refusal),
        yaml("    env: [A=1, \"B=x y\"]\n    deviceNodes:\n    - {path: /dev/x, hostPath: /dev/null, permissions: rw, fileMode: 0o600}\n"),
        yaml("    deviceNodes:\n    - path: /dev/x\n      hostPath: /dev/null\n      fileMode: 0640\n"),
        yaml("    env:\n    - 'A=it''s'\n    - >-\n      B=folded\n      text\n    mounts: []\n"),
        yaml("    hooks:\n    - hookName: poststop\n      path: /h\n      args: [h, &a x, *a]\n      timeout: 3\n"),
        yaml("    env: A=1\n").expecting(Refusal),
        yaml("\tenv: [A=1]\n").expecting(Refusal),
        in_file("a.yml", good).expecting(Refusal),
        in_file("a.json", good).having("b.json", good.replace("good", "other")).expecting(Refusal),
        in_file("a.json", good).having("b.json", "{").having("c.yaml", "x: ["),
        in_file("a.yaml", good),
    ]);
    cases
}
