//! Heartbeat (key 12): a member lives; it learns whether it has to join again.
//!
//! Versions: 3 static members; 4 flexible.

use std::sync::Arc;

use kafka_protocol::messages::{HeartbeatRequest, HeartbeatResponse};

use crate::broker::group::state::Identity;
use crate::broker::{Broker, access};

pub(crate) async fn answer(broker: &Arc<Broker>, request: HeartbeatRequest) -> HeartbeatResponse {
    let member = Identity {
        member: request.member_id.to_string(),
        instance: request.group_instance_id.as_deref().map(str::to_owned),
    };
    let outcome = broker.groups.heartbeat(&request.group_id, member, request.generation_id).await;
    HeartbeatResponse::default().with_error_code(access::code(outcome))
}
