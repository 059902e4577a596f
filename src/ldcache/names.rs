//! What names tell of libraries: `libx.so`, `libx.so.1`, `libx.so.1.2`.

use std::collections::BTreeSet;

/// The file's name, if it is one of a library.
pub fn library(path: &str) -> Option<&str> {
    let name = path.rsplit('/').next()?;
    (name.starts_with("lib") && (name.ends_with(".so") || name.contains(".so."))).then_some(name)
}

/// Whether programs are linked to such a name: `libx.so`, `libx.so.1`, but not `libx.so.1.2`.
pub fn is_linked(name: &str) -> bool {
    name.ends_with(".so")
        || name.split_once(".so.").is_some_and(|(_, version)| version.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The folder of an absolute path.
pub fn folder(path: &str) -> Option<&str> {
    match path.rsplit_once('/')? {
        ("", _) => Some("/"),
        (folder, _) => Some(folder),
    }
}

/// The folders of those of `paths` that are libraries, each once, in order.
pub fn folders<'a>(paths: impl Iterator<Item = &'a str>) -> impl Iterator<Item = &'a str> {
    let folders: BTreeSet<&str> = paths.filter(|path| library(path).is_some()).filter_map(folder).collect();
    folders.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_told_by_their_names() {
        for (path, name, linked) in [
            ("/d/libx.so.1", Some("libx.so.1"), true),
            ("libx.so", Some("libx.so"), true),
            ("/d/libx.so.1.2", Some("libx.so.1.2"), false),
            ("/d/x.so.1", None, false),
            ("/d/libexec", None, false),
            ("", None, false),
        ] {
            assert_eq!(library(path), name, "{path}");
            assert_eq!(name.is_some_and(is_linked), linked, "{path}");
        }
        let paths = ["/b/libx.so", "/a/liby.so.1", "/b/libz.so", "/c/x.bin", "/libr.so"];
        assert_eq!(folders(paths.into_iter()).collect::<Vec<_>>(), ["/", "/a", "/b"]);
    }
}
