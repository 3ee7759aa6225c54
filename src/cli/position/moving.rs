//! `sluice position export`, `import` and `resume`: an instance on its way to another log.
//!
//! Where a process runs it does the work, with the instance stopped; else the log is opened under
//! its lock, or the cluster is gone to, unless another process runs the instance there.

use std::path::{Path, absolute};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};

use crate::cli::{Outcome, health, output::say};
use crate::config::{Settings, Target};
use crate::server::{self, moving};
use crate::shutdown::Tasks;
use crate::sink::{AnySink, Embedded, Kafka, Lock, here};

use super::Home;
use super::stored::Stored;

pub(super) async fn export(home: &Home, instance: &str, file: &Path, is_copy: bool) -> Outcome {
    let file = absolute(file)?;
    if health::running(home).await?.is_some() {
        say(&health::client(home).export(instance, text(&file)?, is_copy).await?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let settings = home.settings()?;
    let Some(configured) = settings.instances.iter().find(|one| one.config.name == instance) else {
        bail!("there is no instance {instance}");
    };
    let plan = server::plan(configured).map_err(|problems| {
        let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
        anyhow::anyhow!(texts.join("\n"))
    })?;
    if let Target::Log = settings.server.target {
        // Said first, if there is none.
        Stored::open(home).await?.close().await;
    }
    let work =
        async |sink: &mut AnySink| moving::export(sink, instance, &plan, &file, is_copy).await;
    say(&with_sink(settings.clone(), instance, work).await?.to_string())?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn import(home: &Home, instance: &str, file: &Path, replace: bool) -> Outcome {
    let file = absolute(file)?;
    if health::running(home).await?.is_some() {
        say(&health::client(home).import(instance, text(&file)?, replace).await?)?;
        say(&format!("bin/sluice instance start {instance} goes on from there"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let work = async |sink: &mut AnySink| moving::import(sink, instance, &file, replace).await;
    say(&with_sink(home.settings()?, instance, work).await?.to_string())?;
    say("bin/startup.sh goes on from there")?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn resume(home: &Home, instance: &str) -> Outcome {
    if health::running(home).await?.is_some() {
        say(&health::client(home).resume(instance).await?)?;
        say(&format!("bin/sluice instance start {instance} starts it"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let settings = home.settings()?;
    if let Target::Log = settings.server.target {
        // Said first, if there is none.
        Stored::open(home).await?.close().await;
    }
    let work = async |sink: &mut AnySink| moving::resume(sink, instance).await;
    say(&with_sink(settings, instance, work).await?)?;
    Ok(ExitCode::SUCCESS)
}

fn text(file: &Path) -> anyhow::Result<&str> {
    file.to_str().with_context(|| format!("{} is no UTF-8", file.display()))
}

/// Does something with the sink of an instance that nobody runs here.
async fn with_sink<T>(
    settings: Settings,
    instance: &str,
    work: impl AsyncFnOnce(&mut AnySink) -> Result<T, moving::Error>,
) -> anyhow::Result<T> {
    if let Target::Cluster(config) = &settings.server.target {
        let tasks = Tasks::new();
        let whole = server::cluster(&settings, config).await.map_err(anyhow::Error::msg)?;
        let whole = Arc::new(whole);
        moving::must_be_nobodys(&whole, instance, &tasks).await.map_err(anyhow::Error::msg)?;
        let home = settings.home.display().to_string();
        let lock = Lock::new(Arc::clone(&whole), instance, &home);
        let mut sink = AnySink::Kafka(Box::new(Kafka::new(whole, instance, lock.clone(), &tasks)));
        let done = match here(&mut sink, instance).await {
            Ok(()) => work(&mut sink).await.map_err(anyhow::Error::new),
            Err(reason) => Err(anyhow::Error::msg(reason)),
        };
        drop(sink);
        lock.leave().await;
        tasks.join().await;
        return done;
    }
    let stored = Stored::open_or_make(settings).await?;
    let writer = stored.log.writer(instance, &stored.settings.server.group);
    let mut sink = AnySink::Embedded(Box::new(Embedded::new(writer)));
    let done = work(&mut sink).await;
    drop(sink);
    stored.close().await;
    Ok(done?)
}
