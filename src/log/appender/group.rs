//! A commit group while it collects: which batches go where, and who waits for what.
//!
//! Owns: the chunks (the bytes that one partition gets, one behind the other in one
//! segment) and the answers. In: requests in the order of the queue. Out: what `flush`
//! makes durable.
//!
//! What holds: a request is in one group, whole; offsets are given in the order of the
//! queue. Buffers are used again from group to group.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::pieces::{KEPT_BUFFER, LARGE, Pieces, set_place};
use super::tail::Tail;
use crate::clock::Moment;
use crate::disk::Disk;
use crate::log::commit::Session;
use crate::log::error::{AppendError, WriterError};
use crate::log::index::Mark;
use crate::log::producer::Marker;
use crate::log::queue::{Each, Room};
use crate::log::segment::Segment;
use crate::log::settings::LogSettings;
use crate::log::staged::StagedFile;
use crate::log::topic::Topic;
use crate::log::watermarks::Slot;
use crate::log::{Appended, Produce};
use crate::record::{Batch, BatchView, HEAD_LENGTH, Head, Spares};

/// How many buffers are kept.
const KEPT_BUFFERS: usize = 64;

/// What one partition gets in one segment.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) slot: Slot,
    pub(super) segment: Arc<Segment>,
    pub(super) position: u64,
    pub(super) base: i64,
    pub(super) next: i64,
    /// The time of its last append.
    pub(super) time: i64,
    /// When its first batch came, by the steady clock.
    pub(super) begun: i64,
    pub(super) body: Body,
    pub(super) marks: Vec<Mark>,
}

#[derive(Debug)]
pub(super) enum Body {
    /// Bytes to write at the chunk's position.
    Bytes(Pieces),
    /// A staged file that becomes the segment.
    Staged(StagedFile),
}

impl Chunk {
    /// How many bytes the segment gets.
    pub(super) fn length(&self) -> u64 {
        match &self.body {
            Body::Bytes(bytes) => bytes.len() as u64,
            Body::Staged(file) => file.size,
        }
    }

    /// A batch of it, by its mark.
    pub(super) fn batch(&self, mark: usize) -> Option<Bytes> {
        let Body::Bytes(pieces) = &self.body else { return None };
        let Mark { position, size, .. } = self.marks.get(mark)?;
        pieces.part(position - self.position, *size).map(Bytes::copy_from_slice)
    }

    /// Whether it begins a file.
    pub(super) fn is_new(&self) -> bool {
        self.position == 0
    }
}

/// Who waits, and what for; with what was asked for, for another try.
#[derive(Debug)]
pub(super) enum Answer {
    Each(Each, oneshot::Sender<Each>, Vec<Produce>),
    All(Vec<Appended>, oneshot::Sender<Result<Vec<Appended>, AppendError>>, Vec<Produce>),
    Commit(oneshot::Sender<Result<(), WriterError>>, Committed),
}

/// Where the batches of a commit are.
#[derive(Debug)]
pub(super) struct Committed {
    pub(super) instance: Arc<str>,
    /// Each by its chunk, and its mark in that.
    pub(super) batches: Vec<(usize, usize)>,
    /// Whether others are in staged files.
    pub(super) is_staged: bool,
}

/// The newest position of an instance in the group.
#[derive(Debug)]
pub(super) struct NewPosition {
    pub(super) session: Session,
    pub(super) topic: Arc<Topic>,
    pub(super) position: Bytes,
}

/// A batch on its way in.
#[derive(Debug)]
pub(super) enum Content {
    /// As it came from the wire.
    Stored(Bytes, Head),
    /// Made here; it gets the time of append.
    Open(Batch),
}

impl Content {
    fn size(&self) -> usize {
        match self {
            Self::Stored(bytes, _) => bytes.len(),
            Self::Open(batch) => batch.len(),
        }
    }

    fn offsets(&self) -> i64 {
        let head = match self {
            Self::Stored(_, head) => head,
            Self::Open(batch) => batch.head(),
        };
        i64::from(head.last_offset_delta) + 1
    }
}

/// The group that collects.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) chunks: Vec<Chunk>,
    pub(super) touched: Vec<Slot>,
    pub(super) answers: Vec<Answer>,
    pub(super) positions: Vec<NewPosition>,
    /// Room in the queue, given back when the group is done.
    pub(super) rooms: Vec<Room>,
    pub(super) bytes: usize,
    buffers: Vec<Vec<u8>>,
}

