//! Random statements of a grammar, executed on real servers: after each that the server accepted,
//! the model fed from its binlog, live and from behind, equals `information_schema` or says that
//! it does not know, and rows written then come out under their own names and types.
//!
//! 150 accepted statements are run for a fixed seed; with `SLUICE_DDL_STATEMENTS` as many, and also
//! for a seed of the clock; with `SLUICE_DDL_SEED` for that one. Seeds are printed, and so is how
//! often a definition was not known, and by which statements.

pub(crate) mod follow;
mod grammar;
mod rows;
mod spelling;
mod types;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use sluice::change::TableName;
use sluice::config::Adopt;
use sluice::mysql::{Endpoint, Session};
use sluice::schema::{Definition, Place, Schema};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, MySqlConnection};

use self::follow::{Feed, definitions, describe};
use self::grammar::{DATABASES, Grammar};
use self::rows::Rows;
pub(crate) use self::spelling::BLANKS;
use crate::harness::servers::{self, Flavor, run, try_run};
use crate::harness::{Random, Server, asked, say};

const FIXED: u64 = 20_261_128;

/// Modes a session may have; the first is the server's own.
const MODES: &[&str] = &[
    "",
    "STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION",
    "ANSI_QUOTES,NO_ENGINE_SUBSTITUTION",
    "NO_BACKSLASH_ESCAPES",
    "ANSI_QUOTES,NO_BACKSLASH_ESCAPES",
    "REAL_AS_FLOAT,NO_ENGINE_SUBSTITUTION",
    "ANSI",
];

#[tokio::test]
async fn random_statements_on_mysql_leave_nothing_wrong() {
    if let Some(server) = servers::private_mysql(&["--binlog-row-metadata=MINIMAL"]) {
        each_seed(&server).await;
    }
}

#[tokio::test]
async fn random_statements_on_mariadb_leave_nothing_wrong() {
    if let Some(server) = servers::private_mariadb(&["--binlog-row-metadata=NO_LOG"]) {
        each_seed(&server).await;
    }
}

/// In the long form: the ordinary one shows types on it.
#[tokio::test]
async fn random_statements_on_the_newest_mariadb_leave_nothing_wrong() {
    if !asked::is_set("SLUICE_DDL_STATEMENTS") {
        return say("NOT RUN: the newest MariaDB is for the long form, SLUICE_DDL_STATEMENTS");
    }
    if let Some(server) = servers::private_newest_mariadb(&["--binlog-row-metadata=NO_LOG"]) {
        each_seed(&server).await;
    }
}

async fn each_seed(server: &Server) {
    let count = asked::number_or("SLUICE_DDL_STATEMENTS", 150);
    let seeds = match asked::number("SLUICE_DDL_SEED") {
        Some(seed) => vec![seed],
        None if asked::is_set("SLUICE_DDL_STATEMENTS") => vec![FIXED, Random::any_seed()],
        None => vec![FIXED],
    };
    for seed in seeds {
        say(&format!("{count} statements on {:?}, SLUICE_DDL_SEED={seed}", server.flavor));
        Run::new(server, seed).await.go(count).await;
    }
}

/// What the server had behind one statement.
struct Snapshot {
    place: Place,
    text: String,
    tables: BTreeMap<TableName, Definition>,
}

/// The statements of one seed.
struct Run<'a> {
    server: &'a Server,
    seed: u64,
    random: Random,
    source: MySqlConnection,
    /// Writes rows, in a session of its own.
    writer: MySqlConnection,
    session: Session,
    feed: Feed,
    model: Schema,
    sql_mode: String,
    database: String,
    tables: BTreeMap<TableName, Definition>,
    snapshots: Vec<Snapshot>,
    /// Every table there ever was.
    names: BTreeSet<TableName>,
    /// Verbs of the statements behind which a definition was not known, and their texts.
    unknown: BTreeMap<String, Vec<String>>,
    engines: (usize, usize),
    rows: Rows,
}

impl<'a> Run<'a> {
    async fn new(server: &'a Server, seed: u64) -> Self {
        let mut source = server.connect().await;
        let full = if seed.is_multiple_of(2) { "FULL" } else { least_metadata(server.flavor) };
        run(&mut source, &format!("SET GLOBAL binlog_row_metadata = {full}")).await;
        for database in DATABASES {
            let name = format!("`{}`", database.replace('`', "``"));
            run(&mut source, &format!("DROP DATABASE IF EXISTS {name}")).await;
        }
        run(&mut source, "FLUSH BINARY LOGS").await;
        run(&mut source, "CREATE DATABASE ddl_a CHARACTER SET latin1; USE ddl_a").await;
        let endpoint = Endpoint::new(&server.host, server.port, "canal", "canal");
        let mut session = Session::connect(&endpoint).await.unwrap();
        let mut feed = Feed::new(endpoint);
        let description = describe(&mut session).await;
        let mut model = Schema::new(description, Adopt::Never);
        feed.begin(model.capture_all(&mut session).await.unwrap());
        let rows = Rows::new(server, feed.place());
        let mut writer = server.connect().await;
        run(&mut writer, "SET SESSION sql_mode = ''").await;
        Self {
            server,
            seed,
            random: Random::new(seed),
            source,
            writer,
            session,
            feed,
            model,
            sql_mode: "unset".to_owned(),
            database: DATABASES[0].to_owned(),
            tables: BTreeMap::new(),
            snapshots: Vec::new(),
            names: BTreeSet::new(),
            unknown: BTreeMap::new(),
            engines: (0, 0),
            rows,
        }
    }

