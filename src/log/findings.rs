//! What was found damaged: each told in the log once, and listed for whoever watches.

use std::fmt;

use tokio::sync::watch;

use super::segment::damaged;

/// A place where no whole batch is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Damage {
    pub(super) path: String,
    pub(super) position: u64,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, position } = self;
        write!(f, "{path}: {}", damaged(*position))
    }
}

/// What was found, oldest first.
#[derive(Debug)]
pub(super) struct Findings(watch::Sender<Vec<String>>);

impl Findings {
    pub(super) fn new(found: &[Damage]) -> Self {
        let findings = Self(watch::Sender::new(Vec::new()));
        for damage in found {
            findings.report(damage);
        }
        findings
    }

    pub(super) fn report(&self, damage: &Damage) {
        tracing::error!(
            "the log is damaged: {damage}; who reads there is refused; put a copy of the file in \
             its place while the program is stopped"
        );
        self.0.send_modify(|all| all.push(damage.to_string()));
    }

    pub(super) fn watch(&self) -> watch::Receiver<Vec<String>> {
        self.0.subscribe()
    }
}
