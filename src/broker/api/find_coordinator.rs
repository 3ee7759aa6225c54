//! `FindCoordinator` (key 10): who coordinates a group. We do.
//!
//! Behaviour: the answer for a group is ourselves. For a transaction (key type 1) it is
//! `TRANSACTIONAL_ID_AUTHORIZATION_FAILED`, which stops clients with a clear error instead of
//! retrying: transactions are not served yet. Other key types are `INVALID_REQUEST`.
//!
//! Versions: 0 groups only; 1 key types and error messages; 3 flexible; 4 several keys.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_protocol::protocol::StrBytes;

use crate::broker::Broker;
use crate::broker::call::Call;

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
/// The first version with several keys.
const BATCHED_SINCE: i16 = 4;

pub(crate) fn answer(
    broker: &Broker,
    call: &Call,
    request: FindCoordinatorRequest,
) -> FindCoordinatorResponse {
    let refusal = match request.key_type {
        GROUP => None,
        TRANSACTION => Some((
            ResponseError::TransactionalIdAuthorizationFailed,
            "transactions are not served yet: produce without transactional.id",
        )),
        _ => Some((ResponseError::InvalidRequest, "groups are the only keys served")),
    };
    let endpoint = &call.peer.endpoint;
    let message = refusal.map(|(_, message)| StrBytes::from_static_str(message));
    let (node, host, port) = if refusal.is_none() {
        let host = StrBytes::from_string(endpoint.host.clone());
        (broker.settings.node_id, host, i32::from(endpoint.port))
    } else {
        (-1, StrBytes::default(), -1)
    };
    let code = refusal.map_or(0, |(error, _)| error.code());
    if call.version < BATCHED_SINCE {
        return FindCoordinatorResponse::default()
            .with_error_code(code)
            .with_error_message(message)
            .with_node_id(node.into())
            .with_host(host)
            .with_port(port);
    }
    let coordinators = request.coordinator_keys.into_iter().map(|key| {
        Coordinator::default()
            .with_key(key)
            .with_error_code(code)
            .with_error_message(message.clone())
            .with_node_id(node.into())
            .with_host(host.clone())
            .with_port(port)
    });
    FindCoordinatorResponse::default().with_coordinators(coordinators.collect())
}
