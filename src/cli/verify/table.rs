//! The rows of a table, as messages, and where in the binlog they were read.
//!
//! In: the source. Out: the rows at one moment, written by the encoder of the stream; what of the
//! binlog they show for certain, and where it ends behind them. The source is only read.
//!
//! What a consistent snapshot shows of the binlog: of MySQL all that `gtid_executed` had before it
//! began (a transaction is in there once it is visible); of MariaDB what its own status says
//! (`binlog_snapshot_file`, `binlog_snapshot_position`). MySQL without GTIDs does not say it: there
//! nothing may be written meanwhile.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;

use crate::change::{EventPlace, Flavor, GtidSet, RowsChange, RowsKind, Table, TableName};
use crate::format::flat::{FlatPlan, FlatSettings, Rows, Stamp, Unwritten, Workspace};
use crate::mysql::{Endpoint, Session, identifier, probe};
use crate::schema;
use crate::source::snapshot::row::{RowPlan, SESSION};
use crate::verify::{Comparison, When};

/// Rows of a message end when their images have so many bytes.
const MESSAGE: usize = 256 << 10;
/// How long a binlog has to stay as it is before it is believed that nobody writes.
const QUIET: Duration = Duration::from_secs(1);

/// A place in the binlog: the number of its file, and an offset in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    number: u64,
    offset: u64,
    file: String,
}

impl Place {
    pub(super) fn new(file: &str, offset: u64) -> Self {
        let digits = file.rsplit_once('.').map_or(file, |(_, digits)| digits);
        Self { number: digits.parse().unwrap_or(0), offset, file: file.to_owned() }
    }

    pub(super) fn numbers(&self) -> (u64, u64) {
        (self.number, self.offset)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.offset)
    }
}

/// What the rows show of the binlog.
pub(super) struct Places {
    shown: Shown,
    /// Where it ended when all rows had been read.
    pub(super) end: Place,
}

/// What they show for certain.
enum Shown {
    Executed(GtidSet),
    Upto(Place),
}

impl Places {
    /// Where a change is, against the rows.
    pub(super) fn when(&self, place: Option<&Place>, gtid: Option<&str>) -> When {
        if let (Shown::Executed(executed), Some(gtid)) = (&self.shown, gtid)
            && executed.has(gtid)
        {
            return When::Before;
        }
        let Some(place) = place else { return When::Before };
        match &self.shown {
            _ if *place >= self.end => When::Behind,
            Shown::Upto(shown) if place < shown => When::Before,
            Shown::Upto(_) | Shown::Executed(_) => When::Around,
        }
    }
}

/// A session whose reading of a table has begun.
pub(super) struct Reading {
    session: Session,
    shown: Shown,
    /// Where the binlog must end still, where nobody may write.
    must_stay: Option<Place>,
}

impl Reading {
    /// Begins, with the table as it is defined; none if that is not shown.
    pub(super) async fn begin(
        endpoint: &Endpoint,
        name: &TableName,
    ) -> anyhow::Result<Option<(Arc<Table>, Self)>> {
        let mut session = Session::connect(endpoint).await?;
        let probe = probe::Probe::read(&mut session).await?;
        let Some(table) = schema::current(&mut session, &probe, name).await? else {
            return Ok(None);
        };
        session.run(SESSION).await?;
        let begin = "START TRANSACTION WITH CONSISTENT SNAPSHOT";
        let mut must_stay = None;
        let shown = match probe.flavor {
            Flavor::MariaDb => {
                session.run(begin).await?;
                Shown::Upto(snapshot_place(&mut session).await?)
            }
            Flavor::MySql if probe.has_gtids() => {
                let executed = probe::executed_and_purged(&mut session).await?.0;
                let executed = executed.context("the server does not say what it executed")?;
                session.run(begin).await?;
                Shown::Executed(executed)
            }
            Flavor::MySql => {
                let place = end(&mut session).await?;
                tokio::time::sleep(QUIET).await;
                session.run(begin).await?;
                must_stay = Some(place.clone());
                Shown::Upto(place)
            }
        };
        Ok(Some((table, Self { session, shown, must_stay })))
    }

