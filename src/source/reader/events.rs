//! What each type of event does.

use std::sync::Arc;

use bytes::Bytes;

use super::tables::Entry;
use super::{Outlet, Reader, Stop, session};
use crate::binlog::{
    self, EventHeader, EventType, Fragment, GtidEvent, HEADER_LENGTH, Heartbeat, Policy, Query,
    Rotate, RowsEvent, TableMap, XaPrepare, json, rows_query,
};
use crate::change::{EventPlace, RowsChange, StatementChange, StatementKind, Table};
use crate::schema::{self, Applied, Message, Origin, Statement};
use crate::source::assemble::{GtidForm, Input, Verb};
use crate::source::{Error, Settings};

const XA: &str = "an XA transaction that is not committed at once";
const XA_ADVICE: &str = "XA transactions are not supported yet: leave this one out by \
     `sluice position set` behind it, and use XA only on tables of other servers";

impl Reader<'_> {
    /// Applies one event, with its body without checksum; those inside a compressed
    /// transaction come with the place of the whole.
    pub(super) async fn apply(
        &mut self,
        header: &EventHeader,
        body: Bytes,
        place: &EventPlace,
        size: usize,
        outlet: Outlet<'_>,
    ) -> Result<(), Stop> {
        match header.policy() {
            Policy::Apply => {}
            Policy::Skip(reason) => {
                tracing::debug!(event = ?header.event_type, reason, "left out");
                self.progress.skipped();
                self.note_idle(header.timestamp);
                return Ok(());
            }
            Policy::Statement => return self.load_data(header, place),
            Policy::Stop(reason) => return Err(unsupported(header, place, reason, STOP_ADVICE)),
            Policy::ByFlag => {
                let reason = "its type is unknown";
                return Err(unsupported(header, place, reason, STOP_ADVICE));
            }
        }
        match header.event_type {
            EventType::Rotate => {
                let rotate = Rotate::parse(&body).map_err(|e| self.odd("ROTATE", e))?;
                self.rotate(rotate.file, place, outlet).await
            }
            EventType::Heartbeat | EventType::HeartbeatV2 => self.heartbeat(header, &body),
            EventType::Gtid
            | EventType::AnonymousGtid
            | EventType::GtidTagged
            | EventType::MariaDbGtid => self.gtid(header, &body, place, size, outlet).await,
            EventType::Query | EventType::QueryCompressed => {
                self.query(header, &body, place, size, outlet).await
            }
            EventType::Xid => self.step(Input::Commit, place, size, outlet).await,
            EventType::XaPrepare => {
                let xa = XaPrepare::parse(&body).map_err(|e| self.odd("XA_PREPARE", e))?;
                if !xa.one_phase {
                    let reason = format!("{XA} (xid {})", xa.xid);
                    return Err(unsupported(header, place, reason, XA_ADVICE));
                }
                self.step(Input::Commit, place, size, outlet).await
            }
            EventType::TableMap => self.table_map(&body, place, outlet).await,
            EventType::WriteRowsV1
            | EventType::UpdateRowsV1
            | EventType::DeleteRowsV1
            | EventType::WriteRows
            | EventType::UpdateRows
            | EventType::DeleteRows
            | EventType::PartialUpdateRows
            | EventType::WriteRowsCompressedV1
            | EventType::UpdateRowsCompressedV1
            | EventType::DeleteRowsCompressedV1
            | EventType::WriteRowsCompressed
            | EventType::UpdateRowsCompressed
            | EventType::DeleteRowsCompressed => {
                self.rows(header, &body, place, size, outlet).await
            }
            EventType::PartialRowData => self.fragment(&body, place, size, outlet).await,
            EventType::RowsQuery => {
                if self.settings.statements.rows_query {
                    let text = rows_query(&body).map_err(|e| self.odd("ROWS_QUERY", e))?;
                    self.rows_query = Some((text.into_owned(), place.clone()));
                }
                Ok(())
            }
            // MariaDB's comes with every statement by default, and Canal publishes none.
            EventType::AnnotateRows => Ok(()),
            // The set was complete at the start, or is absent: what stands here adds nothing.
            EventType::PreviousGtids | EventType::GtidList => {
                self.note_idle(0);
                Ok(())
            }
            EventType::FormatDescription | EventType::TransactionPayload => {
                let reason = "it never stands inside another event";
                Err(unsupported(header, place, reason, STOP_ADVICE))
            }
            EventType::StartV3
            | EventType::Stop
            | EventType::Intvar
            | EventType::Load
            | EventType::Slave
            | EventType::CreateFile
            | EventType::AppendBlock
            | EventType::ExecLoad
            | EventType::DeleteFile
            | EventType::NewLoad
            | EventType::Rand
            | EventType::UserVar
            | EventType::BeginLoadQuery
            | EventType::ExecuteLoadQuery
            | EventType::PreGaWriteRows
            | EventType::PreGaUpdateRows
            | EventType::PreGaDeleteRows
            | EventType::Incident
            | EventType::Ignorable
            | EventType::TransactionContext
            | EventType::ViewChange
            | EventType::BinlogCheckpoint
            | EventType::StartEncryption
            | EventType::Unknown(_) => {
                let reason = "its policy and its treatment disagree";
                Err(unsupported(header, place, reason, STOP_ADVICE))
            }
        }
    }

    async fn rotate(
        &mut self,
        file: &str,
        place: &EventPlace,
        outlet: Outlet<'_>,
    ) -> Result<(), Stop> {
        if !self.tracker.rotate(file) {
            return Ok(());
        }
        self.tables.clear();
        self.rows_query = None;
        if self.fragments.is_open() {
            return Err(Stop::broken(format!("{file} begins in the middle of a rows event")));
        }
        self.step(Input::NewFile, place, 0, outlet).await
    }

    /// The server has nothing to send up to there.
    fn heartbeat(&mut self, header: &EventHeader, body: &[u8]) -> Result<(), Stop> {
        let heartbeat = Heartbeat::parse(header, body).map_err(|e| self.odd("HEARTBEAT", e))?;
        if self.assembler.is_between() {
            self.tracker.skip_to(heartbeat.file, heartbeat.position);
            self.note_idle(0);
        }
        Ok(())
    }

    async fn gtid(
        &mut self,
        header: &EventHeader,
        body: &[u8],
        place: &EventPlace,
        size: usize,
        outlet: Outlet<'_>,
    ) -> Result<(), Stop> {
        let event = GtidEvent::parse(header, body).map_err(|e| self.odd("GTID", e))?;
        if event.flags.prepared_xa || event.flags.completed_xa {
            let xid = event.xid.map(|xid| format!(" (xid {xid})")).unwrap_or_default();
            return Err(unsupported(header, place, format!("{XA}{xid}"), XA_ADVICE));
        }
        let form = match header.event_type {
            EventType::MariaDbGtid if event.flags.standalone => GtidForm::Standalone,
            EventType::MariaDbGtid => GtidForm::Opens,
            _ => GtidForm::Announces,
        };
        self.step(Input::Gtid { gtid: event.gtid, form }, place, size, outlet).await
    }

    async fn query(
        &mut self,
        header: &EventHeader,
        body: &[u8],
        place: &EventPlace,
        size: usize,
        outlet: Outlet<'_>,
    ) -> Result<(), Stop> {
        let query = Query::parse(header.event_type, body).map_err(|e| self.odd("QUERY", e))?;
        if query.error_code != 0 {
            tracing::warn!(
                error = query.error_code,
                file = &*place.file,
                offset = place.offset,
                "a statement failed half-way on the source, and could not be taken back there"
            );
        }
        let input = match Verb::of(&query.text) {
            Verb::Begin | Verb::XaStart => Input::Begin,
            Verb::Commit => Input::Commit,
            Verb::Rollback => Input::Rollback { kept: self.kept().await? },
            Verb::Savepoint(name) => Input::Savepoint(name),
            Verb::RollbackTo(name) => Input::RollbackTo { name, kept: self.kept().await? },
            Verb::Nothing => return Ok(()),
            Verb::Xa(text) => {
                return Err(unsupported(header, place, format!("{XA}: {text}"), XA_ADVICE));
            }
            Verb::Statement => Input::Statement(self.statement(&query, place)?),
        };
        self.step(input, place, size, outlet).await
    }

    /// Follows a statement's changes to the schema; what of it is published.
    fn statement(
        &mut self,
        query: &Query<'_>,
        place: &EventPlace,
    ) -> Result<Vec<StatementChange>, Stop> {
        let statement = Statement {
            text: &query.text,
            schema: query.schema,
            sql_mode: query.status.sql_mode.unwrap_or(0),
            server_collation: query.status.server,
            place,
        };
        let Applied { message, tables, new_epoch: _ } = self.schema.apply(&statement);
        let Some(message) = message else { return Ok(Vec::new()) };
        let filter = &self.settings.filter;
        let passes =
            tables.is_empty() || tables.iter().any(|name| filter.passes(&name.schema, &name.table));
        if !passes || !self.is_published(&message, place)? {
            return Ok(Vec::new());
        }
        let Message { kind, is_ddl, schema, table } = message;
        let sql = query.text.clone().into_owned();
        Ok(vec![StatementChange { kind, is_ddl, schema, table, sql, place: place.clone() }])
    }

    fn is_published(&self, message: &Message, place: &EventPlace) -> Result<bool, Stop> {
        let statements = &self.settings.statements;
        match message.kind {
            StatementKind::Insert | StatementKind::Update | StatementKind::Delete => {
                if statements.dml && statements.dml_stops {
                    return Err(Error::Statement { place: place.clone() }.into());
                }
                if statements.dml {
                    tracing::warn!(
                        schema = message.schema,
                        table = message.table,
                        file = &*place.file,
                        offset = place.offset,
                        "a change in statement format is published without its rows"
                    );
                }
                Ok(statements.dml)
            }
            StatementKind::Query => Ok(statements.dcl),
            StatementKind::Create
            | StatementKind::Alter
            | StatementKind::Erase
            | StatementKind::Rename
            | StatementKind::Truncate
            | StatementKind::CreateIndex
            | StatementKind::DropIndex => Ok(statements.ddl),
        }
    }

    /// LOAD DATA in statement format comes as blocks of a file: neither rows nor a statement
    /// that means anything without the file.
    fn load_data(&self, header: &EventHeader, place: &EventPlace) -> Result<(), Stop> {
        let statements = &self.settings.statements;
        if statements.dml && statements.dml_stops {
            return Err(Error::Statement { place: place.clone() }.into());
        }
        if header.event_type == EventType::ExecuteLoadQuery {
            tracing::warn!(
                file = &*place.file,
                offset = place.offset,
                "a LOAD DATA in statement format has no rows and is not published"
            );
        }
        self.progress.skipped();
        Ok(())
    }

    async fn table_map(
        &mut self,
        body: &Bytes,
        place: &EventPlace,
        outlet: Outlet<'_>,
    ) -> Result<(), Stop> {
        const WHAT: &str = "TABLE_MAP";
        let (id, schema, table) =
            TableMap::peek(&self.format, body).map_err(|e| self.odd(WHAT, e))?;
        let epoch = self.schema.epoch();
        if self.tables.has(id, body, epoch) {
            return Ok(());
        }
        if !self.settings.filter.passes(schema, table) {
            self.tables.insert(id, body, epoch, Entry::Dropped);
            return Ok(());
        }
        let map = TableMap::parse(&self.format, body).map_err(|e| self.odd(WHAT, e))?;
        let found = if let Some(table) = self.schema.lookup(&map, place) {
            Ok(table)
        } else {
            let session = session(&mut self.session, self.settings).await?;
            let Settings { endpoint, replica, .. } = self.settings;
            let mut origin = Origin { session, endpoint, replica };
            // It may have to look through a long binlog.
            tokio::select! {
                biased;
                () = outlet.stop.cancelled() => return Err(Stop::Asked),
                found = self.schema.resolve(&mut origin, &map, place) => found,
            }
        };
        let entry = match found {
            Ok(table) => Entry::Table(table),
            Err(schema::Error::Unknown { reason, .. }) if self.settings.drop_unknown_tables => {
                tracing::error!(table = %map.name, reason,
                    "THE ROWS OF A TABLE ARE DROPPED: its definition is not known \
                     (canal.instance.filter.table.error)");
                Entry::Unknown
            }
            Err(source) => return Err(Error::Schema { place: place.clone(), source }.into()),
        };
        self.tables.insert(id, body, self.schema.epoch(), entry);
        Ok(())
    }

    async fn rows(
        &mut self,
        header: &EventHeader,
        body: &Bytes,
        place: &EventPlace,
        size: usize,
        outlet: Outlet<'_>,
    ) -> Result<(), Stop> {
        let event = RowsEvent::parse(&self.format, header.event_type, body)
            .map_err(|e| self.odd("a rows event", e))?;
        let ends_statement = event.ends_statement();
        let asked = if ends_statement { self.rows_query.take() } else { self.rows_query.clone() };
        let table = match self.tables.get(event.table) {
            Some(Entry::Table(table)) => Arc::clone(table),
            passed @ Some(Entry::Dropped | Entry::Unknown) => {
                if matches!(passed, Some(Entry::Unknown)) {
                    self.progress.dropped_rows();
                }
                return self.step(Input::PassedRows { ends_statement }, place, size, outlet).await;
            }
            None if event.is_dummy() => {
                return self.step(Input::PassedRows { ends_statement }, place, size, outlet).await;
            }
            None => {
                return Err(Stop::broken(format!(
                    "rows at {}:{} name the table id {}, which no table map before them has",
                    place.file, place.offset, event.table.0
                )));
            }
        };
        if event.column_count != table.columns.len() {
            let (image, table) = (event.column_count, table.columns.len());
            return Err(self.odd("a rows event", binlog::Error::Columns { image, table }));
        }
        let event = self.with_whole_documents(event, header, &table, place)?;
        // What is kept may have grown beyond what was received.
        let size = size.max(event.images.len());
        if let Some((sql, asked)) = asked {
            self.rows_query = None;
            let statement = StatementChange {
                kind: StatementKind::Query,
                is_ddl: false,
                schema: String::new(),
                table: table.name.table.to_string(),
                sql,
                place: asked,
            };
            self.step(Input::Statement(vec![statement]), place, 0, outlet).await?;
        }
        let change = RowsChange {
            kind: event.kind,
            table,
            columns: event.columns,
            after_columns: event.after_columns,
            images: event.images,
            place: place.clone(),
        };
        self.step(Input::Rows { change, ends_statement }, place, size, outlet).await
    }

    /// The event as it would be without `binlog_row_value_options=PARTIAL_JSON`.
    fn with_whole_documents(
        &self,
        event: RowsEvent,
        header: &EventHeader,
        table: &Table,
        place: &EventPlace,
    ) -> Result<RowsEvent, Stop> {
        json::expand_partial(event, &table.columns).map_err(|error| match error {
            binlog::Error::JsonDiff(_) => {
                let reason = format!("table {}: {error}", table.name);
                unsupported(header, place, reason, PARTIAL_ADVICE)
            }
            other => self.odd("a partial update of JSON", other),
        })
    }

    /// MariaDB 12.3 sends rows events above 1 GiB in pieces.
    async fn fragment(
        &mut self,
        body: &[u8],
        place: &EventPlace,
        size: usize,
        outlet: Outlet<'_>,
    ) -> Result<(), Stop> {
        const WHAT: &str = "PARTIAL_ROW_DATA";
        let fragment = Fragment::parse(body).map_err(|e| self.odd(WHAT, e))?;
        let whole = self.fragments.push(fragment).map_err(|e| self.odd(WHAT, e))?;
        let Some(event) = whole.map(Bytes::from) else { return Ok(()) };
        let header = EventHeader::parse(&event).map_err(|e| self.odd(WHAT, e))?;
        let body = event.slice(HEADER_LENGTH..);
        self.rows(&header, &body, place, size, outlet).await
    }
}

const PARTIAL_ADVICE: &str = "where sessions of the source set \
     binlog_row_value_options='PARTIAL_JSON', binlog_row_image has to be FULL: set it so, copy \
     the table anew and `sluice position set` behind this place";
const STOP_ADVICE: &str = "going on would lose changes: copy the tables anew and \
     `sluice position set` behind this place";

fn unsupported(
    header: &EventHeader,
    place: &EventPlace,
    reason: impl Into<String>,
    advice: &'static str,
) -> Stop {
    let what = format!("event {:?} (type {})", header.event_type, header.event_type.code());
    Stop::from(Error::Unsupported { place: place.clone(), what, reason: reason.into(), advice })
}
