//! The links in `/dev/char` by which systemd finds the device of a number.
//!
//! Source: opencontainers/runc 3708, systemd.resource-control(5).

use std::path::Path;

use super::nodes::{self, Number};
use super::{Finding, Subject, first_of};
use crate::error::Result;

const WHY: &str = "where systemd drives cgroups, it forgets a device without a link in /dev/char at the next daemon-reload, and \
                   running containers lose it";

/// One finding for all nodes of all devices.
pub(super) fn look(subject: &Subject<'_>) -> Result<Vec<Finding>> {
    let nodes = nodes::present(subject)?;
    if nodes.is_empty() {
        return Ok(vec![Finding::idle("there is no device node to look at", WHY)]);
    }
    if !subject.has_systemd()? {
        return Ok(vec![Finding::idle("systemd does not run here, and nobody else reads them", WHY)]);
    }
    let mut unlinked = Vec::new();
    for node in &nodes {
        let (major, minor) = node.number();
        let link = subject.host.find(Path::new(&format!("/dev/char/{major}:{minor}")))?;
        if link.is_none_or(|link| link.stat.st_rdev != node.stat.st_rdev) {
            unlinked.push((node.path.as_str(), (major, minor)));
        }
    }
    Ok(vec![judged(nodes.len(), &unlinked)])
}

fn judged(count: usize, unlinked: &[(&str, Number)]) -> Finding {
    let nodes: Vec<String> =
        unlinked.iter().map(|(path, (major, minor))| format!("{path} ({major}:{minor})")).collect();
    match unlinked {
        [] if count == 1 => Finding::pass("the one node has one".to_owned(), WHY),
        [] => Finding::pass(format!("all {count} nodes have one"), WHY),
        _ => {
            const LINK: &str =
                r#"ln -sfn "$node" "/dev/char/$((0x$(stat -c %t "$node"))):$((0x$(stat -c %T "$node")))""#;
            let paths: Vec<&str> = unlinked.iter().map(|(path, _)| *path).collect();
            let fix = format!("for node in {}; do {LINK}; done", paths.join(" "));
            Finding::warn(format!("none for {}", first_of(&nodes)), WHY, fix)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn each_link_that_is_missing_is_in_the_command() {
        assert_eq!(judged(3, &[]).level, Level::Pass);
        let finding = judged(3, &[("/dev/n0", (195, 0)), ("/dev/n1", (195, 1))]);
        assert_eq!((finding.level, finding.what.as_str()), (Level::Warn, "none for /dev/n0 (195:0) and 1 more"));
        assert!(finding.fix.unwrap().starts_with("for node in /dev/n0 /dev/n1; do ln -sfn "));
    }
}
