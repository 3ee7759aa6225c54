//! Held XA branches in the instance's `.xa` topic.
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

use crate::change::Xid;
use crate::log::{StateKind, StateWrite, Writer};
use crate::sink::held::{Closing, Cutter, Joiner, Unreadable};
use crate::sink::{Error, Part};

/// What small branches may take in memory together, in bytes.
const KEPT_BYTES: usize = 4 << 20;
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

impl Branches {
    /// Finds what is held in an opened writer's topic.
    pub(crate) async fn restore(writer: &Writer) -> Result<(Self, Vec<(Arc<Xid>, Bytes)>), Error> {
        let (mut heads, mut first) = (HashMap::new(), HashMap::new());
        let (mut next, mut offset) = (0, 0);
        loop {
            let read = writer.read_state(StateKind::Xa, offset).await?;
            for (at, key, value) in &read.records {
                if let Some((id, piece)) = piece_of(key) {
                    next = next.max(id + 1);
                    if piece == 0 && value.is_some() {
                        first.insert(id, *at);
                    }
                } else if let Some(value) = value {
                    heads.insert(key.clone(), value.clone());
                } else {
                    heads.remove(key);
                }
            }
            if read.next == offset {
                break;
            }
            offset = read.next;
        }
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
        Ok((Self { held, open: HashMap::new(), next, kept: 0 }, xids))
    }

    /// Adds a part of a branch to the open append.
    pub(super) async fn hold(
        &mut self,
        writer: &mut Writer,
        xid: &Xid,
        part: Part,
    ) -> Result<(), Error> {
        let open = self.open(writer, key_of(xid))?;
        for piece in open.cutter.push(part) {
            open.add(writer, piece).await?;
        }
        Ok(())
    }

    /// The open append is thrown away.
    pub(super) fn abort(&mut self) {
        self.open.clear();
    }

    /// A branch is whole: what makes it held.
    pub(super) async fn prepare(
        &mut self,
        writer: &mut Writer,
        key: Bytes,
        about: Bytes,
    ) -> Result<Vec<StateWrite>, Error> {
        self.open(writer, key.clone())?;
        let Some(mut open) = self.open.remove(&key) else { return Ok(Vec::new()) };
        if let Some(rest) = std::mem::take(&mut open.cutter).finish() {
            open.add(writer, rest).await?;
        }
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
        Ok(writes)
    }

    /// A branch ended: the tombstones of all that held it.
    pub(crate) fn end(&mut self, key: &Bytes) -> Vec<StateWrite> {
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

    /// Adds the parts of a held branch to the open append; what the instance said of it.
    pub(super) async fn publish(
        &self,
        writer: &mut Writer,
        xid: &Xid,
        closing: &Closing<'_>,
    ) -> Result<Bytes, Error> {
        let lost = |_: Unreadable| Error::Failed(format!("the held XA branch {xid} is damaged"));
        let Some(branch) = self.held.get(&key_of(xid)) else {
            return Err(Error::Failed(format!("the XA branch {xid} is not held")));
        };
        let mut joiner = Joiner::default();
        for piece in &branch.kept {
            joiner.push(piece);
            append(writer, &mut joiner, closing).await?.map_err(lost)?;
        }
        let mut piece = u32::try_from(branch.kept.len()).unwrap_or(branch.pieces);
        let mut offset = branch.from;
        while piece < branch.pieces {
            let read = writer.read_state(StateKind::Xa, offset).await?;
            if read.next == offset {
                return Err(lost(Unreadable));
            }
            offset = read.next;
            for (_, key, value) in read.records {
                if key == piece_key(branch.id, piece)
                    && let Some(value) = value
                {
                    joiner.push(&value);
                    append(writer, &mut joiner, closing).await?.map_err(lost)?;
                    piece += 1;
                }
            }
        }
        if joiner.is_empty() { Ok(branch.about.clone()) } else { Err(lost(Unreadable)) }
    }

    fn open(&mut self, writer: &Writer, key: Bytes) -> Result<&mut OpenBranch, Error> {
        let from = writer.state_end(StateKind::Xa)?;
        let next = &mut self.next;
        Ok(self.open.entry(key).or_insert_with(|| {
            let id = *next;
            *next += 1;
            let (cutter, pieces, kept, bytes) = (Cutter::default(), 0, Vec::new(), 0);
            OpenBranch { id, from, cutter, pieces, kept, bytes }
        }))
    }
}

impl OpenBranch {
    async fn add(&mut self, writer: &mut Writer, piece: Vec<u8>) -> Result<(), Error> {
        let piece = Bytes::from(piece);
        writer.append_state(StateKind::Xa, &piece_key(self.id, self.pieces), &piece).await?;
        self.pieces += 1;
        self.bytes += piece.len();
        if self.bytes <= KEPT_BRANCH {
            self.kept.push(piece);
        } else {
            self.kept.clear();
        }
        Ok(())
    }
}

/// Appends what is whole.
async fn append(
    writer: &mut Writer,
    joiner: &mut Joiner,
    closing: &Closing<'_>,
) -> Result<Result<(), Unreadable>, Error> {
    loop {
        match joiner.next(closing) {
            Ok(Some(Part { topic, partition, partitions, records, .. })) => {
                writer.append(&topic, partitions, partition, records).await?;
            }
            Ok(None) => return Ok(Ok(())),
            Err(unreadable) => return Ok(Err(unreadable)),
        }
    }
}

/// The key of a branch's record.
pub(crate) fn key_of(xid: &Xid) -> Bytes {
    Bytes::from(xid.to_string())
}

fn piece_key(id: u64, piece: u32) -> Bytes {
    Bytes::from(format!("#{id}.{piece}"))
}

fn piece_of(key: &[u8]) -> Option<(u64, u32)> {
    let (id, piece) = std::str::from_utf8(key).ok()?.strip_prefix('#')?.split_once('.')?;
    Some((id.parse().ok()?, piece.parse().ok()?))
}

fn write(key: Bytes, value: Option<Bytes>) -> StateWrite {
    StateWrite { kind: StateKind::Xa, key, value }
}
