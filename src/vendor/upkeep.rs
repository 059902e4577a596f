//! What a row says of keeping a driver well, for a person who looks for what is wrong: hardware without a driver, nodes that
//! nobody made, the vendor's own toolkit.
//!
//! Data; asking the programs that are named here, and judging, is for others. Nothing of it counts while a container starts.

use super::Vendor;
use super::recipe::{DRI, Find, Hardware};

/// What is known of a vendor's driver beside its devices.
#[derive(Debug)]
pub struct Upkeep {
    /// Its hardware, where no recipe says so.
    pub hardware: Option<&'static Hardware>,
    /// Its kernel drivers, where no recipe says so.
    pub drivers: &'static [&'static str],
    /// The command that makes its nodes; empty where the kernel makes them.
    pub make_nodes: &'static str,
    /// The vendor's own container toolkit.
    pub toolkit: Option<Toolkit>,
    /// How its driver is kept loaded while nothing uses it.
    pub persistence: Option<Persistence>,
}

/// A vendor's own container toolkit.
#[derive(Debug)]
pub struct Toolkit {
    /// Its program.
    pub program: &'static str,
    /// The arguments by which it says its version.
    pub args: &'static [&'static str],
    /// The lowest version that is not warned of.
    pub lowest: &'static [u32],
    /// What is wrong with lower ones.
    pub why: &'static str,
}

/// How a driver is kept loaded while nothing uses it.
#[derive(Debug)]
pub struct Persistence {
    /// Sockets of the daemon that does it.
    pub sockets: &'static [&'static str],
    /// A program that knows where there is no daemon.
    pub program: &'static str,
    /// The arguments by which it says so, one line a device.
    pub args: &'static [&'static str],
    /// The line of a device that is kept so.
    pub on: &'static str,
    /// The command that starts the daemon.
    pub start: &'static str,
}

impl Upkeep {
    /// What a row says that does not say otherwise.
    pub const NOTHING: Upkeep =
        Upkeep { hardware: None, drivers: &[], make_nodes: "", toolkit: None, persistence: None };
}

impl Vendor {
    /// The hardware that its devices are.
    pub fn hardware(&self) -> impl Iterator<Item = &'static Hardware> {
        let of_recipes = self.recipes.iter().filter_map(|recipe| match &recipe.find {
            Find::Pci(functions) => Some(&functions.hardware),
            Find::Nodes(numbered) => numbered.hardware.as_ref(),
            Find::Custom(_) => None,
        });
        of_recipes.chain(self.upkeep.hardware)
    }

    /// The kernel drivers that its PCI functions are bound to.
    pub fn drivers(&self) -> impl Iterator<Item = &'static str> {
        let of_recipes = self.recipes.iter().filter_map(|recipe| match &recipe.find {
            Find::Pci(functions) => Some(functions.drivers),
            _ => None,
        });
        self.upkeep.drivers.iter().chain(of_recipes.flatten()).copied()
    }

    /// Whether a plain display controller can be one of its devices. Other vendors' are those of a server's console.
    pub fn draws(&self) -> bool {
        let is_drawn = |find: &Find| match find {
            Find::Pci(functions) => {
                functions.nodes.iter().any(|node| DRI.iter().any(|drawn| drawn.folder == node.folder))
            }
            _ => false,
        };
        self.upkeep.hardware.is_some() || self.recipes.iter().any(|recipe| is_drawn(&recipe.find))
    }
}
