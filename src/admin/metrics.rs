//! The metrics of the instances, made from a snapshot at each question.
//!
//! Canal's names, label `destination`, where they mean something here, so that dashboards
//! made for Canal go on working; ours as `sluice_*`. Canal's delay is the age of the last
//! event, which grows while nothing happens; ours is 0 when nothing is outstanding. Canal's numbers of
//! its own clients (`canal_instance_client_*`, `get_*`, `ack_*`) have no meaning here: consumers are
//! Kafka's, and counted as groups (`sluice_group_*`).

mod counts;

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, text};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::control::{
    Board, Copying, InstanceState, InstanceStatus, Kind, Phase, Retention, Snapshot,
};

pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The whole page.
pub(super) fn text(board: &Board, extra: &dyn Fn(&mut Registry)) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Instances(board.snapshot())));
    registry.register_collector(Box::new(counts::Counted(board.counts())));
    extra(&mut registry);
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Instances(Snapshot);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Destination {
    destination: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Mode {
    destination: String,
    mode: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    destination: String,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ParserLabel {
    destination: String,
    parser: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FileLabel {
    destination: String,
    file: String,
}

/// A number of an instance: name, help, whether it only rises, and where it is found.
type Number = (&'static str, &'static str, bool, fn(&InstanceStatus) -> u64);

const NUMBERS: &[Number] = &[
    ("canal_instance_transactions", "Transactions made durable", false, |one| {
        one.progress.transactions
    }),
    ("canal_instance_put_rows", "Rows made durable", false, |one| one.progress.rows),
    ("canal_instance_traffic_delay", "Milliseconds behind the server", false, |one| {
        one.progress.delay_ms
    }),
    ("canal_instance_put_delay", "Milliseconds behind the server", false, |one| {
        one.progress.delay_ms
    }),
    ("canal_instance_store_produce_seq", "Messages made durable", false, |one| {
        one.progress.messages
    }),
    ("canal_instance_store_produce_mem", "Bytes of messages made durable", false, |one| {
        one.progress.bytes
    }),
    ("sluice_instance_transactions", "Transactions made durable", true, |one| {
        one.progress.transactions
    }),
    ("sluice_instance_received_bytes", "Bytes of binlog received", true, |one| {
        one.progress.received_bytes
    }),
    ("sluice_instance_skipped_events", "Binlog events left out as harmless", true, |one| {
        one.progress.skipped_events
    }),
    (
        "sluice_instance_dropped_rows_events",
        "Rows events dropped because their table has no definition",
        true,
        |one| one.progress.dropped_rows_events,
    ),
    (
        "sluice_instance_unknown_xa_rollbacks",
        "XA ROLLBACKs of branches that were not held",
        true,
        |one| one.progress.unknown_rollbacks,
    ),
    ("sluice_instance_copied_rows", "Rows of tables that were copied", false, |one| {
        one.progress.copying.as_ref().map_or(0, |copying| copying.rows)
    }),
    ("sluice_instance_tables_to_copy", "Tables still to be copied", false, |one| {
        let left = |copying: &Copying| copying.tables - copying.done - copying.failed;
        one.progress.copying.as_ref().map_or(0, left) as u64
    }),
    ("sluice_instance_failed_copies", "Tables that could not be copied", false, |one| {
        one.progress.copying.as_ref().map_or(0, |copying| copying.failed) as u64
    }),
    ("sluice_instance_parked_tables", "Tables whose changes are kept aside", false, |one| {
        one.progress.parked.len() as u64
    }),
    (
        "sluice_instance_heard_milliseconds",
        "When the server was last heard, since 1970",
        false,
        |one| one.progress.heard_ms,
    ),
    ("sluice_instance_rows", "Rows made durable", true, |one| one.progress.rows),
    ("sluice_instance_messages", "Messages made durable", true, |one| one.progress.messages),
    ("sluice_instance_message_bytes", "Bytes of messages made durable", true, |one| {
        one.progress.bytes
    }),
    ("sluice_instance_delay_milliseconds", "How far behind the server", false, |one| {
        one.progress.delay_ms
    }),
];

/// A number of what is left of a server's retention: name, help, and where it is found.
type Left = (&'static str, &'static str, fn(&Retention) -> Option<u64>);

const RETENTION: &[Left] = &[
    (
        "sluice_instance_retention_seconds",
        "Until the server may purge for its age what is still needed of its binlog",
        |left| left.seconds,
    ),
    (
        "sluice_instance_retention_bytes",
        "What the server may write until it purges for the size what is still needed",
        |left| left.bytes,
    ),
    (
        "sluice_instance_retention_files",
        "Binlog files that the server purges before the one that is still needed",
        |left| Some(left.files),
    ),
    (
        "sluice_instance_retention_used_percent",
        "How much of the time or size is used up; 50 is a warning, 75 an alarm",
        |left| Some(u64::from(left.used_percent)),
    ),
];

impl Collector for Instances {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Self(snapshot) = self;
        let serving = ConstGauge::new(i64::from(snapshot.phase == Phase::Serving));
        let to = encoder.encode_descriptor(
            "sluice_serving",
            "1 while the process serves",
            None,
            serving.metric_type(),
        )?;
        serving.encode(to)?;
        let refused = ConstGauge::new(i64::from(!snapshot.refused.is_empty()));
        let to = encoder.encode_descriptor(
            "sluice_configuration_refused",
            "Whether the configuration as it is written now is not taken up (1) or is (0)",
            None,
            refused.metric_type(),
        )?;
        refused.encode(to)?;
        let damage = ConstGauge::new(i64::try_from(snapshot.damage.len()).unwrap_or(i64::MAX));
        let to = encoder.encode_descriptor(
            "sluice_log_offline_partitions",
            "Partitions that are offline because a file of theirs is not as it was written",
            None,
            damage.metric_type(),
        )?;
        damage.encode(to)?;
        for (name, help, rises, number) in NUMBERS {
            self.number(&mut encoder, name, help, *rises, *number)?;
        }
        self.states(&mut encoder)?;
        self.alerts(&mut encoder)?;
        self.through(&mut encoder)?;
        self.retention(&mut encoder)?;
        self.positions(&mut encoder)
    }
}

impl Instances {
    fn number(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        rises: bool,
        number: fn(&InstanceStatus) -> u64,
    ) -> fmt::Result {
        use prometheus_client::metrics::MetricType;
        let kind = if rises { MetricType::Counter } else { MetricType::Gauge };
        let mut family = encoder.encode_descriptor(name, help, None, kind)?;
        for one in &self.0.instances {
            let label = Destination { destination: one.name.clone() };
            let to = family.encode_family(&label)?;
            let value = number(one);
            if rises {
                ConstCounter::new(value).encode(to)?;
            } else {
                ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(to)?;
            }
        }
        Ok(())
    }

    fn states(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        use prometheus_client::metrics::MetricType::Gauge;
        let mut family =
            encoder.encode_descriptor("canal_instance", "1 for each instance", None, Gauge)?;
        for one in &self.0.instances {
            let label = Mode { destination: one.name.clone(), mode: "embedded" };
            ConstGauge::new(1_i64).encode(family.encode_family(&label)?)?;
        }
        let help = "Bytes of binlog received";
        let name = "canal_instance_received_binlog_bytes";
        let mut family = encoder.encode_descriptor(name, help, None, Gauge)?;
        for one in &self.0.instances {
            // Canal's other parser is that of the standby.
            let label = ParserLabel { destination: one.name.clone(), parser: "0" };
            let bytes = i64::try_from(one.progress.received_bytes).unwrap_or(i64::MAX);
            ConstGauge::new(bytes).encode(family.encode_family(&label)?)?;
        }
        let mut family = encoder.encode_descriptor(
            "sluice_instance_state",
            "1 for the state an instance is in",
            None,
            Gauge,
        )?;
        for one in &self.0.instances {
            let label = StateLabel { destination: one.name.clone(), state: one.state.word() };
            ConstGauge::new(1_i64).encode(family.encode_family(&label)?)?;
        }
        let mut family = encoder.encode_descriptor(
            "sluice_instance_up",
            "1 while an instance runs",
            None,
            Gauge,
        )?;
        for one in &self.0.instances {
            let label = Destination { destination: one.name.clone() };
            let up = ConstGauge::new(i64::from(one.state == InstanceState::Running));
            up.encode(family.encode_family(&label)?)?;
        }
        Ok(())
    }

    /// What became of alerts.
    fn alerts(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        use prometheus_client::metrics::MetricType::{Counter, Gauge};
        let status = &self.0.alerts;
        let help = "Alerts that are told and not over";
        let mut family = encoder.encode_descriptor("sluice_alerts_firing", help, None, Gauge)?;
        for kind in Kind::ALL {
            let firing = status.firing.get(&kind).copied().unwrap_or_default();
            let firing = ConstGauge::new(i64::try_from(firing).unwrap_or(i64::MAX));
            firing.encode(family.encode_family(&KindLabel { kind: kind.word() })?)?;
        }
        for (name, help, count) in [
            ("sluice_alerts_sent", "Alerts that their receiver took", status.sent),
            ("sluice_alerts_failed", "Alerts that were given up", status.failed),
        ] {
            let to = encoder.encode_descriptor(name, help, None, Counter)?;
            ConstCounter::new(count).encode(to)?;
        }
        Ok(())
    }

    /// How long ago something came through, of instances of which anything has.
    fn through(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        use prometheus_client::metrics::MetricType::Gauge;
        let mut family = encoder.encode_descriptor(
            "sluice_instance_through_age_seconds",
            "Since a transaction or a heartbeat last went from the server through to consumers",
            None,
            Gauge,
        )?;
        for one in &self.0.instances {
            let Some(ago) = one.progress.through_seconds_ago else { continue };
            let label = Destination { destination: one.name.clone() };
            let ago = ConstGauge::new(i64::try_from(ago).unwrap_or(i64::MAX));
            ago.encode(family.encode_family(&label)?)?;
        }
        Ok(())
    }

    /// Of an instance whose server has a limit, and has been asked.
    fn retention(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        use prometheus_client::metrics::MetricType::Gauge;
        for (name, help, number) in RETENTION {
            let mut family = encoder.encode_descriptor(name, help, None, Gauge)?;
            for one in &self.0.instances {
                let Some(value) = one.progress.retention.as_ref().and_then(number) else {
                    continue;
                };
                let label = Destination { destination: one.name.clone() };
                let value = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
                value.encode(family.encode_family(&label)?)?;
            }
        }
        Ok(())
    }

    fn positions(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        use prometheus_client::metrics::MetricType::Gauge;
        let mut family = encoder.encode_descriptor(
            "sluice_instance_position",
            "Durable offset in the binlog file",
            None,
            Gauge,
        )?;
        for one in &self.0.instances {
            let Some(position) = &one.progress.position else { continue };
            let label =
                FileLabel { destination: one.name.clone(), file: position.file().to_owned() };
            let offset = i64::try_from(position.offset()).unwrap_or(i64::MAX);
            ConstGauge::new(offset).encode(family.encode_family(&label)?)?;
        }
        Ok(())
    }
}
