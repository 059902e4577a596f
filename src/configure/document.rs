//! A TOML file edited as text: what is added is marked, can be taken out again, and leaves every other byte as it was.
//!
//! Knows no engine. The parser only says where things are; nothing is ever written from parsed values.

use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::{Error, Result};
use crate::oci::json::quoted;

/// Marks a line that is ours.
const ADDED: &str = " # added by gpu-ctk";
/// Marks a value that is ours, in place of the one that follows the mark.
const WAS: &str = " # set by gpu-ctk, was ";
/// Around the name in the line that begins a block.
const FIRST: &str = "# >>> ";
const BY: &str = ": added by gpu-ctk runtime configure";

/// A parsed file with its text.
#[derive(Debug)]
pub(super) struct Document<'a> {
    path: &'a Path,
    text: &'a str,
    root: DeTable<'a>,
}

impl<'a> Document<'a> {
    /// Reads `text`; `path` is for messages. The error names the line.
    pub(super) fn parse(path: &'a Path, text: &'a str) -> Result<Self> {
        let root = DeTable::parse(text).map_err(|cause| {
            let before = cause.span().and_then(|span| text.get(..span.start));
            let line = before.map(|before| before.matches('\n').count() + 1);
            let message = format!("{}; nothing was changed", cause.message().trim_end().replace('\n', " "));
            Error::Config { path: path.to_owned(), line, message }
        })?;
        Ok(Document { path, text, root: root.into_inner() })
    }

