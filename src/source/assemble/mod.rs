//! Decoded events to transactions: a pure step function.
//!
//! In: what events mean for their transaction ([`Input`]), with where they are. Out: at
//! most one [`Piece`] of a transaction a step. Nothing is read, awaited or looked up here.
//!
//! ```text
//! GTID ─▶ announced ─ BEGIN ─▶ open ─ XID, COMMIT, ROLLBACK ─▶ between
//!               └──── statement: a transaction of its own ────▶ between
//! MariaDB's GTID opens by itself, or (standalone) announces one event.
//! ```
//!
//! Always: a `Commit` is behind a whole transaction; of the statements inside an open
//! one only COMMIT and ROLLBACK end it; changes rolled back by ROLLBACK or ROLLBACK TO are not
//! handed over, those of tables that cannot roll back are. A transaction larger than a
//! chunk is handed over while it comes; if changes that were sent are rolled back later, or were
//! to be held and are committed at once, it is read to its end without handing over more,
//! [`Fault::Again`] says all that was found, and it is read once more knowing that.

mod executed;
mod hints;
mod marks;
#[cfg(test)]
mod tests;
mod verb;
mod xa;

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::Arc;

use executed::Executed;
pub(crate) use hints::{Hint, Hints};
use hints::{MOST_ROLLED_BACK, RolledBack, add_rolled_back};
use marks::Marks;
pub(crate) use verb::{Verb, XaVerb, savepoint_name};

use crate::binlog::Tracker;
use crate::change::{
    BranchEnd, BranchStep, Change, Commit, EventPlace, FileName, Gtid, GtidSet, RowsChange,
    StatementChange, StatementKind, Table, TableName, TransactionHead, Xid,
};

/// A chunk is handed over when its events took this many bytes.
pub(crate) const CHUNK_BYTES: usize = 2 * 1024 * 1024;

/// What an event means for its transaction.
#[derive(Debug)]
pub(crate) enum Input {
    /// A GTID event, anonymous or not.
    Gtid { gtid: Option<Gtid>, form: GtidForm },
    /// MariaDB's GTID of an XA branch: an open transaction.
    GtidOfBranch { gtid: Option<Gtid>, xid: Arc<Xid> },
    /// QUERY BEGIN.
    Begin,
    /// XA START.
    Start(Arc<Xid>),
    /// XA PREPARE: the end of a transaction, whose changes are held.
    Prepare(Arc<Xid>),
    /// XA COMMIT or ROLLBACK of a branch that is held: a transaction of its own.
    End(Arc<Xid>, BranchEnd),
    /// XID, QUERY COMMIT, or an XA transaction committed in one phase.
    Commit,
    /// QUERY ROLLBACK. `kept`: tables that cannot roll back, among [`Assembler::tables`].
    Rollback { kept: HashSet<TableName> },
    /// SAVEPOINT: its name as the server wrote it.
    Savepoint(String),
    /// ROLLBACK TO one of [`Assembler::savepoints`]; to the begin, where it is none of them: a
    /// savepoint before the first change was not worth a line in the binlog.
    RollbackTo { mark: Option<usize>, kept: HashSet<TableName> },
    /// Rows to publish.
    Rows { change: RowsChange, ends_statement: bool },
    /// Rows that the filter drops.
    FilteredRows { ends_statement: bool },
    /// A statement: its messages, none if the filter drops them.
    Statement(Vec<Change>),
    /// The statement that is logged beside the rows that follow, which are of this table: it is
    /// rolled back with them.
    RowsQuery(Box<StatementChange>, TableName),
    /// Another file begins.
    NewFile,
}

/// What a GTID event begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GtidForm {
    /// MySQL: whatever follows, a BEGIN or a single statement.
    Announces,
    /// MariaDB: an open transaction.
    Opens,
    /// MariaDB: a single event.
    Standalone,
}

/// A piece of a transaction.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) head: Arc<TransactionHead>,
    pub(crate) changes: Vec<Change>,
    pub(crate) end: End,
    /// How many bytes the slices in `changes` keep in memory, at most.
    pub(crate) bytes: usize,
    /// Whether this is all there is of the transaction.
    pub(crate) whole: bool,
}

/// How a piece ends.
#[derive(Debug)]
pub(crate) enum End {
    More,
    Commit(Box<Commit>),
    /// The server lost the transaction in a crash.
    Abort,
}

