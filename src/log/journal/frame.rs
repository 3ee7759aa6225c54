//! One frame of the journal: what one group appended.
//!
//! Format, integers big-endian:
//!
//! ```text
//!  0 "SLF" and the version, 2         16 epoch u64
//!  4 CRC-32C u32 of the bytes from 8  24 sequence u64
//!    to the end of the entries        32 highest sequence known durable u64
//!  8 length of all of it u32          40 entries, 76 bytes each
//! 12 number of entries u32               inline bytes, in the order of their entries
//! ```
//!
//! An entry: topic id (16 bytes), partition i32, kind u32 (0 inline, 1 reference, 2
//! staged), base offset i64, next offset i64, base offset of the segment i64, position in
//! the segment u64 (of a staged one: the number of its file), length u64, CRC-32C of its
//! bytes u32 (0 for a staged one, whose batches carry their own), timestamp i64 of the
//! append.
//!
//! Version 1, of builds before there were versions, begins with "SLUF" and is otherwise the same.
//!
//! The CRC of a frame begins with the salt of the log instead of 0, which no client knows:
//! so no record that holds the bytes of a frame is ever taken for one.

#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use uuid::Uuid;

/// What a frame begins with, the version last.
const MAGIC: [u8; 4] = *b"SLF\x02";
const MAGIC_1: [u8; 4] = *b"SLUF";
const HEAD: usize = 40;
const ENTRY: usize = 76;
/// Before it stand magic and CRC.
const CRC_START: usize = 8;

/// How the bytes of an entry were made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::log) enum Kind {
    /// They are in the frame.
    Inline,
    /// They were synced in their segment.
    Reference,
    /// They are a whole segment file, synced and then renamed.
    Staged,
}

/// What a group appended to one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::log) struct Entry {
    pub(in crate::log) topic: Uuid,
    pub(in crate::log) partition: i32,
    pub(in crate::log) kind: Kind,
    pub(in crate::log) base: i64,
    pub(in crate::log) next: i64,
    pub(in crate::log) segment: i64,
    /// Position in the segment; for [`Kind::Staged`] the number of the staged file.
    pub(in crate::log) position: u64,
    pub(in crate::log) length: u64,
    pub(in crate::log) crc: u32,
    pub(in crate::log) time: i64,
}

/// What stands before the entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::log) struct Frame {
    pub(in crate::log) epoch: u64,
    pub(in crate::log) sequence: u64,
    /// The highest sequence that was known to be durable when this one was written.
    pub(in crate::log) durable: u64,
}

impl Frame {
    /// Writes a frame into `out`, which is cleared. `inline` yields the bytes of the
    /// inline entries, in their order.
    pub(in crate::log) fn encode<'a>(
        &self,
        salt: u32,
        entries: &[Entry],
        inline: impl Iterator<Item = &'a [u8]>,
        out: &mut Vec<u8>,
    ) {
        out.clear();
        let inline_bytes: u64 = entries
            .iter()
            .filter(|entry| entry.kind == Kind::Inline)
            .map(|entry| entry.length)
            .sum();
        let length = (HEAD + entries.len() * ENTRY) as u64 + inline_bytes;
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        out.extend_from_slice(&u32::try_from(entries.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend_from_slice(&self.epoch.to_be_bytes());
        out.extend_from_slice(&self.sequence.to_be_bytes());
        out.extend_from_slice(&self.durable.to_be_bytes());
        for entry in entries {
            entry.encode(out);
        }
        let crc = crc32c::crc32c_append(salt, out.get(CRC_START..).unwrap_or_default());
        if let Some(place) = out.get_mut(4..8) {
            place.copy_from_slice(&crc.to_be_bytes());
        }
        for bytes in inline {
            out.extend_from_slice(bytes);
        }
    }

    /// The length that a frame at the front of `page` says it has. The rest of it may
    /// still be wrong.
    pub(in crate::log) fn length(page: &[u8]) -> Option<usize> {
        let mut rest = page;
        [MAGIC, MAGIC_1].contains(&take(&mut rest)?).then_some(())?;
        take::<4>(&mut rest)?;
        let length = usize::try_from(u32::from_be_bytes(take(&mut rest)?)).ok()?;
        (length >= HEAD).then_some(length)
    }

    /// Reads a whole frame: its head, its entries, and the bytes behind them. `None` if
    /// anything in it is not as it was written.
    pub(in crate::log) fn decode(salt: u32, bytes: &[u8]) -> Option<(Self, Vec<Entry>, &[u8])> {
        let length = Self::length(bytes)?;
        let bytes = bytes.get(..length)?;
        let mut rest = bytes.get(4..)?;
        let crc = u32::from_be_bytes(take(&mut rest)?);
        take::<4>(&mut rest)?;
        let count = usize::try_from(u32::from_be_bytes(take(&mut rest)?)).ok()?;
        let frame = Self {
            epoch: u64::from_be_bytes(take(&mut rest)?),
            sequence: u64::from_be_bytes(take(&mut rest)?),
            durable: u64::from_be_bytes(take(&mut rest)?),
        };
        let end = count.checked_mul(ENTRY)?.checked_add(HEAD)?;
        if crc32c::crc32c_append(salt, bytes.get(CRC_START..end)?) != crc {
            return None;
        }
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            entries.push(Entry::decode(&mut rest)?);
        }
        let mut inline = rest;
        for entry in entries.iter().filter(|entry| entry.kind == Kind::Inline) {
            let (bytes, behind) = inline.split_at_checked(usize::try_from(entry.length).ok()?)?;
            (crc32c::crc32c(bytes) == entry.crc).then_some(())?;
            inline = behind;
        }
        inline.is_empty().then_some((frame, entries, rest))
    }
}

