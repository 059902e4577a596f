//! The GPUs that KFD, the kernel's compute driver, knows: its topology in sysfs.
//!
//! A partition of a GPU is a node of its own there, with a render node of its own, but shares the unique id and the PCI address
//! with the others. Source: the kernel's drivers/gpu/drm/amd/amdkfd/kfd_topology.c.

use std::path::Path;

use crate::error::Result;
use crate::host::{Host, drm};
use crate::vendor::recipe::{Device, Node, Wanted};

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
}

/// The GPUs and partitions of the machine. Indices count in the order of PCI addresses, as those of AMD's own toolkit do (those
/// of HIP count in the order of KFD's nodes), and partitions of one GPU in the order of their render nodes. The unique id and the
/// PCI address of a GPU stand for all of its partitions.
pub(super) fn devices(host: &Host, wanted: Wanted<'_>) -> Result<Vec<Device>> {
    let mut gpus = Vec::new();
    for entry in host.list(Path::new(NODES), |_| true)?.unwrap_or_default() {
        let text = match host.read(&Path::new(NODES).join(entry.name).join("properties")) {
            // What the cgroup of this process keeps from it; other GPUs can still be had.
            Err(error) if error.is_denied() => continue,
            text => text?,
        };
        gpus.extend(text.as_deref().and_then(gpu));
    }
    gpus.sort_unstable();
    let mut devices = Vec::new();
    let mut index = 0_usize;
    for parts in gpus.chunk_by(|a, b| (a.domain, a.slot) == (b.domain, b.slot)) {
        let indices = (index..).take(parts.len()).map(|index| vec![index.to_string()]);
        let named: Vec<(Vec<String>, &[Gpu])> = match parts {
            [gpu] => vec![(indices.flatten().chain(gpu.names()).collect(), parts)],
            [gpu, ..] => indices.zip(parts.chunks(1)).chain([(gpu.names(), parts)]).collect(),
            [] => Vec::new(),
        };
        index += parts.len();
        for (names, parts) in named.into_iter().filter(|(names, _)| names.iter().any(|name| wanted(name))) {
            let nodes = parts.iter().map(|part| part.nodes(host)).collect::<Result<Vec<_>>>()?;
            devices.push(Device { names, nodes: nodes.into_iter().flatten().collect() });
        }
    }
    Ok(devices)
}

impl Gpu {
    /// The names of the whole GPU.
    fn names(&self) -> Vec<String> {
        let address = format!("{:04x}:{:02x}:{:02x}.0", self.domain, self.slot >> 5, self.slot & 0x1f);
        let unique_id = (self.unique_id != 0).then(|| format!("{:#x}", self.unique_id));
        unique_id.into_iter().chain([address]).collect()
    }

    /// The render node and the card beside it, which for a partition is that of its platform device.
    fn nodes(&self, host: &Host) -> Result<Vec<Node>> {
        let device = format!("/sys/class/drm/renderD{}/device", self.render_minor);
        let nodes = drm::nodes(host, Path::new(&device))?;
        Ok(nodes.into_iter().map(|path| Node { path, number: None }).collect())
    }
}

/// Reads the text of `properties`. `None` for processors and other vendors' devices.
fn gpu(text: &str) -> Option<Gpu> {
    const AMD: u64 = 0x1002;
    let field = |name| {
        let mut pairs = text.lines().filter_map(|line| line.split_once(' '));
        pairs.find(|(key, _)| *key == name)?.1.parse::<u64>().ok()
    };
    let is_gpu = field("simd_count")? > 0 && field("vendor_id")? == AMD;
    let location = u32::try_from(field("location_id")?).ok()?;
    is_gpu.then_some(Gpu {
        // Old kernels do not name the domain.
        domain: u32::try_from(field("domain").unwrap_or_default()).ok()?,
        slot: (location & 0xffff) >> 3,
        render_minor: u32::try_from(field("drm_render_minor")?).ok()?,
        unique_id: field("unique_id").unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gpu_is_told_from_a_processor_by_its_properties() {
        let gpu_of = |more: &str| {
            gpu(&format!("simd_count 1216\nvendor_id 4098\nlocation_id 1283\ndrm_render_minor 131\n{more}"))
        };
        let old = Gpu { domain: 0, slot: 0xa0, render_minor: 131, unique_id: 0 };
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
            assert_eq!(gpu(text), None, "{text}");
        }
    }
}
