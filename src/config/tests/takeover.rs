//! Taking over from Canal: its files, its keys and its ways to name an instance. Each kind
//! of input is a table.

use super::*;

/// What the versions ship, and the instance file of that time.
const SHIPPED: [(&str, &str, &str); 7] = [
    (
        "1.0",
        include_str!("../../../tests/golden/canal/conf/1.0.canal.properties"),
        include_str!("../../../tests/golden/canal/conf/1.0.instance.properties"),
    ),
    (
        "1.1.0",
        include_str!("../../../tests/golden/canal/conf/1.1.0.canal.properties"),
        include_str!("../../../tests/golden/canal/conf/1.0.instance.properties"),
    ),
    (
        "1.1.3",
        include_str!("../../../tests/golden/canal/conf/1.1.3.canal.properties"),
        include_str!("../../../tests/golden/canal/conf/1.1.4.instance.properties"),
    ),
    (
        "1.1.4",
        include_str!("../../../tests/golden/canal/conf/1.1.4.canal.properties"),
        include_str!("../../../tests/golden/canal/conf/1.1.4.instance.properties"),
    ),
    (
        "1.1.4-admin",
        include_str!("../../../tests/golden/canal/conf/1.1.4-admin.canal.properties"),
        include_str!("../../../tests/golden/canal/conf/1.1.4.instance.properties"),
    ),
    (
        "1.1.5",
        include_str!("../../../tests/golden/canal/conf/1.1.5.canal.properties"),
        include_str!("../../../tests/golden/canal/conf/1.1.4.instance.properties"),
    ),
    (
        "1.1.8",
        include_str!("../../../tests/golden/canal/conf/1.1.8.canal.properties"),
        include_str!("../../../tests/golden/canal/conf/1.1.8.instance.properties"),
    ),
];

#[test]
fn the_files_of_each_version_of_canal_load_with_no_word_that_nobody_caused() {
    for (version, canal, example) in SHIPPED {
        let home = Home::default()
            .file("conf/canal.properties", canal)
            .file("conf/example/instance.properties", example);
        assert_eq!(home.settings().instances[0].config.name, "example", "{version}");
        let said = home.problems();
        let unasked: Vec<_> = said.iter().filter(|text| !text.contains("mode tcp")).collect();
        assert!(unasked.is_empty(), "{version}: {unasked:#?}");
        assert_eq!(said.len(), usize::from(canal.contains("serverMode")), "{version}: {said:#?}");
    }
}

#[test]
fn the_files_of_each_version_of_canal_load_without_a_word_into_a_kafka_cluster_too() {
    for (version, canal, example) in SHIPPED {
        let canal = format!("{canal}\ncanal.serverMode = kafka\n");
        let home = Home::default()
            .file("conf/canal.properties", &canal)
            .file("conf/example/instance.properties", example);
        let Target::Cluster(config) = &home.settings().server.target else { panic!("{version}") };
        assert!(config.bootstrap.starts_with("127.0.0.1:"), "{version}: {}", config.bootstrap);
        assert!(config.transactional, "{version}");
        let said = home.problems();
        let twice = |text: &&String| !text.contains("canal.serverMode is written again");
        assert_eq!(said.iter().filter(twice).count(), 0, "{version}: {said:#?}");
    }
}

