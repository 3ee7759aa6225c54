//! The events that begin transactions with their GTID, and those that list executed sets.
//!
//! MySQL 33 and 34: flags u8 (1: may hold statements), UUID 16 bytes, number i64; since 5.7:
//! type code 2, last committed i64, sequence number i64; since 8.0: immediate commit timestamp
//! 7 bytes (microseconds; its top bit: the original timestamp follows), length of the
//! transaction (length-encoded), server versions, commit group ticket. All after the number is
//! optional, and what follows what is used here is not looked at.
//!
//! MySQL 42 (with tag): the serialization format: version (2) and then all as variable-length
//! integers: size, last field that must be known, and pairs of field number and value, ascending
//! (`Gtid_event::define_fields`, `libs/mysql/binlog/event/control_events.h`).
//!
//! MariaDB 162: number u64, domain u32, flags u8; then what the flags say, and since 10.8 extra
//! flags u8 and what they say. The server id is in the header. MariaDB 163: count u32 (its top four bits are flags), then domain u32, server
//! u32, number u64 for each.

#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use std::sync::Arc;

use super::cursor::{Cursor, little_endian};
use super::xa::read_xid;
use super::{Error, EventHeader, EventType};
use crate::change::{
    Gtid, GtidSet, MariaDbGtids, MySqlGtids, Sid, Xid, is_tag, read_signed, read_unsigned,
};

/// A transaction begins (types 33, 34, 42, 162).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct GtidEvent {
    /// `None` for an anonymous one.
    pub gtid: Option<Gtid>,
    /// What MariaDB says of it; all false from MySQL, which says nothing.
    pub flags: GtidFlags,
    /// When the server that made it committed, in microseconds since 1970.
    pub original_commit_timestamp: Option<u64>,
    /// When the server that sends it committed, in microseconds since 1970.
    pub immediate_commit_timestamp: Option<u64>,
    /// Bytes of the whole transaction, this event included, as the server wrote it.
    pub transaction_length: Option<u64>,
    /// MariaDB: the XA transaction that is prepared or completed.
    pub xid: Option<Xid>,
}

/// MariaDB's flags of a GTID (`Gtid_log_event`, `sql/log_event.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "they are bits of one byte on the wire")]
pub struct GtidFlags {
    /// One statement follows, without COMMIT.
    pub standalone: bool,
    /// Can be rolled back.
    pub transactional: bool,
    /// DDL.
    pub ddl: bool,
    /// Ends as an XA transaction prepared.
    pub prepared_xa: bool,
    /// Commits or rolls back a prepared XA transaction.
    pub completed_xa: bool,
    /// The ALTER TABLE that follows runs in two phases (`binlog_alter_two_phase`).
    pub alter: Option<AlterPhase>,
}

/// A part of an ALTER TABLE in two phases: each is an event of its own, with the same text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlterPhase {
    /// It begins; rows go on in the table as it was.
    Start,
    /// It took effect.
    Commit,
    /// It failed.
    Rollback,
}

/// Bits of the extra flags (`Gtid_log_event::enum_flags_extra`, `sql/log_event.h`).
mod extra {
    pub(super) const START_ALTER: u8 = 2;
    pub(super) const COMMIT_ALTER: u8 = 4;
    pub(super) const ROLLBACK_ALTER: u8 = 8;
}

impl AlterPhase {
    fn of(extra: u8) -> Option<Self> {
        if extra & extra::START_ALTER != 0 {
            Some(Self::Start)
        } else if extra & extra::COMMIT_ALTER != 0 {
            Some(Self::Commit)
        } else if extra & extra::ROLLBACK_ALTER != 0 {
            Some(Self::Rollback)
        } else {
            None
        }
    }
}

const GROUP_COMMIT_ID: u8 = 2;
const PREPARED_XA: u8 = 64;
const COMPLETED_XA: u8 = 128;

impl GtidEvent {
    /// Reads the body.
    pub fn parse(header: &EventHeader, body: &[u8]) -> Result<Self, Error> {
        match header.event_type {
            EventType::MariaDbGtid => Self::parse_mariadb(header, body),
            EventType::GtidTagged => parse_tagged(body),
            _ => Self::parse_mysql(header.event_type == EventType::AnonymousGtid, body),
        }
    }

