//! What is written about a cluster in, librdkafka's properties and sentences out.

use std::collections::BTreeSet;
use std::path::Path;

use super::*;
use crate::config::layers::{Environment, Layers, PropertyFile};
use crate::config::problem::Problems;

/// Kafka's own list of the settings of its Java clients: name, type, default, values.
const JAVA: &str = include_str!("../../../tests/golden/kafka/client-keys.txt");

/// A canal.properties, read.
fn read(text: &str) -> (ClusterConfig, Vec<String>) {
    let file = PropertyFile::read(Path::new("c"), text.as_bytes(), &mut Problems::default());
    let environment = Environment::new();
    let layers = Layers { environment: &environment, files: vec![&file], given: vec![] };
    let mut reader = Reader::new(layers, Path::new("/home/bin"));
    let (config, _) = ClusterConfig::read(&mut reader, "sluice");
    (config, reader.problems.iter().map(ToString::to_string).collect())
}

/// All properties, and that nothing was said.
fn quiet(text: &str) -> ClusterConfig {
    let (config, said) = read(text);
    assert_eq!(said, Vec::<String>::new(), "{text}");
    config
}

const SASL: &str = "kafka.security.protocol = SASL_SSL\n";

#[test]
fn every_setting_of_the_java_clients_has_its_row_and_no_row_is_made_up() {
    let theirs: BTreeSet<&str> = JAVA.lines().filter_map(|line| line.split('\t').next()).collect();
    let ours: BTreeSet<&str> = java::SETTINGS.iter().map(|(name, _)| *name).collect();
    // Of Canal, and of clients before 4.0.
    let others = [
        "auto.include.jmx.reporter",
        "kerberos.enable",
        "kerberos.jaas.file",
        "kerberos.krb5.file",
    ];
    assert!(theirs.len() > 110, "{}", theirs.len());
    assert_eq!(theirs.difference(&ours).collect::<Vec<_>>(), Vec::<&&str>::new());
    let extra: Vec<&str> = ours.difference(&theirs).copied().collect();
    assert_eq!(extra, others);
    for (name, outcome) in java::SETTINGS {
        if let java::Outcome::As(property) = outcome {
            assert!(native::find(property).is_some(), "{name}");
        }
    }
}

/// A value that Kafka's own clients take, and one that none does, if there is any.
fn values(kind: &str, default: &str, allowed: &str) -> (Vec<String>, Option<&'static str>) {
    let numbers = ["0", "1", "5", "1000", "60000", "100000"];
    let words = allowed.split(['[', ']']).nth(1).unwrap_or_default();
    let mut good: Vec<String> = match kind {
        "INT" | "LONG" | "SHORT" | "DOUBLE" => numbers.map(str::to_owned).to_vec(),
        "BOOLEAN" => vec!["true".into(), "false".into()],
        _ if words.contains(", ") && !words.contains("...") => {
            words.split(", ").map(str::to_owned).collect()
        }
        _ => vec!["words".into()],
    };
    if !matches!(default, "null" | "none" | "[]" | "-" | "") && !default.starts_with("class ") {
        good.push(default.trim_matches(['[', ']']).replace(", ", ","));
    }
    let bad = matches!(kind, "INT" | "LONG" | "SHORT" | "BOOLEAN").then_some("many");
    (good, bad)
}

