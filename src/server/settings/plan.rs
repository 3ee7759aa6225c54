//! What an instance was configured with, built into a [`Plan`]. Whatever can be wrong is
//! found here, all of it at once, each at the line where it is.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::Arc;

use crate::change::{Flavor, GtidSet, RowsKind};
use crate::config::{
    FilterConfig, FormatConfig, GtidForm, Instance, OnStatement, Problem, RouteConfig,
    SourceConfig, SourceServer, TlsMode, TopicRule,
};
use crate::filter::{FieldFilter, List, TableFilter};
use crate::format::Zone;
use crate::format::flat::FlatSettings;
use crate::instance::{MetaDat, Plan, Publication, Renamed};
use crate::mysql::{self, Endpoint};
use crate::record::Compression;
use crate::route::{self, RouteSettings, Router};
use crate::source::failover::{self, Failover};
use crate::{config, log, source};

use super::secrets;

const FILTER: ListKeys =
    ListKeys { white: "canal.instance.filter.regex", black: "canal.instance.filter.black.regex" };
const FIELDS: ListKeys =
    ListKeys { white: "canal.instance.filter.field", black: "canal.instance.filter.black.field" };
const GTID: &str = "canal.instance.master.gtid";
const STANDBY_GTID: &str = "canal.instance.standby.gtid";
const HEARTBEAT: &str = "canal.instance.detecting.sql";
const ZONE: &str = "sluice.timezone";

/// The keys of a filter's lists.
struct ListKeys {
    white: &'static str,
    black: &'static str,
}

impl ListKeys {
    fn of(&self, list: List) -> &'static str {
        match list {
            List::White => self.white,
            List::Black => self.black,
        }
    }
}

/// Builds the plan of an instance, or says all that is wrong with its settings.
pub fn plan(instance: &Instance) -> Result<Plan, Vec<Problem>> {
    let config = &instance.config;
    let mut problems = Vec::new();
    let mut refuse = |key: &str, text: &dyn std::fmt::Display| {
        problems.push(instance.refuse(key, text));
    };
    let filter = TableFilter::new(&config.filter.tables, &config.filter.black_tables);
    let filter = filter.map_err(|errors| {
        for (list, error) in &errors {
            refuse(FILTER.of(*list), error);
        }
    });
    let fields = FieldFilter::new(&config.filter.fields, &config.filter.black_fields);
    let fields = fields.map_err(|errors| {
        for (list, error) in &errors {
            refuse(FIELDS.of(*list), error);
        }
    });
    let router = Router::new(&routes(&config.name, &config.route));
    let router = router.map_err(|errors| {
        for error in &errors {
            let (key, text) = (key_of(error), error.to_string());
            refuse(
                key,
                &text.strip_prefix(key).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(&text),
            );
        }
    });
    let zone = config.format.timezone.as_deref().map(Zone::parse).transpose();
    let zone = zone.map_err(|error| refuse(ZONE, &error));
    let gtid = config.source.server.start.gtid.as_deref().map(gtid_set).transpose();
    let gtid = gtid.map_err(|error| refuse(GTID, &error));
    let standbys: Result<Vec<_>, ()> = config
        .source
        .standbys
        .iter()
        .map(|server| {
            let gtid = server.start.gtid.as_deref().map(gtid_set).transpose();
            gtid.map(|gtid| (server, gtid)).map_err(|error| refuse(STANDBY_GTID, &error))
        })
        .collect();
    let heartbeat = config.source.detecting.as_ref();
    let heartbeat = heartbeat
        .map(|one| source::Heartbeat::new(&one.sql, one.interval, one.leaves))
        .transpose()
        .map_err(|error| refuse(HEARTBEAT, &error));
    let (Ok(filter), Ok(fields), Ok(router), Ok(zone), Ok(gtid), Ok(standbys), Ok(heartbeat)) =
        (filter, fields, router, zone, gtid, standbys, heartbeat)
    else {
        return Err(problems);
    };
    let mut source = source_settings(&config.name, &config.source, &config.filter, filter, gtid);
    source.endpoint.ask = secrets::ask(instance)?;
    source.asks_zone = zone.is_none();
    source.named_gtids = match (config.source.gtid, config.format.gtid) {
        (false, _) => source::NamedGtids::None,
        (true, GtidForm::Executed) => source::NamedGtids::Executed,
        (true, GtidForm::Transaction) => source::NamedGtids::Own,
    };
    source.heartbeat = heartbeat;
    source.failover = failover(&config.source, &source.endpoint, standbys);
    Ok(Plan {
        source,
        publication: Publication {
            fields: Arc::new(fields),
            router: Arc::new(router),
            format: format(&config.format, zone.unwrap_or(Zone::UTC)),
            dropped: dropped(&config.filter),
            renamed: Renamed::default(),
            largest_letter: config.largest_parked,
        },
        on_table_error: config.on_table_error,
        starts_anew: config.starts_anew,
        compression: match config.compression {
            config::Compression::None => Compression::None,
            config::Compression::Lz4 => Compression::Lz4,
            config::Compression::Zstd => Compression::Zstd,
        },
        meta_dat: MetaDat {
            path: config.meta_dat.clone(),
            read: Arc::new(|path| std::fs::read(path)),
        },
    })
}

