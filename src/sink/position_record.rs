//! How a position is stored: two records of the instance's positions topic.
//!
//! ```json
//! position:      {"kind": "mysql", "version": 2, "file": "binlog.000007", "offset": 4711,
//!                 "gtid": {"base": 3, "flavor": "mysql", "delta": "<uuid>:8-12"},
//!                 "server_uuid": "<uuid>", "file_created": 1700000000, "event_time": 1700000001,
//!                 "server_time": 1700000001}
//! position-base: {"version": 2, "number": 3, "flavor": "mysql", "set": "<uuid>:1-7,.."}
//! ```
//!
//! With a loss that somebody accepted, the position holds `"lost": {"gtids": {..}, "on": "<uuid>"}`.
//! `"trail": {..}` is what gives the place on another server where there are no GTIDs, and
//! `"prepared": {..}` the XA branches that were prepared when the server was first asked.
//! `gtid` is the base of that number and what came since; `"uncounted"` is a set that the next
//! start counts; without it there is none. So a commit writes what came since the base,
//! and the base only when it is another. Both go with the rows, in one append.
//!
//! Always: the base that a position names is the newest stored one, or the one before it where the
//! two are not written together. A position of the builds before (version 1: no kind, the whole set
//! as `gtid_set`) is read, and stored anew by the next commit.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::change::{
    CountedSet, Executed, Flavor, GtidSet, Loss, MySqlPosition, Position, Prepared, Trail,
};

const VERSION: u32 = 2;

/// The keys of the two records, in the log and in a cluster.
pub(super) const POSITION_KEY: &[u8] = b"position";
pub(super) const POSITION_BASE_KEY: &[u8] = b"position-base";

/// Writes the positions of one owner, and knows which base is stored.
#[derive(Debug, Default)]
pub(crate) struct PositionRecords {
    stored: Option<(u64, Arc<GtidSet>)>,
}

/// What a commit writes of a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// The record `position`.
    pub(crate) position: Bytes,
    /// The record `position-base`, if it is another than the stored one.
    pub(crate) base: Option<Bytes>,
}

/// Why a stored position is not read, or one not written.
#[derive(Debug, thiserror::Error)]
pub enum PositionError {
    /// It is no JSON of the known form.
    #[error("the stored position cannot be read: {0}")]
    Malformed(#[from] serde_json::Error),
    /// A newer build has written it.
    #[error(
        "the stored position is of kind `{kind}`, version {version}, which this build does not \
         know: start the build again that wrote it"
    )]
    Newer {
        /// The kind of source.
        kind: String,
        /// The version of the form.
        version: u32,
    },
    /// The base that the position names is not there.
    #[error("the stored position names GTID set {names}, and set {found} is stored")]
    Base {
        /// Which is named.
        names: u64,
        /// What was found: its number, or `none`.
        found: String,
    },
}

#[derive(Deserialize)]
struct Form {
    kind: Option<String>,
    #[serde(default)]
    version: u32,
}

#[derive(Deserialize, Serialize)]
struct Record {
    kind: String,
    version: u32,
    file: Arc<str>,
    offset: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gtid: Option<Gtid>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    by_gtid: bool,
    server_uuid: Arc<str>,
    file_created: u32,
    event_time: u32,
    /// 0 where it is not known, and in records of the builds before.
    #[serde(default, skip_serializing_if = "is_zero")]
    server_time: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lost: Option<Box<Loss>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trail: Option<Arc<Trail>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prepared: Option<Arc<Prepared>>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Gtid {
    Uncounted,
    #[serde(untagged)]
    Counted {
        base: u64,
        flavor: Flavor,
        delta: String,
    },
}

#[derive(Deserialize, Serialize)]
struct Base {
    version: u32,
    number: u64,
    flavor: Flavor,
    set: String,
}

/// The form of version 1.
#[derive(Deserialize)]
struct Flat {
    file: Arc<str>,
    offset: u64,
    gtid_set: Option<GtidSet>,
    server_uuid: Arc<str>,
    file_created: u32,
    event_time: u32,
}

impl PositionRecords {
    /// Reads what is stored, from the newest record of each of the two keys.
    pub(crate) fn read(
        position: Option<&[u8]>,
        base: Option<&[u8]>,
    ) -> Result<(Self, Option<Position>), PositionError> {
        let stored = base.map(read_base).transpose()?;
        let position = position.map(|bytes| read_position(bytes, stored.as_ref())).transpose()?;
        Ok((Self { stored }, position))
    }

    /// The same where the two are written one after the other, the base first: behind a crash it
    /// may be one newer than the position names. Then the set is counted at the next start.
    pub(crate) fn read_apart(
        position: Option<&[u8]>,
        base: Option<&[u8]>,
    ) -> Result<(Self, Option<Position>), PositionError> {
        match (Self::read(position, base), position) {
            (Err(PositionError::Base { names, found }), Some(position))
                if found == (names + 1).to_string() =>
            {
                let record: Record = serde_json::from_slice(position)?;
                if record.file.is_empty() {
                    // A begin behind a set alone, which is nowhere else.
                    return Err(PositionError::Base { names, found });
                }
                let stored = base.map(read_base).transpose()?;
                Ok((Self { stored }, Some(record.with(Executed::Uncounted))))
            }
            (read, _) => read,
        }
    }

