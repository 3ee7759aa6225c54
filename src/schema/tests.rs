//! The face, without a server: history, rollback, versions, agreement with table maps.

use super::*;
use crate::binlog::{TableMap, TableMapId, WireColumn, code};
use crate::change::{ColumnType, StateTopic, StatementKind};

fn server() -> Server {
    Server {
        flavor: Flavor::MySql,
        version: 90_704,
        lower_case_table_names: 0,
        utf8_is_unclear: false,
        charset: "utf8mb4".to_owned(),
        uuid: "u1".into(),
    }
}

fn at(offset: u64) -> EventPlace {
    EventPlace { file: "binlog.000001".into(), offset, time: 0 }
}

fn statement<'a>(text: &'a str, place: &'a EventPlace) -> Statement<'a> {
    Statement {
        text,
        schema: "d",
        sql_mode: 0,
        client: None,
        server_collation: None,
        version: None,
        ddl_xid: None,
        error_code: 0,
        place,
    }
}

fn apply(schema: &mut Schema, offset: u64, text: &str) -> Applied {
    schema.apply(&statement(text, &at(offset)))
}

/// The same of a statement that the server says an effect of.
fn made(schema: &mut Schema, offset: u64, text: &str) {
    schema.apply(&Statement { ddl_xid: Some(offset), ..statement(text, &at(offset)) });
}

/// A history that knows the database, so that text columns have a character set.
fn schema() -> Schema {
    let mut schema = Schema::new(server(), Adopt::Never);
    apply(&mut schema, 4, "CREATE DATABASE d");
    schema
}

fn columns(schema: &Schema, table: &str) -> Option<String> {
    let definition = schema.definition(&TableName::new("d", table))?;
    let columns = definition.columns.iter().map(|c| format!("{} {}", c.name, c.mysql_type));
    Some(columns.collect::<Vec<_>>().join(", "))
}

fn wire(code: u8, meta: u16) -> WireColumn {
    WireColumn { code, meta, ..WireColumn::default() }
}

fn map(columns: Vec<WireColumn>) -> TableMap {
    let name = TableName::new("d", "t");
    TableMap { id: TableMapId(1), name, columns, primary_key: Vec::new() }
}

#[test]
fn a_restart_finds_the_model_of_the_last_commit() {
    let mut schema = schema();
    apply(&mut schema, 10, "CREATE TABLE t (id INT UNSIGNED PRIMARY KEY, e ENUM('a','b''c'))");
    apply(&mut schema, 20, "CREATE TABLE gone (id INT)");
    let mut kept = schema.commit().unwrap();
    apply(&mut schema, 30, "DROP TABLE gone");
    apply(&mut schema, 40, "ALTER TABLE t ADD v VARCHAR(5) AFTER id");
    let later = schema.commit().unwrap();
    assert_eq!(later.len(), 2, "one record a table touched");
    assert!(later.iter().all(|record| record.topic == StateTopic::Schema));
    kept.retain(|record| later.iter().all(|newer| newer.key != record.key));
    kept.extend(later);

    let mut restored = Schema::new(server(), Adopt::Never);
    let mut history = History::default();
    for record in &kept {
        history.take(record).unwrap();
    }
    restored.restore(history);
    assert_eq!(
        columns(&restored, "t").unwrap(),
        "id int unsigned, v varchar(5), e enum('a','b''c')"
    );
    assert_eq!(columns(&restored, "gone"), None);
    assert_eq!(restored.commit().unwrap(), Vec::new(), "nothing is new to the history");
    apply(&mut restored, 50, "CREATE TABLE n (v CHAR(3))");
    let name = TableName::new("d", "n");
    let charset = restored.definition(&name).unwrap().columns[0].charset.clone();
    assert_eq!(charset.as_deref(), Some("utf8mb4"), "the database's default was restored");
}

