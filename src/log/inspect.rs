//! What a file of the log holds, in lines for an operator, and what is wrong in it.
//!
//! In: a file by its path under a disk, and what lies beside it (an index is held against its
//! segment, frames against the salt in the checkpoint). Out: a line each for what is found.
//! Nothing is changed, and a log that is open may be looked at.
//!
//! What holds: a fault is a line of its own that begins with [`WRONG`]; what follows it in the
//! file is looked at as far as anything can be told of it.

use std::collections::BTreeMap;
use std::io;

use super::checkpoint::Checkpoint;
use super::index;
use super::journal::{Frame, Kind, PAGE, padded};
use super::place::METADATA;
use super::segment::base_of;
use crate::disk::{Disk, File, Mode};
use crate::record::{BatchView, HEAD_LENGTH, Head, Records};

/// What a line of a fault begins with.
pub const WRONG: &str = "WRONG";

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspected {
    /// The lines, in the order of the file.
    pub lines: Vec<String>,
    /// How many of them are faults.
    pub faults: usize,
}

impl Inspected {
    fn say(&mut self, line: String) {
        self.lines.push(line);
    }

    fn fault(&mut self, what: &str) {
        self.faults += 1;
        self.lines.push(format!("{WRONG} {what}"));
    }
}

/// Looks into the file `name` in the directory `dir` of `disk`; what it is its name says. A name
/// of no file of the log is `InvalidInput`.
pub fn inspect(disk: &dyn Disk, dir: &str, name: &str) -> io::Result<Inspected> {
    let mut found = Inspected::default();
    let path = if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") };
    let file = disk.open(&path, Mode::Read)?;
    let (stem, kind) = name.rsplit_once('.').unwrap_or((name, ""));
    let segment = base_of(&format!("{stem}.log"));
    match (kind, segment) {
        ("log", Some(base)) => {
            segment_file(&mut found, &file, base, true)?;
        }
        ("index" | "timeindex", Some(base)) => {
            let log =
                if dir.is_empty() { format!("{stem}.log") } else { format!("{dir}/{stem}.log") };
            let batches = match disk.open(&log, Mode::Read) {
                Ok(log) => Some(segment_file(&mut Inspected::default(), &log, base, false)?),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    found.say("its segment is not here: its entries are shown alone".to_owned());
                    None
                }
                Err(error) => return Err(error),
            };
            let bytes = whole(&file)?;
            match kind {
                "index" => offsets(&mut found, &bytes, base, batches.as_ref()),
                _ => times(&mut found, &bytes, base, batches.as_ref()),
            }
        }
        ("journal", _) => journal(&mut found, disk, dir, &file)?,
        _ if name == METADATA => {
            found.say(String::from_utf8_lossy(&whole(&file)?).trim_end().to_owned());
        }
        _ if name.starts_with("checkpoint") => checkpoint(&mut found, &whole(&file)?),
        _ => return Err(io::ErrorKind::InvalidInput.into()),
    }
    Ok(found)
}

