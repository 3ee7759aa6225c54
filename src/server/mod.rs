//! The running process: what starts in which order, and what stops in which.
//!
//! Owns the log, the broker, the admin port and the set of instances. In: settings, signals
//! and commands. Out: until it is told to stop, nothing.
//!
//! Start: sockets bound (a port in use is the commonest mistake, and is found before
//! anything else happens) → log recovered → admin answers (health: starting) → broker
//! serves → instances start → ready.
//! Stop: instances drain → broker finishes the requests in hand → log closed → admin.

mod admin_port;
mod alerts;
mod at_rest;
mod backup;
mod instances;
mod metrics;
pub mod moving;
mod positions;
mod reading;
mod settings;
mod store;
mod supervised;

pub use admin_port::token;
pub use at_rest::{Reloaded, Stamp, Stamps};
pub use instances::replica_uuid;
pub use positions::{Dropped, Error as PositionError, Moved, Positions};
pub use settings::{cluster, plan};
pub use store::NO_POSITIONS;
pub use supervised::Supervisor;

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::{Listener, Problems, ServerConfig, Settings, Severity, Target};
use crate::control::{Asked, Board, Command, Outcome, Phase, commands};
use crate::disk::{Real, raise_open_file_limit};
use crate::log::{Log, OpenError};
use crate::shutdown::Tasks;
use crate::{admin, broker, telemetry};

use admin_port::AdminPort;
use instances::Instances;
use metrics::{GroupMetrics, LogMetrics};
use reading::{Read, Reading};
use store::{Bundled, Store};

/// There is no bundled log.
const NO_BACKUP: &str = "there is no bundled log to copy: the log is a Kafka cluster \
    (canal.serverMode = kafka), which is backed up with its own means";

/// How long a stop may take before what is left is abandoned; it was not acknowledged.
const DRAIN_LIMIT: Duration = Duration::from_secs(30);

/// Reads the settings again, for a reload; blocking.
pub type Reload = Arc<dyn Fn() -> Reloaded + Send + Sync>;

/// What a run is started with.
pub struct Start {
    /// The settings.
    pub settings: Settings,
    /// The files that they are from.
    pub files: Stamps,
    /// Says when to stop: of [`stop_on_signals`].
    pub stop: CancellationToken,
    /// Reads them again.
    pub reload: Reload,
    /// Who is told how far it is.
    pub supervisor: Option<Supervisor>,
}

/// Why the process cannot run. Each is one sentence with what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A password or a certificate for the Kafka cluster cannot be had: the key, its place, why.
    #[error("{0}")]
    Cluster(String),
    /// A port cannot be had.
    #[error("cannot listen on {address} ({key}): {reason}; {advice}")]
    Listen {
        /// The address.
        address: String,
        /// The setting it comes from.
        key: &'static str,
        /// What the system said.
        reason: std::io::Error,
        /// What to do.
        advice: &'static str,
    },
    /// An address is that of another machine, or of none.
    #[error("cannot listen on {host} ({setting}): it is no address of this machine; {advice}")]
    Address {
        /// The address.
        host: String,
        /// The setting it comes from, and where that is written.
        setting: String,
        /// What to do.
        advice: &'static str,
    },
    /// The directory of the log cannot be made or written.
    #[error("cannot use {dir} (log.dirs): {reason}; make it writable, or change the setting")]
    Directory {
        /// The directory.
        dir: String,
        /// What the system said.
        reason: std::io::Error,
    },
    /// The log cannot be opened.
    #[error("cannot open the log in {dir} (log.dirs): {reason}")]
    Log {
        /// The directory.
        dir: String,
        /// Why.
        reason: OpenError,
    },
    /// There is no room for the log.
    #[error("no room on the disk of {dir} (log.dirs): {reason}; make room, or change the setting")]
    Full {
        /// The directory.
        dir: String,
        /// What the system said.
        reason: std::io::Error,
    },
    /// The broker cannot start.
    #[error("cannot start the broker: {0}")]
    Broker(#[from] broker::Error),
    /// An instance's settings are wrong.
    #[error("{0}")]
    Settings(Problems),
    /// A task panicked without which nothing goes on.
    #[error(
        "stopped, because an error in the program ended the task \"{task}\"; nothing that was \
         acknowledged is lost; start again, and report the lines above this one"
    )]
    Failed {
        /// Its name.
        task: &'static str,
    },
    /// The system does not let us hear signals.
    #[error("cannot wait for signals: {0}")]
    Signals(std::io::Error),
}

