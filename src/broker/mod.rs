//! The Kafka protocol over the log: any Kafka client reads, writes and administers it.
//!
//! Owns: client connections, consumer groups, producer id blocks. In: bound listeners and
//! the log. Out: answers. A node of one that never pretends: leader, controller and
//! coordinator of everything is itself, and a replication factor above 1 is refused.
//!
//! The way of a request: `connection` (frames, order) → `dispatch` (header, version, one
//! exhaustive match) → one file of `api` → `log`, or `group`.
//!
//! What holds:
//! - bytes of records pass through as they came and as they are stored;
//! - one Fetch answer cuts all its partitions at one moment's ends;
//! - a group's answers and offsets are durable before they are told;
//! - a topic that an instance writes takes no Produce from clients, `__*` topics never do.

mod access;
mod answers;
mod api;
mod body;
mod call;
mod config_keys;
mod connection;
mod connections;
mod costs;
mod dispatch;
mod frame;
mod group;
mod inboxes;
mod lag;
mod pressure;
mod settings;
mod validation;
mod versions;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::log::{Log, ReadError};
use crate::shutdown::Tasks;

use answers::Answers;
use api::init_producer_id::ProducerIds;
use call::Peer;
use connections::Connections;
use costs::Costs;
use group::Coordinator;
use inboxes::Inboxes;
use lag::Lags;
use validation::Validation;

pub use lag::GroupLag;
pub use settings::{BrokerSettings, GroupSettings};

/// Between tries when the system refuses a connection (out of files, for instance).
const ACCEPT_BACK_OFF: Duration = Duration::from_millis(100);

/// The default of Kafka's `socket.send.buffer.bytes`: the system holds so much of an answer (Linux
/// twice as much), however slow its client is.
const SEND_BUFFER: usize = 102_400;

/// How often it is logged again that connections are refused, for as long as they are.
const SAID_AGAIN: Duration = Duration::from_mins(1);

/// Requests that are carried through at once. More wait, and end with their clients.
const WORKING: usize = 256;

/// Where clients find a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// A bound socket, and what we tell its clients to connect to.
#[derive(Debug)]
pub struct Listener {
    /// The socket.
    pub socket: TcpListener,
    /// `advertised.listeners`; without it a client is told the address it connected to.
    pub advertised: Option<Endpoint>,
}

