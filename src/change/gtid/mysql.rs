//! Sets of MySQL's GTIDs: intervals of numbers for each UUID and tag.
//!
//! Text: `uuid:1-5:7:tag:1-2,uuid2:3`. On the wire (`COM_BINLOG_DUMP_GTID`, `PREVIOUS_GTIDS`), all
//! little-endian: a u64 header, then for each UUID (and tag): 16 bytes of UUID, with tags the
//! tag's length (variable-length integer) and bytes, a u64 count of intervals, and for each its
//! first number and the one behind its last. The header is the count of UUIDs; where tags occur,
//! its highest byte is 1 and the count is in bits 8 to 55
//! (`Gtid_set::encode`, `sql/rpl_gtid_set.cc`).
//!
//! Always: sources sorted by UUID and tag, each with an interval at least; intervals sorted,
//! not empty, and neither touching nor overlapping. So equal sets are equal values.

#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::varint::{read_unsigned, write_unsigned};
use super::{GtidError, Sid};

/// Numbers are below this (`GNO_END`, `sql/rpl_gtid.h`).
const NUMBERS_END: u64 = i64::MAX as u64;
const LONGEST_TAG: usize = 32;
const TAGGED: u64 = 1;

/// Numbers from `start` to before `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// The first.
    pub start: u64,
    /// Behind the last.
    pub end: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Source {
    sid: Sid,
    tag: Option<Arc<str>>,
    intervals: Vec<Interval>,
}

/// A set of MySQL's GTIDs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MySqlGtids {
    sources: Vec<Source>,
}

impl MySqlGtids {
    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// No less than the length of its text, in bytes.
    pub(crate) fn text_bound(&self) -> usize {
        let of = |source: &Source| {
            // A UUID and a comma; a colon and a tag; two numbers of 19 digits and two signs.
            let tag = source.tag.as_deref().map_or(0, |tag| tag.len() + 1);
            37 + tag + 40 * source.intervals.len()
        };
        self.sources.iter().map(of).sum()
    }

    /// All intervals: by UUID, then tag (none first), then number.
    pub fn iter(&self) -> impl Iterator<Item = (Sid, Option<&str>, Interval)> {
        self.sources.iter().flat_map(|source| {
            let tag = source.tag.as_deref();
            source.intervals.iter().map(move |interval| (source.sid, tag, *interval))
        })
    }

    /// Adds one number. The next one of a source that is known, the common case, moves the
    /// end of an interval and allocates nothing.
    pub fn insert(&mut self, sid: Sid, tag: Option<&Arc<str>>, gno: u64) {
        self.insert_interval(sid, tag, Interval { start: gno, end: gno.saturating_add(1) });
    }

    /// Adds the numbers of an interval.
    pub fn insert_interval(&mut self, sid: Sid, tag: Option<&Arc<str>>, added: Interval) {
        if added.start >= added.end {
            return;
        }
        match self.find(sid, tag.map(AsRef::as_ref)) {
            Ok(place) => {
                if let Some(source) = self.sources.get_mut(place) {
                    add(&mut source.intervals, added);
                }
            }
            Err(place) => {
                let source = Source { sid, tag: tag.cloned(), intervals: vec![added] };
                self.sources.insert(place, source);
            }
        }
    }

    /// Whether it holds the number.
    pub fn contains(&self, sid: Sid, tag: Option<&str>, gno: u64) -> bool {
        let intervals = self.intervals(sid, tag);
        let behind = intervals.partition_point(|interval| interval.end <= gno);
        intervals.get(behind).is_some_and(|interval| interval.start <= gno)
    }

    /// The numbers of one UUID and tag.
    pub fn intervals(&self, sid: Sid, tag: Option<&str>) -> &[Interval] {
        let place = self.find(sid, tag).ok();
        place.and_then(|place| self.sources.get(place)).map_or(&[], |source| &source.intervals)
    }

    /// Whether `other` holds all of it.
    pub fn is_subset_of(&self, other: &Self) -> bool {
        self.iter().all(|(sid, tag, interval)| {
            // Intervals of `other` do not touch, so one of them must hold all of this one.
            let theirs = other.intervals(sid, tag);
            let behind = theirs.partition_point(|their| their.end <= interval.start);
            theirs
                .get(behind)
                .is_some_and(|their| their.start <= interval.start && interval.end <= their.end)
        })
    }

