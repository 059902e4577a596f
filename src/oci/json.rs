//! JSON objects as lists of members whose values keep their bytes, and patches spliced into such text.
//!
//! Knows no member names. Lists rather than maps, so that what would be read differently by different parsers stays visible:
//! members that come twice, and names that differ only in letter case (Go's decoder, and so runc, takes those for the same).

use std::borrow::Cow;
use std::cell::OnceCell;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

/// One JSON object, borrowed from its text.
#[derive(Debug)]
pub struct Object<'a>(Vec<Member<'a>>);

#[derive(Debug)]
struct Member<'a> {
    key: Cow<'a, str>,
    value: &'a RawValue,
    /// The value read in its turn, when that is first asked for: several edits look into the same long one.
    object: OnceCell<Option<Box<Object<'a>>>>,
}

impl<'a> Member<'a> {
    fn is(&self, name: &str) -> bool {
        folds_to(&self.key, name) && self.value.get() != "null"
    }

    fn object(&self) -> Option<&Object<'a>> {
        self.object.get_or_init(|| Object::parse(self.value.get()).ok().map(Box::new)).as_deref()
    }
}

impl<'a> Object<'a> {
    /// Reads `text`, which holds one object. Nested values are checked for syntax and skipped.
    pub fn parse(text: &'a str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }

    /// The value of `name` as runc reads it: the last of the members whose names Go holds for equal. `null` is absent.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.all(name).last()
    }

    /// The values of all members whose names Go holds for equal to `name`, but for `null`.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |member| member.is(name)).map(|member| member.value.get())
    }

    /// The value of `name` as [`Object::get`] finds it, if it is an object.
    pub fn object(&self, name: &str) -> Option<&Object<'a>> {
        self.0.iter().rfind(|member| member.is(name))?.object()
    }

    /// Those of [`Object::all`] that are objects.
    pub fn objects(&self, name: &str) -> impl Iterator<Item = &Object<'a>> {
        self.0.iter().filter(move |member| member.is(name)).filter_map(Member::object)
    }

    /// All members in the order of the text.
    pub fn members(&self) -> impl Iterator<Item = (&Cow<'a, str>, &'a str)> {
        self.0.iter().map(|member| (&member.key, member.value.get()))
    }

    /// Why `name` cannot be edited without being read differently by different parsers, if so.
    pub fn ambiguity(&self, name: &str) -> Option<String> {
        let mut same = self.0.iter().map(|member| &*member.key).filter(|key| folds_to(key, name));
        match (same.next(), same.next()) {
            (None, None) => None,
            (Some(only), None) if only == name => None,
            (Some(only), None) => Some(format!("member \"{only}\" is spelled differently from \"{name}\"")),
            (_, Some(second)) if second == name => Some(format!("member \"{name}\" is there more than once")),
            (_, Some(second)) => Some(format!("members \"{name}\" and \"{second}\" differ only in letter case")),
        }
    }

    /// The value of the map key `name`: the last one of exactly that name. `null` is absent.
    pub fn entry(&self, name: &str) -> Option<&'a str> {
        let found = self.0.iter().rfind(|member| member.key == name)?;
        Some(found.value.get()).filter(|value| *value != "null")
    }

    /// Why the map key `name` cannot be edited: it is there more than once.
    fn repetition(&self, name: &str) -> Option<String> {
        let count = self.0.iter().filter(|member| member.key == name).count();
        (count > 1).then(|| format!("key \"{name}\" is there more than once"))
    }
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut members = Vec::new();
                while let Some(key) = map.next_key::<&RawValue>()? {
                    let key = string(key.get()).ok_or_else(|| M::Error::custom("the name of a member is no string"))?;
                    members.push(Member { key, value: map.next_value()?, object: OnceCell::new() });
                }
                Ok(Object(members))
            }
        }
        from.deserialize_map(Members)
    }
}

/// What the JSON value `raw` says if it is a string, borrowed where it holds no escapes.
///
/// Read as Go's decoder does (encoding/json, `unquoteBytes`), and so runc: an escape of one half of a surrogate pair without the
/// other is U+FFFD. serde_json refuses those: a member with one in its name would hide from us what all others see.
#[inline]
pub fn string(raw: &str) -> Option<Cow<'_, str>> {
    let text = raw.strip_prefix('"')?.strip_suffix('"')?;
    if text.as_bytes().contains(&b'\\') { unescaped(text).map(Cow::Owned) } else { Some(Cow::Borrowed(text)) }
}

