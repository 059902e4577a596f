//! Paths in a container, told by their text alone.

use std::borrow::Cow;

/// The components of a path in the container, `.` and `..` resolved by their text.
pub fn parts(path: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts
}

/// The same path, absolute and of nothing but its components.
pub fn clean(path: &str) -> Cow<'_, str> {
    let is_odd = |pair: &[u8]| matches!(pair, b"//" | b"/.");
    let is_clean = path.starts_with('/') && (path.len() == 1 || !path.ends_with('/'));
    match is_clean && !path.as_bytes().windows(2).any(is_odd) {
        true => path.into(),
        false => format!("/{}", parts(path).join("/")).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_becomes_the_one_that_the_low_level_runtime_takes_it_for() {
        for (path, expected, is_kept) in [
            ("/", "/", true),
            ("/a/b", "/a/b", true),
            ("/a/.hidden", "/a/.hidden", false),
            ("a/b", "/a/b", false),
            ("", "/", false),
            ("/a/", "/a", false),
            ("//a//b", "/a/b", false),
            ("/a/./b/.", "/a/b", false),
            ("/x/../a", "/a", false),
            ("../../a/..", "/", false),
        ] {
            let clean = clean(path);
            assert_eq!((&*clean, matches!(clean, Cow::Borrowed(_))), (expected, is_kept), "{path}");
        }
    }
}
