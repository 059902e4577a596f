//! Faults of the kernel, by strace: a process that dies before a system call, a call that fails, a call that takes its time.
//!
//! Knows nothing of gpu-runc but that it becomes another program at the end.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

/// One system call of a process.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) name: String,
    /// How many of this name there were before it, and itself.
    pub(crate) number: usize,
    /// As strace writes it.
    pub(crate) text: String,
    /// Whether it is the program's own, after those of the loader.
    pub(crate) is_own: bool,
}

/// The words in front of a command whose calls are to be written to `trace`.
pub(crate) fn watching(trace: &str) -> [&str; 4] {
    ["strace", "-y", "-o", trace]
}

/// The calls in `trace` from the start of a program to that of the next.
pub(crate) fn calls(trace: &Path) -> Vec<Call> {
    let text = fs::read_to_string(trace).unwrap();
    let mut calls: Vec<Call> = Vec::new();
    let mut is_own = false;
    // The first line is the program's own start, which strace does not count.
    for line in text.lines().skip(1) {
        let Some((name, _)) = line.split_once('(') else { continue };
        let number = 1 + calls.iter().filter(|call| call.name == name).count();
        calls.push(Call { name: name.to_owned(), number, text: line.to_owned(), is_own });
        // What Rust does first.
        is_own |= name == "poll";
        if name == "execve" {
            break;
        }
    }
    calls
}

/// A fault at one call.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) call: Call,
    /// In strace's words: `signal=SIGKILL`, `error=EIO`, `delay_enter=1000`.
    pub(crate) what: &'static str,
    /// Whether later calls of this name meet it too.
    pub(crate) stays: bool,
}

impl Fault {
    pub(crate) fn once(call: &Call, what: &'static str) -> Self {
        Fault { call: call.clone(), what, stays: false }
    }

    /// Runs `command` after the words in front of it that bring the fault about.
    pub(crate) fn prefix(&self) -> Vec<String> {
        let Call { name, number, .. } = &self.call;
        let trace = format!("trace={name}");
        let inject = format!("inject={name}:{}:when={number}{}", self.what, if self.stays { "+" } else { "" });
        ["strace", "-o", "/dev/null", "-e", &trace, "-e", &inject].map(str::to_owned).to_vec()
    }
}

/// Whether strace is there and may watch a process.
pub(crate) fn is_usable() -> bool {
    let output = Command::new("strace").args(["-o", "/dev/null", "-e", "trace=none", "true"]).output();
    output.is_ok_and(|output| output.status.success())
}

/// Does `work` for each of `faults` and its number, as many at once as there are processors, and returns what it says.
pub(crate) fn each<T: Send>(faults: &[Fault], work: impl Fn(usize, &Fault) -> T + Sync) -> Vec<T> {
    let queue = Mutex::new(faults.iter().enumerate());
    let said = Mutex::new(Vec::with_capacity(faults.len()));
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap().next();
                    let Some((index, fault)) = next else { return };
                    let one = work(index, fault);
                    said.lock().unwrap().push(one);
                }
            });
        }
    });
    said.into_inner().unwrap()
}
