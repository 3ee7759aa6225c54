//! The executed set with its text, which every message of a transaction carries where the
//! format asks for it (`canal.instance.gtidon`).
//!
//! In: GTIDs in the order of the binlog. Out: the text of the set, as the set itself prints it.
//! The next number of a server, the common case, rewrites the last interval of its line in
//! place; whatever else comes prints the text anew.
//!
//! Always: `text` is what `set` prints, and `lines` say where in it the last interval of each
//! UUID and tag (MySQL), or the GTID of each domain (MariaDB) is, from left to right.

use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;

use crate::change::{Gtid, GtidSet, Sid};

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Executed {
    set: GtidSet,
    text: String,
    lines: Vec<Line>,
    scratch: String,
}

/// The end of what one server, or one domain, has executed.
#[derive(Debug)]
struct Line {
    of: Of,
    /// MySQL: the first number of the last interval.
    first: u64,
    /// The number that goes on with it.
    next: u64,
    /// Where the interval, or the GTID, is in the text.
    at: Range<usize>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Of {
    Server(Sid, Option<Arc<str>>),
    Domain(u32),
}

impl Executed {
    pub(super) fn new(set: GtidSet) -> Self {
        let mut new = Self { set, text: String::new(), lines: Vec::new(), scratch: String::new() };
        new.print();
        new
    }

    /// The text, with `gtid` in the set.
    pub(super) fn with(&mut self, gtid: Option<&Gtid>) -> Arc<str> {
        if let Some(gtid) = gtid {
            self.set.insert(gtid);
            if !self.go_on(gtid) {
                self.print();
            }
        }
        Arc::from(self.text.as_str())
    }

    /// Rewrites the interval that `gtid` goes on with, if there is one.
    fn go_on(&mut self, gtid: &Gtid) -> bool {
        let (of, number) = match gtid {
            Gtid::MySql { sid, tag, gno } => (Of::Server(*sid, tag.clone()), *gno),
            Gtid::MariaDb { domain, seq, .. } => (Of::Domain(*domain), *seq),
        };
        let Ok(place) = self.lines.binary_search_by(|line| line.of.cmp(&of)) else { return false };
        let Some([line, behind @ ..]) = self.lines.get_mut(place..) else { return false };
        self.scratch.clear();
        // Writing to a string cannot fail.
        let _ = match gtid {
            Gtid::MySql { .. } if number != line.next => return false,
            Gtid::MySql { .. } => write!(self.scratch, "{}-{number}", line.first),
            Gtid::MariaDb { .. } => write!(self.scratch, "{gtid}"),
        };
        self.text.replace_range(line.at.clone(), &self.scratch);
        line.next = number.saturating_add(1);
        let end = line.at.start + self.scratch.len();
        let before = std::mem::replace(&mut line.at.end, end);
        if before != end {
            for line in behind {
                line.at = line.at.start - before + end..line.at.end - before + end;
            }
        }
        true
    }

