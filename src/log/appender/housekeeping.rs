//! What the appender sees to between groups: checkpoints, what they allow to be removed,
//! retention, and the last checkpoint of all.
//!
//! What holds: nothing is removed before a checkpoint has passed every frame that names
//! it; while a checkpoint is being written (by the keeper), groups go on.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use super::{Appender, Failure, Tail, Times};
use crate::clock::Moment;
use crate::disk::{Mode, is_unreadable};
use crate::log::backup::{Held, HeldPartition};
use crate::log::checkpoint::{self, Checkpoint, PartitionState};
use crate::log::keeper::{CheckpointJob, CheckpointOutcome, Job, Outcome};
use crate::log::producer::longest_silent;
use crate::log::segment::{self, Segment};
use crate::log::settings::LogSettings;
use crate::log::staged;
use crate::log::watermarks::Slot;

/// On a full disk checkpoints come as often, at most.
const FULL_RETRY: Duration = Duration::from_secs(1);

/// Files are closed so often, where there are too many.
const GIVE_BACK: Duration = Duration::from_millis(50);

/// While it waits for a helper it looks so often whether that panicked.
const LOOK_FOR_PANICS: Duration = Duration::from_millis(100);

/// A producer that was silent so long is forgotten: `producer.id.expiration.ms`.
const PRODUCER_EXPIRATION_MS: i64 = 24 * 3600 * 1000;

/// Behind the last checkpoint, in bytes and since when.
#[derive(Debug)]
pub(super) struct Since {
    pub(super) inline: u64,
    pub(super) reference: u64,
    pub(super) time: Instant,
    /// A checkpoint is being written.
    pub(super) running: bool,
    /// So many segments it syncs.
    pub(super) syncing: usize,
}

impl Since {
    pub(super) fn now() -> Self {
        Self { inline: 0, reference: 0, time: Instant::now(), running: false, syncing: 0 }
    }
}

/// What is removed when nothing needs it any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::log) enum Removal {
    /// A segment, by its path without suffix.
    Segment(String),
    /// A directory.
    Dir(String),
}

/// How many inline bytes may follow a checkpoint that is still being written.
fn journal_bound(settings: &LogSettings) -> u64 {
    settings.checkpoint_inline_bytes.saturating_mul(2)
}

impl Appender {
    /// What is due between groups: checkpoints and retention.
    pub(super) fn keep_house(&mut self) {
        // Also to notice when the clock jumps.
        let now = self.now();
        while let Ok(outcome) = self.helpers.outcomes.try_recv() {
            self.take_outcome(outcome);
        }
        if let Some(reason) = self.shared.broken() {
            self.lose(reason);
        }
        let settings = &self.shared.settings;
        // Not by the wall clock, which may be set back.
        if self.retained.elapsed() >= Duration::from_millis(settings.retention_check_ms) {
            self.retained = Instant::now();
            self.retain(now);
            self.close_idle_files(false);
        } else if self.times == Times::Read {
            self.retain(now);
        }
        let files = self.shared.disk.files();
        if files.are_many() {
            self.give_files_back();
        }
        self.look_whether_it_takes();
        let settings = &self.shared.settings;
        let since = self.since.time.elapsed();
        let due = self.since.inline >= settings.checkpoint_inline_bytes
            || self.since.reference >= settings.checkpoint_reference_bytes
            // Their files may be closed then.
            || self.unsynced() >= files.most / 2
            || (since >= Duration::from_millis(settings.checkpoint_ms) && self.has_changed())
            // A checkpoint gives files of the journal back.
            || (self.full && since >= FULL_RETRY && self.has_changed());
        let may = self.checkpoint_pause.is_over(Instant::now());
        if due && may && !self.since.running && self.read_only.is_none() {
            self.start_checkpoint(now);
        }
        // The journal must not outgrow its bound because the keeper is slow.
        // So must not the files that stay open until it has synced them.
        while self.since.running
            && (self.since.inline >= journal_bound(&self.shared.settings)
                || self.unsynced().saturating_add(self.since.syncing) >= files.most)
        {
            if !self.wait_for_outcome() {
                return;
            }
        }
    }

    /// How many segments wait for a checkpoint to come.
    fn unsynced(&self) -> usize {
        self.dirty.len() + self.sealed.len()
    }

