//! The bytes of a chunk, in several buffers.
//!
//! In: sealed batches. Out: their bytes one behind the other, for the segment and for the journal,
//! and the CRC over all of them. A large batch stays in the buffer that it was made in, small ones
//! are copied together: no buffer of many bytes is copied because it has to grow.

use std::io;

use crate::disk::File;
use crate::record::{Batch, CRC_START, set_base_offset, set_leader_epoch};

/// A batch that is larger is not copied.
pub(super) const LARGE: usize = KEPT_BUFFER / 2;
/// A buffer that grew as large is not kept for the next group.
pub(super) const KEPT_BUFFER: usize = 1 << 20;

/// Bytes in several buffers: a large batch stays in its own, small ones are copied together.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    /// Most have no more.
    first: Piece,
    more: Vec<Piece>,
}

#[derive(Debug, Default)]
struct Piece {
    bytes: Vec<u8>,
    /// Their CRC, where it is known. Nothing follows them in the same buffer.
    crc: Option<u32>,
}

impl Pieces {
    pub(super) fn in_buffer(bytes: Vec<u8>) -> Self {
        Self { first: Piece { bytes, crc: None }, more: Vec::new() }
    }

    fn pieces(&self) -> impl Iterator<Item = &Piece> {
        std::iter::once(&self.first).chain(&self.more)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.pieces().map(|piece| piece.bytes.as_slice())
    }

    pub(super) fn into_buffers(self) -> impl Iterator<Item = Vec<u8>> {
        std::iter::once(self.first).chain(self.more).map(|piece| piece.bytes)
    }

    pub(super) fn len(&self) -> usize {
        self.iter().map(<[u8]>::len).sum()
    }

    /// A batch, by where it begins and its size.
    pub(super) fn part(&self, from: u64, size: u64) -> Option<&[u8]> {
        let mut from = usize::try_from(from).ok()?;
        let size = usize::try_from(size).ok()?;
        for piece in self.iter() {
            if from < piece.len() {
                return piece.get(from..from.checked_add(size)?);
            }
            from -= piece.len();
        }
        None
    }

    /// Writes all of it at a position of a file.
    pub(super) fn write_at(&self, file: &File, mut position: u64) -> io::Result<()> {
        for piece in self.iter() {
            file.write_at(piece, position)?;
            position += piece.len() as u64;
        }
        Ok(())
    }

    pub(super) fn crc32c(&self) -> u32 {
        self.pieces().fold(0, |before, Piece { bytes, crc }| match crc {
            Some(crc) => crc32c::crc32c_combine(before, *crc, bytes.len()),
            None => crc32c::crc32c_append(before, bytes),
        })
    }

    /// The buffer behind which `size` bytes more are copied: no large one grows.
    pub(super) fn last(&mut self, size: usize, buffers: &mut Vec<Vec<u8>>) -> &mut Vec<u8> {
        let last = self.more.last().unwrap_or(&self.first);
        let length = last.bytes.len() + size;
        let grows = length > LARGE && length > last.bytes.capacity();
        if last.crc.is_some() || !last.bytes.is_empty() && grows {
            let bytes = buffers.pop().unwrap_or_default();
            self.more.push(Piece { bytes, crc: None });
        }
        &mut self.more.last_mut().unwrap_or(&mut self.first).bytes
    }

    /// Adds a sealed batch that begins at the offset `base`, in its own buffer. Its head has the CRC
    /// of nearly all of it.
    pub(super) fn push(
        &mut self,
        batch: Batch,
        base: i64,
        buffers: &mut Vec<Vec<u8>>,
    ) -> &mut [u8] {
        let behind = batch.head().crc;
        let mut bytes = batch.into_vec();
        set_place(&mut bytes, base);
        let (before, rest) = bytes.split_at(CRC_START);
        let crc = crc32c::crc32c_combine(crc32c::crc32c(before), behind, rest.len());
        let piece = Piece { bytes, crc: Some(crc) };
        if self.first.bytes.is_empty() {
            buffers.push(std::mem::replace(&mut self.first, piece).bytes);
        } else {
            self.more.push(piece);
        }
        &mut self.more.last_mut().unwrap_or(&mut self.first).bytes
    }
}

/// Gives a batch its place in the partition; its CRC does not cover it.
pub(super) fn set_place(batch: &mut [u8], base: i64) {
    set_base_offset(batch, base);
    set_leader_epoch(batch, 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{BatchBuilder, BatchView};

    fn batch(bytes: usize) -> Batch {
        let mut builder = BatchBuilder::default();
        builder.push(None, Some(&vec![b'x'; bytes]), &[]);
        let mut batch = builder.finish();
        batch.seal(17);
        batch
    }

    #[test]
    fn the_crc_of_pieces_is_that_of_their_bytes() {
        let mut buffers = Vec::new();
        let mut pieces = Pieces::default();
        let mut bytes = 0;
        let lengths = [LARGE, 10, LARGE * 3, 20, LARGE - 100, LARGE / 2];
        for (base, length) in (0..).step_by(1000).zip(lengths) {
            let batch = batch(length);
            let batch_size = batch.len();
            bytes += batch_size;
            if batch.len() > LARGE {
                pieces.push(batch, base, &mut buffers);
            } else {
                pieces.last(batch.len(), &mut buffers).extend_from_slice(batch.as_bytes());
            }
            let part = pieces.part((bytes - batch_size) as u64, batch_size as u64).unwrap();
            assert_eq!(part.len(), batch_size, "the one at {base}");
            assert!(BatchView::parse_stored(part).is_ok(), "the one at {base}");
            let all = pieces.iter().collect::<Vec<_>>().concat();
            assert_eq!((all.len(), pieces.len()), (bytes, bytes), "the one at {base}");
            assert_eq!(pieces.crc32c(), crc32c::crc32c(&all), "the one at {base}");
        }
        assert!(pieces.more.len() > 2);
    }
}
