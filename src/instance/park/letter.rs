//! A letter: one change of a parked table, as it lies in the `.parked` topic.
//!
//! In: a rows event as the server wrote it, or a statement. Out: pieces, one a record; and from
//! them the same again. Pure.
//!
//! Format: records with the key `<schema>.<table>` and the headers `binlog` and, where there is
//! one, `gtid` of the change's transaction (of an XA branch: those of its XA COMMIT). The pieces
//! of a letter follow each other. Each is: length u32, that many bytes, and behind them, filled at
//! the XA COMMIT of a branch, `<executed set>|<number>|<time>`. The bytes of all pieces together
//! are: length of the head u32, head, the body of the rows event. Numbers are big endian.
//!
//! ```json
//! {"version":1,"schema":"db","table":"t","file":"binlog.000001","offset":4,"time":1714550400,
//!  "transaction":"binlog.000001:4","reason":"..","kind":"rows","code":30,"size":8000000,
//!  "kept":true,"server":"3e11fa47-..","format":"<base64>","map":"<base64>","definition":{"columns":[..]}}
//! {.., "kind":"statement","what":"alter","is_ddl":true,"database":"db","named":"t",
//!  "sql":"ALTER TABLE .."}
//! ```
//!
//! `transaction` is the same in all letters of one. Of an event with `"kept":false` nothing
//! follows: it was larger than `sluice.parked.max.bytes`. One inside a compressed transaction has
//! `"inner":n`, how many events are before it there.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::change::{EventPlace, KeptEvent, StatementChange, StatementKind, TableName};
use crate::sink::held::OpenPlaces;

const VERSION: u32 = 1;

/// Bytes at which a letter is cut: well below what topics take.
const PIECE_BYTES: usize = 512 << 10;

/// What is behind the bytes of each piece, with the open places of a branch around it.
const TAIL: &[u8] = b"||";

/// What a letter says beside the event's own bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    version: u32,
    schema: String,
    table: String,
    file: String,
    offset: u64,
    time: u32,
    transaction: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    executed: Option<String>,
    reason: String,
    #[serde(flatten)]
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Kind {
    Rows {
        code: u8,
        size: u64,
        kept: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        server: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        inner: Option<u32>,
        format: String,
        map: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        definition: Option<serde_json::Value>,
    },
    Statement {
        what: String,
        is_ddl: bool,
        database: String,
        named: String,
        sql: String,
    },
}

/// One change of a parked table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Letter {
    /// The table.
    pub(crate) table: TableName,
    /// Where its event is.
    pub(crate) place: EventPlace,
    /// What all letters of its transaction have in common.
    pub(crate) transaction: String,
    /// The executed set, where the format asks for it.
    pub(crate) executed: Option<String>,
    /// Why the table is parked.
    pub(crate) reason: String,
    /// What it holds.
    pub(crate) content: Content,
}

/// What a letter holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// A rows event.
    Rows(KeptEvent),
    /// One that was too large to be kept.
    NotKept {
        /// How large its body is, in bytes.
        size: u64,
        /// The event without its body.
        event: KeptEvent,
    },
    /// A statement.
    Statement(StatementChange),
}

/// Why letters cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a letter of a parked table cannot be read: {0}")]
pub(crate) struct Unreadable(String);

impl Letter {
    /// Gives `each` its pieces. A rows event of more than `most` bytes is not kept.
    pub(crate) fn each_piece(&self, most: u64, mut each: impl FnMut(&[u8])) {
        let (kind, body) = match &self.content {
            Content::Rows(event) => {
                let size = event.body.len() as u64;
                let kept = size <= most;
                (rows(event, size, kept), if kept { &event.body[..] } else { &[] })
            }
            Content::NotKept { size, event } => (rows(event, *size, false), &[][..]),
            Content::Statement(statement) => {
                let what = statement.kind.word().to_owned();
                let (is_ddl, sql) = (statement.is_ddl, statement.sql.clone());
                let (database, named) = (statement.schema.clone(), statement.table.clone());
                (Kind::Statement { what, is_ddl, database, named, sql }, &[][..])
            }
        };
        let head = Head {
            version: VERSION,
            schema: self.table.schema.to_string(),
            table: self.table.table.to_string(),
            file: self.place.file.to_string(),
            offset: self.place.offset,
            time: self.place.time,
            transaction: self.transaction.clone(),
            executed: self.executed.clone(),
            reason: self.reason.clone(),
            kind,
        };
        // Of strings and numbers.
        let head = serde_json::to_vec(&head).unwrap_or_default();
        let head = [&length(head.len()), &head[..]].concat();
        let mut bytes = [&head[..], body].into_iter().flat_map(|part| part.chunks(PIECE_BYTES));
        // The head is a piece of its own where nothing else has room beside it.
        let mut piece = Vec::new();
        let mut next = bytes.next();
        while let Some(chunk) = next {
            piece.clear();
            piece.extend_from_slice(&[0; 4]);
            piece.extend_from_slice(chunk);
            next = bytes.next();
            if let Some(more) = next.filter(|more| piece.len() + more.len() <= PIECE_BYTES) {
                piece.extend_from_slice(more);
                next = bytes.next();
            }
            let filled = length(piece.len() - 4);
            piece[..4].copy_from_slice(&filled);
            piece.extend_from_slice(TAIL);
            each(&piece);
        }
    }
}

