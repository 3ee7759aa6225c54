//! Statements for which their topic has no room, of any kind: never repeated for ever.

use super::*;

/// The instance's own topic, which statements go to that have no database, takes little.
async fn little_room(server: &Server, database: &str, park: bool) -> (MySqlConnection, Sluice) {
    let mut source = server.database(database).await;
    let filter = format!(r"{database}.*\..*");
    let mut properties = vec![("canal.instance.filter.regex", &*filter)];
    properties.extend(park.then_some(PARK));
    let mut sluice = Sluice::with_instance("example", server, &properties);
    run(&mut source, "CREATE TABLE a (id INT PRIMARY KEY)").await;
    run(&mut source, "CREATE TABLE b (id INT PRIMARY KEY)").await;
    sluice.start();
    let bootstrap = sluice.bootstrap();
    let create = ["--create", "--topic", "example", "--partitions", "1", "--bootstrap-server"];
    let ended = sluice.script(
        "kafka-topics.sh",
        &[&create[..], &[&bootstrap, "--config", "max.message.bytes=1000"]].concat(),
    );
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    (source, sluice)
}

async fn insert(source: &mut MySqlConnection, table: &str, id: u32) {
    run(source, &format!("INSERT INTO {table} VALUES ({id})")).await;
}

/// Of one server of its own: statements without a table are given to every instance.
#[tokio::test]
async fn a_statement_that_has_no_room_is_kept_or_stops_and_is_not_tried_for_ever() {
    let Some(mysql) = private_mysql(&[]) else { return };
    beside_rows_the_table_of_the_rows_is_parked(&mysql).await;
    without_parking_it_stops_with_the_setting_that_leaves_it_out(&mysql).await;
    without_a_table_its_database_is_parked_and_comes_back_in_order(&mysql).await;
}

async fn beside_rows_the_table_of_the_rows_is_parked(mysql: &Server) {
    let (mut source, mut sluice) = little_room(mysql, "park_query", true).await;
    let text = "y".repeat(2000);
    insert(&mut source, "a", 1).await;
    run(&mut source, "SET binlog_rows_query_log_events = ON").await;
    run(&mut source, &format!("INSERT /* {text} */ INTO a VALUES (2), (3)")).await;
    insert(&mut source, "a", 4).await;
    insert(&mut source, "b", 1).await;
    let b = topics::read_at_least(&sluice.bootstrap(), "park_query.b", 1);
    assert_eq!(ids(&b), ["1"]);
    wait_until_parked(&sluice, &["park_query.a"]);
    assert_eq!(ids(&topics::read(&sluice.bootstrap(), "park_query.a")), ["1"]);
    let refused = instance(&sluice, &["retry", "example", "park_query.a"], 1);
    assert!(refused.contains("topic example takes 1000"), "{refused}");
    limit(&sluice, "example", 1 << 20);
    instance(&sluice, &["retry", "example", "park_query.a"], 0);
    let a = topics::read_at_least(&sluice.bootstrap(), "park_query.a", 3);
    assert_eq!(ids(&a), ["1", "2", "3", "4"]);
    let said = topics::read_at_least(&sluice.bootstrap(), "example", 3);
    let said: Vec<bool> = said.iter().map(|one| one.value.contains(&text)).collect();
    assert_eq!(said, [false, true, false], "that of b, then those of a in their order");
    sluice.stop();
}

async fn without_parking_it_stops_with_the_setting_that_leaves_it_out(mysql: &Server) {
    let (mut source, mut sluice) = little_room(mysql, "stop_query", false).await;
    run(&mut source, "SET binlog_rows_query_log_events = ON").await;
    run(&mut source, &format!("INSERT /* {} */ INTO a VALUES (2)", "y".repeat(2000))).await;
    let said = stopped(&sluice);
    for words in
        ["stop_query.a", "topic example takes 1000", "canal.instance.filter.query.dml=true"]
    {
        assert!(said.contains(words), "{words}: {said}");
    }
    sluice.stop();
}

/// One about a database parks all of it.
async fn without_a_table_its_database_is_parked_and_comes_back_in_order(mysql: &Server) {
    let (mut source, mut sluice) = little_room(mysql, "park_odd", true).await;
    let text = "y".repeat(2000);
    insert(&mut source, "a", 1).await;
    run(&mut source, "DROP DATABASE IF EXISTS park_odd_2").await;
    for statement in [
        &*format!("CREATE DATABASE /* {text} */ park_odd_2"),
        "CREATE TABLE park_odd_2.t (id INT PRIMARY KEY)",
        "INSERT INTO park_odd_2.t VALUES (1)",
        "DROP DATABASE park_odd_2",
    ] {
        run(&mut source, statement).await;
    }
    insert(&mut source, "a", 2).await;
    let a = topics::read_at_least(&sluice.bootstrap(), "park_odd.a", 2);
    assert_eq!(ids(&a), ["1", "2"]);
    wait_until_parked(&sluice, &["park_odd_2."]);
    let before = topics::read(&sluice.bootstrap(), "example").len();
    assert!(topics::list(&sluice.bootstrap()).keys().all(|topic| !topic.starts_with("park_odd_2")));
    limit(&sluice, "example", 1 << 20);
    instance(&sluice, &["retry", "example", "park_odd_2."], 0);
    assert_eq!(ids(&topics::read(&sluice.bootstrap(), "park_odd_2.t")), ["CREATE", "1"]);
    let said = topics::read_at_least(&sluice.bootstrap(), "example", before + 2);
    let said: Vec<String> =
        said[before..].iter().map(|one| one.json()["sql"].to_string()).collect();
    for (sql, words) in said.iter().zip(["CREATE DATABASE", "DROP DATABASE"]) {
        assert!(sql.contains(words), "{words}: {said:?}");
    }
    sluice.stop();
}
