//! The tables that the survey left over, read while the binlog is read.
//!
//! In: their names. Out: their definitions, one by one, for the reader, which takes them between
//! two transactions. Always: over a session of its own, so that a server that does not answer
//! holds up nothing; again after a pause, as long as there are any.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::session::server;
use super::{Error, Settings};
use crate::change::TableName;
use crate::mysql::Session;
use crate::mysql::probe::Probe;
use crate::schema::{FoundLater, find_later};

/// The pause before the first time; each is twice the one before.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(5);

/// A table, for the reader.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) table: FoundLater,
    /// Nothing is left over behind it.
    pub(super) is_last: bool,
    /// Whether it was taken.
    pub(super) taken: oneshot::Sender<bool>,
}

/// Reads what is left over, for as long as the server is read.
pub(super) async fn read(
    settings: &Settings,
    left: &mut BTreeSet<TableName>,
    reader: mpsc::Sender<Found>,
) -> Infallible {
    let mut pause = FIRST;
    while !left.is_empty() {
        tokio::time::sleep(pause).await;
        pause = (2 * pause).min(LONGEST);
        if let Err(error) = Box::pin(read_once(settings, left, &reader)).await {
            tracing::debug!("tables that are left over are not read now: {error}");
        }
    }
    std::future::pending().await
}

async fn read_once(
    settings: &Settings,
    left: &mut BTreeSet<TableName>,
    reader: &mpsc::Sender<Found>,
) -> Result<(), Error> {
    let mut session = Session::connect(&settings.endpoint).await?;
    let server = server(&Probe::read(&mut session).await?);
    for name in left.clone() {
        let table = match find_later(&mut session, &server, &name).await {
            Ok(table) => table,
            Err(error) if session.is_broken() => return Err(error.into()),
            Err(error) => {
                tracing::debug!(table = %name, "is not read now: {error}");
                continue;
            }
        };
        let (taken, is_taken) = oneshot::channel();
        let found = Found { table, is_last: left.len() == 1, taken };
        // A reader that is closed ends this too.
        if reader.send(found).await.is_ok() && is_taken.await == Ok(true) {
            left.remove(&name);
            tracing::info!(table = %name, left = left.len(), "a table that was left over is read");
        }
    }
    session.close().await;
    Ok(())
}
