//! The records of `__consumer_offsets`, in Kafka's own layout, so that tools that read the
//! topic themselves understand it.
//!
//! ```text
//! key 0, 1   version i16, group string, topic string, partition i32
//! value 3    version i16, offset i64, leader epoch i32, metadata string, commit time i64
//!       2, 0 without leader epoch;  1: as 2, with an expiry time i64 at the end
//! key 2      version i16, group string
//! value 3    version i16, protocol type string, generation i32, protocol nullable string,
//!            leader nullable string, state since i64, members array of:
//!            member id string, instance id nullable string, client id string,
//!            client host string, rebalance timeout i32, session timeout i32,
//!            subscription bytes, assignment bytes
//!       0-2  without instance ids; 0-1 without "state since"; 0 without rebalance timeouts
//! ```
//!
//! Strings have an i16 length, bytes and arrays an i32. We write key 1 with value 3
//! (offsets) and key 2 with value 3 (groups); a record without a value deletes its key.
//! Reading stops at the first impossible length: such a record is `None`.
#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use bytes::{Buf, BufMut, Bytes};

use super::offsets::{Commit, Place};
use super::state::{Snapshot, StoredMember};

const OFFSET_KEY: i16 = 1;
const GROUP_KEY: i16 = 2;
const OFFSET_VALUE: i16 = 3;
const GROUP_VALUE: i16 = 3;

/// What a key names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// The offset of a group in a partition.
    Offset { group: String, place: Place },
    /// A group.
    Group { group: String },
}

/// Writes the key of a committed offset.
pub(super) fn offset_key(group: &str, place: &Place) -> Vec<u8> {
    let mut key = Vec::with_capacity(group.len() + place.topic.len() + 10);
    key.put_i16(OFFSET_KEY);
    put_string(&mut key, group);
    put_string(&mut key, &place.topic);
    key.put_i32(place.partition);
    key
}

/// Writes the key of a group.
pub(super) fn group_key(group: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(group.len() + 4);
    key.put_i16(GROUP_KEY);
    put_string(&mut key, group);
    key
}

/// Writes a committed offset.
pub(super) fn offset_value(commit: &Commit) -> Vec<u8> {
    let mut value = Vec::with_capacity(commit.metadata.len() + 24);
    value.put_i16(OFFSET_VALUE);
    value.put_i64(commit.offset);
    value.put_i32(commit.leader_epoch);
    put_string(&mut value, &commit.metadata);
    value.put_i64(commit.time);
    value
}

/// Writes a group; `since` is when it came to its present state.
pub(super) fn group_value(group: &Snapshot, since: i64) -> Vec<u8> {
    let mut value = Vec::with_capacity(256);
    value.put_i16(GROUP_VALUE);
    put_string(&mut value, &group.protocol_type);
    value.put_i32(group.generation);
    put_nullable(&mut value, group.protocol.as_deref());
    put_nullable(&mut value, group.leader.as_deref());
    value.put_i64(since);
    value.put_i32(i32::try_from(group.members.len()).unwrap_or(i32::MAX));
    for member in &group.members {
        put_string(&mut value, &member.id);
        put_nullable(&mut value, member.instance.as_deref());
        put_string(&mut value, &member.client_id);
        put_string(&mut value, &member.client_host);
        value.put_i32(member.rebalance_timeout_ms);
        value.put_i32(member.session_timeout_ms);
        put_bytes(&mut value, &member.subscription);
        put_bytes(&mut value, &member.assignment);
    }
    value
}

/// Reads a key; `None` for one that we do not know.
pub(super) fn read_key(mut key: &[u8]) -> Option<Key> {
    let version = key.try_get_i16().ok()?;
    let group = take_string(&mut key)?;
    match version {
        0 | OFFSET_KEY => {
            let topic = take_string(&mut key)?;
            let partition = key.try_get_i32().ok()?;
            Some(Key::Offset { group, place: Place { topic, partition } })
        }
        GROUP_KEY => Some(Key::Group { group }),
        _ => None,
    }
}

/// Reads a committed offset.
pub(super) fn read_offset(mut value: &[u8]) -> Option<Commit> {
    let version = value.try_get_i16().ok()?;
    if !(0..=OFFSET_VALUE).contains(&version) {
        return None;
    }
    let offset = value.try_get_i64().ok()?;
    let leader_epoch = if version >= 3 { value.try_get_i32().ok()? } else { -1 };
    let metadata = take_string(&mut value)?;
    let time = value.try_get_i64().ok()?;
    Some(Commit { offset, leader_epoch, metadata, time })
}

/// Reads a group, and since when it was in its state.
pub(super) fn read_group(mut value: &[u8]) -> Option<(Snapshot, i64)> {
    let value = &mut value;
    let version = value.try_get_i16().ok()?;
    if !(0..=GROUP_VALUE).contains(&version) {
        return None;
    }
    let mut group = Snapshot {
        protocol_type: take_string(value)?,
        generation: value.try_get_i32().ok()?,
        protocol: take_nullable(value)?,
        leader: take_nullable(value)?,
        members: Vec::new(),
    };
    let since = if version >= 2 { value.try_get_i64().ok()? } else { -1 };
    for _ in 0..value.try_get_i32().ok()? {
        let id = take_string(value)?;
        let instance = if version >= 3 { take_nullable(value)? } else { None };
        let client_id = take_string(value)?;
        let client_host = take_string(value)?;
        let rebalance = if version >= 1 { Some(value.try_get_i32().ok()?) } else { None };
        let session_timeout_ms = value.try_get_i32().ok()?;
        group.members.push(StoredMember {
            id,
            instance,
            client_id,
            client_host,
            rebalance_timeout_ms: rebalance.unwrap_or(session_timeout_ms),
            session_timeout_ms,
            subscription: take_bytes(value)?,
            assignment: take_bytes(value)?,
        });
    }
    Some((group, since))
}

