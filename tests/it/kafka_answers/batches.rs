//! Batches as no honest producer sends them: a plain one is changed in one place of its head,
//! its records or its compressed stream, and the checksum made right again. Each is produced to
//! topics of several settings; the answer is the error, the records it names, and of what was
//! taken how it is stored.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use kafka_protocol::messages::ProduceRequest;
use sluice::record::{BatchView, HEAD_LENGTH};

use super::Judged;
use crate::harness::wire::{Client, fetch, produce};

/// When the records of a batch were made, unless it is said: long ago, and not of today.
const LONG_AGO: i64 = 1_700_000_000_000;
const HOUR: i64 = 3_600_000;

/// A record with all that can be wrong with it.
#[derive(Clone)]
struct Draft {
    attributes: u8,
    time: i64,
    offset: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    /// Header names and values; a name of `None` is written as null.
    headers: Vec<(Option<&'static str>, Option<&'static str>)>,
    /// What is written in the place of a length or count.
    length: Option<i64>,
    key_length: Option<i64>,
    value_length: Option<i64>,
    header_count: Option<i64>,
    /// Bytes behind the headers.
    tail: Vec<u8>,
}

#[derive(Clone)]
struct Batch {
    base_offset: i64,
    leader_epoch: i32,
    magic: i8,
    attributes: i16,
    codec: i16,
    last_offset_delta: i32,
    base_time: i64,
    max_time: i64,
    producer: i64,
    epoch: i16,
    sequence: i32,
    count: i32,
    records: Vec<Draft>,
    /// Behind the records, before they are compressed.
    behind: Vec<u8>,
    /// How many of the last bytes of the plain records are cut off.
    cut: usize,
    /// Changes the stream as it is stored.
    stream: fn(&mut Vec<u8>),
    /// Added to the length, and to the checksum, in the head.
    length_off: i32,
    crc_off: u32,
}

type Change = fn(&mut Batch);

fn batch() -> Batch {
    let record = |number: i64| Draft {
        attributes: 0,
        time: number * 10,
        offset: number,
        key: Some(format!("key {number}").into_bytes()),
        value: Some(format!("value {number}").into_bytes()),
        headers: vec![(Some("h"), Some("v")), (Some("h"), None)],
        length: None,
        key_length: None,
        value_length: None,
        header_count: None,
        tail: Vec::new(),
    };
    Batch {
        base_offset: 0,
        leader_epoch: -1,
        magic: 2,
        attributes: 0,
        codec: 0,
        last_offset_delta: 2,
        base_time: LONG_AGO,
        max_time: LONG_AGO + 20,
        producer: -1,
        epoch: -1,
        sequence: -1,
        count: 3,
        records: (0..3).map(record).collect(),
        behind: Vec::new(),
        cut: 0,
        stream: |_| (),
        length_off: 0,
        crc_off: 0,
    }
}

fn varint(out: &mut Vec<u8>, value: i64) {
    let mut zigzag = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while zigzag >= 0x80 {
        out.push(u8::try_from(zigzag & 0x7f).unwrap() | 0x80);
        zigzag >>= 7;
    }
    out.push(u8::try_from(zigzag).unwrap());
}

fn length(of: usize) -> i64 {
    i64::try_from(of).unwrap()
}

impl Draft {
    fn write(&self, out: &mut Vec<u8>) {
        let mut body = vec![self.attributes];
        varint(&mut body, self.time);
        varint(&mut body, self.offset);
        let mut put = |bytes: Option<&[u8]>, said: Option<i64>| {
            varint(&mut body, said.unwrap_or(bytes.map_or(-1, |bytes| length(bytes.len()))));
            body.extend_from_slice(bytes.unwrap_or_default());
        };
        put(self.key.as_deref(), self.key_length);
        put(self.value.as_deref(), self.value_length);
        varint(&mut body, self.header_count.unwrap_or(length(self.headers.len())));
        for (name, value) in &self.headers {
            for part in [name, value] {
                varint(&mut body, part.map_or(-1, |part| length(part.len())));
                body.extend_from_slice(part.unwrap_or_default().as_bytes());
            }
        }
        body.extend_from_slice(&self.tail);
        varint(out, self.length.unwrap_or(length(body.len())));
        out.extend_from_slice(&body);
    }
}

