//! `ApiVersions` (key 18): what we serve.
//!
//! Behaviour: answers the table of `versions`, without any feature. The answer carries **no
//! tagged fields at all**: librdkafka before 2.2.0 skips one byte too few for each
//! (librdkafka#4278), and Debian's kcat then cannot connect. Left at their defaults the
//! codec omits them.
//!
//! Versions: 0 plain; 1 throttle time; 3 flexible, with the client's name and version, which
//! must look like names (`INVALID_REQUEST` otherwise); 4 as 3. The response header is v0 in
//! all. A version above 4 is answered in the form of version 0 with `UNSUPPORTED_VERSION` and
//! our range of this key (KIP-511), see [`unsupported`].

use bytes::{BufMut, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, ApiVersionsResponse};

use crate::broker::call::Call;
use crate::broker::versions;

/// The first version in which clients say what they are.
const NAMED_SINCE: i16 = 3;

pub(crate) fn answer(call: &Call, request: &ApiVersionsRequest) -> ApiVersionsResponse {
    let names = [&request.client_software_name, &request.client_software_version];
    if call.version >= NAMED_SINCE && !names.iter().all(|name| is_name(name)) {
        return ApiVersionsResponse::default()
            .with_error_code(ResponseError::InvalidRequest.code());
    }
    let keys = versions::TABLE.iter().map(|served| {
        ApiVersion::default()
            .with_api_key(served.key as i16)
            .with_min_version(served.min)
            .with_max_version(served.max)
    });
    ApiVersionsResponse::default().with_api_keys(keys.collect())
}

/// `[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?`, as Kafka's `ApiVersionsRequest.isValid`.
fn is_name(text: &str) -> bool {
    let inner = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '.');
    let ends = |letter: Option<char>| letter.is_some_and(|letter| letter.is_ascii_alphanumeric());
    ends(text.chars().next()) && ends(text.chars().next_back()) && text.chars().all(inner)
}

/// The body for a version that we do not know: version 0, error 35, and this API's range.
pub(crate) fn unsupported(body: &mut BytesMut) {
    body.put_i16(ResponseError::UnsupportedVersion.code());
    let own =
        versions::TABLE.iter().filter(|served| served.key as i16 == ApiKey::ApiVersions as i16);
    body.put_i32(1);
    for served in own {
        body.put_i16(served.key as i16);
        body.put_i16(served.min);
        body.put_i16(served.max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_kafkas_pattern() {
        for good in ["a", "apache-kafka-java", "2.0.2", "v1.2-rc1", "7"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "-", "a-", ".a", "a b", "a_b", "é"] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
