//! What one of our blocks in containerd's file says for all of them: a runc, and which runtime is the default.
//!
//! TOML lets a table be written once, so that one block has it. When that one goes, the next gets it.

use std::path::Path;

use super::containerd::{DEFAULT, PLUGINS, header};
use super::document::{Document, block_lines, blocks, with_block, without_block};
use crate::error::Result;
use crate::oci::json::quoted;

/// A block of ours, apart.
#[derive(Debug, Default)]
pub(super) struct Block<'a> {
    /// The table of runc, or nothing.
    pub(super) runc: &'a str,
    /// The table that has the default, or nothing.
    pub(super) default: &'a str,
    /// Its own runtime's.
    pub(super) own: &'a str,
}

impl Block<'_> {
    /// The lines of a block; the tables in it are apart by an empty line.
    pub(super) fn lines(&self) -> String {
        let parts = [self.runc, self.default, self.own].map(|part| part.trim_end().to_owned());
        parts.into_iter().filter(|part| !part.is_empty()).map(|part| part + "\n").collect::<Vec<_>>().join("\n")
    }
}

/// The table of runc, and why it is named beside ours.
pub(super) fn runc(plugin: &str) -> String {
    format!(
        "# containerd 1.x has a runc of its own only as long as its file names no runtime at all.\n\
         [{}.runtimes.runc]\nruntime_type = \"io.containerd.runc.v2\"\n",
        header(plugin)
    )
}

/// The block of `name`, apart.
pub(super) fn split<'a>(text: &'a str, name: &str, plugin: &str) -> Block<'a> {
    let lines = block_lines(text, name).unwrap_or_default();
    let cut = |lines: &'a str, length: usize| {
        let (first, rest) = lines.split_at_checked(length).unwrap_or(("", lines));
        (first, rest.trim_start_matches('\n'))
    };
    let begins = |lines: &str, start: &str| if lines.starts_with(start) { start.len() } else { 0 };
    let (runc, lines) = cut(lines, begins(lines, &runc(plugin)));
    let start = begins(lines, &format!("[{}]\n{DEFAULT} = ", header(plugin)));
    let end = lines.get(start..).and_then(|rest| rest.find('\n')).filter(|_| start > 0).map(|line| start + line + 1);
    let (default, own) = cut(lines, end.unwrap_or_default());
    Block { runc, default, own }
}

/// `text` without any block of ours.
pub(super) fn bare(text: &str) -> String {
    blocks(text).into_iter().fold(text.to_owned(), |bare, name| without_block(&bare, name))
}

/// `text` in which no block of ours says for all what a person says by now: said twice, it would not parse.
pub(super) fn settled(path: &Path, text: &str) -> Result<String> {
    let bare = bare(text);
    let document = Document::parse(path, &bare)?;
    let mut settled = text.to_owned();
    for plugin in PLUGINS {
        let table = ["plugins", plugin, "containerd"];
        let has_runc = document.table(&[&table[..], &["runtimes", "runc"]].concat()).is_some();
        let has_table = document.has_header(&table);
        for name in blocks(text) {
            let block = split(&settled, name, plugin);
            let runc = if has_runc { "" } else { block.runc };
            let default = if has_table { "" } else { block.default };
            if (runc, default) != (block.runc, block.default) {
                let lines = Block { runc, default, ..block }.lines();
                settled = with_block(&settled, name, &lines);
            }
        }
    }
    Ok(settled)
}

/// `text` in which the block of `name` has only what it says for all, of the first of the `plugins` of which there is any.
pub(super) fn emptied(text: &str, name: &str, plugins: &[&str]) -> String {
    if block_lines(text, name).is_none() {
        return text.to_owned();
    }
    let said = plugins.iter().map(|plugin| Block { own: "", ..split(text, name, plugin) }.lines());
    with_block(text, name, &said.filter(|lines| !lines.is_empty()).collect::<Vec<_>>().join("\n"))
}

/// `text` without the block of `name`, which is [`emptied`]: the first of ours that stays has what it said for all. In no block
/// `name` stays the default.
pub(super) fn taken_out(text: &str, name: &str) -> String {
    let rest = without_block(text, name);
    let heir = blocks(&rest).into_iter().next();
    let mut after = rest.clone();
    for plugin in PLUGINS {
        let gone = split(text, name, plugin);
        for other in blocks(&rest) {
            let block = split(&after, other, plugin);
            let is_heir = Some(other) == heir;
            let runc = if is_heir && block.runc.is_empty() { gone.runc } else { block.runc };
            let default = if is_heir && block.default.is_empty() { gone.default } else { block.default };
            let is_name = default.lines().nth(1) == Some(&format!("{DEFAULT} = {}", quoted(name)));
            let default = if is_name { "" } else { default };
            if (runc, default) != (block.runc, block.default) {
                let lines = Block { runc, default, own: block.own }.lines();
                after = with_block(&after, other, &lines);
            }
        }
    }
    after
}

