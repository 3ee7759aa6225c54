//! What the appender sees to between groups: checkpoints, what they allow to be removed
//! or compacted, retention, and the last checkpoint of all.
//!
//! What holds: nothing is removed before a checkpoint has passed every frame that names
//! it; while a checkpoint is being written (by the keeper), groups go on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Appender, Failure, Tail};
use crate::clock::now_millis;
use crate::log::checkpoint::Checkpoint;
use crate::log::compaction::{CompactionJob, Replaced};
use crate::log::keeper::{CheckpointJob, CheckpointOutcome, Job, Outcome};
use crate::log::segment;
use crate::log::settings::LogSettings;
use crate::log::watermarks::Slot;

/// On a full disk checkpoints come as often, at most.
const FULL_RETRY_MS: i64 = 1000;

/// A producer that was silent so long is forgotten: `producer.id.expiration.ms`.
const PRODUCER_EXPIRATION_MS: i64 = 24 * 3600 * 1000;

/// Behind the last checkpoint, in bytes and since when.
#[derive(Debug, Default)]
pub(super) struct Since {
    pub(super) inline: u64,
    pub(super) reference: u64,
    pub(super) time: i64,
    /// A checkpoint is being written.
    pub(super) running: bool,
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
    pub(super) fn keep_house(&mut self, now: i64) {
        while let Ok(outcome) = self.outcomes.try_recv() {
            self.take_outcome(outcome);
        }
        let settings = &self.shared.settings;
        let every = i64::try_from(settings.retention_check_ms).unwrap_or(i64::MAX);
        if now - self.retained >= every {
            self.retained = now;
            self.retain(now);
            self.close_idle_files();
        }
        let settings = &self.shared.settings;
        let every = i64::try_from(settings.checkpoint_ms).unwrap_or(i64::MAX);
        let due = self.since.inline >= settings.checkpoint_inline_bytes
            || self.since.reference >= settings.checkpoint_reference_bytes
            || (now - self.since.time >= every && self.has_changed())
            // A checkpoint gives files of the journal back.
            || (self.full && now - self.since.time >= FULL_RETRY_MS && self.has_changed());
        if due && !self.since.running && self.read_only.is_none() {
            self.start_checkpoint(now);
        }
        // The journal must not outgrow its bound because the keeper is slow.
        while self.since.running && self.since.inline >= journal_bound(&self.shared.settings) {
            let Ok(outcome) = self.outcomes.recv() else { return };
            self.take_outcome(outcome);
        }
    }

    /// Who still reads a sealed segment opens it again.
    fn close_idle_files(&self) {
        for tail in &self.tails {
            let active = tail.active.as_ref().map(|segment| segment.base());
            for segment in tail.partition.segments() {
                if Some(segment.base()) != active && !segment.is_retired() {
                    segment.close();
                }
            }
        }
    }

    fn has_changed(&self) -> bool {
        self.since.inline > 0 || !self.removals.is_empty() || !self.sealed.is_empty()
    }

    fn start_checkpoint(&mut self, now: i64) {
        for tail in &mut self.tails {
            tail.producers.expire(now - PRODUCER_EXPIRATION_MS);
        }
        let job = self.checkpoint_job(false);
        self.since = Since { time: now, running: true, ..Since::default() };
        // Without a keeper the log is being closed, which writes a checkpoint itself.
        let _ = self.keeper.send(Job::Checkpoint(job));
    }

    fn checkpoint_job(&mut self, clean: bool) -> CheckpointJob {
        let active = |slot: &Slot| self.tails[slot.0].active.as_ref().map(|one| one.base());
        self.compactable =
            self.rolled.iter().filter_map(|slot| active(slot).map(|base| (*slot, base))).collect();
        self.rolled.clear();
        let partitions = self
            .tails
            .iter()
            .filter(|tail| tail.end > 0 && !tail.partition.is_deleted())
            .map(Tail::state)
            .collect();
        for segment in &self.dirty {
            segment.dirty.store(false, Ordering::Relaxed);
        }
        CheckpointJob {
            checkpoint: Checkpoint {
                epoch: self.epoch,
                raised: self.epoch,
                sequence: self.sequence,
                salt: self.salt,
                clean,
                partitions,
            },
            dirty: std::mem::take(&mut self.dirty),
            sealed: std::mem::take(&mut self.sealed),
        }
    }

