//! Which of several processes runs an instance: the one that has the only partition of its lock
//! topic, by the rules of an ordinary consumer group. The others stand by.
//!
//! In: the cluster's word, through a member of the group ([`Member`]). Out: a [`Turn`], which is
//! over as soon as the partition is another's, or the cluster has not been heard for the time of a
//! session.
//!
//! ```text
//! start ─▶ who ran it last? ─▶ nobody, or a process of this place: at once
//!                           └▶ another: when the group gives it the partition
//! ```
//!
//! Always: this decides who tries, and nothing rests on it. Two that take themselves for the active
//! one fence each other in the cluster, and what was published and the position behind it are one
//! transaction. Who opens the sink has the cluster confirm first that it is a member and has the
//! partition still: one that comes back from a long stop fences nobody. Only the first opening
//! behind a start does not wait for the group: else a process that was killed would wait for its
//! own session to end.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::member::{Member, Vote};
use super::process::Process;
use super::{Error, Names};
use crate::clock;
use crate::config::ClusterConfig;
use crate::shutdown::Tasks;
use crate::sink::{Turn, Waiting};

/// How long nothing is said of a vote that has no result.
const SILENT: Duration = Duration::from_secs(5);
/// How long the end of a membership is waited for; it ends by itself then.
const LEAVING: Duration = Duration::from_secs(3);

/// See the head of this file. A clone is the same.
#[derive(Clone, Debug)]
pub struct Lock {
    names: Names,
    config: Arc<ClusterConfig>,
    process: Arc<Process>,
    standing: Arc<watch::Sender<Standing>>,
    member: Arc<Mutex<Option<Membership>>>,
}

/// What the group has said last.
#[derive(Clone, Debug)]
pub(super) enum Standing {
    /// Nothing yet.
    Joining { reason: Option<String> },
    /// This process is to run the instance.
    Active(Turn),
    /// Another.
    Standby { active: Option<String> },
    /// The cluster does not let us vote.
    Refused(Error),
}

/// The member that this process has in the group.
#[derive(Debug)]
struct Membership {
    tasks: Tasks,
    /// Of the member's thread, which ends it.
    vote: Weak<Vote>,
}

impl Lock {
    /// That of `instance`, for the process that runs over the folder `home`.
    pub fn new(config: Arc<ClusterConfig>, instance: &str, home: &str) -> Self {
        let names = Names::of(&config.group, instance);
        let process = Arc::new(Process::this(home));
        let standing = Arc::new(watch::Sender::new(Standing::Joining { reason: None }));
        Self { names, config, process, standing, member: Arc::default() }
    }

    /// The folder of this process.
    pub(super) fn home(&self) -> &str {
        self.process.place().1
    }

    /// Waits until this process is to run the instance; says meanwhile why it is not.
    pub(super) async fn turn(
        &self,
        waiting: &mut (dyn FnMut(Waiting) + Send),
    ) -> Result<Turn, Error> {
        self.join(None).await?;
        let mut watched = self.standing.subscribe();
        let silent = Instant::now() + SILENT;
        loop {
            let standing = watched.borrow_and_update().clone();
            let mut undecided = None;
            match standing {
                Standing::Active(turn) if !turn.over.is_cancelled() => return Ok(turn),
                // What comes of it is on its way.
                Standing::Active(_) => {}
                Standing::Standby { active } => waiting(Waiting::Standby { active }),
                Standing::Joining { reason } => {
                    let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
                    undecided = Some(format!(
                        "the Kafka cluster has not said which process is to run it{reason}"
                    ));
                }
                Standing::Refused(error) => {
                    self.leave().await;
                    return Err(error);
                }
            }
            let is_silent = undecided.is_some() && Instant::now() < silent;
            if !is_silent && let Some(reason) = undecided {
                waiting(Waiting::Undecided { reason });
            }
            tokio::select! {
                biased;
                // The sender is this.
                _ = watched.changed() => {}
                () = tokio::time::sleep_until(silent), if is_silent => {}
            }
        }
    }

    /// Has the cluster confirm that this process has the partition, and keep who that is.
    pub(super) async fn confirm(&self) -> Result<(), Error> {
        let member = self.member().as_ref().and_then(Membership::parts);
        let Some((tasks, vote)) = member else {
            return Err(Error::Failed("this process is no member of the lock's group".to_owned()));
        };
        let record = self.process.text();
        let confirmed = tasks.spawn_blocking("confirm", move || vote.confirm(&record));
        match tokio::time::timeout(self.config.session, confirmed).await {
            Ok(Ok(confirmed)) => confirmed,
            Ok(Err(panicked)) => Err(Error::Failed(panicked.to_string())),
            Err(_) => Err(Error::Failed(format!(
                "the Kafka cluster has not confirmed within {} ms that this process is to run the \
                 instance",
                self.config.session.as_millis()
            ))),
        }
    }

    /// Lets another process run the instance, if there is one, and stands by behind all others.
    pub(super) async fn give_way(&self) -> Result<(), Error> {
        self.leave().await;
        self.join(Some(clock::now_millis())).await
    }

    /// Leaves the group: another process goes on at once, if there is one.
    pub async fn leave(&self) {
        let Some(Membership { tasks, .. }) = self.member().take() else { return };
        tasks.cancel();
        if tokio::time::timeout(LEAVING, tasks.join()).await.is_err() {
            tracing::warn!("the Kafka cluster does not let this process leave the lock's group");
        }
        self.standing.send_replace(Standing::Joining { reason: None });
    }

    /// Joins the group, if this process is no member. `gave_way`: when it has let others go first,
    /// in milliseconds since 1970.
    async fn join(&self, gave_way: Option<i64>) -> Result<(), Error> {
        if self.member().is_some() {
            return Ok(());
        }
        // Passwords are read at each connect.
        let config = self.config.read_anew().await.map_err(Error::Failed)?;
        let mut member = self.member();
        if member.is_some() {
            return Ok(());
        }
        self.standing.send_replace(Standing::Joining { reason: None });
        let (tasks, process) = (Tasks::new(), Arc::clone(&self.process));
        let names = self.names.clone();
        let vote = Vote::new(&config, &names, &process, &self.standing, gave_way)?;
        let weak = Arc::downgrade(&vote);
        let new = Member { names, config, process, vote, tasks: tasks.clone() };
        let ran = new.run(gave_way.is_none()).in_current_span();
        tasks.spawn_thread("kafka lock", ran).map_err(|error| {
            Error::Failed(format!("the system starts no thread for the Kafka lock: {error}"))
        })?;
        *member = Some(Membership { tasks, vote: weak });
        Ok(())
    }

    fn member(&self) -> MutexGuard<'_, Option<Membership>> {
        self.member.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Membership {
    /// None once the member has ended.
    fn parts(&self) -> Option<(Tasks, Arc<Vote>)> {
        Some((self.tasks.clone(), self.vote.upgrade()?))
    }
}
