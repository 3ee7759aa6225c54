//! Which tables are to be copied, and what is asked of it.
//!
//! In: the settings, orders, names that a RENAME has given, tables whose rows cannot be published. Out:
//! notes of what is to be copied from here on, and an answer to each order.

use super::Copier;
use crate::change::TableName;
use crate::clock;
use crate::filter::TableFilter;
use crate::mysql;
use crate::schema::is_of_the_server;
use crate::source::Error;
use crate::source::snapshot::copies::{Copy, Notes};
use crate::source::snapshot::estimate;
use crate::source::snapshot::orders::{Answer, Order};

/// A table, and what the server thinks is in it.
#[derive(Debug)]
pub(in crate::source::snapshot) struct Measured {
    pub(in crate::source::snapshot) name: TableName,
    pub(in crate::source::snapshot) rows: u64,
    pub(in crate::source::snapshot) bytes: u64,
}

fn patterns(text: &str) -> Result<TableFilter, String> {
    TableFilter::new(text, "").map_err(|errors| {
        errors.iter().map(|(_, error)| error.to_string()).collect::<Vec<_>>().join("; ")
    })
}

impl Copier<'_> {
    /// Notes the tables that are there and were never copied.
    pub(super) async fn list(&mut self) -> Result<(), Error> {
        let there = self.there(None).await?;
        let new = there.into_iter().filter(|table| self.ledger.of(&table.name).is_none());
        let tables: Vec<_> = new
            .map(|Measured { name, rows, .. }| {
                (name, Some(Copy { estimate: rows, ..Copy::pending() }))
            })
            .collect();
        let is_to_be_listed = self.ledger.is_to_be_listed().then_some(false);
        let notes = Notes { tables, is_to_be_listed, ..Notes::default() };
        if !notes.is_empty() {
            tracing::info!(tables = notes.tables.len(), "tables are to be copied");
            self.note(notes).await?;
        }
        Ok(())
    }

    /// The tables that the server has and the instance publishes, by name; those only that `wanted`
    /// includes.
    async fn there(&mut self, wanted: Option<&TableFilter>) -> Result<Vec<Measured>, Error> {
        const ASK: &str = "SELECT table_schema AS s, table_name AS t, table_rows AS r, \
             data_length AS b FROM information_schema.tables \
             WHERE table_type IN ('BASE TABLE', 'SYSTEM VERSIONED')";
        let mut there = Vec::new();
        let (filter, server) = (&self.settings.filter, &self.server);
        let take = |row: &mysql::Row| {
            let (Some(schema), Some(table)) = (row.text("s"), row.text("t")) else { return };
            let is_wanted = wanted.is_none_or(|wanted| wanted.includes(schema, table));
            if !is_of_the_server(schema) && is_wanted && filter.includes(schema, table) {
                let number = |column| row.number(column).unwrap_or_default();
                let name = server.folded(TableName::new(schema, table));
                there.push(Measured { name, rows: number("r"), bytes: number("b") });
            }
        };
        self.session.stream(ASK, take).await?;
        there.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok(there)
    }

    /// Does what was asked since.
    pub(super) async fn obey(&mut self) -> Result<(), Error> {
        for (name, reason) in self.copying.take_refused() {
            if let Some(copy) = self.ledger.of(&name).filter(Copy::is_open) {
                self.fail(&name, copy, reason).await?;
            }
        }
        // What is called so now was not copied so far, or not from its begin.
        let renamed = self.copying.take_renamed().into_iter();
        let filter = &self.settings.filter;
        let renamed = renamed.filter(|name| filter.includes(&name.schema, &name.table));
        let anew = renamed.map(|name| {
            let copy = self.ledger.of(&name).map_or_else(Copy::pending, Copy::anew);
            (name, Some(copy))
        });
        let tables: Vec<_> = anew.collect();
        if !tables.is_empty() {
            self.note(Notes { tables, ..Notes::default() }).await?;
        }
        for (order, answer) in self.copying.take() {
            let done = match order {
                Order::Plan { tables } => self.plan_of(tables.as_deref()).await?,
                Order::Start { tables, condition } => {
                    self.start(tables.as_deref(), condition).await?
                }
                Order::Pause => {
                    self.note(Notes::paused(true)).await?;
                    Ok("nothing is copied until `bin/sluice snapshot resume`".to_owned())
                }
                Order::Resume => {
                    self.note(Notes::paused(false)).await?;
                    Ok("what is not copied yet is copied on".to_owned())
                }
                Order::Stop { tables } => self.stop(tables.as_deref()).await?,
            };
            // Who asked may have gone.
            let _ = answer.send(done);
        }
        Ok(())
    }

    async fn start(
        &mut self,
        tables: Option<&str>,
        condition: Option<String>,
    ) -> Result<Answer, Error> {
        let wanted = match tables.map(patterns).transpose() {
            Ok(wanted) => wanted,
            Err(reason) => return Ok(Err(reason)),
        };
        let there = self.there(wanted.as_ref()).await?;
        if there.is_empty() {
            return Ok(Err("the source has no such table that the instance publishes".to_owned()));
        }
        let count = there.len();
        let condition = condition.as_ref();
        let tables = there.into_iter().map(|Measured { name, rows, .. }| {
            let condition = condition.cloned();
            (name, Some(Copy { estimate: rows, condition, ..Copy::pending() }))
        });
        self.note(Notes { tables: tables.collect(), ..Notes::default() }).await?;
        let paused = if self.ledger.is_paused() { ", once copying is resumed" } else { "" };
        Ok(Ok(format!("{count} tables are to be copied{paused}")))
    }

    async fn stop(&mut self, tables: Option<&str>) -> Result<Answer, Error> {
        let wanted = match tables.map(patterns).transpose() {
            Ok(wanted) => wanted,
            Err(reason) => return Ok(Err(reason)),
        };
        let is_wanted = |name: &TableName| {
            wanted.as_ref().is_none_or(|wanted| wanted.includes(&name.schema, &name.table))
        };
        let open = self.ledger.all().into_iter();
        let open = open.filter(|(name, copy)| copy.is_open() && is_wanted(name));
        let stopped = open.map(|(name, copy)| (name, Some(copy.stopped())));
        let tables: Vec<_> = stopped.collect();
        if tables.is_empty() {
            return Ok(Err("no such table is still to be copied".to_owned()));
        }
        let count = tables.len();
        self.note(Notes { tables, ..Notes::default() }).await?;
        Ok(Ok(format!("{count} tables are not copied on")))
    }

    /// What a copy would take, in words.
    async fn plan_of(&mut self, tables: Option<&str>) -> Result<Answer, Error> {
        let wanted = match tables.map(patterns).transpose() {
            Ok(wanted) => wanted,
            Err(reason) => return Ok(Err(reason)),
        };
        let there = self.there(wanted.as_ref()).await?;
        let retention = self.settings.remembered.retention(clock::now_millis());
        let retention = retention.and_then(|retention| retention.seconds);
        let rate = self.copying.rate();
        Ok(Ok(estimate::words(&there, rate, retention)))
    }
}
