//! podman: a drop-in of containers.conf.d, which is ours alone.
//!
//! A list of a later file replaces that of an earlier one, so the lists that gpu-runc joins have to repeat what the others say; the
//! lists that it does not join, as `runtime_supports_kvm`, are not written at all.

use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::DeValue;

use super::document::Document;
use super::{File, OURS, Plan, Runtime, own};
use crate::error::{Escaped, Result};
use crate::oci::json::{array, quoted};

/// A list of runtimes that can do something, and what podman takes for granted when no file has it (containers/common, pkg/config).
const SUPPORT_JSON: (&str, &[&str]) = ("runtime_supports_json", &["crun", "runc", "kata", "runsc", "youki", "krun"]);
const SUPPORT_NO_CGROUPS: (&str, &[&str]) = ("runtime_supports_nocgroups", &["crun", "krun"]);
/// What podman runs where no file says otherwise, and gpu-runc for podman.
const USUAL: &str = "crun";

/// podman's main file where it is not a user's own.
pub(super) const SYSTEM: &str = "/etc/containers/containers.conf";
/// What a distribution says before it.
pub(super) const SHARED: &str = "/usr/share/containers/containers.conf";

/// The folder of drop-ins of `config`.
pub(super) fn folder(config: &Path) -> PathBuf {
    let mut name = config.file_name().unwrap_or_default().to_owned();
    name.push(".d");
    config.with_file_name(name)
}

/// The name of our drop-in. The last in the order of names wins.
pub(super) fn drop_in(name: &str) -> String {
    format!("99-{name}.conf")
}

/// Decides what the drop-in becomes. `files` are all that podman reads, in its order. gpu-runc can do without cgroups what crun can, if
/// it is there (`has_crun`).
pub(super) fn plan(
    drop_in: &File,
    files: &[File],
    has_crun: bool,
    name: &str,
    runtime: Option<&Runtime>,
) -> Result<Plan> {
    let Some(runtime) = runtime else { return Ok(Plan::of([own(drop_in, None)?])) };
    let [mut json, mut no_cgroups] =
        [SUPPORT_JSON, SUPPORT_NO_CGROUPS].map(|(_, known)| known.iter().map(|name| (*name).to_owned()).collect());
    let (mut was_default, mut theirs) = (false, None);
    for file in files {
        let document = Document::parse(&file.path, file.text())?;
        let default = document.string(&["engine", "runtime"]);
        if file.path == drop_in.path {
            was_default = default == Some(name);
            continue;
        }
        theirs = default.map(str::to_owned).or(theirs);
        take(&document, SUPPORT_JSON.0, &mut json);
        take(&document, SUPPORT_NO_CGROUPS.0, &mut no_cgroups);
    }
    let joins = has_crun && no_cgroups.iter().any(|known| known == USUAL);
    let list = |key: &str, mut names: Vec<String>| {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
        let names: Vec<String> = names.iter().map(|known| quoted(known)).collect();
        format!("{key} = {}\n", array(&names).replace(',', ", "))
    };
    let default = match runtime.is_default || was_default {
        true => format!("runtime = \"{name}\"\n"),
        false => String::new(),
    };
    let no_cgroups = if joins { list(SUPPORT_NO_CGROUPS.0, no_cgroups) } else { String::new() };
    let text = format!(
        "{OURS}[engine]\n{default}{}{no_cgroups}\n[engine.runtimes]\n{name} = {}\n",
        list(SUPPORT_JSON.0, json),
        array(&[quoted(&runtime.path)])
    );
    let other = theirs.filter(|theirs| theirs != USUAL && theirs != name && !theirs.ends_with("/crun"));
    let note = other.map(|theirs| {
        format!(
            "podman's own default runtime is {}, and gpu-runc runs crun for podman; to change that, list yours as \"runtimes\" in \
             /etc/gpu-runc/config.toml",
            Escaped::quoted(&theirs)
        )
    });
    Ok(Plan::of([own(drop_in, Some(text))?]).with(note))
}

