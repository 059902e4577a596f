//! As much of Helm's templates as the chart uses, and no more: a template that needs more is too clever.
//!
//! On a line: `{{ .A.b }}` and `{{ .A.b | toJson }}`. As a line: `{{- if .A.b }}`, `{{- if not .A.b }}`, `{{- if eq .A.b "c" }}`,
//! `{{- end }}`.

use serde_json::Value;

/// The text that `template` becomes.
pub(crate) fn render(template: &str, scope: &Value) -> String {
    let mut text = String::new();
    let mut shown: Vec<bool> = Vec::new();
    for line in template.lines() {
        match line.strip_prefix("{{- ").and_then(|line| line.strip_suffix(" }}")) {
            Some("end") => drop(shown.pop().expect("an end without an if")),
            Some(action) => {
                let condition = action.strip_prefix("if ").unwrap_or_else(|| panic!("{action}"));
                let holds = shown.iter().all(|shown| *shown) && holds(condition, scope);
                shown.push(holds);
            }
            None if shown.iter().all(|shown| *shown) => text += &(filled(line, scope) + "\n"),
            None => {}
        }
    }
    assert!(shown.is_empty(), "an if without an end:\n{template}");
    text
}

fn value<'a>(path: &str, scope: &'a Value) -> &'a Value {
    let pointer = path.replace('.', "/");
    scope.pointer(&pointer).unwrap_or_else(|| panic!("{path} is not in the values"))
}

fn holds(condition: &str, scope: &Value) -> bool {
    let is_true = |value: &Value| match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(object) => !object.is_empty(),
    };
    match condition.split(' ').collect::<Vec<_>>()[..] {
        ["not", path] => !is_true(value(path, scope)),
        ["eq", path, literal] => *value(path, scope) == literal.trim_matches('"'),
        [path] => is_true(value(path, scope)),
        _ => panic!("{condition}"),
    }
}

fn filled(line: &str, scope: &Value) -> String {
    let mut parts = line.split("{{ ");
    let mut text = parts.next().unwrap().to_owned();
    for part in parts {
        let (action, rest) = part.split_once(" }}").unwrap_or_else(|| panic!("{line}"));
        let shown = match action.split_once(" | ") {
            Some((path, "toJson")) => value(path, scope).to_string(),
            Some(_) => panic!("{action}"),
            None => match value(action, scope) {
                Value::String(text) => text.clone(),
                value => value.to_string(),
            },
        };
        text += &shown;
        text += rest;
    }
    text
}
