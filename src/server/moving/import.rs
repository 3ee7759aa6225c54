//! From a file to the sink of an instance.
//!
//! Always: all of it is one append, with the position. A process that ends before that is durable
//! has changed nothing; the import is begun again then.
//!
//! A parked table says from which offset of the topic of letters on something is of it. Its letters
//! get other offsets here, one behind the other: what was the offset of a letter is the number of
//! letters before it, counted from the end of the topic.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::file::{Head, Line, Octets, Reading};
use super::{Error, Lost, mark, parked_table};
use crate::change::{ParkedTable, Position, StateRecord, StateTopic, Xid};
use crate::instance::parked_record;
use crate::record::BatchBuilder;
use crate::sink::held::Joiner;
use crate::sink::position_record::PositionRecords;
use crate::sink::{self, Committed, Moved, Part, Sink};

/// Bytes at which letters are handed over.
const HAND_OVER_BYTES: usize = 1 << 20;
/// A log or a cluster that did not take it is asked again so often.
const TRIES: u32 = 3;

/// What was imported.
#[derive(Debug)]
pub struct Imported {
    instance: String,
    position: Position,
    parked: usize,
    letters: u64,
    branches: usize,
    /// It had been imported before, or was exported from here: nothing else was done.
    was_there: bool,
    /// What was there and is no more.
    replaced: Option<(Box<Position>, Lost)>,
}

impl Imported {
    /// Where the instance goes on.
    pub fn position(&self) -> &Position {
        &self.position
    }
}

impl fmt::Display for Imported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { instance, position, parked, letters, branches, was_there, replaced } = self;
        if *was_there {
            return write!(f, "{instance} is at {position} already, as the file has it");
        }
        write!(
            f,
            "imported {instance} at {position}, with {branches} held XA branches, {parked} parked \
             tables and {letters} records kept of them"
        )?;
        match replaced {
            Some((position, more)) => write!(f, ", in place of {position}{more}"),
            None => Ok(()),
        }
    }
}

/// What the sink has before.
#[derive(Default)]
struct Before {
    position: Option<Position>,
    letters_end: i64,
    /// The keys that have a value.
    schema: BTreeSet<Bytes>,
    copies: BTreeSet<Bytes>,
    parked: Vec<ParkedTable>,
    branches: Vec<Arc<Xid>>,
    /// Whether it was exported from here.
    moved: bool,
}

impl Before {
    async fn read<S: Sink>(sink: &mut S, instance: &str) -> Result<Self, Error> {
        let (mut before, mut failed) = (Self::default(), None);
        let Committed { position, held, letters_end, moved } = sink
            .open(&mut |record: StateRecord| match record.topic {
                StateTopic::Parked => match parked_table(instance, &record) {
                    Ok(table) => before.parked.extend(table),
                    Err(error) => drop(failed.get_or_insert(error)),
                },
                StateTopic::Schema | StateTopic::Xa | StateTopic::Snapshot => {
                    let keys = match record.topic {
                        StateTopic::Snapshot => &mut before.copies,
                        StateTopic::Schema | StateTopic::Xa | StateTopic::Parked => {
                            &mut before.schema
                        }
                    };
                    if record.value.is_some() {
                        keys.insert(record.key);
                    } else {
                        keys.remove(&record.key);
                    }
                }
            })
            .await?;
        if let Some(error) = failed {
            return Err(error);
        }
        let branches = held.into_iter().map(|(xid, _)| xid).collect();
        let moved = moved.is_some();
        Ok(Self { position, letters_end, branches, moved, ..before })
    }

    /// What of it the file does not bring back.
    fn lost(&self) -> Lost {
        let parked = self.parked.iter().map(|table| (table.name().to_string(), table.events));
        let branches = self.branches.iter().map(ToString::to_string);
        Lost { parked: parked.collect(), branches: branches.collect() }
    }
}

