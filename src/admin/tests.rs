//! The port as a client sees it, over a real socket.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::client::{Client, Error};
use super::*;
use crate::control::{Done, InstanceState, Phase, Received, commands};
use crate::shutdown::Tasks;

pub(super) const TOKEN: &str = "canary-b7f3c1d9e5a24680";

pub(super) struct Running {
    pub(super) board: Board,
    pub(super) client: Client,
    pub(super) port: u16,
    pub(super) tasks: Tasks,
    pub(super) asked: tokio::sync::mpsc::Receiver<crate::control::Asked>,
    audited: tokio::sync::mpsc::UnboundedReceiver<Entry>,
}

pub(super) async fn running() -> Running {
    running_on("127.0.0.1:0").await
}

async fn running_on(address: &str) -> Running {
    let listener = TcpListener::bind(address).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let board = Board::new();
    let tasks = Tasks::new();
    let (commands, asked) = commands();
    let stop: CancellationToken = tasks.token().clone();
    let (remembered, audited) = tokio::sync::mpsc::unbounded_channel();
    let admin = Admin::new(Setup {
        board: board.clone(),
        commands,
        extra: Arc::new(|_| {}),
        token: Some(TOKEN.to_owned()),
        users: PathBuf::from("/nowhere/conf/users"),
        hosts: Vec::new(),
        audit: Arc::new(move |entry| {
            let _ = remembered.send(entry);
            Box::pin(async { Ok(()) })
        }),
        audit_topic: "__sluice_audit".to_owned(),
        kafka: Kafka::default(),
        owned: Arc::new(|_| Vec::new()),
        logs: PathBuf::from("/nowhere/logs"),
    });
    tasks.spawn("admin", admin.serve(listener, stop.cancelled_owned()));
    let client = Client::new(None, port).with_token(Some(TOKEN.to_owned()));
    Running { board, client, port, tasks, asked, audited }
}

#[tokio::test]
async fn health_says_state_and_reason_of_each_instance() {
    let running = running().await;
    let reporter = running.board.instance("example", 5);
    running.board.phase(Phase::Serving);
    let stopped = InstanceState::Stopped {
        reason: "binlog.000001 was purged".to_owned(),
        advice: "sluice position reset example".to_owned(),
    };
    reporter.state(stopped, 6);
    let snapshot = running.client.health().await.unwrap();
    assert_eq!(snapshot, running.board.snapshot());
    assert_eq!(snapshot.instances[0].state.reason(), Some("binlog.000001 was purged"));
    running.tasks.cancel();
    assert!(running.tasks.join().await.is_empty());
}

