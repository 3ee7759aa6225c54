//! Builds a batch in one vector: no allocation a record, and no copy of a value.
//!
//! A value is written in place by whoever makes it, so its length, and with it the
//! record's, are known only behind it. Both are varints that stand before it. They get the
//! width that the record before needed; only where that guess fails are the bytes behind
//! moved by the difference. So the lengths are the shortest there are, as from any other
//! producer.
//!
//! A record stays open until its headers are given: the last of a source transaction learns
//! that it is the last only at the commit.

use super::{Batch, HEAD_LENGTH, varint};

/// Bytes of a record with the least content: what a first guess of widths starts from.
const FIRST_WIDTH: usize = 2;

/// Collects records; see the head of this file.
#[derive(Debug)]
pub struct BatchBuilder {
    bytes: Vec<u8>,
    count: i32,
    open: Option<Open>,
    record_width: usize,
    value_width: usize,
}

/// A record that lacks its headers.
#[derive(Clone, Copy, Debug)]
struct Open {
    /// Where its length stands, `record_width` bytes wide.
    start: usize,
    /// Where its key and its value stand.
    key: Option<(usize, usize)>,
    value: Option<(usize, usize)>,
}

/// Where a batch stood between two records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    length: usize,
    count: i32,
}

/// Bytes of the longest batch that there can be.
const LONGEST: usize = i32::MAX as usize;

/// Bytes of the headers of a record: `lengths` are those of each name and value.
pub fn headers_length(lengths: &[(usize, usize)]) -> usize {
    let long = |length: usize| varint::width(varint::length(length)) + length;
    let each = lengths.iter().map(|(name, value)| long(*name) + long(*value));
    varint::width(varint::length(lengths.len())) + each.sum::<usize>()
}

/// The longest value that a batch of at most `limit` bytes has room for when it holds nothing but
/// the one record, without a key, and with `headers` bytes of headers.
pub fn value_room(limit: usize, headers: usize) -> usize {
    let width = |length: usize| varint::width(varint::length(length));
    // attributes, timestamp delta, offset delta, length of the key
    let fixed = 4 + headers;
    let size = |value: usize| {
        let record = fixed + width(value) + value;
        HEAD_LENGTH + width(record) + record
    };
    // The length of a batch has 32 bits.
    let limit = limit.min(LONGEST);
    let most = limit.saturating_sub(HEAD_LENGTH + fixed);
    (most.saturating_sub(2 * width(limit))..=most)
        .rev()
        .find(|value| size(*value) <= limit)
        .unwrap_or(0)
}

/// Key and value of a record that is still open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenRecord<'a> {
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value; `None` makes it a tombstone.
    pub value: Option<&'a [u8]>,
}

impl Default for BatchBuilder {
    fn default() -> Self {
        Self::with_capacity(0)
    }
}

