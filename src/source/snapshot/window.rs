//! Windows: what the stream touches of a table while a chunk of it is read.
//!
//! In: what is handed over of the stream, and the requests of the copier. Out: the rows of a chunk
//! that nothing has touched. Always: a window begins between two transactions; what it cannot tell
//! voids it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::branches::Branches;
use super::chunk::Rows;
use super::copies::{Copy, Ledger, Notes};
use super::key::{self, Key};
use crate::binlog::{CellSpans, Images, count_present};
use crate::change::{
    Change, ColumnSet, EventPlace, MySqlPosition, RowsChange, RowsKind, Table, TableName, Xid,
};
use crate::schema::{FoundLater, Place};

/// As many bytes of keys are noted in one window.
const MOST_KEY_BYTES: usize = 32 << 20;
/// Of a table without a key: any row may be any other.
const KEYLESS: &str = "its rows changed while all of it was read, as it has no key: give it a primary \
                       key, or start its copy again when nothing writes to it";
/// What a key takes in memory beside its bytes.
const OWN_BYTES: usize = 64;
/// As many bytes of images make one message, or a single row.
const MESSAGE_BYTES: usize = 32 << 10;

/// What the copier asks of whoever reads the stream.
#[derive(Debug)]
pub(in crate::source) enum Request {
    /// A window of a table, from the next boundary between transactions on.
    Open {
        /// The table.
        table: TableName,
        /// The columns of the key that its rows are known by; none where only statements count.
        key: Option<Vec<usize>>,
        /// Its definition as it was read from the server, where it was not known.
        found: Option<Box<FoundLater>>,
        /// What came of it.
        opened: oneshot::Sender<Opened>,
    },
    /// The end of a window, and what was read within.
    Close {
        /// Which window.
        number: u64,
        /// What was read lies before it.
        mark: Place,
        /// The rows, and how far the table is copied with them; none where none were read.
        read: Option<Box<Read>>,
        /// What came of it.
        closed: oneshot::Sender<Closed>,
    },
    /// What is to be remembered, without rows.
    Note {
        /// What.
        notes: Notes,
        /// It was handed over.
        noted: oneshot::Sender<()>,
    },
}

/// What was read in a window.
#[derive(Debug)]
pub(in crate::source) struct Read {
    pub(super) content: Content,
    /// How far the table is copied with it.
    pub(super) copy: Copy,
    pub(super) present: ColumnSet,
}

/// The rows that were read.
#[derive(Debug)]
pub(super) enum Content {
    /// A chunk of a table.
    Chunk(Rows),
    /// All of a table without a key, which is being read: it counts only if nothing has touched the
    /// table. The stream waits for its end.
    Whole(mpsc::Receiver<Piece>),
}

/// A piece of a table that is read as a whole. Where the end does not come, the reading has failed.
#[derive(Debug)]
pub(super) enum Piece {
    Rows(Rows),
    End,
}

/// What came of asking for a window.
#[derive(Debug)]
pub(in crate::source) enum Opened {
    /// It is open.
    Window(Box<Opening>),
    /// The table's definition is not known: it is to be read.
    Unknown,
    /// The table is not there.
    Absent,
    /// Its rows cannot be read, and why.
    Unfit(String),
}

/// A window that was opened.
#[derive(Debug)]
pub(in crate::source) struct Opening {
    pub(super) number: u64,
    /// From where on.
    pub(super) place: MySqlPosition,
    /// The table there.
    pub(super) table: Arc<Table>,
    /// How many statements have changed it since it was first asked for.
    pub(super) changes: u64,
    /// The window lasts as long as this, or until it is closed.
    pub(super) _holder: Arc<()>,
}

/// What came of closing a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::source) enum Closed {
    /// What was read is published but for what was touched; so many rows.
    Published(u64),
    /// What was read says nothing, and why.
    Void(String),
}

#[derive(Debug)]
struct Window {
    number: u64,
    table: Arc<Table>,
    key: Option<Vec<usize>>,
    holder: Weak<()>,
    touched: HashSet<Box<[u8]>>,
    bytes: usize,
    void: Option<String>,
    due: Option<Due>,
}

/// A window that is closed as soon as the stream is at the mark.
#[derive(Debug)]
struct Due {
    mark: Place,
    read: Option<Box<Read>>,
    closed: oneshot::Sender<Closed>,
}

/// A table that was asked for.
#[derive(Debug, Default)]
struct Watched {
    changes: u64,
    table: Option<Arc<Table>>,
}

