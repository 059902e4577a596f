//! Docker's daemon.json: one entry of `runtimes`, and `default-runtime`. Every other byte stays.
//!
//! dockerd refuses unknown keys of the root and passes over those of an entry (moby, daemon/config), so what the default was
//! is kept in our entry.

use super::{File, Plan, Runtime, members};
use crate::error::{Error, Result};
use crate::oci::json::{Object, quoted};

const RUNTIMES: &str = "runtimes";
const DEFAULT: &str = "default-runtime";
/// The member of our entry that holds the default that we replaced.
const WAS: &str = "replaced-default-runtime";
/// What is left, our entries taken out, of a file that we made, and of one that was blank: blank lines tell them apart.
const NO_FILE: &str = "{}\n\n";
const BLANK: &str = "{}\n\n\n";

/// Decides what daemon.json becomes.
pub(super) fn plan(file: &File, name: &str, runtime: Option<&Runtime>) -> Result<Plan> {
    let text = match &file.text {
        None => NO_FILE.to_owned(),
        Some(text) if text.trim().is_empty() => format!("{BLANK}{text}"),
        Some(text) => text.clone(),
    };
    if let Err(cause) = Object::parse(&text) {
        let message = format!("{cause}; nothing was changed");
        return Err(Error::Config { path: file.path.clone(), line: Some(cause.line()), message });
    }
    let edited = match runtime {
        Some(runtime) => with(&text, runtime),
        None => without(&text, name),
    };
    let edited = edited.map_err(|why| {
        let message = format!("{why}; nothing was changed");
        Error::Config { path: file.path.clone(), line: None, message }
    })?;
    let after = match edited.strip_prefix(BLANK) {
        _ if edited == NO_FILE => None,
        Some(blank) => Some(blank.to_owned()),
        None => Some(edited),
    };
    Ok(Plan::of([file.becomes(after)]))
}

fn with(text: &str, runtime: &Runtime) -> std::result::Result<String, String> {
    let (name, path) = (runtime.name.as_str(), quoted(&runtime.path));
    let entry = [RUNTIMES, name];
    // Looked at whether it is to change or not: what could not be taken out again is not put in.
    members::find(text, &[DEFAULT])?;
    members::find(text, &[RUNTIMES, name, WAS])?;
    let mut text = match (members::find(text, &[RUNTIMES])?, members::find(text, &entry)?) {
        (None, _) => members::with(text, &[], RUNTIMES, &format!("{{{}: {{\"path\": {path}}}}}", quoted(name)))?,
        (Some(_), None) => members::with(text, &[RUNTIMES], name, &format!("{{\"path\": {path}}}"))?,
        (Some(_), Some(_)) => match members::find(text, &[RUNTIMES, name, "path"])? {
            Some(old) => members::replaced(text, old, &path),
            None => members::with(text, &entry, "path", &path)?,
        },
    };
    if runtime.is_default {
        match members::find(&text, &[DEFAULT])? {
            None => text = members::with(&text, &[], DEFAULT, &quoted(name))?,
            Some(old) => {
                let was = text.get(old.clone()).unwrap_or_default().to_owned();
                if was != quoted(name) {
                    text = members::replaced(&text, old, &quoted(name));
                    text = members::with(&members::without(&text, &entry, WAS)?, &entry, WAS, &was)?;
                }
            }
        }
    }
    Ok(text)
}

