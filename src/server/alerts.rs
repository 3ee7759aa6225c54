//! Tells people what is wrong, where `sluice.alert.url` names a webhook.
//!
//! In: the board, each second. Out: alerts, in order, one at a time. Two tasks, so that a receiver
//! that is slow or gone keeps nothing from being noticed: what waits for it is at most [`WAITING`]
//! messages; one that cannot be delivered is tried again for [`LONGEST`], and then given up. What became
//! of them is on the board.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::settings::read_secret;
use crate::admin::webhook::{Shape, Webhook};
use crate::clock;
use crate::config::{AlertConfig, AlertFormat, Secret, Settings};
use crate::control::{Alerts, Board, Message, Rules};
use crate::shutdown::Tasks;

/// How often the board is looked at.
const EVERY: Duration = Duration::from_millis(if cfg!(test) { 20 } else { 1000 });

/// How long what was wrong has to be away to be over.
const CALM: Duration = Duration::from_millis(if cfg!(test) { 200 } else { 10_000 });

/// Messages that wait for the receiver.
const WAITING: usize = 256;

/// Between two tries.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// How long a message is worth trying.
const LONGEST: Duration = Duration::from_mins(15);

/// Begins to watch, if anybody is to be told.
pub(super) fn begin(settings: &Settings, board: &Board, tasks: &Tasks) {
    let home = settings.home.display().to_string();
    tell(&settings.server.alerts, settings.key_and_place(AlertConfig::URL), home, board, tasks);
}

/// `at` is where the URL is written.
fn tell(config: &AlertConfig, at: String, home: String, board: &Board, tasks: &Tasks) {
    let Some(url) = &config.url else { return };
    let (sender, messages) = mpsc::channel(WAITING);
    let receiver =
        Receiver { url: url.clone(), at, shape: shape(config.format), home, board: board.clone() };
    let (rules, stopped) = (rules(config), tasks.token().clone());
    tasks.spawn("watch for alerts", watch(board.clone(), rules, sender, stopped.clone()));
    tasks.spawn("send alerts", async move {
        tokio::select! {
            biased;
            () = stopped.cancelled() => {}
            () = receiver.deliver(messages) => {}
        }
    });
}

fn rules(config: &AlertConfig) -> Rules {
    let AlertConfig { url: _, format: _, repeat, state, lag, retention_percent, free_bytes } =
        config;
    Rules {
        repeat: *repeat,
        state: *state,
        lag: *lag,
        retention_percent: *retention_percent,
        free_bytes: *free_bytes,
        calm: CALM,
    }
}

fn shape(format: AlertFormat) -> Option<Shape> {
    match format {
        AlertFormat::Auto => None,
        AlertFormat::Json => Some(Shape::Json),
        AlertFormat::Slack => Some(Shape::Slack),
        AlertFormat::DingTalk => Some(Shape::DingTalk),
        AlertFormat::Feishu => Some(Shape::Feishu),
        AlertFormat::WeCom => Some(Shape::WeCom),
    }
}

async fn watch(
    board: Board,
    rules: Rules,
    sender: mpsc::Sender<Message>,
    stopped: CancellationToken,
) {
    let mut alerts = Alerts::default();
    loop {
        for message in alerts.step(&board.snapshot(), &rules, clock::now_millis()) {
            tracing::warn!(
                kind = message.kind.word(),
                status = message.status.word(),
                "alert: {}",
                message.text
            );
            if sender.try_send(message).is_err() {
                board.alert_failed("too many alerts wait for their receiver".to_owned());
            }
        }
        board.alerts_firing(&alerts);
        tokio::select! {
            biased;
            () = stopped.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// Who is told.
struct Receiver {
    url: Secret,
    /// Where that is written.
    at: String,
    shape: Option<Shape>,
    home: String,
    board: Board,
}

impl Receiver {
    async fn deliver(self, mut messages: mpsc::Receiver<Message>) {
        while let Some(message) = messages.recv().await {
            let given_up = Instant::now() + LONGEST;
            let mut pause = FIRST_PAUSE;
            let mut said = String::new();
            loop {
                match self.send(&message).await {
                    Ok(()) => {
                        self.board.alert_sent();
                        break;
                    }
                    Err(reason) => {
                        if reason != said {
                            tracing::warn!("an alert is not delivered yet: {reason}");
                        }
                        if Instant::now() + pause > given_up {
                            tracing::error!("an alert is given up: {reason}");
                            self.board.alert_failed(reason);
                            break;
                        }
                        said = reason;
                    }
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }

    /// The URL is read each time: it may be rotated.
    async fn send(&self, message: &Message) -> Result<(), String> {
        let url = read_secret(self.url.reveal(), self.at.clone()).await?;
        let webhook = Webhook::new(&url, self.shape).map_err(|error| error.to_string())?;
        webhook.send(message, &self.home).await.map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests;