/// Makes an instance go on from what the file at `path` has, in place of what its sink has only
/// where `replace` says so.
pub async fn import<S: Sink>(
    sink: &mut S,
    instance: &str,
    path: &Path,
    replace: bool,
) -> Result<Imported, Error> {
    let mut tries = 0;
    loop {
        tries += 1;
        match attempt(sink, instance, path, replace).await {
            // The next try shows whether it was done, and may take longer.
            Err(Error::Sink(sink::Error::Failed(reason))) if tries < TRIES => {
                tracing::warn!(instance, reason, "the import is tried again");
            }
            done => return done,
        }
    }
}

async fn attempt<S: Sink>(
    sink: &mut S,
    instance: &str,
    path: &Path,
    replace: bool,
) -> Result<Imported, Error> {
    let (mut file, head) = Reading::open(path)?;
    let position = loop {
        match file.next()? {
            Some(Line::Position { position, base }) => {
                break read_position(position, base).map_err(|reason| file.odd(&reason))?;
            }
            Some(_) => {}
            None => return Err(file.odd("it has no position")),
        }
    };
    let before = Before::read(sink, instance).await?;
    let taking = Taking::new(head, before.letters_end);
    match &before.position {
        Some(there) if !replace && *there == position => {
            if before.moved {
                mark(sink, &position, None).await?;
            }
            return Ok(taking.imported(instance, position, true, None));
        }
        Some(there) if !replace => {
            let (instance, position) = (instance.to_owned(), Box::new(there.clone()));
            return Err(Error::Taken { instance, position, more: before.lost() });
        }
        Some(_) | None => {}
    }
    match take_all(sink, file.again()?, taking, &before, &position).await {
        Ok(taken) => {
            let lost = before.lost();
            let replaced = before.position.map(|position| (Box::new(position), lost));
            Ok(taken.imported(instance, position, false, replaced))
        }
        Err(error) => {
            // Whatever becomes of it: nothing of it is committed.
            let _ = sink.abort().await;
            Err(error)
        }
    }
}

async fn take_all<S: Sink>(
    sink: &mut S,
    mut file: Reading,
    mut taking: Taking,
    before: &Before,
    position: &Position,
) -> Result<Taking, Error> {
    while let Some(line) = file.next()? {
        match taking.take(sink, line).await {
            Ok(()) => {}
            Err(Refused::Line(reason)) => return Err(file.odd(&reason)),
            Err(Refused::Sink(error)) => return Err(error.into()),
        }
    }
    taking.end_branch().map_err(|reason| file.odd(&reason))?;
    taking.hand_over(sink).await?;
    sink.commit(position, taking.state(before)).await?.await?;
    Ok(taking)
}

fn read_position(position: Octets, base: Option<Octets>) -> Result<Position, String> {
    let (position, base) = (position.bytes()?, base.map(Octets::bytes).transpose()?);
    let read = PositionRecords::read(Some(&position), base.as_deref());
    let (_, position) = read.map_err(|error| error.to_string())?;
    position.ok_or_else(|| "no position".to_owned())
}

/// Why a line is not taken.
enum Refused {
    /// What is wrong with it.
    Line(String),
    /// The sink.
    Sink(sink::Error),
}

impl From<String> for Refused {
    fn from(reason: String) -> Self {
        Self::Line(reason)
    }
}

impl From<sink::Error> for Refused {
    fn from(error: sink::Error) -> Self {
        Self::Sink(error)
    }
}

/// A branch whose pieces come.
struct OpenBranch {
    xid: Arc<Xid>,
    about: Bytes,
    joiner: Joiner,
}

/// What was taken of the file.
struct Taking {
    head: Head,
    /// Of the schema history.
    keys: BTreeSet<Bytes>,
    /// Of the copies of tables.
    copies: BTreeSet<Bytes>,
    parked: Vec<ParkedTable>,
    /// What the offsets of letters are here that parked tables name.
    offsets: BTreeMap<i64, i64>,
    letters_end: i64,
    letters: u64,
    waiting: BatchBuilder,
    branch: Option<OpenBranch>,
    branches: Vec<(Arc<Xid>, Bytes)>,
}

