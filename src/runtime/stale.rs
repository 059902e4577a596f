//! Whether what CDI files say still holds on this machine, as far as a container needs it; and what they leave open, read from it.
//!
//! Only looks: what becomes of a file that is out of date is decided by the caller.

use std::mem::take;
use std::path::{Path, PathBuf};

use crate::cdi::registry::FileId;
use crate::cdi::{DeviceNode, Kind, Missing, Part, Registry};
use crate::error::{Error, Escaped, Result};
use crate::host::Host;
use crate::host::node::{self, Completed};
use crate::host::source::{self, Source};
use crate::vendor::{Vendor, Vendors};

/// A file that is out of date.
#[derive(Debug)]
pub(super) struct Stale {
    /// Where it is.
    pub file: PathBuf,
    /// What is not there any more.
    pub missing: String,
}

/// The vendor whose devices of a kind can be described anew from the machine.
pub(super) type Describer<'a> = &'a dyn Fn(&Kind) -> Option<&'static Vendor>;

/// What is known of a device node of a kind that a vendor's driver would make.
pub(super) type Promise<'a> = &'a dyn Fn(&Vendor, &Kind, &DeviceNode) -> Result<Option<Missing>>;

/// Completes the device nodes of `parts` in `registry`, adds to `notes` what their files have to be told about their numbers, and
/// looks whether everything is there that they name. Returns the first file of a kind that has a `describer` and is out of date; for
/// other kinds that is an error, unless the container can do without. `promise` says what is known of a node of a kind that a vendor's
/// driver would make and nobody has made yet, else `None`: the number alone may be another driver's by now.
pub(super) fn complete(
    parts: &[Part],
    registry: &mut Registry,
    host: &Host,
    describer: Describer<'_>,
    promise: Promise<'_>,
    notes: &mut Vec<(FileId, String)>,
) -> Result<Option<Stale>> {
    for part in parts {
        // That was a moment ago, from what is there.
        if registry.is_made_in_memory(part.file) {
            continue;
        }
        let mut nodes = registry.edits_mut(*part).map(|edits| take(&mut edits.device_nodes)).unwrap_or_default();
        let path = registry.path(part.file);
        let kind = registry.spec(part.file).map(|spec| &spec.kind);
        let is_known =
            kind.and_then(|kind| Vendors::known().by_kind(kind)).is_some_and(|vendor| !vendor.recipes.is_empty());
        let renewal = kind.and_then(|kind| Some((describer(kind)?, kind)));
        let renewable = renewal.is_some();
        let promised = |node: &DeviceNode| match renewal.filter(|_| node.is_whole()) {
            Some((vendor, kind)) => promise(vendor, kind, node),
            None => Ok(None),
        };
        let mut exposed: Vec<String> = Vec::new();
        for mount in registry.edits(*part).iter().flat_map(|edits| &edits.mounts) {
            match source::check(mount, host)? {
                Source::Usable => {}
                Source::Missing => {
                    let missing = Escaped::quoted(&mount.host_path).to_string();
                    match renewable {
                        true => return Ok(Some(Stale { file: path.to_owned(), missing })),
                        false => return Err(out_of_date(path, &missing, is_known)),
                    }
                }
                Source::Exposed(why) => {
                    let source = Escaped::quoted(&mount.host_path);
                    let note = format!("{source}, which {} mounts, is left out: {why}", Escaped::path(path));
                    notes.push((part.file, note));
                    exposed.push(mount.host_path.clone());
                }
            }
        }
        for node in &mut nodes {
            if let Completed::Whole(note) = node::complete(node, host)? {
                notes.extend(note.map(|note| (part.file, note)));
                continue;
            }
            node.missing = promised(node)?;
            match node.missing {
                Some(_) => {}
                None if renewable => {
                    let missing = Escaped::quoted(node.on_host()).to_string();
                    return Ok(Some(Stale { file: path.to_owned(), missing }));
                }
                // Its description says all that is needed to make it.
                None if node.is_whole() => node.missing = Some(Missing { is_required: true, owner: None }),
                None => {
                    let what = format!("failed to stat CDI host device {}: not found", Escaped::quoted(node.on_host()));
                    let advice = "load the driver, or write the file anew";
                    return Err(Error::Inject(format!("{what}, which {} names; {advice}", Escaped::path(path))));
                }
            }
        }
        if let Some(edits) = registry.edits_mut(*part) {
            edits.mounts.retain(|mount| !exposed.contains(&mount.host_path));
            edits.device_nodes = nodes;
        }
    }
    Ok(None)
}

/// `is_known`: whether we describe the vendor's devices too.
fn out_of_date(file: &Path, missing: &str, is_known: bool) -> Error {
    let ours = if is_known { " or \"gpu-ctk cdi generate\"" } else { "" };
    Error::Inject(format!(
        "{} is out of date: {missing}, which it mounts, is not there; write it anew with the vendor's tool{ours}, or install the \
         driver again",
        Escaped::path(file)
    ))
}
