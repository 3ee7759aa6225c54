//! `TRANSACTION_PAYLOAD`: a whole transaction, compressed.
//!
//! Body: fields of type, length and value, all length-encoded (1 size of the payload, 2 its
//! compression: 0 zstd, 255 none, 3 size uncompressed, 0 the end of the fields), then the payload:
//! whole events without checksums, BEGIN to COMMIT; the GTID event is before it, outside
//! (`Transaction_payload_event`, `libs/mysql/binlog/event/control_events.h`).
//!
//! The body comes in pieces, as its packets arrive; inner events are cut one at a time, and
//! nothing is inflated before the event in front of it was taken. Memory is bounded by the largest
//! inner event, the decoder's window (128 MiB at most, as zstd limits it; 2 MiB at the server's
//! default level) and a buffer, whatever a piece inflates to.
//!
//! ```text
//! let mut inflater = Inflater::default();
//! for piece in pieces {
//!     inflater.push(piece);
//!     while let Some(event) = inflater.next_event()? {
//!         take(event);
//!     }
//! }
//! inflater.finish()?;
//! ```

#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use bytes::{Buf, Bytes, BytesMut};
use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};

use super::cursor::Cursor;
use super::{Error, EventHeader, EventType, HEADER_LENGTH};

const WHAT: &str = "TRANSACTION_PAYLOAD";
/// The fields take some 30 bytes; younger servers may add some.
const LONGEST_HEAD: usize = 4096;
/// As large as an event can be (`max_allowed_packet` of a dump, with room for its header).
const LARGEST_EVENT: u64 = (1 << 30) + (1 << 20);
/// Room for what one step inflates. Events are cut from buffers of a few of these, and keep
/// theirs alive while they are in use.
const ROOM: usize = 32 << 10;
/// When this part of an event has come, the rest gets its room at once: growing by doubling would
/// hold a large one twice.
const TRUSTED_PART: usize = 16;

/// Takes the pieces of one payload event's body and gives its inner events.
pub struct Inflater {
    stage: Stage,
    /// What came and was not looked at yet.
    piece: Bytes,
    /// Bytes of events not yet whole, or not yet taken.
    events: BytesMut,
}

enum Stage {
    /// The fields are not whole yet: what came of them.
    Head(Vec<u8>),
    Body(Box<Body>),
}

struct Body {
    /// Bytes of the payload still to come; what follows them is the checksum.
    left: u64,
    stated: Option<u64>,
    produced: u64,
    decoder: Option<Decoder<'static>>,
    /// The last step filled its room: more may come without more input.
    filled: bool,
    frame_ended: bool,
}

impl Default for Inflater {
    fn default() -> Self {
        Self { stage: Stage::Head(Vec::new()), piece: Bytes::new(), events: BytesMut::new() }
    }
}

impl std::fmt::Debug for Inflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inflater").field("pending", &self.events.len()).finish_non_exhaustive()
    }
}

impl Inflater {
    /// Gives the next piece of the body (its checksum may follow in the last ones), once
    /// [`Inflater::next_event`] has nothing more of the one before.
    pub fn push(&mut self, piece: Bytes) {
        debug_assert!(self.body().is_none_or(|body| body.left == 0 || self.piece.is_empty()));
        self.piece = piece;
    }

    /// The next inner event, header and body, without a checksum; `None` when that needs
    /// another piece.
    pub fn next_event(&mut self) -> Result<Option<Bytes>, Error> {
        if let Stage::Head(begun) = &mut self.stage {
            begun.extend_from_slice(&std::mem::take(&mut self.piece));
            let Some((body, head_length)) = Body::open(begun)? else {
                if begun.len() > LONGEST_HEAD {
                    let (size, limit) = (begun.len() as u64, LONGEST_HEAD as u64);
                    return Err(Error::TooLarge { what: WHAT, size, limit });
                }
                return Ok(None);
            };
            self.piece = Bytes::from(std::mem::take(begun));
            self.piece.advance(head_length);
            self.stage = Stage::Body(Box::new(body));
        }
        let Stage::Body(body) = &mut self.stage else { return Ok(None) };
        loop {
            if let Some(event) = cut(&mut self.events)? {
                return Ok(Some(event));
            }
            if !body.produce(&mut self.piece, &mut self.events)? {
                return Ok(None);
            }
        }
    }

    fn body(&self) -> Option<&Body> {
        match &self.stage {
            Stage::Head(_) => None,
            Stage::Body(body) => Some(body),
        }
    }

    /// Whether all that was stated came, and came out whole. To be called behind the last piece.
    pub fn finish(self) -> Result<(), Error> {
        let Stage::Body(body) = self.stage else {
            return Err(Error::Cut { what: WHAT, needed: 1, left: 0 });
        };
        let wrong = |reason: &str| Error::Inflate { what: WHAT, reason: reason.to_owned() };
        if body.left > 0 {
            return Err(wrong("the payload is cut short"));
        }
        if body.decoder.is_some() && !body.frame_ended {
            return Err(wrong("the compressed data is cut short"));
        }
        if !self.events.is_empty() {
            return Err(wrong("its last event is cut short"));
        }
        match body.stated {
            Some(stated) if stated != body.produced => Err(Error::Inflate {
                what: WHAT,
                reason: format!("{} bytes came out where {stated} are stated", body.produced),
            }),
            Some(_) | None => Ok(()),
        }
    }
}

