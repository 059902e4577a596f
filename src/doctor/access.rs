//! What limits containers of a user who is not root: user namespaces, ranges of ids, permissions of nodes.
//!
//! Judges the machine for the user who asks; no container is started.

use std::path::Path;

use super::nodes::{self, Present};
use super::{Environment, Finding, Subject, first_of};
use crate::error::{Escaped, Result};

/// Whether users can have containers of their own.
pub(super) fn namespaces(subject: &Subject<'_>) -> Result<Vec<Finding>> {
    const WHY: &str = "rootless containers live in a user namespace, with ids that their user was given a range of";
    // Kernels without such a limit have no such file.
    const SWITCHES: [(&str, &str, &str); 2] = [
        ("/proc/sys/user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=15000"),
        ("/proc/sys/kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
    ];
    for (path, off, fix) in SWITCHES {
        if subject.host.read(Path::new(path))?.is_some_and(|text| text.trim() == off) {
            return Ok(vec![Finding::warn(format!("{path} is {off}: users cannot make any"), WHY, fix)]);
        }
    }
    let uid = subject.environment.uid;
    if uid == 0 {
        return Ok(vec![Finding::pass("users can make them", WHY)]);
    }
    let users = subject.host.read(Path::new("/etc/passwd"))?.unwrap_or_default();
    let user = named(&users, uid).unwrap_or_else(|| uid.to_string());
    for path in ["/etc/subuid", "/etc/subgid"] {
        let ranges = subject.host.read(Path::new(path))?.unwrap_or_default();
        if !has_range(&ranges, &user, uid) {
            let what = format!("{path} has no range for {}", Escaped::name(&user));
            let fix =
                format!("usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {}", Escaped::name(&user));
            return Ok(vec![Finding::warn(what, WHY, fix)]);
        }
    }
    Ok(vec![Finding::pass(format!("{} can make them, and has ranges of ids", Escaped::name(&user)), WHY)])
}

/// Whether the user who asks may open the nodes of devices.
pub(super) fn look(subject: &Subject<'_>) -> Result<Vec<Finding>> {
    const WHY: &str = "in a rootless container a node can be opened by those only who may open it outside";
    if subject.environment.uid == 0 {
        const FIRST: &str = "run it as the user who starts rootless containers";
        return Ok(vec![Finding::skip("root may open all", WHY, FIRST)]);
    }
    let nodes = nodes::present(subject)?;
    if nodes.is_empty() && subject.devices.is_empty() {
        return Ok(vec![Finding::idle("this host has no device whose nodes a container could open", WHY)]);
    }
    let unmade: Vec<String> = nodes::unmade(subject)?;
    if !unmade.is_empty() {
        const NOBODY: &str = "a rootless container gets the nodes that the host has; nobody can make one without root";
        let fix = "sudo gpu-ctk system create-device-nodes";
        return Ok(vec![Finding::warn(format!("the host has no {}", first_of(&unmade)), NOBODY, fix)]);
    }
    if nodes.is_empty() {
        return Ok(vec![Finding::idle("no driver of this host's devices has made a device node yet", WHY)]);
    }
    let closed: Vec<&Present> = nodes.iter().filter(|node| !may_open(node, subject.environment)).collect();
    let Some(first) = closed.first() else {
        return Ok(vec![Finding::pass(
            format!("user {} may open all {} nodes", subject.environment.uid, nodes.len()),
            WHY,
        )]);
    };
    let users = subject.host.read(Path::new("/etc/passwd"))?.unwrap_or_default();
    let groups = subject.host.read(Path::new("/etc/group"))?.unwrap_or_default();
    let user = named(&users, subject.environment.uid).unwrap_or_else(|| subject.environment.uid.to_string());
    let group = named(&groups, first.stat.st_gid).unwrap_or_else(|| first.stat.st_gid.to_string());
    let paths: Vec<String> = closed.iter().map(|node| node.path.clone()).collect();
    Ok(vec![Finding::warn(
        format!("{} is not for user {}", first_of(&paths), Escaped::name(&user)),
        WHY,
        format!(
            "sudo usermod -aG {} {}, log in again, and start with --group-add keep-groups (podman, by crun), or add a udev rule such as \
             KERNEL==\"{}\", MODE=\"0666\"",
            Escaped::name(&group),
            Escaped::name(&user),
            first.path.rsplit('/').next().unwrap_or_default()
        ),
    )])
}

fn may_open(node: &Present, environment: &Environment) -> bool {
    const READ_AND_WRITE: u32 = 0o6;
    let stat = &node.stat;
    let bits = if stat.st_uid == environment.uid {
        stat.st_mode >> 6
    } else if environment.gids.contains(&stat.st_gid) {
        stat.st_mode >> 3
    } else {
        stat.st_mode
    };
    bits & READ_AND_WRITE == READ_AND_WRITE
}

/// The name that `/etc/passwd` or `/etc/group` has for an id.
fn named(text: &str, id: u32) -> Option<String> {
    let has_id = |line: &&str| line.split(':').nth(2).and_then(|field| field.parse().ok()) == Some(id);
    text.lines().find(has_id)?.split(':').next().map(str::to_owned)
}

/// Whether `/etc/subuid` or `/etc/subgid` has a range for the user.
fn has_range(text: &str, user: &str, uid: u32) -> bool {
    text.lines().filter_map(|line| line.split(':').next()).any(|owner| owner == user || owner == uid.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Host;

    #[test]
    fn a_node_is_opened_by_the_first_class_that_fits() {
        let host = Host::open(Path::new("/")).unwrap();
        let stat = host.lstat(Path::new("/dev/null")).unwrap().unwrap();
        for (mode, uid, gids, expected) in [
            (0o666, 1000, vec![], true),
            (0o660, 1000, vec![44], true),
            (0o660, 1000, vec![105], false),
            (0o600, 7, vec![], true),
            (0o066, 7, vec![44], false),
            (0o606, 1000, vec![44], false),
            (0o664, 1000, vec![], false),
        ] {
            let mut stat = stat;
            (stat.st_mode, stat.st_uid, stat.st_gid) = (mode, 7, 44);
            let environment = Environment { uid, gids, ..Environment::unknown() };
            let node = Present { path: String::new(), stat };
            assert_eq!(may_open(&node, &environment), expected, "{mode:o} for {uid}");
        }
    }

    #[test]
    fn names_and_ranges_are_read_from_their_files() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n";
        assert_eq!(named(passwd, 1000).as_deref(), Some("ann"));
        assert_eq!(named(passwd, 7), None);
        for (text, expected) in [("ann:100000:65536\n", true), ("1000:100000:65536\n", true), ("anna:1:1\n", false)] {
            assert_eq!(has_range(text, "ann", 1000), expected, "{text}");
        }
    }
}
