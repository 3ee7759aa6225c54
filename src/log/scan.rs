//! Reads the batches of a segment's file from its begin, a piece at a time.
//!
//! In: an open file, and how many bytes of it are committed. Out: each batch with its position.
//! What holds: a batch is shown only if its checksum is right; one that is not as it was written
//! ends the reading with an error that says where it is.

use std::io;

use super::segment::damaged;
use crate::disk::File;
use crate::record::{BatchView, Head, batches};

/// How much is in memory at once, or one batch.
const PIECE: u64 = 1 << 20;

/// Shows the batches in the first `size` bytes of `file` until `visit` answers false. What reading
/// fails with, `reading` makes an error of its caller.
pub(super) fn each_batch<E>(
    file: &File,
    size: u64,
    reading: impl Fn(io::Error) -> E,
    mut visit: impl FnMut(u64, BatchView<'_>) -> Result<bool, E>,
) -> Result<(), E> {
    let (mut bytes, mut position, mut wanted) = (Vec::new(), 0, PIECE);
    while position < size {
        let length = wanted.min(size - position);
        let fits = usize::try_from(length).map_err(io::Error::other);
        bytes.resize(fits.map_err(&reading)?, 0);
        file.read_exact_at(&mut bytes, position).map_err(&reading)?;
        let mut read = 0;
        for batch in batches(&bytes).map_while(Result::ok) {
            let at = position + read;
            read += batch.as_bytes().len() as u64;
            if !visit(at, batch)? {
                return Ok(());
            }
        }
        wanted = PIECE;
        if read == 0 {
            // One that is larger than the piece, or damaged.
            let head = Head::parse(&bytes).map(|head| head.size() as u64);
            match head {
                Ok(needed) if needed > length && position + needed <= size => wanted = needed,
                _ => return Err(reading(damaged(position))),
            }
        }
        position += read;
    }
    Ok(())
}
