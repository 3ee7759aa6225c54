//! What can be wrong with the bytes of an event. Who reads it adds file, offset and table.

use crate::change::FileName;

/// Why bytes are no event, or hold what is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes end before the thing does.
    #[error("{what} is cut short: {needed} more bytes needed, {left} left")]
    Cut {
        /// What was read.
        what: &'static str,
        /// How many bytes its next part takes.
        needed: usize,
        /// How many there are.
        left: usize,
    },
    /// A field has a value that no server writes there.
    #[error("{what} holds an impossible value: {value}")]
    Impossible {
        /// The field.
        what: &'static str,
        /// Its value.
        value: u64,
    },
    /// Names and statements are UTF-8.
    #[error("{what} is not UTF-8")]
    NotUtf8 {
        /// What was read.
        what: &'static str,
    },
    /// An event does not begin where the one before ended.
    #[error(
        "an event of {size} bytes at {file}:{offset} says that it ends at {log_pos}: events are \
         missing before it"
    )]
    Gap {
        /// The binlog file.
        file: FileName,
        /// Where the event before ended.
        offset: u64,
        /// The event's length in bytes.
        size: u32,
        /// Where it says that it ends, modulo 4 GiB.
        log_pos: u32,
    },
    /// The CRC-32 of an event does not agree with its bytes.
    #[error("the checksum of an event does not match its bytes: they were damaged on the way")]
    Checksum,
    /// A column type that rows cannot hold, or that is younger than this program.
    #[error(
        "column type {code} (metadata {meta}) cannot be decoded; leave the table out by the \
         instance's filter to go on without it"
    )]
    ColumnType {
        /// The server's code, ENUM and SET already found within STRING.
        code: u8,
        /// Its metadata.
        meta: u16,
    },
    /// A collation number that is in no server known.
    #[error("collation {0} is unknown; leave the table out by the instance's filter to go on")]
    Collation(u64),
    /// Something states a size above what is accepted.
    #[error("{what} states {size} bytes, more than the {limit} accepted")]
    TooLarge {
        /// What was read.
        what: &'static str,
        /// The size stated.
        size: u64,
        /// The most accepted.
        limit: u64,
    },
    /// Compressed bytes do not inflate to what is stated.
    #[error("{what} does not inflate: {reason}")]
    Inflate {
        /// What was inflated.
        what: &'static str,
        /// Why not.
        reason: String,
    },
    /// A compressed transaction within another: no server writes it.
    #[error("a compressed transaction holds an event of type {0}, which is never in one")]
    Nested(u8),
    /// A row image and the table's definition do not agree.
    #[error("a row image has {image} columns, the table {table}")]
    Columns {
        /// Columns in the event.
        image: usize,
        /// Columns of the table.
        table: usize,
    },
    /// JSON nested deeper than any server accepts.
    #[error("a JSON value is nested deeper than 100 levels")]
    JsonDepth,
    /// A partial JSON update whose before image does not hold what it changes.
    #[error("a partial JSON update does not fit its before image: {0}")]
    JsonDiff(&'static str),
    /// A GTID or a set of them.
    #[error(transparent)]
    Gtid(#[from] crate::change::GtidError),
}
