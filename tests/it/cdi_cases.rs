//! CDI as others understand it: cases of reading, directories, annotations and writing, through the public interface.
//!
//! Names of devices have their table in `cdi::name`, annotation keys in `cdi::annotations`. `GPU_RUNC_CDI_CASES` names a file of
//! further cases ([`external`]). What edits do to config.json is in tests/it/injection.rs.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests, which make their own spec directories"
)]

mod directories;
mod external;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use gpu_runc::cdi::{self, Kind, QualifiedName, Spec, annotations, version, write};

/// The lowest version that holds what `text` says, or everything that is wrong with it.
fn judged(text: &str) -> Result<String, String> {
    match cdi::parse(text) {
        Ok(spec) => Ok(version::minimum_version(&spec).to_string()),
        Err(faults) => Err(faults.into_iter().map(|fault| fault.message).collect::<Vec<_>>().join("; ")),
    }
}

#[track_caller]
fn assert_judged(text: &str, expected: Result<&str, &str>) {
    match (judged(text), expected) {
        (Ok(minimum), Ok(expected)) => assert_eq!(minimum, expected, "{text}"),
        (Err(fault), Err(expected)) => assert!(fault.contains(expected), "{text}: {fault}"),
        (judged, _) => panic!("{text}: {judged:?}, expected {expected:?}"),
    }
}

