//! A private corner of the machine: own mounts, network, processes. Whatever an engine leaves behind goes with it.
//!
//! Only cgroups are shared with the rest of the machine; they lie below one parent, which is removed at the end.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::place::Place;
use crate::scratch::Scratch;

/// How long one call of an engine's client may take, in seconds.
const PATIENCE: &str = "60";

/// The first process of the corner. It lives until its stdin is closed, also by our death, and reaps what daemons leave.
///
/// Engines' habitual folders are hidden below empty ones. /etc/gpu-runc is the scratch folder's, on a copy of /etc that is
/// written to memory: podman hands no environment variable on that would name another file. crun refuses a machine with both
/// versions of cgroups, so the second view is taken away where both are mounted.
const FIRST_PROCESS: &str = r#"
set -e
read -r pid rest < /proc/self/stat
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
mkdir /run/etc /run/etc-work
mount -t overlay -o lowerdir=/etc,upperdir=/run/etc,workdir=/run/etc-work overlay /etc
rm -rf /etc/gpu-runc
ln -s "$1/gpu-runc" /etc/gpu-runc
for folder in containers cni; do
    if [ -d /var/lib/$folder ]; then mount -t tmpfs tmpfs /var/lib/$folder; fi
done
if mountpoint -q /sys/fs/cgroup/unified; then umount /sys/fs/cgroup/unified; fi
exec 3<&0
cat <&3 >/dev/null &
echo "$pid"
wait $!
"#;

/// What a program said when it had ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Its exit code; the shell's 128 + n for a signal.
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A program that is still running.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

/// The corner, and the scratch folder that is visible from in and outside.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) scratch: Scratch,
    /// Where its programs come from.
    pub(crate) place: Place,
    first_process: Child,
    pid: String,
    calls: std::sync::atomic::AtomicU32,
}

impl Session {
    /// Nothing where a process may not have mounts, a network and processes of its own: unshare says why on stderr.
    pub(crate) fn new(place: &Place) -> Option<Self> {
        let scratch = Scratch::new();
        let mut first_process = Command::new("unshare")
            .args(["--mount", "--net", "--ipc", "--pid", "--fork", "--kill-child", "--propagation", "private"])
            .args(["sh", "-c", FIRST_PROCESS, "session"])
            .arg(scratch.path(""))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pid = String::new();
        BufReader::new(first_process.stdout.take().unwrap()).read_line(&mut pid).unwrap();
        let pid = pid.trim().to_owned();
        let place = place.clone();
        (!pid.is_empty()).then(|| Session { scratch, place, first_process, pid, calls: 0.into() })
    }

    /// The cgroup that every container of this session is below, as an absolute path within the hierarchies.
    pub(crate) fn cgroup(&self) -> String {
        format!("/gpu-runc-test-{}", self.pid)
    }

    /// The path by which a file inside is seen from outside.
    pub(crate) fn outside(&self, path: &str) -> String {
        format!("/proc/{}/root{path}", self.pid)
    }

    /// Starts `argv` inside. Its output goes to files, not pipes: what a container's process holds open keeps nobody waiting.
    pub(crate) fn spawn(&self, argv: &[String]) -> Running {
        let call = self.calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let output = |which: &str| {
            let path = self.scratch.write(&format!("output/{call}.{which}"), "");
            (fs::OpenOptions::new().append(true).open(&path).unwrap(), path)
        };
        let ((stdout_file, stdout), (stderr_file, stderr)) = (output("stdout"), output("stderr"));
        let path = self.place.path();
        // Engines are signalled with SIGHUP, which a test run in the background may be started to ignore.
        let child = Command::new("env")
            .args(["--default-signal=HUP", "nsenter", "-t", &self.pid, "--mount", "--net", "--ipc", "--pid", "--"])
            .args(argv)
            .env("PATH", format!("{}:{path}:/usr/sbin:/sbin", self.scratch.text("bin")))
            .env("HOME", self.scratch.path("home"))
            .stdin(Stdio::null())
            .stdout(stdout_file)
            .stderr(stderr_file)
            .spawn()
            .unwrap();
        Running { child, stdout, stderr }
    }

    /// Runs `argv` inside, to its end.
    pub(crate) fn run(&self, argv: &[String]) -> Outcome {
        let patiently = ["timeout", "-k", "5", PATIENCE].map(str::to_owned);
        self.spawn(&[&patiently, argv].concat()).wait()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // With its first process a pid namespace ends, and unshare ends after the last process in it.
        drop(self.first_process.stdin.take());
        if let Err(error) = self.first_process.wait() {
            eprintln!("the session's first process: {error}");
        }
        for mount in cgroup_mounts() {
            remove_cgroup(&mount.join(self.cgroup().trim_start_matches('/')));
        }
    }
}

impl Running {
    pub(crate) fn wait(mut self) -> Outcome {
        let status = self.child.wait().unwrap();
        let read = |path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
        Outcome { code: code(status), stdout: read(&self.stdout), stderr: read(&self.stderr) }
    }

    /// Whether it has ended by now.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Whether it has printed `word` by now, or will before it ends.
    pub(crate) fn prints(&mut self, word: &str) -> bool {
        wait_until(|| {
            let ended = self.child.try_wait().unwrap().is_some();
            let printed = fs::read_to_string(&self.stdout).unwrap().contains(word);
            (printed || ended).then_some(printed)
        })
        .unwrap_or_default()
    }
}

/// Asks again until there is an answer, for half a minute.
pub(crate) fn wait_until<T>(mut answer: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        match answer() {
            None if start.elapsed() < Duration::from_secs(30) => sleep(Duration::from_millis(20)),
            answer => return answer,
        }
    }
}

fn code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap()
}

fn cgroup_mounts() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mounts = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    mounts.filter(|fields| fields[2].starts_with("cgroup")).map(|fields| fields[1].into()).collect()
}

/// Removes a tree of cgroups, leaves first. Its processes are dead but may not be gone yet.
fn remove_cgroup(cgroup: &Path) {
    for entry in fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_cgroup(&entry.path());
        }
    }
    let gone = || fs::remove_dir(cgroup).is_ok() || !cgroup.exists();
    if wait_until(|| gone().then_some(())).is_none() {
        eprintln!("could not remove {}", cgroup.display());
    }
}
