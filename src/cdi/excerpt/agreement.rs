//! What is read of an excerpt held against what is read of the whole, with texts from a fixed seed and pieces of any size.

use serde_json::{Value, json};

use crate::cdi::Spec;
use crate::cdi::block::agreement::{Dice, TEXTS, Writer, mutated};
use crate::cdi::file::SpecFile;
use crate::cdi::text;

/// Names that are in each other, and names that YAML could take for something else.
const NAMES: [&str; 10] = ["0", "5", "50", "n5", "010", "true", "1.5", "GPU-1f:2", "name", "n-5"];

/// A spec that is valid, with texts in it that are not easy to read.
fn any_spec(dice: &mut Dice) -> Value {
    let edits = |dice: &mut Dice| {
        let path = ["/dev/a\"b", "/dev/it's", "/dev/[x", "/dev/{y}", "/dev/npu0"][dice.roll(5)];
        let env = format!("A={}", dice.pick(&TEXTS));
        match dice.roll(3) {
            0 => json!({ "env": [env] }),
            1 => json!({ "deviceNodes": [{ "path": "/dev/npu0", "major": 195 }] }),
            _ => json!({ "deviceNodes": [{ "path": path, "type": "c", "major": 195 }], "env": [env, "name=5"],
                         "netDevices": [{ "hostInterfaceName": "e0", "name": dice.pick(&["5", "eth1"]) }] }),
        }
    };
    let mut devices = Vec::new();
    for name in NAMES {
        let mut device = json!({ "name": name, "containerEdits": edits(dice) });
        if dice.roll(3) == 0 {
            device["annotations"] = json!({ "name": dice.pick(&TEXTS), "acme.example/devices": dice.pick(&NAMES) });
        }
        if dice.roll(2) == 0 {
            devices.insert(dice.roll(devices.len() + 1), device);
        }
    }
    json!({ "cdiVersion": "1.1.0", "kind": "acme.example/npu", "devices": devices, "containerEdits": edits(dice) })
}

/// Its text in one of the layouts that writers have.
fn written(dice: &mut Dice, spec: &Value) -> String {
    match dice.roll(4) {
        0 => spec.to_string(),
        1 => serde_json::to_string_pretty(spec).unwrap(),
        _ => Writer::yaml(dice, spec),
    }
}

/// What came of an excerpt.
enum Read {
    /// How many devices it has.
    Devices(usize),
    Unclear,
}

/// Holds both ways of reading against each other, where the whole can be read.
fn agree(dice: &mut Dice, text: &str) -> Option<Read> {
    let names = [dice.pick(&NAMES).into(), dice.pick(&NAMES).into()];
    let names = &names[..=dice.roll(2)];
    let wants = |_: &_, device: &str| names.iter().any(|name| name == device);
    let whole = text::read(text, &wants).ok()?;
    let mut buffer = Vec::new();
    let at_once = [16, 40, 100, 1000, 1 << 16][dice.roll(5)];
    let read = text::of_file(&mut SpecFile::with(text, at_once, &mut buffer), &wants, Some(names)).unwrap();
    let read = read.filter(|spec| !spec.devices.is_empty());
    let whole: Option<Spec> = Some(whole).filter(|spec| !spec.devices.is_empty());
    assert_eq!(read, whole, "{names:?}, {at_once} bytes at once, of\n{text}");
    let excerpt = super::of(&mut SpecFile::with(text, at_once, &mut buffer), names).unwrap();
    Some(excerpt.map_or(Read::Unclear, |kept| Read::Devices(kept.devices)))
}

#[test]
fn what_writers_write_is_left_out_or_kept_as_it_is_asked_for() {
    let mut dice = Dice(0x00EC_5CE2);
    let (mut nothing, mut texts) = (0, 0);
    for _ in 0..3_000 {
        let spec = any_spec(&mut dice);
        let text = written(&mut dice, &spec);
        match agree(&mut dice, &text) {
            Some(Read::Devices(0)) => nothing += 1,
            Some(Read::Devices(_)) => texts += 1,
            Some(Read::Unclear) => panic!("unclear:\n{text}"),
            // It has no devices.
            None => {}
        }
    }
    assert!(nothing > 500 && texts > 500, "{nothing} times nothing, {texts} times something");
}

#[test]
fn of_any_other_text_the_same_is_found() {
    let mut dice = Dice(0x0DD_7E87);
    let mut readable = 0;
    for _ in 0..5_000 {
        let spec = any_spec(&mut dice);
        let mut text = written(&mut dice, &spec);
        for _ in 0..=dice.roll(2) {
            text = mutated(&mut dice, &text);
        }
        readable += usize::from(agree(&mut dice, &text).is_some());
    }
    assert!(readable > 700, "only {readable} texts were comparable");
}
