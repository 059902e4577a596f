//! YAML CDI files, read by serde-saphyr within limits.
//!
//! The only place that knows that crate, whose interface changes between majors. Scalars are read as the Go library reads them
//! (octals, `on` for true, merges), except that a name written `010` stays that name and does not become `8`.

use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::options::DuplicateKeyPolicy;
use serde_saphyr::{DefaultMessageFormatter, Error, MessageFormatter, Options, budget, options};

use super::fault::{Fault, already_set, in_our_words};
use super::spec::{Object, Spec};

/// Reads one YAML document. Anchors and aliases may not multiply the text beyond bounds.
pub(super) fn read(text: &str) -> Result<Spec, Fault> {
    match serde_saphyr::from_str_with_options::<Option<Object<Spec>>>(text, options()) {
        Ok(Some(Object(spec))) => Ok(spec),
        Ok(None) => Err(Fault::of_the_whole("no Spec data: expected cdiVersion, kind and devices")),
        Err(error) => Err(fault(&error)),
    }
}

fn options() -> Options {
    options! {
        budget: budget! { max_depth: 32, max_nodes: 500_000, max_aliases: 1000, max_documents: 1 },
        duplicate_keys: DuplicateKeyPolicy::Error,
        legacy_octal_numbers: true,
        with_snippet: false,
    }
}

fn fault(error: &Error) -> Fault {
    let message = match error.without_snippet() {
        Error::DuplicateMappingKey { key: Some(key), .. } => already_set(key),
        Error::Budget { breach: BudgetBreach::Documents { .. }, .. } => {
            "more than one document; give each a file of its own".to_owned()
        }
        error => {
            let words = in_our_words(&DefaultMessageFormatter.format_message(error));
            let kinds =
                [("expected sequence start", "expected a list"), ("expected mapping start", "expected a mapping")];
            kinds.iter().find(|(theirs, _)| words.contains(theirs)).map_or(words, |(_, ours)| (*ours).to_owned())
        }
    };
    Fault { line: error.location().and_then(|location| usize::try_from(location.line()).ok()), message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_in_quotes_is_refused_as_the_go_library_does() {
        let device = |edits: &str| {
            read(&format!(
                "cdiVersion: 1.1.0\nkind: acme.example/npu\ndevices:\n- name: '0'\n  containerEdits: {{{edits}}}\n"
            ))
        };
        for (edits, expected) in [
            (r#"deviceNodes: [{path: /dev/n, fileMode: "0640"}]"#, "a number without quotes"),
            (r#"deviceNodes: [{path: /dev/n, major: "8"}]"#, "a number without quotes"),
            ("deviceNodes: [{path: /dev/n, uid: '8'}]", "a number without quotes"),
            ("hooks: [{hookName: poststop, path: /h, timeout: '8'}]", "a number without quotes"),
            ("additionalGids: ['8']", "a number without quotes"),
            ("intelRdt: {enableMonitoring: 'true'}", "true or false without quotes"),
        ] {
            let message = device(edits).unwrap_err().message;
            assert!(message.contains(expected), "{edits}: {message}");
        }
        let read = device(
            "deviceNodes: [{path: /dev/n, fileMode: 0640, major: 8, minor: null, uid: null}], additionalGids: null",
        )
        .unwrap();
        let node = &read.devices[0].container_edits.device_nodes[0];
        assert_eq!((node.file_mode, node.major, node.minor, node.uid), (Some(0o640), 8, 0, None));
    }

    #[test]
    fn what_is_wrong_has_its_line_and_no_word_of_the_reader() {
        const HEAD: &str = "cdiVersion: 0.5.0\nkind: acme.example/npu\n";
        for (text, line, message) in [
            (format!("{HEAD}devices: []\n---\n{HEAD}"), 4, "more than one document; give each a file of its own"),
            (format!("{HEAD}containerEdits:\n  env: A=b\n"), 4, "expected a list"),
            (format!("{HEAD}devices:\n- name: 0\n  containerEdits: 7\n"), 5, "expected a mapping"),
            (format!("{HEAD}devices:\n- annotations: {{a: 0}}\n  containerEdits: 7\n"), 5, "expected a mapping"),
            ("cdiVersion: 0.5.0\nkind: acme\n".to_owned(), 2, "invalid vendor. empty name: \"acme\" is not"),
        ] {
            let fault = read(&text).unwrap_err();
            assert!(fault.message.starts_with(message), "{text}: {}", fault.message);
            assert_eq!(fault.line, Some(line), "{text}: {}", fault.message);
        }
    }
}
