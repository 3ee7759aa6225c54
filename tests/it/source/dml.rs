//! Changes of rows in statement format. The judge is the server: what changed a row of an included
//! table is published or stops the instance, and what changed none is nobody's business.

use sluice::source::{Before, Error, Settings};
use sqlx::MySqlConnection;

use super::{Running, ask, settings};
use crate::harness::Server;
use crate::harness::servers::{Flavor, private_mariadb, private_mysql, run};

/// Tables in front of SET, or behind FROM or USING, and what the statement calls both.
const JOINED: &[(&str, &str, &str)] = &[
    ("{s} JOIN {t} ON {s}.id = {t}.id", "{s}", "{t}"),
    ("{t} JOIN {s} ON {s}.id = {t}.id", "{s}", "{t}"),
    ("{s}, {t}", "{s}", "{t}"),
    ("{t} INNER JOIN {s} USING (id)", "{s}", "{t}"),
    ("{s} LEFT JOIN {t} ON IF(1, {s}.id, 0) = {t}.id", "{s}", "{t}"),
    ("{s} AS x JOIN {t} AS y ON x.id = y.id", "x", "y"),
    ("{t} y CROSS JOIN {s} x", "x", "y"),
    ("{s} x STRAIGHT_JOIN {t} `y`", "x", "y"),
    ("({s} x, {t} y)", "x", "y"),
    ("(SELECT 1 AS one) AS q JOIN ({s} JOIN {t} AS y ON 1)", "{s}", "y"),
    ("{s} JOIN {t} USE INDEX (PRIMARY) ON 1", "{s}", "{t}"),
];

/// Each UPDATE and DELETE that can be made of those.
fn statements() -> Vec<String> {
    let mut all = Vec::new();
    for (joined, s, t) in JOINED {
        for sets in ["S.v = S.v + 1", "T.v = T.v + 1", "S.v = T.v + 1, T.v = 9", "T.v = 8, S.v = 7"]
        {
            let sets = sets.replace('S', s).replace('T', t);
            all.push(format!("UPDATE {joined} SET {sets} WHERE 1 = 1"));
        }
        for of in ["S", "T", "S, T", "T.*", "S.*, T.*"] {
            // `DELETE x.*` takes no database before an alias, and none is needed.
            let of = of.replace('S', s).replace('T', t);
            all.push(format!("DELETE {of} FROM {joined}"));
            all.push(format!("DELETE FROM {of} USING {joined}"));
        }
    }
    for t in ["{s}", "{t}"] {
        all.push(format!("UPDATE LOW_PRIORITY IGNORE {t} SET v = 3 ORDER BY id LIMIT 1"));
        all.push(format!("UPDATE {t} AS z SET z.v = 4, v = v + 1"));
        all.push(format!("DELETE QUICK FROM {t} WHERE id = 1"));
        all.push(format!("REPLACE {t} (id, v) VALUES (1, 77)"));
        all.push(format!("INSERT INTO {t} (id, v) VALUES (5, 5) ON DUPLICATE KEY UPDATE v = 6"));
    }
    let named = |text: String| {
        let names = [("staging.s", "shop.t"), ("`staging` . `s`", "shop.`t`")];
        names.map(|(s, t)| text.replace("{s}", s).replace("{t}", t))
    };
    all.into_iter().flat_map(named).collect()
}

/// What a table has.
async fn rows(admin: &mut MySqlConnection, table: &str) -> String {
    let sql = format!("SELECT COALESCE(GROUP_CONCAT(id, ':', v ORDER BY id), '') FROM {table}");
    ask(admin, &sql, 0).await
}

async fn fill(admin: &mut MySqlConnection) {
    let tables = ["shop.t", "staging.s"];
    let fill = tables
        .map(|table| format!("DELETE FROM {table}; INSERT INTO {table} VALUES (1, 1), (2, 2);"));
    run(admin, &format!("SET sql_log_bin = 0; {} SET sql_log_bin = 1", fill.concat())).await;
}

