//! The layers of src/lib.rs, enforced: which module may import which.

use std::fs;
use std::path::{Path, PathBuf};

/// Each module and the modules that it may name. What is not listed is an arrow that the map in src/lib.rs does not have.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("trust", &["error"]),
    ("config", &["error", "trust"]),
    ("log", &["error", "config"]),
    ("cdi", &["error", "trust"]),
    ("oci", &["error", "cdi"]),
    ("ldcache", &[]),
    ("elf", &[]),
    ("program", &["error"]),
    ("messages", &[]),
    ("host", &["error", "trust", "cdi", "oci", "ldcache"]),
    ("vendor", &["error", "config", "cdi", "host"]),
    ("request", &["error", "config", "cdi", "oci", "vendor"]),
    ("choose", &["request"]),
    ("holders", &["error", "trust", "host", "request"]),
    ("resolve", &["error", "cdi", "vendor", "request"]),
    ("generate", &["error", "config", "cdi", "elf", "ldcache", "host", "vendor"]),
    ("rootfs", &["error", "cdi", "elf", "ldcache", "oci", "host", "vendor"]),
    ("devfs", &["error", "cdi", "host"]),
    ("hook", &["error", "oci", "host", "vendor", "rootfs"]),
    ("compose", &["error", "config", "oci", "cdi", "vendor", "request"]),
    (
        "runtime",
        &[
            "error", "log", "config", "cdi", "oci", "host", "vendor", "request", "choose", "holders", "resolve",
            "generate", "rootfs", "devfs",
        ],
    ),
    ("doctor", &["error", "config", "cdi", "host", "vendor", "generate", "holders", "runtime", "configure"]),
    ("configure", &["error", "trust", "config", "host", "oci", "vendor"]),
    ("node", &["error", "trust", "program", "configure"]),
    (
        "cli",
        &[
            "error",
            "log",
            "config",
            "cdi",
            "oci",
            "host",
            "vendor",
            "request",
            "resolve",
            "generate",
            "runtime",
            "program",
            "messages",
            "doctor",
            "holders",
            "devfs",
            "configure",
            "compose",
            "node",
        ],
    ),
];

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|suffix| suffix == "rs") {
            found.push(path);
        }
    }
}

fn sources() -> Vec<(String, PathBuf, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    let with_module = |path: PathBuf| {
        let first = path.strip_prefix(&src).unwrap().components().next().unwrap();
        let module = first.as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned();
        let text = fs::read_to_string(&path).unwrap();
        (module, path, text)
    };
    files.into_iter().map(with_module).filter(|(module, ..)| module != "bin" && module != "lib").collect()
}

#[test]
fn imports_point_down_only() {
    let mut wrong = Vec::new();
    for (module, path, text) in sources() {
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == module) else {
            wrong.push(format!("module {module} is not in the table"));
            continue;
        };
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            for used in line.split("crate::").skip(1) {
                let used: String = used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if used != module && !allowed.contains(&used.as_str()) {
                    wrong.push(format!("{}:{}: {module} -> {used}", path.display(), number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "arrows that the layers do not have (see src/lib.rs):\n{}", wrong.join("\n"));
}

#[test]
fn every_file_says_what_it_owns() {
    let silent: Vec<_> =
        sources().into_iter().filter(|(.., text)| !text.starts_with("//! ")).map(|(_, path, _)| path).collect();
    assert!(silent.is_empty(), "files that do not begin with a sentence: {silent:?}");
}

#[test]
fn no_unsafe_code_and_no_drawers() {
    for (_, path, text) in sources() {
        assert!(!text.contains("unsafe {") && !text.contains("unsafe fn"), "{}", path.display());
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(
            !["util", "utils", "helper", "helpers", "common", "misc", "manager"].contains(&name),
            "{}",
            path.display()
        );
    }
}

#[test]
fn vendors_are_named_only_in_their_rows() {
    // Formats that exist because of a vendor say so by name; deciding code must not.
    let deciding = ["resolve", "generate", "runtime", "oci", "cdi", "host", "doctor"];
    for (module, path, text) in sources().into_iter().filter(|(module, ..)| deciding.contains(&module.as_str())) {
        let code = text.split("#[cfg(test)]").next().unwrap();
        for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
            let lower = line.to_lowercase();
            for vendor in ["nvidia", "amd.com", "intel.com", "habana", "ascend"] {
                assert!(!lower.contains(vendor), "{module}: {} names {vendor}: {line}", path.display());
            }
        }
    }
}

#[test]
fn text_from_outside_reaches_no_message_raw() {
    // Errors, log records and gpu-ctk's output escape all that they are given, in these files. What writes past them does not.
    let writers = ["cli/output.rs", "hook/mod.rs", "runtime/report.rs"];
    let prints = ["eprintln!", "eprint!", "println!", "print!(", "stderr()", "stdout()", "dbg!"];
    let mut wrong = Vec::new();
    for (module, path, text) in sources().into_iter().filter(|(_, path, _)| !path.ends_with("tests.rs")) {
        let is_writer = writers.iter().any(|writer| path.ends_with(writer));
        let code = text.split("#[cfg(test)]").next().unwrap();
        for (number, line) in code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            let is_escaped = ["Escaped::", "{error}", "is_terminal"].iter().any(|word| line.contains(word));
            let raw = [
                (line.contains(".display()"), "a path is shown by Escaped::path"),
                (
                    line.contains("set_boxed_logger") && module != "log",
                    "records go through crate::log, which escapes them",
                ),
                (
                    prints.iter().any(|print| line.contains(print)) && !is_writer && !line.contains("is_terminal"),
                    "only these files print: cli/output.rs, hook/mod.rs, runtime/report.rs",
                ),
                (line.contains("eprintln!") && !is_escaped, "what is printed is an error, or Escaped"),
            ];
            for (_, rule) in raw.iter().filter(|(is_raw, _)| *is_raw) {
                wrong.push(format!("{}:{}: {rule}: {}", path.display(), number + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "text from outside may reach a message raw:\n{}", wrong.join("\n"));
    let has =
        |file: &str, code: &str| sources().iter().any(|(_, path, text)| path.ends_with(file) && text.contains(code));
    assert!(has("src/error.rs", "self.compose(&mut Escaping::new(f))"), "errors escape what they display");
    assert!(has("src/log.rs", "Escaped::message(record.args())"), "the log escapes its records");
}
