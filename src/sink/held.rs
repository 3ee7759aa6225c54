//! The form of a held XA branch: what its records lack until its XA COMMIT, and the bytes it
//! is kept as.
//!
//! In: parts whose records have their `tx` header, and say where their values stay open. Out:
//! pieces of a few hundred KiB, so that no message limit minds how large a branch is; and at
//! the XA COMMIT the same parts, closed, one at a time. What a record gets then may be much
//! larger than the record (an executed set of thousands of servers), so a part can come back as
//! many. Pure: a piece is a piece, wherever it is kept.
//!
//! Format: the parts one behind the other, cut anywhere: topic length u16, topic, partition
//! i32, partitions i32, batch length u32, batch (record batch v2); numbers big endian. A record
//! has the headers `tx` (as it will be), `parked` where it will have that, and `open`: start and
//! end of each open place of its value, u32, ascending.

use std::ops::Range;
use std::sync::Arc;

use super::{BATCH_BYTES, Part};
use crate::record::{Batch, BatchBuilder, BatchView};

/// Bytes at which a piece is cut.
pub(crate) const PIECE_BYTES: usize = 512 << 10;

/// How many places of a value stay open.
pub(crate) const OPEN_PLACES: usize = 3;

/// Where a value stays open: ranges of its bytes, ascending, with what is there for now.
pub(crate) type OpenPlaces = [Range<usize>; OPEN_PLACES];

/// What the records of a held branch get at its XA COMMIT.
#[derive(Clone, Copy, Debug)]
pub struct Closing<'a> {
    /// The header `binlog`: file and offset of the XA COMMIT.
    pub binlog: &'a str,
    /// The header `gtid`, where there is one.
    pub gtid: Option<&'a str>,
    /// What comes into the open places of each value.
    pub texts: [&'a [u8]; OPEN_PLACES],
}

/// A branch is kept in bytes that no branch has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a held XA branch cannot be read")]
pub(crate) struct Unreadable;

/// Gives the open record of `builder` what is known of it when its branch is prepared.
/// `parked` is its header of that name, if it has one.
pub(crate) fn leave_open(
    builder: &mut BatchBuilder,
    tx: &[u8],
    parked: Option<&[u8]>,
    places: &OpenPlaces,
) {
    let mut bytes = Vec::with_capacity(OPEN_PLACES * 8);
    for place in places.iter().flat_map(|place| [place.start, place.end]) {
        bytes.extend_from_slice(&u32::try_from(place).unwrap_or(u32::MAX).to_be_bytes());
    }
    let all: [(&str, &[u8]); 3] =
        [("tx", tx), ("open", &bytes), ("parked", parked.unwrap_or_default())];
    builder.close(if parked.is_some() { &all } else { &all[..2] });
}

/// Cuts a branch into pieces.
#[derive(Debug, Default)]
pub(crate) struct Cutter {
    rest: Vec<u8>,
}

impl Cutter {
    /// Adds a part; the pieces that are full with it.
    pub(crate) fn push(&mut self, mut part: Part) -> Vec<Vec<u8>> {
        // Its times are those of the append that publishes it.
        part.records.seal(0);
        let batch = part.records.as_bytes();
        let long = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        // Kafka's names have 249 letters at most.
        let name = u16::try_from(part.topic.len()).unwrap_or(u16::MAX);
        self.rest.extend_from_slice(&name.to_be_bytes());
        self.rest.extend_from_slice(part.topic.as_bytes());
        self.rest.extend_from_slice(&part.partition.to_be_bytes());
        self.rest.extend_from_slice(&part.partitions.to_be_bytes());
        self.rest.extend_from_slice(&long(batch.len()).to_be_bytes());
        self.rest.extend_from_slice(batch);
        let whole = self.rest.len() / PIECE_BYTES * PIECE_BYTES;
        let behind = self.rest.split_off(whole);
        let full = std::mem::replace(&mut self.rest, behind);
        full.chunks(PIECE_BYTES).map(<[u8]>::to_vec).collect()
    }

