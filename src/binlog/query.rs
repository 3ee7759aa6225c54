//! QUERY: statements, and the texts beside rows.
//!
//! Post-header: thread id u32, seconds it took u32, length of the database's name u8, error code
//! u16, length of the status variables u16. Then the status variables (code u8, value of a length
//! that the code says), the database's name and a NUL, and the statement in the character set of
//! the client. MariaDB's `QUERY_COMPRESSED` has a compressed statement.

#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use std::borrow::Cow;

use super::cursor::Cursor;
use super::{Error, EventType, charset, compressed};
use crate::change::Charset;

/// The longest statement (`max_allowed_packet` goes no higher).
const LONGEST_STATEMENT: u64 = 1 << 30;

/// A statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query<'a> {
    /// The connection it ran on.
    pub thread_id: u32,
    /// How it ended: not 0 when it failed half-way and could not be rolled back.
    pub error_code: u16,
    /// The default database, empty when there was none.
    pub schema: &'a str,
    /// The session it ran in.
    pub status: Status,
    /// The statement, in UTF-8.
    pub text: Cow<'a, str>,
}

/// What the status variables say of the session; `None` where the server does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Status {
    /// Bits of `sql_mode`: 0x4 `ANSI_QUOTES`, 0x100000 `NO_BACKSLASH_ESCAPES`.
    pub sql_mode: Option<u64>,
    /// Collation of `character_set_client`: the statement is in it.
    pub client: Option<u16>,
    /// `collation_server`.
    pub server: Option<u16>,
    /// The engine's transaction of an atomic DDL statement.
    pub ddl_xid: Option<u64>,
}

impl<'a> Query<'a> {
    /// Reads the body of QUERY, `QUERY_COMPRESSED` or `EXECUTE_LOAD_QUERY`.
    pub fn parse(event_type: EventType, body: &'a [u8]) -> Result<Self, Error> {
        let (head, text) = Self::cut(event_type, body)?;
        let text = decode(&text, head.status.client);
        Ok(Self { text, ..head })
    }

    /// Its statement as it came: texts that the server makes itself are in UTF-8, whatever the
    /// client speaks.
    pub fn text_as_it_came(event_type: EventType, body: &'a [u8]) -> Result<Cow<'a, [u8]>, Error> {
        Self::cut(event_type, body).map(|(_, text)| text)
    }

    /// All but the text, and the text.
    fn cut(event_type: EventType, body: &'a [u8]) -> Result<(Self, Cow<'a, [u8]>), Error> {
        let mut cursor = Cursor::new("QUERY", body);
        let thread_id = cursor.u32()?;
        cursor.u32()?;
        let schema_length = usize::from(cursor.u8()?);
        let error_code = cursor.u16()?;
        let status_length = usize::from(cursor.u16()?);
        if event_type == EventType::ExecuteLoadQuery {
            // id of the file, where its name is in the statement, what to do with duplicates
            cursor.take(4 + 4 + 4 + 1)?;
        }
        let status = Status::parse(cursor.take(status_length)?);
        let schema = cursor.text(schema_length)?;
        cursor.u8()?;
        let text = if event_type == EventType::QueryCompressed {
            let mut text = Vec::new();
            compressed::inflate_event(cursor.rest(), LONGEST_STATEMENT, &mut text)?;
            Cow::Owned(text)
        } else {
            Cow::Borrowed(cursor.rest())
        };
        Ok((Self { thread_id, error_code, schema, status, text: Cow::Borrowed("") }, text))
    }
}

/// Statements of MySQL 5.6 may end in NUL bytes.
fn decode<'a>(text: &Cow<'a, [u8]>, client: Option<u16>) -> Cow<'a, str> {
    let charset = client.and_then(|id| Charset::from_collation(u32::from(id)));
    let charset = charset.unwrap_or(Charset::Utf8Mb4);
    if let Cow::Borrowed(bytes) = text
        && let Some(text) = charset::borrow_utf8(charset, bytes)
    {
        return Cow::Borrowed(text.trim_end_matches('\0'));
    }
    let mut text = charset::to_string(charset, text);
    text.truncate(text.trim_end_matches('\0').len());
    Cow::Owned(text)
}

impl Status {
    /// Reads variables up to the first that is unknown or cut: the length of one that is unknown
    /// is unknown too, and the statement does not depend on the rest.
    fn parse(bytes: &[u8]) -> Self {
        let mut status = Self::default();
        let mut cursor = Cursor::new("status variables", bytes);
        while !cursor.is_empty() {
            if !matches!(status.read(&mut cursor), Ok(true)) {
                break;
            }
        }
        status
    }

    /// Reads one variable; false when it is unknown. Codes and lengths: `Query_event`,
    /// `libs/mysql/binlog/event/statement_events.h`, and MariaDB's `sql/log_event.h`.
    fn read(&mut self, cursor: &mut Cursor<'_>) -> Result<bool, Error> {
        match cursor.u8()? {
            // flags2, auto_increment, data_written
            0 | 3 | 10 => drop(cursor.take(4)?),
            1 => self.sql_mode = Some(cursor.u64()?),
            // catalog of 5.0: with a NUL behind it
            2 => {
                let length = usize::from(cursor.u8()?);
                cursor.take(length + 1)?;
            }
            4 => {
                self.client = Some(cursor.u16()?);
                cursor.u16()?; // collation_connection
                self.server = Some(cursor.u16()?);
            }
            // time zone, catalog
            5 | 6 => {
                let length = usize::from(cursor.u8()?);
                cursor.take(length)?;
            }
            // lc_time, collation_database, default collation of utf8mb4
            7 | 8 | 18 => drop(cursor.take(2)?),
            // table map for update
            9 => drop(cursor.take(8)?),
            // invoker: user and host
            11 => {
                for _ in 0..2 {
                    let length = usize::from(cursor.u8()?);
                    cursor.take(length)?;
                }
            }
            // updated databases; 254: too many to name
            12 => {
                let count = cursor.u8()?;
                if count != 254 {
                    for _ in 0..count {
                        while cursor.u8()? != 0 {}
                    }
                }
            }
            // fraction of the second: MySQL's, MariaDB's
            13 | 128 => drop(cursor.take(3)?),
            // explicit_defaults_for_timestamp, sql_require_primary_key, table encryption
            16 | 19 | 20 => drop(cursor.take(1)?),
            // xid of a DDL statement: MySQL's, MariaDB's
            17 | 129 => self.ddl_xid = Some(cursor.u64()?),
            // MariaDB's character_set_collations
            131 => {
                let count = usize::from(cursor.u8()?);
                cursor.take(4 * count)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// `ROWS_QUERY`: one byte of length that is too small for most statements, then the statement, in
/// the character set of `client`: the collation that the BEGIN of its transaction says.
pub fn rows_query(body: &[u8], client: Option<u16>) -> Result<Cow<'_, str>, Error> {
    let mut cursor = Cursor::new("ROWS_QUERY", body);
    cursor.u8()?;
    Ok(decode(&Cow::Borrowed(cursor.rest()), client))
}
