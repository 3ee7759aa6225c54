//! The schema history: the model as state records, one a table and one a database.
//!
//! Topic `.schema` of the instance, compacted. Key: a JSON array, `["db"]` or
//! `["db","table"]`, `[]` while tables of the source are still to be read, or
//! `["temporary","server_id","thread"]` while a session of the source has temporary tables that
//! the binlog names, or `["stays","",""]` once another server was read, or `["zone","",""]` where
//! values are written in the time zone of the server. Value: JSON,
//!
//! ```json
//! {"survey": "under way"}
//! {"survey": "rest"}
//! {"charset": "utf8mb4", "complete": {"file": "binlog.000001", "offset": 4}}
//! {"now": {"columns": [{"name": "id", "type": "bigint unsigned"},
//!                      {"name": "v", "type": "varchar(10)", "charset": "latin1"}],
//!          "primary_key": ["id"], "charset": "utf8mb4", "engine": "innodb"},
//!  "read": {"definition": {..}, "lo": {"file": "binlog.000001", "offset": 4}, "hi": {..},
//!           "server": "uuid"}}
//! {"lost": {"place": {..}, "why": "the type of column `c` is not understood"}}
//! {"absent": true}
//! {"tables": [["db", "t"]], "on": "uuid", "file": "binlog.000001"}
//! {"now": 1, "ended": {"0": {"file": "binlog.000001", "offset": 4}}}
//! {"name": "SYSTEM (CET)", "changes": [[0, 3600], [228877200, 7200]]}
//! ```
//!
//! and none for what is not there. Each record is whole, so restoring takes the newest of
//! each key and no DDL is ever replayed. Members are only ever added: a record of a build before lacks
//! some, which then count as not known.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::change::{FileName, StateRecord, StateTopic, TableName};

use super::model::{Entry, Key, Known, Model, Packed, ToRead};
use super::{Error, Noted, Own, SessionOf};

/// Which tables are still to be read.
#[derive(Debug, Serialize, Deserialize)]
enum OfSurvey {
    #[serde(rename = "under way")]
    UnderWay,
    #[serde(rename = "rest")]
    Rest,
}

/// The record of that.
#[derive(Debug, Serialize, Deserialize)]
struct SurveyRecord {
    survey: OfSurvey,
}

/// The first name in the key of a session.
const TEMPORARY: &str = "temporary";

/// The first name in the key of the stays at servers.
const STAYS: &str = "stays";

/// The first name in the key of the time zone.
const ZONE: &str = "zone";

/// The temporary tables of a session.
#[derive(Debug, Serialize, Deserialize)]
struct OfSession {
    tables: Vec<[String; 2]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    on: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<FileName>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    doubtful: bool,
}

impl OfSession {
    fn known(self) -> Known {
        let names = self.tables.into_iter();
        let tables = names.map(|[schema, table]| TableName::new(schema, table)).collect();
        let noted = self.on.zip(self.file).map(|(server, file)| Noted { server, file });
        Known::Session(Own { tables, noted, is_doubtful: self.doubtful })
    }
}

/// What the history holds, as its records come.
#[derive(Debug, Default)]
pub struct History {
    pub(super) model: Model,
}

impl History {
    /// Takes a record; of each key the newest has to come last. Records of other topics are
    /// none of ours.
    pub fn take(&mut self, record: &StateRecord) -> Result<(), Error> {
        if let Some((key, known)) = read(record)? {
            self.model.set(key, known);
        }
        Ok(())
    }
}