    fn parse_mysql(anonymous: bool, body: &[u8]) -> Result<Self, Error> {
        const OTHER_FOLLOWS: u64 = 1 << 55;
        let mut cursor = Cursor::new("GTID", body);
        cursor.u8()?;
        let sid = Sid(cursor.array()?);
        let gno = cursor.u64()?;
        let gtid = if anonymous { None } else { Some(untagged(&cursor, sid, gno)?) };
        let mut event = Self { gtid, ..Self::default() };
        if cursor.is_empty() || cursor.u8()? != 2 {
            return Ok(event); // 5.6
        }
        // last committed and sequence number order parallel appliers; nothing here needs them
        if cursor.take(16).is_err() || cursor.len() < 7 {
            return Ok(event); // 5.7
        }
        let immediate = cursor.uint(7)?;
        let original = if immediate & OTHER_FOLLOWS == 0 { immediate } else { cursor.uint(7)? };
        event.immediate_commit_timestamp = Some(immediate & !OTHER_FOLLOWS);
        event.original_commit_timestamp = Some(original);
        if !cursor.is_empty() {
            event.transaction_length = Some(cursor.lenenc()?);
        }
        Ok(event)
    }

    fn parse_mariadb(header: &EventHeader, body: &[u8]) -> Result<Self, Error> {
        let mut cursor = Cursor::new("MariaDB's GTID", body);
        let (seq, domain, flags) = (cursor.u64()?, cursor.u32()?, cursor.u8()?);
        let mut event = Self {
            gtid: Some(Gtid::MariaDb { domain, server: header.server_id, seq }),
            flags: GtidFlags {
                standalone: flags & 1 != 0,
                transactional: flags & 4 != 0,
                ddl: flags & 32 != 0,
                prepared_xa: flags & PREPARED_XA != 0,
                completed_xa: flags & COMPLETED_XA != 0,
                alter: None,
            },
            ..Self::default()
        };
        if flags & GROUP_COMMIT_ID != 0 {
            cursor.u64()?;
        }
        if flags & (PREPARED_XA | COMPLETED_XA) != 0 {
            let format = i32::from_le_bytes(cursor.array()?);
            let (gtrid, bqual) = (u64::from(cursor.u8()?), u64::from(cursor.u8()?));
            event.xid = Some(read_xid(&mut cursor, format, gtrid, bqual)?);
        }
        // Since 10.8; zeros fill a short event.
        if !cursor.is_empty() {
            event.flags.alter = AlterPhase::of(cursor.u8()?);
        }
        Ok(event)
    }
}

impl GtidEvent {
    /// When the server that sends it wrote it, in seconds since 1970; 0 where it does not say. It is
    /// that server's clock (`MYSQL_BIN_LOG::write_transaction`, sql/binlog.cc), where a header has
    /// what the session calls the time (`SET timestamp`).
    pub(crate) fn server_time(&self) -> u32 {
        let micros = self.immediate_commit_timestamp.unwrap_or(0);
        u32::try_from(micros / 1_000_000).unwrap_or(0)
    }
}

fn untagged(cursor: &Cursor<'_>, sid: Sid, gno: u64) -> Result<Gtid, Error> {
    match i64::try_from(gno) {
        Ok(1..) => Ok(Gtid::MySql { sid, tag: None, gno }),
        Ok(_) | Err(_) => Err(cursor.impossible(gno)),
    }
}

/// Field numbers of the tagged event.
mod field {
    pub(super) const FLAGS: u64 = 0;
    pub(super) const UUID: u64 = 1;
    pub(super) const GNO: u64 = 2;
    pub(super) const TAG: u64 = 3;
    pub(super) const LAST_COMMITTED: u64 = 4;
    pub(super) const SEQUENCE_NUMBER: u64 = 5;
    pub(super) const IMMEDIATE_TIMESTAMP: u64 = 6;
    pub(super) const ORIGINAL_TIMESTAMP: u64 = 7;
    pub(super) const LENGTH: u64 = 8;
}