impl Entry {
    fn encode(&self, out: &mut Vec<u8>) {
        let kind: u32 = match self.kind {
            Kind::Inline => 0,
            Kind::Reference => 1,
            Kind::Staged => 2,
        };
        out.extend_from_slice(self.topic.as_bytes());
        out.extend_from_slice(&self.partition.to_be_bytes());
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&self.base.to_be_bytes());
        out.extend_from_slice(&self.next.to_be_bytes());
        out.extend_from_slice(&self.segment.to_be_bytes());
        out.extend_from_slice(&self.position.to_be_bytes());
        out.extend_from_slice(&self.length.to_be_bytes());
        out.extend_from_slice(&self.crc.to_be_bytes());
        out.extend_from_slice(&self.time.to_be_bytes());
    }

    fn decode(rest: &mut &[u8]) -> Option<Self> {
        Some(Self {
            topic: Uuid::from_bytes(take(rest)?),
            partition: i32::from_be_bytes(take(rest)?),
            kind: match u32::from_be_bytes(take(rest)?) {
                0 => Kind::Inline,
                1 => Kind::Reference,
                2 => Kind::Staged,
                _ => return None,
            },
            base: i64::from_be_bytes(take(rest)?),
            next: i64::from_be_bytes(take(rest)?),
            segment: i64::from_be_bytes(take(rest)?),
            position: u64::from_be_bytes(take(rest)?),
            length: u64::from_be_bytes(take(rest)?),
            crc: u32::from_be_bytes(take(rest)?),
            time: i64::from_be_bytes(take(rest)?),
        })
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, behind) = rest.split_first_chunk::<N>()?;
    *rest = behind;
    Some(*taken)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(kind: Kind, bytes: &[u8]) -> Entry {
        Entry {
            topic: Uuid::from_u128(7),
            partition: 3,
            kind,
            base: 10,
            next: 12,
            segment: 0,
            position: 99,
            length: bytes.len() as u64,
            crc: crc32c::crc32c(bytes),
            time: 1,
        }
    }

    fn example() -> (Frame, Vec<Entry>, Vec<u8>) {
        let frame = Frame { epoch: 2, sequence: 5, durable: 4 };
        let entries = vec![entry(Kind::Inline, b"abc"), entry(Kind::Reference, b"elsewhere")];
        let mut bytes = Vec::new();
        frame.encode(77, &entries, [b"abc".as_slice()].into_iter(), &mut bytes);
        (frame, entries, bytes)
    }

    #[test]
    fn a_frame_comes_back_as_it_was_written() {
        let (frame, entries, bytes) = example();
        assert_eq!(Frame::decode(77, &bytes), Some((frame, entries, b"abc".as_slice())));
    }

    #[test]
    fn a_frame_of_the_version_before_is_read() {
        let (frame, entries, mut bytes) = example();
        bytes.get_mut(..4).unwrap().copy_from_slice(b"SLUF");
        assert_eq!(Frame::decode(77, &bytes), Some((frame, entries, b"abc".as_slice())));
        bytes.get_mut(..4).unwrap().copy_from_slice(b"SLF\x03");
        assert_eq!(Frame::decode(77, &bytes), None);
    }

    #[test]
    fn the_page_about_the_format_shows_the_bytes_that_are_written() {
        let page = include_str!("../../../docs/log-format.md");
        let mut shown = page.split("```hex\n").skip(1).map(|rest| {
            let hex: Vec<u8> =
                rest.split("```").next().unwrap().bytes().filter(u8::is_ascii_hexdigit).collect();
            let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16);
            hex.chunks(2).map(|pair| byte(pair).unwrap()).collect::<Vec<u8>>()
        });
        assert_eq!(shown.next().unwrap(), example().2, "the frame");
        assert_eq!(shown.next().unwrap(), crate::record::empty_batch(10, 3, 1000), "the batch");
        assert_eq!(shown.next(), None);
        for (what, number) in [("entries", HEAD), ("76 each", 40), ("CRC of the bytes from 8", 4)] {
            assert!(page.contains(&format!("| {number} |")) && page.contains(what), "{what}");
        }
        assert!(page.contains(&format!("| {ENTRY} each |")));
    }

    #[test]
    fn a_frame_of_another_log_is_none() {
        let (.., bytes) = example();
        assert_eq!(Frame::decode(78, &bytes), None);
    }

    #[test]
    fn no_bit_may_be_turned_over() {
        let (.., bytes) = example();
        for bit in 0..bytes.len() * 8 {
            let mut wrong = bytes.clone();
            *wrong.get_mut(bit / 8).unwrap() ^= 1 << (bit % 8);
            assert_eq!(Frame::decode(77, &wrong), None, "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut frame = MAGIC.to_vec();
            frame.extend_from_slice(&bytes);
            let _ = Frame::decode(0, &frame);
        }
    }
}
