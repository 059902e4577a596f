//! Whether the processes of a rootless container can open the device nodes that it was granted.
//!
//! Device nodes keep the host's owner, group and mode in a user namespace. Root in that namespace has no power over them, and the
//! low-level runtime drops the groups of the user, so a node that is open to a group only cannot be opened. Reads the nodes, changes nothing.

use std::io;
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{AccessFlags, access, geteuid};
use rustix::fs::getxattr;

use crate::cdi::DeviceNode;
use crate::error::{Error, Escaped, Result, reason};
use crate::host::Host;

const FOR_EVERYBODY: u32 = 0o006;
const READABLE: u32 = 0o004;

/// Who can open a device node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opens {
    /// The user, in any container.
    User,
    /// Members of its group, of which the user is one.
    Member,
    /// Members of its group, of which the user is none.
    Stranger,
}

/// Checks `nodes` for a container that this process starts. `keeps_groups`: its processes keep the user's groups; `lacks` says what is
/// missing where they should and do not. `host` has the nodes. Returns a note where some cannot be opened. For root outside a user namespace nothing is checked.
///
/// # Errors
///
/// [`Error::Inject`] where the container could open none of the device nodes: it would have no device. [`Error::Io`] for a node that
/// cannot be checked.
pub fn check(nodes: &[DeviceNode], keeps_groups: bool, lacks: Option<&str>, host: &Host) -> Result<Option<String>> {
    let is_closed = |node: &&DeviceNode| node.file_mode.is_some_and(|mode| mode & FOR_EVERYBODY != FOR_EVERYBODY);
    let closed: Vec<&DeviceNode> = nodes.iter().filter(is_closed).collect();
    if closed.is_empty() || geteuid().is_root() && Host::is_initial_user_namespace()? {
        return Ok(None);
    }
    let (mut found, mut usable) = (Vec::new(), nodes.len() - closed.len());
    for node in closed {
        match opens(&host.real(Path::new(node.on_host())))? {
            Some((opens, is_readable)) => {
                // A device node that everybody can read is of some use.
                usable += usize::from(is_readable);
                found.push((node.on_host(), opens));
            }
            None => usable += 1,
        }
    }
    let count = found.len() + usable;
    judge(&found, count, keeps_groups, lacks)
}

/// Who can open the device node at `path`, and whether everybody can read it. `None`: everybody can open it, or it is not there. A
/// container in a user namespace gets the host's device node, whatever mode a CDI spec gives it.
fn opens(path: &Path) -> Result<Option<(Opens, bool)>> {
    let failed = |cause: io::Error| Error::Inject(format!("cannot check {}: {}", Escaped::path(path), reason(&cause)));
    let stat = match nix::sys::stat::stat(path) {
        Ok(stat) => stat,
        Err(Errno::ENOENT) => return Ok(None),
        Err(cause) => return Err(failed(cause.into())),
    };
    if stat.st_mode & FOR_EVERYBODY == FOR_EVERYBODY {
        return Ok(None);
    }
    let is_readable = stat.st_mode & READABLE != 0;
    match access(path, AccessFlags::R_OK | AccessFlags::W_OK) {
        Ok(()) => {}
        Err(Errno::EACCES | Errno::EPERM) => return Ok(Some((Opens::Stranger, is_readable))),
        Err(cause) => return Err(failed(cause.into())),
    }
    let is_owner = stat.st_uid == geteuid().as_raw() && stat.st_mode & 0o600 == 0o600;
    // logind gives the user of a seat an entry of their own, which is the user's in every container.
    Ok(Some((if is_owner || has_acl(path) { Opens::User } else { Opens::Member }, is_readable)))
}

fn has_acl(path: &Path) -> bool {
    getxattr(path, "system.posix_acl_access", &mut [0_u8; 0][..]).is_ok_and(|length| length > 0)
}

/// `closed` are those of `count` device nodes that are not open to everybody.
fn judge(closed: &[(&str, Opens)], count: usize, keeps_groups: bool, lacks: Option<&str>) -> Result<Option<String>> {
    let is_shut = |opens: Opens| match opens {
        Opens::User => false,
        Opens::Member => !keeps_groups,
        Opens::Stranger => true,
    };
    let shut: Vec<&(&str, Opens)> = closed.iter().filter(|(_, opens)| is_shut(*opens)).collect();
    let Some((first, _)) = shut.first() else { return Ok(None) };
    let mut names: Vec<String> = Vec::new();
    for (path, _) in &shut {
        let name = Escaped::quoted(path).to_string();
        // Another path in the container, such as one of /dev/dri/by-path, is the same device node on the host.
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let join = match (lacks, shut.iter().any(|(_, opens)| *opens == Opens::Stranger)) {
        (_, true) => {
            "add the user to that group, log in again, and start the container with --group-add keep-groups (podman, by crun)"
        }
        (None, false) => "start the container with --group-add keep-groups (podman, by crun)",
        (Some(lacks), false) => lacks,
    };
    let message = format!(
        "only a group can open {}, and this rootless container does not have that group: {join}, or add a udev rule such as \
         KERNEL==\"{}\", MODE=\"0666\"",
        names.join(", "),
        first.rsplit('/').next().unwrap_or(first)
    );
    if shut.len() == count { Err(Error::Inject(message)) } else { Ok(Some(message)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_that_could_open_no_node_does_not_start() {
        use Opens::{Member, Stranger, User};
        let (kfd, render, card) = ("/dev/kfd", "/dev/dri/renderD128", "/dev/dri/card0");
        for (what, closed, count, keeps_groups, is_error, text) in [
            ("all are the user's", &[(kfd, User), (render, User)][..], 2, false, false, ""),
            ("groups are kept", &[(kfd, Member), (render, Member)], 2, true, false, ""),
            (
                "groups are dropped",
                &[(kfd, Member), (render, Member)],
                2,
                false,
                true,
                "renderD128\", and this rootless",
            ),
            ("one other is open", &[(card, Member)], 3, false, false, "KERNEL==\"card0\", MODE=\"0666\""),
            ("not in the group", &[(kfd, Stranger)], 1, true, true, "add the user to that group, log in again"),
            ("nothing is closed", &[], 3, false, false, ""),
        ] {
            match judge(closed, count, keeps_groups, None) {
                Err(error) => assert!(is_error && error.to_string().contains(text), "{what}: {error}"),
                Ok(note) => {
                    assert!(!is_error, "{what}");
                    assert_eq!(note.is_some(), !text.is_empty(), "{what}: {note:?}");
                    assert!(note.unwrap_or_default().contains(text), "{what}");
                }
            }
        }
    }
}
