//! Messages of statements: DDL, DML in statement format, rows query events.

use std::ops::Range;

use crate::binlog::digits::{put_signed, put_unsigned};
use crate::change::{StatementChange, StatementKind};
use crate::format::escape::{put_escaped, put_string};

use super::{Stamp, StampPlaces};

/// Appends the message of a statement.
pub fn write_statement(
    statement: &StatementChange,
    stamp: &Stamp<'_>,
    out: &mut Vec<u8>,
) -> StampPlaces {
    let start = out.len();
    out.extend_from_slice(b"{\"data\":null,\"database\":");
    put_string(out, &statement.schema);
    out.extend_from_slice(b",\"es\":");
    put_signed(out, stamp.es);
    let (gtid, id) = put_gtid_and_id(out, stamp, start);
    out.extend_from_slice(if statement.is_ddl { b",\"isDdl\":true" } else { b",\"isDdl\":false" });
    out.extend_from_slice(b",\"mysqlType\":null,\"old\":null,\"pkNames\":null,\"sql\":");
    put_string(out, &statement.sql);
    out.extend_from_slice(b",\"sqlType\":null,\"table\":");
    put_string(out, &statement.table);
    out.extend_from_slice(b",\"ts\":");
    let ts = out.len() - start;
    put_signed(out, stamp.ts);
    let ts = ts..out.len() - start;
    put_type(out, name(statement.kind));
    StampPlaces { gtid, id, ts }
}

/// Appends `,"gtid":"","id":1`; where in the message, which begins at `start`, the two are.
pub(super) fn put_gtid_and_id(
    out: &mut Vec<u8>,
    stamp: &Stamp<'_>,
    start: usize,
) -> (Range<usize>, Range<usize>) {
    out.extend_from_slice(b",\"gtid\":\"");
    let text = out.len() - start;
    put_escaped(out, stamp.gtid.as_bytes());
    let gtid = text..out.len() - start;
    out.extend_from_slice(b"\",\"id\":");
    let number = out.len() - start;
    put_unsigned(out, stamp.id);
    (gtid, number..out.len() - start)
}

/// Appends `,"type":"INSERT"}`, the end of every message.
pub(super) fn put_type(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"type\":\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\"}");
}

/// Canal's word (`EventType` of its protocol).
fn name(kind: StatementKind) -> &'static str {
    match kind {
        StatementKind::Create => "CREATE",
        StatementKind::Alter => "ALTER",
        StatementKind::Erase => "ERASE",
        StatementKind::Rename => "RENAME",
        StatementKind::Truncate => "TRUNCATE",
        StatementKind::CreateIndex => "CINDEX",
        StatementKind::DropIndex => "DINDEX",
        StatementKind::Query => "QUERY",
        StatementKind::Insert => "INSERT",
        StatementKind::Update => "UPDATE",
        StatementKind::Delete => "DELETE",
    }
}
