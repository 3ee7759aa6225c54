//! The real binary in a home folder of its own.
//!
//! In: properties for the process, its broker and its instances. Out: a running `sluice` that
//! answers on free ports of loopback, and may be killed and started again over the same home.
//! Always: it is asked through what users have (files, signals, `/health`, exit codes), never
//! through the library.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Seek as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::process::{self, Process};
use super::{Kafka, PATIENCE, Server, wait_for};

const STOP: Duration = Duration::from_secs(20);

type Properties = BTreeMap<String, String>;

/// A home folder, and the process that runs over it, if one does.
pub(crate) struct Sluice {
    home: TempDir,
    broker: u16,
    metrics: u16,
    canal: Properties,
    server: Properties,
    instances: BTreeMap<String, Properties>,
    /// Environment variables of whatever is run.
    variables: Properties,
    /// The size of a file system of its own for its log, and whether that begins full.
    disk: Option<(u32, bool)>,
    process: Option<Process>,
    runs: usize,
    /// What is run: the program under test, if nothing else is set.
    pub(crate) binary: PathBuf,
}

/// How a run ended by itself.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    /// Standard output and error.
    pub(crate) said: String,
}

impl Sluice {
    /// A home without instances.
    pub(crate) fn new() -> Self {
        let home = TempDir::with_prefix("sluice-test-").unwrap();
        let (broker, metrics) = (process::free_port(), process::free_port());
        let mut new = Self {
            home,
            broker,
            metrics,
            canal: Properties::new(),
            server: Properties::new(),
            instances: BTreeMap::new(),
            variables: Properties::new(),
            disk: None,
            process: None,
            runs: 0,
            binary: PathBuf::from(env!("CARGO_BIN_EXE_sluice")),
        };
        let data = new.folder("data").display().to_string();
        new.canal("canal.metrics.pull.port", &metrics.to_string());
        new.canal("canal.serverMode", "embedded");
        new.broker("listeners", &format!("PLAINTEXT://127.0.0.1:{broker}"));
        new.broker("log.dirs", &data);
        new
    }

    /// A home with one instance of the account `canal`, with these properties beside.
    pub(crate) fn with_instance(name: &str, server: &Server, properties: &[(&str, &str)]) -> Self {
        let mut new = Self::new();
        new.instance(name, server, properties);
        new
    }

    /// Adds an instance, or replaces it.
    pub(crate) fn instance(&mut self, name: &str, server: &Server, properties: &[(&str, &str)]) {
        let mut all = Properties::new();
        let address = format!("{}:{}", server.host, server.port);
        all.insert("canal.instance.master.address".to_owned(), address);
        all.insert("canal.instance.dbUsername".to_owned(), "canal".to_owned());
        all.insert("canal.instance.dbPassword".to_owned(), "canal".to_owned());
        for (key, value) in properties {
            all.insert((*key).to_owned(), (*value).to_owned());
        }
        self.instances.insert(name.to_owned(), all);
    }

    /// Sets a key of `canal.properties`.
    pub(crate) fn canal(&mut self, key: &str, value: &str) {
        self.canal.insert(key.to_owned(), value.to_owned());
    }

    /// Lets it write into a Kafka cluster.
    pub(crate) fn use_cluster(&mut self, kafka: &Kafka) {
        self.canal("canal.serverMode", "kafka");
        self.canal("kafka.bootstrap.servers", &kafka.bootstrap());
    }

    /// Sets a key of `server.properties`.
    pub(crate) fn broker(&mut self, key: &str, value: &str) {
        self.server.insert(key.to_owned(), value.to_owned());
    }

    /// Sets an environment variable of what is run from now on.
    pub(crate) fn variable(&mut self, name: &str, value: &str) {
        self.variables.insert(name.to_owned(), value.to_owned());
    }

    /// Gives its log a file system of so many MiB, which ends with the process.
    pub(crate) fn on_small_disk(&mut self, mib: u32, full: bool) {
        self.disk = Some((mib, full));
    }

    /// A path inside the home as the running process sees it.
    pub(crate) fn seen_by_process(&self, name: &str) -> PathBuf {
        let id = self.process.as_ref().expect("it runs").id();
        let path = self.folder(name);
        Path::new("/proc").join(id.to_string()).join("root").join(path.strip_prefix("/").unwrap())
    }

