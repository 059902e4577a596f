//! Device nodes: what a CDI file leaves open, or got wrong since it was written, is read from the host's node.
//!
//! Source: CDI pkg/cdi/container-edits_unix.go. It believes the numbers in a file; here the node's own numbers win, because
//! majors are given out anew at each boot and stale files are the commonest fault of all.

use std::io;
use std::path::Path;

use nix::sys::stat::{FileStat, SFlag, major, minor};

use super::Host;
use crate::cdi::{ContainerEdits, DeviceNode};
use crate::error::{Error, Result, reason};

/// Completes every device node of `edits` from `host`: type, numbers, mode. Returns a note for each number that was stale.
pub fn complete(edits: &mut ContainerEdits, host: &Host) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    for node in &mut edits.device_nodes {
        let found = host.lstat(Path::new(node.on_host())).map(|stat| stat.map(Found::from));
        notes.extend(completed(node, found)?);
    }
    Ok(notes)
}

/// What the host has at a node's path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Found {
    /// `b`, `c`, `p`; nothing for what is no device node.
    letter: Option<&'static str>,
    is_link: bool,
    major: i64,
    minor: i64,
    mode: u32,
}

impl From<FileStat> for Found {
    fn from(stat: FileStat) -> Self {
        let kind = SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits());
        let letter = match kind {
            SFlag::S_IFCHR => Some("c"),
            SFlag::S_IFBLK => Some("b"),
            SFlag::S_IFIFO => Some("p"),
            _ => None,
        };
        Found {
            letter,
            is_link: kind == SFlag::S_IFLNK,
            // The kernel's numbers have 12 and 20 bits.
            major: i64::try_from(major(stat.st_rdev)).unwrap_or_default(),
            minor: i64::try_from(minor(stat.st_rdev)).unwrap_or_default(),
            mode: stat.st_mode & !SFlag::S_IFMT.bits(),
        }
    }
}

fn completed(node: &mut DeviceNode, found: io::Result<Option<Found>>) -> Result<Option<String>> {
    let path = node.on_host().to_owned();
    let failed = |why: &str| Error::Inject(format!("failed to stat CDI host device \"{path}\": {why}"));
    let is_whole = !node.node_type.is_empty() && (node.major != 0 || node.node_type == "p");
    let host = match found {
        Ok(Some(host)) => host,
        Ok(None) if is_whole => return Ok(None),
        Ok(None) => return Err(failed("not found; is the driver loaded, or is the CDI file out of date?")),
        Err(cause) => return Err(failed(&reason(&cause))),
    };
    let letter = match host.letter {
        Some(letter) => letter,
        None if is_whole => return Ok(None),
        None if host.is_link => return Err(failed("a symbolic link; the CDI file must name the device node itself")),
        None => return Err(failed("not a device node")),
    };
    node.file_mode.get_or_insert(host.mode);
    if node.node_type.is_empty() {
        node.node_type = letter.to_owned();
    } else if node.node_type != letter {
        return match is_whole {
            true => Ok(None),
            false => Err(Error::Inject(format!(
                "CDI device (\"{}\", \"{path}\"), host type mismatch ({}, {letter})",
                node.path, node.node_type
            ))),
        };
    }
    if letter == "p" || (node.major, node.minor) == (host.major, host.minor) {
        return Ok(None);
    }
    let stale = (node.major != 0).then(|| {
        let (is, was) = ((host.major, host.minor), (node.major, node.minor));
        format!(
            "{path} is {}:{} on the host, not {}:{} as its CDI file says; the host's numbers are used",
            is.0, is.1, was.0, was.1
        )
    });
    (node.major, node.minor) = (host.major, host.minor);
    Ok(stale)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn char_node(major: i64, minor: i64) -> Found {
        Found { letter: Some("c"), is_link: false, major, minor, mode: 0o666 }
    }

    fn node(node_type: &str, major: i64, minor: i64) -> DeviceNode {
        DeviceNode { path: "/dev/n".to_owned(), node_type: node_type.to_owned(), major, minor, ..DeviceNode::default() }
    }

    #[test]
    fn what_the_file_leaves_open_or_got_wrong_comes_from_the_host() {
        let whole = |major, minor| DeviceNode { file_mode: Some(0o666), ..node("c", major, minor) };
        for (what, given, host, expected, is_stale) in [
            ("nothing given", node("", 0, 0), Some(char_node(1, 3)), whole(1, 3), false),
            ("type given", node("c", 0, 0), Some(char_node(1, 3)), whole(1, 3), false),
            ("a lone minor", node("c", 0, 9), Some(char_node(1, 3)), whole(1, 3), false),
            ("all given, node absent", node("c", 9, 9), None, node("c", 9, 9), false),
            ("all given and right", node("c", 1, 3), Some(char_node(1, 3)), whole(1, 3), false),
            ("all given but stale", node("c", 9, 9), Some(char_node(1, 3)), whole(1, 3), true),
            ("numbers given, type not", node("", 9, 9), Some(char_node(1, 3)), whole(1, 3), true),
            (
                "a mode of its own",
                DeviceNode { file_mode: Some(0), ..node("", 0, 0) },
                Some(char_node(1, 3)),
                DeviceNode { file_mode: Some(0), ..node("c", 1, 3) },
                false,
            ),
        ] {
            let mut node = given;
            let note = completed(&mut node, Ok(host)).unwrap();
            assert_eq!(node, expected, "{what}");
            assert_eq!(note.is_some(), is_stale, "{what}");
        }
    }

    #[test]
    fn a_node_that_cannot_be_completed_is_an_error_that_names_it() {
        let link = Found { letter: None, is_link: true, major: 0, minor: 0, mode: 0o777 };
        let file = Found { is_link: false, ..link };
        for (given, host, message) in [
            (node("", 0, 0), Ok(None), "failed to stat CDI host device \"/dev/n\": not found"),
            (node("", 0, 0), Ok(Some(link)), "failed to stat CDI host device \"/dev/n\": a symbolic link"),
            (node("", 0, 0), Ok(Some(file)), "failed to stat CDI host device \"/dev/n\": not a device node"),
            (
                node("b", 0, 0),
                Ok(Some(char_node(1, 3))),
                "CDI device (\"/dev/n\", \"/dev/n\"), host type mismatch (b, c)",
            ),
            (node("c", 1, 3), Err(io::Error::from_raw_os_error(libc::EACCES)), "access denied"),
        ] {
            let error = completed(&mut given.clone(), host).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
