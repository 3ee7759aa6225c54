//! The reading half of the handle: past the queue, from what is published.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};

use super::Log;
use crate::disk::is_unreadable;
use crate::log::damage::Damage;
use crate::log::error::ReadError;
use crate::log::partition::Partition;
use crate::log::reader::{self, Read, Span, Trouble};
use crate::log::segment::{Access, Segment};
use crate::log::shared::Shared;
use crate::log::topic::Topic;
use crate::log::watermarks::Slot;
use crate::log::{Aborted, Ends, Tip};
use crate::record::batches;

/// Waits for partitions to move. One that moved since it was made wakes the next wait at once.
#[derive(Debug)]
pub struct Waiter {
    shared: Arc<Shared>,
    slots: Vec<Slot>,
    number: u64,
    woken: Arc<Notify>,
}

impl Waiter {
    /// Resolves when a partition moved, or its topic was deleted. Cancel safe.
    pub async fn moved(&self) {
        self.woken.notified().await;
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.shared.watermarks.wait_no_more(self.number, &self.slots);
    }
}

/// How much a scan over a partition reads at once.
const SCAN_BYTES: usize = 1 << 20;

impl Log {
    /// What may be read of partitions, all at the same moment.
    pub fn ends(&self, partitions: &[(Arc<Topic>, i32)]) -> Vec<Result<Ends, ReadError>> {
        self.shared().watermarks.snapshot(|ends| {
            let find = |(topic, number): &(Arc<Topic>, i32)| {
                let slot = find(topic, *number)?.slot;
                ends(slot).ok_or_else(|| unknown(topic, *number))
            };
            partitions.iter().map(find).collect()
        })
    }

    fn ends_of(&self, topic: &Topic, partition: i32) -> Result<Ends, ReadError> {
        let ends = self.shared().watermarks.get(find(topic, partition)?.slot);
        ends.ok_or_else(|| unknown(topic, partition))
    }

    /// Whole batches from the one that holds `offset`, as they are stored, below `limit`
    /// (the high watermark or last stable offset that [`Log::ends`] gave). About
    /// `max_bytes`; the first batch comes whole if `at_least_one`. Cancel safe.
    pub async fn read(
        &self,
        topic: &Arc<Topic>,
        partition: i32,
        offset: i64,
        limit: i64,
        max_bytes: usize,
        at_least_one: bool,
    ) -> Result<Bytes, ReadError> {
        let limits = (limit, max_bytes, at_least_one);
        match self.read_span(topic, partition, offset, limits).await? {
            Read::Batches(bytes) => Ok(bytes),
            Read::Longer(_) => Ok(Bytes::new()),
        }
    }

    /// As [`Log::read`], but never more than `max_bytes`: a first batch beyond it is only
    /// measured. Cancel safe.
    pub async fn read_within(
        &self,
        topic: &Arc<Topic>,
        partition: i32,
        offset: i64,
        limit: i64,
        max_bytes: usize,
    ) -> Result<Read, ReadError> {
        self.read_span(topic, partition, offset, (limit, max_bytes, false)).await
    }

