//! What is said to the server between login and dump: our settings of its session
//! (binlog.md 1), `COM_REGISTER_SLAVE`, and the dump command itself (binlog.md 2).

use mysql_common::packets::ComRegisterSlave;
use mysql_common::proto::MySerialize as _;
use tokio::io::{AsyncRead, AsyncWrite};

use super::packets::{END, ERROR};
use super::{AtEnd, DumpFrom, Replica};
use crate::change::{GtidSet, MySqlGtids, ServerVersion};
use crate::mysql::Error;
use crate::mysql::session::ALL_ROWS;

const COM_QUERY: u8 = 0x03;
const COM_BINLOG_DUMP: u8 = 0x12;
const COM_BINLOG_DUMP_GTID: u8 = 0x1e;

/// MySQL: heartbeats with a 64-bit position. Older servers ignore the flag, but from
/// 8.0.26 on it is known for sure.
const USE_HEARTBEAT_EVENT_V2: u16 = 2;
const HEARTBEAT_V2_SINCE: ServerVersion = ServerVersion(8, 0, 26);
/// MariaDB, the same bit: send `ANNOTATE_ROWS` events, the statements behind the rows.
const SEND_ANNOTATE_ROWS: u16 = 2;
/// End at the end of the binlog instead of waiting for more.
const NON_BLOCK: u16 = 1;
/// The set is to be heeded.
const THROUGH_GTID: u16 = 4;

impl<S: AsyncRead + AsyncWrite + Unpin> Replica<S> {
    /// Says to the server's session what we can do and want.
    pub(super) async fn introduce(&mut self, user: &str) -> Result<(), Error> {
        self.packets.what = "preparing the dump";
        let heartbeat = self.settings.heartbeat.as_nanos();
        let uuid = &self.settings.uuid;
        // The names of before and after 8.0.26, each unknown to some server: user
        // variables are never refused.
        let mut settings = vec![
            "SET @source_binlog_checksum = @@global.binlog_checksum, \
             @master_binlog_checksum = @@global.binlog_checksum"
                .to_owned(),
            format!(
                "SET @source_heartbeat_period = {heartbeat}, @master_heartbeat_period = {heartbeat}"
            ),
            // The server drops a replica that reads slowly during a large transaction. What is asked
            // here comes as it is, whatever the server's defaults.
            format!(
                "SET NAMES utf8mb4, SESSION {ALL_ROWS}, SESSION wait_timeout = 7200, \
                 SESSION net_write_timeout = 7200, SESSION net_read_timeout = 7200"
            ),
        ];
        if !uuid.is_empty() {
            settings.push(format!("SET @slave_uuid = '{uuid}', @replica_uuid = '{uuid}'"));
        }
        if self.is_mariadb() {
            // Without it GTID events come as dummy QUERY events.
            settings.push("SET @mariadb_slave_capability = 4".to_owned());
        }
        for setting in settings {
            self.ask(&setting).await?;
        }
        let checksum = self.ask("SELECT @master_binlog_checksum").await?;
        self.checksums = checksum.is_some_and(|algorithm| algorithm == b"CRC32");
        if self.settings.server_id == 0 {
            return Ok(());
        }
        let mut register = Vec::new();
        ComRegisterSlave::new(self.settings.server_id)
            .with_user(&user.as_bytes()[..user.len().min(255)])
            .serialize(&mut register);
        self.packets.begin_command();
        self.packets.send(&register).await?;
        self.expect_ok("COM_REGISTER_SLAVE").await
    }

