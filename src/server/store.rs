//! Where the instances write, and who serves it: the bundled log with its broker, or a Kafka
//! cluster of the user's, which is served elsewhere.

use std::sync::Arc;

use tokio::task::JoinHandle;

use super::{Error, Positions, follow, moving, open_log, settings};
use crate::broker;
use crate::config::{ClusterConfig, Settings};
use crate::control::Board;
use crate::instance::Plan;
use crate::log::{Log, Trouble};
use crate::shutdown::Tasks;
use crate::sink::{AnySink, Embedded, Kafka, Lock};

/// Where the instances write. Cheap to clone.
#[derive(Clone)]
pub(super) enum Store {
    /// Into the bundled log.
    Log {
        /// The log.
        log: Log,
        /// Second word of internal topics' names.
        group: String,
    },
    /// Into a Kafka cluster.
    Cluster {
        /// The cluster.
        config: Arc<ClusterConfig>,
        /// The folder that this process runs over.
        home: String,
    },
}

impl Store {
    /// The sink of an instance, not yet open; what it runs are `tasks`.
    pub(super) fn sink(
        &self,
        instance: &str,
        plan: &Plan,
        lock: Option<&Lock>,
        tasks: &Tasks,
    ) -> AnySink {
        match self {
            Self::Log { log, group } => {
                let mut writer = log.writer(instance, group);
                writer.set_compression(plan.compression);
                AnySink::Embedded(Box::new(Embedded::new(writer)))
            }
            Self::Cluster { config, home } => {
                let lock = lock.cloned();
                let lock = lock.unwrap_or_else(|| Lock::new(Arc::clone(config), instance, home));
                AnySink::Kafka(Box::new(Kafka::new(Arc::clone(config), instance, lock, tasks)))
            }
        }
    }

    /// The sink of an instance that is moved, not yet open: it writes no changes.
    pub(super) fn sink_of(&self, instance: &str, lock: Option<&Lock>, tasks: &Tasks) -> AnySink {
        match self {
            Self::Log { log, group } => {
                AnySink::Embedded(Box::new(Embedded::new(log.writer(instance, group))))
            }
            Self::Cluster { config, home } => {
                let lock = lock.cloned();
                let lock = lock.unwrap_or_else(|| Lock::new(Arc::clone(config), instance, home));
                AnySink::Kafka(Box::new(Kafka::new(Arc::clone(config), instance, lock, tasks)))
            }
        }
    }

    /// Fails with a sentence if a process has the instance, this one included.
    pub(super) async fn must_be_nobodys(
        &self,
        instance: &str,
        tasks: &Tasks,
    ) -> Result<(), String> {
        match self {
            // One process has the log.
            Self::Log { .. } => Ok(()),
            Self::Cluster { config, .. } => {
                let config = config.read_anew().await?;
                moving::must_be_nobodys(&config, instance, tasks).await
            }
        }
    }

    /// What decides which of several processes runs an instance, where there can be several.
    pub(super) fn lock(&self, instance: &str) -> Option<Lock> {
        match self {
            Self::Log { .. } => None,
            Self::Cluster { config, home } => Some(Lock::new(Arc::clone(config), instance, home)),
        }
    }

    /// What distinguishes it from all others; the same at each start.
    pub(super) fn id(&self) -> String {
        match self {
            Self::Log { log, .. } => log.cluster_id().to_owned(),
            Self::Cluster { config, .. } => format!("{}, {}", config.bootstrap, config.group),
        }
    }

    /// The positions of the instances, where they can be moved by hand.
    pub(super) fn positions(&self) -> Result<Positions<'_>, String> {
        match self {
            Self::Log { log, group } => Ok(Positions { log, group }),
            Self::Cluster { .. } => Err(NO_POSITIONS.to_owned()),
        }
    }

    /// The log, for what there is of it alone.
    pub(super) fn log(&self) -> Option<&Log> {
        match self {
            Self::Log { log, .. } => Some(log),
            Self::Cluster { .. } => None,
        }
    }
}

/// Why a position cannot be moved.
pub const NO_POSITIONS: &str = "moving a position by hand is not there with a Kafka cluster as \
    the log (canal.serverMode = kafka): the position is what the cluster has in the instance's \
    topic of positions; to begin anew, delete the instance's internal topics while it is stopped";

/// The bundled log and the broker that serves it.
pub(super) struct Bundled {
    pub(super) log: Log,
    pub(super) clients: Arc<broker::Broker>,
    broker_tasks: Tasks,
    broker: JoinHandle<Result<(), broker::Error>>,
}

impl Bundled {
    /// Recovers the log, and serves it on `listeners`. The process may have `files` open.
    pub(super) async fn open(
        settings: &Settings,
        listeners: Vec<broker::Listener>,
        files: Option<u64>,
        board: &Board,
        tasks: &Tasks,
    ) -> Result<Self, Error> {
        let log = open_log(settings, files, tasks).await?;
        let stopped = tasks.token().clone();
        // What of it is found damaged, when it is; and what keeps it from taking what is written
        // to it.
        let (shown, own) = (board.clone(), board.clone());
        let damage = move |all: Vec<(String, String)>| {
            shown.damage(all.into_iter().map(|(_, text)| text).collect());
        };
        let trouble = move |now: Trouble| own.log(now.sentences());
        tasks.spawn("show damage", follow(log.damage(), damage, stopped.clone()));
        tasks.spawn("show trouble", follow(log.trouble(), trouble, stopped));
        let broker_tasks = tasks.child();
        let broker_settings =
            settings::broker(&settings.server.broker, &settings.server.log, files);
        let broker = broker::Broker::open(log.clone(), broker_settings, &broker_tasks).await?;
        let (serving, clients) = (broker_tasks.clone(), Arc::clone(&broker));
        let broker = broker_tasks
            .spawn_critical("broker", async move { broker.serve(listeners, &serving).await });
        Ok(Self { log, clients, broker_tasks, broker })
    }

    /// Ends what is served, then the log.
    pub(super) async fn close(self) {
        let Self { log, clients: _, broker_tasks, broker } = self;
        broker_tasks.cancel();
        if let Ok(Err(error)) = broker.await {
            tracing::error!(%error, "the broker ended with an error");
        }
        log.close().await;
    }
}