impl Batch {
    fn bytes(&self) -> Bytes {
        let mut records = Vec::new();
        for record in &self.records {
            record.write(&mut records);
        }
        records.extend_from_slice(&self.behind);
        records.truncate(records.len() - self.cut);
        let mut stream = pack(self.codec, &records);
        (self.stream)(&mut stream);
        let mut checked = Vec::new();
        checked.extend_from_slice(&(self.attributes | self.codec).to_be_bytes());
        checked.extend_from_slice(&self.last_offset_delta.to_be_bytes());
        checked.extend_from_slice(&self.base_time.to_be_bytes());
        checked.extend_from_slice(&self.max_time.to_be_bytes());
        checked.extend_from_slice(&self.producer.to_be_bytes());
        checked.extend_from_slice(&self.epoch.to_be_bytes());
        checked.extend_from_slice(&self.sequence.to_be_bytes());
        checked.extend_from_slice(&self.count.to_be_bytes());
        checked.extend_from_slice(&stream);
        let mut bytes = self.base_offset.to_be_bytes().to_vec();
        let size = i32::try_from(checked.len() + 9).unwrap() + self.length_off;
        bytes.extend_from_slice(&size.to_be_bytes());
        bytes.extend_from_slice(&self.leader_epoch.to_be_bytes());
        bytes.extend_from_slice(&self.magic.to_be_bytes());
        let crc = crc32c::crc32c(&checked).wrapping_add(self.crc_off);
        bytes.extend_from_slice(&crc.to_be_bytes());
        bytes.extend_from_slice(&checked);
        bytes.into()
    }
}

fn pack(codec: i16, records: &[u8]) -> Vec<u8> {
    match codec {
        1 => {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            out.write_all(records).unwrap();
            out.finish().unwrap()
        }
        2 => {
            let mut out = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01".to_vec();
            let block = snap::raw::Encoder::new().compress_vec(records).unwrap();
            out.extend_from_slice(&u32::try_from(block.len()).unwrap().to_be_bytes());
            out.extend_from_slice(&block);
            out
        }
        3 => {
            let mut out = lz4_flex::frame::FrameEncoder::new(Vec::new());
            out.write_all(records).unwrap();
            out.finish().unwrap()
        }
        4 => zstd::stream::encode_all(records, 3).unwrap(),
        _ => records.to_vec(),
    }
}

fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap()
}

