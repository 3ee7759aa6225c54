//! Held XA branches as records of the instance's `.xa` topic. Pure: whoever keeps the topic reads
//! and writes it.
//!
//! In: parts of branches, then what became of each. Out: the records that hold a branch, the
//! tombstones of all of them when it ends, and at its XA COMMIT its parts.
//!
//! Always: a branch has a number that none before it has, so what a former one of the same xid
//! left can never be taken for a piece of it. A branch is read only when it is durable, or
//! small, and then from memory.
//!
//! Format: key `<xid>` has `{"version":1,"id":7,"pieces":2,"about":{..}}`, where `about` is the
//! instance's; key `#<id>.<n>` has piece `n`, from 0 (`sink/held.rs`).

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::held::{Closing, Cutter, Joiner, Unreadable};
use super::{Error, HeldPieces, HeldPlace, Part};
use crate::change::{StateRecord, StateTopic, Xid};

/// What small branches may take in memory together, in bytes.
const KEPT_BYTES: usize = 4 << 20;
/// So many bytes of pieces are read in one go, or a single piece.
const COLLECTED_BYTES: usize = 4 << 20;
/// A larger branch is not kept in memory.
const KEPT_BRANCH: usize = 256 << 10;

/// The record of a branch.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    version: u32,
    id: u64,
    pieces: u32,
    about: serde_json::Value,
}

/// See the head of this file.
#[derive(Debug, Default)]
pub(crate) struct Branches {
    held: HashMap<Bytes, Branch>,
    /// Those of the open append.
    open: HashMap<Bytes, OpenBranch>,
    next: u64,
    kept: usize,
}

/// A branch that is held.
#[derive(Debug)]
struct Branch {
    id: u64,
    pieces: u32,
    /// No piece lies before this offset.
    from: i64,
    about: Bytes,
    /// All its pieces, or none.
    kept: Vec<Bytes>,
}

/// A branch whose parts come.
#[derive(Debug)]
struct OpenBranch {
    id: u64,
    from: i64,
    cutter: Cutter,
    pieces: u32,
    kept: Vec<Bytes>,
    bytes: usize,
}

/// What is held, and what the instance said of each branch.
pub(crate) type Held = (Branches, Vec<(Arc<Xid>, Bytes)>);

/// Finds what is held among all records of the topic.
#[derive(Debug, Default)]
pub(crate) struct Finding {
    heads: HashMap<Bytes, Bytes>,
    /// Where the first piece of each number lies.
    first: HashMap<u64, i64>,
    next: u64,
}

impl Finding {
    /// Takes the next record.
    pub(crate) fn take(&mut self, offset: i64, key: Bytes, value: Option<Bytes>) {
        if let Some((id, piece)) = piece_of(&key) {
            self.next = self.next.max(id + 1);
            if piece == 0 && value.is_some() {
                self.first.insert(id, offset);
            }
        } else if let Some(value) = value {
            self.heads.insert(key, value);
        } else {
            self.heads.remove(&key);
        }
    }

    /// All were taken.
    pub(crate) fn finish(self) -> Result<Held, Error> {
        let Self { heads, first, mut next } = self;
        let (mut held, mut xids) = (HashMap::new(), Vec::new());
        for (key, head) in heads {
            let unreadable = |reason: String| {
                let key = String::from_utf8_lossy(&key);
                Error::Failed(format!("the record of the held XA branch {key}: {reason}"))
            };
            let text = std::str::from_utf8(&key).map_err(|error| unreadable(error.to_string()))?;
            let xid: Xid = text.parse().map_err(|error| unreadable(format!("{error}")))?;
            let head: Head =
                serde_json::from_slice(&head).map_err(|error| unreadable(error.to_string()))?;
            if head.version != 1 {
                return Err(unreadable(format!("its version is {}", head.version)));
            }
            let Head { id, pieces, about, .. } = head;
            next = next.max(id + 1);
            let from = first.get(&id).copied().unwrap_or_default();
            let about = Bytes::from(about.to_string());
            xids.push((Arc::new(xid), about.clone()));
            held.insert(key, Branch { id, pieces, from, about, kept: Vec::new() });
        }
        Ok((Branches { held, open: HashMap::new(), next, kept: 0 }, xids))
    }
}