    /// What to write for `position`. It counts as stored: after a failed write begin anew
    /// with [`PositionRecords::read`].
    pub(crate) fn write(&mut self, position: &Position) -> Result<Written, PositionError> {
        let Position::MySql(position) = position;
        let mut base = None;
        let gtid = match &position.gtid_set {
            Executed::Absent => None,
            Executed::Uncounted => Some(Gtid::Uncounted),
            Executed::Counted(set) => {
                let number = match &self.stored {
                    Some((number, stored)) if Arc::ptr_eq(stored, set.base()) => *number,
                    stored => {
                        let number = stored.as_ref().map_or(1, |(number, _)| number + 1);
                        base = Some(write_base(number, set.base())?);
                        self.stored = Some((number, Arc::clone(set.base())));
                        number
                    }
                };
                let (flavor, delta) = (set.flavor(), set.delta().to_string());
                Some(Gtid::Counted { base: number, flavor, delta })
            }
        };
        let record = Record {
            kind: "mysql".to_owned(),
            version: VERSION,
            file: Arc::clone(&position.file),
            offset: position.offset,
            gtid,
            by_gtid: position.by_gtid,
            server_uuid: Arc::clone(&position.server_uuid),
            file_created: position.file_created,
            event_time: position.event_time,
            server_time: position.server_time,
            lost: position.lost.clone(),
            trail: position.trail.clone(),
            prepared: position.prepared.clone(),
        };
        Ok(Written { position: serde_json::to_vec(&record)?.into(), base })
    }
}

fn write_base(number: u64, set: &GtidSet) -> Result<Bytes, PositionError> {
    let base = Base { version: VERSION, number, flavor: set.flavor(), set: set.to_string() };
    Ok(serde_json::to_vec(&base)?.into())
}

fn read_base(bytes: &[u8]) -> Result<(u64, Arc<GtidSet>), PositionError> {
    let form: Form = serde_json::from_slice(bytes)?;
    if form.version != VERSION {
        return Err(newer(form));
    }
    let Base { number, flavor, set, .. } = serde_json::from_slice(bytes)?;
    Ok((number, Arc::new(parsed(flavor, &set)?)))
}

fn read_position(
    bytes: &[u8],
    stored: Option<&(u64, Arc<GtidSet>)>,
) -> Result<Position, PositionError> {
    let form: Form = serde_json::from_slice(bytes)?;
    match (form.kind.as_deref(), form.version) {
        (None, 0) => Ok(serde_json::from_slice::<Flat>(bytes)?.into()),
        (Some("mysql"), VERSION) => {
            let record: Record = serde_json::from_slice(bytes)?;
            let gtid_set = match &record.gtid {
                None => Executed::Absent,
                Some(Gtid::Uncounted) => Executed::Uncounted,
                Some(Gtid::Counted { base, flavor, delta }) => match stored {
                    Some((number, set)) if number == base => {
                        let delta = parsed(*flavor, delta)?;
                        Executed::Counted(CountedSet::new(Arc::clone(set), delta))
                    }
                    found => {
                        let found = found.map_or("none".to_owned(), |found| found.0.to_string());
                        return Err(PositionError::Base { names: *base, found });
                    }
                },
            };
            Ok(record.with(gtid_set))
        }
        _ => Err(newer(form)),
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(time: &u32) -> bool {
    *time == 0
}

fn newer(form: Form) -> PositionError {
    PositionError::Newer { kind: form.kind.unwrap_or_default(), version: form.version }
}

fn parsed(flavor: Flavor, text: &str) -> Result<GtidSet, serde_json::Error> {
    GtidSet::parse(flavor, text).map_err(serde::de::Error::custom)
}

impl Record {
    fn with(self, gtid_set: Executed) -> Position {
        let Self { file, offset, server_uuid, by_gtid, file_created, event_time, .. } = self;
        let Self { server_time, lost, trail, prepared, .. } = self;
        let position = MySqlPosition {
            file,
            offset,
            gtid_set,
            server_uuid,
            by_gtid,
            file_created,
            event_time,
            server_time,
            lost,
            trail,
            prepared,
        };
        position.into()
    }
}

impl From<Flat> for Position {
    fn from(flat: Flat) -> Self {
        let Flat { file, offset, gtid_set, server_uuid, file_created, event_time } = flat;
        let position = MySqlPosition {
            file,
            offset,
            gtid_set: gtid_set.into(),
            by_gtid: false,
            server_uuid,
            file_created,
            event_time,
            server_time: 0,
            lost: None,
            trail: None,
            prepared: None,
        };
        position.into()
    }
}

#[cfg(test)]
mod tests;
