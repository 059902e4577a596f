//! The fast reader held against serde-saphyr, with texts from a fixed seed: what it takes, both take for the same.

use serde_json::Value;

use super::to_json;
use crate::cdi::spec::Spec;
use crate::cdi::{Fault, yaml};

/// Chance, the same in every run (xorshift64).
pub(in crate::cdi) struct Dice(pub(in crate::cdi) u64);

impl Dice {
    pub(in crate::cdi) fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(sides).unwrap()).unwrap()
    }

    pub(in crate::cdi) fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.roll(from.len())]
    }
}

/// Texts that some reader of some version takes for something else, and harmless ones.
pub(in crate::cdi) const TEXTS: [&str; 48] = [
    "/dev/npu0",
    "NPU=0",
    "A=",
    "ro",
    "nosuid",
    "createContainer",
    "GPU-1f:2",
    "a b",
    "--flag",
    "-x",
    "a::/b",
    "x=y=z",
    "0",
    "7",
    "010",
    "0o17",
    "0x1F",
    "1.50",
    "1e3",
    "1:30",
    "1_000",
    ".5",
    ".inf",
    "on",
    "y",
    "No",
    "true",
    "null",
    "Null",
    "~",
    "",
    "<<",
    "=",
    "x: y",
    "x:",
    "a #b",
    "#b",
    "it's",
    "''",
    "say \"hi\"",
    "back\\slash",
    "[x]",
    "{x}",
    "a, b",
    "&a",
    "*a",
    "!x",
    "2001-01-01",
];
const NUMBERS: [i64; 7] = [0, 1, 7, 195, 438, 65_535, 4_294_967_295];

/// Any members, valid or not: the readers do not judge.
fn any_spec(dice: &mut Dice) -> Value {
    let mut spec =
        serde_json::json!({ "cdiVersion": dice.pick(&TEXTS), "kind": dice.pick(&["acme.example/npu", "a/b"]) });
    if dice.roll(3) == 0 {
        spec["annotations"] = serde_json::json!({ "site": dice.pick(&TEXTS), "acme.example/on": dice.pick(&TEXTS) });
    }
    if dice.roll(3) > 0 {
        spec["containerEdits"] = any_edits(dice);
    }
    let device = |dice: &mut Dice| serde_json::json!({ "name": dice.pick(&TEXTS), "containerEdits": any_edits(dice) });
    spec["devices"] = some(dice, device);
    spec
}

fn any_edits(dice: &mut Dice) -> Value {
    let mut edits = serde_json::json!({});
    let text = |dice: &mut Dice| Value::from(dice.pick(&TEXTS));
    let node = |dice: &mut Dice| {
        let mut node = serde_json::json!({ "path": dice.pick(&TEXTS) });
        for (name, is_text) in [
            ("major", false),
            ("minor", false),
            ("uid", false),
            ("fileMode", false),
            ("type", true),
            ("hostPath", true),
        ] {
            match (dice.roll(2), is_text) {
                (0, _) => {}
                (_, true) => node[name] = dice.pick(&TEXTS).into(),
                (_, false) => node[name] = NUMBERS[dice.roll(NUMBERS.len())].into(),
            }
        }
        node
    };
    let mount = |dice: &mut Dice| serde_json::json!({ "hostPath": dice.pick(&TEXTS), "containerPath": dice.pick(&TEXTS), "options": some(dice, text) });
    let hook = |dice: &mut Dice| serde_json::json!({ "hookName": dice.pick(&TEXTS), "path": dice.pick(&TEXTS), "args": some(dice, text), "timeout": dice.roll(99) });
    let net =
        |dice: &mut Dice| serde_json::json!({ "hostInterfaceName": dice.pick(&TEXTS), "name": dice.pick(&TEXTS) });
    for (name, value) in [
        ("env", some(dice, text)),
        ("deviceNodes", some(dice, node)),
        ("mounts", some(dice, mount)),
        ("hooks", some(dice, hook)),
        ("netDevices", some(dice, net)),
        ("additionalGids", some(dice, |dice| NUMBERS[dice.roll(NUMBERS.len())].into())),
        (
            "intelRdt",
            serde_json::json!({ "closID": dice.pick(&TEXTS), "enableMonitoring": dice.roll(2) == 0, "schemata": some(dice, text) }),
        ),
    ] {
        if dice.roll(3) == 0 {
            edits[name] = value;
        }
    }
    edits
}

fn some(dice: &mut Dice, mut item: impl FnMut(&mut Dice) -> Value) -> Value {
    let count = dice.roll(4);
    (0..count).map(|_| item(dice)).collect()
}

/// Lays a document out as Go's writers do.
pub(in crate::cdi) struct Writer<'a> {
    dice: &'a mut Dice,
    text: String,
    /// Columns from a mapping to what is in it.
    step: usize,
    /// Columns from a member's name to the dashes below it.
    dashes: usize,
}

