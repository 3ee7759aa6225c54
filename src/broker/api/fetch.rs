//! Fetch (key 1): records from an offset on, as they are stored.
//!
//! Behaviour: whole batches, from the one that *holds* the offset (the client drops what it
//! did not ask for), in the order of the request, until `max_bytes` are gathered; the first
//! batch goes out even if it is larger (KIP-74), once there is room for it among all answers
//! (`answers`). All partitions of one answer are cut at ends that were read at one moment: so a
//! source transaction seen in one answer is whole in every later one. With less than `min_bytes` at hand it waits for publications, until
//! `max_wait_ms` or the stop of the server, and reads again only when the segments have grown
//! by enough. An error of any partition is told at once.
//! `read_committed` is cut at the last stable offset and lists aborted transactions. There
//! are no fetch sessions: the answer's session id is 0, and clients send full fetches.
//!
//! Versions: 4 isolation level; 5 log start; 7 sessions; 9 leader epochs; 11 rack; 12
//! flexible; 13 topic ids instead of names; 15 the replica id moved; 16 as 15 here.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::FetchRequest;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::fetch_answer::{self, Part, Section};
use crate::broker::answers::Held;
use crate::broker::call::Call;
use crate::broker::frame::Pieces;
use crate::broker::{Broker, access};
use crate::log::{Ends, Read, ReadError, Tip, Topic};

/// The first version that names topics by their ids.
const IDS_SINCE: i16 = 13;
/// The value of `isolation_level` for `read_committed`.
const READ_COMMITTED: i8 = 1;

/// A client waits no longer, whatever it asks: it gets an empty answer, and asks again.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// What a request asks of one partition, found or refused.
type Wanted = Result<(Arc<Topic>, FetchPartition), (i32, ResponseError)>;

pub(crate) async fn answer(broker: &Broker, call: &Call, request: FetchRequest, out: &mut Pieces) {
    if request.session_id != 0 {
        let error = ResponseError::FetchSessionIdNotFound;
        return fetch_answer::write(call.version, error.code(), Vec::new(), out);
    }
    let wanted: Vec<Wanted> = request
        .topics
        .iter()
        .flat_map(|topic| {
            topic.partitions.iter().map(|partition| want(broker, call, topic, partition))
        })
        .collect();
    let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
    let wait = if call.may_wait { wait.min(LONGEST_WAIT) } else { Duration::ZERO };
    let deadline = Instant::now() + wait;
    let enough = usize::try_from(request.min_bytes).unwrap_or(0);
    let places: Vec<_> =
        wanted.iter().filter_map(|wanted| wanted.as_ref().ok()).map(place).collect();
    let waiter = broker.log.waiter(&places);
    let mut seen: Option<Seen> = None;
    loop {
        // In this order: what is behind the tips may be counted twice, but is never missed.
        let tips = broker.log.tips(&places);
        let ends = ends(broker, &wanted);
        let late = Instant::now() >= deadline || call.stop.is_cancelled();
        if late || seen.as_ref().is_none_or(|seen| seen.may_be_enough(&ends, &tips, enough)) {
            let (parts, held, starved) = gather(broker, call, &request, &wanted, &ends).await;
            let bytes: usize = parts.iter().map(|part| part.records.len()).sum();
            let failed = parts.iter().any(|part| part.error.is_some());
            let cut = bytes > 0 && ends_with_a_segment(&wanted, &tips);
            if late || bytes >= enough || failed || cut || starved {
                let sections = sections(call, &request, parts);
                out.hold(held);
                return fetch_answer::write(call.version, 0, sections, out);
            }
            seen = Some(Seen { ends, tips, bytes });
        }
        tokio::select! {
            biased;
            () = call.stop.cancelled() => {}
            () = tokio::time::sleep_until(deadline) => {}
            () = waiter.moved() => {}
        }
    }
}

/// Whether a partition is read from a segment behind which there is another: one read does not
/// go beyond it, however much there is, so that waiting brings nothing (as in Kafka,
/// `DelayedFetch.tryComplete`).
fn ends_with_a_segment(wanted: &[Wanted], tips: &[Option<Tip>]) -> bool {
    let found = wanted.iter().filter_map(|wanted| wanted.as_ref().ok());
    found
        .zip(tips)
        .any(|((_, partition), tip)| tip.is_some_and(|tip| partition.fetch_offset < tip.segment))
}

