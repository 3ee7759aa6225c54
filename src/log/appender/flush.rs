//! Makes a group durable and then visible, in the order that the design demands:
//!
//! 1. all bytes to their segments (a failure cuts them back and refuses the group);
//! 2. of what the frame will not have inline, new names synced: the directories once each, and the
//!    log directory; the names of all else are made durable by the next checkpoint, and made anew
//!    by a start before that;
//! 3. the segments of reference entries synced, in parallel;
//! 4. the frame written and synced;
//! 5. segments, indexes and watermarks shown to readers, receipts given.
//!
//! A sync that fails leaves nobody who can say what is durable: from then on the log is
//! read-only.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::group::{Answer, Body, Chunk};
use super::{Appender, Failure, Tails};
use crate::disk::{Concern, File, Mode, concern, parent};
use crate::log::Produce;
use crate::log::damage::Damage;
use crate::log::error::{AppendError, WriterError};
use crate::log::journal::{Entry, Frame, Kind, WriteError};
use crate::log::shared::Shared;
use crate::log::{place, segment, staged};

/// How many entries of a group are synced in their segments instead of the journal.
const REFERENCES: usize = 4;

impl Appender {
    /// Carries the collected group out and answers everybody in it.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        if self.group.is_empty() {
            return Ok(());
        }
        self.add_positions();
        let result = if self.group.chunks.is_empty() { Ok(()) } else { self.carry_out() };
        self.full = matches!(result, Err(Failure::Full));
        let alone = self.frees_room();
        match &result {
            Ok(()) => self.publish(),
            Err(failure) => self.take_back(failure),
        }
        if let Some(offline) = self.hit_offline(result.as_ref().err()) {
            return self.carry_out_without(&offline);
        }
        self.break_sessions(result.is_err());
        match &result {
            Err(failure) => {
                self.shared.troubles.refused(failure, self.group.answers.len().max(1));
            }
            // By what frees room nobody can tell.
            Ok(()) if self.group.chunks.is_empty() || alone => {}
            Ok(()) => self.shared.troubles.takes(),
        }
        if matches!(result, Err(Failure::Refused(_))) {
            self.give_files_back();
        }
        let answers = std::mem::take(&mut self.group.answers);
        self.group.clear(&self.shared.spares);
        let mut again = Vec::new();
        for answer in answers {
            match answer {
                Answer::All(_, reply, batches)
                    if self.full && !alone && may_use_ballast(&batches) =>
                {
                    again.push((batches, reply));
                }
                answer => reply(answer, result.as_ref().err()),
            }
        }
        if !again.is_empty() {
            // What frees room is not refused because it came with what does not.
            for (batches, reply) in again {
                self.admit_all(batches, reply);
            }
            let _ = self.flush();
        }
        result
    }

    /// Makes the group durable. What frees room may use the ballast for it; all else waits
    /// until the ballast is there again.
    fn carry_out(&mut self) -> Result<(), Failure> {
        if !self.frees_room() {
            self.ballast.hold().map_err(|error| Failure::refused("the ballast", &error))?;
            return self.make_durable();
        }
        match self.make_durable() {
            Err(Failure::Full) if self.ballast.release() => self.make_durable(),
            result => result,
        }
    }

    /// Whether all of the group is deletions, starts of partitions and offsets of groups.
    fn frees_room(&self) -> bool {
        let frees = |chunk: &Chunk| {
            self.tails[chunk.slot].topic.frees_room() && matches!(chunk.body, Body::Bytes(_))
        };
        self.group.chunks.iter().all(frees)
    }

    fn make_durable(&mut self) -> Result<(), Failure> {
        if let Some(reason) = &self.read_only {
            return Err(Failure::Lost(reason.clone()));
        }
        self.begin()?;
        let entries = self.entries();
        self.write_segments()?;
        self.sync_names(&entries)?;
        self.sync_references(&entries)?;
        // The sync that failed of another thread may have dropped what was synced here.
        if self.shared.lost.is_set() {
            return Err(Failure::Lost("a sync of a segment failed".to_owned()));
        }
        self.write_frame(&entries)
    }

    /// One entry for each chunk; the largest few by reference.
    fn entries(&self) -> Vec<Entry> {
        let chunks = &self.group.chunks;
        let mut large: Vec<(u64, usize)> = Vec::new();
        for (at, chunk) in chunks.iter().enumerate() {
            let inline = matches!(chunk.body, Body::Bytes(_));
            if inline && chunk.length() >= self.shared.settings.reference_from as u64 {
                large.push((chunk.length(), at));
            }
        }
        large.sort_unstable_by(|a, b| b.cmp(a));
        large.truncate(REFERENCES);
        let entry = |(at, chunk): (usize, &Chunk)| {
            let tail = &self.tails[chunk.slot];
            let (kind, position, crc) = match &chunk.body {
                Body::Staged(file) => (Kind::Staged, file.number, 0),
                Body::Bytes(bytes) => {
                    let referenced = large.iter().any(|(_, one)| *one == at);
                    let kind = if referenced { Kind::Reference } else { Kind::Inline };
                    (kind, chunk.position, bytes.crc32c())
                }
            };
            Entry {
                topic: tail.topic.id(),
                partition: tail.partition.number,
                kind,
                base: chunk.base,
                next: chunk.next,
                segment: chunk.segment.base(),
                position,
                length: chunk.length(),
                crc,
                time: chunk.time,
            }
        };
        chunks.iter().enumerate().map(entry).collect()
    }

    fn write_segments(&mut self) -> Result<(), Failure> {
        let lost = &self.shared.lost;
        for chunk in &mut self.group.chunks {
            if let Body::Staged(file) = &chunk.body {
                let set = file.set_base(chunk.base);
                set.map_err(|error| Failure::of_write("append to", chunk, &error))?;
            }
            let write = |chunk: &mut Chunk| -> io::Result<Option<Arc<File>>> {
                if chunk.position == 0 {
                    let tail = &self.tails[chunk.slot];
                    let dir = &tail.partition.dir;
                    // One that was removed with all in it does not come back: that is damage.
                    if tail.partition.segments().is_empty() {
                        self.shared.disk.create_dir(dir)?;
                        place::set_owner(&*self.shared.disk, dir, tail.topic.id())?;
                    }
                }
                match &mut chunk.body {
                    Body::Staged(file) => {
                        file.adopt(&chunk.segment.path())?;
                        chunk.segment.file()?;
                        Ok(None)
                    }
                    Body::Bytes(bytes) => {
                        let mode = if chunk.position == 0 { Mode::Create } else { Mode::Write };
                        let (file, stays_open) = chunk.segment.file_to_write(mode)?;
                        if chunk.position == 0 {
                            file.set_len(0)?;
                        }
                        bytes.write_at(&file, chunk.position)?;
                        Ok(Some(file).filter(|_| !stays_open))
                    }
                }
            };
            let written = write(chunk).map_err(|error| {
                take_offline(&self.shared, &self.tails, chunk, &error);
                Failure::of_write("append to", chunk, &error)
            })?;
            if let Some(file) = written {
                chunk.segment.sync_records(&file, lost)?;
            }
        }
        Ok(())
    }

    /// What a frame has inline a start makes again, with its names; all else must be found.
    fn sync_names(&self, entries: &[Entry]) -> Result<(), Failure> {
        let chunks = self.group.chunks.iter().zip(entries);
        let outside = chunks.filter(|(_, entry)| entry.kind != Kind::Inline);
        let segments = outside.map(|(chunk, _)| &chunk.segment);
        let Shared { disk, lost, .. } = &*self.shared;
        let missing = segment::sync_names(&**disk, lost, segments, &|| true)?;
        let Some(first) = missing.first() else { return Ok(()) };
        // It was removed: that of one partition, which is none of the others' business.
        let gone = io::Error::from(io::ErrorKind::NotFound);
        let of = |chunk: &&Chunk| Arc::ptr_eq(&chunk.segment, first);
        if let Some(chunk) = self.group.chunks.iter().find(of) {
            let damage = Damage::of(first, &gone);
            self.shared.take_offline(&self.tails[chunk.slot].partition, damage);
        }
        Err(Failure::refused(parent(first.stem()), &gone))
    }

    fn sync_references(&self, entries: &[Entry]) -> Result<(), Failure> {
        let chunks = self.group.chunks.iter().zip(entries);
        let referenced: Vec<&Chunk> = chunks
            .filter(|(_, entry)| entry.kind == Kind::Reference)
            .map(|(chunk, _)| chunk)
            .collect();
        let (shared, tails, lost) = (&*self.shared, &self.tails, &self.shared.lost);
        let sync = |chunk: &Chunk| {
            // Opening it is not syncing it.
            let file = chunk.segment.file();
            let file = file.map_err(|error| {
                take_offline(shared, tails, chunk, &error);
                Failure::refused(&chunk.segment.path(), &error)
            })?;
            chunk.segment.sync_records(&file, lost)
        };
        match referenced.as_slice() {
            [] => Ok(()),
            [one] => sync(one),
            [first, others @ ..] => std::thread::scope(|scope| {
                let begin =
                    |chunk| std::thread::Builder::new().spawn_scoped(scope, move || sync(chunk));
                let running: Vec<_> = others.iter().map(|chunk| begin(*chunk)).collect();
                let mut result = sync(first);
                for (thread, chunk) in running.into_iter().zip(others) {
                    // The system may have no thread to give.
                    let Ok(thread) = thread else {
                        result = result.and(sync(chunk));
                        continue;
                    };
                    let joined = thread.join().unwrap_or_else(|_| {
                        Err(Failure::Lost("a thread that synced a segment panicked".to_owned()))
                    });
                    result = result.and(joined);
                }
                result
            }),
        }
    }

    fn write_frame(&mut self, entries: &[Entry]) -> Result<(), Failure> {
        let sequence = self.sequence + 1;
        let frame = Frame { epoch: self.epoch, sequence, durable: self.sequence };
        let inline = self.group.chunks.iter().zip(entries).filter_map(|(chunk, entry)| {
            match (&chunk.body, entry.kind) {
                (Body::Bytes(bytes), Kind::Inline) => Some(bytes.iter()),
                _ => None,
            }
        });
        frame.encode(self.salt, entries, inline.flatten(), &mut self.frame);
        let written = self.frame.len() as u64;
        match self.journal.write(&mut self.frame, sequence) {
            Ok(()) => {}
            Err(WriteError::Refused(error)) => return Err(Failure::refused("the journal", &error)),
            Err(WriteError::Lost(error)) => return Err(Failure::of_sync("the journal", &error)),
        }
        self.sequence = sequence;
        self.since.inline += written;
        let by_reference = entries.iter().filter(|entry| entry.kind == Kind::Reference);
        self.since.reference += by_reference.map(|entry| entry.length).sum::<u64>();
        Ok(())
    }

    /// Step 5. Nothing here can fail.
    fn publish(&mut self) {
        let now = self.now().latest;
        for chunk in &self.group.chunks {
            let Chunk { slot, segment, position, begun, marks, .. } = chunk;
            let tail = &self.tails[*slot];
            if chunk.is_new() {
                segment.begin(*begun);
                tail.partition.change(|segments| {
                    if segments.last().is_some_and(|last| last.base() == segment.base()) {
                        segments.pop();
                    }
                    if let Some(last) = segments.last() {
                        self.sealed.push(last.clone());
                        if tail.topic.config().compact {
                            self.rolled.insert(*slot);
                        }
                    }
                    segments.push(segment.clone());
                });
            }
            if marks.iter().any(|mark| mark.max_timestamp < 0) {
                segment.modify(now);
            }
            segment.commit(marks, position + chunk.length());
            if !segment.dirty.swap(true, Ordering::Relaxed) {
                self.dirty.push(segment.clone());
            }
        }
        let mut moved = Vec::with_capacity(self.group.touched.len());
        for slot in &self.group.touched {
            let tail = &mut self.tails[*slot];
            tail.keep();
            tail.producers.bound(self.shared.settings.producers_of_partition);
            let (before, count) = tail.count_producers();
            self.producers = self.producers.saturating_sub(before).saturating_add(count);
            moved.push((*slot, tail.ends()));
        }
        self.bound_producers();
        if !moved.is_empty() {
            self.shared.watermarks.publish(&moved);
        }
    }

    /// The group is refused: bytes that were written are cut off again.
    fn take_back(&mut self, failure: &Failure) {
        if let Failure::Lost(reason) = failure {
            // The frame may be durable, and name these bytes: the next start finds out.
            self.lose(reason.clone());
        } else {
            self.cut_back();
            // Their files stay open until a checkpoint has synced them.
            let all = self.group.chunks.iter().map(|chunk| &chunk.segment);
            for segment in all.filter(|one| one.is_unsynced()) {
                if !segment.dirty.swap(true, Ordering::Relaxed) {
                    self.dirty.push(Arc::clone(segment));
                }
            }
        }
        for slot in &self.group.touched {
            let tail = &mut self.tails[*slot];
            tail.take_back();
            // A staged file may have taken the place of an empty one.
            if tail.position == 0
                && let Some(active) = &tail.active
            {
                active.let_go();
            }
        }
    }

    /// After a refused group nothing counts that its instances queued behind it.
    fn break_sessions(&mut self, is_refused: bool) {
        for position in self.group.positions.iter().filter(|_| is_refused) {
            self.sessions.break_off(&position.session.instance);
        }
    }

    /// Takes the bytes of the group out of the segments.
    fn cut_back(&self) {
        // The last first, so that a segment that was begun is gone before the one before
        // it is cut.
        for chunk in self.group.chunks.iter().rev() {
            let cut = if chunk.is_new() {
                chunk.segment.let_go();
                segment::remove(&*self.shared.disk, chunk.segment.stem())
            } else {
                chunk.segment.file().and_then(|file| file.set_len(chunk.position))
            };
            if let Err(error) = cut {
                // What stays is behind the committed end: it is written over, or cut at
                // the next start.
                tracing::debug!(%error, path = chunk.segment.path(), "could not cut back");
            }
        }
    }
}

