//! Floating point numbers in Java's spelling, as `Float.toString` and `Double.toString`
//! have it: plain from 1e-3 to below 1e7, else `d.ddEn`, and always a digit behind the
//! point. The digits are the shortest that read back as the same number, which is what
//! Java has printed since 19 (and Canal, on older ones, only mostly); where one digit would
//! do, the nearest of two (`4.9E-324`, the smallest double), as its documentation has it.

use std::fmt::LowerExp;
use std::io::Write as _;

use crate::binlog::digits::put_unsigned;

/// Digits of the longest shortest double.
const MOST_DIGITS: usize = 17;
/// Digits behind the first that are enough to write any float exactly.
const MOST_DIGITS_OF_FLOAT: usize = 112;
/// Powers of ten of the first digit that are written without an exponent.
const PLAIN: std::ops::Range<i32> = -3..7;
/// Below this power of ten a float may be so coarse that its second digit is not zero
/// where its first alone would do; above it, the second is always zero.
const LOWEST_NORMAL_FLOAT: i32 = -37;

/// Appends `number` as `Double.toString` spells it.
pub(super) fn put_double(out: &mut Vec<u8>, number: f64) {
    if number.is_finite() {
        let mut buffer = zmij::Buffer::new();
        let shortest = buffer.format_finite(number).as_bytes();
        if !put_at_once(out, shortest, number.abs()) {
            put(out, shortest, &number);
        }
    } else {
        put_special(out, number);
    }
}

/// Appends `number` as `Float.toString` spells it.
pub(super) fn put_float(out: &mut Vec<u8>, number: f32) {
    if number.is_finite() {
        let mut buffer = zmij::Buffer::new();
        let shortest = buffer.format_finite(number).as_bytes();
        if !put_at_once(out, shortest, f64::from(number.abs())) {
            put(out, shortest, &number);
        }
    } else {
        put_special(out, f64::from(number));
    }
}

/// Appends all digits of a number so small that it lost some of its bits, in the spelling of
/// [`put_float`]: C's `strtof` takes fewer for an error of range where they are not exactly the
/// number (`ERANGE`), and so does what reads with it.
pub(super) fn put_exact_float(out: &mut Vec<u8>, number: f32) {
    let start = out.len();
    // Writing to a vector cannot fail.
    let _ = write!(out, "{number:.MOST_DIGITS_OF_FLOAT$e}");
    let Some(mantissa) = out[start..].iter().position(|byte| *byte == b'e') else { return };
    let end = start + mantissa;
    let zeros = out[start..end].iter().rev().take_while(|digit| **digit == b'0').count();
    out[end] = b'E';
    out.drain(end - zeros..end);
}

/// No server stores these, but a row image could hold them.
fn put_special(out: &mut Vec<u8>, number: f64) {
    out.extend_from_slice(match number {
        _ if number.is_nan() => b"NaN",
        _ if number > 0.0 => b"Infinity".as_slice(),
        _ => b"-Infinity",
    });
}

/// Appends a number from 1e-3 on that has a point and no exponent in `shortest`: it is spelt so, or
/// its point moves and an exponent comes behind. False for others, of which nothing is appended.
fn put_at_once(out: &mut Vec<u8>, shortest: &[u8], absolute: f64) -> bool {
    /// From here on it has an exponent.
    const LARGE: f64 = 1e7;
    /// Whole numbers that are larger may have digits which do not count.
    const HUGE: f64 = 1e15;
    if !(1e-3..HUGE).contains(&absolute) {
        return false;
    }
    let is_part = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    let point = shortest.iter().position(|byte| *byte == b'.');
    let Some(point) = point.filter(|_| shortest.iter().all(is_part)) else { return false };
    if absolute < LARGE {
        out.extend_from_slice(shortest);
        return true;
    }
    let (before, behind) = (&shortest[..point], &shortest[point + 1..]);
    if behind == b"0" {
        return false;
    }
    let first = usize::from(before[0] == b'-') + 1;
    let exponent = before.len() - first;
    out.extend_from_slice(&before[..first]);
    out.push(b'.');
    out.extend_from_slice(&before[first..]);
    out.extend_from_slice(behind);
    out.push(b'E');
    put_unsigned(out, exponent as u64);
    true
}

/// Respells `shortest`, the digits of `number` with or without point and exponent.
fn put(out: &mut Vec<u8>, shortest: &[u8], number: &impl LowerExp) {
    let unsigned = shortest.strip_prefix(b"-").unwrap_or(shortest);
    if unsigned.len() < shortest.len() {
        out.push(b'-');
    }
    let (mut digits, mut count, mut exponent) = take_apart(unsigned);
    if count == 1 && exponent < LOWEST_NORMAL_FLOAT {
        let mut two = [0; 16];
        let mut rest = two.as_mut_slice();
        if write!(rest, "{number:.1e}").is_ok() {
            let left = rest.len();
            let two = two.get(..two.len() - left).unwrap_or_default();
            (digits, count, exponent) = take_apart(two.strip_prefix(b"-").unwrap_or(two));
        }
    }
    let digits = &digits[..count];
    if count == 0 {
        out.extend_from_slice(b"0.0");
    } else if PLAIN.contains(&exponent) {
        put_plain(out, digits, exponent);
    } else {
        put_split(out, digits, 1);
        out.push(b'E');
        out.extend_from_slice(itoa::Buffer::new().format(exponent).as_bytes());
    }
}