/// `text` with what its escapes stand for. Few texts in a config.json have any.
#[cold]
fn unescaped(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, escape)) = rest.split_once('\\') {
        out.push_str(plain);
        let mut after = escape.chars();
        let c = match after.next()? {
            'u' => {
                let (first, behind) = utf16(after.as_str())?;
                let second = behind.strip_prefix("\\u").and_then(utf16);
                let units = [first, second.map_or(0, |(unit, _)| unit)];
                let c = char::decode_utf16(units).next()?.unwrap_or(char::REPLACEMENT_CHARACTER);
                after = second.filter(|_| c.len_utf16() == 2).map_or(behind, |(_, behind)| behind).chars();
                c
            }
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            itself => itself,
        };
        out.push(c);
        rest = after.as_str();
    }
    out.push_str(rest);
    Some(out)
}

/// The unit of UTF-16 that the four digits at the beginning of `text` are, and what follows them.
fn utf16(text: &str) -> Option<(u16, &str)> {
    let (digits, rest) = text.split_at_checked(4)?;
    Some((u16::from_str_radix(digits, 16).ok()?, rest))
}

/// The elements that `raw` has if it is an array, each in its own bytes.
pub fn elements(raw: &str) -> Option<Vec<&str>> {
    serde_json::from_str::<Vec<&RawValue>>(raw).ok().map(|list| list.into_iter().map(RawValue::get).collect())
}

/// Whether Go's decoder takes a member called `key` for the field `name` (lower and upper ASCII letters): letter case counts
/// for nothing, nor do U+017F for `s` and U+212A for `k`.
fn folds_to(key: &str, name: &str) -> bool {
    key == name
        || key
            .chars()
            .map(|c| match c {
                '\u{17f}' => 's',
                '\u{212a}' => 'k',
                c => c.to_ascii_lowercase(),
            })
            .eq(name.chars().map(|c| c.to_ascii_lowercase()))
}

/// A change to a JSON value.
#[derive(Debug)]
pub enum Patch {
    /// The value becomes this text.
    Value(String),
    /// The value is an object (made where absent or `null`) of which these members change; the others keep their bytes.
    Members(Vec<(String, Patch)>),
    /// The same for a map, such as `linux.netDevices`: Go's decoder compares field names without letter case, but not keys.
    Entries(Vec<(String, Patch)>),
}

impl Patch {
    /// A patch that changes nothing.
    pub fn nothing() -> Self {
        Patch::Members(Vec::new())
    }

    /// Whether it changes nothing.
    pub fn is_nothing(&self) -> bool {
        matches!(self, Patch::Members(changes) | Patch::Entries(changes) if changes.is_empty())
    }

    /// Sets the value at `path` below this patch.
    pub fn set(&mut self, path: &[&str], text: String) {
        let Some((first, rest)) = path.split_first() else {
            *self = Patch::Value(text);
            return;
        };
        if let Some(child) = self.member(first) {
            child.set(rest, text);
        }
    }

    /// Sets the entry `key` of the map at `path` below this patch.
    pub fn set_entry(&mut self, path: &[&str], key: &str, text: String) {
        if let Some((first, rest)) = path.split_first() {
            if let Some(child) = self.member(first) {
                child.set_entry(rest, key, text);
            }
            return;
        }
        if !matches!(self, Patch::Entries(_)) {
            *self = Patch::Entries(Vec::new());
        }
        if let Patch::Entries(entries) = self {
            entries.retain(|(other, _)| other != key);
            entries.push((key.to_owned(), Patch::Value(text)));
        }
    }

    /// The change to the member `name`, nothing so far if it is new.
    fn member(&mut self, name: &str) -> Option<&mut Patch> {
        if !matches!(self, Patch::Members(_)) {
            *self = Patch::nothing();
        }
        let Patch::Members(members) = self else { return None };
        if !members.iter().any(|(other, _)| other == name) {
            members.push((name.to_owned(), Patch::nothing()));
        }
        members.iter_mut().find(|(other, _)| other == name).map(|(_, change)| change)
    }

