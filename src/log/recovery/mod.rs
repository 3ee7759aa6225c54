//! From what a crash, or a clean stop, left to a log that can go on.
//!
//! One path: from the last checkpoint, apply each whole frame that follows (inline: the
//! segment gets those bytes; reference: it must hold them; staged: the rename is made
//! again), then cut every partition to its committed end and rebuild what indexes lack.
//! After a clean stop there are no frames. Nothing of that has to be durable at once: the
//! frames stay in the journal until a checkpoint has synced what they say, which is the
//! appender's business as ever. Only the last frame is written again, and the epoch raised,
//! both durably, before this process writes its first frame.
//!
//! A name that is seen may not be durable, and no sync may make it so: that of the process
//! before may have failed. Those of files with bytes that are in no frame were synced before the
//! frame, or the checkpoint, that says so; those of which the frames have all are made anew. Those
//! that compaction gave, or took away, behind the checkpoint are given, or taken away, again. All
//! others (files of the journal without a frame, segments and directories of partitions without a
//! record) are removed, and made anew when they are wanted. What is renamed here is renamed back if
//! the sync of that fails: then what is seen is durable again.
//!
//! A start after a clean stop writes nothing and syncs nothing: the epoch is raised by the appender,
//! before it changes anything.
//!
//! What holds: bytes that were durable and are not as they were are reported with their
//! place, and not passed unless the operator says so: those of the journal and of the metadata
//! topic refuse the start, those of any other partition take that one offline. A directory that
//! nobody knows is set aside, never deleted.

mod mend;
mod partition;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use partition::Recovering;

use super::appender::{Pending, Start, Tail, Tails};
use super::catalog::{Catalog, Definitions, METADATA_ID, Unread};
use super::checkpoint::{self, Checkpoint};
use super::compaction;
use super::damage::{self, Budget, Damage, DamageKind};
use super::error::OpenError;
use super::journal::{self, Found, Journal, Mark};
use super::keeper::CheckpointJob;
use super::partition::Partition;
use super::place::{self, Leaving, dir};
use super::segment::Segment;
use super::settings::{AcceptDamage, LogSettings};
use super::shared::Shared;
use super::staged;
use super::topic::{METADATA_TOPIC, Topic, TopicRecord};
use super::topic_config::TopicConfig;
use super::watermarks::Watermarks;
use crate::disk::{Disk, Entry};

/// The ballast is larger than a file of the journal by so much: for the records themselves.
const BALLAST_SLACK: u64 = 64 << 10;

