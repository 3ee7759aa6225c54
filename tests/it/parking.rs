//! Tables whose changes cannot be published are parked, the others go on, and what was kept comes
//! back in order.

mod names;
mod statements;

use std::time::{Duration, Instant};

use serde_json::Value;
use sqlx::MySqlConnection;

use crate::harness::program::{limit, stopped};
use crate::harness::proxy::{Fault, Proxy};
use crate::harness::servers::{mariadb, mysql, private_mysql, run};
use crate::harness::{
    PATIENCE, Random, Record, Server, Sluice, asked, replication, say, topics, wait_for,
};

const PARK: (&str, &str) = ("sluice.table.error", "park");

fn example(server: &Server, database: &str, more: &[(&str, &str)]) -> Sluice {
    let filter = format!(r"{database}\..*");
    let mut properties = vec![("canal.instance.filter.regex", &*filter), PARK];
    properties.extend(more);
    Sluice::with_instance("example", server, &properties)
}

/// What `/health` says of the parked tables of the one instance.
fn parked(sluice: &Sluice) -> Vec<Value> {
    let (_, body) = sluice.health().expect("it runs");
    let health: Value = serde_json::from_str(&body).unwrap();
    health["instances"][0]["progress"]["parked"].as_array().unwrap().clone()
}

fn names(parked: &[Value]) -> Vec<String> {
    let name = |one: &Value| format!("{}.{}", one["schema"], one["table"]).replace('"', "");
    parked.iter().map(name).collect()
}

fn wait_until_parked(sluice: &Sluice, wanted: &[&str]) {
    wait_for("the parked tables", PATIENCE, || (names(&parked(sluice)) == wanted).then_some(()));
}

/// Ends `command instance ..` and says what it said.
fn instance(sluice: &Sluice, arguments: &[&str], code: i32) -> String {
    let ended = sluice.command(&[&["instance"], arguments].concat());
    assert_eq!(ended.code, Some(code), "{arguments:?}: {}", ended.said);
    ended.said
}

/// The ids in the order of the topic; of a statement its kind.
fn ids(records: &[Record]) -> Vec<String> {
    let mut found = Vec::new();
    for record in records {
        let json = record.json();
        match json["data"].as_array() {
            Some(rows) => {
                found.extend(rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()));
            }
            None => found.push(json["type"].as_str().unwrap().to_owned()),
        }
    }
    found
}

fn header<'a>(records: &'a [Record], name: &str) -> Vec<Option<&'a str>> {
    records.iter().map(|record| record.headers.get(name).map(String::as_str)).collect()
}

/// Tables `a` and `b` with a row each, where the topic of `a` takes 4 KiB.
async fn two_tables(
    source: &mut MySqlConnection,
    sluice: &mut Sluice,
    database: &str,
) -> [String; 2] {
    for table in ["a", "b"] {
        run(source, &format!("CREATE TABLE {table} (id INT PRIMARY KEY, pad MEDIUMTEXT)")).await;
    }
    sluice.start();
    run(source, "INSERT INTO a VALUES (1, '')").await;
    run(source, "INSERT INTO b VALUES (1, '')").await;
    let names = ["a", "b"].map(|table| format!("{database}.{table}"));
    for name in &names {
        topics::read_at_least(&sluice.bootstrap(), name, 1);
    }
    limit(sluice, &names[0], 4096);
    names
}

