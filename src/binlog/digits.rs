//! Digits of numbers as text, for all values that the server prints in digits.
//!
//! A copy of a few bytes whose number varies is a call; one whose number is fixed is a store
//! or two. So short texts are made in an array, appended whole, and cut to their length.

/// The digits of the longest number, `u64::MAX`.
const MOST_DIGITS: usize = 20;

/// `00` to `99`.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[b'0'; 2]; 100];
    let (mut value, mut digits) = (0, 0u8);
    while value < 100 {
        pairs[value] = [b'0' + digits / 10, b'0' + digits % 10];
        (value, digits) = (value + 1, digits + 1);
    }
    pairs
};

/// Appends the first `length` of `bytes`.
#[inline]
pub(crate) fn put_short<const N: usize>(out: &mut Vec<u8>, bytes: &[u8; N], length: usize) {
    let end = out.len() + length.min(N);
    out.extend_from_slice(bytes);
    out.truncate(end);
}

/// The two digits of a number; of a larger one than 99 its last two.
#[inline]
pub(crate) fn pair(value: u32) -> [u8; 2] {
    PAIRS[(value % 100) as usize]
}

/// Appends a number.
#[inline]
pub(crate) fn put_unsigned(out: &mut Vec<u8>, number: u64) {
    if let Ok(small @ 0..=9) = u8::try_from(number) {
        out.push(b'0' + small);
        return;
    }
    let mut text = [b'0'; MOST_DIGITS];
    let length = number.ilog10() as usize + 1;
    fill(&mut text[..length], number);
    put_short(out, &text, length);
}

/// Appends a number with its sign, if it has one.
#[inline]
pub(crate) fn put_signed(out: &mut Vec<u8>, number: i64) {
    if number < 0 {
        out.push(b'-');
    }
    put_unsigned(out, number.unsigned_abs());
}

/// Appends the last `digits` digits of a number, zeros in front.
#[inline]
pub(crate) fn put_padded(out: &mut Vec<u8>, number: u32, digits: usize) {
    let mut text = [b'0'; 10];
    let digits = digits.min(text.len());
    fill(&mut text[..digits], u64::from(number));
    put_short(out, &text, digits);
}

/// Writes the last digits of a number over all of `text`.
#[inline]
fn fill(text: &mut [u8], number: u64) {
    let mut rest = number;
    let (single, pairs) = text.as_rchunks_mut::<2>();
    for place in pairs.iter_mut().rev() {
        *place = PAIRS[(rest % 100) as usize];
        rest /= 100;
    }
    if let [first] = single {
        *first = PAIRS[(rest % 10) as usize][1];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = b"before ".to_vec();
        write(&mut out);
        String::from_utf8(out).unwrap().strip_prefix("before ").unwrap().to_owned()
    }

    #[test]
    fn numbers_of_every_length_are_spelt_as_the_standard_library_spells_them() {
        let powers = (0..20).map(|power| 10_u64.pow(power));
        let around = powers.flat_map(|power| [power - 1, power, power + 1, power / 3 * 2]);
        for number in around.chain([u64::MAX, u64::MAX - 1]) {
            assert_eq!(written(|out| put_unsigned(out, number)), number.to_string());
            let signed = number.cast_signed();
            assert_eq!(written(|out| put_signed(out, signed)), signed.to_string());
        }
        assert_eq!(written(|out| put_signed(out, i64::MIN)), i64::MIN.to_string());
    }

    #[test]
    fn padded_numbers_have_all_their_digits() {
        for digits in 0..=9 {
            for number in [0, 1, 9, 10, 12_345, 999_999_999] {
                let all = format!("{number:09}");
                let expected = &all[9 - digits..];
                assert_eq!(written(|out| put_padded(out, number, digits)), expected);
            }
        }
    }
}
