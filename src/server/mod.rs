//! Start and stop order, the set of instances, hot reload, signals.

use crate::config::{Problems, Settings};

/// What a run is started with.
pub struct Start {
    /// The settings.
    pub settings: Settings,
    /// Reads the settings again; blocking.
    pub reload: Box<dyn Fn() -> Result<Settings, Problems> + Send + Sync>,
}

/// Why nothing runs.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The rest of the server is not there yet.
    #[error("the server is not built yet")]
    NotBuilt,
}

/// Runs until a signal says stop, then drains.
#[expect(clippy::unused_async, reason = "the server takes its place")]
pub async fn run(_start: Start) -> Result<(), Error> {
    Err(Error::NotBuilt)
}