    fn take_outcome(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Checkpoint(outcome) => self.passed(outcome),
            Outcome::Compaction(slot, replaced) => self.compacted(slot, replaced),
        }
    }

    /// A checkpoint is durable, or failed.
    fn passed(&mut self, outcome: CheckpointOutcome) {
        self.since.running = false;
        let compactable = std::mem::take(&mut self.compactable);
        match outcome.result {
            Ok(sequence) => {
                self.remove_passed(sequence);
                self.start_compactions(&compactable);
                if let Err(error) = self.journal.passed(sequence) {
                    tracing::warn!(%error, "a file of the journal could not be used again");
                }
            }
            Err(Failure::Lost(reason)) => self.lose(reason),
            Err(failure @ (Failure::Full | Failure::Refused(_))) => {
                tracing::warn!(%failure, "no checkpoint could be written; the next is tried");
                for segment in &outcome.dirty {
                    segment.dirty.store(true, Ordering::Relaxed);
                }
                self.dirty.extend(outcome.dirty);
                self.sealed.extend(outcome.sealed);
                self.rolled.extend(compactable.into_keys());
                if matches!(failure, Failure::Full) {
                    self.ballast.release();
                }
            }
        }
    }

    /// Of partitions that were rolled before the checkpoint, what was sealed then.
    fn start_compactions(&mut self, compactable: &BTreeMap<Slot, i64>) {
        let now = now_millis();
        for (slot, before) in compactable {
            let tail = &self.tails[slot.0];
            let job = CompactionJob {
                slot: *slot,
                dir: tail.partition.dir.clone(),
                segments: tail.partition.segments(),
                before: *before,
                tombstones_before: now - tail.topic.config().delete_retention_ms,
                interval: self.shared.settings.index_interval_bytes,
            };
            if self.keeper.send(Job::Compaction(job)).is_ok() {
                self.compacting += 1;
            }
        }
    }

    /// Puts compacted segments in their places.
    fn compacted(&mut self, slot: Slot, replaced: Vec<Replaced>) {
        self.compacting -= 1;
        self.tails[slot.0].partition.change(|segments| {
            for Replaced { old, new } in replaced {
                if let Some(at) = segments.iter().position(|one| Arc::ptr_eq(one, &old)) {
                    segments.splice(at..=at, new);
                }
            }
        });
    }

    /// Nobody can say what is durable any more.
    pub(super) fn lose(&mut self, reason: String) {
        if self.read_only.is_none() {
            tracing::error!(reason, "the log is read-only until the process starts again");
            self.read_only = Some(reason);
        }
    }

    fn remove_passed(&mut self, sequence: u64) {
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

    /// The last checkpoint: the next start has nothing to recover.
    pub(super) fn close(mut self) {
        // The keeper must not replace the last checkpoint by an older one.
        while self.since.running || self.compacting > 0 {
            let Ok(outcome) = self.outcomes.recv() else { break };
            self.take_outcome(outcome);
        }
        if self.read_only.is_some() {
            return;
        }
        let outcome = self.checkpoint_job(true).carry_out(&*self.shared.disk);
        match outcome.result {
            Ok(sequence) => {
                self.remove_passed(sequence);
                if let Err(error) = self.journal.shrink() {
                    tracing::warn!(%error, "the journal keeps its files");
                }
                tracing::info!(sequence, "closed the log");
            }
            Err(failure) => tracing::error!(%failure, "the next start has to recover the log"),
        }
    }
}
