//! `ListGroups` (key 16): all groups.
//!
//! Versions: 3 flexible; 4 filter by state, and states; 5 filter by type, and types: all
//! groups are of type "classic".

use std::collections::HashSet;

use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{ListGroupsRequest, ListGroupsResponse};
use kafka_protocol::protocol::StrBytes;

use crate::broker::Broker;
use crate::broker::group::Listed;

const TYPE: &str = "classic";

pub(crate) fn answer(broker: &Broker, request: &ListGroupsRequest) -> ListGroupsResponse {
    let lower = |asked: &[StrBytes]| -> HashSet<String> {
        asked.iter().map(|name| name.to_ascii_lowercase()).collect()
    };
    let (states, types) = (lower(&request.states_filter), lower(&request.types_filter));
    let among = |asked: &HashSet<String>, ours: &str| {
        asked.is_empty() || asked.contains(&ours.to_ascii_lowercase())
    };
    let groups = broker.groups.list().into_iter();
    let groups = groups.filter(|group| among(&states, group.state) && among(&types, TYPE));
    let listed = groups.map(|Listed { name, protocol_type, state }| {
        ListedGroup::default()
            .with_group_id(StrBytes::from_string(name).into())
            .with_protocol_type(protocol_type.into())
            .with_group_state(StrBytes::from_static_str(state))
            .with_group_type(StrBytes::from_static_str(TYPE))
    });
    ListGroupsResponse::default().with_groups(listed.collect())
}
