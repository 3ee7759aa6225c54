//! A server's defaults for sessions, and its `init_connect`, are for its own clients: our sessions
//! get the same answers under each of them.
//!
//! Every session variable that the server has is set to another value, one after the other, and
//! some in several ways. `SLUICE_SESSION_VARIABLES=all` goes through all of them; the ordinary run
//! takes those that are known to matter, and each tenth of the others.

use sluice::change::TableName;
use sluice::config::Adopt;
use sluice::mysql::{Endpoint, Session, probe, server_zone};
use sluice::schema::{Definition, Schema};
use sqlx::mysql::MySqlConnectOptions;
use sqlx::{ConnectOptions as _, Row as _};

use crate::harness::Server;
use crate::harness::servers::{self, run, try_run};
use crate::harness::{Sluice, topics};

/// Values that cut, refuse or respell answers. Those that a server does not have are left out.
const HOSTILE: &[(&str, &str)] = &[
    ("sql_select_limit", "0"),
    ("sql_select_limit", "1"),
    ("max_join_size", "1"),
    ("sql_big_selects", "0"),
    ("sql_mode", "'ANSI_QUOTES,PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH'"),
    ("sql_mode", "'IGNORE_SPACE,HIGH_NOT_PRECEDENCE,REAL_AS_FLOAT,NO_UNSIGNED_SUBTRACTION'"),
    ("sql_mode", "'ORACLE'"),
    ("sql_mode", "'MSSQL'"),
    ("sql_quote_show_create", "0"),
    ("autocommit", "0"),
    ("timestamp", "1"),
    ("max_sort_length", "64"),
    ("sort_buffer_size", "1"),
    ("character_set_results", "utf16"),
    ("character_set_results", "latin1"),
    ("character_set_results", "NULL"),
    ("character_set_client", "latin1"),
    ("character_set_connection", "ucs2"),
    ("collation_connection", "latin1_german2_ci"),
    ("time_zone", "'+05:00'"),
    ("lc_messages", "'de_DE'"),
    ("lc_time_names", "'de_DE'"),
    ("sql_safe_updates", "1"),
    ("sql_auto_is_null", "1"),
    ("transaction_isolation", "'READ-UNCOMMITTED'"),
    ("transaction_isolation", "'SERIALIZABLE'"),
    ("tx_isolation", "'SERIALIZABLE'"),
    ("transaction_read_only", "1"),
    ("max_execution_time", "1"),
    ("max_statement_time", "0.0001"),
    ("show_gipk_in_create_table_and_information_schema", "0"),
    ("use_secondary_engine", "FORCED"),
    ("old_mode", "''"),
    ("old_mode", "'UTF8_IS_UTF8MB3,ZERO_DATE_TIME_CAST,NO_PROGRESS_INFO'"),
    ("in_predicate_conversion_threshold", "2"),
    ("information_schema_stats_expiry", "0"),
    ("optimizer_switch", "'derived_merge=off,materialization=off,semijoin=off'"),
];

/// What would end the session or the server's patience, and no answer.
const LEFT_OUT: &[&str] = &[
    // Restrict what the session may use at all.
    "max_session_mem_used",
    "max_tmp_session_space_usage",
    "tmp_disk_table_size",
    "connection_memory_limit",
    "thread_stack",
    // Wait for, or are about, what is not there.
    "wsrep_on",
    "wsrep_osu_method",
    "debug",
    "debug_dbug",
    "debug_sync",
    "pseudo_thread_id",
    "gtid_next",
    "rand_seed1",
    "rand_seed2",
    "proxy_user",
    "skip_replication",
];

#[tokio::test]
async fn the_servers_defaults_change_no_answer_on_mysql() {
    let Some(server) = servers::private_mysql(&["--sql-generate-invisible-primary-key=ON"]) else {
        return;
    };
    under_all_defaults(&server).await;
}

#[tokio::test]
async fn the_servers_defaults_change_no_answer_on_mariadb() {
    if let Some(server) = servers::private_mariadb(&[]) {
        under_all_defaults(&server).await;
    }
}

/// What a session of ours is answered.
#[derive(Debug, PartialEq)]
struct Answers {
    definitions: Vec<(String, Option<Definition>)>,
    variables: (String, String),
    grants: Vec<String>,
    files: Vec<String>,
    zone: String,
    /// A table that was made after the first of these questions is there.
    sees_new: bool,
}

