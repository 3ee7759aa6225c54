//! For how long the source cannot be reached, from one session to the next.

use std::time::Duration;

use tokio::time::Instant;

/// See the head of this file.
#[derive(Debug, Default)]
pub(super) struct Reach {
    since: Option<Instant>,
}

impl Reach {
    /// A session has ended that began then. `silent`: because the source was not reached any more;
    /// `heard`: though it had been.
    pub(super) fn ended(&mut self, begun: Instant, heard: bool, silent: bool) {
        self.since = silent.then(|| match self.since {
            Some(since) if !heard => since,
            None if !heard => begun,
            Some(_) | None => Instant::now(),
        });
    }

    /// What is left of `limit`; none while the source is reached.
    pub(super) fn left(&self, limit: Duration) -> Option<Duration> {
        self.since.map(|since| limit.saturating_sub(since.elapsed()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn time_counts_from_the_first_session_that_did_not_hear_the_source() {
        let (limit, second) = (Duration::from_secs(30), Duration::from_secs(1));
        let mut reach = Reach::default();
        assert_eq!(reach.left(limit), None);
        // A session that was heard for a minute, and lost.
        let begun = Instant::now();
        tokio::time::advance(second * 60).await;
        reach.ended(begun, true, true);
        assert_eq!(reach.left(limit), Some(limit));
        // Two that never came to it.
        for left in [20, 10] {
            let begun = Instant::now();
            tokio::time::advance(second * 10).await;
            reach.ended(begun, false, true);
            assert_eq!(reach.left(limit), Some(second * left));
        }
        tokio::time::advance(second * 20).await;
        assert_eq!(reach.left(limit), Some(Duration::ZERO));
        // Another error shows that it was reached.
        reach.ended(Instant::now(), false, false);
        assert_eq!(reach.left(limit), None);
    }
}
