//! Which segments of a partition are to go. Pure.
//!
//! Kafka's rules (`UnifiedLog.deleteOldSegments`): whole segments, oldest first; by time those
//! whose largest timestamp is too old, by size as long as the rest is still large enough. If
//! all are to go, the one that is appended to is rolled first. A segment whose records have no
//! timestamps is as old as its last append (`LogSegment.largestTimestamp`).

use crate::clock::Moment;

/// What the rules have to know of a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) base: i64,
    pub(super) size: u64,
    /// Of its newest record; -1 where there is no record, none where it was not read yet.
    pub(super) time: Option<i64>,
}

/// What the rules say, as far as times are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Where the partition is to start: the base of the first segment that stays. `None` if all
    /// stay.
    pub(super) start: Option<i64>,
    /// The segment whose time has to be read to say more.
    pub(super) unread: Option<usize>,
}

/// The age of this segment cannot be judged without the time of that one.
struct Unread(usize);

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

    /// Whether the one at `at` is too old.
    fn is_old(&self, segments: &[Held], at: usize) -> Result<bool, Unread> {
        let Some(keep) = self.keep else { return Ok(false) };
        let time = |at: usize| segments[at].time.ok_or(Unread(at));
        let mut found = time(at)?;
        if found >= 0 && !self.is_right(found) {
            found = -1;
            for next in at + 1..segments.len() {
                let next = time(next)?;
                if self.is_right(next) {
                    found = next;
                    break;
                }
            }
        }
        Ok(found >= 0 && self.now.earliest.saturating_sub(found) > keep)
    }
}

/// Where the partition, which ends at `end`, is to start. The last of `segments` is the one that
/// is appended to.
pub(super) fn start(segments: &[Held], end: i64, ages: &Ages, bytes: Option<u64>) -> Verdict {
    let mut total: u64 = segments.iter().map(|segment| segment.size).sum();
    let mut gone = 0;
    let mut unread = None;
    for (at, segment) in segments.iter().enumerate().filter(|(_, one)| one.size > 0) {
        let large = bytes.is_some_and(|keep| total - segment.size >= keep);
        if !large {
            match ages.is_old(segments, at) {
                Ok(true) => {}
                Ok(false) => break,
                Err(Unread(at)) => {
                    unread = Some(at);
                    break;
                }
            }
        }
        total -= segment.size;
        gone += 1;
    }
    let first_kept = || segments.get(gone).map_or(end, |segment| segment.base);
    Verdict { start: (gone > 0).then(first_kept), unread }
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
        let held = |base, time| Held { base, size: 100, time: Some(time) };
        vec![held(0, 1000), held(10, 2000), held(20, 3000)]
    }

    /// Of segments whose times are known.
    fn start(segments: &[Held], end: i64, ages: &Ages, bytes: Option<u64>) -> Option<i64> {
        let Verdict { start, unread } = super::start(segments, end, ages, bytes);
        assert_eq!(unread, None);
        start
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
        ahead[0].time = Some(1 << 50);
        for (now, expected) in [(2500, None), (2501, Some(20)), (3501, Some(30))] {
            assert_eq!(start(&ahead, 30, &at(now, Some(500)), None), expected, "{now}");
        }
        ahead[1].time = Some(-1);
        assert_eq!(
            start(&ahead, 30, &at(3500, Some(500)), None),
            None,
            "what is empty says nothing"
        );
        // As far ahead as the topic takes it, it is what the client meant.
        ahead[0].time = Some(5000);
        assert_eq!(start(&ahead, 30, &at(3501, Some(500)), None), None);
        for one in &mut ahead {
            one.time = Some(1 << 50);
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
    fn only_times_that_decide_are_asked_for() {
        let mut unread = segments();
        for one in &mut unread[..2] {
            one.time = None;
        }
        let asked = |segments: &[Held], ages: &Ages, bytes| {
            let Verdict { start, unread } = super::start(segments, 30, ages, bytes);
            (start, unread)
        };
        let old = at(2600, Some(500));
        assert_eq!(asked(&unread, &at(0, None), None), (None, None), "nothing ends by time");
        assert_eq!(asked(&unread, &old, None), (None, Some(0)));
        assert_eq!(asked(&unread, &old, Some(200)), (Some(10), Some(1)), "by size it goes anyway");
        unread[0].time = Some(1000);
        assert_eq!(asked(&unread, &at(1500, Some(500)), None), (None, None), "the first stays");
        assert_eq!(asked(&unread, &old, None), (Some(10), Some(1)), "what is known goes");
        // Of one from a wrong clock those behind it tell.
        unread[0].time = Some(1 << 50);
        assert_eq!(asked(&unread, &old, None), (None, Some(1)));
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
