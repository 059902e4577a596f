//! What a vendor's row says of describing its devices without CDI files: how they are found, and what goes with them.
//!
//! Data, and the shapes of what a row's own `find` returns. [`crate::vendor`] rows are the only users that fill it in; putting
//! a CDI spec together from it is not done here.

use crate::error::Result;
use crate::host::Host;

/// How a vendor's devices are described.
#[derive(Debug)]
pub struct Recipe {
    /// Finds the devices one of whose names is wanted, in the order of their indices.
    pub find: fn(&Host, Wanted<'_>) -> Result<Vec<Device>>,
    /// Nodes that go with any device, as far as the machine has them.
    pub shared: &'static [Shared],
    /// Variables that go with any device.
    pub env: &'static [&'static str],
    /// Whether a container's process joins the groups of nodes that are not for everybody. Files with groups need CDI 0.7.0,
    /// which older engines refuse.
    pub joins_groups: bool,
    /// Files of the driver that images do not bring. `None` where they bring all.
    pub driver: Option<&'static Driver>,
}

/// Whether a device of this name is wanted.
pub type Wanted<'a> = &'a dyn Fn(&str) -> bool;

/// A device as it was found.
#[derive(Debug, PartialEq, Eq)]
pub struct Device {
    /// All names that it goes by.
    pub names: Vec<String>,
    /// Its nodes.
    pub nodes: Vec<Node>,
}

/// A node of a device.
#[derive(Debug, PartialEq, Eq)]
pub struct Node {
    /// Where it is, below the root of the nodes.
    pub path: String,
    /// What it would be if nobody has made it yet; the device cannot be used without such a node. One without a number is left
    /// out where it is not there.
    pub number: Option<Number>,
}

/// A node that goes with any device.
#[derive(Debug)]
pub struct Shared {
    /// Where it is.
    pub path: &'static str,
    /// What it would be if nobody has made it yet.
    pub number: Option<Number>,
}

/// The number and the mode of a node that the driver would make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Number {
    /// What `/proc/devices` calls the driver; the first that is there counts.
    pub drivers: &'static [&'static str],
    /// The minor half.
    pub minor: i64,
    /// Permission bits.
    pub mode: u32,
}

/// A driver's own files on the machine. In names, `{version}` is the driver's, `{release}` the kernel's, `{firmware}` the folder
/// that the kernel was told to look for firmware in, and `*` any text without a `/`.
#[derive(Debug)]
pub struct Driver {
    /// The version of the driver that is loaded.
    pub version: fn(&Host) -> Result<Option<String>>,
    /// Roots beside the machine's own below which it may be installed, such as a driver container's.
    pub roots: &'static [&'static str],
    /// Libraries that tell its folders from others.
    pub marks: &'static [&'static str],
    /// Subfolders of a distribution's library folders that it may be installed in.
    pub inside: &'static [&'static str],
    /// Subfolders of its own folders that hold libraries too.
    pub subfolders: &'static [&'static str],
    /// Its libraries.
    pub libraries: &'static [&'static str],
    /// Everything else.
    pub files: &'static [Files],
}

/// Some of a driver's files.
#[derive(Debug)]
pub struct Files {
    /// Folders to look in, the first that has a file counts.
    pub search: &'static [&'static str],
    /// Where they are in the container; `None` for where they are on the machine.
    pub at: Option<&'static str>,
    /// Their names below these folders.
    pub names: &'static [&'static str],
    /// What is done with them.
    pub access: Access,
}

/// What is done with a file in the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// A plain file is read.
    Read,
    /// A socket, or a folder of pipes, leads to a daemon on the machine.
    Talk,
}
