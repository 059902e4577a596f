//! Vendors as rows of data: the only place where their names appear.
//!
//! To add one, write a `pub(super) static` row in its family's file and name it in `VENDORS`. A vendor that needs nothing but
//! CDI files needs no row at all: `vendor/class=device` names work without one, and the configuration can describe devices that
//! are numbered nodes. A row is what lets people ask in the vendor's own words: its environment variable, `driver=` in a
//! `--gpus` value.

use std::borrow::Cow;

use crate::error::Result;
use crate::host::Host;

mod amd;
mod ascend;
mod described;
mod habana;
pub mod hooks;
mod hygon;
mod intel;
mod kfd;
mod nvidia;
mod others;
pub mod recipe;
mod table;
pub mod upkeep;

pub use table::Vendors;

use hooks::DriverHooks;
use recipe::{Identify, Recipe};
use upkeep::Upkeep;

/// What is known of one vendor.
#[derive(Debug)]
pub struct Vendor {
    /// The word that names it in `driver=` and in messages.
    pub name: &'static str,
    /// CDI kinds of its devices. The first is the vendor's own (where it has published none, the name of its Kubernetes
    /// resource), the others are what other projects' files call the same devices.
    pub kinds: &'static [&'static str],
    /// What its devices are to a container.
    pub role: Role,
    /// The vendor whose devices these belong to: an environment variable adds them only beside one that is granted. `None`: they come
    /// alone.
    pub beside: Option<&'static Vendor>,
    /// Environment variables that ask for devices; the first one that is set counts.
    pub visible: &'static [Variable],
    /// Variables of another vendor that this one's images obey too. It is considered after that vendor.
    pub borrowed: &'static [&'static str],
    /// What the value `none` asks for.
    pub none: NoneMeans,
    /// How Docker Swarm's variables for generic resources are told to be this vendor's.
    pub swarm: Swarm,
    /// The folder below which the vendor's device plugin mounts `/dev/null`, once for every device.
    pub device_mounts: Option<&'static str>,
    /// The hooks that engines left for its old toolkit.
    pub legacy: Option<LegacyHooks>,
    /// The programs on dockerd's PATH by which Docker knows that `--gpus` can be for this vendor.
    pub docker: &'static [&'static str],
    /// The one spelling of an id that people spell in several ways. What is no such id comes back as written.
    pub canonical: fn(&str) -> Cow<'_, str>,
    /// How a container says which of the driver's files it needs. `None`: it gets all.
    pub classes: Option<&'static Classes>,
    /// What images may ask of its driver.
    pub requirements: Option<&'static Requirements>,
    /// How the driver's own tool is asked what parts of devices are called. Never while a container starts.
    pub identify: Option<&'static Identify>,
    /// What its own tool has hooks do in containers, which is done without them.
    pub hooks: Option<&'static DriverHooks>,
    /// How its devices are described where no CDI file does; the first that finds any counts. None: only CDI files can.
    pub recipes: &'static [&'static Recipe],
    /// What keeps its driver well, for people.
    pub upkeep: Upkeep,
}

/// What a vendor's devices are to a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// What containers are started for. A wish that names no vendor is for one of these.
    Accelerator,
    /// What is switched on beside an accelerator. If the machine does not have it, a warning is logged.
    Companion,
    /// What reaches beyond the container's own devices. The policy has a rule of its own for these.
    Management,
}

/// An environment variable that asks for devices.
#[derive(Debug)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// How its value is read.
    pub means: Means,
}

/// How the value of a variable is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Means {
    /// A list of devices.
    List,
    /// A list too, with this put before each: the `3` of a list of modules is the device called `module-3`.
    Prefixed(&'static str),
    /// The word `enabled` asks for all devices, anything else for none.
    Switch,
    /// Whatever is listed, there is one thing to be had: all.
    Whole,
}

/// How a container says which of the driver's files it needs.
#[derive(Debug)]
pub struct Classes {
    /// The variable that lists classes of files.
    pub variable: &'static str,
    /// All classes, for which the word `all` stands. None: classes are the administrator's own, of any plain name.
    pub known: &'static [&'static str],
    /// What an absent or empty variable stands for.
    pub default: &'static [&'static str],
    /// A variable and the word in its list that asks for no file at all.
    pub none: Option<(&'static str, &'static str)>,
}

