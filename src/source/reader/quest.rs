//! Holds an XA branch that was prepared before the instance began.
//!
//! In: the xid of an XA COMMIT whose branch is not held. Out: the branch, held at the place where
//! the source is read, so that its XA COMMIT is one like any other. `source::search` finds its
//! transaction; that one transaction is then read by a reader of its own, over a connection that
//! does not wait.
//!
//! Always: what is read behind changes neither the position, nor the schema history, nor anything
//! else that the live reader knows; a branch is held when its end was handed over, and else not.

use std::sync::Arc;

use super::{Ended, Outlet, Piece, Reader, Stop};
use crate::binlog::{EventHeader, FIRST_EVENT, Query, Tracker};
use crate::change::{Chunk, ChunkEnd, Commit, EventPlace, Xid};
use crate::mysql::replica::{DumpFrom, Replica, ReplicaSettings};
use crate::mysql::{self, Session};
use crate::schema::{Flag, Reading, SessionOf};
use crate::source::assemble::{Assembler, End, Hint, Hints};
use crate::source::held::Held;
use crate::source::progress::Progress;
use crate::source::search::{Found, Search, Searched, is_not_sent};
use crate::source::{Error, Remembered, Settings};

/// One transaction, that is read to be held.
pub(super) struct Quest {
    xid: Arc<Xid>,
    /// Where it begins: nothing before counts.
    pub(super) begin: u64,
    /// As if it ended here.
    commit: Box<Commit>,
    /// Its end was handed over.
    is_done: bool,
}

/// How far the transaction was read.
enum Read {
    Held,
    /// It is to be read again, knowing this.
    Again(Box<Hint>),
    /// It has no end, or is not there any more.
    Nothing(String),
}

