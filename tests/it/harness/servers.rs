//! Real MySQL and MariaDB servers.
//!
//! Where they come from, in this order:
//! - `SLUICE_TEST_SERVERS=none`: nowhere; each test that wants one says that it was not run.
//! - `SLUICE_TEST_MYSQL`, `SLUICE_TEST_MARIADB`, `SLUICE_TEST_MYSQL_56`,
//!   `SLUICE_TEST_MARIADB_NEWEST`: a URL (`mysql://root:password@host:port`) of an account that
//!   may create accounts. Tests that restart their server are left out, aloud.
//! - `SLUICE_TEST_DOCKER=1`: containers, in a build with the feature `docker`.
//! - otherwise `tests/servers/fetch-*.sh` unpacks one into `target/servers`.
//!
//! A server runs on loopback, on a port and a copy of an initialised data directory of its own,
//! with row events and, but for MySQL 5.6, GTIDs. Always there: the account `canal`, password
//! `canal`, with SELECT, REPLICATION SLAVE and REPLICATION CLIENT.

use std::io::Read;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, MySqlConnection};

use super::containers::{Container, Definition};
use super::process::{self, Process};
use super::{PATIENCE, say, wait_for};

/// Whose server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flavor {
    MySql,
    MariaDb,
}

impl Flavor {
    /// Asks for the end of the binlog: file, offset, ..
    pub(crate) fn status(self) -> &'static str {
        match self {
            Self::MySql => "SHOW BINARY LOG STATUS",
            Self::MariaDb => "SHOW MASTER STATUS",
        }
    }
}

/// Which server: of each maker the one that the whole suite runs on, and one that shows how far
/// its promises reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Release {
    /// 9.7 on Debian.
    MySql,
    /// 5.6.24: no JSON, no optional metadata, no generated columns; without GTIDs.
    MySql56,
    /// 10.11 on Debian 12.
    MariaDb,
    /// The newest that Debian has: 11.8 or later.
    NewestMariaDb,
}

impl Release {
    fn flavor(self) -> Flavor {
        match self {
            Self::MySql | Self::MySql56 => Flavor::MySql,
            Self::MariaDb | Self::NewestMariaDb => Flavor::MariaDb,
        }
    }