#[test]
fn whatever_a_setting_says_it_takes_effect_or_a_line_says_why_not() {
    for line in JAVA.lines() {
        let cells: Vec<&str> = line.split('\t').collect();
        let [name, kind, default, allowed] = cells[..] else { panic!("{line}") };
        let before = match name.split('.').next().unwrap() {
            "sasl" => "kafka.security.protocol = SASL_PLAINTEXT\n",
            "ssl" => "kafka.security.protocol = SSL\n",
            _ => "",
        };
        let bare = read(before);
        let (good, bad) = values(kind, default, allowed);
        let (mut effects, mut words) = (0, 0);
        for value in good.iter().map(String::as_str).chain(bad) {
            let (config, said) = read(&format!("{before}kafka.{name} = {value}\n"));
            let unknown = said.iter().find(|text| text.contains("unknown key"));
            assert_eq!(unknown, None, "{name}");
            let place = format!("c:{}: ", before.lines().count() + 1);
            let about = said.iter().filter(|text| text.starts_with(&place)).count();
            effects += usize::from(config != bare.0);
            words += about;
            if Some(value) == bad {
                assert!(about > 0, "{name} = {value} is taken without a word");
            }
        }
        // What belongs to a file that is not written, or only says what the file says.
        let file = name.ends_with("store.type") || name.ends_with("store.password");
        assert!(effects > 0 || words > 0 || file, "{name}: nothing follows");
    }
}

#[test]
fn every_property_of_librdkafka_is_known_behind_kafka() {
    for one in native::all() {
        let (_, said) = read(&format!("kafka.{} = x\n", one.name));
        assert!(!said.iter().any(|text| text.contains("unknown")), "{}: {said:?}", one.name);
    }
    let (_, said) = read("kafka.acs = all\nkafka.linger = 5\nkafka.mine = 5");
    assert_eq!(
        said,
        [
            "c:1: warning: unknown key kafka.acs: did you mean kafka.acks?",
            "c:2: warning: unknown key kafka.linger",
            "c:3: warning: unknown key kafka.mine",
        ]
    );
}

/// Text, the properties that follow (clients' and the producer's), and words of what is said.
type Translation = (&'static str, &'static [(&'static str, &'static str)], &'static [&'static str]);