/// The branch was prepared before the instance began, in a file that is not read any more.
#[tokio::test(flavor = "multi_thread")]
async fn rows_of_an_old_branch_park_what_comes_behind_its_end() {
    let Some(server) = mysql() else { return };
    let mut source = server.database("old_branch").await;
    for table in ["a", "b"] {
        let sql = format!("CREATE TABLE {table} (id INT PRIMARY KEY, pad MEDIUMTEXT)");
        run(&mut source, &sql).await;
    }
    let branch = "XA START 'parked_old'; INSERT INTO a VALUES (2, REPEAT('x', 10000)); \
                  XA END 'parked_old'; XA PREPARE 'parked_old'";
    run(&mut source, branch).await;
    drop(source);
    let mut source = server.connect().await;
    run(&mut source, "FLUSH BINARY LOGS").await;
    let mut sluice = example(server, "old_branch", &[]);
    sluice.start();
    run(&mut source, "USE old_branch; INSERT INTO a VALUES (1, '')").await;
    let [a, b] = ["old_branch.a", "old_branch.b"];
    topics::read_at_least(&sluice.bootstrap(), a, 1);
    limit(&sluice, a, 4096);
    run(&mut source, "XA COMMIT 'parked_old'; INSERT INTO a VALUES (3, '')").await;
    wait_until_parked(&sluice, &[a]);
    run(&mut source, "INSERT INTO a VALUES (4, ''); INSERT INTO b VALUES (1, '')").await;
    topics::read_at_least(&sluice.bootstrap(), b, 1);
    assert_eq!(ids(&topics::read(&sluice.bootstrap(), a)), ["1"]);
    limit(&sluice, a, 1 << 20);
    instance(&sluice, &["retry", "example", a], 0);
    assert_eq!(ids(&topics::read_at_least(&sluice.bootstrap(), a, 4)), ["1", "2", "3", "4"]);
    sluice.stop();
}

/// What is kept needs no server that is gone: whichever is read is asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_parked_table_comes_back_while_the_first_server_is_gone() {
    let servers = [private_mysql(&[]), private_mysql(&["--server-id=11"])];
    let [Some(first), Some(second)] = servers else { return };
    let mut source = first.database("moved").await;
    replication::replicate(&second, &first).await;
    let standby = format!("{}:{}", second.host, second.port);
    let more = [
        ("canal.instance.standby.address", &*standby),
        ("canal.instance.detecting.retry.threshold", "1"),
        ("sluice.parked.max.bytes", "20000"),
    ];
    let mut sluice = example(&first, "moved", &more);
    let [a, _] = two_tables(&mut source, &mut sluice, "moved").await;
    run(&mut source, "INSERT INTO a VALUES (2, REPEAT('x', 10000))").await;
    wait_until_parked(&sluice, &[&a]);
    replication::caught_up(&second, &first).await;
    first.kill();
    replication::promote(&second).await;
    replication::reads_from(&sluice, &second).await;
    let mut source = second.connect().await;
    // It is not kept, and is read again where it is.
    run(&mut source, "INSERT INTO moved.a VALUES (3, REPEAT('x', 30000))").await;
    wait_for("the change", PATIENCE, || (parked(&sluice)[0]["events"] == 2).then_some(()));
    limit(&sluice, &a, 1 << 20);
    instance(&sluice, &["retry", "example", &a], 0);
    let records = topics::read_at_least(&sluice.bootstrap(), &a, 3);
    assert_eq!(ids(&records), ["1", "2", "3"]);
    sluice.stop();
}