    async fn read_span(
        &self,
        topic: &Arc<Topic>,
        partition: i32,
        offset: i64,
        (limit, max_bytes, at_least_one): (i64, usize, bool),
    ) -> Result<Read, ReadError> {
        loop {
            let found = find(topic, partition)?;
            let Ends { log_start, high_watermark, .. } = self.ends_of(topic, partition)?;
            if offset < log_start || offset > high_watermark {
                let (start, end) = (log_start, high_watermark);
                return Err(ReadError::OffsetOutOfRange { offset, start, end });
            }
            let (limit, end) = (limit.min(high_watermark), high_watermark);
            let span = Span { offset, limit, end, max_bytes, at_least_one };
            if offset >= span.limit {
                return Ok(Read::Batches(Bytes::new()));
            }
            let interval = self.shared().settings.index_interval_bytes;
            let buffers = &self.shared().buffers;
            let read = match reader::read(found, span, interval, Access::Cached, buffers) {
                Err(Trouble { error, .. }) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    let (there, buffers) = (Arc::clone(found), buffers.clone());
                    let turn = turn(&self.shared().cold_reads).await?;
                    let read = move || {
                        let _turn = turn;
                        reader::read(&there, span, interval, Access::Any, &buffers)
                    };
                    self.off_thread(read).await?
                }
                read => read,
            };
            if self.ends_of(topic, partition)?.log_start > offset {
                // Its segment may have been gone by the time that it was looked for: what was
                // read would begin behind records that nobody told are gone.
                continue;
            }
            if let Some(result) = self.judge(found, read) {
                return result;
            }
        }
    }

    /// The aborted transactions that overlap `from..to`.
    pub fn aborted(
        &self,
        topic: &Arc<Topic>,
        partition: i32,
        from: i64,
        to: i64,
    ) -> Result<Vec<Aborted>, ReadError> {
        Ok(find(topic, partition)?.aborted(from, to))
    }

    /// The first record below `limit` that is not older than `timestamp`: offset and
    /// timestamp. Cancel safe.
    pub async fn offset_for_time(
        &self,
        topic: &Arc<Topic>,
        partition: i32,
        timestamp: i64,
        limit: i64,
    ) -> Result<Option<(i64, i64)>, ReadError> {
        self.search(topic, partition, move |partition, Ends { log_start, .. }| {
            reader::offset_for_time(partition, log_start, timestamp, limit)
        })
        .await
    }

    /// Shows everything of a partition, in pieces of whole batches of about a MiB: to restore a
    /// coordinator. Fails where something is not as it was written.
    pub async fn read_each(
        &self,
        topic: &Arc<Topic>,
        partition: i32,
        mut visit: impl FnMut(Bytes),
    ) -> Result<(), ReadError> {
        let ends = self.ends_of(topic, partition)?;
        let mut offset = ends.log_start;
        while offset < ends.high_watermark {
            let limit = ends.high_watermark;
            let piece = self.read(topic, partition, offset, limit, SCAN_BYTES, true).await?;
            let mut next = None;
            for batch in batches(&piece) {
                match batch {
                    Ok(batch) => next = Some(batch.head().last_offset() + 1),
                    Err(error) => return Err(self.unread_at(topic, partition, offset, error)?),
                }
            }
            // Behind its last batch a partition has no offsets: they all are some batch's.
            let Some(next) = next else {
                return Err(self.unread_at(topic, partition, offset, "no batch is there")?);
            };
            offset = next;
            visit(piece);
        }
        Ok(())
    }

    /// Everything of a partition at once.
    #[cfg(test)]
    pub(crate) async fn read_all(
        &self,
        topic: &Arc<Topic>,
        partition: i32,
    ) -> Result<Vec<Bytes>, ReadError> {
        let mut pieces = Vec::new();
        self.read_each(topic, partition, |piece| pieces.push(piece)).await?;
        Ok(pieces)
    }

    /// How many bytes the segments of a partition hold.
    pub fn size(&self, topic: &Arc<Topic>, partition: i32) -> Result<u64, ReadError> {
        let segments = find(topic, partition)?.segments();
        Ok(segments.iter().map(|segment| segment.size()).sum())
    }

    /// Where partitions are appended to; `None` of those that are not there, or hold nothing.
    pub fn tips(&self, partitions: &[(Arc<Topic>, i32)]) -> Vec<Option<Tip>> {
        let tip = |(topic, number): &(Arc<Topic>, i32)| {
            let segment = find(topic, *number).ok()?.last_segment()?;
            Some(Tip { segment: segment.base(), bytes: segment.size() })
        };
        partitions.iter().map(tip).collect()
    }

    /// Who waits for records of these partitions. Those that are not there never move.
    pub fn waiter(&self, partitions: &[(Arc<Topic>, i32)]) -> Waiter {
        let slot =
            |(topic, number): &(Arc<Topic>, i32)| find(topic, *number).ok().map(|one| one.slot);
        let mut slots: Vec<Slot> = partitions.iter().filter_map(slot).collect();
        slots.sort_unstable();
        slots.dedup();
        let shared = Arc::clone(self.shared());
        let (number, woken) = shared.watermarks.wait_for(&slots);
        Waiter { shared, slots, number, woken }
    }

    /// The record below `limit` with the largest timestamp, the first of several: offset and
    /// timestamp. Of segments that lie below the limit their indexes tell. Cancel safe.
    pub async fn newest_time(
        &self,
        topic: &Arc<Topic>,
        partition: i32,
        limit: i64,
    ) -> Result<Option<(i64, i64)>, ReadError> {
        self.search(topic, partition, move |partition, Ends { log_start, high_watermark, .. }| {
            reader::newest_time(partition, log_start, limit.min(high_watermark), high_watermark)
        })
        .await
    }

    /// Looks for a record by its time, off the runtime's workers: a few at once, as each may inflate
    /// batches.
    async fn search(
        &self,
        topic: &Arc<Topic>,
        partition: i32,
        look: impl Fn(&Partition, Ends) -> Result<Option<(i64, i64)>, Trouble> + Copy + Send + 'static,
    ) -> Result<Option<(i64, i64)>, ReadError> {
        loop {
            let found = find(topic, partition)?;
            let ends = self.ends_of(topic, partition)?;
            let there = Arc::clone(found);
            let turn = turn(&self.shared().lookups).await?;
            let search = move || {
                let _turn = turn;
                look(&there, ends)
            };
            if let Some(result) = self.judge(found, self.off_thread(search).await?) {
                return result;
            }
        }
    }

    /// When the batch was written that holds `offset`, or the next one below `limit`: its largest
    /// timestamp. Only heads of batches are read. Cancel safe.
    pub async fn time_at(
        &self,
        topic: &Arc<Topic>,
        partition: i32,
        offset: i64,
        limit: i64,
    ) -> Result<Option<i64>, ReadError> {
        let found = self
            .search(topic, partition, move |partition, Ends { high_watermark, .. }| {
                reader::time_at(partition, offset, limit.min(high_watermark))
            })
            .await?;
        Ok(found.map(|(_, timestamp)| timestamp))
    }

    /// Rises with each publication.
    pub fn published(&self) -> watch::Receiver<u64> {
        self.shared().watermarks.watch()
    }

    /// What a reader is told; none if what it read left the partition meanwhile, and may be no file
    /// any more: then it looks again.
    pub(in crate::log) fn judge<T>(
        &self,
        partition: &Partition,
        read: Result<T, Trouble>,
    ) -> Option<Result<T, ReadError>> {
        let left = |segment: &Arc<Segment>| {
            let is_it = |one: &Arc<Segment>| Arc::ptr_eq(one, segment);
            segment.is_retired() && !partition.segments().iter().any(is_it)
        };
        match read {
            Ok(read) => Some(Ok(read)),
            Err(Trouble { segment, .. }) if left(&segment) => None,
            Err(trouble) => Some(Err(self.unread(partition, trouble))),
        }
    }

    /// What a reader is told that got no whole batch at an offset.
    fn unread_at(
        &self,
        topic: &Topic,
        partition: i32,
        offset: i64,
        why: impl fmt::Display,
    ) -> Result<ReadError, ReadError> {
        let found = find(topic, partition)?;
        let Some(segment) = found.segment_of(offset) else {
            return Err(unknown(topic, partition));
        };
        let text = format!("offset {offset}: {why}");
        let error = std::io::Error::new(std::io::ErrorKind::InvalidData, text);
        Ok(self.unread(found, Trouble { segment, error }))
    }

    /// What a reader is told. One that came upon damage takes the partition offline, unless what
    /// it read is not the partition's any more.
    fn unread(&self, partition: &Partition, trouble: Trouble) -> ReadError {
        let Trouble { segment, error } = trouble;
        if is_unreadable(&error) && !segment.is_retired() {
            self.shared().take_offline(partition, Damage::of(&segment, &error));
            if let Some(offline) = offline(partition) {
                return offline;
            }
        }
        ReadError::Io { place: segment.path(), source: error }
    }

    async fn off_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ReadError> {
        let done = self.tasks().spawn_blocking("read the log", work).await;
        done.map_err(|error| ReadError::Io {
            place: "the log".to_owned(),
            source: std::io::Error::other(error),
        })
    }
}

/// One of a few at once.
async fn turn(turns: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, ReadError> {
    let turn = Arc::clone(turns).acquire_owned().await;
    turn.map_err(|error| ReadError::Io {
        place: "the log".to_owned(),
        source: std::io::Error::other(error),
    })
}

/// A partition that is there, and may be read.
fn find(topic: &Topic, number: i32) -> Result<&Arc<Partition>, ReadError> {
    let found = topic.partition(number).ok_or_else(|| unknown(topic, number))?;
    offline(found).map_or(Ok(found), Err)
}

fn unknown(topic: &Topic, partition: i32) -> ReadError {
    ReadError::UnknownPartition { topic: topic.name().to_string(), partition }
}

fn offline(partition: &Partition) -> Option<ReadError> {
    let place = partition.offline()?.to_string();
    Some(ReadError::Offline { partition: partition.dir.clone(), place })
}
