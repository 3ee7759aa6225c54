//! The time zone in which TIMESTAMP values are written.

use std::sync::Arc;

use jiff::tz::TimeZone;

/// Seconds of the largest offset that MySQL takes, `+14:00`.
const LARGEST_OFFSET: i32 = 14 * 3600;

/// A zone: a fixed offset, rules by name, or the changes of a server's clocks.
#[derive(Clone, Debug)]
pub struct Zone(Rule);

#[derive(Clone, Debug)]
enum Rule {
    Fixed(i32),
    Named(TimeZone),
    /// From when on clocks are how many seconds ahead of UTC, ascending.
    Changes(Arc<[(u32, i32)]>),
}

/// Why a text names no zone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no time zone: neither an offset such as `+08:00` nor a name such as `Asia/Shanghai` that this machine knows"
)]
pub struct ZoneError(String);

impl Zone {
    /// Coordinated universal time.
    pub const UTC: Self = Self(Rule::Fixed(0));

    /// Reads an offset (`+08:00`, `-3:30`), or the name of a zone of the tz database.
    pub fn parse(text: &str) -> Result<Self, ZoneError> {
        let text = text.trim();
        if let Some(offset) = offset(text) {
            return Ok(Self(Rule::Fixed(offset)));
        }
        let zone = TimeZone::get(text).map_err(|_| ZoneError(text.to_owned()))?;
        Ok(Self(match zone.to_fixed_offset() {
            Ok(offset) => Rule::Fixed(offset.seconds()),
            Err(_) => Rule::Named(zone),
        }))
    }

    /// The zone of clocks that from a moment on (seconds since 1970) are so many seconds ahead of
    /// UTC; before the first moment as at it.
    pub fn of_changes(changes: &[(u32, i32)]) -> Self {
        Self(match changes {
            [] => Rule::Fixed(0),
            [(_, offset)] => Rule::Fixed(*offset),
            [..] => Rule::Changes(Arc::from(changes)),
        })
    }

    /// Seconds that clocks are ahead of UTC, `seconds` after 1970 began there.
    pub(super) fn offset_at(&self, seconds: u32) -> i32 {
        match &self.0 {
            Rule::Fixed(offset) => *offset,
            Rule::Named(zone) => {
                let moment = jiff::Timestamp::from_second(i64::from(seconds));
                moment.map_or(0, |moment| zone.to_offset(moment).seconds())
            }
            Rule::Changes(changes) => {
                let behind = changes.partition_point(|(from, _)| *from <= seconds);
                changes.get(behind.saturating_sub(1)).map_or(0, |(_, offset)| *offset)
            }
        }
    }
}

/// Seconds of an offset in MySQL's spelling.
fn offset(text: &str) -> Option<i32> {
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let number = |text: &str, least: usize| -> Option<i32> {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        if digits && (least..=2).contains(&text.len()) { text.parse().ok() } else { None }
    };
    let (hours, minutes) = (number(hours, 1)?, number(minutes, 2)?);
    let seconds = hours * 3600 + minutes * 60;
    (minutes < 60 && seconds <= LARGEST_OFFSET).then_some(sign * seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offset_of(text: &str, seconds: u32) -> i32 {
        Zone::parse(text).unwrap().offset_at(seconds)
    }

    #[test]
    fn offsets_are_read_as_mysql_reads_them() {
        assert_eq!(offset_of("+00:00", 0), 0);
        assert_eq!(offset_of("+08:00", 0), 28_800);
        assert_eq!(offset_of(" -3:30 ", 0), -12_600);
        assert_eq!(offset_of("+14:00", 0), 50_400);
        for wrong in
            ["+14:01", "+1:60", "+1", "+-1:00", "8:00", "", "+:00", "+001:00", "Nowhere/Here"]
        {
            assert!(Zone::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn changes_hold_from_their_second_on() {
        let zone = Zone::of_changes(&[(100, 3600), (200, 7200), (201, -60)]);
        for (seconds, offset) in
            [(0, 3600), (100, 3600), (199, 3600), (200, 7200), (201, -60), (u32::MAX, -60)]
        {
            assert_eq!(zone.offset_at(seconds), offset, "at {seconds}");
        }
        assert_eq!(Zone::of_changes(&[(0, -5)]).offset_at(9), -5);
    }

    #[test]
    fn names_follow_their_rules_through_the_year() {
        assert_eq!(offset_of("UTC", 0), 0);
        let (winter, summer) = (1_704_067_200, 1_719_792_000);
        assert_eq!(offset_of("Europe/Berlin", winter), 3600);
        assert_eq!(offset_of("Europe/Berlin", summer), 7200);
    }
}
