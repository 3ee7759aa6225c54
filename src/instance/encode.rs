//! Changes to records: what is published, to which topic and partition, in which bytes.
//!
//! In: changes of a transaction, in order. Out: records in a [`Gathering`], one a rows
//! event or statement (one a partition where a partition hash scatters its rows). Where the
//! topic takes no message so large, the event's rows go on in further ones. All that is constant
//! for a table version is prepared when it is first met. Changes of parked tables become letters
//! instead ([`super::park`]).

mod error;

pub(crate) use error::Error;

use std::sync::Arc;

use super::Publication;
use super::gather::{Gathering, Slot};
use super::park::letter::{Content, Letter};
use super::park::tables::ParkedTables;
use super::recent::Recent;
use super::tally::{self, Tallies};
use crate::change::{
    Change, EventPlace, KeptEvent, ParkedTable, RowsChange, StateRecord, StatementChange, Table,
    TableName, TableVersion, TransactionHead, Xid,
};
use crate::clock;
use crate::control::{Done, TableCount, TableCounts, Tally};
use crate::format::flat::{self, FlatPlan, Rows, Stamp, StampPlaces, Unwritten, Workspace};
use crate::route::{HashRule, PartitionRule};
use crate::sink::held::OpenPlaces;
use crate::sink::{Limits, Part};

/// Versions of tables that stay prepared; those that are in use last.
const MOST_TABLES: usize = 16_384;

/// See the head of this file.
pub(crate) struct Encoder {
    publication: Publication,
    tables: Recent<TableVersion, TablePlan>,
    gathering: Gathering,
    /// What gathers of an XA branch.
    branch: Gathering,
    scatter: Scatter,
    work: Workspace,
    /// The number of the batch, as Canal counts.
    id: u64,
    done: Done,
    /// That of whole transactions.
    whole: Done,
    /// Of the XA branch at hand: it is done at its XA COMMIT.
    held: Done,
    tallies: Tallies,
    parked: ParkedTables,
    counts: TableCounts,
    /// Where letters go.
    letters: Arc<str>,
    /// The first parked change of the transaction at hand.
    first_parked: Option<String>,
}

/// What is prepared for a version of a table.
struct TablePlan {
    flat: FlatPlan,
    count: Arc<TableCount>,
    topic: Arc<str>,
    partitions: i32,
    rule: PartitionRule,
    /// The slot of each partition met so far.
    slots: Vec<Option<Slot>>,
    tally: Option<tally::Place>,
}

/// Rows of one event by partition; the vectors are kept from event to event.
#[derive(Default)]
struct Scatter {
    by_partition: Vec<Vec<usize>>,
    hashes: Vec<crate::route::RowHash>,
}

impl Encoder {
    /// An encoder that has seen nothing, for topics of these limits.
    pub(crate) fn new(publication: Publication, limits: Limits) -> Self {
        Self {
            publication,
            tables: Recent::new(MOST_TABLES),
            gathering: Gathering::new(limits.clone()),
            branch: Gathering::of_branches(limits),
            scatter: Scatter::default(),
            work: Workspace::default(),
            id: 1,
            done: Done::default(),
            whole: Done::default(),
            held: Done::default(),
            tallies: Tallies::default(),
            parked: ParkedTables::default(),
            counts: TableCounts::default(),
            letters: "".into(),
            first_parked: None,
        }
    }

    /// Lets the changes of parked tables become letters, which go to that topic.
    pub(crate) fn parks(&mut self, parked: ParkedTables, letters: Arc<str>) {
        self.gathering.may_park();
        self.branch.may_park();
        (self.parked, self.letters) = (parked, letters);
    }

    /// Counts tables there.
    pub(crate) fn counts(&mut self, counts: TableCounts) {
        self.counts = counts;
    }

    /// One for changes that were parked before.
    pub(crate) fn late(publication: Publication, limits: Limits) -> Self {
        let gathering = Gathering::late(limits.clone());
        Self { gathering, ..Self::new(publication, limits) }
    }

