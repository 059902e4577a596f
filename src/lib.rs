//! gpu-runc gives containers the GPUs they ask for: an engine starts it in place of runc, it edits the bundle's config.json,
//! and becomes runc.
//!
//! # The way data flows
//!
//! One direction, no modes. `Parse, decide, act`: a function does one of the three, and the deciding ones are pure.
//!
//! ```text
//! argv ─→ Invocation ──(not create, run, restore)─────────────────────────────────→ exec
//!   └ Bundle ─→ oci::Spec (a lossless document)
//!       └ request::Request        nothing asked: nothing else on the machine is read ─→ exec
//!           └ cdi::Registry       the CDI files of the spec directories, completed by generate::spec from the machine
//!               └ resolve::Resolution { parts, grants, notes }         or an exact error
//!                   └ oci::Spec::apply ─→ Bundle::replace (atomic) ─→ exec
//! ```
//!
//! `gpu-ctk` uses the same middle and only prints it.
//!
//! # Layers
//!
//! Imports point down only (tests/it/layers.rs holds the table and enforces it):
//!
//! ```text
//! cli                             what a person types and reads; no decisions
//! doctor                          says what is wrong with the machine; changes nothing
//! runtime   hook                  act: read and replace config.json, become the low-level runtime; the one hook
//! node                            installs gpu-runc on machines that run pods: a list of steps, done one by one
//! configure                       tells engines of gpu-runc: plans texts, then replaces files
//! compose                         compose files' reservations, as requests to gpu-runc; pure
//! request   resolve   generate    decide; pure, but that generate reads the machine through host
//! choose                          which devices a count gets; pure
//! holders                         who holds which device: records, and the states of low-level runtimes
//! rootfs   devfs                  what must be inside a container's root, written through one handle, never through a mount; in
//!                                 the host's /dev
//! vendor                          what is known of each vendor: rows of data, and what only one vendor's devices need
//! host                            what the machine is: read-only, below a root
//! oci   cdi   ldcache   elf       the formats
//! program                         asks other programs, never while a container starts
//! messages                        what others print when something about GPUs is wrong: a table
//! error   log   config   trust
//! ```

pub mod cdi;
pub mod choose;
pub mod cli;
pub mod compose;
pub mod config;
pub mod configure;
pub mod devfs;
pub mod doctor;
pub mod elf;
pub mod error;
pub mod generate;
pub mod holders;
pub mod hook;
pub mod host;
pub mod ldcache;
pub mod log;
pub mod messages;
pub mod node;
pub mod oci;
pub mod program;
pub mod request;
pub mod resolve;
pub mod rootfs;
pub mod runtime;
pub mod trust;
pub mod vendor;
