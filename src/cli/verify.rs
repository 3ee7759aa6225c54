//! `sluice verify`: the tables of an instance against their topics, read only.
//!
//! Exit code 0: each is as its topic says. 1: keys differ, and are shown. 2: something cannot be
//! judged, with the reason, and nothing else differs.

mod table;
mod topic;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;

use crate::change::{Position, TableName};
use crate::client::Connection;
use crate::config::{Environment, Settings, Target};
use crate::control::InstanceStatus;
use crate::disk::{Disk, Real};
use crate::filter::TableFilter;
use crate::format::Zone;
use crate::instance::Plan;
use crate::verify::{Comparison, Differing, Report, Row};
use crate::{server, source};

use super::connect::Connect;
use super::health;
use super::home::Home;
use super::output::say;
use super::{Outcome, small_runtime};
use table::{Place, Reading};

/// What to compare.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    connect: Connect,
    /// The instance [default: the only one there is].
    #[arg(long)]
    instance: Option<String>,
    /// Its tables whose names match, as in canal.instance.filter.regex [default: all].
    #[arg(long, value_name = "REGEX", default_value = "")]
    tables: String,
    /// The topic to compare with [default: the one that the table's messages go to].
    #[arg(long, value_name = "TOPIC")]
    against: Option<String>,
    /// The topic is known to have every row: one without a message is missing.
    #[arg(long)]
    complete: bool,
    /// How many keys of a table are shown.
    #[arg(long, default_value_t = 20)]
    show: u64,
    /// How many seconds to wait until the instance is as far as the table.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait: u64,
}

/// What became of a table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Equal,
    NotJudged,
    Differs,
}

pub(super) fn run(arguments: &Arguments, environment: &Environment) -> Outcome {
    let home = Home::find(environment)?;
    let verdict = small_runtime()?.block_on(verify(arguments, &home, environment))?;
    Ok(ExitCode::from(match verdict {
        Verdict::Equal => 0,
        Verdict::Differs => 1,
        Verdict::NotJudged => 2,
    }))
}

/// All that comparing a table takes.
struct Verification<'a> {
    arguments: &'a Arguments,
    home: &'a Home,
    plan: Plan,
    instance: String,
    connection: Connection,
    disk: Arc<dyn Disk>,
    folder: String,
}

async fn verify(
    arguments: &Arguments,
    home: &Home,
    environment: &Environment,
) -> anyhow::Result<Verdict> {
    let settings = home.settings().map_err(|problems| anyhow::anyhow!("{problems}"))?;
    let (instance, mut plan) = planned(arguments, &settings)?;
    if let Some(zone) = source::zone(&plan.source).await? {
        plan.publication.format.zone = Zone::of_changes(&zone.changes);
    }
    let connection = connection(arguments, &settings, environment).await?;
    let tables = tables(arguments, &plan).await?;
    let root = home.path.join("run");
    let disk = temporary(&root)?;
    let folder = format!("verify-{}", std::process::id());
    let verification = Verification { arguments, home, plan, instance, connection, disk, folder };
    let done = verification.all(&tables).await;
    verification.disk.remove_dir(&verification.folder)?;
    done
}

fn temporary(root: &Path) -> anyhow::Result<Arc<dyn Disk>> {
    let disk = Real::new(root).with_context(|| format!("make {}", root.display()))?;
    Ok(Arc::new(disk))
}

/// The instance that is meant, and its plan.
fn planned(arguments: &Arguments, settings: &Settings) -> anyhow::Result<(String, Plan)> {
    let named = |name: &str| settings.instances.iter().find(|one| one.config.name == name);
    let instance = match (&arguments.instance, &*settings.instances) {
        (Some(name), _) => named(name).with_context(|| format!("there is no instance {name}"))?,
        (None, [only]) => only,
        (None, all) => {
            let names: Vec<&str> = all.iter().map(|one| &*one.config.name).collect();
            bail!("say --instance, one of: {}", names.join(", "));
        }
    };
    let plan = server::plan(instance).map_err(|problems| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("{}", problems.join("\n"))
    })?;
    Ok((instance.config.name.clone(), plan))
}

/// The bundled broker, or the cluster that the instance writes into.
async fn connection(
    arguments: &Arguments,
    settings: &Settings,
    environment: &Environment,
) -> anyhow::Result<Connection> {
    let committed = [("isolation.level".to_owned(), "read_committed".to_owned())];
    let mut connection = arguments.connect.to(environment, None, &committed)?;
    if let Target::Cluster(config) = &settings.server.target
        && !arguments.connect.is_given()
    {
        let whole = server::cluster(settings, config).await.map_err(anyhow::Error::msg)?;
        for (name, value) in whole.client.iter() {
            connection.set(name, value);
        }
    }
    Ok(connection)
}