fn parse_tagged(body: &[u8]) -> Result<GtidEvent, Error> {
    const WHAT: &str = "GTID_TAGGED";
    let cut = |left: &[u8]| Error::Cut { what: WHAT, needed: 1, left: left.len() };
    let impossible = |value| Error::Impossible { what: WHAT, value };
    let mut bytes = body;
    let bytes = &mut bytes;
    let unsigned = |bytes: &mut &[u8]| read_unsigned(bytes).ok_or_else(|| cut(bytes));
    let signed = |bytes: &mut &[u8]| read_signed(bytes).ok_or_else(|| cut(bytes));

    // The version of the format is itself such an integer: 1 is written as the byte 2.
    let version = unsigned(bytes)?;
    if version != 1 {
        return Err(impossible(version));
    }
    let size = unsigned(bytes)?;
    if usize::try_from(size).ok().is_none_or(|size| size > body.len()) {
        return Err(impossible(size));
    }
    let must_be_known = unsigned(bytes)?;
    let (mut sid, mut tag, mut gno) = ([0; 16], None, 0);
    let mut event = GtidEvent::default();
    while !bytes.is_empty() {
        match unsigned(bytes)? {
            field::FLAGS => drop(unsigned(bytes)?),
            field::UUID => {
                for byte in &mut sid {
                    let value = unsigned(bytes)?;
                    *byte = u8::try_from(value).map_err(|_| impossible(value))?;
                }
            }
            field::GNO => gno = signed(bytes)?,
            field::TAG => tag = read_tag(bytes)?,
            field::LAST_COMMITTED | field::SEQUENCE_NUMBER => drop(signed(bytes)?),
            field::IMMEDIATE_TIMESTAMP => {
                event.immediate_commit_timestamp = Some(unsigned(bytes)?);
            }
            field::ORIGINAL_TIMESTAMP => event.original_commit_timestamp = Some(unsigned(bytes)?),
            field::LENGTH => event.transaction_length = Some(unsigned(bytes)?),
            other if other <= must_be_known && other > 11 => return Err(impossible(other)),
            _ => break, // server versions, the ticket, and what is younger
        }
    }
    // Absent: the same as the immediate one.
    event.original_commit_timestamp =
        event.original_commit_timestamp.or(event.immediate_commit_timestamp);
    let gno = u64::try_from(gno).ok().filter(|gno| *gno > 0).ok_or_else(|| impossible(0))?;
    event.gtid = Some(Gtid::MySql { sid: Sid(sid), tag, gno });
    Ok(event)
}

fn read_tag(bytes: &mut &[u8]) -> Result<Option<Arc<str>>, Error> {
    const WHAT: &str = "the tag of a GTID";
    let cut = |left: &[u8]| Error::Cut { what: WHAT, needed: 1, left: left.len() };
    let length = read_unsigned(bytes).ok_or_else(|| cut(bytes))?;
    let length = usize::try_from(length).map_err(|_| cut(bytes))?;
    let (tag, rest) = bytes.split_at_checked(length).ok_or_else(|| cut(bytes))?;
    *bytes = rest;
    if tag.is_empty() {
        return Ok(None);
    }
    let tag = std::str::from_utf8(tag).map_err(|_| Error::NotUtf8 { what: WHAT })?;
    if !is_tag(tag) {
        return Err(Error::Impossible { what: WHAT, value: length as u64 });
    }
    Ok(Some(Arc::from(tag)))
}

/// `PREVIOUS_GTIDS`: what was executed before the file.
pub fn previous_gtids(body: &[u8]) -> Result<GtidSet, Error> {
    Ok(GtidSet::MySql(MySqlGtids::decode(body)?))
}

/// MariaDB's `GTID_LIST`: the last GTID of each domain before the file.
///
/// A domain has an entry for each server that wrote to it, the last one at its end
/// (`rpl_binlog_state::get_gtid_list`, `sql/rpl_gtid.cc`).
pub fn gtid_list(body: &[u8]) -> Result<GtidSet, Error> {
    let mut cursor = Cursor::new("GTID_LIST", body);
    let count = cursor.u32()? & 0x0fff_ffff;
    let mut set = MariaDbGtids::default();
    for _ in 0..count {
        let [domain, server] = [cursor.u32()?, cursor.u32()?];
        let seq = little_endian(cursor.take(8)?);
        set.insert(domain, server, seq);
    }
    Ok(GtidSet::MariaDb(set))
}