const TRANSLATIONS: &[Translation] = &[
    ("kafka.acks = all", &[], &[]),
    ("kafka.acks = -1", &[], &[]),
    ("kafka.acks = 1", &[], &["transactions demand all"]),
    ("kafka.acks = 2", &[], &["`2` is none of all, -1, 0, 1"]),
    (
        "kafka.acks = 0\nkafka.transactional = false",
        &[("acks", "0"), ("max.in.flight.requests.per.connection", "1")],
        &[],
    ),
    ("kafka.enable.idempotence = false", &[], &["transactions demand it"]),
    (
        "kafka.transactional = false\nkafka.enable.idempotence = true",
        &[("enable.idempotence", "true")],
        &[],
    ),
    (
        "kafka.compression.type = zstd\nkafka.compression.zstd.level = 7",
        &[("compression.type", "zstd"), ("compression.level", "7")],
        &[],
    ),
    (
        "kafka.compression.type = gzip\nkafka.compression.zstd.level = 7",
        &[("compression.type", "gzip")],
        &["kafka.compression.zstd.level has no effect: kafka.compression.type is gzip"],
    ),
    (
        "kafka.compression.type = lz4\nkafka.compression.lz4.level = 17",
        &[],
        &["`17` is no level from 1 to 12"],
    ),
    (
        "kafka.compression.type = brotli",
        &[],
        &["`brotli` is none of none, gzip, snappy, lz4, zstd"],
    ),
    ("kafka.linger.ms = 20", &[("linger.ms", "20")], &[]),
    ("kafka.queue.buffering.max.ms = 20", &[("linger.ms", "20")], &[]),
    ("kafka.batch.size = 0", &[("batch.size", "1")], &[]),
    ("kafka.batch.size = 65536", &[("batch.size", "65536")], &[]),
    ("kafka.buffer.memory = 67108864", &[("queue.buffering.max.kbytes", "65536")], &[]),
    (
        "kafka.buffer.memory = 99999999999",
        &[("queue.buffering.max.kbytes", "32768")],
        &["no number of bytes up to"],
    ),
    ("kafka.max.request.size = 2097152", &[("message.max.bytes", "2097152")], &[]),
    (
        "kafka.max.request.size = 31457281",
        &[("message.max.bytes", "31457280")],
        &["kafka.max.request.size: no message is larger than 30 MiB here: it counts as 31457280"],
    ),
    ("kafka.max.request.size = 10", &[], &["`10` is no whole number from 1000 to"]),
    (
        "kafka.max.in.flight.requests.per.connection = 3",
        &[("max.in.flight.requests.per.connection", "3")],
        &[],
    ),
    (
        "kafka.max.in.flight = 9",
        &[("max.in.flight.requests.per.connection", "5")],
        &["kafka.max.in.flight: more than 5"],
    ),
    ("kafka.retries = 10", &[], &["kafka.retries has no effect: with transactions"]),
    ("kafka.retries = 10\nkafka.transactional = false", &[("retries", "10")], &[]),
    ("kafka.delivery.timeout.ms = 120000", &[], &["has no effect: with transactions"]),
    (
        "kafka.delivery.timeout.ms = 120000\nkafka.transactional = false",
        &[("delivery.timeout.ms", "120000")],
        &[],
    ),
    ("kafka.request.timeout.ms = 30000", &[("socket.timeout.ms", "30000")], &[]),
    (
        "kafka.request.timeout.ms = 90000",
        &[("socket.timeout.ms", "60000")],
        &["it counts as 60000"],
    ),
    ("kafka.connections.max.idle.ms = -1", &[("connections.max.idle.ms", "0")], &[]),
    ("kafka.receive.buffer.bytes = -1", &[("socket.receive.buffer.bytes", "0")], &[]),
    (
        "kafka.metadata.recovery.strategy = REBOOTSTRAP",
        &[("metadata.recovery.strategy", "rebootstrap")],
        &[],
    ),
    ("kafka.debug = broker,security", &[("debug", "broker,security")], &[]),
    ("kafka.debug = broker,nothing", &[], &["`nothing` is none of"]),
    ("kafka.statistics.interval.ms = 5000", &[], &["figures are served at /metrics"]),
    ("kafka.socket.max.fails = 5", &[("socket.max.fails", "5")], &[]),
    ("kafka.socket.max.fails = -5", &[], &["no whole number from 0"]),
    ("kafka.fetch.min.bytes = 1", &[], &["has no effect: it is a setting of consumers"]),
    ("kafka.transactional.id = mine", &[], &["has no effect: transactions are named"]),
    ("kafka.interceptor.classes = a.B", &[], &["Java classes are not run here"]),
    ("kafka.key.serializer = org.apache.kafka.common.serialization.StringSerializer", &[], &[]),
    ("kafka.config.providers = file", &[], &["${file:PATH}"]),
    ("kafka.bootstrap.controllers = a:1", &[], &["controllers take no messages"]),
    ("kafka.kerberos.enable = true", &[], &["Kerberos is not built in"]),
    ("kafka.kerberos.enable = false", &[], &[]),
    // Security.
    ("kafka.security.protocol = tls", &[], &["`tls` is none of PLAINTEXT"]),
    (
        "kafka.ssl.truststore.location = x",
        &[],
        &["has no effect: kafka.security.protocol is PLAINTEXT"],
    ),
    (
        "kafka.security.protocol = ssl\nkafka.ssl.endpoint.identification.algorithm =",
        &[("security.protocol", "ssl"), ("ssl.endpoint.identification.algorithm", "none")],
        &[],
    ),
    (
        "kafka.security.protocol = SSL\nkafka.ssl.endpoint.identification.algorithm = LDAPS",
        &[("security.protocol", "ssl")],
        &["`LDAPS` is not https"],
    ),
    (
        "kafka.security.protocol = SSL\nkafka.ssl.truststore.certificates = PEM1\nkafka.ssl.keystore.key = PEM2\nkafka.ssl.keystore.certificate.chain = PEM3\nkafka.ssl.truststore.type = PEM",
        &[
            ("security.protocol", "ssl"),
            ("ssl.ca.pem", "PEM1"),
            ("ssl.key.pem", "PEM2"),
            ("ssl.certificate.pem", "PEM3"),
        ],
        &[],
    ),
    (
        "kafka.security.protocol = SSL\nkafka.ssl.ca.location = ../ca.pem",
        &[("security.protocol", "ssl"), ("ssl.ca.location", "/home/ca.pem")],
        &[],
    ),
    (
        "kafka.security.protocol = SSL\nkafka.ssl.keystore.type = BCFKS",
        &[("security.protocol", "ssl")],
        &["`BCFKS` is none of PEM, PKCS12, JKS"],
    ),
    (
        "kafka.security.protocol = SSL\nkafka.ssl.cipher.suites = TLS_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        &[("security.protocol", "ssl"), ("ssl.cipher.suites", "ECDHE-RSA-AES256-GCM-SHA384")],
        &[],
    ),
    (
        "kafka.security.protocol = SASL_SSL",
        &[("security.protocol", "sasl_ssl")],
        &["a login needs kafka.sasl.mechanism"],
    ),
    (
        "kafka.security.protocol = SASL_SSL\nkafka.sasl.mechanism = GSSAPI",
        &[("security.protocol", "sasl_ssl")],
        &["Kerberos is not built in: let the cluster"],
    ),
    (
        "kafka.security.protocol = SASL_SSL\nkafka.sasl.mechanism = OAUTHBEARER",
        &[("security.protocol", "sasl_ssl")],
        &["OAUTHBEARER is not built in"],
    ),
    (
        "kafka.security.protocol = SASL_SSL\nkafka.sasl.mechanism = AWS_MSK_IAM",
        &[("security.protocol", "sasl_ssl")],
        &["port 9096"],
    ),
    (
        "kafka.security.protocol = SASL_SSL\nkafka.sasl.mechanism = PLAIN\nkafka.sasl.username = u\nkafka.sasl.password = p",
        &[
            ("security.protocol", "sasl_ssl"),
            ("sasl.mechanism", "PLAIN"),
            ("sasl.username", "u"),
            ("sasl.password", "p"),
        ],
        &[],
    ),
    // Canal's names of old.
    (
        "canal.mq.servers = a:1, b:2\ncanal.mq.compressionType = snappy\ncanal.mq.lingerMs = 7\ncanal.mq.maxRequestSize = 4096\ncanal.mq.bufferMemory = 1048576\ncanal.mq.acks = all\ncanal.mq.retries = 0\ncanal.mq.batchSize = 50",
        &[
            ("compression.type", "snappy"),
            ("linger.ms", "7"),
            ("message.max.bytes", "4096"),
            ("queue.buffering.max.kbytes", "1024"),
            ("batch.size", "50"),
        ],
        &[],
    ),
    (
        "canal.mq.properties.debug = broker\ncanal.mq.kafka.kerberos.enable = true",
        &[("debug", "broker")],
        &["canal.mq.kafka.kerberos.enable: Kerberos"],
    ),
    (
        "kafka.linger.ms = 3\ncanal.mq.lingerMs = 7",
        &[("linger.ms", "3")],
        &["canal.mq.lingerMs has no effect: kafka.linger.ms is written too (c:1)"],
    ),
];

