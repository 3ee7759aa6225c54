//! Each kind of alert at a receiver over a real socket; and a receiver that is away.

use std::path::PathBuf;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::change::ParkedTable;
use crate::control::{InstanceState, Phase, Retention, RetentionLevel};

const PATIENCE: Duration = Duration::from_secs(30);

/// Takes messages as they are posted.
async fn receive(listener: TcpListener, heard: mpsc::UnboundedSender<Value>) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut all = Vec::new();
        while !all.ends_with(b"}") {
            assert_ne!(stream.read_buf(&mut all).await.unwrap(), 0);
        }
        let text = String::from_utf8(all).unwrap();
        let body = text.split_once("\r\n\r\n").unwrap().1;
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        heard.send(serde_json::from_str(body).unwrap()).unwrap();
    }
}

fn config(url: &str) -> AlertConfig {
    AlertConfig {
        url: Some(Secret::new(url)),
        format: AlertFormat::Auto,
        repeat: Some(Duration::from_secs(2)),
        state: Some(Duration::from_millis(100)),
        lag: Some(Duration::from_mins(5)),
        retention_percent: 50,
        free_bytes: 1 << 30,
    }
}

async fn next(heard: &mut mpsc::UnboundedReceiver<Value>) -> Value {
    tokio::time::timeout(PATIENCE, heard.recv()).await.expect("a message in time").unwrap()
}

fn word<'a>(message: &'a Value, name: &str) -> &'a str {
    message[name].as_str().unwrap_or_default()
}

/// What makes a condition of a kind, and what ends it.
type Case = (&'static str, fn(&Board), fn(&Board));

const CASES: [Case; 6] = [
    (
        "state",
        |board| {
            let (reason, advice) = ("it was purged".to_owned(), "reset it".to_owned());
            board.reporter("a").state(InstanceState::Stopped { reason, advice }, 1);
        },
        |board| board.reporter("a").state(InstanceState::Running, 1),
    ),
    (
        "lag",
        |board| board.reporter("a").behind(301_000, None),
        |board| board.reporter("a").behind(0, None),
    ),
    (
        "retention",
        |board| {
            let left = Retention {
                used_percent: 80,
                level: RetentionLevel::Alarm,
                ..Retention::default()
            };
            board.reporter("a").behind(0, Some(left));
        },
        |board| board.reporter("a").behind(0, None),
    ),
    (
        "parked",
        |board| board.reporter("a").parked(vec![ParkedTable::default()]),
        |board| board.reporter("a").parked(Vec::new()),
    ),
    ("damage", |board| board.damage(vec!["orders-0".to_owned()]), |board| board.damage(Vec::new())),
    ("disk", |board| board.free_bytes(Some(7)), |board| board.free_bytes(Some(1 << 40))),
];

#[tokio::test]
async fn each_kind_reaches_the_receiver_repeats_as_set_and_says_when_it_is_over() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://127.0.0.1:{}/hunter2", listener.local_addr().unwrap().port());
    let (board, tasks) = (Board::new(), Tasks::new());
    let receiver = Tasks::new();
    let (said, mut heard) = mpsc::unbounded_channel();
    let receiving = receiver.spawn("receiver", receive(listener, said));
    board.phase(Phase::Serving);
    board.instance("a", 1).state(InstanceState::Running, 1);
    tell(&config(&url), String::new(), "/home".to_owned(), &board, &tasks);
    for (kind, begins, ends) in CASES {
        begins(&board);
        let first = next(&mut heard).await;
        assert_eq!((word(&first, "kind"), word(&first, "status")), (kind, "firing"), "{first}");
        // Nothing between it and the time that is set.
        let again = next(&mut heard).await;
        assert_eq!((word(&again, "kind"), word(&again, "status")), (kind, "repeated"), "{again}");
        assert_eq!(board.snapshot().alerts.firing.len(), 1, "{kind}");
        ends(&board);
        // It may have been told once more meanwhile.
        let over = loop {
            let message = next(&mut heard).await;
            assert_eq!(word(&message, "kind"), kind);
            if word(&message, "status") != "repeated" {
                break message;
            }
        };
        assert_eq!(word(&over, "status"), "resolved", "{over}");
        for message in [first, again, over] {
            assert!(!message.to_string().contains("hunter2"), "{message}");
        }
    }
    // The last one is counted when its answer is there.
    let counted = async {
        while board.snapshot().alerts.sent < 18 {
            tokio::time::sleep(EVERY).await;
        }
    };
    tokio::time::timeout(PATIENCE, counted).await.expect("all to be counted");
    let status = board.snapshot().alerts;
    assert!(status.failed == 0 && status.firing.is_empty(), "{status:?}");
    tasks.cancel();
    assert!(tasks.join().await.is_empty());
    receiving.abort();
}

#[tokio::test]
async fn a_message_waits_for_a_receiver_that_is_away_and_its_url_is_read_anew() {
    let folder = tempfile::tempdir().unwrap();
    let file: PathBuf = folder.path().join("url");
    let write = |text: &str| {
        #[expect(clippy::disallowed_methods, reason = "a test's own file")]
        std::fs::write(&file, text).unwrap();
    };
    write("http://127.0.0.1:1/nobody\n");
    let (board, tasks) = (Board::new(), Tasks::new());
    board.phase(Phase::Serving);
    let url = format!("${{file:{}}}", file.display());
    tell(&config(&url), "sluice.alert.url".to_owned(), "/home".to_owned(), &board, &tasks);
    board.damage(vec!["orders-0".to_owned()]);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    write(&format!("http://{}/\n", listener.local_addr().unwrap()));
    let receiver = Tasks::new();
    let (said, mut heard) = mpsc::unbounded_channel();
    let receiving = receiver.spawn("receiver", receive(listener, said));
    let first = next(&mut heard).await;
    assert_eq!((word(&first, "kind"), word(&first, "status")), ("damage", "firing"), "{first}");
    tasks.cancel();
    assert!(tasks.join().await.is_empty());
    receiving.abort();
}
