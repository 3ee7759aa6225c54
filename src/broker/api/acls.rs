//! `DescribeAcls`, `CreateAcls`, `DeleteAcls` (keys 29, 30, 31): there is no authorizer yet, and
//! each says so with `SECURITY_DISABLED`, as Kafka without an authorizer does.
//!
//! Versions: 1 pattern types; 2 flexible; 3 as 2.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_acls_response::AclCreationResult;
use kafka_protocol::messages::delete_acls_response::DeleteAclsFilterResult;
use kafka_protocol::messages::{
    CreateAclsRequest, CreateAclsResponse, DeleteAclsRequest, DeleteAclsResponse,
    DescribeAclsResponse,
};
use kafka_protocol::protocol::StrBytes;

const DISABLED: ResponseError = ResponseError::SecurityDisabled;
const MESSAGE: StrBytes = StrBytes::from_static_str("no authorizer is configured");

pub(crate) fn describe() -> DescribeAclsResponse {
    DescribeAclsResponse::default()
        .with_error_code(DISABLED.code())
        .with_error_message(Some(MESSAGE))
}

pub(crate) fn create(request: &CreateAclsRequest) -> CreateAclsResponse {
    let refused = AclCreationResult::default()
        .with_error_code(DISABLED.code())
        .with_error_message(Some(MESSAGE));
    CreateAclsResponse::default().with_results(vec![refused; request.creations.len()])
}

pub(crate) fn delete(request: &DeleteAclsRequest) -> DeleteAclsResponse {
    let refused = DeleteAclsFilterResult::default()
        .with_error_code(DISABLED.code())
        .with_error_message(Some(MESSAGE));
    DeleteAclsResponse::default().with_filter_results(vec![refused; request.filters.len()])
}
