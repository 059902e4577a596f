//! Where low-level runtimes keep the states of their containers.
//!
//! Only lists directories. Sources: runc's and crun's defaults, containerd's runc shim, dockerd's `runtime-<name>`.

use std::collections::BTreeSet;
use std::path::Path;

use super::directory::Directory;
use crate::error::{Escaped, reason};

/// A directory of states.
#[derive(Debug)]
pub(super) struct Root {
    /// Where it is, as records name it.
    pub path: String,
    pub directory: Directory,
}

/// The directories of states of a machine.
#[derive(Debug, Default)]
pub(super) struct Roots {
    pub found: Vec<Root>,
    /// Those that are there and cannot be read.
    pub hidden: BTreeSet<String>,
    /// What cannot be read, and why.
    pub unread: Vec<String>,
}

/// The directories of states below `run`, the machine's `/run`, and those at `named` paths.
pub(super) fn find(run: &Path, named: &[&str]) -> Roots {
    let mut search = Roots::default();
    for name in ["runc", "crun", "youki"] {
        search.add(&run.join(name));
    }
    search.add_all_below(&run.join("containerd/runc"), |_| true);
    for runtime in search.names(&run.join("docker"), |name| name.starts_with("runtime-")) {
        search.add_all_below(&run.join("docker").join(runtime), |_| true);
    }
    search.add_users(&run.join("user"));
    for path in named {
        search.add(Path::new(path));
    }
    search
}

impl Roots {
    fn add(&mut self, path: &Path) {
        let text = path.to_string_lossy();
        if self.found.iter().any(|root| root.path == *text) || self.hidden.contains(&*text) {
            return;
        }
        match Directory::open(path) {
            Ok(Some(directory)) => self.found.push(Root { path: text.into_owned(), directory }),
            Ok(None) => {}
            Err(cause) => {
                self.unread.push(format!("{text}: {}", reason(&cause)));
                self.hidden.insert(text.into_owned());
            }
        }
    }

    fn add_all_below(&mut self, path: &Path, keep: fn(&str) -> bool) {
        for name in self.names(path, keep) {
            self.add(&path.join(name));
        }
    }

    fn names(&mut self, path: &Path, keep: fn(&str) -> bool) -> Vec<String> {
        let listed = Directory::open(path).and_then(|found| found.map(|found| found.directories()).transpose());
        match listed {
            Ok(names) => {
                names.unwrap_or_default().into_iter().map(|(name, _)| name).filter(|name| keep(name)).collect()
            }
            Err(cause) => {
                self.unread.push(format!("{}: {}", Escaped::path(&path), reason(&cause)));
                Vec::new()
            }
        }
    }

    /// A user's own directories. Only root, and the user, can read them.
    fn add_users(&mut self, users: &Path) {
        let is_uid = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
        for uid in self.names(users, is_uid) {
            let path = users.join(&uid);
            let Ok(Some(home)) = Directory::open(&path) else {
                self.unread.push(format!("{}: access denied", Escaped::path(&path)));
                continue;
            };
            let home = home.hostile();
            for name in ["runc", "crun"] {
                // A link, or a mount of the user's: not a runtime's directory.
                let Ok(Some(directory)) = home.below(name) else { continue };
                self.found.push(Root { path: path.join(name).to_string_lossy().into_owned(), directory });
            }
        }
    }
}
