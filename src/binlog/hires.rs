//! Dates and times with a fraction, as MariaDB stored them before 10.1, and does with
//! `mysql56_temporal_format=OFF`. Columns keep the form that they were made in.
//!
//! All big-endian, in as many bytes as the digits need (`Field_time_hires`, `Field_datetime_hires`,
//! `Field_timestamp_hires`, sql/field.cc): TIME and DATETIME one number that counts units of the last
//! digit, of TIME with an offset so that none is below zero; TIMESTAMP the seconds, and then the
//! fraction in units of its last digit. The wire says neither that a column is one of these nor its
//! digits: code and metadata are those of a column without a fraction.
#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use super::cursor::{Cursor, big_endian};
use super::{Date, DateTime, Error, Time, Timestamp};

/// Seconds of the largest TIME, 838:59:59, and one more.
pub(crate) const TIME_OFFSET: u64 = 838 * 3600 + 59 * 60 + 59 + 1;

/// Bytes of a TIME with so many digits, 1 to 6.
pub(crate) const fn time_length(fsp: u8) -> usize {
    match fsp {
        0 => 3,
        1 | 2 => 4,
        3..=5 => 5,
        _ => 6,
    }
}

/// Bytes of a DATETIME with so many digits.
pub(crate) const fn datetime_length(fsp: u8) -> usize {
    match fsp {
        0 => 5,
        1 | 2 => 6,
        3..=5 => 7,
        _ => 8,
    }
}

/// Bytes of a TIMESTAMP with so many digits.
pub(crate) const fn timestamp_length(fsp: u8) -> usize {
    4 + fsp.div_ceil(2) as usize
}

/// Units in a second.
fn units(fsp: u8) -> u64 {
    10_u64.pow(u32::from(fsp.min(6)))
}

/// Units in microseconds.
fn micros(count: u64, fsp: u8) -> u32 {
    u32::try_from(count * 10_u64.pow(u32::from(6 - fsp.min(6)))).unwrap_or(u32::MAX)
}

fn number(what: &'static str, raw: &[u8], length: usize) -> Result<u64, Error> {
    Ok(big_endian(Cursor::new(what, raw).take(length)?))
}

/// A part of a number that is small by what it is the rest of.
fn part<T: TryFrom<u64>>(what: &'static str, value: u64) -> Result<T, Error> {
    T::try_from(value).map_err(|_| Error::Impossible { what, value })
}

pub(super) fn time(raw: &[u8], fsp: u8) -> Result<Time, Error> {
    const WHAT: &str = "a TIME";
    let packed = number(WHAT, raw, time_length(fsp))?;
    let zero = TIME_OFFSET * units(fsp);
    let whole = packed.abs_diff(zero);
    if whole >= zero {
        return Err(Error::Impossible { what: WHAT, value: packed });
    }
    let seconds = whole / units(fsp);
    Ok(Time {
        negative: packed < zero,
        hours: part(WHAT, seconds / 3600)?,
        minutes: part(WHAT, seconds / 60 % 60)?,
        seconds: part(WHAT, seconds % 60)?,
        micros: micros(whole % units(fsp), fsp),
        fsp,
    })
}

/// Year, month (of 13), day (of 32), hour, minute, second and fraction, each in units of the next.
pub(super) fn datetime(raw: &[u8], fsp: u8) -> Result<DateTime, Error> {
    const WHAT: &str = "a DATETIME";
    let packed = number(WHAT, raw, datetime_length(fsp))?;
    let fraction = packed % units(fsp);
    let seconds = packed / units(fsp);
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let days = hours / 24;
    let months = days / 32;
    let year = months / 13;
    if year > 9999 {
        return Err(Error::Impossible { what: WHAT, value: packed });
    }
    Ok(DateTime {
        date: Date {
            year: part(WHAT, year)?,
            month: part(WHAT, months % 13)?,
            day: part(WHAT, days % 32)?,
        },
        hour: part(WHAT, hours % 24)?,
        minute: part(WHAT, minutes % 60)?,
        second: part(WHAT, seconds % 60)?,
        micros: micros(fraction, fsp),
        fsp,
    })
}

pub(super) fn timestamp(raw: &[u8], fsp: u8) -> Result<Timestamp, Error> {
    const WHAT: &str = "a TIMESTAMP";
    let mut cursor = Cursor::new(WHAT, raw);
    let seconds = u32::from_be_bytes(cursor.array()?);
    let fraction = big_endian(cursor.take(timestamp_length(fsp) - 4)?);
    if fraction >= units(fsp) {
        return Err(Error::Impossible { what: WHAT, value: fraction });
    }
    Ok(Timestamp { seconds, micros: micros(fraction, fsp), fsp })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let pairs = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
        pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
    }

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut text = Vec::new();
        write(&mut text);
        String::from_utf8(text).unwrap()
    }

    /// Bytes that MariaDB 10.11 wrote, and the texts it shows for them.
    #[test]
    fn values_are_the_servers_text() {
        for (fsp, raw, text) in [
            (1, "00000009", "-838:59:59.1"),
            (2, "00000058", "-838:59:59.12"),
            (3, "000000036d", "-838:59:59.123"),
            (4, "000000223e", "-838:59:59.1234"),
            (5, "0000015667", "-838:59:59.12345"),
            (6, "0000000d6000", "-838:59:59.123456"),
            (1, "01cce05f", "-00:00:00.1"),
            (6, "02bf3ddc99c0", "-00:00:00.123456"),
            (1, "01cd71d4", "01:02:03.6"),
        ] {
            let value = time(&bytes(raw), fsp).unwrap();
            assert_eq!(written(|out| value.write(out)), text);
        }
        for (fsp, raw, text) in [
            (1, "0344d965ffff", "9999-12-31 23:59:59.9"),
            (2, "20b07dfbfffe", "9999-12-31 23:59:59.98"),
            (3, "0146e4ebd7fff3", "9999-12-31 23:59:59.987"),
            (6, "04fcee3943bfcfc6", "9999-12-31 23:59:59.987654"),
            (1, "000000000000", "0000-00-00 00:00:00.0"),
            (1, "00a90e9b0b74", "2020-02-03 04:05:06.0"),
            (6, "0101f5e95459e089", "2020-02-03 04:05:06.000009"),
        ] {
            let value = datetime(&bytes(raw), fsp).unwrap();
            assert_eq!(written(|out| value.write(out)), text);
        }
        for (fsp, raw, text) in [
            (1, "5e0be10005", "2020-01-01 00:00:00.5"),
            (3, "5e0be10001f4", "2020-01-01 00:00:00.500"),
            (6, "5e0be10007a120", "2020-01-01 00:00:00.500000"),
        ] {
            let value = timestamp(&bytes(raw), fsp).unwrap().at_offset(0);
            assert_eq!(written(|out| value.write(out)), text);
        }
    }

    #[test]
    fn impossible_values_and_cut_ones_are_errors() {
        assert!(time(&[0xff; 4], 1).is_err());
        assert!(time(&[0; 4], 1).is_err());
        assert!(time(&[0; 3], 1).is_err());
        assert!(datetime(&[0xff; 8], 6).is_err());
        assert!(datetime(&[0; 7], 6).is_err());
        assert!(timestamp(&[0, 0, 0, 0, 0xff], 1).is_err());
        assert!(timestamp(&[0; 4], 1).is_err());
    }
}
