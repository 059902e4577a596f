//! Which names of a device a CDI file has: the strategies of `gpu-ctk cdi generate`.
//!
//! Pure.

use clap::ValueEnum;

use crate::vendor::recipe::Device;

/// A way to name devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Naming {
    /// `0`, and `0:1` for a part
    Index,
    /// The vendor's UUID or unique id
    Uuid,
    /// `gpu0`, and `mig0:1` for a part
    TypeIndex,
    /// The PCI address
    Pci,
    /// Every name that containers can ask for
    All,
}

/// The names of `device` by these strategies; without any, all. `more` are names that only the driver's own tool knows.
pub(super) fn names(device: &Device, more: &[String], strategies: &[Naming]) -> Vec<String> {
    let everything = || device.names.iter().chain(more).cloned();
    if strategies.is_empty() {
        return everything().collect();
    }
    let index = &device.identity.index;
    let mut names = Vec::new();
    for strategy in strategies {
        match strategy {
            Naming::All => names.extend(everything()),
            Naming::Index => names.extend(everything().filter(|name| is_index(name))),
            Naming::Pci => names.extend(everything().filter(|name| Some(name) == device.identity.address.as_ref())),
            Naming::TypeIndex if index.contains(':') => names.push(format!("mig{index}")),
            Naming::TypeIndex => names.push(format!("gpu{index}")),
            Naming::Uuid => {
                let own = everything().filter(|name| Some(name) == device.identity.unique_id.as_ref());
                names.extend(own.chain(more.iter().cloned()));
            }
        }
    }
    names
}

/// `0` or `0:1`.
fn is_index(name: &str) -> bool {
    let mut parts = name.split(':');
    parts.clone().count() <= 2 && parts.all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vendor::recipe::Identity;

    #[test]
    fn a_strategy_picks_names() {
        let text = |text: &str| text.to_owned();
        let gpu = Device {
            names: ["0", "GPU-1f", "0000:1b:00.0"].map(text).to_vec(),
            identity: Identity {
                index: text("0"),
                unique_id: Some(text("GPU-1f")),
                address: Some(text("0000:1b:00.0")),
                ..Identity::default()
            },
            ..Device::default()
        };
        let part = Device {
            names: vec![text("0:1")],
            identity: Identity { index: text("0:1"), unique_id: Some(text("GPU-1f")), ..Identity::default() },
            ..Device::default()
        };
        let more = [text("MIG-2e")];
        for (device, more, strategies, expected) in [
            (&gpu, &[][..], &[][..], "0 GPU-1f 0000:1b:00.0"),
            (&gpu, &[], &[Naming::Index], "0"),
            (&gpu, &[], &[Naming::Uuid, Naming::Index], "GPU-1f 0"),
            (&gpu, &[], &[Naming::TypeIndex, Naming::Pci], "gpu0 0000:1b:00.0"),
            (&part, &more, &[], "0:1 MIG-2e"),
            (&part, &more, &[Naming::Uuid], "MIG-2e"),
            (&part, &more, &[Naming::TypeIndex], "mig0:1"),
            (&part, &[], &[Naming::Uuid], ""),
        ] {
            assert_eq!(names(device, more, strategies).join(" "), expected, "{strategies:?}");
        }
    }
}
