//! Keys and constraints: the primary key by its columns, others that are unique by their number.
#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use super::cursor::Cursor;

/// What a clause about keys defines.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// PRIMARY KEY, by its columns.
    Primary(Vec<String>),
    /// UNIQUE.
    Unique,
    /// INDEX, KEY, FULLTEXT, SPATIAL, VECTOR.
    Index,
    /// FOREIGN KEY, CHECK, PERIOD.
    Constraint,
    /// PERIOD FOR SYSTEM_TIME.
    SystemPeriod,
}

/// Reads a key definition up to the end of its clause, if one begins here.
pub(super) fn key(cursor: &mut Cursor<'_>) -> Option<Key> {
    let mut named = false;
    if cursor.accept(&["constraint"]) {
        named = true;
        let unnamed =
            ["primary", "unique", "foreign", "check"].iter().any(|word| cursor.is_word(word));
        if !unnamed {
            cursor.name();
        }
    }
    let found = if cursor.accept(&["primary", "key"]) {
        Key::Primary(columns(cursor))
    } else if cursor.accept(&["unique"]) {
        Key::Unique
    } else if cursor.accept_any(&["index", "key", "fulltext", "spatial"])
        || cursor.accept(&["vector", "index"])
        || cursor.accept(&["vector", "key"])
    {
        Key::Index
    } else if cursor.accept(&["period", "for", "system_time"]) {
        Key::SystemPeriod
    } else if named
        || cursor.accept(&["foreign", "key"])
        || cursor.accept(&["check"])
        || cursor.accept(&["period", "for"])
    {
        Key::Constraint
    } else {
        return None;
    };
    cursor.skip_clause();
    Some(found)
}

/// The columns in the next parentheses, without lengths and directions.
fn columns(cursor: &mut Cursor<'_>) -> Vec<String> {
    let mut found = Vec::new();
    while !cursor.is_clause_end() && !cursor.is_symbol('(') {
        cursor.next();
    }
    cursor.accept_symbol('(');
    while let Some(name) = cursor.name() {
        found.push(name);
        cursor.skip_clause();
        if !cursor.accept_symbol(',') {
            break;
        }
    }
    cursor.accept_symbol(')');
    found
}
