//! Dates and times in the packed forms of row images: the reverse of `binlog`'s `temporal` and
//! `hires`, which say what the forms are.

use crate::mysql::Value;

use super::Unfit;
use super::cell::unfit;

const DATE: Unfit = Unfit::Range { what: "a date" };
const TIME: Unfit = Unfit::Range { what: "a time" };

/// A date and time of a day, as the protocol has it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Moment {
    year: u16,
    month: u8,
    day: u8,
    hour: u8,
    minute: u8,
    second: u8,
    micros: u32,
}

impl Moment {
    #[inline]
    fn of(value: &Value) -> Result<Self, Unfit> {
        let Value::Date(year, month, day, hour, minute, second, micros) = *value else {
            return Err(unfit(value, "a date"));
        };
        let is_valid = year <= 9999
            && month <= 12
            && day <= 31
            && hour <= 23
            && minute <= 59
            && second <= 59
            && micros <= 999_999;
        if is_valid {
            Ok(Self { year, month, day, hour, minute, second, micros })
        } else {
            Err(DATE)
        }
    }

    fn is_zero(&self) -> bool {
        self.year == 0 && self.month == 0 && self.day == 0 && self.of_day() == 0 && self.micros == 0
    }

    /// Seconds of its day.
    fn of_day(&self) -> u64 {
        u64::from(self.hour) * 3600 + u64::from(self.minute) * 60 + u64::from(self.second)
    }

    /// Seconds since 1970, taken for UTC; the zero timestamp is 0.
    fn seconds(&self) -> Result<u32, Unfit> {
        /// Days from the first of March of the year -400.
        const TO_1970: u64 = 719_468 + 146_097;
        if self.is_zero() {
            return Ok(0);
        }
        if self.month == 0 || self.day == 0 {
            return Err(DATE);
        }
        // Years that begin with March, so that leap days come last; in eras of 400 of them.
        let month = u64::from(self.month);
        let year = u64::from(self.year) + 400 - u64::from(month <= 2);
        let (era, of_era) = (year / 400, year % 400);
        let of_year = (153 * ((month + 9) % 12) + 2) / 5 + u64::from(self.day) - 1;
        let day = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year;
        let seconds = day.checked_sub(TO_1970).ok_or(DATE)? * 86_400 + self.of_day();
        u32::try_from(seconds).map_err(|_| DATE)
    }
}

/// A length of time, as the protocol has it.
#[derive(Clone, Copy)]
struct Duration {
    negative: bool,
    hours: u32,
    minutes: u8,
    seconds: u8,
    micros: u32,
}

impl Duration {
    #[inline]
    fn of(value: &Value) -> Result<Self, Unfit> {
        let Value::Time(negative, days, hours, minutes, seconds, micros) = *value else {
            return Err(unfit(value, "a time"));
        };
        let hours = days.saturating_mul(24).saturating_add(u32::from(hours));
        if hours > 838 || minutes > 59 || seconds > 59 || micros > 999_999 {
            return Err(TIME);
        }
        Ok(Self { negative, hours, minutes, seconds, micros })
    }
}

/// The last `bytes` bytes of a number, big-endian.
#[inline]
fn put_big_endian(number: u64, bytes: usize, out: &mut Vec<u8>) {
    let all = number.to_be_bytes();
    out.extend_from_slice(&all[all.len() - bytes..]);
}

/// Two digits of a fraction take one byte: hundredths, ten-thousandths or microseconds.
#[inline]
fn fraction(micros: u32, fsp: u8) -> (u64, usize) {
    match fsp {
        0 => (0, 0),
        1 | 2 => (u64::from(micros / 10_000), 1),
        3 | 4 => (u64::from(micros / 100), 2),
        _ => (u64::from(micros), 3),
    }
}

pub(super) fn put_date(value: &Value, out: &mut Vec<u8>) -> Result<(), Unfit> {
    let Moment { year, month, day, .. } = Moment::of(value)?;
    let packed = u32::from(year) << 9 | u32::from(month) << 5 | u32::from(day);
    out.extend_from_slice(&packed.to_le_bytes()[..3]);
    Ok(())
}

pub(super) fn put_time(value: &Value, fsp: u8, out: &mut Vec<u8>) -> Result<(), Unfit> {
    let time = Duration::of(value)?;
    let (fraction, bytes) = fraction(time.micros, fsp);
    let clock = time.hours << 12 | u32::from(time.minutes) << 6 | u32::from(time.seconds);
    let whole = u64::from(clock) << (8 * bytes) | fraction;
    let zero = 0x80_0000_u64 << (8 * bytes);
    put_big_endian(if time.negative { zero - whole } else { zero + whole }, 3 + bytes, out);
    Ok(())
}

