//! Packets: a payload of any length, cut into packets of at most 2^24 − 1 bytes, each behind
//! a header of 3 bytes length and 1 byte sequence number (little-endian).
//!
//! In: the bytes of a socket, read 128 KiB and more at a time into one buffer behind the other,
//! which grows where a payload needs it. Out: payloads, as slices of that buffer without a copy;
//! those of several packets are joined in place, by moving what is behind a header over it as soon
//! as the header is there. A buffer of which no slice is left is filled again.
//! A `TRANSACTION_PAYLOAD` event is not joined but handed on as it arrives.
//!
//! Always: memory grows with the bytes that arrived, not with the length announced; the
//! sequence numbers have no gap (the cheapest proof that no byte was lost); each wait has
//! an end, and nothing waits for bytes that only a damaged length announces: in a dump the lengths
//! of an event's packets are held against the size in its header as soon as both are there. (Behind
//! a length that is too large the server's heartbeats would come as parts of one event, for days.)
//! Reading is cancel safe: what was read stays in the buffer.
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_packets.html>

#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::Instant;

use crate::mysql::Error;

/// A packet of this length is continued by the next.
const LONGEST_PACKET: usize = 0xFF_FFFF;
const HEADER: usize = 4;
/// The largest event is 1 GiB; the status byte, a header and a checksum go with it.
const LARGEST_PAYLOAD: usize = (1 << 30) + 64;
/// How much room a growing buffer gets.
const READ_SIZE: usize = 512 * 1024;
/// With less room than this, it is time to grow.
const SMALLEST_READ: usize = 128 * 1024;
/// A buffer larger than this is given back after the event that needed it.
const KEPT_BUFFER: usize = 8 * 1024 * 1024;

/// Buffers that wait to be used again: what is on its way to the records keeps no more of them.
const MOST_FILLED: usize = 16;
/// Nothing came for so long: the backlog has been read.
const REST: Duration = Duration::from_secs(1);

/// Status byte before an event.
const EVENT: u8 = 0x00;
/// First byte of an error.
pub(super) const ERROR: u8 = 0xFF;
/// First byte of the end of the stream, in a payload shorter than nine bytes.
pub(super) const END: u8 = 0xFE;
/// Type code of `TRANSACTION_PAYLOAD`.
const TRANSACTION_PAYLOAD: u8 = 40;

/// What the server sends after a dump command.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming {
    /// One whole event: header, body, checksum if the stream has them.
    Event(Bytes),
    /// The next bytes of a `TRANSACTION_PAYLOAD` event, the first with its whole header. All
    /// its pieces come in a row.
    Piece {
        /// The bytes; empty only for a last piece.
        bytes: Bytes,
        /// Whether the event ends here.
        last: bool,
    },
    /// No more events. Only a dump that does not wait for more ends so by itself.
    End,
}

/// The rest of a packet whose header was taken.
#[derive(Clone, Copy)]
struct Packet {
    left: usize,
    /// Whether it ends its payload.
    last: bool,
}

/// What the next packet of a dump begins.
enum Begins {
    /// An event of so many bytes, whose packet has the right length.
    Event { size: usize, is_payload: bool },
    /// The end of the dump, or an error.
    Other,
}

/// One connection, packet by packet.
pub(super) struct Packets<S> {
    pub(super) stream: S,
    buffer: BytesMut,
    /// Whether `buffer` is one of [`READ_SIZE`].
    is_usual: bool,
    /// Buffers that were full, the first filled first, each empty and over the memory that slices
    /// may still point into.
    filled: VecDeque<BytesMut>,
    /// How many bytes of the payload are joined at the front of `buffer`.
    joined: usize,
    /// The packet whose bytes come next.
    packet: Option<Packet>,
    /// Whether a `TRANSACTION_PAYLOAD` is being handed on.
    in_pieces: bool,
    /// How many bytes the packets to come of the event that is being read have to announce; `None`
    /// outside of one.
    unannounced: Option<usize>,
    sequence: u8,
    address: Arc<str>,
    /// What is going on, for messages.
    pub(super) what: &'static str,
    /// How long to wait for the next bytes.
    pub(super) patience: Duration,
}

