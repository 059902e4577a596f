//! Processes: whether one that was noted is still the same, and still runs.
//!
//! A PID is used again, a PID with its start time is not. Reads the `/proc` of this process, whatever machine the configuration
//! looks at: PIDs mean nothing elsewhere.

#![allow(clippy::disallowed_methods, reason = "reads this process's own PID namespace")]

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;

/// A process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Process {
    /// Its PID.
    pub pid: u32,
    /// When it started, in clock ticks since the boot. 0 where the runtime did not note it.
    pub start: u64,
}

impl Process {
    /// This process, which keeps its PID when it execs the low-level runtime.
    pub fn current() -> io::Result<Self> {
        let (_, process) = read("/proc/self/stat")?;
        Ok(process)
    }

    /// Whether it runs. A zombie does not.
    pub fn is_alive(self) -> bool {
        let is_it = |(state, found): (char, Process)| {
            !matches!(state, 'Z' | 'X' | 'x') && (self.start == 0 || found.start == self.start)
        };
        self.pid != 0 && read(&format!("/proc/{}/stat", self.pid)).is_ok_and(is_it)
    }

    /// Whether a process of this PID exists, be it this one or a later one. A tenth of the cost of [`Process::is_alive`].
    pub fn may_be_alive(self) -> bool {
        let pid = i32::try_from(self.pid).ok().and_then(rustix::process::Pid::from_raw);
        let found = pid.map(rustix::process::test_kill_process);
        matches!(found, Some(Ok(()) | Err(rustix::io::Errno::PERM)))
    }
}

/// The PID namespace of this process.
pub fn namespace() -> io::Result<u64> {
    Ok(fs::metadata("/proc/self/ns/pid")?.ino())
}

fn read(path: &str) -> io::Result<(char, Process)> {
    // Some 300 bytes, of which the start time is among the first 200.
    let mut buffer = [0; 1024];
    let length = File::open(path)?.read(&mut buffer)?;
    let text = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default());
    parse(&text).ok_or_else(|| io::Error::other("not the stat of a process"))
}

/// State and process of a `stat`. Source: proc_pid_stat(5): fields 1, 3 and 22. The name in field 2 can hold anything.
fn parse(stat: &str) -> Option<(char, Process)> {
    let (pid, rest) = stat.split_once(' ')?;
    let mut fields = rest.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, Process { pid: pid.parse().ok()?, start: fields.nth(18)?.parse().ok()? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_alive_until_it_is_a_zombie_or_another() {
        let this = Process::current().unwrap();
        assert!(this.is_alive() && this.may_be_alive());
        assert!(!Process { start: this.start + 1, ..this }.is_alive(), "a PID that is used again");
        assert!(Process { start: 0, ..this }.is_alive(), "a start that nobody noted");
        for pid in [0, u32::MAX] {
            assert!(!Process { pid, start: 0 }.is_alive() && !Process { pid, start: 0 }.may_be_alive());
        }
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        while (Process { pid, start: 0 }).is_alive() {
            std::thread::yield_now();
        }
        assert!(Process { pid, start: 0 }.may_be_alive(), "a zombie has its PID");
        child.wait().unwrap();
        assert!(!Process { pid, start: 0 }.may_be_alive());
        assert!(namespace().unwrap() > 0);
    }

    #[test]
    fn the_name_of_a_process_can_hold_anything() {
        let stat = |name: &str| format!("12 ({name}) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 777 20");
        for name in ["sh", "a b", ") R 1", "\n", "(", ""] {
            assert_eq!(parse(&stat(name)), Some(('S', Process { pid: 12, start: 777 })), "{name:?}");
        }
        for text in
            ["", "12", "12 (sh", "12 (sh)", "12 (sh) S 1 2", "x (sh) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 7"]
        {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