    /// Adds changes of the transaction at hand.
    pub(crate) fn encode(
        &mut self,
        head: &TransactionHead,
        changes: &[Change],
    ) -> Result<(), Error> {
        let now = clock::now_millis();
        for change in changes {
            match change {
                Change::Rows(rows) => self.rows(head, rows, now)?,
                Change::Statement(statement) => match &statement.parked {
                    None => self.statement(head, statement, now)?,
                    Some(table) => {
                        let content = Content::Statement(statement.clone());
                        self.park(head, table, &statement.place, content);
                    }
                },
                Change::Together(together) => {
                    if let Some(table) = self.parked.join(&together.names, &together.place) {
                        return Err(Error::many_names(table, &together.place));
                    }
                }
            }
        }
        Ok(())
    }

    /// The transaction at hand is whole. One without messages is none: the position moves.
    pub(crate) fn end_transaction(&mut self) {
        let messages = self.gathering.end_transaction();
        self.done.transactions += u64::from(messages > 0);
        self.whole = self.done;
        self.tallies.end();
        self.parked.end_transaction();
        self.first_parked = None;
    }

    /// The transaction at hand, of which nothing was taken, cannot be encoded: it never was.
    pub(crate) fn roll_back(&mut self) {
        self.gathering.roll_back();
        self.branch.clear();
        (self.done, self.held) = (self.whole, Done::default());
        self.tallies.roll_back();
        self.parked.roll_back();
        self.first_parked = None;
    }

    /// The XA branch at hand is whole: what it has to publish.
    pub(crate) fn end_branch(&mut self, xid: &Xid) -> Done {
        let messages = self.branch.end_transaction();
        self.tallies.end();
        self.parked.end_branch(&xid.to_string());
        self.first_parked = None;
        let held = std::mem::take(&mut self.held);
        Done { transactions: u64::from(messages > 0), ..held }
    }

    /// A held branch was published.
    pub(crate) fn published(&mut self, held: Done) {
        self.done.add(held);
        self.whole = self.done;
    }

    /// A branch is held no more: it was committed, or rolled back.
    pub(crate) fn forget_branch(&mut self, xid: &Xid, committed: bool) {
        self.parked.forget_branch(&xid.to_string(), committed);
    }

    /// What is known of parked tables, and the records that make it durable, if it has changed.
    pub(crate) fn take_parked(&mut self) -> Option<(Vec<ParkedTable>, Vec<StateRecord>)> {
        let records = self.parked.take_records();
        (!records.is_empty()).then(|| (self.parked.all(), records))
    }

    /// Forgets what was not taken.
    pub(crate) fn clear(&mut self) {
        self.parked.roll_back();
        self.first_parked = None;
        self.gathering.clear();
        self.branch.clear();
        (self.done, self.whole) = (Done::default(), Done::default());
        self.held = Done::default();
        self.tallies.clear();
    }

    /// Bytes that wait to be taken.
    pub(crate) fn bytes(&self) -> usize {
        self.gathering.bytes()
    }

    /// Takes what may be handed to the sink.
    pub(crate) fn take(&mut self) -> Vec<Part> {
        self.id += 1;
        self.gathering.take(None)
    }

    /// Takes what may be handed to the sink of the XA branch at hand.
    pub(crate) fn take_branch(&mut self, branch: &Arc<Xid>) -> Vec<Part> {
        self.branch.take(Some(branch))
    }

    /// The number of the batch that gathers.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// What was encoded since this was asked last.
    pub(crate) fn take_done(&mut self) -> Done {
        self.whole = Done::default();
        std::mem::take(&mut self.done)
    }

    /// What was encoded of each table since this was asked last, and how many statements. What an XA
    /// branch changed counts where it is prepared.
    pub(crate) fn take_tallies(&mut self) -> (Vec<(TableName, Tally)>, u64) {
        self.tallies.take()
    }