/// See the head of this file.
#[derive(Debug)]
pub(in crate::source) struct Windows {
    requests: mpsc::Receiver<Request>,
    ledger: Ledger,
    open: Vec<Window>,
    watched: HashMap<TableName, Watched>,
    branches: Branches,
    /// Tables that were made since the last commit.
    made: Vec<TableName>,
    /// Names that tables have since, or had, which were not copied to their end.
    renamed: Vec<TableName>,
    last: u64,
    spans: CellSpans,
    scratch: Vec<u8>,
}

/// A chunk to be published.
#[derive(Debug)]
pub(in crate::source) struct Publishing {
    /// What its messages say of it.
    pub(in crate::source) name: String,
    /// The rows.
    pub(in crate::source) changes: Vec<RowsChange>,
    /// The rows that come, of a table that is read as a whole.
    whole: Option<Whole>,
    table: TableName,
    copy: Copy,
    closed: oneshot::Sender<Closed>,
    rows: u64,
}

#[derive(Debug)]
struct Whole {
    pieces: mpsc::Receiver<Piece>,
    window: Window,
    present: ColumnSet,
}

/// The next of the rows that come.
#[derive(Debug)]
pub(in crate::source) enum Next {
    /// Some.
    Rows(Vec<RowsChange>),
    /// There are no more.
    End,
    /// The reading has failed: none of them count.
    Failed,
}

impl Publishing {
    /// The next rows of a table that is read as a whole. Cancel safe.
    pub(in crate::source) async fn next(&mut self, at: &EventPlace) -> Next {
        let Some(Whole { pieces, window, present }) = &mut self.whole else { return Next::End };
        match pieces.recv().await {
            Some(Piece::Rows(rows)) => {
                let (changes, count) = window.untouched(&rows, present, at);
                self.rows += count;
                Next::Rows(changes)
            }
            Some(Piece::End) => Next::End,
            None => Next::Failed,
        }
    }

    /// The table.
    pub(in crate::source) fn table(&self) -> &TableName {
        &self.table
    }

    /// Whether rows come.
    pub(in crate::source) fn is_whole(&self) -> bool {
        self.whole.is_some()
    }

    /// What is to be remembered with the rows.
    pub(in crate::source) fn notes(&self) -> Notes {
        let rows = self.copy.rows + self.rows;
        Notes::of(self.table.clone(), Some(Copy { rows, ..self.copy.clone() }))
    }

    /// It was handed over.
    pub(in crate::source) fn succeed(self) {
        // Who asked may have ended.
        let _ = self.closed.send(Closed::Published(self.rows));
    }

    /// Nothing of it counts.
    pub(in crate::source) fn give_up(self) {
        let _ = self.closed.send(Closed::Void("it could not be read to its end".to_owned()));
    }
}

impl Windows {
    /// Takes requests, and notes what is handed over in `ledger`.
    pub(in crate::source) fn new(requests: mpsc::Receiver<Request>, ledger: Ledger) -> Self {
        Self {
            requests,
            ledger,
            open: Vec::new(),
            watched: HashMap::new(),
            branches: Branches::default(),
            made: Vec::new(),
            renamed: Vec::new(),
            last: 0,
            spans: CellSpans::default(),
            scratch: Vec::new(),
        }
    }

    pub(in crate::source) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The next request. Cancel safe.
    pub(in crate::source) async fn next(&mut self) -> Option<Request> {
        self.requests.recv().await
    }

    /// The table as it was described last, unless a statement has changed it since.
    pub(in crate::source) fn described(&self, name: &TableName) -> Option<Arc<Table>> {
        self.watched.get(name)?.table.clone()
    }

    /// Opens a window at a place.
    pub(in crate::source) fn open(
        &mut self,
        table: Arc<Table>,
        key: Option<Vec<usize>>,
        place: MySqlPosition,
    ) -> Opening {
        let watched = self.watched.entry(table.name.clone()).or_default();
        watched.table = Some(Arc::clone(&table));
        let changes = watched.changes;
        self.last += 1;
        let (number, holder) = (self.last, Arc::new(()));
        self.open.push(Window {
            number,
            table: Arc::clone(&table),
            key,
            holder: Arc::downgrade(&holder),
            touched: HashSet::new(),
            bytes: 0,
            void: None,
            due: None,
        });
        Opening { number, place, table, changes, _holder: holder }
    }

    /// A window ends at a mark.
    pub(in crate::source) fn close(
        &mut self,
        number: u64,
        mark: Place,
        read: Option<Box<Read>>,
        closed: oneshot::Sender<Closed>,
    ) {
        match self.open.iter_mut().find(|window| window.number == number) {
            Some(window) => window.due = Some(Due { mark, read, closed }),
            None => drop(closed.send(Closed::Void("the window is gone".to_owned()))),
        }
    }

    /// Whether nothing is published that waits for a place.
    pub(in crate::source) fn is_idle(&self) -> bool {
        self.open.is_empty()
    }