    /// The last piece, if anything is left.
    pub(crate) fn finish(self) -> Option<Vec<u8>> {
        (!self.rest.is_empty()).then_some(self.rest)
    }
}

/// Joins pieces to the parts they were cut from.
#[derive(Debug, Default)]
pub(crate) struct Joiner {
    bytes: Vec<u8>,
    /// Where the part at hand begins.
    begin: usize,
    /// How many of its records have been closed.
    closed: usize,
}

impl Joiner {
    /// Adds the next piece.
    pub(crate) fn push(&mut self, piece: &[u8]) {
        self.bytes.drain(..self.begin);
        self.begin = 0;
        self.bytes.extend_from_slice(piece);
    }

    /// The next records that are whole, closed: of one topic and partition, and as many as a
    /// batch holds. `None` when another piece is needed.
    pub(crate) fn next(&mut self, closing: &Closing<'_>) -> Result<Option<Part>, Unreadable> {
        let rest = self.bytes.get(self.begin..).unwrap_or_default();
        let Some(held) = read(rest)? else { return Ok(None) };
        let Held { topic, partition, partitions, batch, length } = held;
        let (records, closed) = close(batch, self.closed, closing)?;
        if let Some(closed) = closed {
            self.closed = closed;
        } else {
            self.begin += length;
            self.closed = 0;
        }
        Ok(Some(Part { topic, partition, partitions, records, branch: None }))
    }

    /// The next part that is whole, as it is held: its records as open as they are. `None` when
    /// another piece is needed.
    pub(crate) fn next_open(&mut self) -> Result<Option<Part>, Unreadable> {
        let rest = self.bytes.get(self.begin..).unwrap_or_default();
        let Some(held) = read(rest)? else { return Ok(None) };
        let Held { topic, partition, partitions, batch, length } = held;
        let records = copied(batch)?;
        self.begin += length;
        Ok(Some(Part { topic, partition, partitions, records, branch: None }))
    }

    /// Whether no part is begun.
    pub(crate) fn is_empty(&self) -> bool {
        self.begin == self.bytes.len()
    }
}

/// A part as it is held.
struct Held<'a> {
    topic: Arc<str>,
    partition: i32,
    partitions: i32,
    batch: &'a [u8],
    /// Bytes of all of it.
    length: usize,
}

/// The part at the begin of `bytes`; `None` if it is not whole.
fn read(bytes: &[u8]) -> Result<Option<Held<'_>>, Unreadable> {
    let mut rest = bytes;
    let mut take = |length: usize| {
        let (taken, behind) = rest.split_at_checked(length)?;
        rest = behind;
        Some(taken)
    };
    let mut head = || {
        let name = take(2).and_then(|bytes| bytes.try_into().ok()).map(u16::from_be_bytes)?;
        let topic = take(usize::from(name))?;
        let mut number = || take(4).and_then(|bytes| bytes.try_into().ok());
        let [partition, partitions] = [number()?, number()?].map(i32::from_be_bytes);
        let length = usize::try_from(number().map(u32::from_be_bytes)?).ok()?;
        Some((topic, partition, partitions, take(length)?))
    };
    let Some((topic, partition, partitions, batch)) = head() else { return Ok(None) };
    let topic = Arc::from(std::str::from_utf8(topic).map_err(|_| Unreadable)?);
    let length = bytes.len() - rest.len();
    Ok(Some(Held { topic, partition, partitions, batch, length }))
}

/// The records of the batch, as they are.
fn copied(batch: &[u8]) -> Result<Batch, Unreadable> {
    let view = BatchView::parse(batch).map_err(|_| Unreadable)?;
    let mut builder = BatchBuilder::with_capacity(batch.len());
    for record in view.records() {
        let record = record.map_err(|_| Unreadable)?;
        let mut headers = Vec::new();
        for (name, value) in record.headers {
            let name = std::str::from_utf8(name).map_err(|_| Unreadable)?;
            headers.push((name, value.ok_or(Unreadable)?));
        }
        builder.push(record.key, record.value, &headers);
    }
    Ok(builder.finish())
}

