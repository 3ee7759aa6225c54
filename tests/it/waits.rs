//! What waits for the server does not wait for ever, whatever the network does meanwhile.

use std::time::{Duration, Instant};

use sqlx::{MySqlConnection, Row as _};

use crate::harness::proxy::{Fault, How, Proxy};
use crate::harness::servers::{mariadb, mysql, private_mariadb, private_mysql, run, try_run};
use crate::harness::{PATIENCE, Random, Record, Server, Sluice, asked, say, topics, wait_for};

/// How the servers are started whose answers stop.
const STALLS: &[&str] = &["--binlog-row-metadata=MINIMAL", "--max-connections=1000"];

/// One instance of each of many proxies, in one process: what each waits for, all wait for at once.
/// Of each another answer stops: of every packet that a start asks for, from the greetings to the
/// dump, one, as the first instance shows them. So what follows a stop is the same for each
/// question, whatever it is: the instance runs a while later, and nothing is missing.
///
/// `SLUICE_STALLS` asks for so many, at random places of a start and of what follows a lost
/// connection behind it.
#[tokio::test]
async fn whatever_answer_stops_the_instance_goes_on_by_itself_on_mysql() {
    if let Some(server) = private_mysql(STALLS) {
        whatever_answer_stops(&server).await;
    }
}

#[tokio::test]
async fn whatever_answer_stops_the_instance_goes_on_by_itself_on_mariadb() {
    if let Some(server) = private_mariadb(STALLS) {
        whatever_answer_stops(&server).await;
    }
}

async fn whatever_answer_stops(server: &Server) {
    const HOW: [How; 3] = [How::Silence, How::Half, How::Cut];
    let mut source = server.database("stalls").await;
    run(&mut source, "CREATE TABLE t (id INT PRIMARY KEY, v INT)").await;
    // An account of its own, whose connections are killed.
    run(&mut source, "CREATE USER IF NOT EXISTS stalls@'%' IDENTIFIED BY 'stalls'").await;
    run(&mut source, "GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO stalls@'%'")
        .await;
    let mut random = Random::seeded("SLUICE_STALLS_SEED");
    let mut sluice = Sluice::new();
    let stall = |sluice: &mut Sluice, number: usize| {
        let proxy = Proxy::to(server);
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
        proxy
    };
    // The first shows what is asked.
    sluice.canal("canal.auto.scan", "false");
    sluice.canal("canal.destinations", "stall0");
    let first = stall(&mut sluice, 0);
    sluice.start();
    let questions = first.asked();
    sluice.stop();
    let begun = questions.len();
    let (moments, last) = match asked::number("SLUICE_STALLS") {
        Some(moments) => (moments, 2 * begun),
        None => (begun, begun),
    };
    let turn = random.place(HOW.len());
    let stopped: Vec<(usize, How, Proxy)> = (0..moments)
        .map(|number| {
            let proxy = stall(&mut sluice, number + 1);
            let behind = if moments == last {
                number
            } else {
                (last * number + random.place(last)) / moments
            };
            let how = HOW[(number + turn) % HOW.len()];
            proxy.set(Fault::Stop { behind, how });
            (behind, how, proxy)
        })
        .collect();
    let names = (1..=moments).map(|number| format!("stall{number}")).collect::<Vec<_>>();
    sluice.canal("canal.destinations", &names.join(","));
    let started = Instant::now();
    sluice.launch();
    let mut runs_after = vec![None; moments];
    let mut all_run = |sluice: &Sluice| {
        wait_for("all to run", PATIENCE, || {
            let (_, body) = sluice.health()?;
            let health: serde_json::Value = serde_json::from_str(&body).ok()?;
            // None is there before the log is recovered.
            let all = health["instances"].as_array().filter(|all| all.len() == moments)?;
            assert!(all.iter().all(|one| one["state"] != "stopped"), "{body}");
            for (number, name) in names.iter().enumerate() {
                if all.iter().any(|one| one["name"] == **name && one["state"] == "running") {
                    runs_after[number].get_or_insert_with(|| started.elapsed().as_secs());
                }
            }
            all.iter().all(|one| one["state"] == "running").then_some(())
        });
    };
    all_run(&sluice);
    for round in 0..3 {
        let id = round + 1;
        run(&mut source, &format!("INSERT INTO t (id, v) VALUES ({id}, 1)")).await;
        run(&mut source, &format!("ALTER TABLE t ADD COLUMN c{round} INT")).await;
        run(&mut source, &format!("UPDATE t SET v = 2 WHERE id = {id}")).await;
        // What is read again has to be read by what is known of the table before.
        if moments != last || round == 1 {
            kill_connections(&mut source).await;
            all_run(&sluice);
        }
    }
    for number in 1..=moments {
        let topic = format!("stall-{number}");
        let kinds = wait_for("all that was done", PATIENCE, || {
            let records = topics::read(&sluice.bootstrap(), &topic);
            let ours = records.iter().map(Record::json).filter(|one| one["table"] == "t");
            let kinds: Vec<_> = ours.map(|one| one["type"].clone()).collect();
            (kinds.len() >= 9).then_some(kinds)
        });
        assert_eq!(kinds, ["INSERT", "ALTER", "UPDATE"].repeat(3), "{topic}");
    }
    let mut happened = 0;
    for (number, (behind, how, proxy)) in stopped.iter().enumerate() {
        let question = questions.get(*behind).map_or("(behind the start)", |one| one.trim());
        let has = proxy.fault() == Fault::None;
        happened += usize::from(has);
        say(&format!(
            "{} {how:?}: ran after {:>3} s: {question}",
            if has { "stopped" } else { "not asked" },
            runs_after[number].unwrap_or_default()
        ));
    }
    say(&format!("{happened} of {moments} answers stopped; through after {:?}", started.elapsed()));
    let least = if moments == last { moments - moments / 10 } else { moments / 3 };
    assert!(happened >= least, "most answers did not come to be asked for");
    sluice.stop();
}

