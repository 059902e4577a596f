//! What a runtime of containerd says that a runtime beside it has to say too.
//!
//! Only reads; which file or table it goes to is not decided here.

use std::path::Path;

use super::containerd::{DEFAULT, PLUGINS};
use super::document::Document;
use crate::error::Result;

/// The annotations of pods that are requests to gpu-runc, as containerd matches them (Go, path.Match).
const ANNOTATIONS: &str = "gpu-runc/*";
/// Keys of a runtime that say which program it is, and so are not another's.
const PROGRAM: [&str; 5] = ["runtime_type", "runtime_path", "runtime_engine", "runtime_root", "BinaryName"];

/// The keys of a runtime and of its options, as lines, that a runtime beside it needs too.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Inherited {
    /// Those of the runtime's own table.
    keys: String,
    /// Those of its options.
    pub(super) options: String,
}

impl Inherited {
    /// The keys of the runtime's own table; with the annotations by which pods ask among those that it is handed, if they may.
    pub(super) fn keys(&self, takes_annotations: bool) -> Result<String> {
        match takes_annotations {
            true => Document::parse(Path::new(""), &self.keys)?.with_element("pod_annotations", ANNOTATIONS),
            false => Ok(self.keys.clone()),
        }
    }
}

/// What the runtime that containers get by default says beyond its program, or runc where that is another shim's: a cluster
/// whose runc has `SystemdCgroup` breaks with a runtime that has not. From the first of the `sources` that has it.
pub(super) fn inherited(sources: &[Option<&str>], own: &str) -> Inherited {
    let found = |source: &str| {
        let document = Document::parse(Path::new(""), source).ok()?;
        PLUGINS.iter().find_map(|plugin| of_plugin(&document, plugin, own))
    };
    sources.iter().copied().flatten().find_map(found).unwrap_or_default()
}

fn of_plugin(document: &Document<'_>, plugin: &str, own: &str) -> Option<Inherited> {
    let default = document.string(&["plugins", plugin, "containerd", DEFAULT]).filter(|name| *name != own);
    let candidates = [default.unwrap_or("runc"), "runc"];
    let runtimes = ["plugins", plugin, "containerd", "runtimes"];
    let is_runc = |name: &&&str| {
        let shim = document.string(&[&runtimes[..], &[name, "runtime_type"]].concat()).unwrap_or_default();
        shim.is_empty() || shim.starts_with("io.containerd.runc.") || shim == "io.containerd.runtime.v1.linux"
    };
    let name =
        candidates.iter().filter(is_runc).find(|name| document.table(&[&runtimes[..], &[name]].concat()).is_some())?;
    let lines = |table: &[&str]| {
        let entries =
            document.table(&[&runtimes[..], &[name], table].concat()).into_iter().flat_map(|table| table.iter());
        let said = entries.filter(|(key, value)| {
            let text = document.written(value);
            let is_default = ["\"\"", "''", "false", "0", "[]", "\"podsandbox\"", "'podsandbox'"].contains(&text);
            !value.get_ref().is_table() && !is_default && !PROGRAM.contains(&key.get_ref().as_ref())
        });
        said.map(|(key, value)| format!("{} = {}\n", key.get_ref(), document.written(value))).collect()
    };
    Some(Inherited { keys: lines(&[]), options: lines(&["options"]) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_those_of_the_default_runtime_where_it_is_one_of_runcs_shim() {
        let v2 = |text: &str| text.replace("CRI", "plugins.\"io.containerd.grpc.v1.cri\".containerd");
        let text = v2(
            "[CRI]\ndefault_runtime_name = 'nvidia'\n[CRI.runtimes.nvidia]\nruntime_type = 'io.containerd.runc.v2'\n\
                       pod_annotations = [\n  'a/*', # c\n]\nbase_runtime_spec = ''\nsandbox_mode = 'podsandbox'\ncgroup_writable = true\n\
                       [CRI.runtimes.nvidia.options]\nBinaryName = '/n'\nSystemdCgroup = true\nIoUid = 0\n\
                       [CRI.runtimes.runc.options]\nNoPivotRoot = true\n[CRI.runtimes.kata]\nruntime_type = 'io.containerd.kata.v2'\n",
        );
        let expected = |keys: &str, options: &str| Inherited { keys: keys.to_owned(), options: options.to_owned() };
        let nvidia =
            expected("cgroup_writable = true\npod_annotations = [\n  'a/*', # c\n]\n", "SystemdCgroup = true\n");
        assert_eq!(inherited(&[Some(&text)], "gpu-runc"), nvidia);
        let runc = expected("", "NoPivotRoot = true\n");
        assert_eq!(inherited(&[Some(&text.replace("= 'nvidia'", "= 'kata'"))], "gpu-runc"), runc);
        assert_eq!(inherited(&[Some(&text.replace("= 'nvidia'", "= 'gpu-runc'"))], "gpu-runc"), runc);
        assert_eq!(inherited(&[None, Some("no toml ="), Some(&text)], "gpu-runc"), nvidia, "the first that has it");
        let inline =
            "[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes]\nrunc = {options = {SystemdCgroup = true}}\n";
        assert_eq!(inherited(&[Some(inline)], "gpu-runc"), expected("", "SystemdCgroup = true\n"));
        assert_eq!(inherited(&[Some("")], "gpu-runc"), Inherited::default());
    }

    #[test]
    fn pods_annotations_are_handed_on_beside_those_that_are() {
        for (keys, expected) in [
            ("", "pod_annotations = [\"gpu-runc/*\"] # added by gpu-ctk\n"),
            ("pod_annotations = ['a/*']\nx = 1\n", "pod_annotations = ['a/*', \"gpu-runc/*\"]\nx = 1\n"),
        ] {
            let inherited = Inherited { keys: keys.to_owned(), options: String::new() };
            assert_eq!(inherited.keys(true).unwrap(), expected);
            assert_eq!(inherited.keys(false).unwrap(), keys);
        }
    }
}
