//! The handshake: the server's greeting, TLS if wanted, and authentication.
//!
//! Packet layouts and password scrambles come from `mysql_common`; what it would panic on
//! is checked before it is called. Known methods: `mysql_native_password`,
//! `caching_sha2_password` (fast; full inside TLS or with the server's RSA key), MariaDB's
//! `client_ed25519` and `parsec`, and inside TLS `mysql_clear_password`.
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase.html>

#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use std::collections::{BTreeSet, HashMap};
use std::panic;
use std::sync::{Mutex, PoisonError};

use mysql_common::constants::CapabilityFlags;
use mysql_common::io::ParseBuf;
use mysql_common::packets::{AuthPlugin, HandshakePacket, HandshakeResponse, SslRequest};
use mysql_common::proto::MySerialize;
use tokio::io::{AsyncRead, AsyncWrite};

use super::packets::{END, ERROR, Packets};
use super::wire::Wire;
use crate::mysql::attempts::Login as Attempt;
use crate::mysql::{Error, tls};

const MAX_PACKET: u32 = 1 << 30;
/// `utf8mb4_general_ci`.
const COLLATION: u8 = 45;

/// What the greeting says of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Greeting {
    /// `9.7.4`, `10.11.19-MariaDB-0+deb12u1-log`.
    pub(super) version: String,
    capabilities: CapabilityFlags,
    nonce: Vec<u8>,
    plugin: String,
}

/// Greets, encrypts, authenticates. The caller bounds the time.
pub(super) async fn log_in<S: AsyncRead + AsyncWrite + Unpin>(
    packets: Packets<Wire<S>>,
    attempt: &Attempt<'_>,
) -> Result<(Packets<Wire<S>>, Greeting), Error> {
    let mut packets = packets;
    let payload = packets.receive().await?;
    if payload.first() == Some(&ERROR) {
        return Err(refusal(packets.server_error(&payload, "the greeting"), attempt));
    }
    let greeting = read_greeting(&payload).ok_or_else(|| packets.broken("an odd greeting"))?;
    if attempt.encrypted {
        if !greeting.capabilities.contains(CapabilityFlags::CLIENT_SSL) {
            return Err(tls::not_offered(attempt));
        }
        packets = encrypt(packets, attempt).await?;
    }
    let mut login = Login { packets, attempt };
    match login.authenticate(&greeting).await {
        Ok(plugin) => {
            if plugin == AuthPlugin::CachingSha2Password && !attempt.encrypted {
                warn_of_plain_password(attempt);
            }
            Ok((login.packets, greeting))
        }
        Err(error) => Err(tls::lost_on_the_way_in(attempt, error)),
    }
}

/// Without `DEPRECATE_EOF`: a dump ends with a classic EOF packet.
fn capabilities() -> CapabilityFlags {
    CapabilityFlags::CLIENT_LONG_PASSWORD
        | CapabilityFlags::CLIENT_PROTOCOL_41
        | CapabilityFlags::CLIENT_TRANSACTIONS
        | CapabilityFlags::CLIENT_SECURE_CONNECTION
        | CapabilityFlags::CLIENT_PLUGIN_AUTH
        | CapabilityFlags::CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA
        | CapabilityFlags::CLIENT_CONNECT_ATTRS
}

fn read_greeting(payload: &[u8]) -> Option<Greeting> {
    /// Version 10 is the only one since 3.21.
    const PROTOCOL: u8 = 10;
    /// Thread id, nonce, filler, capabilities, charset, status, capabilities.
    const UP_TO_NONCE_LENGTH: usize = 4 + 8 + 1 + 2 + 1 + 2 + 2;
    let (&version, rest) = payload.split_first()?;
    let name = rest.iter().position(|byte| *byte == 0)?;
    // mysql_common subtracts 8 from this byte as if it were signed.
    let nonce_length = *rest.get(name + 1 + UP_TO_NONCE_LENGTH)?;
    if version != PROTOCOL || nonce_length > 127 {
        return None;
    }
    let packet = ParseBuf(payload).parse::<HandshakePacket<'_>>(()).ok()?;
    Some(Greeting {
        version: packet.server_version_str().into_owned(),
        capabilities: packet.capabilities(),
        nonce: packet.nonce(),
        plugin: packet.auth_plugin_name_str().unwrap_or_default().into_owned(),
    })
}

