//! Rows that the configuration describes: vendors that nobody here knows, whose devices are numbered nodes.

use super::recipe::{Access, Driver, Files, Find, Numbered, Recipe, Shared};
use super::{PLAIN, Variable, Vendor, Vendors};
use crate::cdi::Kind;
use crate::config::{self, Config};
use crate::error::{Error, Escaped, Result};

/// The row that a `[[vendor]]` of the configuration describes. An error, which names the key, if it describes none, or uses a
/// word that one of the `known` vendors has.
pub(super) fn vendor(row: &config::Vendor, known: Vendors) -> Result<Vendor> {
    checked(row, known).map_err(|message| {
        let message = format!("vendor {}: {message}", Escaped::quoted(&row.name));
        Error::Config { path: Config::path(), line: None, message }
    })
}

fn checked(row: &config::Vendor, known: Vendors) -> std::result::Result<Vendor, String> {
    let is_word =
        |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    if !is_word(&row.name) || known.by_name(&row.name).is_some() {
        return Err("name is taken or is no plain word".to_owned());
    }
    let kind: Kind = row.kind.parse().map_err(|why| format!("kind is {}: {why}", Escaped::quoted(&row.kind)))?;
    if known.by_kind(&kind).is_some() {
        return Err(format!("kind {kind} is another vendor's"));
    }
    if !row.visible.is_empty() && (!is_word(&row.visible) || known.names_variable(&row.visible)) {
        return Err(format!(
            "visible is {}, which is another vendor's variable or none",
            Escaped::quoted(&row.visible)
        ));
    }
    if row.devices.matches('*').count() > 1 {
        return Err(format!("devices is {}; one * stands for the number", Escaped::quoted(&row.devices)));
    }
    let paths = std::iter::once(&row.devices).chain(&row.nodes);
    if let Some(path) = paths.clone().find(|path| !is_below(path, "/dev/")) {
        return Err(format!("{} is no path below /dev", Escaped::quoted(path)));
    }
    if let Some(path) = row.mounts.iter().find(|path| !is_below(path, "/")) {
        return Err(format!("mounts has {}, which is no absolute path", Escaped::quoted(path)));
    }
    if let Some(entry) = row.env.iter().find(|entry| !entry.contains('=')) {
        return Err(format!("env has {}, expected NAME=value", Escaped::quoted(entry)));
    }
    let visible: &[&str] = if row.visible.is_empty() { &[] } else { &[&row.visible] };
    Ok(Vendor {
        name: kept(&row.name),
        kinds: kept_list([kept(&row.kind)]),
        visible: kept_list(visible.iter().map(|name| Variable::ids(kept(name)))),
        recipes: kept_list([&*Box::leak(Box::new(recipe(row)))]),
        ..PLAIN
    })
}

fn recipe(row: &config::Vendor) -> Recipe {
    let path = kept(&row.devices.replace('*', "{}"));
    let name = path.rsplit('/').next().unwrap_or(path);
    let names = kept_list(["{}", name].into_iter().take(if path.contains("{}") { 2 } else { 1 }));
    let shared = kept_list(row.nodes.iter().map(|path| Shared::at(kept(path))));
    let files = kept_list([Files {
        search: &["/"],
        at: None,
        names: kept_list(row.mounts.iter().map(|path| kept(path.trim_start_matches('/')))),
        access: Access::Tree,
        classes: &[],
    }]);
    let driver = Driver { version: None, layouts: None, libraries: None, files, lists: None, hooks: &[] };
    Recipe {
        shared,
        env: kept_list(row.env.iter().map(|entry| kept(entry))),
        joins_groups: true,
        driver: (!row.mounts.is_empty()).then(|| &*Box::leak(Box::new(driver))),
        ..Recipe::new(Find::Nodes(Numbered { path, more: &[], names, hardware: None }))
    }
}

fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| !rest.is_empty() && !rest.split('/').any(|part| part == ".."))
}

fn kept(text: &str) -> &'static str {
    String::leak(text.to_owned())
}

fn kept_list<T>(items: impl IntoIterator<Item = T>) -> &'static [T] {
    Vec::leak(items.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(change: fn(&mut config::Vendor)) -> config::Vendor {
        let text = |text: &str| text.to_owned();
        let mut row = config::Vendor {
            name: text("acme"),
            kind: text("acme.example/npu"),
            devices: text("/dev/acme/npu*"),
            nodes: vec![text("/dev/acme/ctl")],
            env: vec![text("ACME=1")],
            mounts: vec![text("/opt/acme")],
            visible: text("ACME_VISIBLE_DEVICES"),
        };
        change(&mut row);
        row
    }

    #[test]
    fn a_described_vendor_is_a_row_like_any_other() {
        let vendors = Vendors::with(&[row(|_| {})]).unwrap();
        let acme = vendors.by_name("acme").unwrap();
        assert_eq!(vendors.by_kind(&"acme.example/npu".parse().unwrap()), Some(acme));
        assert!(vendors.names_variable("ACME_VISIBLE_DEVICES") && vendors.accelerators().contains(&acme));
        let Find::Nodes(found) = &acme.recipes[0].find else { panic!("numbered nodes") };
        assert_eq!((found.path, found.names), ("/dev/acme/npu{}", ["{}", "npu{}"].as_slice()));
        assert_eq!(Vendors::with(&[]).unwrap().iter().count(), Vendors::known().iter().count());
    }

    #[test]
    fn what_describes_no_vendor_is_told() {
        for (change, message) in [
            ((|row| row.name = "nvidia".into()) as fn(&mut config::Vendor), "name is taken"),
            (|row| row.name.clear(), "name is taken or is no plain word"),
            (|row| row.kind = "amd.com/gpu".into(), "kind amd.com/gpu is another vendor's"),
            (|row| row.kind = "acme".into(), "kind is \"acme\": "),
            (|row| row.devices.clear(), "\"\" is no path below /dev"),
            (|row| row.devices = "/dev/../etc/*".into(), "is no path below /dev"),
            (|row| row.devices = "/dev/*/*".into(), "one * stands for the number"),
            (|row| row.nodes = vec!["ctl".into()], "\"ctl\" is no path below /dev"),
            (|row| row.mounts = vec!["opt".into()], "mounts has \"opt\", which is no absolute path"),
            (|row| row.env = vec!["ACME".into()], "env has \"ACME\", expected NAME=value"),
            (|row| row.visible = "AMD_VISIBLE_DEVICES".into(), "another vendor's variable"),
        ] {
            let error = Vendors::with(&[row(change)]).unwrap_err().to_string();
            assert!(error.contains(message), "{message}: {error}");
        }
        let twice = Vendors::with(&[row(|_| {}), row(|_| {})]).unwrap_err().to_string();
        assert!(twice.contains("vendor \"acme\": name is taken"), "{twice}");
    }
}
