//! The variable-length integers of MySQL's serialization library (`libs/mysql/serialization/
//! variable_length_integers.h`), which tagged GTIDs use in sets and in their event.
//!
//! The trailing one-bits of the first byte say how many bytes follow it; the value is the
//! little-endian whole shifted right by their number plus one. `0xff` is followed by eight
//! plain bytes.

#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

/// Takes one from the front of `bytes`; `None` when it is cut.
pub(crate) fn read_unsigned(bytes: &mut &[u8]) -> Option<u64> {
    let (first, rest) = bytes.split_first()?;
    let following = first.trailing_ones() as usize;
    let (tail, rest) = rest.split_at_checked(following)?;
    let mut raw = [0; 9];
    raw.first_chunk_mut::<1>()?.copy_from_slice(&[*first]);
    raw.get_mut(1..=following)?.copy_from_slice(tail);
    *bytes = rest;
    if following == 8 {
        return Some(u64::from_le_bytes(*raw.last_chunk::<8>()?));
    }
    Some(u64::from_le_bytes(*raw.first_chunk::<8>()?) >> (following + 1))
}

/// As [`read_unsigned`]; the lowest bit is the sign, and -1 follows 0.
pub(crate) fn read_signed(bytes: &mut &[u8]) -> Option<i64> {
    let raw = read_unsigned(bytes)?;
    let magnitude = i64::try_from(raw >> 1).ok()?;
    Some(if raw & 1 == 1 { -1 - magnitude } else { magnitude })
}

/// Appends `value` in the shortest form.
pub(crate) fn write_unsigned(value: u64, out: &mut Vec<u8>) {
    let bits = 64 - value.leading_zeros();
    // Seven bits of the value for each byte, the first included, up to eight bytes in all.
    let following = (bits.saturating_sub(1) / 7).min(8);
    if following >= 8 {
        out.push(0xff);
        out.extend_from_slice(&value.to_le_bytes());
        return;
    }
    let marked = (value << (following + 1)) | ((1 << following) - 1);
    out.extend(marked.to_le_bytes().into_iter().take(following as usize + 1));
}
