//! Device numbers that the kernel has given out: `/proc/devices`.
//!
//! Majors are given out anew at each boot; this is where a node's number comes from when nobody has made the node yet.

use std::path::Path;

use super::Host;
use crate::error::Result;

/// The text of `/proc/devices`; empty where there is none.
pub fn read(host: &Host) -> Result<String> {
    Ok(host.read(Path::new("/proc/devices"))?.unwrap_or_default())
}

/// The major number of the character devices of `driver`, from the text of `/proc/devices`.
pub fn major(devices: &str, driver: &str) -> Option<i64> {
    characters(devices).find(|(_, name)| *name == driver)?.0.parse().ok()
}

/// Whether some driver has this major number, in the text of `/proc/devices`.
pub fn is_given(devices: &str, major: i64) -> bool {
    characters(devices).any(|(number, _)| number.parse() == Ok(major))
}

/// The numbers of character devices and whose they are; the kernel lists them first.
fn characters(devices: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = devices.lines().skip_while(|line| *line != "Character devices:").skip(1);
    lines.take_while(|line| !line.is_empty()).filter_map(|line| line.trim().split_once(' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn majors_are_those_of_character_devices() {
        let text = "Character devices:\n  1 mem\n195 acme\n236 acme-caps\n\nBlock devices:\n  8 sd\n";
        for (driver, expected) in [("mem", Some(1)), ("acme", Some(195)), ("acme-caps", Some(236)), ("sd", None)] {
            assert_eq!(major(text, driver), expected, "{driver}");
        }
        assert_eq!(major("", "mem"), None);
        for (number, expected) in [(1, true), (236, true), (8, false), (2, false)] {
            assert_eq!(is_given(text, number), expected, "{number}");
        }
    }
}
