//! Messages of statements: DDL, DML in statement format, rows query events.

use crate::binlog::digits::{put_signed, put_unsigned};
use crate::change::{StatementChange, StatementKind};
use crate::format::escape::{put_escaped, put_string};

use super::Stamp;

/// Appends the message of a statement.
pub fn write_statement(statement: &StatementChange, stamp: &Stamp<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"data\":null,\"database\":");
    put_string(out, &statement.schema);
    out.extend_from_slice(b",\"es\":");
    put_signed(out, stamp.es);
    put_gtid_and_id(out, stamp);
    out.extend_from_slice(if statement.is_ddl { b",\"isDdl\":true" } else { b",\"isDdl\":false" });
    out.extend_from_slice(b",\"mysqlType\":null,\"old\":null,\"pkNames\":null,\"sql\":");
    put_string(out, &statement.sql);
    out.extend_from_slice(b",\"sqlType\":null,\"table\":");
    put_string(out, &statement.table);
    out.extend_from_slice(b",\"ts\":");
    put_signed(out, stamp.ts);
    put_type(out, name(statement.kind));
}

/// Appends `,"gtid":"","id":1`.
pub(super) fn put_gtid_and_id(out: &mut Vec<u8>, stamp: &Stamp<'_>) {
    out.extend_from_slice(b",\"gtid\":\"");
    put_escaped(out, stamp.gtid.as_bytes());
    out.extend_from_slice(b"\",\"id\":");
    put_unsigned(out, stamp.id);
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
