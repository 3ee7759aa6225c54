//! Zig-zag varints, as records use them: seven bits a byte, the lowest first, the sign in
//! the lowest bit.
#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

/// Bytes of the longest 64-bit varint.
const LONGEST: usize = 10;
/// Of the longest of 32 bits.
const LONGEST_SHORT: usize = 5;

fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}

/// How many bytes `value` takes.
pub(super) fn width(value: i64) -> usize {
    let bits = (64 - (zigzag(value) | 1).leading_zeros()) as usize;
    bits.div_ceil(7)
}

/// A length as a number to write.
pub(super) fn length(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// Appends `value`.
pub(super) fn put(out: &mut Vec<u8>, value: i64) {
    let start = out.len();
    out.resize(start + width(value), 0);
    put_over(out.get_mut(start..).unwrap_or_default(), value);
}

/// Writes `value` over the start of `out`, which must have [`width`] bytes for it.
pub(super) fn put_over(out: &mut [u8], value: i64) {
    let mut rest = zigzag(value);
    for byte in out {
        let [lowest, ..] = rest.to_le_bytes();
        rest >>= 7;
        *byte = if rest == 0 { lowest & 0x7f } else { lowest | 0x80 };
        if rest == 0 {
            return;
        }
    }
}

/// Takes a varint of 32 bits: a length, a count, an offset. `None` when it is cut, longer than
/// five bytes, or a larger number.
pub(super) fn take_short(bytes: &mut &[u8]) -> Option<i64> {
    let before = bytes.len();
    let value = take(bytes)?;
    (before - bytes.len() <= LONGEST_SHORT && i32::try_from(value).is_ok()).then_some(value)
}

/// Takes a varint off the front of `bytes`. `None` when it is cut or longer than 64 bits.
pub(super) fn take(bytes: &mut &[u8]) -> Option<i64> {
    let mut raw = 0u64;
    for (place, byte) in bytes.iter().enumerate().take(LONGEST) {
        let bits = u64::from(byte & 0x7f);
        let shift = 7 * u32::try_from(place).ok()?;
        if bits.leading_zeros() < shift {
            return None; // the tenth byte has room for one bit
        }
        raw |= bits << shift;
        if byte & 0x80 == 0 {
            *bytes = bytes.get(place + 1..)?;
            return Some((raw >> 1).cast_signed() ^ -((raw & 1).cast_signed()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const EDGES: [i64; 15] = [
        0,
        -1,
        1,
        63,
        -64,
        64,
        -65,
        8191,
        8192,
        -8193,
        1 << 20,
        i32::MAX as i64,
        i32::MIN as i64,
        i64::MAX,
        i64::MIN,
    ];

    #[test]
    fn every_number_comes_back_in_its_width() {
        for value in EDGES {
            let mut bytes = Vec::new();
            put(&mut bytes, value);
            assert_eq!(bytes.len(), width(value), "{value}");
            let mut over = vec![0xff; width(value)];
            put_over(&mut over, value);
            assert_eq!(over, bytes, "{value}");
            let mut rest = bytes.as_slice();
            assert_eq!(take(&mut rest), Some(value));
            assert!(rest.is_empty());
        }
    }

    #[test]
    fn cut_and_overlong_numbers_are_refused_and_padded_ones_read() {
        assert_eq!(take(&mut [].as_slice()), None);
        assert_eq!(take(&mut [0x80].as_slice()), None);
        assert_eq!(take(&mut [0xff; 11].as_slice()), None);
        let mut too_wide = [0xff; 10];
        too_wide[9] = 0x02;
        assert_eq!(take(&mut too_wide.as_slice()), None);
        assert_eq!(take(&mut [0x82, 0x80, 0x00].as_slice()), Some(1));
    }
}
