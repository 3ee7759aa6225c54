//! The replica connection: the server takes us for one of its replicas and sends its binlog.
//!
//! In: where to connect, who we are, where to begin. Out: one event's bytes at a time
//! ([`Incoming`]), uninterpreted. Three states, three types: connecting makes a
//! [`Replica`], which takes one dump command and becomes a [`Dump`]. Nothing is ever sent
//! after that command; leaving is closing the socket.
//!
//! Always: each wait has an end; packet numbers are checked; we never ask for semi-sync,
//! since we must not acknowledge what is not durable here.
//!
//! Generic over the stream, so that a scripted server in a pipe can play the other side.

mod commands;
mod login;
mod packets;
#[cfg(test)]
mod tests;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

pub use packets::Incoming;
use packets::Packets;
use wire::Wire;

use super::attempts::{Attempts, Login};
use super::lookup::addresses;
use super::{Endpoint, Error};
use crate::change::GtidSet;

/// How we present ourselves, and how patient we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaSettings {
    /// Our server id: unlike that of the source and of each other replica. 0: no replica at
    /// all, but a reader that the server neither lists nor drops for another.
    pub server_id: u32,
    /// Our UUID, made once and kept: a server that meets it again drops the older dump. Empty
    /// for a reader that is no replica.
    pub uuid: String,
    /// After how much silence the server shall say that it is alive.
    pub heartbeat: Duration,
    /// After how much silence it counts as dead. Above three heartbeats.
    pub read_timeout: Duration,
    /// How long a server may search for the begin of a GTID dump before its first byte:
    /// it reads all files that could hold it.
    pub first_event_timeout: Duration,
}

/// Where a dump begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DumpFrom {
    /// At an event that begins at `offset` of `file`.
    File {
        /// The binlog file.
        file: Arc<str>,
        /// Must fit 32 bits: the command has no room for more.
        offset: u64,
    },
    /// Behind all transactions of the set.
    Gtid(GtidSet),
}

/// What the server does at the end of its binlog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AtEnd {
    Wait,
    Stop,
}

/// A connection that is logged in and introduced, before its dump command.
pub struct Replica<S = TcpStream> {
    packets: Packets<Wire<S>>,
    settings: ReplicaSettings,
    version: String,
    encrypted: bool,
    checksums: bool,
}

impl Replica<TcpStream> {
    /// Connects over TCP.
    pub async fn connect(endpoint: &Endpoint, settings: ReplicaSettings) -> Result<Self, Error> {
        let mut attempts = Attempts::at(endpoint).await?;
        loop {
            let stream = dial(endpoint, &settings).await?;
            match Self::log_in(stream, &attempts.login(), settings.clone()).await {
                Ok(replica) => return attempts.came_in(replica),
                Err(error) => attempts = attempts.failed(error)?,
            }
        }
    }
}

async fn dial(endpoint: &Endpoint, settings: &ReplicaSettings) -> Result<TcpStream, Error> {
    let address = endpoint.address();
    let connect = async {
        let found = addresses(&endpoint.host).await?;
        let found = found.into_iter().map(|ip| SocketAddr::new(ip, endpoint.port));
        TcpStream::connect(&*found.collect::<Vec<_>>()).await
    };
    let stream = match tokio::time::timeout(endpoint.connect_timeout, connect).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(source)) => return Err(Error::Connect { address, source }),
        Err(_) => {
            let after = endpoint.connect_timeout;
            return Err(Error::Timeout { address, what: "connecting", after });
        }
    };
    keep_alive(&stream, settings.read_timeout)
        .map_err(|source| Error::Connect { address, source })?;
    Ok(stream)
}

/// Lets the kernel notice a peer that is dead: by probes while nothing is sent, and by a
/// limit for what stays unacknowledged.
fn keep_alive(stream: &TcpStream, patience: Duration) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let interval = Duration::from_secs(10);
    let probes = TcpKeepalive::new().with_time(interval).with_interval(interval).with_retries(3);
    socket.set_tcp_keepalive(&probes)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(patience))?;
    #[cfg(not(target_os = "linux"))]
    let _ = patience;
    Ok(())
}

