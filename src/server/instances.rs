//! The set of instances: which run, which were stopped, and how one becomes the other.
//!
//! A plan is what an instance runs by, with everything built that can fail to build; so a
//! wrong setting is found before anything is stopped for it.
//!
//! Always: what is asked of one instance is done in the order it was asked ([`Turns`]), and
//! nothing that is asked of another waits for it. A retry can take as long as its server likes:
//! a stop, changed settings and the end of the process break it off.

mod one;
mod turns;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::config::{Changes, Problems, Settings, SourceConfig};
use crate::control::{Board, Command, Outcome};
use crate::instance::Plan;
use crate::shutdown::Tasks;
use crate::sink::Lock;
use crate::telemetry;

use self::one::One;
pub use self::one::replica_uuid;
use self::turns::Turns;
use super::reading::Answer;
use super::store::Store;

/// As many commands wait for an instance at most.
const MOST_WAITING: usize = 8;

/// What each instance runs by, by name.
pub(super) type Plans = BTreeMap<String, Plan>;

/// Builds the plans. All problems of all instances come at once.
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
    if problems.has_errors() {
        return Err(problems);
    }
    let configured = settings
        .instances
        .iter()
        .filter_map(|one| one.config.source.server_id.map(|id| (one.config.name.as_str(), id)));
    let configured: BTreeMap<&str, u32> = configured.collect();
    let derived = plans.iter_mut().filter(|(name, _)| !configured.contains_key(name.as_str()));
    let derived = derived.map(|(_, plan)| &mut plan.source.replica.server_id);
    SourceConfig::set_apart(derived, configured.values().copied().collect());
    Ok(plans)
}

/// What all instances share.
struct Shared {
    store: Store,
    board: Board,
    /// Nothing is begun any more.
    closing: CancellationToken,
}

/// What is known of an instance beside its plan.
#[derive(Default)]
struct Slot {
    turns: Turns,
    /// Its tasks; none while it is stopped.
    running: Arc<Mutex<Option<Tasks>>>,
    /// Whether this process runs it, or another; none where there is no other.
    lock: Option<Lock>,
    /// Breaks off what can take long, of all that was asked until now.
    breaker: CancellationToken,
}

/// See the head of this file.
pub(super) struct Instances {
    shared: Arc<Shared>,
    plans: Plans,
    slots: BTreeMap<String, Slot>,
    /// What is being done.
    working: Tasks,
}

impl Instances {
    /// An empty set, which writes to `store`.
    pub(super) fn new(store: Store, board: Board) -> Self {
        let shared = Shared { store, board, closing: CancellationToken::new() };
        let (plans, slots) = (BTreeMap::new(), BTreeMap::new());
        Self { shared: Arc::new(shared), plans, slots, working: Tasks::new() }
    }

    /// Starts all of `plans`.
    pub(super) fn start_all(&mut self, plans: Plans) {
        self.plans = plans;
        for name in self.plans.keys().cloned().collect::<Vec<_>>() {
            if let Some(one) = self.one(&name) {
                one.launch();
            }
        }
    }

    /// Has a command carried out that is about an instance, and answers it then.
    pub(super) fn carry_out(&mut self, command: Command, answer: Answer) {
        let Some(name) = command.instance().map(str::to_owned) else { return };
        if let Command::Import { file, replace, .. } = &command
            && !self.plans.contains_key(&name)
        {
            // It is to be there when its folder comes.
            let (shared, file, replace) = (Arc::clone(&self.shared), file.clone(), *replace);
            let span = telemetry::instance_span(&name);
            self.working.spawn("import", async move {
                let work = one::import(&shared, &name, &file, replace);
                let _ = answer.send(work.instrument(span).await);
            });
            return;
        }
        let refusal = match self.slots.get(&name) {
            _ if !self.plans.contains_key(&name) => Some(self.unknown(&name)),
            Some(slot) if slot.turns.waiting() >= MOST_WAITING => Some(format!(
                "instance {name} is busy, and {MOST_WAITING} commands wait for it already"
            )),
            Some(_) | None => None,
        };
        if let Some(refusal) = refusal {
            let _ = answer.send(Err(refusal));
            return;
        }
        if matches!(command, Command::Stop { .. }) {
            self.break_off(&name);
        }
        let span = telemetry::instance_span(&name);
        self.in_turn(&name, async move |one| {
            let _ = answer.send(obey(one, command).instrument(span).await);
        });
    }

