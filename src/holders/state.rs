//! States of containers, as low-level runtimes write them: runc's state.json, crun's status and config.json, youki's state.json.
//!
//! Parsing is pure. A state that is half written is no state yet: the runtime writes it before the container starts.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::directory::Directory;
use super::process::Process;
use super::record::Number;

/// States are some 10 KiB; those of containers with a thousand mounts ten times that.
const LARGEST: usize = 4 << 20;

/// What a state says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct State {
    /// The container's init.
    pub init: Process,
    /// The device nodes that it has.
    pub nodes: BTreeSet<Number>,
    /// What is mounted.
    pub mounted: Vec<String>,
    /// Whether it can use every device of the host.
    pub is_privileged: bool,
    /// The spec's annotations.
    pub annotations: BTreeMap<String, String>,
    /// The bundle.
    pub bundle: Option<String>,
}

/// The state in the directory of a container. `None` where there is none yet, or none that makes sense.
pub(super) fn read(container: &Directory) -> Option<State> {
    let text = |name: &str| container.read(name, LARGEST).ok().flatten();
    match text("state.json") {
        Some(state) => runc(&state).or_else(|| youki(&state)),
        None => crun(&text("status")?, &text("config.json").unwrap_or_default()),
    }
}

#[derive(Deserialize)]
struct RuncState {
    init_process_pid: u32,
    #[serde(default)]
    init_process_start: u64,
    config: RuncConfig,
}

#[derive(Deserialize)]
struct RuncConfig {
    devices: Option<Vec<RuncDevice>>,
    mounts: Option<Vec<Mount>>,
    labels: Option<Vec<String>>,
    cgroups: Option<RuncCgroups>,
}

#[derive(Deserialize)]
struct RuncCgroups {
    devices: Option<Vec<RuncDevice>>,
}

/// A device, or a rule about devices. runc writes the letters of types as numbers.
#[derive(Deserialize)]
struct RuncDevice {
    #[serde(rename = "type")]
    kind: i64,
    major: i64,
    minor: i64,
    #[serde(default)]
    allow: bool,
}

#[derive(Deserialize)]
struct Mount {
    source: Option<String>,
}

