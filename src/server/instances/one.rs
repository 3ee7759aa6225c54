//! One instance of the set: starts, stops, and is moved.
//!
//! In: a command, when its turn has come. Out: the instance in its new state on the board, and a
//! sentence for whoever asked. Always: it runs at most once.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::control::{InstanceState, InstanceStatus, Outcome, Place, SnapshotOrder};
use crate::instance::{self, Plan};
use crate::server::moving;
use crate::shutdown::Tasks;
use crate::sink::{AnySink, Lock, here};
use crate::source::Order;

use super::Shared;

/// How long an instance may take to hear of an order.
const ANSWER: Duration = Duration::from_secs(30);

/// See the head of this file.
pub(super) struct One {
    pub(super) name: String,
    pub(super) shared: Arc<Shared>,
    pub(super) plan: Plan,
    pub(super) running: Arc<Mutex<Option<Tasks>>>,
    pub(super) lock: Option<Lock>,
    pub(super) breaker: CancellationToken,
}

/// Asks an instance to stop.
pub(super) fn cancel(running: &Mutex<Option<Tasks>>) {
    let running = running.lock().unwrap_or_else(PoisonError::into_inner);
    running.iter().for_each(Tasks::cancel);
}

impl One {
    /// Starts it; if it has stopped by itself, again.
    pub(super) async fn start(&self) -> Outcome {
        if self.is_running() {
            return Err(format!("instance {} is running", self.name));
        }
        self.end().await;
        self.launch();
        Ok(String::new())
    }

    /// Stops it after what it has in hand.
    pub(super) async fn stop(&self) -> Outcome {
        self.end().await;
        self.leave().await;
        let reason = "stopped on request".to_owned();
        self.show(InstanceState::Stopped { reason, advice: String::new() });
        Ok(String::new())
    }

    /// Makes it go on from `place` when it is started.
    pub(super) async fn set_position(&self, place: &Place) -> Outcome {
        self.must_be_stopped()?;
        let set = self.shared.store.positions()?.set(&self.name, place).await;
        let set = set.map_err(|error| error.to_string())?;
        self.shared.board.reporter(&self.name).position(Some(set.position.clone()));
        Ok(set.to_string())
    }

    /// Makes it begin anew when it is started.
    pub(super) async fn reset_position(&self, drop_parked: bool) -> Outcome {
        self.must_be_stopped()?;
        let reset = self.shared.store.positions()?.reset(&self.name, drop_parked).await;
        let dropped = reset.map_err(|error| error.to_string())?;
        let reporter = self.shared.board.reporter(&self.name);
        reporter.position(None);
        reporter.parked(Vec::new());
        Ok(dropped.to_string())
    }

