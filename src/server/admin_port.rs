//! What the admin port is made of: the token of the commands, where changes are remembered, and how
//! it reaches the log as a Kafka client.
//!
//! `$SLUICE_HOME/run/token` is made once and kept: who may read it may do everything here. Changes
//! are records of [`AUDIT_TOPIC`] in the log, of `__<group>.audit` in a cluster; kept for ever.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::net::TcpListener;

use crate::admin::{self, Admin, Audit, Entry, Extra, Kafka, Reach, Setup};
use crate::client::{self, Connection, NewTopic, Produced, Producer, Topics};
use crate::config::{ClusterConfig, Settings, Target};
use crate::control::{Board, Commands};
use crate::log::{self, Log, Produce, TopicError};
use crate::record::BatchBuilder;
use crate::shutdown::Tasks;
use crate::{broker, clock, disk};

/// Where changes are remembered in the log.
const AUDIT_TOPIC: &str = "__sluice_audit";

/// How the audit's topic is made: nothing of it goes by itself.
const AUDIT_SETTINGS: [(&str, &str); 2] = [("cleanup.policy", "delete"), ("retention.ms", "-1")];

/// How long a cluster may take to remember a change.
const REMEMBERED_WITHIN: Duration = Duration::from_secs(15);

const FOLDER: &str = "run";
const TOKEN: &str = "token";

/// What processes of this machine prove themselves by, if they may read it.
pub fn token(home: &Path) -> Option<String> {
    let text = std::fs::read_to_string(home.join(FOLDER).join(TOKEN)).ok()?;
    let text = text.trim();
    let is_one = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_one.then(|| text.to_owned())
}

/// The token of this home: the one that is there, which only its owner may read, or a new one.
fn own_token(home: &Path) -> Result<String, String> {
    let folder = home.join(FOLDER);
    let failed = |reason: &dyn std::fmt::Display| {
        format!(
            "{} cannot be written ({reason}): commands (instance stop, position set, login) are \
             refused until it can, and sluice is started again",
            folder.join(TOKEN).display()
        )
    };
    if let Some(token) = token(home)
        && is_private(&folder.join(TOKEN))
    {
        return Ok(token);
    }
    let token = admin::new_secret().map_err(|error| failed(&error))?;
    disk::write_private(&folder, TOKEN, format!("{token}\n").as_bytes())
        .map_err(|error| failed(&error))?;
    Ok(token)
}

/// Whether nobody but its owner may read the file.
fn is_private(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|about| about.permissions().mode().trailing_zeros() >= 6)
}

/// See the head of this file.
pub(super) struct AdminPort {
    kafka: Kafka,
    /// The broker's address for our own client.
    address: OnceLock<String>,
    audit_topic: String,
}

impl AdminPort {
    pub(super) fn new(settings: &Settings, listeners: &[broker::Listener]) -> Self {
        let address = OnceLock::new();
        // Of a listener that tells clients another address, they would be sent there.
        let own = listeners.iter().find(|one| one.advertised.is_none());
        if let Some(own) = own.and_then(|one| one.socket.local_addr().ok()) {
            let host = if own.ip().is_unspecified() {
                "127.0.0.1".to_owned()
            } else if own.is_ipv6() {
                format!("[{}]", own.ip())
            } else {
                own.ip().to_string()
            };
            let _ = address.set(format!("{host}:{}", own.port()));
        }
        let audit_topic = match &settings.server.target {
            Target::Log => AUDIT_TOPIC.to_owned(),
            Target::Cluster(config) => format!("__{}.audit", config.group),
        };
        Self { kafka: Kafka::default(), address, audit_topic }
    }

    /// The port, which serves nobody yet.
    pub(super) async fn open(
        &self,
        settings: &Settings,
        board: Board,
        commands: Commands,
        extra: Extra,
        opened: Arc<OnceLock<(Log, Arc<broker::Broker>)>>,
    ) -> Admin {
        let home: PathBuf = settings.home.clone();
        // Not joined: a disk that does not answer holds up nothing else of the end.
        let made = Tasks::new().spawn_blocking("make the token", move || own_token(&home)).await;
        let token = match made {
            Ok(Ok(token)) => Some(token),
            Ok(Err(reason)) => {
                tracing::error!("{reason}");
                None
            }
            Err(_) => None,
        };
        let owned = {
            let opened = Arc::clone(&opened);
            let owned: admin::Owned = Arc::new(move |instance: &str| {
                let topics = opened.get().map(|(log, _)| log.topics()).unwrap_or_default();
                let owned = topics.iter().filter(|topic| topic.owner() == Some(instance));
                owned.map(|topic| topic.name().to_string()).collect()
            });
            owned
        };
        Admin::new(Setup {
            board,
            commands,
            extra,
            token,
            users: settings.home.join("conf/users"),
            hosts: settings.server.admin_hosts.clone(),
            audit: self.audit(opened),
            audit_topic: self.audit_topic.clone(),
            kafka: Arc::clone(&self.kafka),
            owned,
            logs: settings.home.join("logs"),
        })
    }