    /// Adds all of `other`.
    pub fn union(&mut self, other: &Self) {
        for source in &other.sources {
            for interval in &source.intervals {
                self.insert_interval(source.sid, source.tag.as_ref(), *interval);
            }
        }
    }

    /// Those of other UUIDs.
    pub(crate) fn not_of(&self, sid: Sid) -> Self {
        let sources = self.sources.iter().filter(|source| source.sid != sid).cloned();
        Self { sources: sources.collect() }
    }

    /// Those of this UUID.
    pub(crate) fn of(&self, sid: Sid) -> Self {
        let sources = self.sources.iter().filter(|source| source.sid == sid).cloned();
        Self { sources: sources.collect() }
    }

    /// Takes all of `other` away.
    pub fn subtract(&mut self, other: &Self) {
        for source in &mut self.sources {
            let theirs = other.intervals(source.sid, source.tag.as_deref());
            if !theirs.is_empty() {
                source.intervals = difference(&source.intervals, theirs);
            }
        }
        self.sources.retain(|source| !source.intervals.is_empty());
    }

    fn find(&self, sid: Sid, tag: Option<&str>) -> Result<usize, usize> {
        self.sources.binary_search_by(|source| match source.sid.cmp(&sid) {
            Ordering::Equal => source.tag.as_deref().cmp(&tag),
            order @ (Ordering::Less | Ordering::Greater) => order,
        })
    }

    /// Appends the wire form; with tags only where there are any, as older servers know
    /// only the other.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let tagged = self.sources.iter().any(|source| source.tag.is_some());
        let count = self.sources.len() as u64;
        let header = if tagged { TAGGED << 56 | count << 8 | TAGGED } else { count };
        out.extend_from_slice(&header.to_le_bytes());
        for source in &self.sources {
            out.extend_from_slice(&source.sid.0);
            if tagged {
                let tag = source.tag.as_deref().unwrap_or_default();
                write_unsigned(tag.len() as u64, out);
                out.extend_from_slice(tag.as_bytes());
            }
            out.extend_from_slice(&(source.intervals.len() as u64).to_le_bytes());
            for interval in &source.intervals {
                out.extend_from_slice(&interval.start.to_le_bytes());
                out.extend_from_slice(&interval.end.to_le_bytes());
            }
        }
    }

    /// Reads the wire form.
    pub fn decode(mut bytes: &[u8]) -> Result<Self, GtidError> {
        let bytes = &mut bytes;
        let header = read_u64(bytes)?;
        let (tagged, count) = match header >> 56 {
            0 => (false, header),
            TAGGED => (true, header << 8 >> 16),
            _ => return Err(wire("it is of an unknown format")),
        };
        let mut set = Self::default();
        for _ in 0..count {
            let (sid, rest) = bytes.split_first_chunk::<16>().ok_or_else(cut)?;
            *bytes = rest;
            let tag = if tagged { read_tag(bytes)? } else { None };
            for _ in 0..read_u64(bytes)? {
                let interval = Interval { start: read_u64(bytes)?, end: read_u64(bytes)? };
                if interval.start == 0 || interval.start >= interval.end {
                    return Err(wire("an interval is empty or begins at 0"));
                }
                set.insert_interval(Sid(*sid), tag.as_ref(), interval);
            }
        }
        if bytes.is_empty() { Ok(set) } else { Err(wire("bytes are left behind its end")) }
    }
}

/// Adds an interval to sorted ones and joins it with those it touches.
fn add(intervals: &mut Vec<Interval>, mut added: Interval) {
    // The first that is not wholly before it, touching ones included, and the first behind it.
    let from = intervals.partition_point(|interval| interval.end < added.start);
    let to = intervals.partition_point(|interval| interval.start <= added.end);
    match intervals.get_mut(from..to) {
        Some([only]) => {
            only.start = only.start.min(added.start);
            only.end = only.end.max(added.end);
        }
        Some([first, .., last]) => {
            added.start = first.start.min(added.start);
            added.end = last.end.max(added.end);
            *first = added;
            intervals.drain(from + 1..to);
        }
        Some([]) | None => intervals.insert(from, added),
    }
}