/// Changes of the head.
const HEADS: &[(&str, Change)] = &[
    ("base offset -1", |b| b.base_offset = -1),
    ("base offset 1", |b| b.base_offset = 1),
    ("base offset most", |b| b.base_offset = i64::MAX),
    ("leader epoch 5", |b| b.leader_epoch = 5),
    ("magic 0", |b| b.magic = 0),
    ("magic 1", |b| b.magic = 1),
    ("magic 3", |b| b.magic = 3),
    ("magic -1", |b| b.magic = -1),
    ("crc off", |b| b.crc_off = 1),
    ("length 1 less", |b| b.length_off = -1),
    ("length 1 more", |b| b.length_off = 1),
    ("length 100 less", |b| b.length_off = -100),
    ("length negative", |b| b.length_off = -10_000),
    ("last delta -1", |b| b.last_offset_delta = -1),
    ("last delta 0", |b| b.last_offset_delta = 0),
    ("last delta 1", |b| b.last_offset_delta = 1),
    ("last delta 3", |b| b.last_offset_delta = 3),
    ("last delta most", |b| b.last_offset_delta = i32::MAX),
    ("last delta least", |b| b.last_offset_delta = i32::MIN),
    ("count -1", |b| b.count = -1),
    ("count 0", |b| b.count = 0),
    ("count 2", |b| b.count = 2),
    ("count 4", |b| b.count = 4),
    ("count most", |b| b.count = i32::MAX),
    ("count least", |b| b.count = i32::MIN),
    ("one record less said", |b| (b.count, b.last_offset_delta) = (2, 1)),
    ("one record more said", |b| (b.count, b.last_offset_delta) = (4, 3)),
    ("count 0 and delta -1", |b| (b.count, b.last_offset_delta) = (0, -1)),
    ("count most and delta", |b| (b.count, b.last_offset_delta) = (i32::MAX, i32::MAX - 1)),
    ("no record, none said", |b| {
        b.records.clear();
        (b.count, b.last_offset_delta) = (0, -1);
    }),
    ("no record, one said", |b| {
        b.records.clear();
        (b.count, b.last_offset_delta) = (1, 0);
    }),
    ("one record", |b| {
        b.records.truncate(1);
        (b.count, b.last_offset_delta) = (1, 0);
    }),
    ("time of append said", |b| b.attributes = 1 << 3),
    ("transactional", |b| b.attributes = 1 << 4),
    ("transactional of a producer", |b| {
        b.attributes = 1 << 4;
        (b.epoch, b.sequence, b.producer) = (0, 0, 7);
    }),
    ("control", |b| b.attributes = 1 << 5),
    ("control of a producer", |b| {
        b.attributes = 1 << 5 | 1 << 4;
        (b.epoch, b.sequence, b.producer) = (0, 0, 7);
    }),
    ("delete horizon", |b| b.attributes = 1 << 6),
    ("attribute 7", |b| b.attributes = 1 << 7),
    ("attribute 14", |b| b.attributes = 1 << 14),
    ("codec 5", |b| b.attributes = 5),
    ("codec 6", |b| b.attributes = 6),
    ("codec 7", |b| b.attributes = 7),
    ("says gzip", |b| b.attributes = 1),
    ("says lz4", |b| b.attributes = 3),
    ("says zstd", |b| b.attributes = 4),
    ("largest time too small", |b| b.max_time = LONG_AGO),
    ("largest time too large", |b| b.max_time = LONG_AGO + HOUR),
    ("largest time -1", |b| b.max_time = -1),
    ("largest time most", |b| b.max_time = i64::MAX),
    ("first time -1", |b| (b.base_time, b.max_time) = (-1, 19)),
    ("first time least", |b| (b.base_time, b.max_time) = (i64::MIN, i64::MIN + 20)),
    ("first time most", |b| (b.base_time, b.max_time) = (i64::MAX, i64::MAX)),
    ("all times -1", |b| {
        b.records.iter_mut().for_each(|record| record.time = 0);
        (b.base_time, b.max_time) = (-1, -1);
    }),
    ("producer", |b| (b.epoch, b.sequence, b.producer) = (0, 0, 7)),
    ("producer at sequence 5", |b| (b.epoch, b.sequence, b.producer) = (0, 5, 7)),
    ("producer without epoch", |b| (b.epoch, b.sequence, b.producer) = (-1, 0, 7)),
    ("producer without sequence", |b| (b.epoch, b.sequence, b.producer) = (0, -1, 7)),
    ("sequence without producer", |b| (b.epoch, b.sequence) = (0, 0)),
    ("producer -2", |b| (b.epoch, b.sequence, b.producer) = (0, 0, -2)),
];

