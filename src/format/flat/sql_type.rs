//! The numbers of `java.sql.Types` that Canal gives to columns.

use crate::binlog::Cell;
use crate::change::{Charset, ColumnType};

use super::{EnumForm, FlatSettings};

const BIGINT: i16 = -5;
const BIT: i16 = -7;
const BLOB: i16 = 2004;
const CHAR: i16 = 1;
const CLOB: i16 = 2005;
const DATE: i16 = 91;
const DECIMAL: i16 = 3;
const DOUBLE: i16 = 8;
const INTEGER: i16 = 4;
const OTHER: i16 = 1111;
const REAL: i16 = 7;
const SMALLINT: i16 = 5;
const TIME: i16 = 92;
const TIMESTAMP: i16 = 93;
const TINYINT: i16 = -6;
const VARCHAR: i16 = 12;

/// The number of a column. With some types it depends on the value; the last row of an
/// event then decides for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SqlType {
    /// Always the same.
    Fixed(i16),
    /// An unsigned integer: the next wider type when its top bit is set.
    Unsigned { low: i16, high: i16 },
    /// Another number for NULL.
    Nullable { value: i16, null: i16 },
}

impl SqlType {
    pub(super) fn new(kind: ColumnType, settings: &FlatSettings) -> Self {
        Self::Fixed(match kind {
            ColumnType::Tiny { unsigned: true } => {
                return Self::Unsigned { low: TINYINT, high: SMALLINT };
            }
            ColumnType::Short { unsigned: true } => {
                return Self::Unsigned { low: SMALLINT, high: INTEGER };
            }
            ColumnType::Long { unsigned: true } => {
                return Self::Unsigned { low: INTEGER, high: BIGINT };
            }
            ColumnType::LongLong { unsigned: true } => {
                return Self::Unsigned { low: BIGINT, high: DECIMAL };
            }
            ColumnType::Json { .. } => return Self::Nullable { value: VARCHAR, null: OTHER },
            ColumnType::Enum { .. } | ColumnType::Set { .. }
                if settings.labels == EnumForm::Label =>
            {
                VARCHAR
            }
            ColumnType::Set { .. } => return Self::Nullable { value: BIT, null: BLOB },
            ColumnType::Tiny { unsigned: false } => TINYINT,
            ColumnType::Short { unsigned: false } => SMALLINT,
            // Canal's type of MEDIUMINT is wide enough for all of its values
            ColumnType::Int24 { .. }
            | ColumnType::Long { unsigned: false }
            | ColumnType::Enum { .. } => INTEGER,
            ColumnType::LongLong { unsigned: false } => BIGINT,
            ColumnType::Float => REAL,
            ColumnType::Double => DOUBLE,
            ColumnType::Decimal { .. } => DECIMAL,
            ColumnType::Bit { .. } => BIT,
            ColumnType::Date => DATE,
            ColumnType::OldTime | ColumnType::HiresTime { .. } | ColumnType::Time { .. } => TIME,
            ColumnType::OldDateTime
            | ColumnType::DateTime { .. }
            | ColumnType::OldTimestamp
            | ColumnType::HiresDateTime { .. }
            | ColumnType::HiresTimestamp { .. }
            | ColumnType::Timestamp { .. } => TIMESTAMP,
            // by its wire type, and the text of the server
            ColumnType::Char { .. } | ColumnType::Plugin(_) => CHAR,
            ColumnType::CompressedVarChar { charset: Charset::Binary, .. }
            | ColumnType::CompressedText { charset: Charset::Binary, .. }
            | ColumnType::Binary { .. }
            | ColumnType::VarBinary { .. }
            | ColumnType::Blob { .. }
            | ColumnType::Geometry { .. } => BLOB,
            // Canal stops at a VECTOR; it is published as the server's text of it
            ColumnType::Year
            | ColumnType::VarChar { .. }
            | ColumnType::CompressedVarChar { .. }
            | ColumnType::Vector { .. } => VARCHAR,
            ColumnType::Text { .. } | ColumnType::CompressedText { .. } => CLOB,
        })
    }

    /// Whether a value can change it.
    pub(super) fn depends_on_value(self) -> bool {
        !matches!(self, Self::Fixed(_))
    }

    /// The number when the value is `cell`.
    pub(super) fn of(self, cell: Cell<'_>) -> i16 {
        match (self, cell) {
            (Self::Fixed(number), _) => number,
            (Self::Nullable { null, .. }, Cell::Null) => null,
            (Self::Nullable { value, .. }, _) => value,
            // little-endian: the top bit is in the last byte
            (Self::Unsigned { low, high }, Cell::Raw(bytes)) => {
                if bytes.last().is_some_and(|byte| byte & 0x80 != 0) { high } else { low }
            }
            (Self::Unsigned { low, .. }, Cell::Null | Cell::Absent) => low,
        }
    }
}
