//! From table maps to table versions: by the history, else by what the server says now,
//! if nothing changed the table between the row and the reading.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::binlog::{EventHeader, TableMap};
use crate::change::{EventPlace, Flavor, Table, TableName, TableVersion};
use crate::mysql::{self, Session};

use super::capture::Shown;
use super::ddl::{self, Effect, Reading};
use super::missing::Missing;
use super::model::{Definition, Entry, Model};
use super::table::{self, Mismatch, Parts};
use super::{Adopt, Error, Flag, Origin, Place, Schema, SessionOf, Temporaries, capture};

/// Numbers the versions of tables over the whole process.
pub(super) static VERSIONS: AtomicU64 = AtomicU64::new(1);

/// How often a stretch of the binlog is asked for that the server does not send yet, and the pause
/// between.
const MOST_TRIES: u32 = 40;
const BETWEEN_TRIES: Duration = Duration::from_millis(250);

/// Statements of the source's binlog between two places, kept so that a stretch is read
/// once, however many tables ask for it. Of each only whom it concerns: there can be many.
#[derive(Debug)]
pub(super) struct Scanned {
    from: Place,
    to: Place,
    changes: Vec<Change>,
}

/// Whom a statement may have changed; names as the model knows them.
#[derive(Debug)]
struct Change {
    place: Place,
    tables: Box<[TableName]>,
    /// The database that it made, changed or dropped.
    database: Option<Box<str>>,
    is_drop: bool,
    /// The database's settings changed, without its tables.
    is_alter: bool,
    /// It has no effect on tables that are there (IF NOT EXISTS).
    keeps: bool,
}

impl Change {
    /// `None` for a statement that changes nothing.
    fn of(place: Place, reading: &Reading, model: &Model) -> Option<Self> {
        if reading.effects.is_empty() {
            return None;
        }
        let database = |name: &str| Box::from(&*model.fold(&TableName::new(name, "")).schema);
        let mut change = Self {
            place,
            tables: reading.tables.iter().map(|name| model.fold(name)).collect(),
            database: None,
            is_drop: false,
            is_alter: matches!(reading.effects.first(), Some(Effect::AlterDatabase { .. })),
            keeps: matches!(*reading.effects, [Effect::CreateTable { keep: true, .. }]),
        };
        for effect in &reading.effects {
            match effect {
                Effect::DropDatabase { name } => {
                    (change.database, change.is_drop) = (Some(database(name)), true);
                }
                Effect::CreateDatabase { name, .. } | Effect::AlterDatabase { name, .. } => {
                    change.database = Some(database(name));
                }
                Effect::CreateTable { .. }
                | Effect::AlterTable { .. }
                | Effect::RenameTable { .. }
                | Effect::PartitionToTable { .. }
                | Effect::DropTable { .. }
                | Effect::Stale { .. } => {}
            }
        }
        Some(change)
    }

    /// Whether it changed a table that was there or, by an empty name, the settings of the database.
    fn concerns(&self, table: &TableName) -> bool {
        let is_its_database = self.database.as_deref() == Some(&*table.schema);
        if table.table.is_empty() {
            return self.is_alter && is_its_database;
        }
        !self.keeps && self.tables.contains(table) || self.is_drop && is_its_database
    }
}

/// The table of a map by a definition that was kept with it, as JSON.
pub(crate) fn read_by(
    map: &TableMap,
    definition: Option<&[u8]>,
    flavor: Flavor,
) -> Result<Arc<Table>, String> {
    let definition: Option<Definition> = match definition {
        Some(json) => Some(serde_json::from_slice(json).map_err(|error| error.to_string())?),
        None => None,
    };
    let parts = match &definition {
        _ if table::is_full(map) => table::from_map(map, [definition.as_ref(), None], flavor),
        Some(definition) if definition.has_unsettled_text() => {
            return Err("the default character set of its database was not known".to_owned());
        }
        Some(definition) => table::from_definition(map, definition, flavor),
        None => return Err("its definition was not known".to_owned()),
    };
    let Parts { columns, primary_key, hidden, .. } =
        parts.map_err(|mismatch| mismatch.to_string())?;
    let version = TableVersion(VERSIONS.fetch_add(1, Ordering::Relaxed));
    Ok(Arc::new(Table { version, name: map.name.clone(), columns, primary_key, hidden }))
}

impl Schema {
    /// The table of a table map, as far as it is known without asking the server.
    /// `None`: ask by [`Schema::resolve`].
    pub fn lookup(&mut self, map: &TableMap, place: &EventPlace) -> Option<Arc<Table>> {
        self.known(map, &Place::from(place)).ok()
    }

