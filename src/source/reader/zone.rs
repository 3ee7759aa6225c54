//! Whether the server still has the time zone that TIMESTAMP values are written in.
//!
//! `SET GLOBAL time_zone` leaves nothing in the binlog, and a value on the wire is in no zone. So the
//! server is asked now and then, between two transactions and over the session that is there for
//! questions: the reading ends at such a place, and begins there in the other zone, which is said.
//! Always: what cannot be asked now is asked later; the dump does not end for it.

use std::time::Duration;

use tokio::time::Instant;

use super::payload::Proof;
use super::{Reader, session};
use crate::change::ServerZone;
use crate::mysql;
use crate::source::Error;

/// How often the server is asked: so long rows may still be written in the zone before.
const EVERY: Duration = Duration::from_secs(10);
/// How long the reading waits for the answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The zone that values are written in.
#[derive(Debug)]
pub(super) struct KeptZone {
    /// As the server calls it.
    name: String,
    asked: Instant,
}

impl Reader<'_> {
    /// Values are written in this zone for as long as the server has it.
    pub(crate) fn keeps_zone(&mut self, zone: Option<&ServerZone>) {
        self.zone = zone.map(|zone| KeptZone { name: zone.name.clone(), asked: self.now });
    }

    /// Fails where the server has another one now.
    pub(super) async fn look_at_zone(&mut self) -> Result<(), Error> {
        let is_between = self.is_between() && matches!(self.proof, Proof::Given);
        let Some(kept) = &mut self.zone else { return Ok(()) };
        if !is_between || self.now.duration_since(kept.asked) < EVERY {
            return Ok(());
        }
        kept.asked = self.now;
        let asked = async {
            let session = session(&mut self.session, self.settings).await?;
            mysql::zone_name(session).await.map_err(Error::from)
        };
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(Some(is))) if is != kept.name => Err(Error::ZoneChanged {
                address: self.settings.endpoint.address(),
                was: kept.name.clone(),
                is,
            }),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => {
                tracing::debug!("the server's time zone was not asked for: {error}");
                Ok(())
            }
            Err(_) => {
                tracing::debug!("the server did not say its time zone in time");
                Ok(())
            }
        }
    }
}