    /// Takes up changed settings: instances that did not change never notice. What comes out
    /// ends when it is done.
    pub(super) fn change(&mut self, plans: Plans, changes: &Changes) -> Vec<JoinHandle<()>> {
        let mut done = Vec::new();
        for name in &changes.removed {
            self.break_off(name);
            done.extend(self.in_turn(name, async |one| {
                one.end().await;
                one.leave().await;
                one.take_down();
            }));
        }
        self.plans = plans;
        for name in &changes.changed {
            self.break_off(name);
            done.extend(self.in_turn(name, async |one| {
                one.end().await;
                one.launch();
            }));
        }
        for name in &changes.added {
            done.extend(self.in_turn(name, async |one| one.launch()));
        }
        done
    }

    /// Does something that nobody waits for.
    pub(super) fn in_background(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.working.spawn("answer", work);
    }

    /// Stops all, at the same time.
    pub(super) async fn stop_all(&mut self) {
        self.shared.closing.cancel();
        for slot in self.slots.values() {
            slot.breaker.cancel();
            one::cancel(&slot.running);
        }
        self.working.join().await;
        for name in self.plans.keys().cloned().collect::<Vec<_>>() {
            if let Some(one) = self.one(&name) {
                self.working.spawn("stop", async move {
                    one.end().await;
                    one.leave().await;
                });
            }
        }
        self.working.join().await;
    }

    fn unknown(&self, name: &str) -> String {
        let names: Vec<&str> = self.plans.keys().map(String::as_str).collect();
        let known = if names.is_empty() { "none at all".to_owned() } else { names.join(", ") };
        format!("there is no instance {name}; there is {known}")
    }

    /// Breaks off what was asked of an instance until now, where that can take long.
    fn break_off(&mut self, name: &str) {
        if let Some(slot) = self.slots.get_mut(name) {
            std::mem::take(&mut slot.breaker).cancel();
        }
    }

    fn one(&mut self, name: &str) -> Option<One> {
        let plan = self.plans.get(name)?.clone();
        let slot = self.slots.entry(name.to_owned());
        let slot =
            slot.or_insert_with(|| Slot { lock: self.shared.store.lock(name), ..Slot::default() });
        Some(One {
            name: name.to_owned(),
            shared: Arc::clone(&self.shared),
            plan,
            running: Arc::clone(&slot.running),
            lock: slot.lock.clone(),
            breaker: slot.breaker.clone(),
        })
    }

    /// Does `work` when all is done that was asked of the instance before.
    fn in_turn<W>(&mut self, name: &str, work: impl FnOnce(One) -> W) -> Option<JoinHandle<()>>
    where
        W: Future<Output = ()> + Send + 'static,
    {
        let one = self.one(name)?;
        let turn = self.slots.get_mut(name)?.turns.take();
        let work = work(one);
        Some(self.working.spawn("command", async move {
            let _over = turn.come().await;
            work.await;
        }))
    }
}

async fn obey(one: One, command: Command) -> Outcome {
    if one.shared.closing.is_cancelled() {
        return Err("sluice is stopping".to_owned());
    }
    match command {
        Command::Stop { .. } => one.stop().await,
        Command::Start { .. } => one.start().await,
        Command::SetPosition { place, .. } => one.set_position(&place).await,
        Command::ResetPosition { drop_parked, .. } => one.reset_position(drop_parked).await,
        Command::Export { file, is_copy, .. } => one.export(&file, is_copy).await,
        Command::Resume { .. } => one.resume().await,
        Command::Import { file, replace, .. } => one.import(&file, replace).await,
        Command::Retry { table, .. } => one.unpark(&table, true).await,
        Command::DropParked { table, .. } => one.unpark(&table, false).await,
        Command::Snapshot { order, .. } => one.snapshot(order).await,
        // Is about none.
        Command::Backup { .. } | Command::Reload => Ok(String::new()),
    }
}