    /// Sends the dump command that `from` needs.
    pub(super) async fn send_dump(&mut self, from: &DumpFrom, at_end: AtEnd) -> Result<(), Error> {
        let server_id = self.settings.server_id;
        let flags = match at_end {
            AtEnd::Wait => self.flags(),
            AtEnd::Stop => self.flags() | NON_BLOCK,
        };
        let command = match from {
            DumpFrom::File { file, offset } => {
                let offset = u32::try_from(*offset).map_err(|_| {
                    self.packets.broken(format!(
                        "a dump cannot begin at {file}:{offset}: the command has 32 bits for the \
                         offset; start by GTID (canal.instance.gtidon = true)"
                    ))
                })?;
                dump(server_id, flags, file, offset)
            }
            DumpFrom::Gtid(GtidSet::MySql(set)) => dump_gtid(server_id, flags, set),
            DumpFrom::Gtid(set @ GtidSet::MariaDb(_)) => {
                for setting in [
                    format!("SET @slave_connect_state = '{set}'"),
                    "SET @slave_gtid_strict_mode = @@GLOBAL.gtid_strict_mode".to_owned(),
                    "SET @slave_gtid_ignore_duplicates = 0".to_owned(),
                ] {
                    self.ask(&setting).await?;
                }
                dump(server_id, flags, "", 4)
            }
        };
        self.packets.begin_command();
        self.packets.send(&command).await
    }

    fn flags(&self) -> u16 {
        if self.is_mariadb() {
            SEND_ANNOTATE_ROWS
        } else if ServerVersion::read(&self.version) >= HEARTBEAT_V2_SINCE {
            USE_HEARTBEAT_EVENT_V2
        } else {
            0
        }
    }

    /// Runs a statement; the first value of its last row, if it returns rows.
    async fn ask(&mut self, statement: &str) -> Result<Option<Vec<u8>>, Error> {
        let mut command = vec![COM_QUERY];
        command.extend_from_slice(statement.as_bytes());
        self.packets.begin_command();
        self.packets.send(&command).await?;
        let first = self.packets.receive().await?;
        match first.first() {
            Some(0) => return Ok(None),
            Some(&ERROR) => return Err(self.packets.server_error(&first, statement)),
            _ => {}
        }
        // The definitions of the columns, EOF, the rows, EOF.
        self.skip_to_end().await?;
        Ok(self.skip_to_end().await?.and_then(|row| {
            let (&length, rest) = row.split_first()?;
            rest.get(..usize::from(length)).map(<[u8]>::to_vec) // NULL is 251 without bytes
        }))
    }

    /// Receives up to an EOF packet; the last payload before it.
    async fn skip_to_end(&mut self) -> Result<Option<bytes::Bytes>, Error> {
        let mut last = None;
        loop {
            let payload = self.packets.receive().await?;
            match payload.first() {
                Some(&END) if payload.len() < 9 => return Ok(last),
                Some(&ERROR) => return Err(self.packets.server_error(&payload, "a result")),
                _ => last = Some(payload),
            }
        }
    }

    async fn expect_ok(&mut self, what: &str) -> Result<(), Error> {
        let payload = self.packets.receive().await?;
        match payload.first() {
            Some(0) => Ok(()),
            Some(&ERROR) => Err(self.packets.server_error(&payload, what)),
            _ => Err(self.packets.broken(format!("an odd answer to {what}"))),
        }
    }
}

fn dump(server_id: u32, flags: u16, file: &str, offset: u32) -> Vec<u8> {
    let mut command = vec![COM_BINLOG_DUMP];
    command.extend_from_slice(&offset.to_le_bytes());
    command.extend_from_slice(&flags.to_le_bytes());
    command.extend_from_slice(&server_id.to_le_bytes());
    command.extend_from_slice(file.as_bytes());
    command
}

/// No file name, position 4: the server finds the file by the set.
fn dump_gtid(server_id: u32, flags: u16, set: &MySqlGtids) -> Vec<u8> {
    let mut encoded = Vec::new();
    set.encode(&mut encoded);
    let length = u32::try_from(encoded.len()).unwrap_or(u32::MAX); // `send` refuses such a length
    let mut command = vec![COM_BINLOG_DUMP_GTID];
    command.extend_from_slice(&(flags | THROUGH_GTID).to_le_bytes());
    command.extend_from_slice(&server_id.to_le_bytes());
    command.extend_from_slice(&0_u32.to_le_bytes());
    command.extend_from_slice(&4_u64.to_le_bytes());
    command.extend_from_slice(&length.to_le_bytes());
    command.extend_from_slice(&encoded);
    command
}
