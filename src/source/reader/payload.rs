//! A compressed transaction as it arrives: its inner events are applied one by one, and judged
//! as a whole.
//!
//! In: the pieces of one `TRANSACTION_PAYLOAD` event. Out: its inner events applied, at the place
//! of the outer one. Always: nothing of it is committed before its last piece has come and
//! length, checksum and inflated size are right. What goes wrong before is not believed either
//! (a damaged byte can look like a rollback, or like an event that nobody supports): it is kept
//! until the checksum has shown whose fault it is, and a damaged one is read again.

use bytes::Bytes;

use super::{Event, Outlet, Piece, Reader, Stop};
use crate::binlog::payload::Inflater;
use crate::binlog::{self, ChecksumOfPieces, EventHeader, HEADER_LENGTH};
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
    checksum: ChecksumOfPieces,
    /// It lies before the begin.
    is_left_out: bool,
    /// How many of its events were applied.
    count: u32,
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
            if self.is_before_begin(&place) || self.was_executed(&header, &[], &place)? {
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
        let is_first = payload.checksum.received() == 0;
        let body = if is_first { bytes.slice(HEADER_LENGTH..) } else { bytes.clone() };
        payload.checksum.push(bytes);
        if payload.ended.is_none() {
            let applied = self.inner_events(&mut payload, body, bytes.len(), outlet).await;
            self.inner = None;
            match applied {
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
            self.inner = Some(payload.count);
            payload.count += 1;
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
        let received = payload.checksum.received();
        if received != payload.header.event_size as usize {
            return Err(Stop::broken(format!(
                "a compressed transaction at {} says that it has {} bytes, and has {received}",
                self.here(),
                payload.header.event_size,
            )));
        }
        if !payload.checksum.is_right(self.format.checksum) {
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
            checksum: ChecksumOfPieces::default(),
            is_left_out: false,
            count: 0,
            ended: None,
        }
    }

    fn left_out(header: EventHeader, place: EventPlace) -> Self {
        Self { is_left_out: true, ..Self::new(header, place) }
    }
}
