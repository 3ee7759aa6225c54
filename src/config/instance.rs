//! `instance.properties` over `conf/canal.properties`: one source, what is published of
//! it, where it goes and how it looks.
//!
//! Texts with a grammar of their own (filters, topic rules, GTID sets, time zones) stay
//! texts here: the module that owns the grammar reads them when the instance's plan is
//! made, and reports what is wrong through [`Instance::refuse`], which knows the line.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use super::address::Address;
use super::keys;
use super::problem::{Place, Problem};
use super::reader::Reader;
use super::secret::Secret;

/// An instance's settings, and where they were written.
#[derive(Clone, Debug)]
pub struct Instance {
    /// The settings.
    pub config: InstanceConfig,
    places: BTreeMap<&'static str, Place>,
    file: Place,
}

impl Instance {
    /// An error about the value of `key`, at the line it is on.
    pub fn refuse(&self, key: &str, text: impl std::fmt::Display) -> Problem {
        let place = self.places.get(key).unwrap_or(&self.file).clone();
        Problem::error(place, format!("{key}: {text}"))
    }

    /// A key with the place where it is written, for messages about what it names.
    pub fn key_and_place(&self, key: &str) -> String {
        format!("{key} ({})", self.places.get(key).unwrap_or(&self.file))
    }
}

/// The settings of one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceConfig {
    /// The instance, or destination: the name of its folder.
    pub name: String,
    /// Where the rows come from.
    pub source: SourceConfig,
    /// Which of them are published.
    pub filter: FilterConfig,
    /// Which topic and partition they go to.
    pub route: RouteConfig,
    /// How they look.
    pub format: FormatConfig,
    /// What becomes of a table whose changes cannot be published.
    pub on_table_error: OnTableError,
    /// Whether it begins without a position behind what was published before.
    pub starts_anew: bool,
    /// How the messages are compressed in the bundled log.
    pub compression: Compression,
    /// The largest event that is kept of such a table, in bytes.
    pub largest_parked: u64,
    /// Where a Canal kept its position: asked once, at the first start.
    pub meta_dat: PathBuf,
}

/// Where the rows come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceConfig {
    /// The server.
    pub server: SourceServer,
    /// Servers to go to when it is lost, in this order.
    pub standbys: Vec<SourceServer>,
    /// As many connections in a row may fail before another server is asked.
    pub retry_threshold: u32,
    /// A statement that is run again and again on the server that is read.
    pub detecting: Option<Detecting>,
    /// Servers are left only that lack what was published: go on without it.
    pub accept_lost: bool,
    /// Account.
    pub user: String,
    /// Its password.
    pub password: Secret,
    /// Our id as a replica; none: [`SourceConfig::derived_server_id`].
    pub server_id: Option<u32>,
    /// Resume by GTID.
    pub gtid: bool,
    /// How long the server may say nothing; heartbeats are asked for more often.
    pub heartbeat: Heartbeat,
    /// Accepted values of `binlog_format`, upper case.
    pub binlog_formats: Vec<String>,
    /// Accepted values of `binlog_row_image`, upper case.
    pub row_images: Vec<String>,
    /// DML in statement format.
    pub on_statement: OnStatement,
    /// Rows older than the known definition of their table.
    pub adopt: Adopt,
    /// XA COMMIT of a branch whose rows are nowhere to be found.
    pub on_unknown_branch: OnUnknownBranch,
    /// Which tables are copied beside the stream.
    pub snapshot: SnapshotMode,
}

/// A statement that is run again and again (`canal.instance.detecting.*`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detecting {
    /// The statement.
    pub sql: String,
    /// The pause behind each.
    pub interval: Duration,
    /// Whether a server that does not answer it is left for another.
    pub leaves: bool,
}

/// One server: its address, TLS and where to begin on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceServer {
    /// Its address.
    pub address: Address,
    /// TLS towards it.
    pub tls: Tls,
    /// Where the first start begins.
    pub start: StartAt,
    /// How far before its time to begin from a `meta.dat` of another server.
    pub fallback: Duration,
}

/// Where the first start begins; all empty: at the server's current end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StartAt {
    /// Binlog file.
    pub file: Option<String>,
    /// Offset in it.
    pub offset: Option<u64>,
    /// Time in milliseconds since 1970.
    pub timestamp: Option<i64>,
    /// Executed GTID set, as text.
    pub gtid: Option<String>,
}

