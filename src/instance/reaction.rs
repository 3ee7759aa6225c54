//! What each error of an instance leads to: one exhaustive table.

use std::time::Duration;

use super::{encode, pipeline};
use crate::change::{EventPlace, TableName};
use crate::sink::Refusal;
use crate::source::failover::Next;
use crate::{schema, sink, source};

/// What ended a session of an instance.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The source.
    #[error(transparent)]
    Source(#[from] source::Error),
    /// The pipeline, or the sink behind it.
    #[error(transparent)]
    Pipeline(#[from] pipeline::Error),
    /// A fault of this program.
    #[error("a session of the instance panicked: {0}")]
    Panicked(String),
}

impl Error {
    /// The one table that is at fault, and the first of its events that cannot be published.
    pub(crate) fn table(&self) -> Option<(&TableName, EventPlace)> {
        match self {
            Self::Source(error) => error.table().map(|(table, place)| (table, place.clone())),
            Self::Pipeline(pipeline::Error::Encode(error)) => error.table(),
            // It is not copied on; its changes can be published.
            Self::Pipeline(
                pipeline::Error::Sink(_) | pipeline::Error::Copy(_) | pipeline::Error::Generation,
            )
            | Self::Panicked(_) => None,
        }
    }
}

impl From<sink::Error> for Error {
    fn from(error: sink::Error) -> Self {
        Self::Pipeline(pipeline::Error::Sink(error))
    }
}

/// The advice for errors whose own words say what to do.
const SAYS_IT: &str = "";

/// What to do about an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reaction {
    /// Begin a new session after a while: it may go away by itself.
    Retry,
    /// The same, but it is known what for.
    Wait,
    /// Begin a new session once; if the same comes again, stop. What was read before it
    /// becomes durable meanwhile.
    RetryOnce {
        /// What to do when it comes again.
        advice: &'static str,
    },
    /// Begin a new session at another server.
    Elsewhere,
    /// Do not go on by itself.
    Stop {
        /// What to do.
        advice: &'static str,
    },
    /// Do not go on by itself: what was published is lost on the servers that are left.
    Lost {
        /// What to do.
        advice: String,
    },
}

/// What an error leads to where there may be other servers.
pub(crate) fn to_failover(next: Next, error: &Error, instance: &str) -> Reaction {
    match next {
        Next::AsEver => to(error),
        Next::Again => Reaction::Retry,
        Next::Other { address } => {
            tracing::warn!(server = address, "another server is asked");
            Reaction::Elsewhere
        }
        Next::Lost { lost, address, by_gtid: false } => Reaction::Lost {
            advice: format!(
                "no server is left that has them ({lost}): bring one back and start the \
                 instance again; or name the place on {address} to go on from, which changes \
                 nothing in the topics: `bin/sluice position set {instance}`"
            ),
        },
        Next::Lost { lost, address, by_gtid: true } => Reaction::Lost {
            advice: format!(
                "no server is left that has them ({lost}): bring one back and start the \
                 instance again; or go on without them, which changes nothing in the topics: \
                 `bin/sluice position accept-loss {instance} --server {address}`"
            ),
        },
    }
}

/// The table.
pub(crate) fn to(error: &Error) -> Reaction {
    match error {
        Error::Source(error) => to_source(error),
        Error::Pipeline(error) => match error {
            pipeline::Error::Sink(error) => to_sink(error),
            pipeline::Error::Encode(error) => match error {
                encode::Error::Unreadable { .. } => Reaction::RetryOnce {
                    advice: "the row event cannot be decoded: report it, or exclude the table",
                },
                encode::Error::TooLarge { .. } => Reaction::RetryOnce { advice: SAYS_IT },
                encode::Error::ManyNames { .. } => Reaction::Stop { advice: SAYS_IT },
            },
            pipeline::Error::Copy(_) | pipeline::Error::Generation => Reaction::Retry,
        },
        Error::Panicked(_) => {
            Reaction::RetryOnce { advice: "report it, with the log and what the source wrote" }
        }
    }
}

