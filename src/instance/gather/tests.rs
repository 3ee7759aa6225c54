//! Batches and headers of what gathers, whatever is cut, rolled back or too large.

use std::convert::Infallible;

use super::*;

/// One whose topics take anything, but for `small`.
fn gathering() -> Gathering {
    let limit = |topic: &str| if topic == "small" { SMALL } else { usize::MAX };
    Gathering::new(Limits::new(limit))
}

/// What the topic `small` takes.
const SMALL: usize = 1000;

fn place(offset: u64) -> EventPlace {
    EventPlace { file: "binlog.000001".into(), offset, time: 0 }
}

fn say(gathering: &mut Gathering, slot: Slot, offset: u64, text: &str) {
    let head = TransactionHead { gtid: Some("a:1".into()), ..TransactionHead::default() };
    let written: Result<(), Infallible> =
        gathering.message(slot, &place(offset), &head, 0, |out, _| {
            out.extend_from_slice(text.as_bytes());
            Ok(OpenPlaces::default())
        });
    let Ok(()) = written;
}

/// Topic, value and `tx` header of every record of `parts`.
fn read(parts: &[Part]) -> Vec<(String, String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut found = Vec::new();
    for part in parts {
        for record in part.records.records() {
            let mut record = record.unwrap();
            let tx = record.headers.find(|(name, _)| *name == b"tx").unwrap();
            found.push((part.topic.to_string(), text(record.value.unwrap()), text(tx.1.unwrap())));
        }
    }
    found
}

#[test]
fn messages_of_a_transaction_are_numbered_over_all_topics() {
    let mut gathering = gathering();
    let (a, b) = (gathering.slot(&"a".into(), 0, 1), gathering.slot(&"b".into(), 0, 1));
    say(&mut gathering, a, 4, "one");
    say(&mut gathering, b, 5, "two");
    say(&mut gathering, a, 6, "three");
    gathering.end_transaction();
    say(&mut gathering, b, 7, "alone");
    gathering.end_transaction();
    let row = |topic: &str, value: &str, tx: &str| (topic.into(), value.into(), tx.into());
    assert_eq!(
        read(&gathering.take(None)),
        [
            row("a", "one", "0"),
            row("a", "three", "2/end"),
            row("b", "two", "1"),
            row("b", "alone", "0/end")
        ]
    );
    assert_eq!(gathering.bytes(), 0);
}

#[test]
fn slots_of_topics_long_unused_are_forgotten() {
    let mut gathering = gathering();
    let mut first = None;
    for number in 0..3 * MOST_SLOTS {
        let name: Arc<str> = number.to_string().into();
        let slot = gathering.slot(&name, 0, 1);
        first.get_or_insert(slot);
        say(&mut gathering, slot, 4, "row");
        gathering.end_transaction();
        let parts = gathering.take(None);
        assert_eq!((parts.len(), &parts[0].topic), (1, &name));
        assert!(gathering.slots.len() <= MOST_SLOTS + 1);
    }
    assert!(!gathering.has(first.unwrap()));
    let again = gathering.slot(&"0".into(), 0, 1);
    assert!(gathering.has(again));
}

#[test]
fn the_part_with_the_open_record_stays_behind() {
    let mut gathering = gathering();
    let (a, b) = (gathering.slot(&"a".into(), 0, 1), gathering.slot(&"b".into(), 0, 1));
    say(&mut gathering, a, 4, "one");
    say(&mut gathering, b, 5, "two");
    assert_eq!(gathering.take(None).len(), 1);
    gathering.end_transaction();
    assert_eq!(read(&gathering.take(None)), [("b".into(), "two".into(), "1/end".into())]);
}

#[test]
fn a_transaction_is_rolled_back_alone_wherever_its_records_are() {
    let large = "x".repeat(BATCH_BYTES);
    let mut gathering = gathering();
    let slots: Vec<Slot> = ["a", "b", "c"].map(|name| gathering.slot(&name.into(), 0, 1)).to_vec();
    let fill = |gathering: &mut Gathering, all: &[(usize, &str)]| {
        for (slot, text) in all {
            say(gathering, slots[*slot], 4, text);
        }
    };
    let whole = [(0, "one"), (1, "two")];
    let undone = [(0, "x"), (0, &*large), (0, "y"), (0, &*large), (0, "z"), (2, "x"), (1, "x")];
    for count in 0..=undone.len() {
        fill(&mut gathering, &whole);
        gathering.end_transaction();
        let before = gathering.bytes();
        fill(&mut gathering, &undone[..count]);
        gathering.roll_back();
        assert_eq!(gathering.bytes(), before, "after {count} messages");
        fill(&mut gathering, &[(2, "next")]);
        gathering.end_transaction();
        let row = |topic: &str, value: &str, tx: &str| (topic.into(), value.into(), tx.into());
        let mut found = read(&gathering.take(None));
        found.sort();
        let wanted = [row("a", "one", "0"), row("b", "two", "1/end"), row("c", "next", "0/end")];
        assert_eq!(found, wanted, "after {count} messages");
    }
}