/// TLS towards the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Whether, and what is looked at.
    pub mode: TlsMode,
    /// Who may have signed the server's certificate; none: those that the system trusts.
    pub authorities: Option<KeyStore>,
    /// Our own certificate and its key.
    pub identity: Option<KeyStore>,
}

/// TLS towards the server, in MySQL's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// Never.
    Disabled,
    /// If the server can.
    Preferred,
    /// Always, without looking at its certificate.
    Required,
    /// Always, and an authority that we know has signed its certificate.
    VerifyCa,
    /// The same, and the certificate is for the host that is connected to.
    VerifyIdentity,
}

/// A file of certificates: PEM, or a PKCS #12 archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyStore {
    /// The file.
    pub path: PathBuf,
    /// Its password, or that of the key in it.
    pub password: Secret,
    /// The key that names the file.
    pub key: &'static str,
    /// The key of the password.
    pub password_key: &'static str,
}

/// How long silence may last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Without a byte for so long the connection is given up.
    pub read_timeout: Duration,
    /// How often the server is asked for a heartbeat while it has nothing to send.
    pub period: Duration,
}

/// How the messages of an instance are compressed in the bundled log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// Fast, to somewhat less.
    Lz4,
    /// Slower, to less.
    Zstd,
}

/// What to do with a table whose changes cannot be published (`sluice.table.error`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnTableError {
    /// Stop the instance.
    #[default]
    Stop,
    /// Park the table: keep its changes, and go on with the others.
    Park,
}

/// What to do with DML in statement format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnStatement {
    /// Publish it without rows, with a warning, as Canal does.
    Publish,
    /// Stop the instance.
    Stop,
}

/// What to do with rows older than any known definition of their table (`sluice.schema.adopt`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Adopt {
    /// Stop the instance.
    #[default]
    Never,
    /// Take the table as it is now, said loudly.
    Current,
}

/// Which tables are copied beside the stream (`sluice.snapshot`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SnapshotMode {
    /// None.
    #[default]
    None,
    /// Those that are there at the first start.
    Initial,
    /// At each start, those that never were.
    Missing,
    /// The same, and then the instance stops.
    Only,
}

/// What to do at an XA COMMIT of a branch that is not held and is not in the source's binlogs any
/// more (`sluice.xa.unknown`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnUnknownBranch {
    /// Stop the instance.
    #[default]
    Stop,
    /// Go on without its changes, said loudly.
    Skip,
}

/// Which tables, columns and statements are published.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of its own")]
pub struct FilterConfig {
    /// Expressions over `schema.table` that let a table in; empty for all.
    pub tables: String,
    /// Expressions that keep it out.
    pub black_tables: String,
    /// `schema.table:column/column` that are published.
    pub fields: String,
    /// Those that are not.
    pub black_fields: String,
    /// Drop QUERY messages that are neither DDL nor DML.
    pub drop_dcl: bool,
    /// Drop DML in statement format, and rows query events.
    pub drop_dml: bool,
    /// Drop DDL messages.
    pub drop_ddl: bool,
    /// Drop all row changes.
    pub drop_rows: bool,
    /// Drop INSERT.
    pub drop_insert: bool,
    /// Drop UPDATE.
    pub drop_update: bool,
    /// Drop DELETE.
    pub drop_delete: bool,
    /// Drop rows of a table whose definition is not known.
    pub drop_unknown_tables: bool,
}

/// Which topic and partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteConfig {
    /// The topic.
    pub topic: TopicRule,
    /// Partition of all messages while `partition_hash` is empty.
    pub partition: i32,
    /// Partitions of a topic; none: one.
    pub partitions: Option<i32>,
    /// Partitions by topic: `pattern:number`, by comma.
    pub topic_partitions: String,
    /// Partition by columns: `pattern:column^column`, by comma.
    pub partition_hash: String,
    /// Mix the database's name into that hash.
    pub database_hash: bool,
}

/// How a table's topic is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicRule {
    /// Our own: `{schema}.{table}` with both words replaced.
    Template(String),
    /// Canal's, because one of its keys is set.
    Canal {
        /// `canal.mq.topic`; empty if only the other is set.
        topic: String,
        /// `canal.mq.dynamicTopic`; may be empty.
        dynamic: String,
    },
}

/// How a message looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormatConfig {
    /// ENUM and SET.
    pub enums: EnumForm,
    /// Binary values.
    pub binary: BinaryForm,
    /// Zone of TIMESTAMP values: an offset or a name; none: the server's.
    pub timezone: Option<String>,
    /// `gtid`, with gtidon.
    pub gtid: GtidForm,
}

