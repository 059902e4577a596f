//! The GPUs that KFD, the kernel's compute driver, knows: its topology in sysfs. AMD's, and those of vendors with a driver that
//! was made from AMD's.
//!
//! A partition of a GPU is a node of its own there, with a render node of its own, but shares the unique id and the PCI address
//! with the others. Source: the kernel's drivers/gpu/drm/amd/amdkfd/kfd_topology.c.

use std::borrow::Cow;
use std::path::Path;

use super::recipe::{Device, Identity, Node, Wanted};
use crate::error::Result;
use crate::host::{Host, drm};

const NODES: &str = "/sys/class/kfd/kfd/topology/nodes";

/// What `properties` says of one GPU, or of one partition. Ordered as indices are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Gpu {
    domain: u32,
    /// Bus and device; the function's three bits hold the number of the partition.
    slot: u32,
    render_minor: u32,
    /// 0 where the hardware has none.
    unique_id: u64,
    /// Its place among the GPUs of the topology, which is what HIP counts.
    hip: usize,
}

/// The GPUs and partitions of the machine that are of this PCI `vendor`. Indices count in the order of PCI addresses, as those of
/// AMD's own toolkit do, and partitions of one GPU in the order of their render nodes; `hip-0` is the first one as HIP counts,
/// in the order of KFD's nodes, and `1:3` the partition 3 of the GPU 1. The unique id and the PCI address of a GPU stand for all
/// of its partitions. Parts with ids of their own keep them: on old kernels, which do not tell the domain, GPUs of different
/// domains seem to be at one address, and an id must never give more than what has it.
pub(super) fn devices(vendor: u16, host: &Host, wanted: Wanted<'_>) -> Result<Vec<Device>> {
    let number = |name: &str| name.parse::<u32>().ok();
    let mut entries = host.list(Path::new(NODES), |name| number(name).is_some())?.unwrap_or_default();
    entries.sort_by_key(|entry| number(entry));
    let mut gpus = Vec::new();
    for entry in entries {
        let text = match host.read(&Path::new(NODES).join(entry).join("properties")) {
            // What the cgroup of this process keeps from it; other GPUs can still be had.
            Err(error) if error.is_denied() => continue,
            text => text?,
        };
        gpus.extend(text.as_deref().and_then(|text| gpu(text, vendor, gpus.len())));
    }
    gpus.sort_unstable();
    let mut devices = Vec::new();
    let mut index = 0_usize;
    for (place, parts) in gpus.chunk_by(|a, b| (a.domain, a.slot) == (b.domain, b.slot)).enumerate() {
        let is_split = parts.len() > 1;
        let share_id = parts.windows(2).all(|two| matches!(two, [a, b] if a.unique_id == b.unique_id));
        for (part, gpu) in parts.iter().enumerate() {
            let numbers = [index.to_string(), format!("hip-{}", gpu.hip)].into_iter();
            let (names, place) = match is_split {
                true => {
                    let own = gpu.unique_id().filter(|_| !share_id);
                    (numbers.chain([format!("{place}:{part}")]).chain(own).collect(), format!("{place}:{part}"))
                }
                false => (numbers.chain(gpu.names()).collect(), place.to_string()),
            };
            devices.push((names, place, std::slice::from_ref(gpu)));
            index += 1;
        }
        if let Some(gpu) = parts.first().filter(|_| is_split) {
            let names = if share_id { gpu.names() } else { vec![gpu.address()] };
            devices.push((names, place.to_string(), parts));
        }
    }
    devices.retain(|(names, ..): &(Vec<String>, _, _)| names.iter().any(|name| wanted(name)));
    devices.into_iter().map(|(names, index, parts)| described(names, index, parts, host)).collect()
}

fn described(names: Vec<String>, index: String, parts: &[Gpu], host: &Host) -> Result<Device> {
    let nodes = parts.iter().map(|part| part.nodes(host)).collect::<Result<Vec<_>>>()?;
    let (unique_id, address) = parts.first().map(|gpu| (gpu.unique_id(), gpu.address())).unwrap_or_default();
    let identity = Identity { index, unique_id, address: Some(address), ..Identity::default() };
    Ok(Device { names, nodes: nodes.into_iter().flatten().collect(), identity, ..Device::default() })
}