    fn rows(&mut self, head: &TransactionHead, change: &RowsChange, now: i64) -> Result<(), Error> {
        if self.publication.dropped.contains(&change.kind) {
            return Ok(());
        }
        if let Some(event) = &change.parked {
            let content = Content::Rows(KeptEvent::clone(event));
            self.park(head, &change.table.name, &change.place, content);
            return Ok(());
        }
        let table = self.tables.get_or_insert_with(change.table.version, || {
            TablePlan::new(&self.publication, &change.table, &self.counts)
        });
        let holds = head.branch.is_some();
        let (gathering, done) = if holds {
            (&mut self.branch, &mut self.held)
        } else {
            (&mut self.gathering, &mut self.done)
        };
        let mut message = Message {
            gathering,
            work: &mut self.work,
            tallies: &mut self.tallies,
            done,
            holds,
            head,
            stamp: stamp(self.id, head, &change.place, now),
        };
        match &table.rule {
            PartitionRule::Fixed(partition) => {
                let partition = *partition;
                message.write(table, change, partition, Rows::All)
            }
            PartitionRule::Columns(rule) => {
                let filled = self.scatter.fill(table, rule, change, message.work);
                filled.map_err(|error| Error::unreadable(&change.place, error))?;
                for (partition, rows) in (0_i32..).zip(&self.scatter.by_partition) {
                    if !rows.is_empty() {
                        message.write(table, change, partition, Rows::Chosen(rows))?;
                    }
                }
                Ok(())
            }
        }
    }

    /// Keeps a change of a parked table.
    fn park(
        &mut self,
        head: &TransactionHead,
        table: &TableName,
        place: &EventPlace,
        content: Content,
    ) {
        let first = || format!("{}:{}", place.file, place.offset);
        let letter = Letter {
            table: table.clone(),
            place: place.clone(),
            transaction: self.first_parked.get_or_insert_with(first).clone(),
            executed: head.executed.as_ref().map(ToString::to_string),
            reason: self.parked.reason(table).to_owned(),
            content,
        };
        let held = head.branch.is_some();
        let gathering = if held { &mut self.branch } else { &mut self.gathering };
        let slot = gathering.slot(&self.letters, 0, 1);
        let largest = self.publication.largest_letter;
        let bytes = gathering.letter(slot, head.gtid.as_ref(), &letter, largest);
        self.parked.keep(table, place, bytes, held);
    }

    fn statement(
        &mut self,
        head: &TransactionHead,
        statement: &StatementChange,
        now: i64,
    ) -> Result<(), Error> {
        let to = self.publication.router.statement(&statement.schema, &statement.table);
        self.publication.renamed.say(to.renamed_from.as_deref(), &to.topic);
        let (gathering, done) = if head.branch.is_some() {
            (&mut self.branch, &mut self.held)
        } else {
            (&mut self.gathering, &mut self.done)
        };
        let slot = gathering.slot(&to.topic, to.partition, to.partitions);
        let stamp = stamp(self.id, head, &statement.place, now);
        gathering.message(slot, &statement.place, head, later(head), |out, room| {
            let start = out.len();
            let places = flat::write_statement(statement, &stamp, out);
            let length = out.len() - start;
            if length > room.value {
                return Err(Error::statement_too_large(statement, &to.topic, length, room));
            }
            Ok(open_places(places))
        })?;
        done.messages += 1;
        self.tallies.statement();
        Ok(())
    }
}

/// What a message of a branch may grow by until its XA COMMIT: the executed set is another then.
fn later(head: &TransactionHead) -> usize {
    /// A set gains a few intervals, and servers.
    const GAIN: usize = 4096;
    let executed = head.executed.as_ref().filter(|_| head.branch.is_some());
    executed.map_or(0, |set| GAIN + set.len())
}

/// What of a message is open until an XA COMMIT, in the order of [`Pipeline`]'s texts.
///
/// [`Pipeline`]: super::pipeline::Pipeline
fn open_places(places: StampPlaces) -> OpenPlaces {
    let StampPlaces { gtid, id, ts } = places;
    [gtid, id, ts]
}

