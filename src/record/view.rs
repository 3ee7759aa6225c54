//! Batches that somebody else wrote: checked, then read where they lie.
#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use super::head::{CRC_START, Compression, Head};
use super::{Error, HEAD_LENGTH, varint};

/// One whole batch, its checksum and lengths verified.
#[derive(Clone, Copy, Debug)]
pub struct BatchView<'a> {
    head: Head,
    bytes: &'a [u8],
}

impl<'a> BatchView<'a> {
    /// Reads `bytes` as exactly one batch fresh from a producer: magic, length, CRC, and
    /// one record for each offset it takes.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let view = Self::parse_stored(bytes)?;
        if view.bytes.len() != bytes.len() {
            return Err(Error::Trailing(bytes.len() - view.bytes.len()));
        }
        let Head { count, last_offset_delta, .. } = view.head;
        // 2^31 - 1 as the last delta would count past an i32
        if count < 1 || last_offset_delta.checked_add(1) != Some(count) {
            return Err(Error::Count { count, last_offset_delta });
        }
        Ok(view)
    }

    /// Reads the batch at the front of `bytes` as a segment may hold it: compaction takes
    /// records out of a batch and leaves the offsets it takes.
    pub fn parse_stored(bytes: &'a [u8]) -> Result<Self, Error> {
        let head = Head::parse(bytes)?;
        let Some(bytes) = bytes.get(..head.size()) else {
            return Err(Error::Cut { needed: head.size(), found: bytes.len() });
        };
        let found = crc32c::crc32c(bytes.get(CRC_START..).unwrap_or_default());
        if found != head.crc {
            return Err(Error::Crc { expected: head.crc, found });
        }
        let Head { count, last_offset_delta, .. } = head;
        if count < 0 || last_offset_delta < 0 || i64::from(count) > i64::from(last_offset_delta) + 1
        {
            return Err(Error::Count { count, last_offset_delta });
        }
        Ok(Self { head, bytes })
    }

    /// What was built or verified before.
    pub(super) fn trusted(head: Head, bytes: &'a [u8]) -> Self {
        Self { head, bytes }
    }

    /// The head.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The whole batch.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The records in order. Of a compressed batch the first item is the error that says so.
    pub fn records(&self) -> Records<'a> {
        Records {
            head: self.head,
            rest: self.bytes.get(HEAD_LENGTH..).unwrap_or_default(),
            index: 0,
            failed: false,
        }
    }
}

/// The batches that lie back to back in `bytes`, each checked as
/// [`BatchView::parse_stored`] does. Ends at the first that is cut or broken.
pub fn batches(bytes: &[u8]) -> Batches<'_> {
    Batches { rest: bytes }
}

/// See [`batches`].
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<BatchView<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let batch = BatchView::parse_stored(self.rest);
        self.rest = match &batch {
            Ok(view) => self.rest.get(view.bytes.len()..).unwrap_or_default(),
            Err(_) => &[],
        };
        Some(batch)
    }
}

/// One record, where it lies.
#[derive(Clone, Debug)]
pub struct RecordView<'a> {
    /// Its offset.
    pub offset: i64,
    /// Its timestamp, in milliseconds since 1970.
    pub timestamp: i64,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value; `None` makes it a tombstone.
    pub value: Option<&'a [u8]>,
    /// Its headers.
    pub headers: Headers<'a>,
    /// All its bytes, length included.
    raw: &'a [u8],
}

impl<'a> RecordView<'a> {
    /// All its bytes, length included.
    pub(super) fn raw(&self) -> &'a [u8] {
        self.raw
    }
}

/// The records of a batch.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    head: Head,
    rest: &'a [u8],
    index: i32,
    failed: bool,
}

impl Records<'_> {
    /// Whether no bytes are left behind those that were read.
    pub(super) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<RecordView<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.index >= self.head.count {
            return None;
        }
        let record = match self.head.compression() {
            Compression::None => take_record(&self.head, &mut self.rest)
                .map_err(|reason| Error::Record { index: self.index, reason }),
            other => Err(Error::Compressed(other)),
        };
        self.failed = record.is_err();
        self.index += 1;
        Some(record)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let most = usize::try_from(self.head.count.saturating_sub(self.index)).unwrap_or(0);
        // a record takes seven bytes at least: never trust the count alone
        (0, Some(most.min(self.rest.len())))
    }
}

/// The headers of a record: name and value.
#[derive(Clone, Debug, Default)]
pub struct Headers<'a> {
    count: usize,
    rest: &'a [u8],
}

impl Headers<'_> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        self.count = self.count.checked_sub(1)?;
        take_header(&mut self.rest).ok()
    }
}

fn take_record<'a>(head: &Head, rest: &mut &'a [u8]) -> Result<RecordView<'a>, &'static str> {
    let whole = *rest;
    let length = varint::take_short(rest).ok_or("its length is cut or too large")?;
    let length = usize::try_from(length).map_err(|_| "its length is negative")?;
    let (mut body, behind) = rest.split_at_checked(length).ok_or("it is longer than the batch")?;
    let raw = whole.get(..whole.len() - behind.len()).unwrap_or_default();
    *rest = behind;
    let (_attributes, after) = body.split_first().ok_or("its attributes are missing")?;
    body = after;
    let timestamp_delta = varint::take(&mut body).ok_or("its timestamp is cut")?;
    let offset_delta = varint::take_short(&mut body).ok_or("its offset is cut or too large")?;
    let key = take_nullable(&mut body).map_err(|()| "its key is cut")?;
    let value = take_nullable(&mut body).map_err(|()| "its value is cut")?;
    let headers = take_headers(body)?;
    let (offset, timestamp) = head.place(offset_delta, timestamp_delta);
    Ok(RecordView { offset, timestamp, key, value, headers, raw })
}

/// Walks all headers once, so that reading them later cannot fail.
fn take_headers(mut body: &[u8]) -> Result<Headers<'_>, &'static str> {
    let count = varint::take_short(&mut body).ok_or("its header count is cut or too large")?;
    let count = usize::try_from(count).map_err(|_| "its header count is negative")?;
    let headers = Headers { count, rest: body };
    for _ in 0..count {
        take_header(&mut body)?;
    }
    if body.is_empty() { Ok(headers) } else { Err("bytes follow its headers") }
}

fn take_header<'a>(rest: &mut &'a [u8]) -> Result<(&'a [u8], Option<&'a [u8]>), &'static str> {
    let name = take_nullable(rest).map_err(|()| "a header's name is cut")?;
    let value = take_nullable(rest).map_err(|()| "a header's value is cut")?;
    Ok((name.ok_or("a header has no name")?, value))
}

/// A length and as many bytes; -1 is null.
fn take_nullable<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, ()> {
    let length = varint::take_short(rest).ok_or(())?;
    if length == -1 {
        return Ok(None);
    }
    let length = usize::try_from(length).map_err(|_| ())?;
    let (bytes, behind) = rest.split_at_checked(length).ok_or(())?;
    *rest = behind;
    Ok(Some(bytes))
}