/// What the value `none` of a vendor's variable asks for. `void` and an empty value ask for nothing everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoneMeans {
    /// Nothing.
    Nothing,
    /// The driver's files without a device.
    DriverOnly,
}

/// How a `DOCKER_RESOURCE_…` variable is told to be a vendor's. The administrator of the swarm chooses the rest of its name, and
/// it may as well count apples.
#[derive(Debug)]
pub struct Swarm {
    /// A word of the resource's name that begins so, in capitals.
    pub words: &'static [&'static str],
    /// How every id of its value begins.
    pub ids: &'static [&'static str],
}

/// The hooks that engines left in config.json for a vendor's old toolkit.
#[derive(Debug)]
pub struct LegacyHooks {
    /// Programs that read the container's environment, as Docker's `--gpus` starts them.
    pub programs: &'static [&'static str],
    /// The program that gets the devices as an argument, started through containerd's `oci-hook` by old nerdctl and ctr.
    pub cli: &'static str,
}

/// What images may ask of a vendor's driver, in variables that begin alike: conditions such as `cuda>=12.4`.
#[derive(Debug)]
pub struct Requirements {
    /// How the variables begin.
    pub prefix: &'static str,
    /// How those begin that mean something else.
    pub except: &'static str,
    /// The variable that switches all of it off.
    pub off: &'static str,
    /// Old images have no condition but a variable with the version of a property that they were made for: the variable, the
    /// property, and the variable that would hold a condition.
    pub legacy: (&'static str, &'static str, &'static str),
    /// What is known of the machine: properties and their values.
    pub properties: fn(&Host) -> Result<Vec<Property>>,
}

/// Something that is known of a machine, and its value.
pub type Property = (&'static str, String);

impl PartialEq for Vendor {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Vendor {}

impl Vendor {
    /// Whether its devices reach beyond a container's own, so that `policy.management` decides about them.
    pub fn is_management(&self) -> bool {
        self.role == Role::Management || self.kinds.iter().any(|kind| table::names_management(kind))
    }
}

impl Variable {
    const fn ids(name: &'static str) -> Self {
        Variable { name, means: Means::List }
    }
}

/// What a row says when it does not say otherwise.
const PLAIN: Vendor = Vendor {
    name: "",
    kinds: &[],
    role: Role::Accelerator,
    beside: None,
    visible: &[],
    borrowed: &[],
    none: NoneMeans::Nothing,
    swarm: Swarm { words: &[], ids: &[] },
    device_mounts: None,
    legacy: None,
    docker: &[],
    canonical: |id| Cow::Borrowed(id),
    classes: None,
    requirements: None,
    identify: None,
    hooks: None,
    recipes: &[],
    upkeep: Upkeep::NOTHING,
};

/// Every vendor of this program, in the order in which they are considered for a wish that names none.
static VENDORS: &[&Vendor] = &[
    &nvidia::NVIDIA,
    &amd::AMD,
    &intel::GPU,
    &habana::HABANA,
    &ascend::ASCEND,
    &hygon::HCU,
    &hygon::VHCU,
    &others::ILUVATAR,
    &others::MTHREADS,
    &others::METAX,
    &others::CAMBRICON,
    &others::T_HEAD,
    &others::KUNLUNXIN,
    &others::ENFLAME,
    &others::BIREN,
    &others::REBELLIONS,
    &others::FURIOSA,
    &others::NEURON,
    &intel::NPU,
    &others::TENSTORRENT,
    &others::TPU,
    &others::QUALCOMM,
    &intel::GPU_MEI,
    &nvidia::GDS,
    &nvidia::MOFED,
    &nvidia::GDRCOPY,
    &nvidia::NVSWITCH,
    &nvidia::NVSWITCH_CONTROL,
    &nvidia::IMEX,
    &nvidia::MIG_CONFIG,
    &nvidia::MIG_MONITOR,
    &nvidia::MANAGEMENT,
];
