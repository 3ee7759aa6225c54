//! What a file of the log holds, in lines for an operator, and what is wrong in it.
//!
//! In: a file by its path under a disk, and what lies beside it (an index is held against its
//! segment, frames against the salt in the checkpoint). Out: a line each for what is found, when
//! it is found. Nothing is changed, and a log that is open may be looked at.
//!
//! What holds: a fault is a line of its own that begins with [`WRONG`]; what follows it in the
//! file is looked at as far as anything can be told of it. Each file is read once; of a segment
//! a batch at a time is in memory, of an index all of it.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::io;

use super::checkpoint::Checkpoint;
use super::compaction::MOVING;
use super::index;
use super::journal::{self, Frame, Kind, Mark, PAGE, padded};
use super::place::METADATA;
use super::segment::{base_of, walk};
use super::{compaction, staged};
use crate::disk::{Disk, File, Mode};
use crate::record::{BatchView, HEAD_LENGTH, Head, Records};

/// What a line of a fault begins with.
pub const WRONG: &str = "WRONG";

/// Takes the lines, and counts the faults among them.
struct Lines<'a> {
    say: &'a mut dyn FnMut(&str) -> io::Result<()>,
    faults: usize,
}

impl Lines<'_> {
    fn say(&mut self, line: &str) -> io::Result<()> {
        (self.say)(line)
    }

    fn fault(&mut self, what: &str) -> io::Result<()> {
        self.faults += 1;
        (self.say)(&format!("{WRONG} {what}"))
    }
}

/// Looks into the file `name` in the directory `dir` of `disk`; what it is its name says. Each line
/// goes to `say`, in the order of the file; what that fails with ends it. The answer is how many of
/// them are faults. A name of no file of the log is `InvalidInput`.
pub fn inspect(
    disk: &dyn Disk,
    dir: &str,
    name: &str,
    mut say: impl FnMut(&str) -> io::Result<()>,
) -> io::Result<usize> {
    let mut lines = Lines { say: &mut say, faults: 0 };
    let path = if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") };
    // A crash may have left a file that is being put in its place.
    let plain = name.strip_suffix(MOVING).unwrap_or(name);
    let (stem, kind) = plain.rsplit_once('.').unwrap_or((plain, ""));
    let of_segment = |kind: &str| match name.strip_suffix(MOVING) {
        Some(_) => format!("{dir}/{stem}.{kind}{MOVING}"),
        None if dir.is_empty() => format!("{stem}.{kind}"),
        None => format!("{dir}/{stem}.{kind}"),
    };
    let file = disk.open(&path, Mode::Read)?;
    match (kind, first_offset(dir, stem)) {
        ("log", Some(base)) => segment_file(&mut lines, &file, base)?,
        ("index" | "timeindex", Some(base)) => {
            let log = match disk.open(&of_segment("log"), Mode::Read) {
                Ok(log) => Some(log),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    lines.say("its segment is not here: its entries are shown alone")?;
                    None
                }
                Err(error) => return Err(error),
            };
            let bytes = whole(&file)?;
            match kind {
                "index" => offsets(&mut lines, &bytes, base, log.as_ref())?,
                _ => times(&mut lines, &bytes, base, log.as_ref())?,
            }
        }
        ("journal", _) => frames(&mut lines, disk, dir, &file)?,
        _ if name == METADATA => {
            lines.say(String::from_utf8_lossy(&whole(&file)?).trim_end())?;
        }
        _ if name.starts_with("checkpoint") => {
            let bytes = whole(&file)?;
            titled(&mut lines, &bytes, Checkpoint::parse(&bytes).err())?;
        }
        _ if name.starts_with("current") && dir.ends_with(journal::DIR) => {
            let bytes = whole(&file)?;
            titled(&mut lines, &bytes, Mark::parse(&bytes).err())?;
        }
        _ => return Err(io::ErrorKind::InvalidInput.into()),
    }
    Ok(lines.faults)
}

/// The offset that no batch of a segment is below, by the name of its files. In what is staged they
/// count from 0; what was compacted says whose it is, and then the offset.
fn first_offset(dir: &str, stem: &str) -> Option<i64> {
    match dir {
        staged::DIR => {
            let digits = |text: &str| text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit());
            let (epoch, number) = stem.split_once('-')?;
            (digits(epoch) && digits(number)).then_some(0)
        }
        compaction::DIR => base_of(&format!("{}.log", stem.rsplit_once('-')?.1)),
        _ => base_of(&format!("{stem}.log")),
    }
}

