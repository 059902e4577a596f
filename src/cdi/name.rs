//! CDI names: `vendor/class` kinds and `vendor/class=device` qualified names.
//!
//! Pure and byte-wise: ASCII only, no trimming, no case folding. Source: CDI pkg/parser.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::Escaped;

/// `vendor/class`, such as `nvidia.com/gpu`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind {
    vendor: String,
    class: String,
}

/// `vendor/class=device`, such as `nvidia.com/gpu=0`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QualifiedName {
    kind: Kind,
    device: String,
}

impl Kind {
    /// The part before the slash.
    pub fn vendor(&self) -> &str {
        &self.vendor
    }

    /// The part after the slash.
    pub fn class(&self) -> &str {
        &self.class
    }

    /// The qualified name of this kind's `device`. The error says what is wrong with the name.
    pub fn device(&self, device: &str) -> Result<QualifiedName, String> {
        check_device(device)?;
        Ok(QualifiedName { kind: self.clone(), device: device.to_owned() })
    }
}

impl QualifiedName {
    /// The part before the equals sign.
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// The part after the equals sign.
    pub fn device(&self) -> &str {
        &self.device
    }
}

impl FromStr for Kind {
    type Err = String;

    /// The error is in the reference library's words: `invalid vendor. empty name` for a text without a slash.
    fn from_str(text: &str) -> Result<Self, String> {
        let (vendor, class) = match text.split_once('/') {
            Some((vendor, class)) if !vendor.is_empty() && !class.is_empty() => (vendor, class),
            _ => {
                let text = Escaped::quoted(text);
                return Err(format!(
                    "invalid vendor. empty name: {text} is not of the form vendor/class, such as acme.example/npu"
                ));
            }
        };
        check_part(vendor).map_err(|reason| format!("invalid vendor. {reason}"))?;
        check_part(class).map_err(|reason| format!("invalid class. {reason}"))?;
        Ok(Kind { vendor: vendor.to_owned(), class: class.to_owned() })
    }
}

impl FromStr for QualifiedName {
    type Err = String;

    /// The error is in the reference library's words: `unqualified device "0", missing vendor`.
    fn from_str(text: &str) -> Result<Self, String> {
        let missing = |what: &str| format!("unqualified device {}, missing {what}", Escaped::quoted(text));
        if text.starts_with('/') {
            return Err(missing("vendor"));
        }
        let (kind, device) = text.split_once('=').ok_or_else(|| missing("vendor"))?;
        let (vendor, class) = kind.split_once('/').ok_or_else(|| missing("vendor"))?;
        for (part, what) in [(vendor, "vendor"), (class, "class"), (device, "device name")] {
            if part.is_empty() {
                return Err(missing(what));
            }
        }
        let invalid = |reason: String| format!("invalid device {}: {reason}", Escaped::quoted(text));
        let kind: Kind = kind.parse().map_err(invalid)?;
        kind.device(device).map_err(invalid)
    }
}

/// A vendor or a class: a letter, then letters, digits, `_`, `-`, `.`, and at the end a letter or digit.
fn check_part(name: &str) -> Result<(), String> {
    let bytes = name.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
        return Err("empty name".to_owned());
    };
    let quoted = Escaped::quoted(name);
    if !first.is_ascii_alphabetic() {
        return Err(format!("{quoted}, should start with letter"));
    }
    if let Some(wrong) = name.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-' | '.')) {
        return Err(format!("invalid character {wrong:?} in name {quoted}"));
    }
    if last.is_ascii_alphanumeric() { Ok(()) } else { Err(format!("{quoted}, should end with a letter or digit")) }
}

/// What is wrong with a device's name: as [`check_part`], but it may start with a digit and hold colons.
pub(super) fn check_device(name: &str) -> Result<(), String> {
    let bytes = name.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
        return Err("invalid (empty) device name".to_owned());
    };
    let quoted = Escaped::quoted(name);
    if !first.is_ascii_alphanumeric() {
        return Err(format!("invalid name {quoted}, should start with a letter or digit"));
    }
    if let Some(wrong) = name.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-' | '.' | ':')) {
        return Err(format!("invalid character {wrong:?} in device name {quoted}"));
    }
    if last.is_ascii_alphanumeric() {
        Ok(())
    } else {
        Err(format!("invalid name {quoted}, should end with a letter or digit"))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.vendor, self.class)
    }
}

impl fmt::Display for QualifiedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.kind, self.device)
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qualified_names_split_into_vendor_class_and_device() {
        for (text, vendor, class, device) in [
            ("nvidia.com/gpu=0", "nvidia.com", "gpu", "0"),
            ("acme-7.example/vec_unit=7", "acme-7.example", "vec_unit", "7"),
            ("q/z=9", "q", "z", "9"),
            ("acme.example/npu=NPU-1f:part-2.b_3", "acme.example", "npu", "NPU-1f:part-2.b_3"),
        ] {
            let name: QualifiedName = text.parse().unwrap();
            assert_eq!((name.kind().vendor(), name.kind().class(), name.device()), (vendor, class, device));
            assert_eq!(name.to_string(), text, "the canonical text comes back");
        }
    }

    #[test]
    fn a_kind_without_one_of_its_parts_has_no_vendor() {
        for text in ["npu", "acme.example/", "/npu", "/", ""] {
            let told = format!(
                "invalid vendor. empty name: {text:?} is not of the form vendor/class, such as acme.example/npu"
            );
            assert_eq!(text.parse::<Kind>().unwrap_err(), told, "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_the_part_at_fault() {
        for (text, reason) in [
            ("", "missing vendor"),
            ("0", "missing vendor"),
            ("npu=n0", "missing vendor"),
            ("/dev/npu0=x", "missing vendor"),
            ("/npu=x", "missing vendor"),
            ("acme.example/npu", "missing vendor"),
            ("acme.example/=n0", "missing class"),
            ("acme.example/npu=", "missing device name"),
            ("7x.example/npu=n0", "should start with letter"),
            ("acme.example/npu-=n0", "should end with a letter or digit"),
            ("acme.example/npu=n0:", "should end with a letter or digit"),
            ("acme.example/npu=:n0", "should start with a letter or digit"),
            ("acme.example/npu=n 0", "invalid character ' '"),
            ("acme.example/n/pu=n0", "invalid character '/'"),
            ("acmé.example/npu=n0", "invalid character 'é'"),
            (" acme.example/npu=n0", "should start with letter"),
        ] {
            let error = text.parse::<QualifiedName>().unwrap_err();
            assert!(error.contains(reason), "{text:?}: {error}");
        }
    }
}