    /// The folder of the fetched one.
    fn word(self) -> &'static str {
        match self {
            Self::MySql => "mysql",
            Self::MySql56 => "mysql-5.6",
            Self::MariaDb => "mariadb",
            Self::NewestMariaDb => "mariadb-newest",
        }
    }

    /// The environment variable that names one that runs.
    fn variable(self) -> String {
        format!("SLUICE_TEST_{}", self.word().to_uppercase().replace('-', "_").replace('.', ""))
    }

    /// What fetches it, and an argument for it.
    fn script(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::MySql => ("fetch-mysql.sh", None),
            Self::MySql56 => ("fetch-mysql-5.6.sh", None),
            Self::MariaDb => ("fetch-mariadb.sh", None),
            Self::NewestMariaDb => ("fetch-mariadb.sh", Some("newest")),
        }
    }

    /// Its container, with these options of a test: `NAME=value` among them is a variable.
    fn container(self, options: &[&str]) -> Definition {
        const OF_MYSQL: &str = "MYSQL_ALLOW_EMPTY_PASSWORD=yes";
        const OF_MARIADB: &str = "MARIADB_ALLOW_EMPTY_ROOT_PASSWORD=yes";
        let (image, tag, lets_root_in) = match self {
            Self::MySql => ("mysql", "9", OF_MYSQL),
            Self::MySql56 => ("mysql", "5.6", OF_MYSQL),
            Self::MariaDb => ("mariadb", "10.11", OF_MARIADB),
            Self::NewestMariaDb => ("mariadb", "latest", OF_MARIADB),
        };
        let all = self.options().iter().chain(options).chain([&lets_root_in]);
        let (options, variables) =
            all.map(|&one| one.to_owned()).partition(|option: &String| option.starts_with("--"));
        Definition { image, tag, options, variables }
    }

    /// Makes the account `canal` where nobody made it.
    fn account(self) -> &'static str {
        match self {
            Self::MySql | Self::MariaDb | Self::NewestMariaDb => {
                "CREATE USER IF NOT EXISTS canal@'%' IDENTIFIED BY 'canal';
                 GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO canal@'%';"
            }
            Self::MySql56 => {
                "GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO canal@'%'
                 IDENTIFIED BY 'canal';"
            }
        }
    }

    /// Settings every server of the tests has.
    fn options(self) -> &'static [&'static str] {
        match self {
            Self::MySql => &[
                "--server-id=1",
                "--log-bin=binlog",
                "--gtid-mode=ON",
                "--enforce-gtid-consistency=ON",
                "--default-time-zone=+00:00",
                "--mysqlx=OFF",
            ],
            Self::MySql56 => &[
                "--server-id=1",
                "--log-bin=binlog",
                "--binlog-format=ROW",
                "--default-time-zone=+00:00",
            ],
            Self::MariaDb | Self::NewestMariaDb => &[
                "--server-id=2",
                "--log-bin=binlog",
                "--binlog-format=ROW",
                "--gtid-strict-mode=1",
                "--default-time-zone=+00:00",
            ],
        }
    }

    /// What makes a server small and quick; it survives the death of its process as before.
    fn economies(self) -> &'static [&'static str] {
        match self {
            Self::MySql => &[
                "--innodb-redo-log-capacity=8M",
                "--innodb-flush-log-at-trx-commit=2",
                "--sync-binlog=0",
                "--innodb-buffer-pool-size=64M",
                "--performance-schema=OFF",
            ],
            Self::MySql56 => &[
                "--innodb-flush-log-at-trx-commit=2",
                "--sync-binlog=0",
                "--innodb-buffer-pool-size=64M",
                "--performance-schema=OFF",
            ],
            Self::MariaDb | Self::NewestMariaDb => &[
                "--innodb-flush-log-at-trx-commit=2",
                "--sync-binlog=0",
                "--innodb-buffer-pool-size=64M",
            ],
        }
    }
}

/// A server to test against.
pub(crate) struct Server {
    release: Release,
    pub(crate) flavor: Flavor,
    pub(crate) host: String,
    pub(crate) port: u16,
    user: String,
    password: String,
    own: Option<Mutex<Own>>,
}

/// A server of a test's own leaves nothing behind: together they would be many GB.
impl Drop for Server {
    fn drop(&mut self) {
        let own =
            self.own.as_mut().map(|own| own.get_mut().unwrap_or_else(PoisonError::into_inner));
        if let Some(Own::Process { data, process, .. }) = own {
            drop(process.take());
            let _ = std::fs::remove_dir_all(data);
        }
    }
}

/// A server that these tests started, and may stop.
enum Own {
    Process { programs: PathBuf, data: PathBuf, options: Vec<String>, process: Option<Process> },
    Container(Box<Container>),
}

/// The MySQL server that the tests of this binary share; `None`, said aloud, if the caller chose
/// to go without.
pub(crate) fn mysql() -> Option<&'static Server> {
    static SHARED: OnceLock<Option<Server>> = OnceLock::new();
    shared(&SHARED, Release::MySql)
}

/// The MariaDB server that the tests of this binary share.
pub(crate) fn mariadb() -> Option<&'static Server> {
    static SHARED: OnceLock<Option<Server>> = OnceLock::new();
    shared(&SHARED, Release::MariaDb)
}

/// A MySQL server of the test's own, with more options, which it may kill and start again.
/// `NAME=value` among them is a variable of its environment.
pub(crate) fn private_mysql(options: &[&str]) -> Option<Server> {
    private(Release::MySql, options)
}

/// A MySQL 5.6 of the test's own.
pub(crate) fn private_mysql_56(options: &[&str]) -> Option<Server> {
    private(Release::MySql56, options)
}