#[test]
fn what_was_not_committed_can_be_rolled_back() {
    let mut schema = schema();
    apply(&mut schema, 10, "CREATE TABLE t (id INT)");
    schema.commit().unwrap();
    let epoch = schema.epoch();
    apply(&mut schema, 20, "ALTER TABLE t ADD a INT");
    apply(&mut schema, 30, "RENAME TABLE t TO u");
    schema.rollback();
    assert_eq!(columns(&schema, "t").unwrap(), "id int");
    assert_eq!(columns(&schema, "u"), None);
    assert!(schema.epoch() > epoch);
    assert_eq!(schema.commit().unwrap(), Vec::new());
}

#[test]
fn a_swap_like_gh_osts_moves_both_definitions() {
    let mut schema = schema();
    apply(&mut schema, 10, "CREATE TABLE t (id INT)");
    apply(&mut schema, 20, "CREATE TABLE `_t_gho` LIKE t");
    apply(&mut schema, 30, "ALTER TABLE `d`.`_t_gho` ADD COLUMN email TEXT");
    let applied = apply(&mut schema, 40, "RENAME TABLE t TO _t_del, _t_gho TO t");
    assert_eq!(columns(&schema, "t").unwrap(), "id int, email text");
    assert_eq!(columns(&schema, "_t_del").unwrap(), "id int");
    assert_eq!(columns(&schema, "_t_gho"), None);
    let message = applied.message.unwrap();
    assert_eq!((message.kind, message.table.as_str()), (StatementKind::Rename, "_t_del"));
}

#[test]
fn a_definition_is_used_only_if_the_rows_agree() {
    let mut schema = schema();
    apply(
        &mut schema,
        10,
        "CREATE TABLE t (id INT UNSIGNED, v VARCHAR(5) CHARACTER SET latin1, PRIMARY KEY (id))",
    );
    let rows = map(vec![wire(code::LONG, 0), wire(code::VARCHAR, 5)]);
    let table = schema.lookup(&rows, &at(20)).unwrap();
    assert_eq!(table.columns[0].kind, ColumnType::Long { unsigned: true });
    assert_eq!(
        table.columns[1].kind,
        ColumnType::VarChar { max_bytes: 5, charset: Charset::Latin1 }
    );
    assert_eq!(table.primary_key, [0]);
    for other in [
        map(vec![wire(code::LONG, 0)]),
        map(vec![wire(code::VARCHAR, 5), wire(code::LONG, 0)]),
        map(vec![wire(code::LONG, 0), wire(code::VARCHAR, 6)]),
        map(vec![
            WireColumn { unsigned: Some(false), ..wire(code::LONG, 0) },
            wire(code::VARCHAR, 5),
        ]),
        map(vec![
            wire(code::LONG, 0),
            WireColumn { collation: Some(255), ..wire(code::VARCHAR, 5) },
        ]),
    ] {
        assert_eq!(schema.lookup(&other, &at(20)), None, "{other:?}");
    }
    let again = schema.lookup(&rows, &at(30)).unwrap();
    assert_eq!(again.version, table.version, "nothing changed");
    apply(&mut schema, 40, "ALTER TABLE t RENAME COLUMN v TO w");
    let renamed = schema.lookup(&rows, &at(50)).unwrap();
    assert!(renamed.version > table.version);
    assert_eq!(renamed.columns[1].name, "w");
}

#[test]
fn full_metadata_beats_the_history_and_takes_its_types() {
    let mut schema = schema();
    apply(&mut schema, 10, "CREATE TABLE t (flag TINYINT(1), old INT)");
    let named = |name: &str, code| WireColumn {
        name: Some(name.to_owned()),
        unsigned: Some(false),
        ..wire(code, 0)
    };
    let rows = map(vec![named("flag", code::TINY), named("old", code::LONG)]);
    let table = schema.lookup(&rows, &at(20)).unwrap();
    assert_eq!(table.columns[0].mysql_type, "tinyint(1)");
    let renamed = map(vec![named("flag", code::TINY), named("new", code::LONGLONG)]);
    assert_eq!(schema.lookup(&renamed, &at(20)), None, "the server is asked once");
    schema.derived.insert(renamed.name.clone());
    let table = schema.lookup(&renamed, &at(20)).unwrap();
    assert_eq!(table.columns[1].name, "new");
    assert_eq!(table.columns[1].mysql_type, "bigint");
}

