//! What the Container Device Interface says: names, the spec model, validation, and the registry of spec directories.
//!
//! Knows nothing of hosts, vendors or OCI documents. Only `file` and [`registry`] read anything and only [`mod@write`] writes; the
//! rest is pure. Versions 0.3.0 to 1.1.0 of the CDI specification are read and written whole.
//!
//! A text becomes a [`Spec`] in one way, whatever it is written in:
//!
//! ```text
//! bytes ─file→ text ─text→ JSON text ─outline→ version, kind, names, byte ranges ─decode what is wanted→ Spec, validated
//!                │   └ YAML: `block` for what Go's writers emit, `yaml` (serde-saphyr) for all other
//!                └ `excerpt`: without the devices that have other names, where names are given
//! ```
//!
//! A container's start looks at many files and needs little of them. [`Registry::load`] therefore judges of each file the
//! outline and the header (members, version, kind, names), and of a file that holds something wanted its own edits and the
//! devices that are wanted. Where the names that are wanted can be told, [`Registry::load_named`] judges nothing else than what has
//! one of them, and the header beside it. Mistakes elsewhere are found by [`Registry::load_all`], which reads everything as the
//! Go library does. All agree on every device that the start asks for, except that a mistake in a device nobody asks for does
//! not take its neighbours away.
//!
//! Deliberate differences from the Go library: member names are exact in case; `null` as an entry of a list is an error of that
//! file; a device that clashes in one directory is still found in a higher one; a directory that cannot be read is reported and
//! the scan goes on; files that others could have written are refused; text after the first document is an error.

pub mod advice;
pub mod annotations;
mod block;
mod bytes;
mod excerpt;
mod fault;
mod file;
mod layout;
pub mod name;
mod outline;
pub mod registry;
pub mod spec;
mod text;
pub mod validate;
pub mod version;
pub mod write;
mod yaml;

pub use fault::Fault;
pub use name::{Kind, QualifiedName};
pub use registry::{Lookup, Part, Problem, Registry};
pub use spec::{ContainerEdits, Device, DeviceNode, Hook, IntelRdt, Missing, Mount, NetDevice, Spec};

/// Reads the text of a CDI file, JSON or YAML, and judges all of it. The error holds every fault that could be found.
pub fn parse(text: &str) -> Result<Spec, Vec<Fault>> {
    text::read(text, &|_, _| true)
}