/// Changes of records.
const RECORDS: &[(&str, Change)] = &[
    ("as it is", |_| ()),
    ("attributes", |b| b.records[1].attributes = 1),
    ("all attributes", |b| b.records[1].attributes = 0xff),
    ("times go back", |b| b.records[2].time = -500),
    ("time far on", |b| b.records[1].time = i64::MAX),
    ("time far back", |b| b.records[1].time = i64::MIN),
    ("offsets from 1", |b| b.records.iter_mut().for_each(|record| record.offset += 1)),
    ("offsets all 0", |b| b.records.iter_mut().for_each(|record| record.offset = 0)),
    ("offsets back", |b| b.records.iter_mut().for_each(|record| record.offset = 2 - record.offset)),
    ("offset hole", |b| b.records[2].offset = 5),
    ("offset -1", |b| b.records[0].offset = -1),
    ("offset 2^31", |b| b.records[2].offset = 1 << 31),
    ("offset 2^40", |b| b.records[2].offset = 1 << 40),
    ("no key first", |b| b.records[0].key = None),
    ("no key in the middle", |b| b.records[1].key = None),
    ("no keys", |b| b.records.iter_mut().for_each(|record| record.key = None)),
    ("empty key", |b| b.records[1].key = Some(Vec::new())),
    ("no value", |b| b.records[1].value = None),
    ("key length -2", |b| b.records[1].key_length = Some(-2)),
    ("key length too small", |b| b.records[1].key_length = Some(2)),
    ("key length too large", |b| b.records[1].key_length = Some(1000)),
    ("key length most", |b| b.records[1].key_length = Some(i64::from(i32::MAX))),
    ("key length 2^33", |b| b.records[1].key_length = Some(1 << 33)),
    ("value length -2", |b| b.records[1].value_length = Some(-2)),
    ("value length too small", |b| b.records[1].value_length = Some(2)),
    ("value length too large", |b| b.records[1].value_length = Some(1000)),
    ("value length most", |b| b.records[1].value_length = Some(i64::from(i32::MAX))),
    ("no headers", |b| b.records[1].headers.clear()),
    ("header count -1", |b| b.records[1].header_count = Some(-1)),
    ("header count 1", |b| b.records[1].header_count = Some(1)),
    ("header count 0", |b| b.records[1].header_count = Some(0)),
    ("header count 3", |b| b.records[1].header_count = Some(3)),
    ("header count 100", |b| b.records[1].header_count = Some(100)),
    ("header count most", |b| b.records[1].header_count = Some(i64::from(i32::MAX))),
    ("header without name", |b| b.records[1].headers[0].0 = None),
    ("header with empty name", |b| b.records[1].headers[0].0 = Some("")),
    ("header without name in the last", |b| b.records[2].headers[1].0 = None),
    ("bytes behind headers", |b| b.records[1].tail = vec![0]),
    ("bytes behind headers of the last", |b| b.records[2].tail = vec![0, 0]),
    ("length -1", |b| b.records[1].length = Some(-1)),
    ("length 0", |b| b.records[1].length = Some(0)),
    ("length 1 less", |b| b.records[1].length = Some(24)),
    ("length 1 more", |b| b.records[1].length = Some(26)),
    ("length of the last 1 less", |b| b.records[2].length = Some(24)),
    ("length of the last 1 more", |b| b.records[2].length = Some(26)),
    ("length most", |b| b.records[0].length = Some(i64::from(i32::MAX))),
    ("length 2^33", |b| b.records[0].length = Some(1 << 33)),
    ("a byte behind the records", |b| b.behind = vec![0]),
    ("bytes behind the records", |b| b.behind = vec![2; 30]),
    ("a record behind the records", |b| {
        let mut bytes = Vec::new();
        b.records[0].write(&mut bytes);
        b.behind = bytes;
    }),
    ("the last byte missing", |b| b.cut = 1),
    ("the last record missing", |b| {
        b.records.pop();
    }),
    ("a long length", |b| {
        let mut bytes = Vec::new();
        b.records.pop().unwrap().write(&mut bytes);
        b.behind = [&[bytes[0] | 0x80, 0x80, 0][..], &bytes[1..]].concat();
    }),
    ("a length of six bytes", |b| {
        let mut bytes = Vec::new();
        b.records.pop().unwrap().write(&mut bytes);
        b.behind = [&[bytes[0] | 0x80, 0x80, 0x80, 0x80, 0x80, 0][..], &bytes[1..]].concat();
    }),
];