/// Keys of Canal that are in no shipped file, or are there as comments: key, a value that
/// somebody chose, and what is said.
const OTHERS: &[(&str, &str, &str)] = &[
    ("canal.mq.producerGroup", "mine", "RocketMQ is not served"),
    ("canal.mq.transaction", "true", "a transaction of the source always becomes visible at once"),
    ("canal.mq.namespace", "mine", "RocketMQ is not served"),
    ("canal.mq.enableMessageTrace", "true", "RocketMQ is not served"),
    ("canal.mq.customizedTraceTopic", "t", "RocketMQ is not served"),
    ("canal.mq.accessChannel", "cloud", "RocketMQ is not served"),
    ("canal.mq.access.channel", "cloud", "RocketMQ is not served"),
    ("canal.mq.vhost", "/", "RabbitMQ is not served"),
    ("canal.mq.exchange", "e", "RabbitMQ is not served"),
    ("canal.mq.username", "u", "RabbitMQ is not served"),
    ("canal.mq.password", "p", "RabbitMQ is not served"),
    ("canal.mq.aliyunuid", "7", "the vendor's cloud is not used"),
    ("canal.mq.parallelThreadSize", "4", "one thread an instance"),
    ("canal.mq.parallel.thread.size", "4", "one thread an instance"),
    ("canal.mq.flat.message", "false", "write that"),
    ("canal.mq.canal.batch.size", "60", "batches form by themselves"),
    ("canal.mq.canal.fetch.timeout", "60", "as they come"),
    ("canal.mq.canalBatchSize", "60", "batches form by themselves"),
    ("canal.mq.canalGetTimeout", "60", "as they come"),
    ("canal.mq.send.thread.size", "3", "one thread writes the log"),
    ("canal.mq.build.thread.size", "3", "one thread an instance"),
    ("canal.mq.servers", "10.0.0.1:9092", "canal.serverMode = kafka"),
    ("canal.mq.lingerMs", "7", "canal.serverMode = kafka"),
    ("canal.mq.properties.a", "b", "canal.serverMode = kafka"),
    ("canal.mq.kafka.kerberos.enable", "true", "canal.serverMode = kafka"),
    ("canal.mq.kafka.kerberos.jaasFilePath", "x", "canal.serverMode = kafka"),
    ("canal.mq.kafka.kerberos.krb5.file", "x", "canal.serverMode = kafka"),
    ("canal.instance.mongodb.hosts", "x", "MongoDB is not served"),
    ("canal.mq.enableDynamicQueuePartition", "true", "RocketMQ is not served"),
    ("kafka.bootstrap.servers", "10.0.0.1:9092", "canal.serverMode = kafka"),
    ("kafka.sasl.jaas.config", "x", "canal.serverMode = kafka"),
    ("kafka.security.protocol", "SASL_SSL", "canal.serverMode = kafka"),
    ("canal.manager.jdbc.url", "jdbc:mysql://10.0.0.1/x", "the settings are these files"),
    ("canal.manager.jdbc.username", "u", "the settings are these files"),
    ("canal.manager.jdbc.password", "p", "the settings are these files"),
    ("canal.admin.manager", "10.0.0.1:8089", "the settings are these files"),
    ("canal.admin.register.auto", "false", "the settings are these files"),
    ("canal.admin.register.cluster", "c", "the settings are these files"),
    ("canal.admin.register.name", "n", "the settings are these files"),
    ("canal.admin.jmx.port", "1", "the settings are these files"),
    ("canal.admin.passwd", "other", "the settings are these files"),
    ("canal.stopInstanceAsPossible", "false", "sluice instance stop"),
    ("canal.alarm.url", "http://x", "/health"),
    ("canal.id", "2", "there is one server"),
    ("canal.register.ip", "10.0.0.1", "there is no ZooKeeper"),
    ("canal.zkServers", "10.0.0.1:2181", "there is no ZooKeeper"),
    ("canal.port", "1", "the protobuf port of Canal is not served yet"),
    ("canal.passwd", "other", "the protobuf port of Canal is not served yet"),
    ("canal.destinations.expr", "a-{1-3}", "write the names into canal.destinations"),
    ("canal.socketChannel", "netty", "one connection to MySQL"),
    ("canal.auto.reset.latest.pos.mode", "true", "position reset"),
    ("canal.aliyun.accesskey", "k", "the vendor's cloud is not used"),
    ("canal.instance.example.mode", "manager", "instances are set up in one way"),
    ("canal.instance.example.lazy", "true", "instances are set up in one way"),
    ("canal.instance.example.spring.xml", "x", "instances are set up in one way"),
    ("canal.instance.example.manager.address", "x", "instances are set up in one way"),
    (
        "canal.instance.global.spring.xml",
        "classpath:spring/default-instance.xml",
        "canal.instance.master.journal.name",
    ),
    ("canal.instance.mq.enable", "false", "every instance publishes"),
    ("canal.instance.mq.sendMode", "x", "one way to publish"),
    ("canal.instance.connectionCharsetNumber", "45", "by its own character set"),
    ("canal.instance.connectionCharset", "GBK", "by its own character set"),
    ("canal.instance.defaultDatabaseName", "mine", "says its database"),
    ("canal.instance.network.receiveBufferSize", "65536", "net.ipv4.tcp_rmem"),
    ("canal.instance.network.sendBufferSize", "65536", "net.ipv4.tcp_rmem"),
    ("canal.instance.enableDruid", "true", "write the password itself"),
    ("canal.instance.pwdPublicKey", "x", "write the password itself"),
    ("canal.instance.parser.parallelThreadSize", "3", "one way to read the binlog"),
    ("canal.instance.parser.needWait", "true", "one way to read the binlog"),
    ("canal.instance.parser.directory", "x", "one way to read the binlog"),
    ("canal.instance.memory.buffer.size", "1024", "memory is bounded by itself"),
    ("canal.instance.transaction.size", "1", "a transaction is never cut"),
    ("canal.instance.tsdb.enable", "false", "the schema history lies in the log"),
    ("canal.instance.rds.instanceId", "x", "the vendor's cloud is not used"),
    ("canal.instance.rds.open.url", "x", "the vendor's cloud is not used"),
    ("canal.instance.oceanbase.tenant", "sys", "OceanBase's log proxy is not served"),
    ("canal.instance.multi.stream.on", "true", "PolarDB-X is not served"),
    ("rocketmq.namesrv.addr", "10.0.0.1:9876", "RocketMQ is not served"),
    ("rabbitmq.host", "x", "RabbitMQ is not served"),
    ("pulsarmq.serverUrl", "x", "Pulsar is not served"),
];

