//! Which CUDA a driver supports, told from its version alone: asking CUDA would wake the GPUs.
//!
//! Source: NVIDIA's release notes of the CUDA toolkit, the table of toolkits and driver versions.

use super::procfs;
use crate::error::Result;
use crate::host::Host;
use crate::vendor::Property;

/// Branches of the driver and the newest CUDA of each.
const BRANCHES: [(u32, &str); 26] = [
    (367, "8.0"),
    (384, "9.0"),
    (390, "9.1"),
    (396, "9.2"),
    (410, "10.0"),
    (418, "10.1"),
    (440, "10.2"),
    (450, "11.0"),
    (455, "11.1"),
    (460, "11.2"),
    (465, "11.3"),
    (470, "11.4"),
    (495, "11.5"),
    (510, "11.6"),
    (515, "11.7"),
    (520, "11.8"),
    (525, "12.0"),
    (530, "12.1"),
    (535, "12.2"),
    (545, "12.3"),
    (550, "12.4"),
    (555, "12.5"),
    (560, "12.6"),
    (565, "12.7"),
    (570, "12.8"),
    (575, "12.9"),
];
/// The newer ones, apart so that the end of the list is seen: what is newer than these is not known.
const NEWEST: [(u32, &str); 2] = [(580, "13.0"), (590, "13.1")];

/// What is known of the machine without NVML: the driver's version and its CUDA. Not the architecture or the brand of a GPU.
pub(super) fn properties(host: &Host) -> Result<Vec<Property>> {
    let Some(driver) = procfs::driver_version(host)? else { return Ok(Vec::new()) };
    let cuda = supported(&driver).map(|cuda| ("cuda", cuda.to_owned()));
    Ok(cuda.into_iter().chain([("driver", driver)]).collect())
}

/// The newest CUDA that a driver supports; `None` for a branch that is newer than this table.
fn supported(driver: &str) -> Option<&'static str> {
    let branch: u32 = driver.split('.').next()?.parse().ok()?;
    let (newest, _) = *NEWEST.last()?;
    let mut newest_first = BRANCHES.iter().chain(&NEWEST).rev();
    newest_first.find(|(first, _)| *first <= branch && branch <= newest).map(|(_, cuda)| *cuda)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_tells_the_newest_cuda() {
        for (driver, cuda) in [
            ("535.129.03", Some("12.2")),
            ("550.54.15", Some("12.4")),
            ("418.226.00", Some("10.1")),
            ("430.50", Some("10.1")),
            ("580.65.06", Some("13.0")),
            ("590.44.01", Some("13.1")),
            ("601.1", None),
            ("340.108", None),
            ("x", None),
        ] {
            assert_eq!(supported(driver), cuda, "{driver}");
        }
        assert!(BRANCHES.is_sorted() && NEWEST.is_sorted());
    }
}
