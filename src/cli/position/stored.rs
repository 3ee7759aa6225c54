//! Positions in the log of a home whose process does not run. The log's own lock keeps
//! two processes from it.

use std::sync::Arc;

use anyhow::{Context as _, bail};

use crate::change::{Flavor, GtidSet, Position};
use crate::config::Settings;
use crate::disk::Real;
use crate::log::{Log, LogSettings};
use crate::shutdown::Tasks;

use super::{Home, Place};

/// Last word of the name of the topic that positions lie in.
const POSITIONS: &str = "positions";

/// The log of a home, opened for a moment.
struct Stored {
    settings: Settings,
    log: Log,
    tasks: Tasks,
}

impl Stored {
    async fn open(home: &Home) -> anyhow::Result<Self> {
        let settings = home.settings()?;
        let dir = &settings.server.log.dir;
        if !dir.exists() {
            bail!("there is no log yet in {}", dir.display());
        }
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

    /// `__<group>.<instance>.<what>`, if the instance has ever had it.
    fn has(&self, instance: &str, what: &str) -> bool {
        self.log.topic(&self.topic(instance, what)).is_some()
    }

    fn topic(&self, instance: &str, what: &str) -> String {
        format!("__{}.{instance}.{what}", self.settings.server.group)
    }

    async fn position(&self, instance: &str) -> anyhow::Result<Option<Position>> {
        if !self.has(instance, POSITIONS) {
            return Ok(None);
        }
        let restored = self.log.writer(instance, &self.settings.server.group).open().await?;
        let position = restored.position.map(|bytes| serde_json::from_slice(&bytes));
        position.transpose().with_context(|| format!("read the position of {instance}"))
    }

    async fn close(self) {
        self.log.close().await;
        self.tasks.join().await;
    }
}

/// All instances of the home and where they stand.
pub(super) async fn all(home: &Home) -> anyhow::Result<Vec<(String, Option<Position>)>> {
    let stored = Stored::open(home).await?;
    let mut found = Vec::new();
    for instance in &stored.settings.instances {
        let name = instance.config.name.clone();
        let position = stored.position(&name).await?;
        found.push((name, position));
    }
    stored.close().await;
    Ok(found)
}

/// Makes `instance` go on from `place`; returns the new position.
pub(super) async fn set(home: &Home, instance: &str, place: Place) -> anyhow::Result<Position> {
    let stored = Stored::open(home).await?;
    let Some(old) = stored.position(instance).await? else {
        bail!(
            "{instance} has no position yet: write where it begins into its instance.properties \
             (canal.instance.master.journal.name and .position, or .gtid)"
        );
    };
    let position = moved(old, place)?;
    let mut writer = stored.log.writer(instance, &stored.settings.server.group);
    writer.open().await?;
    let bytes = serde_json::to_vec(&position)?;
    writer.commit(bytes.into(), Vec::new()).await?.await?;
    stored.close().await;
    Ok(position)
}

/// Forgets the position of `instance`, and with it what was kept for it. True if the next
/// start finds a Canal's.
pub(super) async fn reset(home: &Home, instance: &str) -> anyhow::Result<bool> {
    let stored = Stored::open(home).await?;
    if !stored.has(instance, POSITIONS) {
        bail!("{instance} has no position");
    }
    for what in [POSITIONS, "schema", "xa"] {
        if stored.has(instance, what) {
            stored.log.delete_topic(&stored.topic(instance, what)).await?;
        }
    }
    let mut instances = stored.settings.instances.iter();
    let found = instances.find(|one| one.config.name == instance);
    let has_canals = found.is_some_and(|one| one.config.meta_dat.exists());
    stored.close().await;
    Ok(has_canals)
}

/// The same server at another place: what the place does not say is unknown, and so not
/// held against the server at the next start.
fn moved(old: Position, place: Place) -> anyhow::Result<Position> {
    // Position names servers without a UUID of their own so; they are MariaDB's.
    let is_mariadb = old.server_uuid.starts_with("server-id:");
    let flavor = if is_mariadb { Flavor::MariaDb } else { Flavor::MySql };
    let (file, offset, gtid_set) = match place {
        Place::File(file, offset) => (file, offset, None),
        Place::Gtid(text) => (String::new(), 0, Some(GtidSet::parse(flavor, &text)?)),
    };
    Ok(Position { file: file.into(), offset, gtid_set, file_created: 0, event_time: 0, ..old })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moved_position_keeps_the_server_and_forgets_what_is_not_said() {
        let old = Position {
            file: "binlog.000009".into(),
            offset: 900,
            gtid_set: Some(GtidSet::parse(Flavor::MySql, "").unwrap()),
            server_uuid: "3e11fa47-71ca-11e1-9e33-c80aa9429562".into(),
            file_created: 7,
            event_time: 8,
        };
        let new = moved(old.clone(), Place::File("binlog.000002".to_owned(), 4)).unwrap();
        assert_eq!((&*new.file, new.offset, new.gtid_set), ("binlog.000002", 4, None));
        assert_eq!((new.server_uuid, new.file_created), (old.server_uuid.clone(), 0));
        let text = "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5";
        let new = moved(old, Place::Gtid(text.to_owned())).unwrap();
        assert_eq!(new.gtid_set.unwrap().to_string(), text);
    }
}