#[test]
fn every_key_of_canal_is_known_and_said_to_have_no_effect_where_it_has_none() {
    for (key, value, reason) in OTHERS {
        for empty in [true, false] {
            let value = if empty { "" } else { value };
            let home =
                Home::shipped().file("conf/canal.properties", &format!("\n{key} = {value}\n"));
            let said = home.problems();
            if empty {
                assert_eq!(said, Vec::<String>::new(), "{key}");
                continue;
            }
            assert_eq!(said.len(), 1, "{key}: {said:#?}");
            let known = said[0].contains("canal.properties:2: ")
                && said[0].contains(&format!("{key} has no effect: "))
                && said[0].contains(reason);
            assert!(known, "{key}: {said:#?}");
            let shown = find(key).unwrap().is_secret() && said[0].contains(value);
            assert!(!shown || value.len() < 3, "{key}: {said:#?}");
            // The same by the environment.
            let home = Home::shipped().variable(key, value);
            let said = home.problems();
            let ours = key.starts_with("canal.");
            assert_eq!(said.len(), usize::from(ours), "{key}: {said:#?}");
        }
    }
}

#[test]
fn each_served_key_of_canal_is_silent_as_it_is_shipped() {
    for key in KEYS.iter().copied().flatten().filter(|key| key.class != Class::Served) {
        for value in key.shipped.iter().chain([&key.default]) {
            let (folder, name) = match key.home {
                keys::Home::Broker => ("conf/server.properties", "listeners = PLAINTEXT://:1\n"),
                _ => ("conf/canal.properties", ""),
            };
            if key.name.contains(['<', '*']) {
                continue;
            }
            let text = format!("{name}{} = {}\n", key.name, value.replace('\\', "\\\\"));
            let said = Home::shipped().file(folder, &text).problems();
            assert_eq!(said, Vec::<String>::new(), "{}", key.name);
        }
    }
}