/// Where a piece stays open until the XA COMMIT of its branch.
pub(crate) fn open_places(piece: &[u8]) -> OpenPlaces {
    let end = piece.len().saturating_sub(TAIL.len());
    [end..end, end + 1..end + 1, end + 2..end + 2]
}

/// Joins pieces to letters.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    bytes: Vec<u8>,
    /// What is behind the bytes of the first piece.
    executed: Option<String>,
}

impl Reading {
    /// Adds the value of the next record; the letter that is whole with it.
    pub(crate) fn push(&mut self, value: &[u8]) -> Result<Option<Letter>, Unreadable> {
        let odd = |why: &str| Unreadable(why.to_owned());
        let (piece, tail) = cut(value).ok_or_else(|| odd("a piece is cut"))?;
        if self.bytes.is_empty() {
            let executed = tail.split(|byte| *byte == b'|').next().unwrap_or_default();
            let executed = String::from_utf8_lossy(executed).into_owned();
            self.executed = Some(executed).filter(|set| !set.is_empty());
        }
        self.bytes.extend_from_slice(piece);
        if self.bytes.get(4) != Some(&b'{') {
            return Err(odd("it begins in the middle"));
        }
        // A long statement or definition is cut too.
        let Some((head, body)) = cut(&self.bytes) else { return Ok(None) };
        let head: Head =
            serde_json::from_slice(head).map_err(|error| Unreadable(error.to_string()))?;
        if head.version != VERSION {
            return Err(Unreadable(format!("its version is {}", head.version)));
        }
        let Head { schema, table, file, offset, time, transaction, executed, reason, kind, .. } =
            head;
        let place = EventPlace { file: file.into(), offset, time };
        let content = match kind {
            Kind::Rows { kept: true, size, .. } if (body.len() as u64) < size => return Ok(None),
            Kind::Rows { code, size, kept, server, inner, format, map, definition } => {
                let bytes = |text: &str| {
                    let decoded = STANDARD.decode(text);
                    decoded.map(Bytes::from).map_err(|error| Unreadable(error.to_string()))
                };
                let event = KeptEvent {
                    server: server.map(Arc::from),
                    format: bytes(&format)?,
                    map: bytes(&map)?,
                    code,
                    body: Bytes::copy_from_slice(body),
                    inner,
                    definition: definition.map(|json| Bytes::from(json.to_string())),
                };
                if kept { Content::Rows(event) } else { Content::NotKept { size, event } }
            }
            Kind::Statement { what, is_ddl, database, named, sql } => {
                let kind = StatementKind::of_word(&what)
                    .ok_or_else(|| Unreadable(format!("there is no statement {what}")))?;
                Content::Statement(StatementChange {
                    kind,
                    is_ddl,
                    schema: database,
                    table: named,
                    sql,
                    place: place.clone(),
                    subject: TableName::new(&*schema, &*table),
                    parked: None,
                })
            }
        };
        let executed = self.executed.take().or(executed);
        self.bytes.clear();
        let table = TableName::new(schema, table);
        Ok(Some(Letter { table, place, transaction, executed, reason, content }))
    }
}

fn rows(event: &KeptEvent, size: u64, kept: bool) -> Kind {
    let definition = event.definition.as_deref();
    Kind::Rows {
        code: event.code,
        size,
        kept,
        server: event.server.as_deref().map(str::to_owned),
        inner: event.inner,
        format: STANDARD.encode(&event.format),
        map: STANDARD.encode(&event.map),
        definition: definition.and_then(|text| serde_json::from_slice(text).ok()),
    }
}

fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).unwrap_or(u32::MAX).to_be_bytes()
}

