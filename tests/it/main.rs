//! The integration tests: one binary, because linking is what tests spend their time on.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    clippy::pedantic,
    reason = "tests make their own world, and fail by panicking"
)]

mod acl;
mod capture;
mod cdi_cases;
mod cdi_generate;
mod compose;
mod config;
mod configure;
mod ctk;
mod docker_gpus;
mod doctor;
mod documents;
mod engines;
mod errors;
mod escapes;
mod exposed;
mod faults;
mod fixtures;
mod generate;
mod golden;
mod growth;
mod hook;
mod hostile;
mod hosts;
mod injection;
mod kubernetes;
mod layers;
mod limits;
mod load;
mod low_level;
mod manual;
mod node;
mod passthrough;
mod peer;
mod plugins;
mod properties;
mod removal;
mod rootfs;
mod scope;
mod scratch;
mod security;
mod sharing;
mod stale;
mod system;
mod troubleshooting;
mod userns;
mod vendors;
mod volumes;
