//! YAML CDI files, read by serde-saphyr within limits.
//!
//! The only place that knows that crate, whose interface changes between majors. Scalars are read as the Go library reads them
//! (octals, `on` for true, merges), except that a name written `010` stays that name and does not become `8`.

use serde_saphyr::options::DuplicateKeyPolicy;
use serde_saphyr::{DefaultMessageFormatter, Error, MessageFormatter, budget, options};

use super::fault::{Fault, already_set, in_our_words};
use super::spec::{Object, Spec};

/// Reads one YAML document. Anchors and aliases may not multiply the text beyond bounds.
pub(super) fn read(text: &str) -> Result<Spec, Fault> {
    let options = options! {
        budget: budget! { max_depth: 32, max_nodes: 500_000, max_aliases: 1000, max_documents: 1 },
        duplicate_keys: DuplicateKeyPolicy::Error,
        legacy_octal_numbers: true,
        with_snippet: false,
    };
    match serde_saphyr::from_str_with_options::<Option<Object<Spec>>>(text, options) {
        Ok(Some(Object(spec))) => Ok(spec),
        Ok(None) => Err(Fault::of_the_whole("no Spec data: expected cdiVersion, kind and devices")),
        Err(error) => Err(fault(&error)),
    }
}

fn fault(error: &Error) -> Fault {
    let message = match error.without_snippet() {
        Error::DuplicateMappingKey { key: Some(key), .. } => already_set(key),
        error => in_our_words(&DefaultMessageFormatter.format_message(error)),
    };
    Fault { line: error.location().and_then(|location| usize::try_from(location.line()).ok()), message }
}
