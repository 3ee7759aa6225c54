//! One connection to one broker, for single questions that librdkafka has no call for.
//!
//! In: an address, and the properties that librdkafka's clients are made with (addresses, TLS,
//! login). Out: decoded answers. Calls block, each at most [`PATIENCE`].
//! Always: an answer is at most [`LARGEST`] bytes; what fails is one sentence that says what to do,
//! without a password in it.

mod login;
mod tls;

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use kafka_protocol::messages::{
    ApiVersionsRequest, ApiVersionsResponse, RequestHeader, ResponseHeader,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Message, Request, StrBytes};

use crate::config::Properties;

/// How long a broker may take for one answer, or for a connection.
const PATIENCE: Duration = Duration::from_secs(10);

/// No answer is larger.
const LARGEST: usize = 64 << 20;

/// What a frame of TLS begins with (an alert, a handshake), read as the length of an answer.
const TLS_FRAMES: [i32; 2] = [0x1503, 0x1603];

/// What bytes go through.
trait Stream: Read + Write {}

impl<T: Read + Write> Stream for T {}

/// A connection that is logged in.
pub(super) struct Wire {
    stream: Box<dyn Stream>,
    address: String,
    correlation: i32,
    versions: BTreeMap<i16, (i16, i16)>,
    /// The version of the cluster's metadata, if it names one.
    pub(super) metadata_version: Option<i16>,
    has_login: bool,
}

impl Wire {
    /// Connects, speaks TLS and logs in, as the properties say.
    pub(super) fn connect(address: &str, properties: &Properties) -> Result<Self, String> {
        let protocol = properties.get("security.protocol").unwrap_or("plaintext");
        let has_login = protocol.starts_with("sasl");
        let pipe = open(address)?;
        let stream: Box<dyn Stream> = if protocol.ends_with("ssl") {
            Box::new(tls::wrap(pipe, address, properties)?)
        } else {
            Box::new(pipe)
        };
        let mut wire = Self {
            stream,
            address: address.to_owned(),
            correlation: 0,
            versions: BTreeMap::new(),
            metadata_version: None,
            has_login,
        };
        wire.learn_versions()?;
        if has_login {
            login::log_in(&mut wire, properties)?;
        }
        Ok(wire)
    }

    /// Whether the broker answers requests of this kind.
    pub(super) fn knows(&self, key: i16) -> bool {
        self.versions.contains_key(&key)
    }

    /// Asks, in the newest version that the broker, the library and the caller know.
    pub(super) fn ask<R: Request>(
        &mut self,
        request: &R,
        most: i16,
    ) -> Result<R::Response, String> {
        let Some((least, newest)) = self.versions.get(&R::KEY).copied() else {
            return Err(
                self.fail("does not know a request that is needed: is it Kafka 2.5 or newer?")
            );
        };
        let version = most.min(newest).min(<R as Message>::VERSIONS.max);
        if version < least {
            return Err(self.fail("is too new for this program: update sluice"));
        }
        let mut bytes = self.exchange(request, R::KEY, version)?;
        R::Response::decode(&mut bytes, version)
            .map_err(|_| self.fail("sends an answer that cannot be read"))
    }

    fn fail(&self, text: &str) -> String {
        format!("{} {text}", self.address)
    }