    /// The listeners, with one of our own where each of them sends clients elsewhere.
    pub(super) async fn beside(
        &self,
        mut listeners: Vec<broker::Listener>,
    ) -> Vec<broker::Listener> {
        if self.address.get().is_some() {
            return listeners;
        }
        match TcpListener::bind(("127.0.0.1", 0)).await {
            Ok(socket) => {
                if let Ok(address) = socket.local_addr() {
                    let _ = self.address.set(address.to_string());
                }
                listeners.push(broker::Listener { socket, advertised: None });
            }
            Err(reason) => tracing::warn!(
                %reason,
                "cannot listen on loopback beside advertised.listeners: the page shows no topics"
            ),
        }
        listeners
    }

    /// The log is there: the bundled one, or that cluster.
    pub(super) fn reach(&self, cluster: Option<Arc<ClusterConfig>>) {
        let reach = match cluster {
            Some(config) => Reach::Cluster(config),
            None => match self.address.get() {
                Some(address) => Reach::Bundled(Connection::new(address)),
                None => return,
            },
        };
        let _ = self.kafka.set(reach); // nobody else sets it
    }

    fn audit(&self, opened: Arc<OnceLock<(Log, Arc<broker::Broker>)>>) -> Audit {
        let (kafka, topic) = (Arc::clone(&self.kafka), self.audit_topic.clone());
        Arc::new(move |entry: Entry| {
            let log = opened.get().map(|(log, _)| log.clone());
            let (reach, topic) = (kafka.get().cloned(), topic.clone());
            Box::pin(async move {
                match (log, reach) {
                    (Some(log), _) => append(&log, &entry).await,
                    (None, Some(Reach::Cluster(config))) => produce(config, topic, entry).await,
                    (None, Some(Reach::Bundled(_)) | None) => Err("the log is not open".to_owned()),
                }
            })
        })
    }
}

async fn append(log: &Log, entry: &Entry) -> Result<(), String> {
    let topic = match log.topic(AUDIT_TOPIC) {
        Some(topic) => topic,
        None => make(log).await.map_err(|error| error.to_string())?,
    };
    let value = serde_json::to_vec(entry).map_err(|error| error.to_string())?;
    let mut batch = BatchBuilder::default();
    batch.push(None, Some(&value), &[]);
    let mut batch = batch.finish();
    batch.seal(clock::now_millis());
    let batch = Produce { topic, partition: 0, batch: batch.into_bytes() };
    log.append_atomic(vec![batch]).await.map(|_| ()).map_err(|error| error.to_string())
}

async fn make(log: &Log) -> Result<Arc<log::Topic>, TopicError> {
    let new = log::NewTopic {
        name: AUDIT_TOPIC.to_owned(),
        partitions: 1,
        config: settings(),
        owner: None,
    };
    match log.create_topic(new).await {
        Err(TopicError::Exists(name)) => log.topic(&name).ok_or(TopicError::Unknown(name)),
        made => made,
    }
}

fn settings() -> BTreeMap<String, String> {
    AUDIT_SETTINGS.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

/// In a cluster, with the password of now.
async fn produce(config: Arc<ClusterConfig>, topic: String, entry: Entry) -> Result<(), String> {
    let config = config.read_anew().await?;
    let mut connection = Connection::of_cluster(&config);
    connection.set("delivery.timeout.ms", "10000");
    let topics = Topics::of(&connection).map_err(|error| error.to_string())?;
    let new = NewTopic {
        name: topic.clone(),
        partitions: Some(1),
        replication: config.replication.map(i32::from),
        configs: settings(),
    };
    // One that is there is refused, and whatever else is wrong the record meets too.
    let made = tokio::time::timeout(REMEMBERED_WITHIN, topics.create(&new)).await;
    if let Ok(Err(error)) = made {
        tracing::debug!(%error, "the topic of the audit was not made");
    }
    let work = move || -> Result<(), client::Error> {
        let producer = Producer::new(&connection, &topic)?;
        let value = serde_json::to_vec(&entry).map_err(std::io::Error::from)?;
        producer.send(&Produced { value: Some(value), ..Produced::default() })?;
        producer.flush()?;
        match producer.failures().first() {
            None => Ok(()),
            Some(reason) => Err(std::io::Error::other(reason.clone()).into()),
        }
    };
    let sent = Tasks::new().spawn_blocking("remember a change", work);
    match tokio::time::timeout(REMEMBERED_WITHIN, sent).await {
        Ok(Ok(sent)) => sent.map_err(|error| error.to_string()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("the cluster did not take it within {REMEMBERED_WITHIN:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_kept_and_made_anew_where_others_could_read_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let home = tempfile::tempdir().unwrap();
        assert_eq!(token(home.path()), None);
        let made = own_token(home.path()).unwrap();
        assert_eq!(token(home.path()).as_ref(), Some(&made));
        assert_eq!(own_token(home.path()).unwrap(), made);
        let path = home.path().join("run/token");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let other = own_token(home.path()).unwrap();
        assert_ne!(other, made);
        assert!(is_private(&path));
    }
}
