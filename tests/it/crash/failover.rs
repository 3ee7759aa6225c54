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

use super::judgement::{self, Published, Tx, topic};
use super::load::{Change, Committed};
use super::{DATABASE, FILTER};
use crate::harness::program::stopped;
use crate::harness::replication::{caught_up, promote, reads_from, replicate};
use crate::harness::servers::{private_mariadb, private_mysql, run};
use crate::harness::{PATIENCE, Random, Server, Sluice, asked, say, topics, wait_for};

const KEYS: u64 = super::load::KEYS;
const TABLES: [&str; 3] = super::load::TABLES;

#[tokio::test(flavor = "multi_thread")]
async fn between_two_mysql_servers_each_change_is_published_once_and_a_loss_is_listed() {
    let servers = [private_mysql(&[]), private_mysql(&["--server-id=11"])];
    let [Some(a), Some(b)] = servers else { return };
    by_turns([a, b], Loss::Accepted, turns()).await;
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
    Accepted,
    Unattended,
}

pub(super) fn turns() -> u64 {
    asked::number_or("SLUICE_FAILOVER_TURNS", 3)
}

/// Without GTIDs nothing gives the place on another server: it is said, nothing of it is read,
/// and the first server is read again.
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
    wait_for("the refusal", PATIENCE, || sluice.health().filter(|(_, body)| body.contains(word)));
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
    let seed = asked::seed("SLUICE_CRASH_SEED");
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
        if loss == Loss::Accepted && turn == 0 {
            accept(&sluice, other, &lost);
        }
        reads_from(&sluice, other).await;
        primary.start();
        replicate(primary, other).await;
    }
    if !lost.is_empty() {
        the_loss_is_announced(&sluice, &lost);
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
    let records = wait_for("the end to be published", PATIENCE, || {
        let records = topics::read(&sluice.bootstrap(), &topic("ledger"));
        let of_loser =
            |record: &&crate::harness::Record| record.json()["data"][0]["worker"] == loser;
        let found: Vec<_> = records.iter().filter(of_loser).cloned().collect();
        (found.len() == lost.len()).then_some(found)
    });
    let gtids = records.into_iter().map(|record| record.headers["gtid"].clone());
    gtids.zip(lost).collect()
}

/// Once, in the one topic that has messages of it, as a statement that is a comment.
fn the_loss_is_announced(sluice: &Sluice, lost: &[(String, Change)]) {
    for table in judgement::tables() {
        let records = topics::read(&sluice.bootstrap(), &topic(table));
        let notices: Vec<_> =
            records.iter().filter(|record| record.headers.contains_key("lost")).collect();
        assert_eq!(notices.len(), usize::from(table == "ledger"), "{table}");
        for notice in notices {
            let json = notice.json();
            let (first, _) = &lost[0];
            assert!(notice.headers["lost"].contains(first), "{:?}", notice.headers);
            assert_eq!((&json["type"], &json["isDdl"]), (&"QUERY".into(), &false.into()));
            assert!(json["sql"].as_str().unwrap().contains(first), "{json}");
        }
    }
}

/// The instance stops and names what is lost; it goes on without it when it is told to.
fn accept(sluice: &Sluice, other: &Server, lost: &[(String, Change)]) {
    let address = format!("{}:{}", other.host, other.port);
    let health = stopped(sluice);
    let (first, last) = (&lost[0].0, lost[lost.len() - 1].0.rsplit(':').next().unwrap());
    let range = format!("{first}-{last}");
    let advice = format!("bin/sluice position accept-loss crash --server {address}");
    for word in [&range, &advice] {
        assert!(health.contains(word), "{word} is not said: {health}");
    }
    let accepted = sluice.command(&["position", "accept-loss", "crash", "--server", &address]);
    assert_eq!(accepted.code, Some(0), "{}", accepted.said);
    for word in ["lost: ", &range] {
        assert!(accepted.said.contains(word), "{word} is not said: {}", accepted.said);
    }
    let started = sluice.command(&["instance", "start", "crash"]);
    assert_eq!(started.code, Some(0), "{}", started.said);
}

/// A worker that commits on whichever server is named to it.
pub(super) struct Writer {
    random: Random,
    number: u64,
    marks: BTreeMap<(usize, u64), String>,
    committed: Vec<Vec<Change>>,
}

impl Writer {
    pub(super) fn new(seed: u64) -> Self {
        let (marks, committed) = (BTreeMap::new(), Vec::new());
        Self { random: Random::new(seed), number: 0, marks, committed }
    }

    pub(super) fn committed(&self) -> Committed {
        let workers = BTreeMap::from([(0, self.committed.clone())]);
        Committed { workers, ddl: Vec::new() }
    }

