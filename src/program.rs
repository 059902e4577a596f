//! Asking another program: what it prints, with a time limit and an empty environment.
//!
//! Only starts it and reads; which program, and what its answer means, is for others. Never while a container starts.

#![allow(clippy::disallowed_methods, reason = "starts the programs that gpu-ctk asks")]

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::error::{Escaped, reason};

/// What the program prints on stdout, at most a few megabytes. The error, which begins with the program, says that it cannot be
/// started, that it failed, or that it took longer than `patience`.
pub fn answer(program: &Path, args: &[&str], patience: Duration) -> Result<String, String> {
    const LARGEST: u64 = 8 << 20;
    let failed = |why: &dyn std::fmt::Display| format!("{}: {why}", Escaped::path(program));
    let mut command = Command::new(program);
    command.args(args).env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|cause| failed(&reason(&cause)))?;
    let pipe = child.stdout.take();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        // What is no text is no answer either.
        let _ = pipe.map(|pipe| pipe.take(LARGEST).read_to_string(&mut text));
        text
    });
    let status = finished(&mut child, patience).map_err(|cause| failed(&reason(&cause)))?;
    match status {
        Some(true) => Ok(reader.join().unwrap_or_default()),
        Some(false) => Err(failed(&"it failed")),
        None => Err(failed(&format!("it did not answer within {} s", patience.as_secs()))),
    }
}

/// Whether the child succeeded; `None` if it had to be killed.
fn finished(child: &mut Child, patience: Duration) -> std::io::Result<Option<bool>> {
    let end = Instant::now() + patience;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status.success()));
        }
        if Instant::now() >= end {
            // Not waited for: a driver that is not well can hold a process in the kernel.
            child.kill()?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_asked_and_not_waited_for_for_ever() {
        let long = Duration::from_secs(5);
        assert_eq!(answer(Path::new("/bin/echo"), &["a", "b"], long), Ok("a b\n".to_owned()));
        assert!(answer(Path::new("/bin/false"), &[], long).unwrap_err().contains("it failed"));
        assert!(answer(Path::new("/absent"), &[], long).unwrap_err().ends_with("/absent: not found"));
        let late = answer(Path::new("/bin/sleep"), &["60"], Duration::from_millis(50)).unwrap_err();
        assert!(late.contains("it did not answer within 0 s"), "{late}");
    }
}
