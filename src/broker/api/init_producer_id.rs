//! `InitProducerId` (key 22): an id for an idempotent producer. Every Java producer since 3.0
//! asks for one.
//!
//! Behaviour: ids are taken from durable blocks and never given twice. Without a
//! transactional id each request gets a new one, whatever id it brings, as in Kafka
//! (`TransactionCoordinator.handleInitProducerId`): nobody can claim that of another. An id
//! without its epoch, an epoch without its id, and an empty transactional id are
//! `INVALID_REQUEST`; any other transactional id is refused with
//! `TRANSACTIONAL_ID_AUTHORIZATION_FAILED`.
//!
//! Versions: 2 flexible; 3 id and epoch in the request; 4 as 3.

use std::ops::Range;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};
use tokio::sync::Mutex;

use crate::broker::{Broker, access};
use crate::log::AppendError;

/// Ids taken from the log at once, as in Kafka (`ProducerIdsBlock`).
const BLOCK: i64 = 1000;

/// An id or epoch that is not given.
const NONE: i64 = -1;

/// What is left of the last block.
#[derive(Debug, Default)]
pub(crate) struct ProducerIds(Mutex<Range<i64>>);

impl ProducerIds {
    async fn next(&self, broker: &Broker) -> Result<i64, AppendError> {
        let mut left = self.0.lock().await;
        if left.is_empty() {
            let first = broker.log.new_producer_ids(BLOCK).await?;
            *left = first..first + BLOCK;
        }
        let id = left.start;
        left.start += 1;
        Ok(id)
    }
}

pub(crate) async fn answer(
    broker: &Broker,
    request: &InitProducerIdRequest,
) -> InitProducerIdResponse {
    let refused = |error: ResponseError| {
        InitProducerIdResponse::default()
            .with_error_code(error.code())
            .with_producer_id((-1).into())
            .with_producer_epoch(-1)
    };
    let half = (request.producer_id.0 == NONE) != (i64::from(request.producer_epoch) == NONE);
    match request.transactional_id.as_ref().map(|id| id.as_str()) {
        Some("") => return refused(ResponseError::InvalidRequest),
        _ if half => return refused(ResponseError::InvalidRequest),
        Some(_) => return refused(ResponseError::TransactionalIdAuthorizationFailed),
        None => {}
    }
    match broker.producer_ids.next(broker).await {
        Ok(id) => {
            InitProducerIdResponse::default().with_producer_id(id.into()).with_producer_epoch(0)
        }
        Err(error) => refused(access::of_append(&error)),
    }
}
