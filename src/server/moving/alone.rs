//! Whether no process has an instance in a Kafka cluster.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::client::members;
use crate::config::ClusterConfig;
use crate::shutdown::Tasks;
use crate::sink::Kafka;

/// The pause before another look.
const PAUSE: Duration = Duration::from_millis(200);

/// Fails with a sentence if a process has the instance, running or standing by: who joins the group
/// of its lock beside that one may take it away. One that was killed is a member for the time of a
/// session, which is waited for.
pub async fn must_be_nobodys(
    config: &Arc<ClusterConfig>,
    instance: &str,
    tasks: &Tasks,
) -> Result<(), String> {
    let group = Kafka::lock(&config.group, instance);
    let until = Instant::now() + config.session + Duration::from_secs(1);
    loop {
        let (config, group) = (Arc::clone(config), group.clone());
        let asked = tasks.spawn_blocking("look for members", move || members(&config, &group));
        let hosts = asked.await.map_err(|error| error.to_string())??;
        if hosts.is_empty() {
            return Ok(());
        }
        if Instant::now() > until {
            return Err(format!(
                "{instance} is running in {} processes ({}): stop it there first, with \
                 `bin/sluice instance stop {instance}` or bin/stop.sh",
                hosts.len(),
                hosts.join(", ")
            ));
        }
        tokio::time::sleep(PAUSE).await;
    }
}
