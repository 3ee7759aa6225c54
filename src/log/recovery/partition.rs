//! One partition on its way from a checkpoint to its committed end.
//!
//! What holds: whatever of its files is not there, or not as it was written, is damage of this
//! partition: it is noted, what the journal still has is put where it belongs, and its state is
//! kept as it was, so that the next start may find the files again, or be told to go on without
//! (`mend`). What cannot be *written* is no damage: the start fails, and the journal stays.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use uuid::Uuid;

use super::Problem;
use super::mend::{self, Mended};
use crate::disk::{Disk, File, Mode, is_unreadable};
use crate::log::appender::{Pending, Removal, marker_of};
use crate::log::catalog::METADATA_ID;
use crate::log::checkpoint::PartitionState;
use crate::log::compaction;
use crate::log::damage::Damage;
use crate::log::index::times_path;
use crate::log::journal::{self, Entry, Kind, SegmentKey};
use crate::log::place;
use crate::log::producer::Producers;
use crate::log::segment::{self, Segment, base_of, log_path, stem};
use crate::log::settings::{LogSettings, PRODUCERS_OF_PARTITION};
use crate::log::{Aborted, Ends, staged};
use crate::record::{BatchView, HEAD_LENGTH, Head};

/// See the head of this file.
pub(super) struct Recovering {
    pub(super) state: PartitionState,
    pub(super) producers: Producers,
    pub(super) aborted: Vec<Aborted>,
    /// Committed bytes of the segments that frames have named.
    named: BTreeMap<i64, u64>,
    /// Those whose names are not durable yet.
    unnamed: BTreeSet<i64>,
    /// Whether the checkpoint names all segments there were.
    is_listed: bool,
    /// The segment that was appended to when the checkpoint was written. What was sealed
    /// since then has its index written only as far as it was then.
    unsealed: i64,
    /// The first thing that is lost, as the checkpoint tells.
    lacking: Option<Damage>,
    /// The first thing that is wrong with its files.
    damage: Option<Damage>,
    /// The segment that was written last.
    open: Option<(i64, File)>,
    /// Bytes behind the committed end that were cut off.
    pub(super) cut: u64,
}

/// While the log is recovered so many producers of a partition are remembered at most: no fewer than
/// when it is in use.
const PRODUCERS: usize = 2 * PRODUCERS_OF_PARTITION;

impl Recovering {
    /// From what a checkpoint says, which names all segments if it `is_listed`.
    pub(super) fn new(state: &PartitionState, is_listed: bool) -> Self {
        let mut producers = Producers::default();
        for (id, known) in &state.producers {
            producers.insert(*id, known.clone());
        }
        producers.bound(PRODUCERS);
        let aborted =
            state.aborted.iter().map(|(producer_id, first_offset, last_offset)| Aborted {
                producer_id: *producer_id,
                first_offset: *first_offset,
                last_offset: *last_offset,
            });
        let aborted = aborted.collect();
        let state = PartitionState { producers: Vec::new(), aborted: Vec::new(), ..state.clone() };
        let unsealed = state.segment;
        let (named, unnamed) = (BTreeMap::new(), BTreeSet::new());
        let (lacking, damage, open) = (None, None, None);
        let cut = 0;
        Self {
            state,
            producers,
            aborted,
            named,
            unnamed,
            is_listed,
            unsealed,
            lacking,
            damage,
            open,
            cut,
        }
    }

    pub(super) fn empty((topic, partition): (Uuid, i32)) -> Self {
        Self::new(&PartitionState { topic, partition, ..PartitionState::default() }, true)
    }

    pub(super) fn ends(&self) -> Ends {
        Ends {
            log_start: self.state.start,
            high_watermark: self.state.end,
            last_stable: self.producers.first_open().unwrap_or(self.state.end),
        }
    }

    pub(super) fn raise_start(&mut self, start: i64) {
        self.state.start = self.state.start.max(start).min(self.state.end);
        let start = self.state.start;
        self.aborted.retain(|one| one.last_offset >= start);
    }

