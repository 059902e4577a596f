//! Compose files as people write them, and what becomes of each.

use std::path::Path;

use super::*;
use crate::config::Policy;
use crate::oci::view::View;
use crate::request::{ANNOTATION, Request, Selection, Want};
use crate::vendor::Vendors;

/// The example of nerdctl's GPU documentation.
const NERDCTLS: &str = "\
version: \"3.8\"
services:
  demo:
    image: nvidia/cuda:12.3.1-base-ubuntu20.04
    command: nvidia-smi
    deploy:
      resources:
        reservations:
          devices:
          - driver: nvidia
            count: all
";

/// Several services, an anchor, a merge, a profile, an extended service, all forms of `gpus`, and things to be left alone.
const MANY: &str = "\
# ü: comments stay
x-gpu: &gpu
  deploy:
    resources:
      reservations:
        devices: &two
          - driver: nvidia # one
            count: 2
            capabilities: [gpu, utility]
services:
  web:
    <<: *gpu
    image: web # y
  flow: { image: y, gpus: all, annotations: { a: b } }
  short: &short
    # first
    gpus: all
    profiles: [big]
    annotations:
    - a=b
  same: *short
  long:
    image: z
    runtime: 'nvidia'
    gpus:
      - device_ids: ['0', \"1\"]
      - {driver: amd, count: 1}
    deploy: {resources: {reservations: {devices: *two, memory: 1g}, limits: {cpus: '2'}}}
    annotations:
      a: b
  more:
    extends: {service: web}
  idle:
    image: none
    deploy: {resources: {reservations: {memory: 1g}}}
";

fn documents(texts: &[&str]) -> Vec<Document> {
    let parse =
        |(at, text): (usize, &&str)| Document::parse(Path::new(&format!("c{at}.yaml")), (*text).to_owned()).unwrap();
    texts.iter().enumerate().map(parse).collect()
}

fn overriding(texts: &[&str]) -> std::result::Result<String, String> {
    let documents = documents(texts);
    let text = plan(&documents, "gpu-runc", Vendors::known()).and_then(|plan| plan.overriding());
    text.map(|text| text.split_once("services:\n").unwrap().1.to_owned()).map_err(|error| error.to_string())
}

fn whole(text: &str) -> std::result::Result<String, String> {
    let documents = documents(&[text]);
    let text = plan(&documents, "gpu-runc", Vendors::known()).and_then(|plan| plan.whole(&documents[0]));
    text.map_err(|error| error.to_string())
}

/// The wishes of the annotation, as gpu-runc reads it.
fn wishes(value: &str) -> Vec<Want> {
    let view = View { annotations: vec![(ANNOTATION.into(), value.into())], ..View::default() };
    let request = Request::from_spec(&view, &Policy::default(), Vendors::known()).unwrap();
    request.map_or(Vec::new(), |request| request.asks.into_iter().map(|ask| ask.want).collect())
}

/// The annotation of a service in a compose text.
fn annotation(text: &str, service: &str) -> Option<String> {
    let json = yaml::read(text).unwrap().json();
    let annotations = json["services"][service].get("annotations")?;
    let in_list = || annotations.as_array()?.iter().find_map(|item| item.as_str()?.strip_prefix("gpu-runc/gpus="));
    annotations[ANNOTATION].as_str().or_else(in_list).map(str::to_owned)
}

#[test]
fn an_override_names_runtime_and_annotation_and_resets_what_is_reserved() {
    let expected = r#"  web:
    runtime: gpu-runc
    annotations:
      gpu-runc/gpus: '[{"capabilities":["gpu","utility"],"count":2,"driver":"nvidia"}]'
    deploy:
      resources:
        reservations:
          devices: !reset null
  flow:
    runtime: gpu-runc
    annotations:
      gpu-runc/gpus: 'all'
    gpus: !reset null
  short:
    runtime: gpu-runc
    annotations:
      - 'gpu-runc/gpus=all'
    gpus: !reset null
  same:
    runtime: gpu-runc
    annotations:
      - 'gpu-runc/gpus=all'
    gpus: !reset null
  long:
    runtime: gpu-runc
    annotations:
      gpu-runc/gpus: '[{"capabilities":["gpu","utility"],"count":2,"driver":"nvidia"},{"device_ids":["0","1"]},{"count":1,"driver":"amd"}]'
    deploy:
      resources:
        reservations:
          devices: !reset null
    gpus: !reset null
  more:
    runtime: gpu-runc
    annotations:
      gpu-runc/gpus: '[{"capabilities":["gpu","utility"],"count":2,"driver":"nvidia"}]'
    deploy:
      resources:
        reservations:
          devices: !reset null
"#;
    assert_eq!(overriding(&[MANY]).as_deref(), Ok(expected));
}

#[test]
fn the_whole_file_differs_by_insertions_only() {
    let expected = r#"# ü: comments stay
x-gpu: &gpu
  deploy:
    resources:
      reservations:
        x-devices: &two
          - driver: nvidia # one
            count: 2
            capabilities: [gpu, utility]
services:
  web:
    runtime: gpu-runc
    annotations:
      gpu-runc/gpus: '[{"capabilities":["gpu","utility"],"count":2,"driver":"nvidia"}]'
    <<: *gpu
    image: web # y
  flow: {runtime: gpu-runc, image: y, x-gpus: all, annotations: {gpu-runc/gpus: 'all', a: b } }
  short: &short
    # first
    runtime: gpu-runc
    x-gpus: all
    profiles: [big]
    annotations:
    - 'gpu-runc/gpus=all'
    - a=b
  same: *short
  long:
    image: z
    runtime: gpu-runc
    x-gpus:
      - device_ids: ['0', "1"]
      - {driver: amd, count: 1}
    deploy: {resources: {reservations: {x-devices: *two, memory: 1g}, limits: {cpus: '2'}}}
    annotations:
      gpu-runc/gpus: '[{"capabilities":["gpu","utility"],"count":2,"driver":"nvidia"},{"device_ids":["0","1"]},{"count":1,"driver":"amd"}]'
      a: b
  more:
    runtime: gpu-runc
    annotations:
      gpu-runc/gpus: '[{"capabilities":["gpu","utility"],"count":2,"driver":"nvidia"}]'
    extends: {service: web}
  idle:
    image: none
    deploy: {resources: {reservations: {memory: 1g}}}
"#;
    assert_eq!(whole(MANY).as_deref(), Ok(expected));
    assert!(
        whole(&MANY.replace('\n', "\r\n")).unwrap().split('\n').all(|line| line.is_empty() || line.ends_with('\r'))
    );
}

#[test]
fn nerdctls_own_example_works_as_a_whole_file_and_no_override_is_promised() {
    let error = overriding(&[NERDCTLS]).unwrap_err();
    assert!(error.starts_with("c0.yaml:10: service demo: the reservation has no capabilities; "), "{error}");
    assert!(error.ends_with("or use gpu-ctk compose --whole in place of an override"), "{error}");
    let text = whole(NERDCTLS).unwrap();
    let kept = text.replace("x-devices:", "devices:").lines().filter(|line| NERDCTLS.contains(*line)).count();
    assert_eq!((kept, text.lines().count()), (11, 14), "{text}");
    let wishes = wishes(&annotation(&text, "demo").unwrap());
    assert!(
        matches!(&wishes[..], [Want::Devices { vendors, selection: Selection::All, .. }] if vendors[0].name == "nvidia"),
        "{wishes:?}"
    );
}

#[test]
fn gpu_runc_understands_what_is_written_as_it_was_reserved() {
    for (reserved, selection) in [
        ("count: all", Some(Selection::All)),
        ("driver: nvidia", Some(Selection::All)),
        ("driver: amd, count: 1", Some(Selection::Count(1))),
        ("count: '3'", Some(Selection::Count(3))),
        ("count: -1", Some(Selection::All)),
        ("count: 0", None),
        ("driver: nvidia, count: 0", None),
        ("device_ids: ['1']", Some(Selection::Ids(vec!["1".into()]))),
        ("driver: nvidia, device_ids: ['0', GPU-1f]", Some(Selection::Ids(vec!["0".into(), "GPU-1f".into()]))),
    ] {
        let file = format!("services: {{a: {{gpus: [{{{reserved}}}]}}}}");
        for text in [overriding(&[&file]).map(|text| format!("services:\n{text}")).unwrap(), whole(&file).unwrap()] {
            let found = wishes(&annotation(&text, "a").unwrap()).into_iter().find_map(|want| match want {
                Want::Devices { selection, .. } => Some(selection),
                Want::Names(_) => None,
            });
            assert_eq!(found, selection, "{reserved}: {text}");
        }
    }
    let text = overriding(&["services: {a: {gpus: [{device_ids: [acme.example/npu=0]}]}}"]).unwrap();
    assert!(text.contains("gpu-runc/gpus: 'device=acme.example/npu=0'"), "{text}");
}

#[test]
fn cdi_names_among_devices_are_requests_and_nodes_stay() {
    let names = "services:\n  a:\n    devices:\n      - nvidia.com/gpu=1\n      - source: acme.example/npu=x\n";
    let value = r#"'[{"device_ids":["nvidia.com/gpu=1"],"driver":"cdi"},{"device_ids":["acme.example/npu=x"],"driver":"cdi"}]'"#;
    let head = format!("  a:\n    runtime: gpu-runc\n    annotations:\n      gpu-runc/gpus: {value}\n");
    assert_eq!(overriding(&[names]), Ok(format!("{head}    devices: !reset null\n")));
    let renamed = names.replace("  a:\n", &head).replace("    devices", "    x-devices");
    assert_eq!(whole(names).as_deref(), Ok(&*renamed));
    let wishes = wishes(&annotation(&renamed, "a").unwrap());
    assert!(matches!(&wishes[..], [Want::Names(first), Want::Names(_)] if first[0].to_string() == "nvidia.com/gpu=1"));

    let mixed = format!("{names}      - /dev/fuse\n      - {{source: /dev/a, target: /dev/b}}\n");
    let kept = "      - \"/dev/fuse\"\n      - {\"source\":\"/dev/a\",\"target\":\"/dev/b\"}\n";
    assert_eq!(overriding(&[&mixed]), Ok(format!("{head}    devices: !override\n{kept}")));
    let error = whole(&mixed).unwrap_err();
    assert!(error.starts_with("c0.yaml:2: service a: its devices are CDI names and nodes in one list; "), "{error}");
    let later = "services: {a: {devices: !override [/dev/fuse], gpus: all}}";
    let text = overriding(&[names, later]).unwrap();
    assert!(text.contains("gpus: !reset null") && !text.contains("devices"), "{text}");
}

#[test]
fn later_files_add_to_earlier_ones_or_reset_them() {
    let first = "services: {a: {gpus: [{count: 1}], annotations: [x=y]}, b: {gpus: all}, c: {image: x}}";
    for (second, parts, absent) in [
        (
            "services: {a: {gpus: [{count: 2}]}}",
            &["- 'gpu-runc/gpus=[{\"count\":1},{\"count\":2}]'", "  b:"][..],
            "  c:",
        ),
        ("services: {a: {gpus: !override [{count: 2}]}}", &["- 'gpu-runc/gpus=2'"], "  c:"),
        ("services: {a: {gpus: !reset null}, c: {gpus: all}}", &["  b:", "  c:"], "  a:"),
        ("services: {a: !override {image: z}}", &["  b:"], "  a:"),
        ("services: !override {c: {gpus: all}, a: {gpus: all}}", &["  c:", "  a:"], "  b:"),
    ] {
        let text = overriding(&[first, second]).unwrap();
        assert!(parts.iter().all(|part| text.contains(part)) && !text.contains(absent), "{second}: {text}");
    }
}

#[test]
fn variables_are_left_to_compose() {
    let text = overriding(&["services: {a: {gpus: [{count: '${N:-1}', driver: '$D'}]}}"]).unwrap();
    assert!(text.contains(r#"'[{"count":"${N:-1}","driver":"$D"}]'"#), "{text}");
}

#[test]
fn names_and_quotes_survive() {
    let text =
        overriding(&["services: {'on': {gpus: all}, '1.5': {gpus: [{driver: nvidia, device_ids: [\"it's\"]}]}}"])
            .unwrap();
    assert!(text.contains("\n    runtime") && text.contains("  \"on\":\n") && text.contains("  \"1.5\":\n"), "{text}");
    assert!(text.contains(r#"["it''s"]"#), "{text}");
    assert_eq!(scalar("/usr/local/bin/x: y"), "\"/usr/local/bin/x: y\"");
}

#[test]
fn what_is_wrong_is_said_with_file_line_and_service() {
    const BOTH: &str = "services:\n  a:\n    image: x\n  b:\n    deploy:\n      resources:\n        reservations:\n          devices:\n            - count: 1\n              device_ids: ['0']\n";
    for (text, message) in [
        (BOTH, "c0.yaml:10: service b: \"count\" and \"device_ids\" attributes are exclusive"),
        (
            "services:\n  a:\n    gpus:\n    - driver: nvidea",
            "c0.yaml:4: service a: unknown driver \"nvidea\"; did you mean \"nvidia\"?",
        ),
        ("services: {a: {gpus: [{driver: cdi}]}}", "c0.yaml:1: service a: driver \"cdi\" takes qualified names"),
        ("services: {a: {gpus: [{device_ids: ['']}]}}", "c0.yaml:1: service a: an id of a device is empty"),
        ("services: {a: {gpus: 2}}", "c0.yaml:1: service a: gpus must be all"),
        (
            "services:\n  a:\n    gpus: all\n    annotations:\n      gpu-runc/gpus: '1'",
            "c0.yaml:5: service a: it has the annotation gpu-runc/gpus beside its reservations; keep one of the two",
        ),
        ("services: {a: {gpus: all, annotations: [gpu-runc/gpus=1]}}", "c0.yaml:1: service a: it has the annotation"),
        ("services: {a: {image: x}}", "c0.yaml: no service reserves devices, "),
        ("[]", "c0.yaml: no service reserves devices, "),
        ("", "c0.yaml: no service reserves devices, "),
    ] {
        let error = overriding(&[text]).unwrap_err();
        assert!(error.starts_with(message), "{text}: {error}");
    }
    let error = Document::parse(Path::new("c.yaml"), "a: 1\na: 2".to_owned()).unwrap_err().to_string();
    assert!(error.starts_with("c.yaml:2: "), "{error}");
    let many = format!("services: {{a: {{gpus: [{}{{}}]}}}}", "{},".repeat(64));
    assert_eq!(overriding(&[&many]).unwrap_err(), "c0.yaml:1: service a: more than 64 device requests");
}

#[test]
fn a_text_that_cannot_be_edited_is_an_error_and_never_a_wrong_file() {
    for (text, message) in [
        (
            "x: &c\n  annotations: {k: v}\nservices:\n  a:\n    <<: *c\n    gpus: all\n  b:\n    <<: *c\n",
            "c0.yaml:7: service b: what it shares with other services keeps it from being edited as text; write an override",
        ),
        (
            "x: &r runc\nservices: {a: {gpus: all, runtime: *r}}",
            "c0.yaml:2: service a: its runtime is an alias, or empty; ",
        ),
        ("services: {a: {gpus: all, annotations: }}", "c0.yaml:1: service a: its annotations are empty; write"),
        ("services: {a: {gpus: all, x-gpus: all}}", "c0.yaml:1: service a: what it shares"),
    ] {
        let error = whole(text).unwrap_err();
        assert!(error.starts_with(message), "{text}: {error}");
        assert!(overriding(&[text]).is_ok(), "{text}");
    }
}

#[test]
fn what_was_not_looked_into_and_what_is_replaced_is_noted() {
    let text = "include: [other.yaml]\nservices:\n  a:\n    gpus: all\n    runtime: kata\n    extends: {file: base.yaml, service: x}\n  b:\n    extends: a\n    runtime: gpu-runc\n";
    let documents = documents(&[text]);
    let notes = plan(&documents, "gpu-runc", Vendors::known()).unwrap().notes;
    let expected = [
        "c0.yaml: include: what other files reserve is not looked at",
        "c0.yaml:6: service a: what \"base.yaml\" reserves is not looked at",
        "service a: runtime \"kata\" is replaced",
    ];
    assert_eq!(notes, expected);
}

#[test]
fn replicas_that_name_their_devices_are_noted() {
    let devices = |list: &str| format!("deploy: {{resources: {{reservations: {{devices: [{list}]}}}}");
    for (service, expected) in [
        (
            format!("{}, replicas: 3}}", devices("{device_ids: ['0', '1']}")),
            Some("service a: its 3 replicas share 0, 1; with a count"),
        ),
        (
            format!("{}}}, scale: 2", devices("{device_ids: ['0']}")),
            Some("service a: its 2 replicas share 0; with a count"),
        ),
        (format!("{}, replicas: 1}}", devices("{device_ids: ['0']}")), None),
        (format!("{}, replicas: 3}}", devices("{count: 1, options: {lease: exclusive}}")), None),
        (format!("{}, replicas: 3}}", devices("{device_ids: [all]}")), None),
    ] {
        let text = format!("services: {{a: {{image: x, {service}}}}}");
        let documents = [Document::parse(Path::new("c.yaml"), text.clone()).unwrap()];
        let plan = plan(&documents, "gpu-runc", Vendors::known()).unwrap();
        match expected {
            Some(expected) => {
                assert!(plan.notes.iter().any(|note| note.starts_with(expected)), "{text}: {:?}", plan.notes);
            }
            None => assert_eq!(plan.notes, [""; 0], "{text}"),
        }
    }
}

#[test]
fn options_go_with_their_reservation() {
    let text = "services: {a: {image: x, gpus: [{count: 1, options: {lease: exclusive, memory: 8g}}]}}";
    let documents = [Document::parse(Path::new("c.yaml"), text.to_owned()).unwrap()];
    let overriding = plan(&documents, "gpu-runc", Vendors::known()).unwrap().overriding().unwrap();
    assert!(overriding.contains(r#"[{"count":1,"options":{"lease":"exclusive","memory":"8g"}}]"#), "{overriding}");
    let text = "services:\n  a:\n    gpus:\n    - count: 1\n      options: {memroy: 8g}\n";
    let documents = [Document::parse(Path::new("c.yaml"), text.to_owned()).unwrap()];
    let error = plan(&documents, "gpu-runc", Vendors::known()).unwrap_err().to_string();
    assert!(error.starts_with("c.yaml:4: service a: ") && error.contains("unknown option \"memroy\""), "{error}");
}