async fn a_parked_table_comes_back(server: &Server, database: &str) {
    let mut source = server.database(database).await;
    let mut sluice = example(server, database, &[]);
    let [a, b] = two_tables(&mut source, &mut sluice, database).await;
    for statement in [
        "BEGIN",
        "INSERT INTO b VALUES (2, '')",
        "INSERT INTO a VALUES (2, 'small')",
        "INSERT INTO a VALUES (3, REPEAT('x', 10000)), (4, '')",
        "INSERT INTO b VALUES (3, '')",
        "INSERT INTO a VALUES (5, '')",
        "INSERT INTO b VALUES (4, '')",
        "COMMIT",
        "UPDATE a SET pad = 'changed' WHERE id = 4",
        "ALTER TABLE a ADD COLUMN more INT",
        "INSERT INTO a VALUES (6, '', 7)",
        "INSERT INTO b VALUES (5, '')",
    ] {
        run(&mut source, statement).await;
    }
    let others = topics::read_at_least(&sluice.bootstrap(), &b, 5);
    assert_eq!(ids(&others), ["1", "2", "3", "4", "5"]);
    assert_eq!(header(&others, "tx")[1..], [Some("0"), Some("2"), Some("3/end"), Some("0/end")]);
    assert_eq!(header(&others, "parked")[1..], [None, Some("2"), Some("3"), None]);
    let before = topics::read(&sluice.bootstrap(), &a);
    assert_eq!(ids(&before), ["1", "2"], "what comes before the row that has no room");
    let known = parked(&sluice);
    assert_eq!(names(&known), [&*a]);
    assert!(known[0]["reason"].as_str().unwrap().contains("takes 4096"), "{known:?}");
    let shown = instance(&sluice, &["show", "example"], 0);
    for words in ["running", &*a, "binlog.0", "takes 4096", "instance retry example"] {
        assert!(shown.contains(words), "{words}: {shown}");
    }

    // It stays so.
    sluice.kill();
    run(&mut source, "INSERT INTO a VALUES (7, '', 7)").await;
    sluice.start();
    run(&mut source, "INSERT INTO b VALUES (6, '')").await;
    topics::read_at_least(&sluice.bootstrap(), &b, 6);
    wait_for("all events", PATIENCE, || (parked(&sluice)[0]["events"] == 7).then_some(()));
    let refused = instance(&sluice, &["retry", "example", &a], 1);
    assert!(refused.contains("takes 4096"), "{refused}");
    let refused = instance(&sluice, &["retry", "example", &b], 1);
    assert!(refused.contains("is not parked") && refused.contains(&*a), "{refused}");
    sluice.wait_until_ready();
    assert_eq!(
        (names(&parked(&sluice)), topics::read(&sluice.bootstrap(), &a)),
        (vec![a.clone()], before)
    );

    limit(&sluice, &a, 1 << 20);
    instance(&sluice, &["retry", "example", &a], 0);
    run(&mut source, "INSERT INTO a VALUES (8, '', 8)").await;
    let all = topics::read_at_least(&sluice.bootstrap(), &a, 10);
    assert_eq!(ids(&all), ["1", "2", "3", "4", "5", "4", "ALTER", "6", "7", "8"]);
    // A server begins another event where one has more than 8 KiB.
    let numbers = ["0", "1", "2/end", "0/end", "0/end", "0/end", "0/end", "0/end"].map(Some);
    assert_eq!(header(&all, "tx")[2..], numbers);
    let retried = header(&all, "retried");
    assert_eq!((&retried[..2], retried[9]), (&[None, None][..], None));
    assert_eq!(retried[2..9], [Some("1"); 7]);
    assert!(all.iter().all(|record| record.headers["binlog"].contains("binlog.0")));
    assert_eq!(parked(&sluice), [] as [Value; 0]);
    let letters = topics::read(&sluice.bootstrap(), "__sluice.example.parked");
    assert_eq!(letters.len(), 0, "nothing is kept any more");
    sluice.stop();
}

#[tokio::test]
async fn a_parked_table_of_mysql_comes_back_in_order_and_the_others_go_on() {
    let Some(mysql) = mysql() else { return };
    a_parked_table_comes_back(mysql, "park_mysql").await;
}

#[tokio::test]
async fn a_parked_table_of_mariadb_comes_back_in_order_and_the_others_go_on() {
    let Some(mariadb) = mariadb() else { return };
    a_parked_table_comes_back(mariadb, "park_mariadb").await;
}