impl Gpu {
    /// The names of the whole GPU.
    fn names(&self) -> Vec<String> {
        self.unique_id().into_iter().chain([self.address()]).collect()
    }

    fn unique_id(&self) -> Option<String> {
        (self.unique_id != 0).then(|| format!("{:#x}", self.unique_id))
    }

    fn address(&self) -> String {
        format!("{:04x}:{:02x}:{:02x}.0", self.domain, self.slot >> 5, self.slot & 0x1f)
    }

    /// The render node and the card beside it, which for a partition is that of its platform device.
    fn nodes(&self, host: &Host) -> Result<Vec<Node>> {
        let device = format!("/sys/class/drm/renderD{}/device", self.render_minor);
        Ok(drm::nodes(host, Path::new(&device))?.into_iter().map(Node::at).collect())
    }
}

/// The kernel's `unique_id` of a GPU, a u64: people write it with and without `0x`, zeros in front and capitals, and AMD's own
/// tools with `GPU-`. Bare digits are
/// an index as long as they could be one, which ROCm's toolkit takes to be 8 digits.
pub(super) fn unique_id(id: &str) -> Cow<'_, str> {
    let hex = match ["0x", "0X", "GPU-"].iter().find_map(|prefix| id.strip_prefix(prefix)) {
        Some(hex) => hex,
        None if id.len() > 8 => id,
        None => return Cow::Borrowed(id),
    };
    match u64::from_str_radix(hex, 16) {
        Ok(number) if !hex.starts_with('+') => Cow::Owned(format!("{number:#x}")),
        _ => Cow::Borrowed(id),
    }
}

/// Reads the text of `properties`. `None` for processors and other vendors' devices.
fn gpu(text: &str, vendor: u16, hip: usize) -> Option<Gpu> {
    let field = |name| {
        let mut pairs = text.lines().filter_map(|line| line.split_once(' '));
        pairs.find(|(key, _)| *key == name)?.1.parse::<u64>().ok()
    };
    let is_gpu = field("simd_count")? > 0 && field("vendor_id")? == u64::from(vendor);
    let location = u32::try_from(field("location_id")?).ok()?;
    is_gpu.then_some(Gpu {
        // Old kernels do not name the domain.
        domain: u32::try_from(field("domain").unwrap_or_default()).ok()?,
        slot: (location & 0xffff) >> 3,
        render_minor: u32::try_from(field("drm_render_minor")?).ok()?,
        unique_id: field("unique_id").unwrap_or_default(),
        hip,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gpu_is_told_from_a_processor_by_its_properties() {
        let gpu_of = |more: &str| {
            gpu(&format!("simd_count 1216\nvendor_id 4098\nlocation_id 1283\ndrm_render_minor 131\n{more}"), 0x1002, 5)
        };
        let old = Gpu { domain: 0, slot: 0xa0, render_minor: 131, unique_id: 0, hip: 5 };
        assert_eq!(gpu_of(""), Some(old));
        let new = Gpu { domain: 65536, unique_id: 16_404_946_649_897_475_633, ..old };
        assert_eq!(gpu_of("domain 65536\nunique_id 16404946649897475633\n"), Some(new));
        assert_eq!(new.names(), ["0xe3aa140f9a5f9e31", "10000:05:00.0"].map(str::to_owned));
        assert_eq!(old.names(), ["0000:05:00.0"]);
        for text in [
            "cpu_cores_count 96\nsimd_count 0\nvendor_id 0\nlocation_id 0\ndrm_render_minor 0\n",
            "simd_count 64\nvendor_id 7572\nlocation_id 0\ndrm_render_minor 128\n",
            "simd_count 64\nvendor_id 4098\nlocation_id 0\ndrm_render_minor -1\n",
            "",
        ] {
            assert_eq!(gpu(text, 0x1002, 0), None, "{text}");
        }
    }
}
