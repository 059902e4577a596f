//! Rank 1: what annotations ask for, in `gpu-runc/gpus` and under the configured prefixes for CDI names.
//!
//! Finds and splits; the grammars are in [`super::gpus`] and [`super::compose`].

use std::collections::BTreeMap;

use crate::error::{Error, Escaped, Result, nearest};
use crate::vendor::{Vendor, Vendors};

use super::gathering::{Gathering, Wish};
use super::gpus::DeviceRequest;
use super::visible::{self, List};
use super::{Source, compose, gpus};

/// The annotation that holds a `--gpus` value, or the JSON of a compose file's `devices`.
pub const GPUS: &str = "gpu-runc/gpus";
/// Docker's driver for qualified names.
const CDI: &str = "cdi";

/// Takes in what annotations ask for.
pub(super) fn gather(gathering: &mut Gathering<'_>) -> Result<()> {
    if let Some(value) = gathering.view.annotation(GPUS) {
        gather_gpus(gathering, value)?;
    }
    gather_names(gathering)
}

/// Without a driver the annotation speaks for every vendor: whoever wrote it has said exactly what they want, be it nothing.
fn gather_gpus(gathering: &mut Gathering<'_>, value: &str) -> Result<()> {
    let source = Source::Annotation(GPUS.to_owned(), value.to_owned());
    if !gathering.may_ask(&source, true)? {
        return Ok(());
    }
    let wrong = |message| Error::Request { source: source.to_string(), message };
    for request in parse(value).map_err(wrong)? {
        let (vendors, list) = of_driver(&request, gathering.vendors).map_err(wrong)?;
        gathering.speak_for(&vendors);
        gathering.ask(Wish { source: source.clone(), vendors, stand_ins: Vec::new(), list })?;
    }
    Ok(())
}

fn parse(value: &str) -> std::result::Result<Vec<DeviceRequest>, String> {
    visible::check_length(value)?;
    if !value.trim_start().starts_with('[') {
        return match gpus::parse(value) {
            Ok(request) => Ok(vec![request]),
            Err(message) => Err(advised(value, message)),
        };
    }
    let requests = compose::parse(value)?;
    let count = |request: &DeviceRequest| usize::try_from(request.count).unwrap_or_default();
    match requests.iter().map(count).fold(0, usize::saturating_add) {
        0..=visible::MOST => Ok(requests),
        _ => Err(format!("more than {} devices", visible::MOST)),
    }
}

/// The words of the engines' own option do not help who makes the usual mistakes.
fn advised(value: &str, message: String) -> String {
    if value.trim().is_empty() {
        return "it is empty; expected all, a number, or devices as in device=0; 0 is for none".to_owned();
    }
    let ids = value.strip_prefix("device=").and_then(|ids| ids.split_once(','));
    match ids {
        Some((_, rest)) if !value.contains('"') && !rest.contains('=') => {
            format!(
                "{message}; several devices go between quotes that are part of the value: \"{}\"",
                Escaped::name(value)
            )
        }
        _ => message,
    }
}

/// The vendors that the driver of `request` stands for, and what is listed of theirs. The error is about the driver.
pub(super) fn of_driver(
    request: &DeviceRequest,
    vendors: Vendors,
) -> std::result::Result<(Vec<&'static Vendor>, std::result::Result<List, String>), String> {
    Ok(match request.driver.as_str() {
        "" => (vendors.accelerators(), request.list()),
        CDI => (Vec::new(), names_only(request)),
        driver => (vec![vendors.by_name(driver).ok_or_else(|| unknown(driver, vendors))?], request.list()),
    })
}

fn names_only(request: &DeviceRequest) -> std::result::Result<List, String> {
    match request.list()? {
        list if list.selection.is_none() => Ok(list),
        _ => Err(r#"driver "cdi" takes qualified names and no count: driver=cdi,device=vendor/class=name"#.to_owned()),
    }
}

fn unknown(driver: &str, vendors: Vendors) -> String {
    let known = || vendors.iter().map(|vendor| vendor.name).chain([CDI]);
    let hint = nearest(driver, known()).map_or(String::new(), |near| format!("did you mean {near:?}? "));
    format!("unknown driver {}; {hint}known are {}", Escaped::quoted(driver), known().collect::<Vec<_>>().join(", "))
}

/// Every annotation under a configured prefix, in the order of the keys: the document's order is of no meaning to the engines.
fn gather_names(gathering: &mut Gathering<'_>) -> Result<()> {
    let mut found: BTreeMap<&str, &str> = BTreeMap::new();
    for (key, value) in &gathering.view.annotations {
        if key != GPUS && gathering.policy.annotation_prefixes.iter().any(|prefix| key.starts_with(prefix.as_str())) {
            found.insert(key, value);
        }
    }
    for (key, value) in found {
        let source = Source::Annotation(key.to_owned(), value.to_owned());
        let list = names(value);
        gathering.ask(Wish { source, vendors: Vec::new(), stand_ins: Vec::new(), list })?;
    }
    Ok(())
}

/// Qualified names between commas and nothing else: no blanks, no empty pieces.
fn names(value: &str) -> std::result::Result<List, String> {
    visible::check_length(value)?;
    let parse = |piece: &str| {
        piece.parse().map_err(|reason: String| format!("invalid CDI device name {}: {reason}", Escaped::quoted(piece)))
    };
    let names = value.split(',').map(parse).collect::<std::result::Result<_, _>>()?;
    List { names, ..List::default() }.of_bounded_size()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_driver_is_answered_with_the_known_ones() {
        let message = unknown("nvidea", Vendors::known());
        assert!(
            message.starts_with(r#"unknown driver "nvidea"; did you mean "nvidia"? known are nvidia, amd, intel, "#)
        );
        assert!(message.ends_with(", cdi"), "{message}");
        assert!(unknown("zzz", Vendors::known()).starts_with(r#"unknown driver "zzz"; known are nvidia, "#));
    }

    #[test]
    fn the_usual_mistakes_are_answered_with_what_would_be_right() {
        for (value, told) in [
            ("", "it is empty; expected all, a number, or devices as in device=0; 0 is for none"),
            ("\n", "it is empty; "),
            (
                "device=0,2",
                "cannot set both Count and DeviceIDs on device request; several devices go between quotes that are part of the \
                 value: \"device=0,2\"",
            ),
            ("device=0,GPU-1f", "parsing \"GPU-1f\": invalid syntax; several devices go between quotes"),
            ("device=0,count=2", "cannot set both Count and DeviceIDs on device request"),
        ] {
            let error = parse(value).unwrap_err();
            assert!(error.contains(told) && error.contains(';') == told.contains(';'), "{value:?}: {error}");
        }
    }

    #[test]
    fn annotations_of_names_hold_nothing_but_qualified_names() {
        let list = names("acme.example/npu=0,nvidia.com/gpu=GPU-1f").unwrap();
        assert_eq!(list.names.len(), 2);
        for (value, wrong) in [
            ("", r#"invalid CDI device name "": "#),
            ("acme.example/npu=0,", r#"invalid CDI device name "": "#),
            ("acme.example/npu=0, acme.example/npu=1", r#"invalid CDI device name " acme.example/npu=1": "#),
            ("all", r#"invalid CDI device name "all": unqualified device "all", missing vendor"#),
        ] {
            let error = names(value).unwrap_err();
            assert!(error.starts_with(wrong), "{value:?}: {error}");
        }
    }
}
