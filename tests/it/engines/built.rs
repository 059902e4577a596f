//! hack/engines where it cannot build: one sentence for each reason, and no directory that is half built.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Command, Output};

use crate::scratch::{Scratch, program_on_path, skip};

/// hack/engines for one engine. On PATH are the programs in the scratch directory `fake`, and after them `/usr/bin` without Go.
fn engines(scratch: &Scratch, ci: bool, name: &str, more: &[(&str, &str)]) -> Output {
    let links = scratch.path("links");
    if !links.exists() {
        fs::create_dir(&links).unwrap();
        let programs = fs::read_dir("/usr/bin").unwrap().map(|entry| entry.unwrap());
        for program in programs.filter(|program| program.file_name() != "go") {
            symlink(program.path(), links.join(program.file_name())).unwrap();
        }
    }
    Command::new("bash")
        .args(["hack/engines", name])
        .env("PATH", format!("{}:{}", scratch.text("fake"), links.display()))
        .env("CARGO_TARGET_DIR", scratch.path("target"))
        .env("GPU_RUNC_SKIPS", scratch.path("skips"))
        .env("CI", if ci { "true" } else { "" })
        .envs(more.iter().copied())
        .output()
        .unwrap()
}

/// It says this in one line, as a SKIP for people and as a failure in CI, and leaves nothing.
fn refuses(scratch: &Scratch, name: &str, more: &[(&str, &str)], words: &str) {
    for ci in [false, true] {
        let said = engines(scratch, ci, name, more);
        let stdout = String::from_utf8_lossy(&said.stdout).into_owned();
        assert_eq!(said.status.code(), Some(i32::from(ci)), "{words}: {said:?}");
        let head = if ci { "FAILED" } else { "SKIP" };
        assert!(
            stdout.starts_with(&format!("{head} engines: {name}: ")) && stdout.contains(words),
            "{words}: {said:?}"
        );
        assert_eq!((stdout.lines().count(), said.stderr.as_slice()), (1, b"".as_slice()), "{said:?}");
        let names = |folder: &str| {
            let entries = fs::read_dir(scratch.path(folder)).into_iter().flatten();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
        };
        let left: Vec<_> =
            names("target/engines").into_iter().filter(|name| name != ".lock" && name != "today").collect();
        assert!(left.is_empty() && names("target/engines/today").is_empty(), "{words}: {left:?}");
    }
    assert!(scratch.read("skips").contains(words), "{}", scratch.read("skips"));
}

#[test]
fn a_machine_without_go_or_with_an_old_one_is_told_so() {
    let scratch = Scratch::new();
    refuses(&scratch, "rootlesskit", &[], "there is no go on PATH, and Go 1.26 is needed");
    scratch.program("fake/go", "#!/bin/sh\necho go1.19.8\n");
    refuses(&scratch, "rootlesskit", &[], "fake/go is Go 1.19.8, and Go 1.26 is needed");
}

#[test]
fn what_an_engine_needs_and_the_machine_lacks_is_told() {
    let Some(go) = program_on_path("go") else {
        return skip("engines::built", "go not on PATH (optional)");
    };
    let scratch = Scratch::new();
    scratch.program("fake/go", &format!("#!/bin/sh\nexec {} \"$@\"\n", go.display()));
    let (cache, modules) = (scratch.text("cache"), scratch.text("modules"));
    let empty = [("GOCACHE", &*cache), ("GOMODCACHE", &*modules), ("GOPROXY", "off"), ("GONOSUMDB", "*")];
    refuses(&scratch, "rootlesskit", &empty, "a Go module cannot be downloaded: ");
    let nowhere = [("PKG_CONFIG_LIBDIR", "/nonexistent")];
    if program_on_path("pkg-config").is_none() {
        refuses(&scratch, "runc-1.5", &nowhere, "there is no pkg-config on PATH (apt-get install pkg-config)");
    } else {
        refuses(&scratch, "runc-1.5", &nowhere, "libseccomp has no headers here (apt-get install libseccomp-dev)");
    }
    // A disk that is full says so before anything is built.
    scratch.program("fake/df", "#!/bin/sh\necho Avail\necho 20M\n");
    refuses(&scratch, "kubernetes", &empty, "it takes 7000 MB, and ");
    assert_eq!(engines(&scratch, true, "no-such-engine", &[]).status.code(), Some(2));
}

#[test]
fn every_engine_of_the_list_is_pinned() {
    let list = fs::read_to_string("tests/engines-go/versions").unwrap();
    let rows: Vec<Vec<&str>> =
        list.lines().filter(|line| !line.starts_with('#')).map(|line| line.split_whitespace().collect()).collect();
    assert!(rows.len() >= 8 && rows.iter().all(|row| row.len() >= 6), "{rows:?}");
    for row in rows {
        let (name, module, version) = (row[0], row[1], row[2]);
        let manifest = fs::read_to_string(format!("tests/engines-go/{name}/go.mod")).unwrap();
        let requires =
            |line: &str| line.trim_start_matches("require ").trim().starts_with(&format!("{module} {version}"));
        assert!(
            manifest.lines().any(requires),
            "{name}: go.mod has another version than the list: hack/engines --pin {name}"
        );
        let sums = fs::read_to_string(format!("tests/engines-go/{name}/go.sum")).unwrap();
        assert!(sums.contains(&format!("{module} {version} h1:")), "{name}: go.sum");
    }
}