/// The record that says what is known of a key.
pub(crate) fn write(key: &Key, known: Option<&Known>) -> Result<StateRecord, serde_json::Error> {
    let key = match key {
        Key::Survey => serde_json::to_vec::<[&str]>(&[]),
        Key::Database(name) => serde_json::to_vec(&[name.as_str()]),
        Key::Table(name) => serde_json::to_vec(&[&*name.schema, &*name.table]),
        Key::Stays => serde_json::to_vec(&[STAYS, "", ""]),
        Key::Zone => serde_json::to_vec(&[ZONE, "", ""]),
        Key::Session(SessionOf { server, thread }) => {
            serde_json::to_vec(&[TEMPORARY, &server.to_string(), &thread.to_string()])
        }
    }?;
    let value = match known {
        Some(Known::Survey(to_read)) => {
            let survey = match to_read {
                ToRead::All => OfSurvey::UnderWay,
                ToRead::Rest => OfSurvey::Rest,
            };
            Some(serde_json::to_vec(&SurveyRecord { survey })?)
        }
        Some(Known::Database(database)) => Some(serde_json::to_vec(database)?),
        Some(Known::Session(Own { tables, noted, is_doubtful })) => {
            let names = tables.iter().map(|name| [&*name.schema, &*name.table].map(str::to_owned));
            Some(serde_json::to_vec(&OfSession {
                tables: names.collect(),
                on: noted.as_ref().map(|noted| Arc::clone(&noted.server)),
                file: noted.as_ref().map(|noted| FileName::clone(&noted.file)),
                doubtful: *is_doubtful,
            })?)
        }
        Some(Known::Stays(stays)) => Some(serde_json::to_vec(stays)?),
        Some(Known::Zone(zone)) => Some(serde_json::to_vec(zone)?),
        Some(Known::Table(packed)) => Some(serde_json::to_vec(&packed.unpack())?),
        None => None,
    };
    Ok(StateRecord { topic: StateTopic::Schema, key: key.into(), value: value.map(Bytes::from) })
}

/// Reads a record; those of other topics are none of ours.
pub(crate) fn read(record: &StateRecord) -> Result<Option<(Key, Option<Known>)>, Error> {
    if record.topic != StateTopic::Schema {
        return Ok(None);
    }
    let broken = |reason: String| Error::History {
        key: String::from_utf8_lossy(&record.key).into_owned(),
        reason,
    };
    let names: Vec<String> =
        serde_json::from_slice(&record.key).map_err(|error| broken(error.to_string()))?;
    let value = record.value.as_deref();
    let parsed = match <[String; 2]>::try_from(names) {
        Ok([schema, table]) => {
            let entry = value.map(serde_json::from_slice).transpose();
            let packed = |entry: Entry| Known::Table(Packed::pack(&entry));
            entry.map(|entry| (Key::Table(TableName::new(schema, table)), entry.map(packed)))
        }
        Err(names) if names.first().is_some_and(|first| first == TEMPORARY) && names.len() == 3 => {
            let number = |name: &String| name.parse::<u32>().map_err(|e| broken(e.to_string()));
            let session = SessionOf { server: number(&names[1])?, thread: number(&names[2])? };
            let tables = value.map(serde_json::from_slice::<OfSession>).transpose();
            tables.map(|tables| (Key::Session(session), tables.map(OfSession::known)))
        }
        Err(names) if names.first().is_some_and(|first| first == STAYS) && names.len() == 3 => {
            let stays = value.map(serde_json::from_slice).transpose();
            stays.map(|stays| (Key::Stays, stays.map(Known::Stays)))
        }
        Err(names) if names.first().is_some_and(|first| first == ZONE) && names.len() == 3 => {
            let zone = value.map(serde_json::from_slice).transpose();
            zone.map(|zone| (Key::Zone, zone.map(Known::Zone)))
        }
        Err(names) if names.is_empty() => {
            let record = value.map(serde_json::from_slice::<SurveyRecord>).transpose();
            let to_read = |record: SurveyRecord| match record.survey {
                OfSurvey::UnderWay => ToRead::All,
                OfSurvey::Rest => ToRead::Rest,
            };
            record.map(|record| (Key::Survey, record.map(to_read).map(Known::Survey)))
        }
        Err(names) => {
            let [name] = <[String; 1]>::try_from(names)
                .map_err(|names| broken(format!("{} names in the key", names.len())))?;
            let database = value.map(serde_json::from_slice).transpose();
            database.map(|database| (Key::Database(name), database.map(Known::Database)))
        }
    };
    parsed.map(Some).map_err(|error| broken(error.to_string()))
}
