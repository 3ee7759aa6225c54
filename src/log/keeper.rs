//! The thread that does for the appender what takes long: it writes checkpoints and
//! compacts.
//!
//! In: jobs, each with all it needs. Out: their outcomes, for which the appender looks between groups.
//!
//! What holds: a checkpoint is written when all the segments it speaks of are durable.

use std::sync::Arc;
use std::sync::mpsc;

use super::appender::Failure;
use super::checkpoint::Checkpoint;
use super::compaction::{CompactionJob, Replaced};
use super::segment::Segment;
use super::watermarks::Slot;
use crate::disk::Disk;

#[derive(Debug)]
pub(super) enum Job {
    Checkpoint(CheckpointJob),
    Compaction(CompactionJob),
}

/// What became of a job.
#[derive(Debug)]
pub(super) enum Outcome {
    Checkpoint(CheckpointOutcome),
    Compaction(Slot, Vec<Replaced>),
}

/// A checkpoint, and the segments to sync before it.
#[derive(Debug)]
pub(super) struct CheckpointJob {
    pub(super) checkpoint: Checkpoint,
    /// Appended to since the last checkpoint.
    pub(super) dirty: Vec<Arc<Segment>>,
    /// Complete since then.
    pub(super) sealed: Vec<Arc<Segment>>,
}

/// What became of a checkpoint.
#[derive(Debug)]
pub(super) struct CheckpointOutcome {
    /// The sequence it has passed.
    pub(super) result: Result<u64, Failure>,
    pub(super) dirty: Vec<Arc<Segment>>,
    pub(super) sealed: Vec<Arc<Segment>>,
}

impl CheckpointJob {
    /// Syncs, and writes the checkpoint.
    pub(super) fn carry_out(self, disk: &dyn Disk) -> CheckpointOutcome {
        let result = self.sync().and_then(|()| {
            let replaced = self.checkpoint.replace(disk);
            replaced.map_err(|error| Failure::refused("the checkpoint", &error))?;
            disk.sync_dir("").map_err(|error| Failure::of_sync("", &error))
        });
        let Self { checkpoint, dirty, sealed } = self;
        CheckpointOutcome { result: result.map(|()| checkpoint.sequence), dirty, sealed }
    }

    fn sync(&self) -> Result<(), Failure> {
        for (segments, sealed) in [(&self.sealed, true), (&self.dirty, false)] {
            for segment in segments {
                if sealed || !self.sealed.iter().any(|other| Arc::ptr_eq(other, segment)) {
                    segment.sync(sealed)?;
                }
            }
        }
        Ok(())
    }
}

/// Works until the appender is gone.
pub(super) fn run(
    disk: &Arc<dyn Disk>,
    jobs: &mpsc::Receiver<Job>,
    outcomes: &mpsc::Sender<Outcome>,
) {
    while let Ok(job) = jobs.recv() {
        let outcome = match job {
            Job::Checkpoint(job) => Outcome::Checkpoint(job.carry_out(&**disk)),
            Job::Compaction(job) => Outcome::Compaction(job.slot, job.carry_out(disk)),
        };
        if outcomes.send(outcome).is_err() {
            return;
        }
    }
}