/// A MariaDB server of the test's own.
pub(crate) fn private_mariadb(options: &[&str]) -> Option<Server> {
    private(Release::MariaDb, options)
}

/// A MariaDB of the test's own, of the newest kind.
pub(crate) fn private_newest_mariadb(options: &[&str]) -> Option<Server> {
    private(Release::NewestMariaDb, options)
}

/// A MariaDB of the test's own, of the newest kind, with types of a plug-in: `test_int8` and
/// `test_double`.
pub(crate) fn private_mariadb_with_own_types(options: &[&str]) -> Option<Server> {
    let release = Release::NewestMariaDb;
    let plugins = plugins(release, "types")?;
    let folder = format!("--plugin-dir={}", plugins.display());
    let own = [&*folder, "--plugin-maturity=unknown", "--plugin-load-add=type_test"];
    Some(Server::process(release, &[&own, options].concat()))
}

/// What a fetched server may load of `kind`, as its fetching script says; none of any other.
fn plugins(release: Release, kind: &str) -> Option<PathBuf> {
    if !matches!(provider(release), Provider::Fetched) {
        say(&format!("NOT RUN: it needs a fetched {release:?}, and its plugins"));
        return None;
    }
    let (script, newest) = release.script();
    let folder = format!("{}-{kind}", release.word());
    let arguments: Vec<_> = newest.into_iter().chain([kind]).collect();
    Some(fetch(&folder, script, &arguments).join("root/usr/lib/mysql/plugin"))
}

/// A MariaDB of the test's own that encrypts its binlog.
pub(crate) fn private_encrypting_mariadb(release: Release) -> Option<Server> {
    let plugins = plugins(release, "plugins")?;
    let keys = run_folder().join("keys");
    std::fs::write(&keys, format!("1;{}\n", "a7".repeat(32))).unwrap();
    let options = [
        format!("--plugin-dir={}", plugins.display()),
        "--plugin-load-add=file_key_management".to_owned(),
        format!("--loose-file-key-management-filename={}", keys.display()),
        "--encrypt-binlog=ON".to_owned(),
    ];
    Some(Server::process(release, &options.each_ref().map(String::as_str)))
}

enum Provider {
    Given(String),
    Docker,
    Fetched,
    Nobody,
}

fn provider(release: Release) -> Provider {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    if let Some(word) = variable("SLUICE_TEST_SERVERS") {
        assert_eq!(word, "none", "SLUICE_TEST_SERVERS may say `none`, it says `{word}`");
        return Provider::Nobody;
    }
    if let Some(url) = variable(&release.variable()) {
        return Provider::Given(url);
    }
    match variable("SLUICE_TEST_DOCKER").as_deref() {
        None | Some("0") => Provider::Fetched,
        Some(_) => Provider::Docker,
    }
}