#[test]
fn ddl_is_applied_to_what_was_read_only_behind_the_reading() {
    let defined = |columns: &str| {
        let mut schema = schema();
        apply(&mut schema, 10, &format!("CREATE TABLE t ({columns})"));
        schema.definition(&TableName::new("d", "t")).unwrap().as_ref().clone()
    };
    let place = |offset| Place { file: "binlog.000001".into(), offset };
    let read = || {
        let mut schema = schema();
        let name = TableName::new("d", "t");
        let read = schema.read(defined("id INT, a INT"), place(100), place(200));
        schema.model.change(&name, |entry| entry.read = Some(read));
        schema
    };
    let rows = map(vec![wire(code::LONG, 0), wire(code::LONG, 0)]);

    let mut before = read();
    apply(&mut before, 50, "ALTER TABLE t ADD a INT");
    assert_eq!(before.lookup(&rows, &at(60)), None, "whether it was so then is not known");
    assert!(before.lookup(&rows, &at(200)).is_some(), "it was in what was read");

    let mut between = read();
    apply(&mut between, 150, "ALTER TABLE t ADD a INT");
    assert_eq!(between.lookup(&rows, &at(200)), None, "it may be in what was read or not");

    let mut behind = read();
    apply(&mut behind, 250, "ALTER TABLE t ADD b INT");
    assert_eq!(columns(&behind, "t").unwrap(), "id int, a int, b int");

    let mut elsewhere = read();
    elsewhere.reconnected(Server { uuid: "u2".into(), ..server() }, "u1", &place(150));
    assert_eq!(elsewhere.lookup(&rows, &at(300)), None, "places of two servers have no order");
}