    /// Prints the text, and finds the lines in it.
    fn print(&mut self) {
        self.text.clear();
        self.lines.clear();
        let _ = write!(self.text, "{}", self.set);
        match &self.set {
            GtidSet::MySql(set) => {
                let (mut at, mut sid_before) = (0, None);
                let mut lines: Vec<Line> = Vec::new();
                for (sid, tag, interval) in set.iter() {
                    let is_of = |line: &Line| match &line.of {
                        Of::Server(line_sid, line_tag) => {
                            *line_sid == sid && line_tag.as_deref() == tag
                        }
                        Of::Domain(_) => false,
                    };
                    let known = lines.last().is_some_and(is_of);
                    if sid_before.replace(sid) != Some(sid) {
                        at += usize::from(at > 0) + SID_LENGTH;
                    }
                    if let (false, Some(tag)) = (known, tag) {
                        at += 1 + tag.len();
                    }
                    at += 1; // the colon
                    let (first, next) = (interval.start, interval.end);
                    let dash = if next - first > 1 { 1 + digits(next - 1) } else { 0 };
                    let length = digits(first) + dash;
                    let of = Of::Server(sid, tag.map(Arc::from));
                    let line = Line { of, first, next, at: at..at + length };
                    at += length;
                    match lines.last_mut().filter(|_| known) {
                        Some(last) => *last = line,
                        None => lines.push(line),
                    }
                }
                self.lines = lines;
            }
            GtidSet::MariaDb(set) => {
                let mut at = 0;
                for gtid in set.iter() {
                    let Gtid::MariaDb { domain, server, seq } = gtid else { continue };
                    let length = digits(domain.into()) + digits(server.into()) + digits(seq) + 2;
                    let next = seq.saturating_add(1);
                    let of = Of::Domain(domain);
                    self.lines.push(Line { of, first: seq, next, at: at..at + length });
                    at += length + 1; // the comma
                }
            }
        }
    }
}

/// Letters of a UUID with its hyphens.
const SID_LENGTH: usize = 36;

/// How many digits a number has.
fn digits(number: u64) -> usize {
    number.checked_ilog10().map_or(1, |power| power as usize + 1)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::change::Flavor;

    fn mysql(server: u8, tag: Option<&str>, gno: u64) -> Gtid {
        Gtid::MySql { sid: Sid([server; 16]), tag: tag.map(Arc::from), gno }
    }

    #[test]
    fn the_last_interval_is_rewritten_in_place() {
        let of = "01010101-0101-0101-0101-010101010101";
        let other = "02020202-0202-0202-0202-020202020202";
        let set = format!("{of}:1-5:8:tag:3,{other}:1-98");
        let set = GtidSet::parse(Flavor::MySql, &set).unwrap();
        let mut executed = Executed::new(set);
        for (gtid, wanted) in [
            (mysql(1, None, 9), format!("{of}:1-5:8-9:tag:3,{other}:1-98")),
            (mysql(2, None, 99), format!("{of}:1-5:8-9:tag:3,{other}:1-99")),
            (mysql(1, None, 10), format!("{of}:1-5:8-10:tag:3,{other}:1-99")),
            (mysql(1, Some("tag"), 4), format!("{of}:1-5:8-10:tag:3-4,{other}:1-99")),
            (mysql(2, None, 100), format!("{of}:1-5:8-10:tag:3-4,{other}:1-100")),
            (mysql(1, None, 7), format!("{of}:1-5:7-10:tag:3-4,{other}:1-100")),
            (mysql(1, None, 6), format!("{of}:1-10:tag:3-4,{other}:1-100")),
            (mysql(1, None, 11), format!("{of}:1-11:tag:3-4,{other}:1-100")),
        ] {
            let printed = executed.go_on(&gtid);
            let is_next = !matches!(gtid, Gtid::MySql { gno: 6 | 7, .. });
            assert_eq!(printed, is_next, "{gtid}");
            assert_eq!(*executed.with(Some(&gtid)), *wanted);
        }
    }

    proptest! {
        #[test]
        fn the_text_is_what_the_set_prints(
            begun in vec((0_u8..3, 0_u8..3, 1_u64..1200), 0..8),
            steps in vec((0_u8..3, 0_u8..3, 0_u64..1200, any::<bool>()), 1..60),
            of_mariadb: bool,
        ) {
            let tags = [None, Some("a"), Some("tag")];
            let gtid = |server: u8, tag: u8, number: u64| {
                if of_mariadb {
                    let (domain, server) = (server.into(), tag.into());
                    return Gtid::MariaDb { domain, server, seq: number };
                }
                mysql(server, tags[usize::from(tag)], number.max(1))
            };
            let flavor = if of_mariadb { Flavor::MariaDb } else { Flavor::MySql };
            let mut set = GtidSet::empty(flavor);
            for (server, tag, number) in begun {
                set.insert(&gtid(server, tag, number));
            }
            let mut executed = Executed::new(set.clone());
            let mut last = [[0; 3]; 3];
            for (server, tag, number, follows) in steps {
                let last = &mut last[usize::from(server)][usize::from(tag)];
                *last = if follows { *last + 1 } else { number };
                let next = gtid(server, tag, *last);
                set.insert(&next);
                prop_assert_eq!(&*executed.with(Some(&next)), set.to_string());
            }
            prop_assert_eq!(&*executed.with(None), set.to_string());
        }
    }
}
