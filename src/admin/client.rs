//! Asks the admin port of a running process; what the commands of the binary use.

use std::net::IpAddr;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::DROP_PARKED;
use crate::control::{Place, Snapshot, SnapshotOrder};

/// Local and small: whoever does not answer in this time does not answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens there.
    #[error("nothing answers on port {port}: {source}")]
    Unreachable {
        /// The port asked.
        port: u16,
        /// What the system said.
        source: std::io::Error,
    },
    /// Somebody listens who is not us, or is stuck.
    #[error("no answer of sluice on port {port}: {reason}")]
    Strange {
        /// The port asked.
        port: u16,
        /// What came instead.
        reason: String,
    },
    /// It answered, and refused.
    #[error("{0}")]
    Refused(String),
}

/// The admin port of a process on this machine.
#[derive(Clone)]
pub struct Client {
    host: String,
    /// Where commands are taken: over loopback.
    command_host: String,
    port: u16,
    /// What commands prove themselves by.
    token: Option<String>,
}

impl Client {
    /// A client of `port` at the address it is bound to (none or all addresses: this
    /// machine).
    pub fn new(host: Option<&str>, port: u16) -> Self {
        let host = match host {
            None | Some("0.0.0.0" | "::" | "") => "127.0.0.1",
            Some(host) => host,
        };
        let is_loopback = host
            .parse::<IpAddr>()
            .map_or(host == "localhost", |address| address.to_canonical().is_loopback());
        let command_host = if is_loopback { host } else { "127.0.0.1" };
        Self { host: host.to_owned(), command_host: command_host.to_owned(), port, token: None }
    }

    /// The same with what the process wrote into its `run/token`.
    #[must_use]
    pub fn with_token(mut self, token: Option<String>) -> Self {
        self.token = token;
        self
    }

    /// Asks for a one-time link to the page: the whole address, and how many seconds it serves.
    pub async fn link(&self) -> Result<(String, u64), Error> {
        let (status, body) =
            self.ask(&self.command_host, Method::POST, "/api/v1/links", Bytes::new()).await?;
        let body: serde_json::Value =
            serde_json::from_slice(&body).map_err(|error| self.strange(&error))?;
        if status != StatusCode::OK {
            let why = body["error"].as_str().unwrap_or("it does not say why");
            return Err(Error::Refused(why.to_owned()));
        }
        let (path, seconds) = (body["path"].as_str(), body["seconds"].as_u64());
        let (Some(path), Some(seconds)) = (path, seconds) else {
            return Err(self.strange(&"it makes no links"));
        };
        Ok((format!("http://{}:{}{path}", self.command_host, self.port), seconds))
    }

    /// State and reason of everything.
    pub async fn health(&self) -> Result<Snapshot, Error> {
        let (_, body) = self.ask(&self.host, Method::GET, "/health", Bytes::new()).await?;
        serde_json::from_slice(&body).map_err(|error| self.strange(&error))
    }

    /// Stops an instance, which ends what it has in hand first. It takes as long as it takes.
    pub async fn stop(&self, instance: &str) -> Result<String, Error> {
        self.long_command(&format!("/instances/{instance}/stop"), "").await
    }

    /// Starts a stopped instance, when what was asked of it before is done. It takes as long as it
    /// takes.
    pub async fn start(&self, instance: &str) -> Result<String, Error> {
        self.long_command(&format!("/instances/{instance}/start"), "").await
    }

    /// Makes a stopped instance go on from `place`. What comes out is to be said, if it is
    /// anything.
    pub async fn set_position(&self, instance: &str, place: &Place) -> Result<String, Error> {
        let body = serde_json::to_vec(place).map_err(|error| self.strange(&error))?;
        self.command(Method::PUT, &format!("/instances/{instance}/position"), body.into()).await
    }

