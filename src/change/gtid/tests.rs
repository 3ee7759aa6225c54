//! GTID sets keep the laws of sets, and their texts and bytes are the server's.

use proptest::prelude::*;

use super::*;

const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
const B: &str = "c6d57bf5-c75f-11f1-8d47-0242ac120002";

fn mysql(text: &str) -> GtidSet {
    GtidSet::parse(Flavor::MySql, text).unwrap()
}

fn mariadb(text: &str) -> GtidSet {
    GtidSet::parse(Flavor::MariaDb, text).unwrap()
}

fn gtid(sid: &str, tag: Option<&str>, gno: u64) -> Gtid {
    Gtid::MySql { sid: sid.parse().unwrap(), tag: tag.map(Arc::from), gno }
}

#[test]
fn the_server_s_texts_are_read_and_written() {
    for text in [
        "",
        &format!("{A}:1-5:7:11-18"),
        &format!("{A}:1-3:tag_a:1-2:7,{B}:9"),
        &format!("{A}:only_tagged:1"),
    ] {
        assert_eq!(mysql(text).to_string(), *text);
    }
    assert_eq!(mariadb("7-2-33,0-1-100").to_string(), "0-1-100,7-2-33");
}

#[test]
fn loose_texts_become_the_server_s() {
    // `@@gtid_executed` breaks lines behind commas; people write upper case and out of order.
    let loose = format!(" {},\n{}:3:1-2:TAG:4,", format!("{B}:1").to_uppercase(), A);
    assert_eq!(mysql(&loose).to_string(), format!("{A}:1-3:tag:4,{B}:1"));
}

#[test]
fn wrong_texts_are_refused_with_the_part_that_is_wrong() {
    for (text, part) in [
        (A.to_owned(), A),
        (format!("{A}:"), ""),
        (format!("{A}:0"), "0"),
        (format!("{A}:5-4"), "5-4"),
        (format!("{A}:1-x"), "1-x"),
        (format!("{A}:9223372036854775807"), "9223372036854775807"),
        (format!("{A}:t-g:1"), "t-g"),
        ("3e11fa47:1".to_owned(), "3e11fa47"),
    ] {
        assert_eq!(GtidSet::parse(Flavor::MySql, &text).unwrap_err().text, part, "{text}");
    }
    for text in ["0-1", "0-1-2-3", "0-x-1", "0-1-5,0-2-6"] {
        assert!(GtidSet::parse(Flavor::MariaDb, text).is_err(), "{text}");
    }
}

#[test]
fn the_next_number_extends_and_a_gap_closes() {
    let mut set = mysql(&format!("{A}:1-5"));
    for (gno, text) in [(6, "1-6"), (8, "1-6:8"), (7, "1-8"), (3, "1-8"), (10, "1-8:10")] {
        set.insert(&gtid(A, None, gno));
        assert_eq!(set.to_string(), format!("{A}:{text}"));
    }
    set.insert(&gtid(A, Some("t"), 1));
    assert_eq!(set.to_string(), format!("{A}:1-8:10:t:1"));
}

#[test]
fn a_mariadb_domain_is_positioned_at_its_last_gtid() {
    let mut set = mariadb("0-1-100,7-2-33");
    set.insert(&Gtid::MariaDb { domain: 0, server: 3, seq: 101 });
    assert_eq!(set.to_string(), "0-3-101,7-2-33");
    assert!(mariadb("0-1-50").is_subset_of(&set));
    assert!(!mariadb("1-1-1").is_subset_of(&set));
    set.subtract(&mariadb("0-1-200"));
    assert_eq!(set.to_string(), "7-2-33");
}

#[test]
fn json_distinguishes_the_flavours_even_when_empty() {
    for set in [
        GtidSet::empty(Flavor::MySql),
        GtidSet::empty(Flavor::MariaDb),
        mysql(&format!("{A}:1-5:tag:7")),
        mariadb("0-1-100"),
    ] {
        let json = serde_json::to_string(&set).unwrap();
        assert_eq!(serde_json::from_str::<GtidSet>(&json).unwrap(), set);
    }
}