async fn answers(server: &Server) -> Result<Answers, String> {
    const TABLES: [&str; 5] =
        ["plain", "labels", "keyed", "ünï 'q` \"d\"", "aaaaaaaaaaaaaaaaaaaab"];
    let endpoint = Endpoint::new(&server.host, server.port, "canal", "canal");
    let all = async {
        let mut session = Session::connect(&endpoint).await?;
        let probe = probe::Probe::read(&mut session).await?;
        let clock = probe::clock(&mut session).await?;
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis();
        let now = i64::try_from(now).unwrap();
        assert!((now - clock).abs() < 60_000, "the clock says {clock}");
        let mut schema = Schema::new(
            sluice::schema::Server {
                flavor: probe.flavor,
                version: probe.version_number(),
                lower_case_table_names: 0,
                utf8_is_unclear: false,
                charset: "utf8mb4".to_owned(),
                uuid: probe.uuid.clone(),
            },
            Adopt::Never,
        );
        schema.capture_all(&mut session).await.unwrap();
        let definition = |table: &str| {
            let found = schema.definition(&TableName::new("defaults", table));
            (table.to_owned(), found.map(|found| (*found).clone()))
        };
        let definitions = TABLES.into_iter().map(definition).collect();
        let mut source = server.connect().await;
        run(&mut source, "CREATE TABLE defaults.late (a INT)").await;
        let late = session
            .query(
                "SELECT table_name AS t FROM information_schema.tables WHERE table_name = 'late'",
            )
            .await?;
        run(&mut source, "DROP TABLE defaults.late").await;
        let files = probe::binlog_files(&mut session).await?;
        Ok::<_, sluice::mysql::Error>(Answers {
            definitions,
            variables: (probe.version.clone(), probe.uuid.to_string()),
            grants: probe::grants(&mut session).await?,
            files: files.into_iter().map(|file| file.name).collect(),
            zone: format!("{:?}", server_zone(&mut session, &probe).await?),
            sees_new: late.len() == 1,
        })
    };
    all.await.map_err(|error| error.to_string())
}

async fn under_all_defaults(server: &Server) {
    let mut source = server.database("defaults").await;
    for statement in [
        "CREATE TABLE plain (a INT NOT NULL, b VARCHAR(9), c TEXT)",
        "CREATE TABLE labels (e ENUM('a\\\\b','it''s','ü','x\"y') , s SET('ä','b') NOT NULL)",
        "CREATE TABLE keyed (z INT, y INT, x INT UNIQUE, PRIMARY KEY (y, z))",
        "CREATE TABLE `ünï 'q`` \"d\"` (`c``1` INT, `c \"2\"` INT)",
        "CREATE TABLE aaaaaaaaaaaaaaaaaaaab (q INT, p INT)",
        "CREATE TABLE aaaaaaaaaaaaaaaaaaaac (p INT, q INT)",
    ] {
        run(&mut source, statement).await;
    }
    let wanted = answers(server).await.unwrap();
    assert!(wanted.definitions.iter().all(|(_, found)| found.is_some()), "{wanted:#?}");
    assert!(wanted.sees_new);

    let mut wrong = Vec::new();
    let mut tried = 0;
    for setting in settings(server).await {
        // What the account may not set would end its connection.
        let probing = MySqlConnectOptions::new().host(&server.host).port(server.port);
        let probing = probing.username("canal").password("canal").connect().await;
        if try_run(&mut probing.unwrap(), &setting).await.is_err() {
            continue;
        }
        tried += 1;
        let quoted = setting.replace('\\', "\\\\").replace('\'', "\\'");
        run(&mut source, &format!("SET GLOBAL init_connect = '{quoted}'")).await;
        let found = answers(server).await;
        run(&mut source, "SET GLOBAL init_connect = ''").await;
        match found {
            Ok(found) if found == wanted => {}
            Ok(found) => wrong.push(format!("{setting}: {found:#?}")),
            Err(error) => wrong.push(format!("{setting}: {error}")),
        }
    }
    println!("{tried} settings tried");
    assert!(tried > 50, "{tried}");
    assert!(wrong.is_empty(), "wanted {wanted:#?}\n{}", wrong.join("\n"));

    // And an instance from its first start to its first row.
    let hostile = "SET SESSION sql_select_limit = 0, SESSION sql_big_selects = 0, \
                   SESSION sql_mode = \\'ANSI_QUOTES\\', SESSION autocommit = 0, \
                   SESSION character_set_results = utf16, SESSION timestamp = 1";
    run(&mut source, &format!("SET GLOBAL init_connect = '{hostile}'")).await;
    let filter = [("canal.instance.filter.regex", r"defaults\..*")];
    let mut sluice = Sluice::with_instance("defaults", server, &filter);
    sluice.start();
    run(&mut source, "INSERT INTO keyed VALUES (1, 2, 3)").await;
    let record = &topics::read_at_least(&sluice.bootstrap(), "defaults.keyed", 1)[0];
    assert_eq!(record.json()["data"][0], serde_json::json!({"z": "1", "y": "2", "x": "3"}));
    sluice.stop();
}

/// Statements that set one session variable to something else than it is.
async fn settings(server: &Server) -> Vec<String> {
    let is_all = std::env::var("SLUICE_SESSION_VARIABLES").is_ok_and(|value| value == "all");
    let mut source = server.connect().await;
    let mut statements: Vec<String> =
        HOSTILE.iter().map(|(name, value)| format!("SET SESSION {name} = {value}")).collect();
    statements.push("START TRANSACTION WITH CONSISTENT SNAPSHOT".to_owned());
    statements.push("SET NAMES latin1".to_owned());
    let rows = sqlx::query("SHOW SESSION VARIABLES").fetch_all(&mut source).await.unwrap();
    let mut number = 0;
    for row in rows {
        let (name, value): (String, String) = (row.get(0), row.get(1));
        if LEFT_OUT.contains(&name.as_str()) {
            continue;
        }
        let others = match value.as_str() {
            "ON" => vec!["OFF"],
            "OFF" => vec!["ON"],
            value if value.parse::<f64>().is_ok() => vec!["0", "1", "2147483647"],
            _ => vec!["''"],
        };
        for other in others {
            number += 1;
            if is_all || number % 10 == 0 {
                statements.push(format!("SET SESSION {name} = {other}"));
            }
        }
    }
    statements
}
