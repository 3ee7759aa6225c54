//! What is written comes back, an older build's record is read, and a large set is not written
//! for each commit.

use super::*;
use crate::change::{Commit, Gtid, Sid};

fn position(gtid_set: Executed) -> MySqlPosition {
    MySqlPosition {
        file: "binlog.000007".into(),
        offset: (1 << 32) + 5,
        gtid_set,
        by_gtid: true,
        server_uuid: "5d371c25-eaf9-11f1-acab-02fc00000001".into(),
        file_created: 7,
        event_time: 8,
        server_time: 9,
        ..MySqlPosition::default()
    }
}

/// What a log holds of a position: the newest record of each key.
#[derive(Default)]
struct Stored {
    position: Option<Bytes>,
    base: Option<Bytes>,
}

impl Stored {
    fn take(&mut self, written: Written) {
        self.position = Some(written.position);
        self.base = written.base.or(self.base.take());
    }

    fn read(&self) -> Result<(PositionRecords, Option<Position>), PositionError> {
        PositionRecords::read(self.position.as_deref(), self.base.as_deref())
    }
}

fn sid(number: u16) -> Sid {
    let [high, low] = number.to_be_bytes();
    Sid([high, low, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16])
}

fn large_set(uuids: u16) -> GtidSet {
    let mut set = GtidSet::empty(Flavor::MySql);
    for number in 0..uuids {
        set.insert(&Gtid::MySql { sid: sid(number), tag: None, gno: 1 });
    }
    set
}

fn commit(gtid: Gtid, offset: u64) -> Commit {
    Commit {
        server_uuid: "server".into(),
        by_gtid: false,
        file: "binlog.000001".into(),
        offset,
        file_created: 1,
        event_time: 2,
        server_time: 0,
        gtid: Some(gtid),
        filtered: Vec::new(),
        state: Vec::new(),
        branch: None,
        trail: None,
        prepared: None,
    }
}

#[test]
fn what_is_written_comes_back() {
    let mysql = GtidSet::parse(Flavor::MySql, "5d371c25-eaf9-11f1-acab-02fc00000001:1-9:t:3");
    let mariadb = GtidSet::parse(Flavor::MariaDb, "0-1-100,7-2-33");
    for gtid_set in [
        Executed::Absent,
        Executed::Uncounted,
        mysql.unwrap().into(),
        mariadb.unwrap().into(),
        GtidSet::empty(Flavor::MariaDb).into(),
    ] {
        let prepared = Prepared {
            server: "u".into(),
            file: "binlog.000001".into(),
            offset: 7,
            xids: vec!["X'7831',X'',1".to_owned()],
        };
        let position = MySqlPosition { prepared: Some(prepared.into()), ..position(gtid_set) };
        let position = Position::from(position);
        let mut stored = Stored::default();
        stored.take(PositionRecords::default().write(&position).unwrap());
        assert_eq!(stored.read().unwrap().1, Some(position));
    }
    assert_eq!(PositionRecords::read(None, None).unwrap().1, None);
}

/// Records as the builds before wrote them; those of MySQL and of MariaDB.
#[test]
fn a_record_of_version_1_is_read() {
    const MYSQL: &str = r#"{"file":"binlog.000001","offset":2562,"gtid_set":{"flavor":"mysql",
        "text":"5d371c25-eaf9-11f1-acab-02fc00000001:1-9"},
        "server_uuid":"5d371c25-eaf9-11f1-acab-02fc00000001","file_created":7,"event_time":8}"#;
    const MARIADB: &str = r#"{"file":"binlog.000003","offset":4,
        "gtid_set":{"flavor":"mariadb","text":"0-1-100"},
        "server_uuid":"server-id:2","file_created":7,"event_time":0}"#;
    const WITHOUT: &str = r#"{"file":"binlog.000003","offset":4,"server_uuid":"u",
        "file_created":0,"event_time":0}"#;
    for (json, set) in [
        (MYSQL, Some("5d371c25-eaf9-11f1-acab-02fc00000001:1-9")),
        (MARIADB, Some("0-1-100")),
        (WITHOUT, None),
    ] {
        let (mut records, read) = PositionRecords::read(Some(json.as_bytes()), None).unwrap();
        let Some(Position::MySql(read)) = read else { panic!("{json}") };
        let counted = read.gtid_set.counted().map(ToString::to_string);
        assert_eq!(counted.as_deref(), set, "{json}");
        assert!(json.contains(&*read.server_uuid) && json.contains(&read.offset.to_string()));
        let mut stored = Stored::default();
        stored.take(records.write(&read.clone().into()).unwrap());
        assert_eq!(stored.read().unwrap().1, Some(read.into()), "stored anew");
    }
}