fn shared(cell: &'static OnceLock<Option<Server>>, release: Release) -> Option<&'static Server> {
    let server = cell.get_or_init(|| match provider(release) {
        Provider::Nobody => None,
        Provider::Given(url) => Some(Server::given(release, &url)),
        Provider::Docker => Some(Server::container(release, &[])),
        Provider::Fetched => Some(Server::process(release, &[])),
    });
    if server.is_none() {
        say(&format!("NOT RUN: it needs {release:?}, and SLUICE_TEST_SERVERS=none"));
    }
    server.as_ref()
}

fn private(release: Release, options: &[&str]) -> Option<Server> {
    match provider(release) {
        Provider::Docker => Some(Server::container(release, options)),
        Provider::Fetched => Some(Server::process(release, options)),
        Provider::Nobody => {
            say(&format!("NOT RUN: it needs {release:?}, and SLUICE_TEST_SERVERS=none"));
            None
        }
        Provider::Given(_) => {
            say(&format!("NOT RUN: it needs a {release:?} of its own, and one was given"));
            None
        }
    }
}

impl Server {
    fn given(release: Release, url: &str) -> Self {
        let options: MySqlConnectOptions =
            url.parse().unwrap_or_else(|error| panic!("the URL of {release:?}: {error}"));
        let url = options.to_url_lossy();
        let server = Self {
            release,
            flavor: release.flavor(),
            host: url.host_str().unwrap_or("127.0.0.1").to_owned(),
            port: url.port().unwrap_or(3306),
            user: url.username().to_owned(),
            password: url.password().unwrap_or_default().to_owned(),
            own: None,
        };
        server.mysql_client("", release.account());
        server
    }

    fn process(release: Release, options: &[&str]) -> Self {
        let programs = fetched(release);
        let port = process::free_port();
        let data = run_folder().join(format!("{}-{port}", release.word()));
        let copied = Command::new("cp").arg("-r").arg(programs.join("data")).arg(&data).status();
        assert!(copied.unwrap().success(), "copy a data directory to {}", data.display());
        // A starting MariaDB removes the temporary tables that it finds, its neighbours' too.
        let temporary = data.with_extension("tmp");
        std::fs::create_dir_all(&temporary).unwrap();
        let mut all: Vec<String> = vec![
            format!("--datadir={}", data.display()),
            format!("--tmpdir={}", temporary.display()),
            format!("--port={port}"),
            // Relative to the data directory: a socket's path must be short.
            "--socket=server.sock".to_owned(),
            format!("--pid-file={}", data.join("server.pid").display()),
            "--bind-address=127.0.0.1".to_owned(),
        ];
        if rustix::process::geteuid().is_root() {
            all.push("--user=root".to_owned());
        }
        let given = release.options().iter().chain(release.economies()).chain(options);
        all.extend(given.map(|&option| option.to_owned()));
        let own = Own::Process { programs, data, options: all, process: None };
        let server = Self {
            release,
            flavor: release.flavor(),
            host: "127.0.0.1".to_owned(),
            port,
            user: "root".to_owned(),
            password: String::new(),
            own: Some(Mutex::new(own)),
        };
        server.start();
        server
    }

    fn container(release: Release, options: &[&str]) -> Self {
        let port = process::free_port();
        let container = Container::run(release.container(options), port);
        let server = Self {
            release,
            flavor: release.flavor(),
            host: "127.0.0.1".to_owned(),
            port,
            user: "root".to_owned(),
            password: String::new(),
            own: Some(Mutex::new(Own::Container(container))),
        };
        server.wait_until_it_greets();
        server.mysql_client("", release.account());
        server
    }

    /// Starts it again after [`Server::kill`] or [`Server::stop`], and waits until it serves.
    pub(crate) fn start(&self) {
        match &mut *self.own().lock().unwrap() {
            Own::Process { programs, data, options, process } => {
                let program = match self.flavor {
                    Flavor::MySql => "bin/mysqld",
                    Flavor::MariaDb => "bin/mariadbd",
                };
                let log = std::fs::OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open(data.with_extension("log"))
                    .unwrap();
                let mut command = process::command(&programs.join(program));
                let is_option = |option: &&String| option.starts_with("--");
                let variables = options.iter().filter(|option| !is_option(option));
                command
                    .args(options.iter().filter(is_option))
                    .envs(unsynced().map(|library| ("LD_PRELOAD", library)))
                    .envs(variables.filter_map(|variable| variable.split_once('=')))
                    .stdin(Stdio::null())
                    .stdout(log.try_clone().unwrap())
                    .stderr(log);
                *process = Some(Process::start(self.release.word(), command));
            }
            Own::Container(container) => container.start(),
        }
        self.wait_until_it_greets();
    }

    /// Gives it another time zone of its system, from its next start on. Whether it can.
    pub(crate) fn set_zone(&self, zone: &str) -> bool {
        match &mut *self.own().lock().unwrap() {
            Own::Process { options, .. } => {
                options.retain(|option| !option.starts_with("TZ="));
                options.push(format!("TZ={zone}"));
                true
            }
            Own::Container(_) => false,
        }
    }

    /// Lets it go without its binlog, from its next start on, or with it again. Whether it can.
    pub(crate) fn set_binlog(&self, has: bool) -> bool {
        match &mut *self.own().lock().unwrap() {
            Own::Process { options, .. } => {
                options.retain(|option| option != "--skip-log-bin");
                options.extend((!has).then(|| "--skip-log-bin".to_owned()));
                true
            }
            Own::Container(_) => false,
        }
    }

    /// kill -9.
    pub(crate) fn kill(&self) {
        match &mut *self.own().lock().unwrap() {
            Own::Process { process, .. } => drop(process.take()),
            Own::Container(container) => container.signal("KILL"),
        }
    }

    /// Keeps a copy of its data; it must not run.
    pub(crate) fn keep_data(&self) {
        if let Some(data) = self.data() {
            let mut copy = Command::new("cp");
            copy.arg("-r").args([&data, &data.with_extension("kept")]);
            succeed(&mut copy, "keep a copy of a data directory");
        }
    }

    /// Puts the copy in the place of its data: what came since is lost. Whether it can.
    pub(crate) fn lose_data(&self) -> bool {
        let Some(data) = self.data() else { return false };
        std::fs::remove_dir_all(&data).unwrap();
        std::fs::rename(data.with_extension("kept"), &data).unwrap();
        true
    }

    /// Puts the files of a folder in the place of its binlog; it must not run. Whether it can.
    pub(crate) fn replace_binlog(&self, folder: &Path) -> bool {
        let Some(data) = self.data() else { return false };
        let names = |folder: &Path| {
            let entries = std::fs::read_dir(folder).unwrap();
            let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            let mut names: Vec<String> = names.filter(|name| name.starts_with("binlog.")).collect();
            names.sort();
            names
        };
        for name in names(&data) {
            std::fs::remove_file(data.join(name)).unwrap();
        }
        let names = names(folder);
        for name in &names {
            std::fs::copy(folder.join(name), data.join(name)).unwrap();
        }
        let index = names.iter().map(|name| format!("./{name}")).collect::<Vec<_>>().join("\n");
        std::fs::write(data.join("binlog.index"), index + "\n").unwrap();
        true
    }

    /// Takes the files of its binlog from it; it must not run.
    pub(crate) fn remove_binlog(&self) {
        for entry in std::fs::read_dir(self.data().unwrap()).unwrap().flatten() {
            if entry.file_name().to_string_lossy().starts_with("binlog.") {
                std::fs::remove_file(entry.path()).unwrap();
            }
        }
    }

    fn data(&self) -> Option<PathBuf> {
        match &*self.own().lock().unwrap() {
            Own::Process { data, .. } => Some(data.clone()),
            Own::Container(_) => None,
        }
    }

    /// Lets it do nothing more (`STOP`), or go on (`CONT`).
    pub(crate) fn signal(&self, signal: &str) {
        match &*self.own().lock().unwrap() {
            Own::Process { process, .. } => process.as_ref().unwrap().signal(signal),
            Own::Container(container) => container.signal(signal),
        }
    }

    /// An orderly end.
    pub(crate) fn stop(&self) {
        match &mut *self.own().lock().unwrap() {
            Own::Process { process, .. } => {
                process.take().unwrap().stop(PATIENCE);
            }
            Own::Container(container) => container.stop(),
        }
    }

    /// Takes a file of its data directory from it.
    pub(crate) fn remove_file(&self, name: &str) {
        match &*self.own().lock().unwrap() {
            Own::Process { data, .. } => std::fs::remove_file(data.join(name)).unwrap(),
            Own::Container(container) => {
                container.run_inside(&["rm", &format!("/var/lib/mysql/{name}")]);
            }
        }
    }

    fn own(&self) -> &Mutex<Own> {
        self.own.as_ref().expect("only a private server is started and stopped")
    }

    /// Until the server's first packet comes.
    fn wait_until_it_greets(&self) {
        wait_for(&format!("{:?} on port {}", self.flavor, self.port), PATIENCE, || {
            if let Some(own) = &self.own
                && let Own::Process { process: Some(process), data, .. } = &mut *own.lock().unwrap()
                && let Some(status) = process.ended()
            {
                let log = std::fs::read_to_string(data.with_extension("log")).unwrap_or_default();
                panic!("{:?} ended with {status}:\n{log}", self.flavor);
            }
            let mut stream = TcpStream::connect((self.host.as_str(), self.port)).ok()?;
            stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
            stream.read_exact(&mut [0; 5]).ok()
        });
    }

    /// A connection of the administrator.
    pub(crate) async fn connect(&self) -> MySqlConnection {
        let connection = self.connector().connect().await;
        connection.unwrap_or_else(|error| panic!("connect to {:?}: {error}", self.flavor))
    }

    /// What opens connections of the administrator, for threads that outlive a borrow.
    pub(crate) fn connector(&self) -> Connector {
        // A handshake costs more than most of what these connections are made for; one of our own
        // servers lets its administrator in without a password.
        let tls = if self.own.is_some() { MySqlSslMode::Disabled } else { MySqlSslMode::Preferred };
        let options = MySqlConnectOptions::new()
            .host(&self.host)
            .port(self.port)
            .username(&self.user)
            .ssl_mode(tls);
        // An empty password is sent as one, which MariaDB refuses.
        Connector(match self.password.as_str() {
            "" => options,
            password => options.password(password),
        })
    }

    /// An empty database of that name and a connection that uses it.
    pub(crate) async fn database(&self, name: &str) -> MySqlConnection {
        let mut connection = self.connect().await;
        run(&mut connection, &format!("DROP DATABASE IF EXISTS `{name}`")).await;
        run(&mut connection, &format!("CREATE DATABASE `{name}`")).await;
        run(&mut connection, &format!("USE `{name}`")).await;
        connection
    }

    /// Feeds a script to the server's own command line client, which goes on after errors, as
    /// the recordings of the golden files were made.
    pub(crate) fn mysql_client(&self, database: &str, script: &(impl AsRef<[u8]> + ?Sized)) {
        let mut client = Command::new(client_program(self.release));
        client
            .args(["-f", "--comments", "--binary-mode", "--default-character-set=utf8mb4"])
            .args(["-h", &self.host, "-P", &self.port.to_string(), "-u", &self.user])
            .env("MYSQL_PWD", &self.password)
            .arg(database)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = client.spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), script.as_ref()).unwrap();
        let output = child.wait_with_output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(!errors.contains("Can't connect"), "the client: {errors}");
    }
}

