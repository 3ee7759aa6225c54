//! Finds the frames that a checkpoint has not seen, and tells a torn tail from damage.
//!
//! A crash can only take the last frame: none is written before the one before is synced.
//! So where the row of sequences ends, a later frame that knew the missing one to be
//! durable proves that bytes were lost which had been safe: that is damage. Anything else
//! behind the end is a tail that was torn, or frames of an earlier use of the file.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use uuid::Uuid;

use super::file::files;
use super::{Entry, Frame, Kind, PAGE, padded};
use crate::disk::{Disk, File, Mode};

/// Where a frame was found.
#[derive(Debug)]
struct Place {
    file: Arc<File>,
    path: String,
    offset: u64,
    length: usize,
    durable: u64,
    epoch: u64,
    /// The segments that have bytes of it outside.
    outside: Vec<SegmentKey>,
}

/// A segment: topic, partition, base offset.
pub(in crate::log) type SegmentKey = (Uuid, i32, i64);

/// The frames behind a checkpoint, in their order.
#[derive(Debug)]
pub(in crate::log) struct Found {
    salt: u32,
    places: Vec<Place>,
    /// The sequence of the first.
    first: u64,
    /// What was lost, if something was: the text for the operator.
    pub(in crate::log) damage: Option<String>,
}

/// Looks through all files for the frames of `epoch` or later that follow `sequence`.
pub(in crate::log) fn scan(
    disk: &dyn Disk,
    salt: u32,
    epoch: u64,
    sequence: u64,
) -> io::Result<Found> {
    let mut found = BTreeMap::new();
    for (_, path) in files(disk)? {
        let file = Arc::new(disk.open(&path, Mode::Read)?);
        scan_file(&file, &path, salt, |frame, place| {
            let newest = |other: &Place| other.epoch <= place.epoch;
            if frame.epoch >= epoch
                && frame.sequence > sequence
                && found.get(&frame.sequence).is_none_or(newest)
            {
                found.insert(frame.sequence, place);
            }
        })?;
    }
    let mut places: Vec<Place> = Vec::new();
    while let Some(place) = found.remove(&(sequence + 1 + places.len() as u64)) {
        if places.last().is_some_and(|last| last.epoch > place.epoch) {
            break;
        }
        places.push(place);
    }
    let missing = sequence + 1 + places.len() as u64;
    // Frames of an older process are behind what a newer one wrote over.
    let newest = places.last().map_or(epoch, |last| last.epoch);
    let proof = found.iter().find(|(_, place)| place.epoch >= newest && place.durable >= missing);
    let damage = proof.map(|(sequence, place)| {
        let Place { path, offset, .. } = place;
        format!(
            "frame {missing} of the journal is lost, though frame {sequence} in {path} at \
             {offset} was written when it was durable"
        )
    });
    Ok(Found { salt, places, first: sequence + 1, damage })
}

impl Found {
    /// The sequence of the last frame; that of the checkpoint if there is none.
    pub(in crate::log) fn last(&self) -> u64 {
        self.first + self.places.len() as u64 - 1
    }

    /// Whether there is none.
    pub(in crate::log) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// How many bytes they have.
    pub(in crate::log) fn bytes(&self) -> u64 {
        self.places.iter().map(|place| place.length as u64).sum()
    }

    /// The files they are in, each with the last sequence in it, in order.
    pub(in crate::log) fn files(&self) -> Vec<(String, u64)> {
        let mut files: Vec<(String, u64)> = Vec::new();
        for (sequence, place) in (self.first..).zip(&self.places) {
            match files.iter_mut().find(|(path, _)| *path == place.path) {
                Some((_, last)) => *last = sequence,
                None => files.push((place.path.clone(), sequence)),
            }
        }
        files
    }

    /// The segments that hold what is in no frame: their names were durable before it.
    pub(in crate::log) fn outside(&self) -> BTreeSet<SegmentKey> {
        self.places.iter().flat_map(|place| place.outside.iter().copied()).collect()
    }

    /// Makes sure of the last frame. It is seen, but may not be durable: a process that was
    /// killed did not sync it, or its sync failed and left the bytes marked as written. So
    /// they are written again. Those before it were synced, or it would not be there.
    pub(in crate::log) fn write_last_again(&self, disk: &dyn Disk) -> io::Result<()> {
        let Some(Place { path, offset, length, .. }) = self.places.last() else { return Ok(()) };
        let file = disk.open(path, Mode::Write)?;
        let mut bytes = vec![0; *length];
        file.read_exact_at(&mut bytes, *offset)?;
        file.write_at(&bytes, *offset)?;
        file.sync()
    }

    /// Shows every frame's entries with their inline bytes, in order.
    pub(in crate::log) fn replay<E: From<io::Error>>(
        &self,
        mut apply: impl FnMut(&Entry, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut buffer = Vec::new();
        for place in &self.places {
            buffer.resize(place.length, 0);
            place.file.read_exact_at(&mut buffer, place.offset)?;
            let (_, entries, mut inline) =
                Frame::decode(self.salt, &buffer).ok_or_else(|| -> E {
                    io::Error::new(io::ErrorKind::InvalidData, "a frame changed").into()
                })?;
            for entry in &entries {
                let bytes = match entry.kind {
                    Kind::Inline => {
                        let length = usize::try_from(entry.length).unwrap_or(usize::MAX);
                        let (bytes, rest) = inline.split_at(length.min(inline.len()));
                        inline = rest;
                        bytes
                    }
                    Kind::Reference | Kind::Staged => &[],
                };
                apply(entry, bytes)?;
            }
        }
        Ok(())
    }
}

fn scan_file(
    file: &Arc<File>,
    path: &str,
    salt: u32,
    mut found: impl FnMut(Frame, Place),
) -> io::Result<()> {
    let end = file.len()?;
    let mut offset = 0;
    let mut head = vec![0; 12];
    let mut whole = Vec::new();
    while offset + PAGE <= end {
        file.read_exact_at(&mut head, offset)?;
        let length = Frame::length(&head).filter(|length| offset + *length as u64 <= end);
        let mut step = PAGE;
        if let Some(length) = length {
            whole.resize(length, 0);
            file.read_exact_at(&mut whole, offset)?;
            if let Some((frame, entries, _)) = Frame::decode(salt, &whole) {
                step = padded(length as u64);
                let (file, path) = (Arc::clone(file), path.to_owned());
                let Frame { epoch, durable, .. } = frame;
                let outside = entries.iter().filter(|entry| entry.kind != Kind::Inline);
                let key = |entry: &Entry| (entry.topic, entry.partition, entry.segment);
                let outside = outside.map(key).collect();
                found(frame, Place { file, path, offset, length, durable, epoch, outside });
            }
        }
        offset += step;
    }
    Ok(())
}
