//! What instances did, by table, by kind of change and by stage, as metrics.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::ParserLabel;
use crate::control::{BOUNDS, Counts, Latency, Stages, Tally};

/// A number of a table: name, help, and where it is found.
type Number = (&'static str, &'static str, fn(&Tally) -> u64);

/// What stands for a table that is not among the busiest.
const OTHER: &str = "other";

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Counted(pub(super) Vec<Counts>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TableLabel {
    destination: String,
    schema: String,
    table: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RowsLabel {
    destination: String,
    schema: String,
    table: String,
    r#type: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TypeLabel {
    destination: String,
    r#type: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabel {
    destination: String,
    stage: &'static str,
}

impl Collector for Counted {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.kinds(&mut encoder)?;
        self.tables(&mut encoder)?;
        self.stages(&mut encoder)
    }
}

/// The rows of each type.
fn types(tally: &Tally) -> [(&'static str, u64); 3] {
    [("insert", tally.inserted), ("update", tally.updated), ("delete", tally.deleted)]
}

impl Counted {
    fn kinds(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let name = "sluice_instance_changes";
        let help = "Rows inserted, updated and deleted, and statements, made durable";
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for one in &self.0 {
            let statements = [("statement", one.statements)];
            for (r#type, count) in types(&one.all).into_iter().chain(statements) {
                let label = TypeLabel { destination: one.instance.clone(), r#type };
                ConstCounter::new(count).encode(family.encode_family(&label)?)?;
            }
        }
        Ok(())
    }

    fn tables(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let name = "sluice_table_rows";
        let help = "Rows of the busiest tables made durable, by type of change";
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (label, tally) in self.each_table() {
            for (r#type, count) in types(&tally) {
                let TableLabel { destination, schema, table } = label.clone();
                let label = RowsLabel { destination, schema, table, r#type };
                ConstCounter::new(count).encode(family.encode_family(&label)?)?;
            }
        }
        let numbers: [Number; 2] = [
            ("sluice_table_messages", "Messages of the busiest tables", |tally| tally.messages),
            ("sluice_table_message_bytes", "Bytes of their messages", |tally| tally.bytes),
        ];
        for (name, help, number) in numbers {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (label, tally) in self.each_table() {
                ConstCounter::new(number(&tally)).encode(family.encode_family(&label)?)?;
            }
        }
        Ok(())
    }

    /// The busiest tables, and behind those of an instance its others as one.
    fn each_table(&self) -> impl Iterator<Item = (TableLabel, Tally)> {
        self.0.iter().flat_map(|one| {
            let label = |schema: &str, table: &str| TableLabel {
                destination: one.instance.clone(),
                schema: schema.to_owned(),
                table: table.to_owned(),
            };
            let named = one.tables.iter();
            let named = named.map(move |(name, tally)| (label(&name.schema, &name.table), *tally));
            named.chain([(label("", OTHER), one.others)])
        })
    }

    fn stages(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let name = "sluice_instance_stage_seconds";
        let help = "How long changes are in each stage: queue, encode, commit";
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for one in &self.0 {
            let Stages { queue, encode, commit, blocked: _ } = &one.stages;
            for (stage, latency) in [("queue", queue), ("encode", encode), ("commit", commit)] {
                let label = StageLabel { destination: one.instance.clone(), stage };
                encode_latency(latency, family.encode_family(&label)?)?;
            }
        }
        let name = "canal_instance_publish_blocking_time";
        let help = "Milliseconds that reading the binlog waited for the pipeline";
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for one in &self.0 {
            let label = ParserLabel { destination: one.instance.clone(), parser: "0" };
            let millis = i64::try_from(one.stages.blocked / 1000).unwrap_or(i64::MAX);
            ConstGauge::new(millis).encode(family.encode_family(&label)?)?;
        }
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "a float is what the format has")]
fn encode_latency(
    latency: &Latency,
    mut to: prometheus_client::encoding::MetricEncoder<'_>,
) -> fmt::Result {
    let seconds = |micros: u64| micros as f64 / 1e6;
    let ends = BOUNDS.iter().map(|bound| seconds(*bound)).chain([f64::INFINITY]);
    let buckets: Vec<(f64, u64)> = ends.zip(latency.counts).collect();
    let count = latency.counts.iter().sum();
    to.encode_histogram::<NoLabelSet>(seconds(latency.sum), count, &buckets, None)
}