/// Where a problem is met while opening.
pub(super) enum Problem {
    Io(io::Error),
    Damage(Damage),
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// An opened log, before its threads run.
pub(super) struct Opened {
    pub(super) shared: Shared,
    pub(super) start: Start,
    /// Whether the cluster has only now got its id.
    pub(super) is_new: bool,
}

type Partitions = HashMap<(Uuid, i32), Recovering>;

/// Opens the log on `disk`, which the caller has locked.
pub(super) fn open(disk: &Arc<dyn Disk>, mut settings: LogSettings) -> Result<Opened, OpenError> {
    fit(&mut settings, &**disk)?;
    let checkpoint = read_checkpoint(&**disk)?;
    let found = if checkpoint.clean {
        None
    } else {
        Some(scan(&**disk, &checkpoint).map_err(doing("scan the journal"))?)
    };
    let mut damaged = false;
    if let Some(damage) = found.as_ref().and_then(|found| found.damage.as_ref()) {
        damaged = refuse_damage(damage, &settings)?;
    }
    if let Some(found) = &found
        && disk.space().map_err(doing("ask for the room on the disk"))?.free
            < settings.ballast_bytes * 2
    {
        // The checkpoint is seen, and may not be durable: without it the next start would need
        // what is removed here.
        checkpoint.write(&**disk).map_err(doing("write the checkpoint"))?;
        if checkpoint.journal {
            // Of the last frame nobody knows yet whether it is durable.
            let mark = Mark { epoch: checkpoint.raised, file: 0, first: found.last() };
            mark.begin(&**disk, true, true).map_err(doing("write what the journal has"))?;
        }
        journal::remove_unused(&**disk, &found.files()).map_err(doing("make room"))?;
    }
    let mut partitions = from_checkpoint(&checkpoint);
    // Of builds before nothing else says that there was a journal.
    let is_unexplained = !checkpoint.clean
        && !checkpoint.journal
        && !journal::is_there(&**disk).map_err(doing("list the log directory"))?;
    if is_unexplained && let Some(metadata) = partitions.get_mut(&(METADATA_ID, 0)) {
        let looked = metadata.find_unexplained(&**disk, &dir(METADATA_TOPIC, 0));
        looked.map_err(doing("look at the metadata topic"))?;
    }
    let definitions =
        read_metadata(disk, &settings, found.as_ref(), &mut partitions, &mut damaged)?;
    let others = names(&definitions, |id| id != METADATA_ID);
    find_places(&**disk, &others, &definitions.deleted, checkpoint.raised, found.is_some())
        .map_err(doing("look through the log directory"))?;
    replay(disk, &settings, found.as_ref(), &others, &mut partitions)?;

    let watermarks = Watermarks::new();
    let mut catalog = Catalog::default();
    let mut opening = Opening {
        disk,
        settings: &settings,
        watermarks: &watermarks,
        pending: Pending::default(),
        budget: Budget::default(),
        mended: false,
        told_replaced: checkpoint.format > 0,
        is_unexplained,
        cut: 0,
    };
    let mut tails = Tails::default();
    for (name, record) in definitions.topics() {
        let (topic, more) = opening.topic(&definitions, &mut partitions, name, record)?;
        for tail in more {
            tails.put(tail);
        }
        catalog.insert(topic);
    }
    let Opening { mut pending, mended, cut, .. } = opening;
    if cut > 0 {
        tracing::info!(bytes = cut, "cut off what was being appended when the process ended");
    }
    let unclean = found.is_some();
    let mut closed = None;
    // Its format stays with its partitions, which are those of the one before.
    let is_vouched_for = checkpoint.journal;
    let mut next =
        Checkpoint { raised: checkpoint.raised + 1, clean: false, journal: true, ..checkpoint };
    let (mut in_use, mut inline) = (Vec::new(), 0);
    // Before any checkpoint that says that it is there.
    let begin_journal = |next: &Checkpoint, first: u64, is_needed: bool| {
        let mark = Mark { epoch: next.raised, file: 0, first };
        let begun = mark.begin(&**disk, is_vouched_for, is_needed);
        begun.map_err(doing("write what the journal has"))
    };
    match found.filter(|found| !found.is_empty()) {
        Some(found) if damaged || mended => {
            // What lies behind the damage must never be taken for frames of ours, nor those of
            // what was mended be applied again.
            next.partitions = tails.iter().filter(|tail| tail.end > 0).map(Tail::state).collect();
            begin_journal(&next, found.last(), true)?;
            next = settle(disk, next, found.last(), &mut pending)?;
        }
        Some(found) => {
            found.write_last_again(&**disk).map_err(doing("write the last frame again"))?;
            begin_journal(&next, found.last() + 1, true)?;
            next.write(&**disk).map_err(doing("write the checkpoint"))?;
            (in_use, inline) = (found.files(), found.bytes());
            next.sequence = found.last();
        }
        None if !unclean && !mended => {
            let is_there = is_vouched_for && Mark::is_there(&**disk).map_err(doing("look"))?;
            if !is_there {
                begin_journal(&next, next.sequence + 1, true)?;
            }
            next.epoch = next.raised;
            closed = Some(Box::new(next.clone()));
        }
        None => {
            next.epoch = next.raised;
            if mended {
                next.partitions =
                    tails.iter().filter(|tail| tail.end > 0).map(Tail::state).collect();
            }
            begin_journal(&next, next.sequence + 1, false)?;
            next.write(&**disk).map_err(doing("write the checkpoint"))?;
        }
    }
    let Checkpoint { raised: epoch, sequence, salt, .. } = next;
    clean_up(&**disk, &definitions, epoch).map_err(doing("set directories aside"))?;
    if unclean {
        journal::remove_unused(&**disk, &in_use).map_err(doing("tidy the journal"))?;
    }
    let LogSettings { journal_file_min, journal_file_max, checkpoint_inline_bytes, .. } = settings;
    // What comes between two checkpoints goes into files that were used before.
    let kept = checkpoint_inline_bytes + journal_file_max;
    let journal =
        Journal::new(disk, epoch, journal_file_min, journal_file_max, kept, &in_use, unclean)
            .map_err(doing("open the journal"))?;
    let is_new = definitions.cluster.is_none();
    let cluster = definitions.cluster.unwrap_or_else(new_cluster_id);
    if let Some(newest) = tails.iter().map(|tail| tail.last_time).filter(|time| *time > 0).max() {
        settings.clock.continue_from(newest);
    }
    let disk = Arc::clone(disk);
    let shared = Shared::new(disk, settings, watermarks, catalog, epoch, cluster);
    for tail in tails.iter() {
        shared.report_offline(&tail.partition);
    }
    let producer_ids = definitions.producer_ids;
    let start =
        Start { journal, epoch, sequence, salt, tails, producer_ids, inline, pending, closed };
    Ok(Opened { shared, start, is_new })
}

/// Makes the sizes of our own files fit a small disk: 32 MiB must do.
fn fit(settings: &mut LogSettings, disk: &dyn Disk) -> Result<(), OpenError> {
    let total = disk.space().map_err(doing("ask for the room on the disk"))?.total;
    let part = |share: u64| (total / share).next_multiple_of(journal::PAGE);
    settings.journal_file_min = settings.journal_file_min.min(part(32));
    settings.journal_file_max = settings.journal_file_max.min(part(16));
    settings.internal_segment_bytes = settings.internal_segment_bytes.min(part(16));
    settings.checkpoint_inline_bytes = settings.checkpoint_inline_bytes.min(part(8));
    // What frees room may need a new file of the journal for it.
    let least = settings.journal_file_min + BALLAST_SLACK;
    settings.ballast_bytes = settings.ballast_bytes.min(part(32)).max(least);
    Ok(())
}

fn read_checkpoint(disk: &dyn Disk) -> Result<Checkpoint, OpenError> {
    let found = Checkpoint::read(disk).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => OpenError::Torn(format!("the checkpoint: {error}")),
        io::ErrorKind::Unsupported => OpenError::Unknown(error.to_string()),
        _ => doing("read the checkpoint")(error),
    })?;
    if let Some(checkpoint) = found {
        return Ok(checkpoint);
    }
    let entries = disk.list("").map_err(doing("list the log directory"))?;
    if entries.iter().any(|entry| entry.name == "meta.properties") {
        let reason = "it is a directory of Apache Kafka; give sluice one of its own (log.dirs)";
        return Err(OpenError::Unknown(reason.to_owned()));
    }
    let is_partition = |entry: &&Entry| entry.is_dir && place::is_partition(&entry.name);
    let left = entries.iter().find(is_partition).map(|entry| entry.name.as_str());
    let has_frames = journal::are_there(disk).map_err(doing("list the journal"))?;
    if let Some(dir) = left.or(has_frames.then_some(journal::DIR)) {
        let what = format!("the checkpoint is missing, though there is a directory {dir}");
        return Err(OpenError::Torn(what));
    }
    let (salt, _) = Uuid::new_v4().as_u64_pair();
    let (format, salt) = (checkpoint::FORMAT, (salt >> 32) as u32);
    let first = Checkpoint { format, salt, ..Checkpoint::default() };
    first.write(disk).map_err(doing("write the first checkpoint"))?;
    Ok(first)
}

