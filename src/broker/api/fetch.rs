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

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::FetchRequest;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::fetch_answer::{self, Named, Part, Section};
use super::repeated;
use crate::broker::answers::{Held, Share};
use crate::broker::call::Call;
use crate::broker::frame::Pieces;
use crate::broker::{Broker, access};
use crate::log::{Ends, Read, ReadError, Tip, Topic};
use crate::record::batches;

/// The first version that names topics by their ids.
const IDS_SINCE: i16 = 13;
/// The value of `isolation_level` for `read_committed`.
const READ_COMMITTED: i8 = 1;

/// A client waits no longer, whatever it asks: it gets an empty answer, and asks again.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// So many partitions are read before others have their turn.
const AT_A_TIME: usize = 256;

/// What a request asks of one partition. Of a request that waits nothing else is kept: there may be
/// many partitions.
#[derive(Clone, Copy, Debug)]
struct Asked {
    partition: i32,
    max_bytes: i32,
    offset: i64,
    /// Why it is not read.
    refused: Option<ResponseError>,
}

/// The partitions of a topic, as they are asked for.
struct Wanted {
    named: Named,
    /// Not there if all of them are refused.
    topic: Option<Arc<Topic>>,
    partitions: Vec<Asked>,
}

impl Wanted {
    fn new(broker: &Broker, call: &Call, asked: FetchTopic) -> Self {
        let (named, found) = if call.version >= IDS_SINCE {
            let found = broker.log.topic_by_id(asked.topic_id);
            (Named::Id(asked.topic_id), found.ok_or(ResponseError::UnknownTopicId))
        } else {
            let found = broker.log.topic(&asked.topic);
            (Named::Name(asked.topic), found.ok_or(ResponseError::UnknownTopicOrPartition))
        };
        let judge = |one: &FetchPartition| {
            access::has_partition(found.as_ref().map_err(|error| *error)?, one.partition)?;
            access::check_epoch(one.current_leader_epoch)
        };
        let asked = asked.partitions.iter().map(|one| Asked {
            partition: one.partition,
            max_bytes: one.partition_max_bytes,
            offset: one.fetch_offset,
            refused: judge(one).err(),
        });
        let partitions = asked.collect();
        Self { named, topic: found.ok(), partitions }
    }

    /// Those that are read.
    fn found(&self) -> impl Iterator<Item = (&Arc<Topic>, &Asked)> {
        let readable = self.partitions.iter().filter(|one| one.refused.is_none());
        self.topic.iter().flat_map(move |topic| readable.clone().map(move |one| (topic, one)))
    }
}

/// Each partition once, with what is said of it last, as in Kafka (`FetchRequest.fetchData`).
fn merged(wanted: Vec<Wanted>) -> Vec<Wanted> {
    // Clients name them in order, each once.
    let rises = |one: &Wanted| one.partitions.is_sorted_by(|a, b| a.partition < b.partition);
    let each_once = {
        let mut names = HashSet::with_capacity(wanted.len());
        wanted.iter().all(|one| rises(one) && names.insert(&one.named))
    };
    if each_once {
        return wanted;
    }
    let mut places = HashMap::new();
    let mut merged: Vec<Wanted> = Vec::new();
    for mut one in wanted {
        let place = *places.entry(one.named.clone()).or_insert(merged.len());
        if let Some(first) = merged.get_mut(place) {
            first.partitions.append(&mut one.partitions);
        } else {
            merged.push(one);
        }
    }
    for one in &mut merged {
        one.partitions = repeated::merge(std::mem::take(&mut one.partitions), |one| one.partition);
    }
    merged
}

fn found(wanted: &[Wanted]) -> impl Iterator<Item = (&Arc<Topic>, &Asked)> {
    wanted.iter().flat_map(Wanted::found)
}