/// Opens connections of the administrator.
#[derive(Clone)]
pub(crate) struct Connector(MySqlConnectOptions);

impl Connector {
    pub(crate) async fn connect(&self) -> sqlx::Result<MySqlConnection> {
        self.0.connect().await
    }
}

/// Runs one statement, or several separated by semicolons.
pub(crate) async fn run(connection: &mut MySqlConnection, sql: &str) {
    try_run(connection, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// Runs statements that may fail.
pub(crate) async fn try_run(connection: &mut MySqlConnection, sql: &str) -> sqlx::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await.map(drop)
}

/// The folder of a fetched server, fetched now if it is not there.
fn fetched(release: Release) -> PathBuf {
    let (script, argument) = release.script();
    fetch(release.word(), script, argument.as_slice())
}

fn fetch(word: &str, script: &str, arguments: &[&str]) -> PathBuf {
    let folder = servers_folder().join(word);
    if !folder.join(".complete").exists() {
        say(&format!("fetching {word} into {}", folder.display()));
        let mut fetch = Command::new(self::script(script));
        fetch.arg(&folder).args(arguments);
        succeed(&mut fetch, "a server to test against cannot be had");
    }
    folder
}

/// What lets a server sync nothing, which it would do most of the time: what it wrote outlives its
/// process all the same. Without it the tests take longer, and are the same.
fn unsynced() -> Option<&'static Path> {
    static LIBRARY: OnceLock<Option<PathBuf>> = OnceLock::new();
    let library = LIBRARY.get_or_init(|| {
        let folder = servers_folder().join("unsynced");
        if !folder.join(".complete").exists() {
            let fetched = Command::new(script("fetch-unsynced.sh")).arg(&folder).output();
            if !fetched.is_ok_and(|fetched| fetched.status.success()) {
                say("libeatmydata cannot be had: servers of these tests sync all that they write");
                return None;
            }
        }
        Some(folder.join("libeatmydata.so"))
    });
    library.as_deref()
}

