//! The runtime wrapper: started by an engine in place of runc; or, by another name, a hook.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    let argv: Vec<_> = std::env::args_os().collect();
    match argv.first() {
        Some(program) if gpu_runc::hook::is_called(program) => gpu_runc::hook::main(&argv),
        _ => gpu_runc::runtime::main(&argv),
    }
}
