//! Docker's daemon.json: one entry of `runtimes`, and `default-runtime`. Every other byte stays.
//!
//! dockerd refuses unknown keys of the root and passes over those of an entry (moby, daemon/config), so what the default was
//! is kept in our entry.

use std::path::{Path, PathBuf};

use super::{Change, File, Plan, Runtime, members};
use crate::error::{Error, Escaped, Result};
use crate::oci::json::{Object, quoted, string};

const RUNTIMES: &str = "runtimes";
const DEFAULT: &str = "default-runtime";
/// The member of our entry that holds the default that we replaced.
const WAS: &str = "replaced-default-runtime";
/// What a person's program that is no gpu-runc would not have: without it, an entry of ours for one could not be told from theirs.
const BY: &str = "set-by";
const US: &str = "\"gpu-ctk\"";
/// The member of our entry that holds the directory of the names by which Docker takes `--gpus`.
const NAMES: &str = "gpus-names-dir";
/// What is left, our entries taken out, of a file that we made, a space after it; of one that an earlier version made; and of one that
/// was blank.
const NO_FILE: &str = "{} \n";
const NO_FILE_BEFORE: &str = "{}\n\n";
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
        _ if [NO_FILE, NO_FILE_BEFORE].contains(&edited.as_str()) => None,
        Some(blank) => Some(blank.to_owned()),
        None => Some(edited),
    };
    let is_left = runtime.is_none() && !is_ours(&text, name).unwrap_or(true);
    let note = || format!("{}: the runtime \"{name}\" was set by hand and stays", Escaped::path(&file.path));
    Ok(Plan::of([file.becomes(after)]).with(is_left.then(note)))
}

/// The directory of the names that the entry of `name` in `file` records. `None`: it records none.
pub(super) fn names_directory(file: &File, name: &str) -> Result<Option<PathBuf>> {
    let found = members::find(file.text(), &[RUNTIMES, name, NAMES]).map_err(|why| {
        let message = format!("{why}; nothing was changed");
        Error::Config { path: file.path.clone(), line: None, message }
    });
    let span = if file.text().trim().is_empty() { None } else { found? };
    let value = span.and_then(|span| string(file.text().get(span)?));
    Ok(value.map(|value| PathBuf::from(value.into_owned())))
}

/// `plan`, made for `file`, in which the entry of `name` records `directory` too. An error where the entry is a person's own.
pub(super) fn recorded(mut plan: Plan, file: &File, name: &str, directory: &Path) -> Result<Plan> {
    let fault = |why: String| {
        let message = format!("{why}; nothing was changed");
        Error::Config { path: file.path.clone(), line: None, message }
    };
    let change = plan.changes.pop().unwrap_or_else(|| file.becomes(file.text.clone()));
    let text = change.after.clone().unwrap_or_default();
    if !is_ours(&text, name).map_err(fault)? {
        return Err(fault(format!(
            "the runtime \"{name}\" was set by hand; remove it, so that gpu-ctk can note in it what it does for --gpus"
        )));
    }
    let directory = quoted(&directory.to_string_lossy());
    let entry = [RUNTIMES, name];
    let text = match members::find(&text, &[RUNTIMES, name, NAMES]).map_err(fault)? {
        Some(old) => members::replaced(&text, old, &directory),
        None => members::with(&text, &entry, NAMES, &directory).map_err(fault)?,
    };
    plan.changes.extend(Plan::of([Change { after: Some(text), ..change }]).changes);
    Ok(plan)
}

type Edited = std::result::Result<String, String>;

/// Whether the entry of `name`, if there is one, is what we write.
fn is_ours(text: &str, name: &str) -> std::result::Result<bool, String> {
    let Some(entry) = members::find(text, &[RUNTIMES, name])?.and_then(|span| text.get(span)) else { return Ok(true) };
    let Ok(entry) = Object::parse(entry) else { return Ok(false) };
    let is_marked = [BY, WAS, NAMES].iter().any(|mark| entry.get(mark).is_some());
    let program = entry.get("path").and_then(string);
    let is_gpu_runc = program.is_some_and(|path| is_gpu_runc(&path));
    Ok(is_marked || is_gpu_runc && entry.members().all(|(member, _)| member == "path"))
}

