//! The replica connection against a scripted server in a pipe.

use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::packets::Packets;
use super::*;

const LONGEST: usize = 0xFF_FFFF;
const PATIENCE: Duration = Duration::from_secs(5);

/// The other side of the pipe.
struct Server {
    stream: DuplexStream,
    sequence: u8,
}

fn pipe() -> (DuplexStream, Server) {
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    (ours, Server { stream: theirs, sequence: 0 })
}

fn reader(stream: DuplexStream) -> Packets<DuplexStream> {
    Packets::new(stream, Arc::from("db1:3306"), PATIENCE)
}

/// A status byte and an event of that type with that body.
fn event(event_type: u8, body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(19 + body.len()).unwrap();
    let mut packet = vec![0, 1, 2, 3, 4, event_type, 1, 0, 0, 0];
    packet.extend_from_slice(&size.to_le_bytes());
    packet.extend_from_slice(&[0; 6]);
    packet.extend_from_slice(body);
    packet
}

impl Server {
    async fn send(&mut self, payload: &[u8]) {
        let mut rest = payload;
        loop {
            let (now, later) = rest.split_at(rest.len().min(LONGEST));
            self.send_raw(now).await;
            rest = later;
            if now.len() < LONGEST {
                break;
            }
        }
    }

    async fn send_raw(&mut self, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_le_bytes();
        let header = [length[0], length[1], length[2], self.sequence];
        self.sequence = self.sequence.wrapping_add(1);
        self.stream.write_all(&header).await.unwrap();
        self.stream.write_all(payload).await.unwrap();
    }

    async fn receive(&mut self) -> Vec<u8> {
        let mut header = [0; 4];
        self.stream.read_exact(&mut header).await.unwrap();
        let length = u32::from_le_bytes([header[0], header[1], header[2], 0]);
        let mut payload = vec![0; length as usize];
        self.stream.read_exact(&mut payload).await.unwrap();
        self.sequence = header[3].wrapping_add(1);
        payload
    }

    /// Greets, and takes any answer for the right one, or asks for `switch` first.
    async fn let_in(&mut self, version: &str, switch: Option<&str>) -> Vec<u8> {
        let mut greeting = vec![10];
        greeting.extend_from_slice(version.as_bytes());
        greeting.extend_from_slice(&[0, 9, 0, 0, 0]);
        greeting.extend_from_slice(b"12345678\0");
        greeting.extend_from_slice(&[0xff, 0xf7, 45, 2, 0, 0xff, 0xdf, 21]);
        greeting.extend_from_slice(&[0; 10]);
        greeting.extend_from_slice(b"123456789012\0mysql_native_password\0");
        self.send(&greeting).await;
        let mut answer = self.receive().await;
        if let Some(plugin) = switch {
            let mut request = vec![0xFE];
            request.extend_from_slice(plugin.as_bytes());
            request.extend_from_slice(b"\0abcdefghijklmnopqrst\0");
            self.send(&request).await;
            answer = self.receive().await;
        }
        answer
    }

    async fn ok(&mut self) {
        self.send(&[0, 0, 0, 2, 0, 0, 0]).await;
    }

    /// Answers statements until the dump command, which it returns with all statements.
    async fn until_dump(&mut self) -> (Vec<String>, Vec<u8>) {
        let mut statements = Vec::new();
        loop {
            let command = self.receive().await;
            match command[0] {
                3 if command.starts_with(b"\x03SELECT") => {
                    self.send(&[1]).await;
                    self.send(b"\x03def").await;
                    self.send(&[0xFE, 0, 0, 2, 0]).await;
                    self.send(b"\x05CRC32").await;
                    self.send(&[0xFE, 0, 0, 2, 0]).await;
                }
                3 => {
                    statements.push(String::from_utf8(command[1..].to_vec()).unwrap());
                    self.ok().await;
                }
                0x15 => self.ok().await,
                _ => return (statements, command),
            }
        }
    }
}

fn settings() -> ReplicaSettings {
    ReplicaSettings {
        server_id: 1234,
        uuid: "7f1c8e6a-0000-4000-8000-000000000001".to_owned(),
        heartbeat: Duration::from_secs(5),
        read_timeout: Duration::from_secs(25),
        first_event_timeout: Duration::from_mins(5),
    }
}

