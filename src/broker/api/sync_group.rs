//! `SyncGroup` (key 14): the leader brings the assignments, each member takes its own.
//!
//! Behaviour: held until the leader's assignments are durable.
//!
//! Versions: 3 static members; 4 flexible; 5 the protocol is told and checked.

use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::messages::{SyncGroupRequest, SyncGroupResponse};
use kafka_protocol::protocol::StrBytes;

use crate::broker::Broker;
use crate::broker::group::state::{Identity, Sync};

pub(crate) async fn answer(broker: &Arc<Broker>, request: SyncGroupRequest) -> SyncGroupResponse {
    let text = |text: &Option<StrBytes>| text.as_deref().map(str::to_owned);
    let assignments = request.assignments.iter().map(|assignment| {
        (assignment.member_id.to_string(), Bytes::copy_from_slice(&assignment.assignment))
    });
    let assignments = assignments.collect();
    let sync = Sync {
        identity: Identity {
            member: request.member_id.to_string(),
            instance: text(&request.group_instance_id),
        },
        generation: request.generation_id,
        protocol_type: text(&request.protocol_type),
        protocol: text(&request.protocol_name),
        assignments,
    };
    let group = request.group_id.to_string();
    drop(request);
    match broker.groups.sync(&group, sync).await {
        Ok(synced) => SyncGroupResponse::default()
            .with_protocol_type(synced.protocol_type.map(StrBytes::from_string))
            .with_protocol_name(synced.protocol.map(StrBytes::from_string))
            .with_assignment(synced.assignment),
        Err(error) => SyncGroupResponse::default().with_error_code(error.code()),
    }
}