/// Runs until `start` says to stop, then drains.
pub async fn run(start: Start) -> Result<(), Error> {
    let Start { settings, files: read, stop, reload, supervisor } = start;
    let files = raise_open_file_limit();
    if let Some(files) = files {
        tracing::info!(files, "limit of open files");
    }
    let reading = Reading::new(reload, read);
    let plans = tokio::select! {
        biased;
        () = stop.cancelled() => return Ok(()),
        plans = reading.plans(&settings) => plans.map_err(Error::Settings)?,
    };
    let admin_sockets = bind_admin(&settings).await?;
    let listeners = match &settings.server.target {
        Target::Log => bind_broker(&settings).await?,
        Target::Cluster(_) => Vec::new(),
    };

    let tasks = Tasks::new();
    let board = Board::new();
    board.home(&settings.home);
    board.show_busiest(settings.server.metrics_tables);
    board.listeners(addresses(&listeners));
    let (ask, asked) = commands();
    // The admin port answers to the end, so that a stop can be watched.
    let admin_tasks = Tasks::new();
    let opened = Arc::new(OnceLock::<(Log, Arc<broker::Broker>)>::new());
    let extra = {
        let opened = Arc::clone(&opened);
        let extra: admin::Extra = Arc::new(move |registry: &mut Registry| {
            if let Some((log, clients)) = opened.get() {
                registry.register_collector(Box::new(LogMetrics(log.clone())));
                registry.register_collector(Box::new(GroupMetrics(clients.group_lags())));
            }
        });
        extra
    };
    let port = AdminPort::new(&settings, &listeners);
    let admin = port.open(&settings, board.clone(), ask.clone(), extra, Arc::clone(&opened)).await;
    for socket in admin_sockets {
        let stop = admin_tasks.token().clone().cancelled_owned();
        admin_tasks.spawn("admin", admin.clone().serve(socket, stop));
    }
    drop(ask);
    if let Some(supervisor) = supervisor {
        let told = supervisor.follow(board.clone(), admin_tasks.token().clone());
        admin_tasks.spawn("tell systemd", told);
    }
    admin_tasks.spawn("show log files", show_log_files(board.clone(), admin_tasks.token().clone()));

    let failed = admin_tasks.spawn(
        "watch for panics",
        stop_when_failed(tasks.failed(), stop.clone(), admin_tasks.token().clone()),
    );

    let (store, bundled) = match &settings.server.target {
        Target::Log => {
            board.phase(Phase::Starting { doing: "recover the log".to_owned() });
            let listeners = port.beside(listeners).await;
            let bundled = Bundled::open(&settings, listeners, files, &board, &tasks).await?;
            let (log, group) = (bundled.log.clone(), settings.server.group.clone());
            let _ = opened.set((log.clone(), Arc::clone(&bundled.clients))); // nobody else sets it
            port.reach(None);
            (Store::Log { log, group }, Some(bundled))
        }
        Target::Cluster(config) => {
            let whole = settings::cluster(&settings, config).await.map_err(Error::Cluster)?;
            let (home, config) = (settings.home.display().to_string(), Arc::new(whole));
            port.reach(Some(Arc::clone(&config)));
            (Store::Cluster { config, home }, None)
        }
    };
    board.cluster(&store.id());
    if let Some(log) = store.log() {
        let stopped = tasks.token().clone();
        tasks.spawn("show room", show_room(log.clone(), board.clone(), stopped));
    }
    alerts::begin(&settings, &board, &tasks);
    let mut instances = Instances::new(store.clone(), board.clone());
    instances.start_all(plans);
    board.phase(Phase::Serving);
    tracing::info!("## the sluice server is running now ......");

    serve(&stop, (asked, &store), &mut instances, settings, reading, &board).await;

    board.phase(Phase::Draining);
    let mut log_is_open = bundled.is_some();
    let drained = tokio::time::timeout(DRAIN_LIMIT, async {
        instances.stop_all().await;
        if let Some(bundled) = bundled {
            bundled.close().await;
        }
        log_is_open = false;
        tasks.cancel();
        tasks.join().await
    });
    match drained.await {
        Ok(panicked) if panicked.is_empty() => tracing::info!("## stopped"),
        Ok(panicked) => tracing::error!(?panicked, "stopped after a panic"),
        Err(_) if log_is_open => tracing::error!(
            limit = ?DRAIN_LIMIT,
            "the log could not be closed in time: the next start recovers it from its journal, and \
             nothing that was acknowledged is lost"
        ),
        Err(_) => tracing::error!(limit = ?DRAIN_LIMIT, "not everything drained in time"),
    }
    admin_tasks.cancel();
    let failed = failed.await;
    admin_tasks.join().await;
    match failed {
        Ok(Some(task)) => Err(Error::Failed { task }),
        Ok(None) | Err(_) => Ok(()),
    }
}