fn source_settings(
    name: &str,
    config: &SourceConfig,
    drops: &FilterConfig,
    filter: TableFilter,
    gtid_set: Option<GtidSet>,
) -> source::Settings {
    let server = &config.server;
    let mut endpoint = Endpoint::new(
        &server.address.host,
        server.address.port,
        &config.user,
        config.password.reveal(),
    );
    endpoint.tls = match server.tls.mode {
        TlsMode::Disabled => mysql::TlsMode::Disabled,
        TlsMode::Preferred => mysql::TlsMode::Preferred,
        TlsMode::Required => mysql::TlsMode::Required,
        TlsMode::VerifyCa => mysql::TlsMode::VerifyCa,
        TlsMode::VerifyIdentity => mysql::TlsMode::VerifyIdentity,
    };
    let server_id = config.server_id.unwrap_or_else(|| {
        let machine = rustix::system::uname();
        let machine = machine.nodename().to_string_lossy();
        let ours = own_address(&server.address.host);
        SourceConfig::derived_server_id(name, &machine, ours.octets())
    });
    // The UUID is that of the log, which is not open yet.
    let mut settings = source::Settings::new(endpoint, server_id, String::new(), filter);
    settings.replica.heartbeat = config.heartbeat.period;
    settings.replica.read_timeout = config.heartbeat.read_timeout;
    settings.by_gtid = config.gtid;
    settings.start = start_at(&server.start, gtid_set);
    settings.fallback = server.fallback;
    settings.adopt = config.adopt;
    settings.unknown_branch = config.on_unknown_branch;
    settings.snapshot = config.snapshot;
    settings.statements = source::Statements {
        ddl: !drops.drop_ddl,
        dml: !drops.drop_dml,
        dcl: !drops.drop_dcl,
        dml_stops: config.on_statement == OnStatement::Stop,
        rows_query: !drops.drop_dml,
    };
    settings.drop_unknown_tables = drops.drop_unknown_tables;
    settings.accepted = source::Accepted {
        formats: config.binlog_formats.clone(),
        images: config.row_images.clone(),
    };
    settings
}

fn start_at(start: &config::StartAt, gtid_set: Option<GtidSet>) -> source::StartAt {
    source::StartAt {
        file: start.file.clone(),
        offset: start.offset,
        timestamp: start.timestamp,
        gtid_set,
    }
}

/// The other servers: account and TLS are those of the first.
fn failover(
    config: &SourceConfig,
    first: &Endpoint,
    standbys: Vec<(&SourceServer, Option<GtidSet>)>,
) -> Failover {
    let standbys = standbys.into_iter().map(|(server, gtid_set)| failover::Server {
        endpoint: first.at(&server.address.host, server.address.port),
        start: start_at(&server.start, gtid_set),
    });
    Failover {
        standbys: standbys.collect(),
        tries: config.retry_threshold,
        accept_lost: config.accept_lost,
    }
}

/// The address that the server sees us under; of one that is named, the address that we go out into
/// the world under: no name is looked up here, since nothing waits for a name server that is silent.
/// Loopback when there is no way, which connecting will show better.
fn own_address(host: &str) -> Ipv4Addr {
    /// One of those that are for examples (RFC 5737).
    const ANYWHERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
    let to = host.parse().unwrap_or(ANYWHERE);
    let local = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
        // No packet is sent: the kernel only chooses the way.
        socket.connect((to, 9))?;
        socket.local_addr()
    });
    match local.map(|address| address.ip()) {
        Ok(IpAddr::V4(address)) => address,
        Ok(IpAddr::V6(_)) | Err(_) => Ipv4Addr::LOCALHOST,
    }
}

fn gtid_set(text: &str) -> Result<GtidSet, crate::change::GtidError> {
    // A MariaDB GTID is three numbers; MySQL's begin with a UUID.
    let mariadb = GtidSet::parse(Flavor::MariaDb, text);
    mariadb.or_else(|_| GtidSet::parse(Flavor::MySql, text))
}

fn routes(name: &str, config: &RouteConfig) -> RouteSettings {
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let (template, topic, dynamic_topic) = match &config.topic {
        TopicRule::Template(template) => (template.clone(), None, None),
        TopicRule::Canal { topic, dynamic } => (String::new(), some(topic), some(dynamic)),
    };
    RouteSettings {
        instance: name.to_owned(),
        template,
        topic,
        dynamic_topic,
        partition: config.partition,
        partition_hash: some(&config.partition_hash),
        partitions_num: config.partitions,
        dynamic_topic_partition_num: some(&config.topic_partitions),
        most_partitions: log::MOST_PARTITIONS,
        database_hash: config.database_hash,
    }
}

fn key_of(error: &route::Error) -> &'static str {
    match error {
        route::Error::Pattern { key, .. } | route::Error::Partitions { key, .. } => key,
        route::Error::Partition { .. } => "canal.mq.partition",
        route::Error::Template(_) => "sluice.topic",
    }
}

fn format(config: &FormatConfig, zone: Zone) -> FlatSettings {
    FlatSettings { labels: config.enums, binary: config.binary, zone }
}

fn dropped(config: &FilterConfig) -> Vec<RowsKind> {
    let of = |kind, drop: bool| (drop || config.drop_rows).then_some(kind);
    [
        of(RowsKind::Insert, config.drop_insert),
        of(RowsKind::Update, config.drop_update),
        of(RowsKind::Delete, config.drop_delete),
    ]
    .into_iter()
    .flatten()
    .collect()
}