#[tokio::test]
async fn health_is_200_only_when_everything_runs() {
    let running = running().await;
    let (status, _) = raw(running.port, "/health").await;
    assert_eq!(status, 503);
    running.board.phase(Phase::Serving);
    let (status, body) = raw(running.port, "/health").await;
    assert_eq!(status, 200);
    assert!(body.contains(r#""phase":"serving""#), "{body}");
}

#[tokio::test]
async fn metrics_have_canals_names_and_ours() {
    let running = running().await;
    let reporter = running.board.instance("example", 5);
    reporter.state(InstanceState::Running, 6);
    let done = Done { transactions: 2, rows: 30, messages: 3, bytes: 900 };
    let position = r#"{"kind":"mysql","file":"binlog.000007","offset":4711,"server_uuid":"u","file_created":1,"event_time":2}"#;
    reporter.durable(&serde_json::from_str(position).unwrap(), done);
    reporter.received(Received { dropped_rows_events: 5, ..Received::default() });
    let (status, body) = raw(running.port, "/metrics").await;
    assert_eq!(status, 200);
    for line in [
        r#"canal_instance{destination="example",mode="embedded"} 1"#,
        r#"canal_instance_transactions{destination="example"} 2"#,
        r#"sluice_instance_rows_total{destination="example"} 30"#,
        r#"sluice_instance_state{destination="example",state="running"} 1"#,
        r#"sluice_instance_position{destination="example",file="binlog.000007"} 4711"#,
        r#"sluice_instance_dropped_rows_events_total{destination="example"} 5"#,
        "sluice_serving 0",
        "# EOF",
    ] {
        assert!(body.lines().any(|found| found == line), "no `{line}` in\n{body}");
    }
}

#[tokio::test]
async fn a_command_is_forwarded_and_its_refusal_comes_back() {
    let mut running = running().await;
    let client = running.client.clone();
    let tasks = Tasks::new();
    let waiting = tasks.spawn("client", async move { client.stop("other").await });
    let asked = running.asked.recv().await.unwrap();
    assert_eq!(asked.command, Command::Stop { instance: "other".to_owned() });
    asked.answer.send(Err("no instance other".to_owned())).unwrap();
    let answer = waiting.await.unwrap();
    assert!(matches!(answer, Err(Error::Refused(reason)) if reason == "no instance other"));
    let entry = running.audited.recv().await.unwrap();
    assert_eq!((&*entry.what, &*entry.on), ("instance stop", "other"));
    assert_eq!((&*entry.who, &*entry.from), ("a command on the machine", "127.0.0.1"));
    assert_eq!(entry.outcome, "no instance other");
}

#[tokio::test]
async fn a_command_without_the_token_is_refused_though_it_comes_over_loopback() {
    let mut running = running().await;
    let without = running.client.clone().with_token(None);
    for answer in [without.stop("a").await, without.reset_position("a", true).await] {
        assert!(matches!(answer, Err(Error::Refused(reason)) if reason.contains("run/token")));
    }
    let wrong = running.client.clone().with_token(Some("0".repeat(64)));
    assert!(matches!(wrong.start("a").await, Err(Error::Refused(_))));
    assert!(running.asked.try_recv().is_err(), "nothing came through");
    assert!(without.health().await.is_ok());
}

#[tokio::test]
async fn a_change_is_remembered_with_what_was_before_and_what_is_after() {
    let mut running = running().await;
    let reporter = running.board.instance("a", 5);
    reporter.state(InstanceState::Running, 6);
    let (client, tasks) = (running.client.clone(), Tasks::new());
    let waiting = tasks.spawn("client", async move { client.stop("a").await });
    let asked = running.asked.recv().await.unwrap();
    let (reason, advice) = ("stopped on request".to_owned(), String::new());
    reporter.state(InstanceState::Stopped { reason, advice }, 7);
    asked.answer.send(Ok(String::new())).unwrap();
    waiting.await.unwrap().unwrap();
    let entry = running.audited.recv().await.unwrap();
    assert_eq!(
        (&entry.before["state"], &entry.after["state"]),
        (&"running".into(), &"stopped".into())
    );
    assert_eq!(entry.outcome, "done");
}

/// Health is for all; a command is for this machine. A machine of its own address is as
/// good as another one.
#[tokio::test]
async fn commands_are_taken_over_loopback_only_whatever_a_proxy_says() {
    for (address, is_here) in [
        ("127.0.0.1", true),
        ("127.8.8.8", true),
        ("::1", true),
        ("::ffff:127.0.0.1", true),
        ("10.0.0.1", false),
        ("0.0.0.0", false),
        ("::", false),
        ("::ffff:10.0.0.1", false),
        ("fe80::1", false),
    ] {
        assert_eq!(Peer(address.parse().unwrap()).is_here(), is_here, "{address}");
    }
    let Running { port, tasks, mut asked, .. } = running_on("[::]:0").await;
    let lines = ["POST /instances/a/stop", "POST /instances/a/start", "POST /reload"];
    let lines = lines.iter().chain(&["PUT /instances/a/position", "DELETE /instances/a/position"]);
    for line in lines {
        for header in ["x-forwarded-for: 127.0.0.1", "x-real-ip: ::1", "forwarded: for=127.0.0.1"] {
            // A machine without a network has none.
            if let Some(own) = own_address() {
                let (status, text) = asks(&own, port, line, header).await;
                assert_eq!(status, 403, "{line}");
                assert!(text.contains("over loopback only"), "{text}");
            }
        }
        let (status, text) = asks("127.0.0.1", port, line, "origin: http://evil.example").await;
        assert_eq!(status, 403, "{line}");
        assert!(text.contains("web pages"), "{text}");
    }
    assert!(asked.try_recv().is_err(), "nothing came through");
    let all = own_address().unwrap_or_else(|| "127.0.0.1".to_owned());
    for line in ["GET /health", "GET /metrics"] {
        let (status, _) = asks(&all, port, line, "origin: http://example.com").await;
        assert_ne!(status, 403, "{line}");
    }
    for here in ["127.0.0.1", "::1"] {
        let commanded = tasks.spawn("client", async move {
            let header = format!("x-forwarded-for: 192.0.2.1\r\nauthorization: Bearer {TOKEN}");
            asks(here, port, "POST /reload", &header).await
        });
        let command = asked.recv().await.unwrap();
        assert_eq!(command.command, Command::Reload);
        command.answer.send(Ok(String::new())).unwrap();
        assert_eq!(commanded.await.unwrap().0, 200);
    }
    tasks.cancel();
}

/// An address of this machine that is not loopback.
fn own_address() -> Option<String> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent.
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip().to_string())
}

