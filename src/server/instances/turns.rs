//! Who comes after whom.
//!
//! In: each that asks takes a [`Turn`]. Out: it comes when those that were taken before are over.
//! Always: what is dropped, done or not, is over.

use std::sync::Arc;

use tokio::sync::oneshot;

/// The turns of one instance.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Ends when the newest is over.
    last: Option<oneshot::Receiver<()>>,
    /// Each turn that is not over has a clone.
    count: Arc<()>,
}

/// A place in the row.
#[derive(Debug)]
pub(super) struct Turn {
    before: Option<oneshot::Receiver<()>>,
    over: Over,
}

/// Lets the next one come when it is dropped.
#[derive(Debug)]
pub(super) struct Over {
    _next: oneshot::Sender<()>,
    _counted: Arc<()>,
}

impl Turns {
    /// The last place in the row.
    pub(super) fn take(&mut self) -> Turn {
        let (next, last) = oneshot::channel();
        let over = Over { _next: next, _counted: Arc::clone(&self.count) };
        Turn { before: self.last.replace(last), over }
    }

    /// How many are not over.
    pub(super) fn waiting(&self) -> usize {
        Arc::strong_count(&self.count) - 1
    }
}

impl Turn {
    /// Waits until it has come.
    pub(super) async fn come(self) -> Over {
        if let Some(before) = self.before {
            // Nothing is ever sent: it is dropped.
            let _ = before.await;
        }
        self.over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn turns_come_one_by_one_as_they_were_taken() {
        let mut turns = Turns::default();
        let (first, second, third) = (turns.take(), turns.take(), turns.take());
        assert_eq!(turns.waiting(), 3);
        let first = first.come().await;
        let mut coming = Box::pin(third.come());
        assert!(futures_util::poll!(&mut coming).is_pending());
        drop(second);
        assert!(futures_util::poll!(&mut coming).is_ready());
        drop((first, coming));
        assert_eq!(turns.waiting(), 0);
        turns.take().come().await;
    }
}
