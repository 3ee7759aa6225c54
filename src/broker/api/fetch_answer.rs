//! The answer to Fetch, written by hand: small encoded heads, and between them the bytes of
//! the segments, which are sent without a copy.
//!
//! ```text
//! throttle i32, [7+] error i16, session id i32, topics array of:
//!   [4-12] name string, [13+] id uuid, partitions array of:
//!     partition i32, error i16, high watermark i64, last stable i64, [5+] log start i64,
//!     aborted nullable array of { producer i64, first offset i64, [12+] tags },
//!     [11+] preferred replica i32, records nullable bytes, [12+] tags
//!   [12+] tags
//! [12+] tags
//! ```
//!
//! From version 12 on arrays, strings and bytes have a varint of their length plus one.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::TopicName;
use uuid::Uuid;

use crate::broker::frame::Pieces;
use crate::log::Ends;

const FLEXIBLE_SINCE: i16 = 12;
const NO_TAGS: u8 = 0;
const NO_REPLICA: i32 = -1;

/// How the topics of an answer are named.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Named {
    Name(TopicName),
    Id(Uuid),
}

/// A topic of the answer.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) topic: Named,
    pub(super) parts: Vec<Part>,
}

/// A partition of the answer.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) partition: i32,
    pub(super) error: Option<ResponseError>,
    /// -1 each where there is no such partition.
    pub(super) ends: Ends,
    /// Producer and first offset; `None` unless `read_committed`.
    pub(super) aborted: Option<Vec<(i64, i64)>>,
    pub(super) records: Bytes,
}

impl Part {
    pub(super) fn new(partition: i32, ends: Ends) -> Self {
        Self { partition, error: None, ends, aborted: None, records: Bytes::new() }
    }

    pub(super) fn refused(partition: i32, error: ResponseError) -> Self {
        let ends = Ends { log_start: -1, high_watermark: -1, last_stable: -1 };
        Self { error: Some(error), ..Self::new(partition, ends) }
    }
}

/// Writes the body.
pub(super) fn write(version: i16, error: i16, sections: Vec<Section>, out: &mut Pieces) {
    let flexible = version >= FLEXIBLE_SINCE;
    let head = out.encode();
    head.put_i32(0); // no throttling
    if version >= 7 {
        head.put_i16(error);
        head.put_i32(0); // no session
    }
    put_count(head, flexible, sections.len());
    for section in sections {
        let head = out.encode();
        match section.topic {
            Named::Id(id) => head.put_slice(id.as_bytes()),
            Named::Name(name) if flexible => {
                put_varint(head, name.len() + 1);
                head.put_slice(name.as_bytes());
            }
            Named::Name(name) => {
                head.put_i16(i16::try_from(name.len()).unwrap_or(i16::MAX)); // it came in one
                head.put_slice(name.as_bytes());
            }
        }
        put_count(head, flexible, section.parts.len());
        for part in section.parts {
            write_part(version, part, out);
        }
        put_tags(out.encode(), flexible);
    }
    put_tags(out.encode(), flexible);
}

fn write_part(version: i16, part: Part, out: &mut Pieces) {
    let flexible = version >= FLEXIBLE_SINCE;
    let head = out.encode();
    head.put_i32(part.partition);
    head.put_i16(part.error.map_or(0, |error| error.code()));
    head.put_i64(part.ends.high_watermark);
    head.put_i64(part.ends.last_stable);
    if version >= 5 {
        head.put_i64(part.ends.log_start);
    }
    match part.aborted {
        None if flexible => put_varint(head, 0),
        None => head.put_i32(-1),
        Some(aborted) => {
            put_count(head, flexible, aborted.len());
            for (producer, first) in aborted {
                head.put_i64(producer);
                head.put_i64(first);
                put_tags(head, flexible);
            }
        }
    }
    if version >= 11 {
        head.put_i32(NO_REPLICA);
    }
    put_count(head, flexible, part.records.len()); // bytes have the length of an array
    if !part.records.is_empty() {
        out.push(part.records);
    }
    put_tags(out.encode(), flexible);
}

fn put_count(out: &mut BytesMut, flexible: bool, count: usize) {
    if flexible {
        put_varint(out, count + 1);
    } else {
        out.put_i32(i32::try_from(count).unwrap_or(i32::MAX)); // a frame has fewer bytes
    }
}

fn put_tags(out: &mut BytesMut, flexible: bool) {
    if flexible {
        out.put_u8(NO_TAGS);
    }
}

/// An unsigned varint: seven bits a byte, lowest first.
fn put_varint(out: &mut BytesMut, mut value: usize) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            return out.put_u8(low & 0x7f);
        }
        out.put_u8(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::FetchResponse;
    use kafka_protocol::protocol::{Decodable, StrBytes};

    use super::*;

    fn section(version: i16, id: Uuid) -> Section {
        let name = TopicName(StrBytes::from_static_str("shop.orders"));
        let ends = Ends { log_start: 2, high_watermark: 9, last_stable: 8 };
        let mut full = Part::new(0, ends);
        full.records = Bytes::from(vec![7; 300]); // a length of two varint bytes
        full.aborted = Some(vec![(5, 3), (6, 4)]);
        let refused = Part::refused(1, ResponseError::OffsetOutOfRange);
        let topic = if version >= 13 { Named::Id(id) } else { Named::Name(name) };
        Section { topic, parts: vec![full, refused] }
    }

    /// The codec of kafka-protocol is the judge, in every version we serve.
    #[test]
    fn every_version_is_read_back_by_the_codec() {
        let id = Uuid::from_u128(77);
        for version in 4..=16 {
            let mut out = Pieces::default();
            write(version, 0, vec![section(version, id)], &mut out);
            let mut bytes = out.joined();
            let read = FetchResponse::decode(&mut bytes, version).unwrap();
            assert!(bytes.is_empty(), "version {version} leaves {} bytes", bytes.len());
            let topic = &read.responses[0];
            if version >= 13 {
                assert_eq!(topic.topic_id, id);
            } else {
                assert_eq!(topic.topic.as_str(), "shop.orders");
            }
            let (full, refused) = (&topic.partitions[0], &topic.partitions[1]);
            assert_eq!(full.records.as_deref(), Some(&[7; 300][..]));
            assert_eq!((full.high_watermark, full.last_stable_offset), (9, 8));
            assert_eq!(full.log_start_offset, if version >= 5 { 2 } else { -1 });
            let aborted = full.aborted_transactions.as_ref().unwrap();
            assert_eq!((aborted[1].producer_id.0, aborted[1].first_offset), (6, 4));
            assert_eq!((refused.partition_index, refused.error_code), (1, 1));
            assert!(refused.aborted_transactions.is_none());
            assert!(refused.records.as_ref().is_some_and(Bytes::is_empty));
        }
    }
}
