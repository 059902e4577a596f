//! Calls of real runtimes, of each version that is found: they end with gpu-runc in front as they end without it.

use std::path::Path;
use std::process::{Command, Output};

use crate::engines::place::Place;
use crate::scratch::{Scratch, skip};

/// Calls that need no container, by those who ask a runtime what it can do and by those whose container is gone. `ROOT` is an empty
/// directory.
const CALLS: &[&str] = &[
    "",
    "--version",
    "-v",
    "--help",
    "help",
    "features",
    "no-such-verb --and flags",
    "--no-such-flag state gone",
    "spec",
    "--root ROOT list",
    "--root ROOT list --format=json",
    "--root ROOT state gone",
    "--root ROOT --log-format json state gone",
    "--root ROOT --log ROOT/log --log-format=json state gone",
    "--root ROOT kill gone KILL",
    "--root ROOT kill --all gone 9",
    "--root ROOT delete gone",
    "--root ROOT delete --force gone",
    "--root ROOT ps --format json gone",
    "--root ROOT exec gone true",
    "--root ROOT pause gone",
    "--root ROOT resume gone",
    "--root ROOT start gone",
    "--root ROOT update --resources=- gone",
    "--root ROOT create --bundle ROOT gone",
    "--root ROOT run gone",
    "--root ROOT create",
    "create --help",
];

#[test]
fn real_runtimes_end_their_calls_as_without_gpu_runc() {
    for name in ["runc", "crun"] {
        for place in Place::all(name) {
            let Some(runtime) = place.program(name) else {
                skip(&format!("passthrough of {name}"), &format!("{name} not on PATH (apt-get install {name})"));
                continue;
            };
            let scratch = Scratch::new();
            let config = format!("runtimes = [{runtime:?}]\n[log]\nsyslog = false\n");
            let config = scratch.write("config.toml", &config);
            for call in CALLS {
                let direct = ends(&runtime, call, &config);
                let through = ends(Path::new(env!("CARGO_BIN_EXE_gpu-runc")), call, &config);
                assert_eq!(direct, through, "{}: {call}: left: without, right: with gpu-runc", runtime.display());
            }
        }
    }
}

/// How a call ends: its exit code, output and error, and the files that it leaves.
fn ends(program: &Path, call: &str, config: &Path) -> (Option<i32>, String, String, Vec<String>) {
    let scratch = Scratch::new();
    let root = scratch.text("root");
    std::fs::create_dir(&root).unwrap();
    let call = call.replace("ROOT", &root);
    let Output { status, stdout, stderr } = Command::new(program)
        .args(call.split_whitespace())
        .env("GPU_RUNC_CONFIG", config)
        .current_dir(&root)
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| without_times(&String::from_utf8_lossy(bytes).replace(&root, "ROOT"));
    let mut left: Vec<_> = std::fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    let left = left.into_iter().map(|name| name.into_string().unwrap()).collect();
    (status.code(), text(&stdout), text(&stderr), left)
}

/// A log line without when it was written, which is the first word with digits and colons.
fn without_times(text: &str) -> String {
    let is_time = |word: &&str| word.bytes().filter(|byte| *byte == b':').count() >= 2 && word.contains('T');
    let lines = text.lines().map(|line| line.split(' ').filter(|word| !is_time(word)).collect::<Vec<_>>().join(" "));
    lines.collect::<Vec<_>>().join("\n")
}
