//! A client that asks for all topics in one Fetch request, all along.
//!
//! Its answers are judged as they come: with the records of each that reaches the ends of all
//! partitions, and of those before it, every transaction of which one was seen is there whole,
//! over all topics. It speaks the protocol by
//! itself, since client libraries do not say where one answer ends and the next begins.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::{Buf as _, Bytes, BytesMut};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::{
    ApiKey, FetchRequest, FetchResponse, RequestHeader, ResponseHeader, TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use kafka_protocol::records::RecordBatchDecoder;

use super::judgement::{Published, Tx, tables, topic};
use crate::harness::PATIENCE;

/// The last version that names topics by their names.
const VERSION: i16 = 12;
/// More than any answer has: those that are cut are cut by the broker.
const ROOM: i32 = 1 << 30;

pub(super) struct Fetcher {
    /// How many records are enough: known when the load is over.
    enough: Arc<AtomicI64>,
    thread: JoinHandle<Fetched>,
}

/// What it has learnt.
#[derive(Debug, Default)]
pub(super) struct Fetched {
    pub(super) answers: usize,
    /// The answers that were judged, and had records.
    pub(super) judged: usize,
    /// How many records of each topic it saw.
    pub(super) next: BTreeMap<String, i64>,
    /// What an answer lacked.
    pub(super) partial: Vec<String>,
}

impl Fetcher {
    pub(super) fn start(bootstrap: &str) -> Self {
        let enough = Arc::new(AtomicI64::new(i64::MAX));
        let (is_enough, address) = (Arc::clone(&enough), bootstrap.to_owned());
        let thread = std::thread::spawn(move || {
            let mut state = State::new();
            while state.awaits(&is_enough) {
                // An error is the broker's absence.
                if let Ok(stream) = TcpStream::connect(&address) {
                    let _ = state.fetch(stream, &is_enough);
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            state.fetched
        });
        Self { enough, thread }
    }

    /// Lets it read to the end of what is published.
    pub(super) fn stop(self, published: &Published) -> Fetched {
        let records: usize = published.values().map(Vec::len).sum();
        self.enough.store(i64::try_from(records).unwrap(), Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

struct State {
    fetched: Fetched,
    /// When records came last.
    moved: Instant,
    /// The numbers seen of transactions that are not whole, by GTID.
    open: BTreeMap<String, BTreeSet<Tx>>,
}

impl State {
    fn new() -> Self {
        Self { fetched: Fetched::default(), moved: Instant::now(), open: BTreeMap::new() }
    }

    fn awaits(&self, enough: &AtomicI64) -> bool {
        let enough = enough.load(Ordering::Relaxed);
        let seen: i64 = self.fetched.next.values().sum();
        seen < enough && (enough == i64::MAX || self.moved.elapsed() < PATIENCE)
    }

    fn fetch(&mut self, mut stream: TcpStream, enough: &AtomicI64) -> io::Result<()> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        while self.awaits(enough) {
            let answer = ask(&mut stream, &self.request())?;
            // Before all topics are there, what is seen of a transaction cannot be all of it.
            let known = answer.responses.iter().flat_map(|topic| &topic.partitions);
            if known.into_iter().any(|partition| partition.error_code != 0) {
                std::thread::sleep(Duration::from_millis(20));
                continue;
            }
            self.fetched.answers += 1;
            self.take(answer);
        }
        Ok(())
    }

    fn request(&self) -> FetchRequest {
        let topics = tables().map(|table| {
            let name = topic(table);
            let next = self.fetched.next.get(&name).copied().unwrap_or(0);
            let partition =
                FetchPartition::default().with_fetch_offset(next).with_partition_max_bytes(ROOM);
            FetchTopic::default()
                .with_topic(TopicName(StrBytes::from_string(name)))
                .with_partitions(vec![partition])
        });
        FetchRequest::default()
            .with_max_wait_ms(50)
            .with_min_bytes(1)
            .with_max_bytes(ROOM)
            .with_session_epoch(-1)
            .with_topics(topics.collect())
    }

    fn take(&mut self, answer: FetchResponse) {
        let (mut size, mut is_cut) = (0, false);
        for topic in answer.responses {
            let name = topic.topic.0.to_string();
            for partition in topic.partitions {
                let mut records = partition.records.unwrap_or_default();
                size += records.len();
                self.note(&name, &mut records);
                is_cut |= self.fetched.next.get(&name) < Some(&partition.high_watermark);
            }
        }
        if size > 0 {
            self.moved = Instant::now();
        }
        // One that does not reach the ends of all partitions had no room for more.
        if size == 0 || is_cut {
            return;
        }
        self.fetched.judged += 1;
        let number = self.fetched.answers;
        for (gtid, seen) in std::mem::take(&mut self.open) {
            let seen: Vec<String> = seen.iter().map(Tx::to_string).collect();
            let seen = seen.join(", ");
            self.fetched.partial.push(format!("answer {number} ended within {gtid}: {seen}"));
        }
    }

    fn note(&mut self, topic: &str, records: &mut Bytes) {
        let next = self.fetched.next.entry(topic.to_owned()).or_insert(0);
        for set in RecordBatchDecoder::decode_all(records).unwrap() {
            for record in set.records {
                // A batch comes whole, though asked for from its middle.
                if record.offset < *next {
                    continue;
                }
                assert_eq!(record.offset, *next, "a hole in {topic}");
                *next += 1;
                let header = |name: &'static str| {
                    let value = record.headers.get(&StrBytes::from_static_str(name));
                    String::from_utf8(value.unwrap().as_ref().unwrap().to_vec()).unwrap()
                };
                let seen = self.open.entry(header("gtid")).or_default();
                seen.insert(Tx::parse(&header("tx")));
                if Tx::are_whole(seen) {
                    self.open.remove(&header("gtid"));
                }
            }
        }
    }
}

/// One request, one answer.
fn ask(stream: &mut TcpStream, request: &FetchRequest) -> io::Result<FetchResponse> {
    let key = ApiKey::Fetch;
    let mut out = BytesMut::new();
    RequestHeader::default()
        .with_request_api_key(key as i16)
        .with_request_api_version(VERSION)
        .encode(&mut out, key.request_header_version(VERSION))
        .unwrap();
    request.encode(&mut out, VERSION).unwrap();
    stream.write_all(&u32::try_from(out.len()).unwrap().to_be_bytes())?;
    stream.write_all(&out)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut answer)?;
    let mut answer = Bytes::from(answer);
    ResponseHeader::decode(&mut answer, key.response_header_version(VERSION)).unwrap();
    let response = FetchResponse::decode(&mut answer, VERSION).unwrap();
    assert!(!answer.has_remaining(), "more than an answer");
    Ok(response)
}
