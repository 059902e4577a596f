//! Hooks of vendors' tools in container edits, taken for what they would do.
//!
//! Pure. A hook is taken out only if all of it is understood; every other one stays as it is written.

use super::arguments::{self, Meaning};
use super::work::{Link, Work};
use crate::cdi::{ContainerEdits, DeviceNode, Hook};
use crate::vendor::Vendors;
use crate::vendor::hooks::DriverHooks;

/// Takes the hooks that are known out of `edits`, and returns what they would do.
pub fn absorb(edits: &mut ContainerEdits, vendors: Vendors) -> Work {
    let mut work = Work::default();
    edits.hooks.retain(|hook| match understood(hook, vendors) {
        Some(known) => {
            work.append(known);
            false
        }
        None => true,
    });
    work
}

/// Takes out of `work` what `edits`, whose device nodes are complete, can say themselves: a link to a device node is another node.
pub fn as_edits(work: &mut Work, edits: &mut ContainerEdits) {
    let nodes = &mut edits.device_nodes;
    work.links.retain(|link| match node_instead(link, nodes) {
        Some(node) => {
            nodes.push(node);
            false
        }
        None => true,
    });
    // The low-level runtime makes the folders of nodes with this very mode.
    let is_made_so = |mode: u32, path: &str| {
        mode == 0o755 && nodes.iter().any(|node| node.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('/')))
    };
    work.modes.retain(|(mode, path)| !is_made_so(*mode, path));
}

fn understood(hook: &Hook, vendors: Vendors) -> Option<Work> {
    // At every other time it would do something else, or see another file system.
    if hook.hook_name != "createContainer" {
        return None;
    }
    let by_path: Vec<&str> =
        std::iter::once(hook.path.as_str()).chain(hook.args.iter().skip(1).map(String::as_str)).collect();
    let own: Vec<&str> = hook.args.iter().map(String::as_str).collect();
    let (driver, args) = DriverHooks::of(&by_path, vendors).or_else(|| DriverHooks::of(&own, vendors))?;
    match arguments::parse(args) {
        Ok(Meaning::Work(work, None)) => Some(Work { driver: Some(driver), ..work }),
        _ => None,
    }
}

/// The node that does what `link` does in `/dev`, where nothing can be made from outside.
fn node_instead(link: &Link, nodes: &[DeviceNode]) -> Option<DeviceNode> {
    if !link.place.starts_with("/dev/") {
        return None;
    }
    let target = link.leads_to();
    let node = nodes.iter().find(|node| node.path == target)?;
    Some(DeviceNode { path: link.place.clone(), host_path: node.on_host().to_owned(), ..node.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(stage: &str, path: &str, args: &[&str]) -> Hook {
        let args = args.iter().map(|&arg| arg.to_owned()).collect();
        Hook { hook_name: stage.to_owned(), path: path.to_owned(), args, ..Hook::default() }
    }

    #[test]
    fn hooks_are_taken_out_only_if_all_of_them_is_understood() {
        const CDI_HOOK: &str = "/usr/bin/nvidia-cdi-hook";
        for (hook, is_taken) in [
            (hook("createContainer", CDI_HOOK, &["nvidia-cdi-hook", "update-ldcache", "--folder", "/a"]), true),
            (hook("createContainer", "/usr/bin/nvidia-ctk", &["nvidia-ctk", "hook", "update-ldcache"]), true),
            (hook("createContainer", "/opt/bin/gpu-runc", &["nvidia-cdi-hook", "update-ldcache"]), true),
            (hook("createContainer", CDI_HOOK, &["x", "update-ldcache"]), true),
            (hook("createRuntime", CDI_HOOK, &["nvidia-cdi-hook", "update-ldcache"]), false),
            (hook("createContainer", CDI_HOOK, &["nvidia-cdi-hook", "update-ldcache", "--new-flag"]), false),
            (
                hook("createContainer", CDI_HOOK, &["nvidia-cdi-hook", "update-ldcache", "--container-spec", "/x"]),
                false,
            ),
            (hook("createContainer", CDI_HOOK, &["nvidia-cdi-hook", "future-hook"]), false),
            (hook("createContainer", "/bin/sh", &["sh", "-c", "true"]), false),
            (hook("createContainer", "/usr/bin/nvidia-ctk", &["nvidia-ctk", "update-ldcache"]), false),
            (hook("createContainer", CDI_HOOK, &[]), false),
        ] {
            let mut edits = ContainerEdits { hooks: vec![hook.clone()], ..ContainerEdits::default() };
            let work = absorb(&mut edits, Vendors::known());
            assert_eq!(edits.hooks.is_empty(), is_taken, "{hook:?}");
            assert_eq!(work.driver.is_some(), is_taken, "{hook:?}");
        }
    }

    #[test]
    fn what_edits_can_say_becomes_edits() {
        let card = DeviceNode {
            path: "/dev/dri/card1".into(),
            node_type: "c".into(),
            major: 226,
            minor: 1,
            ..DeviceNode::default()
        };
        let link = "../card1::/dev/dri/by-path/pci-0000:01:00.0-card";
        let hooks = vec![
            hook(
                "createContainer",
                "nvidia-cdi-hook",
                &["", "create-symlinks", "--link", link, "--link", "../x::/dev/dri/y"],
            ),
            hook("createContainer", "nvidia-cdi-hook", &["", "chmod", "--mode", "755", "--path", "/dev/dri"]),
            hook("createContainer", "nvidia-cdi-hook", &["", "chmod", "--mode", "755", "--path", "/dev/d"]),
        ];
        let mut edits = ContainerEdits { device_nodes: vec![card.clone()], hooks, ..ContainerEdits::default() };
        let mut work = absorb(&mut edits, Vendors::known());
        as_edits(&mut work, &mut edits);
        let by_path = DeviceNode {
            path: "/dev/dri/by-path/pci-0000:01:00.0-card".into(),
            host_path: "/dev/dri/card1".into(),
            ..card.clone()
        };
        assert_eq!(edits.device_nodes, [card, by_path]);
        assert_eq!(work.links.len(), 1, "a link to something else");
        assert_eq!(work.modes, [(0o755, "/dev/d".to_owned())]);
    }
}
