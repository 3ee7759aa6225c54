//! Two servers without GTIDs, of which one replicates from the other by turns: the heartbeat's rows
//! give the place on the other one, or nothing is read of it.
//!
//! `SLUICE_FAILOVER_TURNS` and `SLUICE_CRASH_SEED` are those of the servers with GTIDs.

use sqlx::Row as _;

use super::failover::{Writer, turns};
use super::{DATABASE, FILTER, judgement};
use crate::harness::program::stopped;
use crate::harness::replication::reads_from;
use crate::harness::servers::{private_mysql, private_mysql_56, run};
use crate::harness::{PATIENCE, Random, Server, Sluice, asked, say, wait_for};

const PLAIN: [&str; 2] = ["--gtid-mode=OFF", "--enforce-gtid-consistency=OFF"];

#[tokio::test(flavor = "multi_thread")]
async fn without_gtids_a_heartbeat_leads_forth_and_back() {
    let servers = [private_mysql(&PLAIN), private_mysql(&[PLAIN[0], PLAIN[1], "--server-id=11"])];
    let [Some(a), Some(b)] = servers else { return };
    by_turns([a, b], &Words::NEW).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_mysql_5_6_a_heartbeat_leads_forth_and_back() {
    let chained = "--log-slave-updates=1";
    let servers = [private_mysql_56(&[chained]), private_mysql_56(&[chained, "--server-id=11"])];
    let [Some(a), Some(b)] = servers else { return };
    by_turns([a, b], &Words::OLD).await;
}

/// Whoever replicates something else, or lacks the end, has no place that can be proved.
#[tokio::test(flavor = "multi_thread")]
async fn without_gtids_a_server_that_has_anything_else_is_refused() {
    let servers = [private_mysql(&PLAIN), private_mysql(&[PLAIN[0], PLAIN[1], "--server-id=11"])];
    let [Some(a), Some(b)] = servers else { return };
    let place = end_of(&b, &Words::NEW).await;
    replicate(&b, &a, &end_of(&a, &Words::NEW).await, &Words::NEW).await;
    prepare(&a);
    // One heartbeat at the begin of each connection, and no more.
    let mut sluice = instance(&a, &b, "3600");
    sluice.start();
    let mut load = Writer::new(2);
    load.commit_some(&a, 5).await;
    drained(&sluice, &load);
    caught_up(&b, &a, &Words::NEW).await;
    run(&mut b.connect().await, "CREATE DATABASE own").await;
    load.commit_some(&a, 5).await;
    drained(&sluice, &load);
    caught_up(&b, &a, &Words::NEW).await;
    a.kill();
    for word in ["its place there cannot be proved", "1 are of its own"] {
        wait_for(word, PATIENCE, || sluice.health().filter(|(_, body)| body.contains(word)));
    }
    a.start();
    load.commit_some(&a, 5).await;
    sluice.wait_until_ready();
    drained(&sluice, &load);

    // What it lacks is listed by its places.
    run(&mut b.connect().await, "STOP REPLICA; START REPLICA").await;
    caught_up(&b, &a, &Words::NEW).await;
    run(&mut b.connect().await, "STOP REPLICA").await;
    load.commit_some(&a, 2).await;
    drained(&sluice, &load);
    a.kill();
    let stopped = stopped(&sluice);
    for word in ["that end at binlog.0", "bin/sluice position set crash", "lacks transactions"] {
        assert!(stopped.contains(word), "{word} is not said: {stopped}");
    }
    assert!(!stopped.contains("accept-loss"), "{stopped}");
    a.start();
    run(&mut b.connect().await, "START REPLICA").await;
    assert_eq!(sluice.command(&["instance", "start", "crash"]).code, Some(0));
    load.commit_some(&a, 2).await;
    let published = drained(&sluice, &load);
    judgement::each_change_once_and_in_order(&load.committed(), &published);
    assert_ne!(place, end_of(&b, &Words::NEW).await, "it has replicated something");
    sluice.stop();
}

/// What sessions of the one log in another format than the other does is the same even so.
#[tokio::test(flavor = "multi_thread")]
async fn without_gtids_a_server_that_logs_otherwise_has_the_same_place() {
    let servers = [
        private_mysql(&[&PLAIN[..], &["--secure-file-priv="]].concat()),
        private_mysql(&[&PLAIN[..], &["--server-id=11", "--secure-file-priv="]].concat()),
    ];
    let [Some(a), Some(b)] = servers else { return };
    replicate(&b, &a, &end_of(&a, &Words::NEW).await, &Words::NEW).await;
    prepare(&a);
    let mut session = a.connect().await;
    run(
        &mut session,
        "CREATE DATABASE other; USE other; CREATE TABLE m (id INT, r DOUBLE, j JSON)",
    )
    .await;
    // One heartbeat at the begin of each connection, and no more.
    let mut sluice = instance(&a, &b, "3600");
    sluice.start();
    let mut load = Writer::new(3);
    load.commit_some(&a, 5).await;
    for statement in [
        "SET SESSION binlog_format = STATEMENT; INSERT INTO m VALUES (1, RAND(), '{}')",
        "SET @a = 7; INSERT INTO m (id) VALUES (@a)",
        "SELECT 3, 4, '[]' INTO OUTFILE 'otherwise.txt'; \
         LOAD DATA INFILE 'otherwise.txt' INTO TABLE m",
        "SET SESSION binlog_format = ROW, binlog_row_image = MINIMAL; UPDATE m SET r = 2",
        "SET SESSION binlog_row_value_options = PARTIAL_JSON; UPDATE m SET j = JSON_SET(j, '$.a', 1)",
        "SET SESSION binlog_transaction_compression = ON; INSERT INTO m (id) VALUES (8), (9)",
        "XA START 'x'; INSERT INTO m (id) VALUES (10); XA END 'x'; XA PREPARE 'x'; XA COMMIT 'x'",
        "DELETE FROM m",
    ] {
        run(&mut session, statement).await;
    }
    load.commit_some(&a, 5).await;
    drained(&sluice, &load);
    caught_up(&b, &a, &Words::NEW).await;
    a.kill();
    run(&mut b.connect().await, "STOP REPLICA; RESET REPLICA ALL").await;
    reads_from(&sluice, &b).await;
    load.commit_some(&b, 5).await;
    sluice.wait_until_ready();
    let published = drained(&sluice, &load);
    judgement::each_change_once_and_in_order(&load.committed(), &published);
    sluice.stop();
}

/// How a server of that age is spoken to.
struct Words {
    change: &'static str,
    key: &'static str,
    replica: &'static str,
    status: &'static str,
    wait: &'static str,
}

impl Words {
    const NEW: Self = Self {
        change: "CHANGE REPLICATION SOURCE TO SOURCE",
        key: ", GET_SOURCE_PUBLIC_KEY = 1",
        replica: "REPLICA",
        status: "SHOW BINARY LOG STATUS",
        wait: "SOURCE_POS_WAIT",
    };
    const OLD: Self = Self {
        change: "CHANGE MASTER TO MASTER",
        key: "",
        replica: "SLAVE",
        status: "SHOW MASTER STATUS",
        wait: "MASTER_POS_WAIT",
    };
}

async fn by_turns(servers: [Server; 2], words: &Words) {
    let seed = asked::seed("SLUICE_CRASH_SEED");
    let turns = turns();
    let mut random = Random::new(seed);
    let [a, b] = &servers;
    replicate(b, a, &end_of(a, words).await, words).await;
    prepare(a);
    let mut sluice = instance(a, b, "1");
    sluice.start();
    let mut load = Writer::new(seed);
    for turn in 0..usize::try_from(turns).unwrap() {
        let (primary, other) = (&servers[turn % 2], &servers[(turn + 1) % 2]);
        let burst = 20 + random.below(60);
        for _ in 0..=random.below(2) {
            load.commit_some(primary, burst).await;
            sluice.kill();
            sluice.launch();
        }
        load.commit_some(primary, burst).await;
        sluice.wait_until_ready();
        drained(&sluice, &load);
        // Without this the last heartbeat may be lost with it, and is missed, rightly.
        run(&mut primary.connect().await, "SET GLOBAL read_only = 1").await;
        caught_up(other, primary, words).await;
        let place = end_of(other, words).await;
        primary.kill();
        if random.below(2) == 0 {
            sluice.kill();
            sluice.launch();
        }
        let replica = words.replica;
        run(&mut other.connect().await, &format!("STOP {replica}; RESET {replica} ALL")).await;
        reads_from(&sluice, other).await;
        primary.start();
        replicate(primary, other, &place, words).await;
    }
    load.commit_some(&servers[usize::try_from(turns).unwrap() % 2], 20).await;
    sluice.wait_until_ready();
    let published = drained(&sluice, &load);
    say(&format!("{} transactions", load.committed().transactions()));
    judgement::each_change_once_and_in_order(&load.committed(), &published);
    sluice.stop();
}

fn drained(sluice: &Sluice, load: &Writer) -> judgement::Published {
    judgement::drained(&sluice.bootstrap(), &load.committed())
}

fn instance(a: &Server, b: &Server, interval: &str) -> Sluice {
    let standby = format!("{}:{}", b.host, b.port);
    let properties = [
        FILTER,
        ("canal.instance.standby.address", &*standby),
        ("canal.instance.detecting.retry.threshold", "1"),
        ("canal.instance.detecting.enable", "true"),
        ("canal.instance.detecting.interval.time", interval),
        (
            "canal.instance.detecting.sql",
            "insert into retl.xdual values(1,now()) on duplicate key update x=now()",
        ),
    ];
    Sluice::with_instance("crash", a, &properties)
}

fn prepare(server: &Server) {
    super::load::prepare(server);
    let script = "CREATE DATABASE retl; CREATE TABLE retl.xdual (id INT PRIMARY KEY, x DATETIME);
                  GRANT INSERT, UPDATE ON retl.* TO canal@'%';";
    server.mysql_client("", script);
}

async fn row(server: &Server, sql: &str) -> sqlx::mysql::MySqlRow {
    let sql = sqlx::AssertSqlSafe(sql.to_owned());
    sqlx::raw_sql(sql).fetch_one(&mut server.connect().await).await.unwrap()
}

/// File and offset.
async fn end_of(server: &Server, words: &Words) -> (String, u64) {
    let row = row(server, words.status).await;
    (row.get(0), row.get(1))
}

async fn replicate(replica: &Server, of: &Server, place: &(String, u64), words: &Words) {
    let prefix = words.change.rsplit(' ').next().unwrap();
    let (file, offset) = place;
    let Words { change, key, replica: word, .. } = words;
    let port = of.port;
    let sql = format!(
        "{change}_HOST = '127.0.0.1', {prefix}_PORT = {port}, {prefix}_USER = 'canal',
         {prefix}_PASSWORD = 'canal', {prefix}_LOG_FILE = '{file}',
         {prefix}_LOG_POS = {offset}{key}; START {word}"
    );
    run(&mut replica.connect().await, &sql).await;
}

/// Waits until `replica` has executed what `of` has.
async fn caught_up(replica: &Server, of: &Server, words: &Words) {
    let (file, offset) = end_of(of, words).await;
    let wait = words.wait;
    let asked = format!("SELECT CAST({wait}('{file}', {offset}, 60) AS SIGNED)");
    let waited: Option<i64> = row(replica, &asked).await.get(0);
    assert!(waited.is_some_and(|events| events >= 0), "{DATABASE}: {waited:?}");
}