/// What `gtid` of a message says, with `canal.instance.gtidon`; without it nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GtidForm {
    /// The whole executed set, as Canal has it.
    Executed,
    /// The transaction's own GTID.
    Transaction,
}

/// How ENUM and SET are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnumForm {
    /// The index of an ENUM, the bit mask of a SET: as Canal does.
    Index,
    /// The label, or labels joined by commas. A number where the labels are not known.
    Label,
}

/// How BINARY, VARBINARY, BLOB and GEOMETRY are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryForm {
    /// Each byte as the character of the same number: as Canal does.
    Latin1,
    /// Base64, standard alphabet, padded.
    Base64,
    /// Two hexadecimal digits a byte, lower case.
    Hex,
}

impl SourceConfig {
    /// Our id as a replica where none is configured: one of 2^30 by the instance's name, the
    /// machine's name and our own address. (Canal's rule has 127 for all instances of a machine, so
    /// that two of fourteen have the same one more often than not.) Never a small number, such as
    /// servers are given, nor one that takes the sign of 32 bits.
    pub fn derived_server_id(name: &str, host: &str, address: [u8; 4]) -> u32 {
        let parts = [name.as_bytes(), host.as_bytes(), &address];
        // FNV-1a; a part ends with a byte that no text has.
        let hash = parts.into_iter().fold(0x811c_9dc5_u32, |hash, part| {
            let bytes = part.iter().chain(&[0xff]);
            bytes.fold(hash, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
        });
        // The end of MurmurHash3: names that differ in their last letter only are far apart.
        let hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
        let hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
        Self::derived(hash ^ (hash >> 16))
    }

    fn derived(number: u32) -> u32 {
        const LEAST: u32 = 1 << 30;
        number % LEAST + LEAST
    }

    /// Makes ids that were derived differ from each other and from those that are `taken`: a server
    /// ends the dump of one for the other. The same ids in the same order become the same.
    pub fn set_apart<'a>(derived: impl Iterator<Item = &'a mut u32>, mut taken: BTreeSet<u32>) {
        for id in derived {
            while !taken.insert(*id) {
                *id = Self::derived(id.wrapping_add(1));
            }
        }
    }
}

impl Instance {
    pub(super) fn read(name: &str, file: Place, reader: &mut Reader<'_>) -> Self {
        let config = InstanceConfig {
            name: name.to_owned(),
            source: source(reader),
            filter: filter(reader),
            route: route(reader),
            format: format(reader),
            on_table_error: match reader.word("sluice.table.error") {
                "park" => OnTableError::Park,
                _ => OnTableError::Stop,
            },
            starts_anew: reader.flag("sluice.start.anew"),
            compression: match reader.word("sluice.compression") {
                "lz4" => Compression::Lz4,
                "zstd" => Compression::Zstd,
                _ => Compression::None,
            },
            largest_parked: reader.number("sluice.parked.max.bytes"),
            meta_dat: reader
                .path("canal.file.data.dir")
                .unwrap_or_default()
                .join(name)
                .join("meta.dat"),
        };
        let written = keys::names().map(|key| (key, reader.place(key)));
        let places = written.filter(|(_, place)| *place != Place::Default).collect();
        Self { config, places, file }
    }
}

/// A server without news shall say so at least this often: how far behind an instance is counts
/// from there.
const LONGEST_SILENCE: Duration = Duration::from_secs(2);
const MASTER: &str = "canal.instance.master.address";

fn detecting(reader: &mut Reader<'_>) -> Option<Detecting> {
    let interval = reader.time("canal.instance.detecting.interval.time", Duration::from_secs(1));
    let detecting = Detecting {
        sql: reader.text("canal.instance.detecting.sql"),
        interval: interval.unwrap_or_default(),
        leaves: reader.flag("canal.instance.detecting.heartbeatHaEnable"),
    };
    reader.flag("canal.instance.detecting.enable").then_some(detecting)
}