/// The topics that a member of protocol type `consumer` subscribes to; `None` if its
/// metadata is not in that form (version i16, topics array of strings, and more).
pub(super) fn subscribed_topics(mut metadata: &[u8]) -> Option<Vec<String>> {
    metadata.try_get_i16().ok()?;
    let mut topics = Vec::new();
    for _ in 0..metadata.try_get_i32().ok()? {
        topics.push(take_string(&mut metadata)?);
    }
    Some(topics)
}

/// Ids and names that do not fit an i16 length are refused long before this.
fn put_string(out: &mut Vec<u8>, text: &str) {
    let length = i16::try_from(text.len()).unwrap_or(i16::MAX);
    out.put_i16(length);
    out.put_slice(text.as_bytes().get(..length.unsigned_abs().into()).unwrap_or_default());
}

fn put_nullable(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => put_string(out, text),
        None => out.put_i16(-1),
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.put_i32(i32::try_from(bytes.len()).unwrap_or(i32::MAX)); // a frame has 100 MiB at most
    out.put_slice(bytes);
}

#[expect(clippy::option_option, reason = "outside: readable at all; inside: null or text")]
fn take_nullable(from: &mut &[u8]) -> Option<Option<String>> {
    let length = from.try_get_i16().ok()?;
    if length == -1 {
        return Some(None);
    }
    let (text, rest) = from.split_at_checked(usize::try_from(length).ok()?)?;
    *from = rest;
    Some(Some(String::from_utf8(text.to_vec()).ok()?))
}

fn take_string(from: &mut &[u8]) -> Option<String> {
    take_nullable(from)?
}

fn take_bytes(from: &mut &[u8]) -> Option<Bytes> {
    let length = usize::try_from(from.try_get_i32().ok()?).ok()?;
    let (bytes, rest) = from.split_at_checked(length)?;
    *from = rest;
    Some(Bytes::copy_from_slice(bytes))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::indexing_slicing, reason = "a test may panic")]

    use super::*;

    /// Laid out by hand after `OffsetCommitKey.json` and `OffsetCommitValue.json`.
    #[test]
    fn an_offset_has_kafkas_bytes() {
        let place = Place { topic: "t".to_owned(), partition: 3 };
        let key = offset_key("g", &place);
        assert_eq!(key, [0, 1, 0, 1, b'g', 0, 1, b't', 0, 0, 0, 3]);
        let commit =
            Commit { offset: 258, leader_epoch: -1, metadata: "m".to_owned(), time: 0x0102 };
        let value = offset_value(&commit);
        let expected: &[&[u8]] = &[
            &[0, 3],
            &[0, 0, 0, 0, 0, 0, 1, 2],
            &[255, 255, 255, 255],
            &[0, 1, b'm'],
            &[0, 0, 0, 0, 0, 0, 1, 2],
        ];
        assert_eq!(value, expected.concat());
        assert_eq!(read_key(&key), Some(Key::Offset { group: "g".to_owned(), place }));
        assert_eq!(read_offset(&value), Some(commit));
    }

    fn group() -> Snapshot {
        Snapshot {
            generation: 7,
            protocol_type: "consumer".to_owned(),
            protocol: Some("range".to_owned()),
            leader: Some("m-1".to_owned()),
            members: vec![StoredMember {
                id: "m-1".to_owned(),
                instance: Some("i".to_owned()),
                client_id: "c".to_owned(),
                client_host: "/127.0.0.1".to_owned(),
                rebalance_timeout_ms: 60_000,
                session_timeout_ms: 10_000,
                subscription: Bytes::from_static(b"sub"),
                assignment: Bytes::from_static(b"asg"),
            }],
        }
    }

    #[test]
    fn a_group_comes_back_as_it_was_written() {
        assert_eq!(read_key(&group_key("g")), Some(Key::Group { group: "g".to_owned() }));
        assert_eq!(read_group(&group_value(&group(), 99)), Some((group(), 99)));
    }

    #[test]
    fn cut_records_are_nothing() {
        let place = Place { topic: "t".to_owned(), partition: 3 };
        let commit = Commit { offset: 1, leader_epoch: 0, metadata: "m".to_owned(), time: 2 };
        let (key, offset, group) =
            (offset_key("g", &place), offset_value(&commit), group_value(&group(), 1));
        for end in 0..key.len() {
            assert_eq!(read_key(&key[..end]), None);
        }
        for end in 0..offset.len() {
            assert_eq!(read_offset(&offset[..end]), None);
        }
        for end in 0..group.len() {
            assert_eq!(read_group(&group[..end]), None);
        }
    }
}
