//! Device nodes: what a CDI file leaves open, or got wrong since it was written, is read from the host's node.
//!
//! Source: CDI pkg/cdi/container-edits_unix.go. It believes the numbers in a file; here the node's own numbers win, because
//! majors are given out anew at each boot and stale files are the commonest fault of all.

use std::io;
use std::path::Path;

use nix::sys::stat::{FileStat, SFlag, major, minor};

use super::{Host, numbers};
use crate::cdi::DeviceNode;
use crate::error::{Error, Escaped, Result, reason};

/// Completes `node` from `host`: type, numbers, mode. Returns a note where its number was stale.
pub fn complete(node: &mut DeviceNode, host: &Host) -> Result<Completed> {
    let found = host.lstat(Path::new(node.on_host())).map(|stat| stat.map(Found::from));
    completed(node, found, &|major| Ok(numbers::is_given(&numbers::read(host)?, major)))
}

/// How a node stands to the host's.
#[derive(Debug, PartialEq, Eq)]
pub enum Completed {
    /// All is known of it. A note where the host and the description differ about its number.
    Whole(Option<String>),
    /// The host has none. What is known of it is what its description says.
    Absent,
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

/// `is_driven` says whether the kernel has a driver for a major number.
fn completed(
    node: &mut DeviceNode,
    found: io::Result<Option<Found>>,
    is_driven: &dyn Fn(i64) -> Result<bool>,
) -> Result<Completed> {
    let path = node.on_host().to_owned();
    let failed = |why: &str| Error::Inject(format!("failed to stat CDI host device {}: {why}", Escaped::quoted(&path)));
    let is_whole = node.is_whole();
    let host = match found {
        Ok(Some(host)) => host,
        Ok(None) => return Ok(Completed::Absent),
        Err(cause) => return Err(failed(&reason(&cause))),
    };
    let letter = match host.letter {
        Some(letter) => letter,
        None if is_whole => return Ok(Completed::Whole(None)),
        None if host.is_link => return Err(failed("a symbolic link; the CDI file must name the device node itself")),
        None => return Err(failed("not a device node")),
    };
    node.file_mode.get_or_insert(host.mode);
    if node.node_type.is_empty() {
        node.node_type = letter.to_owned();
    } else if node.node_type != letter {
        return match is_whole {
            true => Ok(Completed::Whole(None)),
            false => Err(Error::Inject(format!(
                "CDI device (\"{}\", \"{path}\"), host type mismatch ({}, {letter})",
                node.path, node.node_type
            ))),
        };
    }
    if letter == "p" || (node.major, node.minor) == (host.major, host.minor) {
        return Ok(Completed::Whole(None));
    }
    let differ = |whose: &str| {
        let (is, was) = ((host.major, host.minor), (node.major, node.minor));
        format!(
            "{path} is {}:{} on the host, not {}:{} as it is described; {whose} numbers are used",
            is.0, is.1, was.0, was.1
        )
    };
    // A node that somebody made once and for all outlives the driver's number.
    let is_other = letter == "c" && node.major != 0 && host.major != node.major;
    if is_other && !is_driven(host.major)? && is_driven(node.major)? {
        return Ok(Completed::Whole(Some(differ("no driver has the host's any more, and the described"))));
    }
    let note = (node.major != 0).then(|| differ("the host's"));
    (node.major, node.minor) = (host.major, host.minor);
    Ok(Completed::Whole(note))
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
            let Completed::Whole(note) = completed(&mut node, Ok(host), &|_| Ok(true)).unwrap() else {
                panic!("{what}")
            };
            assert_eq!(node, expected, "{what}");
            assert_eq!(note.is_some(), is_stale, "{what}");
        }
        for mut absent in [node("c", 9, 9), node("", 0, 0)] {
            assert_eq!(completed(&mut absent, Ok(None), &|_| Ok(true)).unwrap(), Completed::Absent);
        }
    }

    #[test]
    fn a_node_of_a_number_that_no_driver_has_any_more_is_not_believed() {
        for (driven, expected) in [(&[9][..], (9, 0)), (&[1, 9], (1, 3)), (&[1], (1, 3)), (&[], (1, 3))] {
            let mut node = node("c", 9, 0);
            let is_driven = |major| Ok(driven.contains(&major));
            assert!(matches!(
                completed(&mut node, Ok(Some(char_node(1, 3))), &is_driven),
                Ok(Completed::Whole(Some(_)))
            ));
            assert_eq!((node.major, node.minor), expected, "{driven:?}");
        }
    }

    #[test]
    fn a_node_that_cannot_be_completed_is_an_error_that_names_it() {
        let link = Found { letter: None, is_link: true, major: 0, minor: 0, mode: 0o777 };
        let file = Found { is_link: false, ..link };
        for (given, host, message) in [
            (node("", 0, 0), Ok(Some(link)), "failed to stat CDI host device \"/dev/n\": a symbolic link"),
            (node("", 0, 0), Ok(Some(file)), "failed to stat CDI host device \"/dev/n\": not a device node"),
            (
                node("b", 0, 0),
                Ok(Some(char_node(1, 3))),
                "CDI device (\"/dev/n\", \"/dev/n\"), host type mismatch (b, c)",
            ),
            (node("c", 1, 3), Err(io::Error::from_raw_os_error(libc::EACCES)), "access denied"),
        ] {
            let error = completed(&mut given.clone(), host, &|_| Ok(true)).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
