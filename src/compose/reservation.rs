//! One reservation of devices, as it stands in a compose file: what it says, and whether that makes sense.
//!
//! Pure. The rules are those of compose (its JSON schema and compose-go), but that `capabilities` may be left out here. What the
//! words come to is decided by `request`, which reads them again.

use serde_json::{Map, Value as Json};

use super::yaml::{Node, Value};
use crate::error::{Escaped, nearest};

/// What is wrong at a line, with the service still to be named.
pub(super) type Wrong = (usize, String);

const MEMBERS: [&str; 5] = ["driver", "count", "device_ids", "capabilities", "options"];
/// The capabilities that make a reservation one of GPUs to nerdctl: Docker's `gpu` and those of drivers.
const OF_GPUS: [&str; 9] = ["gpu", "nvidia", "compat32", "compute", "display", "graphics", "ngx", "utility", "video"];

/// One entry of `devices` or of `gpus`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reservation {
    /// Where it stands.
    pub line: usize,
    /// The entry, as `request` reads it.
    pub entry: Json,
    /// Whether compose's schema would take it: `devices` must have capabilities.
    pub is_complete: bool,
}

impl Reservation {
    /// Whether variables are still to be put in by compose, so that nothing can be said of the values.
    pub(super) fn has_variables(&self) -> bool {
        self.entry.to_string().contains('$')
    }
}

/// Reads the list of `deploy.resources.reservations.devices`. `None` reads as an empty list.
pub(super) fn devices(node: &Node) -> Result<Vec<Reservation>, Wrong> {
    match &node.value {
        Value::Scalar(Json::Null) => Ok(Vec::new()),
        Value::List(items) => items.iter().map(|item| read(item, true)).collect(),
        _ => Err((node.place.line, "devices must be a list".to_owned())),
    }
}

/// Reads `gpus`: the word `all`, or a list of the same entries.
pub(super) fn gpus(node: &Node) -> Result<Vec<Reservation>, Wrong> {
    match &node.value {
        Value::Scalar(Json::Null) => Ok(Vec::new()),
        Value::List(items) => items.iter().map(|item| read(item, false)).collect(),
        _ if node.text() == Some("all") => {
            let entry = serde_json::json!({"count": "all"});
            Ok(vec![Reservation { line: node.place.line, entry, is_complete: true }])
        }
        _ => Err((node.place.line, "gpus must be all, or a list as that of reserved devices".to_owned())),
    }
}

