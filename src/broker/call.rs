//! One request, as its API sees it: who asks, in which version, and how its body is read and
//! its answer written.
//!
//! In: what `dispatch` found in the header. Out: decoded requests and encoded answers, each in
//! the version of the call; or [`Refused`], which ends the connection.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::protocol::{Decodable, Encodable};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::Endpoint;
use super::answers::Share;
use super::body::{self, Strings};
use super::frame::Pieces;
use super::versions::Api;

/// Who is at the other end, and which of our addresses it found us by.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) remote: SocketAddr,
    /// The address we tell this client to use.
    pub(crate) endpoint: Endpoint,
}

/// Why a request gets no answer and its connection is closed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error("request shorter than its header")]
    NoHeader,
    #[error("unknown API key {key} or version {version}")]
    Unserved { key: i16, version: i16 },
    #[error("request of {api:?} version {version} cannot be read: {reason}")]
    Unreadable { api: Api, version: i16, reason: String },
    #[error(
        "request of {api:?} has {bytes} bytes, the limit is {most}: send several, of less each"
    )]
    Long { api: Api, bytes: usize, most: usize },
    #[error(
        "an answer of {api:?} would take about {bytes} bytes, the limit is {most}: ask for less at a time"
    )]
    Costly { api: Api, bytes: usize, most: usize },
    #[error("there was no room for an answer of {api:?} among those of all connections")]
    NoRoom { api: Api },
    #[error("answer of {api:?} version {version} cannot be written: {reason}")]
    Unwritable { api: Api, version: i16, reason: String },
    #[error("request of {api:?} was not carried through: {reason}")]
    Unfinished { api: Api, reason: String },
    #[error("a produce request with acks=0 failed: {0}")]
    Unacknowledged(String),
}

/// Whether there is an answer to send.
pub(super) type Answered = Result<bool, Refused>;

/// All that an API knows of a request beside its body.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) api: Api,
    pub(crate) version: i16,
    pub(crate) client_id: String,
    pub(crate) peer: Peer,
    /// Ends waits when the server stops.
    pub(crate) stop: CancellationToken,
    /// Told by Produce once its batches have their place in the log's order: the next
    /// request of the connection may then follow.
    pub(crate) queued: Arc<Notify>,
    /// Whether there is room for it to wait for records.
    pub(crate) may_wait: bool,
    /// How much of the room of all answers its own may take.
    pub(crate) share: Share,
}

impl Call {
    /// Decodes the body of this request.
    pub(crate) fn read<T: Decodable>(&self, body: Bytes) -> Result<T, Refused> {
        body::read(self.api, self.version, body).map_err(|reason| self.unreadable(reason))
    }

    /// Decodes the body of this request, which has strings beside byte fields.
    pub(crate) fn read_mixed<T: Decodable + Strings>(&self, body: Bytes) -> Result<T, Refused> {
        let request: T = self.read(body)?;
        request.judge().map_err(|reason| self.unreadable(reason))?;
        Ok(request)
    }

    fn unreadable(&self, reason: String) -> Refused {
        Refused::Unreadable { api: self.api, version: self.version, reason }
    }

    /// Encodes the body of its answer.
    pub(crate) fn write<T: Encodable>(&self, out: &mut Pieces, answer: &T) -> Answered {
        answer.encode(out.encode(), self.version).map_err(|error| Refused::Unwritable {
            api: self.api,
            version: self.version,
            reason: error.to_string(),
        })?;
        Ok(true)
    }
}
