//! How an error reaches the person who waits for the container: through the engine's log file and through stderr.
//!
//! containerd's shim decodes the log as a stream of objects and shows the last error; podman parses the whole file as one
//! object, or shows stderr. So: one object, one line, each once, and nothing at all on success.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;

use serde::Serialize;

use super::invocation::Invocation;
use crate::error::Escaped;
use crate::log::now;

/// The record that runc writes for an error, and that engines look for.
#[derive(Serialize)]
struct Record<'a> {
    level: &'a str,
    msg: &'a str,
    time: &'a str,
}

/// Writes `message` where the engine of this invocation looks for it. A place that cannot be written is left out: there is
/// nobody else to tell.
pub(super) fn report(message: &str, invocation: &Invocation<'_>) {
    let message = &Escaped::message(&message).to_string();
    let _ = writeln!(io::stderr(), "{message}");
    let Some(path) = invocation.log.and_then(file) else { return };
    let line = record(message, &now(), invocation.log_is_json);
    let _ = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o644)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .and_then(|mut log| log.write_all(line.as_bytes()));
}

/// The file that `--log` names. crun also takes `file:PATH`, and sinks that are no files.
fn file(value: &OsStr) -> Option<&OsStr> {
    match value.as_bytes() {
        b"" => None,
        [b's', b'y', b's', b'l', b'o', b'g', b':', ..] | [b'j', b'o', b'u', b'r', b'n', b'a', b'l', b'd', b':', ..] => {
            None
        }
        bytes => Some(bytes.strip_prefix(b"file:").map_or(value, OsStr::from_bytes)),
    }
}

fn record(message: &str, time: &str, is_json: bool) -> String {
    let json = serde_json::to_string(&Record { level: "error", msg: message, time });
    match (is_json, json) {
        (true, Ok(json)) => format!("{json}\n"),
        _ => format!("time={time:?} level=error msg={message:?}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_is_in_the_format_that_was_asked_for() {
        let time = "2026-01-02T03:04:05Z";
        assert_eq!(
            record("no \"x\"\nhere", time, true),
            "{\"level\":\"error\",\"msg\":\"no \\\"x\\\"\\nhere\",\"time\":\"2026-01-02T03:04:05Z\"}\n"
        );
        assert_eq!(record("no \"x\"", time, false), "time=\"2026-01-02T03:04:05Z\" level=error msg=\"no \\\"x\\\"\"\n");
    }

    #[test]
    fn only_logs_that_are_files_are_written() {
        for (value, path) in [
            ("/b/log.json", Some("/b/log.json")),
            ("file:/b/log", Some("/b/log")),
            ("journald:c1", None),
            ("syslog:c1", None),
            ("", None),
        ] {
            assert_eq!(file(OsStr::new(value)), path.map(OsStr::new));
        }
    }
}