/// The frames behind a checkpoint, and what of them is lost.
fn scan(disk: &dyn Disk, checkpoint: &Checkpoint) -> io::Result<Found> {
    let Checkpoint { salt, epoch, sequence, raised, .. } = *checkpoint;
    let mut found = journal::scan(disk, salt, epoch, sequence)?;
    if checkpoint.journal && found.damage.is_none() {
        found.damage = journal::missing(disk, raised, &found)?;
    }
    Ok(found)
}

fn from_checkpoint(checkpoint: &Checkpoint) -> Partitions {
    let states = checkpoint.partitions.iter();
    let is_listed = checkpoint.format > 0;
    let recovering = |state| Recovering::new(state, is_listed);
    states.map(|state| ((state.topic, state.partition), recovering(state))).collect()
}

/// Recovers the metadata topic, and reads what it says.
fn read_metadata(
    disk: &Arc<dyn Disk>,
    settings: &LogSettings,
    found: Option<&Found>,
    partitions: &mut Partitions,
    damaged: &mut bool,
) -> Result<Definitions, OpenError> {
    let mut definitions = Definitions::default();
    let own = names(&definitions, |id| id == METADATA_ID);
    let key = (METADATA_ID, 0);
    if let Some(recovering) = partitions.get(&key) {
        // Before anything of it is read.
        let placed = recovering.place_again(&**disk, &dir(METADATA_TOPIC, 0));
        placed.map_err(doing("place segments of the metadata topic again"))?;
    }
    *damaged |= replay(disk, settings, found, &own, partitions)?;
    let Some(recovering) = partitions.get_mut(&key) else { return Ok(definitions) };
    let removed = recovering.remove_stale(&**disk, &dir(METADATA_TOPIC, 0));
    removed.map_err(doing("remove what was refused of the metadata topic"))?;
    let looked = recovering.find_missing(&**disk, &dir(METADATA_TOPIC, 0));
    looked.map_err(doing("list the metadata topic"))?;
    if let Some(lacking) = recovering.lacking() {
        *damaged |= refuse_damage(&lacking.what, settings)?;
    }
    let stored = recovering.read_all(&**disk, &dir(METADATA_TOPIC, 0));
    let stored = stored.map_err(|problem| of_problem(problem, "read the metadata topic"))?;
    let read = definitions.read(&stored.into_iter().map(Bytes::from).collect::<Vec<_>>());
    match read {
        Ok(()) => {}
        Err(Unread::Newer(text)) => return Err(OpenError::Unknown(text)),
        Err(Unread::Damaged(error)) => {
            *damaged |= refuse_damage(&format!("the metadata topic: {error}"), settings)?;
        }
    }
    Ok(definitions)
}