/// Makes `names` what podman has after it has read the list `key` of `document`, which adds to what was before if it says so.
fn take(document: &Document<'_>, key: &str, names: &mut Vec<String>) {
    let Some(list) = document.get(&["engine", key]).and_then(|list| list.get_ref().as_array()) else { return };
    let adds = |item: &Spanned<DeValue<'_>>| {
        let append = item.get_ref().as_table().and_then(|table| table.get("append")?.get_ref().as_bool());
        append == Some(true)
    };
    if !list.iter().any(adds) {
        names.clear();
    }
    for name in list.iter().filter_map(|item| item.get_ref().as_str()) {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_runtimes_that_speak_json_keeps_what_it_had() {
        let drop_in = File { path: "/etc/containers/containers.conf.d/99-gpu-runc.conf".into(), text: None };
        let runtime = Runtime {
            name: "gpu-runc".into(),
            path: "/usr/bin/gpu-runc".into(),
            is_default: false,
            takes_annotations: false,
        };
        let planned = |files: &[File]| {
            let plan = plan(&drop_in, files, false, "gpu-runc", Some(&runtime)).unwrap();
            (plan.changes[0].after.clone().unwrap(), plan.notes)
        };
        let tail = "\n\n[engine.runtimes]\ngpu-runc = [\"/usr/bin/gpu-runc\"]\n";
        assert_eq!(
            planned(&[]).0,
            format!(
                "{OURS}[engine]\nruntime_supports_json = [\"crun\", \"runc\", \"kata\", \"runsc\", \"youki\", \"krun\", \"gpu-runc\"]{tail}"
            )
        );
        let conf = |text: &str| File { path: "/etc/containers/containers.conf".into(), text: Some(text.to_owned()) };
        let after = planned(&[conf("[engine]\nruntime_supports_json = ['runc', 'mine']\n")]).0;
        assert_eq!(after, format!("{OURS}[engine]\nruntime_supports_json = [\"runc\", \"mine\", \"gpu-runc\"]{tail}"));
        let after = planned(&[conf("[engine]\nruntime_supports_json = ['runc', 'mine', {append = true}]\n")]).0;
        assert!(
            after.contains("[\"crun\", \"runc\", \"kata\", \"runsc\", \"youki\", \"krun\", \"mine\", \"gpu-runc\"]"),
            "{after}"
        );
        for (runtime, is_noted) in
            [("crun", false), ("/usr/bin/crun", false), ("gpu-runc", false), ("runc", true), ("kata", true)]
        {
            let notes = planned(&[conf(&format!("[engine]\nruntime = {runtime:?}\n"))]).1;
            assert_eq!(!notes.is_empty(), is_noted, "{runtime}: {notes:?}");
        }
    }

    #[test]
    fn what_crun_can_do_without_cgroups_gpu_runc_can_where_crun_is() {
        let drop_in = File { path: "/etc/containers/containers.conf.d/99-gpu-runc.conf".into(), text: None };
        let runtime = Runtime {
            name: "gpu-runc".into(),
            path: "/usr/bin/gpu-runc".into(),
            is_default: false,
            takes_annotations: false,
        };
        for (text, has_crun, expected) in [
            ("", true, "runtime_supports_nocgroups = [\"crun\", \"krun\", \"gpu-runc\"]\n"),
            ("", false, ""),
            ("[engine]\nruntime_supports_nocgroups = ['krun']\n", true, ""),
            (
                "[engine]\nruntime_supports_nocgroups = ['crun', 'x']\nruntime_supports_kvm = ['kata']\n",
                true,
                "runtime_supports_nocgroups = [\"crun\", \"x\", \"gpu-runc\"]\n",
            ),
        ] {
            let file = File { path: "/etc/containers/containers.conf".into(), text: Some(text.to_owned()) };
            let plan = plan(&drop_in, &[file], has_crun, "gpu-runc", Some(&runtime)).unwrap();
            let after = plan.changes[0].after.clone().unwrap();
            let found: String =
                after.lines().filter(|line| line.contains("nocgroups")).map(|line| format!("{line}\n")).collect();
            assert_eq!(found, expected, "{text}");
            assert!(!after.contains("kvm"), "{after}");
        }
    }

    #[test]
    fn a_default_stays_and_what_others_wrote_is_not_replaced() {
        let path = "/etc/containers/containers.conf.d/99-gpu-runc.conf";
        let file = |text: &str| File { path: path.into(), text: Some(text.to_owned()) };
        let runtime = Runtime {
            name: "gpu-runc".into(),
            path: "/usr/bin/gpu-runc".into(),
            is_default: false,
            takes_annotations: false,
        };
        let ours = file(&format!("{OURS}[engine]\nruntime = \"gpu-runc\"\n"));
        let again = plan(&ours, std::slice::from_ref(&ours), true, "gpu-runc", Some(&runtime)).unwrap();
        assert!(again.changes[0].after.clone().unwrap().contains("[engine]\nruntime = \"gpu-runc\"\n"));
        let theirs = file("[engine]\n");
        for runtime in [Some(&runtime), None] {
            let refused =
                plan(&theirs, std::slice::from_ref(&theirs), true, "gpu-runc", runtime).unwrap_err().to_string();
            assert!(refused.contains("somebody else wrote this file"), "{refused}");
        }
    }
}
