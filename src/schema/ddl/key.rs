//! Keys and constraints: the primary key by its columns, others that are unique by their number.
#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use super::cursor::Cursor;

/// What a clause about keys defines.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// PRIMARY KEY.
    Primary(PrimaryKey),
    /// UNIQUE.
    Unique,
    /// INDEX, KEY, FULLTEXT, SPATIAL, VECTOR.
    Index,
    /// FOREIGN KEY, CHECK.
    Constraint,
    /// PERIOD FOR a name other than `SYSTEM_TIME`.
    Period(Period),
    /// PERIOD FOR SYSTEM_TIME.
    SystemPeriod,
}

/// A primary key as the text has it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct PrimaryKey {
    /// Those that are named before a period.
    pub(super) columns: Vec<String>,
    /// The period that is named WITHOUT OVERLAPS.
    period: Option<String>,
    /// Not if there is one (IF NOT EXISTS).
    pub(super) keep: bool,
}

/// A period and its two columns (MariaDB).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Period {
    name: String,
    start: String,
    end: String,
}

impl PrimaryKey {
    /// Its columns: a period stands for the two of its own, the end first
    /// (`append_system_key_parts`, sql/sql_table.cc of MariaDB).
    pub(super) fn resolve(mut self, periods: &[Period]) -> Result<Vec<String>, String> {
        if let Some(name) = self.period {
            let period = periods.iter().find(|one| one.name.eq_ignore_ascii_case(&name));
            let Some(period) = period else {
                return Err(format!("the columns of period `{name}` in its key are not known"));
            };
            self.columns.extend([period.end.clone(), period.start.clone()]);
        }
        Ok(self.columns)
    }
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
        Key::Primary(primary_key(cursor))
    } else if cursor.accept(&["unique"]) {
        Key::Unique
    } else if cursor.accept_any(&["index", "key", "fulltext", "spatial"])
        || cursor.accept(&["vector", "index"])
        || cursor.accept(&["vector", "key"])
    {
        Key::Index
    } else if cursor.accept(&["period", "for", "system_time"]) {
        Key::SystemPeriod
    } else if named || cursor.accept(&["foreign", "key"]) || cursor.accept(&["check"]) {
        Key::Constraint
    } else if cursor.accept(&["period", "for"]) {
        period(cursor).map_or(Key::Constraint, Key::Period)
    } else {
        return None;
    };
    cursor.skip_clause();
    Some(found)
}

/// `name (start, end)`.
fn period(cursor: &mut Cursor<'_>) -> Option<Period> {
    cursor.accept(&["if", "not", "exists"]);
    let name = cursor.name()?;
    cursor.accept_symbol('(');
    let start = cursor.name()?;
    cursor.accept_symbol(',');
    let end = cursor.name()?;
    cursor.accept_symbol(')');
    Some(Period { name, start, end })
}

/// The columns in the next parentheses, without lengths and directions.
fn primary_key(cursor: &mut Cursor<'_>) -> PrimaryKey {
    let keep = cursor.accept(&["if", "not", "exists"]);
    let mut found = PrimaryKey { keep, ..PrimaryKey::default() };
    while !cursor.is_clause_end() && !cursor.is_symbol('(') {
        cursor.next();
    }
    cursor.accept_symbol('(');
    while let Some(name) = cursor.name() {
        if cursor.accept(&["without", "overlaps"]) {
            found.period = Some(name);
        } else {
            found.columns.push(name);
        }
        cursor.skip_clause();
        if !cursor.accept_symbol(',') {
            break;
        }
    }
    cursor.accept_symbol(')');
    found
}