#[tokio::test]
async fn nobody_there_is_distinguished_from_somebody_strange() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let answer = Client::new(Some("0.0.0.0"), port).health().await;
    assert!(matches!(answer, Err(Error::Unreachable { .. })), "{answer:?}");
}

/// Status and body, by hand: not through the client under test.
async fn raw(port: u16, path: &str) -> (u16, String) {
    asks("127.0.0.1", port, &format!("GET {path}"), "a: b").await
}

/// The same for any request without a body.
pub(super) async fn asks(host: &str, port: u16, line: &str, header: &str) -> (u16, String) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect((host, port)).await.unwrap();
    let request =
        format!("{line} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{header}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer)
}

/// What somebody sends, and leaves at that.
const LEFT_UNDONE: &[(&str, &str)] = &[
    ("nothing", ""),
    ("half a line", "GET /health HT"),
    ("half a head", "GET /health HTTP/1.1\r\nhost: x\r\nacc"),
    ("a head without its end", "POST /reload HTTP/1.1\r\nhost: x\r\n"),
    (
        "no body",
        "PUT /instances/a/position HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer canary-b7f3c1d9e5a24680\r\ncontent-length: 100\r\n\r\n",
    ),
    (
        "half a body",
        "POST /instances/a/retry HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer canary-b7f3c1d9e5a24680\r\ncontent-length: 9\r\n\r\na.b",
    ),
    (
        "half a chunk",
        "POST /reload HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer canary-b7f3c1d9e5a24680\r\ntransfer-encoding: chunked\r\n\r\n9\r\nabc",
    ),
    ("a body that nobody reads", "GET /health HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n"),
    ("a connection that is kept", "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n"),
    ("a large answer that nobody takes", "GET /health HTTP/1.1\r\nhost: x\r\n\r\n"),
];

async fn leave_undone(running: &Running, what: &str, text: &str) -> tokio::net::TcpStream {
    use tokio::io::AsyncWriteExt;
    let reporter = running.board.instance("large", 5);
    let reason = "x".repeat(if what.contains("nobody takes") { LARGE } else { 1 });
    reporter.state(InstanceState::Stopped { reason, advice: String::new() }, 6);
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", running.port)).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    stream
}

#[tokio::test(start_paused = true)]
async fn whatever_clients_leave_undone_the_end_comes_within_its_time() {
    for (what, text) in LEFT_UNDONE {
        let running = running().await;
        let _stream = leave_undone(&running, what, text).await;
        let begun = tokio::time::Instant::now();
        running.tasks.cancel();
        let ended = tokio::time::timeout(Duration::from_mins(10), running.tasks.join()).await;
        assert!(ended.expect(what).is_empty(), "{what}");
        let took = begun.elapsed();
        assert!(took <= connections::STOP_TIME + Duration::from_millis(10), "{what}: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_leaves_a_request_undone_is_given_up() {
    for (what, text) in LEFT_UNDONE {
        let running = running().await;
        let mut stream = leave_undone(&running, what, text).await;
        if what.contains("nobody takes") {
            tokio::time::sleep(connections::ANSWER_TIME * 2).await;
        }
        let answer = tokio::time::timeout(connections::HEAD_TIME * 3, rest_of(&mut stream)).await;
        let answer = answer.unwrap_or_else(|_| panic!("{what}: the connection stays"));
        assert!(answer.len() < LARGE, "{what}");
        let answer = String::from_utf8_lossy(&answer);
        let has_head = text.contains("\r\n\r\n");
        let status = match text.starts_with("GET") {
            _ if !has_head => "",
            true => "HTTP/1.1 ",
            false => "HTTP/1.1 408 ",
        };
        assert!(answer.starts_with(status), "{what}: {}", &answer[..answer.len().min(100)]);
    }
}

/// More than buffers of the system hold.
const LARGE: usize = 64 << 20;

async fn rest_of(stream: &mut tokio::net::TcpStream) -> Vec<u8> {
    use tokio::io::AsyncReadExt;
    let mut answer = Vec::new();
    // Where it is cut, that is the end too.
    let _ = stream.read_to_end(&mut answer).await;
    answer
}

#[tokio::test]
async fn one_connection_too_many_is_closed_and_its_place_is_had_again() {
    let running = running().await;
    let connect = || tokio::net::TcpStream::connect(("127.0.0.1", running.port));
    let mut kept = Vec::new();
    for _ in 0..connections::MOST_CONNECTIONS {
        kept.push(connect().await.unwrap());
    }
    let mut one_more = connect().await.unwrap();
    assert_eq!(rest_of(&mut one_more).await, b"");
    kept.clear();
    while running.client.health().await.is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