#[tokio::test]
async fn changes_of_branches_are_kept_and_come_back_where_the_branch_was_committed() {
    let Some(mysql) = mysql() else { return };
    let database = "park_xa";
    let mut source = mysql.database(database).await;
    let mut sluice = example(mysql, database, &[]);
    let [a, b] = two_tables(&mut source, &mut sluice, database).await;
    run(&mut source, "INSERT INTO a VALUES (2, REPEAT('x', 9000))").await;
    wait_until_parked(&sluice, &[&a]);
    for (xid, id) in [("park-1", 3), ("park-2", 4)] {
        for statement in [
            format!("XA START '{xid}'"),
            format!("INSERT INTO a VALUES ({id}, '')"),
            format!("INSERT INTO b VALUES ({id}, '')"),
            format!("XA END '{xid}'"),
            format!("XA PREPARE '{xid}'"),
        ] {
            run(&mut source, &statement).await;
        }
        if xid == "park-2" {
            run(&mut source, "XA ROLLBACK 'park-2'").await;
        } else {
            // Another connection may then work while it is prepared.
            source = mysql.connect().await;
            run(&mut source, &format!("USE {database}")).await;
        }
    }
    run(&mut source, "INSERT INTO a VALUES (5, '')").await;
    limit(&sluice, &a, 1 << 20);
    wait_for("the branch", PATIENCE, || {
        (parked(&sluice)[0]["branches"].as_array()?.len() == 1).then_some(())
    });
    // Not those of the branch that was rolled back.
    wait_for("the last row", PATIENCE, || (parked(&sluice)[0]["events"] == 3).then_some(()));
    let refused = instance(&sluice, &["retry", "example", &a], 1);
    assert!(refused.contains("XA branches") && refused.contains("X'7061726b2d31'"), "{refused}");
    sluice.kill();
    run(&mut source, "XA COMMIT 'park-1'").await;
    sluice.start();
    let others = topics::read_at_least(&sluice.bootstrap(), &b, 2);
    assert_eq!(
        (ids(&others), others[1].headers["parked"].as_str()),
        (vec!["1".into(), "3".into()], "1")
    );
    wait_for("the branch's end", PATIENCE, || {
        parked(&sluice)[0]["branches"].is_null().then_some(())
    });
    assert_eq!(parked(&sluice)[0]["events"], 3);
    instance(&sluice, &["retry", "example", &a], 0);
    let all = topics::read_at_least(&sluice.bootstrap(), &a, 4);
    assert_eq!(ids(&all), ["1", "2", "5", "3"]);
    assert_eq!(all[3].headers["gtid"], others[1].headers["gtid"], "it was committed there");
    assert_eq!(all[3].headers["binlog"], others[1].headers["binlog"]);
    sluice.stop();
}

#[tokio::test]
async fn a_table_without_a_definition_is_parked_until_one_may_be_taken() {
    let Some(mysql) = private_mysql(&["--binlog-row-metadata=MINIMAL"]) else { return };
    let mut source = mysql.database("park_old").await;
    run(&mut source, "CREATE TABLE a (id INT PRIMARY KEY, v INT)").await;
    run(&mut source, "CREATE TABLE b (id INT PRIMARY KEY)").await;
    run(&mut source, "FLUSH BINARY LOGS").await;
    run(&mut source, "INSERT INTO a VALUES (1, 1)").await;
    run(&mut source, "INSERT INTO b VALUES (1)").await;
    run(&mut source, "ALTER TABLE a RENAME COLUMN v TO w").await;
    run(&mut source, "INSERT INTO a VALUES (2, 2)").await;
    run(&mut source, "INSERT INTO b VALUES (2)").await;
    let begin = [("canal.instance.master.journal.name", "binlog.000002")];
    let mut sluice = example(&mysql, "park_old", &begin);
    sluice.start();
    topics::read_at_least(&sluice.bootstrap(), "park_old.b", 2);
    assert_eq!(names(&parked(&sluice)), ["park_old.a"]);
    let refused = instance(&sluice, &["retry", "example", "park_old.a"], 1);
    assert!(refused.contains("no definition of park_old.a"), "{refused}");
    sluice.stop();
    sluice.instance(
        "example",
        &mysql,
        &[
            &[
                PARK,
                ("sluice.schema.adopt", "current"),
                ("canal.instance.filter.regex", r"park_old\..*"),
            ],
            &begin[..],
        ]
        .concat(),
    );
    sluice.start();
    instance(&sluice, &["retry", "example", "park_old.a"], 0);
    run(&mut source, "INSERT INTO a VALUES (3, 3)").await;
    let all = topics::read_at_least(&sluice.bootstrap(), "park_old.a", 4);
    assert_eq!(ids(&all), ["1", "ALTER", "2", "3"]);
    sluice.stop();
}

#[tokio::test]
async fn an_event_too_large_to_be_kept_is_read_again_while_the_source_has_it() {
    for compression in ["OFF", "ON"] {
        let option = format!("--binlog-transaction-compression={compression}");
        let Some(mysql) = private_mysql(&[&option]) else { return };
        read_again_while_the_source_has_it(&mysql).await;
    }
}

