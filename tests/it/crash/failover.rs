//! Two servers that replicate from each other by turns: the source moves between them, and each
//! change is published once and in order, whichever it came from.
//!
//! In each turn transactions are committed on the one server, sluice is killed meanwhile, and
//! then that server is killed and the other one takes over. In one turn the other one lacks the
//! end: nothing is read of it until somebody accepts the loss.
//!
//! The short form has three turns; `SLUICE_FAILOVER_TURNS=10` is the long one. The seed is printed;
//! `SLUICE_CRASH_SEED` repeats the random choices.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sqlx::{MySqlConnection, Row as _};

use super::judgement::{self, Published, Tx, topic};
use super::load::{Change, Committed};
use super::{DATABASE, FILTER};
use crate::harness::servers::{Flavor, private_mariadb, private_mysql, run};
use crate::harness::{Random, Server, Sluice, say, topics, wait_for};

const KEYS: u64 = super::load::KEYS;
const TABLES: [&str; 3] = super::load::TABLES;
const LONG: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread")]
async fn between_two_mysql_servers_each_change_is_published_once_and_a_loss_is_listed() {
    let servers = [private_mysql(&[]), private_mysql(&["--server-id=11"])];
    let [Some(a), Some(b)] = servers else { return };
    by_turns([a, b], Loss::Told, turns()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn between_two_mariadb_servers_each_change_is_published_once() {
    let chained = "--log-slave-updates=1";
    let servers = [private_mariadb(&[chained]), private_mariadb(&[chained, "--server-id=12"])];
    let [Some(a), Some(b)] = servers else { return };
    by_turns([a, b], Loss::None, turns()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loss_is_accepted_unattended_where_the_settings_say_so() {
    let servers = [private_mysql(&[]), private_mysql(&["--server-id=11"])];
    let [Some(a), Some(b)] = servers else { return };
    by_turns([a, b], Loss::Unattended, 1).await;
}

/// What becomes of a loss in the first turn.
#[derive(Clone, Copy, PartialEq)]
enum Loss {
    None,
    Told,
    Unattended,
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

fn turns() -> u64 {
    number("SLUICE_FAILOVER_TURNS").unwrap_or(3)
}

/// Without GTIDs nothing tells the place on another server: it is said, nothing of it is read,
/// and the first server is gone back to.
#[tokio::test(flavor = "multi_thread")]
async fn without_gtids_a_standby_is_refused_in_words() {
    let plain = ["--gtid-mode=OFF", "--enforce-gtid-consistency=OFF"];
    let servers = [private_mysql(&plain), private_mysql(&[plain[0], plain[1], "--server-id=11"])];
    let [Some(a), Some(b)] = servers else { return };
    let mut load = Writer::new(1);
    for server in [&a, &b] {
        super::load::prepare(server);
    }
    let mut sluice = instance(&a, &b, "stop");
    sluice.start();
    load.commit_some(&a, 3).await;
    judgement::drained(&sluice.bootstrap(), &load.committed());
    a.kill();
    let word = "there is no GTID set to find the place by";
    wait_for("the refusal", LONG, || sluice.health().filter(|(_, body)| body.contains(word)));
    // It is no part of the history of the first.
    Writer::new(1).commit_some(&b, 3).await;
    a.start();
    load.commit_some(&a, 3).await;
    sluice.wait_until_ready();
    let published = judgement::drained(&sluice.bootstrap(), &load.committed());
    judgement::each_change_once_and_in_order(&load.committed(), &published);
    sluice.stop();
}

fn instance(a: &Server, b: &Server, lost: &str) -> Sluice {
    let standby = format!("{}:{}", b.host, b.port);
    let properties = [
        FILTER,
        ("canal.instance.standby.address", &*standby),
        ("canal.instance.detecting.retry.threshold", "1"),
        ("sluice.failover.lost", lost),
    ];
    Sluice::with_instance("crash", a, &properties)
}

async fn by_turns(servers: [Server; 2], loss: Loss, turns: u64) {
    let seed = number("SLUICE_CRASH_SEED").unwrap_or_else(Random::any_seed);
    say(&format!("seed {seed}, {turns} turns"));
    let mut random = Random::new(seed);
    let [a, b] = &servers;
    super::load::prepare(a);
    replicate(b, a).await;
    let mut sluice = instance(a, b, if loss == Loss::Unattended { "accept" } else { "stop" });
    sluice.start();
    let mut load = Writer::new(seed);
    let mut lost = Vec::new();
    for turn in 0..usize::try_from(turns).unwrap() {
        let (primary, other) = (&servers[turn % 2], &servers[(turn + 1) % 2]);
        let (kills, burst) = (1 + random.below(2), 20 + random.below(60));
        for _ in 0..kills {
            load.commit_some(primary, burst).await;
            if random.below(4) > 0 {
                sluice.kill();
            } else {
                // Before that it does not hear the signal.
                sluice.wait_until_ready();
                sluice.stop();
            }
            sluice.launch();
        }
        load.commit_some(primary, burst).await;
        caught_up(other, primary).await;
        if loss != Loss::None && turn == 0 {
            lost = lose_the_end(&mut sluice, primary, other).await;
        }
        if random.below(3) == 0 {
            sluice.kill();
            primary.kill();
            sluice.launch();
        } else {
            primary.kill();
        }
        promote(other).await;
        if loss == Loss::Told && turn == 0 {
            accept(&sluice, other, &lost);
        }
        reads_from(&sluice, other).await;
        primary.start();
        replicate(primary, other).await;
    }
    load.commit_some(&servers[usize::try_from(turns).unwrap() % 2], 20).await;
    let mut committed = load.committed();
    committed.workers.insert(LOSER, lost.into_iter().map(|(_, change)| vec![change]).collect());
    let published = judgement::drained(&sluice.bootstrap(), &committed);
    say(&format!("{} transactions", committed.transactions()));
    judgement::each_change_once_and_in_order(&committed, &published);
    each_transaction_is_whole(&published);
    sluice.stop();
}

/// What the load does not do: transactions of a worker of their own, which one server has only.
const LOSER: u64 = 9;

/// Commits on `primary` what never comes to `other`, and waits until it is published; its GTIDs.
async fn lose_the_end(
    sluice: &mut Sluice,
    primary: &Server,
    other: &Server,
) -> Vec<(String, Change)> {
    run(&mut other.connect().await, "STOP REPLICA").await;
    let mut source = primary.connect().await;
    let mut lost = Vec::new();
    for number in 1..=2 {
        run(&mut source, &format!("INSERT INTO {DATABASE}.ledger VALUES ({LOSER}, {number})"))
            .await;
        let change = Change {
            table: "ledger".to_owned(),
            kind: "INSERT",
            id: number,
            mark: format!("{LOSER}-{number}"),
        };
        lost.push(change);
    }
    sluice.wait_until_ready();
    let loser = LOSER.to_string();
    let records = wait_for("the end to be published", LONG, || {
        let records = topics::read(&sluice.bootstrap(), &topic("ledger"));
        let of_loser =
            |record: &&crate::harness::Record| record.json()["data"][0]["worker"] == loser;
        let found: Vec<_> = records.iter().filter(of_loser).cloned().collect();
        (found.len() == lost.len()).then_some(found)
    });
    let gtids = records.into_iter().map(|record| record.headers["gtid"].clone());
    gtids.zip(lost).collect()
}

/// The instance stops and names what is lost; it goes on without it when it is told to.
fn accept(sluice: &Sluice, other: &Server, lost: &[(String, Change)]) {
    let address = format!("{}:{}", other.host, other.port);
    let health = wait_for("the stop", LONG, || {
        sluice.health().filter(|(_, body)| body.contains(r#""state":"stopped""#))
    });
    let (first, last) = (&lost[0].0, lost[lost.len() - 1].0.rsplit(':').next().unwrap());
    let range = format!("{first}-{last}");
    let advice = format!("bin/sluice position accept-loss crash --server {address}");
    for word in [&range, &advice] {
        assert!(health.1.contains(word), "{word} is not said: {}", health.1);
    }
    let accepted = sluice.command(&["position", "accept-loss", "crash", "--server", &address]);
    assert_eq!(accepted.code, Some(0), "{}", accepted.said);
    for word in ["lost: ", &range] {
        assert!(accepted.said.contains(word), "{word} is not said: {}", accepted.said);
    }
    let started = sluice.command(&["instance", "start", "crash"]);
    assert_eq!(started.code, Some(0), "{}", started.said);
}

/// Until the position is that server's.
async fn reads_from(sluice: &Sluice, server: &Server) {
    let mut connection = server.connect().await;
    let name = match server.flavor {
        Flavor::MySql => "SELECT @@server_uuid",
        Flavor::MariaDb => "SELECT CONCAT('server-id:', @@server_id)",
    };
    let row = sqlx::raw_sql(name).fetch_one(&mut connection).await.unwrap();
    let word = format!(r#""server_uuid":"{}""#, row.get::<String, _>(0));
    // Something to read, and to be committed behind.
    run(&mut connection, "CREATE DATABASE IF NOT EXISTS turn; DROP DATABASE turn").await;
    wait_for("the other server to be read", LONG, || {
        sluice.health().filter(|(_, body)| {
            assert!(!body.contains(r#""state":"stopped""#), "stopped: {body}");
            body.contains(&word)
        })
    });
}

async fn replicate(replica: &Server, of: &Server) {
    let mut connection = replica.connect().await;
    let port = of.port;
    let sql = match replica.flavor {
        Flavor::MySql => format!(
            "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = {port},
             SOURCE_USER = 'canal', SOURCE_PASSWORD = 'canal', GET_SOURCE_PUBLIC_KEY = 1,
             SOURCE_AUTO_POSITION = 1; START REPLICA"
        ),
        Flavor::MariaDb => format!(
            "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {port},
             MASTER_USER = 'canal', MASTER_PASSWORD = 'canal', MASTER_USE_GTID = current_pos;
             START SLAVE"
        ),
    };
    run(&mut connection, &sql).await;
}

/// Waits until `replica` has executed what `of` has.
async fn caught_up(replica: &Server, of: &Server) {
    let ask = async |server: &Server, sql: &str| -> String {
        let mut connection: MySqlConnection = server.connect().await;
        let sql = sqlx::AssertSqlSafe(sql.to_owned());
        sqlx::raw_sql(sql).fetch_one(&mut connection).await.unwrap().get(0)
    };
    let (set, wait) = match of.flavor {
        Flavor::MySql => {
            let set = ask(of, "SELECT @@GLOBAL.gtid_executed").await.replace('\n', "");
            (set.clone(), format!("SELECT CAST(WAIT_FOR_EXECUTED_GTID_SET('{set}', 60) AS CHAR)"))
        }
        Flavor::MariaDb => {
            let set = ask(of, "SELECT @@GLOBAL.gtid_binlog_pos").await;
            (set.clone(), format!("SELECT CAST(MASTER_GTID_WAIT('{set}', 60) AS CHAR)"))
        }
    };
    assert_eq!(ask(replica, &wait).await, "0", "{set} does not come to the replica");
}

async fn promote(server: &Server) {
    let sql = match server.flavor {
        Flavor::MySql => "STOP REPLICA; RESET REPLICA ALL",
        Flavor::MariaDb => "STOP SLAVE; RESET SLAVE ALL",
    };
    run(&mut server.connect().await, sql).await;
}

/// A worker that commits on whichever server it is told.
struct Writer {
    random: Random,
    number: u64,
    marks: BTreeMap<(usize, u64), String>,
    committed: Vec<Vec<Change>>,
}

impl Writer {
    fn new(seed: u64) -> Self {
        let (marks, committed) = (BTreeMap::new(), Vec::new());
        Self { random: Random::new(seed), number: 0, marks, committed }
    }

    fn committed(&self) -> Committed {
        let workers = BTreeMap::from([(0, self.committed.clone())]);
        Committed { workers, ddl: Vec::new() }
    }

    async fn commit_some(&mut self, server: &Server, count: u64) {
        let mut connection = server.connect().await;
        run(&mut connection, &format!("USE {DATABASE}")).await;
        for _ in 0..count {
            let (script, changes) = self.transaction();
            run(&mut connection, &script).await;
            self.committed.push(changes);
        }
    }

    /// Statements, and what they change: INSERTs, UPDATEs and DELETEs of a few rows.
    fn transaction(&mut self) -> (String, Vec<Change>) {
        self.number += 1;
        let number = self.number;
        let mut script = format!("BEGIN; INSERT INTO ledger VALUES (0, {number});");
        let change =
            |table: &str, kind, id, mark| Change { table: table.to_owned(), kind, id, mark };
        let mut changes = vec![change("ledger", "INSERT", number, format!("0-{number}"))];
        for step in 0..self.random.below(5) {
            let at = usize::try_from(self.random.below(3)).unwrap();
            let (id, table, now) =
                (self.random.below(KEYS), TABLES[at], format!("0-{number}-{step}"));
            let (sql, kind, mark) = match self.marks.remove(&(at, id)) {
                None => (
                    format!("INSERT INTO {table} (id, mark) VALUES ({id}, '{now}');"),
                    "INSERT",
                    now,
                ),
                Some(_) if self.random.below(3) > 0 => {
                    (format!("UPDATE {table} SET mark = '{now}' WHERE id = {id};"), "UPDATE", now)
                }
                Some(before) => (format!("DELETE FROM {table} WHERE id = {id};"), "DELETE", before),
            };
            script.push_str(&sql);
            if kind != "DELETE" {
                self.marks.insert((at, id), mark.clone());
            }
            changes.push(change(table, kind, id, mark));
        }
        script.push_str(" COMMIT");
        (script, changes)
    }
}

/// The `tx` headers of each transaction count without holes over all topics.
fn each_transaction_is_whole(published: &Published) {
    let mut transactions: BTreeMap<&str, BTreeSet<Tx>> = BTreeMap::new();
    for record in published.values().flatten() {
        let tx = Tx::parse(&record.headers["tx"]);
        let seen = transactions.entry(&record.headers["gtid"]).or_default();
        assert!(seen.insert(tx), "two records with tx {tx} of {}", record.headers["gtid"]);
    }
    for (gtid, seen) in transactions {
        assert!(Tx::are_whole(&seen), "the tx headers of {gtid}: {seen:?}");
    }
}