impl Reader<'_> {
    /// Holds the branch, if it is not held and the source still has it. Whether it is known to have
    /// changed nothing that is in the binlog.
    pub(super) async fn find_unless_held(
        &mut self,
        xid: &Xid,
        place: &EventPlace,
        outlet: Outlet<'_>,
    ) -> Result<bool, Stop> {
        if self.quest.is_some() || self.held.contains(xid) {
            return Ok(false);
        }
        let is_unlogged = self.held.was_never_logged(xid, self.tracker.server(), place);
        if is_unlogged && self.held.has_ended(xid) {
            // What is behind is of the one before.
            return Ok(true);
        }
        tracing::warn!(%xid, file = &*place.file, offset = place.offset,
            "an XA COMMIT of a branch that is not held: it is looked for in the source's binlogs");
        self.send_parcel(outlet).await?;
        let server = self.tracker.server();
        let before = self.held.prepared_before(server, place);
        let search = Search { settings: self.settings, xid, end: (server, place), before };
        // It can take long, and leaves nothing behind.
        let found = tokio::select! {
            biased;
            () = outlet.stop.cancelled() => return Err(Stop::Asked),
            found = Box::pin(search.run()) => found?,
        };
        if found == Searched::NotPrepared {
            return Ok(true);
        }
        if let Searched::Found(found) = found {
            tracing::info!(%xid, file = %found.file, begin = found.begin, "the branch was found");
            let xid = Arc::new(xid.clone());
            if Box::pin(self.hold(&xid, &found, outlet)).await? {
                let place = (Arc::clone(&found.file), found.begin);
                self.held.insert(xid, place);
            }
            return Ok(false);
        }
        Ok(is_unlogged)
    }

    /// Hands over the branch's transaction; false if it is not there after all.
    async fn hold(
        &mut self,
        xid: &Arc<Xid>,
        found: &Found,
        outlet: Outlet<'_>,
    ) -> Result<bool, Stop> {
        let mut hints = Hints::default();
        loop {
            let quest = self.quest(xid, found.begin);
            let reason = match self.read_behind(quest, found, hints.clone(), outlet).await? {
                Read::Held => return Ok(true),
                // What was handed over is void: whoever takes it ends too.
                _ if outlet.stop.is_cancelled() => return Err(Stop::Asked),
                Read::Again(again) => {
                    let is_news = hints.learn(*again);
                    (!is_news).then(|| "its reading ends at the same place once more".to_owned())
                }
                Read::Nothing(reason) => Some(reason),
            };
            let abort = Chunk {
                generation: outlet.generation,
                head: Arc::default(),
                changes: Vec::new(),
                end: ChunkEnd::Abort,
            };
            self.post(abort, 0);
            self.send_parcel(outlet).await?;
            if let Some(reason) = reason {
                tracing::warn!(%xid, file = %found.file, begin = found.begin, reason,
                    "the branch cannot be read where it was found");
                return Ok(false);
            }
        }
    }

    fn quest(&self, xid: &Arc<Xid>, begin: u64) -> Quest {
        let reached = &*self.reached;
        let commit = Commit {
            server_uuid: Arc::clone(&reached.server_uuid),
            by_gtid: reached.by_gtid,
            file: Arc::clone(&reached.file),
            offset: reached.offset,
            file_created: reached.file_created,
            event_time: 0,
            server_time: 0,
            gtid: None,
            filtered: Vec::new(),
            state: Vec::new(),
            branch: None,
            trail: reached.trail.clone(),
            prepared: reached.prepared.clone(),
        };
        Quest { xid: Arc::clone(xid), begin, commit: Box::new(commit), is_done: false }
    }

    async fn read_behind(
        &mut self,
        quest: Quest,
        found: &Found,
        hints: Hints,
        outlet: Outlet<'_>,
    ) -> Result<Read, Error> {
        // What the command has no room for is skipped.
        let offset = if u32::try_from(found.begin).is_ok() { found.begin } else { FIRST_EVENT };
        let settings = Settings { remembered: Remembered::default(), ..self.settings.clone() };
        // No replica, as `mysql::Scan`.
        let replica =
            ReplicaSettings { server_id: 0, uuid: String::new(), ..settings.replica.clone() };
        let replica = Replica::connect(&settings.endpoint, replica).await?;
        let format = (replica.has_checksums(), replica.version().to_owned());
        let file = Arc::clone(&found.file);
        let tracker = Tracker::by_file(Arc::clone(self.tracker.server()), file, offset);
        let session = Session::connect(&settings.endpoint).await?;
        let file = Arc::clone(&found.file);
        let dump = replica.scan(&DumpFrom::File { file, offset }).await?;
        let (mut reached, mut held) = (self.reached.clone(), Held::default());
        let progress = Progress::default();
        let mut parking = self.parking.clone();
        let mut reader = Reader::new(
            &settings,
            self.schema,
            (&mut reached, &mut held, &mut parking),
            &progress,
            Assembler::new(None, hints),
            tracker,
            session,
            format,
        );
        reader.quest = Some(quest);
        let ended = Box::pin(reader.read_on(dump, outlet)).await;
        reader.send_parcel(outlet).await?;
        if reader.quest.is_some_and(|quest| quest.is_done) {
            // What begins to be parked with the branch is parked from here on: the place where that
            // begins is behind, and is not come by again.
            *self.parking = parking;
            return Ok(Read::Held);
        }
        match ended {
            Ok(Ended::Again(hint)) => Ok(Read::Again(hint)),
            Ok(Ended::Stopped) => Ok(Read::Nothing("the file ends before it".to_owned())),
            Err(Error::Mysql(error @ mysql::Error::Ended { .. })) => {
                Ok(Read::Nothing(error.to_string()))
            }
            Err(Error::Mysql(error)) if is_not_sent(&error) => Ok(Read::Nothing(error.to_string())),
            Err(error) => Err(error),
        }
    }

    /// A piece of a transaction that is read behind.
    pub(super) fn take_of_quest(&mut self, piece: Piece, outlet: Outlet<'_>) -> Result<(), Stop> {
        let Some(quest) = &mut self.quest else { return Ok(()) };
        if piece.head.branch.as_ref() != Some(&quest.xid) {
            return Ok(());
        }
        let (end, is_last) = match piece.end {
            End::More => (ChunkEnd::More, false),
            End::Abort => (ChunkEnd::Abort, false),
            End::Commit(commit) => {
                let commit = Commit { branch: commit.branch, ..(*quest.commit).clone() };
                (ChunkEnd::Commit(Box::new(commit)), true)
            }
        };
        let (head, changes) = (piece.head, piece.changes);
        let chunk = Chunk { generation: outlet.generation, head, changes, end };
        self.post(chunk, piece.bytes);
        if !is_last {
            return Ok(());
        }
        if let Some(quest) = &mut self.quest {
            quest.is_done = true;
        }
        Err(Stop::Asked)
    }

    /// Of a statement that is read behind only changes of rows count, and nothing that it does to
    /// the schema; false if it is none.
    pub(super) fn keep_of_quest(
        &mut self,
        header: &EventHeader,
        query: &Query<'_>,
        reading: &mut Reading,
    ) -> bool {
        let changes_rows =
            reading.message.as_ref().is_some_and(|message| message.kind.changes_rows());
        if changes_rows && header.has(EventHeader::THREAD_SPECIFIC) {
            let session = SessionOf { server: header.server_id, thread: query.thread_id };
            self.schema.take_out_temporary(session, Flag::Set, self.tracker.file(), reading);
        }
        changes_rows && reading.message.is_some()
    }
}
