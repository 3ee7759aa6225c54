//! `DescribeGroups` (key 15): state, protocol and members of groups.
//!
//! Behaviour: a group that is not there is "Dead", without an error, as in Kafka below
//! version 6. The protocol, metadata and assignments are shown while the group is stable.
//!
//! Versions: 3 authorized operations, if asked for; 4 static members; 5 flexible.

use bytes::Bytes;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::{DescribeGroupsRequest, DescribeGroupsResponse, GroupId};
use kafka_protocol::protocol::StrBytes;

use crate::broker::Broker;
use crate::broker::call::Call;

/// READ, DELETE, DESCRIBE as bits: what Kafka without an authorizer answers for a group.
const OPERATIONS: i32 = 0b1_0100_1000;
/// The first version that tells operations.
const OPERATIONS_SINCE: i16 = 3;

pub(crate) fn answer(
    broker: &Broker,
    call: &Call,
    request: DescribeGroupsRequest,
) -> DescribeGroupsResponse {
    let operations = request.include_authorized_operations && call.version >= OPERATIONS_SINCE;
    let groups = request.groups.into_iter().map(|id| {
        let mut described = describe(broker, id);
        if operations {
            described.authorized_operations = OPERATIONS;
        }
        described
    });
    DescribeGroupsResponse::default().with_groups(groups.collect())
}

fn describe(broker: &Broker, id: GroupId) -> DescribedGroup {
    let Some(described) = broker.groups.describe(&id) else {
        let dead = StrBytes::from_static_str("Dead");
        return DescribedGroup::default().with_group_id(id).with_group_state(dead);
    };
    // Before that it is not settled what they are (`ClassicGroupMember.describeNoMetadata`).
    let is_stable = described.state == "Stable";
    let shown = |bytes: Bytes| if is_stable { bytes } else { Bytes::new() };
    let protocol = described.group.protocol.filter(|_| is_stable);
    let members = described.group.members.into_iter().map(|member| {
        DescribedGroupMember::default()
            .with_member_id(member.id.into())
            .with_group_instance_id(member.instance.map(StrBytes::from_string))
            .with_client_id(member.client_id.into())
            .with_client_host(member.client_host.into())
            .with_member_metadata(shown(member.subscription))
            .with_member_assignment(shown(member.assignment))
    });
    DescribedGroup::default()
        .with_group_id(id)
        .with_group_state(StrBytes::from_static_str(described.state))
        .with_protocol_type(described.group.protocol_type.into())
        .with_protocol_data(protocol.unwrap_or_default().into())
        .with_members(members.collect())
}
