//! Reading: from an offset to whole batches as they are stored, and from a time to an
//! offset.
//!
//! In: a partition, and the limit that a snapshot of its ends gave. Out: bytes of the
//! segment, cut at batch boundaries below the limit.
//!
//! What holds: bytes behind the limit are read but never looked at: the appender may be
//! writing them. What comes from the disk, or was there before this process, is handed out
//! only if its checksum is right.

use std::cmp::Ordering;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::buffers::{Buffer, Buffers};
use super::partition::Partition;
use super::segment::{Access, Segment, damaged, walk};
use crate::disk::File;
use crate::record::{BatchView, HEAD_LENGTH, Head, batches};

/// What to read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) offset: i64,
    pub(super) limit: i64,
    /// The high watermark: no stored batch has an offset behind it.
    pub(super) end: i64,
    pub(super) max_bytes: usize,
    pub(super) at_least_one: bool,
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// Whole batches; none at the limit.
    Batches(Bytes),
    /// The first batch has so many bytes, more than were asked for.
    Longer(usize),
}

/// Why nothing was read: where, and what.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) segment: Arc<Segment>,
    pub(super) error: io::Error,
}

impl Trouble {
    fn of(segment: &Arc<Segment>) -> impl FnOnce(io::Error) -> Self {
        move |error| Self { segment: Arc::clone(segment), error }
    }
}

/// Whole batches from the one that holds `span.offset`.
pub(super) fn read(
    partition: &Partition,
    span: Span,
    interval: u64,
    access: Access,
    buffers: &Buffers,
) -> Result<Read, Trouble> {
    let mut segment = partition.segment_of(span.offset);
    while let Some(current) = segment {
        let next = partition.segment_after(current.base());
        let bound = next.as_ref().map_or(span.end, |next| next.base());
        let found = read_segment(&current, span, bound, interval, access, buffers)
            .map_err(Trouble::of(&current))?;
        if let Some(found) = found {
            return Ok(found);
        }
        // Compaction may have taken the last batches of a segment.
        segment = next;
    }
    Ok(Read::Batches(Bytes::new()))
}

/// `None` if the segment, whose offsets are below `bound`, has no batch at the offset or
/// behind it.
fn read_segment(
    segment: &Segment,
    span: Span,
    bound: i64,
    interval: u64,
    access: Access,
    buffers: &Buffers,
) -> io::Result<Option<Read>> {
    let size = segment.size();
    if size == 0 {
        return Ok(None);
    }
    let file = segment.file_for(access)?;
    let mut position = segment.position(span.offset, access)?;
    // Between two entries of the index lie about so many bytes.
    let slack = usize::try_from(interval).unwrap_or(0) + HEAD_LENGTH;
    let mut wanted = span.max_bytes.saturating_add(slack);
    loop {
        let left = usize::try_from(size.saturating_sub(position)).unwrap_or(usize::MAX);
        let mut buffer = buffers.take(wanted.min(left));
        let is_cached = fill(&file, buffer.as_mut(), position, access)?;
        let bytes = buffer.as_ref();
        // What is being appended is whole, and may be ahead of the high watermark.
        let bound = if position < segment.found() { bound } else { i64::MAX };
        match cut(bytes, span, bound).map_err(|at| damaged(position + at as u64))? {
            Cut::Whole { from, to } => {
                let believed = is_cached && position >= segment.found();
                let to = if believed { to } else { whole(position, bytes, from..to)? };
                return Ok(Some(Read::Batches(lend(buffer, from..to))));
            }
            Cut::End => return Ok(Some(Read::Batches(Bytes::new()))),
            Cut::TooLong { size } => return Ok(Some(Read::Longer(size))),
            Cut::Longer { at, size: needed } => {
                position += at as u64;
                if position + needed as u64 > size {
                    return Err(damaged(position));
                }
                wanted = needed.max(wanted);
            }
            Cut::Behind { at } => {
                let begun = position;
                position += at as u64;
                match position.cmp(&size) {
                    Ordering::Equal => return Ok(None),
                    Ordering::Less if at > 0 => {}
                    Ordering::Less | Ordering::Greater => return Err(damaged(begun)),
                }
            }
        }
    }
}

