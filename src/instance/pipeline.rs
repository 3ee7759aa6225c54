//! The loop of one instance: chunks of transactions in, parts out, durable position
//! reported. At every await holds
//!
//! ```text
//! durable position <= appended position <= decoded position <= received position
//! ```
//!
//! In: chunks in commit order, over a channel bounded in bytes from the source's own task,
//! so that a test can stand in for the source with a sender. Out: a position for each
//! commit that became durable, in order. It is stored in the same append as the rows;
//! `report` only hears of it.
//!
//! It is the middle one of three stages, each on a thread or task of its own: the source's task
//! receives and assembles; this loop decodes, formats and batches, on the thread of its instance,
//! since encoding a chunk takes as long as many answers of the broker; the sink appends and
//! syncs. Both channels between them are bounded in bytes, the second by the window below.
//!
//! Transactions are joined into one commit while others are on their way to the disk, so
//! that many small ones cost little and a single one does not wait. A transaction that
//! comes in several chunks is a commit of its own: what goes wrong with it concerns no other.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::encode::{self, Encoder};
use super::progress::Window;
use crate::change::{Chunk, ChunkEnd, Commit, Generation, ParkedTable, Position, StateRecord};
use crate::control::{Counted, Done, Stages};
use crate::sink::{self, BATCH_BYTES, Pace, Sink};
use crate::source::channel::Receiver;

/// How long the source may take to hand over what it has when all is to stop: the position
/// behind filtered traffic comes last of all.
const GOODBYE: Duration = Duration::from_secs(1);

/// What became durable.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    /// Everything up to here.
    pub(crate) position: Position,
    /// What of it is new.
    pub(crate) done: Done,
    /// The same by table and by stage.
    pub(crate) counted: Counted,
    /// When the sink had it.
    committed: Instant,
    /// The tables that are parked now, if that has changed.
    pub(crate) parked: Option<Vec<ParkedTable>>,
}

/// What ends a pipeline early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The sink refused; open it again.
    #[error(transparent)]
    Sink(#[from] sink::Error),
    /// A row could not be turned into a record.
    #[error(transparent)]
    Encode(#[from] encode::Error),
    /// A chunk of a table that is copied could not be turned into records.
    #[error("{0}")]
    Copy(Box<encode::Error>),
    /// A chunk of an older session arrived: the source is not the one that was started.
    #[error("a transaction of an older session of the source arrived")]
    Generation,
}

/// See the head of this file.
pub(crate) struct Pipeline<'a, S> {
    pub(super) sink: &'a mut S,
    pub(super) encoder: Encoder,
    /// Of the session of the source that was started; other chunks are refused.
    generation: Generation,
    window: Window<Progress>,
    pace: Pace,
    /// Behind the last whole transaction that was decoded.
    decoded: Position,
    /// Whether `decoded` or `state` still have to be handed to the sink.
    behind: bool,
    pub(super) state: Vec<StateRecord>,
    /// Bytes of records in the sink's open append beside those that the encoder counts.
    pub(super) handed: usize,
    /// Whether part of a transaction has been taken.
    open: bool,
    last_commit: Instant,
    /// What was measured since the last commit became durable.
    stages: Stages,
}

impl<'a, S: Sink> Pipeline<'a, S> {
    /// A pipeline whose sink is open and positioned at `position`.
    pub(crate) fn new(
        sink: &'a mut S,
        encoder: Encoder,
        generation: Generation,
        position: Position,
    ) -> Self {
        let pace = sink.pace();
        Self {
            sink,
            pace,
            encoder,
            generation,
            window: Window::default(),
            decoded: position,
            behind: false,
            state: Vec::new(),
            handed: 0,
            open: false,
            last_commit: Instant::now(),
            stages: Stages::default(),
        }
    }

    /// Runs until the source has ended, which has to follow `shutdown` soon; then awaits what
    /// was committed. `report` gets every position that became durable, in order, and how
    /// much of it is new.
    pub(crate) async fn run(
        mut self,
        chunks: &mut Receiver,
        shutdown: &CancellationToken,
        mut report: impl FnMut(Progress),
    ) -> Result<(), Error> {
        let mut end = None;
        let mut unreadable = None;
        loop {
            let idle = self.last_commit + self.pace.idle_after;
            tokio::select! {
                biased;
                // A source that does not end is not waited for; what was committed is, below.
                () = at(end), if end.is_some() => break,
                () = shutdown.cancelled(), if end.is_none() => {
                    end = Some(Instant::now() + GOODBYE);
                }
                // Free room before taking more.
                progress = self.window.next_durable() => {
                    let progress = progress?;
                    report(self.measured(progress, chunks));
                    self.commit_records_if_due(chunks.has_more()).await?;
                }
                // A full window is the back pressure: the channel fills, the source stops reading.
                next = chunks.recv(), if self.has_room() => match next {
                    Some(chunk) => match self.take_parcel(chunk, chunks).await {
                        Ok(()) => {}
                        Err(error @ (Error::Encode(_) | Error::Copy(_))) => {
                            unreadable = Some(error);
                            break;
                        }
                        Err(error @ (Error::Sink(_) | Error::Generation)) => return Err(error),
                    },
                    None => break,
                },
                () = tokio::time::sleep_until(idle), if self.behind && !self.open => {
                    self.commit().await?;
                }
            }
        }
        // A transaction cut by the end, or that cannot be encoded, is rolled back: it comes
        // again, whole. Whole ones before it are committed.
        self.roll_back().await?;
        if self.behind {
            self.commit().await?;
        }
        while !self.window.is_empty() {
            let progress = self.window.next_durable().await?;
            report(self.measured(progress, chunks));
        }
        unreadable.map_or(Ok(()), Err)
    }

