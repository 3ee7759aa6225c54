//! How far an instance may restart from: the last position whose append, and every
//! append before it, is durable.

use std::collections::VecDeque;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;

use crate::sink::{Error, Receipt};

/// The commits handed to the sink and not yet durable, oldest first.
///
/// `entries` and `receipts` are as long as each other.
pub(crate) struct Window<P> {
    entries: VecDeque<(P, usize)>,
    receipts: FuturesOrdered<Receipt>,
    bytes: usize,
}

impl<P> Default for Window<P> {
    fn default() -> Self {
        Self { entries: VecDeque::new(), receipts: FuturesOrdered::new(), bytes: 0 }
    }
}

impl<P> Window<P> {
    /// Remembers that everything up to `position` hangs on `receipt`, and that `bytes` of
    /// records wait with it.
    pub(crate) fn admit(&mut self, position: P, bytes: usize, receipt: Receipt) {
        self.entries.push_back((position, bytes));
        self.bytes += bytes;
        self.receipts.push_back(receipt);
    }

    /// How many commits are in flight.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many bytes of records are in flight.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing is in flight.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The next position that became durable, in order; pending while none is in flight.
    /// Cancel safe.
    pub(crate) async fn next_durable(&mut self) -> Result<P, Error> {
        match self.receipts.next().await {
            Some(Ok(())) => {
                let (position, bytes) = self.entries.pop_front().expect("an entry a receipt");
                self.bytes -= bytes;
                Ok(position)
            }
            Some(Err(error)) => Err(error),
            None => std::future::pending().await,
        }
    }
}
