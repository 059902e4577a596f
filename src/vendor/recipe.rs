//! What a vendor's row says of describing its devices without CDI files: how they are found, and what goes with them.
//!
//! Data, and the shapes of what is found. [`crate::vendor`] rows are the only users that fill it in; finding devices by it and
//! putting a CDI spec together is not done here.

use crate::error::Result;
use crate::host::Host;

/// How a vendor's devices are described.
#[derive(Debug)]
pub struct Recipe {
    /// How they are found.
    pub find: Find,
    /// Nodes that go with any device, as far as the machine has them.
    pub shared: &'static [Shared],
    /// Variables that go with any device.
    pub env: &'static [&'static str],
    /// Whether a container's process joins the groups of nodes that are not for everybody. Files with groups need CDI 0.7.0,
    /// which older engines refuse.
    pub joins_groups: bool,
    /// The driver's own rules for the device nodes that it has made. `None` where it has none: they are of root, as the row says.
    pub rules: Option<ReadRules>,
    /// Files of the driver that images do not bring. `None` where they bring all.
    pub driver: Option<&'static Driver>,
}

/// Reads a driver's rules for its device nodes.
pub type ReadRules = fn(&Host) -> Result<NodeRules>;

/// A driver's rules for the device nodes that its tools make on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeRules {
    /// Whether they make any.
    pub makes_nodes: bool,
    /// Permission bits, of which a device node gets no more than its own.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

impl Default for NodeRules {
    fn default() -> Self {
        NodeRules { makes_nodes: true, mode: 0o7777, uid: 0, gid: 0 }
    }
}

/// How devices are found. Devices are numbered in the order in which they are found, PCI functions in that of their addresses.
#[derive(Debug)]
pub enum Find {
    /// As PCI functions of a vendor, by the driver that they are bound to.
    Pci(Functions),
    /// As nodes with a number in their name.
    Nodes(Numbered),
    /// By a function of the vendor's own, which leaves out devices none of whose names is wanted.
    Custom(fn(&Host, Wanted<'_>) -> Result<Vec<Device>>),
}

/// PCI functions that are devices.
#[derive(Debug)]
pub struct Functions {
    /// What they must be.
    pub hardware: Hardware,
    /// Names of kernel drivers.
    pub drivers: &'static [&'static str],
    /// Whether a function that is split into virtual ones is left out, because these are the devices then.
    pub leaves_out_split: bool,
    /// Their nodes. A function without the first of these is none of the vendor's devices.
    pub nodes: &'static [SysfsNodes],
    /// Their names, as templates, of which the first is the index: `{index}` is the place of the device, `{address}` its PCI address, `{dashed}` the same with
    /// dashes, a prefix of `nodes` the number after it, everything else the file of that name in the function's folder in
    /// sysfs. A template one of whose placeholders stands for nothing gives no name.
    pub names: &'static [&'static str],
}

/// Nodes of a device that its folder in sysfs tells of.
#[derive(Debug)]
pub struct SysfsNodes {
    /// The subfolder, or the link, with an entry for every node.
    pub folder: &'static str,
    /// What the name of an entry begins with, a number follows. Empty where the folder is a link to one whose name is a number.
    pub prefix: &'static str,
    /// The nodes of an entry, `{}` for its number.
    pub paths: &'static [&'static str],
}

/// The nodes of DRM, which the kernel has for whatever draws.
pub const DRI: &[SysfsNodes] = &[
    SysfsNodes { folder: "drm", prefix: "card", paths: &["/dev/dri/card{}"] },
    SysfsNodes { folder: "drm", prefix: "renderD", paths: &["/dev/dri/renderD{}"] },
];

/// Nodes with a number in their name that are devices.
#[derive(Debug)]
pub struct Numbered {
    /// Their path, `{}` for the number. Without it, the path of the one device, which gets the number 0.
    pub path: &'static str,
    /// Further nodes of a device, as far as the machine has them; in the last part of one, `*` is any text.
    pub more: &'static [&'static str],
    /// Names, `{}` for the number.
    pub names: &'static [&'static str],
    /// What must be in the machine. `None` where nobody has published it.
    pub hardware: Option<Hardware>,
}

/// PCI hardware.
#[derive(Debug)]
pub struct Hardware {
    /// Its vendor.
    pub vendor: u16,
    /// Devices of the vendor; none for all.
    pub devices: &'static [u16],
}

impl Hardware {
    /// Whatever this vendor makes.
    pub const fn of(vendor: u16) -> Self {
        Hardware { vendor, devices: &[] }
    }
}

/// Reads the version of the driver that is loaded.
pub type Version = fn(&Host) -> Result<Option<String>>;

/// Whether a device of this name is wanted.
pub type Wanted<'a> = &'a dyn Fn(&str) -> bool;

/// A device as it was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Device {
    /// All names that it goes by.
    pub names: Vec<String>,
    /// Its nodes.
    pub nodes: Vec<Node>,
    /// Its own files on the machine.
    pub files: Vec<File>,
    /// What it is, for people.
    pub identity: Identity,
}

