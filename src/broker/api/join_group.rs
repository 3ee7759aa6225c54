//! `JoinGroup` (key 11): becomes a member, or stays one through a rebalance.
//!
//! Behaviour: held until all members have joined or the rebalance timeout is over; the rules
//! are in `group::state`. Any protocol type passes. A member with too many protocols, and one for
//! which there is no room among those of all groups, is refused.
//!
//! Versions: 0 without a rebalance timeout (the session's is taken); 4 a new member is first
//! told its id; 5 static members; 6 flexible; 7 protocol type in the answer; 8 reason; 9
//! `skip_assignment` for a returning static leader.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::{JoinGroupRequest, JoinGroupResponse};
use kafka_protocol::protocol::StrBytes;

use crate::broker::Broker;
use crate::broker::call::Call;
use crate::broker::group::state::{Identity, Join, Joined};

const ID_FIRST_SINCE: i16 = 4;
const TYPED_SINCE: i16 = 7;
const SKIP_SINCE: i16 = 9;
/// As many protocols may a member have: clients have a handful.
const MOST_PROTOCOLS: usize = 1000;

pub(crate) async fn answer(
    broker: &Arc<Broker>,
    call: &Call,
    request: JoinGroupRequest,
) -> JoinGroupResponse {
    let member = request.member_id.to_string();
    if request.group_id.is_empty() {
        return tell(call, Joined::refused(ResponseError::InvalidGroupId, member));
    }
    let rebalance_timeout_ms = match request.rebalance_timeout_ms {
        ..0 => request.session_timeout_ms,
        told => told,
    };
    if request.protocols.len() > MOST_PROTOCOLS {
        return tell(call, Joined::refused(ResponseError::InvalidRequest, member));
    }
    // Of two of one name the first counts, as in Kafka.
    let mut named = HashSet::new();
    // Copies: what a group keeps, and who waits, must not keep the whole request.
    let protocols = request
        .protocols
        .iter()
        .filter(|protocol| named.insert(protocol.name.as_str()))
        .map(|protocol| (protocol.name.to_string(), Bytes::copy_from_slice(&protocol.metadata)))
        .collect();
    let join = Join {
        identity: Identity {
            member,
            instance: request.group_instance_id.as_deref().map(str::to_owned),
        },
        new_id: String::new(), // the coordinator's affair
        id_first: call.version >= ID_FIRST_SINCE,
        can_skip_assignment: call.version >= SKIP_SINCE,
        client_id: call.client_id.clone(),
        client_host: format!("/{}", call.peer.remote.ip().to_canonical()),
        session_timeout_ms: request.session_timeout_ms,
        rebalance_timeout_ms,
        protocol_type: request.protocol_type.to_string(),
        protocols,
    };
    let group = request.group_id.to_string();
    drop(request);
    tell(call, broker.groups.join(&group, join).await)
}

fn tell(call: &Call, joined: Joined) -> JoinGroupResponse {
    let members = joined.members.into_iter().map(|(id, instance, metadata)| {
        JoinGroupResponseMember::default()
            .with_member_id(id.into())
            .with_group_instance_id(instance.map(StrBytes::from_string))
            .with_metadata(metadata)
    });
    // The name may only be null from version 7 on.
    let protocol = match joined.protocol {
        None if call.version < TYPED_SINCE => Some(String::new()),
        protocol => protocol,
    };
    JoinGroupResponse::default()
        .with_error_code(joined.error.map_or(0, |error| error.code()))
        .with_generation_id(joined.generation)
        .with_protocol_type(joined.protocol_type.map(StrBytes::from_string))
        .with_protocol_name(protocol.map(StrBytes::from_string))
        .with_leader(joined.leader.into())
        .with_skip_assignment(joined.skip_assignment)
        .with_member_id(joined.member.into())
        .with_members(members.collect())
}