    /// What the broker knows. The one question that may be asked before a login.
    fn learn_versions(&mut self) -> Result<(), String> {
        const KEY: i16 = 18;
        let request = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str("sluice"))
            .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
        let mut bytes = self.exchange(&request, KEY, 3)?;
        // A broker that does not know the version answers in version 0.
        let is_new = bytes.first_chunk::<2>() == Some(&[0, 0]);
        let answer =
            ApiVersionsResponse::decode(&mut bytes, if is_new { 3 } else { 0 }).map_err(|_| {
                self.fail("sends what is no answer of a Kafka broker: is the port right?")
            })?;
        for api in &answer.api_keys {
            self.versions.insert(api.api_key, (api.min_version, api.max_version));
        }
        let metadata = answer.finalized_features.iter();
        let mut metadata = metadata.filter(|feature| feature.name.as_str() == "metadata.version");
        self.metadata_version = metadata.next().map(|feature| feature.max_version_level);
        Ok(())
    }

    /// Sends a request and takes its answer, behind the header.
    fn exchange<R: Encodable + Request>(
        &mut self,
        request: &R,
        key: i16,
        version: i16,
    ) -> Result<Bytes, String> {
        self.correlation += 1;
        let header = RequestHeader::default()
            .with_request_api_key(key)
            .with_request_api_version(version)
            .with_correlation_id(self.correlation)
            .with_client_id(Some(StrBytes::from_static_str("sluice-check")));
        let mut frame = BytesMut::new();
        frame.put_i32(0);
        let encoded = header
            .encode(&mut frame, R::header_version(version))
            .and_then(|()| request.encode(&mut frame, version));
        encoded.map_err(|error| self.fail(&format!("cannot be asked: {error}")))?;
        let length = u32::try_from(frame.len() - 4).unwrap_or(u32::MAX);
        frame[..4].copy_from_slice(&length.to_be_bytes());
        let sent = self.stream.write_all(&frame).and_then(|()| self.stream.flush());
        sent.map_err(|error| self.broken(&error))?;
        let mut bytes = self.frame()?;
        ResponseHeader::decode(&mut bytes, R::Response::header_version(version))
            .map_err(|_| self.fail("sends an answer that cannot be read"))?;
        Ok(bytes)
    }

    fn frame(&mut self) -> Result<Bytes, String> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).map_err(|error| self.broken(&error))?;
        let length = i32::from_be_bytes(length);
        if TLS_FRAMES.contains(&(length >> 16)) {
            return Err(self.fail(
                "speaks TLS: write kafka.security.protocol = SSL, or SASL_SSL where it wants a login",
            ));
        }
        let length = usize::try_from(length).ok().filter(|length| *length <= LARGEST);
        let length = length.ok_or_else(|| {
            self.fail("sends what is no answer of a Kafka broker: is the port right?")
        })?;
        let mut bytes = BytesMut::new();
        // As it comes, so that a length that is made up takes no memory.
        while bytes.len() < length {
            let piece = (length - bytes.len()).min(64 << 10);
            let begin = bytes.len();
            bytes.resize(begin + piece, 0);
            self.stream.read_exact(&mut bytes[begin..]).map_err(|error| self.broken(&error))?;
        }
        Ok(bytes.freeze())
    }

    /// Why nothing comes: a broker that wants TLS or a login says so by closing the connection.
    fn broken(&self, error: &std::io::Error) -> String {
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                self.fail(&format!("does not answer within {} s", PATIENCE.as_secs()))
            }
            _ if !self.has_login => self.fail("closes the connection: if its port wants TLS or a login, write kafka.security.protocol = SSL, SASL_PLAINTEXT or SASL_SSL"),
            _ => self.fail(&format!("closes the connection ({error}): look into its log")),
        }
    }
}

fn open(address: &str) -> Result<TcpStream, String> {
    let fail = |error: &std::io::Error| {
        format!(
            "{address} cannot be reached ({error}): is the broker up, and kafka.bootstrap.servers right?"
        )
    };
    let found = address.to_socket_addrs().map_err(|error| fail(&error))?;
    let mut last = std::io::Error::from(ErrorKind::NotFound);
    for one in found {
        let opened = TcpStream::connect_timeout(&one, PATIENCE).and_then(|pipe| {
            pipe.set_nodelay(true)?;
            pipe.set_read_timeout(Some(PATIENCE))?;
            pipe.set_write_timeout(Some(PATIENCE))?;
            Ok(pipe)
        });
        match opened {
            Ok(pipe) => return Ok(pipe),
            Err(error) => last = error,
        }
    }
    Err(fail(&last))
}
