//! The options that all commands with a cluster share.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;

use crate::client::Connection;
use crate::config::{self, Environment};

use super::home::Home;
use super::output::complain;

/// How to reach a cluster.
#[derive(Debug, Args)]
pub(super) struct Connect {
    /// Brokers to begin with, host:port by comma [default: the listener of this home].
    #[arg(long, value_name = "HOST:PORT")]
    bootstrap_server: Option<String>,
    /// What old commands named instead.
    #[arg(long, hide = true, value_name = "HOST:PORT")]
    zookeeper: Option<String>,
    /// A file with properties of a Kafka client (security.protocol and so on).
    #[arg(long, value_name = "FILE")]
    command_config: Option<PathBuf>,
}

impl Connect {
    /// Whether the command line says which cluster.
    pub(super) fn is_given(&self) -> bool {
        self.bootstrap_server.is_some()
    }

    /// The cluster that is meant, with `more` properties above those of the file.
    pub(super) fn to(
        &self,
        environment: &Environment,
        file: Option<&PathBuf>,
        more: &[(String, String)],
    ) -> anyhow::Result<Connection> {
        if self.zookeeper.is_some() {
            bail!(
                "there is no ZooKeeper: say --bootstrap-server {}",
                self.bootstrap_server.clone().unwrap_or_else(|| own_listener(environment)),
            );
        }
        let bootstrap = match &self.bootstrap_server {
            Some(bootstrap) => bootstrap.clone(),
            None => own_listener(environment),
        };
        let mut connection = Connection::new(&bootstrap);
        for file in [self.command_config.as_ref(), file].into_iter().flatten() {
            let bytes = std::fs::read(file).with_context(|| format!("read {}", file.display()))?;
            for (name, value) in config::properties(&bytes) {
                set(&mut connection, &name, &value);
            }
        }
        for (name, value) in more {
            set(&mut connection, name, value);
        }
        if let Some(bootstrap) = &self.bootstrap_server {
            connection.set("bootstrap.servers", bootstrap);
        }
        Ok(connection)
    }
}

/// A property that nothing knows is ignored, as Kafka's tools do, but not in silence.
fn set(connection: &mut Connection, name: &str, value: &str) {
    if !connection.set(name, value) {
        complain(&format!("WARN: the property {name} is not known here and is ignored"));
    }
}

/// Where the broker of this home listens; Kafka's own default where that is not known.
fn own_listener(environment: &Environment) -> String {
    let settings =
        Home::find(environment).ok().and_then(|home| home.without_instances().settings().ok());
    let listener = settings.and_then(|settings| settings.server.broker.listeners.first().cloned());
    match listener {
        Some(listener) => {
            let host = listener.host.filter(|host| host != "0.0.0.0" && host != "::");
            let host = host.unwrap_or_else(|| "localhost".to_owned());
            format!("{host}:{}", listener.port)
        }
        None => "localhost:9092".to_owned(),
    }
}
