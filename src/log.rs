//! Where diagnostics go: the system log and a file of our own, never the engine's log and never stdout or stderr.
//!
//! Every record is escaped here, whoever composed it: a sink never gets a raw control character.
//!
//! A sink that cannot be had costs nothing and stops nothing: no record is worth a container. Both are opened when there is
//! something to say, which for most starts is never.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process;

use log::{LevelFilter, Log, Metadata, Record};
use syslog::{Facility, Formatter3164, Logger, LoggerBackend};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::config::{self, Level};
use crate::error::Escaped;

/// Where the system log listens.
const SYSLOG: &str = "/dev/log";

#[derive(Debug)]
struct Sinks {
    program: &'static str,
    syslog: bool,
    file: PathBuf,
}

/// Sends the records of this process where `config` says, under the name `program`. Later calls change nothing.
pub fn start(program: &'static str, config: &config::Log) {
    log::set_max_level(match config.level {
        Level::Off => LevelFilter::Off,
        Level::Error => LevelFilter::Error,
        Level::Warn => LevelFilter::Warn,
        Level::Info => LevelFilter::Info,
        Level::Debug => LevelFilter::Debug,
    });
    let sinks = Sinks { program, syslog: config.syslog, file: config.file.clone() };
    // It fails only when a logger is set already, which then stays.
    let _ = log::set_boxed_logger(Box::new(sinks));
}

/// The time as the engines' log files have it: RFC 3339 in UTC, whole seconds.
pub fn now() -> String {
    let now = OffsetDateTime::now_utc();
    now.replace_nanosecond(0).unwrap_or(now).format(&Rfc3339).unwrap_or_default()
}

/// The time in seconds since 1970.
pub fn seconds() -> u64 {
    u64::try_from(OffsetDateTime::now_utc().unix_timestamp()).unwrap_or_default()
}

/// A time for people: the hour if it is today's, else the day too. In UTC, which a static program knows for certain.
pub fn clock(seconds: u64) -> String {
    let then = i64::try_from(seconds).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    let Some(then) = then else { return "a time that no clock has".to_owned() };
    let (hour, minute) = (then.hour(), then.minute());
    match then.date() == OffsetDateTime::now_utc().date() {
        true => format!("{hour:02}:{minute:02} UTC"),
        false => format!("{} {hour:02}:{minute:02} UTC", then.date()),
    }
}

impl Log for Sinks {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let message = Escaped::message(record.args()).to_string();
        if self.syslog {
            self.to_syslog(record.level(), &message);
        }
        if !self.file.as_os_str().is_empty() {
            self.to_file(record.level(), &message);
        }
    }

    fn flush(&self) {}
}

impl Sinks {
    /// Never waits: a system log that does not read its socket loses the record.
    fn to_syslog(&self, level: log::Level, message: &str) {
        let Ok(socket) = UnixDatagram::unbound() else { return };
        if socket.set_nonblocking(true).is_err() || socket.connect(SYSLOG).is_err() {
            return;
        }
        let formatter = Formatter3164 {
            facility: Facility::LOG_DAEMON,
            hostname: None,
            process: self.program.to_owned(),
            pid: process::id(),
        };
        let mut logger = Logger::new(LoggerBackend::Unix(socket), formatter);
        let _ = match level {
            log::Level::Error => logger.err(message),
            log::Level::Warn => logger.warning(message),
            log::Level::Info => logger.info(message),
            log::Level::Debug | log::Level::Trace => logger.debug(message),
        };
    }

    /// One write per line, so that lines of several processes do not mix. A pipe that nobody reads does not hold us up.
    fn to_file(&self, level: log::Level, message: &str) {
        let line = format!("{} {} {}[{}]: {message}\n", now(), level, self.program, process::id());
        let _ = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o640)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(&self.file)
            .and_then(|mut file| file.write_all(line.as_bytes()));
    }
}
