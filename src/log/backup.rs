//! A copy of the log, made while it goes on, that opens as a log of its own.
//!
//! In: what holds between two groups ([`Held`], of the appender), and an empty disk. Out, on that
//! disk: the committed bytes of all segments, indexes made anew, and last of all a checkpoint that
//! says that the log was closed.
//!
//! What holds: all of it is as of one moment, so it has everything that was acknowledged before,
//! and of each group all or nothing. While it is held no file is removed or replaced; at most its
//! directory gets the name of one on its way out. Batches are copied only if their checksums are
//! right; the files of a partition that is offline, or is found damaged now, are copied as they are.
//! What of those cannot be read is left out, counted and named, and keeps nothing else from being
//! copied; only without the metadata topic there is no copy. One that was broken off has no
//! checkpoint: no start takes it for a log.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::catalog::METADATA_ID;
use super::checkpoint::{Checkpoint, PartitionState};
use super::damage::Damage;
use super::error::BackupError;
use super::index::{Index, Mark};
use super::partition::Partition;
use super::place;
use super::scan;
use super::segment::{Segment, log_path, stem};
use super::shared::Shared;
use crate::disk::{Disk, File, Mode, is_unreadable};

/// How much is written at once, or one batch more.
const PIECE: u64 = 1 << 20;
/// What a medium fails to read at once, at least.
const BLOCK: usize = 4096;
/// How often a file is looked for whose directory is being renamed, and how long between.
const TRIES: usize = 1000;
const PAUSE: Duration = Duration::from_millis(1);
/// What a lock leaves in a directory.
const LOCK: &str = ".lock";

/// What is to be copied, as it was between two groups.
#[derive(Debug)]
pub(super) struct Held {
    /// It says that the log is closed.
    pub(super) checkpoint: Checkpoint,
    pub(super) partitions: Vec<HeldPartition>,
    /// As long as there is one of these, files stay.
    pub(super) hold: Arc<()>,
}

#[derive(Debug)]
pub(super) struct HeldPartition {
    pub(super) topic: Uuid,
    pub(super) partition: Arc<Partition>,
    /// With their committed bytes.
    pub(super) segments: Vec<(Arc<Segment>, u64)>,
}

/// What a copy has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backup {
    /// How many partitions that have records.
    pub partitions: usize,
    /// How many of them are offline: their files were copied as they are.
    pub offline: usize,
    /// Bytes of records.
    pub bytes: u64,
    /// Files of those of which not all could be read: the rest of them is in the copy.
    pub lacking: Vec<String>,
}

/// Copies what is held to an empty disk. Blocking.
pub(super) fn copy(shared: &Shared, held: &Held, to: &dyn Disk) -> Result<Backup, BackupError> {
    let Held { checkpoint, partitions, hold } = held;
    let _until_the_end = Arc::clone(hold);
    let root = |source| BackupError::Write { place: "the directory".to_owned(), source };
    if to.list("").map_err(root)?.iter().any(|entry| entry.name != LOCK) {
        return Err(BackupError::NotEmpty);
    }
    let _lock = to.lock().map_err(root)?;
    let all = partitions.iter().flat_map(|one| &one.segments);
    let (needed, free) = (all.map(|(_, size)| size).sum(), to.space().map_err(root)?.free);
    if free < needed {
        return Err(BackupError::NoRoom { needed, free });
    }
    let mut backup = Backup { partitions: partitions.len(), bytes: needed, ..Backup::default() };
    let mut checkpoint = checkpoint.clone();
    for held in partitions {
        let dir = &held.partition.dir;
        let write = |source| BackupError::Write { place: dir.clone(), source };
        to.create_dir(dir).map_err(write)?;
        let copied = match held.partition.offline() {
            Some(_) => Copied::Damaged,
            None => copy_partition(shared, held, to)?,
        };
        if copied == Copied::Damaged {
            backup.offline += 1;
            copy_as_it_is(shared, held, to, &mut backup.lacking)?;
            // Who opens the copy looks there.
            let number = held.partition.number;
            let mut states = checkpoint.partitions.iter_mut();
            let is_its = |state: &&mut PartitionState| {
                state.topic == held.topic && state.partition == number
            };
            if let Some(state) = states.find(is_its) {
                let damage = held.partition.offline();
                state.damaged = state.damaged.or(damage.map(|damage| damage.segment));
            }
        }
        to.sync_dir(dir).map_err(write)?;
    }
    to.sync_dir("").map_err(root)?;
    checkpoint.write(to).map_err(root)?;
    Ok(backup)
}

/// Whether a partition was copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Copied {
    Whole,
    /// Something of it cannot be read.
    Damaged,
}

fn copy_partition(
    shared: &Shared,
    held: &HeldPartition,
    to: &dyn Disk,
) -> Result<Copied, BackupError> {
    let dir = &held.partition.dir;
    let write = |source| BackupError::Write { place: dir.clone(), source };
    place::set_owner(to, dir, held.topic).map_err(write)?;
    for (at, (segment, size)) in held.segments.iter().enumerate() {
        let sealed = at + 1 < held.segments.len();
        match copy_segment(shared, held, (segment, *size, sealed), to) {
            Err(BackupError::Read { source, .. })
                if is_unreadable(&source) && held.topic != METADATA_ID =>
            {
                return Ok(Copied::Damaged);
            }
            copied => copied?,
        }
    }
    Ok(Copied::Whole)
}

