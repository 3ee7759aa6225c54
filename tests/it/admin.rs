//! The API of a running process: who gets an answer, what it says of a real server's changes, and
//! that no secret is in any of it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::kafka::kafka;
use crate::harness::program::assert_ended;
use crate::harness::servers::{mysql, run};
use crate::harness::{PATIENCE, Sluice, topics, wait_for};

/// A client that is somewhere, and may be logged in.
struct Asks {
    host: String,
    port: u16,
    headers: Vec<String>,
}

/// Status, head and body.
struct Answer {
    status: u16,
    head: String,
    json: Value,
}

impl Asks {
    fn at(host: &str, sluice: &Sluice) -> Self {
        Self { host: host.to_owned(), port: sluice.metrics_port(), headers: Vec::new() }
    }

    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let mut stream = TcpStream::connect((&*self.host, self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.host);
        request.push_str("Connection: close\r\n");
        for header in &self.headers {
            request.push_str(header);
            request.push_str("\r\n");
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        let length = body.len();
        write!(
            stream,
            "{request}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let json = serde_json::from_str(body).unwrap_or(Value::String(body.to_owned()));
        Answer { status, head: head.to_owned(), json }
    }

    fn get(&self, path: &str) -> Value {
        let answer = self.ask("GET", path, None);
        assert_eq!(answer.status, 200, "{path}: {}", answer.json);
        answer.json
    }

    /// Logs in, and sends what that gave from then on.
    fn log_in(&mut self, how: &Value) -> u16 {
        let answer = self.ask("POST", "/api/v1/session", Some(how));
        if answer.status == 200 {
            let cookie = answer.head.lines().find_map(|line| line.strip_prefix("set-cookie: "));
            let cookie = cookie.and_then(|cookie| cookie.split(';').next()).unwrap();
            self.headers.push(format!("Cookie: {cookie}"));
            let csrf = answer.json["csrf"].as_str().unwrap();
            self.headers.push(format!("X-CSRF-Token: {csrf}"));
        }
        answer.status
    }
}

/// An address of this machine that is not loopback.
fn own_address() -> Option<String> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent.
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip().to_string())
}

