//! The set of instances: which run, which were stopped, and how one becomes the other.
//!
//! A plan is what an instance runs by, with everything built that can fail to build; so a
//! wrong setting is found before anything is stopped for it.

use std::collections::BTreeMap;

use tracing::Instrument as _;

use crate::clock;
use crate::config::{Changes, Problems, Settings};
use crate::control::{Board, InstanceState, InstanceStatus, Place};
use crate::instance::{self, Plan};
use crate::log::Log;
use crate::shutdown::Tasks;
use crate::sink::Embedded;
use crate::telemetry;

use super::positions::Positions;

/// What each instance runs by, by name.
pub(super) type Plans = BTreeMap<String, Plan>;

/// Builds the plans. Blocking: names of servers are looked up. All problems of all instances come at once.
pub(super) fn plans(settings: &Settings) -> Result<Plans, Problems> {
    let mut plans = BTreeMap::new();
    let mut problems = Problems::default();
    for instance in &settings.instances {
        match super::settings::plan(instance) {
            Ok(plan) => {
                plans.insert(instance.config.name.clone(), plan);
            }
            Err(found) => found.into_iter().for_each(|problem| problems.push(problem)),
        }
    }
    if problems.has_errors() { Err(problems) } else { Ok(plans) }
}

/// See the head of this file.
pub(super) struct Instances {
    log: Log,
    group: String,
    board: Board,
    plans: BTreeMap<String, Plan>,
    running: BTreeMap<String, Tasks>,
}

impl Instances {
    /// An empty set. `group` is the second word of internal topics' names.
    pub(super) fn new(log: Log, group: String, board: Board) -> Self {
        Self { log, group, board, plans: BTreeMap::new(), running: BTreeMap::new() }
    }

    /// Starts all of `plans`.
    pub(super) fn start_all(&mut self, plans: BTreeMap<String, Plan>) {
        self.plans = plans;
        for name in self.plans.keys().cloned().collect::<Vec<_>>() {
            self.launch(&name);
        }
    }

    /// Starts a stopped instance; one that stopped by itself is started again.
    pub(super) async fn start(&mut self, name: &str) -> Result<(), String> {
        self.known(name)?;
        if self.is_running(name) {
            return Err(format!("instance {name} is running"));
        }
        self.end(name).await;
        self.launch(name);
        Ok(())
    }

    /// Stops an instance after what it has in hand.
    pub(super) async fn stop(&mut self, name: &str) -> Result<(), String> {
        self.known(name)?;
        self.end(name).await;
        let reason = "stopped on request".to_owned();
        let state = InstanceState::Stopped { reason, advice: String::new() };
        self.board.reporter(name).state(state, clock::now_millis());
        Ok(())
    }

    /// Makes a stopped instance go on from `place` when it is started.
    pub(super) async fn set_position(&self, name: &str, place: &Place) -> Result<(), String> {
        self.must_be_stopped(name)?;
        let position =
            self.positions().set(name, place).await.map_err(|error| error.to_string())?;
        self.board.reporter(name).position(Some(position));
        Ok(())
    }

    /// Makes a stopped instance begin anew when it is started.
    pub(super) async fn reset_position(&self, name: &str) -> Result<(), String> {
        self.must_be_stopped(name)?;
        self.positions().reset(name).await.map_err(|error| error.to_string())?;
        self.board.reporter(name).position(None);
        Ok(())
    }

    /// Publishes what is kept of a parked table, or drops it, between two runs of the instance.
    pub(super) async fn unpark(
        &mut self,
        name: &str,
        table: &str,
        publish: bool,
    ) -> Result<(), String> {
        self.known(name)?;
        let Some(plan) = self.plans.get(name).cloned() else { return Ok(()) };
        let ran = self.is_running(name);
        if ran {
            self.end(name).await;
        }
        let mut sink = Embedded::new(self.log.writer(name, &self.group));
        let work = async {
            if publish {
                instance::retry(&plan, &mut sink, table).await
            } else {
                instance::drop_parked(&mut sink, table).await
            }
        };
        let done = work.instrument(telemetry::instance_span(name)).await;
        drop(sink);
        if ran {
            self.launch(name);
        }
        self.board.reporter(name).parked(done.map_err(|error| error.to_string())?);
        Ok(())
    }