    async fn go(mut self, count: usize) {
        let mut tried = 0;
        while self.snapshots.len() < count {
            self.change_session().await;
            tried += 1;
            let text = Grammar {
                random: &mut self.random,
                flavor: self.server.flavor,
                sql_mode: &self.sql_mode,
                database: &self.database,
                tables: &self.tables,
            }
            .statement();
            if try_run(&mut self.source, &text).await.is_ok() {
                self.accepted(text).await;
            }
            assert!(tried < 40 * count + 1000, "the server refuses nearly all");
        }
        self.report(tried);
        self.read_behind().await;
        self.rows.compare(self.server, self.seed);
        self.source.close().await.unwrap();
    }

    /// Another mode, another default database, keys that the server makes, a temporary table that
    /// hides a real one.
    async fn change_session(&mut self) {
        let of_mariadb =
            ["ORACLE", "ORACLE", "MAXDB", "MYSQL40", "NO_TABLE_OPTIONS", "POSTGRESQL", "MSSQL"];
        if self.sql_mode == "unset" || self.random.once_in(15) {
            let has_more = self.server.flavor == Flavor::MariaDb && self.random.once_in(3);
            let mode = self.random.pick(if has_more { &of_mariadb } else { MODES });
            (*mode).clone_into(&mut self.sql_mode);
            run(&mut self.source, &format!("SET SESSION sql_mode = '{mode}'")).await;
        }
        if self.server.flavor == Flavor::MySql && self.random.once_in(25) {
            let on = self.random.once_in(2);
            let set = format!("SET SESSION sql_generate_invisible_primary_key = {on}");
            run(&mut self.source, &set).await;
        }
        if self.random.once_in(25) {
            run(&mut self.source, "USE ddl_a").await;
            DATABASES[0].clone_into(&mut self.database);
            if self.random.once_in(3) && try_run(&mut self.source, "USE `ddl b.``x`").await.is_ok()
            {
                DATABASES[1].clone_into(&mut self.database);
            }
        }
        if self.random.once_in(40) && self.database == DATABASES[0] {
            for text in [
                "CREATE TEMPORARY TABLE t1 (x INT, y INT)",
                "ALTER TABLE t1 RENAME COLUMN x TO y, RENAME COLUMN y TO x",
                "DROP TEMPORARY TABLE t1",
            ] {
                // An older one of the seed's may hide it.
                let _ = try_run(&mut self.source, text).await;
            }
        }
    }

    async fn accepted(&mut self, text: String) {
        self.feed.feed_all(&mut self.model).await;
        let tables = definitions(&mut self.session, &DATABASES).await;
        self.names.extend(tables.keys().cloned());
        let place = self.feed.place().clone();
        let mut lost = Vec::new();
        for name in &self.names {
            let found = self.model.definition_at(name, &place);
            match (found, tables.get(name)) {
                (Some(found), Some(expected)) => {
                    self.assert_same(name, &found, expected, &text, "live");
                    let has_engine = found.engine.as_deref().is_some_and(|engine| engine != "?");
                    let (known, unknown) = self.engines;
                    self.engines =
                        (known + usize::from(has_engine), unknown + usize::from(!has_engine));
                }
                (Some(found), None) => {
                    panic!(
                        "{}: {name} is not there\n{text}\n{found:?}{}",
                        self.label(),
                        self.recent()
                    )
                }
                (None, Some(_)) => lost.push(name.clone()),
                (None, None) => {}
            }
        }
        // If the database in use was dropped there is none.
        if self.database != DATABASES[0] && text.to_uppercase().contains("DROP") {
            run(&mut self.source, "USE ddl_a").await;
            DATABASES[0].clone_into(&mut self.database);
        }
        let changed: Vec<TableName> = tables
            .iter()
            .filter(|(name, new)| self.tables.get(*name) != Some(new) && !lost.contains(name))
            .map(|(name, _)| name.clone())
            .collect();
        self.snapshots.push(Snapshot { place, text: text.clone(), tables: tables.clone() });
        self.tables = tables;
        for name in changed {
            let definition = &self.tables[&name];
            self.rows.write(&mut self.writer, &name, definition).await;
        }
        for name in lost {
            let verb: String = text.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
            let why = self.model.why_unknown(&name).unwrap_or_default();
            let said = format!("{name}: {why}: {}", self.recent());
            self.unknown.entry(verb).or_default().push(said);
            let [schema, table] =
                [&name.schema, &name.table].map(|part| format!("`{}`", part.replace('`', "``")));
            let drop = format!("SET FOREIGN_KEY_CHECKS = 0; DROP TABLE {schema}.{table}");
            if try_run(&mut self.source, &drop).await.is_err() {
                run(&mut self.source, &format!("DROP SEQUENCE {schema}.{table}")).await;
            }
            self.tables.remove(&name);
            self.names.remove(&name);
        }
    }