/// The bytes of a buffer in `range`. Where most of the buffer would lie idle for as long as they
/// are held, they are copied.
fn lend(buffer: Buffer, range: Range<usize>) -> Bytes {
    let bytes = buffer.as_ref();
    if range.len() < bytes.len() / 4 * 3 {
        Bytes::copy_from_slice(&bytes[range])
    } else {
        buffer.freeze().slice(range)
    }
}

/// How far the batches in `range` are as they were written; the first one has to be.
fn whole(position: u64, bytes: &[u8], range: Range<usize>) -> io::Result<usize> {
    let Range { start, end } = range;
    let whole = batches(&bytes[start..end]).map_while(Result::ok);
    let at = start + whole.map(|batch| batch.as_bytes().len()).sum::<usize>();
    if at > start { Ok(at) } else { Err(damaged(position + at as u64)) }
}

/// What a buffer of batches holds of a span.
enum Cut {
    /// These bytes of it.
    Whole { from: usize, to: usize },
    /// A first batch that is longer than the buffer: read so many bytes at `at`.
    Longer { at: usize, size: usize },
    /// A first batch that is longer than what is asked for.
    TooLong { size: usize },
    /// Nothing, as what follows is not to be read.
    End,
    /// All of it lies before the offset; what follows is at `at`.
    Behind { at: usize },
}

/// Fails with the place where no batch of offsets in order and below `bound` begins.
fn cut(bytes: &[u8], span: Span, bound: i64) -> Result<Cut, usize> {
    let (mut before, mut at) = (0, 0);
    let mut from = None;
    let mut next = i64::MIN;
    while next < span.limit && bytes.len() - at >= HEAD_LENGTH {
        let head = Head::parse(&bytes[at..]);
        // No checksum covers offsets: of two batches that do not follow each other either
        // may have the wrong one.
        let good = if head.is_ok() { before } else { at };
        let follows = |head: &Head| head.base_offset >= next && head.last_offset() < bound;
        let Some(head) = head.ok().filter(follows) else {
            return match from {
                Some(from) if from < good => Ok(Cut::Whole { from, to: good }),
                _ => Err(good),
            };
        };
        if head.base_offset >= span.limit {
            return Ok(from.map_or(Cut::End, |from| Cut::Whole { from, to: at }));
        }
        let end = at + head.size();
        let wanted = head.last_offset() >= span.offset;
        match from {
            None if wanted => {
                let fits = head.size() <= span.max_bytes;
                if !fits && !span.at_least_one {
                    return Ok(Cut::TooLong { size: head.size() });
                }
                if end > bytes.len() {
                    return Ok(Cut::Longer { at, size: head.size() });
                }
                from = Some(at);
            }
            None if end > bytes.len() => return Ok(Cut::Behind { at: end }),
            Some(from) if end > bytes.len() || end - from > span.max_bytes => {
                return Ok(Cut::Whole { from, to: at });
            }
            None | Some(_) => {}
        }
        next = head.last_offset() + 1;
        before = at;
        at = end;
    }
    Ok(match from {
        Some(from) => Cut::Whole { from, to: at },
        None if next >= span.limit => Cut::End,
        None => Cut::Behind { at },
    })
}

