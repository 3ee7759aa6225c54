//! The position of an instance in the log, read and moved while the instance does not run.
//!
//! In: an open log. It is the process's own, or one that a command opened because no process
//! runs. Out: what the next start of the instance will find. A change is written as the
//! instance itself writes, so a writer of the instance that still lives is fenced by it.

use std::collections::BTreeSet;
use std::fmt;

use bytes::Bytes;

use crate::change::{
    Executed, Flavor, GtidError, GtidSet, HeldBranch, Loss, MySqlPosition, ParkedTable, Position,
    StateRecord, StateTopic,
};
use crate::control::Place;
use crate::instance;
use crate::log::{
    Log, Restored, StateKind, StateWrite, TopicError, Writer, WriterError, internal_topic_name,
};
use crate::sink::PositionError;
use crate::sink::position_record::PositionRecords;
use crate::sink::{self, Lost, find_branches, notice};

/// Last words of the names of the topics that an instance keeps; the position goes last, so
/// that a reset that was cut short can be repeated.
const KEPT: [&str; 4] = ["xa", "schema", "parked", POSITIONS];
const POSITIONS: &str = "positions";

/// Why a position was not read or moved.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The instance has never started, or was reset.
    #[error(
        "{0} has no position yet: write where it begins into its instance.properties \
         (canal.instance.master.journal.name and .position, or .gtid)"
    )]
    None(String),
    /// The new place makes no sense.
    #[error("no GTID set of the source: {0}")]
    Gtid(#[from] GtidError),
    /// What is stored is not a position.
    #[error("the position of {instance}: {reason}")]
    Unreadable {
        /// Whose.
        instance: String,
        /// What is wrong with it.
        reason: PositionError,
    },
    /// The log refused.
    #[error(transparent)]
    Write(#[from] WriterError),
    /// What is kept of parked tables would be lost.
    #[error(
        "{instance} has parked tables, and only their kept changes say what happened to them: \
         {parked}; publish them first (`bin/sluice instance retry {instance} TABLE`), or give them \
         up with --drop-parked"
    )]
    Parked {
        /// The instance.
        instance: String,
        /// What would be lost.
        parked: Dropped,
    },
    /// The record of a parked table cannot be read.
    #[error("{0}; --drop-parked resets the position all the same")]
    ParkedRecord(String),
    /// A held XA branch cannot be read.
    #[error(transparent)]
    Held(#[from] crate::sink::Error),
    /// The log refused to forget.
    #[error(transparent)]
    Forget(#[from] TopicError),
}

/// A position that was set.
#[derive(Debug)]
pub struct Moved {
    /// Where the instance goes on.
    pub position: Position,
    /// The held XA branches that the server does not have, by whose loss it goes on there.
    pub forgotten: Vec<HeldBranch>,
}

impl fmt::Display for Moved {
    /// A line for each branch that is lost; nothing if none is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, branch) in self.forgotten.iter().enumerate() {
            let HeldBranch { xid, gtid, place: (file, offset) } = branch;
            let gtid = gtid.as_deref().unwrap_or("a transaction that is not known");
            let newline = if number > 0 { "\n" } else { "" };
            write!(
                f,
                "{newline}the held XA branch {xid} is lost: it was prepared by {gtid}, at \
                 {file}:{offset}"
            )?;
        }
        Ok(())
    }
}

/// Parked tables of which what was kept is dropped.
#[derive(Debug, Default)]
pub struct Dropped(pub Vec<ParkedTable>);

impl fmt::Display for Dropped {
    /// Tables and how many events; nothing if there are none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, table) in self.0.iter().enumerate() {
            let comma = if number > 0 { ", " } else { "" };
            let (events, file, offset) = (table.events, &table.file, table.offset);
            write!(f, "{comma}{} ({events} events since {file}:{offset})", table.name())?;
        }
        Ok(())
    }
}

/// The positions of the instances of one group.
#[derive(Clone, Copy, Debug)]
pub struct Positions<'a> {
    /// The log they are in.
    pub log: &'a Log,
    /// Second word of internal topics' names.
    pub group: &'a str,
}

