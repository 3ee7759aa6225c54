//! Dates and times: the packed forms of row images and of JSON, and the server's text.
//!
//! Big-endian, so that bytes sort: DATETIME 5 bytes (1 bit sign, 17 year * 13 + month, 5 day,
//! 5 hour, 6 minute, 6 second) and TIME 3 bytes (sign, 1 unused, 10 hour, 6, 6), both offset by
//! their top bit; TIMESTAMP 4 bytes of seconds. Each is followed by its fraction: one byte of
//! hundredths, two of ten-thousandths or three of microseconds. A negative TIME is the negative
//! of the **whole** integer, fraction included (`my_time_packed_to_binary`, `mysys/my_time.cc`).

#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use super::Error;
use super::cursor::{Cursor, big_endian};
use super::digits::{pair, put_short, put_unsigned};

/// A DATE. Zero and partial dates (`2024-00-00`) are values too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date {
    /// 0 to 9999.
    pub year: u16,
    /// 0 to 12.
    pub month: u8,
    /// 0 to 31.
    pub day: u8,
}

/// A TIME: a length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time {
    /// Whether it is below zero.
    pub negative: bool,
    /// 0 to 838.
    pub hours: u16,
    /// 0 to 59.
    pub minutes: u8,
    /// 0 to 59.
    pub seconds: u8,
    /// 0 to 999999.
    pub micros: u32,
    /// Digits of the fraction that are printed.
    pub fsp: u8,
}

/// A DATETIME.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DateTime {
    /// The day.
    pub date: Date,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
    /// 0 to 999999.
    pub micros: u32,
    /// Digits of the fraction that are printed.
    pub fsp: u8,
}

/// A TIMESTAMP: a moment. MariaDB counts to 2106, so the seconds have no sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamp {
    /// Since 1970 in UTC; 0 (with no fraction) is the zero timestamp.
    pub seconds: u32,
    /// 0 to 999999.
    pub micros: u32,
    /// Digits of the fraction that are printed.
    pub fsp: u8,
}

impl Date {
    /// Day 5 bits, month 4, year 15, little-endian.
    #[inline]
    pub(crate) fn decode([low, middle, high]: [u8; 3]) -> Self {
        let packed = u32::from_le_bytes([low, middle, high, 0]);
        Self { day: bits(packed, 0, 5), month: bits(packed, 5, 4), year: wide(packed >> 9) }
    }

    fn from_year_month(year_month: u32, day: u8) -> Self {
        Self { year: wide(year_month / 13), month: bits(year_month % 13, 0, 8), day }
    }

    /// Appends `2024-05-17`.
    #[inline]
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.text());
    }

    #[inline]
    fn text(self) -> [u8; 10] {
        let year = u32::from(self.year);
        let ([y1, y2], [y3, y4]) = (pair(year / 100), pair(year));
        let ([m1, m2], [d1, d2]) = (pair(self.month.into()), pair(self.day.into()));
        [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2]
    }
}

impl Time {
    /// `raw`: 3 bytes and the fraction.
    #[inline]
    pub(crate) fn decode(raw: &[u8], fsp: u8) -> Result<Self, Error> {
        let length = 3 + usize::from(fsp.div_ceil(2));
        let raw = Cursor::new("a TIME", raw).take(length)?;
        let fraction_bits = 8 * (length - 3);
        let packed = big_endian(raw).cast_signed() - (0x80_0000 << fraction_bits);
        let whole = packed.unsigned_abs();
        let fraction = whole & ((1 << fraction_bits) - 1);
        let micros = micros_of(fraction, length - 3);
        Ok(Self::from_packed(packed < 0, low32(whole >> fraction_bits), micros, fsp))
    }

