//! The records of `__consumer_offsets`, in Kafka's own layout, so that tools that read the
//! topic themselves understand it.
//!
//! ```text
//! key 0, 1   version i16, group string, topic string, partition i32
//! value 3    version i16, offset i64, leader epoch i32, metadata string, commit time i64
//!       2, 0 without leader epoch;  1: as 2, with an expiry time i64 at the end
//!       4    as 3, its string with a varint of its length + 1; tagged fields: 0 topic id uuid
//! key 2      version i16, group string
//! value 3    version i16, protocol type string, generation i32, protocol nullable string,
//!            leader nullable string, state since i64, members array of:
//!            member id string, instance id nullable string, client id string,
//!            client host string, rebalance timeout i32, session timeout i32,
//!            subscription bytes, assignment bytes
//!       0-2  without instance ids; 0-1 without "state since"; 0 without rebalance timeouts
//! ```
//!
//! Strings have an i16 length, bytes and arrays an i32; tagged fields are varints of their
//! count, and of the tag and size of each. We write key 1 with value 4 (offsets) and key 2 with
//! value 3 (groups); a record without a value deletes its key. Reading stops at the first
//! impossible length: such a record is `None`.
#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use bytes::{Buf, BufMut, Bytes};
use uuid::Uuid;

use super::OFFSETS_TOPIC;
use super::offsets::{Commit, Place};
use super::state::{Snapshot, StoredMember};

const OFFSET_KEY: i16 = 1;
const GROUP_KEY: i16 = 2;
const OFFSET_VALUE: i16 = 4;
/// The first version with compact strings and tagged fields.
const OFFSET_FLEXIBLE: i16 = 4;
/// The tag of the topic's id.
const TOPIC_ID: u32 = 0;
const GROUP_VALUE: i16 = 3;

/// A string does not fit its length: what has it is not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a string of {0} bytes does not fit a record of {OFFSETS_TOPIC}")]
pub(super) struct TooLong(usize);

/// What a key names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// The offset of a group in a partition.
    Offset { group: String, place: Place },
    /// A group.
    Group { group: String },
}

/// Writes the key of a committed offset.
pub(super) fn offset_key(group: &str, place: &Place) -> Result<Vec<u8>, TooLong> {
    let mut key = Vec::with_capacity(group.len() + place.topic.len() + 10);
    key.put_i16(OFFSET_KEY);
    put_string(&mut key, group)?;
    put_string(&mut key, &place.topic)?;
    key.put_i32(place.partition);
    Ok(key)
}

/// Writes the key of a group.
pub(super) fn group_key(group: &str) -> Result<Vec<u8>, TooLong> {
    let mut key = Vec::with_capacity(group.len() + 4);
    key.put_i16(GROUP_KEY);
    put_string(&mut key, group)?;
    Ok(key)
}

/// Writes a committed offset.
pub(super) fn offset_value(commit: &Commit) -> Result<Vec<u8>, TooLong> {
    let mut value = Vec::with_capacity(commit.metadata.len() + 48);
    value.put_i16(OFFSET_VALUE);
    value.put_i64(commit.offset);
    value.put_i32(commit.leader_epoch);
    put_compact(&mut value, &commit.metadata)?;
    value.put_i64(commit.time);
    if commit.topic_id.is_nil() {
        put_varint(&mut value, 0);
    } else {
        let id = commit.topic_id.as_bytes();
        put_varint(&mut value, 1);
        put_varint(&mut value, TOPIC_ID);
        put_varint(&mut value, u32::try_from(id.len()).unwrap_or(u32::MAX));
        value.put_slice(id);
    }
    Ok(value)
}

