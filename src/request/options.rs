//! The options of a device request: how its devices are leased, chosen and limited.
//!
//! Pure: keys and values become types here, once. Unknown keys and values are errors, so that no option is dropped without a word.

use crate::error::{Escaped, nearest};

use super::{Selection, csv};

/// The keys, in the order in which messages list them.
const KEYS: [&str; 5] = ["lease", "pick", "near", "model", "memory"];

/// How a device request wants its devices.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Whether other containers can get the same devices.
    pub lease: Lease,
    /// Which devices a count takes first. `None`: what the configuration says.
    pub pick: Option<Pick>,
    /// What the devices of a count are close to. `None`: to each other, where the count is above 1.
    pub near: Option<Near>,
    /// Only devices whose model contains this text, letter case ignored.
    pub model: Option<String>,
    /// The most device memory that the container can allocate on each device, in bytes.
    pub memory: Option<u64>,
}

/// Whether other containers can get the same devices.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lease {
    /// They can.
    #[default]
    Shared,
    /// Only devices that no container holds, and no other container gets them while this one exists.
    Exclusive,
}

/// Which devices a count takes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pick {
    /// Those that the fewest containers hold.
    Least,
    /// Those with the lowest indices.
    First,
    /// Of the least held devices, those whose device nodes no process has open.
    Idle,
}

/// What the devices of a count are close to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Near {
    /// Each other.
    Gpus,
    /// The CPUs that the container can run on.
    Cpus,
    /// Nothing in particular.
    None,
}

impl Lease {
    /// The word for it, in options and in records.
    pub fn word(self) -> &'static str {
        match self {
            Lease::Shared => "shared",
            Lease::Exclusive => "exclusive",
        }
    }
}

impl Options {
    /// Reads `key=value` pairs. The error names the pair at fault and what would be right.
    pub(super) fn parse<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, String> {
        let mut options = Options::default();
        let mut seen = Vec::new();
        for (key, value) in pairs {
            if seen.contains(&key) {
                return Err(format!("option {} is given twice", Escaped::quoted(key)));
            }
            seen.push(key);
            match key {
                "lease" => {
                    options.lease = word(key, value, &[("shared", Lease::Shared), ("exclusive", Lease::Exclusive)])?;
                }
                "pick" => {
                    let words = [("least", Pick::Least), ("first", Pick::First), ("idle", Pick::Idle)];
                    options.pick = Some(word(key, value, &words)?);
                }
                "near" => {
                    let words = [("gpus", Near::Gpus), ("cpus", Near::Cpus), ("none", Near::None)];
                    options.near = Some(word(key, value, &words)?);
                }
                "model" if value.trim().is_empty() => {
                    return Err("option model is empty; expected a part of the model's name, such as H100".to_owned());
                }
                "model" => options.model = Some(value.trim().to_owned()),
                "memory" => options.memory = Some(bytes(value)?),
                _ => return Err(unknown(key)),
            }
        }
        Ok(options)
    }

    /// Reads the list of pairs in a value of `--gpus`, as Docker reads it: a record of comma-separated values.
    pub(super) fn parse_list(text: &str) -> Result<Self, String> {
        let fields = csv::record(text).map_err(|fault| format!("options {}: {fault}", Escaped::quoted(text)))?;
        let pairs = fields.iter().map(|field| field.split_once('=').ok_or_else(|| no_value(field)));
        Options::parse(pairs.collect::<Result<Vec<_>, String>>()?)
    }

    /// Whether the options make sense beside `selection`. The error says what they need.
    pub(super) fn check(&self, selection: Option<&Selection>) -> Result<(), String> {
        let counts = matches!(selection, Some(Selection::Count(_)));
        let needs_count =
            |key: &str| Err(format!("option {key} chooses devices, which takes a count, such as count=1"));
        match self {
            Options { pick: Some(_), .. } if !counts => needs_count("pick"),
            Options { near: Some(_), .. } if !counts => needs_count("near"),
            Options { model: Some(_), .. } if !counts && selection != Some(&Selection::All) => {
                Err("option model chooses devices, which takes a count, or all".to_owned())
            }
            _ => Ok(()),
        }
    }
}

fn word<T: Copy>(key: &str, value: &str, words: &[(&str, T)]) -> Result<T, String> {
    let found = words.iter().find(|(known, _)| *known == value).map(|(_, meaning)| *meaning);
    found.ok_or_else(|| {
        let known: Vec<_> = words.iter().map(|(known, _)| *known).collect();
        format!("option {key} is {}; expected {}", Escaped::quoted(value), known.join(", "))
    })
}

fn unknown(key: &str) -> String {
    let hint = nearest(key, KEYS).map_or_else(String::new, |near| format!("did you mean {near:?}? "));
    format!("unknown option {}; {hint}known are {}", Escaped::quoted(key), KEYS.join(", "))
}