fn account() -> Endpoint {
    Endpoint::new("db1", 3306, "canal", "secret")
}

/// Buffers are filled again; never while a slice of them is held.
#[tokio::test]
async fn events_that_are_held_keep_their_bytes_while_others_are_read() {
    const EVENTS: usize = 3_000;
    // Small events, and some larger than a buffer.
    let length = |number: usize| match number % 400 {
        399 => 700_000,
        _ => number * 7919 % 9_000,
    };
    let body = move |number: usize| vec![u8::try_from(number % 251).unwrap(); length(number)];
    let (ours, mut server) = pipe();
    let sending = async move {
        for number in 0..EVENTS {
            server.send(&event(30, &body(number))).await;
        }
        server
    };
    let receiving = async {
        let (mut packets, mut held) = (reader(ours), Vec::new());
        for number in 0..EVENTS {
            let Incoming::Event(bytes) = packets.next().await.unwrap() else { panic!("no event") };
            assert_eq!(bytes[19..], body(number), "event {number}");
            if number % 100 < 3 {
                held.push((number, bytes));
            }
        }
        held
    };
    let (_server, held) = tokio::join!(sending, receiving);
    for (number, bytes) in held {
        assert_eq!(bytes[19..], body(number), "event {number}");
    }
}

#[tokio::test]
async fn an_event_over_several_packets_is_joined_whole() {
    for length in [0, 5, LONGEST - 20, LONGEST - 21, LONGEST, 2 * LONGEST + 7] {
        let (ours, mut server) = pipe();
        let body: Vec<u8> = (0..length).map(|byte| u8::try_from(byte % 251).unwrap()).collect();
        let packet = event(31, &body);
        let sent = packet.clone();
        let sending = async move {
            server.send(&sent).await;
            server.send(&event(16, b"12345678")).await;
            server
        };
        let receiving = async {
            let mut packets = reader(ours);
            let first = packets.next().await.unwrap();
            (first, packets.next().await.unwrap())
        };
        let (_server, (first, second)) = tokio::join!(sending, receiving);
        assert!(first == Incoming::Event(Bytes::from(packet[1..].to_vec())), "length {length}");
        assert_eq!(second, Incoming::Event(Bytes::from(event(16, b"12345678")[1..].to_vec())));
    }
}

#[tokio::test]
async fn what_came_with_one_read_is_taken_without_waiting_and_only_whole() {
    let (ours, mut server) = pipe();
    let mut packets = reader(ours);
    server.send(&event(2, b"one")).await;
    server.send(&event(2, b"two")).await;
    server.stream.write_all(&[29, 0, 0, 2, 0]).await.unwrap();
    assert_eq!(packets.take().unwrap(), None);
    packets.more().await.unwrap();
    let taken: Vec<_> = std::iter::from_fn(|| packets.take().unwrap()).collect();
    let whole = |body| Incoming::Event(Bytes::from(event(2, body)[1..].to_vec()));
    assert_eq!(taken, [whole(b"one"), whole(b"two")], "of the third all but its status is missing");
}