impl Taking {
    fn new(head: Head, letters_end: i64) -> Self {
        Self {
            head,
            keys: BTreeSet::new(),
            copies: BTreeSet::new(),
            parked: Vec::new(),
            offsets: BTreeMap::new(),
            letters_end,
            letters: 0,
            waiting: BatchBuilder::default(),
            branch: None,
            branches: Vec::new(),
        }
    }

    async fn take<S: Sink>(&mut self, sink: &mut S, line: Line) -> Result<(), Refused> {
        match line {
            Line::Schema { key, value } => {
                let (key, value) = (key.bytes()?, value.map(Octets::bytes).transpose()?);
                self.keys.insert(key.clone());
                let topic = StateTopic::Schema;
                sink.append_state(StateRecord { topic, key, value }).await?;
            }
            Line::Snapshot { key, value } => {
                let (key, value) = (key.bytes()?, value.map(Octets::bytes).transpose()?);
                self.copies.insert(key.clone());
                let topic = StateTopic::Snapshot;
                sink.append_state(StateRecord { topic, key, value }).await?;
            }
            Line::Parked { key, value } => {
                let (key, value) = (key.bytes()?, Some(value.bytes()?));
                let record = StateRecord { topic: StateTopic::Parked, key, value };
                let table = parked_table(&self.head.instance, &record);
                let table = table.map_err(|error| error.to_string())?;
                self.parked.extend(table);
            }
            Line::Letter { offset, key, value, binlog, gtid } => {
                self.map_offsets(offset + 1);
                self.letters += 1;
                let (key, value) = (key.bytes()?, value.bytes()?);
                let mut headers = vec![("binlog", binlog.as_bytes())];
                headers.extend(gtid.as_ref().map(|gtid| ("gtid", gtid.as_bytes())));
                if self.waiting.len() + value.len() > HAND_OVER_BYTES {
                    self.hand_over(sink).await?;
                }
                self.waiting.push(Some(&key), Some(&value), &headers);
            }
            Line::Branch { xid, about } => {
                self.end_branch()?;
                let xid = xid.parse::<Xid>().map_err(|error| error.to_string())?;
                let (xid, about) = (Arc::new(xid), about.bytes()?);
                self.branch = Some(OpenBranch { xid, about, joiner: Joiner::default() });
            }
            Line::Piece { bytes } => {
                let bytes = bytes.bytes()?;
                let Some(branch) = &mut self.branch else {
                    return Err(Refused::Line("a piece of no branch".to_owned()));
                };
                branch.joiner.push(&bytes);
                while let Some(mut part) =
                    branch.joiner.next_open().map_err(|error| error.to_string())?
                {
                    // Instances and groups may be called otherwise here.
                    if *part.topic == *self.head.letters {
                        part.topic = sink.letters();
                    }
                    part.branch = Some(Arc::clone(&branch.xid));
                    sink.append(part).await?;
                }
            }
            // Those were looked at before, or are for others.
            Line::Topic(_) | Line::Position { .. } | Line::Head(_) | Line::End { .. } => {}
        }
        Ok(())
    }

    /// Offsets before `below` that tables name, and are not known yet, are that of the next letter
    /// here.
    fn map_offsets(&mut self, below: i64) {
        if self.letters == 0 {
            let named = self.parked.iter().flat_map(|table| {
                table.names.iter().map(|name| name.from).chain(std::iter::once(table.from))
            });
            self.offsets = named.map(|from| (from, i64::MAX)).collect();
        }
        let here = self.letters_end.saturating_add_unsigned(self.letters);
        let open = self.offsets.range_mut(..below).rev();
        open.take_while(|(_, to)| **to == i64::MAX).for_each(|(_, to)| *to = here);
    }

