//! What the integration tests are built on: real servers, the real binary, a real Kafka client.
//!
//! In: the environment (`tests/README.md`; read in [`servers`] and [`asked`]). Out: servers of MySQL
//! and MariaDB ([`servers`]), a running `sluice` with a home of its own ([`program`]), what a Kafka
//! client reads ([`topics`], [`message`]), of sluice or of a real Kafka of one node or three ([`kafka`],
//! [`cluster`]); a network that fails on demand ([`proxy`], [`gate`]).
//! Always: nothing outlives the test process, whatever ends it ([`process`]); a server that was
//! not asked to be left out and cannot be had fails the test.

pub(crate) mod asked;
pub(crate) mod cluster;
mod containers;
pub(crate) mod gate;
pub(crate) mod kafka;
pub(crate) mod load;
pub(crate) mod message;
pub(crate) mod node;
pub(crate) mod process;
pub(crate) mod program;
pub(crate) mod proxy;
pub(crate) mod random;
pub(crate) mod replication;
pub(crate) mod servers;
pub(crate) mod topics;
pub(crate) mod wire;

pub(crate) use kafka::Kafka;
pub(crate) use program::Sluice;
pub(crate) use random::Random;
pub(crate) use servers::Server;
pub(crate) use topics::Record;

use std::io::Write;
use std::time::{Duration, Instant};

/// Says to the reader of the run something that the test runner's capturing must not swallow.
pub(crate) fn say(words: &str) {
    let test = std::thread::current().name().unwrap_or("test").to_owned();
    let _ = writeln!(std::io::stderr(), "{test}: {words}");
}

/// How long a test waits for what has to come: it does not matter where it comes, and where it does
/// not, the machine was not too slow for it.
pub(crate) const PATIENCE: Duration = Duration::from_mins(4);

/// Calls `probe` until it answers, and panics with `what` when it has not within `limit`.
pub(crate) fn wait_for<T>(what: &str, limit: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = probe() {
            return answer;
        }
        assert!(begun.elapsed() < limit, "waited {limit:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