#[test]
fn values_are_translated_and_what_cannot_be_is_said_with_the_way_out() {
    for (text, properties, words) in TRANSLATIONS {
        let (config, said) = read(text);
        let bare = read("").0;
        let all: BTreeSet<(&str, &str)> =
            config.client.iter().chain(config.producer.iter()).collect();
        let mut expected: BTreeSet<(&str, &str)> = properties.iter().copied().collect();
        let queue = "queue.buffering.max.kbytes";
        if !expected.iter().any(|(name, _)| *name == queue) {
            expected.extend(bare.producer.get(queue).map(|value| (queue, value)));
        }
        if text.contains("transactional = false") && !text.contains("idempotence = true") {
            expected.insert(("enable.idempotence", "false"));
            expected.insert(("max.in.flight.requests.per.connection", "1"));
        }
        // A level or a codec that was refused leaves the other as it is.
        let expected = if text.contains("lz4") { all.clone() } else { expected };
        assert_eq!(all, expected, "{text}");
        assert_eq!(said.len(), words.len(), "{text}: {said:#?}");
        for (said, word) in said.iter().zip(*words) {
            assert!(said.contains(word), "{text}: {said}");
        }
    }
}

#[test]
fn a_login_line_gives_user_and_password_and_no_message_shows_them() {
    let scram = "org.apache.kafka.common.security.scram.ScramLoginModule";
    let plain = "org.apache.kafka.common.security.plain.PlainLoginModule";
    let line = |module: &str, rest: &str| format!("kafka.sasl.jaas.config = {module} {rest}\n");
    let with = |mechanism: &str| format!("{SASL}kafka.sasl.mechanism = {mechanism}\n");
    let good = with("SCRAM-SHA-512")
        + &line(scram, "required \\\n   username=\"us\\\\\"er\" \\\n   password='s3cret;=#';");
    let config = quiet(&good);
    assert_eq!(config.client.get("sasl.username"), Some("us\"er"));
    assert_eq!(config.client.get("sasl.password"), Some("s3cret;=#"));
    assert!(!format!("{config:?}").contains("s3cret"));
    // Read when it is used, so kept as it is.
    let late = with("PLAIN") + &line(plain, "required username=\"u\" password=\"${file:/run/p}\";");
    assert_eq!(quiet(&late).client.get("sasl.password"), Some("${file:/run/p}"));
    let refused = [
        (
            with("PLAIN") + &line(scram, "required username=\"u\" password=\"s3cret\";"),
            "is for SCRAM-SHA-256 and SCRAM-SHA-512, but kafka.sasl.mechanism is PLAIN",
        ),
        (with("PLAIN") + &line(plain, "required username=\"u\";"), "it has no password"),
        (
            with("PLAIN") + &line(plain, "required username=\"u\" password=s3cret"),
            "the semicolon at its end is missing",
        ),
        (
            with("PLAIN") + &line(plain, "required username=\"u\" password=53cret;"),
            "begins with a digit",
        ),
        (
            with("PLAIN") + &line(plain, "username=\"u\" password=\"s3cret\";"),
            "`required` is missing",
        ),
        (
            with("PLAIN") + "kafka.sasl.jaas.config = ${file:/s3cret}\n",
            "a password may be ${file:PATH}",
        ),
        (
            with("SCRAM-SHA-256")
                + &line(scram, "required username=\"u\" password=\"s3cret\" tokenauth=\"true\";"),
            "delegation tokens",
        ),
        (
            with("GSSAPI")
                + &line("com.sun.security.auth.module.Krb5LoginModule", "required x=\"s3cret\";"),
            "Kerberos is not built in",
        ),
        (
            with("AWS_MSK_IAM") + &line("software.amazon.msk.auth.iam.IAMLoginModule", "required;"),
            "AWS's IAM login is not built in",
        ),
        (
            with("OAUTHBEARER")
                + &line(
                    "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule",
                    "required clientSecret=\"s3cret\";",
                ),
            "OAUTHBEARER is not built in",
        ),
        (with("PLAIN") + &line("my.own.Module", "required a=\"s3cret\";"), "is not known here"),
        (
            line(plain, "required username=\"u\" password=\"s3cret\";"),
            "kafka.security.protocol is PLAINTEXT",
        ),
    ];
    for (text, word) in refused {
        let (config, said) = read(&text);
        let all = said.join("\n");
        assert!(all.contains(word), "{text}\n{all}");
        assert!(!all.replace("/s3cret", "").contains("s3cret"), "{all}");
        assert!(!format!("{config:?}").contains("s3cret"));
    }
}