impl Branches {
    /// Takes a part of a branch into the open append; the pieces that are full with it. None of
    /// the topic's records that are not written yet lies before `end`.
    pub(super) fn hold(&mut self, end: i64, xid: &Xid, part: Part) -> Vec<StateRecord> {
        let open = self.open(end, key_of(xid));
        open.cutter.push(part).into_iter().map(|piece| open.add(piece)).collect()
    }

    /// The open append is thrown away.
    pub(super) fn abort(&mut self) {
        self.open.clear();
    }

    /// A branch is whole: its last pieces, and what makes it held.
    pub(super) fn prepare(
        &mut self,
        end: i64,
        key: Bytes,
        about: Bytes,
    ) -> Result<(Vec<StateRecord>, Vec<StateRecord>), Error> {
        self.open(end, key.clone());
        let Some(mut open) = self.open.remove(&key) else { return Ok((Vec::new(), Vec::new())) };
        let rest = std::mem::take(&mut open.cutter).finish();
        let last = rest.into_iter().map(|rest| open.add(rest)).collect();
        let OpenBranch { id, from, pieces, kept, bytes, .. } = open;
        let odd = |error: serde_json::Error| Error::Failed(format!("a held XA branch: {error}"));
        let value = serde_json::from_slice(&about).map_err(odd)?;
        let head = Head { version: 1, id, pieces, about: value };
        let head = serde_json::to_vec(&head).map_err(odd)?;
        // One of the same xid that the server lost in a crash.
        let mut writes = self.end(&key);
        writes.push(write(key.clone(), Some(head.into())));
        let is_kept = bytes <= KEPT_BRANCH && self.kept + bytes <= KEPT_BYTES;
        let kept = if is_kept { kept } else { Vec::new() };
        self.kept += kept.iter().map(Bytes::len).sum::<usize>();
        self.held.insert(key, Branch { id, pieces, from, about, kept });
        Ok((last, writes))
    }

    /// A branch ended: the tombstones of all that held it.
    pub(crate) fn end(&mut self, key: &Bytes) -> Vec<StateRecord> {
        let Some(Branch { id, pieces, kept, .. }) = self.held.remove(key) else {
            return Vec::new();
        };
        self.kept -= kept.iter().map(Bytes::len).sum::<usize>();
        let pieces = (0..pieces).map(|piece| write(piece_key(id, piece), None));
        std::iter::once(write(key.clone(), None)).chain(pieces).collect()
    }

    /// Whether publishing the branch reads what has to be durable.
    pub(super) fn is_read_from_log(&self, xid: &Xid) -> bool {
        let branch = self.held.get(&key_of(xid));
        branch.is_some_and(|branch| branch.pieces > 0 && branch.kept.is_empty())
    }

    /// Begins to publish a held branch.
    pub(super) fn publish(&self, xid: &Xid) -> Result<Publishing, Error> {
        let Some(branch) = self.held.get(&key_of(xid)) else {
            return Err(Error::Failed(format!("the XA branch {xid} is not held")));
        };
        let Branch { id, pieces, from, about, kept } = branch;
        let mut publishing = Publishing {
            xid: xid.to_string(),
            id: *id,
            pieces: *pieces,
            piece: 0,
            from: *from,
            about: about.clone(),
            joiner: Joiner::default(),
        };
        for piece in kept {
            publishing.joiner.push(piece);
            publishing.piece += 1;
        }
        Ok(publishing)
    }

    /// Begins to read pieces of a held branch as they are.
    pub(super) fn collect(&self, xid: &Xid, place: HeldPlace) -> Result<Collecting, Error> {
        let publishing = self.publish(xid)?;
        let Publishing { xid, id, pieces, from, .. } = publishing;
        let offset = place.offset.max(from);
        let place = HeldPlace { offset, ..place };
        Ok(Collecting { xid, id, pieces, place, found: Vec::new(), bytes: 0 })
    }

    fn open(&mut self, end: i64, key: Bytes) -> &mut OpenBranch {
        let next = &mut self.next;
        self.open.entry(key).or_insert_with(|| {
            let id = *next;
            *next += 1;
            let (cutter, pieces, kept, bytes) = (Cutter::default(), 0, Vec::new(), 0);
            OpenBranch { id, from: end, cutter, pieces, kept, bytes }
        })
    }
}

