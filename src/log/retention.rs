//! Which segments of a partition are to go. Pure.
//!
//! Kafka's rules (`UnifiedLog.deleteOldSegments`): whole segments, oldest first; by time those
//! whose largest timestamp is too old, by size as long as the rest is still large enough. If
//! all are to go, the one that is appended to is rolled first.

use crate::clock::Moment;

/// What the rules have to know of a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) base: i64,
    pub(super) size: u64,
    /// -1 where there is no record.
    pub(super) largest_timestamp: i64,
}

/// By what the age of a segment is judged, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ages {
    /// So old a segment may become.
    pub(super) keep: Option<i64>,
    pub(super) now: Moment,
    /// A record is taken that lies so far ahead (`message.timestamp.after.max.ms`). One farther
    /// ahead came while the clock was: its segment is as old as the next that has a right time.
    pub(super) most_ahead: i64,
}

impl Ages {
    fn is_right(&self, timestamp: i64) -> bool {
        (0..=self.now.latest.saturating_add(self.most_ahead)).contains(&timestamp)
    }

    /// Whether the first of `segments` is too old.
    fn is_old(&self, segments: &[Held]) -> bool {
        let Some(keep) = self.keep else { return false };
        let mut largest = segments.iter().map(|segment| segment.largest_timestamp);
        let time = match largest.next() {
            // Records without timestamps have no age.
            Some(time) if time >= 0 && !self.is_right(time) => largest.find(|t| self.is_right(*t)),
            time => time.filter(|time| *time >= 0),
        };
        time.is_some_and(|time| self.now.earliest.saturating_sub(time) > keep)
    }
}

/// Where the partition, which ends at `end`, is to start: the base of the first segment that
/// stays. `None` if all stay. The last of `segments` is the one that is appended to.
pub(super) fn start(segments: &[Held], end: i64, ages: &Ages, bytes: Option<u64>) -> Option<i64> {
    let mut total: u64 = segments.iter().map(|segment| segment.size).sum();
    let mut gone = 0;
    for (at, segment) in segments.iter().enumerate().filter(|(_, one)| one.size > 0) {
        let old = ages.is_old(&segments[at..]);
        let large = bytes.is_some_and(|keep| total - segment.size >= keep);
        if !(old || large) {
            break;
        }
        total -= segment.size;
        gone += 1;
    }
    if gone == 0 { None } else { Some(segments.get(gone).map_or(end, |segment| segment.base)) }
}

/// How many segments lie wholly before `start`, by their base offsets: the last is never
/// among them.
pub(super) fn before(bases: &[i64], start: i64) -> usize {
    bases.iter().skip(1).take_while(|base| **base <= start).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments() -> Vec<Held> {
        let held = |base, largest_timestamp| Held { base, size: 100, largest_timestamp };
        vec![held(0, 1000), held(10, 2000), held(20, 3000)]
    }

    fn at(now: i64, keep: Option<i64>) -> Ages {
        let now = Moment { wall: now, earliest: now, latest: now, steady: 0 };
        Ages { keep, now, most_ahead: 2000 }
    }

    #[test]
    fn old_segments_go_by_time() {
        for (now, expected, why) in [
            (1500, None, "none is older"),
            (1501, Some(10), "one is"),
            (3500, Some(20), "two are"),
            (3501, Some(30), "the last too"),
        ] {
            assert_eq!(start(&segments(), 30, &at(now, Some(500)), None), expected, "{why}");
        }
    }

    #[test]
    fn what_came_while_the_clock_was_ahead_is_as_old_as_what_came_behind_it() {
        let mut ahead = segments();
        ahead[0].largest_timestamp = 1 << 50;
        for (now, expected) in [(2500, None), (2501, Some(20)), (3501, Some(30))] {
            assert_eq!(start(&ahead, 30, &at(now, Some(500)), None), expected, "{now}");
        }
        ahead[1].largest_timestamp = -1;
        assert_eq!(start(&ahead, 30, &at(3500, Some(500)), None), None, "the last is not old");
        // As far ahead as the topic takes it, it is what the client meant.
        ahead[0].largest_timestamp = 5000;
        assert_eq!(start(&ahead, 30, &at(3501, Some(500)), None), None);
        for one in &mut ahead {
            one.largest_timestamp = 1 << 50;
        }
        assert_eq!(start(&ahead, 30, &at(3501, Some(500)), None), None, "nothing tells");
    }

    #[test]
    fn nothing_goes_by_a_clock_that_jumped() {
        let mut ages = at(1000, Some(500));
        ages.now.latest = 1 << 50;
        ages.now.wall = 1 << 50;
        assert_eq!(start(&segments(), 30, &ages, None), None);
    }

    #[test]
    fn segments_go_by_size_while_enough_stays() {
        for (bytes, expected) in [(250, None), (200, Some(10)), (1, Some(20)), (0, Some(30))] {
            assert_eq!(start(&segments(), 30, &at(0, None), Some(bytes)), expected, "{bytes}");
        }
    }

    #[test]
    fn a_segment_goes_when_the_next_begins_at_the_start_or_before() {
        assert_eq!(before(&[0, 10, 20], 9), 0);
        assert_eq!(before(&[0, 10, 20], 10), 1);
        assert_eq!(before(&[0, 10, 20], 500), 2);
    }
}