#[tokio::test]
async fn a_compressed_transaction_comes_in_pieces_that_make_up_the_event() {
    let (ours, mut server) = pipe();
    let body: Vec<u8> = (0..LONGEST + 5000).map(|byte| u8::try_from(byte % 251).unwrap()).collect();
    let packet = event(40, &body);
    let sent = packet.clone();
    let sending = async move {
        server.send(&sent).await;
        server.send(&event(16, b"12345678")).await;
        server
    };
    let receiving = async {
        let mut packets = reader(ours);
        let (mut joined, mut pieces) = (Vec::new(), 0);
        loop {
            match packets.next().await.unwrap() {
                Incoming::Piece { bytes, last } => {
                    joined.extend_from_slice(&bytes);
                    pieces += 1;
                    if last {
                        break;
                    }
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(matches!(packets.next().await.unwrap(), Incoming::Event(_)));
        (joined, pieces)
    };
    let (_server, (joined, pieces)) = tokio::join!(sending, receiving);
    assert!(joined == packet[1..]);
    assert!(pieces > 3, "{pieces} pieces");
}

#[tokio::test]
async fn the_first_piece_holds_the_whole_header_however_it_arrives() {
    let (ours, mut server) = pipe();
    let packet = event(40, &[7; 100]);
    let length = u8::try_from(packet.len()).unwrap();
    let bytes = [&[length, 0, 0, 0], packet.as_slice()].concat();
    let sending = async move {
        for byte in bytes {
            server.stream.write_all(&[byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        server
    };
    let mut packets = reader(ours);
    let (_server, first) = tokio::join!(sending, packets.next());
    let Incoming::Piece { bytes, .. } = first.unwrap() else { panic!("no piece") };
    assert!(bytes.len() >= 19, "{} bytes", bytes.len());
}

/// What a server goes on to send behind a packet, however that was damaged: heartbeats, by which a
/// connection lives, and which would fill up whatever a damaged length announces.
async fn go_on(server: &mut Server) {
    for _ in 0..3 {
        server.send(&event(27, b"binlog.000001")).await;
    }
}

/// Reads all that is there; how many bytes of how many events, up to the fault.
async fn read_to_fault(stream: DuplexStream) -> (Vec<usize>, Error) {
    let (mut packets, mut events) = (reader(stream), vec![0]);
    loop {
        match packets.next().await {
            Ok(Incoming::Event(bytes)) => {
                *events.last_mut().unwrap() += bytes.len();
                events.push(0);
            }
            Ok(Incoming::Piece { bytes, last }) => {
                *events.last_mut().unwrap() += bytes.len();
                if last {
                    events.push(0);
                }
            }
            Ok(Incoming::End) => panic!("the end, where none was sent"),
            Err(error) => return (events, error),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_flipped_bit_of_a_header_is_waited_behind_and_none_moves_the_border_of_an_event() {
    const HEADER: usize = 4;
    /// The size of the event, behind the status byte.
    const SIZE: std::ops::Range<usize> = HEADER + 10..HEADER + 14;
    let kinds = [(16, 8), (30, 300), (40, 300), (31, 70_000), (40, 70_000)];
    for (kind, length) in kinds {
        let packet = event(kind, &vec![7; length]);
        for bit in 0..8 * (HEADER + 1 + 19) {
            let (ours, mut server) = pipe();
            let (at, mask) = (bit / 8, 1 << (bit % 8));
            let sent = packet.clone();
            let sending = async move {
                let size = u32::try_from(sent.len()).unwrap().to_le_bytes();
                let mut bytes = [&[size[0], size[1], size[2], 0], sent.as_slice()].concat();
                bytes[at] ^= mask;
                server.stream.write_all(&bytes).await.unwrap();
                server.sequence = 1;
                go_on(&mut server).await;
                server
            };
            let (_server, (events, error)) = tokio::join!(sending, read_to_fault(ours));
            let what = format!("type {kind}, {length} bytes, bit {bit}: {events:?} {error}");
            let is_framed = !(0..=HEADER).contains(&at) && !SIZE.contains(&at);
            if is_framed {
                // Whatever else is wrong in it, it is handed on whole, for its checksum to tell.
                assert!(matches!(error, Error::Timeout { .. }), "{what}");
                assert_eq!(events, [packet.len() - 1, 32, 32, 32, 0], "{what}");
            } else {
                assert!(matches!(error, Error::Protocol { .. }), "{what}");
                assert_eq!(events, [0], "{what}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nor_one_of_the_headers_within_an_event_of_several_packets() {
    for kind in [30, 40] {
        for bit in 0..8 * 4 {
            let (ours, mut server) = pipe();
            let sending = async move {
                let packet = event(kind, &vec![7; LONGEST + 500]);
                server.send_raw(&packet[..LONGEST]).await;
                let rest = u8::try_from((packet.len() - LONGEST) % 256).unwrap();
                let mut header = [rest, 2, 0, 1];
                header[bit / 8] ^= 1 << (bit % 8);
                server.stream.write_all(&header).await.unwrap();
                server.stream.write_all(&packet[LONGEST..]).await.unwrap();
                server.sequence = 2;
                go_on(&mut server).await;
                server
            };
            let (_server, (events, error)) = tokio::join!(sending, read_to_fault(ours));
            assert!(matches!(error, Error::Protocol { .. }), "type {kind}, bit {bit}: {error}");
            assert_eq!(events.len(), 1, "type {kind}, bit {bit}: an event ended");
        }
    }
}

#[tokio::test]
async fn a_missing_packet_is_noticed_by_its_number() {
    let (ours, mut server) = pipe();
    server.send(&event(16, b"12345678")).await;
    server.sequence += 1;
    server.send(&event(16, b"12345678")).await;
    let mut packets = reader(ours);
    packets.next().await.unwrap();
    let error = packets.next().await.unwrap_err();
    assert!(error.to_string().contains("packet number 2 came where 1 was due"), "{error}");
}

#[tokio::test]
async fn a_cut_in_the_middle_of_an_event_is_a_lost_connection() {
    let (ours, mut server) = pipe();
    server.stream.write_all(&[100, 0, 0, 0, 0, 1, 2, 3]).await.unwrap();
    drop(server);
    let error = reader(ours).next().await.unwrap_err();
    assert!(matches!(error, Error::Lost { .. }) && error.is_transient(), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn silence_longer_than_the_read_timeout_is_an_error() {
    let (ours, _server) = pipe();
    let error = reader(ours).next().await.unwrap_err();
    assert!(matches!(error, Error::Timeout { after: PATIENCE, .. }), "{error:?}");
}

#[tokio::test]
async fn a_wait_that_is_given_up_loses_no_byte() {
    let (ours, mut server) = pipe();
    let packet = event(31, b"0123456789");
    let mut packets = reader(ours);
    server.stream.write_all(&[u8::try_from(packet.len()).unwrap(), 0, 0, 0]).await.unwrap();
    server.stream.write_all(&packet[..9]).await.unwrap();
    tokio::select! {
        biased;
        _ = packets.next() => panic!("half an event"),
        () = tokio::task::yield_now() => {}
    }
    server.stream.write_all(&packet[9..]).await.unwrap();
    let whole = packets.next().await.unwrap();
    assert_eq!(whole, Incoming::Event(Bytes::from(packet[1..].to_vec())));
}

#[tokio::test]
async fn the_end_of_a_dump_and_an_error_in_it_are_distinguished() {
    let (ours, mut server) = pipe();
    server.send(&[0xFE, 0, 0, 0, 0]).await;
    server.send(b"\xff\xd4\x04#HY000Could not find first log file name").await;
    let mut packets = reader(ours);
    assert_eq!(packets.next().await.unwrap(), Incoming::End);
    let error = packets.next().await.unwrap_err();
    assert_eq!(error.code(), Some(1236));
    assert!(error.to_string().ends_with("Could not find first log file name"), "{error}");
}

#[tokio::test]
async fn a_dump_by_file_names_place_and_server_id() {
    let (ours, mut server) = pipe();
    let script = async move {
        let answer = server.let_in("9.7.4", None).await;
        server.ok().await;
        let (statements, dump) = server.until_dump().await;
        server.sequence = 1;
        server.send(&event(16, b"12345678")).await;
        (answer, statements, dump, server)
    };
    let client = async {
        let replica = Replica::over(ours, &account(), settings()).await.unwrap();
        assert!(replica.has_checksums() && !replica.is_mariadb());
        let from = DumpFrom::File { file: Arc::from("binlog.000007"), offset: 157 };
        let mut dump = replica.dump(&from).await.unwrap();
        assert!(matches!(dump.next().await.unwrap(), Incoming::Event(_)));
    };
    let ((answer, statements, dump, _server), ()) = tokio::join!(script, client);
    assert!(answer.windows(6).any(|bytes| bytes == b"canal\0"));
    assert!(!answer.windows(6).any(|bytes| bytes == b"secret"), "the password in clear");
    assert!(statements.iter().any(|s| s.contains("@master_heartbeat_period = 5000000000")));
    assert!(!statements.iter().any(|s| s.contains("semi_sync")));
    let mut expected = vec![0x12, 157, 0, 0, 0, 2, 0];
    expected.extend_from_slice(&1234_u32.to_le_bytes());
    expected.extend_from_slice(b"binlog.000007");
    assert_eq!(dump, expected);
}

#[tokio::test]
async fn mariadb_is_sent_that_we_know_its_events() {
    let (ours, mut server) = pipe();
    let script = async move {
        server.let_in("5.5.5-10.11.19-MariaDB-log", None).await;
        server.ok().await;
        server.until_dump().await
    };
    let client = async {
        let replica = Replica::over(ours, &account(), settings()).await.unwrap();
        let from = DumpFrom::File { file: Arc::from("binlog.000001"), offset: 4 };
        replica.dump(&from).await.unwrap()
    };
    let ((statements, _), _dump) = tokio::join!(script, client);
    assert!(statements.contains(&"SET @mariadb_slave_capability = 4".to_owned()));
}

#[tokio::test]
async fn an_offset_beyond_32_bits_is_refused_instead_of_cut() {
    let (ours, mut server) = pipe();
    let script = async move {
        server.let_in("9.7.4", None).await;
        server.ok().await;
        for _ in 0..6 {
            let command = server.receive().await;
            if command.starts_with(b"\x03SELECT") {
                server.send(&[1]).await;
                server.send(b"\x03def").await;
                server.send(&[0xFE, 0, 0, 2, 0]).await;
                server.send(&[251]).await;
                server.send(&[0xFE, 0, 0, 2, 0]).await;
            } else {
                server.ok().await;
            }
        }
    };
    let client = async {
        let replica = Replica::over(ours, &account(), settings()).await.unwrap();
        assert!(!replica.has_checksums(), "NULL is no algorithm");
        let from = DumpFrom::File { file: Arc::from("binlog.000001"), offset: 1 << 32 };
        replica.dump(&from).await.err().unwrap()
    };
    let ((), error) = tokio::join!(script, client);
    assert!(error.to_string().contains("32 bits"), "{error}");
}

#[tokio::test]
async fn a_wrong_password_says_whose_and_where() {
    let (ours, mut server) = pipe();
    let script = async move {
        server.let_in("9.7.4", None).await;
        server.send(b"\xff\x15\x04#28000Access denied for user 'canal'@'h'").await;
        server
    };
    let endpoint = account();
    let (_server, replica) = tokio::join!(script, Replica::over(ours, &endpoint, settings()));
    let error = replica.err().unwrap();
    assert!(matches!(&error, Error::Denied { code: 1045, user, .. } if user == "canal"));
    assert!(!error.is_transient());
    assert!(error.to_string().contains("canal.instance.dbPassword"), "{error}");
}

#[tokio::test]
async fn a_method_that_shows_the_password_is_refused() {
    for plugin in ["mysql_clear_password", "mysql_old_password", "dialog"] {
        let (ours, mut server) = pipe();
        let script = async move {
            let mut greeting = vec![10];
            greeting.extend_from_slice(b"9.7.4\0\x09\0\0\x0012345678\0");
            greeting.extend_from_slice(&[0xff, 0xf7, 45, 2, 0, 0xff, 0xdf, 21]);
            greeting.extend_from_slice(&[0; 10]);
            greeting.extend_from_slice(b"123456789012\0caching_sha2_password\0");
            server.send(&greeting).await;
            server.receive().await;
            let request = [b"\xfe", plugin.as_bytes(), b"\0abcdefghijklmnopqrst\0"].concat();
            server.send(&request).await;
            let mut rest = Vec::new();
            server.stream.read_to_end(&mut rest).await.unwrap();
            rest
        };
        let client = async { Replica::over(ours, &account(), settings()).await.err().unwrap() };
        let (rest, error) = tokio::join!(script, client);
        assert!(matches!(&error, Error::Authentication { .. }), "{error:?}");
        assert!(error.to_string().contains(plugin), "{error}");
        assert_eq!(rest, b"", "something was sent after the switch");
    }
}

#[tokio::test]
async fn demanded_encryption_that_the_server_lacks_is_an_error() {
    let (ours, mut server) = pipe();
    let script = async move {
        let mut greeting = vec![10];
        greeting.extend_from_slice(b"9.7.4\0\x09\0\0\x0012345678\0");
        greeting.extend_from_slice(&[0xff, 0xf7, 45, 2, 0, 0xff, 0xdf, 21]);
        greeting.extend_from_slice(&[0; 10]);
        greeting.extend_from_slice(b"123456789012\0caching_sha2_password\0");
        server.send(&greeting).await;
        server
    };
    let mut endpoint = account();
    endpoint.tls = crate::mysql::TlsMode::Required;
    let (_server, replica) = tokio::join!(script, Replica::over(ours, &endpoint, settings()));
    assert!(matches!(replica.err().unwrap(), Error::Tls { .. }));
}
