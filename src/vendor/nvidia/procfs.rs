//! What the driver says of itself and its GPUs in `/proc/driver/nvidia`, which is all that a container's start needs: no NVML,
//! which can take seconds to wake the GPUs.

use std::path::Path;

use super::hooks::HOOKS;
use super::{GPU, SHOWS, mig};
use crate::error::Result;
use crate::host::{Host, drm, pci};
use crate::vendor::recipe::{Device, Identity, Node, NodeRules, Number, Wanted};

const GPUS: &str = "/proc/driver/nvidia/gpus";

/// What `information` says of one GPU.
#[derive(Debug, PartialEq, Eq)]
struct Information<'a> {
    model: Option<&'a str>,
    minor: i64,
    /// `None` until the GPU has been used for the first time: it is all question marks then.
    uuid: Option<&'a str>,
    /// Taken out of use by the administrator; it has no index.
    is_excluded: bool,
}

/// The GPUs and MIG devices of the machine. Indices count in the order of PCI addresses, as NVML's do. A GPU that is split into
/// MIG devices is given by these alone.
pub(super) fn devices(host: &Host, wanted: Wanted<'_>) -> Result<Vec<Device>> {
    let mut addresses: Vec<String> = host.list(Path::new(GPUS), |_| true)?.unwrap_or_default().into_iter().collect();
    pci::sort(&mut addresses);
    let (mut devices, mut index) = (Vec::new(), 0);
    for address in addresses {
        let text = host.read(&Path::new(GPUS).join(&address).join("information"))?.unwrap_or_default();
        let Some(gpu) = information(&text).filter(|gpu| !gpu.is_excluded) else { continue };
        let instances = mig::devices(host, gpu.minor)?;
        let is_split = !instances.is_empty();
        let parts = instances.into_iter().enumerate().map(|(part, mig::Instance { numbers, access })| {
            let index = format!("{index}:{part}");
            let nodes = std::iter::once(gpu.node()).chain(access).collect();
            let identity = Identity { instance: Some(numbers), ..gpu.identity(index.clone(), &address) };
            Device { names: vec![index], nodes, identity, ..Device::default() }
        });
        let identity = gpu.identity(index.to_string(), &address);
        let whole =
            Device { names: gpu.names(index, &address), nodes: vec![gpu.node()], identity, ..Device::default() };
        let found = parts.chain(Some(whole).filter(|_| !is_split));
        for mut device in found.filter(|device| device.names.iter().any(|name| wanted(name))) {
            if !is_split {
                device.nodes.extend(drm_nodes(host, &address)?);
            }
            devices.push(device);
        }
        index += 1;
    }
    Ok(devices)
}

/// The rules of `/proc/driver/nvidia/params`, which an administrator sets as options of the kernel module.
///
/// Source: NVIDIA nvidia-modprobe, modprobe-utils/nvidia-modprobe-utils.c, `init_device_file_parameters`.
pub(super) fn node_rules(host: &Host) -> Result<NodeRules> {
    Ok(rules(&host.read(Path::new(HOOKS.params.path))?.unwrap_or_default()))
}

fn rules(params: &str) -> NodeRules {
    let number = |name| {
        let mut pairs = params.lines().filter_map(|line| line.split_once(':'));
        pairs.find(|(key, _)| *key == name)?.1.trim().parse::<u32>().ok()
    };
    let usual = NodeRules::default();
    NodeRules {
        makes_nodes: number("ModifyDeviceFiles") != Some(0),
        mode: number("DeviceFileMode").unwrap_or(usual.mode),
        uid: number("DeviceFileUID").unwrap_or(usual.uid),
        gid: number("DeviceFileGID").unwrap_or(usual.gid),
    }
}

/// The DRI nodes of a GPU, under their own names and under those that tell where it is plugged in.
fn drm_nodes(host: &Host, address: &str) -> Result<Vec<Node>> {
    let nodes = drm::nodes(host, &pci::folder(address))?;
    let by_path = nodes.iter().map(|path| Node { place: drm::by_path(address, path), ..Node::at(path.clone()) });
    let nodes: Vec<Node> = nodes.iter().cloned().map(Node::at).chain(by_path).collect();
    Ok(nodes.into_iter().map(|node| Node { classes: SHOWS, ..node }).collect())
}

/// The version of the driver that is loaded.
pub(super) fn driver_version(host: &Host) -> Result<Option<String>> {
    Ok(host.read(Path::new("/proc/driver/nvidia/version"))?.as_deref().and_then(version).map(str::to_owned))
}

impl Information<'_> {
    fn node(&self) -> Node {
        let number = Number { drivers: GPU, minor: self.minor, mode: 0o666 };
        Node { number: Some(number), ..Node::at(format!("/dev/nvidia{}", self.minor)) }
    }

    fn identity(&self, index: String, address: &str) -> Identity {
        let (model, unique_id) = (self.model.map(str::to_owned), self.uuid.map(str::to_owned));
        Identity { index, model, unique_id, address: Some(address.to_owned()), instance: None }
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
        model: field("Model"),
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

#[cfg(test)]
mod tests {
    use super::*;

    const H100: &str = "Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 18\nGPU UUID: \t GPU-0c1a5f70-0000-4000-8000-000000000003\n\
                        Bus Location: \t 0000:5d:00.0\nDevice Minor: \t 3\nGPU Firmware: \t 550.54.15\nGPU Excluded:\t No\n";

    #[test]
    fn the_information_of_a_gpu_is_read() {
        let model = Some("NVIDIA H100 80GB HBM3");
        let whole =
            Information { model, minor: 3, uuid: Some("GPU-0c1a5f70-0000-4000-8000-000000000003"), is_excluded: false };
        assert_eq!(information(H100), Some(whole));
        let asleep = "GPU UUID: \t GPU-????????-????-????-????-????????????\nDevice Minor: \t 0\n";
        assert_eq!(information(asleep), Some(Information { model: None, minor: 0, uuid: None, is_excluded: false }));
        assert!(information(&H100.replace("No", "Yes")).unwrap().is_excluded);
        assert_eq!(information("Device Minor: \t x\n"), None);
        assert_eq!(information(""), None);
    }

    #[test]
    fn the_drivers_rules_for_device_nodes_are_read() {
        let own = NodeRules { makes_nodes: false, mode: 0o660, uid: 1, gid: 44 };
        for (params, expected) in [
            ("", NodeRules::default()),
            ("ModifyDeviceFiles: 1\nDeviceFileUID: 0\n", NodeRules::default()),
            ("ModifyDeviceFiles: 0\nDeviceFileUID: 1\nDeviceFileGID: 44\nDeviceFileMode: 432\n", own),
            ("DeviceFileMode: x\nModifyDeviceFiles: -1\n", NodeRules::default()),
        ] {
            assert_eq!(rules(params), expected, "{params}");
        }
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
}