    /// Applies an entry of a frame. `outside` are the segments that frames refer to.
    pub(super) fn apply(
        &mut self,
        disk: &dyn Disk,
        dir: &str,
        entry: &Entry,
        inline: &[u8],
        outside: &BTreeSet<SegmentKey>,
    ) -> Result<(), Problem> {
        if entry.kind == Kind::Inline && entry.position == 0 {
            self.begin(disk, dir, entry, outside)?;
        }
        if self.damage.is_none() {
            match self.apply_whole(disk, dir, entry, inline) {
                // Without that topic nobody knows the others.
                Err(Problem::Damage(damage)) if entry.topic != METADATA_ID => self.note(damage),
                applied => return applied,
            }
        }
        // Without it nothing would have what the journal has.
        self.apply_rest(disk, dir, entry, inline).map_err(|error| {
            let path = log_path(&stem(dir, entry.segment));
            Problem::Io(io::Error::new(error.kind(), format!("{path}: {error}")))
        })
    }

    /// Makes a segment anew of which frames have all the bytes: its name, or that of its directory,
    /// is seen, but may have been lost in a sync that failed.
    fn begin(
        &mut self,
        disk: &dyn Disk,
        dir: &str,
        entry: &Entry,
        outside: &BTreeSet<SegmentKey>,
    ) -> io::Result<()> {
        let key = |segment| (entry.topic, entry.partition, segment);
        if outside.contains(&key(entry.segment)) {
            return Ok(());
        }
        self.leave_open()?;
        self.unnamed.insert(entry.segment);
        if self.state.end == 0 && outside.range(key(0)..=key(i64::MAX)).next().is_none() {
            disk.remove_dir(dir)
        } else {
            disk.remove_file(&log_path(&stem(dir, entry.segment)))
        }
    }

    fn apply_whole(
        &mut self,
        disk: &dyn Disk,
        dir: &str,
        entry: &Entry,
        inline: &[u8],
    ) -> Result<(), Problem> {
        let path = log_path(&stem(dir, entry.segment));
        let damage = |what: String| Problem::Damage(Damage::new(entry.segment, what));
        if entry.base != self.state.end {
            let end = self.state.end;
            return Err(damage(format!(
                "{path}: the journal goes on at offset {}, the partition ends at {end}",
                entry.base
            )));
        }
        let position = match entry.kind {
            Kind::Inline => {
                let file = self.file(disk, dir, entry, &path)?;
                file.write_at(inline, entry.position)?;
                self.take(inline, entry);
                if disk.files().are_too_many() {
                    self.leave_open()?;
                }
                entry.position
            }
            Kind::Reference => {
                let mut bytes = vec![0; usize::try_from(entry.length).unwrap_or(0)];
                let file = self.file(disk, dir, entry, &path)?;
                let read = file.read_at(&mut bytes, entry.position);
                let read = read.map_err(|error| unreadable(error, entry.segment, &path))?;
                if read != bytes.len() || crc32c::crc32c(&bytes) != entry.crc {
                    return Err(damage(format!(
                        "{path}: the {} bytes at {} are not those that were written",
                        entry.length, entry.position
                    )));
                }
                self.take(&bytes, entry);
                entry.position
            }
            Kind::Staged => {
                self.leave_open()?;
                rename_staged(disk, dir, entry, &path)?;
                0
            }
        };
        self.advance(entry, position);
        Ok(())
    }

    /// Puts the bytes of an entry where they belong in a partition that is damaged.
    fn apply_rest(
        &mut self,
        disk: &dyn Disk,
        dir: &str,
        entry: &Entry,
        inline: &[u8],
    ) -> io::Result<()> {
        let path = log_path(&stem(dir, entry.segment));
        let position = match entry.kind {
            Kind::Inline => {
                disk.create_dir(dir)?;
                disk.open(&path, Mode::Create)?.write_at(inline, entry.position)?;
                self.take(inline, entry);
                entry.position
            }
            Kind::Reference => entry.position,
            Kind::Staged => {
                let staged = staged::path(entry.position);
                if disk.open(&staged, Mode::Read).is_ok() {
                    disk.create_dir(dir)?;
                    disk.rename(&staged, &path)?;
                }
                0
            }
        };
        self.open = None;
        self.advance(entry, position);
        Ok(())
    }