#[test]
fn no_value_of_a_secret_is_in_a_message_or_a_debug_print() {
    let names = JAVA.lines().filter_map(|line| line.split('\t').next());
    let names: BTreeSet<&str> = names.chain(native::all().map(|one| one.name)).collect();
    let mut hidden = 0;
    for name in names.into_iter().filter(|name| is_hidden(name)) {
        for value in ["hun7er2", "a hun7er2 # b", "${hun7er2", "hun7er2'\"\\\\;="] {
            for family in [FAMILY, OLD_FAMILY] {
                let text =
                    format!("{SASL}kafka.sasl.mechanism = PLAIN\n{family}{name} = {value}\n");
                let (config, said) = read(&text);
                assert!(!format!("{config:?} {said:?}").contains("hun7er2"), "{text}");
            }
        }
        hidden += 1;
    }
    assert!(hidden > 10, "{hidden}");
}

#[test]
fn stores_are_files_counted_from_bin_with_their_passwords() {
    let config = quiet(
        "kafka.security.protocol = SSL\nkafka.ssl.truststore.location = ../t.p12\n\
         kafka.ssl.truststore.password = a\nkafka.ssl.truststore.type = PKCS12\n\
         kafka.ssl.keystore.location = /k.pem\nkafka.ssl.key.password = b\n",
    );
    let (trust, key) = (config.trust_store.unwrap(), config.key_store.unwrap());
    assert_eq!((trust.path.as_path(), trust.password.reveal()), (Path::new("/home/t.p12"), "a"));
    assert_eq!((key.path.as_path(), key.password.reveal()), (Path::new("/k.pem"), "b"));
}

