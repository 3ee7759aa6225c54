//! A network between sluice and a server that does what real ones do at their worst.
//!
//! In: the server, and from time to time a [`Fault`]. Out: an address that forwards to it. It
//! hands on packet by packet, to know where an event begins, so connections must be without TLS.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::Server;

/// What happens to the bytes of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// One bit of the next compressed transaction is flipped, so many thousandths of its length
    /// behind its begin. Then all is well again.
    Flip { thousandths: usize, bit: u8 },
    /// The same, of the compressed transaction behind so many.
    FlipLater { behind: usize, thousandths: usize, bit: u8 },
    /// The last bytes of the next compressed transaction come late, and a bit of the last one is
    /// flipped. Then all is well again.
    Stall { bytes: usize, pause: Duration },
    /// The next event of this type is said to be of another, with these flags. Then all is well
    /// again. Only where events have no checksums.
    Retype { from: u8, to: u8, flags: u16 },
    /// Nothing arrives any more, and nothing is closed.
    Silence,
}

/// The running proxy; its connections end with it.
pub(crate) struct Proxy {
    port: u16,
    fault: Arc<Mutex<Fault>>,
}

impl Proxy {
    pub(crate) fn to(server: &Server) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let fault = Arc::new(Mutex::new(Fault::None));
        let (target, known) = ((server.host.clone(), server.port), Arc::clone(&fault));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect((target.0.as_str(), target.1)) else {
                    continue;
                };
                forward(&client, &server, &known);
            }
        });
        Self { port, fault }
    }

    /// Its port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// `host:port` of it.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What happens from now on.
    pub(crate) fn set(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }

    /// What happens now.
    pub(crate) fn fault(&self) -> Fault {
        *self.fault.lock().unwrap()
    }
}

fn forward(client: &TcpStream, server: &TcpStream, fault: &Arc<Mutex<Fault>>) {
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
    let (mut from, mut to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let fault = Arc::clone(fault);
    std::thread::spawn(move || {
        let mut packet = Vec::new();
        while next(&mut from, &mut packet).is_ok() {
            while *fault.lock().unwrap() == Fault::Silence {
                std::thread::sleep(Duration::from_millis(20));
            }
            let stall = damage(&mut packet, &mut fault.lock().unwrap());
            if let Some((bytes, pause)) = stall {
                let late = packet.split_off(packet.len() - bytes);
                if to.write_all(&packet).is_err() {
                    break;
                }
                std::thread::sleep(pause);
                packet = late;
                *fault.lock().unwrap() = Fault::None;
            }
            if to.write_all(&packet).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
}

const HEADER: usize = 4;
/// Behind a packet's header and its status byte.
const EVENT: usize = HEADER + 1;
const TRANSACTION_PAYLOAD: u8 = 40;

fn next(from: &mut TcpStream, packet: &mut Vec<u8>) -> std::io::Result<()> {
    packet.resize(HEADER, 0);
    from.read_exact(packet)?;
    let length = u32::from_le_bytes([packet[0], packet[1], packet[2], 0]) as usize;
    packet.resize(HEADER + length, 0);
    from.read_exact(&mut packet[HEADER..])
}

/// How many bytes at the end are to come late, if any, and how late.
fn damage(packet: &mut [u8], fault: &mut Fault) -> Option<(usize, Duration)> {
    let is_payload = packet.len() > EVENT + 19
        && packet[HEADER] == 0
        && packet[EVENT + 4] == TRANSACTION_PAYLOAD;
    if let Fault::Flip { thousandths, bit } = *fault
        && is_payload
    {
        let length = packet.len() - EVENT;
        packet[EVENT + length * thousandths / 1000] ^= 1 << bit;
        *fault = Fault::None;
    }
    if let Fault::FlipLater { behind, thousandths, bit } = *fault
        && is_payload
    {
        *fault = match behind {
            0 => {
                let length = packet.len() - EVENT;
                packet[EVENT + length * thousandths / 1000] ^= 1 << bit;
                Fault::None
            }
            behind => Fault::FlipLater { behind: behind - 1, thousandths, bit },
        };
    }
    if let Fault::Stall { bytes, pause } = *fault
        && is_payload
    {
        if let Some(last) = packet.last_mut() {
            *last ^= 1;
        }
        return Some((bytes, pause));
    }
    if let Fault::Retype { from, to, flags } = *fault
        && packet.len() > EVENT + 19
        && (packet[HEADER], packet[EVENT + 4]) == (0, from)
    {
        packet[EVENT + 4] = to;
        packet[EVENT + 17..EVENT + 19].copy_from_slice(&flags.to_le_bytes());
        *fault = Fault::None;
    }
    None
}