fn to_source(error: &source::Error) -> Reaction {
    use source::Error;
    match error {
        // A byte damaged on the way comes whole the next time; one damaged in the file does not.
        Error::Event { .. } | Error::Broken(_) => Reaction::RetryOnce { advice: source::DAMAGED },
        error if error.is_transient() => Reaction::Retry,
        // A server that goes away during the handshake looks like one that cannot do it.
        Error::Mysql(error) if error.is_of_tls() => Reaction::RetryOnce {
            advice: "mend the certificates or canal.instance.master.sslMode, then start again",
        },
        Error::Mysql(error) => Reaction::Stop { advice: error.advice() },
        Error::Schema { source, .. } | Error::Capture(source) => match source {
            // What is transient was dealt with above.
            schema::Error::Server(_) => Reaction::RetryOnce {
                advice: "mend what the source says, or exclude the table, then start again",
            },
            _ => Reaction::RetryOnce { advice: SAYS_IT },
        },
        Error::Rows { .. } => Reaction::RetryOnce { advice: SAYS_IT },
        Error::Start(_) => Reaction::Stop {
            advice: "name a place that can be begun at: before the first start by \
                     canal.instance.master.journal.name and .position, or .timestamp, else by \
                     `bin/sluice position set`",
        },
        // A server may still be applying what it has received; the end is decided by
        // [`to_failover`].
        Error::Closed
        | Error::Behind { .. }
        | Error::Lacks { .. }
        | Error::SameId { .. }
        // It begins anew with the new one.
        | Error::ZoneChanged { .. }
        | Error::WithoutBinlog { .. }
        | Error::Heartbeat { .. } => Reaction::Retry,
        Error::Unsupported { .. }
        | Error::Statement { .. }
        | Error::UnknownBranch { .. }
        | Error::NoBinlog { .. }
        | Error::Purged { .. }
        | Error::Unproved { .. }
        | Error::Cut { .. }
        | Error::GtidHole { .. }
        | Error::OtherServer { .. }
        | Error::NoPlace { .. }
        | Error::Reset { .. }
        | Error::Refused { .. }
        | Error::Doubtful { .. }
        | Error::MetaDat { .. }
        | Error::Copied { .. }
        | Error::Requirements(_) => Reaction::Stop { advice: SAYS_IT },
    }
}

fn to_sink(error: &sink::Error) -> Reaction {
    use sink::Error;
    match error {
        Error::Fenced => Reaction::Stop { advice: "another session of this instance runs" },
        Error::Full => Reaction::Wait,
        Error::Failed(_) => Reaction::Retry,
        Error::Position(_) | Error::Unserved(_) | Error::Begun(_) | Error::Moved(_) => {
            Reaction::Stop { advice: SAYS_IT }
        }
        Error::Slow { .. } => Reaction::Stop {
            advice: "raise transaction.max.timeout.ms of the cluster's brokers, or make the \
                     transaction of the source smaller",
        },
        Error::Unauthorized(_) => Reaction::Stop { advice: "then start the instance again" },
        // It was lowered after the records were made.
        Error::Refused { reason: reason @ Refusal::TooLarge { .. }, .. } => {
            Reaction::RetryOnce { advice: refused(reason) }
        }
        Error::Refused { reason, .. } => Reaction::Stop { advice: refused(reason) },
    }
}

/// What to do about records that a topic does not take.
fn refused(reason: &Refusal) -> &'static str {
    match reason {
        Refusal::TooLarge { .. } => {
            "raise the topic's max.message.bytes (bin/kafka-configs.sh), or exclude the column or \
             the table (canal.instance.filter.black.field, canal.instance.filter.black.regex)"
        }
        Refusal::Name(_) => {
            "route the table to a topic of another name (canal.mq.dynamicTopic, canal.mq.topic)"
        }
        Refusal::Owned(_) => {
            "let one instance only write the topic: route the table elsewhere in one of the two \
             (sluice.topic, canal.mq.topic), or filter it there"
        }
        Refusal::Partitions(..) => {
            "ask for another number (canal.mq.partitionsNum, canal.mq.dynamicTopicPartitionNum, \
             canal.mq.partition)"
        }
        Refusal::NoPartition(_) => {
            "let canal.mq.partition be less than the number of partitions \
             (canal.mq.partitionsNum, canal.mq.dynamicTopicPartitionNum)"
        }
        Refusal::Setting(..) => "report it: sluice chose the setting",
        Refusal::Settings => {
            "change kafka.topic.* (bin/sluice check says which one it is), or make the topic by \
             hand (docs/kafka-settings.md)"
        }
        Refusal::Unauthorized(_) => {
            "add an ACL for the user that sluice connects as (kafka-acls.sh), then start the \
             instance again"
        }
        Refusal::Replication => {
            "ask for fewer copies (kafka.topic.replication.factor), or start more brokers"
        }
        Refusal::Policy => {
            "make the topic by hand as the policy wants it, or ask for other settings \
             (kafka.topic.<config>)"
        }
        Refusal::Record(_) => {
            "change the setting of the topic (kafka-configs.sh) or of kafka.* that it names, or \
             route the table to another topic (canal.mq.dynamicTopic, canal.mq.topic)"
        }
        Refusal::Internal(_) => {
            "change it (kafka-configs.sh), or delete it while the instance is stopped if nobody \
             needs what it holds"
        }
        Refusal::Offline(..) => {
            "put a copy of the file in its place while sluice is stopped, or start it with \
             SLUICE_LOG_ACCEPT_DAMAGE=<partition> to go on without what is lost"
        }
    }
}

/// The pause before another try: doubled each time, up to half a minute.
#[derive(Debug, Default)]
pub(crate) struct BackOff {
    tries: u32,
}

impl BackOff {
    pub(crate) const FIRST: Duration = Duration::from_millis(500);
    const LONGEST: Duration = Duration::from_secs(30);

    /// The next pause.
    pub(crate) fn next(&mut self) -> Duration {
        let pause = Self::FIRST.saturating_mul(1 << self.tries.min(6)).min(Self::LONGEST);
        self.tries += 1;
        pause
    }

    /// There was progress (not merely a connection): begin anew.
    pub(crate) fn reset(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests;
