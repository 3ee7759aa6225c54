//! Rows that were there before: copied out of tables, as if the binlog had brought them.

pub mod row;