pub(super) fn put_old_time(value: &Value, out: &mut Vec<u8>) -> Result<(), Unfit> {
    let time = Duration::of(value)?;
    let number = time.hours * 10_000 + u32::from(time.minutes) * 100 + u32::from(time.seconds);
    let number = if time.negative { number.wrapping_neg() } else { number };
    out.extend_from_slice(&number.to_le_bytes()[..3]);
    Ok(())
}

pub(super) fn put_datetime(value: &Value, fsp: u8, out: &mut Vec<u8>) -> Result<(), Unfit> {
    let moment = Moment::of(value)?;
    let day = (u64::from(moment.year) * 13 + u64::from(moment.month)) << 5 | u64::from(moment.day);
    let clock = u64::from(moment.hour) << 12 | u64::from(moment.minute) << 6;
    let packed = day << 17 | clock | u64::from(moment.second);
    put_big_endian(0x80_0000_0000 + packed, 5, out);
    let (fraction, bytes) = fraction(moment.micros, fsp);
    put_big_endian(fraction, bytes, out);
    Ok(())
}

pub(super) fn put_old_datetime(value: &Value, out: &mut Vec<u8>) -> Result<(), Unfit> {
    let moment = Moment::of(value)?;
    let parts = [moment.month, moment.day, moment.hour, moment.minute, moment.second];
    let put = |number: u64, part: &u8| number * 100 + u64::from(*part);
    let number = parts.iter().fold(u64::from(moment.year), put);
    out.extend_from_slice(&number.to_le_bytes());
    Ok(())
}

pub(super) fn put_timestamp(value: &Value, fsp: u8, out: &mut Vec<u8>) -> Result<(), Unfit> {
    let moment = Moment::of(value)?;
    out.extend_from_slice(&moment.seconds()?.to_be_bytes());
    let (fraction, bytes) = fraction(moment.micros, fsp);
    put_big_endian(fraction, bytes, out);
    Ok(())
}

pub(super) fn put_old_timestamp(value: &Value, out: &mut Vec<u8>) -> Result<(), Unfit> {
    out.extend_from_slice(&Moment::of(value)?.seconds()?.to_le_bytes());
    Ok(())
}

/// Units of the last digit in a second.
fn units(fsp: u8) -> u64 {
    10_u64.pow(u32::from(fsp.min(6)))
}

/// Microseconds in units of the last digit.
fn in_units(micros: u32, fsp: u8) -> u64 {
    u64::from(micros) * units(fsp) / 1_000_000
}

pub(super) fn put_hires_time(value: &Value, fsp: u8, out: &mut Vec<u8>) -> Result<(), Unfit> {
    let time = Duration::of(value)?;
    let hours_and_minutes = u64::from(time.hours) * 60 + u64::from(time.minutes);
    let seconds = hours_and_minutes * 60 + u64::from(time.seconds);
    let whole = seconds * units(fsp) + in_units(time.micros, fsp);
    let zero = crate::binlog::hires::TIME_OFFSET * units(fsp);
    let number = if time.negative { zero - whole } else { zero + whole };
    put_big_endian(number, crate::binlog::hires::time_length(fsp), out);
    Ok(())
}

pub(super) fn put_hires_datetime(value: &Value, fsp: u8, out: &mut Vec<u8>) -> Result<(), Unfit> {
    let moment = Moment::of(value)?;
    let months = u64::from(moment.year) * 13 + u64::from(moment.month);
    let seconds = (months * 32 + u64::from(moment.day)) * 86_400 + moment.of_day();
    let number = seconds * units(fsp) + in_units(moment.micros, fsp);
    put_big_endian(number, crate::binlog::hires::datetime_length(fsp), out);
    Ok(())
}

pub(super) fn put_hires_timestamp(value: &Value, fsp: u8, out: &mut Vec<u8>) -> Result<(), Unfit> {
    let moment = Moment::of(value)?;
    out.extend_from_slice(&moment.seconds()?.to_be_bytes());
    let bytes = crate::binlog::hires::timestamp_length(fsp) - 4;
    put_big_endian(in_units(moment.micros, fsp), bytes, out);
    Ok(())
}