async fn prepared(server: &Server) -> MySqlConnection {
    let mut admin = server.database("staging").await;
    run(&mut admin, "CREATE TABLE s (id INT PRIMARY KEY, v INT)").await;
    let mut admin = server.database("shop").await;
    run(&mut admin, "CREATE TABLE t (id INT PRIMARY KEY, v INT); CREATE TABLE fence (id INT)")
        .await;
    for (function, table) in [("shop.changes", "shop.t"), ("staging.changes", "staging.s")] {
        run(
            &mut admin,
            &format!(
                "CREATE FUNCTION {function}() RETURNS INT BEGIN UPDATE {table} SET v = v + 1; \
                 RETURN 1; END"
            ),
        )
        .await;
    }
    run(&mut admin, "SET SESSION binlog_format = STATEMENT").await;
    admin
}

/// Of both kinds, with functions that may change rows, and LOAD DATA from anywhere.
fn servers() -> [Option<Server>; 2] {
    let functions = "--log-bin-trust-function-creators=1";
    [private_mysql(&[functions, "--secure-file-priv="]), private_mariadb(&[functions])]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_an_included_row_is_published_and_what_does_not_is_left_out() {
    let servers = servers();
    for server in servers.iter().flatten() {
        let mut admin = prepared(server).await;
        fill(&mut admin).await;
        let mut source = Running::start(settings(server, "shop"), Before::default()).await;
        let (mut published, mut left_out) = (0, 0);
        for statement in statements() {
            let before = rows(&mut admin, "shop.t").await;
            run(&mut admin, &statement).await;
            let changed = rows(&mut admin, "shop.t").await != before;
            run(&mut admin, "INSERT INTO fence VALUES (1)").await;
            let mut found = Vec::new();
            while found.last().is_none_or(|text: &String| !text.contains("fence")) {
                let next = source.next().await;
                for change in &next.changes {
                    let sluice::change::Change::Statement(one) = change else { continue };
                    assert_eq!(one.schema, "shop", "{statement}");
                }
                found.extend(next.texts());
            }
            found.pop();
            let wanted = if changed { vec![statement.clone()] } else { Vec::new() };
            assert_eq!(found, wanted, "{:?}: {statement}", server.flavor);
            if changed {
                published += 1;
            } else {
                left_out += 1;
            }
            fill(&mut admin).await;
        }
        assert!(published > 100 && left_out > 50, "{published} {left_out}");
        for statement in ["SELECT changes()", "DO changes()", "SET @a = changes()"] {
            run(&mut admin, statement).await;
            let texts = source.next().await.texts().join(";");
            assert!(texts.to_lowercase().contains("changes"), "{statement}: {texts}");
        }
        source.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_statements_stop_those_of_excluded_tables_do_not() {
    let servers = servers();
    for server in servers.iter().flatten() {
        let mut admin = prepared(server).await;
        fill(&mut admin).await;
        let wanted = || {
            let mut wanted: Settings = settings(server, "shop");
            wanted.statements.dml_stops = true;
            wanted
        };
        run(&mut admin, "SELECT * INTO OUTFILE 'rows.txt' FROM staging.s").await;
        let mut source = Running::start(wanted(), Before::default()).await;
        for statement in [
            "DELETE FROM staging.s",
            "LOAD DATA INFILE 'rows.txt' INTO TABLE staging.s",
            "UPDATE staging.s, shop.t SET s.v = t.v",
            "SET SESSION binlog_format = ROW",
            "INSERT INTO fence VALUES (1)",
            "SET SESSION binlog_format = STATEMENT",
        ] {
            run(&mut admin, statement).await;
        }
        assert_eq!(source.next().await.texts(), ["+fence"]);
        if server.flavor == Flavor::MariaDb {
            run(&mut admin, "CREATE SEQUENCE staging.q; SET SESSION binlog_format = MIXED").await;
            run(&mut admin, "SELECT NEXTVAL(staging.q); SELECT GET_LOCK('l', 1)").await;
            run(&mut admin, "SELECT SETVAL(staging.q, 50); SET binlog_format = ROW").await;
            run(&mut admin, "INSERT INTO fence VALUES (2); SET binlog_format = STATEMENT").await;
            assert_eq!(source.next().await.texts(), ["+fence"]);
        }
        source.stop().await;
        for statement in [
            "UPDATE staging.s, shop.t SET t.v = s.v + 5",
            "SELECT changes()",
            "DO changes()",
            "DELETE FROM shop.t",
            "LOAD DATA INFILE 'rows.txt' INTO TABLE t",
        ] {
            let source = Running::start(wanted(), Before::default()).await;
            run(&mut admin, statement).await;
            let error = source.error().await;
            assert!(matches!(error, Error::Statement { .. }), "{statement}: {error}");
        }
    }
}
