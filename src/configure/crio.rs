//! CRI-O: a drop-in of crio.conf.d, which is ours alone.
//!
//! Reads what the default runtime says, so that ours is monitored and annotated the same way.

use std::path::{Path, PathBuf};

use super::document::Document;
use super::{File, OURS, Plan, Runtime, own};
use crate::error::{Escaped, Result};
use crate::oci::json::quoted;

const RUNTIME: [&str; 2] = ["crio", "runtime"];
/// Keys that say which program a runtime is, and what that program needs.
const PROGRAM: [&str; 7] = [
    "runtime_path",
    "runtime_type",
    "runtime_root",
    "runtime_config_path",
    "inherit_default_runtime",
    "platform_runtime_paths",
    "container_min_memory",
];

/// The folder of drop-ins beside the main file, and how the names in it end.
pub(super) fn sources(config: &Path) -> (PathBuf, &'static str) {
    (config.with_file_name("crio.conf.d"), "conf")
}

/// The name of our drop-in. The last in the order of names wins.
pub(super) fn drop_in(name: &str) -> String {
    format!("99-{name}.conf")
}

/// Decides what the drop-in becomes. `files` are all that CRI-O reads, in its order.
pub(super) fn plan(drop_in: &File, files: &[File], name: &str, runtime: Option<&Runtime>) -> Result<Plan> {
    let Some(runtime) = runtime else { return Ok(Plan::of([own(drop_in, None)?])) };
    let mut documents = Vec::new();
    for file in files {
        documents.push((file, Document::parse(&file.path, file.text())?));
    }
    let default_of = |(_, document): &(&File, Document<'_>)| {
        document.string(&["crio", "runtime", "default_runtime"]).map(str::to_owned)
    };
    let is_ours = |(file, _): &&(&File, Document<'_>)| file.path == drop_in.path;
    let is_default = runtime.is_default
        || documents.iter().find(is_ours).and_then(default_of).is_some_and(|default| default == name);
    let others = || documents.iter().filter(|document| !is_ours(document));
    let default = others().rev().find_map(default_of);
    let candidates = [default.as_deref().unwrap_or("crun"), "crun", "runc"];
    let inherited =
        candidates.iter().find_map(|name| others().rev().find_map(|(_, document)| of_runtime(document, name)));
    let (kind, keys) = inherited.unwrap_or(("oci", String::new()));
    let chosen = match is_default {
        true => format!("[crio.runtime]\ndefault_runtime = \"{name}\"\n\n"),
        false => String::new(),
    };
    let text = format!(
        "{OURS}{chosen}[crio.runtime.runtimes.{name}]\nruntime_path = {}\nruntime_type = \"{kind}\"\n\
         runtime_root = \"/run/{name}\"\n{keys}",
        quoted(&runtime.path),
    );
    let later = others().filter(|(file, _)| file.path.parent() == drop_in.path.parent() && file.path > drop_in.path);
    let overruled = later.filter(|document| is_default && default_of(document).is_some());
    let notes: Vec<String> = overruled
        .map(|(file, _)| format!("{} is read later and sets another default_runtime", Escaped::path(&file.path)))
        .collect();
    Ok(Plan::of([own(drop_in, Some(text))?]).with(notes))
}

/// What `document` says of the runtime `name` that another beside it has to say too: how it is monitored, and the keys for that and
/// the rest as lines. `None` if it says nothing, or if that is a virtual machine's, which has no monitor.
fn of_runtime(document: &Document<'_>, name: &str) -> Option<(&'static str, String)> {
    let keys = [&RUNTIME[..], &["runtimes", name]].concat();
    let kind = match document.string(&[&keys[..], &["runtime_type"]].concat()) {
        None | Some("" | "oci") => "oci",
        // Its monitor is conmon-rs: CRI-O does not start with that as the monitor of the other kind.
        Some("pod") => "pod",
        Some(_) => return None,
    };
    let lines = document.table(&keys)?.iter().filter(|(key, value)| {
        // A table with a header of its own would not stand on a line.
        let is_line = !value.get_ref().is_table() || document.written(value).starts_with('{');
        is_line && !PROGRAM.contains(&key.get_ref().as_ref())
    });
    Some((kind, lines.map(|(key, value)| format!("{} = {}\n", key.get_ref(), document.written(value))).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.into(), text: Some(text.to_owned()) }
    }

    #[test]
    fn the_drop_in_is_monitored_as_the_default_runtime_is() {
        let drop_in = File { path: "/etc/crio/crio.conf.d/99-gpu-runc.conf".into(), text: None };
        let files = [
            file(
                "/etc/crio/crio.conf",
                "[crio.runtime]\ndefault_runtime = \"runc\"\n[crio.runtime.runtimes.runc]\nmonitor_path = \"/old\"\n",
            ),
            file(
                "/etc/crio/crio.conf.d/10-crun.conf",
                "[crio.runtime]\ndefault_runtime = 'crun'\n[crio.runtime.runtimes.crun]\nruntime_path = '/c'\nruntime_root = '/r'\n\
                 monitor_path = '/usr/libexec/crio/conmon' # c\nallowed_annotations = [\n 'a',\n]\ndefault_annotations = { a = 'b' }\n\
                 [crio.runtime.runtimes.crun.x]\n",
            ),
        ];
        let runtime = Runtime {
            name: "gpu-runc".into(),
            path: "/usr/bin/gpu-runc".into(),
            is_default: true,
            takes_annotations: false,
        };
        let planned = plan(&drop_in, &files, "gpu-runc", Some(&runtime)).unwrap();
        let expected = "[crio.runtime]\ndefault_runtime = \"gpu-runc\"\n\n[crio.runtime.runtimes.gpu-runc]\n\
            runtime_path = \"/usr/bin/gpu-runc\"\nruntime_type = \"oci\"\nruntime_root = \"/run/gpu-runc\"\n\
            allowed_annotations = [\n 'a',\n]\ndefault_annotations = { a = 'b' }\nmonitor_path = '/usr/libexec/crio/conmon'\n";
        let after = planned.changes[0].after.clone().unwrap();
        assert_eq!(after, format!("{OURS}{expected}"));

        let ours = File { text: Some(after), ..drop_in };
        let later = file("/etc/crio/crio.conf.d/99-zz.conf", "[crio.runtime]\ndefault_runtime = 'z'\n");
        let all = [&files[..1], std::slice::from_ref(&ours)].concat();
        let again =
            plan(&ours, &[&files[..], std::slice::from_ref(&ours)].concat(), "gpu-runc", Some(&runtime)).unwrap();
        assert!(again.changes.is_empty() && again.notes.is_empty(), "{again:?}");
        let kept = plan(&ours, &all, "gpu-runc", Some(&Runtime { is_default: false, ..runtime.clone() })).unwrap();
        assert!(kept.changes[0].after.clone().unwrap().contains("default_runtime = \"gpu-runc\""));
        let overruled = plan(&ours, &[&all[..], &[later]].concat(), "gpu-runc", Some(&runtime)).unwrap();
        assert!(overruled.notes[0].contains("99-zz.conf is read later"), "{overruled:?}");
        assert_eq!(plan(&ours, &all, "gpu-runc", None).unwrap().changes[0].after, None);
    }
    #[test]
    fn the_kind_of_monitor_is_that_of_the_runtime_whose_monitor_it_is() {
        let drop_in = File { path: "/etc/crio/crio.conf.d/99-gpu-runc.conf".into(), text: None };
        let runtime = Runtime {
            name: "gpu-runc".into(),
            path: "/usr/bin/gpu-runc".into(),
            is_default: false,
            takes_annotations: false,
        };
        let table = |name: &str, kind: &str, keys: &str| {
            format!("[crio.runtime.runtimes.{name}]\nruntime_type = '{kind}'\nmonitor_path = '/{name}'\n{keys}")
        };
        let root = "runtime_root = \"/run/gpu-runc\"\n";
        for (text, expected) in [
            (table("crun", "pod", ""), format!("runtime_type = \"pod\"\n{root}monitor_path = '/crun'\n")),
            (table("crun", "", ""), format!("runtime_type = \"oci\"\n{root}monitor_path = '/crun'\n")),
            (
                "[crio.runtime]\ndefault_runtime = 'kata'\n".to_owned()
                    + &table("kata", "vm", "runtime_config_path = '/k'\n")
                    + &table("runc", "oci", "container_min_memory = '12MiB'\n"),
                format!("runtime_type = \"oci\"\n{root}monitor_path = '/runc'\n"),
            ),
            (table("kata", "vm", ""), format!("runtime_type = \"oci\"\n{root}")),
        ] {
            let files = [file("/etc/crio/crio.conf", &text)];
            let planned = plan(&drop_in, &files, "gpu-runc", Some(&runtime)).unwrap();
            let after = planned.changes[0].after.clone().unwrap();
            assert!(after.ends_with(&format!("runtime_path = \"/usr/bin/gpu-runc\"\n{expected}")), "{text}: {after}");
        }
    }
}
