//! JSON edited as text in a person's own layout: members are added below the last one and taken out again, all else stays.
//!
//! Knows no names. Values are texts; nothing is parsed and written anew.

use std::ops::Range;

use crate::error::Escaped;
use crate::oci::json::{Object, offset, quoted};

/// One member of an object within the whole text.
struct Member {
    name: String,
    key: Range<usize>,
    value: Range<usize>,
}

/// The members of the object that is at `span` of `text`.
fn members(text: &str, span: &Range<usize>) -> Result<Vec<Member>, String> {
    let object = text.get(span.clone()).unwrap_or_default();
    let parsed = Object::parse(object).map_err(|_| "a value that has to be edited is no object".to_owned())?;
    let mut members: Vec<Member> = Vec::new();
    for (name, value) in parsed.members() {
        let start = span.start + offset(object, value);
        // Between a value and the next key there is nothing but white space and a comma.
        let from = members.last().map_or(span.start, |before| before.value.end);
        let key = from + text.get(from..start).and_then(|between| between.find('"')).unwrap_or_default();
        members.push(Member { name: name.to_string(), key: key..start, value: start..start + value.len() });
    }
    Ok(members)
}

/// Where the value at `path` is: the whole text for no path, nothing if it is not there.
pub(super) fn find(text: &str, path: &[&str]) -> Result<Option<Range<usize>>, String> {
    let (mut span, mut holder) = (whole(text), "the whole");
    for name in path {
        let object = text.get(span.clone()).unwrap_or_default();
        let parsed = Object::parse(object).map_err(|_| format!("{} is no object", Escaped::quoted(holder)))?;
        holder = name;
        if let Some(why) = parsed.ambiguity(name) {
            return Err(why);
        }
        match members(text, &span)?.into_iter().find(|member| member.name == *name) {
            Some(member) => span = member.value,
            None => return Ok(None),
        }
    }
    Ok(Some(span))
}

fn whole(text: &str) -> Range<usize> {
    let start = text.len() - text.trim_start().len();
    start..text.trim_end().len().max(start)
}

/// `text` in which the object at `parent` has the member `name`, which it has not yet, with the value `value`.
pub(super) fn with(text: &str, parent: &[&str], name: &str, value: &str) -> Result<String, String> {
    let span = find(text, parent)?.ok_or("the object is not there")?;
    let member = format!("{}: {value}", quoted(name));
    let all = members(text, &span)?;
    let (at, added) = match (all.last(), all.len().checked_sub(2).and_then(|n| all.get(n))) {
        (None, _) => (span.start + 1, format!("\n{}{member}\n{}", indent(parent.len() + 1), indent(parent.len()))),
        (Some(last), before) => {
            // The white space before the last key is how this object is laid out.
            let from = before.map_or(span.start + 1, |before| before.value.end);
            let between = text.get(from..last.key.start).unwrap_or_default();
            let layout = match between.rsplit(',').next().unwrap_or_default() {
                "" if text.get(last.key.clone()).is_some_and(|key| key.ends_with(' ')) => " ",
                layout => layout,
            };
            (last.value.end, format!(",{layout}{member}"))
        }
    };
    let mut text = text.to_owned();
    text.insert_str(at, &added);
    Ok(text)
}

fn indent(depth: usize) -> String {
    "  ".repeat(depth)
}

/// `text` without the member `name` of the object at `parent`: what it was before [`with`] put it there.
pub(super) fn without(text: &str, parent: &[&str], name: &str) -> Result<String, String> {
    let Some(span) = find(text, parent)? else { return Ok(text.to_owned()) };
    let all = members(text, &span)?;
    let Some(index) = all.iter().position(|member| member.name == name) else { return Ok(text.to_owned()) };
    let Some(member) = all.get(index) else { return Ok(text.to_owned()) };
    let range = match (index.checked_sub(1).and_then(|n| all.get(n)), all.get(index + 1)) {
        (Some(before), _) => before.value.end..member.value.end,
        (None, Some(next)) => member.key.start..next.key.start,
        (None, None) => {
            let closing = format!("\n{}", indent(parent.len()));
            let rest = text.get(member.value.end..).unwrap_or_default();
            span.start + 1..member.value.end + if rest.starts_with(&closing) { closing.len() } else { 0 }
        }
    };
    let mut text = text.to_owned();
    text.replace_range(range, "");
    Ok(text)
}

/// `text` with `value` in place of what is at `span`.
pub(super) fn replaced(text: &str, span: Range<usize>, value: &str) -> String {
    let mut text = text.to_owned();
    text.replace_range(span, value);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_added_in_the_layout_of_its_object_and_taken_out_without_a_trace() {
        for (text, parent, with_it) in [
            ("{}", [].as_slice(), "{\n  \"n\": 1\n}"),
            ("{ }\n", &[], "{\n  \"n\": 1\n }\n"),
            ("{\n}", &[], "{\n  \"n\": 1\n\n}"),
            (r#"{"a":1e3}"#, &[], r#"{"a":1e3,"n": 1}"#),
            (r#"{ "a":1, "b":{} }"#, &[], r#"{ "a":1, "b":{}, "n": 1 }"#),
            ("{\n\t\"a\": 1,\n\t\"b\": [\n\t]\n}\n", &[], "{\n\t\"a\": 1,\n\t\"b\": [\n\t],\n\t\"n\": 1\n}\n"),
            ("\u{20}{\r\n  \"a,\\\"\": \"}\"\r\n}\r\n", &[], "\u{20}{\r\n  \"a,\\\"\": \"}\",\r\n  \"n\": 1\r\n}\r\n"),
            ("{\"r\": {}}", &["r"], "{\"r\": {\n    \"n\": 1\n  }}"),
            (
                "{\"r\": {\"x\": 18446744073709551617}, \"z\": 0}",
                &["r"],
                "{\"r\": {\"x\": 18446744073709551617, \"n\": 1}, \"z\": 0}",
            ),
        ] {
            let given = with(text, parent, "n", "1").unwrap();
            assert_eq!(given, with_it, "{text:?}");
            assert_eq!(without(&given, parent, "n").unwrap(), text);
        }
        assert_eq!(without("{\"n\": 1, \"a\": 2}", &[], "n").unwrap(), "{\"a\": 2}");
        assert_eq!(without("{\"a\": 2}", &[], "n").unwrap(), "{\"a\": 2}");
    }

    #[test]
    fn what_parsers_read_differently_is_not_edited() {
        for (text, why) in [
            (r#"{"r":{},"r":{}}"#, "more than once"),
            (r#"{"R":{}}"#, "spelled differently"),
            (r#"{"r":[]}"#, "\"r\" is no object"),
        ] {
            let refusal = find(text, &["r", "n"]).unwrap_err();
            assert!(refusal.contains(why), "{text}: {refusal}");
        }
    }
}
