//! The binary: an allocator, and the command line.

use std::process::ExitCode;

/// Turns a hostile length in a Kafka request into an error where glibc would abort.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    sluice::cli::main(std::env::args_os(), std::env::vars_os())
}
