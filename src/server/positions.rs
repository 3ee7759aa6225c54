//! The position of an instance in the log, read and moved while the instance does not run.
//!
//! In: an open log. It is the process's own, or one that a command opened because no process
//! runs. Out: what the next start of the instance will find. A change is written as the
//! instance itself writes, so a writer of the instance that still lives is fenced by it.

use crate::change::{Flavor, GtidError, GtidSet, Position};
use crate::control::Place;
use crate::log::{Log, TopicError, WriterError};

/// Last words of the names of the topics that an instance keeps; the position goes last, so
/// that a reset that was cut short can be repeated.
const KEPT: [&str; 3] = ["xa", "schema", POSITIONS];
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
    #[error("cannot read the position of {instance}: {reason}")]
    Unreadable {
        /// Whose.
        instance: String,
        /// What is wrong with it.
        reason: serde_json::Error,
    },
    /// The log refused.
    #[error(transparent)]
    Write(#[from] WriterError),
    /// The log refused to forget.
    #[error(transparent)]
    Forget(#[from] TopicError),
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
    /// Where an instance stands, if it has ever started.
    pub async fn read(&self, instance: &str) -> Result<Option<Position>, Error> {
        if !self.has(instance, POSITIONS) {
            return Ok(None);
        }
        let restored = self.log.writer(instance, self.group).open().await?;
        restored.position.map(|bytes| parsed(instance, &bytes)).transpose()
    }

    /// Makes an instance go on from `place`; returns the new position.
    pub async fn set(&self, instance: &str, place: &Place) -> Result<Position, Error> {
        let none = || Error::None(instance.to_owned());
        if !self.has(instance, POSITIONS) {
            return Err(none());
        }
        let mut writer = self.log.writer(instance, self.group);
        let stored = writer.open().await?.position.ok_or_else(none)?;
        let position = moved(parsed(instance, &stored)?, place)?;
        let bytes = serde_json::to_vec(&position)
            .map_err(|reason| Error::Unreadable { instance: instance.to_owned(), reason })?;
        writer.commit(bytes.into(), Vec::new()).await?.await?;
        Ok(position)
    }

    /// Forgets the position of an instance, and with it all that was kept for it.
    pub async fn reset(&self, instance: &str) -> Result<(), Error> {
        if !self.has(instance, POSITIONS) {
            return Err(Error::None(instance.to_owned()));
        }
        for what in KEPT {
            if self.has(instance, what) {
                self.log.delete_topic(&self.topic(instance, what)).await?;
            }
        }
        Ok(())
    }

    fn has(&self, instance: &str, what: &str) -> bool {
        self.log.topic(&self.topic(instance, what)).is_some()
    }

    fn topic(&self, instance: &str, what: &str) -> String {
        format!("__{}.{instance}.{what}", self.group)
    }
}

fn parsed(instance: &str, bytes: &[u8]) -> Result<Position, Error> {
    serde_json::from_slice(bytes)
        .map_err(|reason| Error::Unreadable { instance: instance.to_owned(), reason })
}

/// The same server at another place: what the place does not say is unknown, and so not
/// held against the server at the next start.
fn moved(old: Position, place: &Place) -> Result<Position, GtidError> {
    // Position names servers without a UUID of their own so; they are MariaDB's.
    let is_mariadb = old.server_uuid.starts_with("server-id:");
    let flavor = if is_mariadb { Flavor::MariaDb } else { Flavor::MySql };
    let (file, offset, gtid_set) = match place {
        Place::File { file, offset } => (file.as_str(), *offset, None),
        Place::Gtid { set } => ("", 0, Some(GtidSet::parse(flavor, set)?)),
    };
    Ok(Position { file: file.into(), offset, gtid_set, file_created: 0, event_time: 0, ..old })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moved_position_keeps_the_server_and_forgets_what_is_not_said() {
        let old = Position {
            file: "binlog.000009".into(),
            offset: 900,
            gtid_set: Some(GtidSet::parse(Flavor::MySql, "").unwrap()),
            server_uuid: "3e11fa47-71ca-11e1-9e33-c80aa9429562".into(),
            file_created: 7,
            event_time: 8,
        };
        let file = Place::File { file: "binlog.000002".to_owned(), offset: 4 };
        let new = moved(old.clone(), &file).unwrap();
        assert_eq!((&*new.file, new.offset, new.gtid_set), ("binlog.000002", 4, None));
        assert_eq!((new.server_uuid, new.file_created), (old.server_uuid.clone(), 0));
        let text = "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5";
        let new = moved(old, &Place::Gtid { set: text.to_owned() }).unwrap();
        assert_eq!(new.gtid_set.unwrap().to_string(), text);
    }
}
