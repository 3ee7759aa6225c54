//! Topics whose names tables give: none is refused for the likeness of another.

use crate::harness::servers::{self, run};
use crate::harness::{Sluice, topics};

/// The rule of Kafka that names may not differ by `.` and `_` only is one for names of metrics,
/// which the bundled broker has none of; it binds who chooses the name of a topic.
#[tokio::test]
async fn tables_whose_topics_differ_by_dot_and_underscore_only_are_all_published() {
    let Some(server) = servers::mysql() else { return };
    let mut app = server.database("topic_app").await;
    let mut app_user = server.database("topic_app_user").await;
    let filter = [("canal.instance.filter.regex", r"topic_app(_user)?\..*")];
    let mut sluice = Sluice::with_instance("names", server, &filter);
    sluice.start();
    run(&mut app, "CREATE TABLE user_log (id INT PRIMARY KEY)").await;
    run(&mut app_user, "CREATE TABLE log (id INT PRIMARY KEY)").await;
    let names = ["topic_app.user_log", "topic_app_user.log"];
    for id in 1..=3 {
        run(&mut app, &format!("INSERT INTO user_log VALUES ({id})")).await;
        run(&mut app_user, &format!("INSERT INTO log VALUES ({id})")).await;
        for name in names {
            let records = topics::read_at_least(&sluice.bootstrap(), name, id + 1);
            let last = records.last().unwrap().json();
            assert_eq!(format!("{}.{}", last["database"], last["table"]).replace('"', ""), name);
            assert_eq!((records.len(), &last["data"][0]["id"]), (id + 1, &id.to_string().into()));
        }
        if id == 1 {
            sluice.kill();
        } else {
            sluice.stop();
        }
        if id < 3 {
            sluice.start();
        }
    }
    sluice.start();
    let of_wire = |name: &str| {
        let bootstrap = sluice.bootstrap();
        let create = ["--create", "--topic", name, "--bootstrap-server", &bootstrap];
        sluice.script("kafka-topics.sh", &create)
    };
    let refused = of_wire("topic.app.user.log");
    assert_ne!(refused.code, Some(0), "{}", refused.said);
    assert!(refused.said.contains("is illegal"), "{}", refused.said);
    assert_eq!(of_wire("topic.app.other").code, Some(0));
    sluice.stop();
}