/// Why the events make no transaction.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error(
        "rows at {file}:{offset} are in no transaction: the start position is no transaction \
         boundary"
    )]
    Outside { file: FileName, offset: u64 },
    #[error(
        "the transaction at {}:{} has to be read again: its begin was handed over too early",
        .0.file, .0.transaction
    )]
    Again(Box<Hint>),
    #[error(
        "the transaction at {file}:{transaction} has more than {MOST_ROLLED_BACK} rollbacks to \
         savepoints that are to be remembered"
    )]
    ManyRollbacks { file: FileName, transaction: u64 },
    #[error("the transaction at {file}:{transaction} has too many savepoints to remember")]
    ManySavepoints { file: FileName, transaction: u64 },
    #[error("at {file}:{offset} the XA branch {xid} is prepared, which is not the one that began")]
    OtherBranch { file: FileName, offset: u64, xid: Arc<Xid> },
}

/// The transaction that is being read.
#[derive(Debug)]
struct Open {
    head: Arc<TransactionHead>,
    gtid: Option<Gtid>,
    /// Ends with the first event, or the first end of a statement.
    single: bool,
    /// Offset of its first event.
    begin: u64,
    /// What has come and was not sent.
    changes: Vec<Change>,
    /// The number of each of `changes` within the transaction.
    numbers: Vec<u64>,
    /// How many changes have come, rolled back or not.
    seen: u64,
    /// How many of these were sent; `None` before the first piece.
    sent: Option<u64>,
    /// The tables of all rows.
    tables: Vec<Arc<Table>>,
    /// The tables of changes in statement format.
    named: HashSet<TableName>,
    /// All that was rolled back.
    rolled_back: Vec<RolledBack>,
    /// It has to be read again: nothing more of it is handed over.
    is_void: bool,
    /// It is an XA branch that has turned out to be committed in one phase.
    in_one_phase: bool,
    /// Bytes received since the last piece, of kept and dropped events.
    received: usize,
    savepoints: Marks,
}

impl Open {
    fn push(&mut self, change: Change, dropped: bool) {
        if let Change::Rows(rows) = &change
            && !self.tables.iter().rev().any(|table| Arc::ptr_eq(table, &rows.table))
        {
            self.tables.push(Arc::clone(&rows.table));
        }
        if !dropped && !self.is_void {
            if self.changes.is_empty() {
                // Most transactions have one.
                self.changes.reserve_exact(1);
            }
            self.changes.push(change);
            self.numbers.push(self.seen);
        }
        self.seen += 1;
    }
}

/// A GTID event that nothing has followed yet; anonymous without a GTID.
#[derive(Debug)]
struct Announced(Option<Gtid>);

/// Assembles the events of one dump.
#[derive(Debug)]
pub(crate) struct Assembler {
    open: Option<Open>,
    announced: Option<Announced>,
    /// The executed set; only where heads have to carry its text.
    executed: Option<Executed>,
    /// Heads carry the text of the transaction's own GTID in its place.
    names_own_gtid: bool,
    hints: Hints,
    kept: Kept,
}

/// Room that is used from transaction to transaction.
#[derive(Debug, Default)]
struct Kept {
    numbers: Vec<u64>,
    tables: Vec<Arc<Table>>,
    text: String,
}

impl Assembler {
    /// Begins between two transactions. `executed`: what was executed before, where the
    /// format asks for its text. `hints`: what former readings have found.
    pub(crate) fn new(executed: Option<GtidSet>, hints: Hints) -> Self {
        let (executed, kept) = (executed.map(Executed::new), Kept::default());
        Self { open: None, announced: None, executed, names_own_gtid: false, hints, kept }
    }

    /// Whether heads carry the transaction's own GTID in place of the executed set.
    pub(crate) fn naming_own_gtid(self, names_own_gtid: bool) -> Self {
        Self { names_own_gtid, ..self }
    }

    /// What is known of transactions that may have to be read again.
    pub(crate) fn into_hints(self) -> Hints {
        self.hints
    }

    /// The position is behind all transactions that have ended.
    pub(crate) fn reached(&mut self) {
        self.hints.forget_what_was_read();
    }

    /// Whether the source is between two transactions.
    pub(crate) fn is_between(&self) -> bool {
        self.open.is_none() && self.announced.is_none()
    }