/// Why the broker cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The groups and their offsets cannot be restored.
    #[error("read the consumer groups")]
    Groups(#[from] ReadError),
    /// A listener is broken.
    #[error("ask a listener for its address")]
    Listener(#[from] io::Error),
}

/// The broker of one log.
#[derive(Debug)]
pub struct Broker {
    log: Log,
    settings: BrokerSettings,
    groups: Arc<Coordinator>,
    producer_ids: ProducerIds,
    answers: Answers,
    inboxes: Inboxes,
    connections: Connections,
    costs: Costs,
    /// What is carried through whether or not its client stays, and how much of it may go on.
    work: Tasks,
    working: Arc<Semaphore>,
    validation: Validation,
    lags: Lags,
}

/// Restores the groups, then serves the listeners until `tasks` is cancelled, and returns
/// when every connection has ended. Not cancel safe.
pub async fn run(
    listeners: Vec<Listener>,
    log: Log,
    settings: BrokerSettings,
    tasks: &Tasks,
) -> Result<(), Error> {
    let broker = Broker::open(log, settings, tasks).await?;
    broker.serve(listeners, tasks).await
}

impl Broker {
    /// Restores the groups; their timers and writes run under `tasks` from here.
    pub async fn open(
        log: Log,
        settings: BrokerSettings,
        tasks: &Tasks,
    ) -> Result<Arc<Self>, Error> {
        let groups = Coordinator::open(log.clone(), settings.groups.clone(), tasks.child()).await?;
        let (producer_ids, answers) = (ProducerIds::default(), Answers::default());
        let (inboxes, connections) = (Inboxes::default(), Connections::default());
        let (work, working) = (tasks.child(), Arc::new(Semaphore::new(WORKING)));
        let validation = Validation::new(work.clone());
        Ok(Arc::new(Self {
            log,
            settings,
            groups,
            producer_ids,
            answers,
            inboxes,
            connections,
            costs: Costs::default(),
            work,
            working,
            validation,
            lags: Lags::default(),
        }))
    }

    /// Serves the listeners until `tasks` is cancelled; requests in hand are answered.
    pub async fn serve(
        self: &Arc<Self>,
        listeners: Vec<Listener>,
        tasks: &Tasks,
    ) -> Result<(), Error> {
        let connections = tasks.child();
        let watching = Arc::clone(self).watch_lags(connections.token().clone());
        connections.spawn("watch group lags", watching);
        let permits = Arc::new(Semaphore::new(self.settings.max_connections));
        for listener in listeners {
            tracing::info!(address = %listener.socket.local_addr()?, "serving Kafka clients");
            let (broker, permits) = (Arc::clone(self), Arc::clone(&permits));
            let owner = connections.clone();
            connections.spawn_critical("accept", async move {
                broker.accept(listener, permits, owner).await;
            });
        }
        connections.token().cancelled().await;
        connections.join().await;
        self.work.join().await;
        self.groups.close().await;
        Ok(())
    }

    /// One listener: takes connections as long as permits last. Priorities: stop, accept.
    async fn accept(self: Arc<Self>, listener: Listener, permits: Arc<Semaphore>, owner: Tasks) {
        let Listener { socket, advertised } = listener;
        let stop = owner.token().clone();
        let mut refused = Refusals::default();
        loop {
            let permit = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                permit = Arc::clone(&permits).acquire_owned() => permit,
            };
            let Ok(permit) = permit else { return };
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                accepted = socket.accept() => accepted,
            };
            let client = accepted.and_then(|(stream, remote)| {
                let peer = peer(&stream, remote, advertised.as_ref())?;
                Ok((stream, peer))
            });
            let (stream, peer) = match client {
                Ok(client) => client,
                Err(error) => {
                    refused.say(&error);
                    tokio::time::sleep(ACCEPT_BACK_OFF).await;
                    continue;
                }
            };
            let (broker, stop, remote) = (Arc::clone(&self), stop.clone(), peer.remote);
            let most = self.settings.max_connections_per_ip;
            let Some(counted) = self.connections.count(remote.ip(), most) else {
                tracing::info!(%remote, most, "closed: max.connections.per.ip");
                continue;
            };
            owner.spawn("connection", async move {
                let _held = (permit, counted);
                if let Err(error) = connection::serve(stream, peer, broker, stop).await {
                    tracing::info!(%remote, error = &error as &dyn std::error::Error, "connection closed");
                }
            });
        }
    }
}

/// Tries of a listener that the system refused: many a second where it has no files left.
#[derive(Debug, Default)]
struct Refusals {
    said: Option<Instant>,
    since: u64,
}

impl Refusals {
    /// Says so, unless that was said of late; whether it did.
    fn say(&mut self, error: &io::Error) -> bool {
        let now = Instant::now();
        self.since += 1;
        if self.said.is_some_and(|said| now - said < SAID_AGAIN) {
            return false;
        }
        tracing::warn!(%error, tries = self.since, "a client could not connect");
        *self = Self { said: Some(now), since: 0 };
        true
    }
}

fn peer(stream: &TcpStream, remote: SocketAddr, advertised: Option<&Endpoint>) -> io::Result<Peer> {
    stream.set_nodelay(true)?;
    // What the system takes of an answer looks as if the client had taken it.
    SockRef::from(stream).set_send_buffer_size(SEND_BUFFER)?;
    let endpoint = if let Some(endpoint) = advertised {
        endpoint.clone()
    } else {
        let local = stream.local_addr()?;
        // A client of IPv4 on a socket of IPv6 must be told an address of IPv4.
        Endpoint { host: local.ip().to_canonical().to_string(), port: local.port() }
    };
    Ok(Peer { remote, endpoint })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn that_clients_cannot_connect_is_said_now_and_then() {
        let mut refused = Refusals::default();
        let mut said = 0;
        for _ in 0..1801 {
            said += usize::from(refused.say(&io::Error::other("no files")));
            tokio::time::sleep(ACCEPT_BACK_OFF).await;
        }
        assert_eq!(said, 4, "at first and after each of three minutes");
    }
}
