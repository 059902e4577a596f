//! k3s and rke2: containerd's configuration as they render it, and the template that they render it from.
//!
//! The rendered file is theirs and is only read. It says whether it imports drop-ins; where it does not, a template carries
//! the runtime (k3s, pkg/agent/containerd: the template of version 3 wins over that of version 2).

use std::path::{Path, PathBuf};

use super::containerd::{drop_in_name, is_imported, plugin, tables};
use super::document::{Document, block, with_block, without_block};
use super::inherited::inherited;
use super::{File, OURS, Plan, Runtime, own};
use crate::error::{Error, Result};

/// A template that was not there. It has to begin with the base.
const MADE: &str = "{{ template \"base\" . }}\n# Written by gpu-ctk runtime configure; --unconfigure removes it.\n\n";

/// The template of `version` beside the rendered file.
pub(super) fn template(rendered: &Path, version: u64) -> PathBuf {
    rendered.with_file_name(if version >= 3 { "config-v3.toml.tmpl" } else { "config.toml.tmpl" })
}

/// Our drop-in, if the rendered file imports it and its containerd merges what is imported.
pub(super) fn drop_in(rendered: &File, name: &str) -> Result<Option<PathBuf>> {
    let document = Document::parse(&rendered.path, rendered.text())?;
    let folder = rendered.path.parent().unwrap_or(Path::new("/"));
    let path = folder.join("config-v3.toml.d").join(drop_in_name(name));
    let merges = document.integer(&["version"])?.is_some_and(|version| version >= 3);
    Ok(is_imported(&document, folder, &path)?.then_some(path).filter(|_| merges))
}

/// Decides what the drop-in, if there can be one, and the templates of versions 3 and 2 become.
pub(super) fn plan(
    rendered: &File,
    drop_in: Option<&File>,
    templates: &[File; 2],
    name: &str,
    runtime: Option<&Runtime>,
) -> Result<Plan> {
    let [three, two] = templates;
    let Some(runtime) = runtime else {
        let gone = drop_in.map(|drop_in| own(drop_in, None)).transpose()?;
        return Ok(Plan::of(templates.iter().map(|template| bare(template, name)).chain(gone)));
    };
    let inherited = inherited(&[rendered.text.as_deref()], name);
    if let Some(drop_in) = drop_in {
        let has_default = drop_in.text().contains("default_runtime_name");
        let runtime = Runtime { is_default: runtime.is_default || has_default, ..runtime.clone() };
        let text = format!("{OURS}version = 3\n\n{}", tables(plugin(3), &runtime, &inherited, true)?);
        let change = own(drop_in, Some(text))?;
        return Ok(Plan::of(templates.iter().map(|template| bare(template, name)).chain([change])));
    }
    if runtime.is_default {
        let why = "the default runtime is the agent's own affair here; start it with --default-runtime";
        return Err(Error::Usage(format!("--set-as-default: {why} {name}")));
    }
    let rendered_version = Document::parse(&rendered.path, rendered.text())?.integer(&["version"])?;
    let is_two = three.text.is_none() && (two.text.is_some() || rendered_version == Some(2));
    let (template, version) = if is_two { (two, 2) } else { (three, 3) };
    let lines = tables(plugin(version), runtime, &inherited, false)?;
    let base = template.text.as_ref().map_or_else(|| MADE.to_owned(), |text| without_block(text, name));
    if let Some(line) = base.lines().position(|line| defines(line, name)) {
        let message = format!("there is a runtime \"{name}\" already; remove it, or choose another --runtime-name");
        return Err(Error::Config { path: template.path.clone(), line: Some(line + 1), message });
    }
    let after = match block(template.text(), name) == block(&with_block("", name, &lines), name) {
        true => template.text.clone(),
        false => Some(with_block(&base, name, &lines)),
    };
    Ok(Plan::of([template.becomes(after)]))
}

fn bare(template: &File, name: &str) -> super::Change {
    let after = template.text.as_ref().map(|text| without_block(text, name));
    template.becomes(after.filter(|after| after != MADE))
}

