//! What the OCI runtime specification says: config.json as a lossless document, what it asks, and how edits are made to it.
//!
//! Pure: text in, text out. The document never passes through typed structures, which drop and reorder what they do not know;
//! only members that have to change are spliced, everything else keeps its bytes.

pub mod apply;
pub mod devices;
mod entries;
pub mod json;
pub mod path;
pub mod spec;
pub mod state;
pub mod view;

pub use spec::Spec;
pub use view::View;

/// The largest document that is read, in bytes. No engine writes one of this size; a device or an endless file would be read for
/// ever.
pub const LARGEST: u64 = 256 << 20;
/// What is wrong with a larger one.
pub const TOO_LARGE: &str = "larger than 256 MiB";