impl Group {
    pub(super) fn is_empty(&self) -> bool {
        self.answers.is_empty() && self.chunks.is_empty()
    }

    /// Adds a batch to the end of a partition. The caller has checked that it may.
    pub(super) fn add(
        &mut self,
        tail: &mut Tail,
        content: Content,
        now: Moment,
        disk: &Arc<dyn Disk>,
        settings: &LogSettings,
    ) -> Appended {
        let time = time_of_append(now.wall, tail.last_time);
        let (size, offsets) = (content.size(), content.offsets());
        let at = self.chunk(tail, size as u64, offsets, now, disk, settings);
        let base = tail.end;
        let chunk = &mut self.chunks[at];
        let Body::Bytes(pieces) = &mut chunk.body else { unreachable!("only bytes are joined") };
        let append_time = tail.topic.config().log_append_time;
        let (head, batch) = match content {
            Content::Open(mut batch) => {
                batch.seal(time);
                let head = *batch.head();
                let batch = if size > LARGE {
                    pieces.push(batch, base, &mut self.buffers)
                } else {
                    let bytes = pieces.last(size, &mut self.buffers);
                    let from = bytes.len();
                    bytes.extend_from_slice(batch.as_bytes());
                    set_place(&mut bytes[from..], base);
                    &mut bytes[from..]
                };
                (head, batch)
            }
            Content::Stored(stored, mut head) => {
                let bytes = pieces.last(size, &mut self.buffers);
                let from = bytes.len();
                bytes.extend_from_slice(&stored);
                let batch = &mut bytes[from..];
                if append_time && !head.has_append_time() {
                    stamp(&mut head, batch, time);
                }
                set_place(batch, base);
                (head, batch)
            }
        };
        let marker = if head.is_control() { marker_of(batch) } else { None };
        chunk.next = base + offsets;
        chunk.time = time;
        chunk.marks.push(Mark {
            position: tail.position,
            size: size as u64,
            last_offset: base + offsets - 1,
            max_timestamp: head.max_timestamp,
        });
        tail.end = base + offsets;
        tail.position += size as u64;
        tail.last_time = time;
        self.bytes += size;
        remember(tail, &head, marker, base, now.latest);
        let log_append_time = append_time.then_some(head.max_timestamp);
        Appended { base_offset: base, log_append_time, log_start: tail.start }
    }

    /// The chunk that the next batch of a partition goes to.
    fn chunk(
        &mut self,
        tail: &mut Tail,
        size: u64,
        offsets: i64,
        now: Moment,
        disk: &Arc<dyn Disk>,
        settings: &LogSettings,
    ) -> usize {
        if tail.touch() {
            self.touched.push(tail.partition.slot);
        }
        let active = tail.active.as_ref().filter(|segment| {
            !is_full(segment, tail.position, size, tail.end + offsets, now, tail.topic.as_ref())
        });
        let (segment, joined) = if let Some(segment) = active {
            (Arc::clone(segment), tail.chunk)
        } else {
            let interval = settings.index_interval_bytes;
            let segment = Segment::new(disk, &tail.partition.dir, tail.end, 0, interval, false);
            (Arc::new(segment.unnamed()), None)
        };
        if let Some(at) = joined {
            return at;
        }
        if tail.active.as_ref().is_none_or(|active| active.base() != segment.base()) {
            tail.position = 0;
        }
        tail.active = Some(Arc::clone(&segment));
        tail.chunk = Some(self.chunks.len());
        self.chunks.push(Chunk {
            slot: tail.partition.slot,
            segment,
            position: tail.position,
            base: tail.end,
            next: tail.end,
            time: now.wall,
            begun: now.steady,
            body: Body::Bytes(Pieces::in_buffer(self.buffers.pop().unwrap_or_default())),
            marks: Vec::new(),
        });
        self.chunks.len() - 1
    }

    /// Where the batch is that was added last to a partition.
    pub(super) fn newest(&self, tail: &Tail) -> Option<(usize, usize)> {
        let chunk = tail.chunk?;
        Some((chunk, self.chunks.get(chunk)?.marks.len().checked_sub(1)?))
    }

