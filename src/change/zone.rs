//! The time zone of a server: when its clocks changed, and by how much.

use serde::{Deserialize, Serialize};

/// A zone as a server converts by it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerZone {
    /// What the server calls it: `SYSTEM (CET)`, `Europe/Berlin`, `+08:00`.
    pub name: String,
    /// From when on (seconds since 1970) clocks are how many seconds ahead of UTC, ascending.
    /// The first is at 0.
    pub changes: Vec<(u32, i32)>,
}

impl ServerZone {
    /// Seconds that clocks are ahead of UTC, so many seconds after 1970 began there.
    pub fn offset_at(&self, seconds: u32) -> i32 {
        let behind = self.changes.partition_point(|(from, _)| *from <= seconds);
        self.changes.get(behind.saturating_sub(1)).map_or(0, |(_, offset)| *offset)
    }

    /// What is said of it to people, who read at `now` (seconds since 1970).
    pub fn at(&self, now: u32) -> String {
        let offset = self.offset_at(now);
        let (sign, size) = (if offset < 0 { '-' } else { '+' }, offset.unsigned_abs());
        let (hours, minutes) = (size / 3600, size / 60 % 60);
        let changes = match self.changes.len().saturating_sub(1) {
            0 => "always".to_owned(),
            1 => "now, with one change of its clocks".to_owned(),
            many => format!("now, with {many} changes of its clocks since 1970"),
        };
        format!("{}: {sign}{hours:02}:{minutes:02} {changes}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_says_its_offset_of_now() {
        let zone =
            |changes: &[(u32, i32)]| ServerZone { name: "X".to_owned(), changes: changes.to_vec() };
        assert_eq!(zone(&[(0, -12_600)]).at(7), "X: -03:30 always");
        let two = zone(&[(0, 0), (5, 3600), (9, 0)]);
        assert_eq!(two.at(5), "X: +01:00 now, with 2 changes of its clocks since 1970");
        assert_eq!((two.offset_at(4), two.offset_at(5), two.offset_at(9)), (0, 3600, 0));
    }
}
