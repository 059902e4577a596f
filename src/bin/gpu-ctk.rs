//! The person's tool.

fn main() {}
