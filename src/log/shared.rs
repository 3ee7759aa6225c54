//! What the handles of the log, its appender and its keeper have in common.

use std::sync::{Arc, PoisonError, RwLock};

use super::catalog::Catalog;
use super::findings::Findings;
use super::queue::Queue;
use super::settings::LogSettings;
use super::staged::StagedNumbers;
use super::watermarks::Watermarks;
use crate::disk::Disk;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) settings: LogSettings,
    pub(super) watermarks: Watermarks,
    pub(super) queue: Queue,
    pub(super) staged: StagedNumbers,
    pub(super) cluster: String,
    pub(super) findings: Findings,
    catalog: RwLock<Catalog>,
}

impl Shared {
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        settings: LogSettings,
        watermarks: Watermarks,
        catalog: Catalog,
        epoch: u64,
        cluster: String,
        findings: Findings,
    ) -> Self {
        Self {
            disk,
            watermarks,
            queue: Queue::new(settings.queue_bytes),
            settings,
            staged: StagedNumbers::of(epoch),
            cluster,
            findings,
            catalog: RwLock::new(catalog),
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
