//! Tests over the whole: the table of keys, the shipped files, and files in, settings and
//! problems out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

mod takeover;

use super::keys::find;
use super::load::Loading;
use super::*;

const CANAL: &str = include_str!("../../conf/canal.properties");
const SERVER: &str = include_str!("../../conf/server.properties");
const EXAMPLE: &str = include_str!("../../instances/example/instance.properties");

/// A home folder of texts, by path below `/home`.
#[derive(Default)]
struct Home {
    files: BTreeMap<PathBuf, String>,
    environment: Environment,
}

impl Home {
    fn shipped() -> Self {
        Self::default()
            .file("conf/canal.properties", CANAL)
            .file("conf/server.properties", SERVER)
            .file("instances/example/instance.properties", EXAMPLE)
    }

    fn file(mut self, path: &str, text: &str) -> Self {
        self.files.insert(Path::new("/home").join(path), text.to_owned());
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    fn load(&self) -> Result<Settings, Problems> {
        let read = |path: &Path| Ok(self.files.get(path).map(|text| text.as_bytes().to_vec()));
        let folders = |root: &Path| {
            let below = self.files.keys().filter_map(|file| file.strip_prefix(root).ok());
            let names = below.filter(|rest| rest.components().count() > 1);
            let names: BTreeSet<String> = names
                .filter_map(|rest| Some(rest.components().next()?.as_os_str().to_str()?.to_owned()))
                .collect();
            Ok(names.into_iter().collect())
        };
        let files = Files { read: &read, folders: &folders };
        load(Path::new("/home"), &self.environment, None, true, files)
    }

    fn settings(&self) -> Settings {
        self.load().unwrap_or_else(|problems| panic!("{problems}"))
    }

    fn problems(&self) -> Vec<String> {
        let problems = self.load().map_or_else(|problems| problems, |settings| settings.remarks);
        problems.iter().map(ToString::to_string).collect()
    }
}

#[test]
fn no_key_is_twice_in_the_table_and_each_default_is_right() {
    let mut seen = BTreeSet::new();
    for key in KEYS.iter().copied().flatten() {
        assert!(seen.insert(key.name), "{} is there twice", key.name);
        assert!(!key.doc.is_empty() && !key.doc.ends_with('.'), "{}", key.name);
        let example = key.name.replace("<n>", "1").replace("<name>", "example");
        assert_eq!(find(&example).map(|found| found.name), Some(key.name));
        if !key.default.is_empty() && key.class == Class::Served {
            reader::check(key.kind, key.default).unwrap_or_else(|e| panic!("{}: {e}", key.name));
        }
    }
}

#[test]
fn every_served_key_is_in_a_shipped_file_and_every_shipped_key_is_served() {
    let mut shipped = BTreeSet::new();
    for text in [CANAL, SERVER, EXAMPLE] {
        for line in text.lines() {
            let line = line.strip_prefix('#').unwrap_or(line);
            if let Some((name, _)) = line.split_once('=')
                && !name.trim().contains(' ')
                && !name.starts_with(' ')
            {
                shipped.insert(name.trim());
            }
        }
    }
    for key in KEYS.iter().copied().flatten() {
        // Families have an example, Canal's older names and what is refused have none.
        let shown = match key.class {
            Class::Served => true,
            Class::Cluster => !["*", "canal.mq", "kerberos"].iter().any(|no| key.name.contains(no)),
            Class::NotYet | Class::NoEffect => false,
        };
        assert!(!shown || shipped.contains(key.name), "{} is in no shipped file", key.name);
    }
    for name in shipped {
        let class = find(name).map(|key| key.class);
        let served = matches!(class, Some(Class::Served | Class::Cluster));
        assert!(served, "{name} is in a shipped file");
    }
}

#[test]
fn every_served_key_is_read_by_somebody() {
    let mut asked = BTreeSet::new();
    let home = Home::shipped();
    let read = |path: &Path| Ok(home.files.get(path).map(|text| text.as_bytes().to_vec()));
    let files = Files { read: &read, folders: &|_| Ok(Vec::new()) };
    let mut loading = Loading::new(Path::new("/home"), &home.environment, files);
    loading.all(None, true, &mut asked);
    for key in KEYS.iter().copied().flatten().filter(|key| key.class == Class::Served) {
        assert!(asked.contains(key.name), "nobody reads {}", key.name);
    }
}

#[test]
fn the_shipped_files_load_without_a_word() {
    let settings = Home::shipped().settings();
    assert_eq!(settings.remarks.to_string(), "");
    assert_eq!(settings.server.log.dir, Path::new("/home/data"));
    assert_eq!(settings.server.admin_port, 11112);
    assert_eq!(settings.server.scan_interval, Some(Duration::from_secs(5)));
    assert_eq!(settings.server.log.retention, Some(Duration::from_hours(168)));
    assert_eq!(settings.server.log.retention_bytes, None);
    let listener = Listener { name: "PLAINTEXT".into(), host: None, port: 9092 };
    assert_eq!(settings.server.broker.listeners, [listener]);
    let [example] = &*settings.instances else { panic!("one instance") };
    assert_eq!(example.config.name, "example");
    assert_eq!(example.config.filter.tables, r".*\..*");
    assert_eq!(example.config.filter.black_tables, r"mysql\.slave_.*");
    assert_eq!(example.config.route.topic, TopicRule::Template("{schema}.{table}".into()));
    assert_eq!(example.config.meta_dat, Path::new("/home/conf/example/meta.dat"));
    assert_eq!(example.config.source.server.start, StartAt::default());
    assert_eq!(example.config.source.heartbeat.period, Duration::from_secs(2));
}

#[test]
fn a_home_without_files_is_the_broker_with_its_defaults() {
    let settings = Home::default().settings();
    assert_eq!(settings.instances.len(), 0);
    assert_eq!(settings.server.broker.listeners[0].port, 9092);
    let shipped = Home::shipped().settings().server;
    assert_eq!(settings.server.log, shipped.log);
}

#[test]
fn a_cluster_is_reached_as_files_and_environment_say_and_a_change_wants_a_restart() {
    let conf = "conf/canal.properties";
    let home = Home::shipped()
        .file(conf, "canal.serverMode = kafka\nkafka.bootstrap.servers = a:1\nkafka.acs = all\n")
        .variable("KAFKA_COMPRESSION_TYPE", "zstd")
        .variable("kafka.linger.ms", "7");
    let settings = home.settings();
    let Target::Cluster(config) = &settings.server.target else { panic!("a cluster") };
    assert_eq!(config.bootstrap, "a:1");
    assert_eq!(config.producer.get("compression.type"), Some("zstd"));
    assert_eq!(config.producer.get("linger.ms"), Some("7"));
    let place = settings.key_and_place("kafka.bootstrap.servers");
    assert_eq!(place, "kafka.bootstrap.servers, /home/conf/canal.properties:2");
    let unknown = "canal.properties:3: warning: unknown key kafka.acs: did you mean kafka.acks?";
    assert!(settings.remarks.to_string().contains(unknown), "{}", settings.remarks);
    let other =
        Home::shipped().file(conf, "canal.serverMode = kafka\nkafka.bootstrap.servers = b:1");
    assert!(settings.changes(&other.settings()).needs_restart);
}

#[test]
fn partitions_that_no_row_goes_into_are_named_and_so_is_a_number_without_effect() {
    let said = |instance: &str| {
        let canal = "canal.serverMode = kafka\nkafka.topic.partitions = 3\n";
        let instance = format!("canal.instance.master.address = a:3306\n{instance}");
        let home = Home::default()
            .file("conf/canal.properties", &format!("{canal}canal.destinations = a\n"))
            .file("instances/a/instance.properties", &instance);
        home.settings().remarks.to_string()
    };
    let place = "canal.properties:2: warning: kafka.topic.partitions = 3";
    for (instance, wanted) in [
        ("", Some("writes into 1 of the partitions only (canal.mq.partitionHash is not set)")),
        ("canal.mq.partitionHash = .*:id\n", Some("into 1 of the partitions only")),
        (
            "canal.mq.partitionHash = .*:id\ncanal.mq.partitionsNum = 6\n",
            Some("has no effect for instance a, which writes into 6 partitions"),
        ),
        ("canal.mq.partitionHash = .*:id\ncanal.mq.partitionsNum = 3\n", None),
        ("canal.mq.partition = 2\n", None),
        ("canal.mq.dynamicTopicPartitionNum = a:3\n", None),
    ] {
        let said = said(instance);
        match wanted {
            Some(words) => assert!(said.contains(place) && said.contains(words), "{said}"),
            None => assert!(!said.contains(place), "{instance}: {said}"),
        }
    }
}

/// Lines of the files that Canal 1.1.8 ships, those that matter to us.
#[test]
fn a_canal_folder_works_as_it_is() {
    let home = Home::default()
        .file(
            "conf/canal.properties",
            "canal.ip =\ncanal.port = 11111\ncanal.metrics.pull.port = 11112\ncanal.zkServers =\n\
             canal.withoutNetty = false\ncanal.serverMode = tcp\n\
             canal.file.data.dir = ${canal.conf.dir}\ncanal.file.flush.period = 1000\n\
             canal.instance.memory.buffer.size = 16384\ncanal.instance.transaction.size =  1024\n\
             canal.instance.tsdb.enable = true\n\
             canal.instance.tsdb.dir = ${canal.file.data.dir:../conf}/${canal.instance.destination:}\n\
             canal.destinations = example\ncanal.conf.dir = ../conf\ncanal.auto.scan = true\n\
             canal.instance.global.spring.xml = classpath:spring/file-instance.xml\n\
             kafka.bootstrap.servers = 10.0.0.1:9092\nrocketmq.producer.group = test\n",
        )
        .file("conf/spring/file-instance.xml", "<beans/>")
        .file(
            "conf/example/instance.properties",
            "canal.instance.gtidon=false\ncanal.instance.master.address=127.0.0.1:3306\n\
             canal.instance.master.position=\ncanal.instance.dbUsername=canal\n\
             canal.instance.connectionCharset = UTF-8\ncanal.instance.enableDruid=false\n\
             canal.instance.filter.regex=.*\\\\..*\ncanal.mq.topic=example\ncanal.mq.partition=0\n",
        );
    let settings = home.settings();
    let [example] = &*settings.instances else { panic!("one instance") };
    let rule = TopicRule::Canal { topic: "example".into(), dynamic: String::new() };
    assert_eq!(example.config.route.topic, rule);
    assert_eq!(example.config.meta_dat, Path::new("/home/conf/example/meta.dat"));
    let said = home.problems();
    let warnings: Vec<_> = said.iter().filter(|text| text.contains(": warning: ")).collect();
    assert_eq!(warnings.len(), 1, "{said:#?}");
    assert!(warnings[0].contains("canal.properties:6: warning: canal.serverMode"), "{said:#?}");
    let noted = |text: &String| text.contains("note: kafka.bootstrap.servers has no effect");
    assert!(said.iter().any(noted), "{said:#?}");
}

#[test]
fn all_errors_of_all_files_come_at_once_each_with_its_line() {
    let home = Home::shipped()
        .file(
            "conf/canal.properties",
            "canal.metrics.pull.port = many\ncanal.serverMode = rocketMQ",
        )
        .file("conf/server.properties", "# x\nlisteners = nine\ndefault.replication.factor = 3")
        .file(
            "instances/a/instance.properties",
            "canal.instance.gtidon = perhaps\n\ncanal.instance.master.position = 4\n\
             sluice.format = maxwell\n",
        )
        .file("instances/b/instance.properties", "canal.mq.topic = ${nobody}\nx = \\u12");
    let said = home.load().unwrap_err().to_string();
    for expected in [
        "/home/conf/canal.properties:1: error: canal.metrics.pull.port: `many` is no whole number from 0 to 65535",
        "/home/conf/canal.properties:2: error: canal.serverMode: this message queue is not served",
        "/home/conf/server.properties:2: error: listeners: `nine` is no listener",
        "/home/conf/server.properties:3: error: default.replication.factor: `3` is not possible here: use 1",
        "/home/instances/a/instance.properties:1: error: canal.instance.gtidon: `perhaps` is neither true nor false",
        "/home/instances/a/instance.properties:3: error: canal.instance.master.position: an offset says nothing without a file",
        "/home/instances/a/instance.properties:4: error: sluice.format: maxwell messages are not served yet: use flat (Canal's JSON)",
        "/home/instances/b/instance.properties:1: error: canal.mq.topic: nothing answers `${nobody}`",
        "/home/instances/b/instance.properties:2: error: `\\u` must be followed by four",
    ] {
        assert!(said.contains(expected), "no `{expected}` in\n{said}");
    }
}

#[test]
fn an_unknown_key_is_a_warning_with_the_nearest_known_one() {
    let home = Home::shipped().file(
        "instances/example/instance.properties",
        "db.host = 10.0.0.1\ncanal.instance.master.address = ${db.host}:3306\n\
         canal.mq.partitiionHash = .*\nlog.dirs = x\n",
    );
    assert_eq!(
        home.problems(),
        [
            "/home/instances/example/instance.properties:3: warning: unknown key canal.mq.partitiionHash: did you mean canal.mq.partitionHash?",
            "/home/instances/example/instance.properties:4: warning: log.dirs belongs in conf/server.properties and has no effect here",
        ]
    );
    assert_eq!(home.settings().instances[0].config.source.server.address.host, "10.0.0.1");
}

#[test]
fn one_name_in_both_places_is_an_error_that_names_both_files() {
    let home = Home::shipped()
        .file("instances/example/instance.properties", "canal.mq.topic = mine")
        .file("conf/example/instance.properties", EXAMPLE);
    let said = home.load().unwrap_err().to_string();
    assert!(said.contains("/home/instances/example/instance.properties"), "{said}");
    assert!(said.contains("/home/conf/example/instance.properties"), "{said}");
}

#[test]
fn a_destination_without_a_folder_is_an_error_and_a_folder_without_a_file_is_nothing() {
    let home = Home::shipped()
        .file("conf/canal.properties", "canal.destinations = example,gone")
        .file("conf/metrics/Canal.json", "{}");
    let said = home.problems();
    assert_eq!(said.len(), 1, "{said:#?}");
    assert!(said[0].contains("canal.destinations names gone"), "{said:#?}");
}

#[test]
fn instance_keys_in_canal_properties_and_the_environment_reach_every_instance() {
    let home = Home::shipped()
        .file("conf/canal.properties", "canal.instance.dbUsername = all\nsluice.statement = stop")
        .file("instances/example/instance.properties", "")
        .file("instances/other/instance.properties", "canal.instance.dbUsername = own")
        .variable("CANAL_INSTANCE_DBPASSWORD", "from outside");
    let settings = home.settings();
    let users: Vec<_> = settings.instances.iter().map(|one| &*one.config.source.user).collect();
    assert_eq!(users, ["all", "own"]);
    assert_eq!(settings.instances[1].config.source.password.reveal(), "from outside");
    assert_eq!(settings.instances[1].config.source.on_statement, OnStatement::Stop);
    assert!(!format!("{settings:?}").contains("from outside"));
}

#[test]
fn a_reload_touches_only_what_changed() {
    let old = Home::shipped()
        .file("instances/a/instance.properties", "")
        .file("instances/b/instance.properties", "canal.mq.topic = one");
    let new = Home::shipped()
        .file("instances/b/instance.properties", "\n# moved a line down\ncanal.mq.topic = one")
        .file("instances/c/instance.properties", "");
    let changes = old.settings().changes(&new.settings());
    let expected =
        Changes { added: vec!["c".into()], removed: vec!["a".into()], ..Changes::default() };
    assert_eq!(changes, expected);
    let other = new.variable("canal.mq.topic", "two").variable("listeners", "PLAINTEXT://:9093");
    let changes = old.settings().changes(&other.settings());
    assert_eq!(changes.changed, ["b", "example"]);
    assert!(changes.needs_restart);
}

/// What sizes anything is refused before it does.
#[test]
fn a_number_out_of_its_range_is_refused_at_its_line_with_the_range() {
    let mut refused = 0;
    for key in KEYS.iter().copied().flatten().filter(|key| key.class == Class::Served) {
        let Kind::Number(least, most) = key.kind else { continue };
        let homes = match key.home {
            keys::Home::Canal => &["conf/canal.properties"][..],
            keys::Home::Instance => {
                &["instances/example/instance.properties", "conf/canal.properties"]
            }
            keys::Home::Broker => &["conf/server.properties"],
        };
        let values = [i128::from(least) - 1, i128::from(most) + 1, 1 << 31, 1 << 32, 1 << 63]
            .into_iter()
            .chain([i128::from(i64::MIN), i128::MAX])
            .filter(|value| !(i128::from(least)..=i128::from(most)).contains(value));
        for value in values {
            for file in homes {
                let home = Home::shipped()
                    .file("instances/example/instance.properties", "")
                    .file(file, &format!("\n{} = {value}\n", key.name));
                let said = home.load().map(|_| ()).unwrap_err().to_string();
                let place = format!("/home/{file}:2: error: {}: `{value}` is ", key.name);
                assert!(said.contains(&place), "no `{place}` in\n{said}");
                assert!(said.contains(&least.to_string()), "{said}");
                assert!(most == i64::MAX || said.contains(&most.to_string()), "{said}");
                refused += 1;
            }
        }
    }
    assert!(refused > 100, "{refused}");
}

#[test]
fn a_plan_can_report_an_error_at_the_line_of_its_key() {
    let home = Home::shipped()
        .file("instances/example/instance.properties", "\ncanal.instance.filter.regex = a(b");
    let problem =
        home.settings().instances[0].refuse("canal.instance.filter.regex", "unclosed group");
    assert_eq!(
        problem.to_string(),
        "/home/instances/example/instance.properties:2: error: canal.instance.filter.regex: unclosed group"
    );
}

#[test]
fn a_kraft_sample_file_of_apache_kafka_serves_its_plaintext_listener() {
    let home = Home::shipped().file(
        "conf/server.properties",
        "process.roles=broker,controller\nnode.id=7\ncontroller.quorum.bootstrap.servers=localhost:9093\n\
         listeners=PLAINTEXT://localhost:9092,CONTROLLER://:9093\ninter.broker.listener.name=PLAINTEXT\n\
         advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093\n\
         controller.listener.names=CONTROLLER\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\nlog.dirs=/tmp/x\n",
    );
    let server = home.settings().server;
    let host = Some("localhost".to_owned());
    assert_eq!(server.broker.listeners, [Listener { name: "PLAINTEXT".into(), host, port: 9092 }]);
    assert_eq!(server.broker.advertised.len(), 1);
    assert_eq!(server.broker.node_id, 7);
    assert_eq!(server.log.dir, Path::new("/tmp/x"));
}

#[test]
fn derived_server_ids_differ_by_instance_and_machine() {
    let derived = SourceConfig::derived_server_id;
    let names = (0..1000).flat_map(|nth| [format!("orders{nth}"), format!("{nth}")]);
    let places = [("db-1", [192, 168, 1, 2]), ("db-2", [192, 168, 1, 2]), ("db-1", [10, 0, 0, 2])];
    let ids: BTreeSet<u32> = names
        .flat_map(|name| places.map(|(host, address)| derived(&name, host, address)))
        .collect();
    // By chance two of 6000 are the same once in 60 times.
    assert_eq!(ids.len(), 6000);
    assert!(
        ids.iter().all(|id| (1 << 30..1 << 31).contains(id)),
        "no server is given such a number"
    );
    assert_ne!(derived("a", "bc", [1, 2, 3, 4]), derived("ab", "c", [1, 2, 3, 4]));
    assert_eq!(
        derived("example", "db-1", [10, 0, 0, 2]),
        derived("example", "db-1", [10, 0, 0, 2])
    );
}

#[test]
fn instances_of_one_process_have_ids_of_their_own() {
    let last = (1 << 30) - 1;
    let mut derived = [9, 7, 9, last, last, 7].map(|low: u32| low + (1 << 30));
    let before = derived;
    SourceConfig::set_apart(derived.iter_mut(), BTreeSet::from([7, 7 + (1 << 30), 11]));
    let wanted = [9, 8, 10, last, 0, 11].map(|low: u32| low + (1 << 30));
    assert_eq!(derived, wanted, "of {before:?}");
}

#[test]
fn two_sockets_of_ours_on_one_port_are_refused_and_on_two_addresses_not() {
    let canal = "conf/canal.properties";
    for (ip, listeners, refused) in [
        ("", "PLAINTEXT://:7000", true),
        ("", "A://:7001,B://:7000", true),
        ("", "PLAINTEXT://127.0.0.1:7000", true),
        ("10.0.0.1", "PLAINTEXT://:7000", true),
        ("10.0.0.1", "PLAINTEXT://0.0.0.0:7000", true),
        ("10.0.0.1", "PLAINTEXT://10.0.0.1:7000", true),
        ("10.0.0.1", "PLAINTEXT://10.0.0.2:7000", false),
        ("", "PLAINTEXT://:7001", false),
        ("", "A://:7001,B://:7002", false),
    ] {
        let home = Home::shipped()
            .file(canal, &format!("canal.ip = {ip}\ncanal.metrics.pull.port = 7000\n"))
            .file(
                "conf/server.properties",
                &format!("listeners = {listeners}\nlistener.security.protocol.map=PLAINTEXT:PLAINTEXT,A:PLAINTEXT,B:PLAINTEXT"),
            );
        let said = home.problems().join("\n");
        let text = "/home/conf/canal.properties:2: error: canal.metrics.pull.port: 7000 is the port of listener";
        assert_eq!(said.contains(text), refused, "{ip} {listeners}: {said}");
        assert_eq!(said.contains("(listeners, /home/conf/server.properties:1)"), refused, "{said}");
    }
}