    /// Before 5.6: the decimal number hhmmss with a sign.
    pub(crate) fn decode_old([low, middle, high]: [u8; 3]) -> Self {
        let number = i32::from_le_bytes([0, low, middle, high]) >> 8;
        let digits = number.unsigned_abs();
        Self {
            negative: number < 0,
            hours: wide(digits / 10000),
            minutes: bits(digits / 100 % 100, 0, 8),
            seconds: bits(digits % 100, 0, 8),
            micros: 0,
            fsp: 0,
        }
    }

    /// As JSON has it: a signed integer of the packed time, 24 bits of microseconds below it.
    pub(crate) fn decode_json(packed: i64) -> Self {
        let whole = packed.unsigned_abs();
        Self::from_packed(packed < 0, low32(whole >> 24), low32(whole & 0xff_ffff), 6)
    }

    fn from_packed(negative: bool, packed: u32, micros: u32, fsp: u8) -> Self {
        Self {
            negative,
            hours: wide(packed >> 12 & 0x3ff),
            minutes: bits(packed, 6, 6),
            seconds: bits(packed, 0, 6),
            micros,
            fsp,
        }
    }

    /// Appends `-838:59:59.000000`: two digits of hours at least.
    #[inline]
    pub fn write(&self, out: &mut Vec<u8>) {
        if self.negative {
            out.push(b'-');
        }
        if self.hours >= 100 {
            put_unsigned(out, u64::from(self.hours / 100));
        }
        out.extend_from_slice(&clock(u32::from(self.hours), self.minutes, self.seconds));
        write_fraction(self.micros, self.fsp, out);
    }
}

impl DateTime {
    /// `raw`: 5 bytes and the fraction.
    #[inline]
    pub(crate) fn decode(raw: &[u8], fsp: u8) -> Result<Self, Error> {
        const WHAT: &str = "a DATETIME";
        let fraction_length = usize::from(fsp.div_ceil(2));
        let mut cursor = Cursor::new(WHAT, raw);
        let packed = big_endian(cursor.take(5)?);
        let fraction = big_endian(cursor.take(fraction_length)?);
        let packed = packed.checked_sub(0x80_0000_0000);
        let packed = packed.ok_or(Error::Impossible { what: WHAT, value: 0 })?;
        Ok(Self::from_packed(packed, micros_of(fraction, fraction_length), fsp))
    }

    /// Before 5.6: the decimal number yyyymmddhhmmss.
    pub(crate) fn decode_old(raw: [u8; 8]) -> Result<Self, Error> {
        let number = u64::from_le_bytes(raw);
        if number > 99_999_999_999_999 {
            return Err(Error::Impossible { what: "a DATETIME", value: number });
        }
        let two = |unit: u64| bits(low32(number / unit % 100), 0, 8);
        Ok(Self {
            date: Date {
                year: wide(low32(number / 10_000_000_000)),
                month: two(100_000_000),
                day: two(1_000_000),
            },
            hour: two(10_000),
            minute: two(100),
            second: two(1),
            micros: 0,
            fsp: 0,
        })
    }

    /// As JSON has it: the packed time, 24 bits of microseconds below it.
    pub(crate) fn decode_json(packed: i64) -> Self {
        let whole = packed.unsigned_abs();
        Self::from_packed(whole >> 24, low32(whole & 0xff_ffff), 6)
    }

    fn from_packed(packed: u64, micros: u32, fsp: u8) -> Self {
        let clock = low32(packed & 0x1_ffff);
        let day = low32(packed >> 17);
        Self {
            date: Date::from_year_month(day >> 5, bits(day, 0, 5)),
            hour: bits(clock, 12, 5),
            minute: bits(clock, 6, 6),
            second: bits(clock, 0, 6),
            micros,
            fsp,
        }
    }

    /// Appends `2024-05-17 10:00:00.123`.
    #[inline]
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut text = [b' '; 19];
        let (date, time) = text.split_at_mut(11);
        if let Some(date) = date.first_chunk_mut() {
            *date = self.date.text();
        }
        time.copy_from_slice(&clock(u32::from(self.hour), self.minute, self.second));
        out.extend_from_slice(&text);
        write_fraction(self.micros, self.fsp, out);
    }
}