async fn tables(arguments: &Arguments, plan: &Plan) -> anyhow::Result<Vec<TableName>> {
    let wanted = TableFilter::new(&arguments.tables, "").map_err(|errors| {
        let errors: Vec<String> = errors.iter().map(|(_, error)| error.to_string()).collect();
        anyhow::anyhow!("--tables: {}", errors.join("; "))
    })?;
    let mut tables = Vec::new();
    let each = |schema: &str, table: &str| {
        if wanted.includes(schema, table) {
            tables.push(TableName::new(schema, table));
        }
    };
    source::tables(&plan.source, None, each).await?;
    tables.sort_unstable();
    if tables.is_empty() {
        bail!("no table of the instance matches --tables '{}'", arguments.tables);
    }
    Ok(tables)
}

impl Verification<'_> {
    async fn all(&self, tables: &[TableName]) -> anyhow::Result<Verdict> {
        let mut verdict = Verdict::Equal;
        for name in tables {
            let own = match self.one(name).await {
                Ok(own) => own,
                Err(reason) => {
                    say(&format!("{name}: cannot be judged: {reason:#}"))?;
                    Verdict::NotJudged
                }
            };
            verdict = verdict.max(own);
        }
        Ok(verdict)
    }

    async fn one(&self, name: &TableName) -> anyhow::Result<Verdict> {
        let Some((table, reading)) = Reading::begin(&self.plan.source.endpoint, name).await? else {
            bail!("the account is not shown its definition");
        };
        let included = self.plan.publication.fields.columns(&table);
        let key = table.primary_key.iter().filter(|column| included.contains(column));
        let key: Vec<String> = key.map(|column| table.columns[*column].name.clone()).collect();
        let names = (&*name.schema, &*name.table);
        let folder = &self.folder;
        let mut comparison = Comparison::new(names, key, Arc::clone(&self.disk), folder)?;
        if self.arguments.complete {
            comparison.set_complete();
        }
        let format = &self.plan.publication.format;
        let places = reading.rows(&table, &included, format, &mut comparison).await?;
        let router = &self.plan.publication.router;
        let own = || router.statement(&name.schema, &name.table).topic.to_string();
        let topic = self.arguments.against.clone().unwrap_or_else(own);
        self.wait_for(&places.end).await?;
        topic::read(&self.connection, &topic, &places, &mut comparison).await?;
        let mut shown = 0;
        let mut lines = Vec::new();
        let report = comparison.finish(|differing| {
            if shown < self.arguments.show {
                lines.extend(describe(differing));
            }
            shown += 1;
        })?;
        self.disk.remove_dir(&self.folder)?;
        say(&format!("{name} against {topic}: {}", summary(&report)))?;
        lines.iter().try_for_each(|line| say(line))?;
        if shown > self.arguments.show {
            say(&format!("  and {} more (--show)", shown - self.arguments.show))?;
        }
        Ok(match (report.differences(), report.not_judged()) {
            (0, 0) => Verdict::Equal,
            (0, _) => Verdict::NotJudged,
            (_, _) => Verdict::Differs,
        })
    }

    /// Until the instance has published what the table may show.
    async fn wait_for(&self, place: &Place) -> anyhow::Result<()> {
        const LOOK: Duration = Duration::from_millis(200);
        let deadline = tokio::time::Instant::now() + Duration::from_secs(self.arguments.wait);
        loop {
            let Some(snapshot) = health::running(self.home).await? else {
                bail!("sluice does not run, so that it is not known how far the topic goes");
            };
            let mut instances = snapshot.instances.into_iter();
            let found = instances.find(|one| one.name == self.instance);
            let Some(InstanceStatus { state, progress, .. }) = found else {
                bail!("the process that runs does not know the instance {}", self.instance);
            };
            let reached = progress.position.map(|Position::MySql(position)| position);
            if reached.as_ref().is_some_and(|at| Place::new(&at.file, at.offset) >= *place) {
                return Ok(());
            }
            if tokio::time::Instant::now() >= deadline {
                let reached = reached.map_or("nowhere yet".to_owned(), |at| at.to_string());
                bail!(
                    "the instance is at {reached} ({}), and not at {place} within {} s (--wait)",
                    state.word(),
                    self.arguments.wait,
                );
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

fn summary(report: &Report) -> String {
    let mut parts = vec![format!(
        "{} rows, {} messages, {} keys judged",
        report.rows, report.messages, report.judged
    )];
    for (difference, count) in &report.differing {
        parts.push(format!("{count} {}", difference.word()));
    }
    if report.differences() == 0 {
        parts.push("none differs".to_owned());
    }
    if report.without_message > 0 {
        let count = report.without_message;
        parts.push(format!("not judged: {count} rows of which the topic has no message"));
    }
    if report.of_older_definition > 0 {
        let count = report.of_older_definition;
        parts.push(format!("not judged: {count} rows that are older than a change of the table"));
    }
    parts.join(", ")
}

/// A key that differs, side by side.
fn describe(differing: &Differing) -> Vec<String> {
    let mut lines = vec![format!("  {} {}", differing.difference.word(), differing.key)];
    for column in &differing.columns {
        let of = |row: &Option<Row>| match row.as_ref().and_then(|row| row.get(column)) {
            Some(Some(value)) => format!("{value:?}"),
            Some(None) => "NULL".to_owned(),
            None => "(no such column)".to_owned(),
        };
        lines.push(format!(
            "    {column}: topic {}, table {}",
            of(&differing.topic),
            of(&differing.table)
        ));
    }
    lines
}
