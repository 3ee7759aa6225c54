//! Both kinds of connections against a server that stops answering: each wait has its end.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::replica::{Replica, ReplicaSettings};
use super::{Endpoint, Error, Session, TlsMode};

const PATIENCE: Duration = Duration::from_millis(400);

/// What the server does at a moment; it is silent behind the last one, and closes nothing.
#[derive(Clone, Copy, Debug)]
enum Does {
    Says(&'static [u8]),
    /// Takes what comes next.
    Hears,
}
use Does::{Hears, Says};

const GREETING: &[u8] = b"\x49\0\0\0\x0a9.7.4\0\x09\0\0\x0012345678\0\xff\xf7\x2d\x02\0\xff\xdf\x15\0\0\0\0\0\0\0\0\0\x00123456789012\0mysql_native_password\0";
const WITH_TLS: &[u8] = b"\x49\0\0\0\x0a9.7.4\0\x09\0\0\x0012345678\0\xff\xff\x2d\x02\0\xff\xdf\x15\0\0\0\0\0\0\0\0\0\x00123456789012\0mysql_native_password\0";
const OK: &[u8] = b"\x07\0\0\x02\0\0\0\x02\0\0\0";

/// The begins of lives that end in silence.
const LIVES: &[(&str, TlsMode, &[Does])] = &[
    ("it accepts", TlsMode::Disabled, &[]),
    ("half a greeting", TlsMode::Disabled, &[Says(GREETING.split_at(30).0)]),
    ("a greeting", TlsMode::Disabled, &[Says(GREETING)]),
    ("half an OK", TlsMode::Disabled, &[Says(GREETING), Hears, Says(OK.split_at(6).0)]),
    ("a length of 8 MiB", TlsMode::Disabled, &[Says(GREETING), Hears, Says(b"\x07\0\x80\x02\0\0")]),
    ("the login", TlsMode::Disabled, &[Says(GREETING), Hears, Says(OK)]),
    (
        "half an answer",
        TlsMode::Disabled,
        &[Says(GREETING), Hears, Says(OK), Hears, Says(b"\x07\0")],
    ),
    ("a request for TLS", TlsMode::Required, &[Says(WITH_TLS), Hears]),
    (
        "half a record of TLS",
        TlsMode::Required,
        &[Says(WITH_TLS), Hears, Hears, Says(b"\x16\x03\x03\x00\x7a\x02\0\0")],
    ),
    ("TLS, where plain would do", TlsMode::Preferred, &[Says(WITH_TLS), Hears, Hears]),
];

fn live(mut client: TcpStream, life: &[Does]) {
    let mut heard = [0; 4096];
    for does in life {
        match does {
            Says(bytes) => client.write_all(bytes).unwrap(),
            Hears => drop(client.read(&mut heard).unwrap()),
        }
    }
    // Until the other side leaves.
    while client.read(&mut heard).is_ok_and(|read| read > 0) {}
}

/// A server of which each connection has that life, and how many of them are open.
fn server(life: &'static [Does]) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let open = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&open);
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let open = Arc::clone(&counted);
            open.fetch_add(1, Ordering::SeqCst);
            std::thread::spawn(move || {
                live(client, life);
                open.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    (port, open)
}

fn endpoint(port: u16, tls: TlsMode) -> Endpoint {
    let mut endpoint = Endpoint::new("127.0.0.1", port, "canal", "secret");
    (endpoint.tls, endpoint.connect_timeout, endpoint.query_timeout) = (tls, PATIENCE, PATIENCE);
    endpoint
}

/// An error that is tried again, within the attempts of one connect; and nothing of it stays open.
async fn ends(what: &str, open: &AtomicUsize, work: impl Future<Output = Option<Error>>) {
    let begun = Instant::now();
    let ended = tokio::time::timeout(10 * PATIENCE, work).await;
    let error = ended.unwrap_or_else(|_| panic!("{what}: it waits for ever"));
    let error = error.unwrap_or_else(|| panic!("{what}: it was let in"));
    assert!(error.is_transient(), "{what}: {error}");
    assert!(begun.elapsed() < 5 * PATIENCE, "{what}: {:?}: {error}", begun.elapsed());
    while open.load(Ordering::SeqCst) > 0 {
        assert!(begun.elapsed() < 25 * PATIENCE, "{what}: a connection stays open");
        tokio::time::sleep(PATIENCE / 20).await;
    }
}

#[tokio::test]
async fn a_session_ends_wherever_the_server_falls_silent() {
    for &(what, tls, life) in LIVES {
        let (port, open) = server(life);
        let endpoint = endpoint(port, tls);
        ends(what, &open, async { Session::connect(&endpoint).await.err() }).await;
    }
}

#[tokio::test]
async fn so_does_a_replica() {
    for &(what, tls, life) in LIVES {
        let (port, open) = server(life);
        let endpoint = endpoint(port, tls);
        let settings = ReplicaSettings {
            server_id: 7,
            uuid: "7f1c8e6a-0000-4000-8000-000000000001".to_owned(),
            heartbeat: PATIENCE / 4,
            read_timeout: PATIENCE,
            first_event_timeout: PATIENCE,
        };
        ends(what, &open, async { Replica::connect(&endpoint, settings).await.err() }).await;
    }
}