/// An error of the file of one partition is that one's business, and no other's: it does not pass
/// by itself. Where nothing else can be written either it is the disk's.
fn take_offline(shared: &Shared, tails: &Tails, chunk: &Chunk, error: &io::Error) {
    let is_of_file = |error: &io::Error| concern(error) == Concern::File;
    if !is_of_file(error) {
        return;
    }
    let is_of_disk = staged::probe(&*shared.disk)
        .is_err_and(|error| matches!(concern(&error), Concern::File | Concern::Disk));
    if !is_of_disk {
        let damage = Damage::of_write(&chunk.segment, error);
        shared.take_offline(&tails[chunk.slot].partition, damage);
    }
}

fn may_use_ballast(batches: &[Produce]) -> bool {
    !batches.is_empty() && batches.iter().all(|one| one.topic.frees_room())
}

/// Tells who waits how the group went.
fn reply(answer: Answer, failure: Option<&Failure>) {
    // Whoever does not wait any more does not miss the answer.
    match answer {
        Answer::Each(results, reply, _) => {
            let results = match failure {
                None => results,
                Some(failure) => {
                    let refuse = |result: Result<_, AppendError>| {
                        result.and_then(|_| Err(failure.to_append()))
                    };
                    results.into_iter().map(refuse).collect()
                }
            };
            let _ = reply.send(results);
        }
        Answer::All(appended, reply, _) => {
            let _ = reply.send(failure.map_or(Ok(appended), |why| Err(why.to_append())));
        }
        Answer::Commit(reply, _) => {
            let _ = reply.send(failure.map_or(Ok(()), |why| Err(WriterError::from(why))));
        }
    }
}
