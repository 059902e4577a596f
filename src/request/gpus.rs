//! The value of `--gpus`, read as nerdctl reads it, its error texts included. Docker reads the same values the same way, but for
//! the wording of a wrong count.
//!
//! Pure. Any driver is accepted here; capabilities are ignored, as nerdctl does since 2.3.

use std::collections::BTreeSet;
use std::num::IntErrorKind;

use crate::error::Escaped;

use super::visible::{self, List, MOST};
use super::{Options, Selection, csv};

/// A request for devices as `--gpus` and compose files make them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct DeviceRequest {
    /// Who is to provide them; empty for anyone.
    pub driver: String,
    /// How many; any negative number for all. Zero where there are ids.
    pub count: i64,
    /// Which.
    pub ids: Vec<String>,
    /// How the devices are leased, chosen and limited.
    pub options: Options,
}

impl DeviceRequest {
    /// What is listed. Ids follow the grammar of the variables: `all`, ranges and qualified names have their meaning.
    pub(super) fn list(&self) -> Result<List, String> {
        if self.ids.iter().any(|id| id.trim().is_empty()) {
            return Err(
                "an id of a device is empty; leave device out for the first one, or write device=all".to_owned()
            );
        }
        let options = self.options.clone();
        if !self.ids.is_empty() {
            let list = visible::from_items(self.ids.iter().map(String::as_str))?;
            self.options.check(list.selection.as_ref())?;
            return Ok(List { options, ..list });
        }
        let selection = match self.count {
            0 => None,
            count => Some(usize::try_from(count).map_or(Selection::All, Selection::Count)),
        };
        match selection {
            Some(Selection::Count(count)) if count > MOST => Err(format!("more than {MOST} devices")),
            None => Ok(List::default()),
            selection => {
                self.options.check(selection.as_ref())?;
                Ok(List { selection, options, ..List::default() })
            }
        }
    }
}

/// Reads a value of `--gpus`.
pub(super) fn parse(value: &str) -> Result<DeviceRequest, String> {
    let fields = csv::record(value)?;
    let mut request = DeviceRequest::default();
    let mut seen = BTreeSet::new();
    for field in &fields {
        let (key, setting) = field.split_once('=').map_or((field.as_str(), None), |(key, text)| (key, Some(text)));
        if !seen.insert(key) {
            return Err(format!("gpu request key '{}' can be specified only once", plain(key)));
        }
        match (key, setting) {
            (count, None) => {
                seen.insert("count");
                request.count = parse_count(count)?;
            }
            ("count", Some(count)) => request.count = parse_count(count)?,
            ("driver", Some(driver)) => driver.clone_into(&mut request.driver),
            ("device", Some(ids)) => request.ids = ids.split(',').map(str::to_owned).collect(),
            ("capabilities", Some(_)) => {}
            ("options", Some(options)) => request.options = Options::parse_list(options)?,
            (key, Some(_)) => return Err(format!("unexpected key '{}' in '{}'", plain(key), plain(field))),
        }
    }
    if request.count != 0 && !request.ids.is_empty() {
        return Err("cannot set both Count and DeviceIDs on device request".to_owned());
    }
    if !seen.contains("count") && request.ids.is_empty() {
        request.count = 1;
    }
    Ok(request)
}