impl Writer<'_> {
    pub(in crate::cdi) fn yaml(dice: &mut Dice, document: &Value) -> String {
        let (step, dashes) = [(2, 0), (2, 2), (4, 4), (4, 2)][dice.roll(4)];
        let text = ["", "---\n", "# made by hand\n", "---\n\n"][dice.roll(4)].to_owned();
        let mut writer = Writer { dice, text, step, dashes };
        writer.block(document, 0);
        writer.text
    }

    /// Writes a collection whose first column is reached.
    fn block(&mut self, value: &Value, column: usize) {
        match value {
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.indent(if index == 0 { 0 } else { column });
                    self.text.push_str("- ");
                    self.entry(item, column + 2);
                }
            }
            Value::Object(members) => {
                for (index, (name, value)) in members.iter().enumerate() {
                    self.indent(if index == 0 { 0 } else { column });
                    self.text.push_str(name);
                    self.text.push(':');
                    if is_block(value) {
                        let below = column + if value.is_array() { self.dashes } else { self.step };
                        self.text.push('\n');
                        self.indent(below);
                        self.block(value, below);
                    } else {
                        self.text.push(' ');
                        self.entry(value, column);
                    }
                }
            }
            _ => unreachable!(),
        }
    }

    fn entry(&mut self, value: &Value, column: usize) {
        match value {
            Value::String(text) => {
                let scalar = self.scalar(text);
                self.text.push_str(&scalar);
                self.text.push('\n');
            }
            value if is_block(value) => self.block(value, column),
            value => self.text.push_str(&format!("{value}\n")),
        }
    }

    fn scalar(&mut self, text: &str) -> String {
        let may_be_bare = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
            && !text.contains(['#', '\\', '"', '\'', ' ', ','])
            && !text.ends_with(':')
            && !text.eq_ignore_ascii_case("null");
        match self.dice.roll(3) {
            0 if may_be_bare => text.to_owned(),
            1 => format!("'{}'", text.replace('\'', "''")),
            _ => Value::from(text).to_string(),
        }
    }

    fn indent(&mut self, columns: usize) {
        self.text.push_str(&" ".repeat(columns));
    }
}

fn is_block(value: &Value) -> bool {
    value.as_array().is_some_and(|items| !items.is_empty())
        || value.as_object().is_some_and(|members| !members.is_empty())
}

/// Breaks a text in one place.
pub(in crate::cdi) fn mutated(dice: &mut Dice, text: &str) -> String {
    const BITS: [&str; 30] = [
        " ", "  ", "\n", "-", "- ", ":", ": ", "#", " #", "'", "\"", "\\", "&a ", "*a", "!!str ", "[", "]", "{", "}",
        "|", ">", "~", "?", "0", "x", "\t", "---\n", "...\n", "%", "<<: ",
    ];
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let line = dice.roll(lines.len());
    let (column, other) = (dice.roll(lines[line].len() + 1), dice.roll(lines.len()));
    match dice.roll(6) {
        0 => drop(lines.remove(line)),
        1 => lines.swap(line, other),
        2 => lines.insert(other, lines[line].clone()),
        3 => lines[line].insert_str(column, dice.pick(&BITS)),
        4 if column < lines[line].len() => drop(lines[line].remove(column)),
        _ => lines[line] = format!("{}{}", dice.pick(&BITS), lines[line].trim_start()),
    }
    lines.join("\n") + "\n"
}

fn fast(text: &str) -> Option<Result<Spec, serde_json::Error>> {
    to_json(text).map(|json| serde_json::from_str(&json))
}

#[test]
fn what_go_writes_is_read_fast_and_for_the_same() {
    let mut dice = Dice(0x05EE_DCD1);
    for _ in 0..1_000 {
        let document = any_spec(&mut dice);
        let spec: Spec = serde_json::from_value(document.clone()).unwrap();
        let text = Writer::yaml(&mut dice, &document);
        let fast = fast(&text).unwrap_or_else(|| panic!("not read fast:\n{text}"));
        assert_eq!(fast.unwrap(), spec, "{text}");
        assert_eq!(yaml::read(&text), Ok(spec), "{text}");
    }
}

#[test]
fn of_any_other_text_the_fast_reader_says_the_same_or_nothing() {
    let mut dice = Dice(0x0B10_CCD1);
    let mut taken = 0;
    for _ in 0..5_000 {
        let document = any_spec(&mut dice);
        let text = Writer::yaml(&mut dice, &document);
        let text = mutated(&mut dice, &text);
        let Some(fast) = fast(&text) else { continue };
        taken += 1;
        match (fast, yaml::read(&text)) {
            (Ok(fast), Ok(slow)) => assert_eq!(fast, slow, "{text}"),
            (Err(_), Err(_)) => {}
            (fast, slow) => panic!("{fast:?}\n{slow:?}\n{text}"),
        }
    }
    assert!(taken > 500, "only {taken} texts were comparable");
}

#[test]
fn a_member_with_nothing_below_it_does_not_take_the_next_one() {
    for last in [
        "annotations:\nkind: acme.example/npu\n",
        "containerEdits:\nkind: acme.example/npu\n",
        "kind: acme.example/npu\nannotations:\n",
    ] {
        let text = format!("cdiVersion: 0.6.0\ndevices:\n- name: a\n  containerEdits:\n    env:\n    - A=1\n{last}");
        if let Some(fast) = fast(&text) {
            assert_eq!(fast.ok(), yaml::read(&text).ok(), "{text}");
        }
    }
}

#[test]
fn errors_name_the_line_of_the_file() {
    let text = "---\n# header\ncdiVersion: 0.3.0\n\nkind: acme.example/npu\ndevices:\n- name: n0\n  containerEdits:\n    mounts:\n    - hostPath: /h\n      options: []\n";
    let Fault { line, message } = crate::cdi::parse(text).unwrap_err().remove(0);
    assert_eq!(
        (line, message.as_str()),
        (Some(11), "devices[0].containerEdits.mounts[0]: missing field \"containerPath\"")
    );
}