#[test]
fn a_batch_is_cut_before_the_record_that_follows_its_limit() {
    let mut gathering = gathering();
    let a = gathering.slot(&"a".into(), 0, 1);
    let large = "x".repeat(BATCH_BYTES);
    say(&mut gathering, a, 4, &large);
    say(&mut gathering, a, 5, "small");
    gathering.end_transaction();
    let parts = gathering.take(None);
    assert_eq!(parts.iter().map(|part| part.records.count()).collect::<Vec<_>>(), [1, 1]);
}

/// Adds a message with as many letters as there is room for, less `spare`.
fn fill(gathering: &mut Gathering, slot: Slot, spare: usize) -> usize {
    let mut length = 0;
    let written: Result<(), Infallible> =
        gathering.message(slot, &place(4), &TransactionHead::default(), 0, |out, room| {
            length = room.value.saturating_sub(spare);
            out.resize(out.len() + length, b'x');
            Ok(OpenPlaces::default())
        });
    let Ok(()) = written;
    length
}

#[test]
fn no_batch_is_larger_than_its_topic_takes_and_one_may_be_as_large() {
    let mut gathering = gathering();
    let slot = gathering.slot(&"small".into(), 0, 1);
    fill(&mut gathering, slot, 0);
    gathering.end_transaction();
    assert_eq!(gathering.take(None)[0].records.len(), SMALL);
    let mut lengths = Vec::new();
    for spare in 0..SMALL {
        lengths.push(fill(&mut gathering, slot, spare));
        if spare % 7 == 0 {
            gathering.end_transaction();
        }
        if spare % 100 == 50 {
            let before = gathering.bytes();
            gathering.end_transaction();
            fill(&mut gathering, slot, spare / 2);
            fill(&mut gathering, slot, 0);
            gathering.roll_back();
            assert!(gathering.bytes().abs_diff(before) < 100);
        }
    }
    gathering.end_transaction();
    let parts = gathering.take(None);
    assert!(parts.iter().all(|part| part.records.len() <= SMALL));
    let read: Vec<usize> = read(&parts).iter().map(|(_, value, _)| value.len()).collect();
    assert_eq!(read, lengths);
}

#[test]
fn a_batch_of_a_branch_has_room_for_what_it_lacks() {
    const LATER: usize = 500;
    let branch: Arc<Xid> = Arc::new("X'61',X'',1".parse().unwrap());
    let limits = Limits::new(|_| 4096);
    let mut gathering = Gathering::of_branches(limits);
    let slot = gathering.slot(&"small".into(), 0, 1);
    let mut cutter = held::Cutter::default();
    for spare in 0..1000 {
        let place = place(4);
        let written: Result<(), Infallible> =
            gathering.message(slot, &place, &TransactionHead::default(), LATER, |out, room| {
                out.resize(out.len() + room.value.saturating_sub(2 * spare), b'x');
                Ok(OpenPlaces::default())
            });
        let Ok(()) = written;
    }
    gathering.end_transaction();
    let mut pieces: Vec<Vec<u8>> =
        gathering.take(Some(&branch)).into_iter().flat_map(|part| cutter.push(part)).collect();
    pieces.extend(cutter.finish());
    let (binlog, gtid, set) = ("b".repeat(300), "g".repeat(400), "s".repeat(LATER));
    let texts = [set.as_bytes(), b"", b""];
    let closing = held::Closing { binlog: &binlog, gtid: Some(&gtid), texts };
    let (mut joiner, mut sizes) = (held::Joiner::default(), Vec::new());
    for piece in pieces {
        joiner.push(&piece);
        while let Some(part) = joiner.next(&closing).unwrap() {
            sizes.push(part.records.len());
        }
    }
    assert!(sizes.iter().all(|size| *size <= 4096), "{sizes:?}");
    assert!(sizes.len() > 100);
}