/// Writes a group; `since` is when it came to its present state.
pub(super) fn group_value(group: &Snapshot, since: i64) -> Result<Vec<u8>, TooLong> {
    let mut value = Vec::with_capacity(256);
    value.put_i16(GROUP_VALUE);
    put_string(&mut value, &group.protocol_type)?;
    value.put_i32(group.generation);
    put_nullable(&mut value, group.protocol.as_deref())?;
    put_nullable(&mut value, group.leader.as_deref())?;
    value.put_i64(since);
    value.put_i32(i32::try_from(group.members.len()).unwrap_or(i32::MAX));
    for member in &group.members {
        put_string(&mut value, &member.id)?;
        put_nullable(&mut value, member.instance.as_deref())?;
        put_string(&mut value, &member.client_id)?;
        put_string(&mut value, &member.client_host)?;
        value.put_i32(member.rebalance_timeout_ms);
        value.put_i32(member.session_timeout_ms);
        put_bytes(&mut value, &member.subscription);
        put_bytes(&mut value, &member.assignment);
    }
    Ok(value)
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
    let flexible = version >= OFFSET_FLEXIBLE;
    let metadata = if flexible { take_compact(&mut value)? } else { take_string(&mut value)? };
    let time = value.try_get_i64().ok()?;
    let topic_id = if flexible { take_topic_id(&mut value)? } else { Uuid::nil() };
    Some(Commit { topic_id, offset, leader_epoch, metadata, time })
}

