//! What takes long, done for the appender on threads of its own: one writes checkpoints, and reads
//! what retention asks for, the other compacts, and reads what says whether to, so that neither waits for the other.
//!
//! In: jobs, each with all it needs. Out: their outcomes, for which the appender looks between
//! groups.
//!
//! What holds: a checkpoint is written when all the segments it speaks of are durable; no
//! file of a partition is replaced or removed here: that is proposed to the appender.

use std::collections::HashSet;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};

use super::appender::Failure;
use super::checkpoint::Checkpoint;
use super::compaction::{CompactionJob, Ending, Replaced};
use super::damage::Damage;
use super::segment::{Segment, sync_names};
use super::shared::{Lost, Shared};
use super::syncing::{self, Hurry};
use super::watermarks::Slot;
use crate::disk::Disk;

#[derive(Debug)]
pub(super) enum Job {
    Checkpoint(CheckpointJob),
    Compaction(CompactionJob),
    /// To read the largest timestamps of segments.
    Times(Vec<Arc<Segment>>),
    /// To read the ages that say what of a partition is to be compacted, until that is stopped.
    Ages(Slot, Vec<(Arc<Segment>, Age)>, Arc<AtomicBool>),
}

/// By which of its records the age of a segment is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Age {
    OfFirst,
    OfNewest,
}

/// What became of a job.
#[derive(Debug)]
pub(super) enum Outcome {
    Checkpoint(CheckpointOutcome),
    /// A segment to be replaced.
    Compacted(Slot, Replaced),
    /// How it ended, or what is damaged.
    CompactionEnded(Slot, Result<Ending, Damage>),
    /// Timestamps of so many segments were read.
    Times(usize),
    /// Whether all ages are known that say what of a partition is to be compacted.
    AgesRead(Slot, bool),
}

/// A checkpoint, and the segments to sync before it.
#[derive(Debug)]
pub(super) struct CheckpointJob {
    pub(super) checkpoint: Checkpoint,
    /// Appended to since the last checkpoint.
    pub(super) dirty: Vec<Arc<Segment>>,
    /// Complete since then.
    pub(super) sealed: Vec<Arc<Segment>>,
    /// Whether a sync failed, of whomever.
    pub(super) lost: Arc<Lost>,
}

/// What became of a checkpoint.
#[derive(Debug)]
pub(super) struct CheckpointOutcome {
    /// The sequence it has passed.
    pub(super) result: Result<u64, Failure>,
    /// What could not be synced, as its file is not there any more.
    pub(super) damaged: Vec<(Arc<Segment>, Damage)>,
    pub(super) dirty: Vec<Arc<Segment>>,
    pub(super) sealed: Vec<Arc<Segment>>,
}

impl CheckpointJob {
    /// Syncs, and writes the checkpoint.
    pub(super) fn carry_out(self, disk: &dyn Disk, hurry: Hurry<'_>) -> CheckpointOutcome {
        let damaged = Mutex::default();
        let result = self
            .sync(disk, hurry, &damaged)
            .and_then(|()| self.checkpoint.write_behind(disk, &self.lost));
        if matches!(result, Err(Failure::Lost(_))) {
            self.lost.set();
        }
        let Self { checkpoint, dirty, sealed, .. } = self;
        let result = result.map(|()| checkpoint.sequence);
        let damaged = damaged.into_inner().unwrap_or_else(PoisonError::into_inner);
        CheckpointOutcome { result, damaged, dirty, sealed }
    }