/// Changes of a compressed stream.
const STREAMS: &[(&str, Change)] = &[
    ("stream cut by one", |b| b.stream = |bytes| bytes.truncate(bytes.len() - 1)),
    ("stream cut in half", |b| b.stream = |bytes| bytes.truncate(bytes.len() / 2)),
    ("stream empty", |b| b.stream = Vec::clear),
    ("stream begins wrong", |b| b.stream = |bytes| bytes[0] ^= 0xff),
    ("stream wrong inside", |b| {
        b.stream = |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0xff;
        };
    }),
    ("zeros behind the stream", |b| b.stream = |bytes| bytes.extend([0; 8])),
    ("stream twice", |b| {
        b.stream = |bytes| {
            let again = bytes.clone();
            bytes.extend(again);
        };
    }),
];

/// Times against the clock of the broker.
const TIMES: &[(&str, Change)] = &[
    ("now", |b| at(b, 0)),
    ("two hours ago", |b| at(b, -2 * HOUR)),
    ("in two hours", |b| at(b, 2 * HOUR)),
    ("one of them two hours ago", |b| {
        at(b, 0);
        b.records[1].time = -2 * HOUR;
    }),
    ("one of them in two hours", |b| {
        at(b, 0);
        b.records[1].time = 2 * HOUR;
        b.max_time = b.base_time + 2 * HOUR;
    }),
];

fn at(batch: &mut Batch, from_now: i64) {
    batch.base_time = now() + from_now;
    batch.max_time = batch.base_time + 20;
}

