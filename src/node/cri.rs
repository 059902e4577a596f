//! Asks an engine how it is, as the kubelet would, and which runtimes it has.
//!
//! Connects to its socket and reads; decides nothing.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::frames::{self, Heard};
use crate::error::{Escaped, reason};

/// The call of the CRI's v1, and its message with `verbose` set: engines then send their configuration too.
const STATUS: (&str, &[u8]) = ("/runtime.v1.RuntimeService/Status", &[8, 1]);
/// No engine's answer has this many bytes.
const LARGEST: usize = 16 << 20;
/// How long one question may take. An engine that loads its plugins already listens, and answers later.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the engine at `socket` says of itself; why it says nothing.
pub(super) fn status(socket: &Path) -> Result<Vec<u8>, String> {
    ask(socket).map_err(|cause| format!("{}: {}", Escaped::path(socket), reason(&cause)))
}

fn ask(socket: &Path) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(&frames::call(STATUS.0, STATUS.1))?;
    let mut answer = Vec::new();
    loop {
        let mut head = [0; frames::HEAD];
        stream.read_exact(&mut head)?;
        let head = frames::head(head);
        let mut payload = vec![0; head.length];
        stream.read_exact(&mut payload)?;
        match frames::heard(head) {
            Heard::Nothing => {}
            Heard::Part => answer.extend(payload),
            Heard::End if answer.is_empty() => {
                return Err(io::Error::other("it does not serve the kubelet's calls (CRI)"));
            }
            Heard::End => return Ok(answer),
        }
        if answer.len() > LARGEST {
            return Err(io::Error::other("its answer has no end"));
        }
    }
}

/// Whether the engine that says `said` of itself has a runtime `name` that is `program`. `None` where it does not say which runtimes it
/// has: CRI-O before 1.30. One that has to read its files anew may still have another program under the name.
pub(super) fn has(said: &[u8], name: &str, program: &Path) -> Option<bool> {
    // The table of runtimes in their configurations, containerd's and CRI-O's, which they send as JSON.
    let is_said = names(said, "runtimes") || names(said, "Runtimes");
    is_said.then(|| names(said, name) && names(said, &program.to_string_lossy()))
}

/// Whether `name` is a word of what an engine says of itself.
fn names(said: &[u8], name: &str) -> bool {
    let is_inside = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(byte));
    let is_word = |start: usize| {
        let before = start.checked_sub(1).and_then(|before| said.get(before));
        !is_inside(before) && !is_inside(said.get(start + name.len()))
    };
    said.windows(name.len().max(1)).enumerate().any(|(start, bytes)| bytes == name.as_bytes() && is_word(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_is_known_by_its_whole_name_and_its_program() {
        for (said, expected) in [
            (r#"{"runtimes":{"gpu-runc":{"options":{"BinaryName":"/opt/gpu-runc/current/gpu-runc"}}}}"#, Some(true)),
            (r#"{"runtimes":{"gpu-runc":{"options":{"BinaryName":"/usr/bin/gpu-runc"}}}}"#, Some(false)),
            (r#"{"runtimes":{"runc":{"options":{"BinaryName":"/opt/gpu-runc/current/gpu-runc"}}}}"#, Some(false)),
            (r#"{"runtimes":{"my-gpu-runc":{}}}"#, Some(false)),
            (r#"{"crio":{"Runtimes":{"gpu-runc":{"RuntimePath":"/opt/gpu-runc/current/gpu-runc"}}}}"#, Some(true)),
            (r#"{"crio":{"Runtimes":{"gpu-runc":{"RuntimePath":"/usr/bin/gpu-runc"}}}}"#, Some(false)),
            (r#"{"crio":{"Runtimes":{"crun":{"RuntimeRoot":"/run/gpu-runc"}}}}"#, Some(false)),
            (r#"{"sandboxImage":"example.org/pause:3.9"}"#, None),
            ("", None),
        ] {
            let program = Path::new("/opt/gpu-runc/current/gpu-runc");
            assert_eq!(has(said.as_bytes(), "gpu-runc", program), expected, "{said}");
        }
    }

    #[test]
    fn a_socket_that_nobody_listens_on_says_why() {
        assert!(status(Path::new("/absent.sock")).unwrap_err().ends_with("absent.sock: not found"));
    }
}
