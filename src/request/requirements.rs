//! What images ask of a driver: conditions in their environment, `cuda>=12.4 driver>=470,driver<471`, read and judged.
//!
//! Pure: what is known of the machine is handed in. A blank between conditions is an or, a comma an and. What nobody can tell
//! here counts as met: no image is kept from starting by what was not looked at.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::error::{Error, Escaped, Result};
use crate::oci::view::View;
use crate::vendor::{Property, Requirements as Rule, Vendor, Vendors};

use super::Source;

/// How many variables with conditions are judged of a container. Images have one or two.
const MOST: usize = 64;

/// What an image asks of one vendor's driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirements {
    /// Whose driver it is about.
    pub vendor: &'static Vendor,
    /// The variables to judge, 64 at most.
    pub judged: Vec<Requirement>,
    /// How many more variables there are.
    pub more: usize,
}

/// One variable with conditions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// Whose driver it is about.
    pub vendor: &'static Vendor,
    /// The variable.
    pub source: Source,
    /// Its conditions.
    expression: String,
}

/// The conditions in the environment of a container.
pub(super) fn gather(view: &View<'_>, vendors: Vendors) -> Vec<Requirements> {
    let rules = vendors.iter().filter_map(|vendor| Some((vendor, vendor.requirements?)));
    let switched_on = rules.filter(|(_, rule)| !view.env(rule.off).is_some_and(is_true));
    let found = switched_on.map(|(vendor, rule)| of_vendor(view, vendor, rule));
    found.filter(|requirements| !requirements.judged.is_empty()).collect()
}

fn of_vendor(view: &View<'_>, vendor: &'static Vendor, rule: &Rule) -> Requirements {
    let mut found = Requirements { vendor, judged: Vec::new(), more: 0 };
    let is_condition = |name: &str| name.starts_with(rule.prefix) && !name.starts_with(rule.except);
    // The last value of a name counts.
    let variables = view.env.iter().filter_map(|entry| entry.split_once('=')).filter(|(name, _)| is_condition(name));
    let mut stated: BTreeMap<&str, &str> = variables.collect();
    stated.retain(|_, value| !value.trim().is_empty());
    let (variable, property, condition) = rule.legacy;
    let version = view.env(variable).filter(|_| !stated.contains_key(condition));
    let mut add = |name: &str, expression: String, value: &str| {
        if found.judged.len() < MOST {
            let source = Source::Env(name.to_owned(), value.to_owned());
            found.judged.push(Requirement { vendor, source, expression });
        } else {
            found.more += 1;
        }
    };
    if let Some(version) = version {
        let mut parts = version.split('.');
        if let (Some(major), Some(minor)) = (parts.next(), parts.next()) {
            add(variable, format!("{property}>={major}.{minor}"), version);
        }
    }
    stated.into_iter().for_each(|(name, value)| add(name, value.to_owned(), value));
    found
}

/// The words that Go's `strconv.ParseBool` takes for true.
fn is_true(text: &str) -> bool {
    ["1", "t", "T", "TRUE", "true", "True"].contains(&text)
}

impl Requirements {
    /// Judges the variables by what is `known` of the vendor's driver. Returns the first note and one that counts the rest. Errors are
    /// those of [`Requirement::check`].
    pub fn check(&self, known: &[Property]) -> Result<Vec<String>> {
        let mut notes = Vec::new();
        let mut more = self.more;
        for requirement in &self.judged {
            match requirement.check(known)? {
                Some(note) if notes.is_empty() => notes.push(note),
                Some(_) => more += 1,
                None => {}
            }
        }
        if more > 0 {
            let prefix = self.vendor.requirements.map_or("", |rule| rule.prefix);
            notes.push(format!("{more} more environment variables {prefix}* cannot be checked here, and count as met"));
        }
        Ok(notes)
    }
}

impl Requirement {
    /// Judges the conditions by what is `known`. A note where they are met only because something is not known; an error where
    /// they are not met or make no sense.
    pub fn check(&self, known: &[Property]) -> Result<Option<String>> {
        let wrong = |message: String| Error::Request { source: self.source.to_string(), message };
        let (mut first_unmet, mut unknown, mut is_met) = (None, None, false);
        for alternative in self.expression.split_whitespace() {
            let mut verdict = Verdict::Met;
            for text in alternative.split(',').filter(|text| !text.is_empty()) {
                let judged = Condition::parse(text).and_then(|condition| condition.judge(known)).map_err(wrong)?;
                if judged == Verdict::Unmet {
                    first_unmet.get_or_insert(text);
                }
                verdict = verdict.and(judged);
            }
            match verdict {
                Verdict::Met => is_met = true,
                Verdict::Unknown => unknown = unknown.or(Some(alternative)),
                Verdict::Unmet => {}
            }
        }
        match (unknown, first_unmet) {
            _ if is_met => Ok(None),
            (Some(alternative), _) => Ok(Some(format!(
                "{}: {} cannot be checked here, and counts as met",
                self.source,
                Escaped::quoted(alternative)
            ))),
            (None, Some(condition)) => Err(self.unmet(condition, known)),
            (None, None) => Ok(None),
        }
    }

