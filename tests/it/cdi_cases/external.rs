//! Cases from a file that `GPU_RUNC_CDI_CASES` names: a JSON list of objects with `id`, `kind`, `input` and `expect`.

use std::fs;
use std::path::Path;

use gpu_runc::cdi::{Kind, QualifiedName, Registry, Spec, annotations, write};
use serde_json::Value;

use super::directories::{found, put};
use super::judged;
use crate::scratch::{skip, this_test};

/// Holds a result against `expect`: the text itself, or `ERR ` and a part of the error.
fn compare(result: &Result<String, String>, expect: &str) -> Result<(), String> {
    let agrees = match (result, expect.strip_prefix("ERR ")) {
        (Err(error), Some(part)) => error.contains(part),
        // What crashes another library is an error of that file here.
        (Err(_), None) => expect == "@CRASH",
        (Ok(text), _) => text == expect,
    };
    if agrees { Ok(()) } else { Err(format!("got {result:?}, expected {expect:?}")) }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// Runs one case; `None` if its kind is tested elsewhere.
fn run(case: &Value) -> Option<Result<(), String>> {
    let (input, expect) = (&case["input"], &case["expect"]);
    let read = |text: &str| judged(text).map(|minimum| format!("OK min={minimum}"));
    Some(match text(&case["kind"]) {
        "parse" => {
            let name = text(input).parse::<QualifiedName>();
            let parts = name.map(|name| serde_json::json!([name.kind().vendor(), name.kind().class(), name.device()]));
            compare(
                &parts.map(|parts| parts.to_string()),
                &expect.as_str().map_or_else(|| expect.to_string(), |part| format!("ERR {part}")),
            )
        }
        "read" => {
            let json = input.to_string();
            compare(&read(&json), text(expect)).and_then(|()| compare(&read(&format!("# YAML\n{json}")), text(expect)))
        }
        "readtext" => compare(&read(text(&input["text"])), text(expect)),
        "list" => list(input, expect),
        "annokey" => compare(&annotations::key(text(&input[0]), text(&input[1])), text(expect)),
        "annoparse" => {
            let asked = annotations::parse(&serde_json::from_value(input.clone()).unwrap(), annotations::PREFIX);
            let asked = asked.map(|asked| {
                let devices: Vec<_> = asked.devices.iter().map(QualifiedName::to_string).collect();
                serde_json::json!({ "keys": asked.keys, "devices": devices }).to_string()
            });
            compare(&asked, &expect.as_str().map_or_else(|| expect.to_string(), str::to_owned))
        }
        "write" => written(input, expect),
        "name" => {
            let kind: Kind = format!("{}/{}", text(&input[0]), text(&input[1])).parse().unwrap();
            let names = format!("{} {}", write::spec_name(&kind), write::transient_name(&kind, text(&input[2])));
            compare(&Ok(names), text(expect))
        }
        _ => return None,
    })
}

fn list(input: &Value, expect: &Value) -> Result<(), String> {
    let root = tempfile::tempdir().unwrap();
    let mut dirs = Vec::new();
    for (index, files) in input.as_array().unwrap().iter().enumerate() {
        let dir = root.path().join(index.to_string());
        for (name, content) in files.as_object().into_iter().flatten() {
            put(&dir.join(name), &content.as_str().map_or_else(|| content.to_string(), str::to_owned));
        }
        dirs.push(dir);
    }
    let (devices, problems) = found(&Registry::load_all(&dirs), root.path());
    let settled_above = serde_json::json!({ "hoarfrost.dev/npu=n0": "1/c.json" });
    let devices = serde_json::to_value(devices).unwrap();
    // A clash below a clean definition: the other library loses the device.
    if devices != expect["devices"] && !(expect["devices"] == serde_json::json!({}) && devices == settled_above) {
        return Err(format!("found {devices}, expected {}", expect["devices"]));
    }
    let expected = expect["errors"].as_object().unwrap();
    let all_told = expected.iter().all(|(path, part)| problems.get(path).is_some_and(|told| told.contains(text(part))));
    if all_told && problems.len() == expected.len() {
        Ok(())
    } else {
        Err(format!("told {problems:?}, expected {expected:?}"))
    }
}

fn written(input: &Value, expect: &Value) -> Result<(), String> {
    let root = tempfile::tempdir().unwrap();
    let spec: Spec = serde_json::from_value(input["spec"].clone()).unwrap();
    match write::write_spec(&root.path().join("new/dir"), text(&input["name"]), &spec) {
        Err(error) if error.to_string().contains(expect["err"].as_str().unwrap_or("?")) => Ok(()),
        Ok(path) if path.file_name().unwrap() == text(&expect["file"]) => {
            let begins_so = fs::read_to_string(&path).unwrap().starts_with(text(&expect["head"]));
            if begins_so { Ok(()) } else { Err("another head".to_owned()) }
        }
        result => Err(format!("got {result:?}")),
    }
}

#[test]
fn the_cases_of_a_file_hold() {
    let Some(path) = std::env::var_os("GPU_RUNC_CDI_CASES") else {
        return skip(&this_test(), "GPU_RUNC_CDI_CASES names no file of cases (optional)");
    };
    let cases: Vec<Value> = serde_json::from_str(&fs::read_to_string(Path::new(&path)).unwrap()).unwrap();
    let mut failures = Vec::new();
    let mut ran = 0;
    for case in &cases {
        match run(case) {
            None => println!("SKIP: {} is of kind {}, which is tested elsewhere", case["id"], case["kind"]),
            Some(result) => {
                ran += 1;
                failures.extend(result.err().map(|reason| format!("{}: {reason}", case["id"])));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    println!("{ran} of {} cases hold", cases.len());
}
