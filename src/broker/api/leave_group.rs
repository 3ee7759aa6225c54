//! `LeaveGroup` (key 13): members go, and the others rebalance at once.
//!
//! Versions: 0-2 one member, its error for the whole; 3 several, static ones too, each with
//! its own error; 4 flexible; 5 reasons.

use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{LeaveGroupRequest, LeaveGroupResponse};

use crate::broker::call::Call;
use crate::broker::group::state::Identity;
use crate::broker::{Broker, access};

/// The first version with several members.
const BATCHED_SINCE: i16 = 3;

pub(crate) async fn answer(
    broker: &Arc<Broker>,
    call: &Call,
    request: LeaveGroupRequest,
) -> LeaveGroupResponse {
    let single = call.version < BATCHED_SINCE;
    let members = if single {
        vec![MemberIdentity::default().with_member_id(request.member_id)]
    } else {
        request.members
    };
    let identities = members.iter().map(|member| Identity {
        member: member.member_id.to_string(),
        instance: member.group_instance_id.as_deref().map(str::to_owned),
    });
    let left = match broker.groups.leave(&request.group_id, identities.collect()).await {
        Ok(left) => left,
        // No such group: so none of its members is there either.
        Err(ResponseError::UnknownMemberId) => {
            vec![Err(ResponseError::UnknownMemberId); members.len()]
        }
        Err(error) => return LeaveGroupResponse::default().with_error_code(error.code()),
    };
    if single {
        let outcome = left.into_iter().next().unwrap_or(Ok(()));
        return LeaveGroupResponse::default().with_error_code(access::code(outcome));
    }
    let told = members.into_iter().zip(left).map(|(member, outcome)| {
        MemberResponse::default()
            .with_member_id(member.member_id)
            .with_group_instance_id(member.group_instance_id)
            .with_error_code(access::code(outcome))
    });
    LeaveGroupResponse::default().with_members(told.collect())
}