    /// A path inside the home.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Where Kafka clients connect.
    pub(crate) fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.broker)
    }

    /// The port of `/health`.
    pub(crate) fn metrics_port(&self) -> u16 {
        self.metrics
    }

    /// Starts it and waits until `/health` says that all is well.
    pub(crate) fn start(&mut self) {
        self.launch();
        self.wait_until_ready();
    }

    /// Starts it and does not wait.
    pub(crate) fn launch(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        self.write_properties();
        self.runs += 1;
        let log = std::fs::File::create(self.folder(&format!("run-{}.log", self.runs))).unwrap();
        let program = &self.binary;
        let mut command = match self.disk {
            None => process::command(program),
            Some((mib, full)) => {
                let data = self.folder("data");
                std::fs::create_dir_all(&data).unwrap();
                process::command_on_small_disk(program, &data, mib, full)
            }
        };
        command
            .arg("run")
            .env("SLUICE_HOME", self.home.path())
            .envs(&self.variables)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        self.process = Some(Process::start("sluice", command));
    }

    /// Waits until `/health` answers 200; panics at once when an instance has stopped.
    pub(crate) fn wait_until_ready(&mut self) {
        let port = self.metrics;
        let process = self.process.as_mut().expect("it was started");
        let ended = wait_for("sluice to be ready", PATIENCE, || match process.ended() {
            Some(status) => Some(Some(status)),
            None => match get(port, "/health")? {
                (200, _) => Some(None),
                (_, body) if body.contains(r#""state":"stopped""#) => panic!("stopped: {body}"),
                _ => None,
            },
        });
        assert_eq!(ended, None, "sluice ended");
    }

    /// Runs it until it ends by itself.
    pub(crate) fn run_to_its_end(&mut self) -> Ended {
        self.launch();
        self.wait_for_its_end()
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait_for_its_end(&mut self) -> Ended {
        let status = self.process.take().expect("it runs").wait(PATIENCE);
        Ended { code: status.code(), said: self.said() }
    }

    /// Its id with the system.
    pub(crate) fn id(&self) -> u32 {
        self.process.as_ref().expect("it runs").id()
    }

    /// Sends it a signal, and does not wait.
    pub(crate) fn signal(&self, signal: &str) {
        self.process.as_ref().expect("it runs").signal(signal);
    }

    /// Runs another of its commands over the same home.
    pub(crate) fn command(&self, arguments: &[&str]) -> Ended {
        self.command_with_input(arguments, "")
    }

    /// The same with a standard input.
    pub(crate) fn command_with_input(&self, arguments: &[&str], input: &str) -> Ended {
        self.write_properties();
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
        command.args(arguments);
        self.ended(command, input)
    }

    /// Runs a script of `bin/` over the same home. What a script leaves running dies with
    /// this value, or with the test process.
    pub(crate) fn script(&self, name: &str, arguments: &[&str]) -> Ended {
        self.script_with_input(name, arguments, "")
    }

    /// The same with a standard input.
    pub(crate) fn script_with_input(&self, name: &str, arguments: &[&str], input: &str) -> Ended {
        self.write_properties();
        if name.contains("start") {
            self.watch_pid_file();
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("bin").join(name);
        let mut command = Command::new(script);
        command.args(arguments).env("SLUICE_BINARY", env!("CARGO_BIN_EXE_sluice"));
        self.ended(command, input)
    }

    fn ended(&self, mut command: Command, input: &str) -> Ended {
        let mut output = tempfile::tempfile().unwrap();
        // A file and no pipe: a pipe ends only with what a script leaves running.
        command
            .env("SLUICE_HOME", self.home.path())
            .envs(&self.variables)
            .stdin(Stdio::piped())
            .stdout(output.try_clone().unwrap())
            .stderr(output.try_clone().unwrap());
        let mut child = command.spawn().unwrap();
        // A command that fails at once reads nothing.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let code = child.wait().unwrap().code();
        let mut said = String::new();
        output.rewind().unwrap();
        output.read_to_string(&mut said).unwrap();
        Ended { code, said }
    }

    /// Kills what `sluice.pid` names once the test process has ended.
    fn watch_pid_file(&self) {
        let watch = format!(
            "(while kill -0 {} && [ -e {home} ]; do sleep 1; done; \
              [ ! -e {home}/sluice.pid ] || kill -9 $(cat {home}/sluice.pid)) >/dev/null 2>&1 &",
            std::process::id(),
            home = self.home.path().display(),
        );
        let watcher = Command::new("setsid").args(["sh", "-c", &watch]).status();
        assert!(watcher.unwrap().success(), "watch what a script starts");
    }

    /// Moves the file of an instance to where Canal has it, with more properties.
    pub(crate) fn in_canals_place(&mut self, name: &str, properties: &[(&str, &str)]) {
        let mut all = self.instances.remove(name).expect("the instance");
        for (key, value) in properties {
            all.insert((*key).to_owned(), (*value).to_owned());
        }
        write(&self.folder(&format!("conf/{name}/instance.properties")), &all);
        self.canal("canal.destinations", name);
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        self.process.take().expect("it runs").kill();
    }

    /// SIGTERM; it must end well, and soon.
    pub(crate) fn stop(&mut self) {
        let status = self.process.take().expect("it runs").stop(STOP);
        assert!(status.success(), "after SIGTERM it ended with {status}:\n{}", self.said());
    }

    /// The largest resident set of this run so far, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        self.process.as_ref().expect("it runs").peak_memory()
    }

    /// Its resident set now, in bytes.
    pub(crate) fn resident_memory(&self) -> u64 {
        self.process.as_ref().expect("it runs").resident_memory()
    }

    /// How many sockets it has open.
    pub(crate) fn open_sockets(&self) -> usize {
        self.process.as_ref().expect("it runs").open_sockets()
    }

    /// The processor time of this run so far.
    pub(crate) fn cpu_time(&self) -> Duration {
        self.process.as_ref().expect("it runs").cpu_time()
    }

    /// The answer of `/health`: HTTP status, and the body.
    pub(crate) fn health(&self) -> Option<(u16, String)> {
        get(self.metrics, "/health")
    }

    /// The answer of a path of the port of `/health`.
    pub(crate) fn get(&self, path: &str) -> Option<(u16, String)> {
        get(self.metrics, path)
    }

    /// The answer of `/metrics`.
    pub(crate) fn metrics(&self) -> Option<(u16, String)> {
        get(self.metrics, "/metrics")
    }

    /// What the last run printed, and its log files.
    pub(crate) fn said(&self) -> String {
        let mut said = String::new();
        let run = self.folder(&format!("run-{}.log", self.runs));
        said.push_str(&std::fs::read_to_string(run).unwrap_or_default());
        let folders = std::fs::read_dir(self.folder("logs")).into_iter().flatten().flatten();
        let files =
            folders.flat_map(|folder| std::fs::read_dir(folder.path()).into_iter().flatten());
        for file in files.flatten() {
            let text = std::fs::read_to_string(file.path()).unwrap_or_default();
            let _ = write!(said, "\n--- {}\n{text}", file.path().display());
        }
        said
    }

    fn write_properties(&self) {
        let mut canal = self.canal.clone();
        let names: Vec<&str> = self.instances.keys().map(String::as_str).collect();
        canal.entry("canal.destinations".to_owned()).or_insert_with(|| names.join(","));
        write(&self.folder("conf/canal.properties"), &canal);
        write(&self.folder("conf/server.properties"), &self.server);
        for (name, properties) in &self.instances {
            write(&self.folder(&format!("instances/{name}/instance.properties")), properties);
        }
    }
}

impl Drop for Sluice {
    fn drop(&mut self) {
        // Left by a script of a test that failed.
        if let Ok(pid) = std::fs::read_to_string(self.folder("sluice.pid"))
            && std::thread::panicking()
        {
            let _ = Command::new("kill").args(["-9", pid.trim()]).status();
        }
        if std::thread::panicking() {
            // Shown by the test runner beside the failure.
            println!("sluice said:\n{}", self.said());
        }
    }
}

/// An instance that begins there, with rows in one topic.
pub(crate) fn from(
    server: &Server,
    (file, offset): &(String, u64),
    filter: &str,
    more: &[(&str, &str)],
) -> Sluice {
    let offset = offset.to_string();
    let mut all = vec![
        ("canal.mq.topic", "all"),
        ("canal.instance.filter.regex", filter),
        ("canal.instance.filter.query.ddl", "true"),
        ("canal.instance.filter.query.dcl", "true"),
        ("canal.instance.master.journal.name", file),
        ("canal.instance.master.position", &offset),
    ];
    all.extend(more);
    Sluice::with_instance("behind", server, &all)
}

/// What `/health` says of the one instance, once it has stopped.
pub(crate) fn stopped(sluice: &Sluice) -> String {
    let body = wait_for("the instance to stop", PATIENCE, || {
        let (_, body) = sluice.health()?;
        body.contains(r#""state":"stopped""#).then_some(body)
    });
    let said = sluice.said();
    assert!(!said.contains("stopped: stopped"), "said twice: {said}");
    body
}

/// Lets a topic take messages of so many bytes.
pub(crate) fn limit(sluice: &Sluice, topic: &str, bytes: usize) {
    let setting = format!("max.message.bytes={bytes}");
    let arguments =
        ["--alter", "--entity-type", "topics", "--entity-name", topic, "--add-config", &setting];
    assert_ended(&sluice.script("kafka-configs.sh", &arguments), 0, &[]);
}

/// What ended did so with that code, and said these words.
pub(crate) fn assert_ended(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.code, Some(code), "{}", ended.said);
    for word in words {
        assert!(ended.said.contains(word), "{word} is not said:\n{}", ended.said);
    }
}

/// Writes a `.properties` file, escaped as its grammar wants it; not one that says so already,
/// since the running program may read it half written.
fn write(path: &Path, properties: &Properties) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut text = String::new();
    for (key, value) in properties {
        let _ = writeln!(text, "{key} = {}", value.replace('\\', "\\\\"));
    }
    if std::fs::read_to_string(path).is_ok_and(|there| there == text) {
        return;
    }
    std::fs::write(path, text).unwrap();
}

/// An HTTP GET, by hand.
fn get(port: u16, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}