/// What a wait has seen, and how many bytes it read of it.
struct Seen {
    ends: Vec<Result<Ends, ResponseError>>,
    tips: Vec<Option<Tip>>,
    bytes: usize,
}

impl Seen {
    /// Whether there may be enough to answer, by how much the segments have grown: then it is
    /// read. What was deleted, or refused, is told at once.
    fn may_be_enough(
        &self,
        ends: &[Result<Ends, ResponseError>],
        tips: &[Option<Tip>],
        enough: usize,
    ) -> bool {
        if self.ends == ends {
            return false;
        }
        let start = |ends: &Result<Ends, ResponseError>| ends.as_ref().ok().map(|e| e.log_start);
        if !self.ends.iter().map(start).eq(ends.iter().map(start)) {
            return true;
        }
        let mut bytes = self.bytes as u64;
        for (before, now) in self.tips.iter().zip(tips) {
            match (before, now) {
                (Some(before), Some(now)) if before.segment == now.segment => {
                    bytes += now.bytes.saturating_sub(before.bytes);
                }
                (None, None) => {}
                // A new segment: what the one before it got is not known here.
                (Some(_), Some(_) | None) | (None, Some(_)) => return true,
            }
        }
        bytes >= enough as u64
    }
}

fn want(broker: &Broker, call: &Call, topic: &FetchTopic, partition: &FetchPartition) -> Wanted {
    let refused = |error| (partition.partition, error);
    let found = if call.version >= IDS_SINCE {
        broker.log.topic_by_id(topic.topic_id).ok_or(ResponseError::UnknownTopicId)
    } else {
        broker.log.topic(&topic.topic).ok_or(ResponseError::UnknownTopicOrPartition)
    };
    let found = found.map_err(refused)?;
    access::has_partition(&found, partition.partition).map_err(refused)?;
    access::check_epoch(partition.current_leader_epoch).map_err(refused)?;
    Ok((found, partition.clone()))
}

fn place((topic, partition): &(Arc<Topic>, FetchPartition)) -> (Arc<Topic>, i32) {
    (Arc::clone(topic), partition.partition)
}

/// The ends of all partitions at one moment; what cannot be had as its error.
fn ends(broker: &Broker, wanted: &[Wanted]) -> Vec<Result<Ends, ResponseError>> {
    let places: Vec<_> =
        wanted.iter().filter_map(|wanted| wanted.as_ref().ok()).map(place).collect();
    let ends = broker.log.ends(&places).into_iter();
    ends.map(|ends| ends.map_err(|error| access::of_read(&error))).collect()
}

/// What an answer has gathered, and the room it holds for that.
struct Gathered<'a> {
    broker: &'a Broker,
    stop: &'a CancellationToken,
    committed: bool,
    room: usize,
    held: Option<Held>,
    /// No room came in time for what there is to send.
    starved: bool,
    parts: Vec<Part>,
}

/// Reads what the ends allow, in the order asked for, and as much as there is room for among
/// all answers. The last says that there is something to send, and no room came for it in time.
async fn gather(
    broker: &Broker,
    call: &Call,
    request: &FetchRequest,
    wanted: &[Wanted],
    ends: &[Result<Ends, ResponseError>],
) -> (Vec<Part>, Option<Held>, bool) {
    let asked = usize::try_from(request.max_bytes).unwrap_or(0);
    let wanted_bytes = wanted.iter().filter_map(|wanted| wanted.as_ref().ok());
    let wanted_bytes =
        wanted_bytes.map(|(_, one)| usize::try_from(one.partition_max_bytes).unwrap_or(0));
    let most = asked.min(broker.settings.max_fetch_bytes);
    let most = wanted_bytes.fold(0_usize, usize::saturating_add).min(most);
    let (room, held) = broker.answers.take(most);
    let committed = request.isolation_level == READ_COMMITTED;
    let parts = Vec::with_capacity(wanted.len());
    let (stop, starved) = (&call.stop, false);
    let mut gathered = Gathered { broker, stop, committed, room, held, starved, parts };
    let mut ends = ends.iter();
    for wanted in wanted {
        let part = match wanted {
            Err((partition, error)) => Part::refused(*partition, *error),
            Ok((topic, partition)) => match ends.next() {
                Some(Ok(ends)) => gathered.read(topic, partition, *ends).await,
                Some(Err(error)) => Part::refused(partition.partition, *error),
                None => {
                    let error = ResponseError::UnknownTopicOrPartition;
                    Part::refused(partition.partition, error)
                }
            },
        };
        gathered.parts.push(part);
    }
    let bytes = gathered.bytes();
    let Gathered { parts, mut held, starved, .. } = gathered;
    if let Some(held) = &mut held {
        held.shrink(bytes);
    }
    (parts, held, starved)
}

