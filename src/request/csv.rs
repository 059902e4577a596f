//! One record of comma-separated values, read as Go's `encoding/csv` reads it, its error texts included.
//!
//! Knows nothing of what the fields mean. Docker and nerdctl read `--gpus` with Go's reader, and people look its messages up.

/// Reads the first record of `text`, blank lines before it skipped and everything after it ignored. The error is Go's text;
/// lines and columns count from 1, columns in bytes.
pub(super) fn record(text: &str) -> Result<Vec<String>, String> {
    let mut reader = Reader { rest: text, line: "", ends: false, number: 0, column: 1 };
    while reader.line.is_empty() {
        if !reader.advance() {
            return Err("EOF".to_owned());
        }
    }
    let first = reader.number;
    let mut fields = Vec::new();
    loop {
        let (field, more) = reader.field().map_err(|(number, column, fault)| {
            let record = if number == first { String::new() } else { format!("record on line {first}; ") };
            format!("{record}parse error on line {number}, column {column}: {fault}")
        })?;
        fields.push(field);
        if !more {
            return Ok(fields);
        }
    }
}

/// Line, column and what is wrong there.
type Fault = (usize, usize, &'static str);

const BARE_QUOTE: &str = r#"bare " in non-quoted-field"#;
const LOOSE_QUOTE: &str = r#"extraneous or missing " in quoted-field"#;

struct Reader<'a> {
    /// The lines after this one.
    rest: &'a str,
    /// What is left of this line, without its end.
    line: &'a str,
    /// Whether a newline ends it.
    ends: bool,
    /// Its number.
    number: usize,
    /// Where in it `line` begins.
    column: usize,
}

impl<'a> Reader<'a> {
    /// Goes to the next line, if there is one. A carriage return that ends the text is no part of it.
    fn advance(&mut self) -> bool {
        if matches!(self.rest, "" | "\r") {
            return false;
        }
        let (line, rest, ends) = match self.rest.split_once('\n') {
            Some((line, rest)) => (line, rest, true),
            None => (self.rest, "", false),
        };
        *self =
            Reader { rest, line: line.strip_suffix('\r').unwrap_or(line), ends, number: self.number + 1, column: 1 };
        true
    }

    /// Goes on `bytes` further in the line, where `line` is what is left of it.
    fn skip(&mut self, bytes: usize, line: &'a str) {
        self.column += bytes;
        self.line = line;
    }

    /// Reads one field; answers whether a comma follows.
    fn field(&mut self) -> Result<(String, bool), Fault> {
        if let Some(line) = self.line.strip_prefix('"') {
            self.skip(1, line);
            return self.quoted_field();
        }
        let (field, rest) = self.line.split_once(',').map_or((self.line, None), |(field, rest)| (field, Some(rest)));
        if let Some(at) = field.find('"') {
            return Err((self.number, self.column + at, BARE_QUOTE));
        }
        self.skip(field.len() + 1, rest.unwrap_or_default());
        Ok((field.to_owned(), rest.is_some()))
    }

    /// Reads a field after its opening quote, over as many lines as it has.
    fn quoted_field(&mut self) -> Result<(String, bool), Fault> {
        let mut field = String::new();
        loop {
            let Some((text, after)) = self.line.split_once('"') else {
                field.push_str(self.line);
                field.push_str(if self.ends { "\n" } else { "" });
                let end = (self.number, self.column + self.line.len() + usize::from(self.ends), LOOSE_QUOTE);
                if self.advance() {
                    continue;
                }
                return Err(end);
            };
            field.push_str(text);
            self.skip(text.len() + 1, after);
            if let Some(rest) = after.strip_prefix('"') {
                field.push('"');
                self.skip(1, rest);
            } else if let Some(rest) = after.strip_prefix(',') {
                self.skip(1, rest);
                return Ok((field, true));
            } else if after.is_empty() {
                return Ok((field, false));
            } else {
                return Err((self.number, self.column - 1, LOOSE_QUOTE));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_split_as_in_go() {
        for (text, fields) in [
            ("all", &["all"] as &[_]),
            ("a,b,,c", &["a", "b", "", "c"]),
            (",", &["", ""]),
            (" a , b", &[" a ", " b"]),
            ("\n\r\n\nall", &["all"]),
            ("all\n1", &["all"]),
            ("all\r\n1", &["all"]),
            ("all\r", &["all"]),
            ("a\rb", &["a\rb"]),
            (r#""device=0,1",count=0"#, &["device=0,1", "count=0"]),
            (r#""""#, &[""]),
            (r#""a""b""#, &[r#"a"b"#]),
            ("\"a\r\n\nb\",c", &["a\n\nb", "c"]),
            ("é,ü", &["é", "ü"]),
        ] {
            assert_eq!(record(text).unwrap(), fields, "{text:?}");
        }
    }

    #[test]
    fn errors_are_worded_as_in_go() {
        for (text, error) in [
            ("", "EOF"),
            ("\n", "EOF"),
            ("\r\n\n", "EOF"),
            ("\r", "EOF"),
            (r#"device="0,1""#, r#"parse error on line 1, column 8: bare " in non-quoted-field"#),
            (r#"a,b""#, r#"parse error on line 1, column 4: bare " in non-quoted-field"#),
            (r#"é,b""#, r#"parse error on line 1, column 5: bare " in non-quoted-field"#),
            ("\n\na\"", r#"parse error on line 3, column 2: bare " in non-quoted-field"#),
            (r#""a"b"#, r#"parse error on line 1, column 3: extraneous or missing " in quoted-field"#),
            (r#"x,"a"b"#, r#"parse error on line 1, column 5: extraneous or missing " in quoted-field"#),
            (r#"""#, r#"parse error on line 1, column 2: extraneous or missing " in quoted-field"#),
            (r#""device=0,1"#, r#"parse error on line 1, column 12: extraneous or missing " in quoted-field"#),
            ("\"a\n", r#"parse error on line 1, column 4: extraneous or missing " in quoted-field"#),
            (
                "\"a\nbc",
                r#"record on line 1; parse error on line 2, column 3: extraneous or missing " in quoted-field"#,
            ),
            (
                "\"a\nb\"c",
                r#"record on line 1; parse error on line 2, column 2: extraneous or missing " in quoted-field"#,
            ),
        ] {
            assert_eq!(record(text).unwrap_err(), error, "{text:?}");
        }
    }
}
