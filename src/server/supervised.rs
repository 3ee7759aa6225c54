//! What the process tells systemd about itself, where a unit of `Type=notify` runs it.
//!
//! In: the board, and the variables that systemd sets. Out: datagrams as sd_notify(3) describes
//! them: `READY=1` once everything serves, `STOPPING=1` when it drains, a `STATUS=` in words, and
//! `WATCHDOG=1` in half of the time that the unit allows. That one is sent by a task of the runtime
//! that has just read the board: a process whose runtime or board is stuck is not alive. While a
//! log is recovered the time for the start is extended, as long as it goes on.
//!
//! Nothing here waits: a socket that takes nothing costs that one word.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::control::{Board, InstanceState, Phase, Snapshot};

/// How often something is said where there is no watchdog, or one with more time.
const OFTEN: Duration = Duration::from_secs(5);

/// What a start may take beyond the last word, while it goes on.
const MORE: Duration = Duration::from_secs(30);

/// The variables that systemd sets.
const VARIABLES: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];

/// The way to whoever supervises the process.
#[derive(Debug)]
pub struct Supervisor {
    socket: UnixDatagram,
    address: SocketAddr,
    /// The time within which it wants to hear of us.
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// None where nobody supervises, as `variable` says of the environment.
    pub fn find<'a>(variable: impl Fn(&str) -> Option<&'a str>) -> io::Result<Option<Self>> {
        let [socket, watchdog, pid] = VARIABLES;
        let Some(path) = variable(socket).filter(|path| !path.is_empty()) else { return Ok(None) };
        let address = match path.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(path)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        let is_ours = variable(pid).is_none_or(|pid| pid.parse() == Ok(std::process::id()));
        let micros = variable(watchdog).and_then(|micros| micros.parse().ok());
        let watchdog = micros.filter(|micros| *micros > 0 && is_ours).map(Duration::from_micros);
        Ok(Some(Self { socket, address, watchdog }))
    }

    /// Tells of what is on the board, until `stopped`, and at each change of a state.
    pub(super) async fn follow(self, board: Board, stopped: CancellationToken) {
        let every = self.watchdog.map_or(OFTEN, |time| (time / 2).min(OFTEN));
        let mut changes = board.changes();
        loop {
            self.say(&words(&board.snapshot()));
            tokio::select! {
                biased;
                () = stopped.cancelled() => return,
                changed = changes.changed() => if changed.is_err() {
                    return;
                },
                () = tokio::time::sleep(every) => {}
            }
        }
    }

    fn say(&self, words: &str) {
        if let Err(error) = self.socket.send_to_addr(words.as_bytes(), &self.address) {
            tracing::debug!(%error, "systemd was not told");
        }
    }
}

/// What is to be said of a moment.
fn words(snapshot: &Snapshot) -> String {
    let state = match &snapshot.phase {
        Phase::Starting { doing } => {
            format!("EXTEND_TIMEOUT_USEC={}\nSTATUS=starting: {doing}", MORE.as_micros())
        }
        Phase::Serving => {
            let runs = |state: &InstanceState| {
                matches!(state, InstanceState::Running | InstanceState::Standby { .. })
            };
            let all = snapshot.instances.len();
            let running = snapshot.instances.iter().filter(|one| runs(&one.state)).count();
            format!("READY=1\nSTATUS=serving; {running} of {all} instances run")
        }
        Phase::Draining => "STOPPING=1\nSTATUS=draining".to_owned(),
    };
    format!("{state}\nWATCHDOG=1")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::shutdown::Tasks;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn find(variables: &[(&'static str, String)]) -> Option<Supervisor> {
        let variables: BTreeMap<_, _> = variables.iter().cloned().collect();
        Supervisor::find(|name| variables.get(name).map(String::as_str)).unwrap()
    }

    /// What is said until a word of it is `wanted`.
    async fn until(socket: &tokio::net::UnixDatagram, wanted: &str) -> Vec<String> {
        let mut said = Vec::new();
        let hear = async {
            loop {
                let mut buffer = [0; 512];
                let length = socket.recv(&mut buffer).await.unwrap();
                let text = std::str::from_utf8(&buffer[..length]).unwrap();
                said.extend(text.lines().map(str::to_owned));
                if said.iter().any(|word| word == wanted) {
                    return;
                }
            }
        };
        let heard = tokio::time::timeout(PATIENCE, hear).await;
        assert!(heard.is_ok(), "no {wanted} in {said:?}");
        said
    }

    #[tokio::test]
    async fn systemd_hears_of_start_readiness_life_and_end_in_this_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = tokio::net::UnixDatagram::bind(&path).unwrap();
        let supervisor = find(&[
            ("NOTIFY_SOCKET", path.to_str().unwrap().to_owned()),
            ("WATCHDOG_USEC", "20000".to_owned()),
            ("WATCHDOG_PID", std::process::id().to_string()),
        ]);
        let (board, tasks) = (Board::new(), Tasks::new());
        board.phase(Phase::Starting { doing: "recover the log".to_owned() });
        tasks.spawn("systemd", supervisor.unwrap().follow(board.clone(), tasks.token().clone()));
        let said = until(&socket, "STATUS=starting: recover the log").await;
        assert!(said.iter().any(|word| word == "EXTEND_TIMEOUT_USEC=30000000"), "{said:?}");
        assert!(!said.iter().any(|word| word == "READY=1"), "{said:?}");
        board.phase(Phase::Serving);
        until(&socket, "READY=1").await;
        // By the watchdog's time, with nothing that changes.
        for _ in 0..3 {
            until(&socket, "WATCHDOG=1").await;
        }
        board.phase(Phase::Draining);
        until(&socket, "STOPPING=1").await;
        tasks.cancel();
        assert!(tasks.join().await.is_empty());
    }

    #[tokio::test]
    async fn a_supervisor_that_is_gone_or_deaf_stalls_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let deaf = tokio::net::UnixDatagram::bind(&path).unwrap();
        let supervisor = find(&[("NOTIFY_SOCKET", path.to_str().unwrap().to_owned())]).unwrap();
        for _ in 0..10_000 {
            supervisor.say("WATCHDOG=1");
        }
        drop(deaf);
        supervisor.say("WATCHDOG=1");
    }

    #[test]
    fn without_a_socket_there_is_nobody_and_the_watchdog_may_be_anothers() {
        assert!(find(&[]).is_none());
        let of_another = [
            ("NOTIFY_SOCKET", "@abstract".to_owned()),
            ("WATCHDOG_USEC", "1000".to_owned()),
            ("WATCHDOG_PID", "1".to_owned()),
        ];
        assert_eq!(find(&of_another).unwrap().watchdog, None);
        assert!(find(&of_another[..2]).unwrap().watchdog.is_some());
    }
}
