//! The keys of `conf/canal.properties` by which the process is operated: alerts, metrics, log lines.

use super::{Home, Key, Kind, secret, served};

const HERE: Home = Home::Canal;
const SECONDS: Kind = Kind::Number(0, 31_536_000);

pub(super) const KEYS: &[Key] = &[
    served(
        HERE,
        "sluice.log.levels",
        Kind::Text,
        "",
        "which log lines are written, as info or sluice::log=debug,info; a change takes effect at once; empty: what SLUICE_LOG says, else info",
    ),
    served(
        HERE,
        "sluice.log.format",
        Kind::OneOf(&["text", "json"]),
        "text",
        "how log lines are written: text, as Canal's; json, an object a line",
    ),
    served(
        HERE,
        "sluice.log.console",
        Kind::Flag,
        "false",
        "write log lines to the standard output too, for containers",
    ),
    served(
        HERE,
        "sluice.log.max.bytes",
        Kind::Number(65_536, i64::MAX),
        "104857600",
        "size at which a log file is rolled; it is when a day begins, too",
    ),
    served(
        HERE,
        "sluice.log.max.files",
        Kind::Number(1, 10_000),
        "14",
        "how many rolled files are kept of each log file",
    ),
    served(
        HERE,
        "sluice.metrics.tables",
        Kind::Number(0, 10_000),
        "200",
        "how many tables, the busiest, have metrics of their own; the rest is table \"other\"",
    ),
    secret(served(
        HERE,
        "sluice.alert.url",
        Kind::Text,
        "",
        "webhook that is told when something is wrong, and when it is over; empty: nobody",
    )),
    served(
        HERE,
        "sluice.alert.format",
        Kind::OneOf(&["auto", "json", "slack", "dingtalk", "feishu", "wecom"]),
        "auto",
        "what it wants to read; auto: what the host of the URL says, else json",
    ),
    served(
        HERE,
        "sluice.alert.repeat",
        SECONDS,
        "3600",
        "seconds after which what lasts is told again; 0: never",
    ),
    served(
        HERE,
        "sluice.alert.state.seconds",
        SECONDS,
        "60",
        "tell of an instance that does not run for so long; 0: never",
    ),
    served(
        HERE,
        "sluice.alert.lag.seconds",
        SECONDS,
        "300",
        "tell of an instance that is so far behind its server; 0: never",
    ),
    served(
        HERE,
        "sluice.alert.retention.percent",
        Kind::Number(0, 100),
        "50",
        "tell when so much of the time or size is used up for which the server keeps what an instance needs; 0: never",
    ),
    served(
        HERE,
        "sluice.alert.disk.free.bytes",
        Kind::Number(0, i64::MAX),
        "1073741824",
        "tell when the disk of the log has less room than this; 0: when it is full",
    ),
];
