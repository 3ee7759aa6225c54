//! A former dump of ours that a MariaDB still writes to, when a new one was asked for.
//!
//! A server ends the dump of a replica that asks for another (`kill_zombie_dump_threads`,
//! `sql/sql_repl.cc`). MariaDB does so softly (`KILL_SLAVE_SAME_ID` is below `KILL_CONNECTION`, so
//! that the socket is not shut down: `THD::awake_no_mutex`, `sql/sql_class.cc`), and the new dump
//! waits for the end of the old one. Where the network has forgotten the old connection, its thread
//! waits for room in a socket that nobody reads, for as long as `net_write_timeout` says or the
//! kernel tries, and the new one sends nothing, not even heartbeats. MySQL does not wait.
//! Seen on MariaDB 10.11.18 and 11.8.9; a KILL of the old connection ends the wait at once.

use std::convert::Infallible;
use std::time::Duration;

use super::{Error, Session};

/// Ends, as often as `every`, what the server has killed and still writes to, for as long as the
/// first bytes of the new dump are awaited. Connections of our own account only, which each
/// account may end.
pub(crate) async fn end_former_dumps(session: &mut Session, every: Duration) -> Infallible {
    loop {
        tokio::time::sleep(every).await;
        match end_killed(session).await {
            Ok(()) => {}
            // Whoever awaits the dump has a limit of its own.
            Err(error) => tracing::debug!("former dumps were not looked for: {error}"),
        }
    }
}

async fn end_killed(session: &mut Session) -> Result<(), Error> {
    const KILLED: &str = "SELECT ID FROM information_schema.PROCESSLIST WHERE COMMAND = 'Killed' \
        AND STATE = 'Writing to net' \
        AND CONCAT(USER, '@', SUBSTRING_INDEX(USER(), '@', -1)) = USER()";
    for row in session.query(KILLED).await? {
        let Some(id) = row.number("ID") else { continue };
        match session.run(&format!("KILL {id}")).await {
            Ok(()) => tracing::warn!(
                address = session.address(),
                connection = id,
                "a former dump of ours was not ended there: the server still wrote to it, and let \
                 the new one wait; it is killed"
            ),
            // It has ended meanwhile.
            Err(error) => tracing::debug!("connection {id} was not killed: {error}"),
        }
    }
    Ok(())
}
