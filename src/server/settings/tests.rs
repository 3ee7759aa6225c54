//! Every key that is served is served: a change of it changes what the process runs by.

use std::path::{Path, PathBuf};

use crate::config::{Class, Environment, Files, KEYS, Kind, Settings, load};

use super::*;

const SHIPPED: [(&str, &str); 3] = [
    ("conf/canal.properties", include_str!("../../../conf/canal.properties")),
    ("conf/server.properties", include_str!("../../../conf/server.properties")),
    (
        "instances/example/instance.properties",
        include_str!("../../../instances/example/instance.properties"),
    ),
];

const AUTHORITIES: &str = "file:/etc/ca.pem";
const CLIENT: &str = "file:///etc/client.p12";

/// A value beside the shipped one, for keys whose kind does not say it.
const OTHERS: &[(&str, &str)] = &[
    ("advertised.listeners", "PLAINTEXT://kafka.example.com:9092"),
    ("broker.id", "7"),
    ("canal.conf.dir", "../elsewhere"),
    ("canal.destinations", "second"),
    ("canal.file.data.dir", "../elsewhere"),
    ("canal.instance.binlog.format", "ROW"),
    ("canal.instance.binlog.image", "FULL"),
    ("canal.instance.dbPassword", "other"),
    ("canal.instance.dbUsername", "other"),
    ("canal.instance.detecting.sql", "update a.b set c = now()"),
    ("canal.instance.filter.black.field", "a.b:c"),
    ("canal.instance.filter.black.regex", "a\\..*"),
    ("canal.instance.filter.field", "a.b:c"),
    ("canal.instance.filter.regex", "a\\..*"),
    ("canal.instance.master.address", "10.0.0.9:3307"),
    ("canal.instance.master.clientCertificateKeyStorePassword", "other"),
    ("canal.instance.master.clientCertificateKeyStoreUrl", CLIENT),
    ("canal.instance.master.gtid", "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5"),
    ("canal.instance.master.journal.name", "binlog.000007"),
    ("canal.instance.master.sslMode", "REQUIRED"),
    ("canal.instance.master.trustCertificateKeyStorePassword", "other"),
    ("canal.instance.master.trustCertificateKeyStoreUrl", AUTHORITIES),
    ("canal.instance.standby.address", "10.0.0.9:3307"),
    ("canal.instance.standby.gtid", "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5"),
    ("canal.instance.standby.journal.name", "binlog.000007"),
    ("canal.ip", "127.0.0.1"),
    ("canal.mq.dynamicTopic", "a\\..*"),
    ("canal.mq.dynamicTopicPartitionNum", "a:3"),
    ("canal.mq.partitionHash", "a\\..*:$pk$"),
    ("canal.mq.topic", "other"),
    ("listeners", "PLAINTEXT://:9093"),
    ("listener.security.protocol.map", "OTHER:PLAINTEXT,PLAINTEXT:SSL"),
    ("log.dir", "elsewhere"),
    ("log.dirs", "elsewhere"),
    ("sluice.admin.hosts", "cdc.example.com"),
    ("sluice.alert.url", "https://hooks.example.com/other"),
    ("sluice.group", "other"),
    ("sluice.log.accept.damage", "a-0"),
    ("sluice.log.levels", "debug"),
    ("sluice.timezone", "+03:00"),
    ("sluice.topic", "other.{table}"),
    ("canal.serverMode", "kafka"),
];

/// What must be set beside, for the key to matter.
const BESIDE: &[(&str, &str, &str)] = &[
    ("sluice.format.gtid", "canal.instance.gtidon", "true"),
    ("canal.mq.database.hash", "canal.mq.partitionHash", "a\\..*:$pk$"),
    ("canal.instance.master.position", "canal.instance.master.journal.name", "binlog.000007"),
    (
        "canal.instance.master.trustCertificateKeyStorePassword",
        "canal.instance.master.trustCertificateKeyStoreUrl",
        AUTHORITIES,
    ),
    (
        "canal.instance.master.clientCertificateKeyStorePassword",
        "canal.instance.master.clientCertificateKeyStoreUrl",
        CLIENT,
    ),
    ("canal.instance.detecting.heartbeatHaEnable", "canal.instance.detecting.enable", "true"),
    ("canal.instance.detecting.interval.time", "canal.instance.detecting.enable", "true"),
    ("canal.instance.detecting.sql", "canal.instance.detecting.enable", "true"),
    ("canal.instance.standby.gtid", "canal.instance.standby.address", "10.0.0.9:3307"),
    ("canal.instance.standby.journal.name", "canal.instance.standby.address", "10.0.0.9:3307"),
    ("canal.instance.standby.position", "canal.instance.standby.address", "10.0.0.9:3307"),
    ("canal.instance.standby.position", "canal.instance.standby.journal.name", "binlog.000007"),
    ("canal.instance.standby.timestamp", "canal.instance.standby.address", "10.0.0.9:3307"),
    ("sluice.alert.format", "sluice.alert.url", "https://hooks.example.com/one"),
    ("sluice.alert.repeat", "sluice.alert.url", "https://hooks.example.com/one"),
    ("sluice.alert.state.seconds", "sluice.alert.url", "https://hooks.example.com/one"),
    ("sluice.alert.lag.seconds", "sluice.alert.url", "https://hooks.example.com/one"),
    ("sluice.alert.retention.percent", "sluice.alert.url", "https://hooks.example.com/one"),
    ("sluice.alert.disk.free.bytes", "sluice.alert.url", "https://hooks.example.com/one"),
    ("broker.id", "node.id", ""),
    ("log.dir", "log.dirs", ""),
    ("log.retention.hours", "log.retention.ms", ""),
    ("canal.destinations", "canal.instance.master.address", "127.0.0.1:3306"),
];