async fn read_again_while_the_source_has_it(mysql: &Server) {
    let database = "park_large";
    let mut source = mysql.database(database).await;
    let mut sluice = example(mysql, database, &[("sluice.parked.max.bytes", "20000")]);
    let [a, _] = two_tables(&mut source, &mut sluice, database).await;
    for first in [2, 6] {
        limit(&sluice, &a, 4096);
        // Two of the same size in one transaction, which may be one event of the binlog.
        let row = |id, length, letter| {
            format!("INSERT INTO a VALUES ({id}, REPEAT('{letter}', {length}));")
        };
        run(&mut source, &row(first, 10_000, 'x')).await;
        let together = [row(first + 1, 30_000, 'y'), row(first + 2, 30_000, 'z')].concat();
        run(&mut source, &format!("BEGIN; {together} {} COMMIT", row(first + 3, 10, 'x'))).await;
        wait_for("four events", PATIENCE, || {
            (parked(&sluice).first()?["events"] == 4).then_some(())
        });
        let bytes = parked(&sluice)[0]["bytes"].as_u64().unwrap();
        assert!(bytes < 20_000, "{bytes}: the larger ones are not kept");
        limit(&sluice, &a, 1 << 20);
        if first == 2 {
            instance(&sluice, &["retry", "example", &a], 0);
            let all = topics::read_at_least(&sluice.bootstrap(), &a, 5);
            assert_eq!(ids(&all), ["1", "2", "3", "4", "5"]);
            for (record, letter) in [(2, "y"), (3, "z")] {
                let pad = &all[record].json()["data"][0]["pad"];
                assert_eq!(*pad, letter.repeat(30_000));
            }
        }
    }
    run(&mut source, "FLUSH BINARY LOGS").await;
    // A file is not purged while it is being read.
    run(&mut source, "INSERT INTO a VALUES (20, '')").await;
    wait_for("five events", PATIENCE, || (parked(&sluice).first()?["events"] == 5).then_some(()));
    run(&mut source, "PURGE BINARY LOGS TO 'binlog.000002'").await;
    let refused = instance(&sluice, &["retry", "example", &a], 1);
    for words in ["was not kept", "purged", "drop-parked"] {
        assert!(refused.contains(words), "{words}: {refused}");
    }
    assert_eq!(names(&parked(&sluice)), [&*a]);
    instance(&sluice, &["drop-parked", "example", &a], 0);
    run(&mut source, "INSERT INTO a VALUES (10, '')").await;
    let all = topics::read_at_least(&sluice.bootstrap(), &a, 6);
    assert_eq!(ids(&all), ["1", "2", "3", "4", "5", "10"]);
    assert!(sluice.said().contains("ITS CHANGES WERE DROPPED"));
    sluice.stop();
}

/// Killed at any moment, the table is parked as it was, or back with all of its rows.
#[tokio::test]
async fn a_retry_that_is_killed_publishes_all_or_nothing() {
    let Some(mysql) = mysql() else { return };
    let kills: u32 = asked::number_or("SLUICE_PARK_KILLS", 4);
    let mut random = Random::seeded("SLUICE_PARK_SEED");
    let database = "park_kill";
    let mut source = mysql.database(database).await;
    let mut sluice = example(mysql, database, &[]);
    let [a, b] = two_tables(&mut source, &mut sluice, database).await;
    let mut wanted = vec!["1".to_owned()];
    let mut next = 2;
    for round in 0..kills {
        limit(&sluice, &a, 4096);
        for _ in 0..40 {
            let length = [9000, 100, 400_000][random.place(3)];
            run(&mut source, &format!("INSERT INTO a VALUES ({next}, REPEAT('x', {length}))"))
                .await;
            wanted.push(next.to_string());
            next += 1;
        }
        run(&mut source, &format!("INSERT INTO a VALUES ({next}, REPEAT('x', 9000))")).await;
        wanted.push(next.to_string());
        next += 1;
        run(&mut source, &format!("INSERT INTO b VALUES ({next}, '')")).await;
        topics::read_at_least(&sluice.bootstrap(), &b, 2 + round as usize);
        let before = topics::read(&sluice.bootstrap(), &a).len();
        limit(&sluice, &a, 1 << 20);
        let pause = Duration::from_millis(random.below(1200));
        let mut retrying = std::process::Command::new(&sluice.binary)
            .args(["instance", "retry", "example", &a])
            .env("SLUICE_HOME", sluice.folder(""))
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(pause);
        sluice.kill();
        retrying.wait().unwrap();
        sluice.start();
        let after = topics::read(&sluice.bootstrap(), &a).len();
        let is_parked = !parked(&sluice).is_empty();
        say(&format!("killed after {pause:?}: parked {is_parked}, {before} records, then {after}"));
        if is_parked {
            assert_eq!(after, before, "nothing of it is visible");
            instance(&sluice, &["retry", "example", &a], 0);
        }
        let all = topics::read(&sluice.bootstrap(), &a);
        assert_eq!(ids(&all), wanted, "once and in order");
    }
    sluice.stop();
}