#[test]
fn topics_are_made_as_the_family_says() {
    let (config, said) = read(
        "kafka.topic.partitions = 3\nkafka.topic.replication.factor = 2\n\
         kafka.topic.min.insync.replicas = 2\nkafka.topic.retention.m = 7\n\
         kafka.topic.metadata.refresh.interval.ms = 1000\n",
    );
    assert_eq!((config.partitions, config.replication), (Some(3), Some(2)));
    let made = [("min.insync.replicas", "2"), ("retention.m", "7")];
    assert_eq!(config.topic, made.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(config.client.get("topic.metadata.refresh.interval.ms"), Some("1000"));
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].ends_with("did you mean kafka.topic.retention.ms?"), "{said:?}");
    // Those that Kafka has no topic's setting for are known all the same.
    let (_, said) = read("kafka.topic.partition = 3\nkafka.topic.replication.facto = 2\n");
    for (said, known) in said.iter().zip(["partitions", "replication.factor"]) {
        assert!(said.ends_with(&format!("did you mean kafka.topic.{known}?")), "{said}");
    }
    // The records of changes have no key.
    for (policy, is_taken) in [("delete", true), ("compact", false), ("compact, delete", false)] {
        let (_, said) = read(&format!("kafka.topic.cleanup.policy = {policy}\n"));
        assert_eq!(said.is_empty(), is_taken, "{policy}: {said:?}");
    }
}

#[test]
fn brokers_are_read_as_the_java_client_reads_them() {
    for (text, brokers) in [
        ("a:1,b:2", Some("a:1,b:2")),
        (" a:1 , ", Some("a:1")),
        ("PLAINTEXT://a:1,SSL://[::1]:2", Some("a:1,[::1]:2")),
        ("a", Some("a:9092")),
        ("a:b", None),
        (",", None),
    ] {
        let (config, said) = read(&format!("kafka.bootstrap.servers = {text}"));
        assert_eq!(said.is_empty(), brokers.is_some(), "{text}: {said:?}");
        assert_eq!(config.bootstrap, brokers.unwrap_or(text.trim()), "{text}");
    }
    assert_eq!(quiet("").bootstrap, "127.0.0.1:9092");
}