/// The records of the batch behind the first `done`, closed, as many as a batch holds; and how
/// many are done with them, if more are left.
fn close(
    batch: &[u8],
    done: usize,
    closing: &Closing<'_>,
) -> Result<(Batch, Option<usize>), Unreadable> {
    let view = BatchView::parse(batch).map_err(|_| Unreadable)?;
    let mut builder = BatchBuilder::with_capacity(batch.len().min(2 * BATCH_BYTES));
    for (number, record) in view.records().enumerate().skip(done) {
        if builder.len() >= BATCH_BYTES {
            return Ok((builder.finish(), Some(number)));
        }
        let mut record = record.map_err(|_| Unreadable)?;
        let (mut tx, mut open, mut parked) = (None, None, None);
        for (name, value) in record.headers.by_ref() {
            match name {
                b"tx" => tx = value,
                b"open" => open = value,
                b"parked" => parked = value,
                _ => return Err(Unreadable),
            }
        }
        let (tx, open) = (tx.ok_or(Unreadable)?, open.ok_or(Unreadable)?);
        let value = record.value.ok_or(Unreadable)?;
        builder.open(record.key, |out| fill(value, open, &closing.texts, out))?;
        builder.close(&headers(closing, tx, parked));
    }
    Ok((builder.finish(), None))
}

fn headers<'a>(
    closing: &Closing<'a>,
    tx: &'a [u8],
    parked: Option<&'a [u8]>,
) -> Vec<(&'static str, &'a [u8])> {
    let mut headers = vec![("binlog", closing.binlog.as_bytes()), ("tx", tx)];
    headers.extend(closing.gtid.map(|gtid| ("gtid", gtid.as_bytes())));
    headers.extend(parked.map(|parked| ("parked", parked)));
    headers
}

