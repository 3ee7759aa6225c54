//! `DeleteGroups` (key 42): groups without members, and their offsets, go.
//!
//! Versions: 2 flexible.

use std::sync::Arc;

use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::{DeleteGroupsRequest, DeleteGroupsResponse};

use super::repeated;
use crate::broker::{Broker, access};

pub(crate) async fn answer(
    broker: &Arc<Broker>,
    request: DeleteGroupsRequest,
) -> DeleteGroupsResponse {
    let (ids, twice) = repeated::split(request.groups_names, Clone::clone);
    let mut results = Vec::with_capacity(ids.len() + twice.len());
    // Once is enough: there is nothing that two could mean.
    for id in ids.into_iter().chain(twice) {
        let outcome = broker.groups.delete(&id).await;
        results.push(
            DeletableGroupResult::default()
                .with_group_id(id)
                .with_error_code(access::code(outcome)),
        );
    }
    DeleteGroupsResponse::default().with_results(results)
}
