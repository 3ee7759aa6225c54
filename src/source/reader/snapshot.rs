//! Chunks of tables within the stream.
//!
//! In: the requests of the copier. Out: chunks, each as a transaction of its own kind at the position
//! that is reached. Always: a window is opened, and a chunk is published, between two transactions.

use std::sync::Arc;

use super::{Outlet, Reader};
use crate::change::{
    BranchEnd, Change, Chunk, ChunkEnd, Commit, EventPlace, RowsChange, StateRecord, TableName,
    TransactionHead,
};
use crate::clock;
use crate::config::SnapshotMode;
use crate::schema::Place;
use crate::source::Error;
use crate::source::assemble::{End, Piece};
use crate::source::snapshot::{Next, Opened, Publishing, Request, Windows};

/// A chunk goes over the channel in pieces of as many bytes of images.
const PIECE_BYTES: usize = 1 << 20;

/// What is said of a table that is parked.
const PARKED: &str = "it is parked, and what is kept of it is older than what would be read: bring it \
                      back first (bin/sluice instance retry), then start its copy";

/// The next request; none if nothing is copied. Cancel safe.
pub(super) async fn next(windows: &mut Option<Windows>) -> Option<Request> {
    windows.as_mut()?.next().await
}

impl Reader<'_> {
    /// Copies tables beside the stream.
    pub(in crate::source) fn copies(&mut self, windows: Windows) {
        self.windows = Some(windows);
    }

    /// Notes what is handed over.
    pub(super) fn note_of_windows(&mut self, piece: &Piece) {
        let Some(windows) = &mut self.windows else { return };
        if let End::Commit(commit) = &piece.end
            && let Some(step) = &commit.branch
        {
            match step.end {
                BranchEnd::Prepared => {}
                BranchEnd::Committed => windows.note_branch(&step.xid, true),
                BranchEnd::RolledBack => windows.note_branch(&step.xid, false),
            }
        }
        match &piece.head.branch {
            Some(xid) => windows.note_held(xid, &piece.changes, piece.whole),
            None if windows.is_idle() => {}
            None => windows.note(&piece.changes),
        }
    }

    /// A statement gave tables other names.
    pub(super) fn note_renamed(&mut self, names: &[TableName]) {
        let (filter, verdicts) = (&self.settings.filter, &mut self.verdicts);
        if let Some(windows) = &mut self.windows {
            let is_included =
                |name: &&TableName| verdicts.includes(filter, &name.schema, &name.table);
            windows.note_renamed(names.iter().filter(is_included).cloned());
        }
    }

    /// What a commit has to remember of tables that were made, or renamed.
    pub(super) fn records_of_tables(&mut self) -> Result<Vec<StateRecord>, Error> {
        let Some(windows) = &mut self.windows else { return Ok(Vec::new()) };
        let Some(notes) = windows.take_notes() else { return Ok(Vec::new()) };
        windows.ledger().write(notes).map_err(Error::Broken)
    }

    /// A statement made a table.
    pub(super) fn note_made(&mut self, name: TableName) {
        let is_included = self.verdicts.includes(&self.settings.filter, &name.schema, &name.table);
        let is_missed = match self.settings.snapshot {
            SnapshotMode::None | SnapshotMode::Initial => false,
            SnapshotMode::Missing | SnapshotMode::Only => true,
        };
        if let Some(windows) = self.windows.as_mut().filter(|_| is_included) {
            windows.note_made(name, is_missed);
        }
    }

    pub(super) async fn take_request(
        &mut self,
        request: Request,
        outlet: Outlet<'_>,
    ) -> Result<(), Error> {
        self.note_idle(0);
        self.flush_idle(outlet)?;
        match request {
            Request::Open { table, key, found, opened } => {
                if let Some(found) = found
                    && self.schema.take_later(*found)
                {
                    let state = self.schema.commit()?;
                    self.post_here(Vec::new(), None, state, outlet);
                }
                let at = self.place();
                let is_parked = self.parking.keeps(&table, &at);
                let Some(windows) = &mut self.windows else { return Ok(()) };
                let here = Place::from(&*self.reached);
                let described = match windows.described(&table) {
                    Some(described) => Some(Ok(described)),
                    None => self.schema.described(&table, &here),
                };
                let answer = match described {
                    // What is kept of it comes later, and is older than what would be read.
                    _ if is_parked => Opened::Unfit(PARKED.to_owned()),
                    _ if self.schema.is_absent(&table) => Opened::Absent,
                    None => Opened::Unknown,
                    Some(Err(reason)) => Opened::Unfit(reason),
                    Some(Ok(table)) => {
                        let place = self.reached.clone();
                        Opened::Window(Box::new(windows.open(table, key, place)))
                    }
                };
                // Who asked may have ended.
                let _ = opened.send(answer);
            }
            Request::Close { number, mark, read, closed } => {
                if let Some(windows) = &mut self.windows {
                    windows.close(number, mark, read, closed);
                }
            }
            Request::Note { notes, noted } => {
                let Some(windows) = &self.windows else { return Ok(()) };
                let state = windows.ledger().write(notes).map_err(Error::Broken)?;
                self.post_here(Vec::new(), None, state, outlet);
                // Who has heard of it may end all of this.
                self.send_parcel(outlet).await?;
                let _ = noted.send(());
            }
        }
        Ok(())
    }

    /// Publishes the chunks whose marks are reached. False if all is to stop.
    pub(super) async fn publish_chunks(&mut self, outlet: Outlet<'_>) -> Result<bool, Error> {
        if self.windows.as_ref().is_none_or(Windows::is_idle) || !self.may_take_rest() {
            return Ok(true);
        }
        let place = self.place();
        let reached = Place::from(&place);
        let at = EventPlace { time: clock::now_seconds(), ..place };
        loop {
            let Some(windows) = &mut self.windows else { return Ok(true) };
            let Some(mut publishing) = windows.due(&reached, &at) else { return Ok(true) };
            self.note_idle(0);
            self.flush_idle(outlet)?;
            if self.parking.keeps(publishing.table(), &at) {
                publishing.give_up();
                continue;
            }
            let name = publishing.name.clone();
            if publishing.is_whole() {
                match self.stream_whole(&mut publishing, &at, outlet).await? {
                    Streamed::All => {}
                    Streamed::Failed => {
                        publishing.give_up();
                        continue;
                    }
                    Streamed::Stopped => return Ok(false),
                }
            }
            let Some(windows) = &self.windows else { return Ok(true) };
            let state = windows.ledger().write(publishing.notes()).map_err(Error::Broken)?;
            let changes = std::mem::take(&mut publishing.changes);
            self.post_here(changes, Some(name.as_str()), state, outlet);
            // Who has heard of the last one may end all of this.
            self.send_parcel(outlet).await?;
            publishing.succeed();
        }
    }

    /// Hands over the rows of a table that is read as a whole, as they come: nothing else of the
    /// stream is, until there are no more.
    async fn stream_whole(
        &mut self,
        publishing: &mut Publishing,
        at: &EventPlace,
        outlet: Outlet<'_>,
    ) -> Result<Streamed, Error> {
        let snapshot = Some(Arc::from(publishing.name.as_str()));
        let head = Arc::new(TransactionHead { snapshot, ..TransactionHead::default() });
        let generation = outlet.generation;
        loop {
            let next = tokio::select! {
                biased;
                () = outlet.stop.cancelled() => return Ok(Streamed::Stopped),
                next = publishing.next(at) => next,
            };
            let (changes, end) = match next {
                Next::Rows(changes) => (changes, ChunkEnd::More),
                Next::End => return Ok(Streamed::All),
                Next::Failed => (Vec::new(), ChunkEnd::Abort),
            };
            let is_failed = matches!(end, ChunkEnd::Abort);
            let bytes = changes.iter().map(|change| change.images.len()).sum();
            let changes = changes.into_iter().map(Change::Rows).collect();
            self.post(Chunk { generation, head: Arc::clone(&head), changes, end }, bytes);
            self.send_parcel(outlet).await?;
            if is_failed {
                return Ok(Streamed::Failed);
            }
        }
    }

    /// Hands over rows and state at the position that is reached: it does not move.
    fn post_here(
        &mut self,
        rows: Vec<RowsChange>,
        snapshot: Option<&str>,
        state: Vec<StateRecord>,
        outlet: Outlet<'_>,
    ) {
        let snapshot = snapshot.map(Arc::from);
        let head = Arc::new(TransactionHead { snapshot, ..TransactionHead::default() });
        let generation = outlet.generation;
        let (mut piece, mut bytes) = (Vec::new(), 0);
        for change in rows {
            if bytes > 0 && bytes + change.images.len() > PIECE_BYTES {
                let changes = std::mem::take(&mut piece);
                let head = Arc::clone(&head);
                self.post(Chunk { generation, head, changes, end: ChunkEnd::More }, bytes);
                bytes = 0;
            }
            bytes += change.images.len();
            piece.push(Change::Rows(change));
        }
        let commit = Commit {
            server_uuid: Arc::clone(&self.reached.server_uuid),
            by_gtid: self.reached.by_gtid,
            file: Arc::clone(&self.reached.file),
            offset: self.reached.offset,
            file_created: self.reached.file_created,
            event_time: 0,
            server_time: self.reached.server_time,
            gtid: None,
            filtered: Vec::new(),
            state,
            branch: None,
            trail: self.reached.trail.clone(),
            prepared: self.reached.prepared.clone(),
        };
        let end = ChunkEnd::Commit(Box::new(commit));
        self.post(Chunk { generation, head, changes: piece, end }, bytes);
    }

    /// A statement may have changed these tables.
    pub(super) fn note_statement(&mut self, names: &[&TableName]) {
        if let Some(windows) = &mut self.windows {
            windows.note_statement(names);
        }
    }
}

/// What became of a table that is read as a whole.
enum Streamed {
    All,
    Failed,
    /// All is to stop.
    Stopped,
}
