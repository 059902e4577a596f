//! What is made in the host's `/dev`: links in `/dev/char`, and nodes of loaded drivers that nobody has made yet.
//!
//! The only writer there. Which devices there are is told by others.

pub mod char_links;
pub mod nodes;