    pub(super) async fn commit_some(&mut self, server: &Server, count: u64) {
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

/// A standby that was written to is reported before it is failed over to; what was written is
/// published then, once.
#[tokio::test(flavor = "multi_thread")]
async fn errant_transactions_of_a_standby_are_reported_and_published_when_it_is_failed_over_to() {
    let servers = [private_mysql(&[]), private_mysql(&["--server-id=11"])];
    let [Some(a), Some(b)] = servers else { return };
    errant([&a, &b], "").await;
    let chained = "--log-slave-updates=1";
    let servers = [private_mariadb(&[chained]), private_mariadb(&[chained, "--server-id=12"])];
    let [Some(a), Some(b)] = servers else { return };
    // In one domain, with strict mode, it would keep the standby from replicating any further.
    errant([&a, &b], "SET gtid_domain_id = 7;").await;
}

async fn errant([a, b]: [&Server; 2], before: &str) {
    super::load::prepare(a);
    replicate(b, a).await;
    caught_up(b, a).await;
    let mut load = Writer::new(3);
    load.commit_some(a, 5).await;
    caught_up(b, a).await;
    let sql = format!("{before} INSERT INTO {DATABASE}.ledger VALUES ({LOSER}, 1)");
    run(&mut b.connect().await, &sql).await;
    let mut sluice = instance(a, b, "stop");
    sluice.start();
    load.commit_some(a, 5).await;
    judgement::drained(&sluice.bootstrap(), &Committed { workers: [].into(), ddl: Vec::new() });
    let address = format!("{}:{}", b.host, b.port);
    let reported = format!(r#""errant":{{"{address}":""#);
    wait_for("the errant transaction in /health", PATIENCE, || {
        sluice.health().filter(|(_, body)| body.contains(&reported))
    });
    for command in [["check"].as_slice(), &["health"]] {
        let said = sluice.command(command).said;
        assert!(said.contains("ERRANT TRANSACTIONS") && said.contains(&address), "{said}");
    }
    assert!(sluice.said().contains("ERRANT TRANSACTIONS"), "{}", sluice.said());
    caught_up(b, a).await;
    a.kill();
    promote(b).await;
    reads_from(&sluice, b).await;
    let loser = LOSER.to_string();
    wait_for("what the standby wrote", PATIENCE, || {
        let records = topics::read(&sluice.bootstrap(), &topic("ledger"));
        let of_loser =
            |record: &&crate::harness::Record| record.json()["data"][0]["worker"] == loser;
        (records.iter().filter(of_loser).count() == 1).then_some(())
    });
    sluice.stop();
    let said = sluice.said();
    assert!(said.contains("transactions of its own that were not published"), "{said}");
}

/// A server that lost its end in a crash, and comes back first: what was published of it is on the
/// other one, which is read, be it asked by offset or by GTID.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_lost_its_end_is_not_read_again_after_a_restart() {
    let servers = [private_mysql(&[]), private_mysql(&["--server-id=11"])];
    let [Some(a), Some(b)] = servers else { return };
    super::load::prepare(&a);
    replicate(&b, &a).await;
    let mut sluice = instance(&a, &b, "stop");
    sluice.start();
    let mut load = Writer::new(4);
    load.commit_some(&a, 5).await;
    caught_up(&b, &a).await;
    run(&mut b.connect().await, "STOP REPLICA").await;
    a.stop();
    a.keep_data();
    a.start();
    run(&mut b.connect().await, "START REPLICA").await;
    load.commit_some(&a, 10).await;
    judgement::drained(&sluice.bootstrap(), &load.committed());
    caught_up(&b, &a).await;
    sluice.kill();
    a.kill();
    promote(&b).await;
    if !a.lose_data() {
        say("NOT RUN: a container keeps its data");
        return;
    }
    a.start();
    for gtidon in ["false", "true"] {
        let standby = format!("{}:{}", b.host, b.port);
        let properties = [
            FILTER,
            ("canal.instance.standby.address", &*standby),
            ("canal.instance.gtidon", gtidon),
        ];
        sluice.instance("crash", &a, &properties);
        sluice.launch();
        load.commit_some(&b, 5).await;
        reads_from(&sluice, &b).await;
        let published = judgement::drained(&sluice.bootstrap(), &load.committed());
        judgement::each_change_once_and_in_order(&load.committed(), &published);
        sluice.stop();
    }
}

/// With semi-synchronous replication a transaction is in the binlog, and published, while its
/// session still waits for a replica: it is not executed yet, and not lost either.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_waits_for_a_replica_does_not_count_as_lost() {
    let Some(server) = private_mysql(&[]) else { return };
    super::load::prepare(&server);
    let mut admin = server.connect().await;
    run(&mut admin, "INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so'").await;
    run(&mut admin, "SET GLOBAL rpl_semi_sync_source_timeout = 600000").await;
    let properties = [FILTER, ("canal.instance.gtidon", "true")];
    let mut sluice = Sluice::with_instance("crash", &server, &properties);
    sluice.start();
    run(&mut admin, "SET GLOBAL rpl_semi_sync_source_enabled = ON").await;
    let mut waiting = server.connect().await;
    let commit = tokio::spawn(async move {
        run(&mut waiting, &format!("INSERT INTO {DATABASE}.ledger VALUES ({LOSER}, 1)")).await;
    });
    topics::read_at_least(&sluice.bootstrap(), &topic("ledger"), 1);
    sluice.kill();
    sluice.start();
    // As long as three rounds of looking take.
    tokio::time::sleep(Duration::from_secs(15)).await;
    let (_, health) = sluice.health().unwrap();
    assert!(health.contains(r#""state":"running""#), "{health}");
    assert!(!commit.is_finished(), "the commit waits for nobody");
    run(&mut admin, "SET GLOBAL rpl_semi_sync_source_enabled = OFF").await;
    commit.await.unwrap();
    run(&mut admin, &format!("INSERT INTO {DATABASE}.ledger VALUES ({LOSER}, 2)")).await;
    let records = topics::read_at_least(&sluice.bootstrap(), &topic("ledger"), 2);
    let numbers: Vec<_> =
        records.iter().map(|record| record.json()["data"][0]["number"].clone()).collect();
    assert_eq!(numbers, ["1", "2"]);
    sluice.stop();
}