pub(crate) async fn answer(broker: &Broker, call: &Call, request: FetchRequest, out: &mut Pieces) {
    if request.session_id != 0 {
        let error = ResponseError::FetchSessionIdNotFound;
        return fetch_answer::write(call.version, error.code(), Vec::new(), out);
    }
    let FetchRequest { max_wait_ms, min_bytes, max_bytes, isolation_level, topics, .. } = request;
    let wanted = topics.into_iter().map(|topic| Wanted::new(broker, call, topic));
    let wanted = merged(wanted.collect());
    let limits = Limits { max_bytes, committed: isolation_level == READ_COMMITTED };
    let wait = Duration::from_millis(u64::try_from(max_wait_ms).unwrap_or(0));
    let wait = if call.may_wait { wait.min(LONGEST_WAIT) } else { Duration::ZERO };
    let deadline = Instant::now() + wait;
    let enough = enough(min_bytes, max_bytes, call.share);
    let places: Vec<_> = found(&wanted).map(place).collect();
    let waiter = broker.log.waiter(&places);
    let mut seen: Option<Seen> = None;
    loop {
        // In this order: what is behind the tips may be counted twice, but is never missed.
        let tips = broker.log.tips(&places);
        let ends = ends(broker, &places);
        let late = Instant::now() >= deadline || call.stop.is_cancelled();
        if late || seen.as_ref().is_none_or(|seen| seen.may_be_enough(&ends, &tips, enough)) {
            let gathered = gather(broker, call, limits, &wanted, &ends).await;
            let Gathered { parts, held, short, full, starved, bytes, .. } = gathered;
            let failed = parts.iter().any(|part| part.error.is_some());
            let cut = bytes > 0 && (short || full || ends_with_a_segment(&wanted, &tips));
            if late || bytes >= enough || failed || cut || starved {
                let sections = sections(wanted, parts);
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

/// How many bytes are waited for: none that the answer cannot carry (as in Kafka,
/// `KafkaApis.handleFetchRequest`).
fn enough(min_bytes: i32, max_bytes: i32, share: Share) -> usize {
    let enough = usize::try_from(min_bytes.min(max_bytes)).unwrap_or(0);
    enough.min(share.bytes() / 2)
}

/// Whether a partition is read from a segment behind which there is another: one read does not
/// go beyond it, however much there is, so that waiting brings nothing (as in Kafka,
/// `DelayedFetch.tryComplete`).
fn ends_with_a_segment(wanted: &[Wanted], tips: &[Option<Tip>]) -> bool {
    found(wanted)
        .zip(tips)
        .any(|((_, asked), tip)| tip.is_some_and(|tip| asked.offset < tip.segment))
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

fn place((topic, asked): (&Arc<Topic>, &Asked)) -> (Arc<Topic>, i32) {
    (Arc::clone(topic), asked.partition)
}

/// The ends of all partitions at one moment; what cannot be had as its error.
fn ends(broker: &Broker, places: &[(Arc<Topic>, i32)]) -> Vec<Result<Ends, ResponseError>> {
    let ends = broker.log.ends(places).into_iter();
    ends.map(|ends| ends.map_err(|error| access::of_read(&error))).collect()
}

/// What a request asks of all its partitions.
#[derive(Clone, Copy)]
struct Limits {
    max_bytes: i32,
    committed: bool,
}

/// What an answer has gathered, and the room it holds for that.
struct Gathered<'a> {
    broker: &'a Broker,
    stop: &'a CancellationToken,
    share: Share,
    limits: Limits,
    room: usize,
    held: Option<Held>,
    /// There would have been more if there had been room.
    short: bool,
    /// Its room is used up: there is another batch, which it cannot carry.
    full: bool,
    /// No room came in time for what there is to send.
    starved: bool,
    /// The records of all parts.
    bytes: usize,
    parts: Vec<Part>,
}

/// Reads what the ends allow, in the order asked for, and as much as there is room for among
/// all answers.
async fn gather<'a>(
    broker: &'a Broker,
    call: &'a Call,
    limits: Limits,
    wanted: &[Wanted],
    ends: &[Result<Ends, ResponseError>],
) -> Gathered<'a> {
    let bytes = |most: i32| usize::try_from(most).unwrap_or(0);
    let wanted_bytes = found(wanted).map(|(_, asked)| bytes(asked.max_bytes));
    let most = bytes(limits.max_bytes).min(broker.settings.max_fetch_bytes);
    let most = wanted_bytes.fold(0_usize, usize::saturating_add).min(most);
    let (room, held) = broker.answers.take(most, call.share);
    let (carried, short) = (room, room < most.min(call.share.bytes()));
    let parts = Vec::with_capacity(wanted.iter().map(|one| one.partitions.len()).sum());
    let (stop, share, bytes) = (&call.stop, call.share, 0);
    let (full, starved) = (false, false);
    let mut gathered =
        Gathered { broker, stop, share, limits, room, held, short, full, starved, bytes, parts };
    let mut ends = ends.iter();
    for wanted in wanted {
        for asked in &wanted.partitions {
            let part = match (asked.refused, &wanted.topic) {
                (Some(error), _) => Part::refused(asked.partition, error),
                (None, Some(topic)) => match ends.next() {
                    Some(Ok(ends)) => gathered.read(topic, asked, *ends).await,
                    Some(Err(error)) => Part::refused(asked.partition, *error),
                    None => Part::refused(asked.partition, ResponseError::UnknownTopicOrPartition),
                },
                (None, None) => {
                    Part::refused(asked.partition, ResponseError::UnknownTopicOrPartition)
                }
            };
            gathered.bytes += part.records.len();
            gathered.parts.push(part);
            // What is in memory is read without a wait.
            if gathered.parts.len().is_multiple_of(AT_A_TIME) {
                tokio::task::yield_now().await;
            }
        }
    }
    let bytes = gathered.bytes;
    gathered.short &= bytes >= carried / 2;
    if let Some(held) = &mut gathered.held {
        held.shrink(bytes);
    }
    gathered
}

impl Gathered<'_> {
    async fn read(&mut self, topic: &Arc<Topic>, asked: &Asked, ends: Ends) -> Part {
        let mut part = Part::new(asked.partition, ends);
        let offset = asked.offset;
        if !(ends.log_start..=ends.high_watermark).contains(&offset) {
            return Part::refused(asked.partition, ResponseError::OffsetOutOfRange);
        }
        let limit = if self.limits.committed { ends.last_stable } else { ends.high_watermark };
        if offset < limit {
            match self.records(topic, asked, limit).await {
                Ok(records) => part.records = records,
                Err(error) => part.error = Some(access::of_read(&error)),
            }
            self.room = self.room.saturating_sub(part.records.len());
        }
        if self.limits.committed {
            match aborted(self.broker, topic, asked, limit, &part.records) {
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
        asked: &Asked,
        limit: i64,
    ) -> Result<Bytes, ReadError> {
        let (log, number, offset) = (&self.broker.log, asked.partition, asked.offset);
        let first = self.bytes == 0;
        let most = self.room.min(usize::try_from(asked.max_bytes).unwrap_or(0));
        let takes_all = most == self.room;
        if !first && most == 0 {
            self.full |= takes_all;
            return Ok(Bytes::new());
        }
        let size = match log.read_within(topic, number, offset, limit, most).await? {
            Read::Batches(records) => {
                self.full |= takes_all && ends_before(&records, limit);
                return Ok(records);
            }
            Read::Longer(_) if !first => {
                self.full |= takes_all;
                return Ok(Bytes::new());
            }
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
                held = self.broker.answers.wait(size, self.share) => held,
            };
            if self.held.is_none() {
                self.starved = true;
                return Ok(Bytes::new());
            }
        }
        log.read(topic, number, offset, limit, size, true).await
    }
}

/// Whether there is more behind these batches, below the limit.
fn ends_before(records: &Bytes, limit: i64) -> bool {
    let last = batches(records).filter_map(Result::ok).last();
    last.is_some_and(|last| last.head().last_offset() + 1 < limit)
}

/// Producer and first offset of the transactions to skip, by first offset: a client takes
/// them off the front of the list as it reads.
fn aborted(
    broker: &Broker,
    topic: &Arc<Topic>,
    asked: &Asked,
    limit: i64,
    records: &Bytes,
) -> Result<Vec<(i64, i64)>, ReadError> {
    if records.is_empty() {
        return Ok(Vec::new());
    }
    let found = broker.log.aborted(topic, asked.partition, asked.offset, limit)?;
    let mut found: Vec<_> = found.iter().map(|a| (a.producer_id, a.first_offset)).collect();
    found.sort_unstable_by_key(|(producer, first)| (*first, *producer));
    Ok(found)
}

/// The parts under their topics, as they were asked for.
fn sections(wanted: Vec<Wanted>, parts: Vec<Part>) -> Vec<Section> {
    let mut parts = parts.into_iter();
    let topics = wanted.into_iter().map(|one| Section {
        topic: one.named,
        parts: parts.by_ref().take(one.partitions.len()).collect(),
    });
    topics.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_waited_for_than_the_answer_may_carry() {
        let share = Share::default();
        let half = share.bytes() / 2;
        for (min_bytes, max_bytes, expected) in [
            (1, 1 << 20, 1),
            (131_072, 65_536, 65_536),
            (i32::MAX, 1000, 1000),
            (i32::MAX, i32::MAX, half),
            (1, 0, 0),
            (-1, 1000, 0),
            (1000, -1, 0),
        ] {
            assert_eq!(enough(min_bytes, max_bytes, share), expected, "{min_bytes} {max_bytes}");
        }
    }
}