impl Body {
    /// Reads the fields; `None` while they are not whole. Says how many bytes they take.
    fn open(bytes: &[u8]) -> Result<Option<(Self, usize)>, Error> {
        let (mut size, mut compression, mut stated) = (None, None, None);
        let mut cursor = Cursor::new(WHAT, bytes);
        loop {
            let field = match read_field(&mut cursor) {
                Ok(field) => field,
                Err(Error::Cut { .. }) => return Ok(None),
                Err(error) => return Err(error),
            };
            match field {
                Some((1, value)) => size = Some(Cursor::new(WHAT, value).lenenc()?),
                Some((2, value)) => compression = Some(Cursor::new(WHAT, value).lenenc()?),
                Some((3, value)) => stated = Some(Cursor::new(WHAT, value).lenenc()?),
                Some(_) => {} // younger than this program
                None => break,
            }
        }
        let left = size.ok_or_else(|| cursor.impossible(0))?;
        let decoder = match compression {
            Some(0) => Some(Decoder::new().map_err(|error| inflate_error(&error))?),
            Some(255) => None,
            Some(other) => return Err(cursor.impossible(other)),
            None => return Err(cursor.impossible(0)),
        };
        let head_length = bytes.len() - cursor.len();
        let body = Self { left, stated, produced: 0, decoder, filled: false, frame_ended: false };
        Ok(Some((body, head_length)))
    }

    /// Makes the next bytes of `events` out of `piece`, as many as fit [`ROOM`]; false when that
    /// needs another piece.
    fn produce(&mut self, piece: &mut Bytes, events: &mut BytesMut) -> Result<bool, Error> {
        let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(piece.len());
        let (taken, made) = if self.decoder.is_none() {
            let part = length.min(ROOM);
            make_room(events, part);
            events.extend_from_slice(piece.get(..part).unwrap_or_default());
            (part, part)
        } else if length == 0 && !self.filled {
            (0, 0)
        } else {
            self.inflate(piece.get(..length).unwrap_or_default(), events)?
        };
        piece.advance(taken);
        self.left -= taken as u64;
        self.produced += made as u64;
        if let Some(limit) = self.stated
            && self.produced > limit
        {
            return Err(Error::TooLarge { what: WHAT, size: self.produced, limit });
        }
        if taken == 0 && made == 0 && length > 0 {
            let reason = "bytes are left behind the compressed data".to_owned();
            return Err(Error::Inflate { what: WHAT, reason });
        }
        Ok(taken > 0 || made > 0)
    }

    /// Inflates into `events`. Gives bytes taken and bytes made.
    fn inflate(&mut self, piece: &[u8], events: &mut BytesMut) -> Result<(usize, usize), Error> {
        let Some(decoder) = &mut self.decoder else { return Ok((0, 0)) };
        make_room(events, ROOM);
        let start = events.len();
        events.resize(start + ROOM, 0);
        let mut input = InBuffer::around(piece);
        let mut output = OutBuffer::around(events.get_mut(start..).unwrap_or_default());
        let hint = decoder.run(&mut input, &mut output);
        let (taken, made) = (input.pos(), output.pos());
        events.truncate(start + made);
        let hint = hint.map_err(|error| inflate_error(&error))?;
        if taken > 0 || made > 0 {
            self.frame_ended = hint == 0; // asking again behind the end begins a new frame
        }
        self.filled = made == ROOM;
        Ok((taken, made))
    }
}

/// Room for `more` bytes behind those of the event that is coming.
fn make_room(events: &mut BytesMut, more: usize) {
    if events.capacity() - events.len() >= more {
        return;
    }
    let announced = EventHeader::parse(events).map_or(0, |header| header.event_size as usize);
    let rest = announced.saturating_sub(events.len());
    let is_trusted = rest > ROOM && events.len() >= announced / TRUSTED_PART;
    events.reserve(if is_trusted { rest + more } else { more });
}

/// Type and value of the next field; `None` at their end.
fn read_field<'a>(cursor: &mut Cursor<'a>) -> Result<Option<(u64, &'a [u8])>, Error> {
    match cursor.lenenc()? {
        0 => Ok(None),
        field => Ok(Some((field, cursor.lenenc_bytes()?))),
    }
}

/// Cuts a whole event off the front.
fn cut(events: &mut BytesMut) -> Result<Option<Bytes>, Error> {
    if events.len() < HEADER_LENGTH {
        return Ok(None);
    }
    let header = EventHeader::parse(events)?;
    refuse_outer(header.event_type)?;
    let size = u64::from(header.event_size);
    if size > LARGEST_EVENT {
        return Err(Error::TooLarge { what: WHAT, size, limit: LARGEST_EVENT });
    }
    let size = header.event_size as usize;
    Ok((events.len() >= size).then(|| events.split_to(size).freeze()))
}

/// What is around transactions never is within one.
fn refuse_outer(event_type: EventType) -> Result<(), Error> {
    match event_type {
        EventType::TransactionPayload
        | EventType::FormatDescription
        | EventType::Rotate
        | EventType::Gtid
        | EventType::AnonymousGtid
        | EventType::GtidTagged
        | EventType::PreviousGtids => Err(Error::Nested(event_type.code())),
        _ => Ok(()),
    }
}

fn inflate_error(error: &std::io::Error) -> Error {
    Error::Inflate { what: WHAT, reason: error.to_string() }
}
