//! Canal's `meta.dat`: the position of a Canal that this instance takes over from.
//!
//! JSON; of interest is `clientDatas[].cursor.postion` (the misspelling is Canal's), of the
//! client 1001 that its MQ mode uses: `journalName`, `position`, `timestamp` (ms), `gtid`. The
//! position is the *begin* of the last transaction that Canal has delivered, so that one
//! comes again. Beside it is written whose binlog it is of: the address that Canal was connected to
//! (`identity.sourceAddress`) and the `serverId` in the head of that event. (canal.md 13)

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

/// A `meta.dat` that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Where it lies, for messages.
    pub path: PathBuf,
    /// Its content.
    pub content: Vec<u8>,
}

/// What a cursor says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
pub(crate) struct Cursor {
    /// The binlog file.
    pub(crate) journal_name: String,
    /// The offset in it.
    pub(crate) position: u64,
    /// Of the event, in milliseconds since 1970.
    pub(crate) timestamp: i64,
    /// The executed set; empty without gtidon.
    pub(crate) gtid: String,
    /// Of the server that made the event; 0 or none: not known.
    pub(crate) server_id: Option<i64>,
    /// The server that Canal was connected to.
    #[serde(skip)]
    pub(crate) source: Option<SourceAddress>,
}

/// A server, as Canal was configured with it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct SourceAddress {
    /// Host name or address.
    pub(crate) address: String,
    pub(crate) port: u16,
}

impl Cursor {
    /// Whether the cursor is of another server than the one at `host` and `port`, going by the
    /// addresses alone. `theirs` and `ours` are what the two names resolve to.
    pub(crate) fn is_of_other_address(
        &self,
        (host, port): (&str, u16),
        theirs: &[IpAddr],
        ours: &[IpAddr],
    ) -> bool {
        self.source.as_ref().is_some_and(|source| {
            let is_same_host = source.address.eq_ignore_ascii_case(host)
                || theirs.iter().any(|address| ours.contains(address));
            !is_same_host || source.port != port
        })
    }

    /// Whether the cursor's event was made by another server than `found`, whose event is
    /// at its place.
    pub(crate) fn is_of_other_server(&self, found: Option<u32>) -> bool {
        match (self.server_id.filter(|id| *id > 0), found) {
            (Some(id), Some(found)) => id != i64::from(found),
            (None, _) | (_, None) => false,
        }
    }

    /// The second since 1970 from which on everything comes, on whichever server; `None` if the
    /// cursor has no time.
    pub(crate) fn safe_time(&self, fallback: Duration) -> Option<u32> {
        let seconds = u64::try_from(self.timestamp).ok().filter(|millis| *millis > 0)? / 1000;
        Some(u32::try_from(seconds.saturating_sub(fallback.as_secs())).unwrap_or(u32::MAX))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MetaDat {
    #[serde(default)]
    client_datas: Vec<ClientData>,
}

#[derive(Deserialize)]
struct ClientData {
    cursor: Option<Wrapped>,
}

#[derive(Deserialize)]
struct Wrapped {
    identity: Option<Identity>,
    postion: Option<Cursor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Identity {
    source_address: Option<SourceAddress>,
}

impl Wrapped {
    fn cursor(self) -> Option<Cursor> {
        let source = self.identity.and_then(|identity| identity.source_address);
        Some(Cursor { source, ..self.postion? })
    }
}

/// The cursor in the file. `Ok(None)`: there is none. A file that was torn by a power cut
/// (empty, or full of NULs) is an error with words for the log.
pub(crate) fn read(bytes: &[u8]) -> Result<Option<Cursor>, String> {
    if bytes.iter().all(|byte| matches!(byte, 0 | b' ' | b'\n' | b'\r')) {
        return Err("it is empty: Canal lost its position in a crash".to_owned());
    }
    let meta: MetaDat = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let cursors = meta.client_datas.into_iter().filter_map(|data| data.cursor?.cursor());
    // Several clients: the one that is furthest behind loses nothing.
    Ok(cursors.min_by_key(|cursor| cursor.timestamp))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_of_canal_is_found() {
        // As in alibaba/canal#3338.
        let sample = br#"{"clientDatas":[{"clientIdentity":{"clientId":1001,"destination":"example","filter":""},
            "cursor":{"identity":{"slaveId":-1,"sourceAddress":{"address":"db1","port":3306}},
            "postion":{"gtid":"","included":false,"journalName":"mysql-bin.000266",
            "position":226987109,"serverId":1,"timestamp":1610750948000}}}],"destination":"example"}"#;
        let cursor = read(sample).unwrap().unwrap();
        assert_eq!(cursor.journal_name, "mysql-bin.000266");
        assert_eq!(cursor.position, 226_987_109);
        assert_eq!(cursor.timestamp, 1_610_750_948_000);
        assert_eq!(cursor.gtid, "");
        assert_eq!(cursor.server_id, Some(1));
        assert_eq!(cursor.source, Some(SourceAddress { address: "db1".to_owned(), port: 3306 }));
    }

    #[test]
    fn a_cursor_of_another_address_is_distinguished_from_one_of_another_name() {
        let [a, b, c] = [1, 2, 3].map(|last| IpAddr::from([10, 0, 0, last]));
        let source =
            |address: &str, port| Some(SourceAddress { address: address.to_owned(), port });
        for (source, theirs, ours, is_other) in [
            (None, &[][..], &[a][..], false),
            (source("db", 3306), &[], &[a], false),
            (source("DB", 3306), &[], &[], false),
            (source("db", 3307), &[a], &[a], true),
            (source("db-old", 3306), &[], &[a], true),
            (source("db-old", 3306), &[], &[], true),
            (source("db-old", 3306), &[b], &[a], true),
            (source("db-old", 3306), &[c, a], &[b, a], false),
            (source("10.0.0.1", 3306), &[a], &[a], false),
            (source("10.0.0.1", 3307), &[a], &[a], true),
        ] {
            let cursor = Cursor { source, ..Cursor::default() };
            let found = cursor.is_of_other_address(("db", 3306), theirs, ours);
            assert_eq!(found, is_other, "{cursor:?} {theirs:?} {ours:?}");
        }
    }

    #[test]
    fn a_cursor_of_another_server_id_is_noticed() {
        for (server_id, found, is_other) in [
            (None, Some(1), false),
            (Some(0), Some(1), false),
            (Some(-1), Some(1), false),
            (Some(1), None, false),
            (Some(1), Some(1), false),
            (Some(77), Some(1), true),
            (Some(4_294_967_295), Some(u32::MAX), false),
        ] {
            let cursor = Cursor { server_id, ..Cursor::default() };
            assert_eq!(cursor.is_of_other_server(found), is_other, "{server_id:?} {found:?}");
        }
    }

    #[test]
    fn the_safe_time_is_a_minute_before_that_of_the_cursor() {
        for (timestamp, seconds) in [
            (1_600_000_000_999, Some(1_599_999_940)),
            (5_000, Some(0)),
            (0, None),
            (-1, None),
            (i64::MAX, Some(u32::MAX)),
        ] {
            let cursor = Cursor { timestamp, ..Cursor::default() };
            assert_eq!(cursor.safe_time(Duration::from_mins(1)), seconds, "{timestamp}");
        }
    }

    #[test]
    fn a_torn_file_is_not_taken_for_a_position() {
        assert!(read(b"").is_err());
        assert!(read(&[0; 4096]).is_err());
        assert!(read(b"{\"clientDatas\":[").is_err());
        assert_eq!(read(br#"{"clientDatas":[],"destination":"e"}"#), Ok(None));
    }
}