/// Says whether the bytes were in memory.
fn fill(file: &File, bytes: &mut [u8], position: u64, access: Access) -> io::Result<bool> {
    let (read, is_cached) = match file.read_cached(bytes, position) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock && access == Access::Any => {
            (file.read_at(bytes, position)?, false)
        }
        read => (read?, true),
    };
    if read == bytes.len() { Ok(is_cached) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// The first record below `limit` that is not older than `timestamp`: offset and
/// timestamp.
pub(super) fn offset_for_time(
    partition: &Partition,
    start: i64,
    timestamp: i64,
    limit: i64,
) -> Result<Option<(i64, i64)>, Trouble> {
    for segment in partition.segments() {
        if segment.base() >= limit {
            break;
        }
        let found =
            first_not_older(&segment, start, timestamp, limit).map_err(Trouble::of(&segment))?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// The first record with the largest timestamp of those from `start` to `limit`. `end` is the
/// high watermark.
pub(super) fn newest_time(
    partition: &Partition,
    start: i64,
    limit: i64,
    end: i64,
) -> Result<Option<(i64, i64)>, Trouble> {
    let segments = partition.segments();
    let mut newest: Option<(i64, &Arc<Segment>)> = None;
    for (at, segment) in segments.iter().enumerate() {
        let next = segments.get(at + 1).map_or(end, |next| next.base());
        if segment.base() >= limit || next <= start || segment.size() == 0 {
            continue;
        }
        let largest = if segment.base() >= start && next <= limit {
            segment.largest_timestamp()
        } else {
            largest_within(segment, start, limit)
        };
        let largest = largest.map_err(Trouble::of(segment))?;
        if newest.is_none_or(|(newest, _)| largest > newest) {
            newest = Some((largest, segment));
        }
    }
    let Some((timestamp, segment)) = newest else { return Ok(None) };
    first_not_older(segment, start, timestamp, limit).map_err(Trouble::of(segment))
}

/// The first batch that reaches behind `offset` and begins below `limit`: its first offset and
/// largest timestamp.
pub(super) fn time_at(
    partition: &Partition,
    offset: i64,
    limit: i64,
) -> Result<Option<(i64, i64)>, Trouble> {
    let mut segment = partition.segment_of(offset);
    while let Some(current) = segment {
        let found = time_within(&current, offset, limit).map_err(Trouble::of(&current))?;
        if found.is_some() || current.base() >= limit {
            return Ok(found);
        }
        // Compaction may have taken the last batches of a segment.
        segment = partition.segment_after(current.base());
    }
    Ok(None)
}

fn time_within(segment: &Segment, offset: i64, limit: i64) -> io::Result<Option<(i64, i64)>> {
    if segment.size() == 0 {
        return Ok(None);
    }
    let from = segment.position(offset.max(segment.base()), Access::Any)?;
    let mut found = None;
    walk(&*segment.file()?, from, segment.size(), |_, head| {
        if head.base_offset < limit && head.last_offset() >= offset {
            found = Some((head.base_offset, head.max_timestamp));
        }
        head.base_offset < limit && found.is_none()
    })?;
    Ok(found)
}

/// The largest timestamp of the batches of a segment that reach into `start..limit`.
fn largest_within(segment: &Segment, start: i64, limit: i64) -> io::Result<i64> {
    let mut largest = -1;
    let from = segment.position(start.max(segment.base()), Access::Any)?;
    walk(&*segment.file()?, from, segment.size(), |_, head| {
        if head.base_offset < limit && head.last_offset() >= start {
            largest = largest.max(head.max_timestamp);
        }
        head.base_offset < limit
    })?;
    Ok(largest)
}

fn first_not_older(
    segment: &Arc<Segment>,
    start: i64,
    timestamp: i64,
    limit: i64,
) -> io::Result<Option<(i64, i64)>> {
    if segment.size() == 0 || segment.largest_timestamp()? < timestamp {
        return Ok(None);
    }
    let from = segment.offset_before(timestamp)?.max(start);
    let mut from = segment.position(from, Access::Any)?;
    let file = segment.file()?;
    loop {
        let mut found = None;
        walk(&file, from, segment.size(), |position, head| {
            if head.base_offset >= limit {
                return false;
            }
            if head.max_timestamp >= timestamp && head.last_offset() >= start && !head.is_control()
            {
                found = Some((position, *head));
                return false;
            }
            true
        })?;
        let Some((position, head)) = found else { return Ok(None) };
        if let Some(found) = record_not_older(&file, position, &head, start, timestamp)? {
            return Ok(Some(found));
        }
        from = position + head.size() as u64;
    }
}

/// The record within a batch; its first one where the records cannot be looked into.
fn record_not_older(
    file: &File,
    position: u64,
    head: &Head,
    start: i64,
    timestamp: i64,
) -> io::Result<Option<(i64, i64)>> {
    let mut bytes = vec![0; head.size()];
    file.read_exact_at(&mut bytes, position)?;
    let batch = BatchView::parse_stored(&bytes).map_err(|_| damaged(position))?;
    let unread = (head.base_offset.max(start), head.max_timestamp);
    Ok(batch.first_since(start, timestamp).unwrap_or(Some(unread)))
}