fn add_user(sluice: &Sluice, name: &str, role: &str, password: &str) {
    let input = format!("{password}\n");
    let added = sluice.command_with_input(&["user", "add", name, "--role", role], &input);
    assert_ended(&added, 0, &[&format!("{name} may log in as {role}")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_topics_messages_groups_and_the_audit_are_what_they_are() {
    let Some(server) = mysql() else { return };
    let mut source = server.database("api").await;
    run(&mut source, "CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(20))").await;
    let filter =
        [("canal.instance.filter.regex", r"api\..*"), ("canal.instance.filter.query.ddl", "true")];
    let mut sluice = Sluice::with_instance("api", server, &filter);
    sluice.start();
    run(&mut source, "INSERT INTO t VALUES (1, 'pear'), (2, 'plum')").await;
    run(&mut source, "UPDATE t SET name = 'fig' WHERE id = 2").await;
    let bootstrap = sluice.bootstrap();
    let read = topics::read_at_least(&bootstrap, "api.t", 2);
    let group = ["--bootstrap-server", &bootstrap, "--topic", "api.t", "--group", "readers"];
    let rest = ["--from-beginning", "--max-messages", "1", "--timeout-ms", "20000"];
    let one = sluice.script("kafka-console-consumer.sh", &[&group[..], &rest].concat());
    assert_ended(&one, 0, &["Processed a total of 1 messages"]);

    let login = sluice.command(&["login"]);
    assert_ended(&login, 0, &["#link="]);
    let link = login.said.lines().next().unwrap().split_once("#link=").unwrap().1.to_owned();
    let mut page = Asks::at("127.0.0.1", &sluice);
    assert_eq!(page.log_in(&json!({"link": link})), 200);

    let instance = page.get("/api/v1/instances/api");
    assert_eq!(instance["state"], "running", "{instance}");
    let table = &instance["tables"][0];
    assert_eq!((&table["table"], &table["topic"]), (&json!("api.t"), &json!("api.t")));
    assert_eq!((&table["rows"], &table["messages"]), (&json!(3), &json!(2)), "{instance}");
    let health: Value = serde_json::from_str(&sluice.health().unwrap().1).unwrap();
    let position = page.get("/api/v1/instances/api/position");
    assert_eq!(position["position"], health["instances"][0]["progress"]["position"]);
    assert!(
        page.get("/api/v1/instances/api/log")["lines"]
            .as_array()
            .is_some_and(|all| !all.is_empty())
    );

    let listed = page.get("/api/v1/topics");
    let topic = listed["topics"].as_array().unwrap().iter().find(|one| one["name"] == "api.t");
    let topic = topic.unwrap();
    assert_eq!((&topic["messages"], &topic["partitions"]), (&json!(2), &json!(1)), "{topic}");
    assert!(topic["bytes"].as_u64().is_some_and(|bytes| bytes > 100), "{topic}");
    let messages = page.get("/api/v1/topics/api.t/messages?from=offset&partition=0&offset=1");
    let message = &messages["messages"][0];
    assert_eq!(message["offset"], 1);
    assert_eq!(message["value"]["text"].as_str(), Some(&*read[1].value));
    let newest = page.get("/api/v1/topics/api.t/messages?limit=1");
    assert_eq!(newest["messages"], json!([message]));
    let since = page.get("/api/v1/topics/api.t/messages?from=time&time_ms=0");
    assert_eq!(since["messages"].as_array().map(Vec::len), Some(2));
    assert_eq!(page.ask("GET", "/api/v1/topics/none/messages", None).status, 404);

    let new = json!({"name": "made", "partitions": 2, "settings": {"retention.ms": "1000000"}});
    assert_eq!(page.ask("POST", "/api/v1/topics", Some(&new)).status, 200);
    assert_eq!(page.ask("POST", "/api/v1/topics", Some(&new)).status, 409, "it is there");
    let change = json!({"partitions": 3, "set": {"retention.ms": "2000000"}});
    assert_eq!(page.ask("PATCH", "/api/v1/topics/made", Some(&change)).status, 200);
    let made = page.get("/api/v1/topics/made");
    assert_eq!(made["partitions"].as_array().map(Vec::len), Some(3), "{made}");
    let retention = json!({"name": "retention.ms", "value": "2000000", "is_own": true});
    assert!(made["settings"].as_array().unwrap().contains(&retention), "{made}");
    assert_eq!(page.ask("DELETE", "/api/v1/topics/made", None).status, 200);
    assert_eq!(page.ask("GET", "/api/v1/topics/made", None).status, 404);

    let group = page.get("/api/v1/groups/readers");
    let row = &group["offsets"][0];
    assert_eq!((&row["committed"], &row["end"], &row["lag"]), (&json!(1), &json!(2), &json!(1)));
    let reset = |to: Value, dry: bool| json!({"to": to, "dry_run": dry});
    let path = "/api/v1/groups/readers/reset";
    let dry = page.ask("POST", path, Some(&reset(json!("earliest"), true))).json;
    assert_eq!((&dry["before"][0]["offset"], &dry["after"][0]["offset"]), (&json!(1), &json!(0)));
    assert_eq!(page.get("/api/v1/groups/readers")["offsets"][0]["committed"], 1, "a dry run");
    assert_eq!(page.ask("POST", path, Some(&reset(json!({"offset": 2}), false))).status, 200);
    assert_eq!(page.get("/api/v1/groups/readers")["offsets"][0]["committed"], 2);
    assert_eq!(page.ask("DELETE", "/api/v1/groups/readers", None).status, 200);
    assert_eq!(page.ask("GET", "/api/v1/groups/readers", None).status, 404);

    let place = json!({"file": "binlog.000001", "offset": 4});
    let position = "/api/v1/instances/api/position";
    let dry = page.ask("PUT", &format!("{position}?dry_run=true"), Some(&place)).json;
    assert_eq!(dry["wants"], "stop api first");
    let refused = page.ask("PUT", position, Some(&place));
    assert_eq!(refused.status, 409, "it runs: {}", refused.json);
    assert_ended(&sluice.command(&["instance", "stop", "api"]), 0, &["api is stopped"]);
    assert_eq!(page.get("/api/v1/instances/api")["state"], "stopped");
    assert_eq!(page.ask("POST", "/api/v1/instances/api/start", None).status, 200);
    wait_for("the instance to run again", PATIENCE, || {
        (page.get("/api/v1/instances/api")["state"] == "running").then_some(())
    });

    let entries = page.get("/api/v1/audit")["entries"].clone();
    let entries: Vec<(String, String, String)> = entries
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .map(|one| {
            let text = |key: &str| one[key].as_str().unwrap().to_owned();
            assert!(one["time_ms"].as_i64().is_some_and(|time| time > 0), "{one}");
            (text("what"), text("on"), text("who"))
        })
        .collect();
    let (by_page, by_command) = ("a one-time link", "a command on the machine");
    let expected = [
        ("topic create", "made", by_page),
        ("topic create", "made", by_page),
        ("topic alter", "made", by_page),
        ("topic delete", "made", by_page),
        ("group reset", "readers", by_page),
        ("group delete", "readers", by_page),
        ("position set", "api", by_page),
        ("instance stop", "api", by_command),
        ("instance start", "api", by_page),
    ];
    let expected = expected.map(|(what, on, who)| (what.into(), on.into(), who.into()));
    assert_eq!(entries, expected);
    sluice.kill();
    sluice.start();
    let mut page = Asks::at("127.0.0.1", &sluice);
    assert_eq!(page.log_in(&json!({"link": link})), 401, "the link was opened");
    let login = sluice.command(&["login"]);
    let link = login.said.lines().next().unwrap().split_once("#link=").unwrap().1.to_owned();
    assert_eq!(page.log_in(&json!({"link": link})), 200);
    let kept = page.get("/api/v1/audit")["entries"].as_array().map(Vec::len);
    assert_eq!(kept, Some(expected.len()), "the audit survives a kill");
    sluice.stop();
}

#[test]
fn from_elsewhere_only_users_are_answered_and_a_viewer_changes_nothing() {
    let mut sluice = Sluice::new();
    sluice.launch();
    wait_for("it to serve", PATIENCE, || {
        sluice.health().filter(|(_, body)| body.contains(r#""phase":"serving""#))
    });
    // A machine without a network has no other address.
    let Some(address) = own_address() else { return };
    let elsewhere = || Asks::at(&address, &sluice);
    for path in ["/", "/page/main.js", "/api/v1/instances", "/api/v1/session", "/api/v1/audit"] {
        assert_eq!(elsewhere().ask("GET", path, None).status, 401, "{path}");
    }
    assert_ne!(elsewhere().ask("GET", "/health", None).status, 401);
    assert_eq!(elsewhere().ask("GET", "/metrics", None).status, 200);

    add_user(&sluice, "vera", "view", "canary-first-password");
    add_user(&sluice, "anna", "admin", "canary-other-password");
    let listed = sluice.command(&["user", "list"]);
    assert_ended(&listed, 0, &["vera: view", "anna: admin"]);
    assert_eq!(elsewhere().ask("GET", "/", None).status, 200, "the form of the login");
    assert_eq!(elsewhere().ask("GET", "/api/v1/instances", None).status, 401);
    let mut vera = elsewhere();
    assert_eq!(vera.log_in(&json!({"user": "vera", "password": "canary-other-password"})), 401);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(vera.log_in(&json!({"user": "vera", "password": "canary-first-password"})), 200);
    vera.get("/api/v1/instances");
    let topic = json!({"name": "hers"});
    assert_eq!(vera.ask("POST", "/api/v1/topics", Some(&topic)).status, 403);
    assert_eq!(vera.ask("POST", "/api/v1/reload", None).status, 403);
    let mut anna = elsewhere();
    assert_eq!(anna.log_in(&json!({"user": "anna", "password": "canary-other-password"})), 200);
    assert_eq!(anna.ask("POST", "/api/v1/topics", Some(&topic)).status, 200);
    let dir = json!({"dir": sluice.folder("copy").display().to_string()});
    assert_eq!(
        anna.ask("POST", "/api/v1/log/backup", Some(&dir)).status,
        403,
        "a file of the machine"
    );
    let stolen = Asks { headers: anna.headers[..1].to_vec(), ..elsewhere() };
    assert_eq!(stolen.ask("DELETE", "/api/v1/topics/hers", None).status, 403, "without its token");

    // What was shown to her, and what is on the disk for others to read, has no secret in it.
    let token = std::fs::read_to_string(sluice.folder("run/token")).unwrap();
    let cookie = anna.headers[0].split_once('=').unwrap().1.to_owned();
    let mut shown = sluice.said();
    for path in [
        "/health",
        "/metrics",
        "/",
        "/page/main.js",
        "/api/v1/openapi.json",
        "/api/v1/status",
        "/api/v1/instances",
        "/api/v1/topics",
        "/api/v1/topics/hers",
        "/api/v1/groups",
        "/api/v1/audit",
        "/api/v1/topics/hers/messages",
        "/api/v1/topics/__sluice_audit/messages",
        "/api/v1/topics/__sluice_metadata/messages",
        "/api/v1/nothing",
    ] {
        let answer = anna.ask("GET", path, None);
        shown.push_str(&answer.head);
        shown.push_str(&answer.json.to_string());
    }
    let command = std::fs::read(format!("/proc/{}/cmdline", sluice.id())).unwrap();
    shown.push_str(&String::from_utf8_lossy(&command));
    for secret in [token.trim(), "canary-", &cookie, "argon2"] {
        assert!(!shown.contains(secret), "{secret} is in\n{shown}");
    }
    for file in ["run/token", "conf/users"] {
        let mode = std::fs::metadata(sluice.folder(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    assert_ended(&sluice.command(&["user", "remove", "anna"]), 0, &["may log in no more"]);
    assert_eq!(anna.ask("GET", "/api/v1/instances", None).status, 401, "who was removed is out");
    sluice.stop();
}

#[test]
fn advertised_listeners_that_lead_elsewhere_do_not_lead_the_page_there() {
    let mut sluice = Sluice::new();
    sluice.broker("advertised.listeners", "PLAINTEXT://kafka.invalid:9092");
    sluice.launch();
    wait_for("it to serve", PATIENCE, || {
        sluice.health().filter(|(_, body)| body.contains(r#""phase":"serving""#))
    });
    let login = sluice.command(&["login"]);
    let link = login.said.lines().next().unwrap().split_once("#link=").unwrap().1.to_owned();
    let mut page = Asks::at("localhost", &sluice);
    assert_eq!(page.log_in(&json!({"link": link})), 200);
    let made = page.ask("POST", "/api/v1/topics", Some(&json!({"name": "here"})));
    assert_eq!(made.status, 200, "{}", made.json);
    assert!(page.get("/api/v1/topics").to_string().contains(r#""name":"here""#));
    sluice.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_cluster_topics_groups_and_the_audit_are_the_clusters() {
    let (Some(server), Some(kafka)) = (mysql(), kafka()) else { return };
    let mut source = server.database("api_cluster").await;
    run(&mut source, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    let filter = [("canal.instance.filter.regex", r"api_cluster\..*")];
    let mut sluice = Sluice::with_instance("api", server, &filter);
    sluice.use_cluster(kafka);
    sluice.canal("sluice.group", "audited");
    sluice.start();
    run(&mut source, "INSERT INTO t VALUES (1)").await;
    let rows = kafka.read_at_least("api_cluster.t", 1);
    let login = sluice.command(&["login"]);
    let link = login.said.lines().next().unwrap().split_once("#link=").unwrap().1.to_owned();
    let mut page = Asks::at("127.0.0.1", &sluice);
    assert_eq!(page.log_in(&json!({"link": link})), 200);
    let topic = page.get("/api/v1/topics/api_cluster.t");
    assert_eq!(topic["partitions"].as_array().map(Vec::len), Some(1), "{topic}");
    assert!(topic["partitions"][0]["bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{topic}");
    let messages = page.get("/api/v1/topics/api_cluster.t/messages");
    let values: Vec<&str> = messages["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["value"]["text"].as_str().unwrap())
        .collect();
    assert_eq!(values, rows.iter().map(|one| &*one.value).collect::<Vec<_>>());
    assert_ended(&sluice.command(&["instance", "stop", "api"]), 0, &["api is stopped"]);
    let audit = kafka.read_at_least("__audited.audit", 1);
    assert_eq!(audit[0].json()["what"], "instance stop");
    let shown = page.get("/api/v1/audit");
    assert_eq!(shown["entries"][0]["on"], "api", "{shown}");
    sluice.stop();
}
