//! Positions across builds, and moved by hand.

use std::path::Path;
use std::process::Command;

use crate::harness::program::assert_ended;
use crate::harness::servers::{Flavor, here, mariadb, mysql, private_mysql, run};
use crate::harness::{Record, Sluice, topics};

/// The one row of a message.
fn row(record: &Record) -> serde_json::Value {
    record.json()["data"][0].clone()
}

/// `tests/upgrade/f7cb82a.tar.gz` is what that build left when it was killed (-9): an instance
/// `shop` behind transaction 10 of a server, whose table `shop.orders` it had seen altered, and a
/// group `readers` behind the second of four records. The server is lost; another one has
/// executed the same.
#[tokio::test]
async fn a_data_directory_of_build_f7cb82a_goes_on() {
    const EXECUTED: &str = "5d371c25-eaf9-11f1-acab-02fc00000001:1-10";
    let Some(mysql) = private_mysql(&[]) else { return };
    let mut source = mysql.connect().await;
    // The history says `remark`: the name that is published says where it came from.
    run(
        &mut source,
        "SET sql_log_bin = 0; CREATE DATABASE shop;
         CREATE TABLE shop.orders (id INT PRIMARY KEY, price DECIMAL(10,2), here VARCHAR(20),
                                   qty INT UNSIGNED);
         CREATE TABLE shop.items (id INT PRIMARY KEY, name VARCHAR(20) CHARACTER SET latin1);
         SET sql_log_bin = 1",
    )
    .await;
    run(&mut source, &format!("SET GLOBAL gtid_purged = '+{EXECUTED}'")).await;

    let filter = [("canal.instance.filter.regex", r"shop\..*")];
    let mut sluice = Sluice::with_instance("shop", &mysql, &filter);
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/upgrade/f7cb82a.tar.gz");
    let mut tar = Command::new("tar");
    tar.arg("-xzf").arg(archive).arg("-C").arg(sluice.folder("."));
    assert!(tar.status().unwrap().success());
    let show = ["position", "show"];
    assert_ended(&sluice.command(&show), 0, &["shop: binlog.000001:", EXECUTED]);

    sluice.start();
    let bootstrap = sluice.bootstrap();
    assert_eq!(topics::read(&bootstrap, "shop.orders").len(), 4);
    assert_eq!(topics::read(&bootstrap, "shop.items").len(), 2);
    run(&mut source, "INSERT INTO shop.orders VALUES (4, 4.5, 'new', 7)").await;
    let orders = topics::read_at_least(&bootstrap, "shop.orders", 5);
    assert_eq!(
        row(&orders[4]),
        serde_json::json!({"id": "4", "price": "4.50", "remark": "new", "qty": "7"})
    );
    let group = ["--bootstrap-server", &bootstrap, "--topic", "shop.orders", "--group", "readers"];
    let rest = ["--max-messages", "3", "--timeout-ms", "20000"];
    let read = sluice.script("kafka-console-consumer.sh", &[&group[..], &rest].concat());
    assert_ended(&read, 0, &["Processed a total of 3 messages", r#""remark":"b""#, r#""id":"4""#]);
    assert!(!read.said.contains(r#""note":"a""#), "{}", read.said);

    sluice.kill();
    sluice.start();
    run(&mut source, "INSERT INTO shop.items VALUES (3, 'new')").await;
    let items = topics::read_at_least(&bootstrap, "shop.items", 3);
    assert_eq!(row(&items[2]), serde_json::json!({"id": "3", "name": "new"}));
    assert_eq!(topics::read(&bootstrap, "shop.orders").len(), 5, "nothing comes twice");
    sluice.stop();
    let shown = sluice.command(&show);
    assert_ended(&shown, 0, &[EXECUTED, ":1-2", "server: "]);
    assert!(!shown.said.contains("server: 5d371c25"), "it is the new server's: {}", shown.said);
}

/// Under MINIMAL metadata names come from what is known of the table: what was true at one place
/// is not at another.
#[tokio::test]
async fn a_moved_position_reads_definitions_anew_and_counts_its_set_anew() {
    for server in [mysql(), mariadb()].into_iter().flatten() {
        let mut source = server.database("swap").await;
        run(&mut source, "CREATE TABLE t (id INT PRIMARY KEY, a INT, b INT)").await;
        let filter = [("canal.instance.filter.regex", r"swap\..*")];
        let mut sluice = Sluice::with_instance("swap", server, &filter);
        sluice.start();
        let bootstrap = sluice.bootstrap();
        let (file, offset) = here(server).await;
        let offset = offset.to_string();
        run(&mut source, "ALTER TABLE t RENAME COLUMN a TO b, RENAME COLUMN b TO a").await;
        run(&mut source, "INSERT INTO t VALUES (1, 10, 20)").await;
        let first = topics::read_at_least(&bootstrap, "swap.t", 2);
        let swapped = serde_json::json!({"id": "1", "b": "10", "a": "20"});
        assert_eq!(row(&first[1]), swapped, "{:?}", server.flavor);
        sluice.stop();

        let back = ["position", "set", "swap", "--file", &file, "--offset", &offset];
        assert_ended(&sluice.command(&back), 0, &["gtid: counted at the next start"]);
        sluice.start();
        let again = topics::read_at_least(&bootstrap, "swap.t", 4);
        assert_eq!(row(&again[3]), swapped, "{:?}: back", server.flavor);
        sluice.stop();

        run(&mut source, "ALTER TABLE t RENAME COLUMN a TO c").await;
        let (file, offset) = here(server).await;
        let offset = offset.to_string();
        let forth = ["position", "set", "swap", "--file", &file, "--offset", &offset];
        assert_ended(&sluice.command(&forth), 0, &[&format!("swap: {file}:{offset}")]);
        run(&mut source, "INSERT INTO t VALUES (2, 30, 40)").await;
        sluice.start();
        let ahead = topics::read_at_least(&bootstrap, "swap.t", 5);
        let renamed = serde_json::json!({"id": "2", "b": "30", "c": "40"});
        assert_eq!(row(&ahead[4]), renamed, "{:?}: forth", server.flavor);
        sluice.stop();
        let gtid = &ahead[4].headers["gtid"];
        let last = |text: &str| text.rsplit([':', '-']).next().unwrap().parse::<u64>();
        let shown = sluice.command(&["position", "show"]);
        let set = shown.said.lines().find(|line| line.contains("gtid: ")).unwrap();
        // Of other tests there may be some behind it.
        assert!(last(set).unwrap() >= last(gtid).unwrap(), "{gtid}: {}", shown.said);
        if server.flavor == Flavor::MySql {
            let (uuid, _) = gtid.split_once(':').unwrap();
            let of_server = set.split(&format!("{uuid}:")).nth(1).unwrap_or_default();
            let whole = of_server.split(',').next().unwrap_or_default().trim();
            assert!(whole.starts_with("1-") && !whole.contains(':'), "a hole: {}", shown.said);
        }
    }
}
