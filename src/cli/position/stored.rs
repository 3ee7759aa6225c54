//! Positions in the log of a home whose process does not run. The log's own lock keeps
//! two processes from it.

use anyhow::bail;

use crate::change::Position;

use super::Home;

/// All instances of the home and where they stand.
#[expect(clippy::unused_async, reason = "opening the log waits")]
pub(super) async fn all(home: &Home) -> anyhow::Result<Vec<(String, Option<Position>)>> {
    bail!("sluice does not run, and the log of {} cannot be read yet", home.path.display())
}

/// Makes `instance` go on from `file` and `offset`.
#[expect(clippy::unused_async, reason = "opening the log waits")]
pub(super) async fn set(_: &Home, instance: &str, file: &str, offset: u64) -> anyhow::Result<()> {
    bail!("{instance} cannot be moved to {file}:{offset} yet")
}

/// Forgets the position of `instance`.
#[expect(clippy::unused_async, reason = "opening the log waits")]
pub(super) async fn reset(_: &Home, instance: &str) -> anyhow::Result<()> {
    bail!("the position of {instance} cannot be reset yet")
}