impl Positions<'_> {
    /// The position of an instance, if it has ever started.
    pub async fn read(&self, instance: &str) -> Result<Option<Position>, Error> {
        if !self.has(instance, POSITIONS) {
            return Ok(None);
        }
        let restored = self.log.writer(instance, self.group).open().await?;
        Ok(parsed(instance, &restored)?.1)
    }

    /// Makes an instance go on from `place`; returns the new position. What is known of tables,
    /// and which XA branches are held, was true at the old place: it is forgotten in the same
    /// commit. Behind a loss those branches stay held whose XA PREPARE the server has too; the
    /// others are returned.
    pub async fn set(&self, instance: &str, place: &Place) -> Result<Moved, Error> {
        let none = || Error::None(instance.to_owned());
        if !self.has(instance, POSITIONS) {
            return Err(none());
        }
        let mut writer = self.log.writer(instance, self.group);
        let restored = writer.open().await?;
        let (mut records, old) = parsed(instance, &restored)?;
        let Position::MySql(old) = old.ok_or_else(none)?;
        let position = Position::from(at(place, &old)?);
        let written = records.write(&position).map_err(|reason| unreadable(instance, reason))?;
        let mut state = tombstones(&writer, StateKind::Schema).await?;
        let forgotten = if let Some(kept) = kept_by(&position) {
            let (forgotten, records) = forget_lost(&writer, &kept).await?;
            state.extend(records);
            forgotten
        } else {
            // At a named place no branch is held: what is needed of one is looked for there.
            state.extend(tombstones(&writer, StateKind::Xa).await?);
            Vec::new()
        };
        state.extend(written.base.map(StateWrite::position_base));
        if restored.moved.is_some() {
            state.push(sink::Moved::record(None).into());
        }
        if let Some(lost) = lost_by(&position, &old) {
            let topics = notice::append(&mut writer, &lost).await?;
            tracing::warn!(
                ?topics,
                lost = %lost.gtids,
                "notices of the loss were added to the topics concerned"
            );
        }
        writer.commit(written.position, state).await?.await?;
        Ok(Moved { position, forgotten })
    }

    /// Forgets the position of an instance, and with it all that was kept for it. What is kept of
    /// parked tables is nowhere else: it goes with it only where that is asked for, and is
    /// returned.
    pub async fn reset(&self, instance: &str, drop_parked: bool) -> Result<Dropped, Error> {
        if !self.has(instance, POSITIONS) {
            return Err(Error::None(instance.to_owned()));
        }
        let dropped = match self.parked(instance).await {
            // It may be to be reset because it cannot be read.
            Err(error) if drop_parked => {
                tracing::warn!(instance, %error, "what is kept of parked tables is dropped unread");
                Dropped::default()
            }
            parked => Dropped(parked?),
        };
        if !dropped.0.is_empty() && !drop_parked {
            return Err(Error::Parked { instance: instance.to_owned(), parked: dropped });
        }
        for table in &dropped.0 {
            tracing::warn!(instance, table = %table.name(), events = table.events,
                file = table.file, offset = table.offset,
                "the position is reset: WHAT IS KEPT OF A PARKED TABLE IS DROPPED");
        }
        for what in KEPT {
            if self.has(instance, what) {
                self.log.delete_topic(&self.topic(instance, what)).await?;
            }
        }
        Ok(dropped)
    }

    async fn parked(&self, instance: &str) -> Result<Vec<ParkedTable>, Error> {
        let restored = self.log.writer(instance, self.group).open().await?;
        let records = restored.parked.into_iter();
        let tables = records.map(|(key, value)| {
            let record = StateRecord { topic: StateTopic::Parked, key, value: Some(value) };
            instance::parked_table(&record).map_err(Error::ParkedRecord)
        });
        let tables: Vec<Option<ParkedTable>> = tables.collect::<Result<_, _>>()?;
        Ok(tables.into_iter().flatten().collect())
    }

    fn has(&self, instance: &str, what: &str) -> bool {
        self.log.topic(&self.topic(instance, what)).is_some()
    }

    fn topic(&self, instance: &str, what: &str) -> String {
        internal_topic_name(self.group, instance, what)
    }
}

/// What deletes all that has a value.
async fn tombstones(writer: &Writer, kind: StateKind) -> Result<Vec<StateWrite>, Error> {
    let keys = live_keys(writer, kind).await?;
    Ok(keys.into_iter().map(|key| StateWrite { kind, key, value: None }).collect())
}

/// The held branches that a server which has executed only `kept` does not have, and what makes
/// them forgotten.
async fn forget_lost(
    writer: &Writer,
    kept: &GtidSet,
) -> Result<(Vec<HeldBranch>, Vec<StateWrite>), Error> {
    let (mut branches, held) = find_branches(writer).await?;
    let (mut forgotten, mut records) = (Vec::new(), Vec::new());
    for (xid, about) in held {
        let branch = instance::held_branch(xid, &about)?;
        if !branch.is_of(kept) {
            let ended = branches.end(&Bytes::from(branch.xid.to_string()));
            records.extend(ended.into_iter().map(StateWrite::from));
            forgotten.push(branch);
        }
    }
    Ok((forgotten, records))
}

/// The keys that have a value.
async fn live_keys(writer: &Writer, kind: StateKind) -> Result<BTreeSet<Bytes>, Error> {
    let (mut live, mut offset) = (BTreeSet::new(), 0);
    loop {
        let read = writer.read_state(kind, offset).await?;
        for (_, key, value) in read.records {
            if value.is_some() {
                live.insert(key);
            } else {
                live.remove(&key);
            }
        }
        if read.next == offset {
            return Ok(live);
        }
        offset = read.next;
    }
}

