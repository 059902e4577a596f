//! SECURITY.md names tests and files as its proof: each is there.

use std::fs;
use std::path::Path;

/// Everything in backticks on the page.
fn named(page: &str) -> impl Iterator<Item = &str> {
    page.split('`').skip(1).step_by(2)
}

fn sources(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        match entry.path() {
            path if path.is_dir() => sources(&path, text),
            path if path.extension().is_some_and(|suffix| suffix == "rs") => {
                text.push_str(&fs::read_to_string(path).unwrap());
            }
            _ => {}
        }
    }
}

#[test]
fn every_test_and_file_that_the_page_on_security_names_is_there() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(package.join("SECURITY.md")).unwrap();
    let mut text = String::new();
    ["src", "tests/it"].iter().for_each(|folder| sources(&package.join(folder), &mut text));
    let mut tests = 0;
    for name in named(&page) {
        if ["src/", "tests/", "hack/"].iter().any(|folder| name.starts_with(folder)) {
            assert!(package.join(name).exists(), "{name}");
        }
        // Names of tests are sentences; nothing else on the page is.
        if name.matches('_').count() > 2 && name.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase()) {
            tests += 1;
            assert!(
                text.contains(&format!("#[test]\nfn {name}()")) || text.contains(&format!("#[test]\n    fn {name}()")),
                "{name}"
            );
        }
    }
    assert!(tests > 20, "{tests}");
}