/// Members came one after the other, and what a record lacks has the value that says so.
#[test]
fn a_record_of_version_2_that_lacks_members_is_read() {
    const FIRST: &str = r#""kind":"mysql","version":2,"file":"binlog.000001","offset":14205,
        "server_uuid":"u","file_created":7,"event_time":8"#;
    let digest = "41c576ae7ed286c1b789405c328c7419";
    let trail = format!(
        r#""trail":{{"beat":"{digest}","beat_time":7,"count":1,"digest":"{digest}",
            "last":[{{"file":"binlog.000001","offset":14205,"digest":"{digest}"}}]}}"#
    );
    for (more, server_time, has_trail, has_older) in [
        (String::new(), 0, false, false),
        (format!(",{trail}"), 0, true, true),
        (format!(r#","server_time":9,{trail}"#), 9, true, true),
        (
            format!(r#","server_time":9,{}"#, trail.replace("\"last\"", "\"version\":1,\"last\"")),
            9,
            true,
            false,
        ),
    ] {
        let json = format!("{{{FIRST}{more}}}");
        let (mut records, read) = PositionRecords::read(Some(json.as_bytes()), None).unwrap();
        let Some(Position::MySql(read)) = read else { panic!("{json}") };
        assert_eq!((read.server_time, read.trail.is_some()), (server_time, has_trail), "{json}");
        assert_eq!((read.gtid_set.is_counted(), read.by_gtid, &read.lost), (false, false, &None));
        let upgraded = read.trail.as_ref().map(|trail| Trail::clone(trail).upgraded());
        assert_eq!(upgraded.is_some_and(|trail| trail.older.is_some()), has_older, "{json}");
        let mut stored = Stored::default();
        stored.take(records.write(&read.clone().into()).unwrap());
        assert_eq!(stored.read().unwrap().1, Some(read.into()), "stored anew");
    }
}

#[test]
fn what_this_build_does_not_know_is_refused_in_words() {
    let read = |position: &str, base: Option<&str>| {
        let read = PositionRecords::read(Some(position.as_bytes()), base.map(str::as_bytes));
        read.unwrap_err().to_string()
    };
    let newer = read(r#"{"kind":"files","version":3}"#, None);
    assert!(newer.contains("kind `files`, version 3"), "{newer}");
    assert!(read("{}", None).contains("cannot be read"));
    let mut stored = Stored::default();
    let set = large_set(1).into();
    stored.take(PositionRecords::default().write(&position(set).into()).unwrap());
    stored.base = None;
    let lost = stored.read().unwrap_err().to_string();
    assert!(lost.contains("names GTID set 1, and set none"), "{lost}");
}

/// 3,000 UUIDs are some 120 KB of text. Whichever of them a commit adds to, it writes little;
/// the base is written anew only as often as the delta has grown.
#[test]
fn a_set_of_3000_uuids_is_not_written_by_each_commit() {
    const UUIDS: u16 = 3000;
    const COMMITS: u64 = 3000;
    for (active, most_bases) in [(1, 1), (20, 1), (UUIDS, 60)] {
        let mut position = Position::from(position(large_set(UUIDS).into()));
        let mut whole = large_set(UUIDS);
        let mut records = PositionRecords::default();
        let mut stored = Stored::default();
        let (mut bytes, mut bases) = (0, 0);
        for number in 0..COMMITS {
            let uuid = u16::try_from(number % u64::from(active)).unwrap();
            let gno = 2 + number / u64::from(active);
            let gtid = Gtid::MySql { sid: sid(uuid), tag: None, gno };
            whole.insert(&gtid);
            position.advance(&commit(gtid, number));
            position.settle();
            let clone = position.clone();
            let written = records.write(&clone).unwrap();
            assert!(written.position.len() < 5000, "{} bytes", written.position.len());
            bytes += written.position.len();
            bases += usize::from(written.base.is_some());
            stored.take(written);
        }
        assert!(bases <= most_bases, "{bases} bases with {active} active UUIDs");
        let per_commit = bytes / usize::try_from(COMMITS).unwrap();
        assert!(active != 1 || per_commit < 300, "{per_commit} bytes a commit");
        let Some(Position::MySql(read)) = stored.read().unwrap().1 else { panic!() };
        assert_eq!(read.gtid_set.counted().unwrap().whole(), whole);
        assert_eq!(&*read.server_uuid, "server", "it moves with the commit");
    }
}

/// Without transactions the base comes first, and a crash may come between the two.
#[test]
fn of_a_base_that_came_alone_the_position_before_it_is_read_and_counted_anew() {
    let mut records = PositionRecords::default();
    let mut write = |uuids| {
        let set = Executed::from(large_set(uuids));
        records.write(&position(set).into()).unwrap()
    };
    let (first, second, third) = (write(2), write(3), write(4));
    let read = |position: &Written, base: &Written| {
        PositionRecords::read_apart(Some(&position.position), base.base.as_deref())
            .map(|(_, position)| position.unwrap())
    };
    let Position::MySql(whole) = read(&first, &first).unwrap();
    assert_eq!(whole, position(Executed::from(large_set(2))));
    let Position::MySql(counted_anew) = read(&first, &second).unwrap();
    assert_eq!(counted_anew, position(Executed::Uncounted));
    assert!(read(&first, &third).is_err(), "a base is missing");
    assert!(read(&second, &first).is_err(), "the newer base is missing");
}
