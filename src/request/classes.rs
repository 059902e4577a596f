//! Which of a driver's files a container says that it needs: variables that list classes of them, such as
//! `NVIDIA_DRIVER_CAPABILITIES`.
//!
//! Pure. Asks for nothing by itself.

use crate::error::{Error, Escaped, Result};
use crate::oci::view::View;
use crate::vendor::{Classes, Vendor, Vendors};

use super::Source;

/// The classes that a container chose, of each vendor of which it chose any. An error for a class that there is not.
pub(super) fn chosen(view: &View<'_>, vendors: Vendors) -> Result<Vec<(&'static Vendor, Vec<String>)>> {
    let mut all = Vec::new();
    for (vendor, rule) in vendors.iter().filter_map(|vendor| Some((vendor, vendor.classes?))) {
        let wants_none = rule.none.is_some_and(|(variable, word)| items(view.env(variable)).any(|item| item == word));
        let listed = view.env(rule.variable);
        if wants_none {
            all.push((vendor, Vec::new()));
        } else if items(listed).next().is_some() {
            let classes = read(rule, items(listed)).map_err(|message| {
                let source = Source::Env(rule.variable.to_owned(), listed.unwrap_or_default().to_owned());
                Error::Request { source: source.to_string(), message }
            })?;
            all.push((vendor, classes));
        }
    }
    Ok(all)
}

fn items(list: Option<&str>) -> impl Iterator<Item = &str> {
    list.unwrap_or_default().split(',').map(str::trim).filter(|item| !item.is_empty())
}

fn read<'a>(rule: &Classes, items: impl Iterator<Item = &'a str>) -> std::result::Result<Vec<String>, String> {
    let mut classes: Vec<String> = Vec::new();
    for item in items {
        match item {
            "all" if !rule.known.is_empty() => classes.extend(rule.known.iter().map(|&class| class.to_owned())),
            _ if rule.known.contains(&item) || (rule.known.is_empty() && is_plain(item)) => {
                classes.push(item.to_owned());
            }
            _ if rule.known.is_empty() => {
                return Err(format!("{} is no name of a list of files", Escaped::quoted(item)));
            }
            _ => {
                let allowed = rule.known.join(",");
                return Err(format!(
                    "unsupported capabilities found in {} (allowed \"all,{allowed}\")",
                    Escaped::quoted(item)
                ));
            }
        }
    }
    Ok(classes)
}

/// Whether it names a file of a folder, and not another folder's.
fn is_plain(name: &str) -> bool {
    const LONGEST: usize = 128;
    name.len() <= LONGEST
        && !name.starts_with('.')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIXED: Classes = Classes { variable: "C", known: &["compute", "utility"], default: &["compute"], none: None };
    const OPEN: Classes = Classes { variable: "L", known: &[], default: &["base"], none: None };

    #[test]
    fn a_list_names_classes_that_there_are() {
        for (rule, list, expected) in [
            (&FIXED, "compute", Ok("compute")),
            (&FIXED, " utility ,compute,", Ok("utility,compute")),
            (&FIXED, "all", Ok("compute,utility")),
            (
                &FIXED,
                "compute,video",
                Err("unsupported capabilities found in \"video\" (allowed \"all,compute,utility\")"),
            ),
            (&OPEN, "base,more-2", Ok("base,more-2")),
            (&OPEN, "all", Ok("all")),
            (&OPEN, ".hidden", Err("\".hidden\" is no name of a list of files")),
            (&OPEN, "../secret", Err("\"../secret\" is no name of a list of files")),
            (&OPEN, "a/b", Err("\"a/b\" is no name of a list of files")),
        ] {
            let classes = read(rule, items(Some(list))).map(|classes| classes.join(","));
            assert_eq!(classes.as_deref().map_err(String::as_str), expected, "{list}");
        }
    }
}
