//! What only the driver's own tool can say of parts of devices: asked in a child with a time limit.
//!
//! The tool, and not NVML: a static program loads no library, and a driver that hangs takes the child with it, not us.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::generate::Machine;
use crate::host::Host;
use crate::vendor::Vendor;
use crate::vendor::recipe::{Device, Identify, Part};

/// The longest that a tool is waited for. Waking eight GPUs takes some seconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// The parts that the tool knows.
#[derive(Debug, Default)]
pub(super) struct Identified(Vec<Part>);

impl Identified {
    /// The names that the tool has for a device.
    pub(super) fn names(&self, device: &Device) -> Vec<String> {
        let is_it = |part: &&Part| {
            device.identity.instance == Some(part.instance) && device.identity.unique_id.as_ref() == Some(&part.whole)
        };
        self.0.iter().filter(is_it).map(|part| part.name.clone()).collect()
    }
}

/// Asks the tool of `vendor`, where the machine has parts of devices to ask about. What goes wrong is told on stderr, and leaves
/// names out.
pub(super) fn parts(vendor: &Vendor, machine: Machine<'_>) -> Identified {
    let Some(rule) = vendor.identify else { return Identified::default() };
    let found = crate::generate::devices(vendor, machine, &|_| true).ok().flatten();
    let has_parts = found.is_some_and(|(_, devices)| devices.iter().any(|device| device.identity.instance.is_some()));
    if !has_parts {
        return Identified::default();
    }
    match ask(rule, machine.host, PATIENCE) {
        Ok(parts) => Identified(parts),
        Err(why) => {
            eprintln!("gpu-ctk: parts of {} devices get no names of their own: {why}", vendor.name);
            Identified::default()
        }
    }
}

fn ask(rule: &Identify, host: &Host, patience: Duration) -> Result<Vec<Part>, String> {
    let present = |path: &&&str| host.find(Path::new(path)).is_ok_and(|found| found.is_some());
    let program =
        rule.programs.iter().find(present).ok_or_else(|| format!("there is no {}", rule.programs.join(" or ")))?;
    let program = host.real(Path::new(program));
    let mut answers = Vec::new();
    for args in rule.questions {
        answers.push(answer(&program, args, patience)?);
    }
    Ok((rule.parts)(&answers))
}

/// What the program prints, at most a few megabytes.
#[allow(clippy::disallowed_methods, reason = "the one child of gpu-ctk, with an empty environment and a time limit")]
fn answer(program: &Path, args: &[&str], patience: Duration) -> Result<String, String> {
    const LARGEST: u64 = 8 << 20;
    let failed = |why: &dyn std::fmt::Display| format!("{}: {why}", program.display());
    let mut command = Command::new(program);
    command.args(args).env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|cause| failed(&cause))?;
    let pipe = child.stdout.take();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        // What is no text is no answer either.
        let _ = pipe.map(|pipe| pipe.take(LARGEST).read_to_string(&mut text));
        text
    });
    let status = finished(&mut child, patience).map_err(|cause| failed(&cause))?;
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
        assert!(answer(Path::new("/absent"), &[], long).unwrap_err().starts_with("/absent: "));
        let late = answer(Path::new("/bin/sleep"), &["60"], Duration::from_millis(50)).unwrap_err();
        assert!(late.contains("it did not answer within 0 s"), "{late}");
    }
}
