//! Which processes have device nodes open, on the whole host: containers, and programs outside.
//!
//! Reads every process's descriptors: 60 µs each. Only where somebody asks for it.

#![allow(clippy::disallowed_methods, reason = "reads this process's own PID namespace")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;

use super::number_of_open;
use super::record::Number;

/// The processes that have one of `nodes` open, by node, as far as this process can see.
pub fn open_nodes(nodes: impl IntoIterator<Item = Number>) -> BTreeMap<Number, BTreeSet<u32>> {
    let nodes: BTreeSet<Number> = nodes.into_iter().collect();
    let mut found: BTreeMap<Number, BTreeSet<u32>> = BTreeMap::new();
    if nodes.is_empty() {
        return found;
    }
    let Ok(processes) = fs::read_dir("/proc") else { return found };
    let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    for pid in pids {
        // A process that has ended meanwhile, or is another user's.
        let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
        for descriptor in descriptors.flatten() {
            if let Some(number) = number_of_open(&descriptor.path()).filter(|number| nodes.contains(number)) {
                found.entry(number).or_default().insert(pid);
            }
        }
    }
    found
}

/// The control group of a process, which it shares with all others of its container.
pub fn group_of(pid: u32) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/cgroup")).ok().filter(|group| !group.is_empty())
}

/// The user that a process runs as.
pub fn user_of(pid: u32) -> Option<u32> {
    fs::metadata(format!("/proc/{pid}")).ok().map(|found| found.uid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_has_a_node_open_is_found() {
        let null = fs::File::open("/dev/null").unwrap();
        let open = open_nodes([(1, 3), (1, 250)]);
        assert!(open[&(1, 3)].contains(&std::process::id()));
        assert!(!open.contains_key(&(1, 250)));
        drop(null);
        assert!(open_nodes([]).is_empty());
    }
}
