//! XA transactions: the event that prepares them.

#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use super::Error;
use super::cursor::Cursor;
use crate::change::Xid;

/// The longest gtrid or bqual (`MAXGTRIDSIZE`, sql/xa.h).
const LONGEST_PART: u64 = 64;

/// `XA_PREPARE`: ends the part of an XA transaction that holds its rows.
///
/// Body: one phase u8, format i32, gtrid length u32, bqual length u32, gtrid, bqual.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XaPrepare {
    /// `XA COMMIT ... ONE PHASE`: committed by this event already.
    pub one_phase: bool,
    /// Which transaction.
    pub xid: Xid,
}

impl XaPrepare {
    /// Reads the body.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let mut cursor = Cursor::new("XA_PREPARE", body);
        let one_phase = cursor.u8()? != 0;
        let format = i32::from_le_bytes(cursor.array()?);
        let (gtrid, bqual) = (u64::from(cursor.u32()?), u64::from(cursor.u32()?));
        Ok(Self { one_phase, xid: read_xid(&mut cursor, format, gtrid, bqual)? })
    }
}

/// The two parts of an identifier whose lengths are known.
pub(crate) fn read_xid(
    cursor: &mut Cursor<'_>,
    format: i32,
    gtrid: u64,
    bqual: u64,
) -> Result<Xid, Error> {
    if let Some(length) = [gtrid, bqual].into_iter().find(|length| *length > LONGEST_PART) {
        return Err(cursor.impossible(length));
    }
    let gtrid = cursor.take_long(gtrid)?.to_vec();
    let bqual = cursor.take_long(bqual)?.to_vec();
    Ok(Xid { format, gtrid, bqual })
}
