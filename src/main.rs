//! The binary: an allocator, and the command line.

use std::process::ExitCode;

/// Turns a hostile length in a Kafka request into an error where glibc would abort.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // The allocator asks for huge pages: an idle process would take 20 MB more than it uses, a
    // busy one 40 MB. A system that has none has nothing to disable.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    sluice::cli::main(std::env::args_os(), std::env::vars_os())
}
