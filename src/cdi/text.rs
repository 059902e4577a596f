//! CDI text to [`Spec`], whatever it is written in.
//!
//! Text whose first character is `{` is JSON, whatever its file is called: that is what generators write and what is fastest to
//! read. Text that is not, or that JSON's grammar refuses, is taken for YAML, because the Go library reads every file as YAML.
//! YAML is turned into JSON text first, so that there is one reader of CDI ([`Outline`]) and not two.

use super::fault::Fault;
use super::outline::{Outline, Wants};
use super::spec::Spec;
use super::{block, yaml};

/// Reads `text` as far as it is wanted: the header and the names of all devices are always judged, the file's own edits and its
/// devices only where `wants` says so. The spec holds the devices that are wanted and no others. The error holds every fault.
pub(super) fn read(text: &str, wants: Wants<'_>) -> Result<Spec, Vec<Fault>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut not_json = None;
    if text.trim_start().starts_with('{') {
        match Outline::parse(text) {
            Ok(outline) => return outline.read(text, wants),
            Err(error) if error.is_data() => return Err(vec![Fault::in_json(text, 0, &error)]),
            Err(error) => not_json = Some(Fault::in_json(text, 0, &error)),
        }
    }
    if let Some(json) = block::to_json(text) {
        return read_json(&json, wants);
    }
    let spec = yaml::read(text).map_err(|fault| vec![not_json.unwrap_or(fault)])?;
    let json = serde_json::to_string(&spec).map_err(|error| vec![Fault::of_the_whole(error.to_string())])?;
    read_json(&json, wants).map_err(|mut faults| {
        // This JSON's lines are not those of the file.
        faults.iter_mut().for_each(|fault| fault.line = None);
        faults
    })
}

fn read_json(json: &str, wants: Wants<'_>) -> Result<Spec, Vec<Fault>> {
    Outline::parse(json).map_err(|error| vec![Fault::in_json(json, 0, &error)])?.read(json, wants)
}