/// The digits without zeros around them, how many, and the power of ten of the first.
fn take_apart(number: &[u8]) -> ([u8; MOST_DIGITS], usize, i32) {
    let (mut digits, mut count, mut exponent) = ([b'0'; MOST_DIGITS], 0, 0);
    let (mut before_point, mut zeros) = (true, 0);
    let mut letters = number.iter();
    for letter in letters.by_ref() {
        match letter {
            b'.' => before_point = false,
            b'0'..=b'9' => {
                if count == 0 && *letter == b'0' {
                    exponent -= i32::from(!before_point);
                    continue;
                }
                exponent += i32::from(before_point);
                zeros = if *letter == b'0' { zeros + 1 } else { 0 };
                if let Some(place) = digits.get_mut(count) {
                    *place = *letter;
                }
                count += 1;
            }
            _ => break, // the exponent begins
        }
    }
    let written = std::str::from_utf8(letters.as_slice()).unwrap_or("");
    let written: i32 = written.trim_start_matches('+').parse().unwrap_or(0);
    (digits, (count - zeros).min(MOST_DIGITS), exponent - 1 + written)
}

fn put_plain(out: &mut Vec<u8>, digits: &[u8], exponent: i32) {
    if let Ok(power) = usize::try_from(exponent) {
        put_split(out, digits, power + 1);
    } else {
        out.extend_from_slice(b"0.");
        (exponent + 1..0).for_each(|_| out.push(b'0'));
        out.extend_from_slice(digits);
    }
}

/// `digits` with a point behind the first `whole` of them, zeros where there are none.
fn put_split(out: &mut Vec<u8>, digits: &[u8], whole: usize) {
    let (before, behind) = digits.split_at(whole.min(digits.len()));
    out.extend_from_slice(before);
    (before.len()..whole).for_each(|_| out.push(b'0'));
    out.push(b'.');
    out.extend_from_slice(if behind.is_empty() { b"0" } else { behind });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn double(number: f64) -> String {
        let mut out = Vec::new();
        put_double(&mut out, number);
        String::from_utf8(out).unwrap()
    }

    fn float(number: f32) -> String {
        let mut out = Vec::new();
        put_float(&mut out, number);
        String::from_utf8(out).unwrap()
    }

    /// Those of golden/canal's types that Java 17 spells with the shortest digits, and the
    /// examples of `Double.toString`'s documentation.
    #[test]
    fn doubles_are_spelt_as_java_spells_them() {
        for (number, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-1.5, "-1.5"),
            (0.1, "0.1"),
            (0.001, "0.001"),
            (0.000_999, "9.99E-4"),
            (0.012_34, "0.01234"),
            (123_456.789, "123456.789"),
            (1e6, "1000000.0"),
            (9_999_999.0, "9999999.0"),
            (1e7, "1.0E7"),
            (12_345_678.0, "1.2345678E7"),
            (99_999_999.99, "9.999999999E7"),
            (1e10, "1.0E10"),
            (1e100, "1.0E100"),
            (2e23, "2.0E23"),
            (1e-7, "1.0E-7"),
            (f64::MAX, "1.7976931348623157E308"),
            (f64::MIN_POSITIVE, "2.2250738585072014E-308"),
            (5e-324, "4.9E-324"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(double(number), text);
        }
    }

    #[test]
    fn floats_are_spelt_from_their_32_bits() {
        for (number, text) in [
            (1.1, "1.1"),
            (0.1, "0.1"),
            (16_777_216.0, "1.6777216E7"),
            (3.402_823_5e38, "3.4028235E38"),
            (1.175_494_4e-38, "1.1754944E-38"),
            (100.0, "100.0"),
            (1e-45, "1.4E-45"),
            (99_999.99, "99999.99"),
        ] {
            assert_eq!(float(number), text);
        }
    }

    #[test]
    fn numbers_spelt_at_once_are_spelt_as_those_taken_apart() {
        let mut bits = 0x3f50_0000_0000_0000_u64;
        let mut at_once = 0;
        // From 1e-3 to 1e16, with few digits and with many.
        while f64::from_bits(bits) < 1e16 {
            for number in
                [f64::from_bits(bits), f64::from_bits(bits).round(), -f64::from_bits(bits)]
            {
                let mut buffer = zmij::Buffer::new();
                let shortest = buffer.format_finite(number).as_bytes();
                let (mut short, mut long) = (Vec::new(), Vec::new());
                put(&mut long, shortest, &number);
                if put_at_once(&mut short, shortest, number.abs()) {
                    at_once += 1;
                    assert_eq!(short, long, "{number}");
                } else {
                    assert_eq!(short, b"");
                }
            }
            bits += 0x0000_0a3d_70a3_d70b;
        }
        assert!(at_once > 20_000, "{at_once}");
    }

    #[test]
    fn every_spelling_reads_back_as_the_same_number() {
        let mut bits = 0x0123_4567_89ab_cdef_u64;
        for _ in 0..20_000 {
            bits = bits
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let number = f64::from_bits(bits);
            if number.is_finite() {
                assert_eq!(double(number).parse(), Ok(number));
            }
        }
    }
}
