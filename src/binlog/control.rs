//! Events about the binlog itself: format description, rotate, heartbeats.
//!
//! Bodies are what is between header and checksum; only the format description takes its
//! checksum along, because it alone says whether there is one.

#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use super::cursor::Cursor;
use super::{ChecksumAlgorithm, Error, EventHeader, EventType, HEADER_LENGTH};
use crate::change::ServerVersion;

/// `FORMAT_DESCRIPTION`: who wrote the file, and how.
///
/// Body: version u16, server version 50 bytes, created u32, header length u8, one byte for each
/// type from 1 on (the length of its post-header); since MySQL 5.6.1 and MariaDB 5.3 one byte of
/// checksum algorithm and four of checksum, whatever the algorithm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormatDescription {
    /// 4 since MySQL 5.0.
    pub binlog_version: u16,
    /// `9.7.4`, `10.11.19-MariaDB-log`.
    pub server_version: String,
    /// When the server wrote it after a start, else 0; a dump that begins within the file
    /// clears it too. (What distinguishes files is the timestamp in the header.)
    pub created: u32,
    /// Length of the post-header of each type, type 1 first.
    pub post_header_lengths: Vec<u8>,
    /// What is behind each event of the file.
    pub checksum: ChecksumAlgorithm,
}

impl FormatDescription {
    /// Reads all behind the header, checksum included.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let mut cursor = Cursor::new("FORMAT_DESCRIPTION", body);
        let binlog_version = cursor.u16()?;
        let version = cursor.take(50)?;
        let version = version.split(|byte| *byte == 0).next().unwrap_or_default();
        let server_version = String::from_utf8_lossy(version).into_owned();
        let created = cursor.u32()?;
        let header_length = cursor.u8()?;
        if usize::from(header_length) != HEADER_LENGTH {
            return Err(cursor.impossible(u64::from(header_length)));
        }
        let (lengths, checksum) = if has_checksum_field(&server_version) {
            let (rest, tail) =
                cursor.rest().split_last_chunk::<5>().ok_or_else(|| cursor.cut(5))?;
            match tail.first() {
                Some(0) => (rest, ChecksumAlgorithm::Off),
                Some(1) => (rest, ChecksumAlgorithm::Crc32),
                other => return Err(cursor.impossible(other.map_or(0, |byte| u64::from(*byte)))),
            }
        } else {
            (cursor.rest(), ChecksumAlgorithm::Off)
        };
        let post_header_lengths = lengths.to_vec();
        Ok(Self { binlog_version, server_version, created, post_header_lengths, checksum })
    }

    /// Length of the post-header of a type, where the server knows the type.
    pub fn post_header_length(&self, event_type: EventType) -> Option<u8> {
        let place = usize::from(event_type.code()).checked_sub(1)?;
        self.post_header_lengths.get(place).copied()
    }

    /// What holds before the first description has come.
    pub(crate) fn expected(server_version: &str, checksums: bool) -> Self {
        Self {
            binlog_version: 4,
            server_version: server_version.to_owned(),
            created: 0,
            post_header_lengths: Vec::new(),
            checksum: if checksums { ChecksumAlgorithm::Crc32 } else { ChecksumAlgorithm::Off },
        }
    }

    /// Whether MariaDB wrote the file.
    pub fn is_mariadb(&self) -> bool {
        self.server_version.contains("MariaDB")
    }

    /// Bytes of the table id in table maps and rows events: 4 in the first releases of 5.1.
    pub(crate) fn table_id_length(&self, event_type: EventType) -> usize {
        if self.post_header_length(event_type) == Some(6) { 4 } else { 6 }
    }
}

/// MySQL 5.6.1 and MariaDB 5.3.0 brought the checksum (`checksum_version_split_mysql` and
/// `_mariadb`, `sql/log_event.cc`).
fn has_checksum_field(server_version: &str) -> bool {
    let is_mariadb = server_version.contains("MariaDB");
    let since = if is_mariadb { ServerVersion(5, 3, 0) } else { ServerVersion(5, 6, 1) };
    ServerVersion::read(server_version) >= since
}

/// ROTATE: another file goes on. Body: position u64, name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotate<'a> {
    /// Where in the file the next event is.
    pub position: u64,
    /// The file.
    pub file: &'a str,
}

impl<'a> Rotate<'a> {
    /// Reads the body.
    pub fn parse(body: &'a [u8]) -> Result<Self, Error> {
        let mut cursor = Cursor::new("ROTATE", body);
        Ok(Self { position: cursor.u64()?, file: file_name(cursor)? })
    }
}

/// HEARTBEAT: the server has nothing more to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat<'a> {
    /// The file the server reads.
    pub file: &'a str,
    /// How far it has read, in bytes; modulo 4 GiB where the event is of version 1.
    pub position: u64,
}

impl<'a> Heartbeat<'a> {
    /// Reads the body of version 1 (a file name, the position is in the header) or 2:
    /// fields of type, length and value, the first two length-encoded. 1 the file name, 2 the
    /// position (length-encoded), 0 the end (`Heartbeat_event_v2`,
    /// `libs/mysql/binlog/event/control_events.h`).
    pub fn parse(header: &EventHeader, body: &'a [u8]) -> Result<Self, Error> {
        let mut cursor = Cursor::new("HEARTBEAT", body);
        if header.event_type != EventType::HeartbeatV2 {
            return Ok(Self { file: file_name(cursor)?, position: u64::from(header.log_pos) });
        }
        let mut heartbeat = Self { file: "", position: u64::from(header.log_pos) };
        while !cursor.is_empty() {
            let field = cursor.lenenc()?;
            if field == 0 {
                break;
            }
            let mut value = Cursor::new("HEARTBEAT", cursor.lenenc_bytes()?);
            match field {
                1 => heartbeat.file = file_name(value)?,
                2 => heartbeat.position = value.lenenc()?,
                _ => {} // younger than this program; its length says how to skip it
            }
        }
        Ok(heartbeat)
    }
}

fn file_name(mut cursor: Cursor<'_>) -> Result<&str, Error> {
    let name = cursor.text(cursor.len())?;
    Ok(name.trim_end_matches('\0'))
}
