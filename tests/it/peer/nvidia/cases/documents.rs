//! Documents that have something already where edits go, and documents that say much that nobody asks to change.

use serde_json::{Value, json};

use super::Expect::PeerRefuses;
use super::{Case, asking_both};
use crate::peer::bundle::{config, with};

/// All of them.
pub(super) fn all() -> Vec<Case> {
    let asking_for = |config: Value, more: &Value| {
        let nodes = json!([{"path": "/dev/npu0", "hostPath": "/dev/null"}]);
        let mounts = json!([{"hostPath": "HERE/driver/a", "containerPath": "/data", "options": ["rbind", "ro"]}]);
        let mut case =
            asking_both(json!({"env": ["NPU=0"], "deviceNodes": nodes, "mounts": mounts}), json!({}), config, "1.0.0");
        case.name = format!("a document with {more}");
        case.container.config = with(case.container.config, more);
        case
    };
    let plain = |more: Value| asking_for(config(&["NPU=9", "A=b", "NPU=8"]), &more);
    let allowed = json!({"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwm"});
    let denied = json!({"allow": false, "access": "rwm"});
    let there = |node: Value| {
        plain(json!({"linux": {"devices": [{"path": "/dev/x", "type": "c", "major": 9, "minor": 9}, node]}}))
    };
    let mounted = |places: &[&str]| {
        let mounts: Vec<Value> =
            places.iter().map(|place| json!({"destination": place, "source": "/x", "type": "bind"})).collect();
        plain(json!({"mounts": mounts}))
    };
    let rich = json!({
        "process": {
            "terminal": true, "consoleSize": {"height": 24, "width": 80}, "noNewPrivileges": true, "oomScoreAdj": -998,
            "apparmorProfile": "docker-default", "selinuxLabel": "", "scheduler": {"policy": "SCHED_OTHER"},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": u64::MAX, "soft": 9_007_199_254_740_993_u64}],
            "capabilities": {"bounding": ["CAP_CHOWN"], "effective": [], "inheritable": null},
        },
        "linux": {
            "resources": {"memory": {"limit": i64::MAX, "swap": -1}, "cpu": {"shares": 0}, "unified": {"memory.high": "max"}},
            "seccomp": {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read", "write"], "action": "SCMP_ACT_ALLOW", "args": []}]},
            "sysctl": {"net.ipv4.ping_group_range": "0 2147483647"}, "maskedPaths": ["/proc/kcore"], "readonlyPaths": [],
            "netDevices": {"eth0": {}}, "intelRdt": {"closID": ""}, "mountLabel": "", "rootfsPropagation": "private",
        },
        "annotations": {"ünï": "<&>\u{2028}\u{1f980}", "empty": ""},
        "hooks": {"prestart": [], "poststop": [{"path": "/h", "args": []}]},
        "root": {"readonly": false},
        "domainname": "",
    });
    let legacy = |args: &[&str]| json!({"path": "/usr/bin/nvidia-container-runtime-hook", "args": args});
    let old_hook = json!({"hooks": {"prestart": [{"path": "/first"}, legacy(&["nvidia-container-runtime-hook", "prestart"])], "poststop": [{"path": "/last"}]}});
    let legacy = Case::new("a hook of the old toolkit", with(config(&["NVIDIA_VISIBLE_DEVICES=0"]), &old_hook));
    let bare = json!({"ociVersion": "1.0.2", "root": {"path": "rootfs"}});
    vec![
        plain(json!({})),
        plain(rich.clone()),
        Case::new("nothing asked, a rich document", with(config(&[]), &rich)),
        asking_for(bare, &json!({})),
        plain(json!({"futureMember": 1, "process": {"futureObject": {"a": [1, 2.5]}}}))
            .expecting(PeerRefuses("unknown members")),
        Case::new("nothing asked, unknown members", with(config(&[]), &json!({"futureMember": 1})))
            .expecting(PeerRefuses("unknown members")),
        Case::new("nothing asked, a variable without a value", config(&["LONELY"]))
            .expecting(PeerRefuses("variables without a value")),
        plain(json!({"process": {"user": {"uid": 33, "gid": 0, "umask": 18}}})),
        there(json!({"path": "/dev/npu0", "type": "c", "major": 1, "minor": 3, "fileMode": 438})),
        there(json!({"path": "/dev/npu0", "type": "c", "major": 7, "minor": 7, "uid": 3})),
        plain(
            json!({"linux": {"devices": [{"path": "/dev/npu0", "type": "p"}, {"path": "/dev/npu0", "type": "c", "major": 8, "minor": 8}]}}),
        ),
        plain(json!({"linux": {"resources": {"devices": [denied, allowed]}}})),
        plain(json!({"linux": {"resources": {"devices": [allowed, denied]}}})),
        plain(json!({"linux": {"resources": {"devices": [{"allow": true, "access": "rwm"}]}}})),
        plain(json!({"linux": {"resources": {"devices": []}}})),
        mounted(&["/proc", "/data", "/etc/hosts"]),
        mounted(&["/data/below", "/proc"]),
        mounted(&["/etc/hosts", "/proc", "/sys/fs/cgroup", "/dev"]),
        mounted(&["/data", "/data/below", "/data"]),
        plain(json!({"mounts": []})),
        plain(
            json!({"linux": {"namespaces": [{"type": "user"}, {"type": "mount"}], "uidMappings": [{"containerID": 0, "hostID": 1000, "size": 10}], "gidMappings": [{"containerID": 0, "hostID": 1000, "size": 10}]}}),
        ),
        plain(json!({"hooks": {"prestart": [{"path": "/bin/own", "timeout": 3}]}})),
        legacy,
        Case::new("a hook of the old toolkit and nothing asked", with(config(&[]), &old_hook)),
        asking_both(
            json!({"intelRdt": {"closID": "new"}}),
            json!({}),
            with(config(&[]), &json!({"linux": {"intelRdt": {"closID": "old", "schemata": ["L3:0=1"]}}})),
            "0.7.0",
        ),
        asking_both(
            json!({"netDevices": [{"hostInterfaceName": "ib0", "name": "new"}]}),
            json!({}),
            with(config(&[]), &json!({"linux": {"netDevices": {"ib0": {"name": "old"}, "ib1": {}}}})),
            "1.1.0",
        ),
        asking_both(
            json!({"additionalGids": [44]}),
            json!({}),
            json!({"ociVersion": "1.0.2", "root": {"path": "rootfs"}}),
            "0.7.0",
        ),
        asking_both(
            json!({"deviceNodes": [{"path": "/dev/npu0", "hostPath": "/dev/null"}]}),
            json!({}),
            json!({"ociVersion": "1.0.2", "root": {"path": "rootfs"}}),
            "0.5.0",
        ),
    ]
}