/// `all`, or a number as Go's `Atoi` takes it: with a sign and zeros in front, in decimal.
fn parse_count(text: &str) -> Result<i64, String> {
    if text == "all" {
        return Ok(-1);
    }
    text.parse::<i64>().map_err(|error| {
        let fault = match error.kind() {
            IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        format!("count must be an integer: strconv.Atoi: parsing {}: {fault}", Escaped::quoted(text))
    })
}

/// Text from outside for messages that bring their own quotes.
fn plain(text: &str) -> String {
    let quoted = Escaped::quoted(text).to_string();
    quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Lease;

    fn count(count: i64) -> DeviceRequest {
        DeviceRequest { count, ..DeviceRequest::default() }
    }

    fn ids(ids: &[&str]) -> DeviceRequest {
        DeviceRequest { ids: ids.iter().map(|&id| id.to_owned()).collect(), ..DeviceRequest::default() }
    }

    #[test]
    fn values_mean_what_they_mean_to_nerdctl() {
        for (value, request) in [
            ("all", count(-1)),
            ("-1", count(-1)),
            ("count=all", count(-1)),
            ("count=-1", count(-1)),
            (r#""all""#, count(-1)),
            ("count=-5", count(-5)),
            ("0", count(0)),
            ("count=0", count(0)),
            ("3", count(3)),
            ("+2", count(2)),
            ("007", count(7)),
            ("9223372036854775807", count(i64::MAX)),
            ("1,2", count(2)),
            ("count=1,1", count(1)),
            ("\n\nall", count(-1)),
            ("all\n1", count(-1)),
            (r#""device=0,1""#, ids(&["0", "1"])),
            (r#""device=0,1",count=0"#, ids(&["0", "1"])),
            ("device=", ids(&[""])),
            ("device=all", ids(&["all"])),
            ("device=nvidia.com/gpu=0", ids(&["nvidia.com/gpu=0"])),
            ("driver=nvidia", DeviceRequest { driver: "nvidia".into(), ..count(1) }),
            ("driver=acme,count=2", DeviceRequest { driver: "acme".into(), ..count(2) }),
            ("driver=", count(1)),
            ("capabilities=utility", count(1)),
            (r#""capabilities=utility,compute""#, count(1)),
            (
                r#"count=2,"options=lease=exclusive,memory=8g""#,
                DeviceRequest {
                    options: Options { lease: Lease::Exclusive, memory: Some(8 << 30), ..Options::default() },
                    ..count(2)
                },
            ),
            (
                r#""options=""model=A,B"",lease=shared""#,
                DeviceRequest { options: Options { model: Some("A,B".into()), ..Options::default() }, ..count(1) },
            ),
        ] {
            assert_eq!(parse(value), Ok(request), "{value:?}");
        }
    }

    #[test]
    fn errors_are_nerdctls_word_for_word() {
        const BOTH: &str = "cannot set both Count and DeviceIDs on device request";
        for (value, error) in [
            ("1,1", "gpu request key '1' can be specified only once"),
            ("all,all", "gpu request key 'all' can be specified only once"),
            ("1,count=1", "gpu request key 'count' can be specified only once"),
            ("count=1,count=2", "gpu request key 'count' can be specified only once"),
            ("device=0,device=1", "gpu request key 'device' can be specified only once"),
            ("device=0,1", BOTH),
            (r#""device=0,1",all"#, BOTH),
            ("device=0,count=-1", BOTH),
            (r#"device="0,1""#, r#"parse error on line 1, column 8: bare " in non-quoted-field"#),
            (r#""device=0,1"#, r#"parse error on line 1, column 12: extraneous or missing " in quoted-field"#),
            ("device", r#"count must be an integer: strconv.Atoi: parsing "device": invalid syntax"#),
            ("capabilities=a,b", r#"count must be an integer: strconv.Atoi: parsing "b": invalid syntax"#),
            ("", "EOF"),
            ("\n", "EOF"),
            (",", r#"count must be an integer: strconv.Atoi: parsing "": invalid syntax"#),
            ("count=1,", r#"count must be an integer: strconv.Atoi: parsing "": invalid syntax"#),
            ("a,,b", r#"count must be an integer: strconv.Atoi: parsing "a": invalid syntax"#),
            ("ALL", r#"count must be an integer: strconv.Atoi: parsing "ALL": invalid syntax"#),
            ("count=", r#"count must be an integer: strconv.Atoi: parsing "": invalid syntax"#),
            (" 1", r#"count must be an integer: strconv.Atoi: parsing " 1": invalid syntax"#),
            ("0x1", r#"count must be an integer: strconv.Atoi: parsing "0x1": invalid syntax"#),
            ("1.0", r#"count must be an integer: strconv.Atoi: parsing "1.0": invalid syntax"#),
            ("1_0", r#"count must be an integer: strconv.Atoi: parsing "1_0": invalid syntax"#),
            ("+", r#"count must be an integer: strconv.Atoi: parsing "+": invalid syntax"#),
            (
                "9223372036854775808",
                r#"count must be an integer: strconv.Atoi: parsing "9223372036854775808": value out of range"#,
            ),
            (
                "-9223372036854775809",
                r#"count must be an integer: strconv.Atoi: parsing "-9223372036854775809": value out of range"#,
            ),
            ("options=x", r#"unknown option "x"; known are lease, pick, near, model, memory"#),
            ("options=lease=mine", r#"option lease is "mine"; expected shared, exclusive"#),
            ("options=", r#"options "": EOF"#),
            ("options=lease=exclusive,memory=8g", "unexpected key 'memory' in 'memory=8g'"),
            ("foo=bar", "unexpected key 'foo' in 'foo=bar'"),
            (" count=1", "unexpected key ' count' in ' count=1'"),
            ("Count=1", "unexpected key 'Count' in 'Count=1'"),
            ("=", "unexpected key '' in '='"),
            ("\u{1b}=1", r"unexpected key '\u{1b}' in '\u{1b}=1'"),
        ] {
            assert_eq!(parse(value).unwrap_err(), error, "{value:?}");
        }
    }

    #[test]
    fn counts_and_ids_become_a_list() {
        for (request, selection) in [
            (count(0), None),
            (count(2), Some(Selection::Count(2))),
            (count(1024), Some(Selection::Count(MOST))),
            (count(-5), Some(Selection::All)),
            (ids(&["all"]), Some(Selection::All)),
            (ids(&["0-1", "GPU-1f"]), Some(Selection::Ids(vec!["0".into(), "1".into(), "GPU-1f".into()]))),
        ] {
            assert_eq!(request.list(), Ok(List { selection, ..List::default() }), "{request:?}");
        }
        let list = ids(&["acme.example/npu=0"]).list().unwrap();
        assert_eq!((list.names.len(), list.selection), (1, None));
        for many in [1025, i64::MAX] {
            assert_eq!(count(many).list().unwrap_err(), "more than 1024 devices");
        }
        assert!(ids(&["0", ""]).list().unwrap_err().starts_with("an id of a device is empty"));
    }
}
