//! A chunk of a table, read by its key.
//!
//! In: where the chunk before it ended. Out: the next rows in the order of the key, as row images,
//! with the bytes of their keys. Always: no more than a few MiB, whatever the rows are like: what
//! exceeds it is left to the next chunk.

use std::ops::ControlFlow;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::key::{self, Key};
use super::literal::Literal;
use super::row::{self, RowPlan};
use super::window::Piece;
use crate::binlog::{CellSpans, Images};
use crate::mysql::{self, Session, identifier};

/// A chunk ends at the row that passes this.
pub(super) const MOST_BYTES: usize = 4 << 20;
/// Of a table that is read as a whole, as much is handed over at once.
const PIECE_BYTES: usize = 1 << 20;

/// What to read.
pub(super) struct Ask<'a> {
    pub(super) key: &'a Key,
    /// The key of the last row of the chunk before; none for the first.
    pub(super) after: Option<&'a [Literal]>,
    /// The last key to be read; none for all there are.
    pub(super) upto: Option<&'a [Literal]>,
    /// As many rows at most.
    pub(super) limit: u64,
    /// Whether to wait for whoever is changing the rows.
    pub(super) locks: bool,
    /// Only rows that it holds for.
    pub(super) condition: Option<&'a str>,
}

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// Their images, back to back.
    pub(super) images: Bytes,
    /// Where each ends.
    pub(super) ends: Vec<usize>,
    /// The bytes of their keys, back to back.
    pub(super) keys: Vec<u8>,
    /// Where each ends.
    pub(super) key_ends: Vec<usize>,
    /// The key of the last.
    pub(super) last: Option<Vec<Literal>>,
    /// Whether there were no more.
    pub(super) is_end: bool,
}

/// Why a chunk is not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Mysql(#[from] mysql::Error),
    #[error(transparent)]
    Row(#[from] row::Error),
    #[error("{0}")]
    Odd(String),
}

/// Reads a chunk. Not cancel safe: dropped half-way, the session is broken.
pub(super) async fn read(
    session: &mut Session,
    plan: &mut RowPlan,
    ask: &Ask<'_>,
) -> Result<Rows, Error> {
    let table = plan.table().clone();
    let Ask { key, after, upto, limit, locks, condition } = ask;
    let statement = format!(
        "SELECT {}, {} FROM {}.{} FORCE INDEX ({}) WHERE {} AND {} ORDER BY {} LIMIT {limit}{}",
        plan.select_list(),
        key.select_list(&table),
        identifier(&table.name.schema),
        identifier(&table.name.table),
        identifier(&key.index),
        key.condition(&table, *after, *upto),
        only(*condition),
        key.order(&table, false),
        if *locks { " LOCK IN SHARE MODE" } else { "" },
    );
    let first = table.columns.len() - table.hidden.min(table.columns.len());
    let (mut rows, mut images, mut count) = (Rows::default(), Vec::new(), 0_u64);
    let (mut spans, mut failed) = (CellSpans::default(), None);
    let present = plan.present().clone();
    let each = |row: &mysql::Row| {
        let start = images.len();
        let taken = (|| {
            plan.write(row, &mut images)?;
            let mut walked = Images::new(&table.columns, &present, None, &images[start..]);
            walked.locate(&mut spans).map_err(|error| Error::Odd(key::odd(&error)))?;
            if !Key::put(&key.columns, &spans, &images[start..], &mut rows.keys) {
                return Err(Error::Odd("a row was read without its key".to_owned()));
            }
            rows.last = key.literals(&table, row, first);
            rows.last.is_some().then_some(()).ok_or_else(|| {
                Error::Odd("a row was read whose key is no value that can be asked for".to_owned())
            })
        })();
        if let Err(error) = taken {
            failed = Some(error);
            return false;
        }
        count += 1;
        rows.ends.push(images.len());
        rows.key_ends.push(rows.keys.len());
        images.len() < MOST_BYTES
    };
    session.stream_prepared(&statement, Vec::new(), each).await?;
    if let Some(error) = failed {
        return Err(error);
    }
    rows.is_end = count < *limit && images.len() < MOST_BYTES;
    rows.images = images.into();
    Ok(rows)
}

/// The last key that a table has; none if it has no rows.
pub(super) async fn last_key(
    session: &mut Session,
    plan: &RowPlan,
    key: &Key,
    locks: bool,
) -> Result<Option<Vec<Literal>>, Error> {
    let table = plan.table();
    let statement = format!(
        "SELECT {} FROM {}.{} FORCE INDEX ({}) ORDER BY {} LIMIT 1{}",
        key.select_list(table),
        identifier(&table.name.schema),
        identifier(&table.name.table),
        identifier(&key.index),
        key.order(table, true),
        if locks { " LOCK IN SHARE MODE" } else { "" },
    );
    let (mut last, mut is_empty) = (None, true);
    let each = |row: &mysql::Row| {
        (last, is_empty) = (key.literals(table, row, 0), false);
        false
    };
    session.stream_prepared(&statement, Vec::new(), each).await?;
    match last {
        None if !is_empty => {
            Err(Error::Odd("the last key is no value that can be asked for".to_owned()))
        }
        last => Ok(last),
    }
}

/// Reads all of a table that has no key, and hands it over in pieces of some MiB; the last says that
/// it is. Not cancel safe: dropped half-way, the session is broken.
pub(super) async fn read_whole(
    session: &mut Session,
    plan: &mut RowPlan,
    condition: Option<&str>,
    pieces: &mpsc::Sender<Piece>,
) -> Result<(), Error> {
    let table = plan.table().clone();
    let statement = format!(
        "SELECT {} FROM {}.{} WHERE {}",
        plan.select_list(),
        identifier(&table.name.schema),
        identifier(&table.name.table),
        only(condition),
    );
    let (mut rows, mut images, mut failed) = (Rows::default(), Vec::new(), None);
    let each = |row: &mysql::Row| {
        if let Err(error) = plan.write(row, &mut images) {
            failed = Some(error);
            return ControlFlow::Break(());
        }
        rows.ends.push(images.len());
        rows.key_ends.push(0);
        if images.len() < PIECE_BYTES {
            return ControlFlow::Continue(None);
        }
        let mut piece = std::mem::take(&mut rows);
        piece.images = std::mem::take(&mut images).into();
        ControlFlow::Continue(Some(Piece::Rows(piece)))
    };
    let read = session.stream_into(&statement, pieces, each).await;
    if let Some(error) = failed {
        return Err(error.into());
    }
    read?;
    rows.images = images.into();
    // A reader that takes no more has its reason.
    let _ = pieces.send(Piece::Rows(rows)).await;
    let _ = pieces.send(Piece::End).await;
    Ok(())
}

/// A condition, in brackets.
fn only(condition: Option<&str>) -> String {
    // A comment in it ends with its line, and takes nothing of ours along.
    condition.map_or_else(|| "TRUE".to_owned(), |condition| format!("({condition}\n)"))
}
