//! Positions in the log of a home whose process does not run. The log's own lock keeps
//! two processes from it.

use std::sync::Arc;

use anyhow::{Context as _, bail};

use crate::change::Position;
use crate::config::{Settings, Target};
use crate::control::Place;
use crate::disk::Real;
use crate::log::{Log, LogSettings};
use crate::server::{Dropped, Moved, NO_POSITIONS, Positions};
use crate::shutdown::Tasks;

use super::Home;

/// The log of a home, opened for a moment.
pub(super) struct Stored {
    pub(super) settings: Settings,
    pub(super) log: Log,
    tasks: Tasks,
}

impl Stored {
    pub(super) async fn open(home: &Home) -> anyhow::Result<Self> {
        let settings = home.settings()?;
        if let Target::Cluster(_) = settings.server.target {
            bail!("{NO_POSITIONS}; a running sluice shows it (bin/sluice instance show)");
        }
        let dir = &settings.server.log.dir;
        if !dir.exists() {
            bail!("there is no log yet in {}", dir.display());
        }
        Self::open_or_make(settings).await
    }

    /// The same where there may be no log yet.
    pub(super) async fn open_or_make(settings: Settings) -> anyhow::Result<Self> {
        let dir = &settings.server.log.dir;
        let disk = Real::new(dir.clone()).with_context(|| format!("open {}", dir.display()))?;
        let tasks = Tasks::new();
        // A look must not delete what the operator keeps longer than the default.
        let keep =
            LogSettings { retention_ms: None, retention_bytes: None, ..LogSettings::default() };
        let log = Log::open(Arc::new(disk), keep, &tasks)
            .await
            .with_context(|| format!("open the log in {}", dir.display()))?;
        Ok(Self { settings, log, tasks })
    }

    fn positions(&self) -> Positions<'_> {
        Positions { log: &self.log, group: &self.settings.server.group }
    }

    pub(super) async fn close(self) {
        self.log.close().await;
        self.tasks.join().await;
    }
}

/// All instances of the home and their positions.
pub(in crate::cli) async fn all(home: &Home) -> anyhow::Result<Vec<(String, Option<Position>)>> {
    let stored = Stored::open(home).await?;
    let mut found = Vec::new();
    for instance in &stored.settings.instances {
        let name = instance.config.name.clone();
        let position = stored.positions().read(&name).await?;
        found.push((name, position));
    }
    stored.close().await;
    Ok(found)
}

/// Makes `instance` go on from `place`.
pub(super) async fn set(home: &Home, instance: &str, place: &Place) -> anyhow::Result<Moved> {
    let stored = Stored::open(home).await?;
    let done = stored.positions().set(instance, place).await;
    stored.close().await;
    Ok(done?)
}

/// Forgets the position of `instance`, and with it what was kept for it.
pub(super) async fn reset(
    home: &Home,
    instance: &str,
    drop_parked: bool,
) -> anyhow::Result<Dropped> {
    let stored = Stored::open(home).await?;
    let done = stored.positions().reset(instance, drop_parked).await;
    stored.close().await;
    Ok(done?)
}
