//! The annotation's value for a list of reservations, in one of the two grammars that gpu-runc reads.
//!
//! Pure. podman before 5.0 splits an annotation at commas and stumbles over quotes, so what can be said without either is said in
//! the words of `--gpus`; everything else is the list itself, in JSON, which older podmans refuse out loud.

use serde_json::Value as Json;

/// The value that asks for what the entries reserve.
pub(super) fn of(entries: &[&Json]) -> String {
    let short = if let [entry] = entries { in_a_word(entry) } else { None };
    short.unwrap_or_else(|| entries.iter().copied().cloned().collect::<Json>().to_string())
}

/// `all`, `2`, `device=0` or `driver=amd`, where that is all that the entry says.
fn in_a_word(entry: &Json) -> Option<String> {
    if entry.get("options").is_some_and(|options| !options.is_null()) {
        return None;
    }
    let ids = match entry.get("device_ids") {
        Some(ids) => Some(ids.as_array()?.as_slice()),
        None => None,
    };
    let driver = match entry.get("driver") {
        Some(driver) => Some(driver.as_str()?),
        None => None,
    };
    let count = entry.get("count").map(|count| count.as_str().map_or_else(|| count.to_string(), str::to_lowercase));
    let value = match (driver, count.as_deref(), ids) {
        (None, None, None) => "all".to_owned(),
        (None, Some(count), None) => count.to_owned(),
        (None, None, Some([id])) => format!("device={}", id.as_str()?),
        (Some(driver), Some("1"), None) => format!("driver={driver}"),
        _ => return None,
    };
    // A variable may come to anything.
    if value.contains([',', '"', '$', '\n', '\r']) { None } else { Some(value) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_can_be_said_without_commas_and_quotes_is() {
        for (entry, value) in [
            (json!({}), "all"),
            (json!({"count": "ALL", "capabilities": ["gpu"]}), "all"),
            (json!({"count": 2}), "2"),
            (json!({"count": "0"}), "0"),
            (json!({"device_ids": ["GPU-1f"]}), "device=GPU-1f"),
            (json!({"driver": "amd", "count": 1}), "driver=amd"),
            (json!({"driver": "amd"}), r#"[{"driver":"amd"}]"#),
            (json!({"driver": "amd", "count": "all"}), r#"[{"count":"all","driver":"amd"}]"#),
            (json!({"device_ids": ["0", "1"]}), r#"[{"device_ids":["0","1"]}]"#),
            (json!({"device_ids": ["0,1"]}), r#"[{"device_ids":["0,1"]}]"#),
            (
                json!({"count": 1, "options": {"lease": "exclusive"}}),
                r#"[{"count":1,"options":{"lease":"exclusive"}}]"#,
            ),
            (json!({"count": "${N}"}), r#"[{"count":"${N}"}]"#),
        ] {
            assert_eq!(of(&[&entry]), value);
            assert_eq!(of(&[&entry, &entry]), json!([entry, entry]).to_string());
        }
    }
}
