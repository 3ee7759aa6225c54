//! Reads rows events of parked tables again.
//!
//! In: what was kept of an event. Out: its rows, with the table as it was then: by the definition
//! that was kept with the event; where there was none, or it does not agree with the rows, by what
//! the server says now, under the same rules as for rows of the stream.

use std::sync::Arc;

use bytes::Bytes;

use super::failover::{Servers, server_uuid};
use super::{Error, Settings};
use crate::binlog::{EventType, FormatDescription, RowsEvent, TableMap, json};
use crate::change::{EventPlace, FileName, Flavor, KeptEvent, RowsChange, Table};
use crate::mysql::probe::Probe;
use crate::mysql::{self, Scan, Session};
use crate::schema::{self, Origin, Schema};

/// See the head of this file.
pub struct Kept<'a> {
    servers: &'a [Settings],
    /// The one that is asked about what does not say whose it is.
    first: usize,
    asked: Option<(usize, Session, Schema)>,
    /// The last table, by its map and definition.
    last: Option<(Bytes, Option<Bytes>, Arc<Table>)>,
}

impl<'a> Kept<'a> {
    /// Reads events of the servers of an instance.
    pub fn new(servers: &'a Servers) -> Self {
        Self { servers: servers.all(), first: servers.current(), asked: None, last: None }
    }

    /// Which of the servers an event is of: places of others are not its.
    async fn server_of(&self, event: &KeptEvent) -> Result<Option<usize>, Error> {
        let Some(server) = &event.server else { return Ok(Some(self.first)) };
        let mut silent = None;
        for (index, settings) in self.servers.iter().enumerate() {
            match server_uuid(&settings.endpoint).await {
                Ok(uuid) if uuid == *server => return Ok(Some(index)),
                Ok(_) => {}
                Err(error) => silent = Some(error),
            }
        }
        // It may be the one that does not answer.
        silent.map_or(Ok(None), Err)
    }

    /// The event at `place`, of `size` bytes, read again from the source's binlog; none if
    /// that has it no more, or another event is there. Of one inside a compressed transaction that
    /// builds before kept, which does not say which it is, none as well if several may be it.
    pub async fn fetch(
        &self,
        event: &KeptEvent,
        size: u64,
        place: &EventPlace,
    ) -> Result<Option<KeptEvent>, Error> {
        let Some(server) = self.server_of(event).await? else { return Ok(None) };
        let Some(Settings { endpoint, replica, .. }) = self.servers.get(server) else {
            return Ok(None);
        };
        let file = FileName::clone(&place.file);
        let scan = Scan::open(endpoint, replica, file, place.offset).await?;
        let mut scan = scan.inflating();
        let mut inside = Vec::new();
        loop {
            let scanned = match scan.next().await {
                Ok(Some(scanned)) if *scanned.place.file == *place.file => scanned,
                Ok(_) => return Ok(None),
                Err(error) if error.code() == Some(mysql::ERROR_READING_BINLOG) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            if scanned.place.offset < place.offset {
                continue;
            }
            if scanned.place.offset > place.offset {
                return Ok(None);
            }
            let is_same =
                scanned.header.event_type.code() == event.code && scanned.body.len() as u64 == size;
            let with_body = |body| KeptEvent { body, ..event.clone() };
            match scanned.inner {
                Some(inner) => {
                    let may_be = event.inner.is_none_or(|wanted| wanted == inner);
                    // A table map and its rows begin with the number of the table.
                    let is_of_table = scanned.body.get(..6) == event.map.get(..6);
                    if is_same && may_be && is_of_table && inside.len() < 2 {
                        inside.push(scanned.body);
                    }
                }
                // It has come whole.
                None if scanned.header.event_type == EventType::TransactionPayload => {
                    let only = inside.pop().filter(|_| inside.is_empty());
                    return Ok(only.map(with_body));
                }
                None => return Ok(is_same.then(|| with_body(scanned.body))),
            }
        }
    }

    /// The rows of the event at `place`.
    pub async fn rows(
        &mut self,
        event: &KeptEvent,
        place: &EventPlace,
    ) -> Result<RowsChange, Error> {
        let odd = |what: &str| {
            let (what, place) = (what.to_owned(), place.clone());
            move |source| Error::Event { place, what, source }
        };
        let format =
            FormatDescription::parse(&event.format).map_err(odd("a FORMAT_DESCRIPTION"))?;
        let map = TableMap::parse(&format, &event.map).map_err(odd("a TABLE_MAP"))?;
        let is_mariadb = format.server_version.contains("MariaDB");
        let flavor = if is_mariadb { Flavor::MariaDb } else { Flavor::MySql };
        let table = self.table(&map, event, place, flavor).await?;
        let event_type = EventType::from(event.code);
        let rows =
            RowsEvent::parse(&format, event_type, &event.body).map_err(odd("a rows event"))?;
        let wrong = |reason: String| {
            let (table, place) = (table.name.clone(), place.clone());
            Error::Rows { table, place, reason }
        };
        if rows.column_count != table.columns.len() {
            let (image, columns) = (rows.column_count, table.columns.len());
            return Err(wrong(format!("they have {image} columns, the table has {columns}")));
        }
        let rows =
            json::expand_partial(rows, &table.columns).map_err(|error| wrong(error.to_string()))?;
        Ok(RowsChange {
            kind: rows.kind,
            table,
            columns: rows.columns,
            after_columns: rows.after_columns,
            images: rows.images,
            place: place.clone(),
            parked: None,
        })
    }

    async fn table(
        &mut self,
        map: &TableMap,
        event: &KeptEvent,
        place: &EventPlace,
        flavor: Flavor,
    ) -> Result<Arc<Table>, Error> {
        if let Some((body, definition, table)) = &self.last
            && *body == event.map
            && *definition == event.definition
        {
            return Ok(Arc::clone(table));
        }
        let table = match schema::read_by(map, event.definition.as_deref(), flavor) {
            Ok(table) => table,
            Err(reason) => {
                tracing::info!(table = %map.name, reason, "what was kept does not say how the table is read");
                self.ask(map, event, place).await?
            }
        };
        self.last = Some((event.map.clone(), event.definition.clone(), Arc::clone(&table)));
        Ok(table)
    }

    async fn ask(
        &mut self,
        map: &TableMap,
        event: &KeptEvent,
        place: &EventPlace,
    ) -> Result<Arc<Table>, Error> {
        let server = self.server_of(event).await?;
        let Some((server, settings)) = server.and_then(|at| Some((at, self.servers.get(at)?)))
        else {
            let (table, place) = (map.name.clone(), place.clone());
            let uuid = event.server.as_deref().unwrap_or_default();
            return Err(Error::Rows {
                table,
                place,
                reason: format!(
                    "what was kept of them does not say how the table is read, and {uuid}, the \
                     server that they are of, is none of the instance's"
                ),
            });
        };
        if self.asked.as_ref().is_none_or(|(at, ..)| *at != server) {
            let mut session = Session::connect(&settings.endpoint).await?;
            let probe = Probe::read(&mut session).await?;
            // Without the history: what it says holds at the place reached, which is another.
            let schema = Schema::new(super::session::server(&probe), settings.adopt);
            self.asked = Some((server, session, schema));
        }
        let Some((_, session, schema)) = &mut self.asked else { return Err(Error::Closed) };
        let Settings { endpoint, replica, .. } = settings;
        let mut origin = Origin { session, endpoint, replica };
        let found = schema.resolve(&mut origin, map, place).await;
        found.map_err(|source| Error::Schema { place: place.clone(), source })
    }
}
