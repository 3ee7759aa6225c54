//! Looks behind for an XA branch that was prepared before the instance began.
//!
//! In: the xid of an XA COMMIT whose branch is not held. Out: the branch, held at the place where
//! the source is read, so that its XA COMMIT is one like any other. The source's binlogs are read
//! file by file, the newest first, over connections that do not wait (no replica): once to find
//! the last PREPARE of the xid, and then that one transaction.
//!
//! Always: what is read behind changes neither the position nor the schema history.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Outlet, Piece, Reader, Stop};
use crate::binlog::{FIRST_EVENT, Tracker};
use crate::change::{BranchEnd, Chunk, ChunkEnd, Commit, EventPlace, FileName, Xid};
use crate::mysql::replica::{DumpFrom, Replica, ReplicaSettings};
use crate::mysql::{self, Session, probe};
use crate::source::Error;
use crate::source::assemble::{Assembler, End, Shown};
use crate::source::progress::Progress;

/// What is looked for.
pub(super) struct Quest {
    xid: Arc<Xid>,
    stage: Stage,
}

enum Stage {
    /// For the last PREPARE before an offset of the file: where its transaction begins.
    Find { before: u64, begin: Option<u64> },
    /// The transaction is handed over, as if it ended here.
    Hold(Box<Commit>),
}

/// How a file was read.
enum Read {
    ToItsEnd(Option<u64>),
    Again(Box<Shown>),
}

