//! The runtime wrapper: started by an engine in place of runc.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    let argv: Vec<_> = std::env::args_os().collect();
    gpu_runc::runtime::main(&argv)
}
