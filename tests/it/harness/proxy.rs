//! A network between sluice and a server that does what real ones do at their worst.
//!
//! In: the server, and from time to time a [`Fault`]. Out: an address that forwards to it. It
//! hands on packet by packet, to know where an event begins, so connections must be without TLS.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::Server;

/// What happens to the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// One bit of the next event is flipped, so many thousandths of its length behind its begin.
    /// Then all is well again.
    Flip { of: Events, thousandths: usize, bit: u8 },
    /// One bit of the five bytes before the next event is flipped: the packet's length and number,
    /// and its status. Then all is well again.
    FlipPacket { byte: usize, bit: u8 },
    /// The connection ends in the next event, so many thousandths of its header, or of all of it,
    /// behind its begin. Then all is well again.
    Cut { in_header: bool, thousandths: usize },
    /// Packets come in pieces: the first bytes one by one, then so many at once.
    Pieces { most: usize },
    /// A flip in the compressed transaction behind so many.
    FlipLater { behind: usize, thousandths: usize, bit: u8 },
    /// The last bytes of the next compressed transaction come late, and a bit of the last one is
    /// flipped. Then all is well again.
    Stall { bytes: usize, pause: Duration },
    /// The next event of this type is said to be of another, with these flags. Then all is well
    /// again. Only where events have no checksums.
    Retype { from: u8, to: u8, flags: u16 },
    /// These bytes of rows events are others, and checksums are made to agree, for as long as this
    /// is set.
    Alter { from: &'static [u8], to: &'static [u8] },
    /// Nothing arrives any more, and nothing is closed.
    Silence,
    /// The connection of the next event is forgotten: to the client it is lost, to the server it is
    /// there, and takes nothing any more. Then all is well again.
    Forget,
    /// What answers the client's next packet but so many does not come whole, and nothing comes
    /// behind it. A connection that begins counts as a packet: the server greets. Then all is well
    /// again, for others.
    Stop { behind: usize, how: How },
    /// Who asks next for something with these words is not answered any more. Then all is well
    /// again, for others.
    Mute { words: &'static str },
    /// Whoever asks for something with these words is answered by this error of the server's, or
    /// by the end of the connection.
    Refuse { words: &'static str, code: Option<u16> },
}

/// How an answer stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// It does not come, and nothing is closed.
    Silence,
    /// Half of its first packet comes, and nothing is closed.
    Half,
    /// Half of its first packet comes, and then the end.
    Cut,
}

/// Of which events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Events {
    All,
    /// Compressed transactions.
    Payloads,
}

/// The running proxy; its connections end with it.
pub(crate) struct Proxy {
    port: u16,
    fault: Arc<Mutex<Fault>>,
    asked: Arc<Mutex<Vec<String>>>,
}

/// Connections to servers that were forgotten: they stay open.
static FORGOTTEN: Mutex<Vec<TcpStream>> = Mutex::new(Vec::new());

impl Proxy {
    pub(crate) fn to(server: &Server) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let fault = Arc::new(Mutex::new(Fault::None));
        let (target, known) = ((server.host.clone(), server.port), Arc::clone(&fault));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let counted = Arc::clone(&asked);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect((target.0.as_str(), target.1)) else {
                    continue;
                };
                forward(&client, &server, &known, &counted);
            }
        });
        Self { port, fault, asked }
    }

    /// Its port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// `host:port` of it.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The packets that came from clients, as [`Fault::Stop`] counts them: the begin of each, in
    /// words.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
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

/// Counts a packet of a client; how its answer stops.
fn ask(fault: &Mutex<Fault>, asked: &Mutex<Vec<String>>, packet: &[u8]) -> Option<How> {
    let shown = packet.get(HEADER..).map_or(&[][..], |body| &body[..body.len().min(200)]);
    let shown = String::from_utf8_lossy(shown).replace(|letter: char| letter.is_control(), " ");
    asked.lock().unwrap().push(shown);
    let mut fault = fault.lock().unwrap();
    match *fault {
        Fault::Stop { behind: 0, how } => {
            *fault = Fault::None;
            Some(how)
        }
        Fault::Stop { behind, how } => {
            *fault = Fault::Stop { behind: behind - 1, how };
            None
        }
        Fault::Mute { words } if has(packet, words) => {
            *fault = Fault::None;
            Some(How::Silence)
        }
        _ => None,
    }
}