#[test]
fn a_spec_is_judged_by_its_version_and_its_edits() {
    const MOUNT: &str = r#"{"mounts":[{"hostPath":"/h","containerPath":"/c","type":"bind"}]}"#;
    const RENAMED: &str = r#"{"deviceNodes":[{"path":"/dev/n","hostPath":"/dev/null"}]}"#;
    const NET: &str = r#"{"netDevices":[{"hostInterfaceName":"ib0","name":"net1"}]}"#;
    const NETS: &str =
        r#"{"netDevices":[{"hostInterfaceName":"ib0","name":"a"},{"hostInterfaceName":"ib0","name":"b"}]}"#;
    const ENV: &str = r#"{"env":["NPU=0"]}"#;
    for (version, device, edits, expected) in [
        ("0.3.0", "n0", ENV, Ok("0.3.0")),
        ("v0.8.0", "n0", ENV, Ok("0.3.0")),
        ("0.2.0", "n0", ENV, Err("at least v0.3.0")),
        ("1.2.0", "n0", ENV, Err("invalid version \"1.2.0\"")),
        ("", "n0", ENV, Err("invalid version \"\"")),
        ("0.3.0", "n0", MOUNT, Err("at least v0.4.0")),
        ("0.4.0", "n0", MOUNT, Ok("0.4.0")),
        ("0.4.0", "n0", RENAMED, Err("at least v0.5.0")),
        ("0.5.0", "4x", ENV, Ok("0.5.0")),
        ("0.4.0", "4x", ENV, Err("at least v0.5.0")),
        ("0.6.0", "n0", r#"{"additionalGids":[0]}"#, Err("at least v0.7.0")),
        ("1.1.0", "n0", r#"{"intelRdt":{}}"#, Ok("0.7.0")),
        ("1.0.0", "n0", NET, Err("at least v1.1.0")),
        ("1.1.0", "n0", NET, Ok("1.1.0")),
        ("1.1.0", "n0", NETS, Err("duplicate HostInterfaceName \"ib0\"")),
        ("1.1.0", "n0", "{}", Err("empty device edits")),
        ("1.1.0", "n0", "null", Err("empty device edits")),
        ("1.1.0", "n 0", ENV, Err("invalid character ' '")),
        ("1.1.0", "n0", r#"{"env":["NPUFLAG"]}"#, Err("invalid environment variable \"NPUFLAG\"")),
        ("1.1.0", "n0", r#"{"env":[null]}"#, Err("env[0]: invalid type: null")),
        ("1.1.0", "n0", r#"{"deviceNodes":[{"path":"/dev/n","type":"x"}]}"#, Err("invalid type \"x\"")),
        (
            "1.1.0",
            "n0",
            r#"{"deviceNodes":[{"path":"/dev/n","permissions":"rwx"}]}"#,
            Err("invalid permissions \"rwx\""),
        ),
        ("1.1.0", "n0", r#"{"deviceNodes":[{"path":"/dev/n","permissions":"none"}]}"#, Ok("0.3.0")),
        ("1.1.0", "n0", r#"{"hooks":[{"hookName":"preStart","path":"/x"}]}"#, Err("invalid hook name \"preStart\"")),
        ("1.1.0", "n0", r#"{"mounts":[{"hostPath":"/h","containerPath":""}]}"#, Err("empty container path")),
        (
            "1.1.0",
            "n0",
            r#"{"mounts":[{"hostPath":"/h","containerPath":"/c","ro":true}]}"#,
            Err("unknown field \"ro\""),
        ),
        ("1.1.0", "n0", r#"{"intelRdt":{"closID":"/"}}"#, Ok("0.7.0")),
        ("1.1.0", "n0", r#"{"intelRdt":{"closID":"a/b"}}"#, Err("invalid ClosID")),
        ("0.7.0", "n0", r#"{"intelRdt":{"enableCMT":true}}"#, Err("unknown field \"enableCMT\"")),
        ("1.1.0", "n0", r#"[["A=1"]]"#, Err("devices[0].containerEdits: invalid type: sequence, expected an object")),
        (
            "1.1.0",
            "n0",
            r#"{"deviceNodes":[["/dev/n"]]}"#,
            Err("deviceNodes[0]: invalid type: sequence, expected an object"),
        ),
        ("1.1.0", "n0", r#"{"Env":["NPU=0"]}"#, Err("unknown field \"Env\"")),
    ] {
        let json = format!(
            r#"{{"cdiVersion":"{version}","kind":"acme.example/npu","devices":[{{"name":"{device}","containerEdits":{edits}}}]}}"#
        );
        assert_judged(&json, expected);
        // The first line makes it YAML.
        let yaml = judged(&format!("# the same\n{json}"));
        assert_eq!(yaml.is_ok(), expected.is_ok(), "{json} read as YAML: {yaml:?}");
    }
}

#[test]
fn a_spec_is_judged_by_its_top_level() {
    const DEVICES: &str = r#""devices":[{"name":"n0","containerEdits":{"env":["NPU=0"]}}]"#;
    for (version, rest, expected) in [
        ("0.5.0", format!(r#""kind":"acme.example/npu.gen2",{DEVICES}"#), Err("at least v0.6.0")),
        ("0.3.0", format!(r#""kind":"acme.example/npu",{DEVICES},"containerEdits":{{}}"#), Ok("0.3.0")),
        ("0.6.0", format!(r#""kind":"acme.example/npu","annotations":{{"site":"lab"}},{DEVICES}"#), Ok("0.6.0")),
        ("0.7.0", format!(r#""kind":"acme.example/npu",{DEVICES},"containerEdits":{{"intelRdt":{{}}}}"#), Ok("0.7.0")),
        ("1.1.0", format!(r#""kind":"npu",{DEVICES}"#), Err("kind: invalid vendor. empty name")),
        ("1.1.0", format!(r#""kind":"acme.example/npu",{DEVICES},"note":"x""#), Err("unknown field \"note\"")),
        ("1.1.0", format!(r#""kind":"acme.example/npu",{DEVICES},"containerEdits":[]"#), Err("containerEdits: invalid")),
        ("1.1.0", format!(r#""kind":"acme.example/npu",{DEVICES},"annotations":{{"a":"1","a":"2"}}"#), Err("key \"a\" already set")),
        ("1.1.0", format!(r#""kind":"acme.example/npu",{DEVICES},{DEVICES}"#), Err("key \"devices\" already set")),
        ("1.1.0", r#""kind":"acme.example/npu","devices":[]"#.to_owned(), Err("no devices")),
        ("1.1.0", r#""kind":"acme.example/npu","containerEdits":{"env":["G=1"]}"#.to_owned(), Err("no devices")),
        ("1.1.0", r#""kind":"acme.example/npu","devices":[{"name":"n0","containerEdits":{"env":["A=1"]}},{"name":"n0","containerEdits":{"env":["B=1"]}}]"#.to_owned(), Err("multiple device \"n0\"")),
        ("1.1.0", r#""kind":"acme.example/npu","devices":[{"name":"n0","containerEdits":{}}],"containerEdits":{"env":["G=1"]}"#.to_owned(), Err("empty device edits")),
    ] {
        assert_judged(&format!(r#"{{"cdiVersion":"{version}",{rest}}}"#), expected);
    }
}

#[test]
fn text_is_read_as_what_it_is_and_not_as_what_its_file_is_called() {
    const HEAD: &str = "cdiVersion: \"1.1.0\"\nkind: acme.example/npu\ndevices:\n";
    const JSON: &str = r#"{"cdiVersion":"1.1.0","kind":"acme.example/npu","devices":[{"name":"n0","containerEdits":{"env":["A=1"]}}]}"#;
    let with = |devices: &str| format!("{HEAD}{devices}");
    for (what, text, expected) in [
        ("JSON", JSON.to_owned(), Ok("0.3.0")),
        ("a byte order mark", format!("\u{feff}{JSON}"), Ok("0.3.0")),
        ("JSON with a comment", format!("{{ # by hand\n{}", JSON.trim_start_matches('{')), Ok("0.3.0")),
        ("JSON with a trailing comma", JSON.replace("}]}", "},]}"), Ok("0.3.0")),
        ("cut-off JSON", JSON.replace("}}]}", ""), Err("devices[0].containerEdits.env: EOF")),
        ("a flow list", with("- name: n0\n  containerEdits:\n    env: [\"A=1\"]\n"), Ok("0.3.0")),
        (
            "a key twice",
            with("- name: n0\n  containerEdits:\n    env: [\"A=1\"]\nkind: b.example/npu\n"),
            Err("key \"kind\" already set"),
        ),
        (
            "a key twice in block style",
            with("- name: n0\n  containerEdits:\n    env:\n    - A=1\nkind: b.example/npu\n"),
            Err("key \"kind\" already set"),
        ),
        ("a number for a name", with("- name: 3\n  containerEdits:\n    env: [\"A=1\"]\n"), Ok("0.5.0")),
        (
            "aliases",
            with("- name: n0\n  containerEdits: &e\n    env: [\"A=1\"]\n- name: n1\n  containerEdits: *e\n"),
            Ok("0.3.0"),
        ),
        ("a null hook", with("- name: n0\n  containerEdits:\n    hooks: [null]\n"), Err("")),
        (
            "annotations that are no texts",
            with("- name: n0\n  containerEdits:\n    env: [\"A=1\"]\nannotations: {site: 7, on: y}\n"),
            Ok("0.6.0"),
        ),
        ("two documents", with("- name: n0\n  containerEdits:\n    env: [\"A=1\"]\n---\nx: y\n"), Err("")),
        ("nothing", String::new(), Err("no Spec data")),
        ("a document without content", "---\n".to_owned(), Err("no Spec data")),
        ("null", "null".to_owned(), Err("no Spec data")),
        ("an empty object", "{}".to_owned(), Err("missing field \"cdiVersion\"")),
        ("a list", "[1]".to_owned(), Err("")),
        ("deep nesting", "[".repeat(100_000), Err("")),
        ("deep nesting in JSON", format!("{{\"devices\":{}", "[".repeat(100_000)), Err("")),
    ] {
        match (judged(&text), expected) {
            (Ok(minimum), Ok(expected)) => assert_eq!(minimum, expected, "{what}"),
            (Err(fault), Err(expected)) => assert!(fault.contains(expected), "{what}: {fault}"),
            (judged, _) => panic!("{what}: {judged:?}, expected {expected:?}"),
        }
    }
}

#[test]
fn octal_file_modes_are_octal_and_switches_are_switches() {
    let spec = cdi::parse(concat!(
        "cdiVersion: 1.1.0\nkind: acme.example/npu\ndevices:\n- name: 010\n  containerEdits:\n",
        "    deviceNodes: [{path: /dev/n0, fileMode: 0640}]\n    intelRdt: {enableMonitoring: on}\n"
    ))
    .unwrap();
    let device = &spec.devices[0];
    assert_eq!(device.name, "010", "a name stays as it is written");
    assert_eq!(device.container_edits.device_nodes[0].file_mode, Some(0o640));
    assert!(device.container_edits.intel_rdt.as_ref().unwrap().enable_monitoring);
}

#[test]
fn aliases_that_multiply_are_refused_soon() {
    // Less than the reader of YAML refuses by itself: fewer than 100 aliases, fewer than a million events.
    let options = "ro, ".repeat(400);
    let mount = "    - {hostPath: /h, containerPath: /c, options: *o}\n".repeat(19);
    let devices: String = (1..=80).map(|n| format!("- name: n{n}\n  containerEdits: *e\n")).collect();
    let text = format!(
        "cdiVersion: 0.3.0\nkind: acme.example/npu\ndevices:\n- name: n0\n  containerEdits: &e\n    mounts:\n    - {{hostPath: /h, containerPath: /c, options: &o [{options}]}}\n{mount}{devices}"
    );
    let before = std::time::Instant::now();
    // The line with the node 500,001.
    let faults = cdi::parse(&text).unwrap_err();
    assert_eq!(faults.iter().map(|fault| fault.line).collect::<Vec<_>>(), [Some(148)], "{faults:?}");
    assert!(before.elapsed().as_secs() < 10);
}

fn spec(device: &str, from: &str) -> String {
    format!(
        r#"{{"cdiVersion":"0.3.0","kind":"acme.example/npu","devices":[{{"name":"{device}","containerEdits":{{"env":["FROM={from}"]}}}}]}}"#
    )
}

#[test]
fn annotations_ask_for_devices_by_their_qualified_names() {
    for (value, expected) in [
        ("a.example/x=1,a.example/x=2", Ok(&["a.example/x=1", "a.example/x=2"] as &[&str])),
        ("a.example/x=1,a.example/x=1", Ok(&["a.example/x=1", "a.example/x=1"])),
        ("a.example/x=1, a.example/x=2", Err("invalid CDI device name \" a.example/x=2\"")),
        ("a.example/x=1,", Err("invalid CDI device name \"\"")),
        ("", Err("invalid CDI device name \"\"")),
    ] {
        let map = [("cdi.k8s.io/p_1", value), ("CDI.k8s.io/p_2", "?"), ("note", "?")];
        let map = map.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        match (annotations::parse(&map, annotations::PREFIX), expected) {
            (Ok(asked), Ok(devices)) => {
                assert_eq!(asked.keys, ["cdi.k8s.io/p_1"]);
                assert_eq!(asked.devices.iter().map(QualifiedName::to_string).collect::<Vec<_>>(), devices);
            }
            (Err(error), Err(part)) => assert!(error.starts_with(part), "{value}: {error}"),
            (asked, _) => panic!("{value}: {asked:?}"),
        }
    }
}

#[test]
fn specs_are_written_whole_to_plain_names_and_read_back() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("new/dir");
    let spec = cdi::parse(&spec("n0", "a: b")).unwrap();
    for (name, file, head) in [
        (
            "acme.example-npu",
            "acme.example-npu.yaml",
            "---\ncdiVersion: 0.3.0\nkind: acme.example/npu\ndevices:\n    - name: n0\n",
        ),
        ("x.json", "x.json", "{\"cdiVersion\":\"0.3.0\",\"kind\":\"acme.example/npu\",\"devices\":["),
        ("x.json", "x.json", "{"),
    ] {
        let path = write::write_spec(&dir, name, &spec).unwrap();
        assert_eq!(path, dir.join(file));
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with(head), "{text}");
        assert_eq!(cdi::parse(&text).unwrap(), spec);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o644);
    }
    let bad = Spec::new("0.3.0".to_owned(), "acme.example/npu".parse().unwrap());
    for (name, spec, part) in
        [("bad", &bad, "no devices"), ("../x", &spec, "plain file name"), ("a/b.json", &spec, "plain file name")]
    {
        assert!(write::write_spec(&dir, name, spec).unwrap_err().to_string().contains(part), "{name}");
    }
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 2, "nothing else is left behind");
    let kind: Kind = "v.example/gpu".parse().unwrap();
    assert_eq!([write::spec_name(&kind), write::transient_name(&kind, "a/b")], ["v.example-gpu", "v.example-gpu_a_b"]);
}