/// Stops the process when a task panics without which it would go on in name only. Gives the
/// name of the task.
async fn stop_when_failed(
    failed: impl Future<Output = &'static str> + Send,
    stop: CancellationToken,
    ended: CancellationToken,
) -> Option<&'static str> {
    tokio::select! {
        biased;
        task = failed => {
            tracing::error!(task, "stopping: an error in the program ended a task");
            stop.cancel();
            Some(task)
        }
        () = ended.cancelled() => None,
    }
}

/// Shows what is watched, now and at each change of it.
async fn follow<T: Clone>(
    mut watched: watch::Receiver<T>,
    show: impl Fn(T),
    stopped: CancellationToken,
) {
    loop {
        // Nothing is held while it is shown.
        let now = watched.borrow_and_update().clone();
        show(now);
        tokio::select! {
            biased;
            () = stopped.cancelled() => return,
            changed = watched.changed() => if changed.is_err() {
                return;
            }
        }
    }
}

/// Shows how much room the log has.
async fn show_room(log: Log, board: Board, stopped: CancellationToken) {
    const EVERY: Duration = Duration::from_secs(5);
    loop {
        board.free_bytes(log.figures().free_bytes);
        tokio::select! {
            biased;
            () = stopped.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// Shows what is wrong with the files of log lines, which nobody reads then.
async fn show_log_files(board: Board, stopped: CancellationToken) {
    const EVERY: Duration = Duration::from_secs(1);
    loop {
        board.log_files(telemetry::trouble());
        tokio::select! {
            biased;
            () = stopped.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// Carries out commands, and looks at the instance folders now and then, until `stop`.
/// Priorities: stop, commands, what was read of the files, the scan. Files and names are
/// looked up elsewhere, and commands are carried out elsewhere: nothing here waits for a disk, a
/// name server or a source.
async fn serve(
    stop: &CancellationToken,
    (mut asked, store): (mpsc::Receiver<Asked>, &Store),
    instances: &mut Instances,
    mut settings: Settings,
    mut reading: Reading,
    board: &Board,
) {
    let interval = settings.server.scan_interval;
    let mut next_scan = interval.map(|interval| Instant::now() + interval);
    let mut refused = None;
    loop {
        let scan = async {
            match next_scan {
                Some(next) => tokio::time::sleep_until(next).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            Some(Asked { command, answer }) = asked.recv() => {
                match command {
                    Command::Reload => reading.begin(&settings, Some(answer)),
                    Command::Backup { dir } => {
                        let from = settings.server.log.dir.clone();
                        let Some(log) = store.log() else {
                            let _ = answer.send(Err(NO_BACKUP.to_owned()));
                            continue;
                        };
                        let copied = backup::back_up(log.clone(), from, dir, stop.clone());
                        instances.in_background(async move {
                            let _ = answer.send(copied.await);
                        });
                    }
                    command => instances.carry_out(command, answer),
                }
            }
            (read, answers) = reading.done() => {
                let (changing, result) = match read {
                    Ok(read) => {
                        let (changing, result) = take_up(instances, &mut settings, read);
                        (changing, result.map_err(|text| vec![text]))
                    }
                    Err(problems) => (Vec::new(), Err(errors_of(&problems))),
                };
                board.refused(result.clone().err().unwrap_or_default());
                let result = result.map_err(|lines| lines.join("\n"));
                // Said once for each wrong state of the files, not every few seconds.
                let reason = result.as_ref().err().cloned();
                if answers.is_empty() && reason != refused {
                    if let Some(reason) = &reason {
                        tracing::error!("the changed configuration is not taken up: {reason}");
                    }
                    refused = reason;
                }
                instances.in_background(async move {
                    for change in changing {
                        // A panic is reported by the owner of the task.
                        let _ = change.await;
                    }
                    for answer in answers {
                        let _ = answer.send(result.clone());
                    }
                });
                next_scan = interval.map(|interval| Instant::now() + interval);
                reading.begin_next(&settings);
            }
            () = scan => {
                next_scan = None;
                reading.begin(&settings, None);
            }
        }
    }
}

/// What keeps a configuration from being taken up, each with its file and line.
fn errors_of(problems: &Problems) -> Vec<String> {
    let errors = problems.iter().filter(|one| one.severity == Severity::Error);
    errors.map(ToString::to_string).collect()
}

/// Starts, stops and restarts the instances as the files say now: what does so. What only a
/// restart applies is left as it was, and reported.
fn take_up(
    instances: &mut Instances,
    settings: &mut Settings,
    read: Read,
) -> (Vec<JoinHandle<()>>, Outcome) {
    let Read { settings: new, changes, plans, files: _ } = read;
    let mut changing = Vec::new();
    if changes.has_instances() {
        changing = instances.change(plans, &changes);
        settings.instances = new.instances;
    }
    if changes.levels {
        let levels = new.server.lines.levels;
        match telemetry::set_levels(&levels) {
            Ok(()) => tracing::info!(levels, "which log lines are written has changed"),
            Err(reason) => tracing::warn!(levels, reason, "the levels stay as they were"),
        }
        settings.server.lines.levels = levels;
    }
    if changes.needs_restart {
        let reason = "settings of the server itself changed: restart sluice to apply them";
        return (changing, Err(reason.to_owned()));
    }
    (changing, Ok(String::new()))
}

/// A token that the first SIGTERM or SIGINT cancels; the second ends the process. Within a
/// runtime, and before anything that may take long: until then a signal is the system's, which
/// kills with it, or drops it where the process is the first of a container.
pub fn stop_on_signals() -> Result<CancellationToken, Error> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Signals)?;
    let stop = CancellationToken::new();
    let first = stop.clone();
    // Not joined: it lives as long as the process.
    Tasks::new().spawn("signals", async move {
        for second in [false, true] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if second {
                tracing::error!("a second signal: ending at once");
                #[expect(
                    clippy::exit,
                    clippy::disallowed_methods,
                    reason = "asked for twice; nothing unacknowledged is lost"
                )]
                std::process::exit(1);
            }
            tracing::info!("stopping");
            first.cancel();
        }
    });
    Ok(stop)
}

/// The port of health, metrics and commands. Commands come over loopback, which is bound too
/// where `canal.ip` names another address.
async fn bind_admin(settings: &Settings) -> Result<Vec<TcpListener>, Error> {
    let ServerConfig { admin_host, admin_port, .. } = &settings.server;
    let first = bind(admin_host.as_deref(), *admin_port)
        .await
        .map_err(|reason| Error::of_admin(settings, reason))?;
    let mut bound = Vec::new();
    if let Ok(address) = first.local_addr() {
        let ip = address.ip().to_canonical();
        if !ip.is_loopback() && !ip.is_unspecified() {
            match TcpListener::bind((Ipv4Addr::LOCALHOST, address.port())).await {
                Ok(loopback) => bound.push(loopback),
                Err(reason) => tracing::warn!(
                    port = address.port(),
                    %reason,
                    "cannot listen on loopback beside canal.ip: no commands are taken"
                ),
            }
        }
    }
    bound.push(first);
    Ok(bound)
}

async fn bind_broker(settings: &Settings) -> Result<Vec<broker::Listener>, Error> {
    let config = &settings.server.broker;
    let mut bound = Vec::new();
    for listener in &config.listeners {
        let socket = bind(listener.host.as_deref(), listener.port)
            .await
            .map_err(|reason| Error::of_listener(settings, listener, reason))?;
        bound.push(broker::Listener { socket, advertised: settings::advertised(config, listener) });
    }
    Ok(bound)
}

/// Without a host all addresses of both families: clients resolve `localhost` to either.
async fn bind(host: Option<&str>, port: u16) -> std::io::Result<TcpListener> {
    match host {
        Some(host) => TcpListener::bind((host, port)).await,
        None => match TcpListener::bind(SocketAddr::from(([0_u16; 8], port))).await {
            // A machine without IPv6.
            Err(error) if error.kind() != ErrorKind::AddrInUse => {
                TcpListener::bind(SocketAddr::from(([0_u8; 4], port))).await
            }
            bound => bound,
        },
    }
}

impl Error {
    /// Why the port of `/health` is not ours.
    pub fn of_admin(settings: &Settings, reason: std::io::Error) -> Self {
        let ServerConfig { admin_host, admin_port, .. } = &settings.server;
        let advice = "leave it empty for all addresses, or write one of this machine's";
        let keys = ("canal.metrics.pull.port", "canal.ip");
        Self::of_bind(settings, admin_host.as_deref(), *admin_port, keys, advice, reason)
    }

    /// Why a port for Kafka clients is not ours.
    pub fn of_listener(settings: &Settings, listener: &Listener, reason: std::io::Error) -> Self {
        let Listener { host, port, .. } = listener;
        let advice = "leave the host out for all addresses, or write one of this machine's";
        let keys = ("listeners", "listeners");
        Self::of_bind(settings, host.as_deref(), *port, keys, advice, reason)
    }

    /// `keys` are those of the port and of the host, `advice` is about the host.
    fn of_bind(
        settings: &Settings,
        host: Option<&str>,
        port: u16,
        keys: (&'static str, &'static str),
        advice: &'static str,
        reason: std::io::Error,
    ) -> Self {
        let address = |host: &str| format!("{host}:{port}");
        match (reason.kind(), host) {
            (ErrorKind::AddrNotAvailable, Some(host)) => Self::Address {
                host: host.to_owned(),
                setting: settings.key_and_place(keys.1),
                advice,
            },
            (kind, host) => Self::Listen {
                address: address(host.unwrap_or("*")),
                key: if kind == ErrorKind::AddrInUse { keys.0 } else { keys.1 },
                reason,
                advice: match kind {
                    ErrorKind::AddrInUse => "free the port, or change the setting",
                    ErrorKind::PermissionDenied => "choose a port above 1023",
                    _ => advice,
                },
            },
        }
    }
}

fn addresses(listeners: &[broker::Listener]) -> Vec<String> {
    let advertised = |listener: &broker::Listener| match &listener.advertised {
        Some(endpoint) => Some(format!("{}:{}", endpoint.host, endpoint.port)),
        None => listener.socket.local_addr().ok().map(|address| {
            let host = if address.ip().is_unspecified() {
                "localhost".to_owned()
            } else {
                address.ip().to_string()
            };
            format!("{host}:{}", address.port())
        }),
    };
    listeners.iter().filter_map(advertised).collect()
}

async fn open_log(settings: &Settings, files: Option<u64>, tasks: &Tasks) -> Result<Log, Error> {
    let config = &settings.server.log;
    let dir = config.dir.display().to_string();
    let disk =
        Real::new(&config.dir).map_err(|reason| Error::Directory { dir: dir.clone(), reason })?;
    let disk = disk.with_files(settings::log_files(files));
    let log = Log::open(Arc::new(disk), settings::log(config), tasks).await;
    log.map_err(|error| match error {
        OpenError::Io { source: reason, .. } if reason.kind() == ErrorKind::StorageFull => {
            Error::Full { dir, reason }
        }
        reason => Error::Log { dir, reason },
    })
}