/// The bytes behind a length, and what comes behind them.
fn cut(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(content: Content) -> Letter {
        Letter {
            table: TableName::new("db", "t.x"),
            place: EventPlace { file: "binlog.000001".into(), offset: 1 << 40, time: 7 },
            transaction: "binlog.000001:4".to_owned(),
            executed: Some("u:1-5".to_owned()),
            reason: "a \"reason\"".to_owned(),
            content,
        }
    }

    fn pieces(letter: &Letter, most: u64) -> Vec<Vec<u8>> {
        let mut pieces = Vec::new();
        letter.each_piece(most, |piece| pieces.push(piece.to_vec()));
        pieces
    }

    fn rows(bytes: usize) -> Content {
        Content::Rows(KeptEvent {
            server: Some(Arc::from("u")).filter(|_| bytes > 0),
            format: Bytes::from_static(&[4, 0, 255]),
            map: Bytes::from_static(&[1, 2]),
            code: 30,
            body: Bytes::from((0..bytes).map(|n| n.to_le_bytes()[0]).collect::<Vec<_>>()),
            inner: Some(7).filter(|_| bytes > 0),
            definition: Some(Bytes::from_static(b"{\"columns\":[]}")),
        })
    }

    #[test]
    fn a_letter_comes_back_from_its_pieces() {
        let statement = |bytes: usize| {
            Content::Statement(StatementChange {
                kind: StatementKind::Alter,
                is_ddl: true,
                schema: "db".to_owned(),
                table: "t.x".to_owned(),
                sql: format!("ALTER TABLE `t.x` ADD c INT COMMENT '{}'", "x".repeat(bytes)),
                place: letter(rows(0)).place,
                subject: TableName::new("db", "t.x"),
                parked: None,
            })
        };
        let defined = |body: usize, definition: usize| {
            let Content::Rows(event) = rows(body) else { panic!() };
            let text = format!("{{\"columns\":[\"{}\"]}}", "x".repeat(definition));
            Content::Rows(KeptEvent { definition: Some(Bytes::from(text)), ..event })
        };
        let around = |bytes: usize| (bytes - 600..bytes + 8).step_by(3);
        let mut contents = vec![rows(0), rows(10), rows(3 * PIECE_BYTES), statement(0)];
        contents.extend(around(PIECE_BYTES).map(rows));
        contents.extend(around(PIECE_BYTES).map(statement));
        contents.extend([1, 3].map(|pieces| statement(pieces * PIECE_BYTES)));
        for (body, definition) in [(0, 2), (10, 2), (3, 3), (3, 0), (2, 1)] {
            contents.push(defined(body * PIECE_BYTES, definition * PIECE_BYTES));
        }
        for content in contents {
            let letter = letter(content);
            let mut reading = Reading::default();
            let mut found = Vec::new();
            for piece in pieces(&letter, u64::MAX) {
                assert!(piece.len() <= PIECE_BYTES + 8);
                found.extend(reading.push(&piece).unwrap());
            }
            assert_eq!(found, [letter]);
        }
    }

    #[test]
    fn an_event_that_is_too_large_leaves_its_place() {
        let letter = letter(rows(1000));
        let pieces = pieces(&letter, 999);
        let found = Reading::default().push(&pieces[0]).unwrap().unwrap();
        let Content::Rows(whole) = &letter.content else { panic!("{letter:?}") };
        let event = KeptEvent { body: Bytes::new(), ..whole.clone() };
        assert_eq!(found.content, Content::NotKept { size: 1000, event });
        assert_eq!((pieces.len(), found.place), (1, letter.place));
    }

    #[test]
    fn what_a_branch_gets_at_its_end_is_distinguished_from_the_bytes() {
        let letter = letter(rows(100));
        let mut piece = pieces(&letter, u64::MAX).remove(0);
        piece.truncate(piece.len() - TAIL.len());
        piece.extend_from_slice(b"u:1-9|17|1714550400000");
        let found = Reading::default().push(&piece).unwrap().unwrap();
        assert_eq!(found.executed.as_deref(), Some("u:1-9"));
        assert_eq!(found.content, letter.content);
    }

    #[test]
    fn bytes_of_no_letter_are_refused() {
        let whole = pieces(&letter(rows(100)), u64::MAX).remove(0);
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x55;
            // Some bytes may be anything (the event's own); none may panic.
            let _ = Reading::default().push(&damaged);
            let _ = Reading::default().push(&whole[..at]);
        }
        assert!(Reading::default().push(b"").is_err());
    }
}