    /// Hands all rows to the comparison.
    pub(super) async fn rows(
        self,
        table: &Arc<Table>,
        included: &[usize],
        format: &FlatSettings,
        comparison: &mut Comparison,
    ) -> anyhow::Result<Places> {
        let Self { mut session, shown, must_stay } = self;
        let mut plan = RowPlan::new(Arc::clone(table));
        let name = &table.name;
        let of = format!("{}.{}", identifier(&name.schema), identifier(&name.table));
        let statement = format!("SELECT {} FROM {of}", plan.select_list());
        let mut writer = Writer::new(table, included, format, &plan);
        let mut failed = None;
        let read = session.stream_prepared(&statement, Vec::new(), |row| {
            let taken = plan.write(row, &mut writer.images).map_err(anyhow::Error::new);
            let is_full = writer.images.len() >= MESSAGE;
            let taken =
                taken.and_then(|()| if is_full { writer.hand_over(comparison) } else { Ok(()) });
            failed = taken.err();
            failed.is_none()
        });
        read.await?;
        if let Some(error) = failed {
            return Err(error);
        }
        writer.hand_over(comparison)?;
        session.run("ROLLBACK").await?;
        let end = end(&mut session).await?;
        session.close().await;
        if must_stay.is_some_and(|place| place != end) {
            bail!(
                "the server has no GTIDs, and was written to meanwhile: it does not say what its \
                 rows show of the binlog; try again while nobody writes"
            );
        }
        Ok(Places { shown, end })
    }
}

/// Makes messages of rows.
struct Writer {
    images: Vec<u8>,
    change: RowsChange,
    plan: FlatPlan,
    work: Workspace,
    message: Vec<u8>,
}

impl Writer {
    fn new(table: &Arc<Table>, included: &[usize], format: &FlatSettings, rows: &RowPlan) -> Self {
        Self {
            images: Vec::new(),
            change: RowsChange {
                kind: RowsKind::Insert,
                table: Arc::clone(table),
                columns: rows.present().clone(),
                after_columns: None,
                images: Bytes::new(),
                place: EventPlace { file: Arc::from(""), offset: 0, time: 0 },
                parked: None,
            },
            plan: FlatPlan::new(Arc::clone(table), included, format),
            work: Workspace::default(),
            message: Vec::new(),
        }
    }

    fn hand_over(&mut self, comparison: &mut Comparison) -> anyhow::Result<()> {
        if self.images.is_empty() {
            return Ok(());
        }
        self.change.images = Bytes::from(std::mem::take(&mut self.images));
        self.message.clear();
        let stamp = Stamp { id: 1, es: 0, gtid: "", ts: 0 };
        let mut left = Unwritten::of(&self.change, Rows::All);
        self.plan.write(&mut left, usize::MAX, &stamp, &mut self.work, &mut self.message)?;
        comparison.take_rows(&self.message)?;
        Ok(())
    }
}

async fn end(session: &mut Session) -> anyhow::Result<Place> {
    let place = probe::binlog_place(session).await?;
    let (file, offset) = place.context("the server writes no binlog")?;
    Ok(Place::new(&file, offset))
}

/// What MariaDB says of the snapshot of the session.
async fn snapshot_place(session: &mut Session) -> anyhow::Result<Place> {
    let rows = session.query("SHOW STATUS LIKE 'binlog_snapshot_%'").await?;
    let of = |name: &str| {
        let row = rows
            .iter()
            .find(|row| row.text_at(0).is_some_and(|found| found.eq_ignore_ascii_case(name)));
        row.and_then(|row| row.text_at(1))
    };
    let file = of("binlog_snapshot_file").filter(|file| !file.is_empty());
    let offset = of("binlog_snapshot_position").and_then(|offset| offset.parse().ok());
    match (file, offset) {
        (Some(file), Some(offset)) => Ok(Place::new(file, offset)),
        _ => bail!("the server does not say where its snapshot is (binlog_snapshot_position)"),
    }
}