#[cfg(test)]
mod tests {
    use super::super::containerd::{Said, plan};
    use super::super::{File, Runtime};
    use super::*;

    const ROOT: &str = "/etc/containerd/config.toml";
    const CRI: &str = "plugins.\"io.containerd.grpc.v1.cri\".containerd";

    /// The root file after `name` is registered, as the default if that is wished for, or taken out.
    fn planned(text: Option<&str>, name: &str, is_default: Option<bool>) -> Option<String> {
        let root = File { path: ROOT.into(), text: text.map(str::to_owned) };
        let drop_in = File { path: format!("/etc/containerd/conf.d/99-{name}.toml").into(), text: None };
        let runtime = is_default.map(|is_default| Runtime {
            name: name.to_owned(),
            path: "/usr/bin/gpu-runc".to_owned(),
            is_default,
            takes_annotations: false,
        });
        let said = Said { major: Some(1), effective: None };
        let plan = plan(&root, &drop_in, &said, name, runtime.as_ref()).unwrap();
        plan.changes.into_iter().next().map_or(root.text, |change| change.after)
    }

    /// What containerd 1.x would not start with.
    fn fault(text: &str) -> Option<String> {
        let document = Document::parse(Path::new(ROOT), text).map_err(|error| error.to_string());
        let document = match document {
            Ok(document) => document,
            Err(why) => return Some(why),
        };
        let table = ["plugins", PLUGINS[1], "containerd"];
        let runtimes = document.table(&[&table[..], &["runtimes"]].concat())?;
        let default = document.string(&[&table[..], &[DEFAULT]].concat()).unwrap_or("runc");
        (!runtimes.contains_key(default)).then(|| format!("no corresponding runtime: {default}"))
    }

    #[test]
    fn of_several_runtimes_any_can_go_first_and_the_rest_still_starts() {
        let chosen = format!("version = 2\n  [{CRI}] # c\n    default_runtime_name = \"runc\" # d\n");
        let orders =
            [["a", "b", "c"], ["a", "c", "b"], ["b", "a", "c"], ["b", "c", "a"], ["c", "a", "b"], ["c", "b", "a"]];
        for text in [None, Some("version = 2"), Some(&chosen)] {
            for order in orders {
                // Which of them are made the default, and each once more for those whose bit is set.
                for defaults in [0b000, 0b011, 0b101, 0b111] {
                    let is_default = |name: &str| defaults >> (name.as_bytes()[0] - b'a') & 1 == 1;
                    let mut state = text.map(str::to_owned);
                    let mut seen = Vec::new();
                    let mut step = |state: &mut Option<String>, name: &str, wanted: Option<bool>| {
                        *state = planned(state.as_deref(), name, wanted);
                        seen.push(format!("{name} {wanted:?}: {}", state.as_deref().unwrap_or("no file")));
                        let fault = fault(state.as_deref().unwrap_or_default());
                        assert_eq!(fault, None, "{}", seen.join("\n---\n"));
                    };
                    for name in ["a", "b", "c"] {
                        step(&mut state, name, Some(is_default(name)));
                    }
                    let full = state.clone();
                    for name in ["a", "b", "c"] {
                        step(&mut state, name, Some(false));
                        assert_eq!(state, full, "a second run changes nothing");
                    }
                    for name in order.into_iter().filter(|name| is_default(name)) {
                        step(&mut state, name, Some(true));
                    }
                    for name in order {
                        step(&mut state, name, None);
                    }
                    assert_eq!(state.as_deref(), text, "{}", seen.join("\n---\n"));
                }
            }
        }
    }

    #[test]
    fn a_file_whose_runc_went_with_another_runtime_is_mended_by_the_next_run() {
        let with = planned(Some("version = 2\n"), "a", Some(false)).unwrap();
        let without = with.replace(&(runc(PLUGINS[1]) + "\n"), "");
        assert!(fault(&without).is_some(), "{without}");
        assert_eq!(planned(Some(&without), "a", Some(false)).unwrap(), with);
        let second = planned(Some(&without), "b", Some(false)).unwrap();
        assert_eq!(fault(&second), None, "{second}");
    }

    #[test]
    fn a_runc_that_a_person_adds_takes_the_place_of_ours_in_any_block() {
        let two = planned(planned(Some("version = 2\n"), "a", Some(false)).as_deref(), "b", Some(false)).unwrap();
        let own = format!("[{CRI}.runtimes.runc]\nruntime_type = 'io.containerd.runc.v2'\n");
        for name in ["a", "b"] {
            let mended = planned(Some(&format!("{two}{own}")), name, Some(false)).unwrap();
            assert_eq!(fault(&mended), None, "{mended}");
            let left = planned(planned(Some(&mended), "a", None).as_deref(), "b", None).unwrap();
            assert_eq!(left, format!("version = 2\n{own}"));
        }
    }
}
