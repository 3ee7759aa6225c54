//! What a server lacks of what was published: the place behind what both have.

use anyhow::{Context as _, bail};

use crate::change::Position;
use crate::config::Address;
use crate::control::Place;
use crate::server;
use crate::source::failover;

use super::{Home, stored};
use crate::cli::health;

/// Asks `server`, with the account of `instance`.
pub(super) async fn place(home: &Home, instance: &str, server: &str) -> anyhow::Result<Place> {
    let settings = home.settings()?;
    let Some(configured) = settings.instances.iter().find(|one| one.config.name == instance) else {
        bail!("there is no instance {instance}");
    };
    let Some(address) = Address::parse(server, 3306) else {
        bail!("`{server}` is no address: write host:port");
    };
    let source = &configured.config.source;
    let known = [&source.server].into_iter().chain(&source.standbys);
    if !known.clone().any(|one| one.address == address) {
        let known: Vec<String> = known.map(|one| one.address.to_string()).collect();
        bail!("{address} is no server of {instance}; it has {}", known.join(", "));
    }
    let positions = match health::running(home).await? {
        Some(snapshot) => {
            snapshot.instances.into_iter().map(|one| (one.name, one.progress.position)).collect()
        }
        None => stored::all(home).await?,
    };
    let position = positions.into_iter().find(|(name, _)| name == instance);
    let Some(Position::MySql(position)) = position.and_then(|(_, position)| position) else {
        bail!("{instance} has no position yet");
    };
    let plan = server::plan(configured).map_err(|problems| {
        let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
        anyhow::anyhow!(texts.join("\n"))
    })?;
    let endpoint = plan.source.endpoint.at(&address.host, address.port);
    let new = failover::without_lost(&endpoint, &position)
        .await
        .with_context(|| format!("ask {address}"))?;
    let (Some(kept), Some(lost)) = (new.gtid_set.counted(), new.lost) else {
        bail!("{instance} has no GTID set: a loss cannot be determined");
    };
    if new.gtid_set == position.gtid_set {
        bail!("{address} lacks nothing that {instance} has published: start the instance");
    }
    let (kept, lost) = (kept.to_string(), lost.gtids.to_string());
    Ok(Place::WithoutLost { kept, lost, server: new.server_uuid.to_string() })
}