impl<S: AsyncRead + AsyncWrite + Unpin> Replica<S> {
    /// Logs in over a stream that is already there, at the first attempt, and says to the server
    /// who we are.
    pub async fn over(
        stream: S,
        endpoint: &Endpoint,
        settings: ReplicaSettings,
    ) -> Result<Self, Error> {
        let attempts = Attempts::at(endpoint).await?;
        Self::log_in(stream, &attempts.login(), settings).await
    }

    async fn log_in(
        stream: S,
        attempt: &Login<'_>,
        settings: ReplicaSettings,
    ) -> Result<Self, Error> {
        let limit = attempt.endpoint.connect_timeout;
        let all = async {
            let packets = Packets::new(Wire::Plain(stream), Arc::from(attempt.address()), limit);
            let (packets, greeting) = login::log_in(packets, attempt).await?;
            let version = greeting.version;
            let encrypted = attempt.encrypted;
            let mut replica = Self { packets, settings, version, encrypted, checksums: false };
            replica.introduce(&attempt.credentials.user).await?;
            Ok(replica)
        };
        // Boxed: OpenSSL's and the login's states together are large.
        match tokio::time::timeout(limit, Box::pin(all)).await {
            Ok(done) => done,
            Err(_) => {
                Err(Error::Timeout { address: attempt.address(), what: "logging in", after: limit })
            }
        }
    }

    /// The version text of the greeting.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Whether nobody between can read along.
    pub fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// Whether the server is a MariaDB.
    pub fn is_mariadb(&self) -> bool {
        self.version.contains("MariaDB")
    }

    /// Whether the events will carry checksums before a format description says so: the
    /// first of all events, an artificial ROTATE, comes before one.
    pub fn has_checksums(&self) -> bool {
        self.checksums
    }

    /// Asks for the binlog, and for what will be added to it.
    pub async fn dump(self, from: &DumpFrom) -> Result<Dump<S>, Error> {
        self.begin(from, AtEnd::Wait).await
    }

    /// Asks for the binlog as it is now; the dump ends with [`Incoming::End`].
    pub async fn scan(self, from: &DumpFrom) -> Result<Dump<S>, Error> {
        self.begin(from, AtEnd::Stop).await
    }

    async fn begin(mut self, from: &DumpFrom, at_end: AtEnd) -> Result<Dump<S>, Error> {
        self.send_dump(from, at_end).await?;
        let patience = self.settings.read_timeout;
        self.packets.what = "reading the binlog";
        self.packets.patience = match from {
            DumpFrom::File { .. } => patience,
            DumpFrom::Gtid(_) => patience.max(self.settings.first_event_timeout),
        };
        Ok(Dump { packets: self.packets, patience })
    }
}

/// A running dump.
pub struct Dump<S = TcpStream> {
    packets: Packets<Wire<S>>,
    /// What holds once the first byte has come.
    patience: Duration,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Dump<S> {
    /// What comes next. The read timeout runs only while this is being awaited. Cancel
    /// safe: what was read stays.
    pub async fn next(&mut self) -> Result<Incoming, Error> {
        let incoming = self.packets.next().await?;
        self.packets.patience = self.patience;
        Ok(incoming)
    }

    /// What has been read and not taken, without waiting: several events come with one read.
    pub fn take(&mut self) -> Result<Option<Incoming>, Error> {
        self.packets.take()
    }

    /// Reads more, when [`Dump::take`] has no more. Timeout and cancelling as for
    /// [`Dump::next`].
    pub async fn more(&mut self) -> Result<(), Error> {
        self.packets.more().await?;
        self.packets.patience = self.patience;
        Ok(())
    }

    /// `host:port` of the server.
    pub fn address(&self) -> &str {
        self.packets.address()
    }
}