fn no_value(field: &str) -> String {
    if KEYS.contains(&field) { format!("option {field} has no value; write {field}=…") } else { unknown(field) }
}

/// A number of bytes, with a binary unit as Docker's `--memory` takes them: `8589934592`, `8g`, `8GB`, `8GiB`.
fn bytes(value: &str) -> Result<u64, String> {
    let wrong =
        || format!("option memory is {}; expected a number of bytes above 0, such as 8g", Escaped::quoted(value));
    let text = value.trim().to_ascii_lowercase();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim_start() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err(wrong()),
    };
    let number = number.parse::<u64>().ok().filter(|number| *number > 0);
    number.and_then(|number| number.checked_mul(1 << shift)).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_has_its_meaning() {
        let plain = Options::default();
        for (text, options) in [
            ("lease=shared", plain.clone()),
            ("lease=exclusive", Options { lease: Lease::Exclusive, ..plain.clone() }),
            ("pick=least", Options { pick: Some(Pick::Least), ..plain.clone() }),
            ("pick=first", Options { pick: Some(Pick::First), ..plain.clone() }),
            ("pick=idle", Options { pick: Some(Pick::Idle), ..plain.clone() }),
            ("near=gpus", Options { near: Some(Near::Gpus), ..plain.clone() }),
            ("near=cpus", Options { near: Some(Near::Cpus), ..plain.clone() }),
            ("near=none", Options { near: Some(Near::None), ..plain.clone() }),
            ("model= H100 ", Options { model: Some("H100".into()), ..plain.clone() }),
            (r#""model=A,B",lease=exclusive"#, {
                Options { model: Some("A,B".into()), lease: Lease::Exclusive, ..plain.clone() }
            }),
            ("model=a=b", Options { model: Some("a=b".into()), ..plain.clone() }),
            ("memory=1", Options { memory: Some(1), ..plain.clone() }),
            ("memory=8g", Options { memory: Some(8 << 30), ..plain.clone() }),
            ("memory=8 GiB", Options { memory: Some(8 << 30), ..plain.clone() }),
            ("memory=512MB", Options { memory: Some(512 << 20), ..plain }),
        ] {
            assert_eq!(Options::parse_list(text), Ok(options), "{text}");
        }
    }

    #[test]
    fn an_option_that_has_no_meaning_is_an_error_with_the_known_ones() {
        for (text, error) in [
            ("x", r#"unknown option "x"; known are lease, pick, near, model, memory"#),
            ("memroy=8g", r#"unknown option "memroy"; did you mean "memory"? known are lease, pick"#),
            ("Lease=shared", r#"unknown option "Lease"; did you mean "lease"? known are"#),
            ("=1", r#"unknown option ""; known are"#),
            ("lease", "option lease has no value; write lease=…"),
            ("lease=mine", r#"option lease is "mine"; expected shared, exclusive"#),
            ("lease=Exclusive", r#"option lease is "Exclusive"; expected shared, exclusive"#),
            ("pick=", r#"option pick is ""; expected least, first, idle"#),
            ("near=me", r#"option near is "me"; expected gpus, cpus, none"#),
            ("model=", "option model is empty; expected a part of the model's name"),
            ("memory=0", r#"option memory is "0"; expected a number of bytes above 0, such as 8g"#),
            ("memory=-1", r#"option memory is "-1"; expected"#),
            ("memory=8x", r#"option memory is "8x"; expected"#),
            ("memory=1.5g", r#"option memory is "1.5g"; expected"#),
            ("memory=99999999999999999999", "option memory is"),
            ("memory=17179869184g", "option memory is"),
            ("lease=shared,lease=shared", r#"option "lease" is given twice"#),
            ("", r#"options "": EOF"#),
            ("lease=\u{1b}", r#"option lease is "\u{1b}"; expected"#),
        ] {
            let wrong = Options::parse_list(text).unwrap_err();
            assert!(wrong.starts_with(error), "{text:?}: {wrong}");
        }
    }

    #[test]
    fn what_chooses_devices_takes_a_count() {
        let (all, count, ids) = (Selection::All, Selection::Count(2), Selection::Ids(vec!["0".into()]));
        for (text, selection, is_right) in [
            ("lease=exclusive,memory=1g", Some(&ids), true),
            ("lease=exclusive,memory=1g", Some(&all), true),
            ("lease=exclusive,memory=1g", None, true),
            ("pick=least,near=none,model=x", Some(&count), true),
            ("pick=least", Some(&all), false),
            ("pick=least", None, false),
            ("near=none", Some(&ids), false),
            ("model=x", Some(&all), true),
            ("model=x", Some(&ids), false),
        ] {
            let options = Options::parse_list(text).unwrap();
            assert_eq!(options.check(selection).is_ok(), is_right, "{text} {selection:?}");
        }
    }
}