    /// Writes `old` with this change to `out`. The error names the member that cannot be edited safely.
    pub fn splice(&self, old: Option<&str>, out: &mut String) -> Result<(), String> {
        let changes = match self {
            Patch::Value(text) => {
                out.push_str(text);
                return Ok(());
            }
            Patch::Members(changes) | Patch::Entries(changes) => changes,
        };
        let old = old.filter(|text| *text != "null").unwrap_or("{}");
        let object = Object::parse(old).map_err(|_| "a value that has to be edited is no object".to_owned())?;
        let ambiguity = |name: &str| match self {
            Patch::Entries(_) => object.repetition(name),
            _ => object.ambiguity(name),
        };
        if let Some(why) = changes.iter().find_map(|(name, _)| ambiguity(name)) {
            return Err(why);
        }
        let mut copied = 0;
        for (key, value) in object.members() {
            if let Some((_, change)) = changes.iter().find(|(name, _)| name == key) {
                let start = offset(old, value);
                out.push_str(old.get(copied..start).unwrap_or_default());
                change.splice(Some(value), out).map_err(|why| format!("{key}: {why}"))?;
                copied = start + value.len();
            }
        }
        let end = old.trim_end().len().saturating_sub(1);
        let body = old.get(copied..end).unwrap_or_default();
        let kept = body.trim_end();
        out.push_str(kept);
        let mut empty = object.0.is_empty();
        for (name, change) in changes.iter().filter(|(name, _)| !object.members().any(|(key, _)| key == name)) {
            if !empty {
                out.push(',');
            }
            empty = false;
            out.push_str(&quoted(name));
            out.push(':');
            change.splice(None, out)?;
        }
        out.push_str(body.get(kept.len()..).unwrap_or_default());
        out.push_str(old.get(end..).unwrap_or_default());
        Ok(())
    }
}

/// `text` as a JSON string.
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// `elements` as a JSON array.
pub fn array<S: AsRef<str>>(elements: &[S]) -> String {
    let mut out = String::from("[");
    for (i, element) in elements.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        out.push_str(element.as_ref());
    }
    out.push(']');
    out
}

