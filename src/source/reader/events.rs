//! What each type of event does.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::tables::Entry;
use super::{Current, Event, Outlet, Reader, RowsQuery, Stop, Wait, session};
use crate::binlog::{
    self, AlterPhase, EventHeader, EventType, FormatDescription, Fragment, GtidEvent,
    HEADER_LENGTH, Policy, Query, Rotate, RowsEvent, TableMap, XaPrepare, json, rows_query,
};
use crate::change::{
    Change, EventPlace, FileName, KeptEvent, ParkedTogether, RowsChange, ServerVersion,
    StatementChange, StatementKind, Table, TableName, TableVersion,
};
use crate::mysql::{self, quote};
use crate::schema::{self, Applied, Flag, Message, Origin, Place, Reading, SessionOf, Statement};
use crate::source::assemble::{GtidForm, Input, Verb, XaVerb};
use crate::source::{Error, Settings};

impl Reader<'_> {
    /// Goes on with what [`apply_at_once`](Self::apply_at_once) could not do.
    pub(super) async fn apply_later(
        &mut self,
        event: &Event<'_>,
        wait: Wait,
        outlet: Outlet<'_>,
    ) -> Result<(), Stop> {
        match wait {
            Wait::Query => self.query_later(event, outlet).await,
            Wait::TableMap => self.table_map_later(event, outlet).await,
            Wait::LoadData => self.load_data(event).await,
        }
    }

    /// Applies one event, unless it has to wait for something. Few do: all others cost no more
    /// than their work, and no future.
    pub(super) fn apply_at_once(
        &mut self,
        event: &Event<'_>,
        outlet: Outlet<'_>,
    ) -> Result<Option<Wait>, Stop> {
        let &Event { ref header, body, place, .. } = event;
        if self.quest.as_ref().is_some_and(|quest| place.offset < quest.begin)
            && header.event_type != EventType::Rotate
        {
            return Ok(None);
        }
        if let Some(tracer) = &mut self.tracer {
            let behind = (self.tracker.file(), self.tracker.offset());
            let traced = tracer.event(header, &event.bytes.slice_ref(body), &self.format, behind);
            traced.map_err(|e| self.odd("an event", e))?;
        }
        match header.policy() {
            Policy::Apply => {}
            Policy::Skip(reason) => {
                tracing::debug!(event = ?header.event_type, reason, "left out");
                self.progress.skipped();
                self.note_idle(header.timestamp);
                return Ok(None);
            }
            Policy::Statement => return Ok(Some(Wait::LoadData)),
            Policy::Stop(reason) => return Err(unsupported(header, place, reason, STOP_ADVICE)),
            Policy::ByFlag => {
                let reason = "its type is unknown";
                return Err(unsupported(header, place, reason, STOP_ADVICE));
            }
        }
        match header.event_type {
            EventType::Query | EventType::QueryCompressed => return self.query(event, outlet),
            EventType::TableMap => return self.table_map(event),
            EventType::Rotate => {
                let rotate = Rotate::parse(body).map_err(|e| self.odd("ROTATE", e))?;
                self.rotate(rotate.file, event, outlet)?;
            }
            EventType::Heartbeat | EventType::HeartbeatV2 => self.heartbeat(header, body)?,
            EventType::Gtid
            | EventType::AnonymousGtid
            | EventType::GtidTagged
            | EventType::MariaDbGtid => self.gtid(event, outlet)?,
            EventType::Xid => self.step(Input::Commit, event, outlet)?,
            EventType::XaPrepare => {
                let xa = XaPrepare::parse(body).map_err(|e| self.odd("XA_PREPARE", e))?;
                let input =
                    if xa.one_phase { Input::Commit } else { Input::Prepare(Arc::new(xa.xid)) };
                self.step(input, event, outlet)?;
            }
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
                self.rows(header, &event.bytes.slice_ref(body), event, outlet)?;
            }
            EventType::PartialRowData => self.fragment(event, outlet)?,
            EventType::RowsQuery => {
                if self.settings.statements.rows_query {
                    let client = self.current.client;
                    let text = rows_query(body, client).map_err(|e| self.odd("ROWS_QUERY", e))?;
                    let (sql, place) = (text.into_owned(), place.clone());
                    self.current.rows_query = Some(RowsQuery { sql, place, table: None });
                }
            }
            // MariaDB's comes with every statement by default, and Canal publishes none.
            EventType::AnnotateRows => {}
            // The set was complete at the start, or is absent: what is here adds nothing.
            EventType::PreviousGtids | EventType::GtidList => self.note_idle(0),
            EventType::FormatDescription | EventType::TransactionPayload => {
                let reason = "it is never inside another event";
                return Err(unsupported(header, place, reason, STOP_ADVICE));
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
                return Err(unsupported(header, place, reason, STOP_ADVICE));
            }
        }
        Ok(None)
    }

    fn rotate(&mut self, file: &str, event: &Event<'_>, outlet: Outlet<'_>) -> Result<(), Stop> {
        // Before a first one is described, its name may be another server's.
        let before = (self.tracker.created() != 0).then(|| FileName::clone(self.tracker.file()));
        if !self.tracker.rotate(file) {
            return Ok(());
        }
        if let Some(before) = before {
            self.leaves_file(&before);
        }
        if self.quest.is_some() {
            return Err(Stop::Asked);
        }
        if self.tracker.leaves_out() {
            let file = self.tracker.file();
            self.settings.remembered.lag().found(file);
            if let Some(begun) = &mut self.begun {
                begun.began_in.get_or_insert_with(|| FileName::clone(file));
            }
        }
        self.tables.clear();
        self.current = Current::default();
        if let Some(tracer) = &mut self.tracer {
            tracer.new_file();
        }
        if self.fragments.is_open() {
            return Err(Stop::broken(format!("{file} begins in the middle of a rows event")));
        }
        self.step_of(Input::NewFile, event.place, 0, outlet)
    }

    fn gtid(&mut self, event: &Event<'_>, outlet: Outlet<'_>) -> Result<(), Stop> {
        let header = &event.header;
        let gtid = GtidEvent::parse(header, event.body).map_err(|e| self.odd("GTID", e))?;
        let was_published = self.was_published(gtid.gtid.as_ref());
        let alter = gtid.flags.alter;
        self.current = Current { alter, was_published, ..Current::default() };
        let server_time = gtid.server_time();
        if gtid.flags.prepared_xa
            && let Some(xid) = gtid.xid
        {
            let input = Input::GtidOfBranch { gtid: gtid.gtid, xid: Arc::new(xid) };
            return self.step(input, event, outlet);
        }
        let form = match header.event_type {
            EventType::MariaDbGtid if gtid.flags.standalone => GtidForm::Standalone,
            EventType::MariaDbGtid => GtidForm::Opens,
            _ => GtidForm::Announces,
        };
        self.step(Input::Gtid { gtid: gtid.gtid, form }, event, outlet)?;
        self.tracker.written_at(server_time);
        Ok(())
    }

    /// What only begins or ends a transaction, or sets a mark in it.
    fn query(&mut self, event: &Event<'_>, outlet: Outlet<'_>) -> Result<Option<Wait>, Stop> {
        let query = self.parse_query(event)?;
        let input = match Verb::of(&query.text) {
            Verb::Begin => {
                self.current.client = query.status.client;
                Input::Begin
            }
            Verb::Commit => Input::Commit,
            Verb::Savepoint => Input::Savepoint(self.savepoint_name(event)?),
            Verb::Nothing => return Ok(None),
            Verb::Rollback | Verb::RollbackTo | Verb::Xa(..) | Verb::OtherXa | Verb::Statement => {
                return Ok(Some(Wait::Query));
            }
        };
        self.step(input, event, outlet)?;
        Ok(None)
    }

    fn parse_query<'e>(&self, event: &Event<'e>) -> Result<Query<'e>, Stop> {
        Query::parse(event.header.event_type, event.body).map_err(|e| self.odd("QUERY", e))
    }

    async fn query_later(&mut self, event: &Event<'_>, outlet: Outlet<'_>) -> Result<(), Stop> {
        let &Event { ref header, place, .. } = event;
        let query = self.parse_query(event)?;
        if query.error_code != 0 {
            tracing::warn!(
                error = query.error_code,
                file = &*place.file,
                offset = place.offset,
                "a statement failed half-way on the source, and could not be rolled back there"
            );
        }
        let input = match Verb::of(&query.text) {
            Verb::Begin | Verb::Commit | Verb::Savepoint | Verb::Nothing => {
                // Those wait for nothing.
                return self.query(event, outlet).map(drop);
            }
            Verb::Rollback => Input::Rollback { kept: self.kept().await? },
            Verb::RollbackTo => {
                let mark = self.savepoint(&self.savepoint_name(event)?).await?;
                Input::RollbackTo { mark, kept: self.kept().await? }
            }
            Verb::Xa(verb, xid) => {
                if verb == XaVerb::Start {
                    self.current.client = query.status.client;
                }
                let is_unlogged = verb == XaVerb::Commit
                    && !self.current.was_published
                    && self.find_unless_held(&xid, place, outlet).await?;
                self.xa(verb, xid, is_unlogged, place)?
            }
            Verb::OtherXa => {
                let reason = format!("`{}` is no statement about an XA branch", query.text);
                return Err(unsupported(header, place, reason, STOP_ADVICE));
            }
            // It did not take effect yet, or never does.
            Verb::Statement
                if matches!(self.current.alter, Some(AlterPhase::Start | AlterPhase::Rollback)) =>
            {
                Input::Statement(Vec::new())
            }
            Verb::Statement => Input::Statement(self.statement(header, &query, place).await?),
        };
        self.step(input, event, outlet)
    }

    /// Follows a statement's changes to the schema; what of it is published.
    async fn statement(
        &mut self,
        header: &EventHeader,
        query: &Query<'_>,
        place: &EventPlace,
    ) -> Result<Vec<Change>, Stop> {
        let statement = read_statement(query, place, &self.format);
        let mut reading = self.schema.reading(&statement);
        if self.quest.is_none() {
            self.take_out_temporary(header, query, place, &mut reading).await?;
        } else if !self.keep_of_quest(header, query, &mut reading) {
            return Ok(Vec::new());
        }
        let made = reading.made().filter(|_| query.error_code == 0);
        let made = made.map(|name| self.schema.folded(name));
        let Applied { message, tables, named, new_epoch: _, is_unknown } =
            self.schema.apply_reading(&statement, reading);
        let all = tables.iter().chain(&named.changed).chain(&named.databases);
        self.note_statement(&all.chain(&named.dropped).collect::<Vec<_>>());
        if let Some(name) = made {
            self.note_made(name);
        }
        if message.as_ref().is_some_and(|message| message.kind == StatementKind::Rename) {
            self.note_renamed(&named.changed);
            self.settings.remembered.copying().renamed(named.changed.clone());
        }
        let together = self.parking.follow(&named, place);
        let mut changes = Vec::new();
        if together.len() > 1 {
            let (names, place) = (together.clone(), place.clone());
            changes.push(Change::Together(ParkedTogether { names, place }));
        }
        if is_unknown {
            self.progress.skipped();
        }
        let Some(message) = message else { return Ok(changes) };
        let filter = &self.settings.filter;
        let verdicts = &mut self.verdicts;
        let mut is_included =
            |name: &TableName| verdicts.includes(filter, &name.schema, &name.table);
        let included = tables.iter().find(|name| is_included(name));
        if (included.is_none() && !tables.is_empty()) || !self.is_published(&message, place)? {
            return Ok(changes);
        }
        let Message { kind, is_ddl, mut schema, mut table } = message;
        // Of the tables whose rows it changes it is named after one that is wanted.
        if kind.changes_rows()
            && let Some(name) = included
        {
            (schema, table) = (name.schema.to_string(), name.table.to_string());
        }
        let sql = query.text.clone().into_owned();
        let is_of_database = !named.databases.is_empty() || !named.dropped.is_empty();
        let subject = if is_of_database {
            TableName::of_database(&*schema)
        } else if table.is_empty() {
            TableName::new("", "")
        } else {
            TableName::new(&*schema, &*table)
        };
        let of_rows = if kind.changes_rows() { &tables[..] } else { &[] };
        let parked = if self.parking.keeps(&subject, place) {
            Some(subject.clone())
        } else if let Some(name) = of_rows.iter().find(|name| self.parking.keeps(name, place)) {
            Some(name.clone())
        } else {
            together.into_iter().next()
        };
        let place = place.clone();
        let statement =
            StatementChange { kind, is_ddl, schema, table, sql, place, subject, parked };
        changes.push(Change::Statement(statement));
        Ok(changes)
    }

    /// What concerns temporary tables is left out of the reading.
    async fn take_out_temporary(
        &mut self,
        header: &EventHeader,
        query: &Query<'_>,
        place: &EventPlace,
        reading: &mut Reading,
    ) -> Result<(), Stop> {
        self.judge_sessions(header.server_id).await?;
        let session_of = SessionOf { server: header.server_id, thread: query.thread_id };
        let flagged = header.has(EventHeader::THREAD_SPECIFIC);
        let doubt = self.schema.doubt(session_of, reading).filter(|_| flagged);
        if let Some(name) = doubt
            && !query.text.to_ascii_lowercase().contains("connection_id")
        {
            match self.reason_for_flag(&name).await? {
                Reason::OfTable => {}
                Reason::None => {
                    tracing::info!(table = %name, "a statement changes a temporary table that was there before");
                    self.schema.set_temporary(session_of, &name);
                }
                Reason::Unknown => reading.void(
                    "it may have been about a temporary table, and the source has no other of \
                     that name any more",
                ),
            }
        }
        let mut flag = Flag::Unset;
        if flagged {
            flag = match self.schema.doubtful_like(session_of, reading, &Place::from(place)) {
                Some(like) if self.reason_for_flag(&like).await? != Reason::OfTable => Flag::Set,
                Some(_) | None => Flag::Explained,
            };
        }
        self.schema.take_out_temporary(session_of, flag, self.tracker.file(), reading);
        Ok(())
    }

    /// Whether a real table of that name has CONNECTION_ID() in the default of a column: statements
    /// that change it are flagged for nothing else, so without it they are about a temporary one,
    /// which was made before the instance began. One that was dropped since may have had it.
    async fn reason_for_flag(&mut self, name: &TableName) -> Result<Reason, Stop> {
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
            if rows.iter().any(|row| row.text_at(0) == Some("1")) {
                return Ok(Reason::OfTable);
            }
            if !rows.is_empty() || self.schema.definition(name).is_none() {
                return Ok(Reason::None);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(Reason::Unknown)
    }

    fn is_published(&self, message: &Message, place: &EventPlace) -> Result<bool, Stop> {
        let statements = &self.settings.statements;
        match message.kind {
            StatementKind::Query if message.is_ddl => Ok(statements.dcl),
            StatementKind::Insert
            | StatementKind::Update
            | StatementKind::Delete
            | StatementKind::Query => {
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
    async fn load_data(&mut self, event: &Event<'_>) -> Result<(), Stop> {
        let &Event { ref header, place, .. } = event;
        self.progress.skipped();
        let statements = &self.settings.statements;
        if header.event_type == EventType::ExecuteLoadQuery {
            let query = Query::parse(header.event_type, event.body)
                .map_err(|e| self.odd("EXECUTE_LOAD_QUERY", e))?;
            let statement = read_statement(&query, place, &self.format);
            let mut reading = self.schema.reading(&statement);
            self.take_out_temporary(header, &query, place, &mut reading).await?;
            let (filter, verdicts) = (&self.settings.filter, &mut self.verdicts);
            let is_wanted = |name: &TableName| {
                let name = self.schema.folded(name);
                verdicts.includes(filter, &name.schema, &name.table)
            };
            let tables = &reading.tables;
            if reading.message.is_none() || !tables.is_empty() && !tables.iter().any(is_wanted) {
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

    /// A table that is known already, or that nobody wants.
    fn table_map(&mut self, event: &Event<'_>) -> Result<Option<Wait>, Stop> {
        let (body, place) = (event.body, event.place);
        let (id, schema, table) =
            TableMap::peek(&self.format, body).map_err(|e| self.odd(TABLE_MAP, e))?;
        if let Some(query) = &mut self.current.rows_query
            && query.table.is_none()
        {
            query.table = Some(TableName::new(schema, table));
        }
        // What their definition was need not be known. The next transaction maps it again.
        if self.leaves_out_rows() {
            return Ok(None);
        }
        let epoch = self.schema.epoch();
        if self.tables.has(id, body, epoch) {
            return Ok(None);
        }
        if !self.verdicts.includes(&self.settings.filter, schema, table) {
            self.tables.insert(id, body, epoch, Entry::Dropped);
            return Ok(None);
        }
        let map = TableMap::parse(&self.format, body).map_err(|e| self.odd(TABLE_MAP, e))?;
        let Some(table) = self.schema.lookup(&map, place) else { return Ok(Some(Wait::TableMap)) };
        self.tables.insert(id, body, self.schema.epoch(), Entry::Table(table));
        Ok(None)
    }

    /// A table whose definition the server is asked for.
    async fn table_map_later(&mut self, event: &Event<'_>, outlet: Outlet<'_>) -> Result<(), Stop> {
        let (body, place) = (event.body, event.place);
        let map = TableMap::parse(&self.format, body).map_err(|e| self.odd(TABLE_MAP, e))?;
        if self.parking.keeps(&map.name, place) {
            let (id, epoch) = (map.id, self.schema.epoch());
            self.tables.insert(id, body, epoch, Entry::Parked(nameless(map.name)));
            return Ok(());
        }
        let session = session(&mut self.session, self.settings).await?;
        let Settings { endpoint, replica, .. } = self.settings;
        let mut origin = Origin { session, endpoint, replica };
        // It may have to look through a long binlog.
        let found = tokio::select! {
            biased;
            () = outlet.stop.cancelled() => return Err(Stop::Asked),
            found = self.schema.resolve(&mut origin, &map, place) => found,
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
        self.tables.insert(map.id, body, self.schema.epoch(), entry);
        Ok(())
    }

    /// Rows: of this event, or put together of several, of which it is the last.
    fn rows(
        &mut self,
        header: &EventHeader,
        body: &Bytes,
        last: &Event<'_>,
        outlet: Outlet<'_>,
    ) -> Result<(), Stop> {
        let (place, size) = (last.place, last.size);
        let event = RowsEvent::parse(&self.format, header.event_type, body)
            .map_err(|e| self.odd("a rows event", e))?;
        let ends_statement = event.ends_statement();
        let asked = self.current.rows_query.take();
        if self.leaves_out_rows() {
            return self.step(Input::FilteredRows { ends_statement }, last, outlet);
        }
        let table = match self.tables.get(event.table) {
            Some(Entry::Table(table) | Entry::Parked(table)) => Arc::clone(table),
            entry @ Some(Entry::Dropped | Entry::Unknown) => {
                if matches!(entry, Some(Entry::Unknown)) {
                    self.progress.dropped_rows();
                }
                self.current.rows_query = asked.filter(|_| !ends_statement);
                return self.step(Input::FilteredRows { ends_statement }, last, outlet);
            }
            None if event.is_dummy() => {
                self.current.rows_query = asked.filter(|_| !ends_statement);
                return self.step(Input::FilteredRows { ends_statement }, last, outlet);
            }
            None => {
                return Err(Stop::broken(format!(
                    "rows at {}:{} name the table id {}, which no table map before them has",
                    place.file, place.offset, event.table.0
                )));
            }
        };
        let parked = self.parking.keeps(&table.name, place);
        let parked = parked.then(|| self.whole(&event, header, body, &table));
        let event = if parked.is_some() {
            event
        } else {
            if event.column_count != table.columns.len() {
                let (image, columns) = (event.column_count, table.columns.len());
                let error = binlog::Error::Columns { image, table: columns };
                return Err(rows_error(&table, place, format!("{error}; {}", mysql::DAMAGED)));
            }
            with_whole_documents(event, &table, place)?
        };
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
                subject: table.name.clone(),
                parked: parked.is_some().then(|| table.name.clone()),
            };
            let of = table.name.clone();
            self.step_of(Input::RowsQuery(Box::new(statement), of), place, 0, outlet)?;
        }
        let change = RowsChange {
            kind: event.kind,
            table,
            columns: event.columns,
            after_columns: event.after_columns,
            images: event.images,
            place: place.clone(),
            parked: parked.map(Arc::new),
        };
        self.step_of(Input::Rows { change, ends_statement }, place, size, outlet)
    }

    /// What it takes to read an event of a parked table at any time.
    fn whole(
        &self,
        event: &RowsEvent,
        header: &EventHeader,
        body: &Bytes,
        table: &Table,
    ) -> KeptEvent {
        let place = self.place();
        let definition = self.schema.definition_at(&table.name, &schema::Place::from(&place));
        KeptEvent {
            server: Some(Arc::clone(self.tracker.server())),
            format: self.format_body.clone(),
            map: self.tables.body(event.table).unwrap_or_default(),
            code: header.event_type.code(),
            body: body.clone(),
            inner: self.inner,
            definition: definition
                .and_then(|known| serde_json::to_vec(&*known).ok())
                .map(Bytes::from),
        }
    }

    /// MariaDB 12.3 sends rows events above 1 GiB in pieces.
    fn fragment(&mut self, event: &Event<'_>, outlet: Outlet<'_>) -> Result<(), Stop> {
        const WHAT: &str = "PARTIAL_ROW_DATA";
        let fragment = Fragment::parse(event.body).map_err(|e| self.odd(WHAT, e))?;
        let whole = self.fragments.push(fragment).map_err(|e| self.odd(WHAT, e))?;
        let Some(whole) = whole.map(Bytes::from) else { return Ok(()) };
        let header = EventHeader::parse(&whole).map_err(|e| self.odd(WHAT, e))?;
        self.rows(&header, &whole.slice(HEADER_LENGTH..), event, outlet)
    }
}

/// A table of which nothing but its name is known.
fn nameless(name: TableName) -> Arc<Table> {
    let (columns, primary_key) = (Vec::new(), Vec::new());
    Arc::new(Table { version: TableVersion(0), name, columns, primary_key, hidden: 0 })
}

fn rows_error(table: &Table, place: &EventPlace, reason: String) -> Stop {
    let (table, place) = (table.name.clone(), place.clone());
    Stop::from(Error::Rows { table, place, reason })
}

/// The event as it would be without `binlog_row_value_options=PARTIAL_JSON`.
fn with_whole_documents(
    event: RowsEvent,
    table: &Table,
    place: &EventPlace,
) -> Result<RowsEvent, Stop> {
    json::expand_partial(event, &table.columns).map_err(|error| {
        let advice = match error {
            binlog::Error::JsonDiff(_) => PARTIAL_ADVICE,
            _ => mysql::DAMAGED,
        };
        rows_error(table, place, format!("{error}; {advice}"))
    })
}

/// Why a statement may be flagged as one that concerns its session only.
#[derive(PartialEq, Eq)]
enum Reason {
    /// Its real table has CONNECTION_ID() in a default.
    OfTable,
    /// None but that it is about a temporary table.
    None,
    /// The real table is not there any more.
    Unknown,
}

fn read_statement<'a>(
    query: &'a Query<'_>,
    place: &'a EventPlace,
    format: &FormatDescription,
) -> Statement<'a> {
    let version = ServerVersion::read(&format.server_version).number();
    Statement {
        text: &query.text,
        schema: query.schema,
        sql_mode: query.status.sql_mode.unwrap_or(0),
        client: query.status.client,
        server_collation: query.status.server,
        version: Some(version).filter(|version| *version > 0),
        ddl_xid: query.status.ddl_xid,
        error_code: query.error_code,
        place,
    }
}

const TABLE_MAP: &str = "TABLE_MAP";
const PARTIAL_ADVICE: &str = "where sessions of the source set \
     binlog_row_value_options='PARTIAL_JSON', binlog_row_image has to be FULL: set it so, copy \
     the table anew and `bin/sluice position set` behind this place";
const STOP_ADVICE: &str = "going on would lose changes: copy the tables anew and \
     `bin/sluice position set` behind this place";

fn unsupported(
    header: &EventHeader,
    place: &EventPlace,
    reason: impl Into<String>,
    advice: &'static str,
) -> Stop {
    let what = format!("event {:?} (type {})", header.event_type, header.event_type.code());
    Stop::from(Error::Unsupported { place: place.clone(), what, reason: reason.into(), advice })
}
