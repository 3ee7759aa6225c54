//! MariaDB 12.3's `PARTIAL_ROW_DATA`: a rows event of more than 1 GiB, sent in pieces.
//!
//! Body: count of pieces u32, number of this one u32 (from 1), flags u8; with flag 1 (the first
//! piece) size of the whole event u64; then the piece.

#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use super::Error;
use super::cursor::Cursor;

/// The largest event that is joined.
const LARGEST_EVENT: u64 = 4 << 30;

/// One piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment<'a> {
    /// How many there are.
    pub total: u32,
    /// Which this is, from 1.
    pub number: u32,
    /// Bytes of the whole event, in the first piece.
    pub size: Option<u64>,
    /// The bytes.
    pub piece: &'a [u8],
}

impl<'a> Fragment<'a> {
    /// Reads the body.
    pub fn parse(body: &'a [u8]) -> Result<Self, Error> {
        let mut cursor = Cursor::new("PARTIAL_ROW_DATA", body);
        let (total, number, flags) = (cursor.u32()?, cursor.u32()?, cursor.u8()?);
        let size = if flags & 1 == 1 { Some(cursor.u64()?) } else { None };
        if number == 0 || number > total {
            return Err(cursor.impossible(u64::from(number)));
        }
        Ok(Self { total, number, size, piece: cursor.rest() })
    }
}

/// Joins the pieces of one event.
#[derive(Debug, Default)]
pub struct Fragments {
    joined: Vec<u8>,
    taken: u32,
    size: Option<u64>,
}

impl Fragments {
    /// Takes the next piece; the last one gives the whole event, header first.
    pub fn push(&mut self, fragment: Fragment<'_>) -> Result<Option<Vec<u8>>, Error> {
        const WHAT: &str = "PARTIAL_ROW_DATA";
        let impossible = |value| Error::Impossible { what: WHAT, value };
        if fragment.number != self.taken + 1 {
            return Err(impossible(u64::from(fragment.number)));
        }
        self.taken = fragment.number;
        self.size = self.size.or(fragment.size);
        let size = (self.joined.len() + fragment.piece.len()) as u64;
        let limit = self.size.unwrap_or(LARGEST_EVENT).min(LARGEST_EVENT);
        if size > limit {
            return Err(Error::TooLarge { what: WHAT, size, limit });
        }
        self.joined.extend_from_slice(fragment.piece);
        if fragment.number < fragment.total {
            return Ok(None);
        }
        if self.size.is_some_and(|stated| stated != size) {
            return Err(impossible(size));
        }
        *self = Self { joined: std::mem::take(&mut self.joined), ..Self::default() };
        Ok(Some(std::mem::take(&mut self.joined)))
    }

    /// Whether an event is begun and not yet whole.
    pub fn is_open(&self) -> bool {
        self.taken > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(total: u32, number: u32, size: Option<u64>, piece: &[u8]) -> Vec<u8> {
        let mut body = [total.to_le_bytes(), number.to_le_bytes()].concat();
        body.push(u8::from(size.is_some()));
        body.extend(size.iter().flat_map(|size| size.to_le_bytes()));
        body.extend_from_slice(piece);
        body
    }

    #[test]
    fn pieces_in_a_row_make_up_the_event_and_others_are_refused() {
        let mut fragments = Fragments::default();
        let mut push = |body: Vec<u8>| fragments.push(Fragment::parse(&body)?);
        assert_eq!(push(body(3, 1, Some(6), b"ab")), Ok(None));
        assert_eq!(push(body(3, 2, None, b"cd")), Ok(None));
        assert_eq!(push(body(3, 3, None, b"ef")), Ok(Some(b"abcdef".to_vec())));
        assert!(push(body(2, 2, None, b"x")).is_err(), "the first is missing");
        assert_eq!(push(body(2, 1, Some(3), b"ab")), Ok(None));
        assert!(push(body(2, 2, None, b"cd")).is_err(), "more than was announced");
        assert!(Fragment::parse(&body(2, 3, None, b"")).is_err(), "of two the third");
    }
}
