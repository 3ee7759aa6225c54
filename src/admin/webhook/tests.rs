//! Messages as a receiver hears them, over a real socket; and receivers that do not listen.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::control::{Kind, Status};
use crate::shutdown::Tasks;

fn message() -> Message {
    Message {
        kind: Kind::State,
        instance: Some("example".to_owned()),
        status: Status::Firing,
        text: "instance example is stopped: <a> & b".to_owned(),
        since_ms: 1_714_550_400_000,
        at_ms: 1_714_550_460_000,
    }
}

/// A receiver that answers one request; what it heard.
async fn heard(path: &str, shape: Option<Shape>, answer: &str) -> (String, Result<(), Error>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{answer}", answer.len());
    let tasks = Tasks::new();
    let receiver = tasks.spawn("receiver", async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut all = Vec::new();
        // The body is one object, and no text in it has a brace.
        while !all.ends_with(b"}") {
            assert_ne!(stream.read_buf(&mut all).await.unwrap(), 0);
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(all).unwrap()
    });
    let webhook = Webhook::new(&format!("http://127.0.0.1:{port}{path}"), shape).unwrap();
    let sent = webhook.send(&message(), "/opt/sluice").await;
    (receiver.await.unwrap(), sent)
}

#[tokio::test]
async fn each_receiver_hears_it_in_its_own_shape() {
    let text = "sluice [firing] instance example is stopped: <a> & b \
                (since 2024-05-01T08:00:00Z; /opt/sluice)";
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    for (shape, body) in [
        (Shape::Slack, serde_json::json!({ "text": escaped })),
        (Shape::DingTalk, serde_json::json!({"msgtype": "text", "text": {"content": text}})),
        (Shape::Feishu, serde_json::json!({"msg_type": "text", "content": {"text": text}})),
        (Shape::WeCom, serde_json::json!({"msgtype": "text", "text": {"content": text}})),
        (
            Shape::Json,
            serde_json::json!({
                "source": "sluice", "home": "/opt/sluice", "status": "firing", "kind": "state",
                "instance": "example", "text": "instance example is stopped: <a> & b",
                "since": "2024-05-01T08:00:00Z", "at": "2024-05-01T08:01:00Z",
            }),
        ),
    ] {
        let (request, sent) = heard("/hook?token=t0", Some(shape), "ok").await;
        sent.unwrap();
        let (head, found) = request.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /hook?token=t0 HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("content-type: application/json"), "{head}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(found).unwrap(), body, "{shape:?}");
    }
}

#[test]
fn the_host_says_which_shape_it_wants() {
    for (url, shape) in [
        ("https://hooks.slack.com/services/T/B/x", Shape::Slack),
        ("https://oapi.dingtalk.com/robot/send?access_token=x", Shape::DingTalk),
        ("https://open.feishu.cn/open-apis/bot/v2/hook/x", Shape::Feishu),
        ("https://open.larksuite.com/open-apis/bot/v2/hook/x", Shape::Feishu),
        ("https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=x", Shape::WeCom),
        ("http://alerts.example.com:8080/x", Shape::Json),
        ("https://notslack.com/x", Shape::Json),
    ] {
        assert_eq!(Webhook::new(url, None).unwrap().shape, shape, "{url}");
    }
    for url in ["", "hooks.slack.com/x", "ftp://a/b", "https://", "/x", "http:///x"] {
        assert!(matches!(Webhook::new(url, None), Err(Error::Url)), "{url}");
    }
}

/// They answer 200 to what they do not take.
#[tokio::test]
async fn a_code_in_an_answer_is_a_refusal() {
    for (shape, answer) in [
        (Shape::DingTalk, r#"{"errcode":310000,"errmsg":"keywords not in content"}"#),
        (Shape::WeCom, r#"{"errcode":93000,"errmsg":"invalid webhook url"}"#),
        (Shape::Feishu, r#"{"code":19001,"msg":"param invalid"}"#),
    ] {
        let (_, sent) = heard("/", Some(shape), answer).await;
        assert!(matches!(sent, Err(Error::Refused { .. })), "{shape:?}: {sent:?}");
        let fine = answer.replace("310000", "0").replace("93000", "0").replace("19001", "0");
        heard("/", Some(shape), &fine).await.1.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn who_does_not_answer_keeps_nobody_and_no_error_shows_the_url() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}/services/hunter2?token=hunter2");
    let webhook = Webhook::new(&url, None).unwrap();
    let late = webhook.send(&message(), "/").await.unwrap_err();
    assert!(matches!(late, Error::Late { .. }), "{late}");
    drop(listener);
    let gone = webhook.send(&message(), "/").await.unwrap_err();
    assert!(matches!(gone, Error::Unreachable { .. } | Error::Late { .. }), "{gone}");
    for said in [format!("{late} {late:?}"), format!("{gone} {gone:?}"), format!("{webhook:?}")] {
        assert!(!said.contains("hunter2"), "{said}");
    }
}