    /// The table of a table map, read from the server if need be.
    pub async fn resolve(
        &mut self,
        origin: &mut Origin<'_>,
        map: &TableMap,
        place: &EventPlace,
    ) -> Result<Arc<Table>, Error> {
        let place = Place::from(place);
        let reason = match self.known(map, &place) {
            Ok(table) => return Ok(table),
            Err(reason) => reason,
        };
        let lost = self.model.table(&map.name).and_then(|entry| entry.lost);
        let adopt = self.adopt;
        let error =
            |missing: Missing, place| missing.error(map.name.clone(), place, lost.as_ref(), adopt);
        if !table::is_full(map) && self.is_unsettled(&map.name) {
            if let Err(missing) = self.settle(origin, &map.name, &place).await? {
                return Err(error(missing, place));
            }
            if let Ok(table) = self.known(map, &place) {
                return Ok(table);
            }
        }
        tracing::info!(table = %map.name, at = %place, reason, "reading the table from the source");
        if table::is_full(map) && !table::needs_definition(map, self.server.flavor) {
            self.read_types(origin.session, &map.name).await?;
            let known = self.known(map, &place);
            // The rows say all themselves: a definition would change nothing.
            return known.map_err(|reason| error(Missing::Unreadable(reason), place));
        }
        // What was read before may do: at the first start all tables were.
        if self.model.table(&map.name).is_some_and(|entry| entry.read.is_some())
            && let Ok(table) = self.adopt_read(origin, map, &place, Adopt::Never).await?
        {
            return Ok(table);
        }
        self.read_table(origin.session, &map.name).await?;
        let adopted = self.adopt_read(origin, map, &place, self.adopt).await?;
        adopted.map_err(|missing| error(missing, place))
    }

    fn is_unsettled(&self, name: &TableName) -> bool {
        let now = self.model.table(name).and_then(|entry| entry.now);
        now.is_some_and(|now| now.has_unsettled_text())
    }

    /// Gives the text columns of a table the default character set that its database has now, if
    /// nothing changed that since. One that was dropped and created again counts as the way out
    /// that was advised.
    async fn settle(
        &mut self,
        origin: &mut Origin<'_>,
        name: &TableName,
        place: &Place,
    ) -> Result<Result<(), Missing>, Error> {
        let charset = capture::database_charset(origin.session, &name.schema).await?;
        let Some(charset) = charset else {
            let Some(assumed) = self.model.assumed_charset(&name.schema) else {
                return Ok(Err(Missing::NoDatabase));
            };
            tracing::warn!(table = %name, charset = assumed, "the default character set of its database cannot be asked for any more: what the statement that made it says is taken");
            self.settle_by(name, &assumed);
            return Ok(Ok(()));
        };
        let end = capture::end(origin.session).await?.ok_or(Error::NoBinlog)?;
        if let Some(assumed) = self.model.assumed_charset(&name.schema)
            && self.was_dropped_between(origin, name, place, &end).await?
        {
            tracing::warn!(table = %name, charset = assumed, "its database was dropped and made again since: the default character set that the statement says which made it is taken");
            self.settle_by(name, &assumed);
            return Ok(Ok(()));
        }
        let database = TableName::new(&*name.schema, "");
        if let Some(at) = self.changed_between(origin, &database, place, &end).await? {
            if self.adopt == Adopt::Never {
                return Ok(Err(Missing::DefaultChanged { at }));
            }
            tracing::error!(table = %name, at = %place, "sluice.schema.adopt=current: text is read by a default character set that is newer than it is");
        }
        tracing::warn!(table = %name, charset, "its text columns have the default character set of its database, which was not known: what the database has now is taken");
        self.settle_by(name, &charset);
        Ok(Ok(()))
    }

    fn settle_by(&mut self, name: &TableName, charset: &str) {
        self.model.change(name, |entry| {
            entry.now = entry.now.as_ref().map(|now| Arc::new(now.settle(charset)));
        });
    }

    /// Reads a table for no more than its types' texts: without it they are derived.
    async fn read_types(&mut self, session: &mut Session, name: &TableName) -> Result<(), Error> {
        match self.read_table(session, name).await {
            Err(Error::Server(error @ mysql::Error::Server { .. })) => {
                tracing::warn!(table = %name, %error, "the source does not show the table");
            }
            other => other?,
        }
        self.derived.insert(name.clone());
        Ok(())
    }