    fn unmet(&self, condition: &str, known: &[Property]) -> Error {
        let known: Vec<_> = known.iter().map(|(property, value)| format!("{property} {value}")).collect();
        let off = self.vendor.requirements.map_or("", |rule| rule.off);
        let name = match &self.source {
            Source::Env(name, _) => name.as_str(),
            _ => "",
        };
        Error::Inject(format!(
            "unsatisfied condition: {}, which the container's {} asks for; this host has {}; update the driver, \
             use an older image, or start the container with {off}=1",
            Escaped::name(condition),
            Escaped::name(name),
            known.join(", ")
        ))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Met,
    /// It depends on what is not known.
    Unknown,
    Unmet,
}

impl Verdict {
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Verdict::Unmet, _) | (_, Verdict::Unmet) => Verdict::Unmet,
            (Verdict::Unknown, _) | (_, Verdict::Unknown) => Verdict::Unknown,
            (Verdict::Met, Verdict::Met) => Verdict::Met,
        }
    }
}

/// `cuda>=12.4`.
#[derive(Debug, PartialEq, Eq)]
struct Condition<'a> {
    property: &'a str,
    operator: &'a str,
    value: &'a str,
}

impl<'a> Condition<'a> {
    fn parse(text: &'a str) -> std::result::Result<Self, String> {
        let wrong = || format!("invalid condition {}; expected such as cuda>=12.4", Escaped::quoted(text));
        let at = text.find(['=', '!', '<', '>']).ok_or_else(wrong)?;
        let (property, rest) = text.split_at_checked(at).ok_or_else(wrong)?;
        // The longer ones first: one is the beginning of another.
        let operator = ["<=", ">=", "!=", "=", "<", ">"].into_iter().find(|operator| rest.starts_with(operator));
        let operator = operator.ok_or_else(wrong)?;
        let value = rest.strip_prefix(operator).unwrap_or_default();
        let is_word = !property.is_empty() && property.bytes().all(|byte| byte.is_ascii_lowercase());
        if !is_word || value.is_empty() || value.contains(['=', '!', '<', '>']) {
            return Err(wrong());
        }
        Ok(Condition { property, operator, value })
    }

    /// An error if it compares a version with what is none.
    fn judge(&self, known: &[Property]) -> std::result::Result<Verdict, String> {
        let Some((_, is)) = known.iter().find(|(property, _)| *property == self.property) else {
            return Ok(Verdict::Unknown);
        };
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !self.value.split('.').all(is_number) {
            return Err(format!("{} of {} is no version", Escaped::quoted(self.value), self.property));
        }
        let order = compare(is, self.value);
        let holds = match self.operator {
            "=" => order.is_eq(),
            "!=" => order.is_ne(),
            "<" => order.is_lt(),
            "<=" => order.is_le(),
            ">" => order.is_gt(),
            _ => order.is_ge(),
        };
        Ok(if holds { Verdict::Met } else { Verdict::Unmet })
    }
}

