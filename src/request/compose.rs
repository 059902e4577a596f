//! The `devices` list of a compose file's resource reservations, as JSON: what stands there, with its defaults.
//!
//! Pure. Differs from compose in that `capabilities` may be left out.

use serde_json::{Map, Value};

use crate::error::{Escaped, nearest};

use super::Options;
use super::gpus::DeviceRequest;

/// The most entries that a list may have.
const MOST: usize = 64;
const MEMBERS: [&str; 5] = ["driver", "count", "device_ids", "capabilities", "options"];

/// Reads the list. An error names the entry at fault.
pub(super) fn parse(json: &str) -> Result<Vec<DeviceRequest>, String> {
    let entries: Vec<Map<String, Value>> =
        serde_json::from_str(json).map_err(|error| format!("no JSON list of device requests: {error}"))?;
    if entries.len() > MOST {
        return Err(format!("more than {MOST} device requests"));
    }
    let in_entry = |(at, entry)| parse_entry(entry).map_err(|error| format!("devices[{at}]: {error}"));
    entries.iter().enumerate().map(in_entry).collect()
}

fn parse_entry(entry: &Map<String, Value>) -> Result<DeviceRequest, String> {
    if let Some(unknown) = entry.keys().find(|key| !MEMBERS.contains(&key.as_str())) {
        let hint = match nearest(unknown, MEMBERS) {
            Some(known) => format!("did you mean {known:?}?"),
            None => format!("known are {}", MEMBERS.join(", ")),
        };
        return Err(format!("unknown attribute {}; {hint}", Escaped::quoted(unknown)));
    }
    let driver = entry.get("driver").map_or(Ok(String::new()), |driver| string(driver, "driver"))?;
    let (count, ids) = match (entry.get("count"), entry.get("device_ids")) {
        (Some(_), Some(_)) => return Err(r#""count" and "device_ids" attributes are exclusive"#.to_owned()),
        (None, None) => (-1, Vec::new()),
        (Some(count), None) => (parse_count(count)?, Vec::new()),
        (None, Some(Value::Array(ids))) => {
            (0, ids.iter().map(|id| string(id, "device_ids")).collect::<Result<_, _>>()?)
        }
        (None, Some(_)) => return Err(r#""device_ids" must be a list of strings"#.to_owned()),
    };
    let options = entry.get("options").map_or(Ok(Options::default()), parse_options)?;
    Ok(DeviceRequest { driver, count, ids, options })
}

/// A mapping of names to values, or a list of `NAME=VALUE`, as compose takes both.
fn parse_options(options: &Value) -> Result<Options, String> {
    let pairs: Vec<(String, String)> = match options {
        Value::Null => Vec::new(),
        Value::Object(map) => {
            let pairs = map.iter().map(|(key, value)| Ok((key.clone(), scalar(value)?)));
            pairs.collect::<Result<_, String>>()?
        }
        Value::Array(items) => items.iter().map(pair).collect::<Result<_, String>>()?,
        _ => return Err(r#""options" must be a mapping, or a list of NAME=VALUE"#.to_owned()),
    };
    Options::parse(pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())))
}

fn pair(item: &Value) -> Result<(String, String), String> {
    let pair = item.as_str().and_then(|text| text.split_once('='));
    let (key, value) = pair.ok_or_else(|| r#""options" must be a mapping, or a list of NAME=VALUE"#.to_owned())?;
    Ok((key.to_owned(), value.to_owned()))
}

/// A value of an option as text: compose files hold `memory: 1024` without quotes.
fn scalar(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(word) => Ok(word.to_string()),
        Value::Null => Ok(String::new()),
        Value::Array(_) | Value::Object(_) => Err(r#"values of "options" must be texts or numbers"#.to_owned()),
    }
}

fn parse_count(count: &Value) -> Result<i64, String> {
    let number = match count {
        Value::Number(number) => number.as_i64(),
        Value::String(word) if word.eq_ignore_ascii_case("all") => Some(-1),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    let written = || count.as_str().map_or_else(|| count.to_string(), str::to_owned);
    number.ok_or_else(|| {
        format!("invalid value {}, the only value allowed is 'all' or a number", Escaped::quoted(&written()))
    })
}

fn string(value: &Value, member: &str) -> Result<String, String> {
    value.as_str().map(str::to_owned).ok_or_else(|| match member {
        "device_ids" => format!("{member:?} must be a list of strings"),
        _ => format!("{member:?} must be a string"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Lease;

    #[test]
    fn entries_mean_what_they_mean_in_a_compose_file() {
        for (json, driver, count, ids) in [
            (r#"[{"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}]"#, "nvidia", 1, &[] as &[&str]),
            (r#"[{"count": "all"}]"#, "", -1, &[]),
            (r#"[{"count": "All"}]"#, "", -1, &[]),
            (r#"[{"count": "2"}]"#, "", 2, &[]),
            (r#"[{"count": 0}]"#, "", 0, &[]),
            (r#"[{"count": -3}]"#, "", -3, &[]),
            ("[{}]", "", -1, &[]),
            (r#"[{"device_ids": ["0", "GPU-1f"]}]"#, "", 0, &["0", "GPU-1f"]),
            (r#"[{"device_ids": []}]"#, "", 0, &[]),
        ] {
            let ids = ids.iter().map(|&id| id.to_owned()).collect();
            let request = DeviceRequest { driver: driver.into(), count, ids, options: Options::default() };
            assert_eq!(parse(json), Ok(vec![request]), "{json}");
        }
        assert_eq!(parse("[]"), Ok(vec![]));
        assert_eq!(parse("[{}, {}]").unwrap().len(), 2);
        assert_eq!(parse(&format!("[{}{{}}]", "{},".repeat(63))).unwrap().len(), MOST);
    }

    #[test]
    fn options_are_a_mapping_or_a_list() {
        let exclusive = Options { lease: Lease::Exclusive, memory: Some(1 << 30), ..Options::default() };
        for (options, expected) in [
            (r#"{"lease": "exclusive", "memory": 1073741824}"#, Ok(exclusive.clone())),
            (r#"["lease=exclusive", "memory=1g"]"#, Ok(exclusive)),
            ("null", Ok(Options::default())),
            ("{}", Ok(Options::default())),
            ("[]", Ok(Options::default())),
            (r#"{"a": "b"}"#, Err(r#"devices[0]: unknown option "a"; known are lease, pick, near, model, memory"#)),
            (r#"{"lease": null}"#, Err(r#"devices[0]: option lease is ""; expected shared, exclusive"#)),
            (r#"{"memory": true}"#, Err(r#"devices[0]: option memory is "true"; expected"#)),
            (r#"{"lease": {}}"#, Err(r#"devices[0]: values of "options" must be texts or numbers"#)),
            (r#"["lease"]"#, Err(r#"devices[0]: "options" must be a mapping, or a list of NAME=VALUE"#)),
            (r#""lease=exclusive""#, Err(r#"devices[0]: "options" must be a mapping, or a list of NAME=VALUE"#)),
        ] {
            let read = parse(&format!(r#"[{{"count": 1, "options": {options}}}]"#));
            match (read, expected) {
                (Ok(read), Ok(expected)) => assert_eq!(read.first().unwrap().options, expected, "{options}"),
                (Err(error), Err(expected)) => assert!(error.starts_with(expected), "{options}: {error}"),
                (read, _) => panic!("{options}: {read:?}"),
            }
        }
    }

    #[test]
    fn errors_name_the_entry_and_what_would_be_right() {
        for (json, error) in [
            (
                r#"[{"count": 1, "device_ids": ["0"]}]"#,
                r#"devices[0]: "count" and "device_ids" attributes are exclusive"#,
            ),
            (
                r#"[{}, {"count": "x"}]"#,
                r#"devices[1]: invalid value "x", the only value allowed is 'all' or a number"#,
            ),
            (r#"[{"count": 1.5}]"#, r#"devices[0]: invalid value "1.5", the only value allowed is 'all' or a number"#),
            (
                r#"[{"count": null}]"#,
                r#"devices[0]: invalid value "null", the only value allowed is 'all' or a number"#,
            ),
            (r#"[{"device_id": ["0"]}]"#, r#"devices[0]: unknown attribute "device_id"; did you mean "device_ids"?"#),
            (
                r#"[{"zzz": 1}]"#,
                r#"devices[0]: unknown attribute "zzz"; known are driver, count, device_ids, capabilities, options"#,
            ),
            (r#"[{"device_ids": "0"}]"#, r#"devices[0]: "device_ids" must be a list of strings"#),
            (r#"[{"device_ids": [0]}]"#, r#"devices[0]: "device_ids" must be a list of strings"#),
            (r#"[{"driver": 1}]"#, r#"devices[0]: "driver" must be a string"#),
            ("[{]", "no JSON list of device requests: key must be a string at line 1 column 3"),
        ] {
            assert_eq!(parse(json).unwrap_err(), error, "{json}");
        }
        assert_eq!(parse(&format!("[{}{{}}]", "{},".repeat(64))).unwrap_err(), "more than 64 device requests");
        assert!(parse(&"[".repeat(60_000)).is_err(), "deep nesting is refused, not followed");
    }
}
