//! What a partition remembers of its idempotent producers. Pure.
//!
//! Owns: the rules of Kafka's `ProducerAppendInfo`: a batch follows the last by its
//! sequence number, a repeated one of the last five is answered with its first offset, an
//! old epoch is refused; a producer that is not known may begin anywhere. Also which
//! transactions are open: below the first of them everything is stable.
//!
//! Any client may name any id, as in Kafka. So no more are remembered than a bound: beyond it those
//! go that were silent for longest, but for open transactions. What such a one sends next is
//! answered as Kafka answers one whose `producer.id.expiration.ms` is over: it may begin at any
//! sequence (`ProducerAppendInfo.java`, `checkSequence`).

use std::collections::{BTreeSet, HashMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::error::AppendError;
use super::{Aborted, Producer};
use crate::clock::Moment;
use crate::record::Head;

/// Kafka remembers as many: a client has at most five requests in flight.
const REMEMBERED: usize = 5;

/// The producers of one partition.
#[derive(Clone, Debug, Default)]
pub(super) struct Producers {
    known: HashMap<i64, Known>,
    /// First offset and producer of the open transactions.
    open: BTreeSet<(i64, i64)>,
    /// How often one was heard.
    heard: u64,
}

/// When a producer was heard last: what is less was silent for longer. Within a partition all differ
/// that were heard since the start.
pub(super) type Heard = (i64, u64);

/// One producer, as a checkpoint keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    epoch: i16,
    batches: VecDeque<Remembered>,
    last_timestamp: i64,
    open: Option<i64>,
    /// The sequence of its first batch here, which was refused for want of room: what it sent
    /// behind that must not get before it.
    #[serde(skip)]
    awaited: Option<i32>,
    /// Which time it was that one of the partition was heard.
    #[serde(skip)]
    heard: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Remembered {
    first_sequence: i32,
    last_sequence: i32,
    base_offset: i64,
    /// The largest of its records as they are stored; -1 where an older build remembered it.
    #[serde(default = "unknown")]
    timestamp: i64,
}

fn unknown() -> i64 {
    -1
}

/// The batch that another one repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Repeated {
    pub(super) base_offset: i64,
    /// Its largest timestamp, if that is known.
    pub(super) timestamp: Option<i64>,
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marker {
    Abort,
    Commit,
}

impl Producers {
    /// Whether the batch may be appended; `Some` is the batch that it repeats.
    pub(super) fn check(&self, head: &Head) -> Result<Option<Repeated>, AppendError> {
        let producer_id = head.producer_id;
        let Some(known) = self.known.get(&producer_id).filter(|_| producer_id >= 0) else {
            return Ok(None);
        };
        if head.producer_epoch < known.epoch {
            return Err(AppendError::InvalidProducerEpoch {
                producer_id,
                got: head.producer_epoch,
                current: known.epoch,
            });
        }
        if head.is_control() {
            return Ok(None);
        }
        let (first, last) = (head.base_sequence, last_sequence(head));
        let mut expected = 0;
        if head.producer_epoch == known.epoch {
            let repeats =
                |one: &&Remembered| (one.first_sequence, one.last_sequence) == (first, last);
            if let Some(repeated) = known.batches.iter().find(repeats) {
                let Remembered { base_offset, timestamp, .. } = *repeated;
                let timestamp = Some(timestamp).filter(|time| *time >= 0);
                return Ok(Some(Repeated { base_offset, timestamp }));
            }
            if let Some(newest) = known.batches.back() {
                expected = following(newest.last_sequence, 1);
            } else if let Some(awaited) = known.awaited {
                expected = awaited;
            }
        }
        if first == expected {
            Ok(None)
        } else {
            Err(AppendError::OutOfOrderSequence { producer_id, got: first, expected })
        }
    }

    /// Takes a batch as appended. Returns what was known of the producer before.
    pub(super) fn appended(&mut self, head: &Head, base: i64, now: i64) -> Option<Known> {
        let producer = head.producer_id;
        let before = self.known.get(&producer).cloned();
        let known = self.heard(head, now);
        known.awaited = None;
        known.batches.push_back(Remembered {
            first_sequence: head.base_sequence,
            last_sequence: last_sequence(head),
            base_offset: base,
            timestamp: head.max_timestamp,
        });
        if known.batches.len() > REMEMBERED {
            known.batches.pop_front();
        }
        if head.is_transactional() && known.open.is_none() {
            known.open = Some(base);
            self.open.insert((base, producer));
        }
        before
    }

    /// Takes the marker that ends a producer's transaction, and returns the transaction if
    /// it was aborted.
    pub(super) fn ended(
        &mut self,
        head: &Head,
        base: i64,
        marker: Marker,
        now: i64,
    ) -> (Option<Known>, Option<Aborted>) {
        let producer_id = head.producer_id;
        let before = self.known.get(&producer_id).cloned();
        let known = self.heard(head, now);
        let Some(first_offset) = known.open.take() else { return (before, None) };
        self.open.remove(&(first_offset, producer_id));
        let aborted = Aborted { producer_id, first_offset, last_offset: base };
        (before, (marker == Marker::Abort).then_some(aborted))
    }

    /// Puts back what was known of a producer before its batches were refused. One that was not
    /// known has to begin again at `first`, the sequence it began with.
    pub(super) fn restore(&mut self, producer: i64, before: Option<Known>, first: Option<i32>) {
        let refused = self.known.remove(&producer);
        if let Some(first) = refused.as_ref().and_then(|known| known.open) {
            self.open.remove(&(first, producer));
        }
        match (before, refused, first) {
            (Some(known), ..) => self.insert(producer, known),
            (None, Some(refused), Some(first)) => {
                let batches = VecDeque::new();
                let awaited = Some(first);
                self.insert(producer, Known { batches, open: None, awaited, ..refused });
            }
            (None, ..) => {}
        }
    }

    /// Puts in what a checkpoint kept.
    pub(super) fn insert(&mut self, producer: i64, known: Known) {
        if let Some(first) = known.open {
            self.open.insert((first, producer));
        }
        self.known.insert(producer, known);
    }

    /// Forgets producers without an open transaction that were silent for more than `keep`
    /// milliseconds. One that was heard when the clock was ahead counts from now on.
    pub(super) fn expire(&mut self, now: Moment, keep: i64) {
        self.known.retain(|_, known| {
            known.last_timestamp = known.last_timestamp.min(now.latest);
            known.open.is_some() || known.last_timestamp >= now.earliest.saturating_sub(keep)
        });
    }

    /// How many are remembered.
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// Those that may be forgotten, with when they were heard.
    pub(super) fn silent(&self) -> impl Iterator<Item = (Heard, i64)> {
        let silent = self.known.iter().filter(|(_, known)| known.open.is_none());
        silent.map(|(id, known)| ((known.last_timestamp, known.heard), *id))
    }

    /// Forgets one.
    pub(super) fn forget(&mut self, producer: i64) {
        self.known.remove(&producer);
    }

    /// Where there are more than `most`, forgets those that were silent for longest: some more than
    /// it must, so that this is seldom done.
    pub(super) fn bound(&mut self, most: usize) {
        if self.known.len() > most {
            for (_, id) in longest_silent(self.silent().collect(), self.known.len(), most) {
                self.forget(id);
            }
        }
    }

    /// What is known of the producer of a batch, which was just heard; a new epoch forgets the
    /// batches of the one before.
    fn heard(&mut self, head: &Head, now: i64) -> &mut Known {
        let known = self.known.entry(head.producer_id).or_insert_with(|| Known {
            epoch: head.producer_epoch,
            batches: VecDeque::new(),
            last_timestamp: now,
            open: None,
            awaited: None,
            heard: 0,
        });
        if known.epoch != head.producer_epoch {
            known.epoch = head.producer_epoch;
            known.batches.clear();
            known.awaited = None;
        }
        self.heard += 1;
        (known.last_timestamp, known.heard) = (now, self.heard);
        known
    }

    /// All of them, for a checkpoint.
    pub(super) fn known(&self) -> impl Iterator<Item = (i64, &Known)> {
        self.heard_of().map(|(id, known)| (*id, known))
    }

    /// Those of which something was appended.
    fn heard_of(&self) -> impl Iterator<Item = (&i64, &Known)> {
        self.known.iter().filter(|(_, known)| known.awaited.is_none())
    }

    /// The first offset of the oldest open transaction.
    pub(super) fn first_open(&self) -> Option<i64> {
        self.open.first().map(|(offset, _)| *offset)
    }

    /// All of them, for whoever asks.
    pub(super) fn describe(&self) -> Vec<Producer> {
        let describe = |(id, known): (&i64, &Known)| Producer {
            producer_id: *id,
            epoch: known.epoch,
            last_sequence: known.batches.back().map_or(-1, |batch| batch.last_sequence),
            last_timestamp: known.last_timestamp,
            open_transaction: known.open,
        };
        self.heard_of().map(describe).collect()
    }
}

/// Of `all` that may be forgotten those that were silent for longest: as many as `known` is more than
/// seven eighths of `most`.
pub(super) fn longest_silent<T: Ord>(mut all: Vec<T>, known: usize, most: usize) -> Vec<T> {
    let count = known.saturating_sub(most - most / 8).min(all.len());
    if count < all.len() {
        all.select_nth_unstable(count);
        all.truncate(count);
    }
    all
}

fn last_sequence(head: &Head) -> i32 {
    following(head.base_sequence, head.last_offset_delta)
}

/// Sequence numbers wrap from 2^31-1 to 0.
fn following(sequence: i32, by: i32) -> i32 {
    sequence.wrapping_add(by) & i32::MAX
}