    /// Rows of an XA branch: they take effect when it is committed.
    pub(in crate::source) fn note_held(
        &mut self,
        xid: &Arc<Xid>,
        changes: &[Change],
        is_whole: bool,
    ) {
        if self.ledger.next_open().is_some() {
            self.branches.keep(xid, changes, is_whole);
        }
    }

    /// Notes what is handed over of a transaction that is published now.
    pub(in crate::source) fn note(&mut self, changes: &[Change]) {
        self.forget_dropped();
        for change in changes {
            match change {
                Change::Rows(rows) => self.touch(rows),
                // Statements are noted where they are applied, whether they are published or not.
                Change::Statement(_) | Change::Together(_) => {}
            }
        }
    }

    /// An XA branch has ended: its rows were handed over before.
    pub(in crate::source) fn note_branch(&mut self, xid: &Xid, is_committed: bool) {
        let kept = self.branches.take(xid);
        if !is_committed {
            return;
        }
        self.forget_dropped();
        match kept {
            Some(rows) => rows.iter().for_each(|rows| self.touch(rows)),
            None => {
                for window in &mut self.open {
                    window.void("an XA branch was committed whose rows are not known any more");
                }
            }
        }
    }

    /// A statement may have changed tables, or all of a database.
    pub(in crate::source) fn note_statement(&mut self, names: &[&TableName]) {
        for (table, watched) in &mut self.watched {
            if names.iter().any(|name| name.covers(table)) {
                watched.changes += 1;
                watched.table = None;
            }
        }
        for window in &mut self.open {
            if names.iter().any(|name| name.covers(&window.table.name)) {
                window.void("a statement changed the table meanwhile");
            }
        }
    }

    /// A table was made: the stream brings all of it. `is_missed`: it would be taken for one that
    /// was never copied.
    pub(in crate::source) fn note_made(&mut self, name: TableName, is_missed: bool) {
        if is_missed || self.ledger.of(&name).is_some_and(|copy| copy.is_open()) {
            self.made.push(name);
        }
    }

    /// Tables of these names have others since: what is called so now was not copied, or not from
    /// its begin, if one of them was not copied to its end.
    pub(in crate::source) fn note_renamed(&mut self, names: impl Iterator<Item = TableName>) {
        let names: Vec<TableName> = names.collect();
        if names.iter().any(|name| self.ledger.of(name).is_some_and(|copy| copy.is_open())) {
            self.renamed.extend(names);
        }
    }

    /// What the next commit has to remember: the tables that were made since this was asked last,
    /// which are whole, and those that were renamed.
    pub(in crate::source) fn take_notes(&mut self) -> Option<Notes> {
        let made = std::mem::take(&mut self.made).into_iter();
        let mut tables: Vec<_> = made.map(|name| (name, Some(Copy::pending().done()))).collect();
        let renamed = std::mem::take(&mut self.renamed).into_iter();
        tables.extend(renamed.map(|name| {
            let copy = self.ledger.of(&name).map_or_else(Copy::pending, Copy::anew);
            (name, Some(copy))
        }));
        (!tables.is_empty()).then(|| Notes { tables, ..Notes::default() })
    }

    fn forget_dropped(&mut self) {
        self.open.retain(|window| window.due.is_some() || window.holder.strong_count() > 0);
    }

    fn touch(&mut self, rows: &RowsChange) {
        for window in &mut self.open {
            if window.table.name != rows.table.name || window.void.is_some() {
                continue;
            }
            if let Err(reason) = window.touch(rows, &mut self.spans, &mut self.scratch) {
                window.void(&reason);
            }
        }
    }

    /// The next chunk that may be published at a place that the stream has reached.
    pub(in crate::source) fn due(
        &mut self,
        reached: &Place,
        at: &EventPlace,
    ) -> Option<Publishing> {
        loop {
            let is_due =
                |window: &Window| window.due.as_ref().is_some_and(|due| due.mark <= *reached);
            let mut window = self.open.swap_remove(self.open.iter().position(is_due)?);
            let Some(Due { read, closed, .. }) = window.due.take() else { continue };
            if let Some(reason) = window.void.take() {
                let _ = closed.send(Closed::Void(reason));
                continue;
            }
            let Some(read) = read else {
                let _ = closed.send(Closed::Published(0));
                continue;
            };
            let Read { content, copy, present } = *read;
            let end = if copy.is_open() { "" } else { "/end" };
            let name = format!("{}:{}{end}", window.table.name, copy.chunks.saturating_sub(1));
            let table = window.table.name.clone();
            let (changes, whole, rows) = match content {
                Content::Chunk(rows) => {
                    let (changes, count) = window.untouched(&rows, &present, at);
                    (changes, None, count)
                }
                Content::Whole(_) if !window.touched.is_empty() => {
                    let _ = closed.send(Closed::Void(KEYLESS.to_owned()));
                    continue;
                }
                Content::Whole(pieces) => (Vec::new(), Some(Whole { pieces, window, present }), 0),
            };
            return Some(Publishing { name, changes, whole, table, copy, closed, rows });
        }
    }
}

