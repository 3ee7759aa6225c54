//! A table as its server defines it now: of who reads rows by SELECT, beside any stream.
#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use std::sync::Arc;

use crate::change::{Table, TableName};
use crate::mysql::Session;
use crate::mysql::probe::Probe;

use super::ddl::Dialect;
use super::described::describe;
use super::{Error, capture};

/// Why a table cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unknown {
    /// Its definition could not be asked for.
    #[error(transparent)]
    Asked(#[from] Error),
    /// Its definition does not say how rows are to be read.
    #[error("{0}")]
    Definition(String),
}

/// The table; none if it is not there, or the account is not shown all of it.
pub(crate) async fn current(
    session: &mut Session,
    probe: &Probe,
    name: &TableName,
) -> Result<Option<Arc<Table>>, Unknown> {
    let (flavor, version) = (probe.flavor, probe.version_number());
    let dialect = Dialect { flavor, version, sql_mode: 0, wide_blank: false };
    let shown = capture::shown(session, name, &dialect).await?;
    let definition = shown.definition.filter(|_| shown.is_whole);
    let table = definition.map(|definition| describe(name, &definition, flavor));
    table.transpose().map_err(Unknown::Definition)
}