impl Gathered<'_> {
    fn bytes(&self) -> usize {
        self.parts.iter().map(|part| part.records.len()).sum()
    }

    async fn read(&mut self, topic: &Arc<Topic>, partition: &FetchPartition, ends: Ends) -> Part {
        let mut part = Part::new(partition.partition, ends);
        let offset = partition.fetch_offset;
        if !(ends.log_start..=ends.high_watermark).contains(&offset) {
            part.error = Some(ResponseError::OffsetOutOfRange);
            return part;
        }
        let limit = if self.committed { ends.last_stable } else { ends.high_watermark };
        if offset < limit {
            match self.records(topic, partition, limit).await {
                Ok(records) => part.records = records,
                Err(error) => part.error = Some(access::of_read(&error)),
            }
            self.room = self.room.saturating_sub(part.records.len());
        }
        if self.committed {
            match aborted(self.broker, topic, partition, limit, &part.records) {
                Ok(aborted) => part.aborted = Some(aborted),
                Err(error) => part.error = Some(access::of_read(&error)),
            }
        }
        part
    }

    /// What there is room for. The first batch of the answer gets its room, however large it
    /// is; no records if it does not come by it in time, so that the client asks again.
    async fn records(
        &mut self,
        topic: &Arc<Topic>,
        partition: &FetchPartition,
        limit: i64,
    ) -> Result<Bytes, ReadError> {
        let (log, number, offset) = (&self.broker.log, partition.partition, partition.fetch_offset);
        let first = self.bytes() == 0;
        let most = self.room.min(usize::try_from(partition.partition_max_bytes).unwrap_or(0));
        if !first && most == 0 {
            return Ok(Bytes::new());
        }
        let size = match log.read_within(topic, number, offset, limit, most).await? {
            Read::Batches(records) => return Ok(records),
            Read::Longer(_) if !first => return Ok(Bytes::new()),
            Read::Longer(size) => size,
        };
        // It is all that this answer will carry. What it holds is given back before it waits:
        // nobody waits for room while he has some.
        if size > self.room {
            self.held = None;
            self.room = 0;
            self.held = tokio::select! {
                biased;
                () = self.stop.cancelled() => None,
                held = self.broker.answers.wait(size) => held,
            };
            if self.held.is_none() {
                self.starved = true;
                return Ok(Bytes::new());
            }
        }
        log.read(topic, number, offset, limit, size, true).await
    }
}

/// Producer and first offset of the transactions to skip, by first offset: a client takes
/// them off the front of the list as it reads.
fn aborted(
    broker: &Broker,
    topic: &Arc<Topic>,
    partition: &FetchPartition,
    limit: i64,
    records: &Bytes,
) -> Result<Vec<(i64, i64)>, ReadError> {
    if records.is_empty() {
        return Ok(Vec::new());
    }
    let found = broker.log.aborted(topic, partition.partition, partition.fetch_offset, limit)?;
    let mut found: Vec<_> = found.iter().map(|a| (a.producer_id, a.first_offset)).collect();
    found.sort_unstable_by_key(|(producer, first)| (*first, *producer));
    Ok(found)
}

/// The parts under their topics, as they were asked for.
fn sections(call: &Call, request: &FetchRequest, parts: Vec<Part>) -> Vec<Section> {
    let mut parts = parts.into_iter();
    let topics = request.topics.iter().map(|topic| Section {
        topic: if call.version >= IDS_SINCE {
            fetch_answer::Named::Id(topic.topic_id)
        } else {
            fetch_answer::Named::Name(topic.topic.clone())
        },
        parts: parts.by_ref().take(topic.partitions.len()).collect(),
    });
    topics.collect()
}
