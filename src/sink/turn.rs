//! Whose turn it is to run an instance that several processes have.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Sink;

/// How long a command waits for it to be decided which process is to run an instance: a process
/// that was killed is a member of the group still, for the time of its session.
const DECIDED: Duration = Duration::from_mins(1);

/// This process is to run the instance, until it is said otherwise.
#[derive(Clone, Debug, Default)]
pub struct Turn {
    /// Cancelled when another process is to run it, or none can be asked any more.
    pub over: CancellationToken,
}

/// Why it is not this process's turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Another process runs the instance, and this one goes on with it when that one ends.
    Standby {
        /// That process, where it is known.
        active: Option<String>,
    },
    /// Nobody has said which process is to run it.
    Undecided {
        /// Why not.
        reason: String,
    },
}

/// Waits until this process may open the sink of an instance for a command. The error is a
/// sentence: another process runs the instance, or nobody says who does.
pub async fn here<S: Sink>(sink: &mut S, instance: &str) -> Result<(), String> {
    let (other, mut others) = tokio::sync::mpsc::channel(1);
    let mut undecided = "nobody says which process is to run it".to_owned();
    let mut waiting = |waiting| match waiting {
        Waiting::Standby { active } => drop(other.try_send(active)),
        Waiting::Undecided { reason } => undecided = reason,
    };
    let decided = {
        let turn = sink.turn(&mut waiting);
        tokio::select! {
            biased;
            turn = turn => Some(turn.map(drop).map_err(|error| error.to_string())),
            active = others.recv() => Some(Err(format!(
                "another process runs {instance}{}: ask that one",
                active.flatten().map(|active| format!(" ({active})")).unwrap_or_default()
            ))),
            () = tokio::time::sleep(DECIDED) => None,
        }
    };
    decided.unwrap_or_else(|| {
        Err(format!("{undecided}, for {} s: try again later", DECIDED.as_secs()))
    })
}