/// Topic names by id.
fn names(definitions: &Definitions, wanted: impl Fn(Uuid) -> bool) -> HashMap<Uuid, String> {
    let all = definitions.topics().map(|(name, record)| (record.id, name.to_owned()));
    all.filter(|(id, _)| wanted(*id)).collect()
}

/// Applies the frames' entries of the topics in `names`. Those of others are of topics
/// that were deleted later, or have their own turn. True if damage ended it.
fn replay(
    disk: &Arc<dyn Disk>,
    settings: &LogSettings,
    found: Option<&Found>,
    names: &HashMap<Uuid, String>,
    partitions: &mut Partitions,
) -> Result<bool, OpenError> {
    let Some(found) = found else { return Ok(false) };
    let outside = found.outside();
    let replayed = found.replay(|entry, bytes| {
        let Some(name) = names.get(&entry.topic) else { return Ok(()) };
        let key = (entry.topic, entry.partition);
        let recovering = partitions.entry(key).or_insert_with(|| Recovering::empty(key));
        recovering.apply(&**disk, &dir(name, entry.partition), entry, bytes, &outside)
    });
    match replayed {
        Ok(()) => Ok(false),
        Err(Problem::Io(error)) => Err(doing("apply the journal")(error)),
        Err(Problem::Damage(damage)) => refuse_damage(&damage.what, settings),
    }
}