async fn encrypt<S: AsyncRead + AsyncWrite + Unpin>(
    mut packets: Packets<Wire<S>>,
    attempt: &Attempt<'_>,
) -> Result<Packets<Wire<S>>, Error> {
    let request =
        SslRequest::new(capabilities() | CapabilityFlags::CLIENT_SSL, MAX_PACKET, COLLATION);
    packets.send(&bytes_of(&request)).await?;
    let mut plain = None;
    let packets = packets.swap(|stream| plain = Some(stream))?;
    let wire = match plain {
        Some(Wire::Plain(stream)) => Wire::encrypt(stream, attempt).await?,
        Some(already @ Wire::Tls(_)) => already,
        None => return Err(packets.broken("no stream to encrypt")),
    };
    packets.swap(|()| wire)
}

fn bytes_of(packet: &impl MySerialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.serialize(&mut bytes);
    bytes
}

/// An error before the OK is a refusal, and says which account it concerns.
fn refusal(error: Error, attempt: &Attempt<'_>) -> Error {
    match error {
        Error::Server { code, message, .. } => attempt.refusal(code, message, "the login"),
        other => other,
    }
}

struct Login<'a, S> {
    packets: Packets<Wire<S>>,
    attempt: &'a Attempt<'a>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Login<'_, S> {
    /// The method that the server was content with.
    async fn authenticate(&mut self, greeting: &Greeting) -> Result<AuthPlugin<'static>, Error> {
        let mut nonce = greeting.nonce.clone();
        let mut plugin = match greeting.plugin.as_str() {
            "" => AuthPlugin::MysqlNativePassword,
            name => AuthPlugin::from_bytes(name.as_bytes()).into_owned(),
        };
        // An unknown method in the greeting is only the server's default: the account may
        // have another, which the switch will name.
        if !is_known(&plugin) {
            plugin = AuthPlugin::MysqlNativePassword;
        }
        self.respond(&plugin, &nonce).await?;
        loop {
            let payload = self.packets.receive().await?;
            match payload.split_first() {
                Some((0, _)) => return Ok(plugin),
                Some((&ERROR, _)) => {
                    let error = self.packets.server_error(&payload, "the login");
                    return Err(refusal(error, self.attempt));
                }
                Some((&END, switch)) => {
                    (plugin, nonce) = self.read_switch(switch)?;
                    let answer = self.scramble(&plugin, &nonce);
                    self.packets.send(&answer).await?;
                }
                Some((1, more)) => self.more(&mut plugin, &nonce, more).await?,
                // The first servers with parsec send its salt without the 1 before it.
                Some(_) if matches!(plugin, AuthPlugin::MariadbParsec { .. }) => {
                    self.more(&mut plugin, &nonce, &payload).await?;
                }
                Some((byte, _)) => {
                    return Err(self.packets.broken(format!("a login answer begins with {byte}")));
                }
                None => return Err(self.packets.broken("an empty login answer")),
            }
        }
    }

    async fn respond(&mut self, plugin: &AuthPlugin<'_>, nonce: &[u8]) -> Result<(), Error> {
        let attributes = HashMap::from([
            ("program_name".to_owned(), "sluice".to_owned()),
            ("_client_name".to_owned(), "sluice".to_owned()),
        ]);
        let tls = if self.attempt.encrypted {
            CapabilityFlags::CLIENT_SSL
        } else {
            CapabilityFlags::empty()
        };
        let response = HandshakeResponse::new(
            Some(self.scramble(plugin, nonce)),
            (8, 0, 0), // decides the collation only: utf8mb4
            Some(self.attempt.credentials.user.as_bytes()),
            None::<Vec<u8>>,
            Some(plugin.borrow()),
            capabilities() | tls,
            Some(attributes),
            MAX_PACKET,
        );
        self.packets.send(&bytes_of(&response)).await
    }

    /// The answer to a nonce; empty for an empty password, and while parsec's salt is due.
    fn scramble(&self, plugin: &AuthPlugin<'_>, nonce: &[u8]) -> Vec<u8> {
        if matches!(plugin, AuthPlugin::MariadbParsec { iterations: 0, .. }) {
            return Vec::new();
        }
        let data = plugin.gen_data(Some(&self.attempt.credentials.password), nonce);
        let mut data = data.map(|data| data.to_vec()).unwrap_or_default();
        if matches!(plugin, AuthPlugin::MysqlClearPassword) {
            data.push(0); // the password as a C string
        }
        data
    }

    fn read_switch(&self, switch: &[u8]) -> Result<(AuthPlugin<'static>, Vec<u8>), Error> {
        let Some(end) = switch.iter().position(|byte| *byte == 0) else {
            return Err(self.attempt.refuse("the server wants the method of before MySQL 4.1"));
        };
        let (name, nonce) = switch.split_at(end);
        let plugin = AuthPlugin::from_bytes(name).into_owned();
        if matches!(plugin, AuthPlugin::MysqlClearPassword) {
            if !self.attempt.encrypted {
                return Err(self.attempt.refuse_clear_text());
            }
        } else if !is_known(&plugin) {
            return Err(self.attempt.refuse_method(&String::from_utf8_lossy(name)));
        }
        let nonce = nonce.get(1..).unwrap_or_default();
        Ok((plugin, nonce.strip_suffix(&[0]).unwrap_or(nonce).to_vec()))
    }

    /// What a method asks beyond its first answer.
    async fn more(
        &mut self,
        plugin: &mut AuthPlugin<'static>,
        nonce: &[u8],
        more: &[u8],
    ) -> Result<(), Error> {
        /// The cache knew the answer; an OK follows.
        const FAST: &[u8] = &[3];
        /// The server needs the password itself.
        const FULL: &[u8] = &[4];
        match plugin {
            AuthPlugin::CachingSha2Password if more == FAST => Ok(()),
            AuthPlugin::CachingSha2Password if more == FULL => self.full(nonce).await,
            AuthPlugin::MariadbParsec { .. } => {
                if plugin.read_add_data(more).is_none() {
                    return Err(self.packets.broken("an odd salt for parsec"));
                }
                let answer = self.scramble(plugin, nonce);
                self.packets.send(&answer).await
            }
            _ => Err(self.packets.broken("the login asks for something unknown")),
        }
    }

    /// Full authentication of `caching_sha2_password`: the password, encrypted one way or
    /// the other.
    async fn full(&mut self, nonce: &[u8]) -> Result<(), Error> {
        const REQUEST_PUBLIC_KEY: &[u8] = &[2];
        let mut password = self.attempt.credentials.password.clone().into_bytes();
        password.push(0);
        if self.attempt.encrypted {
            return self.packets.send(&password).await;
        }
        if !self.attempt.endpoint.ask_for_public_key {
            return Err(self.attempt.refuse(
                "the password would cross an unencrypted connection; set sslMode to REQUIRED",
            ));
        }
        self.packets.send(REQUEST_PUBLIC_KEY).await?;
        let payload = self.packets.receive().await?;
        let key = match payload.split_first() {
            Some((1, key)) => key,
            Some((&ERROR, _)) => {
                let error = self.packets.server_error(&payload, "the login");
                return Err(refusal(error, self.attempt));
            }
            _ => return Err(self.packets.broken("no public key where one was due")),
        };
        for (byte, mask) in password.iter_mut().zip(nonce.iter().cycle()) {
            *byte ^= mask;
        }
        // It panics on a key that is none, and on a password too long for the key.
        let encrypted = panic::catch_unwind(|| mysql_common::crypto::encrypt(&password, key));
        match encrypted {
            Ok(encrypted) => self.packets.send(&encrypted).await,
            Err(_) => Err(self.packets.broken("a public key that cannot be used")),
        }
    }
}

/// Said once for each server: it holds for each connect.
fn warn_of_plain_password(attempt: &Attempt<'_>) {
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let address = attempt.address();
    if SAID.lock().unwrap_or_else(PoisonError::into_inner).insert(address.clone()) {
        tracing::warn!(
            "{address} takes the password by caching_sha2_password over a plain connection, \
             encrypted with a key that whoever answers there hands out: set \
             canal.instance.master.sslMode to VERIFY_CA, or at least to REQUIRED"
        );
    }
}

/// Methods that never show the password to whoever listens.
fn is_known(plugin: &AuthPlugin<'_>) -> bool {
    match plugin {
        AuthPlugin::MysqlNativePassword
        | AuthPlugin::CachingSha2Password
        | AuthPlugin::Ed25519
        | AuthPlugin::MariadbParsec { .. } => true,
        AuthPlugin::MysqlOldPassword | AuthPlugin::MysqlClearPassword | AuthPlugin::Other(_) => {
            false
        }
    }
}