fn parsed(
    instance: &str,
    restored: &Restored,
) -> Result<(PositionRecords, Option<Position>), Error> {
    let (position, base) = (restored.position.as_deref(), restored.position_base.as_deref());
    PositionRecords::read(position, base).map_err(|reason| unreadable(instance, reason))
}

fn unreadable(instance: &str, reason: PositionError) -> Error {
    Error::Unreadable { instance: instance.to_owned(), reason }
}

/// A place that somebody names without asking a server. What it does not say, the server that
/// answers at the next start is asked for: whose file it is, and what was executed before.
fn at(place: &Place, before: &MySqlPosition) -> Result<MySqlPosition, GtidError> {
    let flavor = flavor(before);
    let set = |text: &str| GtidSet::parse(flavor_of(text, flavor), text);
    let nowhere = MySqlPosition { gtid_set: Executed::Uncounted, ..MySqlPosition::default() };
    Ok(match place {
        Place::File { file, offset } => {
            MySqlPosition { file: file.as_str().into(), offset: *offset, ..nowhere }
        }
        Place::Gtid { set: text } => MySqlPosition { gtid_set: set(text)?.into(), ..nowhere },
        Place::WithoutLost { kept, lost, server } => {
            let (kept, on) = (set(kept)?, server.as_str().into());
            let lost = Loss::new(set(lost)?, on, &kept, before.lost.as_deref());
            MySqlPosition {
                gtid_set: kept.into(),
                by_gtid: true,
                event_time: before.event_time,
                lost: Some(Box::new(lost)),
                ..nowhere
            }
        }
    })
}

/// Behind a loss: what the server still has of what was published.
fn kept_by(position: &Position) -> Option<GtidSet> {
    let Position::MySql(position) = position;
    position.lost.as_ref()?;
    Some(position.gtid_set.counted()?.whole())
}

/// What is lost at the new position and was not at the old one.
fn lost_by(new: &Position, old: &MySqlPosition) -> Option<Lost> {
    let Position::MySql(new) = new;
    let mut gtids = new.lost.as_ref()?.gtids.clone();
    if let Some(before) = &old.lost {
        gtids.subtract(&before.gtids);
    }
    let kept = new.gtid_set.counted()?.whole();
    Some(Lost { gtids, kept })
}

/// MySQL's GTIDs have a colon behind the UUID, MariaDB's have none.
fn flavor_of(set: &str, before: Flavor) -> Flavor {
    match set.trim() {
        "" => before,
        set if set.contains(':') => Flavor::MySql,
        _ => Flavor::MariaDb,
    }
}

/// Whose server a position is of.
fn flavor(position: &MySqlPosition) -> Flavor {
    match position.gtid_set.counted() {
        Some(set) => set.flavor(),
        None if position.server_uuid.starts_with("server-id:") => Flavor::MariaDb,
        None => Flavor::MySql,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

    fn before(server: &str) -> MySqlPosition {
        let start = Place::File { file: "binlog.000001".to_owned(), offset: 4 };
        let nowhere = MySqlPosition {
            server_uuid: server.into(),
            file_created: 7,
            event_time: 8,
            ..MySqlPosition::default()
        };
        MySqlPosition { server_uuid: server.into(), ..at(&start, &nowhere).unwrap() }
    }

    #[test]
    fn what_a_named_place_does_not_say_is_left_to_the_next_start() {
        let file = Place::File { file: "binlog.000002".to_owned(), offset: 4 };
        let position = at(&file, &before(UUID)).unwrap();
        assert_eq!((&*position.file, position.offset), ("binlog.000002", 4));
        assert_eq!((position.gtid_set, &*position.server_uuid), (Executed::Uncounted, ""));
        for (server, text) in [
            (UUID, &*format!("{UUID}:1-5")),
            ("server-id:2", "0-1-100,7-2-33"),
            ("server-id:2", ""),
        ] {
            let position = at(&Place::Gtid { set: text.to_owned() }, &before(server)).unwrap();
            let set = position.gtid_set.counted().unwrap();
            assert_eq!(set.to_string(), text);
            assert_eq!(set.flavor() == Flavor::MySql, server == UUID);
        }
        assert!(at(&Place::Gtid { set: "0-1".to_owned() }, &before(UUID)).is_err());
    }

    #[test]
    fn a_loss_stays_in_the_position() {
        let (kept, lost, server) = (format!("{UUID}:1-5"), format!("{UUID}:6-7"), "u2".to_owned());
        let place = Place::WithoutLost { kept: kept.clone(), lost: lost.clone(), server };
        let json = serde_json::to_string(&place).unwrap();
        let place = serde_json::from_str(&json).unwrap();
        let position = at(&place, &before(UUID)).unwrap();
        assert_eq!(position.gtid_set.counted().unwrap().to_string(), kept);
        assert_eq!(position.lost.unwrap().gtids.to_string(), lost);
    }
}
