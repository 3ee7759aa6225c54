//! The body of a request: decoded, and no string of it longer than Kafka takes.
//!
//! In: the bytes behind a request's header. Out: the request, or the reason why it cannot be read.
//! Always: no string of a request has more than [`MOST`] bytes. Strings of the versions that are
//! not flexible cannot have more, as their length is an i16; of the flexible ones Kafka's own
//! reader refuses them ("string field ... had invalid length", as
//! `MessageDataGenerator.generateVariableLengthReader` writes it), and whoever stores or answers
//! them relies on that.
#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use std::ops::Range;

use bytes::{Buf, Bytes};
use kafka_protocol::messages::{JoinGroupRequest, ProduceRequest, SyncGroupRequest};
use kafka_protocol::protocol::Decodable;
use kafka_protocol::protocol::buf::{ByteBuf, NotEnoughBytesError};

use super::versions::Api;

/// The most bytes of a string.
const MOST: usize = i16::MAX as usize;

/// Decodes the body of a request of `api`.
pub(crate) fn read<T: Decodable>(api: Api, version: i16, body: Bytes) -> Result<T, String> {
    let most = if has_bytes(api) { usize::MAX } else { MOST };
    let mut body = Body { bytes: body, most, too_long: None };
    T::decode(&mut body, version).map_err(|error| match body.too_long {
        Some(length) => too_long(length),
        None => error.to_string(),
    })
}

/// Whether requests of `api` have byte fields, which may be longer: their strings are judged
/// when they are decoded, by [`Strings`].
fn has_bytes(api: Api) -> bool {
    matches!(api, Api::Produce | Api::JoinGroup | Api::SyncGroup)
}

fn too_long(length: usize) -> String {
    format!("a string of it has {length} bytes, and {MOST} are allowed")
}

/// Bytes of which no more than `most` are taken at once: strings and byte fields are.
struct Body {
    bytes: Bytes,
    most: usize,
    too_long: Option<usize>,
}

impl Buf for Body {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }
}

impl ByteBuf for Body {
    fn peek_bytes(&mut self, range: Range<usize>) -> Bytes {
        self.bytes.peek_bytes(range)
    }

    fn get_bytes(&mut self, size: usize) -> Bytes {
        self.bytes.get_bytes(size)
    }

    fn try_get_bytes(&mut self, size: usize) -> Result<Bytes, NotEnoughBytesError> {
        if size > self.most {
            self.too_long = Some(size);
            return Err(NotEnoughBytesError);
        }
        self.bytes.try_get_bytes(size)
    }
}

/// A request that has strings beside byte fields.
pub(crate) trait Strings {
    /// All its strings.
    fn strings(&self) -> impl Iterator<Item = &str>;

    /// Why it is refused, if one of them is too long.
    fn judge(&self) -> Result<(), String> {
        let mut lengths = self.strings().map(str::len);
        lengths.find(|length| *length > MOST).map_or(Ok(()), |length| Err(too_long(length)))
    }
}

impl Strings for ProduceRequest {
    fn strings(&self) -> impl Iterator<Item = &str> {
        let id = self.transactional_id.iter().map(|id| id.as_str());
        id.chain(self.topic_data.iter().map(|topic| topic.name.as_str()))
    }
}

impl Strings for JoinGroupRequest {
    fn strings(&self) -> impl Iterator<Item = &str> {
        let own = [self.group_id.as_str(), self.member_id.as_str(), self.protocol_type.as_str()];
        let nullable = [self.group_instance_id.as_deref(), self.reason.as_deref()];
        let protocols = self.protocols.iter().map(|protocol| protocol.name.as_str());
        own.into_iter().chain(nullable.into_iter().flatten()).chain(protocols)
    }
}

impl Strings for SyncGroupRequest {
    fn strings(&self) -> impl Iterator<Item = &str> {
        let own = [self.group_id.as_str(), self.member_id.as_str()];
        let nullable = [&self.group_instance_id, &self.protocol_type, &self.protocol_name]
            .map(Option::as_deref);
        let members = self.assignments.iter().map(|assignment| assignment.member_id.as_str());
        own.into_iter().chain(nullable.into_iter().flatten()).chain(members)
    }
}

#[cfg(test)]
mod tests;