fn without(text: &str, name: &str) -> std::result::Result<String, String> {
    let is_default = |text: &str| -> std::result::Result<_, String> {
        Ok(members::find(text, &[DEFAULT])?.filter(|span| text.get(span.clone()) == Some(&quoted(name))))
    };
    let mut text = text.to_owned();
    if let Some(span) = is_default(&text)? {
        let was = members::find(&text, &[RUNTIMES, name, WAS])?.and_then(|was| text.get(was)).map(str::to_owned);
        text = match was {
            Some(was) => members::replaced(&text, span, &was),
            None => members::without(&text, &[], DEFAULT)?,
        };
    }
    // An object that begins with our entry and without white space is one that we made.
    let is_ours = |span: std::ops::Range<usize>| {
        text.get(span).is_some_and(|object| object.starts_with(&format!("{{{}", quoted(name))))
    };
    let ours = members::find(&text, &[RUNTIMES])?.is_some_and(is_ours);
    let text = members::without(&text, &[RUNTIMES], name)?;
    let is_empty = members::find(&text, &[RUNTIMES])?.is_some_and(|rest| text.get(rest) == Some("{}"));
    if ours && is_empty { members::without(&text, &[], RUNTIMES) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime(is_default: bool) -> Runtime {
        Runtime {
            name: "gpu-runc".to_owned(),
            path: "/usr/bin/gpu-runc".to_owned(),
            is_default,
            takes_annotations: false,
        }
    }

    /// What the text becomes, `None` for no file.
    fn planned(text: Option<&str>, runtime: Option<&Runtime>) -> Option<String> {
        let file = File { path: "/etc/docker/daemon.json".into(), text: text.map(str::to_owned) };
        let plan = plan(&file, "gpu-runc", runtime).unwrap();
        plan.changes.into_iter().next().map_or(file.text, |change| change.after)
    }

    const ENTRY: &str = r#""gpu-runc": {"path": "/usr/bin/gpu-runc"}"#;

    #[test]
    fn the_entry_is_added_and_nothing_else_moves() {
        for (text, expected) in [
            (None, format!("{{\n  \"runtimes\": {{{ENTRY}}}\n}}\n\n")),
            (Some("{}"), format!("{{\n  \"runtimes\": {{{ENTRY}}}\n}}")),
            (
                Some("{\n    \"x\": 18446744073709551617,\n    \"a\": [1]\n}\n"),
                format!("{{\n    \"x\": 18446744073709551617,\n    \"a\": [1],\n    \"runtimes\": {{{ENTRY}}}\n}}\n"),
            ),
            (
                Some("{\"runtimes\": {\n  \"z\": {\"path\": \"z\"}\n}, \"a\": 1}"),
                format!("{{\"runtimes\": {{\n  \"z\": {{\"path\": \"z\"}},\n  {ENTRY}\n}}, \"a\": 1}}"),
            ),
            (
                Some(r#"{"runtimes": {"gpu-runc": {"path": "/old", "runtimeArgs": []}}}"#),
                r#"{"runtimes": {"gpu-runc": {"path": "/usr/bin/gpu-runc", "runtimeArgs": []}}}"#.to_owned(),
            ),
        ] {
            let given = planned(text, Some(&runtime(false)));
            assert_eq!(given.as_deref(), Some(expected.as_str()), "{text:?}");
        }
    }

    #[test]
    fn a_second_run_changes_nothing_and_taking_it_out_leaves_no_trace() {
        for text in [
            None,
            Some(""),
            Some("\n"),
            Some("{}"),
            Some("{}\n"),
            Some("{\n}\n"),
            Some("{\"runtimes\": {}}"),
            Some("{\n  \"runtimes\": {\n  }\n}\n"),
            Some("{\n  \"runtimes\": {\n    \"z\": {}\n  },\n  \"n\": 1e400\n}\n"),
            Some("{\"default-runtime\": \"nvidia\", \"runtimes\": {\"nvidia\":{\"path\":\"x\"}}}"),
            Some("{\t\"default-runtime\"  :\t\"runc\" }\r\n"),
        ] {
            for is_default in [false, true] {
                let once = planned(text, Some(&runtime(is_default)));
                assert_eq!(planned(once.as_deref(), Some(&runtime(is_default))), once, "{text:?}");
                assert_eq!(planned(once.as_deref(), Some(&runtime(false))), once, "a default stays: {text:?}");
                assert_eq!(planned(once.as_deref(), None).as_deref(), text, "{once:?}");
                let value: serde_json::Value = serde_json::from_str(&once.unwrap().replace("1e400", "0")).unwrap();
                assert_eq!(value["runtimes"]["gpu-runc"]["path"], "/usr/bin/gpu-runc", "{text:?}");
                assert!(!is_default || value["default-runtime"] == "gpu-runc");
            }
            let plain = planned(text, Some(&runtime(false)));
            let then = planned(plain.as_deref(), Some(&runtime(true)));
            assert_eq!(planned(then.as_deref(), None).as_deref(), text, "{then:?}");
        }
    }

    #[test]
    fn others_entries_survive_whatever_was_done_in_between() {
        let once = planned(None, Some(&runtime(true))).unwrap();
        let grown = once.replace("}}", "}, \"other\": {\"path\": \"/o\"}}");
        assert_eq!(planned(Some(&grown), None).unwrap(), "{\n  \"runtimes\": {\"other\": {\"path\": \"/o\"}}\n}\n\n");
    }

    #[test]
    fn what_cannot_be_edited_is_told_with_its_line() {
        for (text, message) in [
            ("{\n \"a\": 1,\n}", "/etc/docker/daemon.json:3: trailing comma"),
            ("[]", "/etc/docker/daemon.json:1: invalid type"),
            (r#"{"Runtimes": {}}"#, "\"Runtimes\" is spelled differently"),
            (r#"{"Default-runtime": "x"}"#, "\"Default-runtime\" is spelled differently"),
            (r#"{"runtimes": []}"#, "no object; nothing was changed"),
        ] {
            let file = File { path: "/etc/docker/daemon.json".into(), text: Some(text.to_owned()) };
            let error = plan(&file, "gpu-runc", Some(&runtime(false))).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
