//! What each error leads to, and that whoever has to do something is told what.

use super::*;
use crate::change::MySqlPosition;

#[test]
fn the_advice_fits_what_a_topic_refuses() {
    let (text, number) = (String::new, 0);
    for (reason, word) in [
        (Refusal::TooLarge { size: number, max: number }, "max.message.bytes"),
        (Refusal::Name(text()), "another name"),
        (Refusal::Owned(text()), "one instance only"),
        (Refusal::Partitions(0, text()), "partitionsNum"),
        (Refusal::NoPartition(0), "canal.mq.partition be less"),
        (Refusal::Setting(text(), text()), "report it"),
        (Refusal::Settings, "kafka.topic.*"),
        (Refusal::Unauthorized("WRITE"), "kafka-acls.sh"),
        (Refusal::Replication, "fewer copies"),
        (Refusal::Policy, "by hand"),
        (Refusal::Record(""), "change the setting"),
        (Refusal::Internal(text()), "kafka-configs.sh"),
        (Refusal::Offline(text(), text()), "SLUICE_LOG_ACCEPT_DAMAGE"),
    ] {
        let error = Error::from(sink::Error::Refused { topic: text(), reason });
        let (Reaction::Stop { advice } | Reaction::RetryOnce { advice }) = to(&error) else {
            panic!("{error} does not stop")
        };
        assert!(advice.contains(word), "{error}: {advice}");
    }
}

#[test]
fn pauses_grow_to_half_a_minute_and_begin_anew_after_progress() {
    let mut back_off = BackOff::default();
    let pauses: Vec<u128> = (0..8).map(|_| back_off.next().as_millis()).collect();
    assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
    back_off.reset();
    assert_eq!(back_off.next(), BackOff::FIRST);
}

fn place() -> EventPlace {
    EventPlace { file: "binlog.000007".into(), offset: 4711, time: 0 }
}

fn position() -> MySqlPosition {
    MySqlPosition {
        file: "binlog.000007".into(),
        offset: 4711,
        server_uuid: "u".into(),
        ..MySqlPosition::default()
    }
}

/// What the user is told to do, where an instance does not go on by itself.
fn way_out(error: &source::Error) -> &'static str {
    use source::Error;
    match error {
        Error::Schema { .. }
        | Error::Capture(_)
        | Error::Event { .. }
        | Error::Broken(_)
        | Error::Reset { .. }
        | Error::OtherServer { .. }
        | Error::NoPlace { .. }
        | Error::Refused { .. } => "position set",
        Error::Statement { .. } => "sluice.statement=publish",
        Error::Copied { .. } => "sluice.snapshot=none",
        Error::UnknownBranch { .. } => "sluice.xa.unknown=skip",
        Error::NoBinlog { .. } => "set log_bin",
        Error::Purged { .. } | Error::GtidHole { .. } => "position reset",
        Error::Unproved { .. } | Error::Cut { .. } => "--file binlog.000001 --offset 4",
        Error::Doubtful { .. } => "--file binlog.000007 --offset 4711",
        Error::Start(_) => "canal.instance.master.journal.name",
        Error::MetaDat { .. } => "mend or remove the file",
        // Those go on by themselves.
        Error::WithoutBinlog { .. } => "goes on by itself",
        Error::SameId { .. } => "canal.instance.mysql.slaveId",
        Error::ZoneChanged { .. } => "set sluice.timezone",
        // Who makes those says it (`mysql::error`, `source::policies`, `parking`, `source::check`).
        Error::Mysql(_)
        | Error::Rows { .. }
        | Error::Unsupported { .. }
        | Error::Requirements(_)
        // And of those `to_failover` does.
        | Error::Behind { .. }
        | Error::Lacks { .. }
        | Error::Heartbeat { .. }
        | Error::Closed => "",
    }
}

#[test]
fn each_stop_of_a_source_says_what_to_do() {
    use source::Error;
    let (text, file) = (String::new, || crate::change::FileName::from("binlog.000007"));
    let history = || schema::Error::History { key: text(), reason: text() };
    let all = [
        Error::Schema { place: place(), source: history() },
        Error::Capture(history()),
        Error::Event { place: place(), what: text(), source: crate::binlog::Error::Checksum },
        Error::Broken(text()),
        Error::Statement { place: place() },
        Error::Copied { failed: Vec::new() },
        Error::UnknownBranch { place: place(), xid: text() },
        Error::NoBinlog { address: text() },
        Error::Purged { file: file(), position: Box::new(position()), has: text() },
        Error::GtidHole { missing: text() },
        Error::Unproved {
            file: file(),
            position: Box::new(position()),
            oldest: "binlog.000001".into(),
        },
        Error::Cut {
            file: file(),
            size: 4,
            position: Box::new(position()),
            oldest: "binlog.000001".into(),
        },
        Error::Reset { file: file(), position: Box::new(position()), made: 1, expected: 2 },
        Error::OtherServer { position: Box::new(position()), was: text(), is: text() },
        Error::NoPlace { position: Box::new(position()), address: text(), reason: text() },
        Error::Refused { position: Box::new(position()), message: text() },
        Error::Doubtful { place: place() },
        Error::Start(text()),
        Error::MetaDat { path: "meta.dat".into(), reason: text() },
        Error::WithoutBinlog { address: text(), position: Box::new(position()) },
        Error::SameId { address: text(), server_id: 7 },
        Error::ZoneChanged { address: text(), was: text(), is: text() },
        Error::Behind { address: text(), lost: text() },
        Error::Lacks { address: text(), lacking: text() },
        Error::Heartbeat { address: text(), failed: 3, reason: text() },
        Error::Closed,
    ];
    for error in all {
        let wanted = way_out(&error);
        let error = super::Error::from(error);
        let (stops, advice) = match to(&error) {
            Reaction::Stop { advice } | Reaction::RetryOnce { advice } => (true, advice),
            Reaction::Retry | Reaction::Wait => (false, ""),
            other @ (Reaction::Elsewhere | Reaction::Lost { .. }) => panic!("{error}: {other:?}"),
        };
        let said = format!("{error}; {advice}");
        assert!(said.contains(wanted), "{wanted} is not in: {said}");
        assert!(!stops || !wanted.is_empty(), "{said}");
    }
    let lost = Next::Lost { lost: text(), address: "b:3306".to_owned(), by_gtid: true };
    let behind = super::Error::from(Error::Behind { address: text(), lost: text() });
    let Reaction::Lost { advice } = to_failover(lost, &behind, "shop") else { panic!() };
    assert!(advice.contains("position accept-loss shop --server b:3306"), "{advice}");
}