fn whole(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(file.len()?).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

fn segment_file(lines: &mut Lines<'_>, file: &File, base: i64) -> io::Result<()> {
    let size = file.len()?;
    let (mut position, mut next) = (0, base);
    let mut bytes = Vec::new();
    while position < size {
        let mut head = [0; HEAD_LENGTH];
        let read = file.read_at(&mut head, position)?;
        let head = match Head::parse(&head[..read]) {
            Ok(head) if position + head.size() as u64 <= size => head,
            Ok(head) => {
                let left = size - position;
                return lines.fault(&format!(
                    "at {position}: a batch of {} bytes is cut, {left} are there",
                    head.size()
                ));
            }
            Err(error) => return lines.fault(&format!("at {position}: {error}")),
        };
        bytes.resize(head.size(), 0);
        file.read_exact_at(&mut bytes, position)?;
        lines.say(&describe(position, &head))?;
        if head.base_offset < next {
            let base = head.base_offset;
            lines.fault(&format!("at {position}: offset {base} where {next} or later is due"))?;
        }
        match BatchView::parse_stored(&bytes) {
            Err(error) => lines.fault(&format!("at {position}: {error}"))?,
            Ok(batch) => {
                for reason in faults(&batch) {
                    lines.fault(&format!("at {position}: {reason}"))?;
                }
            }
        }
        next = next.max(head.last_offset().saturating_add(1));
        position += head.size() as u64;
    }
    Ok(())
}

fn describe(position: u64, head: &Head) -> String {
    let mut line = format!(
        "at {position}: offsets {} to {}, {} records in {} bytes, {:?}, times {} to {}",
        head.base_offset,
        head.last_offset(),
        head.count,
        head.size(),
        head.compression(),
        head.base_timestamp,
        head.max_timestamp,
    );
    if head.producer_id >= 0 {
        let Head { producer_id, producer_epoch, base_sequence, .. } = head;
        let of = format!(", producer {producer_id} epoch {producer_epoch} from {base_sequence}");
        line.push_str(&of);
    }
    for (is, word) in [
        (head.has_append_time(), ", time of append"),
        (head.is_transactional(), ", transactional"),
        (head.is_control(), ", control"),
        (head.delete_horizon().is_some(), ", delete horizon"),
    ] {
        if is {
            line.push_str(word);
        }
    }
    line
}

/// What is wrong with the records of a batch whose checksum is right.
fn faults(batch: &BatchView<'_>) -> Vec<String> {
    let plain = match batch.uncompressed() {
        Ok(plain) => plain,
        Err(error) => return vec![error.to_string()],
    };
    let records: Records<'_> = match BatchView::parse_stored(&plain) {
        Ok(plain) => plain.records(),
        Err(error) => return vec![error.to_string()],
    };
    let mut next = batch.head().base_offset;
    let mut found = Vec::new();
    for record in records {
        match record {
            Ok(record) if record.offset < next || record.offset > batch.head().last_offset() => {
                found.push(format!("a record has offset {}, out of order", record.offset));
            }
            Ok(record) => next = record.offset + 1,
            Err(error) => found.push(error.to_string()),
        }
    }
    found
}

fn offsets(
    lines: &mut Lines<'_>,
    bytes: &[u8],
    base: i64,
    segment: Option<&File>,
) -> io::Result<()> {
    let entries = || index::offset_entries(bytes);
    let wanted: HashSet<u64> = entries().map(|(_, position)| u64::from(position)).collect();
    let ends = borne_out(segment, |position, head| {
        wanted.contains(&position).then(|| (position, head.last_offset()))
    })?;
    let mut before = None;
    for (relative, position) in entries() {
        let offset = base + i64::from(relative);
        lines.say(&format!("offset {offset} at {position}"))?;
        if before.is_some_and(|before| before >= (relative, position)) {
            lines.fault(&format!("the entry of offset {offset} is not in order"))?;
        }
        before = Some((relative, position));
        if ends.as_ref().is_some_and(|ends| ends.get(&u64::from(position)) != Some(&offset)) {
            lines.fault(&format!("no batch at {position} ends with offset {offset}"))?;
        }
    }
    odd_bytes(lines, bytes.len(), index::OFFSET_ENTRY)
}

fn times(lines: &mut Lines<'_>, bytes: &[u8], base: i64, segment: Option<&File>) -> io::Result<()> {
    let entries = || {
        let entries = index::time_entries(bytes);
        entries.map(|(timestamp, relative)| (timestamp, base + i64::from(relative)))
    };
    let wanted: HashSet<i64> = entries().map(|(_, offset)| offset).collect();
    let newest = borne_out(segment, |_, head| {
        let last = head.last_offset();
        wanted.contains(&last).then_some((last, head.max_timestamp))
    })?;
    let mut before = i64::MIN;
    for (timestamp, offset) in entries() {
        lines.say(&format!("time {timestamp} up to offset {offset}"))?;
        if timestamp < before {
            lines.fault(&format!("the entry of time {timestamp} is not in order"))?;
        }
        before = timestamp;
        if newest.as_ref().is_some_and(|newest| newest.get(&offset) != Some(&timestamp)) {
            let what = format!("no batch that ends with offset {offset} has time {timestamp}");
            lines.fault(&what)?;
        }
    }
    odd_bytes(lines, bytes.len(), index::TIME_ENTRY)
}

