//! A transaction too large for a group, in segment files of its own until its end.
//!
//! Owns: the files under `staged/`. In: the batches of one partition each, in order. Out:
//! files that the appender makes segments by a rename.
//!
//! What holds: batches in a staged file have offsets from 0; the appender adds the real
//! base, which their CRCs do not cover. A file that no frame names is deleted: at abort,
//! when its transaction is dropped, or at the next start.
//!
//! Format: a segment, `staged/<epoch of the log, 10 digits>-<10 digits>.log`.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::appender::time_of_append;
use super::index::Mark;
use super::topic::Topic;
use crate::disk::{Disk, File, Mode};
use crate::record::Batch;

pub(super) const DIR: &str = "staged";

/// Gives staged files numbers that no frame ever named.
#[derive(Debug)]
pub(super) struct StagedNumbers(AtomicU64);

impl StagedNumbers {
    /// Numbers of a process with this epoch.
    pub(super) fn of(epoch: u64) -> Self {
        Self(AtomicU64::new(epoch << 32))
    }

    fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// The path of a staged file.
pub(super) fn path(number: u64) -> String {
    format!("{DIR}/{:010}-{:010}.log", number >> 32, number & 0xffff_ffff)
}

/// Whether a file can be made and written, which is then removed. Fails as that fails.
pub(super) fn probe(disk: &dyn Disk) -> io::Result<()> {
    static BYTES: [u8; 64 << 10] = [0; 64 << 10];
    let path = format!("{DIR}/probe");
    disk.create_dir(DIR)?;
    let written = disk.open(&path, Mode::Create).and_then(|file| file.write_at(&BYTES, 0));
    disk.remove_file(&path)?;
    written
}

/// Where a batch lies in a staged file.
#[derive(Clone, Copy, Debug)]
struct Place {
    position: u64,
    size: u64,
    /// From the first record of the file.
    first: i64,
    last: i64,
    timestamp: i64,
}

/// One staged file. It is deleted with this, unless it became a segment.
#[derive(Debug)]
pub(super) struct StagedFile {
    disk: Arc<dyn Disk>,
    pub(super) number: u64,
    file: File,
    pub(super) size: u64,
    /// How many offsets its records take.
    pub(super) offsets: i64,
    /// The time of its last append.
    pub(super) time: i64,
    places: Vec<Place>,
    adopted: bool,
}

impl StagedFile {
    fn create(disk: &Arc<dyn Disk>, numbers: &StagedNumbers) -> io::Result<Self> {
        let number = numbers.next();
        disk.create_dir(DIR)?;
        let file = disk.open(&path(number), Mode::Create)?;
        Ok(Self {
            disk: Arc::clone(disk),
            number,
            file,
            size: 0,
            offsets: 0,
            time: 0,
            places: Vec::new(),
            adopted: false,
        })
    }

    fn append(&mut self, mut batch: Batch, now: i64) -> io::Result<()> {
        self.time = time_of_append(now, self.time);
        batch.set_base_offset(self.offsets);
        batch.seal(self.time);
        self.file.write_at(batch.as_bytes(), self.size)?;
        let last = self.offsets + i64::from(batch.count()) - 1;
        self.places.push(Place {
            position: self.size,
            size: batch.len() as u64,
            first: self.offsets,
            last,
            timestamp: self.time,
        });
        self.size += batch.len() as u64;
        self.offsets = last + 1;
        Ok(())
    }

    /// Makes its bytes durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    /// Writes the real offsets into the heads and syncs.
    pub(super) fn set_base(&self, base: i64) -> io::Result<()> {
        for place in &self.places {
            self.file.write_at(&(base + place.first).to_be_bytes(), place.position)?;
        }
        self.file.sync()
    }

    /// Gives it its name as a segment.
    pub(super) fn adopt(&mut self, to: &str) -> io::Result<()> {
        self.disk.rename(&path(self.number), to)?;
        self.adopted = true;
        Ok(())
    }

    /// What an index has to know, once the first record has offset `base`.
    pub(super) fn marks(&self, base: i64) -> Vec<Mark> {
        let mark = |place: &Place| Mark {
            position: place.position,
            size: place.size,
            last_offset: base + place.last,
            max_timestamp: place.timestamp,
        };
        self.places.iter().map(mark).collect()
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        if !self.adopted
            && let Err(error) = self.disk.remove_file(&path(self.number))
        {
            tracing::warn!(%error, path = path(self.number), "a staged file stays until restart");
        }
    }
}

/// The staged files of one partition, in their order.
#[derive(Debug)]
pub(super) struct StagedPart {
    pub(super) topic: Arc<Topic>,
    pub(super) partition: i32,
    pub(super) files: Vec<StagedFile>,
}

impl StagedPart {
    pub(super) fn new(topic: Arc<Topic>, partition: i32) -> Self {
        Self { topic, partition, files: Vec::new() }
    }

    /// Appends a batch, to a new file where a segment would be rolled.
    pub(super) fn append(
        &mut self,
        batch: Batch,
        now: i64,
        disk: &Arc<dyn Disk>,
        numbers: &StagedNumbers,
    ) -> io::Result<()> {
        let limit = self.topic.config().segment_bytes;
        let full = |file: &StagedFile| file.size > 0 && file.size + batch.len() as u64 > limit;
        if self.files.last().is_none_or(full) {
            let mut file = StagedFile::create(disk, numbers)?;
            file.time = self.files.last().map_or(0, |last| last.time);
            self.files.push(file);
        }
        let Some(file) = self.files.last_mut() else { return Ok(()) };
        file.append(batch, now)
    }
}