impl<S> Packets<S> {
    pub(super) fn new(stream: S, address: Arc<str>, patience: Duration) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
            is_usual: false,
            filled: VecDeque::new(),
            joined: 0,
            packet: None,
            in_pieces: false,
            unannounced: None,
            sequence: 0,
            address,
            what: "connecting",
            patience,
        }
    }

    /// The same conversation over another stream: TLS begins. Nothing may have been read
    /// ahead, or an attacker could have put it there before the encryption.
    pub(super) fn swap<T>(self, stream: impl FnOnce(S) -> T) -> Result<Packets<T>, Error> {
        if !self.buffer.is_empty() {
            return Err(self.broken("it sent bytes between the TLS request and TLS"));
        }
        Ok(Packets {
            stream: stream(self.stream),
            buffer: self.buffer,
            is_usual: self.is_usual,
            filled: self.filled,
            joined: 0,
            packet: None,
            in_pieces: false,
            unannounced: None,
            sequence: self.sequence,
            address: self.address,
            what: self.what,
            patience: self.patience,
        })
    }

    pub(super) fn address(&self) -> &Arc<str> {
        &self.address
    }

    pub(super) fn broken(&self, reason: impl Into<String>) -> Error {
        Error::Protocol { address: self.address.to_string(), reason: reason.into() }
    }

    fn lost(&self, reason: String) -> Error {
        Error::Lost { address: self.address.to_string(), what: self.what, reason }
    }

    fn too_late(&self) -> Error {
        Error::Timeout { address: self.address.to_string(), what: self.what, after: self.patience }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Packets<S> {
    /// A new command begins: sequence numbers start again.
    pub(super) fn begin_command(&mut self) {
        self.sequence = 0;
    }

    /// Sends one payload.
    pub(super) async fn send(&mut self, payload: &[u8]) -> Result<(), Error> {
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        if payload.len() >= LONGEST_PACKET {
            return Err(self.broken(format!("a command of {length} bytes does not fit a packet")));
        }
        let [a, b, c, _] = length.to_le_bytes();
        let mut packet = Vec::with_capacity(HEADER + payload.len());
        packet.extend_from_slice(&[a, b, c, self.sequence]);
        packet.extend_from_slice(payload);
        self.sequence = self.sequence.wrapping_add(1);
        let sent = async {
            self.stream.write_all(&packet).await?;
            self.stream.flush().await
        };
        match tokio::time::timeout(self.patience, sent).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.lost(error.to_string())),
            Err(_) => Err(self.too_late()),
        }
    }

    /// The next payload, joined. Cancel safe.
    pub(super) async fn receive(&mut self) -> Result<Bytes, Error> {
        loop {
            if let Some(payload) = self.take_payload()? {
                return Ok(payload);
            }
            self.more().await?;
        }
    }

    /// What the server sends next of a dump. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Incoming, Error> {
        loop {
            if let Some(incoming) = self.take()? {
                return Ok(incoming);
            }
            self.more().await?;
        }
    }

    /// Reads what has come, or waits for it. Cancel safe.
    pub(super) async fn more(&mut self) -> Result<(), Error> {
        if self.buffer.capacity() - self.buffer.len() < SMALLEST_READ {
            self.make_room();
        }
        let begun = Instant::now();
        let read = self.stream.read_buf(&mut self.buffer);
        match tokio::time::timeout(self.patience, read).await {
            Ok(Ok(0)) => Err(self.lost("it closed the connection".to_owned())),
            Ok(Ok(_)) => {
                if !self.filled.is_empty() && begun.elapsed() > REST {
                    self.filled = VecDeque::new();
                }
                Ok(())
            }
            Ok(Err(error)) => Err(self.lost(error.to_string())),
            Err(_) => Err(self.too_late()),
        }
    }

    /// What lies in the buffer of a dump, without waiting; `None`: [more](Self::more) has to come.
    pub(super) fn take(&mut self) -> Result<Option<Incoming>, Error> {
        if self.unannounced.is_none() {
            match self.begins()? {
                None => return Ok(None),
                Some(Begins::Other) => {}
                Some(Begins::Event { size, is_payload }) => {
                    let Some(packet) = &mut self.packet else { return Ok(None) };
                    self.unannounced = Some((1 + size).saturating_sub(packet.left));
                    if is_payload {
                        self.buffer.advance(1); // the status byte
                        packet.left -= 1;
                        self.in_pieces = true;
                    }
                }
            }
        }
        if self.in_pieces {
            return self.take_piece();
        }
        let Some(mut payload) = self.take_payload()? else { return Ok(None) };
        match payload.first() {
            Some(&EVENT) => {
                payload.advance(1);
                Ok(Some(Incoming::Event(payload)))
            }
            Some(&END) if payload.len() < 9 => Ok(Some(Incoming::End)),
            Some(&ERROR) => Err(self.server_error(&payload, "the binlog dump")),
            Some(_) | None => Err(self.broken("neither an event nor an end in the dump")),
        }
    }

    fn take_payload(&mut self) -> Result<Option<Bytes>, Error> {
        while let Some(packet) = self.header()? {
            let joined = self.joined + packet.left;
            if joined > LARGEST_PAYLOAD {
                return Err(self.broken(format!("a payload of more than {LARGEST_PAYLOAD} bytes")));
            }
            if self.buffer.len() < joined {
                return Ok(None);
            }
            self.packet = None;
            self.joined = joined;
            if packet.last {
                self.joined = 0;
                self.unannounced = None;
                let payload = self.buffer.split_to(joined).freeze();
                self.give_back(joined);
                return Ok(Some(payload));
            }
        }
        Ok(None)
    }

    /// Looks at the next packet of a dump, without taking it; `None` until enough of it has come.
    fn begins(&mut self) -> Result<Option<Begins>, Error> {
        /// The status byte and a header, so that a first piece holds a whole one.
        const LEAST: usize = 1 + 19;
        /// Where they are behind the status byte.
        const TYPE: usize = 5;
        const SIZE: usize = 10;
        let Some(packet) = self.header()? else { return Ok(None) };
        if packet.left == 0 {
            return Err(self.broken("an empty packet in the dump"));
        }
        match self.buffer.first() {
            None => return Ok(None),
            Some(&EVENT) if packet.left >= LEAST => {}
            Some(&EVENT) => {
                let left = packet.left;
                return Err(self.broken(format!("an event in a packet of {left} bytes")));
            }
            Some(&(END | ERROR)) if packet.last => return Ok(Some(Begins::Other)),
            Some(other) => {
                return Err(self.broken(format!("a packet of the dump begins with {other:#x}")));
            }
        }
        let Some(head) = self.buffer.get(..LEAST) else { return Ok(None) };
        let size = head.get(SIZE..).and_then(|size| size.first_chunk::<4>());
        let size = size.map_or(0, |size| u32::from_le_bytes(*size)) as usize;
        if packet.left != (1 + size).min(LONGEST_PACKET) {
            return Err(self.broken(format!(
                "an event of {size} bytes came in a packet of {}: bytes were damaged on the way",
                packet.left
            )));
        }
        let is_payload = head.get(TYPE) == Some(&TRANSACTION_PAYLOAD);
        Ok(Some(Begins::Event { size, is_payload }))
    }

    fn take_piece(&mut self) -> Result<Option<Incoming>, Error> {
        let Some(mut packet) = self.header()? else { return Ok(None) };
        if packet.left > 0 && self.buffer.is_empty() {
            return Ok(None);
        }
        let length = packet.left.min(self.buffer.len());
        let bytes = self.buffer.split_to(length).freeze();
        packet.left -= length;
        self.packet = (packet.left > 0).then_some(packet);
        let last = packet.last && packet.left == 0;
        self.in_pieces = !last;
        if last {
            self.unannounced = None;
        }
        Ok(Some(Incoming::Piece { bytes, last }))
    }

    /// The packet whose bytes come next. Its header is behind what is joined; taking it
    /// closes the gap.
    fn header(&mut self) -> Result<Option<Packet>, Error> {
        if self.packet.is_some() {
            return Ok(self.packet);
        }
        let at = self.joined;
        let Some(&[a, b, c, sequence]) = self.buffer.get(at..at + HEADER) else {
            return Ok(None);
        };
        if sequence != self.sequence {
            let wanted = self.sequence;
            return Err(self.broken(format!(
                "packet number {sequence} came where {wanted} was due: bytes were lost on the way"
            )));
        }
        let left = u32::from_le_bytes([a, b, c, 0]) as usize;
        if let Some(unannounced) = &mut self.unannounced {
            let wanted = LONGEST_PACKET.min(*unannounced);
            if left != wanted {
                return Err(self.broken(format!(
                    "the next packet of an event has {left} bytes, where {wanted} were due: bytes \
                     were damaged on the way"
                )));
            }
            *unannounced -= left;
        }
        self.sequence = sequence.wrapping_add(1);
        if at == 0 {
            self.buffer.advance(HEADER);
        } else {
            self.buffer.copy_within(at + HEADER.., at);
            self.buffer.truncate(self.buffer.len() - HEADER);
        }
        self.packet = Some(Packet { left, last: left < LONGEST_PACKET });
        Ok(self.packet)
    }

    /// Goes on in another buffer, or in a larger one where what is joined needs it. Memory taken anew
    /// costs a fault for each of its pages, more than all else that is done with what is read into
    /// it; so a buffer that was filled is used again when no slice of it is left.
    fn make_room(&mut self) {
        let growth = self.growth();
        if growth > READ_SIZE || self.buffer.len() > READ_SIZE - SMALLEST_READ {
            self.buffer.reserve(growth);
            self.is_usual = false;
            return;
        }
        let is_free = self.filled.front_mut().is_some_and(|first| first.try_reclaim(READ_SIZE));
        let free = if is_free { self.filled.pop_front() } else { None };
        let next = free.unwrap_or_else(|| BytesMut::with_capacity(READ_SIZE));
        let mut full = std::mem::replace(&mut self.buffer, next);
        self.buffer.extend_from_slice(&full);
        if std::mem::replace(&mut self.is_usual, true) {
            full.clear();
            self.filled.push_back(full);
        }
        if self.filled.len() > MOST_FILLED {
            self.filled.pop_front();
        }
    }

    /// How much room to make: doubled, so that joining a large event copies each byte a few times
    /// at most; and when a sixteenth of it has come, all that its header announces, since
    /// doubling would hold it twice.
    fn growth(&self) -> usize {
        /// Status byte, and where the event's header has its size.
        const SIZE: std::ops::Range<usize> = 10..14;
        let wanted = self.joined + self.packet.map_or(HEADER, |packet| packet.left);
        let came = self.buffer.len();
        let size = self.buffer.get(SIZE).and_then(|size| size.try_into().ok());
        let size = size.map_or(0, u32::from_le_bytes) as usize;
        let is_large_event = wanted > KEPT_BUFFER && self.buffer.first() == Some(&EVENT);
        if is_large_event && size <= LARGEST_PAYLOAD && came >= size / 16 && size > came {
            return size - came + READ_SIZE;
        }
        wanted.saturating_sub(came).min(came).max(READ_SIZE)
    }

    /// Lets go of a buffer that one large payload has blown up.
    fn give_back(&mut self, payload: usize) {
        if payload > KEPT_BUFFER {
            let mut buffer = BytesMut::with_capacity(READ_SIZE + self.buffer.len());
            buffer.extend_from_slice(&self.buffer);
            self.buffer = buffer;
            self.is_usual = false;
        }
    }

    /// Reads an ERR packet.
    pub(super) fn server_error(&self, payload: &[u8], what: &str) -> Error {
        let Some((&[_, low, high], rest)) = payload.split_first_chunk::<3>() else {
            return self.broken("an error without a number");
        };
        // `#` and five characters of SQL state, absent before the handshake is through.
        let message = if rest.first() == Some(&b'#') { rest.get(6..) } else { Some(rest) };
        let message = message.unwrap_or_default();
        Error::Server {
            address: self.address.to_string(),
            what: what.to_owned(),
            code: u16::from_le_bytes([low, high]),
            message: String::from_utf8_lossy(message).into_owned(),
        }
    }
}
