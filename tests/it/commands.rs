//! The commands of the program, and Kafka's tools among them, against a running one.

use crate::harness::program::assert_ended;
use crate::harness::servers::{mysql, private_mysql, run};
use crate::harness::{PATIENCE, Sluice, topics, wait_for};

#[tokio::test]
async fn check_says_all_that_is_wrong_at_once_and_what_to_do() {
    let Some(mysql) = private_mysql(&["--binlog-format=STATEMENT"]) else { return };
    let mut source = mysql.connect().await;
    run(&mut source, "CREATE USER plain@'%' IDENTIFIED BY 'canal'").await;
    let mut sluice = Sluice::new();
    sluice.instance("ungranted", &mysql, &[("canal.instance.dbUsername", "plain")]);
    sluice.instance("unknown", &mysql, &[("canal.instance.dbPassword", "wrong")]);
    let strict =
        [("canal.instance.binlog.format", "row"), ("canal.instance.binlog.image", "NOBLOB")];
    sluice.instance("strict", &mysql, &strict);
    let taken = std::net::TcpListener::bind(sluice.bootstrap()).unwrap();
    let words = [
        "GRANT REPLICATION SLAVE, REPLICATION CLIENT, SELECT ON *.* TO 'plain'@'%'",
        "SET GLOBAL binlog_format = 'ROW'",
        "canal.instance.dbPassword",
        "binlog_format is STATEMENT on the source, and canal.instance.binlog.format accepts ROW only",
        "canal.instance.binlog.image accepts NOBLOB only",
        &format!("{} (listeners)", sluice.bootstrap()),
    ];
    assert_ended(&sluice.command(&["check"]), 1, &words);

    drop(taken);
    run(&mut source, "SET GLOBAL binlog_format = 'ROW'").await;
    run(&mut source, "GRANT REPLICATION SLAVE, REPLICATION CLIENT, SELECT ON *.* TO plain@'%'")
        .await;
    sluice.instance("unknown", &mysql, &[]);
    sluice.instance("strict", &mysql, &strict[..1]);
    assert_ended(&sluice.command(&["check"]), 0, &["everything is ready", "can be read as plain"]);
    sluice.start();
    assert_ended(&sluice.command(&["check"]), 0, &["sluice runs over this home"]);
    sluice.stop();
}

/// Somebody stops it while it reads its settings still: that is heard, and ends well.
#[test]
fn a_signal_right_behind_the_start_is_heard() {
    let mut sluice = Sluice::new();
    let folder = sluice.folder("instances/slow");
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("instance.properties");
    // Whoever reads it waits for whoever writes it, and the other way round.
    rustix::fs::mknodat(rustix::fs::CWD, &file, rustix::fs::FileType::Fifo, 0o600.into(), 0)
        .unwrap();
    sluice.launch();
    let writer = std::fs::OpenOptions::new().write(true).open(&file).unwrap();
    sluice.signal("TERM");
    drop(writer);
    assert_ended(&sluice.wait_for_its_end(), 0, &["sluice stopped"]);
}

