//! How the process is operated: whom it tells what is wrong, and what becomes of log lines.

use std::time::Duration;

use super::reader::Reader;
use super::secret::Secret;
use crate::telemetry;

/// What becomes of log lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinesConfig {
    /// Which are written; empty: what is ordinary, or said elsewhere.
    pub levels: String,
    /// How.
    pub keeping: telemetry::Keeping,
}

impl LinesConfig {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        const LEVELS: &str = "sluice.log.levels";
        let levels = reader.text(LEVELS);
        if let Err(reason) = telemetry::check_levels(&levels) {
            reader.refuse(LEVELS, reason);
        }
        let style = match reader.word("sluice.log.format") {
            "json" => telemetry::Style::Json,
            _ => telemetry::Style::Text,
        };
        let console = reader.flag("sluice.log.console");
        let bytes = reader.number("sluice.log.max.bytes");
        let limits = telemetry::Limits { bytes, files: reader.number("sluice.log.max.files") };
        Self { levels, keeping: telemetry::Keeping { style, limits, console } }
    }
}

/// What a receiver of alerts wants to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertFormat {
    /// What the host of the URL says.
    Auto,
    /// All fields.
    Json,
    /// Slack's.
    Slack,
    /// DingTalk's.
    DingTalk,
    /// Feishu's and Lark's.
    Feishu,
    /// WeCom's.
    WeCom,
}

/// Whom to tell, and of what. A limit of none is no reason to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertConfig {
    /// The webhook; none if nobody is to be told.
    pub url: Option<Secret>,
    /// What it wants to read.
    pub format: AlertFormat,
    /// After how long what lasts is told again.
    pub repeat: Option<Duration>,
    /// For how long an instance may not run.
    pub state: Option<Duration>,
    /// How far an instance may be behind.
    pub lag: Option<Duration>,
    /// How much of a server's retention may be used up; 0: all.
    pub retention_percent: u8,
    /// How much room there has to be for the log.
    pub free_bytes: u64,
}

impl AlertConfig {
    /// The key of the webhook.
    pub const URL: &'static str = "sluice.alert.url";

    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let url = reader.secret(Self::URL);
        let begins = |word: &str| url.reveal().starts_with(word);
        let is_read_later = begins("${file:") || begins("${exec:");
        if !(url.is_empty() || is_read_later || begins("http://") || begins("https://")) {
            reader.refuse(Self::URL, "write a URL that begins with http:// or https://");
        }
        let format = match reader.word("sluice.alert.format") {
            "json" => AlertFormat::Json,
            "slack" => AlertFormat::Slack,
            "dingtalk" => AlertFormat::DingTalk,
            "feishu" => AlertFormat::Feishu,
            "wecom" => AlertFormat::WeCom,
            _ => AlertFormat::Auto,
        };
        let mut seconds = |name| {
            let time = reader.time(name, Duration::from_secs(1));
            time.filter(|time| !time.is_zero())
        };
        Self {
            url: (!url.is_empty()).then_some(url),
            format,
            repeat: seconds("sluice.alert.repeat"),
            state: seconds("sluice.alert.state.seconds"),
            lag: seconds("sluice.alert.lag.seconds"),
            retention_percent: reader.number("sluice.alert.retention.percent"),
            free_bytes: reader.number("sluice.alert.disk.free.bytes"),
        }
    }
}