impl OpenBranch {
    fn add(&mut self, piece: Vec<u8>) -> StateRecord {
        let piece = Bytes::from(piece);
        let record = write(piece_key(self.id, self.pieces), Some(piece.clone()));
        self.pieces += 1;
        self.bytes += piece.len();
        if self.bytes <= KEPT_BRANCH {
            self.kept.push(piece);
        } else {
            self.kept.clear();
        }
        record
    }
}

/// A held branch on its way out. As long as [`Publishing::reads_from`] says so, records are read
/// from there on and taken; behind each, parts may have become whole.
#[derive(Debug)]
pub(super) struct Publishing {
    xid: String,
    id: u64,
    pieces: u32,
    /// The next that is needed.
    piece: u32,
    from: i64,
    about: Bytes,
    joiner: Joiner,
}

impl Publishing {
    /// The next part that is whole, closed.
    pub(super) fn next(&mut self, closing: &Closing<'_>) -> Result<Option<Part>, Error> {
        self.joiner.next(closing).map_err(|reason| self.damaged(reason))
    }

    /// No piece that is still needed lies before this offset; none if no piece is needed.
    pub(super) fn reads_from(&self) -> Option<i64> {
        (self.piece < self.pieces).then_some(self.from)
    }

    /// Takes a record of the topic, which may be anybody's.
    pub(super) fn take(&mut self, key: &[u8], value: Option<&[u8]>) {
        if key == piece_key(self.id, self.piece)
            && let Some(value) = value
        {
            self.joiner.push(value);
            self.piece += 1;
        }
    }

    /// What the instance said of the branch; an error if not all of it was there.
    pub(super) fn finish(self) -> Result<Bytes, Error> {
        if self.piece < self.pieces || !self.joiner.is_empty() {
            return Err(self.damaged(Unreadable));
        }
        Ok(self.about)
    }

    fn damaged(&self, _: Unreadable) -> Error {
        Error::Failed(format!("the held XA branch {} is damaged", self.xid))
    }
}

/// Pieces of a held branch on their way out as they are. As long as [`Collecting::reads_from`] says
/// so, records are read from there on and taken.
#[derive(Debug)]
pub(super) struct Collecting {
    xid: String,
    id: u64,
    pieces: u32,
    /// The next that is needed.
    place: HeldPlace,
    found: Vec<Bytes>,
    bytes: usize,
}

impl Collecting {
    /// No piece that is still needed lies before this offset; none if there are enough.
    pub(super) fn reads_from(&self) -> Option<i64> {
        (self.place.piece < self.pieces && self.bytes < COLLECTED_BYTES)
            .then_some(self.place.offset)
    }

    /// Takes a record of the topic, which may be anybody's.
    pub(super) fn take(&mut self, offset: i64, key: &[u8], value: Option<&[u8]>) {
        // What is beyond the bound is read again.
        if self.reads_from().is_none() {
            return;
        }
        if key == piece_key(self.id, self.place.piece)
            && let Some(value) = value
        {
            self.bytes += value.len();
            self.found.push(Bytes::copy_from_slice(value));
            self.place.piece += 1;
        }
        self.place.offset = offset + 1;
    }

    /// What was found; an error if there was no more to read and pieces are missing.
    pub(super) fn finish(self) -> Result<HeldPieces, Error> {
        if self.reads_from().is_some() {
            return Err(Error::Failed(format!("the held XA branch {} is damaged", self.xid)));
        }
        let next = (self.place.piece < self.pieces).then_some(self.place);
        Ok(HeldPieces { pieces: self.found, next })
    }
}

/// The key of a branch's record.
fn key_of(xid: &Xid) -> Bytes {
    Bytes::from(xid.to_string())
}

fn piece_key(id: u64, piece: u32) -> Bytes {
    Bytes::from(format!("#{id}.{piece}"))
}

fn piece_of(key: &[u8]) -> Option<(u64, u32)> {
    let (id, piece) = std::str::from_utf8(key).ok()?.strip_prefix('#')?.split_once('.')?;
    Some((id.parse().ok()?, piece.parse().ok()?))
}

fn write(key: Bytes, value: Option<Bytes>) -> StateRecord {
    StateRecord { topic: StateTopic::Xa, key, value }
}