/// What the batches of a segment say of those entries of an index that `of` picks out. Of two that
/// say it of one, the first counts.
fn borne_out<K: Eq + Hash>(
    segment: Option<&File>,
    mut of: impl FnMut(u64, &Head) -> Option<(K, i64)>,
) -> io::Result<Option<HashMap<K, i64>>> {
    let Some(segment) = segment else { return Ok(None) };
    let mut found = HashMap::new();
    walk(segment, 0, segment.len()?, |position, head| {
        if let Some((key, value)) = of(position, head) {
            found.entry(key).or_insert(value);
        }
        true
    })?;
    Ok(Some(found))
}

fn odd_bytes(lines: &mut Lines<'_>, length: usize, entry: usize) -> io::Result<()> {
    match length % entry {
        0 => Ok(()),
        odd => lines.fault(&format!("{odd} bytes at the end are no whole entry")),
    }
}

/// JSON behind a line with its checksum.
fn titled(lines: &mut Lines<'_>, bytes: &[u8], wrong: Option<io::Error>) -> io::Result<()> {
    let json = bytes.splitn(2, |byte| *byte == b'\n').nth(1).unwrap_or_default();
    if let Some(error) = wrong {
        lines.fault(&error.to_string())?;
    }
    match serde_json::from_slice::<serde_json::Value>(json) {
        Ok(value) => {
            let text = serde_json::to_string_pretty(&value).unwrap_or_default();
            text.lines().try_for_each(|line| lines.say(line))
        }
        Err(error) => lines.fault(&format!("it is no JSON: {error}")),
    }
}

/// The frames of a file of the journal. The checkpoint of its log says what their checksums
/// begin with.
fn frames(lines: &mut Lines<'_>, disk: &dyn Disk, dir: &str, file: &File) -> io::Result<()> {
    let above = dir.rsplit_once('/').map_or("", |(above, _)| above);
    let beside = if above.is_empty() { "checkpoint" } else { &format!("{above}/checkpoint") };
    let known = match disk.open(beside, Mode::Read) {
        Ok(file) => Checkpoint::parse(&whole(&file)?).ok(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let Some(Checkpoint { salt, sequence, .. }) = known else {
        let what = "the checkpoint of its log cannot be read: without it no frame can be judged";
        return lines.fault(what);
    };
    lines.say(&format!("the checkpoint has passed the frames up to {sequence}"))?;
    let size = file.len()?;
    let (mut position, mut last) = (0, None);
    while position < size {
        let mut page = vec![0; usize::try_from(PAGE.min(size - position)).unwrap_or(0)];
        file.read_exact_at(&mut page, position)?;
        let Some(length) = Frame::length(&page) else {
            position += PAGE;
            continue;
        };
        let within = length as u64 <= size - position;
        let mut bytes = vec![0; if within { length } else { 0 }];
        file.read_exact_at(&mut bytes, position)?;
        let Some((frame, entries, _)) = Frame::decode(salt, &bytes) else {
            // A torn one, or the rest of one that was written over; behind the last frame both
            // are as they should be.
            lines.say(&format!("at {position}: no whole frame ({length} bytes announced)"))?;
            position += PAGE;
            continue;
        };
        let Frame { epoch, sequence, durable } = frame;
        lines.say(&format!(
            "at {position}: frame {sequence} of epoch {epoch}, {durable} known durable, {length} \
             bytes, {} entries",
            entries.len()
        ))?;
        for entry in &entries {
            lines.say(&format!(
                "    topic {} partition {}: offsets {} to {}, {} bytes {} in segment {} at {}",
                entry.topic,
                entry.partition,
                entry.base,
                entry.next - 1,
                entry.length,
                match entry.kind {
                    Kind::Inline => "inline",
                    Kind::Reference => "by reference",
                    Kind::Staged => "staged",
                },
                entry.segment,
                entry.position,
            ))?;
        }
        if last.is_some_and(|last| last >= sequence) {
            lines.say("    frames from here on are of an earlier use of the file")?;
        }
        last = Some(sequence);
        position += padded(length as u64);
    }
    Ok(())
}
