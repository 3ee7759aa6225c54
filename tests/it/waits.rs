//! What waits for the server does not wait for ever, whatever the network does meanwhile.

use std::time::{Duration, Instant};

use sqlx::{MySqlConnection, Row as _};

use crate::harness::proxy::{Fault, How, Proxy};
use crate::harness::servers::{mariadb, mysql, private_mysql, run, try_run};
use crate::harness::{PATIENCE, Random, Record, Server, Sluice, asked, say, topics, wait_for};

/// One instance of each of many proxies, in one process: what each waits for, all wait for at once.
/// Each stops another answer, somewhere between the first greeting and the last statement of what
/// an instance without faults asks in a life with a start, a change of a table and a lost
/// connection.
#[tokio::test]
async fn whatever_answer_stops_the_instance_goes_on_by_itself_on_mysql() {
    if let Some(server) = mysql() {
        whatever_answer_stops(server).await;
    }
}

#[tokio::test]
async fn whatever_answer_stops_the_instance_goes_on_by_itself_on_mariadb() {
    if let Some(server) = mariadb() {
        whatever_answer_stops(server).await;
    }
}

async fn whatever_answer_stops(server: &Server) {
    const HOW: [How; 3] = [How::Silence, How::Half, How::Cut];
    let moments: usize = asked::number_or("SLUICE_STALLS", 4);
    let mut source = server.database("stalls").await;
    run(&mut source, "CREATE TABLE t (id INT PRIMARY KEY, v INT)").await;
    // An account of its own, whose connections are killed.
    run(&mut source, "CREATE USER IF NOT EXISTS stalls@'%' IDENTIFIED BY 'stalls'").await;
    run(&mut source, "GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO stalls@'%'")
        .await;
    let mut random = Random::seeded("SLUICE_STALLS_SEED");
    let mut sluice = Sluice::new();
    // The first shows how many there are.
    let proxies: Vec<Proxy> = (0..=moments).map(|_| Proxy::to(server)).collect();
    for (number, proxy) in proxies.iter().enumerate() {
        sluice.instance(
            &format!("stall{number}"),
            server,
            &[
                ("canal.instance.master.address", &*proxy.address()),
                ("canal.instance.master.sslMode", "DISABLED"),
                ("canal.instance.dbUsername", "stalls"),
                ("canal.instance.dbPassword", "stalls"),
                ("canal.instance.filter.regex", r"stalls\.t"),
                ("canal.mq.topic", &*format!("stall-{number}")),
            ],
        );
    }
    // All their folders are there: a scan would start those that are not to run.
    sluice.canal("canal.auto.scan", "false");
    sluice.canal("canal.destinations", "stall0");
    sluice.start();
    let begun = proxies[0].asked();
    sluice.stop();
    // Those of a start, and as many again behind it.
    for (number, proxy) in proxies.iter().enumerate().skip(1) {
        let behind = (2 * begun * (number - 1) + random.place(2 * begun)) / moments;
        proxy.set(Fault::Stop { behind, how: HOW[number % HOW.len()] });
    }
    let names = (1..=moments).map(|number| format!("stall{number}")).collect::<Vec<_>>();
    sluice.canal("canal.destinations", &names.join(","));
    let started = Instant::now();
    sluice.launch();
    let all_run = |sluice: &Sluice| {
        wait_for("all to run", PATIENCE, || {
            let (_, body) = sluice.health()?;
            let health: serde_json::Value = serde_json::from_str(&body).ok()?;
            let all = health["instances"].as_array()?;
            assert!(all.iter().all(|one| one["state"] != "stopped"), "{body}");
            // None is there before the log is recovered.
            let running = all.iter().filter(|one| one["state"] == "running").count();
            (running == moments).then_some(())
        });
    };
    all_run(&sluice);
    let running = started.elapsed();
    for round in 0..3 {
        run(&mut source, &format!("INSERT INTO t (id, v) VALUES ({round}, 1)")).await;
        run(&mut source, &format!("ALTER TABLE t ADD COLUMN c{round} INT")).await;
        run(&mut source, &format!("UPDATE t SET v = 2 WHERE id = {round}")).await;
        kill_connections(&mut source).await;
        all_run(&sluice);
    }
    for number in 1..=moments {
        let topic = format!("stall-{number}");
        let kinds = wait_for("all that was done", PATIENCE, || {
            let records = topics::read(&sluice.bootstrap(), &topic);
            // What other tests do to databases is sent too.
            let ours = records.iter().map(Record::json).filter(|one| one["table"] == "t");
            let kinds: Vec<_> = ours.map(|one| one["type"].clone()).collect();
            (kinds.len() >= 9).then_some(kinds)
        });
        assert_eq!(kinds, ["INSERT", "ALTER", "UPDATE"].repeat(3), "{topic}");
    }
    let happened = proxies.iter().filter(|proxy| proxy.fault() == Fault::None).count() - 1;
    say(&format!(
        "{begun} packets are asked up to the start; {happened} answers stopped; all ran after \
         {running:?}, and were through after {:?}",
        started.elapsed()
    ));
    assert!(3 * happened > moments, "most answers did not come to be asked for");
    sluice.stop();
}

