//! Limits of device memory, by the kernel's `dmem` controller: Linux 6.14, cgroup v2, drivers that register their memory.
//!
//! A limit that the kernel would not keep is an error. Source: Documentation/admin-guide/cgroup-v2.rst, section DMEM.

use std::path::Path;

use crate::host::Host;

/// The file of the container's cgroup.
pub(super) const FILE: &str = "dmem.max";
/// Regions and their sizes, in the root cgroup.
const CAPACITY: &str = "/sys/fs/cgroup/dmem.capacity";

/// The lines that limit `devices`, each a name and a PCI address, to `bytes` each. The error says why one cannot be limited.
pub(super) fn limits(host: &Host, devices: &[(&str, Option<String>)], bytes: u64) -> Result<Vec<String>, String> {
    let capacity = host.read(Path::new(CAPACITY)).map_err(|error| error.to_string())?;
    let capacity = capacity.ok_or_else(|| {
        format!(
            "option memory cannot be enforced: the kernel has no {CAPACITY} (dmem controller: cgroup v2, Linux 6.14)"
        )
    })?;
    let mut lines = Vec::new();
    for (name, address) in devices {
        let regions = address.as_deref().map(|address| regions(&capacity, address)).unwrap_or_default();
        if regions.is_empty() {
            return Err(format!(
                "option memory cannot be enforced on {name}: its driver registers no memory with the kernel's dmem controller"
            ));
        }
        lines.extend(regions.into_iter().map(|region| format!("{region} {bytes}")));
    }
    lines.dedup();
    Ok(lines)
}

/// The regions of device memory at a PCI address, in lines such as `drm/0000:03:00.0/vram0 17163091968`.
fn regions<'a>(capacity: &'a str, address: &str) -> Vec<&'a str> {
    let names = capacity.lines().filter_map(|line| line.split_ascii_whitespace().next());
    names.filter(|region| region.split('/').any(|part| part.eq_ignore_ascii_case(address))).collect()
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests make their own machine")]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_for_every_region_of_the_device() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("sys/fs/cgroup/dmem.capacity");
        let host = Host::open(root.path()).unwrap();
        let limits = |devices: &[(&str, Option<&str>)]| {
            let devices: Vec<_> = devices.iter().map(|(name, address)| (*name, address.map(str::to_owned))).collect();
            limits(&host, &devices, 8 << 30).map(|lines| lines.join("|"))
        };
        let none = limits(&[("a.b/gpu=0", Some("0000:03:00.0"))]).unwrap_err();
        assert!(none.contains("the kernel has no /sys/fs/cgroup/dmem.capacity"), "{none}");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(
            &file,
            "drm/0000:03:00.0/vram0 17163091968\ndrm/0000:03:00.0/stolen 65536\ndrm/0000:13:00.0/vram0 1\n",
        )
        .unwrap();
        for (devices, expected) in [
            (
                &[("a.b/gpu=0", Some("0000:03:00.0"))][..],
                Ok("drm/0000:03:00.0/vram0 8589934592|drm/0000:03:00.0/stolen 8589934592"),
            ),
            (&[("a.b/gpu=1", Some("0000:13:00.0"))], Ok("drm/0000:13:00.0/vram0 8589934592")),
            (&[("a.b/gpu=2", Some("0000:23:00.0"))], Err("on a.b/gpu=2: its driver registers no memory")),
            (&[("a.b/gpu=3", None)], Err("on a.b/gpu=3: its driver registers no memory")),
        ] {
            match (limits(devices), expected) {
                (Ok(lines), Ok(expected)) => assert_eq!(lines, expected),
                (Err(error), Err(expected)) => assert!(error.contains(expected), "{error}"),
                (found, _) => panic!("{devices:?}: {found:?}"),
            }
        }
    }
}