#[tokio::test]
async fn tables_come_back_one_by_one_from_a_transaction_larger_than_memory() {
    const ROUNDS: usize = 24;
    let Some(mysql) = mysql() else { return };
    let database = "park_many";
    let mut source = mysql.database(database).await;
    let mut sluice = example(mysql, database, &[]);
    run(&mut source, "CREATE TABLE c (id INT PRIMARY KEY, pad MEDIUMTEXT)").await;
    let [a, b] = two_tables(&mut source, &mut sluice, database).await;
    run(&mut source, "INSERT INTO c VALUES (1, '')").await;
    let c = format!("{database}.c");
    topics::read_at_least(&sluice.bootstrap(), &c, 1);
    limit(&sluice, &c, 4096);
    run(&mut source, "BEGIN").await;
    for id in 2..2 + ROUNDS {
        for table in ["a", "b", "c"] {
            run(&mut source, &format!("INSERT INTO {table} VALUES ({id}, REPEAT('x', 700000))"))
                .await;
        }
    }
    run(&mut source, "COMMIT").await;
    let others = topics::read_at_least(&sluice.bootstrap(), &b, 1 + ROUNDS);
    let last = others.last().unwrap();
    let ends = [("tx", format!("{}/end", ROUNDS - 1)), ("parked", (2 * ROUNDS).to_string())];
    for (name, value) in ends {
        assert_eq!(last.headers[name], value);
    }
    assert_eq!(names(&parked(&sluice)), [&*a, &*c]);
    for (name, parked_then) in [(&c, vec![a.clone()]), (&a, vec![])] {
        limit(&sluice, name, 1 << 20);
        instance(&sluice, &["retry", "example", name], 0);
        sluice.kill();
        sluice.start();
        assert_eq!(names(&parked(&sluice)), parked_then);
        let all = topics::read(&sluice.bootstrap(), name);
        let wanted: Vec<String> = (1..2 + ROUNDS).map(|id| id.to_string()).collect();
        assert_eq!(ids(&all), wanted);
        assert_eq!(all.last().unwrap().headers["tx"], format!("{}/end", ROUNDS - 1));
    }
    sluice.stop();
}