/// The one tagged field that we know; nil if it is not there.
fn take_topic_id(from: &mut &[u8]) -> Option<Uuid> {
    let mut id = Uuid::nil();
    for _ in 0..take_varint(from)? {
        let tag = take_varint(from)?;
        let size = usize::try_from(take_varint(from)?).ok()?;
        let (field, rest) = from.split_at_checked(size)?;
        *from = rest;
        if tag == TOPIC_ID {
            id = Uuid::from_slice(field).ok()?;
        }
    }
    Some(id)
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

fn put_string(out: &mut Vec<u8>, text: &str) -> Result<(), TooLong> {
    let length = i16::try_from(text.len()).map_err(|_| TooLong(text.len()))?;
    out.put_i16(length);
    out.put_slice(text.as_bytes());
    Ok(())
}

/// Kafka reads no longer ones here than with an i16 length.
fn put_compact(out: &mut Vec<u8>, text: &str) -> Result<(), TooLong> {
    let length = i16::try_from(text.len()).map_err(|_| TooLong(text.len()))?;
    put_varint(out, u32::from(length.unsigned_abs()) + 1);
    out.put_slice(text.as_bytes());
    Ok(())
}

fn put_varint(out: &mut Vec<u8>, mut value: u32) {
    while value > 0x7f {
        out.put_u8(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.put_u8(value.to_le_bytes()[0]);
}

fn put_nullable(out: &mut Vec<u8>, text: Option<&str>) -> Result<(), TooLong> {
    if let Some(text) = text {
        return put_string(out, text);
    }
    out.put_i16(-1);
    Ok(())
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

fn take_compact(from: &mut &[u8]) -> Option<String> {
    let length = usize::try_from(take_varint(from)?).ok()?.checked_sub(1)?;
    let (text, rest) = from.split_at_checked(length)?;
    *from = rest;
    String::from_utf8(text.to_vec()).ok()
}

fn take_varint(from: &mut &[u8]) -> Option<u32> {
    let mut value = 0;
    for shift in (0..32).step_by(7) {
        let byte = from.try_get_u8().ok()?;
        value |= u32::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
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

    fn hex(bytes: &[u8]) -> String {
        let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        digits.map(|digit| char::from_digit(u32::from(digit), 16).unwrap()).collect()
    }

    fn unhex(text: &str) -> Vec<u8> {
        let digits = text.as_bytes().chunks(2).map(|two| std::str::from_utf8(two).unwrap());
        digits.map(|two| u8::from_str_radix(two, 16).unwrap()).collect()
    }

    fn commit(topic_id: Uuid, leader_epoch: i32) -> Commit {
        let (metadata, time) = ("m".to_owned(), 0x0102);
        Commit { topic_id, offset: 258, leader_epoch, metadata, time }
    }

    /// As `OffsetCommitValue` of Apache Kafka 4.3.1 writes itself in each of its versions.
    #[test]
    fn an_offset_has_kafkas_bytes() {
        let place = Place { topic: "t".to_owned(), partition: 3 };
        let key = offset_key("g", &place).unwrap();
        assert_eq!(key, [0, 1, 0, 1, b'g', 0, 1, b't', 0, 0, 0, 3]);
        assert_eq!(read_key(&key), Some(Key::Offset { group: "g".to_owned(), place }));
        let id = Uuid::from_u128(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10);
        let with_id = "0004000000000000010200000007026d0000000000000102\
                       0100100102030405060708090a0b0c0d0e0f10";
        let without = "0004000000000000010200000007026d000000000000010200";
        for (stored, id, epoch) in [
            ("0000000000000000010200016d0000000000000102", Uuid::nil(), -1),
            ("0001000000000000010200016d00000000000001020000000000000009", Uuid::nil(), -1),
            ("0002000000000000010200016d0000000000000102", Uuid::nil(), -1),
            ("000300000000000001020000000700016d0000000000000102", Uuid::nil(), 7),
            (without, Uuid::nil(), 7),
            (with_id, id, 7),
        ] {
            assert_eq!(read_offset(&unhex(stored)), Some(commit(id, epoch)), "{stored}");
        }
        assert_eq!(hex(&offset_value(&commit(id, 7)).unwrap()), with_id);
        assert_eq!(hex(&offset_value(&commit(Uuid::nil(), 7)).unwrap()), without);
    }

    #[test]
    fn a_long_metadata_comes_back_and_a_tag_of_a_time_to_come_is_skipped() {
        for length in [0, 126, 127, 128, 16_382, 16_383, 32_767] {
            let commit = Commit { metadata: "x".repeat(length), ..commit(Uuid::max(), 7) };
            assert_eq!(read_offset(&offset_value(&commit).unwrap()), Some(commit), "{length}");
        }
        let mut newer = offset_value(&commit(Uuid::nil(), 7)).unwrap();
        assert_eq!(newer.pop(), Some(0));
        newer.extend([1, 9, 2, 0xaa, 0xbb]);
        assert_eq!(read_offset(&newer), Some(commit(Uuid::nil(), 7)));
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
        assert_eq!(read_key(&group_key("g").unwrap()), Some(Key::Group { group: "g".to_owned() }));
        assert_eq!(read_group(&group_value(&group(), 99).unwrap()), Some((group(), 99)));
    }

    #[test]
    fn a_string_that_does_not_fit_is_not_written_and_the_longest_that_does_comes_back() {
        for (length, fits) in [(32_767, true), (32_768, false), (70_000, false)] {
            let text = "x".repeat(length);
            let written = |written: Result<Vec<u8>, TooLong>| {
                let expected = if fits { None } else { Some(TooLong(length)) };
                assert_eq!(written.as_ref().err(), expected.as_ref());
                written.ok()
            };
            let place = Place { topic: text.clone(), partition: 0 };
            for key in [group_key(&text), offset_key("g", &place), offset_key(&text, &place)] {
                assert!(written(key).is_none_or(|key| read_key(&key).is_some()));
            }
            let commit = Commit { metadata: text.clone(), ..commit(Uuid::max(), 7) };
            if let Some(value) = written(offset_value(&commit)) {
                assert_eq!(read_offset(&value), Some(commit));
            }
            let set: [fn(&mut Snapshot, String); 7] = [
                |group, text| group.protocol_type = text,
                |group, text| group.protocol = Some(text),
                |group, text| group.leader = Some(text),
                |group, text| group.members[0].id = text,
                |group, text| group.members[0].instance = Some(text),
                |group, text| group.members[0].client_id = text,
                |group, text| group.members[0].client_host = text,
            ];
            for set in set {
                let mut group = group();
                set(&mut group, text.clone());
                if let Some(value) = written(group_value(&group, 1)) {
                    assert_eq!(read_group(&value), Some((group, 1)));
                }
            }
        }
    }

    #[test]
    fn cut_records_are_nothing() {
        let place = Place { topic: "t".to_owned(), partition: 3 };
        let commit = commit(Uuid::max(), 0);
        let (key, offset, group) = (
            offset_key("g", &place).unwrap(),
            offset_value(&commit).unwrap(),
            group_value(&group(), 1).unwrap(),
        );
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