fn source(reader: &mut Reader<'_>) -> SourceConfig {
    let server = server(reader);
    let read_timeout =
        reader.time("canal.instance.network.soTimeout", Duration::from_secs(1)).unwrap_or_default();
    SourceConfig {
        standbys: standbys(reader, &server),
        server,
        retry_threshold: reader.number("canal.instance.detecting.retry.threshold"),
        detecting: detecting(reader),
        accept_lost: reader.word("sluice.failover.lost") == "accept",
        user: reader.text("canal.instance.dbUsername"),
        password: reader.secret("canal.instance.dbPassword"),
        server_id: reader.optional_number("canal.instance.mysql.slaveId").filter(|id| *id != 0),
        gtid: reader.flag("canal.instance.gtidon"),
        heartbeat: Heartbeat { read_timeout, period: (read_timeout / 3).min(LONGEST_SILENCE) },
        binlog_formats: upper_list(
            reader,
            "canal.instance.binlog.format",
            &["ROW", "STATEMENT", "MIXED"],
        ),
        row_images: upper_list(
            reader,
            "canal.instance.binlog.image",
            &["FULL", "MINIMAL", "NOBLOB"],
        ),
        on_statement: match reader.word("sluice.statement") {
            "stop" => OnStatement::Stop,
            _ => OnStatement::Publish,
        },
        adopt: match reader.word("sluice.schema.adopt") {
            "current" => Adopt::Current,
            _ => Adopt::Never,
        },
        on_unknown_branch: match reader.word("sluice.xa.unknown") {
            "skip" => OnUnknownBranch::Skip,
            _ => OnUnknownBranch::Stop,
        },
        snapshot: match reader.word("sluice.snapshot") {
            "initial" => SnapshotMode::Initial,
            "missing" => SnapshotMode::Missing,
            "only" => SnapshotMode::Only,
            _ => SnapshotMode::None,
        },
    }
}

fn upper_list(reader: &mut Reader<'_>, name: &'static str, words: &[&str]) -> Vec<String> {
    let written: Vec<_> = reader.list(name).iter().map(|word| word.to_uppercase()).collect();
    if let Some(wrong) = written.iter().find(|word| !words.contains(&&***word)) {
        reader.refuse(name, format!("`{wrong}` is none of {}", words.join(", ")));
    }
    written
}

fn server(reader: &mut Reader<'_>) -> SourceServer {
    let start = StartAt {
        file: reader.optional("canal.instance.master.journal.name"),
        offset: reader
            .optional_number("canal.instance.master.position")
            .filter(|offset| *offset > 0),
        timestamp: reader
            .optional_number("canal.instance.master.timestamp")
            .filter(|time| *time > 0),
        gtid: reader.optional("canal.instance.master.gtid"),
    };
    if start.offset.is_some() && start.file.is_none() {
        reader.refuse(
            "canal.instance.master.position",
            "an offset says nothing without a file: set canal.instance.master.journal.name too",
        );
    }
    let address = reader.addresses(MASTER, 3306).into_iter().next().unwrap_or_default();
    let fallback = Duration::from_secs(reader.number("canal.instance.fallbackIntervalInSeconds"));
    SourceServer { address, tls: tls(reader), start, fallback }
}

fn tls(reader: &mut Reader<'_>) -> Tls {
    const TRUST: &str = "canal.instance.master.trustCertificateKeyStoreUrl";
    const CLIENT: &str = "canal.instance.master.clientCertificateKeyStoreUrl";
    let mode = match reader.word("canal.instance.master.sslMode") {
        "PREFERRED" => TlsMode::Preferred,
        "REQUIRED" => TlsMode::Required,
        "VERIFY_CA" => TlsMode::VerifyCa,
        "VERIFY_IDENTITY" => TlsMode::VerifyIdentity,
        _ => TlsMode::Disabled,
    };
    let authorities =
        key_store(reader, TRUST, "canal.instance.master.trustCertificateKeyStorePassword");
    let identity =
        key_store(reader, CLIENT, "canal.instance.master.clientCertificateKeyStorePassword");
    if authorities.is_some() && !matches!(mode, TlsMode::VerifyCa | TlsMode::VerifyIdentity) {
        reader.warn(TRUST, "nobody looks at it: set sslMode to VERIFY_CA or VERIFY_IDENTITY");
    }
    if identity.is_some() && mode == TlsMode::Disabled {
        reader.warn(CLIENT, "nobody is shown it: set sslMode to REQUIRED or one that verifies");
    }
    Tls { mode, authorities, identity }
}

/// The file of a URL as Java has it, `file:/etc/x.pem`, or of a path from the root on.
fn key_store(
    reader: &mut Reader<'_>,
    key: &'static str,
    password_key: &'static str,
) -> Option<KeyStore> {
    let password = reader.secret(password_key);
    let url = reader.optional(key)?;
    let path = url.strip_prefix("file:").unwrap_or(&url);
    let path = if path.starts_with("//") { path.trim_start_matches('/') } else { path };
    let path = if url.starts_with("file://") { format!("/{path}") } else { path.to_owned() };
    let path = PathBuf::from(path);
    if !path.is_absolute() {
        reader.refuse(key, format!("`{url}` names no file: write file:/the/path/of/it"));
        return None;
    }
    Some(KeyStore { path, password, key, password_key })
}