/// What is kept is nowhere else: it is not dropped by the way.
#[tokio::test]
async fn a_reset_drops_what_is_kept_of_parked_tables_only_if_it_is_told_to() {
    let Some(mysql) = mysql() else { return };
    let database = "park_reset";
    let mut source = mysql.database(database).await;
    let mut sluice = example(mysql, database, &[]);
    let [a, b] = two_tables(&mut source, &mut sluice, database).await;
    run(&mut source, "INSERT INTO a VALUES (2, REPEAT('x', 9000))").await;
    run(&mut source, "INSERT INTO a VALUES (3, '')").await;
    wait_for("both events", PATIENCE, || (parked(&sluice).first()?["events"] == 2).then_some(()));
    instance(&sluice, &["stop", "example"], 0);
    for running in [true, false] {
        if !running {
            sluice.stop();
        }
        let refused = sluice.command(&["position", "reset", "example"]);
        assert_ne!(refused.code, Some(0), "{}", refused.said);
        for words in [&*format!("{a} (2 events since "), "instance retry", "--drop-parked"] {
            assert!(refused.said.contains(words), "{words}: {}", refused.said);
        }
    }
    sluice.start();
    assert_eq!(names(&parked(&sluice)), [&*a], "it is as it was");
    instance(&sluice, &["stop", "example"], 0);
    let reset = sluice.command(&["position", "reset", "example", "--drop-parked"]);
    assert_eq!(reset.code, Some(0), "{}", reset.said);
    assert!(reset.said.contains(&format!("dropped: {a} (2 events since ")), "{}", reset.said);
    assert_eq!(parked(&sluice), [] as [Value; 0]);
    assert!(sluice.said().contains("WHAT IS KEPT OF A PARKED TABLE IS DROPPED"));
    instance(&sluice, &["start", "example"], 0);
    sluice.wait_until_ready();
    run(&mut source, "INSERT INTO a VALUES (4, '')").await;
    run(&mut source, "INSERT INTO b VALUES (4, '')").await;
    assert_eq!(ids(&topics::read_at_least(&sluice.bootstrap(), &b, 2)), ["1", "4"]);
    assert_eq!(ids(&topics::read_at_least(&sluice.bootstrap(), &a, 2)), ["1", "4"]);
    sluice.stop();
}

/// A retry waits for its server as long as it likes; whatever is asked of another instance is
/// answered meanwhile, and a stop of the instance itself breaks it off.
#[tokio::test]
async fn a_retry_that_hangs_keeps_no_command_waiting() {
    let Some(mysql) = mysql() else { return };
    let database = "park_hang";
    let mut source = mysql.database(database).await;
    let proxy = Proxy::to(mysql);
    let through = [
        ("canal.instance.master.address", &*proxy.address()),
        ("canal.instance.master.sslMode", "DISABLED"),
    ];
    let mut sluice = example(mysql, database, &through);
    sluice.instance("other", mysql, &[("canal.instance.filter.regex", r"park_hang\.none")]);
    let [a, _] = two_tables(&mut source, &mut sluice, database).await;
    run(&mut source, "INSERT INTO a VALUES (2, REPEAT('x', 9000))").await;
    wait_until_parked(&sluice, &[&a]);
    limit(&sluice, &a, 1 << 20);
    proxy.set(Fault::Silence);
    let retrying = std::process::Command::new(&sluice.binary)
        .args(["instance", "retry", "example", &a])
        .env("SLUICE_HOME", sluice.folder(""))
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    wait_for("the retry", PATIENCE, || {
        sluice
            .health()
            .filter(|(_, body)| body.contains(&format!("the kept changes of {a} are published")))
    });
    let begun = Instant::now();
    instance(&sluice, &["stop", "other"], 0);
    instance(&sluice, &["start", "other"], 0);
    instance(&sluice, &["stop", "example"], 0);
    assert!(begun.elapsed() < Duration::from_secs(5), "they took {:?}", begun.elapsed());
    let broken_off = retrying.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&broken_off.stderr).into_owned();
    assert!(!broken_off.status.success() && said.contains("broken off"), "{said}");
    assert_eq!(names(&parked(&sluice)), [&*a]);
    proxy.set(Fault::None);
    instance(&sluice, &["retry", "example", &a], 0);
    instance(&sluice, &["start", "example"], 0);
    run(&mut source, "INSERT INTO a VALUES (3, '')").await;
    let all = topics::read_at_least(&sluice.bootstrap(), &a, 3);
    assert_eq!(ids(&all), ["1", "2", "3"]);
    sluice.stop();
}

/// A row whose bytes are not as the table's definition says, as the server sends it twice.
const BROKEN: Fault = Fault::Alter { from: b"\x06MARKER", to: b"\xffMARKER" };