    fn advance(&mut self, entry: &Entry, position: u64) {
        self.state.segment = entry.segment;
        self.state.position = position + entry.length;
        self.state.end = entry.next;
        self.state.last_time = self.state.last_time.max(entry.time);
        self.named.insert(entry.segment, self.state.position);
    }

    /// Lets the file go that was written last, and syncs it before: of an error of writing it back
    /// who opens it later need not be told.
    fn leave_open(&mut self) -> io::Result<()> {
        self.open.take().map_or(Ok(()), |(_, file)| file.sync())
    }

    /// Notes what is wrong with its files.
    pub(super) fn note(&mut self, damage: Damage) {
        self.open = None;
        self.damage.get_or_insert(damage);
    }

    /// What is wrong with its files.
    pub(super) fn damage(&self) -> Option<&Damage> {
        self.damage.as_ref()
    }

    /// The segment of an entry, which must be there unless the entry begins it.
    fn file(
        &mut self,
        disk: &dyn Disk,
        dir: &str,
        entry: &Entry,
        path: &str,
    ) -> Result<&File, Problem> {
        if self.open.as_ref().is_none_or(|(base, _)| *base != entry.segment) {
            let mode = if entry.position == 0 && entry.kind == Kind::Inline {
                disk.create_dir(dir)?;
                Mode::Create
            } else {
                Mode::Write
            };
            self.leave_open()?;
            let file = disk.open(path, mode).map_err(|error| match mode {
                Mode::Create if error.kind() != io::ErrorKind::PermissionDenied => {
                    Problem::Io(error)
                }
                Mode::Create | Mode::Read | Mode::Write => unreadable(error, entry.segment, path),
            })?;
            self.open = Some((entry.segment, file));
        }
        match &self.open {
            Some((_, file)) => Ok(file),
            None => Err(Problem::Io(io::ErrorKind::NotFound.into())),
        }
    }

    /// Takes what batches say of their producers.
    fn take(&mut self, mut bytes: &[u8], entry: &Entry) {
        let now = entry.time;
        while let Ok(head) = Head::parse(bytes) {
            let Some((batch, rest)) = bytes.split_at_checked(head.size()) else { return };
            bytes = rest;
            if head.is_control() {
                if let Some(marker) = marker_of(batch) {
                    let (_, aborted) = self.producers.ended(&head, head.base_offset, marker, now);
                    self.aborted.extend(aborted);
                }
            } else if head.producer_id >= 0 {
                self.producers.appended(&head, head.base_offset, now);
            }
        }
        self.producers.bound(PRODUCERS);
    }

    /// Makes durable what compaction may have done behind the checkpoint. Sizes are believed only
    /// behind this: the next checkpoint says them.
    pub(super) fn place_again(&self, disk: &dyn Disk, dir: &str) -> io::Result<()> {
        let PartitionState { replaceable, segments, .. } = &self.state;
        let before = |(base, _): &(i64, u64)| Some(*base).filter(|base| base < replaceable);
        let known: Vec<i64> = segments.iter().filter_map(before).collect();
        let emptied = self.state.emptied;
        if known.is_empty() { Ok(()) } else { compaction::place_again(disk, dir, &known, emptied) }
    }

    /// Removes segments that were begun for a group that was refused: that they are gone was not
    /// durable, and however much was appended since, a crash may have brought them back.
    pub(super) fn remove_stale(&self, disk: &dyn Disk, dir: &str) -> io::Result<()> {
        if !self.is_listed || self.state.end == 0 {
            return Ok(());
        }
        for base in bases(&disk.list(dir)?) {
            let is_known = self.known(base).is_some() || self.named.contains_key(&base);
            if !is_known && base < self.state.segment {
                segment::remove(disk, &stem(dir, base))?;
            }
        }
        Ok(())
    }

    /// What the checkpoint knew of the metadata topic and is not there: without it nobody knows
    /// which topic a directory is of.
    pub(super) fn find_missing(&mut self, disk: &dyn Disk, dir: &str) -> io::Result<()> {
        self.note_missing(dir, &bases(&disk.list(dir)?));
        Ok(())
    }