/// Makes durable what was recovered, with a checkpoint that lets no older frame count.
fn settle(
    disk: &Arc<dyn Disk>,
    checkpoint: Checkpoint,
    sequence: u64,
    pending: &mut Pending,
) -> Result<Checkpoint, OpenError> {
    let checkpoint = Checkpoint { epoch: checkpoint.raised, sequence, ..checkpoint };
    let Pending { dirty, sealed, .. } = std::mem::take(pending);
    let lost = Arc::default();
    let job = CheckpointJob { checkpoint: checkpoint.clone(), dirty, sealed, lost };
    match job.carry_out(&**disk, &|| true).result {
        Ok(_) => Ok(checkpoint),
        Err(failure) => Err(doing("write the checkpoint")(io::Error::other(failure.to_string()))),
    }
}

/// What opening the topics needs, and collects.
struct Opening<'a> {
    disk: &'a Arc<dyn Disk>,
    settings: &'a LogSettings,
    watermarks: &'a Watermarks,
    pending: Pending,
    budget: Budget,
    /// Whether the checkpoint says what compaction may have replaced.
    told_replaced: bool,
    /// The directory of the journal is not there, and nobody knows whether it was.
    is_unexplained: bool,
    /// Bytes that were cut off behind committed ends.
    cut: u64,
    /// Something was changed, as an operator accepts damage.
    mended: bool,
}

impl Opening<'_> {
    /// One topic with its partitions cut to their committed ends.
    fn topic(
        &mut self,
        definitions: &Definitions,
        partitions: &mut Partitions,
        name: &str,
        record: TopicRecord,
    ) -> Result<(Arc<Topic>, Vec<Tail>), OpenError> {
        let settings = self.settings;
        // A setting that another version allowed must not keep the log from opening.
        let config = TopicConfig::changed(name, &record.config, [], settings)
            .map_err(|error| OpenError::Unknown(error.to_string()))?;
        let mut opened = Vec::new();
        for number in 0..record.partitions {
            let key = (record.id, number);
            let mut recovering = partitions.remove(&key).unwrap_or_else(|| Recovering::empty(key));
            recovering.raise_start(definitions.starts.get(&key).copied().unwrap_or(0));
            let dir = dir(name, number);
            let judged = self.told_replaced || !config.compact;
            if self.is_unexplained && record.id != METADATA_ID {
                recovering.find_unexplained(&**self.disk, &dir).map_err(doing(&dir))?;
                if let Some(lacking) = recovering.lacking().cloned() {
                    recovering.note(lacking);
                }
            }
            let mut segments = self.partition(&mut recovering, &dir, judged)?;
            // What may not be opened may be whole.
            let is_lost =
                recovering.damage().is_some_and(|damage| damage.kind != DamageKind::Forbidden);
            if is_lost && settings.accept_damage.of(&dir) {
                self.mend(&mut recovering, &dir)?;
                segments = self.partition(&mut recovering, &dir, judged)?;
            }
            self.cut += recovering.cut;
            let slot = self.watermarks.add(recovering.ends());
            let aborted = std::mem::take(&mut recovering.aborted);
            let partition = Partition::new(name, number, slot, segments.clone(), aborted);
            if let Some(damage) = recovering.damage() {
                partition.take_offline(damage.clone());
            }
            opened.push((Arc::new(partition), recovering, dir, segments.last().cloned()));
        }
        let all = opened.iter().map(|(partition, ..)| Arc::clone(partition)).collect();
        let topic = Arc::new(Topic::new(name, record, config, all));
        let mut tails = Vec::new();
        for (partition, recovering, dir, active) in opened {
            let frozen = match recovering.damage() {
                Some(_) => Some(recovering.freeze(&**self.disk, &dir).map_err(doing(&dir))?),
                None => None,
            };
            let Recovering { state, producers, .. } = recovering;
            let mut tail = Tail::new(Arc::clone(&topic), partition, &state, active, producers);
            if let Some(frozen) = frozen {
                tail.freeze(frozen);
            }
            tails.push(tail);
        }
        Ok((topic, tails))
    }

    /// Cuts a partition to its end, and looks for damage of it.
    fn partition(
        &mut self,
        recovering: &mut Recovering,
        dir: &str,
        judged: bool,
    ) -> Result<Vec<Arc<Segment>>, OpenError> {
        let mut pending = Pending::default();
        let segments = recovering.cut(self.disk, dir, self.settings, &mut pending);
        let segments =
            segments.map_err(|problem| of_problem(problem, &format!("open partition {dir}")))?;
        let mut damage = recovering.lacking().filter(|_| judged).cloned();
        if recovering.damage().is_none() && damage.is_none() {
            damage = self.look(recovering, &segments)?;
        }
        if let Some(damage) = damage {
            if recovering.state.topic == METADATA_ID {
                refuse_damage(&damage.what, self.settings)?;
            } else {
                recovering.note(damage);
            }
        }
        if recovering.damage().is_some() {
            return Ok(Vec::new());
        }
        self.pending.add(pending);
        Ok(segments)
    }

    /// Looks at the segment in which there was damage before, and at the newest one if that takes
    /// no time.
    fn look(
        &mut self,
        recovering: &Recovering,
        segments: &[Arc<Segment>],
    ) -> Result<Option<Damage>, OpenError> {
        let end = recovering.state.end;
        let looking = "look at a segment";
        if let Some(damaged) = recovering.state.damaged
            && let Some(at) = segments.iter().position(|segment| segment.base() == damaged)
        {
            let end = segments.get(at + 1).map_or(end, |next| next.base());
            let found = damage::look(&segments[at], end).map_err(doing(looking))?;
            if found.is_some() {
                return Ok(found);
            }
        }
        match segments.last() {
            Some(newest) => self.budget.look(newest, end).map_err(doing(looking)),
            None => Ok(None),
        }
    }

    /// Goes on without what damage hit, as an operator says.
    fn mend(&mut self, recovering: &mut Recovering, dir: &str) -> Result<(), OpenError> {
        let damage = recovering.damage().map(ToString::to_string).unwrap_or_default();
        let lost = recovering.mend(&**self.disk, dir).map_err(doing("mend a partition"))?;
        let offsets: i64 = lost.iter().map(|range| range.end - range.start).sum();
        let end = recovering.state.end;
        tracing::error!(
            damage,
            "partition {dir} goes on at offset {end} without {offsets} offsets that are lost: {}",
            Lost(&lost)
        );
        self.mended = true;
        Ok(())
    }
}

