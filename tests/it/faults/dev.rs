//! A `/dev` that is not the machine's, with a system log or none: a mount namespace that commands are run in.
//!
//! Knows nothing of gpu-runc.

use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The nodes that strace and the tests use, and the place of scratch folders stay. It is there as long as somebody holds the pipe.
const MAKE: &str = r#"set -e
new=$1 log=$2
mount -t tmpfs none "$new"
for node in null zero full; do touch "$new/$node"; mount --bind "/dev/$node" "$new/$node"; done
if [ -d /dev/shm ]; then mkdir "$new/shm"; mount --bind /dev/shm "$new/shm"; fi
if [ -n "$log" ]; then ln -s "$log" "$new/log"; fi
mount --rbind "$new" /dev
echo made
read -r end
"#;

/// Where commands find it.
#[derive(Debug)]
pub(crate) struct Dev(Child);

impl Dev {
    /// Made in the folder `new`, with a link to `log`. Nothing where this process may not mount.
    pub(crate) fn new(new: &Path, log: Option<&Path>) -> Option<Self> {
        std::fs::create_dir_all(new).unwrap();
        let mut child = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "/bin/sh", "-c", MAKE, "sh"])
            .args([new, log.unwrap_or(Path::new(""))])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        let dev = Dev(child);
        (said == "made\n").then_some(dev)
    }

    /// The words in front of a command that is to see it. Its working folder is `/`.
    pub(crate) fn prefix(&self) -> Vec<String> {
        ["nsenter".to_owned(), format!("--target={}", self.0.id()), "--mount".to_owned()].to_vec()
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A system log, which reads all that it is sent.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: UnixDatagram,
    lines: Mutex<Vec<String>>,
}

impl Listener {
    pub(crate) fn at(path: &Path) -> Arc<Self> {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_nonblocking(true).unwrap();
        let listener = Arc::new(Listener { socket, lines: Mutex::default() });
        let weak = Arc::downgrade(&listener);
        // The queue of such a socket may be as short as ten records.
        std::thread::spawn(move || {
            while let Some(listener) = weak.upgrade() {
                listener.heard();
                drop(listener);
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        listener
    }

    /// All that was sent until now.
    pub(crate) fn heard(&self) -> Vec<String> {
        let mut lines = self.lines.lock().unwrap();
        let mut line = [0; 8192];
        while let Ok(length) = self.socket.recv(&mut line) {
            lines.push(String::from_utf8_lossy(&line[..length]).into_owned());
        }
        lines.clone()
    }
}
