//! Which segments of a partition are to go. Pure.
//!
//! Kafka's rules (`UnifiedLog.deleteOldSegments`): whole segments, oldest first; by time those
//! whose largest timestamp is too old, by size as long as the rest is still large enough. If
//! all are to go, the one that is appended to is rolled first.

/// What the rules have to know of a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) base: i64,
    pub(super) size: u64,
    /// -1 where there is no record.
    pub(super) largest_timestamp: i64,
}

/// Where the partition, which ends at `end`, is to start: the base of the first segment that
/// stays. `None` if all stay. The last of `segments` is the one that is appended to.
pub(super) fn start(
    segments: &[Held],
    end: i64,
    milliseconds: Option<i64>,
    bytes: Option<u64>,
    now: i64,
) -> Option<i64> {
    let mut total: u64 = segments.iter().map(|segment| segment.size).sum();
    let mut gone = 0;
    for segment in segments.iter().filter(|segment| segment.size > 0) {
        // Records without timestamps have no age.
        let dated = segment.largest_timestamp >= 0;
        let old = milliseconds.is_some_and(|keep| now - segment.largest_timestamp > keep) && dated;
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

    #[test]
    fn old_segments_go_by_time() {
        assert_eq!(start(&segments(), 30, Some(500), None, 1500), None);
        assert_eq!(start(&segments(), 30, Some(500), None, 1501), Some(10));
        assert_eq!(start(&segments(), 30, Some(500), None, 3500), Some(20));
        assert_eq!(start(&segments(), 30, Some(500), None, 3501), Some(30), "the last too");
    }

    #[test]
    fn segments_go_by_size_while_enough_stays() {
        assert_eq!(start(&segments(), 30, None, Some(250), 0), None);
        assert_eq!(start(&segments(), 30, None, Some(200), 0), Some(10));
        assert_eq!(start(&segments(), 30, None, Some(1), 0), Some(20));
        assert_eq!(start(&segments(), 30, None, Some(0), 0), Some(30));
    }

    #[test]
    fn a_segment_goes_when_the_next_begins_at_the_start_or_before() {
        assert_eq!(before(&[0, 10, 20], 9), 0);
        assert_eq!(before(&[0, 10, 20], 10), 1);
        assert_eq!(before(&[0, 10, 20], 500), 2);
    }
}
