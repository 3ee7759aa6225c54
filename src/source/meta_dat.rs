//! Canal's `meta.dat`: where a Canal stood that this instance takes over from.
//!
//! JSON; of interest is `clientDatas[].cursor.postion` (the misspelling is Canal's), of the
//! client 1001 that its MQ mode uses: `journalName`, `position`, `timestamp` (ms), `gtid`. The
//! position is the *begin* of the last transaction that Canal has delivered, so that one
//! comes again. (canal.md 13)

use serde::Deserialize;

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
    postion: Option<Cursor>,
}

/// The cursor in the file. `Ok(None)`: there is none. A file that was torn by a power cut
/// (empty, or full of NULs) is an error with words for the log.
pub(crate) fn read(bytes: &[u8]) -> Result<Option<Cursor>, String> {
    if bytes.iter().all(|byte| matches!(byte, 0 | b' ' | b'\n' | b'\r')) {
        return Err("it is empty: Canal lost its position in a crash".to_owned());
    }
    let meta: MetaDat = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let cursors = meta.client_datas.into_iter().filter_map(|data| data.cursor?.postion);
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
    }

    #[test]
    fn a_torn_file_is_not_taken_for_a_position() {
        assert!(read(b"").is_err());
        assert!(read(&[0; 4096]).is_err());
        assert!(read(b"{\"clientDatas\":[").is_err());
        assert_eq!(read(br#"{"clientDatas":[],"destination":"e"}"#), Ok(None));
    }
}
