//! Boards in, messages out.

use super::*;
use crate::change::ParkedTable;
use crate::control::{Board, Retention, RetentionLevel};

const S: i64 = 1000;

fn rules() -> Rules {
    Rules {
        repeat: Some(Duration::from_mins(10)),
        state: Some(Duration::from_mins(1)),
        lag: Some(Duration::from_mins(5)),
        retention_percent: 50,
        free_bytes: 1 << 30,
        calm: Duration::from_secs(10),
    }
}

fn serving() -> Board {
    let board = Board::new();
    board.phase(Phase::Serving);
    board
}

/// The messages of each second from `from` up to `to`, as `second status text`.
fn steps(alerts: &mut Alerts, board: &Board, from: i64, to: i64) -> Vec<String> {
    let snapshot = board.snapshot();
    let mut said = Vec::new();
    for second in from..to {
        for message in alerts.step(&snapshot, &rules(), second * S) {
            let (status, text) = (message.status.word(), message.text);
            said.push(format!("{second} {} {status} {text}", message.kind.word()));
        }
    }
    said
}

#[test]
fn a_state_is_told_once_when_it_lasts_again_as_set_and_when_it_is_over() {
    let (board, mut alerts) = (serving(), Alerts::default());
    let reporter = board.instance("a", 0);
    let stopped = InstanceState::Stopped {
        reason: "b.1 was purged".to_owned(),
        advice: "sluice position reset a".to_owned(),
    };
    reporter.state(stopped, 0);
    let text = "instance a is stopped: b.1 was purged: sluice position reset a";
    assert_eq!(steps(&mut alerts, &board, 0, 60), Vec::<String>::new());
    assert_eq!(steps(&mut alerts, &board, 60, 600), [format!("60 state firing {text}")]);
    assert_eq!(alerts.firing(Kind::State), 1);
    let again = steps(&mut alerts, &board, 600, 1900);
    assert_eq!(again, [660, 1260, 1860].map(|at| format!("{at} state repeated {text}")));
    reporter.state(InstanceState::Running, 1900);
    let over = steps(&mut alerts, &board, 1900, 2900);
    assert_eq!(over, [format!("1909 state resolved over: {text}")]);
    assert_eq!(alerts.firing(Kind::State), 0);
}

/// One that tries again has another reason each time, and is started in between.
#[test]
fn a_state_that_comes_and_goes_is_one_condition() {
    let (board, mut alerts) = (serving(), Alerts::default());
    let reporter = board.instance("a", 0);
    let mut said = Vec::new();
    for round in 0..20 {
        let reason = format!("refused {round}");
        reporter.state(InstanceState::Retrying { reason }, 0);
        said.extend(steps(&mut alerts, &board, round * 10, round * 10 + 5));
        reporter.state(InstanceState::Starting, 0);
        said.extend(steps(&mut alerts, &board, round * 10 + 5, round * 10 + 8));
        reporter.state(InstanceState::Running, 0);
        said.extend(steps(&mut alerts, &board, round * 10 + 8, round * 10 + 10));
    }
    assert_eq!(said, ["60 state firing instance a is retrying: refused 6"]);
}

#[test]
fn what_was_never_told_is_never_over() {
    let (board, mut alerts) = (serving(), Alerts::default());
    let reporter = board.instance("a", 0);
    assert!(steps(&mut alerts, &board, 0, 50).is_empty());
    reporter.state(InstanceState::Running, 0);
    assert!(steps(&mut alerts, &board, 50, 500).is_empty());
    assert!(alerts.open.is_empty());
}

#[test]
fn lag_and_retention_are_told_beyond_their_limits() {
    let (board, mut alerts) = (serving(), Alerts::default());
    let reporter = board.instance("a", 0);
    reporter.state(InstanceState::Running, 0);
    let left = |used_percent| Retention {
        seconds: Some(3600),
        bytes: Some(5 << 30),
        files: 3,
        used_percent,
        level: RetentionLevel::Ok,
    };
    reporter.behind(300_000, Some(left(49)));
    assert!(steps(&mut alerts, &board, 0, 100).is_empty());
    reporter.behind(301_000, Some(left(50)));
    assert_eq!(
        steps(&mut alerts, &board, 100, 200),
        [
            "100 lag firing instance a is 301 s behind its server (more than 300 s)",
            "100 retention firing 50 % of the retention of the server of instance a are used up: it \
             may purge in 3600 s or after 5 GiB more what is still needed of its binlog",
        ]
    );
    reporter.behind(0, Some(left(10)));
    assert_eq!(steps(&mut alerts, &board, 200, 300).len(), 2);
}

#[test]
fn parked_tables_damage_and_the_disk_are_told_at_once_and_again_when_it_gets_worse() {
    let (board, mut alerts) = (serving(), Alerts::default());
    let reporter = board.instance("a", 0);
    reporter.state(InstanceState::Running, 0);
    let table = |name: &str| ParkedTable {
        schema: "db".to_owned(),
        table: name.to_owned(),
        events: 7,
        ..ParkedTable::default()
    };
    reporter.parked(vec![table("t")]);
    board.damage(vec!["orders-0: segment 0 at byte 7".to_owned()]);
    board.free_bytes(Some(1 << 29));
    assert_eq!(
        steps(&mut alerts, &board, 0, 30),
        [
            "0 parked firing instance a keeps 7 changes aside, of db.t: `bin/sluice instance show \
             a` says why",
            "0 damage firing the log is damaged: orders-0: segment 0 at byte 7",
            "0 disk firing the disk of the log has 512 MiB left (less than 1 GiB): make room, or \
             shorten log.retention",
        ]
    );
    reporter.parked(vec![table("t"), table("u")]);
    board.damage((0..7).map(|n| format!("orders-{n}")).collect());
    board.log(vec!["it refuses what is written to it: no space".to_owned()]);
    let worse = steps(&mut alerts, &board, 30, 120);
    assert_eq!(
        worse,
        [
            "60 parked firing instance a keeps 14 changes aside, of db.t; db.u: `bin/sluice \
             instance show a` says why",
            "60 damage firing the log is damaged: orders-0; orders-1; orders-2; orders-3; \
             orders-4; and 2 more",
            "60 disk firing the log: it refuses what is written to it: no space",
        ]
    );
    reporter.parked(Vec::new());
    board.damage(Vec::new());
    board.log(Vec::new());
    board.free_bytes(Some(1 << 31));
    assert_eq!(steps(&mut alerts, &board, 120, 200).len(), 3);
}

#[test]
fn what_another_process_runs_and_what_ends_is_nobodys_alert() {
    let (board, mut alerts) = (serving(), Alerts::default());
    let reporter = board.instance("a", 0);
    reporter.state(InstanceState::Standby { active: None }, 0);
    reporter.behind(900_000, None);
    assert!(steps(&mut alerts, &board, 0, 100).is_empty());
    reporter.state(InstanceState::Running, 0);
    board.phase(Phase::Draining);
    assert!(steps(&mut alerts, &board, 100, 200).is_empty());
}

#[test]
fn an_instance_that_is_removed_is_over() {
    let (board, mut alerts) = (serving(), Alerts::default());
    board.instance("a", 0);
    assert_eq!(steps(&mut alerts, &board, 0, 100).len(), 1);
    board.remove("a");
    let over = steps(&mut alerts, &board, 100, 200);
    assert_eq!(over, ["109 state resolved over: instance a is starting"]);
}