    /// What is at `keys`.
    pub(super) fn get(&self, keys: &[&str]) -> Option<&Spanned<DeValue<'a>>> {
        let (last, tables) = keys.split_last()?;
        let mut table = &self.root;
        for key in tables {
            table = table.get(*key)?.get_ref().as_table()?;
        }
        table.get(*last)
    }

    /// The table at `keys`.
    pub(super) fn table(&self, keys: &[&str]) -> Option<&DeTable<'a>> {
        self.get(keys)?.get_ref().as_table()
    }

    /// The string at `keys`.
    pub(super) fn string(&self, keys: &[&str]) -> Option<&str> {
        self.get(keys)?.get_ref().as_str()
    }

    /// The integer at `keys`; an error where something else is.
    pub(super) fn integer(&self, keys: &[&str]) -> Result<Option<u64>> {
        let Some(value) = self.get(keys) else { return Ok(None) };
        match value.get_ref().as_integer().and_then(|number| number.as_str().parse().ok()) {
            Some(number) => Ok(Some(number)),
            None => Err(self.fault(value.span(), &format!("{} is no number", keys.join(".")))),
        }
    }

    /// The strings of the array at `keys`, with where they are; an error where something else is.
    pub(super) fn strings(&self, keys: &[&str]) -> Result<Vec<(&str, Range<usize>)>> {
        let Some(value) = self.get(keys) else { return Ok(Vec::new()) };
        let wrong = || self.fault(value.span(), &format!("{} is no list of strings", keys.join(".")));
        let list = value.get_ref().as_array().ok_or_else(wrong)?;
        list.iter().map(|item| Some((item.get_ref().as_str()?, item.span()))).collect::<Option<_>>().ok_or_else(wrong)
    }

    /// The text of a value as it is written.
    pub(super) fn written(&self, value: &Spanned<DeValue<'_>>) -> &'a str {
        self.text.get(value.span()).unwrap_or_default()
    }

    /// An error about the place that `span` is.
    pub(super) fn fault(&self, span: Range<usize>, message: &str) -> Error {
        let line = self.text.get(..span.start).map(|before| before.matches('\n').count() + 1);
        Error::Config { path: self.path.to_owned(), line, message: format!("{message}; nothing was changed") }
    }

    /// The text with the string `value` under `key` of the table at `keys`, or `None` if that has to be said in a table of its
    /// own, because there is no header to put it under.
    pub(super) fn with_string(&self, keys: &[&str], key: &str, value: &str) -> Result<Option<String>> {
        let (text, value) = (self.text, quoted(value));
        if let Some(old) = self.get(&[keys, &[key]].concat()) {
            let (span, was) = (old.span(), self.written(old));
            if old.get_ref().as_str().is_some_and(|old| quoted(old) == value) {
                return Ok(Some(text.to_owned()));
            }
            let rest = text.get(span.end..).and_then(|rest| rest.lines().next()).unwrap_or_default().trim_start();
            if was.contains('\n') || !(rest.is_empty() || rest.starts_with('#')) {
                return Err(self.fault(span, &format!("{key} has no line of its own; set it to {value} by hand")));
            }
            return Ok(Some(spliced(text, span, &format!("{value}{WAS}{was}"))));
        }
        let Some(header) = self.get(keys).map(Spanned::span).filter(|span| self.is_header(span)) else {
            return Ok(None);
        };
        let Some(end) = text.get(header.end..).and_then(|rest| rest.find('\n')).map(|n| header.end + n + 1) else {
            return Ok(None);
        };
        let start = text.get(..header.start).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1);
        let indent = text.get(start..header.start).unwrap_or_default();
        Ok(Some(spliced(text, end..end, &format!("{indent}{key} = {value}{ADDED}\n"))))
    }

    /// The text in which `key` of the table at `keys` is what it was before [`Self::with_string`] made it `value`.
    pub(super) fn without_string(&self, keys: &[&str], key: &str, value: &str) -> String {
        let text = self.text;
        let found = self.get(&[keys, &[key]].concat()).filter(|found| found.get_ref().as_str() == Some(value));
        let Some(span) = found.map(Spanned::span) else { return text.to_owned() };
        let rest = text.get(span.end..).unwrap_or_default();
        if let Some(was) = rest.strip_prefix(WAS).and_then(literal) {
            return spliced(text, span.start..span.end + WAS.len() + was.len(), was);
        }
        self.without_line(span)
    }

    /// The text in which nothing that [`Self::with_string`] put under `key` will give `value` back: what it took the place of is given
    /// back in its stead.
    pub(super) fn without_replaced(&self, keys: &[&str], key: &str, value: &str) -> String {
        let Some(span) = self.get(&[keys, &[key]].concat()).map(Spanned::span) else { return self.text.to_owned() };
        let (mut at, value) = (span.end, quoted(value));
        while let Some(was) = self.text.get(at..).and_then(|rest| rest.strip_prefix(WAS)).and_then(literal) {
            let end = at + WAS.len() + was.len();
            if was == value {
                return spliced(self.text, at..end, "");
            }
            at = end;
        }
        self.text.to_owned()
    }

    /// The text without the marked line that `span` is on; all of it if that line is not marked.
    fn without_line(&self, span: Range<usize>) -> String {
        let rest = self.text.get(span.end..).unwrap_or_default();
        if !rest.strip_prefix(ADDED).is_some_and(|after| after.starts_with('\n')) {
            return self.text.to_owned();
        }
        let start = self.text.get(..span.start).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1);
        spliced(self.text, start..span.end + ADDED.len() + 1, "")
    }

    /// The text in which the list of strings `key` of the root ends with `value`.
    pub(super) fn with_element(&self, key: &str, value: &str) -> Result<String> {
        let (text, value) = (self.text, quoted(value));
        if let Some(list) = self.get(&[key]) {
            let last = self.strings(&[key])?.last().map(|(_, span)| span.end);
            let (at, added) = match last {
                Some(end) => (end, format!(", {value}")),
                None => (list.span().start + 1, value),
            };
            return Ok(spliced(text, at..at, &added));
        }
        // Below the version, where people look for it; keys of the root have to come before every header.
        let version = self.get(&["version"]).map(Spanned::span);
        let below = version.and_then(|span| text.get(span.end..)?.find('\n').map(|n| span.end + n + 1)).unwrap_or(0);
        Ok(spliced(text, below..below, &format!("{key} = [{value}]{ADDED}\n")))
    }

    /// The text without the last or only string `value` of that list, or without the list if we made it.
    pub(super) fn without_element(&self, key: &str, value: &str) -> String {
        // What is no such list was never added to.
        let elements = self.strings(&[key]).unwrap_or_default();
        let Some(index) = elements.iter().position(|(element, _)| *element == value) else {
            return self.text.to_owned();
        };
        let Some(span) = elements.get(index).map(|(_, span)| span.clone()) else { return self.text.to_owned() };
        if let Some(list) = self.get(&[key]).filter(|_| elements.len() == 1) {
            let without = self.without_line(list.span());
            if without != self.text {
                return without;
            }
        }
        let start = index.checked_sub(1).and_then(|before| elements.get(before)).map(|(_, before)| before.end);
        let range = match (start, elements.get(index + 1)) {
            (Some(start), _) => start..span.end,
            (None, Some((_, next))) => span.start..next.start,
            (None, None) => span,
        };
        spliced(self.text, range, "")
    }

    /// Whether the table at `keys` has a header of its own.
    pub(super) fn has_header(&self, keys: &[&str]) -> bool {
        self.get(keys).is_some_and(|table| self.is_header(&table.span()))
    }

    fn is_header(&self, span: &Range<usize>) -> bool {
        self.text.get(span.clone()).is_some_and(|written| written.starts_with('['))
    }
}

