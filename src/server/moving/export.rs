//! From the sink of an instance to a file.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::file::{Ends, Head, Line, Octets, VERSION, Writing};
use super::{Error, mark, parked_table};
use crate::change::{ParkedTable, Position, StateRecord, StateTopic};
use crate::clock;
use crate::instance::Plan;
use crate::sink::position_record::PositionRecords;
use crate::sink::{Committed, HeldPlace, LetterRecord, Moved, Sink, TopicEnd};

/// What was exported.
#[derive(Debug)]
pub struct Exported {
    instance: String,
    position: Position,
    tables: usize,
    parked: usize,
    letters: u64,
    branches: usize,
    topics: usize,
    bytes: u64,
    is_copy: bool,
}

impl fmt::Display for Exported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { instance, position, tables, parked, letters, branches, .. } = self;
        let Self { topics, bytes, is_copy, .. } = self;
        write!(
            f,
            "exported {instance} at {position}: what is known of {tables} tables and databases, \
             {branches} held XA branches, {parked} parked tables with {letters} records, the ends \
             of {topics} topics, {bytes} bytes; "
        )?;
        if *is_copy {
            return f.write_str(
                "it may go on here: an import of a copy would publish what comes twice",
            );
        }
        write!(
            f,
            "it goes on where that is imported, and does not start here any more before \
             `bin/sluice position resume {instance}`"
        )
    }
}

/// Writes all that is known of an instance to a file at `path`, which must not be there. The sink
/// is opened for it, which fences whoever has it open. Unless it is to be a copy, the instance is
/// marked as moved: it does not start here any more.
pub async fn export<S: Sink>(
    sink: &mut S,
    instance: &str,
    plan: &Plan,
    path: &Path,
    is_copy: bool,
) -> Result<Exported, Error> {
    let mut file = Writing::create(path)?;
    file.write(&Line::Head(Head {
        version: VERSION,
        program: concat!("sluice ", env!("CARGO_PKG_VERSION")).to_owned(),
        instance: instance.to_owned(),
        letters: sink.letters().to_string(),
        time: clock::now_millis(),
    }))?;
    let (mut failed, mut parked) = (None, Vec::new());
    let (mut keys, mut topics) = (BTreeSet::new(), BTreeSet::<Arc<str>>::new());
    let Committed { position, held, .. } = sink
        .open(&mut |record: StateRecord| {
            let taken = match record.topic {
                StateTopic::Parked => parked_table(instance, &record).map(|table| {
                    parked.extend(table.map(|table| (record, table)));
                }),
                StateTopic::Snapshot => file.write(&Line::Snapshot {
                    key: Octets::of(&record.key),
                    value: record.value.as_deref().map(Octets::of),
                }),
                StateTopic::Schema | StateTopic::Xa => {
                    if let Some((schema, table)) = names(&record.key) {
                        topics.insert(plan.publication.router.statement(&schema, &table).topic);
                    }
                    let is_there = record.value.is_some();
                    let written = file.write(&Line::Schema {
                        key: Octets::of(&record.key),
                        value: record.value.as_deref().map(Octets::of),
                    });
                    if is_there {
                        keys.insert(record.key)
                    } else {
                        keys.remove(&record.key)
                    };
                    written
                }
            };
            if let Err(error) = taken {
                failed.get_or_insert(error);
            }
        })
        .await?;
    if let Some(error) = failed {
        return Err(error);
    }
    let position = position.ok_or_else(|| Error::NoPosition(instance.to_owned()))?;
    write_position(&mut file, instance, &position)?;
    let ends = sink.topic_ends(topics.into_iter().collect()).await?;
    for TopicEnd { name, there, ends } in &ends {
        let (name, there, ends) = (name.to_string(), there.to_string(), ends.clone());
        file.write(&Line::Topic(Ends { name, there, ends }))?;
    }
    for (StateRecord { key, value, .. }, _) in &parked {
        let (key, value) = (Octets::of(key), Octets::of(value.as_deref().unwrap_or_default()));
        file.write(&Line::Parked { key, value })?;
    }
    let letters = write_letters(sink, &mut file, parked.iter().map(|(_, table)| table)).await?;
    for (xid, about) in &held {
        file.write(&Line::Branch { xid: xid.to_string(), about: Octets::of(about) })?;
        let mut place = Some(HeldPlace::default());
        while let Some(from) = place {
            let read = sink.read_held(xid, from).await?;
            for piece in &read.pieces {
                file.write(&Line::Piece { bytes: Octets::of(piece) })?;
            }
            place = read.next;
        }
    }
    let bytes = file.finish()?;
    let (tables, branches, topics) = (keys.len(), held.len(), ends.len());
    if !is_copy {
        let marked = mark(sink, &position, Some(&Moved::now(instance, path))).await;
        let path = path.to_owned();
        marked.map_err(|reason| Error::Unmarked { path, reason })?;
    }
    let (instance, parked) = (instance.to_owned(), parked.len());
    Ok(Exported { instance, position, tables, parked, letters, branches, topics, bytes, is_copy })
}

/// The names that a key of the schema history has, if it is of a table or a database.
fn names(key: &[u8]) -> Option<(String, String)> {
    let mut names: Vec<String> = serde_json::from_slice(key).ok()?;
    match names.len() {
        1 => Some((names.pop()?, String::new())),
        2 => {
            let table = names.pop()?;
            Some((names.pop()?, table))
        }
        _ => None,
    }
}

fn write_position(file: &mut Writing, instance: &str, position: &Position) -> Result<(), Error> {
    let written = PositionRecords::default().write(position);
    let written = written.map_err(|error| Error::Stored {
        instance: instance.to_owned(),
        reason: error.to_string(),
    })?;
    let base = written.base.as_deref().map(Octets::of);
    file.write(&Line::Position { position: Octets::of(&written.position), base })
}

/// Writes the letters from the first one on that a parked table may have.
async fn write_letters<S: Sink>(
    sink: &mut S,
    file: &mut Writing,
    parked: impl Iterator<Item = &ParkedTable>,
) -> Result<u64, Error> {
    let mut count = 0;
    let Some(mut offset) = parked.map(ParkedTable::first_offset).min() else { return Ok(0) };
    loop {
        let letters = sink.read_letters(offset).await?;
        if letters.next == offset {
            return Ok(count);
        }
        offset = letters.next;
        for LetterRecord { offset, key, value, binlog, gtid } in letters.records {
            count += 1;
            file.write(&Line::Letter {
                offset,
                key: Octets::of(&key),
                value: Octets::of(&value),
                binlog,
                gtid: gtid.as_deref().map(str::to_owned),
            })?;
        }
    }
}