/// What a device is, for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// Its place among the devices of its vendor; a partition's is that of the whole device and its own, `0:3`.
    pub index: String,
    /// What the driver calls it.
    pub model: Option<String>,
    /// The vendor's own identification: a UUID, a unique id.
    pub unique_id: Option<String>,
    /// Its PCI address.
    pub address: Option<String>,
    /// Where it is a part of another device: the numbers of its instances, which with the whole's `unique_id` tell which.
    pub instance: Option<(u32, u32)>,
}

/// A node of a device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    /// Where it is, below the root of the nodes.
    pub path: String,
    /// Where it is in the container; empty for the same path.
    pub place: String,
    /// What it would be if nobody has made it yet; the device cannot be used without such a node. One without a number is left
    /// out where it is not there.
    pub number: Option<Number>,
    /// The classes of files that it goes with; none for any.
    pub classes: &'static [&'static str],
}

/// A file, or a folder, of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Where it is on the machine.
    pub path: String,
    /// Where it is in the container.
    pub place: String,
    /// What is done with it.
    pub access: Access,
}

/// A node that goes with any device.
#[derive(Debug)]
pub struct Shared {
    /// Where it is.
    pub path: &'static str,
    /// Where it is in the container; empty for the same path.
    pub place: &'static str,
    /// What it would be if nobody has made it yet.
    pub number: Option<Number>,
    /// The classes of files that it goes with; none for any.
    pub classes: &'static [&'static str],
    /// The classes of files that do not work without it: every other container starts without a device node that is missing.
    /// `None`: no container starts without it.
    pub required_by: Option<&'static [&'static str]>,
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
/// that the kernel was told to look for firmware in, `{libraries}` each folder of the driver's libraries, and `*` any text
/// without a `/`.
#[derive(Debug)]
pub struct Driver {
    /// The version of the driver that is loaded, where names have it in them.
    pub version: Option<Version>,
    /// Roots beside the machine's own below which it may be installed, such as a driver container's.
    pub roots: &'static [&'static str],
    /// Its libraries, where they are found by their names.
    pub libraries: Option<&'static Libraries>,
    /// Everything else.
    pub files: &'static [Files],
    /// The folder of the administrator's lists of further files, `<class>.list`. A list takes the place of what is said here of
    /// its class.
    pub lists: Option<&'static str>,
    /// What is left to do in a container's root, in the words of the vendor's hooks.
    pub hooks: &'static [HookRule],
}

/// A hook that goes with a driver's files.
#[derive(Debug)]
pub struct HookRule {
    /// The program's name, the hook's, and arguments. `{version}` is the driver's; the word `{folders}` stands for `--folder` and a folder, for each
    /// that libraries are mounted in.
    pub args: &'static [&'static str],
    /// The classes of files that it goes with; none for any.
    pub classes: &'static [&'static str],
    /// Whether it is only for files that other programs read: what it does, gpu-runc does for whatever mounts libraries.
    pub is_for_files: bool,
}

/// The libraries of a driver.
#[derive(Debug)]
pub struct Libraries {
    /// Libraries that tell its folders from others.
    pub marks: &'static [&'static str],
    /// Subfolders of a distribution's library folders that it may be installed in.
    pub inside: &'static [&'static str],
    /// Subfolders of its own folders that hold libraries too.
    pub subfolders: &'static [&'static str],
    /// Their names.
    pub names: &'static [&'static str],
    /// Which classes they are of, by the part of the name before `.so`. A library that is in none goes with all.
    pub classes: &'static [(&'static str, &'static [&'static str])],
    /// The class that asks for the 32-bit ones.
    pub narrow: Option<&'static str>,
    /// Further names that programs look for: the part of a library's name before `.so`, and the name beside it.
    pub links: &'static [(&'static str, &'static str)],
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
    /// Their classes; none for any.
    pub classes: &'static [&'static str],
}

/// What is done with a file in the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// A plain file is read.
    Read,
    /// A plain file or a whole folder is read.
    Tree,
    /// A socket, or a folder of pipes, leads to a daemon on the machine.
    Talk,
    /// A folder of sockets and pipes leads to a daemon on the machine that serves the one of this name in it. Without a daemon it is
    /// left out: programs that find the folder wait for one.
    Daemon(&'static str),
}

/// How the driver's own tool is asked what parts of devices are called.
#[derive(Debug)]
pub struct Identify {
    /// How the names begin that only the tool knows.
    pub prefix: &'static str,
    /// Where the tool may be.
    pub programs: &'static [&'static str],
    /// The arguments of each call.
    pub questions: &'static [&'static [&'static str]],
    /// Reads what the calls printed.
    pub parts: fn(&[String]) -> Vec<Part>,
}

/// What the driver's own tool calls a part of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The `unique_id` of the whole device.
    pub whole: String,
    /// The numbers of its instances.
    pub instance: (u32, u32),
    /// Its name.
    pub name: String,
}

impl Recipe {
    /// What a recipe says when it does not say otherwise, of devices that are found so.
    pub const fn new(find: Find) -> Self {
        Recipe { find, shared: &[], env: &[], joins_groups: false, rules: None, driver: None }
    }
}

impl Shared {
    /// A node at this path, as far as it is there.
    pub const fn at(path: &'static str) -> Self {
        Shared { path, place: "", number: None, classes: &[], required_by: None }
    }
}

impl Node {
    /// A node at this path, as far as it is there.
    pub fn at(path: String) -> Self {
        Node { path, ..Node::default() }
    }
}