impl Reader<'_> {
    /// Whether a branch is being looked for: no row is wanted yet.
    pub(super) fn is_looking(&self) -> bool {
        self.quest.as_ref().is_some_and(|quest| matches!(quest.stage, Stage::Find { .. }))
    }

    /// Holds the branch, if it is not held and the source still has it.
    pub(super) async fn find_unless_held(
        &mut self,
        xid: &Xid,
        place: &EventPlace,
        outlet: Outlet<'_>,
    ) -> Result<(), Stop> {
        if self.quest.is_some() || self.held.contains(xid) {
            return Ok(());
        }
        tracing::warn!(%xid, file = &*place.file, offset = place.offset,
            "an XA COMMIT of a branch that is not held: it is looked for in the source's binlogs");
        self.send_parcel(outlet).await?;
        let xid = Arc::new(xid.clone());
        let found = tokio::select! {
            biased;
            () = outlet.stop.cancelled() => return Err(Stop::Asked),
            found = Box::pin(self.find(&xid, place, outlet)) => found?,
        };
        if let Some((file, begin)) = found {
            tracing::info!(%xid, %file, begin, "the branch was found");
            Box::pin(self.hold(&xid, file, begin, outlet)).await?;
            self.held.insert(xid);
        }
        Ok(())
    }

    async fn find(
        &mut self,
        xid: &Arc<Xid>,
        place: &EventPlace,
        outlet: Outlet<'_>,
    ) -> Result<Option<(FileName, u64)>, Error> {
        let mut session = Session::connect(&self.settings.endpoint).await?;
        let files = probe::binlog_files(&mut session).await?;
        session.close().await;
        let here = files.iter().position(|file| *file.name == *place.file);
        let until = here.map_or(files.len(), |here| here + 1);
        for file in files.iter().take(until).rev() {
            let before = if *file.name == *place.file { place.offset } else { u64::MAX };
            let name: FileName = Arc::from(file.name.as_str());
            let stage = Stage::Find { before, begin: None };
            let quest = Quest { xid: Arc::clone(xid), stage };
            let read = self.read_behind(quest, &name, FIRST_EVENT, Vec::new(), outlet).await?;
            if let Read::ToItsEnd(Some(begin)) = read {
                return Ok(Some((name, begin)));
            }
        }
        Ok(None)
    }

    async fn hold(
        &mut self,
        xid: &Arc<Xid>,
        file: FileName,
        begin: u64,
        outlet: Outlet<'_>,
    ) -> Result<(), Stop> {
        let reached = &*self.reached;
        let commit = Commit {
            server_uuid: Arc::clone(&reached.server_uuid),
            by_gtid: reached.by_gtid,
            file: Arc::clone(&reached.file),
            offset: reached.offset,
            file_created: reached.file_created,
            event_time: 0,
            gtid: None,
            passed: Vec::new(),
            state: Vec::new(),
            branch: None,
        };
        let mut shown = Vec::new();
        loop {
            let stage = Stage::Hold(Box::new(commit.clone()));
            let quest = Quest { xid: Arc::clone(xid), stage };
            match self.read_behind(quest, &file, begin, shown.clone(), outlet).await? {
                Read::ToItsEnd(_) => return Ok(()),
                Read::Again(again) => {
                    let abort = Chunk {
                        generation: outlet.generation,
                        head: Arc::default(),
                        changes: Vec::new(),
                        end: ChunkEnd::Abort,
                    };
                    self.post(abort, 0);
                    self.send_parcel(outlet).await?;
                    shown.push(*again);
                }
            }
        }
    }

    async fn read_behind(
        &mut self,
        quest: Quest,
        file: &FileName,
        offset: u64,
        shown: Vec<Shown>,
        outlet: Outlet<'_>,
    ) -> Result<Read, Error> {
        // No replica, as `mysql::Scan`; what the command has no room for is passed over.
        let offset = if u32::try_from(offset).is_ok() { offset } else { FIRST_EVENT };
        let settings =
            ReplicaSettings { server_id: 0, uuid: String::new(), ..self.settings.replica.clone() };
        let replica = Replica::connect(&self.settings.endpoint, settings).await?;
        let format = (replica.has_checksums(), replica.version().to_owned());
        let tracker = Tracker::by_file(Arc::clone(self.tracker.server()), Arc::clone(file), offset);
        let session = Session::connect(&self.settings.endpoint).await?;
        let dump = replica.scan(&DumpFrom::File { file: Arc::clone(file), offset }).await?;
        let (mut reached, mut held) = (self.reached.clone(), HashSet::new());
        let progress = Progress::default();
        let mut reader = Reader::new(
            self.settings,
            self.schema,
            (&mut reached, &mut held),
            &progress,
            Assembler::new(None, shown),
            tracker,
            session,
            format,
        );
        reader.quest = Some(quest);
        let ended = Box::pin(reader.read_on(dump, outlet)).await;
        reader.send_parcel(outlet).await?;
        match ended {
            Ok(super::Ended::Again(shown)) => Ok(Read::Again(shown)),
            Ok(super::Ended::Stopped) | Err(Error::Mysql(mysql::Error::Ended { .. })) => {
                let begin = reader.quest.and_then(|quest| match quest.stage {
                    Stage::Find { begin, .. } => begin,
                    Stage::Hold(_) => None,
                });
                Ok(Read::ToItsEnd(begin))
            }
            Err(error) => Err(error),
        }
    }

    /// A piece of a transaction that is read behind.
    pub(super) fn take_of_quest(&mut self, piece: Piece, outlet: Outlet<'_>) -> Result<(), Stop> {
        let Some(quest) = &mut self.quest else { return Ok(()) };
        let behind = self.tracker.offset();
        match &mut quest.stage {
            Stage::Find { before, begin } => {
                if let End::Commit(commit) = &piece.end
                    && let Some(step) = &commit.branch
                    && step.end == BranchEnd::Prepared
                    && step.xid == quest.xid
                    && behind <= *before
                {
                    *begin = Some(piece.begin);
                }
                Ok(())
            }
            Stage::Hold(here) => {
                if piece.head.branch.as_ref() != Some(&quest.xid) {
                    return Ok(());
                }
                let (end, is_last) = match piece.end {
                    End::More => (ChunkEnd::More, false),
                    End::Abort => (ChunkEnd::Abort, false),
                    End::Commit(commit) => {
                        let commit = Commit { branch: commit.branch, ..(**here).clone() };
                        (ChunkEnd::Commit(Box::new(commit)), true)
                    }
                };
                let (head, changes) = (piece.head, piece.changes);
                let chunk = Chunk { generation: outlet.generation, head, changes, end };
                self.post(chunk, piece.bytes);
                if is_last { Err(Stop::Asked) } else { Ok(()) }
            }
        }
    }
}
