//! containerd's config.toml and the drop-in beside it: one more runtime of the CRI plugin.
//!
//! containerd 1.x takes a drop-in's plugin section in place of the root file's, so there it is edited in place; 2.x merges
//! them. Files of two versions are not merged well: 2.3 refuses a drop-in of a higher version than the root file, 2.0 migrates
//! neither (cmd/containerd/server/config). So a drop-in has the root file's version, and beside a file of version 1 is none.

use std::path::{Path, PathBuf};

use super::document::{Document, block_lines, blocks, with_block};
use super::inherited::{Inherited, inherited};
use super::shared::{self, Block};
use super::{FOLDER_TOO, File, OURS, Plan, Runtime, own};
use crate::error::{Error, Escaped, Result};
use crate::host::pattern::Pattern;
use crate::oci::json::quoted;

/// The CRI plugin's names: of file versions 3 and later, 2, and 1.
pub(super) const PLUGINS: [&str; 3] = ["io.containerd.cri.v1.runtime", "io.containerd.grpc.v1.cri", "cri"];
pub(super) const DEFAULT: &str = "default_runtime_name";

/// What containerd says of itself; nothing where it cannot be asked.
#[derive(Debug, Clone, Default)]
pub struct Said {
    /// The first number of its version.
    pub major: Option<u64>,
    /// The configuration that it makes of its files.
    pub effective: Option<String>,
}

/// The name of our drop-in: others' that are read before it do not undo it.
pub(super) fn drop_in_name(name: &str) -> String {
    format!("99-{name}.toml")
}

/// Where our drop-in is, or would be: in the first folder that the root file takes it from.
pub(super) fn drop_in(root: &File, name: &str) -> Result<PathBuf> {
    let text = shared::bare(root.text());
    let document = Document::parse(&root.path, &text)?;
    let folder = root.path.parent().unwrap_or(Path::new("/"));
    let file = drop_in_name(name);
    let known = document.strings(&["imports"])?.into_iter().find_map(|(import, _)| {
        let path = folder.join(import);
        path.file_name()
            .is_some_and(|name| Pattern::new(&name.to_string_lossy()).matches(&file))
            .then(|| path.with_file_name(&file))
    });
    Ok(known.unwrap_or_else(|| folder.join("conf.d").join(file)))
}

/// Decides what the root file and our drop-in become.
pub(super) fn plan(root: &File, drop_in: &File, said: &Said, name: &str, runtime: Option<&Runtime>) -> Result<Plan> {
    // What a person adds may be what our block says already: taken out, it is put in anew or stays out.
    let version = Document::parse(&root.path, &shared::bare(root.text()))?.integer(&["version"])?;
    let Some(runtime) = runtime else {
        // First nothing imports it, then it goes.
        let bare = root.text.as_ref().map(|_| without(root, drop_in, name)).transpose()?;
        let after = bare.filter(|bare| ![2, 3].map(made).contains(&bare.replacen(FOLDER_TOO, "", 1)));
        return Ok(Plan::of([root.becomes(after), own(drop_in, None)?]));
    };
    let is_two = said.major.is_some_and(|major| major >= 2) || version.is_some_and(|version| version >= 3);
    let is_default = runtime.is_default || is_default(root, name)? || is_default(drop_in, name)?;
    let runtime = Runtime { is_default, ..runtime.clone() };
    let made = made(if is_two { 3 } else { 2 });
    let inherited = inherited(&[said.effective.as_deref(), root.text.as_deref()], name);
    let drop_in_version = if root.text.is_none() { Some(3) } else { version.filter(|version| *version >= 2) };
    let plan = if let Some(version) = drop_in_version.filter(|_| is_two) {
        let base = if root.text.is_none() { made } else { without_runtime(root, name)? };
        let root_after = with_import(root, &base, drop_in)?;
        let text =
            format!("{OURS}version = {}\n\n{}", version.min(3), tables(plugin(version), &runtime, &inherited, true)?);
        Plan::of([own(drop_in, Some(text))?, root.becomes(Some(root_after))]).with(disabled(root, &base)?)
    } else {
        let plugin = match version {
            None | Some(0 | 1) if root.text.is_some() => "cri",
            _ => plugin(2),
        };
        let is_forgotten = runtime.is_default;
        let base = if root.text.is_none() { made } else { without_own(root, &[plugin], name, is_forgotten)? };
        // A drop-in of ours would take the whole section's place; one is left from a containerd 2.x at most.
        Plan::of([root.becomes(Some(in_place(root, &base, plugin, &runtime, &inherited)?)), own(drop_in, None)?])
            .with(disabled(root, &base)?)
    };
    Ok(plan)
}

