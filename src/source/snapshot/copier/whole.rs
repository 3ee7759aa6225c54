//! A table without a key: read as a whole, in one snapshot of the server.

use tokio::sync::{mpsc, oneshot};

use super::{Copier, Step, Trouble};
use crate::change::TableName;
use crate::mysql::probe;
use crate::mysql::{self, Session};
use crate::schema::Place;
use crate::source::Error;
use crate::source::snapshot::chunk;
use crate::source::snapshot::copies::Copy;
use crate::source::snapshot::row::{self, RowPlan};
use crate::source::snapshot::shown::{self, Shown};
use crate::source::snapshot::window::{Closed, Content, Opening, Read, Request};

impl Copier<'_> {
    /// Reads all of a table that has no key, and has it published.
    pub(super) async fn whole(
        &mut self,
        opening: &Opening,
        copy: Copy,
        plan: &mut RowPlan,
    ) -> Result<Step, Trouble> {
        const PIECES: usize = 2;
        let condition = copy.condition.clone();
        let mark = self.begin_whole(opening).await?;
        let copy = Copy { chunks: 1, rows: 0, ..copy }.done();
        let (pieces, read) = mpsc::channel(PIECES);
        let present = plan.present().clone();
        let read = Box::new(Read { content: Content::Whole(read), copy, present });
        let (closed, answer) = oneshot::channel();
        let request = Request::Close { number: opening.number, mark, read: Some(read), closed };
        self.requests.send(request).await.map_err(|_| Error::Closed)?;
        let condition = condition.as_deref();
        let read = chunk::read_whole(&mut self.session, plan, condition, &pieces).await;
        drop(pieces);
        let closed = answer.await.map_err(|_| Error::Closed)?;
        if !self.session.is_broken() {
            self.session.run("ROLLBACK").await?;
        }
        match closed {
            Closed::Published(_) => {
                tracing::info!(table = %opening.table.name, "the table is copied");
                Ok(Step::Again)
            }
            Closed::Void(reason) => match read {
                Err(error) if !self.session.is_broken() => Err(error.into()),
                Ok(()) | Err(_) => {
                    if self.session.is_broken() {
                        self.connect().await?;
                    }
                    Ok(Step::Void(reason))
                }
            },
        }
    }

    /// Begins a snapshot of the server that shows all up to the window's begin; where the binlog ends
    /// behind it.
    async fn begin_whole(&mut self, opening: &Opening) -> Result<Place, Trouble> {
        const BEGIN: &str = "START TRANSACTION WITH CONSISTENT SNAPSHOT";
        match shown::wait(&mut self.session, &self.probe, &opening.place).await? {
            Shown::InTransaction => {}
            Shown::Always => self.session.run(BEGIN).await?,
            Shown::Locked => {
                // Who holds the table's lock has waited for all that changed it to be shown.
                let mut holder = Session::connect(&self.settings.endpoint).await?;
                let TableName { schema, table } = &opening.table.name;
                let (schema, table) = (mysql::identifier(schema), mysql::identifier(table));
                holder.run(&format!("LOCK TABLES {schema}.{table} READ")).await?;
                self.session.run(BEGIN).await?;
                let mark = self.binlog_end().await?;
                holder.run("UNLOCK TABLES").await?;
                holder.close().await;
                return Ok(mark);
            }
        }
        Ok(self.binlog_end().await?)
    }

    async fn binlog_end(&mut self) -> Result<Place, Error> {
        let address = self.settings.endpoint.address();
        let end = probe::binlog_place(&mut self.session).await?;
        let (file, offset) = end.ok_or(Error::NoBinlog { address })?;
        Ok(Place { file, offset })
    }

    /// Another session, in place of one that was broken off.
    async fn connect(&mut self) -> Result<(), Error> {
        self.session = Session::connect(&self.settings.endpoint).await?;
        self.session.run(row::SESSION).await?;
        Ok(())
    }
}