fn whole(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(file.len()?).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// The batches of a segment by their positions.
type Batches = BTreeMap<u64, Head>;

fn segment_file(found: &mut Inspected, file: &File, base: i64, shown: bool) -> io::Result<Batches> {
    let size = file.len()?;
    let (mut position, mut next) = (0, base);
    let mut batches = Batches::new();
    while position < size {
        let mut head = [0; HEAD_LENGTH];
        let read = file.read_at(&mut head, position)?;
        let head = match Head::parse(&head[..read]) {
            Ok(head) if position + head.size() as u64 <= size => head,
            Ok(head) => {
                let left = size - position;
                found.fault(&format!(
                    "at {position}: a batch of {} bytes is cut, {left} are there",
                    head.size()
                ));
                break;
            }
            Err(error) => {
                found.fault(&format!("at {position}: {error}"));
                break;
            }
        };
        let mut bytes = vec![0; head.size()];
        file.read_exact_at(&mut bytes, position)?;
        if shown {
            found.say(describe(position, &head));
        }
        if head.base_offset < next {
            let base = head.base_offset;
            found.fault(&format!("at {position}: offset {base} where {next} or later is due"));
        }
        match BatchView::parse_stored(&bytes) {
            Err(error) => found.fault(&format!("at {position}: {error}")),
            Ok(batch) => {
                for reason in faults(&batch) {
                    found.fault(&format!("at {position}: {reason}"));
                }
            }
        }
        next = next.max(head.last_offset().saturating_add(1));
        batches.insert(position, head);
        position += head.size() as u64;
    }
    Ok(batches)
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

fn offsets(found: &mut Inspected, bytes: &[u8], base: i64, batches: Option<&Batches>) {
    let mut before = None;
    for (relative, position) in index::offset_entries(bytes) {
        let offset = base + i64::from(relative);
        found.say(format!("offset {offset} at {position}"));
        if before.is_some_and(|before| before >= (relative, position)) {
            found.fault(&format!("the entry of offset {offset} is not in order"));
        }
        before = Some((relative, position));
        let borne_out = batches.is_none_or(|batches| {
            batches.get(&u64::from(position)).is_some_and(|head| head.last_offset() == offset)
        });
        if !borne_out {
            found.fault(&format!("no batch at {position} ends with offset {offset}"));
        }
    }
    odd_bytes(found, bytes.len(), index::OFFSET_ENTRY);
}

fn times(found: &mut Inspected, bytes: &[u8], base: i64, batches: Option<&Batches>) {
    let mut before = i64::MIN;
    for (timestamp, relative) in index::time_entries(bytes) {
        let offset = base + i64::from(relative);
        found.say(format!("time {timestamp} up to offset {offset}"));
        if timestamp < before {
            found.fault(&format!("the entry of time {timestamp} is not in order"));
        }
        before = timestamp;
        let borne_out = batches.is_none_or(|batches| {
            let of = |head: &&Head| head.last_offset() == offset;
            batches.values().find(of).is_some_and(|head| head.max_timestamp == timestamp)
        });
        if !borne_out {
            found.fault(&format!("no batch that ends with offset {offset} has time {timestamp}"));
        }
    }
    odd_bytes(found, bytes.len(), index::TIME_ENTRY);
}

fn odd_bytes(found: &mut Inspected, length: usize, entry: usize) {
    let odd = length % entry;
    if odd > 0 {
        found.fault(&format!("{odd} bytes at the end are no whole entry"));
    }
}

fn checkpoint(found: &mut Inspected, bytes: &[u8]) {
    let json = bytes.splitn(2, |byte| *byte == b'\n').nth(1).unwrap_or_default();
    match Checkpoint::parse(bytes) {
        Ok(_) => {}
        Err(error) => found.fault(&error.to_string()),
    }
    match serde_json::from_slice::<serde_json::Value>(json) {
        Ok(value) => {
            let text = serde_json::to_string_pretty(&value).unwrap_or_default();
            text.lines().for_each(|line| found.say(line.to_owned()));
        }
        Err(error) => found.fault(&format!("it is no JSON: {error}")),
    }
}

/// The frames of a file of the journal. The checkpoint of its log says what their checksums
/// begin with.
fn journal(found: &mut Inspected, disk: &dyn Disk, dir: &str, file: &File) -> io::Result<()> {
    let above = dir.rsplit_once('/').map_or("", |(above, _)| above);
    let beside = if above.is_empty() { "checkpoint" } else { &format!("{above}/checkpoint") };
    let known = match disk.open(beside, Mode::Read) {
        Ok(file) => Checkpoint::parse(&whole(&file)?).ok(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let Some(Checkpoint { salt, sequence, .. }) = known else {
        found.fault("the checkpoint of its log cannot be read: without it no frame can be judged");
        return Ok(());
    };
    found.say(format!("the checkpoint has passed the frames up to {sequence}"));
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
            found.say(format!("at {position}: no whole frame ({length} bytes announced)"));
            position += PAGE;
            continue;
        };
        let Frame { epoch, sequence, durable } = frame;
        found.say(format!(
            "at {position}: frame {sequence} of epoch {epoch}, {durable} known durable, {length} \
             bytes, {} entries",
            entries.len()
        ));
        for entry in &entries {
            found.say(format!(
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
            ));
        }
        if last.is_some_and(|last| last >= sequence) {
            found.say("    frames from here on are of an earlier use of the file".to_owned());
        }
        last = Some(sequence);
        position += padded(length as u64);
    }
    Ok(())
}
