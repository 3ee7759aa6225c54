//! `mysql_clear_password` shows the password to whoever listens: it is answered inside TLS only.
//!
//! No server that can be fetched without an account of its maker has a method that asks for it
//! (MySQL's LDAP and PAM methods are in its Enterprise edition), so a script plays the server: the
//! packets are those of the manual's "Connection Phase", the TLS is real.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;

use openssl::ssl::{SslAcceptor, SslFiletype, SslMethod};
use sluice::mysql::{Endpoint, Error, TlsMode};
use tempfile::TempDir;

use super::both;
use super::certificates::{Authority, Kind};

#[tokio::test]
async fn a_password_is_shown_inside_tls_only() {
    let authority = Authority::new("ours");
    for (mode, is_shown) in
        [(TlsMode::Disabled, false), (TlsMode::Preferred, true), (TlsMode::Required, true)]
    {
        let (port, received) = serve(&authority);
        let mut endpoint = Endpoint::new("127.0.0.1", port, "clear", "s3cret");
        endpoint.tls = mode;
        for ended in both(&endpoint).await {
            let error = ended.unwrap_err();
            if is_shown {
                // It was let in; the script knows no statement.
                assert!(matches!(error, Error::Server { code: 1064, .. }), "{mode:?}: {error}");
                assert_eq!(received.recv().unwrap(), b"s3cret\0", "{mode:?}");
            } else {
                assert!(matches!(error, Error::Authentication { .. }), "{mode:?}: {error}");
                assert!(error.to_string().contains("mysql_clear_password"), "{error}");
                assert!(error.to_string().contains("sslMode to REQUIRED"), "{error}");
                assert_eq!(received.recv().unwrap(), b"", "nothing was sent");
            }
        }
    }
}

/// A server of two connections: its port, and what each sent when it was asked for the password.
fn serve(authority: &Authority) -> (u16, mpsc::Receiver<Vec<u8>>) {
    let folder = TempDir::with_prefix("sluice-clear-").unwrap();
    authority.sign(Kind::Named).write(folder.path());
    let mut acceptor = SslAcceptor::mozilla_intermediate(SslMethod::tls()).unwrap();
    acceptor.set_private_key_file(folder.path().join("key.pem"), SslFiletype::PEM).unwrap();
    acceptor.set_certificate_chain_file(folder.path().join("cert.pem")).unwrap();
    let acceptor = acceptor.build();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, received) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().take(2) {
            let shown = talk(stream.unwrap(), &acceptor).unwrap_or_default();
            if sender.send(shown).is_err() {
                return;
            }
        }
    });
    (port, received)
}

/// Greets, asks for the password, and refuses all statements; what was sent for the password.
fn talk(mut stream: TcpStream, acceptor: &SslAcceptor) -> Option<Vec<u8>> {
    const TLS: u8 = 0x08;
    let mut greeting = b"\x0a9.7.4\0\x09\0\0\x0012345678\0".to_vec();
    greeting.extend_from_slice(&[0xff, 0xff, 45, 2, 0, 0xff, 0xdf, 21]);
    greeting.extend_from_slice(&[0; 10]);
    greeting.extend_from_slice(b"123456789012\0caching_sha2_password\0");
    send(&mut stream, 0, &greeting)?;
    let (_, first) = receive(&mut stream)?;
    if first.get(1)? & TLS == 0 {
        return ask(&mut stream, 2);
    }
    let mut stream = acceptor.accept(stream).ok()?;
    let (number, _) = receive(&mut stream)?;
    ask(&mut stream, number + 1)
}

fn ask(stream: &mut (impl Read + Write), number: u8) -> Option<Vec<u8>> {
    send(stream, number, b"\xfemysql_clear_password\0")?;
    let (number, password) = receive(stream)?;
    send(stream, number + 1, &[0, 0, 0, 2, 0, 0, 0])?;
    while let Some((number, _)) = receive(stream) {
        send(stream, number + 1, b"\xff\x28\x04#42000no such statement")?;
    }
    Some(password)
}

fn send(stream: &mut impl Write, number: u8, payload: &[u8]) -> Option<()> {
    let [low, middle, high, _] = u32::try_from(payload.len()).ok()?.to_le_bytes();
    stream.write_all(&[low, middle, high, number]).ok()?;
    stream.write_all(payload).ok()?;
    stream.flush().ok()
}

fn receive(stream: &mut impl Read) -> Option<(u8, Vec<u8>)> {
    let mut header = [0; 4];
    stream.read_exact(&mut header).ok()?;
    let [low, middle, high, number] = header;
    let mut payload = vec![0; u32::from_le_bytes([low, middle, high, 0]) as usize];
    stream.read_exact(&mut payload).ok()?;
    Some((number, payload))
}
