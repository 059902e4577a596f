//! What gpu-runc adds to a container start: each row as the difference to exec'ing a do-nothing runtime directly.
//!
//! Run by hack/bench on the release build. All programs of a row take turns in one run, each beside that runtime, on a bundle in
//! memory; nothing is judged here. `GPU_RUNC_REFERENCE` names installed peers, as PATH does (nvidia-container-runtime,
//! amd-container-runtime, and nvidia-cdi-hook for whole containers), to be measured in the same way,
//! `GPU_RUNC_BENCH_JSON` and `GPU_RUNC_BENCH_SVG` files for the numbers and a chart, `GPU_RUNC_BINARY` another build of gpu-runc,
//! `GPU_RUNC_BENCH_REVISION` the commit that it is of.
//! `GPU_RUNC_BENCH_SCALE` is a file for the curves of how it grows, which is then all that is measured.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::manual_midpoint,
    reason = "a measurement that cannot be made stops here"
)]

mod cases;
mod chart;
mod containers;
mod curves;
#[path = "../it/hosts.rs"]
#[allow(dead_code, reason = "the tests use all of it")]
mod hosts;
mod installed;
mod measure;
mod scale;
#[path = "../it/scratch.rs"]
#[allow(dead_code, reason = "the tests use all of it")]
mod scratch;

use std::fs;
use std::path::{Path, PathBuf};

use cases::Case;
use installed::{Installed, machine, today};
use measure::{Cost, Program};
use serde_json::json;

/// Pairs per row.
const PAIRS: usize = 300;

fn main() {
    // `cargo bench -- --test` and filters are not for us; `cargo test` does not run this.
    let memory = if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" };
    let scratch = tempfile::tempdir_in(memory).expect("a scratch folder");
    let stand_in = measure::stand_in(scratch.path());
    let ours = std::env::var_os("GPU_RUNC_BINARY").map_or_else(|| env!("CARGO_BIN_EXE_gpu-runc").into(), PathBuf::from);
    if let Some(picture) = std::env::var_os("GPU_RUNC_BENCH_SCALE") {
        return scale::measure(scratch.path(), &ours, &stand_in, Path::new(&picture));
    }
    println!("{}, {}", today(), machine());
    let mut programs = vec![measure::floor(scratch.path(), &stand_in), Program::Ours(ours.clone())];
    let named = std::env::var_os("GPU_RUNC_REFERENCE");
    let named: Vec<PathBuf> =
        named.iter().flat_map(std::env::split_paths).filter(|path| !path.as_os_str().is_empty()).collect();
    let (hooks, peers): (Vec<_>, Vec<_>) = named.into_iter().partition(|path| path.ends_with("nvidia-cdi-hook"));
    programs.extend(peers.into_iter().map(Program::Peer));

    let mut rows = Vec::new();
    println!("{:<48} {:>12} {:>12} {:>10} {:>9}", "added by", "median", "10%..90%", "syscalls", "memory");
    for case in cases::all() {
        let bundle = scratch.path().join("bundle");
        case.prepare(&bundle, &stand_in);
        println!("{}", case.name);
        let programs: Vec<&Program> = programs.iter().filter(|program| case.is_for(program)).collect();
        for (program, cost) in programs.iter().zip(measure::compare(&programs, &stand_in, &case, &bundle, PAIRS)) {
            print(program, &cost);
            rows.push(row(&case, program, &cost));
        }
        fs::remove_dir_all(&bundle).expect("the bundle goes");
    }
    let runc = installed::on_path("runc");
    let containers = containers::measure(scratch.path(), &ours, hooks.first().map(PathBuf::as_path));
    // What is called through the others, in whole containers, has a version too.
    let own = programs.iter().filter(|program| !matches!(program, Program::Floor(_))).map(Program::path);
    let installed: Vec<Installed> =
        own.chain(hooks.iter().map(PathBuf::as_path)).chain(runc.as_deref()).map(Installed::look_at).collect();
    println!("{:<48} {:>12}", "installed", "size");
    installed.iter().for_each(Installed::print);
    if let Some(path) = std::env::var_os("GPU_RUNC_BENCH_JSON") {
        let installed: Vec<_> = installed.iter().map(Installed::report).collect();
        let report = json!({
            "date": today(), "machine": machine(), "programs": installed,
            "pairs": PAIRS, "rows": rows, "containers": containers,
        });
        fs::write(path, format!("{report:#}\n")).expect("the report");
    }
    if let Some(path) = std::env::var_os("GPU_RUNC_BENCH_SVG") {
        rows.extend(containers::as_rows(&containers));
        fs::write(path, chart::of(&rows, &machine())).expect("the chart");
    }
}

fn print(program: &Program, cost: &Cost) {
    println!(
        "    {:<44} {:>9.3} ms {:>5.2}..{:<5.2} {:>10} {:>6} kB",
        program.name(),
        cost.added_ms,
        cost.low_ms,
        cost.high_ms,
        cost.syscalls.map_or("-".to_owned(), |count| count.to_string()),
        cost.peak_kb.map_or("-".to_owned(), |kb| kb.to_string()),
    );
}

fn row(case: &Case, program: &Program, cost: &Cost) -> serde_json::Value {
    json!({
        "case": case.name, "program": program.name(), "added_ms": cost.added_ms,
        "low_ms": cost.low_ms, "high_ms": cost.high_ms, "direct_ms": cost.direct_ms,
        "syscalls": cost.syscalls, "peak_kb": cost.peak_kb,
    })
}