/// Ranges of offsets, the last of each included.
struct Lost<'a>(&'a [Range<i64>]);

impl fmt::Display for Lost<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, Range { start, end }) in self.0.iter().enumerate() {
            let separator = if at == 0 { "" } else { ", " };
            write!(f, "{separator}{start} to {}", end - 1)?;
        }
        if self.0.is_empty() { f.write_str("none") } else { Ok(()) }
    }
}

/// Gives directories their names back whose topic was not deleted in the end, and sets those
/// aside that have the name of a partition and the id of another topic.
fn find_places(
    disk: &dyn Disk,
    names: &HashMap<Uuid, String>,
    deleted: &HashSet<Uuid>,
    epoch: u64,
    unclean: bool,
) -> io::Result<()> {
    if !unclean {
        return Ok(());
    }
    let others: HashSet<Uuid> = names.keys().chain(deleted).copied().collect();
    let ids: HashMap<&str, Uuid> = names.iter().map(|(id, name)| (name.as_str(), *id)).collect();
    let entries = disk.list("")?;
    let mut renamed = Vec::new();
    for entry in entries.iter().filter(|entry| entry.is_dir && place::is_partition(&entry.name)) {
        let Some((topic, number)) = entry.name.rsplit_once('-') else { continue };
        let Some(id) = ids.get(topic) else { continue };
        let is_leaving = number.parse().is_ok_and(|number| {
            let leaving = place::leaving(*id, number);
            entries.iter().any(|other| other.name == leaving)
        });
        match place::owner(disk, &entry.name)? {
            Some(owner) if owner == *id => {}
            Some(owner) if is_leaving || others.contains(&owner) => {
                renamed.push((entry.name.clone(), place::set_aside(disk, &entry.name, epoch)?));
            }
            // None that can be read, or one that no topic ever had. The name decides; that it
            // cannot be written changes nothing.
            None | Some(_) => {
                let _ = place::set_owner(disk, &entry.name, *id);
            }
        }
    }
    for entry in entries.iter().filter(|entry| entry.is_dir) {
        if let Some(Leaving::Of(id, number)) = place::parse_leaving(&entry.name)
            && let Some(name) = names.get(&id)
        {
            let dir = dir(name, number);
            disk.rename(&entry.name, &dir)?;
            renamed.push((entry.name.clone(), dir));
        }
    }
    if renamed.is_empty() { Ok(()) } else { sync_renamed(disk, &renamed) }
}

