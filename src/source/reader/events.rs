//! What each type of event does.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::tables::Entry;
use super::{Outlet, Reader, RowsQuery, Stop, session};
use crate::binlog::{
    self, AlterPhase, EventHeader, EventType, Fragment, GtidEvent, HEADER_LENGTH, Heartbeat,
    Policy, Query, Rotate, RowsEvent, TableMap, XaPrepare, json, rows_query,
};
use crate::change::{EventPlace, RowsChange, StatementChange, StatementKind, Table, TableName};
use crate::clock;
use crate::mysql::quote;
use crate::schema::{self, Applied, Message, Origin, Reading, SessionOf, Statement};
use crate::source::assemble::{GtidForm, Input, Verb, XaVerb};
use crate::source::{Error, Settings};

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
            Policy::Statement => return self.load_data(header, &body, place).await,
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
                let input =
                    if xa.one_phase { Input::Commit } else { Input::Prepare(Arc::new(xa.xid)) };
                self.step(input, place, size, outlet).await
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
                    let (sql, place) = (text.into_owned(), place.clone());
                    self.rows_query = Some(RowsQuery { sql, place, table: None });
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
        if self.quest.is_some() {
            return Err(Stop::Asked);
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
            if *heartbeat.file == **self.tracker.file() {
                let (file, offset) = (self.tracker.file(), self.tracker.offset());
                self.settings.remembered.lag().heartbeat(file, offset, clock::now_millis());
            }
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
        if event.flags.prepared_xa
            && let Some(xid) = event.xid
        {
            let input = Input::GtidOfBranch { gtid: event.gtid, xid: Arc::new(xid) };
            return self.step(input, place, size, outlet).await;
        }
        self.alter = event.flags.alter;
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
            Verb::Begin => Input::Begin,
            Verb::Commit => Input::Commit,
            Verb::Rollback => Input::Rollback { kept: self.kept().await? },
            Verb::Savepoint(name) => Input::Savepoint(name),
            Verb::RollbackTo(name) => Input::RollbackTo { name, kept: self.kept().await? },
            Verb::Nothing => return Ok(()),
            Verb::Xa(verb, xid) => {
                if verb == XaVerb::Commit {
                    self.find_unless_held(&xid, place, outlet).await?;
                }
                self.xa(verb, xid, place)?
            }
            Verb::OtherXa => {
                let reason = format!("`{}` is no statement about an XA branch", query.text);
                return Err(unsupported(header, place, reason, STOP_ADVICE));
            }
            // It did not take effect yet, or never does.
            Verb::Statement
                if matches!(self.alter, Some(AlterPhase::Start | AlterPhase::Rollback)) =>
            {
                Input::Statement(Vec::new())
            }
            Verb::Statement if self.quest.is_some() => Input::Statement(Vec::new()),
            Verb::Statement => Input::Statement(self.statement(header, &query, place).await?),
        };
        self.step(input, place, size, outlet).await
    }

    /// Follows a statement's changes to the schema; what of it is published.
    async fn statement(
        &mut self,
        header: &EventHeader,
        query: &Query<'_>,
        place: &EventPlace,
    ) -> Result<Vec<StatementChange>, Stop> {
        let statement = read_statement(query, place);
        let mut reading = self.schema.reading(&statement);
        self.take_out_temporary(header, query, &mut reading).await?;
        let Applied { message, tables, new_epoch: _, is_unknown } =
            self.schema.apply_reading(&statement, reading);
        if is_unknown {
            self.progress.skipped();
        }
        let Some(message) = message else { return Ok(Vec::new()) };
        let filter = &self.settings.filter;
        let verdicts = &mut self.verdicts;
        let mut passes = |name: &TableName| verdicts.passes(filter, &name.schema, &name.table);
        let passes = tables.is_empty() || tables.iter().any(&mut passes);
        if !passes || !self.is_published(&message, place)? {
            return Ok(Vec::new());
        }
        let Message { kind, is_ddl, schema, table } = message;
        let sql = query.text.clone().into_owned();
        Ok(vec![StatementChange { kind, is_ddl, schema, table, sql, place: place.clone() }])
    }

    /// What concerns temporary tables is left out of the reading.
    async fn take_out_temporary(
        &mut self,
        header: &EventHeader,
        query: &Query<'_>,
        reading: &mut Reading,
    ) -> Result<(), Stop> {
        let remembered = &self.settings.remembered;
        remembered.temporaries().folds_case(self.schema.folds_case());
        let session_of = SessionOf { server: header.server_id, thread: query.thread_id };
        let flagged = header.has(EventHeader::THREAD_SPECIFIC);
        let doubt = remembered.temporaries().doubt(session_of, reading).filter(|_| flagged);
        if let Some(name) = doubt
            && !query.text.to_ascii_lowercase().contains("connection_id")
            && !self.has_reason_for_flag(&name).await?
        {
            tracing::info!(table = %name, "a statement changes a temporary table that was there before");
            remembered.temporaries().insert(session_of, &name);
        }
        remembered.temporaries().take_out(session_of, flagged, reading);
        Ok(())
    }

    /// Whether a real table of that name has CONNECTION_ID() in the default of a column: statements
    /// that change it are flagged for nothing else, so without it they are about a temporary one,
    /// which was made before we listened.
    async fn has_reason_for_flag(&mut self, name: &TableName) -> Result<bool, Stop> {
        /// DDL of an engine without transactions hides its table for a moment.
        const TRIES: u32 = 5;
        let defaults = format!(
            "SELECT COALESCE(LOWER(COLUMN_DEFAULT) LIKE '%connection_id%', 0) \
             FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
            quote(&name.schema),
            quote(&name.table)
        );
        for _ in 0..TRIES {
            let session = session(&mut self.session, self.settings).await?;
            let rows = session.query(&defaults).await.map_err(Error::from)?;
            if !rows.is_empty() || self.schema.definition(name).is_none() {
                return Ok(rows.iter().any(|row| row.text_at(0) == Some("1")));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(false)
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
    /// that means anything without the file. Its last event says into which table; that of a
    /// temporary one is nobody's.
    async fn load_data(
        &mut self,
        header: &EventHeader,
        body: &[u8],
        place: &EventPlace,
    ) -> Result<(), Stop> {
        self.progress.skipped();
        let statements = &self.settings.statements;
        if header.event_type == EventType::ExecuteLoadQuery {
            let query = Query::parse(header.event_type, body)
                .map_err(|e| self.odd("EXECUTE_LOAD_QUERY", e))?;
            let statement = read_statement(&query, place);
            let mut reading = self.schema.reading(&statement);
            self.take_out_temporary(header, &query, &mut reading).await?;
            if reading.message.is_none() {
                return Ok(());
            }
            tracing::warn!(
                file = &*place.file,
                offset = place.offset,
                "a LOAD DATA in statement format has no rows and is not published"
            );
        }
        let is_part = matches!(
            header.event_type,
            EventType::BeginLoadQuery | EventType::AppendBlock | EventType::DeleteFile
        );
        if statements.dml && statements.dml_stops && !is_part {
            return Err(Error::Statement { place: place.clone() }.into());
        }
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
        if let Some(query) = &mut self.rows_query
            && query.table.is_none()
        {
            query.table = Some(TableName::new(schema, table));
        }
        let epoch = self.schema.epoch();
        if self.tables.has(id, body, epoch) {
            return Ok(());
        }
        if self.is_looking() || !self.verdicts.passes(&self.settings.filter, schema, table) {
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
        let asked = self.rows_query.take();
        let table = match self.tables.get(event.table) {
            Some(Entry::Table(table)) => Arc::clone(table),
            passed @ Some(Entry::Dropped | Entry::Unknown) => {
                if matches!(passed, Some(Entry::Unknown)) {
                    self.progress.dropped_rows();
                }
                self.rows_query = asked.filter(|_| !ends_statement);
                return self.step(Input::PassedRows { ends_statement }, place, size, outlet).await;
            }
            None if event.is_dummy() => {
                self.rows_query = asked.filter(|_| !ends_statement);
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
        if let Some(RowsQuery { sql, place: asked, table: named }) = asked {
            let statement = StatementChange {
                kind: StatementKind::Query,
                is_ddl: false,
                schema: String::new(),
                table: named.as_ref().unwrap_or(&table.name).table.to_string(),
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

fn read_statement<'a>(query: &'a Query<'_>, place: &'a EventPlace) -> Statement<'a> {
    Statement {
        text: &query.text,
        schema: query.schema,
        sql_mode: query.status.sql_mode.unwrap_or(0),
        server_collation: query.status.server,
        error_code: query.error_code,
        place,
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