    fn known(&mut self, map: &TableMap, place: &Place) -> Result<Arc<Table>, String> {
        let uuid = Arc::clone(&self.server.uuid);
        let mut entry = self.model.table(&map.name).unwrap_or_default();
        if entry.read.as_ref().is_some_and(|read| read.server != uuid || read.hi <= *place) {
            entry.read.take_if(|read| read.server != uuid);
            entry.settle(place);
            self.model.change(&map.name, |changed| changed.clone_from(&entry));
        }
        let Entry { now, read, .. } = entry;
        let parts = if table::is_full(map) {
            let flavor = self.server.flavor;
            // What is read ahead may name a later table: good enough for types' texts.
            let ahead = read.filter(|_| !table::needs_definition(map, flavor));
            let ahead = ahead.map(|read| read.definition);
            let parts = table::from_map(map, [now.as_deref(), ahead.as_deref()], flavor);
            if parts.as_ref().is_ok_and(|parts| parts.derived) && !self.derived.contains(&map.name)
            {
                return Err("the history does not have its types' texts".to_owned());
            }
            parts
        } else {
            let now = now.ok_or("it is not in the history")?;
            let may_settle = now.is_unsettled() && self.model.has_database(&map.name.schema);
            let found = if may_settle { table::default_of_metadata(map, &now) } else { None };
            let now = match found {
                Some(charset) => {
                    let settled = Arc::new(now.settle(charset.name()));
                    self.model.change(&map.name, |entry| entry.now = Some(Arc::clone(&settled)));
                    settled
                }
                None => now,
            };
            if now.has_unsettled_text() {
                return Err("the default character set of its database is not known".to_owned());
            }
            table::from_definition(map, &now, self.server.flavor)
        };
        let parts = parts.map_err(|mismatch: Mismatch| mismatch.to_string())?;
        Ok(self.version(&map.name, parts))
    }

    /// Gives parts a version: the former one if nothing has changed.
    fn version(&mut self, name: &TableName, parts: Parts) -> Arc<Table> {
        if let Some(made) = self.made.get(name)
            && made.columns == parts.columns
            && made.primary_key == parts.primary_key
            && made.hidden == parts.hidden
        {
            return made;
        }
        let version = TableVersion(VERSIONS.fetch_add(1, Ordering::Relaxed));
        if parts.derived {
            tracing::warn!(table = %name, "no definition agrees with the binlog's metadata: mysqlType is derived from it, and pkNames may name a unique key");
        }
        let Parts { columns, primary_key, hidden, .. } = parts;
        let made = Arc::new(Table { version, name: name.clone(), columns, primary_key, hidden });
        self.made.insert(&made);
        made
    }

    /// Reads one table's definition into the model.
    async fn read_table(&mut self, session: &mut Session, name: &TableName) -> Result<(), Error> {
        let shown = capture::shown(session, name, &self.dialect(0, None)).await?;
        self.take_shown(name, shown);
        Ok(())
    }

    /// Takes a table's definition into the model, or that the server shows none.
    pub(super) fn take_shown(&mut self, name: &TableName, shown: Shown) {
        let Shown { definition, is_whole, lo, hi } = shown;
        let is_partly_seen = definition.is_some() && !is_whole;
        if is_partly_seen {
            self.partly_seen.insert(name.clone());
        } else {
            self.partly_seen.remove(name);
        }
        let definition = definition.filter(|_| is_whole);
        let read = definition.map(|definition| {
            Self::say_doubtful_labels(name, &definition);
            self.read(definition, lo, hi)
        });
        self.model.change(name, |entry| entry.read = read);
    }

    /// Uses what was just read for a row older than it, if nothing changed in between.
    async fn adopt_read(
        &mut self,
        origin: &Origin<'_>,
        map: &TableMap,
        place: &Place,
        adopt: Adopt,
    ) -> Result<Result<Arc<Table>, Missing>, Error> {
        let Some(read) = self.model.table(&map.name).and_then(|entry| entry.read) else {
            let is_partly_seen = self.partly_seen.contains(&map.name);
            return Ok(Err(if is_partly_seen { Missing::PartlySeen } else { Missing::NoTable }));
        };
        let changed = self.changed_between(origin, &map.name, place, &read.hi).await?;
        if let Some(change) = changed {
            if adopt == Adopt::Never {
                return Ok(Err(Missing::Changed { at: change }));
            }
            tracing::error!(table = %map.name, at = %place, %change, "sluice.schema.adopt=current: rows are read by a definition that is newer than they are");
        }
        let definition = Arc::clone(&read.definition);
        if let Err(mismatch) = table::from_definition(map, &definition, self.server.flavor) {
            let text = mismatch.to_string();
            return Ok(Err(match mismatch {
                Mismatch::UnknownType { .. } => Missing::UnknownType(text),
                Mismatch::Count { .. }
                | Mismatch::Type { .. }
                | Mismatch::Charset { .. }
                | Mismatch::Digits { .. }
                | Mismatch::Wire(_) => Missing::Misfit(text),
            }));
        }
        self.model.change(&map.name, |entry| {
            (entry.now, entry.lost, entry.absent) = (Some(definition), None, false);
        });
        Ok(self.known(map, place).map_err(Missing::Misfit))
    }

