//! What the caller of the tests asks for: longer forms, and seeds that repeat a run.
//!
//! In: environment variables; `tests/README.md` has a row for each, which `variables` holds. Out:
//! numbers. Always: what is set and is no number fails the test; a seed is said as the variable
//! that gives it back.

use std::str::FromStr;

use super::{Random, say};

/// The number in a variable, if it is set.
pub(crate) fn number<N: FromStr>(name: &str) -> Option<N> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: `{text}`")))
}

/// The number in a variable, or that of the ordinary run.
pub(crate) fn number_or<N: FromStr>(name: &str, ordinary: N) -> N {
    number(name).unwrap_or(ordinary)
}

/// Whether a variable is set, to whatever.
pub(crate) fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some()
}

/// The seed in a variable, or any; it is said.
pub(crate) fn seed(name: &str) -> u64 {
    let seed = number(name).unwrap_or_else(Random::any_seed);
    say(&format!("{name}={seed}"));
    seed
}