fn copy_segment(
    shared: &Shared,
    held: &HeldPartition,
    (segment, size, sealed): (&Arc<Segment>, u64, bool),
    to: &dyn Disk,
) -> Result<(), BackupError> {
    let dir = &held.partition.dir;
    let read = |source: io::Error| {
        if is_unreadable(&source) && !segment.is_retired() {
            shared.take_offline(&held.partition, Damage::of(segment, &source));
        }
        BackupError::Read { place: segment.path(), source }
    };
    let stem = stem(dir, segment.base());
    let write = |source| BackupError::Write { place: log_path(&stem), source };
    let from = open(shared, held, segment).map_err(read)?;
    let file = to.open(&log_path(&stem), Mode::Create).map_err(write)?;
    let mut index = Index::new(segment.base(), shared.settings.index_interval_bytes);
    let (mut piece, mut begin) = (Vec::new(), 0);
    scan::each_batch(&from, size, read, |position, batch| {
        if shared.queue.is_closed() {
            return Err(BackupError::Stopping);
        }
        index.note(Mark::of(position, batch.head()));
        piece.extend_from_slice(batch.as_bytes());
        let end = position + batch.as_bytes().len() as u64;
        if end - begin >= PIECE || end == size {
            file.write_at(&piece, begin).map_err(write)?;
            piece.clear();
            begin = end;
        }
        Ok(true)
    })?;
    file.sync().map_err(write)?;
    index.write(to, &stem, sealed).map_err(write)
}

/// The file of a segment, wherever its directory is by now. It may have left its partition, and its
/// path be that of another topic's: a deletion is known before the directory gets its other name.
fn open(shared: &Shared, held: &HeldPartition, segment: &Segment) -> io::Result<File> {
    let leaving = place::leaving(held.topic, held.partition.number);
    let mut tries = 0;
    loop {
        let deleted = held.partition.is_deleted();
        let path = if deleted { log_path(&stem(&leaving, segment.base())) } else { segment.path() };
        match shared.disk.open(&path, Mode::Read) {
            Ok(file) if deleted || !held.partition.is_deleted() => return Ok(file),
            Err(error) if error.kind() != io::ErrorKind::NotFound || tries == TRIES => {
                return Err(error);
            }
            // On its way out, or back.
            Ok(_) | Err(_) => {}
        }
        tries += 1;
        std::thread::sleep(PAUSE);
    }
}

/// Copies the files of a partition that is damaged. `lacking` gets those that are not whole.
fn copy_as_it_is(
    shared: &Shared,
    held: &HeldPartition,
    to: &dyn Disk,
    lacking: &mut Vec<String>,
) -> Result<(), BackupError> {
    let dir = &held.partition.dir;
    let from = if held.partition.is_deleted() {
        place::leaving(held.topic, held.partition.number)
    } else {
        dir.clone()
    };
    let entries = match shared.disk.list(&from) {
        Err(error) if is_unreadable(&error) => {
            lacking.push(from);
            return Ok(());
        }
        entries => entries.map_err(|source| BackupError::Read { place: from.clone(), source })?,
    };
    for entry in entries.into_iter().filter(|one| !one.is_dir) {
        let path = format!("{from}/{}", entry.name);
        let read = |source| BackupError::Read { place: path.clone(), source };
        let write = |source| BackupError::Write { place: dir.clone(), source };
        let opened = shared.disk.open(&path, Mode::Read).and_then(|file| {
            let size = file.len()?;
            Ok((file, size))
        });
        let (file, size) = match opened {
            Err(error) if is_unreadable(&error) => {
                lacking.push(path);
                continue;
            }
            opened => opened.map_err(read)?,
        };
        let copy = to.open(&format!("{dir}/{}", entry.name), Mode::Create).map_err(write)?;
        // A part of it may have been copied before it was found damaged.
        copy.set_len(0).map_err(write)?;
        let (mut position, mut is_whole) = (0, true);
        let mut piece = Vec::new();
        while position < size {
            if shared.queue.is_closed() {
                return Err(BackupError::Stopping);
            }
            let length = PIECE.min(size - position);
            piece.resize(usize::try_from(length).unwrap_or(usize::MAX), 0);
            is_whole &= read_what_is_there(&file, &mut piece, position).map_err(read)?;
            copy.write_at(&piece, position).map_err(write)?;
            position += length;
        }
        copy.sync().map_err(write)?;
        if !is_whole {
            lacking.push(path);
        }
    }
    Ok(())
}

/// Reads a piece of a file; what the medium does not give back is zeros. Says whether all was read.
fn read_what_is_there(file: &File, piece: &mut [u8], position: u64) -> io::Result<bool> {
    match file.read_exact_at(piece, position) {
        Err(error) if is_unreadable(&error) => {}
        read => return read.map(|()| true),
    }
    let mut at = position;
    for block in piece.chunks_mut(BLOCK) {
        match file.read_exact_at(block, at) {
            Err(error) if is_unreadable(&error) => block.fill(0),
            read => read?,
        }
        at += block.len() as u64;
    }
    Ok(false)
}