#[tokio::test]
async fn a_position_is_moved_with_only_its_instance_stopped() {
    let Some(mysql) = mysql() else { return };
    let mut source = mysql.database("move").await;
    run(&mut source, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    let filter = [("canal.instance.filter.regex", r"move\..*")];
    let mut sluice = Sluice::with_instance("example", mysql, &filter);
    sluice.instance("neighbour", mysql, &[("sluice.topic", "other.{table}"), filter[0]]);
    sluice.start();
    let show = ["position", "show", "example"];
    let begin = sluice.command(&show);
    assert_ended(&begin, 0, &["example: binlog."]);
    let place = begin.said.lines().next().unwrap().trim_start_matches("example: ").to_owned();
    let (file, offset) = place.split_once(':').unwrap();
    run(&mut source, "INSERT INTO t VALUES (1)").await;
    topics::read_at_least(&sluice.bootstrap(), "move.t", 1);

    let set = ["position", "set", "example", "--file", file, "--offset", offset];
    assert_ended(&sluice.command(&set), 1, &["bin/sluice instance stop example"]);
    let reset = ["position", "reset", "example"];
    assert_ended(&sluice.command(&reset), 1, &["bin/sluice instance stop example"]);
    assert_ended(&sluice.command(&["instance", "stop", "example"]), 0, &["is stopped"]);
    assert_ended(&sluice.command(&set), 0, &[&place]);
    assert_ended(&sluice.command(&show), 0, &[&place]);
    assert_ended(&sluice.command(&["instance", "start", "example"]), 0, &[]);
    let twice = topics::read_at_least(&sluice.bootstrap(), "move.t", 2);
    assert_eq!(twice[0].json()["data"], twice[1].json()["data"], "the same row again");
    assert_eq!(topics::read(&sluice.bootstrap(), "other.t").len(), 1, "the neighbour went on");

    // The same with nothing running.
    sluice.stop();
    assert_ended(&sluice.command(&set), 0, &[&place]);
    assert_ended(&sluice.command(&show), 0, &[&place]);
    assert_ended(&sluice.command(&reset), 0, &["current end"]);
    assert_ended(&sluice.command(&show), 0, &["no position yet"]);
    assert_ended(&sluice.command(&["position", "show", "nobody"]), 1, &["no instance nobody"]);
}

/// `canal.ip` is where health is served; commands come over loopback all the same.
#[test]
fn commands_are_taken_where_the_port_has_another_address() {
    let udp = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    // Nothing is sent: the kernel chooses the way. A machine without one has loopback only.
    let own = udp.connect("192.0.2.1:9").and_then(|()| udp.local_addr());
    let own = own.map_or("127.0.0.1".to_owned(), |address| address.ip().to_string());
    let mut sluice = Sluice::new();
    sluice.canal("canal.ip", &own);
    sluice.start();
    assert_ended(&sluice.command(&["health"]), 0, &["sluice runs"]);
    let stop = sluice.command(&["instance", "stop", "nobody"]);
    assert_ended(&stop, 1, &["there is no instance nobody"]);
    sluice.stop();
}

#[tokio::test]
async fn a_topic_deleted_under_its_instance_comes_back() {
    let Some(mysql) = mysql() else { return };
    let mut source = mysql.database("deleted").await;
    run(&mut source, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    let filter = [("canal.instance.filter.regex", r"deleted\..*")];
    let mut sluice = Sluice::with_instance("example", mysql, &filter);
    sluice.start();
    run(&mut source, "INSERT INTO t VALUES (1)").await;
    let bootstrap = sluice.bootstrap();
    topics::read_at_least(&bootstrap, "deleted.t", 1);
    let delete = ["--delete", "--topic", "deleted.t", "--bootstrap-server", &bootstrap];
    assert_ended(&sluice.script("kafka-topics.sh", &delete), 0, &[]);
    run(&mut source, "INSERT INTO t VALUES (2)").await;
    let records = topics::read_at_least(&bootstrap, "deleted.t", 1);
    assert_eq!(records[0].json()["data"][0]["id"], "2");
    sluice.stop();
}

#[test]
fn kafkas_topic_tool_works_as_in_the_course() {
    let mut sluice = Sluice::new();
    sluice.start();
    let bootstrap = sluice.bootstrap();
    let topics = |arguments: &[&str]| {
        let all = [arguments, &["--bootstrap-server", &bootstrap]].concat();
        sluice.script("kafka-topics.sh", &all)
    };
    let first = ["--create", "--topic", "first", "--partitions", "2", "--replication-factor", "1"];
    assert_ended(&topics(&first), 0, &["Created topic first."]);
    assert_ended(&topics(&first), 1, &["Topic 'first' already exists."]);
    assert_ended(&topics(&["--create", "--topic", "first", "--if-not-exists"]), 0, &[]);
    let copies = ["--create", "--topic", "copies", "--replication-factor", "2"];
    let refused = "one broker here: use 1, or serverMode=kafka";
    assert_ended(&topics(&copies), 1, &[refused]);
    assert_ended(&topics(&["--list"]), 0, &["first\n"]);
    let described = "Topic: first\tPartition: 1\tLeader: 1\tReplicas: 1\tIsr: 1";
    assert_ended(&topics(&["--describe", "--topic", "first"]), 0, &[described]);
    assert_ended(&topics(&["--alter", "--topic", "first", "--partitions", "4"]), 0, &[]);
    let described = topics(&["--describe", "--topic", "first"]);
    assert_ended(&described, 0, &["PartitionCount: 4"]);
    let shrunk = topics(&["--alter", "--topic", "first", "--partitions", "1"]);
    assert_ended(&shrunk, 1, &["currently has 4 partitions"]);
    assert_ended(&topics(&["--delete", "--topic", "first"]), 0, &[]);
    let absent = topics(&["--describe", "--topic", "first"]);
    assert_ended(&absent, 1, &["Topic 'first' does not exist"]);
    let old = sluice.script("kafka-topics.sh", &["--zookeeper", "localhost:2181", "--list"]);
    assert_ended(&old, 1, &["there is no ZooKeeper", "--bootstrap-server"]);
    sluice.stop();
}

#[test]
fn lines_go_in_and_come_out_and_a_group_can_be_moved() {
    let mut sluice = Sluice::new();
    sluice.broker("group.initial.rebalance.delay.ms", "0");
    sluice.start();
    let bootstrap = sluice.bootstrap();
    let to = ["--bootstrap-server", &bootstrap, "--topic", "lines"];
    let producer = sluice.script_with_input("kafka-console-producer.sh", &to, "a\nb\nc\n");
    assert_ended(&producer, 0, &[]);
    let consume =
        |more: &[&str]| sluice.script("kafka-console-consumer.sh", &[&to[..], more].concat());
    let three = ["--from-beginning", "--max-messages", "3", "--timeout-ms", "20000"];
    assert_ended(&consume(&three), 0, &["a\nb\nc\n"]);
    let grouped = [&three[..], &["--group", "g"]].concat();
    assert_ended(&consume(&grouped), 0, &["a\nb\nc\n"]);

    let groups = |arguments: &[&str]| {
        let all = [arguments, &["--bootstrap-server", &bootstrap]].concat();
        sluice.script("kafka-consumer-groups.sh", &all)
    };
    assert_ended(&groups(&["--list"]), 0, &["g\n"]);
    // Its member has left; the coordinator hears of it within a moment.
    wait_for("the group to be empty", PATIENCE, || {
        let ended = groups(&["--describe", "--group", "g"]);
        ended.said.contains("has no active members").then_some(())
    });
    let moved = ["--reset-offsets", "--group", "g", "--topic", "lines", "--to-offset", "1"];
    let planned = groups(&moved);
    assert_ended(&planned, 0, &["No action will be performed"]);
    let row = "g               lines           0          1\n";
    assert_ended(&groups(&[&moved[..], &["--execute"]].concat()), 0, &[row]);
    let rest = consume(&["--group", "g", "--max-messages", "2", "--timeout-ms", "20000"]);
    assert_ended(&rest, 0, &["b\nc\n"]);
    assert_ended(&groups(&["--describe", "--group", "nobody"]), 1, &["does not exist"]);
    let plan = sluice.folder("plan.csv");
    std::fs::write(&plan, "\"lines\",0,2\n").unwrap();
    let from_file = ["--reset-offsets", "--group", "g", "--from-file", plan.to_str().unwrap()];
    assert_ended(&groups(&[&from_file[..], &["--export"]].concat()), 0, &["lines,0,2\n"]);
    sluice.stop();
}

#[test]
fn what_kafkas_tools_accept_and_need_not_know_is_no_error() {
    let mut sluice = Sluice::new();
    sluice.start();
    let bootstrap = sluice.bootstrap();
    let to = ["--bootstrap-server", &bootstrap, "--topic", "t"];
    let given = ["--producer-property", "no.such=1", "--property", "no.such=1", "--timeout", "5"];
    let tuned = ["--batch-size", "100", "--max-block-ms", "9000", "--request-timeout-ms", "9000"];
    let all = [&to[..], &given, &tuned].concat();
    let producer = sluice.script_with_input("kafka-console-producer.sh", &all, "a\n");
    assert_ended(&producer, 0, &["the property no.such is not known here and is ignored"]);
    let string = "org.apache.kafka.common.serialization.StringDeserializer";
    let given = ["--value-deserializer", string, "--property", "print.epoch=true"];
    let all = [&to[..], &given, &["--from-beginning", "--max-messages", "1"]].concat();
    assert_ended(&sluice.script("kafka-console-consumer.sh", &all), 0, &["a\n"]);
    let both = [&to[..], &["--partition", "0", "--offset", "0", "--from-beginning"]].concat();
    assert_ended(&sluice.script("kafka-console-consumer.sh", &both), 1, &["cannot be used with"]);
    let ailing = [&to[..], &["--describe", "--under-replicated-partitions"]].concat();
    let described = sluice.script("kafka-topics.sh", &ailing);
    assert_ended(&described, 0, &[]);
    assert!(!described.said.contains("Partition:"), "{}", described.said);
    sluice.stop();
}