impl Timestamp {
    /// `raw`: 4 bytes and the fraction.
    #[inline]
    pub(crate) fn decode(raw: &[u8], fsp: u8) -> Result<Self, Error> {
        let mut cursor = Cursor::new("a TIMESTAMP", raw);
        let seconds = u32::from_be_bytes(cursor.array()?);
        let fraction_length = usize::from(fsp.div_ceil(2));
        let fraction = big_endian(cursor.take(fraction_length)?);
        Ok(Self { seconds, micros: micros_of(fraction, fraction_length), fsp })
    }

    /// Whether it is the zero timestamp, which is no moment: `0000-00-00 00:00:00` in all zones.
    pub fn is_zero(&self) -> bool {
        self.seconds == 0 && self.micros == 0
    }

    /// What clocks show that are `offset` seconds ahead of UTC.
    pub fn at_offset(&self, offset: i32) -> DateTime {
        let Self { micros, fsp, .. } = *self;
        if self.is_zero() {
            let date = Date { year: 0, month: 0, day: 0 };
            return DateTime { date, hour: 0, minute: 0, second: 0, micros, fsp };
        }
        let seconds = i64::from(self.seconds) + i64::from(offset) + SECONDS_TO_1970;
        let seconds = seconds.unsigned_abs();
        let of_day = low32(seconds % 86_400);
        DateTime {
            date: date_of_day(low32(seconds / 86_400)),
            hour: bits(of_day / 3600, 0, 8),
            minute: bits(of_day / 60 % 60, 0, 8),
            second: bits(of_day % 60, 0, 8),
            micros,
            fsp,
        }
    }
}

/// Days from 0000-03-01 to 1970-01-01.
const DAYS_TO_1970: u32 = 719_468;
const SECONDS_TO_1970: i64 = 86_400 * DAYS_TO_1970 as i64;

/// The proleptic Gregorian date of a day counted from 0000-03-01 (days of 400-year eras that begin
/// with a March, so that leap days come last).
fn date_of_day(day: u32) -> Date {
    let (era, of_era) = (day / 146_097, day % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u32::from(month <= 2);
    Date { year: wide(year), month: bits(month, 0, 8), day: bits(day, 0, 8) }
}

/// A fraction of `length` bytes, in microseconds.
#[inline]
fn micros_of(fraction: u64, length: usize) -> u32 {
    let fraction = low32(fraction);
    match length {
        0 => 0,
        1 => fraction * 10_000,
        2 => fraction * 100,
        _ => fraction,
    }
}

/// `count` bits (8 at most) of `value` from bit `from` on.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "masked to 8 bits at most")]
const fn bits(value: u32, from: u32, count: u32) -> u8 {
    (value >> from & ((1 << count) - 1)) as u8
}

#[inline]
const fn wide(value: u32) -> u16 {
    (value & 0xffff) as u16
}

#[inline]
const fn low32(value: u64) -> u32 {
    (value & 0xffff_ffff) as u32
}

/// `10:20:30`; of more hours than 99 the last two digits.
#[inline]
fn clock(hours: u32, minutes: u8, seconds: u8) -> [u8; 8] {
    let ([h1, h2], [m1, m2]) = (pair(hours), pair(minutes.into()));
    let [s1, s2] = pair(seconds.into());
    [h1, h2, b':', m1, m2, b':', s1, s2]
}

/// A point and `digits` digits of the microseconds, cut off, not rounded.
#[inline]
fn write_fraction(micros: u32, digits: u8, out: &mut Vec<u8>) {
    if digits == 0 {
        return;
    }
    let ([m1, m2], [m3, m4]) = (pair(micros / 10_000), pair(micros / 100));
    let [m5, m6] = pair(micros);
    put_short(out, &[b'.', m1, m2, m3, m4, m5, m6], 1 + usize::from(digits));
}
