//! The containers that both runtimes get, and how their answers are expected to stand to each other.

mod asking;
mod documents;
mod edits;
mod golden;

use gpu_runc::cdi::{self, write};
use serde_json::{Value, json};

use crate::peer::bundle::{Container, with};

/// One container.
pub(crate) struct Case {
    pub name: String,
    pub container: Container,
    pub expect: Expect,
}

/// How the two answers stand to each other. Names are those of the list of intended differences.
pub(crate) enum Expect {
    /// The documents are alike, but for what is in the list.
    Alike,
    /// Neither makes the container.
    Refusal,
    /// They are alike once the peer is told these devices.
    Told(&'static str, &'static str),
    PeerRefuses(&'static str),
    OursRefuses(&'static str),
}

impl Case {
    fn new(name: impl Into<String>, config: Value) -> Self {
        let container = Container { config, cdi: machine(), may_ask_by_env: true, verb: "create" };
        Case { name: name.into(), container, expect: Expect::Alike }
    }

    fn expecting(self, expect: Expect) -> Self {
        Case { expect, ..self }
    }

    fn having(mut self, name: &str, text: impl ToString) -> Self {
        self.container.cdi.retain(|(there, _)| *there != name);
        self.container.cdi.push((name.to_owned(), text.to_string()));
        self
    }

    /// The same container that asks for `devices` by the annotation `key` as well.
    pub(crate) fn told(&self, key: &str, devices: &str) -> Container {
        let config = with(self.container.config.clone(), &json!({"annotations": {key: devices}}));
        Container { config, verb: "create", ..self.container.clone() }
    }

    /// The container edits of the CDI files, as their text has them; of files in YAML, as it is understood.
    pub(crate) fn edits(&self) -> Vec<Value> {
        let read = |text: &String| {
            let as_json = || cdi::parse(text).ok().map(|spec| write::to_json(&spec));
            serde_json::from_str::<Value>(text).ok().or_else(|| serde_json::from_str(&as_json()?).ok())
        };
        let specs = self.container.cdi.iter().filter_map(|(_, text)| read(text));
        let of = |spec: Value| {
            let devices = spec["devices"].as_array().cloned().unwrap_or_default();
            devices.into_iter().map(|device| device["containerEdits"].clone()).chain([spec["containerEdits"].clone()])
        };
        specs.flat_map(of).filter(Value::is_object).collect()
    }
}

const UUID: &str = "GPU-a1000000-0000-4000-8000-000000000000";

/// Two GPUs of NVIDIA, one of AMD, and another thing; in JSON and YAML, of many versions.
fn machine() -> Vec<(String, String)> {
    let gpu = |name: &str, node: &str| json!({"name": name, "containerEdits": {"deviceNodes": [{"path": format!("/dev/nvidia{name}"), "hostPath": node}]}});
    let all = json!({"name": "all", "containerEdits": {"deviceNodes": [
        {"path": "/dev/nvidia0", "hostPath": "/dev/null"}, {"path": "/dev/nvidia1", "hostPath": "/dev/zero"}]}});
    let named =
        json!({"name": UUID, "containerEdits": {"deviceNodes": [{"path": "/dev/nvidia0", "hostPath": "/dev/null"}]}});
    let nvidia = json!({
        "cdiVersion": "0.5.0", "kind": "nvidia.com/gpu",
        "devices": [gpu("0", "/dev/null"), gpu("1", "/dev/zero"), all, named],
        "containerEdits": {
            "env": ["NVIDIA_VISIBLE_DEVICES=void", "NVIDIA_CTK_LIBCUDA_DIR=/usr/lib"],
            "deviceNodes": [{"path": "/dev/nvidiactl", "hostPath": "/dev/full"}],
            "mounts": [{"hostPath": "HERE/driver/a", "containerPath": "/usr/bin/nvidia-smi", "options": ["ro", "nosuid", "nodev", "rbind", "rprivate"]}],
        },
    });
    let amd = "---\ncdiVersion: 0.6.0\nkind: amd.com/gpu\ndevices:\n    - name: \"0\"\n      containerEdits:\n        env:\n            - AMD=yes\n        deviceNodes:\n            - path: /dev/dri/renderD128\n              hostPath: /dev/random\n              permissions: rw\n";
    let acme = json!({
        "cdiVersion": "0.3.0", "kind": "acme.example/npu",
        "devices": [{"name": "n0", "containerEdits": {"env": ["NPU=n0"]}}, {"name": "n1", "containerEdits": {"env": ["NPU=n1", "MORE=1"]}}],
    });
    let files = [("nvidia.json", nvidia.to_string()), ("amd.yaml", amd.to_owned()), ("acme.json", acme.to_string())];
    files.map(|(name, text)| (name.to_owned(), text)).into()
}

/// All of them.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = asking::by_env();
    cases.extend(asking::otherwise());
    cases.extend(edits::edits());
    cases.extend(edits::hooks());
    cases.extend(edits::versions());
    cases.extend(documents::all());
    cases.extend(golden::all());
    cases
}

/// Asks for the devices `n0` and `n1` of the only file.
pub(crate) fn asking_both(edits: Value, of_file: Value, document: Value, version: &str) -> Case {
    let n1 = json!({"name": "n1", "containerEdits": {"env": ["N1=yes"]}});
    let spec = json!({"cdiVersion": version, "kind": "acme.example/npu", "devices": [{"name": "n0", "containerEdits": edits}, n1], "containerEdits": of_file});
    let name = format!(
        "version {version}, edits {}, of the file {}",
        spec["devices"][0]["containerEdits"], spec["containerEdits"]
    );
    let document = with(document, &json!({"annotations": {"cdi.k8s.io/x": "acme.example/npu=n0,acme.example/npu=n1"}}));
    let mut case = Case::new(name, document);
    case.container.cdi = vec![("acme.json".to_owned(), spec.to_string())];
    case
}
