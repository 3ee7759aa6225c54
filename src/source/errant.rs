//! Errant transactions: what a standby has of its own making, and the server that is read never
//! had.
//!
//! Nothing is done about them until that standby is failed over to: then they are in its binlog
//! and not among what was published, so that they are published like all others. Until then they
//! are reported, since they are seldom wanted: whoever fails over to that standby gets them.
//! Always: the standby is asked first, so that nothing counts that merely has not come from it yet.

use std::convert::Infallible;
use std::time::Duration;

use super::{Error, Settings, failover};
use crate::change::GtidSet;
use crate::mysql::probe::Probe;
use crate::mysql::{Endpoint, Session};

/// How often the standbys are asked.
const EVERY: Duration = Duration::from_mins(1);

/// Asks now and then, for as long as the server is read.
pub(super) async fn watch(settings: &Settings) -> Infallible {
    loop {
        for standby in &settings.failover.standbys {
            let address = standby.endpoint.address();
            let found = match of(&settings.endpoint, &standby.endpoint).await {
                Ok(found) => found,
                // The one that is read says so by itself, and a standby is not needed now.
                Err(error) => {
                    tracing::debug!(server = address, "a standby was not asked: {error}");
                    continue;
                }
            };
            if let Some(gtids) = settings.remembered.errant(&address, found) {
                tracing::error!(
                    standby = address,
                    gtids,
                    "ERRANT TRANSACTIONS: the standby has transactions of its own, which the \
                     server that is read does not have; they are published when the standby is \
                     failed over to"
                );
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// What `standby` has committed itself, and `read` does not have; none without GTIDs.
pub async fn of(read: &Endpoint, standby: &Endpoint) -> Result<Option<GtidSet>, Error> {
    let theirs = executed(standby).await?;
    let ours = executed(read).await?;
    let (Some((mut theirs, uuid)), Some((ours, _))) = (theirs, ours) else { return Ok(None) };
    if theirs.flavor() != ours.flavor() {
        return Ok(None);
    }
    theirs.subtract(&ours);
    let own = theirs.of(&uuid);
    Ok(Some(own).filter(|own| !own.is_empty()))
}

async fn executed(endpoint: &Endpoint) -> Result<Option<(GtidSet, std::sync::Arc<str>)>, Error> {
    let mut session = Session::connect(endpoint).await?;
    let probe = Probe::read(&mut session).await?;
    let executed = if probe.has_gtids() {
        Some(failover::executed(&mut session, &probe).await?)
    } else {
        None
    };
    session.close().await;
    Ok(executed.map(|executed| (executed, probe.uuid)))
}

/// What a server that is failed over to has made itself and was not published: it is now, and
/// logged.
pub(super) fn report(address: &str, uuid: &str, executed: &GtidSet, published: &GtidSet) {
    let mut own = executed.of(uuid);
    own.subtract(published);
    if !own.is_empty() {
        tracing::warn!(
            server = address,
            gtids = %own,
            "the server that is failed over to has transactions of its own that were not \
             published: if they were made while it was a standby, they are errant; they are \
             published now"
        );
    }
}