    /// The committed bytes of all segments: for the metadata topic, before it is opened.
    pub(super) fn read_all(&self, disk: &dyn Disk, dir: &str) -> Result<Vec<Vec<u8>>, Problem> {
        let mut pieces = Vec::new();
        for base in bases(&disk.list(dir)?) {
            if base > self.state.segment {
                break;
            }
            let path = log_path(&stem(dir, base));
            let file = disk.open(&path, Mode::Read);
            let file = file.map_err(|error| unreadable(error, base, &path))?;
            let there = file.len()?;
            let length = match self.named.get(&base) {
                Some(size) => *size,
                None if base == self.state.segment => self.state.position,
                // Left for the next one without a frame more: behind its end may be bytes of
                // a refused group, as in `cut_segment`.
                None => self.left(base).unwrap_or(there),
            };
            if there < length {
                return Err(too_short(base, &path, there, length));
            }
            let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
            file.read_exact_at(&mut bytes, 0)?;
            pieces.push(bytes);
        }
        Ok(pieces)
    }

    /// Cuts the files to what is committed, and opens the segments; none if there is damage.
    /// Nothing of it has to be durable yet: the frames are kept until a checkpoint has synced it.
    pub(super) fn cut(
        &mut self,
        disk: &Arc<dyn Disk>,
        dir: &str,
        settings: &LogSettings,
        pending: &mut Pending,
    ) -> Result<Vec<Arc<Segment>>, Problem> {
        if self.damage.is_none() {
            match self.cut_files(disk, dir, settings, pending) {
                Err(Problem::Damage(damage)) if self.state.topic != METADATA_ID => {
                    self.note(damage);
                }
                segments => return segments,
            }
        }
        Ok(Vec::new())
    }

    fn cut_files(
        &mut self,
        disk: &Arc<dyn Disk>,
        dir: &str,
        settings: &LogSettings,
        pending: &mut Pending,
    ) -> Result<Vec<Arc<Segment>>, Problem> {
        let PartitionState { start, end, segment: active, position, .. } = self.state;
        let mut segments = Vec::new();
        if end == 0 {
            // Its name may have been lost in a failed sync: it must not be believed durable.
            disk.remove_dir(dir)?;
            return Ok(segments);
        }
        if self.state.topic != METADATA_ID {
            self.place_again(&**disk, dir)?;
        }
        self.remove_stale(&**disk, dir)?;
        let entries = disk.list(dir)?;
        let all = bases(&entries);
        self.note_missing(dir, &all);
        self.name_owner(&**disk, dir, &entries);
        for (at, base) in all.iter().enumerate() {
            if *base > active || (*base == active && position == 0) {
                segment::remove(&**disk, &stem(dir, *base))?;
            } else if *base < active
                && all.get(at + 1).copied().unwrap_or(active).min(active) <= start
            {
                // Frames may name it.
                pending.removals.push(Removal::Segment(stem(dir, *base)));
            } else {
                segments.extend(self.cut_segment(disk, dir, *base, settings, pending)?);
            }
        }
        let found = segments.last().map(|segment| segment.base());
        if position > 0 && found != Some(active) {
            return Err(Problem::Damage(missing(active, &log_path(&stem(dir, active)))));
        }
        Ok(segments)
    }

    /// Directories of earlier versions do not say whose they are.
    fn name_owner(&self, disk: &dyn Disk, dir: &str, entries: &[crate::disk::Entry]) {
        if !entries.is_empty() && entries.iter().all(|entry| entry.name != place::METADATA) {
            let _ = place::set_owner(disk, dir, self.state.topic);
        }
    }

    /// Makes durable what the journal had of a damaged partition, and gives the state that the
    /// next start is to find.
    pub(super) fn freeze(&self, disk: &dyn Disk, dir: &str) -> io::Result<PartitionState> {
        let entries = disk.list(dir)?;
        let all = bases(&entries);
        self.name_owner(disk, dir, &entries);
        for base in self.named.keys().filter(|base| all.contains(base)) {
            disk.open(&log_path(&stem(dir, *base)), Mode::Write)?.sync()?;
        }
        if !self.named.is_empty() && !entries.is_empty() {
            disk.sync_dir(dir)?;
            disk.sync_dir("")?;
        }
        let mut segments: BTreeMap<i64, u64> = self.state.segments.iter().copied().collect();
        segments.extend(&self.named);
        let damaged = self.damage.as_ref().map(|damage| damage.segment);
        Ok(PartitionState {
            segments: segments.into_iter().collect(),
            damaged,
            ..self.state.clone()
        })
    }

