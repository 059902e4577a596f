//! The person's tool: shows, checks and explains what gpu-runc does.

use std::process::ExitCode;

fn main() -> ExitCode {
    gpu_runc::cli::main(std::env::args_os().collect())
}
