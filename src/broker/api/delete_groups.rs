//! `DeleteGroups` (key 42): groups without members, and their offsets, go.
//!
//! Versions: 2 flexible.

use std::sync::Arc;

use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::{DeleteGroupsRequest, DeleteGroupsResponse};

use crate::broker::{Broker, access};

pub(crate) async fn answer(
    broker: &Arc<Broker>,
    request: DeleteGroupsRequest,
) -> DeleteGroupsResponse {
    let mut results = Vec::with_capacity(request.groups_names.len());
    for id in request.groups_names {
        let outcome = broker.groups.delete(&id).await;
        results.push(
            DeletableGroupResult::default()
                .with_group_id(id)
                .with_error_code(access::code(outcome)),
        );
    }
    DeleteGroupsResponse::default().with_results(results)
}