async fn kill_connections(source: &mut MySqlConnection) {
    const OURS: &str = "SELECT id FROM information_schema.processlist WHERE user = 'stalls'";
    for row in sqlx::query(OURS).fetch_all(&mut *source).await.unwrap() {
        // It may have ended by itself.
        let _ = try_run(source, &format!("KILL {}", row.get_unchecked::<u64, _>(0))).await;
    }
}

/// Nor does a stop wait for an answer that is asked for while the binlog is read.
#[tokio::test]
async fn a_question_that_is_not_answered_does_not_hold_up_a_stop() {
    let Some(server) = private_mysql(&["--binlog-row-metadata=MINIMAL"]) else { return };
    let mut source = server.database("asked").await;
    run(&mut source, "CREATE TABLE t (a INT); CREATE TABLE k (a INT)").await;
    let mut other = server.connect().await;
    let hidden =
        "USE asked; SET SESSION binlog_format = STATEMENT; CREATE TEMPORARY TABLE k (a INT)";
    run(&mut other, hidden).await;
    let proxy = Proxy::to(&server);
    // ER_QUERY_TIMEOUT: its definition is read when rows of it come.
    proxy.set(Fault::Refuse { words: "'t'", code: Some(3024) });
    let mut sluice = Sluice::with_instance(
        "asked",
        &server,
        &[
            ("canal.instance.master.address", &*proxy.address()),
            ("canal.instance.master.sslMode", "DISABLED"),
            ("canal.instance.filter.regex", r"asked\..*"),
        ],
    );
    sluice.start();
    wait_for("the table to be left for later", PATIENCE, || {
        sluice.said().contains("it is read when rows of it come").then_some(())
    });
    for (words, connection, statement, (topic, rows)) in [
        ("SHOW CREATE TABLE", &mut source, "INSERT INTO t VALUES (1)", ("asked.t", 1)),
        // Whether the table of that name is one that only the session has.
        ("COLUMN_DEFAULT", &mut other, "ALTER TABLE k ADD COLUMN b INT", ("asked.k", 2)),
    ] {
        proxy.set(Fault::Mute { words });
        run(connection, statement).await;
        wait_for(words, PATIENCE, || (proxy.fault() == Fault::None).then_some(()));
        let begun = Instant::now();
        sluice.stop();
        assert!(begun.elapsed() < Duration::from_secs(6), "{words}: {:?}", begun.elapsed());
        sluice.start();
        // What comes behind it.
        run(&mut server.connect().await, "INSERT INTO asked.k VALUES (1)").await;
        let records = topics::read_at_least(&sluice.bootstrap(), topic, rows);
        assert_eq!(records.len(), rows, "{words}");
    }
    sluice.stop();
}
/// A connection of which only the server knows is written to until its buffers are full. MariaDB
/// lets the next dump wait for the end of that.
#[tokio::test]
async fn a_former_dump_that_the_server_still_writes_to_holds_up_nothing() {
    for server in [mysql(), mariadb()].into_iter().flatten() {
        let mut source = server.database("former").await;
        run(&mut source, "CREATE TABLE t (id INT PRIMARY KEY, pad LONGTEXT)").await;
        let proxy = Proxy::to(server);
        let mut sluice = Sluice::with_instance(
            "former",
            server,
            &[
                ("canal.instance.master.address", &proxy.address()),
                ("canal.instance.master.sslMode", "DISABLED"),
                ("canal.instance.filter.regex", r"former\.t"),
            ],
        );
        sluice.start();
        for round in 1..=2 {
            proxy.set(Fault::Forget);
            // More than the buffers of two sockets hold.
            let rows = (0..32).map(|row| format!("({}, REPEAT('x', 1000000))", 100 * round + row));
            let rows = rows.collect::<Vec<_>>().join(", ");
            run(&mut source, &format!("INSERT INTO t VALUES {rows}")).await;
            wait_for("a connection to be forgotten", PATIENCE, || {
                (proxy.fault() == Fault::None).then_some(())
            });
            let rows = |records: &[Record]| {
                records.iter().map(|one| one.value.matches(r#""pad":"x"#).count()).sum::<usize>()
            };
            wait_for("what came behind it", Duration::from_secs(40), || {
                (rows(&topics::read(&sluice.bootstrap(), "former.t")) == 32 * round).then_some(())
            });
        }
        sluice.stop();
    }
}