    /// What became durable, with how long it took.
    fn measured(&mut self, mut progress: Progress, chunks: &Receiver) -> Progress {
        self.stages.commit.took(progress.committed.elapsed());
        self.stages.blocked = chunks.take_blocked();
        progress.counted.stages = std::mem::take(&mut self.stages);
        progress
    }

    fn has_room(&self) -> bool {
        self.window.bytes() < self.pace.bytes_in_flight && self.gathered() < self.pace.commit_bytes
            || self.window.is_empty()
    }

    /// Bytes of records that no commit has taken.
    fn gathered(&self) -> usize {
        self.encoder.bytes() + self.handed
    }

    /// Takes a chunk and those that came with it, while there is room: looking at all else
    /// between two small ones would cost more than they do.
    async fn take_parcel(&mut self, first: Chunk, chunks: &mut Receiver) -> Result<(), Error> {
        self.stages.queue.took(chunks.waited());
        let mut next = Some(first);
        while let Some(chunk) = next {
            self.take(chunk).await?;
            self.commit_records_if_due(chunks.has_more()).await?;
            next = if self.has_room() { chunks.at_hand() } else { None };
        }
        Ok(())
    }

    async fn take(&mut self, chunk: Chunk) -> Result<(), Error> {
        if chunk.generation != self.generation {
            return Err(Error::Generation);
        }
        if !self.open && self.behind && matches!(chunk.end, ChunkEnd::More) {
            self.commit().await?;
        }
        match chunk.end {
            ChunkEnd::More => {
                self.open = true;
                self.encode(&chunk)?;
                match &chunk.head.branch {
                    Some(xid) => self.hand_over_branch(xid).await,
                    None => self.hand_over().await,
                }
            }
            ChunkEnd::Commit(ref commit) => {
                if let Some(step) = &commit.branch
                    && self.has_touched(&step.xid)
                {
                    self.commit().await?;
                }
                if let Err(error) = self.encode(&chunk) {
                    if !self.open {
                        self.encoder.roll_back();
                    }
                    return Err(error);
                }
                let is_large = if let Some(step) = &commit.branch {
                    self.branch(&chunk.head, step).await?
                } else {
                    self.encoder.end_transaction();
                    false
                };
                let staged = std::mem::take(&mut self.open) || is_large;
                let ChunkEnd::Commit(commit) = chunk.end else { return Ok(()) };
                self.whole(*commit);
                if staged { self.commit().await } else { Ok(()) }
            }
            ChunkEnd::Abort => self.roll_back().await,
        }
    }

    fn encode(&mut self, chunk: &Chunk) -> Result<(), Error> {
        let begun = Instant::now();
        let encoded = self.encoder.encode(&chunk.head, &chunk.changes);
        self.stages.encode.took(begun.elapsed());
        encoded.map_err(|error| match chunk.head.snapshot {
            Some(_) => Error::Copy(Box::new(error)),
            None => Error::Encode(error),
        })
    }

    fn whole(&mut self, commit: Commit) {
        self.decoded.advance(&commit);
        self.state.extend(commit.state);
        self.behind = true;
    }

    /// Commits when there are records, and it pays: the disk is idle and no more are at
    /// hand, or enough gathered.
    async fn commit_records_if_due(&mut self, more: bool) -> Result<(), Error> {
        let any = self.gathered() > 0 || !self.state.is_empty();
        let is_idle = self.window.len() < self.pace.most_in_flight && !more;
        let due = is_idle || self.gathered() >= self.pace.commit_bytes;
        if !self.behind || self.open {
            Ok(())
        } else if any && due {
            self.commit().await
        } else if self.encoder.bytes() >= BATCH_BYTES {
            // Whole transactions, whose commit waits for others.
            self.handed += self.encoder.bytes();
            self.hand_over().await
        } else {
            Ok(())
        }
    }

    async fn commit(&mut self) -> Result<(), Error> {
        let bytes = self.gathered();
        self.hand_over().await?;
        self.handed = 0;
        let mut state = std::mem::take(&mut self.state);
        let parked = self.encoder.take_parked().map(|(tables, records)| {
            state.extend(records);
            tables
        });
        self.decoded.settle();
        let receipt = self.sink.commit(&self.decoded, state).await?;
        let done = self.encoder.take_done();
        let (tables, statements) = self.encoder.take_tallies();
        let counted = Counted { tables, statements, stages: Stages::default() };
        let (position, committed) = (self.decoded.clone(), Instant::now());
        let progress = Progress { position, done, counted, committed, parked };
        self.window.admit(progress, bytes, receipt);
        self.behind = false;
        self.last_commit = Instant::now();
        Ok(())
    }

    pub(super) async fn hand_over(&mut self) -> Result<(), Error> {
        for part in self.encoder.take() {
            self.sink.append(part).await?;
        }
        Ok(())
    }

    /// Rolls back the open transaction. Whole ones before it have been committed already.
    async fn roll_back(&mut self) -> Result<(), Error> {
        if std::mem::take(&mut self.open) {
            self.encoder.clear();
            self.handed = 0;
            self.sink.abort().await?;
        }
        Ok(())
    }
}

/// Resolves at a time, if there is one.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