/// Appends the value with `texts` in its open places.
fn fill(
    value: &[u8],
    open: &[u8],
    texts: &[&[u8]; OPEN_PLACES],
    out: &mut Vec<u8>,
) -> Result<(), Unreadable> {
    let mut ends = open.chunks_exact(4).map(|four| match *four {
        [a, b, c, d] => usize::try_from(u32::from_be_bytes([a, b, c, d])).ok(),
        _ => None,
    });
    let mut written = 0;
    for text in texts {
        let (start, end) = (ends.next().flatten(), ends.next().flatten());
        let (start, end) = (start.ok_or(Unreadable)?, end.ok_or(Unreadable)?);
        out.extend_from_slice(value.get(written..start).ok_or(Unreadable)?);
        out.extend_from_slice(text);
        written = end;
    }
    out.extend_from_slice(value.get(written..).ok_or(Unreadable)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(topic: &str, partition: i32, value: &str) -> Part {
        let mut builder = BatchBuilder::default();
        let written: Result<usize, std::convert::Infallible> = builder.open(Some(b"key"), |out| {
            out.extend_from_slice(value.as_bytes());
            Ok(())
        });
        let Ok(length) = written;
        leave_open(&mut builder, b"0/end", None, &[1..1, 2..4, length..length]);
        Part {
            topic: topic.into(),
            partition,
            partitions: 3,
            records: builder.finish(),
            branch: None,
        }
    }

    fn join(pieces: &[Vec<u8>], closing: &Closing<'_>) -> Vec<Part> {
        let (mut joiner, mut joined) = (Joiner::default(), Vec::new());
        for piece in pieces {
            joiner.push(piece);
            while let Some(part) = joiner.next(closing).unwrap() {
                joined.push(part);
            }
        }
        assert!(joiner.is_empty());
        joined
    }

    const CLOSING: Closing<'_> =
        Closing { binlog: "b.1:4", gtid: Some("g:1"), texts: [b"<one>", b"<two>", b"<three>"] };

    #[test]
    fn a_branch_comes_back_part_by_part_with_its_open_places_filled() {
        let large = "x".repeat(3 * PIECE_BYTES);
        let parts = [part("a", 0, "abcdef"), part("b", 2, &large), part("a", 1, "abcdef")];
        let mut cutter = Cutter::default();
        let mut pieces: Vec<_> = parts.into_iter().flat_map(|part| cutter.push(part)).collect();
        pieces.extend(cutter.finish());
        assert_eq!(pieces.len(), 4);
        assert!(pieces.iter().all(|piece| piece.len() <= PIECE_BYTES));
        let joined = join(&pieces, &CLOSING);
        let places: Vec<_> = joined.iter().map(|part| (&*part.topic, part.partition)).collect();
        assert_eq!(places, [("a", 0), ("b", 2), ("a", 1)]);
        for part in &joined {
            let record = part.records.records().next().unwrap().unwrap();
            assert_eq!(record.key, Some(b"key".as_slice()));
            let headers: Vec<_> =
                record.headers.map(|(name, value)| (name, value.unwrap())).collect();
            assert_eq!(
                headers,
                [(b"binlog".as_slice(), b"b.1:4".as_slice()), (b"tx", b"0/end"), (b"gtid", b"g:1")]
            );
        }
        let record = joined[2].records.records().next().unwrap().unwrap();
        assert_eq!(record.value, Some(b"a<one>b<two>ef<three>".as_slice()));
    }

    #[test]
    fn a_batch_is_cut_where_what_its_records_get_makes_it_large() {
        const RECORDS: usize = 100;
        // As text, an executed set of some thousand servers.
        let set = "00000000-0000-0000-0000-000000000000:1-1000,".repeat(4000);
        let mut builder = BatchBuilder::default();
        for number in 0..RECORDS {
            let written: Result<usize, std::convert::Infallible> = builder.open(None, |out| {
                out.extend_from_slice(b"<>");
                Ok(())
            });
            let Ok(_) = written;
            leave_open(&mut builder, number.to_string().as_bytes(), None, &[1..1, 2..2, 2..2]);
        }
        let held = Part { records: builder.finish(), ..part("a", 0, "abcdef") };
        let small = held.records.len();
        let mut cutter = Cutter::default();
        let mut pieces = cutter.push(held);
        pieces.extend(cutter.finish());
        let closing = Closing { texts: [set.as_bytes(), b"", b""], ..CLOSING };
        let joined = join(&pieces, &closing);
        let largest = joined.iter().map(|part| part.records.len()).max().unwrap();
        assert!(largest < BATCH_BYTES + set.len() + small, "a batch of {largest} bytes");
        let records = joined.iter().flat_map(|part| part.records.records());
        let mut count = 0;
        for (number, record) in records.enumerate() {
            let record = record.unwrap();
            let tx = number.to_string();
            assert!(record.headers.into_iter().any(|one| one == (b"tx", Some(tx.as_bytes()))));
            assert_eq!(record.value.unwrap(), format!("<{set}>").as_bytes());
            count += 1;
        }
        assert_eq!(count, RECORDS);
    }

    #[test]
    fn bytes_of_no_branch_are_refused() {
        let mut cutter = Cutter::default();
        cutter.push(part("a", 0, "abcdef"));
        let whole = cutter.finish().unwrap();
        for at in 11..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x55;
            // Some bytes may be anything (a topic's name, a value); none may panic.
            let mut joiner = Joiner::default();
            joiner.push(&damaged);
            let _ = joiner.next(&CLOSING);
        }
        let mut joiner = Joiner::default();
        joiner.push(&whole[..whole.len() - 1]);
        assert!(joiner.next(&CLOSING).unwrap().is_none() && !joiner.is_empty());
    }
}