#[test]
fn leaving_a_server_is_one_record_however_many_tables_were_read_there() {
    let place = |offset| Place { file: "binlog.000001".into(), offset };
    let name = |number: u64| TableName::new("d", number.to_string());
    let definition = Definition {
        columns: vec![ColumnDefinition {
            name: "id".to_owned(),
            mysql_type: "int".to_owned(),
            ..ColumnDefinition::default()
        }],
        ..Definition::default()
    };
    let mut records = Vec::new();
    let mut first = schema();
    for number in 0..10_000 {
        let read = first.read(definition.clone(), place(number), place(number));
        first.model.change(&name(number), |entry| entry.read = Some(read));
    }
    records.extend(first.commit().unwrap());
    let go = |schema: &mut Schema, from: &str, to: &str, reached| {
        schema.reconnected(Server { uuid: to.into(), ..server() }, from, &place(reached));
    };
    go(&mut first, "u1", "u2", 5_000);
    first.rollback();
    let left = first.commit().unwrap();
    assert!(left.len() <= 2, "{}", left.len());
    records.extend(left);
    // Places of the next server say nothing of what was read on the first, nor do later ones.
    let read = first.read(definition, place(1), place(100_000));
    first.model.change(&name(20_000), |entry| entry.read = Some(read));
    go(&mut first, "u2", "u1", 200_000);
    go(&mut first, "u1", "u2", 20_000);
    records.extend(first.commit().unwrap());
    let mut again = restored_on(schema(), &records);
    for schema in [&mut first, &mut again] {
        let known = |number| schema.definition_at(&name(number), &place(1)).is_some();
        assert_eq!([5_000, 5_001, 9_999, 20_000].map(known), [true, false, false, true]);
        assert!(schema.why_unknown(&name(5_001)).unwrap().contains("another server"));
    }
    // What is not read there any more needs no place.
    let value = records.last().and_then(|record| record.value.clone()).unwrap();
    assert!(value.starts_with(br#"{"now":3,"ended":{"0""#), "{value:?}");
}

#[test]
fn a_change_the_model_cannot_carry_out_leaves_no_definition() {
    for text in [
        "ALTER TABLE t DROP COLUMN missing",
        "ALTER TABLE t ADD id INT",
        "ALTER TABLE t MODIFY missing INT",
        "ALTER TABLE t ADD a INT AFTER missing",
        "ALTER TABLE t ADD PRIMARY KEY (missing)",
        "ALTER TABLE t SOMETHING NEW",
    ] {
        let mut schema = schema();
        apply(&mut schema, 10, "CREATE TABLE t (id INT)");
        apply(&mut schema, 20, text);
        assert_eq!(columns(&schema, "t"), None, "{text}");
    }
}

fn lost(schema: &Schema, table: &str) -> Option<String> {
    Some(schema.model.table(&TableName::new("d", table))?.lost.as_ref()?.to_string())
}

#[test]
fn a_statement_without_effect_on_an_unknown_table_leaves_it_unknown() {
    let mut schema = schema();
    apply(&mut schema, 10, "CREATE TABLE t (id INT, a INT)");
    apply(&mut schema, 20, "ALTER TABLE t ADD e ENUM(0xc3a4)");
    let why = lost(&schema, "t").unwrap();
    assert!(why.contains("000001:20") && why.contains("column `e`"), "{why}");
    for (offset, text) in [
        (30, "CREATE TABLE IF NOT EXISTS t (id INT, a INT, e ENUM('a'))"),
        (40, "ALTER TABLE t ADD z INT"),
        (50, "ALTER TABLE t SOMETHING NEW"),
    ] {
        apply(&mut schema, offset, text);
        assert_eq!(columns(&schema, "t"), None, "{text}");
        assert_eq!(lost(&schema, "t").as_deref(), Some(&*why), "{text}: the first loss counts");
    }
    apply(&mut schema, 60, "RENAME TABLE t TO u");
    assert_eq!(lost(&schema, "u"), Some(why));
    made(&mut schema, 70, "CREATE TABLE IF NOT EXISTS t (n INT)");
    assert_eq!(columns(&schema, "t").unwrap(), "n int", "it was made");
    apply(&mut schema, 80, "CREATE TABLE IF NOT EXISTS t (other INT)");
    assert_eq!(columns(&schema, "t").unwrap(), "n int");
    apply(&mut schema, 90, "CREATE TABLE IF NOT EXISTS w (n INT)");
    assert_eq!(columns(&schema, "w"), None, "a session may have made it in silence");
    assert!(lost(&schema, "w").unwrap().contains("IF NOT EXISTS"));
    made(&mut schema, 95, "CREATE TABLE IF NOT EXISTS u (n INT)");
    assert_eq!(columns(&schema, "u").unwrap(), "n int", "it was unknown, and is made");
}

/// Each server says it or not, by the version that wrote the statement: the one that runs by now may
/// have been upgraded since.
#[test]
fn if_not_exists_is_judged_by_the_server_that_wrote_the_statement() {
    for (flavor, version, engine, replaces, makes) in [
        (Flavor::MySql, 50_744, "", false, true),
        (Flavor::MySql, 80_036, "", false, false),
        (Flavor::MySql, 80_036, "ENGINE=MyISAM", false, true),
        (Flavor::MariaDb, 100_524, "", false, true),
        (Flavor::MariaDb, 100_600, "", true, true),
    ] {
        let mut schema = Schema::new(Server { flavor, version: 101_106, ..server() }, Adopt::Never);
        let case = format!("{flavor:?} {version} {engine}");
        for text in ["CREATE DATABASE d", "CREATE TABLE t (a INT, b INT)"] {
            apply(&mut schema, 10, text);
        }
        for name in ["t", "u"] {
            let text = format!("CREATE TABLE IF NOT EXISTS {name} (b INT, a INT) {engine}");
            let version = Some(version);
            // NO_ENGINE_SUBSTITUTION, as servers have it by default.
            let sql_mode = 0x4000_0000;
            schema.apply(&Statement { sql_mode, version, ..statement(&text, &at(20)) });
        }
        let kept = if replaces { "b int(11), a int(11)" } else { "a int(11), b int(11)" };
        let kept = if flavor == Flavor::MySql { kept.replace("(11)", "") } else { kept.to_owned() };
        assert_eq!(columns(&schema, "t").unwrap(), kept, "{case}");
        assert_eq!(columns(&schema, "u").is_some(), makes, "{case}");
    }
}

/// What the history of a build before does not tell is not known: such a record has neither
/// engine nor states, and a table without one may be there.
#[test]
fn the_history_of_a_build_before_goes_on() {
    let record = |key: &'static [u8], value: &'static [u8]| StateRecord {
        topic: StateTopic::Schema,
        key: bytes::Bytes::from_static(key),
        value: Some(bytes::Bytes::from_static(value)),
    };
    let mut schema = Schema::new(server(), Adopt::Never);
    let mut history = History::default();
    for old in [
        record(b"[\"d\"]", br#"{"charset":"latin1"}"#),
        record(
            b"[\"d\",\"t\"]",
            br#"{"now":{"columns":[{"name":"my_row_id","type":"bigint unsigned"}],
                    "primary_key":["my_row_id"],"charset":"latin1"}}"#,
        ),
    ] {
        history.take(&old).unwrap();
    }
    schema.restore(history);
    assert_eq!(columns(&schema, "t").unwrap(), "my_row_id bigint unsigned");
    assert_eq!(schema.rolls_back(&TableName::new("d", "t")), None);
    apply(&mut schema, 10, "CREATE TABLE IF NOT EXISTS u (id INT)");
    assert_eq!(columns(&schema, "u"), None, "it may have been there");
    apply(&mut schema, 20, "CREATE TABLE v (c CHAR(3)) ENGINE=InnoDB");
    assert_eq!(columns(&schema, "v").unwrap(), "c char(3)");
    assert_eq!(schema.rolls_back(&TableName::new("d", "v")), Some(true));
    apply(&mut schema, 30, "DROP TABLE u");
    made(&mut schema, 40, "CREATE TABLE IF NOT EXISTS u (id INT)");
    assert_eq!(columns(&schema, "u").unwrap(), "id int", "it was made");
    apply(&mut schema, 50, "ALTER TABLE t ADD n BIGINT UNSIGNED");
    assert!(columns(&schema, "t").is_some());
    apply(&mut schema, 60, "ALTER TABLE t ADD f BIGINT UNSIGNED FIRST");
    assert!(lost(&schema, "t").unwrap().contains("my_row_id"), "it may be a generated key");
}

#[test]
fn names_are_folded_as_the_server_folds_them() {
    for (mode, name) in [(0, "D.Orders"), (1, "d.orders"), (2, "d.orders")] {
        let mut schema =
            Schema::new(Server { lower_case_table_names: mode, ..server() }, Adopt::Never);
        apply(&mut schema, 4, "CREATE DATABASE D");
        let applied = apply(&mut schema, 10, "CREATE TABLE D.Orders (id INT)");
        let message = applied.message.unwrap();
        assert_eq!(format!("{}.{}", message.schema, message.table), name);
        assert_eq!(applied.tables[0].to_string(), name);
    }
}

#[test]
fn versions_of_tables_that_are_dropped_are_forgotten() {
    let mut schema = schema();
    for (round, statement) in (0..).zip(["DROP TABLE t", "RENAME TABLE t TO u", "DROP DATABASE d"])
    {
        apply(&mut schema, 10 + round, "CREATE TABLE t (id INT)");
        schema.lookup(&map(vec![wire(code::LONG, 0)]), &at(20)).unwrap();
        let name = TableName::new("d", "t");
        assert!(schema.made.get(&name).is_some());
        apply(&mut schema, 30 + round, statement);
        assert!(schema.made.get(&name).is_none());
    }
}

#[test]
fn a_statement_of_an_unknown_kind_is_counted() {
    let mut schema = schema();
    assert!(apply(&mut schema, 10, "/* a */ FROBNICATE TABLE t").is_unknown);
    assert!(apply(&mut schema, 10, "'CREATE' TABLE t").is_unknown);
    for text in ["", "-- nothing", "(SELECT 1)", "FLUSH TABLES", "ALTER USER u ACCOUNT LOCK"] {
        assert!(!apply(&mut schema, 20, text).is_unknown, "{text}");
    }
}

#[test]
fn text_of_a_database_without_a_known_default_is_unsettled() {
    let mut schema = Schema::new(server(), Adopt::Never);
    apply(&mut schema, 10, "CREATE TABLE t (id INT, v VARCHAR(5), w CHAR(3) CHARACTER SET latin1)");
    let name = TableName::new("d", "t");
    let definition = schema.definition(&name).unwrap().clone();
    assert!(definition.is_unsettled());
    let rows = map(vec![wire(code::LONG, 0), wire(code::VARCHAR, 15), wire(code::STRING, 3)]);
    assert_eq!(schema.lookup(&rows, &at(20)), None);
    let settled = definition.settle("utf8mb3");
    assert_eq!(settled.columns[1].charset.as_deref(), Some("utf8mb3"));
    assert_eq!(settled.columns[2].charset.as_deref(), Some("latin1"));
    assert_eq!(definition.settle("binary").columns[1].mysql_type, "varbinary(5)");
    apply(&mut schema, 30, "CREATE TABLE u (id INT, v CHAR(3) CHARACTER SET latin1)");
    assert!(!schema.definition(&TableName::new("d", "u")).unwrap().is_unsettled());
    apply(&mut schema, 40, "CREATE TABLE x (v CHAR(3)) CHARSET latin1");
    assert!(!schema.definition(&TableName::new("d", "x")).unwrap().is_unsettled());
    apply(&mut schema, 50, "CREATE TABLE y (v TEXT(100))");
    assert!(lost(&schema, "y").unwrap().contains("default character set"));
}

#[test]
fn lengths_beyond_all_bounds_do_no_harm() {
    let mut schema = schema();
    let most = u64::MAX;
    apply(
        &mut schema,
        10,
        &format!(
            "CREATE TABLE t (a VARCHAR({most}), b TEXT({most}), c BIT({most}), d TIME({most}), e DECIMAL({most},{most}))"
        ),
    );
    apply(&mut schema, 20, "CREATE TABLE u (a VARCHAR(5)) CHARSET latin1");
    apply(
        &mut schema,
        30,
        &format!("ALTER TABLE u ADD b VARCHAR({most}), CONVERT TO CHARSET utf8mb4"),
    );
    assert_eq!(columns(&schema, "u").unwrap(), "a varchar(5), b longtext");
}

#[test]
fn a_broken_record_is_named() {
    let record = StateRecord {
        topic: StateTopic::Schema,
        key: bytes::Bytes::from_static(b"[\"d\",\"t\"]"),
        value: Some(bytes::Bytes::from_static(b"{")),
    };
    let error = History::default().take(&record).unwrap_err().to_string();
    assert!(error.contains("[\"d\",\"t\"]"), "{error}");
}

/// What a session's statement leaves of its reading.
fn of_session(schema: &mut Schema, flagged: bool, text: &str) -> Vec<String> {
    let mut reading = schema.reading(&statement(text, &at(10)));
    let session = SessionOf { server: 1, thread: 7 };
    schema.take_out_temporary(session, Flag::of(flagged), &"binlog.000001".into(), &mut reading);
    reading.tables.iter().map(|name| name.table.to_string()).collect()
}

fn restored(records: &[StateRecord]) -> Schema {
    let mariadb = Server { flavor: Flavor::MariaDb, version: 101_100, ..server() };
    restored_on(Schema::new(mariadb, Adopt::Never), records)
}

fn restored_on(mut schema: Schema, records: &[StateRecord]) -> Schema {
    let mut history = History::default();
    for record in records {
        history.take(record).unwrap();
    }
    schema.restore(history);
    schema
}

#[test]
fn temporary_tables_of_sessions_are_part_of_the_history() {
    let mut schema = restored(&[]);
    assert_eq!(of_session(&mut schema, true, "CREATE TEMPORARY TABLE t (id INT)"), [""; 0]);
    let records = schema.commit().unwrap();
    assert_eq!(records.len(), 1);
    let rename = "RENAME TABLE t TO u";
    assert_eq!(of_session(&mut restored(&[]), false, rename).len(), 2, "a real one");

    let mut again = restored(&records);
    assert_eq!(of_session(&mut again, false, rename), [""; 0]);
    again.rollback();
    assert_eq!(of_session(&mut again, false, rename), [""; 0], "as it was before");
    assert_eq!(of_session(&mut again, true, "ALTER TABLE u ADD a INT"), [""; 0]);
    let renamed = again.commit().unwrap();
    assert_eq!(of_session(&mut restored(&renamed), false, "RENAME TABLE u TO v"), [""; 0]);
    assert_eq!(of_session(&mut again, true, "DROP TEMPORARY TABLE u"), [""; 0]);
    assert!(again.commit().unwrap()[0].value.is_none(), "its record goes with the last");

    let mut started = restored(&records);
    started.server_started(2);
    assert_eq!(started.commit().unwrap(), [], "of another server");
    started.server_started(1);
    assert!(started.commit().unwrap()[0].value.is_none());
    assert_eq!(of_session(&mut started, false, rename).len(), 2);

    // At a server that it comes to, where each was noted says whether that was started since.
    let mut joined = restored(&records);
    assert_eq!(joined.sessions_of(2), []);
    let [(session, Some(noted))] = &joined.sessions_of(1)[..] else { panic!() };
    assert_eq!((&*noted.server, &*noted.file), ("u1", "binlog.000001"));
    joined.session_has_ended(*session);
    assert_eq!(of_session(&mut joined, false, rename).len(), 2);
    // Where that is not known, so are the tables, whichever they are.
    let mut doubted = restored(&records);
    doubted.session_may_have_ended(*session);
    let records = doubted.commit().unwrap();
    let mut doubted = restored(&records);
    for flagged in [false, true] {
        let text = if flagged { "ALTER TABLE t ADD a INT" } else { rename };
        let mut reading = doubted.reading(&statement(text, &at(10)));
        doubted.take_out_temporary(
            *session,
            Flag::of(flagged),
            &"binlog.000001".into(),
            &mut reading,
        );
        assert!(reading.message.is_some(), "it may concern everybody");
        let is_stale = |effect: &Effect| matches!(effect, Effect::Stale { .. });
        assert!(reading.effects.iter().all(is_stale), "{:?}", reading.effects);
    }

    // A build before noted a time, and not where.
    let timed = br#"{"tables":[["d","t"]],"at":1750000000}"#;
    let timed = StateRecord { value: Some(bytes::Bytes::from_static(timed)), ..records[0].clone() };
    let mut timed = restored(&[timed]);
    assert_eq!(timed.sessions_of(1), [(*session, None)]);
    assert_eq!(of_session(&mut timed, false, rename), [""; 0], "its tables are known");

    let mut forgotten = restored(&records);
    forgotten.forget();
    assert_eq!(of_session(&mut forgotten, false, rename).len(), 2);
}