    /// Makes a stopped instance begin anew. What comes out is what was kept of parked tables,
    /// and dropped.
    pub async fn reset_position(&self, instance: &str, drop_parked: bool) -> Result<String, Error> {
        let path = format!("/instances/{instance}/position");
        let what = if drop_parked { DROP_PARKED } else { "" };
        self.command(Method::DELETE, &path, Bytes::from_static(what.as_bytes())).await
    }

    /// Writes all that is known of a stopped instance to a file of the machine; it does not start
    /// here any more, unless that is a copy. It takes as long as it takes.
    pub async fn export(&self, instance: &str, file: &str, is_copy: bool) -> Result<String, Error> {
        let verb = if is_copy { "copy" } else { "export" };
        self.long_command(&format!("/instances/{instance}/{verb}"), file).await
    }

    /// Lets an instance that was exported start here again. It takes as long as it takes.
    pub async fn resume(&self, instance: &str) -> Result<String, Error> {
        self.long_command(&format!("/instances/{instance}/resume"), "").await
    }

    /// Makes an instance that does not run go on from such a file; in place of what is known of it
    /// only where `replace` says so. It takes as long as it takes.
    pub async fn import(&self, instance: &str, file: &str, replace: bool) -> Result<String, Error> {
        let verb = if replace { "replace" } else { "import" };
        self.long_command(&format!("/instances/{instance}/{verb}"), file).await
    }

    /// Publishes what is kept of a parked table. It takes as long as it takes.
    pub async fn retry(&self, instance: &str, table: &str) -> Result<String, Error> {
        self.long_command(&format!("/instances/{instance}/retry"), table).await
    }

    /// Drops what is kept of a parked table.
    pub async fn drop_parked(&self, instance: &str, table: &str) -> Result<String, Error> {
        self.long_command(&format!("/instances/{instance}/drop"), table).await
    }

    /// Asks something of the copying of an instance's tables. What comes out is to be said.
    pub async fn snapshot(&self, instance: &str, order: &SnapshotOrder) -> Result<String, Error> {
        let body = serde_json::to_string(order).map_err(|error| self.strange(&error))?;
        self.long_command(&format!("/instances/{instance}/snapshot"), &body).await
    }

    /// Copies the log to a directory of the machine. It takes as long as it takes.
    pub async fn back_up(&self, dir: &str) -> Result<String, Error> {
        self.long_command("/log/backup", dir).await
    }

    async fn long_command(&self, path: &str, body: &str) -> Result<String, Error> {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let (status, body) = self.exchange(&self.command_host, Method::POST, path, body).await?;
        judge(status, &body)
    }

    async fn command(&self, method: Method, path: &str, body: Bytes) -> Result<String, Error> {
        let (status, body) = self.ask(&self.command_host, method, path, body).await?;
        judge(status, &body)
    }

    async fn ask(
        &self,
        host: &str,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), Error> {
        let exchange = self.exchange(host, method, path, body);
        tokio::time::timeout(PATIENCE, exchange)
            .await
            .unwrap_or_else(|_| Err(self.strange(&"no answer in five seconds")))
    }

    /// One request over a connection of its own; its two halves run side by side here, so
    /// that no task is left behind.
    async fn exchange(
        &self,
        host: &str,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), Error> {
        let stream = TcpStream::connect((host, self.port))
            .await
            .map_err(|source| Error::Unreachable { port: self.port, source })?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.strange(&error))?;
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", host)
            .header("connection", "close");
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(Full::new(body)).map_err(|error| self.strange(&error))?;
        let answer = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            Ok::<_, hyper::Error>((status, response.into_body().collect().await?.to_bytes()))
        };
        let (answer, _) = tokio::join!(answer, connection);
        answer.map_err(|error| self.strange(&error))
    }

    fn strange(&self, reason: &dyn std::fmt::Display) -> Error {
        Error::Strange { port: self.port, reason: reason.to_string() }
    }
}

fn judge(status: StatusCode, body: &[u8]) -> Result<String, Error> {
    let text = String::from_utf8_lossy(body).into_owned();
    if status == StatusCode::OK { Ok(text) } else { Err(Error::Refused(text)) }
}