#[tokio::test]
async fn a_row_that_cannot_be_read_parks_its_table_and_is_read_again_from_the_source() {
    for server in [mysql(), mariadb()].into_iter().flatten() {
        let database = "park_unread";
        let mut source = server.database(database).await;
        let proxy = Proxy::to(server);
        let through = [
            ("canal.instance.master.address", &*proxy.address()),
            ("canal.instance.master.sslMode", "DISABLED"),
            ("canal.mq.partitionHash", r"park_unread\..*:$pk$"),
            ("canal.mq.partitionsNum", "3"),
        ];
        let mut sluice = example(server, database, &through);
        for table in ["a", "b"] {
            let sql = format!("CREATE TABLE {table} (id INT PRIMARY KEY, pad VARCHAR(20))");
            run(&mut source, &sql).await;
        }
        let [a, b] = ["a", "b"].map(|table| format!("{database}.{table}"));
        sluice.start();
        proxy.set(BROKEN);
        run(&mut source, "INSERT INTO a VALUES (1, 'x')").await;
        // A part of it could be read.
        run(&mut source, "INSERT INTO a VALUES (2, 'y'), (3, 'MARKER'), (4, 'z')").await;
        run(&mut source, "INSERT INTO b VALUES (1, 'x')").await;
        run(&mut source, "UPDATE a SET pad = 'MARKER' WHERE id = 4").await;
        assert_eq!(ids(&topics::read_at_least(&sluice.bootstrap(), &b, 1)), ["1"]);
        wait_for("both events", PATIENCE, || {
            (parked(&sluice).first()?["events"] == 2).then_some(())
        });
        let known = parked(&sluice);
        assert_eq!(names(&known), [&*a]);
        assert!(known[0]["reason"].as_str().unwrap().contains(&a), "{known:?}");
        let before = topics::read(&sluice.bootstrap(), &a);
        assert_eq!(before.len(), 1, "nothing of the event: {before:?}");
        let refused = instance(&sluice, &["retry", "example", &a], 1);
        assert!(refused.contains(&a) && refused.contains("binlog.0"), "{refused}");
        assert_eq!(names(&parked(&sluice)), [&*a]);
        proxy.set(Fault::None);
        instance(&sluice, &["retry", "example", &a], 0);
        run(&mut source, "INSERT INTO a VALUES (5, '')").await;
        wait_for("the last row", PATIENCE, || {
            let all = topics::read(&sluice.bootstrap(), &a);
            let mut found = ids(&all);
            found.sort_unstable();
            (found == ["1", "2", "3", "4", "4", "5"]).then_some(())
        });
        assert_eq!(parked(&sluice), [] as [Value; 0]);
        sluice.stop();
    }
}

#[tokio::test]
async fn a_row_that_cannot_be_read_stops_the_instance_at_it() {
    for server in [mysql(), mariadb()].into_iter().flatten() {
        let database = "park_unread_stop";
        let mut source = server.database(database).await;
        let proxy = Proxy::to(server);
        let mut sluice = Sluice::with_instance(
            "example",
            server,
            &[
                ("canal.instance.master.address", &*proxy.address()),
                ("canal.instance.master.sslMode", "DISABLED"),
                ("canal.instance.filter.regex", r"park_unread_stop\..*"),
            ],
        );
        run(&mut source, "CREATE TABLE a (id INT PRIMARY KEY, pad VARCHAR(20))").await;
        let a = format!("{database}.a");
        sluice.start();
        proxy.set(BROKEN);
        run(&mut source, "INSERT INTO a VALUES (1, 'x')").await;
        run(&mut source, "INSERT INTO a VALUES (2, 'MARKER'), (3, 'z')").await;
        run(&mut source, "INSERT INTO a VALUES (4, 'x')").await;
        let said = stopped(&sluice);
        assert!(said.contains(&a) && said.contains("binlog.0"), "{said}");
        assert_eq!(ids(&topics::read(&sluice.bootstrap(), &a)), ["1"]);
        proxy.set(Fault::None);
        instance(&sluice, &["start", "example"], 0);
        let all = topics::read_at_least(&sluice.bootstrap(), &a, 3);
        assert_eq!(ids(&all), ["1", "2", "3", "4"]);
        sluice.stop();
    }
}