#[test]
fn a_comment_behind_a_value_is_said_of_every_key_that_is_no_password() {
    let comment = "`#` after a blank is part of the value; a comment needs a line of its own";
    let cases = [
        ("canal.instance.filter.regex", ".*\\\\..*          # all tables", true),
        ("canal.instance.filter.regex", ".*\\\\..*\t# all tables", true),
        ("canal.mq.topic", "shop   # the topic", true),
        ("canal.instance.filter.black.regex", "# none", true),
        ("canal.instance.dbUsername", "canal # the account", true),
        ("canal.metrics.pull.port", "11113 # the port", true),
        ("canal.port", "11111                # the port", true),
        ("canal.mq.flatMessage", "true #json", true),
        ("canal.mq.topic", "shop#1", false),
        ("canal.instance.dbPassword", "a # b", false),
        ("canal.instance.tsdb.dbPassword", "a # b", false),
        ("canal.mq.topic", "shop", false),
    ];
    for (key, value, is_said) in cases {
        let text = format!("\n{key} = {value}\n");
        let said = Home::shipped().file("conf/canal.properties", &text).problems();
        let expected = format!("/home/conf/canal.properties:2: warning: {key}: {comment}");
        assert_eq!(said.contains(&expected), is_said, "{key} = {value}: {said:#?}");
        // What was meant is as it is shipped.
        assert!(!said.iter().any(|text| text.contains("no effect: the protobuf")), "{said:#?}");
    }
    let text = "canal.instance.filter.regex = .*\\\\..*  # all";
    let settings = Home::shipped().file("instances/example/instance.properties", text).settings();
    assert_eq!(settings.instances[0].config.filter.tables, r".*\..*  # all", "as Canal reads it");
}

#[test]
fn several_servers_of_one_instance_are_named_and_none_is_read_unasked() {
    let group = "canal.instance.master1.address = 10.0.0.1:3306\n\
                 canal.instance.master1.journal.name =\n\
                 canal.instance.master1.gtid = x\n\
                 canal.instance.master2.address = 10.0.0.2:3306\n\
                 canal.instance.standby2.address =\n\
                 canal.instance.standby12.address = 10.0.0.3:3306\n";
    let file = "instances/merged/instance.properties";
    let said = Home::shipped().file(file, group).load().unwrap_err().to_string();
    assert!(!said.contains("did you mean"), "{said}");
    assert!(
        said.contains(
            "/home/instances/merged/instance.properties:1: error: canal.instance.master1.address: \
             an instance here reads one server, and none is written for instance merged"
        ),
        "{said}"
    );
    let one = format!("canal.instance.master.address = 10.0.0.9:3306\n{group}");
    assert_eq!(
        Home::shipped().file(file, &one).problems(),
        ["/home/instances/merged/instance.properties:2: warning: canal.instance.master1.address, \
          canal.instance.master1.gtid, canal.instance.master2.address, \
          canal.instance.standby12.address have no effect: an instance here reads one server: \
          give each of these servers an instance of its own, a folder with its own \
          canal.instance.master.address"]
    );
    // As the shipped files of 1.0 have them, all empty.
    let empty = "canal.instance.master1.address =\ncanal.instance.standby1.address =\n";
    assert_eq!(Home::shipped().file(file, empty).problems(), Vec::<String>::new());
}

#[test]
fn an_instance_may_come_from_the_environment_alone() {
    let names = |home: &Home| -> Vec<(String, String)> {
        let settings = home.settings();
        let each = settings.instances.iter().map(|one| &one.config);
        each.map(|one| (one.name.clone(), one.source.server.address.host.clone())).collect()
    };
    let pair = |name: &str, host: &str| (name.to_owned(), host.to_owned());
    for auto_scan in ["false", "true"] {
        let home = Home::shipped()
            .variable("canal.auto.scan", auto_scan)
            .variable("canal.destinations", "mytest")
            .variable("canal.instance.master.address", "db:3306")
            .variable("CANAL_INSTANCE_DBPASSWORD", "secret");
        assert_eq!(names(&home), [pair("mytest", "db")], "{auto_scan}");
        assert_eq!(home.settings().instances[0].config.source.password.reveal(), "secret");
        assert_eq!(
            home.settings().instances[0].config.meta_dat,
            Path::new("/home/conf/mytest/meta.dat")
        );
    }
    // By canal.properties alone, several, beside one with a file.
    let home = Home::default()
        .file(
            "conf/canal.properties",
            "canal.destinations = a,b,c\ncanal.instance.master.address = db:3306\n",
        )
        .file("instances/c/instance.properties", "canal.instance.master.address = own:3306");
    assert_eq!(names(&home), [pair("a", "db"), pair("b", "db"), pair("c", "own")]);
    // An example that somebody changed stays.
    let changed = Home::shipped()
        .file("instances/example/instance.properties", "canal.mq.topic = mine")
        .variable("canal.destinations", "mytest")
        .variable("canal.instance.master.address", "db:3306");
    assert_eq!(names(&changed), [pair("example", "db"), pair("mytest", "db")]);
    // Without an address nobody said which server.
    let said = Home::shipped().variable("canal.destinations", "mytest").problems();
    assert!(
        said[0].starts_with(
            "environment variable canal.destinations: error: canal.destinations names mytest"
        ),
        "{said:#?}"
    );
    for word in ["instances/example can be renamed", "set canal.instance.master.address"] {
        assert!(said[0].contains(word), "{said:#?}");
    }
    let bad = Home::shipped()
        .variable("canal.destinations", "my test")
        .variable("canal.instance.master.address", "db:3306");
    assert!(bad.load().unwrap_err().to_string().contains("`my test` is no name"));
}

