//! A batch as a producer sent it, looked into as Kafka does before it is appended
//! (`LogValidator.java`), and written anew where its topic asks for it.
//!
//! In: a batch whose head and checksum are right, and the rules of its topic. Out: that it is
//! stored as it came, or the bytes to store in its place; or what is wrong with its records.
//!
//! Stricter than Kafka 4.3 in two things. Offsets are 0, 1, 2 and so on in each batch: Kafka
//! stores others where it need not write the batch anew. The lengths of compressed records are
//! read too: Kafka skips them, and hands its clients what they cannot read.
#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use super::head::{Compression, Head};
use super::rewrite::{Levels, pack, sealed};
use super::view::{RecordView, Records};
use super::{BatchView, Error, HEAD_LENGTH, varint};

/// What a topic asks of what is appended to it.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Each record needs a key: `cleanup.policy` names `compact`.
    pub keys: bool,
    /// The time, in milliseconds since 1970.
    pub now: i64,
    /// Records get that time: `message.timestamp.type` is `LogAppendTime`.
    pub append_time: bool,
    /// How far a record's own time may lie behind, in milliseconds.
    pub before_max_ms: i64,
    /// How far it may lie ahead.
    pub after_max_ms: i64,
    /// `compression.type`; `None` leaves it to the producer.
    pub compression: Option<Compression>,
    /// How hard to compress.
    pub levels: Levels,
}

/// What is to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrived {
    /// The batch as it came.
    AsItCame,
    /// These bytes.
    Anew(Vec<u8>),
}

/// Why a batch may not be stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It cannot be read.
    #[error(transparent)]
    Malformed(#[from] Error),
    /// Records without the key that their topic needs, by their places in the batch.
    #[error("records of a compacted topic need a key")]
    NoKey(Vec<i32>),
    /// Records whose time lies too far from now, by their places in the batch.
    #[error(
        "the time of records is not within message.timestamp.before.max.ms and \
         message.timestamp.after.max.ms of now"
    )]
    Time(Vec<i32>),
}

impl BatchView<'_> {
    /// Judges the records of a batch that came from a producer. No more than `most` bytes of
    /// them are inflated: [`Error::Inflated`] where there are more.
    pub fn arrive(&self, rules: &Rules, most: usize) -> Result<Arrived, Unfit> {
        let plain = self.uncompressed_within(most)?;
        let view = BatchView::trusted(Head::parse(&plain)?, &plain);
        let seen = look(view.records(), self.head(), rules)?;
        let target = rules.compression.unwrap_or(self.head().compression());
        if target != self.head().compression() {
            return Ok(Arrived::Anew(anew(&view, &seen, target, rules)?));
        }
        let mut head = *self.head();
        let max = if rules.append_time { rules.now } else { seen.latest };
        if head.has_append_time() == rules.append_time && head.max_timestamp == max {
            return Ok(Arrived::AsItCame);
        }
        head.set_times(max, rules.append_time);
        Ok(Arrived::Anew(sealed(head, self.as_bytes().get(HEAD_LENGTH..).unwrap_or_default())))
    }
}

/// What the records of a batch say together.
struct Seen {
    first: i64,
    latest: i64,
}

fn look(mut records: Records<'_>, head: &Head, rules: &Rules) -> Result<Seen, Unfit> {
    let mut seen = Seen { first: 0, latest: -1 };
    let (mut keyless, mut untimely) = (Vec::new(), Vec::new());
    let mut place = 0;
    for record in records.by_ref() {
        let record = record?;
        if record.offset != head.base_offset.wrapping_add(i64::from(place)) {
            return Err(malformed(place, "its offset is not that of its place"));
        }
        if rules.keys && record.key.is_none() {
            keyless.push(place);
        }
        if !is_timely(record.timestamp, head, rules) {
            untimely.push(place);
        }
        if place == 0 {
            seen.first = record.timestamp;
        }
        seen.latest = seen.latest.max(record.timestamp);
        place += 1;
    }
    if !records.is_at_end() {
        return Err(malformed(place, "bytes follow the last record"));
    }
    match (keyless.is_empty(), untimely.is_empty()) {
        (true, true) => Ok(seen),
        (_, false) => Err(Unfit::Time(untimely)),
        (false, true) => Err(Unfit::NoKey(keyless)),
    }
}

fn malformed(index: i32, reason: &'static str) -> Unfit {
    Unfit::Malformed(Error::Record { index, reason })
}

/// Whether a record may have this time. Where the broker gives the times, a producer may not say
/// that it has.
fn is_timely(time: i64, head: &Head, rules: &Rules) -> bool {
    const NO_TIME: i64 = -1;
    if rules.append_time {
        return !head.has_append_time();
    }
    let ahead = i128::from(time) - i128::from(rules.now);
    time == NO_TIME
        || (ahead <= i128::from(rules.after_max_ms) && -ahead <= i128::from(rules.before_max_ms))
}

/// The same records in a batch of another compression. Their times are counted from the first's.
fn anew(
    plain: &BatchView<'_>,
    seen: &Seen,
    target: Compression,
    rules: &Rules,
) -> Result<Vec<u8>, Unfit> {
    let mut records = Vec::with_capacity(plain.as_bytes().len());
    for (place, record) in (0_i32..).zip(plain.records()) {
        let written = put(&mut records, &record?, seen.first, place);
        written.ok_or_else(|| malformed(place, "its time is too far from that of the first"))?;
    }
    let mut head = plain.head().with_compression(target);
    head.base_timestamp = seen.first;
    let max = if rules.append_time { rules.now } else { seen.latest };
    head.set_times(max, rules.append_time);
    Ok(sealed(head, &pack(target, records, rules.levels)?))
}

/// Appends a record with shortest numbers and without attributes.
fn put(out: &mut Vec<u8>, record: &RecordView<'_>, first: i64, place: i32) -> Option<()> {
    const NO_TIME: i64 = -1;
    if record.timestamp < NO_TIME {
        return None;
    }
    let delta = record.timestamp.checked_sub(first)?;
    let mut rest = record.raw();
    varint::take(&mut rest)?;
    let (_attributes, mut rest) = rest.split_first()?;
    varint::take(&mut rest)?;
    varint::take(&mut rest)?;
    let widths = 1 + varint::width(delta) + varint::width(i64::from(place));
    varint::put(out, varint::length(widths + rest.len()));
    out.push(0);
    varint::put(out, delta);
    varint::put(out, i64::from(place));
    out.extend_from_slice(rest);
    Some(())
}
