//! What a writer of JSON that goes through types of its own does to a document that it does not mean to change.

use serde_json::{Map, Value};

use super::difference::Sight;

/// Whether a writer may leave the member out.
fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_u64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(members) => members.values().all(is_zero),
        Value::Bool(true) => false,
    }
}

/// Without all that a writer may leave out.
pub(crate) fn bare(value: &Value) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .filter(|(_, value)| !is_zero(value))
            .map(|(name, value)| (name.clone(), bare(value)))
            .collect(),
        Value::Array(list) => list.iter().map(bare).collect(),
        other => other.clone(),
    }
}

/// The members of the runtime specification 1.3, as far as the cases name others: those nobody but us keeps.
const UNKNOWN: [&str; 4] = ["futureMember", "futureObject", "enableCMT", "enableMBM"];

/// Makes what stands in `theirs` as it did in the document before stand as it was written there.
pub(crate) fn untouched(theirs: &mut Value, sight: &Sight<'_>) -> bool {
    fn restore(theirs: &mut Value, before: &Value) -> bool {
        match (theirs, before) {
            (Value::Object(theirs), Value::Object(before)) => restore_members(theirs, before),
            (Value::Array(theirs), Value::Array(before)) => {
                let mut changed = false;
                for entry in theirs.iter_mut() {
                    let was = before.iter().find(|was| bare(was) == bare(entry));
                    if let Some(was) = was.filter(|was| *was != entry) {
                        *entry = was.clone();
                        changed = true;
                    }
                }
                changed
            }
            _ => false,
        }
    }
    fn restore_members(theirs: &mut Map<String, Value>, before: &Map<String, Value>) -> bool {
        let there = theirs.len();
        theirs.retain(|name, value| before.contains_key(name) || !is_zero(value));
        let mut changed = theirs.len() != there;
        if let Some(process) = theirs.get_mut("process").filter(|_| !before.contains_key("process")) {
            changed |= bare(process) != *process;
            *process = bare(process);
        }
        for (name, was) in before {
            match theirs.get_mut(name) {
                Some(value) => changed |= restore(value, was),
                None if is_zero(was) || UNKNOWN.contains(&name.as_str()) => {
                    theirs.insert(name.clone(), was.clone());
                    changed = true;
                }
                None => {}
            }
        }
        changed
    }
    restore(theirs, sight.before)
}
