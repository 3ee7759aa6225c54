//! What receivers of webhooks want to read, and how they say that they have it.
//!
//! Pure. Slack: docs.slack.dev, "Sending messages using incoming webhooks"; DingTalk:
//! open.dingtalk.com, "custom robot"; Feishu and Lark: open.feishu.cn, "custom bot"; WeCom:
//! developer.work.weixin.qq.com/document/path/91770. The three Chinese ones answer 200 to all, and
//! with a code in the body.

use serde_json::json;

use crate::control::{Message, Status};

/// WeCom takes so many bytes of a text, and refuses more.
const LONGEST_OF_WECOM: usize = 2048;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Our own: all fields of a message.
    Json,
    /// Slack, and what takes its messages (Mattermost, Rocket.Chat).
    Slack,
    /// DingTalk.
    DingTalk,
    /// Feishu and Lark.
    Feishu,
    /// WeCom.
    WeCom,
}

impl Shape {
    /// What a host wants.
    pub(super) fn of_host(host: &str) -> Self {
        let host = host.to_ascii_lowercase();
        let is = |name: &str| {
            host == name || host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'))
        };
        if is("slack.com") {
            Self::Slack
        } else if is("dingtalk.com") {
            Self::DingTalk
        } else if is("feishu.cn") || is("larksuite.com") {
            Self::Feishu
        } else if is("qyapi.weixin.qq.com") {
            Self::WeCom
        } else {
            Self::Json
        }
    }

    /// The body of the request.
    pub(super) fn body(self, message: &Message, home: &str) -> String {
        let text = line(message, home);
        let body = match self {
            Self::Json => json!({
                "source": "sluice",
                "home": home,
                "status": message.status.word(),
                "kind": message.kind.word(),
                "instance": message.instance,
                "text": message.text,
                "since": time(message.since_ms),
                "at": time(message.at_ms),
            }),
            // What is special in Slack's own form of text.
            Self::Slack => {
                let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
                json!({ "text": escaped })
            }
            Self::DingTalk => json!({ "msgtype": "text", "text": { "content": text } }),
            Self::Feishu => json!({ "msg_type": "text", "content": { "text": text } }),
            Self::WeCom => {
                let content = cut(&text, LONGEST_OF_WECOM);
                json!({ "msgtype": "text", "text": { "content": content } })
            }
        };
        body.to_string()
    }

    /// Whether an answer of 200 says that the receiver has it.
    pub(super) fn accepts(self, body: &[u8]) -> bool {
        let code = |name: &str| {
            let answer: serde_json::Value = serde_json::from_slice(body).ok()?;
            answer.get(name)?.as_i64()
        };
        match self {
            Self::Json | Self::Slack => true,
            Self::DingTalk | Self::WeCom => code("errcode").unwrap_or(0) == 0,
            // The older form of its answer has `StatusCode`.
            Self::Feishu => code("code").or_else(|| code("StatusCode")).unwrap_or(0) == 0,
        }
    }
}

/// A message as people read it. Its first word can be the keyword of a robot.
fn line(message: &Message, home: &str) -> String {
    let mark = match message.status {
        Status::Firing => "[firing]",
        Status::Repeated => "[still firing]",
        Status::Resolved => "[resolved]",
    };
    format!("sluice {mark} {} (since {}; {home})", message.text, time(message.since_ms))
}

fn time(millis: i64) -> String {
    let moment = jiff::Timestamp::from_millisecond(millis).unwrap_or_default();
    moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The first bytes of a text, whole characters.
fn cut(text: &str, longest: usize) -> &str {
    let mut end = text.len().min(longest);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
