//! What changes by itself, as server-sent events: a second apart, to whoever watches.
//!
//! Each event has the instances that have changed since the one before, so that two hundred idle
//! ones cost nothing. How far groups are behind is asked every few seconds, once for all who watch,
//! and only while somebody does. Always: so many watch at most, and none of them holds up the end.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use super::Shared;
use super::api::written;
use crate::client::{self, Lag};
use crate::control::InstanceStatus;
use crate::shutdown::Tasks;

/// Pages that are shown live at once.
pub const MOST_WATCHING: usize = 32;

const EVERY: Duration = Duration::from_secs(1);

/// How old what is known of groups may be.
const LAGS_AGE: Duration = Duration::from_secs(5);

/// What all who watch share.
#[derive(Clone, Debug)]
pub(super) struct Live {
    room: Arc<Semaphore>,
    lags: Arc<Mutex<Lags>>,
}

#[derive(Debug, Default)]
struct Lags {
    /// When they were asked for last.
    asked: Option<Instant>,
    known: Arc<Vec<Lag>>,
}

impl Default for Live {
    fn default() -> Self {
        Self { room: Arc::new(Semaphore::new(MOST_WATCHING)), lags: Arc::default() }
    }
}

/// One who watches.
struct Watching {
    shared: Shared,
    ticks: Interval,
    /// What it was told of each instance.
    told: BTreeMap<String, String>,
    process: Value,
    _room: OwnedSemaphorePermit,
}

/// Begins to tell.
pub(super) async fn events(State(shared): State<Shared>) -> Response {
    let Ok(room) = Arc::clone(&shared.live.room).try_acquire_owned() else {
        let text = format!("{MOST_WATCHING} pages are open already: close one");
        return written(StatusCode::SERVICE_UNAVAILABLE, text);
    };
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let told = BTreeMap::new();
    let watching = Watching { shared, ticks, told, process: Value::Null, _room: room };
    let events = stream::unfold(watching, async |mut watching| {
        let stopped = watching.shared.tasks.token().clone();
        tokio::select! {
            biased;
            () = stopped.cancelled() => return None,
            _ = watching.ticks.tick() => {}
        }
        let event = Event::default().data(watching.news().to_string());
        Some((Ok::<_, Infallible>(event), watching))
    });
    Sse::new(events).into_response()
}

impl Watching {
    /// What it has not been told.
    fn news(&mut self) -> Value {
        let mut snapshot = self.shared.board.snapshot();
        let instances = std::mem::take(&mut snapshot.instances);
        let lags = self.shared.lags();
        let (mut changed, mut now) = (Vec::new(), BTreeMap::new());
        for one in &instances {
            let value = self.instance(one, &lags);
            let text = value.to_string();
            if self.told.get(&one.name) != Some(&text) {
                changed.push(value);
            }
            now.insert(one.name.clone(), text);
        }
        let gone: Vec<&String> = self.told.keys().filter(|name| !now.contains_key(*name)).collect();
        let mut news = json!({"changed": changed, "gone": gone});
        self.told = now;
        // Where it fails, the page goes on with what it knows.
        let process = serde_json::to_value(&snapshot).unwrap_or_default();
        if process != self.process {
            news["process"] = process.clone();
            self.process = process;
        }
        news
    }

    fn instance(&self, one: &InstanceStatus, lags: &[Lag]) -> Value {
        let mut value = serde_json::to_value(one).unwrap_or_default();
        value["encoded"] = json!(self.shared.board.tables(&one.name).total());
        value["groups"] = json!(self.shared.groups_of(&one.name, lags));
        value
    }
}

impl Shared {
    /// The topics that an instance writes.
    fn topics_of(&self, instance: &str) -> Vec<String> {
        let mut topics = (self.owned)(instance);
        topics.extend(self.board.tables(instance).topics());
        topics.retain(|topic| !topic.starts_with("__"));
        topics.sort_unstable();
        topics.dedup();
        topics
    }

    /// How many messages of an instance each group has not read.
    fn groups_of(&self, instance: &str, lags: &[Lag]) -> BTreeMap<String, u64> {
        if lags.is_empty() {
            return BTreeMap::new();
        }
        let (topics, mut groups) = (self.topics_of(instance), BTreeMap::new());
        for lag in lags {
            if topics.binary_search(&lag.topic).is_ok() {
                *groups.entry(lag.group.clone()).or_default() += lag.messages;
            }
        }
        groups
    }

    /// What is known of groups; asked anew in the background where it is old.
    fn lags(&self) -> Arc<Vec<Lag>> {
        let mut lags = self.live.lags.lock().unwrap_or_else(PoisonError::into_inner);
        let known = Arc::clone(&lags.known);
        let is_old = lags.asked.is_none_or(|asked| asked.elapsed() >= LAGS_AGE);
        if is_old && self.kafka.get().is_some() {
            lags.asked = Some(Instant::now());
            // Not joined: it gives up by itself, and holds nothing.
            Tasks::new().spawn("ask how far groups are", self.clone().ask_lags());
        }
        known
    }

    async fn ask_lags(self) {
        let Some(reach) = self.kafka.get() else { return };
        let Ok(connection) = reach.connection().await else { return };
        let instances = self.board.snapshot().instances;
        let topics: Vec<String> =
            instances.iter().flat_map(|one| self.topics_of(&one.name)).collect();
        let work = move || client::lags(&connection, &topics);
        let asked = Tasks::new().spawn_blocking("ask how far groups are", work).await;
        let known = match asked {
            Ok(Ok(known)) => known,
            Ok(Err(error)) => {
                tracing::debug!(%error, "how far groups are is not known");
                Vec::new()
            }
            Err(_) => return,
        };
        let mut lags = self.live.lags.lock().unwrap_or_else(PoisonError::into_inner);
        (lags.asked, lags.known) = (Some(Instant::now()), Arc::new(known));
    }
}