/// Keys that allow one value: any other is an error.
const ONE_VALUE: &[&str] = &["canal.mq.flatMessage"];

fn other_value(name: &str, kind: Kind, default: &str) -> Option<String> {
    if let Some((_, value)) = OTHERS.iter().find(|(key, _)| *key == name) {
        return Some((*value).to_owned());
    }
    match kind {
        Kind::Flag => Some(if default == "true" { "false" } else { "true" }.to_owned()),
        Kind::Number(least, most) if least == most => None,
        Kind::Number(least, most) => {
            let now = default.parse().unwrap_or(least);
            Some(if now < most { now + 1 } else { now - 1 }.to_string())
        }
        Kind::OneOf(words) => words
            .iter()
            .find(|word| !word.eq_ignore_ascii_case(default))
            .map(|word| (*word).to_owned()),
        Kind::Text | Kind::Secret | Kind::Addresses | Kind::Path => {
            panic!("{name} is served, and the table OTHERS of this test has no other value for it")
        }
    }
}

/// The settings with some keys written over the shipped files; an empty value takes out what
/// the shipped file says.
fn settings(home: &Path, changes: &[(&str, &str)]) -> Result<Settings, String> {
    let text = |path: &Path| {
        let (_, text) = SHIPPED.iter().find(|(name, _)| home.join(name) == path)?;
        let is_changed = |line: &&str| {
            let name = line.split(['=', ' ']).next().unwrap_or_default();
            !changes.iter().any(|(key, _)| *key == name)
        };
        let kept: Vec<_> = text.lines().filter(is_changed).collect();
        Some(kept.join("\n").into_bytes())
    };
    let written = changes.iter().filter(|(_, value)| !value.is_empty());
    let environment: Environment =
        written.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let read = |path: &Path| Ok(text(path));
    let folders = |root: &Path| {
        let example = root.ends_with("instances").then(|| "example".to_owned());
        Ok(example.into_iter().collect())
    };
    let files = Files { read: &read, folders: &folders };
    load(home, &environment, None, true, files).map_err(|problems| problems.to_string())
}

/// All that the process runs by, as text.
fn effect(settings: &Settings) -> String {
    let server = &settings.server;
    let process = (
        &server.target,
        &server.admin_host,
        &server.admin_hosts,
        server.admin_port,
        server.scan_interval,
        &server.group,
        &server.broker.listeners,
        &server.log.dir,
    );
    let listeners = server.broker.listeners.iter();
    let advertised: Vec<_> = listeners.map(|one| advertised_of(server, one)).collect();
    // What is only shown has no effect.
    let shown = std::collections::BTreeMap::new();
    let broker =
        crate::broker::BrokerSettings { shown, ..broker(&server.broker, &server.log, None) };
    let parts = (log(&server.log), broker);
    let instances = settings.instances.iter().map(|instance| {
        let plan = plan(instance).unwrap();
        let password = plan.source.endpoint.password.clone();
        let asked = secrets::sources(instance).unwrap().map(|sources| sources.revealed());
        let left = (plan.meta_dat.read)(&plan.meta_dat.path).ok();
        format!("{} {plan:?} {password:?} {asked:?} {left:?}", instance.config.name)
    });
    format!("{process:?} {advertised:?} {parts:?} {:?}", instances.collect::<Vec<_>>())
}

fn advertised_of(server: &crate::config::ServerConfig, listener: &Listener) -> Option<String> {
    let Endpoint { host, port } = advertised(&server.broker, listener)?;
    Some(format!("{host}:{port}"))
}