    /// Takes the next outcome. False if there may be none any more.
    fn wait_for_outcome(&mut self) -> bool {
        loop {
            match self.helpers.outcomes.recv_timeout(LOOK_FOR_PANICS) {
                Ok(outcome) => {
                    self.take_outcome(outcome);
                    return true;
                }
                Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) => {
                    if let Some(reason) = self.shared.broken() {
                        self.lose(reason);
                        return false;
                    }
                }
            }
        }
    }

    /// Who still reads a sealed segment opens it again; of the active ones, with `all`, who appends
    /// to it. What a checkpoint has to sync stays open.
    fn close_idle_files(&self, all: bool) {
        for tail in self.tails.iter() {
            let active = tail.active.as_ref().map(|segment| segment.base());
            for segment in tail.partition.segments() {
                let is_active = Some(segment.base()) == active;
                if !is_active || all {
                    segment.close();
                }
            }
        }
    }

    /// More files are open than may be for long, or none can be opened any more.
    pub(super) fn give_files_back(&mut self) {
        if self.gave_files_back.is_none_or(|before| before.elapsed() >= GIVE_BACK) {
            self.gave_files_back = Some(Instant::now());
            self.close_idle_files(true);
        }
    }

    /// Where something was refused and nobody tries again, it is tried here.
    fn look_whether_it_takes(&mut self) {
        let often = Duration::from_millis(self.shared.settings.look_again_ms);
        let is_due = |since: Duration| since >= often;
        if self.read_only.is_some() || !self.shared.troubles.refused_before().is_some_and(is_due) {
            return;
        }
        match self.ballast.hold().and_then(|()| staged::probe(&*self.shared.disk)) {
            Ok(()) => self.shared.troubles.takes(),
            // It is looked again so much later.
            Err(error) => {
                self.shared.troubles.refused(&Failure::refused("the log directory", &error), 0);
            }
        }
    }

    fn has_changed(&self) -> bool {
        self.has_unsaved() || !self.rolled.is_empty()
    }

    /// The same without what a checkpoint makes way for: the next start finds that again.
    fn has_unsaved(&self) -> bool {
        self.since.inline > 0
            || self.owes_checkpoint
            || !self.removals.is_empty()
            || !self.emptied.is_empty()
            || !self.sealed.is_empty()
    }

    fn start_checkpoint(&mut self, now: Moment) {
        for tail in self.tails.iter_mut() {
            tail.producers.expire(now, PRODUCER_EXPIRATION_MS);
        }
        self.bound_producers();
        let job = self.checkpoint_job(false);
        let syncing = job.dirty.len() + job.sealed.len();
        self.since = Since { running: true, syncing, ..Since::now() };
        // Without a keeper the log is being closed, which writes a checkpoint itself.
        let _ = self.helpers.keeper.send(Job::Checkpoint(job));
    }

    /// Where all partitions remember more producers than they may, forgets those that were silent for
    /// longest.
    pub(super) fn bound_producers(&mut self) {
        let most = self.shared.settings.producers;
        if self.producers <= most {
            return;
        }
        self.count_producers();
        if self.producers <= most {
            return;
        }
        let silent = |tail: &Tail| {
            let slot = tail.partition.slot;
            tail.producers.silent().map(move |(heard, id)| (heard, slot, id)).collect::<Vec<_>>()
        };
        let all: Vec<_> = self.tails.iter().flat_map(silent).collect();
        for (_, slot, id) in longest_silent(all, self.producers, most) {
            if let Some(tail) = self.tails.get_mut(slot) {
                tail.producers.forget(id);
            }
        }
        self.count_producers();
    }

    fn count_producers(&mut self) {
        self.producers = self.tails.iter_mut().map(|tail| tail.count_producers().1).sum();
    }

    /// What a start reads, of partitions in these states.
    fn checkpoint(&self, clean: bool, partitions: Vec<PartitionState>) -> Checkpoint {
        Checkpoint {
            format: checkpoint::FORMAT,
            epoch: self.epoch,
            raised: self.epoch,
            sequence: self.sequence,
            salt: self.salt,
            clean,
            journal: true,
            partitions,
        }
    }

    fn checkpoint_job(&mut self, clean: bool) -> CheckpointJob {
        self.note_replaceable(clean);
        let partitions = self
            .tails
            .iter()
            .filter(|tail| tail.end > 0 && !tail.partition.is_deleted())
            .map(Tail::state)
            .collect();
        // It does not name them any more.
        let emptied = self.emptied.drain(..).map(Removal::Segment);
        self.removals.extend(emptied.map(|removal| (self.sequence, removal)));
        for segment in &self.dirty {
            segment.dirty.store(false, Ordering::Relaxed);
        }
        CheckpointJob {
            checkpoint: self.checkpoint(clean, partitions),
            dirty: std::mem::take(&mut self.dirty),
            sealed: std::mem::take(&mut self.sealed),
            lost: Arc::clone(&self.shared.lost),
        }
    }

    /// Decides what may be compacted when the checkpoint has passed, and puts it down in it:
    /// from then on segments before that may be smaller, or missing.
    fn note_replaceable(&mut self, clean: bool) {
        let active = |slot: &Slot| Some(self.tails.get(*slot)?.active.as_ref()?.base());
        let rolled = self.rolled.iter().filter(|_| !clean);
        self.compactable =
            rolled.filter_map(|slot| active(slot).map(|base| (*slot, base))).collect();
        self.rolled.clear();
        for tail in self.tails.iter_mut() {
            let slot = tail.partition.slot;
            if let Some(base) = self.compactable.get(&slot) {
                tail.replaceable = *base;
            } else if !self.compacting.contains_key(&slot) {
                tail.replaceable = 0;
            }
        }
    }

    fn take_outcome(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Checkpoint(outcome) => self.passed(outcome),
            Outcome::Compacted(slot, replaced) => self.replace_segment(slot, &replaced),
            Outcome::CompactionEnded(slot, ending) => self.compaction_ended(slot, ending),
            Outcome::AgesRead(slot, are_read) => self.ages_read(slot, are_read),
            Outcome::Times(count) => {
                self.times = if count > 0 { Times::Read } else { Times::Idle };
            }
        }
    }

    /// A checkpoint is durable, or failed.
    fn passed(&mut self, outcome: CheckpointOutcome) {
        (self.since.running, self.since.syncing) = (false, 0);
        for (segment, damage) in outcome.damaged {
            // Its topic was on its way out, and came back; or it is an index that cannot be written,
            // which is made again. One that is complete must end behind its last batch.
            let is_sealed = outcome.sealed.iter().any(|one| Arc::ptr_eq(one, &segment));
            match self.shared.disk.open(&segment.path(), Mode::Read).and_then(|file| file.len()) {
                Err(error) if is_unreadable(&error) => {}
                Ok(length) if is_sealed && length != segment.size() => {}
                Ok(_) | Err(_) => continue,
            }
            // Its directory may be that of another topic by now.
            let is_its = |tail: &&Tail| {
                tail.partition.segments().iter().any(|one| Arc::ptr_eq(one, &segment))
            };
            if let Some(tail) = self.tails.iter().find(is_its) {
                self.shared.take_offline(&tail.partition, damage);
            }
        }
        let compactable = std::mem::take(&mut self.compactable);
        match outcome.result {
            // The rename may have been dropped: the next start may need what it passed.
            Ok(_) if self.read_only.is_some() => {}
            Ok(sequence) => {
                self.owes_checkpoint = false;
                self.checkpoint_pause.succeeded();
                self.shared.troubles.checkpoint_written();
                self.closed = None;
                for segment in outcome.dirty.iter().chain(&outcome.sealed) {
                    if !segment.dirty.load(Ordering::Relaxed) {
                        segment.synced();
                    }
                }
                self.remove_passed(sequence);
                self.start_compactions(&compactable);
                if let Err(error) = self.journal.passed(sequence) {
                    tracing::warn!(%error, "a file of the journal could not be used again");
                }
            }
            Err(Failure::Lost(reason)) => self.lose(reason),
            Err(failure @ (Failure::Full | Failure::Refused(_))) => {
                self.owes_checkpoint = true;
                let first = Duration::from_millis(self.shared.settings.checkpoint_retry_ms);
                self.checkpoint_pause.failed(Instant::now(), first);
                self.shared.troubles.checkpoint_failed(&failure);
                tracing::warn!(%failure, "no checkpoint could be written; the next is tried");
                // One that was appended to meanwhile is on the list already.
                let is_new = |one: &Arc<Segment>| !one.dirty.swap(true, Ordering::Relaxed);
                self.dirty.extend(outcome.dirty.into_iter().filter(is_new));
                self.sealed.extend(outcome.sealed);
                self.rolled.extend(compactable.into_keys());
                if matches!(failure, Failure::Full) {
                    self.ballast.release();
                }
            }
        }
    }

    /// Nobody can say what is durable any more.
    pub(super) fn lose(&mut self, reason: String) {
        self.shared.lost.set();
        if self.read_only.is_none() {
            self.shared.troubles.read_only(&reason);
            tracing::error!(reason, "the log is read-only until the process starts again");
            self.read_only = Some(reason);
        }
    }

    fn remove_passed(&mut self, sequence: u64) {
        if self.is_held() {
            return;
        }
        while self.removals.front().is_some_and(|(at, _)| *at <= sequence) {
            let Some((_, removal)) = self.removals.pop_front() else { return };
            let disk = &*self.shared.disk;
            let removed = match &removal {
                Removal::Segment(stem) => segment::remove(disk, stem),
                Removal::Dir(dir) => disk.remove_dir(dir),
            };
            if let Err(error) = removed {
                tracing::warn!(%error, ?removal, "could not remove; the next start does");
            }
        }
    }

    /// What a copy of the log is to have, all of it as it is now. Until that is dropped files stay.
    pub(super) fn held(&self) -> Held {
        let tails = || self.tails.iter().filter(|tail| tail.end > 0);
        let state = |tail: &Tail| {
            let state = tail.state();
            // Nothing of it will have been replaced; what is frozen is as it was.
            if tail.partition.offline().is_some() {
                return state;
            }
            PartitionState { replaceable: 0, emptied: false, ..state }
        };
        let partition = |tail: &Tail| {
            let with_size = |one: &Arc<Segment>| (Arc::clone(one), one.size());
            let segments = tail.partition.segments().iter().map(with_size).collect();
            let (topic, partition) = (tail.topic.id(), Arc::clone(&tail.partition));
            HeldPartition { topic, partition, segments }
        };
        // No journal is copied.
        let checkpoint = self.checkpoint(true, tails().map(state).collect());
        Held {
            checkpoint: Checkpoint { journal: false, ..checkpoint },
            partitions: tails().map(partition).collect(),
            hold: Arc::clone(&self.hold),
        }
    }

    /// Whether a copy is being made.
    pub(super) fn is_held(&self) -> bool {
        Arc::strong_count(&self.hold) > 1
    }

    /// Says durably that the log is not closed any more, before anything in it is changed.
    pub(super) fn begin(&mut self) -> Result<(), Failure> {
        // A checkpoint says so too, and is written to the same file.
        while self.closed.is_some() && self.since.running {
            if !self.wait_for_outcome() {
                return Err(Failure::Refused("the keeper has ended".to_owned()));
            }
        }
        let Some(checkpoint) = &self.closed else { return Ok(()) };
        checkpoint.write_behind(&*self.shared.disk, &self.shared.lost)?;
        self.closed = None;
        Ok(())
    }

    /// The last checkpoint: the next start has nothing to recover.
    pub(super) fn close(mut self) {
        self.stop_compactions();
        // The keeper must not replace the last checkpoint by an older one.
        while self.since.running || !self.compacting.is_empty() {
            if !self.wait_for_outcome() {
                break;
            }
        }
        if self.read_only.is_some() {
            return;
        }
        if self.closed.is_some() && !self.has_unsaved() {
            tracing::info!("closed the log, which is as it was");
            return;
        }
        let outcome = self.checkpoint_job(true).carry_out(&*self.shared.disk, &|| true);
        match outcome.result {
            Ok(sequence) => {
                self.remove_passed(sequence);
                if let Err(error) = self.journal.end() {
                    tracing::warn!(%error, "the journal keeps more files than it needs");
                }
                tracing::info!(sequence, "closed the log");
            }
            Err(failure) => tracing::error!(%failure, "the next start has to recover the log"),
        }
    }
}