fn is_gpu_runc(path: &str) -> bool {
    path.rsplit('/').next() == Some("gpu-runc")
}

fn with(text: &str, runtime: &Runtime) -> Edited {
    let (name, path) = (runtime.name.as_str(), quoted(&runtime.path));
    let entry = [RUNTIMES, name];
    // Looked at whether it is to change or not: what could not be taken out again is not put in.
    let default = members::find(text, &[DEFAULT])?;
    members::find(text, &[RUNTIMES, name, WAS])?;
    if !is_ours(text, name)? {
        let is_default = default.is_some_and(|span| text.get(span) == Some(&quoted(name)));
        let program = members::find(text, &[RUNTIMES, name, "path"])?.and_then(|span| text.get(span));
        // A person's own is as good if it is the same program.
        return match program == Some(&path) && (is_default || !runtime.is_default) {
            true => Ok(text.to_owned()),
            false => Err(format!(
                "there is a runtime \"{name}\" already, set by hand; remove it, or choose another --runtime-name"
            )),
        };
    }
    let mark = if is_gpu_runc(&runtime.path) { String::new() } else { format!(", \"{BY}\": {US}") };
    let fresh = format!("{{\"path\": {path}{mark}}}");
    let mut text = match (members::find(text, &[RUNTIMES])?, members::find(text, &entry)?) {
        (None, _) => members::with(text, &[], RUNTIMES, &format!("{{{}: {fresh}}}", quoted(name)))?,
        (Some(_), None) => members::with(text, &[RUNTIMES], name, &fresh)?,
        (Some(_), Some(_)) => {
            let text = match members::find(text, &[RUNTIMES, name, "path"])? {
                Some(old) => members::replaced(text, old, &path),
                None => members::with(text, &entry, "path", &path)?,
            };
            match mark.is_empty() || members::find(&text, &[RUNTIMES, name, BY])?.is_some() {
                true => text,
                false => members::with(&text, &entry, BY, US)?,
            }
        }
    };
    if runtime.is_default {
        match members::find(&text, &[DEFAULT])?.map(|old| text.get(old).unwrap_or_default().to_owned()) {
            None => text = members::with(&text, &[], DEFAULT, &quoted(name))?,
            Some(was) if was != quoted(name) => {
                text = without_replaced(&text, name)?;
                if let Some(old) = members::find(&text, &[DEFAULT])? {
                    text = members::replaced(&text, old, &quoted(name));
                }
                text = members::with(&members::without(&text, &entry, WAS)?, &entry, WAS, &was)?;
            }
            Some(_) => {}
        }
    }
    Ok(text)
}

/// `text` in which no other runtime of ours will make `name` the default when it goes: what that took the place of comes in its stead.
fn without_replaced(text: &str, name: &str) -> Edited {
    let mut text = text.to_owned();
    let was = |text: &str, name: &str| -> std::result::Result<_, String> {
        Ok(members::find(text, &[RUNTIMES, name, WAS])?.and_then(|was| text.get(was)).map(str::to_owned))
    };
    let before = was(&text, name)?;
    let Some(runtimes) = members::find(&text, &[RUNTIMES])? else { return Ok(text) };
    let Ok(runtimes) = Object::parse(text.get(runtimes).unwrap_or_default()) else { return Ok(text) };
    let is_object = |value: &&str| value.starts_with('{');
    let others = runtimes.members().filter(|(other, value)| **other != name && is_object(value));
    let others: Vec<String> = others.map(|(other, _)| other.to_string()).collect();
    for other in others {
        let Some(span) = members::find(&text, &[RUNTIMES, &other, WAS])? else { continue };
        if text.get(span.clone()) == Some(&quoted(name)) {
            text = match &before {
                Some(before) => members::replaced(&text, span, before),
                None => members::without(&text, &[RUNTIMES, &other], WAS)?,
            };
        }
    }
    Ok(text)
}

