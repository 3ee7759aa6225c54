//! What an operator may set of the log, and the sizes that the design fixes.

use std::collections::BTreeSet;

use crate::clock::Clock;

/// What damage a start passes over, going on without what it hit. Only when an operator says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AcceptDamage {
    /// None.
    #[default]
    None,
    /// That of these partitions, each as `<topic>-<number>`.
    Of(BTreeSet<String>),
    /// Whatever there is.
    All,
}

impl AcceptDamage {
    /// Whether it is accepted of a partition.
    pub(super) fn of(&self, partition: &str) -> bool {
        match self {
            Self::None => false,
            Self::Of(partitions) => partitions.contains(partition),
            Self::All => true,
        }
    }
}

/// See [`LogSettings::producers_of_partition`].
pub(super) const PRODUCERS_OF_PARTITION: usize = 10_000;

/// The settings of the log; topics override some by their own configuration.
#[derive(Clone, Debug)]
pub struct LogSettings {
    /// `log.segment.bytes`: a segment is rolled before it grows beyond.
    pub segment_bytes: u64,
    /// `log.roll.ms`: a segment is rolled when its first record is older.
    pub segment_ms: i64,
    /// `log.retention.ms`: older inactive segments are deleted; `None` keeps them.
    pub retention_ms: Option<i64>,
    /// `log.retention.bytes`: of a partition; `None` is without limit.
    pub retention_bytes: Option<u64>,
    /// `log.retention.check.interval.ms`.
    pub retention_check_ms: u64,
    /// `message.max.bytes`.
    pub message_max_bytes: usize,
    /// `log.index.interval.bytes`: an index entry each so many bytes of a segment.
    pub index_interval_bytes: u64,
    /// Internal topics are rolled, and compacted, at this size.
    pub internal_segment_bytes: u64,
    /// A transaction of an instance larger than this is staged in files of its own.
    pub staged_above: usize,
    /// The largest share of a group that one partition may have inline.
    pub reference_from: usize,
    /// The size of the first journal files.
    pub journal_file_min: u64,
    /// The size up to which journal files grow with the load.
    pub journal_file_max: u64,
    /// A checkpoint is written after so many inline bytes,
    pub checkpoint_inline_bytes: u64,
    /// or so many bytes by reference,
    pub checkpoint_reference_bytes: u64,
    /// or so many milliseconds: `log.flush.offset.checkpoint.interval.ms`.
    pub checkpoint_ms: u64,
    /// One that could not be written is tried again behind so many milliseconds; behind each further
    /// failure in twice as many, up to 64 times that.
    pub checkpoint_retry_ms: u64,
    /// How many keys one run of compaction remembers, about 50 bytes each.
    pub compaction_keys: usize,
    /// How many producers are remembered over all partitions, some 250 bytes each,
    pub producers: usize,
    /// and of one partition.
    pub producers_of_partition: usize,
    /// How many bytes may wait for the appender; more wait before it.
    pub queue_bytes: usize,
    /// What damage the next start passes over.
    pub accept_damage: AcceptDamage,
    /// Kept aside, to have room for what frees room.
    pub ballast_bytes: u64,
    /// Where something was refused and nobody tries again, it is tried so often, in milliseconds.
    pub look_again_ms: u64,
    /// What time it is.
    pub clock: Clock,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            segment_bytes: 1 << 30,
            segment_ms: 7 * 24 * 3600 * 1000,
            retention_ms: Some(7 * 24 * 3600 * 1000),
            retention_bytes: None,
            retention_check_ms: 300_000,
            message_max_bytes: 1_048_588,
            index_interval_bytes: 4096,
            internal_segment_bytes: 16 << 20,
            staged_above: 8 << 20,
            reference_from: 256 << 10,
            journal_file_min: 4 << 20,
            journal_file_max: 64 << 20,
            checkpoint_inline_bytes: 256 << 20,
            checkpoint_reference_bytes: 1 << 30,
            checkpoint_ms: 60_000,
            checkpoint_retry_ms: 100,
            compaction_keys: 1 << 20,
            producers: 100_000,
            producers_of_partition: PRODUCERS_OF_PARTITION,
            queue_bytes: 32 << 20,
            accept_damage: AcceptDamage::None,
            ballast_bytes: 4 << 20,
            look_again_ms: 10_000,
            clock: Clock::default(),
        }
    }
}