/// A topic, its settings, the codecs it is sent, and what of the changes.
type Asked = (
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static [i16],
    &'static [&'static [(&'static str, Change)]],
);

const ALL: &[i16] = &[0, 1, 2, 3, 4];
const TWO: &[i16] = &[0, 1];

const TOPICS: &[Asked] = &[
    ("plain", &[], ALL, &[RECORDS, STREAMS]),
    ("plain", &[], TWO, &[HEADS, TIMES]),
    ("compact", &[("cleanup.policy", "compact")], TWO, &[HEADS, RECORDS]),
    ("append", &[("message.timestamp.type", "LogAppendTime")], TWO, &[HEADS, RECORDS, TIMES]),
    (
        "append-lz4",
        &[("message.timestamp.type", "LogAppendTime"), ("compression.type", "lz4")],
        TWO,
        &[RECORDS, TIMES],
    ),
    ("uncompressed", &[("compression.type", "uncompressed")], ALL, &[RECORDS]),
    ("gzip", &[("compression.type", "gzip")], TWO, &[HEADS, RECORDS, STREAMS]),
    ("snappy", &[("compression.type", "snappy")], TWO, &[RECORDS]),
    ("lz4", &[("compression.type", "lz4")], TWO, &[RECORDS]),
    ("zstd", &[("compression.type", "zstd")], ALL, &[RECORDS]),
    ("not-before", &[("message.timestamp.before.max.ms", "3600000")], TWO, &[TIMES]),
    ("not-after", &[("message.timestamp.after.max.ms", "1000")], TWO, &[TIMES]),
    ("any-after", &[("message.timestamp.after.max.ms", "9223372036854775807")], TWO, &[TIMES]),
    (
        "append-not-before",
        &[("message.timestamp.before.max.ms", "0"), ("message.timestamp.type", "LogAppendTime")],
        TWO,
        &[TIMES],
    ),
    ("small", &[("max.message.bytes", "140")], ALL, &[&[("as it is", |_| ())]]),
    (
        "small-uncompressed",
        &[("max.message.bytes", "140"), ("compression.type", "uncompressed")],
        ALL,
        &[&[("as it is", |_| ())]],
    ),
    (
        "compact-zstd",
        &[("cleanup.policy", "compact"), ("compression.type", "zstd")],
        TWO,
        &[RECORDS],
    ),
];

/// Batches that Kafka stores at least where it need not write them anew, and that clients could
/// not read, or read as something else: we refuse them.
const STRICTER: &[&str] = &[
    "offsets from 1",
    "offsets all 0",
    "offsets back",
    "offset hole",
    "offset -1",
    "offset 2^31",
    // Compressed ones: the lengths are skipped there.
    "length -1",
    "length 0",
    "length 1 less",
    "length 1 more",
    "length of the last 1 less",
    "length of the last 1 more",
    "length most",
    "length 2^33",
    "zeros behind the stream",
    "producer without epoch",
];

/// Where we answer otherwise than Kafka on purpose: it says "unknown server error" of what it
/// did not think of, and we say what is wrong; and [`STRICTER`].
fn differing(question: &str, kafkas: &str) -> Option<&'static str> {
    let (_, change) = question.split_once(": ").unwrap();
    let invalid = Some("87 ");
    match kafkas {
        // A codec that there is not; gzip that says zstd too says 5.
        "-1 " if change.starts_with("codec ") => Some("76 "),
        "-1 " if question.ends_with("codec 1: says zstd") => Some("76 "),
        "-1 " => invalid,
        // Java and we stop at the end of an LZ4 frame, and librdkafka does.
        _ if question.ends_with("codec 3: zeros behind the stream") => None,
        _ if kafkas.starts_with('0') && STRICTER.contains(&change) => invalid,
        _ => None,
    }
}

/// How a batch that was taken is stored.
fn stored(bytes: &Bytes) -> String {
    let Ok(batch) = BatchView::parse_stored(bytes) else { return "unreadable".to_owned() };
    let head = batch.head();
    let shown = |time: i64| match time {
        // Times of this day are the clock's.
        _ if time.abs_diff(now()) < 3 * HOUR.unsigned_abs() => "today".to_owned(),
        _ => time.to_string(),
    };
    let records = match batch.uncompressed() {
        Ok(plain) => format!("{:08x}", crc32c::crc32c(&plain[HEAD_LENGTH..])),
        Err(_) => "opaque".to_owned(),
    };
    format!(
        "attributes {} delta {} times {} {} producer {} {} {} count {} records {records}",
        head.attributes,
        head.last_offset_delta,
        shown(head.base_timestamp),
        shown(head.max_timestamp),
        head.producer_id,
        head.producer_epoch,
        head.base_sequence,
        head.count,
    )
}

async fn answer(client: &mut Client, topic: &str, request: &ProduceRequest) -> String {
    let answer = client.ask(9, request).await;
    let partition = &answer.responses[0].partition_responses[0];
    if partition.error_code != 0 {
        let named = partition.record_errors.iter().map(|one| one.batch_index.to_string());
        let named: Vec<String> = named.collect();
        return format!("{} {}", partition.error_code, named.join(","));
    }
    let time = if partition.log_append_time_ms < 0 { "" } else { " at the broker's time" };
    let fetched = client.ask(11, &fetch(topic, partition.base_offset, 1 << 20)).await;
    let records = fetched.responses[0].partitions[0].records.clone().unwrap();
    format!("0{time} {}", stored(&records))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_batch_is_taken_or_refused_as_kafka_does_and_stored_as_there() {
    let mut judged = Judged::connect().await;
    let mut made = Vec::new();
    for (topic, settings, ..) in TOPICS {
        if !made.contains(topic) {
            made.push(*topic);
            judged.make_topic(topic, settings).await;
        }
    }
    let mut answers = Vec::new();
    let mut producer = 1_000;
    for (topic, _, codecs, changes) in TOPICS {
        for codec in *codecs {
            for (what, change) in changes.iter().copied().flatten() {
                let mut batch = batch();
                batch.codec = *codec;
                change(&mut batch);
                if batch.producer == 7 {
                    producer += 1;
                    batch.producer = producer;
                }
                let request = produce(topic, -1, batch.bytes()).with_timeout_ms(30_000);
                let answer = answer(&mut judged.client, topic, &request).await;
                answers.push((format!("{topic}, codec {codec}: {what}"), answer));
            }
        }
    }
    judged.end("batches.txt", &answers, differing).await;
}