/// Whether a line of a template, which is no TOML yet, is the header of the runtime's table.
fn defines(line: &str, name: &str) -> bool {
    let line = line.trim();
    let header = line.strip_prefix('[').and_then(|line| line.split(']').next()).unwrap_or_default();
    [format!(".runtimes.{name}"), format!(".runtimes.\"{name}\""), format!(".runtimes.'{name}'")]
        .iter()
        .any(|end| header.ends_with(end.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOLDER: &str = "/var/lib/rancher/k3s/agent/etc/containerd";
    const V3: &str = "version = 3\nimports = [\"/var/lib/rancher/k3s/agent/etc/containerd/config-v3.toml.d/*.toml\"]\n\
        [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]\nruntime_type = \"io.containerd.runc.v2\"\n\
        [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]\nSystemdCgroup = true\n";

    fn file(name: &str, text: Option<&str>) -> File {
        File { path: Path::new(FOLDER).join(name), text: text.map(str::to_owned) }
    }

    fn templates(three: Option<&str>, two: Option<&str>) -> [File; 2] {
        [file("config-v3.toml.tmpl", three), file("config.toml.tmpl", two)]
    }

    fn runtime(is_default: bool) -> Runtime {
        Runtime { name: "gpu-runc".into(), path: "/usr/bin/gpu-runc".into(), is_default, takes_annotations: false }
    }

    #[test]
    fn a_drop_in_is_used_where_the_rendered_file_imports_it() {
        let rendered = file("config.toml", Some(V3));
        let path = drop_in(&rendered, "gpu-runc").unwrap().unwrap();
        assert_eq!(path, Path::new(FOLDER).join("config-v3.toml.d/99-gpu-runc.toml"));
        let ours = File { path, text: None };
        let planned = plan(&rendered, Some(&ours), &templates(None, None), "gpu-runc", Some(&runtime(true))).unwrap();
        let after = planned.changes[0].after.clone().unwrap();
        assert!(after.starts_with(&format!(
            "{OURS}version = 3\n\n[plugins.\"io.containerd.cri.v1.runtime\".containerd]\ndefault_runtime_name = "
        )));
        assert!(after.ends_with("BinaryName = \"/usr/bin/gpu-runc\"\nSystemdCgroup = true\n"), "{after}");
        for text in ["", "version = 3\n", &V3.replace("version = 3", "version = 2"), &V3.replace("-v3", "")] {
            assert_eq!(drop_in(&file("config.toml", Some(text)), "gpu-runc").unwrap(), None, "{text}");
        }
    }

    #[test]
    fn a_template_carries_it_elsewhere_and_is_given_back() {
        for (rendered, three, two, template, names) in [
            (None, None, None, "config-v3.toml.tmpl", "io.containerd.cri.v1.runtime"),
            (Some("version = 2\n"), None, None, "config.toml.tmpl", "io.containerd.grpc.v1.cri"),
            (Some("version = 3\n"), None, Some("{{ x }}"), "config.toml.tmpl", "io.containerd.grpc.v1.cri"),
            (
                Some("version = 2\n"),
                Some("{{ x }}\n"),
                Some("y"),
                "config-v3.toml.tmpl",
                "io.containerd.cri.v1.runtime",
            ),
        ] {
            let (rendered, before) = (file("config.toml", rendered), templates(three, two));
            let planned = plan(&rendered, None, &before, "gpu-runc", Some(&runtime(false))).unwrap();
            let [change] = planned.changes.as_slice() else { panic!("{planned:?}") };
            assert_eq!(change.path, Path::new(FOLDER).join(template));
            let after = change.after.clone().unwrap();
            assert!(after.contains(&format!("[plugins.\"{names}\".containerd.runtimes.gpu-runc.options]")), "{after}");
            assert!(after.starts_with(change.before.as_deref().unwrap_or("{{ template \"base\" . }}\n")), "{after}");
            let now = before.clone().map(|file| match file.path == change.path {
                true => File { text: Some(after.clone()), ..file },
                false => file,
            });
            let again = plan(&rendered, None, &now, "gpu-runc", Some(&runtime(false))).unwrap();
            assert!(again.changes.is_empty(), "{again:?}");
            let out = plan(&rendered, None, &now, "gpu-runc", None).unwrap();
            assert_eq!(out.changes.len(), 1);
            assert_eq!(out.changes[0].after, change.before);
        }
    }

    #[test]
    fn what_a_template_cannot_say_is_refused() {
        let (rendered, none) = (file("config.toml", None), templates(None, None));
        let refused = plan(&rendered, None, &none, "gpu-runc", Some(&runtime(true))).unwrap_err().to_string();
        assert!(refused.ends_with("start it with --default-runtime gpu-runc"), "{refused}");
        let theirs = templates(Some("{{ x }}\n  [plugins.\"a\".containerd.runtimes.'gpu-runc'] # c\n"), None);
        let refused = plan(&rendered, None, &theirs, "gpu-runc", Some(&runtime(false))).unwrap_err().to_string();
        assert!(refused.contains("config-v3.toml.tmpl:2: there is a runtime \"gpu-runc\" already"), "{refused}");
    }
}
