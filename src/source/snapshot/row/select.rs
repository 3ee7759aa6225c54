//! How each column is asked for, so that what comes is what is stored.

use crate::change::{Column, ColumnType, PluginType};
use crate::mysql::identifier;

/// The expressions of columns, one behind the other.
pub(super) fn list<'a>(columns: impl Iterator<Item = &'a Column>) -> String {
    columns.map(expression).collect::<Vec<_>>().join(", ")
}

fn expression(column: &Column) -> String {
    let name = identifier(&column.name);
    match column.kind {
        // As numbers: labels may be equal to each other, or to the empty text of an invalid value.
        // (`+ 0` would make them DOUBLEs, which cannot hold a SET of 64 labels.)
        ColumnType::Enum { .. } | ColumnType::Set { .. } => format!("CAST({name} AS UNSIGNED)"),
        // As the bytes that the binlog has, not as texts.
        ColumnType::Plugin(PluginType::Uuid | PluginType::Inet6) => {
            format!("CAST({name} AS BINARY(16))")
        }
        ColumnType::Plugin(PluginType::Inet4) => format!("CAST({name} AS BINARY(4))"),
        ColumnType::Tiny { .. }
        | ColumnType::Short { .. }
        | ColumnType::Int24 { .. }
        | ColumnType::Long { .. }
        | ColumnType::LongLong { .. }
        | ColumnType::Float
        | ColumnType::Double
        | ColumnType::Decimal { .. }
        | ColumnType::Bit { .. }
        | ColumnType::Year
        | ColumnType::Date
        | ColumnType::OldTime
        | ColumnType::Time { .. }
        | ColumnType::OldDateTime
        | ColumnType::DateTime { .. }
        | ColumnType::OldTimestamp
        | ColumnType::HiresTime { .. }
        | ColumnType::HiresDateTime { .. }
        | ColumnType::HiresTimestamp { .. }
        | ColumnType::Timestamp { .. }
        | ColumnType::Char { .. }
        | ColumnType::Binary { .. }
        | ColumnType::VarChar { .. }
        | ColumnType::VarBinary { .. }
        | ColumnType::Text { .. }
        | ColumnType::Blob { .. }
        | ColumnType::CompressedVarChar { .. }
        | ColumnType::CompressedText { .. }
        | ColumnType::Json { .. }
        | ColumnType::Geometry { .. }
        | ColumnType::Vector { .. } => name,
    }
}