    /// The branch at hand has no more pieces.
    fn end_branch(&mut self) -> Result<(), String> {
        let Some(OpenBranch { xid, about, joiner }) = self.branch.take() else { return Ok(()) };
        if !joiner.is_empty() {
            return Err(format!("the held XA branch {xid} is not whole"));
        }
        self.branches.push((xid, about));
        Ok(())
    }

    /// Hands over the letters that wait.
    async fn hand_over<S: Sink>(&mut self, sink: &mut S) -> Result<(), sink::Error> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let records = std::mem::take(&mut self.waiting).finish();
        let (topic, partition, partitions) = (sink.letters(), 0, 1);
        sink.append(Part { topic, partition, partitions, records, branch: None }).await
    }

    /// What is committed with the position: what was there before and is no more, then what comes.
    fn state(&mut self, before: &Before) -> Vec<StateRecord> {
        self.map_offsets(i64::MAX);
        let (parked, offsets) = (&mut self.parked, &self.offsets);
        for table in parked.iter_mut() {
            let here = |from: &mut i64| *from = offsets.get(from).copied().unwrap_or(*from);
            here(&mut table.from);
            table.names.iter_mut().for_each(|name| here(&mut name.from));
        }
        let names: BTreeSet<_> = parked.iter().map(ParkedTable::name).collect();
        let xid = |xid: &Xid| Bytes::from(xid.to_string());
        let xids: BTreeSet<_> = self.branches.iter().map(|(one, _)| xid(one)).collect();
        let none = |topic, key| StateRecord { topic, key, value: None };
        let gone = before.schema.difference(&self.keys).cloned();
        let mut state: Vec<_> = gone.map(|key| none(StateTopic::Schema, key)).collect();
        state.extend(before.moved.then(|| Moved::record(None)));
        let gone = before.copies.difference(&self.copies).cloned();
        state.extend(gone.map(|key| none(StateTopic::Snapshot, key)));
        let gone = before.branches.iter().map(|one| xid(one)).filter(|key| !xids.contains(key));
        state.extend(gone.map(|key| none(StateTopic::Xa, key)));
        let gone = before.parked.iter().map(ParkedTable::name);
        let gone = gone.filter(|name| !names.contains(name));
        state.extend(gone.map(|name| parked_record(&name, None)));
        state.extend(parked.iter().map(|table| parked_record(&table.name(), Some(table))));
        state.extend(self.branches.iter().map(|(one, about)| StateRecord {
            topic: StateTopic::Xa,
            key: xid(one),
            value: Some(about.clone()),
        }));
        state
    }

    fn imported(
        &self,
        instance: &str,
        position: Position,
        was_there: bool,
        replaced: Option<(Box<Position>, Lost)>,
    ) -> Imported {
        Imported {
            instance: instance.to_owned(),
            position,
            parked: self.parked.len(),
            letters: self.letters,
            branches: self.branches.len(),
            was_there,
            replaced,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::moving::file::VERSION;

    /// A table's name that came later has only what came later, here too.
    #[test]
    fn tables_name_the_letters_here_that_they_named_there() {
        let head = Head {
            version: VERSION,
            program: String::new(),
            instance: "example".to_owned(),
            letters: "__sluice.example.parked".to_owned(),
            time: 0,
        };
        let mut table = ParkedTable {
            schema: "db".to_owned(),
            table: "a".to_owned(),
            from: 5,
            ..ParkedTable::default()
        };
        for (name, from) in [("b", 8), ("c", 6), ("d", 40)] {
            table.add_name(&crate::change::TableName::new("db", name), from);
        }
        let mut taking = Taking::new(head, 100);
        taking.parked.push(table);
        // Some between are none of ours, as the ends of transactions in a cluster.
        for offset in [5, 7, 8, 12] {
            taking.map_offsets(offset + 1);
            taking.letters += 1;
        }
        taking.state(&Before::default());
        let ParkedTable { from, names, .. } = &taking.parked[0];
        let names: Vec<i64> = names.iter().map(|name| name.from).collect();
        assert_eq!((*from, &*names), (100, [102, 101, 104].as_slice()));
    }
}
