//! Places in the binlog of one server, and their order.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::change::{EventPlace, FileName, MySqlPosition};

/// A place in the binlog of one server: file, and offset in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The file.
    pub file: FileName,
    /// The offset.
    pub offset: u64,
}

impl Place {
    /// Before all places of each server.
    pub(crate) fn begin() -> Self {
        Self { file: "".into(), offset: 0 }
    }

    /// The number that the file's name ends in: a server counts its files up, and adds a
    /// digit when six do not suffice.
    pub(crate) fn file_number(&self) -> u64 {
        let (_, digits) = self.file.rsplit_once('.').unwrap_or(("", &self.file));
        digits.parse().unwrap_or(0)
    }
}

impl From<&EventPlace> for Place {
    fn from(place: &EventPlace) -> Self {
        Self { file: place.file.clone(), offset: place.offset }
    }
}

impl From<&MySqlPosition> for Place {
    fn from(position: &MySqlPosition) -> Self {
        Self { file: position.file.clone(), offset: position.offset }
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_file = self.file_number().cmp(&other.file_number());
        by_file.then(self.file.cmp(&other.file)).then(self.offset.cmp(&other.offset))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_ordered_by_number() {
        let place = |file: &str, offset| Place { file: file.into(), offset };
        assert!(place("binlog.999999", 9) < place("binlog.1000000", 4));
        assert!(place("binlog.000001", 9) < place("binlog.000001", 10));
    }
}