/// Compares versions by the values of their parts; a part that is not there is 0.
fn compare(a: &str, b: &str) -> Ordering {
    let parts = |text: &str| text.split('.').map(|part| part.parse::<u64>().unwrap_or_default()).collect::<Vec<_>>();
    let (mut a, mut b) = (parts(a), parts(b));
    let length = a.len().max(b.len());
    a.resize(length, 0);
    b.resize(length, 0);
    a.cmp(&b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Vec<Property> {
        vec![("cuda", "12.2".to_owned()), ("driver", "535.129.03".to_owned())]
    }

    fn check(env: &[&str], known: &[Property]) -> Vec<std::result::Result<Option<String>, String>> {
        let view = View { env: env.iter().map(|&entry| entry.into()).collect(), ..View::default() };
        let found = gather(&view, Vendors::known());
        let judged = found.iter().flat_map(|of_vendor| &of_vendor.judged);
        judged.map(|requirement| requirement.check(known).map_err(|error| error.to_string())).collect()
    }

    #[test]
    fn conditions_are_met_or_not() {
        for (expression, unmet) in [
            ("cuda>=12.2", None),
            ("cuda>=9.0", None),
            ("cuda>=12.4", Some("cuda>=12.4")),
            ("cuda>12.2", Some("cuda>12.2")),
            ("cuda<12.10", None),
            ("cuda<=12.2.0", None),
            ("cuda=12.2,driver>=535", None),
            ("cuda!=12.2", Some("cuda!=12.2")),
            ("cuda=12.1", Some("cuda=12.1")),
            ("cuda<=12.1", Some("cuda<=12.1")),
            ("cuda>=12.4,driver>=535 driver>=535,driver<536", None),
            ("cuda>=12.4 driver>=550", Some("cuda>=12.4")),
            ("driver>=535.54,driver<535.129.03", Some("driver<535.129.03")),
            ("brand=tesla,cuda>=12.4", Some("cuda>=12.4")),
        ] {
            let outcome = check(&[&format!("NVIDIA_REQUIRE_X={expression}")], &known()).remove(0);
            match (outcome, unmet) {
                (Ok(None), None) => {}
                (Err(error), Some(condition)) => {
                    assert!(error.contains(&format!("unsatisfied condition: {condition}, ")), "{expression}: {error}");
                    assert!(error.contains("this host has cuda 12.2, driver 535.129.03; "), "{error}");
                }
                (outcome, _) => panic!("{expression}: {outcome:?}"),
            }
        }
    }

    #[test]
    fn what_is_not_known_counts_as_met_and_is_noted_where_it_matters() {
        for (expression, is_noted) in [
            ("arch>=7.0", true),
            ("cuda>=12.4 brand=tesla,driver>=535,driver<536", true),
            ("cuda>=12.0 brand=tesla,driver>=470", false),
        ] {
            let outcome = check(&[&format!("NVIDIA_REQUIRE_CUDA={expression}")], &known()).remove(0).unwrap();
            assert_eq!(outcome.is_some(), is_noted, "{expression}");
        }
        assert!(
            check(&["NVIDIA_REQUIRE_CUDA=cuda>=99"], &[])[0].as_ref().is_ok_and(Option::is_some),
            "no driver is seen"
        );
    }

    #[test]
    fn variables_are_gathered_and_switched_off() {
        for (env, count) in [
            (&["PATH=/bin"][..], 0),
            (&["NVIDIA_REQUIRE_CUDA=cuda>=9", "NVIDIA_REQUIRE_DRIVER=driver>=1"], 2),
            (&["NVIDIA_REQUIRE_CUDA=", "NVIDIA_REQUIRE_X= "], 0),
            (&["NVIDIA_REQUIRE_JETPACK=csv-mounts=all", "NVIDIA_REQUIRE_JETPACK_HOST_MOUNTS=x"], 0),
            (&["CUDA_VERSION=11.6.2"], 1),
            (&["CUDA_VERSION=11.6.2", "NVIDIA_REQUIRE_CUDA=cuda>=9"], 1),
            (&["CUDA_VERSION="], 0),
            (&["NVIDIA_REQUIRE_CUDA=cuda>=99", "NVIDIA_DISABLE_REQUIRE=true"], 0),
            (&["NVIDIA_REQUIRE_CUDA=cuda>=9", "NVIDIA_DISABLE_REQUIRE=false"], 1),
        ] {
            assert_eq!(check(env, &known()).len(), count, "{env:?}");
        }
        let legacy = check(&["CUDA_VERSION=12.4.1"], &known()).remove(0).unwrap_err();
        assert!(
            legacy.contains("unsatisfied condition: cuda>=12.4, which the container's CUDA_VERSION asks for"),
            "{legacy}"
        );
    }

    #[test]
    fn conditions_by_the_thousand_are_gathered_in_one_pass_and_a_few_are_judged() {
        let env: Vec<String> = (0..60_000).map(|i| format!("NVIDIA_REQUIRE_{i:05}=arch>=7.0")).collect();
        let view = View { env: env.iter().map(|entry| entry.as_str().into()).collect(), ..View::default() };
        let before = std::time::Instant::now();
        let found = gather(&view, Vendors::known()).remove(0);
        assert!(before.elapsed().as_millis() < 1000, "took {:?}", before.elapsed());
        assert_eq!((found.judged.len(), found.more), (MOST, 60_000 - MOST));
        let notes = found.check(&known()).unwrap();
        assert_eq!(
            notes,
            [
                r#"environment variable "NVIDIA_REQUIRE_00000=arch>=7.0": "arch>=7.0" cannot be checked here, and counts as met"#,
                "59999 more environment variables NVIDIA_REQUIRE_* cannot be checked here, and count as met",
            ]
        );
    }

    #[test]
    fn what_is_no_condition_is_an_error_that_names_the_variable() {
        for text in ["cuda", "cuda>=", ">=12", "cuda=>12", "CUDA>=12", "cuda==12"] {
            let error = check(&[&format!("NVIDIA_REQUIRE_X={text}")], &known()).remove(0).unwrap_err();
            assert!(error.contains("NVIDIA_REQUIRE_X") && error.contains("invalid condition"), "{text}: {error}");
        }
        for text in ["cuda>=abc", "driver>=r535", "cuda>=12-4", "cuda>=9 rubbish", "rubbish cuda>=9"] {
            check(&[&format!("NVIDIA_REQUIRE_X={text}")], &known()).remove(0).unwrap_err();
        }
        let odd = check(&["NVIDIA_REQUIRE_X\u{1b}[1m=cuda>=99"], &known()).remove(0).unwrap_err();
        assert!(!odd.contains('\u{1b}'), "{odd:?}");
        let last = check(&["NVIDIA_REQUIRE_X=cuda>=99", "NVIDIA_REQUIRE_X=cuda>=9"], &known());
        assert_eq!(last, [Ok(None)], "the last one counts");
    }
}
