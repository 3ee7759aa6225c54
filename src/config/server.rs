//! `conf/canal.properties`: what concerns the process.

use std::path::PathBuf;
use std::time::Duration;

use super::broker::{BrokerConfig, LogConfig};
use super::cluster::ClusterConfig;
use super::listener::Listener;
use super::operation::{AlertConfig, LinesConfig};
use super::problem::Place;
use super::reader::Reader;

/// Where changes go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Into the bundled log, which the bundled broker serves.
    Log,
    /// Into a Kafka cluster of the user's.
    Cluster(Box<ClusterConfig>),
}

/// The settings of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// Where changes go.
    pub target: Target,
    /// Where the health and metrics port is bound; none for all addresses.
    pub admin_host: Option<String>,
    /// The health and metrics port.
    pub admin_port: u16,
    /// Names under which browsers may ask there, beside those that always do.
    pub admin_hosts: Vec<String>,
    /// How often the instance folders are looked at; none if never.
    pub scan_interval: Option<Duration>,
    /// Second word of the names of internal topics.
    pub group: String,
    /// Instances that must be there.
    pub destinations: Vec<String>,
    /// Where Canal's instance folders lie.
    pub conf_dir: PathBuf,
    /// What becomes of log lines.
    pub lines: LinesConfig,
    /// How many tables have metrics of their own.
    pub metrics_tables: usize,
    /// Whom to tell what is wrong.
    pub alerts: AlertConfig,
    /// The broker's own section.
    pub broker: BrokerConfig,
    /// The log's own section.
    pub log: LogConfig,
}

impl ServerConfig {
    /// Reads the process's keys from `canal.properties` (paths count from `bin/`) and the
    /// rest from `server.properties` (paths count from the home).
    ///
    /// Out with it come the places of the cluster's keys.
    pub(super) fn read(
        canal: &mut Reader<'_>,
        kafka: &mut Reader<'_>,
    ) -> (Self, Vec<(String, Place)>) {
        let scan = canal.flag("canal.auto.scan");
        let interval = canal.time("canal.auto.scan.interval", Duration::from_secs(1));
        let broker = BrokerConfig::read(kafka);
        let group = group(canal);
        let (target, places) = target(canal, &group);
        let (admin_host, admin_port) =
            (canal.optional("canal.ip"), canal.number("canal.metrics.pull.port"));
        judge_ports(canal, kafka, &broker.listeners, admin_host.as_deref(), admin_port);
        let config = Self {
            target,
            admin_host,
            admin_port,
            admin_hosts: canal.list("sluice.admin.hosts"),
            scan_interval: interval.filter(|_| scan),
            group,
            destinations: canal.list("canal.destinations"),
            conf_dir: canal.path("canal.conf.dir").unwrap_or_default(),
            lines: LinesConfig::read(canal),
            metrics_tables: canal.number("sluice.metrics.tables"),
            alerts: AlertConfig::read(canal),
            broker,
            log: LogConfig::read(kafka),
        };
        (config, places)
    }
}

/// Two of our own sockets that want one port: whoever binds second cannot.
fn judge_ports(
    canal: &mut Reader<'_>,
    kafka: &Reader<'_>,
    listeners: &[Listener],
    host: Option<&str>,
    port: u16,
) {
    const KEY: &str = "canal.metrics.pull.port";
    let same = |one: &&Listener| one.port == port && overlap(one.host.as_deref(), host);
    if port != 0
        && let Some(listener) = listeners.iter().find(same)
    {
        let written = match kafka.place("listeners") {
            Place::Default => String::new(),
            place => format!(", {place}"),
        };
        let text = format!(
            "{port} is the port of listener {} too (listeners{written}): write another",
            listener.name
        );
        canal.refuse(KEY, text);
    }
}

/// Whether two hosts have an address in common, as far as can be known without asking for names.
fn overlap(one: Option<&str>, other: Option<&str>) -> bool {
    let all = |host: Option<&str>| matches!(host, None | Some("0.0.0.0" | "::"));
    all(one) || all(other) || one == other
}

fn target(reader: &mut Reader<'_>, group: &str) -> (Target, Vec<(String, Place)>) {
    const KEY: &str = "canal.serverMode";
    match reader.word(KEY) {
        "tcp" => reader.warn(
            KEY,
            "the protobuf port of mode tcp is not served yet: starting as embedded (changes go to the bundled log, which Kafka clients read)",
        ),
        "kafka" => {
            let (config, places) = ClusterConfig::read(reader, group);
            return (Target::Cluster(Box::new(config)), places);
        }
        "rocketMQ" | "rabbitMQ" | "pulsarMQ" => {
            reader.refuse(KEY, "this message queue is not served: use embedded");
        }
        _ => {}
    }
    (Target::Log, Vec::new())
}

/// The group is part of topic names, so its letters are theirs; no dot, which separates
/// it from the instance.
fn group(reader: &mut Reader<'_>) -> String {
    const KEY: &str = "sluice.group";
    let group = reader.text(KEY);
    let legal = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
    if group.is_empty() || group.len() > 64 || !group.chars().all(legal) {
        reader.refuse(KEY, format!("`{group}` is not made of 1 to 64 letters, digits, _ and -"));
    }
    group
}