/// The string literal that `text` begins with, quotes included.
fn literal(text: &str) -> Option<&str> {
    let quote = text.chars().next().filter(|c| ['"', '\''].contains(c))?;
    let mut escaped = false;
    for (i, c) in text.char_indices().skip(1) {
        match c {
            c if c == quote && !escaped => return text.get(..=i),
            '\n' => return None,
            c => escaped = c == '\\' && !escaped && quote == '"',
        }
    }
    None
}

fn spliced(text: &str, range: Range<usize>, new: &str) -> String {
    let mut text = text.to_owned();
    text.replace_range(range, new);
    text
}

/// The marked block of `name` in `text`, without the newline that ends it.
pub(super) fn block<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.get(find(text, name)?)
}

/// What is in the marked block of `name`, with the newline that ends it.
pub(super) fn block_lines<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (first, last) = marks(name);
    block(text, name)?.strip_prefix(&first)?.strip_suffix(last.trim_start())
}

/// The names of all marked blocks, in their order.
pub(super) fn blocks(text: &str) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for name in text.lines().filter_map(|line| line.strip_prefix(FIRST)?.strip_suffix(BY)) {
        if find(text, name).is_some() && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn find(text: &str, name: &str) -> Option<Range<usize>> {
    let (first, last) = marks(name);
    // The last: half a block, which somebody left above, has no end of its own.
    let start = text.rmatch_indices(&first).map(|(at, _)| at).find(|at| {
        let before = text.get(..*at).unwrap_or_default();
        before.is_empty() || before.ends_with('\n')
    })?;
    let end = text.get(start..)?.find(&last)? + start + last.len();
    Some(start..end)
}

fn marks(name: &str) -> (String, String) {
    (format!("{FIRST}{name}{BY}\n"), format!("\n# <<< {name}"))
}

/// `text` with `lines` as the marked block of `name`: where there is one, else at its end.
pub(super) fn with_block(text: &str, name: &str, lines: &str) -> String {
    let (first, last) = marks(name);
    if let Some(range) = find(text, name) {
        return spliced(text, range, &format!("{first}{}{last}", lines.trim_end()));
    }
    // A last line without an end gets one from us and gives it back: the block then ends without one.
    match text.is_empty() || text.ends_with('\n') {
        true => format!("{text}{first}{}{last}\n", lines.trim_end()),
        false => format!("{text}\n{first}{}{last}", lines.trim_end()),
    }
}

/// `text` without the marked block of `name`.
pub(super) fn without_block(text: &str, name: &str) -> String {
    let Some(range) = find(text, name) else { return text.to_owned() };
    match text.get(range.end..).is_some_and(|rest| rest.starts_with('\n')) {
        true => spliced(text, range.start..range.end + 1, ""),
        false => spliced(text, range.start.saturating_sub(1)..range.end, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> Document<'_> {
        Document::parse(Path::new("f"), text).unwrap()
    }

    #[test]
    fn a_block_is_added_at_the_end_and_taken_out_without_a_trace() {
        for text in ["", "\n", "a = 1", "a = 1\n", "# é\r\na = 1\r\n\r\n", "a = 1\n\n\n"] {
            let with = with_block(text, "x", "[b]\nc = 2\n");
            assert!(with.contains("\n[b]\nc = 2\n# <<< x") && document(&with).table(&["b"]).is_some(), "{with:?}");
            assert_eq!(without_block(&with, "x"), text);
            assert_eq!(without_block(&with, "y"), with);
            let two = with_block(&with, "y", "[d]");
            assert_eq!(without_block(&without_block(&two, "x"), "y"), text, "{two}");
            let grown = format!("{with}\n[later]\n");
            assert!(document(&without_block(&grown, "x")).table(&["later"]).is_some());
        }
    }

    #[test]
    fn a_string_is_set_where_it_stands_and_given_back() {
        for (text, with) in [
            ("[a.b]\nk = \"runc\"\n", "[a.b]\nk = \"us\" # set by gpu-ctk, was \"runc\"\n"),
            ("[a.b]\nk='it''s' # why\nl=1", ""),
            ("[a.b]\nk = 'r\\' # why\nl=1", "[a.b]\nk = \"us\" # set by gpu-ctk, was 'r\\' # why\nl=1"),
            ("[a.b]\nk = \"q\\\"#\"", "[a.b]\nk = \"us\" # set by gpu-ctk, was \"q\\\"#\""),
            (" [a.b] # c\n  l = 1\n", " [a.b] # c\n k = \"us\" # added by gpu-ctk\n  l = 1\n"),
        ] {
            if with.is_empty() {
                assert!(Document::parse(Path::new("f"), text).is_err());
                continue;
            }
            let given = document(text).with_string(&["a", "b"], "k", "us").unwrap().unwrap();
            assert_eq!(given, with);
            assert_eq!(document(&given).with_string(&["a", "b"], "k", "us").unwrap().unwrap(), with, "a second time");
            assert_eq!(document(&given).without_string(&["a", "b"], "k", "us"), text);
        }
        let by_hand = "[a.b]\nk = \"us\"\n";
        assert_eq!(document(by_hand).without_string(&["a", "b"], "k", "us"), by_hand, "a person's own line stays");
        for text in ["", "[a.b.c]\n", "a.b.c = 1\n", "[a.b]"] {
            assert_eq!(document(text).with_string(&["a", "b"], "k", "us").unwrap(), None, "{text}");
        }
        let inline = document("\na = {b = {k = \"runc\", l = 1}}").with_string(&["a", "b"], "k", "us").unwrap_err();
        assert!(inline.to_string().starts_with("f:2: k has no line of its own"), "{inline}");
    }

    #[test]
    fn an_element_is_added_at_the_end_of_a_list_and_taken_out() {
        for (text, with) in [
            ("", "i = [\"us\"] # added by gpu-ctk\n"),
            ("# c\n[t]\n", "i = [\"us\"] # added by gpu-ctk\n# c\n[t]\n"),
            ("# c\nversion = 2 # v\n[t]\n", "# c\nversion = 2 # v\ni = [\"us\"] # added by gpu-ctk\n[t]\n"),
            ("i = []", "i = [\"us\"]"),
            ("i = [ # c\n]\n", "i = [\"us\" # c\n]\n"),
            ("i = ['a']\n", "i = ['a', \"us\"]\n"),
            ("i = [\n 'a', # c\n 'b', # d\n]\n", "i = [\n 'a', # c\n 'b', \"us\", # d\n]\n"),
        ] {
            let given = document(text).with_element("i", "us").unwrap();
            assert_eq!(given, with);
            assert_eq!(document(&given).without_element("i", "us"), text);
        }
        for other in ["i = 2\n", "i = [\"us\", 2]\n"] {
            assert_eq!(
                document(other).without_element("i", "us"),
                other,
                "nothing of ours is in what is no list of texts"
            );
        }
        let first = document("i = [\"us\",\n 'b']").without_element("i", "us");
        assert_eq!(first, "i = ['b']");
        let wrong = document("\ni = 1").with_element("i", "us").unwrap_err().to_string();
        assert!(wrong.starts_with("f:2: i is no list of strings"), "{wrong}");
    }

    #[test]
    fn what_does_not_parse_is_told_with_its_line() {
        let error = Document::parse(Path::new("/etc/f.toml"), "a = 1\nb = [\n").unwrap_err().to_string();
        assert!(error.starts_with("/etc/f.toml:2: ") && error.ends_with("; nothing was changed"), "{error}");
        let twice = Document::parse(Path::new("f"), "[a]\n[a]\n").unwrap_err().to_string();
        assert!(twice.starts_with("f:2: "), "{twice}");
    }
}