fn runc(text: &str) -> Option<State> {
    const CHARACTER: i64 = 'c' as i64;
    const ALL: i64 = 'a' as i64;
    let RuncState { init_process_pid: pid, init_process_start: start, config } = serde_json::from_str(text).ok()?;
    let rules = config.cgroups.and_then(|cgroups| cgroups.devices).unwrap_or_default();
    let devices = config.devices.unwrap_or_default();
    let labels = config.labels.unwrap_or_default();
    let mut annotations: BTreeMap<String, String> =
        labels.iter().filter_map(|label| label.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    Some(State {
        init: Process { pid, start },
        nodes: devices.iter().filter(|d| d.kind == CHARACTER).filter_map(|d| number(d.major, d.minor)).collect(),
        mounted: mounted(config.mounts),
        is_privileged: rules.iter().any(|rule| rule.allow && rule.kind == ALL && rule.major < 0),
        bundle: annotations.remove("bundle"),
        annotations,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct CrunStatus {
    pid: u32,
    #[serde(default)]
    process_start_time: u64,
    bundle: Option<String>,
}

#[derive(Deserialize, Default)]
struct Spec {
    annotations: Option<BTreeMap<String, String>>,
    mounts: Option<Vec<Mount>>,
    linux: Option<Linux>,
}

#[derive(Deserialize, Default)]
struct Linux {
    devices: Option<Vec<Device>>,
    resources: Option<Resources>,
}

#[derive(Deserialize, Default)]
struct Resources {
    devices: Option<Vec<Device>>,
}

/// A device, or a rule about devices.
#[derive(Deserialize)]
struct Device {
    #[serde(rename = "type")]
    kind: Option<String>,
    major: Option<i64>,
    minor: Option<i64>,
    #[serde(default)]
    allow: bool,
}

fn crun(status: &str, config: &str) -> Option<State> {
    let CrunStatus { pid, process_start_time: start, bundle } = serde_json::from_str(status).ok()?;
    let spec: Spec = serde_json::from_str(config).unwrap_or_default();
    let linux = spec.linux.unwrap_or_default();
    let rules = linux.resources.and_then(|resources| resources.devices).unwrap_or_default();
    let is_any = |rule: &Device| matches!(rule.kind.as_deref(), None | Some("a")) && rule.major.unwrap_or(-1) < 0;
    let devices = linux.devices.unwrap_or_default();
    let characters = devices.iter().filter(|device| matches!(device.kind.as_deref(), Some("c" | "u")));
    Some(State {
        init: Process { pid, start },
        nodes: characters.filter_map(|device| number(device.major?, device.minor?)).collect(),
        mounted: mounted(spec.mounts),
        is_privileged: rules.iter().any(|rule| rule.allow && is_any(rule)),
        annotations: spec.annotations.unwrap_or_default(),
        bundle,
    })
}

#[derive(Deserialize)]
struct YoukiState {
    pid: u32,
    bundle: Option<String>,
    annotations: Option<BTreeMap<String, String>>,
}

/// youki notes no start time, and its devices elsewhere.
fn youki(text: &str) -> Option<State> {
    let YoukiState { pid, bundle, annotations } = serde_json::from_str(text).ok()?;
    let annotations = annotations.unwrap_or_default();
    Some(State { init: Process { pid, start: 0 }, bundle, annotations, ..State::default() })
}

/// The number of a device node, unless every container has that one: null, zero, random and terminals.
fn number(major: i64, minor: i64) -> Option<Number> {
    let number = (u32::try_from(major).ok()?, u32::try_from(minor).ok()?);
    (!matches!(number.0, 1 | 5 | 136)).then_some(number)
}

fn mounted(mounts: Option<Vec<Mount>>) -> Vec<String> {
    mounts.unwrap_or_default().into_iter().filter_map(|mount| mount.source).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As runc 1.1.5 writes it, shortened.
    const RUNC: &str = r#"{"id":"c1","init_process_pid":1886,"init_process_start":356556,"created":"2026-12-01T03:34:38Z",
        "config":{"rootfs":"/b/rootfs","devices":[{"type":99,"major":1,"minor":9,"permissions":"rwm","allow":true,"path":"/dev/urandom"},
        {"type":99,"major":195,"minor":0,"permissions":"","allow":false,"path":"/dev/nvidia0"},{"type":98,"major":8,"minor":0,"path":"/dev/sda"}],
        "labels":["a=b=c","bundle=/tmp/b","x"],"mounts":[{"source":"/dev/dri/card0","destination":"/dev/x"},{"source":"proc"}],
        "cgroups":{"name":"c1","devices":[{"type":97,"major":-1,"minor":-1,"permissions":"rwm","allow":false},
        {"type":99,"major":-1,"minor":-1,"permissions":"m","allow":true}]}}}"#;

    #[test]
    fn runcs_state_has_devices_init_and_annotations() {
        let state = runc(RUNC).unwrap();
        assert_eq!(state.init, Process { pid: 1886, start: 356_556 });
        assert_eq!(state.nodes.into_iter().collect::<Vec<_>>(), [(195, 0)]);
        assert_eq!(state.mounted, ["/dev/dri/card0", "proc"]);
        assert_eq!((state.annotations["a"].as_str(), state.bundle.as_deref()), ("b=c", Some("/tmp/b")));
        assert!(!state.is_privileged);
        let privileged = RUNC.replace(r#""permissions":"rwm","allow":false"#, r#""permissions":"rwm","allow":true"#);
        assert!(runc(&privileged).unwrap().is_privileged);
        let bare = r#"{"init_process_pid":7,"config":{"devices":null,"labels":null,"cgroups":null}}"#;
        assert_eq!(runc(bare).unwrap(), State { init: Process { pid: 7, start: 0 }, ..State::default() });
    }

    #[test]
    fn cruns_state_is_in_two_files() {
        let status = r#"{"pid": 18458, "process-start-time": 367601, "cgroup-path": "/c2", "bundle": "/tmp/b", "detached": true}"#;
        let config = r#"{"annotations":{"a":"b"},"mounts":[{"destination":"/proc","type":"proc"}],"linux":{"devices":[
            {"path":"/dev/kfd","type":"c","major":234,"minor":0},{"path":"/dev/fifo","type":"p"}],
            "resources":{"devices":[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","major":234,"minor":0,"access":"rwm"}]}}}"#;
        let state = crun(status, config).unwrap();
        assert_eq!(state.init, Process { pid: 18458, start: 367_601 });
        assert_eq!(state.nodes.into_iter().collect::<Vec<_>>(), [(234, 0)]);
        assert!(!state.is_privileged && state.annotations["a"] == "b");
        let privileged = config.replace(r#"{"allow":false,"access":"rwm"}"#, r#"{"allow":true,"access":"rwm"}"#);
        assert!(crun(status, &privileged).unwrap().is_privileged);
        assert_eq!(crun(status, "{").unwrap().init.pid, 18458, "without a config.json its init is still known");
    }

    #[test]
    fn a_state_that_is_half_written_or_of_another_shape_is_none() {
        for at in 0..RUNC.len() {
            assert_eq!(runc(RUNC.get(..at).unwrap()), None, "{at}");
        }
        for text in
            ["", "[]", "null", r#"{"init_process_pid":-1,"config":{}}"#, r#"{"init_process_pid":"1","config":{}}"#]
        {
            assert_eq!((runc(text), youki(text), crun(text, "")), (None, None, None), "{text}");
        }
        let deep = format!(r#"{{"init_process_pid":1,"config":{}1{}}}"#, "[".repeat(5000), "]".repeat(5000));
        assert_eq!(runc(&deep), None);
        assert_eq!(youki(r#"{"pid":12,"status":"running"}"#).unwrap().init.pid, 12);
    }
}
