//! How long a call waits for the cluster: until its limit, and briefly once all is to
//! stop, or another process runs the instance.
//!
//! In: a call that blocks for a moment at most, again and again. Out: its answer, or an error
//! that says what was waited for. Always: what takes long is said in the log, once; and where the
//! instance's state is shown, for as long as it takes ([`Waits`]).

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::sink::{Error, Turn, Waits};

/// How long one call may block.
pub(super) const SLICE: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_millis(5);
/// What takes longer is said.
const LONG: Duration = Duration::from_secs(5);
/// How often it is said anew: what keeps the cluster from it may be another then.
const SAY_EVERY: Duration = Duration::from_secs(2);
/// How long the cluster may take for what is in hand when all is to stop.
const GRACE: Duration = Duration::from_secs(8);
/// The same when another process runs the instance from here on.
const GRACE_OVER: Duration = Duration::from_millis(500);

/// See the head of this file.
#[derive(Clone, Debug)]
pub(super) struct Patience {
    stop: CancellationToken,
    turn: Turn,
    waits: Waits,
}

/// Says no more that something is waited for, if it was said.
struct Said<'a>(&'a Waits, Option<Instant>);

impl Drop for Said<'_> {
    fn drop(&mut self) {
        if self.1.is_some() {
            self.0.say(None);
        }
    }
}

impl Patience {
    /// One that waits until all is to stop, and tells `waits` for what.
    pub(super) fn new(stop: CancellationToken, waits: Waits) -> Self {
        Self { stop, turn: Turn::default(), waits }
    }

    /// The same for as long as this process is to run the instance.
    pub(super) fn within(&self, turn: Turn) -> Self {
        Self { turn, ..self.clone() }
    }

    /// Calls `ask`, which blocks for a [`SLICE`] at most, until it gives something.
    pub(super) fn wait<T>(
        &self,
        limit: Duration,
        what: impl Fn() -> String,
        mut ask: impl FnMut() -> Result<Option<T>, Error>,
    ) -> Result<T, Error> {
        let begun = Instant::now();
        let (mut stopped, mut over) = (None, None);
        let mut said = Said(&self.waits, None);
        loop {
            if let Some(answer) = ask()? {
                return Ok(answer);
            }
            // What says at once that there is no answer must not be asked in a hot loop.
            std::thread::sleep(PAUSE);
            let now = Instant::now();
            if now - begun > limit {
                return Err(Error::Failed(format!(
                    "the Kafka cluster has not answered within {} s: {}",
                    limit.as_secs(),
                    what()
                )));
            }
            if self.stop.is_cancelled() && now - *stopped.get_or_insert(now) > GRACE {
                return Err(Error::Failed(format!("stopped while waiting: {}", what())));
            }
            // What is in hand may be through in a moment; another process goes on behind it.
            if self.turn.over.is_cancelled() && now - *over.get_or_insert(now) > GRACE_OVER {
                return Err(Error::Failed(format!(
                    "another process goes on instead of: {}",
                    what()
                )));
            }
            if now - begun > LONG && said.1.is_none_or(|last| now - last > SAY_EVERY) {
                let sentence = format!("waiting for the Kafka cluster: {}", what());
                if said.1.is_none() {
                    tracing::warn!("{sentence}");
                }
                self.waits.say(Some(sentence));
                said.1 = Some(Instant::now());
            }
        }
    }
}
