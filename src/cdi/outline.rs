//! The outline of a CDI file in JSON: what it says, read no deeper than the devices' names.
//!
//! Edits are skipped, not decoded: the reader checks their grammar and remembers where they are. That makes a file with a
//! thousand devices of which one is wanted cost a hundredth of reading it whole.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::fault::{Fault, line_at};
use super::name::Kind;
use super::spec::{Device, Object, Spec, objects, unique};
use super::validate;
use super::version::Need;

/// Whether a device of a kind is wanted.
pub(super) type Wants<'a> = &'a dyn Fn(&Kind, &str) -> bool;

/// A CDI file with its edits unread.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Outline<'a> {
    #[serde(borrow)]
    cdi_version: Cow<'a, str>,
    kind: Kind,
    #[serde(default, deserialize_with = "unique")]
    annotations: BTreeMap<String, String>,
    #[serde(default, borrow, deserialize_with = "objects")]
    devices: Vec<DeviceOutline<'a>>,
    #[serde(default, borrow)]
    container_edits: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DeviceOutline<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(default, borrow)]
    annotations: Option<&'a RawValue>,
    #[serde(default, borrow)]
    container_edits: Option<&'a RawValue>,
}

impl<'a> Outline<'a> {
    /// Reads the outline of `text`.
    pub(super) fn parse(text: &'a str) -> serde_json::Result<Self> {
        serde_json::from_str(text).map(|Object(outline)| outline)
    }

    /// Decodes and judges what is wanted of `text`, whose outline this is. See [`super::text::read`].
    pub(super) fn read(self, text: &str, wants: Wants<'_>) -> Result<Spec, Vec<Fault>> {
        let Outline { cdi_version, kind, annotations, devices, container_edits } = self;
        let mut need = Need::of_kind(&kind).or(Need::of_annotations(!annotations.is_empty()));
        need = devices.iter().fold(need, |need, device| need.or(Need::of_device_name(&device.name)));
        let mut faults: Vec<Fault> = validate::device_names(devices.iter().map(|device| &*device.name))
            .into_iter()
            .map(|(index, message)| Fault { line: index.and_then(|index| devices.get(index)?.line(text)), message })
            .collect();

        let mut spec = Spec::new(cdi_version.into_owned(), kind);
        spec.annotations = annotations;
        for (index, outline) in devices.iter().enumerate().filter(|(_, device)| wants(&spec.kind, &device.name)) {
            match outline.decode(text) {
                Ok(device) => {
                    let problems = validate::device_edits(index, &device).into_iter();
                    faults.extend(problems.map(|message| Fault { line: outline.line(text), message }));
                    need = need.or(Need::of_device(&device));
                    spec.devices.push(device);
                }
                Err(fault) => faults.push(fault),
            }
        }
        if !spec.devices.is_empty() || !faults.is_empty() {
            match decode(text, container_edits) {
                Ok(edits) => {
                    let line = container_edits.map(|raw| line_at(text, offset(text, raw.get())));
                    let problems = validate::global_edits(&edits).into_iter();
                    faults.extend(problems.map(|message| Fault { line, message }));
                    need = need.or(Need::of_edits(&edits));
                    spec.container_edits = edits;
                }
                Err(fault) => faults.push(fault),
            }
        }
        if let Err(message) = need.check(&spec.cdi_version) {
            faults.insert(0, Fault::of_the_whole(message));
        }
        if faults.is_empty() { Ok(spec) } else { Err(faults) }
    }
}

impl DeviceOutline<'_> {
    fn decode(&self, text: &str) -> Result<Device, Fault> {
        Ok(Device {
            name: self.name.clone().into_owned(),
            annotations: match self.annotations {
                Some(raw) => unique(&mut serde_json::Deserializer::from_str(raw.get()))
                    .map_err(|error| Fault::in_json(text, offset(text, raw.get()), &error))?,
                None => BTreeMap::new(),
            },
            container_edits: decode(text, self.container_edits)?,
        })
    }

    /// Where the device is, by its name; a name that holds escapes is not found.
    fn line(&self, text: &str) -> Option<usize> {
        match &self.name {
            Cow::Borrowed(name) => Some(line_at(text, offset(text, name))),
            Cow::Owned(_) => None,
        }
    }
}

/// Decodes a part of `text`.
fn decode<T: DeserializeOwned + Default>(text: &str, part: Option<&RawValue>) -> Result<T, Fault> {
    let Some(part) = part else { return Ok(T::default()) };
    let decoded: serde_json::Result<Object<T>> = serde_json::from_str(part.get());
    decoded.map(|Object(value)| value).map_err(|error| Fault::in_json(text, offset(text, part.get()), &error))
}

/// Where in `text` its `part` begins.
fn offset(text: &str, part: &str) -> usize {
    part.as_ptr().addr().saturating_sub(text.as_ptr().addr())
}