    /// Makes a staged file the new end of a partition.
    pub(super) fn add_staged(
        &mut self,
        tail: &mut Tail,
        file: StagedFile,
        now: Moment,
        disk: &Arc<dyn Disk>,
        settings: &LogSettings,
    ) {
        if tail.touch() {
            self.touched.push(tail.partition.slot);
        }
        let base = tail.end;
        let interval = settings.index_interval_bytes;
        let segment = Segment::new(disk, &tail.partition.dir, base, 0, interval, false).unnamed();
        let segment = Arc::new(segment);
        let marks = file.marks(base);
        tail.end = base + file.offsets;
        tail.position = file.size;
        tail.last_time = time_of_append(file.time, tail.last_time);
        tail.active = Some(Arc::clone(&segment));
        // What follows in this group goes to a chunk of its own behind it.
        tail.chunk = None;
        self.chunks.push(Chunk {
            slot: tail.partition.slot,
            segment,
            position: 0,
            base,
            next: tail.end,
            time: file.time,
            begun: now.steady,
            body: Body::Staged(file),
            marks,
        });
    }

    /// Makes it ready for the next group; the answers have been taken. Buffers of batches go to
    /// `spares`.
    pub(super) fn clear(&mut self, spares: &Spares) {
        for chunk in self.chunks.drain(..) {
            let Body::Bytes(pieces) = chunk.body else { continue };
            for mut bytes in pieces.into_buffers() {
                if bytes.capacity() >= KEPT_BUFFER {
                    spares.give(bytes);
                } else if self.buffers.len() < KEPT_BUFFERS {
                    bytes.clear();
                    self.buffers.push(bytes);
                }
            }
        }
        self.touched.clear();
        self.positions.clear();
        self.rooms.clear();
        self.bytes = 0;
    }
}

/// Whether a batch has to go to a new segment.
fn is_full(
    segment: &Segment,
    position: u64,
    size: u64,
    next: i64,
    now: Moment,
    topic: &Topic,
) -> bool {
    let config = topic.config();
    let aged = segment.age(now).is_some_and(|age| age >= config.segment_age_ms());
    let numbered = next - segment.base() > i64::from(i32::MAX);
    position > 0 && (position + size > config.segment_bytes || aged || numbered)
}

/// How far the times of append of a partition stay ahead of a clock that was set back, in
/// milliseconds. One that was farther ahead was wrong, and is not followed.
const MOST_AHEAD: i64 = 3_600_000;

/// The time of an append at `now` behind one at `last`: it does not go back, but for a clock that
/// was far ahead.
pub(in crate::log) fn time_of_append(now: i64, last: i64) -> i64 {
    if last.saturating_sub(now) > MOST_AHEAD { now } else { now.max(last) }
}

/// Keeps what the partition has to know of the batch's producer.
fn remember(tail: &mut Tail, head: &Head, marker: Option<Marker>, base: i64, now: i64) {
    let (before, first) = match marker {
        Some(marker) => {
            let (before, aborted) = tail.producers.ended(head, base, marker, now);
            tail.aborted.extend(aborted);
            (before, None)
        }
        None if head.producer_id >= 0 && !head.is_control() => {
            (tail.producers.appended(head, base, now), Some(head.base_sequence))
        }
        None => return,
    };
    tail.save_producer(head.producer_id, before, first);
}

/// Gives the records of a batch the time of append, as Kafka does for topics with
/// `message.timestamp.type=LogAppendTime`: an attribute, the largest timestamp, a new CRC.
fn stamp(head: &mut Head, batch: &mut [u8], time: i64) {
    const LOG_APPEND_TIME: i16 = 1 << 3;
    const CRC: usize = 17;
    head.attributes |= LOG_APPEND_TIME;
    head.max_timestamp = time;
    batch[..HEAD_LENGTH].copy_from_slice(&head.to_bytes());
    head.crc = crc32c::crc32c(&batch[CRC + 4..]);
    batch[CRC..CRC + 4].copy_from_slice(&head.crc.to_be_bytes());
}

/// How the transaction of a control batch ended: its first record's key is a version and
/// a type, both i16 (`org.apache.kafka.common.record.ControlRecordType`).
pub(in crate::log) fn marker_of(batch: &[u8]) -> Option<Marker> {
    let record = BatchView::parse_stored(batch).ok()?.records().next()?.ok()?;
    match record.key?.get(2..4)? {
        [0, 0] => Some(Marker::Abort),
        [0, 1] => Some(Marker::Commit),
        _ => None,
    }
}
