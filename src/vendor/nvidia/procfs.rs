//! What the driver says of itself and its GPUs in `/proc/driver/nvidia`, which is all that a container's start needs: no NVML,
//! which can take seconds to wake the GPUs.

use std::path::Path;

use super::{GPU, mig};
use crate::error::Result;
use crate::host::{Host, drm};
use crate::vendor::recipe::{Device, Node, Number, Wanted};

const GPUS: &str = "/proc/driver/nvidia/gpus";

/// What `information` says of one GPU.
#[derive(Debug, PartialEq, Eq)]
struct Information<'a> {
    minor: i64,
    /// `None` until the GPU has been used for the first time: it is all question marks then.
    uuid: Option<&'a str>,
    /// Taken out of use by the administrator; it has no index.
    is_excluded: bool,
}

/// The GPUs and MIG devices of the machine. Indices count in the order of PCI addresses, as NVML's do. A GPU that is split into
/// MIG devices is given by these alone.
pub(super) fn devices(host: &Host, wanted: Wanted<'_>) -> Result<Vec<Device>> {
    let mut addresses = host.list(Path::new(GPUS), |_| true)?.unwrap_or_default();
    addresses.sort_by_cached_key(|entry| position(&entry.name));
    let (mut devices, mut index) = (Vec::new(), 0);
    for address in addresses.into_iter().map(|entry| entry.name) {
        let text = host.read(&Path::new(GPUS).join(&address).join("information"))?.unwrap_or_default();
        let Some(gpu) = information(&text).filter(|gpu| !gpu.is_excluded) else { continue };
        let instances = mig::devices(host, gpu.minor)?;
        let is_split = !instances.is_empty();
        let whole = Device { names: gpu.names(index, &address), nodes: vec![gpu.node()] };
        let parts = instances.into_iter().enumerate().map(|(part, access)| Device {
            names: vec![format!("{index}:{part}")],
            nodes: std::iter::once(gpu.node()).chain(access).collect(),
        });
        let found = parts.chain(Some(whole).filter(|_| !is_split));
        for mut device in found.filter(|device| device.names.iter().any(|name| wanted(name))) {
            if !is_split {
                // sysfs has the first four digits of the domain in lower case, as procfs does.
                let nodes = drm::nodes(host, &Path::new("/sys/bus/pci/devices").join(&address))?;
                device.nodes.extend(nodes.into_iter().map(|path| Node { path, number: None }));
            }
            devices.push(device);
        }
        index += 1;
    }
    Ok(devices)
}

/// The version of the driver that is loaded.
pub(super) fn driver_version(host: &Host) -> Result<Option<String>> {
    Ok(host.read(Path::new("/proc/driver/nvidia/version"))?.as_deref().and_then(version).map(str::to_owned))
}

impl Information<'_> {
    fn node(&self) -> Node {
        let number = Number { drivers: GPU, minor: self.minor, mode: 0o666 };
        Node { path: format!("/dev/nvidia{}", self.minor), number: Some(number) }
    }

    fn names(&self, index: usize, address: &str) -> Vec<String> {
        [Some(index.to_string()), self.uuid.map(str::to_owned), Some(address.to_owned())]
            .into_iter()
            .flatten()
            .collect()
    }
}

/// Reads the text of `information`. `None` if it does not say the one thing that is needed.
fn information(text: &str) -> Option<Information<'_>> {
    let field = |name| {
        let mut pairs = text.lines().filter_map(|line| line.split_once(':'));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value.trim())
    };
    Some(Information {
        minor: field("Device Minor")?.parse().ok()?,
        uuid: field("GPU UUID").filter(|uuid| uuid.starts_with("GPU-") && !uuid.contains('?')),
        is_excluded: field("GPU Excluded") == Some("Yes"),
    })
}

/// The version in the text of `version`: the first word of its first line that is numbers with dots between.
fn version(text: &str) -> Option<&str> {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let is_version = |word: &&str| word.contains('.') && word.split('.').all(is_number);
    text.lines().next()?.split_whitespace().find(is_version)
}

/// What PCI addresses are ordered by. What is no address comes last.
fn position(address: &str) -> Vec<u32> {
    address.split([':', '.']).map(|part| u32::from_str_radix(part, 16).unwrap_or(u32::MAX)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const H100: &str = "Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 18\nGPU UUID: \t GPU-0c1a5f70-0000-4000-8000-000000000003\n\
                        Bus Location: \t 0000:5d:00.0\nDevice Minor: \t 3\nGPU Firmware: \t 550.54.15\nGPU Excluded:\t No\n";

    #[test]
    fn the_information_of_a_gpu_is_read() {
        let whole =
            Information { minor: 3, uuid: Some("GPU-0c1a5f70-0000-4000-8000-000000000003"), is_excluded: false };
        assert_eq!(information(H100), Some(whole));
        let asleep = "GPU UUID: \t GPU-????????-????-????-????-????????????\nDevice Minor: \t 0\n";
        assert_eq!(information(asleep), Some(Information { minor: 0, uuid: None, is_excluded: false }));
        assert!(information(&H100.replace("No", "Yes")).unwrap().is_excluded);
        assert_eq!(information("Device Minor: \t x\n"), None);
        assert_eq!(information(""), None);
    }

    #[test]
    fn the_version_is_found_in_either_kind_of_driver() {
        for (text, expected) in [
            (
                "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.129.03  Thu Oct 19 18:56:32 UTC 2023\nGCC version:  gcc version 11.4.0\n",
                Some("535.129.03"),
            ),
            (
                "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.54.15  Release Build  (builder)\n",
                Some("550.54.15"),
            ),
            ("NVRM version: none\n", None),
            ("NVRM version: ../.. 1..2\n", None),
            ("", None),
        ] {
            assert_eq!(version(text), expected, "{text}");
        }
    }

    #[test]
    fn addresses_are_ordered_by_their_numbers() {
        let mut addresses = ["10000:01:00.0", "0000:9b:00.0", "0000:1a:00.0", "0001:00:00.0"];
        addresses.sort_by_cached_key(|address| position(address));
        assert_eq!(addresses, ["0000:1a:00.0", "0000:9b:00.0", "0001:00:00.0", "10000:01:00.0"]);
    }
}