fn without(text: &str, name: &str) -> Edited {
    if !is_ours(text, name)? {
        return Ok(text.to_owned());
    }
    let is_default = |text: &str| -> std::result::Result<_, String> {
        Ok(members::find(text, &[DEFAULT])?.filter(|span| text.get(span.clone()) == Some(&quoted(name))))
    };
    let mut text = without_replaced(text, name)?;
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
            (None, format!("{{\n  \"runtimes\": {{{ENTRY}}}\n}} \n")),
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
                Some(r#"{"runtimes": {"gpu-runc": {"path": "/old/gpu-runc"}}}"#),
                r#"{"runtimes": {"gpu-runc": {"path": "/usr/bin/gpu-runc"}}}"#.to_owned(),
            ),
            (
                Some(r#"{"runtimes": {"gpu-runc": {"path": "/old", "runtimeArgs": [], "set-by": "gpu-ctk"}}}"#),
                r#"{"runtimes": {"gpu-runc": {"path": "/usr/bin/gpu-runc", "runtimeArgs": [], "set-by": "gpu-ctk"}}}"#
                    .to_owned(),
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
            Some("{}\n \n"),
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
    fn the_directory_of_names_is_recorded_in_our_entry_and_goes_with_it() {
        for text in [None, Some("{}"), Some("{\"runtimes\": {\"gpu-runc\": {\"path\": \"/usr/bin/gpu-runc\"}}}")] {
            let file = File { path: "/etc/docker/daemon.json".into(), text: text.map(str::to_owned) };
            let once = plan(&file, "gpu-runc", Some(&runtime(true))).unwrap();
            let once = recorded(once, &file, "gpu-runc", Path::new("/usr/local/bin")).unwrap();
            let after = File { text: once.changes[0].after.clone(), ..file.clone() };
            assert_eq!(names_directory(&after, "gpu-runc").unwrap(), Some("/usr/local/bin".into()), "{after:?}");
            let again = plan(&after, "gpu-runc", Some(&runtime(false))).unwrap();
            assert_eq!(again.changes, [], "it stays");
            let other = recorded(again, &after, "gpu-runc", Path::new("/usr/bin")).unwrap();
            assert!(other.changes[0].after.as_ref().unwrap().contains("\"gpus-names-dir\": \"/usr/bin\""), "{other:?}");
            assert_eq!(recorded(Plan::default(), &after, "gpu-runc", Path::new("/usr/local/bin")).unwrap().changes, []);
            if text != Some("{\"runtimes\": {\"gpu-runc\": {\"path\": \"/usr/bin/gpu-runc\"}}}") {
                assert_eq!(planned(after.text.as_deref(), None).as_deref(), text);
            }
        }
        let own = r#"{"default-runtime": "gpu-runc", "runtimes": {"gpu-runc": {"path": "/usr/bin/gpu-runc", "runtimeArgs": []}}}"#;
        let file = File { path: "/etc/docker/daemon.json".into(), text: Some(own.to_owned()) };
        let refused = recorded(Plan::default(), &file, "gpu-runc", Path::new("/usr/bin")).unwrap_err().to_string();
        assert!(
            refused.contains("was set by hand; remove it") && refused.ends_with("nothing was changed"),
            "{refused}"
        );
        assert_eq!(names_directory(&file, "gpu-runc").unwrap(), None);
        assert_eq!(names_directory(&File { text: None, ..file }, "gpu-runc").unwrap(), None);
    }

    #[test]
    fn others_entries_survive_whatever_was_done_in_between() {
        let once = planned(None, Some(&runtime(true))).unwrap();
        let grown = once.replace("}}", "}, \"other\": {\"path\": \"/o\"}}");
        assert_eq!(planned(Some(&grown), None).unwrap(), "{\n  \"runtimes\": {\"other\": {\"path\": \"/o\"}}\n} \n");
    }

    #[test]
    fn what_cannot_be_edited_is_told_with_its_line() {
        for (text, message) in [
            ("{\n \"a\": 1,\n}", "/etc/docker/daemon.json:3: trailing comma"),
            ("[]", "/etc/docker/daemon.json:1: invalid type"),
            (r#"{"Runtimes": {}}"#, "\"Runtimes\" is spelled differently"),
            (r#"{"Default-runtime": "x"}"#, "\"Default-runtime\" is spelled differently"),
            (r#"{"runtimes": [1]}"#, "daemon.json: \"runtimes\" is no object; nothing was changed"),
            (r#"{"runtimes": {"gpu-runc": 1}}"#, "\"gpu-runc\" is no object; nothing was changed"),
        ] {
            let file = File { path: "/etc/docker/daemon.json".into(), text: Some(text.to_owned()) };
            let error = plan(&file, "gpu-runc", Some(&runtime(false))).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn what_an_earlier_version_made_goes_too() {
        let old = format!("{{\n  \"runtimes\": {{{ENTRY}}}\n}}\n\n");
        assert_eq!(planned(Some(&old), None), None);
        assert_eq!(planned(Some(&old), Some(&runtime(false))).as_deref(), Some(old.as_str()));
    }

    #[test]
    fn a_persons_own_entry_is_told_and_not_replaced_and_stays() {
        for entry in [
            r#"{"path": "/opt/mine/gpu-runc", "runtimeArgs": ["--debug"]}"#,
            r#"{"path": "nvidia-container-runtime"}"#,
            r#"{"runtimeType": "io.containerd.runc.v2"}"#,
            "{}",
        ] {
            let text = format!("{{\"runtimes\": {{\"gpu-runc\": {entry}}}, \"default-runtime\": \"gpu-runc\"}}");
            let file = File { path: "/etc/docker/daemon.json".into(), text: Some(text) };
            let refused = plan(&file, "gpu-runc", Some(&runtime(false))).unwrap_err().to_string();
            let message = "there is a runtime \"gpu-runc\" already, set by hand; remove it, or choose another --runtime-name; nothing";
            assert!(refused.contains(message), "{refused}");
            let left = plan(&file, "gpu-runc", None).unwrap();
            assert!(left.changes.is_empty() && left.notes[0].ends_with("was set by hand and stays"), "{left:?}");
        }
        let same = r#"{"runtimes": {"gpu-runc": {"path": "/usr/bin/gpu-runc", "runtimeArgs": ["--debug"]}}}"#;
        assert_eq!(planned(Some(same), Some(&runtime(false))).as_deref(), Some(same), "it is what was wished for");
        let other = Runtime { path: "/opt/wrapper".to_owned(), ..runtime(true) };
        let once = planned(Some("{}"), Some(&other)).unwrap();
        assert_eq!(
            planned(Some(&once), Some(&Runtime { path: "/opt/w".to_owned(), ..other })).unwrap().len(),
            once.len() - 6
        );
        assert_eq!(planned(Some(&once), None).unwrap(), "{}", "a program of another name is ours if we wrote it");
    }

    #[test]
    fn of_several_runtimes_any_can_go_first_and_the_default_is_always_there() {
        let step = |text: Option<String>, name: &str, is_default: Option<bool>| {
            let file = File { path: "/etc/docker/daemon.json".into(), text };
            let runtime = is_default.map(|is_default| Runtime { name: name.to_owned(), ..runtime(is_default) });
            let plan = plan(&file, name, runtime.as_ref()).unwrap();
            let after = plan.changes.into_iter().next().map_or(file.text, |change| change.after);
            let value: serde_json::Value =
                after.as_deref().map_or(serde_json::json!({}), |text| serde_json::from_str(text).unwrap());
            let default = value["default-runtime"].as_str().unwrap_or("runc");
            let is_there = default == "runc" || value["runtimes"].get(default).is_some();
            assert!(is_there, "{name} {is_default:?}: {after:?}");
            after
        };
        for before in
            [None, Some("{}"), Some("{\"default-runtime\": \"runc\", \"runtimes\": {\"z\": {\"path\": \"z\"}}}")]
        {
            for order in
                [["a", "b", "c"], ["a", "c", "b"], ["b", "a", "c"], ["b", "c", "a"], ["c", "a", "b"], ["c", "b", "a"]]
            {
                for again in ["a", "b", "c"] {
                    let mut text = before.map(str::to_owned);
                    for name in ["a", "b", "c", again] {
                        text = step(text, name, Some(true));
                    }
                    for name in order {
                        text = step(text, name, None);
                    }
                    assert_eq!(text.as_deref(), before, "{order:?} {again}");
                }
            }
        }
    }
}