/// Makes the names of directories durable, each with the one it had before; they come back if that
/// fails.
fn sync_renamed(disk: &dyn Disk, renamed: &[(String, String)]) -> io::Result<()> {
    disk.sync_dir("").inspect_err(|_| {
        for (before, now) in renamed.iter().rev() {
            let _ = disk.rename(now, before); // the next start tries again
        }
    })
}

/// Removes what no frame names, and sets aside what nobody knows. Nothing of that is needed:
/// what fails is tried again at the next start. But a name must not be lost in a failed sync.
fn clean_up(disk: &dyn Disk, definitions: &Definitions, epoch: u64) -> io::Result<()> {
    let told = |what: &str, result: io::Result<()>| {
        if let Err(error) = result {
            tracing::warn!(%error, path = what, "could not clean up; the next start tries again");
        }
    };
    let list = |dir: &str| {
        disk.list(dir).unwrap_or_else(|error| {
            told(dir, Err(error));
            Vec::new()
        })
    };
    let mut expected = BTreeSet::new();
    for (name, record) in definitions.topics() {
        expected.extend((0..record.partitions).map(|number| dir(name, number)));
    }
    for dir in [staged::DIR, compaction::DIR] {
        for entry in list(dir) {
            let path = format!("{dir}/{}", entry.name);
            told(&path, disk.remove_file(&path));
        }
    }
    let mut renamed = Vec::new();
    let known: BTreeSet<Uuid> = definitions.topics().map(|(_, record)| record.id).collect();
    for entry in list("").into_iter().filter(|entry| entry.is_dir) {
        if let Some(leaving) = place::parse_leaving(&entry.name) {
            let is_known = matches!(leaving, Leaving::Of(id, _) if known.contains(&id));
            if !is_known {
                told(&entry.name, disk.remove_dir(&entry.name));
            }
        } else if place::is_partition(&entry.name) && !expected.contains(&entry.name) {
            let owner = place::owner(disk, &entry.name).ok().flatten();
            if owner.is_some_and(|id| definitions.deleted.contains(&id)) {
                told(&entry.name, disk.remove_dir(&entry.name));
            } else {
                match place::set_aside(disk, &entry.name, epoch) {
                    Ok(aside) => renamed.push((entry.name, aside)),
                    Err(error) => told(&entry.name, Err(error)),
                }
            }
        }
    }
    if renamed.is_empty() { Ok(()) } else { sync_renamed(disk, &renamed) }
}

/// Passes damage only if that is what the operator wants: then it answers true.
fn refuse_damage(damage: &str, settings: &LogSettings) -> Result<bool, OpenError> {
    if settings.accept_damage == AcceptDamage::All {
        tracing::error!(damage, "goes on behind damage, as it was told to");
        Ok(true)
    } else {
        Err(OpenError::Damaged(damage.to_owned()))
    }
}

/// Of damage that nothing tells a way past.
fn of_problem(problem: Problem, what: &str) -> OpenError {
    match problem {
        Problem::Io(error) => doing(what)(error),
        Problem::Damage(damage) => OpenError::Torn(damage.what),
    }
}

fn doing(what: &str) -> impl FnOnce(io::Error) -> OpenError {
    move |source| OpenError::Io { doing: what.to_owned(), source }
}

/// 16 random bytes in 22 characters, as Kafka writes its cluster ids.
fn new_cluster_id() -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(Uuid::new_v4().as_bytes())
}
