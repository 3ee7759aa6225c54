//! Reads fields from the front of bytes, checking every length. All decoders are built on it.

#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use super::Error;

/// What is left of some bytes, and their name for errors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    what: &'static str,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { bytes, what }
    }

    /// What is left.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn cut(&self, needed: usize) -> Error {
        Error::Cut { what: self.what, needed, left: self.bytes.len() }
    }

    pub(crate) fn impossible(&self, value: u64) -> Error {
        Error::Impossible { what: self.what, value }
    }

    #[inline]
    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or_else(|| self.cut(length))?;
        self.bytes = rest;
        Ok(taken)
    }

    /// As [`Self::take`], for a length that was itself read.
    pub(crate) fn take_long(&mut self, length: u64) -> Result<&'a [u8], Error> {
        self.take(usize::try_from(length).unwrap_or(usize::MAX))
    }

    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (taken, rest) = self.bytes.split_first_chunk::<N>().ok_or_else(|| self.cut(N))?;
        self.bytes = rest;
        Ok(*taken)
    }

    #[inline]
    pub(crate) fn u8(&mut self) -> Result<u8, Error> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Error> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Error> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Error> {
        self.array().map(u64::from_le_bytes)
    }

    /// A little-endian integer of up to 8 bytes.
    pub(crate) fn uint(&mut self, length: usize) -> Result<u64, Error> {
        Ok(little_endian(self.take(length)?))
    }

    /// A length-encoded integer.
    pub(crate) fn lenenc(&mut self) -> Result<u64, Error> {
        match self.u8()? {
            byte @ 0..=250 => Ok(u64::from(byte)),
            252 => self.uint(2),
            253 => self.uint(3),
            254 => self.uint(8),
            byte @ (251 | 255) => Err(self.impossible(u64::from(byte))),
        }
    }

    /// Bytes with their length-encoded length before them.
    pub(crate) fn lenenc_bytes(&mut self) -> Result<&'a [u8], Error> {
        let length = self.lenenc()?;
        self.take_long(length)
    }

    /// UTF-8 text of `length` bytes.
    pub(crate) fn text(&mut self, length: usize) -> Result<&'a str, Error> {
        let what = self.what;
        std::str::from_utf8(self.take(length)?).map_err(|_| Error::NotUtf8 { what })
    }
}

/// A little-endian integer; of more than 8 bytes the first 8.
#[inline]
pub(crate) fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// A big-endian integer; of more than 8 bytes the first 8.
#[inline]
pub(crate) fn big_endian(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).fold(0, |value, byte| value << 8 | u64::from(*byte))
}