    /// The first statement from `from` up to `to` that may have changed the table.
    async fn changed_between(
        &mut self,
        origin: &Origin<'_>,
        name: &TableName,
        from: &Place,
        to: &Place,
    ) -> Result<Option<Place>, Error> {
        let wanted = self.model.fold(name);
        self.first_between(origin, from, to, |change| change.concerns(&wanted)).await
    }

    /// Whether the table's database was dropped there: what the server has by its name now is
    /// another.
    async fn was_dropped_between(
        &mut self,
        origin: &Origin<'_>,
        name: &TableName,
        from: &Place,
        to: &Place,
    ) -> Result<bool, Error> {
        let schema = self.model.fold(name).schema;
        let is_its_drop =
            |change: &Change| change.is_drop && change.database.as_deref() == Some(&*schema);
        Ok(self.first_between(origin, from, to, is_its_drop).await?.is_some())
    }

    /// The first statement from `from` up to `to` that is looked for.
    async fn first_between(
        &mut self,
        origin: &Origin<'_>,
        from: &Place,
        to: &Place,
        is_looked_for: impl Fn(&Change) -> bool,
    ) -> Result<Option<Place>, Error> {
        self.scan(origin, from, to).await?;
        let scanned = self.scanned.as_ref().map_or(&[][..], |scanned| &scanned.changes);
        let first = scanned
            .iter()
            .find(|change| change.place >= *from && change.place < *to && is_looked_for(change));
        Ok(first.map(|change| change.place.clone()))
    }

    /// Looks for statements that changed something from `from` up to `to`, where that was not
    /// done before; from then on those before `from` are of no interest any more.
    pub(super) async fn scan(
        &mut self,
        origin: &Origin<'_>,
        from: &Place,
        to: &Place,
    ) -> Result<(), Error> {
        let mut scanned = match self.scanned.take() {
            Some(scanned) if scanned.from <= *from && *from <= scanned.to => scanned,
            Some(_) | None => Scanned { from: from.clone(), to: from.clone(), changes: Vec::new() },
        };
        // What the server has just written it may send a little later (`sync_binlog`).
        let mut tries = 0;
        while scanned.to < *to {
            if tries == MOST_TRIES {
                return Err(Error::NotSent { reached: scanned.to.into(), to: to.clone().into() });
            }
            if tries > 0 {
                tokio::time::sleep(BETWEEN_TRIES).await;
            } else {
                tracing::info!(from = %scanned.to, %to, "looking in the binlog for statements that changed tables");
            }
            tries += 1;
            let mut temporaries = Temporaries::default();
            temporaries.folds_case(self.model.folds_case);
            let reached = capture::statements(origin, &scanned.to, to, |place, header, query| {
                let dialect = self.dialect(query.status.sql_mode.unwrap_or(0), query.status.client);
                let mut reading = ddl::read(&query.text, query.schema, &dialect);
                let session = SessionOf { server: header.server_id, thread: query.thread_id };
                let flagged = header.has(EventHeader::THREAD_SPECIFIC);
                temporaries.take_out(session, Flag::of(flagged), &mut reading);
                scanned.changes.extend(Change::of(place, &reading, &self.model));
            });
            scanned.to = reached.await?;
        }
        scanned.changes.retain(|change| change.place >= *from);
        scanned.from = from.clone();
        self.scanned = Some(scanned);
        Ok(())
    }

    /// Whether a statement that was found from `from` on made, changed or dropped a database.
    pub(super) fn scanned_database(&self, name: &str, from: &Place) -> bool {
        let wanted = self.model.fold(&TableName::new(name, "")).schema;
        let changes = self.scanned.iter().flat_map(|scanned| &scanned.changes);
        changes
            .filter(|change| change.place >= *from)
            .any(|change| change.database.as_deref() == Some(&*wanted))
    }

    /// The tables and databases that statements concerned which were found from `from` on.
    pub(super) fn scanned_names(&self, from: &Place) -> (BTreeSet<TableName>, BTreeSet<Box<str>>) {
        let changes = self.scanned.iter().flat_map(|scanned| &scanned.changes);
        let (mut tables, mut databases) = (BTreeSet::new(), BTreeSet::new());
        for change in changes.filter(|change| change.place >= *from) {
            tables.extend(change.tables.iter().cloned());
            databases.extend(change.database.clone());
        }
        (tables, databases)
    }
}
