//! A broker in this process: over a real disk, on a port of its own.

use std::path::Path;
use std::sync::Arc;

use sluice::broker::{self, BrokerSettings, Listener};
use sluice::disk::Real;
use sluice::log::{Log, LogSettings};
use sluice::shutdown::Tasks;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A log and a broker over it.
pub(crate) struct Node {
    pub(crate) log: Log,
    pub(crate) address: String,
    clients: Tasks,
    log_tasks: Tasks,
    running: JoinHandle<Result<(), broker::Error>>,
}

impl Node {
    /// Four partitions for topics that are made by asking; groups do not wait for more.
    pub(crate) async fn start(folder: &Path) -> Self {
        let settings = BrokerSettings { num_partitions: 4, ..BrokerSettings::default() };
        Self::start_with(folder, settings).await
    }

    /// With other settings; groups do not wait for more.
    pub(crate) async fn start_with(folder: &Path, mut settings: BrokerSettings) -> Self {
        let (clients, log_tasks) = (Tasks::new(), Tasks::new());
        let disk = Arc::new(Real::new(folder).unwrap());
        let log = Log::open(disk, LogSettings::default(), &log_tasks).await.unwrap();
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap().to_string();
        settings.groups.initial_rebalance_delay_ms = 0;
        settings.groups.offsets_partitions = 4;
        let listeners = vec![Listener { socket, advertised: None }];
        let (serving, owner) = (log.clone(), clients.clone());
        let running = clients.spawn("broker", async move {
            broker::run(listeners, serving, settings, &owner).await
        });
        Self { log, address, clients, log_tasks, running }
    }

    /// Stops as the program does: clients first, then the log.
    pub(crate) async fn stop(self) {
        self.clients.cancel();
        self.running.await.unwrap().unwrap();
        assert!(self.clients.join().await.is_empty(), "a task of the broker panicked");
        self.log.close().await;
        self.log_tasks.cancel();
        assert!(self.log_tasks.join().await.is_empty(), "a task of the log panicked");
    }
}