    fn sync(
        &self,
        disk: &dyn Disk,
        hurry: Hurry<'_>,
        damaged: &Mutex<Vec<(Arc<Segment>, Damage)>>,
    ) -> Result<(), Failure> {
        let tell = |segment: &Arc<Segment>, damage| {
            let mut damaged = damaged.lock().unwrap_or_else(PoisonError::into_inner);
            damaged.push((Arc::clone(segment), damage));
        };
        let mut met = HashSet::new();
        let sealed = self.sealed.iter().map(|segment| (segment, true));
        let all = sealed.chain(self.dirty.iter().map(|segment| (segment, false)));
        let all: Vec<_> = all.filter(|(segment, _)| met.insert(Arc::as_ptr(segment))).collect();
        syncing::each(&all, hurry, |(segment, sealed)| {
            if let Some(damage) = self.sync_segment(segment, *sealed)? {
                tell(segment, damage);
            }
            Ok(())
        })?;
        let mut all: Vec<Arc<Segment>> = all.into_iter().map(|(one, _)| Arc::clone(one)).collect();
        loop {
            let moved: Vec<u32> = all.iter().map(|segment| segment.moved()).collect();
            let missing = sync_names(disk, &self.lost, all.iter(), hurry)?;
            let moved: Vec<_> = all.into_iter().zip(moved).collect();
            let is_missing =
                |one: &Arc<Segment>| missing.iter().any(|other| Arc::ptr_eq(one, other));
            let missing = moved.into_iter().filter(|(one, _)| is_missing(one));
            let (again, gone): (Vec<_>, Vec<_>) =
                missing.partition(|(one, moved)| one.was_away(*moved, &self.lost));
            for (segment, _) in gone {
                tell(&segment, Damage::of(&segment, &io::ErrorKind::NotFound.into()));
            }
            if again.is_empty() {
                return Ok(());
            }
            all = again.into_iter().map(|(segment, _)| segment).collect();
        }
    }

    /// Syncs one; again where its topic was on its way out meanwhile, and came back.
    fn sync_segment(
        &self,
        segment: &Arc<Segment>,
        sealed: bool,
    ) -> Result<Option<Damage>, Failure> {
        loop {
            let moved = segment.moved();
            match segment.sync(sealed, &self.lost)? {
                Some(_) if segment.was_away(moved, &self.lost) => {}
                outcome => return Ok(outcome),
            }
        }
    }
}

/// Has segments read the times of their newest records, until the log is closed. Says how many could; of the
/// others it is tried again at the next check: till then they stay.
fn read_times(shared: &Shared, segments: &[Arc<Segment>]) -> usize {
    let is_read = |one: &&Arc<Segment>| match one.read_time() {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(%error, path = one.path(), "the age of a segment cannot be read");
            false
        }
    };
    segments.iter().take_while(|_| !shared.queue.is_closed()).filter(is_read).count()
}

/// Has segments read their ages, until that is stopped. Says whether all of them are known.
fn read_ages(ages: &[(Arc<Segment>, Age)], stop: &AtomicBool) -> bool {
    let is_read = |(segment, age): &(Arc<Segment>, Age)| {
        let read = match age {
            Age::OfFirst => segment.first_timestamp().map(drop),
            Age::OfNewest => segment.largest_timestamp().map(drop),
        };
        if let Err(error) = &read {
            let path = segment.path();
            tracing::warn!(%error, path, "the age of a segment to compact is not known");
        }
        read.is_ok()
    };
    ages.iter().all(|one| !stop.load(Ordering::Acquire) && is_read(one))
}

/// Works until the appender is gone.
pub(super) fn run(shared: &Shared, jobs: &mpsc::Receiver<Job>, outcomes: &mpsc::Sender<Outcome>) {
    let disk = &*shared.disk;
    // Without an appender there is nobody to put anything in place; a start deletes it.
    let tell = |outcome| {
        let told = outcomes.send(outcome).is_ok();
        shared.queue.wake();
        told
    };
    while let Ok(job) = jobs.recv() {
        let outcome = match job {
            Job::Checkpoint(job) => {
                // Who closes the log waits for it.
                Outcome::Checkpoint(job.carry_out(disk, &|| shared.queue.is_closed()))
            }
            Job::Compaction(job) => {
                let propose = |replaced| {
                    tell(Outcome::Compacted(job.slot, replaced));
                };
                let ending = job.carry_out(disk, propose);
                Outcome::CompactionEnded(job.slot, ending)
            }
            Job::Times(segments) => Outcome::Times(read_times(shared, &segments)),
            Job::Ages(slot, ages, stop) => Outcome::AgesRead(slot, read_ages(&ages, &stop)),
        };
        if !tell(outcome) {
            return;
        }
    }
}