/// `ours` without `theirs`, both sorted.
fn difference(ours: &[Interval], theirs: &[Interval]) -> Vec<Interval> {
    let mut left = Vec::with_capacity(ours.len());
    for interval in ours {
        let mut start = interval.start;
        let first = theirs.partition_point(|their| their.end <= start);
        for their in theirs.get(first..).unwrap_or_default() {
            if their.start >= interval.end {
                break;
            }
            if start < their.start {
                left.push(Interval { start, end: their.start });
            }
            start = their.end;
        }
        if start < interval.end {
            left.push(Interval { start, end: interval.end });
        }
    }
    left
}

fn wire(reason: &'static str) -> GtidError {
    GtidError::new("(binary)", reason)
}

fn cut() -> GtidError {
    wire("it is cut short")
}

fn read_u64(bytes: &mut &[u8]) -> Result<u64, GtidError> {
    let (value, rest) = bytes.split_first_chunk::<8>().ok_or_else(cut)?;
    *bytes = rest;
    Ok(u64::from_le_bytes(*value))
}

fn read_tag(bytes: &mut &[u8]) -> Result<Option<Arc<str>>, GtidError> {
    let length = read_unsigned(bytes).ok_or_else(cut)?;
    let length = usize::try_from(length).map_err(|_| cut())?;
    let (tag, rest) = bytes.split_at_checked(length).ok_or_else(cut)?;
    *bytes = rest;
    if tag.is_empty() {
        return Ok(None);
    }
    let tag = std::str::from_utf8(tag).map_err(|_| wire("a tag is not UTF-8"))?;
    if !is_tag(tag) {
        return Err(wire("a tag has characters that no tag has"));
    }
    Ok(Some(Arc::from(tag)))
}

/// A letter or underscore, then letters, digits and underscores, 32 at most.
pub(crate) fn is_tag(text: &str) -> bool {
    text.len() <= LONGEST_TAG
        && text.starts_with(|first: char| first == '_' || first.is_ascii_lowercase())
        && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

impl fmt::Display for MySqlGtids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before: Option<Sid> = None;
        for source in &self.sources {
            if before != Some(source.sid) {
                let comma = if before.is_some() { "," } else { "" };
                write!(f, "{comma}{}", source.sid)?;
                before = Some(source.sid);
            }
            if let Some(tag) = &source.tag {
                write!(f, ":{tag}")?;
            }
            for Interval { start, end } in &source.intervals {
                match end - 1 {
                    last if last == *start => write!(f, ":{start}")?,
                    last => write!(f, ":{start}-{last}")?,
                }
            }
        }
        Ok(())
    }
}

impl FromStr for MySqlGtids {
    type Err = GtidError;

    fn from_str(text: &str) -> Result<Self, GtidError> {
        let mut set = Self::default();
        // The server takes empty parts between commas (a line break after the last one).
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let mut fields = part.split(':').map(str::trim);
            let sid: Sid = fields.next().unwrap_or_default().parse()?;
            let (mut tag, mut intervals) = (None, 0);
            for field in fields {
                if field.starts_with(|first: char| first.is_ascii_digit()) {
                    set.insert_interval(sid, tag.as_ref(), read_interval(field)?);
                    intervals += 1;
                } else {
                    let name = field.to_ascii_lowercase();
                    if !is_tag(&name) {
                        return Err(GtidError::new(field, "neither an interval nor a tag"));
                    }
                    tag = Some(Arc::from(name));
                }
            }
            if intervals == 0 {
                return Err(GtidError::new(part, "no interval follows the UUID"));
            }
        }
        Ok(set)
    }
}

/// `7` or `1-5`.
fn read_interval(text: &str) -> Result<Interval, GtidError> {
    let number = |digits: &str| -> Result<u64, GtidError> {
        let value = digits.trim().parse::<u64>().ok().filter(|v| (1..NUMBERS_END).contains(v));
        value.ok_or_else(|| GtidError::new(text, "a number is from 1 to 2^63 - 2"))
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (start, last) = (number(first)?, number(last)?);
    if last < start {
        return Err(GtidError::new(text, "the interval ends before it begins"));
    }
    Ok(Interval { start, end: last + 1 })
}