/// Hands on what `how` lets through of an answer, and of what follows.
fn stop(from: &mut TcpStream, to: &mut TcpStream, packet: &[u8], how: How) {
    if how != How::Silence {
        let _ = to.write_all(&packet[..packet.len() / 2]);
    }
    if how != How::Cut {
        // Until the client leaves.
        while from.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {}
    }
}

fn forward(
    client: &TcpStream,
    server: &TcpStream,
    fault: &Arc<Mutex<Fault>>,
    asked: &Arc<Mutex<Vec<String>>>,
) {
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let known = Arc::clone(fault);
    let stops = Arc::new(Mutex::new(ask(fault, asked, &[])));
    let (asked, answers_stop) = (Arc::clone(asked), Arc::clone(&stops));
    let is_forgotten = Arc::new(AtomicBool::new(false));
    let forget = Arc::clone(&is_forgotten);
    std::thread::spawn(move || {
        let mut packet = Vec::new();
        while next(&mut from, &mut packet).is_ok() {
            if let Some(how) = ask(&known, &asked, &packet) {
                *stops.lock().unwrap() = Some(how);
            }
            let fault = *known.lock().unwrap();
            let done = match fault {
                Fault::Refuse { words, code } if has(&packet, words) => match code {
                    Some(code) => from.write_all(&refusal(code, packet[3] + 1)),
                    None => break,
                },
                _ => to.write_all(&packet),
            };
            if done.is_err() {
                break;
            }
        }
        if is_forgotten.load(Ordering::SeqCst) {
            FORGOTTEN.lock().unwrap().push(to);
        } else {
            let _ = to.shutdown(Shutdown::Both);
        }
    });
    let (mut from, mut to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let fault = Arc::clone(fault);
    std::thread::spawn(move || {
        let mut packet = Vec::new();
        while next(&mut from, &mut packet).is_ok() {
            while *fault.lock().unwrap() == Fault::Silence {
                std::thread::sleep(Duration::from_millis(20));
            }
            let how = *answers_stop.lock().unwrap();
            if let Some(how) = how {
                stop(&mut from, &mut to, &packet, how);
                break;
            }
            if *fault.lock().unwrap() == Fault::Forget && is_event(&packet, Events::All) {
                forget.store(true, Ordering::SeqCst);
                let _ = to.shutdown(Shutdown::Both);
                FORGOTTEN.lock().unwrap().push(from);
                *fault.lock().unwrap() = Fault::None;
                return;
            }
            let (after, pieces) = {
                let mut fault = fault.lock().unwrap();
                let after = damage(&mut packet, &mut fault);
                (after, if let Fault::Pieces { most } = *fault { Some(most) } else { None })
            };
            if let After::Late { bytes, pause } = after {
                let late = packet.split_off(packet.len() - bytes);
                if to.write_all(&packet).is_err() {
                    break;
                }
                std::thread::sleep(pause);
                packet = late;
                *fault.lock().unwrap() = Fault::None;
            }
            let handed_on = match pieces {
                None => to.write_all(&packet),
                Some(most) => hand_on_in_pieces(&mut to, &packet, most),
            };
            if handed_on.is_err() || after == After::End {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    });
}

fn has(packet: &[u8], words: &str) -> bool {
    packet.windows(words.len()).any(|part| part == words.as_bytes())
}

/// An ERR packet.
fn refusal(code: u16, number: u8) -> Vec<u8> {
    let [low, high] = code.to_le_bytes();
    let mut packet = vec![0, 0, 0, number, 0xff, low, high];
    packet.extend_from_slice(b"#HY000as the proxy was told");
    packet[0] = u8::try_from(packet.len() - HEADER).unwrap();
    packet
}

fn hand_on_in_pieces(to: &mut TcpStream, packet: &[u8], most: usize) -> std::io::Result<()> {
    let (first, rest) = packet.split_at(packet.len().min(EVENT + EVENT_HEADER + 1));
    for piece in first.chunks(1).chain(rest.chunks(most)) {
        to.write_all(piece)?;
        std::thread::yield_now();
    }
    Ok(())
}

const HEADER: usize = 4;
/// Behind a packet's header and its status byte.
const EVENT: usize = HEADER + 1;
const EVENT_HEADER: usize = 19;
const TRANSACTION_PAYLOAD: u8 = 40;
/// MariaDB's, and MySQL's.
const ROWS_EVENTS: [u8; 6] = [23, 24, 25, 30, 31, 32];

/// Whether it is a packet with one event, whole.
fn is_event(packet: &[u8], of: Events) -> bool {
    let Some(header) = packet.get(EVENT..EVENT + EVENT_HEADER) else { return false };
    let size = u32::from_le_bytes([header[9], header[10], header[11], header[12]]);
    let is_event = packet[HEADER] == 0 && size as usize == packet.len() - EVENT;
    is_event && (of == Events::All || header[4] == TRANSACTION_PAYLOAD)
}

fn next(from: &mut TcpStream, packet: &mut Vec<u8>) -> std::io::Result<()> {
    packet.resize(HEADER, 0);
    from.read_exact(packet)?;
    let length = u32::from_le_bytes([packet[0], packet[1], packet[2], 0]) as usize;
    packet.resize(HEADER + length, 0);
    from.read_exact(&mut packet[HEADER..])
}

/// What becomes of a connection behind a packet.
#[derive(Clone, Copy, PartialEq)]
enum After {
    GoOn,
    /// So many bytes of its end come late.
    Late {
        bytes: usize,
        pause: Duration,
    },
    End,
}

fn damage(packet: &mut Vec<u8>, fault: &mut Fault) -> After {
    let length = packet.len().saturating_sub(EVENT);
    match *fault {
        Fault::Flip { of, thousandths, bit } if is_event(packet, of) => {
            packet[EVENT + length * thousandths / 1000] ^= 1 << bit;
            *fault = Fault::None;
        }
        Fault::FlipLater { behind, thousandths, bit } if is_event(packet, Events::Payloads) => {
            *fault = match behind {
                0 => {
                    packet[EVENT + length * thousandths / 1000] ^= 1 << bit;
                    Fault::None
                }
                behind => Fault::FlipLater { behind: behind - 1, thousandths, bit },
            };
        }
        Fault::FlipPacket { byte, bit } if is_event(packet, Events::All) => {
            packet[byte] ^= 1 << bit;
            *fault = Fault::None;
        }
        Fault::Cut { in_header, thousandths } if is_event(packet, Events::All) => {
            let within = if in_header { EVENT_HEADER } else { length };
            packet.truncate(EVENT + within * thousandths / 1000);
            *fault = Fault::None;
            return After::End;
        }
        Fault::Stall { bytes, pause } if is_event(packet, Events::Payloads) => {
            if let Some(last) = packet.last_mut() {
                *last ^= 1;
            }
            return After::Late { bytes, pause };
        }
        Fault::Alter { from, to } if is_event(packet, Events::All) => alter(packet, from, to),
        _ => retype(packet, fault),
    }
    After::GoOn
}

fn alter(packet: &mut [u8], from: &[u8], to: &[u8]) {
    let is_of_rows = ROWS_EVENTS.contains(&packet[EVENT + 4]);
    let place = packet.windows(from.len()).position(|bytes| bytes == from);
    let Some(at) = place.filter(|_| is_of_rows) else { return };
    let checksum = |packet: &[u8]| crc32fast::hash(&packet[EVENT..packet.len() - 4]).to_le_bytes();
    let has_one = packet.ends_with(&checksum(packet));
    packet[at..at + from.len()].copy_from_slice(to);
    if has_one {
        let (end, new) = (packet.len() - 4, checksum(packet));
        packet[end..].copy_from_slice(&new);
    }
}

fn retype(packet: &mut [u8], fault: &mut Fault) {
    if let Fault::Retype { from, to, flags } = *fault
        && packet.len() > EVENT + 19
        && (packet[HEADER], packet[EVENT + 4]) == (0, from)
    {
        packet[EVENT + 4] = to;
        packet[EVENT + 17..EVENT + 19].copy_from_slice(&flags.to_le_bytes());
        *fault = Fault::None;
    }
}