fn servers_folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("servers")
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers").join(name)
}

/// The command line client: the fetched one of that server, or, with other providers, one on
/// the path. MySQL 5.6 brings none, and a newer one of MySQL does not know its password method.
fn client_program(release: Release) -> PathBuf {
    let (name, of) = match release {
        Release::MySql => ("mysql", release),
        Release::MariaDb | Release::NewestMariaDb => ("mariadb", release),
        Release::MySql56 => ("mariadb", Release::MariaDb),
    };
    match provider(release) {
        Provider::Given(_) | Provider::Docker if on_path(name) => PathBuf::from(name),
        _ => fetched(of).join("bin").join(name),
    }
}

fn on_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

/// Where the servers of this process keep their data; folders of processes that have ended are
/// removed.
fn run_folder() -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let all = Path::new(env!("CARGO_TARGET_TMPDIR")).join("running");
        std::fs::create_dir_all(&all).unwrap();
        for entry in std::fs::read_dir(&all).unwrap().flatten() {
            if !Path::new("/proc").join(entry.file_name()).exists() {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
        let own = all.join(std::process::id().to_string());
        std::fs::create_dir_all(&own).unwrap();
        own
    });
    folder.clone()
}

fn succeed(command: &mut Command, what: &str) {
    let output = command.output().unwrap_or_else(|error| panic!("{what}: {command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {command:?}: {}\n{said}", output.status);
}

/// The end of the server's binlog.
pub(crate) async fn here(server: &Server) -> (String, u64) {
    let mut source = server.connect().await;
    let row = match sqlx::query(server.flavor.status()).fetch_one(&mut source).await {
        Ok(row) => row,
        // MySQL 5.6 knows the former name only.
        Err(_) => sqlx::query("SHOW MASTER STATUS").fetch_one(&mut source).await.unwrap(),
    };
    (sqlx::Row::get(&row, 0), sqlx::Row::get(&row, 1))
}

#[cfg(test)]
mod tests {
    // Imports are inside: benches have the harness too, and no tests.
    #[test]
    fn a_container_is_given_what_a_process_is() {
        use super::*;

        let releases = [Release::MySql, Release::MySql56, Release::MariaDb, Release::NewestMariaDb];
        for release in releases {
            let made = release.container(&["--server-id=11", "TZ=Europe/Berlin"]);
            let wanted = [release.options(), &["--server-id=11"]].concat();
            assert_eq!(made.options, wanted, "{release:?}");
            assert_eq!(made.variables[0], "TZ=Europe/Berlin");
            let (_, lets_in) = made.variables[1].split_once("ALLOW_EMPTY_").unwrap();
            assert!(lets_in.ends_with("PASSWORD=yes"), "{lets_in}");
            let of = if release.flavor() == Flavor::MySql { "mysql" } else { "mariadb" };
            assert_eq!((made.image, made.variables.len()), (of, 2), "{release:?}");
            assert!(!made.tag.is_empty());
        }
    }

    #[cfg(not(feature = "docker"))]
    #[test]
    fn where_containers_were_not_built_it_is_said_how_they_are() {
        use super::*;

        let run = || Container::run(Release::MySql.container(&[]), 1);
        let said = std::panic::catch_unwind(run).err().unwrap();
        let said = said.downcast_ref::<String>().cloned().unwrap_or_default();
        assert!(
            said.contains("SLUICE_TEST_DOCKER=1 cargo test --locked --features docker"),
            "{said}"
        );
    }
}