#[test]
fn the_shipped_example_gives_way_to_canals_and_a_changed_one_does_not() {
    let canals = "canal.instance.master.address = 10.0.0.1:3306\n";
    let home = Home::shipped().file("conf/example/instance.properties", canals);
    let settings = home.settings();
    assert_eq!(settings.instances.len(), 1);
    assert_eq!(settings.instances[0].config.source.server.address.host, "10.0.0.1");
    assert_eq!(
        home.problems(),
        ["/home/instances/example/instance.properties: warning: left out, as it is the example \
          that was shipped: instance example is that of \
          /home/conf/example/instance.properties; remove this folder"]
    );
    let changed = EXAMPLE.replace("canal.instance.gtidon = false", "canal.instance.gtidon = true");
    let home = home.file("instances/example/instance.properties", &changed);
    assert!(home.load().is_err());
    let other = Home::shipped()
        .file("instances/other/instance.properties", "")
        .file("conf/other/instance.properties", "");
    assert!(other.load().is_err());
}

#[test]
fn no_instance_at_all_is_said() {
    let empty = Home::default().file("conf/canal.properties", "canal.destinations =\n");
    let said = empty.problems();
    assert_eq!(said.len(), 1, "{said:#?}");
    assert!(said[0].starts_with("/home/conf/canal.properties: warning: no instance"), "{said:#?}");
    assert!(said[0].contains("instances/<name>/instance.properties"), "{said:#?}");
}

#[test]
fn a_password_is_shown_by_no_error() {
    let secrets =
        ["canal.instance.dbPassword", "canal.passwd", "canal.admin.passwd", "rabbitmq.password"];
    for key in secrets {
        for value in ["hun${ter2", "hun${ter2}", "${ter2}", "${hun${ter2}}"] {
            let text = format!("{key} = {value}\ncanal.mq.topic = ${{{key}}}\n");
            let home = Home::shipped().file("instances/example/instance.properties", &text);
            let said = home.problems().join("\n");
            assert!(!said.contains("ter2"), "{key} = {value}: {said}");
        }
    }
    let home = Home::shipped().file(
        "instances/example/instance.properties",
        "canal.instance.dbPassword = ${exec:vault read -f {a}}\n",
    );
    let password = home.settings().instances[0].config.source.password.clone();
    assert_eq!(password.reveal(), "${exec:vault read -f {a}}");
    let home = Home::shipped()
        .file("instances/example/instance.properties", "canal.mq.topic = ${file:/x}");
    let said = home.load().unwrap_err().to_string();
    assert!(said.contains("canal.mq.topic: only passwords are read from"), "{said}");
}

#[test]
fn the_place_of_what_cannot_be_had_is_known() {
    let home = Home::shipped()
        .file("conf/canal.properties", "\n\ncanal.ip = 192.0.2.10\ncanal.destinations = example\n")
        .variable("LISTENERS", "PLAINTEXT://127.0.0.1:19092");
    let settings = home.settings();
    assert_eq!(settings.key_and_place("canal.ip"), "canal.ip, /home/conf/canal.properties:3");
    assert_eq!(settings.key_and_place("listeners"), "listeners, environment variable LISTENERS");
    assert_eq!(settings.key_and_place("canal.metrics.pull.port"), "canal.metrics.pull.port");
    assert_eq!(settings.server.broker.listeners[0].port, 19092);
}