    /// Asks something of the copying of its tables.
    pub(super) async fn snapshot(&self, order: SnapshotOrder) -> Outcome {
        if !self.is_running() {
            return Err(format!(
                "instance {0} does not run: start it first with `bin/sluice instance start {0}`",
                self.name
            ));
        }
        let order = match order {
            SnapshotOrder::Plan { tables } => Order::Plan { tables },
            SnapshotOrder::Start { tables, condition } => Order::Start { tables, condition },
            SnapshotOrder::Pause => Order::Pause,
            SnapshotOrder::Resume => Order::Resume,
            SnapshotOrder::Stop { tables } => Order::Stop { tables },
        };
        let answer = self.plan.source.remembered.copying().ask(order);
        tokio::select! {
            biased;
            () = self.breaker.cancelled() => {
                Err(format!("{} was stopped before it heard of it", self.name))
            }
            answered = tokio::time::timeout(ANSWER, answer) => match answered {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) | Err(_) => Err(format!(
                    "instance {} does not read its source now: ask again when it does \
                     (`bin/sluice health`)",
                    self.name
                )),
            },
        }
    }

    /// Writes all that is known of it to a file.
    pub(super) async fn export(&self, file: &Path, is_copy: bool) -> Outcome {
        self.must_be_stopped()?;
        self.moved(async |sink| {
            let exported = moving::export(sink, &self.name, &self.plan, file, is_copy).await;
            exported.map(|exported| exported.to_string())
        })
        .await
    }

    /// Makes it go on from a file when it is started.
    pub(super) async fn import(&self, file: &Path, replace: bool) -> Outcome {
        self.must_be_stopped()?;
        self.moved(async |sink| {
            let imported = moving::import(sink, &self.name, file, replace).await?;
            let position = imported.position().clone();
            self.shared.board.reporter(&self.name).position(Some(position));
            Ok(imported.to_string())
        })
        .await
    }

    /// Lets it start here again though it was exported.
    pub(super) async fn resume(&self) -> Outcome {
        self.must_be_stopped()?;
        self.moved(async |sink| moving::resume(sink, &self.name).await).await
    }

    /// Does something with its sink that a stop of it, or of all, breaks off.
    async fn moved(
        &self,
        work: impl AsyncFnOnce(&mut AnySink) -> Result<String, moving::Error>,
    ) -> Outcome {
        let tasks = Tasks::new();
        let mut sink = self.shared.store.sink_of(&self.name, self.lock.as_ref(), &tasks);
        let work = async {
            self.shared.store.must_be_nobodys(&self.name, &tasks).await?;
            here(&mut sink, &self.name).await?;
            work(&mut sink).await.map_err(|error| error.to_string())
        };
        let done = tokio::select! {
            biased;
            () = self.breaker.cancelled() => {
                Err(format!("it was broken off, since {} was to stop or to change", self.name))
            }
            done = work => done,
        };
        drop(sink);
        self.leave().await;
        tasks.cancel();
        tasks.join().await;
        done
    }

    /// Publishes what is kept of a parked table, or drops it, between two runs.
    pub(super) async fn unpark(&self, table: &str, publish: bool) -> Outcome {
        let ran = self.is_running();
        if ran {
            self.end().await;
            let what = if publish { "the kept changes of" } else { "what is kept of" };
            let verb = if publish { "are published" } else { "is dropped" };
            self.show(InstanceState::Waiting { reason: format!("{what} {table} {verb}") });
        }
        let tasks = Tasks::new();
        let mut sink = self.shared.store.sink(&self.name, &self.plan, self.lock.as_ref(), &tasks);
        let work = async {
            here(&mut sink, &self.name).await?;
            if publish {
                instance::retry(&self.plan, &mut sink, table).await
            } else {
                instance::drop_parked(&mut sink, table).await
            }
            .map_err(|error| error.to_string())
        };
        let done = tokio::select! {
            biased;
            () = self.breaker.cancelled() => Err(format!(
                "it was broken off, since {} was to stop: {table} is parked as before, unless \
                 `bin/sluice instance show {0}` shows it no more",
                self.name
            )),
            done = work => done,
        };
        drop(sink);
        if !ran {
            self.leave().await;
        }
        tasks.cancel();
        tasks.join().await;
        // What broke it off says what becomes of the instance.
        if ran && !self.breaker.is_cancelled() {
            self.launch();
        }
        self.shared.board.reporter(&self.name).parked(done?);
        Ok(String::new())
    }

    /// Another process may run it from here on.
    pub(super) async fn leave(&self) {
        if let Some(lock) = &self.lock {
            lock.leave().await;
        }
    }

    pub(super) fn launch(&self) {
        let Self { name, shared, .. } = self;
        let reporter = shared.board.instance(name, clock::now_millis());
        let tasks = Tasks::new();
        let sink = shared.store.sink(name, &self.plan, self.lock.as_ref(), &tasks);
        let own = tasks.clone();
        let mut plan = self.plan.clone();
        plan.source.replica.uuid = replica_uuid(&shared.store.id(), name);
        let reports = reporter.clone();
        let life = async move { instance::run(&plan, sink, &reporter, &own).await };
        if let Err(error) = tasks.spawn_thread("instance", life) {
            tracing::error!(instance = name, %error, "the system starts no thread for it");
            let reason = format!("the system starts no thread for it: {error}");
            let advice = format!(
                "raise the limit of threads (ulimit -u, or that of the container), then \
                 `bin/sluice instance start {name}`"
            );
            reports.state(InstanceState::Stopped { reason, advice }, clock::now_millis());
        }
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(tasks);
    }

    pub(super) async fn end(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(tasks) = running else { return };
        tasks.cancel();
        let panicked = tasks.join().await;
        if !panicked.is_empty() {
            tracing::error!(instance = self.name, ?panicked, "an instance panicked");
        }
    }

    /// Its folder was removed.
    pub(super) fn take_down(&self) {
        self.shared.board.remove(&self.name);
    }

    fn show(&self, state: InstanceState) {
        self.shared.board.reporter(&self.name).state(state, clock::now_millis());
    }

    /// One that stopped by itself still shows how far it falls behind.
    fn is_running(&self) -> bool {
        let has_stopped = |one: &InstanceStatus| {
            one.name == self.name && matches!(one.state, InstanceState::Stopped { .. })
        };
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.as_ref().is_some_and(|tasks| !tasks.is_empty())
            && !self.shared.board.snapshot().instances.iter().any(has_stopped)
    }

    fn must_be_stopped(&self) -> Result<(), String> {
        if self.is_running() {
            return Err(format!(
                "instance {0} is running: stop it first with `bin/sluice instance stop {0}`",
                self.name
            ));
        }
        Ok(())
    }
}

/// Makes an instance that is not known yet go on from a file when it is.
pub(super) async fn import(shared: &Shared, name: &str, file: &Path, replace: bool) -> Outcome {
    let tasks = Tasks::new();
    let lock = shared.store.lock(name);
    let mut sink = shared.store.sink_of(name, lock.as_ref(), &tasks);
    let work = async {
        shared.store.must_be_nobodys(name, &tasks).await?;
        here(&mut sink, name).await?;
        let done = moving::import(&mut sink, name, file, replace).await;
        done.map(|done| done.to_string()).map_err(|error| error.to_string())
    };
    let done = tokio::select! {
        biased;
        () = shared.closing.cancelled() => Err("sluice is stopping".to_owned()),
        done = work => done,
    };
    drop(sink);
    if let Some(lock) = lock {
        lock.leave().await;
    }
    tasks.cancel();
    tasks.join().await;
    done
}

/// Our UUID as a replica, made once with the log and the same at each start: a server that
/// meets it again drops the older connection at once instead of after its time-out. Two
/// installations must differ in it, or the server drops the one for the other.
pub fn replica_uuid(cluster: &str, instance: &str) -> String {
    let name = format!("{cluster} {instance}");
    uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, name.as_bytes()).to_string()
}