/// Where `inner`, a part of `outer`, begins in it, in bytes.
pub fn offset(outer: &str, inner: &str) -> usize {
    inner.as_ptr().addr().saturating_sub(outer.as_ptr().addr())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spliced(old: &str, changes: &[(&[&str], &str)]) -> Result<String, String> {
        let mut patch = Patch::nothing();
        for (path, text) in changes {
            patch.set(path, (*text).to_owned());
        }
        let mut out = String::new();
        patch.splice(Some(old), &mut out).map(|()| out)
    }

    #[test]
    fn only_the_named_members_change() {
        for (old, path, new, expected) in [
            (r#"{"a":1,"b":2}"#, ["b"].as_slice(), "3", r#"{"a":1,"b":3}"#),
            (r#"{ "a" : 1e3 , "b" : 2 }"#, &["b"], "3", r#"{ "a" : 1e3 , "b" : 3 }"#),
            (
                r#"{"a":18446744073709551616,"s":"\ud800\/"}"#,
                &["b"],
                "3",
                r#"{"a":18446744073709551616,"s":"\ud800\/","b":3}"#,
            ),
            (r"{}", &["b"], "3", r#"{"b":3}"#),
            ("{ }\n", &["b"], "3", "{\"b\":3 }\n"),
            ("{\n  \"a\": 1\n}\n", &["b"], "3", "{\n  \"a\": 1,\"b\":3\n}\n"),
            (r#"{"a":null}"#, &["a", "b"], "3", r#"{"a":{"b":3}}"#),
            (r#"{"x":[{"a":1}],"a":{"c":-0.0}}"#, &["a", "b"], "3", r#"{"x":[{"a":1}],"a":{"c":-0.0,"b":3}}"#),
            (r#"{"\u0061":1}"#, &["a"], "3", r#"{"\u0061":3}"#),
            (r#"{"\ud800":"\udc00","a":1,"\ud800":2}"#, &["a"], "3", r#"{"\ud800":"\udc00","a":3,"\ud800":2}"#),
        ] {
            assert_eq!(spliced(old, &[(path, new)]).as_deref(), Ok(expected), "{old}");
        }
    }

    #[test]
    fn members_that_parsers_read_differently_are_not_edited() {
        for (old, path, why) in [
            (r#"{"b":1,"b":2}"#, ["b"].as_slice(), "more than once"),
            (r#"{"b":1,"B":2}"#, &["b"], "differ only in letter case"),
            (r#"{"B":1}"#, &["b"], "spelled differently"),
            ("{\"hoo\u{212a}s\":{}}", &["hooks"], "spelled differently"),
            ("{\"hook\u{17f}\":{}}", &["hooks", "prestart"], "spelled differently"),
            (r#"{"a":{"c":1,"c":1}}"#, &["a", "c"], "a: member"),
            (r#"{"a":[]}"#, &["a", "c"], "no object"),
        ] {
            let refusal = spliced(old, &[(path, "3")]).unwrap_err();
            assert!(refusal.contains(why), "{old}: {refusal}");
        }
        assert!(spliced(r#"{"b":1,"b":2}"#, &[(&["a"], "3")]).is_ok(), "what is not edited may be ambiguous");
    }

    #[test]
    fn keys_of_maps_are_not_folded() {
        let spliced = |old: &str| {
            let mut patch = Patch::nothing();
            patch.set_entry(&["m"], "ib0", "1".to_owned());
            let mut out = String::new();
            patch.splice(Some(old), &mut out).map(|()| out)
        };
        for (old, expected) in [
            (r#"{"m":{"IB0":2,"x":3}}"#, Ok(r#"{"m":{"IB0":2,"x":3,"ib0":1}}"#)),
            (r#"{"m":{"IB0":2,"ib0":3}}"#, Ok(r#"{"m":{"IB0":2,"ib0":1}}"#)),
            ("{}", Ok(r#"{"m":{"ib0":1}}"#)),
            (r#"{"m":{"ib0":2,"ib0":3}}"#, Err(r#"m: key "ib0" is there more than once"#)),
            (r#"{"M":{}}"#, Err(r#"member "M" is spelled differently from "m""#)),
        ] {
            assert_eq!(spliced(old), expected.map(str::to_owned).map_err(str::to_owned), "{old}");
        }
        let object = Object::parse(r#"{"IB0":1,"ib0":2,"ib1":null}"#).unwrap();
        assert_eq!((object.entry("ib0"), object.entry("IB0"), object.entry("ib1")), (Some("2"), Some("1"), None));
    }

    #[test]
    fn strings_are_read_as_go_reads_them() {
        for (raw, text) in [
            (r#""""#, ""),
            (r#""a\b""#, "a\u{8}"),
            (r#""\"\\\/\b\f\n\r\t\u0041""#, "\"\\/\u{8}\u{c}\n\r\tA"),
            (r#""\\ud800""#, "\\ud800"),
            (r#""\ud83d\ude00x""#, "\u{1f600}x"),
            (r#""\uD83D\uDE00""#, "\u{1f600}"),
            (r#""\ud800""#, "\u{fffd}"),
            (r#""\udc00""#, "\u{fffd}"),
            (r#""a\ud800b""#, "a\u{fffd}b"),
            (r#""\ud800\n""#, "\u{fffd}\n"),
            (r#""\ud800\u0041""#, "\u{fffd}A"),
            (r#""\ud800\ud83d\ude00""#, "\u{fffd}\u{1f600}"),
            (r#""\ude00\ud83d""#, "\u{fffd}\u{fffd}"),
            (r#""\ud83d\ude00\ude00""#, "\u{1f600}\u{fffd}"),
            ("\"\\ud800\u{1f600}\"", "\u{fffd}\u{1f600}"),
        ] {
            assert_eq!(string(raw).as_deref(), Some(text), "{raw}");
            let object = format!("{{{raw}:{raw}}}");
            let object = Object::parse(&object).unwrap();
            let members: Vec<_> = object.members().map(|(key, value)| (&**key, value)).collect();
            assert_eq!(members, [(text, raw)]);
        }
        for other in ["null", "1", "[\"a\"]", "{}", "\"", ""] {
            assert_eq!(string(other), None, "{other}");
        }
    }

    #[test]
    fn deeply_nested_values_are_skipped_without_recursion() {
        let deep = format!(r#"{{"x":{}{},"a":1}}"#, "[".repeat(200_000), "]".repeat(200_000));
        assert!(spliced(&deep, &[(&["a"], "2")]).unwrap().ends_with(r#","a":2}"#));
    }
}