fn read(node: &Node, needs_capabilities: bool) -> Result<Reservation, Wrong> {
    let Value::Map(entries) = &node.value else {
        return Err((node.place.line, format!("a reservation must be a mapping of {}", MEMBERS.join(", "))));
    };
    let mut entry = Map::new();
    for (key, value) in entries.iter().filter(|(key, _)| !key.name.starts_with("x-")) {
        check(&key.name, value).map_err(|message| (key.place.line, message))?;
        entry.insert(key.name.clone(), value.json());
    }
    if let (Some(_), Some((key, _))) = (node.get("count"), node.entry("device_ids")) {
        return Err((key.place.line, r#""count" and "device_ids" attributes are exclusive"#.to_owned()));
    }
    let capabilities = node.get("capabilities").map(strings);
    if let (None, Some(words)) = (node.get("driver"), &capabilities)
        && !words.is_empty()
        && !words.iter().any(|word| OF_GPUS.contains(word))
    {
        let message = format!("no capability of GPUs in {}; add gpu, or the driver", words.join(", "));
        return Err((node.place.line, message));
    }
    let is_complete = !needs_capabilities || capabilities.is_some_and(|words| !words.is_empty());
    Ok(Reservation { line: node.place.line, entry: Json::Object(entry), is_complete })
}

/// Whether a member is known and its value of the right shape.
fn check(name: &str, node: &Node) -> Result<(), String> {
    let is_right = match name {
        "driver" => node.text().is_some(),
        "count" => return check_count(node),
        "device_ids" => {
            let Value::List(items) = &node.value else { return Err("device_ids must be a list".to_owned()) };
            if items.is_empty() {
                return Err("device_ids is empty; leave it out for all devices".to_owned());
            }
            if let Some(Json::Number(number)) = items.iter().find(|item| item.text().is_none()).map(Node::json) {
                return Err(format!("device_ids must be strings; write \"{number}\""));
            }
            items.iter().all(|item| item.text().is_some())
        }
        "capabilities" => matches!(&node.value, Value::List(items) if items.iter().all(|item| item.text().is_some())),
        "options" => !matches!(node.value, Value::Scalar(_)),
        unknown => {
            let hint = match nearest(unknown, MEMBERS) {
                Some(known) => format!("did you mean {known:?}?"),
                None => format!("known are {}", MEMBERS.join(", ")),
            };
            return Err(format!("unknown attribute {}; {hint}", Escaped::quoted(unknown)));
        }
    };
    let expected = match name {
        "driver" => "a string",
        "options" => "a mapping, or a list of NAME=VALUE",
        _ => "a list of strings",
    };
    if is_right { Ok(()) } else { Err(format!("{name} must be {expected}")) }
}

fn check_count(node: &Node) -> Result<(), String> {
    let is_right = match &node.value {
        Value::Scalar(Json::Number(number)) => number.is_i64(),
        Value::Scalar(Json::String(text)) => {
            text.eq_ignore_ascii_case("all") || text.contains('$') || text.parse::<i64>().is_ok()
        }
        _ => false,
    };
    let json = node.json();
    let written = json.as_str().map_or_else(|| json.to_string(), str::to_owned);
    match is_right {
        true => Ok(()),
        false => {
            Err(format!("invalid value {}, the only value allowed is 'all' or a number", Escaped::quoted(&written)))
        }
    }
}

fn strings(node: &Node) -> Vec<&str> {
    if let Value::List(items) = &node.value { items.iter().filter_map(Node::text).collect() } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::yaml;
    use super::*;

    #[test]
    fn entries_are_kept_as_they_stand() {
        for (text, entry, is_complete) in [
            (
                "[{driver: nvidia, count: 1, capabilities: [gpu]}]",
                json!({"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}),
                true,
            ),
            ("[{driver: nvidia, count: all}]", json!({"driver": "nvidia", "count": "all"}), false),
            ("[{count: ALL, capabilities: []}]", json!({"count": "ALL", "capabilities": []}), false),
            ("[{count: 0, capabilities: [gpu]}]", json!({"count": 0, "capabilities": ["gpu"]}), true),
            ("[{count: '${N:-1}'}]", json!({"count": "${N:-1}"}), false),
            (
                "[{device_ids: ['0', GPU-1f], capabilities: [utility], options: {a: b}, x-note: 1}]",
                json!({"device_ids": ["0", "GPU-1f"], "capabilities": ["utility"], "options": {"a": "b"}}),
                true,
            ),
            ("[{driver: habana, capabilities: [hpu]}]", json!({"driver": "habana", "capabilities": ["hpu"]}), true),
            ("[{}]", json!({}), false),
        ] {
            let node = yaml::read(text).unwrap();
            assert_eq!(devices(&node), Ok(vec![Reservation { line: 1, entry: entry.clone(), is_complete }]), "{text}");
            assert_eq!(gpus(&node).unwrap(), [Reservation { line: 1, entry, is_complete: true }], "{text}");
        }
        let all = yaml::read("all").unwrap();
        assert_eq!(gpus(&all).unwrap(), [Reservation { line: 1, entry: json!({"count": "all"}), is_complete: true }]);
        assert_eq!((devices(&yaml::read("").unwrap()), gpus(&yaml::read("[]").unwrap())), (Ok(vec![]), Ok(vec![])));
    }

    #[test]
    fn errors_name_the_line_and_what_would_be_right() {
        for (text, line, message) in [
            ("- count: 1\n  device_ids: ['0']", 2, r#""count" and "device_ids" attributes are exclusive"#),
            ("- {}\n- count: x", 2, r#"invalid value "x", the only value allowed is 'all' or a number"#),
            ("- count: 1.5", 1, r#"invalid value "1.5", the only value allowed is 'all' or a number"#),
            ("- count:", 1, r#"invalid value "null", the only value allowed is 'all' or a number"#),
            ("- device_id: ['0']", 1, r#"unknown attribute "device_id"; did you mean "device_ids"?"#),
            ("- zzz: 1", 1, "unknown attribute \"zzz\"; known are driver, count,"),
            ("- device_ids: '0'", 1, "device_ids must be a list"),
            ("- device_ids: [0]", 1, "device_ids must be strings; write \"0\""),
            ("- device_ids: [[]]", 1, "device_ids must be a list of strings"),
            ("- device_ids: []", 1, "device_ids is empty; leave it out for all devices"),
            ("- driver: 1", 1, "driver must be a string"),
            ("- capabilities: gpu", 1, "capabilities must be a list of strings"),
            ("- options: x", 1, "options must be a mapping, or a list of NAME=VALUE"),
            ("- capabilities: [tpu]", 1, "no capability of GPUs in tpu; add gpu, or the driver"),
            ("- all", 1, "a reservation must be a mapping of driver, count, "),
        ] {
            let (at, wrong) = devices(&yaml::read(text).unwrap()).unwrap_err();
            assert!(at == line && wrong.starts_with(message), "{text:?}: {at} {wrong}");
        }
        for text in ["{a: b}", "4", "All", "'2'"] {
            let (_, wrong) = gpus(&yaml::read(text).unwrap()).unwrap_err();
            assert!(wrong.starts_with("gpus must be all"), "{text}: {wrong}");
        }
        assert_eq!(devices(&yaml::read("all").unwrap()).unwrap_err().1, "devices must be a list");
    }
}
