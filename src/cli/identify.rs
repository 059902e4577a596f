//! What only the driver's own tool can say of parts of devices: asked in a child with a time limit.
//!
//! The tool, and not NVML: a static program loads no library, and a driver that hangs takes the child with it, not us.

use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

use super::output;
use crate::error::Escaped;
use crate::generate::Machine;
use crate::host::Host;
use crate::program;
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
            output::note(&format_args!("parts of {} devices get no names of their own: {why}", vendor.name));
            Identified::default()
        }
    }
}

fn ask(rule: &Identify, host: &Host, patience: Duration) -> Result<Vec<Part>, String> {
    let present = |path: &&&str| host.find(Path::new(path)).is_ok_and(|found| found.is_some());
    let program =
        rule.programs.iter().find(present).ok_or_else(|| format!("there is no {}", rule.programs.join(" or ")))?;
    let program = host.real(Path::new(program));
    if std::io::stderr().is_terminal() {
        output::note(&format_args!("asking {}, which may wake the devices …", Escaped::path(&*program)));
    }
    let mut answers = Vec::new();
    for args in rule.questions {
        answers.push(program::answer(&program, args, patience)?);
    }
    Ok((rule.parts)(&answers))
}