async fn kill_connections(source: &mut MySqlConnection) {
    const OURS: &str = "SELECT id FROM information_schema.processlist WHERE user = 'stalls'";
    for row in sqlx::query(OURS).fetch_all(&mut *source).await.unwrap() {
        // It may have ended by itself.
        let _ = try_run(source, &format!("KILL {}", row.get_unchecked::<u64, _>(0))).await;
    }
}

/// What the source did not show in time is read while the instance runs, before rows come that an
/// ALTER stands behind. Nor does a stop wait for an answer that is asked for while the binlog is
/// read.
#[tokio::test]
async fn a_question_that_is_not_answered_does_not_hold_up_a_stop() {
    for server in [
        private_mysql(&["--binlog-row-metadata=MINIMAL"]),
        private_mariadb(&["--binlog-row-metadata=MINIMAL"]),
    ]
    .into_iter()
    .flatten()
    {
        questions_without_answers(&server).await;
    }
}

async fn questions_without_answers(server: &Server) {
    let mut source = server.database("asked").await;
    run(&mut source, "CREATE TABLE t (a INT); CREATE TABLE k (a INT); CREATE TABLE l (a INT)")
        .await;
    let mut other = server.connect().await;
    let hidden =
        "USE asked; SET SESSION binlog_format = STATEMENT; CREATE TEMPORARY TABLE k (a INT)";
    run(&mut other, hidden).await;
    let proxy = Proxy::to(server);
    // ER_QUERY_TIMEOUT
    proxy.set(Fault::Refuse { words: "'l'", code: Some(3024) });
    let address = proxy.address();
    let properties = |filter: &'static str| {
        [
            ("canal.instance.master.address", address.clone()),
            ("canal.instance.master.sslMode", "DISABLED".to_owned()),
            ("canal.instance.filter.regex", filter.to_owned()),
        ]
    };
    let write = |sluice: &mut Sluice, filter| {
        let properties = properties(filter);
        let properties = properties.each_ref().map(|(key, value)| (*key, &**value));
        sluice.instance("asked", server, &properties);
    };
    let mut sluice = Sluice::new();
    // Of `t` nothing is known before rows of it come.
    write(&mut sluice, r"asked\.[kl]");
    sluice.start();
    let left = |sluice: &Sluice| sluice.said().matches("not read yet").count();
    assert_eq!(left(&sluice), 1, "{}", sluice.said());
    // Once more, with a connection that was lost and a process that began anew.
    sluice.kill();
    sluice.start();
    wait_for("the table to be left over again", PATIENCE, || (left(&sluice) == 2).then_some(()));
    proxy.set(Fault::None);
    wait_for("the table to be read", PATIENCE, || {
        sluice.said().contains("a table that was left over is read").then_some(())
    });
    sluice.stop();
    let changes = "INSERT INTO l VALUES (1); ALTER TABLE l CHANGE a b BIGINT; \
                   INSERT INTO l VALUES (2); DROP TABLE l";
    run(&mut source, changes).await;
    sluice.start();
    let records = topics::read_at_least(&sluice.bootstrap(), "asked.l", 4);
    let rows: Vec<_> = records.iter().map(|one| one.json()["data"][0].clone()).collect();
    assert_eq!(rows[0]["a"], "1", "{rows:?}");
    assert_eq!(rows[2]["b"], "2", "{rows:?}");
    assert_eq!(left(&sluice), 2, "{}", sluice.said());
    sluice.stop();
    write(&mut sluice, r"asked\..*");
    sluice.start();
    for (words, connection, statement, (topic, rows)) in [
        ("`asked`.`t`", &mut source, "INSERT INTO t VALUES (1)", ("asked.t", 1)),
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
