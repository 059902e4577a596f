//! What a container asks for: every source of a request read into one value, judged by one policy.
//!
//! Pure: reads nothing but the [`View`] of config.json and the policy. Does not know which devices exist.
//!
//! Sources have ranks; for every vendor the highest one that asks counts, and vendors add up:
//!
//! 1. annotations: `gpu-runc/gpus` (without a driver it speaks for every vendor) and `cdi.k8s.io/*`;
//! 2. mounts of a device plugin;
//! 3. hooks that an engine left for a vendor's old toolkit;
//! 4. a vendor's own environment variable, or Docker Swarm's in its place;
//! 5. `GPU_VISIBLE_DEVICES`, which adds to the others unless it would end at a vendor that one of them speaks for.
//!
//! A vendor's variable that is set, also to `void`, answers for the vendor's kinds: no other variable adds to it. Images set variables,
//! and must not widen what the operator gave. For the same reason a variable adds companions, such as NVIDIA's GPUDirect Storage, only
//! beside a GPU that is granted.

use std::fmt;

use crate::cdi::QualifiedName;
use crate::config::Policy;
use crate::error::{Escaped, Result};
use crate::oci::view::View;
use crate::vendor::{Vendor, Vendors};

pub use annotations::GPUS as ANNOTATION;
use gathering::Gathering;
pub use options::{Lease, Near, Options, Pick};
use requirements::Requirements;

mod annotations;
mod classes;
mod compose;
mod csv;
mod env;
mod gathering;
mod gpus;
mod hooks;
mod mounts;
mod options;
mod policy;
pub mod requirements;
mod visible;

/// All that one container asks for. `None` in place of it means that nothing else on the machine need be looked at.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Request {
    /// What is asked, highest source first; vendors add up.
    pub asks: Vec<Ask>,
    /// Hooks to be taken out, because their work is done here or was refused: (stage, index in its list).
    pub replaced_hooks: Vec<(String, usize)>,
    /// What the policy refused.
    pub refusals: Vec<Refusal>,
    /// The classes of their drivers' files that the container needs, for the vendors of which it chose some.
    pub classes: Vec<(&'static Vendor, Vec<String>)>,
    /// What the image asks of drivers, whether their devices are asked for or not.
    pub requirements: Vec<Requirements>,
}

/// One source's wish.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// Who asks.
    pub source: Source,
    /// What for.
    pub want: Want,
    /// How the devices are leased, chosen and limited.
    pub options: Options,
    /// The vendor beside a granted device of which this adds something. `None`: it stands alone.
    pub beside: Option<&'static Vendor>,
}

/// Where a wish was found. Its text names it in messages: `environment variable "NVIDIA_VISIBLE_DEVICES=0"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// An annotation: key and value.
    Annotation(String, String),
    /// Mounts of `/dev/null` below the device plugin's folder, which is this one.
    Mounts(&'static str),
    /// A hook that an engine left for the vendor's old toolkit: its program's name.
    LegacyHook(String),
    /// An environment variable: name and value.
    Env(String, String),
    /// The arguments of a `gpu-ctk` command.
    CommandLine,
}

/// What is wished for.
#[derive(Debug, Clone, PartialEq)]
pub enum Want {
    /// Devices by their qualified names.
    Names(Vec<QualifiedName>),
    /// Devices of a vendor; of the first of several that can satisfy the whole wish.
    Devices {
        /// The vendors to consider, in order. Never empty.
        vendors: Vec<&'static Vendor>,
        /// Those of them that a higher source speaks for: if the wish ends at one of these, it is already answered and adds
        /// nothing. Never all of them.
        answered: Vec<&'static Vendor>,
        /// Which of its devices.
        selection: Selection,
    },
}

/// Which of a vendor's devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// All of them.
    All,
    /// So many.
    Count(usize),
    /// These, by the vendor's own names: indices, UUIDs, PCI addresses, MIG `0:1`. In the vendor's canonical spelling where the
    /// wish is for one vendor only; else as written.
    Ids(Vec<String>),
    /// None, but the driver's files.
    DriverOnly,
}

/// A wish that the policy does not grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Who asked.
    pub source: Source,
    /// Which rule refused: `policy.env is "never" in /etc/gpu-runc/config.toml`.
    pub rule: String,
    /// How many more requests the same rule refuses that are not listed.
    pub more: usize,
}

/// The sources, one function for every rank, highest first. Companions come last: they add to what the others ask for.
const RANKS: [fn(&mut Gathering<'_>) -> Result<()>; 6] =
    [annotations::gather, mounts::gather, hooks::gather, env::gather_vendors, env::gather_any, env::gather_companions];

impl Request {
    /// Reads what a container asks for. `None`: it asks for nothing, or is a pod's sandbox. A request without asks has hooks to
    /// take out or refusals to log.
    ///
    /// # Errors
    ///
    /// [`crate::error::Error::Request`] for a wish that cannot be understood, unless a higher source has made it moot, and
    /// [`crate::error::Error::Refused`] for one that the policy both refuses and calls an error.
    pub fn from_spec(view: &View<'_>, policy: &Policy, vendors: Vendors) -> Result<Option<Self>> {
        if view.is_sandbox() {
            return Ok(None);
        }
        let mut gathering = Gathering::new(view, policy, vendors);
        for gather in RANKS {
            gather(&mut gathering)?;
            gathering.close_rank();
        }
        let Some(mut request) = gathering.into_request() else { return Ok(None) };
        if !request.asks.is_empty() {
            request.classes = classes::chosen(view, vendors)?;
            request.requirements = requirements::gather(view, vendors);
        }
        Ok(Some(request))
    }

    /// The classes of files of `vendor`'s driver that the container chose, if it did.
    pub fn classes_of(&self, vendor: &Vendor) -> Option<&[String]> {
        self.classes.iter().find(|(chose, _)| *chose == vendor).map(|(_, classes)| classes.as_slice())
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Annotation(key, value) => write!(f, "annotation {}", Escaped::quoted(&format!("{key}={value}"))),
            Source::Mounts(folder) => write!(f, "mounts below {folder}"),
            Source::CommandLine => f.write_str("the command line"),
            Source::LegacyHook(program) => write!(f, "hook {}", Escaped::quoted(program)),
            Source::Env(name, value) => {
                write!(f, "environment variable {}", Escaped::quoted(&format!("{name}={value}")))
            }
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.more {
            0 => write!(f, "{}: {}", self.source, self.rule),
            more => write!(f, "{} and {more} more: {}", self.source, self.rule),
        }
    }
}

#[cfg(test)]
mod tests;
