//! The log as a Kafka client reaches it: how, and on which threads.
//!
//! The client library blocks, so each question has a thread for its time, and there are few at a
//! time. A thread that a broker keeps waiting is not joined: it holds nothing, and gives up by itself.

use std::sync::{Arc, LazyLock};

use axum::http::StatusCode;
use tokio::sync::Semaphore;

use super::failure;
use crate::admin::access::Refusal;
use crate::admin::{Reach, Shared};
use crate::client::{Connection, Error};
use crate::shutdown::Tasks;

/// Questions at a time.
const AT_A_TIME: usize = 4;

static ROOM: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(AT_A_TIME)));

/// How the log is reached now.
pub(super) async fn asked(shared: &Shared) -> Result<Connection, Refusal> {
    let Some(reach) = shared.kafka.get() else {
        let text = "the log is not open yet: sluice is starting".to_owned();
        return Err(failure(StatusCode::SERVICE_UNAVAILABLE, text));
    };
    reach.connection().await.map_err(|reason| failure(StatusCode::BAD_GATEWAY, reason))
}

impl Reach {
    /// How the log is reached now; the error is a sentence.
    pub(in crate::admin) async fn connection(&self) -> Result<Connection, String> {
        match self {
            Self::Bundled(connection) => Ok(connection.clone()),
            // With the password of now.
            Self::Cluster(config) => Ok(Connection::of_cluster(&*config.read_anew().await?)),
        }
    }
}

/// Asks, on a thread of its own.
pub(super) async fn blocking<T: Send + 'static>(
    name: &'static str,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Refusal> {
    // Closed by nobody.
    let room = Arc::clone(&ROOM).acquire_owned().await;
    let done = Tasks::new().spawn_blocking(name, move || {
        let _room = room;
        work()
    });
    match done.await {
        Ok(done) => done.map_err(|error| of_client(&error)),
        Err(error) => Err(failure(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}

fn of_client(error: &Error) -> Refusal {
    let status = match error {
        Error::NoTopic(_) | Error::NoGroup(_) | Error::NoPartition { .. } => StatusCode::NOT_FOUND,
        Error::Topic { .. } | Error::ActiveGroup { .. } => StatusCode::CONFLICT,
        Error::Unreachable { .. } | Error::Kafka(_) | Error::Output(_) => StatusCode::BAD_GATEWAY,
    };
    failure(status, error.to_string())
}