/// What a message of the event at `place` says beside its rows or its statement.
fn stamp<'a>(id: u64, head: &'a TransactionHead, place: &EventPlace, now: i64) -> Stamp<'a> {
    // A branch gets the one of its XA COMMIT.
    let executed = head.executed.as_deref().filter(|_| head.branch.is_none());
    let gtid = executed.unwrap_or_default();
    Stamp { id, es: i64::from(place.time) * 1000, gtid, ts: now }
}

/// What all messages of one event share.
struct Message<'a> {
    gathering: &'a mut Gathering,
    work: &'a mut Workspace,
    tallies: &'a mut Tallies,
    done: &'a mut Done,
    /// Whether it gathers for an XA branch.
    holds: bool,
    head: &'a TransactionHead,
    stamp: Stamp<'a>,
}

impl Message<'_> {
    fn write(
        &mut self,
        table: &mut TablePlan,
        change: &RowsChange,
        partition: i32,
        rows: Rows<'_>,
    ) -> Result<(), Error> {
        let slot = if self.holds {
            self.gathering.slot(&table.topic, partition, table.partitions)
        } else {
            table.slot(partition, self.gathering)
        };
        let (work, stamp, flat) = (&mut *self.work, &self.stamp, &table.flat);
        let (head, later) = (self.head, later(self.head));
        let mut left = Unwritten::of(change, rows);
        loop {
            let mut written = (0, 0);
            self.gathering.message(slot, &change.place, head, later, |out, room| {
                let start = out.len();
                let (count, places) = flat
                    .write(&mut left, room.value, stamp, work, out)
                    .map_err(|error| Error::of_rows(&change.place, error, &table.topic, room))?;
                written = (count, out.len() - start);
                Ok(open_places(places))
            })?;
            self.done.messages += 1;
            self.done.rows += written.0 as u64;
            self.done.bytes += written.1 as u64;
            let name = &change.table.name;
            self.tallies.rows(&mut table.tally, name, change.kind, written);
            table.count.add(written.0 as u64, written.1 as u64, stamp.es);
            if left.is_empty() {
                return Ok(());
            }
        }
    }
}

impl TablePlan {
    fn new(publication: &Publication, table: &Arc<Table>, counts: &TableCounts) -> Self {
        let included = publication.fields.columns(table);
        let route = publication.router.route(table, &included);
        publication.renamed.say(route.renamed_from.as_deref(), &route.topic);
        Self {
            flat: FlatPlan::new(Arc::clone(table), &included, &publication.format),
            count: counts.of(&table.name.to_string(), &route.topic),
            topic: route.topic,
            partitions: route.partitions,
            rule: route.rule,
            slots: Vec::new(),
            tally: None,
        }
    }

    fn slot(&mut self, partition: i32, gathering: &mut Gathering) -> Slot {
        let place = usize::try_from(partition).unwrap_or_default();
        if self.slots.len() <= place {
            self.slots.resize(place + 1, None);
        }
        if let Some(slot) = self.slots[place].filter(|slot| gathering.has(*slot)) {
            return slot;
        }
        *self.slots[place].insert(gathering.slot(&self.topic, partition, self.partitions))
    }
}

impl Scatter {
    fn fill(
        &mut self,
        table: &TablePlan,
        rule: &HashRule,
        change: &RowsChange,
        work: &mut Workspace,
    ) -> Result<(), flat::Error> {
        self.by_partition.iter_mut().for_each(Vec::clear);
        self.hashes.clear();
        table.flat.visit_texts(change, rule.columns(), work, |row, text| {
            if self.hashes.len() <= row {
                self.hashes.resize(row + 1, rule.row());
            }
            if let Some(text) = text {
                self.hashes[row].add(text);
            }
        })?;
        for (row, hash) in self.hashes.iter().enumerate() {
            let place = usize::try_from(hash.partition()).unwrap_or_default();
            if self.by_partition.len() <= place {
                self.by_partition.resize_with(place + 1, Vec::new);
            }
            self.by_partition[place].push(row);
        }
        Ok(())
    }
}
