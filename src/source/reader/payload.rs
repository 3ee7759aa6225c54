//! A compressed transaction as it arrives: its inner events are applied one by one, and judged
//! as a whole.
//!
//! In: the pieces of one `TRANSACTION_PAYLOAD` event. Out: its inner events applied, at the place
//! of the outer one. Always: nothing of it is committed before its last piece has come and
//! length, checksum and inflated size are right. What goes wrong before is not believed either
//! (a damaged byte can look like a rollback, or like an event that nobody supports): it is kept
//! until the checksum has told whose fault it is, and a damaged one is read again.

use bytes::Bytes;

use super::{Event, Outlet, Piece, Reader, Stop};
use crate::binlog::payload::Inflater;
use crate::binlog::{self, ChecksumAlgorithm, EventHeader, HEADER_LENGTH};
use crate::change::EventPlace;

const WHAT: &str = "TRANSACTION_PAYLOAD";

/// Whether what is applied may become visible.
pub(super) enum Proof {
    /// Its checksum was right, or there is none.
    Given,
    /// It is part of a compressed transaction whose end has not come.
    Pending {
        /// The end of the transaction, once its event has come.
        held: Option<Box<Piece>>,
    },
}

/// A compressed transaction that is arriving.
pub(super) struct Payload {
    header: EventHeader,
    place: EventPlace,
    inflater: Inflater,
    checksum: crc32fast::Hasher,
    /// The last bytes that came: the checksum, when no more come.
    tail: Vec<u8>,
    received: usize,
    /// It lies before the begin.
    is_left_out: bool,
    /// What an inner event led to; nothing behind it is applied.
    ended: Option<Stop>,
}

impl Reader<'_> {
    /// A piece of a compressed transaction.
    pub(super) async fn piece(
        &mut self,
        arriving: &mut Option<Payload>,
        bytes: &Bytes,
        last: bool,
        outlet: Outlet<'_>,
    ) -> Result<(), Stop> {
        let mut payload = if let Some(payload) = arriving.take() {
            payload
        } else {
            let header = EventHeader::parse(bytes).map_err(|e| self.odd(WHAT, e))?;
            let place = self.advance(&header)?;
            if self.is_before_begin(&place) {
                *arriving = (!last).then(|| Payload::left_out(header, place));
                return Ok(());
            }
            self.proof = Proof::Pending { held: None };
            Payload::new(header, place)
        };
        if payload.is_left_out {
            *arriving = Some(payload).filter(|_| !last);
            return Ok(());
        }
        let body = if payload.received == 0 { bytes.slice(HEADER_LENGTH..) } else { bytes.clone() };
        payload.received += bytes.len();
        payload.check(bytes);
        if payload.ended.is_none() {
            match self.inner_events(&mut payload, body, bytes.len(), outlet).await {
                Ok(()) => {}
                Err(Stop::Asked) => return Err(Stop::Asked),
                Err(stop) => payload.ended = Some(stop),
            }
        }
        if last {
            return self.end_payload(payload, outlet);
        }
        *arriving = Some(payload);
        Ok(())
    }

    /// Applies the events that are whole by this part of the body.
    async fn inner_events(
        &mut self,
        payload: &mut Payload,
        body: Bytes,
        received: usize,
        outlet: Outlet<'_>,
    ) -> Result<(), Stop> {
        payload.inflater.push(body);
        // What was received is charged once, to the first of the events that came of it.
        let mut received = received;
        while let Some(event) = payload.inflater.next_event().map_err(|e| self.odd(WHAT, e))? {
            if matches!(self.proof, Proof::Pending { held: Some(_) }) {
                return Err(Stop::broken(format!(
                    "in the compressed transaction at {} an event follows its end",
                    self.here()
                )));
            }
            let header = EventHeader::parse(&event).map_err(|e| self.odd(WHAT, e))?;
            let size = event.len().max(std::mem::take(&mut received));
            let body = event.get(HEADER_LENGTH..).unwrap_or_default();
            let event = Event { header, bytes: &event, body, place: &payload.place, size };
            if let Some(wait) = self.apply_at_once(&event, outlet)? {
                Box::pin(self.apply_later(&event, wait, outlet)).await?;
            }
            if self.has_full_parcel() {
                self.send_parcel(outlet).await?;
            }
        }
        Ok(())
    }

    /// Judges what came, and lets its end out.
    fn end_payload(&mut self, payload: Payload, outlet: Outlet<'_>) -> Result<(), Stop> {
        let proof = std::mem::replace(&mut self.proof, Proof::Given);
        if payload.received != payload.header.event_size as usize {
            return Err(Stop::broken(format!(
                "a compressed transaction at {} says that it has {} bytes, and has {}",
                self.here(),
                payload.header.event_size,
                payload.received
            )));
        }
        let tail = payload.tail.as_slice().try_into().map_or(0, u32::from_le_bytes);
        if self.format.checksum == ChecksumAlgorithm::Crc32 && payload.checksum.finalize() != tail {
            return Err(self.odd(WHAT, binlog::Error::Checksum));
        }
        if let Some(stop) = payload.ended {
            return Err(stop);
        }
        payload.inflater.finish().map_err(|e| self.odd(WHAT, e))?;
        match proof {
            Proof::Pending { held: Some(piece) } => self.hand_over(*piece, outlet),
            Proof::Pending { held: None } | Proof::Given => Ok(()),
        }
    }
}

impl Payload {
    fn new(header: EventHeader, place: EventPlace) -> Self {
        Self {
            header,
            place,
            inflater: Inflater::default(),
            checksum: crc32fast::Hasher::new(),
            tail: Vec::new(),
            received: 0,
            is_left_out: false,
            ended: None,
        }
    }

    fn left_out(header: EventHeader, place: EventPlace) -> Self {
        Self { is_left_out: true, ..Self::new(header, place) }
    }

    /// Runs the checksum over all but the last four bytes.
    fn check(&mut self, bytes: &[u8]) {
        if let Some((covered, last)) = bytes.split_last_chunk::<4>() {
            self.checksum.update(&self.tail);
            self.checksum.update(covered);
            self.tail = last.to_vec();
            return;
        }
        self.tail.extend_from_slice(bytes);
        let covered = self.tail.len().saturating_sub(4);
        self.checksum.update(self.tail.get(..covered).unwrap_or_default());
        self.tail.drain(..covered);
    }
}