impl Window {
    fn void(&mut self, reason: &str) {
        if self.void.is_none() {
            self.void = Some(reason.to_owned());
            self.touched = HashSet::new();
        }
    }

    fn touch(
        &mut self,
        rows: &RowsChange,
        spans: &mut CellSpans,
        scratch: &mut Vec<u8>,
    ) -> Result<(), String> {
        const INCOMPLETE: &str = "its rows come incomplete: a table is copied while they are \
            complete only (binlog_row_image=FULL)";
        let Some(key) = &self.key else { return Ok(()) };
        if rows.parked.is_some() {
            return Err("the table is parked".to_owned());
        }
        let columns = rows.table.columns.len();
        if columns - rows.table.hidden != self.table.columns.len() - self.table.hidden {
            return Err("its definition is not that of its rows".to_owned());
        }
        let is_whole = |present: &ColumnSet| count_present(present, columns) == columns;
        let is_complete = match rows.kind {
            RowsKind::Insert => is_whole(&rows.columns),
            RowsKind::Update => rows.after_columns.as_ref().is_some_and(is_whole),
            RowsKind::Delete => true,
        };
        if !is_complete {
            return Err(INCOMPLETE.to_owned());
        }
        let mut images = Images::of(rows);
        loop {
            let walked = images.locate(spans).map_err(|error| key::odd(&error))?;
            if !walked {
                return Ok(());
            }
            scratch.clear();
            if !Key::put(key, spans, &rows.images, scratch) {
                return Err(INCOMPLETE.to_owned());
            }
            if self.touched.contains(&**scratch) {
                continue;
            }
            self.bytes += scratch.len() + OWN_BYTES;
            if self.bytes > MOST_KEY_BYTES {
                return Err("too many of its rows changed meanwhile".to_owned());
            }
            self.touched.insert(Box::from(&**scratch));
        }
    }

    /// The rows that nothing has touched, in messages of some size, and how many they are.
    fn untouched(
        &self,
        rows: &Rows,
        present: &ColumnSet,
        at: &EventPlace,
    ) -> (Vec<RowsChange>, u64) {
        let (mut changes, mut count) = (Vec::new(), 0);
        let (mut begin, mut end, mut key_begin) = (0, 0, 0);
        let mut cut = |begin: usize, end: usize| {
            if begin < end {
                changes.push(self.change(rows.images.slice(begin..end), present, at));
            }
        };
        for (row_end, key_end) in rows.ends.iter().zip(&rows.key_ends) {
            let is_touched =
                rows.keys.get(key_begin..*key_end).is_some_and(|key| self.touched.contains(key));
            key_begin = *key_end;
            if is_touched {
                cut(begin, end);
                (begin, end) = (*row_end, *row_end);
                continue;
            }
            count += 1;
            end = *row_end;
            if end - begin >= MESSAGE_BYTES {
                cut(begin, end);
                begin = end;
            }
        }
        cut(begin, end);
        (changes, count)
    }

    fn change(&self, images: Bytes, present: &ColumnSet, at: &EventPlace) -> RowsChange {
        RowsChange {
            kind: RowsKind::Insert,
            table: Arc::clone(&self.table),
            columns: present.clone(),
            after_columns: None,
            images,
            place: at.clone(),
            parked: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The next start knows no more than the commit of the statement says.
    #[test]
    fn what_a_half_copied_table_was_renamed_to_begins_anew_with_the_commit_of_the_statement() {
        let ledger = Ledger::default();
        let [half, done, other] = ["half", "done", "other"].map(|name| TableName::new("db", name));
        let begun = Copy { estimate: 7, chunks: 3, rows: 3000, ..Copy::pending() };
        ledger.write(Notes::of(half.clone(), Some(begun))).unwrap();
        ledger.write(Notes::of(done.clone(), Some(Copy::pending().done()))).unwrap();
        let (_asks, requests) = mpsc::channel(1);
        let mut windows = Windows::new(requests, ledger);
        windows.note_renamed([done.clone(), other.clone()].into_iter());
        assert!(windows.take_notes().is_none(), "a table that is copied stays so");
        windows.note_renamed([half.clone(), other.clone()].into_iter());
        let notes = windows.take_notes().unwrap();
        let anew = Copy { estimate: 7, ..Copy::pending() };
        assert_eq!(notes.tables, [(half, Some(anew)), (other, Some(Copy::pending()))]);
        assert!(windows.take_notes().is_none());
    }
}
