//! Sends an alert to a webhook, as one POST over a connection of its own.
//!
//! In: a URL, which is a secret (its path lets anybody write there), and a message. Out: that the
//! receiver took it, or why not: an error names the receiver's host, never more of the URL. Always:
//! it is over within [`PATIENCE`], whatever the other side does, and takes at most [`LARGEST`] bytes
//! of its answer.

mod shape;

use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_native_tls::native_tls;

pub use shape::Shape;

use crate::control::Message;

/// For the whole exchange.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Receivers answer with a word, or a small object.
const LARGEST: usize = 64 << 10;

/// Of an answer that refuses, so much is said.
const SAID: usize = 200;

/// Why an alert was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is no URL that could be asked.
    #[error("sluice.alert.url is no http:// or https:// URL with a host")]
    Url,
    /// It cannot be reached.
    #[error("the receiver of alerts, {host}, cannot be reached: {reason}")]
    Unreachable {
        /// The receiver.
        host: String,
        /// What the system said.
        reason: String,
    },
    /// It answered with something else than that it has it.
    #[error("the receiver of alerts, {host}, refuses: {reason}")]
    Refused {
        /// The receiver.
        host: String,
        /// What it said.
        reason: String,
    },
    /// It did not answer in time.
    #[error("the receiver of alerts, {host}, does not answer within {} s", PATIENCE.as_secs())]
    Late {
        /// The receiver.
        host: String,
    },
}

/// Where alerts go.
pub struct Webhook {
    uri: Uri,
    host: String,
    port: u16,
    is_tls: bool,
    shape: Shape,
}

impl Webhook {
    /// Reads a URL; without a `shape` its host says which it wants.
    pub fn new(url: &str, shape: Option<Shape>) -> Result<Self, Error> {
        let uri: Uri = url.trim().parse().map_err(|_| Error::Url)?;
        let is_tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(Error::Url),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or(Error::Url)?.to_owned();
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let shape = shape.unwrap_or_else(|| Shape::of_host(&host));
        Ok(Self { uri, host, port, is_tls, shape })
    }

    /// Sends a message; `home` says whose it is.
    pub async fn send(&self, message: &Message, home: &str) -> Result<(), Error> {
        match tokio::time::timeout(PATIENCE, self.exchange(message, home)).await {
            Ok(sent) => sent,
            Err(_) => Err(Error::Late { host: self.host.clone() }),
        }
    }

    async fn exchange(&self, message: &Message, home: &str) -> Result<(), Error> {
        let body = self.shape.body(message, home);
        // An address of IPv6 is in brackets in a URL.
        let name = self.host.trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((name, self.port))
            .await
            .map_err(|error| self.unreachable(&error))?;
        if self.is_tls {
            let connector = native_tls::TlsConnector::new().map_err(|e| self.unreachable(&e))?;
            let connector = tokio_native_tls::TlsConnector::from(connector);
            let stream = connector.connect(name, stream).await.map_err(|e| self.unreachable(&e))?;
            self.post(stream, body).await
        } else {
            self.post(stream, body).await
        }
    }

    async fn post(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        body: String,
    ) -> Result<(), Error> {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.unreachable(&error))?;
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let default_port = if self.is_tls { 443 } else { 80 };
        let host = if self.port == default_port {
            self.host.clone()
        } else {
            format!("{}:{}", self.host, self.port)
        };
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header("host", host)
            .header("user-agent", concat!("sluice/", env!("CARGO_PKG_VERSION")))
            .header("content-type", "application/json; charset=utf-8")
            .header("connection", "close")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| self.unreachable(&error))?;
        let answer = async {
            let response = sender.send_request(request).await.map_err(|e| self.unreachable(&e))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), LARGEST).collect().await;
            let body = body.map_err(|error| self.unreachable(&*error))?;
            Ok((status, body.to_bytes()))
        };
        // Side by side here, so that no task is left behind; the answer ends it.
        let (status, body) = {
            let mut connection = std::pin::pin!(connection);
            let mut answer = std::pin::pin!(answer);
            let mut closed = false;
            loop {
                tokio::select! {
                    biased;
                    answer = &mut answer => break answer?,
                    _ = &mut connection, if !closed => closed = true,
                }
            }
        };
        self.judge(status, &body)
    }

    fn judge(&self, status: StatusCode, body: &[u8]) -> Result<(), Error> {
        let refused = |reason: String| Err(Error::Refused { host: self.host.clone(), reason });
        let said: String = String::from_utf8_lossy(body).chars().take(SAID).collect();
        if !status.is_success() {
            return refused(format!("{status}: {said}"));
        }
        if self.shape.accepts(body) { Ok(()) } else { refused(said) }
    }

    fn unreachable(&self, reason: &dyn std::fmt::Display) -> Error {
        Error::Unreachable { host: self.host.clone(), reason: reason.to_string() }
    }
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook").field("host", &self.host).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