/// The servers to go to when `first` is lost: the others of its list, then the standbys.
fn standbys(reader: &mut Reader<'_>, first: &SourceServer) -> Vec<SourceServer> {
    const POSITION: &str = "canal.instance.standby.position";
    let start = StartAt {
        file: reader.optional("canal.instance.standby.journal.name"),
        offset: reader.optional_number(POSITION).filter(|offset| *offset > 0),
        timestamp: reader
            .optional_number("canal.instance.standby.timestamp")
            .filter(|time| *time > 0),
        gtid: reader.optional("canal.instance.standby.gtid"),
    };
    if start.offset.is_some() && start.file.is_none() {
        reader.refuse(
            POSITION,
            "an offset says nothing without a file: set canal.instance.standby.journal.name too",
        );
    }
    let masters = reader.addresses(MASTER, 3306).into_iter().skip(1);
    let masters = masters.map(|address| SourceServer { address, ..first.clone() });
    let standbys = reader.addresses("canal.instance.standby.address", 3306).into_iter();
    let standbys =
        standbys.map(|address| SourceServer { address, start: start.clone(), ..first.clone() });
    masters.chain(standbys).collect()
}

fn filter(reader: &mut Reader<'_>) -> FilterConfig {
    FilterConfig {
        tables: reader.text("canal.instance.filter.regex"),
        black_tables: reader.text("canal.instance.filter.black.regex"),
        fields: reader.text("canal.instance.filter.field"),
        black_fields: reader.text("canal.instance.filter.black.field"),
        drop_dcl: reader.flag("canal.instance.filter.query.dcl"),
        drop_dml: reader.flag("canal.instance.filter.query.dml"),
        drop_ddl: reader.flag("canal.instance.filter.query.ddl"),
        drop_rows: reader.flag("canal.instance.filter.rows"),
        drop_insert: reader.flag("canal.instance.filter.dml.insert"),
        drop_update: reader.flag("canal.instance.filter.dml.update"),
        drop_delete: reader.flag("canal.instance.filter.dml.delete"),
        drop_unknown_tables: reader.flag("canal.instance.filter.table.error"),
    }
}

fn route(reader: &mut Reader<'_>) -> RouteConfig {
    if !reader.flag("canal.mq.flatMessage") {
        reader.refuse("canal.mq.flatMessage", "protobuf messages are not served: use true (JSON)");
    }
    RouteConfig {
        topic: topic(reader),
        partition: reader.number("canal.mq.partition"),
        partitions: reader.optional_number("canal.mq.partitionsNum"),
        topic_partitions: reader.text("canal.mq.dynamicTopicPartitionNum"),
        partition_hash: reader.text("canal.mq.partitionHash"),
        database_hash: reader.flag("canal.mq.database.hash"),
    }
}

fn topic(reader: &mut Reader<'_>) -> TopicRule {
    let template = reader.text("sluice.topic");
    let topic = reader.text("canal.mq.topic");
    let dynamic = reader.text("canal.mq.dynamicTopic");
    if topic.is_empty() && dynamic.is_empty() {
        if template.is_empty() {
            reader.refuse("sluice.topic", "empty: write a topic, such as {schema}.{table}");
        }
        return TopicRule::Template(template);
    }
    if reader.place("sluice.topic") != Place::Default {
        let rule = if topic.is_empty() { "canal.mq.dynamicTopic" } else { "canal.mq.topic" };
        reader.warn("sluice.topic", format!("has no effect, because {rule} is set"));
    }
    TopicRule::Canal { topic, dynamic }
}

fn format(reader: &mut Reader<'_>) -> FormatConfig {
    let form = reader.word("sluice.format");
    if form != "flat" {
        let text = format!("{form} messages are not served yet: use flat (Canal's JSON)");
        reader.refuse("sluice.format", text);
    }
    FormatConfig {
        enums: match reader.word("sluice.format.enum") {
            "label" => EnumForm::Label,
            _ => EnumForm::Index,
        },
        binary: match reader.word("sluice.format.binary") {
            "base64" => BinaryForm::Base64,
            "hex" => BinaryForm::Hex,
            _ => BinaryForm::Latin1,
        },
        timezone: reader.optional("sluice.timezone"),
        gtid: match reader.word("sluice.format.gtid") {
            "transaction" => GtidForm::Transaction,
            _ => GtidForm::Executed,
        },
    }
}
