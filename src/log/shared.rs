//! What the handles of the log, its appender and its keeper have in common.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use tokio::sync::Semaphore;

use super::buffers::Buffers;
use super::catalog::Catalog;
use super::damage::{Damage, Findings};
use super::partition::Partition;
use super::queue::Queue;
use super::settings::LogSettings;
use super::staged::StagedNumbers;
use super::trouble::Troubles;
use super::watermarks::Watermarks;
use crate::disk::{Directory, Disk, was_not_begun};
use crate::record::Spares;

/// As many look for times at once: each may inflate a batch.
const LOOKUPS: usize = 4;

/// As many wait for the disk at once to read: each has a buffer, and a thread of the pool.
const COLD_READS: usize = 32;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) settings: LogSettings,
    pub(super) watermarks: Watermarks,
    pub(super) queue: Queue,
    pub(super) buffers: Buffers,
    /// Who may look for times at once.
    pub(super) lookups: Arc<Semaphore>,
    /// Who may wait for the disk at once to read.
    pub(super) cold_reads: Arc<Semaphore>,
    pub(super) staged: StagedNumbers,
    /// Buffers between the appender, which has done with them, and who makes batches.
    pub(super) spares: Spares,
    pub(super) cluster: String,
    pub(super) findings: Findings,
    pub(super) troubles: Troubles,
    catalog: RwLock<Catalog>,
    /// The thread of the log that panicked.
    broken: OnceLock<&'static str>,
    /// A sync failed. It may have dropped what others wrote, whose own sync then comes back
    /// well: from then on no frame and no checkpoint is written.
    pub(super) lost: Arc<Lost>,
}

/// Whether a sync failed.
#[derive(Debug, Default)]
pub(super) struct Lost {
    failed: AtomicBool,
    /// Who syncs a directory: each has one of these, by its path.
    names: [Mutex<()>; TURNS],
}

/// So many directories may be synced at once.
const TURNS: usize = 32;

impl Lost {
    pub(super) fn is_set(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    pub(super) fn set(&self) {
        self.failed.store(true, Ordering::Release);
    }

    /// Syncs something that two threads may sync, one at a time: whoever comes behind a sync that
    /// failed, and may have dropped what was its own, finds this set.
    pub(super) fn sync(
        &self,
        turn: &Mutex<()>,
        sync: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        let synced = sync();
        if synced.as_ref().is_err_and(|error| !was_not_begun(error)) {
            self.set();
        }
        synced
    }

    /// Syncs the log directory.
    pub(super) fn sync_root(&self, disk: &dyn Disk) -> io::Result<()> {
        self.sync_dir(disk, "")
    }

    /// Syncs a directory, one thread at a time as [`sync`](Self::sync) does. Of one that is not
    /// there, or cannot be opened, no sync failed. A failed sync drops the names of that directory
    /// only: files come to one by a rename from directories that nobody syncs.
    pub(super) fn sync_dir(&self, disk: &dyn Disk, dir: &str) -> io::Result<()> {
        self.sync(self.turn(dir), || disk.sync_dir(dir))
    }

    /// The same of a directory of this path that is open.
    pub(super) fn sync_opened(&self, path: &str, dir: &Directory) -> io::Result<()> {
        self.sync(self.turn(path), || dir.sync())
    }

    fn turn(&self, dir: &str) -> &Mutex<()> {
        let mut hasher = DefaultHasher::new();
        dir.hash(&mut hasher);
        let at = usize::try_from(hasher.finish() % TURNS as u64).unwrap_or(0);
        &self.names[at]
    }
}

impl Shared {
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        settings: LogSettings,
        watermarks: Watermarks,
        catalog: Catalog,
        epoch: u64,
        cluster: String,
    ) -> Self {
        Self {
            disk,
            watermarks,
            queue: Queue::new(settings.queue_bytes),
            buffers: Buffers::default(),
            lookups: Arc::new(Semaphore::new(LOOKUPS)),
            cold_reads: Arc::new(Semaphore::new(COLD_READS)),
            settings,
            staged: StagedNumbers::of(epoch),
            spares: Spares::default(),
            cluster,
            findings: Findings::default(),
            troubles: Troubles::default(),
            catalog: RwLock::new(catalog),
            broken: OnceLock::new(),
            lost: Arc::default(),
        }
    }

    /// Why nothing is taken any more, if a thread of the log panicked.
    pub(super) fn broken(&self) -> Option<String> {
        self.broken.get().map(|name| broken_by(name))
    }

    /// Takes a partition offline that is damaged, and tells whoever waits for it.
    pub(super) fn take_offline(&self, partition: &Partition, damage: Damage) {
        if !partition.is_deleted() && partition.take_offline(damage) {
            self.report_offline(partition);
            self.watermarks.wake(&[partition.slot]);
        }
    }

    /// Lists a partition that is offline.
    pub(super) fn report_offline(&self, partition: &Partition) {
        if let Some(damage) = partition.offline() {
            self.findings.report(&partition.dir, damage);
        }
    }

    /// Looks into the catalog.
    pub(super) fn catalog<T>(&self, look: impl FnOnce(&Catalog) -> T) -> T {
        look(&self.catalog.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the catalog; only the appender does.
    pub(super) fn change_catalog<T>(&self, change: impl FnOnce(&mut Catalog) -> T) -> T {
        change(&mut self.catalog.write().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What is told when a thread of this name panicked.
pub(super) fn broken_by(name: &str) -> String {
    format!("an error in the program ended the task \"{name}\"")
}

/// Held by a thread of the log while it works. If it panics nobody waits for it in vain: the
/// appender makes the log read-only when another one did; when it did itself, what waits is
/// answered.
#[derive(Debug)]
pub(super) struct Guard {
    pub(super) shared: Arc<Shared>,
    pub(super) name: &'static str,
    pub(super) is_appender: bool,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.shared.broken.set(self.name); // the first counts
            if self.is_appender {
                self.shared.queue.abandon();
            }
        }
    }
}