    /// Goes on without what the damage hit, durably. Says which offsets are lost.
    pub(super) fn mend(&mut self, disk: &dyn Disk, dir: &str) -> io::Result<Vec<Range<i64>>> {
        self.remove_stale(disk, dir)?;
        let Mended { segments, lost } = mend::mend(disk, dir, &self.state)?;
        let (last, size) = segments.last().copied().unwrap_or((self.state.end, 0));
        self.state = PartitionState {
            segment: last,
            position: size,
            segments,
            damaged: None,
            ..self.state.clone()
        };
        (self.unsealed, self.lacking, self.damage) = (last, None, None);
        self.named.clear();
        Ok(lost)
    }

    /// Looks behind the end that the checkpoint knew, where the directory of the journal is missing
    /// and no checkpoint vouches for it: a batch that is there was in a frame, which is lost.
    pub(super) fn find_unexplained(&mut self, disk: &dyn Disk, dir: &str) -> io::Result<()> {
        let PartitionState { end, segment, position, .. } = self.state;
        let all = bases(&disk.list(dir)?);
        for base in all.into_iter().filter(|base| end == 0 || *base >= segment) {
            let path = log_path(&stem(dir, base));
            let at = if end > 0 && base == segment { position } else { 0 };
            if holds_batch(disk, &path, at)? {
                let what = format!(
                    "{path} has batches from byte {at} on that were appended since the checkpoint, \
                     and the directory {} is missing",
                    journal::DIR
                );
                self.lacking.get_or_insert(Damage::new(base, what));
            }
        }
        Ok(())
    }

    /// What the checkpoint knew, nobody removed, and is not there.
    pub(super) fn lacking(&self) -> Option<&Damage> {
        self.lacking.as_ref()
    }

    /// Looks for a segment that the checkpoint knew and that is not there.
    fn note_missing(&mut self, dir: &str, all: &[i64]) {
        let PartitionState { start, replaceable, emptied, segments: known, .. } = &self.state;
        let needed = |at: usize, base: i64| {
            (*emptied || base >= *replaceable)
                && known.get(at + 1).is_none_or(|(next, _)| next > start)
        };
        let lacking = known
            .iter()
            .enumerate()
            .find(|(at, (base, _))| needed(*at, *base) && !all.contains(base));
        if let Some((_, (base, _))) = lacking {
            self.lacking = Some(missing(*base, &log_path(&stem(dir, *base))));
        }
    }

    /// The committed bytes of a segment as the checkpoint knew them.
    fn known(&self, base: i64) -> Option<u64> {
        let mut known = self.state.segments.iter();
        known.find(|(known, _)| *known == base).map(|(_, written)| *written)
    }

    /// Those of the segment that was appended to when the checkpoint was written. If it was left
    /// for another without a frame more, bytes of a refused group may be behind its end.
    fn left(&self, base: i64) -> Option<u64> {
        self.known(base).filter(|_| base == self.unsealed)
    }