/// A root file that was not there.
fn made(version: u64) -> String {
    format!("{OURS}version = {version}\n")
}

/// The CRI plugin's name in files of `version`.
pub(super) fn plugin(version: u64) -> &'static str {
    if version >= 3 { "io.containerd.cri.v1.runtime" } else { "io.containerd.grpc.v1.cri" }
}

/// The root file's text without the tables and values of `name`.
fn without_runtime(root: &File, name: &str) -> Result<String> {
    Ok(shared::taken_out(&without_own(root, &PLUGINS, name, true)?, name))
}

/// The same, but that its block stays where it is, with what it says for all of ours. What replaced it as the default may give it
/// back, unless it `is_forgotten`.
fn without_own(root: &File, plugins: &[&str], name: &str, is_forgotten: bool) -> Result<String> {
    let mut text = shared::emptied(&shared::settled(&root.path, root.text())?, name, plugins);
    for plugin in PLUGINS {
        let table = ["plugins", plugin, "containerd"];
        text = Document::parse(&root.path, &text)?.without_string(&table, DEFAULT, name);
        if is_forgotten {
            text = Document::parse(&root.path, &text)?.without_replaced(&table, DEFAULT, name);
        }
    }
    Ok(text)
}

/// The root file's text without anything of ours. An error where that would leave a default that is no runtime.
fn without(root: &File, drop_in: &File, name: &str) -> Result<String> {
    let text = without_runtime(root, name)?;
    let text = Document::parse(&root.path, &text)?.without_element("imports", &drop_in.path.to_string_lossy());
    let document = Document::parse(&root.path, &text)?;
    for plugin in PLUGINS {
        let table = ["plugins", plugin, "containerd"];
        let default = document.get(&[&table[..], &[DEFAULT]].concat());
        let is_defined = document.get(&[&table[..], &["runtimes", name]].concat()).is_some();
        if let Some(default) = default.filter(|default| default.get_ref().as_str() == Some(name) && !is_defined) {
            let message = format!("{DEFAULT} was set to \"{name}\" by hand; choose another default first");
            return Err(document.fault(default.span(), &message));
        }
    }
    Ok(text)
}

