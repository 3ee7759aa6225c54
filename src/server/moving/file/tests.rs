//! A file comes back as it was written, or is refused in one sentence.

use super::*;

/// More than is read in one go.
const LARGE: usize = 3 << 20;

fn head() -> Head {
    Head {
        version: VERSION,
        program: "sluice 0".to_owned(),
        instance: "example".to_owned(),
        letters: "__sluice.example.parked".to_owned(),
        time: 7,
    }
}

/// `large` is how many bytes the largest has.
fn lines(large: usize) -> Vec<Line> {
    let text = |text: &str| Octets::of(text.as_bytes());
    vec![
        Line::Position { position: text("{}"), base: Some(text("{\"a\":\"\n\"}")) },
        Line::Topic(Ends { name: "a.b".to_owned(), there: "a.b-1".to_owned(), ends: vec![3, 0] }),
        Line::Schema { key: text("[\"a\"]"), value: None },
        Line::Schema { key: text("[\"a\"]"), value: Some(text("{\"kind\":\"end\"}")) },
        Line::Parked { key: text("[\"a\",\"b\"]"), value: text("{}") },
        Line::Letter {
            offset: 4,
            key: text("a.b"),
            value: Octets::of(&vec![0xff; large]),
            binlog: "b.1:4".to_owned(),
            gtid: None,
        },
        Line::Branch { xid: "'x','',1".to_owned(), about: text("{}") },
        Line::Piece { bytes: Octets::of(&[0xfe, 0, 10, 13]) },
    ]
}

/// A whole file in a directory of its own.
fn written(large: usize) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("export");
    let mut file = Writing::create(&path).unwrap();
    file.write(&Line::Head(head())).unwrap();
    for line in lines(large) {
        file.write(&line).unwrap();
    }
    file.finish().unwrap();
    (dir, path)
}

#[test]
fn a_file_comes_back_as_it_was_written() {
    let (dir, path) = written(LARGE);
    let (mut reading, found) = Reading::open(&path).unwrap();
    assert_eq!(found, head());
    let mut back = Vec::new();
    while let Some(line) = reading.next().unwrap() {
        back.push(line);
    }
    assert!(back == lines(LARGE));
    assert_eq!(dir.path().read_dir().unwrap().count(), 1, "something else is left");
    assert!(matches!(Writing::create(&path), Err(Error::Exists(_))));
}

#[test]
fn a_file_that_is_given_up_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut file = Writing::create(&dir.path().join("export")).unwrap();
    file.write(&Line::Head(head())).unwrap();
    drop(file);
    assert_eq!(dir.path().read_dir().unwrap().count(), 0);
}

#[test]
fn a_file_of_another_version_names_both() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("export");
    let mut file = Writing::create(&path).unwrap();
    file.write(&Line::Head(Head { version: VERSION + 1, ..head() })).unwrap();
    file.finish().unwrap();
    let refused = Reading::open(&path).err().unwrap().to_string();
    assert!(refused.contains("version 2, and this build reads version 1"), "{refused}");
}

/// Whatever byte is another, and wherever it is cut or goes on.
#[test]
fn a_file_that_was_altered_is_refused() {
    #![expect(clippy::disallowed_methods, reason = "no durable bytes of ours")]
    let (dir, path) = written(30);
    let whole = std::fs::read(&path).unwrap();
    let altered = dir.path().join("altered");
    let judge = |bytes: &[u8], what: &str| {
        std::fs::write(&altered, bytes).unwrap();
        match Reading::open(&altered).err() {
            Some(Error::Damaged { .. } | Error::Version { .. }) => {}
            other => panic!("{what}: {other:?}"),
        }
    };
    for at in 0..whole.len() {
        let mut other = whole.clone();
        other[at] ^= 0x01;
        judge(&other, &format!("byte {at} is another"));
        judge(&whole[..at], &format!("cut at {at}"));
    }
    for more in [b"\n".as_slice(), b"x", b"{}\n"] {
        judge(&[&whole, more].concat(), "goes on");
    }
}