#[test]
fn a_change_of_any_served_key_changes_what_the_process_runs_by() {
    let home = tempfile::tempdir().unwrap();
    // What a Canal left, where it is looked for and elsewhere.
    for (folder, content) in [("conf", "here"), ("elsewhere", "there")] {
        let folder: PathBuf = home.path().join(folder).join("example");
        std::fs::create_dir_all(&folder).unwrap();
        #[expect(clippy::disallowed_methods, reason = "a test's own file")]
        std::fs::write(folder.join("meta.dat"), content).unwrap();
    }
    let mut idle = Vec::new();
    for key in KEYS.iter().copied().flatten().filter(|key| key.class == Class::Served) {
        let beside: Vec<(&str, &str)> = BESIDE
            .iter()
            .filter(|(name, ..)| *name == key.name)
            .map(|(_, k, v)| (*k, *v))
            .collect();
        let Some(value) = other_value(key.name, key.kind, key.default) else {
            let refused = settings(home.path(), &[(key.name, "2")]).unwrap_err();
            assert!(refused.contains(key.name), "{refused}");
            continue;
        };
        let changed = [&beside[..], &[(key.name, value.as_str())]].concat();
        if ONE_VALUE.contains(&key.name) {
            let refused = settings(home.path(), &[(key.name, "false")]).unwrap_err();
            assert!(refused.contains(key.name), "{refused}");
            continue;
        }
        let before = settings(home.path(), &beside).unwrap();
        // A value that is refused is read, too.
        if let Ok(after) = settings(home.path(), &changed)
            && effect(&before) == effect(&after)
        {
            idle.push(format!("{} = {value}", key.name));
        }
    }
    assert_eq!(idle, Vec::<String>::new(), "declared served, and without effect");
}

#[test]
fn what_is_set_is_what_describe_configs_shows() {
    let home = tempfile::tempdir().unwrap();
    let shown = |changes: &[(&str, &str)]| {
        let server = settings(home.path(), changes).unwrap().server;
        broker(&server.broker, &server.log, None).shown
    };
    let mut seen = 0;
    for (name, _) in shown(&[]) {
        let key = KEYS.iter().copied().flatten().find(|key| key.name == name).unwrap();
        let value = other_value(key.name, key.kind, key.default).unwrap();
        let after = &shown(&[(key.name, value.as_str())])[&name];
        assert!(after == &value || name == "log.dirs" && after.ends_with(&value), "{name} {after}");
        seen += 1;
    }
    assert!(seen > 20, "{seen}");
}

/// One bound in two modules that may not name each other.
#[test]
fn keys_and_log_mean_the_same_by_the_most_partitions_of_a_topic() {
    assert_eq!(crate::config::MOST_PARTITIONS, i64::from(crate::log::MOST_PARTITIONS));
}

#[test]
fn the_ends_of_the_range_of_each_number_are_settings_to_run_by() {
    let home = tempfile::tempdir().unwrap();
    let beside = [("canal.instance.master.journal.name", "binlog.000007")];
    let beside =
        [&beside[..], &[("canal.instance.standby.journal.name", "binlog.000007")]].concat();
    for key in KEYS.iter().copied().flatten().filter(|key| key.class == Class::Served) {
        let Kind::Number(least, most) = key.kind else { continue };
        for value in [least, most] {
            let value = value.to_string();
            let changed = [&beside[..], &[(key.name, &*value)]].concat();
            let settings = settings(home.path(), &changed);
            let settings =
                settings.unwrap_or_else(|error| panic!("{} = {value}: {error}", key.name));
            effect(&settings);
        }
    }
}

/// The key and the line of what is wrong, not those of the key beside it.
#[test]
fn what_is_wrong_is_reported_under_its_own_key() {
    let home = tempfile::tempdir().unwrap();
    for (key, value) in [
        ("canal.instance.filter.regex", "a("),
        ("canal.instance.filter.black.regex", "a("),
        ("canal.instance.filter.field", "x.y"),
        ("canal.instance.filter.black.field", "x.y"),
        ("canal.mq.partitionHash", "a("),
        ("canal.mq.dynamicTopic", "a("),
        ("canal.mq.dynamicTopicPartitionNum", "a:2000000000"),
        ("canal.instance.master.gtid", "x"),
        ("canal.instance.standby.gtid", "x"),
        ("canal.instance.detecting.sql", "delete from a.b"),
        ("sluice.timezone", "nowhere"),
        ("sluice.topic", "{x}"),
    ] {
        let beside = [
            ("canal.instance.standby.address", "10.0.0.9:3307"),
            ("canal.instance.detecting.enable", "true"),
            ("canal.instance.detecting.heartbeatHaEnable", "true"),
        ];
        let settings = settings(home.path(), &[&beside[..], &[(key, value)]].concat()).unwrap();
        let Err(problems) = plan(&settings.instances[0]) else { panic!("{key} is taken") };
        let [problem] = &problems[..] else { panic!("{key}: {problems:?}") };
        let text = problem.to_string();
        assert!(text.contains(&format!("error: {key}: `")), "{text}");
        assert!(!text.contains(&format!("{key}: {key}")), "{text}");
    }
}

/// Clients leave the log the files that it needs.
#[test]
fn clients_have_a_share_of_the_files() {
    let home = Path::new("/home");
    for (limit, asked, may) in [
        (None, "7000", 7000),
        (Some(1024), "7000", 512),
        (Some(1024), "100", 100),
        (Some(1), "9", 1),
    ] {
        let server = settings(home, &[("max.connections", asked)]).unwrap().server;
        assert_eq!(broker(&server.broker, &server.log, limit).max_connections, may, "{limit:?}");
    }
}