    /// Whether the open transaction is an XA branch.
    pub(crate) fn is_in_branch(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.head.branch.is_some())
    }

    /// The tables whose changes a rollback could undo.
    pub(crate) fn tables(&self) -> HashSet<TableName> {
        let Some(open) = &self.open else { return HashSet::new() };
        let of_rows = open.tables.iter().map(|table| &table.name);
        of_rows.chain(&open.named).cloned().collect()
    }

    /// The names of the open transaction's savepoints, numbered, oldest first.
    pub(crate) fn savepoints(&self) -> impl DoubleEndedIterator<Item = (usize, &str)> {
        self.open.iter().flat_map(|open| open.savepoints.names().enumerate())
    }

    /// Takes one event: what it means, where it is, how many bytes it took; and where
    /// the source is behind it. For events inside a compressed transaction, place and
    /// position are those of the outer event.
    pub(crate) fn step(
        &mut self,
        input: Input,
        place: &EventPlace,
        size: usize,
        behind: &Tracker,
    ) -> Result<Option<Piece>, Fault> {
        if let Some(open) = &mut self.open {
            open.received += size;
        }
        match input {
            Input::Gtid { gtid, form } => Ok(self.gtid(gtid, form, place, behind)),
            Input::GtidOfBranch { gtid, xid } => {
                let former = self.gtid(gtid, GtidForm::Opens, place, behind);
                self.start(xid, place);
                Ok(former)
            }
            Input::Begin => {
                // MariaDB's GTID has opened already.
                self.begin_unless_open(place);
                Ok(None)
            }
            Input::Start(xid) => {
                self.begin_unless_open(place);
                self.start(xid, place);
                Ok(None)
            }
            Input::Prepare(xid) => self.prepare(xid, place, behind),
            Input::End(xid, end) => {
                self.begin_unless_open(place);
                let step = BranchStep { xid, end, place: place.clone() };
                Ok(self.commit_at(place.time, behind.offset(), behind, Some(step)))
            }
            Input::Commit => {
                self.commit_in_one_phase();
                self.is_valid(place)?;
                Ok(self.commit(place, behind))
            }
            Input::Rollback { kept } => {
                self.roll_back(0, place, kept)?;
                self.commit_in_one_phase();
                self.is_valid(place)?;
                Ok(self.commit(place, behind))
            }
            Input::Savepoint(name) => {
                if let Some(open) = &mut self.open
                    && !open.savepoints.set(&name, open.seen)
                {
                    let (file, transaction) = (Arc::clone(&place.file), open.begin);
                    return Err(Fault::ManySavepoints { file, transaction });
                }
                Ok(None)
            }
            Input::RollbackTo { mark, kept } => {
                self.rollback_to(mark, place, kept)?;
                Ok(None)
            }
            Input::Rows { change, ends_statement } => {
                let outside =
                    || Fault::Outside { file: Arc::clone(&place.file), offset: place.offset };
                self.begin_announced(place);
                let dropped = self.is_rolled_back(&change.table.name, place);
                let open = self.open.as_mut().ok_or_else(outside)?;
                open.push(Change::Rows(change), dropped);
                Ok(self.end_event(ends_statement, place, behind))
            }
            Input::FilteredRows { ends_statement } => {
                self.begin_announced(place);
                Ok(self.end_event(ends_statement, place, behind))
            }
            Input::Statement(changes) => Ok(self.statement(changes, place, behind)),
            Input::RowsQuery(message, of) => {
                self.begin_announced(place);
                let dropped = self.is_rolled_back(&of, place);
                if let Some(open) = &mut self.open {
                    open.push(Change::Statement(*message), dropped);
                }
                Ok(self.cut())
            }
            Input::NewFile => Ok(self.new_file(place)),
        }
    }

    fn gtid(
        &mut self,
        gtid: Option<Gtid>,
        form: GtidForm,
        place: &EventPlace,
        behind: &Tracker,
    ) -> Option<Piece> {
        // A GTID without a transaction behind it (a view change, an emptied one) still
        // belongs to the executed set; one that was cut by a crash does not.
        let former = match (self.open.take(), self.announced.take()) {
            (Some(open), _) => self.cut_off(&open, place),
            (None, Some(Announced(gtid))) => {
                self.begin(gtid, false, place.offset);
                // It ended where this one begins.
                self.commit_at(place.time, place.offset, behind, None)
            }
            (None, None) => None,
        };
        match form {
            GtidForm::Announces => self.announced = Some(Announced(gtid)),
            GtidForm::Opens => self.begin(gtid, false, place.offset),
            GtidForm::Standalone => self.begin(gtid, true, place.offset),
        }
        former
    }

    fn begin_announced(&mut self, place: &EventPlace) {
        if self.open.is_none()
            && let Some(Announced(gtid)) = self.announced.take()
        {
            self.begin(gtid, true, place.offset);
        }
    }

    fn begin(&mut self, gtid: Option<Gtid>, single: bool, begin: u64) {
        let executed = self.executed.as_mut().map(|executed| executed.with(gtid.as_ref()));
        let Kept { numbers, tables, text } = &mut self.kept;
        text.clear();
        let gtid_text = gtid.as_ref().map(|gtid| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{gtid}");
            Arc::from(text.as_str())
        });
        let executed = if self.names_own_gtid { gtid_text.clone() } else { executed };
        let head = TransactionHead { gtid: gtid_text, executed, ..TransactionHead::default() };
        self.open = Some(Open {
            head: Arc::new(head),
            gtid,
            single,
            begin,
            changes: Vec::new(),
            numbers: std::mem::take(numbers),
            seen: 0,
            sent: None,
            tables: std::mem::take(tables),
            named: HashSet::new(),
            rolled_back: Vec::new(),
            is_void: false,
            in_one_phase: false,
            received: 0,
            savepoints: Marks::default(),
        });
    }

    fn statement(
        &mut self,
        changes: Vec<Change>,
        place: &EventPlace,
        behind: &Tracker,
    ) -> Option<Piece> {
        let inside = self.open.as_ref().is_some_and(|open| !open.single);
        if self.open.is_none() {
            let gtid = self.announced.take().and_then(|announced| announced.0);
            self.begin(gtid, true, place.offset);
        }
        for change in changes {
            let table = match &change {
                Change::Statement(statement) => changed_by(statement),
                Change::Rows(_) | Change::Together(_) => None,
            };
            let dropped = table.as_ref().is_some_and(|name| self.is_rolled_back(name, place));
            if let Some(open) = &mut self.open {
                open.named.extend(table.filter(|_| inside));
                open.push(change, dropped);
            }
        }
        if inside { self.cut() } else { self.commit(place, behind) }
    }

    /// Behind an event of an open transaction: a single one may end, a large one is cut.
    fn end_event(
        &mut self,
        ends_statement: bool,
        place: &EventPlace,
        behind: &Tracker,
    ) -> Option<Piece> {
        if ends_statement && self.open.as_ref().is_some_and(|open| open.single) {
            return self.commit(place, behind);
        }
        self.cut()
    }

    /// Hands over what has come, if it is enough.
    fn cut(&mut self) -> Option<Piece> {
        let open = self.open.as_mut()?;
        if open.changes.is_empty() {
            open.received = 0;
        }
        if open.received < CHUNK_BYTES || open.is_void {
            return None;
        }
        let changes = std::mem::take(&mut open.changes);
        open.numbers.clear();
        open.sent = Some(open.seen);
        let bytes = std::mem::take(&mut open.received);
        let head = Arc::clone(&open.head);
        Some(Piece { head, changes, end: End::More, bytes, whole: false })
    }

    fn commit(&mut self, place: &EventPlace, behind: &Tracker) -> Option<Piece> {
        self.commit_at(place.time, behind.offset(), behind, None)
    }

    fn commit_at(
        &mut self,
        time: u32,
        offset: u64,
        behind: &Tracker,
        branch: Option<BranchStep>,
    ) -> Option<Piece> {
        let mut open = self.open.take()?;
        self.kept.numbers = std::mem::take(&mut open.numbers);
        self.kept.numbers.clear();
        self.kept.tables = std::mem::take(&mut open.tables);
        self.kept.tables.clear();
        let commit = Commit {
            server_uuid: Arc::clone(behind.server()),
            by_gtid: behind.is_by_gtid(),
            file: Arc::clone(behind.file()),
            offset,
            file_created: behind.created(),
            event_time: time,
            server_time: behind.server_time(),
            gtid: open.gtid,
            filtered: Vec::new(),
            state: Vec::new(),
            branch: branch.map(Box::new),
            trail: None,
            prepared: None,
        };
        self.hints.read(behind.file(), open.begin);
        let whole = open.sent.is_none();
        Some(Piece {
            head: open.head,
            changes: open.changes,
            end: End::Commit(Box::new(commit)),
            bytes: open.received,
            whole,
        })
    }

    fn rollback_to(
        &mut self,
        mark: Option<usize>,
        place: &EventPlace,
        kept: HashSet<TableName>,
    ) -> Result<(), Fault> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let from = mark.and_then(|index| open.savepoints.before(index)).unwrap_or(0);
        open.savepoints.truncate(mark.map_or(0, |index| index + 1));
        self.roll_back(from, place, kept)
    }

    /// Drops the changes from `from` on, but for those of tables that cannot roll back.
    fn roll_back(
        &mut self,
        from: u64,
        place: &EventPlace,
        kept: HashSet<TableName>,
    ) -> Result<(), Fault> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let (changes, numbers) =
            (std::mem::take(&mut open.changes), std::mem::take(&mut open.numbers));
        let mut left: Vec<(u64, Change)> = Vec::with_capacity(changes.len());
        // A statement beside rows is rolled back with them, which come behind it.
        let mut next_is_kept = false;
        for (number, change) in numbers.into_iter().zip(changes).rev() {
            let is_kept = number < from
                || match &change {
                    Change::Rows(rows) => kept.contains(&rows.table.name),
                    Change::Statement(statement) if is_beside_rows(statement) => next_is_kept,
                    Change::Together(_) => true,
                    Change::Statement(statement) => {
                        changed_by(statement).is_none_or(|name| kept.contains(&name))
                    }
                };
            next_is_kept = is_kept;
            if is_kept {
                left.push((number, change));
            }
        }
        (open.numbers, open.changes) = left.into_iter().rev().unzip();
        let is_sent = open.sent.is_some_and(|sent| sent > from);
        open.is_void |= is_sent && !self.hints.knows(&place.file, open.begin, from, open.seen);
        if open.is_void {
            open.changes.clear();
            open.numbers.clear();
        }
        if add_rolled_back(&mut open.rolled_back, (from, open.seen), kept) {
            return Ok(());
        }
        Err(Fault::ManyRollbacks { file: Arc::clone(&place.file), transaction: open.begin })
    }

    /// At its end: whether the transaction was handed over as it is.
    pub(super) fn is_valid(&mut self, place: &EventPlace) -> Result<(), Fault> {
        let Some(open) = self.open.as_mut().filter(|open| open.is_void) else { return Ok(()) };
        Err(Fault::Again(Box::new(Hint {
            file: Arc::clone(&place.file),
            transaction: open.begin,
            in_one_phase: open.in_one_phase,
            rolled_back: std::mem::take(&mut open.rolled_back),
        })))
    }

    /// Whether the next change is known to be rolled back, if it is one of this table.
    fn is_rolled_back(&self, table: &TableName, place: &EventPlace) -> bool {
        let Some(open) = &self.open else { return false };
        self.hints.is_rolled_back((&place.file, open.begin), open.seen, table)
    }

    /// What is open at the begin of a file was cut by a crash of the server, and is not
    /// part of its data either.
    fn new_file(&mut self, place: &EventPlace) -> Option<Piece> {
        self.announced = None;
        let open = self.open.take()?;
        self.cut_off(&open, place)
    }

    /// The server lost a transaction in a crash: it ends where the next thing begins.
    fn cut_off(&mut self, open: &Open, place: &EventPlace) -> Option<Piece> {
        self.hints.read(&place.file, open.begin);
        open.sent.map(|_| abort(open))
    }
}

/// The table that a statement changes rows of.
fn changed_by(statement: &StatementChange) -> Option<TableName> {
    let changes_rows = statement.kind.changes_rows();
    changes_rows.then(|| TableName::new(&*statement.schema, &*statement.table))
}

/// Whether the statement is logged beside the rows that follow it.
fn is_beside_rows(statement: &StatementChange) -> bool {
    statement.kind == StatementKind::Query && !statement.is_ddl && statement.schema.is_empty()
}

fn abort(open: &Open) -> Piece {
    Piece {
        head: Arc::clone(&open.head),
        changes: Vec::new(),
        end: End::Abort,
        bytes: 0,
        whole: false,
    }
}
