//! gpu-runc's own configuration file: `[policy] env = "never"`, under which environment variables give nothing and `--gpus` still does.
//!
//! Pure: the text of the file in, the text that it becomes out. What was set is marked, and is taken out as it was put in.

use super::document::{Document, with_block, without_block};
use super::{Change, File, OURS, own};
use crate::error::{Error, Result};

const TABLE: &str = "policy";
const KEY: &str = "env";
const NEVER: &str = "never";
/// The name of the block where the file has no such table.
const BLOCK: &str = "gpus-only";
const LINES: &str = "[policy]\nenv = \"never\"\n";

/// What `file` becomes with the setting, or without it if it is ours.
pub(super) fn plan(file: &File, is_on: bool) -> Result<Change> {
    let text = file.text();
    let is_all_ours = text.starts_with(OURS);
    if !is_on {
        if is_all_ours {
            return own(file, None);
        }
        let bare = without_block(text, BLOCK);
        let after = Document::parse(&file.path, &bare)?.without_string(&[TABLE], KEY, NEVER);
        return Ok(file.becomes(file.text.is_some().then_some(after)));
    }
    let document = Document::parse(&file.path, text)?;
    if document.string(&[TABLE, KEY]) == Some(NEVER) {
        return Ok(file.becomes(file.text.clone()));
    }
    if file.text.is_none() {
        return Ok(file.becomes(Some(format!("{OURS}{LINES}"))));
    }
    let after = match document.with_string(&[TABLE], KEY, NEVER)? {
        Some(after) => after,
        None => with_block(text, BLOCK, LINES),
    };
    let is_set = Document::parse(&file.path, &after).is_ok_and(|after| after.string(&[TABLE, KEY]) == Some(NEVER));
    match is_set {
        true => Ok(file.becomes(Some(after))),
        false => {
            let message =
                "policy.env has no line of its own; set it to \"never\" by hand; nothing was changed".to_owned();
            Err(Error::Config { path: file.path.clone(), line: None, message })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_comes_and_goes_and_leaves_every_other_byte() {
        for text in [
            None,
            Some(""),
            Some("[log]\nlevel = \"debug\"\n"),
            Some("[policy]\nmounts = false\n"),
            Some("# mine\n[policy]\nenv = \"always\" # as ever\n[inject]\nparams = true\n"),
            Some("[policy.pods]\nenv = \"privileged\"\n"),
            Some("[policy]\nenv = \"never\"\n"),
        ] {
            let file = |text: Option<&str>| File { path: "/c".into(), text: text.map(str::to_owned) };
            let once = plan(&file(text), true).unwrap().after;
            let config = crate::config::Config::parse(once.as_deref().unwrap(), std::path::Path::new("/c")).unwrap();
            assert_eq!(config.policy.env, crate::config::Who::Never, "{once:?}");
            assert_eq!(plan(&file(once.as_deref()), true).unwrap().after, once, "{text:?}");
            assert_eq!(plan(&file(once.as_deref()), false).unwrap().after.as_deref(), text, "{once:?}");
        }
        for text in ["policy = {mounts = false}\n", "policy.mounts = false\n", "[policy\n"] {
            let file = File { path: "/c".into(), text: Some(text.to_owned()) };
            let error = plan(&file, true).unwrap_err().to_string();
            assert!(error.contains("/c") && error.ends_with("nothing was changed"), "{error}");
        }
    }
}