#[test]
fn flavours_do_not_mix() {
    let mut set = mysql(&format!("{A}:1-5"));
    set.insert(&Gtid::MariaDb { domain: 0, server: 1, seq: 1 });
    set.union(&mariadb("0-1-5"));
    set.subtract(&mariadb("0-1-5"));
    assert_eq!(set, mysql(&format!("{A}:1-5")));
    assert!(!set.is_subset_of(&mariadb("0-1-5")));
    assert!(GtidSet::empty(Flavor::MySql).is_subset_of(&mariadb("0-1-5")));
}

#[test]
fn variable_length_integers_are_the_library_s() {
    // From the comment in variable_length_integers.h: 65535 takes three bytes, the first of
    // which has two trailing ones.
    for (value, bytes) in [
        (0, &[0b0000_0000][..]),
        (127, &[0b1111_1110]),
        (128, &[0b0000_0001, 0b0000_0010]),
        (65535, &[0b1111_1011, 0b1111_1111, 0b0000_0111]),
        (u64::MAX, &[0xff; 9]),
    ] {
        let mut written = Vec::new();
        varint::write_unsigned(value, &mut written);
        assert_eq!(written, bytes, "{value}");
        assert_eq!(read_unsigned(&mut &written[..]), Some(value));
        assert_eq!(read_unsigned(&mut &written[..written.len() - 1]), None);
    }
    assert_eq!(read_signed(&mut &[0b0000_0110][..]), Some(-2));
}

/// A small world, so that sets meet.
fn some_set() -> impl Strategy<Value = MySqlGtids> {
    let interval = (0..2u8, prop::option::of(0..2u8), 1..40u64, 1..6u64);
    prop::collection::vec(interval, 0..12).prop_map(|intervals| {
        let mut set = MySqlGtids::default();
        for (sid, tag, start, length) in intervals {
            let tag: Option<Arc<str>> = tag.map(|tag| Arc::from(format!("t{tag}")));
            let interval = Interval { start, end: start + length };
            set.insert_interval(Sid([sid; 16]), tag.as_ref(), interval);
        }
        set
    })
}

/// A set as a plain list of what it holds.
fn members(set: &MySqlGtids) -> std::collections::BTreeSet<(Sid, Option<String>, u64)> {
    set.iter()
        .flat_map(|(sid, tag, interval)| {
            let tag = tag.map(str::to_owned);
            (interval.start..interval.end).map(move |gno| (sid, tag.clone(), gno))
        })
        .collect()
}

proptest! {
    #[test]
    fn sets_do_as_plain_sets_do(a in some_set(), b in some_set()) {
        let (plain_a, plain_b) = (members(&a), members(&b));
        let mut union = a.clone();
        union.union(&b);
        prop_assert_eq!(members(&union), plain_a.union(&plain_b).cloned().collect());
        let mut difference = a.clone();
        difference.subtract(&b);
        prop_assert_eq!(members(&difference), plain_a.difference(&plain_b).cloned().collect());
        prop_assert_eq!(a.is_subset_of(&b), plain_a.is_subset(&plain_b));
        for (sid, tag, gno) in &plain_b {
            let held = plain_a.contains(&(*sid, tag.clone(), *gno));
            prop_assert_eq!(a.contains(*sid, tag.as_deref(), *gno), held);
        }
    }

    #[test]
    fn the_order_of_insertion_does_not_count(a in some_set(), b in some_set()) {
        let (mut ab, mut ba) = (a.clone(), b.clone());
        ab.union(&b);
        ba.union(&a);
        prop_assert_eq!(&ab, &ba);
        let mut one_by_one = MySqlGtids::default();
        for (sid, tag, gno) in members(&ab).into_iter().rev() {
            one_by_one.insert(sid, tag.map(Arc::from).as_ref(), gno);
        }
        prop_assert_eq!(one_by_one, ab);
    }

    #[test]
    fn text_and_bytes_come_back(set in some_set()) {
        prop_assert_eq!(&set.to_string().parse::<MySqlGtids>().unwrap(), &set);
        let mut bytes = Vec::new();
        set.encode(&mut bytes);
        prop_assert_eq!(&MySqlGtids::decode(&bytes).unwrap(), &set);
        for cut in 0..bytes.len() {
            prop_assert!(MySqlGtids::decode(&bytes[..cut]).is_err());
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = MySqlGtids::decode(&bytes);
        let mut tagged = vec![1, 3, 0, 0, 0, 0, 0, 1];
        tagged.extend(bytes);
        let _ = MySqlGtids::decode(&tagged);
    }
}