impl BatchBuilder {
    /// An empty batch with room for `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        Self::within(Vec::with_capacity(capacity.max(HEAD_LENGTH)))
    }

    /// An empty batch in a buffer, whatever that holds.
    pub fn within(mut bytes: Vec<u8>) -> Self {
        bytes.clear();
        bytes.resize(HEAD_LENGTH, 0);
        Self { bytes, count: 0, open: None, record_width: FIRST_WIDTH, value_width: FIRST_WIDTH }
    }

    /// Opens a record whose value `write` appends to the vector it is given (and leaves
    /// alone what stands there). Returns the length of the value. A record still open is
    /// closed without headers; when `write` fails the new one never was.
    pub fn open<E>(
        &mut self,
        key: Option<&[u8]>,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<usize, E> {
        let (start, key) = self.begin(key);
        let guess = self.bytes.len();
        self.bytes.resize(guess + self.value_width, 0);
        let value = self.bytes.len();
        if let Err(error) = write(&mut self.bytes) {
            self.bytes.truncate(start);
            return Err(error);
        }
        let length = self.bytes.len() - value;
        let width = varint::width(varint::length(length));
        self.fit(guess, self.value_width, width);
        self.value_width = width;
        varint::put_over(&mut self.bytes[guess..], varint::length(length));
        self.open = Some(Open { start, key, value: Some((guess + width, length)) });
        Ok(length)
    }

    /// Opens a record without a value: a tombstone.
    fn open_tombstone(&mut self, key: Option<&[u8]>) {
        let (start, key) = self.begin(key);
        varint::put(&mut self.bytes, -1);
        self.open = Some(Open { start, key, value: None });
    }

    /// Gives the open record its headers. Without an open record it does nothing.
    pub fn close(&mut self, headers: &[(&str, &[u8])]) {
        let Some(Open { start, .. }) = self.open.take() else { return };
        varint::put(&mut self.bytes, varint::length(headers.len()));
        for (name, value) in headers {
            self.put_bytes(name.as_bytes());
            self.put_bytes(value);
        }
        let length = varint::length(self.bytes.len() - start - self.record_width);
        let width = varint::width(length);
        self.fit(start, self.record_width, width);
        self.record_width = width;
        varint::put_over(&mut self.bytes[start..], length);
        self.count += 1;
    }

    /// Takes the open record back: it never was.
    pub fn discard(&mut self) {
        if let Some(open) = self.open.take() {
            self.bytes.truncate(open.start);
        }
    }

    /// Closes a record still open, without headers, and says where the batch stands.
    pub fn mark(&mut self) -> Mark {
        self.close(&[]);
        Mark { length: self.bytes.len(), count: self.count }
    }

    /// Takes back what came behind `mark`, a record still open included.
    pub fn truncate(&mut self, mark: Mark) {
        self.bytes.truncate(mark.length.max(HEAD_LENGTH));
        self.count = self.count.min(mark.count);
        self.open = None;
    }

    /// A whole record at once.
    pub fn push(&mut self, key: Option<&[u8]>, value: Option<&[u8]>, headers: &[(&str, &[u8])]) {
        match value {
            None => self.open_tombstone(key),
            Some(value) => {
                let written: Result<usize, std::convert::Infallible> = self.open(key, |out| {
                    out.extend_from_slice(value);
                    Ok(())
                });
                let Ok(_) = written;
            }
        }
        self.close(headers);
    }

    /// Whether a record waits for its headers.
    pub fn has_open(&self) -> bool {
        self.open.is_some()
    }

    /// Key and value of the record that waits for its headers.
    pub fn open_record(&self) -> Option<OpenRecord<'_>> {
        let open = self.open?;
        let slice = |(start, length): (usize, usize)| &self.bytes[start..start + length];
        Some(OpenRecord { key: open.key.map(slice), value: open.value.map(slice) })
    }

    /// Records so far, the open one included.
    pub fn count(&self) -> i32 {
        self.count + i32::from(self.has_open())
    }

    /// Whether there is no record, not even an open one.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// Bytes so far, head and open record included.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The batch. A record still open is closed without headers.
    pub fn finish(mut self) -> Batch {
        self.close(&[]);
        Batch::new(self.bytes, self.count)
    }

    /// Forgets all records, and keeps the room.
    pub fn clear(&mut self) {
        self.bytes.truncate(HEAD_LENGTH);
        self.count = 0;
        self.open = None;
    }

    /// What stands before a value, up to the key. Returns where the record starts and
    /// where its key is.
    fn begin(&mut self, key: Option<&[u8]>) -> (usize, Option<(usize, usize)>) {
        self.close(&[]);
        let start = self.bytes.len();
        self.bytes.resize(start + self.record_width, 0);
        self.bytes.push(0); // attributes
        self.bytes.push(0); // timestamp delta: all records have the time of the append
        varint::put(&mut self.bytes, i64::from(self.count));
        match key {
            None => varint::put(&mut self.bytes, -1),
            Some(key) => self.put_bytes(key),
        }
        (start, key.map(|key| (self.bytes.len() - key.len(), key.len())))
    }

    fn put_bytes(&mut self, bytes: &[u8]) {
        varint::put(&mut self.bytes, varint::length(bytes.len()));
        self.bytes.extend_from_slice(bytes);
    }

    /// Makes the `guess` bytes at `place` `width` bytes, moving all behind them.
    fn fit(&mut self, place: usize, guess: usize, width: usize) {
        let end = self.bytes.len();
        if width > guess {
            self.bytes.resize(end + width - guess, 0);
        }
        if width != guess {
            self.bytes.copy_within(place + guess..end, place + width);
        }
        self.bytes.truncate(end + width - guess);
    }
}
