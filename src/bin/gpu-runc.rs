//! The runtime wrapper.

fn main() {}
