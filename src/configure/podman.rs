//! podman: a drop-in of containers.conf.d, which is ours alone.
//!
//! A list of a later file replaces that of an earlier one, so `runtime_supports_json` has to repeat what the others say.

use std::path::{Path, PathBuf};

use super::document::Document;
use super::{File, OURS, Plan, Runtime, own};
use crate::error::Result;
use crate::oci::json::{array, quoted};

/// What podman takes for granted when no file has the list (containers/common, pkg/config).
const SUPPORT_JSON: [&str; 6] = ["crun", "runc", "kata", "runsc", "youki", "krun"];
const LIST: [&str; 2] = ["engine", "runtime_supports_json"];

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

/// Decides what the drop-in becomes. `files` are all that podman reads, in its order.
pub(super) fn plan(drop_in: &File, files: &[File], name: &str, runtime: Option<&Runtime>) -> Result<Plan> {
    let Some(runtime) = runtime else { return Ok(Plan::of([own(drop_in, None)?])) };
    let mut supported: Vec<String> = SUPPORT_JSON.map(str::to_owned).to_vec();
    let mut was_default = false;
    for file in files {
        let document = Document::parse(&file.path, file.text())?;
        if file.path == drop_in.path {
            was_default = document.string(&["engine", "runtime"]) == Some(name);
        } else if let Some(list) = document.get(&LIST).and_then(|list| list.get_ref().as_array()) {
            // Beside names there may be `{append = true}`.
            supported = list.iter().filter_map(|item| item.get_ref().as_str()).map(str::to_owned).collect();
        }
    }
    if !supported.iter().any(|known| known == name) {
        supported.push(name.to_owned());
    }
    let supported: Vec<String> = supported.iter().map(|known| quoted(known)).collect();
    let default = match runtime.is_default || was_default {
        true => format!("runtime = \"{name}\"\n"),
        false => String::new(),
    };
    let text = format!(
        "{OURS}[engine]\n{default}runtime_supports_json = {}\n\n[engine.runtimes]\n{name} = {}\n",
        array(&supported).replace(',', ", "),
        array(&[quoted(&runtime.path)])
    );
    Ok(Plan::of([own(drop_in, Some(text))?]))
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
            let plan = plan(&drop_in, files, "gpu-runc", Some(&runtime)).unwrap();
            plan.changes[0].after.clone().unwrap()
        };
        let tail = "\n\n[engine.runtimes]\ngpu-runc = [\"/usr/bin/gpu-runc\"]\n";
        assert_eq!(
            planned(&[]),
            format!(
                "{OURS}[engine]\nruntime_supports_json = [\"crun\", \"runc\", \"kata\", \"runsc\", \"youki\", \"krun\", \"gpu-runc\"]{tail}"
            )
        );
        let text = Some("[engine]\nruntime_supports_json = ['runc', 'mine', {append = true}]\n".to_owned());
        let after = planned(&[File { path: "/etc/containers/containers.conf".into(), text }]);
        assert_eq!(after, format!("{OURS}[engine]\nruntime_supports_json = [\"runc\", \"mine\", \"gpu-runc\"]{tail}"));
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
        let again = plan(&ours, std::slice::from_ref(&ours), "gpu-runc", Some(&runtime)).unwrap();
        assert!(again.changes[0].after.clone().unwrap().contains("[engine]\nruntime = \"gpu-runc\"\n"));
        let theirs = file("[engine]\n");
        for runtime in [Some(&runtime), None] {
            let refused = plan(&theirs, std::slice::from_ref(&theirs), "gpu-runc", runtime).unwrap_err().to_string();
            assert!(refused.contains("somebody else wrote this file"), "{refused}");
        }
    }
}