    /// Takes up changed settings: instances that did not change never notice.
    pub(super) async fn change(&mut self, plans: BTreeMap<String, Plan>, changes: &Changes) {
        for name in &changes.removed {
            self.end(name).await;
            self.board.remove(name);
        }
        for name in &changes.changed {
            self.end(name).await;
        }
        self.plans = plans;
        for name in changes.changed.iter().chain(&changes.added) {
            self.launch(name);
        }
    }

    /// Stops all, at the same time.
    pub(super) async fn stop_all(&mut self) {
        self.running.values().for_each(Tasks::cancel);
        for name in self.running.keys().cloned().collect::<Vec<_>>() {
            self.end(&name).await;
        }
    }

    fn positions(&self) -> Positions<'_> {
        Positions { log: &self.log, group: &self.group }
    }

    /// One that stopped by itself still shows how far it falls behind.
    fn is_running(&self, name: &str) -> bool {
        let has_stopped = |one: &InstanceStatus| {
            one.name == name && matches!(one.state, InstanceState::Stopped { .. })
        };
        self.running.get(name).is_some_and(|tasks| !tasks.is_empty())
            && !self.board.snapshot().instances.iter().any(has_stopped)
    }

    fn must_be_stopped(&self, name: &str) -> Result<(), String> {
        self.known(name)?;
        if self.is_running(name) {
            return Err(format!(
                "instance {name} is running: stop it first with `bin/sluice instance stop {name}`"
            ));
        }
        Ok(())
    }

    fn known(&self, name: &str) -> Result<(), String> {
        if self.plans.contains_key(name) {
            return Ok(());
        }
        let names: Vec<&str> = self.plans.keys().map(String::as_str).collect();
        let known = if names.is_empty() { "none at all".to_owned() } else { names.join(", ") };
        Err(format!("there is no instance {name}; there is {known}"))
    }

    fn launch(&mut self, name: &str) {
        let Some(plan) = self.plans.get(name) else { return };
        let reporter = self.board.instance(name, clock::now_millis());
        let sink = Embedded::new(self.log.writer(name, &self.group));
        let tasks = Tasks::new();
        let own = tasks.clone();
        let mut plan = plan.clone();
        plan.source.replica.uuid = replica_uuid(self.log.cluster_id(), name);
        let shown = reporter.clone();
        let life = async move { instance::run(&plan, sink, &reporter, &own).await };
        if let Err(error) = tasks.spawn_thread("instance", life) {
            tracing::error!(instance = name, %error, "the system starts no thread for it");
            let reason = format!("the system starts no thread for it: {error}");
            let advice = format!(
                "raise the limit of threads (ulimit -u, or that of the container), then \
                 `bin/sluice instance start {name}`"
            );
            shown.state(InstanceState::Stopped { reason, advice }, clock::now_millis());
        }
        self.running.insert(name.to_owned(), tasks);
    }

    async fn end(&mut self, name: &str) {
        let Some(tasks) = self.running.remove(name) else { return };
        tasks.cancel();
        let panicked = tasks.join().await;
        if !panicked.is_empty() {
            tracing::error!(instance = name, ?panicked, "an instance panicked");
        }
    }
}

/// Our UUID as a replica, made once with the log and the same at each start: a server that
/// meets it again drops the older connection at once instead of after its time-out. Two
/// installations must differ in it, or the server drops the one for the other.
pub fn replica_uuid(cluster: &str, instance: &str) -> String {
    let name = format!("{cluster} {instance}");
    uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, name.as_bytes()).to_string()
}
