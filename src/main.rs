//! The binary: an allocator, and the command line.

/// Turns a hostile length in a Kafka request into an error where glibc would abort.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {}