    /// None if compaction emptied it.
    fn cut_segment(
        &mut self,
        disk: &Arc<dyn Disk>,
        dir: &str,
        base: i64,
        settings: &LogSettings,
        pending: &mut Pending,
    ) -> Result<Option<Arc<Segment>>, Problem> {
        let path = log_path(&stem(dir, base));
        let is_active = base == self.state.segment;
        let named = self.named.get(&base).copied();
        let known = self.known(base);
        let committed =
            named.or(is_active.then_some(self.state.position)).or_else(|| self.left(base));
        let file = disk.open(&path, Mode::Write);
        let file = file.map_err(|error| unreadable(error, base, &path))?;
        let length = file.len()?;
        let size = committed.unwrap_or(length);
        if length < size {
            return Err(too_short(base, &path, length, size));
        }
        let replaceable = base < self.state.replaceable;
        if size == 0 && !is_active && (replaceable || known.is_none()) {
            pending.removals.push(Removal::Segment(stem(dir, base)));
            return Ok(None);
        }
        if let Some(written) = known.filter(|written| size < *written && !replaceable) {
            self.lacking.get_or_insert_with(|| shorter(base, &path, size, written));
        }
        if length > size {
            self.cut += length - size;
            file.set_len(size)?;
        }
        // A crash may have taken the index of a segment that was compacted.
        let indexed = is_active || disk.open(&times_path(&stem(dir, base)), Mode::Read).is_ok();
        let loaded = is_active || named.is_some() || base == self.unsealed || !indexed;
        let interval = settings.index_interval_bytes;
        let segment = Segment::new(disk, dir, base, size, interval, !loaded);
        let is_unnamed = self.unnamed.contains(&base);
        let segment = Arc::new(if is_unnamed { segment.unnamed() } else { segment });
        if self.open.as_ref().is_some_and(|(written, _)| *written == base)
            && let Some((_, file)) = self.open.take()
        {
            segment.was_written(file);
        }
        if loaded {
            segment.load_index().map_err(|error| unreadable(error, base, &path))?;
            segment.close();
        }
        if !is_active && loaded {
            pending.sealed.push(Arc::clone(&segment));
        } else if named.is_some() {
            segment.dirty.store(true, Ordering::Relaxed);
            pending.dirty.push(Arc::clone(&segment));
        }
        Ok(Some(segment))
    }
}

/// Whether a whole batch begins at `position` of a file.
fn holds_batch(disk: &dyn Disk, path: &str, position: u64) -> io::Result<bool> {
    let file = disk.open(path, Mode::Read)?;
    let mut head = [0; HEAD_LENGTH];
    let read = file.read_at(&mut head, position)?;
    let left = file.len()?.saturating_sub(position);
    let Some(head) = Head::parse(&head[..read]).ok().filter(|head| head.size() as u64 <= left)
    else {
        return Ok(false);
    };
    let mut bytes = vec![0; head.size()];
    file.read_exact_at(&mut bytes, position)?;
    Ok(BatchView::parse_stored(&bytes).is_ok())
}

/// Makes the rename of a staged file again, if the crash took it back.
fn rename_staged(disk: &dyn Disk, dir: &str, entry: &Entry, path: &str) -> Result<(), Problem> {
    let staged = staged::path(entry.position);
    match disk.open(&staged, Mode::Read) {
        Ok(_) => {
            disk.create_dir(dir)?;
            disk.rename(&staged, path)?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    let file = disk.open(path, Mode::Read);
    let length = file.map_err(|error| unreadable(error, entry.segment, path))?.len()?;
    if length < entry.length {
        return Err(too_short(entry.segment, path, length, entry.length));
    }
    Ok(())
}

fn too_short(segment: i64, path: &str, length: u64, written: u64) -> Problem {
    Problem::Damage(shorter(segment, path, length, written))
}

fn shorter(segment: i64, path: &str, length: u64, written: u64) -> Damage {
    let what = format!("{path} has {length} bytes, of {written} that were written");
    Damage::new(segment, what)
}

fn missing(segment: i64, path: &str) -> Damage {
    Damage::new(segment, format!("{path} is missing"))
}

/// Of a file that was there: damage if that is what the error says.
fn unreadable(error: io::Error, segment: i64, path: &str) -> Problem {
    if error.kind() == io::ErrorKind::NotFound {
        Problem::Damage(missing(segment, path))
    } else if is_unreadable(&error) {
        Problem::Damage(Damage::of_file(segment, path, &error))
    } else {
        Problem::Io(error)
    }
}

/// The base offsets of the segments in a directory, in order.
pub(super) fn bases(entries: &[crate::disk::Entry]) -> Vec<i64> {
    let mut bases: Vec<i64> = entries.iter().filter_map(|entry| base_of(&entry.name)).collect();
    bases.sort_unstable();
    bases
}
