//! `TRANSACTION_PAYLOAD`: a whole transaction, compressed.
//!
//! Body: fields of type, length and value, all length-encoded (1 size of the payload, 2 its
//! compression: 0 zstd, 255 none, 3 size uncompressed, 0 the end of the fields), then the payload:
//! whole events without checksums, BEGIN to COMMIT; the GTID event stands before it, outside
//! (`Transaction_payload_event`, `libs/mysql/binlog/event/control_events.h`).
//!
//! The body comes in pieces, as its packets arrive; inner events go out as soon as they are
//! whole. Memory is bounded by the largest inner event, the decoder's window (128 MiB at most,
//! as zstd limits it; 2 MiB at the server's default level) and a buffer.
//!
//! ```text
//! let mut inflater = Inflater::default();
//! for piece in pieces {
//!     inflater.push(piece, |event| take(event))?;
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

/// Takes the pieces of one payload event's body and gives its inner events.
#[derive(Default)]
pub struct Inflater {
    stage: Stage,
    /// Bytes of events not yet whole.
    events: BytesMut,
}

#[derive(Default)]
enum Stage {
    /// The fields are not whole yet.
    #[default]
    Head,
    /// With what came of them.
    HeadBegun(Vec<u8>),
    Body(Box<Body>),
}

struct Body {
    /// Bytes of the payload still to come; what follows them is the checksum.
    left: u64,
    stated: Option<u64>,
    produced: u64,
    decoder: Option<Decoder<'static>>,
    frame_ended: bool,
}

impl std::fmt::Debug for Inflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inflater").field("pending", &self.events.len()).finish_non_exhaustive()
    }
}

impl Inflater {
    /// Takes the next piece of the body (its checksum may follow in the last ones) and hands
    /// over each inner event that is whole by it: header and body, without a checksum.
    pub fn push<E: From<Error>>(
        &mut self,
        piece: &[u8],
        mut each: impl FnMut(Bytes) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut begun = match std::mem::take(&mut self.stage) {
            Stage::Body(mut body) => {
                let result = body.push(piece, &mut self.events, &mut each);
                self.stage = Stage::Body(body);
                return result;
            }
            Stage::Head => Vec::new(),
            Stage::HeadBegun(begun) => begun,
        };
        begun.extend_from_slice(piece);
        let Some((mut body, head_length)) = Body::open(&begun)? else {
            if begun.len() > LONGEST_HEAD {
                let size = begun.len() as u64;
                return Err(Error::TooLarge { what: WHAT, size, limit: LONGEST_HEAD as u64 }.into());
            }
            self.stage = Stage::HeadBegun(begun);
            return Ok(());
        };
        let rest = begun.get(head_length..).unwrap_or_default();
        let result = body.push(rest, &mut self.events, &mut each);
        self.stage = Stage::Body(Box::new(body));
        result
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
        let body = Self { left, stated, produced: 0, decoder, frame_ended: false };
        Ok(Some((body, head_length)))
    }

    fn push<E: From<Error>>(
        &mut self,
        piece: &[u8],
        events: &mut BytesMut,
        each: &mut impl FnMut(Bytes) -> Result<(), E>,
    ) -> Result<(), E> {
        let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(piece.len());
        let mut piece = piece.get(..length).unwrap_or_default();
        self.left -= length as u64;
        if self.decoder.is_none() {
            while !piece.is_empty() {
                let (part, rest) = piece.split_at(piece.len().min(ROOM));
                piece = rest;
                events.extend_from_slice(part);
                self.produce(part.len())?;
                hand_over(events, each)?;
            }
            return Ok(());
        }
        while !piece.is_empty() {
            let (taken, made, full) = self.inflate(piece, events)?;
            piece = piece.get(taken..).unwrap_or_default();
            self.produce(made)?;
            hand_over(events, each)?;
            // What did not fit the buffer comes without more input.
            let mut full = full;
            while full {
                let (_, made, again) = self.inflate(&[], events)?;
                self.produce(made)?;
                hand_over(events, each)?;
                full = again && made > 0;
            }
            if taken == 0 && made == 0 {
                let reason = "bytes are left behind the compressed data".to_owned();
                return Err(Error::Inflate { what: WHAT, reason }.into());
            }
        }
        Ok(())
    }

    /// Inflates into `events`. Gives bytes taken, bytes made, and whether the buffer was filled.
    fn inflate(
        &mut self,
        piece: &[u8],
        events: &mut BytesMut,
    ) -> Result<(usize, usize, bool), Error> {
        let Some(decoder) = &mut self.decoder else { return Ok((0, 0, false)) };
        events.reserve(ROOM);
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
        Ok((taken, made, made == ROOM))
    }

    fn produce(&mut self, bytes: usize) -> Result<(), Error> {
        self.produced += bytes as u64;
        match self.stated {
            Some(limit) if self.produced > limit => {
                Err(Error::TooLarge { what: WHAT, size: self.produced, limit })
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// Type and value of the next field; `None` at their end.
fn read_field<'a>(cursor: &mut Cursor<'a>) -> Result<Option<(u64, &'a [u8])>, Error> {
    match cursor.lenenc()? {
        0 => Ok(None),
        field => Ok(Some((field, cursor.lenenc_bytes()?))),
    }
}

/// Cuts whole events off the front.
fn hand_over<E: From<Error>>(
    events: &mut BytesMut,
    each: &mut impl FnMut(Bytes) -> Result<(), E>,
) -> Result<(), E> {
    while events.remaining() >= HEADER_LENGTH {
        let header = EventHeader::parse(events)?;
        refuse_outer(header.event_type)?;
        let size = u64::from(header.event_size);
        if size > LARGEST_EVENT {
            return Err(Error::TooLarge { what: WHAT, size, limit: LARGEST_EVENT }.into());
        }
        if events.len() < header.event_size as usize {
            break;
        }
        each(events.split_to(header.event_size as usize).freeze())?;
    }
    Ok(())
}

/// What stands around transactions never stands within one.
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