/// Whether `file` makes the runtime the default, by our block or by another line.
fn is_default(file: &File, name: &str) -> Result<bool> {
    let text = file.text();
    let bare = shared::bare(text);
    // Each for itself: what a person added may be what a block says already.
    for part in blocks(text).into_iter().filter_map(|block| block_lines(text, block)).chain([bare.as_str()]) {
        let document = Document::parse(&file.path, part)?;
        if PLUGINS.iter().any(|plugin| document.string(&["plugins", plugin, "containerd", DEFAULT]) == Some(name)) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn with_import(root: &File, base: &str, drop_in: &File) -> Result<String> {
    let document = Document::parse(&root.path, base)?;
    let folder = root.path.parent().unwrap_or(Path::new("/"));
    match is_imported(&document, folder, &drop_in.path)? {
        true => Ok(base.to_owned()),
        false => document.with_element("imports", &drop_in.path.to_string_lossy()),
    }
}

/// Whether the file of `document`, in `folder`, imports `path`.
pub(super) fn is_imported(document: &Document<'_>, folder: &Path, path: &Path) -> Result<bool> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let matches = |import: &str| {
        let import = folder.join(import);
        let pattern = import.file_name().unwrap_or_default().to_string_lossy();
        import.parent() == path.parent() && Pattern::new(&pattern).matches(&name)
    };
    Ok(document.strings(&["imports"])?.into_iter().any(|(import, _)| matches(import)))
}

/// The root file with the runtime in it. A block of ours that is there stays where it is.
fn in_place(root: &File, base: &str, plugin: &str, runtime: &Runtime, inherited: &Inherited) -> Result<String> {
    let document = Document::parse(&root.path, base)?;
    if let Some(found) = document.get(&["plugins", plugin, "containerd", "runtimes", &runtime.name]) {
        let message = format!(
            "there is a runtime \"{0}\" already, set by hand; remove it, or choose another --runtime-name",
            runtime.name
        );
        return Err(document.fault(found.span(), &message));
    }
    let table = ["plugins", plugin, "containerd"];
    let with_default = match runtime.is_default {
        true => document.with_string(&table, DEFAULT, &runtime.name)?,
        false => Some(base.to_owned()),
    };
    let has_own_table = with_default.is_none();
    let text = with_default.unwrap_or_else(|| base.to_owned());
    let bare = shared::bare(&text);
    let runtimes = [&table[..], &["runtimes"]].concat();
    let has_runc = document.table(&[&runtimes[..], &["runc"]].concat()).is_some()
        || Document::parse(&root.path, &bare)?.table(&runtimes).is_some();
    let runc = if has_runc { String::new() } else { shared::runc(plugin) + "\n" };
    let lines = tables(plugin, runtime, inherited, has_own_table)?;
    let said = shared::split(&text, &runtime.name, plugin);
    let kept = Block { runc: if said.runc.is_empty() { &runc } else { said.runc }, ..said }.lines();
    let gap = if kept.is_empty() { "" } else { "\n" };
    let after = with_block(&text, &runtime.name, &format!("{kept}{gap}{lines}"));
    if let Err(cause) = Document::parse(&root.path, &after) {
        let message = "its tables cannot be added to, nothing was changed; add this by hand".to_owned();
        return Err(match cause {
            Error::Config { path, line, .. } => Error::ByHand { path, line, message, lines: format!("{runc}{lines}") },
            other => other,
        });
    }
    Ok(after)
}

/// The runtime as tables of TOML; with the default in a table of its own if `names_default`.
pub(super) fn tables(plugin: &str, runtime: &Runtime, inherited: &Inherited, names_default: bool) -> Result<String> {
    let name = &runtime.name;
    let keys = inherited.keys(runtime.takes_annotations)?;
    let containerd = header(plugin);
    let default = match runtime.is_default && names_default {
        true => format!("[{containerd}]\n{DEFAULT} = \"{name}\"\n\n"),
        false => String::new(),
    };
    Ok(format!(
        "{default}[{containerd}.runtimes.{name}]\nruntime_type = \"io.containerd.runc.v2\"\n{keys}\n\
         [{containerd}.runtimes.{name}.options]\nBinaryName = {}\n{}",
        quoted(&runtime.path),
        inherited.options
    ))
}

/// The path of the table that runtimes are below, as a header has it.
pub(super) fn header(plugin: &str) -> String {
    if plugin == "cri" { "plugins.cri.containerd".to_owned() } else { format!("plugins.\"{plugin}\".containerd") }
}

/// A person should know that nobody reads what is written.
fn disabled(root: &File, base: &str) -> Result<Option<String>> {
    let document = Document::parse(&root.path, base)?;
    let is_off = document.strings(&["disabled_plugins"])?.iter().any(|(plugin, _)| PLUGINS.contains(plugin));
    let note = || format!("{} disables CRI, which alone reads the runtimes of this file", Escaped::path(&root.path));
    Ok(is_off.then(note))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "/etc/containerd/config.toml";
    const CRI: &str = "plugins.\"io.containerd.grpc.v1.cri\".containerd";

    fn runtime(is_default: bool) -> Runtime {
        Runtime { name: "gpu-runc".into(), path: "/usr/bin/gpu-runc".into(), is_default, takes_annotations: false }
    }

    fn said(major: u64) -> Said {
        Said { major: (major > 0).then_some(major), effective: None }
    }

    /// The root file and the drop-in after a plan.
    fn planned(files: &[File; 2], major: u64, runtime: Option<&Runtime>) -> Result<[File; 2]> {
        let plan = plan(&files[0], &files[1], &said(major), "gpu-runc", runtime)?;
        let mut after = files.clone();
        for change in plan.changes {
            let file = after.iter_mut().find(|file| file.path == change.path).unwrap();
            file.text = change.after;
        }
        Ok(after)
    }

    fn files(root: Option<&str>) -> [File; 2] {
        let root = File { path: ROOT.into(), text: root.map(str::to_owned) };
        let path = drop_in(&root, "gpu-runc").unwrap();
        [root, File { path, text: None }]
    }

    #[test]
    fn a_second_run_changes_nothing_and_taking_it_out_leaves_no_trace() {
        let runc = format!("[{CRI}.runtimes.runc.options]\nSystemdCgroup = true");
        let chosen = format!("version = 2\n  [{CRI}] # c\n    default_runtime_name = \"runc\" # d\n{runc}");
        for text in [
            None,
            Some(""),
            Some("# nothing"),
            Some("version = 2\n"),
            Some("version = 2"),
            Some("version = 3\nimports = ['/etc/containerd/conf.d/*.toml', 'x.toml']\n"),
            Some("version = 2\nimports = [\n  'x.toml', # c\n]\n"),
            Some("version = 4\n[plugins]\n"),
            Some("version = 1\n[plugins.cri.containerd]\n  snapshotter = 'x'\n"),
            Some(&runc),
            Some(&format!("version = 2\n# \u{e9}\n[{CRI}]\n  snapshotter = 'x'\r\n")),
            Some(&chosen),
        ] {
            for major in [0, 1, 2] {
                for is_default in [false, true] {
                    let before = files(text);
                    let once = planned(&before, major, Some(&runtime(is_default))).unwrap();
                    assert_ne!(once, before);
                    assert_eq!(planned(&once, major, Some(&runtime(is_default))).unwrap(), once, "{text:?}");
                    assert_eq!(
                        planned(&once, major, Some(&runtime(false))).unwrap(),
                        once,
                        "a default stays: {text:?}"
                    );
                    assert_eq!(planned(&once, major, None).unwrap(), before, "{once:?}");
                    let documents = once.each_ref().map(|file| Document::parse(&file.path, file.text()).unwrap());
                    let is_said = |keys: &[&str], value: &str| {
                        let keys = |plugin| [&["plugins", plugin, "containerd"], keys].concat();
                        let said = |document: &Document<'_>| {
                            PLUGINS.iter().any(|plugin| document.string(&keys(plugin)) == Some(value))
                        };
                        documents.iter().any(said)
                    };
                    assert!(is_said(&["runtimes", "gpu-runc", "options", "BinaryName"], "/usr/bin/gpu-runc"));
                    assert_eq!(is_said(&["default_runtime_name"], "gpu-runc"), is_default, "{once:?}");
                }
            }
        }
    }

    #[test]
    fn where_it_goes_depends_on_the_versions_of_containerd_and_of_the_file() {
        for (root, major, in_root, in_drop_in) in [
            (None, 1, "version = 2\n# >>> ", ""),
            (
                None,
                2,
                "version = 3\nimports = [\"/etc/containerd/conf.d/99-gpu-runc.toml\"]",
                "version = 3\n\n[plugins.\"io.containerd.cri.v1.runtime\"",
            ),
            (Some("version = 2\n"), 1, "[plugins.\"io.containerd.grpc.v1.cri\"", ""),
            (Some("version = 2\n"), 0, "[plugins.\"io.containerd.grpc.v1.cri\"", ""),
            (Some("version = 2\n"), 2, "imports = [", "version = 2\n\n[plugins.\"io.containerd.grpc.v1.cri\""),
            (Some("a = 1\n"), 1, "[plugins.cri.containerd.runtimes.gpu-runc]", ""),
            (Some("a = 1\n"), 2, "[plugins.cri.containerd.runtimes.gpu-runc]", ""),
            (Some("version = 1\n"), 2, "[plugins.cri.containerd.runtimes.gpu-runc]", ""),
            (Some("version = 4\n"), 0, "imports = [", "version = 3\n\n[plugins.\"io.containerd.cri.v1.runtime\""),
        ] {
            let [root_after, drop_in] = planned(&files(root), major, Some(&runtime(false))).unwrap();
            assert!(root_after.text().contains(in_root), "{root:?}: {root_after:?}");
            assert!(drop_in.text().contains(in_drop_in), "{root:?}: {drop_in:?}");
            assert_eq!(drop_in.text.is_none(), in_drop_in.is_empty(), "{root:?}");
        }
    }

    #[test]
    fn a_drop_in_goes_where_the_root_file_takes_it_from() {
        for (imports, expected, is_added) in [
            ("imports = ['/etc/containerd/conf.d/*.toml']", "/etc/containerd/conf.d/99-gpu-runc.toml", false),
            ("imports = ['other.toml', 'more/*.toml']", "/etc/containerd/more/99-gpu-runc.toml", false),
            ("imports = ['/x/*.conf']", "/etc/containerd/conf.d/99-gpu-runc.toml", true),
        ] {
            let text = format!("version = 3\n{imports}\n");
            let [root, drop_in] = planned(&files(Some(&text)), 2, Some(&runtime(false))).unwrap();
            assert_eq!(drop_in.path, Path::new(expected));
            assert_eq!(root.text() != text, is_added, "{root:?}");
        }
    }

    #[test]
    fn what_stood_in_place_moves_to_the_drop_in_with_a_containerd_that_merges() {
        let before = files(Some("version = 2\n"));
        let one = planned(&before, 1, Some(&runtime(true))).unwrap();
        let two = planned(&one, 2, Some(&runtime(false))).unwrap();
        assert!(blocks(two[0].text()).is_empty() && two[1].text().contains("default_runtime_name"), "{two:?}");
        assert_eq!(planned(&two, 2, None).unwrap(), before);
    }

    #[test]
    fn a_runc_that_a_person_adds_later_takes_the_place_of_ours() {
        let before = files(Some("version = 2\n"));
        let once = planned(&before, 1, Some(&runtime(true))).unwrap();
        let own = format!("[{CRI}.runtimes.runc]\nruntime_type = 'io.containerd.runc.v2'\n");
        let grown = [File { text: Some(format!("{}{own}", once[0].text())), ..once[0].clone() }, once[1].clone()];
        assert!(Document::parse(Path::new(ROOT), grown[0].text()).is_err(), "it is there twice");
        let mended = planned(&grown, 1, Some(&runtime(false))).unwrap();
        let document = Document::parse(Path::new(ROOT), mended[0].text()).unwrap();
        assert_eq!(document.string(&["plugins", PLUGINS[1], "containerd", DEFAULT]), Some("gpu-runc"));
        for state in [grown, mended] {
            assert_eq!(planned(&state, 1, None).unwrap()[0].text(), format!("version = 2\n{own}"));
        }
    }

    #[test]
    fn what_a_person_wrote_is_told_and_not_replaced() {
        let by_hand = format!("version = 2\n[{CRI}.runtimes.gpu-runc]\n");
        let default = format!("version = 2\n[{CRI}]\ndefault_runtime_name = \"gpu-runc\"\n");
        for (text, wanted, message) in [
            ("a = [\n", Some(runtime(false)), "config.toml:1: "),
            ("version = 'x'", Some(runtime(false)), "config.toml:1: version is no number; nothing was changed"),
            (&by_hand, Some(runtime(false)), "config.toml:2: there is a runtime \"gpu-runc\" already"),
            (&default, None, "config.toml:3: default_runtime_name was set to \"gpu-runc\" by hand"),
            (
                "version = 2\nplugins = {}\n",
                Some(runtime(false)),
                "nothing was changed; add this by hand:\n# containerd 1.x",
            ),
        ] {
            let root = File { path: ROOT.into(), text: Some(text.to_owned()) };
            let drop_in = File { path: "/etc/containerd/conf.d/99-gpu-runc.toml".into(), text: None };
            let error = plan(&root, &drop_in, &said(1), "gpu-runc", wanted.as_ref()).unwrap_err().to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
        let off = File { path: ROOT.into(), text: Some("disabled_plugins = [\"cri\"]".to_owned()) };
        let drop_in = File { path: "/d".into(), text: None };
        let noted = plan(&off, &drop_in, &said(1), "gpu-runc", Some(&runtime(false))).unwrap();
        assert!(noted.notes[0].contains("disables CRI"), "{noted:?}");
    }
}