    fn label(&self) -> String {
        format!("{:?}, SLUICE_DDL_SEED={}", self.server.flavor, self.seed)
    }

    /// What the binlog had last.
    fn recent(&self) -> String {
        self.feed.recent.iter().fold(String::new(), |all, text| all + "\n        " + text)
    }

    /// Names, order, types, character sets and key; the engine if the model has one.
    fn assert_same(
        &self,
        name: &TableName,
        found: &Definition,
        expected: &Definition,
        text: &str,
        when: &str,
    ) {
        let expected = Definition { partitioned: found.partitioned, ..expected.clone() };
        let is_mariadb = self.server.flavor == Flavor::MariaDb;
        let mut expected = follow::with_uniques_of(found, expected, is_mariadb);
        if found.engine.as_deref().is_none_or(|engine| engine == "?") {
            expected.engine.clone_from(&found.engine);
        }
        // What is not settled is asked for when rows come.
        if found.charset.is_none() {
            expected.charset = None;
        }
        for (new, old) in expected.columns.iter_mut().zip(&found.columns) {
            if old.unsettled {
                *new = old.clone();
            }
        }
        let found = &with_plain_labels(found);
        let expected = with_plain_labels(&expected);
        assert_eq!(
            found,
            &expected,
            "{}, {when}: {name} behind\n{text}\n{}",
            self.label(),
            self.recent()
        );
    }

    fn report(&self, tried: usize) {
        let lost: usize = self.unknown.values().map(Vec::len).sum();
        let (known, unknown) = self.engines;
        let mut words = format!(
            "{}: {} accepted of {tried}, {lost} times no definition, {known} engines known of {}",
            self.label(),
            self.snapshots.len(),
            known + unknown,
        );
        for (verb, texts) in &self.unknown {
            let _ = write!(words, "\n  {verb}: {}", texts.len());
            for text in texts.iter().take(5) {
                let _ = write!(words, "\n      {text}");
            }
        }
        say(&words);
        assert!(20 * lost < self.snapshots.len(), "more than one in twenty: {words}");
    }

    /// The same binlog again, for a model that has read the tables as they are at the end.
    async fn read_behind(&mut self) {
        let description = describe(&mut self.session).await;
        let mut model = Schema::new(description, Adopt::Never);
        let end = self.feed.place().clone();
        self.feed.survey(&mut model, &mut self.session, &end).await;
        let mut feed = self.feed.again();
        let (mut known, mut unknown) = (0, 0);
        for snapshot in &self.snapshots {
            feed.up_to(&mut model, &snapshot.place).await;
            for name in &self.names {
                match (model.definition_at(name, &snapshot.place), snapshot.tables.get(name)) {
                    (Some(found), Some(expected)) => {
                        self.assert_same(name, &found, expected, &snapshot.text, "from behind");
                        known += 1;
                    }
                    (Some(found), None) => {
                        let text = &snapshot.text;
                        panic!(
                            "{}, from behind: {name} is not there\n{text}\n{found:?}",
                            self.label()
                        )
                    }
                    (None, Some(_)) => unknown += 1,
                    (None, None) => {}
                }
            }
        }
        say(&format!("{}, from behind: {known} definitions known, {unknown} not", self.label()));
    }
}

/// Labels of ENUM and SET without what is not ASCII: behind CONVERT TO, the servers' own
/// `column_type` has other letters, `耖` for `中`.
fn with_plain_labels(definition: &Definition) -> Definition {
    let mut plain = definition.clone();
    for column in &mut plain.columns {
        column.mysql_type = with_plain_letters(&column.mysql_type);
    }
    plain
}

fn with_plain_letters(text: &str) -> String {
    let mut plain = String::new();
    for letter in text.chars().map(|letter| if letter.is_ascii() { letter } else { '?' }) {
        if letter != '?' || !plain.ends_with('?') {
            plain.push(letter);
        }
    }
    plain
}

fn least_metadata(flavor: Flavor) -> &'static str {
    match flavor {
        Flavor::MySql => "MINIMAL",
        Flavor::MariaDb => "NO_LOG",
    }
}

/// Runs a statement; how many rows it changed, if it is accepted.
async fn changed_rows(connection: &mut MySqlConnection, text: &str) -> Option<u64> {
    let done = connection.execute(AssertSqlSafe(text.to_owned())).await.ok()?;
    Some(done.rows_affected())
}
